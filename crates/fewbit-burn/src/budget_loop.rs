//! A byte budget in the user's own training loop.

use std::collections::{BTreeMap, HashMap, HashSet};

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::optim::{GradientsParams, ModuleOptimizer, OptimizerRecord};
use burn::store::RecordError;
use burn::tensor::{Bytes, Tensor, TensorData};
use fewbit::budget::{BudgetError, Finished, StepPlan};
use fewbit::method::{Fewbit, Phase, Sizing};
use fewbit::{Budget, FileSettings, FloatStorage, Method, StoredModel};
use serde::{Deserialize, Serialize};

use crate::config::{AttachError, QuantizationConfig};
use crate::control::{Mode, NoiseClock};
use crate::layout::values;
use crate::optimizer::Adam;
use crate::penalty::{SizeInStep, slope};
use crate::quantizer::Quantizer;
use crate::stored::{snapshot_before, snapshot_of};

/// A byte budget for a model and the settings of how it is kept.
#[derive(Clone, Debug)]
pub struct BudgetConfig {
    bytes: u64,
    steps: u64,
    quantization: QuantizationConfig,
    storage: FloatStorage,
    batch_norm_epsilon: Option<f64>,
    metadata: BTreeMap<String, String>,
}

/// Why a model cannot be trained under a budget.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoopError {
    /// The method does not fit the model.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The budget cannot be kept, or not by this model.
    #[error(transparent)]
    Budget(#[from] BudgetError),
    /// A record of a loop that cannot be made or read.
    #[error("the record of the budget: {0}")]
    Record(#[from] RecordError),
    /// A record of a loop that is not one.
    #[error("the record of the budget cannot be read: {0}")]
    State(#[from] serde_json::Error),
}

impl BudgetConfig {
    /// A file of at most `bytes` bytes, everything included, after `steps` optimizer steps: fewbit's own method for
    /// every tensor of more than [`Selection::PUBLISHED_MIN_TENSOR_SIZE`](fewbit::Selection) elements.
    pub fn new(bytes: u64, steps: u64) -> Self {
        Self {
            bytes,
            steps,
            quantization: QuantizationConfig::new(Fewbit::default()),
            storage: FloatStorage::default(),
            batch_norm_epsilon: None,
            metadata: BTreeMap::new(),
        }
    }

    /// Sets the method and which tensors are quantized.
    #[must_use]
    pub fn with_quantization(mut self, quantization: QuantizationConfig) -> Self {
        self.quantization = quantization;
        self
    }

    /// Sets the size at or below which a tensor stays float.
    #[must_use]
    pub fn with_min_tensor_size(mut self, elements: usize) -> Self {
        self.quantization = self.quantization.with_min_tensor_size(elements);
        self
    }

    /// Keeps the paths that match one of `patterns` float.
    #[must_use]
    pub fn with_exclude<S: Into<String>>(mut self, patterns: impl IntoIterator<Item = S>) -> Self {
        self.quantization = self.quantization.with_exclude(patterns);
        self
    }

    /// Sets how the other tensors are stored. Batch norms are folded only where their ε is given.
    #[must_use]
    pub fn with_storage(mut self, storage: FloatStorage, batch_norm_epsilon: Option<f64>) -> Self {
        (self.storage, self.batch_norm_epsilon) = (storage, batch_norm_epsilon);
        self
    }

    /// Adds an entry to the metadata of the file.
    #[must_use]
    pub fn with_metadata(mut self, key: &str, value: impl Into<String>) -> Self {
        self.metadata.insert(key.to_owned(), value.into());
        self
    }

    /// The model with the method attached, and what keeps the budget in the loop that follows. `seed` decides the noise.
    ///
    /// # Errors
    /// [`LoopError`]: a method that does not fit the model, a budget below the smallest file, no steps.
    pub fn attach<M: Module>(self, model: M, seed: u64) -> Result<(M, BudgetLoop), LoopError> {
        let mut budget = Budget::new(self.bytes, self.steps)?;
        let before = snapshot_before(&model, &self.quantization).map_err(BudgetError::from)?;
        let start = budget.start(&before, &self.file())?;
        let (model, quantizer) = self.quantization.attach_from(model, seed, start)?;
        let mut budgeted = BudgetLoop {
            config: self,
            quantizer,
            budget,
            optimizer: ModuleOptimizer::from(Adam::default()),
            size: None,
            gradients: Vec::new(),
        };
        budgeted.set_phase();
        Ok((model, budgeted))
    }

    fn file(&self) -> FileSettings<'_> {
        FileSettings {
            method: self.quantization.method.as_ref(),
            storage: self.storage,
            batch_norm_epsilon: self.batch_norm_epsilon,
            metadata: self.metadata.clone(),
        }
    }
}

/// Keeps a byte budget in a training loop: [`backward`](Self::backward) in place of the loss's own,
/// [`step`](Self::step) after the optimizer's, [`finish`](Self::finish) at the end.
pub struct BudgetLoop {
    config: BudgetConfig,
    quantizer: Quantizer,
    budget: Budget,
    /// Moves the learned numbers.
    optimizer: ModuleOptimizer,
    /// The size in this step, once it is known.
    size: Option<SizeInStep>,
    /// The gradients of the learned numbers in this step.
    gradients: Vec<(ParamId, Tensor<1>)>,
}

impl std::fmt::Debug for BudgetLoop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BudgetLoop").field("budget", &self.budget).finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
struct State {
    budget: Budget,
    seed: u64,
    optimizer: Vec<u8>,
}

impl BudgetLoop {
    /// The gradients of `loss` for the optimizer of the weights; those of the learned numbers are kept for
    /// [`step`](Self::step). The gradients of the size penalty are added to the first of each step, so that they may be
    /// accumulated over several.
    pub fn backward<M: Module>(&mut self, loss: Tensor<1>, model: &M) -> GradientsParams {
        let mut gradients = loss.backward();
        let ids: Vec<ParamId> = self.quantizer.learned_ids(model).into_iter().collect();
        let mut learned = GradientsParams::from_params(&mut gradients, model, &ids);
        let mut weights = GradientsParams::from_module(&mut gradients, model);
        if self.size.is_none() {
            let lambda = self.plan().lambda;
            self.size = SizeInStep::added(model, &self.quantizer, lambda, &mut weights, &mut learned);
        }
        for id in ids {
            let Some(gradient) = learned.get::<1>(id) else { continue };
            match self.gradients.iter_mut().find(|(known, _)| *known == id) {
                Some((_, sum)) => *sum = sum.clone() + gradient.clone(),
                None => self.gradients.push((id, gradient.clone())),
            }
        }
        // Another backward pass before the next step draws other noise.
        self.quantizer.advance_micro_step();
        weights
    }

    /// The model after the learned numbers have moved, ready for the next step. Call it once after each step of the
    /// optimizer of the weights.
    ///
    /// # Errors
    /// [`BudgetError`] naming a tensor that has changed its shape or is not finite.
    pub fn step<M: Module>(&mut self, model: M) -> Result<M, BudgetError> {
        let plan = self.plan();
        let mut loss_slope = 0.0;
        let mut gradients = GradientsParams::new();
        for (id, gradient) in self.gradients.drain(..) {
            loss_slope += slope(&gradient);
            gradients.register(id, gradient);
        }
        let model = self.optimizer.step(plan.scale_rate, model, gradients);
        let size = self.size.take();
        let seen = size.as_ref().map(|size| size.observation(plan.lambda, loss_slope)).unwrap_or_default();
        let finest = size.map(|size| size.finest).unwrap_or_default();
        let by = self.budget.observe(seen);
        self.quantizer.advance();
        self.set_phase();
        let model = coarser(model, &self.quantizer, by, finest);
        if self.plan().measures {
            self.budget.measure(&snapshot_of(&model, &self.quantizer)?, &self.config.file())?;
        }
        Ok(model)
    }

    /// The largest file of `model` within the budget, whether or not all steps were made; its
    /// [`stored`](Finished::stored) model can be written.
    ///
    /// # Errors
    /// [`BudgetError`]: a tensor that has changed its shape or is not finite, or a model without a file so small.
    pub fn finish<M: Module>(&self, model: &M) -> Result<Finished, BudgetError> {
        self.finish_with(model, Ok)
    }

    /// As [`finish`](Self::finish), where `prepare` may change what stays float before the file is made, such as
    /// batch-norm statistics re-estimated with the rounded weights.
    ///
    /// # Errors
    /// As [`finish`](Self::finish), and those of `prepare`.
    pub fn finish_with<M: Module, E: From<BudgetError>>(
        &self,
        model: &M,
        prepare: impl FnMut(StoredModel) -> Result<StoredModel, E>,
    ) -> Result<Finished, E> {
        let snapshot = snapshot_of(model, &self.quantizer).map_err(BudgetError::from)?;
        self.budget.finish(&snapshot, &self.config.file(), prepare)
    }

    /// What the coming step does.
    pub fn plan(&self) -> StepPlan {
        self.budget.plan(self.method())
    }

    /// The decisions so far.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The quantized parameters.
    pub fn quantizer(&self) -> &Quantizer {
        &self.quantizer
    }

    /// The state of the loop between two steps. Together with the records of the model and of its optimizer it is all
    /// that a resumed loop needs to go on bit for bit.
    ///
    /// # Errors
    /// [`LoopError::Record`].
    pub fn record(&self) -> Result<Vec<u8>, LoopError> {
        let (optimizer, seed) =
            (self.optimizer.into_bytes()?.to_vec(), self.quantizer.control().clock().seed);
        Ok(serde_json::to_vec(&State { budget: self.budget.clone(), seed, optimizer })?)
    }

    /// Goes on with the state of a [`record`](Self::record), for a model whose own record has been loaded.
    ///
    /// # Errors
    /// [`LoopError`] where the bytes are not such a record.
    pub fn load_record(&mut self, record: &[u8]) -> Result<(), LoopError> {
        let State { budget, seed, optimizer } = serde_json::from_slice(record)?;
        let optimizer = OptimizerRecord::from_bytes(Bytes::from_bytes_vec(optimizer))?;
        self.optimizer = ModuleOptimizer::from(Adam::default()).load_record(optimizer);
        let clock = NoiseClock { seed, replica: 0, step: budget.step(), micro_step: 0 };
        self.quantizer.control().seek(clock);
        self.budget = budget;
        self.set_phase();
        Ok(())
    }

    fn method(&self) -> &dyn Method {
        self.config.quantization.method.as_ref()
    }

    fn set_phase(&mut self) {
        self.quantizer.control().set_mode(mode_of(self.plan().phase));
    }
}

/// What reading a weight gives in a phase.
pub(crate) fn mode_of(phase: Phase) -> Mode {
    match phase {
        Phase::Noise => Mode::Noise,
        Phase::Rounding => Mode::StraightThrough,
    }
}

/// `model` with all learned numbers coarser by the same amount.
pub(crate) fn coarser<M: Module>(
    model: M,
    quantizer: &Quantizer,
    by: f32,
    finest: HashMap<ParamId, Vec<f32>>,
) -> M {
    let Some(sizing) = quantizer.method().sizing() else { return model };
    let ids = quantizer.learned_ids(&model);
    model.map(&mut Coarsen { ids, sizing, by, finest })
}

struct Coarsen<'m> {
    ids: HashSet<ParamId>,
    sizing: &'m dyn Sizing,
    by: f32,
    finest: HashMap<ParamId, Vec<f32>>,
}

impl ModuleMapper for Coarsen<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !self.ids.contains(&param.id) {
            return param;
        }
        let finest = self.finest.get(&param.id).map(Vec::as_slice);
        param.map(|old| {
            let mut learned = values(&old.clone().detach());
            self.sizing.coarsen(&mut learned, self.by, finest);
            Tensor::from_data(TensorData::new(learned, old.dims()), &old.device()).require_grad()
        })
    }
}
