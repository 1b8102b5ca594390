//! What a fuzzer calls: any bytes, read as packed codes.

use std::num::NonZeroUsize;

use super::{Levels, Widths, check, dequantize_channels_on, dequantize_on, pack, scalar, unpack_on};
use crate::dispatch::InstructionSet;

/// The most codes that are tried: past every place where the fast paths change.
const MOST_CODES: usize = 4096;

/// Reads any bytes as a number of codes, a group size, widths and packed codes, and says whether these
/// are sound.
///
/// # Panics
/// When something is not as it must be: a set of instructions that finds other codes or weights than the
/// scalar twin, a fault that is found by one function and not by another, or sound codes that are packed
/// to other bytes.
pub fn unpack_arbitrary(data: &[u8]) -> bool {
    let [low, high, group_size, channel_size, uniform, rest @ ..] = data else {
        return false;
    };
    let count = usize::from(u16::from_le_bytes([*low, *high])) % (MOST_CODES + 1);
    let one_more = |byte: u8| NonZeroUsize::MIN.saturating_add(byte.into());
    let (group_size, channel_size) = (one_more(*group_size), one_more(*channel_size));
    let (widths, bytes) = if *uniform < 32 {
        (Widths::Uniform(*uniform), rest)
    } else {
        let groups = count.div_ceil(group_size.get()).min(rest.len());
        let (widths, bytes) = rest.split_at(groups);
        (Widths::PerGroup { widths, group_size }, bytes)
    };

    let sound = check(bytes, widths, count);
    let mut codes = vec![0; count];
    assert_eq!(scalar::unpack(bytes, widths, &mut codes), sound);
    let levels = Levels::MinMax { minimum: -0.3, maximum: 0.7 };
    // Of all kinds, some without a span and some beyond what a number can be.
    let of_channel = |channel: usize| match channel % 3 {
        0 => Levels::MinMax { minimum: -1.0 - channel as f32, maximum: 1e-9 * channel as f32 },
        1 => Levels::Signed { half_width: 0.1 * (channel - 1) as f32 },
        _ => Levels::Stepped { step: 1e34 * (channel - 2) as f32 },
    };
    let (mut weights, mut by_channel) = (vec![0.0; count], vec![0.0; count]);
    assert_eq!(scalar::dequantize(bytes, widths, levels, &mut weights), sound);
    let first = group_size.get();
    let found = scalar::dequantize_channels(bytes, widths, first, channel_size, of_channel, &mut by_channel);
    assert_eq!(found, sound);
    for set in InstructionSet::available() {
        let mut found = vec![0; count];
        assert_eq!(unpack_on(set, bytes, widths, &mut found), sound, "{set:?}");
        assert!(found == codes, "{set:?} finds other codes");
        let mut found = vec![0.0; count];
        assert_eq!(dequantize_on(set, bytes, widths, levels, &mut found), sound, "{set:?}");
        assert!(found == weights, "{set:?} finds other weights");
        let mut found = vec![0.0; count];
        let result = dequantize_channels_on(set, bytes, widths, first, channel_size, of_channel, &mut found);
        assert_eq!(result, sound, "{set:?}");
        assert!(found == by_channel, "{set:?} finds other weights by channel");
    }
    if sound.is_ok() {
        let mut again = Vec::new();
        assert_eq!(pack(&codes, widths, &mut again), Ok(()));
        assert!(again == bytes, "packed again, the bytes differ");
    }
    sound.is_ok()
}
