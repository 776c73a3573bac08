//! The budget of a board: which width or input size of a backbone computes little enough for so many
//! frames a second. docs/targets.md has the table with its sources.
//!
//! The estimate is MACs ÷ (MACs a second of one core). For the named boards that rate is computed, since
//! none was at hand: clock × the most MACs a cycle × the share of it that networks reach. For `this` it is
//! measured, with the very network.

use crate::architecture::Architecture;
use crate::backbones::Backbone;
use crate::measured_speed::frames_per_second;
use crate::options::TrainingOptions;
use crate::recipe::Recipe;
use anyhow::{Context, Result, bail, ensure};

/// For which board the network is made.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Budget {
    /// Make the network small enough for this board: picks --size for efficientnet-lite0 and --width for
    /// the others, if they are not given. What a named board can do is computed, not measured
    /// (docs/targets.md); 'this' is measured on this machine
    #[arg(long, value_enum, requires = "fps", value_name = "BOARD", help_heading = "Network")]
    pub target: Option<Target>,
    /// Frames a second that one core of --target must manage
    #[arg(long, requires = "target", value_name = "RATE", help_heading = "Network")]
    pub fps: Option<f64>,
}

/// A board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Target {
    /// Raspberry Pi Zero 2 W: Cortex-A53, 1.0 GHz (computed)
    PiZero2,
    /// Raspberry Pi 3 B+: Cortex-A53, 1.4 GHz (computed)
    Pi3,
    /// Raspberry Pi 4: Cortex-A72, 1.5 GHz (computed)
    Pi4,
    /// Raspberry Pi 5: Cortex-A76, 2.4 GHz (computed)
    Pi5,
    /// Jetson Orin Nano: Cortex-A78AE, 1.5 GHz (computed)
    OrinNano,
    /// The machine this runs on (measured)
    This,
}

/// What one core of a board does at most.
struct Core {
    name: &'static str,
    gigahertz: f64,
    /// Multiplications with additions of 8-bit numbers a cycle: `smull` and `sadalp` (half as many where
    /// vector units are 64 bits wide), or `sdot`.
    macs_a_cycle: f64,
}

/// The share of the most possible that a whole network reaches in one thread. EfficientNet-Lite0 in int8 was
/// measured on x86-64: 0.60 with AVX2, 0.36 with AVX-512 VNNI. That ARM cores reach a half is assumed.
const SHARE_OF_PEAK: f64 = 0.5;

impl Target {
    /// The core of a named board.
    fn core(self) -> Option<Core> {
        let core = |name, gigahertz, macs_a_cycle| Some(Core { name, gigahertz, macs_a_cycle });
        match self {
            Target::PiZero2 => core("Cortex-A53", 1.0, 4.0),
            Target::Pi3 => core("Cortex-A53", 1.4, 4.0),
            Target::Pi4 => core("Cortex-A72", 1.5, 8.0),
            Target::Pi5 => core("Cortex-A76", 2.4, 32.0),
            Target::OrinNano => core("Cortex-A78AE", 1.5, 32.0),
            Target::This => None,
        }
    }
}

impl Core {
    /// MACs a second.
    fn rate(&self) -> f64 {
        self.gigahertz * 1e9 * self.macs_a_cycle * SHARE_OF_PEAK
    }
}

/// Widths that are tried, from the widest: never more than the backbone has by itself.
const WIDTHS: [f64; 8] = [1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125];

/// Input sizes of efficientnet-lite0 that are tried: from what its weights were trained on to where
/// only a few cells are left at the end. Its five strides of 2 make sizes in between no cheaper.
const SIZES: [u32; 6] = [224, 192, 160, 128, 96, 64];

impl Budget {
    /// The options with the largest network that fits, and says on standard error which that is.
    ///
    /// # Errors
    /// If not even the smallest fits: the message says what it would manage.
    pub fn applied(&self, options: &TrainingOptions, classes: usize) -> Result<TrainingOptions> {
        let (Some(target), Some(fps)) = (self.target, self.fps) else { return Ok(options.clone()) };
        ensure!(fps.is_finite() && fps > 0.0, "--fps must be above 0");
        let rungs: Vec<(TrainingOptions, Architecture)> = ladder(options)
            .into_iter()
            .map(|options| {
                let architecture = options.architecture(&options.input(), classes);
                (options, architecture)
            })
            .collect();
        let chosen = match target.core() {
            Some(core) => {
                eprintln!(
                    "budget of one core ({} at {} GHz, {} MAC a cycle, {:.0} % of them; computed, not measured): {} a picture at {fps} frames a second",
                    core.name,
                    core.gigahertz,
                    core.macs_a_cycle,
                    SHARE_OF_PEAK * 100.0,
                    megamacs(core.rate() / fps)
                );
                fitting(&rungs, fps, |architecture| Ok(core.rate() / architecture.macs() as f64))?
            }
            None => fitting(&rungs, fps, |architecture| {
                let frames = frames_per_second(architecture)?;
                let [_, height, width] = architecture.input;
                let (name, macs) = (&architecture.name, megamacs(architecture.macs() as f64));
                eprintln!(
                    "measured here, one core: {name} at {width}×{height}, {macs}: {frames:.1} frames a second"
                );
                Ok(frames)
            })?,
        };
        let (rung, frames) = chosen;
        let (options, architecture) = &rungs[rung];
        eprintln!(
            "chosen: {}, {}; {frames:.1} frames a second expected",
            describe(options),
            megamacs(architecture.macs() as f64)
        );
        if rung == 0 && frames >= 2.0 * fps {
            eprintln!("that is {:.0} times what was asked for: {}", frames / fps, larger(options.backbone));
        }
        Ok(options.clone())
    }

    /// The options with the network of an interrupted training: what is measured again is never the same.
    pub fn of_checkpoint(options: &TrainingOptions, recipe: &Recipe) -> TrainingOptions {
        let mut options = options.clone();
        if options.backbone == Backbone::EfficientnetLite0 {
            options.size.get_or_insert(recipe.input.width);
        } else {
            options.width.get_or_insert(recipe.width);
        }
        options
    }
}

/// What may be picked, the largest network first: what was asked for by name stays.
fn ladder(options: &TrainingOptions) -> Vec<TrainingOptions> {
    let with = |change: &dyn Fn(&mut TrainingOptions)| {
        let mut options = options.clone();
        change(&mut options);
        options
    };
    match options.backbone {
        Backbone::EfficientnetLite0 if options.size.is_none() => {
            SIZES.iter().map(|&size| with(&|options| options.size = Some(size))).collect()
        }
        Backbone::Cac9 | Backbone::Tiny | Backbone::Resnet if options.width.is_none() => {
            WIDTHS.iter().map(|&width| with(&|options| options.width = Some(width))).collect()
        }
        _ => vec![options.clone()],
    }
}

/// The first rung that is fast enough, with its frames a second.
fn fitting(
    rungs: &[(TrainingOptions, Architecture)],
    fps: f64,
    frames_per_second: impl Fn(&Architecture) -> Result<f64>,
) -> Result<(usize, f64)> {
    let mut least = None;
    for (rung, (_, architecture)) in rungs.iter().enumerate() {
        let frames = frames_per_second(architecture)?;
        if frames >= fps {
            return Ok((rung, frames));
        }
        least = Some((rung, frames));
    }
    let (rung, frames) = least.context("there is nothing to choose from")?;
    let (options, architecture) = &rungs[rung];
    bail!(
        "{} computes {} and would manage {frames:.1} frames a second, not {fps}: ask for a lower --fps, or take {}",
        describe(options),
        megamacs(architecture.macs() as f64),
        if options.backbone == Backbone::Tiny { "a faster board" } else { "a smaller --backbone" }
    )
}

fn describe(options: &TrainingOptions) -> String {
    let size = options.input().width;
    let width = options.width.filter(|&width| width != 1.0);
    let width = width.map_or(String::new(), |width| format!(", width {width}"));
    format!("{} at {size}×{size}{width}", options.backbone.name())
}

fn larger(backbone: Backbone) -> &'static str {
    match backbone {
        Backbone::EfficientnetLite0 => "it is as large as its weights were made for",
        Backbone::Cac9 | Backbone::Tiny | Backbone::Resnet => {
            "with larger pictures, --size 64 may learn more, or efficientnet-lite0"
        }
    }
}

fn megamacs(macs: f64) -> String {
    format!("{:.1} million MACs", macs / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        budget: Budget,
        #[command(flatten)]
        options: TrainingOptions,
    }

    fn applied(line: &str) -> Result<TrainingOptions> {
        let line = Line::try_parse_from(std::iter::once("fit").chain(line.split(' ')))?;
        line.options.check()?;
        line.budget.applied(&line.options, 4)
    }

    fn macs(options: &TrainingOptions) -> f64 {
        options.architecture(&options.input(), 4).macs() as f64
    }

    #[test]
    fn the_largest_network_within_the_budget_is_taken() {
        for (line, fps) in [
            ("--backbone efficientnet-lite0 --target pi4 --fps 30", 30.0),
            ("--backbone efficientnet-lite0 --target pi3 --fps 40", 40.0),
            ("--backbone cac9 --target pi4 --fps 100", 100.0),
            ("--backbone resnet --target pi-zero2 --fps 300", 300.0),
            ("--backbone tiny --target pi-zero2 --fps 1000 --size 48", 1000.0),
        ] {
            let chosen = applied(line).unwrap();
            let rate = Target::from_line(line).core().unwrap().rate();
            assert!(rate / macs(&chosen) >= fps, "{line}: {chosen:?}");
            // One rung up would be too much.
            let free = TrainingOptions { size: None, width: None, ..chosen.clone() };
            let free =
                if line.contains("--size") { TrainingOptions { size: chosen.size, ..free } } else { free };
            let rungs = ladder(&free);
            let at = rungs.iter().position(|rung| macs(rung) == macs(&chosen)).unwrap();
            assert!(at > 0, "{line}: the largest fits, which shows nothing");
            assert!(rate / macs(&rungs[at - 1]) < fps, "{line}");
        }
    }

    impl Target {
        fn from_line(line: &str) -> Self {
            let name = line.split(' ').skip_while(|&word| word != "--target").nth(1).unwrap();
            clap::ValueEnum::from_str(name, false).unwrap()
        }
    }

    #[test]
    fn what_fits_stays_whole_and_what_is_asked_for_stays() {
        let whole = applied("--backbone resnet --target pi5 --fps 30").unwrap();
        assert_eq!((whole.width, whole.size), (Some(1.0), None));
        let given = applied("--backbone cac9 --width 0.5 --target pi4 --fps 30").unwrap();
        assert_eq!(given.width, Some(0.5));
        let none = applied("--backbone cac9").unwrap();
        assert_eq!((none.width, none.size), (None, None));
    }

    #[test]
    fn what_cannot_fit_is_an_error_that_says_what_to_do() {
        let error =
            applied("--backbone efficientnet-lite0 --target pi-zero2 --fps 500").unwrap_err().to_string();
        assert!(error.contains("64×64") && error.contains("--fps"), "{error}");
        let given = applied("--backbone cac9 --width 1 --target pi4 --fps 500").unwrap_err().to_string();
        assert!(given.contains("smaller --backbone"), "{given}");
        assert!(applied("--target pi4").unwrap_err().to_string().contains("--fps"));
        assert!(applied("--target pi4 --fps 0").unwrap_err().to_string().contains("--fps"));
    }

    #[test]
    fn this_machine_is_measured() {
        let chosen = applied("--backbone tiny --size 16 --target this --fps 1").unwrap();
        assert_eq!(chosen.width, Some(1.0));
        let error = applied("--backbone tiny --size 16 --width 0.5 --target this --fps 1e9").unwrap_err();
        assert!(error.to_string().contains("would manage"), "{error}");
    }
}
