//! Why noise and not a straight-through estimator: least mean squares with quantized weights.
//!
//! Minimise `E[(X·Q(w) - X·w*)²]/2` over `w` in `[0, 1]` (the argument of Défossez et al. 2022, section
//! 3.1). Near a threshold the straight-through gradient changes sign, so the weight hovers there and
//! its rounded value flips for ever; under noise the expected gradient is the true one and the weight
//! settles at `w*`, so that rounding once at the end gives the nearest level.

use std::num::NonZeroUsize;

use fewbit::{BitWidth, UniformGrid, ValueRange};
use fewbit_kernels::{GroupLayout, NoiseKey, NoiseLaw, noisy_weights};

/// Runs per cell.
const SEEDS: u64 = 20;
/// Runs where there is one dimension. At this rate the weight stays spread around `w*` with variance
/// `σ² = RATE/2·(Δ²/12)·E[mean(X²)²]`, which costs `1.5·Δ·σ²`, 1.2 % of the nearest level's loss; so many
/// runs tell that from 2 %.
const SEEDS_OF_ONE: u64 = 2400;
const STEPS: u64 = 4000;
const BATCH: usize = 8;
const RATE: f64 = 0.02;

#[derive(Clone, Copy, PartialEq)]
enum Method {
    StraightThrough,
    Noise(NoiseLaw),
}

#[derive(Clone, Copy)]
struct Cell {
    dims: usize,
    correlation: f64,
    bits: u8,
}

/// `len` draws of a law with mean 0; gaussian ones have deviation 1/2.
fn draws(key: NoiseKey, law: NoiseLaw, len: usize) -> Vec<f64> {
    let layout = GroupLayout::Contiguous { group_size: NonZeroUsize::new(len).unwrap() };
    noisy_weights(&vec![0.0; len], &[1.0], layout, key, law).into_iter().map(f64::from).collect()
}

/// A vector of inputs: unit variance, each pair with the same correlation.
fn inputs(cell: Cell, normals: &[f64]) -> Vec<f64> {
    let (common, own) = (cell.correlation.sqrt(), (1.0 - cell.correlation).sqrt());
    normals[1..].iter().map(|normal| 2.0 * (common * normals[0] + own * normal)).collect()
}

struct Run {
    /// Expected loss of the rounded weights; that of `w*` is 0.
    excess: f64,
    /// The same for `w*` rounded to the nearest level.
    nearest: f64,
    /// Changes of a rounded weight per step and dimension, over the second half.
    flips: f64,
}

fn run(cell: Cell, method: Method, seed: u64) -> Run {
    let Cell { dims, correlation, bits } = cell;
    let range = ValueRange::new(0.0, 1.0).unwrap();
    let grid = UniformGrid::new(range, BitWidth::new(bits).unwrap());
    let rounded = |w: f64| f64::from(grid.dequantize(grid.quantize(w as f32)));
    let uniform = |path| draws(NoiseKey::new(seed, 0, 0, 0, path), NoiseLaw::Uniform, dims);
    let target: Vec<f64> = uniform("target").into_iter().map(|u| u + 0.5).collect();
    let mut w: Vec<f64> = uniform("start").into_iter().map(|u| u + 0.5).collect();
    let mut codes: Vec<u16> = vec![0; dims];
    let mut flips = 0;
    for step in 0..STEPS {
        let data = NoiseKey::new(seed, 0, step, 0, "inputs");
        let normals = draws(data, NoiseLaw::Gaussian, BATCH * (dims + 1));
        let forward: Vec<f64> = match method {
            Method::StraightThrough => w.iter().map(|&w| rounded(w)).collect(),
            Method::Noise(law) => {
                let noise = draws(NoiseKey::new(seed, 0, step, 0, "noise"), law, dims);
                w.iter().zip(noise).map(|(w, e)| w + grid.step() * e).collect()
            }
        };
        let mut gradient = vec![0.0; dims];
        for sample in normals.chunks_exact(dims + 1) {
            let x = inputs(cell, sample);
            let error: f64 = (0..dims).map(|i| x[i] * (forward[i] - target[i])).sum();
            (0..dims).for_each(|i| gradient[i] += error * x[i] / BATCH as f64);
        }
        for i in 0..dims {
            w[i] = (w[i] - RATE * gradient[i]).clamp(0.0, 1.0);
            let code = grid.quantize(w[i] as f32);
            flips += u64::from(step >= STEPS / 2 && code != codes[i]);
            codes[i] = code;
        }
    }
    // E[(X·d)²]/2 = ((1 - ρ)·Σd² + ρ·(Σd)²)/2.
    let expected_loss = |weights: &mut dyn Iterator<Item = f64>| {
        let (mut sum, mut squares) = (0.0, 0.0);
        for (weight, target) in weights.zip(&target) {
            sum += weight - target;
            squares += (weight - target).powi(2);
        }
        0.5 * ((1.0 - correlation) * squares + correlation * sum * sum)
    };
    Run {
        excess: expected_loss(&mut w.iter().map(|&w| rounded(w))),
        nearest: expected_loss(&mut target.iter().map(|&w| rounded(w))),
        flips: flips as f64 / (STEPS / 2) as f64 / dims as f64,
    }
}

/// The mean over the seeds.
fn average(cell: Cell, method: Method) -> Run {
    let seeds = if cell.dims == 1 { SEEDS_OF_ONE } else { SEEDS };
    let runs: Vec<Run> = (0..seeds).map(|seed| run(cell, method, seed)).collect();
    let mean = |field: fn(&Run) -> f64| runs.iter().map(field).sum::<f64>() / seeds as f64;
    Run { excess: mean(|r| r.excess), nearest: mean(|r| r.nearest), flips: mean(|r| r.flips) }
}

#[test]
fn noise_settles_where_straight_through_keeps_flipping() {
    for (dims, correlation, bits) in [(1, 0.0, 2), (16, 0.0, 2), (16, 0.5, 2), (16, 0.5, 3), (16, 0.5, 4)] {
        let cell = Cell { dims, correlation, bits };
        let straight = average(cell, Method::StraightThrough);
        let noise = average(cell, Method::Noise(NoiseLaw::Uniform));
        let name = format!("{dims} dims, correlation {correlation}, {bits} bits");
        println!(
            "{name}: excess {:.5} straight-through, {:.5} noise, {:.5} nearest; flips {:.3}, {:.4}",
            straight.excess, noise.excess, noise.nearest, straight.flips, noise.flips
        );
        assert!(straight.excess >= 1.3 * noise.excess, "{name}");
        assert!(straight.flips > 0.2 && noise.flips < 0.03, "{name}");
        if dims == 1 {
            assert!((noise.excess / noise.nearest - 1.0).abs() < 0.02, "{name}");
        }
    }
}
