//! The largest file of at most so many bytes: the one search, of training, `compress` and calibration.
//!
//! Files lie on a path: further along it they are coarser. Halving a scale adds about a bit per weight, so bytes are
//! nearly a straight line over the logarithm of the scale: the secant through the last two files finds the next place,
//! and a file that is too large and one that is not bound it.

/// A file that was made on trial.
pub(crate) trait Trial {
    /// Its length.
    fn bytes(&self) -> u64;

    /// Whether no finer file exists.
    fn is_largest(&self) -> bool;
}

/// Where on the path a file lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// In bits per weight, about.
    pub(crate) at: f64,
    /// Added to what the path has as the exchange rate of bits for error: see [`rounding`](crate::scale::rounding).
    pub(crate) dearer: f32,
}

/// A search along a path.
pub(crate) struct Search {
    /// Most bytes of the file.
    pub(crate) budget: u64,
    /// A file with this share of the budget ends the search.
    pub(crate) good: f64,
    /// Weights whose bits change along the path.
    pub(crate) weights: u64,
    /// The first place that is tried.
    pub(crate) first: f64,
    /// The ends of the path.
    pub(crate) ends: (f64, f64),
}

/// Files that are made at most, before bits become dearer.
const TRIALS: usize = 40;

/// By how much bits become dearer for the last bytes: in a small file a scale changes many bytes at once, dearer bits
/// change fewer.
const DEARER: [f32; 8] = [0.01, 0.02, 0.04, 0.06, 0.1, 0.15, 0.2, 0.3];

impl Search {
    /// The largest file found within the budget, and where it is on the path; `None` where even the last one is too
    /// large.
    pub(crate) fn run<F: Trial, E>(
        &self,
        mut make: impl FnMut(Place) -> Result<F, E>,
    ) -> Result<Option<(F, Place)>, E> {
        let target = self.budget as f64 * (1.0 + self.good) / 2.0;
        // About a bit per weight.
        let slope = -(self.weights.max(1) as f64) / 8.0;
        let mut best: Option<(F, Place)> = None;
        // The last place whose file is too large, and the last whose file is not.
        let (mut low, mut high) = (None, None);
        let mut stride = 1.0;
        let mut at = self.first.clamp(self.ends.0, self.ends.1);
        for _ in 0..TRIALS {
            let place = Place { at, dearer: 0.0 };
            let file = make(place)?;
            let bytes = file.bytes() as f64;
            let is_within = file.bytes() <= self.budget;
            if is_within {
                high = Some((at, bytes));
                let is_done =
                    file.is_largest() || bytes >= self.good * self.budget as f64 || at <= self.ends.0;
                if best.as_ref().is_none_or(|(best, _)| file.bytes() >= best.bytes()) {
                    best = Some((file, place));
                }
                if is_done {
                    return Ok(best);
                }
            } else {
                low = Some((at, bytes));
                if at >= self.ends.1 {
                    break;
                }
            }
            at = match (low, high) {
                (Some((left, more)), Some((right, fewer))) => {
                    if right - left < 1e-6 {
                        break;
                    }
                    // The straight line between the two, kept away from both ends.
                    let share = (more - target) / (more - fewer).max(1.0);
                    left + (right - left) * share.clamp(0.05, 0.95)
                }
                // Twice as far each time, as the slope may be far less than it should be; no further than two bits at
                // once, and never less than a little.
                _ => {
                    let shift = ((target - bytes) / slope * stride).clamp(-2.0, 2.0);
                    stride *= 2.0;
                    at + if is_within { shift.min(-1e-3) } else { shift.max(1e-3) }
                }
            }
            .clamp(self.ends.0, self.ends.1);
        }
        if let Some((at, _)) = low
            && let Some(best) = &mut best
        {
            for dearer in DEARER {
                let place = Place { at, dearer };
                let file = make(place)?;
                if file.bytes() <= self.budget && file.bytes() > best.0.bytes() {
                    *best = (file, place);
                }
            }
        }
        Ok(best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct File(u64);

    impl Trial for File {
        fn bytes(&self) -> u64 {
            self.0
        }

        fn is_largest(&self) -> bool {
            false
        }
    }

    fn found(budget: u64, bytes: impl Fn(f64) -> f64) -> Option<(u64, u32)> {
        let ends = (-8.0, 9.0);
        let search = Search { budget, good: 0.9995, weights: 80_000, first: 0.0, ends };
        let mut made = 0;
        let file = search.run(|place| {
            made += 1;
            Ok::<_, ()>(File(bytes(place.at) as u64))
        });
        file.unwrap().map(|(File(bytes), _)| (bytes, made))
    }

    #[test]
    fn the_largest_file_within_the_budget_is_found_in_a_few_trials() {
        for slope in [0.01, 0.3, 1.0, 1.7] {
            // A file grows by so many bits per weight where scales become a bit finer.
            let bytes = |at: f64| 30_000.0 - 10_000.0 * slope * at;
            for budget in [29_000, 30_000, 30_500] {
                let Some((bytes, made)) = found(budget, bytes) else {
                    assert!(bytes(9.0) > budget as f64, "{slope}, {budget}");
                    continue;
                };
                let is_good = bytes as f64 >= 0.9995 * budget as f64 || slope * 80_000.0 < 1e3;
                assert!(
                    bytes <= budget && is_good && made <= 24,
                    "{slope}: {bytes} of {budget}, {made} files"
                );
            }
        }
    }

    #[test]
    fn a_budget_below_the_last_file_finds_none() {
        assert_eq!(found(1_000, |at| 30_000.0 - 100.0 * at), None);
    }

    #[test]
    fn files_that_cannot_grow_end_the_search_at_the_finest() {
        let (bytes, made) = found(50_000, |_| 20_000.0).unwrap();
        assert!(bytes == 20_000 && made < 10, "{made}");
    }

    /// Bytes that jump: of a file that is too large by 300 the next is too small by 700.
    #[test]
    fn dearer_bits_fill_what_a_jump_leaves() {
        let search = Search { budget: 10_000, good: 0.999, weights: 8_000, first: 0.0, ends: (-8.0, 8.0) };
        let bytes = |place: Place| {
            let whole = if place.at < 0.5 { 10_300.0 } else { 9_300.0 };
            File((whole - 4_000.0 * f64::from(place.dearer)) as u64)
        };
        let (File(bytes), _) = search.run(|place| Ok::<_, ()>(bytes(place))).unwrap().unwrap();
        assert!((9_800..=10_000).contains(&bytes), "{bytes}");
    }
}
