//! V4L2 cameras (`/dev/videoN`): USB webcams, and whatever else Linux has a capture driver for.
//! Opens one, chooses a format, sets its controls and reads frames. A camera that goes away is an
//! error here; [`super::live`] opens it again.

mod controls;
mod formats;
mod listing;

pub use controls::{Control, ControlKind};
pub use formats::{Offer, OfferedSize};
pub use listing::{CameraInfo, cameras};

use super::camera_options::{CameraFormat, SourceOptions};
use super::colour;
use super::frame::{Frame, Skipped};
use super::mjpeg;
use super::moment::Moment;
use super::source::CaptureError;
use image::RgbImage;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};
use v4l::buffer::{Flags as BufferFlags, Metadata, Type};
use v4l::capability::Flags;
use v4l::device::Handle;
use v4l::io::mmap::Stream;
use v4l::io::traits::CaptureStream;
use v4l::{Device, Format};

/// The driver's frame buffers.
const BUFFERS: u32 = 4;

/// Damaged frames one after another, after which the camera is given up, and opened again. A few at
/// the start are usual.
const MOST_DAMAGED: u32 = 30;

/// The last so many damaged frames are kept by name.
const MOST_SKIPPED: usize = 100;

/// An open camera that delivers.
pub struct Camera {
    device: String,
    stream: Stream<'static>,
    format: Format,
    kind: CameraFormat,
    timeout: Duration,
    /// The driver fills buffers.
    running: bool,
    next: u64,
    /// Frames that were there, but had a newer one behind them.
    passed_over: u64,
    skipped: Vec<Skipped>,
}

impl Camera {
    /// Opens a camera whose frames are counted from `next` on. `first`: nothing is forgiven, such as
    /// controls that it does not have; after a re-plug it may be another one.
    pub(super) fn open(
        device: &str,
        options: &SourceOptions,
        next: u64,
        first: bool,
    ) -> Result<Self, CaptureError> {
        let fails = |why: String| CaptureError::Camera { device: device.to_string(), why };
        let camera = Device::with_path(device).map_err(|error| fails(reason(error)))?;
        let capabilities =
            camera.query_caps().map_err(|error| fails(format!("it is no camera ({error})")))?.capabilities;
        if !capabilities.contains(Flags::VIDEO_CAPTURE | Flags::STREAMING) {
            return Err(fails(
                "it is a video device, but gives no frames: see 'anchorwatch cameras' for one that does"
                    .to_string(),
            ));
        }
        let (format, kind) = formats::choose(&camera, options).map_err(fails)?;
        if let Err(why) = controls::set(&camera, &options.camera_controls) {
            if first {
                return Err(fails(why));
            }
            log::warn!("camera '{device}': {why}");
        }
        let mut stream = Stream::with_buffers(&camera, Type::VideoCapture, BUFFERS)
            .map_err(|error| fails(reason(error)))?;
        // A timeout of 0 would give up at once, and one above i32 milliseconds is none.
        let timeout = options.frame_timeout.clamp(Duration::from_millis(1), Duration::from_secs(24 * 3600));
        stream.set_timeout(timeout);
        let device = device.to_string();
        let (running, passed_over, skipped) = (false, 0, Vec::new());
        Ok(Self { device, stream, format, kind, timeout, running, next, passed_over, skipped })
    }

    /// Format and size, for people.
    pub(super) fn description(&self) -> String {
        format!("{}×{} {}", self.format.width, self.format.height, self.kind)
    }

    /// The newest frame. After an error this camera is of no use: v4l would queue a buffer twice.
    pub(super) fn next_frame(&mut self) -> Result<Frame, CaptureError> {
        for _ in 0..MOST_DAMAGED {
            let (index, taken, decoded) = self.newest().map_err(|error| CaptureError::Camera {
                device: self.device.clone(),
                why: match error.kind() {
                    ErrorKind::TimedOut => {
                        format!("no frame came for {:?}: is it still connected?", self.timeout)
                    }
                    _ => reason(error),
                },
            })?;
            match decoded {
                Ok(picture) => {
                    return Ok(Frame { picture, index, name: self.device.clone(), captured: taken });
                }
                Err(why) => {
                    if self.skipped.len() == MOST_SKIPPED {
                        self.skipped.remove(0);
                    }
                    self.skipped.push(Skipped { path: format!("{}, frame {index}", self.device), why });
                }
            }
        }
        let last = self.skipped.last().map_or(String::new(), |skipped| skipped.why.clone());
        Err(CaptureError::Camera {
            device: self.device.clone(),
            why: format!("{MOST_DAMAGED} damaged frames one after another; the last: {last}"),
        })
    }

    /// Waits for a frame, and takes the last one that is there: its number, time and pixels.
    fn newest(&mut self) -> io::Result<(u64, Moment, Result<RgbImage, String>)> {
        let handle = self.stream.handle();
        if self.running {
            // Here and not in the library, where a signal would break the wait off.
            wait_for_frame(&handle, self.timeout)?;
        }
        for further in (0..BUFFERS).rev() {
            // Starts the stream, the first time.
            let (buffer, metadata) = self.stream.next()?;
            self.running = true;
            if further > 0 && is_ready(&handle, Duration::ZERO)? {
                self.passed_over += 1; // there is a newer one
                continue;
            }
            let index = self.next;
            self.next += 1;
            return Ok((index, taken(metadata), decode_buffer(buffer, metadata, &self.format)));
        }
        Err(ErrorKind::TimedOut.into()) // cannot be: the last round returns
    }

    /// How many frames were left because there was a newer one.
    pub(super) fn passed_over(&self) -> u64 {
        self.passed_over
    }

    pub(super) fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }
}

fn wait_for_frame(camera: &Handle, timeout: Duration) -> io::Result<()> {
    let until = Instant::now() + timeout;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if is_ready(camera, left)? {
            return Ok(());
        }
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
    }
}

/// Whether a frame (or an error) is there, or comes within this time. A signal ends the wait.
fn is_ready(camera: &Handle, wait: Duration) -> io::Result<bool> {
    let milliseconds = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
    match camera.poll(libc::POLLIN, milliseconds) {
        Ok(ready) => Ok(ready > 0),
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(false),
        Err(error) => Err(error),
    }
}

/// When the driver says that it was taken; now, if it uses another clock.
fn taken(metadata: &Metadata) -> Moment {
    let monotonic = metadata.flags & BufferFlags::TIMESTAMP_MASK == BufferFlags::TIMESTAMP_MONOTONIC;
    let stamp = metadata.timestamp;
    match (u64::try_from(stamp.sec), u32::try_from(stamp.usec)) {
        (Ok(seconds), Ok(micros)) if monotonic && micros < 1_000_000 => {
            Moment::at_uptime(Duration::new(seconds, micros * 1000))
        }
        _ => Moment::now(),
    }
}

const ENODEV: i32 = 19;
const EBUSY: i32 = 16;

/// What the operating system's refusal means here.
fn reason(error: io::Error) -> String {
    match error.raw_os_error() {
        Some(ENODEV) => "it was disconnected".to_string(),
        Some(EBUSY) => "another program uses it".to_string(),
        _ if error.kind() == ErrorKind::PermissionDenied => {
            "no permission: add the user to the group 'video' (usermod -aG video NAME) and log in again"
                .to_string()
        }
        _ if error.kind() == ErrorKind::NotFound => "it is not there".to_string(),
        _ => error.to_string(),
    }
}

/// A driver's buffer as a picture, or why there is none.
fn decode_buffer(buffer: &[u8], metadata: &Metadata, format: &Format) -> Result<RgbImage, String> {
    if metadata.flags.contains(BufferFlags::ERROR) {
        return Err("the driver says that it is damaged".to_string());
    }
    decode(buffer.get(..metadata.bytesused as usize).unwrap_or(buffer), format)
}

/// A frame's pixels, or why there are none.
fn decode(bytes: &[u8], format: &Format) -> Result<RgbImage, String> {
    let (width, height) = (format.width, format.height);
    // Some drivers leave the row length at 0.
    let stride = |bytes_of_a_row: u32| format.stride.max(bytes_of_a_row) as usize;
    let picture = match &format.fourcc.repr {
        b"MJPG" => return mjpeg::decode_frame(bytes).map_err(|error| error.to_string()),
        b"YUYV" => colour::yuyv(bytes, width, height, stride(width.div_ceil(2) * 4)),
        b"NV12" => colour::nv12(bytes, width, height, stride(width.div_ceil(2) * 2)),
        _ => colour::grey(bytes, width, height, stride(width)),
    };
    picture.ok_or_else(|| format!("it has {} bytes, too few for {width}×{height}", bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use v4l::FourCC;

    #[test]
    fn frames_are_decoded_by_their_format() {
        let format = |fourcc| Format::new(2, 2, FourCC::new(fourcc));
        let white = image::Rgb([255; 3]);
        let yuyv = [235, 128, 235, 128].repeat(2);
        assert_eq!(*decode(&yuyv, &format(b"YUYV")).unwrap().get_pixel(1, 1), white);
        assert_eq!(
            *decode(&[235, 235, 235, 235, 128, 128], &format(b"NV12")).unwrap().get_pixel(1, 1),
            white
        );
        assert_eq!(*decode(&[255; 4], &format(b"GREY")).unwrap().get_pixel(1, 1), white);
        assert!(decode(&yuyv[..7], &format(b"YUYV")).is_err());
        assert!(decode(&yuyv, &format(b"MJPG")).is_err());
    }

    #[test]
    fn a_damaged_buffer_is_no_picture() {
        let format = Format::new(2, 2, FourCC::new(b"GREY"));
        let mut metadata = Metadata { bytesused: 4, ..Metadata::default() };
        assert!(decode_buffer(&[9; 8], &metadata, &format).is_ok());
        metadata.flags = BufferFlags::ERROR;
        assert!(decode_buffer(&[9; 8], &metadata, &format).is_err());
    }
}
