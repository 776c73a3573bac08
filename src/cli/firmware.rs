//! `anchorwatch firmware`: a model's network for a microcontroller.

use super::exit::UsageError;
use super::terminal;
use crate::network::{Model, ModelFile};
use anchorwatch_core::link::MAX_LOGITS;
use anchorwatch_kernels::FlatProgram;
use anyhow::Context;
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Write a model's network for a microcontroller that runs it from its flash memory
///
/// The file network.bin is what firmware/README.md says how to build firmware around: weights and
/// layers as they lie in flash memory, and at run time one piece of RAM, whose size is printed here.
/// The network must be int8 from the first layer to the logits, as anchorwatch-train quantizes them;
/// the microcontroller computes the very same logits as 'run' does.
#[derive(Args, Debug)]
pub struct FirmwareArgs {
    /// The model file
    #[arg(env = "ANCHORWATCH_MODEL", value_name = "MODEL")]
    model: PathBuf,

    /// The folder to write into; it is made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Write vectors.bin too: so many random pictures with the logits that they have here, to test a
    /// board with
    #[arg(long, value_name = "COUNT")]
    vectors: Option<u32>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &FirmwareArgs) -> anyhow::Result<ExitCode> {
    let file = ModelFile::read(&args.model)?;
    let bytes = file.flat_program()?;
    let sizes = FlatProgram::sizes_of(&bytes);
    if sizes.logits > MAX_LOGITS {
        let what = format!("the network has {} logits, a companion takes {MAX_LOGITS}", sizes.logits);
        return Err(UsageError(what).into());
    }
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make '{}'", args.out.display()))?;
    let network = args.out.join("network.bin");
    write(&network, &bytes)?;
    if let Some(count) = args.vectors {
        write(&args.out.join("vectors.bin"), &vectors(&Model::from_file(&file)?, count)?)?;
    }
    if args.json {
        terminal::print_json(&json!({
            "network": network,
            "flash_bytes": bytes.len(),
            "arena_bytes": sizes.arena,
            "picture_bytes": sizes.picture,
            "logits": sizes.logits,
        }))?;
    } else {
        terminal::print_line(&format!(
            "{}: {} bytes of flash memory; RAM: an arena of {} bytes and a picture of {} bytes; {} logits",
            network.display(),
            bytes.len(),
            sizes.arena,
            sizes.picture,
            sizes.logits
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("cannot write '{}'", path.display()))
}

/// How many there are, the bytes of a picture, and how many logits, as u32; then pictures, each with
/// its logits as f32. All little endian.
fn vectors(model: &Model, count: u32) -> anyhow::Result<Vec<u8>> {
    let input = &model.metadata().input;
    let mut session = model.session()?;
    let mut bytes = Vec::new();
    for number in [count, input.bytes() as u32, model.metadata().logits() as u32] {
        bytes.extend(number.to_le_bytes());
    }
    // The same ones each time: a generator of Marsaglia's.
    let mut random = 2_463_534_242u32;
    for _ in 0..count {
        let picture: Vec<u8> = (0..input.bytes())
            .map(|_| {
                random ^= random << 13;
                random ^= random >> 17;
                random ^= random << 5;
                (random >> 24) as u8
            })
            .collect();
        bytes.extend(&picture);
        bytes.extend(session.logits(&picture)?.iter().flat_map(|logit| logit.to_le_bytes()));
    }
    Ok(bytes)
}
