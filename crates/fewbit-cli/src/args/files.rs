//! The commands that read a file.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Format, MachineArgs};

#[derive(Args)]
pub(crate) struct EvalArgs {
    /// The .fewbit file.
    pub(crate) file: PathBuf,
    /// The data set's folder or file; `glyphs` needs none.
    #[arg(long, value_name = "PATH")]
    pub(crate) data: Option<PathBuf>,
    /// Downloads the data set into the cache folder, where it is not there yet, and reads it from there.
    #[arg(long, conflicts_with = "data")]
    pub(crate) download: bool,
    /// How the result is printed.
    #[arg(long, value_enum, default_value = "text", help_heading = "Output")]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}

#[derive(Args)]
pub(crate) struct InspectArgs {
    /// The .fewbit file.
    pub(crate) file: PathBuf,
    /// How the listing is printed.
    #[arg(long, value_enum, default_value = "text", help_heading = "Output")]
    pub(crate) format: Format,
}

#[derive(Args)]
pub(crate) struct VerifyArgs {
    /// The .fewbit file.
    pub(crate) file: PathBuf,
}

#[derive(Args)]
pub(crate) struct UnpackArgs {
    /// The .fewbit file.
    pub(crate) file: PathBuf,
    /// The safetensors file to write.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// The names of the tensors; by default `pytorch` for a file that was written with a recipe, else `file`.
    #[arg(long, value_enum, value_name = "NAMES")]
    pub(crate) names: Option<Names>,
}

/// Whose names tensors have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Names {
    /// Those of the PyTorch network, for strict loading: batch norms unfolded, with `num_batches_tracked`.
    Pytorch,
    /// Those of the burn network: batch norms unfolded.
    Burn,
    /// Those of the file: batch norms as they are stored.
    File,
}
