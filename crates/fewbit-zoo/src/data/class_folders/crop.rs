//! What is seen of a picture: its middle in evaluation, a random part in training.

use super::resize::{Span, View};
use crate::data::augment::Draw;
use crate::data::random::CounterRng;

/// Keeps the words of crops apart from those of other users of the seed.
const STREAM: u64 = 0x6372_6f70;
/// The share of a picture's area that a random part may have.
const AREA: (f32, f32) = (0.08, 1.0);
/// The natural logarithm of 4/3, the longest that a random part may be beside its other side.
const LN_LONGEST: f64 = 0.287_682_072_451_780_9;
/// Parts that are tried before one is taken that always fits.
const TRIES: usize = 10;

impl View {
    /// The middle of a picture whose shorter side becomes 8/7 of `side`, as 256 is of 224.
    ///
    /// An odd pixel that is cut is cut below and on the right.
    pub(super) fn centre(height: usize, width: usize, side: usize) -> Self {
        // To the nearest.
        let shorter = (16 * side + 7) / 14;
        let axis = |length: usize| {
            let resized = shorter * length / height.min(width);
            Span { start: 0, length, resized, first: (resized - side) / 2 }
        };
        Self { rows: axis(height), columns: axis(width), mirrored: false }
    }

    /// A random part, resized to `side` whatever its shape, mirrored in every other picture.
    ///
    /// Its area is uniform in 0.08 to 1 of the picture's, the logarithm of its shape uniform between 3/4 and 4/3; a
    /// part that would not fit is drawn again, and after ten the largest in the middle that has such a shape is taken
    /// (Szegedy et al. 2014, section 6, as torchvision's `RandomResizedCrop` has it).
    pub(super) fn drawn(height: usize, width: usize, side: usize, draw: Draw) -> Self {
        let mut rng = CounterRng::new(&[STREAM, draw.seed, draw.epoch, draw.record]);
        // First, so that it does not depend on how many parts are tried.
        let mirrored = rng.chance(0.5);
        let axis = |start, length| Span { start, length, resized: side, first: 0 };
        let part = (0..TRIES).find_map(|_| {
            let area = (height * width) as f64 * f64::from(rng.between(AREA.0, AREA.1));
            let shape = exponential(LN_LONGEST * f64::from(rng.between(-1.0, 1.0)));
            let [part_height, part_width] =
                [area / shape, area * shape].map(|square| square.sqrt().round() as usize);
            let fits = (1..=height).contains(&part_height) && (1..=width).contains(&part_width);
            fits.then(|| {
                let (top, left) = (rng.below(height - part_height + 1), rng.below(width - part_width + 1));
                (axis(top, part_height), axis(left, part_width))
            })
        });
        let (rows, columns) = part.unwrap_or_else(|| {
            let (part_height, part_width) = largest(height, width);
            (axis((height - part_height) / 2, part_height), axis((width - part_width) / 2, part_width))
        });
        Self { rows, columns, mirrored }
    }
}

/// Height and width of the largest part whose sides are at most as 3 to 4.
fn largest(height: usize, width: usize) -> (usize, usize) {
    let longest = |other: usize| (4 * other + 1) / 3;
    (height.min(longest(width)), width.min(longest(height)))
}

/// `e` to the power of a number in `-0.3..=0.3`, to 14 digits.
///
/// Written out, because the last bits of the system's differ between machines, and with them, once in a long while, a
/// crop.
fn exponential(power: f64) -> f64 {
    (1..=10).rev().fold(1.0, |series, term| 1.0 + series * power / f64::from(term))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(record: u64) -> Draw {
        Draw { seed: 3, epoch: 5, record }
    }

    #[test] // 500 wide becomes 256 · 500 / 375 = 341 (and a third), of which 224 begin at 58 (and a half).
    fn evaluation_sees_the_middle_of_224_in_256() {
        let view = View::centre(375, 500, 224);
        assert_eq!(view.rows, Span { start: 0, length: 375, resized: 256, first: 16 });
        assert_eq!(view.columns, Span { start: 0, length: 500, resized: 341, first: 58 });
        assert!(!view.mirrored);
    }

    #[test] // 8/7 of 32 is 36.57, of 7 is 8, of 1 is 1.14.
    fn the_shorter_side_is_eight_sevenths_to_the_nearest() {
        for (side, shorter) in [(32, 37), (7, 8), (1, 1)] {
            assert_eq!(View::centre(50, 50, side).rows.resized, shorter);
        }
    }

    #[test]
    fn a_draw_is_a_pure_function_and_every_part_of_its_key_matters() {
        let view = |draw| View::drawn(300, 400, 224, draw);
        assert_eq!(view(draw(7)), view(draw(7)));
        let base = draw(7);
        for other in [draw(8), Draw { epoch: 6, ..base }, Draw { seed: 4, ..base }] {
            assert_ne!(view(base), view(other));
        }
    }

    /// 10,000 draws: a share of probability 1/2 strays by sqrt(1/40,000) = 0.005, and 5 of those are allowed. The law
    /// of the area has mean 0.54; parts that do not fit, large ones most often, are drawn again, so it is only bounded.
    #[test]
    fn parts_lie_inside_and_have_the_named_areas_and_shapes() {
        let (height, width) = (600, 800);
        let (mut mirrored, mut wide, mut area) = (0.0, 0.0, 0.0);
        for record in 0..10_000 {
            let view = View::drawn(height, width, 224, draw(record));
            let (rows, columns) = (view.rows.length as f64, view.columns.length as f64);
            assert!(view.rows.start + view.rows.length <= height);
            assert!(view.columns.start + view.columns.length <= width);
            // A rounded side is off by half a pixel, of at least 170: its square is 480,000 · 0.08 / (4/3).
            assert!((0.745..1.342).contains(&(columns / rows)), "{view:?}");
            assert!((0.079..=1.0).contains(&(rows * columns / 480_000.0)), "{view:?}");
            mirrored += f64::from(view.mirrored) / 10_000.0;
            wide += f64::from(columns > rows) / 10_000.0;
            area += rows * columns / 480_000.0 / 10_000.0;
        }
        assert!((mirrored - 0.5f64).abs() < 0.025, "{mirrored}");
        // Wide parts fit a wide picture more often.
        assert!(wide > 0.475, "{wide}");
        assert!((0.3..0.54).contains(&area), "{area}");
    }

    #[test]
    fn a_picture_of_any_shape_has_a_part() {
        for (height, width) in [(1, 1), (1, 2), (1, 16_384), (16_384, 1), (3, 200)] {
            for record in 0..50 {
                let view = View::drawn(height, width, 8, draw(record));
                assert!(view.rows.length >= 1 && view.rows.start + view.rows.length <= height);
                assert!(view.columns.length >= 1 && view.columns.start + view.columns.length <= width);
            }
        }
    }

    #[test] // 4/3 of 3 is 4, of 1 is 1 (and a third), of 2 is 3 (2.67).
    fn the_largest_part_is_at_most_four_to_three() {
        assert_eq!(largest(3, 200), (3, 4));
        assert_eq!(largest(200, 1), (1, 1));
        assert_eq!(largest(2, 9), (2, 3));
        assert_eq!(largest(300, 400), (300, 400));
    }

    #[test]
    fn the_exponential_is_that_of_the_library_to_fourteen_digits() {
        for step in -30..=30 {
            let power = f64::from(step) / 100.0;
            assert!((exponential(power) / power.exp() - 1.0).abs() < 1e-13);
        }
        assert!((exponential(LN_LONGEST) - 4.0 / 3.0).abs() < 1e-13);
    }
}
