//! Random numbers that are a pure function of a key and a counter, in integers and IEEE operations only:
//! the same on every machine and whatever the number of threads.

/// Odd, near 2^64 divided by the golden ratio: successive multiples spread evenly over the words.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

/// A stream of words for one key.
///
/// The mixing function is the finalizer of SplitMix64 (Steele, Lea, Flood 2014).
pub(super) struct CounterRng {
    key: u64,
    counter: u64,
}

impl CounterRng {
    /// The stream of a key of several words; a key that differs in any word or their order is another stream.
    pub(super) fn new(key: &[u64]) -> Self {
        let key = key.iter().fold(0, |so_far, &word| mix(mix(so_far ^ STRIDE).wrapping_add(word)));
        Self { key, counter: 0 }
    }

    pub(super) fn word(&mut self) -> u64 {
        self.counter += 1;
        mix(self.key.wrapping_add(self.counter.wrapping_mul(STRIDE)))
    }

    /// Uniform in `[0, 1)`, on a grid of 2^-24 so that every value is exact in f32.
    pub(super) fn unit(&mut self) -> f32 {
        (self.word() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// Uniform in `[low, high)`.
    pub(super) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Uniform in `0..count`; the bias of at most `count / 2^32` does not matter for the small counts used here.
    pub(super) fn below(&mut self, count: usize) -> usize {
        (((self.word() >> 32) * count as u64) >> 32) as usize
    }

    /// True with the given probability.
    pub(super) fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// A bell curve of mean 0 and variance 1 within ±3.47: four uniform numbers, added.
    ///
    /// No logarithm or cosine, whose last bits differ between machines.
    pub(super) fn bell(&mut self) -> f32 {
        let word = self.word();
        let sum = (0..4).map(|part| (word >> (16 * part)) as u16 as u32).sum::<u32>();
        // Four uniform numbers on [0, 1) have mean 2 and variance 4/12.
        (sum as f32 / 65_536.0 - 2.0) * 3f32.sqrt()
    }
}

const fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_determines_the_stream_and_its_order_matters() {
        let first = |key: &[u64]| CounterRng::new(key).word();
        assert_eq!(first(&[1, 2]), first(&[1, 2]));
        assert_ne!(first(&[1, 2]), first(&[2, 1]));
        assert_ne!(first(&[0]), first(&[0, 0]));
    }

    /// 40,000 draws: the mean of a variable of variance v strays by sqrt(v / 40,000), and 5 of those are allowed.
    #[test]
    fn moments_are_those_of_the_named_law() {
        const DRAWS: usize = 40_000;
        let mut rng = CounterRng::new(&[7]);
        let moments = |draw: &mut dyn FnMut() -> f32| {
            let values: Vec<f64> = (0..DRAWS).map(|_| f64::from(draw())).collect();
            let mean = values.iter().sum::<f64>() / DRAWS as f64;
            let square = values.iter().map(|x| x * x).sum::<f64>() / DRAWS as f64;
            (mean, square)
        };
        let (mean, square) = moments(&mut || rng.unit());
        assert!((mean - 0.5).abs() < 5.0 * (1.0f64 / 12.0 / DRAWS as f64).sqrt());
        // Var(u²) = 1/5 - 1/9.
        assert!((square - 1.0 / 3.0).abs() < 5.0 * (4.0f64 / 45.0 / DRAWS as f64).sqrt());
        let (mean, square) = moments(&mut || rng.bell());
        assert!(mean.abs() < 5.0 / (DRAWS as f64).sqrt());
        // The fourth moment of the sum of four is 2.7, so Var(x²) = 1.7.
        assert!((square - 1.0).abs() < 5.0 * (1.7f64 / DRAWS as f64).sqrt());
    }

    #[test]
    fn below_reaches_every_value_and_no_other() {
        let mut rng = CounterRng::new(&[3]);
        let mut seen = [0; 9];
        for _ in 0..9_000 {
            seen[rng.below(9)] += 1;
        }
        // Binomial(9000, 1/9) has deviation 30; 5 of those.
        assert!(seen.iter().all(|&count| (850..1150).contains(&count)), "{seen:?}");
    }
}
