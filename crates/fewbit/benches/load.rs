//! Whole files of 100 Mi weights to `f32`: G weights/s beside `fill(1.0f32)` of a written buffer and
//! `vec![1.0f32; n]` of a fresh one.
//!
//! Packed and coded, 4 bits everywhere and 2 to 8 bits in groups of 8, with one thread and with all cores. What
//! is timed is all that a reader does with the file's bytes in memory: header, check sums, decoding. Those who are compared
//! take turns, each several times, and the best of each counts. One more row has 16 Mi weights (64 MiB) and
//! a buffer that is warm. Words go to stderr, one JSON object per line to stdout; `--quick` runs a
//! hundredth of the weights once and compares with the codes' own values.

use std::hint::black_box;
use std::time::Instant;

use fewbit::{
    BitWidth, CodeEncoding, ContainerReader, ContainerWriter, GroupSize, Grouping, QuantizedTensor,
};
use fewbit_testing::Numbers;

/// A file and what is said of it.
struct Case {
    name: String,
    weights: usize,
    bytes: Vec<u8>,
    tensor: QuantizedTensor,
}

/// Weights of a normal distribution, by 12 uniform numbers each.
fn tensor(len: usize, bits: &[u8], size: GroupSize) -> QuantizedTensor {
    let mut numbers = Numbers::seeded(bits.len() as u64);
    // A part that repeats: what is drawn is no longer than what a coder looks back on, which is nothing.
    let part = numbers.weights(len.min(1 << 20));
    let weights: Vec<f32> = part.iter().cycle().take(len).copied().collect();
    let groups = Grouping::new(size, len).count();
    let widths = (0..groups).map(|_| BitWidth::new(bits[numbers.below(bits.len())]).expect("a width"));
    QuantizedTensor::quantize(&weights, &[len], size, widths.collect()).expect("finite weights")
}

fn case(name: &str, weights: usize, tensor: &QuantizedTensor, encoding: CodeEncoding) -> Case {
    let mut writer = ContainerWriter::new();
    let start = Instant::now();
    writer.quantized_as("t", tensor, encoding).expect("a tensor");
    let rate = weights as f64 / start.elapsed().as_secs_f64() * 1e-9;
    let bytes = writer.to_bytes();
    let bits = 8.0 * bytes.len() as f64 / weights as f64;
    eprintln!("{name}, {encoding:?}: {bits:.2} bits a weight, encoded at {rate:.2} G weights/s");
    Case { name: format!("{name}, {encoding:?}"), weights, bytes, tensor: tensor.clone() }
}

fn seconds<T>(work: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    black_box(work());
    start.elapsed().as_secs_f64()
}

/// The best time of each of four: into a written buffer, its fill, into fresh memory, its fill.
fn measure(case: &Case, rounds: usize) -> [f64; 4] {
    let mut best = [f64::INFINITY; 4];
    let mut buffer = vec![1.0f32; case.weights];
    for _ in 0..rounds {
        let times = [
            seconds(|| {
                let reader = ContainerReader::new(black_box(&case.bytes)).expect("sound");
                reader.all_values_into(&mut buffer).expect("sound");
            }),
            seconds(|| black_box(&mut buffer[..]).fill(black_box(1.0))),
            seconds(|| ContainerReader::new(black_box(&case.bytes)).and_then(|reader| reader.all_values())),
            seconds(|| vec![black_box(1.0f32); case.weights]),
        ];
        best.iter_mut().zip(times).for_each(|(best, time)| *best = best.min(time));
    }
    best
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let only = std::env::args().find_map(|word| word.strip_prefix("--only=").map(str::to_owned));
    let (mebi, rounds) = if quick { (1, 1) } else { (100, 7) };
    let eight = GroupSize::new(8).expect("not zero");
    let mixed: Vec<u8> = (2..=8).collect();
    for (weights, warm) in [(mebi << 20, false), ((mebi / 6).max(1) << 20, true)] {
        for (bits, size) in [(&[4][..], GroupSize::WholeTensor), (&mixed, eight)] {
            let tensor = tensor(weights, bits, size);
            for encoding in [CodeEncoding::Packed, CodeEncoding::Coded] {
                let name = if bits.len() == 1 { "4 bits" } else { "2-8 bits in groups of 8" };
                if only.as_ref().is_some_and(|only| !format!("{name}, {encoding:?}").contains(only)) {
                    continue;
                }
                let case = case(name, weights, &tensor, encoding);
                if quick {
                    let read = ContainerReader::new(&case.bytes).and_then(|reader| reader.all_values());
                    assert!(read.expect("sound") == case.tensor.dequantize(), "other values");
                }
                for threads in [1, 2] {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
                    let best = pool.install(|| measure(&case, rounds));
                    let [load, fill, fresh, vec] = best.map(|seconds| case.weights as f64 / seconds * 1e-9);
                    println!(
                        r#"{{"case":"{}","mebi_weights":{},"warm":{warm},"threads":{threads},"file_gigabytes_per_second":{:.2},"into_gw_per_s":{load:.2},"fill_gw_per_s":{fill:.2},"share_of_fill":{:.2},"fresh_gw_per_s":{fresh:.2},"vec_gw_per_s":{vec:.2},"share_of_vec":{:.2}}}"#,
                        case.name,
                        case.weights >> 20,
                        case.bytes.len() as f64 / best[0] * 1e-9,
                        load / fill,
                        fresh / vec,
                    );
                }
            }
        }
    }
}
