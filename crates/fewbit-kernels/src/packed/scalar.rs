//! The scalar twins: the layout bit by bit and the grid weight by weight, as the documents read.

use super::{ChannelRanges, MAX_WIDTH, PackedError, Widths, check};

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
    minimum: f32,
    maximum: f32,
    weights: &mut [f32],
) -> Result<(), PackedError> {
    let mut codes = vec![0; weights.len()];
    unpack(bytes, widths, &mut codes)?;
    for (index, (weight, &code)) in weights.iter_mut().zip(&codes).enumerate() {
        *weight = level(code, width_of(widths, index), minimum, maximum);
    }
    Ok(())
}

/// Twin of [`dequantize_channels`](super::dequantize_channels).
///
/// # Errors
/// As [`dequantize_channels`](super::dequantize_channels).
///
/// # Panics
/// When there are fewer ranges than channels.
pub fn dequantize_channels(
    bytes: &[u8],
    widths: Widths<'_>,
    ranges: ChannelRanges<'_>,
    weights: &mut [f32],
) -> Result<(), PackedError> {
    let mut codes = vec![0; weights.len()];
    unpack(bytes, widths, &mut codes)?;
    for (index, (weight, &code)) in weights.iter_mut().zip(&codes).enumerate() {
        let channel = index / ranges.channel_size;
        let (minimum, maximum) = (ranges.minima[channel], ranges.maxima[channel]);
        *weight = level(code, width_of(widths, index), minimum, maximum);
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

/// The value of a code: the minimum for 0, the maximum for the last code and above, exactly; 0.0 at no
/// bits.
///
/// # Panics
/// When the width is above [`MAX_WIDTH`].
pub fn level(code: u16, width: u8, minimum: f32, maximum: f32) -> f32 {
    assert!(width <= MAX_WIDTH, "{width} bits, {MAX_WIDTH} at most");
    let span = f64::from(maximum) - f64::from(minimum);
    if width == 0 {
        0.0
    } else if span == 0.0 || u32::from(code) >= (1 << width) - 1 {
        maximum
    } else {
        (f64::from(minimum) + f64::from(code) * step(span, width)) as f32
    }
}

/// The distance of two levels, `span / (2^b - 1)`, of at least one bit.
pub(super) fn step(span: f64, width: u8) -> f64 {
    span / f64::from((1u32 << width) - 1)
}
