//! What data say of a trained network.

mod common;

use burn::module::Module;
use burn::nn::{BatchNormConfig, LinearConfig};
use burn::tensor::{Device, Distribution, Tensor, TensorData};
use common::values;
use fewbit::{StoredModel, StoredTensor};
use fewbit_burn::StoredModelExt;
use fewbit_burn::calibration::{Calibration, CalibrationError};
use fewbit_burn::nn::{BatchNorm, Conv2d, Linear, relu};
use fewbit_burn::train::{BatchRecord, Direction, Metric, Score, Split, Task};

/// A convolution, its norm and a linear layer: images `[N, 2, 4, 4]`.
#[derive(Module, Debug)]
struct Net {
    conv: Conv2d,
    norm: BatchNorm,
    fc: Linear,
}

/// The mean square of the net's only output.
struct Squares {
    records: usize,
}

const MOMENTUM: f64 = 0.1;

/// The images of records, the same each time.
fn images(records: &[BatchRecord], device: &Device) -> Tensor<4> {
    let pixel = |(record, place): (usize, usize)| ((record * 37 + place * 101) % 71) as f32 / 71.0 - 0.3;
    let places = |record: &BatchRecord| (0..32).map(move |place| (record.index, place)).collect::<Vec<_>>();
    let pixels: Vec<f32> = records.iter().flat_map(places).map(pixel).collect();
    Tensor::from_data(TensorData::new(pixels, [records.len(), 2, 4, 4]), device)
}

impl Task for Squares {
    type Model = Net;
    type Batch = Vec<BatchRecord>;
    type Output = Tensor<2>;

    fn init(&self, device: &Device) -> Net {
        let conv = burn::nn::conv::Conv2dConfig::new([2, 3], [3, 3]).with_bias(false);
        Net {
            conv: Conv2d::new(&conv, device),
            norm: BatchNorm::new(&BatchNormConfig::new(3), device),
            fc: Linear::new(&LinearConfig::new(12, 1), device),
        }
    }

    fn training_records(&self) -> usize {
        self.records
    }

    fn test_records(&self) -> usize {
        0
    }

    fn batch(&self, records: &[BatchRecord], _seed: u64) -> Vec<BatchRecord> {
        records.to_vec()
    }

    fn forward(&self, model: &Net, batch: &Vec<BatchRecord>, device: &Device) -> Tensor<2> {
        let x = relu(model.norm.forward(model.conv.forward(images(batch, device))));
        model.fc.forward(x.flatten(1, 3))
    }

    fn loss(&self, out: Tensor<2>, _: &Vec<BatchRecord>) -> Tensor<1> {
        (out.clone() * out).mean()
    }

    fn metric(&self) -> Metric {
        Metric::new("square", Direction::SmallerIsBetter)
    }

    fn evaluate(&self, _: &Net, _: Split, _: std::ops::Range<usize>, _: &Device) -> Vec<Score> {
        Vec::new()
    }
}

fn network(task: &Squares) -> StoredModel {
    let device = Device::flex();
    device.seed(3);
    StoredModel::float(&task.init(&device)).unwrap()
}

fn floats<'m>(stored: &'m StoredModel, path: &str) -> &'m [f32] {
    let StoredTensor::Float { values, .. } = &stored.tensors[path] else { panic!("{path} is not float") };
    values
}

fn all(task: &Squares) -> Vec<BatchRecord> {
    (0..task.records).map(|index| BatchRecord { epoch: 0, index }).collect()
}

/// Of one batch they are its mean and its biased variance, and of several of one size the mean of all, the later ones
/// with a little more weight; whatever they were before.
#[test]
fn statistics_are_those_of_the_records() {
    let task = Squares { records: 40 };
    let mut stored = network(&task);
    for path in ["norm.running_mean", "norm.running_var"] {
        let StoredTensor::Float { values, .. } = stored.tensors.get_mut(path).unwrap() else { panic!() };
        values.fill(1e3);
    }
    let device = Device::flex();
    let model: Net = stored.load_into(task.init(&device)).unwrap();
    let conv = values(model.conv.forward(images(&all(&task), &device)));
    // Three channels of four pixels each.
    for channel in 0..3 {
        let of_channel = conv.chunks(4).skip(channel).step_by(3).flatten().map(|value| f64::from(*value));
        let count = 160.0;
        let mean = of_channel.clone().sum::<f64>() / count;
        let variance = of_channel.map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        for (batch, tolerance) in [(40, 1e-5), (10, 0.03)] {
            let calibration = Calibration::new(&task, batch, &device);
            let found = calibration.with_statistics(stored.clone(), MOMENTUM).unwrap();
            let [found_mean, found_variance] = ["norm.running_mean", "norm.running_var"]
                .map(|path| f64::from(floats(&found, path)[channel]));
            assert!((found_mean - mean).abs() < tolerance, "{batch}: {found_mean} {mean}");
            assert!((found_variance - variance).abs() < tolerance, "{batch}: {found_variance} {variance}");
            assert_eq!(floats(&found, "conv.weight"), floats(&stored, "conv.weight"));
        }
    }
}

/// Twice the weights before a norm, and another mean and spread than those of the records: means and deviations are
/// twice as large, and the output is what it was to the last but a few bits.
#[test]
fn statistics_in_line_give_the_output_that_there_was() {
    let task = Squares { records: 40 };
    let mut float = network(&task);
    for (path, value) in [("norm.running_mean", 0.1), ("norm.running_var", 0.5)] {
        let StoredTensor::Float { values, .. } = float.tensors.get_mut(path).unwrap() else { panic!() };
        values.fill(value);
    }
    let device = Device::flex();
    let calibration = Calibration::new(&task, 40, &device);
    let mut other = float.clone();
    let StoredTensor::Float { values: weights, .. } = other.tensors.get_mut("conv.weight").unwrap() else {
        panic!()
    };
    weights.iter_mut().for_each(|weight| *weight *= 2.0);
    let [measured, of_other] =
        [&float, &other].map(|stored| calibration.with_statistics(stored.clone(), MOMENTUM).unwrap());
    let in_line = of_other.with_statistics_in_line(&float, &measured);
    for channel in 0..3 {
        assert!((floats(&in_line, "norm.running_mean")[channel] - 0.2).abs() < 1e-4);
        assert!((floats(&in_line, "norm.running_var")[channel] - 2.0).abs() < 1e-4);
    }
    // Where the statistics are those of the records already, they are those of the records again.
    let again = measured.clone().with_statistics_in_line(&measured, &measured);
    for path in ["norm.running_mean", "norm.running_var"] {
        for (found, expected) in floats(&again, path).iter().zip(floats(&measured, path)) {
            assert!((found - expected).abs() < 1e-6);
        }
    }
}

/// In one batch: the mean of `w·x` squared has the gradient `2·mean(out·x)`; its squares are the sensitivity, times
/// the records that were taken together.
#[test]
fn sensitivities_are_mean_squares_of_gradients() {
    let task = Squares { records: 8 };
    let stored = network(&task);
    let found = Calibration::new(&task, 8, &Device::flex()).channel_sensitivities(&stored).unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), ["conv.weight", "fc.weight"]);
    assert_eq!((found["conv.weight"].len(), found["fc.weight"].len()), (3, 1));
    let device = Device::flex().autodiff();
    let model: Net = stored.load_into(task.init(&device)).unwrap();
    let x: Tensor<2> =
        relu(model.norm.forward(model.conv.forward(images(&all(&task), &device)))).flatten(1, 3);
    let (out, x) = (values(model.fc.forward(x.clone()).detach()), values(x.detach()));
    let gradient = |input: usize| {
        let products =
            out.iter().enumerate().map(|(row, out)| f64::from(*out) * f64::from(x[row * 12 + input]));
        2.0 * products.sum::<f64>() / 8.0
    };
    let expected = 8.0 * (0..12).map(|input| gradient(input).powi(2)).sum::<f64>() / 12.0;
    let found = found["fc.weight"][0];
    assert!((found / expected - 1.0).abs() < 1e-4, "{found} {expected}");
}

/// The linear layer sees each record once, the convolution all four places of each: fewer than are taken of large ones.
#[test]
fn moments_are_of_what_each_layer_was_given() {
    let task = Squares { records: 30 };
    let stored = network(&task);
    let found = Calibration::new(&task, 7, &Device::flex()).input_moments(&stored).unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), ["conv.weight", "fc.weight"]);
    let (conv, fc) = (&found["conv.weight"], &found["fc.weight"]);
    assert_eq!((conv.inputs(), conv.samples()), (18, 4 * 30));
    assert_eq!((fc.inputs(), fc.samples()), (12, 30));
    // Whatever the batches are cut to.
    let at_once = Calibration::new(&task, 30, &Device::flex()).input_moments(&stored).unwrap();
    assert_eq!(at_once["conv.weight"].samples(), conv.samples());
}

#[test]
fn no_records_and_inputs_that_are_not_finite_are_refused() {
    let task = Squares { records: 0 };
    let stored = network(&task);
    let calibration = Calibration::new(&task, 7, &Device::flex());
    assert!(matches!(calibration.input_moments(&stored), Err(CalibrationError::NoRecords)));
    assert!(matches!(calibration.channel_sensitivities(&stored), Err(CalibrationError::NoRecords)));
    assert!(matches!(calibration.with_statistics(stored, MOMENTUM), Err(CalibrationError::NoRecords)));

    let task = Squares { records: 20 };
    let mut stored = network(&task);
    let StoredTensor::Float { values, .. } = stored.tensors.get_mut("norm.gamma").unwrap() else { panic!() };
    values[1] = f32::NAN;
    let calibration = Calibration::new(&task, 7, &Device::flex());
    let error = calibration.input_moments(&stored).unwrap_err().to_string();
    assert!(error.contains("fc.weight") && error.contains("not finite"), "{error}");
    let error = calibration.channel_sensitivities(&stored).unwrap_err().to_string();
    assert!(error.contains("gradient") && error.contains("NaN"), "{error}");
}

/// A layer that is applied beside a calibration, or after one that ended in a panic, is nobody's business.
#[test]
fn nothing_is_observed_but_what_is_asked_for() {
    let task = Squares { records: 20 };
    let stored = network(&task);
    let device = Device::flex();
    let calibration = Calibration::new(&task, 20, &device);
    let before = calibration.input_moments(&stored).unwrap();
    let other = Linear::new(&LinearConfig::new(3, 2), &device);
    let _ = other.forward(Tensor::<2>::random([5, 3], Distribution::Default, &device));
    assert_eq!(calibration.input_moments(&stored).unwrap(), before);
}
