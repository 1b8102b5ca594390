//! The axes of the plots: where values are drawn, and where round numbers stand beside them.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::coord::types::RangedCoordf64;

/// Most round numbers along an axis.
const MOST_TICKS: usize = 6;

/// What an axis is of, and whether equal distances on it are equal ratios.
#[derive(Clone, Copy)]
pub(super) struct Axis<'a> {
    pub(super) title: &'a str,
    is_logarithmic: bool,
}

impl<'a> Axis<'a> {
    pub(super) fn linear(title: &'a str) -> Self {
        Self { title, is_logarithmic: false }
    }

    pub(super) fn logarithmic(title: &'a str) -> Self {
        Self { title, is_logarithmic: true }
    }

    /// Where a value is drawn.
    pub(super) fn place(&self, value: f64) -> f64 {
        if self.is_logarithmic { value.max(1e-12).log10() } else { value }
    }

    /// What stands at a place.
    pub(super) fn label(&self, place: f64) -> String {
        short(if self.is_logarithmic { 10f64.powf(place) } else { place })
    }

    /// The places of `values`, with some room.
    pub(super) fn range(&self, values: impl Iterator<Item = f64>) -> Range<f64> {
        let places = values.map(|value| self.place(value)).filter(|place| place.is_finite());
        let (low, high) = places.fold((f64::MAX, f64::MIN), |(low, high), at| (low.min(at), high.max(at)));
        if low > high {
            return 0.0..1.0;
        }
        let room = (0.06 * (high - low)).max(1e-3 * high.abs()).max(1e-9);
        low - room..high + room
    }

    /// The places of round numbers in a range of places.
    pub(super) fn ticks(&self, range: &Range<f64>) -> Vec<f64> {
        if !self.is_logarithmic {
            return evenly(range);
        }
        // As many round numbers for each power of ten as there is room for.
        const ROUND: [&[f64]; 4] = [
            &[1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
            &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0],
            &[1.0, 2.0, 5.0],
            &[1.0],
        ];
        let powers = range.start.floor() as i32..=range.end.ceil() as i32;
        let within = |round: &[f64]| -> Vec<f64> {
            let places =
                powers.clone().flat_map(|power| round.iter().map(move |one| f64::from(power) + one.log10()));
            places.filter(|place| range.contains(place)).collect()
        };
        match ROUND.into_iter().map(within).find(|ticks| ticks.len() <= MOST_TICKS) {
            Some(ticks) if ticks.len() >= 2 => ticks,
            // Hardly more than one value: there a logarithm is nearly a straight line.
            Some(_) => {
                let values = evenly(&(10f64.powf(range.start)..10f64.powf(range.end)));
                values.into_iter().map(f64::log10).filter(|place| range.contains(place)).collect()
            }
            // Many powers of ten.
            None => evenly(range).into_iter().filter(|place| place.fract() == 0.0).collect(),
        }
    }
}

/// A range of places with what is marked in it.
pub(super) struct Ticked {
    range: RangedCoordf64,
    ticks: Vec<f64>,
}

impl Ticked {
    pub(super) fn new(range: Range<f64>, ticks: Vec<f64>) -> Self {
        Self { range: range.into(), ticks }
    }
}

impl Ranged for Ticked {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, place: &f64, limit: (i32, i32)) -> i32 {
        self.range.map(place, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.range.range()
    }
}

/// Multiples of 1, 2 or 5 times a power of ten, as many as there is room for.
fn evenly(range: &Range<f64>) -> Vec<f64> {
    let length = range.end - range.start;
    if !(length > 0.0 && length.is_finite()) {
        return Vec::new();
    }
    let power = (length / MOST_TICKS as f64).log10().floor() as i32;
    let steps = [1.0, 2.0, 5.0, 10.0].map(|one| one * 10f64.powi(power));
    let step = steps.into_iter().find(|step| length / step <= MOST_TICKS as f64).unwrap_or(length);
    let first = (range.start / step).ceil() as i64;
    let ticks = (first..).map(|times| times as f64 * step);
    ticks.take_while(|tick| *tick <= range.end).take(2 * MOST_TICKS).collect()
}

/// A number in few characters.
pub(super) fn short(value: f64) -> String {
    let trimmed = |text: String| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    };
    let scaled = |value: f64, unit: &str| format!("{}{unit}", trimmed(format!("{value:.2}")));
    match value.abs() {
        // What is left of a difference of equal numbers is none.
        size if size < 1e-9 => "0".to_owned(),
        size if size >= 1e6 => scaled(value / 1e6, "M"),
        size if size >= 1e3 => scaled(value / 1e3, "k"),
        size if size >= 10.0 => scaled(value, ""),
        size if size >= 0.01 => trimmed(format!("{value:.4}")),
        _ => {
            let text = format!("{value:.1e}");
            text.replacen(".0e", "e", 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let words =
            [0.0, 0.25, 0.985, 12.0, 87.25, 65_536.0, 150_000.0, 2e6, 0.004, 0.0012, 1e-17, -2.5].map(short);
        assert_eq!(
            words,
            ["0", "0.25", "0.985", "12", "87.25", "65.54k", "150k", "2M", "4e-3", "1.2e-3", "0", "-2.5"]
        );
    }

    fn labels(axis: Axis<'_>, low: f64, high: f64) -> Vec<String> {
        axis.ticks(&(axis.place(low)..axis.place(high))).into_iter().map(|tick| axis.label(tick)).collect()
    }

    #[test]
    fn ticks_are_round_numbers_and_few() {
        let bytes = Axis::logarithmic("bytes");
        assert_eq!(labels(bytes, 50_000.0, 130_000.0), ["50k", "70k", "100k"]);
        assert_eq!(labels(bytes, 180_000.0, 360_000.0), ["180k", "200k", "250k", "300k", "350k"]);
        assert_eq!(labels(bytes, 900.0, 1.2e6), ["1k", "10k", "100k", "1M"]);
        let percent = Axis::linear("accuracy");
        assert_eq!(labels(percent, 98.61, 99.24), ["98.8", "99", "99.2"]);
        assert_eq!(labels(percent, 0.0, 1056.0), ["0", "200", "400", "600", "800", "1k"]);
        assert_eq!(labels(percent, -0.25, 0.25), ["-0.2", "-0.1", "0", "0.1", "0.2"]);
    }

    #[test]
    fn any_range_has_few_ticks_and_all_lie_in_it() {
        for axis in [Axis::linear("a"), Axis::logarithmic("a")] {
            for (low, high) in [
                (1e-9, 1e12),
                (1.0, 1.0),
                (3.0, 3.001),
                (0.1, 7.3),
                (5.0, 4.0),
                (52e3, 52.9e3),
                (1.03e4, 1.15e4),
            ] {
                let range = axis.place(low)..axis.place(high);
                let ticks = axis.ticks(&range);
                let least = if high > low { 2 } else { 0 };
                assert!((least..=2 * MOST_TICKS).contains(&ticks.len()), "{low} to {high}: {}", ticks.len());
                assert!(ticks.iter().all(|tick| (range.start..=range.end).contains(tick)), "{low} to {high}");
            }
        }
    }
}
