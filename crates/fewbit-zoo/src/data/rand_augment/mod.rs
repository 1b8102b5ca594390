//! Pictures changed in colour and shape by operations that are drawn anew for each.
//!
//! RandAugment (Cubuk et al. 2019) with the operations and ranges that DeiT was trained with (Touvron et al. 2021, section 6: two
//! operations of magnitude 9 of 10, which strays by half): each of the two is one of fifteen, and is done every second time.
//! Where DeiT takes the colour between pixels from sixteen neighbours, four are taken here, and images of sets in memory are
//! cropped and mirrored after these operations and not before.

mod colours;
mod geometry;

use self::geometry::Map;
use super::ImageShape;
use super::augment::Draw;
use super::random::CounterRng;

/// Keeps the words of these operations apart from those of other users of the seed.
const STREAM: u64 = 0x7261_6e64;
/// Operations that are drawn for a picture.
const OPERATIONS: usize = 2;
/// The chance that one that is drawn is done.
const CHANCE: f32 = 0.5;
/// What magnitudes stray by.
const DEVIATION: f32 = 0.5;
/// The largest magnitude.
pub const MOST: f32 = 10.0;

/// The fifteen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    AutoContrast,
    Equalize,
    Invert,
    Rotate,
    Posterize,
    Solarize,
    SolarizeAdd,
    Colour,
    Contrast,
    Brightness,
    Sharpness,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
}

const ALL: [Operation; 15] = [
    Operation::AutoContrast,
    Operation::Equalize,
    Operation::Invert,
    Operation::Rotate,
    Operation::Posterize,
    Operation::Solarize,
    Operation::SolarizeAdd,
    Operation::Colour,
    Operation::Contrast,
    Operation::Brightness,
    Operation::Sharpness,
    Operation::ShearX,
    Operation::ShearY,
    Operation::TranslateX,
    Operation::TranslateY,
];

/// Changes a picture `[3, height, width]` by two operations of about `magnitude`, from 0 to [`MOST`]; 0 leaves it as it is.
///
/// # Panics
/// If `picture` has another length than `shape`, other than three channels, or no pixel.
pub fn rand_augment(picture: &mut [u8], shape: ImageShape, magnitude: f32, draw: Draw) {
    assert_eq!((picture.len(), shape.channels), (shape.values(), 3), "a picture of three channels");
    if magnitude <= 0.0 {
        return;
    }
    let mut rng = CounterRng::new(&[STREAM, draw.seed, draw.epoch, draw.record]);
    for _ in 0..OPERATIONS {
        // All are drawn whatever is done, so that the second does not depend on the first.
        let operation = ALL[rng.below(ALL.len())];
        let (is_done, is_negative) = (rng.chance(CHANCE), rng.chance(0.5));
        let strength = ((magnitude + DEVIATION * rng.bell()) / MOST).clamp(0.0, 1.0);
        if is_done {
            operation.apply(picture, shape, strength, if is_negative { -1.0 } else { 1.0 });
        }
    }
}

impl Operation {
    /// With a strength from 0 to 1, and a sign where there are two ways.
    fn apply(self, picture: &mut [u8], shape: ImageShape, strength: f32, sign: f32) {
        // From 0.1 to 1.9: 1 leaves the picture as it is.
        let factor = 1.0 + sign * 0.9 * strength;
        let pixels = shape.height * shape.width;
        let mut moved = |map: Map| geometry::apply(picture, shape, map);
        match self {
            Self::AutoContrast => colours::auto_contrast(picture, pixels),
            Self::Equalize => colours::equalize(picture, pixels),
            Self::Invert => picture.iter_mut().for_each(|value| *value = !*value),
            Self::Posterize => colours::posterize(picture, 4 - (4.0 * strength) as u32),
            Self::Solarize => colours::solarize(picture, 256 - (256.0 * strength) as u16),
            Self::SolarizeAdd => colours::solarize_add(picture, (110.0 * strength) as u8),
            Self::Colour => colours::saturate(picture, pixels, factor),
            Self::Contrast => colours::contrast(picture, pixels, factor),
            Self::Brightness => colours::brighten(picture, factor),
            Self::Sharpness => colours::sharpen(picture, shape, factor),
            Self::Rotate => moved(Map::rotation(sign * 30.0 * strength)),
            Self::ShearX => moved(Map::shear(sign * 0.3 * strength, 0.0, shape)),
            Self::ShearY => moved(Map::shear(0.0, sign * 0.3 * strength, shape)),
            Self::TranslateX => moved(Map::shift(sign * 0.45 * strength * shape.width as f32, 0.0)),
            Self::TranslateY => moved(Map::shift(0.0, sign * 0.45 * strength * shape.height as f32)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape { channels: 3, height: 24, width: 28 };

    fn picture() -> Vec<u8> {
        (0..SHAPE.values()).map(|at| (37 * at % 251) as u8).collect()
    }

    fn varied(magnitude: f32, record: u64) -> Vec<u8> {
        let mut changed = picture();
        rand_augment(&mut changed, SHAPE, magnitude, Draw { seed: 1, epoch: 2, record });
        changed
    }

    #[test]
    fn without_magnitude_nothing_changes() {
        assert_eq!(varied(0.0, 5), picture());
    }

    #[test]
    fn it_is_a_pure_function_of_the_draw() {
        assert_eq!(varied(9.0, 5), varied(9.0, 5));
        let other = (0..20).filter(|&record| varied(9.0, record) != varied(9.0, 5)).count();
        assert!(other > 10, "{other}");
    }

    /// A quarter stays, and an operation that happens to change nothing is rare.
    #[test]
    fn three_pictures_of_four_are_changed() {
        let changed = (0..1000).filter(|&record| varied(9.0, record) != picture()).count();
        // Binomial(1000, 3/4) has deviation 13.7; 5 of those.
        assert!((682..818).contains(&changed), "{changed}");
    }

    #[test]
    fn what_has_no_strength_leaves_a_picture_as_it_is() {
        let mild = ALL.into_iter().filter(|operation| {
            use Operation::{AutoContrast, Equalize, Invert, Posterize};
            ![AutoContrast, Equalize, Invert, Posterize].contains(operation)
        });
        for operation in mild {
            let mut changed = picture();
            operation.apply(&mut changed, SHAPE, 0.0, 1.0);
            assert_eq!(changed, picture(), "{operation:?}");
        }
    }

    #[test]
    fn every_operation_takes_pictures_of_any_size() {
        for (height, width) in [(1, 1), (1, 8), (8, 1), (2, 3)] {
            let shape = ImageShape { channels: 3, height, width };
            for operation in ALL {
                for (strength, sign) in [(0.0, 1.0), (1.0, 1.0), (1.0, -1.0)] {
                    operation.apply(&mut vec![100; shape.values()], shape, strength, sign);
                }
            }
        }
    }
}
