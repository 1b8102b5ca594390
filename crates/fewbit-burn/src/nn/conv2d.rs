//! A convolution of images.

use burn::module::{Module, Param};
use burn::nn::PaddingConfig2d;
use burn::nn::conv::Conv2dConfig;
use burn::tensor::{Device, Tensor};
use fewbit_kernels::{Convolution, ConvolutionOptions};

use super::observer::{self, LayerInput};
use super::padding;
use crate::operation::{convolution, runs_on};

/// A convolution of `[N, C, H, W]`; see [`burn::nn::conv::Conv2d`].
#[derive(Module, Debug)]
pub struct Conv2d {
    /// `[out, in / groups, height, width]`.
    pub weight: Param<Tensor<4>>,
    /// `[out]`.
    pub bias: Option<Param<Tensor<1>>>,
    /// Pixels from one result to the next.
    pub stride: [usize; 2],
    /// Height and width of the kernel.
    pub kernel_size: [usize; 2],
    /// Pixels from one weight of the kernel to the next.
    pub dilation: [usize; 2],
    /// Parts that channels are cut in, each convolved alone.
    pub groups: usize,
    /// Zeros around the image.
    #[module(skip)]
    pub padding: PaddingConfig2d,
}

impl Conv2d {
    /// A layer with fresh weights.
    pub fn new(config: &Conv2dConfig, device: &Device) -> Self {
        config.init(device).into()
    }

    /// `[N, in, H, W]` to `[N, out, H', W']`.
    ///
    /// # Panics
    /// If the channels do not fit the weight, or the padded image is smaller than the kernel.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let [_, _, height, width] = input.dims();
        let padding = padding::pairs(&self.padding, [height, width], self.kernel_size, self.stride);
        observer::show(&self.weight, || LayerInput::Images {
            images: input.clone(),
            stride: self.stride,
            kernel: self.kernel_size,
            dilation: self.dilation,
            padding,
            groups: self.groups,
        });
        let (weight, bias) = (self.weight.val(), self.bias.as_ref().map(Param::val));
        if !(runs_on(&input) && runs_on(&weight) && bias.as_ref().is_none_or(runs_on)) {
            return burn::nn::conv::Conv2d::from(self.clone()).forward(input);
        }
        let options =
            ConvolutionOptions { stride: self.stride, padding, dilation: self.dilation, groups: self.groups };
        let shape = Convolution::new(input.dims(), weight.dims(), options)
            .unwrap_or_else(|error| panic!("convolution: {error}"));
        convolution::convolve(shape, input, weight, bias)
    }
}

impl From<Conv2d> for burn::nn::conv::Conv2d {
    fn from(layer: Conv2d) -> Self {
        Self {
            weight: layer.weight,
            bias: layer.bias,
            stride: layer.stride,
            kernel_size: layer.kernel_size,
            dilation: layer.dilation,
            groups: layer.groups,
            padding: layer.padding,
        }
    }
}

impl From<burn::nn::conv::Conv2d> for Conv2d {
    fn from(layer: burn::nn::conv::Conv2d) -> Self {
        Self {
            weight: layer.weight,
            bias: layer.bias,
            stride: layer.stride,
            kernel_size: layer.kernel_size,
            dilation: layer.dilation,
            groups: layer.groups,
            padding: layer.padding,
        }
    }
}
