//! A run of a few steps on noise: whether a recipe works, not what it reaches.

use super::data::{Data, noise_validation};
use super::{Experiment, ExperimentError, check_method};
use crate::recipe::Recipe;

/// Most records of a batch: the steps are to be made, not to teach.
const BATCH: usize = 16;

/// `recipe` with so many steps, half of them quantized, of at most 16 records each, for
/// [`Experiment::on_noise`].
pub fn shortened(recipe: &Recipe, steps: usize) -> Recipe {
    let mut short = recipe.clone();
    let training = &mut short.training;
    training.quantized_steps = steps.div_ceil(2);
    training.float_steps = steps / 2;
    training.warmup_steps = 0;
    training.batch_size = training.batch_size.min(BATCH);
    training.evaluation_batch_size = training.evaluation_batch_size.min(BATCH);
    training.norm_batches = training.norm_batches.min(2);
    training.evaluate_every = steps.max(1);
    short.data.validation = noise_validation(&short);
    short
}

impl<'a> Experiment<'a> {
    /// A recipe, mostly a [`shortened`] one, with noise in place of its data, which it needs no path for.
    ///
    /// # Errors
    /// [`ExperimentError`] where the method does not fit the network.
    pub fn on_noise(recipe: &'a Recipe) -> Result<Self, ExperimentError> {
        check_method(recipe)?;
        let (config, data) = (recipe.train_config(), Data::noise(recipe)?);
        Ok(Self { recipe, config, data, skipped: Vec::new() })
    }
}
