//! Images of a batch mixed with each other, and their labels with them.
//!
//! Mixup (Zhang et al. 2018, *mixup: Beyond Empirical Risk Minimization*) adds two images, CutMix (Yun et al. 2019) puts a
//! rectangle of one into the other. Either way an image belongs to two classes, to each as much as is seen of it.

use super::ImageShape;
use super::augment::Draw;
use super::random::CounterRng;

/// Keeps the words of mixing apart from those of other users of the seed.
const STREAM: u64 = 0x6d69_7869;

/// How the images of a batch are mixed. Each number is the α of the Beta(α, α) that shares are drawn from; 0 is not at all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mixing {
    /// Of images that are added.
    pub mixup: f64,
    /// Of images that get a rectangle of another.
    pub cutmix: f64,
}

/// How the images of one batch are mixed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mixture {
    /// The share of an image in itself.
    Added(f32),
    /// What comes from the other: its first row and column, and those behind its last.
    Cut { rows: [usize; 2], columns: [usize; 2] },
}

impl Mixing {
    /// Images stay as they are.
    pub const NONE: Self = Self { mixup: 0.0, cutmix: 0.0 };

    /// Mixes each image of a batch with the one that is as far from the batch's end as it is from its start. Returns the
    /// share that each keeps of itself, which is the same for all, and none where images stay as they are.
    ///
    /// Where both ways are allowed each batch goes one of them, by chance.
    ///
    /// # Panics
    /// If `pixels` is not a whole number of images `[channels, height, width]`.
    pub fn apply(self, pixels: &mut [f32], shape: ImageShape, draw: Draw) -> Option<f64> {
        let mixture = self.drawn(shape, draw)?;
        let values = shape.values();
        assert_eq!(pixels.len() % values, 0, "whole images of {values} values");
        let images = pixels.len() / values;
        // The one in the middle of an odd number stays what it is.
        let (first, rest) = pixels.split_at_mut(images / 2 * values);
        let last = &mut rest[images % 2 * values..];
        let pairs = first.chunks_exact_mut(values).zip(last.chunks_exact_mut(values).rev());
        pairs.for_each(|(one, other)| mixture.exchange(one, other, shape));
        Some(mixture.share(shape))
    }

    fn drawn(self, shape: ImageShape, draw: Draw) -> Option<Mixture> {
        let mut rng = CounterRng::new(&[STREAM, draw.seed, draw.epoch, draw.record]);
        let is_cut = match (self.mixup > 0.0, self.cutmix > 0.0) {
            (false, false) => return None,
            (true, true) => rng.chance(0.5),
            (_, cutmix) => cutmix,
        };
        if !is_cut {
            return Some(Mixture::Added(symmetric_beta(self.mixup, &mut rng) as f32));
        }
        // A rectangle of the image's shape around a point anywhere in it; what is beyond the border is cut off.
        let side = (1.0 - symmetric_beta(self.cutmix, &mut rng)).sqrt();
        let mut span = |length: usize| {
            let (cut, middle) = ((side * length as f64) as usize, rng.below(length));
            [middle.saturating_sub(cut / 2), (middle + cut.div_ceil(2)).min(length)]
        };
        Some(Mixture::Cut { rows: span(shape.height), columns: span(shape.width) })
    }
}

impl Mixture {
    /// How much of an image is its own.
    fn share(self, shape: ImageShape) -> f64 {
        match self {
            Self::Added(share) => share.into(),
            Self::Cut { rows, columns } => {
                let cut = (rows[1] - rows[0]) * (columns[1] - columns[0]);
                1.0 - cut as f64 / (shape.height * shape.width) as f64
            }
        }
    }

    /// Gives each of two images what it gets of the other.
    fn exchange(self, one: &mut [f32], other: &mut [f32], shape: ImageShape) {
        match self {
            Self::Added(share) => {
                for (one, other) in one.iter_mut().zip(other) {
                    (*one, *other) =
                        (share * *one + (1.0 - share) * *other, share * *other + (1.0 - share) * *one);
                }
            }
            Self::Cut { rows, columns } => {
                for row in (0..shape.channels)
                    .flat_map(|channel| (rows[0]..rows[1]).map(move |row| channel * shape.height + row))
                {
                    let cut = row * shape.width + columns[0]..row * shape.width + columns[1];
                    one[cut.clone()].swap_with_slice(&mut other[cut]);
                }
            }
        }
    }
}

/// A number from Beta(α, α), α above 0 and not far above 1.
///
/// Of two uniform numbers to the power of 1/α whose sum is at most 1, the share of the first in it (Jöhnk 1964).
fn symmetric_beta(alpha: f64, rng: &mut CounterRng) -> f64 {
    loop {
        let uniform = [(); 2].map(|()| f64::from(rng.unit()));
        let [first, second] = uniform.map(|number| number.powf(1.0 / alpha));
        let sum = first + second;
        if sum == 0.0 {
            // Powers too small to be told apart: then one share is as good as all, that of the larger number.
            return if uniform[0] > uniform[1] { 1.0 } else { 0.0 };
        }
        if sum <= 1.0 {
            return first / sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape { channels: 2, height: 6, width: 8 };

    fn draw(record: u64) -> Draw {
        Draw { seed: 1, epoch: 2, record }
    }

    /// Images whose every value is their number.
    fn images(count: usize) -> Vec<f32> {
        (0..count).flat_map(|image| vec![image as f32; SHAPE.values()]).collect()
    }

    #[test]
    fn nothing_is_mixed_unless_asked_for() {
        let mut pixels = images(3);
        assert_eq!(Mixing::NONE.apply(&mut pixels, SHAPE, draw(0)), None);
        assert_eq!(pixels, images(3));
    }

    /// Of images 0 to 4 the last is mixed into the first, the middle one into itself.
    #[test]
    fn an_image_and_its_partner_are_added_as_the_share_says() {
        let mut pixels = images(5);
        let share = Mixing { mixup: 0.8, cutmix: 0.0 }.apply(&mut pixels, SHAPE, draw(0)).unwrap() as f32;
        assert!((0.0..=1.0).contains(&share));
        for (image, values) in pixels.chunks_exact(SHAPE.values()).enumerate() {
            let expected = share * image as f32 + (1.0 - share) * (4 - image) as f32;
            assert!(values.iter().all(|value| (value - expected).abs() < 1e-6), "{image}: {values:?}");
        }
    }

    #[test]
    fn a_rectangle_comes_from_the_partner_and_its_area_is_the_partners_share() {
        let mut cut = 0;
        for record in 0..200 {
            let mut pixels = images(4);
            let share = Mixing { mixup: 0.0, cutmix: 1.0 }.apply(&mut pixels, SHAPE, draw(record)).unwrap();
            for (image, values) in pixels.chunks_exact(SHAPE.values()).enumerate() {
                let own = values.iter().filter(|value| **value == image as f32).count();
                let partners = values.iter().filter(|value| **value == (3 - image) as f32).count();
                assert_eq!(own + partners, SHAPE.values());
                assert!((own as f64 / SHAPE.values() as f64 - share).abs() < 1e-9);
                cut += usize::from(partners > 0);
                let row_of = |row: &[f32]| row.iter().map(|value| *value != image as f32).collect::<Vec<_>>();
                let rows = values.chunks_exact(SHAPE.width).map(row_of).filter(|row| row.contains(&true));
                let rows: Vec<_> = rows.collect();
                // Of one kind, as in a rectangle, and one stretch.
                assert!(rows.iter().all(|row| *row == rows[0]));
                let changes =
                    rows.first().map_or(0, |row| row.windows(2).filter(|two| two[0] != two[1]).count());
                assert!(changes <= 2);
            }
        }
        assert!(cut > 400, "{cut} of 800");
    }

    #[test]
    fn a_mixture_is_a_pure_function_and_every_part_of_its_key_matters() {
        let mixed = |draw| {
            let mut pixels = images(2);
            Mixing { mixup: 0.8, cutmix: 1.0 }.apply(&mut pixels, SHAPE, draw);
            pixels
        };
        assert_eq!(mixed(draw(7)), mixed(draw(7)));
        for other in [draw(8), Draw { epoch: 3, ..draw(7) }, Draw { seed: 2, ..draw(7) }] {
            assert_ne!(mixed(draw(7)), mixed(other));
        }
    }

    /// Beta(α, α) has mean 1/2 and variance 1/(4(2α + 1)). Of 20,000 draws the mean strays by at most sqrt(1/4 / 20,000) =
    /// 0.0035, of which 5 are allowed; that of the squared distance, which is at most 1/4, by half as much at most.
    #[test]
    fn shares_have_the_moments_of_their_law() {
        const DRAWS: usize = 20_000;
        for alpha in [1e-300, 1e-10, 0.2, 0.8, 1.0, 2.0] {
            let mut rng = CounterRng::new(&[3]);
            let shares: Vec<f64> = (0..DRAWS).map(|_| symmetric_beta(alpha, &mut rng)).collect();
            let mean = shares.iter().sum::<f64>() / DRAWS as f64;
            let variance = shares.iter().map(|share| (share - 0.5).powi(2)).sum::<f64>() / DRAWS as f64;
            assert!((mean - 0.5).abs() < 0.0177, "{alpha}: {mean}");
            assert!((variance - 0.25 / (2.0 * alpha + 1.0)).abs() < 0.009, "{alpha}: {variance}");
        }
    }

    #[test]
    fn where_both_are_allowed_both_are_drawn() {
        let both = Mixing { mixup: 0.8, cutmix: 1.0 };
        let cut = (0..1000)
            .filter(|&record| matches!(both.drawn(SHAPE, draw(record)), Some(Mixture::Cut { .. })))
            .count();
        // Binomial(1000, 1/2) has deviation 16; 5 of those.
        assert!((420..580).contains(&cut), "{cut}");
    }
}
