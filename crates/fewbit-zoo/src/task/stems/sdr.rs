//! How far an estimate of a source is from it, in decibels.

/// The range of a score in decibels: an estimate without a flaw, and one that is no number, count as the ends of it.
const LIMIT: f64 = 100.0;

/// The signal-to-distortion ratio of `estimate`: the median over windows of `window` samples of
/// 10 log₁₀(Σ reference² / Σ (reference − estimate)²), both sums over all channels. In ±100 dB.
///
/// Both sounds are `[channels, frames]`. A window in which the reference is silent does not count; `None` where none
/// does. Samples behind the last whole window do not count, unless there is no whole one.
///
/// Departs from BSSEval (Vincent et al. 2006), which forgives what a short filter could mend, and from the challenges
/// since 2021, which take one ratio over the whole track.
///
/// # Panics
/// If the window or the number of frames is 0, or the sounds are not equally long.
pub(super) fn median_sdr(reference: &[f32], estimate: &[f32], frames: usize, window: usize) -> Option<f64> {
    assert_eq!(reference.len(), estimate.len(), "as many samples of the estimate");
    let window = window.min(frames);
    let windows = frames / window;
    // Per window: of the reference, and of what is wrong with the estimate.
    let mut energies = vec![(0.0f64, 0.0f64); windows];
    for (reference, estimate) in reference.chunks_exact(frames).zip(estimate.chunks_exact(frames)) {
        let pieces = reference.chunks_exact(window).zip(estimate.chunks_exact(window));
        for ((signal, distortion), (reference, estimate)) in energies.iter_mut().zip(pieces) {
            for (&true_sample, &sample) in reference.iter().zip(estimate) {
                *signal += f64::from(true_sample).powi(2);
                *distortion += (f64::from(true_sample) - f64::from(sample)).powi(2);
            }
        }
    }
    let sounding = energies.into_iter().filter(|&(signal, _)| signal > 0.0);
    median(sounding.map(|(signal, distortion)| decibels(signal, distortion)).collect())
}

/// `signal` above 0.
fn decibels(signal: f64, distortion: f64) -> f64 {
    let ratio = 10.0 * (signal / distortion).log10();
    if ratio.is_nan() { -LIMIT } else { ratio.clamp(-LIMIT, LIMIT) }
}

/// The middle number, or the mean of the two in the middle.
fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    let upper = *numbers.get(numbers.len() / 2)?;
    let lower = numbers[(numbers.len() - 1) / 2];
    Some((lower + upper) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_worked_by_hand() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0]), Some(3.0));
        assert_eq!(median(vec![9.0, 1.0]), Some(5.0));
        assert_eq!(median(vec![9.0, 1.0, 2.0]), Some(2.0));
    }

    /// Two channels of three windows of two samples and one sample more. Window 0: reference 1, 1 and 1, 1, a tenth
    /// missing of each: 4 / 0.04 = 20 dB. Window 1: silent. Window 2: half is missing: 4 / 1 = 6.02 dB.
    #[test]
    fn windows_with_sound_have_the_ratio_worked_by_hand() {
        let reference = [[1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0]; 2].concat();
        let estimate = [[0.9, 0.9, 5.0, 5.0, 0.5, 0.5, 99.0]; 2].concat();
        let found = median_sdr(&reference, &estimate, 7, 2).unwrap();
        assert!((found - (20.0 + 10.0 * 4f64.log10()) / 2.0).abs() < 1e-4, "{found}");
        // A window longer than the sound is the sound: 10 / (4·0.01 + 4·25 + 4·0.25 + 2·98²).
        let whole = median_sdr(&reference, &estimate, 7, 100).unwrap();
        assert!((whole - 10.0 * (10.0f64 / 19_309.04).log10()).abs() < 1e-4, "{whole}");
        assert_eq!(median_sdr(&[0.0; 4], &[1.0; 4], 2, 1), None);
    }

    #[test]
    fn scores_are_finite() {
        assert_eq!(median_sdr(&[0.5], &[0.5], 1, 1), Some(LIMIT));
        assert_eq!(median_sdr(&[0.5], &[f32::NAN], 1, 1), Some(-LIMIT));
        assert_eq!(median_sdr(&[0.5], &[f32::INFINITY], 1, 1), Some(-LIMIT));
        assert_eq!(median_sdr(&[0.5], &[0.0], 1, 1), Some(0.0));
    }
}
