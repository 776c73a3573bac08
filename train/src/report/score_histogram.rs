//! How the rejection scores of known and unknown pictures are spread, with the threshold between them.

use super::chart::{Axes, INK, KNOWN, SIZE, UNKNOWN, legend, text_beside};
use crate::deploy::{Judged, Report};
use anyhow::Result;
use maud::{Markup, html};
use plotters::prelude::*;
use std::ops::Range;

/// Bars from one end to the other.
const BARS: usize = 60;

/// The share of known scores that may lie below what is shown: γ comes arbitrarily near to 0.
const BELOW: f64 = 0.01;

/// The least and the most powers of ten of score ÷ threshold that are shown, whatever the scores are.
const WIDEST: Range<f64> = -6.0..6.0;

/// The section of the page, of the int8 file.
pub fn section(report: &Report) -> Result<Markup> {
    let known = powers(&report.known);
    let unknown = report.unknown.as_ref().map(powers).unwrap_or_default();
    let range = range(&known, &unknown);
    let bars = |powers: &[f64]| shares(powers, &range);
    let plot = plot(&bars(&known), &bars(&unknown), &range)?;
    let mut entries = vec![("■", "known", format!("{} known pictures", known.len()))];
    if !unknown.is_empty() {
        entries.push(("▬", "unknown", format!("{} unknown pictures", unknown.len())));
    }
    Ok(html! {
        section #scores {
            h2 { "Scores" }
            p.hint {
                "Rejection score ÷ threshold, of the int8 file: up to 1 a picture is taken for known, above "
                "it is flagged as unknown. The axis is logarithmic; what is beyond its ends is in the "
                "outermost bars. The less the two overlap, the better."
            }
            @if unknown.is_empty() {
                p { "There are no unknown pictures to compare with: give some with --unknown." }
            }
            figure { (plot) figcaption { (legend(&entries)) } }
        }
    })
}

/// The decimal logarithms of score ÷ threshold; larger is more unknown.
fn powers(judged: &Judged) -> Vec<f64> {
    judged.verdicts.iter().map(|verdict| f64::from(verdict.relative_score()).log10()).collect()
}

/// What is shown: all scores but the smallest, and in any case the threshold with some room.
fn range(known: &[f64], unknown: &[f64]) -> Range<f64> {
    let finite = |powers: &[f64]| -> Vec<f64> {
        let mut powers: Vec<f64> = powers.iter().copied().filter(|power| power.is_finite()).collect();
        powers.sort_by(f64::total_cmp);
        powers
    };
    let (known, unknown) = (finite(known), finite(unknown));
    let low = [known.get((known.len() as f64 * BELOW) as usize), unknown.first()];
    let high = [known.last(), unknown.last()];
    let low = low.into_iter().flatten().copied().fold(-0.5, f64::min);
    let high = high.into_iter().flatten().copied().fold(0.3, f64::max);
    low.max(WIDEST.start)..high.min(WIDEST.end)
}

/// Which share of the pictures is in each bar.
fn shares(powers: &[f64], range: &Range<f64>) -> Vec<f64> {
    let mut shares = vec![0.0; BARS];
    for power in powers {
        let at = (power - range.start) / (range.end - range.start) * BARS as f64;
        // A conversion to an integer saturates: at the ends is what lies beyond them.
        shares[(at as usize).min(BARS - 1)] += 1.0 / powers.len() as f64;
    }
    shares
}

fn plot(known: &[f64], unknown: &[f64], range: &Range<f64>) -> Result<Markup> {
    let most = known.iter().chain(unknown).copied().fold(0.0, f64::max) * 1.08;
    let axes = Axes {
        size: (SIZE.0 * 3 / 2, SIZE.1),
        x: range.clone(),
        y: 0.0..most,
        x_title: "rejection score ÷ threshold (larger is more unknown)",
        y_title: "share of pictures",
        x_number: power_of_ten,
    };
    let edge = |bar: usize| range.start + (range.end - range.start) * bar as f64 / BARS as f64;
    axes.plot("histogram of rejection scores ÷ threshold", |chart| {
        chart.draw_series(known.iter().enumerate().filter(|(_, share)| **share > 0.0).map(
            |(bar, &share)| {
                Rectangle::new([(edge(bar), 0.0), (edge(bar + 1), share)], KNOWN.mix(0.6).filled())
            },
        ))?;
        if unknown.iter().any(|&share| share > 0.0) {
            let steps = unknown
                .iter()
                .enumerate()
                .flat_map(|(bar, &share)| [(edge(bar), share), (edge(bar + 1), share)]);
            chart.draw_series(LineSeries::new(steps, UNKNOWN.stroke_width(6)))?;
        }
        chart.draw_series(LineSeries::new([(0.0, 0.0), (0.0, most)], INK.stroke_width(4)))?;
        chart.draw_series([Text::new("threshold ", (0.0, most * 0.96), text_beside(false))])?;
        Ok(())
    })
}

/// 10 to this power, with two digits.
fn power_of_ten(power: f64) -> String {
    format!("{:.1e}", 10f64.powf(power))
        .parse::<f64>()
        .map_or_else(|_| String::new(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn powers_of_ten_are_labelled_as_the_numbers_they_are() {
        assert_eq!([-3.0, -0.5, 0.0, 0.2, 2.0].map(power_of_ten), ["0.001", "0.32", "1", "1.6", "100"]);
    }

    #[test]
    fn what_lies_beyond_the_ends_is_in_the_outermost_bars() {
        let shares = shares(&[f64::NEG_INFINITY, -9.0, 0.99, 5.0, f64::INFINITY], &(-1.0..1.0));
        assert!((shares[0] - 0.4).abs() < 1e-12 && (shares[BARS - 1] - 0.6).abs() < 1e-12, "{shares:?}");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_the_threshold_is_seen(
            known in prop::collection::vec(-12f64..12.0, 0..50),
            unknown in prop::collection::vec(prop_oneof![-3f64..3.0, Just(f64::INFINITY)], 0..50),
        ) {
            let range = range(&known, &unknown);
            prop_assert!(range.start < 0.0 && range.end > 0.0 && range.start >= -6.0 && range.end <= 6.0);
            for powers in [known, unknown] {
                let total: f64 = shares(&powers, &range).iter().sum();
                let wanted = if powers.is_empty() { 0.0 } else { 1.0 };
                prop_assert!((total - wanted).abs() < 1e-9);
            }
        }
    }
}
