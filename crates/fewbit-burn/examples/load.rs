//! A `.fewbit` file into a model of your own, and what happens where it does not fit.
//!
//! `cargo run --release -p fewbit-burn --example load`

use std::error::Error;

use burn::module::Module;
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use fewbit::StoredModel;
use fewbit::method::Fewbit;
use fewbit_burn::{QuantizationConfig, StoredModelExt, load};

#[derive(Module, Debug)]
struct Net {
    layer: Linear,
    norm: BatchNorm,
}

impl Net {
    fn new(inputs: usize, device: &Device) -> Self {
        Self {
            layer: LinearConfig::new(inputs, 64).init(device),
            norm: BatchNormConfig::new(64).init(device),
        }
    }

    fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        self.norm.forward(self.layer.forward(input))
    }
}

pub(crate) fn run() -> Result<(), Box<dyn Error>> {
    let device = Device::flex();
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.fewbit");

    // Some file: a network rounded as it is, without training.
    let quantization = QuantizationConfig::new(Fewbit::default()).with_min_tensor_size(1_000);
    let (model, quantizer) = quantization.attach(Net::new(100, &device), 0)?;
    let bytes = StoredModel::rounded(&model, &quantizer)?.write_file(&path)?;

    // Into a fresh model, which gives what the rounded one gives.
    let input = Tensor::<2>::ones([4, 100], &device);
    let loaded = load(&path, Net::new(100, &device))?;
    println!("{} values from {bytes} bytes", loaded.num_params());
    let expected = model.valid().forward(input.clone()).into_data();
    assert_eq!(loaded.forward(input).into_data(), expected);

    // Into another network: an error with the tensor's name and both shapes.
    let error = load(&path, Net::new(50, &device)).unwrap_err();
    println!("{error}");
    assert!(error.to_string().contains("`layer.weight`"));
    Ok(())
}

#[allow(dead_code, reason = "as a test `run` is called alone")]
fn main() -> Result<(), Box<dyn Error>> {
    run()
}
