//! The range of each node's output over calibration pictures: which part of the real line its
//! 256 quantized values are spread over. Two passes (extremes, then a histogram between them), so
//! memory does not grow with the number of pictures.

use crate::folded::FoldedNetwork;
use anyhow::bail;
use std::str::FromStr;
use tch::Tensor;

/// How the range of a tensor is chosen from what was seen of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RangeMethod {
    /// All of it.
    MinMax,
    /// Without a share of the values at either end: 0.9999 keeps all but the outer 0.01 %.
    Percentile(f64),
    /// Where the mean squared error of quantization is smallest.
    Mse,
}

impl FromStr for RangeMethod {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let share = |text: &str| text.parse().ok().filter(|share| (0.5..=1.0).contains(share));
        match (text, text.strip_prefix("percentile:").and_then(share)) {
            ("mse", _) => Ok(Self::Mse),
            ("min-max", _) => Ok(Self::MinMax),
            (_, Some(share)) => Ok(Self::Percentile(share)),
            _ => Err("must be mse, min-max or percentile:SHARE, such as percentile:0.9999".to_string()),
        }
    }
}

/// Bins of a histogram: eight to a quantization step at the widest range.
const BINS: usize = 2048;

/// How many bounds the search of [`RangeMethod::Mse`] tries on one side.
const CANDIDATES: usize = 128;

/// The range [low, high] of each node's output, 0 always within. `batches` are B×C×H×W inputs,
/// normalised.
pub fn activation_ranges(
    network: &FoldedNetwork,
    batches: &[Tensor],
    method: RangeMethod,
) -> anyhow::Result<Vec<[f32; 2]>> {
    let mut extremes = vec![[0f32; 2]; network.nodes.len()];
    let mut finite = true;
    for batch in batches {
        let _ = network.visit(batch, |index, output| {
            for value in values(output) {
                finite &= value.is_finite();
                extremes[index] = [extremes[index][0].min(value), extremes[index][1].max(value)];
            }
        });
    }
    if batches.is_empty() {
        bail!("there are no pictures to calibrate the quantization on");
    }
    if !finite {
        bail!("the network's activations are not finite on the calibration pictures: training has diverged");
    }
    if method == RangeMethod::MinMax {
        return Ok(extremes);
    }
    let mut histograms: Vec<Histogram> = extremes.iter().map(|&range| Histogram::new(range)).collect();
    for batch in batches {
        let _ = network.visit(batch, |index, output| histograms[index].count(&values(output)));
    }
    let choose = |histogram: &Histogram| match method {
        RangeMethod::MinMax => histogram.range,
        RangeMethod::Percentile(share) => histogram.percentile(share),
        RangeMethod::Mse => histogram.least_squares(),
    };
    Ok(histograms.iter().map(choose).collect())
}

/// All values of a tensor, in the order they lie in memory where that spares a copy.
fn values(output: &Tensor) -> Vec<f32> {
    let flat = match output.dim() {
        4 => output.permute([0, 2, 3, 1]).contiguous(),
        _ => output.contiguous(),
    };
    let mut values = vec![0.0; flat.numel()];
    flat.copy_data(&mut values, flat.numel());
    values
}

/// How often values fell into each of [`BINS`] equal parts of a range.
struct Histogram {
    range: [f32; 2],
    counts: Vec<u64>,
}

impl Histogram {
    fn new(range: [f32; 2]) -> Self {
        Self { range, counts: vec![0; BINS] }
    }

    fn count(&mut self, values: &[f32]) {
        let [low, high] = self.range;
        if high <= low {
            return;
        }
        let bins_per_unit = BINS as f32 / (high - low);
        for value in values {
            let bin = ((value - low) * bins_per_unit) as usize;
            self.counts[bin.min(BINS - 1)] += 1;
        }
    }

    /// The lower bound of a bin.
    fn bound(&self, bin: usize) -> f64 {
        let [low, high] = self.range.map(f64::from);
        low + (high - low) * bin as f64 / BINS as f64
    }

    fn percentile(&self, share: f64) -> [f32; 2] {
        let outside = (self.counts.iter().sum::<u64>() as f64 * (1.0 - share)) as u64;
        let dropped = |counts: &mut dyn Iterator<Item = &u64>| {
            let mut sum = 0;
            counts
                .take_while(|&&count| {
                    sum += count;
                    sum <= outside
                })
                .count()
        };
        let low = self.bound(dropped(&mut self.counts.iter()));
        let high = self.bound(BINS - dropped(&mut self.counts.iter().rev()));
        [low.min(0.0) as f32, high.max(0.0) as f32]
    }

    /// Looks for the bounds one after the other, until neither gets better.
    fn least_squares(&self) -> [f32; 2] {
        let [full_low, full_high] = self.range.map(f64::from);
        let (mut low, mut high) = (full_low, full_high);
        let mut least = self.squared_error(low, high);
        loop {
            let before = least;
            for candidate in 1..=CANDIDATES {
                let bound = full_high * candidate as f64 / CANDIDATES as f64;
                let error = self.squared_error(low, bound);
                if error < least {
                    (least, high) = (error, bound);
                }
            }
            for candidate in 1..=CANDIDATES {
                let bound = full_low * candidate as f64 / CANDIDATES as f64;
                let error = self.squared_error(bound, high);
                if error < least {
                    (least, low) = (error, bound);
                }
            }
            if least >= before {
                return [low as f32, high as f32];
            }
        }
    }

    /// Sum of the squared errors if [low, high] is what 256 values are spread over.
    fn squared_error(&self, low: f64, high: f64) -> f64 {
        let step = (high - low) / 255.0;
        if step <= 0.0 {
            return f64::INFINITY;
        }
        let zero_point = (-low / step).round_ties_even();
        let half_bin = (self.bound(1) - self.bound(0)) / 2.0;
        let of_bin = |(bin, &count): (usize, &u64)| {
            let value = self.bound(bin) + half_bin;
            let stored = ((value / step).round_ties_even() + zero_point).clamp(0.0, 255.0);
            let error = (stored - zero_point) * step - value;
            count as f64 * error * error
        };
        self.counts.iter().enumerate().filter(|(_, count)| **count > 0).map(of_bin).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_written_as_on_the_command_line() {
        assert_eq!("mse".parse(), Ok(RangeMethod::Mse));
        assert_eq!("min-max".parse(), Ok(RangeMethod::MinMax));
        assert_eq!("percentile:0.999".parse(), Ok(RangeMethod::Percentile(0.999)));
        for wrong in ["", "percentile", "percentile:99.9", "percentile:NaN", "MSE"] {
            assert!(wrong.parse::<RangeMethod>().is_err(), "{wrong}");
        }
    }

    fn histogram(values: &[f32]) -> Histogram {
        let low = values.iter().copied().fold(0.0, f32::min);
        let high = values.iter().copied().fold(0.0, f32::max);
        let mut histogram = Histogram::new([low, high]);
        // In parts, as batches come.
        values.chunks(100).for_each(|part| histogram.count(part));
        histogram
    }

    #[test]
    fn percentiles_drop_outliers_and_keep_zero() {
        let mut values: Vec<f32> = (0..10_000).map(|index| index as f32 / 10_000.0).collect();
        values.push(50.0);
        let [low, high] = histogram(&values).percentile(0.999);
        assert_eq!(low, 0.0);
        assert!((0.95..1.1).contains(&high), "{high}");
        let [low, high] = histogram(&values).percentile(1.0);
        assert_eq!([low, high], [0.0, 50.0]);
        let negative: Vec<f32> = values.iter().map(|value| -value).collect();
        let [low, high] = histogram(&negative).percentile(0.999);
        assert!((-1.1..-0.95).contains(&low), "{low}");
        assert_eq!(high, 0.0);
    }

    #[test]
    fn least_squares_beats_the_full_range_and_any_other_bound() {
        // Values of a triangle, and a rare outlier on either side.
        let mut values: Vec<f32> =
            (0..1_000_000).map(|index| ((index % 141) as f32 + (index % 97) as f32) / 119.0 - 1.0).collect();
        values.extend([6.0, -3.0]);
        let histogram = histogram(&values);
        let [low, high] = histogram.least_squares().map(f64::from);
        let least = histogram.squared_error(low, high);
        assert!(least < 0.5 * histogram.squared_error(-3.0, 6.0));
        for wider in [0.5, 0.9, 1.1, 2.0] {
            assert!(least <= histogram.squared_error(low, high * wider) * 1.001);
            assert!(least <= histogram.squared_error(low * wider, high) * 1.001);
        }
    }

    #[test]
    fn a_tensor_of_zeros_has_an_empty_range() {
        let histogram = histogram(&[0.0; 50]);
        assert_eq!(histogram.percentile(0.99), [0.0, 0.0]);
        assert_eq!(histogram.least_squares(), [0.0, 0.0]);
    }
}
