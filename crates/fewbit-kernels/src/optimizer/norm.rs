//! The square of a tensor's norm.

use rayon::prelude::*;

use crate::dispatch::{InstructionSet, Kernel};
use crate::elementwise::PIECE;

/// Numbers whose squares are added in `f64` side by side.
const WIDE: usize = 32;

/// The sum of the squares, added in `f64` in an order that depends on the length alone.
pub fn square_sum(values: &[f32]) -> f64 {
    square_sum_on(InstructionSet::detect(), values)
}

pub(crate) fn square_sum_on(set: InstructionSet, values: &[f32]) -> f64 {
    if values.len() <= PIECE {
        return set.run(SquareSum(values));
    }
    let pieces: Vec<f64> = values.par_chunks(PIECE).map(|piece| set.run(SquareSum(piece))).collect();
    pieces.iter().sum()
}

struct SquareSum<'a>(&'a [f32]);

impl Kernel for SquareSum<'_> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        let (whole, rest) = self.0.as_chunks::<WIDE>();
        let mut sums = [0.0f64; WIDE];
        for chunk in whole {
            for lane in 0..WIDE {
                let value = f64::from(chunk[lane]);
                sums[lane] = value.mul_add(value, sums[lane]);
            }
        }
        for (sum, &value) in sums.iter_mut().zip(rest) {
            *sum = f64::from(value).mul_add(f64::from(value), *sum);
        }
        sums.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use fewbit_testing::{Numbers, RAGGED_LENGTHS};

    use super::*;

    #[test]
    fn it_is_the_sum_of_the_squares_on_every_set_and_any_number_of_threads() {
        assert_eq!(square_sum(&[3.0, 4.0]), 25.0);
        assert_eq!(square_sum(&[1e30, 1e30]), 2.0 * f64::from(1e30f32).powi(2));
        let mut numbers = Numbers::seeded(7);
        for length in RAGGED_LENGTHS.into_iter().chain([PIECE + 1, 5 * PIECE + 77]) {
            let values = numbers.weights(length);
            let plain: f64 = values.iter().map(|&x| f64::from(x).powi(2)).sum();
            let sum = square_sum(&values);
            // Each addition rounds by 2^-53 of a sum that only grows.
            assert!((sum - plain).abs() <= plain * length as f64 * 2f64.powi(-52), "{length}");
            for set in InstructionSet::available() {
                assert_eq!(square_sum_on(set, &values).to_bits(), sum.to_bits(), "{set:?}");
            }
            let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
            assert_eq!(pool.install(|| square_sum(&values)).to_bits(), sum.to_bits());
        }
    }
}
