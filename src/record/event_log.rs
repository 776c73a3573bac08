//! The event log on the disk: `events.jsonl`, one JSON object a line, and the crops in `crops/`.
//!
//! It holds up against what happens to boards. The power may go at any moment: each line is
//! written whole and synced, a crop is complete before its line names it, and a torn line is moved
//! aside when the log is next opened. The disk may be full: then the caller gets an error and the
//! log is as it was before.

use super::events::{CameraEvent, Event, Line, Phase, timestamp};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder, RgbImage};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The log's file name.
pub const LOG_NAME: &str = "events.jsonl";
/// Where torn lines are kept.
const TORN_NAME: &str = "events.torn";
/// The folder of the crops.
const CROPS: &str = "crops";
const JPEG_QUALITY: u8 = 90;

/// How crops are saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CropFormat {
    /// JPEG of quality 90.
    #[default]
    Jpeg,
    /// Lossless, some five times as large.
    Png,
}

/// Why an event could not be recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The folder or a file in it cannot be used.
    #[error("cannot write '{path}': {source}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// Two programs must not write to one log.
    #[error("another anchorwatch writes to '{0}': give each its own folder")]
    InUse(PathBuf),
    /// A crop cannot be encoded.
    #[error("cannot encode a crop: {0}")]
    Encode(String),
}

/// An open log in a folder of its own.
pub struct EventLog {
    folder: PathBuf,
    file: File,
    /// Length of the whole lines.
    length: u64,
    crops: CropFormat,
    recovered: u64,
    next: u64,
}

impl EventLog {
    /// Opens the log of a folder, which is made if it is not there. A line that was torn when the
    /// power went is moved to `events.torn`.
    ///
    /// # Errors
    /// If the folder cannot be made or written to, or another program writes to this log.
    pub fn open(folder: &Path, crops: CropFormat) -> Result<Self, RecordError> {
        let crop_folder = folder.join(CROPS);
        std::fs::create_dir_all(&crop_folder)
            .map_err(|source| RecordError::Write { path: crop_folder, source })?;
        let path = folder.join(LOG_NAME);
        let failed = |source| RecordError::Write { path: path.clone(), source };
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(RecordError::InUse(path)),
            // Some file systems have no locks; the log works without one.
            Err(TryLockError::Error(error)) => log::debug!("{}: no lock: {error}", path.display()),
        }
        let recovered = repair(&mut file, &folder.join(TORN_NAME)).map_err(failed)?;
        if recovered > 0 {
            log::warn!(
                "the last line of {} was torn; its {recovered} bytes are in {TORN_NAME}",
                path.display()
            );
        }
        let length = file.seek(SeekFrom::End(0)).map_err(failed)?;
        sync_folder(folder).map_err(failed)?;
        Ok(Self { folder: folder.to_path_buf(), file, length, crops, recovered, next: 0 })
    }

    /// How many bytes of a torn line were moved aside when the log was opened.
    pub fn recovered(&self) -> u64 {
        self.recovered
    }

    /// An identifier for a new event, made of the time and a number. No two are the same in one
    /// folder, not even when the clock goes back to 1970 at each start.
    pub fn next_id(&mut self, time: SystemTime) -> String {
        let time: String = timestamp(time).chars().filter(char::is_ascii_alphanumeric).collect();
        loop {
            let id = format!("{time}-{:04}", self.next);
            self.next += 1;
            if !self.crop_path(&id).exists() {
                return id;
            }
        }
    }

    /// Writes an event down. A crop, the pixels of the event's region, is saved first, and the event
    /// names the file.
    ///
    /// # Errors
    /// If the disk is full or fails; the log and the event are then as they were before.
    pub fn record(&mut self, event: &mut Event, crop: Option<&RgbImage>) -> Result<(), RecordError> {
        let Some(crop) = crop else {
            return self.write_line(event);
        };
        let saved = self.save_crop(event, crop)?;
        let before = event.crop.replace(saved.clone());
        let written = self.write_line(event);
        if written.is_err() {
            event.crop = before;
            // No picture without a line. The first error is the one to tell.
            let _ = std::fs::remove_file(self.folder.join(saved));
        }
        written
    }

    /// Writes down what happened to the camera.
    ///
    /// # Errors
    /// If the disk is full or fails; the log is then as it was before.
    pub fn record_camera(&mut self, event: &CameraEvent) -> Result<(), RecordError> {
        self.write_line(event)
    }

    fn write_line(&mut self, event: &impl serde::Serialize) -> Result<(), RecordError> {
        let mut line = serde_json::to_vec(event).map_err(|error| RecordError::Encode(error.to_string()))?;
        line.push(b'\n');
        let path = self.folder.join(LOG_NAME);
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            // What got there of the line must not stay in front of the next one.
            if let Err(error) = self.file.set_len(self.length) {
                log::error!("{}: cannot take back a part of a line: {error}", path.display());
            }
            return Err(RecordError::Write { path, source });
        }
        self.length += line.len() as u64;
        Ok(())
    }

    fn crop_path(&self, id: &str) -> PathBuf {
        let ending = match self.crops {
            CropFormat::Jpeg => "jpg",
            CropFormat::Png => "png",
        };
        self.folder.join(CROPS).join(format!("{id}.{ending}"))
    }

    /// The file name, relative to the folder. What comes and goes has two crops: the frame that
    /// raised it, and the best.
    fn save_crop(&self, event: &Event, crop: &RgbImage) -> Result<String, RecordError> {
        let path = match event.phase {
            Phase::Single | Phase::Started => self.crop_path(&event.id),
            Phase::Finished => self.crop_path(&format!("{}-best", event.id)),
        };
        let mut bytes = Vec::new();
        match self.crops {
            CropFormat::Jpeg => JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY).write_image(
                crop.as_raw(),
                crop.width(),
                crop.height(),
                ExtendedColorType::Rgb8,
            ),
            CropFormat::Png => PngEncoder::new(&mut bytes).write_image(
                crop.as_raw(),
                crop.width(),
                crop.height(),
                ExtendedColorType::Rgb8,
            ),
        }
        .map_err(|error| RecordError::Encode(error.to_string()))?;
        write_whole(&path, &bytes).map_err(|source| RecordError::Write { path: path.clone(), source })?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Ok(format!("{CROPS}/{name}"))
    }
}

/// Writes a file so that it is there whole or not at all: under a temporary name, synced, then
/// renamed.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("part");
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let renamed = written.and_then(|()| std::fs::rename(&temporary, path));
    if renamed.is_err() {
        // The first error is the one to tell; a full disk gets its space back.
        let _ = std::fs::remove_file(&temporary);
    }
    renamed?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Makes a new name last through a power cut.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Makes the log end with a whole line; the number of bytes moved to `torn`.
///
/// A last line that only lacks its end is given one. Anything else behind the last line end (a
/// part of a line, or the zero bytes that a file system leaves after a power cut) is moved.
fn repair(file: &mut File, torn: &Path) -> std::io::Result<u64> {
    let length = file.seek(SeekFrom::End(0))?;
    let whole = end_of_last_line(file, length)?;
    if whole == length {
        return Ok(0);
    }
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(whole))?;
    file.read_to_end(&mut tail)?;
    if serde_json::from_slice::<Line>(&tail).is_ok() {
        file.write_all(b"\n")?;
        file.sync_data()?;
        return Ok(0);
    }
    let mut aside = OpenOptions::new().append(true).create(true).open(torn)?;
    aside.write_all(&tail)?;
    aside.write_all(b"\n")?;
    aside.sync_all()?;
    file.set_len(whole)?;
    file.sync_all()?;
    Ok(tail.len() as u64)
}

/// Where the last line that has an end ends; 0 if there is none.
fn end_of_last_line(file: &mut File, length: u64) -> std::io::Result<u64> {
    const STEP: u64 = 4096;
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(STEP);
        let mut part = vec![0; (end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut part)?;
        if let Some(at) = part.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Moment;
    use crate::vision::Region;
    use anchorwatch_core::Verdict;
    use proptest::prelude::*;

    fn event(id: &str) -> Event {
        let region = Region { id: 0, x: 2, y: 1, width: 8, height: 6 };
        let verdict = Verdict { class: Some(0), score: 12.0, ..Verdict::not_finite(10.0) };
        let classes = ["cat".to_string()];
        Event::new(
            id.into(),
            Phase::Single,
            Moment::at(SystemTime::UNIX_EPOCH), // every line of the same length
            "a test",
            4,
            region,
            &verdict,
            &[12.0],
            &classes,
            "ab12",
        )
    }

    fn lines(folder: &Path) -> Vec<Event> {
        let text = std::fs::read_to_string(folder.join(LOG_NAME)).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn events_are_appended_with_their_crops() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("new/events");
        let crop = RgbImage::from_fn(8, 6, |x, y| image::Rgb([x as u8 * 10, y as u8 * 20, 77]));
        let mut ids = Vec::new();
        for format in [CropFormat::Png, CropFormat::Jpeg] {
            let mut log = EventLog::open(&folder, format).unwrap();
            for _ in 0..2 {
                let id = log.next_id(SystemTime::UNIX_EPOCH);
                let mut event = event(&id);
                log.record(&mut event, Some(&crop)).unwrap();
                let saved = crate::vision::load_picture(&folder.join(event.crop.unwrap())).unwrap();
                assert_eq!(saved.dimensions(), (8, 6));
                if format == CropFormat::Png {
                    assert_eq!(saved, crop);
                }
                ids.push(id);
            }
        }
        let written = lines(&folder);
        assert_eq!(written.len(), 4);
        assert!(written.iter().zip(&ids).all(|(event, id)| event.id == *id));
        let left_over = std::fs::read_dir(folder.join(CROPS)).unwrap().filter(|entry| {
            entry.as_ref().unwrap().path().extension().is_some_and(|ending| ending == "part")
        });
        assert_eq!(left_over.count(), 0);
    }

    #[test]
    fn the_best_frame_has_a_crop_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = EventLog::open(folder.path(), CropFormat::Png).unwrap();
        let mut names = Vec::new();
        for phase in [Phase::Started, Phase::Finished] {
            let mut event = Event { phase, ..event("one") };
            log.record(&mut event, Some(&RgbImage::new(8, 6))).unwrap();
            names.push(event.crop.unwrap());
        }
        assert_eq!(names, ["crops/one.png", "crops/one-best.png"]);
        assert!(names.iter().all(|name| folder.path().join(name).exists()));
    }

    #[test]
    fn the_clock_may_start_anew_without_anything_being_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let crop = RgbImage::new(8, 6);
        let mut ids = std::collections::BTreeSet::new();
        for _ in 0..3 {
            let mut log = EventLog::open(folder.path(), CropFormat::Jpeg).unwrap();
            let id = log.next_id(SystemTime::UNIX_EPOCH);
            log.record(&mut event(&id), Some(&crop)).unwrap();
            assert!(ids.insert(id));
        }
    }

    #[test]
    fn two_programs_cannot_write_to_one_log() {
        let folder = tempfile::tempdir().unwrap();
        let _log = EventLog::open(folder.path(), CropFormat::Jpeg).unwrap();
        assert!(matches!(EventLog::open(folder.path(), CropFormat::Jpeg), Err(RecordError::InUse(_))));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(matches!(
            EventLog::open(&file.join("events"), CropFormat::Jpeg),
            Err(RecordError::Write { .. })
        ));
    }

    #[test]
    fn zeros_left_by_a_power_cut_are_moved_aside() {
        let folder = tempfile::tempdir().unwrap();
        EventLog::open(folder.path(), CropFormat::Jpeg).unwrap().record(&mut event("a"), None).unwrap();
        let mut file = OpenOptions::new().append(true).open(folder.path().join(LOG_NAME)).unwrap();
        file.write_all(&[0; 10_000]).unwrap();
        let mut log = EventLog::open(folder.path(), CropFormat::Jpeg).unwrap();
        assert_eq!(log.recovered(), 10_000);
        log.record(&mut event("b"), None).unwrap();
        assert_eq!(lines(folder.path()).len(), 2);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Cut anywhere, the log parses on, and every byte is still somewhere.
        #[test]
        fn a_power_cut_loses_nothing(cut in 0usize..2000) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(LOG_NAME);
            let mut log = EventLog::open(folder.path(), CropFormat::Jpeg).unwrap();
            for id in ["a", "b", "c"] {
                log.record(&mut event(id), None).unwrap();
            }
            drop(log);
            let whole = std::fs::read(&path).unwrap();
            let cut = cut % whole.len();
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut log = EventLog::open(folder.path(), CropFormat::Jpeg).unwrap();
            log.record(&mut event("d"), None).unwrap();
            let kept = lines(folder.path());
            prop_assert_eq!(kept.last().unwrap().id.as_str(), "d");
            let line = whole.len() / 3;
            // A line that lacks its end only is whole.
            prop_assert_eq!(kept.len(), (cut + 1) / line + 1);
            let torn = std::fs::read(folder.path().join(TORN_NAME)).unwrap_or_default();
            let before = std::fs::read(&path).unwrap();
            let all = [&before[..(kept.len() - 1) * line], &torn].concat();
            prop_assert!(all.starts_with(&whole[..cut]));
        }
    }

    /// The test's own program once more, in a shell that lets no file grow beyond some blocks of
    /// 512 or 1024 bytes: that is what a full disk looks like.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_an_error_and_leaves_the_log_whole() {
        const FOLDER: &str = "ANCHORWATCH_TEST_FULL_DISK";
        const NAME: &str = "record::event_log::tests::a_full_disk_is_an_error_and_leaves_the_log_whole";
        if let Some(folder) = std::env::var_os(FOLDER) {
            let folder = Path::new(&folder);
            let mut log = EventLog::open(folder, CropFormat::Jpeg).unwrap();
            let mut written = 0;
            let error = loop {
                match log.record(&mut event(&format!("{written:04}")), None) {
                    Ok(()) => written += 1,
                    Err(error) => break error,
                }
                assert!(written < 1000, "the limit does not hold");
            };
            assert!(matches!(error, RecordError::Write { .. }));
            assert!(written > 0);
            assert_eq!(lines(folder).len(), written);
            // A crop whose line does not fit leaves nothing behind.
            let mut more = event("more");
            assert!(log.record(&mut more, Some(&RgbImage::new(8, 6))).is_err());
            assert_eq!(more.crop, None);
            // Nor does one that does not fit itself. Noise, so that it stays large.
            let noise = RgbImage::from_fn(200, 200, |x, y| {
                image::Rgb([0, 1, 2].map(|c| (x * 7919 + y * 104_729 + c * 31 * x * y) as u8))
            });
            assert!(log.record(&mut event("large"), Some(&noise)).is_err());
            assert_eq!(std::fs::read_dir(folder.join(CROPS)).unwrap().count(), 0);
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let output = std::process::Command::new("sh")
            // Without the trap the signal of the limit would end the program.
            .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" --exact \"$1\""])
            .arg(std::env::current_exe().unwrap())
            .arg(NAME)
            .env(FOLDER, folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && said.contains("1 passed"),
            "{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        // With room again it goes on.
        let before = lines(folder.path()).len();
        EventLog::open(folder.path(), CropFormat::Jpeg).unwrap().record(&mut event("after"), None).unwrap();
        assert_eq!(lines(folder.path()).len(), before + 1);
    }
}
