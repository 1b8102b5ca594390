//! Codes sorted by width back to the order of their groups, as codes or as weights.
//!
//! Where codes of each width are kept together, as an entropy coder wants them, they come out as one run of
//! whole bytes per width. The widths of the groups tell from which run the next codes are to be taken. Codes
//! in whole bytes are packed codes of 8 or 16 bits, so the same vector code reads them.

use std::num::NonZeroUsize;

use super::MAX_WIDTH;
use super::lanes::{Lanes, Plain};
use super::levels::{ChannelWeights, Codes, Grids, Levels, Weights};
use super::walk::{Runs, SLACK, Sink};
use crate::dispatch::{InstructionSet, Kernel};

/// Bytes that must follow the last code of each run: vector code reads on, whatever is there.
pub const RUN_SLACK: usize = SLACK;

/// How many widths there are: 0 to [`MAX_WIDTH`].
pub const WIDTHS: usize = MAX_WIDTH as usize + 1;

/// Groups whose codes are sorted by width.
#[derive(Clone, Copy, Debug)]
pub struct SortedGroups<'a> {
    /// The width of each group, in order.
    pub widths: &'a [u8],
    /// Codes of a group; the last may have fewer.
    pub group_size: NonZeroUsize,
    /// By width, the codes of the groups of that width in order: one byte each up to 8 bits, two above, the
    /// lower first, then at least [`RUN_SLACK`] bytes more. Those of width 0 are not looked at.
    pub runs: [&'a [u8]; WIDTHS],
}

/// Bytes of a code of a width in a run.
pub const fn run_bytes(width: u8) -> usize {
    match width {
        0..=8 => 1,
        _ => 2,
    }
}

/// Writes the codes in the order of their groups, on the calling thread.
///
/// # Panics
/// When a width is above [`MAX_WIDTH`], there is not one for each group, or a run has fewer codes than its
/// groups.
pub fn place_codes(groups: SortedGroups<'_>, codes: &mut [u16]) {
    place_codes_on(InstructionSet::detect(), groups, codes);
}

/// Writes the weights that the codes mean, all by the same levels, in the order of their groups, on the
/// calling thread.
///
/// The same as [`dequantize`](super::dequantize) of the packed codes, where no code has more bits than its
/// width.
///
/// # Panics
/// As [`place_codes`].
pub fn place_weights(groups: SortedGroups<'_>, levels: Levels, weights: &mut [f32]) {
    place_weights_on(InstructionSet::detect(), groups, levels, weights);
}

/// [`place_weights`] with the instructions of `set`, for tests and benches.
///
/// # Panics
/// As [`place_weights`].
pub fn place_weights_on(set: InstructionSet, groups: SortedGroups<'_>, levels: Levels, weights: &mut [f32]) {
    let grids = Grids::new(levels);
    if grids.are_formulas() {
        place(set, groups, 0, &Weights::<false>(&grids), weights);
    } else {
        place(set, groups, 0, &Weights::<true>(&grids), weights);
    }
}

/// [`place_weights`] where each channel, a run of `channel_size` consecutive weights, has levels of its
/// own: those of channel `k` are `levels(k)`. The first of `weights` is the tensor's weight number `first`.
///
/// # Panics
/// As [`place_codes`].
pub fn place_channels(
    groups: SortedGroups<'_>,
    first: usize,
    channel_size: NonZeroUsize,
    levels: impl Fn(usize) -> Levels + Sync,
    weights: &mut [f32],
) {
    place_channels_on(InstructionSet::detect(), groups, first, channel_size, levels, weights);
}

pub(super) fn place_channels_on(
    set: InstructionSet,
    groups: SortedGroups<'_>,
    first: usize,
    channel_size: NonZeroUsize,
    levels: impl Fn(usize) -> Levels + Sync,
    weights: &mut [f32],
) {
    place(set, groups, first, &ChannelWeights { levels, channel_size }, weights);
}

pub(super) fn place_codes_on(set: InstructionSet, groups: SortedGroups<'_>, codes: &mut [u16]) {
    place(set, groups, 0, &Codes, codes);
}

fn place<S: Sink>(
    set: InstructionSet,
    groups: SortedGroups<'_>,
    first: usize,
    sink: &S,
    out: &mut [S::Element],
) {
    let expected = out.len().div_ceil(groups.group_size.get());
    assert_eq!(groups.widths.len(), expected, "{} codes have {expected} groups, one width each", out.len());
    match set {
        InstructionSet::Baseline => set.run(Place { lanes: Plain, groups, first, sink, out }),
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2(lanes) => set.run(Place { lanes, groups, first, sink, out }),
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512(lanes) => set.run(Place { lanes, groups, first, sink, out }),
    }
}

/// The arguments of [`place`].
struct Place<'a, L, S: Sink> {
    lanes: L,
    groups: SortedGroups<'a>,
    /// Number of the first code.
    first: usize,
    sink: &'a S,
    out: &'a mut [S::Element],
}

impl<L: Lanes, S: Sink> Kernel for Place<'_, L, S> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { lanes, groups: SortedGroups { widths, group_size, mut runs }, first, sink, mut out } =
            self;
        if let Some(mut of_sink) = Runs::new(sink, first) {
            for &width in widths {
                assert_width(width);
                let mut left = group_size.get().min(out.len());
                while left > 0 {
                    // SAFETY: the width was looked at.
                    let (here, scale) = unsafe { of_sink.take(width.into(), left) };
                    let (now, later) = out.split_at_mut(here);
                    piece::<L, S>(lanes, width, scale, &mut runs, now);
                    (left, out) = (left - here, later);
                }
            }
            return;
        }
        let whole = out.len() / group_size;
        let (widths, last) = widths.split_at(whole);
        let (whole_out, last_out) = out.split_at_mut(whole * group_size.get());
        // The size as a constant is worth a few percent.
        if group_size.get() == 8 {
            for (&width, out) in widths.iter().zip(whole_out.as_chunks_mut::<8>().0) {
                group(lanes, width, sink, &mut runs, out);
            }
        } else {
            for (&width, out) in widths.iter().zip(whole_out.chunks_exact_mut(group_size.get())) {
                group(lanes, width, sink, &mut runs, out);
            }
        }
        if let [width] = last {
            group(lanes, *width, sink, &mut runs, last_out);
        }
    }
}

#[inline(always)]
fn assert_width(width: u8) {
    assert!(width <= MAX_WIDTH, "{width} bits, {MAX_WIDTH} at most");
}

/// Writes a group. No closure, because that might not be inlined, and so not be vector code.
#[inline(always)]
fn group<L: Lanes, S: Sink>(
    lanes: L,
    width: u8,
    sink: &S,
    runs: &mut [&[u8]; WIDTHS],
    out: &mut [S::Element],
) {
    assert_width(width);
    // SAFETY: the width was looked at.
    let scale = unsafe { sink.scale(width.into(), 0) };
    piece::<L, S>(lanes, width, scale, runs, out);
}

/// Writes a group or a piece of it, and takes its codes from its width's run.
#[inline(always)]
fn piece<L: Lanes, S: Sink>(
    lanes: L,
    width: u8,
    scale: S::Scale,
    runs: &mut [&[u8]; WIDTHS],
    out: &mut [S::Element],
) {
    let codes = &mut runs[usize::from(width)];
    if width == 0 {
        // SAFETY: of no bits, no byte is needed: SLACK of them are there. The array has eight places.
        let zeros = unsafe {
            let mut zeros = [S::Element::default(); 8];
            S::eight(lanes, lanes.eight([0; SLACK].as_ptr(), 0), scale, zeros.as_mut_ptr());
            zeros
        };
        return out.fill(zeros[0]);
    }
    let bytes = run_bytes(width);
    let taken = bytes * out.len();
    let needed = taken + SLACK;
    assert!(
        codes.len() >= needed,
        "the codes of {width} bits have {} bytes left, {needed} are needed",
        codes.len()
    );
    let (eights, tail) = out.as_chunks_mut::<8>();
    let mut source = codes.as_ptr();
    // SAFETY: `taken` bytes from `source` on are codes of 8 or 16 bits, and SLACK bytes follow. Each step
    // takes eight codes, of which there are as many as `out` has eights; the tail's begin after them.
    unsafe {
        for eight in eights {
            S::eight(lanes, lanes.eight(source, 8 * bytes), scale, eight.as_mut_ptr());
            source = source.add(8 * bytes);
        }
        if !tail.is_empty() {
            let mut spare = [S::Element::default(); 8];
            S::eight(lanes, lanes.eight(source, 8 * bytes), scale, spare.as_mut_ptr());
            tail.copy_from_slice(&spare[..tail.len()]);
        }
    }
    *codes = &codes[taken..];
}

/// Twin of [`place_channels`].
///
/// # Panics
/// When there are fewer widths or codes than `weights` needs.
#[cfg(test)]
pub(super) fn place_channels_scalar(
    groups: SortedGroups<'_>,
    first: usize,
    channel_size: NonZeroUsize,
    levels: impl Fn(usize) -> Levels,
    weights: &mut [f32],
) {
    let mut codes = vec![0; weights.len()];
    place_codes_scalar(groups, &mut codes);
    for (index, (weight, &code)) in weights.iter_mut().zip(&codes).enumerate() {
        let levels = levels((first + index) / channel_size);
        *weight = super::scalar::level(code, groups.widths[index / groups.group_size], levels);
    }
}

/// Twin of [`place_codes`].
///
/// # Panics
/// When there are fewer widths or codes than `codes` needs.
#[cfg(test)]
pub(super) fn place_codes_scalar(groups: SortedGroups<'_>, codes: &mut [u16]) {
    let mut places = [0; WIDTHS];
    for (index, code) in codes.iter_mut().enumerate() {
        let width = groups.widths[index / groups.group_size];
        let (run, place) = (groups.runs[usize::from(width)], &mut places[usize::from(width)]);
        *code = match (width, run_bytes(width)) {
            (0, _) => 0,
            (_, 1) => run[*place].into(),
            _ => u16::from_le_bytes([run[*place], run[*place + 1]]),
        };
        *place += run_bytes(width);
    }
}

#[cfg(test)]
mod tests {
    use fewbit_testing::Numbers;

    use super::*;
    use crate::packed::tests::{LEVELS, bits_of};
    use crate::packed::{Widths, dequantize, pack};

    /// Codes of random widths, and the same sorted by width.
    fn sorted(len: usize, group_size: usize, seed: u64) -> (Vec<u8>, Vec<u16>, [Vec<u8>; WIDTHS]) {
        let mut numbers = Numbers::seeded(seed);
        let widths: Vec<u8> = (0..len.div_ceil(group_size)).map(|_| numbers.below(WIDTHS) as u8).collect();
        let width_of = |index: usize| widths[index / group_size];
        let codes: Vec<u16> =
            (0..len).map(|index| (numbers.bits() & ((1 << width_of(index)) - 1)) as u16).collect();
        let mut runs: [Vec<u8>; WIDTHS] = Default::default();
        for (index, code) in codes.iter().enumerate() {
            let width = width_of(index);
            runs[usize::from(width)].extend(&code.to_le_bytes()[..run_bytes(width)]);
        }
        runs.iter_mut().for_each(|run| run.extend([0xff; RUN_SLACK]));
        (widths, codes, runs)
    }

    #[test]
    fn sorted_codes_come_back_in_order_and_mean_what_packed_ones_do() {
        for group_size in [1, 3, 8, 16, 20, 64, 1000] {
            for len in [0, 1, 7, 8, 9, 100, 1000, 1029] {
                let (widths, codes, runs) = sorted(len, group_size, (len * group_size) as u64);
                let group_size = NonZeroUsize::new(group_size).unwrap();
                let groups =
                    SortedGroups { widths: &widths, group_size, runs: runs.each_ref().map(Vec::as_slice) };
                let mut packed = vec![];
                let per_group = Widths::PerGroup { widths: &widths, group_size };
                pack(&codes, per_group, &mut packed).unwrap();
                for levels in LEVELS {
                    let (mut expected, mut twin) = (vec![f32::NAN; len], vec![f32::NAN; len]);
                    dequantize(&packed, per_group, levels, &mut expected).unwrap();
                    place_channels_scalar(groups, 0, NonZeroUsize::MAX, |_| levels, &mut twin);
                    assert_eq!(bits_of(&twin), bits_of(&expected), "{levels:?}");
                    for set in InstructionSet::available() {
                        let mut found = vec![f32::NAN; len];
                        place_weights_on(set, groups, levels, &mut found);
                        assert_eq!(bits_of(&found), bits_of(&expected), "{set:?}, groups of {group_size}");
                    }
                }
                let first = len / 3;
                for channel_size in [1, 8, 9, 50, 2000].map(|size| NonZeroUsize::new(size).unwrap()) {
                    let levels = |channel: usize| LEVELS[channel % LEVELS.len()];
                    let mut twin = vec![f32::NAN; len];
                    place_channels_scalar(groups, first, channel_size, levels, &mut twin);
                    for set in InstructionSet::available() {
                        let mut found = vec![f32::NAN; len];
                        place_channels_on(set, groups, first, channel_size, levels, &mut found);
                        let what = format!("{set:?}, groups of {group_size}, channels of {channel_size}");
                        assert_eq!(bits_of(&found), bits_of(&twin), "{what}");
                    }
                }
                let mut twin = vec![1; len];
                place_codes_scalar(groups, &mut twin);
                assert_eq!(twin, codes);
                for set in InstructionSet::available() {
                    let mut found = vec![1; len];
                    place_codes_on(set, groups, &mut found);
                    assert_eq!(found, codes, "{set:?}, groups of {group_size}");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "the codes of 5 bits have 31 bytes left, 32 are needed")]
    fn a_run_without_slack_is_refused() {
        let run = [0; 7 + RUN_SLACK];
        let group_size = NonZeroUsize::new(8).unwrap();
        place_codes(SortedGroups { widths: &[5], group_size, runs: [&run; WIDTHS] }, &mut [0; 8]);
    }
}
