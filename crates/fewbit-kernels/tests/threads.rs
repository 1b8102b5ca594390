//! The number of threads changes no bit of any result.

use std::num::NonZeroUsize;

use fewbit_kernels::{
    BitsLaw, GroupLayout, NoiseKey, NoiseLaw, Parametrisation, code_bits, minimum_maximum, noise_gradient,
    noisy_weights, scalar, steps,
};

fn everything(layout: GroupLayout, count: usize) -> (Vec<u32>, u64) {
    let key = NoiseKey::new(5, 0, 1, 0, "weight");
    let weights: Vec<f32> =
        (0..count as u64).map(|index| scalar::noise(key, NoiseLaw::Uniform, index * 3)).collect();
    let logits = &weights[..layout.group_count(count)];
    let law = BitsLaw::new(2.0, 15.0, Parametrisation::Bits).unwrap();
    let (minimum, maximum) = minimum_maximum(&weights).unwrap().unwrap();
    let mut step_sizes = vec![0.0; logits.len()];
    steps(logits, &law, maximum - minimum, &mut step_sizes);
    let mut numbers = noisy_weights(&weights, &step_sizes, layout, key, NoiseLaw::Gaussian);
    numbers.extend(noise_gradient(&weights, layout, key, NoiseLaw::Gaussian));
    numbers.extend([minimum, maximum]);
    let mut gradient = vec![0.0; logits.len()];
    let bits = code_bits(logits, &law, layout, count, 1.0, &mut gradient);
    numbers.extend(gradient);
    (numbers.iter().map(|number| number.to_bits()).collect(), bits.to_bits())
}

#[test]
fn one_two_and_three_threads_give_equal_bits() {
    let (rows, columns) = (640, 513);
    let count = rows * columns;
    let size = |group_size| NonZeroUsize::new(group_size).unwrap();
    let layouts = [
        GroupLayout::Contiguous { group_size: size(2) },
        GroupLayout::Contiguous { group_size: size(8) },
        GroupLayout::Contiguous { group_size: size(1001) },
        GroupLayout::Contiguous { group_size: size(usize::MAX) },
        GroupLayout::Transposed { rows, columns, group_size: size(8) },
        GroupLayout::Transposed { rows, columns, group_size: size(rows) },
        GroupLayout::Transposed { rows, columns, group_size: size(7) },
    ];
    for layout in layouts {
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| everything(layout, count))
        };
        let one = with(1);
        assert!(with(2) == one && with(3) == one, "{layout:?}");
    }
}
