//! A linear layer `y = x·W + b` with the weight `[in, out]`, forward and backward.

use rayon::prelude::*;

use crate::dispatch::{InstructionSet, Kernel};
use crate::elementwise::check_length;
use crate::product::{Matrix, Start, product, product_on};

/// Sizes of a linear layer and of what it is applied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linear {
    /// Vectors that the layer is applied to.
    pub rows: usize,
    /// Length of each.
    pub inputs: usize,
    /// Length of each result.
    pub outputs: usize,
}

impl Linear {
    fn input<'a>(&self, values: &'a [f32]) -> Matrix<'a> {
        Matrix::new(values, self.rows, self.inputs)
    }

    fn weight<'a>(&self, values: &'a [f32]) -> Matrix<'a> {
        Matrix::new(values, self.inputs, self.outputs)
    }

    fn output<'a>(&self, values: &'a [f32]) -> Matrix<'a> {
        Matrix::new(values, self.rows, self.outputs)
    }
}

/// Writes `input·weight + bias`, `[rows, outputs]`.
///
/// # Panics
/// When a slice has not the length that `layer` asks for.
pub fn linear(layer: Linear, input: &[f32], weight: &[f32], bias: Option<&[f32]>, out: &mut [f32]) {
    let start = match bias {
        Some(bias) => {
            check_length("bias", bias.len(), layer.outputs);
            Start::Row(bias)
        }
        None => Start::Zero,
    };
    product_on(InstructionSet::detect(), layer.input(input), layer.weight(weight), start, out);
}

/// Writes the loss's gradient with respect to the input, `[rows, inputs]`; `gradient` is that of the output.
///
/// # Panics
/// When a slice has not the length that `layer` asks for.
pub fn linear_input_gradient(layer: Linear, gradient: &[f32], weight: &[f32], out: &mut [f32]) {
    product(layer.output(gradient), layer.weight(weight).transpose(), false, out);
}

/// Writes the loss's gradient with respect to the weight, `[inputs, outputs]`.
///
/// # Panics
/// When a slice has not the length that `layer` asks for.
pub fn linear_weight_gradient(layer: Linear, input: &[f32], gradient: &[f32], out: &mut [f32]) {
    product(layer.input(input).transpose(), layer.output(gradient), false, out);
}

/// Writes the loss's gradient with respect to the bias: the sum of the rows of `gradient`.
///
/// Rows are added in runs of a fixed length and these in their order.
///
/// # Panics
/// When the length of `gradient` is not a multiple of that of `out`.
pub fn linear_bias_gradient(gradient: &[f32], out: &mut [f32]) {
    linear_bias_gradient_on(InstructionSet::detect(), gradient, out);
}

/// Rows of a run.
const RUN: usize = 64;

pub(crate) fn linear_bias_gradient_on(set: InstructionSet, gradient: &[f32], out: &mut [f32]) {
    out.fill(0.0);
    if out.is_empty() {
        return check_length("gradient", gradient.len(), 0);
    }
    let width = out.len();
    check_length("gradient", gradient.len(), gradient.len() / width * width);
    let sum_of_run = |run: &[f32]| {
        let mut sum = vec![0.0; width];
        set.run(AddRows { rows: run, sum: &mut sum });
        sum
    };
    let sums: Vec<Vec<f32>> = gradient.par_chunks(RUN * width).map(sum_of_run).collect();
    for sum in &sums {
        set.run(AddRows { rows: sum, sum: out });
    }
}

/// Adds each row to the sum.
struct AddRows<'a> {
    rows: &'a [f32],
    sum: &'a mut [f32],
}

impl Kernel for AddRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for row in self.rows.chunks_exact(self.sum.len()) {
            for (sum, number) in self.sum.iter_mut().zip(row) {
                *sum += number;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use fewbit_testing::Numbers;

    use super::*;

    const SHAPES: [[usize; 3]; 6] =
        [[0, 3, 2], [1, 1, 1], [5, 3, 2], [7, 0, 4], [33, 70, 17], [300, 65, 130]];

    /// A sum of `count` products of numbers around 1, in two orders.
    fn close(found: &[f32], expected: &[f64], count: usize, what: &str) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            let bound = 1e-6 * (count as f64 + 1.0);
            assert!((f64::from(*found) - expected).abs() < bound, "{what}: {found}, {expected}");
        }
    }

    #[test]
    fn a_layer_and_its_gradients_are_the_sums_they_should_be() {
        let mut numbers = Numbers::seeded(3);
        for [rows, inputs, outputs] in SHAPES {
            let layer = Linear { rows, inputs, outputs };
            let (x, w) = (numbers.weights(rows * inputs), numbers.weights(inputs * outputs));
            let (b, g) = (numbers.weights(outputs), numbers.weights(rows * outputs));
            let at = |m: &[f32], width: usize, row: usize, column: usize| f64::from(m[row * width + column]);
            let mut out = vec![f32::NAN; rows * outputs];
            linear(layer, &x, &w, Some(&b), &mut out);
            let expected: Vec<f64> = (0..rows * outputs)
                .map(|i| {
                    let (r, o) = (i / outputs, i % outputs);
                    let sum = |k| at(&x, inputs, r, k) * at(&w, outputs, k, o);
                    (0..inputs).map(sum).sum::<f64>() + f64::from(b[o])
                })
                .collect();
            close(&out, &expected, inputs, "output");
            let mut out = vec![f32::NAN; rows * inputs];
            linear_input_gradient(layer, &g, &w, &mut out);
            let expected: Vec<f64> = (0..rows * inputs)
                .map(|i| {
                    let (r, k) = (i / inputs, i % inputs);
                    (0..outputs).map(|o| at(&g, outputs, r, o) * at(&w, outputs, k, o)).sum()
                })
                .collect();
            close(&out, &expected, outputs, "input gradient");
            let mut out = vec![f32::NAN; inputs * outputs];
            linear_weight_gradient(layer, &x, &g, &mut out);
            let expected: Vec<f64> = (0..inputs * outputs)
                .map(|i| {
                    let (k, o) = (i / outputs, i % outputs);
                    (0..rows).map(|r| at(&x, inputs, r, k) * at(&g, outputs, r, o)).sum()
                })
                .collect();
            close(&out, &expected, rows, "weight gradient");
            let expected: Vec<f64> =
                (0..outputs).map(|o| (0..rows).map(|r| at(&g, outputs, r, o)).sum()).collect();
            for set in InstructionSet::available() {
                let mut out = vec![f32::NAN; outputs];
                linear_bias_gradient_on(set, &g, &mut out);
                close(&out, &expected, rows, "bias gradient");
            }
        }
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let mut numbers = Numbers::seeded(4);
        let (layer, outputs) = (Linear { rows: 300, inputs: 257, outputs: 130 }, 130);
        let (x, w) = (numbers.weights(300 * 257), numbers.weights(257 * outputs));
        let g = numbers.weights(300 * outputs);
        let all = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut outs =
                    [300 * outputs, 300 * 257, 257 * outputs, outputs].map(|len| vec![f32::NAN; len]);
                linear(layer, &x, &w, None, &mut outs[0]);
                linear_input_gradient(layer, &g, &w, &mut outs[1]);
                linear_weight_gradient(layer, &x, &g, &mut outs[2]);
                linear_bias_gradient(&g, &mut outs[3]);
                outs
            })
        };
        let one = all(1);
        assert!(all(2) == one && all(3) == one);
    }
}
