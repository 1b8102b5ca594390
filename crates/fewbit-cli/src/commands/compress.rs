//! `fewbit compress`: a trained checkpoint to a file of at most so many bytes.

use std::time::Instant;

use fewbit::compress::{
    CompressError, CompressOptions, Objective, SourceTensor, Treatment, WeightSource, compress,
};
use fewbit::{CodeEncoding, ContainerWriter, FloatEncoding, pattern};
use fewbit_checkpoint::{Checkpoint, CheckpointError};
use serde::Serialize;

use super::use_threads;
use crate::Verdict;
use crate::args::{CompressArgs, Format, ObjectiveKind};
use crate::failure::{Failure, say};
use crate::report::{grouped, print_json};

/// Tensors of fewer values than this stay floats: what they would save is less than what they cost.
const FEWEST_WEIGHTS: usize = 256;

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

pub(crate) fn run(args: CompressArgs) -> Result<Verdict, Failure> {
    use_threads(args.threads)?;
    let start = Instant::now();
    let checkpoint = Checkpoint::open(&args.checkpoint).map_err(checkpoint_failure)?;
    let mut source = Source::new(&checkpoint, &args)?;
    let values = source.values();
    let budget = args.budget.bytes(values);
    let mut head = ContainerWriter::new();
    head.metadata("creator", concat!("fewbit ", env!("CARGO_PKG_VERSION")))?;
    let options = CompressOptions {
        budget,
        objective: match args.objective {
            ObjectiveKind::Relative => Objective::Relative,
            ObjectiveKind::Squared => Objective::Squared,
        },
        floats: FloatEncoding::Float16,
        encoding: CodeEncoding::Smaller,
    };
    let found = compress(&mut source, &head, &options).map_err(|error| match error {
        CompressError::Source(error) => checkpoint_failure(error),
        CompressError::BudgetTooSmall { minimum, .. } => {
            let ratio = 4.0 * values as f64 / minimum as f64;
            let hint =
                format!("the smallest budget is {minimum} bytes, {ratio:.1} times smaller than float32");
            Failure::from(error).hint(hint)
        }
        error => error.into(),
    })?;
    found.writer.write_file(&args.out)?;
    if found.is_largest {
        say(format_args!("no weight needs more than 8 bits: the rest of the budget is not used"));
    }
    let report = Report {
        file: args.out.display().to_string(),
        bytes: found.bytes,
        budget,
        values,
        float_bytes: 4 * values,
        ratio: 4.0 * values as f64 / found.bytes as f64,
        quantized_weights: found.weights,
        mean_squared_error: found.squared_error / found.weights.max(1) as f64,
        seconds: start.elapsed().as_secs_f64(),
    };
    match args.format {
        Format::Json => print_json(&report)?,
        Format::Text => {
            println!("file                {}", report.file);
            println!("bytes               {} of {}", grouped(report.bytes), grouped(budget));
            println!("float32             {} ({:.1} times more)", grouped(report.float_bytes), report.ratio);
            println!("weights quantized   {} of {}", grouped(report.quantized_weights), grouped(values));
            println!("mean squared error  {:.3e}", report.mean_squared_error);
            println!("seconds             {:.1}", report.seconds);
        }
    }
    Ok(Verdict::Done)
}

fn checkpoint_failure(error: CheckpointError) -> Failure {
    let hint = error.hint();
    let failure = Failure::from(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// The tensors of a checkpoint that go in the file.
struct Source<'c> {
    checkpoint: &'c Checkpoint,
    /// The name of each in the checkpoint.
    names: Vec<&'c str>,
    tensors: Vec<SourceTensor>,
}

impl<'c> Source<'c> {
    fn new(checkpoint: &'c Checkpoint, args: &CompressArgs) -> Result<Self, Failure> {
        for pattern in args.exclude.iter().chain(&args.drop) {
            let mut names = checkpoint.tensors().iter().map(|info| info.name());
            if !names.any(|name| pattern::matches(pattern, name)) {
                let message = format!("pattern `{pattern}` matches none of the checkpoint's tensors");
                return Err(
                    Failure::new(message).hint("names are those of the checkpoint, wrappers included")
                );
            }
        }
        let stripped = checkpoint.stripped_names().map_err(checkpoint_failure)?;
        let aliases = checkpoint.aliases();
        let mut source = Self { checkpoint, names: Vec::new(), tensors: Vec::new() };
        let mut places = Vec::with_capacity(aliases.len());
        for ((info, name), alias) in checkpoint.tensors().iter().zip(stripped).zip(aliases) {
            let place = source.tensors.len();
            if !pattern::selects(&[], &args.drop, info.name()) {
                places.push(None);
                continue;
            }
            places.push(Some(place));
            if !info.dtype().is_float() {
                let (name, dtype) = (info.name(), info.dtype());
                let message = format!("tensor `{name}` is of {dtype}; a .fewbit file holds floats");
                return Err(Failure::new(message).hint(format!("leave it out with `--drop '{name}'`")));
            }
            let small = info.shape().len() < 2 || info.elements() < FEWEST_WEIGHTS as u64;
            let excluded = !pattern::selects(&[], &args.exclude, info.name());
            // One that is left out cannot stand for another.
            let treatment = match alias.and_then(|target| places[target]) {
                Some(target) => Treatment::Alias(target),
                None if small || excluded => Treatment::Float,
                None => Treatment::Quantized,
            };
            source.names.push(info.name());
            source.tensors.push(SourceTensor {
                name: name.to_owned(),
                shape: info.shape().to_vec(),
                treatment,
            });
        }
        Ok(source)
    }

    fn values(&self) -> u64 {
        let stored = self.tensors.iter().filter(|tensor| !matches!(tensor.treatment, Treatment::Alias(_)));
        stored.map(|tensor| tensor.shape.iter().product::<usize>() as u64).sum()
    }
}

impl WeightSource for Source<'_> {
    type Error = CheckpointError;

    fn tensors(&self) -> &[SourceTensor] {
        &self.tensors
    }

    fn read(&mut self, place: usize, values: &mut Vec<f32>) -> Result<(), CheckpointError> {
        self.checkpoint.read_f32(self.names[place], values)
    }
}
