//! The range of a tensor: the two ends of its grid.

use std::fmt;

use rayon::prelude::*;

use crate::dispatch::{InstructionSet, Kernel};
use crate::tile::CHUNK;

/// A weight that is NaN or infinite, where a range needs finite ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NonFinite {
    /// Place of the first such weight in the slice.
    pub index: usize,
    /// Its value.
    pub value: f32,
}

impl fmt::Display for NonFinite {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "weight {} is {}, a finite number is needed", self.index, self.value)
    }
}

impl std::error::Error for NonFinite {}

/// The smallest and the largest weight, `None` of an empty slice; a zero comes out as +0.
///
/// # Errors
/// [`NonFinite`] with the first NaN or infinity.
pub fn minimum_maximum(weights: &[f32]) -> Result<Option<(f32, f32)>, NonFinite> {
    minimum_maximum_on(InstructionSet::detect(), weights)
}

pub(crate) fn minimum_maximum_on(
    set: InstructionSet,
    weights: &[f32],
) -> Result<Option<(f32, f32)>, NonFinite> {
    if weights.is_empty() {
        return Ok(None);
    }
    let range = if weights.len() <= CHUNK {
        set.run(RangeOf(weights))
    } else {
        weights
            .par_chunks(CHUNK)
            .map(|chunk| set.run(RangeOf(chunk)))
            .reduce(|| Extremes::NONE, Extremes::merged)
    };
    if range.largest_magnitude >= f32::INFINITY.to_bits() {
        // The fast pass knows only that there is one; where it is, is looked up now.
        if let Some(index) = weights.iter().position(|weight| !weight.is_finite()) {
            return Err(NonFinite { index, value: weights[index] });
        }
    }
    // Which zero a minimum keeps depends on the order of comparison: make them one.
    Ok(Some((range.minimum + 0.0, range.maximum + 0.0)))
}

#[derive(Clone, Copy)]
struct Extremes {
    minimum: f32,
    maximum: f32,
    /// Bits of the largest absolute value: above every finite one for infinities and NaN.
    largest_magnitude: u32,
}

impl Extremes {
    const NONE: Self = Self { minimum: f32::INFINITY, maximum: f32::NEG_INFINITY, largest_magnitude: 0 };

    #[inline(always)]
    fn merged(self, other: Self) -> Self {
        Self {
            minimum: if other.minimum < self.minimum { other.minimum } else { self.minimum },
            maximum: if other.maximum > self.maximum { other.maximum } else { self.maximum },
            largest_magnitude: self.largest_magnitude.max(other.largest_magnitude),
        }
    }

    #[inline(always)]
    fn of(weight: f32) -> Self {
        Self { minimum: weight, maximum: weight, largest_magnitude: weight.to_bits() & 0x7fff_ffff }
    }
}

struct RangeOf<'a>(&'a [f32]);

impl Kernel for RangeOf<'_> {
    type Output = Extremes;

    #[inline(always)]
    fn run(self) -> Extremes {
        // Separate accumulators, so that comparisons need not wait for each other.
        const WIDE: usize = 64;
        let mut minimum = [f32::INFINITY; WIDE];
        let mut maximum = [f32::NEG_INFINITY; WIDE];
        let mut magnitude = [0u32; WIDE];
        let (whole, rest) = self.0.as_chunks::<WIDE>();
        for chunk in whole {
            for lane in 0..WIDE {
                let weight = chunk[lane];
                minimum[lane] = if weight < minimum[lane] { weight } else { minimum[lane] };
                maximum[lane] = if weight > maximum[lane] { weight } else { maximum[lane] };
                magnitude[lane] = magnitude[lane].max(weight.to_bits() & 0x7fff_ffff);
            }
        }
        let tail = rest.iter().fold(Extremes::NONE, |range, &weight| range.merged(Extremes::of(weight)));
        (0..WIDE).fold(tail, |range, lane| {
            range.merged(Extremes {
                minimum: minimum[lane],
                maximum: maximum[lane],
                largest_magnitude: magnitude[lane],
            })
        })
    }
}
