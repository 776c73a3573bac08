//! The `anchorwatch` block of a model file: everything the runtime needs beside the network itself.
//!
//! One JSON value under the key [`METADATA_KEY`] of the ONNX `metadata_props`. This module is the
//! data and its checks; [`super::model_file`] reads it from and writes it into a file.

use serde::{Deserialize, Serialize};

/// The key of the block in the ONNX `metadata_props`.
pub const METADATA_KEY: &str = "anchorwatch";

/// The newest version of the block that this program reads and the one it writes.
pub const METADATA_VERSION: u32 = 1;

/// Everything a deployed model carries beside its network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// Version of this block, [`METADATA_VERSION`] when written by this program.
    pub version: u32,
    /// The name of the model, for people.
    pub name: String,
    /// Names of the M known classes, in the order of the centres.
    pub classes: Vec<String>,
    /// The class centres, M rows of N logits (paper, section 3.3: the mean logits of the correctly
    /// classified training pictures).
    pub centres: Vec<Vec<f32>>,
    /// How a picture becomes the input tensor.
    pub input: InputSpec,
    /// The rejection threshold θ: *unknown* when the smallest γ is above it.
    pub threshold: Threshold,
    /// Statistics of the rejection score of known pictures held out from training, one a class.
    pub known_scores: Vec<ClassScores>,
    /// Where the model comes from.
    pub training: Provenance,
    /// Pictures with the logits they must give, to check a device with.
    pub golden: Vec<Golden>,
}

/// How a picture becomes the input tensor: f32, NCHW, `(value / 255 − mean) / std` a channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputSpec {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Which channels, in which order.
    pub colour: Colour,
    /// How a region of another shape is brought to width × height.
    pub resize: ResizeRule,
    /// Mean of each channel, on a scale of 0 to 1.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel, on a scale of 0 to 1.
    pub std: Vec<f32>,
}

impl InputSpec {
    /// Number of channels, C of NCHW.
    pub fn channels(&self) -> usize {
        match self.colour {
            Colour::Rgb | Colour::Bgr => 3,
            Colour::Grey => 1,
        }
    }
}

/// The channels of the input tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// One channel: ITU-R BT.601 luma.
    Grey,
}

/// How a region is brought to the input's size. All of them resample bilinearly with
/// antialiasing (the support grows with the reduction), as PIL does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResizeRule {
    /// The whole region, its aspect ratio not kept.
    Stretch,
    /// The largest centred part of the region that has the input's aspect ratio.
    CentreCrop,
}

/// The rejection threshold and how it was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// θ, in units of the rejection score; larger scores are more unknown.
    pub value: f32,
    /// The share of known pictures it was chosen to accept, 0 to 1.
    pub target_tpr: f32,
    /// The share of the calibration pictures it does accept, 0 to 1.
    pub measured_tpr: f32,
    /// How many known pictures it was calibrated on.
    pub pictures: usize,
    /// Where these pictures came from, for people.
    pub source: String,
}

/// Statistics of the rejection score (min γ) over held-out known pictures of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassScores {
    /// The class's name.
    pub class: String,
    /// Number of pictures.
    pub pictures: usize,
    /// Share of them given this class, 0 to 1.
    pub accuracy: f32,
    /// Mean score.
    pub mean: f32,
    /// Standard deviation of the score.
    pub std: f32,
    /// The score's 5 %, 25 %, 50 %, 75 % and 95 % quantiles.
    pub quantiles: [f32; 5],
}

/// Where a model comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The program and its version.
    pub tool: String,
    /// The command line that made the model, without machine-specific paths.
    pub command: String,
    /// When, RFC 3339 UTC.
    pub date: String,
    /// The backbone's name.
    pub backbone: String,
    /// Seed of every random choice.
    pub seed: u64,
    /// Passes over the training pictures.
    pub epochs: f32,
    /// Training pictures of each class, in the order of `classes`.
    pub train_pictures: Vec<usize>,
    /// What the training pictures are and where they come from, for people.
    pub data: String,
    /// Licence of the weights and the data, for people.
    pub licence: String,
    /// "int8" or "f32".
    pub precision: String,
    /// Figures measured at the end of training, by name (all 0 to 1; `auroc` with larger score =
    /// more unknown).
    pub metrics: std::collections::BTreeMap<String, f64>,
}

/// A picture with the logits that every device must compute from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Golden {
    /// A PNG of exactly the input's size, base64.
    pub png: String,
    /// N logits of the network in f32, as libtorch computed them.
    pub logits_f32: Vec<f32>,
    /// N logits of the network in this file as exported (in a quantized file: QDQ computed in
    /// float, see ONNX QuantizeLinear and DequantizeLinear).
    pub logits: Vec<f32>,
}
