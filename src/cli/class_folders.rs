//! Labelled pictures on the disk: `DIR/<class>/…`, the class's name being the folder's.

use crate::capture::{Source, SourceOptions};
use anyhow::{Context, bail};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The pictures of known classes: for each class of the model, in its order, those of the folder
/// with its name. Classes without a folder have none.
///
/// # Errors
/// If a folder is not named after a class of the model, or there are no pictures.
pub fn known(root: &Path, classes: &[String]) -> anyhow::Result<Vec<Vec<PathBuf>>> {
    let folders = folders(root)?;
    if folders.is_empty() {
        bail!(
            "'{}' has no folders: known pictures lie in one folder a class ({})",
            root.display(),
            classes.join(", ")
        );
    }
    let mut pictures = vec![Vec::new(); classes.len()];
    let mut others = Vec::new();
    for (name, folder) in folders {
        match classes.iter().position(|class| *class == name) {
            Some(class) => pictures[class] = self::pictures(&folder)?,
            None => others.push(format!("'{name}'")),
        }
    }
    if !others.is_empty() {
        bail!(
            "in '{}', {} not a class of the model: its classes are {}; put pictures of anything else under --unknown",
            root.display(),
            if let [one] = &others[..] {
                format!("the folder {one} is")
            } else {
                format!("the folders {} are", others.join(", "))
            },
            classes.join(", ")
        );
    }
    Ok(pictures)
}

/// The pictures of unknown objects, by the folder they are in (empty for those that are in none).
///
/// # Errors
/// If there are no pictures, or a folder is named after a class of the model.
pub fn unknown(root: &Path, classes: &[String]) -> anyhow::Result<BTreeMap<String, Vec<PathBuf>>> {
    for (name, folder) in folders(root)? {
        if classes.contains(&name) {
            bail!(
                "'{}' is under --unknown, but '{name}' is a class of the model: unknown pictures must not show known objects",
                folder.display()
            );
        }
    }
    let mut groups: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for picture in pictures(root)? {
        let below = picture.strip_prefix(root).unwrap_or(&picture);
        let group = match below.parent().and_then(|folder| folder.components().next()) {
            Some(folder) => folder.as_os_str().to_string_lossy().into_owned(),
            None => String::new(),
        };
        groups.entry(group).or_default().push(picture);
    }
    Ok(groups)
}

/// Every picture in a folder and below it, in the order of the paths.
///
/// # Errors
/// If there is none.
fn pictures(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let spec = folder.to_str().context("folder names must be UTF-8")?;
    match Source::open(spec, &SourceOptions::default())? {
        Source::Pictures(pictures) => Ok(pictures.paths().to_vec()),
        _ => bail!("'{spec}' is no folder of pictures"),
    }
}

/// The folders in a folder with their names, except hidden ones.
fn folders(root: &Path) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let named = || format!("cannot read the folder '{}'", root.display());
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(root).with_context(named)? {
        let path = entry.with_context(named)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') {
            folders.push((name, path));
        }
    }
    folders.sort();
    Ok(folders)
}
