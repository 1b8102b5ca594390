//! Convolutions of images `[N, C, H, W]`.

use burn::backend::flex::FlexTensor;
use burn::tensor::{Shape, Tensor};
use fewbit_kernels::Convolution;

use super::buffers::{self, recycle, values};
use super::{Input, Operation, apply};

/// A convolution of one shape.
#[derive(Clone, Debug)]
struct Convolve(Convolution);

/// Of a tracked forward pass.
#[derive(Clone, Debug)]
struct Kept {
    input: FlexTensor,
    weight: FlexTensor,
}

/// The convolution of `input` with `weight`, `[out, in/groups, height, width]`, plus `bias`.
pub(crate) fn convolve(
    convolution: Convolution,
    input: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
) -> Tensor<4> {
    match bias {
        Some(bias) => apply(Convolve(convolution), [input.into(), weight.into(), bias.into()]),
        None => apply(Convolve(convolution), [Input::from(input), weight.into()]),
    }
}

impl Convolve {
    fn forward(
        &self,
        input: FlexTensor,
        weight: FlexTensor,
        bias: Option<&FlexTensor>,
        tracked: bool,
    ) -> (FlexTensor, Option<Kept>) {
        let Self(convolution) = self;
        let mut out = buffers::take(convolution.output_len());
        fewbit_kernels::convolve(convolution, values(&input), values(&weight), bias.map(values), &mut out);
        let [height, width] = convolution.output_size();
        let shape = [input.layout().shape()[0], weight.layout().shape()[0], height, width];
        let out = buffers::tensor(out, Shape::from(shape));
        if !tracked {
            recycle(input);
            return (out, None);
        }
        (out, Some(Kept { input, weight }))
    }

    fn backward(&self, kept: Kept, gradient: &FlexTensor, needed: [bool; 2]) -> [Option<FlexTensor>; 2] {
        let Self(convolution) = self;
        let Kept { input, weight } = kept;
        let of_weight = needed[1].then(|| {
            let mut out = buffers::take(convolution.weight_len());
            fewbit_kernels::convolution_weight_gradient(
                convolution,
                values(&input),
                values(gradient),
                &mut out,
            );
            buffers::tensor(out, weight.layout().shape().clone())
        });
        let shape = input.layout().shape().clone();
        recycle(input);
        let of_input = needed[0].then(|| {
            let mut out = buffers::take(convolution.input_len());
            fewbit_kernels::convolution_input_gradient(
                convolution,
                values(gradient),
                values(&weight),
                &mut out,
            );
            buffers::tensor(out, shape)
        });
        [of_input, of_weight]
    }
}

impl Operation<2> for Convolve {
    type Kept = Kept;

    fn forward(&self, [input, weight]: [FlexTensor; 2], tracked: bool) -> (FlexTensor, Option<Kept>) {
        self.forward(input, weight, None, tracked)
    }

    fn backward(&self, kept: Kept, gradient: FlexTensor, needed: [bool; 2]) -> [Option<FlexTensor>; 2] {
        let gradients = self.backward(kept, &gradient, needed);
        recycle(gradient);
        gradients
    }
}

impl Operation<3> for Convolve {
    type Kept = Kept;

    fn forward(&self, [input, weight, bias]: [FlexTensor; 3], tracked: bool) -> (FlexTensor, Option<Kept>) {
        self.forward(input, weight, Some(&bias), tracked)
    }

    fn backward(&self, kept: Kept, gradient: FlexTensor, needed: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let outputs = kept.weight.layout().shape()[0];
        let of_bias = needed[2].then(|| {
            let mut out = buffers::take(outputs);
            fewbit_kernels::convolution_bias_gradient(&self.0, values(&gradient), &mut out);
            buffers::tensor(out, Shape::from([outputs]))
        });
        let [of_input, of_weight] = self.backward(kept, &gradient, [needed[0], needed[1]]);
        recycle(gradient);
        [of_input, of_weight, of_bias]
    }
}
