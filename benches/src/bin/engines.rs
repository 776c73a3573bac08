//! The same model files run by anchorwatch, by tract alone, and by the engines that a user would
//! pick instead (onnxruntime, OpenVINO, ncnn), in one run, taking turns on the same picture.
//!
//! Only the network is timed. The others are given their input ready, normalised, in float; ours
//! takes the picture's bytes and does that too.

use anchorwatch::network::{Model, ModelFile, Session};
use anchorwatch_benches::peer::{Peer, usual_python};
use anyhow::{Context, Result};
use clap::Parser;
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Time anchorwatch beside the engines that one would pick instead
///
/// Prints for each engine the least and the median milliseconds a picture, our time ÷ its time
/// (below 1 we are faster), how far its logits are from what ONNX defines (onnxruntime without
/// graph optimisation, which computes QDQ in float), how long the model takes to load, and how much
/// memory that and running it need beyond the engine's own program.
///
/// onnxruntime, OpenVINO and ncnn are run through Python where it has them:
/// scripts/setup-python.sh openvino ncnn pnnx
#[derive(Parser)]
struct Arguments {
    /// The int8 model file
    model: PathBuf,
    /// The same model in f32
    #[arg(long, value_name = "FILE")]
    float: Option<PathBuf>,
    /// Numbers of threads
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    threads: Vec<usize>,
    /// How often each engine has its turn
    #[arg(long, default_value_t = 15)]
    turns: usize,
    /// How long a turn is, in milliseconds
    #[arg(long, default_value_t = 200)]
    turn: u64,
    /// Only load the model and run it once; print what that takes as JSON
    #[arg(long, hide = true)]
    alone: bool,
    /// The Python to use [default: that of scripts/setup-python.sh]
    #[arg(long, env = "PEERS_PYTHON", value_name = "FILE")]
    python: Option<PathBuf>,
}

/// One engine with one model file.
struct Engine {
    name: String,
    runner: Runner,
    logits: Vec<f32>,
    load_ms: Option<f64>,
    memory_mib: Option<f64>,
    /// Milliseconds of each picture.
    times: Vec<f64>,
}

enum Runner {
    Ours { session: Box<Session>, pixels: Vec<u8> },
    Peer(Box<Peer>),
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.alone {
        return alone(&arguments);
    }
    let int8 = ModelFile::read(&arguments.model)?;
    let float = arguments.float.as_deref().map(ModelFile::read).transpose()?;
    let work = tempfile::tempdir()?;
    let pixels = noise(&int8);
    let input = work.path().join("input.f32");
    std::fs::write(&input, normalised(&int8, &pixels))?;
    for &threads in &arguments.threads {
        compare(&arguments, threads, &int8, float.as_ref(), &pixels, &input)?;
    }
    Ok(())
}

fn compare(
    arguments: &Arguments,
    threads: usize,
    int8: &ModelFile,
    float: Option<&ModelFile>,
    pixels: &[u8],
    input: &Path,
) -> Result<()> {
    let python = arguments.python.clone().unwrap_or_else(usual_python);
    let mut engines = Vec::new();
    let started = Instant::now();
    let ours = Model::from_file(int8)?.with_threads(threads);
    engines.push(in_process("anchorwatch int8", &ours, pixels, started)?);
    let [load_ms, memory_mib] = of_a_process(&arguments.model, threads)?;
    (engines[0].load_ms, engines[0].memory_mib) = (Some(load_ms), Some(memory_mib));
    let mut reference = None;
    let mut left_out = Vec::new();
    let int8_path = Some(arguments.model.as_path());
    let float_path = arguments.float.as_deref();
    for (name, engine, model) in [
        ("reference", "onnxruntime-exact", int8_path),
        ("onnxruntime int8", "onnxruntime", int8_path),
        ("onnxruntime f32", "onnxruntime", float_path),
        ("OpenVINO int8", "openvino", int8_path),
        ("OpenVINO f32", "openvino", float_path),
        ("ncnn f32", "ncnn", float_path),
    ] {
        let Some(model) = model else { continue };
        match Peer::start(
            &python,
            "peers.py",
            &[engine.as_ref(), model.as_os_str(), threads.to_string().as_ref(), input.as_os_str()],
        ) {
            Ok((peer, ready)) if engine == "onnxruntime-exact" => {
                drop(peer);
                reference = Some(numbers(&ready["logits"]));
            }
            Ok((peer, ready)) => engines.push(Engine {
                name: format!(
                    "{name} {}",
                    ready["version"].as_str().unwrap_or("").split('-').next().unwrap_or("")
                ),
                logits: numbers(&ready["logits"]),
                load_ms: ready["load_ms"].as_f64(),
                memory_mib: ready["memory_mib"].as_f64(),
                runner: Runner::Peer(Box::new(peer)),
                times: Vec::new(),
            }),
            Err(error) => left_out.push(format!("{name}: {error:#}")),
        }
    }
    if threads == 1 {
        // tract itself has one thread.
        let started = Instant::now();
        engines.push(in_process("tract int8 (QDQ)", &Model::stock(int8)?, pixels, started)?);
        if let Some(float) = float {
            let started = Instant::now();
            engines.push(in_process("tract f32", &Model::stock(float)?, pixels, started)?);
        }
    }

    let turn = Duration::from_millis(arguments.turn);
    let bar = indicatif::ProgressBar::new(arguments.turns as u64)
        .with_prefix(format!("{threads} thread(s)"))
        .with_style(indicatif::ProgressStyle::with_template("{prefix} {wide_bar} {eta}")?);
    for _ in 0..arguments.turns {
        for engine in &mut engines {
            engine.take_turn(turn)?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    print(arguments, threads, &engines, reference.as_deref(), &left_out);
    Ok(())
}

fn print(
    arguments: &Arguments,
    threads: usize,
    engines: &[Engine],
    reference: Option<&[f32]>,
    left_out: &[String],
) {
    let isa = anchorwatch_kernels::Isa::from_environment().map_or("?", anchorwatch_kernels::Isa::name);
    let mut text = format!(
        "{}, {threads} thread(s), kernels {isa}\n\n| engine | min ms | median ms | ours ÷ it, min | median | logits off by | load ms | memory MiB |\n|---|---|---|---|---|---|---|---|\n",
        arguments.model.display()
    );
    let ours = engines[0].summary();
    for engine in engines {
        let [min, median] = engine.summary();
        let off = reference.map_or("-".to_string(), |reference| {
            let differences = engine.logits.iter().zip(reference).map(|(one, other)| (one - other).abs());
            format!("{:.4}", differences.fold(0.0, f32::max))
        });
        let optional = |value: Option<f64>| value.map_or("-".to_string(), |value| format!("{value:.0}"));
        let _ = writeln!(
            text,
            "| {} | {min:.3} | {median:.3} | {:.2} | {:.2} | {off} | {} | {} |",
            engine.name,
            ours[0] / min,
            ours[1] / median,
            optional(engine.load_ms),
            optional(engine.memory_mib)
        );
    }
    for reason in left_out {
        let _ = writeln!(text, "left out: {reason}");
    }
    println!("{text}");
}

/// What loading the model and running it once takes in a process of its own: milliseconds, and by how
/// many MiB the process's memory grows at most.
fn of_a_process(model: &Path, threads: usize) -> Result<[f64; 2]> {
    let output = Command::new(std::env::current_exe()?)
        .arg("--alone")
        .arg(format!("--threads={threads}"))
        .arg(model)
        .stderr(Stdio::inherit())
        .output()?;
    serde_json::from_slice(&output.stdout).context("our own process ended without an answer")
}

/// Such a process. The peers are measured likewise, in peers.py.
fn alone(arguments: &Arguments) -> Result<()> {
    let threads = arguments.threads.first().copied().unwrap_or(1);
    let before = status_mib("VmRSS");
    let started = Instant::now();
    let model = Model::load(&arguments.model)?.with_threads(threads);
    let mut session = model.session()?;
    let load_ms = started.elapsed().as_secs_f64() * 1e3;
    session.logits(&vec![128; model.metadata().input.bytes()])?;
    println!("{}", serde_json::json!([load_ms, status_mib("VmHWM") - before]));
    Ok(())
}

/// A line of what Linux says of this process's memory.
fn status_mib(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.map_or(f64::NAN, |kib| kib / 1024.0)
}

fn in_process(name: &str, model: &Model, pixels: &[u8], started: Instant) -> Result<Engine> {
    let mut session = Box::new(model.session()?);
    let load_ms = Some(started.elapsed().as_secs_f64() * 1e3);
    let logits = session.logits(pixels)?.to_vec();
    let runner = Runner::Ours { session, pixels: pixels.to_vec() };
    Ok(Engine { name: name.to_string(), runner, logits, load_ms, memory_mib: None, times: Vec::new() })
}

impl Engine {
    /// Runs for about so long.
    fn take_turn(&mut self, turn: Duration) -> Result<()> {
        match &mut self.runner {
            Runner::Ours { session, pixels } => {
                session.logits(pixels)?; // its data may have left the caches
                let started = Instant::now();
                while started.elapsed() < turn {
                    let once = Instant::now();
                    session.logits(pixels)?;
                    self.times.push(once.elapsed().as_secs_f64() * 1e3);
                }
            }
            Runner::Peer(peer) => {
                let once = peer.run(2)?.into_iter().fold(f64::INFINITY, f64::min);
                let count = (turn.as_secs_f64() / once.max(1e-6)).ceil().clamp(1.0, 1e5) as usize;
                self.times.extend(peer.run(count)?.into_iter().map(|seconds| seconds * 1e3));
            }
        }
        Ok(())
    }

    /// The least and the median.
    fn summary(&self) -> [f64; 2] {
        let mut sorted = self.times.clone();
        sorted.sort_by(f64::total_cmp);
        [sorted.first(), sorted.get(sorted.len() / 2)].map(|time| time.copied().unwrap_or(f64::NAN))
    }
}

fn numbers(values: &Value) -> Vec<f32> {
    values.as_array().into_iter().flatten().filter_map(|value| Some(value.as_f64()? as f32)).collect()
}

/// A smooth random picture of the input's size: H×W×C bytes.
fn noise(file: &ModelFile) -> Vec<u8> {
    let input = &file.metadata.input;
    let (height, width, channels) = (input.height as usize, input.width as usize, input.channels());
    let mut pixels = Vec::with_capacity(height * width * channels);
    for y in 0..height {
        for x in 0..width {
            for channel in 0..channels {
                let phase = [0.13, 0.19, 0.29][channel % 3];
                let wave = (x as f32 * phase).sin() + (y as f32 * phase * 1.7).cos();
                pixels.push((127.5 + 60.0 * wave) as u8);
            }
        }
    }
    pixels
}

/// The same as the C×H×W numbers that an ONNX engine takes, little endian.
fn normalised(file: &ModelFile, pixels: &[u8]) -> Vec<u8> {
    let input = &file.metadata.input;
    let channels = input.channels();
    let of_channel = |channel: usize| {
        let (mean, std) = (input.mean[channel], input.std[channel]);
        pixels
            .iter()
            .skip(channel)
            .step_by(channels)
            .map(move |&value| (f32::from(value) / 255.0 - mean) / std)
    };
    (0..channels).flat_map(of_channel).flat_map(f32::to_le_bytes).collect()
}
