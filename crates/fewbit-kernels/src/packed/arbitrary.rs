//! What a fuzzer calls: any bytes, read as packed codes.

use std::num::NonZeroUsize;

use super::{ChannelRanges, Widths, check, dequantize_channels_on, dequantize_on, pack, scalar, unpack_on};
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
    let channels = count.div_ceil(channel_size.get());
    let minima: Vec<f32> = (0..channels).map(|channel| -1.0 - channel as f32).collect();
    let maxima: Vec<f32> = (0..channels).map(|channel| 1e-9 * channel as f32).collect();
    let ranges = ChannelRanges { minima: &minima, maxima: &maxima, channel_size };
    let (mut weights, mut by_channel) = (vec![0.0; count], vec![0.0; count]);
    assert_eq!(scalar::dequantize(bytes, widths, -0.3, 0.7, &mut weights), sound);
    assert_eq!(scalar::dequantize_channels(bytes, widths, ranges, &mut by_channel), sound);
    for set in InstructionSet::available() {
        let mut found = vec![0; count];
        assert_eq!(unpack_on(set, bytes, widths, &mut found), sound, "{set:?}");
        assert!(found == codes, "{set:?} finds other codes");
        let mut found = vec![0.0; count];
        assert_eq!(dequantize_on(set, bytes, widths, -0.3, 0.7, &mut found), sound, "{set:?}");
        assert!(found == weights, "{set:?} finds other weights");
        let mut found = vec![0.0; count];
        assert_eq!(dequantize_channels_on(set, bytes, widths, ranges, &mut found), sound, "{set:?}");
        assert!(found == by_channel, "{set:?} finds other weights by channel");
    }
    if sound.is_ok() {
        let mut again = Vec::new();
        assert_eq!(pack(&codes, widths, &mut again), Ok(()));
        assert!(again == bytes, "packed again, the bytes differ");
    }
    sound.is_ok()
}
