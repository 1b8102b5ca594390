//! From frequencies to bits.

use super::levels::{LEVELS, place};
use crate::math::log2_of_whole;

/// Bit widths from 0 to 8; none is 1.
pub(crate) const WIDTHS: usize = 9;

/// No level costs more bits than this: a rare one escapes to a plain code.
const LARGEST_COST: f32 = 16.0;

/// How often each level occurs in groups of each width, and how many groups have it.
#[derive(Clone)]
pub(crate) struct Frequencies {
    pub(crate) levels: Box<[[u64; LEVELS]; WIDTHS]>,
    pub(crate) groups: [u64; WIDTHS],
}

impl Frequencies {
    pub(crate) fn none() -> Self {
        Self { levels: Box::new([[0; LEVELS]; WIDTHS]), groups: [0; WIDTHS] }
    }

    /// Adds what was counted in turns.
    pub(super) fn add(&mut self, counts: &Counts) {
        for counts in counts {
            for (sum, count) in self.levels.iter_mut().flatten().zip(counts.iter().flatten()) {
                *sum += u64::from(*count);
            }
        }
    }

    pub(super) fn added(mut self, other: &Self) -> Self {
        for (mine, its) in self.levels.iter_mut().flatten().zip(other.levels.iter().flatten()) {
            *mine += its;
        }
        self.groups.iter_mut().zip(other.groups).for_each(|(mine, its)| *mine += its);
        self
    }
}

/// Counters that take turns, so that an addition need not wait for the one before.
pub(super) const TURNS: usize = 4;

/// How often each level occurs in groups of each width, by turns.
pub(super) type Counts = [[[u32; LEVELS]; WIDTHS]; TURNS];

pub(super) fn no_counts() -> Box<Counts> {
    vec![[[0; LEVELS]; WIDTHS]; TURNS].into_boxed_slice().try_into().expect("so many turns")
}

/// Bits of each level in groups of each width, and of each width.
pub(crate) struct Costs {
    pub(crate) levels: Box<[[f32; LEVELS]; WIDTHS]>,
    pub(crate) widths: [f32; WIDTHS],
    /// From each level to the next, in groups of each width; 0 from the last level and from below the first.
    pub(super) next: Box<[[f32; LEVELS]; WIDTHS]>,
    /// Of each level, in groups of the next wider width less in those of the own.
    pub(super) wider: Box<[[f32; LEVELS]; WIDTHS]>,
    /// Of each level, in groups of the next narrower width less in those of the own.
    pub(super) narrower: Box<[[f32; LEVELS]; WIDTHS]>,
}

/// The next wider width; the widest is its own.
#[inline(always)]
pub(super) const fn wider(width: usize) -> usize {
    match width {
        0 => 2,
        8 => 8,
        _ => width + 1,
    }
}

/// The next narrower width; the narrowest is its own.
#[inline(always)]
pub(super) const fn narrower(width: usize) -> usize {
    if width <= 2 { 0 } else { width - 1 }
}

impl Costs {
    pub(crate) fn of(frequencies: &Frequencies) -> Self {
        let mut levels = Box::new([[0.0; LEVELS]; WIDTHS]);
        for (width, costs) in levels.iter_mut().enumerate().skip(1) {
            let counts = &frequencies.levels[width];
            let cost = cost(counts.iter().sum(), 1 << width);
            let of_none = cost(0);
            for (bits, count) in costs.iter_mut().zip(counts) {
                *bits = if *count == 0 { of_none } else { cost(*count) };
            }
        }
        let widths = frequencies.groups.map(cost(frequencies.groups.iter().sum(), WIDTHS as u64 - 1));
        let table = || Box::new([[0.0; LEVELS]; WIDTHS]);
        let (mut next, mut to_wider, mut to_narrower) = (table(), table(), table());
        for width in 0..WIDTHS {
            let costs = &levels[width];
            for level in -127..127 {
                next[width][place(level)] = costs[place(level + 1)] - costs[place(level)];
            }
            for place in 0..LEVELS {
                to_wider[width][place] = levels[wider(width)][place] - costs[place];
                to_narrower[width][place] = levels[narrower(width)][place] - costs[place];
            }
        }
        Self { levels, widths, next, wider: to_wider, narrower: to_narrower }
    }

    /// The bits of all levels and widths.
    pub(crate) fn total(&self, frequencies: &Frequencies) -> f64 {
        let bits = |count: &u64, cost: &f32| *count as f64 * f64::from(*cost);
        let mut total = 0.0;
        for width in 0..WIDTHS {
            total += bits(&frequencies.groups[width], &self.widths[width]);
            for (count, cost) in frequencies.levels[width].iter().zip(&self.levels[width]) {
                total += bits(count, cost);
            }
        }
        total
    }

    /// A difference of bits as a slope may have it.
    #[inline(always)]
    pub(crate) fn held(difference: f32) -> f32 {
        difference.clamp(-LARGEST_COST, LARGEST_COST)
    }
}

/// The bits of what occurs so often of `all`, where there are so many kinds: half an occurrence is added to
/// each, so that no cost is infinite.
fn cost(all: u64, kinds: u64) -> impl Fn(u64) -> f32 {
    let of_all = log2_of_whole(2 * all + kinds);
    move |count| ((of_all - log2_of_whole(2 * count + 1)) as f32).min(LARGEST_COST)
}
