//! Kernels of 3 by 3 with 16 products where 36 are written down: F(2x2, 3x3).
//!
//! An output of 2 by 2 pixels is `Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A`, with `g` the kernel and `d` the 4 by
//! 4 pixels that it sees. Summed over channels, each of the 16 points of the bracket is a product
//! of a matrix of weights with one of tiles, made as the direct convolution makes a tap's.
//!
//! Lavin and Gray 2016, "Fast algorithms for convolutional neural networks", section 4.1.

use rayon::prelude::*;

use super::apply::{FEW, PIECES, SCRATCH, Shared, TILE};
use super::blocks::blocks;
use super::correlation::Correlation;
use super::patches::Patches;
use super::shape::{Convolution, ConvolutionOptions};
use super::tiles::{Piece, PieceKernel};
use super::views::{LANES, with_scratch};
use crate::dispatch::InstructionSet;

/// Points of a transformed tile.
pub(super) const POINTS: usize = 16;
/// Channels below which the transforms cost more than they save.
const MANY: usize = 8;
/// Registers of tiles that make a piece of work long enough.
const REGISTERS: usize = 4;

/// Whether both passes of this convolution are faster this way.
///
/// Its kernel is 3 by 3 with a stride of 1, the image has even sides and a border of one pixel.
pub(super) fn pays(convolution: &Convolution) -> bool {
    let ConvolutionOptions { stride, padding, dilation, .. } = convolution.options;
    let [height, width] = convolution.size;
    let fits =
        convolution.kernel == [3; 2] && stride == [1; 2] && dilation == [1; 2] && padding == [[1; 2]; 2];
    let even = height % 2 == 0 && width % 2 == 0 && height > 0 && width > 0;
    fits && even && convolution.group_inputs() >= MANY && convolution.group_outputs() >= MANY
}

/// Writes the correlation of each of `batch` images of `source` to `target`.
///
/// # Panics
/// When a length does not fit the shapes, which the callers check.
pub(super) fn correlate(
    set: InstructionSet,
    correlation: &Correlation,
    batch: usize,
    source: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    target: &mut [f32],
) {
    let [source_len, target_len] = [correlation.source.len(), correlation.target.len()];
    assert!(source.len() == batch * source_len && target.len() == batch * target_len, "images of a batch");
    assert!(bias.is_none_or(|bias| bias.len() == correlation.target.channels), "a bias per channel");
    let [rows, columns] = correlation.grid.map(|side| side / 2);
    let room = correlation.group_sources() * columns * POINTS;
    let most = (2 * SCRATCH / room).min(rows.div_ceil(PIECES.div_ceil(batch.max(1)))).max(1);
    let band_rows = rows.div_ceil(rows.div_ceil(most));
    let bands = rows.div_ceil(band_rows);
    let registers = (band_rows * columns).div_ceil(LANES);
    let images = if bands == 1 { (REGISTERS / registers).clamp(1, batch.div_ceil(PIECES).max(1)) } else { 1 };
    let weights = &transformed_weights(correlation, weight);
    let offsets: &Vec<usize> =
        &(0..correlation.group_sources()).map(|channel| channel * TILE * LANES).collect();
    let target = Shared(target.as_mut_ptr());
    let work = |piece: usize| {
        let (first, band) = (piece / bands * images, piece % bands);
        let images = first..batch.min(first + images);
        let piece = Piece {
            correlation,
            weights,
            offsets,
            bias,
            source: &source[first * source_len..images.end * source_len],
            // SAFETY: image `first` begins there.
            target: unsafe { target.offset(first * target_len) },
            images: images.len(),
            patches: Patches::new(
                correlation.source.size,
                band * band_rows..rows.min((band + 1) * band_rows),
            ),
        };
        with_scratch(piece.room().iter().sum(), |scratch| set.run_lanes(PieceKernel { piece, scratch }));
    };
    let pieces = batch.div_ceil(images) * bands;
    if batch * target_len * correlation.group_sources() < FEW {
        (0..pieces).for_each(work);
    } else {
        (0..pieces).into_par_iter().for_each(work);
    }
}

/// `G g Gᵀ` of each kernel, `[group][point][block][source channel][target channel of the block]`.
fn transformed_weights(correlation: &Correlation, weight: &[f32]) -> Vec<f32> {
    let [sources, targets] = [correlation.group_sources(), correlation.group_targets()];
    let width: usize = blocks(targets).map(|block| block.width).sum();
    let [by_source, by_target] = correlation.weight_strides;
    let mut transformed = vec![0.0; correlation.groups * POINTS * sources * width];
    for (group, transformed) in transformed.chunks_exact_mut(POINTS * sources * width).enumerate() {
        for block in blocks(targets) {
            for source in 0..sources {
                let mut kernels = [[[0.0; 8]; 3]; 3];
                for tap in &correlation.phases[0].taps {
                    let [row, column] = tap.shift.map(|shift| (shift + 1) as usize);
                    let first = group * correlation.group_weights + source * by_source + tap.place;
                    for (target, number) in kernels[row][column][..block.count].iter_mut().enumerate() {
                        *number = weight[first + (block.first + target) * by_target];
                    }
                }
                // Rows, then columns: 3 numbers become 4.
                let rows = [0, 1, 2].map(|column| four([0, 1, 2].map(|row| kernels[row][column])));
                let points = [0, 1, 2, 3].map(|row| four([0, 1, 2].map(|column| rows[column][row])));
                for (row, points) in points.into_iter().enumerate() {
                    for (column, numbers) in points.into_iter().enumerate() {
                        let start = (4 * row + column) * sources * width + block.first * sources;
                        let out = &mut transformed[start + source * block.width..][..block.width];
                        out.copy_from_slice(&numbers[..block.width]);
                    }
                }
            }
        }
    }
    transformed
}

/// `G g`, for eight kernels side by side.
fn four([a, b, c]: [[f32; 8]; 3]) -> [[f32; 8]; 4] {
    let half = |sign: f32| std::array::from_fn(|lane| 0.5 * (a[lane] + sign * b[lane] + c[lane]));
    [a, half(1.0), half(-1.0), c]
}
