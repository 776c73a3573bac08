//! The temperature T of the softmin: γ_j = d_j·(1 − softmin(d/T)_j). The paper's is 1.
//!
//! Logits and centres divided by T have the distances d/T, and so the scores γ/T: with thresholds divided
//! likewise, every verdict is the same. So T is put into the last layer when a network is exported, into
//! its weights and bias, or in int8 into their scales, where every integer stays as it is. At run time
//! nothing is to be done with it.
//!
//! softmin(d/T) = softmax(−d/T) are class probabilities, and T can be chosen by the likelihood that they
//! give to the right classes of pictures (Guo et al., arXiv 1706.04599, for logits). Its negative logarithm
//! is convex in 1/T, so there is one minimum, where its slope, the mean of d_y − Σ_j softmin(d/T)_j·d_j, is
//! 0; if every picture is nearest to its own class there is none, for the colder the likelier.

use crate::folded::{FoldedLayer, FoldedNetwork, FoldedNode};
use crate::quantized::{QuantizedLayer, QuantizedNetwork};
use anyhow::{Context, Result};
use std::ops::RangeInclusive;
use std::str::FromStr;
use tch::{Kind, Tensor};

/// Other temperatures make a softmin of nothing but noughts and ones, or of nothing but equals.
const USABLE: RangeInclusive<f64> = 0.01..=100.0;

/// Halvings of the search: far below what matters.
const HALVINGS: usize = 50;

/// Which temperature, as on the command line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Temperature {
    /// This one.
    Value(f64),
    /// The likeliest.
    Fit,
}

impl FromStr for Temperature {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let value = text.parse().ok().filter(|value| USABLE.contains(value)).map(Self::Value);
        let fit = (text == "fit").then_some(Self::Fit);
        value.or(fit).ok_or("must be a number from 0.01 to 100, or fit".to_string())
    }
}

/// A temperature that was fitted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fitted {
    /// T.
    pub temperature: f64,
    /// The negative log-likelihood of the pictures that had no part in choosing it, at 1 and at T; smaller
    /// is better.
    pub likelihood: [f64; 2],
}

/// The likeliest temperature for B×M distances and B true classes, chosen by the first of two [`halves`];
/// `None` if none is.
pub fn fit(distances: &Tensor, classes: &[usize]) -> Option<Fitted> {
    let targets: Vec<i64> = classes.iter().map(|&class| class as i64).collect();
    let (distances, targets) = (distances.to_kind(Kind::Double), Tensor::from_slice(&targets));
    let [choosing, others] = halves(classes).map(|half| {
        let half: Vec<i64> = half.into_iter().map(|index| index as i64).collect();
        let half = Tensor::from_slice(&half);
        (distances.index_select(0, &half), targets.index_select(0, &half))
    });
    let temperature = likeliest(&choosing.0, &choosing.1)?;
    let likelihood = [1.0, temperature].map(|at| negative_log_likelihood(&others.0, &others.1, at));
    Some(Fitted { temperature, likelihood })
}

/// Parts pictures in two, alternately in each class: those that choose a temperature, and those that the
/// thresholds are found with. What thresholds promise would not hold with the pictures that their score was
/// fitted to.
pub fn halves(classes: &[usize]) -> [Vec<usize>; 2] {
    let mut seen = std::collections::HashMap::new();
    let mut halves = [Vec::new(), Vec::new()];
    for (index, class) in classes.iter().enumerate() {
        let count = seen.entry(class).or_insert(0);
        // A class's only picture is for the thresholds.
        halves[1 - *count % 2].push(index);
        *count += 1;
    }
    halves
}

/// The mean of −log softmin(d/T) at the true classes (B) of distances (B×M).
fn negative_log_likelihood(distances: &Tensor, classes: &Tensor, temperature: f64) -> f64 {
    (distances / -temperature).log_softmax(-1, Kind::Double).nll_loss(classes).double_value(&[])
}

/// The temperature at which that is smallest; `None` if it is not within what is usable.
fn likeliest(distances: &Tensor, classes: &Tensor) -> Option<f64> {
    let finite = distances.isfinite().all_dim(1, false).nonzero().view([-1]);
    let (distances, classes) = (distances.index_select(0, &finite), classes.index_select(0, &finite));
    if finite.numel() == 0 {
        return None;
    }
    let own = distances.gather(1, &classes.unsqueeze(1), false).squeeze_dim(1);
    // By 1/T, given as its logarithm.
    let slope = |logarithm: f64| {
        let shares = (&distances * -logarithm.exp()).softmax(-1, Kind::Double);
        let expected = (shares * &distances).sum_dim_intlist([1i64].as_slice(), false, None);
        (&own - expected).mean(None).double_value(&[])
    };
    let [mut low, mut high] = [USABLE.end(), USABLE.start()].map(|temperature| -temperature.ln());
    if slope(low) >= 0.0 || slope(high) <= 0.0 {
        return None;
    }
    for _ in 0..HALVINGS {
        let middle = (low + high) / 2.0;
        if slope(middle) < 0.0 { low = middle } else { high = middle }
    }
    Some((-(low + high) / 2.0).exp())
}

const NOT_DENSE: &str = "the network does not end in a dense layer, which a temperature could go into";

impl FoldedNetwork {
    /// Divides the logits by a temperature.
    ///
    /// # Errors
    /// If they do not come from a dense layer.
    pub fn divide_logits(&mut self, temperature: f64) -> Result<()> {
        let last = match self.nodes.last_mut() {
            Some(FoldedNode { layer: FoldedLayer::Dense { weight, bias, activation: None, .. }, .. }) => {
                Some((weight, bias))
            }
            _ => None,
        };
        let (weight, bias) = last.context(NOT_DENSE)?;
        weight.iter_mut().chain(bias).for_each(|value| *value = divided(*value, temperature));
        Ok(())
    }
}

impl QuantizedNetwork {
    /// Divides the logits by a temperature; the integers stay as they are.
    ///
    /// # Errors
    /// If they do not come from a dense layer.
    pub fn divide_logits(&mut self, temperature: f64) -> Result<()> {
        let input = self.nodes.last().and_then(|last| self.nodes[*last.inputs.first()?].output);
        let last = match self.nodes.last_mut().map(|last| &mut last.layer) {
            Some(QuantizedLayer::Dense { weights, activation: None, .. }) => Some(weights),
            _ => None,
        };
        let (weights, input) = last.zip(input).context(NOT_DENSE)?;
        for (scale, of_bias) in weights.scales.iter_mut().zip(&mut weights.bias_scales) {
            *scale = divided(*scale, temperature);
            *of_bias = (f64::from(input.scale) * f64::from(*scale)) as f32;
        }
        Ok(())
    }
}

fn divided(value: f32, by: f64) -> f32 {
    (f64::from(value) / by) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::float_onnx;
    use crate::fold::fold;
    use crate::quantize::{QuantizeOptions, quantize};
    use crate::random_networks::{random_architecture, random_pictures, random_variables, tract_logits};
    use anchorwatch_core::{Centres, Scorer};
    use rand::{Rng, SeedableRng};

    #[test]
    fn a_temperature_is_a_number_or_fitted() {
        assert_eq!("fit".parse(), Ok(Temperature::Fit));
        assert_eq!("0.5".parse(), Ok(Temperature::Value(0.5)));
        for wrong in ["0", "-1", "NaN", "inf", "1e9", "hot", ""] {
            assert!(wrong.parse::<Temperature>().unwrap_err().contains("0.01 to 100"), "{wrong}");
        }
    }

    #[test]
    fn each_class_is_halved() {
        let [choosing, others] = halves(&[0, 0, 1, 0, 2, 1, 0, 0]);
        assert_eq!((choosing, others), (vec![1, 5, 6], vec![0, 2, 3, 4, 7]));
        assert_eq!(halves(&[]), [const { Vec::<usize>::new() }; 2]);
    }

    /// Distances of pictures to four centres, and classes drawn with the probabilities softmin(d/T).
    fn drawn(temperature: f64, count: usize) -> (Vec<[f64; 4]>, Vec<usize>) {
        let mut random = rand::rngs::StdRng::seed_from_u64(1);
        let rows: Vec<[f64; 4]> =
            (0..count).map(|_| std::array::from_fn(|_| random.random_range(0.0..10.0))).collect();
        let classes = rows.iter().map(|row| {
            let shares = row.map(|distance| (-distance / temperature).exp());
            let mut at = random.random_range(0.0..shares.iter().sum());
            shares
                .iter()
                .position(|share| {
                    at -= share;
                    at < 0.0
                })
                .unwrap_or(3)
        });
        let classes = classes.collect();
        (rows, classes)
    }

    #[test]
    fn the_temperature_that_classes_were_drawn_with_is_found() {
        for temperature in [0.3, 1.0, 4.0] {
            let (rows, classes) = drawn(temperature, 20_000);
            let fitted = fit(&Tensor::from_slice2(&rows), &classes).unwrap();
            assert!((fitted.temperature / temperature - 1.0).abs() < 0.05, "{temperature}: {fitted:?}");
            if temperature != 1.0 {
                assert!(fitted.likelihood[1] < fitted.likelihood[0], "{fitted:?}");
            }
            // It is the minimum: on either side the pictures that chose it are less likely.
            let [choosing, _] = halves(&classes);
            let distances: Vec<[f64; 4]> = choosing.iter().map(|&index| rows[index]).collect();
            let classes: Vec<i64> = choosing.iter().map(|&index| classes[index] as i64).collect();
            let (distances, classes) = (Tensor::from_slice2(&distances), Tensor::from_slice(&classes));
            let at = |factor: f64| negative_log_likelihood(&distances, &classes, fitted.temperature * factor);
            assert!(at(0.99) > at(1.0) && at(1.01) > at(1.0));
            // And of distances in another unit it is another in the same unit.
            let [one, tenfold] = [1.0, 10.0].map(|unit| likeliest(&(&distances * unit), &classes).unwrap());
            assert!((tenfold / one - 10.0).abs() < 1e-9);
        }
    }

    #[test]
    fn the_likelihood_is_the_definition() {
        let (distances, classes) = ([[1.0, 2.0, 4.0], [3.0, 0.5, 2.0]], [0usize, 2]);
        let by_hand = distances.iter().zip(classes).map(|(row, class)| {
            let powers = row.map(|distance: f64| (-distance / 0.7).exp());
            -(powers[class] / powers.iter().sum::<f64>()).ln() / 2.0
        });
        let targets = Tensor::from_slice(&classes.map(|class| class as i64));
        let computed = negative_log_likelihood(&Tensor::from_slice2(&distances), &targets, 0.7);
        assert!((computed - by_hand.sum::<f64>()).abs() < 1e-12);
    }

    #[test]
    fn where_all_are_right_none_is_the_likeliest() {
        let right = Tensor::from_slice2(&[[1.0, 5.0], [2.0, 5.0], [6.0, 1.0], [7.0, 2.0]]);
        assert_eq!(fit(&right, &[0, 0, 1, 1]), None);
        assert_eq!(fit(&right, &[1, 1, 0, 0]), None, "nor where all are wrong");
        let broken = Tensor::from_slice2(&[[f64::NAN, 5.0], [2.0, f64::INFINITY]]);
        assert_eq!(fit(&broken, &[0, 0]), None);
        assert_eq!(fit(&Tensor::zeros([0, 2], (Kind::Double, tch::Device::Cpu)), &[]), None);
    }

    /// The largest difference, as a share of the largest number.
    fn apart(one: &Tensor, other: &Tensor) -> f64 {
        let size = other.abs().max().double_value(&[]).max(1e-6);
        (one - other).abs().max().double_value(&[]) / size
    }

    #[test]
    fn logits_are_divided_and_the_integers_stay() {
        for seed in 0..20 {
            let architecture = random_architecture(seed);
            let float = fold(&architecture, &random_variables(&architecture, seed));
            let calibration = [random_pictures(&architecture, 8, seed)];
            let int8 = quantize(&float, &calibration, &QuantizeOptions::default()).unwrap();
            let pictures = random_pictures(&architecture, 3, seed + 1);
            for temperature in [0.07, 0.5, 3.0] {
                let (mut float_divided, mut int8_divided) = (float.clone(), int8.clone());
                float_divided.divide_logits(temperature).unwrap();
                int8_divided.divide_logits(temperature).unwrap();
                let wanted = float.logits(&pictures) / temperature;
                assert!(apart(&float_divided.logits(&pictures), &wanted) < 1e-5);
                assert!(apart(&tract_logits(&float_onnx(&float_divided), &pictures), &wanted) < 1e-3);
                let wanted = int8.logits(&pictures) / temperature;
                assert!(apart(&int8_divided.logits(&pictures), &wanted) < 1e-6);

                // All but the scales of the last layer is the same.
                let (last, before) = int8_divided.nodes.split_last_mut().unwrap();
                assert_eq!(*before, int8.nodes[..before.len()]);
                let QuantizedLayer::Dense { weights, .. } = &mut last.layer else { panic!("{last:?}") };
                let QuantizedLayer::Dense { weights: original, .. } = &int8.nodes[before.len()].layer else {
                    panic!("seed {seed}")
                };
                assert_eq!((&weights.weight, &weights.bias), (&original.weight, &original.bias));
                assert!(weights.scales.iter().zip(&original.scales).all(|(one, other)| one != other));
                weights.scales.clone_from(&original.scales);
                weights.bias_scales.clone_from(&original.bias_scales);
                assert_eq!(int8_divided, int8);
            }
        }
    }

    /// The runtime, which knows of no temperature, against the formula with it.
    #[test]
    fn verdicts_are_those_of_the_formula_with_the_temperature() {
        let mut random = rand::rngs::StdRng::seed_from_u64(3);
        let (mut known, mut unknown) = (0, 0);
        for _ in 0..2000 {
            let mut number = |_| random.random_range(-10.0..10.0f32);
            let centres: [f32; 12] = std::array::from_fn(&mut number);
            let logits: [f32; 3] = std::array::from_fn(&mut number);
            let temperature = random.random_range(0.2..5.0f64);
            let distances: [f64; 4] = std::array::from_fn(|class| {
                let centre = &centres[class * 3..][..3];
                let squares = logits.iter().zip(centre).map(|(x, c)| (f64::from(*x) - f64::from(*c)).powi(2));
                squares.sum::<f64>().sqrt()
            });
            let powers = distances.map(|distance| (-distance / temperature).exp());
            let gammas: [f64; 4] = std::array::from_fn(|class| {
                let others = (0..4).filter(|&other| other != class).map(|other| powers[other]);
                distances[class] * others.sum::<f64>() / powers.iter().sum::<f64>()
            });
            let class = (0..4).min_by(|&one, &other| gammas[one].total_cmp(&gammas[other])).unwrap();
            let threshold = random.random_range(0.0..10.0);
            if (gammas[class] / threshold - 1.0).abs() < 1e-3 {
                continue;
            }
            let divided = |value: &f32| super::divided(*value, temperature);
            let centres: Vec<f32> = centres.iter().map(divided).collect();
            let logits: Vec<f32> = logits.iter().map(divided).collect();
            let scorer = Scorer::new(Centres::new(&centres, 3).unwrap());
            let verdict = scorer.score(&logits, (threshold / temperature) as f32, &mut [0.0; 4]).unwrap();
            assert_eq!(verdict.class, Some(class));
            assert_eq!(verdict.is_unknown(), gammas[class] > threshold);
            if verdict.is_unknown() { unknown += 1 } else { known += 1 }
        }
        assert!(known > 300 && unknown > 300, "{known} {unknown}");
    }
}
