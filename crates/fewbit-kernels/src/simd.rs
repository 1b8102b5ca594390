//! Sixteen lanes of `f32` for the loops that the compiler does not turn into vector code by itself:
//! products of tiles, where which value sits in which register is the whole speed.
//!
//! The number of lanes is the same on every machine, and each operation rounds as the `f32` method of
//! its name does, so that an instruction set changes the speed and not one bit of a result.

/// A lane operation of each kind. A value of such a type proves that the machine can do them.
///
/// All methods are meant to be inlined into a function that is compiled for the instruction set.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// Sixteen numbers.
    type Lanes: Copy;
    /// How many registers hold one [`Self::Lanes`].
    const REGISTERS: usize;

    fn splat(self, value: f32) -> Self::Lanes;

    /// The sixteen numbers from `source` on, which need no alignment.
    ///
    /// # Safety
    /// `source` is valid for reading sixteen numbers.
    unsafe fn load(self, source: *const f32) -> Self::Lanes;

    /// # Safety
    /// `target` is valid for writing sixteen numbers.
    unsafe fn store(self, lanes: Self::Lanes, target: *mut f32);

    fn add(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes;

    /// `a b + c`, rounded once.
    fn multiply_add(self, a: Self::Lanes, b: Self::Lanes, c: Self::Lanes) -> Self::Lanes;

    /// Rows become columns.
    fn transpose(self, rows: [Self::Lanes; 16]) -> [Self::Lanes; 16];

    /// Numbers of `a` and `b` in turn: `[a0, b0, a1, b1, …]`, in two parts.
    fn zip(self, a: Self::Lanes, b: Self::Lanes) -> [Self::Lanes; 2];

    /// The numbers at even places of `a` and then `b`, and those at odd places.
    fn unzip(self, a: Self::Lanes, b: Self::Lanes) -> [Self::Lanes; 2];

    /// The number at each of the places, of which the low five bits count.
    fn look_up(self, table: &[f32; TABLE], places: &[u32; 16]) -> Self::Lanes;
}

/// Numbers of a table that two of the widest registers hold.
pub(crate) const TABLE: usize = 32;

/// Work to be compiled once per instruction set; `run` and all it calls are `#[inline(always)]`.
pub(crate) trait LaneKernel {
    type Output;
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// What every machine has: plain numbers, which the compiler turns into vector code where it can.
#[derive(Clone, Copy)]
pub(crate) struct Plain;

impl Simd for Plain {
    type Lanes = [f32; 16];
    const REGISTERS: usize = 4;

    #[inline(always)]
    fn splat(self, value: f32) -> [f32; 16] {
        [value; 16]
    }

    #[inline(always)]
    unsafe fn load(self, source: *const f32) -> [f32; 16] {
        // SAFETY: the caller's promise; an array of f32 has the alignment of f32.
        unsafe { source.cast::<[f32; 16]>().read() }
    }

    #[inline(always)]
    unsafe fn store(self, lanes: [f32; 16], target: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { target.cast::<[f32; 16]>().write(lanes) }
    }

    #[inline(always)]
    fn add(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        std::array::from_fn(|lane| a[lane] + b[lane])
    }

    #[inline(always)]
    fn multiply_add(self, a: [f32; 16], b: [f32; 16], c: [f32; 16]) -> [f32; 16] {
        std::array::from_fn(|lane| a[lane].mul_add(b[lane], c[lane]))
    }

    #[inline(always)]
    fn transpose(self, rows: [[f32; 16]; 16]) -> [[f32; 16]; 16] {
        std::array::from_fn(|column| std::array::from_fn(|row| rows[row][column]))
    }

    #[inline(always)]
    fn zip(self, a: [f32; 16], b: [f32; 16]) -> [[f32; 16]; 2] {
        let of = |place: usize| if place.is_multiple_of(2) { a[place / 2] } else { b[place / 2] };
        [std::array::from_fn(of), std::array::from_fn(|lane| of(16 + lane))]
    }

    #[inline(always)]
    fn unzip(self, a: [f32; 16], b: [f32; 16]) -> [[f32; 16]; 2] {
        let of = |place: usize| if place < 16 { a[place] } else { b[place - 16] };
        [std::array::from_fn(|lane| of(2 * lane)), std::array::from_fn(|lane| of(2 * lane + 1))]
    }

    #[inline(always)]
    fn look_up(self, table: &[f32; TABLE], places: &[u32; 16]) -> [f32; 16] {
        places.map(|place| table[place as usize % TABLE])
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Simd, TABLE};
    use crate::dispatch::{Avx2, Avx512};

    impl Simd for Avx2 {
        type Lanes = [__m256; 2];
        const REGISTERS: usize = 2;

        #[inline(always)]
        fn splat(self, value: f32) -> [__m256; 2] {
            // SAFETY: here and below, `self` exists only where AVX2 and FMA were detected.
            unsafe { [_mm256_set1_ps(value); 2] }
        }

        #[inline(always)]
        unsafe fn load(self, source: *const f32) -> [__m256; 2] {
            // SAFETY: AVX2 is there; the caller vouches for sixteen numbers.
            unsafe { [_mm256_loadu_ps(source), _mm256_loadu_ps(source.add(8))] }
        }

        #[inline(always)]
        unsafe fn store(self, [low, high]: [__m256; 2], target: *mut f32) {
            // SAFETY: AVX2 is there; the caller vouches for sixteen numbers.
            unsafe {
                _mm256_storeu_ps(target, low);
                _mm256_storeu_ps(target.add(8), high);
            }
        }

        #[inline(always)]
        fn add(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            // SAFETY: AVX2 is there.
            unsafe { [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])] }
        }

        #[inline(always)]
        fn multiply_add(self, a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] {
            // SAFETY: FMA is there.
            unsafe { [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])] }
        }

        #[inline(always)]
        fn transpose(self, rows: [[__m256; 2]; 16]) -> [[__m256; 2]; 16] {
            // Four blocks of 8 by 8, each transposed; the two off the diagonal change places.
            let mut columns = rows;
            for half in 0..2 {
                for first in [0, 8] {
                    let mut block = [rows[0][0]; 8];
                    for (row, eighth) in block.iter_mut().enumerate() {
                        *eighth = rows[first + row][half];
                    }
                    // SAFETY: AVX2 is there.
                    let block = unsafe { transpose_eight(block) };
                    for (column, eighth) in block.into_iter().enumerate() {
                        columns[8 * half + column][first / 8] = eighth;
                    }
                }
            }
            columns
        }

        #[inline(always)]
        fn zip(self, a: [__m256; 2], b: [__m256; 2]) -> [[__m256; 2]; 2] {
            // SAFETY: AVX2 is there.
            unsafe { [zip_eight(a[0], b[0]), zip_eight(a[1], b[1])] }
        }

        #[inline(always)]
        fn unzip(self, a: [__m256; 2], b: [__m256; 2]) -> [[__m256; 2]; 2] {
            // SAFETY: AVX2 is there.
            let [[even_a, odd_a], [even_b, odd_b]] = unsafe { [unzip_eight(a), unzip_eight(b)] };
            [[even_a, even_b], [odd_a, odd_b]]
        }

        #[inline(always)]
        fn look_up(self, table: &[f32; TABLE], places: &[u32; 16]) -> [__m256; 2] {
            // SAFETY: AVX2 is there; the arrays are as long as what is read of them.
            unsafe {
                let mut found = [_mm256_setzero_ps(); 2];
                for (half, found) in found.iter_mut().enumerate() {
                    let places = _mm256_loadu_si256(places.as_ptr().add(8 * half).cast());
                    // Three bits choose within a register; the next two, as signs, the register.
                    let mut of = [_mm256_setzero_ps(); 4];
                    for (eighth, of) in of.iter_mut().enumerate() {
                        let eight = _mm256_loadu_ps(table.as_ptr().add(8 * eighth));
                        *of = _mm256_permutevar8x32_ps(eight, places);
                    }
                    let is_odd = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(places));
                    let is_upper = _mm256_castsi256_ps(_mm256_slli_epi32::<27>(places));
                    let lower = _mm256_blendv_ps(of[0], of[1], is_odd);
                    let upper = _mm256_blendv_ps(of[2], of[3], is_odd);
                    *found = _mm256_blendv_ps(lower, upper, is_upper);
                }
                found
            }
        }
    }

    /// # Safety
    /// The machine has AVX2.
    #[inline(always)]
    unsafe fn zip_eight(a: __m256, b: __m256) -> [__m256; 2] {
        // SAFETY: AVX2 is there by the caller's promise.
        unsafe {
            let [low, high] = [_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b)];
            [_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high)]
        }
    }

    /// # Safety
    /// The machine has AVX2.
    #[inline(always)]
    unsafe fn unzip_eight([a, b]: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: AVX2 is there by the caller's promise.
        unsafe {
            // Within each half of a register, then the pairs of numbers in their order.
            let [even, odd] = [_mm256_shuffle_ps::<0x88>(a, b), _mm256_shuffle_ps::<0xdd>(a, b)];
            let order = |pairs| _mm256_castpd_ps(_mm256_permute4x64_pd::<0xd8>(_mm256_castps_pd(pairs)));
            [order(even), order(odd)]
        }
    }

    /// # Safety
    /// The machine has AVX2.
    #[inline(always)]
    unsafe fn transpose_eight(rows: [__m256; 8]) -> [__m256; 8] {
        // Loops, not closures: in a large caller a closure is compiled by itself, without AVX2.
        // SAFETY: AVX2 is there by the caller's promise.
        unsafe {
            // Within each half of a register, 4 by 4.
            let mut fours = rows;
            for first in [0, 4] {
                let [a, b, c, d] = [rows[first], rows[first + 1], rows[first + 2], rows[first + 3]];
                let [ab, cd] = [_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d)];
                let [ab_high, cd_high] = [_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d)];
                fours[first] = _mm256_shuffle_ps::<0x44>(ab, cd);
                fours[first + 1] = _mm256_shuffle_ps::<0xee>(ab, cd);
                fours[first + 2] = _mm256_shuffle_ps::<0x44>(ab_high, cd_high);
                fours[first + 3] = _mm256_shuffle_ps::<0xee>(ab_high, cd_high);
            }
            let mut columns = rows;
            for i in 0..4 {
                columns[i] = _mm256_permute2f128_ps::<0x20>(fours[i], fours[4 + i]);
                columns[4 + i] = _mm256_permute2f128_ps::<0x31>(fours[i], fours[4 + i]);
            }
            columns
        }
    }

    impl Simd for Avx512 {
        type Lanes = __m512;
        const REGISTERS: usize = 1;

        #[inline(always)]
        fn splat(self, value: f32) -> __m512 {
            // SAFETY: here and below, `self` exists only where AVX-512 F was detected.
            unsafe { _mm512_set1_ps(value) }
        }

        #[inline(always)]
        unsafe fn load(self, source: *const f32) -> __m512 {
            // SAFETY: AVX-512 is there; the caller vouches for sixteen numbers.
            unsafe { _mm512_loadu_ps(source) }
        }

        #[inline(always)]
        unsafe fn store(self, lanes: __m512, target: *mut f32) {
            // SAFETY: AVX-512 is there; the caller vouches for sixteen numbers.
            unsafe { _mm512_storeu_ps(target, lanes) }
        }

        #[inline(always)]
        fn add(self, a: __m512, b: __m512) -> __m512 {
            // SAFETY: AVX-512 is there.
            unsafe { _mm512_add_ps(a, b) }
        }

        #[inline(always)]
        fn multiply_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
            // SAFETY: AVX-512 is there.
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }

        #[inline(always)]
        fn transpose(self, rows: [__m512; 16]) -> [__m512; 16] {
            // Loops, not closures: in a large caller a closure is compiled by itself, without AVX-512.
            // SAFETY: AVX-512 is there.
            unsafe {
                // Within each quarter of a register, 4 by 4.
                let mut fours = rows;
                for four in 0..4 {
                    let [a, b, c, d] =
                        [rows[4 * four], rows[4 * four + 1], rows[4 * four + 2], rows[4 * four + 3]];
                    let [ab, cd] = [_mm512_unpacklo_ps(a, b), _mm512_unpacklo_ps(c, d)];
                    let [ab_high, cd_high] = [_mm512_unpackhi_ps(a, b), _mm512_unpackhi_ps(c, d)];
                    fours[4 * four] = _mm512_shuffle_ps::<0x44>(ab, cd);
                    fours[4 * four + 1] = _mm512_shuffle_ps::<0xee>(ab, cd);
                    fours[4 * four + 2] = _mm512_shuffle_ps::<0x44>(ab_high, cd_high);
                    fours[4 * four + 3] = _mm512_shuffle_ps::<0xee>(ab_high, cd_high);
                }
                // Then the quarters themselves, 4 by 4: row 4 q + i of the result has quarter q of each four.
                let mut columns = rows;
                for i in 0..4 {
                    let [a, b, c, d] = [fours[i], fours[4 + i], fours[8 + i], fours[12 + i]];
                    let [ab, cd] = [_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0x44>(c, d)];
                    let [ab_high, cd_high] =
                        [_mm512_shuffle_f32x4::<0xee>(a, b), _mm512_shuffle_f32x4::<0xee>(c, d)];
                    columns[i] = _mm512_shuffle_f32x4::<0x88>(ab, cd);
                    columns[4 + i] = _mm512_shuffle_f32x4::<0xdd>(ab, cd);
                    columns[8 + i] = _mm512_shuffle_f32x4::<0x88>(ab_high, cd_high);
                    columns[12 + i] = _mm512_shuffle_f32x4::<0xdd>(ab_high, cd_high);
                }
                columns
            }
        }

        #[inline(always)]
        fn zip(self, a: __m512, b: __m512) -> [__m512; 2] {
            // SAFETY: AVX-512 is there. Places from 16 on are those of `b`.
            unsafe {
                let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
                let high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
                [_mm512_permutex2var_ps(a, low, b), _mm512_permutex2var_ps(a, high, b)]
            }
        }

        #[inline(always)]
        fn unzip(self, a: __m512, b: __m512) -> [__m512; 2] {
            // SAFETY: AVX-512 is there. Places from 16 on are those of `b`.
            unsafe {
                let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
                let odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
                [_mm512_permutex2var_ps(a, even, b), _mm512_permutex2var_ps(a, odd, b)]
            }
        }

        #[inline(always)]
        fn look_up(self, table: &[f32; TABLE], places: &[u32; 16]) -> __m512 {
            // SAFETY: AVX-512 is there; the arrays are as long as what is read of them.
            unsafe {
                let places = _mm512_loadu_si512(places.as_ptr().cast());
                let [lower, upper] =
                    [_mm512_loadu_ps(table.as_ptr()), _mm512_loadu_ps(table.as_ptr().add(16))];
                _mm512_permutex2var_ps(lower, places, upper)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::InstructionSet;

    /// Transposes a 16 by 16 matrix and adds `2 m` to it.
    struct TransposeAndAdd([[f32; 16]; 16]);

    impl LaneKernel for TransposeAndAdd {
        type Output = [[f32; 16]; 16];

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Self::Output {
            // SAFETY: each row has sixteen numbers.
            let rows = self.0.map(|row| unsafe { simd.load(row.as_ptr()) });
            let columns = simd.transpose(rows);
            let mut out = [[0.0; 16]; 16];
            for (row, out) in out.iter_mut().enumerate() {
                let sum =
                    simd.add(columns[row], simd.multiply_add(rows[row], simd.splat(2.0), simd.splat(1.0)));
                // SAFETY: each row has sixteen numbers.
                unsafe { simd.store(sum, out.as_mut_ptr()) };
            }
            out
        }
    }

    #[test]
    fn every_set_transposes_and_adds_alike() {
        let matrix: [[f32; 16]; 16] =
            std::array::from_fn(|row| std::array::from_fn(|column| (16 * row + column) as f32));
        let expected: [[f32; 16]; 16] =
            std::array::from_fn(|r| std::array::from_fn(|c| matrix[c][r] + 2.0 * matrix[r][c] + 1.0));
        for set in InstructionSet::available() {
            assert_eq!(set.run_lanes(TransposeAndAdd(matrix)), expected, "{set:?}");
        }
    }

    /// Looks up numbers of a table.
    struct LookUp([u32; 16]);

    impl LaneKernel for LookUp {
        type Output = [f32; 16];

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> [f32; 16] {
            let table = std::array::from_fn(|place| place as f32 + 0.5);
            let mut found = [0.0; 16];
            // SAFETY: there are sixteen.
            unsafe { simd.store(simd.look_up(&table, &self.0), found.as_mut_ptr()) };
            found
        }
    }

    #[test]
    fn every_set_looks_up_alike() {
        for first in [0, 5, 16, 25, u32::MAX] {
            let places: [u32; 16] = std::array::from_fn(|lane| first.wrapping_add(3 * lane as u32));
            for set in InstructionSet::available() {
                let found = set.run_lanes(LookUp(places));
                assert_eq!(found, places.map(|place| (place % 32) as f32 + 0.5), "{set:?}");
            }
        }
    }

    /// Zips two registers, and unzips them.
    struct ZipAndUnzip([[f32; 16]; 2]);

    impl LaneKernel for ZipAndUnzip {
        type Output = [[f32; 16]; 4];

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Self::Output {
            // SAFETY: each row has sixteen numbers.
            let [a, b] = self.0.map(|row| unsafe { simd.load(row.as_ptr()) });
            let ([low, high], [even, odd]) = (simd.zip(a, b), simd.unzip(a, b));
            let mut out = [[0.0; 16]; 4];
            for (lanes, out) in [low, high, even, odd].into_iter().zip(&mut out) {
                // SAFETY: each row has sixteen numbers.
                unsafe { simd.store(lanes, out.as_mut_ptr()) };
            }
            out
        }
    }

    #[test]
    fn every_set_zips_and_unzips_alike() {
        let rows: [[f32; 16]; 2] = std::array::from_fn(|row| std::array::from_fn(|i| (16 * row + i) as f32));
        for set in InstructionSet::available() {
            let [low, high, even, odd] = set.run_lanes(ZipAndUnzip(rows));
            for lane in 0..16 {
                let zipped = [low, high].as_flattened()[2 * lane..][..2].to_vec();
                assert_eq!(zipped, [lane as f32, (16 + lane) as f32], "{set:?}");
                assert_eq!(
                    [even[lane], odd[lane]],
                    [2 * lane, 2 * lane + 1].map(|place| place as f32),
                    "{set:?}"
                );
            }
        }
    }
}
