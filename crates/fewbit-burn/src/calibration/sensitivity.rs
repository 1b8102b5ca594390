//! How the loss depends on each weight: the mean square of its gradient, the empirical Fisher information.
//!
//! Near a minimum the loss grows by half the curvature times the square of an error, and the curvature is the mean
//! square of one record's gradient. The gradient of a batch's mean loss has the same over the batch size, which all tensors
//! share. Norms use the batch's own statistics meanwhile, as they will be measured anew: what they take out of an
//! error costs nothing.

use std::collections::BTreeMap;

use burn::module::Param;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use fewbit::StoredModel;

use super::{Calibration, CalibrationError};
use crate::layout::values;
use crate::layout::{ParameterVisitor, parameters, visit_parameters};
use crate::stored::StoredModelExt;
use crate::train::Task;

impl<T: Task> Calibration<'_, T> {
    /// What a squared error of a weight of each output channel costs, by the tensor's path; up to a factor that
    /// all share. Of every parameter of two dimensions and more.
    ///
    /// # Errors
    /// [`CalibrationError`]: no records, weights that are not the network's, or a gradient that is missing or not
    /// finite.
    pub fn channel_sensitivities(
        &self,
        stored: &StoredModel,
    ) -> Result<BTreeMap<String, Vec<f64>>, CalibrationError> {
        let device = self.device.clone().autodiff();
        self.device.seed(0);
        let model = stored.load_into(self.task.init(&device))?;
        let mut squares = Squares::default();
        for batch in self.batches()? {
            let loss = self.loss(&model, &batch, &device);
            if let Some(reason) = self.task.failure() {
                return Err(CalibrationError::Record(reason));
            }
            squares.gradients = GradientsParams::from_grads(loss.backward(), &model);
            squares.share = batch.len() as f64;
            visit_parameters(&model, &mut squares);
        }
        let mut found = BTreeMap::new();
        for entry in parameters(&model).0.into_iter().filter(|entry| entry.shape.len() >= 2) {
            let path = entry.path;
            let Some(sums) = squares.sums.remove(&path) else {
                return Err(CalibrationError::Gradient { path, found: "missing".to_owned() });
            };
            let sums = entry.orientation.swap_values(sums, &entry.shape);
            let channels = entry.orientation.swap_shape(&entry.shape)[0].max(1);
            let size = (sums.len() / channels).max(1);
            let mean = |part: &[f64]| part.iter().sum::<f64>() / size as f64;
            let means: Vec<f64> = sums.chunks(size).map(mean).collect();
            if let Some(value) = means.iter().find(|mean| !mean.is_finite()) {
                return Err(CalibrationError::Gradient { path, found: value.to_string() });
            }
            found.insert(path, means);
        }
        Ok(found)
    }
}

/// Adds the squares of a batch's gradients to those of the batches before.
#[derive(Default)]
struct Squares {
    gradients: GradientsParams,
    share: f64,
    sums: BTreeMap<String, Vec<f64>>,
}

impl ParameterVisitor for Squares {
    fn parameter<const D: usize>(&mut self, path: String, _: bool, param: &Param<Tensor<D>>) {
        let Some(gradient) = self.gradients.get::<D>(param.id).map(|found| values(&found)) else {
            return;
        };
        let sums = self.sums.entry(path).or_insert_with(|| vec![0.0; gradient.len()]);
        for (sum, value) in sums.iter_mut().zip(gradient) {
            *sum += self.share * f64::from(value).powi(2);
        }
    }
}
