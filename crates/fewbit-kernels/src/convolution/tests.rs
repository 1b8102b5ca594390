//! Every pass against its scalar twin, and the same bits from every set and number of threads.

use fewbit_testing::Numbers;

use super::*;

/// A convolution, with numbers for all its slices.
struct Case {
    shape: Convolution,
    input: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    gradient: Vec<f32>,
}

impl Case {
    fn new(shape: Convolution, seed: u64) -> Self {
        let mut numbers = Numbers::seeded(seed);
        Self {
            shape,
            input: numbers.weights(shape.input_len()),
            weight: numbers.weights(shape.weight_len()),
            bias: numbers.weights(shape.channels_out),
            gradient: numbers.weights(shape.output_len()),
        }
    }

    /// Output and the gradients of input, weight and bias.
    fn run(&self, set: InstructionSet) -> [Vec<f32>; 4] {
        // What is in the output before must not matter.
        let room = |len: usize| vec![f32::NAN; len];
        let Self { shape, input, weight, bias, gradient } = self;
        let mut out = [shape.output_len(), input.len(), weight.len(), bias.len()].map(room);
        convolve_on(set, shape, input, weight, Some(bias), &mut out[0]);
        convolution_input_gradient_on(set, shape, gradient, weight, &mut out[1]);
        convolution_weight_gradient_on(set, shape, input, gradient, &mut out[2]);
        convolution_bias_gradient_on(set, shape, gradient, &mut out[3]);
        out
    }

    fn check(&self) {
        let Self { shape, input, weight, bias, gradient } = self;
        let expected = [
            scalar::convolve(shape, input, weight, Some(bias)),
            scalar::input_gradient(shape, gradient, weight),
            scalar::weight_gradient(shape, input, gradient),
            scalar::bias_gradient(shape, gradient),
        ];
        let [rows, columns] = shape.output_size();
        let pixels = shape.batch * rows * columns;
        let terms = [
            shape.group_inputs() * shape.kernel_len() + 1,
            shape.group_outputs() * shape.kernel_len(),
            pixels,
            pixels,
        ];
        let found = self.run(InstructionSet::detect());
        for (pass, ((found, expected), terms)) in found.iter().zip(&expected).zip(terms).enumerate() {
            // A sum of n products of normal numbers is about √n, 6 √n at the most; each addition of n
            // in a row rounds by half a unit of that, as a random walk: √n of them.
            let bound = 6.0 * (terms as f64).sqrt() * (terms as f64).sqrt().max(4.0) * f64::powi(2.0, -24);
            for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
                let error = (f64::from(*found) - expected).abs();
                assert!(error <= bound, "pass {pass} at {place}: {found} for {expected}, {shape:?}");
            }
        }
    }
}

fn options(stride: usize, padding: usize, dilation: usize, groups: usize) -> ConvolutionOptions {
    ConvolutionOptions { stride: [stride; 2], padding: [[padding; 2]; 2], dilation: [dilation; 2], groups }
}

/// Shapes of all kinds: those of the networks made small, and odd ones.
fn shapes() -> Vec<Convolution> {
    let uneven =
        ConvolutionOptions { stride: [2, 1], padding: [[2, 0], [0, 3]], dilation: [1, 2], groups: 1 };
    let strides =
        ConvolutionOptions { stride: [3, 2], padding: [[1, 2], [4, 1]], dilation: [2, 1], groups: 2 };
    [
        ([2, 3, 32, 32], [16, 3, 3, 3], options(1, 1, 1, 1)),
        ([2, 16, 32, 32], [16, 16, 3, 3], options(1, 1, 1, 1)),
        ([3, 16, 16, 16], [32, 16, 3, 3], options(2, 1, 1, 1)),
        ([5, 32, 8, 8], [32, 32, 3, 3], options(1, 1, 1, 1)),
        ([3, 16, 16, 16], [32, 16, 1, 1], options(2, 0, 1, 1)),
        ([9, 16, 8, 8], [11, 16, 3, 3], options(1, 1, 1, 1)),
        ([3, 24, 6, 10], [18, 12, 3, 3], options(1, 1, 1, 2)),
        ([20, 8, 2, 2], [8, 8, 3, 3], options(1, 1, 1, 1)),
        ([1, 8, 50, 72], [8, 8, 3, 3], options(1, 1, 1, 1)),
        ([1, 24, 58, 56], [8, 24, 3, 3], options(1, 1, 1, 1)),
        ([2, 12, 7, 7], [20, 12, 1, 1], options(1, 0, 1, 1)),
        ([2, 8, 9, 10], [8, 1, 3, 3], options(1, 1, 1, 8)),
        ([2, 8, 9, 10], [8, 1, 3, 3], options(2, 1, 1, 8)),
        ([2, 6, 11, 5], [9, 2, 3, 3], options(1, 1, 1, 3)),
        ([2, 5, 11, 13], [7, 5, 5, 3], options(1, 2, 1, 1)),
        ([1, 1, 1, 1], [1, 1, 1, 1], options(1, 0, 1, 1)),
        ([1, 2, 1, 1], [3, 2, 3, 3], options(2, 1, 1, 1)),
        ([2, 3, 1, 9], [2, 3, 1, 4], options(3, 0, 1, 1)),
        ([2, 3, 6, 7], [5, 3, 2, 2], options(5, 0, 1, 1)),
        ([2, 3, 8, 9], [5, 3, 3, 3], options(1, 4, 3, 1)),
        ([3, 4, 13, 12], [6, 4, 3, 2], uneven),
        ([2, 4, 10, 11], [6, 2, 2, 3], strides),
        ([0, 3, 8, 8], [4, 3, 3, 3], options(1, 1, 1, 1)),
        ([2, 0, 4, 4], [3, 0, 3, 3], options(1, 1, 1, 1)),
        ([2, 3, 4, 4], [0, 3, 3, 3], options(1, 1, 1, 1)),
        ([2, 1, 0, 3], [2, 1, 1, 1], options(1, 1, 1, 1)),
        ([1, 40, 60, 50], [5, 40, 3, 3], options(1, 1, 1, 1)),
        ([1, 40, 61, 50], [5, 40, 3, 3], options(2, 1, 1, 1)),
    ]
    .map(|(input, weight, options)| Convolution::new(input, weight, options).unwrap())
    .to_vec()
}

#[test]
fn every_pass_is_its_scalar_twin() {
    for (seed, shape) in shapes().into_iter().enumerate() {
        Case::new(shape, seed as u64).check();
    }
}

#[test]
fn random_shapes_too() {
    let mut numbers = Numbers::seeded(77);
    let mut found = 0;
    while found < 300 {
        let mut up_to = |limit: usize| 1 + numbers.below(limit);
        let groups = if up_to(2) == 1 { 1 } else { up_to(4) };
        let [group_inputs, group_outputs] = [up_to(6), up_to(10)];
        let input = [up_to(3), groups * group_inputs, up_to(14), up_to(20)];
        let weight = [groups * group_outputs, group_inputs, up_to(4), up_to(4)];
        let options = ConvolutionOptions {
            stride: [up_to(3), up_to(3)],
            padding: [[up_to(4) - 1, up_to(4) - 1], [up_to(4) - 1, up_to(4) - 1]],
            dilation: [up_to(3), up_to(2)],
            groups,
        };
        let Ok(shape) = Convolution::new(input, weight, options) else { continue };
        Case::new(shape, found).check();
        found += 1;
    }
}

#[test]
fn every_set_gives_equal_bits() {
    for (seed, shape) in shapes().into_iter().enumerate() {
        let case = Case::new(shape, seed as u64);
        let expected = bits(&case.run(InstructionSet::Baseline));
        for set in InstructionSet::available() {
            assert!(bits(&case.run(set)) == expected, "{set:?} {shape:?}");
        }
    }
}

#[test]
fn one_two_and_three_threads_give_equal_bits() {
    let shape = Convolution::new([19, 16, 16, 16], [16, 16, 3, 3], options(1, 1, 1, 1)).unwrap();
    let case = Case::new(shape, 1);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        bits(&pool.install(|| case.run(InstructionSet::detect())))
    };
    let one = on(1);
    assert!(on(2) == one);
    assert!(on(3) == one);
}

fn bits(numbers: &[Vec<f32>]) -> Vec<Vec<u32>> {
    numbers.iter().map(|numbers| numbers.iter().map(|number| number.to_bits()).collect()).collect()
}

#[test]
fn a_missing_bias_is_zero() {
    let shape = Convolution::new([2, 3, 5, 5], [4, 3, 3, 3], options(1, 1, 1, 1)).unwrap();
    let case = Case::new(shape, 3);
    let mut out = [vec![f32::NAN; shape.output_len()], vec![f32::NAN; shape.output_len()]];
    convolve(&shape, &case.input, &case.weight, None, &mut out[0]);
    convolve(&shape, &case.input, &case.weight, Some(&[0.0; 4]), &mut out[1]);
    assert_eq!(out[0], out[1]);
}

/// The loss `sum of gradient · output` is linear in each of its two operands, so that a step of any
/// size gives its derivative: here one whole unit, in `f64`.
#[test]
fn the_scalar_gradients_are_finite_differences() {
    let shape = Convolution::new([2, 4, 5, 6], [6, 2, 3, 2], options(2, 1, 1, 2)).unwrap();
    let case = Case::new(shape, 4);
    let loss = |input: &[f32], weight: &[f32]| -> f64 {
        let out = scalar::convolve(&shape, input, weight, Some(&case.bias));
        out.iter().zip(&case.gradient).map(|(out, gradient)| out * f64::from(*gradient)).sum()
    };
    let base = loss(&case.input, &case.weight);
    let stepped = |numbers: &[f32], place: usize| {
        let mut numbers = numbers.to_vec();
        numbers[place] += 1.0;
        numbers
    };
    // `x + 1` rounds to `f32`, by less than 2^-22 for |x| below 7; a derivative is below 100.
    for (place, gradient) in scalar::input_gradient(&shape, &case.gradient, &case.weight).iter().enumerate() {
        let difference = loss(&stepped(&case.input, place), &case.weight) - base;
        assert!((difference - gradient).abs() < 1e-4, "input {place}: {difference} {gradient}");
    }
    for (place, gradient) in scalar::weight_gradient(&shape, &case.input, &case.gradient).iter().enumerate() {
        let difference = loss(&case.input, &stepped(&case.weight, place)) - base;
        assert!((difference - gradient).abs() < 1e-4, "weight {place}: {difference} {gradient}");
    }
}

#[test]
fn shapes_that_do_not_fit_are_errors() {
    let error = |input, weight, options| Convolution::new(input, weight, options).unwrap_err();
    let plain = ConvolutionOptions::default();
    assert_eq!(
        error([1, 3, 4, 4], [2, 3, 5, 1], plain),
        ConvolutionError::KernelBeyondImage { axis: 0, reach: 5, padded: 4 }
    );
    assert_eq!(
        error([1, 3, 4, 4], [2, 2, 1, 1], plain),
        ConvolutionError::WeightChannels { found: 2, needed: 3 }
    );
    assert_eq!(
        error([1, 4, 4, 4], [3, 2, 1, 1], options(1, 0, 1, 2)),
        ConvolutionError::Groups { channels: 3, groups: 2 }
    );
    assert_eq!(
        error([1, 3, 4, 4], [2, 3, 1, 1], options(1, 0, 1, 0)),
        ConvolutionError::Groups { channels: 3, groups: 0 }
    );
    assert_eq!(
        error([1, 3, 4, 4], [2, 3, 1, 1], options(0, 0, 1, 1)),
        ConvolutionError::Zero { what: "stride", found: [0; 2] }
    );
    let huge = usize::MAX / 2;
    assert!(matches!(error([huge, 1, 4, 4], [1, 1, 1, 1], plain), ConvolutionError::TooLarge { .. }));
    assert!(matches!(
        error([1, 1, 4, 4], [1, 1, 1, 1], options(1, huge, 1, 1)),
        ConvolutionError::TooLarge { .. }
    ));
}

#[test]
#[should_panic(expected = "`weight`")]
fn a_wrong_length_is_named() {
    let shape = Convolution::new([1, 1, 2, 2], [1, 1, 1, 1], ConvolutionOptions::default()).unwrap();
    convolve(&shape, &[0.0; 4], &[0.0; 2], None, &mut [0.0; 4]);
}
