//! Buffers that training uses again from step to step.
//!
//! A step needs the same sizes as the one before. Fresh memory costs a page fault for every 4 KiB, which
//! at these sizes is more than the arithmetic, so that what an operation no longer needs is kept for
//! the next one that asks for the same length.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Bytes, DType, Shape};

/// Buffers shorter than this come from the allocator, which has them at hand.
const SHORTEST: usize = 4096;

/// Requests between two looks for lengths that nobody asks for any more.
const REQUESTS_PER_SWEEP: u64 = 4096;

static POOL: Mutex<Pool> = Mutex::new(Pool { by_length: BTreeMap::new(), requests: 0 });

struct Pool {
    by_length: BTreeMap<usize, Kept>,
    requests: u64,
}

#[derive(Default)]
struct Kept {
    buffers: Vec<Vec<f32>>,
    /// The last request for this length.
    asked: u64,
}

impl Pool {
    fn take(&mut self, len: usize) -> Option<Vec<f32>> {
        self.requests += 1;
        if self.requests.is_multiple_of(REQUESTS_PER_SWEEP) {
            let oldest = self.requests - REQUESTS_PER_SWEEP;
            self.by_length.retain(|_, kept| kept.asked >= oldest);
        }
        let kept = self.by_length.entry(len).or_default();
        kept.asked = self.requests;
        kept.buffers.pop()
    }

    fn give(&mut self, buffer: Vec<f32>) {
        // A length that nobody asks for is not kept: what a data loader made is never asked for.
        if let Some(kept) = self.by_length.get_mut(&buffer.len()) {
            kept.buffers.push(buffer);
        }
    }
}

/// So many numbers of any value.
pub(crate) fn take(len: usize) -> Vec<f32> {
    let kept = if len < SHORTEST { None } else { lock().take(len) };
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

    #[test]
    fn lengths_that_nobody_asks_for_are_let_go() {
        let mut pool = Pool { by_length: BTreeMap::new(), requests: 0 };
        pool.give(vec![0.0; 7]);
        assert!(pool.by_length.is_empty());
        assert!(pool.take(7).is_none());
        pool.give(vec![0.0; 7]);
        (0..2 * REQUESTS_PER_SWEEP).for_each(|_| drop(pool.take(8)));
        assert!(!pool.by_length.contains_key(&7));
    }
}
