//! What can be typed, as types only.

mod benches;
mod budget;
mod compression;
mod files;
mod results;
mod training;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use benches::{Bench, BenchArgs, NoiseArgs, StepArgs, StepMethod, StepModel, StepPhase};
pub(crate) use budget::BudgetArgs;
pub(crate) use compression::{CalibrationKind, CompressArgs, ObjectiveKind};
pub(crate) use files::{EvalArgs, InspectArgs, Names, UnpackArgs, VerifyArgs};
pub(crate) use results::{ReportArgs, TableArgs, TableFormat};
pub(crate) use training::{PlanArgs, SmokeArgs, SweepArgs, TrainArgs};

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
    /// Says before any training how small a file can be and what the run will take.
    Plan(PlanArgs),
    /// Runs a few steps of recipes on noise, from the first to the file: whether they work, not what they reach.
    Smoke(SmokeArgs),
    /// Trains a run for every combination of settings, several at once, and prints the table of all.
    Sweep(SweepArgs),
    /// Prints the results of runs side by side, averaged over seeds.
    Table(TableArgs),
    /// Writes a page about runs: results, where the bytes go, how training went; needs no network.
    Report(ReportArgs),
    /// Makes a small file from a trained checkpoint, without training.
    Compress(CompressArgs),
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

impl DeviceKind {
    /// As it is typed.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Wgpu => "wgpu",
        }
    }
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
