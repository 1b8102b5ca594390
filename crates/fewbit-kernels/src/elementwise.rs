//! Sums of two slices, and what every elementwise operation is made of: a formula over lanes.
//!
//! Such an operation does little per number, so that memory sets its speed. Slices are cut in
//! pieces for the threads, and these in blocks of a length that is known when compiling.

use rayon::prelude::*;

use crate::dispatch::{InstructionSet, Kernel};

/// Numbers of one piece of work: 64 KiB of each slice, some microseconds.
pub(crate) const PIECE: usize = 1 << 14;
/// Numbers of one block: 2 KiB of each slice.
const BLOCK: usize = 512;

/// Writes `a + b`.
///
/// # Panics
/// When `b` or `out` has not the length of `a`.
pub fn sum_of(a: &[f32], b: &[f32], out: &mut [f32]) {
    sum_of_on(InstructionSet::detect(), a, b, out);
}

pub(crate) fn sum_of_on(set: InstructionSet, a: &[f32], b: &[f32], out: &mut [f32]) {
    check_length("b", b.len(), a.len());
    map(set, Sum, [a, b], out);
}

/// Adds `source` to `target`.
///
/// # Panics
/// When `source` has not the length of `target`.
pub fn add_to(target: &mut [f32], source: &[f32]) {
    add_to_on(InstructionSet::detect(), target, source);
}

pub(crate) fn add_to_on(set: InstructionSet, target: &mut [f32], source: &[f32]) {
    check_length("source", source.len(), target.len());
    in_pieces([source], target, |[source], target| set.run(AddTo { target, source }));
}

/// Panics unless a slice is as long as it has to be.
#[track_caller]
pub(crate) fn check_length(name: &str, found: usize, needed: usize) {
    assert_eq!(found, needed, "`{name}` has {found} elements, {needed} are needed");
}

/// A number from the `N` numbers at the same place of `N` slices.
pub(crate) trait Formula<const N: usize>: Copy + Send + Sync {
    fn at(self, values: [f32; N]) -> f32;
}

/// Writes the formula's number for each place.
pub(crate) fn map<F: Formula<N>, const N: usize>(
    set: InstructionSet,
    formula: F,
    sources: [&[f32]; N],
    out: &mut [f32],
) {
    check_length("out", out.len(), sources.first().map_or(0, |source| source.len()));
    in_pieces(sources, out, |sources, out| set.run(Map { formula, sources, out }));
}

/// Gives each piece of `out`, and the same piece of each source, to `work`.
///
/// On this thread where there is but one: waking others takes longer.
pub(crate) fn in_pieces<const N: usize>(
    sources: [&[f32]; N],
    out: &mut [f32],
    work: impl Fn([&[f32]; N], &mut [f32]) + Send + Sync,
) {
    if out.len() <= PIECE {
        return work(sources, out);
    }
    out.par_chunks_mut(PIECE).enumerate().for_each(|(place, out)| {
        work(sources.map(|source| &source[place * PIECE..][..out.len()]), out);
    });
}

struct Map<'a, F, const N: usize> {
    formula: F,
    sources: [&'a [f32]; N],
    out: &'a mut [f32],
}

impl<F: Formula<N>, const N: usize> Kernel for Map<'_, F, N> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let sources = self.sources.map(|source| source.as_chunks::<BLOCK>());
        let (out, out_rest) = self.out.as_chunks_mut::<BLOCK>();
        for (place, out) in out.iter_mut().enumerate() {
            let blocks = sources.map(|(whole, _)| &whole[place]);
            map_block(self.formula, blocks, out);
        }
        for (place, out) in out_rest.iter_mut().enumerate() {
            *out = self.formula.at(sources.map(|(_, rest)| rest[place]));
        }
    }
}

// Arrays for arguments: so the compiler knows that lengths agree and that what is written is nobody
// else's, and needs no check before it may use vectors.
#[inline(always)]
fn map_block<F: Formula<N>, const N: usize>(formula: F, sources: [&[f32; BLOCK]; N], out: &mut [f32; BLOCK]) {
    for lane in 0..BLOCK {
        out[lane] = formula.at(sources.map(|source| source[lane]));
    }
}

/// Asks for `count` numbers from `start` on, which need not be there.
#[inline(always)]
pub(crate) fn fetch(start: *const f32, count: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        const LINE: usize = 64 / size_of::<f32>();
        for line in 0..count.div_ceil(LINE) {
            // SAFETY: a prefetch reads nothing and faults nowhere, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(line * LINE).cast()) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (start, count);
}

#[derive(Clone, Copy)]
struct Sum;

impl Formula<2> for Sum {
    #[inline(always)]
    fn at(self, [a, b]: [f32; 2]) -> f32 {
        a + b
    }
}

struct AddTo<'a> {
    target: &'a mut [f32],
    source: &'a [f32],
}

impl Kernel for AddTo<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (target, target_rest) = self.target.as_chunks_mut::<BLOCK>();
        let (source, source_rest) = self.source.as_chunks::<BLOCK>();
        for (target, source) in target.iter_mut().zip(source) {
            for lane in 0..BLOCK {
                target[lane] += source[lane];
            }
        }
        for (target, source) in target_rest.iter_mut().zip(source_rest) {
            *target += source;
        }
    }
}

#[cfg(test)]
mod tests {
    use fewbit_testing::{Numbers, RAGGED_LENGTHS};

    use super::*;

    #[test]
    fn sums_are_those_of_each_pair() {
        let mut numbers = Numbers::seeded(1);
        for length in RAGGED_LENGTHS.into_iter().chain([511, 512, 1025, PIECE, PIECE + 1, 3 * PIECE + 77]) {
            let (a, b) = (numbers.weights(length), numbers.weights(length));
            let expected: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
            for set in InstructionSet::available() {
                let mut out = vec![f32::NAN; length];
                sum_of_on(set, &a, &b, &mut out);
                assert!(out == expected, "{length} sums, {set:?}");
                let mut target = a.clone();
                add_to_on(set, &mut target, &b);
                assert!(target == expected, "{length} additions, {set:?}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "`b` has 2 elements, 3 are needed")]
    fn a_slice_of_the_wrong_length_is_named() {
        sum_of(&[0.0; 3], &[0.0; 2], &mut [0.0; 3]);
    }
}
