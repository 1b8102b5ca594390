//! What each format holds comes out, and what is wrong with a file is said.

#[path = "../forge/mod.rs"]
mod forge;
mod pytorch;
mod safetensors;

use fewbit_checkpoint::{Checkpoint, CheckpointError};
use forge::Files;

/// Opens a checkpoint of these bytes.
fn open(files: &Files, bytes: &[u8]) -> Result<Checkpoint, CheckpointError> {
    Checkpoint::open(files.write("checkpoint", bytes))
}

/// An error with all its causes.
fn told(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {}", told(cause))).unwrap_or_default();
    format!("{error}{cause}")
}
