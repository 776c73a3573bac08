//! Judges many picture files, in several threads, behind a progress bar.

use super::terminal::{print_message, progress_bar};
use crate::network::{Judge, Judged, Judgement, Model};
use crate::vision::{Region, load_picture};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A picture that could not be used.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Unusable {
    /// The file.
    pub path: PathBuf,
    /// The reason.
    pub why: String,
}

/// Judges each picture as a whole, as in training. What is said of them is in the order of the pictures,
/// `None` for those that cannot be used.
pub fn judge_pictures(
    model: &Model,
    pictures: &[&Path],
    threads: usize,
) -> anyhow::Result<(Vec<Option<Judgement>>, Vec<Unusable>)> {
    let bar = progress_bar(pictures.len() as u64, "judging");
    // The pictures are divided over the threads, not the work on each.
    let model = &model.clone().with_threads(1);
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let unusable = Mutex::new(Vec::new());
    let work = || -> anyhow::Result<Vec<(usize, Judgement)>> {
        let mut judge = Judge::new(model)?;
        let mut judgements = Vec::new();
        while !failed.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(path) = pictures.get(at) else { break };
            match load_picture(path) {
                Ok(picture) => {
                    let (width, height) = picture.dimensions();
                    let judged = judge.judge(&picture, Region::whole(width, height))?;
                    // Of thousands of pictures nobody asks for the embeddings, the largest part by far.
                    judgements.push((at, Judged { embedding: &[], ..judged }.into()));
                }
                Err(why) => {
                    let mut unusable = unusable.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    unusable.push(Unusable { path: path.to_path_buf(), why: why.to_string() });
                }
            }
            bar.inc(1);
        }
        Ok(judgements)
    };
    let results: Vec<anyhow::Result<_>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.clamp(1, pictures.len().max(1)))
            .map(|_| {
                scope.spawn(|| {
                    let result = work();
                    failed.fetch_or(result.is_err(), Ordering::Relaxed);
                    result
                })
            })
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.map(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    bar.finish_and_clear();
    let mut judgements = vec![None; pictures.len()];
    for result in results {
        for (at, judgement) in result? {
            judgements[at] = Some(judgement);
        }
    }
    let mut unusable = unusable.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    unusable.sort_by(|one, other| one.path.cmp(&other.path));
    Ok((judgements, unusable))
}

/// Names the pictures that could not be used, on standard error.
pub fn tell_unusable(unusable: &[Unusable]) -> std::io::Result<()> {
    const MOST_REASONS: usize = 20;
    if unusable.is_empty() {
        return Ok(());
    }
    print_message(&format!("{} of the pictures cannot be used and were left out:", unusable.len()))?;
    for picture in unusable.iter().take(MOST_REASONS) {
        print_message(&format!("  {}", picture.why))?;
    }
    match unusable.len().saturating_sub(MOST_REASONS) {
        0 => Ok(()),
        more => print_message(&format!("  and {more} more")),
    }
}
