//! One training step's noise over 8.4 million weights: forward, backward and size penalty.
//!
//! Two tensors of 2048 x 2048, groups of 8, two threads, buffers reused and touched before. Laws,
//! layouts and the scalar twin take turns, so that a change of the machine's load meets all. Prints
//! words to stderr and one JSON object per line to stdout; `--quick` runs each once, to check the
//! results.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::Instant;

use fewbit_kernels::scalar;
use fewbit_kernels::{
    BitsLaw, GroupLayout, NoiseKey, NoiseLaw, Parametrisation, add_noise, code_bits, logit_gradient,
    minimum_maximum, steps, write_noise_gradient,
};
use rayon::prelude::*;

const SIDE: usize = 2048;
const TENSORS: usize = 2;
const WEIGHTS: usize = TENSORS * SIDE * SIDE;
const THREADS: usize = 2;

/// What one tensor needs in a training step, allocated once.
struct Tensor {
    weights: Vec<f32>,
    gradient: Vec<f32>,
    logits: Vec<f32>,
    key: NoiseKey,
    steps: Vec<f32>,
    noisy: Vec<f32>,
    sums: Vec<f32>,
    logit_gradient: Vec<f32>,
    penalty_gradient: Vec<f32>,
}

impl Tensor {
    fn new(number: u32, layout: GroupLayout) -> Self {
        let count = SIDE * SIDE;
        let groups = layout.group_count(count);
        let key_of = |what: &str| NoiseKey::new(1, number, 0, 0, what);
        let uniform = |what: &str, count: usize| -> Vec<f32> {
            (0..count as u64).map(|index| scalar::noise(key_of(what), NoiseLaw::Uniform, index)).collect()
        };
        Self {
            weights: uniform("weights", count),
            gradient: uniform("gradient", count),
            logits: uniform("logits", groups),
            key: key_of("noise"),
            steps: vec![1.0; groups],
            noisy: vec![1.0; count],
            sums: vec![1.0; groups],
            logit_gradient: vec![1.0; groups],
            penalty_gradient: vec![1.0; groups],
        }
    }

    fn width(&self) -> f32 {
        let (minimum, maximum) = minimum_maximum(&self.weights).expect("finite").expect("not empty");
        maximum - minimum
    }
}

/// The parts of a training step that are timed, in its order.
const PARTS: [&str; 6] = ["range", "steps", "add_noise", "noise_gradient", "logit_gradient", "size_penalty"];

/// Runs one step over all tensors; the seconds of each part.
fn step(
    tensors: &mut [Tensor],
    layout: GroupLayout,
    bits_law: &BitsLaw,
    law: NoiseLaw,
) -> [f64; PARTS.len()] {
    let mut seconds = [0.0; PARTS.len()];
    let mut timed = |part: usize, work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        seconds[part] += start.elapsed().as_secs_f64();
    };
    for tensor in tensors {
        let mut width = 0.0;
        timed(0, &mut || width = tensor.width());
        timed(1, &mut || steps(&tensor.logits, bits_law, width, &mut tensor.steps));
        timed(2, &mut || {
            add_noise(&tensor.weights, &tensor.steps, layout, tensor.key, law, &mut tensor.noisy);
        });
        timed(3, &mut || write_noise_gradient(&tensor.gradient, layout, tensor.key, law, &mut tensor.sums));
        timed(4, &mut || {
            logit_gradient(&tensor.sums, &tensor.logits, bits_law, width, &mut tensor.logit_gradient);
        });
        timed(5, &mut || {
            black_box(code_bits(
                &tensor.logits,
                bits_law,
                layout,
                tensor.weights.len(),
                1e-6,
                &mut tensor.penalty_gradient,
            ));
        });
    }
    seconds
}

/// The seconds of the scalar twins' noise over one tensor's first million weights, per weight.
fn scalar_seconds_per_weight(tensor: &Tensor, layout: GroupLayout, law: NoiseLaw) -> f64 {
    let count = (1 << 20).min(tensor.weights.len());
    let start = Instant::now();
    let noisy = scalar::noisy_weights(&tensor.weights[..count], &tensor.steps, layout, tensor.key, law);
    let sums = scalar::noise_gradient(&tensor.gradient[..count], layout, tensor.key, law);
    let seconds = start.elapsed().as_secs_f64() / count as f64;
    // The fast path over the whole tensor agrees where both were computed.
    assert!(noisy == tensor.noisy[..count], "the fast path differs from its scalar twin");
    if let GroupLayout::Contiguous { .. } = layout {
        assert!(sums == tensor.sums[..sums.len()], "the fast sums differ from their scalar twin");
    }
    black_box(sums);
    seconds
}

/// Bytes per second of copying all weights, by all threads: what memory allows.
fn copy_bytes_per_second(tensors: &mut [Tensor], rounds: usize) -> f64 {
    let times = (0..rounds).map(|_| {
        let start = Instant::now();
        for tensor in &mut *tensors {
            let pairs = tensor.noisy.par_chunks_mut(1 << 16).zip(tensor.weights.par_chunks(1 << 16));
            pairs.for_each(|(to, from)| to.copy_from_slice(from));
        }
        start.elapsed().as_secs_f64()
    });
    (2 * size_of::<f32>() * WEIGHTS) as f64 / median(times.collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let rounds = if std::env::args().any(|argument| argument == "--quick") { 1 } else { 41 };
    rayon::ThreadPoolBuilder::new().num_threads(THREADS).build_global().expect("the first pool");
    let bits_law = BitsLaw::new(2.0, 15.0, Parametrisation::Bits).expect("the default law");
    let group_size = NonZeroUsize::new(8).expect("not 0");
    let layouts = [
        ("contiguous", GroupLayout::Contiguous { group_size }),
        ("transposed", GroupLayout::Transposed { rows: SIDE, columns: SIDE, group_size }),
    ];
    let cases: Vec<_> = [NoiseLaw::Gaussian, NoiseLaw::Uniform]
        .into_iter()
        .flat_map(|law| layouts.map(|(name, layout)| (law, name, layout)))
        .collect();
    let mut tensors: Vec<Tensor> =
        (0..TENSORS as u32).map(|number| Tensor::new(number, layouts[0].1)).collect();

    let mut fast = vec![Vec::new(); cases.len()];
    let mut twin = vec![Vec::new(); cases.len()];
    for round in 0..rounds {
        for (place, (law, _, layout)) in cases.iter().enumerate() {
            fast[place].push(step(&mut tensors, *layout, &bits_law, *law));
            // The twin needs seconds: a few rounds are enough for a ratio.
            if round % 20 == 0 && matches!(layout, GroupLayout::Contiguous { .. }) {
                twin[place].push(scalar_seconds_per_weight(&tensors[0], *layout, *law));
            }
        }
    }

    let copy = copy_bytes_per_second(&mut tensors, rounds);
    eprintln!("copy: {:.1} GB/s read and written by {THREADS} threads", copy / 1e9);
    for (place, (law, layout, _)) in cases.iter().enumerate() {
        let law = format!("{law:?}").to_lowercase();
        let totals: Vec<f64> = fast[place].iter().map(|parts| parts.iter().sum()).collect();
        let best = totals.iter().copied().fold(f64::MAX, f64::min);
        let total = median(totals);
        let rate = |seconds: f64| WEIGHTS as f64 / seconds / 1e9;
        eprintln!("{law}, {layout}: {:.3} G weights/s, best {:.3}", rate(total), rate(best));
        for (part, name) in PARTS.iter().enumerate() {
            let seconds = fast[place].iter().map(|parts| parts[part]).collect();
            eprintln!("  {name}: {:.2} ms", median(seconds) * 1e3);
        }
        let mut line = format!(
            "{{\"bench\":\"noise\",\"law\":\"{law}\",\"layout\":\"{layout}\",\"threads\":{THREADS},\
             \"gw_per_s\":{:.4},\"best_gw_per_s\":{:.4}",
            rate(total),
            rate(best)
        );
        if !twin[place].is_empty() {
            let seconds = median(twin[place].clone());
            eprintln!("  scalar twin, one thread, noise only: {:.4} G weights/s", 1e-9 / seconds);
            line += &format!(",\"scalar_gw_per_s\":{:.5}", 1e-9 / seconds);
        }
        println!("{line}}}");
    }
}
