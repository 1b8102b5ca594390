//! The way along packed codes, group by group.
//!
//! Eight codes are taken at a time where they begin at a byte, else four. Both read more bytes than they
//! need, so the last codes are taken from a copy with zeros behind it.

use super::lanes::{Lanes, Plain};
use super::stretch::Stretch;
use crate::dispatch::{InstructionSet, Kernel};

/// Bytes that may be read from where codes begin: eight codes of 16 bits, the last in a word of four.
pub(super) const SLACK: usize = 24;

/// What becomes of codes, and where it goes.
pub(super) trait Sink: Sync {
    /// What a code becomes.
    type Element: Copy + Default + Send;
    /// What has to be known of a width.
    type Scale: Copy;

    /// What has to be known of this width.
    ///
    /// # Safety
    /// `width` is at most 16.
    unsafe fn scale(&self, width: usize) -> Self::Scale;

    /// # Safety
    /// `out` is valid for writing eight elements.
    unsafe fn eight<L: Lanes>(lanes: L, codes: L::Eight, scale: Self::Scale, out: *mut Self::Element);

    /// # Safety
    /// `out` is valid for writing four elements.
    unsafe fn four<L: Lanes>(lanes: L, codes: L::Four, scale: Self::Scale, out: *mut Self::Element);
}

/// Writes what becomes of the codes of a stretch, the first of which begins at bit `position`.
///
/// # Panics
/// When `out` has not one place per code, or the codes do not end in `bytes`.
pub(super) fn decode<S: Sink>(
    set: InstructionSet,
    bytes: &[u8],
    position: u64,
    stretch: Stretch<'_>,
    sink: &S,
    out: &mut [S::Element],
) {
    let end = (position + stretch.bits()).div_ceil(8) as usize;
    assert!(end <= bytes.len(), "the codes end at byte {end} of {}", bytes.len());
    let missing = (end + SLACK).saturating_sub(bytes.len());
    if missing == 0 {
        return walk(set, bytes, position, stretch, sink, out);
    }
    // So few codes at the end that the others have the slack behind them, and up to seven more, so that
    // what begins at a byte does so in both parts.
    let last = stretch.codes_of_last(8 * missing as u64);
    let (head, tail) = stretch.split((stretch.codes() - last) / 8 * 8);
    let (head_out, tail_out) = out.split_at_mut(head.codes());
    if head.codes() > 0 {
        walk(set, bytes, position, head, sink, head_out);
    }
    let position = position + head.bits();
    let first = (position / 8) as usize;
    let mut copy = [0; 4 * SLACK];
    copy[..end - first].copy_from_slice(&bytes[first..end]);
    walk(set, &copy, position % 8, tail, sink, tail_out);
}

/// As [`decode`], with [`SLACK`] bytes behind the codes.
///
/// # Panics
/// As [`decode`], and where there are fewer.
fn walk<S: Sink>(
    set: InstructionSet,
    bytes: &[u8],
    position: u64,
    stretch: Stretch<'_>,
    sink: &S,
    out: &mut [S::Element],
) {
    assert_eq!(out.len(), stretch.codes(), "one place per code");
    let end = (position + stretch.bits()).div_ceil(8) as usize;
    assert!(end + SLACK <= bytes.len(), "the codes end at byte {end} of {}", bytes.len());
    match set {
        InstructionSet::Baseline => set.run(Walk { lanes: Plain, bytes, position, stretch, sink, out }),
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2(lanes) => set.run(Walk { lanes, bytes, position, stretch, sink, out }),
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512(lanes) => set.run(Walk { lanes, bytes, position, stretch, sink, out }),
    }
}

/// The arguments of [`walk`], which checked them.
struct Walk<'a, L, S: Sink> {
    lanes: L,
    bytes: &'a [u8],
    position: u64,
    stretch: Stretch<'a>,
    sink: &'a S,
    out: &'a mut [S::Element],
}

impl<L: Lanes, S: Sink> Kernel for Walk<'_, L, S> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { lanes, bytes, position, stretch, sink, out } = self;
        let mut walker = Walker { lanes, sink, bytes: bytes.as_ptr(), position, out: out.as_mut_ptr() };
        let (group_size, mut widths, mut left) = (stretch.group_size(), stretch.widths(), stretch.codes());
        // SAFETY: what is walked over are the groups of the stretch, in order and each with its number of
        // codes, so no more than `out` has places and `bytes` has bits, with SLACK bytes behind; a
        // stretch has no width above 16.
        unsafe {
            if stretch.lead() > 0
                && let [width, others @ ..] = widths
            {
                let codes = (group_size - stretch.lead()).min(left);
                walker.group(*width, codes);
                (widths, left) = (others, left - codes);
            }
            let (whole, last) = widths.split_at(left / group_size);
            match group_size {
                4 => walker.groups_of_four(whole),
                8 if walker.at_byte() => walker.groups_of_eights::<1>(whole),
                16 if walker.at_byte() => walker.groups_of_eights::<2>(whole),
                32 if walker.at_byte() => walker.groups_of_eights::<4>(whole),
                64 if walker.at_byte() => walker.groups_of_eights::<8>(whole),
                _ => {
                    for width in whole {
                        walker.group(*width, group_size);
                    }
                }
            }
            if let [width] = last {
                walker.group(*width, left % group_size);
            }
        }
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
                let scale = self.sink.scale(width);
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
                self.four(width, self.sink.scale(width));
            }
        }
    }

    /// A group of so many codes, or a part of one.
    #[inline(always)]
    unsafe fn group(&mut self, width: u8, codes: usize) {
        let width = usize::from(width);
        // SAFETY: the promise of this `impl`; a spare has room for four.
        unsafe {
            let scale = self.sink.scale(width);
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
