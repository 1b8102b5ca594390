//! How the inputs of each layer vary together.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use burn::module::ParamId;
use burn::tensor::Tensor;
use fewbit::StoredModel;
use fewbit::compress::{MomentsError, SecondMoments};

use super::patches::Geometry;
use super::{Calibration, CalibrationError};
use crate::layout::parameters;
use crate::layout::values;
use crate::nn::observer::{LayerInput, observe};
use crate::stored::StoredModelExt;
use crate::train::Task;

/// Places of a convolution's result that are looked at in each image: neighbours have nearly the same to say.
const PLACES: usize = 32;

type Seen = BTreeMap<ParamId, Result<SecondMoments, MomentsError>>;

impl<T: Task> Calibration<'_, T> {
    /// The second moments of the inputs of each convolution and linear layer of [`nn`](crate::nn), by the path of its
    /// weight, inputs in the weight's stored order. Convolutions in groups have none.
    ///
    /// # Errors
    /// [`CalibrationError`]: no records, weights that are not the network's, or inputs that are not finite.
    pub fn input_moments(
        &self,
        stored: &StoredModel,
    ) -> Result<BTreeMap<String, SecondMoments>, CalibrationError> {
        let model = stored.load_into(self.task.init(&self.device))?;
        let seen = Rc::new(RefCell::new(Seen::new()));
        for batch in self.batches()? {
            let observer = {
                let seen = Rc::clone(&seen);
                move |weight, input| add(&mut seen.borrow_mut(), weight, input)
            };
            observe(observer, || self.loss(&model, &batch, &self.device));
            if let Some(reason) = self.task.failure() {
                return Err(CalibrationError::Record(reason));
            }
        }
        let mut found = BTreeMap::new();
        for entry in parameters(&model).0 {
            if let Some(moments) = seen.borrow_mut().remove(&entry.id) {
                let path = entry.path;
                match moments {
                    Ok(moments) => found.insert(path, moments),
                    Err(source) => return Err(CalibrationError::Inputs { path, source }),
                };
            }
        }
        Ok(found)
    }
}

/// Adds an input to what was seen of its layer; the first error stays.
fn add(seen: &mut Seen, weight: ParamId, input: LayerInput) {
    let (inputs, samples) = match input {
        LayerInput::Vectors(vectors) => (vectors.dims()[1], numbers(&vectors)),
        LayerInput::Images { groups, .. } if groups != 1 => return,
        LayerInput::Images { images, stride, kernel, dilation, padding, .. } => {
            let geometry = Geometry { images: images.dims(), stride, kernel, dilation, padding };
            (geometry.inputs(), geometry.patches(&numbers(&images), PLACES))
        }
    };
    let moments = seen.entry(weight).or_insert_with(|| Ok(SecondMoments::new(inputs)));
    if let Ok(sums) = moments
        && let Err(error) = sums.add(&samples)
    {
        *moments = Err(error);
    }
}

fn numbers<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    values(&tensor.clone().detach())
}
