//! Each weight gets the step of its group, and adds to the sum of its group, in every layout.

use std::num::NonZeroUsize;

use fewbit_kernels::{GroupLayout, NoiseKey, NoiseLaw, add_noise, noise_gradient, noisy_weights, scalar};
use proptest::prelude::*;

/// Group by group from the definition: transpose, cut, and sum in f64.
fn groups_of_stored_order(rows: usize, columns: usize, inner: usize, group_size: usize) -> Vec<Vec<usize>> {
    let blocks = (0..columns).flat_map(|c| (0..rows).map(move |r| r * columns + c));
    let stored: Vec<usize> = blocks.flat_map(|block| block * inner..(block + 1) * inner).collect();
    stored.chunks(group_size).map(<[usize]>::to_vec).collect()
}

proptest! {
    #[test]
    fn groups_are_runs_of_the_array_with_its_axes_swapped(
        rows in 1usize..40, columns in 1usize..200, inner in 1usize..5, group_size in 1usize..50,
    ) {
        let size = NonZeroUsize::new(group_size).unwrap();
        let layout = match inner {
            1 => GroupLayout::Transposed { rows, columns, group_size: size },
            _ => GroupLayout::Swapped { rows, columns, inner, group_size: size },
        };
        let groups = groups_of_stored_order(rows, columns, inner, group_size);
        let count = rows * columns * inner;
        prop_assert_eq!(layout.group_count(count), groups.len());
        let key = NoiseKey::new(1, 2, 3, 4, "weight");
        let steps: Vec<f32> = (0..groups.len()).map(|group| 1.0 + group as f32).collect();
        let noisy = noisy_weights(&vec![0.0; count], &steps, layout, key, NoiseLaw::Uniform);
        let gradient: Vec<f32> = (0..count).map(|index| (index as f32).cos()).collect();
        let sums = noise_gradient(&gradient, layout, key, NoiseLaw::Uniform);
        for (group, members) in groups.iter().enumerate() {
            prop_assert_eq!(layout.group_length(group, count), members.len());
            let mut expected = 0.0f64;
            for &index in members {
                prop_assert_eq!(layout.group_of(index), group);
                let noise = scalar::noise(key, NoiseLaw::Uniform, index as u64);
                prop_assert_eq!(noisy[index], steps[group] * noise);
                expected += f64::from(gradient[index]) * f64::from(noise);
            }
            // At most 50 products below 1/2, each rounded and added in f32.
            prop_assert!((f64::from(sums[group]) - expected).abs() < 50.0 * 25.0 * 6e-8);
        }
    }
}

#[test]
fn writing_into_a_buffer_gives_what_a_new_vector_holds() {
    let layout = GroupLayout::Contiguous { group_size: NonZeroUsize::new(8).unwrap() };
    let key = NoiseKey::new(1, 0, 0, 0, "weight");
    let (weights, steps) = (vec![0.5; 1001], vec![0.25; 126]);
    let mut out = vec![f32::NAN; 1001];
    add_noise(&weights, &steps, layout, key, NoiseLaw::Gaussian, &mut out);
    assert_eq!(out, noisy_weights(&weights, &steps, layout, key, NoiseLaw::Gaussian));
}

#[test]
#[should_panic(expected = "100 weights make 13 groups")]
fn a_step_too_few_is_refused() {
    let layout = GroupLayout::Contiguous { group_size: NonZeroUsize::new(8).unwrap() };
    noisy_weights(&[0.0; 100], &[1.0; 12], layout, NoiseKey::new(0, 0, 0, 0, ""), NoiseLaw::Gaussian);
}

#[test]
#[should_panic(expected = "a layout of shape [3, 4, 1] needs as many weights")]
fn a_layout_of_another_shape_is_refused() {
    let layout = GroupLayout::Transposed { rows: 3, columns: 4, group_size: NonZeroUsize::new(1).unwrap() };
    noisy_weights(&[0.0; 13], &[1.0; 13], layout, NoiseKey::new(0, 0, 0, 0, ""), NoiseLaw::Gaussian);
}
