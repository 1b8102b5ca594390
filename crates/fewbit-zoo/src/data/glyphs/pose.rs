//! Where and how crooked a digit stands: bent, turned, slanted, scaled and shifted.

use super::skeletons::{Point, Stroke};
use crate::data::random::CounterRng;

/// Bends of the box are given at the corners of this many cells each way.
const BEND_CELLS: usize = 3;
/// Short straight pieces that a curve becomes between two of its points.
const PIECES: usize = 5;

/// A random map from the skeletons' box to the pixels of the image.
pub(super) struct Pose {
    /// Displacement at each corner of the cells, in units of the box.
    bend: [[Point; BEND_CELLS + 1]; BEND_CELLS + 1],
    /// Pixels per unit: x and y of the image from x and y of the box, measured from the centre of both.
    matrix: [[f32; 2]; 2],
    centre: Point,
}

impl Pose {
    /// `side`: width and height of the image in pixels.
    pub(super) fn random(rng: &mut CounterRng, side: usize) -> Self {
        let mut bend = [[(0.0, 0.0); BEND_CELLS + 1]; BEND_CELLS + 1];
        let strength = rng.between(0.025, 0.08);
        for corner in bend.as_flattened_mut() {
            *corner = (strength * rng.bell(), strength * rng.bell());
        }
        let height = rng.between(14.0, 21.5);
        let width = height * rng.between(0.7, 1.12);
        let slant = 0.17 * rng.bell();
        let (sin, cos) = small_sin_cos(0.14 * rng.bell());
        let middle = side as f32 / 2.0;
        let shift = 1.4;
        Self {
            bend,
            // Rotation · [1 -slant; 0 1] · scale
            matrix: [
                [cos * width, -(sin + cos * slant) * height],
                [sin * width, (cos - sin * slant) * height],
            ],
            centre: (middle + shift * rng.bell(), middle + shift * rng.bell()),
        }
    }

    /// A point of the box in pixels of the image, the corner of the first pixel being (0, 0).
    pub(super) fn place(&self, (x, y): Point) -> Point {
        let (dx, dy) = self.bend_at(x, y);
        let (x, y) = (x + dx - 0.5, y + dy - 0.5);
        let [row_x, row_y] = self.matrix;
        (self.centre.0 + row_x[0] * x + row_x[1] * y, self.centre.1 + row_y[0] * x + row_y[1] * y)
    }

    /// The displacement at a point of the box: bilinear between the corners of its cell.
    fn bend_at(&self, x: f32, y: f32) -> Point {
        let cell = |position: f32| {
            let scaled = (position * BEND_CELLS as f32).clamp(0.0, BEND_CELLS as f32);
            let index = (scaled as usize).min(BEND_CELLS - 1);
            (index, scaled - index as f32)
        };
        let ((column, right), (row, down)) = (cell(x), cell(y));
        let corners = [
            (self.bend[row][column], (1.0 - right) * (1.0 - down)),
            (self.bend[row][column + 1], right * (1.0 - down)),
            (self.bend[row + 1][column], (1.0 - right) * down),
            (self.bend[row + 1][column + 1], right * down),
        ];
        corners.iter().fold((0.0, 0.0), |sum, &((dx, dy), share)| (sum.0 + share * dx, sum.1 + share * dy))
    }

    /// A stroke as a line of short straight pieces, in pixels.
    pub(super) fn trace(&self, stroke: Stroke) -> Vec<Point> {
        let placed =
            |points: &[Point]| -> Vec<Point> { points.iter().map(|&point| self.place(point)).collect() };
        match stroke {
            Stroke::Corners(points) => placed(points),
            Stroke::Curve(points) => smooth(&placed(points), false),
            Stroke::Loop(points) => smooth(&placed(points), true),
        }
    }
}

/// The Catmull-Rom curve through the points; `closed` leads back to the first.
fn smooth(points: &[Point], closed: bool) -> Vec<Point> {
    let count = points.len();
    let spans = if closed { count } else { count - 1 };
    let at = |index: isize| {
        if closed {
            points[index.rem_euclid(count as isize) as usize]
        } else {
            points[index.clamp(0, count as isize - 1) as usize]
        }
    };
    let mut line = Vec::with_capacity(spans * PIECES + 1);
    line.push(points[0]);
    for span in 0..spans as isize {
        let around = [at(span - 1), at(span), at(span + 1), at(span + 2)];
        for piece in 1..=PIECES {
            let t = piece as f32 / PIECES as f32;
            let along = |[a, b, c, d]: [f32; 4]| {
                let slope = c - a;
                let square = 2.0 * a - 5.0 * b + 4.0 * c - d;
                let cube = 3.0 * (b - c) + d - a;
                b + 0.5 * t * (slope + t * (square + t * cube))
            };
            line.push((along(around.map(|p| p.0)), along(around.map(|p| p.1))));
        }
    }
    line
}

/// Sine and cosine by their series, for angles below one: the same bits on every machine.
fn small_sin_cos(angle: f32) -> (f32, f32) {
    let square = angle * angle;
    let sin = angle * (1.0 - square / 6.0 * (1.0 - square / 20.0 * (1.0 - square / 42.0)));
    let cos = 1.0 - square / 2.0 * (1.0 - square / 12.0 * (1.0 - square / 30.0));
    (sin, cos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_goes_through_its_points_and_a_loop_comes_back() {
        let points = [(0.0, 0.0), (4.0, 1.0), (5.0, 6.0)];
        for closed in [false, true] {
            let line = smooth(&points, closed);
            for (index, point) in points.iter().enumerate() {
                assert_eq!(line[index * PIECES], *point);
            }
            assert_eq!(line.last() == Some(&points[0]), closed);
        }
    }

    #[test]
    fn the_series_agree_with_the_library_for_the_angles_that_occur() {
        for step in -50..=50 {
            let angle = step as f32 * 0.01;
            let (sin, cos) = small_sin_cos(angle);
            // The first term left out is 0.5^8 / 8! = 1e-7.
            assert!((sin - angle.sin()).abs() < 3e-7 && (cos - angle.cos()).abs() < 3e-7);
        }
    }

    #[test]
    fn the_bend_is_continuous_where_cells_meet() {
        let pose = Pose::random(&mut CounterRng::new(&[5]), 28);
        let edge = 1.0 / BEND_CELLS as f32;
        let (left, right) = (pose.place((edge - 1e-5, 0.4)), pose.place((edge + 1e-5, 0.4)));
        // 2e-5 of a box of 22 pixels, bent by at most a few times.
        assert!((left.0 - right.0).abs() < 5e-3 && (left.1 - right.1).abs() < 5e-3);
    }
}
