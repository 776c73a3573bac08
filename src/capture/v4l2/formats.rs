//! What a camera offers, and which of it is taken: the format that costs least to turn into a
//! picture among those that come in the wanted size and fast enough.

use super::super::camera_options::{CameraFormat, SourceOptions};
use super::super::source::is_usable_size;
use serde::Serialize;
use v4l::frameinterval::FrameIntervalEnum;
use v4l::framesize::FrameSizeEnum;
use v4l::video::Capture;
use v4l::{Device, Format, FourCC, Fraction};

/// What is asked for when nothing else is said.
const USUAL_SIZE: (u32, u32) = (640, 480);
/// A format that gives fewer frames a second than this is passed over, if another gives more. (Raw
/// formats of large pictures crawl over USB 2.)
const FAST_ENOUGH: f64 = 10.0;

/// A pixel format with its sizes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Offer {
    /// Linux' name.
    pub format: String,
    /// Whether this program understands it.
    pub understood: bool,
    /// Empty when the driver does not say: then it may be any.
    pub sizes: Vec<OfferedSize>,
}

/// A size, or a range of them, with its rates.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OfferedSize {
    /// The least width and height.
    pub least: (u32, u32),
    /// The largest; the same as `least` for a single size.
    pub most: (u32, u32),
    /// From one to the next, of a range.
    pub step: (u32, u32),
    /// Frames a second, at the largest size; empty when the driver does not say.
    pub rates: Vec<f64>,
}

impl OfferedSize {
    fn has(&self, (width, height): (u32, u32)) -> bool {
        let fits = |value: u32, least: u32, most: u32, step: u32| {
            (least..=most).contains(&value) && (value - least).is_multiple_of(step.max(1))
        };
        fits(width, self.least.0, self.most.0, self.step.0)
            && fits(height, self.least.1, self.most.1, self.step.1)
    }

    fn best_rate(&self) -> f64 {
        self.rates.iter().copied().fold(f64::NAN, f64::max)
    }
}

/// Everything that a camera offers.
pub(super) fn offers(camera: &Device) -> Result<Vec<Offer>, String> {
    let formats = camera.enum_formats().map_err(|error| error.to_string())?;
    let mut offers: Vec<Offer> = Vec::new();
    for fourcc in formats.into_iter().map(|format| format.fourcc) {
        let sizes = camera.enum_framesizes(fourcc).unwrap_or_default();
        let sizes = sizes.into_iter().map(|size| {
            let (least, most, step) = match size.size {
                FrameSizeEnum::Discrete(size) => {
                    ((size.width, size.height), (size.width, size.height), (0, 0))
                }
                FrameSizeEnum::Stepwise(range) => (
                    (range.min_width, range.min_height),
                    (range.max_width, range.max_height),
                    (range.step_width, range.step_height),
                ),
            };
            OfferedSize { least, most, step, rates: rates(camera, fourcc, most) }
        });
        let understood = CameraFormat::from_fourcc(fourcc.repr).is_some();
        offers.push(Offer { format: fourcc.to_string(), understood, sizes: sizes.collect() });
    }
    Ok(offers)
}

fn rates(camera: &Device, fourcc: FourCC, (width, height): (u32, u32)) -> Vec<f64> {
    let rate = |interval: Fraction| f64::from(interval.denominator) / f64::from(interval.numerator.max(1));
    let intervals = camera.enum_frameintervals(fourcc, width, height).unwrap_or_default();
    let mut rates: Vec<f64> = intervals
        .into_iter()
        .flat_map(|interval| match interval.interval {
            FrameIntervalEnum::Discrete(interval) => vec![rate(interval)],
            FrameIntervalEnum::Stepwise(range) => vec![rate(range.max), rate(range.min)],
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    rates
}

/// The formats to try, the best first.
fn preference(offers: &[Offer], options: &SourceOptions) -> Vec<CameraFormat> {
    let size = options.camera_size.unwrap_or(USUAL_SIZE);
    let needed = options.camera_rate.unwrap_or(FAST_ENOUGH) * 0.99;
    let mut formats: Vec<(u8, CameraFormat)> = Vec::new();
    for format in CameraFormat::ALL {
        let name = String::from_utf8_lossy(&format.fourcc()).into_owned();
        let Some(offer) = offers.iter().find(|offer| offer.format == name) else { continue };
        if options.camera_format.is_some_and(|wanted| wanted != format) {
            continue;
        }
        let fitting = offer.sizes.iter().find(|offered| offered.has(size));
        let lack = match fitting {
            // Unknown rates are NaN, and taken to be high enough.
            Some(offered) if offered.best_rate() < needed => 1,
            Some(_) => 0,
            None if offer.sizes.is_empty() => 0,
            None => 2,
        };
        // Grey pictures are the cheapest, but to a model that knows colours they are another world.
        let colourless = if format == CameraFormat::Grey && !options.grey { 4 } else { 0 };
        formats.push((lack + colourless, format));
    }
    formats.sort_by_key(|(lack, _)| *lack); // stable: the cheapest of equals stays in front
    formats.into_iter().map(|(_, format)| format).collect()
}

/// Sets format, size and rate. An error is the reason, for people.
pub(super) fn choose(camera: &Device, options: &SourceOptions) -> Result<(Format, CameraFormat), String> {
    let offers = offers(camera)?;
    let (width, height) = options.camera_size.unwrap_or(USUAL_SIZE);
    for kind in preference(&offers, options) {
        let fourcc = FourCC::new(&kind.fourcc());
        let format = camera.set_format(&Format::new(width, height, fourcc)).map_err(super::reason)?;
        if format.fourcc != fourcc {
            continue; // the driver has put another one in its place
        }
        if !is_usable_size(format.width, format.height) {
            return Err(format!(
                "its frames are {}×{}, which is none or too large",
                format.width, format.height
            ));
        }
        if (format.width, format.height) != (width, height) {
            log::info!("the camera gives {}×{} and not {width}×{height}", format.width, format.height);
        }
        if let Some(rate) = options.camera_rate {
            set_rate(camera, rate);
        }
        return Ok((format, kind));
    }
    let offered: Vec<_> = offers.iter().map(|offer| offer.format.as_str()).collect();
    Err(match options.camera_format {
        Some(wanted) => format!("it does not give {wanted}; it offers {}", offered.join(", ")),
        None => {
            format!("it offers {}, of which none is understood (GREY, YUYV, NV12, MJPG)", offered.join(", "))
        }
    })
}

/// Not every driver has rates: that is no reason to do without its pictures.
fn set_rate(camera: &Device, rate: f64) {
    let mut wanted = v4l::video::capture::Parameters::with_fps(1);
    wanted.interval = Fraction::new(1000, (rate * 1000.0).round() as u32);
    match camera.set_params(&wanted) {
        Ok(set) => {
            let real = f64::from(set.interval.denominator) / f64::from(set.interval.numerator.max(1));
            if (real - rate).abs() > 0.01 * rate {
                log::warn!("the camera gives {real:.1} frames a second and not {rate:.1}");
            }
        }
        Err(error) => log::warn!("the camera's frame rate cannot be set: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(format: &str, sizes: &[((u32, u32), f64)]) -> Offer {
        let sizes = sizes.iter().map(|&(size, rate)| OfferedSize {
            least: size,
            most: size,
            step: (0, 0),
            rates: if rate > 0.0 { vec![rate / 2.0, rate] } else { Vec::new() },
        });
        Offer { format: format.to_string(), understood: true, sizes: sizes.collect() }
    }

    fn order(offers: &[Offer], options: &SourceOptions) -> String {
        preference(offers, options).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_cheapest_format_that_is_fast_enough_is_taken() {
        let webcam = [
            offer("MJPG", &[((640, 480), 30.0), ((1280, 720), 30.0), ((1920, 1080), 30.0)]),
            offer("YUYV", &[((640, 480), 30.0), ((1280, 720), 10.0), ((1920, 1080), 5.0)]),
            offer("H264", &[((1920, 1080), 30.0)]),
        ];
        let mut options = SourceOptions::default();
        assert_eq!(order(&webcam, &options), "yuyv mjpeg");
        options.camera_size = Some((1280, 720));
        assert_eq!(order(&webcam, &options), "yuyv mjpeg", "ten frames a second are enough");
        options.camera_rate = Some(30.0);
        assert_eq!(order(&webcam, &options), "mjpeg yuyv", "unless more are wanted");
        options = SourceOptions { camera_size: Some((1920, 1080)), ..Default::default() };
        assert_eq!(order(&webcam, &options), "mjpeg yuyv");
        options.camera_format = Some(CameraFormat::Yuyv);
        assert_eq!(order(&webcam, &options), "yuyv");
        options.camera_format = Some(CameraFormat::Nv12);
        assert_eq!(order(&webcam, &options), "");
    }

    #[test]
    fn grey_is_for_models_without_colours() {
        let industrial = [offer("YUYV", &[]), offer("GREY", &[((640, 480), 0.0)]), offer("NV12", &[])];
        let mut options = SourceOptions::default();
        assert_eq!(order(&industrial, &options), "yuyv nv12 grey");
        options.grey = true;
        assert_eq!(order(&industrial, &options), "grey yuyv nv12");
    }

    #[test]
    fn ranges_of_sizes_have_steps() {
        let range = OfferedSize { least: (32, 32), most: (1024, 768), step: (16, 8), rates: Vec::new() };
        assert!(range.has((640, 480)) && range.has((32, 32)) && !range.has((641, 480)));
        assert!(!range.has((16, 32)) && !range.has((1040, 768)));
    }
}
