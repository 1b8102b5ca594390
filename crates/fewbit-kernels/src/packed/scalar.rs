//! The scalar twins: the layout bit by bit and the grid weight by weight, as the documents read.

use std::num::NonZeroUsize;

use super::{Levels, MAX_WIDTH, PackedError, Widths, check};

/// Twin of [`unpack`](super::unpack).
///
/// # Errors
/// As [`unpack`](super::unpack).
pub fn unpack(bytes: &[u8], widths: Widths<'_>, codes: &mut [u16]) -> Result<(), PackedError> {
    check(bytes, widths, codes.len())?;
    let mut place = 0;
    for (index, code) in codes.iter_mut().enumerate() {
        *code = 0;
        for bit in 0..width_of(widths, index) {
            *code |= u16::from(bytes[place / 8] >> (place % 8) & 1) << bit;
            place += 1;
        }
    }
    Ok(())
}

/// Twin of [`dequantize`](super::dequantize).
///
/// # Errors
/// As [`dequantize`](super::dequantize).
pub fn dequantize(
    bytes: &[u8],
    widths: Widths<'_>,
    levels: Levels,
    weights: &mut [f32],
) -> Result<(), PackedError> {
    let mut codes = vec![0; weights.len()];
    unpack(bytes, widths, &mut codes)?;
    for (index, (weight, &code)) in weights.iter_mut().zip(&codes).enumerate() {
        *weight = level(code, width_of(widths, index), levels);
    }
    Ok(())
}

/// Twin of [`dequantize_channels`](super::dequantize_channels).
///
/// # Errors
/// As [`dequantize_channels`](super::dequantize_channels).
pub fn dequantize_channels(
    bytes: &[u8],
    widths: Widths<'_>,
    first: usize,
    channel_size: NonZeroUsize,
    levels: impl Fn(usize) -> Levels,
    weights: &mut [f32],
) -> Result<(), PackedError> {
    let mut codes = vec![0; weights.len()];
    unpack(bytes, widths, &mut codes)?;
    for (index, (weight, &code)) in weights.iter_mut().zip(&codes).enumerate() {
        *weight = level(code, width_of(widths, index), levels((first + index) / channel_size));
    }
    Ok(())
}

/// The bits of the code at `index`.
fn width_of(widths: Widths<'_>, index: usize) -> u8 {
    match widths {
        Widths::Uniform(width) => width,
        Widths::PerGroup { widths, group_size } => widths[index / group_size],
    }
}

/// The value of a code among the levels of a width; 0.0 at no bits.
///
/// A code above the last means what the last does.
///
/// # Panics
/// When the width is above [`MAX_WIDTH`].
pub fn level(code: u16, width: u8, levels: Levels) -> f32 {
    assert!(width <= MAX_WIDTH, "{width} bits, {MAX_WIDTH} at most");
    if width == 0 {
        return 0.0;
    }
    let last_code = ((1u32 << width) - 1) as u16;
    let code = code.min(last_code);
    let half = f64::from(1u32 << (width - 1));
    let value = match levels {
        Levels::MinMax { minimum, maximum } => {
            let span = f64::from(maximum) - f64::from(minimum);
            if span == 0.0 || code == last_code {
                return maximum;
            }
            f64::from(minimum) + f64::from(code) * (span / f64::from(last_code))
        }
        Levels::Signed { half_width } => (f64::from(code) - half) * (f64::from(half_width) / half),
        Levels::Stepped { step } => (f64::from(code) - half) * f64::from(step),
    };
    // The sum with zero makes a zero positive.
    (value.clamp(f32::MIN.into(), f32::MAX.into()) + 0.0) as f32
}
