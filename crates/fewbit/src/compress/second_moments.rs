//! How the inputs of a layer vary together: the sum of `x·xᵀ` over what the layer was given.
//!
//! A layer whose weights err by `e` errs in its output by `eᵀx`, on average over the inputs squared
//! `eᵀ·H·e / samples` with `H = Σ x·xᵀ`. Of a layer with many inputs only blocks on the diagonal are kept:
//! inputs of different blocks count as if they did not vary together.

use std::ops::Range;

use fewbit_kernels::{Linear, linear_weight_gradient};

/// Most inputs of a block.
const BLOCK: usize = 768;

/// The sum of `x·xᵀ` over inputs `x` of a layer, in blocks on the diagonal.
#[derive(Clone, Debug, PartialEq)]
pub struct SecondMoments {
    inputs: usize,
    samples: u64,
    /// Of each block a square matrix, row by row.
    blocks: Vec<Vec<f64>>,
}

/// Why second moments cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MomentsError {
    /// Inputs are cut.
    #[error("{found} input values, a multiple of the layer's {inputs} inputs needed")]
    Length {
        /// Inputs of the layer.
        inputs: usize,
        /// Values that there are.
        found: usize,
    },
    /// An input is not a number that can be counted with.
    #[error("input {input} of sample {sample} is {value}, not finite")]
    NonFinite {
        /// The sample, from 0, of those added at once.
        sample: usize,
        /// The input, from 0.
        input: usize,
        /// What it is.
        value: f32,
    },
    /// There are too few inputs to learn from.
    #[error("{found} samples of a layer's inputs, at least {needed} needed")]
    TooFew {
        /// Samples that there are.
        found: u64,
        /// How few there may be.
        needed: u64,
    },
    /// The layer has another number of inputs.
    #[error("second moments of {found} inputs, the tensor has {needed}")]
    Inputs {
        /// Inputs that the moments are of.
        found: usize,
        /// Inputs of the tensor.
        needed: usize,
    },
}

impl SecondMoments {
    /// Those of a layer with so many inputs, before any was seen.
    pub fn new(inputs: usize) -> Self {
        let blocks = blocks_of(inputs).map(|block| vec![0.0; block.len() * block.len()]).collect();
        Self { inputs, samples: 0, blocks }
    }

    /// Adds samples, `[samples, inputs]`.
    ///
    /// # Errors
    /// [`MomentsError`]: no multiple of the inputs, or a value that is not finite. Nothing is added then.
    pub fn add(&mut self, samples: &[f32]) -> Result<(), MomentsError> {
        let inputs = self.inputs;
        if inputs == 0 || !samples.len().is_multiple_of(inputs) {
            return Err(MomentsError::Length { inputs, found: samples.len() });
        }
        if let Some(index) = samples.iter().position(|value| !value.is_finite()) {
            let (sample, input) = (index / inputs, index % inputs);
            return Err(MomentsError::NonFinite { sample, input, value: samples[index] });
        }
        let rows = samples.len() / inputs;
        for (block, sums) in blocks_of(inputs).zip(&mut self.blocks) {
            let width = block.len();
            let cut: Vec<f32>;
            let part = if width == inputs {
                samples
            } else {
                cut = samples.chunks_exact(inputs).flat_map(|row| &row[block.clone()]).copied().collect();
                &cut
            };
            // The gradient of a linear layer's weight is this very product.
            let mut product = vec![0.0; width * width];
            let layer = Linear { rows, inputs: width, outputs: width };
            linear_weight_gradient(layer, part, part, &mut product);
            sums.iter_mut().zip(product).for_each(|(sum, product)| *sum += f64::from(product));
        }
        self.samples += rows as u64;
        Ok(())
    }

    /// Inputs of the layer.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Samples that were added.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// The matrix of each block, row by row, with the inputs that it is of.
    pub(super) fn blocks(&self) -> impl Iterator<Item = (Range<usize>, &[f64])> {
        blocks_of(self.inputs).zip(self.blocks.iter().map(Vec::as_slice))
    }

    /// The mean over the inputs of their summed squares.
    pub(super) fn mean_square(&self) -> f64 {
        let trace = |(block, sums): (Range<usize>, &[f64])| -> f64 {
            (0..block.len()).map(|index| sums[index * (block.len() + 1)]).sum()
        };
        self.blocks().map(trace).sum::<f64>() / self.inputs.max(1) as f64
    }
}

/// The inputs of each block: as few blocks as there can be, all but the last of one size.
fn blocks_of(inputs: usize) -> impl Iterator<Item = Range<usize>> {
    let size = inputs.div_ceil(inputs.div_ceil(BLOCK).max(1)).max(1);
    (0..inputs).step_by(size).map(move |start| start..inputs.min(start + size))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples (1, 2) and (3, -1): squares 1 + 9 and 4 + 1, product 2 - 3.
    #[test]
    fn moments_are_sums_of_products() {
        let mut moments = SecondMoments::new(2);
        moments.add(&[1.0, 2.0]).unwrap();
        moments.add(&[3.0, -1.0]).unwrap();
        assert_eq!(moments.blocks, [[10.0, -1.0, -1.0, 5.0]]);
        assert_eq!((moments.samples(), moments.mean_square()), (2, 7.5));
    }

    #[test]
    fn many_inputs_are_cut_in_blocks_that_are_alike() {
        let blocks: Vec<_> = blocks_of(2 * BLOCK + 2).collect();
        assert_eq!(blocks, [0..513, 513..1026, 1026..1538]);
        assert!(blocks_of(BLOCK).eq(std::iter::once(0..BLOCK)));
        let mut moments = SecondMoments::new(BLOCK + 2);
        let sample: Vec<f32> = (0..BLOCK + 2).map(|input| input as f32).collect();
        moments.add(&sample).unwrap();
        let last = moments.blocks().last().unwrap();
        assert_eq!((last.0.clone(), last.1[1]), (385..770, 385.0 * 386.0));
    }

    #[test]
    fn inputs_that_are_cut_or_no_numbers_are_refused() {
        let mut moments = SecondMoments::new(3);
        assert_eq!(moments.add(&[1.0; 4]), Err(MomentsError::Length { inputs: 3, found: 4 }));
        let error = moments.add(&[1.0, 1.0, 1.0, 1.0, f32::INFINITY, 1.0]).unwrap_err();
        assert_eq!(error, MomentsError::NonFinite { sample: 1, input: 1, value: f32::INFINITY });
        assert!(moments.add(&[f32::NAN; 3]).is_err());
        assert_eq!(moments, SecondMoments::new(3));
    }
}
