//! The largest of each window.

use burn::module::Module;
use burn::nn::PaddingConfig2d;
use burn::nn::pool::MaxPool2dConfig;
use burn::tensor::Tensor;

use super::padding;
use crate::operation::{pooling, runs_on};

/// The largest number of each window of `[N, C, H, W]`; see [`burn::nn::pool::MaxPool2d`].
#[derive(Module, Debug)]
pub struct MaxPool2d {
    /// Pixels from one window to the next.
    pub stride: [usize; 2],
    /// Height and width of a window.
    pub kernel_size: [usize; 2],
    /// What is around the image: less than any number.
    #[module(skip)]
    pub padding: PaddingConfig2d,
    /// Pixels from one number of a window to the next.
    pub dilation: [usize; 2],
    /// Whether the last window may reach over the edge.
    pub ceil_mode: bool,
}

impl MaxPool2d {
    /// A layer of this configuration.
    pub fn new(config: &MaxPool2dConfig) -> Self {
        config.init().into()
    }

    /// `[N, C, H, W]` to `[N, C, H', W']`.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let [_, _, height, width] = input.dims();
        let padding = padding::pairs(&self.padding, [height, width], self.kernel_size, self.stride);
        // Ours wants a number in every window.
        let even = [0, 1].iter().all(|&axis| {
            let [before, after] = padding[axis];
            before == after && before < self.kernel_size[axis]
        });
        if even && self.dilation == [1, 1] && !self.ceil_mode && runs_on(&input) {
            return pooling::max_pool2d(
                input,
                self.kernel_size,
                self.stride,
                padding.map(|[before, _]| before),
            );
        }
        burn::nn::pool::MaxPool2d::from(self.clone()).forward(input)
    }
}

impl From<MaxPool2d> for burn::nn::pool::MaxPool2d {
    fn from(layer: MaxPool2d) -> Self {
        Self {
            stride: layer.stride,
            kernel_size: layer.kernel_size,
            padding: layer.padding,
            dilation: layer.dilation,
            ceil_mode: layer.ceil_mode,
        }
    }
}

impl From<burn::nn::pool::MaxPool2d> for MaxPool2d {
    fn from(layer: burn::nn::pool::MaxPool2d) -> Self {
        Self {
            stride: layer.stride,
            kernel_size: layer.kernel_size,
            padding: layer.padding,
            dilation: layer.dilation,
            ceil_mode: layer.ceil_mode,
        }
    }
}
