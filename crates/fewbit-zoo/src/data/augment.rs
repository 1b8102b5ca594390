//! Images as a network wants them: normalised floats, and for training a random crop and flip.
//!
//! What comes out is a pure function of the image and (seed, epoch, record): a resumed run sees the same images.

use super::random::CounterRng;
use super::{DataError, ImageSet, ImageShape};

/// Keeps the words of augmentation apart from those of other users of the seed.
const STREAM: u64 = 0x6175_676d;

/// Mean and standard deviation of each channel, of pixel values in `0..=1`.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalization {
    /// Per channel: what a pixel is multiplied with, and what is then added.
    channels: Vec<(f32, f32)>,
}

impl Normalization {
    /// `(pixel / 255 - mean) / deviation`, channel by channel.
    ///
    /// # Errors
    /// [`DataError::Normalization`] unless there are equally many of both, all finite, deviations above 0.
    pub fn new(means: &[f32], deviations: &[f32]) -> Result<Self, DataError> {
        let usable = means.len() == deviations.len()
            && means.iter().chain(deviations).all(|number| number.is_finite())
            && deviations.iter().all(|&deviation| deviation > 0.0);
        if !usable {
            return Err(DataError::Normalization { means: means.len(), deviations: deviations.len() });
        }
        let statistics = means.iter().copied().zip(deviations.iter().copied());
        Ok(Self::from_statistics(statistics))
    }

    /// The statistics of a set; a constant channel gets deviation 1.
    pub fn measure(set: &ImageSet) -> Self {
        let shape = set.shape();
        let pixels = shape.height * shape.width;
        let count = (set.len() * pixels).max(1) as f64;
        Self::from_statistics((0..shape.channels).map(|channel| {
            // Integers: no rounding, whatever the order.
            let (mut sum, mut square) = (0u64, 0u64);
            for record in 0..set.len() {
                for &value in &set.image(record)[channel * pixels..(channel + 1) * pixels] {
                    sum += u64::from(value);
                    square += u64::from(value).pow(2);
                }
            }
            let mean = sum as f64 / count / 255.0;
            let variance = square as f64 / count / (255.0 * 255.0) - mean * mean;
            // A constant channel: what is left is rounding.
            let deviation = if variance > 1e-12 { variance.sqrt() } else { 1.0 };
            (mean as f32, deviation as f32)
        }))
    }

    fn from_statistics(statistics: impl Iterator<Item = (f32, f32)>) -> Self {
        Self {
            channels: statistics
                .map(|(mean, deviation)| (1.0 / (255.0 * deviation), -mean / deviation))
                .collect(),
        }
    }

    /// One image, `[channels, height, width]`, into `out` of the same length.
    ///
    /// # Panics
    /// If the image has another number of channels than there are means, or `out` another length than the image.
    pub fn apply(&self, image: &[u8], shape: ImageShape, out: &mut [f32]) {
        self.check(image, shape, out);
        let pixels = shape.height * shape.width;
        for (channel, &(scale, offset)) in self.channels.iter().enumerate() {
            let plane = channel * pixels..(channel + 1) * pixels;
            for (value, &pixel) in out[plane.clone()].iter_mut().zip(&image[plane]) {
                *value = f32::from(pixel) * scale + offset;
            }
        }
    }

    fn check(&self, image: &[u8], shape: ImageShape, out: &[f32]) {
        assert_eq!(shape.channels, self.channels.len(), "one mean per channel");
        assert_eq!(image.len(), shape.values(), "one byte per value of the image");
        assert_eq!(out.len(), image.len(), "one float per byte of the image");
    }
}

/// What lies beyond the border of an image that is cropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Pixel value 0, normalised like any other: what padding the picture itself gives.
    Black,
    /// 0 after normalisation: the mean colour of the set.
    Zero,
    /// The image mirrored at its border pixel, which is not repeated.
    Reflect,
}

/// How a training image is varied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Augmentation {
    /// The image is shifted by up to this many rows and columns each way, every shift equally likely.
    pub crop_padding: [usize; 2],
    /// What the shift brings into view.
    pub padding: Padding,
    /// Whether every other image, by chance, is mirrored left to right.
    pub horizontal_flip: bool,
}

impl Augmentation {
    /// The image as it is.
    pub const NONE: Self = Self { crop_padding: [0; 2], padding: Padding::Black, horizontal_flip: false };
    /// The usual one for CIFAR-10: crop with 4 pixels of black padding, horizontal flip (He et al. 2015, section 4.2).
    pub const CIFAR10: Self = Self { crop_padding: [4; 2], padding: Padding::Black, horizontal_flip: true };
    /// Spectrograms `[frames, bands]` moved by up to five frames, a tenth of a second (Warden 2018 does so), with silence
    /// behind.
    pub const TIME_SHIFT: Self =
        Self { crop_padding: [5, 0], padding: Padding::Black, horizontal_flip: false };
}

/// The random numbers that decide one image's variation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// The run's seed.
    pub seed: u64,
    /// Number of the epoch; of records that are repeated, a number for each time.
    pub epoch: u64,
    /// Number of the record in the training set.
    pub record: u64,
}

/// One image, varied and normalised, into `out`, `[channels, height, width]`.
///
/// # Panics
/// If the image has another number of channels than there are means, `out` another length than the image, or the
/// padding is [`Padding::Reflect`] and not smaller than the image.
pub fn augment(
    image: &[u8],
    shape: ImageShape,
    augmentation: Augmentation,
    normalization: &Normalization,
    draw: Draw,
    out: &mut [f32],
) {
    normalization.check(image, shape, out);
    let [rows, columns] = augmentation.crop_padding;
    assert!(
        augmentation.padding != Padding::Reflect || (rows < shape.height && columns < shape.width),
        "a mirrored border of {rows} rows and {columns} columns needs an image larger than that"
    );
    let mut rng = CounterRng::new(&[STREAM, draw.seed, draw.epoch, draw.record]);
    // All three are drawn whatever the settings, so that the crop stays the same when the flip is switched off.
    let down = rng.below(2 * rows + 1) as isize - rows as isize;
    let right = rng.below(2 * columns + 1) as isize - columns as isize;
    let mirrored = rng.chance(0.5) && augmentation.horizontal_flip;

    let columns: Vec<Option<usize>> = (0..shape.width)
        .map(|column| {
            let column = if mirrored { shape.width - 1 - column } else { column };
            source_index(column, right, shape.width, augmentation.padding)
        })
        .collect();
    let pixels = shape.height * shape.width;
    for (channel, &(scale, offset)) in normalization.channels.iter().enumerate() {
        let plane = &image[channel * pixels..(channel + 1) * pixels];
        let outside = match augmentation.padding {
            Padding::Black | Padding::Reflect => offset,
            Padding::Zero => 0.0,
        };
        let rows = out[channel * pixels..(channel + 1) * pixels].chunks_exact_mut(shape.width);
        for (row, values) in rows.enumerate() {
            let row = source_index(row, down, shape.height, augmentation.padding);
            for (value, &column) in values.iter_mut().zip(&columns) {
                *value = match (row, column) {
                    (Some(row), Some(column)) => {
                        f32::from(plane[row * shape.width + column]) * scale + offset
                    }
                    _ => outside,
                };
            }
        }
    }
}

/// The row or column of the image seen at `position` after a shift; `None` in the padding.
fn source_index(position: usize, shift: isize, side: usize, padding: Padding) -> Option<usize> {
    let index = position as isize + shift;
    let last = side as isize - 1;
    let index = match padding {
        Padding::Reflect if index < 0 => -index,
        Padding::Reflect if index > last => 2 * last - index,
        _ => index,
    };
    (0..=last).contains(&index).then_some(index as usize)
}

#[cfg(test)]
#[path = "augment_tests.rs"]
mod tests;
