//! The command that makes a file without training.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};

use super::{BudgetArgs, Format};

/// What a compressed file errs least in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ObjectiveKind {
    /// Squared error of each tensor over its mean square.
    Relative,
    /// Squared error of all weights.
    Squared,
}

/// What a compressed file takes from calibration data; each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum CalibrationKind {
    /// Statistics of batch norms, in line with the rounded weights.
    Statistics,
    /// Steps by what an error of each tensor and output channel costs.
    Sensitivity,
    /// Weights that make up for each other's errors, by how inputs vary together.
    Feedback,
}

#[derive(Args)]
pub(crate) struct CalibrationArgs {
    /// Calibrates on training data: the data set's folder or file; `glyphs` needs none.
    #[arg(long, value_name = "DATA", help_heading = "Calibration", num_args = 0..=1, requires = "recipe")]
    pub(crate) calibrate: Option<Option<PathBuf>>,
    /// What is taken from it.
    #[arg(
        long,
        value_enum,
        default_value = "feedback",
        help_heading = "Calibration",
        requires = "calibrate"
    )]
    pub(crate) calibration: CalibrationKind,
    /// Records of it: the last of the training set.
    #[arg(long, value_name = "N", default_value_t = 2048, help_heading = "Calibration", requires = "calibrate",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) calibration_records: u32,
    /// Takes the statistics of batch norms from the calibration data altogether: for data unlike those that the
    /// network was trained on.
    #[arg(long, help_heading = "Calibration", requires = "calibrate")]
    pub(crate) new_statistics: bool,
}

#[derive(Args)]
#[command(group(ArgGroup::new("size").required(true).args(["budget", "ratio", "bits"])))]
pub(crate) struct CompressArgs {
    /// A safetensors file, its index or folder, or a PyTorch file; read as data, no code in it runs.
    pub(crate) checkpoint: PathBuf,
    #[command(flatten)]
    pub(crate) budget: BudgetArgs,
    /// The recipe of the checkpoint's network, so that `fewbit eval` can evaluate the file.
    #[arg(long, value_name = "RECIPE", help_heading = "What becomes small", conflicts_with = "drop")]
    pub(crate) recipe: Option<String>,
    /// Keeps tensors whose name matches as floats; `*` and `?` stand for any characters; may be repeated.
    #[arg(long, value_name = "PATTERN", help_heading = "What becomes small")]
    pub(crate) exclude: Vec<String>,
    /// Leaves tensors whose name matches out of the file, such as an optimizer's; may be repeated.
    #[arg(long, value_name = "PATTERN", help_heading = "What becomes small")]
    pub(crate) drop: Vec<String>,
    /// What is least for the bytes where data do not tell.
    #[arg(long, value_enum, default_value = "relative", help_heading = "What becomes small")]
    pub(crate) objective: ObjectiveKind,
    #[command(flatten)]
    pub(crate) calibration: CalibrationArgs,
    /// The .fewbit file to write.
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub(crate) out: PathBuf,
    /// How the result is printed.
    #[arg(long, value_enum, default_value = "text", help_heading = "Output")]
    pub(crate) format: Format,
    /// Threads; all cores by default. The file does not depend on it.
    #[arg(long, value_name = "N", help_heading = "Machine", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) threads: Option<u16>,
}
