//! Moving regions: what differs from a running background. The picture is looked at in cells of 8×8
//! pixels; a change of the light of the whole picture is no movement.

use image::RgbImage;
use std::fmt;
use std::str::FromStr;

/// Side of a cell, in pixels.
const CELL: usize = 8;
/// A cell moves when it differs from the background by so many of 255 levels.
const DIFFERENCE: i32 = 14;
/// Frames in which the background is learnt before anything counts as moving.
const LEARNING: u32 = 8;
/// The background follows what is there by 1/2^SHIFT a frame …
const SHIFT: u32 = 4;
/// … and what moves by 1/2^SLOW, so that something that stays becomes background in the end.
const SLOW: u32 = 9;

/// Which moving regions are wanted. Written `motion`, or with limits:
/// `motion:min=0.5%,max=80%,most=8` (shares of the frame's area, and how many regions).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MotionRule {
    /// The least area, in millionths of the frame's.
    pub least: u32,
    /// The largest area, in millionths of the frame's.
    pub largest: u32,
    /// The most regions of one frame; the largest are taken.
    pub most: usize,
}

impl Default for MotionRule {
    fn default() -> Self {
        Self { least: 5_000, largest: 800_000, most: 8 }
    }
}

impl FromStr for MotionRule {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let share = |text: &str| -> Result<u32, ()> {
            let percent: f64 = text.strip_suffix('%').unwrap_or(text).trim().parse().map_err(|_| ())?;
            if (0.0..=100.0).contains(&percent) { Ok((percent * 10_000.0).round() as u32) } else { Err(()) }
        };
        let mut rule = Self::default();
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            let (name, value) = part.split_once('=').ok_or(())?;
            match name.trim() {
                "min" => rule.least = share(value)?,
                "max" => rule.largest = share(value)?,
                "most" => rule.most = value.trim().parse().map_err(|_| ())?,
                _ => return Err(()),
            }
        }
        if rule.least < rule.largest && (1..=64).contains(&rule.most) { Ok(rule) } else { Err(()) }
    }
}

impl fmt::Display for MotionRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |millionths: u32| f64::from(millionths) / 10_000.0;
        write!(formatter, "min={}%,max={}%,most={}", percent(self.least), percent(self.largest), self.most)
    }
}

/// Finds what moves in the frames of one camera.
#[derive(Clone, Debug)]
pub struct MotionFinder {
    rule: MotionRule,
    /// Of the frames, in pixels; another size starts anew.
    size: (u32, u32),
    columns: usize,
    rows: usize,
    /// Brightness of the cells, in 1/256 of a level.
    background: Vec<i32>,
    now: Vec<i32>,
    moving: Vec<bool>,
    seen: u32,
}

impl MotionFinder {
    /// A finder that has seen nothing.
    pub fn new(rule: MotionRule) -> Self {
        let (background, now, moving) = (Vec::new(), Vec::new(), Vec::new());
        Self { rule, size: (0, 0), columns: 0, rows: 0, background, now, moving, seen: 0 }
    }

    /// The boxes (x, y, width, height in pixels) of what moves in the next frame, the largest first.
    /// They do not overlap.
    pub fn find(&mut self, picture: &RgbImage) -> Vec<[u32; 4]> {
        let (width, height) = picture.dimensions();
        self.brightness(picture);
        if self.size != (width, height) {
            self.size = (width, height);
            self.background.clone_from(&self.now);
            self.moving = vec![false; self.now.len()];
            self.seen = 0;
        }
        self.seen = self.seen.saturating_add(1);
        // Clouds, lamps, and the camera's own exposure move the median; objects do not.
        let light = self.light_change();
        for ((background, &now), moving) in self.background.iter_mut().zip(&self.now).zip(&mut self.moving) {
            let difference = now - *background;
            *moving = self.seen > LEARNING && (difference - light).abs() > DIFFERENCE << 8;
            *background += difference >> if *moving { SLOW } else { SHIFT };
        }
        let area = u64::from(width) * u64::from(height);
        let limits = u64::from(self.rule.least) * area..=u64::from(self.rule.largest) * area;
        let boxes = self.groups().into_iter().map(|[left, top, right, bottom]| {
            let (x, y) = ((left * CELL) as u32, (top * CELL) as u32);
            let (right, bottom) = (((right * CELL) as u32).min(width), ((bottom * CELL) as u32).min(height));
            [x, y, right - x, bottom - y]
        });
        let size = |[_, _, width, height]: &[u32; 4]| u64::from(*width) * u64::from(*height);
        let mut boxes: Vec<_> = boxes.filter(|found| limits.contains(&(size(found) * 1_000_000))).collect();
        boxes.sort_by_key(|found| std::cmp::Reverse(size(found)));
        boxes.truncate(self.rule.most);
        boxes
    }

    /// The mean brightness of each cell: (red + 2 green + blue) / 4. Cells at the right and lower
    /// edge may be narrower.
    fn brightness(&mut self, picture: &RgbImage) {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        (self.columns, self.rows) = (width.div_ceil(CELL), height.div_ceil(CELL));
        self.now.clear();
        self.now.resize(self.columns * self.rows, 0);
        for (y, row) in picture.as_raw().chunks_exact(width * 3).enumerate() {
            let sums = &mut self.now[y / CELL * self.columns..][..self.columns];
            for (sum, cell) in sums.iter_mut().zip(row.chunks(CELL * 3)) {
                let bright =
                    |pixel: &[u8]| i32::from(pixel[0]) + 2 * i32::from(pixel[1]) + i32::from(pixel[2]);
                *sum += cell.chunks_exact(3).map(bright).sum::<i32>();
            }
        }
        for (at, sum) in self.now.iter_mut().enumerate() {
            let side = |index: usize, length: usize| CELL.min(length - index * CELL);
            let pixels = side(at % self.columns, width) * side(at / self.columns, height);
            *sum = *sum * 64 / pixels as i32;
        }
    }

    /// The median difference of now and background.
    fn light_change(&self) -> i32 {
        let mut differences: Vec<i32> =
            self.now.iter().zip(&self.background).map(|(now, background)| now - background).collect();
        if differences.is_empty() {
            return 0;
        }
        let middle = differences.len() / 2;
        *differences.select_nth_unstable(middle).1
    }

    /// Moving cells that touch, or have one cell between them, are one; so are groups whose boxes
    /// overlap. Left, top, right and bottom (both exclusive) in cells.
    fn groups(&self) -> Vec<[usize; 4]> {
        let mut seen = vec![false; self.moving.len()];
        let (mut boxes, mut waiting): (Vec<[usize; 4]>, Vec<usize>) = (Vec::new(), Vec::new());
        for start in 0..self.moving.len() {
            if !self.moving[start] || seen[start] {
                continue;
            }
            seen[start] = true;
            waiting.push(start);
            let mut group = [usize::MAX, usize::MAX, 0, 0];
            while let Some(at) = waiting.pop() {
                let (column, row) = (at % self.columns, at / self.columns);
                group = joined(group, [column, row, column + 1, row + 1]);
                for row in row.saturating_sub(2)..=(row + 2).min(self.rows - 1) {
                    for column in column.saturating_sub(2)..=(column + 2).min(self.columns - 1) {
                        let next = row * self.columns + column;
                        if self.moving[next] && !seen[next] {
                            seen[next] = true;
                            waiting.push(next);
                        }
                    }
                }
            }
            boxes.push(group);
        }
        merged(boxes)
    }
}

fn joined(one: [usize; 4], other: [usize; 4]) -> [usize; 4] {
    [one[0].min(other[0]), one[1].min(other[1]), one[2].max(other[2]), one[3].max(other[3])]
}

/// Joins boxes until none overlap.
fn merged(mut boxes: Vec<[usize; 4]>) -> Vec<[usize; 4]> {
    let overlap = |one: &[usize; 4], other: &[usize; 4]| {
        one[0] < other[2] && other[0] < one[2] && one[1] < other[3] && other[1] < one[3]
    };
    let mut at = 0;
    while at < boxes.len() {
        match (at + 1..boxes.len()).find(|&other| overlap(&boxes[at], &boxes[other])) {
            Some(other) => {
                boxes[at] = joined(boxes[at], boxes[other]);
                boxes.swap_remove(other);
                at = 0; // it may overlap those before it now
            }
            None => at += 1,
        }
    }
    boxes
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;
    use proptest::prelude::*;

    const SIZE: (u32, u32) = (160, 124);

    /// A textured scene of this brightness, with squares of 24 pixels.
    fn scene(light: i32, squares: &[(u32, u32)]) -> RgbImage {
        RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| {
            let inside = squares
                .iter()
                .any(|(left, top)| (*left..left + 24).contains(&x) && (*top..top + 24).contains(&y));
            let level = if inside { 230 } else { 60 + ((x * 7 + y * 13) % 40) as i32 + light };
            Rgb([level.clamp(0, 255) as u8; 3])
        })
    }

    fn finder() -> MotionFinder {
        let mut finder = MotionFinder::new(MotionRule::default());
        for _ in 0..20 {
            assert!(finder.find(&scene(0, &[])).is_empty());
        }
        finder
    }

    #[test]
    fn what_moves_is_found_and_what_stands_is_not() {
        let mut finder = finder();
        assert_eq!(finder.find(&scene(0, &[(40, 32), (112, 64)])), [[40, 32, 24, 24], [112, 64, 24, 24]]);
        assert_eq!(finder.find(&scene(0, &[(48, 32)])), [[48, 32, 24, 24]]);
        assert!(finder.find(&scene(0, &[])).is_empty(), "it left no trace in the background");
    }

    #[test]
    fn what_is_close_together_is_one_region() {
        let found = finder().find(&scene(0, &[(40, 32), (72, 40)]));
        assert_eq!(found, [[40, 32, 56, 32]]);
    }

    #[test]
    fn light_is_no_movement() {
        let mut finder = finder();
        assert!(finder.find(&scene(60, &[])).is_empty());
        assert_eq!(finder.find(&scene(60, &[(40, 32)])), [[40, 32, 24, 24]]);
    }

    #[test]
    fn what_stays_becomes_background() {
        let mut finder = finder();
        let frames = (0..5000).take_while(|_| !finder.find(&scene(0, &[(40, 32)])).is_empty()).count();
        assert!((100..5000).contains(&frames), "{frames}");
    }

    #[test]
    fn sizes_and_numbers_are_limited() {
        let mut finder = finder();
        finder.rule = "min=10%".parse().unwrap();
        assert!(finder.find(&scene(0, &[(40, 32)])).is_empty(), "2.9 % of the frame");
        finder.rule = "max=2%".parse().unwrap();
        assert!(finder.find(&scene(0, &[(40, 32)])).is_empty());
        finder.rule = "most=1".parse().unwrap();
        assert_eq!(finder.find(&scene(0, &[(8, 8), (40, 72), (112, 64)])).len(), 1);
    }

    #[test]
    fn another_size_starts_anew() {
        let mut finder = finder();
        assert!(finder.find(&RgbImage::from_pixel(50, 30, Rgb([255; 3]))).is_empty());
        assert!(finder.find(&RgbImage::new(1, 1)).is_empty());
    }

    #[test]
    fn rules_are_written_as_they_are_read() {
        let rule: MotionRule = "min=0.25%, max=50, most=3".parse().unwrap();
        assert_eq!(rule, MotionRule { least: 2_500, largest: 500_000, most: 3 });
        assert_eq!(rule.to_string().parse(), Ok(rule));
        for text in ["min", "min=90%,max=10%", "most=0", "most=65", "least=1%", "max=101%"] {
            assert!(text.parse::<MotionRule>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn boxes_are_inside_and_do_not_overlap(
            squares in proptest::collection::vec((0u32..150, 0u32..120), 0..12),
            width in 1u32..200, height in 1u32..200,
        ) {
            let mut finder = MotionFinder::new("min=0%,max=100%,most=64".parse().unwrap());
            let picture = |squares: &[(u32, u32)]| {
                image::imageops::crop_imm(&scene(0, squares), 0, 0, width.min(SIZE.0), height.min(SIZE.1)).to_image()
            };
            for _ in 0..10 {
                finder.find(&picture(&[]));
            }
            let frame = picture(&squares);
            let found = finder.find(&frame);
            for (index, [x, y, width, height]) in found.iter().enumerate() {
                prop_assert!(*width > 0 && x + width <= frame.width() && *height > 0 && y + height <= frame.height());
                for [left, top, across, down] in &found[index + 1..] {
                    let apart = x + width <= *left || left + across <= *x || y + height <= *top || top + down <= *y;
                    prop_assert!(apart);
                }
            }
        }
    }
}
