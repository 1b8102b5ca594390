//! The scalar twin: the sums of a convolution as they are written, in `f64`.

use super::shape::Convolution;

/// Calls `visit` with the places, in output, input and weight, of each product of the forward pass.
fn each_product(convolution: &Convolution, mut visit: impl FnMut(usize, usize, usize)) {
    let Convolution { batch, channels_in, channels_out, size, kernel, options, .. } = *convolution;
    let [rows, columns] = convolution.output_size();
    for image in 0..batch {
        for channel_out in 0..channels_out {
            for row in 0..rows {
                for column in 0..columns {
                    let output = ((image * channels_out + channel_out) * rows + row) * columns + column;
                    for channel in 0..convolution.group_inputs() {
                        let group = channel_out / convolution.group_outputs();
                        let channel_in = group * convolution.group_inputs() + channel;
                        for place in 0..kernel[0] * kernel[1] {
                            let at = [place / kernel[1], place % kernel[1]];
                            let pixel = |axis: usize| {
                                let padded = [row, column][axis] * options.stride[axis]
                                    + at[axis] * options.dilation[axis];
                                let pixel = padded.checked_sub(options.padding[axis][0])?;
                                (pixel < size[axis]).then_some(pixel)
                            };
                            let (Some(y), Some(x)) = (pixel(0), pixel(1)) else { continue };
                            let input = ((image * channels_in + channel_in) * size[0] + y) * size[1] + x;
                            let weight = (channel_out * convolution.group_inputs() + channel)
                                * convolution.kernel_len()
                                + place;
                            visit(output, input, weight);
                        }
                    }
                }
            }
        }
    }
}

/// What [`convolve`](super::convolve) approximates.
pub(super) fn convolve(
    convolution: &Convolution,
    input: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
) -> Vec<f64> {
    let [rows, columns] = convolution.output_size();
    let bias_of = |output: usize| {
        bias.map_or(0.0, |bias| f64::from(bias[output / (rows * columns) % convolution.channels_out]))
    };
    let mut out: Vec<f64> = (0..convolution.output_len()).map(bias_of).collect();
    each_product(convolution, |o, i, w| out[o] += f64::from(input[i]) * f64::from(weight[w]));
    out
}

/// What [`convolution_input_gradient`](super::convolution_input_gradient) approximates.
pub(super) fn input_gradient(convolution: &Convolution, gradient: &[f32], weight: &[f32]) -> Vec<f64> {
    let mut out = vec![0.0; convolution.input_len()];
    each_product(convolution, |o, i, w| out[i] += f64::from(gradient[o]) * f64::from(weight[w]));
    out
}

/// What [`convolution_weight_gradient`](super::convolution_weight_gradient) approximates.
pub(super) fn weight_gradient(convolution: &Convolution, input: &[f32], gradient: &[f32]) -> Vec<f64> {
    let mut out = vec![0.0; convolution.weight_len()];
    each_product(convolution, |o, i, w| out[w] += f64::from(gradient[o]) * f64::from(input[i]));
    out
}

/// What [`convolution_bias_gradient`](super::convolution_bias_gradient) approximates.
pub(super) fn bias_gradient(convolution: &Convolution, gradient: &[f32]) -> Vec<f64> {
    let [rows, columns] = convolution.output_size();
    let mut out = vec![0.0; convolution.channels_out];
    for (place, &number) in gradient.iter().enumerate() {
        out[place / (rows * columns) % convolution.channels_out] += f64::from(number);
    }
    out
}
