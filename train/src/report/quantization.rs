//! What int8 costs, layer by layer.

use super::chart::{Axes, KNOWN, text_beside};
use crate::quantization_error::LayerError;
use anyhow::Result;
use maud::{Markup, html};
use plotters::prelude::*;

/// The height of a layer's bar with its distance to the next, in the plot's pixels.
const BAR: u32 = 48;

/// The section of the page.
pub fn section(errors: &[LayerError]) -> Result<Markup> {
    Ok(html! {
        section #quantization {
            h2 { "Quantization error by layer" }
            p.hint {
                "Each layer's output in the int8 network beside that in the float network, both from the "
                "picture on: signal-to-quantization-noise ratio in dB (higher is better; 20 dB is an error "
                "of a tenth, 40 dB of a hundredth of the signal). Errors mostly add up on the way from the "
                "input, above, to the logits, below, and averages take some away; a layer where it drops "
                "steeply is the one that eight bits do not suit."
            }
            figure { (plot(errors)?) }
            details {
                summary { "In numbers" }
                table {
                    thead { tr { th { "layer" } th { "SQNR, dB" } th { "mean absolute error" } } }
                    tbody {
                        @for error in errors {
                            tr {
                                td { (error.name) }
                                td.number { (decibels(error.sqnr_db)) }
                                td.number { (format!("{:.3e}", error.mean_absolute)) }
                            }
                        }
                    }
                }
            }
        }
    })
}

fn decibels(value: f64) -> String {
    if value == f64::INFINITY { "exact".to_string() } else { format!("{value:.1}") }
}

fn plot(errors: &[LayerError]) -> Result<Markup> {
    let finite = || errors.iter().map(|error| error.sqnr_db).filter(|value| value.is_finite());
    let (low, high) = (finite().fold(0.0, f64::min), finite().fold(1.0, f64::max) * 1.12);
    // From top to bottom: a layer is a unit high.
    let top = |layer: usize| -(layer as f64);
    let axes = Axes {
        size: (1500, 150 + BAR * errors.len() as u32),
        x: low..high,
        y: top(errors.len())..0.0,
        x_title: "signal-to-quantization-noise ratio, dB (higher is better)",
        y_title: "",
        ..Axes::SHARES
    };
    axes.plot("quantization error by layer", |chart| {
        for (layer, error) in errors.iter().enumerate() {
            let (end, middle) = (error.sqnr_db.clamp(low, high / 1.12), top(layer) - 0.5);
            let corners = [(0.0, top(layer) - 0.12), (end, top(layer) - 0.88)];
            chart.draw_series([Rectangle::new(corners, KNOWN.mix(0.35).filled())])?;
            let name = Text::new(error.name.clone(), (low, middle), text_beside(true));
            let value = Text::new(decibels(error.sqnr_db), (high, middle), text_beside(false));
            chart.draw_series([name, value])?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layer_has_a_bar_and_a_line_whatever_its_error_is() {
        let error = |name: &str, sqnr_db| LayerError { name: name.to_string(), sqnr_db, mean_absolute: 0.25 };
        let errors = [
            error("pixels", f64::INFINITY),
            error("conv<1>", 41.26),
            error("dead", f64::NEG_INFINITY),
            error("loud", -3.04),
        ];
        let page = section(&errors).unwrap().into_string();
        assert_eq!(page.matches("<rect").count(), 4);
        for text in ["exact", "conv&lt;1&gt;", "41.3", "-inf", "-3.0", "2.500e-1"] {
            assert!(page.contains(text), "{text}: {page}");
        }
        assert!(!page.contains("NaN"), "{page}");
        section(&[]).unwrap();
    }
}
