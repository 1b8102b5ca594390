//! From a model to a file and back.

mod common;

use std::sync::Arc;

use burn::module::{Module, ModuleMapper, Param, RunningState};
use burn::nn::{BatchNormConfig, LinearConfig};
use burn::tensor::{Device, Distribution, Tensor};
use common::{SmallNet, values};
use fewbit::method::{FixedWidth, PtqMinMax};
use fewbit::{
    BitWidth, ContainerReader, ContainerWriter, ElementType, FloatEncoding, GroupSize, QuantizedTensor,
    ReadError,
};
use fewbit::{ExportError, FloatStorage, StoredModel, StoredTensor};
use fewbit_burn::nn::BatchNorm;
use fewbit_burn::{LoadError, QuantizationConfig, StoredModelExt, load, load_into};

fn config() -> QuantizationConfig {
    QuantizationConfig::diffq(8).with_min_tensor_size(0).with_exclude(["*.bias", "norm.*"])
}

#[test]
fn linear_weights_are_stored_with_the_outputs_first() {
    let model = LinearConfig::new(3, 2).init(&Device::flex());
    let stored = StoredModel::float(&model).unwrap();
    let StoredTensor::Float { shape, values: stored, .. } = &stored.tensors["weight"] else {
        panic!("float")
    };
    assert_eq!(shape, &[2, 3]);
    assert_eq!(*stored, values(model.weight.val().transpose()));
}

#[test]
fn a_float_model_comes_back_bit_for_bit() {
    let device = Device::flex();
    let model = SmallNet::new(&device);
    let bytes = StoredModel::float(&model).unwrap().to_bytes().unwrap();
    let back = StoredModel::from_bytes(&bytes).unwrap().load_into(SmallNet::new(&device)).unwrap();
    let images = Tensor::<4>::ones([2, 1, 6, 6], &device);
    assert_eq!(values(back.forward(images.clone())), values(model.forward(images)));
}

#[test]
fn the_file_holds_exactly_the_rounded_weights() {
    let device = Device::flex().autodiff();
    let (model, diffq) = config().attach(SmallNet::new(&device), 0).unwrap();
    let stored = StoredModel::rounded(&model, &diffq).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("model.fewbit");
    let bytes = stored.write_file(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), bytes);
    let loaded = load(&path, SmallNet::new(&Device::flex())).unwrap();
    let rounded = model.valid().materialize();
    assert_eq!(values(loaded.fc.weight.val()), values(rounded.fc.weight.val()));
    assert_eq!(values(loaded.conv.weight.val()), values(rounded.conv.weight.val()));
    assert_eq!(values(loaded.norm.gamma.val()), values(rounded.norm.gamma.val()));
}

#[test]
fn rounding_after_training_uses_one_width_throughout() {
    let width = BitWidth::new(3).unwrap();
    let fixed = FixedWidth::of_tensor(width);
    let config = QuantizationConfig { method: Arc::new(PtqMinMax(fixed)), ..config() };
    let (model, quantizer) = config.attach(SmallNet::new(&Device::flex()), 0).unwrap();
    let stored = StoredModel::rounded(&model, &quantizer).unwrap();
    assert_eq!(stored.mean_bits(), 3.0);
    let bytes = stored.to_bytes().unwrap();
    let reader = ContainerReader::new(&bytes).unwrap();
    assert_eq!(reader.tensor("fc.weight").unwrap().width_histogram()[3], 1);
}

#[test]
fn what_does_not_fit_is_named() {
    let device = Device::flex();
    let stored = StoredModel::float(&SmallNet::new(&device)).unwrap();
    let load = |stored: &StoredModel| stored.load_into(SmallNet::new(&device)).unwrap_err();
    let mut missing = stored.clone();
    missing.tensors.remove("norm.beta");
    assert!(matches!(load(&missing), LoadError::Missing { path, .. } if path == "norm.beta"));
    let mut extra = stored.clone();
    extra.tensors.insert(
        "zz".into(),
        StoredTensor::Float { shape: vec![1], values: vec![0.0], encoding: FloatEncoding::Float32 },
    );
    assert!(matches!(load(&extra), LoadError::Extra { path } if path == "zz"));
    let mut wrong = stored.clone();
    wrong.tensors.insert(
        "fc.weight".into(),
        StoredTensor::Float { shape: vec![64, 3], values: vec![0.0; 192], encoding: FloatEncoding::Float32 },
    );
    let error = load(&wrong).to_string();
    assert!(error.contains("[64, 3]") && error.contains("[3, 64]"), "{error}");
}

/// Puts a NaN into one parameter.
struct Poison(&'static str, Vec<String>);

impl ModuleMapper for Poison {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.1.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.1.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.1.join(".") == self.0 { param.map(|tensor| tensor.log() / 0.0 * 0.0) } else { param }
    }
}

#[test]
fn a_value_that_is_not_finite_is_named() {
    let device = Device::flex();
    let poisoned = |path| SmallNet::new(&device).map(&mut Poison(path, Vec::new()));
    let error = StoredModel::float(&poisoned("norm.gamma")).unwrap_err();
    assert!(
        matches!(&error, ExportError::NonFinite { path, index: 0, .. } if path == "norm.gamma"),
        "{error}"
    );
    let found = fewbit_burn::guard::first_non_finite(&poisoned("fc.weight")).unwrap();
    assert_eq!(found.path, "fc.weight");
    let (model, diffq) = config().attach(SmallNet::new(&device), 0).unwrap();
    let logits = model.map(&mut Poison("fc.weight.quantizer.learned", Vec::new()));
    let error = StoredModel::rounded(&logits, &diffq).unwrap_err();
    assert!(matches!(&error, ExportError::Learned { path, group: 0, .. } if path == "fc.weight"), "{error}");
    let words = fewbit_burn::guard::first_non_finite(&logits).unwrap().to_string();
    assert!(words.contains("group 0") && words.contains("`fc.weight`"), "{words}");
}

#[test]
fn running_statistics_are_those_of_the_last_batch() {
    let device = Device::flex().autodiff();
    let model = BatchNormConfig::new(1).with_momentum(1.0).init(&device);
    model.forward(Tensor::<2>::from_floats([[1.0], [3.0]], &device));
    let stored = StoredModel::float(&model).unwrap();
    let StoredTensor::Float { values, .. } = &stored.tensors["running_mean"] else { panic!("float") };
    assert_eq!(values, &[2.0], "not the value before the last forward pass");
}

/// What a folded file evaluates to is `scale · x + shift`, and 16-bit floats are what they read back as.
#[test]
fn a_folded_batch_norm_is_one_scale_and_one_shift() {
    let device = Device::flex();
    let epsilon = 1e-5;
    let mut norm: BatchNorm = BatchNormConfig::new(3).with_epsilon(epsilon).init(&device).into();
    norm.gamma = Param::from_tensor(Tensor::from_floats([1.5, -0.7, 0.01], &device));
    norm.beta = Param::from_tensor(Tensor::from_floats([0.1, 0.0, -3.0], &device));
    norm.running_mean = RunningState::new(Tensor::from_floats([0.3, -2.0, 10.0], &device));
    norm.running_var = RunningState::new(Tensor::from_floats([0.5, 4.0, 1e-4], &device));
    let input = Tensor::<4>::random([2, 3, 4, 4], Distribution::Normal(0.0, 1.0), &device);
    let expected = values(norm.forward(input.clone()));

    let whole = StoredModel::float(&norm).unwrap();
    let float_bytes = whole.float_bytes();
    let storage = FloatStorage { encoding: FloatEncoding::Float32, fold_batch_norm: true };
    let folded = whole.clone().with_floats_stored(storage, Some(epsilon));
    assert_eq!(folded.tensors.keys().collect::<Vec<_>>(), ["scale", "shift"]);
    assert_eq!(folded.float_bytes(), float_bytes);
    let read = StoredModel::from_bytes(&folded.to_bytes().unwrap()).unwrap();
    assert_eq!(read, folded);
    let fresh = || BatchNorm::from(BatchNormConfig::new(3).with_epsilon(epsilon).init(&device));
    let loaded = read.load_into(fresh()).unwrap();
    let found = values(loaded.forward(input.clone()));
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{found} {expected}");
    }
    // The statistics change nothing: exactly what a reader in another language would compute.
    let scale = loaded.gamma.val().reshape([1, 3, 1, 1]);
    let shift = loaded.beta.val().reshape([1, 3, 1, 1]);
    let zero = input.zeros_like();
    assert_eq!(values(loaded.forward(zero.clone())), values(zero + shift.clone()));
    let plain = values(input * scale + shift);
    for (found, plain) in found.iter().zip(&plain) {
        assert!((found - plain).abs() <= 4e-7 * plain.abs().max(1.0), "{found} {plain}");
    }

    let half = FloatStorage { encoding: FloatEncoding::Float16, fold_batch_norm: true };
    let halved = whole.clone().with_floats_stored(half, Some(epsilon));
    assert!(halved.to_bytes().unwrap().len() < folded.to_bytes().unwrap().len());
    assert_eq!(StoredModel::from_bytes(&halved.to_bytes().unwrap()).unwrap(), halved);
    // Without an ε nothing is folded.
    assert_eq!(whole.clone().with_floats_stored(storage, None), whole);
    // A number of the file that makes no sense is named.
    let forged = folded.with_metadata("batch_norm_epsilon", "NaN");
    let error = forged.load_into(fresh()).unwrap_err().to_string();
    assert_eq!(error, "metadata `batch_norm_epsilon` is \"NaN\"; expected a number from 0 to 1");
}

#[test]
fn a_value_that_sixteen_bits_cannot_hold_keeps_its_tensor_whole() {
    let device = Device::flex();
    let mut model = LinearConfig::new(2, 1).init(&device);
    model.weight = Param::from_tensor(Tensor::from_floats([[1e6], [0.1]], &device));
    let half = FloatStorage { encoding: FloatEncoding::Float16, fold_batch_norm: false };
    let stored = StoredModel::float(&model).unwrap().with_floats_stored(half, None);
    let StoredTensor::Float { values, encoding, .. } = &stored.tensors["weight"] else { panic!("float") };
    assert_eq!((values.as_slice(), *encoding), ([1e6, 0.1].as_slice(), FloatEncoding::Float32));
}

/// A count of batches, as PyTorch has one in each norm, harms nobody; any other tensor that is not of floats is
/// refused by its name.
#[test]
fn integers_that_no_model_has_are_refused_by_name() {
    let file = |name| {
        let mut writer = ContainerWriter::new();
        let count = 7i64.to_le_bytes();
        writer
            .float("weight", &[1, 2], &[1.0, 2.0])
            .and_then(|w| w.float("bias", &[1], &[0.5]))
            .and_then(|w| w.raw(name, &[], ElementType::Int64, &count))
            .unwrap();
        writer.to_bytes()
    };
    let stored = StoredModel::from_bytes(&file("bn1.num_batches_tracked")).unwrap();
    assert!(stored.load_into(LinearConfig::new(2, 1).init(&Device::flex())).is_ok());
    for name in ["steps", "weight.index"] {
        let error = StoredModel::from_bytes(&file(name)).unwrap_err();
        assert_eq!(error, ReadError::NotFloats { name: name.to_owned(), found: ElementType::Int64 });
    }
}

/// Every parameter of a model, mixed widths among them, and folded batch norms: by the fast road as by codes.
#[test]
fn a_file_is_loaded_with_the_values_of_its_codes() {
    let device = Device::flex();
    let model = SmallNet::new(&device);
    let width = |bits| BitWidth::new(bits).unwrap();
    let whole = StoredModel::float(&model).unwrap();
    let storage = FloatStorage { encoding: FloatEncoding::Float16, fold_batch_norm: true };
    let mut folded = whole.clone().with_floats_stored(storage, Some(1e-5));
    for path in ["conv.weight", "fc.weight"] {
        let Some(StoredTensor::Float { shape, values, .. }) = whole.tensors.get(path) else {
            panic!("{path}")
        };
        let size = GroupSize::new(4).unwrap();
        let widths = (0..values.len().div_ceil(4)).map(|group| width([0, 2, 5, 9][group % 4])).collect();
        let tensor = QuantizedTensor::quantize(values, shape, size, widths).unwrap();
        folded.tensors.insert(path.to_owned(), StoredTensor::Quantized(tensor));
    }
    let bytes = folded.to_bytes().unwrap();
    let reader = ContainerReader::new(&bytes).unwrap();
    assert_eq!(StoredModel::from_reader(&reader).unwrap(), folded);
    let parameters = |model: &SmallNet| StoredModel::float(model).unwrap();
    let expected = parameters(&folded.load_into(SmallNet::new(&device)).unwrap());
    // Into parameters that have values, and into those that have none yet, with gradients and without.
    let initialized = SmallNet::new(&device);
    initialized.forward(Tensor::ones([1, 1, 6, 6], &device));
    for fresh in [initialized, SmallNet::new(&device), SmallNet::new(&device.clone().autodiff())] {
        let needs_gradient = fresh.fc.weight.is_require_grad();
        let loaded = load_into(&reader, fresh).unwrap();
        assert_eq!(loaded.fc.weight.is_require_grad(), needs_gradient);
        assert_eq!(parameters(&loaded), expected);
    }
    let error = load_into(&reader, LinearConfig::new(64, 3).init(&device)).unwrap_err();
    assert!(matches!(error, LoadError::Missing { .. }), "{error}");
}
