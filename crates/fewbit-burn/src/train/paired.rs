//! Whether one network is better than another on the same records, beyond chance.

use super::task::Score;

/// The two-sided p-value of an exact sign test over the records on which the two differ (for right
/// and wrong answers that is McNemar's exact test); 1 where they never differ. Being two-sided, it is the same whichever
/// [`Direction`](super::Direction) of the metric is better.
///
/// # Panics
/// When the two have not scored the same number of records.
pub fn sign_test(a: &[Score], b: &[Score]) -> f64 {
    assert_eq!(a.len(), b.len(), "both must have scored the same records");
    let (mut above, mut below) = (0u64, 0u64);
    for (a, b) in a.iter().zip(b) {
        above += u64::from(a.value > b.value);
        below += u64::from(a.value < b.value);
    }
    two_sided(above.min(below), above + below)
}

/// `min(1, 2·P(X ≤ fewer))` for `X` binomial over `all` fair coins.
fn two_sided(fewer: u64, all: u64) -> f64 {
    // Sums C(all, k)/2^all from the logarithm of its first term, each from the one before.
    let mut log_term = -(all as f64) * std::f64::consts::LN_2;
    let mut tail = 0.0;
    for k in 0..=fewer {
        tail += log_term.exp();
        log_term += ((all - k) as f64 / (k + 1) as f64).ln();
    }
    (2.0 * tail).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_cases() {
        // No differences; one head in one toss; 0 of 5: 2/32; 1 of 6: 2·(1 + 6)/64.
        for (fewer, all, expected) in [(0, 0, 1.0), (0, 1, 1.0), (0, 5, 0.0625), (1, 6, 0.21875)] {
            assert!((two_sided(fewer, all) - expected).abs() < 1e-12, "{fewer} of {all}");
        }
    }

    #[test]
    fn agrees_with_the_normal_law_for_many_records() {
        // 450 of 1000: z = (450.5 - 500)/sqrt(250) = -3.131, two-sided 0.00174.
        assert!((two_sided(450, 1000) - 0.00174).abs() < 3e-5);
    }

    #[test]
    fn order_does_not_matter() {
        let scores = |values: &[f64]| values.iter().map(|&value| Score::of(value)).collect::<Vec<_>>();
        let (a, b) = (scores(&[1.0, 1.0, 0.0, 1.0]), scores(&[0.0, 1.0, 1.0, 0.0]));
        assert_eq!(sign_test(&a, &b), sign_test(&b, &a));
    }
}
