//! The attention of one head.

use std::cell::Cell;
use std::f32::consts::LN_2;

use super::Attention;
use super::head::{QUERIES, Rows, STRIPS, Target, hide, power_of_two, score_factor, scores, visible_keys};
use crate::math::log2;
use crate::product::shared::Shared;
use crate::product::strip::{Room, Step};
use crate::simd::{LaneKernel, Simd};
use crate::tile::{Aligned, LANES};

/// One head of one sequence.
pub(super) struct Head<'a> {
    pub(super) shape: Attention,
    pub(super) q: Rows<'a>,
    pub(super) k: Rows<'a>,
    pub(super) v: Rows<'a>,
    pub(super) out: &'a Shared<'a>,
    pub(super) out_first: usize,
    pub(super) out_stride: usize,
    pub(super) log_sums: &'a Shared<'a>,
    pub(super) sums_first: usize,
}

thread_local! {
    static ROOM: Cell<Room> = Cell::default();
}

impl LaneKernel for Head<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        if S::REGISTERS == 1 { self.by_tiles::<S, 8>(simd) } else { self.by_tiles::<S, 2>(simd) }
    }
}

impl Head<'_> {
    /// With tiles of `R` rows, a divisor of sixteen.
    #[inline(always)]
    fn by_tiles<S: Simd, const R: usize>(self, simd: S) {
        let Attention { queries, keys, width, causal, .. } = self.shape;
        let places = width.div_ceil(LANES);
        let key_rows = keys.next_multiple_of(LANES);
        let mut room = ROOM.take();
        let (k, rest) = room
            .take(key_rows / LANES * width + places * keys + STRIPS * (width + key_rows))
            .split_at_mut(key_rows / LANES * width);
        let (v, rest) = rest.split_at_mut(places * keys);
        let (q, weights) = rest.split_at_mut(STRIPS * width);
        let (first_weights, second_weights) = weights.split_at_mut(key_rows);
        self.k.by_position(simd, [keys, width], 1.0, k);
        self.v.by_place(simd, [keys, width], keys, v);
        let target = Target { out: self.out, first: self.out_first, stride: self.out_stride, width };
        for first in (0..queries).step_by(QUERIES) {
            let here = [QUERIES.min(queries - first), width];
            self.q.from(first).by_position(simd, here, score_factor(width), q);
            let visible = visible_keys(causal, keys, first, QUERIES);
            scores::<S, R>(simd, width, k, q, visible, [&mut *first_weights, &mut *second_weights]);
            for (strip, weights) in [&mut *first_weights, &mut *second_weights].into_iter().enumerate() {
                let first = first + strip * LANES;
                if first >= queries {
                    break;
                }
                let count = LANES.min(queries - first);
                let weights = &mut weights[..visible_keys(causal, keys, first, LANES)];
                let hidden_from = if causal { first + 1 } else { keys };
                let Softmax { log_sums, inverse_sums } = softmax(weights, first, hidden_from);
                // SAFETY: sums of this head, which no other thread writes.
                let out = unsafe { self.log_sums.part(self.sums_first + first, count) };
                out.copy_from_slice(&log_sums[..count]);
                target.write_weighed_sums::<S, R>(simd, [first, count], weights, (v, keys), &inverse_sums);
            }
        }
        ROOM.set(room);
    }
}

/// What is left of the sums of sixteen queries' exponentials.
struct Softmax {
    /// To base e, of the scores before their factor.
    log_sums: [f32; LANES],
    inverse_sums: [f32; LANES],
}

/// Scores become powers of two, up to their sum the weights; keys from `hidden_from` on are seen only
/// by queries that are not before them.
#[inline(always)]
fn softmax(scores: &mut [Step], first_query: usize, hidden_from: usize) -> Softmax {
    let seen_by_all = hidden_from.min(scores.len());
    for (key, Aligned(scores)) in scores.iter_mut().enumerate().skip(seen_by_all) {
        hide(scores, key, first_query, f32::NEG_INFINITY);
    }
    let mut largest = [f32::NEG_INFINITY; LANES];
    for Aligned(scores) in scores.iter() {
        for lane in 0..LANES {
            largest[lane] = if scores[lane] > largest[lane] { scores[lane] } else { largest[lane] };
        }
    }
    let mut sums = [0.0; LANES];
    for Aligned(scores) in scores.iter_mut() {
        for lane in 0..LANES {
            let power = power_of_two(scores[lane] - largest[lane]);
            scores[lane] = power;
            sums[lane] += power;
        }
    }
    let mut softmax = Softmax { log_sums: [0.0; LANES], inverse_sums: [0.0; LANES] };
    for lane in 0..LANES {
        softmax.log_sums[lane] = (largest[lane] + log2(sums[lane])) * LN_2;
        softmax.inverse_sums[lane] = 1.0 / sums[lane];
    }
    softmax
}
