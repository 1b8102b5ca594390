//! What must be true of the coder, over lengths, alphabets and distributions.

mod hostile;
mod size;
mod tables;

use super::{BLOCK, DecodeError, Decoder, Encoder, FrequencyTable, LaneCount, NotInTable, histogram, scalar};
use crate::dispatch::InstructionSet;
use fewbit_testing::Numbers;

/// Around the numbers of symbols where something changes: groups of lanes, numbers of lanes, blocks.
const LENGTHS: [usize; 16] =
    [0, 1, 3, 4, 5, 31, 32, 33, 255, 1023, 1024, 1027, 32_767, 32_768, 32_801, 100_000];

/// A way to draw symbols.
#[derive(Clone, Copy, Debug)]
enum Distribution {
    /// Codes of so many bits of a normal distribution, the range its largest of a million.
    Gaussian { bits: u32 },
    /// So many symbols alike, spread over all 256.
    Uniform { levels: usize },
    /// Two symbols far apart, the first with this probability.
    Two { first: f32 },
    /// One symbol only.
    One,
    /// One symbol with this probability, all others alike.
    Skewed { first: f32 },
    /// Student's distribution with three degrees of freedom, in so many levels, cut off at the ends.
    HeavyTails { scale: f32 },
    /// Probabilities that halve from symbol to symbol.
    Halving,
}

const DISTRIBUTIONS: [Distribution; 22] = [
    Distribution::Gaussian { bits: 2 },
    Distribution::Gaussian { bits: 3 },
    Distribution::Gaussian { bits: 4 },
    Distribution::Gaussian { bits: 5 },
    Distribution::Gaussian { bits: 6 },
    Distribution::Gaussian { bits: 7 },
    Distribution::Gaussian { bits: 8 },
    Distribution::Uniform { levels: 2 },
    Distribution::Uniform { levels: 5 },
    Distribution::Uniform { levels: 100 },
    Distribution::Uniform { levels: 256 },
    Distribution::Two { first: 0.5 },
    Distribution::Two { first: 0.9 },
    Distribution::Two { first: 0.999 },
    Distribution::Two { first: 0.9999 },
    Distribution::One,
    Distribution::Skewed { first: 0.999 },
    Distribution::Skewed { first: 0.9 },
    Distribution::Skewed { first: 0.99999 },
    Distribution::HeavyTails { scale: 1.0 },
    Distribution::HeavyTails { scale: 8.0 },
    Distribution::Halving,
];

impl Distribution {
    fn draw(self, count: usize, seed: u64) -> Vec<u8> {
        let mut numbers = Numbers::seeded(seed);
        let mut symbol = || match self {
            Self::Gaussian { bits } => {
                let last = ((1u32 << bits) - 1) as f32;
                // The largest of a million normal numbers is about 4.9 standard deviations.
                ((numbers.normal() / 9.8 + 0.5).clamp(0.0, 1.0) * last).round() as u8
            }
            Self::Uniform { levels } => (numbers.below(levels) * 255 / (levels - 1)) as u8,
            Self::Two { first } => {
                if numbers.unit() < first {
                    3
                } else {
                    254
                }
            }
            Self::One => 77,
            Self::Skewed { first } => {
                if numbers.unit() < first {
                    128
                } else {
                    numbers.below(256) as u8
                }
            }
            Self::HeavyTails { scale } => {
                let squares: f32 = (0..3).map(|_| numbers.normal().powi(2)).sum();
                (128.0 + scale * numbers.normal() / (squares / 3.0).sqrt()).round() as u8
            }
            Self::Halving => numbers.bits().trailing_zeros() as u8,
        };
        (0..count).map(|_| symbol()).collect()
    }
}

fn table_of(symbols: &[u8]) -> FrequencyTable {
    FrequencyTable::fit(&histogram(symbols))
}

fn encode(symbols: &[u8], table: &FrequencyTable) -> Vec<u8> {
    let mut bytes = vec![];
    Encoder::new(table).encode(symbols, &mut bytes).unwrap();
    bytes
}

/// Encodes and decodes with the scalar twin and with every instruction set.
fn round_trip(symbols: &[u8], table: &FrequencyTable) {
    let bytes = encode(symbols, table);
    let mut twin = vec![];
    scalar::encode(symbols, table, &mut twin).unwrap();
    assert!(bytes == twin, "the twin writes other bytes");

    let mut decoded = vec![0xaa; symbols.len()];
    assert_eq!(scalar::decode(&bytes, table, &mut decoded), Ok(bytes.len()));
    assert!(decoded == symbols, "the twin decodes other symbols");
    // What follows the stream does not matter.
    let followed = [&bytes[..], &[0x5a; 200]].concat();
    let decoder = Decoder::new(table);
    for set in InstructionSet::available() {
        for bytes in [&bytes, if symbols.len() <= BLOCK { &followed } else { &bytes }] {
            let mut decoded = vec![0xaa; symbols.len()];
            assert_eq!(decoder.decode_on(set, bytes, &mut decoded), Ok(twin.len()), "{set:?}");
            assert!(decoded == symbols, "{set:?} decodes other symbols");
        }
    }
}

#[test]
fn what_is_encoded_is_decoded() {
    for distribution in DISTRIBUTIONS {
        for (seed, length) in (0..).zip(LENGTHS) {
            let symbols = distribution.draw(length, seed);
            round_trip(&symbols, &table_of(&symbols));
        }
    }
}

#[test]
fn every_precision_decodes() {
    for precision in FrequencyTable::PRECISIONS {
        for distribution in DISTRIBUTIONS {
            let symbols = distribution.draw(40_000, precision.into());
            round_trip(&symbols, &FrequencyTable::with_precision(&histogram(&symbols), precision));
        }
    }
}

#[test]
fn a_table_of_other_symbols_costs_bytes_but_decodes() {
    // All 256 symbols have a frequency; what is encoded has the unlikely ones.
    let table = table_of(&Distribution::Gaussian { bits: 8 }.draw(1 << 20, 1));
    let first = table.frequencies().iter().position(|&f| f > 0).unwrap();
    let last = table.frequencies().iter().rposition(|&f| f > 0).unwrap();
    let symbols: Vec<u8> = (0..50_000).map(|i| if i % 3 == 0 { first as u8 } else { last as u8 }).collect();
    round_trip(&symbols, &table);
}

#[test]
fn long_streams_are_blocks_that_decode_alone() {
    for length in [BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK + 5000] {
        for distribution in [
            Distribution::Gaussian { bits: 4 },
            Distribution::Gaussian { bits: 8 },
            Distribution::Two { first: 0.9999 },
            Distribution::One,
        ] {
            let symbols = distribution.draw(length, 9);
            let table = table_of(&symbols);
            round_trip(&symbols, &table);
            let bytes = encode(&symbols, &table);
            let decoder = Decoder::new(&table);
            let blocks = decoder.blocks(&bytes, length).unwrap();
            assert_eq!(blocks.len(), length.div_ceil(BLOCK));
            for (symbols, bytes) in symbols.chunks(BLOCK).zip(blocks).rev() {
                let mut decoded = vec![0; symbols.len()];
                assert_eq!(decoder.decode_block(bytes, &mut decoded), Ok(()));
                assert!(decoded == symbols);
            }
        }
    }
}

#[test]
fn any_number_of_threads_writes_and_reads_alike() {
    let symbols = Distribution::Gaussian { bits: 5 }.draw(5 * BLOCK + 77, 3);
    let table = table_of(&symbols);
    let bytes = encode(&symbols, &table);
    for threads in 1..=3 {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            assert!(encode(&symbols, &table) == bytes);
            let mut decoded = vec![0; symbols.len()];
            assert_eq!(Decoder::new(&table).decode(&bytes, &mut decoded), Ok(bytes.len()));
            assert!(decoded == symbols);
        });
    }
}

#[test]
fn a_symbol_without_a_slot_is_named_and_nothing_is_written() {
    for length in [10, 2000, 40_000, BLOCK + 100] {
        let mut symbols = Distribution::Halving.draw(length, 5);
        let table = table_of(&symbols);
        let only = FrequencyTable::fit(&histogram(&[7]));
        for index in [0, length / 2, length - 1] {
            let before = std::mem::replace(&mut symbols[index], 200);
            let mut bytes = vec![1, 2, 3];
            let expected = Err(NotInTable { index, symbol: 200 });
            assert_eq!(Encoder::new(&table).encode(&symbols, &mut bytes), expected);
            assert_eq!(scalar::encode(&symbols, &table, &mut bytes), expected);
            symbols[index] = before;
            assert_eq!(bytes, [1, 2, 3]);
        }
        let index = symbols.iter().position(|&symbol| symbol != 7).unwrap();
        let expected = Err(NotInTable { index, symbol: symbols[index] });
        assert_eq!(Encoder::new(&only).encode(&symbols, &mut vec![]), expected);
    }
}

/// Frequencies 3 and 1 of 4, scaled to 2^8: A has slots 0 to 191, B 192 to 255. One lane from 65536.
///
/// The encoder pushes B, then A. B: 65536 < 64 · 2^24, nothing is dropped; 65536 / 64 = 1024, remainder 0:
/// 1024 · 256 + 192 = 262336. A: 262336 / 192 = 1366, remainder 64: 1366 · 256 + 64 = 349760 = 0x55640.
#[test]
fn two_symbols_worked_by_hand() {
    let mut counts = [0; 256];
    (counts[65], counts[66]) = (3, 1);
    let table = FrequencyTable::with_precision(&counts, 8);
    assert_eq!((table.frequencies()[65], table.frequencies()[66]), (192, 64));
    assert_eq!(encode(b"AB", &table), [0x40, 0x56, 0x05, 0x00]);
    let mut decoded = [0; 2];
    assert_eq!(Decoder::new(&table).decode(&[0x40, 0x56, 0x05, 0x00], &mut decoded), Ok(4));
    assert_eq!(&decoded, b"AB");
}

/// The multiplication that stands for a division, at the states where it is closest to failing.
#[test]
fn every_frequency_is_divided_by_exactly() {
    for precision in [8, 12, 14] {
        for frequency in 1..(1u16 << precision) {
            let mut counts = [0; 256];
            (counts[0], counts[1]) = (frequency.into(), (1 << precision) - u64::from(frequency));
            let table = FrequencyTable::with_precision(&counts, precision);
            assert_eq!(table.frequencies()[0], frequency);
            let f = u64::from(frequency);
            let limit = f << (32 - precision);
            for state in
                [1 << 16, limit / 2 / f * f, limit / 2 / f * f - 1, limit - f, limit - f - 1, limit - 1]
            {
                if (1 << 16..limit).contains(&state) {
                    let expected = ((state / f) << precision) + state % f;
                    assert_eq!(
                        u64::from(Encoder::new(&table).push(0, state as u32)),
                        expected,
                        "{state} by {f}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_block_of_any_number_of_lanes_comes_back() {
    for len in [0usize, 1, 3, 31, 33, 1000, 5000, 40_000] {
        let symbols: Vec<u8> = (0..len).map(|index| (index * index % 23 % 7) as u8).collect();
        let table = FrequencyTable::with_precision(&histogram(&symbols), 12);
        for lanes in [LaneCount::One, LaneCount::Four, LaneCount::ThirtyTwo] {
            let mut bytes = vec![];
            Encoder::new(&table).encode_block(lanes, &symbols, &mut bytes).unwrap();
            let mut decoded = vec![0xff; len];
            assert_eq!(Decoder::new(&table).decode_block_of(lanes, &bytes, &mut decoded), Ok(()));
            assert!(decoded == symbols, "{len} symbols, {lanes:?}");
            if lanes == LaneCount::of(len) {
                let mut twin = vec![];
                scalar::encode(&symbols, &table, &mut twin).unwrap();
                assert_eq!(twin, bytes);
            }
        }
    }
}

#[test]
fn frequencies_that_do_not_sum_up_are_no_table() {
    let mut frequencies = [0; 256];
    (frequencies[3], frequencies[200]) = (4000, 96);
    let table = FrequencyTable::from_frequencies(12, frequencies).unwrap();
    assert_eq!((table.frequencies(), table.largest_symbol(), table.is_certain()), (&frequencies, 200, false));
    for precision in [7, 11, 13, 15, 40] {
        assert_eq!(FrequencyTable::from_frequencies(precision, frequencies), None);
    }
}
