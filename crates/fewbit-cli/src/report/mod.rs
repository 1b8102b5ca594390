//! Results for people and for programs, from one type each.

pub(crate) mod inspection;
pub(crate) mod metric;
pub(crate) mod results;

use std::io::{self, Write};

use serde::Serialize;

/// One JSON object on one line of stdout.
pub(crate) fn print_json<T: Serialize>(value: &T) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, value)?;
    writeln!(out)
}

/// A number of bytes with its digits in groups of three.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Seconds, minutes or hours.
pub(crate) fn duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 60.0 => format!("{seconds:.0} s"),
        seconds if seconds < 3600.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.1} hours", seconds / 3600.0),
    }
}

/// An amount of memory.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", grouped(bytes.div_ceil(1 << 20)))
}

#[cfg(test)]
mod tests {
    use super::{duration, grouped, mebibytes};

    #[test]
    fn amounts_are_told_in_a_unit_that_fits() {
        let words = [0.0, 59.0, 150.0, 5400.0, 1e6].map(duration);
        assert_eq!(words, ["0 s", "59 s", "2 min", "1.5 hours", "277.8 hours"]);
        assert_eq!(mebibytes(3 << 30), "3,072 MiB");
    }

    #[test]
    fn digits_are_grouped_from_the_right() {
        for (number, expected) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), expected);
        }
    }
}
