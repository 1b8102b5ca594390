//! A quantized parameter of a model: where it is, how it lies in memory, and its method.

use std::sync::Arc;

use fewbit::{Layout, Method};
use fewbit_kernels::NoiseKey;

use crate::control::NoiseClock;
use crate::layout::ParameterEntry;

/// What does not change while a quantized parameter is trained.
#[derive(Clone, Debug)]
pub struct QuantizedParameter {
    path: String,
    layout: Layout,
    method: Arc<dyn Method>,
}

impl QuantizedParameter {
    pub(crate) fn new(entry: &ParameterEntry, method: Arc<dyn Method>) -> Self {
        let layout = method.layout(&entry.shape, entry.orientation);
        Self { path: entry.path.clone(), layout, method }
    }

    /// The path in the module tree; part of the key of its noise.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Shape, memory order and groups.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// How it is quantized.
    pub fn method(&self) -> &dyn Method {
        self.method.as_ref()
    }

    /// The key of the draw that `clock` names.
    pub fn noise_key(&self, clock: NoiseClock) -> NoiseKey {
        NoiseKey::new(clock.seed, clock.replica, clock.step, clock.micro_step, &self.path)
    }
}
