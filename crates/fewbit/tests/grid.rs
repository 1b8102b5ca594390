//! The laws of rounding to a uniform grid, and cases worked by hand.

use fewbit::{
    BitWidth, Codes, GridKind, GroupSize, Levels, QuantizeError, QuantizedTensor, Ranges, UniformGrid,
    ValueRange,
};
use fewbit_testing::{GROUP_SIZES, Numbers, RAGGED_LENGTHS, half_ulp};
use proptest::collection::vec;
use proptest::prelude::*;

fn width(bits: u8) -> BitWidth {
    BitWidth::new(bits).unwrap()
}

fn grid(minimum: f32, maximum: f32, bits: u8) -> UniformGrid {
    UniformGrid::new(ValueRange::new(minimum, maximum).unwrap(), width(bits))
}

/// The grid of two's complement from `-half_width`.
fn signed(half_width: f32, bits: u8) -> UniformGrid {
    UniformGrid::of(GridKind::Signed, ValueRange::symmetric(half_width).unwrap(), width(bits))
}

/// Both grids of some weights.
fn fitted(weights: &[f32], bits: u8) -> [UniformGrid; 2] {
    let range = ValueRange::fit(weights).unwrap();
    [UniformGrid::new(range, width(bits)), UniformGrid::of(GridKind::Signed, range, width(bits))]
}

/// Finite weights of every size, subnormal and near the largest float included.
fn any_finite() -> impl Strategy<Value = f32> {
    prop_oneof![-4f32..4.0, prop::num::f32::NORMAL, prop::num::f32::SUBNORMAL, prop::num::f32::ZERO]
}

/// Four levels on [0, 1]: points 0, 1/3, 2/3, 1; midpoints 1/6, 1/2, 5/6.
#[test]
fn four_levels_on_the_unit_interval() {
    let grid = grid(0.0, 1.0, 2);
    let codes = [0.0, 0.16, 0.17, 0.5, 0.84, 1.0].map(|x| grid.quantize(x));
    assert_eq!(codes, [0, 0, 1, 2, 3, 3]);
    assert_eq!([0, 1, 2, 3].map(|c| grid.dequantize(c)), [0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0]);
}

/// On [0, 7] with 3 bits the step is 1: halves are ties, and go to the even neighbour.
#[test]
fn ties_go_to_the_even_code() {
    let unit = grid(0.0, 7.0, 3);
    let ties = [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5];
    assert_eq!(ties.map(|x| unit.quantize(x)), [0, 2, 2, 4, 4, 6, 6]);
    // Step 3/7, which no float is: 1.5 still lies exactly between codes 3 and 4.
    assert_eq!(grid(0.0, 3.0, 3).quantize(1.5), 4);
    // Two levels: the middle goes to 0.
    assert_eq!(grid(-1.0, 1.0, 1).quantize(0.0), 0);
}

/// Four levels about zero: -1, -1/2, 0, 1/2; two: -1, 0. Ties go to the even code, counted from the
/// lowest level.
#[test]
fn signed_levels_are_those_of_twos_complement() {
    let two = signed(1.0, 2);
    assert_eq!([0, 1, 2, 3].map(|c| two.dequantize(c)), [-1.0, -0.5, 0.0, 0.5]);
    assert_eq!(
        [-1.0, -0.76, -0.74, -0.26, -0.24, 0.24, 0.26].map(|x| two.quantize(x)),
        [0, 0, 1, 1, 2, 2, 3]
    );
    assert_eq!([-0.75, -0.25, 0.25].map(|x| two.quantize(x)), [0, 2, 2]);
    assert_eq!(([-9.0, f32::NEG_INFINITY].map(|x| two.quantize(x)), two.step()), ([0, 0], 0.5));
    assert_eq!([0.74, 0.76, 1.0, f32::INFINITY].map(|x| two.quantize(x)), [3; 4]);
    assert_eq!((two.quantize(f32::NAN), two.dequantize(4)), (0, 0.5));
    let one = signed(1.0, 1);
    assert_eq!([0, 1].map(|c| one.dequantize(c)), [-1.0, 0.0]);
    assert_eq!([-0.51, -0.5, -0.49, 3.0].map(|x| one.quantize(x)), [0, 0, 1, 1]);
    // Of a range that is not symmetric, its larger end counts.
    let range = ValueRange::new(-0.25, 1.0).unwrap();
    assert_eq!(UniformGrid::of(GridKind::Signed, range, width(2)), two);
}

/// A step of 1/2 whatever the width: -1, -1/2, 0, 1/2 at 2 bits, from -4 to 3.5 at 4.
#[test]
fn stepped_levels_are_as_far_apart_at_every_width() {
    let of = |bits| UniformGrid::of(GridKind::Stepped, ValueRange::symmetric(0.5).unwrap(), width(bits));
    assert_eq!([0, 1, 2, 3, 4].map(|c| of(2).dequantize(c)), [-1.0, -0.5, 0.0, 0.5, 0.5]);
    assert_eq!([0, 8, 15].map(|c| of(4).dequantize(c)), [-4.0, 0.0, 3.5]);
    assert_eq!([1, 2, 8, 16].map(|bits| of(bits).step()), [0.5; 4]);
    // Ties go to the even code; what is too far out is clipped.
    assert_eq!([-9.0, -0.75, -0.25, 0.1, 0.25, 9.0].map(|x| of(2).quantize(x)), [0, 0, 2, 2, 2, 3]);
    assert_eq!(of(0).dequantize(0).to_bits(), 0);
    let nothing = UniformGrid::of(GridKind::Stepped, ValueRange::default(), width(4));
    assert_eq!((nothing.quantize(1.0), nothing.dequantize(9).to_bits()), (0, 0));
    // No level is infinite, however large the step.
    let large = UniformGrid::of(GridKind::Stepped, ValueRange::symmetric(f32::MAX).unwrap(), width(16));
    assert_eq!([0, 32_768, 65_535].map(|c| large.dequantize(c)), [f32::MIN, 0.0, f32::MAX]);
    assert_eq!([-f32::MAX, 0.0, f32::MAX].map(|x| large.quantize(x)), [32_767, 32_768, 32_769]);
}

#[test]
fn signed_grids_of_nothing_are_positive_zeros() {
    for grid in [signed(0.0, 3), signed(2.0, 0)] {
        assert_eq!((grid.step(), grid.quantize(-1.0), grid.quantize(1.0)), (0.0, 0, 0));
        assert_eq!([0, 3].map(|c| grid.dequantize(c).to_bits()), [0, 0]);
    }
    for bits in 1..=16 {
        // Half of the codes are below zero.
        assert_eq!(signed(0.3, bits).dequantize(1 << (bits - 1)).to_bits(), 0);
    }
    for bad in [-1.0, -0.0] {
        assert!(matches!(ValueRange::symmetric(bad), Err(QuantizeError::NegativeHalfWidth { .. })));
    }
    for bad in [f32::NAN, f32::INFINITY] {
        assert!(matches!(ValueRange::symmetric(bad), Err(QuantizeError::BadRange { .. })));
    }
}

#[test]
fn values_outside_the_range_get_the_nearer_end() {
    let grid = grid(-1.0, 2.0, 4);
    assert_eq!([-1.1, f32::MIN, f32::NEG_INFINITY].map(|x| grid.quantize(x)), [0; 3]);
    assert_eq!([2.1, f32::MAX, f32::INFINITY].map(|x| grid.quantize(x)), [15; 3]);
    assert_eq!(grid.quantize(f32::NAN), 0);
    assert_eq!(grid.dequantize(16), 2.0);
}

#[test]
fn no_bits_means_pruned() {
    let grid = grid(-1.0, 2.0, 0);
    assert_eq!((grid.quantize(1.7), grid.dequantize(0), grid.step()), (0, 0.0, 0.0));
    assert_eq!(grid.dequantize(5), 0.0);
}

#[test]
fn a_constant_tensor_is_exact() {
    for value in [0.0, 0.1, -3.7e-41, 2.9e38, f32::MIN] {
        for bits in 1..=16 {
            let grid = UniformGrid::fit(&[value; 5], width(bits)).unwrap();
            assert_eq!((grid.step(), grid.quantize(value)), (0.0, 0));
            assert_eq!(grid.dequantize(0), value);
        }
    }
}

#[test]
fn the_first_weight_that_is_not_finite_is_named() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for len in 1..40 {
            for index in 0..len {
                let mut weights = vec![0.5; len];
                weights[index] = bad;
                weights[len - 1] = bad;
                match ValueRange::fit(&weights) {
                    Err(QuantizeError::NonFinite { index: found, value }) => {
                        assert_eq!((found, value.to_bits()), (index, bad.to_bits()));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    assert_eq!(ValueRange::fit(&[]), Ok(ValueRange::default()));
}

#[test]
fn a_range_is_finite_and_in_order() {
    for (minimum, maximum) in [(1.0, 0.0), (f32::NAN, 1.0), (0.0, f32::NAN), (0.0, f32::INFINITY)] {
        assert!(ValueRange::new(minimum, maximum).is_err());
    }
}

proptest! {
    #[test]
    fn the_range_is_that_of_the_weights(weights in vec(any_finite(), 1..60)) {
        let range = ValueRange::fit(&weights).unwrap();
        prop_assert_eq!(range.minimum(), weights.iter().copied().fold(f32::INFINITY, f32::min));
        prop_assert_eq!(range.maximum(), weights.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    }

    #[test]
    fn rounding_moves_a_weight_at_most_half_a_step(weights in vec(any_finite(), 1..60), bits in 1u8..=16) {
        let grid = UniformGrid::fit(&weights, width(bits)).unwrap();
        let magnitude = weights.iter().fold(0f32, |most, w| most.max(w.abs()));
        for &weight in &weights {
            let rounded = grid.dequantize(grid.quantize(weight));
            let moved = (f64::from(rounded) - f64::from(weight)).abs();
            // The point is rounded to f32; 1e-9 covers the double arithmetic (about 2^-50 each).
            let bound = 0.5 * grid.step() * (1.0 + 1e-9) + half_ulp(magnitude) * (1.0 + 1e-6);
            prop_assert!(moved <= bound, "{weight} became {rounded}, step {}", grid.step());
        }
    }

    #[test]
    fn both_ends_of_a_range_are_points(a in any_finite(), b in any_finite(), bits in 1u8..=16) {
        let (minimum, maximum) = (a.min(b), a.max(b));
        let grid = grid(minimum, maximum, bits);
        let last = (width(bits).levels() - 1) as u16;
        prop_assert_eq!(grid.dequantize(0), minimum);
        prop_assert_eq!(grid.dequantize(last), maximum);
        prop_assert_eq!(grid.dequantize(grid.quantize(minimum)), minimum);
        prop_assert_eq!(grid.dequantize(grid.quantize(maximum)), maximum);
    }

    #[test]
    fn every_code_is_on_the_grid_and_every_value_in_the_range(
        a in any_finite(), b in any_finite(), bits in 1u8..=16, weight in prop::num::f32::ANY, code: u16,
    ) {
        let (minimum, maximum) = (a.min(b), a.max(b));
        let half_width = b.abs();
        for (grid, range) in [
            (grid(minimum, maximum, bits), minimum..=maximum),
            (signed(half_width, bits), -half_width..=half_width),
        ] {
            prop_assert!(u32::from(grid.quantize(weight)) < width(bits).levels());
            prop_assert!(range.contains(&grid.dequantize(code)));
        }
    }

    /// The formula with 24 bits times 16 in 53, and the nearest of all levels by exact distances: weight
    /// and level are multiples of a number that both fit 53 bits of.
    #[test]
    fn signed_codes_are_the_nearest_levels_of_the_formula(
        half_width in 1e-3f32..8.0, bits in 1u8..=16, share in -1.2f64..1.2, tie in any::<bool>(),
    ) {
        let grid = signed(half_width, bits);
        let points = f64::from(1u32 << (bits - 1));
        let step = f64::from(half_width) / points;
        prop_assert_eq!(grid.step(), step);
        let k = (share * points).floor();
        let weight = if tie { ((k + 0.5) * step) as f32 } else { (share * f64::from(half_width)) as f32 };
        let code = grid.quantize(weight);
        let distance = |code: f64| (f64::from(weight) - (code - points) * step).abs();
        let found = distance(code.into());
        for other in [f64::from(code) - 1.0, f64::from(code) + 1.0] {
            if (0.0..2.0 * points).contains(&other) {
                let nearer = found < distance(other) || found == distance(other) && code.is_multiple_of(2);
                prop_assert!(nearer, "{weight} became {code}, not {other}");
            }
        }
        let value = (step * (f64::from(code) - points)) as f32;
        prop_assert_eq!(grid.dequantize(code), value);
        prop_assert!((-half_width..half_width).contains(&value));
    }

    #[test]
    fn rounding_twice_is_rounding_once(a in any_finite(), b in any_finite(), bits in 0u8..=16, share in 0f64..=1.0) {
        let (minimum, maximum) = (a.min(b), a.max(b));
        let grid = grid(minimum, maximum, bits);
        let weight = (f64::from(minimum) + share * (f64::from(maximum) - f64::from(minimum))) as f32;
        for grid in [grid, signed(a.abs(), bits)] {
            let once = grid.dequantize(grid.quantize(weight));
            prop_assert_eq!(grid.dequantize(grid.quantize(once)), once);
        }
    }

    #[test]
    fn rounding_keeps_the_order(weights in vec(any_finite(), 2..40), bits in 1u8..=16) {
        let grids = fitted(&weights, bits);
        let mut sorted = weights;
        sorted.sort_by(f32::total_cmp);
        for grid in grids {
            let codes: Vec<u16> = sorted.iter().map(|&w| grid.quantize(w)).collect();
            prop_assert!(codes.is_sorted());
            prop_assert!(codes.iter().map(|&c| grid.dequantize(c)).is_sorted());
        }
    }

    #[test]
    fn slices_are_rounded_as_their_elements(weights in vec(prop::num::f32::ANY, 0..60), bits in 0u8..=16) {
        for grid in [grid(-1.5, 0.75, bits), signed(1.5, bits)] {
            let mut codes = vec![7; weights.len()];
            grid.quantize_slice(&weights, &mut codes);
            let mut values = vec![7.0; weights.len()];
            grid.dequantize_slice(&codes, &mut values);
            for ((&weight, &code), &value) in weights.iter().zip(&codes).zip(&values) {
                prop_assert_eq!(code, grid.quantize(weight));
                prop_assert_eq!(value, grid.dequantize(code));
            }
        }
    }

    /// The definition, with the library's own rounding.
    #[test]
    fn codes_are_those_of_the_formula(weight in -3f32..3.0, bits in 1u8..=16) {
        let last = f64::from(width(bits).levels() - 1);
        let position = (f64::from(weight) + 2.0) * last / 3.0;
        let expected = position.round_ties_even().clamp(0.0, last) as u16;
        prop_assert_eq!(grid(-2.0, 1.0, bits).quantize(weight), expected);
    }
}

#[test]
fn every_group_of_a_tensor_is_rounded_on_its_own_grid() {
    let mut numbers = Numbers::seeded(3);
    for len in RAGGED_LENGTHS {
        for size in GROUP_SIZES {
            let weights = numbers.weights(len);
            let size = GroupSize::new(size).unwrap();
            let count = fewbit::Grouping::new(size, len).count();
            let widths: Vec<_> = (0..count).map(|_| width(numbers.below(17) as u8)).collect();
            let tensor = QuantizedTensor::quantize(&weights, &[len], size, widths.clone()).unwrap();
            let range = ValueRange::fit(&weights).unwrap();
            let values = tensor.dequantize();
            let mut bits = 0;
            for index in 0..len {
                let width = widths[tensor.grouping().group_of(index)];
                let grid = UniformGrid::new(range, width);
                assert_eq!(tensor.codes()[index], grid.quantize(weights[index]));
                assert_eq!(values[index], grid.dequantize(tensor.codes()[index]));
                bits += u64::from(width.get());
            }
            assert_eq!(tensor.mean_bits(), bits as f64 / len.max(1) as f64);
            assert_eq!(tensor.width_histogram().iter().sum::<usize>(), count);
            let parts = (tensor.shape().to_vec(), tensor.widths().to_vec(), tensor.codes().to_vec());
            let again =
                QuantizedTensor::from_parts_with(parts.0, size, Ranges::of_tensor(range), parts.1, parts.2);
            assert_eq!(again.unwrap(), tensor);
        }
    }
}

#[test]
fn parts_that_do_not_fit_are_typed_errors() {
    let size = GroupSize::new(4).unwrap();
    let range = ValueRange::new(0.0, 1.0).unwrap();
    let quantize = |shape: &[usize], widths: usize| {
        QuantizedTensor::quantize(&[0.5; 6], shape, size, vec![width(2); widths])
    };
    assert!(quantize(&[2, 3], 2).is_ok());
    assert!(matches!(quantize(&[2, 4], 2), Err(QuantizeError::ElementCount { expected: 8, found: 6, .. })));
    assert!(matches!(quantize(&[6], 3), Err(QuantizeError::WidthCount { expected: 2, found: 3 })));
    assert!(matches!(quantize(&[usize::MAX, 2], 2), Err(QuantizeError::ShapeOverflow { .. })));
    let codes = |codes: [u16; 6]| Codes::new(size, vec![width(2), width(0)], codes.to_vec());
    assert!(codes([3, 3, 0, 1, 0, 0]).is_ok());
    let fewer = Codes::new(size, vec![width(2)], vec![3, 3, 0, 1]).unwrap();
    let levels = Levels::Uniform(Ranges::of_tensor(range));
    assert!(matches!(
        QuantizedTensor::new(vec![6], fewer, levels),
        Err(QuantizeError::ElementCount { expected: 6, found: 4, .. })
    ));
    assert!(matches!(codes([3, 4, 0, 1, 0, 0]), Err(QuantizeError::CodeTooLarge { index: 1, code: 4, .. })));
    assert!(matches!(codes([3, 3, 0, 1, 0, 1]), Err(QuantizeError::CodeTooLarge { index: 5, code: 1, .. })));
    let nan = [0.0, f32::NAN];
    assert!(matches!(
        QuantizedTensor::quantize_with(&nan, Ranges::of_tensor(range), &[2], size, vec![width(2)]),
        Err(QuantizeError::NonFinite { index: 1, .. })
    ));
}
