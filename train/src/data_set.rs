//! The decoded pictures of a training: what is learned, what is held out, and what is unknown.

use crate::interrupt::Interrupt;
use crate::picture_folder::{PictureFolder, unknown_pictures};
use crate::pictures::Pictures;
use anchorwatch::network::metadata::InputSpec;
use anyhow::{Result, ensure};
use std::path::{Path, PathBuf};

/// Names of unreadable files that are printed; of more, only the count.
const NAMED_FILES: usize = 10;

/// Which pictures of a folder are which.
pub struct Selection<'a> {
    /// The folder: see [`PictureFolder::list`].
    pub data: &'a Path,
    /// Names of the known classes; none means all.
    pub known: &'a [String],
    /// See [`unknown_pictures`]; without it, the held-out pictures of the other classes.
    pub unknown: Option<&'a str>,
    /// Share to hold out where the folder has no level for that.
    pub hold_out: f64,
    /// Which are held out.
    pub seed: u64,
}

/// Everything that is needed of the pictures.
pub struct DataSet {
    /// Names of the known classes.
    pub classes: Vec<String>,
    /// Known pictures to learn from.
    pub train: Pictures,
    /// Known pictures held out from training.
    pub held_out: Pictures,
    /// Where they come from, for people.
    pub held_out_source: String,
    /// Pictures of unknown things.
    pub unknown: Option<Pictures>,
}

impl DataSet {
    /// Lists and decodes. Files that cannot be used are left out, counted and named.
    ///
    /// # Errors
    /// If the folder or the selection makes no sense, or a known class has no usable picture.
    pub fn read(
        selection: &Selection,
        input: &InputSpec,
        threads: usize,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let listing =
            PictureFolder::list(selection.data, selection.known, selection.hold_out, selection.seed)?;
        for warning in &listing.warnings {
            log::warn!("{warning}");
        }
        let unknown = match selection.unknown {
            Some(argument) => unknown_pictures(argument, selection.data, &listing)?,
            None => listing.others.clone(),
        };
        let unknown: Vec<_> = unknown.into_iter().map(|path| (path, 0)).collect();
        let read = |files: &[(PathBuf, usize)], what: &str| {
            let pictures = Pictures::decode(files, input, threads, what, interrupt)?;
            report_skipped(&pictures.skipped, what);
            Ok::<_, anyhow::Error>(pictures)
        };
        let train = read(&listing.train, "training pictures")?;
        let held_out = read(&listing.held_out, "held-out pictures")?;
        let unknown = if unknown.is_empty() { None } else { Some(read(&unknown, "unknown pictures")?) };
        for (name, count) in listing.classes.iter().zip(train.counts(listing.classes.len())) {
            ensure!(count > 0, "none of the training pictures of class '{name}' can be read");
        }
        if held_out.is_empty() {
            log::warn!(
                "there are no held-out pictures: the threshold comes from the training pictures, and will be too strict"
            );
        }
        Ok(Self {
            classes: listing.classes,
            train,
            held_out,
            held_out_source: listing.held_out_source,
            unknown: unknown.filter(|pictures| !pictures.is_empty()),
        })
    }
}

/// Counts and names the files that could not be used.
pub fn report_skipped(skipped: &[String], what: &str) {
    if skipped.is_empty() {
        return;
    }
    log::warn!("{} of the {what} were skipped:", skipped.len());
    for reason in skipped.iter().take(NAMED_FILES) {
        log::warn!("  {reason}");
    }
    if skipped.len() > NAMED_FILES {
        log::warn!("  and {} more", skipped.len() - NAMED_FILES);
    }
}
