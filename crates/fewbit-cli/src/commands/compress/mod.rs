//! `fewbit compress`: a trained checkpoint to a file of at most so many bytes.

mod calibrated;
mod checkpoint_source;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

use fewbit::compress::{
    CompressError, CompressOptions, Compressed, MemorySource, Objective, Sensitivity, SourceTensor,
    Treatment, WeightSource, compress,
};
use fewbit::{ContainerWriter, FloatEncoding, Selection};
use fewbit::{StoredModel, StoredTensor};
use fewbit_checkpoint::Checkpoint;
use fewbit_zoo::recipe::{self, Recipe};
use serde::Serialize;

use self::checkpoint_source::CheckpointSource;
use super::{checkpoint_failure, use_threads};
use crate::Verdict;
use crate::args::{CompressArgs, Format, ObjectiveKind};
use crate::failure::{Failure, say};
use crate::report::{grouped, print_json};

#[derive(Serialize)]
struct Report {
    file: String,
    bytes: u64,
    budget: u64,
    values: u64,
    float_bytes: u64,
    ratio: f64,
    quantized_weights: u64,
    mean_squared_error: f64,
    seconds: f64,
}

impl Report {
    fn of(made: &Made, out: &Path, start: Instant) -> Self {
        let (found, values) = (&made.found, made.values);
        Self {
            file: out.display().to_string(),
            bytes: found.bytes,
            budget: made.budget,
            values,
            float_bytes: 4 * values,
            ratio: 4.0 * values as f64 / found.bytes as f64,
            quantized_weights: found.weights,
            mean_squared_error: found.squared_error / found.weights.max(1) as f64,
            seconds: start.elapsed().as_secs_f64(),
        }
    }

    /// For people.
    fn print(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "file                {}", self.file)?;
        writeln!(out, "bytes               {} of {}", grouped(self.bytes), grouped(self.budget))?;
        writeln!(out, "float32             {} ({:.1} times more)", grouped(self.float_bytes), self.ratio)?;
        let (quantized, values) = (grouped(self.quantized_weights), grouped(self.values));
        writeln!(out, "weights quantized   {quantized} of {values}")?;
        writeln!(out, "mean squared error  {:.3e}", self.mean_squared_error)?;
        writeln!(out, "seconds             {:.1}", self.seconds)
    }
}

pub(crate) fn run(args: CompressArgs) -> Result<Verdict, Failure> {
    use_threads(args.threads)?;
    let start = Instant::now();
    let checkpoint = Checkpoint::open(&args.checkpoint).map_err(checkpoint_failure)?;
    refuse_to_overwrite(&checkpoint, &args.out)?;
    let made = match &args.recipe {
        Some(name) => {
            let recipe = recipe::resolve(name, &[])?;
            let weights = fewbit_zoo::import(&checkpoint).map_err(checkpoint_failure)?;
            let network = fewbit_zoo::as_float_network_of(&recipe, &weights)
                .map_err(|error| Failure::from(error).about(&args.checkpoint))?;
            match &args.calibration.calibrate {
                Some(data) => calibrated::make(&recipe, network, data.as_deref(), &args)?,
                None => {
                    let network = fewbit_zoo::as_file_of(&recipe, network);
                    of_network(network, &recipe, &BTreeMap::new(), &args, 0)?
                }
            }
        }
        None => {
            let mut head = ContainerWriter::new();
            head.metadata("creator", concat!("fewbit ", env!("CARGO_PKG_VERSION")))?;
            let source = CheckpointSource::new(&checkpoint, &args)?;
            made(source, &head, FloatEncoding::Float16, &args, 0, checkpoint_failure)?
        }
    };
    made.found.writer.write_file(&args.out)?;
    if made.found.is_largest {
        say(format_args!("no weight needs more than 8 bits: the rest of the budget is not used"));
    }
    let report = Report::of(&made, &args.out, start);
    match args.format {
        Format::Json => print_json(&report)?,
        Format::Text => report.print()?,
    }
    Ok(Verdict::Done)
}

/// A failure if the output is one of the files that are compressed.
fn refuse_to_overwrite(checkpoint: &Checkpoint, out: &Path) -> Result<(), Failure> {
    let Ok(out_file) = out.canonicalize() else { return Ok(()) };
    let read = checkpoint.files().chain([checkpoint.path()]);
    if read.filter_map(|path| path.canonicalize().ok()).any(|path| path == out_file) {
        let out = out.display();
        return Err(Failure::new(format!("`{out}` is part of the checkpoint, another output needed")));
    }
    Ok(())
}

/// A file and what it was to be.
struct Made {
    found: Compressed,
    budget: u64,
    /// Values of all tensors, those that are kept byte for byte not among them.
    values: u64,
}

/// The file of a network in the form that files have it; so many bytes of the budget are not to be used.
fn of_network(
    network: StoredModel,
    recipe: &Recipe,
    sensitivities: &BTreeMap<String, Sensitivity>,
    args: &CompressArgs,
    spare: u64,
) -> Result<Made, Failure> {
    let mut head = ContainerWriter::new();
    for (key, value) in &network.metadata {
        head.metadata(key, value)?;
    }
    let mut selection = recipe.quantization_config().selection;
    selection.exclude.extend(args.exclude.iter().cloned());
    let source = network_source(network, sensitivities, &selection);
    let floats = recipe.train_config().storage.encoding;
    made(source, &head, floats, args, spare, |error| match error {})
}

/// Makes the file.
fn made<S: WeightSource>(
    mut source: S,
    head: &ContainerWriter,
    floats: FloatEncoding,
    args: &CompressArgs,
    spare: u64,
    source_failure: impl Fn(S::Error) -> Failure,
) -> Result<Made, Failure> {
    let has_values = |treatment| matches!(treatment, Treatment::Quantized | Treatment::Float);
    let stored = source.tensors().iter().filter(|tensor| has_values(tensor.treatment));
    let values = stored.map(|tensor| tensor.shape.iter().product::<usize>() as u64).sum();
    let budget = args.budget.bytes(values);
    let objective = match args.objective {
        ObjectiveKind::Relative => Objective::Relative,
        ObjectiveKind::Squared => Objective::Squared,
    };
    let options = CompressOptions::new(budget.saturating_sub(spare));
    let options = options.with_objective(objective).with_floats(floats);
    let found = compress(&mut source, head, &options).map_err(|error| match error {
        CompressError::Source(error) => source_failure(error),
        CompressError::BudgetTooSmall { minimum, .. } => {
            let ratio = 4.0 * values as f64 / minimum as f64;
            let hint =
                format!("the smallest budget is {minimum} bytes, {ratio:.1} times smaller than float32");
            Failure::from(error).hint(hint)
        }
        error => error.into(),
    })?;
    Ok(Made { found, budget, values })
}

/// The float tensors of a network, under the names of its files.
fn network_source(
    network: StoredModel,
    sensitivities: &BTreeMap<String, Sensitivity>,
    selection: &Selection,
) -> MemorySource {
    let mut source = MemorySource::default();
    for (name, tensor) in network.tensors {
        if let StoredTensor::Float { shape, values, .. } = tensor {
            let treatment = treatment(&name, &shape, selection);
            let place = source.tensors().len();
            if let (Treatment::Quantized, Some(known)) = (treatment, sensitivities.get(&name)) {
                source.set_sensitivity(place, known.clone());
            }
            source.push(SourceTensor { name, shape, treatment }, values);
        }
    }
    source
}

/// What becomes of a tensor that is no other's second name.
fn treatment(name: &str, shape: &[usize], selection: &Selection) -> Treatment {
    if selection.chooses(name, shape) { Treatment::Quantized } else { Treatment::Float }
}
