//! Trains Class Anchor Clustering networks and exports them, quantized, for anchorwatch.
//!
//! The way of a training: [`fit`] is the command, [`options`] say how, [`picture_folder`] lists the files,
//! [`data_set`] decodes them, [`training`] trains an [`architecture`] of [`backbones`], [`deploy`] folds, quantizes,
//! measures and writes the model files. [`import`] joins at the end of that way, with a published
//! checkpoint, and [`requantize`] with a finished training. [`data_check`] comes before it: what is wrong with
//! the pictures.

mod activation_ranges;
mod architecture;
mod augment;
mod average;
mod backbones;
mod budget;
mod calibration;
mod calibration_options;
mod checkpoint;
mod composites;
mod data_check;
mod data_set;
mod deploy;
mod export;
mod fake_quantization;
mod fit;
mod fold;
mod folded;
mod folded_forward;
mod history;
mod import;
mod interrupt;
mod loss;
mod macs;
mod measured_speed;
mod memory_reuse;
mod network;
mod onnx_graph;
mod options;
mod picture_folder;
mod pictures;
mod pretrained;
mod progress;
mod protocol;
mod provenance;
mod quantization_aware;
mod quantization_error;
mod quantize;
mod quantized;
#[cfg(test)]
mod random_networks;
mod recipe;
mod report;
mod requantize;
mod sgd;
mod simulate;
mod temperature;
mod torch_file;
mod training;
mod variables;

use clap::{Parser, Subcommand};
use data_check::{EXIT_FOUND, Found};
use interrupt::{EXIT_INTERRUPTED, Interrupt, Interrupted};
use std::process::ExitCode;

/// Train networks for anchorwatch: they name what they were trained on and flag what they have never
/// seen (Class Anchor Clustering, arXiv 2004.02434)
#[derive(Debug, Parser)]
#[command(name = "anchorwatch-train", version, arg_required_else_help = true, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Example, with pictures in parts/bolt/*.jpg, parts/nut/*.jpg, parts/washer/*.jpg:
  anchorwatch-train data check parts
  anchorwatch-train fit --data parts --backbone efficientnet-lite0 --out model
  anchorwatch run --model model/model.onnx --source /dev/video0

Ctrl-C saves a training; the same command with --resume continues it.

Exit status: 0 done; 1 failed, the message says why; 2 wrong options; 3 interrupted, and what was
trained is saved; 4 'data check --strict' found something; 130 interrupted twice, nothing more was saved.";

#[derive(Debug, Subcommand)]
enum Command {
    Data(data_check::DataArgs),
    Fit(Box<fit::FitArgs>),
    Import(Box<import::ImportArgs>),
    Protocol(Box<protocol::ProtocolArgs>),
    Quantize(Box<requantize::QuantizeArgs>),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    memory_reuse::keep_freed_memory();
    env_logger::Builder::from_env(
        env_logger::Env::default().default_filter_or("warn,anchorwatch_train=info"),
    )
    .format_timestamp(None)
    .format_target(false)
    .init();
    let result = Interrupt::listen().and_then(|interrupt| match &cli.command {
        Command::Data(args) => data_check::run(args, &interrupt),
        Command::Fit(args) => fit::run(args, &interrupt),
        Command::Import(args) => import::run(args, &interrupt),
        Command::Protocol(args) => protocol::run(args, &interrupt),
        Command::Quantize(args) => requantize::run(args, &interrupt),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("anchorwatch-train: {error:#}");
            if error.is::<Interrupted>() {
                ExitCode::from(EXIT_INTERRUPTED)
            } else if error.is::<Found>() {
                ExitCode::from(EXIT_FOUND)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}
