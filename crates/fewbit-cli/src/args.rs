//! What can be typed, as types only.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};

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

/// How a table of runs is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TableFormat {
    /// Aligned columns.
    Text,
    /// For a document.
    Markdown,
    /// For a spreadsheet, numbers in full.
    Csv,
    /// One JSON object with every run and every group, numbers in full.
    Json,
}

#[derive(Args)]
pub(crate) struct ReportArgs {
    /// Run folders, or folders that hold them, as of a sweep.
    #[arg(value_name = "RUN", required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// The page to write; report.html in the folder by default, or here for several.
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub(crate) out: Option<PathBuf>,
    /// Writes the plot of metric against bytes of each recipe into this folder, too: RECIPE.svg.
    #[arg(long, value_name = "FOLDER", help_heading = "Output")]
    pub(crate) figures: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct TableArgs {
    /// Run folders, or folders that hold them, as of a sweep.
    #[arg(value_name = "RUN", required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// The fields that runs are told apart by, averaging over all others; by default all but the seed.
    #[arg(long, value_name = "KEY,KEY", value_delimiter = ',')]
    pub(crate) by: Option<Vec<String>>,
    /// How the table is printed.
    #[arg(long, value_enum, default_value = "text", help_heading = "Output")]
    pub(crate) format: TableFormat,
}

/// How large a file may be; every way of saying it means bytes on disk, everything included.
#[derive(Args)]
#[group(multiple = false)]
pub(crate) struct BudgetArgs {
    /// Bytes of the file, as in `64KiB`, `1.5MB` or `4096`.
    #[arg(long, value_name = "SIZE", help_heading = "Budget", value_parser = parse_bytes)]
    pub(crate) budget: Option<u64>,
    /// How many times smaller than float32 values.
    #[arg(long, value_name = "N", help_heading = "Budget", value_parser = above_zero)]
    pub(crate) ratio: Option<f64>,
    /// Bits of the file for each value.
    #[arg(long, value_name = "N", help_heading = "Budget", value_parser = above_zero)]
    pub(crate) bits: Option<f64>,
}

impl BudgetArgs {
    /// The key and value of a recipe that say the same.
    pub(crate) fn setting(&self) -> Option<(String, String)> {
        let ways = [
            ("budget.bytes", self.budget.map(|bytes| bytes.to_string())),
            ("budget.ratio", self.ratio.map(|ratio| format!("{ratio:?}"))),
            ("budget.bits", self.bits.map(|bits| format!("{bits:?}"))),
        ];
        ways.into_iter().find_map(|(key, value)| Some((key.to_owned(), value?)))
    }

    /// The bytes that a file with so many values may have.
    pub(crate) fn bytes(&self, values: u64) -> u64 {
        let bits = self.bits.or_else(|| self.ratio.map(|ratio| 32.0 / ratio));
        // A fraction of a byte is not there.
        self.budget.unwrap_or_else(|| bits.map_or(0, |bits| (values as f64 * bits / 8.0) as u64))
    }
}

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

/// Bytes, with or without a unit.
fn parse_bytes(text: &str) -> Result<u64, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[number.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kib" => 1024.0,
        "kb" => 1e3,
        "mib" => 1_048_576.0,
        "mb" => 1e6,
        "gib" => 1_073_741_824.0,
        "gb" => 1e9,
        unit => return Err(format!("unknown unit `{unit}`; B, KiB, kB, MiB, MB, GiB or GB is needed")),
    };
    let bytes = number.trim().parse::<f64>().ok().map(|number| number * unit);
    bytes
        .filter(|bytes| *bytes >= 1.0 && *bytes < 2f64.powi(53))
        .map(|bytes| bytes as u64)
        .ok_or_else(|| "a number of bytes above 0 is needed, as in `64KiB`".to_owned())
}

fn above_zero(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| *number > 0.0 && number.is_finite());
    number.ok_or_else(|| "a number above 0 is needed".to_owned())
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_with_their_unit() {
        assert_eq!(parse_bytes("4096"), Ok(4096));
        assert_eq!(
            ["64KiB", "64kib", "1.5MB", "2 GiB"].map(|text| parse_bytes(text).unwrap()),
            [65_536, 65_536, 1_500_000, 1 << 31]
        );
        for wrong in ["", "KiB", "-3", "0", "NaN", "inf", "1e99", "3x", "1 0"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_way_to_say_a_budget_means_bytes() {
        let budget = |budget, ratio, bits| BudgetArgs { budget, ratio, bits };
        assert_eq!(budget(Some(7), None, None).bytes(1000), 7);
        assert_eq!(budget(None, Some(16.0), None).bytes(1000), 250);
        assert_eq!(budget(None, None, Some(3.2)).bytes(1000), 400);
    }
}
