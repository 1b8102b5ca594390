//! `y = x·W + b`, with the weight `[in, out]`.

use burn::backend::flex::FlexTensor;
use burn::tensor::{Shape, Tensor};

use super::buffers::{self, recycle, values};
use super::{Input, Operation, apply};

/// A linear layer over the last axis of its input.
#[derive(Clone, Debug)]
struct Linear;

/// Of a tracked forward pass.
#[derive(Clone, Debug)]
struct Kept {
    input: FlexTensor,
    weight: FlexTensor,
}

/// `input·weight + bias` over the last axis: `[…, in]` to `[…, out]`.
pub(crate) fn linear<const D: usize>(
    input: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
) -> Tensor<D> {
    match bias {
        Some(bias) => apply(Linear, [input.into(), weight.into(), bias.into()]),
        None => apply(Linear, [Input::from(input), weight.into()]),
    }
}

fn forward(
    input: FlexTensor,
    weight: FlexTensor,
    bias: Option<&FlexTensor>,
    tracked: bool,
) -> (FlexTensor, Option<Kept>) {
    let mut shape = input.layout().shape().to_vec();
    let [inputs, outputs] = [weight.layout().shape()[0], weight.layout().shape()[1]];
    let rows = shape[..shape.len() - 1].iter().product::<usize>();
    *shape.last_mut().expect("the input has an axis") = outputs;
    let mut out = buffers::take(rows * outputs);
    let layer = fewbit_kernels::Linear { rows, inputs, outputs };
    fewbit_kernels::linear(layer, values(&input), values(&weight), bias.map(values), &mut out);
    let out = buffers::tensor(out, Shape::from(shape));
    if !tracked {
        recycle(input);
        return (out, None);
    }
    (out, Some(Kept { input, weight }))
}

fn backward(kept: Kept, gradient: &FlexTensor, needed: [bool; 2]) -> [Option<FlexTensor>; 2] {
    let Kept { input, weight } = kept;
    let [inputs, outputs] = [weight.layout().shape()[0], weight.layout().shape()[1]];
    let rows = gradient.layout().num_elements() / outputs.max(1);
    let layer = fewbit_kernels::Linear { rows, inputs, outputs };
    let of_weight = needed[1].then(|| {
        let mut out = buffers::take(inputs * outputs);
        fewbit_kernels::linear_weight_gradient(layer, values(&input), values(gradient), &mut out);
        buffers::tensor(out, weight.layout().shape().clone())
    });
    let shape = input.layout().shape().clone();
    recycle(input);
    let of_input = needed[0].then(|| {
        let mut out = buffers::take(rows * inputs);
        fewbit_kernels::linear_input_gradient(layer, values(gradient), values(&weight), &mut out);
        buffers::tensor(out, shape)
    });
    [of_input, of_weight]
}

impl Operation<2> for Linear {
    type Kept = Kept;

    fn forward(&self, [input, weight]: [FlexTensor; 2], tracked: bool) -> (FlexTensor, Option<Kept>) {
        forward(input, weight, None, tracked)
    }

    fn backward(&self, kept: Kept, gradient: FlexTensor, needed: [bool; 2]) -> [Option<FlexTensor>; 2] {
        let gradients = backward(kept, &gradient, needed);
        recycle(gradient);
        gradients
    }
}

impl Operation<3> for Linear {
    type Kept = Kept;

    fn forward(&self, [input, weight, bias]: [FlexTensor; 3], tracked: bool) -> (FlexTensor, Option<Kept>) {
        forward(input, weight, Some(&bias), tracked)
    }

    fn backward(&self, kept: Kept, gradient: FlexTensor, needed: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let outputs = kept.weight.layout().shape()[1];
        let of_bias = needed[2].then(|| {
            let mut out = buffers::take(outputs);
            fewbit_kernels::linear_bias_gradient(values(&gradient), &mut out);
            buffers::tensor(out, Shape::from([outputs]))
        });
        let [of_input, of_weight] = backward(kept, &gradient, [needed[0], needed[1]]);
        recycle(gradient);
        [of_input, of_weight, of_bias]
    }
}
