//! Mean, standard deviation and range of a few numbers.

use serde::Serialize;

/// Numbers in short.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) mean: f64,
    /// Of the sample, with n − 1 below; none of a single number.
    pub(super) standard_deviation: Option<f64>,
    pub(super) least: f64,
    pub(super) most: f64,
    pub(super) n: usize,
}

impl Spread {
    /// Of `numbers`; zeros where there are none.
    pub(super) fn of(numbers: impl Iterator<Item = f64>) -> Self {
        let numbers: Vec<f64> = numbers.collect();
        let n = numbers.len();
        let mean = numbers.iter().sum::<f64>() / n.max(1) as f64;
        let squares: f64 = numbers.iter().map(|number| (number - mean).powi(2)).sum();
        let bounds = numbers.iter().copied().map(|number| (number, number));
        let bounds = bounds.reduce(|(least, most), (number, _)| (least.min(number), most.max(number)));
        let (least, most) = bounds.unwrap_or_default();
        let standard_deviation = (n > 1).then(|| (squares / (n - 1) as f64).sqrt());
        Self { mean, standard_deviation, least, most, n }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test] // 2, 4, 9: mean 5, squares 9 + 1 + 16 = 26, over 2 is 13.
    fn three_numbers() {
        let found = Spread::of([4.0, 2.0, 9.0].into_iter());
        let standard_deviation = Some(13f64.sqrt());
        assert_eq!(found, Spread { mean: 5.0, standard_deviation, least: 2.0, most: 9.0, n: 3 });
    }

    #[test]
    fn one_number_has_no_deviation_and_none_no_mean_to_speak_of() {
        let one = Spread { mean: 7.0, standard_deviation: None, least: 7.0, most: 7.0, n: 1 };
        assert_eq!(Spread::of(std::iter::once(7.0)), one);
        let none = Spread { mean: 0.0, standard_deviation: None, least: 0.0, most: 0.0, n: 0 };
        assert_eq!(Spread::of(std::iter::empty()), none);
    }
}
