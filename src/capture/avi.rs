//! Motion JPEG in AVI, the video that microcontrollers and cameras write. Every frame is a JPEG
//! of its own, so no video decoder is needed.
//!
//! The file is walked from chunk to chunk. The index is not used, and neither are the lengths of
//! the lists: a recorder that lost its power has written neither. OpenDML files (several RIFF
//! parts) are walked in the same way. Reference: Microsoft, "AVI RIFF File Reference".

use super::frame::{Frame, Skipped};
use super::mjpeg;
use super::moment::Moment;
use super::source::CaptureError;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// The largest chunk that is taken for a frame, in bytes.
const LARGEST_FRAME: u32 = 256 * 1024 * 1024;
/// The largest header chunk that is read, in bytes.
const LARGEST_HEADER: u32 = 64 * 1024;

/// An open video.
pub struct Avi {
    path: String,
    reader: BufReader<File>,
    /// The stream with the pictures: the `NN` of its `NNdc` chunks.
    stream: u8,
    frames: Option<u64>,
    next: u64,
    delivered: u64,
    skipped: Vec<Skipped>,
    finished: bool,
}

/// What was found in an AVI file.
pub(super) enum AviOpened {
    /// Motion JPEG.
    Mjpeg(Avi),
    /// Another codec.
    Other,
}

/// One chunk's head: what it is, and how many bytes follow (a list's four bytes of type are taken
/// off already, and its contents are the next chunks).
enum Chunk {
    List([u8; 4]),
    Data { id: [u8; 4], length: u32 },
    End,
}

/// Why a chunk cannot be read.
enum Broken {
    Io(std::io::Error),
    /// What stands there is no chunk.
    NoChunk,
    /// The file ends before the chunk does.
    Truncated,
}

impl Broken {
    fn why(self) -> String {
        match self {
            Broken::Io(error) => error.to_string(),
            Broken::NoChunk => "what stands there is no chunk".to_string(),
            Broken::Truncated => "the file ends in the middle of it".to_string(),
        }
    }
}

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::UnexpectedEof { Broken::Truncated } else { Broken::Io(error) }
    }
}

impl Avi {
    pub(super) fn open(path: &Path) -> Result<AviOpened, CaptureError> {
        let file =
            File::open(path).map_err(|source| CaptureError::Read { path: path.to_path_buf(), source })?;
        let mut reader = BufReader::new(file);
        let unusable = |why: String| CaptureError::Video { path: path.display().to_string(), why };
        match next_chunk(&mut reader) {
            Ok(Chunk::List(kind)) if &kind == b"AVI " => {}
            Err(Broken::Io(source)) => {
                return Err(CaptureError::Read { path: path.to_path_buf(), source });
            }
            _ => return Err(unusable("it does not begin as an AVI file".to_string())),
        }
        // The headers: of each stream a `strh`, then a `strf`.
        let (mut streams, mut video, mut frames) = (0u8, None, None);
        let mut header_is_video = false;
        loop {
            match next_chunk(&mut reader)
                .map_err(|broken| unusable(format!("its header is damaged: {}", broken.why())))?
            {
                Chunk::List(kind) if &kind == b"movi" => break,
                Chunk::List(_) => {}
                Chunk::Data { id, length }
                    if (&id == b"strh" || &id == b"strf") && length <= LARGEST_HEADER =>
                {
                    let bytes = read_data(&mut reader, length)
                        .map_err(|broken| unusable(format!("its header is damaged: {}", broken.why())))?;
                    if &id == b"strh" {
                        streams = streams.saturating_add(1);
                        header_is_video = bytes.starts_with(b"vids");
                        if header_is_video && video.is_none() {
                            // dwLength of AVISTREAMHEADER
                            frames = bytes
                                .get(32..36)
                                .map(|count| u32::from_le_bytes([count[0], count[1], count[2], count[3]]));
                        }
                    } else if header_is_video && video.is_none() {
                        // biCompression of BITMAPINFOHEADER
                        let Some(codec) = bytes.get(16..20) else {
                            return Err(unusable("its video header is too short".to_string()));
                        };
                        video = Some((streams - 1, codec.eq_ignore_ascii_case(b"MJPG")));
                    }
                }
                Chunk::Data { length, .. } => {
                    skip_data(&mut reader, length)
                        .map_err(|broken| unusable(format!("its header is damaged: {}", broken.why())))?;
                }
                Chunk::End => return Err(unusable("it has no frames".to_string())),
            }
        }
        match video {
            None => Err(unusable("it has no video stream".to_string())),
            Some((_, false)) => Ok(AviOpened::Other),
            Some((stream, true)) => Ok(AviOpened::Mjpeg(Avi {
                path: path.display().to_string(),
                reader,
                stream,
                // 0 is what a recorder writes that was not ended.
                frames: frames.filter(|&frames| frames > 0).map(u64::from),
                next: 0,
                delivered: 0,
                skipped: Vec::new(),
                finished: false,
            })),
        }
    }

    pub(super) fn next_frame(&mut self) -> Result<Option<Frame>, CaptureError> {
        while !self.finished {
            let bytes = match self.next_jpeg() {
                Ok(Some(bytes)) => bytes,
                Ok(None) => break,
                Err(broken) => {
                    self.finished = true;
                    let (path, frame, why) = (self.path.clone(), self.next, broken.why());
                    return Err(CaptureError::BrokenFrame { path, frame, why });
                }
            };
            let index = self.next;
            self.next += 1;
            match mjpeg::decode_frame(&bytes) {
                Ok(picture) => {
                    self.delivered += 1;
                    return Ok(Some(Frame {
                        picture,
                        index,
                        name: self.path.clone(),
                        captured: Moment::now(),
                    }));
                }
                Err(why) => {
                    self.skipped.push(Skipped {
                        path: format!("{}, frame {index}", self.path),
                        why: why.to_string(),
                    });
                }
            }
        }
        self.finished = true;
        if self.delivered > 0 {
            return Ok(None);
        }
        let why = match self.skipped.first() {
            Some(first) => {
                format!("none of its {} frames can be decoded; the first: {}", self.skipped.len(), first.why)
            }
            None => "it has no frames".to_string(),
        };
        Err(CaptureError::Video { path: self.path.clone(), why })
    }

    /// The bytes of the next frame, `None` at the end.
    fn next_jpeg(&mut self) -> Result<Option<Vec<u8>>, Broken> {
        let [tens, ones] = [b'0' + self.stream / 10, b'0' + self.stream % 10];
        loop {
            match next_chunk(&mut self.reader)? {
                Chunk::End => return Ok(None),
                Chunk::List(_) => {}
                // dc: compressed, db: uncompressed, which some writers say of JPEG too. An empty
                // chunk stands for a frame that was dropped.
                Chunk::Data { id, length }
                    if (id == [tens, ones, b'd', b'c'] || id == [tens, ones, b'd', b'b']) && length > 0 =>
                {
                    if length > LARGEST_FRAME {
                        return Err(Broken::NoChunk);
                    }
                    return read_data(&mut self.reader, length).map(Some);
                }
                Chunk::Data { length, .. } => skip_data(&mut self.reader, length)?,
            }
        }
    }

    pub(super) fn frame_count(&self) -> Option<u64> {
        self.frames
    }

    pub(super) fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }
}

/// The next chunk's head.
fn next_chunk(reader: &mut BufReader<File>) -> Result<Chunk, Broken> {
    let mut head = Vec::with_capacity(8);
    reader.take(8).read_to_end(&mut head)?;
    // Up to seven zero bytes at the end are padding, not a truncated chunk.
    if head.len() < 8 && head.iter().all(|&byte| byte == 0) {
        return Ok(Chunk::End);
    }
    let Ok(head) = <[u8; 8]>::try_from(head) else {
        return Err(Broken::Truncated);
    };
    let [a, b, c, d, lengths @ ..] = head;
    let (id, length) = ([a, b, c, d], u32::from_le_bytes(lengths));
    if !id.iter().all(|byte| (0x20..0x7F).contains(byte)) {
        return Err(Broken::NoChunk);
    }
    if &id == b"RIFF" || &id == b"LIST" {
        let mut kind = [0; 4];
        reader.read_exact(&mut kind)?;
        // The lists to walk into. Others (INFO, odml, …) are as long as they say.
        if [b"AVI ", b"AVIX", b"hdrl", b"strl", b"movi", b"rec "].contains(&&kind) {
            return Ok(Chunk::List(kind));
        }
        let rest = length.checked_sub(4).ok_or(Broken::NoChunk)?;
        return Ok(Chunk::Data { id: kind, length: rest });
    }
    Ok(Chunk::Data { id, length })
}

/// A chunk's bytes.
fn read_data(reader: &mut BufReader<File>, length: u32) -> Result<Vec<u8>, Broken> {
    let mut bytes = Vec::new();
    reader.take(u64::from(length)).read_to_end(&mut bytes)?;
    if bytes.len() < length as usize {
        return Err(Broken::Truncated);
    }
    skip_padding(reader, length)?;
    Ok(bytes)
}

/// Passes a chunk over. One that goes on behind the file's end is found at the next read.
fn skip_data(reader: &mut BufReader<File>, length: u32) -> Result<(), Broken> {
    reader.seek_relative(i64::from(length))?;
    skip_padding(reader, length)
}

/// Chunks begin at even places.
fn skip_padding(reader: &mut BufReader<File>, length: u32) -> Result<(), Broken> {
    if length % 2 == 1 {
        reader.seek_relative(1)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, RgbImage};
    use proptest::prelude::*;
    use std::path::PathBuf;

    fn chunk(id: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let mut bytes = [id.as_slice(), &(data.len() as u32).to_le_bytes(), data].concat();
        if data.len() % 2 == 1 {
            bytes.push(0);
        }
        bytes
    }

    fn list(id: &[u8; 4], kind: &[u8; 4], parts: &[Vec<u8>]) -> Vec<u8> {
        chunk(id, &[kind.as_slice(), &parts.concat()].concat())
    }

    fn jpeg(grey: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        let picture = RgbImage::from_pixel(16, 8, Rgb([grey; 3]));
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 90).encode_image(&picture).unwrap();
        bytes
    }

    fn stream(kind: &[u8; 4], codec: &[u8; 4], frames: u32) -> Vec<u8> {
        let mut header = kind.to_vec();
        header.resize(32, 0);
        header.extend(frames.to_le_bytes());
        header.resize(56, 0);
        let mut format = vec![0; 40];
        format[16..20].copy_from_slice(codec);
        list(b"LIST", b"strl", &[chunk(b"strh", &header), chunk(b"strf", &format)])
    }

    /// A sound stream first, so that the pictures are stream 01.
    fn avi(codec: &[u8; 4], frames: &[Vec<u8>]) -> Vec<u8> {
        let header = list(
            b"LIST",
            b"hdrl",
            &[
                chunk(b"avih", &[0; 56]),
                stream(b"auds", &[1, 0, 0, 0], 9),
                stream(b"vids", codec, frames.len() as u32),
            ],
        );
        let mut parts = Vec::new();
        for frame in frames {
            parts.push(chunk(b"00wb", &[7; 31]));
            parts.push(list(b"LIST", b"rec ", &[chunk(b"01dc", frame)]));
        }
        let info = list(b"LIST", b"INFO", &[chunk(b"ISFT", b"a test")]);
        list(b"RIFF", b"AVI ", &[header, info, list(b"LIST", b"movi", &parts), chunk(b"idx1", &[0; 16])])
    }

    fn video(folder: &tempfile::TempDir, bytes: &[u8]) -> PathBuf {
        let path = folder.path().join("video.avi");
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn open(path: &Path) -> Avi {
        match Avi::open(path).unwrap() {
            AviOpened::Mjpeg(avi) => avi,
            AviOpened::Other => panic!("not taken for MJPEG"),
        }
    }

    fn levels(avi: &mut Avi) -> Vec<u8> {
        std::iter::from_fn(|| avi.next_frame().unwrap())
            .map(|frame| frame.picture.get_pixel(3, 3).0[0])
            .collect()
    }

    #[test]
    fn frames_are_found_among_sound_and_lists() {
        let folder = tempfile::tempdir().unwrap();
        let mut avi = open(&video(&folder, &avi(b"MJPG", &[jpeg(10), vec![], jpeg(200)])));
        assert_eq!(avi.frame_count(), Some(3));
        assert_eq!(levels(&mut avi), [10, 200]);
    }

    #[test]
    fn a_recording_that_was_never_ended_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = avi(b"mjpg", &[jpeg(10), jpeg(90)]);
        // No index, and the lengths of RIFF and movi are still 0.
        bytes.truncate(bytes.len() - 24);
        bytes[4..8].fill(0);
        let movi = bytes.windows(4).position(|part| part == b"movi").unwrap();
        bytes[movi - 4..movi].fill(0);
        assert_eq!(levels(&mut open(&video(&folder, &bytes))), [10, 90]);
    }

    #[test]
    fn a_damaged_frame_is_left_out_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut avi = open(&video(&folder, &avi(b"MJPG", &[jpeg(10), b"no JPEG at all".to_vec(), jpeg(90)])));
        assert_eq!(levels(&mut avi), [10, 90]);
        assert_eq!(avi.skipped().len(), 1);
        assert!(avi.skipped()[0].path.ends_with("frame 1"));
    }

    #[test]
    fn a_truncated_file_gives_what_it_has_then_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = avi(b"MJPG", &[jpeg(10), jpeg(90)]);
        let mut avi = open(&video(&folder, &bytes[..bytes.len() - 100]));
        assert!(avi.next_frame().unwrap().is_some());
        assert!(matches!(avi.next_frame(), Err(CaptureError::BrokenFrame { frame: 1, .. })));
        assert!(avi.next_frame().unwrap().is_none());
    }

    #[test]
    fn what_is_no_mjpeg_is_said_so() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Avi::open(&video(&folder, &avi(b"H264", &[jpeg(1)]))), Ok(AviOpened::Other)));
        let mut none = open(&video(&folder, &avi(b"MJPG", &[])));
        assert!(matches!(none.next_frame(), Err(CaptureError::Video { .. })));
        let mut all_broken = open(&video(&folder, &avi(b"MJPG", &[vec![1, 2, 3]])));
        assert!(matches!(all_broken.next_frame(), Err(CaptureError::Video { .. })));
        for bytes in [b"".as_slice(), b"RIFF", b"hello, this is no AVI file", b"RIFF\0\0\0\0WAVEfmt "] {
            assert!(
                matches!(Avi::open(&video(&folder, bytes)), Err(CaptureError::Video { .. })),
                "{bytes:?}"
            );
        }
    }

    proptest! {
        /// Whatever is changed in the file: frames or an error, and an end.
        #[test]
        fn any_damage_ends(at in 0usize..2000, with in proptest::collection::vec(any::<u8>(), 1..9), cut in 0usize..4000) {
            let folder = tempfile::tempdir().unwrap();
            let mut bytes = avi(b"MJPG", &[jpeg(10), jpeg(90)]);
            for (offset, value) in with.into_iter().enumerate() {
                let length = bytes.len();
                bytes[(at + offset) % length] = value;
            }
            bytes.truncate(cut.max(12));
            if let Ok(AviOpened::Mjpeg(mut avi)) = Avi::open(&video(&folder, &bytes)) {
                let mut frames = 0;
                while let Ok(Some(_)) = avi.next_frame() {
                    frames += 1;
                }
                prop_assert!(frames <= 2);
            }
        }
    }
}
