//! Every instruction set gives the bits of the scalar twins, for every operation.

use std::num::NonZeroUsize;

use crate::bits::{BitsLaw, Parametrisation};
use crate::dispatch::InstructionSet;
use crate::logits::{Bits, BitsSlope, LogitGradient, Steps, code_bits_on, evaluate};
use crate::tile::CHUNK;
use crate::{GroupLayout, NoiseKey, NoiseLaw, add, gradient, range, rounding, scalar};

const KEY: u64 = 7;

fn key() -> NoiseKey {
    NoiseKey::new(KEY, 1, 2, 3, "layer.weight")
}

/// Numbers of different sizes and signs; what matters is that they are not round.
fn numbers(count: usize, salt: u64) -> Vec<f32> {
    let key = NoiseKey::new(salt, 0, 0, 0, "numbers");
    (0..count as u64).map(|index| 3.0 * scalar::noise(key, NoiseLaw::Uniform, index)).collect()
}

fn contiguous(group_size: usize) -> GroupLayout {
    GroupLayout::Contiguous { group_size: NonZeroUsize::new(group_size).unwrap() }
}

fn transposed(rows: usize, columns: usize, group_size: usize) -> GroupLayout {
    GroupLayout::Transposed { rows, columns, group_size: NonZeroUsize::new(group_size).unwrap() }
}

fn swapped(rows: usize, columns: usize, inner: usize, group_size: usize) -> GroupLayout {
    GroupLayout::Swapped { rows, columns, inner, group_size: NonZeroUsize::new(group_size).unwrap() }
}

/// Lengths around every place where a path changes, with group sizes of each path.
pub(crate) fn cases() -> Vec<(usize, GroupLayout)> {
    let mut cases = Vec::new();
    for weights in [0, 1, 2, 15, 16, 17, 31, 32, 33, 127, 128, 129, 255, 256, 257, 511, 513, 1000, 2048] {
        for group_size in [1, 2, 3, 4, 5, 8, 16, 32, 33, 64, 100, 256, 300, 1 << 40] {
            cases.push((weights, contiguous(group_size)));
        }
    }
    for weights in [CHUNK, CHUNK + 1, 2 * CHUNK + 300] {
        for group_size in [8, 7, 1 << 40] {
            cases.push((weights, contiguous(group_size)));
        }
    }
    for (rows, columns) in
        [(0, 5), (1, 9), (9, 1), (8, 8), (7, 13), (24, 256), (64, 300), (300, 64), (97, 513)]
    {
        for group_size in [1, 3, 4, 8, 12, 32, 97, 100, 300, 1 << 40] {
            cases.push((rows * columns, transposed(rows, columns, group_size)));
        }
    }
    for (rows, columns) in [(512, 256), (2, 40_000), (301, 257)] {
        for group_size in [2, 43, 256] {
            cases.push((rows * columns, transposed(rows, columns, group_size)));
        }
    }
    for (rows, columns, inner) in
        [(2, 2, 2), (3, 5, 9), (9, 1, 4), (5, 7, 1), (4, 6, 0), (17, 33, 3), (64, 16, 9), (20, 30, 300)]
    {
        for group_size in [1, 2, 8, 27, 100, rows * inner + 1, 1 << 40] {
            cases.push((rows * columns * inner, swapped(rows, columns, inner, group_size)));
        }
    }
    cases.push((64 * 128 * 25, swapped(64, 128, 25, 64 * 25)));
    cases
}

/// Bits of the numbers, so that a comparison tells zeros and NaN apart.
pub(crate) fn bits_of(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

#[test]
fn noise_forward_and_backward_equal_the_scalar_twin() {
    for law in [NoiseLaw::Gaussian, NoiseLaw::Uniform] {
        for (count, layout) in cases() {
            let weights = numbers(count, 1);
            let steps = numbers(layout.group_count(count), 2);
            let noisy = bits_of(&scalar::noisy_weights(&weights, &steps, layout, key(), law));
            let sums = bits_of(&scalar::noise_gradient(&weights, layout, key(), law));
            for set in InstructionSet::available() {
                let mut out = vec![f32::NAN; count];
                add::add_noise_on(set, &weights, &steps, layout, key(), law, add::as_uninit(&mut out));
                assert!(bits_of(&out) == noisy, "forward: {set:?}, {law:?}, {count} weights, {layout:?}");
                let mut out = vec![f32::NAN; steps.len()];
                gradient::noise_gradient_on(set, &weights, layout, key(), law, &mut out);
                assert!(bits_of(&out) == sums, "backward: {set:?}, {law:?}, {count} weights, {layout:?}");
            }
        }
    }
}

#[test]
fn slices_that_begin_anywhere_in_memory_give_the_same_bits() {
    let (weights, steps) = (numbers(1100, 1), numbers(138, 2));
    let layout = contiguous(8);
    let expected = scalar::noisy_weights(&weights[..1000], &steps[..125], layout, key(), NoiseLaw::Gaussian);
    for set in InstructionSet::available() {
        for offset in 0..17 {
            let mut moved = vec![0.0; offset];
            moved.extend(&weights[..1000]);
            let mut out = vec![0.0; 1000 + offset];
            let free = add::as_uninit(&mut out[offset..]);
            add::add_noise_on(set, &moved[offset..], &steps[..125], layout, key(), NoiseLaw::Gaussian, free);
            assert_eq!(bits_of(&out[offset..]), bits_of(&expected), "{set:?}, offset {offset}");
        }
    }
}

#[test]
fn the_range_equals_the_scalar_twin_and_names_what_is_not_finite() {
    for count in [0, 1, 2, 63, 64, 65, 1000, CHUNK, CHUNK + 1, 3 * CHUNK + 7] {
        let weights = numbers(count, 3);
        let expected = scalar::minimum_maximum(&weights);
        for set in InstructionSet::available() {
            assert_eq!(range::minimum_maximum_on(set, &weights), expected, "{set:?}, {count} weights");
            for place in [0, 1, 62, 64, count / 2, count.saturating_sub(1)] {
                for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let mut weights = weights.clone();
                    let Some(weight) = weights.get_mut(place) else { continue };
                    *weight = bad;
                    let error = range::minimum_maximum_on(set, &weights).unwrap_err();
                    assert_eq!((error.index, error.value.to_bits()), (place, bad.to_bits()));
                }
            }
        }
    }
}

#[test]
fn zeros_of_both_signs_have_one_range() {
    for set in InstructionSet::available() {
        for weights in [[0.0, -0.0], [-0.0, 0.0], [-0.0, -0.0]] {
            let (minimum, maximum) = range::minimum_maximum_on(set, &weights).unwrap().unwrap();
            assert_eq!((minimum.to_bits(), maximum.to_bits()), (0, 0));
        }
    }
}

#[test]
fn work_over_logits_is_the_same_on_every_instruction_set() {
    for parametrisation in [Parametrisation::Bits, Parametrisation::Noise] {
        let law = BitsLaw::new(0.25, 15.0, parametrisation).unwrap();
        for count in [0, 1, 15, 16, 17, 255, 256, 257, 1000, CHUNK + 5] {
            let logits: Vec<f32> = numbers(count, 4).iter().map(|x| 5.0 * x).collect();
            let sums = numbers(count, 5);
            let all = |set| {
                let mut out = vec![vec![f32::NAN; count]; 5];
                evaluate(set, &law, Bits, &logits, &logits, &mut out[0]);
                evaluate(set, &law, BitsSlope, &logits, &logits, &mut out[1]);
                evaluate(set, &law, Steps { width: 0.7 }, &logits, &logits, &mut out[2]);
                evaluate(set, &law, LogitGradient { width: 0.7 }, &logits, &sums, &mut out[3]);
                let weights = (count * 8).saturating_sub(3);
                let bits = code_bits_on(set, &logits, &law, contiguous(8), weights, 0.3, &mut out[4]);
                (bits.to_bits(), out.iter().map(|numbers| bits_of(numbers)).collect::<Vec<_>>())
            };
            let expected = all(InstructionSet::Baseline);
            for set in InstructionSet::available() {
                assert!(all(set) == expected, "{set:?}, {count} logits, {parametrisation:?}");
            }
        }
    }
}

#[test]
fn rounding_and_its_gradient_equal_the_scalar_twin() {
    for (count, layout) in cases() {
        let groups = layout.group_count(count);
        let mut scales: Vec<f32> = numbers(groups, 6).iter().map(|scale| scale.abs()).collect();
        scales.iter_mut().step_by(7).for_each(|scale| *scale = 0.0);
        let (mut weights, upstream) = (numbers(count, 1), numbers(count, 2));
        weights.iter_mut().skip(3).step_by(100).for_each(|weight| *weight = f32::NAN);
        let levels = (2, 1);
        let rounded = bits_of(&scalar::round_to_scales(&weights, &scales, layout, levels));
        let (of_weights, of_scales) = scalar::rounding_gradient(&weights, &scales, layout, levels, &upstream);
        let largest = bits_of(&scalar::largest_magnitudes(&weights, layout));
        for set in InstructionSet::available() {
            let case = format!("{set:?}, {count} weights, {layout:?}");
            let mut out = vec![f32::NAN; count];
            rounding::round_to_scales_on(set, &weights, &scales, layout, levels, &mut out);
            assert!(bits_of(&out) == rounded, "forward: {case}");
            let (mut gradient, mut sums) = (upstream.clone(), vec![f32::NAN; groups]);
            let (g, s) = (&mut gradient, &mut sums);
            rounding::rounding_gradient_on(set, &weights, &scales, layout, levels, g, s);
            assert!(bits_of(&gradient) == bits_of(&of_weights), "backward: {case}");
            // A NaN's bits may be any.
            let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
            assert!(sums.iter().zip(&of_scales).all(same), "scales: {case}");
            let mut out = vec![f32::NAN; groups];
            rounding::largest_magnitudes_on(set, &weights, layout, &mut out);
            assert!(bits_of(&out) == largest, "largest: {case}");
        }
    }
}
