//! Quantization as a reparameterization of burn: the stored weight stays float, reading it gives the
//! noisy or the rounded one.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard};

use burn::backend::{Autodiff, Flex};
use burn::module::{Module, Param, Reparameterization};
use burn::tensor::{Tensor, TensorData};
use fewbit_kernels::{NoiseKey, NoiseLaw};

use crate::control::{Control, Mode, NoiseClock};
use crate::noise::{add_noise, draw};
use crate::operation::buffers::recycle;
use crate::site::{Scheme, Site, Trim};
use crate::step::{add_step_noise, round_to_steps};

/// The method's part of one parameter: a number per group, trained by gradient descent.
#[derive(Module, Debug)]
pub struct WeightQuantizer {
    /// One number per group: a logit of DiffQ's (see [`fewbit::BitsLaw`] for the way to bits), a step or
    /// the base 2 logarithm of one; nothing where nothing is learned. Shape `[groups]`.
    pub learned: Param<Tensor<1>>,
    #[module(skip)]
    pub(crate) site: Arc<Site>,
    #[module(skip)]
    pub(crate) control: Control,
    #[module(skip)]
    pub(crate) draw: Draw,
}

/// The weight that the current step reads, kept so that a layer which reads it at every time step,
/// or a weight shared by two layers, gets one draw and one node in the graph.
#[derive(Clone, Default)]
pub(crate) struct Draw(Arc<Mutex<Option<Kept>>>);

struct Kept {
    mode: Mode,
    clock: NoiseClock,
    /// The graph node of the stored weight: a new one after each optimizer step.
    node: Option<u64>,
    weight: Box<dyn Any + Send>,
    /// Gives the memory of the weight to the next step, whatever its rank.
    release: fn(Box<dyn Any + Send>),
}

/// Keeps the numbers of a `Tensor<D>` for the next one of the size.
fn release<const D: usize>(weight: Box<dyn Any + Send>) {
    if let Ok(weight) = weight.downcast::<Tensor<D>>()
        && let Ok(weight) = weight.try_into_primitive::<Autodiff<Flex>>()
    {
        recycle(weight.into_primitive());
    }
}

impl Draw {
    /// The kept weight, if it is of this mode and draw and the stored weight has not moved since. Where
    /// the backend cannot tell that, nothing is used again: the same draw is then made anew.
    fn reuse<const D: usize>(&self, mode: Mode, clock: NoiseClock, node: Option<u64>) -> Option<Tensor<D>> {
        let kept = self.kept();
        let kept = kept.as_ref().filter(|kept| (kept.mode, kept.clock) == (mode, clock))?;
        if node.is_none() || kept.node != node {
            return None;
        }
        kept.weight.downcast_ref::<Tensor<D>>().cloned()
    }

    fn keep(&self, kept: Kept) {
        *self.kept() = Some(kept);
    }

    /// Drops the kept weight and with it the last step's graph.
    pub(crate) fn forget(&self) {
        if let Some(Kept { weight, release, .. }) = self.kept().take() {
            release(weight);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Option<Kept>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl std::fmt::Debug for Draw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Draw")
    }
}

impl Reparameterization for WeightQuantizer {
    const NAME: &'static str = "quantizer";

    fn apply<const D: usize>(&self, base: Tensor<D>) -> Tensor<D> {
        let mode = self.control.mode();
        if mode == Mode::Float {
            return base;
        }
        if !base.is_autodiff() {
            return self.rounded(&base);
        }
        let (clock, node) = (self.control.clock(), graph_node(&base));
        if let Some(weight) = self.draw.reuse::<D>(mode, clock, node) {
            return weight;
        }
        let weight = match mode {
            Mode::Float => base,
            Mode::Noise => self.noisy(base, self.site.noise_key(clock)),
            Mode::StraightThrough => self.straight_through(base),
            Mode::Rounded => self.rounded(&base),
        };
        self.draw.keep(Kept { mode, clock, node, weight: Box::new(weight.clone()), release: release::<D> });
        weight
    }
}

impl WeightQuantizer {
    /// The weight as it is under noise of the method.
    fn noisy<const D: usize>(&self, base: Tensor<D>, key: NoiseKey) -> Tensor<D> {
        match &self.site.scheme {
            Scheme::Bits { .. } => add_noise(base, self.learned.val(), &self.site, key),
            Scheme::Steps(steps) => add_step_noise(base, self.learned.val(), &self.site, *steps, key),
            Scheme::MinMax { share, .. } => {
                // Of numbers between -1/2 and 1/2 the share that lies below `share - 1/2`.
                let (device, shape) = (base.device(), base.dims());
                let drawn = draw(NoiseLaw::Uniform, key, self.site.grouping.len());
                let chosen = drawn.iter().map(|number| if *number < share - 0.5 { 1.0 } else { 0.0 });
                let chosen = TensorData::new(chosen.collect::<Vec<f32>>(), shape);
                let chosen = Tensor::<D>::from_data(chosen, &device);
                let distance = self.rounded(&base) - base.clone().detach();
                base + distance * chosen
            }
        }
    }

    /// The rounded weight with a gradient that passes straight through to the float one.
    fn straight_through<const D: usize>(&self, base: Tensor<D>) -> Tensor<D> {
        match &self.site.scheme {
            Scheme::Steps(steps) => round_to_steps(base, self.learned.val(), &self.site, *steps),
            // The difference is exactly zero, so the value is the rounded weight to the last bit
            // and the gradient passes to the float weight.
            _ => self.rounded(&base) + (base.clone() - base.detach()),
        }
    }

    /// The weight as the file will hold it, without a gradient. A weight or learned number that is not
    /// finite gives the weight back unchanged: there is nothing to round, and the loss will show it.
    fn rounded<const D: usize>(&self, base: &Tensor<D>) -> Tensor<D> {
        let device = base.device();
        let plain = base.clone().detach();
        let rounded = values(&plain).and_then(|weights| {
            let learned = values(&self.learned.base().detach())?;
            let tensor = self.site.quantize(weights, &learned, Trim::default()).ok()?;
            Some(TensorData::new(self.site.dequantize(&tensor), base.dims()))
        });
        match rounded {
            Some(data) => Tensor::from_data(data, &device),
            None => plain,
        }
    }
}

/// The numbers of a tensor as float32, in memory order.
pub(crate) fn values<const D: usize>(tensor: &Tensor<D>) -> Option<Vec<f32>> {
    tensor.to_data().convert::<f32>().try_into_vec().ok()
}

/// Identifies the stored weight's place in the graph, where the backend can tell.
fn graph_node<const D: usize>(base: &Tensor<D>) -> Option<u64> {
    base.clone().try_into_primitive::<Autodiff<Flex>>().ok().map(|tensor| tensor.id().value)
}
