//! The model that a command works with: a file, or the one inside the program.

use crate::network::{Model, ModelError};
use std::num::NonZeroUsize;
use std::path::Path;

/// Reads a model file; without one, the default model.
pub fn load(path: Option<&Path>) -> Result<Model, ModelError> {
    match path {
        Some(path) => Model::load(path),
        None => Model::embedded(),
    }
}

/// As many threads as were asked for, or as there are processors.
pub fn threads(asked: Option<NonZeroUsize>) -> usize {
    asked.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get)
}

/// What to call it.
pub fn place(path: Option<&Path>) -> String {
    path.map_or_else(
        || "the default model, inside this program".to_string(),
        |path| path.display().to_string(),
    )
}
