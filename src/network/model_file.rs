//! A model file: an ONNX network and the `anchorwatch` block in its `metadata_props`. Reading and
//! writing only; [`super::Model`] runs it.

use super::ModelError;
use super::metadata::{METADATA_KEY, Metadata};
use prost::Message;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::Path;
use tract_onnx::pb::{ModelProto, StringStringEntryProto};

/// A larger file is no model for a board; it is not even read.
const LARGEST_FILE: u64 = 512 * 1024 * 1024;

/// An ONNX model with its block.
#[derive(Clone, Debug)]
pub struct ModelFile {
    /// The network.
    pub onnx: ModelProto,
    /// The block.
    pub metadata: Metadata,
}

impl ModelFile {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, is no ONNX model, or its block is missing or unusable.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        Self::decode(&read_bytes(path)?).map_err(|why| in_file(path, why))
    }

    /// The same from bytes in memory.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn decode(bytes: &[u8]) -> Result<Self, ModelError> {
        let onnx = ModelProto::decode(bytes).map_err(|error| ModelError::NotOnnx(error.to_string()))?;
        // Almost any few bytes are some protobuf message.
        if onnx.graph.is_none() {
            return Err(ModelError::NotOnnx("it has no graph".to_string()));
        }
        let block = onnx.metadata_props.iter().find(|entry| entry.key == METADATA_KEY);
        let metadata = Metadata::from_json(&block.ok_or(ModelError::NoMetadata)?.value)?;
        Ok(Self { onnx, metadata })
    }

    /// The network as bytes that a microcontroller runs from its flash memory, with the same logits:
    /// see [`anchorwatch_kernels::FlatProgram`].
    ///
    /// # Errors
    /// If a part of it cannot run in integers.
    pub fn flat_program(&self) -> Result<Vec<u8>, ModelError> {
        super::integer::flat(&self.onnx, &self.metadata.input)
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// If the block contradicts itself.
    pub fn encode(&self) -> Result<Vec<u8>, ModelError> {
        self.metadata.check()?;
        let value =
            serde_json::to_string(&self.metadata).map_err(|error| ModelError::Metadata(error.to_string()))?;
        let mut onnx = self.onnx.clone();
        onnx.metadata_props.retain(|entry| entry.key != METADATA_KEY);
        onnx.metadata_props.push(StringStringEntryProto { key: METADATA_KEY.to_string(), value });
        Ok(onnx.encode_to_vec())
    }

    /// Writes a file, whole or not at all.
    ///
    /// # Errors
    /// If the block contradicts itself, or the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ModelError> {
        let bytes = self.encode()?;
        let failed = |source| ModelError::Write { path: path.to_path_buf(), source };
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut file = tempfile::Builder::new().prefix(".model-").tempfile_in(folder).map_err(failed)?;
        make_readable(file.as_file()).map_err(failed)?;
        file.write_all(&bytes).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

/// Temporary files are their owner's alone; a model is for the service's user too.
#[cfg(unix)]
fn make_readable(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_file: &std::fs::File) -> std::io::Result<()> {
    Ok(())
}

/// Names the file that something is wrong with.
pub(super) fn in_file(path: &Path, why: ModelError) -> ModelError {
    ModelError::File { path: path.to_path_buf(), why: Box::new(why) }
}

/// Reads a file that may be a model.
pub(super) fn read_bytes(path: &Path) -> Result<Vec<u8>, ModelError> {
    let failed = |source| ModelError::Read { path: path.to_path_buf(), source };
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > LARGEST_FILE {
        let why = ModelError::NotOnnx(format!("it has {length} bytes, too many for a model"));
        return Err(in_file(path, why));
    }
    std::fs::read(path).map_err(failed)
}

/// A model's name for logs: the first 12 hexadecimal digits of the SHA-256 of its file.
pub(super) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::colours;
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        let file = colours();
        file.write(&path).unwrap();
        let read = ModelFile::read(&path).unwrap();
        assert_eq!(read.metadata, file.metadata);
        assert_eq!(read.onnx.graph, file.onnx.graph);
        // Written again, there is still one block.
        assert_eq!(read.encode().unwrap(), std::fs::read(&path).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing temporary is left");
    }

    #[test]
    fn a_file_cut_anywhere_is_an_error() {
        let bytes = colours().encode().unwrap();
        for length in 0..bytes.len() {
            assert!(ModelFile::decode(&bytes[..length]).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn a_network_without_a_block_says_so() {
        let bare = colours().onnx.encode_to_vec();
        assert!(matches!(ModelFile::decode(&bare), Err(ModelError::NoMetadata)));
        assert!(matches!(ModelFile::decode(b"GIF89a, surely"), Err(ModelError::NotOnnx(_))));
        assert!(matches!(ModelFile::decode(b""), Err(ModelError::NotOnnx(_))));
    }

    #[test]
    fn where_nothing_can_be_written_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing/model.onnx");
        let message = colours().write(&path).unwrap_err().to_string();
        assert!(message.contains("missing/model.onnx"), "{message}");
        let missing = ModelFile::read(&path).unwrap_err().to_string();
        assert!(missing.contains("cannot read the model"), "{missing}");
        let folder_for_a_file = folder.path().join("folder.onnx");
        std::fs::create_dir(&folder_for_a_file).unwrap();
        assert!(colours().write(&folder_for_a_file).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
