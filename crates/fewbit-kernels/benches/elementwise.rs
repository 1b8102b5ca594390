//! The layers that memory or an exponential bounds: norms, activations, loss, pooling, embedding.
//!
//! In the sizes of a ResNet-20 of 128 images and of a transformer of 16 x 128 tokens, on two threads.
//! Each takes turns with a copy of as many bytes as it reads and writes once, and with PyTorch where
//! `--torch` asks for it (`python3` has it). Prints words to stderr and one JSON object per line to
//! stdout; `--quick` runs each once, `--only NAME` those whose name has NAME in it.

use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use fewbit_kernels::*;
use rayon::prelude::*;

const THREADS: usize = 2;
const EPSILON: f32 = 1e-5;

/// An operation, on slices of its own.
struct Case {
    name: &'static str,
    /// What PyTorch's side makes its tensors of.
    shape: Vec<usize>,
    /// Numbers of the largest slice.
    elements: usize,
    /// Slices of that size that have to be read or written once.
    slices: usize,
    work: Box<dyn FnMut()>,
}

fn numbers(count: usize) -> Vec<f32> {
    fewbit_testing::Numbers::seeded(count as u64).weights(count)
}

fn case(
    name: &'static str,
    shape: &[usize],
    elements: usize,
    slices: usize,
    work: impl FnMut() + 'static,
) -> Case {
    Case { name, shape: shape.to_vec(), elements, slices, work: Box::new(work) }
}

fn batch_norm_cases(batch: usize, channels: usize, side: usize) -> Vec<Case> {
    let shape = BatchNormShape { batch, channels, pixels: side * side };
    let count = shape.numbers();
    let of = move |name, slices, which: usize| {
        let (x, other, g) = (numbers(count), numbers(count), numbers(count));
        let (gamma, beta) = (numbers(channels), numbers(channels));
        let (mut out, mut second) = (vec![1.0; count], vec![1.0; count]);
        let (mut mean, mut variance) = (vec![0.0; channels], vec![1.0; channels]);
        let (mut gamma_gradient, mut beta_gradient) = (vec![0.0; channels], vec![0.0; channels]);
        let mut step = move || {
            if which < 3 {
                let after = [After::Nothing, After::Relu, After::AddRelu(&other)][which];
                batch_norm(shape, &x, &gamma, &beta, EPSILON, after, &mut out, &mut mean, &mut variance);
            } else {
                let (mean, variance) = (&mean, &variance);
                let forward = BatchNormInput { input: &x, gamma: &gamma, mean, variance, epsilon: EPSILON };
                let after = match which {
                    3 => AfterGradient::Nothing,
                    4 => AfterGradient::Relu { beta: &beta },
                    _ => AfterGradient::AddRelu { output: &other, residual_gradient: &mut second },
                };
                let (gamma, beta) = (&mut gamma_gradient, &mut beta_gradient);
                batch_norm_gradient(shape, forward, after, &g, &mut out, gamma, beta);
            }
        };
        step();
        case(name, &[batch, channels, side], count, slices, step)
    };
    vec![
        of("batch_norm", 2, 0),
        of("batch_norm_relu", 2, 1),
        of("batch_norm_add_relu", 3, 2),
        of("batch_norm_gradient", 3, 3),
        of("batch_norm_relu_gradient", 3, 4),
        of("batch_norm_add_relu_gradient", 5, 5),
    ]
}

/// `work` over three slices of `count` numbers: two to read and one to write.
fn over(
    name: &'static str,
    shape: &[usize],
    slices: usize,
    mut work: impl FnMut(&[f32], &[f32], &mut [f32]) + 'static,
) -> Case {
    let count = shape.iter().product();
    let (a, b, mut out) = (numbers(count), numbers(count), vec![1.0; count]);
    case(name, shape, count, slices, move || work(&a, &b, &mut out))
}

fn transformer_cases() -> Vec<Case> {
    const ROWS: usize = 2048;
    const WIDTH: usize = 256;
    let (gamma, beta) = (numbers(WIDTH), numbers(WIDTH));
    let (mut mean, mut inverse) = (vec![0.0; ROWS], vec![1.0; ROWS]);
    let layer = {
        let gamma = gamma.clone();
        move |x: &[f32], _: &[f32], out: &mut [f32]| {
            layer_norm(x, &gamma, Some(&beta), EPSILON, out, &mut mean, &mut inverse);
        }
    };
    let (mean, inverse) = (vec![0.0; ROWS], vec![1.0; ROWS]);
    let (mut gamma_gradient, mut beta_gradient) = (vec![0.0; WIDTH], vec![0.0; WIDTH]);
    let layer_gradient = move |x: &[f32], g: &[f32], out: &mut [f32]| {
        let forward = NormalizedRows { input: x, gamma: &gamma, mean: &mean, inverse_deviation: &inverse };
        layer_norm_gradient(forward, g, out, &mut gamma_gradient, Some(&mut beta_gradient));
    };
    let indices: Vec<i64> = (0..ROWS as i64).map(|place| place * 7919 % WIDTH as i64).collect();
    let (targets, same) = (indices.clone(), indices.clone());
    let table = numbers(WIDTH * WIDTH);
    let bias = numbers(4 * WIDTH);
    let (mut table_gradient, gradient) = (vec![0.0; WIDTH * WIDTH], numbers(ROWS * WIDTH));
    let mut product = numbers(ROWS * 4 * WIDTH);
    vec![
        over("layer_norm", &[ROWS, WIDTH], 2, layer),
        over("layer_norm_gradient", &[ROWS, WIDTH], 3, layer_gradient),
        over("gelu", &[ROWS * 4 * WIDTH], 2, |x, _, out| gelu(x, out)),
        over("gelu_gradient", &[ROWS * 4 * WIDTH], 3, gelu_gradient),
        over("bias_gelu", &[ROWS, 4 * WIDTH], 3, move |_, _, out| bias_gelu(&mut product, &bias, out)),
        over("cross_entropy", &[ROWS, WIDTH], 2, move |x, _, out| {
            black_box(cross_entropy(x, WIDTH, &targets, Some(out)).expect("classes"));
        }),
        {
            let mut out = vec![1.0; ROWS * WIDTH];
            case("embedding", &[WIDTH, WIDTH, ROWS], ROWS * WIDTH, 1, move || {
                embedding(&table, WIDTH, &indices, &mut out).expect("rows");
            })
        },
        case("embedding_gradient", &[WIDTH, WIDTH, ROWS], ROWS * WIDTH, 1, move || {
            embedding_gradient(&same, &gradient, WIDTH, &mut table_gradient).expect("rows");
        }),
        over("sum_of", &[ROWS * WIDTH], 3, sum_of),
        over("sum_of", &[ROWS * WIDTH * 4], 3, sum_of),
        over("add_to", &[ROWS * WIDTH * 4], 3, |x, _, out| add_to(out, x)),
        over("relu", &[ROWS * WIDTH * 4], 2, |x, _, out| relu(x, out)),
        over("relu_gradient", &[ROWS * WIDTH * 4], 3, relu_gradient),
    ]
}

fn pooling_cases(planes: usize, side: usize) -> Vec<Case> {
    let window = Window { size: 3, stride: 2, padding: 1 };
    let shape = PoolShape { planes, height: side, width: side, vertical: window, horizontal: window };
    let count = planes * side * side;
    let pooled = planes * shape.pooled().0 * shape.pooled().1;
    let of = move |name, which: usize| {
        let (x, g) = (numbers(count), numbers(pooled));
        let (mut large, mut small, mut places) = (vec![1.0; count], vec![1.0; pooled], vec![0; pooled]);
        max_pool(shape, &x, &mut small, &mut places);
        case(name, &[planes, side], count, 1, move || match which {
            0 => max_pool(shape, &x, &mut small, &mut places),
            1 => max_pool_gradient(shape, &places, &g, &mut large),
            2 => average_pool(shape, true, &x, &mut small),
            3 => average_pool_gradient(shape, true, &g, &mut large),
            4 => global_average_pool(side * side, &x, &mut small[..planes]),
            _ => global_average_pool_gradient(side * side, &g[..planes], &mut large),
        })
    };
    vec![
        of("max_pool", 0),
        of("max_pool_gradient", 1),
        of("average_pool", 2),
        of("average_pool_gradient", 3),
        of("global_average_pool", 4),
        of("global_average_pool_gradient", 5),
    ]
}

/// The other side of the table.
struct Torch {
    // Ends when its input does.
    _process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Torch {
    fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/elementwise.py");
        let mut process = Command::new("python3")
            .args([script, &THREADS.to_string()])
            .env("OMP_NUM_THREADS", THREADS.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let (input, output) = (process.stdin.take().expect("piped"), process.stdout.take().expect("piped"));
        Self { _process: process, input, output: BufReader::new(output) }
    }

    /// Seconds of each of some calls.
    fn run(&mut self, name: &str, shape: &[usize], repeats: usize) -> Vec<f64> {
        let shape: Vec<String> = shape.iter().map(ToString::to_string).collect();
        writeln!(self.input, "{name} {} {repeats}", shape.join(" ")).expect("PyTorch listens");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("PyTorch answers");
        assert!(!line.is_empty(), "PyTorch gave up on {name}");
        line.split_whitespace().map(|seconds| seconds.parse().expect("seconds")).collect()
    }
}

fn timed(repeats: usize, work: &mut dyn FnMut()) -> Vec<f64> {
    let time = |_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    (0..repeats).map(time).collect()
}

/// What a call takes when nothing else runs: a tenth of them are faster.
fn undisturbed(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 10]
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let only = arguments.iter().skip_while(|argument| *argument != "--only").nth(1);
    let turns = if has("--quick") { 1 } else { 7 };
    rayon::ThreadPoolBuilder::new().num_threads(THREADS).build_global().expect("the first pool");
    let mut torch = has("--torch").then(Torch::start);
    let cases =
        [(16, 32), (32, 16), (64, 8)].into_iter().flat_map(|(c, side)| batch_norm_cases(128, c, side));
    let cases = cases.chain(transformer_cases()).chain(pooling_cases(128 * 16, 32));
    eprintln!("{:?}, {THREADS} threads; a tenth of the calls were faster", InstructionSet::detect());
    for Case { name, shape, elements, slices, mut work } in cases {
        if only.is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        // A copy reads a slice and writes one.
        let bytes = slices * elements * size_of::<f32>();
        let (from, mut to) = (vec![1u8; bytes / 2], vec![0u8; bytes / 2]);
        let mut copy = || {
            let pairs = to.par_chunks_mut(1 << 16).zip(from.par_chunks(1 << 16));
            pairs.for_each(|(to, from)| to.copy_from_slice(from));
        };
        let repeats = if has("--quick") { 1 } else { (40_000_000 / bytes).clamp(5, 50) };
        let (mut ours, mut copies, mut theirs) = (vec![], vec![], vec![]);
        for _ in 0..turns {
            // PyTorch's threads wait in a loop for a while before they sleep.
            std::thread::sleep(Duration::from_millis(5));
            ours.extend(timed(repeats + 1, &mut work).split_off(1));
            copies.extend(timed(repeats + 1, &mut copy).split_off(1));
            if let Some(torch) = &mut torch {
                theirs.extend(torch.run(name, &shape, repeats + 1).split_off(1));
            }
        }
        let (ours, copy) = (undisturbed(ours), undisturbed(copies));
        let theirs = torch.as_ref().map(|_| undisturbed(theirs));
        let ratio =
            theirs.map_or(String::new(), |theirs| format!(", {:.2} of PyTorch's time", ours / theirs));
        eprintln!(
            "{name} {shape:?}: {:.0} µs, {:.2} G elements/s, {:.1} GB/s, {:.2} of a copy's time{ratio}",
            1e6 * ours,
            1e-9 * elements as f64 / ours,
            1e-9 * bytes as f64 / ours,
            ours / copy,
        );
        println!(
            "{{\"operation\":\"{name}\",\"shape\":{shape:?},\"elements\":{elements},\"bytes\":{bytes},\
             \"seconds\":{ours:.9},\"copy_seconds\":{copy:.9},\"torch_seconds\":{}}}",
            theirs.map_or("null".into(), |theirs| format!("{theirs:.9}")),
        );
    }
}
