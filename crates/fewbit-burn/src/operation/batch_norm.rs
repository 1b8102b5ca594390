//! Batch norm of `[N, C, …]`, with what often follows it in the same pass.

use std::sync::{Arc, OnceLock};

use burn::backend::flex::FlexTensor;
use burn::tensor::{Shape, Tensor};
use fewbit_kernels::{After, AfterGradient, BatchNormInput, BatchNormShape};

use super::buffers::{self, recycle, values};
use super::{Operation, apply};

/// Mean and biased variance of each channel, `[C]`.
#[derive(Clone, Debug)]
pub(crate) struct Statistics {
    pub(crate) mean: Vec<f32>,
    pub(crate) variance: Vec<f32>,
}

/// What follows the norm.
#[expect(clippy::large_enum_variant, reason = "passed once, to a function that takes it apart")]
pub(crate) enum Then<const D: usize> {
    /// Nothing.
    Nothing,
    /// `max(y, 0)`.
    Relu,
    /// `max(y + residual, 0)`.
    AddRelu(Tensor<D>),
}

/// `input` normalised with its own statistics, and these.
pub(crate) fn batch_norm<const D: usize>(
    input: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
    then: Then<D>,
) -> (Tensor<D>, Statistics) {
    let statistics = Arc::new(OnceLock::new());
    let norm = |relu| Normalize { epsilon: epsilon as f32, relu, statistics: statistics.clone() };
    let (input, gamma, beta) = (input.into(), gamma.into(), beta.into());
    let out = match then {
        Then::Nothing => apply(norm(false), [input, gamma, beta]),
        Then::Relu => apply(norm(true), [input, gamma, beta]),
        Then::AddRelu(residual) => apply(norm(true), [input, gamma, beta, residual.into()]),
    };
    let statistics = statistics.get().cloned().expect("the forward pass has run");
    (out, statistics)
}

/// `input` normalised with given statistics; without a gradient.
pub(crate) fn batch_norm_with<const D: usize>(
    input: Tensor<D>,
    [gamma, beta, mean, variance]: [Tensor<1>; 4],
    epsilon: f64,
    then: Then<D>,
) -> Tensor<D> {
    let norm = |relu| NormalizeWith { epsilon: epsilon as f32, relu };
    let [gamma, beta, mean, variance] = [gamma, beta, mean, variance].map(Into::into);
    let input = input.into();
    match then {
        Then::Nothing => apply(norm(false), [input, gamma, beta, mean, variance]),
        Then::Relu => apply(norm(true), [input, gamma, beta, mean, variance]),
        Then::AddRelu(residual) => apply(norm(true), [input, gamma, beta, mean, variance, residual.into()]),
    }
}

fn batch_norm_shape(shape: &Shape) -> BatchNormShape {
    BatchNormShape { batch: shape[0], channels: shape[1], pixels: shape[2..].iter().product() }
}

/// With the batch's own statistics; a fourth input is the residual.
#[derive(Clone, Debug)]
struct Normalize {
    epsilon: f32,
    relu: bool,
    statistics: Arc<OnceLock<Statistics>>,
}

/// Of a tracked forward pass.
#[derive(Clone, Debug)]
struct Kept {
    input: FlexTensor,
    gamma: FlexTensor,
    beta: FlexTensor,
    /// What came out, where there is a residual.
    output: Option<FlexTensor>,
}

impl Normalize {
    fn forward(
        &self,
        [input, gamma, beta]: [FlexTensor; 3],
        residual: Option<FlexTensor>,
        tracked: bool,
    ) -> (FlexTensor, Option<Kept>) {
        let shape = batch_norm_shape(input.layout().shape());
        let mut out = buffers::take(shape.numbers());
        let (mut mean, mut variance) = (vec![0.0; shape.channels], vec![0.0; shape.channels]);
        let after = match (&residual, self.relu) {
            (Some(residual), _) => After::AddRelu(values(residual)),
            (None, true) => After::Relu,
            (None, false) => After::Nothing,
        };
        fewbit_kernels::batch_norm(
            shape,
            values(&input),
            values(&gamma),
            values(&beta),
            self.epsilon,
            after,
            &mut out,
            &mut mean,
            &mut variance,
        );
        // A forward pass is run once, so that the slot is empty.
        let _ = self.statistics.set(Statistics { mean, variance });
        let out = buffers::tensor(out, input.layout().shape().clone());
        let output = (tracked && residual.is_some()).then(|| out.clone());
        residual.into_iter().for_each(recycle);
        if !tracked {
            recycle(input);
            return (out, None);
        }
        (out, Some(Kept { input, gamma, beta, output }))
    }

    fn backward(&self, kept: Kept, gradient: FlexTensor, residual: bool) -> [Option<FlexTensor>; 4] {
        let Kept { input, gamma, beta, output } = kept;
        let shape = batch_norm_shape(input.layout().shape());
        let statistics = self.statistics.get().expect("the forward pass has run");
        let mut of_input = buffers::take(shape.numbers());
        let mut of_residual = residual.then(|| buffers::take(shape.numbers()));
        let (mut of_gamma, mut of_beta) = (buffers::take(shape.channels), buffers::take(shape.channels));
        let forward = BatchNormInput {
            input: values(&input),
            gamma: values(&gamma),
            mean: &statistics.mean,
            variance: &statistics.variance,
            epsilon: self.epsilon,
        };
        let after = match (&output, &mut of_residual) {
            (Some(output), Some(residual_gradient)) => {
                AfterGradient::AddRelu { output: values(output), residual_gradient }
            }
            _ if self.relu => AfterGradient::Relu { beta: values(&beta) },
            _ => AfterGradient::Nothing,
        };
        fewbit_kernels::batch_norm_gradient(
            shape,
            forward,
            after,
            values(&gradient),
            &mut of_input,
            &mut of_gamma,
            &mut of_beta,
        );
        let whole = input.layout().shape().clone();
        let channels = Shape::from([shape.channels]);
        [Some(input), Some(gradient), output].into_iter().flatten().for_each(recycle);
        [
            Some(buffers::tensor(of_input, whole.clone())),
            Some(buffers::tensor(of_gamma, channels.clone())),
            Some(buffers::tensor(of_beta, channels)),
            of_residual.map(|out| buffers::tensor(out, whole)),
        ]
    }
}

impl Operation<3> for Normalize {
    type Kept = Kept;

    fn forward(&self, inputs: [FlexTensor; 3], tracked: bool) -> (FlexTensor, Option<Kept>) {
        self.forward(inputs, None, tracked)
    }

    fn backward(&self, kept: Kept, gradient: FlexTensor, _: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let [of_input, of_gamma, of_beta, _] = self.backward(kept, gradient, false);
        [of_input, of_gamma, of_beta]
    }
}

impl Operation<4> for Normalize {
    type Kept = Kept;

    fn forward(
        &self,
        [input, gamma, beta, residual]: [FlexTensor; 4],
        tracked: bool,
    ) -> (FlexTensor, Option<Kept>) {
        self.forward([input, gamma, beta], Some(residual), tracked)
    }

    fn backward(&self, kept: Kept, gradient: FlexTensor, _: [bool; 4]) -> [Option<FlexTensor>; 4] {
        self.backward(kept, gradient, true)
    }
}

/// With given statistics; a sixth input is the residual.
#[derive(Clone, Debug)]
struct NormalizeWith {
    epsilon: f32,
    relu: bool,
}

impl NormalizeWith {
    fn forward(&self, inputs: [FlexTensor; 5], residual: Option<FlexTensor>) -> FlexTensor {
        let [input, gamma, beta, mean, variance] = inputs;
        let shape = batch_norm_shape(input.layout().shape());
        let mut out = buffers::take(shape.numbers());
        let after = match (&residual, self.relu) {
            (Some(residual), _) => After::AddRelu(values(residual)),
            (None, true) => After::Relu,
            (None, false) => After::Nothing,
        };
        let [gamma, beta, mean, variance] = [&gamma, &beta, &mean, &variance].map(values);
        let epsilon = self.epsilon;
        let x = values(&input);
        fewbit_kernels::batch_norm_with(shape, x, gamma, beta, mean, variance, epsilon, after, &mut out);
        let out = buffers::tensor(out, input.layout().shape().clone());
        [Some(input), residual].into_iter().flatten().for_each(recycle);
        out
    }
}

/// Nothing: callers use it without gradients only.
const NO_GRADIENT: &str = "evaluation statistics have no backward pass here";

impl Operation<5> for NormalizeWith {
    type Kept = ();

    fn forward(&self, inputs: [FlexTensor; 5], _: bool) -> (FlexTensor, Option<()>) {
        (self.forward(inputs, None), Some(()))
    }

    fn backward(&self, (): (), _: FlexTensor, _: [bool; 5]) -> [Option<FlexTensor>; 5] {
        unreachable!("{NO_GRADIENT}")
    }
}

impl Operation<6> for NormalizeWith {
    type Kept = ();

    fn forward(
        &self,
        [input, gamma, beta, mean, variance, residual]: [FlexTensor; 6],
        _: bool,
    ) -> (FlexTensor, Option<()>) {
        (self.forward([input, gamma, beta, mean, variance], Some(residual)), Some(()))
    }

    fn backward(&self, (): (), _: FlexTensor, _: [bool; 6]) -> [Option<FlexTensor>; 6] {
        unreachable!("{NO_GRADIENT}")
    }
}
