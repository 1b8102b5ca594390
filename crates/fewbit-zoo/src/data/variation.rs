//! Everything that is done to images in training.

use super::augment::Augmentation;
use super::mixing::Mixing;

/// How training images are varied, one by one and then the images of a batch with each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Variation {
    /// Of sets whose images have one size: crop and mirror image. Pictures in folders are always cropped at random and
    /// mirrored.
    pub crop: Augmentation,
    /// About how strongly two operations change colour and shape, from 0 to [`MOST`](super::rand_augment::MOST).
    pub rand_augment: f32,
    /// The chance that a rectangle is replaced by noise.
    pub erasing: f32,
    /// How the images of a batch are mixed.
    pub mixing: Mixing,
}

impl From<Augmentation> for Variation {
    /// That and nothing else.
    fn from(crop: Augmentation) -> Self {
        Self { crop, rand_augment: 0.0, erasing: 0.0, mixing: Mixing::NONE }
    }
}
