//! A generated image set: distorted digits, grey, 28 × 28, hard enough that a small network errs on one in a hundred.
//!
//! A record is a pure function of (seed, split, number): the same bytes on every machine and with any number of
//! threads, and a larger training set begins with the smaller one. Only integer and IEEE basic operations decide a
//! pixel.

mod canvas;
mod pose;
mod skeletons;

use rayon::prelude::*;

use self::canvas::{Canvas, Pen, SIDE};
use self::pose::Pose;
use self::skeletons::{DIGITS, Point};
use super::random::CounterRng;
use super::{ImageData, ImageSet, ImageShape};

/// Images in the test set, whatever the size of the training set.
pub const TEST_IMAGES: usize = 10_000;
/// Images in the training set unless another number is asked for.
pub const DEFAULT_TRAIN_IMAGES: usize = 50_000;
/// Shape of each image.
pub const SHAPE: ImageShape = ImageShape { channels: 1, height: SIDE, width: SIDE };
/// Keeps the words of this generator apart from those of other users of the seed; a change of the drawing below gets
/// another one, so that it is seen in every fingerprint.
const STREAM: u64 = 0x676c_7970_6801;

/// The part of the set that a record belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// To learn from.
    Train,
    /// To be judged by.
    Test,
}

/// A training set of `train_images` and a test set of [`TEST_IMAGES`].
pub fn generate(seed: u64, train_images: usize) -> ImageData {
    ImageData {
        train: generate_split(seed, Split::Train, train_images),
        test: generate_split(seed, Split::Test, TEST_IMAGES),
    }
}

/// The first `count` records of one part; record `i` shows digit `i mod 10`.
pub fn generate_split(seed: u64, split: Split, count: usize) -> ImageSet {
    let digit_of = |record: usize| record % DIGITS.len();
    let mut pixels = vec![0; count * SHAPE.values()];
    pixels.par_chunks_exact_mut(SHAPE.values()).enumerate().for_each(|(record, image)| {
        let mut rng = CounterRng::new(&[STREAM, seed, split as u64, record as u64]);
        draw_digit(digit_of(record), &mut rng, image);
    });
    let labels = (0..count).map(|record| digit_of(record) as u8).collect();
    ImageSet::new(SHAPE, DIGITS.len(), pixels, labels)
        .expect("one image was drawn per label, and the label is a digit")
}

/// Draws one image, row by row.
fn draw_digit(digit: usize, rng: &mut CounterRng, image: &mut [u8]) {
    let ways = DIGITS[digit];
    let way = ways[rng.below(ways.len())];
    let pose = Pose::random(rng, SIDE);
    let seam = rng.between(0.9, 2.2);
    let radius = rng.between(0.6, 1.7);
    let mut canvas = Canvas::blank();
    for &stroke in way {
        // Each stroke presses a little differently.
        let pen = Pen { radius: radius * rng.between(0.85, 1.15), seam, ink: rng.between(0.8, 1.0) };
        canvas.draw(&pose.trace(stroke), pen);
    }
    scratch(&mut canvas, rng);
    clutter(&mut canvas, rng, seam);
    expose(&canvas, rng, image);
}

/// Now and then takes away a straight stripe, as a fold in the paper does.
fn scratch(canvas: &mut Canvas, rng: &mut CounterRng) {
    if !rng.chance(0.3) {
        return;
    }
    let pen = Pen { radius: rng.between(0.5, 1.6), seam: 1.0, ink: rng.between(0.6, 1.0) };
    let (from, to) = opposite_border_points(rng);
    canvas.erase(from, to, pen);
}

/// Now and then adds what does not belong to the digit: a thin line across, or bits of others at the border.
fn clutter(canvas: &mut Canvas, rng: &mut CounterRng, seam: f32) {
    if rng.chance(0.2) {
        let pen = Pen { radius: rng.between(0.2, 0.7), seam, ink: rng.between(0.4, 0.9) };
        let (from, to) = opposite_border_points(rng);
        canvas.draw(&[from, to], pen);
    }
    for _ in 0..rng.below(3) {
        let pen = Pen { radius: rng.between(0.5, 1.3), seam, ink: rng.between(0.4, 1.0) };
        let from = border_point(rng);
        let to = (from.0 + 2.5 * rng.bell(), from.1 + 2.5 * rng.bell());
        canvas.draw(&[from, to], pen);
    }
}

/// Two points on opposite sides of the image.
fn opposite_border_points(rng: &mut CounterRng) -> (Point, Point) {
    let side = SIDE as f32;
    let (start, end) = (rng.between(0.0, side), rng.between(0.0, side));
    if rng.chance(0.5) { ((0.0, start), (side, end)) } else { ((start, 0.0), (end, side)) }
}

fn border_point(rng: &mut CounterRng) -> Point {
    let ((x, y), far) = opposite_border_points(rng);
    if rng.chance(0.5) { (x, y) } else { far }
}

/// Makes grey values of ink: contrast, uneven light and grain vary from image to image.
fn expose(canvas: &Canvas, rng: &mut CounterRng, image: &mut [u8]) {
    let paper = rng.between(0.0, 0.25);
    let contrast = rng.between(0.35, 1.0 - paper);
    let grain = rng.between(0.01, 0.115);
    let (light_x, light_y) = (0.06 * rng.bell(), 0.06 * rng.bell());
    for (row, (values, ink)) in image.chunks_exact_mut(SIDE).zip(canvas.ink.chunks_exact(SIDE)).enumerate() {
        for (column, (value, ink)) in values.iter_mut().zip(ink).enumerate() {
            let across = |position: usize| position as f32 / (SIDE - 1) as f32 - 0.5;
            let light = light_x * across(column) + light_y * across(row);
            let grey = paper + contrast * ink + light + grain * rng.bell();
            // The cast stops at 0 and 255.
            *value = (255.0 * grey + 0.5) as u8;
        }
    }
}

#[cfg(test)]
mod tests;
