//! Weights to multiples of a step, where a cheaper multiple may take the place of the nearest.
//!
//! What a coder pays for a level depends on how often all weights have it. So weights are first rounded to
//! the nearest level; then each may move one level towards zero, where the squared error that this adds is
//! worth less than the bits that it saves; twice, as the frequencies change. With a step `s` the exchange
//! rate of entropy coded uniform levels is `dD/dR = -(ln 2 / 6) s²` per bit (Gish and Pierce 1968: `D =
//! s²/12` and a bit halves `s`).

use rayon::prelude::*;

/// Weights that one task rounds.
const CHUNK: usize = 1 << 16;

/// Levels from -128 to 127 have a frequency of their own; those beyond count as the outermost.
pub(crate) const LEVELS: usize = 256;

/// The exchange rate of a bit for squared steps.
pub(crate) const RATE: f64 = std::f64::consts::LN_2 / 6.0;

/// How often weights are moved.
const PASSES: usize = 2;

/// The level of each weight: `weight ≈ level · step`.
///
/// `trade` is the share of the exchange rate at which bits are bought: 0 rounds to the nearest. `step`
/// must be above 0; levels are at most 2^15 from zero.
pub(crate) fn levels(weights: &[f32], step: f32, trade: f32) -> Vec<i16> {
    let mut levels = vec![0i16; weights.len()];
    write_levels(weights, step, trade, &mut levels);
    levels
}

/// As [`levels`], into as many.
pub(crate) fn write_levels(weights: &[f32], step: f32, trade: f32, levels: &mut [i16]) {
    let inverse = 1.0 / step;
    let mut counts = each_chunk(weights, levels, trade > 0.0, |weights, levels| {
        for (level, &weight) in levels.iter_mut().zip(weights) {
            *level = rounded(weight * inverse);
        }
    });
    if trade > 0.0 {
        for pass in 1..=PASSES {
            let savings = savings(counts, levels.len(), trade);
            counts = each_chunk(weights, levels, pass < PASSES, |weights, levels| {
                for (level, &weight) in levels.iter_mut().zip(weights) {
                    *level = moved(weight * inverse, *level, &savings);
                }
            });
        }
    }
}

/// The nearest whole number, of two the even one, at most 2^15 from zero.
#[inline]
fn rounded(position: f32) -> i16 {
    // Floats of this size are whole numbers: adding it rounds, by the hardware's rule, in one instruction where
    // `round_ties_even` is a call.
    const WHOLE: f32 = 12_582_912.0;
    ((position.clamp(-32_768.0, 32_767.0) + WHOLE) - WHOLE) as i16
}

/// How often each level occurs.
type Counts = [u64; LEVELS];

/// Does `work` part by part on all threads; how often each level occurs then, where that `counts`.
fn each_chunk(
    weights: &[f32],
    levels: &mut [i16],
    counts: bool,
    work: impl Fn(&[f32], &mut [i16]) + Sync,
) -> Counts {
    let part = |(weights, levels): (&[f32], &mut [i16])| {
        work(weights, levels);
        // At once, while they are near.
        if counts { frequencies(levels) } else { [0; LEVELS] }
    };
    if weights.len() <= CHUNK {
        return part((weights, levels));
    }
    // Whole numbers: their sum does not depend on the order.
    let add = |mut left: Counts, right: Counts| {
        left.iter_mut().zip(right).for_each(|(left, right)| *left += right);
        left
    };
    weights.par_chunks(CHUNK).zip(levels.par_chunks_mut(CHUNK)).map(part).reduce(|| [0; LEVELS], add)
}

/// How often each level occurs.
fn frequencies(levels: &[i16]) -> Counts {
    // Two counts side by side, so that equal neighbours do not wait for each other.
    let mut counts = [[0u64; LEVELS]; 2];
    let mut pairs = levels.chunks_exact(2);
    for pair in &mut pairs {
        counts[0][place(pair[0])] += 1;
        counts[1][place(pair[1])] += 1;
    }
    pairs.remainder().iter().for_each(|level| counts[0][place(*level)] += 1);
    std::array::from_fn(|at| counts[0][at] + counts[1][at])
}

/// Where a level is counted.
pub(crate) fn place(level: i16) -> usize {
    (level.clamp(-128, 127) + 128) as usize
}

/// The squared error, in squared steps, that a move of each level towards zero may add.
fn savings(counts: Counts, weights: usize, trade: f32) -> [f32; LEVELS] {
    let bits = bits_of(counts, weights);
    let rate = f64::from(trade) * RATE;
    std::array::from_fn(|at| {
        let level = at as i16 - 128;
        (rate * (bits[at] - bits[place(level - level.signum())])) as f32
    })
}

/// What a coder pays for each level, by how often all have it.
pub(crate) fn bits_of_levels(levels: &[i16]) -> [f64; LEVELS] {
    bits_of(frequencies(levels), levels.len())
}

fn bits_of(counts: Counts, weights: usize) -> [f64; LEVELS] {
    // Half an occurrence for what has none, so that no cost is infinite.
    counts.map(|count| -((count as f64 + 0.5) / (weights as f64 + 0.5)).log2())
}

/// The level, or the next one towards zero. `position` is the weight in steps.
#[inline]
fn moved(position: f32, level: i16, savings: &[f32; LEVELS]) -> i16 {
    let next = level - level.signum();
    let (stay, go) = (position - f32::from(level), position - f32::from(next));
    // One move of a level is all that may be: those that have moved before are further away already.
    let added = go * go - stay * stay;
    if added < savings[place(level)] && go.abs() < 1.0 { next } else { level }
}

#[cfg(test)]
mod tests {
    use fewbit_testing::Numbers;

    use super::*;

    fn entropy(levels: &[i16]) -> f64 {
        let counts = frequencies(levels);
        let all = levels.len() as f64;
        let bits = |count: &u64| if *count == 0 { 0.0 } else { *count as f64 * (all / *count as f64).log2() };
        counts.iter().map(bits).sum::<f64>() / all
    }

    fn error(weights: &[f32], levels: &[i16], step: f32) -> f64 {
        let square = |(weight, level): (&f32, &i16)| f64::from(weight - f32::from(*level) * step).powi(2);
        weights.iter().zip(levels).map(square).sum::<f64>() / weights.len() as f64
    }

    #[test]
    fn without_a_trade_levels_are_the_nearest() {
        let weights = [0.0, 0.24, 0.26, -0.76, 10.0, -1e30, f32::MAX];
        assert_eq!(levels(&weights, 0.5, 0.0), [0, 0, 1, -2, 20, -32_768, 32_767]);
    }

    /// At equal squared error the traded levels have less entropy.
    #[test]
    fn a_trade_saves_more_than_a_larger_step() {
        let weights = Numbers::seeded(1).weights(200_000);
        for step in [0.3f32, 0.6, 1.0] {
            let step =
                step * weights.iter().map(|w| w * w).sum::<f32>().sqrt() / (weights.len() as f32).sqrt();
            let traded = levels(&weights, step, 1.0);
            let (bits, error_then) = (entropy(&traded), error(&weights, &traded, step));
            let (mut low, mut high) = (step, 3.0 * step);
            for _ in 0..30 {
                let middle = (low + high) / 2.0;
                let plain = levels(&weights, middle, 0.0);
                if error(&weights, &plain, middle) < error_then { low = middle } else { high = middle }
            }
            let plain = entropy(&levels(&weights, low, 0.0));
            assert!(bits < plain, "step {step}: {bits} bits traded, {plain} plain");
        }
    }

    #[test]
    fn levels_do_not_depend_on_the_number_of_threads() {
        let weights = Numbers::seeded(2).weights(300_000);
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| levels(&weights, 0.1, 1.0))
        };
        assert!(on(1) == on(3));
    }
}
