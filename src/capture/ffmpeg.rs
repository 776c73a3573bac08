//! Videos and streams that this program cannot decode itself, through the `ffmpeg` program.
//!
//! ffmpeg writes each frame as a PPM picture: its header tells the size, and the conversion to RGB
//! follows the video's own colour space.

use super::frame::Frame;
use super::moment::Moment;
use super::source::{CaptureError, is_usable_size};
use image::RgbImage;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

/// How much of what ffmpeg complains about is kept, in bytes.
const LONGEST_COMPLAINT: usize = 2000;

/// A running ffmpeg.
pub struct FfmpegPipe {
    input: String,
    child: Child,
    frames: BufReader<Patient>,
    complaint: Option<JoinHandle<String>>,
    /// Number of its first frame.
    first: u64,
    next: u64,
    finished: bool,
}

impl FfmpegPipe {
    /// A video file.
    pub(super) fn file(path: &Path) -> Result<Self, CaptureError> {
        // Without the prefix, a colon in the name would make it an address.
        Self::start("ffmpeg", path.display().to_string(), format!("file:{}", path.display()), 0, None)
    }

    /// An address such as `rtsp://camera/stream`, whose frames are counted from `next` on; broken
    /// off when it gives nothing for so long.
    pub(super) fn stream(address: &str, next: u64, timeout: Duration) -> Result<Self, CaptureError> {
        Self::start("ffmpeg", address.to_string(), address.to_string(), next, Some(timeout))
    }

    fn start(
        program: &str,
        input: String,
        argument: String,
        next: u64,
        timeout: Option<Duration>,
    ) -> Result<Self, CaptureError> {
        let mut command = Command::new(program);
        command.args(["-hide_banner", "-loglevel", "error", "-nostdin", "-i"]).arg(argument);
        command.args(["-map", "0:v:0", "-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "-"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => CaptureError::NoFfmpeg(input.clone()),
            _ => CaptureError::Read { path: program.into(), source },
        })?;
        let (Some(frames), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(CaptureError::Video { path: input, why: "ffmpeg gives no output".to_string() });
        };
        // A thread, since ffmpeg stands still when nobody reads its complaints.
        let complaint = std::thread::spawn(move || last_of(stderr));
        let frames = BufReader::with_capacity(1 << 20, Patient { pipe: frames, timeout });
        Ok(Self { input, child, frames, complaint: Some(complaint), first: next, next, finished: false })
    }

    pub(super) fn next_frame(&mut self) -> Result<Option<Frame>, CaptureError> {
        if self.finished {
            return Ok(None);
        }
        match read_ppm(&mut self.frames) {
            Ok(Some(picture)) => {
                let frame =
                    Frame { picture, index: self.next, name: self.input.clone(), captured: Moment::now() };
                self.next += 1;
                Ok(Some(frame))
            }
            Ok(None) => self.finish(None),
            Err(why) => self.finish(Some(why)),
        }
    }

    /// The end: whether ffmpeg, too, thinks that it was one.
    fn finish(&mut self, broken: Option<String>) -> Result<Option<Frame>, CaptureError> {
        self.finished = true;
        if broken.is_some() {
            // It may go on writing what nobody reads.
            let _ = self.child.kill();
        }
        let ended_well = self.child.wait().is_ok_and(|status| status.success());
        let complaint = self.complaint.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        let why = match broken {
            _ if !complaint.is_empty() && (!ended_well || self.next == self.first) => {
                format!("ffmpeg says: {complaint}")
            }
            Some(why) => why,
            None if !ended_well => "ffmpeg failed without saying why".to_string(),
            None if self.next == self.first => "it has no frames".to_string(),
            None => {
                if !complaint.is_empty() {
                    log::warn!("{}: ffmpeg says: {complaint}", self.input);
                }
                return Ok(None);
            }
        };
        let path = self.input.clone();
        Err(if self.next == self.first {
            CaptureError::Video { path, why }
        } else {
            CaptureError::BrokenFrame { path, frame: self.next, why }
        })
    }
}

/// Reads, and waits no longer than so long for the next bytes.
struct Patient {
    pipe: ChildStdout,
    timeout: Option<Duration>,
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if let Some(timeout) = self.timeout {
            let wait = Timespec {
                tv_sec: timeout.as_secs().min(1 << 30) as i64,
                tv_nsec: i64::from(timeout.subsec_nanos()),
            };
            if poll(&mut [PollFd::new(&self.pipe, PollFlags::IN)], Some(&wait))? == 0 {
                return Err(std::io::Error::new(
                    ErrorKind::TimedOut,
                    format!("nothing came for {timeout:?}"),
                ));
            }
        }
        self.pipe.read(buffer)
    }
}

impl Drop for FfmpegPipe {
    fn drop(&mut self) {
        // Fails when it has ended already, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads to the end and keeps the last lines, in one.
fn last_of(mut stderr: impl Read) -> String {
    let mut kept = Vec::new();
    let mut part = [0; 1024];
    while let Ok(length @ 1..) = stderr.read(&mut part) {
        kept.extend_from_slice(&part[..length]);
        let surplus = kept.len().saturating_sub(LONGEST_COMPLAINT);
        kept.drain(..surplus);
    }
    String::from_utf8_lossy(&kept)
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}

/// One binary PPM as ffmpeg writes it (`P6\n3 2\n255\n` and the pixels), `None` at the end.
fn read_ppm(reader: &mut impl BufRead) -> Result<Option<RgbImage>, String> {
    let mut line = || -> Result<String, String> {
        let mut line = Vec::new();
        reader.by_ref().take(64).read_until(b'\n', &mut line).map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&line).trim_end().to_string())
    };
    let magic = line()?;
    if magic.is_empty() {
        return Ok(None);
    }
    let (size, depth) = (line()?, line()?);
    let size =
        size.split_once(' ').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    let Some((width, height)) = size.filter(|_| magic == "P6" && depth == "255") else {
        return Err("ffmpeg's output is not as expected, or cut off".to_string());
    };
    if !is_usable_size(width, height) {
        return Err(format!("its frames are {width}×{height}, which is too large"));
    }
    let needed = width as usize * height as usize * 3;
    let mut pixels = Vec::with_capacity(needed);
    reader.take(needed as u64).read_to_end(&mut pixels).map_err(|error| error.to_string())?;
    RgbImage::from_raw(width, height, pixels)
        .map(Some)
        .ok_or_else(|| "ffmpeg's output is cut off".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_said_so() {
        let error =
            FfmpegPipe::start("no-such-ffmpeg", "a.mp4".into(), "a.mp4".into(), 0, None).err().unwrap();
        assert!(matches!(error, CaptureError::NoFfmpeg(_)));
    }

    #[test]
    fn ppm_pictures_are_read_one_after_another() {
        let bytes = b"P6\n2 1\n255\nabcdefP6\n1 1\n255\nxyz";
        let mut reader = bytes.as_slice();
        assert_eq!(read_ppm(&mut reader).unwrap().unwrap().as_raw(), b"abcdef");
        assert_eq!(read_ppm(&mut reader).unwrap().unwrap().as_raw(), b"xyz");
        assert!(read_ppm(&mut reader).unwrap().is_none());
        for bytes in [b"P6\n2 1\n255\nabc".as_slice(), b"P5\n2 1\n255\nab", b"P6\n99999 99999\n255\n", b"P6"]
        {
            assert!(read_ppm(&mut &bytes[..]).is_err());
        }
    }
}
