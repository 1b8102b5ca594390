//! The data of a recipe or a file, whatever they are of, in memory.

use std::path::Path;

use super::ExperimentError;
use crate::data::class_folders::ClassFolders;
use crate::data::stems::{StemData, Track};
use crate::data::words::KnownWords;
use crate::data::{
    DataSetKind, ImageData, ImageSet, ImageShape, OnCorrupt, TextSet, WordSet, class_folders, keywords,
    load_images, load_text, path_given, stems, words,
};
use crate::models::{ModelConfig, ModelInput};
use crate::recipe::Recipe;

/// The generated set is one set, whatever the seed of the run, so that results can be compared.
const GLYPHS_SEED: u64 = 0;

/// Samples a second of sounds that are only for timing.
const NOISE_RATE: u32 = 44_100;

/// Data in memory.
#[derive(Clone, Debug)]
pub(super) enum Data {
    Images(ImageData),
    /// Pictures on disk, to be seen with so many pixels a side.
    Folders {
        folders: ClassFolders,
        side: usize,
    },
    Text(TextSet),
    Words(WordSet),
    Stems(StemData),
}

/// Data, and why each item that is missing was left out.
pub(super) struct Loaded {
    pub(super) data: Data,
    pub(super) skipped: Vec<String>,
}

/// The records that `recipe` is for.
pub(super) fn of_recipe(recipe: &Recipe, path: Option<&Path>) -> Result<Loaded, ExperimentError> {
    let data = &recipe.data;
    load(data.set, path, &recipe.model, data.validation, data.on_corrupt)
}

/// The records of a set for `model`, which says how large pictures of sounds are and how many words are known; words that
/// are held back for `validation` are not.
pub(super) fn load(
    set: DataSetKind,
    path: Option<&Path>,
    model: &ModelConfig,
    validation: usize,
    on_corrupt: OnCorrupt,
) -> Result<Loaded, ExperimentError> {
    if let Some(path) = path.filter(|_| !set.needs_path()) {
        return Err(ExperimentError::PathNotRead { data: set, path: path.to_owned() });
    }
    let mut skipped = Vec::new();
    let data = match (set, model.input()) {
        (DataSetKind::Text, _) => Data::Text(load_text(path)?),
        (DataSetKind::Words, input) => {
            let most = match input {
                ModelInput::Words { vocabulary } => vocabulary,
                _ => usize::MAX,
            };
            let known = KnownWords { most, least_count: 1, held_back: validation };
            Data::Words(words::load(path_given(set, path)?, known)?)
        }
        (DataSetKind::Keywords, ModelInput::Images { shape: [_, frames, bands], .. }) => {
            let found = keywords::load(path_given(set, path)?, frames, bands, on_corrupt)?;
            skipped = found.skipped;
            Data::Images(found.data)
        }
        (DataSetKind::ClassFolders, ModelInput::Images { shape: [_, side, _], .. }) => {
            let folders = class_folders::load(path_given(set, path)?, on_corrupt)?;
            let left_out = [&folders.train, &folders.test].into_iter().flat_map(|set| set.skipped());
            skipped = left_out.cloned().collect();
            Data::Folders { folders, side }
        }
        (DataSetKind::Stems, _) => {
            let found = stems::load(path_given(set, path)?, on_corrupt)?;
            skipped = found.skipped;
            Data::Stems(found.data)
        }
        _ => Data::Images(load_images(set, path, GLYPHS_SEED)?),
    };
    check_fit(model, set, &data)?;
    Ok(Loaded { data, skipped })
}

/// Whether model and data go together in shape, classes, words and channels.
fn check_fit(model: &ModelConfig, set: DataSetKind, data: &Data) -> Result<(), ExperimentError> {
    let images = |shape: [usize; 3], classes| format!("images {shape:?} of {classes} classes");
    let sounds = |channels, sources| format!("{sources} sources in {channels} channels");
    let (fits, needed, found) = match (model.input(), data) {
        (ModelInput::Bytes { .. }, Data::Text(_)) => return Ok(()),
        (ModelInput::Words { vocabulary }, Data::Words(found)) => {
            let found = found.vocabulary.words().len();
            (found <= vocabulary, format!("at most {vocabulary} words"), format!("{found} words"))
        }
        (ModelInput::Images { shape, classes }, Data::Images(found)) => {
            let (of_set, found) = (found.train.shape(), found.train.classes());
            let found_shape = [of_set.channels, of_set.height, of_set.width];
            let fits = found_shape == shape && found <= classes;
            (fits, images(shape, classes), images(found_shape, found))
        }
        (ModelInput::Images { shape, classes }, Data::Folders { folders, .. }) => {
            let found = folders.classes.len();
            let fits = shape[0] == 3 && shape[1] == shape[2] && found <= classes;
            (fits, images(shape, classes), format!("square images of 3 channels and {found} classes"))
        }
        (ModelInput::Mixtures { channels, sources }, Data::Stems(found)) => {
            let found = (found.format.channels, stems::SOURCES.len());
            ((channels, sources) == found, sounds(channels, sources), sounds(found.0, found.1))
        }
        _ => return Err(mismatch(model, set, data)),
    };
    if fits { Ok(()) } else { Err(misfit(model, set, needed, found)) }
}

/// The error for data of another kind than the model takes.
pub(super) fn mismatch(model: &ModelConfig, set: DataSetKind, data: &Data) -> ExperimentError {
    misfit(model, set, model.input().noun().to_owned(), data.noun().to_owned())
}

fn misfit(model: &ModelConfig, set: DataSetKind, needed: String, found: String) -> ExperimentError {
    ExperimentError::Mismatch { model: model.kind().to_owned(), needed, data: set.name().to_owned(), found }
}

impl Data {
    fn noun(&self) -> &'static str {
        match self {
            Self::Images(_) | Self::Folders { .. } => "images",
            Self::Text(_) => "bytes",
            Self::Words(_) => "words",
            Self::Stems(_) => "sounds",
        }
    }

    /// Bytes that it takes in memory.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Images(images) => images.bytes(),
            // The paths alone.
            Self::Folders { folders, .. } => 100 * (folders.train.len() + folders.test.len()) as u64,
            Self::Text(text) => (text.train.len() + text.test.len()) as u64,
            Self::Words(words) => {
                let validation = words.validation.as_ref().map_or(0, Vec::len);
                4 * (words.train.len() + validation + words.test.len()) as u64
            }
            Self::Stems(stems) => stems.bytes(),
        }
    }

    /// What is to be judged by alone.
    pub(super) fn without_training(self) -> Self {
        match self {
            Self::Images(ImageData { train, test }) => {
                Self::Images(ImageData { train: train.range(0..0), test })
            }
            Self::Folders { folders, side } => Self::Folders { folders: folders.without_training(), side },
            Self::Text(TextSet { test, .. }) => Self::Text(TextSet { train: Vec::new(), test }),
            Self::Words(WordSet { vocabulary, test, .. }) => {
                Self::Words(WordSet { vocabulary, train: Vec::new(), validation: None, test })
            }
            Self::Stems(StemData { format, test, .. }) => {
                Self::Stems(StemData { format, train: Vec::new(), test })
            }
        }
    }

    /// Whether training records are left when `validation` of them are held back, where windows are so long.
    ///
    /// # Errors
    /// [`ExperimentError::Validation`].
    pub(super) fn check_validation(&self, validation: usize, window: usize) -> Result<(), ExperimentError> {
        // One window to train on, room for its random shift, and the last target.
        let windows = 2 * window + 1;
        let (all, needed, unit) = match self {
            Self::Images(images) => (images.train.len(), 1, "images"),
            Self::Folders { folders, .. } => (folders.train.len(), 1, "images"),
            Self::Text(text) => (text.train.len(), windows, "bytes"),
            // Words for validation that are a part of their own are not held back.
            Self::Words(words) if words.validation.is_some() => {
                (words.train.len() + validation, windows, "words")
            }
            Self::Words(words) => (words.train.len(), windows, "words"),
            Self::Stems(stems) => (stems.train.len(), 1, "tracks"),
        };
        let left = all.saturating_sub(validation);
        if left < needed {
            return Err(ExperimentError::Validation { validation, left, all, needed, unit });
        }
        Ok(())
    }

    /// The last `records` records of the training part alone, with windows so long.
    ///
    /// # Errors
    /// [`ExperimentError::CalibrationRecords`] where there are fewer.
    pub(super) fn last(self, records: usize, window: usize) -> Result<Self, ExperimentError> {
        let check = |found: usize| match found < records {
            true => Err(ExperimentError::CalibrationRecords { found, needed: records }),
            false => Ok(()),
        };
        // A window for the shift of all, and the last target, as training has them.
        let windows = |length: usize| (length.saturating_sub(1) / window.max(1)).saturating_sub(1);
        let length = (records + 1).saturating_mul(window) + 1;
        Ok(match self {
            Self::Images(images) => {
                check(images.train.len())?;
                let (train, test) = (images.train.split_last(records).1, images.test.range(0..0));
                Self::Images(ImageData { train, test })
            }
            Self::Folders { folders, side } => {
                check(folders.train.len())?;
                Self::Folders { folders: folders.last(records), side }
            }
            Self::Text(TextSet { train, .. }) => {
                check(windows(train.len()))?;
                Self::Text(TextSet { train: train[train.len() - length..].to_vec(), test: Vec::new() })
            }
            Self::Words(WordSet { vocabulary, train, .. }) => {
                check(windows(train.len()))?;
                let train = train[train.len() - length..].to_vec();
                Self::Words(WordSet { vocabulary, train, validation: None, test: Vec::new() })
            }
            Self::Stems(StemData { format, mut train, .. }) => {
                check(train.len())?;
                let train = train.split_off(train.len() - records);
                Self::Stems(StemData { format, train, test: Vec::new() })
            }
        })
    }

    /// Noise for one batch of training and one of evaluation of `recipe`.
    pub(super) fn noise(recipe: &Recipe) -> Result<Self, ExperimentError> {
        let records = recipe.training.batch_size + recipe.training.evaluation_batch_size;
        let window = recipe.window();
        let hash = |index: usize| index.wrapping_mul(0x9E37_79B9) >> 16;
        Ok(match recipe.model.input() {
            ModelInput::Images { shape: [channels, height, width], classes } => {
                let shape = ImageShape { channels, height, width };
                let pixels = (0..records * shape.values()).map(|index| hash(index) as u8).collect();
                let labels = (0..records).map(|record| (record % classes) as u8).collect();
                let train = ImageSet::new(shape, classes, pixels, labels)?;
                let test = train.range(0..1);
                Self::Images(ImageData { train, test })
            }
            ModelInput::Bytes { .. } => {
                let train: Vec<u8> = (0..(records + 3) * window).map(|index| hash(index) as u8).collect();
                let test = train[..=window].to_vec();
                Self::Text(TextSet { train, test })
            }
            ModelInput::Words { vocabulary } => {
                let train: Vec<u32> =
                    (0..(records + 3) * window).map(|index| (hash(index) % vocabulary) as u32).collect();
                let (vocabulary, test) = (words::Vocabulary::default(), train[..=window].to_vec());
                Self::Words(WordSet { vocabulary, train, validation: None, test })
            }
            ModelInput::Mixtures { channels, .. } => {
                let format = stems::SoundFormat { sample_rate: NOISE_RATE, channels };
                let samples = |count: usize| -> Vec<i16> {
                    (0..count * channels).map(|index| hash(index) as i16).collect()
                };
                let track = |name: &str, frames: usize| {
                    Track::new(name.to_owned(), channels, [0, 1, 2, 3].map(|_| samples(frames)), None)
                };
                let train = track("training", window + (records * recipe.training.segment_stride))?;
                Self::Stems(StemData {
                    format,
                    train: vec![train, track("validation", window)?],
                    test: vec![track("test", window)?],
                })
            }
        })
    }
}

/// How much of noise is held back for one batch of evaluation.
pub(super) fn noise_validation(recipe: &Recipe) -> usize {
    let evaluated = recipe.training.evaluation_batch_size;
    match recipe.model.input() {
        ModelInput::Images { .. } => evaluated,
        ModelInput::Bytes { .. } | ModelInput::Words { .. } => evaluated * recipe.window() + 1,
        ModelInput::Mixtures { .. } => 1,
    }
}
