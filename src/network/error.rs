//! Why a model cannot be used, in words that say what to do.

use std::path::PathBuf;

/// Why a model file cannot be read, written or run.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The operating system refuses to read it.
    #[error("cannot read the model '{path}': {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The operating system refuses to write it; nothing is left behind.
    #[error("cannot write the model '{path}': {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// What is wrong with the file of this name.
    #[error("the model '{path}' cannot be used: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        why: Box<ModelError>,
    },
    /// Not ONNX, or not whole.
    #[error("it is no ONNX model, or it is truncated ({0})")]
    NotOnnx(String),
    /// ONNX, but not made for anchorwatch.
    #[error(
        "it has no 'anchorwatch' block (classes, centres, threshold): make models with anchorwatch-train, which writes it"
    )]
    NoMetadata,
    /// Made by a newer program.
    #[error(
        "its 'anchorwatch' block has version {found}, and this program reads up to {supported}: update anchorwatch"
    )]
    NewerVersion {
        /// The file's version.
        found: u32,
        /// The newest that can be read.
        supported: u32,
    },
    /// A block that is malformed or contradicts itself.
    #[error("its 'anchorwatch' block is not usable: {0}")]
    Metadata(String),
    /// The network and its block do not belong together.
    #[error("its network and its 'anchorwatch' block do not fit: {0}")]
    Shape(String),
    /// tract cannot run it.
    #[error("its network cannot be run: {0}")]
    Network(String),
    /// A picture of another size than the network's input.
    #[error("the network takes {expected} bytes a picture, and was given {got}")]
    Pixels {
        /// H·W·C of the input.
        expected: usize,
        /// What was given.
        got: usize,
    },
    /// The program has no default model.
    #[error("this program was built without a default model: give one with --model")]
    NotEmbedded,
}
