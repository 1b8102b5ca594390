//! Tables of frequencies: they sum up, are the best there are, and are read as they were written.

use super::*;
use crate::rans::TableError;
use proptest::prelude::*;

fn check(table: &FrequencyTable, counts: &[u64; 256]) {
    let sum: u32 = table.frequencies().iter().map(|&f| u32::from(f)).sum();
    assert_eq!(sum, 1 << table.precision());
    let frequency = |symbol: u8| table.frequencies()[usize::from(table.coded_as(symbol))];
    for symbol in (0..=255).filter(|&symbol| counts[usize::from(symbol)] > 0) {
        assert!(frequency(symbol) > 0, "every symbol that occurs has a slot");
    }
    assert!(table.cost_bits(counts).is_finite());
    let mut bytes = vec![];
    table.write(&mut bytes);
    assert_eq!(table.byte_len(), bytes.len());
    bytes.extend([0xff; 5]);
    assert_eq!(FrequencyTable::read(&bytes), Ok((table.clone(), bytes.len() - 5)));
    for end in 0..bytes.len() - 5 {
        assert_eq!(FrequencyTable::read(&bytes[..end]), Err(TableError::Truncated { found: end }));
    }
}

/// Counts of very different sizes, some zero.
fn counts() -> impl Strategy<Value = [u64; 256]> {
    let count = prop_oneof![Just(0u64), 1..4u64, 1..1000u64, 1..1_000_000_000_000u64];
    (proptest::collection::vec(count, 256), 0..=256usize, any::<bool>()).prop_map(|(counts, levels, low)| {
        let inside = |level: usize| if low { level < levels } else { level % 7 < levels };
        std::array::from_fn(|level| if inside(level) { counts[level] } else { 0 })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn tables_sum_up_and_read_back(counts in counts(), precision in 8u32..=14) {
        check(&FrequencyTable::with_precision(&counts, precision), &counts);
        check(&FrequencyTable::fit(&counts), &counts);
    }

    /// No slot can be moved from one symbol to another and save bits.
    #[test]
    fn no_table_of_the_precision_costs_less(counts in counts(), precision in 8u32..=10) {
        let table = FrequencyTable::with_precision(&counts, precision);
        let cost = |count: u64, frequency: u16| -(count as f64) * f64::from(frequency).log2();
        for (&from, &from_count) in table.frequencies().iter().zip(&counts) {
            for (&to, &to_count) in table.frequencies().iter().zip(&counts) {
                if from > 1 && to > 0 {
                    let moved = cost(from_count, from - 1) - cost(from_count, from) + cost(to_count, to + 1) - cost(to_count, to);
                    prop_assert!(moved >= -1e-9 * (from_count + to_count) as f64);
                }
            }
        }
    }

    #[test]
    fn any_bytes_are_a_table_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        crate::rans::decode_arbitrary(&bytes);
    }
}

#[test]
fn few_or_no_symbols_make_a_table() {
    check(&FrequencyTable::fit(&[0; 256]), &[0; 256]);
    assert_eq!(FrequencyTable::fit(&[0; 256]).only_symbol(), Some(0));
    for symbol in [0, 1, 255] {
        let counts = histogram(&[symbol]);
        check(&FrequencyTable::fit(&counts), &counts);
        assert_eq!(FrequencyTable::fit(&counts).only_symbol(), Some(symbol));
        assert_eq!(FrequencyTable::fit(&counts).byte_len(), 2);
    }
    let counts = histogram(&[0, 255]);
    check(&FrequencyTable::fit(&counts), &counts);
    check(&FrequencyTable::fit(&[1; 256]), &[1; 256]);
}

#[test]
fn a_fitted_table_takes_at_most_a_byte_per_level_and_a_few() {
    for distribution in DISTRIBUTIONS {
        for length in [100, 10_000, 1_000_000] {
            let symbols = distribution.draw(length, 2);
            let levels = histogram(&symbols).iter().filter(|&&count| count > 0).count();
            let bytes = table_of(&symbols).byte_len();
            assert!(bytes <= levels + 16, "{distribution:?}, {length}: {levels} levels, {bytes} bytes");
        }
    }
}

/// Every second symbol is the worst case for runs: a bit for each symbol that may occur, 32 bytes.
#[test]
fn holes_cost_a_bit_per_symbol_at_most() {
    let counts = std::array::from_fn(|symbol| if symbol % 2 == 0 { 1000 } else { 0 });
    let table = FrequencyTable::with_precision(&counts, 12);
    check(&table, &counts);
    assert!(table.byte_len() <= 128 + 32 + 4, "{} bytes", table.byte_len());
}

#[test]
fn a_histogram_counts() {
    for length in [0, 1, 3, 4, 5, 1000] {
        let symbols = Distribution::Halving.draw(length, 6);
        let counts = histogram(&symbols);
        for symbol in 0..=255u8 {
            let expected = symbols.iter().filter(|&&found| found == symbol).count();
            assert_eq!(counts[usize::from(symbol)], expected as u64);
        }
    }
}
