//! Buffers that training uses again from step to step.
//!
//! A step needs the same sizes as the one before. Fresh memory costs a page fault for every 4 KiB, which
//! at these sizes is more than the arithmetic, so that what an operation no longer needs is kept for
//! the next one that asks for the same length.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Bytes, DType, Shape};

/// Buffers shorter than this come from the allocator, which has them at hand.
const SHORTEST: usize = 4096;

/// Requests between two looks at what is still needed: more than a step makes.
const REQUESTS_PER_SWEEP: u64 = 4096;

static POOL: Mutex<Pool> = Mutex::new(Pool { by_length: BTreeMap::new(), requests: 0 });

struct Pool {
    by_length: BTreeMap<usize, Kept>,
    requests: u64,
}

/// The buffers of one length.
#[derive(Default)]
struct Kept {
    buffers: Vec<Vec<f32>>,
    /// The last request for this length.
    asked: u64,
    /// Buffers that were handed out and did not come back.
    lent: usize,
    /// The fewest and the most that were lent at once since the last sweep, and the most before it.
    fewest: usize,
    most: usize,
    most_before: usize,
}

impl Pool {
    fn take(&mut self, len: usize) -> Option<Vec<f32>> {
        self.requests += 1;
        if self.requests.is_multiple_of(REQUESTS_PER_SWEEP) {
            let oldest = self.requests - REQUESTS_PER_SWEEP;
            self.by_length.retain(|_, kept| kept.asked >= oldest);
            self.by_length.values_mut().for_each(Kept::sweep);
        }
        let kept = self.by_length.entry(len).or_default();
        kept.asked = self.requests;
        kept.lent += 1;
        kept.most = kept.most.max(kept.lent);
        kept.buffers.pop()
    }

    fn give(&mut self, buffer: Vec<f32>) {
        // A length that nobody asks for is not kept: what a data loader made is never asked for.
        let Some(kept) = self.by_length.get_mut(&buffer.len()) else { return };
        kept.lent = kept.lent.saturating_sub(1);
        kept.fewest = kept.fewest.min(kept.lent);
        // burn's own buffers come here too: more than were ever lent at once are never needed.
        if kept.lent + kept.buffers.len() < kept.most.max(kept.most_before) {
            kept.buffers.push(buffer);
        }
    }
}

impl Kept {
    /// Forgets what never came back (burn freed it), and what was needed only long ago.
    fn sweep(&mut self) {
        self.most_before = self.most - self.fewest;
        self.lent -= self.fewest;
        (self.fewest, self.most) = (self.lent, self.lent);
        self.buffers.truncate(self.most_before - self.lent);
    }
}

thread_local! {
    /// Whether what this thread asks for comes from the allocator.
    static APART: Cell<bool> = const { Cell::new(false) };
}

/// Does something whose results burn will free, as it does without a backward pass: counted as lent they
/// would never come back, and burn's own buffers would be kept in their place.
pub(crate) fn apart<T>(work: impl FnOnce() -> T) -> T {
    let before = APART.replace(true);
    let result = work();
    APART.set(before);
    result
}

/// So many numbers of any value.
pub(crate) fn take(len: usize) -> Vec<f32> {
    let kept = if len < SHORTEST || APART.get() { None } else { lock().take(len) };
    kept.unwrap_or_else(|| vec![0.0; len])
}

/// Keeps the numbers of `tensor` for [`take`], if nothing else refers to them.
pub(crate) fn recycle(tensor: FlexTensor) {
    let whole =
        tensor.is_unique() && tensor.layout().contiguous_offsets().is_some_and(|(start, _)| start == 0);
    if !whole || tensor.dtype() != DType::F32 || tensor.layout().num_elements() < SHORTEST {
        return;
    }
    if let Ok(buffer) = tensor.into_data().try_into_vec::<f32>() {
        give(buffer);
    }
}

/// Keeps numbers that [`take`] gave.
pub(crate) fn give(buffer: Vec<f32>) {
    if buffer.len() >= SHORTEST {
        lock().give(buffer);
    }
}

/// A tensor of these numbers.
pub(crate) fn tensor(values: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(shape), DType::F32)
}

/// The numbers of a contiguous tensor.
pub(crate) fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("a contiguous float32 tensor")
}

fn lock() -> std::sync::MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_handed_out_again_and_what_is_shared_is_not() {
        // A length that no other test uses.
        let len = 54_321;
        let buffer = take(len);
        let at = buffer.as_ptr();
        recycle(tensor(buffer, Shape::from([len])));
        let again = take(len);
        assert_eq!(again.as_ptr(), at);
        let shared = tensor(again, Shape::from([len]));
        recycle(shared.clone());
        let other = take(len);
        assert_ne!(other.as_ptr(), at);
        drop((shared, other));
    }

    /// A length that no other test uses.
    #[test]
    fn what_burn_will_free_does_not_count_as_lent() {
        let len = 65_431;
        drop(apart(|| take(len)));
        assert!(!lock().by_length.contains_key(&len));
    }

    fn pool() -> Pool {
        Pool { by_length: BTreeMap::new(), requests: 0 }
    }

    #[test]
    fn lengths_that_nobody_asks_for_are_let_go() {
        let mut pool = pool();
        pool.give(vec![0.0; 7]);
        assert!(pool.by_length.is_empty());
        assert!(pool.take(7).is_none());
        pool.give(vec![0.0; 7]);
        (0..2 * REQUESTS_PER_SWEEP).for_each(|_| drop(pool.take(8)));
        assert!(!pool.by_length.contains_key(&7));
    }

    /// Three lent at once, and of each step's gives two more than takes, as where burn makes buffers that
    /// operations of ours give back: never more than three are kept.
    #[test]
    fn no_more_is_kept_than_was_ever_lent_at_once() {
        let mut pool = pool();
        for _ in 0..10_000 {
            let taken: Vec<_> = (0..3).map(|_| pool.take(5).unwrap_or_else(|| vec![0.0; 5])).collect();
            taken.into_iter().for_each(|buffer| pool.give(buffer));
            (0..2).for_each(|_| pool.give(vec![0.0; 5]));
            assert!(pool.by_length[&5].buffers.len() <= 3);
        }
    }

    /// One of two never comes back; then both do and one more: what was lost does not count for ever.
    #[test]
    fn what_never_comes_back_is_forgotten() {
        let mut pool = pool();
        for step in 0..4 * REQUESTS_PER_SWEEP {
            let first = pool.take(6).unwrap_or_else(|| vec![0.0; 6]);
            drop(pool.take(6));
            pool.give(first);
            if step > 3 * REQUESTS_PER_SWEEP {
                (0..2).for_each(|_| pool.give(vec![0.0; 6]));
            }
        }
        assert!(pool.by_length[&6].buffers.len() as u64 <= REQUESTS_PER_SWEEP);
        (0..8 * REQUESTS_PER_SWEEP).for_each(|_| {
            let one = pool.take(6).unwrap_or_else(|| vec![0.0; 6]);
            pool.give(one);
            pool.give(vec![0.0; 6]);
        });
        assert!(pool.by_length[&6].buffers.len() <= 2, "{}", pool.by_length[&6].buffers.len());
    }
}
