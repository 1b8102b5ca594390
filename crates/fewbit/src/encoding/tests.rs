//! The coder by itself, and the size of its tables; what a file makes of it is tested from outside.

use fewbit_testing::Numbers;

use super::CodingError;
use super::classes::WidthClasses;
use super::rans::{Decoder, FrequencyTable, TOTAL, encode};
use crate::{BitWidth, GroupSize, Grouping};

fn counts(symbols: &[u8]) -> [u64; 256] {
    let mut counts = [0; 256];
    symbols.iter().for_each(|symbol| counts[usize::from(*symbol)] += 1);
    counts
}

/// Symbols of several laws: even, bell-shaped, nearly all the same, two, one, the ends alone.
fn laws(len: usize, numbers: &mut Numbers) -> [Vec<u8>; 6] {
    let mut draw = |law: &dyn Fn(&mut Numbers) -> u8| (0..len).map(|_| law(numbers)).collect();
    [
        draw(&|numbers| numbers.bits() as u8),
        draw(&|numbers| (128.0 + 10.0 * numbers.normal()) as u8),
        draw(&|numbers| if numbers.below(1000) == 0 { 9 } else { 7 }),
        draw(&|numbers| numbers.below(2) as u8),
        draw(&|_| 200),
        draw(&|numbers| if numbers.below(5000) == 0 { 255 } else { 0 }),
    ]
}

#[test]
fn symbols_of_every_law_and_length_come_back() {
    let mut numbers = Numbers::seeded(1);
    for len in [1, 2, 3, 31, 32, 33, 1000, 100_000] {
        for symbols in laws(len, &mut numbers) {
            let table = FrequencyTable::from_counts(&counts(&symbols)).unwrap();
            let mut written = vec![7];
            table.put(&mut written);
            written.push(9);
            let (read, used) = FrequencyTable::read(&written[1..]).unwrap();
            assert_eq!((&read, used), (&table, written.len() - 2));

            let mut stream = Vec::new();
            encode(&symbols, &table, &mut stream);
            let mut decoded = vec![0; len];
            Decoder::new(&read).decode(&stream, &mut decoded).unwrap();
            assert_eq!(decoded, symbols);
        }
    }
}

#[test]
fn a_stream_that_was_changed_is_an_error_or_other_symbols() {
    let mut numbers = Numbers::seeded(2);
    for symbols in laws(300, &mut numbers) {
        let table = FrequencyTable::from_counts(&counts(&symbols)).unwrap();
        let decoder = Decoder::new(&table);
        let mut stream = Vec::new();
        encode(&symbols, &table, &mut stream);
        let mut decoded = vec![0; 300];
        for len in 0..stream.len() {
            assert!(decoder.decode(&stream[..len], &mut decoded).is_err());
        }
        for bit in 0..8 * stream.len() {
            let mut changed = stream.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            // The map from symbols to streams can be undone, so that no two streams are the same symbols.
            assert!(decoder.decode(&changed, &mut decoded).is_err() || decoded != symbols);
        }
        stream.push(0);
        assert_eq!(decoder.decode(&stream, &mut decoded), Err(CodingError::StreamEnd));
    }
}

/// 1 of 10,000 would round to no frequency at all, and 9,999 to all of them.
#[test]
fn a_rare_symbol_keeps_a_frequency() {
    let mut counts = [0; 256];
    (counts[3], counts[5]) = (9_999, 1);
    let table = FrequencyTable::from_counts(&counts).unwrap();
    let mut bytes = Vec::new();
    table.put(&mut bytes);
    // From 3 on, two more; 4095 as 0x7f + 0x1f·128, and 0; the last is what is left.
    assert_eq!(bytes, [3, 2, 0xff, 0x1f, 0]);
    assert_eq!(FrequencyTable::from_counts(&[0; 256]), None);
    // Every symbol, and more of them than would fit if each were rounded up.
    let mut counts = [1; 256];
    counts[0] = 1 << 40;
    let table = FrequencyTable::from_counts(&counts).unwrap();
    assert_eq!(
        FrequencyTable::from_frequencies(0, {
            let mut frequencies = vec![1; 256];
            frequencies[0] = TOTAL as u16 - 255;
            frequencies
        }),
        Ok(table)
    );
}

#[test]
fn classes_count_the_codes_of_each_width() {
    // 3 + 3 + 2 weights at 4, 2 and 4 bits.
    let [two, four] = [2, 4].map(|bits| BitWidth::new(bits).unwrap());
    let grouping = Grouping::new(GroupSize::new(3).unwrap(), 8);
    let widths = [four, two, four];
    let classes = WidthClasses::of(grouping, &widths);
    assert_eq!((classes.codes(two), classes.codes(four), classes.code_bits()), (3, 5, 26));
    assert!(classes.describe(&widths) && !classes.describe(&[four, four, two]));
    // Both have two groups of four bits and one of two; only the last tells them apart.
    let other = WidthClasses::of(grouping, &[four, four, two]);
    assert_eq!((other.histogram(), other.code_bits()), (classes.histogram(), 28));
    let counted = |last| WidthClasses::counted(grouping, two, four, classes.histogram(), last);
    assert_eq!((counted(four), counted(two)), (Some(classes), Some(other)));
    assert_eq!(counted(BitWidth::ZERO), None);
}
