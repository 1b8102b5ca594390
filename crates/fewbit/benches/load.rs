//! Whole files of 100 Mi weights to `f32`: G weights/s beside `fill(1.0f32)` of a written buffer and
//! `vec![1.0f32; n]` of a fresh one.
//!
//! Packed and coded, 4 bits everywhere and 2 to 8 bits in groups of 8, these also of one step and of a
//! half-width per channel, with one thread and with all cores. What
//! is timed is all that a reader does with the file's bytes in memory: header, checksums, decoding; and all that a writer
//! does with a quantized tensor up to those bytes, of which the median is given. Those who are compared
//! take turns, each several times, and the best of each counts. One more row has 16 Mi weights (64 MiB) and
//! a buffer that is warm. Words go to stderr, one JSON object per line to stdout; `--quick` runs a
//! hundredth of the weights once and compares with the codes' own values.

use std::hint::black_box;
use std::time::Instant;

use fewbit::{
    BitWidth, CodeEncoding, ContainerReader, ContainerWriter, GridKind, GroupSize, Grouping, QuantizedTensor,
    RangeForm, RangeGranularity, Ranges, ValueRange,
};
use fewbit_testing::Numbers;

/// A file and what is said of it.
struct Case {
    name: String,
    weights: usize,
    bytes: Vec<u8>,
    tensor: QuantizedTensor,
    encoding: CodeEncoding,
}

/// Where the levels of a tensor lie.
#[derive(Clone, Copy, PartialEq)]
enum Over {
    /// One range, minimum to maximum.
    Tensor,
    /// One step about zero.
    Step,
    /// A half-width for each channel of 4608 weights: 512 kernels of 3 x 3.
    Channels,
}

const CHANNEL: usize = 4608;

/// Weights of a normal distribution, by 12 uniform numbers each.
fn tensor(len: usize, bits: &[u8], size: GroupSize, over: Over) -> QuantizedTensor {
    let mut numbers = Numbers::seeded(bits.len() as u64);
    // A part that repeats: what is drawn is no longer than what a coder looks back on, which is nothing.
    let part = numbers.weights(len.min(1 << 20));
    let weights: Vec<f32> = part.iter().cycle().take(len).copied().collect();
    let groups = Grouping::new(size, len).count();
    let widths =
        (0..groups).map(|_| BitWidth::new(bits[numbers.below(bits.len())]).expect("a width")).collect();
    let form = RangeForm::SymmetricHalf;
    let about_zero = |granularity, kind, ranges: Vec<f32>| {
        let values = ranges
            .into_iter()
            .map(|range| form.nearest(ValueRange::symmetric(range).expect("positive")).expect("small"));
        Ranges::new(granularity, kind, form, values.collect()).expect("symmetric")
    };
    let (shape, ranges) = match over {
        Over::Tensor => (vec![len], Ranges::of_tensor(ValueRange::fit(&weights).expect("finite"))),
        Over::Step => (vec![len], about_zero(RangeGranularity::Tensor, GridKind::Stepped, vec![0.4])),
        Over::Channels => {
            let channels = len / CHANNEL;
            let widths = (0..channels).map(|channel| 2.5 + (channel % 7) as f32).collect();
            let shape = vec![channels, CHANNEL];
            (shape, about_zero(RangeGranularity::Channel, GridKind::Signed, widths))
        }
    };
    QuantizedTensor::quantize_with(&weights, ranges, &shape, size, widths).expect("finite weights")
}

fn case(name: &str, weights: usize, tensor: &QuantizedTensor, encoding: CodeEncoding) -> Case {
    let bytes = written(tensor, encoding).to_bytes();
    let bits = 8.0 * bytes.len() as f64 / weights as f64;
    eprintln!("{name}, {encoding:?}: {bits:.2} bits a weight");
    Case { name: format!("{name}, {encoding:?}"), weights, bytes, tensor: tensor.clone(), encoding }
}

fn written(tensor: &QuantizedTensor, encoding: CodeEncoding) -> ContainerWriter {
    let mut writer = ContainerWriter::new();
    writer.quantized_as("t", tensor, encoding).expect("a tensor");
    writer
}

/// The median time of encoding the tensor.
fn measure_writing(case: &Case, rounds: usize) -> f64 {
    let mut times: Vec<f64> =
        (0..rounds).map(|_| seconds(|| written(black_box(&case.tensor), case.encoding))).collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
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
                reader.values_into("t", &mut buffer).expect("sound");
            }),
            seconds(|| black_box(&mut buffer[..]).fill(black_box(1.0))),
            seconds(|| ContainerReader::new(black_box(&case.bytes)).and_then(|reader| reader.values("t"))),
            seconds(|| vec![black_box(1.0f32); case.weights]),
        ];
        best.iter_mut().zip(times).for_each(|(best, time)| *best = best.min(time));
    }
    best
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let argument = |name: &str| std::env::args().find_map(|word| word.strip_prefix(name).map(str::to_owned));
    let (only, only_encoding) = (argument("--only="), argument("--encoding="));
    let (mebi, rounds) = if quick { (1, 1) } else { (100, 7) };
    let eight = GroupSize::new(8).expect("not zero");
    let mixed: Vec<u8> = (2..=8).collect();
    // Whole channels.
    let weights = |mebi: usize| (mebi << 20) / CHANNEL * CHANNEL;
    for (weights, warm) in [(weights(mebi), false), (weights((mebi / 6).max(1)), true)] {
        for (bits, size, over) in [
            (&[4][..], GroupSize::WholeTensor, Over::Tensor),
            (&mixed, eight, Over::Tensor),
            (&mixed, eight, Over::Step),
            (&mixed, eight, Over::Channels),
        ] {
            let name = if bits.len() == 1 { "4 bits" } else { "2-8 bits in groups of 8" };
            let name = match over {
                Over::Tensor => name.to_owned(),
                Over::Step => format!("{name}, stepped"),
                Over::Channels => format!("{name}, signed per channel"),
            };
            if only.as_ref().is_some_and(|only| !name.contains(only)) {
                continue;
            }
            let tensor = tensor(weights, bits, size, over);
            for encoding in [CodeEncoding::Packed, CodeEncoding::Coded] {
                if only_encoding.as_ref().is_some_and(|only| format!("{encoding:?}") != *only) {
                    continue;
                }
                let case = case(&name, weights, &tensor, encoding);
                if quick {
                    let read = ContainerReader::new(&case.bytes).and_then(|reader| reader.values("t"));
                    assert!(read.expect("sound") == case.tensor.dequantize(), "other values");
                }
                for threads in [1, 2] {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
                    let best = pool.install(|| measure(&case, rounds));
                    let write = pool.install(|| measure_writing(&case, rounds));
                    let write = case.weights as f64 / write * 1e-9;
                    let [load, fill, fresh, vec] = best.map(|seconds| case.weights as f64 / seconds * 1e-9);
                    println!(
                        r#"{{"case":"{}","mebi_weights":{},"warm":{warm},"threads":{threads},"file_gigabytes_per_second":{:.2},"write_gw_per_s":{write:.3},"into_gw_per_s":{load:.2},"fill_gw_per_s":{fill:.2},"share_of_fill":{:.2},"fresh_gw_per_s":{fresh:.2},"vec_gw_per_s":{vec:.2},"share_of_vec":{:.2}}}"#,
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
