//! A part of a picture at another size, by a triangle filter.
//!
//! This is the bilinear filter with antialiasing of PIL and torchvision, but for the rounding: here it is done once, at
//! the end. Only sums, products and quotients in a fixed order: the same bytes on every machine.

use crate::data::picture::Picture;

/// What of one axis of a picture is seen, and at which scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// First source pixel of the part that is resized; what lies outside has no influence.
    pub(super) start: usize,
    /// Number of source pixels, at least 1.
    pub(super) length: usize,
    /// Number of pixels they become, at least 1.
    pub(super) resized: usize,
    /// First of those that is seen.
    pub(super) first: usize,
}

/// The source pixels that make one pixel, and how much each counts; all together count 1.
#[derive(Debug, PartialEq)]
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

impl Span {
    /// Those of `side` pixels, from [`first`](Self::first) on.
    fn taps(self, side: usize) -> Vec<Taps> {
        let scale = self.length as f64 / self.resized as f64;
        // Where pixels are lost the filter widens, so that every source pixel counts.
        let radius = scale.max(1.0);
        let taps = |position: usize| {
            // Source pixel i covers i..i+1.
            let centre = (position as f64 + 0.5) * scale;
            let first = (centre - radius).max(0.0) as usize;
            let end = ((centre + radius).ceil() as usize).min(self.length);
            let height = |pixel: usize| (1.0 - (pixel as f64 + 0.5 - centre).abs() / radius).max(0.0);
            let sum: f64 = (first..end).map(height).sum();
            let weights = (first..end).map(|pixel| (height(pixel) / sum) as f32).collect();
            Taps { first: self.start + first, weights }
        };
        (self.first..self.first + side).map(taps).collect()
    }
}

/// What is seen of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct View {
    pub(super) rows: Span,
    pub(super) columns: Span,
    /// Whether left and right are exchanged.
    pub(super) mirrored: bool,
}

impl View {
    /// Fills `out`, `[3, side, side]`, with what is seen.
    ///
    /// # Panics
    /// If `side` is 0, `out` has another length, or the view reaches beyond the picture.
    pub(super) fn render(self, picture: &Picture, side: usize, out: &mut [u8]) {
        assert!(side > 0, "an image has at least one pixel");
        assert_eq!(out.len(), 3 * side * side, "one byte per value of the image");
        let rows = self.rows.taps(side);
        let mut columns = self.columns.taps(side);
        if self.mirrored {
            columns.reverse();
        }
        // Taps begin and end further down from one to the next.
        let first_row = rows[0].first;
        let end_row = rows[side - 1].first + rows[side - 1].weights.len();
        // Width first: `[end_row - first_row, 3, side]`.
        let mut narrowed = Vec::with_capacity((end_row - first_row) * 3 * side);
        for row in first_row..end_row {
            let row = &picture.rgb[3 * row * picture.width..3 * (row + 1) * picture.width];
            for channel in 0..3 {
                narrowed.extend(columns.iter().map(|taps| {
                    let pixels = row[3 * taps.first..].chunks_exact(3);
                    let values = pixels.zip(&taps.weights);
                    values.map(|(pixel, weight)| f32::from(pixel[channel]) * weight).sum::<f32>()
                }));
            }
        }
        let mut sums = vec![0.0; side];
        for (channel, plane) in out.chunks_exact_mut(side * side).enumerate() {
            for (taps, values) in rows.iter().zip(plane.chunks_exact_mut(side)) {
                sums.fill(0.0);
                for (row, weight) in (taps.first..).zip(&taps.weights) {
                    let from = (3 * (row - first_row) + channel) * side;
                    for (sum, value) in sums.iter_mut().zip(&narrowed[from..from + side]) {
                        *sum += value * weight;
                    }
                }
                for (value, sum) in values.iter_mut().zip(&sums) {
                    // Nearest; the cast keeps to 0..=255.
                    *value = (sum + 0.5) as u8;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(length: usize, resized: usize) -> Span {
        Span { start: 0, length, resized, first: 0 }
    }

    /// Red counts up from 0 in reading order, green is 200 everywhere, blue counts down from 255.
    fn numbered(height: usize, width: usize) -> Picture {
        let rgb = (0..(height * width) as u8).flat_map(|number| [number, 200, 255 - number]).collect();
        Picture { height, width, rgb }
    }

    fn rendered(picture: &Picture, rows: Span, columns: Span, side: usize) -> Vec<u8> {
        let mut out = vec![0; 3 * side * side];
        View { rows, columns, mirrored: false }.render(picture, side, &mut out);
        out
    }

    #[test]
    fn the_same_size_is_the_same_picture() {
        let picture = numbered(7, 7);
        let out = rendered(&picture, whole(7, 7), whole(7, 7), 7);
        for (pixel, rgb) in picture.rgb.chunks_exact(3).enumerate() {
            assert_eq!([0, 49, 98].map(|plane| out[plane + pixel]), *rgb);
        }
    }

    #[test]
    fn a_part_at_its_own_size_is_that_part() {
        let picture = numbered(5, 6);
        let rows = Span { start: 1, length: 3, resized: 3, first: 1 };
        let columns = Span { start: 2, length: 4, resized: 4, first: 0 };
        // Rows 2 and 3, columns 2 and 3, of six to a row.
        assert_eq!(rendered(&picture, rows, columns, 2)[..4], [14, 15, 20, 21]);
    }

    #[test] // Four pixels to two: centre 1, radius 2; distances 0.5, 0.5, 1.5 give heights 3/4, 3/4, 1/4 of sum 7/4.
    fn shrinking_by_two_weighs_three_three_one() {
        let taps = whole(4, 2).taps(2);
        let weights = |numbers: [f64; 3]| numbers.map(|number| (number / 7.0) as f32);
        assert_eq!(taps[0], Taps { first: 0, weights: weights([3.0, 3.0, 1.0]).to_vec() });
        assert_eq!(taps[1], Taps { first: 1, weights: weights([1.0, 3.0, 3.0]).to_vec() });
    }

    #[test] // Two pixels to four: centres 0.25, 0.75, 1.25, 1.75 of pixels at 0.5 and 1.5; the border is not blended.
    fn enlarging_by_two_blends_the_neighbours() {
        let picture = Picture { height: 1, width: 2, rgb: [0, 0, 0, 100, 100, 100].to_vec() };
        let out = rendered(&picture, whole(1, 4), whole(2, 4), 4);
        assert_eq!(out[..4], [0, 25, 75, 100]);
        assert_eq!(out[12..16], [0, 25, 75, 100]);
    }

    #[test]
    fn weights_of_every_pixel_add_up_to_one_and_stay_inside() {
        for (length, resized) in [(1, 9), (2, 3), (3, 2), (9, 1), (10, 7), (7, 10), (500, 256), (375, 256)] {
            for taps in (Span { start: 4, ..whole(length, resized) }).taps(resized) {
                let sum: f32 = taps.weights.iter().sum();
                // Rounding of each of at most 20 weights.
                assert!((sum - 1.0).abs() < 20.0 * f32::EPSILON, "{length} to {resized}: {sum}");
                assert!(taps.first >= 4 && taps.first + taps.weights.len() <= 4 + length);
            }
        }
    }

    #[test]
    fn one_colour_stays_that_colour_at_every_size() {
        for value in [0, 1, 127, 255] {
            let picture = Picture { height: 11, width: 17, rgb: vec![value; 3 * 11 * 17] };
            for side in [1, 2, 10, 11, 12, 40] {
                let out = rendered(&picture, whole(11, side), whole(17, side), side);
                assert!(out.iter().all(|&found| found == value), "{value} at {side}");
            }
        }
    }

    #[test]
    fn a_mirrored_view_reads_from_right_to_left() {
        let picture = numbered(2, 2);
        let mut out = vec![0; 12];
        View { rows: whole(2, 2), columns: whole(2, 2), mirrored: true }.render(&picture, 2, &mut out);
        assert_eq!(out, [1, 0, 3, 2, 200, 200, 200, 200, 254, 255, 252, 253]);
    }
}
