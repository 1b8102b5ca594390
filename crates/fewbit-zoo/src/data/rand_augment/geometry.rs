//! Pictures turned, sheared and shifted.

use crate::data::ImageShape;

/// What is seen where a picture ends: the mean colour of photographs.
const OUTSIDE: [u8; 3] = [124, 116, 104];

/// Where a pixel is seen from: `x' = a·x + b·y + c` and `y' = d·x + e·y + f`, from the middle of the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Map {
    x: [f32; 3],
    y: [f32; 3],
}

impl Map {
    /// By so many degrees.
    pub(super) fn rotation(degrees: f32) -> Self {
        let (sine, cosine) = degrees.to_radians().sin_cos();
        Self { x: [cosine, -sine, 0.0], y: [sine, cosine, 0.0] }
    }

    /// Columns by a share of the row and rows by a share of the column, counted from the picture's first.
    pub(super) fn shear(along_x: f32, along_y: f32, shape: ImageShape) -> Self {
        let [x, y] = middle(shape);
        Self { x: [1.0, along_x, along_x * y], y: [along_y, 1.0, along_y * x] }
    }

    /// By so many pixels.
    pub(super) fn shift(along_x: f32, along_y: f32) -> Self {
        Self { x: [1.0, 0.0, along_x], y: [0.0, 1.0, along_y] }
    }
}

/// The column and the row of the middle of a picture.
fn middle(ImageShape { height, width, .. }: ImageShape) -> [f32; 2] {
    [width, height].map(|side| 0.5 * (side as f32 - 1.0))
}

/// The picture as `map` has it, each pixel from the four around where it comes from.
pub(super) fn apply(picture: &mut [u8], shape: ImageShape, map: Map) {
    let ImageShape { height, width, .. } = shape;
    let middle = middle(shape);
    for (channel, outside) in picture.chunks_exact_mut(height * width).zip(OUTSIDE) {
        let whole = channel.to_vec();
        // The nearest of the picture's own.
        let at = |row: i32, column: i32| {
            let row = row.clamp(0, height as i32 - 1) as usize;
            f32::from(whole[row * width + column.clamp(0, width as i32 - 1) as usize])
        };
        for (place, value) in channel.iter_mut().enumerate() {
            let [x, y] = [(place % width) as f32 - middle[0], (place / width) as f32 - middle[1]];
            let from = |[a, b, c]: [f32; 3], middle: f32| a * x + b * y + c + middle;
            let (x, y) = (from(map.x, middle[0]), from(map.y, middle[1]));
            // A pixel reaches half of itself around its middle.
            let is_inside = |at: f32, side: usize| (-0.5..side as f32 - 0.5).contains(&at);
            if !(is_inside(x, width) && is_inside(y, height)) {
                *value = outside;
                continue;
            }
            let (column, row) = (x.floor(), y.floor());
            let (right, down) = (x - column, y - row);
            let (column, row) = (column as i32, row as i32);
            let line = |row| (1.0 - right) * at(row, column) + right * at(row, column + 1);
            *value = ((1.0 - down) * line(row) + down * line(row + 1)).round() as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape { channels: 3, height: 3, width: 3 };

    /// The first channel has the numbers from 1 to 9.
    fn moved(map: Map) -> [u8; 9] {
        let mut picture: Vec<u8> = (0..27).map(|at| at % 9 + 1).collect();
        apply(&mut picture, SHAPE, map);
        picture[..9].try_into().unwrap()
    }

    #[test]
    fn what_comes_into_view_is_the_mean_colour() {
        assert_eq!(moved(Map::shift(1.0, 0.0)), [2, 3, 124, 5, 6, 124, 8, 9, 124]);
        assert_eq!(moved(Map::shift(0.0, -1.0)), [124, 124, 124, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn half_a_pixel_is_the_mean_of_two() {
        // 1.5 is rounded away from zero; half a pixel on from the last begins what is outside.
        assert_eq!(moved(Map::shift(0.5, 0.0))[..3], [2, 3, 124]);
        assert_eq!(moved(Map::shift(0.25, 0.0))[..3], [1, 2, 3]);
    }

    #[test]
    fn a_quarter_turn_is_exact_but_for_rounding() {
        assert_eq!(moved(Map::rotation(90.0)), [3, 6, 9, 2, 5, 8, 1, 4, 7]);
    }

    #[test] // The second row moves by one pixel and the third by two.
    fn shearing_moves_rows_by_their_distance_from_the_first() {
        assert_eq!(moved(Map::shear(1.0, 0.0, SHAPE)), [1, 2, 3, 5, 6, 124, 9, 124, 124]);
        assert_eq!(moved(Map::shear(0.0, 1.0, SHAPE)), [1, 5, 9, 4, 8, 124, 7, 124, 124]);
    }
}
