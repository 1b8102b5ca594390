//! A recipe's network, calibrated on the last records of its training data.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;
use fewbit::compress::Sensitivity;
use fewbit_burn::StoredModel;
use fewbit_burn::calibration::Calibration;
use fewbit_burn::train::Task;

use super::ExperimentError;
use super::tasks::{Data, TaskSettings, TaskVisitor, check_fit, load, with_task};
use crate::data::augment::Augmentation;
use crate::data::{ImageData, TextSet};
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
        let data = load(recipe.data.set, path)?;
        check_fit(&recipe.model, recipe.data.set, &data)?;
        let too_few = |found| Err(ExperimentError::CalibrationRecords { found, needed: records });
        let data = match data {
            Data::Images(images) if images.train.len() < records => return too_few(images.train.len()),
            Data::Images(images) => {
                let (train, test) = (images.train.split_last(records).1, images.test.range(0..0));
                Data::Images(ImageData { train, test })
            }
            Data::Text(TextSet { train, .. }) => {
                let context = recipe.training.context;
                // A window for the shift of all, and the last target, as training has them.
                let found = (train.len().saturating_sub(1) / context.max(1)).saturating_sub(1);
                if found < records {
                    return too_few(found);
                }
                let bytes = (records + 1).saturating_mul(context) + 1;
                Data::Text(TextSet { train: train[train.len() - bytes..].to_vec(), test: Vec::new() })
            }
        };
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

            fn visit<T: Task>(self, task: &T) -> Self::Output {
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

            fn visit<T: Task>(self, task: &T) -> Self::Output {
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
        let settings = TaskSettings {
            set: self.recipe.data.set,
            validation: 0,
            augmentation: Augmentation::NONE,
            context: self.recipe.training.context,
        };
        with_task(&self.recipe.model, self.data.clone(), settings, visitor)
    }
}
