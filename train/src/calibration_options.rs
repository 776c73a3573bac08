//! The options of the commands that write models: how thresholds and temperature are found.

use crate::temperature::Temperature;
use anyhow::{Result, ensure};

/// How thresholds and temperature are found.
#[derive(clap::Args, Clone, Debug)]
pub struct CalibrationOptions {
    /// Share of known pictures that the threshold accepts (true-positive rate)
    #[arg(long, default_value_t = 0.95, help_heading = "Calibration")]
    pub tpr: f64,
    /// Give each class a threshold of its own, found with the held-out pictures that are given the class,
    /// rightly or not. Where these are too few, the class has that of all
    #[arg(long, help_heading = "Calibration")]
    pub per_class: bool,
    /// Divide distances by this before the softmin: a number, or 'fit' for the one that makes the right
    /// classes of held-out pictures the likeliest. Half of them then choose it, and only the other half the
    /// thresholds; 1 is the paper's
    #[arg(long, default_value = "1", value_name = "VALUE|fit", help_heading = "Calibration")]
    pub temperature: Temperature,
}

impl Default for CalibrationOptions {
    fn default() -> Self {
        Self { tpr: 0.95, per_class: false, temperature: Temperature::Value(1.0) }
    }
}

impl CalibrationOptions {
    /// What clap cannot check.
    pub fn check(&self) -> Result<()> {
        ensure!(self.tpr > 0.0 && self.tpr <= 1.0, "--tpr is a share, above 0 and up to 1");
        ensure!(
            !self.per_class || self.tpr < 1.0,
            "--per-class needs a --tpr below 1: however many pictures a class has, a new one may lie beyond them"
        );
        Ok(())
    }
}
