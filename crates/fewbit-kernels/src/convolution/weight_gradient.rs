//! The gradient of the weights: each is the sum, over all images, of the products of two rows of numbers.
//!
//! The rows are the gradient of an output channel and what the weight's tap reads of an input
//! channel (a view of it, as in the forward pass), both in the order of the output's pixels.

use rayon::prelude::*;

use super::apply::{FEW, band_rows};
use super::correlation::Correlation;
use super::product::{Rows, dot_products};
use super::shape::Convolution;
use super::views::{LANES, Views, with_scratch};
use crate::dispatch::InstructionSet;
use crate::simd::{LaneKernel, Simd};

/// Parts of the batch that are summed for themselves, and then in their order.
const CHUNKS: usize = 16;
/// Numbers that the sums of all parts may fill; where weights are many there are fewer parts.
const SUMS: usize = 4 << 20;
/// Numbers that the views of several images may fill: most of the second cache.
const SCRATCH: usize = 128 << 10;
/// Registers of a row that make the cost of adding up the lanes small.
const LONG: usize = 64;

/// Writes the gradient of the weights.
pub(super) fn weight_gradient(
    set: InstructionSet,
    convolution: &Convolution,
    input: &[f32],
    gradient: &[f32],
    out: &mut [f32],
) {
    let correlation = &Correlation::forward(convolution);
    let rows = correlation.grid[0];
    let band_rows = band_rows(correlation, rows);
    let bands = rows.div_ceil(band_rows);
    let views = Views::new(correlation, band_rows);
    let pieces = convolution.batch * bands;
    if pieces == 0 || out.is_empty() {
        return out.fill(0.0);
    }
    let chunks = CHUNKS.min(pieces).min((SUMS / out.len()).max(2));
    let offsets: Vec<Row> = (0..correlation.group_sources())
        .flat_map(|channel| correlation.phases[0].taps.iter().map(move |tap| (channel, tap)))
        .map(|(channel, tap)| Row {
            channel,
            offset: views.offset(tap),
            weight: channel * convolution.kernel_len() + tap.place,
        })
        .collect();
    let registers = (band_rows * correlation.grid[1]).div_ceil(LANES);
    let views_len = correlation.group_sources() * views.channel_len;
    let rows_len = correlation.group_targets() * registers * LANES;
    // Several images together, where none is cut in bands, so that rows become long.
    let images = match bands {
        1 => (SCRATCH / views_len.max(1)).min(LONG.div_ceil(registers)).max(1),
        _ => 1,
    };
    let work = |(chunk, sums): (usize, &mut [f32])| {
        let pieces = chunk * pieces / chunks..(chunk + 1) * pieces / chunks;
        // A tap's last register may end after its view.
        with_scratch(images * (views_len + rows_len) + LANES, |scratch| {
            let rows = &offsets;
            let chunk = Chunk {
                correlation,
                views: &views,
                rows,
                bands,
                pieces,
                images,
                input,
                gradient,
                sums,
                scratch,
            };
            set.run_lanes(chunk);
        });
    };
    if chunks == 1 {
        out.fill(0.0);
        return work((0, out));
    }
    let mut sums = vec![0.0; chunks * out.len()];
    if convolution.products() < FEW {
        sums.chunks_exact_mut(out.len()).enumerate().for_each(work);
    } else {
        sums.par_chunks_exact_mut(out.len()).enumerate().for_each(work);
    }
    let (first, others) = sums.split_at(out.len());
    out.copy_from_slice(first);
    for sums in others.chunks_exact(out.len()) {
        for (out, sum) in out.iter_mut().zip(sums) {
            *out += sum;
        }
    }
}

/// What one weight of each output channel of a group is multiplied with.
#[derive(Clone, Copy)]
struct Row {
    channel: usize,
    /// Where its tap begins to read in a channel's views.
    offset: usize,
    /// Its place among the weights of an output channel.
    weight: usize,
}

impl Row {
    /// Where it begins in the views of so many images, of `view_len` numbers each.
    fn offset(self, images: usize, view_len: usize) -> usize {
        self.channel * images * view_len + self.offset
    }
}

/// Some pieces of work, each a band of an image's rows, added to `sums`.
struct Chunk<'a> {
    correlation: &'a Correlation,
    views: &'a Views,
    rows: &'a [Row],
    bands: usize,
    pieces: std::ops::Range<usize>,
    /// So many are taken together.
    images: usize,
    input: &'a [f32],
    gradient: &'a [f32],
    sums: &'a mut [f32],
    scratch: &'a mut [f32],
}

impl LaneKernel for Chunk<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let mut pieces = self.pieces.clone();
        while !pieces.is_empty() {
            let some = pieces.start..pieces.end.min(pieces.start + self.images);
            pieces.start = some.end;
            for group in 0..self.correlation.groups {
                self.add(simd, group, some.clone());
            }
        }
    }
}

impl Chunk<'_> {
    /// Adds the products of some pieces of equal height for one group.
    #[inline(always)]
    fn add<S: Simd>(&mut self, simd: S, group: usize, pieces: std::ops::Range<usize>) {
        let correlation = self.correlation;
        let Correlation { source, target, grid: [grid_rows, grid_columns], .. } = *correlation;
        let [sources, targets] = [correlation.group_sources(), correlation.group_targets()];
        let first_row = pieces.start % self.bands * self.views.band_rows;
        let band_rows = self.views.band_rows.min(grid_rows - first_row);
        let places = band_rows * grid_columns;
        let registers = places.div_ceil(LANES);
        let row_len = registers * LANES;
        // Channel after channel, in each image after image: what is read together lies together.
        let view_len = self.views.channel_len;
        let [channel_views, channel_rows] = [pieces.len() * view_len, pieces.len() * row_len];
        let (gradient, views) = self.scratch.split_at_mut(targets * channel_rows);
        for (place, piece) in pieces.clone().enumerate() {
            let image = piece / self.bands;
            for channel in 0..sources {
                let start = (image * source.channels + group * sources + channel) * source.channel_len();
                let pixels = &self.input[start..][..source.channel_len()];
                let views = &mut views[channel * channel_views + place * view_len..][..view_len];
                self.views.fill(pixels, source.size, first_row, band_rows, views);
            }
            for channel in 0..targets {
                let start = (image * target.channels + group * targets + channel) * target.channel_len();
                let start = start + first_row * grid_columns;
                let row = &mut gradient[channel * channel_rows + place * row_len..][..row_len];
                row[..places].copy_from_slice(&self.gradient[start..][..places]);
                row[places..].fill(0.0);
            }
        }
        let images = pieces.len();
        let rows = Rows { images, registers, left_stride: row_len, right_stride: view_len };
        let furthest = self.rows.iter().map(|row| row.offset(images, view_len)).max().unwrap_or(0);
        assert!(furthest + (images - 1) * view_len + row_len <= views.len(), "views of all images");
        let weights_of_channel = self.rows.len();
        let sums = &mut self.sums[group * targets * weights_of_channel..][..targets * weights_of_channel];
        for (four, sums) in sums.chunks_mut(4 * weights_of_channel.max(1)).enumerate() {
            // A channel or tap too few is made up by one twice, whose second sum is not used.
            let left = std::array::from_fn(|channel| {
                let channel = (4 * four + channel).min(targets - 1);
                gradient[channel * channel_rows..][..channel_rows].as_ptr()
            });
            for some in self.rows.chunks(4) {
                let right = std::array::from_fn(|row| {
                    let row = some[row.min(some.len() - 1)];
                    views[row.offset(images, view_len)..].as_ptr()
                });
                // SAFETY: a channel has `row_len` gradients of each image; the views' furthest row ends
                // inside of them, as asserted.
                let products = unsafe { dot_products(simd, rows, left, right) };
                for (sums, products) in
                    sums.chunks_exact_mut(weights_of_channel).zip(products.as_chunks::<4>().0)
                {
                    for (row, product) in some.iter().zip(products) {
                        sums[row.weight] += product;
                    }
                }
            }
        }
    }
}
