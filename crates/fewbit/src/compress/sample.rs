//! Some of the weights of a large source, to look for a step in no time.

use super::{MemorySource, Treatment, WeightSource};

/// Weights of a sample, about.
const WEIGHTS: u64 = 1 << 22;

/// Weights of a channel at most.
const LONGEST: usize = 1 << 12;

/// Some output channels of each quantized tensor, spread evenly; the source has so many quantized weights.
/// `all` is room for a tensor.
pub(super) fn sample_of<S: WeightSource>(
    source: &mut S,
    weights: u64,
    all: &mut Vec<f32>,
) -> Result<MemorySource, S::Error> {
    let every = weights.div_ceil(WEIGHTS).max(1) as usize;
    let mut sample = MemorySource::default();
    for place in 0..source.tensors().len() {
        if source.tensors()[place].treatment != Treatment::Quantized {
            continue;
        }
        source.read(place, all)?;
        let mut tensor = source.tensors()[place].clone();
        let channels = tensor.shape.first().copied().unwrap_or(1).max(1);
        // A part of a channel where it is so large that few of them are all.
        let channel = (all.len() / channels).clamp(1, LONGEST);
        let values: Vec<f32> = all.chunks_exact(channel).step_by(every).flatten().copied().collect();
        tensor.shape = vec![values.len() / channel, channel];
        sample.push(tensor, values);
    }
    Ok(sample)
}
