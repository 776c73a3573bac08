//! What happens, on the board's pins and buses: from the happenings of a run to levels and messages. The
//! pins themselves are [`anchorwatch_pins`].

use super::BusReporter;
use crate::pipeline::Happening;
use crate::watch::background::calm;
use anchorwatch_core::link::RegionVerdict;
use anchorwatch_pins::{Bus, BusAddress, Inputs, PinError, PinSettings, Pins};
use std::sync::Arc;

/// The pins and the bus in use.
#[derive(Debug)]
pub struct BoardOutputs {
    pins: Option<Pins>,
    bus: Option<BusReporter>,
    in_view: InView,
}

impl BoardOutputs {
    /// Looks whether pins and bus can be had, and leaves them as they are.
    ///
    /// # Errors
    /// If one of them cannot be had.
    pub fn check(pins: &PinSettings, bus: Option<BusAddress>) -> Result<(), PinError> {
        if pins.is_used() {
            Pins::check(pins)?;
        }
        bus.map_or(Ok(()), |bus| Bus::open(bus).map(drop))
    }

    /// Takes pins and bus.
    ///
    /// # Errors
    /// If one of them cannot be had: at the start, not at the first event.
    pub fn start(pins: &PinSettings, bus: Option<BusAddress>) -> Result<Self, PinError> {
        let pins = pins.is_used().then(|| Pins::start(pins)).transpose()?;
        let bus = bus.map(BusReporter::start).transpose()?;
        Ok(Self { pins, bus, in_view: InView::default() })
    }

    /// What the input pins say, if there are pins.
    pub fn inputs(&self) -> Option<Arc<Inputs>> {
        self.pins.as_ref().map(Pins::inputs)
    }

    /// Passes on what happened. Never waits.
    pub fn tell(&mut self, happening: &Happening<'_>) {
        if let (Happening::Judged { region, verdict, background, .. }, Some(bus)) = (happening, &self.bus) {
            let verdict = if *background { &calm(verdict) } else { *verdict };
            bus.verdict(RegionVerdict::new(u16::try_from(region.id).unwrap_or(u16::MAX), verdict));
        }
        let Some(pins) = &self.pins else { return };
        if let Happening::Judged { .. } = happening {
            pins.alive();
        }
        if let Some(there) = self.in_view.heed(happening) {
            pins.unknown(there);
        }
    }
}

/// Whether anything unknown is in view: what has come and is not gone, or, where frames are judged by
/// themselves, what was in the last one.
#[derive(Debug, Default)]
struct InView {
    sightings: usize,
    frame: Option<u64>,
    in_frame: bool,
}

impl InView {
    /// Whether something is in view now; `None` if nothing can have changed.
    fn heed(&mut self, happening: &Happening<'_>) -> Option<bool> {
        match happening {
            Happening::Started(_) => self.sightings += 1,
            Happening::Finished(_) => self.sightings = self.sightings.saturating_sub(1),
            Happening::Judged { frame, verdict, background, single: true, .. } => {
                let unknown = verdict.is_unknown() && !background;
                self.in_frame = unknown || self.in_frame && self.frame == Some(frame.index);
                self.frame = Some(frame.index);
            }
            _ => return None,
        }
        Some(self.sightings > 0 || self.in_frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{Frame, Moment};
    use crate::vision::Region;
    use anchorwatch_core::Verdict;

    fn frame(index: u64) -> Frame {
        Frame {
            picture: image::RgbImage::new(2, 2),
            index,
            name: "camera".to_string(),
            captured: Moment::now(),
        }
    }

    #[test]
    fn of_pictures_the_last_one_counts_with_all_its_regions() {
        let unknown = Verdict::not_finite(1.0);
        let known = calm(&unknown);
        let mut in_view = InView::default();
        let mut judge = |index, verdict: &Verdict, background| {
            let (frame, region) = (frame(index), Region::whole(2, 2));
            in_view.heed(&Happening::Judged { frame: &frame, region, verdict, background, single: true })
        };
        assert_eq!(judge(0, &known, false), Some(false));
        assert_eq!(judge(1, &unknown, false), Some(true));
        assert_eq!(judge(1, &known, false), Some(true)); // another region of the same frame
        assert_eq!(judge(2, &unknown, true), Some(false)); // background
        assert_eq!(in_view.heed(&Happening::Round), None);
    }
}
