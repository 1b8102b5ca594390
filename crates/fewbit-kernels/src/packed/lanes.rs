//! Eight or four codes of one width at a time: what each instruction set has to bring.

use super::levels::Level;

/// A way to take codes out of bytes. A value of such a type proves that the machine can go it.
///
/// All methods are meant to be inlined into a function that is compiled for the instruction set.
pub(super) trait Lanes: Copy {
    /// Eight codes.
    type Eight: Copy;
    /// Four codes.
    type Four: Copy;

    /// The eight codes that begin at the lowest bit of `source`.
    ///
    /// # Safety
    /// `width` is at most 16, and [`SLACK`](super::walk::SLACK) bytes can be read.
    unsafe fn eight(self, source: *const u8, width: usize) -> Self::Eight;

    /// The four codes that begin at bit `phase`, 0 to 7, of `source`.
    ///
    /// # Safety
    /// As [`eight`](Self::eight).
    unsafe fn four(self, source: *const u8, phase: usize, width: usize) -> Self::Four;

    /// # Safety
    /// `out` is valid for writing eight codes.
    unsafe fn store_eight_codes(self, codes: Self::Eight, out: *mut u16);

    /// # Safety
    /// `out` is valid for writing four codes.
    unsafe fn store_four_codes(self, codes: Self::Four, out: *mut u16);

    /// Stores [`Level::value`] of each code; without `ENDS` the formula's of every code.
    ///
    /// # Safety
    /// `out` is valid for writing eight numbers.
    unsafe fn store_eight_levels<const ENDS: bool>(self, codes: Self::Eight, level: Level, out: *mut f32);

    /// Stores [`Level::value`] of each code; without `ENDS` the formula's of every code.
    ///
    /// # Safety
    /// `out` is valid for writing four numbers.
    unsafe fn store_four_levels<const ENDS: bool>(self, codes: Self::Four, level: Level, out: *mut f32);
}

/// What every machine has: plain numbers, which the compiler turns into vector code where it can.
#[derive(Clone, Copy)]
pub(super) struct Plain;

impl Plain {
    /// The `N` codes from bit `phase` of `source` on.
    ///
    /// # Safety
    /// As [`Lanes::eight`].
    #[inline(always)]
    unsafe fn codes<const N: usize>(source: *const u8, phase: usize, width: usize) -> [u32; N] {
        let mask = (1 << width) - 1;
        let mut codes = [0; N];
        for (lane, code) in codes.iter_mut().enumerate() {
            let bit = phase + lane * width;
            // SAFETY: `bit / 8` is at most 14 (of eight codes in phase 0, or four in phase 7), so that
            // less than SLACK bytes are read, which the caller vouches for.
            let bytes = unsafe { source.add(bit / 8).cast::<[u8; 4]>().read() };
            // Four bytes hold any code, wherever in the first it begins.
            *code = (u32::from_le_bytes(bytes) >> (bit % 8)) & mask;
        }
        codes
    }

    /// # Safety
    /// `out` is valid for writing `N` codes.
    #[inline(always)]
    unsafe fn store_codes<const N: usize>(codes: [u32; N], out: *mut u16) {
        let mut narrow = [0; N];
        for lane in 0..N {
            narrow[lane] = codes[lane] as u16;
        }
        // SAFETY: the caller's promise; an array of u16 has the alignment of u16.
        unsafe { out.cast::<[u16; N]>().write(narrow) };
    }

    /// # Safety
    /// `out` is valid for writing `N` numbers.
    #[inline(always)]
    unsafe fn store_levels<const ENDS: bool, const N: usize>(codes: [u32; N], level: Level, out: *mut f32) {
        let mut values = [0.0; N];
        for lane in 0..N {
            let code = codes[lane] as i32;
            values[lane] = if ENDS { level.value(code) } else { level.by_formula(code) };
        }
        // SAFETY: the caller's promise; an array of f32 has the alignment of f32.
        unsafe { out.cast::<[f32; N]>().write(values) };
    }
}

impl Lanes for Plain {
    type Eight = [u32; 8];
    type Four = [u32; 4];

    #[inline(always)]
    unsafe fn eight(self, source: *const u8, width: usize) -> [u32; 8] {
        // SAFETY: here and below, the caller's promise is the one that is needed.
        unsafe { Self::codes(source, 0, width) }
    }

    #[inline(always)]
    unsafe fn four(self, source: *const u8, phase: usize, width: usize) -> [u32; 4] {
        // SAFETY: as above.
        unsafe { Self::codes(source, phase, width) }
    }

    #[inline(always)]
    unsafe fn store_eight_codes(self, codes: [u32; 8], out: *mut u16) {
        // SAFETY: as above.
        unsafe { Self::store_codes(codes, out) }
    }

    #[inline(always)]
    unsafe fn store_four_codes(self, codes: [u32; 4], out: *mut u16) {
        // SAFETY: as above.
        unsafe { Self::store_codes(codes, out) }
    }

    #[inline(always)]
    unsafe fn store_eight_levels<const ENDS: bool>(self, codes: [u32; 8], level: Level, out: *mut f32) {
        // SAFETY: as above.
        unsafe { Self::store_levels::<ENDS, _>(codes, level, out) }
    }

    #[inline(always)]
    unsafe fn store_four_levels<const ENDS: bool>(self, codes: [u32; 4], level: Level, out: *mut f32) {
        // SAFETY: as above.
        unsafe { Self::store_levels::<ENDS, _>(codes, level, out) }
    }
}
