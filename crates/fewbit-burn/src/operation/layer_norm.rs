//! Layer norm over the last axis.

use burn::backend::flex::FlexTensor;
use burn::tensor::{Shape, Tensor};
use fewbit_kernels::NormalizedRows;

use super::buffers::{self, recycle, values};
use super::{Operation, apply};

/// Each row of `input` with mean 0 and variance 1, times `gamma`, plus `beta`.
pub(crate) fn layer_norm<const D: usize>(
    input: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
) -> Tensor<D> {
    apply(Normalize { epsilon: epsilon as f32 }, [input.into(), gamma.into(), beta.into()])
}

#[derive(Clone, Debug)]
struct Normalize {
    epsilon: f32,
}

/// Of a tracked forward pass: the input, and the mean and inverse deviation of each row.
#[derive(Clone, Debug)]
struct Kept {
    input: FlexTensor,
    gamma: FlexTensor,
    mean: Vec<f32>,
    inverse_deviation: Vec<f32>,
}

impl Operation<3> for Normalize {
    type Kept = Kept;

    fn forward(&self, [input, gamma, beta]: [FlexTensor; 3], tracked: bool) -> (FlexTensor, Option<Kept>) {
        let len = input.layout().num_elements();
        let rows = len / values(&gamma).len().max(1);
        let (mut mean, mut inverse_deviation) = (vec![0.0; rows], vec![0.0; rows]);
        let mut out = buffers::take(len);
        fewbit_kernels::layer_norm(
            values(&input),
            values(&gamma),
            Some(values(&beta)),
            self.epsilon,
            &mut out,
            &mut mean,
            &mut inverse_deviation,
        );
        let out = buffers::tensor(out, input.layout().shape().clone());
        if !tracked {
            recycle(input);
            return (out, None);
        }
        (out, Some(Kept { input, gamma, mean, inverse_deviation }))
    }

    fn backward(&self, kept: Kept, gradient: FlexTensor, _: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let Kept { input, gamma, mean, inverse_deviation } = kept;
        let width = values(&gamma).len();
        let mut of_input = buffers::take(input.layout().num_elements());
        let (mut of_gamma, mut of_beta) = (buffers::take(width), buffers::take(width));
        let forward = NormalizedRows {
            input: values(&input),
            gamma: values(&gamma),
            mean: &mean,
            inverse_deviation: &inverse_deviation,
        };
        let of_beta_too = Some(of_beta.as_mut_slice());
        fewbit_kernels::layer_norm_gradient(
            forward,
            values(&gradient),
            &mut of_input,
            &mut of_gamma,
            of_beta_too,
        );
        let (shape, width) = (input.layout().shape().clone(), Shape::from([width]));
        recycle(input);
        recycle(gradient);
        [
            Some(buffers::tensor(of_input, shape)),
            Some(buffers::tensor(of_gamma, width.clone())),
            Some(buffers::tensor(of_beta, width)),
        ]
    }
}
