//! Tolerances, case tables and generators that the tests of fewbit share.
//!
//! Everything is a pure function of a seed, so that a test that fails fails again.

/// Lengths around the group sizes of the tests: empty, one, one less, even, one more, several and a tail.
pub const RAGGED_LENGTHS: [usize; 12] = [0, 1, 2, 7, 8, 9, 15, 16, 17, 63, 64, 101];

/// Group sizes that divide some of [`RAGGED_LENGTHS`] and not others; the last is above them all.
pub const GROUP_SIZES: [usize; 6] = [1, 3, 8, 16, 33, 128];

/// What rounding to the nearest `f32` may add to an error, for values up to `magnitude`.
///
/// Half a unit in the last place is `magnitude · 2^-24` at most, or half the smallest subnormal.
pub fn half_ulp(magnitude: f32) -> f64 {
    let relative = f64::from(magnitude.abs()) * f64::powi(2.0, -24);
    relative.max(f64::powi(2.0, -150))
}

/// A sequence of numbers that depends on nothing but its seed (SplitMix64, Steele et al. 2014).
#[derive(Clone, Debug)]
pub struct Numbers {
    state: u64,
}

impl Numbers {
    /// The sequence of a seed.
    pub const fn seeded(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A whole number in `0..limit`, or 0 when there is none.
    pub const fn below(&mut self, limit: usize) -> usize {
        match limit {
            0 => 0,
            _ => (self.bits() % limit as u64) as usize,
        }
    }

    /// A number in `0..1`.
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// A number of about normal distribution, mean 0 and variance 1: the sum of twelve of variance 1/12.
    pub fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.unit()).sum::<f32>() - 6.0
    }

    /// So many weights, normally distributed.
    pub fn weights(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.normal()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Numbers;

    #[test]
    fn normal_numbers_have_mean_0_and_variance_1() {
        const COUNT: usize = 100_000;
        let numbers = Numbers::seeded(1).weights(COUNT);
        let mean = numbers.iter().map(|&x| f64::from(x)).sum::<f64>() / COUNT as f64;
        let square = numbers.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / COUNT as f64;
        // Standard deviations of the two estimates: 1/√n and at most √(2/n). Four of them.
        assert!(mean.abs() < 4.0 / (COUNT as f64).sqrt(), "mean {mean}");
        assert!((square - 1.0).abs() < 4.0 * (2.0 / COUNT as f64).sqrt(), "variance {square}");
    }
}
