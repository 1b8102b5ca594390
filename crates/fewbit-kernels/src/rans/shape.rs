//! Frequencies that follow from a few numbers, for sequences too short to pay for a list.
//!
//! Trained weights are spread about like a bell with more or less heavy tails. With `d` the distance of
//! a level from the centre, its weight is
//!
//! ```text
//! w = (1 + u / 2^j)^(-2^j),  u = (d / s)^2 or |d| / s
//! ```
//!
//! which is a Cauchy density for `j = 0` and close to the bell `exp(-(d / s)^2)`, or to the
//! tent `exp(-|d| / s)`, for large `j`. Only operations that round alike on every machine are used, so
//! that every reader computes the writer's frequencies.

use super::table::FrequencyTable;

/// A spread of all symbols from a first to a last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    first: u8,
    last: u8,
    /// In 256ths of a level; from the first to the last.
    centre: u16,
    /// `s = (8 + scale mod 8) 2^(scale div 8) / 64`; below [`Self::SCALES`].
    scale: u8,
    /// `j`, 0 to 7, and 8 for distances that are not squared.
    tail: u8,
}

impl Shape {
    /// What the frequencies sum to is `2^12`: finer ones would not be closer to what is a guess anyway.
    pub(super) const PRECISION: u32 = 12;
    /// Bytes that a shape takes, one number after the other.
    pub(super) const BYTES: usize = 6;
    /// Up to `s = 3840`, where all 256 levels are as good as equal.
    const SCALES: u8 = 128;
    const TAILS: u8 = 16;

    pub(super) const fn to_bytes(self) -> [u8; Self::BYTES] {
        let [low, high] = self.centre.to_le_bytes();
        [self.first, self.last, low, high, self.scale, self.tail]
    }

    /// `None` for numbers out of their range.
    pub(super) fn from_bytes(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let &[first, last, low, high, scale, tail] = bytes;
        Self { first, last, centre: u16::from_le_bytes([low, high]), scale, tail }.checked()
    }

    fn checked(self) -> Option<Self> {
        let inside = u16::from(self.first) * 256 <= self.centre && self.centre <= u16::from(self.last) * 256;
        (self.first < self.last && inside && self.scale < Self::SCALES && self.tail < Self::TAILS)
            .then_some(self)
    }

    /// The shape, if there is one at all, by which symbols occurring so often take the fewest bits that a
    /// short search finds.
    pub(super) fn fit(counts: &[u64; 256]) -> Option<Self> {
        let first = counts.iter().position(|&count| count > 0)?;
        let last = counts.iter().rposition(|&count| count > 0)?;
        let total: u64 = counts.iter().sum();
        let mean = (0..256).zip(counts).map(|(level, &count)| level as f64 * count as f64).sum::<f64>()
            / total as f64;
        let centre = ((256.0 * mean) as u16).clamp(256 * first as u16, 256 * last as u16);
        let mut best = Self { first: first as u8, last: last as u8, centre, scale: 40, tail: 3 }.checked()?;
        let cost = |shape: Self| FrequencyTable::shaped(shape).cost_bits(counts);
        let mut least = cost(best);
        let mut consider = |candidate: Self, best: &mut Self| {
            let Some(candidate) = candidate.checked() else {
                return false;
            };
            let bits = cost(candidate);
            let better = bits < least;
            if better {
                (*best, least) = (candidate, bits);
            }
            better
        };
        for (scale_step, centre_step) in [(16, 256), (4, 64), (1, 32)] {
            // As long as something helps, but not for ever.
            for _ in 0..8 {
                let mut better = false;
                for scale in [best.scale.saturating_sub(scale_step), best.scale + scale_step] {
                    better |= consider(Self { scale, ..best }, &mut best);
                }
                for centre in
                    [best.centre.saturating_sub(centre_step), best.centre.saturating_add(centre_step)]
                {
                    better |= consider(Self { centre, ..best }, &mut best);
                }
                for tail in [best.tail ^ 8, best.tail.saturating_sub(1), best.tail + 1] {
                    better |= consider(Self { tail, ..best }, &mut best);
                }
                if !better {
                    break;
                }
            }
        }
        Some(best)
    }

    /// The frequency of each symbol: at least 1 from the first to the last.
    pub(super) fn frequencies(self) -> [u16; 256] {
        const SLOTS: u32 = 1 << Shape::PRECISION;
        let levels = usize::from(self.first)..=usize::from(self.last);
        let mut weights = [0.0; 256];
        for (level, weight) in levels.clone().zip(&mut weights[levels.clone()]) {
            *weight = self.weight(level);
        }
        let mut frequencies = [0; 256];
        // Whatever would get less than one and a half gets one; the others share the rest by their
        // weights. At most 256 ones leave 15/16 of the slots or more, so that each share is at least 1.
        let whole: f64 = weights[levels.clone()].iter().sum();
        let least = 1.5 * whole / f64::from(SLOTS);
        let (mut shared, mut slots) = (0.0, SLOTS);
        for &weight in &weights[levels.clone()] {
            if weight < least {
                slots -= 1;
            } else {
                shared += weight;
            }
        }
        // Rounding the sums and not the shares keeps the sum of all.
        let (mut sum, mut given) = (0.0, 0);
        for (frequency, &weight) in frequencies[levels.clone()].iter_mut().zip(&weights[levels]) {
            if weight < least {
                *frequency = 1;
            } else {
                sum += weight;
                let up_to = (sum / shared * f64::from(slots) + 0.5) as u32;
                *frequency = (up_to - given) as u16;
                given = up_to;
            }
        }
        frequencies
    }

    fn weight(self, level: usize) -> f64 {
        let scale = f64::from((8 + u32::from(self.scale % 8)) << (self.scale / 8)) / 64.0;
        let distance = (level as f64 - f64::from(self.centre) / 256.0).abs() / scale;
        let u = if self.tail < 8 { distance * distance } else { distance };
        let doublings = self.tail % 8;
        let mut base = 1.0 / (1.0 + u / f64::from(1u32 << doublings));
        for _ in 0..doublings {
            base *= base;
        }
        base
    }
}
