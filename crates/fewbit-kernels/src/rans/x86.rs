//! Thirty-two lanes at once with AVX2 and AVX-512.
//!
//! Which words go to which lanes is the one thing that lanes cannot decide alone. AVX-512 has an
//! instruction that gives the next words to the lanes of a mask; with AVX2 a table holds, for each mask of
//! eight lanes, how many of the lanes before a lane need a word.

use std::arch::x86_64::*;

use super::MOST_LANES;
use super::lanes::Lanes;
use super::slots::{PACKED_SLOTS, Packed, SPLIT_SLOTS, Slots, Split};
use crate::dispatch::InstructionSet;

type AllLanes<'a> = Lanes<'a, MOST_LANES>;
type Group = [u8; MOST_LANES];

/// [`Lanes::pop_groups`] with the instructions of a set.
pub(super) fn pop_groups<S: VectorSlots>(
    set: InstructionSet,
    slots: S,
    lanes: &mut AllLanes<'_>,
    out: &mut [Group],
) -> usize {
    // Every machine with AVX2 counts bits, but the sets do not promise it.
    match set {
        // SAFETY: the set is proof of AVX-512, and `popcnt` was asked for.
        InstructionSet::Avx512(_) if is_x86_feature_detected!("popcnt") => unsafe {
            pop_groups_avx512(slots, lanes, out)
        },
        // SAFETY: the set is proof of AVX2, and `popcnt` was asked for.
        InstructionSet::Avx2(_) if is_x86_feature_detected!("popcnt") => unsafe {
            pop_groups_avx2(slots, lanes, out)
        },
        _ => lanes.pop_groups(slots, out),
    }
}

/// [`Slots::pop`] for many states.
pub(super) trait VectorSlots: Slots {
    /// The bits of a state that say which slot it is in.
    fn slot_mask(self) -> u32;

    /// Of eight states: symbols in the low bytes, with anything above them, and states.
    ///
    /// # Safety
    /// The machine has AVX2.
    unsafe fn pop_eight(self, states: __m256i) -> (__m256i, __m256i);

    /// Of sixteen states: symbols in the low bytes, with anything above them, and states.
    ///
    /// # Safety
    /// The machine has AVX-512 F.
    unsafe fn pop_sixteen(self, states: __m512i) -> (__m512i, __m512i);
}

impl VectorSlots for Packed<'_> {
    #[inline(always)]
    fn slot_mask(self) -> u32 {
        ((1 << self.precision) - 1) % PACKED_SLOTS as u32
    }

    #[inline(always)]
    unsafe fn pop_eight(self, states: __m256i) -> (__m256i, __m256i) {
        // SAFETY: AVX2 is there by the caller's promise; a masked state is below the length of `slots`.
        unsafe {
            let slot = _mm256_and_si256(states, _mm256_set1_epi32(self.slot_mask() as i32));
            let entry = _mm256_i32gather_epi32::<4>(self.slots.as_ptr().cast(), slot);
            let frequency = _mm256_and_si256(_mm256_srli_epi32::<8>(entry), _mm256_set1_epi32(0xfff));
            let high = _mm256_srl_epi32(states, _mm_cvtsi32_si128(self.precision as i32));
            let product = _mm256_mullo_epi32(frequency, high);
            (entry, _mm256_add_epi32(product, _mm256_srli_epi32::<20>(entry)))
        }
    }

    #[inline(always)]
    unsafe fn pop_sixteen(self, states: __m512i) -> (__m512i, __m512i) {
        // SAFETY: AVX-512 is there by the caller's promise; a masked state is below the length of `slots`.
        unsafe {
            let slot = _mm512_and_si512(states, _mm512_set1_epi32(self.slot_mask() as i32));
            let entry = _mm512_i32gather_epi32::<4>(slot, self.slots.as_ptr().cast());
            let frequency = _mm512_and_si512(_mm512_srli_epi32::<8>(entry), _mm512_set1_epi32(0xfff));
            let high = _mm512_srl_epi32(states, _mm_cvtsi32_si128(self.precision as i32));
            let product = _mm512_mullo_epi32(frequency, high);
            (entry, _mm512_add_epi32(product, _mm512_srli_epi32::<20>(entry)))
        }
    }
}

impl VectorSlots for Split<'_> {
    #[inline(always)]
    fn slot_mask(self) -> u32 {
        ((1 << self.precision) - 1) % SPLIT_SLOTS as u32
    }

    #[inline(always)]
    unsafe fn pop_eight(self, states: __m256i) -> (__m256i, __m256i) {
        // SAFETY: AVX2 is there by the caller's promise; a masked state is below the number of slots, which
        // three more bytes follow; a byte is below 256.
        unsafe {
            let slot = _mm256_and_si256(states, _mm256_set1_epi32(self.slot_mask() as i32));
            let four = _mm256_i32gather_epi32::<1>(self.symbols.as_ptr().cast(), slot);
            let symbol = _mm256_and_si256(four, _mm256_set1_epi32(0xff));
            let share = _mm256_i32gather_epi32::<4>(self.shares.as_ptr().cast(), symbol);
            let frequency = _mm256_and_si256(share, _mm256_set1_epi32(0xffff));
            let high = _mm256_srl_epi32(states, _mm_cvtsi32_si128(self.precision as i32));
            let product = _mm256_mullo_epi32(frequency, high);
            let distance = _mm256_sub_epi32(slot, _mm256_srli_epi32::<16>(share));
            (symbol, _mm256_add_epi32(product, distance))
        }
    }

    #[inline(always)]
    unsafe fn pop_sixteen(self, states: __m512i) -> (__m512i, __m512i) {
        // SAFETY: AVX-512 is there by the caller's promise; a masked state is below the number of slots,
        // which three more bytes follow; a byte is below 256.
        unsafe {
            let slot = _mm512_and_si512(states, _mm512_set1_epi32(self.slot_mask() as i32));
            let four = _mm512_i32gather_epi32::<1>(slot, self.symbols.as_ptr().cast());
            let symbol = _mm512_and_si512(four, _mm512_set1_epi32(0xff));
            let share = _mm512_i32gather_epi32::<4>(symbol, self.shares.as_ptr().cast());
            let frequency = _mm512_and_si512(share, _mm512_set1_epi32(0xffff));
            let high = _mm512_srl_epi32(states, _mm_cvtsi32_si128(self.precision as i32));
            let product = _mm512_mullo_epi32(frequency, high);
            let distance = _mm512_sub_epi32(slot, _mm512_srli_epi32::<16>(share));
            (symbol, _mm512_add_epi32(product, distance))
        }
    }
}

#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,popcnt")]
fn pop_groups_avx512<S: VectorSlots>(slots: S, lanes: &mut AllLanes<'_>, out: &mut [Group]) -> usize {
    let Some(last) = lanes.words.len().checked_sub(MOST_LANES) else {
        return 0;
    };
    let words: *const u8 = lanes.words.as_ptr().cast();
    let mut position = lanes.position;
    // SAFETY: AVX-512 is there. `states` holds two registers. A group is done only while thirty-two words
    // follow `position`; the first half takes sixteen at most, so that the second half finds sixteen.
    unsafe {
        let stored: *mut u32 = lanes.states.as_mut_ptr();
        let (mut low, mut high) =
            (_mm512_loadu_si512(stored.cast()), _mm512_loadu_si512(stored.add(16).cast()));
        let start = _mm512_set1_epi32(super::START as i32);
        let mut done = 0;
        for group in out {
            if position > last {
                break;
            }
            let (low_symbols, low_states) = slots.pop_sixteen(low);
            let (high_symbols, high_states) = slots.pop_sixteen(high);
            let group: *mut __m128i = group.as_mut_ptr().cast();
            _mm_storeu_si128(group, _mm512_cvtepi32_epi8(low_symbols));
            _mm_storeu_si128(group.add(1), _mm512_cvtepi32_epi8(high_symbols));

            let low_needs = _mm512_cmplt_epu32_mask(low_states, start);
            let high_needs = _mm512_cmplt_epu32_mask(high_states, start);
            let low_count = low_needs.count_ones() as usize;
            low = renormalise_sixteen(low_states, low_needs, words.add(2 * position));
            high = renormalise_sixteen(high_states, high_needs, words.add(2 * (position + low_count)));
            position += low_count + high_needs.count_ones() as usize;
            done += 1;
        }
        _mm512_storeu_si512(stored.cast(), low);
        _mm512_storeu_si512(stored.add(16).cast(), high);
        lanes.position = position;
        done
    }
}

/// The states, those of the mask moved up by the next words in turn.
///
/// # Safety
/// The machine has AVX-512, and `words` has 32 bytes.
#[inline(always)]
unsafe fn renormalise_sixteen(states: __m512i, needs: __mmask16, words: *const u8) -> __m512i {
    // SAFETY: by the caller's promise.
    unsafe {
        let next = _mm512_cvtepu16_epi32(_mm256_loadu_si256(words.cast()));
        let spread = _mm512_maskz_expand_epi32(needs, next);
        _mm512_mask_or_epi32(states, needs, _mm512_slli_epi32::<16>(states), spread)
    }
}

/// For each mask of eight lanes, how many of those before a lane are in it.
static LANES_BEFORE: [[u32; 8]; 256] = {
    let mut table = [[0; 8]; 256];
    let mut mask = 0;
    while mask < 256 {
        let mut lane = 1;
        while lane < 8 {
            table[mask][lane] = (mask & ((1 << lane) - 1)).count_ones();
            lane += 1;
        }
        mask += 1;
    }
    table
};

#[target_feature(enable = "avx2,fma,popcnt")]
fn pop_groups_avx2<S: VectorSlots>(slots: S, lanes: &mut AllLanes<'_>, out: &mut [Group]) -> usize {
    let Some(last) = lanes.words.len().checked_sub(MOST_LANES) else {
        return 0;
    };
    let words: *const u8 = lanes.words.as_ptr().cast();
    let mut position = lanes.position;
    // SAFETY: AVX2 is there. `states` holds four registers. A group is done only while thirty-two words
    // follow `position`; each quarter takes eight at most, so that the next one finds eight.
    unsafe {
        let stored: *mut __m256i = lanes.states.as_mut_ptr().cast();
        let mut states = [_mm256_setzero_si256(); 4];
        for (quarter, states) in states.iter_mut().enumerate() {
            *states = _mm256_loadu_si256(stored.add(quarter));
        }
        let byte = _mm256_set1_epi32(0xff);
        let mut done = 0;
        for group in out {
            if position > last {
                break;
            }
            let mut symbols = [_mm256_setzero_si256(); 4];
            for quarter in 0..4 {
                let (found, popped) = slots.pop_eight(states[quarter]);
                symbols[quarter] = _mm256_and_si256(found, byte);
                let (state, count) = renormalise_eight(popped, words.add(2 * position));
                states[quarter] = state;
                position += count;
            }
            // Packing works on halves of registers: fours of bytes come out as 0 2 4 6 1 3 5 7.
            let low = _mm256_packus_epi32(symbols[0], symbols[1]);
            let high = _mm256_packus_epi32(symbols[2], symbols[3]);
            let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
            let bytes = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(low, high), order);
            _mm256_storeu_si256(group.as_mut_ptr().cast(), bytes);
            done += 1;
        }
        for (quarter, states) in states.into_iter().enumerate() {
            _mm256_storeu_si256(stored.add(quarter), states);
        }
        lanes.position = position;
        done
    }
}

/// The states, those below the start moved up by the next words in turn, and how many they are.
///
/// # Safety
/// The machine has AVX2, and `words` has 16 bytes.
#[inline(always)]
unsafe fn renormalise_eight(states: __m256i, words: *const u8) -> (__m256i, usize) {
    // SAFETY: by the caller's promise; a mask of eight lanes is below 256.
    unsafe {
        let needs = _mm256_cmpeq_epi32(_mm256_srli_epi32::<16>(states), _mm256_setzero_si256());
        let mask = _mm256_movemask_ps(_mm256_castsi256_ps(needs)) as u8;
        let next = _mm256_cvtepu16_epi32(_mm_loadu_si128(words.cast()));
        let before = _mm256_loadu_si256(LANES_BEFORE[usize::from(mask)].as_ptr().cast());
        let spread = _mm256_permutevar8x32_epi32(next, before);
        let moved = _mm256_or_si256(_mm256_slli_epi32::<16>(states), spread);
        (_mm256_blendv_epi8(states, moved, needs), mask.count_ones() as usize)
    }
}
