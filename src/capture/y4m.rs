//! YUV4MPEG2 (`.y4m`), the uncompressed video that every video tool reads and writes: 8 bits,
//! 4:2:0, 4:2:2, 4:1:1, 4:4:4 or luma only.
//!
//! Read here and not by a library, since a truncated file has to be told from one that ends.

use super::colour::{self, Range, Subsampling};
use super::frame::Frame;
use super::moment::Moment;
use super::source::{CaptureError, is_usable_size};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// The longest header line that is read.
const LONGEST_LINE: u64 = 4096;

/// An open video.
pub struct Y4m {
    path: String,
    reader: BufReader<File>,
    header: Header,
    frames: u64,
    next: u64,
    bytes: Vec<u8>,
    /// Nothing can be read after a damaged frame.
    broken: bool,
}

/// What the first line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    width: u32,
    height: u32,
    /// `None`: luma only.
    chroma: Option<Subsampling>,
    range: Range,
}

impl Y4m {
    pub(super) fn open(path: &Path) -> Result<Self, CaptureError> {
        let failed = |source| CaptureError::Read { path: path.to_path_buf(), source };
        let file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let mut reader = BufReader::new(file);
        let line = read_line(&mut reader).map_err(failed)?;
        let header = Header::parse(&line)
            .map_err(|why| CaptureError::Video { path: path.display().to_string(), why })?;
        let frame_length = header.frame_bytes() as u64 + "FRAME\n".len() as u64;
        // The last one may be a part only: then it is counted, and found wanting when it is read.
        let frames = length.saturating_sub(line.len() as u64).div_ceil(frame_length);
        if frames == 0 {
            let why = "it has a header, but no frames".to_string();
            return Err(CaptureError::Video { path: path.display().to_string(), why });
        }
        Ok(Self {
            path: path.display().to_string(),
            reader,
            header,
            frames,
            next: 0,
            bytes: Vec::new(),
            broken: false,
        })
    }

    pub(super) fn next_frame(&mut self) -> Result<Option<Frame>, CaptureError> {
        if self.broken {
            return Ok(None);
        }
        match self.read_frame() {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(why) => {
                self.broken = true;
                return Err(CaptureError::BrokenFrame { path: self.path.clone(), frame: self.next, why });
            }
        }
        let Header { width, height, chroma, range } = self.header;
        let picture = match chroma {
            Some(subsampling) => colour::planar(&self.bytes, width, height, subsampling, range),
            None => colour::grey(&self.bytes, width, height, width as usize),
        };
        let Some(picture) = picture else {
            return Ok(None);
        };
        let frame = Frame { picture, index: self.next, name: self.path.clone(), captured: Moment::now() };
        self.next += 1;
        Ok(Some(frame))
    }

    /// Fills `bytes`; whether there was a frame, or what is wrong with it.
    fn read_frame(&mut self) -> Result<bool, String> {
        let line = read_line(&mut self.reader).map_err(|error| error.to_string())?;
        if line.is_empty() {
            return Ok(false);
        }
        if !line.starts_with(b"FRAME") || line.last() != Some(&b'\n') {
            return Err("no FRAME mark where one must be".to_string());
        }
        let needed = self.header.frame_bytes();
        self.bytes.clear();
        let got = (&mut self.reader)
            .take(needed as u64)
            .read_to_end(&mut self.bytes)
            .map_err(|error| error.to_string())?;
        if got < needed {
            return Err(format!("{got} of its {needed} bytes are there"));
        }
        Ok(true)
    }

    pub(super) fn frame_count(&self) -> Option<u64> {
        Some(self.frames)
    }
}

/// A line with its end, or what there is of one; empty at the end of the file.
fn read_line(reader: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let mut line = Vec::new();
    reader.take(LONGEST_LINE).read_until(b'\n', &mut line)?;
    Ok(line)
}

impl Header {
    fn parse(line: &[u8]) -> Result<Self, String> {
        let text = line
            .strip_prefix(b"YUV4MPEG2")
            .and_then(|rest| rest.strip_suffix(b"\n"))
            .and_then(|rest| std::str::from_utf8(rest).ok())
            .ok_or("it does not begin with a YUV4MPEG2 line")?;
        let [mut width, mut height] = [0u32; 2];
        let (mut chroma, mut range) = (Some(Subsampling::S420), Range::Limited);
        for parameter in text.split_ascii_whitespace() {
            let Some(kind) = parameter.chars().next() else {
                continue;
            };
            let value = &parameter[kind.len_utf8()..];
            let number = || value.parse().map_err(|_| format!("its header says '{parameter}'"));
            match kind {
                'W' => width = number()?,
                'H' => height = number()?,
                'C' => chroma = subsampling(value)?,
                'X' if value == "COLORRANGE=FULL" => range = Range::Full,
                _ => {} // frame rate, interlacing and pixel aspect change nothing here
            }
        }
        if !is_usable_size(width, height) {
            return Err(format!("its frames are {width}×{height}, which is none or too large"));
        }
        Ok(Self { width, height, chroma, range })
    }

    /// Bytes of one frame, without the FRAME line.
    fn frame_bytes(&self) -> usize {
        let luma = self.width as usize * self.height as usize;
        let chroma = self.chroma.map_or(0, |subsampling| {
            let [columns, rows] = subsampling.chroma_size(self.width, self.height);
            columns * rows
        });
        luma + 2 * chroma
    }
}

/// What the `C` parameter stands for.
fn subsampling(name: &str) -> Result<Option<Subsampling>, String> {
    Ok(Some(match name {
        "mono" => return Ok(None),
        "420" | "420jpeg" | "420mpeg2" | "420paldv" => Subsampling::S420,
        "422" => Subsampling::S422,
        "411" => Subsampling::S411,
        "444" => Subsampling::S444,
        _ => {
            return Err(format!("its pixels are '{name}': only 8-bit 420, 422, 411, 444 and mono are read"));
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::PathBuf;

    fn video(folder: &tempfile::TempDir, bytes: &[u8]) -> PathBuf {
        let path = folder.path().join("video.y4m");
        std::fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn frames_of_odd_size_in_every_layout() {
        let folder = tempfile::tempdir().unwrap();
        for (layout, chroma) in [
            ("Cmono", 0),
            (" C420jpeg", 2 * 2 * 2),
            ("C422", 2 * 2 * 3),
            ("C444", 2 * 9),
            ("C411", 2 * 3),
            ("", 8),
        ] {
            let mut bytes = format!("YUV4MPEG2 W3 H3 F25:1 Ip A1:1 {layout}\n").into_bytes();
            for luma in [16, 235] {
                bytes.extend(b"FRAME\n");
                bytes.extend([luma; 9]);
                bytes.extend(std::iter::repeat_n(128, chroma));
            }
            let mut y4m = Y4m::open(&video(&folder, &bytes)).unwrap();
            assert_eq!(y4m.frame_count(), Some(2), "{layout}");
            let levels: Vec<u8> = std::iter::from_fn(|| y4m.next_frame().unwrap())
                .map(|frame| {
                    assert_eq!(frame.picture.dimensions(), (3, 3));
                    frame.picture.get_pixel(2, 2).0[1]
                })
                .collect();
            let expected = if layout == "Cmono" { [16, 235] } else { [0, 255] };
            assert_eq!(levels, expected, "{layout}");
        }
    }

    #[test]
    fn a_truncated_frame_is_named_and_those_before_it_are_there() {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = b"YUV4MPEG2 W2 H2 C444 XCOLORRANGE=FULL\nFRAME\n".to_vec();
        bytes.extend([128; 12]);
        bytes.extend(b"FRAME\n");
        bytes.extend([128; 11]);
        let mut y4m = Y4m::open(&video(&folder, &bytes)).unwrap();
        assert_eq!(y4m.next_frame().unwrap().unwrap().picture.get_pixel(0, 0).0, [128; 3]);
        let error = y4m.next_frame().unwrap_err();
        assert!(matches!(error, CaptureError::BrokenFrame { frame: 1, .. }), "{error}");
        assert!(y4m.next_frame().unwrap().is_none());
    }

    #[test]
    fn headers_that_are_none_are_errors() {
        for header in [
            "",
            "RIFF",
            "YUV4MPEG2 W2 H2",
            "YUV4MPEG2 W2\n",
            "YUV4MPEG2 W-2 H2\n",
            "YUV4MPEG2 W2 H2 C420p10\n",
            "YUV4MPEG2 W4294967295 H4294967295\n",
            "YUV4MPEG2 W99999999999 H2\n",
            "YUV4MPEG2 W16000 H16000\n",
        ] {
            let folder = tempfile::tempdir().unwrap();
            assert!(
                matches!(Y4m::open(&video(&folder, header.as_bytes())), Err(CaptureError::Video { .. })),
                "{header}"
            );
        }
        let folder = tempfile::tempdir().unwrap();
        assert!(Y4m::open(&video(&folder, b"YUV4MPEG2 W2 H2\n")).is_err());
    }

    proptest! {
        /// Whatever is in the file: frames or an error, and an end.
        #[test]
        fn any_bytes_end(tail in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..60) {
            let folder = tempfile::tempdir().unwrap();
            let mut bytes = b"YUV4MPEG2 W2 H2 C444\nFRAME\n............FRAME\n............"[..cut.min(57)].to_vec();
            bytes.extend(tail);
            if let Ok(mut y4m) = Y4m::open(&video(&folder, &bytes)) {
                let mut frames = 0;
                while let Ok(Some(_)) = y4m.next_frame() {
                    frames += 1;
                }
                prop_assert!(frames <= 20);
            }
        }
    }
}
