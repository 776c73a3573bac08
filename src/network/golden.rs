//! The golden pictures: small pictures in the model file with the logits that every device must
//! compute from them. They catch a wrong build, a broken board and a mangled file.
//!
//! A network that runs wholly in integers gives the same bits on every processor, so there nothing
//! less will do. Float parts are added up in another order by another processor.

use super::metadata::Golden;
use super::{Metadata, Model, ModelError, Scoring};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;

/// How this device does on one golden picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GoldenResult {
    /// The largest difference of a logit from what the file says it computes.
    pub largest_difference: f32,
    /// The difference that is still put down to the order of the additions: 0 where every layer
    /// runs in integers.
    pub tolerance: f32,
    /// The largest difference from the unquantized network; for people, not judged.
    pub difference_from_f32: f32,
    /// The class is the one that the file's logits give.
    pub same_class: bool,
    /// Known or unknown is what the file's logits give.
    pub same_outcome: bool,
}

impl GoldenResult {
    /// Whether this device computes what it should.
    pub fn passes(&self) -> bool {
        self.same_class && self.same_outcome && self.largest_difference <= self.tolerance
    }
}

/// Share of the largest logit (or of 1, if that is more) by which the results of a network in f32
/// may differ: what comes of another order of the additions.
const TOLERANCE_F32: f32 = 1e-3;

/// The same where some layers are quantized and others not: such a difference now and then moves a
/// quantized value by one step, and the step moves others.
const TOLERANCE_MIXED: f32 = 0.05;

impl Model {
    /// The golden pictures as the network takes them: H×W×C bytes each.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn golden_pictures(&self) -> Result<Vec<Vec<u8>>, ModelError> {
        let Metadata { input, golden, .. } = self.metadata();
        let wrong = |what: String| ModelError::Metadata(format!("a golden picture: {what}"));
        let pixels = |golden: &Golden| {
            let png = BASE64_STANDARD.decode(&golden.png).map_err(|error| wrong(error.to_string()))?;
            input.decode_png(&png).map_err(wrong)
        };
        golden.iter().map(pixels).collect()
    }

    /// Runs the golden pictures.
    ///
    /// # Errors
    /// If a golden picture cannot be read or the network fails. Different results are no error.
    pub fn verify(&self) -> Result<Vec<GoldenResult>, ModelError> {
        let metadata = self.metadata();
        let wrong = |what: String| ModelError::Metadata(format!("a golden picture: {what}"));
        let scoring = Scoring::new(metadata);
        let mut distances = vec![0.0; metadata.classes.len()];
        let mut verdict = |logits: &[f32]| {
            scoring.verdict(logits, &mut distances).map_err(|error| wrong(error.to_string()))
        };
        let share = match metadata.training.precision.as_str() {
            _ if self.all_integer() => 0.0,
            "f32" => TOLERANCE_F32,
            _ => TOLERANCE_MIXED,
        };
        let mut session = self.session()?;
        let mut results = Vec::new();
        for (golden, pixels) in metadata.golden.iter().zip(self.golden_pictures()?) {
            let logits = session.logits(&pixels)?;
            let (expected, here) = (verdict(&golden.logits)?, verdict(logits)?);
            let scale = golden.logits.iter().fold(1.0f32, |scale, logit| scale.max(logit.abs()));
            results.push(GoldenResult {
                largest_difference: largest_difference(logits, &golden.logits),
                tolerance: share * scale,
                difference_from_f32: largest_difference(logits, &golden.logits_f32),
                same_class: here.class == expected.class,
                same_outcome: here.is_unknown() == expected.is_unknown(),
            });
        }
        Ok(results)
    }
}

/// Infinite when one of them is not finite.
fn largest_difference(one: &[f32], other: &[f32]) -> f32 {
    let differences = one.iter().zip(other).map(|(one, other)| (one - other).abs());
    differences.fold(
        0.0,
        |largest, difference| {
            if difference.is_finite() { f32::max(largest, difference) } else { f32::INFINITY }
        },
    )
}

impl super::metadata::InputSpec {
    /// A PNG of exactly the input's size, as H×W×C bytes in the input's channel order.
    fn decode_png(&self, png: &[u8]) -> Result<Vec<u8>, String> {
        let picture = crate::vision::decode_picture(png).map_err(|error| error.to_string())?;
        let (width, height) = picture.dimensions();
        if (width, height) != (self.width, self.height) {
            return Err(format!("it is {width}×{height}, not {}×{}", self.width, self.height));
        }
        let region = crate::vision::Region::whole(width, height);
        let mut preparer = crate::vision::Preparer::new(self);
        preparer.prepare(&picture, region).map(<[u8]>::to_vec).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::super::metadata::Golden;
    use super::super::model::tests::colours;
    use super::*;
    use image::{ImageFormat, Rgb, RgbImage};
    use std::io::Cursor;

    fn golden(colour: [u8; 3], logits: Vec<f32>) -> Golden {
        let mut png = Cursor::new(Vec::new());
        RgbImage::from_pixel(4, 2, Rgb(colour)).write_to(&mut png, ImageFormat::Png).unwrap();
        Golden { png: BASE64_STANDARD.encode(png.into_inner()), logits_f32: logits.clone(), logits }
    }

    #[test]
    fn right_logits_pass_and_wrong_ones_do_not() {
        let mut file = colours();
        file.metadata.training.precision = "f32".into();
        file.metadata.golden = vec![
            golden([255, 0, 0], vec![10.0, 0.0]),
            golden([255, 0, 0], vec![10.0, 0.02]),
            golden([255, 0, 0], vec![0.0, 10.0]),
        ];
        let results = Model::from_file(&file).unwrap().verify().unwrap();
        let passed: Vec<bool> = results.iter().map(GoldenResult::passes).collect();
        assert_eq!(passed, [true, false, false]);
        assert!(results[1].same_class && !results[2].same_class);
        assert!((results[2].largest_difference - 10.0).abs() < 1e-4);
    }

    #[test]
    fn known_or_unknown_is_by_the_threshold_of_the_class() {
        let mut file = colours();
        file.metadata.training.precision = "f32".into();
        // Nearly red, and known only by the threshold of all.
        file.metadata.golden = vec![golden([255, 0, 0], vec![10.0, 0.3])];
        let same_outcome = |file: &crate::network::ModelFile| {
            Model::from_file(file).unwrap().verify().unwrap()[0].same_outcome
        };
        assert!(same_outcome(&file));
        file.metadata.version = crate::network::metadata::WITH_CLASS_THRESHOLDS;
        file.metadata.class_thresholds = vec![1e-9; 2];
        assert!(!same_outcome(&file));
    }

    #[test]
    fn a_mangled_golden_picture_is_an_error() {
        let mut file = colours();
        file.metadata.golden = vec![golden([255, 0, 0], vec![10.0, 0.0])];
        file.metadata.golden[0].png.truncate(20);
        assert!(Model::from_file(&file).unwrap().verify().is_err());
    }
}
