//! How a method is attached to a model: which of its weights are quantized, and how.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use burn::module::{Module, ParamId};
use fewbit::method::{DiffQ, MethodError};
use fewbit::selection::SelectionError;
use fewbit::{Method, Selection};

use crate::control::Control;
use crate::layout::{ParameterEntry, base_values, parameters};
use crate::parameter::QuantizedParameter;
use crate::quantizer::{Attach, Quantizer};

/// Which weights of a model are quantized, and how.
#[derive(Clone, Debug)]
pub struct QuantizationConfig {
    /// How.
    pub method: Arc<dyn Method>,
    /// Which.
    pub selection: Selection,
}

impl Default for QuantizationConfig {
    fn default() -> Self {
        Self::new(DiffQ::default())
    }
}

/// Why a method cannot be attached to a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// Settings that the method cannot have.
    #[error(transparent)]
    Method(#[from] MethodError),
    /// Nothing to quantize, or a pattern that matches nothing.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// Two parameters are clones of each other: an optimizer would let them drift apart.
    #[error(
        "parameters `{first}` and `{second}` are clones with one identity and would drift apart at the first \
         step; tie weights by keeping one `Param` and reading it twice"
    )]
    ClonedParameter {
        /// The path met first.
        first: String,
        /// The path met later.
        second: String,
    },
    /// The model has a method already.
    #[error("parameter `{path}` is quantized already; call `materialize` on the model first")]
    Attached {
        /// The first such parameter.
        path: String,
    },
}

impl QuantizationConfig {
    /// A method for every tensor of more than [`Selection::PUBLISHED_MIN_TENSOR_SIZE`] elements.
    pub fn new(method: impl Method + 'static) -> Self {
        Self { method: Arc::new(method), selection: Selection::default() }
    }

    /// DiffQ as published, with groups of `group_size` weights; 0 means one bit width per tensor.
    pub fn diffq(group_size: usize) -> Self {
        Self::new(DiffQ::with_groups_of(group_size))
    }

    /// Sets the size at or below which a tensor stays float.
    #[must_use]
    pub fn with_min_tensor_size(mut self, elements: usize) -> Self {
        self.selection.min_tensor_size = elements;
        self
    }

    /// Quantizes only the paths that match one of `patterns`.
    #[must_use]
    pub fn with_include<S: Into<String>>(mut self, patterns: impl IntoIterator<Item = S>) -> Self {
        self.selection.include = patterns.into_iter().map(Into::into).collect();
        self
    }

    /// Keeps the paths that match one of `patterns` float.
    #[must_use]
    pub fn with_exclude<S: Into<String>>(mut self, patterns: impl IntoIterator<Item = S>) -> Self {
        self.selection.exclude = patterns.into_iter().map(Into::into).collect();
        self
    }

    /// The model with a [`WeightQuantizer`](crate::WeightQuantizer) on each selected parameter, and the handle that
    /// drives them. `model` is any burn module; nothing of it has to change.
    ///
    /// # Errors
    /// [`AttachError`]: settings out of order, nothing selected, a pattern that matches nothing, a cloned parameter, a
    /// model that has a method already.
    pub fn attach<M: Module>(&self, model: M, seed: u64) -> Result<(M, Quantizer), AttachError> {
        self.attach_from(model, seed, BTreeMap::new())
    }

    /// As [`attach`](Self::attach), where learned numbers start as `start` has them, by path; as the method has them
    /// where it does not.
    pub(crate) fn attach_from<M: Module>(
        &self,
        model: M,
        seed: u64,
        mut start: BTreeMap<String, Vec<f32>>,
    ) -> Result<(M, Quantizer), AttachError> {
        self.method.check()?;
        let (entries, _) = parameters(&model);
        refuse_clones(&entries)?;
        self.selection.check(entries.iter().map(|entry| (entry.path.as_str(), entry.shape.as_slice())))?;
        if let Some(path) = crate::quantizer::learned(&model).into_iter().next().map(|(path, _)| path) {
            return Err(AttachError::Attached { path });
        }
        let chosen = entries.iter().filter(|entry| self.chooses(entry));
        let chosen: Vec<_> =
            chosen.map(|entry| Arc::new(QuantizedParameter::new(entry, self.method.clone()))).collect();
        let weights = base_values(&model);
        let initial = |parameter: &Arc<QuantizedParameter>| {
            let path = parameter.path();
            let start = start.remove(path);
            let learned = start.unwrap_or_else(|| self.method.initial(parameter.layout(), &weights[path]));
            (path.to_owned(), learned)
        };
        let initial: HashMap<_, _> = chosen.iter().map(initial).collect();
        let quantizer = Quantizer::new(self.method.clone(), chosen, Control::new(seed));
        let model = model.apply_reparameterization(Attach::new(&quantizer, initial));
        Ok((model, quantizer))
    }

    /// Whether a parameter is quantized.
    pub fn chooses(&self, entry: &ParameterEntry) -> bool {
        self.selection.chooses(&entry.path, &entry.shape)
    }
}

fn refuse_clones(entries: &[ParameterEntry]) -> Result<(), AttachError> {
    let mut seen: HashMap<ParamId, &str> = HashMap::new();
    for entry in entries {
        if let Some(first) = seen.insert(entry.id, &entry.path) {
            let (first, second) = (first.to_owned(), entry.path.clone());
            return Err(AttachError::ClonedParameter { first, second });
        }
    }
    Ok(())
}
