//! Quantization as a reparameterization of burn: the stored weight stays float, reading it gives the
//! noisy or the rounded one.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard};

use burn::backend::{Autodiff, Flex};
use burn::module::{Module, Param, Reparameterization};
use burn::tensor::Tensor;

use crate::control::{Control, Mode, NoiseClock};
use crate::operation::buffers::recycle;
use crate::operation::quantize::{noisy, rounded};
use crate::parameter::QuantizedParameter;

/// The method's part of one parameter: a number per group, trained by gradient descent.
#[derive(Module, Debug)]
pub struct WeightQuantizer {
    /// One number per group, as the method means it: see [`fewbit::method`]. Shape `[groups]`.
    pub learned: Param<Tensor<1>>,
    #[module(skip)]
    pub(crate) parameter: Arc<QuantizedParameter>,
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
            return rounded(base, self.learned.base(), &self.parameter);
        }
        let (clock, node) = (self.control.clock(), graph_node(&base));
        if let Some(weight) = self.draw.reuse::<D>(mode, clock, node) {
            return weight;
        }
        let weight = match mode {
            Mode::Float => base,
            Mode::Noise => noisy(base, self.learned.val(), &self.parameter, self.parameter.noise_key(clock)),
            Mode::StraightThrough => rounded(base, self.learned.val(), &self.parameter),
            Mode::Rounded => self.without_gradient(base),
        };
        self.draw.keep(Kept { mode, clock, node, weight: Box::new(weight.clone()), release: release::<D> });
        weight
    }
}

impl WeightQuantizer {
    /// The weight as the file will hold it, without a gradient.
    fn without_gradient<const D: usize>(&self, base: Tensor<D>) -> Tensor<D> {
        rounded(base.detach(), self.learned.base().detach(), &self.parameter)
    }
}

/// Identifies the stored weight's place in the graph, where the backend can tell.
fn graph_node<const D: usize>(base: &Tensor<D>) -> Option<u64> {
    base.clone().try_into_primitive::<Autodiff<Flex>>().ok().map(|tensor| tensor.id().value)
}
