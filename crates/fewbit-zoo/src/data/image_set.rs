//! Images with labels, in memory as bytes.

use std::ops::Range;

use super::DataError;

/// Shape of every image of a set, `[channels, height, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageShape {
    /// 1 for grey, 3 for red, green, blue.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl ImageShape {
    /// Number of bytes of one image.
    pub const fn values(self) -> usize {
        self.channels * self.height * self.width
    }
}

/// Labelled images of one shape: record after record, in each the planes of its channels, in each its rows.
///
/// Holds by construction: one label per image, every label below [`classes`](Self::classes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSet {
    shape: ImageShape,
    classes: usize,
    pixels: Vec<u8>,
    labels: Vec<u8>,
}

impl ImageSet {
    /// Puts pixels and labels together.
    ///
    /// # Errors
    /// [`DataError::PixelCount`] unless there are `shape.values()` pixel values per label;
    /// [`DataError::LabelOutOfRange`] with the first label that is not below `classes`.
    pub fn new(
        shape: ImageShape,
        classes: usize,
        pixels: Vec<u8>,
        labels: Vec<u8>,
    ) -> Result<Self, DataError> {
        if shape.values().checked_mul(labels.len()) != Some(pixels.len()) {
            return Err(DataError::PixelCount {
                labels: labels.len() as u64,
                values_per_image: shape.values() as u64,
                pixels: pixels.len() as u64,
            });
        }
        if let Some((record, &found)) = first_bad_label(&labels, classes) {
            return Err(DataError::LabelOutOfRange { record, found, classes });
        }
        Ok(Self { shape, classes, pixels, labels })
    }

    /// Shape of each image.
    pub const fn shape(&self) -> ImageShape {
        self.shape
    }

    /// Number of classes; labels are below it.
    pub const fn classes(&self) -> usize {
        self.classes
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// All pixel values, `[len, channels, height, width]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// All labels.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// The pixel values of one image, `[channels, height, width]`.
    ///
    /// # Panics
    /// If there is no such record.
    pub fn image(&self, record: usize) -> &[u8] {
        let values = self.shape.values();
        &self.pixels[record * values..(record + 1) * values]
    }

    /// The label of one image.
    ///
    /// # Panics
    /// If there is no such record.
    pub fn label(&self, record: usize) -> u8 {
        self.labels[record]
    }

    /// A copy of some of the records, in order.
    ///
    /// # Panics
    /// If the range reaches beyond the last record.
    pub fn range(&self, records: Range<usize>) -> Self {
        let values = self.shape.values();
        Self {
            pixels: self.pixels[records.start * values..records.end * values].to_vec(),
            labels: self.labels[records].to_vec(),
            ..*self
        }
    }

    /// The first `len - last` records and the `last` ones, as for a validation split.
    ///
    /// With `last` above the number of records everything is in the second part.
    pub fn split_last(mut self, last: usize) -> (Self, Self) {
        let first = self.len().saturating_sub(last);
        let held_out = Self {
            pixels: self.pixels.split_off(first * self.shape.values()),
            labels: self.labels.split_off(first),
            ..self
        };
        (self, held_out)
    }

    fn add_to(&self, sum: &mut crc32fast::Hasher) {
        let ImageShape { channels, height, width } = self.shape;
        for number in [self.classes, self.len(), channels, height, width] {
            sum.update(&(number as u64).to_le_bytes());
        }
        sum.update(&self.pixels);
        sum.update(&self.labels);
    }
}

/// Record and value of the first label that is not below `classes`.
pub(super) fn first_bad_label(labels: &[u8], classes: usize) -> Option<(usize, &u8)> {
    labels.iter().enumerate().find(|&(_, &label)| usize::from(label) >= classes)
}

/// A set to learn from and a set to be judged by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageData {
    /// Images to train (and to validate) on.
    pub train: ImageSet,
    /// Images of the reported metric.
    pub test: ImageSet,
}

impl ImageData {
    /// Bytes that it takes in memory.
    pub fn bytes(&self) -> u64 {
        [&self.train, &self.test].map(|set| (set.pixels.len() + set.labels.len()) as u64).iter().sum()
    }

    /// CRC-32 of shapes, pixels and labels: tells a resumed run that its data changed.
    pub fn fingerprint(&self) -> u32 {
        let mut sum = crc32fast::Hasher::new();
        self.train.add_to(&mut sum);
        self.test.add_to(&mut sum);
        sum.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_PIXELS: ImageShape = ImageShape { channels: 1, height: 1, width: 2 };

    fn three_images() -> ImageSet {
        ImageSet::new(TWO_PIXELS, 3, vec![0, 1, 2, 3, 4, 5], vec![2, 0, 1]).unwrap()
    }

    #[test]
    fn an_image_is_its_own_pixels() {
        let set = three_images();
        assert_eq!((set.len(), set.image(1), set.label(1)), (3, &[2, 3][..], 0));
        assert_eq!(set.range(1..3).image(1), &[4, 5]);
    }

    #[test]
    fn a_split_keeps_every_record_in_order() {
        for (last, first_part) in [(0, 3), (1, 2), (3, 0), (9, 0)] {
            let (first, second) = three_images().split_last(last);
            assert_eq!(first.len(), first_part);
            assert_eq!([first.labels(), second.labels()].concat(), [2, 0, 1]);
            assert_eq!([first.pixels(), second.pixels()].concat(), [0, 1, 2, 3, 4, 5]);
        }
    }

    #[test]
    fn a_missing_pixel_is_an_error_with_both_counts() {
        let error = ImageSet::new(TWO_PIXELS, 3, vec![0; 5], vec![0; 3]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "an image set of 3 labels and 2 values per image needs 6 pixel values, 5 found"
        );
    }

    #[test]
    fn a_label_beyond_the_classes_is_an_error_with_its_record() {
        let error = ImageSet::new(TWO_PIXELS, 3, vec![0; 4], vec![2, 3]).unwrap_err();
        assert!(matches!(error, DataError::LabelOutOfRange { record: 1, found: 3, classes: 3 }));
    }

    #[test]
    fn the_fingerprint_sees_a_pixel_a_label_and_the_split() {
        let set = three_images();
        let data = |train: &ImageSet, test: &ImageSet| {
            ImageData { train: train.clone(), test: test.clone() }.fingerprint()
        };
        let mut pixel = set.clone();
        pixel.pixels[0] = 9;
        let mut label = set.clone();
        label.labels[0] = 1;
        let prints = [
            data(&set, &set),
            data(&pixel, &set),
            data(&label, &set),
            data(&set.range(0..1), &set.range(1..3)),
            data(&set.range(0..2), &set.range(2..3)),
        ];
        for (index, print) in prints.iter().enumerate() {
            assert!(!prints[..index].contains(print), "{prints:?}");
        }
    }
}
