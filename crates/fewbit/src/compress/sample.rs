//! Some of the weights of a large source, to look for a step in no time.

use super::{SourceTensor, Treatment, WeightSource};

/// Weights of a sample, about.
const WEIGHTS: u64 = 1 << 22;

/// Weights of a channel at most.
const LONGEST: usize = 1 << 12;

/// Some output channels of each quantized tensor, spread evenly, in memory.
pub(super) struct Sample {
    tensors: Vec<SourceTensor>,
    values: Vec<Vec<f32>>,
}

impl Sample {
    /// The sample of a source that has so many quantized weights.
    pub(super) fn of<S: WeightSource>(source: &mut S, weights: u64) -> Result<Self, S::Error> {
        let every = weights.div_ceil(WEIGHTS).max(1) as usize;
        let mut sample = Self { tensors: Vec::new(), values: Vec::new() };
        let mut all = Vec::new();
        for place in 0..source.tensors().len() {
            if source.tensors()[place].treatment != Treatment::Quantized {
                continue;
            }
            source.read(place, &mut all)?;
            let mut tensor = source.tensors()[place].clone();
            let channels = tensor.shape.first().copied().unwrap_or(1).max(1);
            // A part of a channel where it is so large that few of them are all.
            let channel = (all.len() / channels).clamp(1, LONGEST);
            let values: Vec<f32> = all.chunks_exact(channel).step_by(every).flatten().copied().collect();
            tensor.shape = vec![values.len() / channel, channel];
            sample.tensors.push(tensor);
            sample.values.push(values);
        }
        Ok(sample)
    }
}

impl WeightSource for Sample {
    type Error = std::convert::Infallible;

    fn tensors(&self) -> &[SourceTensor] {
        &self.tensors
    }

    fn read(&mut self, place: usize, values: &mut Vec<f32>) -> Result<(), Self::Error> {
        values.clone_from(&self.values[place]);
        Ok(())
    }
}
