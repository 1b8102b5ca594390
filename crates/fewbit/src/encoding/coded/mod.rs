//! The coded encoding: codes sorted by the width of their groups, each width a run of streams with its own
//! frequencies, and the widths one run more.
//!
//! Within a width the order is that of the weights. A stream is one block of [`fewbit_kernels::rans`]. Its
//! symbols are bytes, so that of codes of more than eight bits the upper ones are coded, and the low ones
//! are packed as they are: mostly they look like noise. How many, and which upper ones occur at all where
//! they are more than eight, the [`symbols`] tell. The frequencies of the widths follow from the table's
//! count of each, so they cost nothing. Those of codes can be shared: a short tensor would spend more on its
//! own than it loses by those of the one before.

mod decode;
mod directory;
mod encode;
mod symbols;
mod windows;

use fewbit_kernels::rans::{self, FrequencyTable, LaneCount};

pub(crate) use self::decode::SortedCodes;
pub(crate) use self::directory::{Directory, SharedModels};
pub(crate) use self::encode::encode;
use super::classes::WidthClasses;
use crate::BitWidth;

/// Symbols that one stream holds; longer runs are several streams, so that many cores can decode.
pub(crate) const BLOCK: usize = rans::BLOCK;

/// The coded form of a tensor: how its streams are divided, for the table, and the streams.
pub(crate) struct Coded {
    pub(crate) directory: Directory,
    pub(crate) streams: Vec<u8>,
}

/// The widths that have a stream: those of some codes, 0 excepted.
fn coded_widths(classes: &WidthClasses) -> impl Iterator<Item = BitWidth> {
    classes.widths().filter(|width| *width > BitWidth::ZERO && classes.codes(*width) > 0)
}

/// The frequencies of the widths, from the number of groups of each; `None` where all are the same.
///
/// A width of `n` out of `N` groups gets `n·2^p div N`, but at least 1 if it occurs; what is then
/// missing, or too much, the most frequent gets, the smallest of several. `p` is 12, and 14 where the most
/// frequent has at least 15/16 of all: then the others need finer numbers.
fn width_frequencies(classes: &WidthClasses) -> Option<FrequencyTable> {
    if classes.is_uniform() {
        return None;
    }
    let counts = classes.histogram();
    let groups = classes.grouping().count() as u128;
    let most = *counts.iter().max()?;
    let precision = if most as u128 * 16 >= groups * 15 { 14 } else { 12 };
    let total = 1u16 << precision;
    let share = |count: u128| ((count * u128::from(total) / groups) as u16).max(u16::from(count > 0));
    let mut frequencies = [0; 256];
    for (frequency, &count) in frequencies.iter_mut().zip(&counts) {
        *frequency = share(count as u128);
    }
    let most = counts.iter().position(|count| *count == most)?;
    let others: u16 = frequencies.iter().sum::<u16>() - frequencies[most];
    // Of 17 widths the most frequent has a seventeenth at least, far more than the others were raised.
    frequencies[most] = total - others;
    FrequencyTable::from_frequencies(precision, frequencies)
}

/// The lanes of a stream of so many widths with these frequencies: so few that they take but a hundredth
/// of the stream.
///
/// What counts are the widths that are not the most frequent one, about: the others take few bits.
fn width_lanes(symbols: usize, table: &FrequencyTable) -> LaneCount {
    let most = table.frequencies().iter().max().copied().unwrap_or_default();
    let others = (symbols * ((1 << table.precision()) - usize::from(most))) >> table.precision();
    match others {
        0..4096 => LaneCount::One,
        4096..65_536 => LaneCount::Four,
        _ => LaneCount::ThirtyTwo,
    }
}
