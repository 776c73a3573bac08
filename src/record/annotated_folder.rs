//! A folder of annotated frames: one JPEG a frame, named after its number.

use super::annotate::{Label, annotate};
use super::event_log::RecordError;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, RgbImage};
use std::path::{Path, PathBuf};

const JPEG_QUALITY: u8 = 90;

/// Where annotated frames go.
pub struct AnnotatedFolder {
    folder: PathBuf,
}

impl AnnotatedFolder {
    /// Makes the folder if it is not there.
    ///
    /// # Errors
    /// If it cannot be made or written to.
    pub fn open(folder: &Path) -> Result<Self, RecordError> {
        let failed = |source| RecordError::Write { path: folder.to_path_buf(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        tempfile::tempfile_in(folder).map_err(failed)?;
        Ok(Self { folder: folder.to_path_buf() })
    }

    /// Draws the labels and writes the frame, whole or not at all; the file's path. `name` is that
    /// of the picture, if it has one of its own.
    ///
    /// # Errors
    /// If the disk is full or fails.
    pub fn write(
        &self,
        picture: &RgbImage,
        labels: &[Label],
        frame: u64,
        name: Option<&str>,
    ) -> Result<PathBuf, RecordError> {
        let drawn = annotate(picture, labels);
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
            .write_image(drawn.as_raw(), drawn.width(), drawn.height(), ExtendedColorType::Rgb8)
            .map_err(|error| RecordError::Encode(error.to_string()))?;
        let name = name.map_or(String::new(), |name| format!("-{name}"));
        let path = self.folder.join(format!("{frame:06}{name}.jpg"));
        let temporary = path.with_extension("part");
        let written = std::fs::write(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, &path));
        if let Err(source) = written {
            let _ = std::fs::remove_file(&temporary); // the first error is the one to tell
            return Err(RecordError::Write { path, source });
        }
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::Region;

    #[test]
    fn frames_are_named_after_number_and_picture() {
        let folder = tempfile::tempdir().unwrap();
        let annotated = AnnotatedFolder::open(&folder.path().join("a/b")).unwrap();
        let picture = RgbImage::new(300, 260);
        let label = Label { region: Region::whole(300, 260), text: "dog 0.42".to_string(), unknown: false };
        let path = annotated.write(&picture, &[label], 7, Some("dog.v2")).unwrap();
        assert_eq!(path, folder.path().join("a/b/000007-dog.v2.jpg"));
        assert_eq!(crate::vision::load_picture(&path).unwrap().dimensions(), (300, 260));
        let path = annotated.write(&picture, &[], 1_234_567, None).unwrap();
        assert_eq!(path, folder.path().join("a/b/1234567.jpg"));
        assert_eq!(std::fs::read_dir(folder.path().join("a/b")).unwrap().count(), 2);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(AnnotatedFolder::open(&file).is_err());
        assert!(AnnotatedFolder::open(&file.join("below")).is_err());
    }
}
