//! How the metrics of tasks are printed: accuracy in percent, the others as they are.

/// The metric as a heading.
pub(crate) fn title(metric: &str) -> &str {
    match metric {
        "accuracy" => "accuracy",
        "bits_per_byte" => "bits/byte",
        "sdr_db" => "SDR, dB",
        other => other,
    }
}

/// Whether a smaller value is the better one.
pub(crate) fn is_lower_better(metric: &str) -> bool {
    matches!(metric, "bits_per_byte" | "perplexity")
}

/// A value under its heading, with `%` where it is a percentage.
pub(crate) fn value(metric: &str, value: f64) -> String {
    spread(metric, value, None)
}

/// The same with its heading's unit, to stand alone.
pub(crate) fn with_unit(metric: &str, number: f64) -> String {
    match metric {
        "accuracy" => value(metric, number),
        "perplexity" => format!("perplexity {}", value(metric, number)),
        "sdr_db" => format!("SDR {} dB", value(metric, number)),
        _ => format!("{} {}", value(metric, number), title(metric)),
    }
}

/// A mean under its heading, with its standard deviation where there is one.
pub(crate) fn spread(metric: &str, mean: f64, standard_deviation: Option<f64>) -> String {
    let (scale, decimals, unit) = match metric {
        "accuracy" => (100.0, 2, " %"),
        "perplexity" | "sdr_db" => (1.0, 2, ""),
        _ => (1.0, 4, ""),
    };
    let deviation = standard_deviation
        .map(|deviation| format!(" ± {:.decimals$}", scale * deviation))
        .unwrap_or_default();
    format!("{:.decimals$}{deviation}{unit}", scale * mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accuracy_is_a_percentage_and_bits_are_not() {
        assert_eq!(value("accuracy", 0.98765), "98.77 %");
        assert_eq!(spread("accuracy", 0.98765, Some(0.0012)), "98.77 ± 0.12 %");
        assert_eq!(spread("bits_per_byte", 2.56654, Some(0.01)), "2.5665 ± 0.0100");
        assert_eq!(with_unit("accuracy", 0.5), "50.00 %");
        assert_eq!(with_unit("bits_per_byte", 2.5), "2.5000 bits/byte");
    }
}
