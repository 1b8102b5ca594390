//! Which records make a batch: a pure function of (seed, epoch) and a position.

use super::task::BatchRecord;

/// A permutation of `0..len` that depends on nothing but its arguments.
pub fn permutation(seed: u64, epoch: u64, len: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..len as u32).collect();
    let mut state = mix(seed ^ mix(epoch.wrapping_add(0x9E37_79B9_7F4A_7C15)));
    for last in (1..len).rev() {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        // The high half of the product is uniform over 0..=last up to 2^-32.
        let chosen = ((u128::from(mix(state)) * (last as u128 + 1)) >> 64) as usize;
        order.swap(last, chosen);
    }
    order
}

/// The finalizer of splitmix64.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// Hands out batches by step; keeps the order of the current epoch only.
#[derive(Debug)]
pub struct Batches {
    seed: u64,
    records: usize,
    repeats: usize,
    batch_size: usize,
    epoch: Option<u64>,
    order: Vec<u32>,
}

impl Batches {
    /// Batches of `batch_size` out of `records`; fewer, where there are fewer records.
    pub fn new(seed: u64, records: usize, batch_size: usize) -> Self {
        let batch_size = batch_size.clamp(1, records.max(1));
        Self { seed, records, repeats: 1, batch_size, epoch: None, order: Vec::new() }
    }

    /// The same with each record so many times in a row, each time as of another epoch and therefore varied anew
    /// (Hoffer et al. 2019, *Augment your batch*).
    #[must_use]
    pub fn with_repeats(self, repeats: usize) -> Self {
        Self { repeats: repeats.max(1), ..self }
    }

    /// Steps that go once through the records; an incomplete last batch is left out.
    pub fn steps_per_epoch(&self) -> u64 {
        ((self.records * self.repeats / self.batch_size) as u64).max(1)
    }

    /// The records of step `step`, counted from 0 over the whole run.
    pub fn at(&mut self, step: u64) -> Vec<BatchRecord> {
        let epoch = step / self.steps_per_epoch();
        if self.epoch != Some(epoch) {
            self.order = permutation(self.seed, epoch, self.records);
            self.epoch = Some(epoch);
        }
        let start = (step % self.steps_per_epoch()) as usize * self.batch_size;
        let places = start..(start + self.batch_size).min(self.records * self.repeats);
        let record = |place: usize| BatchRecord {
            epoch: epoch * self.repeats as u64 + (place % self.repeats) as u64,
            index: self.order[place / self.repeats] as usize,
        };
        places.map(record).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_visits_each_record_once_and_epochs_differ() {
        let mut batches = Batches::new(3, 12, 4);
        let mut epochs = Vec::new();
        for epoch in 0..2 {
            let seen: Vec<_> = (0..3).flat_map(|b| batches.at(epoch * 3 + b)).collect();
            assert!(seen.iter().all(|record| record.epoch == epoch));
            let mut indices: Vec<_> = seen.iter().map(|record| record.index).collect();
            epochs.push(indices.clone());
            indices.sort_unstable();
            assert_eq!(indices, (0..12).collect::<Vec<_>>());
        }
        assert_ne!(epochs[0], epochs[1]);
    }

    #[test]
    fn any_step_can_be_asked_for_in_any_order() {
        let mut forward = Batches::new(9, 10, 3);
        let all: Vec<_> = (0..7).map(|step| forward.at(step)).collect();
        for step in [5, 0, 6, 2] {
            assert_eq!(Batches::new(9, 10, 3).at(step), all[step as usize]);
        }
    }

    /// Of 5 records three times each, four at once: three steps, of which the last leaves three places out.
    #[test]
    fn a_repeated_record_comes_in_a_row_and_as_of_another_epoch_each_time() {
        let mut batches = Batches::new(9, 5, 4).with_repeats(3);
        assert_eq!(batches.steps_per_epoch(), 3);
        let order = permutation(9, 1, 5);
        let second: Vec<_> = (3..6).flat_map(|step| batches.at(step)).collect();
        for (place, record) in second.iter().enumerate() {
            assert_eq!((record.index, record.epoch), (order[place / 3] as usize, 3 + place as u64 % 3));
        }
        assert_eq!(second.len(), 12);
    }

    #[test]
    fn a_batch_larger_than_the_set_is_the_set() {
        let batch = Batches::new(0, 3, 8).at(0);
        assert_eq!(batch.len(), 3);
    }
}
