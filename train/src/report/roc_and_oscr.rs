//! The ROC and OSCR curves: which shares of the known and of the unknown pictures are accepted, as the
//! threshold rises from nothing to everything.

use super::chart::{Axes, Chart, INK, KNOWN, LINE, legend};
use crate::deploy::{Judged, Report, digits};
use anyhow::Result;
use maud::{Markup, html};
use plotters::prelude::*;

/// Points that are nearer to the last one than this, along both axes, are not drawn.
const NEAREST: f64 = 1e-3;

/// The section of the page.
pub fn section([int8, float]: &[Report; 2]) -> Result<Markup> {
    let (Some(one), Some(other)) = (Curves::of(int8), Curves::of(float)) else {
        return Ok(html! {
            section #roc { h2 { "ROC and OSCR" } p { "They need unknown pictures: give some with --unknown." } }
        });
    };
    let roc = drawn("ROC", "known pictures accepted (TPR)", &one.roc, &other.roc, one.at_threshold[0], true)?;
    let title = "accepted and named rightly (CCR)";
    let oscr = drawn("OSCR", title, &one.oscr, &other.oscr, one.at_threshold[1], false)?;
    let words = |name: &str, [one, other]: [Option<f64>; 2]| {
        let figure = |value: Option<f64>| value.map_or("not measured".to_string(), digits);
        legend(&[
            ("—", "known", format!("int8: {name} {}", figure(one))),
            ("- -", "ink", format!("f32: {name} {}", figure(other))),
            ("●", "ink", "the threshold of the int8 file".to_string()),
        ])
    };
    let figures = [&int8.figures, &float.figures];
    Ok(html! {
        section #roc {
            h2 { "ROC and OSCR" }
            p.hint {
                "A picture is accepted when its rejection score is up to the threshold (a larger score is "
                "more unknown). As the threshold rises, more known pictures are accepted (upwards) and more "
                "unknown ones (to the right). The nearer a curve comes to the upper left corner, the better; "
                "the areas below are AUROC (0.5 is chance, the diagonal) and OSCR (never more than the "
                "accuracy)."
            }
            div.figures {
                figure { (roc) figcaption { (words("AUROC", figures.map(|figures| figures.auroc))) } }
                figure { (oscr) figcaption { (words("OSCR", figures.map(|figures| figures.oscr))) } }
            }
        }
    })
}

/// The curves of one file.
struct Curves {
    roc: Vec<(f64, f64)>,
    oscr: Vec<(f64, f64)>,
    /// Where the file's threshold is on either.
    at_threshold: [(f64, f64); 2],
}

impl Curves {
    /// Nothing without unknown pictures. Of scores ÷ threshold, so that classes may have their own.
    fn of(report: &Report) -> Option<Self> {
        let relative = |judged: &Judged| -> Vec<f32> {
            judged.verdicts.iter().map(|verdict| verdict.relative_score()).collect()
        };
        let (all, unknown) = (relative(&report.known), relative(report.unknown.as_ref()?));
        let known = report.known.verdicts.iter().zip(&report.known.classes);
        let right: Vec<f32> = known
            .filter(|(verdict, class)| verdict.class == Some(**class))
            .map(|(verdict, _)| verdict.relative_score())
            .collect();
        let accepted = |scores: &[f32], of: usize| {
            scores.iter().filter(|&&score| score <= 1.0).count() as f64 / of.max(1) as f64
        };
        let to_the_right = accepted(&unknown, unknown.len());
        Some(Self {
            roc: curve(&all, all.len(), &unknown),
            oscr: curve(&right, all.len(), &unknown),
            at_threshold: [&all, &right].map(|scores| (to_the_right, accepted(scores, all.len()))),
        })
    }
}

/// For every threshold, the lowest first: the share of the unknown scores that are accepted, and how many
/// of the `counted` ones, as a share of `of`.
fn curve(counted: &[f32], of: usize, unknown: &[f32]) -> Vec<(f64, f64)> {
    let sorted = |scores: &[f32]| {
        let infinite = |&score: &f32| if score.is_nan() { f32::INFINITY } else { score };
        let mut scores: Vec<f32> = scores.iter().map(infinite).collect();
        scores.sort_by(f32::total_cmp);
        scores
    };
    let (counted, unknown) = (sorted(counted), sorted(unknown));
    let mut points = vec![(0.0, 0.0)];
    let (mut right, mut up) = (0, 0);
    while let Some(threshold) =
        [counted.get(up), unknown.get(right)].into_iter().flatten().copied().min_by(f32::total_cmp)
    {
        up += counted[up..].partition_point(|&score| score <= threshold);
        right += unknown[right..].partition_point(|&score| score <= threshold);
        points.push((right as f64 / unknown.len().max(1) as f64, up as f64 / of.max(1) as f64));
    }
    points
}

fn drawn(
    name: &str,
    y_title: &str,
    int8: &[(f64, f64)],
    float: &[(f64, f64)],
    at_threshold: (f64, f64),
    diagonal: bool,
) -> Result<Markup> {
    let axes = Axes { x_title: "unknown pictures accepted (FPR)", y_title, ..Axes::SHARES };
    axes.plot(&format!("{name} curve"), |chart: &mut Chart| {
        if diagonal {
            chart.draw_series(LineSeries::new([(0.0, 0.0), (1.0, 1.0)], LINE.stroke_width(4)))?;
        }
        chart.draw_series(LineSeries::new(thinned(int8), KNOWN.stroke_width(6)))?;
        chart.draw_series(DashedLineSeries::new(thinned(float), 12, 12, INK.stroke_width(3)))?;
        chart.draw_series([Circle::new(at_threshold, 11, INK.filled())])?;
        Ok(())
    })
}

/// Without the points that would not be seen.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut kept: Vec<(f64, f64)> = Vec::new();
    for (index, &(x, y)) in points.iter().enumerate() {
        let far = kept.last().is_none_or(|last| (x - last.0).abs().max((y - last.1).abs()) >= NEAREST);
        if far || index + 1 == points.len() {
            kept.push((x, y));
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use anchorwatch::evaluate::{auroc, oscr};
    use proptest::prelude::*;

    fn area(points: &[(f64, f64)]) -> f64 {
        points.windows(2).map(|pair| (pair[1].0 - pair[0].0) * (pair[1].1 + pair[0].1) / 2.0).sum()
    }

    #[test]
    fn a_curve_by_hand() {
        let points = curve(&[1.0, 2.0, f32::NAN], 4, &[1.5, 2.0]);
        assert_eq!(points, [(0.0, 0.0), (0.0, 0.25), (0.5, 0.25), (1.0, 0.5), (1.0, 0.75)]);
    }

    proptest! {
        #[test]
        fn areas_below_are_auroc_and_oscr(
            known in prop::collection::vec((0u8..20, any::<bool>()), 1..60),
            unknown in prop::collection::vec(0u8..20, 1..60),
        ) {
            let known: Vec<(f32, bool)> = known.into_iter().map(|(score, right)| (score.into(), right)).collect();
            let unknown: Vec<f32> = unknown.into_iter().map(f32::from).collect();
            let all: Vec<f32> = known.iter().map(|(score, _)| *score).collect();
            let right: Vec<f32> = known.iter().filter(|(_, right)| *right).map(|(score, _)| *score).collect();
            let of = known.len();
            prop_assert!((area(&curve(&all, of, &unknown)) - auroc(&all, &unknown)).abs() < 1e-9);
            prop_assert!((area(&curve(&right, of, &unknown)) - oscr(&known, &unknown)).abs() < 1e-9);
        }

        #[test]
        fn what_is_left_out_would_not_be_seen(scores in prop::collection::vec(0f32..1.0, 2..3000)) {
            let points = curve(&scores[..1], 1, &scores[1..]);
            let kept = thinned(&points);
            prop_assert!(kept.len() <= 2003);
            prop_assert_eq!((kept[0], kept.last()), (points[0], points.last()));
            prop_assert!((area(&kept) - area(&points)).abs() < 2.0 * NEAREST);
        }
    }
}
