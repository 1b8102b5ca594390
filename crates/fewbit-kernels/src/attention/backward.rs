//! The gradients of one head's attention.
//!
//! With weights `p = exp(s - log_sum)` of scores `s = q kᵀ / √width`, and `g` the gradient of the
//! output `o = p v`: that of the values is `pᵀ g`, that of the weights `g vᵀ`, and that of a score
//! `p (g vᵀ - g·o)`, since the weights of a query sum to 1. Dao et al. 2022, algorithm 4.

use std::cell::Cell;
use std::f32::consts::LOG2_E;

use super::Attention;
use super::head::{QUERIES, Rows, STRIPS, Target, hide, power_of_two, score_factor, scores, visible_keys};
use crate::product::shared::Shared;
use crate::product::strip::{Room, Step};
use crate::product::tile::Tile;
use crate::simd::{LaneKernel, Simd};
use crate::tile::{Aligned, LANES};

/// One head of one sequence.
pub(super) struct HeadGradient<'a> {
    pub(super) shape: Attention,
    pub(super) q: Rows<'a>,
    pub(super) k: Rows<'a>,
    pub(super) v: Rows<'a>,
    pub(super) out: Rows<'a>,
    pub(super) gradient: Rows<'a>,
    pub(super) log_sums: &'a [f32],
    /// Of queries, keys and values.
    pub(super) targets: [&'a Shared<'a>; 3],
    pub(super) firsts: [usize; 3],
    pub(super) strides: [usize; 3],
}

thread_local! {
    static ROOM: Cell<Room> = Cell::default();
}

impl LaneKernel for HeadGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        if S::REGISTERS == 1 { self.by_tiles::<S, 8>(simd) } else { self.by_tiles::<S, 2>(simd) }
    }
}

/// A number of steps to be taken from the front of `room`.
#[inline(always)]
fn cut<'a>(room: &mut &'a mut [Step], steps: usize) -> &'a mut [Step] {
    let (front, rest) = std::mem::take(room).split_at_mut(steps);
    *room = rest;
    front
}

impl HeadGradient<'_> {
    /// With tiles of `R` rows, a divisor of sixteen.
    #[inline(always)]
    fn by_tiles<S: Simd, const R: usize>(self, simd: S) {
        let Attention { queries, keys, width, causal, .. } = self.shape;
        let places = width.div_ceil(LANES);
        let key_rows = keys.next_multiple_of(LANES);
        let [all_keys, all_places] = [key_rows / LANES * width, places * key_rows];
        let needed =
            2 * all_keys + 3 * all_places + STRIPS * (3 * width + 2 * key_rows) + 2 * places * QUERIES;
        let mut kept = ROOM.take();
        let room = &mut kept.take(needed);
        let (k, v) = (cut(room, all_keys), cut(room, all_keys));
        let k_by_place = cut(room, places * keys);
        let (k_sums, v_sums) = (cut(room, all_places), cut(room, all_places));
        let (q, gradient) = (cut(room, STRIPS * width), cut(room, STRIPS * width));
        let out = cut(room, STRIPS * width);
        let (weights, slopes) = (cut(room, STRIPS * key_rows), cut(room, STRIPS * key_rows));
        let (q_by_place, gradient_by_place) = (cut(room, places * QUERIES), cut(room, places * QUERIES));

        self.k.by_position(simd, [keys, width], 1.0, k);
        self.v.by_position(simd, [keys, width], 1.0, v);
        self.k.by_place(simd, [keys, width], keys, k_by_place);
        k_sums.fill(Step::zeros());
        v_sums.fill(Step::zeros());
        let [q_target, k_target, v_target] = [self.target(0), self.target(1), self.target(2)];
        let scale = 1.0 / (width as f32).sqrt();
        for first in (0..queries).step_by(QUERIES) {
            let here = [QUERIES.min(queries - first), width];
            let [q_here, gradient_here] = [self.q.from(first), self.gradient.from(first)];
            q_here.by_position(simd, here, score_factor(width), q);
            q_here.by_place(simd, here, QUERIES, q_by_place);
            gradient_here.by_position(simd, here, 1.0, gradient);
            gradient_here.by_place(simd, here, QUERIES, gradient_by_place);
            self.out.from(first).by_position(simd, here, 1.0, out);

            let visible = visible_keys(causal, keys, first, QUERIES);
            let (one, two) = weights.split_at_mut(key_rows);
            scores::<S, R>(simd, width, k, q, visible, [one, two]);
            let (one, two) = slopes.split_at_mut(key_rows);
            scores::<S, R>(simd, width, v, gradient, visible, [one, two]);
            for strip in 0..STRIPS {
                let first = first + strip * LANES;
                let log_sums = &self.log_sums[first.min(queries)..(first + LANES).min(queries)];
                let lanes = strip * width..(strip + 1) * width;
                let steps = visible_keys(causal, keys, first, LANES);
                let here = strip * key_rows..strip * key_rows + steps;
                let slopes = &mut slopes[here.clone()];
                let query = Query {
                    first,
                    seen_by_all: if causal { steps.min(first + 1) } else { steps },
                    log_sums: log_sums_of(log_sums),
                    means: products_of_lanes(&out[lanes.clone()], &gradient[lanes]),
                };
                weigh(&mut weights[here], slopes, &query);
                let position = [first, log_sums.len()];
                let k = (&*k_by_place, keys);
                q_target.write_weighed_sums::<S, R>(simd, position, slopes, k, &[scale; LANES]);
            }
            let steps = [0, 1].map(|strip| visible_keys(causal, keys, first + strip * LANES, LANES));
            add_to_sums::<S, R>(simd, slopes, q_by_place, steps, k_sums);
            add_to_sums::<S, R>(simd, weights, gradient_by_place, steps, v_sums);
        }
        write_sums(simd, k_sums, keys, scale, k_target);
        write_sums(simd, v_sums, keys, 1.0, v_target);
        ROOM.set(kept);
    }

    fn target(&self, operand: usize) -> Target<'_> {
        let (out, first, stride) = (self.targets[operand], self.firsts[operand], self.strides[operand]);
        Target { out, first, stride, width: self.shape.width }
    }
}

/// Sixteen queries.
struct Query {
    first: usize,
    /// Keys that none of them is before.
    seen_by_all: usize,
    /// To base 2.
    log_sums: [f32; LANES],
    /// Of each query's slopes, weighed: its output times the output's gradient.
    means: [f32; LANES],
}

/// To base 2; a lane without a query gets infinity, so that all its weights are 0.
#[inline(always)]
fn log_sums_of(log_sums: &[f32]) -> [f32; LANES] {
    let mut lanes = [f32::INFINITY; LANES];
    for (lane, log_sum) in lanes.iter_mut().zip(log_sums) {
        *lane = log_sum * LOG2_E;
    }
    lanes
}

/// The sum, lane by lane, of the products of two strips.
#[inline(always)]
fn products_of_lanes(a: &[Step], b: &[Step]) -> [f32; LANES] {
    let mut sums = [0.0; LANES];
    for (Aligned(a), Aligned(b)) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums
}

/// Scores become weights, and the gradients of weights those of scores, up to the scale.
#[inline(always)]
fn weigh(scores: &mut [Step], slopes: &mut [Step], query: &Query) {
    for (key, Aligned(scores)) in scores.iter_mut().enumerate().skip(query.seen_by_all) {
        hide(scores, key, query.first, f32::NEG_INFINITY);
    }
    for (Aligned(scores), Aligned(slopes)) in scores.iter_mut().zip(slopes) {
        for lane in 0..LANES {
            let weight = power_of_two(scores[lane] - query.log_sums[lane]);
            scores[lane] = weight;
            slopes[lane] = weight * (slopes[lane] - query.means[lane]);
        }
    }
}

/// Adds to each key's sum the vectors of the queries, weighed; a strip of queries sees its first `steps` keys.
#[inline(always)]
fn add_to_sums<S: Simd, const R: usize>(
    simd: S,
    weights: &[Step],
    by_place: &[Step],
    steps: [usize; STRIPS],
    sums: &mut [Step],
) {
    let key_rows = weights.len() / STRIPS;
    let places = by_place.len() / QUERIES;
    for row in (0..steps[STRIPS - 1]).step_by(R) {
        let mut place = 0;
        while place < places {
            if place + 1 < places {
                add_tile::<S, R, 2>(simd, weights, by_place, steps, sums, [row, place, key_rows]);
            } else {
                add_tile::<S, R, 1>(simd, weights, by_place, steps, sums, [row, place, key_rows]);
            }
            place += 2;
        }
    }
}

#[inline(always)]
fn add_tile<S: Simd, const R: usize, const L: usize>(
    simd: S,
    weights: &[Step],
    by_place: &[Step],
    steps: [usize; STRIPS],
    sums: &mut [Step],
    [row, place, key_rows]: [usize; 3],
) {
    let mut tile = Tile::<S, R, L>::zeros(simd);
    for l in 0..L {
        for (r, Aligned(sum)) in sums[(place + l) * key_rows + row..][..R].iter().enumerate() {
            // SAFETY: a step is sixteen numbers.
            tile.sums[r][l] = unsafe { simd.load(sum.as_ptr()) };
        }
    }
    for strip in 0..STRIPS {
        // Past the keys that a strip sees its weights are not set.
        if row < steps[strip] {
            let Some(rows) = weights[strip * key_rows + row..].first_chunk::<R>() else { unreachable!() };
            let mut columns = [by_place.first_chunk::<LANES>().expect("a strip of queries"); L];
            for (l, column) in columns.iter_mut().enumerate() {
                let first = (place + l) * QUERIES + strip * LANES;
                *column = by_place[first..].first_chunk::<LANES>().expect("a strip of queries");
            }
            tile = tile.add_steps(rows, columns);
        }
    }
    for l in 0..L {
        for (r, Aligned(sum)) in sums[(place + l) * key_rows + row..][..R].iter_mut().enumerate() {
            // SAFETY: a step is sixteen numbers.
            unsafe { simd.store(tile.sums[r][l], sum.as_mut_ptr()) };
        }
    }
}

/// Writes the sums of all keys, scaled.
#[inline(always)]
fn write_sums<S: Simd>(simd: S, sums: &[Step], keys: usize, scale: f32, target: Target<'_>) {
    let key_rows = keys.next_multiple_of(LANES);
    for (place, sums) in sums.chunks_exact(key_rows.max(1)).enumerate() {
        for (key, Aligned(sum)) in sums[..keys].iter().enumerate() {
            // SAFETY: a step is sixteen numbers.
            let lanes = unsafe { simd.load(sum.as_ptr()) };
            let scaled = simd.multiply_add(lanes, simd.splat(scale), simd.splat(0.0));
            target.write(simd, key, place * LANES, scaled);
        }
    }
}
