//! Codes with the vector instructions of x86-64.
//!
//! One shuffle brings the bytes that hold a code to a lane of 32 bits, a shift of each lane by its own
//! count brings the code to the lowest bit, a mask cuts off what is not of it. Which bytes and which
//! counts depend on the width, and are looked up. Levels are computed in double precision, four or eight
//! at once.

use std::arch::x86_64::*;

use super::MAX_WIDTH;
use super::lanes::Lanes;
use super::levels::Level;
use crate::dispatch::{Avx2, Avx512};

/// For each of `N` codes, the bytes of 16 that it begins in, and by how much it is to be shifted.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
struct Places<const N: usize> {
    bytes: [[u8; 4]; N],
    shifts: [u32; N],
}

impl<const N: usize> Places<N> {
    const fn of(phase: usize, width: usize) -> Self {
        /// The shuffle's word for a zero.
        const NONE: u8 = 0x80;
        let mut places = Self { bytes: [[NONE; 4]; N], shifts: [0; N] };
        let mut lane = 0;
        while lane < N {
            let bit = phase + lane * width;
            places.shifts[lane] = (bit % 8) as u32;
            let mut byte = 0;
            while byte < (bit % 8 + width).div_ceil(8) {
                places.bytes[lane][byte] = (bit / 8 + byte) as u8;
                byte += 1;
            }
            lane += 1;
        }
        places
    }
}

const WIDTHS: usize = MAX_WIDTH as usize + 1;

/// By width.
static EIGHT: [Places<8>; WIDTHS] = {
    let mut places = [Places::of(0, 0); WIDTHS];
    let mut width = 0;
    while width < WIDTHS {
        places[width] = Places::of(0, width);
        width += 1;
    }
    places
};

/// By width and phase.
static FOUR: [[Places<4>; 8]; WIDTHS] = {
    let mut places = [[Places::of(0, 0); 8]; WIDTHS];
    let mut width = 0;
    while width < WIDTHS {
        let mut phase = 0;
        while phase < 8 {
            places[width][phase] = Places::of(phase, width);
            phase += 1;
        }
        width += 1;
    }
    places
};

/// The bits of a code, by width. Looked up too, because a register is sooner filled from memory than from
/// a number just computed.
static MASK: [i32; WIDTHS] = {
    let mut masks = [0; WIDTHS];
    let mut width = 0;
    while width < WIDTHS {
        masks[width] = (1 << width) - 1;
        width += 1;
    }
    masks
};

/// # Safety
/// The machine has AVX2, `width` is at most 16, and 16 bytes can be read.
#[inline(always)]
unsafe fn eight(source: *const u8, width: usize) -> __m256i {
    // SAFETY: the caller's promise; the places are as long as the registers.
    unsafe {
        let places = EIGHT.get_unchecked(width);
        let bytes = _mm256_broadcastsi128_si256(_mm_loadu_si128(source.cast()));
        let words = _mm256_shuffle_epi8(bytes, _mm256_load_si256(places.bytes.as_ptr().cast()));
        let codes = _mm256_srlv_epi32(words, _mm256_load_si256(places.shifts.as_ptr().cast()));
        _mm256_and_si256(codes, _mm256_set1_epi32(*MASK.get_unchecked(width)))
    }
}

/// # Safety
/// The machine has AVX2, `width` is at most 16 and `phase` at most 7, and 16 bytes can be read.
#[inline(always)]
unsafe fn four(source: *const u8, phase: usize, width: usize) -> __m128i {
    // SAFETY: the caller's promise; the places are as long as the registers.
    unsafe {
        let places = FOUR.get_unchecked(width).get_unchecked(phase);
        let words =
            _mm_shuffle_epi8(_mm_loadu_si128(source.cast()), _mm_load_si128(places.bytes.as_ptr().cast()));
        let codes = _mm_srlv_epi32(words, _mm_load_si128(places.shifts.as_ptr().cast()));
        _mm_and_si128(codes, _mm_set1_epi32(*MASK.get_unchecked(width)))
    }
}

/// # Safety
/// The machine has AVX2, and `out` is valid for writing eight codes.
#[inline(always)]
unsafe fn store_eight_codes(codes: __m256i, out: *mut u16) {
    // SAFETY: the caller's promise.
    unsafe {
        let low = _mm256_castsi256_si128(codes);
        let narrow = _mm_packus_epi32(low, _mm256_extracti128_si256::<1>(codes));
        _mm_storeu_si128(out.cast(), narrow);
    }
}

/// # Safety
/// The machine has AVX2, and `out` is valid for writing four codes.
#[inline(always)]
unsafe fn store_four_codes(codes: __m128i, out: *mut u16) {
    // SAFETY: the caller's promise.
    unsafe { _mm_storel_epi64(out.cast(), _mm_packus_epi32(codes, codes)) }
}

/// The formula's value of four codes, which is not always that of the last, and not always finite.
///
/// # Safety
/// The machine has AVX2.
#[inline(always)]
unsafe fn four_values(codes: __m128i, level: Level) -> __m128 {
    // SAFETY: the caller's promise.
    unsafe {
        // Not fused: the formula rounds the product.
        let products = _mm256_mul_pd(_mm256_cvtepi32_pd(codes), _mm256_set1_pd(level.step));
        _mm256_cvtpd_ps(_mm256_add_pd(products, _mm256_set1_pd(level.base)))
    }
}

/// The nearest numbers that are finite.
///
/// # Safety
/// The machine has AVX2.
#[inline(always)]
unsafe fn finite(values: __m256) -> __m256 {
    // SAFETY: the caller's promise.
    unsafe { _mm256_min_ps(_mm256_max_ps(values, _mm256_set1_ps(f32::MIN)), _mm256_set1_ps(f32::MAX)) }
}

/// # Safety
/// The machine has AVX2, and `out` is valid for writing four numbers.
#[inline(always)]
unsafe fn store_four_levels<const ENDS: bool>(codes: __m128i, level: Level, out: *mut f32) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut values = four_values(codes, level);
        if ENDS {
            values = _mm_min_ps(_mm_max_ps(values, _mm_set1_ps(f32::MIN)), _mm_set1_ps(f32::MAX));
            let is_last = _mm_cmpeq_epi32(codes, _mm_set1_epi32(level.last_code));
            values = _mm_blendv_ps(values, _mm_set1_ps(level.last), _mm_castsi128_ps(is_last));
        }
        _mm_storeu_ps(out, values);
    }
}

impl Lanes for Avx2 {
    type Eight = __m256i;
    type Four = __m128i;

    #[inline(always)]
    unsafe fn eight(self, source: *const u8, width: usize) -> __m256i {
        // SAFETY: here and below, `self` exists only where AVX2 was detected; the rest is the caller's
        // promise.
        unsafe { eight(source, width) }
    }

    #[inline(always)]
    unsafe fn four(self, source: *const u8, phase: usize, width: usize) -> __m128i {
        // SAFETY: as above.
        unsafe { four(source, phase, width) }
    }

    #[inline(always)]
    unsafe fn store_eight_codes(self, codes: __m256i, out: *mut u16) {
        // SAFETY: as above.
        unsafe { store_eight_codes(codes, out) }
    }

    #[inline(always)]
    unsafe fn store_four_codes(self, codes: __m128i, out: *mut u16) {
        // SAFETY: as above.
        unsafe { store_four_codes(codes, out) }
    }

    #[inline(always)]
    unsafe fn store_eight_levels<const ENDS: bool>(self, codes: __m256i, level: Level, out: *mut f32) {
        // SAFETY: as above.
        unsafe {
            let low = four_values(_mm256_castsi256_si128(codes), level);
            let high = four_values(_mm256_extracti128_si256::<1>(codes), level);
            let mut values = _mm256_set_m128(high, low);
            if ENDS {
                values = finite(values);
                let is_last = _mm256_cmpeq_epi32(codes, _mm256_set1_epi32(level.last_code));
                let last = _mm256_set1_ps(level.last);
                values = _mm256_blendv_ps(values, last, _mm256_castsi256_ps(is_last));
            }
            _mm256_storeu_ps(out, values);
        }
    }

    #[inline(always)]
    unsafe fn store_four_levels<const ENDS: bool>(self, codes: __m128i, level: Level, out: *mut f32) {
        // SAFETY: as above.
        unsafe { store_four_levels::<ENDS>(codes, level, out) }
    }
}

impl Lanes for Avx512 {
    type Eight = __m256i;
    type Four = __m128i;

    #[inline(always)]
    unsafe fn eight(self, source: *const u8, width: usize) -> __m256i {
        // SAFETY: here and below, `self` exists only where AVX-512 was detected, which brings AVX2; the
        // rest is the caller's promise.
        unsafe { eight(source, width) }
    }

    #[inline(always)]
    unsafe fn four(self, source: *const u8, phase: usize, width: usize) -> __m128i {
        // SAFETY: as above.
        unsafe { four(source, phase, width) }
    }

    #[inline(always)]
    unsafe fn store_eight_codes(self, codes: __m256i, out: *mut u16) {
        // SAFETY: as above.
        unsafe { _mm_storeu_si128(out.cast(), _mm256_cvtepi32_epi16(codes)) }
    }

    #[inline(always)]
    unsafe fn store_four_codes(self, codes: __m128i, out: *mut u16) {
        // SAFETY: as above.
        unsafe { store_four_codes(codes, out) }
    }

    #[inline(always)]
    unsafe fn store_eight_levels<const ENDS: bool>(self, codes: __m256i, level: Level, out: *mut f32) {
        // SAFETY: as above.
        unsafe {
            let products = _mm512_mul_pd(_mm512_cvtepi32_pd(codes), _mm512_set1_pd(level.step));
            let mut values = _mm512_cvtpd_ps(_mm512_add_pd(products, _mm512_set1_pd(level.base)));
            if ENDS {
                values = finite(values);
                let is_last = _mm256_cmpeq_epi32_mask(codes, _mm256_set1_epi32(level.last_code));
                values = _mm256_mask_blend_ps(is_last, values, _mm256_set1_ps(level.last));
            }
            _mm256_storeu_ps(out, values);
        }
    }

    #[inline(always)]
    unsafe fn store_four_levels<const ENDS: bool>(self, codes: __m128i, level: Level, out: *mut f32) {
        // SAFETY: as above.
        unsafe { store_four_levels::<ENDS>(codes, level, out) }
    }
}
