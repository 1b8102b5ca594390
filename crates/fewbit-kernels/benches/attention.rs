//! Attention of 16 sequences, forward and backward: milliseconds, and GFLOP/s of its products.
//!
//! A product counts whole, or half where it is causal: two forward, five backward. Two threads, or
//! with `--one-thread` one and its own time on the processor. Prints one JSON object per line to
//! stdout.

use std::hint::black_box;
use std::sync::OnceLock;
use std::time::Instant;

use fewbit_kernels::{Attention, attention, attention_gradient};

/// Two, or one where `--one-thread` asks for it.
fn threads() -> usize {
    if std::env::args().any(|word| word == "--one-thread") { 1 } else { 2 }
}

/// Seconds since some moment: of the clock, or of this thread on the processor where there is no other.
fn seconds_now() -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    if threads() == 1
        && let Ok(line) = std::fs::read_to_string("/proc/thread-self/schedstat")
        && let Some(Ok(nanoseconds)) = line.split(' ').next().map(str::parse::<f64>)
    {
        return nanoseconds * 1e-9;
    }
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}

fn numbers(count: usize, salt: u32) -> Vec<f32> {
    let mut state = salt | 1;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

fn main() {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads())
        .use_current_thread()
        .build_global()
        .expect("no pool yet");
    let rounds = if std::env::args().any(|word| word == "--quick") { 1 } else { 31 };
    // A thread's own time comes in ticks of milliseconds: many runs to each figure.
    let repeats = if rounds > 1 && threads() == 1 { 10 } else { 1 };
    for (time, width) in [(128, 32), (128, 64), (256, 32), (256, 64)] {
        for causal in [true, false] {
            let shape = Attention::to_itself(16, time, 8, width, causal);
            let length = 16 * time * 8 * width;
            let (packed, gradient) = (numbers(3 * length, 1), numbers(length, 2));
            let (mut out, mut log_sums) = (vec![f32::NAN; length], vec![f32::NAN; 16 * 8 * time]);
            let mut packed_gradient = vec![f32::NAN; 3 * length];
            let mut seconds = [vec![], vec![]];
            for _ in 0..rounds {
                let start = seconds_now();
                for _ in 0..repeats {
                    attention(shape, &packed, black_box(&mut out), &mut log_sums);
                }
                seconds[0].push((seconds_now() - start) / f64::from(repeats));
                let start = seconds_now();
                for _ in 0..repeats {
                    let target = black_box(&mut packed_gradient);
                    attention_gradient(shape, &packed, &out, &log_sums, &gradient, target);
                }
                seconds[1].push((seconds_now() - start) / f64::from(repeats));
            }
            assert!(packed_gradient.iter().all(|value| value.is_finite()));
            let product = 2.0 * (length * time) as f64 / if causal { 2.0 } else { 1.0 };
            let [forward, backward] = seconds.map(median);
            println!(
                r#"{{"time":{time},"width":{width},"causal":{causal},"forward_ms":{:.3},"backward_ms":{:.3},"forward_gflops":{:.1},"backward_gflops":{:.1}}}"#,
                forward * 1e3,
                backward * 1e3,
                2.0 * product / forward / 1e9,
                5.0 * product / backward / 1e9
            );
        }
    }
}
