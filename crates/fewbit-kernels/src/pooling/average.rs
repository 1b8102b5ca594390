//! The mean of each window.

use super::{PoolShape, for_planes};
use crate::dispatch::{InstructionSet, Kernel};

/// Writes the mean of each window.
///
/// `input` is `[planes, height, width]`, `out` `[planes, pooled height, pooled width]`. Where
/// `counts_padding`, what is padded counts as zeros; else the mean is over the numbers alone.
///
/// # Panics
/// When a slice has not the length that `shape` asks for, and as [`Window::count`](super::Window::count).
pub fn average_pool(shape: PoolShape, counts_padding: bool, input: &[f32], out: &mut [f32]) {
    average_pool_on(InstructionSet::detect(), shape, counts_padding, input, out);
}

pub(crate) fn average_pool_on(
    set: InstructionSet,
    shape: PoolShape,
    counts_padding: bool,
    input: &[f32],
    out: &mut [f32],
) {
    shape.check(("input", input.len()), ("out", out.len()));
    if out.is_empty() {
        return;
    }
    let pixels = shape.pixels();
    for_planes(shape, out, shape.pooled_pixels(), |plane, out| {
        set.run(AveragePool { shape, counts_padding, plane: &input[plane * pixels..][..pixels], out });
    });
}

/// What a sum over a window is multiplied with for its mean; `rows` of it are numbers.
#[inline(always)]
fn share(shape: PoolShape, counts_padding: bool, rows: usize, window: usize) -> f32 {
    let PoolShape { width, vertical, horizontal, .. } = shape;
    let count = if counts_padding {
        vertical.size * horizontal.size
    } else {
        rows * horizontal.numbers(window, width).len()
    };
    1.0 / count as f32
}

struct AveragePool<'a> {
    shape: PoolShape,
    counts_padding: bool,
    plane: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for AveragePool<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { shape, counts_padding, plane, out } = self;
        let PoolShape { height, width, vertical, horizontal, .. } = shape;
        let (_, pooled_width) = shape.pooled();
        let mut column_sums = vec![0.0; width];
        for (window_row, out) in out.chunks_exact_mut(pooled_width).enumerate() {
            // First down the columns, whose numbers lie side by side, then along what that gives.
            let rows = vertical.numbers(window_row, height);
            column_sums.copy_from_slice(&plane[rows.start * width..][..width]);
            for row in rows.start + 1..rows.end {
                for (sum, x) in column_sums.iter_mut().zip(&plane[row * width..][..width]) {
                    *sum += x;
                }
            }
            for (window, out) in out.iter_mut().enumerate() {
                let sum: f32 = column_sums[horizontal.numbers(window, width)].iter().sum();
                *out = sum * share(shape, counts_padding, rows.len(), window);
            }
        }
    }
}

/// Writes the loss's gradient with respect to [`average_pool`]'s input.
///
/// `gradient` is `[planes, pooled height, pooled width]`, `input_gradient` `[planes, height, width]`.
///
/// # Panics
/// When a slice has not the length that `shape` asks for, and as [`Window::count`](super::Window::count).
pub fn average_pool_gradient(
    shape: PoolShape,
    counts_padding: bool,
    gradient: &[f32],
    input_gradient: &mut [f32],
) {
    average_pool_gradient_on(InstructionSet::detect(), shape, counts_padding, gradient, input_gradient);
}

pub(crate) fn average_pool_gradient_on(
    set: InstructionSet,
    shape: PoolShape,
    counts_padding: bool,
    gradient: &[f32],
    input_gradient: &mut [f32],
) {
    shape.check(("input_gradient", input_gradient.len()), ("gradient", gradient.len()));
    if gradient.is_empty() {
        return input_gradient.fill(0.0);
    }
    let pooled = shape.pooled_pixels();
    for_planes(shape, input_gradient, shape.pixels(), |plane, out| {
        let gradient = &gradient[plane * pooled..][..pooled];
        set.run(AveragePoolGradient { shape, counts_padding, gradient, out });
    });
}

struct AveragePoolGradient<'a> {
    shape: PoolShape,
    counts_padding: bool,
    gradient: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for AveragePoolGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { shape, counts_padding, gradient, out } = self;
        let PoolShape { height, width, vertical, horizontal, .. } = shape;
        let (_, pooled_width) = shape.pooled();
        out.fill(0.0);
        let mut along_row = vec![0.0; width];
        for (window_row, gradient) in gradient.chunks_exact(pooled_width).enumerate() {
            // First along the row, which all rows of the windows then share.
            let rows = vertical.numbers(window_row, height);
            along_row.fill(0.0);
            for (window, g) in gradient.iter().enumerate() {
                let g = g * share(shape, counts_padding, rows.len(), window);
                for sum in &mut along_row[horizontal.numbers(window, width)] {
                    *sum += g;
                }
            }
            for row in rows {
                for (out, sum) in out[row * width..][..width].iter_mut().zip(&along_row) {
                    *out += sum;
                }
            }
        }
    }
}
