//! Draws what was decided onto a frame: a box and a label a region. For people to look at; nothing
//! reads these pictures again.
//!
//! Known is blue, unknown is orange-red and drawn thicker: the two can be told apart by colour-blind
//! people, and in grey. The font is a part of DejaVu Sans Bold; `font/LICENSE.txt` has its licence.

use crate::vision::Region;
use ab_glyph::{Font, FontRef, GlyphId, PxScale, ScaleFont, point};
use image::imageops::{FilterType, resize};
use image::{Rgb, RgbImage};

static FONT: &[u8] = include_bytes!("font/DejaVuSans-Bold-Latin.ttf");

const KNOWN: Rgb<u8> = Rgb([0, 114, 178]);
const UNKNOWN: Rgb<u8> = Rgb([200, 80, 0]);
const TEXT: Rgb<u8> = Rgb([255, 255, 255]);

/// Frames with a shorter side than this are enlarged by a whole factor, so that a label can be
/// read …
const SHORTEST_SIDE: u32 = 256;
/// … but not beyond this on the longer one.
const LONGEST_SIDE: u32 = 4096;

/// The smallest height of letters that can be read, in pixels.
const SMALLEST_TEXT: f32 = 12.0;

/// What to draw of one region.
#[derive(Clone, Debug)]
pub struct Label {
    /// Where.
    pub region: Region,
    /// What to write.
    pub text: String,
    /// Whether it is unknown.
    pub unknown: bool,
}

/// A copy of the frame with boxes and labels. Small frames come out enlarged.
pub fn annotate(picture: &RgbImage, labels: &[Label]) -> RgbImage {
    let (width, height) = picture.dimensions();
    let factor = enlargement(width, height);
    let mut drawn = if factor == 1 {
        picture.clone()
    } else {
        resize(picture, width * factor, height * factor, FilterType::Nearest)
    };
    // Unknown ones last, so that nothing covers them.
    for unknown in [false, true] {
        for label in
            labels.iter().filter(|label| label.unknown == unknown && label.region.is_inside(width, height))
        {
            draw(&mut drawn, label, factor);
        }
    }
    drawn
}

/// By how much a frame is enlarged.
fn enlargement(width: u32, height: u32) -> u32 {
    let (shorter, longer) = (width.min(height).max(1), width.max(height).max(1));
    SHORTEST_SIDE.div_ceil(shorter).min(LONGEST_SIDE / longer).max(1)
}

fn draw(picture: &mut RgbImage, label: &Label, factor: u32) {
    let colour = if label.unknown { UNKNOWN } else { KNOWN };
    let [left, top, width, height] =
        [label.region.x, label.region.y, label.region.width, label.region.height]
            .map(|length| length * factor);
    let shorter_side = picture.width().min(picture.height());
    let line = (shorter_side / 160).max(2) * if label.unknown { 2 } else { 1 };
    let line = line.min(width).min(height);
    fill(picture, [left, top, width, line], colour);
    fill(picture, [left, top + height - line, width, line], colour);
    fill(picture, [left, top, line, height], colour);
    fill(picture, [left + width - line, top, line, height], colour);

    let Ok(font) = FontRef::try_from_slice(FONT) else {
        return; // cannot be: a test reads it
    };
    let usual = (shorter_side as f32 / 14.0).clamp(SMALLEST_TEXT, 48.0);
    // As large as fits the region; when that cannot be read any more, it may stick out of it.
    let fitting = usual * width as f32 / (text_width(&font, usual, &label.text) + usual);
    let size = fitting.clamp(SMALLEST_TEXT, usual);
    let padding = (size / 4.0).ceil() as u32;
    let room = picture.width().saturating_sub(2 * padding);
    let text = shortened(&font, size, &label.text, room as f32);
    let label_width = (text_width(&font, size, &text).ceil() as u32 + 2 * padding).min(picture.width());
    let label_height = (size.ceil() as u32 + padding).min(picture.height());
    // Inside the box at its top; a label that would stick out of the frame is pushed back into it.
    let left = left.min(picture.width() - label_width);
    let top = top.min(picture.height() - label_height);
    fill(picture, [left, top, label_width, label_height], colour);
    write(picture, &font, size, &text, (left + padding) as f32, (top + padding / 2) as f32);
}

/// Paints a rectangle (x, y, width, height), as far as it is inside the picture.
fn fill(picture: &mut RgbImage, [left, top, width, height]: [u32; 4], colour: Rgb<u8>) {
    for y in top..(top + height).min(picture.height()) {
        for x in left..(left + width).min(picture.width()) {
            picture.put_pixel(x, y, colour);
        }
    }
}

/// The glyph of a character; a question mark for one that the font does not have.
fn glyph(font: &FontRef<'_>, character: char) -> GlyphId {
    let glyph = font.glyph_id(character);
    if glyph.0 == 0 { font.glyph_id('?') } else { glyph }
}

/// Width of a line of text of this height, both in pixels.
fn text_width(font: &FontRef<'_>, size: f32, text: &str) -> f32 {
    let scaled = font.as_scaled(PxScale::from(size));
    text.chars().map(|character| scaled.h_advance(glyph(font, character))).sum()
}

/// The text, or as much of its beginning as fits with "…" behind it.
fn shortened(font: &FontRef<'_>, size: f32, text: &str, room: f32) -> String {
    let mut kept = text.to_string();
    let mut shown = kept.clone();
    while text_width(font, size, &shown) > room && kept.pop().is_some() {
        shown = format!("{kept}…");
    }
    shown
}

fn write(picture: &mut RgbImage, font: &FontRef<'_>, size: f32, text: &str, left: f32, top: f32) {
    let scaled = font.as_scaled(PxScale::from(size));
    let (mut x, baseline) = (left, top + scaled.ascent());
    for character in text.chars() {
        let glyph = glyph(font, character);
        let placed = glyph.with_scale_and_position(PxScale::from(size), point(x, baseline));
        x += scaled.h_advance(glyph);
        let Some(outline) = font.outline_glyph(placed) else {
            continue; // a space
        };
        let corner = outline.px_bounds().min;
        outline.draw(|glyph_x, glyph_y, coverage| {
            let (x, y) = (corner.x as i64 + i64::from(glyph_x), corner.y as i64 + i64::from(glyph_y));
            let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else {
                return;
            };
            if let Some(pixel) = picture.get_pixel_mut_checked(x, y) {
                let coverage = coverage.clamp(0.0, 1.0);
                for (under, over) in pixel.0.iter_mut().zip(TEXT.0) {
                    *under =
                        (f32::from(*under) * (1.0 - coverage) + f32::from(over) * coverage).round() as u8;
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn label(region: Region, text: &str, unknown: bool) -> Label {
        Label { region, text: text.to_string(), unknown }
    }

    fn count(picture: &RgbImage, colour: Rgb<u8>) -> usize {
        picture.pixels().filter(|pixel| **pixel == colour).count()
    }

    #[test]
    fn boxes_and_labels_are_drawn_in_their_colours() {
        let frame = RgbImage::new(640, 480);
        let region = Region { id: 0, x: 100, y: 50, width: 300, height: 200 };
        for (unknown, ours, other) in [(true, UNKNOWN, KNOWN), (false, KNOWN, UNKNOWN)] {
            let drawn = annotate(&frame, &[label(region, "dog 0.42", unknown)]);
            assert_eq!(drawn.dimensions(), frame.dimensions());
            assert!(count(&drawn, ours) > 1000);
            assert_eq!(count(&drawn, other), 0);
            assert!(count(&drawn, TEXT) > 100, "there are letters");
            assert_eq!(*drawn.get_pixel(100, 249), ours);
            assert_eq!(*drawn.get_pixel(399, 249), ours);
            // Nothing in the middle of the box, nothing outside it.
            assert_eq!(drawn.get_pixel(250, 200).0, [0; 3]);
            assert_eq!(drawn.get_pixel(99, 49).0, [0; 3]);
            assert_eq!(drawn.get_pixel(400, 250).0, [0; 3]);
        }
    }

    #[test]
    fn small_frames_are_enlarged() {
        let drawn = annotate(&RgbImage::new(32, 32), &[label(Region::whole(32, 32), "unknown 1.70", true)]);
        assert_eq!(drawn.dimensions(), (256, 256));
        assert!(count(&drawn, TEXT) > 50);
        assert_eq!(annotate(&RgbImage::new(1, 10_000), &[]).dimensions(), (1, 10_000));
    }

    #[test]
    fn the_font_has_the_letters_of_european_languages() {
        let font = FontRef::try_from_slice(FONT).unwrap();
        let missing: String =
            "abcXYZ0123456789 .,:;()÷×%…äöüßéèñøåłžšč".chars().filter(|&c| font.glyph_id(c).0 == 0).collect();
        assert_eq!(missing, "");
        assert_eq!(glyph(&font, '狗'), font.glyph_id('?'));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Any frame, region and text can be drawn.
        #[test]
        fn nothing_is_too_odd(width in 1u32..300, height in 1u32..300, numbers in any::<[u32; 4]>(), text in ".{0,60}", unknown: bool) {
            let (x, y) = (numbers[0] % width, numbers[1] % height);
            let region = Region { id: 0, x, y, width: 1 + numbers[2] % (width - x), height: 1 + numbers[3] % (height - y) };
            let drawn = annotate(&RgbImage::new(width, height), &[label(region, &text, unknown)]);
            let colour = if unknown { UNKNOWN } else { KNOWN };
            prop_assert!(count(&drawn, colour) > 0);
        }
    }
}
