//! What single results of a convolution are computed from.

/// How a kernel is laid over images `[N, C, H, W]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub(super) images: [usize; 4],
    pub(super) stride: [usize; 2],
    pub(super) kernel: [usize; 2],
    pub(super) dilation: [usize; 2],
    pub(super) padding: [[usize; 2]; 2],
}

impl Geometry {
    /// Rows and columns of results.
    fn results(&self) -> [usize; 2] {
        let [_, _, height, width] = self.images;
        [0, 1].map(|axis| {
            let padded = [height, width][axis] + self.padding[axis].iter().sum::<usize>();
            let reach = self.dilation[axis] * (self.kernel[axis] - 1) + 1;
            if padded < reach { 0 } else { (padded - reach) / self.stride[axis].max(1) + 1 }
        })
    }

    /// Numbers that one result is computed from.
    pub(super) fn inputs(&self) -> usize {
        self.images[1] * self.kernel[0] * self.kernel[1]
    }

    /// The numbers of `most` results of each image, or of all if there are fewer, `[results, C·kh·kw]`: in the
    /// order of the weight's. Which ones differs from image to image, evenly over all places.
    pub(super) fn patches(&self, pixels: &[f32], most: usize) -> Vec<f32> {
        /// As a step through the places it meets them evenly, however many are taken: the golden ratio's part.
        const STEP: f64 = 0.618_033_988_749_895;
        let [rows, columns] = self.results();
        let places = rows * columns;
        let [count, channels, height, width] = self.images;
        let taken = most.min(places);
        let mut patches = Vec::with_capacity(count * taken * self.inputs());
        for (image, pixels) in pixels.chunks_exact((channels * height * width).max(1)).enumerate() {
            for turn in 0..taken {
                let place = if taken == places {
                    turn
                } else {
                    let at = ((image * taken + turn) as f64 * STEP).fract();
                    ((at * places as f64) as usize).min(places - 1)
                };
                let corner = [place / columns, place % columns];
                self.push_patch(pixels, corner, &mut patches);
            }
        }
        patches
    }

    fn push_patch(&self, pixels: &[f32], corner: [usize; 2], patches: &mut Vec<f32>) {
        let [_, channels, height, width] = self.images;
        // Of the padded image; beyond the image itself are zeros.
        let at = |axis: usize, tap: usize| {
            let padded = corner[axis] * self.stride[axis] + tap * self.dilation[axis];
            padded.checked_sub(self.padding[axis][0]).filter(|at| *at < [height, width][axis])
        };
        for channel in 0..channels {
            for tap_row in 0..self.kernel[0] {
                for tap_column in 0..self.kernel[1] {
                    let pixel = at(0, tap_row).zip(at(1, tap_column));
                    let pixel = pixel.map(|(row, column)| pixels[(channel * height + row) * width + column]);
                    patches.push(pixel.unwrap_or(0.0));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One image of two channels, 2 × 3, with a border of one row: a kernel of 2 × 2 has 3 × 2 results.
    #[test]
    fn patches_are_in_the_order_of_the_weight() {
        let geometry = Geometry {
            images: [1, 2, 2, 3],
            stride: [1, 1],
            kernel: [2, 2],
            dilation: [1, 1],
            padding: [[1, 1], [0, 0]],
        };
        let pixels = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0];
        let patches = geometry.patches(&pixels, 100);
        let patches: Vec<&[f32]> = patches.chunks(geometry.inputs()).collect();
        assert_eq!(patches.len(), 6);
        assert_eq!(patches[0], [0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 10.0, 20.0]);
        assert_eq!(patches[3], [2.0, 3.0, 5.0, 6.0, 20.0, 30.0, 50.0, 60.0]);
        assert_eq!(patches[4], [4.0, 5.0, 0.0, 0.0, 40.0, 50.0, 0.0, 0.0]);
    }

    #[test]
    fn a_stride_and_a_dilation_leave_pixels_out() {
        let geometry = Geometry {
            images: [1, 1, 1, 6],
            stride: [1, 2],
            kernel: [1, 2],
            dilation: [1, 3],
            padding: [[0, 0], [0, 0]],
        };
        let patches = geometry.patches(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], 100);
        assert_eq!(patches, [0.0, 3.0, 2.0, 5.0]);
    }

    #[test]
    fn a_few_places_of_many_images_are_spread_over_all() {
        let geometry = Geometry {
            images: [100, 1, 4, 4],
            stride: [1, 1],
            kernel: [1, 1],
            dilation: [1, 1],
            padding: [[0, 0], [0, 0]],
        };
        let pixels: Vec<f32> = (0..1600).map(|pixel| (pixel % 16) as f32).collect();
        let patches = geometry.patches(&pixels, 8);
        assert_eq!(patches.len(), 800);
        for place in 0..16 {
            let count = patches.iter().filter(|at| **at == place as f32).count();
            assert!((48..=52).contains(&count), "place {place}: {count}");
        }
    }
}
