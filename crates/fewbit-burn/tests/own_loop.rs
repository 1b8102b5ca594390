//! A byte budget in the user's own loop: kept and used for networks of all kinds, resumed bit for bit; weights that are
//! excluded, tied, recurrent, frozen or new do what a user expects, or are refused by name.

mod common;

use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::module::Module;
use burn::nn::attention::{MhaInput, MultiHeadAttention, MultiHeadAttentionConfig};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{
    BatchNorm, BatchNormConfig, Embedding, EmbeddingConfig, Linear, LinearConfig, Lstm, LstmConfig,
};
use burn::optim::{AdamConfig, ModuleOptimizer, OptimizerRecord};
use burn::store::ModuleRecord;
use burn::tensor::{Bytes, Device, Distribution, Int, Tensor, activation};
use common::values;
use fewbit::budget::{BudgetError, Finished};
use fewbit::{StoredModel, StoredTensor};
use fewbit_burn::{BudgetConfig, BudgetLoop, LoopError, StoredModelExt};
use fewbit_testing::Numbers;

/// burn's generator is the process's.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

fn autodiff() -> Device {
    let device = Device::flex().autodiff();
    device.seed(7);
    device
}

/// A network with inputs and a loss of its own.
trait Network: Module {
    fn new(device: &Device) -> Self;
    fn loss(&self, device: &Device) -> Tensor<1>;
}

#[derive(Module, Debug)]
struct Mlp {
    hidden: Linear,
    out: Linear,
}

impl Network for Mlp {
    fn new(device: &Device) -> Self {
        let hidden = LinearConfig::new(16, 96).init(device);
        Self { hidden, out: LinearConfig::new(96, 16).init(device) }
    }

    fn loss(&self, device: &Device) -> Tensor<1> {
        let input = Tensor::<2>::random([32, 16], Distribution::Normal(0.0, 1.0), device);
        let found = self.out.forward(activation::relu(self.hidden.forward(input.clone())));
        (found - input.clone().abs() * input).powi_scalar(2).mean()
    }
}

#[derive(Module, Debug)]
struct Convolutions {
    first: Conv2d,
    norm: BatchNorm,
    second: Conv2d,
    out: Linear,
}

impl Network for Convolutions {
    fn new(device: &Device) -> Self {
        Self {
            first: Conv2dConfig::new([1, 8], [3, 3]).init(device),
            norm: BatchNormConfig::new(8).init(device),
            second: Conv2dConfig::new([8, 16], [3, 3]).init(device),
            out: LinearConfig::new(64, 10).init(device),
        }
    }

    fn loss(&self, device: &Device) -> Tensor<1> {
        let images = Tensor::<4>::random([16, 1, 6, 6], Distribution::Normal(0.0, 1.0), device);
        let sums: Tensor<2> = images.clone().flatten::<2>(1, 3).sum_dim(1);
        let maps = activation::relu(self.norm.forward(self.first.forward(images)));
        let found = self.out.forward(activation::relu(self.second.forward(maps)).flatten(1, 3));
        (found - sums).powi_scalar(2).mean()
    }
}

#[derive(Module, Debug)]
struct Recurrent {
    lstm: Lstm,
    out: Linear,
}

impl Network for Recurrent {
    fn new(device: &Device) -> Self {
        let lstm = LstmConfig::new(6, 20, true).init(device);
        Self { lstm, out: LinearConfig::new(20, 6).init(device) }
    }

    fn loss(&self, device: &Device) -> Tensor<1> {
        let input = Tensor::<3>::random([8, 5, 6], Distribution::Normal(0.0, 1.0), device);
        let (states, _) = self.lstm.forward(input.clone(), None);
        (self.out.forward(states) - input).powi_scalar(2).mean()
    }
}

/// Input and output vectors of tokens are one parameter, read twice.
#[derive(Module, Debug)]
struct Tied {
    tokens: Embedding,
    attention: MultiHeadAttention,
}

impl Network for Tied {
    fn new(device: &Device) -> Self {
        let attention = MultiHeadAttentionConfig::new(32, 2).with_dropout(0.0).init(device);
        Self { tokens: EmbeddingConfig::new(64, 32).init(device), attention }
    }

    fn loss(&self, device: &Device) -> Tensor<1> {
        let tokens = Tensor::<2, Int>::random([8, 6], Distribution::Uniform(0.0, 64.0), device);
        let vectors = self.tokens.forward(tokens.clone());
        let states = vectors.clone() + self.attention.forward(MhaInput::self_attn(vectors)).context;
        let head: Tensor<2> = self.tokens.weight.val().transpose();
        let log = activation::log_softmax(states.matmul(head.unsqueeze()), 2);
        log.gather(2, tokens.unsqueeze_dim(2)).mean().neg()
    }
}

/// All weights but biases and the few numbers of norms are quantized.
fn config(bytes: u64, steps: u64) -> BudgetConfig {
    BudgetConfig::new(bytes, steps).with_min_tensor_size(16).with_exclude(["*bias"])
}

fn optimizer() -> ModuleOptimizer {
    AdamConfig::new().init()
}

fn train<M: Network>(bytes: u64, steps: u64, device: &Device) -> Result<(M, BudgetLoop), LoopError> {
    let (mut model, mut budget) = config(bytes, steps).attach(M::new(device), 1)?;
    let mut optimizer = optimizer();
    for _ in 0..steps {
        let gradients = budget.backward(model.loss(device), &model);
        model = optimizer.step(3e-3, model, gradients);
        model = budget.step(model)?;
    }
    Ok((model, budget))
}

/// Bytes of the smallest file.
fn smallest<M: Network>(device: &Device) -> u64 {
    match config(3, 10).attach(M::new(device), 1) {
        Err(LoopError::Budget(BudgetError::TooSmall { budget: 3, minimum })) => minimum,
        other => panic!("{:?}", other.map(|_| ())),
    }
}

/// Trains under a budget between the smallest possible and a quarter of float, and checks the file.
fn check<M: Network>(share: f64, steps: u64) {
    let device = autodiff();
    let smallest = smallest::<M>(&device);
    let float = 4 * M::new(&device).num_params() as u64;
    let bytes = smallest + (share * (float as f64 / 4.0 - smallest as f64)) as u64;
    let (model, budget) = train::<M>(bytes, steps, &device).unwrap();
    let finished = budget.finish(&model).unwrap();
    let file = finished.stored.to_bytes().unwrap();
    assert_eq!(file.len() as u64, finished.bytes);
    assert!(finished.bytes <= bytes, "{finished}: {bytes} asked for");
    // A small file grows by whole words of the coder, and beyond levels of 8 bits nothing grows.
    let is_used = finished.bytes as f64 >= (0.995 * bytes as f64).min(bytes as f64 - 12.0);
    assert!(is_used || is_finest(&finished), "{finished}: {bytes} asked for, {smallest} to {float}");
    // The file loads into a float network of the same kind.
    let loaded = StoredModel::from_bytes(&file).unwrap().load_into(M::new(&Device::flex())).unwrap();
    assert_eq!(StoredModel::float(&loaded).unwrap().tensors.len(), finished.stored.tensors.len());
}

/// Whether the largest weight of each quantized tensor has a level near the last one.
fn is_finest(finished: &Finished) -> bool {
    finished.stored.tensors.values().all(|tensor| match tensor {
        StoredTensor::Float { .. } => true,
        StoredTensor::Quantized(tensor) => {
            let largest = tensor.dequantize().iter().fold(0.0f32, |most, value| most.max(value.abs()));
            largest >= 120.0 * tensor.ranges().values()[0].half_width()
        }
    })
}

#[test]
fn a_budget_is_kept_and_used_by_networks_of_all_kinds() {
    let _alone = one_at_a_time();
    check::<Mlp>(0.3, 150);
    check::<Convolutions>(0.1, 150);
    check::<Recurrent>(0.6, 150);
    check::<Tied>(0.4, 150);
}

/// All of the ground: some minutes.
#[test]
#[ignore = "takes minutes; a few of these run in every test"]
fn forty_budgets_drawn_at_random_are_kept_and_used() {
    let _alone = one_at_a_time();
    let mut numbers = Numbers::seeded(23);
    for _ in 0..10 {
        for check in [check::<Mlp>, check::<Convolutions>, check::<Recurrent>, check::<Tied>] {
            let share = f64::from(numbers.unit());
            check(share, 150 + numbers.below(251) as u64);
        }
    }
}

/// A loop that goes on from records of the model, its optimizer and the budget ends in the same bytes.
#[test]
fn a_resumed_loop_ends_in_the_same_bytes() {
    let _alone = one_at_a_time();
    let device = autodiff();
    let run = |model: &mut Mlp,
               budget: &mut BudgetLoop,
               optimizer: &mut ModuleOptimizer,
               steps: std::ops::Range<u64>| {
        for step in steps {
            // Batches are a function of the step.
            device.seed(step);
            let gradients = budget.backward(model.loss(&device), model);
            *model = budget.step(optimizer.step(3e-3, model.clone(), gradients)).unwrap();
        }
    };
    let (mut model, mut budget) = config(1_200, 40).attach(Mlp::new(&device), 1).unwrap();
    let mut first = optimizer();
    run(&mut model, &mut budget, &mut first, 0..17);
    let weights = model.valid().into_record().into_bytes().unwrap().to_vec();
    let moments = first.into_bytes().unwrap().to_vec();
    let state = budget.record().unwrap();

    // As another process does: a fresh network, whose records are then loaded.
    let (fresh, mut resumed) = config(1_200, 40).attach(Mlp::new(&device), 1).unwrap();
    let mut other =
        fresh.try_load_record(ModuleRecord::from_bytes(Bytes::from_bytes_vec(weights)).unwrap()).unwrap();
    let loaded = || {
        let record = OptimizerRecord::from_bytes(Bytes::from_bytes_vec(moments.clone())).unwrap();
        optimizer().load_record(record)
    };
    let (mut first, mut second) = (loaded(), loaded());
    resumed.load_record(&state).unwrap();
    run(&mut model, &mut budget, &mut first, 17..40);
    run(&mut other, &mut resumed, &mut second, 17..40);
    let bytes = |model: &Mlp, budget: &BudgetLoop| budget.finish(model).unwrap().stored.to_bytes().unwrap();
    assert!(bytes(&model, &budget) == bytes(&other, &resumed));
    assert!(resumed.load_record(b"no record").is_err());
}

/// Gradients of several batches in one step: each has noise of its own, and the size counts once.
#[test]
fn gradients_may_be_accumulated() {
    let _alone = one_at_a_time();
    let device = autodiff();
    let (model, mut budget) = config(1_200, 40).attach(Mlp::new(&device), 1).unwrap();
    let read = |model: &Mlp| values(model.hidden.weight.val());
    let first = read(&model);
    budget.backward(model.loss(&device), &model);
    let second = read(&model);
    budget.backward(model.loss(&device), &model);
    assert_ne!(first, second);
    let before = values(model.hidden.weight.base());
    let model = budget.step(model).unwrap();
    assert_eq!(values(model.hidden.weight.base()), before, "only an optimizer moves weights");
    assert_eq!(budget.budget().step(), 1);
}

#[test]
fn a_frozen_layer_stays_and_is_quantized() {
    let _alone = one_at_a_time();
    let device = autodiff();
    let mut network = Mlp::new(&device);
    network.hidden = network.hidden.no_grad();
    let before = values(network.hidden.weight.val());
    let (mut model, mut budget) = config(1_200, 60).attach(network, 1).unwrap();
    let mut optimizer = optimizer();
    for _ in 0..60 {
        let gradients = budget.backward(model.loss(&device), &model);
        model = budget.step(optimizer.step(3e-3, model, gradients)).unwrap();
    }
    assert_eq!(values(model.hidden.weight.base()), before);
    let finished = budget.finish(&model).unwrap();
    assert!(finished.bytes <= 1_200, "{finished}");
    assert!(matches!(finished.stored.tensors["hidden.weight"], StoredTensor::Quantized(_)));
    assert!(matches!(finished.stored.tensors["hidden.bias"], StoredTensor::Float { .. }), "excluded");
}

/// A loop that stops early keeps its budget and says so; no steps, a layer put in after attaching, another shape, a weight
/// that is not finite: errors with names.
#[test]
fn what_goes_wrong_is_said() {
    let _alone = one_at_a_time();
    let device = autodiff();
    assert!(matches!(
        config(1_200, 0).attach(Mlp::new(&device), 1),
        Err(LoopError::Budget(BudgetError::NoSteps))
    ));
    let (model, mut budget) = config(1_200, 400).attach(Mlp::new(&device), 1).unwrap();
    let finished = budget.finish(&model).unwrap();
    assert!(
        finished.bytes <= 1_200 && finished.to_string().contains("stopped after 0 of 400 steps"),
        "{finished}"
    );

    let mut fresh = model.clone();
    fresh.out = LinearConfig::new(96, 16).init(&device);
    let fresh = budget.finish(&fresh).unwrap_err().to_string();
    assert!(fresh.contains("`out.weight`") && fresh.contains("float"), "{fresh}");
    let gradients = budget.backward(model.loss(&device), &model);
    let blown_up = optimizer().step(f64::NAN, model, gradients);
    let nan = budget.finish(&blown_up).unwrap_err().to_string();
    assert!(nan.contains("`hidden.") && nan.contains("NaN"), "{nan}");
}
