//! A byte budget in burn's own learner: its loop, its metrics, its schedule, and a file of at most 4,000 bytes.
//!
//! A learner asks the model for the gradients of a step and to move down them. [`Budgeted`] answers both with the help of a
//! [`BudgetLoop`]; the network inside knows nothing of it.
//!
//! `cargo run --release -p fewbit-burn --example learner`

use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::data::dataloader::batcher::Batcher;
use burn::data::dataloader::{DataLoader, DataLoaderBuilder};
use burn::data::dataset::InMemDataset;
use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Linear, LinearConfig};
use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use burn_train::metric::{AccuracyMetric, LossMetric};
use burn_train::{ClassificationOutput, InferenceStep, Learner, SupervisedTraining, TrainOutput, TrainStep};
use fewbit_burn::{BudgetConfig, BudgetLoop, load};

const BUDGET: u64 = 4_000;
const EPOCHS: usize = 8;
const BATCH: usize = 64;
const POINTS: usize = 4_096;

/// The network: any burn module.
#[derive(Module, Debug)]
struct Net {
    hidden: Linear,
    out: Linear,
}

impl Net {
    fn new(device: &Device) -> Self {
        Self { hidden: LinearConfig::new(8, 256).init(device), out: LinearConfig::new(256, 16).init(device) }
    }

    fn forward(&self, points: Tensor<2>) -> Tensor<2> {
        self.out.forward(activation::relu(self.hidden.forward(points)))
    }

    fn output(&self, Points { points, classes }: Points) -> ClassificationOutput {
        let logits = self.forward(points);
        let loss = CrossEntropyLossConfig::new().init(&logits.device());
        ClassificationOutput::new(loss.forward(logits.clone(), classes.clone()), logits, classes)
    }
}

/// A network that keeps a budget while a learner trains it.
#[derive(Module, Debug)]
struct Budgeted {
    net: Net,
    #[module(skip)]
    budget: Arc<Mutex<BudgetLoop>>,
}

impl Budgeted {
    fn budget(&self) -> MutexGuard<'_, BudgetLoop> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TrainStep for Budgeted {
    type Input = Points;
    type Output = ClassificationOutput;

    fn step(&self, batch: Points) -> TrainOutput<ClassificationOutput> {
        let item = self.net.output(batch);
        let grads = self.budget().backward(item.loss.clone(), &self.net);
        TrainOutput { grads, item }
    }

    fn optimize(
        self,
        optimizer: &mut ModuleOptimizer,
        rate: ModuleLearningRate,
        gradients: GradientsParams,
    ) -> Self {
        let Self { net, budget } = optimizer.step(rate, self, gradients);
        // A learner has no way to hand an error on; this one names the tensor that is not finite.
        let net =
            budget.lock().unwrap_or_else(PoisonError::into_inner).step(net).unwrap_or_else(|e| panic!("{e}"));
        Self { net, budget }
    }
}

impl InferenceStep for Budgeted {
    type Input = Points;
    type Output = ClassificationOutput;

    /// With rounded weights, as the file will have them.
    fn step(&self, batch: Points) -> ClassificationOutput {
        self.net.output(batch)
    }
}

/// A batch: points, shape `[batch, 8]`, and the class of each, shape `[batch]`.
#[derive(Clone, Debug)]
struct Points {
    points: Tensor<2>,
    classes: Tensor<1, Int>,
}

/// Point number `number`, and whether it lies outside of a ball.
fn point(number: usize) -> ([f32; 8], i64) {
    let mut state = number as u64 + 1;
    let point = std::array::from_fn(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    });
    (point, i64::from(point.iter().map(|x| x * x).sum::<f32>() > 2.65))
}

struct Batches;

impl Batcher<usize, Points> for Batches {
    fn batch(&self, numbers: Vec<usize>, device: &Device) -> Points {
        let (points, classes): (Vec<_>, Vec<_>) = numbers.into_iter().map(point).unzip();
        let shape = [points.len(), 8];
        Points {
            points: Tensor::from_data(TensorData::new(points.concat(), shape), device),
            classes: Tensor::from_data(TensorData::new(classes, [shape[0]]), device),
        }
    }
}

fn loader(numbers: std::ops::Range<usize>) -> Arc<dyn DataLoader<Points>> {
    let numbers = InMemDataset::new(numbers.collect());
    DataLoaderBuilder::new(Batches).batch_size(BATCH).shuffle(1).build(numbers)
}

pub(crate) fn run() -> Result<(), Box<dyn Error>> {
    let device = Device::flex().autodiff();
    device.seed(1);
    let steps = (EPOCHS * POINTS.div_ceil(BATCH)) as u64;
    let (net, budget) =
        BudgetConfig::new(BUDGET, steps).with_min_tensor_size(1_000).attach(Net::new(&device), 42)?;
    let model = Budgeted { net, budget: Arc::new(Mutex::new(budget)) };

    let folder = tempfile::tempdir()?;
    let trained = SupervisedTraining::new(folder.path(), loader(0..POINTS), loader(POINTS..POINTS + 1_024))
        .metrics((AccuracyMetric::new(), LossMetric::new()))
        .num_epochs(EPOCHS)
        .summary()
        .launch(Learner::new(model, AdamConfig::new().init(), 5e-3));
    if let Some(error) = trained.error {
        return Err(error.to_string().into());
    }

    let Budgeted { net, budget } = trained.model;
    let path = folder.path().join("model.fewbit");
    let finished = budget.lock().unwrap_or_else(PoisonError::into_inner).finish(&net)?;
    println!("{finished}");
    assert!(finished.write_file(&path)? <= BUDGET);

    // The file evaluates like the model in training, to the last bit.
    let device = Device::flex();
    let small = load(&path, Net::new(&device))?;
    let Points { points, classes } = Batches.batch((POINTS..POINTS + 1_024).collect(), &device);
    let found: Tensor<1, Int> = small.forward(points).argmax(1).squeeze_dim(1);
    let right = found.equal(classes).float().mean().into_scalar::<f32>();
    println!("{:.1} % right", 100.0 * right);
    assert!(right > 0.85, "{right}");
    Ok(())
}

#[allow(dead_code, reason = "as a test `run` is called alone")]
fn main() -> Result<(), Box<dyn Error>> {
    run()
}
