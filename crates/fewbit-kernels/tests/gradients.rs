//! Every gradient is the slope of what the forward pass computes.

use std::num::NonZeroUsize;

use fewbit_kernels::{
    BitsLaw, GroupLayout, NoiseKey, NoiseLaw, Parametrisation, bits, bits_derivative, code_bits,
    logit_gradient, noise_gradient, noisy_weights, scalar, step_fractions, steps,
};

const PARAMETRISATIONS: [Parametrisation; 2] = [Parametrisation::Bits, Parametrisation::Noise];

/// The formulas in `f64`, straight from the paper, as what to differentiate.
fn exact_bits(l: f64, min: f64, max: f64, parametrisation: Parametrisation) -> f64 {
    let t = 1.0 / (1.0 + (-l).exp());
    match parametrisation {
        Parametrisation::Bits => min + (max - min) * t,
        Parametrisation::Noise => {
            let ln_u = |b: f64| -(b.max(0.5).exp2() - 1.0).ln();
            let u = (t * ln_u(max) + (1.0 - t) * ln_u(min)).exp();
            (1.0 + 1.0 / u).log2()
        }
    }
}

fn exact_step(bits: f64) -> f64 {
    1.0 / (bits.max(0.5).exp2() - 1.0)
}

/// Central difference: its error is of order h^2 = 1e-10.
fn slope(f: impl Fn(f64) -> f64, at: f64) -> f64 {
    let h = 1e-5;
    (f(at + h) - f(at - h)) / (2.0 * h)
}

#[track_caller]
fn assert_close(found: f32, expected: f64, what: &str) {
    // A few f32 roundings, some of them amplified by 2^b - 1 and by the exponent of e^-l.
    let bound = 4e-6 * expected.abs() + 1e-9;
    assert!((f64::from(found) - expected).abs() < bound, "{what}: {found}, not {expected}");
}

#[test]
fn bits_steps_and_their_slopes_follow_the_paper() {
    for parametrisation in PARAMETRISATIONS {
        for (min, max) in [(2.0, 15.0), (0.0, 8.0), (1.0, 10.0), (4.0, 4.0), (0.0, 16.0)] {
            let law = BitsLaw::new(min, max, parametrisation).unwrap();
            for place in -80..=80 {
                let logit = place as f32 / 8.0 + 0.01;
                let b = |l| exact_bits(l, f64::from(min), f64::from(max), parametrisation);
                let u = |l| exact_step(b(l));
                let (mut out, at) = ([0.0], f64::from(logit));
                bits(&[logit], &law, &mut out);
                assert_close(out[0], b(at), "bits");
                bits_derivative(&[logit], &law, &mut out);
                assert_close(out[0], slope(b, at), "slope of the bits");
                // The step has a corner at the floor of half a bit: not differentiated across it.
                if (b(at) - 0.5).abs() < 1e-3 {
                    continue;
                }
                step_fractions(&[logit], &law, &mut out);
                assert_close(out[0] / (1.0 + out[0]), u(at) / (1.0 + u(at)), "step");
                logit_gradient(&[1.0], &[logit], &law, 1.0, &mut out);
                assert_close(
                    out[0] / (1.0 + u(at) as f32).powi(2),
                    slope(u, at) / (1.0 + u(at)).powi(2),
                    "slope of the step",
                );
            }
        }
    }
}

/// The paper's numbers: bits 2 to 15, start 8: logit ln(6/7), slope 42/13 = 3.2308.
#[test]
fn the_default_start_is_the_papers() {
    let law = BitsLaw::new(2.0, 15.0, Parametrisation::Bits).unwrap();
    let logit = law.logit_of(8.0);
    assert_close(logit, (6.0f64 / 7.0).ln(), "logit of 8 bits");
    let mut out = [0.0];
    bits(&[logit], &law, &mut out);
    assert_close(out[0], 8.0, "bits");
    bits_derivative(&[logit], &law, &mut out);
    assert_close(out[0], 42.0 / 13.0, "slope");
    step_fractions(&[logit], &law, &mut out);
    assert_close(out[0], 1.0 / 255.0, "step");
}

#[test]
fn logits_of_bits_come_back_as_these_bits() {
    for parametrisation in PARAMETRISATIONS {
        let law = BitsLaw::new(1.0, 15.0, parametrisation).unwrap();
        for wanted in [1.0, 1.5, 2.0, 8.0, 14.5, 15.0] {
            let mut out = [0.0];
            bits(&[law.logit_of(wanted)], &law, &mut out);
            assert!((out[0] - wanted).abs() < 2e-5, "{parametrisation:?}: {wanted} came back as {}", out[0]);
        }
    }
}

#[test]
fn finite_logits_never_give_infinities_or_nan() {
    let logits = [0.0, -0.0, 1e-30, 50.0, -50.0, 100.0, -100.0, 1e30, -1e30, f32::MAX, f32::MIN];
    for parametrisation in PARAMETRISATIONS {
        for (min, max) in [(0.0, 16.0), (0.0, 0.0), (2.0, 15.0), (16.0, 16.0)] {
            let law = BitsLaw::new(min, max, parametrisation).unwrap();
            let mut out = [0.0; 11];
            let mut check = |what: &str, write: &dyn Fn(&mut [f32])| {
                write(&mut out);
                assert!(out.iter().all(|x| x.is_finite()), "{what} of {min} to {max}: {out:?}");
            };
            check("bits", &|out| bits(&logits, &law, out));
            check("slope", &|out| bits_derivative(&logits, &law, out));
            check("steps", &|out| steps(&logits, &law, 3.0, out));
            check("gradient", &|out| logit_gradient(&[1.0; 11], &logits, &law, 3.0, out));
        }
    }
}

#[test]
fn a_nan_logit_is_not_hidden() {
    for parametrisation in PARAMETRISATIONS {
        let law = BitsLaw::new(2.0, 15.0, parametrisation).unwrap();
        let mut out = [0.0];
        bits(&[f32::NAN], &law, &mut out);
        assert!(out[0].is_nan());
        steps(&[f32::NAN], &law, 1.0, &mut out);
        assert!(out[0].is_nan());
    }
}

#[test]
fn bounds_that_make_no_law_are_refused() {
    for (min, max) in
        [(-1.0, 8.0), (8.0, 2.0), (2.0, 17.0), (f32::NAN, 8.0), (2.0, f32::NAN), (2.0, f32::INFINITY)]
    {
        let error = BitsLaw::new(min, max, Parametrisation::Bits).unwrap_err();
        assert!(error.to_string().contains("0 <= min <= max <= 16 is needed"), "{error}");
    }
}

/// A loss that is linear in the noisy weights, `sum of g * w~`: its gradient is exactly what the
/// backward pass claims, and finite differences of the forward pass must agree.
#[test]
fn the_gradient_of_the_logits_is_the_slope_of_the_loss() {
    let (rows, columns) = (12, 10);
    let count = rows * columns;
    let size = NonZeroUsize::new(8).unwrap();
    let numbers = |path: &str, count: usize| -> Vec<f32> {
        let key = NoiseKey::new(3, 0, 0, 0, path);
        (0..count as u64).map(|index| scalar::noise(key, NoiseLaw::Uniform, index)).collect()
    };
    let (weights, gradient) = (numbers("weights", count), numbers("gradient", count));
    let (key, width) = (NoiseKey::new(4, 0, 0, 0, "noise"), 1.25);
    for layout in [
        GroupLayout::Contiguous { group_size: size },
        GroupLayout::Transposed { rows, columns, group_size: size },
        GroupLayout::Transposed { rows, columns, group_size: NonZeroUsize::new(6).unwrap() },
    ] {
        for law in [NoiseLaw::Gaussian, NoiseLaw::Uniform] {
            for parametrisation in PARAMETRISATIONS {
                let bits_law = BitsLaw::new(2.0, 15.0, parametrisation).unwrap();
                let logits = numbers("logits", layout.group_count(count));
                // The forward pass in f64, the noise itself read from the kernel.
                let noise = noisy_weights(&vec![0.0; count], &vec![1.0; logits.len()], layout, key, law);
                let loss = |group: usize, logit: f64| -> f64 {
                    (0..count)
                        .map(|index| {
                            let own = layout.group_of(index);
                            let l = if own == group { logit } else { f64::from(logits[own]) };
                            let step =
                                f64::from(width) * exact_step(exact_bits(l, 2.0, 15.0, parametrisation));
                            f64::from(gradient[index])
                                * (f64::from(weights[index]) + step * f64::from(noise[index]))
                        })
                        .sum()
                };
                let sums = noise_gradient(&gradient, layout, key, law);
                let mut found = vec![0.0; logits.len()];
                logit_gradient(&sums, &logits, &bits_law, width, &mut found);
                for (group, found) in found.iter().enumerate() {
                    let expected = slope(|l| loss(group, l), f64::from(logits[group]));
                    let difference = (f64::from(*found) - expected).abs();
                    assert!(
                        difference < 1e-8 + 1e-4 * expected.abs(),
                        "{layout:?}, group {group}: {found}, not {expected}"
                    );
                }
            }
        }
    }
}

#[test]
fn code_bits_and_their_gradient_count_the_ragged_group_once() {
    let size = NonZeroUsize::new(8).unwrap();
    for parametrisation in PARAMETRISATIONS {
        let law = BitsLaw::new(2.0, 15.0, parametrisation).unwrap();
        for weights in [0usize, 1, 7, 8, 9, 64, 1003] {
            let layout = GroupLayout::Contiguous { group_size: size };
            let logits: Vec<f32> =
                (0..layout.group_count(weights)).map(|group| (group as f32).sin()).collect();
            let of = |l: f32| exact_bits(f64::from(l), 2.0, 15.0, parametrisation);
            let length = |group| layout.group_length(group, weights) as f64;
            let expected: f64 = logits.iter().enumerate().map(|(group, &l)| length(group) * of(l)).sum();
            let mut gradient = vec![0.0; logits.len()];
            let found = code_bits(&logits, &law, layout, weights, 0.5, &mut gradient);
            assert!((found - expected).abs() <= 1e-6 * expected, "{found} bits, not {expected}");
            for (group, found) in gradient.iter().enumerate() {
                let b = |l| exact_bits(l, 2.0, 15.0, parametrisation);
                assert_close(*found, 0.5 * length(group) * slope(b, f64::from(logits[group])), "gradient");
            }
        }
    }
}

/// Ten million products in one group: f32 partial sums alone would be off by 1e-3 or more.
#[test]
fn a_group_of_ten_million_weights_keeps_its_precision() {
    let count = 10_000_000;
    let layout = GroupLayout::Contiguous { group_size: NonZeroUsize::new(count).unwrap() };
    let key = NoiseKey::new(9, 0, 0, 0, "weight");
    let noise = noisy_weights(&vec![0.0; count], &[1.0], layout, key, NoiseLaw::Gaussian);
    // With the noise for gradient, the sum is of squares: about count / 4.
    let exact: f64 = noise.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    let found = noise_gradient(&noise, layout, key, NoiseLaw::Gaussian)[0];
    assert!((f64::from(found) / exact - 1.0).abs() < 2e-7, "{found}, not {exact}");
}
