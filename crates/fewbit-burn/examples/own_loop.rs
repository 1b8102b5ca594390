//! A byte budget in a training loop of your own: a stock burn model, your optimizer, a file of at most 4,000 bytes.
//!
//! `cargo run --release -p fewbit-burn --example own_loop`

use std::error::Error;

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::optim::AdamConfig;
use burn::tensor::{Device, Distribution, Tensor, activation};
use fewbit_burn::{BudgetConfig, load};

/// Two layers that learn to tell inside a ball from outside. Nothing in it knows of fewbit.
#[derive(Module, Debug)]
struct Net {
    hidden: Linear,
    out: Linear,
}

impl Net {
    fn new(device: &Device) -> Self {
        Self { hidden: LinearConfig::new(8, 256).init(device), out: LinearConfig::new(256, 16).init(device) }
    }

    fn forward(&self, points: Tensor<2>) -> Tensor<1> {
        let hidden = activation::relu(self.hidden.forward(points));
        self.out.forward(hidden).sum_dim(1).squeeze_dim(1)
    }
}

/// Points and 1 for those inside a ball, -1 for those outside.
fn batch(device: &Device) -> (Tensor<2>, Tensor<1>) {
    let points = Tensor::<2>::random([256, 8], Distribution::Normal(0.0, 1.0), device);
    let squares: Tensor<1> = points.clone().powi_scalar(2).sum_dim(1).squeeze_dim(1);
    (points, (squares.neg() + 7.34).sign())
}

pub(crate) fn run() -> Result<(), Box<dyn Error>> {
    let device = Device::flex().autodiff();
    device.seed(1);
    let (budget_bytes, steps) = (4_000, 400);
    // 6,160 weights, 24,640 bytes as float32. Both layers are quantized, biases stay float.
    let (mut model, mut budget) =
        BudgetConfig::new(budget_bytes, steps).with_min_tensor_size(1_000).attach(Net::new(&device), 42)?;
    let mut optimizer = AdamConfig::new().init();
    for step in 0..steps {
        let (points, labels) = batch(&device);
        let loss = (model.forward(points) * labels).neg().add_scalar(1.0).clamp_min(0.0).mean();
        if step % 100 == 0 {
            let (plan, loss) = (budget.plan(), loss.clone().detach().into_scalar::<f32>());
            println!("step {step}: loss {loss:.3}, {:?}, λ {:.3e}", plan.phase, plan.lambda);
        }
        let gradients = budget.backward(loss, &model);
        model = optimizer.step(1e-2, model, gradients);
        model = budget.step(model)?;
    }

    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.fewbit");
    let finished = budget.finish(&model)?;
    println!("{finished}");
    assert!(finished.write_file(&path)? <= budget_bytes);

    // The file evaluates like the model in training, to the last bit.
    let device = Device::flex();
    let small = load(&path, Net::new(&device))?;
    let (points, labels) = batch(&device);
    let right = (small.forward(points) * labels).greater_elem(0.0).float().mean().into_scalar::<f32>();
    println!("{:.1} % right", 100.0 * right);
    assert!(right > 0.85, "{right}");
    Ok(())
}

#[allow(dead_code, reason = "as a test `run` is called alone")]
fn main() -> Result<(), Box<dyn Error>> {
    run()
}
