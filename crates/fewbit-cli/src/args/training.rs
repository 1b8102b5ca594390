//! The commands that train, and those that say beforehand what training will be.

use std::path::PathBuf;

use clap::Args;

use super::{BudgetArgs, DeviceKind, Format, MachineArgs};

#[derive(Args)]
pub(crate) struct SmokeArgs {
    /// Built-in names or TOML files; all built-in ones where none is given. Of a recipe with a twin, the twin runs.
    pub(crate) recipes: Vec<String>,
    /// Steps, half of them quantized.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    pub(crate) steps: u32,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}

#[derive(Args)]
pub(crate) struct TrainArgs {
    /// A built-in recipe or the path of a TOML file.
    #[arg(default_value = "quick-start")]
    pub(crate) recipe: String,
    /// The data set's folder or file; the quick start needs none.
    #[arg(long, value_name = "PATH", help_heading = "Training")]
    pub(crate) data: Option<PathBuf>,
    /// Downloads the data set into the cache folder, where it is not there yet, and reads it from there.
    #[arg(long, help_heading = "Training", conflicts_with = "data")]
    pub(crate) download: bool,
    /// A trained checkpoint to start from: safetensors or PyTorch, read as data.
    #[arg(long, value_name = "CHECKPOINT", help_heading = "Training", conflicts_with = "resume")]
    pub(crate) from: Option<PathBuf>,
    /// A .fewbit file of a trained network to learn from, of the same task and any size; its share is
    /// `training.distillation`.
    #[arg(long, value_name = "FILE", help_heading = "Training", conflicts_with = "resume")]
    pub(crate) teacher: Option<PathBuf>,
    /// Decides the first weights, the order of records and the noise.
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub(crate) seed: Option<u64>,
    /// Overrides a field of the recipe, as in `training.batch_size=64`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", help_heading = "Training")]
    pub(crate) overrides: Vec<String>,
    #[command(flatten)]
    pub(crate) budget: BudgetArgs,
    /// Goes on with an interrupted run.
    #[arg(long, value_name = "RUN", help_heading = "Training", conflicts_with_all = ["recipe", "from", "out"])]
    pub(crate) resume: Option<PathBuf>,
    /// Goes on though recipe, data or this program have changed since; what comes of it is neither run's.
    #[arg(long, help_heading = "Training", requires = "resume")]
    pub(crate) force: bool,
    /// Writes a page about the run into its folder at the end: report.html.
    #[arg(long, help_heading = "Output")]
    pub(crate) report: bool,
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
pub(crate) struct PlanArgs {
    /// A built-in recipe or the path of a TOML file.
    #[arg(default_value = "quick-start")]
    pub(crate) recipe: String,
    /// A trained checkpoint to start from: safetensors or PyTorch, read as data.
    #[arg(long, value_name = "CHECKPOINT")]
    pub(crate) from: Option<PathBuf>,
    /// A .fewbit file of a trained network to learn from.
    #[arg(long, value_name = "FILE")]
    pub(crate) teacher: Option<PathBuf>,
    /// Overrides a field of the recipe, as in `training.batch_size=64`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    #[command(flatten)]
    pub(crate) budget: BudgetArgs,
    /// Steps of each phase that are timed; 0 for none.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u64).range(..=1000))]
    pub(crate) steps: u64,
    /// How the plan is printed.
    #[arg(long, value_enum, default_value = "text", help_heading = "Output")]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}

#[derive(Args)]
pub(crate) struct SweepArgs {
    /// A built-in recipe or the path of a TOML file.
    pub(crate) recipe: String,
    /// A field of the recipe and the values that it takes in turn, as in `seed=0,1,2`; may be repeated, for all combinations.
    #[arg(long, value_name = "KEY=VALUE,VALUE", help_heading = "Training", required = true)]
    pub(crate) over: Vec<String>,
    /// Overrides a field of the recipe in every run; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", help_heading = "Training")]
    pub(crate) overrides: Vec<String>,
    /// The data set's folder or file; the quick start needs none.
    #[arg(long, value_name = "PATH", help_heading = "Training")]
    pub(crate) data: Option<PathBuf>,
    /// Downloads the data set into the cache folder, where it is not there yet, and reads it from there.
    #[arg(long, help_heading = "Training", conflicts_with = "data")]
    pub(crate) download: bool,
    /// A trained checkpoint that every run starts from.
    #[arg(long, value_name = "CHECKPOINT", help_heading = "Training")]
    pub(crate) from: Option<PathBuf>,
    /// A .fewbit file of a trained network that every run learns from, of the same task and any size; its share is
    /// `training.distillation`.
    #[arg(long, value_name = "FILE", help_heading = "Training")]
    pub(crate) teacher: Option<PathBuf>,
    /// The folder of the run folders; runs that are finished in it stay, others go on.
    #[arg(long, value_name = "FOLDER", help_heading = "Output")]
    pub(crate) out: PathBuf,
    /// Lists the runs and the hours that they will take, and trains none.
    #[arg(long, help_heading = "Output")]
    pub(crate) dry_run: bool,
    /// How the table at the end is printed.
    #[arg(long, value_enum, default_value = "text", help_heading = "Output")]
    pub(crate) format: Format,
    /// Runs at once.
    #[arg(long, default_value_t = 1, value_name = "N", help_heading = "Machine", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: u16,
    /// Threads of each run on the CPU; by default its share of the cores. Results do not depend on it.
    #[arg(long, value_name = "N", help_heading = "Machine", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) threads: Option<u16>,
    /// Where the networks run.
    #[arg(long, value_enum, default_value = "cpu", help_heading = "Machine")]
    pub(crate) device: DeviceKind,
}
