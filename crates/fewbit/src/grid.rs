//! The levels that weights are rounded to: `2^b` points from a minimum to a maximum, or about zero.

use crate::{BitWidth, QuantizeError};

/// The smallest and the largest value of a tensor: finite, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ValueRange {
    minimum: f32,
    maximum: f32,
}

impl ValueRange {
    /// The range between two finite values.
    ///
    /// # Errors
    /// [`QuantizeError::BadRange`] when an end is not finite or the minimum is above the maximum.
    pub fn new(minimum: f32, maximum: f32) -> Result<Self, QuantizeError> {
        if minimum.is_finite() && maximum.is_finite() && minimum <= maximum {
            Ok(Self { minimum, maximum })
        } else {
            Err(QuantizeError::BadRange { minimum, maximum })
        }
    }

    /// The range from `-half_width` to `half_width`.
    ///
    /// # Errors
    /// [`QuantizeError::NegativeHalfWidth`], -0.0 included, or [`QuantizeError::BadRange`] for what is
    /// not finite.
    pub fn symmetric(half_width: f32) -> Result<Self, QuantizeError> {
        if half_width.is_sign_negative() && !half_width.is_nan() {
            return Err(QuantizeError::NegativeHalfWidth { found: half_width });
        }
        // Subtracted, so that there is no negative zero.
        Self::new(0.0 - half_width, half_width)
    }

    /// The smallest range that holds every weight; 0 to 0 for none.
    ///
    /// # Errors
    /// [`QuantizeError::NonFinite`] with the index of the first NaN or infinity.
    pub fn fit(weights: &[f32]) -> Result<Self, QuantizeError> {
        let Some(&first) = weights.first() else {
            return Ok(Self::default());
        };
        // Independent lanes let the compiler use vector instructions.
        const LANES: usize = 8;
        let (mut low, mut high, mut poison) = ([first; LANES], [first; LANES], [0.0f32; LANES]);
        let mut see = |lane: usize, weight: f32| {
            low[lane] = if weight < low[lane] { weight } else { low[lane] };
            high[lane] = if weight > high[lane] { weight } else { high[lane] };
            // NaN for NaN and infinities, zero else; NaN stays NaN, whatever is added.
            poison[lane] += weight * 0.0;
        };
        let (chunks, tail) = weights.as_chunks::<LANES>();
        for chunk in chunks {
            for (lane, &weight) in chunk.iter().enumerate() {
                see(lane, weight);
            }
        }
        for (lane, &weight) in tail.iter().enumerate() {
            see(lane, weight);
        }
        if poison.iter().any(|lane| lane.is_nan())
            && let Some(index) = weights.iter().position(|weight| !weight.is_finite())
        {
            let value = weights[index];
            return Err(QuantizeError::NonFinite { index, value });
        }
        let minimum = low.into_iter().fold(first, f32::min);
        let maximum = high.into_iter().fold(first, f32::max);
        Ok(Self { minimum, maximum })
    }

    /// The smallest value.
    pub const fn minimum(&self) -> f32 {
        self.minimum
    }

    /// The largest value.
    pub const fn maximum(&self) -> f32 {
        self.maximum
    }

    /// The larger magnitude of the two ends: the `a` of a symmetric range.
    pub const fn half_width(&self) -> f32 {
        self.minimum.abs().max(self.maximum.abs())
    }

    /// `maximum - minimum`, in double precision, where it is finite for every range.
    pub fn span(&self) -> f64 {
        f64::from(self.maximum) - f64::from(self.minimum)
    }
}

/// Where in a range the `2^b` points lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GridKind {
    /// From the minimum to the maximum, both ends included (Défossez et al. 2022, section 3.1). Zero is a
    /// point by accident only.
    #[default]
    MinMax,
    /// At `a·k/2^(b-1)` for `k` from `-2^(b-1)` to `2^(b-1) - 1`, as two's complement has it and LSQ uses
    /// it (Esser et al. 2020, equation 1 for weights): zero is a point, `-a` is one, `a` is not. `a` is
    /// the range's half-width.
    Signed,
    /// At `s·k` for the same `k`, whatever the width: `s`, the range's half-width, is the step of all
    /// groups, and a width says how far from zero a group may go. What is beyond the largest finite `f32`
    /// is that one.
    Stepped,
}

impl GridKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[Self::MinMax, Self::Signed, Self::Stepped];

    /// Its name in reports: `min-max`, `signed` or `stepped`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MinMax => "min-max",
            Self::Signed => "signed",
            Self::Stepped => "stepped",
        }
    }

    /// Whether its points lie about zero, so that a range is one number.
    pub const fn is_about_zero(self) -> bool {
        matches!(self, Self::Signed | Self::Stepped)
    }
}

/// The `2^b` points that divide a range evenly.
///
/// A weight's code is the number of its nearest point, counted from the lowest. Of
/// [`GridKind::MinMax`], point `c` lies at `minimum + c·Δ` with `Δ(b) = (maximum - minimum) / (2^b - 1)`;
/// of [`GridKind::Signed`] at `(c - 2^(b-1))·Δ` with `Δ(b) = a / 2^(b-1)`, of [`GridKind::Stepped`] with
/// `Δ = s`. Where the papers are silent:
/// ties go to the even code; a value outside the range gets the nearer end; a constant group has step
/// 0 and code 0 and reads back exactly; at 0 bits the code is 0 and the value is 0.0, not the minimum,
/// because the group is pruned. All arithmetic is in double precision, so that no finite range
/// overflows; of a grid about zero it is exact, so that a value is rounded once, to `f32`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UniformGrid {
    width: BitWidth,
    /// The value of code 0, and of every code where there is but one value.
    minimum: f64,
    /// The value of the last code.
    maximum: f32,
    /// `levels - 1`, or 0 where every weight has code 0.
    last_code: u16,
    step: f64,
    position: Position,
}

/// Where a weight lies among the points: `(weight - origin)·points/span + offset`, in steps above code 0.
///
/// Multiplied before it is divided, so that a weight half way between two points is a tie.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Position {
    origin: f64,
    /// Steps in `span`.
    points: f64,
    span: f64,
    /// The code of `origin`.
    offset: f64,
}

impl UniformGrid {
    /// The grid of a width from the minimum to the maximum of a range.
    pub fn new(range: ValueRange, width: BitWidth) -> Self {
        Self::of(GridKind::MinMax, range, width)
    }

    /// The grid of a kind and a width over a range.
    pub fn of(kind: GridKind, range: ValueRange, width: BitWidth) -> Self {
        if width == BitWidth::ZERO {
            return Self::constant(ValueRange::default(), width);
        }
        let last_code = (width.levels() - 1) as u16;
        match kind {
            GridKind::MinMax => {
                let (span, points) = (range.span(), f64::from(last_code));
                if span == 0.0 {
                    return Self::constant(range, width);
                }
                let position = Position { origin: range.minimum.into(), points, span, offset: 0.0 };
                let (minimum, maximum) = (range.minimum.into(), range.maximum);
                Self { width, minimum, maximum, last_code, step: span / points, position }
            }
            GridKind::Signed | GridKind::Stepped => {
                let (span, half) = (f64::from(range.half_width()), f64::from(width.levels() / 2));
                if span == 0.0 {
                    return Self::constant(ValueRange::default(), width);
                }
                let points = if kind == GridKind::Signed { half } else { 1.0 };
                // Exact: a power of two divides it, and 24 bits times 16 fit in 53.
                let step = span / points;
                let maximum = finite(step * (half - 1.0));
                let position = Position { origin: 0.0, points, span, offset: half };
                Self { width, minimum: -step * half, maximum, last_code, step, position }
            }
        }
    }

    /// The grid of a range with but one value.
    fn constant(range: ValueRange, width: BitWidth) -> Self {
        let (minimum, maximum) = (range.minimum.into(), range.maximum);
        Self { width, minimum, maximum, last_code: 0, step: 0.0, position: Position::default() }
    }

    /// The grid of a width over the range of some weights.
    ///
    /// # Errors
    /// [`QuantizeError::NonFinite`] with the index of the first NaN or infinity.
    pub fn fit(weights: &[f32], width: BitWidth) -> Result<Self, QuantizeError> {
        Ok(Self::new(ValueRange::fit(weights)?, width))
    }

    /// The distance between two points; 0 when constant or pruned. Double, as `f32` could overflow.
    pub const fn step(&self) -> f64 {
        self.step
    }

    /// The width whose grid this is.
    pub const fn width(&self) -> BitWidth {
        self.width
    }

    /// The code of the nearest point; 0 for NaN.
    #[inline]
    pub fn quantize(&self, weight: f32) -> u16 {
        if self.last_code == 0 { 0 } else { self.nearest(weight) }
    }

    /// The value of a code: the lowest point for 0, the highest for the last code and above. Of
    /// [`GridKind::MinMax`] these are the range's ends, exactly.
    #[inline]
    pub fn dequantize(&self, code: u16) -> f32 {
        let value = finite(self.minimum + f64::from(code) * self.step);
        // Rounding must not move the upper end, nor may a code beyond it pass it.
        if code >= self.last_code { self.maximum } else { value }
    }

    /// Writes the code of each weight; the same as [`quantize`](Self::quantize) one by one.
    ///
    /// # Panics
    /// When the slices differ in length.
    pub fn quantize_slice(&self, weights: &[f32], codes: &mut [u16]) {
        assert_eq!(weights.len(), codes.len(), "one code per weight");
        if self.last_code == 0 {
            codes.fill(0);
        } else {
            for (code, &weight) in codes.iter_mut().zip(weights) {
                *code = self.nearest(weight);
            }
        }
    }

    /// Writes the value of each code; the same as [`dequantize`](Self::dequantize) one by one.
    ///
    /// # Panics
    /// When the slices differ in length.
    pub fn dequantize_slice(&self, codes: &[u16], weights: &mut [f32]) {
        assert_eq!(weights.len(), codes.len(), "one code per weight");
        for (weight, &code) in weights.iter_mut().zip(codes) {
            *weight = self.dequantize(code);
        }
    }

    /// The nearest code, where the span is not zero.
    #[inline]
    fn nearest(&self, weight: f32) -> u16 {
        /// Adding 2^52 leaves no room for a fraction: the sum is rounded to a whole number, ties to
        /// even, and its low bits are that number. `round_ties_even` would do the same through a
        /// function call per weight where the CPU's baseline has no such instruction.
        const WHOLE: f64 = (1u64 << 52) as f64;
        let last_code = f64::from(self.last_code);
        let Position { origin, points, span, offset } = self.position;
        let position = (f64::from(weight) - origin) * points / span + offset;
        // Written out, because it is also false for NaN.
        let position = if position > 0.0 { position } else { 0.0 };
        let position = if position < last_code { position } else { last_code };
        (position + WHOLE).to_bits() as u16
    }
}

/// The nearest 32-bit float that is finite.
#[inline]
fn finite(value: f64) -> f32 {
    value.clamp(f32::MIN.into(), f32::MAX.into()) as f32
}
