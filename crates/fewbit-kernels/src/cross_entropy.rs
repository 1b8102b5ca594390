//! The softmax cross-entropy, the loss of classification, with its gradient.

use rayon::prelude::*;

use crate::dispatch::{InstructionSet, Kernel};
use crate::elementwise::{PIECE, check_length};
use crate::math::{exp, log2};
use crate::out_of_range::OutOfRange;
use crate::sums::{LANES, sum_of_lanes};

/// The mean over rows of `-ln softmax(logits)[target]`, and its gradient where there is a place for it.
///
/// `logits` and `gradient` are `[rows, classes]`, with one target per row. The gradient of a row is
/// `(softmax - one at the target) / rows`. Of no rows the mean is NaN.
///
/// # Errors
/// [`OutOfRange`] with the first target that is not in `0..classes`; `gradient` is as it was.
///
/// # Panics
/// When `logits` is not one row of `classes` per target, or `gradient` has not its length.
pub fn cross_entropy(
    logits: &[f32],
    classes: usize,
    targets: &[i64],
    gradient: Option<&mut [f32]>,
) -> Result<f32, OutOfRange> {
    cross_entropy_on(InstructionSet::detect(), logits, classes, targets, gradient)
}

pub(crate) fn cross_entropy_on(
    set: InstructionSet,
    logits: &[f32],
    classes: usize,
    targets: &[i64],
    gradient: Option<&mut [f32]>,
) -> Result<f32, OutOfRange> {
    check_length("logits", logits.len(), classes * targets.len());
    check_length("gradient", gradient.as_ref().map_or(logits.len(), |gradient| gradient.len()), logits.len());
    OutOfRange::check(targets, classes)?;
    let rows = targets.len();
    if rows == 0 {
        return Ok(f32::NAN);
    }
    // There is a target in `0..classes`, so that rows are not empty.
    let share = 1.0 / rows as f32;
    let rows_per_piece = (PIECE / classes).max(1);
    let piece = rows_per_piece * classes;
    let pieces = logits.par_chunks(piece).zip(targets.par_chunks(rows_per_piece));
    let losses: Vec<f64> = match gradient {
        None if logits.len() <= PIECE => vec![set.run(Loss { logits, classes, targets })],
        Some(gradient) if logits.len() <= PIECE => {
            vec![set.run(LossAndGradient { logits, classes, targets, share, gradient })]
        }
        None => pieces.map(|(logits, targets)| set.run(Loss { logits, classes, targets })).collect(),
        Some(gradient) => pieces
            .zip(gradient.par_chunks_mut(piece))
            .map(|((logits, targets), gradient)| {
                set.run(LossAndGradient { logits, classes, targets, share, gradient })
            })
            .collect(),
    };
    Ok((losses.iter().sum::<f64>() / rows as f64) as f32)
}

/// The sum of the rows' losses.
struct Loss<'a> {
    logits: &'a [f32],
    classes: usize,
    targets: &'a [i64],
}

impl Kernel for Loss<'_> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        let mut loss = 0.0;
        for (row, &target) in self.logits.chunks_exact(self.classes).zip(self.targets) {
            let largest = largest(row);
            let mut sums = [0.0; LANES];
            let (whole, rest) = row.as_chunks::<LANES>();
            for chunk in whole {
                for lane in 0..LANES {
                    sums[lane] += power(chunk[lane] - largest);
                }
            }
            for (sum, x) in sums.iter_mut().zip(rest) {
                *sum += power(x - largest);
            }
            loss += loss_of_row(sum_of_lanes(sums), largest, row[target as usize]);
        }
        loss
    }
}

/// The same, with the gradient of the loss times `share`.
struct LossAndGradient<'a> {
    logits: &'a [f32],
    classes: usize,
    targets: &'a [i64],
    share: f32,
    gradient: &'a mut [f32],
}

impl Kernel for LossAndGradient<'_> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        let mut loss = 0.0;
        let rows = self.logits.chunks_exact(self.classes).zip(self.gradient.chunks_exact_mut(self.classes));
        for ((row, gradient), &target) in rows.zip(self.targets) {
            let largest = largest(row);
            let mut sums = [0.0; LANES];
            let (whole, rest) = row.as_chunks::<LANES>();
            let (powers, powers_rest) = gradient.as_chunks_mut::<LANES>();
            for (chunk, powers) in whole.iter().zip(powers) {
                for lane in 0..LANES {
                    powers[lane] = power(chunk[lane] - largest);
                    sums[lane] += powers[lane];
                }
            }
            for ((x, power_of_x), sum) in rest.iter().zip(powers_rest).zip(&mut sums) {
                *power_of_x = power(x - largest);
                *sum += *power_of_x;
            }
            let sum = sum_of_lanes(sums);
            let scale = self.share / sum;
            for power in gradient.iter_mut() {
                *power *= scale;
            }
            gradient[target as usize] -= self.share;
            loss += loss_of_row(sum, largest, row[target as usize]);
        }
        loss
    }
}

/// `ln Σ e^x - x[target]`, of the sum of `e^(x - largest)`.
#[inline(always)]
fn loss_of_row(sum: f32, largest: f32, at_target: f32) -> f64 {
    f64::from(log2(sum)) * std::f64::consts::LN_2 + (f64::from(largest) - f64::from(at_target))
}

/// `e^difference` of a difference that is not above 0.
#[inline(always)]
pub(crate) fn power(difference: f32) -> f32 {
    // Below, `f32` knows no more than 0. Written so that NaN passes.
    let below = difference < -87.0;
    let power = exp(if below { -87.0 } else { difference });
    if below { 0.0 } else { power }
}

#[inline(always)]
pub(crate) fn largest(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (whole, rest) = row.as_chunks::<LANES>();
    for chunk in whole {
        for lane in 0..LANES {
            lanes[lane] = if chunk[lane] > lanes[lane] { chunk[lane] } else { lanes[lane] };
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = if x > *lane { x } else { *lane };
    }
    lanes.into_iter().fold(f32::NEG_INFINITY, |largest, x| if x > largest { x } else { largest })
}

#[cfg(test)]
mod tests {
    use fewbit_testing::Numbers;

    use super::*;

    /// The loss and its gradient as the formulas read, in `f64`.
    fn scalar(logits: &[f32], classes: usize, targets: &[i64]) -> (f64, Vec<f64>) {
        let (mut loss, mut gradient) = (0.0, vec![]);
        let rows = targets.len() as f64;
        for (row, &target) in logits.chunks(classes).zip(targets) {
            let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            let powers: Vec<f64> = row.iter().map(|&x| (f64::from(x) - largest).exp()).collect();
            let sum: f64 = powers.iter().sum();
            loss += sum.ln() + largest - f64::from(row[target as usize]);
            let one_at = |class| f64::from(u8::from(class == target as usize));
            gradient.extend(powers.iter().enumerate().map(|(class, p)| (p / sum - one_at(class)) / rows));
        }
        (loss / rows, gradient)
    }

    #[test]
    fn loss_and_gradient_are_those_of_the_formulas() {
        let mut numbers = Numbers::seeded(8);
        for (rows, classes) in [(1, 1), (2, 3), (5, 10), (3, 16), (7, 37), (4, 256), (100, 301), (2, 20_000)]
        {
            let logits: Vec<f32> = numbers.weights(rows * classes).iter().map(|x| 10.0 * x).collect();
            let targets: Vec<i64> = (0..rows).map(|_| numbers.below(classes) as i64).collect();
            let (exact_loss, exact) = scalar(&logits, classes, &targets);
            let mut first = None;
            for set in InstructionSet::available() {
                let mut gradient = vec![f32::NAN; rows * classes];
                let loss = cross_entropy_on(set, &logits, classes, &targets, Some(&mut gradient)).unwrap();
                assert_eq!(cross_entropy_on(set, &logits, classes, &targets, None), Ok(loss));
                // Logits of up to 50 are rounded to 3e-6 when multiplied with log2 e for the power.
                assert!(
                    (f64::from(loss) - exact_loss).abs() < 1e-5 * exact_loss.max(1.0),
                    "{rows} x {classes}"
                );
                for (ours, exact) in gradient.iter().zip(&exact) {
                    assert!((f64::from(*ours) - exact).abs() < 1e-5 / rows as f64, "{ours}, exact {exact}");
                }
                let ours = (loss.to_bits(), gradient);
                assert_eq!(*first.get_or_insert(ours.clone()), ours, "{rows} x {classes}, {set:?}");
            }
        }
    }

    #[test] // softmax of (0, ln 3) is (1/4, 3/4); of (0, 0) it is (1/2, 1/2)
    fn two_rows_by_hand() {
        let logits = [0.0, 3f32.ln(), 0.0, 0.0];
        let mut gradient = [f32::NAN; 4];
        let loss = cross_entropy(&logits, 2, &[1, 0], Some(&mut gradient)).unwrap();
        let expected = (-(0.75f32.ln()) - 0.5f32.ln()) / 2.0;
        assert!((loss - expected).abs() < 1e-6, "{loss}");
        for (ours, exact) in gradient.iter().zip([0.125, -0.125, -0.25, 0.25]) {
            assert!((ours - exact).abs() < 1e-6, "{gradient:?}");
        }
    }

    #[test]
    fn large_logits_overflow_nothing_and_an_impossible_class_has_no_gradient() {
        let mut gradient = [f32::NAN; 3];
        let loss = cross_entropy(&[1e30, -1e30, f32::NEG_INFINITY], 3, &[0], Some(&mut gradient));
        assert_eq!((loss, gradient), (Ok(0.0), [0.0; 3]));
        assert!(cross_entropy(&[f32::NAN, 0.0], 2, &[1], None).unwrap().is_nan());
        assert!(cross_entropy(&[], 2, &[], None).unwrap().is_nan());
    }

    #[test]
    fn a_target_that_is_no_class_is_an_error() {
        for (target, place) in [(3, 1), (-1, 1)] {
            let mut gradient = [7.0; 6];
            let error = cross_entropy(&[0.0; 6], 3, &[0, target], Some(&mut gradient));
            assert_eq!(error, Err(OutOfRange { place, found: target, count: 3 }));
            assert_eq!(gradient, [7.0; 6]);
        }
        assert!(cross_entropy(&[], 0, &[0], None).is_err());
    }
}
