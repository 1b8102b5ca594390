//! A byte budget in a training loop over slices, without a tensor library: never exceeded, used, resumed bit for bit.

use std::collections::BTreeMap;

use fewbit::budget::{Budget, BudgetError, FileSettings, Finished, Observation, SizeLimits};
use fewbit::method::{DiffQ, Fewbit, FixedWidth, Method, Phase, Qat, SizeEstimate};
use fewbit::size::BITS_PER_MEBIBYTE;
use fewbit::{
    BitWidth, ContainerReader, FloatStorage, Layout, Orientation, RangeGranularity, Snapshot, SnapshotTensor,
    StoredModel,
};
use fewbit_kernels::NoiseKey;
use fewbit_testing::Numbers;

/// A tensor that learns to be `target`, by a loss of squares, with what each weight matters.
#[derive(Clone)]
struct Weight {
    name: String,
    shape: Vec<usize>,
    orientation: Orientation,
    values: Vec<f32>,
    target: Vec<f32>,
    matters: Vec<f32>,
    learned: Vec<f32>,
    /// First and second moments of the learned numbers' gradients.
    moments: (Vec<f32>, Vec<f32>),
}

impl Weight {
    fn layout(&self, method: &dyn Method) -> Layout {
        method.layout(&self.shape, self.orientation)
    }
}

/// A network of such tensors and a bias that stays float.
#[derive(Clone)]
struct Network {
    weights: Vec<Weight>,
    bias: Vec<f32>,
}

impl Network {
    fn new(seed: u64, shapes: &[(&[usize], Orientation)]) -> Self {
        let mut numbers = Numbers::seeded(seed);
        let weight = |(index, (shape, orientation)): (usize, &(&[usize], Orientation))| {
            let len = shape.iter().product();
            let target = numbers.weights(len);
            let matters = (0..len).map(|index| if index.is_multiple_of(2) { 1.0 } else { 0.01 }).collect();
            let values = numbers.weights(len);
            let (name, shape) = (format!("layer{index}.weight"), shape.to_vec());
            let (orientation, learned, moments) = (*orientation, Vec::new(), Default::default());
            Weight { name, shape, orientation, values, target, matters, learned, moments }
        };
        let weights = shapes.iter().enumerate().map(weight).collect();
        Self { weights, bias: vec![0.5; 10] }
    }

    fn snapshot(&self) -> Snapshot<'_> {
        fn tensor(weight: &Weight) -> SnapshotTensor<'_> {
            let Weight { name, shape, orientation, values, learned, .. } = weight;
            SnapshotTensor {
                name: String::clone(name),
                shape: Vec::clone(shape),
                orientation: *orientation,
                values: values.into(),
                learned: Some(learned.into()),
            }
        }
        let bias = SnapshotTensor {
            name: "bias".to_owned(),
            shape: vec![self.bias.len()],
            orientation: Orientation::Stored,
            values: (&self.bias).into(),
            learned: None,
        };
        Snapshot { tensors: self.weights.iter().map(tensor).chain([bias]).collect() }
    }

    fn start(&mut self, budget: &mut Budget, file: &FileSettings<'_>) -> Result<(), BudgetError> {
        let learned = budget.start(&self.snapshot(), file)?;
        for weight in &mut self.weights {
            weight.learned.clone_from(&learned[&weight.name]);
            let zeros = vec![0.0; weight.learned.len()];
            weight.moments = (zeros.clone(), zeros);
        }
        Ok(())
    }

    /// One step: gradient descent for the weights, Adam for the learned numbers.
    fn step(&mut self, budget: &mut Budget, file: &FileSettings<'_>) -> Result<(), BudgetError> {
        let method = file.method;
        let plan = budget.plan(method);
        if plan.measures {
            budget.measure(&self.snapshot(), file)?;
        }
        let step = budget.step();
        let coarser = f64::from(method.sizing().unwrap().coarser());
        let (mut seen, factor) = (Observation::default(), plan.lambda / BITS_PER_MEBIBYTE);
        let mut finest = Vec::new();
        for weight in &mut self.weights {
            let layout = weight.layout(method);
            let key = NoiseKey::new(3, 0, step, 0, &weight.name);
            let mut read = vec![0.0; weight.values.len()];
            let mut of_learned = vec![0.0; weight.learned.len()];
            let gradient = |read: &[f32]| -> Vec<f32> {
                let difference = read.iter().zip(&weight.target).zip(&weight.matters);
                difference.map(|((read, target), matters)| matters * (read - target)).collect()
            };
            let mut of_weights = match plan.phase {
                Phase::Noise => {
                    method.noisy(&layout, &weight.values, &weight.learned, key, &mut read);
                    let mut of = gradient(&read);
                    method.noisy_gradient(
                        &layout,
                        &weight.values,
                        &weight.learned,
                        key,
                        &mut of,
                        &mut of_learned,
                    );
                    of
                }
                Phase::Rounding => {
                    method.rounded(&layout, &weight.values, &weight.learned, &mut read);
                    let mut of = gradient(&read);
                    method.rounded_gradient(
                        &layout,
                        &weight.values,
                        &weight.learned,
                        &mut of,
                        &mut of_learned,
                    );
                    of
                }
            };
            let mut size_of_weights = vec![0.0; weight.values.len()];
            let mut size_of_learned = vec![0.0; weight.learned.len()];
            let counted = method.size(
                &layout,
                &weight.values,
                &weight.learned,
                &mut size_of_weights,
                &mut size_of_learned,
            );
            let sum = |slopes: &[f32]| slopes.iter().map(|slope| f64::from(*slope)).sum::<f64>();
            let counted = counted.unwrap();
            seen.bits += counted.bits;
            finest.push(counted.finest);
            seen.bits_slope += coarser * sum(&size_of_learned);
            seen.loss_slope += coarser * sum(&of_learned);
            for (of, size) in of_weights.iter_mut().zip(&size_of_weights) {
                *of += factor as f32 * size;
            }
            for (value, of) in weight.values.iter_mut().zip(of_weights) {
                *value -= 0.3 * of;
            }
            let (first, second) = &mut weight.moments;
            for (k, number) in weight.learned.iter_mut().enumerate() {
                let of = of_learned[k] + factor as f32 * size_of_learned[k];
                first[k] = 0.9 * first[k] + 0.1 * of;
                second[k] = 0.999 * second[k] + 0.001 * of * of;
                *number -= plan.scale_rate as f32 * first[k] / (second[k].sqrt() + 1e-12);
            }
        }
        let by = budget.observe(seen);
        for (weight, finest) in self.weights.iter_mut().zip(finest) {
            let sizing = method.sizing().unwrap();
            sizing.coarsen(&mut weight.learned, by, finest.as_deref());
        }
        Ok(())
    }
}

fn file(method: &dyn Method) -> FileSettings<'_> {
    let (storage, metadata) = (FloatStorage::default(), BTreeMap::new());
    FileSettings { method, storage, batch_norm_epsilon: None, metadata }
}

fn train(
    network: &mut Network,
    bytes: u64,
    steps: u64,
    made: u64,
    method: &dyn Method,
) -> Result<Finished, BudgetError> {
    let (mut budget, file) = (Budget::new(bytes, steps)?, file(method));
    network.start(&mut budget, &file)?;
    for _ in 0..made {
        network.step(&mut budget, &file)?;
    }
    budget.finish(&network.snapshot(), &file, Ok)
}

const SMALL: [(&[usize], Orientation); 2] =
    [(&[32, 16], Orientation::Swapped), (&[64, 3, 3], Orientation::Stored)];
const LARGE: [(&[usize], Orientation); 3] = [
    (&[128, 64], Orientation::Swapped),
    (&[16, 8, 3, 3], Orientation::Swapped),
    (&[10, 128], Orientation::Stored),
];

/// The bytes of the smallest file of a network.
fn smallest(network: &Network, method: &dyn Method) -> u64 {
    SizeLimits::of(&network.snapshot(), &file(method), u64::MAX).unwrap().smallest
}

#[test]
fn a_budget_is_never_exceeded_and_used() {
    for (seed, shapes) in [(1, SMALL.as_slice()), (2, LARGE.as_slice())] {
        for granularity in [RangeGranularity::Tensor, RangeGranularity::Channel, RangeGranularity::Group] {
            for estimate in [SizeEstimate::Coded, SizeEstimate::Nominal] {
                let method = Fewbit { granularity, estimate, ..Fewbit::default() };
                let mut network = Network::new(seed, shapes);
                let (smallest, weights) = (
                    smallest(&network, &method),
                    shapes.iter().map(|(s, _)| s.iter().product::<usize>() as u64).sum::<u64>(),
                );
                for bytes in [smallest + 60, smallest + weights / 4, smallest + weights / 2] {
                    let finished = train(&mut network, bytes, 150, 150, &method).unwrap();
                    let found = finished.stored.to_bytes().unwrap().len() as u64;
                    assert_eq!(found, finished.bytes);
                    assert!(found <= bytes, "{found} of {bytes}");
                    // A file of a few hundred bytes grows by whole words of the coder.
                    let used = (0.995 * bytes as f64).min(bytes as f64 - 12.0);
                    assert!(
                        found as f64 >= used,
                        "{granularity:?}, {estimate:?}: {found} of {bytes}, {finished}"
                    );
                }
            }
        }
    }
}

#[test]
fn diffq_keeps_a_budget() {
    let method = DiffQ::default();
    let mut network = Network::new(3, &LARGE);
    for bytes in [3_000, 5_000] {
        let finished = train(&mut network, bytes, 150, 150, &method).unwrap();
        assert!(finished.bytes <= bytes, "{finished}");
    }
}

#[test]
fn training_under_a_budget_lowers_the_loss_of_the_file() {
    let method = Fewbit::default();
    let loss = |network: &Network, stored: &StoredModel| -> f64 {
        let of_weight = |weight: &Weight| {
            let stored = stored.tensors[&weight.name].values();
            let shape = weight.orientation.swap_shape(&weight.shape);
            let values = weight.orientation.swap_values(stored, &shape);
            let each = values.iter().zip(&weight.target).zip(&weight.matters);
            each.map(|((value, target), matters)| f64::from(matters * (value - target).powi(2))).sum::<f64>()
        };
        network.weights.iter().map(of_weight).sum()
    };
    let mut untrained = Network::new(4, &LARGE);
    for weight in &mut untrained.weights {
        weight.values.clone_from(&weight.target);
    }
    let mut trained = untrained.clone();
    let before = train(&mut untrained, 3_500, 1, 0, &method).unwrap();
    let after = train(&mut trained, 3_500, 400, 400, &method).unwrap();
    let (before, after) = (loss(&untrained, &before.stored), loss(&trained, &after.stored));
    assert!(after < 0.8 * before, "{after} after training, {before} without");
}

/// A loop that goes on from a serialized budget ends in the same bytes.
#[test]
fn a_resumed_loop_goes_on_bit_for_bit() {
    let method = Fewbit::default();
    let file = file(&method);
    let mut network = Network::new(5, &SMALL);
    let mut budget = Budget::new(500, 60).unwrap();
    network.start(&mut budget, &file).unwrap();
    let mut resumed = None;
    for step in 0..60 {
        if step == 23 {
            resumed = Some((network.clone(), serde_json::to_string(&budget).unwrap()));
        }
        network.step(&mut budget, &file).unwrap();
    }
    let (mut other, state) = resumed.unwrap();
    let mut other_budget: Budget = serde_json::from_str(&state).unwrap();
    for _ in 23..60 {
        other.step(&mut other_budget, &file).unwrap();
    }
    assert_eq!(other_budget, budget);
    let bytes = |network: &Network, budget: &Budget| {
        budget.finish::<BudgetError>(&network.snapshot(), &file, Ok).unwrap().stored.to_bytes().unwrap()
    };
    assert_eq!(bytes(&other, &other_budget), bytes(&network, &budget));
}

/// A loop may stop early, or make more steps than it said.
#[test]
fn a_budget_is_kept_whenever_the_loop_ends() {
    let method = Fewbit::default();
    for made in [0, 1, 30, 119, 150] {
        let finished = train(&mut Network::new(6, &SMALL), 500, 120, made, &method).unwrap();
        assert!(finished.bytes <= 500 && finished.bytes > 480, "{finished}");
        assert_eq!(finished.to_string().contains("stopped after"), made < 120, "{finished}");
    }
}

/// More bytes than levels can use: the file has these.
#[test]
fn a_budget_beyond_use_is_no_error() {
    let mut network = Network::new(7, &SMALL);
    let finished = train(&mut network, 1 << 20, 40, 40, &Fewbit::default()).unwrap();
    assert!(finished.bytes < 4_000, "{finished}");
    let bytes = finished.stored.to_bytes().unwrap();
    let reader = ContainerReader::new(&bytes).unwrap();
    for weight in &network.weights {
        let largest = weight.values.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        let found = reader.values(&weight.name).unwrap();
        let stored = weight.orientation.swap_values(weight.values.clone(), &weight.shape);
        assert!(
            found.iter().zip(stored).all(|(found, value)| (found - value).abs() < 0.51 * largest / 127.0)
        );
    }
}

#[test]
fn bad_input_is_refused_with_names_and_numbers() {
    assert!(matches!(Budget::new(1000, 0), Err(BudgetError::NoSteps)));
    let method = Fewbit::default();
    let mut network = Network::new(8, &SMALL);
    let error = train(&mut network.clone(), 3, 10, 0, &method).unwrap_err();
    let minimum = smallest(&network, &method);
    assert!(
        matches!(error, BudgetError::TooSmall { budget: 3, minimum: found } if found == minimum),
        "{error}"
    );
    let fixed = FixedWidth::of_tensor(BitWidth::new(3).unwrap());
    let error = train(&mut network.clone(), 500, 10, 0, &Qat(fixed)).unwrap_err();
    assert!(error.to_string().contains("`qat`"), "{error}");

    let file = file(&method);
    let mut budget = Budget::new(500, 10).unwrap();
    network.start(&mut budget, &file).unwrap();
    let refused = |change: &dyn Fn(&mut Network)| {
        let mut changed = network.clone();
        change(&mut changed);
        let finish = budget.finish::<BudgetError>(&changed.snapshot(), &file, Ok).unwrap_err().to_string();
        assert_eq!(budget.clone().measure(&changed.snapshot(), &file).unwrap_err().to_string(), finish);
        finish
    };
    let shape = refused(&|network| network.weights[0].shape = vec![16, 32]);
    assert!(
        shape.contains("`layer0.weight`") && shape.contains("[16, 32]") && shape.contains("[32, 16]"),
        "{shape}"
    );
    let missing = refused(&|network| drop(network.weights.remove(1)));
    assert!(missing.contains("`layer1.weight`") && missing.contains("missing"), "{missing}");
    let nan = refused(&|network| network.weights[1].values[2] = f32::NAN);
    assert!(nan.contains("`layer1.weight`") && nan.contains("NaN"), "{nan}");
    let learned = refused(&|network| network.weights[1].learned[0] = f32::INFINITY);
    assert!(learned.contains("`layer1.weight`") && learned.contains("inf"), "{learned}");
}
