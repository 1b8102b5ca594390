//! `fewbit bench noise`: pseudo quantization noise, its backward pass and the size penalty over two
//! weights of 2048 × 2048 in groups of 8.
//!
//! Times the kernels that training calls, on buffers that are used again, for an incoming gradient
//! that is already there; burn's autodiff, its allocations and the loss are not part of it.

use std::hint::black_box;
use std::io::Write;
use std::num::NonZeroUsize;
use std::time::Instant;

use fewbit_kernels::{
    BitsLaw, GroupLayout, NoiseKey, NoiseLaw, Parametrisation, add_noise, code_bits, logit_gradient,
    minimum_maximum, steps, write_noise_gradient,
};
use serde::Serialize;

use crate::Verdict;
use crate::args::{Format, NoiseArgs};
use crate::commands::use_threads;
use crate::failure::Failure;
use crate::report::print_json;

const SIDE: usize = 2048;
const TENSORS: usize = 2;
const GROUP: NonZeroUsize = NonZeroUsize::new(8).expect("8 is not 0");

#[derive(Serialize)]
struct NoiseReport {
    weights: usize,
    group_size: usize,
    noise: &'static str,
    threads: usize,
    runs: u32,
    median_s: f64,
    fastest_s: f64,
    slowest_s: f64,
    gw_per_s: f64,
}

/// One weight with the buffers of its forward and backward pass, reused from run to run.
struct Weight {
    values: Vec<f32>,
    noisy: Vec<f32>,
    gradient: Vec<f32>,
    logits: Vec<f32>,
    steps: Vec<f32>,
    sums: Vec<f32>,
    logit_gradient: Vec<f32>,
    penalty_gradient: Vec<f32>,
}

impl Weight {
    fn new(number: usize) -> Self {
        let len = SIDE * SIDE;
        let groups = len / GROUP;
        let value = |i: usize| ((i * 7919 + number) % 10_007) as f32 / 10_007.0 - 0.5;
        Self {
            values: (0..len).map(value).collect(),
            noisy: vec![0.0; len],
            gradient: vec![1.0; len],
            logits: vec![-0.154; groups],
            steps: vec![0.0; groups],
            sums: vec![0.0; groups],
            logit_gradient: vec![0.0; groups],
            penalty_gradient: vec![0.0; groups],
        }
    }

    /// Noise on the weight, the gradient of its logits, and the penalty with its gradient.
    fn step(&mut self, law: &BitsLaw, key: NoiseKey) -> Result<f64, Failure> {
        let layout = GroupLayout::Contiguous { group_size: GROUP };
        let range = minimum_maximum(&self.values)?.map_or(0.0, |(low, high)| high - low);
        steps(&self.logits, law, range, &mut self.steps);
        add_noise(&self.values, &self.steps, layout, key, NoiseLaw::Gaussian, &mut self.noisy);
        write_noise_gradient(&self.gradient, layout, key, NoiseLaw::Gaussian, &mut self.sums);
        logit_gradient(&self.sums, &self.logits, law, range, &mut self.logit_gradient);
        let bits = code_bits(&self.logits, law, layout, self.values.len(), 1e-3, &mut self.penalty_gradient);
        black_box((&self.noisy, &self.logit_gradient, &self.penalty_gradient));
        Ok(bits)
    }
}

pub(super) fn run(args: &NoiseArgs) -> Result<Verdict, Failure> {
    use_threads(args.threads)?;
    let law = BitsLaw::new(2.0, 15.0, Parametrisation::Bits)?;
    let mut weights: Vec<Weight> = (0..TENSORS).map(Weight::new).collect();
    let mut seconds = Vec::new();
    // Two runs before those that count touch every page and wake every thread.
    for step in 0..u64::from(args.runs) + 2 {
        let began = Instant::now();
        for (number, weight) in weights.iter_mut().enumerate() {
            let path = ["0.weight", "1.weight"][number % 2];
            black_box(weight.step(&law, NoiseKey::new(0, 0, step, 0, path))?);
        }
        if step >= 2 {
            seconds.push(began.elapsed().as_secs_f64());
        }
    }
    seconds.sort_by(f64::total_cmp);
    let total = TENSORS * SIDE * SIDE;
    let median = seconds[seconds.len() / 2];
    let report = NoiseReport {
        weights: total,
        group_size: GROUP.get(),
        noise: "gaussian",
        threads: rayon::current_num_threads(),
        runs: args.runs,
        median_s: median,
        fastest_s: seconds[0],
        slowest_s: seconds[seconds.len() - 1],
        gw_per_s: total as f64 / median / 1e9,
    };
    match args.format {
        Format::Json => print_json(&report)?,
        Format::Text => writeln!(
            std::io::stdout(),
            "fewbit noise gw_per_s {:.4} ({} threads, median of {} runs, {:.2} ms, {:.2} to {:.2})",
            report.gw_per_s,
            report.threads,
            report.runs,
            1e3 * report.median_s,
            1e3 * report.fastest_s,
            1e3 * report.slowest_s,
        )?,
    }
    Ok(Verdict::Done)
}
