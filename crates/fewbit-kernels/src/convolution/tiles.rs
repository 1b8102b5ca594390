//! A piece of work of the Winograd convolution: transforms, products, transforms back.

#![expect(
    clippy::needless_range_loop,
    reason = "loops over a tile's rows and columns, whose numbers are registers"
)]

use std::ops::Range;

use super::apply::TILE;
use super::blocks::{Target, Tile, blocks};
use super::correlation::Correlation;
use super::patches::{Patches, copy_row};
use super::views::LANES;
use super::winograd::POINTS;
use crate::simd::{LaneKernel, Simd};

/// A band of rows of tiles, of some images.
pub(super) struct Piece<'a> {
    pub(super) correlation: &'a Correlation,
    pub(super) weights: &'a [f32],
    /// Where the tiles of each source channel begin in a point.
    pub(super) offsets: &'a [usize],
    pub(super) bias: Option<&'a [f32]>,
    pub(super) source: &'a [f32],
    /// The images of the target, whose rows of this band nobody else has.
    pub(super) target: *mut f32,
    pub(super) images: usize,
    pub(super) patches: Patches,
}

/// Numbers of a point, `TILE` registers of each channel.
///
/// A register more, so that the sixteen points of a channel do not compete for one place of the cache.
const fn point_len(channels: usize) -> usize {
    (channels * TILE + 1) * LANES
}

impl Piece<'_> {
    /// Places for a number of each tile of all images.
    fn places(&self) -> usize {
        self.images * self.patches.registers() * LANES
    }

    /// Numbers for the patches of one channel, the transformed tiles, the products and the outputs.
    pub(super) fn room(&self) -> [usize; 4] {
        let [sources, targets] = [self.correlation.group_sources(), self.correlation.group_targets()];
        let tiles = self.places().div_ceil(TILE * LANES) * POINTS * point_len(sources);
        [self.patches.len(), tiles, POINTS * point_len(targets), targets * 4 * self.places()]
    }
}

pub(super) struct PieceKernel<'a, 'b> {
    pub(super) piece: Piece<'a>,
    pub(super) scratch: &'b mut [f32],
}

impl LaneKernel for PieceKernel<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let piece = &self.piece;
        let [patches_len, tiles_len, products_len, _] = piece.room();
        let (patches, rest) = self.scratch.split_at_mut(patches_len);
        let (tiles, rest) = rest.split_at_mut(tiles_len);
        let (products, outputs) = rest.split_at_mut(products_len);
        let registers = piece.images * piece.patches.registers();
        for group in 0..piece.correlation.groups {
            piece.transform_inputs(simd, group, patches, tiles);
            for first in (0..registers).step_by(TILE) {
                let some = first..registers.min(first + TILE);
                let tiles = &tiles[first / TILE * POINTS * point_len(piece.correlation.group_sources())..];
                piece.multiply(simd, group, some.len(), tiles, products);
                piece.transform_products(simd, group, some, products, outputs);
            }
            piece.write(group, outputs);
        }
    }
}

impl Piece<'_> {
    /// Writes `Bᵀ d B` of all tiles, `[registers][point][source channel][tile of these registers]`.
    #[inline(always)]
    fn transform_inputs<S: Simd>(&self, simd: S, group: usize, patches: &mut [f32], tiles: &mut [f32]) {
        let source = self.correlation.source;
        let sources = self.correlation.group_sources();
        let point_len = point_len(sources);
        for channel in 0..sources {
            for image in 0..self.images {
                let start = image * source.len() + (group * sources + channel) * source.channel_len();
                self.patches.fill(simd, &self.source[start..][..source.channel_len()], patches);
                for register in 0..self.patches.registers() {
                    let points = input_transform(simd, self.patches.load(simd, patches, register));
                    let place = image * self.patches.registers() + register;
                    let first = place / TILE * POINTS * point_len + (channel * TILE + place % TILE) * LANES;
                    let out = &mut tiles[first..][..(POINTS - 1) * point_len + LANES];
                    for row in 0..4 {
                        for column in 0..4 {
                            let out = out.as_mut_ptr().wrapping_add((4 * row + column) * point_len);
                            // SAFETY: `out` ends after a register of its last point.
                            unsafe { simd.store(points[row][column], out) };
                        }
                    }
                }
            }
        }
    }

    /// Writes the sums over the source channels, `[point][target channel][tile of these registers]`.
    #[inline(always)]
    fn multiply<S: Simd>(
        &self,
        simd: S,
        group: usize,
        registers: usize,
        tiles: &[f32],
        products: &mut [f32],
    ) {
        let [sources, targets] = [self.correlation.group_sources(), self.correlation.group_targets()];
        let point_weights = self.weights.len() / self.correlation.groups / POINTS;
        let weights = &self.weights[group * POINTS * point_weights..][..POINTS * point_weights];
        for point in 0..POINTS {
            let views = &tiles[point * point_len(sources)..][..sources * TILE * LANES];
            let weights = &weights[point * point_weights..][..point_weights];
            let products = &mut products[point * point_len(targets)..][..targets * TILE * LANES];
            let [channel_len, places] = [TILE * LANES; 2];
            let target = Target { start: products.as_mut_ptr(), channel_len, places };
            for block in blocks(targets) {
                let weights = &weights[block.first * sources..][..block.width * sources];
                let offsets = self.offsets;
                let tile = Tile { simd, offsets, block, bias: [0.0; 8], weights, views, target };
                // SAFETY: views and products have `TILE` registers of each channel.
                unsafe { tile.run(0..registers) };
            }
        }
    }

    /// Writes `Aᵀ m A` plus the bias: `[target channel][row of the tile][tile][column]`.
    #[inline(always)]
    fn transform_products<S: Simd>(
        &self,
        simd: S,
        group: usize,
        registers: Range<usize>,
        products: &[f32],
        outputs: &mut [f32],
    ) {
        let targets = self.correlation.group_targets();
        let [point_len, row_len] = [point_len(targets), 2 * self.places()];
        assert!(outputs.len() >= targets * 2 * row_len && 2 * registers.end * LANES <= row_len);
        assert!(products.len() >= POINTS * point_len && registers.len() <= TILE);
        for channel in 0..targets {
            let bias = simd.splat(self.bias.map_or(0.0, |bias| bias[group * targets + channel]));
            for register in 0..registers.len() {
                let mut points = [[bias; 4]; 4];
                for row in 0..4 {
                    for column in 0..4 {
                        let start = (4 * row + column) * point_len + (channel * TILE + register) * LANES;
                        // SAFETY: a register of a channel of a point, as asserted.
                        points[row][column] = unsafe { simd.load(products.as_ptr().add(start)) };
                    }
                }
                let pixels = output_transform(simd, points);
                for row in 0..2 {
                    let [left, right] = [simd.add(pixels[row][0], bias), simd.add(pixels[row][1], bias)];
                    let [low, high] = simd.zip(left, right);
                    let start = (channel * 2 + row) * row_len + 2 * (registers.start + register) * LANES;
                    // SAFETY: two registers of a row of a channel, as asserted.
                    unsafe {
                        simd.store(low, outputs.as_mut_ptr().add(start));
                        simd.store(high, outputs.as_mut_ptr().add(start + LANES));
                    }
                }
            }
        }
    }

    /// Writes the rows of the images, two for each row of tiles.
    #[inline(always)]
    fn write(&self, group: usize, outputs: &[f32]) {
        let target = self.correlation.target;
        let targets = self.correlation.group_targets();
        let [row_len, image_len] = [2 * self.places(), 2 * self.patches.registers() * LANES];
        let width = target.size[1];
        for channel in 0..targets {
            for image in 0..self.images {
                let start = image * target.len() + (group * targets + channel) * target.channel_len();
                for (place, row) in self.patches.rows().enumerate() {
                    for half in 0..2 {
                        let first = (channel * 2 + half) * row_len + image * image_len;
                        // SAFETY: this row of the image belongs to this piece alone.
                        let out = unsafe {
                            let row = self.target.add(start + (2 * row + half) * width);
                            std::slice::from_raw_parts_mut(row, width)
                        };
                        copy_row(&outputs[first + place * width..][..width], out);
                    }
                }
            }
        }
    }
}

/// `Bᵀ d B`.
#[inline(always)]
fn input_transform<S: Simd>(simd: S, d: [[S::Lanes; 4]; 4]) -> [[S::Lanes; 4]; 4] {
    let minus = simd.splat(-1.0);
    let mut columns = d;
    for column in 0..4 {
        let [a, b, c, e] = [d[0][column], d[1][column], d[2][column], d[3][column]];
        columns[0][column] = simd.multiply_add(minus, c, a);
        columns[1][column] = simd.add(b, c);
        columns[2][column] = simd.multiply_add(minus, b, c);
        columns[3][column] = simd.multiply_add(minus, e, b);
    }
    let mut points = columns;
    for row in 0..4 {
        let [a, b, c, e] = columns[row];
        points[row] = [
            simd.multiply_add(minus, c, a),
            simd.add(b, c),
            simd.multiply_add(minus, b, c),
            simd.multiply_add(minus, e, b),
        ];
    }
    points
}

/// `Aᵀ m A`.
#[inline(always)]
fn output_transform<S: Simd>(simd: S, m: [[S::Lanes; 4]; 4]) -> [[S::Lanes; 2]; 2] {
    let minus = simd.splat(-1.0);
    let mut rows = [m[0]; 2];
    for column in 0..4 {
        let [a, b, c, e] = [m[0][column], m[1][column], m[2][column], m[3][column]];
        rows[0][column] = simd.add(simd.add(a, b), c);
        rows[1][column] = simd.multiply_add(minus, simd.add(c, e), b);
    }
    let mut pixels = [[minus; 2]; 2];
    for row in 0..2 {
        let [a, b, c, e] = rows[row];
        pixels[row] = [simd.add(simd.add(a, b), c), simd.multiply_add(minus, simd.add(c, e), b)];
    }
    pixels
}
