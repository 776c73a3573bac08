//! Picture files as a source: one file, a folder with everything below it, or a pattern.

use super::frame::{Frame, Skipped};
use super::moment::Moment;
use super::source::CaptureError;
use crate::vision::{is_picture, load_picture};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A list of picture files, read one after another in the order of their paths.
pub struct Pictures {
    place: String,
    paths: Vec<PathBuf>,
    next: usize,
    /// One picture was asked for by name: then it is an error if it cannot be used.
    single: bool,
    skipped: Vec<Skipped>,
}

impl Pictures {
    /// One picture.
    pub(super) fn file(path: &Path) -> Self {
        Self::new(path.display().to_string(), vec![path.to_path_buf()], true)
    }

    /// Every picture in a folder and its subfolders. Hidden files and folders (`.name`) and files
    /// that are no pictures by their ending are ignored.
    pub(super) fn folder(root: &Path) -> Result<Self, CaptureError> {
        let mut paths = Vec::new();
        let mut visited = BTreeSet::new();
        let mut folders = vec![root.to_path_buf()];
        while let Some(folder) = folders.pop() {
            let failed = |source| CaptureError::Read { path: folder.clone(), source };
            // A link may lead back to a folder above: each folder is read once.
            if !visited.insert(std::fs::canonicalize(&folder).map_err(failed)?) {
                continue;
            }
            for entry in std::fs::read_dir(&folder).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                if entry.file_name().to_string_lossy().starts_with('.') {
                    continue;
                }
                let path = entry.path();
                // A link that leads nowhere has no metadata; as a picture it is skipped by name.
                if path.is_dir() {
                    folders.push(path);
                } else if is_picture(&path) {
                    paths.push(path);
                }
            }
        }
        Self::list(root.display().to_string(), paths)
    }

    /// Every picture that a pattern such as `DIR/*.jpg` or `DIR/**/*.png` names.
    pub(super) fn pattern(pattern: &str) -> Result<Self, CaptureError> {
        let unusable = |why: String| CaptureError::Pattern { pattern: pattern.to_string(), why };
        let mut paths = Vec::new();
        for path in glob::glob(pattern).map_err(|error| unusable(error.to_string()))? {
            let path = path.map_err(|error| unusable(error.to_string()))?;
            if is_picture(&path) && !path.is_dir() {
                paths.push(path);
            }
        }
        Self::list(pattern.to_string(), paths)
    }

    fn list(place: String, mut paths: Vec<PathBuf>) -> Result<Self, CaptureError> {
        if paths.is_empty() {
            return Err(CaptureError::NoPictures(place));
        }
        paths.sort();
        Ok(Self::new(place, paths, false))
    }

    fn new(place: String, paths: Vec<PathBuf>, single: bool) -> Self {
        Self { place, paths, next: 0, single, skipped: Vec::new() }
    }

    pub(super) fn next_frame(&mut self) -> Result<Option<Frame>, CaptureError> {
        while let Some(path) = self.paths.get(self.next) {
            let index = self.next as u64;
            self.next += 1;
            match load_picture(path) {
                Ok(picture) => {
                    let (name, captured) = (path.display().to_string(), Moment::now());
                    return Ok(Some(Frame { picture, index, name, captured }));
                }
                Err(why) if self.single => return Err(why.into()),
                Err(why) => {
                    self.skipped.push(Skipped { path: path.display().to_string(), why: why.to_string() });
                }
            }
        }
        match self.skipped.first() {
            Some(first) if self.skipped.len() == self.paths.len() => Err(CaptureError::NoneUsable {
                place: self.place.clone(),
                count: self.paths.len(),
                first: first.why.clone(),
            }),
            _ => Ok(None),
        }
    }

    /// The files, in the order they are read.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    pub(super) fn count(&self) -> u64 {
        self.paths.len() as u64
    }

    pub(super) fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::RgbImage;

    fn names(pictures: &mut Pictures) -> Vec<String> {
        let mut names = Vec::new();
        while let Some(frame) = pictures.next_frame().unwrap() {
            names.push(Path::new(&frame.name).file_name().unwrap().to_string_lossy().into_owned());
        }
        names
    }

    #[test]
    fn a_folder_is_read_sorted_with_the_broken_named() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("b");
        std::fs::create_dir(&below).unwrap();
        std::fs::create_dir(folder.path().join(".thumbnails")).unwrap();
        let picture = RgbImage::new(4, 3);
        for name in ["c.png", "a.PNG", "b/z.bmp", ".hidden.png", ".thumbnails/a.png"] {
            picture.save_with_format(folder.path().join(name), image::ImageFormat::Png).unwrap();
        }
        std::fs::write(folder.path().join("notes.txt"), "no picture").unwrap();
        std::fs::write(below.join("empty.jpg"), "").unwrap();
        let mut pictures = Pictures::folder(folder.path()).unwrap();
        assert_eq!(pictures.count(), 4);
        assert_eq!(names(&mut pictures), ["a.PNG", "z.bmp", "c.png"]);
        assert_eq!(pictures.skipped().len(), 1);
        assert!(pictures.skipped()[0].path.ends_with("empty.jpg"));
        assert!(pictures.skipped()[0].why.contains("empty"), "{}", pictures.skipped()[0].why);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_above_ends() {
        let folder = tempfile::tempdir().unwrap();
        RgbImage::new(1, 1).save(folder.path().join("a.png")).unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("again")).unwrap();
        assert_eq!(Pictures::folder(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_without_pictures_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("notes.txt"), "no picture").unwrap();
        assert!(matches!(Pictures::folder(folder.path()), Err(CaptureError::NoPictures(_))));
    }

    #[test]
    fn a_folder_of_broken_pictures_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.png"), "").unwrap();
        std::fs::write(folder.path().join("b.png"), "hello").unwrap();
        let mut pictures = Pictures::folder(folder.path()).unwrap();
        assert!(matches!(pictures.next_frame(), Err(CaptureError::NoneUsable { count: 2, .. })));
    }

    #[test]
    fn a_pattern_names_pictures() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.png", "b.png", "c.bmp"] {
            RgbImage::new(1, 1).save(folder.path().join(name)).unwrap();
        }
        let pattern = folder.path().join("*.png");
        assert_eq!(names(&mut Pictures::pattern(pattern.to_str().unwrap()).unwrap()), ["a.png", "b.png"]);
    }

    #[test]
    fn one_broken_picture_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        std::fs::write(&path, "").unwrap();
        let error = Pictures::file(&path).next_frame().unwrap_err().to_string();
        assert!(error.contains("a.png"), "{error}");
    }
}
