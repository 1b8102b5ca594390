//! Layer norm against the formulas in `f64`, slopes of the loss, all sets.

use fewbit_testing::Numbers;

use super::*;

const EPSILON: f32 = 1e-5;
const SIZES: [(usize, usize); 10] =
    [(0, 4), (3, 0), (1, 1), (2, 3), (5, 31), (7, 33), (3, 256), (70, 300), (600, 17), (2, 20_000)];

/// Output, mean and inverse deviation as the formulas read, in `f64`.
fn scalar(input: &[f32], gamma: &[f32], beta: &[f32]) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let (mut out, mut means, mut inverses) = (vec![], vec![], vec![]);
    for row in input.chunks(gamma.len().max(1)) {
        let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / row.len() as f64;
        let variance = row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / row.len() as f64;
        let inverse = 1.0 / (variance + f64::from(EPSILON)).sqrt();
        for ((&x, &gamma), &beta) in row.iter().zip(gamma).zip(beta) {
            out.push((f64::from(x) - mean) * inverse * f64::from(gamma) + f64::from(beta));
        }
        means.push(mean);
        inverses.push(inverse);
    }
    (out, means, inverses)
}

fn assert_close(ours: &[f32], exact: &[f64], tolerance: f64, what: &str) {
    assert_eq!(ours.len(), exact.len(), "{what}");
    for (place, (&ours, &exact)) in ours.iter().zip(exact).enumerate() {
        let bound = tolerance * exact.abs().max(1.0);
        assert!((f64::from(ours) - exact).abs() <= bound, "{what} {place}: {ours}, exact {exact}");
    }
}

#[test]
fn rows_come_out_normalized_whatever_their_mean() {
    let mut numbers = Numbers::seeded(5);
    for (rows, width) in SIZES {
        for offset in [0.0, 1000.0] {
            let mut input = numbers.weights(rows * width);
            input.iter_mut().for_each(|x| *x += offset);
            let (gamma, beta) = (numbers.weights(width), numbers.weights(width));
            let (exact, exact_mean, exact_inverse) = scalar(&input, &gamma, &beta);
            let mut first = None;
            for set in InstructionSet::available() {
                let mut out = vec![f32::NAN; rows * width];
                let (mut mean, mut inverse) = (vec![f32::NAN; rows], vec![f32::NAN; rows]);
                layer_norm_on(set, &input, &gamma, Some(&beta), EPSILON, &mut out, &mut mean, &mut inverse);
                if width > 1 {
                    // The mean is rounded to 2^-24 of itself, which a normalized number feels.
                    let tolerance = 2e-6 + f64::from(offset) * 5e-7;
                    assert_close(&out, &exact, tolerance, "number");
                    assert_close(&mean, &exact_mean, 1e-6, "mean");
                    assert_close(&inverse, &exact_inverse, 1e-5, "inverse deviation");
                }
                let mut plain = vec![f32::NAN; rows * width];
                layer_norm_on(set, &input, &gamma, None, EPSILON, &mut plain, &mut mean, &mut inverse);
                let with_beta: Vec<f64> = plain
                    .iter()
                    .enumerate()
                    .map(|(i, &x)| f64::from(x) + f64::from(beta[i % width]))
                    .collect();
                assert_close(&out, &with_beta, 1e-6, "without beta");
                assert_eq!(*first.get_or_insert(out.clone()), out, "{rows} x {width}, {set:?}");
            }
        }
    }
}

#[test]
fn the_gradients_are_the_slopes_of_the_loss() {
    let mut numbers = Numbers::seeded(6);
    for (rows, width) in [(1, 2), (3, 5), (2, 33)] {
        let (input, gamma) = (numbers.weights(rows * width), numbers.weights(width));
        let (beta, gradient) = (numbers.weights(width), numbers.weights(rows * width));
        let loss = |input: &[f32], gamma: &[f32], beta: &[f32]| -> f64 {
            let (out, ..) = scalar(input, gamma, beta);
            out.iter().zip(&gradient).map(|(out, &g)| out * f64::from(g)).sum()
        };
        // Steps that `f32` holds exactly; the quotient's error is of the order of their square.
        let slopes = |of: &[f32], loss: &dyn Fn(&[f32]) -> f64| -> Vec<f64> {
            let slope = |place: usize| {
                let moved = |step: f32| {
                    let mut moved = of.to_vec();
                    moved[place] += step;
                    (f64::from(moved[place]), loss(&moved))
                };
                let ((right, above), (left, below)) = (moved(1.0 / 512.0), moved(-1.0 / 512.0));
                (above - below) / (right - left)
            };
            (0..of.len()).map(slope).collect()
        };
        let (input_gradient, gamma_gradient, beta_gradient) =
            gradients(InstructionSet::detect(), &input, &gamma, &gradient);
        let tolerance = if width > 2 { 1e-3 } else { 1e-1 };
        assert_close(&input_gradient, &slopes(&input, &|x| loss(x, &gamma, &beta)), tolerance, "input");
        assert_close(&gamma_gradient, &slopes(&gamma, &|x| loss(&input, x, &beta)), 1e-5, "gamma");
        assert_close(&beta_gradient, &slopes(&beta, &|x| loss(&input, &gamma, x)), 1e-5, "beta");
    }
}

fn gradients(
    set: InstructionSet,
    input: &[f32],
    gamma: &[f32],
    gradient: &[f32],
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let width = gamma.len();
    let rows = input.len().checked_div(width).unwrap_or(0);
    let (mut mean, mut inverse) = (vec![0.0; rows], vec![0.0; rows]);
    let mut out = vec![f32::NAN; input.len()];
    layer_norm_on(set, input, gamma, None, EPSILON, &mut out, &mut mean, &mut inverse);
    let forward = NormalizedRows { input, gamma, mean: &mean, inverse_deviation: &inverse };
    let (mut gamma_gradient, mut beta_gradient) = (vec![f32::NAN; width], vec![f32::NAN; width]);
    let beta_place = Some(&mut beta_gradient[..]);
    layer_norm_gradient_on(set, forward, gradient, &mut out, &mut gamma_gradient, beta_place);
    (out, gamma_gradient, beta_gradient)
}

#[test]
fn gradients_are_those_of_the_formulas_for_every_size_and_set() {
    let mut numbers = Numbers::seeded(7);
    for (rows, width) in SIZES {
        let (input, gamma) = (numbers.weights(rows * width), numbers.weights(width));
        let gradient = numbers.weights(rows * width);
        let (_, mean, inverse) = scalar(&input, &gamma, &vec![0.0; width]);
        let (mut exact, mut exact_gamma, mut exact_beta) = (vec![], vec![0.0; width], vec![0.0; width]);
        for (row, x) in input.chunks(width.max(1)).enumerate() {
            let g = &gradient[row * width..][..width];
            let normalized: Vec<f64> = x.iter().map(|&x| (f64::from(x) - mean[row]) * inverse[row]).collect();
            let h: Vec<f64> = g.iter().zip(&gamma).map(|(&g, &c)| f64::from(g) * f64::from(c)).collect();
            let mean_h = h.iter().sum::<f64>() / width as f64;
            let mean_product = h.iter().zip(&normalized).map(|(h, n)| h * n).sum::<f64>() / width as f64;
            for i in 0..width {
                exact.push((h[i] - mean_h - normalized[i] * mean_product) * inverse[row]);
                exact_gamma[i] += f64::from(g[i]) * normalized[i];
                exact_beta[i] += f64::from(g[i]);
            }
        }
        let mut first = None;
        for set in InstructionSet::available() {
            let ours = gradients(set, &input, &gamma, &gradient);
            // Sums of up to 600 numbers of magnitude 1 to 3, each rounded to 2^-24 of the sum.
            assert_close(&ours.0, &exact, if width > 1 { 1e-5 } else { 1e-2 }, "input");
            assert_close(&ours.1, &exact_gamma, 2e-5, "gamma");
            assert_close(&ours.2, &exact_beta, 2e-5, "beta");
            assert_eq!(*first.get_or_insert(ours.clone()), ours, "{rows} x {width}, {set:?}");
        }
    }
}
