//! What every method promises: files have what training read, fast gradients are those of the slopes, and slopes are
//! those of finite differences where the weight is a smooth function.

use fewbit::method::{
    Coarseness, DiffQ, Fewbit, FixedWidth, Lsq, Method, PtqMinMax, PtqMse, Qat, QuantNoise, ScaleSpace,
    SizeEstimate, Slopes,
};
use fewbit::{BitWidth, BitsParametrisation, GroupSize, Layout, Orientation, RangeGranularity};
use fewbit_kernels::{NoiseKey, NoiseLaw};
use fewbit_testing::Numbers;

const GRANULARITIES: [RangeGranularity; 3] =
    [RangeGranularity::Tensor, RangeGranularity::Channel, RangeGranularity::Group];

fn group(size: usize) -> GroupSize {
    GroupSize::new(size).unwrap()
}

fn fixed(bits: u8, granularity: RangeGranularity) -> FixedWidth {
    FixedWidth { width: BitWidth::new(bits).unwrap(), granularity, group_size: group(5) }
}

fn fewbit(granularity: RangeGranularity) -> Fewbit {
    Fewbit { granularity, group_size: group(5), ..Fewbit::default() }
}

fn diffq(noise: NoiseLaw, parametrisation: BitsParametrisation) -> DiffQ {
    DiffQ { noise, parametrisation, ..DiffQ::with_groups_of(5) }
}

fn every_method() -> Vec<Box<dyn Method>> {
    let mut methods: Vec<Box<dyn Method>> = vec![
        Box::new(diffq(NoiseLaw::Gaussian, BitsParametrisation::Bits)),
        Box::new(diffq(NoiseLaw::Uniform, BitsParametrisation::Noise)),
        Box::new(Fewbit { estimate: SizeEstimate::Nominal, ..Fewbit::default() }),
    ];
    for granularity in GRANULARITIES {
        let fixed = fixed(3, granularity);
        methods.push(Box::new(fewbit(granularity)));
        methods.push(Box::new(Lsq { fixed, space: ScaleSpace::Linear }));
        methods.push(Box::new(Lsq { fixed, space: ScaleSpace::Logarithm }));
        methods.push(Box::new(Qat(fixed)));
        methods.push(Box::new(QuantNoise { fixed, share: 0.5 }));
        methods.push(Box::new(PtqMinMax(fixed)));
        methods.push(Box::new(PtqMse(fixed)));
    }
    methods
}

/// Shapes in memory: a matrix in either order, a transposed convolution, a vector. Groups of five end within channels.
const TENSORS: [(&[usize], Orientation); 4] = [
    (&[6, 4], Orientation::Stored),
    (&[7, 9], Orientation::Swapped),
    (&[3, 4, 2, 2], Orientation::Swapped),
    (&[11], Orientation::Stored),
];

fn key(step: u64) -> NoiseKey {
    NoiseKey::new(7, 0, step, 0, "weight")
}

/// Each method with each tensor: its layout, weights and learned numbers at the start.
fn each_case(mut check: impl FnMut(&dyn Method, &Layout, &[f32], &[f32])) {
    for method in every_method() {
        for (shape, orientation) in TENSORS {
            let layout = method.layout(shape, orientation);
            let weights = Numbers::seeded(3).weights(layout.len());
            let learned = method.initial(&layout, &weights);
            assert_eq!(learned.len(), layout.grouping().count());
            check(method.as_ref(), &layout, &weights, &learned);
        }
    }
}

#[test]
fn a_file_has_the_rounded_weights_of_training() {
    each_case(|method, layout, weights, learned| {
        let mut rounded = vec![f32::NAN; weights.len()];
        method.rounded(layout, weights, learned, &mut rounded);
        let tensor = method.quantize(layout, weights, learned, Coarseness::default()).unwrap();
        assert_eq!(tensor.shape(), layout.stored_shape());
        assert_eq!(layout.to_memory(tensor.dequantize()), rounded, "{method:?}, {layout:?}");
    });
}

/// The gradient of a loss with these slopes in what is read.
fn gradient(len: usize) -> Vec<f32> {
    Numbers::seeded(9).weights(len)
}

fn assert_close(found: &[f32], expected: &[f32], what: &dyn std::fmt::Debug) {
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= 1e-4 * (1.0 + expected.abs()), "{what:?}: {found}, {expected}");
    }
}

/// The gradient by the slopes: each weight's own, and the sum over its group.
fn by_slopes(
    layout: &Layout,
    gradient: &[f32],
    groups: usize,
    write: impl FnOnce(Slopes<'_>),
) -> [Vec<f32>; 2] {
    let [mut of_weights, mut of_learned] = [(); 2].map(|()| vec![f32::NAN; gradient.len()]);
    write(Slopes { of_weights: &mut of_weights, of_learned: &mut of_learned });
    let mut sums = vec![0.0f32; groups];
    for ((slope, gradient), group) in of_learned.iter().zip(gradient).zip(layout.group_of_each()) {
        sums[group] += slope * gradient;
    }
    [of_weights.iter().zip(gradient).map(|(slope, gradient)| slope * gradient).collect(), sums]
}

#[test]
fn fast_gradients_are_those_of_the_slopes() {
    each_case(|method, layout, weights, learned| {
        let gradient = gradient(weights.len());
        let [mut fast, mut of_learned] = [gradient.clone(), vec![f32::NAN; learned.len()]];
        method.noisy_gradient(layout, weights, learned, key(1), &mut fast, &mut of_learned);
        let write = |slopes: Slopes<'_>| method.noisy_slopes(layout, weights, learned, key(1), slopes);
        let [expected, sums] = by_slopes(layout, &gradient, learned.len(), write);
        assert_close(&fast, &expected, &method);
        assert_close(&of_learned, &sums, &method);

        let mut fast = gradient.clone();
        method.rounded_gradient(layout, weights, learned, &mut fast, &mut of_learned);
        let write = |slopes: Slopes<'_>| method.rounded_slopes(layout, weights, learned, slopes);
        let [expected, sums] = by_slopes(layout, &gradient, learned.len(), write);
        assert_close(&fast, &expected, &method);
        assert_close(&of_learned, &sums, &method);
    });
}

/// Under noise the weight is a smooth function of what is learned, but that scales are stored as 16-bit floats: with a
/// larger difference that is lost in it.
#[test]
fn slopes_under_noise_are_those_of_finite_differences() {
    each_case(|method, layout, weights, learned| {
        if !matches!(method.name(), "fewbit" | "diffq") {
            return;
        }
        let [mut of_weights, mut of_learned] = [(); 2].map(|()| vec![0.0; weights.len()]);
        let slopes = Slopes { of_weights: &mut of_weights, of_learned: &mut of_learned };
        method.noisy_slopes(layout, weights, learned, key(2), slopes);
        let at = |shift: f32| {
            let moved: Vec<f32> = learned.iter().map(|number| number + shift).collect();
            let mut out = vec![0.0; weights.len()];
            method.noisy(layout, weights, &moved, key(2), &mut out);
            out
        };
        let (above, below) = (at(0.1), at(-0.1));
        for (index, slope) in of_learned.iter().enumerate() {
            let measured = (above[index] - below[index]) / 0.2;
            assert!(
                (measured - slope).abs() < 2e-2 * (0.05 + slope.abs()),
                "{method:?}: {measured}, {slope}"
            );
        }
        assert!(of_weights.iter().all(|slope| *slope == 1.0));
    });
}

/// Noise has mean 0 and a spread below a scale, and another draw is other noise.
#[test]
fn noise_is_drawn_anew_in_each_step() {
    let method = fewbit(RangeGranularity::Tensor);
    let layout = Layout::new(vec![64, 64], Orientation::Stored, GroupSize::WholeTensor);
    let weights = Numbers::seeded(4).weights(layout.len());
    let [mut first, mut second] = [(); 2].map(|()| vec![0.0; weights.len()]);
    method.noisy(&layout, &weights, &[-3.0], key(1), &mut first);
    method.noisy(&layout, &weights, &[-3.0], key(2), &mut second);
    assert_ne!(first, second);
    let noise = first.iter().zip(&weights).map(|(noisy, weight)| f64::from(noisy - weight));
    assert!(noise.clone().all(|noise| noise.abs() <= 0.0626));
    // The mean of 4,096 uniform numbers on ±1/16 has a deviation of 0.0361/64: five of those.
    assert!((noise.sum::<f64>() / 4096.0).abs() < 5.0 * 0.125 / 12f64.sqrt() / 64.0);
}

/// With more bytes than levels can use, scales shrink as far as they like: no weight may be clamped for that.
#[test]
fn no_scale_is_so_fine_that_a_weight_is_clamped() {
    for granularity in GRANULARITIES {
        let method = fewbit(granularity);
        let layout = method.layout(&[6, 4], Orientation::Swapped);
        let weights = Numbers::seeded(5).weights(24);
        let largest = weights.iter().fold(0.0f32, |most, weight| most.max(weight.abs()));
        let mut rounded = vec![0.0; 24];
        method.rounded(&layout, &weights, &vec![-30.0; layout.grouping().count()], &mut rounded);
        for (weight, rounded) in weights.iter().zip(&rounded) {
            assert!((weight - rounded).abs() <= 0.51 * largest / 127.0, "{weight}: {rounded}");
        }
    }
}

/// A scale of 1 over weights of ±1/4, with one beyond the last level: where a weight lies within the levels the gradient
/// passes, beyond them it does not; the scale gets `Σ (q - w/s)` within and `Σ q` beyond (Esser et al. 2020, equation 3)
/// times `1/√(4·1)`.
#[test]
fn the_gradient_of_lsqs_scale_is_the_papers() {
    let lsq = Lsq { fixed: fixed(2, RangeGranularity::Tensor), space: ScaleSpace::Linear };
    let layout = lsq.layout(&[4], Orientation::Stored);
    let (mut gradient, mut of_learned) = (vec![1.0; 4], [0.0]);
    lsq.rounded_gradient(&layout, &[0.25, -0.25, 0.75, -3.0], &[1.0], &mut gradient, &mut of_learned);
    assert_eq!(gradient, [1.0, 1.0, 1.0, 0.0]);
    // 0 - 1/4, 0 + 1/4, 1 - 3/4, -2.
    assert_eq!(of_learned, [(-0.25 + 0.25 + 0.25 - 2.0) / 2.0]);
}

/// `2·mean|w|/√(2^(b-1) - 1)`: a mean of 0.5 at 3 bits gives 1/√3.
#[test]
fn lsq_starts_where_the_paper_does() {
    let fixed = fixed(3, RangeGranularity::Tensor);
    let layout = Layout::new(vec![2], Orientation::Stored, GroupSize::WholeTensor);
    let start = |space| Lsq { fixed, space }.initial(&layout, &[0.25, -0.75])[0];
    assert!((start(ScaleSpace::Linear) - 1.0 / 3f32.sqrt()).abs() < 1e-6);
    assert!((start(ScaleSpace::Logarithm).exp2() - 1.0 / 3f32.sqrt()).abs() < 1e-6);
}

#[test]
fn a_fixed_width_has_at_most_its_levels() {
    for bits in 1..=4 {
        let fixed = fixed(bits, RangeGranularity::Tensor);
        let methods: [Box<dyn Method>; 4] = [
            Box::new(Lsq { fixed, space: ScaleSpace::Linear }),
            Box::new(Qat(fixed)),
            Box::new(PtqMinMax(fixed)),
            Box::new(PtqMse(fixed)),
        ];
        for method in methods {
            let layout = method.layout(&[100], Orientation::Stored);
            let weights = Numbers::seeded(6).weights(100);
            let mut rounded = vec![0.0; 100];
            method.rounded(&layout, &weights, &method.initial(&layout, &weights), &mut rounded);
            rounded.sort_by(f32::total_cmp);
            rounded.dedup();
            assert!(rounded.len() <= 1 << bits, "{method:?}: {} levels", rounded.len());
        }
    }
}

#[test]
fn quant_noise_rounds_a_share_of_the_weights_and_leaves_the_rest() {
    let shares = [0.0f32, 0.5, 1.0].map(|share| {
        let method = QuantNoise { fixed: fixed(2, RangeGranularity::Tensor), share };
        let layout = method.layout(&[10_000], Orientation::Stored);
        let weights = Numbers::seeded(8).weights(10_000);
        let [mut noisy, mut rounded] = [(); 2].map(|()| vec![0.0; 10_000]);
        method.noisy(&layout, &weights, &[0.0], key(1), &mut noisy);
        method.rounded(&layout, &weights, &[0.0], &mut rounded);
        let is_rounded = |index: &usize| noisy[*index] == rounded[*index];
        assert!((0..10_000).all(|index| noisy[index] == weights[index] || is_rounded(&index)));
        (0..10_000).filter(is_rounded).count()
    });
    // Some weights lie on the grid; of the others half, with a deviation of 50.
    assert!(shares[0] < 10 && shares[2] == 10_000 && shares[1].abs_diff(5000) < 250, "{shares:?}");
}

/// DiffQ's penalty: 64×128 weights in groups of 8 at 8 bits are 65,536 bits of codes, 68,680 with range and widths, and
/// a group's derivative in its logit is `8·b'(l)`.
#[test]
fn the_size_of_the_papers_example() {
    let method = DiffQ::default();
    let layout = method.layout(&[64, 128], Orientation::Stored);
    let weights = Numbers::seeded(1).weights(64 * 128);
    let learned = method.initial(&layout, &weights);
    let mut of_learned = vec![0.0; 1024];
    let bits = method.size(&layout, &weights, &learned, &mut [], &mut of_learned).unwrap().bits;
    assert!((bits - 65_536.0).abs() < 0.1 && !method.size_depends_on_weights());
    assert!((method.nominal_size(&layout, &learned).unwrap() - 68_680.0).abs() < 0.1);
    let slope = 8.0 * method.bits_law().unwrap().derivative(learned[0]);
    assert!(of_learned.iter().all(|found| (found - slope).abs() < 1e-3));
}

/// The size is a function of scales and weights with the slopes that it says: nominal bits are smooth.
#[test]
fn nominal_bits_have_the_slope_of_finite_differences() {
    let method = Fewbit { estimate: SizeEstimate::Nominal, ..Fewbit::default() };
    let layout = method.layout(&[12, 10], Orientation::Swapped);
    let weights = Numbers::seeded(2).weights(120);
    let size = |shift: f32| {
        let mut of_learned = vec![0.0; 1];
        let bits = method.size(&layout, &weights, &[-1.0 + shift], &mut [], &mut of_learned).unwrap().bits;
        (bits, f64::from(of_learned[0]))
    };
    let measured = (size(0.2).0 - size(-0.2).0) / 0.4;
    // Scales are stored as 16-bit floats.
    assert!((measured - size(0.0).1).abs() < 2e-2 * measured.abs(), "{measured}, {}", size(0.0).1);
}

#[test]
fn what_is_not_finite_is_refused_or_shows() {
    each_case(|method, layout, weights, learned| {
        let mut weights = weights.to_vec();
        weights[1] = f32::NAN;
        assert!(method.quantize(layout, &weights, learned, Coarseness::default()).is_err(), "{method:?}");
        let mut out = vec![0.0; weights.len()];
        method.rounded(layout, &weights, learned, &mut out);
        assert!(out.iter().any(|value| value.is_nan()), "{method:?}");
    });
}

#[test]
fn settings_that_cannot_be_meant_are_refused() {
    for (min_bits, init_bits, max_bits) in [(9.0, 8.0, 4.0), (2.0, 20.0, 15.0), (2.0, 8.0, 17.0)] {
        let method = DiffQ { min_bits, init_bits, max_bits, ..DiffQ::default() };
        assert!(method.check().is_err());
    }
    assert!(DiffQ::default().check().is_ok());
}
