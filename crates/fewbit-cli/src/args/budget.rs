//! How large a file may be.

use clap::Args;

/// How large a file may be; every way of saying it means bytes on disk, everything included.
#[derive(Args)]
#[group(multiple = false)]
pub(crate) struct BudgetArgs {
    /// Bytes of the file, as in `64KiB`, `1.5MB` or `4096`.
    #[arg(long, value_name = "SIZE", help_heading = "Budget", value_parser = parse_bytes)]
    pub(crate) budget: Option<u64>,
    /// How many times smaller than float32 values.
    #[arg(long, value_name = "N", help_heading = "Budget", value_parser = above_zero)]
    pub(crate) ratio: Option<f64>,
    /// Bits of the file for each value.
    #[arg(long, value_name = "N", help_heading = "Budget", value_parser = above_zero)]
    pub(crate) bits: Option<f64>,
}

impl BudgetArgs {
    /// The key and value of a recipe that say the same.
    pub(crate) fn setting(&self) -> Option<(String, String)> {
        let ways = [
            ("budget.bytes", self.budget.map(|bytes| bytes.to_string())),
            ("budget.ratio", self.ratio.map(|ratio| format!("{ratio:?}"))),
            ("budget.bits", self.bits.map(|bits| format!("{bits:?}"))),
        ];
        ways.into_iter().find_map(|(key, value)| Some((key.to_owned(), value?)))
    }

    /// The bytes that a file with so many values may have.
    pub(crate) fn bytes(&self, values: u64) -> u64 {
        let bits = self.bits.or_else(|| self.ratio.map(|ratio| 32.0 / ratio));
        // A fraction of a byte is not there.
        self.budget.unwrap_or_else(|| bits.map_or(0, |bits| (values as f64 * bits / 8.0) as u64))
    }
}

/// Bytes, with or without a unit.
fn parse_bytes(text: &str) -> Result<u64, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[number.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kib" => 1024.0,
        "kb" => 1e3,
        "mib" => 1_048_576.0,
        "mb" => 1e6,
        "gib" => 1_073_741_824.0,
        "gb" => 1e9,
        unit => return Err(format!("unknown unit `{unit}`; B, KiB, kB, MiB, MB, GiB or GB is needed")),
    };
    let bytes = number.trim().parse::<f64>().ok().map(|number| number * unit);
    bytes
        .filter(|bytes| *bytes >= 1.0 && *bytes < 2f64.powi(53))
        .map(|bytes| bytes as u64)
        .ok_or_else(|| "a number of bytes above 0 is needed, as in `64KiB`".to_owned())
}

fn above_zero(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| *number > 0.0 && number.is_finite());
    number.ok_or_else(|| "a number above 0 is needed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_with_their_unit() {
        assert_eq!(parse_bytes("4096"), Ok(4096));
        assert_eq!(
            ["64KiB", "64kib", "1.5MB", "2 GiB"].map(|text| parse_bytes(text).unwrap()),
            [65_536, 65_536, 1_500_000, 1 << 31]
        );
        for wrong in ["", "KiB", "-3", "0", "NaN", "inf", "1e99", "3x", "1 0"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_way_to_say_a_budget_means_bytes() {
        let budget = |budget, ratio, bits| BudgetArgs { budget, ratio, bits };
        assert_eq!(budget(Some(7), None, None).bytes(1000), 7);
        assert_eq!(budget(None, Some(16.0), None).bytes(1000), 250);
        assert_eq!(budget(None, None, Some(3.2)).bytes(1000), 400);
    }
}
