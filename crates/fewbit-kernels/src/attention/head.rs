//! What forward and backward share: one head's vectors in strips, and the scores of some queries.

use std::f32::consts::LOG2_E;

use crate::math::exp2;
use crate::product::block::store;
use crate::product::shared::Shared;
use crate::product::strip::{Source, Step};
use crate::product::tile::Tile;
use crate::simd::Simd;
use crate::tile::LANES;

/// Strips of queries that meet the keys together: two registers for each key that is fetched.
pub(super) const STRIPS: usize = 2;
/// Queries of these strips.
pub(super) const QUERIES: usize = STRIPS * LANES;

/// A head's vectors, one after the other.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) values: &'a [f32],
    pub(super) stride: usize,
}

impl Rows<'_> {
    /// Those of the positions from `first` on.
    #[inline(always)]
    pub(super) fn from(self, first: usize) -> Self {
        Self { values: &self.values[(first * self.stride).min(self.values.len())..], ..self }
    }

    /// Strips with positions in the lanes; the steps are the places of a vector. Past the last
    /// position the lanes hold 0.
    #[inline(always)]
    pub(super) fn by_position<S: Simd>(self, simd: S, shape: [usize; 2], factor: f32, out: &mut [Step]) {
        let [length, width] = shape;
        let source = Source { values: self.values, lane_stride: self.stride, step_stride: 1 };
        for (strip, out) in out.chunks_exact_mut(width.max(1)).enumerate() {
            let first = strip * LANES;
            let lanes = length.saturating_sub(first).min(LANES);
            if lanes < LANES {
                out.fill(Step::zeros());
            }
            source.from(first, 0).copy_scaled(simd, lanes, factor, out);
        }
    }

    /// Strips with places of the vectors in the lanes; the steps are positions, and hold 0 past the
    /// last.
    #[inline(always)]
    pub(super) fn by_place<S: Simd>(self, simd: S, shape: [usize; 2], positions: usize, out: &mut [Step]) {
        let [length, width] = shape;
        let source = Source { values: self.values, lane_stride: 1, step_stride: self.stride };
        for (strip, out) in out.chunks_exact_mut(positions.max(1)).enumerate() {
            let (out, past) = out.split_at_mut(length);
            source.from(strip * LANES, 0).copy(simd, LANES.min(width - strip * LANES), out);
            past.fill(Step::zeros());
        }
    }
}

/// Where a head's vectors are written.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) out: &'a Shared<'a>,
    pub(super) first: usize,
    pub(super) stride: usize,
    pub(super) width: usize,
}

impl Target<'_> {
    /// Writes sixteen places of a position's vector, or what is left of it.
    #[inline(always)]
    pub(super) fn write<S: Simd>(self, simd: S, position: usize, place: usize, lanes: S::Lanes) {
        let count = LANES.min(self.width - place);
        let first = self.first + position * self.stride + place;
        // SAFETY: a vector of this head, which no other thread writes.
        store(simd, lanes, unsafe { self.out.part(first, count) });
    }

    /// Writes the vectors of `count` positions: each the sum of all vectors of `by_place`, weighed with
    /// the position's lane of `weights`, times its factor.
    ///
    /// `weights` has a step for each of these vectors; `by_place` has them in strips of `vectors`
    /// steps. `R` divides sixteen.
    #[inline(always)]
    pub(super) fn write_weighed_sums<S: Simd, const R: usize>(
        self,
        simd: S,
        [position, count]: [usize; 2],
        weights: &[Step],
        (by_place, vectors): (&[Step], usize),
        factors: &[f32; LANES],
    ) {
        let steps = weights.len();
        let places = self.width.div_ceil(LANES);
        for row in (0..count).step_by(R) {
            let rows = R.min(count - row);
            let mut place = 0;
            while place < places {
                let one = &by_place[place * vectors..][..steps];
                if place + 1 < places {
                    let other = &by_place[(place + 1) * vectors..][..steps];
                    let tile = Tile::<S, R, 2>::zeros(simd).add_lanes(weights, row, [one, other]);
                    self.write_tile(simd, [position + row, rows, place], tile.sums, &factors[row..]);
                } else {
                    let tile = Tile::<S, R, 1>::zeros(simd).add_lanes(weights, row, [one]);
                    self.write_tile(simd, [position + row, rows, place], tile.sums, &factors[row..]);
                }
                place += 2;
            }
        }
    }

    /// Writes the first rows of a tile, each times its factor.
    #[inline(always)]
    fn write_tile<S: Simd, const R: usize, const L: usize>(
        self,
        simd: S,
        [position, rows, place]: [usize; 3],
        sums: [[S::Lanes; L]; R],
        factors: &[f32],
    ) {
        for (r, (sums, factor)) in sums.into_iter().zip(factors).enumerate() {
            if r < rows {
                for (l, sum) in sums.into_iter().enumerate() {
                    let lanes = simd.multiply_add(sum, simd.splat(*factor), simd.splat(0.0));
                    self.write(simd, position + r, (place + l) * LANES, lanes);
                }
            }
        }
    }
}

/// What scores are multiplied with, so that their exponential is a power of two.
pub(super) fn score_factor(width: usize) -> f32 {
    LOG2_E / (width as f32).sqrt()
}

/// Writes the products of each key with the queries of `STRIPS` strips; `out` has a strip of keys each.
///
/// Keys are lanes of `keys`, places of their vectors its steps; `R` divides sixteen.
#[inline(always)]
pub(super) fn scores<S: Simd, const R: usize>(
    simd: S,
    width: usize,
    keys: &[Step],
    queries: &[Step],
    visible: usize,
    out: [&mut [Step]; STRIPS],
) {
    let (first_queries, second_queries) = queries.split_at(width);
    let [first_out, second_out] = out;
    for first in (0..visible).step_by(R) {
        let strip = &keys[first / LANES * width..][..width];
        let tile = Tile::<S, R, STRIPS>::zeros(simd);
        let sums = tile.add_lanes(strip, first % LANES, [first_queries, second_queries]).sums;
        let outs = first_out[first..first + R].iter_mut().zip(&mut second_out[first..first + R]);
        for ((one, two), [a, b]) in outs.zip(sums) {
            // SAFETY: a step is sixteen numbers.
            unsafe {
                simd.store(a, one.0.as_mut_ptr());
                simd.store(b, two.0.as_mut_ptr());
            }
        }
    }
}

/// How many keys a strip of queries from `first` on may see at most.
#[inline(always)]
pub(super) fn visible_keys(causal: bool, keys: usize, first: usize, queries: usize) -> usize {
    if causal { keys.min(first + queries) } else { keys }
}

/// `2^x`, and 0 where that is below what `f32` holds with all its digits; NaN gives NaN.
#[inline(always)]
pub(super) fn power_of_two(x: f32) -> f32 {
    let within = if x < -126.0 { -126.0 } else { x };
    let power = exp2(within);
    if x < -126.0 { 0.0 } else { power }
}

/// Sets the scores of key `key` to `hidden` for those of the strip's queries that do not see it.
#[inline(always)]
pub(super) fn hide(scores: &mut [f32; LANES], key: usize, first_query: usize, hidden: f32) {
    for (lane, score) in scores.iter_mut().enumerate() {
        if key > first_query + lane {
            *score = hidden;
        }
    }
}
