//! What a fuzz target calls.

use super::{Decoder, Encoder, FrequencyTable, lanes_of, scalar};
use crate::dispatch::InstructionSet;

/// Reads any bytes as a table, a number of symbols and a stream, with every instruction set.
///
/// # Panics
/// Where something is wrong with this module: two ways to decode differ, or a table or a stream that was
/// read is not what would have been written.
#[doc(hidden)]
pub fn decode_arbitrary(data: &[u8]) {
    let Ok((table, used)) = FrequencyTable::read(data) else {
        return;
    };
    let mut written = vec![];
    table.write(&mut written);
    assert_eq!(written, data[..used], "one way to write a table");
    let Some((&[low, middle, high], stream)) = data[used..].split_first_chunk() else {
        return;
    };
    // Up to a million: four blocks.
    let symbols = u32::from_le_bytes([low, middle, high, 0]) as usize % (1 << 20);
    assert!(lanes_of(symbols) <= 32);
    let mut expected = vec![0; symbols];
    let outcome = scalar::decode(stream, &table, &mut expected);
    for set in InstructionSet::available() {
        let mut found = vec![0xff; symbols];
        assert_eq!(Decoder::new(&table).decode_on(set, stream, &mut found), outcome, "{set:?}");
        assert!(outcome.is_err() || found == expected, "{set:?}: other symbols");
    }
    if let Ok(length) = outcome {
        let mut written = vec![];
        Encoder::new(&table).encode(&expected, &mut written).expect("what was decoded is in the table");
        assert_eq!(written, stream[..length], "one way to write symbols");
    }
}
