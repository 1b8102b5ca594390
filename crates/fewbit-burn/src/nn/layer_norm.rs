//! Layer norm.

use burn::module::{Module, Param};
use burn::nn::LayerNormConfig;
use burn::tensor::{Device, Tensor};

use crate::operation::{layer_norm, runs_on};

/// The last axis with mean 0 and variance 1, then scaled and shifted; see [`burn::nn::LayerNorm`].
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// The scale, `[width]`.
    pub gamma: Param<Tensor<1>>,
    /// The shift, `[width]`.
    pub beta: Option<Param<Tensor<1>>>,
    /// Added to the variance.
    pub epsilon: f64,
}

impl LayerNorm {
    /// A layer that scales by 1 and shifts by 0.
    pub fn new(config: &LayerNormConfig, device: &Device) -> Self {
        let burn::nn::LayerNorm { gamma, beta, .. } = config.init(device);
        Self { gamma, beta, epsilon: config.epsilon }
    }

    /// `input`, normalised over its last axis; of the same shape.
    ///
    /// # Panics
    /// If the last axis is not as long as the scale.
    pub fn forward<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        let (gamma, beta) = (self.gamma.val(), self.beta.as_ref().map(Param::val));
        let ([width], found) = (gamma.dims(), input.dims()[D - 1]);
        assert_eq!(found, width, "last axis of a layer norm's input: {found} found, {width} needed");
        match beta {
            Some(beta) if runs_on(&input) && runs_on(&gamma) && runs_on(&beta) => {
                layer_norm::layer_norm(input, gamma, beta, self.epsilon)
            }
            beta => burn::tensor::module::layer_norm(input, gamma, beta, self.epsilon),
        }
    }
}
