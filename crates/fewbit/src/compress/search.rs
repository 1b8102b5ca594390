//! The step by which a file is as large as it may be.
//!
//! Halving the step adds about a bit to each weight, so the bytes are nearly a straight line over the
//! step's logarithm: the secant through the last two files finds the next step, and what lies between a file
//! that is too large and one that is not bounds it.

use super::sample::sample_of;
use super::{CompressError, Compressed, Encoder, WeightSource};
use crate::ContainerWriter;

/// Files that are made at most.
const FILES: usize = 40;

/// A file that has this share of the budget is good enough.
const GOOD: f64 = 0.999;

/// A large file that has this share is: making another takes long.
const GOOD_IF_LARGE: f64 = 0.997;

/// By how much bits are dearer in files that the last bytes are spent with.
const TRADES: [f32; 8] = [1.01, 1.02, 1.04, 1.06, 1.1, 1.15, 1.2, 1.3];

/// More weights than this are many.
const LARGE: u64 = 1 << 23;

/// The file with the smallest step that has at most `budget` bytes.
pub(super) fn largest_within<S: WeightSource>(
    encoder: &mut Encoder<'_, S>,
    budget: u64,
) -> Result<Compressed, CompressError<S::Error>> {
    let smallest = encoder.file(f64::INFINITY, 1.0)?;
    if smallest.bytes > budget {
        let minimum = smallest.bytes;
        return Err(CompressError::BudgetTooSmall { budget, minimum });
    }
    let weights = encoder.weights();
    let good = if weights > LARGE { GOOD_IF_LARGE } else { GOOD };
    // A bit for each weight more, where the step is half as large.
    let slope = -(weights.max(1) as f64) / 8.0;
    let target = budget as f64 * (1.0 + good) / 2.0;
    let mut best = smallest;
    // The base 2 logarithms of a step whose file is too large, and of one whose file is not.
    let (mut low, mut high) = (None, None);
    // Of normally distributed weights with a mean square of 1, at as many bits each as there are.
    let bits = (target - best.bytes as f64).max(0.0) * 8.0 / weights.max(1) as f64;
    let mut at = 2.05 - bits;
    if weights > LARGE {
        at = step_of_sample(encoder, weights, target - best.bytes as f64)?.unwrap_or(at);
    }
    for _ in 0..FILES {
        let file = encoder.file(at.exp2(), 1.0)?;
        let bytes = file.bytes as f64;
        let is_within = file.bytes <= budget;
        if is_within {
            high = Some((at, bytes));
            let (is_largest, is_good) = (file.is_largest, bytes >= good * budget as f64);
            if file.bytes >= best.bytes {
                best = file;
            }
            if is_largest || is_good {
                return Ok(best);
            }
        } else {
            low = Some((at, bytes));
        }
        at = match (low, high) {
            (Some((left, more)), Some((right, fewer))) => {
                if right - left < 1e-9 {
                    break;
                }
                // The straight line between the two, kept away from both ends.
                let share = (more - target) / (more - fewer).max(1.0);
                left + (right - left) * share.clamp(0.05, 0.95)
            }
            // No further than two bits at once, and never less than a little.
            _ => {
                let shift = ((target - bytes) / slope).clamp(-2.0, 2.0);
                at + if is_within { shift.min(-1e-3) } else { shift.max(1e-3) }
            }
        };
    }
    // In a small file a step changes many bytes at once. Dearer bits change fewer.
    for trade in TRADES {
        let Some((at, _)) = low else { break };
        let file = encoder.file(at.exp2(), trade)?;
        if file.bytes <= budget && file.bytes > best.bytes {
            best = file;
        }
    }
    Ok(best)
}

/// The logarithm of the step with which a sample has its share of so many bytes; none of a sample that has
/// too few.
fn step_of_sample<S: WeightSource>(
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
