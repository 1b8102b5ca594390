//! Rounding to learned scales and the coded size of a million weights, on one thread.
//!
//! Weights of normal distribution at three precisions, contiguous, as a transposed matrix 1024 x 1024
//! and as a transposed convolution, with a scale per tensor or per output channel, bit widths per 16
//! weights. Each operation takes turns with a copy of as many bytes as it must read and write once.
//! Prints words to stderr and one JSON object per line to stdout; `--quick` runs each once.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::Instant;

use fewbit_kernels::{
    GroupLayout, InstructionSet, coded_size, largest_magnitudes, round_to_scales, rounding_gradient, scalar,
};

const SIDE: usize = 1024;
const COUNT: usize = SIDE * SIDE;
const LEVELS: (i16, i16) = (127, 127);

fn timed(repeats: usize, work: &mut dyn FnMut()) -> Vec<f64> {
    let time = |_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    (0..repeats).map(time).collect()
}

/// The median, and what a tenth of the calls were faster than.
fn summary(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[values.len() / 10])
}

fn main() {
    let rounds = if std::env::args().any(|argument| argument == "--quick") { 1 } else { 41 };
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().expect("the first pool");
    let set = format!("{:?}", InstructionSet::detect());
    eprintln!("{set}, one thread, {COUNT} weights");
    let width_group = NonZeroUsize::new(16).expect("not 0");
    let per_channel = NonZeroUsize::new(SIDE).expect("not 0");
    let layouts = [
        ("contiguous, a scale", GroupLayout::Contiguous { group_size: NonZeroUsize::MAX }),
        ("contiguous, scales", GroupLayout::Contiguous { group_size: per_channel }),
        (
            "transposed, a scale",
            GroupLayout::Transposed { rows: SIDE, columns: SIDE, group_size: NonZeroUsize::MAX },
        ),
        (
            "transposed, scales",
            GroupLayout::Transposed { rows: SIDE, columns: SIDE, group_size: per_channel },
        ),
        (
            "convolution, scales",
            GroupLayout::Swapped { rows: SIDE / 8, columns: SIDE, inner: 8, group_size: per_channel },
        ),
    ];
    let weights = fewbit_testing::Numbers::seeded(1).weights(COUNT);
    let upstream = fewbit_testing::Numbers::seeded(2).weights(COUNT);
    for (name, layout) in layouts {
        // Mean magnitudes of about 0.4, 1.6 and 13 levels.
        for scale in [2.0f32, 0.5, 0.06] {
            let groups = layout.group_count(COUNT);
            let scales: Vec<f32> =
                (0..groups).map(|group| scale * (1.0 + (group % 7) as f32 / 20.0)).collect();
            let (mut of_weights, mut of_scales) = (vec![1.0; COUNT], vec![1.0; groups]);
            let (mut rounded, mut largest) = (vec![1.0; COUNT], vec![1.0; groups]);
            let mut gradient = upstream.clone();
            let mut copied = vec![1.0f32; COUNT];
            let mut times: [Vec<f64>; 5] = Default::default();
            let mut bits = 0.0;
            for _ in 0..rounds {
                times[0].extend(timed(1, &mut || {
                    bits =
                        coded_size(&weights, &scales, layout, width_group, &mut of_weights, &mut of_scales);
                }));
                times[1].extend(timed(1, &mut || {
                    round_to_scales(&weights, &scales, layout, LEVELS, &mut rounded);
                }));
                times[2].extend(timed(1, &mut || {
                    rounding_gradient(&weights, &scales, layout, LEVELS, &mut gradient, &mut of_scales);
                }));
                times[3].extend(timed(1, &mut || largest_magnitudes(&weights, layout, &mut largest)));
                times[4].extend(timed(1, &mut || {
                    black_box(&mut copied).copy_from_slice(black_box(&weights));
                }));
            }
            let start = Instant::now();
            let (twin_bits, twin, _) = scalar::coded_size(&weights, &scales, layout, width_group.get());
            let twin_seconds = start.elapsed().as_secs_f64();
            assert!(bits == twin_bits && of_weights == twin, "the fast path differs from its scalar twin");
            assert!(rounded == scalar::round_to_scales(&weights, &scales, layout, LEVELS));
            let nanoseconds = |seconds: f64| 1e9 * seconds / COUNT as f64;
            // Bytes per weight that are read or written once.
            let bytes = [8.0, 8.0, 12.0, 4.0, 8.0];
            let copy = summary(times[4].clone()).0;
            eprintln!("{name}, {:.2} bits a weight:", bits / COUNT as f64);
            for ((operation, times), bytes) in
                ["coded_size", "round_to_scales", "rounding_gradient", "largest_magnitudes", "copy"]
                    .into_iter()
                    .zip(times)
                    .zip(bytes)
            {
                let (median, fast) = summary(times);
                let of_copy = median / (copy * bytes / 8.0);
                eprintln!(
                    "  {operation}: {:.2} ns a weight, a tenth below {:.2}, {of_copy:.1} of a copy's time",
                    nanoseconds(median),
                    nanoseconds(fast),
                );
                println!(
                    "{{\"bench\":\"coded_size\",\"operation\":\"{operation}\",\"layout\":\"{name}\",\
                     \"set\":\"{set}\",\"weights\":{COUNT},\"bits\":{:.3},\"ns\":{:.4},\"fast_ns\":{:.4}}}",
                    bits / COUNT as f64,
                    nanoseconds(median),
                    nanoseconds(fast),
                );
            }
            eprintln!("  coded_size, scalar twin: {:.0} ns a weight", nanoseconds(twin_seconds));
        }
    }
}
