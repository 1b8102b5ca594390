//! How a range is stored: as two numbers or one, of four bytes or two, and the nearest that can be.

use std::fmt;

use half::f16;

use crate::{QuantizeError, ValueRange};

/// The numbers that a range takes in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RangeForm {
    /// Minimum and maximum as 32-bit floats: 8 bytes, any range exactly.
    #[default]
    Full,
    /// Minimum and maximum as 16-bit floats of IEEE 754: 4 bytes.
    Half,
    /// One 32-bit float `a`, for the range from `-a` to `a`: 4 bytes.
    SymmetricFull,
    /// One 16-bit float `a`, for the range from `-a` to `a`: 2 bytes.
    SymmetricHalf,
}

impl RangeForm {
    /// Every form.
    pub const ALL: [Self; 4] = [Self::Full, Self::Half, Self::SymmetricFull, Self::SymmetricHalf];

    /// Whether its ranges are those from `-a` to `a`.
    pub const fn is_symmetric(self) -> bool {
        matches!(self, Self::SymmetricFull | Self::SymmetricHalf)
    }

    /// Whether its numbers are 16-bit floats.
    pub const fn is_half(self) -> bool {
        matches!(self, Self::Half | Self::SymmetricHalf)
    }

    /// Numbers that a range takes: the minimum and the maximum, or the half-width alone.
    pub const fn numbers(self) -> usize {
        if self.is_symmetric() { 1 } else { 2 }
    }

    /// Bytes of one number.
    pub const fn number_bytes(self) -> usize {
        if self.is_half() { 2 } else { 4 }
    }

    /// Bytes that a range takes, before any coding.
    pub const fn bytes(self) -> usize {
        self.numbers() * self.number_bytes()
    }

    /// The smallest range of this form that holds a range: no weight inside it is clipped.
    ///
    /// ```
    /// # use fewbit::{RangeForm, ValueRange};
    /// // 16-bit floats from 0.25 to 0.5 lie 2^-12 apart.
    /// let range = ValueRange::new(-0.3, 0.1)?;
    /// let outward = RangeForm::SymmetricHalf.outward(range)?;
    /// assert_eq!(outward, ValueRange::symmetric(0.300_048_83)?);
    /// # Ok::<(), fewbit::QuantizeError>(())
    /// ```
    ///
    /// # Errors
    /// [`QuantizeError::RangeTooLarge`] for an end beyond 65504, the largest 16-bit float.
    pub fn outward(self, range: ValueRange) -> Result<ValueRange, QuantizeError> {
        self.represented(range, |number, direction| {
            let near = f16::from_f32(number);
            match direction {
                Direction::Up if near.to_f32() < number => next_up(near),
                Direction::Down if near.to_f32() > number => -next_up(-near),
                _ => near,
            }
        })
    }

    /// The range of this form whose ends are nearest; of a symmetric form the one whose half-width is
    /// nearest to the larger magnitude of the ends. Weights outside it are clipped.
    ///
    /// # Errors
    /// [`QuantizeError::RangeTooLarge`] for an end that would be rounded to infinity, from 65520 on.
    pub fn nearest(self, range: ValueRange) -> Result<ValueRange, QuantizeError> {
        self.represented(range, |number, _| f16::from_f32(number))
    }

    /// The range as it reads back, if this form can hold it; zeros are equal here, whatever their sign.
    pub(crate) fn exact(self, range: ValueRange) -> Option<ValueRange> {
        self.nearest(range).ok().filter(|found| *found == range)
    }

    /// The numbers that stand for a range of this form.
    pub(crate) fn numbers_of(self, range: ValueRange) -> impl Iterator<Item = f32> {
        let numbers = [range.minimum(), range.maximum()];
        numbers.into_iter().skip(usize::from(self.is_symmetric()))
    }

    /// The range that numbers stand for, as many as [`numbers`](Self::numbers).
    pub(crate) fn range_of(self, first: f32, last: f32) -> Result<ValueRange, QuantizeError> {
        if self.is_symmetric() { ValueRange::symmetric(last) } else { ValueRange::new(first, last) }
    }

    fn represented(
        self,
        range: ValueRange,
        round: impl Fn(f32, Direction) -> f16,
    ) -> Result<ValueRange, QuantizeError> {
        let number = |number: f32, direction| match self.is_half() {
            true => round(number, direction).to_f32(),
            false => number,
        };
        let found = if self.is_symmetric() {
            ValueRange::symmetric(number(range.half_width(), Direction::Up))
        } else {
            ValueRange::new(number(range.minimum(), Direction::Down), number(range.maximum(), Direction::Up))
        };
        // Rounding keeps order and sign, so that only infinities are refused.
        let (minimum, maximum, form) = (range.minimum(), range.maximum(), self);
        found.map_err(|_| QuantizeError::RangeTooLarge { minimum, maximum, form })
    }
}

impl fmt::Display for RangeForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Full => "full",
            Self::Half => "half",
            Self::SymmetricFull => "symmetric full",
            Self::SymmetricHalf => "symmetric half",
        })
    }
}

/// Where an end of a range may go.
enum Direction {
    Down,
    Up,
}

/// The next larger number, of those below infinity.
fn next_up(number: f16) -> f16 {
    let bits = number.to_bits();
    f16::from_bits(match bits {
        // Both zeros lie below the smallest positive number.
        0 | 0x8000 => 1,
        _ if number.is_sign_negative() => bits - 1,
        _ => bits + 1,
    })
}
