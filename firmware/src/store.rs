//! Where centres are kept: two slots of flash memory, one in use and one for the next upload.
//!
//! A slot is a header of 64 bytes, then M×N f32, little endian. The header is written last, with a
//! checksum of its own and one of the numbers, so that an upload that was cut off, at whatever
//! moment, leaves a slot that does not count. Of two that do, the newer counts. When the newest has a
//! sound header and damaged numbers, none counts: the older one is another model's, and to judge with
//! that in silence would be worse than to judge nothing.
//!
//! Memory wears out: each upload, and each new threshold, erases one slot once, and the two take turns.

use anchorwatch_core::link::{CHUNK, UploadHeader, checksum};
use embedded_storage::nor_flash::NorFlash;

/// The bytes of a slot's header: whole writes of any flash memory of up to 64 bytes a write.
pub const HEADER: usize = 64;

/// What a header begins with; the last byte is the layout's version.
const MAGIC: [u8; 4] = *b"AWC\x01";

/// The bytes of a header that its checksum is over.
const CHECKED: usize = 32;

/// The flash memory would not be written or read, or is too small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreError;

/// The two slots.
#[derive(Debug)]
pub struct CentresStore {
    /// The slot that was written last and its generation, if there is one: the next upload goes into the
    /// other slot.
    newest: Option<(Slot, u32)>,
    /// Whether that one is whole, and so in use.
    usable: bool,
}

/// What a start finds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// The centres in use.
    pub newest: Option<UploadHeader>,
    /// Whether there was something that is neither whole nor erased: an upload that was cut off, or memory
    /// that has lost what it held.
    pub damaged: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    First,
    Second,
}

/// What is in a slot.
enum SlotState {
    /// Nothing: as erased, or as the memory came.
    Empty,
    /// Centres.
    Whole { generation: u32, header: UploadHeader },
    /// What was to be centres, and which generation of them if that much is to be read.
    Damaged { generation: Option<u32> },
}

/// An upload under way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Upload {
    slot: Slot,
    generation: u32,
    header: UploadHeader,
    received: u32,
}

impl Upload {
    /// How many bytes have been taken in.
    pub fn received(&self) -> u32 {
        self.received
    }

    /// What is uploaded.
    pub fn header(&self) -> UploadHeader {
        self.header
    }

    /// How many bytes it has in all.
    pub fn length(&self) -> u32 {
        length(&self.header)
    }
}

impl CentresStore {
    /// A store that has not looked at its memory yet.
    pub const fn new() -> Self {
        Self { newest: None, usable: false }
    }

    /// Looks for the newest whole centres, and takes them as those in use.
    pub fn find<F: NorFlash>(&mut self, flash: &mut F) -> Found {
        let mut newest: Option<(Slot, u32, Option<UploadHeader>)> = None;
        let mut damaged = false;
        for slot in [Slot::First, Slot::Second] {
            let (generation, header) = match self.state(flash, slot) {
                Ok(SlotState::Whole { generation, header }) => (generation, Some(header)),
                Ok(SlotState::Damaged { generation: Some(generation) }) => (generation, None),
                Ok(SlotState::Empty) => continue,
                Ok(SlotState::Damaged { generation: None }) | Err(_) => {
                    damaged = true;
                    continue;
                }
            };
            damaged |= header.is_none();
            // Generations wrap, if anybody lives to see it.
            if newest.is_none_or(|(_, other, _)| generation.wrapping_sub(other) < 1 << 31) {
                newest = Some((slot, generation, header));
            }
        }
        self.newest = newest.map(|(slot, generation, _)| (slot, generation));
        self.usable = newest.is_some_and(|(_, _, header)| header.is_some());
        Found { newest: newest.and_then(|(_, _, header)| header), damaged }
    }

    /// Begins an upload into the slot that is not in use. Nothing is written yet.
    pub fn begin(&self, header: UploadHeader) -> Upload {
        let (slot, generation) = match self.newest {
            Some((Slot::First, generation)) => (Slot::Second, generation.wrapping_add(1)),
            Some((Slot::Second, generation)) => (Slot::First, generation.wrapping_add(1)),
            None => (Slot::First, 0),
        };
        Upload { slot, generation, header, received: 0 }
    }

    /// Writes the next bytes, at most [`CHUNK`]; all but the last ones must be that many. Erases the
    /// blocks of memory that they are the first to touch.
    ///
    /// # Errors
    ///
    /// When the memory will not be written, or the bytes do not fit. The upload is then useless.
    pub fn append<F: NorFlash>(
        &self,
        flash: &mut F,
        upload: &mut Upload,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        const {
            assert!(HEADER.is_multiple_of(F::WRITE_SIZE) && CHUNK.is_multiple_of(F::WRITE_SIZE));
            assert!(HEADER.is_multiple_of(F::READ_SIZE) && CHUNK.is_multiple_of(F::READ_SIZE));
        }
        let base = base(flash, upload.slot)?;
        let erase = block::<F>();
        let at = upload.received.checked_add(HEADER as u32).ok_or(StoreError)?;
        let mut padded = [0xFF; CHUNK];
        padded.get_mut(..bytes.len()).ok_or(StoreError)?.copy_from_slice(bytes);
        let length = bytes.len().next_multiple_of(F::WRITE_SIZE);
        let end = at.checked_add(length as u32).ok_or(StoreError)?;
        if end > slot_size(flash) {
            return Err(StoreError);
        }
        // The first piece erases the header's block, too.
        let from = if upload.received == 0 { 0 } else { at };
        let mut start = from.next_multiple_of(erase);
        while start < end {
            flash.erase(base + start, base + start + erase).map_err(|_| StoreError)?;
            start += erase;
        }
        flash.write(base + at, padded.get(..length).ok_or(StoreError)?).map_err(|_| StoreError)?;
        upload.received += bytes.len() as u32;
        Ok(())
    }

    /// Whether what was written is what was meant, as far as the checksum tells, and each of its
    /// numbers is `good`. To be asked before [`commit`](Self::commit).
    ///
    /// # Errors
    ///
    /// When the memory cannot be read.
    pub fn check<F: NorFlash>(
        &self,
        flash: &mut F,
        upload: &Upload,
        mut good: impl FnMut(f32) -> bool,
    ) -> Result<Checked, StoreError> {
        let mut all_good = true;
        let found = read(flash, upload.slot, upload.length(), |number| all_good &= good(number))?;
        Ok(match (found == upload.header.checksum, all_good) {
            (true, true) => Checked::Sound,
            (true, false) => Checked::BadNumber,
            (false, _) => Checked::WrongChecksum,
        })
    }

    /// Makes an upload the centres in use, by writing its header.
    ///
    /// # Errors
    ///
    /// When the memory will not be written; then the old ones stay in use.
    pub fn commit<F: NorFlash>(&mut self, flash: &mut F, upload: &Upload) -> Result<(), StoreError> {
        let bytes = encode_header(upload.generation, &upload.header);
        let base = base(flash, upload.slot)?;
        flash.write(base, &bytes).map_err(|_| StoreError)?;
        match self.state(flash, upload.slot)? {
            SlotState::Whole { generation, .. } if generation == upload.generation => {
                self.newest = Some((upload.slot, generation));
                self.usable = true;
                Ok(())
            }
            _ => Err(StoreError),
        }
    }

    /// Reads the M×N numbers in use, row after row.
    ///
    /// # Errors
    ///
    /// When there are none, or the memory cannot be read.
    pub fn load<F: NorFlash>(
        &self,
        flash: &mut F,
        header: &UploadHeader,
        number: impl FnMut(f32),
    ) -> Result<(), StoreError> {
        let slot = self.in_use()?;
        read(flash, slot, length(header), number).map(|_| ())
    }

    /// Writes the centres in use once more, with another threshold.
    ///
    /// # Errors
    ///
    /// When there are none, or the memory will not be written; then the old ones stay in use.
    pub fn rewrite<F: NorFlash>(&mut self, flash: &mut F, header: UploadHeader) -> Result<(), StoreError> {
        let slot = self.in_use()?;
        let mut upload = self.begin(header);
        let mut chunk = [0; CHUNK];
        while upload.received < upload.length() {
            let at = base(flash, slot)? + HEADER as u32 + upload.received;
            let length = ((upload.length() - upload.received) as usize).min(CHUNK);
            let whole = length.next_multiple_of(F::READ_SIZE);
            flash.read(at, chunk.get_mut(..whole).ok_or(StoreError)?).map_err(|_| StoreError)?;
            self.append(flash, &mut upload, chunk.get(..length).ok_or(StoreError)?)?;
        }
        if self.check(flash, &upload, |_| true)? != Checked::Sound {
            return Err(StoreError);
        }
        self.commit(flash, &upload)
    }

    fn in_use(&self) -> Result<Slot, StoreError> {
        self.newest.filter(|_| self.usable).map(|(slot, _)| slot).ok_or(StoreError)
    }

    /// What is in a slot.
    fn state<F: NorFlash>(&self, flash: &mut F, slot: Slot) -> Result<SlotState, StoreError> {
        let mut bytes = [0; HEADER];
        let base = base(flash, slot)?;
        flash.read(base, &mut bytes).map_err(|_| StoreError)?;
        let Some((generation, header)) = decode_header(&bytes) else {
            let begun = bytes.starts_with(&MAGIC);
            return Ok(if begun { SlotState::Damaged { generation: None } } else { SlotState::Empty });
        };
        let length = length(&header);
        let whole = length <= slot_size(flash).saturating_sub(HEADER as u32)
            && read(flash, slot, length, |_| {})? == header.checksum;
        Ok(if whole {
            SlotState::Whole { generation, header }
        } else {
            SlotState::Damaged { generation: Some(generation) }
        })
    }
}

impl Default for CentresStore {
    fn default() -> Self {
        Self::new()
    }
}

/// What is to be said of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It is whole.
    Sound,
    /// It is not what was meant.
    WrongChecksum,
    /// It holds a number that is of no use.
    BadNumber,
}

/// How many bytes M×N numbers are. Too many for any memory are `u32::MAX`: a header that only seems sound
/// may say anything.
fn length(header: &UploadHeader) -> u32 {
    (u32::from(header.classes) * u32::from(header.logits)).saturating_mul(4)
}

/// The size of the blocks that are erased together.
fn block<F: NorFlash>() -> u32 {
    const { assert!(F::ERASE_SIZE > 0 && F::WRITE_SIZE > 0 && F::READ_SIZE > 0) }
    F::ERASE_SIZE as u32
}

/// Half of the memory, in whole blocks.
fn slot_size<F: NorFlash>(flash: &F) -> u32 {
    const { assert!(F::ERASE_SIZE > 0) }
    let blocks = flash.capacity() / F::ERASE_SIZE;
    (blocks / 2 * F::ERASE_SIZE) as u32
}

/// Where a slot begins.
fn base<F: NorFlash>(flash: &F, slot: Slot) -> Result<u32, StoreError> {
    match (slot_size(flash), slot) {
        (0, _) => Err(StoreError),
        (_, Slot::First) => Ok(0),
        (size, Slot::Second) => Ok(size),
    }
}

/// Gives the numbers of a slot, `length` bytes, and their checksum.
fn read<F: NorFlash>(
    flash: &mut F,
    slot: Slot,
    length: u32,
    mut number: impl FnMut(f32),
) -> Result<u32, StoreError> {
    let start = base(flash, slot)? + HEADER as u32;
    if length > slot_size(flash).saturating_sub(HEADER as u32) {
        return Err(StoreError);
    }
    let mut sum = anchorwatch_core::link::Checksum::new();
    let mut chunk = [0; CHUNK];
    let mut done = 0;
    while done < length {
        let part = ((length - done) as usize).min(CHUNK);
        let whole = part.next_multiple_of(F::READ_SIZE);
        flash.read(start + done, chunk.get_mut(..whole).ok_or(StoreError)?).map_err(|_| StoreError)?;
        let bytes = chunk.get(..part).ok_or(StoreError)?;
        sum.update(bytes);
        for &bytes in bytes.as_chunks::<4>().0 {
            number(f32::from_le_bytes(bytes));
        }
        done += part as u32;
    }
    Ok(sum.finish())
}

fn encode_header(generation: u32, header: &UploadHeader) -> [u8; HEADER] {
    let mut bytes = [0xFF; HEADER];
    let fields = MAGIC
        .into_iter()
        .chain(generation.to_le_bytes())
        .chain(header.classes.to_le_bytes())
        .chain(header.logits.to_le_bytes())
        .chain(header.threshold.to_le_bytes())
        .chain(header.checksum.to_le_bytes())
        .chain(header.model)
        .chain([0; 4]);
    for (byte, field) in bytes.iter_mut().zip(fields) {
        *byte = field;
    }
    let (checked, rest) = bytes.split_at_mut(CHECKED);
    for (byte, sum) in rest.iter_mut().zip(checksum(checked).to_le_bytes()) {
        *byte = sum;
    }
    bytes
}

fn decode_header(bytes: &[u8; HEADER]) -> Option<(u32, UploadHeader)> {
    let (checked, rest) = bytes.split_at_checked(CHECKED)?;
    let (sum, _) = rest.split_first_chunk::<4>()?;
    if checksum(checked) != u32::from_le_bytes(*sum) {
        return None;
    }
    let (magic, rest) = checked.split_first_chunk::<4>()?;
    if *magic != MAGIC {
        return None;
    }
    let (generation, rest) = rest.split_first_chunk::<4>()?;
    let (classes, rest) = rest.split_first_chunk::<2>()?;
    let (logits, rest) = rest.split_first_chunk::<2>()?;
    let (threshold, rest) = rest.split_first_chunk::<4>()?;
    let (checksum, rest) = rest.split_first_chunk::<4>()?;
    let (model, _) = rest.split_first_chunk::<8>()?;
    let header = UploadHeader {
        classes: u16::from_le_bytes(*classes),
        logits: u16::from_le_bytes(*logits),
        threshold: f32::from_le_bytes(*threshold),
        checksum: u32::from_le_bytes(*checksum),
        model: *model,
    };
    Some((u32::from_le_bytes(*generation), header))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_flash::TestFlash;
    use std::vec::Vec;

    /// Centres that differ by `seed`, large enough to need several blocks.
    fn centres(seed: u8) -> (UploadHeader, Vec<u8>) {
        let bytes: Vec<u8> =
            (0..30 * 21).flat_map(|index| (f32::from(seed) * 100.0 + index as f32).to_le_bytes()).collect();
        let header = UploadHeader {
            classes: 30,
            logits: 21,
            threshold: f32::from(seed),
            checksum: checksum(&bytes),
            model: [seed; 8],
        };
        (header, bytes)
    }

    fn upload(store: &mut CentresStore, flash: &mut TestFlash, seed: u8) -> Result<(), StoreError> {
        let (header, bytes) = centres(seed);
        let mut upload = store.begin(header);
        for chunk in bytes.chunks(CHUNK) {
            store.append(flash, &mut upload, chunk)?;
        }
        assert_eq!(upload.received(), upload.length());
        assert_eq!(store.check(flash, &upload, f32::is_finite)?, Checked::Sound);
        store.commit(flash, &upload)
    }

    /// Which centres a board finds that starts with this memory.
    fn found(flash: &mut TestFlash) -> Option<u8> {
        let mut store = CentresStore::new();
        let header = store.find(flash).newest?;
        let seed = header.model[0];
        let mut read = Vec::new();
        store.load(flash, &header, |number| read.extend(number.to_le_bytes())).unwrap();
        assert_eq!((header, read), centres(seed));
        Some(seed)
    }

    #[test]
    fn the_newest_upload_is_found_after_a_restart() {
        let mut flash = TestFlash::new();
        let mut store = CentresStore::new();
        assert_eq!(store.find(&mut flash), Found { newest: None, damaged: false });
        for seed in 1..8 {
            upload(&mut store, &mut flash, seed).unwrap();
            assert_eq!(found(&mut flash), Some(seed));
        }
    }

    #[test]
    fn a_power_cut_at_any_moment_leaves_the_old_or_the_new_centres() {
        let mut before = TestFlash::new();
        let mut store = CentresStore::new();
        upload(&mut store, &mut before, 1).unwrap();
        upload(&mut store, &mut before, 2).unwrap();
        let (mut old, mut new) = (0, 0);
        for cut_after in 0.. {
            let mut flash = before.clone();
            flash.cut_power_after(cut_after);
            let mut store = CentresStore::new();
            store.find(&mut flash);
            let done = upload(&mut store, &mut flash, 3).is_ok();
            flash.restore_power();
            match found(&mut flash) {
                Some(2) if !done => old += 1,
                Some(3) => new += 1,
                other => panic!("{other:?} after {cut_after} bytes"),
            }
            // And the next upload works, whatever the last one left.
            let mut store = CentresStore::new();
            store.find(&mut flash);
            upload(&mut store, &mut flash, 4).unwrap();
            assert_eq!(found(&mut flash), Some(4));
            if done {
                break;
            }
        }
        assert!(old > 2000 && new > 0, "{old} {new}");
    }

    #[test]
    fn memory_that_rots_is_noticed_and_older_centres_do_not_take_its_place() {
        let mut flash = TestFlash::new();
        let mut store = CentresStore::new();
        upload(&mut store, &mut flash, 1).unwrap();
        upload(&mut store, &mut flash, 2).unwrap();
        let (whole, second) = (flash.bytes.clone(), flash.bytes.len() / 2);
        let length = HEADER + centres(1).1.len();
        for bit in (0..length * 8).step_by(37) {
            // Of the older ones: the newer serve.
            flash.bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(found(&mut flash), Some(2), "bit {bit}");
            flash.bytes.clone_from(&whole);
            // Of the newer ones: none serve, unless it is not even to be seen that they were there.
            flash.bytes[second + bit / 8] ^= 1 << (bit % 8);
            let of_header = bit / 8 < CHECKED + 4;
            let beyond = (CHECKED + 4..HEADER).contains(&(bit / 8));
            let serve = if of_header { Some(1) } else { beyond.then_some(2) };
            assert_eq!(found(&mut flash), serve, "bit {bit}");
            let mut store = CentresStore::new();
            let damaged = !beyond && bit / 8 >= MAGIC.len();
            assert_eq!(store.find(&mut flash).damaged, damaged, "bit {bit}");
            // And the next upload works, whatever is left.
            upload(&mut store, &mut flash, 3).unwrap();
            assert_eq!(found(&mut flash), Some(3), "bit {bit}");
            flash.bytes.clone_from(&whole);
        }
    }

    #[test]
    fn any_memory_at_all_is_started_with() {
        let mut random = 1u32;
        for trial in 0..500 {
            let mut flash = TestFlash::new();
            for byte in &mut flash.bytes {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = (random >> 24) as u8;
            }
            if trial % 2 == 0 {
                // A header that is sound, of centres of any size.
                let size = |byte: u8| u16::from(byte) << (trial % 9);
                let mut header = centres(1).0;
                (header.classes, header.logits) = (size(flash.bytes[100]), size(flash.bytes[101]));
                flash.bytes[..HEADER].copy_from_slice(&encode_header(random, &header));
            }
            assert_eq!(CentresStore::new().find(&mut flash).newest, None, "{trial}");
        }
    }

    #[test]
    fn another_threshold_keeps_the_centres() {
        let mut flash = TestFlash::new();
        let mut store = CentresStore::new();
        let (header, bytes) = centres(1);
        let changed = UploadHeader { threshold: 9.5, ..header };
        assert_eq!(store.rewrite(&mut flash, changed), Err(StoreError));
        upload(&mut store, &mut flash, 1).unwrap();
        store.rewrite(&mut flash, changed).unwrap();
        let mut store = CentresStore::new();
        assert_eq!(store.find(&mut flash).newest, Some(changed));
        let mut read = Vec::new();
        store.load(&mut flash, &changed, |number| read.extend(number.to_le_bytes())).unwrap();
        assert_eq!(read, bytes);
    }

    #[test]
    fn wrong_bytes_and_bad_numbers_are_told_apart() {
        let mut flash = TestFlash::new();
        let store = CentresStore::new();
        let bytes: Vec<u8> = [1.0, f32::NAN].iter().flat_map(|number: &f32| number.to_le_bytes()).collect();
        let header =
            UploadHeader { classes: 1, logits: 2, threshold: 1.0, checksum: checksum(&bytes), model: [0; 8] };
        let mut upload = store.begin(header);
        store.append(&mut flash, &mut upload, &bytes).unwrap();
        assert_eq!(store.check(&mut flash, &upload, f32::is_finite), Ok(Checked::BadNumber));
        let mut wrong = store.begin(UploadHeader { checksum: 0, ..header });
        store.append(&mut flash, &mut wrong, &bytes).unwrap();
        assert_eq!(store.check(&mut flash, &wrong, |_| true), Ok(Checked::WrongChecksum));
    }
}
