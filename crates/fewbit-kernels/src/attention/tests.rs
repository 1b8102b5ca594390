//! Attention equals the formula in `f64`, whatever the sizes, the instruction set and the threads.

use super::{
    Attention, attention_gradient_on, attention_on, cross_attention_gradient_on, cross_attention_on,
};
use crate::dispatch::InstructionSet;
use fewbit_testing::Numbers;

fn numbers(count: usize, seed: u64) -> Vec<f32> {
    Numbers::seeded(seed).weights(count)
}

/// Shapes around every place where a path changes.
fn shapes() -> Vec<Attention> {
    let mut shapes = Vec::new();
    for (batch, queries, keys, heads, width) in [
        (1, 1, 1, 1, 1),
        (2, 3, 3, 2, 5),
        (1, 16, 16, 1, 16),
        (1, 17, 17, 2, 33),
        (1, 31, 31, 1, 32),
        (1, 33, 33, 1, 8),
        (2, 50, 50, 3, 20),
        (1, 64, 64, 2, 64),
        (1, 130, 130, 1, 48),
        (1, 5, 40, 2, 12),
        (1, 40, 5, 2, 12),
        (1, 70, 33, 1, 17),
    ] {
        shapes.extend([false, true].map(|causal| Attention { batch, queries, keys, heads, width, causal }));
    }
    shapes
}

/// The scalar twin, in `f64`, head by head as the formulas read.
struct Twin {
    shape: Attention,
    operands: [Vec<f64>; 3],
}

impl Twin {
    fn new(shape: Attention, operands: [&[f32]; 3]) -> Self {
        Self { shape, operands: operands.map(|values| values.iter().copied().map(f64::from).collect()) }
    }

    fn dot(&self, a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    fn vector<'a>(&self, values: &'a [f64], length: usize, head: usize, position: usize) -> &'a [f64] {
        &values[(head * length + position) * self.shape.width..][..self.shape.width]
    }

    /// The weights of a query, and the logarithm of the sum of its exponentials.
    fn weights(&self, head: usize, query: usize) -> (Vec<f64>, f64) {
        let Attention { queries, keys, width, causal, .. } = self.shape;
        let [q, k, _] = &self.operands;
        let q = self.vector(q, queries, head, query);
        let powers: Vec<f64> = (0..keys)
            .map(|key| match causal && key > query {
                true => 0.0,
                false => (self.dot(q, self.vector(k, keys, head, key)) / (width as f64).sqrt()).exp(),
            })
            .collect();
        let sum: f64 = powers.iter().sum();
        (powers.into_iter().map(|power| power / sum).collect(), sum.ln())
    }

    /// `[batch·heads, queries, width]`.
    fn out(&self) -> Vec<f64> {
        let Attention { batch, heads, queries, keys, width, .. } = self.shape;
        let mut out = vec![0.0; batch * heads * queries * width];
        for (row, out) in out.chunks_mut(width).enumerate() {
            let (head, query) = (row / queries, row % queries);
            for (key, weight) in self.weights(head, query).0.into_iter().enumerate() {
                let v = self.vector(&self.operands[2], keys, head, key);
                out.iter_mut().zip(v).for_each(|(out, v)| *out += weight * v);
            }
        }
        out
    }

    /// Of queries, keys and values: the chain rule through product, softmax and product.
    fn gradients(&self, gradient: &[f64]) -> [Vec<f64>; 3] {
        let Attention { batch, heads, queries, keys, width, .. } = self.shape;
        let [q, k, v] = &self.operands;
        let [mut dq, mut dk, mut dv] = self.operands.each_ref().map(|values| vec![0.0; values.len()]);
        for (head, query) in (0..batch * heads).flat_map(|head| (0..queries).map(move |query| (head, query)))
        {
            let weights = self.weights(head, query).0;
            let gradient = self.vector(gradient, queries, head, query);
            let of_weights: Vec<f64> =
                (0..keys).map(|key| self.dot(gradient, self.vector(v, keys, head, key))).collect();
            let mean = self.dot(&weights, &of_weights);
            for key in 0..keys {
                let of_score = weights[key] * (of_weights[key] - mean) / (width as f64).sqrt();
                let [of_q, of_k] = [(head * queries + query) * width, (head * keys + key) * width];
                for (place, gradient) in gradient.iter().enumerate() {
                    dq[of_q + place] += of_score * k[of_k + place];
                    dk[of_k + place] += of_score * q[of_q + place];
                    dv[of_k + place] += weights[key] * gradient;
                }
            }
        }
        [dq, dk, dv]
    }
}

/// Numbers are below 4, sums have few hundred terms: a hundred units in the last place.
fn close(found: &[f32], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len());
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        let apart = (f64::from(*found) - expected).abs();
        assert!(apart < 1e-5 * (1.0 + expected.abs()), "{what} at {place}: {found}, {expected}");
    }
}

struct Case {
    operands: [Vec<f32>; 3],
    gradient: Vec<f32>,
}

fn case(shape: Attention) -> Case {
    let lengths = [shape.queries, shape.keys, shape.keys].map(|length| shape.length_of(length));
    let operands = [0, 1, 2].map(|i| numbers(lengths[i], i as u64));
    Case { operands, gradient: numbers(lengths[0], 3) }
}

/// Output, sums and the three gradients.
fn run(set: InstructionSet, shape: Attention, case: &Case) -> [Vec<f32>; 5] {
    let operands = case.operands.each_ref().map(|values| &values[..]);
    let mut out = vec![f32::NAN; case.gradient.len()];
    let mut log_sums = vec![f32::NAN; shape.sums()];
    cross_attention_on(set, shape, operands, &mut out, &mut log_sums);
    let [mut dq, mut dk, mut dv] = operands.map(|values| vec![f32::NAN; values.len()]);
    let gradients = [&mut dq[..], &mut dk[..], &mut dv[..]];
    cross_attention_gradient_on(set, shape, operands, [&out, &log_sums, &case.gradient], gradients);
    [out, log_sums, dq, dk, dv]
}

#[test]
fn it_follows_the_formulas_and_every_set_gives_the_same_bits() {
    for shape in shapes() {
        let case = case(shape);
        let twin = Twin::new(shape, case.operands.each_ref().map(|values| &values[..]));
        let gradient: Vec<f64> = case.gradient.iter().copied().map(f64::from).collect();
        let first = run(InstructionSet::Baseline, shape, &case);
        close(&first[0], &twin.out(), &format!("output of {shape:?}"));
        let log_sums: Vec<f64> =
            (0..shape.sums()).map(|i| twin.weights(i / shape.queries, i % shape.queries).1).collect();
        close(&first[1], &log_sums, &format!("sums of {shape:?}"));
        for (i, expected) in twin.gradients(&gradient).iter().enumerate() {
            close(&first[2 + i], expected, &format!("gradient {i} of {shape:?}"));
        }
        for set in InstructionSet::available() {
            assert_eq!(run(set, shape, &case), first, "{shape:?} on {set:?}");
        }
    }
}

/// Queries, keys and values of `[batch, heads, time, width]`, side by side or out of it.
fn pack(shape: Attention, [q, k, v]: [&[f32]; 3]) -> Vec<f32> {
    let Attention { batch, keys: time, heads, width, .. } = shape;
    let mut packed = Vec::new();
    for (sequence, position) in (0..batch).flat_map(|b| (0..time).map(move |t| (b, t))) {
        for values in [q, k, v] {
            for head in 0..heads {
                let first = ((sequence * heads + head) * time + position) * width;
                packed.extend(&values[first..first + width]);
            }
        }
    }
    packed
}

#[test]
fn packed_operands_give_what_separate_ones_do() {
    let set = InstructionSet::detect();
    for shape in shapes().into_iter().filter(|shape| shape.queries == shape.keys) {
        let case = case(shape);
        let [out, log_sums, dq, dk, dv] = run(set, shape, &case);
        // Only the first third of what `pack` makes of three equal operands is that of one.
        let by_position = |values: &[f32]| -> Vec<f32> {
            let third = shape.heads * shape.width;
            pack(shape, [values; 3]).chunks(3 * third).flat_map(|row| row[..third].to_vec()).collect()
        };
        let packed = pack(shape, case.operands.each_ref().map(|values| &values[..]));
        let (mut packed_out, mut sums) = (vec![f32::NAN; out.len()], vec![f32::NAN; log_sums.len()]);
        attention_on(set, shape, &packed, &mut packed_out, &mut sums);
        assert_eq!((&packed_out, &sums), (&by_position(&out), &log_sums), "{shape:?}");
        let mut gradient = vec![f32::NAN; packed.len()];
        let known = [&packed_out[..], &sums[..], &by_position(&case.gradient)[..]];
        attention_gradient_on(set, shape, &packed, known, &mut gradient);
        assert_eq!(gradient, pack(shape, [&dq, &dk, &dv]), "{shape:?}");
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let shape = Attention::to_itself(2, 70, 3, 32, true);
    let case = case(shape);
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(InstructionSet::detect(), shape, &case))
    };
    let one = on(1);
    assert!(on(2) == one && on(3) == one);
}

/// Scores of ±1000 and more: weights of exactly 1 and 0, no infinity.
#[test]
fn large_scores_stay_finite() {
    let shape = Attention::to_itself(1, 40, 1, 16, true);
    let mut case = case(shape);
    case.operands[0].iter_mut().for_each(|q| *q *= 1000.0);
    for values in run(InstructionSet::detect(), shape, &case) {
        assert!(values.iter().all(|value| value.is_finite()));
    }
}

#[test]
fn without_keys_the_output_is_zero() {
    let shape = Attention { batch: 1, queries: 3, keys: 0, heads: 1, width: 4, causal: false };
    let case = case(shape);
    let [out, log_sums, dq, ..] = run(InstructionSet::detect(), shape, &case);
    assert!(out.iter().chain(&dq).all(|value| *value == 0.0));
    assert!(log_sums.iter().all(|sum| *sum == f32::NEG_INFINITY));
}
