//! What a convolution is of: its sizes, checked once.

use std::fmt;

/// How a kernel is laid over an image.
///
/// Of each pair the first is for rows, the second for columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvolutionOptions {
    /// Pixels from one place of the kernel to the next; 1 or more.
    pub stride: [usize; 2],
    /// Rows and columns of zeros `[before, after]` the image.
    pub padding: [[usize; 2]; 2],
    /// Pixels from one weight of the kernel to the next; 1 or more.
    pub dilation: [usize; 2],
    /// Parts that the channels are cut in: each output channel sees its own part of the inputs.
    pub groups: usize,
}

impl Default for ConvolutionOptions {
    /// Stride 1, dilation 1, one group, no padding.
    fn default() -> Self {
        Self { stride: [1; 2], padding: [[0; 2]; 2], dilation: [1; 2], groups: 1 }
    }
}

/// A 2-d convolution of images `[batch, in, height, width]` with weights `[out, in/groups, kh, kw]`.
///
/// As in all deep learning it is a correlation: the kernel is not flipped.
///
/// ```
/// use fewbit_kernels::{Convolution, ConvolutionOptions, convolve};
///
/// // The mean of each pixel and the one to its right, of one image with one channel.
/// let shape = Convolution::new([1, 1, 2, 3], [1, 1, 1, 2], ConvolutionOptions::default())?;
/// assert_eq!(shape.output_size(), [2, 2]);
/// let mut means = vec![0.0; shape.output_len()];
/// convolve(&shape, &[1.0, 2.0, 3.0, 4.0, 6.0, 8.0], &[0.5, 0.5], None, &mut means);
/// assert_eq!(means, [1.5, 2.5, 5.0, 7.0]);
/// # Ok::<(), fewbit_kernels::ConvolutionError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    pub(super) batch: usize,
    pub(super) channels_in: usize,
    pub(super) channels_out: usize,
    /// Height and width of an input image.
    pub(super) size: [usize; 2],
    pub(super) kernel: [usize; 2],
    pub(super) options: ConvolutionOptions,
    output_size: [usize; 2],
}

impl Convolution {
    /// The convolution of an input `[batch, in, height, width]` with a weight `[out, in/groups, kh, kw]`.
    ///
    /// # Errors
    /// [`ConvolutionError`] where the shapes do not fit each other or the options.
    pub fn new(
        input: [usize; 4],
        weight: [usize; 4],
        options: ConvolutionOptions,
    ) -> Result<Self, ConvolutionError> {
        let [batch, channels_in, height, width] = input;
        let [channels_out, group_channels, kernel_height, kernel_width] = weight;
        let ConvolutionOptions { stride, padding, dilation, groups } = options;
        let [size, kernel] = [[height, width], [kernel_height, kernel_width]];
        for (what, found) in [("stride", stride), ("dilation", dilation), ("kernel", kernel)] {
            if found.contains(&0) {
                return Err(ConvolutionError::Zero { what, found });
            }
        }
        for channels in [channels_in, channels_out] {
            if groups == 0 || channels % groups != 0 {
                return Err(ConvolutionError::Groups { channels, groups });
            }
        }
        if group_channels != channels_in / groups {
            let needed = channels_in / groups;
            return Err(ConvolutionError::WeightChannels { found: group_channels, needed });
        }
        let too_large = ConvolutionError::TooLarge { input, weight };
        let mut output_size = [0; 2];
        for axis in 0..2 {
            let [before, after] = padding[axis];
            let padded = size[axis].checked_add(before).and_then(|sum| sum.checked_add(after));
            let reach = dilation[axis].checked_mul(kernel[axis] - 1).and_then(|reach| reach.checked_add(1));
            let (Some(padded), Some(reach)) = (padded, reach) else { return Err(too_large) };
            if padded > isize::MAX as usize / 2 || stride[axis] > isize::MAX as usize / 2 {
                return Err(too_large);
            }
            if reach > padded {
                return Err(ConvolutionError::KernelBeyondImage { axis, reach, padded });
            }
            output_size[axis] = (padded - reach) / stride[axis] + 1;
        }
        let output = [batch, channels_out, output_size[0], output_size[1]];
        for shape in [input, weight, output] {
            if shape.iter().try_fold(4usize, |len, &side| len.checked_mul(side.max(1))).is_none() {
                return Err(too_large);
            }
        }
        Ok(Self { batch, channels_in, channels_out, size, kernel, options, output_size })
    }

    /// Height and width of an output image.
    pub const fn output_size(&self) -> [usize; 2] {
        self.output_size
    }

    /// Numbers in the input.
    pub const fn input_len(&self) -> usize {
        self.batch * self.channels_in * self.size[0] * self.size[1]
    }

    /// Numbers in the weight.
    pub const fn weight_len(&self) -> usize {
        self.channels_out * (self.channels_in / self.options.groups) * self.kernel[0] * self.kernel[1]
    }

    /// Numbers in the output.
    pub const fn output_len(&self) -> usize {
        self.batch * self.channels_out * self.output_size[0] * self.output_size[1]
    }

    /// Products of two numbers in one pass, those with padding included.
    pub const fn products(&self) -> usize {
        self.weight_len().saturating_mul(self.batch * self.output_size[0] * self.output_size[1])
    }

    /// Input channels that an output channel sees.
    pub(super) const fn group_inputs(&self) -> usize {
        self.channels_in / self.options.groups
    }

    /// Output channels of a group.
    pub(super) const fn group_outputs(&self) -> usize {
        self.channels_out / self.options.groups
    }

    /// Weights of a kernel.
    pub(super) const fn kernel_len(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }
}

/// Why there is no such convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConvolutionError {
    /// A stride, dilation or kernel size is 0.
    Zero {
        /// Which of them.
        what: &'static str,
        /// Its value for rows and columns.
        found: [usize; 2],
    },
    /// The groups do not divide the channels, or are none.
    Groups {
        /// Channels of the input or the output.
        channels: usize,
        /// The groups.
        groups: usize,
    },
    /// The second side of the weight is not the channels of a group.
    WeightChannels {
        /// That side.
        found: usize,
        /// Input channels over groups.
        needed: usize,
    },
    /// The kernel, with its dilation, is larger than the padded image.
    KernelBeyondImage {
        /// 0 of rows, 1 of columns.
        axis: usize,
        /// Pixels that the kernel reaches over.
        reach: usize,
        /// Pixels of the padded image.
        padded: usize,
    },
    /// A size does not fit the machine's addresses.
    TooLarge {
        /// Shape of the input.
        input: [usize; 4],
        /// Shape of the weight.
        weight: [usize; 4],
    },
}

impl fmt::Display for ConvolutionError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero { what, found } => write!(formatter, "{what} is {found:?}, 1 or more is needed"),
            Self::Groups { channels, groups } => {
                write!(formatter, "{channels} channels cannot be cut in {groups} groups")
            }
            Self::WeightChannels { found, needed } => {
                write!(formatter, "weight has {found} channels in, {needed} are needed")
            }
            Self::KernelBeyondImage { axis, reach, padded } => {
                let axis = ["rows", "columns"][*axis];
                write!(formatter, "kernel reaches over {reach} {axis}, the padded image has {padded}")
            }
            Self::TooLarge { input, weight } => {
                write!(formatter, "input {input:?} with weight {weight:?} does not fit in memory")
            }
        }
    }
}

impl std::error::Error for ConvolutionError {}
