//! Matrix products of a transformer's linear layers, in GFLOP/s, beside the `gemm` crate.
//!
//! Rows 2048, two threads. The two take turns; each figure is the median of its rounds, and the best
//! of them. With `--one-thread`, one thread and its own time on the processor, which other work on the
//! machine disturbs less. Prints one JSON object per line to stdout.

use std::hint::black_box;
use std::sync::OnceLock;
use std::time::Instant;

use fewbit_kernels::{Matrix, product};

const ROWS: usize = 2048;

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

/// The same product by the `gemm` crate.
fn peer(a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32]) {
    let strides = |m: Matrix<'_>| if m.transposed { (m.rows, 1) } else { (1, m.columns) };
    let ((a_column, a_row), (b_column, b_row)) = (strides(a), strides(b));
    let parallelism =
        if threads() == 1 { gemm::Parallelism::None } else { gemm::Parallelism::Rayon(threads()) };
    // SAFETY: the strides are those of the slices, whose lengths `product` has checked.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out.as_mut_ptr(),
            1,
            b.columns as isize,
            false,
            a.values.as_ptr(),
            a_column as isize,
            a_row as isize,
            b.values.as_ptr(),
            b_column as isize,
            b_row as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
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
    for (inputs, outputs) in [(256, 768), (256, 256), (256, 1024), (1024, 256)] {
        let input = numbers(ROWS * inputs, 1);
        let weight = numbers(inputs * outputs, 2);
        let gradient = numbers(ROWS * outputs, 3);
        let input = Matrix::new(&input, ROWS, inputs);
        let weight = Matrix::new(&weight, inputs, outputs);
        let gradient = Matrix::new(&gradient, ROWS, outputs);
        let forms = [
            ("forward", input, weight),
            ("input_gradient", gradient, weight.transpose()),
            ("weight_gradient", input.transpose(), gradient),
        ];
        for (form, a, b) in forms {
            let mut ours = vec![f32::NAN; a.rows * b.columns];
            let mut theirs = ours.clone();
            let mut seconds = [vec![], vec![]];
            // A thread's own time comes in ticks of milliseconds: many products to each figure.
            let repeats = if rounds > 1 && threads() == 1 { 10 } else { 1 };
            for _ in 0..rounds {
                let start = seconds_now();
                (0..repeats).for_each(|_| product(a, b, false, black_box(&mut ours)));
                seconds[0].push((seconds_now() - start) / f64::from(repeats));
                let start = seconds_now();
                (0..repeats).for_each(|_| peer(a, b, black_box(&mut theirs)));
                seconds[1].push((seconds_now() - start) / f64::from(repeats));
            }
            let apart = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < 1e-3, "{form}: {apart} apart");
            let operations = 2.0 * (a.rows * a.columns * b.columns) as f64;
            let best =
                seconds.each_ref().map(|s| operations / s.iter().copied().fold(f64::MAX, f64::min) / 1e9);
            let [ours, gemm] = seconds.map(|s| operations / median(s) / 1e9);
            println!(
                r#"{{"form":"{form}","inputs":{inputs},"outputs":{outputs},"gflops":{ours:.1},"gemm_gflops":{gemm:.1},"best":{:.1},"gemm_best":{:.1}}}"#,
                best[0], best[1]
            );
        }
    }
}
