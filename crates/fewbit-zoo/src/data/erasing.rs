//! A rectangle of an image replaced by noise, so that no single part of it decides.
//!
//! Zhong et al. 2017, *Random Erasing Data Augmentation*, with a bell curve of mean 0 and variance 1 for each value of the
//! normalised image, as DeiT has it.

use super::ImageShape;
use super::augment::Draw;
use super::random::CounterRng;

/// Keeps the words of erasing apart from those of other users of the seed.
const STREAM: u64 = 0x6572_6173;
/// The share of an image's area that is erased.
const AREA: (f32, f32) = (0.02, 1.0 / 3.0);
/// The natural logarithm of 10/3, the longest that a rectangle may be beside its other side.
const LN_LONGEST: f32 = 1.203_972_8;
/// Rectangles that are tried; where none fits the image stays whole.
const TRIES: usize = 10;

/// Erases a rectangle of a normalised image `[channels, height, width]`, with a probability of `chance`.
///
/// Its area is uniform in 0.02 to 1/3 of the image's, the logarithm of its shape uniform between those of 3/10 and 10/3; one that
/// does not fit is drawn again.
///
/// # Panics
/// If `image` has another length than `shape`.
pub fn erase(image: &mut [f32], shape: ImageShape, chance: f32, draw: Draw) {
    assert_eq!(image.len(), shape.values(), "one float per value of the image");
    let mut rng = CounterRng::new(&[STREAM, draw.seed, draw.epoch, draw.record]);
    if !rng.chance(chance) {
        return;
    }
    let rectangle = (0..TRIES).find_map(|_| {
        let area = (shape.height * shape.width) as f32 * rng.between(AREA.0, AREA.1);
        let ratio = (LN_LONGEST * rng.between(-1.0, 1.0)).exp();
        let [height, width] = [area * ratio, area / ratio].map(|square| square.sqrt().round() as usize);
        let fits = (1..=shape.height).contains(&height) && (1..=shape.width).contains(&width);
        fits.then(|| {
            let (top, left) = (rng.below(shape.height - height + 1), rng.below(shape.width - width + 1));
            (top..top + height, left..left + width)
        })
    });
    let Some((rows, columns)) = rectangle else { return };
    for channel in 0..shape.channels {
        for row in rows.clone() {
            let start = (channel * shape.height + row) * shape.width;
            image[start + columns.start..start + columns.end].fill_with(|| rng.bell());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape { channels: 3, height: 20, width: 30 };

    fn erased(chance: f32, record: u64) -> Vec<f32> {
        let mut image = vec![9.0; SHAPE.values()];
        erase(&mut image, SHAPE, chance, Draw { seed: 1, epoch: 2, record });
        image
    }

    fn count(image: &[f32]) -> usize {
        // A bell curve here ends at 3.47.
        image.iter().filter(|value| **value != 9.0).count()
    }

    #[test]
    fn as_many_images_are_erased_as_the_chance_says() {
        assert_eq!(count(&erased(0.0, 0)), 0);
        let images = (0..1000).filter(|&record| count(&erased(0.25, record)) > 0).count();
        // Binomial(1000, 1/4) has deviation 13.7; 5 of those.
        assert!((182..318).contains(&images), "{images}");
    }

    /// Sides are rounded: of 600 pixels the least area is 12, as 2 × 6, and the largest 200, whose sides stray by half a
    /// pixel in ten at most.
    #[test]
    fn what_is_erased_is_one_rectangle_of_the_named_area_in_every_channel() {
        for record in 0..500 {
            let image = erased(1.0, record);
            let channel = &image[..SHAPE.values() / 3];
            let area = count(channel);
            assert_eq!(count(&image), 3 * area);
            assert!((8..=220).contains(&area), "{area}");
            let row_of = |row: &[f32]| row.iter().map(|value| *value != 9.0).collect::<Vec<_>>();
            let rows: Vec<_> = channel.chunks_exact(SHAPE.width).map(row_of).collect();
            let erased: Vec<usize> = (0..rows.len()).filter(|row| rows[*row].contains(&true)).collect();
            assert_eq!(erased.len(), 1 + erased[erased.len() - 1] - erased[0], "rows {erased:?}");
            assert!(erased.iter().all(|row| rows[*row] == rows[erased[0]]));
            let changes = rows[erased[0]].windows(2).filter(|two| two[0] != two[1]).count();
            assert!(changes <= 2, "one stretch of columns");
        }
    }

    #[test]
    fn it_is_a_pure_function_of_the_draw() {
        assert_eq!(erased(1.0, 3), erased(1.0, 3));
        assert_ne!(erased(1.0, 3), erased(1.0, 4));
    }
}
