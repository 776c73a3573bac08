//! The report of a training: one HTML page with everything in it, which needs no network and no script.
//! This file is the page from top to bottom; each section is a file of its own. Whatever is put into the
//! page as text is escaped by maud and plotters.
//!
//! It measures nothing itself but the quantization error of the layers: what the files say of the pictures
//! comes from [`crate::deploy`].

mod chart;
mod confusion;
mod mistakes;
mod model_card;
mod projection;
mod quantization;
mod roc_and_oscr;
mod score_histogram;
mod training_curves;

use crate::deploy::{Deployed, Deployment};
use crate::fit::writable_folder;
use crate::history::History;
use anyhow::{Context, Result, ensure};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::path::Path;

/// Sections by their mark in the page.
const CONTENTS: [(&str, &str); 8] = [
    ("card", "Model card"),
    ("training", "Training"),
    ("roc", "ROC and OSCR"),
    ("scores", "Scores"),
    ("confusion", "Confusion"),
    ("logits", "Logits"),
    ("mistakes", "Mistakes"),
    ("quantization", "Quantization"),
];

/// Sees that a report can be written before hours are spent.
///
/// # Errors
/// If it cannot, or something is there that is not to be replaced.
pub fn prepare(path: &Path, replace: bool) -> Result<()> {
    ensure!(!path.is_dir(), "'{}' is a folder: --report wants the name of a file", path.display());
    ensure!(replace || !path.exists(), "'{}' is there already: --overwrite replaces it", path.display());
    writable_folder(folder(path))
}

/// Writes the report, and says so.
///
/// # Errors
/// If the layers cannot be measured, a plot cannot be drawn, or the file cannot be written.
pub fn write(path: &Path, deployment: &Deployment, deployed: &Deployed, history: &History) -> Result<()> {
    let page = page(deployment, deployed, history).context("the report cannot be made")?;
    std::fs::write(path, page.into_string()).with_context(|| format!("cannot write '{}'", path.display()))?;
    println!("report written to '{}'", path.display());
    Ok(())
}

/// The folder of a file that may be a name alone.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn page(deployment: &Deployment, deployed: &Deployed, history: &History) -> Result<Markup> {
    let int8 = &deployed.reports[0];
    let metadata = &int8.metadata;
    let errors = deployment.layer_errors(deployed)?;
    Ok(html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (metadata.name) ", anchorwatch" }
                style { (PreEscaped(include_str!("page.css"))) }
            }
            body {
                header {
                    h1 { (metadata.name) }
                    nav aria-label="Sections" {
                        @for (mark, title) in CONTENTS { a href={ "#" (mark) } { (title) } " " }
                    }
                }
                main {
                    (model_card::section(deployment, deployed))
                    (training_curves::section(history)?)
                    (roc_and_oscr::section(&deployed.reports)?)
                    (score_histogram::section(int8)?)
                    (confusion::section(int8))
                    (projection::section(int8)?)
                    (mistakes::section(deployment, int8)?)
                    (quantization::section(&errors)?)
                }
            }
        }
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::calibration::Logits;
    use crate::deploy::Judged;
    use anchorwatch_core::{Outcome, Reason, Verdict};

    /// Pictures by true class, class given, and score ÷ threshold.
    pub fn judged(pictures: &[(usize, Option<usize>, f32)]) -> Judged {
        let verdict = |&(_, class, score): &(usize, Option<usize>, f32)| {
            let outcome = match class {
                None => Outcome::Unknown(Reason::NotFinite),
                Some(_) if score > 1.0 => Outcome::Unknown(Reason::ScoreAboveThreshold),
                Some(_) => Outcome::Known,
            };
            Verdict { outcome, class, score, threshold: 1.0, ..Verdict::default() }
        };
        Judged {
            indices: (0..pictures.len()).collect(),
            classes: pictures.iter().map(|picture| picture.0).collect(),
            logits: Logits { values: vec![0.0; pictures.len()], width: 1 },
            verdicts: pictures.iter().map(verdict).collect(),
        }
    }

    #[test]
    fn what_is_there_is_not_replaced_unasked_and_a_folder_is_no_report() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deeper/report.html");
        prepare(&path, false).unwrap();
        std::fs::write(&path, "mine").unwrap();
        assert!(prepare(&path, false).unwrap_err().to_string().contains("--overwrite"));
        prepare(&path, true).unwrap();
        assert!(prepare(folder.path(), true).unwrap_err().to_string().contains("is a folder"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
        assert_eq!(super::folder(Path::new("report.html")), Path::new("."));
    }
}
