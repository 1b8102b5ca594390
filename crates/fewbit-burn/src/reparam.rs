//! DiffQ as a reparameterization of burn: the stored weight stays float, reading it gives the noisy
//! or the rounded one.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard};

use burn::backend::{Autodiff, Flex};
use burn::module::{Module, Param, Reparameterization};
use burn::tensor::{Tensor, TensorData};

use crate::control::{Control, Mode, NoiseClock};
use crate::noise::add_noise;
use crate::operation::buffers::recycle;
use crate::site::Site;

/// The method's part of one parameter: a logit per group, trained by gradient descent.
#[derive(Module, Debug)]
pub struct PseudoQuantNoise {
    /// One per group; see [`fewbit::BitsLaw`] for the way to bits. Shape `[groups]`.
    pub logits: Param<Tensor<1>>,
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

impl Reparameterization for PseudoQuantNoise {
    const NAME: &'static str = "diffq";

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
            Mode::Noise => add_noise(base, self.logits.val(), &self.site, self.site.noise_key(clock)),
            // The difference is exactly zero, so the value is the rounded weight to the last bit
            // and the gradient passes to the float weight.
            Mode::StraightThrough => self.rounded(&base) + (base.clone() - base.detach()),
            Mode::Rounded => self.rounded(&base),
        };
        self.draw.keep(Kept { mode, clock, node, weight: Box::new(weight.clone()), release: release::<D> });
        weight
    }
}

impl PseudoQuantNoise {
    /// The weight as the file will hold it, without a gradient. A weight or logit that is not finite
    /// gives the weight back unchanged: there is nothing to round, and the loss will show it.
    fn rounded<const D: usize>(&self, base: &Tensor<D>) -> Tensor<D> {
        let device = base.device();
        let plain = base.clone().detach();
        let rounded = values(&plain).and_then(|weights| {
            let logits = values(&self.logits.base().detach())?;
            let tensor = self.site.quantize(weights, self.site.widths(&logits)?).ok()?;
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
