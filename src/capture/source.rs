//! Chooses what reads a `--source` and hands its frames on. How each kind is read is in the
//! modules beside this one.

use super::avi::{Avi, AviOpened};
use super::camera_options::SourceOptions;
use super::embedded::Embedded;
use super::ffmpeg::FfmpegPipe;
use super::frame::{Frame, Skipped};
use super::live::Live;
use super::pictures::Pictures;
use super::y4m::Y4m;
use crate::vision::{LARGEST_SIDE, PictureError, is_picture};
use std::path::{Path, PathBuf};

/// Where frames come from.
pub enum Source {
    /// One picture, a folder of them, or those that a pattern names.
    Pictures(Pictures),
    /// Pictures inside this program.
    Embedded(Embedded),
    /// Uncompressed video.
    Y4m(Y4m),
    /// Motion JPEG in AVI.
    Avi(Avi),
    /// Any other video, decoded by the `ffmpeg` program.
    Ffmpeg(FfmpegPipe),
    /// A V4L2 camera or a network stream.
    Live(Box<Live>),
}

/// Why frames cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// Nothing there.
    #[error(
        "there is no '{0}': give a picture, a folder, a pattern such as 'DIR/*.jpg', a video, or a camera such as /dev/video0"
    )]
    NotFound(String),
    /// The operating system refuses.
    #[error("cannot read '{path}': {source}")]
    Read {
        /// The file, folder or device.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A pattern that is not one.
    #[error("'{pattern}' is not a usable pattern: {why}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// The reason.
        why: String,
    },
    /// A folder or pattern without pictures.
    #[error("there are no pictures in '{0}' (JPEG, PNG, GIF, WebP, BMP, PNM or TIFF, by their endings)")]
    NoPictures(String),
    /// Pictures, but none that can be used.
    #[error("none of the {count} pictures in '{place}' can be used; the first: {first}")]
    NoneUsable {
        /// The folder or pattern.
        place: String,
        /// How many there are.
        count: usize,
        /// Why the first of them cannot be used.
        first: String,
    },
    /// The one picture that was asked for is unusable.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// A video that is no video, or damaged.
    #[error("'{path}' is not a usable video: {why}")]
    Video {
        /// The file or address.
        path: String,
        /// The reason.
        why: String,
    },
    /// A video broke off. The frames before it were delivered.
    #[error("'{path}' is truncated or damaged at frame {frame} (counted from 0): {why}")]
    BrokenFrame {
        /// The file.
        path: String,
        /// The frame that is not whole.
        frame: u64,
        /// The reason.
        why: String,
    },
    /// The format needs ffmpeg and there is none.
    #[error(
        "'{0}' needs the program ffmpeg, which is not installed: install it (Debian: apt install ffmpeg), or convert the video to Y4M or MJPEG in AVI elsewhere"
    )]
    NoFfmpeg(String),
    /// A camera fails.
    #[error("camera '{device}': {why}")]
    Camera {
        /// The device.
        device: String,
        /// The reason, and what to do.
        why: String,
    },
}

/// Beginnings of addresses that are handed to ffmpeg.
const STREAMS: [&str; 7] = ["rtsp://", "rtsps://", "http://", "https://", "udp://", "tcp://", "rtmp://"];

impl Source {
    /// Opens a source: a picture, a folder (read recursively), a pattern with `*`, `?` or `[…]`,
    /// a video (`.y4m`, MJPEG `.avi`; others and network streams with ffmpeg), or `/dev/videoN`.
    ///
    /// # Errors
    /// If it is not there, cannot be read, or has nothing usable in it.
    pub fn open(spec: &str, options: &SourceOptions) -> Result<Self, CaptureError> {
        if STREAMS.iter().any(|scheme| spec.starts_with(scheme)) {
            return Ok(Source::Live(Box::new(Live::stream(spec, options)?)));
        }
        let path = Path::new(spec);
        let metadata = match std::fs::metadata(path) {
            Ok(metadata) => metadata,
            // A file whose name has brackets in it is a file first, a pattern second.
            Err(_) if spec.contains(['*', '?', '[']) => {
                return Ok(Source::Pictures(Pictures::pattern(spec)?));
            }
            Err(_) if options.wait && path.starts_with("/dev") => {
                return Ok(Source::Live(Box::new(Live::camera(spec, options)?)));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(CaptureError::NotFound(spec.to_string()));
            }
            Err(source) => {
                return Err(CaptureError::Read { path: path.to_path_buf(), source });
            }
        };
        if metadata.is_dir() {
            return Ok(Source::Pictures(Pictures::folder(path)?));
        }
        if is_character_device(&metadata) {
            return Ok(Source::Live(Box::new(Live::camera(spec, options)?)));
        }
        if is_picture(path) {
            return Ok(Source::Pictures(Pictures::file(path)));
        }
        let ending =
            path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
        match ending.as_str() {
            "y4m" => Ok(Source::Y4m(Y4m::open(path)?)),
            "avi" => match Avi::open(path)? {
                AviOpened::Mjpeg(avi) => Ok(Source::Avi(avi)),
                AviOpened::Other => Ok(Source::Ffmpeg(FfmpegPipe::file(path)?)),
            },
            _ => Ok(Source::Ffmpeg(FfmpegPipe::file(path)?)),
        }
    }

    /// The next frame, `None` after the last one. Unusable pictures of a folder and undecodable
    /// frames of a video are left out and kept in [`skipped`](Self::skipped).
    ///
    /// # Errors
    /// If the source breaks off: a truncated video, a camera that is gone, a single picture that
    /// cannot be used, a folder in which none can.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, CaptureError> {
        match self {
            Source::Pictures(pictures) => pictures.next_frame(),
            Source::Embedded(embedded) => embedded.next_frame(),
            Source::Y4m(y4m) => y4m.next_frame(),
            Source::Avi(avi) => avi.next_frame(),
            Source::Ffmpeg(pipe) => pipe.next_frame(),
            Source::Live(live) => live.next_frame(),
        }
    }

    /// How many frames there will be, as far as that is known beforehand; for a video it is what
    /// its header says, and may be wrong if the file is damaged.
    pub fn frame_count(&self) -> Option<u64> {
        match self {
            Source::Pictures(pictures) => Some(pictures.count()),
            Source::Embedded(embedded) => Some(embedded.count()),
            Source::Y4m(y4m) => y4m.frame_count(),
            Source::Avi(avi) => avi.frame_count(),
            Source::Ffmpeg(_) | Source::Live(_) => None,
        }
    }

    /// Whether frames are pictures that have nothing to do with one another.
    pub fn is_pictures(&self) -> bool {
        matches!(self, Source::Pictures(_) | Source::Embedded(_))
    }

    /// Whether frames come by themselves and are lost when not taken in time.
    pub fn is_live(&self) -> bool {
        matches!(self, Source::Live(_))
    }

    /// A source that can be opened again when it breaks off.
    pub fn live(&mut self) -> Option<&mut Live> {
        match self {
            Source::Live(live) => Some(live),
            _ => None,
        }
    }

    /// What was left out so far, and why.
    pub fn skipped(&self) -> &[Skipped] {
        match self {
            Source::Pictures(pictures) => pictures.skipped(),
            Source::Avi(avi) => avi.skipped(),
            Source::Live(live) => live.skipped(),
            Source::Embedded(_) | Source::Y4m(_) | Source::Ffmpeg(_) => &[],
        }
    }
}

/// Whether a video's frame size can be used: the limit is that of pictures.
pub(super) fn is_usable_size(width: u32, height: u32) -> bool {
    (1..=LARGEST_SIDE).contains(&width)
        && (1..=LARGEST_SIDE).contains(&height)
        && u64::from(width) * u64::from(height) <= 1 << 27
}

#[cfg(unix)]
fn is_character_device(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    metadata.file_type().is_char_device()
}

#[cfg(not(unix))]
fn is_character_device(_metadata: &std::fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open_error(spec: &str) -> CaptureError {
        match Source::open(spec, &SourceOptions::default()) {
            Ok(_) => panic!("'{spec}' was opened"),
            Err(error) => error,
        }
    }

    #[test]
    fn what_is_not_there_is_said_so() {
        assert!(matches!(open_error("/nowhere/at all.jpg"), CaptureError::NotFound(_)));
        assert!(matches!(open_error("/nowhere/*.jpg"), CaptureError::NoPictures(_)));
        assert!(matches!(open_error("/nowhere/[.jpg"), CaptureError::Pattern { .. }));
    }

    #[cfg(all(unix, feature = "v4l"))]
    #[test]
    fn a_device_that_is_no_camera_is_said_so() {
        let message = open_error("/dev/null").to_string();
        assert!(message.contains("/dev/null") && message.contains("camera"), "{message}");
    }

    #[test]
    fn a_file_with_brackets_in_its_name_is_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("frame[1].png");
        image::RgbImage::new(3, 2).save(&path).unwrap();
        let mut source = Source::open(path.to_str().unwrap(), &SourceOptions::default()).unwrap();
        assert_eq!(source.frame_count(), Some(1));
        assert!(!source.is_live());
        assert_eq!(source.next_frame().unwrap().unwrap().picture.dimensions(), (3, 2));
        assert!(source.next_frame().unwrap().is_none());
    }
}
