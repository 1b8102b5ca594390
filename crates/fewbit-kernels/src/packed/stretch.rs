//! Consecutive codes with their widths, beginning and ending anywhere: what a piece of work is cut from.

use std::slice;

use super::{MAX_WIDTH, PackedError, Widths};

/// Consecutive codes and the width of each group that they touch.
///
/// Always true: no width is above [`MAX_WIDTH`], and there is one for each group that has a code here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch<'a> {
    widths: &'a [u8],
    /// At least 1.
    group_size: usize,
    /// How many codes of the first group come before these.
    lead: usize,
    codes: usize,
}

impl<'a> Stretch<'a> {
    /// All codes of a tensor.
    ///
    /// # Errors
    /// [`PackedError`]: not one width per group, or a width that is too large.
    pub(super) fn new(widths: &'a Widths<'a>, codes: usize) -> Result<Self, PackedError> {
        let (widths, group_size, uniform) = match widths {
            Widths::Uniform(width) => (slice::from_ref(width), codes, true),
            // A group larger than the tensor is its one group.
            Widths::PerGroup { widths, group_size } => (*widths, group_size.get().min(codes), false),
        };
        let widest = widths.iter().fold(0, |widest, &width| widest.max(width));
        if widest > MAX_WIDTH
            && let Some(group) = widths.iter().position(|&width| width > MAX_WIDTH)
        {
            return Err(PackedError::WidthTooLarge { group, width: widths[group] });
        }
        let group_size = group_size.max(1);
        let expected = codes.div_ceil(group_size);
        if widths.len() == expected {
            Ok(Self { widths, group_size, lead: 0, codes })
        } else if uniform {
            // Without codes there is a width, though no group.
            Ok(Self { widths: &[], group_size, lead: 0, codes })
        } else {
            Err(PackedError::WidthCount { expected, found: widths.len() })
        }
    }

    pub(super) fn widths(self) -> &'a [u8] {
        self.widths
    }

    pub(super) fn group_size(self) -> usize {
        self.group_size
    }

    pub(super) fn lead(self) -> usize {
        self.lead
    }

    pub(super) fn codes(self) -> usize {
        self.codes
    }

    /// Bits of all codes.
    pub(super) fn bits(self) -> u64 {
        let (Some(&first), Some(&last)) = (self.widths.first(), self.widths.last()) else {
            return 0;
        };
        // Whole groups, less what the first and the last have outside. Wide, because a check may ask for
        // more codes than there can be.
        let wide = |number: usize| number as u128;
        let behind = wide(self.widths.len()) * wide(self.group_size) - wide(self.lead) - wide(self.codes);
        let bits = sum_of(self.widths) * wide(self.group_size)
            - u128::from(first) * wide(self.lead)
            - u128::from(last) * behind;
        u64::try_from(bits).unwrap_or(u64::MAX)
    }

    /// The first `codes`, and the rest.
    ///
    /// # Panics
    /// When there are fewer.
    pub(super) fn split(self, codes: usize) -> (Self, Self) {
        assert!(codes <= self.codes, "{codes} of {} codes", self.codes);
        let end = self.lead + codes;
        let (touched, begun) = (end.div_ceil(self.group_size), end / self.group_size);
        let first = match codes {
            0 => Self { widths: &[], codes, ..self },
            _ => Self { widths: &self.widths[..touched], codes, ..self },
        };
        let rest = self.codes - codes;
        let widths = if rest == 0 { &[] } else { &self.widths[begun..] };
        (first, Self { widths, lead: end % self.group_size, codes: rest, ..self })
    }

    /// The width and the number of codes of each group.
    pub(super) fn groups(self) -> impl DoubleEndedIterator<Item = (u8, usize)> {
        let Self { widths, group_size, lead, codes } = self;
        widths.iter().enumerate().map(move |(group, &width)| {
            let begin = (group * group_size).max(lead);
            let end = (group * group_size).saturating_add(group_size).min(lead + codes);
            (width, end - begin)
        })
    }

    /// The fewest codes at the end that have so many bits together; all where they have fewer.
    pub(super) fn codes_of_last(self, bits: u64) -> usize {
        let (mut missing, mut found) = (bits, 0);
        for (width, codes) in self.groups().rev() {
            let here = u64::from(width) * codes as u64;
            if missing <= here {
                return found + if missing == 0 { 0 } else { missing.div_ceil(width.into()) as usize };
            }
            missing -= here;
            found += codes;
        }
        found
    }
}

/// The sum of widths that are at most [`MAX_WIDTH`] each.
fn sum_of(widths: &[u8]) -> u128 {
    /// Widths that are summed side by side, as bytes.
    const LANES: usize = 32;
    /// So many of the largest widths fit in a byte.
    const ROWS: usize = u8::MAX as usize / MAX_WIDTH as usize;
    let mut sum = 0u64;
    for block in widths.chunks(ROWS * LANES) {
        let (rows, rest) = block.as_chunks::<LANES>();
        let mut lanes = [0u8; LANES];
        for row in rows {
            for lane in 0..LANES {
                lanes[lane] += row[lane];
            }
        }
        sum += lanes.iter().chain(rest).map(|&part| u64::from(part)).sum::<u64>();
    }
    sum.into()
}
