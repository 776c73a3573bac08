//! What all plots of the page share: colours, fonts, axes, legends. They are drawn as SVG, twice as large
//! as they are shown; page.css gives their colours the values that suit a light or a dark screen.

use anyhow::Result;
use maud::{Markup, PreEscaped, html};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::ops::Range;

/// Text, axes, class centres.
pub const INK: RGBColor = RGBColor(0x1d, 0x23, 0x27);
/// The grid, and what is there for comparison.
pub const LINE: RGBColor = RGBColor(0xcf, 0xd6, 0xdc);
/// Known pictures, and what is right. With the next one from the palette of Okabe and Ito, which people
/// tell apart whatever colours they see.
pub const KNOWN: RGBColor = RGBColor(0x00, 0x72, 0xb2);
/// Unknown pictures, and what is wrong.
pub const UNKNOWN: RGBColor = RGBColor(0xd5, 0x5e, 0x00);

/// The size of most plots.
pub const SIZE: (u32, u32) = (1000, 720);

/// Of all texts.
const FONT_SIZE: f64 = 36.0;

/// A plot whose parts are drawn.
pub type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// The axes of a plot.
pub struct Axes<'a> {
    /// Of the whole plot.
    pub size: (u32, u32),
    /// What is seen of the horizontal axis.
    pub x: Range<f64>,
    /// And of the vertical one.
    pub y: Range<f64>,
    /// What the horizontal axis is.
    pub x_title: &'a str,
    /// And the vertical one; without a title it has no numbers either.
    pub y_title: &'a str,
    /// How numbers on the horizontal axis are written.
    pub x_number: fn(f64) -> String,
}

impl Axes<'_> {
    /// Axes from 0 to 1.
    pub const SHARES: Self =
        Self { size: SIZE, x: 0.0..1.0, y: 0.0..1.0, x_title: "", y_title: "", x_number: number };

    /// The plot, with what `draw` draws into it. `says` is read to those who do not see it.
    ///
    /// # Errors
    /// If it cannot be drawn.
    pub fn plot(&self, says: &str, draw: impl FnOnce(&mut Chart) -> Result<()>) -> Result<Markup> {
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, self.size).into_drawing_area();
            let numbers = |side| if self.y_title.is_empty() { 10 } else { side };
            let mut chart = ChartBuilder::on(&area)
                .margin(16)
                .margin_right(28)
                .x_label_area_size(112)
                .y_label_area_size(numbers(136))
                .build_cartesian_2d(wide(&self.x), wide(&self.y))?;
            let mut mesh = chart.configure_mesh();
            mesh.x_labels(6)
                .y_labels(if self.y_title.is_empty() { 0 } else { 6 })
                .max_light_lines(0)
                .x_desc(self.x_title)
                .y_desc(self.y_title)
                .bold_line_style(LINE.stroke_width(2))
                .axis_style(INK.stroke_width(2))
                .label_style(text())
                .axis_desc_style(text());
            let (x_number, y_number) = (|value: &f64| (self.x_number)(*value), |value: &f64| number(*value));
            mesh.x_label_formatter(&x_number).y_label_formatter(&y_number);
            if self.y_title.is_empty() {
                mesh.disable_y_mesh().disable_y_axis();
            }
            mesh.draw()?;
            draw(&mut chart)?;
            area.present()?;
        }
        Ok(html! { div.plot role="img" aria-label=(says) { (PreEscaped(svg)) } })
    }
}

/// The style of all texts.
pub fn text() -> TextStyle<'static> {
    ("sans-serif", FONT_SIZE).into_font().color(&INK)
}

/// A text that begins at its point, or ends there.
pub fn text_beside(left: bool) -> TextStyle<'static> {
    text().pos(Pos::new(if left { HPos::Left } else { HPos::Right }, VPos::Center))
}

/// A number on an axis, without the last digits of its binary form.
pub fn number(value: f64) -> String {
    let rounded = format!("{value:.3e}").parse::<f64>().unwrap_or(value);
    if rounded == 0.0 { "0".to_string() } else { rounded.to_string() }
}

/// What the marks of a plot mean: a mark of a class of page.css, and words.
pub fn legend(entries: &[(&str, &str, String)]) -> Markup {
    html! {
        ul.legend {
            @for (mark, class, words) in entries {
                li { span class=(class) aria-hidden="true" { (mark) } " " (words) }
            }
        }
    }
}

/// A range that has a width.
fn wide(range: &Range<f64>) -> Range<f64> {
    let start = if range.start.is_finite() { range.start } else { 0.0 };
    let usable = range.end.is_finite() && range.end - start > start.abs() * 1e-9;
    start..if usable { range.end } else { start + 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_people_write_them() {
        let written = [0.1 + 0.2, -0.0, 1.0, 0.000_012_5, 1250.0, -1.5].map(number);
        assert_eq!(written, ["0.3", "0", "1", "0.0000125", "1250", "-1.5"]);
    }

    #[test]
    fn a_plot_has_its_titles_escaped_and_survives_ranges_without_width() {
        for x in [0.0..0.0, 1.0..1.0, f64::NAN..1.0, 0.0..f64::INFINITY, 3.0..2.0] {
            let axes = Axes { x: x.clone(), x_title: "a <b>&", y_title: "y", ..Axes::SHARES };
            let plot = axes.plot("says \"<i>\"", |_| Ok(())).unwrap().into_string();
            assert!(plot.contains("a &lt;b&gt;&amp;") && !plot.contains("<b>"), "{x:?}: {plot}");
            assert!(!plot.contains("<i>"), "{plot}");
        }
    }
}
