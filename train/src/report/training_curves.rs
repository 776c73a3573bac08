//! Loss, accuracy and learning rate over the epochs.

use super::chart::{Axes, KNOWN};
use crate::history::{EpochRecord, History};
use anyhow::Result;
use maud::{Markup, html};
use plotters::prelude::*;

/// Three of them are side by side.
const SIZE: (u32, u32) = (760, 560);

/// The section of the page.
pub fn section(history: &History) -> Result<Markup> {
    let curve =
        |title: &str, direction: &str, of: fn(&EpochRecord) -> f64| curve(history, title, direction, of);
    let last = history.epochs.last();
    Ok(html! {
        section #training {
            h2 { "Training" }
            @if let Some(last) = last {
                p.hint {
                    "Over training pictures, varied as they are in training, while the network changes: the "
                    "held-out pictures' accuracy is in the table of figures. In the last epoch: loss "
                    (format!("{:.4}", last.loss())) ", accuracy " (format!("{:.4}", last.accuracy())) "."
                }
                div.figures {
                    (curve("loss", "lower is better", EpochRecord::loss)?)
                    (curve("accuracy", "higher is better", EpochRecord::accuracy)?)
                    (curve("learning rate", "of the last step of each epoch", |epoch| epoch.learning_rate)?)
                }
            } @else {
                p { "There is no history: the network was not trained here." }
            }
        }
    })
}

fn curve(
    history: &History,
    title: &str,
    direction: &str,
    of: impl Fn(&EpochRecord) -> f64,
) -> Result<Markup> {
    let points: Vec<(f64, f64)> = history.epochs.iter().map(|epoch| (epoch.end, of(epoch))).collect();
    let most = points.iter().map(|point| point.1).fold(0.0, f64::max);
    let axes = Axes {
        size: SIZE,
        x: 0.0..points.last().map_or(1.0, |point| point.0),
        y: 0.0..most * 1.05,
        x_title: "epochs",
        y_title: title,
        ..Axes::SHARES
    };
    let plot = axes.plot(&format!("{title} over the epochs"), |chart| {
        chart.draw_series(LineSeries::new(points, KNOWN.filled().stroke_width(5)).point_size(7))?;
        Ok(())
    })?;
    Ok(html! { figure { (plot) figcaption { (title) " (" (direction) ")" } } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::StepRecord;

    #[test]
    fn each_epoch_is_a_point_and_without_a_history_it_is_said() {
        let mut history = History::default();
        for step in 0..5 {
            let done = StepRecord { loss: 2.0, correct: 3, pictures: 4, learning_rate: 0.1 };
            history.add(step, 2, done);
        }
        let page = section(&history).unwrap().into_string();
        assert_eq!(page.matches("<svg").count(), 3);
        // Two epochs and a half one.
        assert_eq!(page.matches("<circle").count(), 3 * 3);
        assert!(page.contains("loss 2.0000, accuracy 0.7500"), "{page}");
        let page = section(&History::default()).unwrap().into_string();
        assert!(page.contains("no history") && !page.contains("<svg"));
    }
}
