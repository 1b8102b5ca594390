//! Batch norm against the formulas in `f64`, slopes of the loss, all sets and numbers of threads.

use fewbit_testing::Numbers;

use super::forward::{batch_norm_on, batch_norm_with_on};
use super::gradient::batch_norm_gradient_on;
use super::*;
use crate::dispatch::InstructionSet;

const EPSILON: f32 = 1e-5;

const fn shape(batch: usize, channels: usize, pixels: usize) -> BatchNormShape {
    BatchNormShape { batch, channels, pixels }
}

/// Nothing, one number, tails, one pixel, few and many channels, one plane above a run.
const SHAPES: [BatchNormShape; 14] = [
    shape(0, 3, 4),
    shape(3, 0, 4),
    shape(2, 3, 0),
    shape(1, 1, 2),
    shape(2, 1, 1),
    shape(2, 3, 5),
    shape(7, 5, 1),
    shape(300, 70, 1),
    shape(5, 8, 49),
    shape(3, 2, 16),
    shape(40, 33, 36),
    shape(2, 9, 4999),
    shape(9, 3, 1024),
    shape(1, 2, 20_000),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Nothing,
    Relu,
    AddRelu,
}
const KINDS: [Kind; 3] = [Kind::Nothing, Kind::Relu, Kind::AddRelu];

/// A layer and a loss `Σ gradient · output`.
#[derive(Clone)]
struct Layer {
    shape: BatchNormShape,
    kind: Kind,
    input: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    residual: Vec<f32>,
    gradient: Vec<f32>,
}

/// Everything that the passes give.
#[derive(Clone, Debug, PartialEq)]
struct Results {
    out: Vec<f32>,
    mean: Vec<f32>,
    variance: Vec<f32>,
    input_gradient: Vec<f32>,
    gamma_gradient: Vec<f32>,
    beta_gradient: Vec<f32>,
    residual_gradient: Vec<f32>,
}

impl Layer {
    fn new(shape: BatchNormShape, kind: Kind, offset: f32, seed: u64) -> Self {
        let mut numbers = Numbers::seeded(seed);
        let mut weights = |count| numbers.weights(count);
        let input = weights(shape.numbers()).iter().map(|x| x + offset).collect();
        let (gamma, beta) = (weights(shape.channels), weights(shape.channels));
        let (residual, gradient) = (weights(shape.numbers()), weights(shape.numbers()));
        Self { shape, kind, input, gamma, beta, residual, gradient }
    }

    fn after(&self) -> After<'_> {
        match self.kind {
            Kind::Nothing => After::Nothing,
            Kind::Relu => After::Relu,
            Kind::AddRelu => After::AddRelu(&self.residual),
        }
    }

    fn results(&self, set: InstructionSet) -> Results {
        let Self { shape, input, gamma, beta, .. } = self;
        let empty = |count| vec![f32::NAN; count];
        let (numbers, channels) = (shape.numbers(), shape.channels);
        let (mut out, mut mean, mut variance) = (empty(numbers), empty(channels), empty(channels));
        let after = self.after();
        batch_norm_on(set, *shape, input, gamma, beta, EPSILON, after, &mut out, &mut mean, &mut variance);
        let mut residual_gradient = if self.kind == Kind::AddRelu { empty(numbers) } else { vec![] };
        let after = match self.kind {
            Kind::Nothing => AfterGradient::Nothing,
            Kind::Relu => AfterGradient::Relu { beta },
            Kind::AddRelu => {
                AfterGradient::AddRelu { output: &out, residual_gradient: &mut residual_gradient }
            }
        };
        let forward = BatchNormInput { input, gamma, mean: &mean, variance: &variance, epsilon: EPSILON };
        let mut input_gradient = empty(numbers);
        let (mut gamma_gradient, mut beta_gradient) = (empty(channels), empty(channels));
        batch_norm_gradient_on(
            set,
            *shape,
            forward,
            after,
            &self.gradient,
            &mut input_gradient,
            &mut gamma_gradient,
            &mut beta_gradient,
        );
        Results { out, mean, variance, input_gradient, gamma_gradient, beta_gradient, residual_gradient }
    }

    /// The numbers of a channel: their places.
    fn places(&self, channel: usize) -> impl Iterator<Item = usize> + Clone + '_ {
        let BatchNormShape { batch, pixels, .. } = self.shape;
        let start = move |image| self.shape.start(image, channel);
        (0..batch).flat_map(move |image| (0..pixels).map(move |pixel| start(image) + pixel))
    }

    /// The scalar twin: mean, variance and what goes into the relu, in `f64`.
    fn scalar(&self) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let (mut means, mut variances, mut out) = (vec![], vec![], vec![0.0; self.input.len()]);
        for channel in 0..self.shape.channels {
            let count = self.shape.per_channel() as f64;
            let x = |place: usize| f64::from(self.input[place]);
            let mean = self.places(channel).map(x).sum::<f64>() / count;
            let variance = self.places(channel).map(|place| (x(place) - mean).powi(2)).sum::<f64>() / count;
            for place in self.places(channel) {
                let normalized = (x(place) - mean) / (variance + f64::from(EPSILON)).sqrt();
                out[place] = normalized * f64::from(self.gamma[channel]) + f64::from(self.beta[channel]);
                if self.kind == Kind::AddRelu {
                    out[place] += f64::from(self.residual[place]);
                }
            }
            means.push(mean);
            variances.push(variance);
        }
        (means, variances, out)
    }

    fn loss(&self) -> f64 {
        let relu = |x: f64| if self.kind == Kind::Nothing { x } else { x.max(0.0) };
        let (_, _, out) = self.scalar();
        out.iter().zip(&self.gradient).map(|(&out, &g)| relu(out) * f64::from(g)).sum()
    }
}

fn assert_close(ours: &[f32], exact: &[f64], tolerance: f64, what: &str) {
    assert_eq!(ours.len(), exact.len(), "{what}");
    for (place, (&ours, &exact)) in ours.iter().zip(exact).enumerate() {
        let bound = tolerance * exact.abs().max(1.0);
        assert!((f64::from(ours) - exact).abs() <= bound, "{what} {place}: {ours}, exact {exact}");
    }
}

#[test]
fn channels_come_out_normalized_whatever_their_mean() {
    for shape in SHAPES.into_iter().filter(|shape| shape.numbers() > 0) {
        for (kind, offset) in KINDS.into_iter().zip([0.0, 1000.0, -3.0]) {
            let layer = Layer::new(shape, kind, offset, 11);
            let (mean, variance, out) = layer.scalar();
            let out: Vec<f64> =
                out.iter().map(|&x| if kind == Kind::Nothing { x } else { x.max(0.0) }).collect();
            let mut first = None;
            for set in InstructionSet::available() {
                let ours = layer.results(set);
                assert_close(&ours.mean, &mean, 1e-6, "mean");
                assert_close(&ours.variance, &variance, 1e-5, "variance");
                // A mean of 1000 is rounded to 6e-5: a few times that where gamma is large or, with
                // two or so numbers, the deviation small.
                let tolerance = 1e-5 + f64::from(offset.abs()) * 6e-7;
                if shape.per_channel() > 2 {
                    assert_close(&ours.out, &out, tolerance, "number");
                }
                let mut with = vec![f32::NAN; shape.numbers()];
                let Layer { input, gamma, beta, .. } = &layer;
                let (mean, variance, after) = (&ours.mean, &ours.variance, layer.after());
                batch_norm_with_on(set, shape, input, gamma, beta, mean, variance, EPSILON, after, &mut with);
                assert!(with == ours.out, "given statistics, {shape:?}, {kind:?}, {set:?}");
                assert!(*first.get_or_insert(ours.clone()) == ours, "{shape:?}, {kind:?}, {set:?}");
            }
        }
    }
}

#[test]
fn a_far_first_number_costs_no_accuracy() {
    let mut layer = Layer::new(shape(100, 1, 300), Kind::Nothing, 0.0, 12);
    layer.input[0] = 1e4;
    let (mean, variance, _) = layer.scalar();
    let ours = layer.results(InstructionSet::detect());
    assert_close(&ours.mean, &mean, 1e-6, "mean");
    assert_close(&ours.variance, &variance, 1e-5, "variance");
}

#[test]
fn gradients_are_those_of_the_formulas() {
    for shape in SHAPES.into_iter().filter(|shape| shape.numbers() > 0) {
        for kind in KINDS {
            let layer = Layer::new(shape, kind, 0.5, 13);
            let ours = layer.results(InstructionSet::detect());
            let (mean, variance, _) = layer.scalar();
            let masked: Vec<f64> = (layer.gradient.iter().zip(&ours.out))
                .map(|(&g, &out)| if kind == Kind::Nothing || out > 0.0 { f64::from(g) } else { 0.0 })
                .collect();
            if kind == Kind::AddRelu {
                assert_close(&ours.residual_gradient, &masked, 0.0, "residual");
            }
            for channel in 0..shape.channels {
                let count = shape.per_channel() as f64;
                let inverse = 1.0 / (variance[channel] + f64::from(EPSILON)).sqrt();
                let normalized = |place: usize| (f64::from(layer.input[place]) - mean[channel]) * inverse;
                let beta: f64 = layer.places(channel).map(|place| masked[place]).sum();
                let gamma: f64 = layer.places(channel).map(|place| masked[place] * normalized(place)).sum();
                // A sum loses by what is added, not by what is left when that cancels.
                let magnitude = 1.0 + 0.01 * count;
                assert_close(&[ours.beta_gradient[channel]], &[beta], 1e-5 * magnitude, "beta");
                // Rounding the mean counts for more the closer the numbers lie, here and below.
                let tolerance = 1e-5 * magnitude * inverse.max(1.0);
                assert_close(&[ours.gamma_gradient[channel]], &[gamma], tolerance, "gamma");
                let scale = f64::from(layer.gamma[channel]) * inverse;
                let exact: Vec<f64> = layer
                    .places(channel)
                    .map(|place| scale * (masked[place] - beta / count - normalized(place) * gamma / count))
                    .collect();
                let input: Vec<f32> = layer.places(channel).map(|place| ours.input_gradient[place]).collect();
                // What cancels is of the magnitude of `scale`.
                assert_close(&input, &exact, 1e-5 * inverse.max(1.0) * scale.abs().max(1.0), "input");
            }
        }
    }
}

/// One of the layer's tensors.
type Part = fn(&mut Layer) -> &mut Vec<f32>;

#[test]
fn gradients_are_the_slopes_of_the_loss() {
    // Steps that `f32` holds exactly. Where a relu changes sides within a step the slope is another:
    // the numbers of these seeds are far enough from 0.
    const STEP: f32 = 1.0 / 4096.0;
    let slope = |layer: &Layer, part: Part, place: usize| {
        let moved = |step: f32| {
            let mut layer = layer.clone();
            part(&mut layer)[place] += step;
            (f64::from(part(&mut layer)[place]), layer.loss())
        };
        let ((right, above), (left, below)) = (moved(STEP), moved(-STEP));
        (above - below) / (right - left)
    };
    for kind in KINDS {
        let layer = Layer::new(shape(3, 2, 5), kind, 0.0, 14);
        assert!(kind == Kind::Nothing || layer.scalar().2.iter().all(|x| x.abs() > 4.0 * f64::from(STEP)));
        let ours = layer.results(InstructionSet::detect());
        let parts: [(&[f32], Part); 4] = [
            (&ours.input_gradient, |layer| &mut layer.input),
            (&ours.gamma_gradient, |layer| &mut layer.gamma),
            (&ours.beta_gradient, |layer| &mut layer.beta),
            (&ours.residual_gradient, |layer| &mut layer.residual),
        ];
        for (part, (gradient, of)) in parts.into_iter().enumerate() {
            let slopes: Vec<f64> = (0..gradient.len()).map(|place| slope(&layer, of, place)).collect();
            assert_close(gradient, &slopes, 1e-4, &format!("{kind:?}, part {part}"));
        }
    }
}

#[test]
fn every_set_and_number_of_threads_gives_equal_bits() {
    for shape in SHAPES.into_iter().chain([shape(16, 16, 256), shape(16, 3, 2048), shape(130, 9, 1024)]) {
        for kind in KINDS {
            let layer = Layer::new(shape, kind, 0.0, 15);
            let bits = |results: Results| {
                let Results { out, mean, variance, input_gradient, gamma_gradient, beta_gradient, .. } =
                    results;
                let all = [out, mean, variance, input_gradient, gamma_gradient, beta_gradient];
                let bits: Vec<u32> = all.concat().iter().map(|x| x.to_bits()).collect();
                (bits, results.residual_gradient.iter().map(|x| x.to_bits()).collect::<Vec<_>>())
            };
            let with = |threads, set| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| bits(layer.results(set)))
            };
            let one = with(1, InstructionSet::detect());
            assert!(with(2, InstructionSet::detect()) == one && with(3, InstructionSet::detect()) == one);
            for set in InstructionSet::available() {
                assert!(with(2, set) == one, "{shape:?}, {kind:?}, {set:?}");
            }
        }
    }
}

#[test]
fn a_channel_of_nothing_has_no_statistics() {
    let layer = Layer::new(shape(0, 2, 3), Kind::Nothing, 0.0, 16);
    let ours = layer.results(InstructionSet::detect());
    assert!(ours.mean.iter().chain(&ours.variance).all(|x| x.is_nan()));
    assert_eq!((ours.gamma_gradient, ours.beta_gradient), (vec![0.0; 2], vec![0.0; 2]));
}

#[test]
#[should_panic(expected = "`gamma` has 2 elements, 3 are needed")]
fn a_slice_of_the_wrong_length_is_named() {
    let shape = shape(1, 3, 1);
    let (mut out, mut mean, mut variance) = ([0.0; 3], [0.0; 3], [0.0; 3]);
    let (x, gamma) = ([0.0; 3], [1.0; 2]);
    batch_norm(shape, &x, &gamma, &x, EPSILON, After::Nothing, &mut out, &mut mean, &mut variance);
}
