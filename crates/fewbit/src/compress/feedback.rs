//! Weights to multiples of a step, where later weights make up for what earlier ones err.
//!
//! A layer's output errs by `eᵀ·H·e` for errors `e` of the weights and second moments `H` of the inputs. With
//! `H = R·D·Rᵀ`, `R` upper triangular with a diagonal of 1, that is a sum of squares
//!
//! ```text
//! Σ_j d_j (w'_j - ŵ_j)²,    w'_j = w_j + Σ_{i<j} R_ij (w_i - ŵ_i)
//! ```
//!
//! so that weights are rounded one after the other, each after those before it have moved it: GPTQ (Frantar et
//! al. 2023) and optimal brain surgeon, written without the inverse. Which input comes last is free, and `d_j` is what
//! its square is beyond what later inputs tell of it. The sum of the `d_j` is least where they are alike (their
//! product is the determinant), so that the input with the smallest is taken for the last, and so on.
//!
//! Levels are chosen by what they cost, as [`rounding`](crate::scale::rounding) does, with `d_j` over their mean as the
//! weight of an error.

use rayon::prelude::*;

use super::second_moments::{MomentsError, SecondMoments};
use crate::scale::MAX_LEVEL;
use crate::scale::rounding::{LEVELS, RATE, bits_of_levels, place};

/// What is added to the diagonal, as a share of its mean: inputs that were never seen matter a little.
const DAMPING: f64 = 0.01;

/// The fewest samples that say how inputs vary together.
const FEWEST: u64 = 16;

/// Levels are at most this far from zero: widths of 8 bits.
const FURTHEST: f32 = MAX_LEVEL as f32;

/// How often weights are rounded: to count levels, then twice by what they cost.
const PASSES: usize = 3;

/// How the rounding errors of a layer's inputs are passed on.
#[derive(Clone, Debug)]
pub(super) struct Feedback {
    blocks: Vec<Block>,
    /// Inputs of the layer.
    inputs: usize,
    /// The mean of `d_j` over the mean of the inputs' squares.
    gain: f64,
}

#[derive(Clone, Debug)]
struct Block {
    /// The input that is rounded first, second and so on.
    order: Vec<usize>,
    /// `R` in that order, row by row: row `i` says what an error of the input `i` moves.
    passed_on: Vec<f32>,
    /// `d_j` over their mean in the whole layer.
    weights: Vec<f32>,
}

impl Feedback {
    /// What second moments say.
    ///
    /// # Errors
    /// [`MomentsError::TooFew`] samples.
    pub(super) fn new(moments: &SecondMoments) -> Result<Self, MomentsError> {
        if moments.samples() < FEWEST {
            return Err(MomentsError::TooFew { found: moments.samples(), needed: FEWEST });
        }
        let mean_square = moments.mean_square();
        // Inputs that are all zero are as good as any.
        let damping = if mean_square > 0.0 { DAMPING * mean_square } else { 1.0 };
        let factors: Vec<_> = moments
            .blocks()
            .map(|(block, sums)| (block.start, Factor::new(sums.to_vec(), block.len(), damping)))
            .collect();
        let rest: f64 = factors.iter().flat_map(|(_, factor)| &factor.diagonal).sum();
        let mean = rest / moments.inputs() as f64;
        let blocks = factors.into_iter().map(|(start, factor)| Block {
            order: factor.order.iter().map(|input| start + input).collect(),
            passed_on: factor.upper.iter().map(|value| *value as f32).collect(),
            weights: factor.diagonal.iter().map(|rest| (rest / mean) as f32).collect(),
        });
        let gain = mean / (mean_square + damping);
        Ok(Self { blocks: blocks.collect(), inputs: moments.inputs(), gain })
    }

    /// By how much the output errs less for a step than where errors are not passed on; 1 at most.
    pub(super) fn gain(&self) -> f64 {
        self.gain
    }

    /// The level of each weight, whose `positions` are in steps, `[out, inputs]`; `trade` is that of
    /// [`rounding::levels`](crate::scale::rounding::levels).
    pub(super) fn levels(&self, positions: &[f32], trade: f32) -> Vec<i16> {
        let mut levels = vec![0i16; positions.len()];
        let mut costs = [0.0; LEVELS];
        for pass in 0..PASSES {
            if pass > 0 {
                if trade <= 0.0 {
                    break;
                }
                let rate = f64::from(trade) * RATE;
                costs = bits_of_levels(&levels).map(|bits| (rate * bits) as f32);
            }
            positions
                .par_chunks(self.inputs)
                .zip(levels.par_chunks_mut(self.inputs))
                .for_each(|(positions, levels)| self.round_row(positions, levels, &costs));
        }
        levels
    }

    /// The levels of one output's weights.
    fn round_row(&self, positions: &[f32], levels: &mut [i16], costs: &[f32; LEVELS]) {
        for block in &self.blocks {
            let size = block.order.len();
            let mut moved: Vec<f32> = block.order.iter().map(|&input| positions[input]).collect();
            for (turn, &input) in block.order.iter().enumerate() {
                let level = cheapest(moved[turn], block.weights[turn], costs);
                levels[input] = level;
                let error = positions[input] - f32::from(level);
                let passed_on = &block.passed_on[turn * size..][..size];
                for (moved, share) in moved[turn + 1..].iter_mut().zip(&passed_on[turn + 1..]) {
                    *moved += share * error;
                }
            }
        }
    }
}

/// The nearest level, or one nearer to zero if that costs less.
fn cheapest(position: f32, weight: f32, costs: &[f32; LEVELS]) -> i16 {
    let nearest = position.round_ties_even().clamp(-FURTHEST, FURTHEST) as i16;
    let cost = |level: i16| weight * (position - f32::from(level)).powi(2) + costs[place(level)];
    let nearer = nearest - nearest.signum();
    let candidates = [nearest, nearer, nearer - nearer.signum(), 0];
    let mut best = (cost(nearest), nearest);
    for level in candidates {
        let cost = cost(level);
        if cost < best.0 {
            best = (cost, level);
        }
    }
    best.1
}

/// `H = R·D·Rᵀ` with rows and columns in an order of its own.
struct Factor {
    order: Vec<usize>,
    /// `R`, row by row.
    upper: Vec<f64>,
    /// `D`.
    diagonal: Vec<f64>,
}

impl Factor {
    /// That of a symmetric matrix without negative eigenvalues, once `damping` is added to its diagonal.
    fn new(mut matrix: Vec<f64>, size: usize, damping: f64) -> Self {
        for index in 0..size {
            matrix[index * (size + 1)] += damping;
        }
        let mut order: Vec<usize> = (0..size).collect();
        let mut diagonal = vec![0.0; size];
        for last in (0..size).rev() {
            let at = |index: usize| matrix[index * (size + 1)];
            let smallest = (0..=last).min_by(|a, b| at(*a).total_cmp(&at(*b))).unwrap_or(last);
            order.swap(smallest, last);
            swap(&mut matrix, size, smallest, last);
            // Rounding can leave less than was added.
            let pivot = matrix[last * (size + 1)].max(damping);
            diagonal[last] = pivot;
            let (above, row) = matrix.split_at_mut(last * size);
            // The column above the pivot is the row before it, as the matrix is symmetric.
            let column: Vec<f64> = row[..last].to_vec();
            above.par_chunks_mut(size).zip(&column).with_min_len(64).for_each(|(row, value)| {
                let share = value / pivot;
                row[..last].iter_mut().zip(&column).for_each(|(entry, other)| *entry -= share * other);
                row[last] = share;
            });
            row[last] = 1.0;
            row[..last].fill(0.0);
        }
        Self { order, upper: matrix, diagonal }
    }
}

/// Swaps two rows and the two columns of a matrix of which, right of column `right`, `R` is already there.
fn swap(matrix: &mut [f64], size: usize, left: usize, right: usize) {
    if left == right {
        return;
    }
    for column in 0..size {
        matrix.swap(left * size + column, right * size + column);
    }
    for row in 0..=right {
        matrix.swap(row * size + left, row * size + right);
    }
}

#[cfg(test)]
mod tests {
    use fewbit_testing::Numbers;

    use super::*;
    use crate::scale::rounding;

    /// `[[4, 2], [2, 3]]`: the smaller square is 3, of the second input, which comes last and is left alone. `R_12 =
    /// 2/3`, and of 4 there is left 4 - 2·2/3 = 8/3.
    #[test]
    fn two_inputs_by_hand() {
        let factor = Factor::new(vec![4.0, 2.0, 2.0, 3.0], 2, 0.0);
        assert_eq!(factor.order, [0, 1]);
        let close = |found: &[f64], expected: &[f64]| {
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15), "{found:?}");
        };
        close(&factor.upper, &[1.0, 2.0 / 3.0, 0.0, 1.0]);
        close(&factor.diagonal, &[8.0 / 3.0, 3.0]);
        // The other way round, the inputs change places.
        let factor = Factor::new(vec![3.0, 2.0, 2.0, 4.0], 2, 0.0);
        assert_eq!(factor.order, [1, 0]);
        close(&factor.diagonal, &[8.0 / 3.0, 3.0]);
    }

    #[test]
    fn the_factors_multiply_to_the_matrix() {
        const SIZE: usize = 9;
        let mut moments = SecondMoments::new(SIZE);
        moments.add(&Numbers::seeded(1).weights(20 * SIZE)).unwrap();
        let (_, matrix) = moments.blocks().next().unwrap();
        let factor = Factor::new(matrix.to_vec(), SIZE, 0.0);
        for row in 0..SIZE {
            for column in 0..SIZE {
                let r = |row: usize, k: usize| factor.upper[row * SIZE + k];
                let product: f64 = (0..SIZE).map(|k| r(row, k) * factor.diagonal[k] * r(column, k)).sum();
                let expected = matrix[factor.order[row] * SIZE + factor.order[column]];
                assert!((product - expected).abs() < 1e-9, "{row} {column}: {product} {expected}");
            }
            assert!(factor.upper[row * SIZE..][..row].iter().all(|below| *below == 0.0));
        }
    }

    /// Samples of inputs that vary together: each is half the one before it.
    fn correlated(numbers: &mut Numbers, inputs: usize, samples: usize) -> Vec<f32> {
        let mut rows = Vec::with_capacity(inputs * samples);
        for _ in 0..samples {
            let mut last = 0.0;
            for _ in 0..inputs {
                last = 0.9 * last + 0.4 * numbers.normal();
                rows.push(last);
            }
        }
        rows
    }

    fn entropy(levels: &[i16]) -> f64 {
        let bits = bits_of_levels(levels);
        levels.iter().map(|level| bits[place(*level)]).sum::<f64>() / levels.len() as f64
    }

    fn output_error(weights: &[f32], levels: &[i16], step: f32, samples: &[f32], inputs: usize) -> f64 {
        let rows = weights.chunks_exact(inputs).zip(levels.chunks_exact(inputs));
        let errors = rows.map(|(weights, levels)| -> Vec<f32> {
            weights.iter().zip(levels).map(|(weight, level)| weight - f32::from(*level) * step).collect()
        });
        let of_row = |error: Vec<f32>| -> f64 {
            let output = |sample: &[f32]| sample.iter().zip(&error).map(|(x, e)| x * e).sum::<f32>();
            samples.chunks_exact(inputs).map(|sample| f64::from(output(sample)).powi(2)).sum()
        };
        errors.map(of_row).sum()
    }

    /// On samples that the rounding has not seen, at no more entropy.
    #[test]
    fn outputs_err_less_than_with_plain_rounding_at_equal_entropy() {
        const INPUTS: usize = 48;
        let mut numbers = Numbers::seeded(2);
        let (seen, fresh) = (correlated(&mut numbers, INPUTS, 2000), correlated(&mut numbers, INPUTS, 500));
        let mut moments = SecondMoments::new(INPUTS);
        moments.add(&seen).unwrap();
        let feedback = Feedback::new(&moments).unwrap();
        assert!(feedback.gain() < 0.5, "{}", feedback.gain());
        let weights = numbers.weights(64 * INPUTS);
        let spread = (weights.iter().map(|w| w * w).sum::<f32>() / weights.len() as f32).sqrt();
        for step in [0.3, 0.8, 1.6] {
            let plain = rounding::levels(&weights, step * spread, 1.0);
            let target = entropy(&plain);
            let (mut low, mut high) = (0.3 * step * spread, 3.0 * step * spread);
            let with = |step: f32| {
                let positions: Vec<f32> = weights.iter().map(|weight| weight / step).collect();
                feedback.levels(&positions, 1.0)
            };
            for _ in 0..20 {
                let middle = (low + high) / 2.0;
                if entropy(&with(middle)) > target { low = middle } else { high = middle }
            }
            let error = output_error(&weights, &with(high), high, &fresh, INPUTS);
            let before = output_error(&weights, &plain, step * spread, &fresh, INPUTS);
            assert!(error < 0.7 * before, "step {step}: {error} with feedback, {before} without");
        }
    }

    /// Inputs that have nothing to do with each other and the same size: there is nothing to pass on.
    #[test]
    fn independent_inputs_are_rounded_to_the_nearest() {
        let mut moments = SecondMoments::new(3);
        let axes = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        (0..10).for_each(|_| moments.add(&axes).unwrap());
        let feedback = Feedback::new(&moments).unwrap();
        assert!((feedback.gain() - 1.0).abs() < 1e-12);
        let positions = [0.4, -1.6, 2.5, 300.0, -0.6, f32::MIN];
        assert_eq!(feedback.levels(&positions, 0.0), [0, -2, 2, 127, -1, -127]);
    }

    #[test]
    fn too_few_samples_are_refused_and_dead_inputs_are_not() {
        let mut moments = SecondMoments::new(2);
        moments.add(&[1.0; 2 * 15]).unwrap();
        let error = Feedback::new(&moments).unwrap_err();
        assert_eq!(error, MomentsError::TooFew { found: 15, needed: 16 });
        let mut moments = SecondMoments::new(2);
        moments.add(&[0.0; 2 * 16]).unwrap();
        assert_eq!(Feedback::new(&moments).unwrap().levels(&[0.6, -2.2], 0.0), [1, -2]);
    }
}
