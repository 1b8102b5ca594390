//! How many bytes symbols take, beside what they need at least.

use super::*;
use crate::rans::{entropy_bits, lanes_of};

/// What the format promises for at least 10,000 symbols.
fn bound(symbols: &[u8]) -> f64 {
    let counts = histogram(symbols);
    let levels = counts.iter().filter(|&&count| count > 0).count();
    let lanes: usize = symbols.chunks(BLOCK).map(|block| lanes_of(block.len())).sum();
    1.003 * entropy_bits(&counts) / 8.0 + 48.0 + (levels + 4 * lanes) as f64
}

#[test]
fn coded_bytes_stay_close_to_the_entropy() {
    for distribution in DISTRIBUTIONS {
        for (seed, length) in (0..).zip([10_000, 32_767, 40_000, 100_000, 700_000]) {
            let symbols = distribution.draw(length, seed);
            let table = table_of(&symbols);
            let bytes = table.byte_len() + encode(&symbols, &table).len();
            let entropy = entropy_bits(&histogram(&symbols)) / 8.0;
            let allowed = bound(&symbols);
            assert!(
                bytes as f64 <= allowed,
                "{distribution:?}, {length} symbols: {bytes} bytes, entropy {entropy:.0}, allowed {allowed:.0}"
            );
        }
    }
}

/// The expected bits are those that are written: the states of the lanes hold 16 bits each that are not
/// paid for, and up to 16 that are.
#[test]
fn the_cost_is_what_is_written() {
    for distribution in DISTRIBUTIONS {
        let symbols = distribution.draw(100_000, 4);
        let table = table_of(&symbols);
        let cost = table.cost_bits(&histogram(&symbols)) / 8.0;
        let bytes = encode(&symbols, &table).len() as f64;
        // Rounding down in states of at least 16 bits loses less than a thousandth.
        let most = if table.only_symbol().is_some() { 0.0 } else { 1.001 * cost + 4.0 * 32.0 };
        assert!(cost <= bytes + 1e-6 && bytes <= most, "{distribution:?}: cost {cost}, found {bytes}");
    }
}

#[test]
fn a_single_symbol_takes_no_bytes() {
    for length in [0, 1, 10_000, 3 * BLOCK] {
        let symbols = vec![9; length];
        assert_eq!(encode(&symbols, &table_of(&[9])), []);
    }
}

/// A list of all levels takes up to a byte for each. Half of that is allowed here, and is needed only at 8
/// bits, where a hundred levels or more occur a few times each, as no short table can foresee.
#[test]
fn short_sequences_pay_little_for_table_and_lanes() {
    for bits in 2..=8 {
        for length in [30, 100, 300, 1000, 3000, 10_000] {
            let symbols = Distribution::Gaussian { bits }.draw(length, bits.into());
            let counts = histogram(&symbols);
            let table = table_of(&symbols);
            let bytes = table.byte_len() + encode(&symbols, &table).len();
            let levels = counts.iter().filter(|&&count| count > 0).count();
            let allowed = entropy_bits(&counts) / 8.0 + (levels / 2 + 4 * lanes_of(length) + 8) as f64;
            assert!(bytes as f64 <= allowed, "{bits} bits, {length}: {bytes} bytes, allowed {allowed:.0}");
        }
    }
}
