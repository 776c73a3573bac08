//! Which files `fit` would take from a folder, by level and class, and which it would pass over.

use super::findings::{Finding, Item, Kind};
use crate::picture_folder::{HELD_OUT_LEVELS, Levels, class_folders, entries, file_name};
use anchorwatch::vision::is_picture;
use anyhow::{Result, ensure};
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

/// Endings of pictures and videos that people have, and that are not read.
const NOT_READ: [&str; 15] = [
    "heic", "heif", "avif", "jxl", "jp2", "svg", "dng", "cr2", "cr3", "nef", "arw", "psd", "mp4", "mov",
    "avi",
];

/// How deep files that are passed over are looked for.
const DEEPEST: usize = 8;

/// A picture file.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// The file.
    pub path: PathBuf,
    /// Index into the classes.
    pub class: usize,
    /// Index into the levels.
    pub level: usize,
}

/// The picture files of a folder.
#[derive(Debug, PartialEq)]
pub struct Listing {
    /// Names of the classes of all levels, sorted.
    pub classes: Vec<String>,
    /// Names of the levels; what is trained on is the first.
    pub levels: Vec<String>,
    /// The pictures, by level, then class, then name.
    pub pictures: Vec<Listed>,
    /// Class folders without pictures.
    empty: Vec<PathBuf>,
    /// Pictures in a format that is not read.
    unsupported: Vec<PathBuf>,
    /// Pictures that lie where no picture is looked for.
    outside: Vec<PathBuf>,
}

impl Listing {
    /// Lists `DIR/CLASS/…`, or `DIR/train/CLASS/…` with every other level that there is.
    ///
    /// # Errors
    /// If the folder cannot be read, or holds no class folder with pictures.
    pub fn read(folder: &Path) -> Result<Self> {
        let train = Levels::find(folder)?.train;
        let mut levels = vec![train.clone()];
        if train != folder {
            levels.extend(HELD_OUT_LEVELS.iter().map(|name| folder.join(name)).filter(|path| path.is_dir()));
        }
        let by_level = levels.iter().map(|level| class_folders(level)).collect::<Result<Vec<_>>>()?;
        let classes: BTreeSet<&String> = by_level.iter().flat_map(|classes| classes.keys()).collect();
        let classes: Vec<String> = classes.into_iter().cloned().collect();
        ensure!(
            !classes.is_empty(),
            "'{}' has no class folders with pictures in them: it must look like {}/CLASS/*.jpg, one folder a class",
            train.display(),
            folder.display()
        );
        let mut pictures = Vec::new();
        for (level, of_level) in by_level.iter().enumerate() {
            for (class, name) in classes.iter().enumerate() {
                let paths = of_level.get(name).into_iter().flatten();
                pictures.extend(paths.map(|path| Listed { path: path.clone(), class, level }));
            }
        }
        let mut listing = Self {
            classes,
            levels: levels
                .iter()
                .map(|level| if level == folder { "pictures".into() } else { file_name(level) })
                .collect(),
            pictures,
            empty: Vec::new(),
            unsupported: Vec::new(),
            outside: Vec::new(),
        };
        for (level, of_level) in levels.iter().zip(&by_level) {
            let folders = entries(level)?.into_iter().filter(|path| path.is_dir());
            listing.empty.extend(folders.filter(|path| !of_level.contains_key(&file_name(path))));
        }
        let taken: HashSet<PathBuf> = listing.pictures.iter().map(|picture| picture.path.clone()).collect();
        listing.passed_over(folder, DEEPEST, &taken)?;
        Ok(listing)
    }

    /// Pictures of each class at each level: `[class][level]`.
    pub fn counts(&self) -> Vec<Vec<usize>> {
        let mut counts = vec![vec![0; self.levels.len()]; self.classes.len()];
        for picture in &self.pictures {
            counts[picture.class][picture.level] += 1;
        }
        counts
    }

    /// Sorts the files that are not among the pictures.
    fn passed_over(&mut self, folder: &Path, depth: usize, taken: &HashSet<PathBuf>) -> Result<()> {
        for path in entries(folder)? {
            let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
            if path.is_dir() {
                if depth > 1 {
                    self.passed_over(&path, depth - 1, taken)?;
                }
            } else if ending.is_some_and(|ending| NOT_READ.contains(&ending.as_str())) {
                self.unsupported.push(path);
            } else if is_picture(&path) && !taken.contains(&path) {
                self.outside.push(path);
            }
        }
        Ok(())
    }

    /// What names alone tell.
    pub fn findings(&self) -> Vec<Finding> {
        let items = |paths: &[PathBuf]| paths.iter().map(|path| Item::file(path)).collect::<Vec<_>>();
        [
            Finding::new(
                Kind::EmptyClass,
                items(&self.empty),
                |count| format!("{count} class folder(s) without a picture"),
                "They are no class for fit. Put pictures in, or delete the folder.",
            ),
            Finding::new(
                Kind::UnsupportedFormat,
                items(&self.unsupported),
                |count| format!("{count} file(s) in a format that is not read"),
                "fit passes over them. Convert them to JPEG or PNG; of a video, take single frames.",
            ),
            Finding::new(
                Kind::Outside,
                items(&self.outside),
                |count| format!("{count} picture(s) in no class folder, or too deep in it"),
                "fit passes over them. Move them into the folder of their class.",
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}
