//! One block: its lanes take turns at one row of words.

use super::decode::DecodeError;
use super::slots::Slots;
use super::{LaneCount, MOST_LANES, START};
use crate::dispatch::InstructionSet;

/// One block to be decoded, number `block` of its stream, that `bytes` begin with.
pub(super) struct Block<'a> {
    pub(super) set: InstructionSet,
    pub(super) block: usize,
    pub(super) lanes: LaneCount,
    pub(super) bytes: &'a [u8],
}

impl Block<'_> {
    /// Fills `out` with symbols, and gives the length of the block.
    pub(super) fn fill<S: WideSlots>(&self, slots: S, out: &mut [u8]) -> Result<usize, DecodeError> {
        match self.lanes {
            _ if out.is_empty() => Ok(0),
            LaneCount::One => self.fill_by_lanes::<1>(out, |lanes, out| lanes.pop_groups(slots, out), slots),
            LaneCount::Four => self.fill_by_lanes::<4>(out, |lanes, out| lanes.pop_groups(slots, out), slots),
            LaneCount::ThirtyTwo => self.fill_by_lanes::<MOST_LANES>(
                out,
                |lanes, out| slots.pop_wide(self.set, lanes, out),
                slots,
            ),
        }
    }

    /// `pop_groups` is [`Lanes::pop_groups`] or does the same faster.
    fn fill_by_lanes<const LANES: usize>(
        &self,
        out: &mut [u8],
        pop_groups: impl Fn(&mut Lanes<'_, LANES>, &mut [[u8; LANES]]) -> usize,
        slots: impl Slots,
    ) -> Result<usize, DecodeError> {
        let block = self.block;
        let truncated = DecodeError::Truncated { block, found: self.bytes.len() };
        let (states, words) = self.bytes.split_at_checked(4 * LANES).ok_or(truncated)?;
        let words = words.as_chunks::<2>().0;
        let mut state_of = states.as_chunks::<4>().0.iter();
        let states = [(); LANES].map(|()| state_of.next().map_or(0, |&bytes| u32::from_le_bytes(bytes)));
        if let Some(lane) = states.iter().position(|&state| state < START) {
            return Err(DecodeError::WrongState { block, lane, found: states[lane] });
        }
        let (groups, tail) = out.as_chunks_mut::<LANES>();

        // While a whole group's words are there, nobody has to ask for each.
        let mut lanes = Lanes { states, words, position: 0 };
        let done = pop_groups(&mut lanes, groups);

        // Few words are left, but likely symbols need few. Zeros follow them, which may be read, and it is
        // seen afterwards that they were.
        let Lanes { states, position, .. } = lanes;
        let rest = &words[position..];
        let mut padded = [[0; 2]; 3 * MOST_LANES];
        let count = rest.len().min(2 * MOST_LANES);
        padded[..count].copy_from_slice(&rest[..count]);
        let mut lanes = Lanes { states, words: &padded[..count + LANES], position: 0 };
        if pop_groups(&mut lanes, &mut groups[done..]) < groups.len() - done {
            return Err(truncated);
        }
        for (lane, symbol) in tail.iter_mut().enumerate() {
            if lanes.position > count {
                return Err(truncated);
            }
            lanes.pop(slots, lane, symbol);
        }
        if lanes.position > count {
            return Err(truncated);
        }
        match lanes.states.iter().position(|&state| state != START) {
            Some(lane) => Err(DecodeError::WrongState { block, lane, found: lanes.states[lane] }),
            None => Ok(4 * LANES + 2 * (position + lanes.position)),
        }
    }
}

/// The states of all lanes, and the words they share.
pub(super) struct Lanes<'a, const LANES: usize> {
    pub(super) states: [u32; LANES],
    pub(super) words: &'a [[u8; 2]],
    /// Words that were taken.
    pub(super) position: usize,
}

impl<const LANES: usize> Lanes<'_, LANES> {
    /// Fills group after group, as long as there are words for the worst case: one per lane. Gives the
    /// number of groups that were filled.
    pub(super) fn pop_groups(&mut self, slots: impl Slots, out: &mut [[u8; LANES]]) -> usize {
        // A copy, which the compiler may keep in registers.
        let mut lanes = Self { states: self.states, words: self.words, position: self.position };
        let mut done = 0;
        for group in out {
            if lanes.position + LANES > lanes.words.len() {
                break;
            }
            for (lane, symbol) in group.iter_mut().enumerate() {
                lanes.pop(slots, lane, symbol);
            }
            done += 1;
        }
        *self = lanes;
        done
    }

    /// Takes a symbol off a lane. There must be a word left, even if it is not needed.
    #[inline(always)]
    fn pop(&mut self, slots: impl Slots, lane: usize, symbol: &mut u8) {
        let (popped, state) = slots.pop(self.states[lane]);
        *symbol = popped;
        // Without a branch: whether a word is needed is as good as random.
        let word = u32::from(u16::from_le_bytes(self.words[self.position]));
        let needs = state < START;
        self.states[lane] = std::hint::select_unpredictable(needs, state << 16 | word, state);
        self.position += usize::from(needs);
    }
}

/// Slots that an instruction set may have a faster way for.
pub(super) trait WideSlots: Slots {
    /// [`Lanes::pop_groups`] with the instructions of a set.
    fn pop_wide(
        self,
        set: InstructionSet,
        lanes: &mut Lanes<'_, MOST_LANES>,
        out: &mut [[u8; MOST_LANES]],
    ) -> usize;
}

#[cfg(not(target_arch = "x86_64"))]
impl<S: Slots> WideSlots for S {
    fn pop_wide(
        self,
        _: InstructionSet,
        lanes: &mut Lanes<'_, MOST_LANES>,
        out: &mut [[u8; MOST_LANES]],
    ) -> usize {
        lanes.pop_groups(self, out)
    }
}

#[cfg(target_arch = "x86_64")]
impl<S: super::x86::VectorSlots> WideSlots for S {
    fn pop_wide(
        self,
        set: InstructionSet,
        lanes: &mut Lanes<'_, MOST_LANES>,
        out: &mut [[u8; MOST_LANES]],
    ) -> usize {
        super::x86::pop_groups(set, self, lanes, out)
    }
}
