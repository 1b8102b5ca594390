//! The number of threads changes no bit of what the layers give.

use fewbit_kernels::{
    NormalizedRows, PoolShape, Window, add_to, average_pool, average_pool_gradient, bias_gelu, cross_entropy,
    distilled_cross_entropy, embedding, embedding_gradient, gelu, gelu_gradient, global_average_pool,
    global_average_pool_gradient, layer_norm, layer_norm_gradient, max_pool, max_pool_gradient, relu,
    relu_gradient, sum_of,
};
use fewbit_testing::Numbers;

/// Rows of `WIDTH`, enough that they are shared out among threads.
const ROWS: usize = 501;
const WIDTH: usize = 77;

fn everything() -> Vec<u32> {
    let mut numbers = Numbers::seeded(31);
    let (x, g) = (numbers.weights(ROWS * WIDTH), numbers.weights(ROWS * WIDTH));
    let gamma = numbers.weights(WIDTH);
    let indices: Vec<i64> = (0..ROWS).map(|_| numbers.below(WIDTH) as i64).collect();
    let mut bits = vec![];
    let mut keep = |numbers: &[f32]| bits.extend(numbers.iter().map(|number| number.to_bits()));
    let mut out = vec![f32::NAN; ROWS * WIDTH];

    sum_of(&x, &g, &mut out);
    keep(&out);
    add_to(&mut out, &x);
    keep(&out);
    for operation in [relu, gelu] {
        operation(&x, &mut out);
        keep(&out);
    }
    for operation in [relu_gradient, gelu_gradient] {
        operation(&x, &g, &mut out);
        keep(&out);
    }
    let mut product = x.clone();
    bias_gelu(&mut product, &gamma, &mut out);
    keep(&product);
    keep(&out);

    let (mut mean, mut inverse) = (vec![f32::NAN; ROWS], vec![f32::NAN; ROWS]);
    layer_norm(&x, &gamma, None, 1e-5, &mut out, &mut mean, &mut inverse);
    for numbers in [&out, &mean, &inverse] {
        keep(numbers);
    }
    let forward = NormalizedRows { input: &x, gamma: &gamma, mean: &mean, inverse_deviation: &inverse };
    let (mut gamma_gradient, mut beta_gradient) = (vec![f32::NAN; WIDTH], vec![f32::NAN; WIDTH]);
    layer_norm_gradient(forward, &g, &mut out, &mut gamma_gradient, Some(&mut beta_gradient));
    for numbers in [&out, &gamma_gradient, &beta_gradient] {
        keep(numbers);
    }

    keep(&[cross_entropy(&x, WIDTH, &indices, Some(&mut out)).unwrap()]);
    keep(&out);
    let weights = vec![[0.25, 0.75]; ROWS];
    keep(&[distilled_cross_entropy(&x, &g, WIDTH, &indices, &weights, &mut out).unwrap()]);
    keep(&out);
    embedding(&x, WIDTH, &indices, &mut out).unwrap();
    keep(&out);
    embedding_gradient(&indices, &g, WIDTH, &mut out).unwrap();
    keep(&out);

    let window = Window { size: 3, stride: 2, padding: 1 };
    let shape = PoolShape { planes: ROWS, height: 7, width: 11, vertical: window, horizontal: window };
    let (height, width) = shape.pooled();
    let mut pooled = vec![f32::NAN; ROWS * height * width];
    let mut places = vec![0; pooled.len()];
    max_pool(shape, &x, &mut pooled, &mut places);
    keep(&pooled);
    max_pool_gradient(shape, &places, &pooled, &mut out);
    keep(&out);
    average_pool(shape, false, &x, &mut pooled);
    keep(&pooled);
    average_pool_gradient(shape, true, &pooled, &mut out);
    keep(&out);
    global_average_pool(WIDTH, &x, &mut mean);
    keep(&mean);
    global_average_pool_gradient(WIDTH, &mean, &mut out);
    keep(&out);
    bits
}

#[test]
fn one_two_and_three_threads_give_equal_bits() {
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(everything)
    };
    let one = with(1);
    assert!(with(2) == one && with(3) == one);
}
