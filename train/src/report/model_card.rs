//! What the model is, where it comes from, how good it is, and what its threshold promises: as the model
//! files say it.

use crate::deploy::{Deployed, Deployment, INT8_FILE, figure_rows};
use anchorwatch::network::metadata::Metadata;
use maud::{Markup, html};

/// The section of the page.
pub fn section(deployment: &Deployment, deployed: &Deployed) -> Markup {
    let metadata = &deployed.reports[0].metadata;
    html! {
        section #card {
            h2 { "Model card" }
            dl {
                @for (what, value) in facts(deployment, deployed) {
                    dt { (what) } dd { (value) }
                }
                dt { "command" } dd { code { (metadata.training.command) } }
            }
            h3 { "Figures" }
            (figures(deployed))
            h3 { "Classes" }
            (classes(metadata))
        }
    }
}

/// What is a line each.
fn facts(deployment: &Deployment, deployed: &Deployed) -> Vec<(&'static str, String)> {
    let metadata = &deployed.reports[0].metadata;
    let (training, threshold) = (&metadata.training, &metadata.threshold);
    let in_training: usize = training.train_pictures.iter().sum();
    let figures = &deployed.reports[0].figures;
    let mut facts = vec![
        ("data", training.data.clone()),
        ("licence", training.licence.clone()),
        (
            "pictures",
            format!(
                "{in_training} in training; measured with {} known ones ({}) and {} unknown ones",
                figures.known_pictures,
                deployment.known_pictures().2,
                figures.unknown_pictures
            ),
        ),
        ("input", metadata.input.to_string()),
        ("network", training.backbone.clone()),
        ("epochs", if training.epochs > 0.0 { training.epochs.to_string() } else { String::new() }),
        ("seed", training.seed.to_string()),
        (
            "threshold",
            format!(
                "{} (int8), chosen to accept {:.1} % of known pictures; of the {} it was found with it accepts {:.1} %",
                crate::deploy::digits(threshold.value.into()),
                threshold.target_tpr * 100.0,
                threshold.pictures,
                threshold.measured_tpr * 100.0
            ),
        ),
        ("promise", promise(metadata)),
        ("made by", training.tool.clone()),
        ("date", training.date.clone()),
    ];
    facts.retain(|(_, value)| !value.is_empty());
    facts
}

fn promise(metadata: &Metadata) -> String {
    let promise =
        metadata.threshold.promise().map_or_else(|| "none".to_string(), |promise| promise.to_string());
    if metadata.class_calibrations.is_empty() {
        promise
    } else {
        format!(
            "of this threshold alone, where classes have others ('anchorwatch inspect' has what these promise): {promise}"
        )
    }
}

fn figures(deployed: &Deployed) -> Markup {
    html! {
        div.wide {
            table {
                thead { tr { td {} th scope="col" { "int8 (" (INT8_FILE) ")" } th scope="col" { "f32" } } }
                tbody {
                    @for [what, int8, float] in figure_rows(&deployed.reports) {
                        tr { th scope="row" { (what) } td.number { (int8) } td.number { (float) } }
                    }
                }
            }
        }
    }
}

fn classes(metadata: &Metadata) -> Markup {
    let heads =
        ["pictures in training", "measured with", "accuracy", "score ÷ threshold: median", "95 % quantile"];
    html! {
        div.wide {
            table {
                thead { tr { td {} @for head in heads { th scope="col" { (head) } } } }
                tbody {
                    @for (class, scores) in metadata.known_scores.iter().enumerate() {
                        @let threshold = metadata.threshold_of(class);
                        @let relative = |quantile: usize| scores.quantiles[quantile] / threshold;
                        tr {
                            th scope="row" { (scores.class) }
                            td.number { (metadata.training.train_pictures.get(class).copied().unwrap_or(0)) }
                            td.number { (scores.pictures) }
                            td.number { (format!("{:.4}", scores.accuracy)) }
                            td.number { (format!("{:.3}", relative(2))) }
                            td.number { (format!("{:.3}", relative(4))) }
                        }
                    }
                }
            }
        }
    }
}
