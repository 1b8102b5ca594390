//! Packed codes of 16 Mi weights to `f32` and to codes, against `fill(1.0f32)`: G weights/s per core, and
//! share of the fill.
//!
//! One thread, a warm output of 64 MiB. Each round fills, unpacks and fills again, so that a change of the
//! machine's load meets both; the best round of each. Words go to stderr, one JSON object per line to stdout; `--quick`
//! runs each once and compares with the scalar twin; `--threads=2` uses two.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::Instant;

use fewbit_kernels::InstructionSet;
use fewbit_kernels::packed::{
    Levels, Widths, dequantize_channels_on, dequantize_on, pack, scalar, unpack_on,
};
use fewbit_testing::Numbers;

const WEIGHTS: usize = 16 << 20;
/// One of each kind.
const LEVELS: [Levels; 3] = [
    Levels::MinMax { minimum: -0.31, maximum: 0.47 },
    Levels::Signed { half_width: 0.4 },
    Levels::Stepped { step: 0.013 },
];
/// Weights with one range, where each channel has its own: a 3 x 3 convolution of 64 channels.
const CHANNEL: usize = 576;

/// Codes in groups, or of one width where `group_size` is `None`.
struct Case {
    name: String,
    widths: Vec<u8>,
    group_size: Option<NonZeroUsize>,
    bytes: Vec<u8>,
}

impl Case {
    fn uniform(width: u8) -> Self {
        Self::new(format!("uniform {width}"), vec![width], None)
    }

    /// Widths of 0 to 15 with a mean of about 3.
    fn mixed(group_size: usize) -> Self {
        const OF_SIXTEEN: [u8; 16] = [0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 4, 5, 6, 10];
        let mut numbers = Numbers::seeded(group_size as u64);
        let draw = |_| match numbers.below(64) {
            0 => 15,
            _ => OF_SIXTEEN[numbers.below(16)],
        };
        let widths = (0..WEIGHTS.div_ceil(group_size)).map(draw).collect();
        Self::new(format!("mixed, groups of {group_size}"), widths, NonZeroUsize::new(group_size))
    }

    fn new(name: String, widths: Vec<u8>, group_size: Option<NonZeroUsize>) -> Self {
        let mut numbers = Numbers::seeded(7);
        let width = |index: usize| widths[group_size.map_or(0, |size| index / size)];
        let mask = |index: usize| (1u64 << width(index)) - 1;
        let codes: Vec<u16> = (0..WEIGHTS).map(|index| (numbers.bits() & mask(index)) as u16).collect();
        let mut case = Self { name, widths, group_size, bytes: Vec::new() };
        let mut bytes = Vec::new();
        let start = Instant::now();
        pack(&codes, case.widths(), &mut bytes).expect("codes fit");
        let rate = WEIGHTS as f64 / start.elapsed().as_secs_f64() * 1e-9;
        eprintln!("{}: {:.2} bits a weight, packed at {rate:.2} G weights/s", case.name, bits(&bytes));
        case.bytes = bytes;
        case
    }

    fn widths(&self) -> Widths<'_> {
        match self.group_size {
            Some(group_size) => Widths::PerGroup { widths: &self.widths, group_size },
            None => Widths::Uniform(self.widths[0]),
        }
    }
}

fn bits(bytes: &[u8]) -> f64 {
    8.0 * bytes.len() as f64 / WEIGHTS as f64
}

fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

fn best(seconds: Vec<f64>) -> f64 {
    seconds.into_iter().fold(f64::INFINITY, f64::min)
}

fn main() {
    let has = |word: &str| std::env::args().any(|argument| argument == word);
    let (quick, threads) = (has("--quick"), if has("--threads=2") { 2 } else { 1 });
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .use_current_thread()
        .build_global()
        .expect("no pool yet");
    let rounds = if quick { 1 } else { 25 };
    let mut cases: Vec<Case> = [1, 2, 3, 4, 5, 6, 8, 12, 16].map(Case::uniform).into();
    cases.extend([4, 8, 16, 32, 64, 7].map(Case::mixed));
    let channel_size = NonZeroUsize::new(CHANNEL).expect("not zero");
    let of_channel = |channel: usize| LEVELS[channel % LEVELS.len()];
    let mut weights = vec![1.0f32; WEIGHTS];
    let mut codes = vec![1u16; WEIGHTS];
    let only = std::env::args().find_map(|word| word.strip_prefix("--only=").map(str::to_owned));
    for case in cases.iter().filter(|case| only.as_ref().is_none_or(|only| case.name.contains(only))) {
        for set in InstructionSet::available() {
            let [mut fill, mut min_max, mut signed, mut stepped, mut channels, mut unpack] =
                [const { vec![] }; 6];
            for _ in 0..rounds {
                fill.push(seconds(|| black_box(&mut weights[..]).fill(black_box(1.0f32))));
                for (times, levels) in [&mut min_max, &mut signed, &mut stepped].into_iter().zip(LEVELS) {
                    times.push(seconds(|| {
                        let out = black_box(&mut weights[..]);
                        dequantize_on(set, &case.bytes, case.widths(), levels, out).expect("sound");
                    }));
                }
                channels.push(seconds(|| {
                    let out = black_box(&mut weights[..]);
                    dequantize_channels_on(set, &case.bytes, case.widths(), 0, channel_size, of_channel, out)
                        .expect("sound");
                }));
                unpack.push(seconds(|| {
                    unpack_on(set, &case.bytes, case.widths(), black_box(&mut codes[..])).expect("sound");
                }));
            }
            if quick {
                for levels in LEVELS {
                    let mut twin = vec![0.0; WEIGHTS];
                    scalar::dequantize(&case.bytes, case.widths(), levels, &mut twin).expect("sound");
                    dequantize_on(set, &case.bytes, case.widths(), levels, &mut weights).expect("sound");
                    assert!(weights == twin, "{set:?} differs from the scalar twin");
                }
            }
            let rate = |seconds: Vec<f64>| WEIGHTS as f64 / best(seconds) * 1e-9;
            let [fill, min_max, signed, stepped, channels, unpack] =
                [fill, min_max, signed, stepped, channels, unpack].map(rate);
            println!(
                r#"{{"case":"{}","bits":{:.2},"set":"{}","threads":{threads},"fill_gw_per_s":{fill:.2},"min_max_gw_per_s":{min_max:.2},"share_of_fill":{:.2},"signed_gw_per_s":{signed:.2},"stepped_gw_per_s":{stepped:.2},"channels_gw_per_s":{channels:.2},"unpack_gw_per_s":{unpack:.2}}}"#,
                case.name,
                bits(&case.bytes),
                name(set),
                min_max / fill
            );
        }
    }
}

fn name(set: InstructionSet) -> &'static str {
    match set {
        InstructionSet::Baseline => "baseline",
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2(_) => "avx2",
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512(_) => "avx512",
    }
}
