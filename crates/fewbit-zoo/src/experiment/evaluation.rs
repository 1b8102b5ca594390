//! The metric of a file.

use std::path::Path;

use burn::tensor::Device;
use fewbit::ContainerReader;
use fewbit::value_count;
use fewbit_burn::train::{Evaluated, Evaluator, Metric, Split, Task, Teacher};

use super::data::load;
use super::tasks::{TaskSettings, TaskVisitor, with_task};
use super::{BATCH, CONTEXT, DATA, ExperimentError, MODEL, ON_CORRUPT, VALIDATION};
use crate::data::{DataSetKind, OnCorrupt};
use crate::models::{BYTES, ModelConfig, ModelInput};
use crate::recipe::{MAX_CONTEXT, MAX_EVALUATION_BATCH, MAX_SEGMENT, MIN_SEGMENT};

/// Most values of a batch of records, or of what is predicted for them: a gibibyte of floats, whatever a stranger's file
/// says.
const MAX_EVALUATED_VALUES: usize = 1 << 28;

/// What `eval` found.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// What was measured.
    pub metric: Metric,
    /// Its value on the test records.
    pub value: f64,
    /// Test records.
    pub records: usize,
    /// 4 × every stored value.
    pub float_bytes: u64,
    /// Mean bits of the quantized weights.
    pub mean_bits: f64,
    /// The data set.
    pub data: String,
    /// The kind of model.
    pub model: String,
}

/// The data set that the network in a file was trained on.
///
/// # Errors
/// [`ExperimentError`]: metadata that is missing or wrong.
pub fn data_set_of<B: AsRef<[u8]>>(reader: &ContainerReader<B>) -> Result<DataSetKind, ExperimentError> {
    let name = reader.metadata(DATA).ok_or(ExperimentError::MetadataMissing { key: DATA })?;
    Ok(name.parse::<DataSetKind>()?)
}

/// The metric of the network in a file, on the test records of the data set that the
/// file names, read from `path`.
///
/// # Errors
/// [`ExperimentError`]: metadata that is missing or wrong, data that is not there, tensors that do not
/// fit the model.
pub fn evaluate_file<B: AsRef<[u8]> + Sync>(
    reader: &ContainerReader<B>,
    path: Option<&Path>,
    device: &Device,
) -> Result<Evaluation, ExperimentError> {
    struct Evaluate<'e, B> {
        reader: &'e ContainerReader<B>,
        batch_size: usize,
        device: &'e Device,
    }
    impl<B: AsRef<[u8]> + Sync> TaskVisitor for Evaluate<'_, B> {
        type Output = Result<(Metric, f64, usize), ExperimentError>;

        fn visit<T: Task>(self, task: &T, _: Option<Teacher<'_, T>>) -> Self::Output {
            let evaluator = Evaluator::new(task, self.batch_size, self.device);
            let Evaluated { value, scores, .. } = evaluator.of_reader(self.reader, Split::Test)?;
            Ok((task.metric(), value, scores.len()))
        }
    }
    let text = |key| reader.metadata(key).ok_or(ExperimentError::MetadataMissing { key });
    let number = |key, least: usize, most: usize| {
        let found = text(key)?;
        found.parse().ok().filter(|number| (least..=most).contains(number)).ok_or_else(|| {
            let found = found.to_owned();
            ExperimentError::MetadataInvalid {
                key,
                found,
                needed: format!("a whole number from {least} to {most}"),
            }
        })
    };
    let model = ModelConfig::parse(text(MODEL)?)?;
    let set: DataSetKind = text(DATA)?.parse()?;
    let batch_size = number(BATCH, 1, MAX_EVALUATION_BATCH)?;
    let window = match model.input() {
        ModelInput::Bytes { longest } => number(CONTEXT, 1, longest.unwrap_or(MAX_CONTEXT).min(MAX_CONTEXT))?,
        ModelInput::Words { vocabulary } => {
            let most = (MAX_EVALUATED_VALUES / vocabulary.max(1)).clamp(1, MAX_CONTEXT);
            number(CONTEXT, 1, most)?
        }
        ModelInput::Mixtures { .. } => number(CONTEXT, MIN_SEGMENT, MAX_SEGMENT)?,
        ModelInput::Images { .. } => 1,
    };
    // No score depends on how many records are evaluated at once.
    let values = match model.input() {
        ModelInput::Images { shape, .. } => shape.iter().product(),
        ModelInput::Bytes { .. } => window * BYTES,
        ModelInput::Words { vocabulary } => window * vocabulary,
        ModelInput::Mixtures { channels, sources } => window * channels * sources,
    };
    let batch_size = batch_size.min((MAX_EVALUATED_VALUES / values.max(1)).max(1));
    // Before anything is unpacked: a small file can describe a large network.
    let found = value_count(reader);
    if found != model.values() {
        return Err(ExperimentError::ValueCount { found, needed: model.values() });
    }
    let on_corrupt = match reader.metadata(ON_CORRUPT) {
        Some(word) if word == OnCorrupt::Skip.word() => OnCorrupt::Skip,
        _ => OnCorrupt::Fail,
    };
    let validation = match reader.metadata(VALIDATION) {
        Some(_) => number(VALIDATION, 0, usize::MAX)?,
        None => 0,
    };
    let data = load(set, path, &model, validation, on_corrupt)?.data.without_training();
    let settings = TaskSettings {
        set,
        validation: 0,
        variation: None,
        label_smoothing: 0.0,
        teacher: None,
        window,
        segment_stride: window,
    };
    let visitor = Evaluate { reader, batch_size, device };
    let (metric, value, records) = with_task(&model, data, settings, visitor)?;
    Ok(Evaluation {
        metric,
        value,
        records,
        float_bytes: 4 * found,
        mean_bits: reader.mean_bits().unwrap_or(32.0),
        data: set.name().to_owned(),
        model: model.kind().to_owned(),
    })
}
