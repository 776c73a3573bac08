//! `anchorwatch firmware`: a model's network for a microcontroller.

use super::exit::UsageError;
use super::terminal;
use crate::capture::{Frame, Source, SourceOptions};
use crate::network::{Model, ModelFile};
use crate::vision::{Preparer, Region};
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

    /// Write vectors.bin too: so many pictures with the logits that they have here, to test a board with.
    /// They are the model's golden pictures, then those of --source, then random ones
    #[arg(long, value_name = "COUNT")]
    vectors: Option<u32>,

    /// Pictures or a video for --vectors, each frame as a whole
    #[arg(long, value_name = "SOURCE", requires = "vectors")]
    source: Option<String>,

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
        let model = Model::from_file(&file)?;
        let pictures = pictures(&model, count as usize, args.source.as_deref())?;
        write(&args.out.join("vectors.bin"), &vectors(&model, &pictures)?)?;
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

/// Pictures at the model's input size: golden ones, those of the source, random ones.
fn pictures(model: &Model, count: usize, source: Option<&str>) -> anyhow::Result<Vec<Vec<u8>>> {
    let input = &model.metadata().input;
    let mut pictures = model.golden_pictures()?;
    if let Some(source) = source {
        let mut source = Source::open(source, &SourceOptions::default())?;
        let mut preparer = Preparer::new(input);
        while pictures.len() < count
            && let Some(Frame { picture, .. }) = source.next_frame()?
        {
            let (width, height) = picture.dimensions();
            pictures.push(preparer.prepare(&picture, Region::whole(width, height))?.to_vec());
        }
    }
    // The same ones each time: a generator of Marsaglia's.
    let mut random = 2_463_534_242u32;
    let random = std::iter::repeat_with(|| {
        let pixels = std::iter::repeat_with(|| {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            (random >> 24) as u8
        });
        pixels.take(input.bytes()).collect()
    });
    let missing = count.saturating_sub(pictures.len());
    pictures.extend(random.take(missing));
    pictures.truncate(count);
    Ok(pictures)
}

/// How many there are, the bytes of a picture, and how many logits, as u32; then pictures, each with
/// its logits as f32. All little endian.
fn vectors(model: &Model, pictures: &[Vec<u8>]) -> anyhow::Result<Vec<u8>> {
    let metadata = model.metadata();
    let mut session = model.session()?;
    let mut bytes = Vec::new();
    for number in [pictures.len(), metadata.input.bytes(), metadata.logits()] {
        bytes.extend((number as u32).to_le_bytes());
    }
    for picture in pictures {
        bytes.extend(picture);
        bytes.extend(session.logits(picture)?.iter().flat_map(|logit| logit.to_le_bytes()));
    }
    Ok(bytes)
}
