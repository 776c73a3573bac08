//! What a protocol found, as data (JSON) and as a table (Markdown).

use anchorwatch::evaluate::Figures;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// The figures of one score on one trained network of one trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The trial's name.
    pub trial: String,
    /// What was made small in training.
    pub loss: String,
    /// The rejection score.
    pub score: String,
    /// Share of known pictures given the right class.
    pub accuracy: f64,
    /// Larger is better.
    pub auroc: f64,
    /// Smaller is better.
    pub fpr_at_95_tpr: f64,
    /// Larger is better.
    pub oscr: f64,
}

impl Row {
    /// From the figures; those of unknown pictures must be there.
    pub fn new(trial: &str, loss: &str, score: &str, figures: &Figures) -> Self {
        Self {
            trial: trial.to_string(),
            loss: loss.to_string(),
            score: score.to_string(),
            accuracy: figures.accuracy,
            auroc: figures.auroc.unwrap_or(f64::NAN),
            fpr_at_95_tpr: figures.fpr_at_95_tpr.unwrap_or(f64::NAN),
            oscr: figures.oscr.unwrap_or(f64::NAN),
        }
    }
}

/// Everything a protocol has found so far, and how.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The data set's name, or the file of its splits.
    pub splits: String,
    /// The command that made it, without paths.
    pub command: String,
    /// The version of the tool.
    pub tool: String,
    /// Network, as the model file names it.
    pub backbone: String,
    /// The seed of each trial.
    pub seed: u64,
    /// Passes over the training pictures.
    pub epochs: f64,
    /// One for each trial, loss and score.
    pub rows: Vec<Row>,
}

/// Mean, and standard deviation if there are two or more.
fn mean_and_deviation(values: &[f64]) -> (f64, Option<f64>) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    (mean, (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt()))
}

fn cell(values: &[f64]) -> String {
    match mean_and_deviation(values) {
        (mean, Some(deviation)) => format!("{mean:.4} ± {deviation:.4}"),
        (mean, None) => format!("{mean:.4}"),
    }
}

impl Results {
    /// The table: a line for each loss and score, mean ± standard deviation over the trials. The best
    /// AUROC is bold.
    pub fn markdown(&self) -> String {
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        let mut trials: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !pairs.contains(&(&*row.loss, &*row.score)) {
                pairs.push((&row.loss, &row.score));
            }
            if !trials.contains(&&*row.trial) {
                trials.push(&row.trial);
            }
        }
        let mut text = format!(
            "{}, {}, {} epochs, seed {}; trial(s) {}. Accuracy, AUROC and OSCR: larger is better; FPR@95TPR: smaller is better.\n\n\
             | training | score | accuracy | AUROC | FPR@95TPR | OSCR |\n| --- | --- | --- | --- | --- | --- |\n",
            self.splits,
            self.backbone,
            self.epochs,
            self.seed,
            trials.join(", ")
        );
        let of = |pair: (&str, &str), figure: fn(&Row) -> f64| -> Vec<f64> {
            let rows = self.rows.iter().filter(|row| (&*row.loss, &*row.score) == pair);
            rows.map(figure).collect()
        };
        let best = pairs
            .iter()
            .map(|&pair| mean_and_deviation(&of(pair, |row| row.auroc)).0)
            .fold(f64::NEG_INFINITY, f64::max);
        for &pair in &pairs {
            let aurocs = of(pair, |row| row.auroc);
            let auroc = cell(&aurocs);
            let auroc = if mean_and_deviation(&aurocs).0 == best { format!("**{auroc}**") } else { auroc };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {auroc} | {} | {} |",
                pair.0,
                pair.1,
                cell(&of(pair, |row| row.accuracy)),
                cell(&of(pair, |row| row.fpr_at_95_tpr)),
                cell(&of(pair, |row| row.oscr)),
            );
        }
        let _ = write!(text, "\nMade by `{}` ({}).\n", self.command, self.tool);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(trial: &str, loss: &str, auroc: f64) -> Row {
        Row {
            trial: trial.into(),
            loss: loss.into(),
            score: "γ".into(),
            accuracy: 0.9,
            auroc,
            fpr_at_95_tpr: 0.5,
            oscr: 0.7,
        }
    }

    #[test]
    fn the_table_has_means_and_deviations_and_marks_the_best() {
        let rows =
            vec![row("0", "cac", 0.8), row("0", "other", 0.7), row("1", "cac", 0.9), row("1", "other", 0.7)];
        let results = Results { rows, splits: "things".into(), ..Results::default() };
        let table = results.markdown();
        assert!(table.contains("| cac | γ | 0.9000 ± 0.0000 | **0.8500 ± 0.0707** |"), "{table}");
        assert!(table.contains("| other | γ | 0.9000 ± 0.0000 | 0.7000 ± 0.0000 |"), "{table}");
        let one = Results { rows: vec![row("0", "cac", 0.8)], ..Results::default() }.markdown();
        assert!(one.contains("| **0.8000** | 0.5000 | 0.7000 |"), "{one}");
    }
}
