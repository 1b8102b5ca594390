//! The scalar twins: one symbol after the other, as the formulas read.

use super::{BLOCK, DecodeError, FrequencyTable, LENGTH_BYTES, NotInTable, START, lanes_of};

/// Twin of [`Encoder::encode`](super::Encoder::encode): the same bytes.
///
/// # Errors
/// [`NotInTable`] with the first symbol of frequency 0.
pub fn encode(symbols: &[u8], table: &FrequencyTable, out: &mut Vec<u8>) -> Result<(), NotInTable> {
    let frequency_of = |symbol: u8| table.frequencies()[usize::from(table.coded_as(symbol))];
    if let Some(index) = symbols.iter().position(|&symbol| frequency_of(symbol) == 0) {
        return Err(NotInTable { index, symbol: symbols[index] });
    }
    if table.only_symbol().is_some() {
        return Ok(());
    }
    let blocks: Vec<Vec<u8>> = symbols.chunks(BLOCK).map(|block| encode_block(block, table)).collect();
    if blocks.len() > 1 {
        out.extend(blocks.iter().flat_map(|block| block.len().to_le_bytes().into_iter().take(LENGTH_BYTES)));
    }
    out.extend(blocks.into_iter().flatten());
    Ok(())
}

fn encode_block(symbols: &[u8], table: &FrequencyTable) -> Vec<u8> {
    if symbols.is_empty() {
        return vec![];
    }
    let lanes = lanes_of(symbols.len());
    let (mut states, mut words) = (vec![START; lanes], vec![]);
    for (index, &symbol) in symbols.iter().enumerate().rev() {
        let symbol = table.coded_as(symbol);
        let (f, c) = (table.frequencies()[usize::from(symbol)], first_slot(table, symbol));
        let (f, c, p) = (u64::from(f), u64::from(c), table.precision());
        let mut x = u64::from(states[index % lanes]);
        let pushed = |x: u64| ((x / f) << p) + c + x % f;
        // The state may have any value of 32 bits: as long as it is below `f 2^(32 - p)`, the next has.
        if x >= f << (32 - p) {
            words.push(x as u16);
            x >>= 16;
        }
        states[index % lanes] = pushed(x) as u32;
    }
    let states = states.iter().flat_map(|state| state.to_le_bytes());
    let mut bytes: Vec<u8> = states.chain(words.iter().rev().flat_map(|word| word.to_le_bytes())).collect();
    if let Some((_, rare)) = table.rare() {
        let is_rare = |symbol: &u8| rare.frequencies()[usize::from(*symbol)] > 0;
        let symbols: Vec<u8> = symbols.iter().copied().filter(is_rare).collect();
        bytes.extend(encode_block(&symbols, rare));
    }
    bytes
}

/// Twin of [`Decoder::decode`](super::Decoder::decode): the same symbols, the same length, the same errors.
///
/// # Errors
/// [`DecodeError`] of the first block that has a fault.
pub fn decode(bytes: &[u8], table: &FrequencyTable, out: &mut [u8]) -> Result<usize, DecodeError> {
    if let Some(symbol) = table.only_symbol() {
        out.fill(symbol);
        return Ok(0);
    }
    if out.len() <= BLOCK {
        return decode_block(0, bytes, table, out);
    }
    let mut end = out.len().div_ceil(BLOCK) * LENGTH_BYTES;
    let mut blocks = vec![];
    for block in 0..out.len().div_ceil(BLOCK) {
        let length = bytes.get(LENGTH_BYTES * block..LENGTH_BYTES * (block + 1));
        let length =
            length.map_or(usize::MAX, |b| b.iter().rev().fold(0, |sum, &byte| sum << 8 | usize::from(byte)));
        let range = end..end.saturating_add(length);
        end = range.end;
        blocks.push(bytes.get(range).ok_or(DecodeError::Truncated { block, found: bytes.len() })?);
    }
    for (block, (out, bytes)) in out.chunks_mut(BLOCK).zip(blocks).enumerate() {
        let needed = decode_block(block, bytes, table, out)?;
        if needed < bytes.len() {
            return Err(DecodeError::LeftOver { block, found: bytes.len(), needed });
        }
    }
    Ok(end)
}

fn decode_block(
    block: usize,
    bytes: &[u8],
    table: &FrequencyTable,
    out: &mut [u8],
) -> Result<usize, DecodeError> {
    if out.is_empty() {
        return Ok(0);
    }
    let symbols_of_slots: Vec<u8> = (0..=255)
        .flat_map(|symbol| std::iter::repeat_n(symbol, table.frequencies()[usize::from(symbol)].into()))
        .collect();
    let truncated = DecodeError::Truncated { block, found: bytes.len() };
    let lanes = lanes_of(out.len());
    let (states, words) = bytes.split_at_checked(4 * lanes).ok_or(truncated)?;
    let mut states: Vec<u32> = states
        .chunks(4)
        .map(|four| four.iter().rev().fold(0, |sum, &byte| sum << 8 | u32::from(byte)))
        .collect();
    if let Some(lane) = states.iter().position(|&state| state < START) {
        return Err(DecodeError::WrongState { block, lane, found: states[lane] });
    }
    let mut words = words.chunks_exact(2);
    let count = words.len();
    for (index, out) in out.iter_mut().enumerate() {
        let x = states[index % lanes];
        let slot = x & ((1 << table.precision()) - 1);
        let symbol = symbols_of_slots[slot as usize];
        let (f, c) = (table.frequencies()[usize::from(symbol)], first_slot(table, symbol));
        let mut x = u32::from(f) * (x >> table.precision()) + slot - c;
        if x < START {
            let word = words.next().ok_or(truncated)?;
            x = x << 16 | u32::from(u16::from_le_bytes([word[0], word[1]]));
        }
        states[index % lanes] = x;
        *out = symbol;
    }
    if let Some(lane) = states.iter().position(|&state| state != START) {
        return Err(DecodeError::WrongState { block, lane, found: states[lane] });
    }
    let used = 4 * lanes + 2 * (count - words.len());
    let Some((stand_in, rare)) = table.rare() else {
        return Ok(used);
    };
    let mut symbols = vec![0; out.iter().filter(|&&symbol| symbol == stand_in).count()];
    let rare_used = decode_block(block, &bytes[used..], rare, &mut symbols)?;
    for (place, symbol) in out.iter_mut().filter(|place| **place == stand_in).zip(symbols) {
        *place = symbol;
    }
    Ok(used + rare_used)
}

/// The sum of the frequencies of all symbols before.
fn first_slot(table: &FrequencyTable, symbol: u8) -> u32 {
    table.frequencies()[..usize::from(symbol)].iter().map(|&f| u32::from(f)).sum()
}
