//! Which weights of a model are made small and how, and how that is attached to it.

use std::collections::HashMap;
use std::sync::Arc;

use burn::module::{Module, ParamId};
use fewbit::{BitsParametrisation, GroupSize, pattern};
use fewbit_kernels::NoiseLaw;

use crate::control::Control;
use crate::layout::{ParameterEntry, is_running_statistic, parameters};
use crate::method::{DiffQConfig, Method};
use crate::quantizer::{Attach, Quantizer};
use crate::site::Site;
use crate::stored::base_values;

/// Tensors at or below this many elements (0.01 MiB of float32) stay unquantized by default, as in
/// the reference settings of Défossez et al. 2022.
pub const DEFAULT_MIN_TENSOR_SIZE: usize = 2621;

/// Which weights of a model are made small, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizationConfig {
    /// How.
    pub method: Method,
    /// Tensors with at most this many elements stay float.
    pub min_tensor_size: usize,
    /// Patterns of the paths that are quantized; empty means all.
    pub include: Vec<String>,
    /// Patterns of the paths that stay float.
    pub exclude: Vec<String>,
}

impl Default for QuantizationConfig {
    fn default() -> Self {
        Self::new(Method::DiffQ(DiffQConfig::default()))
    }
}

/// Why a method cannot be attached to a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The bits are not in order or out of bounds.
    #[error("min_bits, max_bits, init_bits: {0}")]
    Bits(#[from] fewbit::BitsLawError),
    /// The same, found by the kernels.
    #[error("min_bits, max_bits: {0}")]
    KernelBits(#[from] fewbit_kernels::BitsLawError),
    /// Every parameter is too small, excluded or not included.
    #[error(
        "no parameter is quantized: of {candidates} float parameters, none has more than \
         {min_tensor_size} elements, matches `include` and escapes `exclude`"
    )]
    NothingToQuantize {
        /// Float parameters of the model.
        candidates: usize,
        /// The setting that excludes small ones.
        min_tensor_size: usize,
    },
    /// A pattern of `include` or `exclude` names nothing.
    #[error(
        "pattern `{pattern}` matches none of the model's {candidates} parameters (the first is `{first}`)"
    )]
    UnusedPattern {
        /// The pattern as written.
        pattern: String,
        /// Parameters of the model.
        candidates: usize,
        /// One path, to show how they look.
        first: String,
    },
    /// Two parameters are clones of each other: an optimizer would let them drift apart.
    #[error(
        "parameters `{first}` and `{second}` are clones with one identity and would drift apart at \
         the first step; tie weights by keeping one `Param` and reading it twice"
    )]
    ClonedParameter {
        /// The path met first.
        first: String,
        /// The path met later.
        second: String,
    },
}

impl QuantizationConfig {
    /// A method for every tensor of more than [`DEFAULT_MIN_TENSOR_SIZE`] elements.
    pub fn new(method: Method) -> Self {
        let (include, exclude) = (Vec::new(), Vec::new());
        Self { method, min_tensor_size: DEFAULT_MIN_TENSOR_SIZE, include, exclude }
    }

    /// DiffQ as published, with groups of `group_size` weights; 0 means one width for a whole tensor.
    pub fn diffq(group_size: usize) -> Self {
        let group_size = GroupSize::new(group_size).unwrap_or(GroupSize::WholeTensor);
        Self::new(Method::DiffQ(DiffQConfig { group_size, ..DiffQConfig::default() }))
    }

    fn with_diffq(mut self, change: impl FnOnce(&mut DiffQConfig)) -> Self {
        if let Method::DiffQ(diffq) = &mut self.method {
            change(diffq);
        }
        self
    }

    /// Sets the law of DiffQ's noise.
    #[must_use]
    pub fn with_noise(self, noise: NoiseLaw) -> Self {
        self.with_diffq(|diffq| diffq.noise = noise)
    }

    /// Sets what is linear in the sigmoid of one of DiffQ's logits.
    #[must_use]
    pub fn with_parametrisation(self, parametrisation: BitsParametrisation) -> Self {
        self.with_diffq(|diffq| diffq.parametrisation = parametrisation)
    }

    /// Sets the fewest, the first and the most bits of a group of DiffQ's.
    #[must_use]
    pub fn with_bits(self, min_bits: f32, init_bits: f32, max_bits: f32) -> Self {
        self.with_diffq(|diffq| {
            (diffq.min_bits, diffq.init_bits, diffq.max_bits) = (min_bits, init_bits, max_bits);
        })
    }

    /// Sets the size at or below which a tensor stays float.
    #[must_use]
    pub fn with_min_tensor_size(mut self, elements: usize) -> Self {
        self.min_tensor_size = elements;
        self
    }

    /// Quantizes only the paths that match one of `patterns`.
    #[must_use]
    pub fn with_include<S: Into<String>>(mut self, patterns: impl IntoIterator<Item = S>) -> Self {
        self.include = patterns.into_iter().map(Into::into).collect();
        self
    }

    /// Keeps the paths that match one of `patterns` float.
    #[must_use]
    pub fn with_exclude<S: Into<String>>(mut self, patterns: impl IntoIterator<Item = S>) -> Self {
        self.exclude = patterns.into_iter().map(Into::into).collect();
        self
    }

    /// The model with a [`WeightQuantizer`](crate::WeightQuantizer) on each chosen parameter, and
    /// the handle that drives them. `model` is any burn module; nothing of it has to change.
    ///
    /// # Errors
    /// [`AttachError`]: bits out of order, nothing chosen, a pattern that matches nothing, a cloned
    /// parameter.
    pub fn attach<M: Module>(&self, model: M, seed: u64) -> Result<(M, Quantizer), AttachError> {
        self.attach_from(model, seed, HashMap::new())
    }

    /// As [`attach`](Self::attach), where what is learned starts as `start` has it, by path; by the method's
    /// rule for what is not in it.
    pub(crate) fn attach_from<M: Module>(
        &self,
        model: M,
        seed: u64,
        mut start: HashMap<String, Vec<f32>>,
    ) -> Result<(M, Quantizer), AttachError> {
        let (entries, _) = parameters(&model);
        self.refuse_clones(&entries)?;
        self.refuse_unused_patterns(&entries)?;
        let chosen = entries.iter().filter(|entry| self.chooses(entry));
        let sites = chosen.map(|entry| Ok(Arc::new(Site::new(entry, &self.method)?)));
        let sites: Vec<Arc<Site>> = sites.collect::<Result<_, AttachError>>()?;
        if sites.is_empty() {
            return Err(AttachError::NothingToQuantize {
                candidates: entries.len(),
                min_tensor_size: self.min_tensor_size,
            });
        }
        let weights = base_values(&model);
        let initial = |site: &Arc<Site>| {
            if let Some(start) = start.remove(&site.path) {
                return Ok((site.path.clone(), start));
            }
            let weights = weights.get(&site.path).map_or(&[][..], Vec::as_slice);
            Ok((site.path.clone(), site.initial(weights, &self.method)?))
        };
        let initial = sites.iter().map(initial).collect::<Result<HashMap<_, _>, AttachError>>()?;
        let quantizer = Quantizer::new(sites, Control::new(seed));
        let model = model.apply_reparameterization(Attach::new(&quantizer, initial));
        Ok((model, quantizer))
    }

    /// Whether a parameter is quantized: it is large enough, included and not excluded. Running
    /// statistics never are.
    pub fn chooses(&self, entry: &ParameterEntry) -> bool {
        entry.len() > self.min_tensor_size
            && !is_running_statistic(&entry.path)
            && pattern::selects(&self.include, &self.exclude, &entry.path)
    }

    fn refuse_clones(&self, entries: &[ParameterEntry]) -> Result<(), AttachError> {
        let mut seen: HashMap<ParamId, &str> = HashMap::new();
        for entry in entries {
            if let Some(first) = seen.insert(entry.id, &entry.path) {
                let (first, second) = (first.to_owned(), entry.path.clone());
                return Err(AttachError::ClonedParameter { first, second });
            }
        }
        Ok(())
    }

    fn refuse_unused_patterns(&self, entries: &[ParameterEntry]) -> Result<(), AttachError> {
        let first = entries.first().map(|entry| entry.path.clone()).unwrap_or_default();
        for pattern in self.include.iter().chain(&self.exclude) {
            if !entries.iter().any(|entry| pattern::matches(pattern, &entry.path)) {
                let (pattern, candidates) = (pattern.clone(), entries.len());
                return Err(AttachError::UnusedPattern { pattern, candidates, first });
            }
        }
        Ok(())
    }
}
