//! The softmax cross-entropy with labels and with what a teacher predicts, with its gradient.

use rayon::prelude::*;

use crate::cross_entropy::{largest, power};
use crate::dispatch::{InstructionSet, Kernel};
use crate::elementwise::{PIECE, check_length};
use crate::math::log2;
use crate::out_of_range::OutOfRange;
use crate::sums::{LANES, sum_of_lanes};

/// The sum over rows of `-l·ln p[target] - t·Σ q·ln p`, with `p = softmax(logits)`, `q = softmax(teacher)` and the row's
/// weights `[l, t]`, and its gradient (Hinton et al. 2015, at a temperature of 1).
///
/// `logits`, `teacher` and `gradient` are `[rows, classes]`, with one target and two weights per row. The gradient of a row
/// is `(l + t)·p - t·q`, less `l` at the target. Logits are finite.
///
/// # Errors
/// [`OutOfRange`] with the first target that is not in `0..classes`; `gradient` is as it was.
///
/// # Panics
/// When lengths do not fit each other.
pub fn distilled_cross_entropy(
    logits: &[f32],
    teacher: &[f32],
    classes: usize,
    targets: &[i64],
    weights: &[[f32; 2]],
    gradient: &mut [f32],
) -> Result<f32, OutOfRange> {
    distilled_cross_entropy_on(
        InstructionSet::detect(),
        Rows { logits, teacher, classes, targets, weights },
        gradient,
    )
}

/// What the loss is of.
#[derive(Clone, Copy)]
struct Rows<'a> {
    logits: &'a [f32],
    teacher: &'a [f32],
    classes: usize,
    targets: &'a [i64],
    weights: &'a [[f32; 2]],
}

fn distilled_cross_entropy_on(
    set: InstructionSet,
    rows: Rows<'_>,
    gradient: &mut [f32],
) -> Result<f32, OutOfRange> {
    let Rows { logits, teacher, classes, targets, weights } = rows;
    check_length("logits", logits.len(), classes * targets.len());
    check_length("teacher", teacher.len(), logits.len());
    check_length("weights", weights.len(), targets.len());
    check_length("gradient", gradient.len(), logits.len());
    OutOfRange::check(targets, classes)?;
    if targets.is_empty() {
        return Ok(0.0);
    }
    // There is a target in `0..classes`, so that rows are not empty.
    let rows_per_piece = (PIECE / classes).max(1);
    let piece = rows_per_piece * classes;
    let losses: Vec<f64> = if logits.len() <= PIECE {
        vec![set.run(Distillation { rows, gradient })]
    } else {
        let sources = logits.par_chunks(piece).zip(teacher.par_chunks(piece));
        let of_rows = targets.par_chunks(rows_per_piece).zip(weights.par_chunks(rows_per_piece));
        let pieces = sources.zip(of_rows).zip(gradient.par_chunks_mut(piece));
        let loss = |(((logits, teacher), (targets, weights)), gradient)| {
            let rows = Rows { logits, teacher, classes, targets, weights };
            set.run(Distillation { rows, gradient })
        };
        pieces.map(loss).collect()
    };
    Ok(losses.iter().sum::<f64>() as f32)
}

/// The sum of some rows' losses.
struct Distillation<'a> {
    rows: Rows<'a>,
    gradient: &'a mut [f32],
}

impl Kernel for Distillation<'_> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        let Rows { logits, teacher, classes, targets, weights } = self.rows;
        let mut loss = 0.0;
        let mut chances = vec![0.0; classes];
        let sources = logits.chunks_exact(classes).zip(teacher.chunks_exact(classes));
        let rows = sources.zip(self.gradient.chunks_exact_mut(classes));
        for (((row, teacher), gradient), (&target, &[label, taught])) in rows.zip(targets.iter().zip(weights))
        {
            let sums = powers([row, teacher], [&mut *gradient, &mut chances]);
            let (own, other) = ((label + taught) / sums.own, taught / sums.teacher);
            for (slope, chance) in gradient.iter_mut().zip(&chances) {
                *slope = *slope * own - *chance * other;
            }
            gradient[target as usize] -= label;
            let logarithm = f64::from(log2(sums.own)) * std::f64::consts::LN_2;
            let at_target = f64::from(row[target as usize]) - f64::from(sums.largest);
            let at_taught = f64::from(sums.products) / f64::from(sums.teacher);
            loss += f64::from(label) * (logarithm - at_target) + f64::from(taught) * (logarithm - at_taught);
        }
        loss
    }
}

/// What a row adds up to, of logits `x` and a teacher's `y`.
struct Sums {
    /// The largest `x`.
    largest: f32,
    /// `Σ e^(x - largest)`.
    own: f32,
    /// `Σ e^(y - largest y)`.
    teacher: f32,
    /// `Σ e^(y - largest y)·(x - largest)`.
    products: f32,
}

/// The powers of e of the differences of a row and of a teacher's row from their largest numbers, and their sums.
#[inline(always)]
fn powers([row, teacher]: [&[f32]; 2], [own, taught]: [&mut [f32]; 2]) -> Sums {
    let (largest, teacher_largest) = (largest(row), largest(teacher));
    let [mut sums, mut teacher_sums, mut products] = [[0.0; LANES]; 3];
    let mut add = |lane: usize, x: f32, y: f32| {
        let difference = x - largest;
        let [own, taught] = [power(difference), power(y - teacher_largest)];
        sums[lane] += own;
        teacher_sums[lane] += taught;
        products[lane] += taught * difference;
        (own, taught)
    };
    let ((rows, row), (teachers, teacher)) = (row.as_chunks::<LANES>(), teacher.as_chunks::<LANES>());
    let ((owns, own), (taughts, taught)) = (own.as_chunks_mut::<LANES>(), taught.as_chunks_mut::<LANES>());
    for (((row, teacher), own), taught) in rows.iter().zip(teachers).zip(owns).zip(taughts) {
        for lane in 0..LANES {
            (own[lane], taught[lane]) = add(lane, row[lane], teacher[lane]);
        }
    }
    for lane in 0..row.len() {
        (own[lane], taught[lane]) = add(lane, row[lane], teacher[lane]);
    }
    let [own, teacher, products] = [sums, teacher_sums, products].map(sum_of_lanes);
    Sums { largest, own, teacher, products }
}

#[cfg(test)]
mod tests {
    use fewbit_testing::Numbers;

    use super::*;
    use crate::cross_entropy;

    fn chances(row: &[f32]) -> Vec<f64> {
        let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let powers: Vec<f64> = row.iter().map(|&x| (f64::from(x) - largest).exp()).collect();
        let sum: f64 = powers.iter().sum();
        powers.iter().map(|power| power / sum).collect()
    }

    /// The loss and its gradient as the formulas read, in `f64`.
    fn scalar(rows: Rows<'_>) -> (f64, Vec<f64>) {
        let (mut loss, mut gradient) = (0.0, vec![]);
        let sources = rows.logits.chunks(rows.classes).zip(rows.teacher.chunks(rows.classes));
        for ((row, teacher), (&target, weights)) in sources.zip(rows.targets.iter().zip(rows.weights)) {
            let [label, taught] = weights.map(f64::from);
            for (class, (p, q)) in chances(row).into_iter().zip(chances(teacher)).enumerate() {
                let wanted = if class == target as usize { label } else { 0.0 } + taught * q;
                loss -= wanted * p.ln();
                gradient.push((label + taught) * p - wanted);
            }
        }
        (loss, gradient)
    }

    #[test]
    fn loss_and_gradient_are_those_of_the_formulas() {
        let mut numbers = Numbers::seeded(8);
        for (rows, classes) in [(1, 1), (2, 3), (5, 10), (3, 16), (7, 37), (4, 256), (100, 301), (2, 20_000)]
        {
            let [logits, teacher] = [(); 2]
                .map(|()| -> Vec<f32> { numbers.weights(rows * classes).iter().map(|x| 3.0 * x).collect() });
            let targets: Vec<i64> = (0..rows).map(|_| numbers.below(classes) as i64).collect();
            let weights: Vec<[f32; 2]> =
                numbers.weights(rows).iter().map(|x| [x.abs(), 1.0 - 0.5 * x.abs()]).collect();
            let input =
                Rows { logits: &logits, teacher: &teacher, classes, targets: &targets, weights: &weights };
            let (exact_loss, exact) = scalar(input);
            let mut first = None;
            for set in InstructionSet::available() {
                let mut gradient = vec![f32::NAN; rows * classes];
                let loss = distilled_cross_entropy_on(set, input, &mut gradient).unwrap();
                assert!(
                    (f64::from(loss) - exact_loss).abs() < 1e-5 * exact_loss.max(1.0),
                    "{rows} x {classes}: {loss}, exact {exact_loss}"
                );
                for (ours, exact) in gradient.iter().zip(&exact) {
                    assert!((f64::from(*ours) - exact).abs() < 1e-5, "{ours}, exact {exact}");
                }
                let ours = (loss.to_bits(), gradient);
                assert_eq!(*first.get_or_insert(ours.clone()), ours, "{rows} x {classes}, {set:?}");
            }
        }
    }

    /// Of chances 1/4 and 3/4 a teacher of 1/2 and 1/2 makes ln 2 + ln(4/3)/2, the label 1 ln(4/3).
    #[test]
    fn a_row_by_hand() {
        let mut gradient = [f32::NAN; 2];
        let found = |weights, gradient: &mut [f32]| {
            distilled_cross_entropy(&[0.0, 3f32.ln()], &[5.0, 5.0], 2, &[1], &[weights], gradient).unwrap()
        };
        let (taught, label) = (2f32.ln() + 0.5 * (4f32 / 3.0).ln(), (4f32 / 3.0).ln());
        for (weights, expected, slope) in [
            ([0.0, 1.0], taught, -0.25),
            ([1.0, 0.0], label, 0.25),
            ([0.5, 2.0], 0.5 * label + 2.0 * taught, -0.375),
        ] {
            let loss = found(weights, &mut gradient);
            assert!((loss - expected).abs() < 1e-6, "{loss}, {expected}");
            assert!((gradient[0] - slope).abs() < 1e-6 && (gradient[1] + slope).abs() < 1e-6, "{gradient:?}");
        }
    }

    #[test]
    fn labels_alone_are_the_plain_cross_entropy() {
        let mut numbers = Numbers::seeded(3);
        let (rows, classes) = (40, 500);
        let logits = numbers.weights(rows * classes);
        let targets: Vec<i64> = (0..rows as i64).map(|row| row * 7).collect();
        let [mut plain, mut ours] = [(); 2].map(|()| vec![f32::NAN; rows * classes]);
        let expected = cross_entropy(&logits, classes, &targets, Some(&mut plain)).unwrap();
        let weights = vec![[1.0 / rows as f32, 0.0]; rows];
        let teacher = vec![0.0; rows * classes];
        let loss =
            distilled_cross_entropy(&logits, &teacher, classes, &targets, &weights, &mut ours).unwrap();
        assert!((loss - expected).abs() < 1e-6);
        assert!(plain.iter().zip(&ours).all(|(a, b)| (a - b).abs() < 1e-8));
    }

    #[test]
    fn what_cannot_be_is_an_error_or_nan() {
        let mut gradient = [7.0; 2];
        let error = distilled_cross_entropy(&[0.0; 2], &[0.0; 2], 2, &[2], &[[1.0; 2]], &mut gradient);
        assert_eq!((error, gradient), (Err(OutOfRange { place: 0, found: 2, count: 2 }), [7.0; 2]));
        for (logits, teacher) in [([f32::NAN, 0.0], [0.0; 2]), ([0.0; 2], [f32::NAN, 0.0])] {
            let loss = distilled_cross_entropy(&logits, &teacher, 2, &[0], &[[0.5; 2]], &mut gradient);
            assert!(loss.unwrap().is_nan() && gradient[1].is_nan());
        }
        assert_eq!(distilled_cross_entropy(&[], &[], 2, &[], &[], &mut []), Ok(0.0));
    }
}
