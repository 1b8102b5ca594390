//! The bits of weights of scale 1, and their slopes.

use std::num::NonZeroUsize;

use fewbit_testing::Numbers;

use super::*;
use crate::tests::{bits_of, cases};
use crate::{GroupLayout, scalar};

/// Bits and slopes of positions that share a scale of 1.
fn of_positions(positions: &[f32], width_group: usize) -> (f64, Vec<f32>) {
    let layout = GroupLayout::Contiguous { group_size: NonZeroUsize::MAX };
    let mut slopes = vec![f32::NAN; positions.len()];
    let width_group = NonZeroUsize::new(width_group).unwrap();
    let bits = coded_size(positions, &[1.0], layout, width_group, &mut slopes, &mut [0.0]);
    (bits, slopes)
}

/// Two groups of two: one of zeros, one with a 1. Widths: shares (1 + 1/2)/(2 + 8/2) = 1/4 each, 2 bits.
/// In the second group levels 0 and 1 occur once of 2: (1 + 1/2)/(2 + 4/2) = 3/8.
#[test]
fn a_case_by_hand() {
    let (bits, slopes) = of_positions(&[0.1, 0.2, 0.3, 0.9], 2);
    let code = -(3.0f64 / 8.0).log2();
    assert!((bits - (2.0 + 2.0 + 2.0 * code)).abs() < 1e-6, "{bits}");
    // The first weight on the way to 1: its group would have codes 1 and 0 in place of none.
    assert!((f64::from(slopes[0]) - 2.0 * code).abs() < 1e-6, "{}", slopes[0]);
    // Within the second group 0 and 1 cost the same.
    assert_eq!(slopes[2], 0.0);
    // The last weight on the way from 0: there its group would be one of zeros.
    assert!((f64::from(slopes[3]) - 2.0 * code).abs() < 1e-6, "{}", slopes[3]);
}

/// The slope is what moving one weight to the neighbouring level really changes, with the frequencies
/// as they are: so many weights that one does not change them.
#[test]
fn the_slope_is_the_difference_between_two_levels() {
    let mut positions = Numbers::seeded(5).weights(1 << 16);
    positions.iter_mut().for_each(|position| *position *= 30.0);
    let (bits, slopes) = of_positions(&positions, 16);
    for index in [0, 77, 1234, 40_000, 65_535] {
        let (here, below) = (positions[index].round_ties_even(), positions[index].floor());
        let other = if here == below { below + 1.0 } else { below };
        let mut moved = positions.clone();
        moved[index] = other;
        let change = (of_positions(&moved, 16).0 - bits) * f64::from(other - here);
        assert!((change - f64::from(slopes[index])).abs() < 0.3, "{change}, {}", slopes[index]);
    }
}

#[test]
fn beyond_the_last_level_and_for_nan_there_is_no_slope() {
    let weights = [300.0, -1e30, f32::NAN, f32::INFINITY, 0.3];
    let layout = GroupLayout::Contiguous { group_size: NonZeroUsize::MAX };
    let (mut of_weights, mut of_scales) = ([f32::NAN; 5], [f32::NAN]);
    let bits = coded_size(&weights, &[1.0], layout, NonZeroUsize::MAX, &mut of_weights, &mut of_scales);
    assert!(bits.is_finite() && of_scales[0].is_finite());
    assert_eq!(of_weights[..4], [0.0; 4]);
}

#[test]
fn a_scale_of_zero_makes_every_level_zero() {
    let layout = GroupLayout::Contiguous { group_size: NonZeroUsize::new(4).unwrap() };
    let weights = [1.0, -2.0, 3.0, f32::INFINITY, 0.4, -1.0, 0.2, 2.0];
    let (mut of_weights, mut of_scales) = ([f32::NAN; 8], [f32::NAN; 2]);
    let four = NonZeroUsize::new(4).unwrap();
    for none in [0.0, -1.0, f32::NAN, 1e-45] {
        let bits = coded_size(&weights, &[none, 1.0], layout, four, &mut of_weights, &mut of_scales);
        let zeros = [0.0, 0.0, 0.0, 0.0, 0.4, -1.0, 0.2, 2.0];
        let expected = coded_size(&zeros, &[1.0; 2], layout, four, &mut [0.0; 8], &mut [0.0; 2]);
        assert_eq!(bits, expected);
        assert_eq!((of_weights[..4].to_vec(), of_scales[0]), (vec![0.0; 4], 0.0));
    }
}

/// A weight `w` of scale `s` lies at `w/s`, so that the derivative in the logarithm of `s` is
/// `-ln 2 Σ w ∂/∂w`.
#[test]
fn the_derivative_of_a_scale_is_that_of_its_weights() {
    let layout =
        GroupLayout::Swapped { rows: 20, columns: 6, inner: 3, group_size: NonZeroUsize::new(60).unwrap() };
    let weights = Numbers::seeded(8).weights(360);
    let scales = [0.1, 0.5, 1.0, 0.3, 0.02, 2.0];
    let (mut of_weights, mut of_scales) = (vec![0.0; 360], [0.0; 6]);
    let eight = NonZeroUsize::new(8).unwrap();
    coded_size(&weights, &scales, layout, eight, &mut of_weights, &mut of_scales);
    for (scale, found) in of_scales.iter().enumerate() {
        let indices = (0..360).filter(|index| layout.group_of(*index) == scale);
        let terms = indices.map(|index| f64::from(weights[index]) * f64::from(of_weights[index]));
        let (mut sum, mut magnitude) = (0.0, 0.0);
        terms.for_each(|term| (sum, magnitude) = (sum + term, magnitude + term.abs()));
        // Sixty products, each rounded to 24 bits.
        assert!((f64::from(*found) + std::f64::consts::LN_2 * sum).abs() < 1e-6 * magnitude, "{found}");
    }
}

#[test]
fn every_instruction_set_equals_the_scalar_twin() {
    for (count, layout) in cases() {
        let groups = layout.group_count(count);
        // Short of the costlier cases, a few width groups each.
        let scales: Vec<f32> = (0..groups).map(|group| [0.7, 0.2, 0.05, 1.6, 0.0][group % 5]).collect();
        let mut weights = Numbers::seeded(count as u64).weights(count);
        if let [_, second, third, ..] = &mut weights[..] {
            (*second, *third) = (f32::NAN, f32::NEG_INFINITY);
        }
        let width_groups: &[usize] = if count > 10_000 { &[16] } else { &[1, 5, 16, 40, 1 << 40] };
        for &width_group in width_groups {
            let (bits, of_weights, of_scales) = scalar::coded_size(&weights, &scales, layout, width_group);
            for set in InstructionSet::available() {
                let (mut weight_slopes, mut scale_slopes) = (vec![f32::NAN; count], vec![f32::NAN; groups]);
                let width_group = NonZeroUsize::new(width_group).unwrap();
                let (w, s) = (&mut weight_slopes, &mut scale_slopes);
                let found = coded_size_on(set, &weights, &scales, layout, width_group, w, s);
                let case = format!("{set:?}, {count} weights, {layout:?}, {width_group}");
                assert_eq!(found.to_bits(), bits.to_bits(), "{case}");
                assert!(bits_of(&weight_slopes) == bits_of(&of_weights), "weights: {case}");
                assert!(bits_of(&scale_slopes) == bits_of(&of_scales), "scales: {case}");
            }
        }
    }
}

/// Groups of every width and of every way to become wider or narrower.
#[test]
fn every_change_of_width_equals_the_scalar_twin() {
    let mut numbers = Numbers::seeded(3);
    let mut weights = Vec::new();
    for reach in [0.4, 0.9, 1.2, 2.2, 3.4, 4.2, 7.3, 8.2, 16.1, 33.0, 64.2, 126.8, 200.0] {
        for _ in 0..60 {
            let near = if numbers.below(2) == 0 { 0.4 } else { reach };
            let group = numbers.below(16);
            weights.extend((0..16).map(|at| {
                let reach = if at == group { reach } else { near };
                reach * (2.0 * numbers.unit() - 1.0)
            }));
        }
    }
    let layout = GroupLayout::Contiguous { group_size: NonZeroUsize::MAX };
    let (bits, of_weights, _) = scalar::coded_size(&weights, &[1.0], layout, 16);
    for set in InstructionSet::available() {
        let mut slopes = vec![f32::NAN; weights.len()];
        let width_group = NonZeroUsize::new(16).unwrap();
        let found = coded_size_on(set, &weights, &[1.0], layout, width_group, &mut slopes, &mut [0.0]);
        assert_eq!(found.to_bits(), bits.to_bits());
        assert!(bits_of(&slopes) == bits_of(&of_weights), "{set:?}");
    }
}
