//! What can be typed, as types only.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Trains neural networks for a small file and works with such files.
#[derive(Parser)]
#[command(name = "fewbit", version, about, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Trains a network, learns its bit widths and leaves one small file.
    Train(TrainArgs),
    /// Prints the task's metric of a .fewbit file.
    Eval(EvalArgs),
    /// Shows what is in a .fewbit file and where its bytes go.
    Inspect(InspectArgs),
    /// Checks a .fewbit file: exit code 0 sound, 1 faulty, 2 could not be read.
    Verify(VerifyArgs),
    /// Writes the weights of a .fewbit file to a safetensors file.
    Unpack(UnpackArgs),
    /// Times the work of training on this machine.
    Bench(BenchArgs),
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// Where the network runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceKind {
    /// All cores of this machine.
    Cpu,
    /// An NVIDIA GPU; needs a build with `--features cuda`.
    Cuda,
    /// Any GPU that Vulkan, Metal or DirectX reach; needs a build with `--features wgpu`.
    Wgpu,
}

#[derive(Args)]
pub(crate) struct MachineArgs {
    /// Where the network runs.
    #[arg(long, value_enum, default_value = "cpu", help_heading = "Machine")]
    pub(crate) device: DeviceKind,
    /// Threads on the CPU; all cores by default. Results do not depend on it.
    #[arg(long, value_name = "N", help_heading = "Machine", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) threads: Option<u16>,
}

#[derive(Args)]
pub(crate) struct TrainArgs {
    /// A built-in recipe or the path of a TOML file.
    #[arg(default_value = "quick-start")]
    pub(crate) recipe: String,
    /// The data set's folder or file; the quick start needs none.
    #[arg(long, value_name = "PATH", help_heading = "Training")]
    pub(crate) data: Option<PathBuf>,
    /// Decides the first weights, the order of records and the noise.
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub(crate) seed: Option<u64>,
    /// Overrides a field of the recipe, as in `training.batch_size=64`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", help_heading = "Training")]
    pub(crate) overrides: Vec<String>,
    /// Goes on with an interrupted run.
    #[arg(long, value_name = "RUN", help_heading = "Training", conflicts_with_all = ["recipe", "seed", "overrides", "out"])]
    pub(crate) resume: Option<PathBuf>,
    /// The run folder to make; runs/RECIPE by default.
    #[arg(long, value_name = "FOLDER", help_heading = "Output")]
    pub(crate) out: Option<PathBuf>,
    /// How the table at the end is printed.
    #[arg(long, value_enum, default_value = "text", help_heading = "Output")]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}

#[derive(Args)]
pub(crate) struct EvalArgs {
    /// The .fewbit file.
    pub(crate) file: PathBuf,
    /// The data set's folder or file; `glyphs` needs none.
    #[arg(long, value_name = "PATH")]
    pub(crate) data: Option<PathBuf>,
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
}

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
    /// Pseudo quantization noise in groups of 8, with a size penalty.
    Diffq,
}

#[derive(Args)]
pub(crate) struct StepArgs {
    /// The network.
    #[arg(long, value_enum)]
    pub(crate) model: StepModel,
    /// How it is trained.
    #[arg(long, value_enum, default_value = "diffq")]
    pub(crate) method: StepMethod,
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
