//! Which picture files a folder holds, by class, and which of them are held out from training.
//! Looks at names only; [`crate::pictures`] reads the files.

use anchorwatch::vision::is_picture;
use anyhow::{Context, Result, bail, ensure};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

/// Names of the level with the held-out pictures; of several, the first is taken.
pub const HELD_OUT_LEVELS: [&str; 4] = ["val", "validation", "valid", "test"];

/// How deep below a class folder pictures are looked for (ImageNet's have a folder `images`).
const DEEPEST: usize = 4;

/// A picture file with its class, the index into the known classes.
pub type Labelled = (PathBuf, usize);

/// The picture files of a training.
#[derive(Debug, PartialEq)]
pub struct PictureFolder {
    /// Names of the known classes, sorted unless they were asked for in another order.
    pub classes: Vec<String>,
    /// What is trained on: class after class, sorted by name within.
    pub train: Vec<Labelled>,
    /// Known pictures held out from training.
    pub held_out: Vec<Labelled>,
    /// Held-out pictures of classes that are not known.
    pub others: Vec<PathBuf>,
    /// Where `held_out` comes from, for people.
    pub held_out_source: String,
    /// What is worth a warning.
    pub warnings: Vec<String>,
}

impl PictureFolder {
    /// Lists `DIR/<class>/…` or `DIR/train/<class>/…` with `DIR/val/<class>/…` (or `test`).
    ///
    /// `known` names the known classes; empty means all of the training pictures'. Without a held-out
    /// level, `share` of each class's pictures is held out, chosen by `seed`: at least one where there
    /// are two or more.
    ///
    /// # Errors
    /// If there is no such folder, no class, fewer than two known classes, or an unknown name.
    pub fn list(folder: &Path, known: &[String], share: f64, seed: u64) -> Result<Self> {
        let levels = Levels::find(folder)?;
        let train_classes = class_folders(&levels.train)?;
        ensure!(
            !train_classes.is_empty(),
            "'{}' has no class folders with pictures in them: it must look like {}/CLASS/*.jpg, one folder a class",
            levels.train.display(),
            folder.display()
        );
        let classes = known_classes(known, &train_classes, &levels.train)?;
        let is_known = |name: &String| classes.contains(name);
        let mut list = Self {
            train: Vec::new(),
            held_out: Vec::new(),
            others: Vec::new(),
            held_out_source: String::new(),
            warnings: Vec::new(),
            classes: classes.clone(),
        };
        match &levels.held_out {
            Some(level) => {
                let mut held_out = class_folders(level)?;
                for (class, name) in classes.iter().enumerate() {
                    list.train.extend(train_classes[name].iter().map(|path| (path.clone(), class)));
                    match held_out.remove(name) {
                        Some(paths) => list.held_out.extend(paths.into_iter().map(|path| (path, class))),
                        None => list.warnings.push(format!(
                            "class '{name}' has no pictures in '{}': it cannot be validated",
                            level.display()
                        )),
                    }
                }
                list.others = held_out.into_values().flatten().collect();
                list.held_out_source = format!("the level '{}' of the data", file_name(level));
            }
            None => {
                for (class, name) in classes.iter().enumerate() {
                    let (train, held_out) = hold_out(&train_classes[name], share, seed, class);
                    if held_out.is_empty() && share > 0.0 {
                        list.warnings.push(format!(
                            "class '{name}' has one picture only: it is trained on and cannot be validated"
                        ));
                    }
                    list.train.extend(train.into_iter().map(|path| (path, class)));
                    list.held_out.extend(held_out.into_iter().map(|path| (path, class)));
                }
                list.others = train_classes
                    .iter()
                    .filter(|(name, _)| !is_known(name))
                    .flat_map(|(_, paths)| paths.clone())
                    .collect();
                list.held_out_source =
                    format!("{:.0} % of the pictures, held out at random (seed {seed})", share * 100.0);
            }
        }
        Ok(list)
    }
}

/// The level of the training pictures and that of the held-out ones.
pub struct Levels {
    /// `DIR/train`, or `DIR` itself.
    pub train: PathBuf,
    /// `DIR/val` or one of the other names, if there is a `DIR/train`.
    pub held_out: Option<PathBuf>,
}

impl Levels {
    /// A `train` folder is a level, not a class, if it holds folders.
    pub fn find(folder: &Path) -> Result<Self> {
        ensure!(folder.exists(), "there is no folder '{}'", folder.display());
        ensure!(folder.is_dir(), "'{}' is not a folder", folder.display());
        let train = folder.join("train");
        if !train.is_dir() || entries(&train)?.iter().all(|path| !path.is_dir()) {
            return Ok(Self { train: folder.to_path_buf(), held_out: None });
        }
        let held_out = HELD_OUT_LEVELS.iter().map(|name| folder.join(name)).find(|path| path.is_dir());
        Ok(Self { train, held_out })
    }
}

/// The pictures that `--unknown` names: a folder (flat or with class folders), or names of classes of
/// `data` that are not known.
///
/// # Errors
/// If there are none, or if they overlap the known classes, by name or by file.
pub fn unknown_pictures(argument: &str, data: &Path, listing: &PictureFolder) -> Result<Vec<PathBuf>> {
    let folder = Path::new(argument);
    let paths = if folder.is_dir() {
        let mut classes = class_folders(folder)?;
        if let Some(name) = classes.keys().find(|name| listing.classes.contains(name)) {
            bail!("'{argument}' has a folder '{name}', which is one of the known classes: take it out");
        }
        classes.insert(String::new(), pictures_in(folder)?);
        classes.into_values().flatten().collect()
    } else {
        let levels = Levels::find(data)?;
        let level = levels.held_out.unwrap_or(levels.train);
        let mut classes = class_folders(&level)?;
        let mut paths = Vec::new();
        for name in argument.split(',').map(str::trim) {
            if listing.classes.iter().any(|class| class == name) {
                bail!("'{name}' cannot be known and unknown at once: take it out of --known or of --unknown");
            }
            paths.extend(classes.remove(name).with_context(|| {
                format!("--unknown '{name}' is neither a folder nor a class of '{}'", level.display())
            })?);
        }
        paths
    };
    ensure!(!paths.is_empty(), "--unknown '{argument}' holds no pictures");
    let canonical = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let known: HashSet<PathBuf> =
        listing.train.iter().chain(&listing.held_out).map(|(path, _)| canonical(path)).collect();
    if let Some(path) = paths.iter().find(|path| known.contains(&canonical(path))) {
        bail!("'{}' is among the known pictures too: --unknown must not overlap them", path.display());
    }
    Ok(paths)
}

/// The names in the order asked for, or all.
fn known_classes(
    known: &[String],
    classes: &BTreeMap<String, Vec<PathBuf>>,
    level: &Path,
) -> Result<Vec<String>> {
    let mut chosen: Vec<String> = Vec::new();
    for name in known {
        if !classes.contains_key(name) {
            let have: Vec<&str> = classes.keys().take(30).map(String::as_str).collect();
            bail!(
                "--known '{name}': '{}' has no such class (it has {}{})",
                level.display(),
                have.join(", "),
                if classes.len() > have.len() { ", …" } else { "" }
            );
        }
        ensure!(!chosen.contains(name), "--known names '{name}' twice");
        chosen.push(name.clone());
    }
    if chosen.is_empty() {
        chosen = classes.keys().cloned().collect();
    }
    ensure!(
        chosen.len() >= 2,
        "only one class ('{}'): training needs at least two known classes, since the loss compares the distances to their anchors",
        chosen[0]
    );
    Ok(chosen)
}

/// Splits one class's pictures: those to train on (still sorted) and those held out.
fn hold_out(paths: &[PathBuf], share: f64, seed: u64, class: usize) -> (Vec<PathBuf>, Vec<PathBuf>) {
    if paths.len() < 2 || share <= 0.0 {
        return (paths.to_vec(), Vec::new());
    }
    let count = ((paths.len() as f64 * share).round() as usize).clamp(1, paths.len() - 1);
    let mut order: Vec<usize> = (0..paths.len()).collect();
    order.shuffle(&mut StdRng::seed_from_u64(seed ^ (class as u64).rotate_left(32)));
    let held_out: HashSet<usize> = order[..count].iter().copied().collect();
    let part = |wanted: bool| {
        let chosen = paths.iter().enumerate().filter(|(index, _)| held_out.contains(index) == wanted);
        chosen.map(|(_, path)| path.clone()).collect()
    };
    (part(false), part(true))
}

/// The class folders of a level that hold pictures, by name.
pub fn class_folders(level: &Path) -> Result<BTreeMap<String, Vec<PathBuf>>> {
    let mut classes = BTreeMap::new();
    for path in entries(level)? {
        if path.is_dir() {
            let mut pictures = Vec::new();
            collect(&path, DEEPEST, &mut pictures)?;
            if !pictures.is_empty() {
                classes.insert(file_name(&path), pictures);
            }
        }
    }
    Ok(classes)
}

fn collect(folder: &Path, depth: usize, pictures: &mut Vec<PathBuf>) -> Result<()> {
    for path in entries(folder)? {
        if is_picture(&path) {
            pictures.push(path);
        } else if depth > 1 && path.is_dir() {
            collect(&path, depth - 1, pictures)?;
        }
    }
    Ok(())
}

/// The pictures directly in a folder.
fn pictures_in(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(entries(folder)?.into_iter().filter(|path| is_picture(path) && !path.is_dir()).collect())
}

/// What a folder holds, sorted, without hidden entries.
pub fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = || format!("cannot read the folder '{}'", folder.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(unreadable)? {
        let entry = entry.with_context(unreadable)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// The last part of a path, for people.
pub fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    /// A folder with empty files of these names.
    fn folder(files: &[&str]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        folder
    }

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| name.to_string()).collect()
    }

    fn error(folder: &TempDir, known: &[&str]) -> String {
        PictureFolder::list(folder.path(), &names(known), 0.15, 1).unwrap_err().to_string()
    }

    /// Pictures of each of `classes` classes.
    fn counts(pictures: &[Labelled], classes: usize) -> Vec<usize> {
        let mut counts = vec![0; classes];
        for (_, class) in pictures {
            counts[*class] += 1;
        }
        counts
    }

    #[test]
    fn without_levels_a_share_of_each_class_is_held_out_always_the_same() {
        let files: Vec<String> = (0..20)
            .map(|index| format!("cat/{index}.jpg"))
            .chain((0..2).map(|index| format!("dog/images/{index}.PNG")))
            .chain(["eel/only.png".to_string(), "eel/notes.txt".to_string(), ".git/x.png".to_string()])
            .collect();
        let folder = folder(&files.iter().map(String::as_str).collect::<Vec<_>>());
        let list = PictureFolder::list(folder.path(), &[], 0.15, 7).unwrap();
        assert_eq!(list.classes, ["cat", "dog", "eel"]);
        assert_eq!(counts(&list.train, 3), [17, 1, 1]);
        assert_eq!(counts(&list.held_out, 3), [3, 1, 0]);
        assert_eq!(list.warnings.len(), 1);
        assert!(list.warnings[0].contains("'eel' has one picture"), "{}", list.warnings[0]);
        assert_eq!(list, PictureFolder::list(folder.path(), &[], 0.15, 7).unwrap());
        assert_ne!(list.held_out, PictureFolder::list(folder.path(), &[], 0.15, 8).unwrap().held_out);
        let all: HashSet<_> = list.train.iter().chain(&list.held_out).collect();
        assert_eq!(all.len(), 23);
    }

    #[test]
    fn with_levels_the_other_classes_of_the_held_out_level_are_the_unknowns() {
        let folder = folder(&[
            "train/a/1.jpg",
            "train/b/1.jpg",
            "train/c/1.jpg",
            "test/a/2.jpg",
            "test/c/2.jpg",
            "test/z/2.jpg",
        ]);
        let list = PictureFolder::list(folder.path(), &names(&["b", "a"]), 0.15, 1).unwrap();
        assert_eq!(list.classes, ["b", "a"]);
        assert_eq!(list.train.len(), 2);
        assert_eq!(list.held_out, [(folder.path().join("test/a/2.jpg"), 1)]);
        let others: Vec<String> = list.others.iter().map(|path| file_name(path.parent().unwrap())).collect();
        assert_eq!(others, ["c", "z"]);
        assert!(list.warnings[0].contains("'b' has no pictures"));
    }

    #[test]
    fn a_class_named_train_is_a_class() {
        let folder = folder(&["train/1.jpg", "car/1.jpg"]);
        let list = PictureFolder::list(folder.path(), &[], 0.15, 1).unwrap();
        assert_eq!(list.classes, ["car", "train"]);
    }

    #[test]
    fn what_cannot_be_trained_on_has_a_clear_error() {
        let nowhere = PictureFolder::list(Path::new("/no/such/folder"), &[], 0.15, 1).unwrap_err();
        assert!(nowhere.to_string().contains("there is no folder '/no/such/folder'"));
        assert!(error(&folder(&["readme.txt"]), &[]).contains("has no class folders"));
        assert!(error(&folder(&["cat/1.jpg"]), &[]).contains("at least two known classes"));
        let three = folder(&["a/1.jpg", "b/1.jpg", "c/1.jpg"]);
        assert!(error(&three, &["a"]).contains("at least two known classes"));
        assert!(error(&three, &["a", "d"]).contains("no such class (it has a, b, c)"));
        assert!(error(&three, &["a", "a"]).contains("twice"));
    }

    #[test]
    fn unknown_pictures_must_not_overlap_the_known() {
        let data = folder(&["a/1.jpg", "b/1.jpg", "c/1.jpg"]);
        let list = PictureFolder::list(data.path(), &names(&["a", "b"]), 0.15, 1).unwrap();
        let unknown = |argument: &str| unknown_pictures(argument, data.path(), &list);
        assert_eq!(unknown("c").unwrap(), [data.path().join("c/1.jpg")]);
        assert!(unknown("c,a").unwrap_err().to_string().contains("known and unknown at once"));
        assert!(unknown("d").unwrap_err().to_string().contains("neither a folder nor a class"));
        let path = |path: PathBuf| path.to_str().unwrap().to_string();
        // The folder of a known class itself, and one with a class of the same name.
        assert!(unknown(&path(data.path().join("a"))).unwrap_err().to_string().contains("overlap"));
        let same_name = folder(&["a/9.jpg"]);
        assert!(unknown(&path(same_name.path().into())).unwrap_err().to_string().contains("known classes"));
        let flat = folder(&["1.jpg", "2.jpg", "deeper/3.jpg"]);
        assert_eq!(unknown(&path(flat.path().into())).unwrap().len(), 3);
        let empty = folder(&["readme.txt"]);
        assert!(unknown(&path(empty.path().into())).unwrap_err().to_string().contains("no pictures"));
    }
}
