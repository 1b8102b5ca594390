//! A linear layer.

use burn::module::{Module, Param};
use burn::nn::LinearConfig;
use burn::tensor::{Device, Tensor};

use super::observer::{self, LayerInput};
use crate::operation::{linear, runs_on};

/// `x·W + b` over the last axis; see [`burn::nn::Linear`].
#[derive(Module, Debug)]
pub struct Linear {
    /// `[in, out]`.
    pub weight: Param<Tensor<2>>,
    /// `[out]`.
    pub bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// A layer with fresh weights.
    pub fn new(config: &LinearConfig, device: &Device) -> Self {
        config.init(device).into()
    }

    /// `[…, in]` to `[…, out]`.
    ///
    /// # Panics
    /// If the last axis of `input` is not as long as the weight's first.
    pub fn forward<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        let (weight, bias) = (self.weight.val(), self.bias.as_ref().map(Param::val));
        let ([inputs, _], found) = (weight.dims(), input.dims()[D - 1]);
        assert_eq!(found, inputs, "last axis of a linear layer's input: {found} found, {inputs} needed");
        observer::show(&self.weight, || {
            LayerInput::Vectors(
                input.clone().reshape([input.dims().iter().product::<usize>() / inputs.max(1), inputs]),
            )
        });
        if runs_on(&input) && runs_on(&weight) && bias.as_ref().is_none_or(runs_on) {
            linear::linear(input, weight, bias)
        } else {
            burn::tensor::module::linear(input, weight, bias)
        }
    }
}

impl From<burn::nn::Linear> for Linear {
    fn from(burn::nn::Linear { weight, bias }: burn::nn::Linear) -> Self {
        Self { weight, bias }
    }
}
