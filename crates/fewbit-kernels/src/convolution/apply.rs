//! Runs a correlation: the forward pass or the input gradient.
//!
//! Each piece of work is a band of grid rows of one image. Its views are made once per group of
//! channels, in a scratch that stays in the nearer caches, and then multiplied tile by tile: some
//! registers of pixels times some channels.

use std::ops::Range;

use rayon::prelude::*;

use super::blocks::{Target, Tile, blocks, interleave};
use super::correlation::{Correlation, Phase};
use super::views::{LANES, Views, with_scratch};
use crate::dispatch::InstructionSet;
use crate::simd::{LaneKernel, Simd};

/// Numbers that the views of a band may fill: some of the second cache.
pub(super) const SCRATCH: usize = 96 << 10;
/// Pieces of work to make where there are few images.
pub(super) const PIECES: usize = 8;
/// Products below which the calling thread does all.
pub(super) const FEW: usize = 1 << 18;
/// Registers of pixels that all channels are made of before the next are read.
pub(super) const TILE: usize = 4;

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
    if target.is_empty() {
        return;
    }
    let rows = correlation.grid[0];
    let band_rows = band_rows(correlation, rows.div_ceil(PIECES.div_ceil(batch)));
    let bands = rows.div_ceil(band_rows);
    let views = Views::new(correlation, band_rows);
    let parts: Vec<Part> =
        correlation.phases.iter().map(|phase| Part::new(correlation, &views, phase, weight)).collect();
    let target = Shared(target.as_mut_ptr());
    let work = |piece: usize| {
        let (image, band) = (piece / bands, piece % bands);
        let first = band * band_rows;
        let band = Band {
            correlation,
            views: &views,
            parts: &parts,
            bias,
            source: &source[image * source_len..][..source_len],
            // SAFETY: image `image` begins there.
            target: unsafe { target.offset(image * target_len) },
            rows: first..rows.min(first + band_rows),
        };
        with_scratch(band.scratch_len(), |scratch| set.run_lanes(BandKernel { band: &band, scratch }));
    };
    let products = batch * correlation.target.len() * correlation.group_sources();
    if products < FEW {
        (0..batch * bands).for_each(work);
    } else {
        (0..batch * bands).into_par_iter().for_each(work);
    }
}

/// Grid rows of a band: at most `most`, and no more than the scratch has room for where one is not too many.
pub(super) fn band_rows(correlation: &Correlation, most: usize) -> usize {
    let room = |rows: usize| Views::new(correlation, rows).channel_len * correlation.group_sources();
    let [one, two] = [room(1), room(2)];
    let fitting = SCRATCH.saturating_sub(one) / (two - one).max(1) + 1;
    let rows = correlation.grid[0];
    // Bands of about the same height.
    rows.div_ceil(rows.div_ceil(fitting.min(most).max(1)))
}

/// The images of the target, of which each band writes its own rows.
pub(super) struct Shared(pub(super) *mut f32);

// SAFETY: every number is written by one band only, and read by none.
unsafe impl Sync for Shared {}

impl Shared {
    /// # Safety
    /// The target has so many numbers or more.
    pub(super) unsafe fn offset(&self, numbers: usize) -> *mut f32 {
        // SAFETY: the caller's promise.
        unsafe { self.0.add(numbers) }
    }
}

/// What one phase of a correlation multiplies.
struct Part {
    /// Where each tap of each source channel of a group begins to read.
    offsets: Vec<usize>,
    /// `[group][block][offset][channel of the block]`; missing channels of the last block are 0.
    weights: Vec<f32>,
    group_len: usize,
}

impl Part {
    fn new(correlation: &Correlation, views: &Views, phase: &Phase, weight: &[f32]) -> Self {
        let sources = correlation.group_sources();
        let offsets: Vec<usize> = (0..sources)
            .flat_map(|channel| phase.taps.iter().map(move |tap| (channel, tap)))
            .map(|(channel, tap)| channel * views.channel_len + views.offset(tap))
            .collect();
        let targets = correlation.group_targets();
        let width: usize = blocks(targets).map(|block| block.width).sum();
        let group_len = offsets.len() * width;
        let mut weights = vec![0.0; correlation.groups * group_len];
        let [by_source, by_target] = correlation.weight_strides;
        for (group, packed) in weights.chunks_exact_mut(group_len.max(1)).enumerate() {
            let first = group * correlation.group_weights;
            for block in blocks(targets) {
                let packed = &mut packed[block.first * offsets.len()..][..block.width * offsets.len()];
                let mut packed = packed.chunks_exact_mut(block.width);
                for source in 0..sources {
                    for tap in &phase.taps {
                        let packed = packed.next().expect("one for each offset");
                        for (target, packed) in packed[..block.count].iter_mut().enumerate() {
                            let target = block.first + target;
                            *packed = weight[first + source * by_source + target * by_target + tap.place];
                        }
                    }
                }
            }
        }
        Self { offsets, weights, group_len }
    }
}

/// One piece of work.
struct Band<'a> {
    correlation: &'a Correlation,
    views: &'a Views,
    parts: &'a [Part],
    bias: Option<&'a [f32]>,
    source: &'a [f32],
    /// The image of the target, whose rows of this band nobody else has.
    target: *mut f32,
    rows: Range<usize>,
}

/// A piece of work with room for its views, and for its phases where they are not written in place.
///
/// The room is lent from outside: a closure in here would not be compiled for the instruction set.
struct BandKernel<'a, 'b> {
    band: &'a Band<'b>,
    scratch: &'a mut [f32],
}

impl LaneKernel for BandKernel<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Band { correlation, parts, target: image, ref rows, .. } = *self.band;
        let targets = correlation.group_targets();
        let registers = self.band.registers();
        let stage_len = registers * LANES;
        let (views, stages) = self.scratch.split_at_mut(self.band.views_len());
        for group in 0..correlation.groups {
            self.band.fill_views(group, views);
            for (phase, part) in parts.iter().enumerate() {
                let target = if self.band.in_place() {
                    let channel_len = correlation.target.channel_len();
                    let first = group * targets * channel_len + rows.start * correlation.grid[1];
                    // The band's first number of the group's first channel.
                    let start = image.wrapping_add(first);
                    Target { start, channel_len, places: rows.len() * correlation.grid[1] }
                } else {
                    let start = stages[phase * targets * stage_len..].as_mut_ptr();
                    Target { start, channel_len: stage_len, places: stage_len }
                };
                // SAFETY: in the image the band's places of each channel lie in a row, in the
                // stages there is room for all registers of all channels.
                unsafe { self.band.multiply(simd, group, part, views, target, registers) };
            }
            if !self.band.in_place() {
                self.band.spread(group, stages, stage_len);
            }
        }
    }
}

impl Band<'_> {
    /// Whether the places of the one phase are, in their order, rows of the image.
    fn in_place(&self) -> bool {
        self.correlation.step == [1; 2]
    }

    fn registers(&self) -> usize {
        (self.rows.len() * self.correlation.grid[1]).div_ceil(LANES)
    }

    /// Numbers for the views of a group; a tap's last register may end after its view.
    fn views_len(&self) -> usize {
        (self.correlation.group_sources() * self.views.channel_len).next_multiple_of(LANES) + LANES
    }

    fn scratch_len(&self) -> usize {
        let phases = if self.in_place() { 0 } else { self.correlation.phases.len() };
        self.views_len() + phases * self.correlation.group_targets() * self.registers() * LANES
    }

    #[inline(always)]
    fn fill_views(&self, group: usize, views: &mut [f32]) {
        let source = self.correlation.source;
        let sources = self.correlation.group_sources();
        for channel in 0..sources {
            let pixels = &self.source[(group * sources + channel) * source.channel_len()..];
            let views = &mut views[channel * self.views.channel_len..][..self.views.channel_len];
            let pixels = &pixels[..source.channel_len()];
            self.views.fill(pixels, source.size, self.rows.start, self.rows.len(), views);
        }
    }

    /// Writes the sums of a phase for all channels of a group.
    ///
    /// # Safety
    /// `target` has its places for each channel of the group, `registers` hold them.
    #[inline(always)]
    unsafe fn multiply<S: Simd>(
        &self,
        simd: S,
        group: usize,
        part: &Part,
        views: &[f32],
        target: Target,
        registers: usize,
    ) {
        let last = part.offsets.iter().max().map_or(0, |offset| offset + registers * LANES);
        assert!(last <= views.len(), "views hold what the taps read");
        let weights = &part.weights[group * part.group_len..][..part.group_len];
        let targets = self.correlation.group_targets();
        for first in (0..registers).step_by(TILE) {
            let registers = first..registers.min(first + TILE);
            for block in blocks(targets) {
                let start = block.first * part.offsets.len();
                let weights = &weights[start..][..block.width * part.offsets.len()];
                let mut bias = [0.0; 8];
                if let Some(all) = self.bias {
                    let first = group * targets + block.first;
                    bias[..block.count].copy_from_slice(&all[first..][..block.count]);
                }
                let tile = Tile { simd, offsets: &part.offsets, block, bias, weights, views, target };
                // SAFETY: checked above for all registers, and promised for the target.
                unsafe { tile.run(registers.clone()) };
            }
        }
    }

    /// Puts the phases' places where they belong in the image, rows of one phase beside those of the next.
    #[inline(always)]
    fn spread(&self, group: usize, stages: &[f32], stage_len: usize) {
        let correlation = self.correlation;
        let targets = correlation.group_targets();
        let [height, width] = correlation.target.size;
        let [down, right] = correlation.step;
        let columns = correlation.grid[1];
        let across = right.min(width);
        for channel in 0..targets {
            let image = (group * targets + channel) * correlation.target.channel_len();
            for (place, row) in self.rows.clone().enumerate() {
                for phase_row in 0..down.min(height) {
                    let row = row * down + phase_row;
                    if row >= height {
                        break;
                    }
                    // SAFETY: this row of the image belongs to this band alone.
                    let out = unsafe {
                        std::slice::from_raw_parts_mut(self.target.add(image + row * width), width)
                    };
                    let stage = |phase_column: usize| {
                        let phase = phase_row * across + phase_column;
                        &stages[(phase * targets + channel) * stage_len + place * columns..][..columns]
                    };
                    if across == 2 {
                        interleave(stage(0), stage(1), out);
                        continue;
                    }
                    for phase_column in 0..across {
                        let places = out[phase_column..].iter_mut().step_by(right);
                        for (out, number) in places.zip(stage(phase_column)) {
                            *out = *number;
                        }
                    }
                }
            }
        }
    }
}
