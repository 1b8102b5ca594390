//! The way along packed codes, group by group.
//!
//! Eight codes are taken at a time where they begin at a byte, else four. Both read more bytes than they
//! need, so the last codes are taken from a copy with zeros behind it.

use std::num::NonZeroUsize;

use super::lanes::{Lanes, Plain};
use super::place::WIDTHS;
use super::stretch::Stretch;
use crate::dispatch::{InstructionSet, Kernel};

/// Bytes that may be read from where codes begin: eight codes of 16 bits, the last in a word of four.
pub(super) const SLACK: usize = 24;

/// What becomes of codes, and where it goes.
pub(super) trait Sink: Sync {
    /// What a code becomes.
    type Element: Copy + Default + Send;
    /// What has to be known of a width.
    type Scale: Copy + Default + Sync;

    /// How many consecutive codes have the same scale at each width, where not all have.
    #[inline(always)]
    fn run_size(&self) -> Option<NonZeroUsize> {
        None
    }

    /// What has to be known of this width in this run.
    ///
    /// # Safety
    /// `width` is at most 16.
    unsafe fn scale(&self, width: usize, run: usize) -> Self::Scale;

    /// # Safety
    /// `out` is valid for writing eight elements.
    unsafe fn eight<L: Lanes>(lanes: L, codes: L::Eight, scale: Self::Scale, out: *mut Self::Element);

    /// # Safety
    /// `out` is valid for writing four elements.
    unsafe fn four<L: Lanes>(lanes: L, codes: L::Four, scale: Self::Scale, out: *mut Self::Element);
}

/// The scales of a sink along its runs, each computed when it is first needed.
pub(super) struct Runs<'s, S: Sink> {
    sink: &'s S,
    size: usize,
    run: usize,
    /// Codes of the run that are not taken yet.
    left: usize,
    /// By width, those of the run that are known, of which there is a bit in `known`.
    scales: [S::Scale; WIDTHS],
    known: u32,
}

impl<'s, S: Sink> Runs<'s, S> {
    /// Those from code number `first` on; `None` of a sink that has no runs.
    #[inline(always)]
    pub(super) fn new(sink: &'s S, first: usize) -> Option<Self> {
        let size = sink.run_size()?;
        let (run, left) = (first / size, size.get() - first % size);
        Some(Self { sink, size: size.get(), run, left, scales: [S::Scale::default(); WIDTHS], known: 0 })
    }

    /// Takes at most so many codes of a width, which is how many and their scale.
    ///
    /// # Safety
    /// `width` is at most 16.
    #[inline(always)]
    pub(super) unsafe fn take(&mut self, width: usize, codes: usize) -> (usize, S::Scale) {
        if self.left == 0 {
            (self.run, self.left, self.known) = (self.run + 1, self.size, 0);
        }
        let here = codes.min(self.left);
        self.left -= here;
        // SAFETY: the caller's promise.
        unsafe {
            let scale = self.scales.get_unchecked_mut(width);
            if self.known >> width & 1 == 0 {
                *scale = self.sink.scale(width, self.run);
                self.known |= 1 << width;
            }
            (here, *scale)
        }
    }
}

/// The codes from number `first` on, the first of which begins at bit `position`.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) first: usize,
    pub(super) position: u64,
    pub(super) stretch: Stretch<'a>,
}

/// Writes what becomes of the codes of a part.
///
/// # Panics
/// When `out` has not one place per code, or the codes do not end in `bytes`.
pub(super) fn decode<S: Sink>(
    set: InstructionSet,
    bytes: &[u8],
    part: Part<'_>,
    sink: &S,
    out: &mut [S::Element],
) {
    let Part { first, position, stretch } = part;
    let end = (position + stretch.bits()).div_ceil(8) as usize;
    assert!(end <= bytes.len(), "the codes end at byte {end} of {}", bytes.len());
    let missing = (end + SLACK).saturating_sub(bytes.len());
    if missing == 0 {
        return walk(set, bytes, part, sink, out);
    }
    // So few codes at the end that the others have the slack behind them, and up to seven more, so that
    // what begins at a byte does so in both parts.
    let last = stretch.codes_of_last(8 * missing as u64);
    let (head, tail) = stretch.split((stretch.codes() - last) / 8 * 8);
    let (head_out, tail_out) = out.split_at_mut(head.codes());
    if head.codes() > 0 {
        walk(set, bytes, Part { first, position, stretch: head }, sink, head_out);
    }
    let (first, position) = (first + head.codes(), position + head.bits());
    let byte = (position / 8) as usize;
    let mut copy = [0; 4 * SLACK];
    copy[..end - byte].copy_from_slice(&bytes[byte..end]);
    walk(set, &copy, Part { first, position: position % 8, stretch: tail }, sink, tail_out);
}

/// As [`decode`], with [`SLACK`] bytes behind the codes.
///
/// # Panics
/// As [`decode`], and where there are fewer.
fn walk<S: Sink>(set: InstructionSet, bytes: &[u8], part: Part<'_>, sink: &S, out: &mut [S::Element]) {
    let Part { position, stretch, .. } = part;
    assert_eq!(out.len(), stretch.codes(), "one place per code");
    let end = (position + stretch.bits()).div_ceil(8) as usize;
    assert!(end + SLACK <= bytes.len(), "the codes end at byte {end} of {}", bytes.len());
    match set {
        InstructionSet::Baseline => set.run(Walk { lanes: Plain, bytes, part, sink, out }),
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2(lanes) => set.run(Walk { lanes, bytes, part, sink, out }),
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512(lanes) => set.run(Walk { lanes, bytes, part, sink, out }),
    }
}

/// The arguments of [`walk`], which checked them.
struct Walk<'a, L, S: Sink> {
    lanes: L,
    bytes: &'a [u8],
    part: Part<'a>,
    sink: &'a S,
    out: &'a mut [S::Element],
}

impl<L: Lanes, S: Sink> Kernel for Walk<'_, L, S> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { lanes, bytes, part: Part { first, position, stretch }, sink, out } = self;
        let mut walker = Walker { lanes, sink, bytes: bytes.as_ptr(), position, out: out.as_mut_ptr() };
        let runs = Runs::new(sink, first);
        // SAFETY: what is walked over are the codes of the stretch, so no more than `out` has places and
        // `bytes` has bits, with SLACK bytes behind; a stretch has no width above 16.
        unsafe {
            match runs {
                None => walker.stretch(stretch),
                Some(runs) if runs.size / stretch.group_size() < GROUPS_WORTH_A_TABLE => {
                    walker.pieces(stretch, runs);
                }
                Some(runs) => walker.runs(stretch, runs),
            }
        }
    }
}

/// Groups of a run for which it is faster to compute the scale of every width first.
const GROUPS_WORTH_A_TABLE: usize = 16;

/// A sink in one of its runs: the scale of every width.
struct Table<S: Sink>([S::Scale; WIDTHS]);

impl<S: Sink> Sink for Table<S> {
    type Element = S::Element;
    type Scale = S::Scale;

    #[inline(always)]
    unsafe fn scale(&self, width: usize, _: usize) -> S::Scale {
        // SAFETY: the caller's promise is that a width is at most the largest.
        unsafe { *self.0.get_unchecked(width) }
    }

    #[inline(always)]
    unsafe fn eight<L: Lanes>(lanes: L, codes: L::Eight, scale: S::Scale, out: *mut S::Element) {
        // SAFETY: the caller's promise.
        unsafe { S::eight(lanes, codes, scale, out) }
    }

    #[inline(always)]
    unsafe fn four<L: Lanes>(lanes: L, codes: L::Four, scale: S::Scale, out: *mut S::Element) {
        // SAFETY: the caller's promise.
        unsafe { S::four(lanes, codes, scale, out) }
    }
}

/// Where in the bits and in the output we are.
struct Walker<'a, L, S: Sink> {
    lanes: L,
    sink: &'a S,
    bytes: *const u8,
    position: u64,
    out: *mut S::Element,
}

/// Each method walks over some codes.
///
/// # Safety
/// Of each method: widths are at most 16, the codes lie in the bytes with [`SLACK`] more behind them, and
/// `out` is valid for writing an element per code.
impl<L: Lanes, S: Sink> Walker<'_, L, S> {
    #[inline(always)]
    fn at_byte(&self) -> bool {
        self.position.is_multiple_of(8)
    }

    /// The byte where the next code begins.
    #[inline(always)]
    unsafe fn source(&self) -> *const u8 {
        // SAFETY: the next code begins in the bytes, or at their end.
        unsafe { self.bytes.add((self.position / 8) as usize) }
    }

    /// Groups of `8 EIGHTS` codes that begin at a byte.
    #[inline(always)]
    unsafe fn groups_of_eights<const EIGHTS: usize>(&mut self, widths: &[u8]) {
        // SAFETY: the promise of this `impl`; each step goes past the codes it took.
        unsafe {
            let (mut source, mut out) = (self.source(), self.out);
            let begin = source;
            for &width in widths {
                let width = usize::from(width);
                let scale = self.sink.scale(width, 0);
                for _ in 0..EIGHTS {
                    S::eight(self.lanes, self.lanes.eight(source, width), scale, out);
                    source = source.add(width);
                    out = out.add(8);
                }
            }
            self.position += 8 * source.offset_from(begin) as u64;
            self.out = out;
        }
    }

    /// Groups of four codes.
    #[inline(always)]
    unsafe fn groups_of_four(&mut self, widths: &[u8]) {
        // SAFETY: the promise of this `impl`.
        unsafe {
            for &width in widths {
                let width = usize::from(width);
                self.four(width, self.sink.scale(width, 0));
            }
        }
    }

    /// A stretch, all groups with the scales of their widths.
    #[inline(always)]
    unsafe fn stretch(&mut self, stretch: Stretch<'_>) {
        let (group_size, mut widths, mut left) = (stretch.group_size(), stretch.widths(), stretch.codes());
        // SAFETY: the promise of this `impl`: these are the groups of the stretch, in order and each with
        // its number of codes.
        unsafe {
            if stretch.lead() > 0
                && let [width, others @ ..] = widths
            {
                let codes = (group_size - stretch.lead()).min(left);
                self.group(*width, codes);
                (widths, left) = (others, left - codes);
            }
            let (whole, last) = widths.split_at(left / group_size);
            match group_size {
                4 => self.groups_of_four(whole),
                8 if self.at_byte() => self.groups_of_eights::<1>(whole),
                16 if self.at_byte() => self.groups_of_eights::<2>(whole),
                32 if self.at_byte() => self.groups_of_eights::<4>(whole),
                64 if self.at_byte() => self.groups_of_eights::<8>(whole),
                _ => {
                    for width in whole {
                        self.group(*width, group_size);
                    }
                }
            }
            if let [width] = last {
                self.group(*width, left % group_size);
            }
        }
    }

    /// A stretch run by run.
    #[inline(always)]
    unsafe fn runs(&mut self, stretch: Stretch<'_>, mut runs: Runs<'_, S>) {
        let Self { lanes, bytes, .. } = *self;
        let mut rest = stretch;
        while rest.codes() > 0 {
            let (here, later) = rest.split(runs.left.min(rest.codes()));
            // SAFETY: the promise of this `impl`; a width is below their number.
            unsafe {
                let table = Table::<S>(std::array::from_fn(|width| self.sink.scale(width, runs.run)));
                let mut walker =
                    Walker { lanes, sink: &table, bytes, position: self.position, out: self.out };
                walker.stretch(here);
                (self.position, self.out) = (walker.position, walker.out);
            }
            (runs.run, runs.left, rest) = (runs.run + 1, runs.size, later);
        }
    }

    /// The groups of a stretch, each cut where a run of codes ends.
    #[inline(always)]
    unsafe fn pieces(&mut self, stretch: Stretch<'_>, mut runs: Runs<'_, S>) {
        for (width, mut codes) in stretch.groups() {
            while codes > 0 {
                // SAFETY: the promise of this `impl`.
                unsafe {
                    let (here, scale) = runs.take(width.into(), codes);
                    self.piece(usize::from(width), here, scale);
                    codes -= here;
                }
            }
        }
    }

    /// A group of so many codes, or a part of one.
    #[inline(always)]
    unsafe fn group(&mut self, width: u8, codes: usize) {
        let width = usize::from(width);
        // SAFETY: the promise of this `impl`.
        unsafe { self.piece(width, codes, self.sink.scale(width, 0)) }
    }

    /// So many codes of one width and scale.
    #[inline(always)]
    unsafe fn piece(&mut self, width: usize, codes: usize, scale: S::Scale) {
        // SAFETY: the promise of this `impl`; a spare has room for four.
        unsafe {
            let mut left = codes;
            if self.at_byte() {
                let (mut source, mut out) = (self.source(), self.out);
                for _ in 0..left / 8 {
                    S::eight(self.lanes, self.lanes.eight(source, width), scale, out);
                    source = source.add(width);
                    out = out.add(8);
                }
                self.position += (left / 8 * 8 * width) as u64;
                self.out = out;
                left %= 8;
            }
            for _ in 0..left / 4 {
                self.four(width, scale);
            }
            let left = left % 4;
            if left > 0 {
                let mut spare = [S::Element::default(); 4];
                let phase = (self.position % 8) as usize;
                S::four(self.lanes, self.lanes.four(self.source(), phase, width), scale, spare.as_mut_ptr());
                for element in &spare[..left] {
                    self.out.write(*element);
                    self.out = self.out.add(1);
                }
                self.position += (left * width) as u64;
            }
        }
    }

    /// Four codes of one width.
    #[inline(always)]
    unsafe fn four(&mut self, width: usize, scale: S::Scale) {
        // SAFETY: the promise of this `impl`.
        unsafe {
            let phase = (self.position % 8) as usize;
            S::four(self.lanes, self.lanes.four(self.source(), phase, width), scale, self.out);
            self.out = self.out.add(4);
        }
        self.position += 4 * width as u64;
    }
}
