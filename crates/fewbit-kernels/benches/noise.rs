fn main() {
    use fewbit_kernels::*;
    use std::time::Instant;
    rayon::ThreadPoolBuilder::new().num_threads(2).build_global().unwrap();
    let n = 2048 * 2048;
    let layout = GroupLayout::Contiguous { group_size: std::num::NonZeroUsize::new(8).unwrap() };
    let law = BitsLaw::new(2.0, 15.0, Parametrisation::Bits).unwrap();
    let key = NoiseKey::new(1, 0, 0, 0, "a");
    let w: Vec<Vec<f32>> = (0..2).map(|t| (0..n).map(|i| ((i * 7 + t) % 1001) as f32 * 1e-3 - 0.5).collect()).collect();
    let g = w.clone();
    let mut out = w.clone();
    let groups = n / 8;
    let logits = vec![vec![0.1f32; groups]; 2];
    let mut steps_ = vec![vec![1.0f32; groups]; 2];
    let mut sums = steps_.clone();
    let mut lg = steps_.clone();
    let mut pg = steps_.clone();
    let mut bench = |name: &str, f: &mut dyn FnMut()| {
        let mut times: Vec<f64> = (0..15).map(|_| { let t = Instant::now(); f(); t.elapsed().as_secs_f64() }).collect();
        times.sort_by(f64::total_cmp);
        println!("{name}: {:.2} ms, {:.2} Gw/s (best {:.2})", times[7] * 1e3, 2.0 * n as f64 / times[7] / 1e9, 2.0 * n as f64 / times[0] / 1e9);
    };
    for nl in [NoiseLaw::Gaussian, NoiseLaw::Uniform] {
        println!("{nl:?}");
        bench("minmax", &mut || for t in 0..2 { std::hint::black_box(minimum_maximum(&w[t]).unwrap()); });
        bench("steps", &mut || for t in 0..2 { steps(&logits[t], &law, 1.0, &mut steps_[t]); });
        bench("add", &mut || for t in 0..2 { add_noise(&w[t], &steps_[t], layout, key, nl, &mut out[t]); });
        bench("grad", &mut || for t in 0..2 { write_noise_gradient(&g[t], layout, key, nl, &mut sums[t]); });
        bench("logitgrad", &mut || for t in 0..2 { logit_gradient(&sums[t], &logits[t], &law, 1.0, &mut lg[t]); });
        bench("code_bits", &mut || for t in 0..2 { std::hint::black_box(code_bits(&logits[t], &law, layout, n)); });
        bench("code_bits_grad", &mut || for t in 0..2 { code_bits_gradient(&logits[t], &law, layout, n, 1.0, &mut pg[t]); });
        bench("all", &mut || for t in 0..2 { 
            let (a, b) = minimum_maximum(&w[t]).unwrap().unwrap();
            steps(&logits[t], &law, b - a, &mut steps_[t]);
            add_noise(&w[t], &steps_[t], layout, key, nl, &mut out[t]);
            write_noise_gradient(&g[t], layout, key, nl, &mut sums[t]);
            logit_gradient(&sums[t], &logits[t], &law, 1.0, &mut lg[t]); 
            std::hint::black_box(code_bits(&logits[t], &law, layout, n)); 
            code_bits_gradient(&logits[t], &law, layout, n, 1.0, &mut pg[t]); 
        });
    }
}
