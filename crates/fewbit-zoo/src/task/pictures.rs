//! Where the images of a task come from: memory, or folders that are read as they are wanted.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use crate::data::augment::{Draw, Normalization, augment};
use crate::data::class_folders::FolderSet;
use crate::data::erasing::erase;
use crate::data::rand_augment::rand_augment;
use crate::data::variation::Variation;
use crate::data::{DataError, ImageSet, ImageShape};

/// Which of the variations that draws decide are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variations {
    /// All.
    All,
    /// Crop and mirror image alone.
    Crop,
}

/// Labelled images of one shape, as a network wants them.
pub(super) trait Pictures: Debug + Send + Sync {
    /// Shape of each image.
    fn shape(&self) -> ImageShape;

    /// Number of images.
    fn count(&self) -> usize;

    /// The class of an image.
    fn label(&self, record: usize) -> usize;

    /// The normalised images of `wanted`, varied where there is a draw: `[wanted, channels, height, width]`.
    ///
    /// # Errors
    /// [`DataError`] naming a file that cannot be read, or not as an image.
    fn normalised(
        &self,
        wanted: &[(usize, Option<Draw>)],
        variations: Variations,
    ) -> Result<Vec<f32>, DataError>;
}

/// Images in memory.
#[derive(Debug)]
pub(super) struct InMemory {
    pub(super) set: ImageSet,
    pub(super) normalization: Normalization,
    /// What draws decide; without it they are not heeded.
    pub(super) variation: Option<Variation>,
}

impl Pictures for InMemory {
    fn shape(&self) -> ImageShape {
        self.set.shape()
    }

    fn count(&self) -> usize {
        self.set.len()
    }

    fn label(&self, record: usize) -> usize {
        self.set.label(record).into()
    }

    fn normalised(
        &self,
        wanted: &[(usize, Option<Draw>)],
        variations: Variations,
    ) -> Result<Vec<f32>, DataError> {
        let shape = self.set.shape();
        let mut pixels = vec![0.0; wanted.len() * shape.values()];
        pixels.par_chunks_exact_mut(shape.values()).zip(wanted).for_each(|(out, &(record, draw))| {
            let image = self.set.image(record);
            let Some((draw, variation)) = draw.zip(self.variation) else {
                return self.normalization.apply(image, shape, out);
            };
            if variations == Variations::Crop {
                return augment(image, shape, variation.crop, &self.normalization, draw, out);
            }
            let changed = (variation.rand_augment > 0.0).then(|| {
                let mut changed = image.to_vec();
                rand_augment(&mut changed, shape, variation.rand_augment, draw);
                changed
            });
            let image = changed.as_deref().unwrap_or(image);
            augment(image, shape, variation.crop, &self.normalization, draw, out);
            erase(out, shape, variation.erasing, draw);
        });
        Ok(pixels)
    }
}

/// Images of any size on disk, decoded and brought to one size when they are wanted.
#[derive(Debug)]
pub(super) struct InFolders {
    pub(super) set: FolderSet,
    pub(super) side: usize,
    pub(super) normalization: Normalization,
    /// What draws decide beside the crop; without it they are not heeded.
    pub(super) variation: Option<Variation>,
}

impl Pictures for InFolders {
    fn shape(&self) -> ImageShape {
        ImageShape { channels: 3, height: self.side, width: self.side }
    }

    fn count(&self) -> usize {
        self.set.len()
    }

    fn label(&self, record: usize) -> usize {
        self.set.label(record).into()
    }

    fn normalised(
        &self,
        wanted: &[(usize, Option<Draw>)],
        variations: Variations,
    ) -> Result<Vec<f32>, DataError> {
        let wanted: Vec<_> = wanted
            .iter()
            .map(|&(record, draw)| (record, draw.filter(|_| self.variation.is_some())))
            .collect();
        let (shape, mut bytes) = (self.shape(), self.set.render_all(&wanted, self.side)?);
        let mut pixels = vec![0.0; bytes.len()];
        let images = bytes.par_chunks_exact_mut(shape.values()).zip(&wanted);
        pixels.par_chunks_exact_mut(shape.values()).zip(images).for_each(|(out, (image, &(_, draw)))| {
            let varied = draw.zip(self.variation).filter(|_| variations == Variations::All);
            if let Some((draw, variation)) = varied {
                rand_augment(image, shape, variation.rand_augment, draw);
            }
            self.normalization.apply(image, shape, out);
            if let Some((draw, variation)) = varied {
                erase(out, shape, variation.erasing, draw);
            }
        });
        Ok(pixels)
    }
}

/// Some of the records of a set.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pictures: Arc<dyn Pictures>,
    records: Range<usize>,
}

impl Part {
    pub(super) fn whole(pictures: Arc<dyn Pictures>) -> Self {
        let records = 0..pictures.count();
        Self { pictures, records }
    }

    /// All but the last records, and those.
    pub(super) fn split_last(self, last: usize) -> [Self; 2] {
        let Range { start, end } = self.records;
        let middle = end.saturating_sub(last).max(start);
        [start..middle, middle..end].map(|records| Self { pictures: self.pictures.clone(), records })
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn shape(&self) -> ImageShape {
        self.pictures.shape()
    }

    pub(super) fn label(&self, record: usize) -> usize {
        self.pictures.label(self.records.start + record)
    }

    pub(super) fn normalised(
        &self,
        wanted: &[(usize, Option<Draw>)],
        variations: Variations,
    ) -> Result<Vec<f32>, DataError> {
        let wanted: Vec<_> =
            wanted.iter().map(|&(record, draw)| (self.records.start + record, draw)).collect();
        self.pictures.normalised(&wanted, variations)
    }
}
