//! Ink on a small grid of pixels, drawn by a round pen.

use super::skeletons::Point;

/// Width and height in pixels.
pub(super) const SIDE: usize = 28;

/// Share of ink per pixel, `0..=1`, row by row.
pub(super) struct Canvas {
    pub(super) ink: [f32; SIDE * SIDE],
}

/// What a line is drawn with.
#[derive(Clone, Copy)]
pub(super) struct Pen {
    /// Half the width of the line, in pixels.
    pub(super) radius: f32,
    /// Width of the seam in which full ink becomes none, in pixels: 1 is sharp, more is blurred.
    pub(super) seam: f32,
    /// Ink where it is full.
    pub(super) ink: f32,
}

impl Canvas {
    pub(super) const fn blank() -> Self {
        Self { ink: [0.0; SIDE * SIDE] }
    }

    /// Draws a line through points; where it crosses itself or others, the darker one counts.
    pub(super) fn draw(&mut self, line: &[Point], pen: Pen) {
        for piece in line.windows(2) {
            self.for_each_near(piece[0], piece[1], pen, |ink, covered| {
                *ink = ink.max(pen.ink * covered);
            });
        }
    }

    /// Takes the ink away under a straight line.
    pub(super) fn erase(&mut self, from: Point, to: Point, pen: Pen) {
        self.for_each_near(from, to, pen, |ink, covered| *ink *= 1.0 - pen.ink * covered);
    }

    /// Calls `paint` with each pixel that a straight line reaches and the share of it that is covered.
    fn for_each_near(&mut self, from: Point, to: Point, pen: Pen, mut paint: impl FnMut(&mut f32, f32)) {
        let reach = pen.radius + 0.5 * pen.seam;
        let pixels = |a: f32, b: f32| {
            // The centre of pixel i lies at i + 0.5. A cast to usize stops at 0 for what lies outside.
            let first = (a.min(b) - reach - 0.5).max(0.0) as usize;
            let end = ((a.max(b) + reach + 0.5).max(0.0) as usize).min(SIDE);
            first..end
        };
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length_squared = dx * dx + dy * dy;
        let scale = if length_squared > 0.0 { 1.0 / length_squared } else { 0.0 };
        for row in pixels(from.1, to.1) {
            let y = row as f32 + 0.5 - from.1;
            for column in pixels(from.0, to.0) {
                let x = column as f32 + 0.5 - from.0;
                // The nearest point of the line lies this share of the way along it.
                let along = ((x * dx + y * dy) * scale).clamp(0.0, 1.0);
                let (off_x, off_y) = (x - along * dx, y - along * dy);
                let distance = (off_x * off_x + off_y * off_y).sqrt();
                let covered = ((pen.radius - distance) / pen.seam + 0.5).clamp(0.0, 1.0);
                if covered > 0.0 {
                    paint(&mut self.ink[row * SIDE + column], covered);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEN: Pen = Pen { radius: 1.0, seam: 1.0, ink: 0.8 };

    #[test]
    fn a_line_is_as_wide_as_its_pen_and_ends_where_it_ends() {
        let mut canvas = Canvas::blank();
        canvas.draw(&[(5.0, 10.5), (15.0, 10.5)], PEN);
        let at = |row: usize, column: usize| canvas.ink[row * SIDE + column];
        // Row 10 has its centre on the line; rows 9 and 11 are 1 away, on the middle of the seam; row 8 is beyond.
        assert_eq!((at(10, 10), at(9, 10), at(11, 10)), (0.8, 0.4, 0.4));
        assert_eq!((at(8, 10), at(10, 2), at(10, 18)), (0.0, 0.0, 0.0));
    }

    #[test]
    fn a_line_beyond_the_border_is_cut_not_wrapped() {
        let mut canvas = Canvas::blank();
        for line in [[(-9.0, -9.0), (-5.0, -5.0)], [(40.0, 3.0), (60.0, 3.0)], [(3.0, 40.0), (3.0, 1e9)]] {
            canvas.draw(&line, PEN);
        }
        assert!(canvas.ink.iter().all(|&ink| ink == 0.0));
        canvas.draw(&[(-10.0, 14.0), (40.0, 14.0)], PEN);
        assert!(canvas.ink[14 * SIDE] > 0.0 && canvas.ink[14 * SIDE + SIDE - 1] > 0.0);
    }

    #[test]
    fn erasing_takes_ink_away_and_adds_none() {
        let mut canvas = Canvas::blank();
        canvas.draw(&[(14.0, 2.0), (14.0, 26.0)], PEN);
        let before = canvas.ink;
        canvas.erase((2.0, 14.0), (26.0, 14.0), PEN);
        assert!(canvas.ink.iter().zip(before).all(|(after, before)| *after <= before));
        assert!(canvas.ink[14 * SIDE + 14] < before[14 * SIDE + 14]);
    }
}
