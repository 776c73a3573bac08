//! `anchorwatch bench`: how long one picture takes here, and how much memory.

use super::{model, terminal};
use crate::clock;
use crate::network::{Judge, LayerReport, Timings};
use crate::vision::{Preparer, Region, load_picture};
use anchorwatch_kernels::Isa;
use clap::Args;
use image::RgbImage;
use serde::Serialize;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Measure how fast a model is on this device
///
/// Judges one picture again and again, as 'run' does, and prints how long it takes, in which stage,
/// and how much memory the program needed at most.
#[derive(Args, Debug)]
pub struct BenchArgs {
    /// The model file; without it, the default model inside this program
    #[arg(env = "ANCHORWATCH_MODEL", value_name = "MODEL")]
    model: Option<PathBuf>,

    /// The picture to judge; without it, noise of 640×480 pixels
    #[arg(short, long, value_name = "PICTURE")]
    source: Option<PathBuf>,

    /// How often it is judged
    #[arg(long, value_name = "COUNT", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,

    /// How often it is judged before that, unmeasured
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    warm_up: u32,

    /// So many threads share the work on one picture [default: as many as there are processors]
    #[arg(long, value_name = "COUNT")]
    threads: Option<std::num::NonZeroUsize>,

    /// Also time each layer that computes in int8, beside what the processor could do at best
    #[arg(long)]
    profile: bool,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What was measured; times in milliseconds.
#[derive(Serialize)]
struct Measured {
    /// The model, by its digest.
    model: String,
    /// Width and height of the picture.
    picture: [u32; 2],
    runs: usize,
    /// Which instructions compute the integer part.
    instructions: &'static str,
    threads: usize,
    /// From the picture to the verdict.
    total: Percentiles,
    /// Cutting, resizing, converting.
    prepare: Percentiles,
    /// The network.
    network: Percentiles,
    /// Distances and verdict.
    score: Percentiles,
    /// 1000 ÷ the median of the total.
    frames_per_second: f64,
    /// Making the model ready to run.
    load: f64,
    /// The most memory that the program has had (VmHWM); where the system tells it.
    peak_memory_mib: Option<f64>,
    /// With --profile: the layers that compute in int8.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    layers: Vec<LayerTime>,
    /// The processor's clock while they ran, in GHz; where it can be found out.
    clock: Option<f64>,
}

/// One layer.
#[derive(Serialize)]
struct LayerTime {
    #[serde(flatten)]
    layer: LayerReport,
    /// The least of the runs, in milliseconds.
    min: f64,
    /// Multiplications with additions a cycle, of all threads together.
    macs_per_cycle: Option<f64>,
    /// The same, of what this processor's instructions could do at best.
    share_of_peak: Option<f64>,
}

#[derive(Clone, Copy, Serialize)]
struct Percentiles {
    min: f64,
    p50: f64,
    p90: f64,
    p99: f64,
}

impl Percentiles {
    /// Of at least one duration; each percentile is one of them.
    fn of(durations: impl Iterator<Item = Duration>) -> Self {
        let mut sorted: Vec<f64> = durations.map(milliseconds).collect();
        sorted.sort_by(f64::total_cmp);
        let at = |percent: usize| sorted[(sorted.len() * percent).div_ceil(100).clamp(1, sorted.len()) - 1];
        Self { min: sorted[0], p50: at(50), p90: at(90), p99: at(99) }
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

pub fn run(args: &BenchArgs) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let threads = model::threads(args.threads);
    let model = model::load(args.model.as_deref())?.with_threads(threads);
    let mut judge = Judge::new(&model)?;
    let load = milliseconds(started.elapsed());
    let picture = match &args.source {
        Some(path) => load_picture(path)?,
        None => noise(640, 480),
    };
    let (width, height) = picture.dimensions();
    let region = Region::whole(width, height);

    let bar = terminal::progress_bar(u64::from(args.warm_up) + u64::from(args.runs), "measuring");
    let mut measured: Vec<(Duration, Timings)> = Vec::new();
    for run in 0..u64::from(args.warm_up) + u64::from(args.runs) {
        let started = Instant::now();
        judge.judge(&picture, region)?;
        let took = started.elapsed();
        if run >= u64::from(args.warm_up) {
            measured.push((took, judge.timings()));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();

    let stage =
        |of: fn(&Timings) -> Duration| Percentiles::of(measured.iter().map(|(_, timings)| of(timings)));
    let total = Percentiles::of(measured.iter().map(|(total, _)| *total));
    let measured = Measured {
        model: model.id().to_string(),
        picture: [width, height],
        runs: measured.len(),
        instructions: Isa::from_environment().unwrap_or(Isa::Scalar).name(),
        threads,
        total,
        prepare: stage(|timings| timings.prepare),
        network: stage(|timings| timings.network),
        score: stage(|timings| timings.score),
        frames_per_second: 1000.0 / total.p50,
        load,
        peak_memory_mib: peak_memory_mib(),
        layers: Vec::new(),
        clock: None,
    };
    let measured = if args.profile {
        let mut preparer = Preparer::new(&model.metadata().input);
        let pixels = preparer.prepare(&picture, region)?;
        let times = model.profile(pixels, args.runs as usize)?;
        measured.with_layers(model.layers(), &times)
    } else {
        measured
    };
    if args.json {
        terminal::print_json(&measured)?;
    } else {
        terminal::print_line(&measured.text(&model::place(args.model.as_deref())))?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Measured {
    fn with_layers(self, layers: &[LayerReport], times: &[Duration]) -> Self {
        let clock = clock::gigahertz();
        let peak = Isa::from_environment().ok().and_then(Isa::peak_macs_per_cycle);
        let peak = peak.map(|peak| f64::from(peak) * self.threads as f64);
        let layers = layers.iter().zip(times).map(|(layer, &time)| {
            let cycles = clock.map(|clock| clock * time.as_nanos() as f64);
            let macs_per_cycle =
                cycles.filter(|_| layer.macs > 0).map(|cycles| layer.macs as f64 / cycles.max(1.0));
            LayerTime {
                layer: layer.clone(),
                min: milliseconds(time),
                macs_per_cycle,
                share_of_peak: macs_per_cycle.zip(peak).map(|(macs, peak)| macs / peak),
            }
        });
        Self { layers: layers.collect(), clock, ..self }
    }

    fn text(&self, place: &str) -> String {
        let [width, height] = self.picture;
        let mut text = format!(
            "{place} ({}), a picture of {width}×{height}, {} runs, {} thread(s), {}\n\n  {:<10} {:>10} {:>10} {:>10} {:>10}",
            self.model, self.runs, self.threads, self.instructions, "ms", "min", "p50", "p90", "p99"
        );
        for (stage, Percentiles { min, p50, p90, p99 }) in [
            ("prepare", self.prepare),
            ("network", self.network),
            ("score", self.score),
            ("total", self.total),
        ] {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n  {stage:<10} {min:>10.3} {p50:>10.3} {p90:>10.3} {p99:>10.3}");
        }
        let _ = write!(text, "\n\n  {:.1} frames a second, by the median", self.frames_per_second);
        let _ = write!(text, "\n  {:.0} ms to make the model ready", self.load);
        if let Some(memory) = self.peak_memory_mib {
            let _ = write!(text, "\n  {memory:.1} MiB of memory at most");
        }
        if !self.layers.is_empty() {
            text += &self.profile();
        }
        text
    }
}

impl Measured {
    /// The table of the layers.
    fn profile(&self) -> String {
        let clock =
            self.clock.map_or("at an unknown clock".to_string(), |clock| format!("at {clock:.2} GHz"));
        let kinds = self.layers.iter().map(|time| time.layer.kind.chars().count()).max().unwrap_or(0);
        let mut text = format!(
            "\n\nLayers in int8, {clock} (Winograd's method multiplies less than is counted)\n\n  {:<kinds$} {:>16} {:>9} {:>10} {:>10} {:>9}",
            "layer", "output", "ms", "MMAC", "MAC/cycle", "of peak"
        );
        for LayerTime { layer, min, macs_per_cycle, share_of_peak } in &self.layers {
            let shape: Vec<String> = layer.shape.iter().skip(1).map(usize::to_string).collect();
            let macs = macs_per_cycle.map_or("-".to_string(), |macs| format!("{macs:.1}"));
            let share = share_of_peak.map_or("-".to_string(), |share| format!("{:.0} %", share * 100.0));
            let _ = write!(
                text,
                "\n  {:<kinds$} {:>16} {min:>9.4} {:>10.2} {macs:>10} {share:>9}",
                layer.kind,
                shape.join("×"),
                layer.macs as f64 / 1e6
            );
        }
        let total: f64 = self.layers.iter().map(|time| time.min).sum();
        let _ = write!(text, "\n  {:<kinds$} {:>16} {total:>9.4}", "all of them", "");
        text
    }
}

/// A picture in which no two pixels are alike, always the same.
fn noise(width: u32, height: u32) -> RgbImage {
    let mut state = 1u32;
    RgbImage::from_fn(width, height, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [_, red, green, blue] = state.to_le_bytes();
        image::Rgb([red, green, blue])
    })
}

/// The line VmHWM of Linux' `/proc/self/status`.
fn peak_memory_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_measured_values() {
        let milliseconds = (1..=200).map(Duration::from_millis);
        let Percentiles { min, p50, p90, p99 } = Percentiles::of(milliseconds);
        assert_eq!([min, p50, p90, p99], [1.0, 100.0, 180.0, 198.0]);
        let one = Percentiles::of(std::iter::once(Duration::from_millis(7)));
        assert_eq!([one.min, one.p50, one.p99], [7.0; 3]);
    }
}
