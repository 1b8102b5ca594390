//! Groups on all cores, though where a group's codes begin depends on every width before it.

use rayon::prelude::*;

use crate::{BitWidth, Grouping};

/// Weights that one task decodes, about.
const CHUNK: usize = 1 << 15;

/// Calls `decode` for fixed runs of groups: with the place where their codes begin, their widths and
/// their part of `out`.
///
/// `start` is the first place, and `advance` moves it past a group of a width and a length.
pub(crate) fn by_chunk<T: Send, P: Clone + Send + Sync>(
    grouping: Grouping,
    widths: &[BitWidth],
    out: &mut [T],
    start: P,
    advance: impl Fn(&mut P, BitWidth, usize),
    decode: impl Fn(P, &[BitWidth], &mut [T]) + Sync,
) {
    let groups = (CHUNK / grouping.size()).max(1);
    if widths.len() <= groups {
        return decode(start, widths, out);
    }
    let mut place = start;
    let mut starts = Vec::with_capacity(widths.len().div_ceil(groups));
    for chunk in widths.chunks(groups) {
        starts.push(place.clone());
        for &width in chunk {
            // Only the last group is shorter, and nothing comes after it.
            advance(&mut place, width, grouping.size());
        }
    }
    starts
        .into_par_iter()
        .zip(widths.par_chunks(groups))
        .zip(out.par_chunks_mut(groups.saturating_mul(grouping.size())))
        .for_each(|((start, widths), out)| decode(start, widths, out));
}
