//! One description for the forward pass and the input gradient.
//!
//! Both sum, over channels and taps, a source pixel times a weight. Their target pixels lie on a
//! grid, once (forward) or in as many phases as the stride has pixels (input gradient: which
//! weights reach an input pixel depends on its place modulo the stride).

use super::shape::Convolution;

/// `target[o][origin + step j] = sum over channels c and taps of source[c][stride j + shift] weight`,
/// for each phase and each place `j` of the grid; a source pixel outside the image is 0.
#[derive(Clone, Debug)]
pub(super) struct Correlation {
    pub(super) source: Image,
    pub(super) target: Image,
    pub(super) groups: usize,
    pub(super) grid: [usize; 2],
    pub(super) stride: [usize; 2],
    pub(super) step: [usize; 2],
    /// Row after row of the origins, which lie in the first step and in the target.
    pub(super) phases: Vec<Phase>,
    /// How far apart in the weight are neighbouring channels of the source and of the target.
    pub(super) weight_strides: [usize; 2],
    /// Weights of a group.
    pub(super) group_weights: usize,
}

/// Sizes of one image of the batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Image {
    pub(super) channels: usize,
    pub(super) size: [usize; 2],
}

impl Image {
    pub(super) const fn channel_len(&self) -> usize {
        self.size[0] * self.size[1]
    }

    pub(super) const fn len(&self) -> usize {
        self.channels * self.channel_len()
    }
}

/// The taps that reach the target pixels from one of the first `step` rows and columns on.
#[derive(Clone, Debug)]
pub(super) struct Phase {
    pub(super) taps: Vec<Tap>,
}

/// One weight of the kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tap {
    /// Its place in the kernel, row after row.
    pub(super) place: usize,
    /// Where it reads, from the grid's place on.
    pub(super) shift: [isize; 2],
}

impl Correlation {
    /// From input to output.
    pub(super) fn forward(convolution: &Convolution) -> Self {
        let Convolution { kernel, options, .. } = *convolution;
        let taps = taps(kernel, |place, axis| {
            Some((place * options.dilation[axis]) as isize - options.padding[axis][0] as isize)
        });
        Self {
            source: Image { channels: convolution.channels_in, size: convolution.size },
            target: Image { channels: convolution.channels_out, size: convolution.output_size() },
            groups: options.groups,
            grid: convolution.output_size(),
            stride: options.stride,
            step: [1; 2],
            phases: vec![Phase { taps }],
            weight_strides: [convolution.kernel_len(), convolution.group_inputs() * convolution.kernel_len()],
            group_weights: convolution.weight_len() / options.groups,
        }
    }

    /// From the gradient of the output to that of the input.
    pub(super) fn input_gradient(convolution: &Convolution) -> Self {
        let Convolution { kernel, options, size, .. } = *convolution;
        let step = options.stride;
        let mut phases = Vec::new();
        for row in 0..step[0].min(size[0]) {
            for column in 0..step[1].min(size[1]) {
                let origin = [row, column];
                // Output pixel `o` reads input pixel `stride o + dilation k - before` through weight `k`.
                let taps = taps(kernel, |place, axis| {
                    let [before, _] = options.padding[axis];
                    let distance =
                        (origin[axis] + before) as isize - (place * options.dilation[axis]) as isize;
                    let stride = step[axis] as isize;
                    (distance % stride == 0).then_some(distance / stride)
                });
                phases.push(Phase { taps });
            }
        }
        Self {
            source: Image { channels: convolution.channels_out, size: convolution.output_size() },
            target: Image { channels: convolution.channels_in, size },
            groups: options.groups,
            grid: [0, 1].map(|axis| size[axis].div_ceil(step[axis])),
            stride: [1; 2],
            step,
            phases,
            weight_strides: [convolution.group_inputs() * convolution.kernel_len(), convolution.kernel_len()],
            group_weights: convolution.weight_len() / options.groups,
        }
    }

    /// Channels of the source that a target channel sees.
    pub(super) const fn group_sources(&self) -> usize {
        self.source.channels / self.groups
    }

    /// Target channels of a group.
    pub(super) const fn group_targets(&self) -> usize {
        self.target.channels / self.groups
    }
}

/// The taps of a kernel that have a shift, column after column: rows of a column share their cache lines.
fn taps(kernel: [usize; 2], shift: impl Fn(usize, usize) -> Option<isize>) -> Vec<Tap> {
    let mut taps = Vec::new();
    for column in 0..kernel[1] {
        for row in 0..kernel[0] {
            if let (Some(down), Some(right)) = (shift(row, 0), shift(column, 1)) {
                taps.push(Tap { place: row * kernel[1] + column, shift: [down, right] });
            }
        }
    }
    taps
}
