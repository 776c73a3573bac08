//! `anchorwatch inspect`: what a model file has in it, and whether this device runs it right.

use super::{exit, model, terminal};
use crate::evaluate::Promise;
use crate::network::{GoldenResult, LayerReport, Metadata, Model};
use anyhow::bail;
use clap::Args;
use serde_json::json;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Show what a model knows and is made of
///
/// Its classes, its threshold and how that was found, where it comes from, and its layers: what they
/// cost, and which of them compute in int8. With --verify it also runs the pictures that the model
/// file carries for this, and says whether this device computes what the model should give.
#[derive(Args, Debug)]
pub struct InspectArgs {
    /// The model file; without it, the default model inside this program
    #[arg(env = "ANCHORWATCH_MODEL", value_name = "MODEL")]
    model: Option<PathBuf>,

    /// Run the golden pictures; exit code 3 if this device computes something else
    #[arg(long)]
    verify: bool,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: &InspectArgs) -> anyhow::Result<ExitCode> {
    let model = model::load(args.model.as_deref())?;
    let results = args.verify.then(|| model.verify()).transpose()?;
    if results.as_ref().is_some_and(Vec::is_empty) {
        bail!("this model has no golden pictures, so it cannot be verified");
    }
    let verified = results.as_ref().is_none_or(|results| results.iter().all(GoldenResult::passes));
    if args.json {
        let mut metadata = serde_json::to_value(model.metadata())?;
        if let Some(block) = metadata.as_object_mut() {
            // The pictures themselves; their number is said below.
            block.remove("golden");
        }
        terminal::print_json(&json!({
            "id": model.id(),
            "metadata": metadata,
            "promise": model.metadata().threshold.promise(),
            "class_promises": model.metadata().class_calibrations.iter().map(|calibration| {
                json!({ "class": calibration.class, "promise": calibration.threshold.promise() })
            }).collect::<Vec<_>>(),
            "golden_pictures": model.metadata().golden.len(),
            "layers": model.layers(),
            "verified": results.as_ref().map(|results| json!({ "passes": verified, "pictures": results })),
        }))?;
    } else {
        terminal::print_line(&text(&model, &model::place(args.model.as_deref())))?;
        if let Some(results) = &results {
            terminal::print_line(&verification(results))?;
        }
    }
    Ok(if verified { ExitCode::SUCCESS } else { ExitCode::from(exit::DIFFERENT) })
}

fn text(model: &Model, place: &str) -> String {
    // Writing to a String cannot fail: the results are left alone.
    let Metadata { name, classes, input, threshold, known_scores, training, golden, .. } = model.metadata();
    let mut text = format!("{name}: {place} ({})\n", model.id());
    let _ = write!(text, "\n  classes     {}: {}", classes.len(), classes.join(", "));
    let _ = write!(text, "\n  input       {input}");
    let _ = write!(
        text,
        "\n  threshold   {}, chosen to accept {:.1} % of known pictures; of the {} it was found with ({}) it accepts {:.1} %",
        digits(threshold.value),
        threshold.target_tpr * 100.0,
        threshold.pictures,
        threshold.source,
        threshold.measured_tpr * 100.0
    );
    let alone = if model.metadata().class_calibrations.is_empty() { "" } else { ALONE };
    if let Some(promised) = threshold.promise() {
        let _ = write!(text, "\n  promise     {alone}{promised}");
    } else if threshold.weighted {
        let _ = write!(text, "\n  promise     {alone}{NO_PROMISE}");
    }
    text.push_str(&of_classes(model.metadata()));
    let _ = write!(text, "\n  golden      {} pictures for 'inspect --verify'", golden.len());

    let _ = write!(text, "\n\nWhere it comes from\n");
    let pictures: usize = training.train_pictures.iter().sum();
    for (what, value) in [
        ("data", training.data.clone()),
        ("licence", training.licence.clone()),
        ("pictures", format!("{pictures} in training")),
        ("backbone", training.backbone.clone()),
        ("precision", training.precision.clone()),
        ("temperature", training.temperature.map_or(String::new(), temperature)),
        ("made by", training.tool.clone()),
        ("command", training.command.clone()),
        ("date", training.date.clone()),
    ] {
        if !value.is_empty() {
            let _ = write!(text, "\n  {what:<11} {value}");
        }
    }
    for (figure, value) in &training.metrics {
        let _ = write!(text, "\n  {figure:<11} {value:.4}");
    }

    if !known_scores.is_empty() {
        let width = known_scores.iter().map(|class| class.class.chars().count()).max().unwrap_or(0).max(11);
        let _ = write!(text, "\n\nScores of known pictures ÷ threshold (above 1 they are rejected)\n");
        let _ = write!(
            text,
            "\n  {:<width$} {:>8} {:>9} {:>7} {:>7} {:>7} {:>7} {:>7}",
            "class", "pictures", "accuracy", "5 %", "25 %", "median", "75 %", "95 %"
        );
        for class in known_scores {
            let accuracy = format!("{:.1} %", class.accuracy * 100.0);
            let _ = write!(text, "\n  {:<width$} {:>8} {accuracy:>9}", class.class, class.pictures);
            let at = classes.iter().position(|name| *name == class.class);
            let own = at.map_or(threshold.value, |at| model.metadata().threshold_of(at));
            for quantile in class.quantiles {
                let _ = write!(text, " {:>7.3}", quantile / own);
            }
        }
    }
    let _ = write!(text, "\n\n{}", layers(model.layers()));
    text
}

/// Why a threshold from a field log promises nothing, for people.
pub const NO_PROMISE: &str =
    "none: its pictures are of a field log, each standing for another number of judgements";

/// What the threshold's promise is of, where classes have others.
pub const ALONE: &str = "with this threshold for every class, as a companion has it: ";

/// The thresholds of single classes, a line each, with what they promise; nothing where all are the same.
pub fn of_classes(metadata: &Metadata) -> String {
    let Metadata { classes, threshold, class_thresholds, class_calibrations, .. } = metadata;
    let mut lines = Vec::new();
    if !class_calibrations.is_empty() {
        lines.push("found with the known pictures given each; promised of new ones given it, at 95 % confidence for what is accepted".to_string());
    }
    let width = classes.iter().map(|class| class.chars().count()).max().unwrap_or(0);
    for (class, own) in classes.iter().zip(class_thresholds) {
        let calibration = class_calibrations.iter().find(|calibration| calibration.class == *class);
        let says = match calibration.map(|calibration| &calibration.threshold) {
            Some(found) => match found.promise() {
                Some(Promise { flagged_at_most, accepted: [least, most] }) => format!(
                    "{} pictures: at most {:.2} % flagged, {:.1} to {:.1} % accepted",
                    found.pictures,
                    flagged_at_most * 100.0,
                    least * 100.0,
                    most * 100.0
                ),
                None => format!("{} pictures: promises nothing", found.pictures),
            },
            None if *own != threshold.value => "its own; promises nothing".to_string(),
            None if class_calibrations.is_empty() => continue,
            None => "that of all: too few pictures were given this class".to_string(),
        };
        lines.push(format!("{class:<width$} {}, {says}", digits(*own)));
    }
    if lines.is_empty() {
        String::new()
    } else {
        format!("\n  of classes  {}", lines.join("\n              "))
    }
}

/// Four decimals, and more where these would be noughts: thresholds of tight clusters are tiny.
pub fn digits(threshold: f32) -> String {
    if threshold == 0.0 || threshold >= 1e-2 { format!("{threshold:.4}") } else { format!("{threshold:.2e}") }
}

/// What the temperature of a softmin is, for people.
fn temperature(temperature: f32) -> String {
    format!("{temperature:.4}, that of the softmin: logits and centres are divided by it already")
}

fn layers(layers: &[LayerReport]) -> String {
    let total: u64 = layers.iter().map(|layer| layer.macs).sum();
    let int8: u64 = layers.iter().filter(|layer| layer.precision == "int8").map(|layer| layer.macs).sum();
    let share = if total == 0 { 0.0 } else { 100.0 * int8 as f64 / total as f64 };
    let parameters: u64 = layers.iter().map(|layer| layer.parameters).sum();
    let mut text = format!(
        "Layers: {:.3} million multiplications a picture, {share:.1} % of them in int8; {parameters} weights\n",
        total as f64 / 1e6
    );
    let longest = |of: fn(&LayerReport) -> &str, least: usize| {
        layers.iter().map(|layer| of(layer).chars().count()).max().unwrap_or(0).clamp(least, 40)
    };
    let (kinds, names) = (longest(|layer| &layer.kind, 5), longest(|layer| &layer.name, 5));
    let _ = write!(
        text,
        "\n  {:<kinds$} {:<names$} {:<16} {:>12} {:>9} {:>8}",
        "layer", "name", "output", "MACs", "weights", "in"
    );
    for layer in layers {
        let shape: Vec<String> = layer.shape.iter().map(usize::to_string).collect();
        let _ = write!(
            text,
            "\n  {:<kinds$} {:<names$} {:<16} {:>12} {:>9} {:>8}",
            layer.kind,
            layer.name,
            shape.join("×"),
            layer.macs,
            layer.parameters,
            layer.precision
        );
    }
    text
}

fn verification(results: &[GoldenResult]) -> String {
    let mut text = "\nGolden pictures: the logits here against those in the file".to_string();
    for (number, result) in results.iter().enumerate() {
        let _ = write!(
            text,
            "\n  {:>2}  {}  largest difference {:.1e} (up to {:.1e} is right), from f32 {:.1e}{}{}",
            number + 1,
            if result.passes() { "same     " } else { "DIFFERENT" },
            result.largest_difference,
            result.tolerance,
            result.difference_from_f32,
            if result.same_class { "" } else { ", another class" },
            if result.same_outcome { "" } else { ", another known/unknown" },
        );
    }
    let passed = results.iter().filter(|result| result.passes()).count();
    let _ = if passed == results.len() {
        write!(text, "\nVerified: this device computes what the model should give.")
    } else {
        let wrong = results.len() - passed;
        write!(
            text,
            "\nNOT VERIFIED: {wrong} of {} differ. Do not trust verdicts on this device: copy the model file again, and if that does not help, report it.",
            results.len()
        )
    };
    text
}
