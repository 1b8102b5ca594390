//! A mixed coded file into a burn model: G weights/s, beside the rate at which the same file is decoded to slices.
//!
//! Groups of 8 weights at 2 to 8 bits, entropy coded, in two linear layers of 2048 x 2048 (whose weights burn keeps
//! transposed) or two convolutions of 512 x 512 x 3 x 3. The file is in memory and open; models are fresh and their
//! parameters not yet initialized. `decode` writes into slices that were written before, `fresh` into new ones; `load`
//! is [`load_into`], `codes` the road through codes in memory. They take turns; the figures are medians. One JSON object
//! per line; `--quick` does each once and compares the values.

use std::time::Instant;

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use fewbit::StoredModel;
use fewbit::{BitWidth, CodeEncoding, ContainerReader, ContainerWriter, GroupSize, QuantizedTensor};
use fewbit_burn::{StoredModelExt, load_into};
use fewbit_testing::Numbers;

#[derive(Module, Debug)]
struct Linears {
    a: Linear,
    b: Linear,
}

#[derive(Module, Debug)]
struct Convolutions {
    a: Conv2d,
    b: Conv2d,
}

fn file(shape: &[usize]) -> Vec<u8> {
    let mut numbers = Numbers::seeded(7);
    let len = shape.iter().product();
    let mut writer = ContainerWriter::new();
    for name in ["a.weight", "b.weight"] {
        let weights = numbers.weights(len);
        let widths =
            (0..len / 8).map(|_| BitWidth::new(2 + numbers.below(7) as u8).expect("a width")).collect();
        let size = GroupSize::new(8).expect("not zero");
        let tensor = QuantizedTensor::quantize(&weights, shape, size, widths).expect("finite weights");
        writer.quantized_as(name, &tensor, CodeEncoding::Coded).expect("a tensor");
    }
    writer.to_bytes()
}

fn seconds<T>(work: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    let done = work();
    let seconds = start.elapsed().as_secs_f64();
    drop(done);
    seconds
}

fn measure<M: Module>(
    name: &str,
    threads: usize,
    quick: bool,
    (shape, fresh): (&[usize], impl Fn() -> M + Sync),
    weights: impl Fn(&M) -> Vec<f32> + Sync,
) {
    let reader = ContainerReader::new(file(shape)).expect("sound");
    let len: usize = shape.iter().product();
    let mut buffers = [vec![1.0f32; len], vec![1.0; len]];
    let rounds = if quick { 1 } else { 21 };
    let mut times: [Vec<f64>; 4] = Default::default();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
    pool.install(|| {
        for _ in 0..rounds {
            let (into_model, by_codes) = (fresh(), fresh());
            let found = [
                seconds(|| {
                    for (name, buffer) in ["a.weight", "b.weight"].into_iter().zip(&mut buffers) {
                        reader.values_into(name, buffer).expect("sound");
                    }
                }),
                seconds(|| ["a.weight", "b.weight"].map(|name| reader.values(name).expect("sound"))),
                seconds(|| load_into(&reader, into_model).expect("fits")),
                seconds(|| {
                    StoredModel::from_reader(&reader).expect("sound").load_into(by_codes).expect("fits")
                }),
            ];
            times.iter_mut().zip(found).for_each(|(times, found)| times.push(found));
        }
        if quick {
            let codes = StoredModel::from_reader(&reader).expect("sound").load_into(fresh()).expect("fits");
            assert!(weights(&load_into(&reader, fresh()).expect("fits")) == weights(&codes), "other values");
        }
    });
    let rates = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        2e-9 * len as f64 / times[times.len() / 2]
    });
    let [decode, fresh, load, codes] = rates;
    println!(
        r#"{{"model":"{name}","threads":{threads},"weights":{},"decode_gw_per_s":{decode:.3},"fresh_gw_per_s":{fresh:.3},"load_gw_per_s":{load:.3},"share_of_decode":{:.2},"share_of_fresh":{:.2},"codes_gw_per_s":{codes:.3}}}"#,
        2 * len,
        load / decode,
        load / fresh,
    );
}

fn values<const D: usize>(weights: [&Param<Tensor<D>>; 2]) -> Vec<f32> {
    weights.iter().flat_map(|weight| weight.val().into_data().try_to_vec::<f32>().expect("floats")).collect()
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let device = Device::flex();
    for threads in [1, 2] {
        let linear = || LinearConfig::new(2048, 2048).with_bias(false).init(&device);
        measure(
            "linear",
            threads,
            quick,
            (&[2048, 2048], || Linears { a: linear(), b: linear() }),
            |model: &Linears| values([&model.a.weight, &model.b.weight]),
        );
        let convolution = || Conv2dConfig::new([512, 512], [3, 3]).with_bias(false).init(&device);
        measure(
            "convolution",
            threads,
            quick,
            (&[512, 512, 3, 3], || Convolutions { a: convolution(), b: convolution() }),
            |model: &Convolutions| values([&model.a.weight, &model.b.weight]),
        );
    }
}
