//! The settings of DiffQ and how they are attached to a model.

use std::collections::HashMap;
use std::sync::Arc;

use burn::module::{Module, ParamId};
use fewbit::{BitsLaw, BitsParametrisation, GroupSize, Grouping, pattern};
use fewbit_kernels::NoiseLaw;

use crate::control::Control;
use crate::diffq::{Attach, DiffQ};
use crate::layout::{ParameterEntry, is_running_statistic, parameters};
use crate::site::Site;

/// Tensors at or below this many elements (0.01 MiB of float32) stay unquantized by default, as in
/// the reference settings of Défossez et al. 2022.
pub const DEFAULT_MIN_TENSOR_SIZE: usize = 2621;

/// The settings of DiffQ; the defaults are those published with the paper, with groups of 8.
#[derive(Clone, Debug, PartialEq)]
pub struct DiffQConfig {
    /// Weights that share one width.
    pub group_size: GroupSize,
    /// The law of the noise: gaussian by default.
    pub noise: NoiseLaw,
    /// What is linear in the sigmoid of a logit: the bits, or the logarithm of the noise.
    pub parametrisation: BitsParametrisation,
    /// The fewest bits a group can have.
    pub min_bits: f32,
    /// The most bits a group can have.
    pub max_bits: f32,
    /// The bits that every group starts with.
    pub init_bits: f32,
    /// Tensors with at most this many elements stay float.
    pub min_tensor_size: usize,
    /// Patterns of the paths that are quantized; empty means all.
    pub include: Vec<String>,
    /// Patterns of the paths that stay float.
    pub exclude: Vec<String>,
}

impl Default for DiffQConfig {
    fn default() -> Self {
        Self {
            group_size: GroupSize::new(8).unwrap_or(GroupSize::WholeTensor),
            noise: NoiseLaw::Gaussian,
            parametrisation: BitsParametrisation::Bits,
            min_bits: 2.0,
            max_bits: 15.0,
            init_bits: 8.0,
            min_tensor_size: DEFAULT_MIN_TENSOR_SIZE,
            include: Vec::new(),
            exclude: Vec::new(),
        }
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

impl DiffQConfig {
    /// The defaults with groups of `group_size` weights; 0 means one width for a whole tensor.
    pub fn new(group_size: usize) -> Self {
        Self { group_size: GroupSize::new(group_size).unwrap_or(GroupSize::WholeTensor), ..Self::default() }
    }

    /// Sets the law of the noise.
    #[must_use]
    pub fn with_noise(mut self, noise: NoiseLaw) -> Self {
        self.noise = noise;
        self
    }

    /// Sets what is linear in the sigmoid of a logit.
    #[must_use]
    pub fn with_parametrisation(mut self, parametrisation: BitsParametrisation) -> Self {
        self.parametrisation = parametrisation;
        self
    }

    /// Sets the fewest, the first and the most bits of a group.
    #[must_use]
    pub fn with_bits(mut self, min_bits: f32, init_bits: f32, max_bits: f32) -> Self {
        (self.min_bits, self.init_bits, self.max_bits) = (min_bits, init_bits, max_bits);
        self
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

    /// The law from logits to bits.
    ///
    /// # Errors
    /// [`AttachError::Bits`] where the bounds are not in order or outside of 0..=16.
    pub fn bits_law(&self) -> Result<BitsLaw, AttachError> {
        Ok(BitsLaw::new(self.min_bits, self.max_bits, self.parametrisation)?)
    }

    fn kernel_law(&self) -> Result<fewbit_kernels::BitsLaw, AttachError> {
        let parametrisation = match self.parametrisation {
            BitsParametrisation::Bits => fewbit_kernels::Parametrisation::Bits,
            BitsParametrisation::Noise => fewbit_kernels::Parametrisation::Noise,
        };
        Ok(fewbit_kernels::BitsLaw::new(self.min_bits, self.max_bits, parametrisation)?)
    }

    /// The model with a [`PseudoQuantNoise`](crate::PseudoQuantNoise) on each chosen parameter, and
    /// the handle that drives them. `model` is any burn module; nothing of it has to change.
    ///
    /// # Errors
    /// [`AttachError`]: bits out of order, nothing chosen, a pattern that matches nothing, a cloned
    /// parameter.
    pub fn attach<M: Module>(&self, model: M, seed: u64) -> Result<(M, DiffQ), AttachError> {
        let (entries, _) = parameters(&model);
        self.refuse_clones(&entries)?;
        self.refuse_unused_patterns(&entries)?;
        let (law, kernel_law) = (self.bits_law()?, self.kernel_law()?);
        let initial_logit = law.logit(self.init_bits)?;
        let control = Control::new(seed);
        let sites: Vec<Arc<Site>> = entries
            .iter()
            .filter(|entry| self.chooses(entry))
            .map(|entry| {
                Arc::new(Site {
                    path: entry.path.clone(),
                    shape: entry.shape.clone(),
                    orientation: entry.orientation,
                    group_size: self.group_size,
                    grouping: Grouping::new(self.group_size, entry.len()),
                    law,
                    kernel_law,
                    noise: self.noise,
                })
            })
            .collect();
        if sites.is_empty() {
            return Err(AttachError::NothingToQuantize {
                candidates: entries.len(),
                min_tensor_size: self.min_tensor_size,
            });
        }
        let diffq = DiffQ::new(sites, control);
        let model = model.apply_reparameterization(Attach::new(&diffq, initial_logit));
        Ok((model, diffq))
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
