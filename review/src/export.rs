//! The training folder: `DIR/CLASS/*.jpg`, as the trainer takes it. Exporting again brings it up to date:
//! what was labelled otherwise since moves, and what is not labelled any more goes. Pictures that are not
//! this store's stay, so that it may be a folder that is trained on already.

use crate::things::Things;
use anchorwatch_store::{DATABASE, Filter, Store, StoreError, folder_name};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// What was exported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// Pictures that the folder has of this store now.
    pub pictures: usize,
    /// How many of them each class has.
    pub classes: BTreeMap<String, usize>,
    /// Pictures of an earlier export that are gone, or are in another class now.
    pub removed: usize,
}

/// Why nothing, or not everything, was exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It would remove crops of a store, for pictures of an export.
    #[error("'{0}' is in a store's own folder: name another to export to")]
    InAStore(PathBuf),
    /// A file cannot be read or written.
    #[error("cannot export to '{path}': {source}")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
}

/// Copies the pictures of all labelled things of a store into a folder for each class. Of a thing that came
/// and went there is one picture, so that none is trained on while its twin is held out.
///
/// # Errors
/// If the store cannot be read, a file cannot be written, or the folder is in a store's. What was copied
/// until then is whole.
pub fn export_folder(store: &Store, to: &Path) -> Result<Exported, ExportError> {
    let labelled = Filter { labelled: Some(true), ignored: Some(false), ..Filter::default() };
    let mut wanted: BTreeMap<String, BTreeMap<OsString, PathBuf>> = BTreeMap::new();
    for thing in Things::read(store, &labelled, usize::MAX)?.things {
        let from = store.folder().join(&thing.picture);
        if let (Some(label), Some(name)) = (thing.marks.label, from.file_name()) {
            wanted.entry(folder_name(&label)).or_default().insert(name.to_owned(), from.clone());
        }
    }
    std::fs::create_dir_all(to).map_err(failed(to))?;
    // A copy of this store, too: its crops have the same names.
    let place = to.canonicalize().map_err(failed(to))?;
    if place.ancestors().any(|folder| folder.join(DATABASE).exists()) {
        return Err(ExportError::InAStore(to.to_path_buf()));
    }
    let mut exported = Exported { removed: remove_outdated(store, to, &wanted)?, ..Exported::default() };
    for (class, pictures) in wanted {
        let folder = to.join(&class);
        std::fs::create_dir_all(&folder).map_err(failed(&folder))?;
        for (name, from) in &pictures {
            copy(from, &folder.join(name))?;
        }
        exported.pictures += pictures.len();
        exported.classes.insert(class, pictures.len());
    }
    Ok(exported)
}

/// Removes pictures of this store that are not wanted where they are. The number of them.
fn remove_outdated(
    store: &Store,
    to: &Path,
    wanted: &BTreeMap<String, BTreeMap<OsString, PathBuf>>,
) -> Result<usize, ExportError> {
    let nothing = BTreeMap::new();
    let mut removed = 0;
    for folder in entries(to)?.into_iter().filter(|path| path.is_dir()) {
        let class = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let wanted: BTreeSet<_> = wanted.get(&class).unwrap_or(&nothing).keys().collect();
        for path in entries(&folder)? {
            let name = path.file_name().unwrap_or_default().to_owned();
            let id = path.file_stem().unwrap_or_default().to_string_lossy();
            // A picture's name is its event's identifier.
            if !wanted.contains(&name) && path.is_file() && store.event(&id)?.is_some() {
                std::fs::remove_file(&path).map_err(failed(&path))?;
                removed += 1;
            }
        }
        let _ = std::fs::remove_dir(&folder); // only an empty one can be removed
    }
    Ok(removed)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, ExportError> {
    let entries = std::fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    Ok(entries.map_err(failed(folder))?.into_iter().map(|entry| entry.path()).collect())
}

/// A copy is there whole or not at all; one that is there already stays.
fn copy(from: &Path, to: &Path) -> Result<(), ExportError> {
    let length = std::fs::metadata(from).map_err(failed(from))?.len();
    if std::fs::metadata(to).is_ok_and(|there| there.len() == length) {
        return Ok(());
    }
    let unfinished = to.with_extension("part");
    let copied = std::fs::copy(from, &unfinished).and_then(|_| std::fs::rename(&unfinished, to));
    if copied.is_err() {
        let _ = std::fs::remove_file(&unfinished); // the first error is the one to tell
    }
    copied.map_err(failed(to))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> ExportError + use<> {
    let path = path.to_path_buf();
    move |source| ExportError::File { path, source }
}
