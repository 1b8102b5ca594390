//! A file of at most so many bytes: where steps start, and how the last bytes are trimmed or spent.

use std::collections::HashMap;

use fewbit::compress::{
    CompressError, CompressOptions, MemorySource, Objective, SourceTensor, Treatment, compress,
};
use fewbit::{CodeEncoding, ContainerWriter};

use super::controller::{START, SizeController};
use super::outcome::TrainError;
use super::state::State;
use super::task::Task;
use super::trainer::Trainer;
use crate::layout::parameters;
use crate::method::Method;
use crate::quantizer::Quantizer;
use crate::site::{Site, Trim};
use crate::stored::{ExportError, StoredModel, StoredTensor};

/// A file that has this share of its budget is good enough.
const GOOD: f64 = 0.9995;

/// Files that are tried at most.
const TRIES: u32 = 28;

/// The furthest way to a finer or a coarser file, in bits.
const FURTHEST: f64 = 8.0;

impl<T: Task> Trainer<'_, T> {
    /// Refuses a budget that no file of the network keeps.
    pub(super) fn check_budget(&self, model: &T::Model) -> Result<(), TrainError> {
        let Some(budget) = self.config.budget else { return Ok(()) };
        if !self.config.quantization.method.keeps_a_budget() {
            return Err(TrainError::BudgetNotKept);
        }
        let (minimum, ..) = self.data_free(model, 0)?;
        if minimum > budget { Err(TrainError::BudgetTooSmall { budget, minimum }) } else { Ok(()) }
    }

    /// The controller of a run that begins its quantized steps.
    pub(super) fn controller(&self, state: &State<T::Model>) -> Result<Option<SizeController>, TrainError> {
        let (Some(budget), Some(quantizer)) = (self.config.budget, &state.quantizer) else { return Ok(None) };
        let bytes = self.bytes_of(&state.model, quantizer, Trim::default())?;
        Ok(Some(SizeController::new(budget, bytes, self.config.penalty)))
    }

    /// Where learned steps start: at those that are best for the weights as they are, in a file that is
    /// somewhat larger than the budget.
    pub(super) fn start_of_steps(&self, model: &T::Model) -> Result<HashMap<String, Vec<f32>>, TrainError> {
        let (Some(budget), Method::Fewbit(_)) = (self.config.budget, &self.config.quantization.method) else {
            return Ok(HashMap::new());
        };
        let (_, step, scales) = self.data_free(model, (budget as f64 * START) as u64)?;
        let (entries, _) = parameters(model);
        let mut start = HashMap::new();
        for entry in entries.iter().filter(|entry| self.config.quantization.chooses(entry)) {
            let Some(scale) = scales.get(&entry.path) else { continue };
            let learned = ((step * scale) as f32).max(f32::MIN_POSITIVE).log2();
            let groups = Site::new(entry, &self.config.quantization.method)?.grouping.count();
            start.insert(entry.path.clone(), vec![learned; groups]);
        }
        Ok(start)
    }

    /// The file of the weights as they are that has at most `budget` bytes, or the smallest: its bytes, its
    /// step for weights of a mean square of 1, and the root of the mean square of each quantized tensor.
    pub(super) fn data_free(
        &self,
        model: &T::Model,
        budget: u64,
    ) -> Result<(u64, f64, HashMap<String, f64>), TrainError> {
        let config = &self.config.quantization;
        let (entries, _) = parameters(model);
        let stored = self.with_all_metadata(self.in_storage(StoredModel::float(model)?));
        let mut head = ContainerWriter::new();
        for (key, value) in &stored.metadata {
            head.metadata(key, value).map_err(ExportError::from)?;
        }
        let (mut source, mut scales) = (MemorySource::default(), HashMap::new());
        for (name, tensor) in stored.tensors {
            let StoredTensor::Float { shape, values, encoding } = tensor else { continue };
            let is_chosen = entries.iter().any(|entry| entry.path == name && config.chooses(entry));
            let treatment = if is_chosen { Treatment::Quantized } else { Treatment::Float };
            if is_chosen {
                let square: f64 = values.iter().map(|value| f64::from(*value).powi(2)).sum();
                scales.insert(name.clone(), (square / values.len().max(1) as f64).sqrt());
            } else {
                head.float_as(&name, &shape, &values, encoding).map_err(ExportError::from)?;
                continue;
            }
            source.push(SourceTensor { name, shape, treatment }, values);
        }
        let options = CompressOptions {
            budget,
            objective: Objective::Relative,
            floats: self.config.storage.encoding,
            encoding: CodeEncoding::default(),
        };
        match compress(&mut source, &head, &options) {
            Ok(compressed) => Ok((compressed.bytes, compressed.step, scales)),
            Err(CompressError::BudgetTooSmall { minimum, .. }) => Ok((minimum, f64::INFINITY, scales)),
            Err(CompressError::Quantize { name, source }) => {
                Err(ExportError::Quantize { path: name, source }.into())
            }
            Err(CompressError::Write(error)) => Err(ExportError::from(error).into()),
            Err(_) => unreachable!("memory can be read"),
        }
    }

    /// The length of the file of `model`.
    pub(super) fn bytes_of(
        &self,
        model: &T::Model,
        quantizer: &Quantizer,
        trim: Trim,
    ) -> Result<u64, TrainError> {
        Ok(self.length(&StoredModel::trimmed(model, quantizer, trim)?)?)
    }

    fn length(&self, stored: &StoredModel) -> Result<u64, ExportError> {
        let stored = self.with_all_metadata(self.in_storage(stored.clone()));
        Ok(stored.to_writer()?.bytes())
    }

    /// The largest file of `model` that has at most `budget` bytes: as it is, or trimmed by levels that
    /// cost less, or with coarser or finer steps where that is not enough.
    pub(super) fn within_budget(
        &self,
        model: &T::Model,
        quantizer: &Quantizer,
        budget: u64,
    ) -> Result<StoredModel, TrainError> {
        let has_trade = matches!(self.config.quantization.method, Method::Fewbit(_));
        let mut best: Option<(u64, StoredModel)> = None;
        // Below 0 finer by so many bits, up to 1 cheaper levels, above it coarser.
        let (mut low, mut high) = (-FURTHEST, FURTHEST + 1.0);
        let mut at = 0.0;
        for _ in 0..TRIES {
            let stored = StoredModel::trimmed(model, quantizer, trim(at, has_trade))?;
            let bytes = self.length(&stored)?;
            let is_within = bytes <= budget;
            if is_within && best.as_ref().is_none_or(|(most, _)| bytes >= *most) {
                best = Some((bytes, stored));
            }
            if is_within && bytes as f64 >= GOOD * budget as f64 {
                break;
            }
            *(if is_within { &mut high } else { &mut low }) = at;
            // The trade first: it keeps the steps that were trained.
            at = match (at == 0.0, is_within) {
                (true, false) => 1.0,
                (true, true) => -0.25,
                _ => (low + high) / 2.0,
            };
        }
        let (_, stored) = best.ok_or_else(|| TrainError::BudgetTooSmall {
            budget,
            minimum: self.bytes_of(model, quantizer, trim(FURTHEST, has_trade)).unwrap_or(0),
        })?;
        self.finished(stored)
    }
}

fn trim(at: f64, has_trade: bool) -> Trim {
    if !has_trade {
        return Trim { coarser: at as f32, trade: 0.0 };
    }
    Trim { coarser: (at.min(0.0) + (at - 1.0).max(0.0)) as f32, trade: at.clamp(0.0, 1.0) as f32 }
}
