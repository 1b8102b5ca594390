//! The exact and the soft size, by one formula.

use fewbit::size::soft_overhead;
use fewbit::{BitWidth, GroupSize, Grouping, ModelSize, nominal_size, soft_size};
use proptest::collection::vec;
use proptest::prelude::*;

fn width(bits: u8) -> BitWidth {
    BitWidth::new(bits).unwrap()
}

fn grouping(size: usize, len: usize) -> Grouping {
    Grouping::new(GroupSize::new(size).unwrap(), len)
}

/// The test vector of the method's notes: 64×128 weights, groups of 8, all at 8 bits, floor 2:
/// 8192·8 + 64 + 8 + 1024·ceil(log2(1 + 8 - 2)) = 65,536 + 64 + 8 + 3,072.
#[test]
fn the_test_vector_is_68_680_bits() {
    let grouping = grouping(8, 64 * 128);
    let exact = nominal_size(grouping, &[width(8); 1024], width(2));
    assert_eq!((exact.codes(), exact.ranges(), exact.widths()), (65_536, 64, 3_080));
    assert_eq!((exact.bits(), exact.bytes()), (68_680, 8_585));
    assert_eq!(soft_size(grouping, &[8.0; 1024], width(2)), 68_680.0);
    assert!((exact.mebibytes() - 0.008_187_3).abs() < 1e-7);
}

/// `ceil(log2(1 + max - floor))` for one group, beside 8 bits.
#[test]
fn bits_that_tell_a_width() {
    let cases = [(2, 2, 0), (3, 2, 1), (4, 2, 2), (5, 2, 2), (6, 2, 3), (9, 2, 3), (10, 2, 4)];
    for (largest, floor, expected) in cases.into_iter().chain([(16, 0, 5), (15, 0, 4), (1, 2, 0)]) {
        let size = nominal_size(grouping(8, 8), &[width(largest)], width(floor));
        assert_eq!(size.widths(), 8 + expected, "{largest} from {floor}");
    }
}

#[test]
fn a_ragged_group_counts_its_own_weights() {
    // 10 weights in groups of 4: 4·3 + 4·2 + 2·5 bits.
    let size = nominal_size(grouping(4, 10), &[width(3), width(2), width(5)], width(2));
    assert_eq!(size.codes(), 30);
}

#[test]
fn the_width_of_soft_bits_is_told_as_if_rounded() {
    // 4.5 rounds to 4, so 1 + 4 - 2 = 3 choices take 2 bits; 5.6 rounds to 6, 5 choices, 3 bits.
    assert_eq!(soft_overhead(grouping(8, 8), &[4.5], width(2)), 64 + 8 + 2);
    assert_eq!(soft_overhead(grouping(8, 8), &[5.6], width(2)), 64 + 8 + 3);
}

#[test]
fn sizes_add_up_part_by_part() {
    let tensor = nominal_size(grouping(4, 10), &[width(3); 3], width(2));
    let sum: ModelSize = [tensor, ModelSize::of_floats(7), tensor].into_iter().sum();
    assert_eq!(sum.codes(), 2 * tensor.codes());
    assert_eq!(sum.unquantized(), 7 * 32);
    assert_eq!(sum.bits(), 2 * tensor.bits() + 7 * 32);
    assert_eq!(sum.tables() + sum.header(), 0);
}

proptest! {
    #[test]
    fn soft_and_exact_agree_on_whole_bits(
        bits in vec(0u8..=16, 1..30), size in 1usize..9, missing in 0usize..8, floor in 0u8..=4,
    ) {
        let len = bits.len() * size - missing.min(size - 1);
        let widths: Vec<_> = bits.iter().map(|&b| width(b)).collect();
        let real: Vec<_> = bits.iter().map(|&b| f32::from(b)).collect();
        let exact = nominal_size(grouping(size, len), &widths, width(floor));
        prop_assert_eq!(soft_size(grouping(size, len), &real, width(floor)), exact.bits() as f64);
    }

    #[test]
    fn the_slope_of_the_soft_size_is_the_groups_length(
        bits in vec(2.6f32..7.4, 1..20), size in 1usize..9, group in 0usize..20,
    ) {
        let group = group % bits.len();
        let grouping = grouping(size, bits.len() * size - (size - 1));
        let overhead = |bits: &[f32]| soft_overhead(grouping, bits, width(2));
        let mut more = bits.clone();
        more[group] += 0.0625;
        let codes = |bits: &[f32]| soft_size(grouping, bits, width(2)) - overhead(bits) as f64;
        let slope = (codes(&more) - codes(&bits)) / (f64::from(more[group]) - f64::from(bits[group]));
        prop_assert!((slope - grouping.group_len(group) as f64).abs() < 1e-6);
    }
}
