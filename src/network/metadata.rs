//! The `anchorwatch` block of a model file: everything the runtime needs beside the network itself.
//!
//! One JSON value under the key [`METADATA_KEY`] of the ONNX `metadata_props`. This module is the
//! data and its checks; [`super::ModelFile`] reads it from and writes it into a file.

use super::ModelError;
use anchorwatch_core::Centres;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// The key of the block in the ONNX `metadata_props`.
pub const METADATA_KEY: &str = "anchorwatch";

/// The version of a block that needs nothing newer: every program reads it. What only informs (how something
/// was found, the temperature) needs nothing newer either: it is optional, and older programs pass over it.
pub const METADATA_VERSION: u32 = 1;

/// The version of a block with thresholds of single classes, which a program of version 1 would not heed.
pub const WITH_CLASS_THRESHOLDS: u32 = 2;

/// The newest version of the block that this program reads.
const NEWEST_VERSION: u32 = WITH_CLASS_THRESHOLDS;

/// Everything a deployed model carries beside its network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// Version of this block: the oldest that has all that is in it.
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
    /// The thresholds of the M classes, where they are not all θ (an enrolled class has its own, and each has
    /// after a calibration by class); otherwise empty. The class is argmin γ; its threshold is what γ is
    /// compared with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_thresholds: Vec<f32>,
    /// How those of them were found that a calibration by class has found, in the order of the classes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_calibrations: Vec<ClassCalibration>,
    /// Statistics of the rejection score of known pictures held out from training, one a class.
    pub known_scores: Vec<ClassScores>,
    /// Where the model comes from.
    pub training: Provenance,
    /// Pictures with the logits they must give, to check a device with.
    pub golden: Vec<Golden>,
}

/// Larger inputs than this, on either side, are a damaged block and no network for a board.
const LARGEST_INPUT: u32 = 4096;

impl Metadata {
    /// Reads the block and checks it.
    ///
    /// # Errors
    /// If it is no JSON of the expected form, is of a newer version, or contradicts itself.
    pub fn from_json(text: &str) -> Result<Self, ModelError> {
        // The version first: a newer block may have any form.
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let malformed = |error: serde_json::Error| ModelError::Metadata(error.to_string());
        let Version { version } = serde_json::from_str(text).map_err(malformed)?;
        if version > NEWEST_VERSION {
            return Err(ModelError::NewerVersion { found: version, supported: NEWEST_VERSION });
        }
        let metadata: Self = serde_json::from_str(text).map_err(malformed)?;
        metadata.check()?;
        Ok(metadata)
    }

    /// N, the number of logits of each centre.
    pub fn logits(&self) -> usize {
        self.centres.first().map_or(0, Vec::len)
    }

    /// The M×N centres, row after row, as the scorer takes them.
    pub fn flat_centres(&self) -> Vec<f32> {
        self.centres.concat()
    }

    /// The threshold of a class: its own, or θ.
    pub fn threshold_of(&self, class: usize) -> f32 {
        self.class_thresholds.get(class).copied().unwrap_or(self.threshold.value)
    }

    /// Gives classes thresholds of their own, in the order of the classes, and remembers how they were found.
    /// A class without one keeps what it has.
    pub fn set_class_thresholds(&mut self, own: &[Option<Threshold>]) {
        let calibration = |(class, own): (&String, &Option<Threshold>)| {
            Some(ClassCalibration { class: class.clone(), threshold: own.clone()? })
        };
        self.class_calibrations = self.classes.iter().zip(own).filter_map(calibration).collect();
        if self.class_calibrations.is_empty() {
            return;
        }
        self.version = WITH_CLASS_THRESHOLDS;
        let own = |class: usize| own.get(class).and_then(Option::as_ref).map(|own| own.value);
        self.class_thresholds =
            (0..self.classes.len()).map(|class| own(class).unwrap_or(self.threshold_of(class))).collect();
    }

    /// Says what contradicts itself, if anything.
    ///
    /// # Errors
    /// The first contradiction, for people.
    pub fn check(&self) -> Result<(), ModelError> {
        let wrong = |what: String| Err(ModelError::Metadata(what));
        let (classes, logits) = (self.classes.len(), self.logits());
        if self.centres.len() != classes {
            return wrong(format!("it has {classes} classes, but {} class centres", self.centres.len()));
        }
        if let Some(row) = self.centres.iter().position(|centre| centre.len() != logits) {
            let got = self.centres[row].len();
            return wrong(format!("the centre of class {row} has {got} logits, the others have {logits}"));
        }
        if let Err(error) = Centres::new(&self.flat_centres(), logits) {
            return wrong(error.to_string());
        }
        let mut names = BTreeSet::new();
        if let Some(twice) = self.classes.iter().find(|name| !names.insert(*name)) {
            return wrong(format!("the class '{twice}' is there twice"));
        }
        if !(self.threshold.value.is_finite() && self.threshold.value >= 0.0) {
            return wrong(format!("the threshold is {}: calibrate the model again", self.threshold.value));
        }
        let own = &self.class_thresholds;
        if !own.is_empty() && (own.len() != classes || self.version < WITH_CLASS_THRESHOLDS) {
            return wrong(format!(
                "it has {} thresholds of single classes in version {}",
                own.len(),
                self.version
            ));
        }
        if let Some(value) = own.iter().find(|value| !(value.is_finite() && **value >= 0.0)) {
            return wrong(format!("the threshold of a class is {value}: enroll or calibrate it again"));
        }
        let is_in_use = |calibration: &ClassCalibration| {
            let class = self.classes.iter().position(|class| *class == calibration.class);
            class.and_then(|class| own.get(class)) == Some(&calibration.threshold.value)
        };
        if let Some(other) = self.class_calibrations.iter().find(|calibration| !is_in_use(calibration)) {
            return wrong(format!(
                "the threshold of '{}' is another than was calibrated: calibrate it again",
                other.class
            ));
        }
        self.input.check()?;
        let lengths = |golden: &Golden| golden.logits.len() == logits && golden.logits_f32.len() == logits;
        if !self.golden.iter().all(lengths) {
            return wrong(format!("a golden picture has not {logits} logits"));
        }
        Ok(())
    }
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

/// For people: size, colours, and what happens to other shapes.
impl fmt::Display for InputSpec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colour = match self.colour {
            Colour::Rgb => "RGB",
            Colour::Bgr => "BGR",
            Colour::Grey => "grey",
        };
        let resize = match self.resize {
            ResizeRule::Stretch => "other shapes are stretched",
            ResizeRule::CentreCrop => "of other shapes the centre is taken",
        };
        write!(formatter, "{}×{} {colour}; {resize}", self.width, self.height)
    }
}

impl InputSpec {
    /// Number of channels, C of NCHW.
    pub fn channels(&self) -> usize {
        match self.colour {
            Colour::Rgb | Colour::Bgr => 3,
            Colour::Grey => 1,
        }
    }

    /// Number of bytes of a prepared picture, H·W·C.
    pub fn bytes(&self) -> usize {
        self.width as usize * self.height as usize * self.channels()
    }

    fn check(&self) -> Result<(), ModelError> {
        let wrong = |what: String| Err(ModelError::Metadata(what));
        let sides = 1..=LARGEST_INPUT;
        if !sides.contains(&self.width) || !sides.contains(&self.height) {
            return wrong(format!("the input of {}×{} pixels is none or too large", self.width, self.height));
        }
        let channels = self.channels();
        if self.mean.len() != channels || self.std.len() != channels {
            let (means, stds) = (self.mean.len(), self.std.len());
            return wrong(format!(
                "an input of {channels} channels needs as many means and deviations, not {means} and {stds}"
            ));
        }
        if !self.mean.iter().all(|mean| mean.is_finite())
            || !self.std.iter().all(|std| std.is_finite() && *std > 0.0)
        {
            return wrong("a mean or standard deviation of the input is not usable".to_string());
        }
        Ok(())
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
    /// The pictures stood for different numbers of others, and the shares are by weight: then nothing is
    /// promised of new ones.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub weighted: bool,
}

/// How the threshold of one class was found: with known pictures that were given the class, whatever they
/// were of. Its shares and what it promises are of such pictures too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassCalibration {
    /// The class's name.
    pub class: String,
    /// The threshold, the same as among the block's `class_thresholds`.
    pub threshold: Threshold,
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
    /// The temperature of the softmin, where it is not 1. Logits and centres are divided by it already:
    /// nothing is left to be done with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
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
    /// N logits of this file's network as the engine computed them when the file was made. Where
    /// every layer runs in integers, every device gives these very bits.
    pub logits: Vec<f32>,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A small block that is right.
    pub(crate) fn example() -> Metadata {
        Metadata {
            version: METADATA_VERSION,
            name: "example".into(),
            classes: vec!["red".into(), "green".into()],
            centres: vec![vec![5.0, 0.0], vec![0.0, 5.0]],
            input: InputSpec {
                width: 4,
                height: 2,
                colour: Colour::Rgb,
                resize: ResizeRule::Stretch,
                mean: vec![0.5; 3],
                std: vec![0.25; 3],
            },
            threshold: Threshold {
                value: 1.5,
                target_tpr: 0.95,
                measured_tpr: 0.96,
                pictures: 100,
                source: "made up".into(),
                weighted: false,
            },
            class_thresholds: Vec::new(),
            class_calibrations: Vec::new(),
            known_scores: Vec::new(),
            training: Provenance::default(),
            golden: Vec::new(),
        }
    }

    fn threshold(value: f32) -> Threshold {
        Threshold { value, ..example().threshold }
    }

    fn reason(metadata: &Metadata) -> String {
        metadata.check().unwrap_err().to_string()
    }

    #[test]
    fn a_block_survives_its_json() {
        let json = serde_json::to_string(&example()).unwrap();
        assert_eq!(Metadata::from_json(&json).unwrap(), example());
    }

    #[test]
    fn what_only_informs_is_optional_and_what_is_newer_is_passed_over() {
        let mut block = example();
        let without = serde_json::to_value(&block).unwrap();
        block.training.temperature = Some(0.7);
        block.set_class_thresholds(&[None, Some(threshold(0.1))]);
        let mut json = serde_json::to_value(&block).unwrap();
        assert_eq!(Metadata::from_json(&json.to_string()).unwrap(), block);
        json["training"]["of a later program"] = 1.into();
        assert_eq!(Metadata::from_json(&json.to_string()).unwrap(), block);
        assert_eq!(without.to_string().matches("calibrations").count(), 0);
        assert_eq!(without["training"].get("temperature"), None);
        // It is the thresholds, which a program of version 1 would not heed, that make it version 2.
        assert_eq!((without["version"].as_u64(), json["version"].as_u64()), (Some(1), Some(2)));
    }

    #[test]
    fn a_class_without_a_threshold_keeps_what_it_has() {
        let mut block = example();
        block.set_class_thresholds(&[None, None]);
        assert_eq!(block, example());
        block.set_class_thresholds(&[None, Some(threshold(0.1))]);
        assert_eq!((block.version, block.class_thresholds.clone()), (WITH_CLASS_THRESHOLDS, vec![1.5, 0.1]));
        assert_eq!(block.class_calibrations[0].class, "green");
        block.check().unwrap();
        block.set_class_thresholds(&[Some(threshold(0.2)), None]);
        assert_eq!(block.class_thresholds, [0.2, 0.1]);
        block.check().unwrap();
    }

    #[test]
    fn contradictions_are_named() {
        let with = |change: fn(&mut Metadata)| {
            let mut metadata = example();
            change(&mut metadata);
            reason(&metadata)
        };
        assert!(with(|m| m.classes.push("blue".into())).contains("3 classes, but 2 class centres"));
        assert!(with(|m| m.centres[1].push(0.0)).contains("class 1 has 3 logits"));
        assert!(with(|m| m.centres[1][0] = f32::NAN).contains("not finite"));
        assert!(with(|m| m.classes[1] = "red".into()).contains("twice"));
        assert!(with(|m| m.threshold.value = f32::NAN).contains("calibrate"));
        assert!(with(|m| m.class_thresholds = vec![1.0; 2]).contains("in version 1"));
        let own =
            |thresholds: &[f32]| Metadata { version: 2, class_thresholds: thresholds.to_vec(), ..example() };
        assert!(reason(&own(&[1.0])).contains("1 thresholds"));
        assert!(reason(&own(&[1.0, f32::NAN])).contains("NaN"));
        let mut calibrated = own(&[1.0, 2.0]);
        calibrated.set_class_thresholds(&[Some(threshold(0.5)), None]);
        calibrated.class_thresholds[0] = 0.6;
        assert!(reason(&calibrated).contains("'red' is another"));
        calibrated.class_calibrations[0].class = "blue".into();
        assert!(reason(&calibrated).contains("'blue' is another"));
        assert_eq!([0, 1].map(|class| own(&[0.5, 3.0]).threshold_of(class)), [0.5, 3.0]);
        assert_eq!(example().threshold_of(1), 1.5);
        assert!(with(|m| m.input.width = 0).contains("0×2"));
        assert!(with(|m| m.input.std[1] = 0.0).contains("deviation"));
        assert!(with(|m| m.input.mean.truncate(1)).contains("3 channels"));
        assert!(
            with(|m| {
                m.classes.clear();
                m.centres.clear();
            })
            .contains("at least one")
        );
        let golden = Golden { png: String::new(), logits_f32: vec![0.0; 2], logits: vec![0.0; 3] };
        let mut metadata = example();
        metadata.golden.push(golden);
        assert!(reason(&metadata).contains("golden"));
    }

    #[test]
    fn a_newer_version_is_told_apart_from_a_broken_block() {
        let newer = r#"{"version": 3, "centres": "in another form"}"#;
        let error = Metadata::from_json(newer).unwrap_err();
        assert!(matches!(error, ModelError::NewerVersion { found: 3, supported: 2 }));
        for broken in ["", "{}", "[1]", r#"{"version": "one"}"#, r#"{"version": 1, "name": "x"}"#] {
            assert!(matches!(Metadata::from_json(broken), Err(ModelError::Metadata(_))), "{broken}");
        }
    }
}
