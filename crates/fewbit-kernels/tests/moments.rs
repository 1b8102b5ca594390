//! The noise has the moments of its law, and no memory: over indices, steps, paths and pairs.
//!
//! Each bound is five standard deviations of what is measured, computed from the number of draws;
//! the keys are fixed, so that a test passes always or never.

use std::num::NonZeroUsize;

use fewbit_kernels::{GroupLayout, NoiseKey, NoiseLaw, noisy_weights};

const DRAWS: usize = 1 << 20;
const LAWS: [NoiseLaw; 2] = [NoiseLaw::Gaussian, NoiseLaw::Uniform];

/// The noise alone: of weights that are 0, with steps of 1.
fn noise(key: NoiseKey, law: NoiseLaw) -> Vec<f64> {
    let layout = GroupLayout::Contiguous { group_size: NonZeroUsize::new(DRAWS).unwrap() };
    noisy_weights(&vec![0.0; DRAWS], &[1.0], layout, key, law).iter().map(|&x| f64::from(x)).collect()
}

/// `E x^2`, `E x^4`, `E x^6`, `E x^8` of a law. Normal with deviation s: 1, 3, 15, 105 times a power
/// of s^2 = 1/4; uniform on -1/2 to 1/2: `E x^k = 2^-k / (k + 1)`.
fn even_moments(law: NoiseLaw) -> [f64; 4] {
    match law {
        NoiseLaw::Gaussian => [1.0 / 4.0, 3.0 / 16.0, 15.0 / 64.0, 105.0 / 256.0],
        NoiseLaw::Uniform => [1.0 / 12.0, 1.0 / 80.0, 1.0 / 448.0, 1.0 / 2304.0],
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, count), x| (sum + x, count + 1));
    sum / count as f64
}

#[track_caller]
fn assert_within(found: f64, expected: f64, variance_of_one: f64, what: &str) {
    let bound = 5.0 * (variance_of_one / DRAWS as f64).sqrt();
    assert!((found - expected).abs() < bound, "{what}: {found}, not {expected} within {bound}");
}

#[test]
fn the_first_four_moments_are_those_of_the_law() {
    for law in LAWS {
        let [second, fourth, sixth, eighth] = even_moments(law);
        for step in 0..4 {
            let noise = noise(NoiseKey::new(11, 0, step, 0, "weight"), law);
            let of = |power| mean(noise.iter().map(|x| x.powi(power)));
            // Var x^k = E x^2k - (E x^k)^2.
            assert_within(of(1), 0.0, second, "mean");
            assert_within(of(2), second, fourth - second * second, "variance");
            assert_within(of(3), 0.0, sixth, "third moment");
            assert_within(of(4), fourth, eighth - fourth * fourth, "fourth moment");
        }
    }
}

#[test]
fn neighbours_and_the_two_halves_of_pairs_are_uncorrelated() {
    for law in LAWS {
        let [second, fourth, ..] = even_moments(law);
        let noise = noise(NoiseKey::new(12, 0, 0, 0, "weight"), law);
        // 128 is the distance of a pair's two weights.
        for lag in [1, 2, 3, 7, 8, 16, 64, 127, 128, 129, 255, 256, 512, 1024, 65_536] {
            let pairs = || noise.iter().zip(noise.iter().cycle().skip(lag));
            assert_within(mean(pairs().map(|(x, y)| x * y)), 0.0, second * second, "correlation");
            // A dependence that leaves the signs alone shows in the squares.
            let squares = mean(pairs().map(|(x, y)| (x * x - second) * (y * y - second)));
            assert_within(squares, 0.0, (fourth - second * second).powi(2), "correlation of squares");
        }
    }
}

#[test]
fn steps_replicas_seeds_and_paths_are_uncorrelated() {
    for law in LAWS {
        let [second, fourth, ..] = even_moments(law);
        let base = noise(NoiseKey::new(13, 0, 100, 0, "layers.0.weight"), law);
        for other in [
            NoiseKey::new(14, 0, 100, 0, "layers.0.weight"),
            NoiseKey::new(13, 1, 100, 0, "layers.0.weight"),
            NoiseKey::new(13, 0, 101, 0, "layers.0.weight"),
            NoiseKey::new(13, 0, 100, 1, "layers.0.weight"),
            NoiseKey::new(13, 0, 100, 0, "layers.1.weight"),
        ] {
            let other = noise(other, law);
            let pairs = || base.iter().zip(&other);
            assert_within(mean(pairs().map(|(x, y)| x * y)), 0.0, second * second, "correlation");
            let squares = mean(pairs().map(|(x, y)| (x * x - second) * (y * y - second)));
            assert_within(squares, 0.0, (fourth - second * second).powi(2), "correlation of squares");
        }
    }
}

#[test]
fn the_tails_hold_what_the_law_says() {
    // Share beyond k standard deviations of a normal law: 0.3173, 0.0455, 0.0026998, 6.334e-5.
    let noise = noise(NoiseKey::new(15, 0, 0, 0, "weight"), NoiseLaw::Gaussian);
    for (deviations, share) in [(1.0, 0.317_310_5), (2.0, 0.045_500_3), (3.0, 0.002_699_8), (4.0, 6.334e-5)] {
        let beyond = mean(noise.iter().map(|x| f64::from(u8::from(x.abs() > 0.5 * deviations))));
        assert_within(beyond, share, share * (1.0 - share), "share of the tail");
    }
    // A uniform law fills each of 64 cells equally and leaves nothing outside.
    let mut cells = [0u32; 64];
    for x in self::noise(NoiseKey::new(16, 0, 0, 0, "weight"), NoiseLaw::Uniform) {
        assert!((-0.5..=0.5).contains(&x));
        cells[((x + 0.5) * 64.0).min(63.0) as usize] += 1;
    }
    for cell in cells {
        let share = 1.0 / 64.0;
        assert_within(f64::from(cell) / DRAWS as f64, share, share * (1.0 - share), "share of a cell");
    }
}
