//! Which symbol has a slot: the tables that a decoder looks up.

use super::table::FrequencyTable;

/// Slots of the largest [`Packed`] table.
pub(super) const PACKED_SLOTS: usize = 1 << 12;
/// Slots of the largest [`Split`] table.
pub(super) const SPLIT_SLOTS: usize = 1 << 14;

/// A table by which a symbol comes off a state.
pub(super) trait Slots: Copy {
    /// The symbol on a state, and the state without it, not yet renormalised.
    fn pop(self, state: u32) -> (u8, u32);
}

/// One number per slot holds all that is needed: for precisions up to 12.
#[derive(Clone, Copy)]
pub(super) struct Packed<'a> {
    /// The symbol in bits 0 to 7, its frequency in 8 to 19, the slot's distance from the symbol's first
    /// in 20 to 31. No frequency is 2^12: such a table has but one symbol.
    pub(super) slots: &'a [u32; PACKED_SLOTS],
    pub(super) precision: u32,
}

/// The symbol of each slot, and what a symbol needs: for precisions above 12.
#[derive(Clone, Copy)]
pub(super) struct Split<'a> {
    /// Three bytes more than slots, because vector units fetch four at a time.
    pub(super) symbols: &'a [u8; SPLIT_SLOTS + 3],
    /// The frequency in bits 0 to 15, the first slot in 16 to 31.
    pub(super) shares: &'a [u32; 256],
    pub(super) precision: u32,
}

impl Slots for Packed<'_> {
    #[inline(always)]
    fn pop(self, state: u32) -> (u8, u32) {
        let slot = state as usize & ((1 << self.precision) - 1);
        // Changes nothing, but tells the compiler that the slot exists.
        let entry = self.slots[slot % PACKED_SLOTS];
        (entry as u8, (entry >> 8 & 0xfff) * (state >> self.precision) + (entry >> 20))
    }
}

impl Slots for Split<'_> {
    #[inline(always)]
    fn pop(self, state: u32) -> (u8, u32) {
        let slot = state & ((1 << self.precision) - 1);
        let symbol = self.symbols[slot as usize % SPLIT_SLOTS];
        let share = self.shares[usize::from(symbol)];
        // In this order nothing exceeds 32 bits: the slot is not below the first one.
        (symbol, (share & 0xffff) * (state >> self.precision) + (slot - (share >> 16)))
    }
}

/// The numbers of a [`Packed`] table; those after the last slot are never looked up.
pub(super) fn packed(table: &FrequencyTable) -> Box<[u32; PACKED_SLOTS]> {
    let mut slots = zeros();
    for (symbol, start, frequency) in shares(table) {
        for (distance, slot) in (0..).zip(&mut slots[start..start + frequency]) {
            *slot = symbol as u32 | (frequency as u32) << 8 | distance << 20;
        }
    }
    slots
}

/// The numbers of a [`Split`] table.
pub(super) fn split(table: &FrequencyTable) -> (Box<[u8; SPLIT_SLOTS + 3]>, Box<[u32; 256]>) {
    let (mut symbols, mut numbers) = (zeros(), zeros());
    for (symbol, start, frequency) in shares(table) {
        symbols[start..start + frequency].fill(symbol as u8);
        numbers[symbol] = frequency as u32 | (start as u32) << 16;
    }
    (symbols, numbers)
}

/// Symbol, first slot and frequency of each symbol.
fn shares(table: &FrequencyTable) -> impl Iterator<Item = (usize, usize, usize)> {
    let starts = table.starts();
    let frequencies = table.frequencies();
    (0..256).map(move |symbol| (symbol, usize::from(starts[symbol]), usize::from(frequencies[symbol])))
}

/// An array on the heap that was never on the stack.
fn zeros<T: Copy + Default + std::fmt::Debug, const N: usize>() -> Box<[T; N]> {
    vec![T::default(); N].into_boxed_slice().try_into().expect("as long as it was made")
}
