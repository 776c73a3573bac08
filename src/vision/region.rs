//! Which parts of a frame are looked at.

use super::motion::MotionRule;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A rectangle of a frame, in pixels from the top left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Region {
    /// Which region of the rule, from 0; the watch keeps a history for each.
    pub id: u32,
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Width, at least 1.
    pub width: u32,
    /// Height, at least 1.
    pub height: u32,
}

impl Region {
    /// The whole frame.
    pub fn whole(width: u32, height: u32) -> Self {
        Self { id: 0, x: 0, y: 0, width, height }
    }

    /// Whether the region has pixels and lies inside a frame of this size.
    pub fn is_inside(&self, width: u32, height: u32) -> bool {
        let end = |start: u32, length: u32| start.checked_add(length);
        self.width > 0
            && self.height > 0
            && end(self.x, self.width).is_some_and(|right| right <= width)
            && end(self.y, self.height).is_some_and(|bottom| bottom <= height)
    }
}

impl fmt::Display for Region {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{},{},{},{}", self.x, self.y, self.width, self.height)
    }
}

/// How regions are chosen. Written `frame`, `centre`, `grid:3x2` (columns × rows),
/// `box:x,y,width,height`, several boxes apart by semicolons, `motion` (see [`MotionRule`]), or
/// `socket:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegionRule {
    /// The whole frame.
    Frame,
    /// The largest centred square.
    Centre,
    /// Fixed boxes: x, y, width, height.
    Boxes(Vec<[u32; 4]>),
    /// A grid that covers the frame.
    Grid {
        /// Boxes side by side.
        columns: u32,
        /// Boxes one above another.
        rows: u32,
    },
    /// What moves; found by [`RegionFinder`](super::RegionFinder).
    Motion(MotionRule),
    /// What another program says on this Unix socket; found by the same.
    Socket(PathBuf),
}

/// A region rule that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RegionError {
    /// Not written as it must be.
    #[error(
        "'{0}' is no region rule: write frame, centre, grid:COLUMNSxROWS, box:X,Y,WIDTH,HEIGHT;…, motion, motion:min=0.5%,max=80%,most=8, or socket:PATH"
    )]
    Syntax(String),
    /// The socket for boxes cannot be made.
    #[error("cannot listen for boxes on '{path}': {why}")]
    Socket {
        /// The socket.
        path: PathBuf,
        /// The operating system's reason.
        why: String,
    },
    /// A box that is not inside the frame.
    #[error("the box {region} is not inside the frame of {width}×{height} pixels")]
    Outside {
        /// The box.
        region: Region,
        /// Width of the frame.
        width: u32,
        /// Height of the frame.
        height: u32,
    },
    /// More boxes than pixels.
    #[error("a grid of {columns}×{rows} does not fit a frame of {width}×{height} pixels")]
    Grid {
        /// Boxes side by side.
        columns: u32,
        /// Boxes one above another.
        rows: u32,
        /// Width of the frame.
        width: u32,
        /// Height of the frame.
        height: u32,
    },
}

/// The most regions a rule may ask for: the watch has a history of fixed size for each.
pub const MOST_REGIONS: u32 = 64;

impl RegionRule {
    /// The regions of a frame of width × height pixels; none by rules that need more than its size.
    ///
    /// # Errors
    /// If a box or the grid does not fit the frame.
    pub fn regions(&self, width: u32, height: u32) -> Result<Vec<Region>, RegionError> {
        match self {
            RegionRule::Motion(_) | RegionRule::Socket(_) => Ok(Vec::new()),
            RegionRule::Frame => Ok(vec![Region::whole(width, height)]),
            RegionRule::Centre => {
                let side = width.min(height);
                let (x, y) = ((width - side) / 2, (height - side) / 2);
                Ok(vec![Region { id: 0, x, y, width: side, height: side }])
            }
            RegionRule::Boxes(boxes) => (0..)
                .zip(boxes)
                .map(|(id, &[x, y, box_width, box_height])| {
                    let region = Region { id, x, y, width: box_width, height: box_height };
                    if region.is_inside(width, height) {
                        Ok(region)
                    } else {
                        Err(RegionError::Outside { region, width, height })
                    }
                })
                .collect(),
            &RegionRule::Grid { columns, rows } => {
                if columns > width || rows > height {
                    return Err(RegionError::Grid { columns, rows, width, height });
                }
                // Edges in 64 bits: the product of a side and a count may not fit 32.
                let edge = |side: u32, count: u32, at: u32| {
                    (u64::from(side) * u64::from(at) / u64::from(count)) as u32
                };
                let mut regions = Vec::new();
                for row in 0..rows {
                    let (top, bottom) = (edge(height, rows, row), edge(height, rows, row + 1));
                    for column in 0..columns {
                        let (left, right) = (edge(width, columns, column), edge(width, columns, column + 1));
                        let id = row * columns + column;
                        regions.push(Region {
                            id,
                            x: left,
                            y: top,
                            width: right - left,
                            height: bottom - top,
                        });
                    }
                }
                Ok(regions)
            }
        }
    }
}

impl FromStr for RegionRule {
    type Err = RegionError;

    fn from_str(text: &str) -> Result<Self, RegionError> {
        let wrong = || RegionError::Syntax(text.to_string());
        let rule = match text.split_once(':') {
            None if text == "frame" => RegionRule::Frame,
            None if text == "centre" || text == "center" => RegionRule::Centre,
            Some(("grid", size)) => {
                let (columns, rows) = size.split_once('x').ok_or_else(wrong)?;
                let columns: u32 = columns.trim().parse().map_err(|_| wrong())?;
                let rows: u32 = rows.trim().parse().map_err(|_| wrong())?;
                if columns.checked_mul(rows).is_none_or(|count| count == 0 || count > MOST_REGIONS) {
                    return Err(wrong());
                }
                RegionRule::Grid { columns, rows }
            }
            None if text == "motion" => RegionRule::Motion(MotionRule::default()),
            Some(("motion", limits)) => RegionRule::Motion(limits.parse().map_err(|()| wrong())?),
            Some(("socket", path)) if !path.is_empty() => RegionRule::Socket(PathBuf::from(path)),
            Some(("box", boxes)) => {
                let parse = |text: &str| -> Option<[u32; 4]> {
                    let values: Vec<u32> =
                        text.split(',').map(|value| value.trim().parse().ok()).collect::<Option<_>>()?;
                    values.try_into().ok()
                };
                let boxes: Vec<[u32; 4]> =
                    boxes.split(';').map(parse).collect::<Option<_>>().ok_or_else(wrong)?;
                if boxes.is_empty() || boxes.len() > MOST_REGIONS as usize {
                    return Err(wrong());
                }
                RegionRule::Boxes(boxes)
            }
            _ => return Err(wrong()),
        };
        Ok(rule)
    }
}

impl fmt::Display for RegionRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RegionRule::Frame => formatter.write_str("frame"),
            RegionRule::Centre => formatter.write_str("centre"),
            RegionRule::Grid { columns, rows } => write!(formatter, "grid:{columns}x{rows}"),
            RegionRule::Motion(rule) if *rule == MotionRule::default() => formatter.write_str("motion"),
            RegionRule::Motion(rule) => write!(formatter, "motion:{rule}"),
            RegionRule::Socket(path) => write!(formatter, "socket:{}", path.display()),
            RegionRule::Boxes(boxes) => {
                formatter.write_str("box:")?;
                for (index, [x, y, width, height]) in boxes.iter().enumerate() {
                    let separator = if index == 0 { "" } else { ";" };
                    write!(formatter, "{separator}{x},{y},{width},{height}")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rules_are_written_and_read_back() {
        for text in ["frame", "centre", "grid:3x2", "box:1,2,3,4", "box:0,0,10,10;5,5,20,20"] {
            assert_eq!(text.parse::<RegionRule>().unwrap().to_string(), text);
        }
        for text in ["", "whole", "grid:0x2", "grid:9x9", "grid:3", "box:", "box:1,2,3", "box:1,2,3,-4"] {
            assert!(text.parse::<RegionRule>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_box_outside_the_frame_is_an_error() {
        let rule: RegionRule = "box:600,0,100,100".parse().unwrap();
        assert!(rule.regions(640, 480).is_err());
        assert!(rule.regions(700, 480).is_ok());
        let zero: RegionRule = "box:0,0,0,10".parse().unwrap();
        assert!(zero.regions(700, 480).is_err());
        let overflow = RegionRule::Boxes(vec![[u32::MAX, 0, 2, 2]]);
        assert!(overflow.regions(700, 480).is_err());
    }

    proptest! {
        /// A grid covers every pixel exactly once.
        #[test]
        fn grids_cover_the_frame(width in 1u32..200, height in 1u32..200, columns in 1u32..9, rows in 1u32..8) {
            prop_assume!(columns <= width && rows <= height);
            let regions = RegionRule::Grid { columns, rows }.regions(width, height).unwrap();
            prop_assert!(regions.iter().all(|region| region.is_inside(width, height)));
            let area: u64 = regions.iter().map(|region| u64::from(region.width) * u64::from(region.height)).sum();
            prop_assert_eq!(area, u64::from(width) * u64::from(height));
            for (index, one) in regions.iter().enumerate() {
                for other in &regions[index + 1..] {
                    let apart = one.x + one.width <= other.x || other.x + other.width <= one.x
                        || one.y + one.height <= other.y || other.y + other.height <= one.y;
                    prop_assert!(apart);
                }
            }
        }
    }
}
