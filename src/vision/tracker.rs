//! Gives boxes that come and go numbers that stay: a box is the same thing as one of a frame before
//! when the two overlap, or lie close together. Which frames are judged, and what is seen there, is
//! decided elsewhere.

use super::Region;

/// A thing that has no box for so many frames is gone; its number is not used again.
pub const MOST_MISSED: u32 = 15;

/// Follows boxes from frame to frame.
#[derive(Clone, Debug, Default)]
pub struct Tracker {
    tracks: Vec<Track>,
    next: u32,
}

#[derive(Clone, Debug)]
struct Track {
    id: u32,
    last: [u32; 4],
    missed: u32,
}

impl Tracker {
    /// The boxes (x, y, width, height) of the next frame with their numbers, in their order.
    pub fn follow(&mut self, boxes: &[[u32; 4]]) -> Vec<Region> {
        // The best pairs first.
        let mut pairs: Vec<(f64, usize, usize)> = Vec::new();
        for (at, track) in self.tracks.iter().enumerate() {
            for (index, found) in boxes.iter().enumerate() {
                let alike = likeness(&track.last, found);
                if alike > 0.0 {
                    pairs.push((alike, at, index));
                }
            }
        }
        pairs.sort_by(|one, other| other.0.total_cmp(&one.0));
        let mut ids: Vec<Option<u32>> = vec![None; boxes.len()];
        let mut followed = vec![false; self.tracks.len()];
        for (_, at, index) in pairs {
            if ids[index].is_none() && !followed[at] {
                ids[index] = Some(self.tracks[at].id);
                followed[at] = true;
                self.tracks[at].last = boxes[index];
            }
        }
        for (track, followed) in self.tracks.iter_mut().zip(followed) {
            track.missed = if followed { 0 } else { track.missed + 1 };
        }
        self.tracks.retain(|track| track.missed <= MOST_MISSED);
        let regions = boxes.iter().zip(ids).map(|(&[x, y, width, height], id)| {
            let id = id.unwrap_or_else(|| {
                let id = self.next;
                self.next = self.next.wrapping_add(1);
                self.tracks.push(Track { id, last: [x, y, width, height], missed: 0 });
                id
            });
            Region { id, x, y, width, height }
        });
        regions.collect()
    }
}

/// Above 1: the share of the two boxes' area that they have in common, plus 1. Up to 1: how close
/// they are, when they have nothing in common. 0 when they are further apart than their size.
fn likeness(one: &[u32; 4], other: &[u32; 4]) -> f64 {
    let [left, top, width, height] = one.map(f64::from);
    let [x, y, across, down] = other.map(f64::from);
    let common = ((left + width).min(x + across) - left.max(x)).max(0.0)
        * ((top + height).min(y + down) - top.max(y)).max(0.0);
    if common > 0.0 {
        return 1.0 + common / (width * height + across * down - common);
    }
    let (dx, dy) = (left + width / 2.0 - x - across / 2.0, top + height / 2.0 - y - down / 2.0);
    let reach = (width.max(height) + across.max(down)) / 2.0;
    (1.0 - dx.hypot(dy) / (1.5 * reach).max(1.0)).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(tracker: &mut Tracker, boxes: &[[u32; 4]]) -> Vec<u32> {
        let regions = tracker.follow(boxes);
        assert_eq!(regions.iter().map(|at| [at.x, at.y, at.width, at.height]).collect::<Vec<_>>(), boxes);
        regions.into_iter().map(|region| region.id).collect()
    }

    #[test]
    fn things_keep_their_numbers_while_they_move_and_cross() {
        let mut tracker = Tracker::default();
        for step in 0..20 {
            // Two that come towards each other at different heights, named in changing order.
            let (one, other) = ([step * 10, 0, 30, 30], [200 - step * 10, 40, 30, 30]);
            if step % 2 == 0 {
                assert_eq!(ids(&mut tracker, &[one, other]), [0, 1], "{step}");
            } else {
                assert_eq!(ids(&mut tracker, &[other, one]), [1, 0], "{step}");
            }
        }
    }

    #[test]
    fn a_thing_that_is_hidden_for_a_moment_is_the_same_and_later_another() {
        let mut tracker = Tracker::default();
        let (here, far) = ([100, 100, 40, 40], [500, 100, 40, 40]);
        assert_eq!(ids(&mut tracker, &[here]), [0]);
        assert_eq!(ids(&mut tracker, &[far]), [1], "too far to be the same");
        for _ in 0..MOST_MISSED - 1 {
            assert!(ids(&mut tracker, &[]).is_empty());
        }
        assert_eq!(ids(&mut tracker, &[[130, 100, 40, 40]]), [0]);
        for _ in 0..=MOST_MISSED {
            ids(&mut tracker, &[]);
        }
        assert_eq!(ids(&mut tracker, &[here]), [2]);
    }
}
