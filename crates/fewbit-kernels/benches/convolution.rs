//! The convolutions of ResNet-20 on CIFAR, batch 128, and some of MobileNet: every pass, two threads.
//!
//! Buffers are reused and touched before. All shapes and passes take turns, so that a change of the
//! machine's load meets all; the fastest and the median turn are kept. Prints words to stderr and
//! one JSON object per line to stdout; `--quick` runs each once. Operations are counted as they are
//! written down, whatever the way: a rate may be above the machine's. A row of an operation named
//! `resnet20` is the sum over the network's layers, the input gradient of the first left out.

use std::hint::black_box;
use std::time::Instant;

use fewbit_kernels::{
    Convolution, ConvolutionOptions, convolution_input_gradient, convolution_weight_gradient, convolve,
};

const THREADS: usize = 2;
const BATCH: usize = 128;
const PASSES: [&str; 3] = ["forward", "input_gradient", "weight_gradient"];

/// Channels in and out, side of the image and the kernel, stride, groups, how many of it ResNet-20 has.
const LAYERS: [[usize; 7]; 11] = [
    [3, 16, 32, 3, 1, 1, 1],
    [16, 16, 32, 3, 1, 1, 6],
    [16, 32, 32, 3, 2, 1, 1],
    [32, 32, 16, 3, 1, 1, 5],
    [32, 64, 16, 3, 2, 1, 1],
    [64, 64, 8, 3, 1, 1, 5],
    [16, 32, 32, 1, 2, 1, 1],
    [32, 64, 16, 1, 2, 1, 1],
    [64, 64, 32, 3, 1, 64, 0],
    [128, 128, 16, 3, 2, 128, 0],
    [64, 128, 16, 1, 1, 1, 0],
];

struct Layer {
    name: String,
    shape: Convolution,
    input: Vec<f32>,
    weight: Vec<f32>,
    gradient: Vec<f32>,
    out: [Vec<f32>; 3],
}

impl Layer {
    fn new([channels_in, channels_out, side, kernel, stride, groups, _]: [usize; 7]) -> Self {
        let options = ConvolutionOptions {
            stride: [stride; 2],
            padding: [[kernel / 2; 2]; 2],
            groups,
            ..ConvolutionOptions::default()
        };
        let input = [BATCH, channels_in, side, side];
        let weight = [channels_out, channels_in / groups, kernel, kernel];
        let shape = Convolution::new(input, weight, options).expect("shapes fit");
        let numbers = |len: usize| (0..len).map(|place| (place as f32 * 0.37).sin()).collect::<Vec<_>>();
        Self {
            name: format!("{kernel}x{kernel} {channels_in}->{channels_out}@{side} s{stride} g{groups}"),
            shape,
            input: numbers(shape.input_len()),
            weight: numbers(shape.weight_len()),
            gradient: numbers(shape.output_len()),
            out: [shape.output_len(), shape.input_len(), shape.weight_len()].map(|len| vec![1.0; len]),
        }
    }

    /// Runs a pass; its seconds.
    fn run(&mut self, pass: usize) -> f64 {
        let Self { shape, input, weight, gradient, out, .. } = self;
        let start = Instant::now();
        match pass {
            0 => convolve(shape, input, weight, None, &mut out[0]),
            1 => convolution_input_gradient(shape, gradient, weight, &mut out[1]),
            _ => convolution_weight_gradient(shape, input, gradient, &mut out[2]),
        }
        let seconds = start.elapsed().as_secs_f64();
        black_box(&out[pass]);
        seconds
    }

    /// `sum of gradient · output` is the same, whichever of the three is differentiated.
    fn check(&self) {
        let dot =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let forward = dot(&self.gradient, &self.out[0]);
        for (numbers, out) in [(&self.input, &self.out[1]), (&self.weight, &self.out[2])] {
            let found = dot(numbers, out);
            let scale = dot(&self.gradient, &self.gradient).sqrt() * dot(&self.out[0], &self.out[0]).sqrt();
            assert!((found - forward).abs() < 1e-5 * scale, "{}: {found} for {forward}", self.name);
        }
    }
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let turns = if quick { 1 } else { 15 };
    rayon::ThreadPoolBuilder::new().num_threads(THREADS).build_global().expect("the first pool");
    let mut layers = LAYERS.map(Layer::new);
    let mut seconds = vec![[const { Vec::new() }; 3]; layers.len()];
    for turn in 0..=turns {
        for (layer, seconds) in layers.iter_mut().zip(&mut seconds) {
            for (pass, seconds) in seconds.iter_mut().enumerate() {
                let time = layer.run(pass);
                // The first turn only warms up.
                if turn > 0 {
                    seconds.push(time);
                }
            }
        }
    }
    layers.iter().for_each(Layer::check);
    let mut total = [0.0; 2];
    for ((layer, seconds), [channels_in, .., count]) in layers.iter().zip(&mut seconds).zip(LAYERS) {
        for (name, seconds) in PASSES.iter().zip(seconds) {
            seconds.sort_by(f64::total_cmp);
            let [least, median] = [seconds[0], seconds[seconds.len() / 2]];
            let gigaflops = 2e-9 * layer.shape.products() as f64 / least;
            eprintln!("{:24} {name:16} {:8.3} ms  {gigaflops:6.1} GFLOP/s", layer.name, 1e3 * least);
            println!(
                "{{\"operation\":\"{name}\",\"layer\":\"{}\",\"least_s\":{least:.6},\"median_s\":{median:.6},\"gflops\":{gigaflops:.1}}}",
                layer.name
            );
            if channels_in > 3 || *name != PASSES[1] {
                total[0] += count as f64 * least;
                total[1] += count as f64 * median;
            }
        }
    }
    let [least, median] = total;
    eprintln!("ResNet-20, all passes: {:.1} ms, median {:.1} ms", 1e3 * least, 1e3 * median);
    println!("{{\"operation\":\"resnet20\",\"least_s\":{least:.6},\"median_s\":{median:.6}}}");
}
