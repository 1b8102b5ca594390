//! The scale by which a file is as large as it may be.

use super::sample::sample_of;
use super::{CompressError, Compressed, Encoder, WeightSource};
use crate::ContainerWriter;
use crate::search::{Place, Search, Trial};

/// A file that has this share of the budget is good enough.
const GOOD: f64 = 0.999;

/// A large file that has this share is: making another takes long.
const GOOD_IF_LARGE: f64 = 0.997;

/// More weights than this are many.
const LARGE: u64 = 1 << 23;

impl Trial for Compressed {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn is_largest(&self) -> bool {
        self.is_largest
    }
}

/// The file with the smallest scale that has at most `budget` bytes.
pub(super) fn largest_within<S: WeightSource>(
    encoder: &mut Encoder<'_, S>,
    budget: u64,
) -> Result<Compressed, CompressError<S::Error>> {
    let smallest = encoder.file(f64::INFINITY, 1.0)?;
    let minimum = smallest.bytes;
    if minimum > budget {
        return Err(CompressError::BudgetTooSmall { budget, minimum });
    }
    let weights = encoder.weights();
    let good = if weights > LARGE { GOOD_IF_LARGE } else { GOOD };
    let left = budget as f64 * (1.0 + good) / 2.0 - minimum as f64;
    // Of normally distributed weights with a mean square of 1, at as many bits each as there are.
    let mut first = 2.05 - left.max(0.0) * 8.0 / weights.max(1) as f64;
    if weights > LARGE {
        first = scale_of_sample(encoder, weights, left)?.unwrap_or(first);
    }
    let ends = (f64::NEG_INFINITY, f64::INFINITY);
    let search = Search { budget, good, weights, first, ends };
    let found = search.run(|Place { at, dearer }| encoder.file(at.exp2(), 1.0 + dearer))?;
    Ok(match found {
        Some((found, _)) if found.bytes >= minimum => found,
        _ => smallest,
    })
}

/// The logarithm of the step with which a sample has its share of so many bytes; none of a sample that has
/// too few.
fn scale_of_sample<S: WeightSource>(
    encoder: &mut Encoder<'_, S>,
    weights: u64,
    bytes: f64,
) -> Result<Option<f64>, CompressError<S::Error>> {
    let sample = sample_of(encoder.source, weights, &mut encoder.values);
    let mut sample = sample.map_err(CompressError::Source)?;
    let head = ContainerWriter::new();
    let mut encoder = Encoder::new(&mut sample, &head, encoder.options);
    // A sample that cannot be made into a file says nothing; the whole will say what is wrong.
    let Ok(smallest) = encoder.file(f64::INFINITY, 1.0) else { return Ok(None) };
    let share = encoder.weights() as f64 / weights as f64;
    let budget = smallest.bytes + (share * bytes).max(0.0) as u64;
    Ok(largest_within(&mut encoder, budget).ok().map(|found| found.step.log2()).filter(|at| at.is_finite()))
}
