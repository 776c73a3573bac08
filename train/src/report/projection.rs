//! The logits of known and unknown pictures in two dimensions, with the class centres: along the two
//! directions in which the known ones differ most (principal component analysis).

use super::chart::{Axes, INK, KNOWN, UNKNOWN, legend, text_beside};
use crate::calibration::Logits;
use crate::deploy::{Judged, Report};
use anyhow::Result;
use maud::{Markup, html};
use plotters::prelude::*;
use std::ops::Range;
use tch::{Kind, Tensor};

/// Pictures of each kind that are drawn at most, evenly taken.
const MOST_POINTS: usize = 1000;

/// With more classes than this, their names would cover everything.
const MOST_NAMES: usize = 30;

/// The section of the page, of the int8 file.
pub fn section(report: &Report) -> Result<Markup> {
    let Some(plane) = Plane::of(&report.known.logits)? else {
        return Ok(
            html! { section #logits { h2 { "Logits" } p { "There are fewer than two pictures to compare." } } },
        );
    };
    let known = drawn(&plane, &report.known);
    let unknown = report.unknown.as_ref().map(|judged| drawn(&plane, judged)).unwrap_or_default();
    let centres: Vec<_> = report.metadata.centres.iter().map(|centre| plane.project(centre)).collect();
    let plot = plot(&plane, &known, &unknown, &centres, &report.metadata.classes)?;
    let mut entries = vec![("●", "known", format!("{} known pictures", share(&known, &report.known)))];
    if let Some(judged) = &report.unknown {
        entries.push(("▲", "unknown", format!("{} unknown pictures", share(&unknown, judged))));
    }
    entries.push(("✕", "ink", "class centres".to_string()));
    Ok(html! {
        section #logits {
            h2 { "Logits" }
            p.hint {
                "The int8 file's logits, seen along the two directions in which known pictures differ most: "
                (format!("{:.0} %", plane.shares.iter().sum::<f64>() * 100.0))
                " of their variance. Training pulls each class towards its centre; what is near no centre is "
                "flagged. Two directions do not show all: what lies on a centre here may be far from it in "
                "another direction."
            }
            figure { (plot) figcaption { (legend(&entries)) } }
        }
    })
}

/// The two directions of logit space.
struct Plane {
    mean: Vec<f64>,
    directions: [Vec<f64>; 2],
    /// Of the variance, along each.
    shares: [f64; 2],
}

impl Plane {
    /// Nothing for fewer than two pictures. Logits that are not finite do not count.
    fn of(logits: &Logits) -> Result<Option<Self>> {
        let rows: Vec<f32> = logits.rows().filter(|row| is_finite(row)).flatten().copied().collect();
        let (count, width) = (rows.len() / logits.width.max(1), logits.width);
        if count < 2 {
            return Ok(None);
        }
        let values = Tensor::from_slice(&rows).view([count as i64, width as i64]).to_kind(Kind::Double);
        let mean = values.mean_dim([0i64].as_slice(), false, None);
        let values = values - &mean;
        let covariance = values.tr().matmul(&values) / count as f64;
        // The smallest variance comes first; each column of `vectors` is a direction.
        let (variances, vectors) = covariance.f_linalg_eigh("L")?;
        let variances = Vec::<f64>::try_from(variances)?;
        let vectors = Vec::<f64>::try_from(vectors.tr().contiguous().view([-1]))?;
        let total: f64 = variances.iter().sum();
        let nth = |nth: usize| match width.checked_sub(nth + 1) {
            Some(row) => (
                one_sign(&vectors[row * width..][..width]),
                variances[row].max(0.0) / total.max(f64::MIN_POSITIVE),
            ),
            None => (vec![0.0; width], 0.0),
        };
        let [(first, one), (second, other)] = [nth(0), nth(1)];
        Ok(Some(Self { mean: Vec::try_from(mean)?, directions: [first, second], shares: [one, other] }))
    }

    fn project(&self, logits: &[f32]) -> (f64, f64) {
        let [x, y] = [0, 1].map(|nth: usize| {
            let from_mean = logits.iter().zip(&self.mean).map(|(&logit, mean)| f64::from(logit) - mean);
            from_mean.zip(&self.directions[nth]).map(|(value, along)| value * along).sum::<f64>()
        });
        (x, y)
    }
}

/// A direction and its opposite are the same one: the largest part is positive.
fn one_sign(direction: &[f64]) -> Vec<f64> {
    let largest = direction
        .iter()
        .copied()
        .fold(0.0, |one: f64, other| if other.abs() > one.abs() { other } else { one });
    direction.iter().map(|part| part * largest.signum()).collect()
}

/// How many are drawn.
fn share(drawn: &[(f64, f64)], of: &Judged) -> String {
    let all = of.verdicts.len();
    if drawn.len() == all { all.to_string() } else { format!("{} of {all}", drawn.len()) }
}

fn is_finite(row: &[f32]) -> bool {
    row.iter().all(|logit| logit.is_finite())
}

/// Where evenly taken pictures are.
fn drawn(plane: &Plane, judged: &Judged) -> Vec<(f64, f64)> {
    let rows: Vec<&[f32]> = judged.logits.rows().filter(|row| is_finite(row)).collect();
    let count = rows.len().min(MOST_POINTS);
    (0..count).map(|index| plane.project(rows[index * rows.len() / count])).collect()
}

fn plot(
    plane: &Plane,
    known: &[(f64, f64)],
    unknown: &[(f64, f64)],
    centres: &[(f64, f64)],
    classes: &[String],
) -> Result<Markup> {
    let all = || known.iter().chain(unknown).chain(centres);
    let title = |which: &str, share: f64| {
        format!("{which} principal component ({:.0} % of the variance)", share * 100.0)
    };
    let axes = Axes {
        size: (1500, 1100),
        x: with_room(all().map(|point| point.0)),
        y: with_room(all().map(|point| point.1)),
        x_title: &title("first", plane.shares[0]),
        y_title: &title("second", plane.shares[1]),
        ..Axes::SHARES
    };
    axes.plot("logits of known and unknown pictures in two dimensions", |chart| {
        chart.draw_series(known.iter().map(|&at| Circle::new(at, 6, KNOWN.mix(0.55).filled())))?;
        chart
            .draw_series(unknown.iter().map(|&at| TriangleMarker::new(at, 8, UNKNOWN.mix(0.55).filled())))?;
        chart.draw_series(centres.iter().map(|&at| Cross::new(at, 13, INK.stroke_width(6))))?;
        if classes.len() <= MOST_NAMES {
            let names = centres.iter().zip(classes);
            chart.draw_series(names.map(|(&at, name)| {
                EmptyElement::at(at) + Text::new(name.clone(), (22, 0), text_beside(true))
            }))?;
        }
        Ok(())
    })
}

/// From the least to the largest, and a little more.
fn with_room(values: impl Iterator<Item = f64> + Clone) -> Range<f64> {
    let (low, high) =
        (values.clone().fold(f64::INFINITY, f64::min), values.fold(f64::NEG_INFINITY, f64::max));
    let room = (high - low) * 0.05;
    low - room..high + room
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directions_are_those_of_the_largest_variance() {
        // Along (3, 4, 0)/5 from −10 to 10, along z from −1 to 1, and nothing across; around (1, 2, 3).
        let mut values = Vec::new();
        for step in -10..=10i8 {
            for z in [-1.0f32, 1.0] {
                let along = f32::from(step);
                values.extend([1.0 + 0.6 * along, 2.0 + 0.8 * along, 3.0 + z]);
            }
        }
        values.extend([f32::NAN, 0.0, 0.0]);
        let plane = Plane::of(&Logits { values, width: 3 }).unwrap().unwrap();
        let (x, y) = plane.project(&[1.0 + 6.0, 2.0 + 8.0, 3.5]);
        assert!((x - 10.0).abs() < 1e-5 && (y - 0.5).abs() < 1e-5, "{x} {y}");
        // The variances are 110/3 and 1.
        let first = 110.0 / 113.0;
        assert!((plane.shares[0] - first).abs() < 1e-6, "{:?}", plane.shares);
        assert!((plane.shares[1] - (1.0 - first)).abs() < 1e-6, "{:?}", plane.shares);
    }

    #[test]
    fn one_logit_has_one_direction_and_one_picture_none() {
        let plane = Plane::of(&Logits { values: vec![1.0, 3.0], width: 1 }).unwrap().unwrap();
        assert_eq!(plane.project(&[5.0]), (3.0, 0.0));
        assert!(Plane::of(&Logits { values: vec![1.0, 3.0], width: 2 }).unwrap().is_none());
    }
}
