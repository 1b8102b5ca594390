//! Running statistics of a network's norms, measured anew or brought in line with other weights.
//!
//! Rounding changes the mean and the spread of what a norm is given. Measured on the calibration records before and after,
//! they say by how much, and the norm's own statistics are moved as far: with means `μ` and deviations `σ` of the float
//! network and `μ'`, `σ'` of the rounded one, a norm with mean `m` and deviation `s` gets
//!
//! ```text
//! s' = s·σ'/σ,    m' = μ' - (σ'/σ)·(μ - m)
//! ```
//!
//! so that on these records its output has the mean and the spread that it had. Where `m` and `s` were measured on the same
//! records, these are `μ'` and `σ'`; where they were not, what the network has learned on other ones is kept.

use burn::module::Module;
use fewbit::FloatEncoding;

use super::{Calibration, CalibrationError};
use crate::layout::is_running_statistic;
use crate::operation::forward_only;
use crate::stored::{StoredModel, StoredTensor};
use crate::train::Task;

impl<T: Task> Calibration<'_, T> {
    /// `stored` with running statistics measured with its own weights on the calibration records, whatever they
    /// were before. `momentum` is the share that a batch has in those of the network's norms.
    ///
    /// What a running statistic has forgotten of its start is known: started from zero, it is made up for by a
    /// factor.
    ///
    /// # Errors
    /// [`CalibrationError`]: no records, or weights that are not the network's.
    pub fn with_statistics(
        &self,
        stored: StoredModel,
        momentum: f64,
    ) -> Result<StoredModel, CalibrationError> {
        let batches = self.batches()?;
        if !stored.has_running_statistics() {
            return Ok(stored);
        }
        let mut blank = stored.clone();
        blank.scale_statistics(0.0);
        let device = self.device.clone().autodiff();
        // For layers that draw numbers themselves.
        self.device.seed(0);
        let model = blank.load_into(self.task.init(&device))?.no_grad();
        for batch in &batches {
            forward_only(&device, || self.task.observe(&model, batch, 0, &device));
            if let Some(reason) = self.task.failure() {
                return Err(CalibrationError::Record(reason));
            }
        }
        let mut measured = StoredModel::float(&model)?;
        measured.scale_statistics(1.0 / (1.0 - (1.0 - momentum).powi(batches.len() as i32)));
        Ok(stored.with_running_statistics_of(measured))
    }
}

/// How much wider or narrower a channel can become: beyond that there is next to nothing to be measured.
const FURTHEST: f64 = 4.0;

impl StoredModel {
    /// This network, whose statistics were measured with its own weights, with those of `float` moved as far as what is
    /// measured has moved from `measured`: `float` with statistics measured on the same records.
    #[must_use]
    pub fn with_statistics_in_line(mut self, float: &Self, measured: &Self) -> Self {
        let norms: Vec<String> = self
            .tensors
            .keys()
            .filter_map(|path| path.strip_suffix("running_mean"))
            .map(str::to_owned)
            .collect();
        for norm in norms {
            let [mean, variance] = ["running_mean", "running_var"].map(|field| format!("{norm}{field}"));
            let of =
                |model: &Self| Some((model.statistic(&mean)?.to_vec(), model.statistic(&variance)?.to_vec()));
            let (Some(own), Some(before), Some(after)) = (of(float), of(measured), of(&self)) else {
                continue;
            };
            let channels = own.0.iter().zip(&own.1).zip(before.0.iter().zip(&before.1));
            let moved = channels.zip(after.0.iter().zip(&after.1)).map(|((own, before), after)| {
                let numbers = |(mean, variance): (&f32, &f32)| (f64::from(*mean), f64::from(*variance));
                let (own, before, after) = (numbers(own), numbers(before), numbers(after));
                let wider = (after.1 / before.1).sqrt();
                let wider = if wider.is_finite() { wider.clamp(1.0 / FURTHEST, FURTHEST) } else { 1.0 };
                ((after.0 - wider * (before.0 - own.0)) as f32, (own.1 * wider * wider) as f32)
            });
            let (means, variances) = moved.unzip();
            for (path, found) in [(mean, means), (variance, variances)] {
                if let Some(StoredTensor::Float { values, .. }) = self.tensors.get_mut(&path) {
                    *values = found;
                }
            }
        }
        self
    }

    fn statistic(&self, path: &str) -> Option<&[f32]> {
        match self.tensors.get(path)? {
            StoredTensor::Float { values, .. } => Some(values),
            StoredTensor::Quantized(_) => None,
        }
    }

    fn scale_statistics(&mut self, factor: f64) {
        for (path, tensor) in &mut self.tensors {
            if let StoredTensor::Float { values, encoding, .. } = tensor
                && is_running_statistic(path)
            {
                values.iter_mut().for_each(|value| *value = (f64::from(*value) * factor) as f32);
                *encoding = FloatEncoding::Float32;
            }
        }
    }
}
