//! The 4 by 4 pixels that each tile of 2 by 2 outputs sees, so that sixteen tiles are a register.

#![expect(
    clippy::needless_range_loop,
    reason = "loops over a tile's rows and columns, whose numbers are registers"
)]

use std::ops::Range;

use super::views::LANES;
use crate::simd::Simd;

/// Patches of a band of rows of tiles, in an image with a border of one zero.
///
/// For each of the four columns of a patch there is a plane of the even rows of the image and one
/// of the odd rows: patches that lie one below the other share them.
#[derive(Clone, Debug)]
pub(super) struct Patches {
    size: [usize; 2],
    rows: Range<usize>,
}

impl Patches {
    /// The patches of these rows of tiles, in an image of even sides.
    pub(super) fn new(size: [usize; 2], rows: Range<usize>) -> Self {
        Self { size, rows }
    }

    pub(super) fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// Registers that hold a number of each tile.
    #[inline(always)]
    pub(super) fn registers(&self) -> usize {
        (self.rows.len() * self.size[1] / 2).div_ceil(LANES)
    }

    /// Numbers in a plane: a row more than tiles, what a last register has beyond it, and room at both
    /// ends for what a plane is moved by.
    #[inline(always)]
    fn plane_len(&self) -> usize {
        2 * LANES + self.registers() * LANES + (self.size[1] / 2).next_multiple_of(LANES)
    }

    /// Numbers in all planes, and in the rows that they are made of.
    pub(super) fn len(&self) -> usize {
        (8 + 4) * self.plane_len()
    }

    /// Writes the planes of a channel.
    ///
    /// # Panics
    /// When `channel` has not the pixels of the image, or `planes` not [`Self::len`] numbers.
    #[inline(always)]
    pub(super) fn fill<S: Simd>(&self, simd: S, channel: &[f32], planes: &mut [f32]) {
        let [height, width] = self.size;
        assert!(channel.len() == height * width && planes.len() == self.len(), "a channel and its planes");
        let (plane_len, columns) = (self.plane_len(), width / 2);
        let (planes, rows) = planes.split_at_mut(8 * plane_len);
        // The image is read once, in its order: where it is not in a cache, that is what takes the time.
        for place in 0..=self.rows.len() {
            for parity in 0..2 {
                // Row 0 of a patch is the one above its tile.
                let row = (2 * (self.rows.start + place) + parity).wrapping_sub(1);
                let out = &mut rows[2 * parity * plane_len + place * width..][..width];
                if row < height {
                    copy_row(&channel[row * width..][..width], out);
                } else {
                    out.fill(0.0);
                }
            }
        }
        for parity in 0..2 {
            let rows = &rows[2 * parity * plane_len..][..2 * plane_len];
            let planes = &mut planes[parity * 4 * plane_len..][..4 * plane_len];
            let registers = ((self.rows.len() + 1) * columns).div_ceil(LANES);
            assert!((registers + 2) * LANES <= plane_len, "room for a plane that is moved");
            let start = planes.as_mut_ptr().wrapping_add(LANES);
            for register in 0..registers {
                // SAFETY: the rows have the length of two planes, each plane has a register before
                // these and one after them.
                unsafe {
                    let pairs = rows.as_ptr().add(2 * register * LANES);
                    let [left, right] = simd.unzip(simd.load(pairs), simd.load(pairs.add(LANES)));
                    let out = start.add(register * LANES);
                    simd.store(right, out.add(1));
                    simd.store(left, out.add(plane_len));
                    simd.store(right, out.add(2 * plane_len));
                    simd.store(left, out.add(3 * plane_len).sub(1));
                }
            }
            // What was moved in from the neighbouring rows is the border.
            let [before, after] = [LANES, 3 * plane_len + LANES];
            for place in 0..=self.rows.len() {
                planes[before + place * columns] = 0.0;
                planes[after + (place + 1) * columns - 1] = 0.0;
            }
        }
    }

    /// The patches of sixteen tiles: of each row and column of a patch, the tiles' numbers.
    ///
    /// # Panics
    /// When `planes` has not [`Self::len`] numbers, or there is no such register.
    #[inline(always)]
    pub(super) fn load<S: Simd>(&self, simd: S, planes: &[f32], register: usize) -> [[S::Lanes; 4]; 4] {
        assert!(planes.len() == self.len() && register < self.registers(), "a register of the planes");
        let mut patch = [[simd.splat(0.0); 4]; 4];
        for row in 0..4 {
            for column in 0..4 {
                let plane = (row % 2 * 4 + column) * self.plane_len();
                let start = plane + LANES + row / 2 * (self.size[1] / 2) + register * LANES;
                // SAFETY: a plane has a row more than the registers.
                patch[row][column] = unsafe { simd.load(planes.as_ptr().add(start)) };
            }
        }
        patch
    }
}

/// Copies a row; those of small images with a length that the compiler knows.
#[inline(always)]
pub(super) fn copy_row(row: &[f32], out: &mut [f32]) {
    match row.len() {
        8 => out[..8].copy_from_slice(&row[..8]),
        16 => out[..16].copy_from_slice(&row[..16]),
        32 => out[..32].copy_from_slice(&row[..32]),
        _ => out.copy_from_slice(row),
    }
}
