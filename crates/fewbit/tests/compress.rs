//! Trained weights to a file of at most so many bytes.

use fewbit::compress::{
    CompressError, CompressOptions, MemorySource, Objective, SecondMoments, Sensitivity, SourceTensor,
    Treatment, compress,
};
use fewbit::{
    BitWidth, ContainerReader, ContainerWriter, ElementType, Encoding, FloatEncoding, GridKind, GroupSize,
    QuantizedTensor, RangeForm, RangeGranularity, Ranges,
};
use fewbit_testing::Numbers;

/// A small network: layers of different spread, each with a bias that stays float; heavy tails.
fn network(seed: u64, sizes: &[(usize, usize)]) -> MemorySource {
    let mut numbers = Numbers::seeded(seed);
    let mut memory = MemorySource::default();
    for (layer, &(rows, columns)) in sizes.iter().enumerate() {
        let spread = [0.05, 0.3, 0.01, 1.0][layer % 4];
        let heavy = |numbers: &mut Numbers| numbers.normal() * (0.5 + numbers.unit());
        let weights = (0..rows * columns).map(|_| spread * heavy(&mut numbers)).collect();
        let tensor = |name, shape, treatment| SourceTensor {
            name: format!("layers.{layer}.{name}"),
            shape,
            treatment,
        };
        memory.push(tensor("weight", vec![rows, columns], Treatment::Quantized), weights);
        memory.push(tensor("bias", vec![rows], Treatment::Float), numbers.weights(rows));
    }
    memory
}

fn options(budget: u64) -> CompressOptions {
    CompressOptions::new(budget)
}

/// From a thirtieth to a sixth of the float bytes: the file never exceeds the budget, uses 99.5 % of it, has
/// next to nothing that carries nothing, and errs less the larger it may be.
#[test]
fn a_budget_is_kept_and_used() {
    let nets: [&[(usize, usize)]; 3] =
        [&[(32, 90), (10, 320)], &[(64, 256), (64, 64), (10, 64)], &[(100, 300)]];
    for (seed, sizes) in nets.into_iter().enumerate() {
        let mut memory = network(seed as u64, sizes);
        let float: u64 = memory.iter().map(|(_, values)| 4 * values.len() as u64).sum();
        for objective in [Objective::Relative, Objective::Squared] {
            let mut last = f64::INFINITY;
            for ratio in [30, 20, 12, 8, 6] {
                let budget = float / ratio;
                let head = ContainerWriter::new();
                let options = options(budget).with_objective(objective);
                let found = compress(&mut memory, &head, &options).unwrap();
                let bytes = found.writer.to_bytes();
                assert_eq!(bytes.len() as u64, found.bytes);
                assert!(found.bytes <= budget, "{} of {budget}", found.bytes);
                assert!(1000 * found.bytes >= 995 * budget, "1/{ratio}: {} of {budget}", found.bytes);
                let reader = ContainerReader::new(&bytes).unwrap();
                assert!(reader.size().unused() <= 64);
                let mut error = 0.0;
                for (tensor, values) in memory.iter() {
                    let read = reader.values(&tensor.name).unwrap();
                    if tensor.treatment == Treatment::Quantized {
                        let square = |(a, b): (&f32, &f32)| f64::from(a - b).powi(2);
                        error += read.iter().zip(values).map(square).sum::<f64>();
                    }
                }
                assert!((error - found.squared_error).abs() <= 1e-6 * error);
                if objective == Objective::Squared {
                    assert!(error < last, "1/{ratio}: {error} after {last}");
                    last = error;
                }
            }
        }
    }
}

#[test]
fn a_budget_that_no_file_keeps_is_refused_with_the_smallest() {
    let mut memory = network(1, &[(32, 90), (10, 320)]);
    let head = ContainerWriter::new();
    let Err(CompressError::BudgetTooSmall { budget: 3, minimum }) =
        compress(&mut memory, &head, &options(3)).map(|_| ())
    else {
        panic!("not refused")
    };
    // That one there is.
    let found = compress(&mut memory, &head, &options(minimum)).unwrap();
    assert_eq!(found.bytes, minimum);
    let Err(error) = compress(&mut memory, &head, &options(minimum - 1)) else { panic!("not refused") };
    assert!(error.to_string().contains(&minimum.to_string()), "{error}");
}

#[test]
fn more_than_widths_of_8_can_use_is_left() {
    let mut memory = network(2, &[(20, 50)]);
    let found = compress(&mut memory, &ContainerWriter::new(), &options(1 << 20)).unwrap();
    assert!(found.is_largest && found.bytes < 2000, "{}", found.bytes);
    let weights = memory.values_mut(0).clone();
    let largest = weights.iter().fold(0.0, |largest: f32, weight| largest.max(weight.abs()));
    assert!(found.squared_error <= weights.len() as f64 * f64::from(largest / 127.0 * 0.6).powi(2));
}

/// Counts and positions, as checkpoints have them, take their bytes and are what they were.
#[test]
fn tensors_that_are_no_weights_are_kept_as_they_are() {
    let mut memory = network(5, &[(32, 90)]);
    let positions: Vec<u8> = (0..600i64).flat_map(i64::to_le_bytes).collect();
    let raw = |name: &str, shape, elements| SourceTensor {
        name: name.to_owned(),
        shape,
        treatment: Treatment::Raw(elements),
    };
    memory.push_raw(raw("positions", vec![1, 600], ElementType::Int64), positions.clone());
    memory.push_raw(raw("mask", vec![3], ElementType::Bool), vec![1, 0, 1]);
    for budget in [5200, 6500] {
        let found = compress(&mut memory, &ContainerWriter::new(), &options(budget)).unwrap();
        assert!(found.bytes <= budget && 1000 * found.bytes >= 995 * budget, "{} of {budget}", found.bytes);
        let bytes = found.writer.to_bytes();
        let reader = ContainerReader::new(&bytes).unwrap();
        assert_eq!(reader.raw("positions").unwrap(), positions);
        assert_eq!(reader.raw("mask").unwrap(), [1, 0, 1]);
        assert_eq!(reader.tensor("mask").unwrap().encoding(), Encoding::Raw(ElementType::Bool));
    }
}

#[test]
fn weights_that_are_not_finite_or_all_alike_are_what_they_are() {
    let mut memory = network(3, &[(8, 100)]);
    memory.values_mut(0)[17] = f32::NAN;
    let error = compress(&mut memory, &ContainerWriter::new(), &options(1000)).unwrap_err().to_string();
    assert!(error.contains("layers.0.weight") && error.contains("17"), "{error}");
    *memory.values_mut(0) = vec![0.0; 800];
    let found = compress(&mut memory, &ContainerWriter::new(), &options(1000)).unwrap();
    assert!(found.is_largest && found.squared_error == 0.0);
    *memory.values_mut(0) = vec![1e-30; 800];
    let found = compress(&mut memory, &ContainerWriter::new(), &options(1000)).unwrap();
    let bytes = found.writer.to_bytes();
    let read = ContainerReader::new(&bytes).unwrap().values("layers.0.weight").unwrap();
    assert!(read.iter().all(|value| (value / 1e-30 - 1.0).abs() < 1e-3));
}

/// Against one range per channel, from the smallest to the largest weight, at one width throughout: through
/// the same coder, at no more bytes, less squared error.
#[test]
fn the_error_is_less_than_that_of_uniform_rounding_at_equal_bytes() {
    let mut memory = network(4, &[(64, 576), (128, 288), (10, 640)]);
    for bits in [2, 3, 4, 5] {
        let mut writer = ContainerWriter::new();
        let mut uniform = 0.0;
        for (tensor, values) in memory.iter() {
            if tensor.treatment != Treatment::Quantized {
                writer.float_as(&tensor.name, &tensor.shape, values, FloatEncoding::Float16).unwrap();
                continue;
            }
            let (shape, whole) = (&tensor.shape, GroupSize::WholeTensor);
            let ranges = Ranges::fit(
                values,
                shape,
                whole,
                RangeGranularity::Channel,
                GridKind::MinMax,
                RangeForm::Half,
            )
            .unwrap();
            let width = vec![BitWidth::new(bits).unwrap()];
            let rounded = QuantizedTensor::quantize_with(values, ranges, shape, whole, width).unwrap();
            let square = |(a, b): (&f32, &f32)| f64::from(a - b).powi(2);
            uniform += rounded.dequantize().iter().zip(values).map(square).sum::<f64>();
            writer.quantized(&tensor.name, &rounded).unwrap();
        }
        let budget = writer.bytes();
        let options = options(budget).with_objective(Objective::Squared);
        let found = compress(&mut memory, &ContainerWriter::new(), &options).unwrap();
        assert!(found.bytes <= budget);
        assert!(found.squared_error < 0.6 * uniform, "{bits} bits: {} {uniform}", found.squared_error);
    }
}

/// The sum of each weight's squared error times what it costs.
fn cost(memory: &MemorySource, costs: &[Vec<f64>], bytes: &[u8]) -> f64 {
    let reader = ContainerReader::new(bytes).unwrap();
    let quantized = memory.iter().filter(|(tensor, _)| tensor.treatment == Treatment::Quantized);
    let of_tensor = |((tensor, values), costs): ((&SourceTensor, &[f32]), &Vec<f64>)| -> f64 {
        let read = reader.values(&tensor.name).unwrap();
        let size = values.len() / costs.len();
        let square = |(a, b): (&f32, &f32)| f64::from(a - b).powi(2);
        let channels = read.chunks(size).zip(values.chunks(size)).zip(costs);
        channels.map(|((read, values), cost)| cost * read.iter().zip(values).map(square).sum::<f64>()).sum()
    };
    quantized.zip(costs).map(of_tensor).sum()
}

/// Channels whose errors cost up to a thousand times more than those of others: at equal bytes, what is known of it
/// saves more than half of the cost, bytes of steps included.
#[test]
fn what_errors_cost_decides_the_steps() {
    let sizes = [(64, 256), (32, 512)];
    let mut memory = network(6, &sizes);
    let mut numbers = Numbers::seeded(7);
    let costs: Vec<Vec<f64>> = sizes
        .map(|(channels, _)| (0..channels).map(|_| 10f64.powf(3.0 * f64::from(numbers.unit()))).collect())
        .to_vec();
    for budget in [6_000, 10_000, 16_000] {
        let mut plain = network(6, &sizes);
        let options = options(budget).with_objective(Objective::Squared);
        let before = compress(&mut plain, &ContainerWriter::new(), &options).unwrap();
        for (layer, costs) in costs.iter().enumerate() {
            memory.set_sensitivity(2 * layer, Sensitivity { channels: costs.clone(), inputs: None });
        }
        let found = compress(&mut memory, &ContainerWriter::new(), &options).unwrap();
        assert!(found.bytes <= budget && 1000 * found.bytes >= 995 * budget, "{} of {budget}", found.bytes);
        let bytes = found.writer.to_bytes();
        let entry = ContainerReader::new(&bytes).unwrap();
        let granularity = entry.tensor("layers.0.weight").unwrap().range_granularity();
        assert_eq!(granularity, Some(RangeGranularity::Channel));
        let [before, after] = [before.writer.to_bytes(), bytes].map(|bytes| cost(&memory, &costs, &bytes));
        assert!(after < 0.5 * before, "{budget}: {before} without, {after} with");
    }
}

#[test]
fn too_few_inputs_name_the_tensor() {
    let mut memory = network(8, &[(32, 90)]);
    let mut inputs = SecondMoments::new(90);
    inputs.add(&[0.5; 90]).unwrap();
    memory.set_sensitivity(0, Sensitivity { channels: vec![1.0; 32], inputs: Some(inputs) });
    let error = compress(&mut memory, &ContainerWriter::new(), &options(2000)).unwrap_err().to_string();
    assert!(error.contains("layers.0.weight") && error.contains("1 samples"), "{error}");
}
