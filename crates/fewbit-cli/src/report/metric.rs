//! How metrics are printed: shares in percent, other values as they are, with their unit.

use fewbit_burn::train::Metric;

/// The metric as a heading, with its unit.
pub(crate) fn title(metric: &Metric) -> String {
    let name = name(metric);
    match &*metric.unit {
        "" | Metric::SHARE => name,
        unit => format!("{name}, {unit}"),
    }
}

/// The same for an axis, whose numbers have no `%` of their own.
pub(crate) fn axis(metric: &Metric) -> String {
    if is_share(metric) { format!("{}, %", name(metric)) } else { title(metric) }
}

/// What values are multiplied by to be printed or drawn.
pub(crate) fn scale(metric: &Metric) -> f64 {
    if is_share(metric) { 100.0 } else { 1.0 }
}

/// A value under its heading, with `%` where it is a percentage.
pub(crate) fn value(metric: &Metric, value: f64) -> String {
    spread(metric, value, None)
}

/// A value with its metric's name and unit, to stand alone.
pub(crate) fn with_unit(metric: &Metric, number: f64) -> String {
    let text = format!("{} {}", name(metric), value(metric, number));
    match &*metric.unit {
        "" | Metric::SHARE => text,
        unit => format!("{text} {unit}"),
    }
}

/// A mean under its heading, with its standard deviation where there is one.
pub(crate) fn spread(metric: &Metric, mean: f64, standard_deviation: Option<f64>) -> String {
    let (scale, unit) = (scale(metric), if is_share(metric) { " %" } else { "" });
    let decimals = if is_share(metric) || mean.abs() >= 10.0 { 2 } else { 4 };
    let deviation = standard_deviation
        .map(|deviation| format!(" ± {:.decimals$}", scale * deviation))
        .unwrap_or_default();
    format!("{:.decimals$}{deviation}{unit}", scale * mean)
}

fn is_share(metric: &Metric) -> bool {
    metric.unit == Metric::SHARE
}

/// The name in words, without a unit at its end.
fn name(metric: &Metric) -> String {
    let suffix = format!("_{}", metric.unit.to_lowercase());
    metric.name.strip_suffix(&suffix).unwrap_or(&metric.name).replace('_', " ")
}

#[cfg(test)]
mod tests {
    use fewbit_burn::train::Direction;

    use super::*;

    #[test]
    fn a_share_is_a_percentage_and_other_values_have_their_unit() {
        let accuracy = Metric::accuracy();
        assert_eq!(value(&accuracy, 0.98765), "98.77 %");
        assert_eq!(spread(&accuracy, 0.98765, Some(0.0012)), "98.77 ± 0.12 %");
        assert_eq!(with_unit(&accuracy, 0.5), "accuracy 50.00 %");
        assert_eq!((title(&accuracy), axis(&accuracy)), ("accuracy".into(), "accuracy, %".into()));
        let bits = Metric::new("bits_per_byte", Direction::SmallerIsBetter);
        assert_eq!(spread(&bits, 2.56654, Some(0.01)), "2.5665 ± 0.0100");
        assert_eq!(with_unit(&bits, 2.5), "bits per byte 2.5000");
        let ratio = Metric::new("sdr_db", Direction::LargerIsBetter).with_unit("dB");
        assert_eq!((title(&ratio), with_unit(&ratio, 12.345)), ("sdr, dB".into(), "sdr 12.35 dB".into()));
    }
}
