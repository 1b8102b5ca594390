//! A file of at most so many bytes: where steps start, and how the last bytes are trimmed or spent.

use std::collections::{HashMap, HashSet};

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::tensor::Tensor;
use fewbit::compress::{
    CompressError, CompressOptions, MemorySource, Objective, SourceTensor, Treatment, compress,
};
use fewbit::{CodeEncoding, ContainerWriter};

use super::controller::{APPROACH, START, SizeController};
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

/// As much of the budget is not worth spending while training goes on.
const ENOUGH: f64 = 0.998;

/// A file beyond this share of its budget is more than the last pass can trim without harm.
const TOO_MUCH: f64 = 1.03;

/// How much finer or coarser steps get at once, in bits, and files that are tried for that.
const MOST_AT_ONCE: f32 = 0.5;
const FITTING_TRIES: u32 = 6;

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

    /// `model` with its steps as much finer as the budget leaves room for, or as much coarser as it asks
    /// for, and the bytes of its file; `None` where nothing counts that is left or too much. Done while
    /// weights are rounded, because steps that training has not seen lose more than the bytes are worth:
    /// in a short run λ alone may come too late. `done` is the share of the quantized steps that are done.
    pub(super) fn fitted(
        &self,
        model: &T::Model,
        quantizer: &Quantizer,
        bytes: u64,
        done: f64,
    ) -> Result<Option<(T::Model, u64)>, TrainError> {
        let Some(budget) = self.config.budget else { return Ok(None) };
        let weights = quantizer.sites().map(|site| site.grouping.len()).sum();
        let length = |coarser| self.bytes_of(model, quantizer, Trim { coarser, trade: 0.0 });
        let found = if done >= APPROACH && bytes as f64 > TOO_MUCH * budget as f64 {
            Some(coarser_within(budget, length)?)
        } else {
            finer_within(budget, bytes, weights, length)?
        };
        Ok(found.map(|(at, bytes)| {
            let mut shift = Shift { ids: quantizer.learned_ids(model), by: at.into() };
            (model.clone().map(&mut shift), bytes)
        }))
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

/// How much finer the steps of a file of so many bytes and weights become, as a number of bits below 0, and
/// its bytes then; `None` where that would be no gain. `length` tells the bytes.
fn finer_within<E>(
    budget: u64,
    bytes: u64,
    weights: usize,
    length: impl Fn(f32) -> Result<u64, E>,
) -> Result<Option<(f32, u64)>, E> {
    let (mut found, mut low, mut high) = (None, -MOST_AT_ONCE, 0.0);
    let missing = (0.5 * (1.0 + ENOUGH) * budget as f64) as f32 - bytes as f32;
    // Half the step is a bit more for each weight.
    let mut at = -8.0 * missing / weights.max(1) as f32;
    for _ in 0..FITTING_TRIES {
        let now = found.map_or(bytes, |(_, bytes)| bytes);
        if now as f64 >= ENOUGH * budget as f64 {
            break;
        }
        if !(at > low && at < high) {
            at = (low + high) / 2.0;
        }
        let finer = length(at)?;
        // Beyond the finest steps that levels reach nothing grows.
        if finer <= budget && finer > bytes {
            (found, high) = (Some((at, finer)), at);
        } else {
            low = at;
        }
        // As if bytes grew evenly.
        at *= missing / (finer as f32 - bytes as f32);
    }
    Ok(found)
}

/// How much coarser the steps of a file that is too large become, in bits, and its bytes then: as little as
/// fits, and at most [`MOST_AT_ONCE`], which may not be enough. `length` tells the bytes.
fn coarser_within<E>(budget: u64, length: impl Fn(f32) -> Result<u64, E>) -> Result<(f32, u64), E> {
    let (mut low, mut found) = (0.0, (MOST_AT_ONCE, length(MOST_AT_ONCE)?));
    if found.1 > budget {
        return Ok(found);
    }
    for _ in 0..FITTING_TRIES {
        let at = (low + found.0) / 2.0;
        let bytes = length(at)?;
        if bytes <= budget {
            found = (at, bytes);
        } else {
            low = at;
        }
    }
    Ok(found)
}

/// Adds a number to all that is learned about steps.
struct Shift {
    ids: HashSet<ParamId>,
    by: f64,
}

impl ModuleMapper for Shift {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !self.ids.contains(&param.id) {
            return param;
        }
        param.map(|learned| (learned + self.by).detach().require_grad())
    }
}

fn trim(at: f64, has_trade: bool) -> Trim {
    if !has_trade {
        return Trim { coarser: at as f32, trade: 0.0 };
    }
    Trim { coarser: (at.min(0.0) + (at - 1.0).max(0.0)) as f32, trade: at.clamp(0.0, 1.0) as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The length of a file of 80,000 weights that grows by so many bits per weight and bit of the step.
    fn length(bytes: u64, slope: f32) -> impl Fn(f32) -> Result<u64, ()> {
        move |coarser| Ok((bytes as f32 - coarser * slope * 10_000.0) as u64)
    }

    fn spent(bytes: u64, slope: f32) -> Option<(f32, u64)> {
        finer_within(30_000, bytes, 80_000, length(bytes, slope)).unwrap()
    }

    #[test]
    fn what_is_left_becomes_finer_steps_within_the_budget() {
        for slope in [0.4, 0.8, 1.0, 1.7] {
            for bytes in [28_500, 29_500, 29_900] {
                let (at, found) = spent(bytes, slope).unwrap();
                assert!((29_940..=30_000).contains(&found), "{bytes}, {slope}: {found}");
                assert!((-MOST_AT_ONCE..0.0).contains(&at), "{at}");
            }
        }
    }

    #[test]
    fn nothing_is_spent_where_little_is_left_or_nothing_grows() {
        assert_eq!(spent(29_990, 1.0), None);
        assert_eq!(spent(30_100, 1.0), None);
        assert_eq!(spent(20_000, 0.0), None);
    }

    #[test]
    fn what_is_too_much_becomes_coarser_steps_by_as_little_as_fits() {
        for (bytes, slope) in [(31_000, 0.4), (31_000, 1.7), (33_000, 0.8)] {
            let (at, found) = coarser_within(30_000, length(bytes, slope)).unwrap();
            assert!((29_840..=30_000).contains(&found), "{bytes}, {slope}: {found}");
            assert!((0.0..=MOST_AT_ONCE).contains(&at), "{at}");
        }
        assert_eq!(coarser_within(30_000, length(50_000, 1.0)), Ok((MOST_AT_ONCE, 45_000)));
    }

    #[test]
    fn steps_move_by_a_half_at_most() {
        let (at, found) = spent(20_000, 1.0).unwrap();
        assert!((0.4..=0.5).contains(&-at) && found < 25_100, "{at}, {found}");
    }
}
