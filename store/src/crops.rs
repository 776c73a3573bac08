//! The crops' files: a thousand a folder, each there whole or not at all.
//!
//! A group of crops is written under temporary names, each file is synced, all are renamed, and then
//! their folders are synced. Only after that may the rows that name them be committed.

use crate::{Crop, StoreError};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The folder of the crops.
pub(crate) const CROPS: &str = "crops";
/// The ending of a file that is being written.
pub(crate) const UNFINISHED: &str = "part";
/// How many numbers share a folder: a folder of a million files is slow on small boards.
const A_FOLDER: i64 = 1000;

/// Where the crop of an event lies, relative to the log's folder.
pub(crate) fn relative_path(seq: i64, id: &str, crop: &Crop) -> String {
    format!("{}/{id}.{}", folder_of(seq), crop.picture.ending())
}

/// A file name for an identifier that came from elsewhere.
pub(crate) fn file_name(id: &str) -> String {
    id.chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' })
        .take(120)
        .collect()
}

/// The folder of an event's crop, relative to the log's folder.
pub(crate) fn folder_of(seq: i64) -> String {
    format!("{CROPS}/{:06}", seq / A_FOLDER)
}

/// Writes a group of crops, so that they last through a power cut when this returns.
///
/// On an error nothing of the group is left.
pub(crate) fn write(folder: &Path, group: &[(String, &Crop)]) -> Result<(), StoreError> {
    let written = write_all(folder, group);
    if written.is_err() {
        for (path, _) in group {
            // The first error is the one to tell; a full disk gets its space back.
            let path = folder.join(path);
            let _ = std::fs::remove_file(unfinished(&path));
            let _ = std::fs::remove_file(path);
        }
    }
    written
}

fn write_all(folder: &Path, group: &[(String, &Crop)]) -> Result<(), StoreError> {
    let mut folders = BTreeSet::new();
    let mut files = Vec::with_capacity(group.len());
    for (path, crop) in group {
        let path = folder.join(path);
        if let Some(parent) = path.parent()
            && folders.insert(parent.to_path_buf())
            && !parent.is_dir()
        {
            std::fs::create_dir_all(parent).map_err(StoreError::file(parent))?;
            sync_folder(&folder.join(CROPS))?;
        }
        let temporary = unfinished(&path);
        let file = File::create(&temporary).and_then(|mut file| file.write_all(&crop.bytes).map(|()| file));
        files.push((file.map_err(StoreError::file(&temporary))?, temporary, path));
    }
    // All are written before the first is waited for: the disk does them together.
    for (file, temporary, _) in &files {
        file.sync_all().map_err(StoreError::file(temporary))?;
    }
    for (_, temporary, path) in &files {
        std::fs::rename(temporary, path).map_err(StoreError::file(path))?;
    }
    folders.iter().try_for_each(|folder| sync_folder(folder))
}

fn unfinished(path: &Path) -> PathBuf {
    path.with_extension(UNFINISHED)
}

/// Makes new names in a folder last through a power cut.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    if !cfg!(unix) {
        return Ok(());
    }
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(StoreError::file(folder))
}

/// Removes what a power cut left behind a group that was not committed: files with numbers that will
/// be given to the next events, and unfinished ones. Such are in the folder of the next number only,
/// or in the one after it.
pub(crate) fn clear_uncommitted(folder: &Path, next: i64, is_known: impl Fn(&str) -> bool) {
    for relative in BTreeSet::from([folder_of(next - 1), folder_of(next), folder_of(next + A_FOLDER)]) {
        let Ok(entries) = std::fs::read_dir(folder.join(&relative)) else { continue };
        for entry in entries.flatten() {
            let path = format!("{relative}/{}", entry.file_name().to_string_lossy());
            if !is_known(&path) {
                log::info!("{path} was being written when the power went: removed");
                let _ = std::fs::remove_file(entry.path()); // 'verify' finds it otherwise
            }
        }
    }
}
