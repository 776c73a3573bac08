//! The model that a command works with: a file, or the one inside the program.

use crate::network::{Model, ModelError};
use std::path::Path;

/// Reads a model file; without one, the default model.
pub fn load(path: Option<&Path>) -> Result<Model, ModelError> {
    match path {
        Some(path) => Model::load(path),
        None => Model::embedded(),
    }
}

/// What to call it.
pub fn place(path: Option<&Path>) -> String {
    path.map_or_else(
        || "the default model, inside this program".to_string(),
        |path| path.display().to_string(),
    )
}
