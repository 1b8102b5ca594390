//! The command that times training on this machine.

use clap::{Args, Subcommand, ValueEnum};

use super::{Format, MachineArgs};

#[derive(Args)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) what: Bench,
}

#[derive(Subcommand)]
pub(crate) enum Bench {
    /// Noise, its backward pass and the size penalty over 8.4 M weights.
    Noise(NoiseArgs),
    /// One training step of a residual network or a byte-level transformer.
    Step(StepArgs),
}

/// A network whose step is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StepModel {
    /// ResNet-20 on 128 images of 32×32, SGD with momentum.
    Resnet,
    /// A transformer of 6 layers and width 256 on 16 sequences of 128 bytes, Adam.
    Lm,
}

/// How the network of a step is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StepMethod {
    /// Float weights.
    Float,
    /// DiffQ in groups of 8, with its size penalty.
    Diffq,
    /// fewbit's own method, with its size penalty.
    Fewbit,
    /// LSQ at 4 bits.
    Lsq,
}

/// What weights are in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StepPhase {
    /// Under noise.
    Noise,
    /// Rounded.
    Rounding,
}

#[derive(Args)]
pub(crate) struct StepArgs {
    /// The network.
    #[arg(long, value_enum)]
    pub(crate) model: StepModel,
    /// How it is trained.
    #[arg(long, value_enum, default_value = "diffq")]
    pub(crate) method: StepMethod,
    /// Whether weights get noise or are rounded.
    #[arg(long, value_enum, default_value = "noise")]
    pub(crate) phase: StepPhase,
    /// Times evaluation without gradients instead.
    #[arg(long)]
    pub(crate) forward: bool,
    /// Steps to take the median of, after 2 that do not count.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) steps: u32,
    /// How the result is printed.
    #[arg(long, value_enum, default_value = "text", help_heading = "Output")]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}

#[derive(Args)]
pub(crate) struct NoiseArgs {
    /// Runs to take the median of.
    #[arg(long, default_value_t = 21, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
    /// Threads; all cores by default.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) threads: Option<u16>,
    /// How the result is printed.
    #[arg(long, value_enum, default_value = "text", help_heading = "Output")]
    pub(crate) format: Format,
}
