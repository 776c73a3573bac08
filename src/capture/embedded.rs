//! Pictures inside this program as a source, for the demo.

use super::frame::Frame;
use super::moment::Moment;
use super::source::CaptureError;
use crate::vision::{PictureError, decode_picture};

/// Picture files in memory with their names.
pub struct Embedded {
    pictures: &'static [(&'static str, &'static [u8])],
    next: usize,
}

impl Embedded {
    /// From names and files' bytes.
    pub fn new(pictures: &'static [(&'static str, &'static [u8])]) -> Self {
        Self { pictures, next: 0 }
    }

    pub(super) fn next_frame(&mut self) -> Result<Option<Frame>, CaptureError> {
        let Some((name, bytes)) = self.pictures.get(self.next) else {
            return Ok(None);
        };
        let picture = decode_picture(bytes)
            .map_err(|why| PictureError::File { path: name.into(), why: Box::new(why) })?;
        let (index, name) = (self.next as u64, (*name).to_string());
        self.next += 1;
        Ok(Some(Frame { picture, index, name, captured: Moment::now() }))
    }

    pub(super) fn count(&self) -> u64 {
        self.pictures.len() as u64
    }
}
