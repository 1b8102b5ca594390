//! Pictures turned, sheared and shifted.

use crate::data::ImageShape;

/// What is seen where a picture ends: the mean colour of photographs.
const OUTSIDE: [f32; 3] = [124.0, 116.0, 104.0];

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

    /// Columns by a share of the row, rows by a share of the column.
    pub(super) fn shear(along_x: f32, along_y: f32) -> Self {
        Self { x: [1.0, along_x, 0.0], y: [along_y, 1.0, 0.0] }
    }

    /// By so many pixels.
    pub(super) fn shift(along_x: f32, along_y: f32) -> Self {
        Self { x: [1.0, 0.0, along_x], y: [0.0, 1.0, along_y] }
    }
}

/// The picture as `map` has it, each pixel from the four around where it comes from.
pub(super) fn apply(picture: &mut [u8], shape: ImageShape, map: Map) {
    let ImageShape { height, width, .. } = shape;
    let middle = [width, height].map(|side| 0.5 * (side as f32 - 1.0));
    for (channel, outside) in picture.chunks_exact_mut(height * width).zip(OUTSIDE) {
        let whole = channel.to_vec();
        let at = |row: i32, column: i32| {
            let inside = (0..height as i32).contains(&row) && (0..width as i32).contains(&column);
            if inside { f32::from(whole[row as usize * width + column as usize]) } else { outside }
        };
        for (place, value) in channel.iter_mut().enumerate() {
            let [x, y] = [(place % width) as f32 - middle[0], (place / width) as f32 - middle[1]];
            let from = |[a, b, c]: [f32; 3], middle: f32| a * x + b * y + c + middle;
            let (x, y) = (from(map.x, middle[0]), from(map.y, middle[1]));
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
        // 1.5 is rounded away from zero, and of 3 and 124 the mean is 63.5.
        assert_eq!(moved(Map::shift(0.5, 0.0))[..3], [2, 3, 64]);
    }

    #[test]
    fn a_quarter_turn_is_exact_but_for_rounding() {
        assert_eq!(moved(Map::rotation(90.0)), [3, 6, 9, 2, 5, 8, 1, 4, 7]);
    }

    #[test] // The rows above and below the middle move by one pixel each way.
    fn shearing_moves_rows_by_their_distance_from_the_middle() {
        assert_eq!(moved(Map::shear(1.0, 0.0)), [124, 1, 2, 4, 5, 6, 8, 9, 124]);
        assert_eq!(moved(Map::shear(0.0, 1.0)), [124, 2, 6, 1, 5, 9, 4, 8, 124]);
    }
}
