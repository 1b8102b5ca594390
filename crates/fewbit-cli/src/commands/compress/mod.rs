//! `fewbit compress`: a trained checkpoint to a file of at most so many bytes.

mod checkpoint_source;
mod network_source;

use std::time::Instant;

use fewbit::compress::{CompressError, CompressOptions, Objective, Treatment, WeightSource, compress};
use fewbit::{CodeEncoding, ContainerWriter, FloatEncoding, pattern};
use fewbit_checkpoint::Checkpoint;
use fewbit_zoo::recipe;
use serde::Serialize;

use self::checkpoint_source::CheckpointSource;
use self::network_source::NetworkSource;
use super::{checkpoint_failure, use_threads};
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
    let mut head = ContainerWriter::new();
    let report = match &args.recipe {
        Some(name) => {
            let recipe = recipe::resolve(name, &[])?;
            let weights = fewbit_zoo::import(&args.checkpoint).map_err(checkpoint_failure)?;
            let network = fewbit_zoo::as_network_of(&recipe, &weights)
                .map_err(|error| Failure::from(error).about(&args.checkpoint))?;
            for (key, value) in &network.metadata {
                head.metadata(key, value)?;
            }
            let floats = recipe.train_config().storage.encoding;
            finish(NetworkSource::new(&network, &args), &head, floats, &args, start, |error| match error {})?
        }
        None => {
            head.metadata("creator", concat!("fewbit ", env!("CARGO_PKG_VERSION")))?;
            let checkpoint = Checkpoint::open(&args.checkpoint).map_err(checkpoint_failure)?;
            let source = CheckpointSource::new(&checkpoint, &args)?;
            finish(source, &head, FloatEncoding::Float16, &args, start, checkpoint_failure)?
        }
    };
    match args.format {
        Format::Json => print_json(&report)?,
        Format::Text => {
            println!("file                {}", report.file);
            println!("bytes               {} of {}", grouped(report.bytes), grouped(report.budget));
            println!("float32             {} ({:.1} times more)", grouped(report.float_bytes), report.ratio);
            println!(
                "weights quantized   {} of {}",
                grouped(report.quantized_weights),
                grouped(report.values)
            );
            println!("mean squared error  {:.3e}", report.mean_squared_error);
            println!("seconds             {:.1}", report.seconds);
        }
    }
    Ok(Verdict::Done)
}

/// Makes and writes the file.
fn finish<S: WeightSource>(
    mut source: S,
    head: &ContainerWriter,
    floats: FloatEncoding,
    args: &CompressArgs,
    start: Instant,
    source_failure: impl Fn(S::Error) -> Failure,
) -> Result<Report, Failure> {
    let stored = source.tensors().iter().filter(|tensor| !matches!(tensor.treatment, Treatment::Alias(_)));
    let values = stored.map(|tensor| tensor.shape.iter().product::<usize>() as u64).sum();
    let budget = args.budget.bytes(values);
    let options = CompressOptions {
        budget,
        objective: match args.objective {
            ObjectiveKind::Relative => Objective::Relative,
            ObjectiveKind::Squared => Objective::Squared,
        },
        floats,
        encoding: CodeEncoding::Smaller,
    };
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
    found.writer.write_file(&args.out)?;
    if found.is_largest {
        say(format_args!("no weight needs more than 8 bits: the rest of the budget is not used"));
    }
    Ok(Report {
        file: args.out.display().to_string(),
        bytes: found.bytes,
        budget,
        values,
        float_bytes: 4 * values,
        ratio: 4.0 * values as f64 / found.bytes as f64,
        quantized_weights: found.weights,
        mean_squared_error: found.squared_error / found.weights.max(1) as f64,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// What becomes of a tensor that is no other's second name.
fn treatment(name: &str, shape: &[usize], exclude: &[String]) -> Treatment {
    let small = shape.len() < 2 || shape.iter().product::<usize>() < FEWEST_WEIGHTS;
    if small || !pattern::selects(&[], exclude, name) { Treatment::Float } else { Treatment::Quantized }
}
