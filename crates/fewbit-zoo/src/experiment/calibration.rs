//! A recipe's network, calibrated on the last records of its training data.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;
use fewbit::StoredModel;
use fewbit::compress::Sensitivity;
use fewbit_burn::calibration::Calibration;
use fewbit_burn::train::{Task, Teacher};

use super::ExperimentError;
use super::data::{Data, of_recipe};
use super::tasks::{TaskSettings, TaskVisitor, with_task};
use crate::models::BATCH_NORM_MOMENTUM;
use crate::recipe::Recipe;

/// Records whose gradients are added before they are squared. One at a time would tell the most, and take the longest.
const SQUARED_TOGETHER: usize = 32;

/// A recipe with the last records of its training data, as they are: neither cropped nor mirrored.
#[derive(Debug)]
pub struct Calibrator<'a> {
    recipe: &'a Recipe,
    data: Data,
}

impl<'a> Calibrator<'a> {
    /// Loads the data of `recipe` from `path` and keeps the last `records` images, or windows of text, of the
    /// training set.
    ///
    /// # Errors
    /// [`ExperimentError`] for the data, or where they do not fit the model or are fewer.
    pub fn prepare(recipe: &'a Recipe, path: Option<&Path>, records: usize) -> Result<Self, ExperimentError> {
        let loaded = of_recipe(recipe, path)?;
        let data = loaded.data.last(records, recipe.window())?;
        Ok(Self { recipe, data })
    }

    /// `network` with the statistics of its norms measured anew, with its own weights.
    ///
    /// # Errors
    /// [`ExperimentError`]: weights that are not the recipe's network's.
    pub fn with_statistics(
        &self,
        network: StoredModel,
        device: &Device,
    ) -> Result<StoredModel, ExperimentError> {
        struct Statistics<'d>(StoredModel, usize, &'d Device);
        impl TaskVisitor for Statistics<'_> {
            type Output = Result<StoredModel, ExperimentError>;

            fn visit<T: Task>(self, task: &T, _: Option<Teacher<'_, T>>) -> Self::Output {
                let Self(network, batch, device) = self;
                Ok(Calibration::new(task, batch, device).with_statistics(network, BATCH_NORM_MOMENTUM)?)
            }
        }
        self.with_task(Statistics(network, self.recipe.training.batch_size, device))
    }

    /// How the loss depends on each tensor of two dimensions and more, by its path; `inputs` asks for how the
    /// inputs of layers vary together, too.
    ///
    /// # Errors
    /// [`ExperimentError`]: weights that are not the recipe's network's, or numbers that are not finite.
    pub fn sensitivities(
        &self,
        network: &StoredModel,
        inputs: bool,
        device: &Device,
    ) -> Result<BTreeMap<String, Sensitivity>, ExperimentError> {
        struct Sensitivities<'d> {
            network: &'d StoredModel,
            inputs: bool,
            batch: usize,
            device: &'d Device,
        }
        impl TaskVisitor for Sensitivities<'_> {
            type Output = Result<BTreeMap<String, Sensitivity>, ExperimentError>;

            fn visit<T: Task>(self, task: &T, _: Option<Teacher<'_, T>>) -> Self::Output {
                let calibration = Calibration::new(task, SQUARED_TOGETHER, self.device);
                let channels = calibration.channel_sensitivities(self.network)?;
                let mut moments = BTreeMap::new();
                if self.inputs {
                    moments = Calibration::new(task, self.batch, self.device).input_moments(self.network)?;
                }
                let found = channels.into_iter().map(|(path, channels)| {
                    let inputs = moments.remove(&path);
                    (path, Sensitivity { channels, inputs })
                });
                Ok(found.collect())
            }
        }
        let batch = self.recipe.training.batch_size;
        self.with_task(Sensitivities { network, inputs, batch, device })
    }

    fn with_task<V, O>(&self, visitor: V) -> Result<O, ExperimentError>
    where
        V: TaskVisitor<Output = Result<O, ExperimentError>>,
    {
        let settings = TaskSettings::plain(self.recipe, 0);
        with_task(&self.recipe.model, self.data.clone(), settings, visitor)
    }
}
