//! Every path gives the bits of the scalar twin, packs to what the documents say, and refuses the rest.

use std::num::NonZeroUsize;

use fewbit_testing::Numbers;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Codes of groups whose widths are drawn from `0..=widest`, and one for all codes.
struct Case {
    widths: Vec<u8>,
    group_size: NonZeroUsize,
    codes: Vec<u16>,
    bytes: Vec<u8>,
}

impl Case {
    fn new(seed: u64, count: usize, group_size: usize, widest: u8) -> Self {
        let mut numbers = Numbers::seeded(seed);
        let groups = count.div_ceil(group_size);
        let widths = (0..groups).map(|_| numbers.below(usize::from(widest) + 1) as u8).collect();
        Self::of(&mut numbers, count, group_size, widths)
    }

    fn of(numbers: &mut Numbers, count: usize, group_size: usize, widths: Vec<u8>) -> Self {
        let code = |index: usize| {
            let mask = ((1u32 << widths[index / group_size]) - 1) as u16;
            // The last code, which means the maximum exactly, has to be among few of them too.
            if numbers.below(4) == 0 { mask } else { numbers.bits() as u16 & mask }
        };
        let codes: Vec<u16> = (0..count).map(code).collect();
        let group_size = NonZeroUsize::new(group_size).unwrap();
        let mut bytes = Vec::new();
        pack(&codes, Widths::PerGroup { widths: &widths, group_size }, &mut bytes).unwrap();
        Self { widths, group_size, codes, bytes }
    }

    fn widths(&self) -> Widths<'_> {
        Widths::PerGroup { widths: &self.widths, group_size: self.group_size }
    }

    /// Checks codes and weights of every set against the scalar twin, in `bytes` that lie at any place.
    fn check(&self) {
        self.check_as(self.widths(), &self.bytes);
    }

    fn check_as(&self, widths: Widths<'_>, bytes: &[u8]) {
        let count = self.codes.len();
        let what =
            format!("{count} codes in groups of {}, widths {:?}", self.group_size, self.widths.get(..8));
        assert_eq!(check(bytes, widths, count), Ok(()), "{what}");
        assert_eq!(packed_len(widths, count), Ok(bytes.len() as u64), "{what}");
        let mut twin = vec![0; count];
        scalar::unpack(bytes, widths, &mut twin).unwrap();
        assert!(twin == self.codes, "twin: {what}");
        for set in InstructionSet::available() {
            let mut codes = vec![u16::MAX; count];
            unpack_on(set, bytes, widths, &mut codes).unwrap();
            assert!(codes == self.codes, "{set:?}: {what}");
        }
        for levels in LEVELS {
            let mut twin = vec![f32::NAN; count];
            scalar::dequantize(bytes, widths, levels, &mut twin).unwrap();
            for set in InstructionSet::available() {
                let mut weights = vec![f32::NAN; count];
                dequantize_on(set, bytes, widths, levels, &mut weights).unwrap();
                assert!(bits_of(&weights) == bits_of(&twin), "{set:?}, {levels:?}: {what}");
            }
        }
    }
}

/// An ordinary range; one where the formula misses the maximum; the widest; constants of either zero; one
/// of subnormal numbers; and about zero, ordinary, nothing, subnormal, the largest and beyond.
pub(super) const LEVELS: [Levels; 15] = [
    Levels::MinMax { minimum: -0.31, maximum: 0.47 },
    Levels::MinMax { minimum: -1.0, maximum: 1e-9 },
    Levels::MinMax { minimum: f32::MIN, maximum: f32::MAX },
    Levels::MinMax { minimum: -0.0, maximum: 0.0 },
    Levels::MinMax { minimum: 0.0, maximum: -0.0 },
    Levels::MinMax { minimum: 0.3, maximum: 0.3 },
    Levels::MinMax { minimum: -1e-45, maximum: 1e-44 },
    Levels::Signed { half_width: 0.37 },
    Levels::Signed { half_width: 0.0 },
    Levels::Signed { half_width: 3e-45 },
    Levels::Signed { half_width: f32::MAX },
    Levels::Stepped { step: 0.013 },
    Levels::Stepped { step: 0.0 },
    Levels::Stepped { step: 1e-45 },
    Levels::Stepped { step: 1e35 },
];

/// Bits of the numbers, so that a comparison tells zeros apart.
pub(super) fn bits_of(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

/// Around four, eight and the group sizes, and past what has to be copied at the end.
const LENGTHS: [usize; 20] = [0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 31, 33, 63, 64, 65, 200, 1003];

#[test]
fn every_width_length_and_group_size_gives_the_codes_and_weights_of_the_twin() {
    for (seed, length) in (0..).zip(LENGTHS) {
        for group_size in [1, 2, 3, 4, 5, 8, 12, 16, 20, 24, 32, 64, 100, usize::MAX] {
            for widest in [0, 1, 3, 8, 15, 16] {
                Case::new(seed, length, group_size, widest).check();
            }
        }
    }
}

#[test]
fn one_width_for_all_is_one_group() {
    for width in 0..=MAX_WIDTH {
        for length in LENGTHS {
            let widths = vec![width; usize::from(length > 0)];
            let case = Case::of(&mut Numbers::seeded(width.into()), length, length.max(1), widths);
            case.check_as(Widths::Uniform(width), &case.bytes);
        }
    }
}

#[test]
fn bytes_may_lie_anywhere() {
    for offset in 0..40 {
        let case = Case::new(offset as u64, 300, 8, 15);
        let mut file = vec![0xff; offset];
        file.extend(&case.bytes);
        file.extend([0xff; 3]);
        case.check_as(case.widths(), &file[offset..][..case.bytes.len()]);
    }
}

#[test]
fn groups_without_bits_at_the_end_have_no_bytes_to_be_read() {
    for group_size in [4, 8, 13] {
        let count = 700 * group_size;
        let mut widths = vec![0; 700];
        widths[..3].copy_from_slice(&[15, 0, 3]);
        Case::of(&mut Numbers::seeded(5), count, group_size, widths).check();
    }
}

#[test]
fn chunks_give_the_same_as_one_piece() {
    for count in [CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 77] {
        for group_size in [4, 7, 8, 16, CHUNK + 3, usize::MAX] {
            Case::new(count as u64, count, group_size, 15).check();
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let case = Case::new(1, 5 * CHUNK + 123, 8, 9);
    let of_threads = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut weights = vec![f32::NAN; case.codes.len()];
        let mut by_channel = weights.clone();
        let of_channel = |channel: usize| LEVELS[channel % LEVELS.len()];
        pool.install(|| {
            dequantize(&case.bytes, case.widths(), LEVELS[0], &mut weights).unwrap();
            let size = NonZeroUsize::new(1000).unwrap();
            dequantize_channels(&case.bytes, case.widths(), 77, size, of_channel, &mut by_channel).unwrap();
        });
        (bits_of(&weights), bits_of(&by_channel))
    };
    let one = of_threads(1);
    assert!(of_threads(2) == one && of_threads(3) == one);
}

#[test]
fn channels_have_their_own_ranges_wherever_groups_end() {
    for (count, group_size, channel_size) in [
        (0, 8, 9),
        (1, 8, 9),
        (144, 8, 9),
        (576, 8, 72),
        (600, 4, 27),
        (601, 16, 200),
        (601, 100, 8),
        (2 * CHUNK + 50, 8, 4608),
        (CHUNK + 9, 8, CHUNK + 2),
    ] {
        let case = Case::new(3, count, group_size, 15);
        let mut numbers = Numbers::seeded(4);
        let first = count / 5;
        let levels: Vec<Levels> = (0..(first + count).div_ceil(channel_size))
            .map(|_| match numbers.below(LEVELS.len() + 3) {
                0 => Levels::MinMax { minimum: numbers.unit() - 1.0, maximum: numbers.unit() },
                1 => Levels::Signed { half_width: numbers.unit() },
                2 => Levels::Stepped { step: numbers.unit() },
                other => LEVELS[other - 3],
            })
            .collect();
        let channel_size = NonZeroUsize::new(channel_size).unwrap();
        let of_channel = |channel: usize| levels[channel];
        let mut twin = vec![f32::NAN; count];
        let (bytes, widths) = (&case.bytes, case.widths());
        scalar::dequantize_channels(bytes, widths, first, channel_size, of_channel, &mut twin).unwrap();
        for set in InstructionSet::available() {
            let mut weights = vec![f32::NAN; count];
            dequantize_channels_on(set, bytes, widths, first, channel_size, of_channel, &mut weights)
                .unwrap();
            assert!(bits_of(&weights) == bits_of(&twin), "{set:?}, {count} in channels of {channel_size}");
        }
    }
}

/// Worked by hand: of three bits, four steps below zero to three above.
#[test]
fn levels_about_zero_are_those_of_twos_complement() {
    let mut bytes = Vec::new();
    pack(&[0, 1, 4, 7], Widths::Uniform(3), &mut bytes).unwrap();
    let found = |levels| {
        let mut weights = [f32::NAN; 4];
        dequantize(&bytes, Widths::Uniform(3), levels, &mut weights).unwrap();
        weights
    };
    assert_eq!(found(Levels::Signed { half_width: 2.0 }), [-2.0, -1.5, 0.0, 1.5]);
    assert_eq!(found(Levels::Stepped { step: 2.0 }), [-8.0, -6.0, 0.0, 6.0]);
    // 4e38 is beyond the largest, 3.4e38.
    assert_eq!(found(Levels::Stepped { step: 1e38 }), [f32::MIN, -3e38, 0.0, 3e38]);
}

/// The string of bits of the example in the module's documentation, in one group size and another.
#[test]
fn the_layout_is_that_of_the_documents() {
    let mut bytes = vec![7];
    pack(&[5, 3, 6, 1], Widths::Uniform(3), &mut bytes).unwrap();
    // 101 110 011 100 from the left: 1001_1101 is the first byte, 0000_0011 the second.
    assert_eq!(bytes, [7, 0x9d, 0x03]);
    let group_size = NonZeroUsize::new(2).unwrap();
    bytes.clear();
    pack(&[0xabcd, 1, 0, 0, 2], Widths::PerGroup { widths: &[16, 0, 2], group_size }, &mut bytes).unwrap();
    assert_eq!(bytes, [0xcd, 0xab, 0x01, 0x00, 0x02]);
}

#[test]
fn a_code_that_does_not_fit_is_named_and_nothing_is_packed() {
    let mut bytes = vec![1, 2];
    let group_size = NonZeroUsize::new(40).unwrap();
    let mut codes = [1; 100];
    codes[77] = 4;
    let found = pack(&codes, Widths::PerGroup { widths: &[1, 2, 3], group_size }, &mut bytes);
    assert_eq!(found, Err(PackedError::CodeTooLarge { index: 77, code: 4, width: 2 }));
    assert_eq!(bytes, [1, 2]);
    let found = pack(&[0, 0, 1], Widths::Uniform(0), &mut bytes);
    assert_eq!(found, Err(PackedError::CodeTooLarge { index: 2, code: 1, width: 0 }));
    pack(&[u16::MAX], Widths::Uniform(16), &mut bytes).unwrap();
}

#[test]
fn faults_are_named_with_their_place() {
    let widths = Widths::Uniform(3);
    let fault = |bytes: &[u8]| unpack(bytes, widths, &mut [0; 5]).unwrap_err();
    assert_eq!(fault(&[0]), PackedError::ByteCount { expected: 2, found: 1 });
    assert_eq!(fault(&[0]).offset(), Some(1));
    assert_eq!(fault(&[0, 0, 0]).offset(), Some(2));
    let padding = fault(&[0, 0x80]);
    assert_eq!(padding, PackedError::PaddingNotZero { offset: 1, byte: 0x80, used: 7 });
    assert_eq!(padding.offset(), Some(1));
    assert_eq!(padding.to_string(), "byte 1, 0x80, has bits beyond the 7 that codes use");
    let wide = PackedError::WidthTooLarge { group: 0, width: 17 };
    assert_eq!(check(&[], Widths::Uniform(17), 0), Err(wide));
    let group_size = NonZeroUsize::new(2).unwrap();
    let per_group = |widths| Widths::PerGroup { widths, group_size };
    let wide = PackedError::WidthTooLarge { group: 1, width: 255 };
    assert_eq!(check(&[], per_group(&[0, 255, 200]), 6), Err(wide));
    let count = PackedError::WidthCount { expected: 3, found: 2 };
    assert_eq!(check(&[], per_group(&[0, 0]), 5), Err(count));
    let count = PackedError::WidthCount { expected: 0, found: 1 };
    assert_eq!(check(&[], per_group(&[0]), 0), Err(count));
}

#[test]
fn a_number_of_codes_that_cannot_be_is_a_fault_and_no_overflow() {
    let expected = u64::MAX.div_ceil(8);
    let fault = PackedError::ByteCount { expected, found: 1 };
    assert_eq!(check(&[0], Widths::Uniform(16), usize::MAX), Err(fault));
    assert_eq!(check(&[], Widths::Uniform(0), usize::MAX), Ok(()));
}

#[test]
fn bytes_with_a_fault_leave_the_output_alone() {
    let mut codes = [9; 5];
    unpack(&[0, 0x80], Widths::Uniform(3), &mut codes).unwrap_err();
    assert_eq!(codes, [9; 5]);
}

proptest! {
    #[test]
    fn what_is_packed_is_unpacked(
        seed in any::<u64>(), count in 0usize..3000, group_size in 1usize..80, widest in 0u8..=16,
    ) {
        Case::new(seed, count, group_size, widest).check();
    }

    #[test]
    fn any_bytes_are_sound_or_refused(data in vec(any::<u8>(), 0..600)) {
        unpack_arbitrary(&data);
    }

    /// Random bytes are almost never of the right number; these are.
    #[test]
    fn sound_bytes_are_found_sound_and_flipped_padding_is_not(
        widths in vec(0u8..=16, 1..40), group_size in 1usize..20, seed in any::<u64>(),
    ) {
        let count = widths.len() * group_size - seed as usize % group_size;
        let case = Case::of(&mut Numbers::seeded(seed), count, group_size, widths);
        let mut data = (count as u16).to_le_bytes().to_vec();
        data.extend([group_size as u8 - 1, seed as u8, 255]);
        data.extend(&case.widths);
        data.extend(&case.bytes);
        prop_assert!(unpack_arbitrary(&data));
        let used = Stretch::new(&case.widths(), count).unwrap().bits() % 8;
        if used != 0 {
            *data.last_mut().unwrap() |= 0x80;
            prop_assert!(!unpack_arbitrary(&data));
        }
        data.push(0);
        prop_assert!(!unpack_arbitrary(&data));
    }
}
