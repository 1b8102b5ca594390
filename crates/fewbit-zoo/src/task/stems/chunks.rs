//! A track through a network that could not take it at once.

use burn::tensor::{Device, Tensor, TensorData};

use crate::data::stems::SOURCES;
use crate::models::Separator;
use crate::task::numbers;

/// The part of a chunk that it has in common with the next.
const OVERLAP: usize = 4;

/// The sources `[sources, channels, time]` of a mixture `[channels, time]`.
///
/// The network hears `length` samples at once, the last quarter of them again in the next chunk: there the estimates are
/// blended, the weight of each growing from its end. The last chunk ends with silence; a mixture shorter than a chunk is
/// one of its own length.
///
/// # Panics
/// If there are no channels, or the network does not give [`SOURCES`].
pub(super) fn separate_in_chunks<M: Separator>(
    model: &M,
    mixture: &[f32],
    channels: usize,
    length: usize,
    device: &Device,
) -> Vec<f32> {
    let frames = mixture.len() / channels;
    let length = length.clamp(1, frames.max(1));
    let overlap = length / OVERLAP;
    let ramp: Vec<f32> = (0..length).map(|at| (at + 1).min(length - at).min(overlap + 1) as f32).collect();
    let mut sum = vec![0.0f32; SOURCES.len() * mixture.len()];
    let mut weights = vec![0.0f32; frames];
    let mut start = 0;
    while start < frames {
        let end = frames.min(start + length);
        let mut chunk = vec![0.0f32; channels * length];
        for (chunk, mixture) in chunk.chunks_exact_mut(length).zip(mixture.chunks_exact(frames)) {
            chunk[..end - start].copy_from_slice(&mixture[start..end]);
        }
        let chunk = Tensor::from_data(TensorData::new(chunk, [1, channels, length]), device);
        let estimate = model.separate(chunk);
        assert_eq!(estimate.dims(), [1, SOURCES.len(), channels, length], "shape of the sources");
        let estimate = numbers(estimate);
        for (sum, estimate) in sum.chunks_exact_mut(frames).zip(estimate.chunks_exact(length)) {
            for ((sum, sample), weight) in sum[start..end].iter_mut().zip(estimate).zip(&ramp) {
                *sum += weight * sample;
            }
        }
        for (total, weight) in weights[start..end].iter_mut().zip(&ramp) {
            *total += weight;
        }
        if end == frames {
            break;
        }
        start += length - overlap;
    }
    for sum in sum.chunks_exact_mut(frames.max(1)) {
        for (sum, weight) in sum.iter_mut().zip(&weights) {
            *sum /= weight;
        }
    }
    sum
}
