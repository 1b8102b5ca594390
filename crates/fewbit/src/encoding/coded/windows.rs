//! Codes sorted by width to the order of the weights, a window of these at a time.
//!
//! Where all groups have one width, a block of codes is a run of weights: it is decoded to a buffer that
//! stays in a core's cache, and placed at once. Where widths differ, the weights are cut in windows. All
//! blocks that have codes of a window are decoded, on all cores, then its codes are placed, on all cores; what a
//! block has for the next window is kept. So every block is decoded once, and what is decoded and not yet
//! placed is a few megabytes, however large the tensor.

use std::num::NonZeroUsize;

use fewbit_kernels::packed::{RUN_SLACK, SortedGroups, WIDTHS};
use rayon::prelude::*;

use super::super::classes::{WidthClasses, histogram};
use super::super::packed::group_size;
use super::BLOCK;
use super::decode::{ClassCodes, Scratch, SortedCodes, in_parallel, zeros};
use crate::encoding::EncodingFault;

/// Weights that one task places, about.
const CHUNK: usize = 1 << 15;
/// Weights of a window, about.
const WINDOW: usize = 1 << 22;

/// Codes of each width.
type Counts = [usize; WIDTHS];

impl SortedCodes<'_> {
    /// Calls `place` for runs of whole groups that together are all, each with the number of its first code
    /// and its part of `out`; `widths` are those that `classes` counts, `None` where all are the smallest.
    pub(crate) fn place<T: Send>(
        &self,
        classes: &WidthClasses,
        widths: Option<&[u8]>,
        out: &mut [T],
        place: impl Fn(usize, SortedGroups<'_>, &mut [T]) + Sync + Send,
    ) -> Result<(), EncodingFault> {
        match (&self.classes[..], widths) {
            ([class], None) => place_one_width(class, out, place),
            (_, None) => {
                // All are pruned.
                let size = NonZeroUsize::new(out.len()).unwrap_or(NonZeroUsize::MIN);
                let widths: &[u8] = if out.is_empty() { &[] } else { &[0] };
                place(0, SortedGroups { widths, group_size: size, runs: [&[]; WIDTHS] }, out);
                Ok(())
            }
            (_, Some(widths)) => place_mixed(&self.classes, classes, widths, out, place),
        }
    }
}

fn place_one_width<T: Send>(
    class: &ClassCodes<'_>,
    out: &mut [T],
    place: impl Fn(usize, SortedGroups<'_>, &mut [T]) + Sync + Send,
) -> Result<(), EncodingFault> {
    let width = class.width.get();
    let step = |(scratch, run): &mut (Scratch, Vec<u8>), (block, out): (usize, &mut [T])| {
        let bytes = out.len() * class.code_bytes();
        run.resize(bytes + RUN_SLACK, 0);
        class.decode(block, scratch, &mut run[..bytes])?;
        // A block is one group here: all have one width.
        let group_size = NonZeroUsize::new(out.len()).unwrap_or(NonZeroUsize::MIN);
        let mut runs: [&[u8]; WIDTHS] = [&[]; WIDTHS];
        runs[usize::from(width)] = run;
        place(block * BLOCK, SortedGroups { widths: &[width], group_size, runs }, out);
        Ok(())
    };
    let blocks = out.par_chunks_mut(BLOCK).enumerate();
    let results: Vec<Result<(), EncodingFault>> = blocks.map_init(Default::default, step).collect();
    results.into_iter().collect()
}

/// Decoded codes of a class: those from number `first`, which begins a block, to number `end`.
struct Run<'c, 'd> {
    class: &'c ClassCodes<'d>,
    bytes: Vec<u8>,
    first: usize,
    end: usize,
}

/// A block to be decoded.
struct Job<'j, 'd> {
    class: &'j ClassCodes<'d>,
    block: usize,
    out: &'j mut [u8],
}

impl<'d> Run<'_, 'd> {
    /// Forgets the blocks before code `start`, and gives those to be decoded up to code `end`.
    fn advance<'j>(&'j mut self, start: usize, end: usize) -> Vec<Job<'j, 'd>> {
        if start == end {
            return Vec::new();
        }
        let bytes = self.class.code_bytes();
        let first = start / BLOCK * BLOCK;
        if first < self.end {
            self.bytes.copy_within((first - self.first) * bytes..(self.end - self.first) * bytes, 0);
        } else {
            self.end = first;
        }
        self.first = first;
        let begun = self.end / BLOCK;
        let until = end.next_multiple_of(BLOCK).min(self.class.codes);
        let fresh = if until > self.end { (self.end - first) * bytes..(until - first) * bytes } else { 0..0 };
        self.end = self.end.max(until);
        let class = self.class;
        let blocks = (begun..).zip(self.bytes[fresh].chunks_mut(BLOCK * bytes));
        blocks.map(|(block, out)| Job { class, block, out }).collect()
    }
}

fn place_mixed<T: Send>(
    codes: &[ClassCodes<'_>],
    classes: &WidthClasses,
    widths: &[u8],
    out: &mut [T],
    place: impl Fn(usize, SortedGroups<'_>, &mut [T]) + Sync + Send,
) -> Result<(), EncodingFault> {
    let group_size = group_size(classes.grouping());
    let groups = (CHUNK / group_size).max(1);
    let chunk = groups.saturating_mul(group_size.get());
    let starts = starts(classes, widths, groups);
    let chunks = (WINDOW / chunk).max(1);
    let windows: Vec<&[Counts]> = windows(&starts, chunks).collect();

    let mut runs = Vec::with_capacity(codes.len());
    for class in codes {
        let index = usize::from(class.width.get());
        let needed = windows.iter().map(|starts| {
            let (start, end) = (starts[0][index], starts[starts.len() - 1][index]);
            end.next_multiple_of(BLOCK).min(class.codes) - start / BLOCK * BLOCK
        });
        let bytes = needed.max().unwrap_or(0) * class.code_bytes() + RUN_SLACK;
        runs.push(Run { class, bytes: zeros(bytes)?, first: 0, end: 0 });
    }

    let window_len = chunk.saturating_mul(chunks);
    let parts = widths.chunks(groups.saturating_mul(chunks)).zip(out.chunks_mut(window_len));
    for (window, (starts, (widths, out))) in windows.into_iter().zip(parts).enumerate() {
        let (first, last) = (starts[0], starts[starts.len() - 1]);
        let mut jobs = Vec::new();
        for run in &mut runs {
            let index = usize::from(run.class.width.get());
            jobs.extend(run.advance(first[index], last[index]));
        }
        in_parallel(jobs, |job| job.class.decode(job.block, &mut Scratch::default(), job.out))?;
        let parts = starts.par_iter().zip(widths.par_chunks(groups)).zip(out.par_chunks_mut(chunk));
        parts.enumerate().for_each(|(index, ((starts, widths), out))| {
            let mut sorted = SortedGroups { widths, group_size, runs: [&[]; WIDTHS] };
            for run in &runs {
                let index = usize::from(run.class.width.get());
                // A class may have no more codes here than those that are forgotten already.
                let from = starts[index].saturating_sub(run.first) * run.class.code_bytes();
                sorted.runs[index] = run.bytes.get(from..).unwrap_or_default();
            }
            place((window * chunks + index) * chunk, sorted, out);
        });
    }
    Ok(())
}

/// How many codes of each width come before each chunk of so many groups, and at the end.
fn starts(classes: &WidthClasses, widths: &[u8], groups: usize) -> Vec<Counts> {
    let size = classes.grouping().size();
    let mut starts: Vec<Counts> = widths.par_chunks(groups).map(histogram).collect();
    let mut sum = [0; WIDTHS];
    for start in &mut starts {
        let counts = std::mem::replace(start, sum);
        for (sum, count) in sum.iter_mut().zip(counts) {
            *sum += count * size;
        }
    }
    // Only the last group is shorter.
    sum[usize::from(classes.last().get())] -= classes.missing();
    starts.push(sum);
    starts
}

/// The starts of so many chunks at a time, and of the one after.
fn windows(starts: &[Counts], chunks: usize) -> impl Iterator<Item = &[Counts]> {
    let count = starts.len().saturating_sub(1);
    (0..count).step_by(chunks).map(move |first| &starts[first..=(first + chunks).min(count)])
}
