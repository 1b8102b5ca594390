//! Functions of each number: ReLU and GELU.

use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;

use super::buffers::{self, recycle, values};
use super::{Operation, apply};

/// `max(x, 0)`; its derivative is read off its result.
#[derive(Clone, Debug)]
struct Relu;

impl Operation<1> for Relu {
    type Kept = FlexTensor;

    fn forward(&self, [input]: [FlexTensor; 1], tracked: bool) -> (FlexTensor, Option<FlexTensor>) {
        let mut out = buffers::take(input.layout().num_elements());
        fewbit_kernels::relu(values(&input), &mut out);
        let out = buffers::tensor(out, input.layout().shape().clone());
        recycle(input);
        let kept = tracked.then(|| out.clone());
        (out, kept)
    }

    fn backward(&self, output: FlexTensor, gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let mut out = buffers::take(output.layout().num_elements());
        fewbit_kernels::relu_gradient(values(&output), values(&gradient), &mut out);
        let shape = output.layout().shape().clone();
        recycle(output);
        recycle(gradient);
        [Some(buffers::tensor(out, shape))]
    }
}

/// `x·Φ(x)`, the exact form.
#[derive(Clone, Debug)]
struct Gelu;

impl Operation<1> for Gelu {
    type Kept = FlexTensor;

    fn forward(&self, [input]: [FlexTensor; 1], tracked: bool) -> (FlexTensor, Option<FlexTensor>) {
        let mut out = buffers::take(input.layout().num_elements());
        fewbit_kernels::gelu(values(&input), &mut out);
        let out = buffers::tensor(out, input.layout().shape().clone());
        if !tracked {
            recycle(input);
            return (out, None);
        }
        (out, Some(input))
    }

    fn backward(&self, input: FlexTensor, gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let mut out = buffers::take(input.layout().num_elements());
        fewbit_kernels::gelu_gradient(values(&input), values(&gradient), &mut out);
        let shape = input.layout().shape().clone();
        recycle(input);
        recycle(gradient);
        [Some(buffers::tensor(out, shape))]
    }
}

/// `max(x, 0)` of each number.
pub(crate) fn relu<const D: usize>(input: Tensor<D>) -> Tensor<D> {
    apply(Relu, [input.into()])
}

/// `x·Φ(x)` of each number.
pub(crate) fn gelu<const D: usize>(input: Tensor<D>) -> Tensor<D> {
    apply(Gelu, [input.into()])
}
