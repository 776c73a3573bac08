//! Times the kernels on networks of the trainer's shapes, layer by layer and as a whole.
//!
//! Every figure is the smallest of many runs: whatever else the machine does only adds to it.
//! MAC are counted as for direct convolution, so Winograd can exceed the processor's peak.

use std::time::{Duration, Instant};

use anchorwatch::clock;
use anchorwatch_benches::stack::{Network, Stack};
use anchorwatch_kernels::{Isa, Workers};
use anyhow::{Context, Result};
use clap::Parser;

/// Times the int8 kernels, layer by layer and as a whole
#[derive(Parser)]
struct Arguments {
    /// Which networks
    #[arg(value_enum, default_values_t = [Network::Cac9, Network::EfficientnetLite0])]
    networks: Vec<Network>,
    /// Number of workers
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// How long each network runs
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Only the whole, not the layers
    #[arg(long)]
    short: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let isa = Isa::from_environment()?;
    let workers = Workers::new(arguments.threads);
    for network in arguments.networks {
        let mut stack = Stack::new(network, isa).context("cannot build the network")?;
        let time = Duration::try_from_secs_f64(arguments.seconds).context("--seconds is out of range")?;
        let mut layers = vec![f64::INFINITY; stack.layers.len()];
        let mut whole = f64::INFINITY;
        let begin = Instant::now();
        while begin.elapsed() < time {
            let start = Instant::now();
            stack.run(&workers);
            whole = whole.min(start.elapsed().as_nanos() as f64);
            if !arguments.short {
                for (index, best) in layers.iter_mut().enumerate() {
                    let start = Instant::now();
                    stack.run_layer(index, &workers);
                    *best = best.min(start.elapsed().as_nanos() as f64);
                }
            }
        }
        let clock = clock::gigahertz();
        let line = |name: &str, time: f64, work: u64| {
            let rate = work as f64 / time;
            let cycle = clock.map_or("-".to_string(), |clock| format!("{:.1}", rate / clock));
            println!("{name:52} {:9.1} us {rate:8.1} MAC/ns {cycle:>7} MAC/cycle", time / 1e3);
        };
        println!(
            "{network:?}, {}, {} worker(s), clock {}",
            isa.name(),
            workers.count(),
            clock.map_or("unknown".to_string(), |clock| format!("{clock:.2} GHz"))
        );
        if !arguments.short {
            for (layer, time) in stack.layers.iter().zip(&layers) {
                line(&layer.name, *time, layer.work);
            }
        }
        if !arguments.short {
            line("sum of the layers", layers.iter().sum(), stack.layers.iter().map(|layer| layer.work).sum());
        }
        line("whole", whole, stack.layers.iter().map(|layer| layer.work).sum());
    }
    Ok(())
}
