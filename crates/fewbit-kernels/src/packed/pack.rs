//! Codes to bits.

use super::stretch::Stretch;
use super::{PackedError, Widths};

/// Appends the packed codes to `out`.
///
/// # Errors
/// [`PackedError`]: not one width per group, a width that is too large or a code that does not fit; `out`
/// then keeps what it held, and no more.
pub fn pack(codes: &[u16], widths: Widths<'_>, out: &mut Vec<u8>) -> Result<(), PackedError> {
    let stretch = Stretch::new(&widths, codes.len())?;
    let before = out.len();
    // At most 16 bits per code, so never more bytes than the codes take themselves.
    out.reserve(stretch.bits().div_ceil(8) as usize);
    let (mut pending, mut pending_bits) = (0u64, 0u32);
    let mut rest = codes;
    for (width, count) in stretch.groups() {
        let (group, others) = rest.split_at(count);
        let any = group.iter().fold(0, |any, &code| any | code);
        if u32::from(any) >> width != 0
            && let Some(place) = group.iter().position(|&code| u32::from(code) >> width != 0)
        {
            out.truncate(before);
            let index = codes.len() - rest.len() + place;
            return Err(PackedError::CodeTooLarge { index, code: group[place], width });
        }
        for &code in group {
            pending |= u64::from(code) << pending_bits;
            pending_bits += u32::from(width);
            if pending_bits >= 32 {
                out.extend_from_slice(&(pending as u32).to_le_bytes());
                pending >>= 32;
                pending_bits -= 32;
            }
        }
        rest = others;
    }
    out.extend_from_slice(&pending.to_le_bytes()[..pending_bits.div_ceil(8) as usize]);
    Ok(())
}
