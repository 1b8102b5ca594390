//! Any bytes give symbols or an error, the same with every instruction set.

use super::*;
use crate::rans::decode_arbitrary;

/// The decode of some bytes, by the scalar twin and by every instruction set.
fn decode_everywhere(
    decoder: &Decoder,
    table: &FrequencyTable,
    bytes: &[u8],
    symbols: usize,
) -> Option<Vec<u8>> {
    let mut expected = vec![0; symbols];
    let outcome = scalar::decode(bytes, table, &mut expected);
    for set in InstructionSet::available() {
        let mut found = vec![0; symbols];
        assert_eq!(decoder.decode_on(set, bytes, &mut found), outcome, "{set:?}");
        assert!(outcome.is_err() || found == expected, "{set:?}: other symbols");
    }
    outcome.ok().map(|_| expected)
}

/// Streams of 1, 4 and 32 lanes that are short enough to try a fault at every place.
fn victims() -> Vec<(FrequencyTable, Vec<u8>, Vec<u8>)> {
    let lengths = [
        (Distribution::Gaussian { bits: 4 }, 40),
        (Distribution::Gaussian { bits: 8 }, 500),
        (Distribution::Gaussian { bits: 3 }, 1500),
        (Distribution::Two { first: 0.999 }, 33_000),
        (Distribution::Skewed { first: 0.999 }, 33_000),
        (Distribution::HeavyTails { scale: 1.0 }, 1000),
    ];
    let victims = lengths.map(|(distribution, length)| {
        let symbols = distribution.draw(length, 8);
        let table = table_of(&symbols);
        let bytes = encode(&symbols, &table);
        (table, symbols, bytes)
    });
    victims.into()
}

#[test]
fn every_prefix_is_refused() {
    for (table, symbols, bytes) in victims() {
        let decoder = Decoder::new(&table);
        for end in 0..bytes.len() {
            let found = decode_everywhere(&decoder, &table, &bytes[..end], symbols.len());
            assert_eq!(found, None, "{end} bytes of {}", bytes.len());
        }
    }
}

/// Nearly all flips are noticed, because a state is 32 bits of check; what goes unnoticed gives symbols.
#[test]
fn every_flipped_bit_gives_symbols_or_an_error() {
    for (table, symbols, bytes) in victims() {
        let decoder = Decoder::new(&table);
        let mut noticed = 0;
        for bit in 0..8 * bytes.len() {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match decode_everywhere(&decoder, &table, &flipped, symbols.len()) {
                Some(found) => assert!(found != symbols, "one way to write symbols"),
                None => noticed += 1,
            }
        }
        assert!(noticed > 8 * bytes.len() * 9 / 10, "{noticed} of {} flips", 8 * bytes.len());
    }
}

#[test]
fn bytes_left_over_in_a_block_are_refused() {
    let symbols = Distribution::Gaussian { bits: 4 }.draw(40_000, 1);
    let table = table_of(&symbols);
    let mut bytes = encode(&symbols, &table);
    let needed = bytes.len();
    let mut decoded = vec![0; symbols.len()];
    for extra in 1..70 {
        bytes.push(0);
        let found = Decoder::new(&table).decode_block(&bytes, &mut decoded);
        assert_eq!(found, Err(DecodeError::LeftOver { block: 0, found: needed + extra, needed }));
    }
}

#[test]
fn a_fault_in_a_later_block_is_found_there() {
    let symbols = Distribution::Gaussian { bits: 4 }.draw(2 * BLOCK + 2000, 1);
    let table = table_of(&symbols);
    let bytes = encode(&symbols, &table);
    let decoder = Decoder::new(&table);
    let mut decoded = vec![0; symbols.len()];
    let blocks = decoder.blocks(&bytes, symbols.len()).unwrap();
    let start_of =
        |block: usize| bytes.len() - blocks[block..].iter().map(|block| block.len()).sum::<usize>();
    for block in 0..3 {
        let mut faulty = bytes.clone();
        // Below the smallest state.
        faulty[start_of(block) + 2..][..2].fill(0);
        let found = u32::from_le_bytes([faulty[start_of(block)], faulty[start_of(block) + 1], 0, 0]);
        let expected = Err(DecodeError::WrongState { block, lane: 0, found });
        assert_eq!(decoder.decode(&faulty, &mut decoded), expected);
        assert_eq!(scalar::decode(&faulty, &table, &mut decoded), expected);
        // A block that is longer than the bytes, or takes from the next.
        for change in [1u8, 0x80] {
            let mut faulty = bytes.clone();
            faulty[3 * block] ^= change;
            assert!(decode_everywhere(&decoder, &table, &faulty, symbols.len()).is_none());
        }
    }
    for end in [0, 1, 8, 9, 10, start_of(1), start_of(2), bytes.len() - 1] {
        assert!(decode_everywhere(&decoder, &table, &bytes[..end], symbols.len()).is_none());
    }
}

/// Table, number of symbols and stream in one, as a fuzz target gets them.
fn specimen(distribution: Distribution, length: usize) -> Vec<u8> {
    let symbols = distribution.draw(length, 2);
    let table = table_of(&symbols);
    let mut data = vec![];
    table.write(&mut data);
    data.extend(&(length as u32).to_le_bytes()[..3]);
    data.extend(encode(&symbols, &table));
    data
}

#[test]
fn mutations_give_symbols_or_an_error() {
    let mut numbers = Numbers::seeded(11);
    let mut specimens: Vec<Vec<u8>> = DISTRIBUTIONS
        .iter()
        .flat_map(|&distribution| [1, 40, 300].map(|length| specimen(distribution, length)))
        .collect();
    specimens.push(specimen(Distribution::Gaussian { bits: 4 }, 1100));
    for round in 0..100_000 {
        let mut data = specimens[numbers.below(specimens.len())].clone();
        for _ in 0..1 + numbers.below(3) {
            let place = numbers.below(data.len());
            match numbers.below(5) {
                0 => data[place] ^= 1 << numbers.below(8),
                1 => data[place] = numbers.bits() as u8,
                2 => data.truncate(place.max(1)),
                3 => data.insert(place, numbers.bits() as u8),
                _ => {
                    let other = &specimens[numbers.below(specimens.len())];
                    data.truncate(place);
                    data.extend(&other[numbers.below(other.len())..]);
                    data.push(0);
                }
            }
        }
        // The number of symbols may have become a million, which is slow: that is tried now and then.
        if round % 256 == 0 || symbols_of(&data) < 5000 {
            decode_arbitrary(&data);
        }
    }
}

/// The number of symbols that a specimen says it has; 0 where it says none.
fn symbols_of(data: &[u8]) -> usize {
    let used = FrequencyTable::read(data).map_or(data.len(), |(_, used)| used);
    match data[used..] {
        [low, middle, high, ..] => u32::from_le_bytes([low, middle, high, 0]) as usize % (1 << 20),
        _ => 0,
    }
}

#[test]
fn specimens_are_what_mutations_start_from() {
    for distribution in DISTRIBUTIONS {
        decode_arbitrary(&specimen(distribution, 300));
        decode_arbitrary(&specimen(distribution, BLOCK + 3));
    }
}
