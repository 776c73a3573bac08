//! V4L2 cameras (`/dev/videoN`): USB webcams, and whatever else Linux has a capture driver for.
//! Opens, chooses a format, and reads frames; a camera that goes away is an error here, and what is
//! done about it is decided elsewhere.

use super::colour;
use super::frame::{Frame, Skipped};
use super::mjpeg;
use super::source::{CaptureError, SourceOptions, is_usable_size};
use image::RgbImage;
use std::io::ErrorKind;
use std::time::{Duration, SystemTime};
use v4l::buffer::{Flags as BufferFlags, Type};
use v4l::capability::Flags;
use v4l::io::mmap::Stream;
use v4l::io::traits::CaptureStream;
use v4l::video::Capture;
use v4l::{Device, Format, FourCC};

/// The pixel formats that are understood, the cheapest to convert first. Motion JPEG comes before
/// the others for pictures larger than this many pixels, where USB 2 is too slow for raw ones.
const FORMATS: [&[u8; 4]; 4] = [b"YUYV", b"NV12", b"MJPG", b"GREY"];
const LARGEST_RAW: u32 = 800 * 600;

/// What is asked for when nothing else is said.
const USUAL_SIZE: (u32, u32) = (640, 480);

/// The driver's frame buffers.
const BUFFERS: u32 = 4;

/// Damaged frames one after another, after which the camera is given up. A few at the start are
/// usual.
const MOST_DAMAGED: u32 = 30;

/// The last so many damaged frames are kept by name.
const MOST_SKIPPED: usize = 100;

/// An open camera that delivers.
pub struct Camera {
    device: String,
    stream: Stream<'static>,
    format: Format,
    timeout: Duration,
    next: u64,
    skipped: Vec<Skipped>,
}

impl Camera {
    pub(super) fn open(device: &str, options: &SourceOptions) -> Result<Self, CaptureError> {
        let fails = |why: String| CaptureError::Camera { device: device.to_string(), why };
        let camera = Device::with_path(device).map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied => fails(
                "no permission: add the user to the group 'video' (usermod -aG video NAME) and log in again"
                    .to_string(),
            ),
            _ => fails(error.to_string()),
        })?;
        let capabilities =
            camera.query_caps().map_err(|error| fails(format!("it is no camera ({error})")))?.capabilities;
        if !capabilities.contains(Flags::VIDEO_CAPTURE | Flags::STREAMING) {
            // A webcam has a second device for metadata; CSI cameras have raw sensor devices.
            return Err(fails(
                "it is a video device, but gives no frames: try the other /dev/video*".to_string(),
            ));
        }
        let format = choose_format(&camera, options).map_err(fails)?;
        let mut stream = Stream::with_buffers(&camera, Type::VideoCapture, BUFFERS).map_err(|error| {
            fails(if error.raw_os_error() == Some(EBUSY) { BUSY.to_string() } else { error.to_string() })
        })?;
        // A timeout of 0 would give up at once, and one above i32 milliseconds is none.
        let timeout = options.frame_timeout.clamp(Duration::from_millis(1), Duration::from_secs(24 * 3600));
        stream.set_timeout(timeout);
        Ok(Self { device: device.to_string(), stream, format, timeout, next: 0, skipped: Vec::new() })
    }

    pub(super) fn next_frame(&mut self) -> Result<Option<Frame>, CaptureError> {
        for _ in 0..MOST_DAMAGED {
            let (buffer, metadata) = self.stream.next().map_err(|error| CaptureError::Camera {
                device: self.device.clone(),
                why: match error.kind() {
                    ErrorKind::TimedOut => {
                        format!("no frame came for {:?}: is it still connected?", self.timeout)
                    }
                    _ if error.raw_os_error() == Some(ENODEV) => "it was disconnected".to_string(),
                    _ if error.raw_os_error() == Some(EBUSY) => BUSY.to_string(),
                    _ => error.to_string(),
                },
            })?;
            let captured = SystemTime::now();
            let index = self.next;
            self.next += 1;
            let used = buffer.get(..metadata.bytesused as usize).unwrap_or(buffer);
            let decoded = if metadata.flags.contains(BufferFlags::ERROR) {
                Err("the driver says that it is damaged".to_string())
            } else {
                decode(used, &self.format)
            };
            match decoded {
                Ok(picture) => {
                    return Ok(Some(Frame { picture, index, name: self.device.clone(), captured }));
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

    pub(super) fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }
}

const ENODEV: i32 = 19;
const EBUSY: i32 = 16;
const BUSY: &str = "another program uses it";

/// Sets the best of the understood formats. An error is the reason, for people.
fn choose_format(camera: &Device, options: &SourceOptions) -> Result<Format, String> {
    let offered: Vec<FourCC> = camera
        .enum_formats()
        .map_err(|error| error.to_string())?
        .into_iter()
        .map(|format| format.fourcc)
        .collect();
    let (width, height) = options.camera_size.unwrap_or(USUAL_SIZE);
    let mut formats = FORMATS;
    if width.saturating_mul(height) > LARGEST_RAW {
        formats.sort_by_key(|format| *format != b"MJPG");
    }
    for fourcc in formats.map(FourCC::new) {
        if !offered.contains(&fourcc) {
            continue;
        }
        let format = camera.set_format(&Format::new(width, height, fourcc)).map_err(|error| {
            if error.raw_os_error() == Some(EBUSY) { BUSY.to_string() } else { error.to_string() }
        })?;
        if format.fourcc != fourcc {
            continue; // the driver has put another one in its place
        }
        if !is_usable_size(format.width, format.height) {
            return Err(format!(
                "its frames are {}×{}, which is none or too large",
                format.width, format.height
            ));
        }
        if (format.width, format.height) != (width, height) {
            log::info!("the camera gives {}×{} and not {width}×{height}", format.width, format.height);
        }
        return Ok(format);
    }
    let offered: Vec<String> = offered.iter().map(FourCC::to_string).collect();
    Err(format!("it offers {}, of which none is understood (YUYV, NV12, MJPG, GREY)", offered.join(", ")))
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
}
