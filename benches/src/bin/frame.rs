//! From a camera's bytes to an event, all but the network: beside the same steps with OpenCV and numpy, in
//! one run, taking turns on the same frame.

use anchorwatch::capture::colour;
use anchorwatch::network::metadata::{Colour, InputSpec, ResizeRule};
use anchorwatch::vision::{Preparer, Region};
use anchorwatch_benches::peer::{Peer, usual_python};
use anchorwatch_core::{Centres, Scorer, Watch, WatchConfig};
use anyhow::{Context, Result, ensure};
use clap::Parser;
use std::ffi::OsString;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

/// Time everything between a camera and an event that is not the network
///
/// A YUYV frame becomes RGB, its centre square is cut out and brought to the network's input, logits are
/// scored against the class centres, and the watch is told. (The input is quantized inside the network's
/// first layer here; with OpenCV it is a table.) Prints the least and the median microseconds a frame, and
/// our time ÷ OpenCV's. OpenCV is run through Python: scripts/setup-python.sh opencv-python-headless
#[derive(Parser)]
struct Arguments {
    /// Width of the camera's frame
    #[arg(long, default_value_t = 640)]
    width: u32,
    /// Height of the camera's frame
    #[arg(long, default_value_t = 480)]
    height: u32,
    /// Side of the network's input
    #[arg(long, default_value_t = 128)]
    side: u32,
    /// Number of classes
    #[arg(long, default_value_t = 10)]
    classes: usize,
    /// Threads that OpenCV may use; ours is one
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// How often each has its turn
    #[arg(long, default_value_t = 30)]
    turns: usize,
    /// Frames a turn
    #[arg(long, default_value_t = 100)]
    frames: usize,
    /// The Python to use [default: that of scripts/setup-python.sh]
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let (width, height) = (arguments.width, arguments.height);
    let frame = camera_frame(width, height);
    let work = tempfile::tempdir()?;
    let path = work.path().join("frame.yuyv");
    std::fs::write(&path, &frame)?;

    let input = InputSpec {
        width: arguments.side,
        height: arguments.side,
        colour: Colour::Rgb,
        resize: ResizeRule::CentreCrop,
        mean: vec![0.45; 3],
        std: vec![0.25; 3],
    };
    let mut ours = Ours::new(input, arguments.classes)?;
    let pixels = ours.pixels(&frame, width, height)?.to_vec();

    let python = arguments.python.clone().unwrap_or_else(usual_python);
    let numbers =
        [arguments.threads, width as usize, height as usize, arguments.side as usize, arguments.classes];
    let mut given: Vec<OsString> = numbers.iter().map(|number| number.to_string().into()).collect();
    given.push(path.into());
    let given: Vec<_> = given.iter().map(OsString::as_os_str).collect();
    let peer = Peer::start(&python, "opencv_frame.py", &given);
    let (mut peer, version) = match peer {
        Ok((peer, ready)) => {
            let theirs: Vec<u8> = serde_json::from_value(ready["pixels"].clone())?;
            ensure!(theirs.len() == pixels.len(), "OpenCV's input has another size");
            let off = pixels.iter().zip(&theirs).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>();
            println!("the two inputs differ by {:.2} levels of 255 on average", off / pixels.len() as f64);
            (Some(peer), ready["version"].as_str().unwrap_or_default().to_string())
        }
        Err(error) => {
            eprintln!("OpenCV is left out: {error:#}");
            (None, String::new())
        }
    };

    let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
    let mut parts = [const { Vec::new() }; 3];
    for _ in 0..arguments.turns {
        for _ in 0..arguments.frames {
            let seconds = ours.frame(&frame, width, height)?;
            our_times.push(seconds.iter().sum::<f64>());
            for (part, seconds) in parts.iter_mut().zip(seconds) {
                part.push(seconds);
            }
        }
        if let Some(peer) = &mut peer {
            their_times.extend(peer.run(arguments.frames)?);
        }
    }
    println!("{width}×{height} YUYV to {0}×{0}, {1} classes, µs a frame:", arguments.side, arguments.classes);
    let [least, median] = least_and_median(&mut our_times);
    println!("  anchorwatch      least {least:7.1}  median {median:7.1}");
    for (name, part) in ["colour", "cut and resize", "score and watch"].iter().zip(&mut parts) {
        let [least, median] = least_and_median(part);
        println!("    {name:15}      {least:7.1}         {median:7.1}");
    }
    if peer.is_some() {
        let [their_least, their_median] = least_and_median(&mut their_times);
        println!("  OpenCV {version:9} least {their_least:7.1}  median {their_median:7.1}");
        println!(
            "  ours ÷ OpenCV's        {:7.2}         {:7.2}",
            least / their_least,
            median / their_median
        );
    }
    Ok(())
}

/// The steps of a run, without its network and its threads.
struct Ours {
    preparer: Preparer,
    centres: Vec<f32>,
    classes: usize,
    logits: Vec<f32>,
    distances: Vec<f32>,
    watch: Watch<1>,
}

impl Ours {
    fn new(input: InputSpec, classes: usize) -> Result<Self> {
        let mut centres = vec![0.0; classes * classes];
        (0..classes).for_each(|class| centres[class * (classes + 1)] = 10.0);
        let logits = (0..classes).map(|class| 10.0 * class as f32 / classes as f32).collect();
        let watch = Watch::new(WatchConfig::default())?;
        Ok(Self {
            preparer: Preparer::new(&input),
            centres,
            classes,
            logits,
            distances: vec![0.0; classes],
            watch,
        })
    }

    fn pixels(&mut self, frame: &[u8], width: u32, height: u32) -> Result<&[u8]> {
        let picture = colour::yuyv(frame, width, height, 2 * width as usize).context("a frame")?;
        Ok(self.preparer.prepare(&picture, Region::whole(width, height))?)
    }

    /// Seconds of colour, of cutting and resizing, and of score and watch.
    fn frame(&mut self, frame: &[u8], width: u32, height: u32) -> Result<[f64; 3]> {
        let began = Instant::now();
        let picture = colour::yuyv(frame, width, height, 2 * width as usize).context("a frame")?;
        let coloured = Instant::now();
        black_box(self.preparer.prepare(&picture, Region::whole(width, height))?);
        let prepared = Instant::now();
        let centres = Centres::new(&self.centres, self.classes)?;
        let verdict = Scorer::new(centres).score(&self.logits, 0.5, &mut self.distances)?;
        black_box(self.watch.update(0, &verdict)?);
        self.watch.next_frame();
        let watched = Instant::now();
        drop(picture);
        let seconds = |from: Instant, to: Instant| (to - from).as_secs_f64();
        Ok([
            seconds(began, coloured) + watched.elapsed().as_secs_f64(), // the frame's memory is given back
            seconds(coloured, prepared),
            seconds(prepared, watched),
        ])
    }
}

/// Microseconds.
fn least_and_median(seconds: &mut [f64]) -> [f64; 2] {
    seconds.sort_by(f64::total_cmp);
    [seconds.first(), seconds.get(seconds.len() / 2)].map(|time| 1e6 * time.copied().unwrap_or(f64::NAN))
}

/// A smooth YUYV picture.
fn camera_frame(width: u32, height: u32) -> Vec<u8> {
    let wave =
        |x: u32, y: u32, pace: f32| (128.0 + 90.0 * (x as f32 * pace).sin() * (y as f32 * pace).cos()) as u8;
    let pairs = (0..height).flat_map(|y| (0..width / 2).map(move |pair| (2 * pair, y)));
    pairs
        .flat_map(|(x, y)| [wave(x, y, 0.05), wave(x, y, 0.011), wave(x + 1, y, 0.05), wave(x, y, 0.017)])
        .collect()
}
