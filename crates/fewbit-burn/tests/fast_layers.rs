//! Each fast layer gives what burn's layer of the same name gives, forward and backward.
//!
//! Sums are taken in another order than burn's, so that results agree to some units in the last place
//! of the largest number that is added; the tolerances are 1e-5 of a result's largest value, a few
//! times that where sums of thousands are compared.

use burn::module::{Module, Param};
use burn::nn::conv::Conv2dConfig;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::pool::MaxPool2dConfig;
use burn::nn::{BatchNormConfig, EmbeddingConfig, LayerNormConfig, LinearConfig, PaddingConfig2d};
use burn::tensor::{DType, Device, Int, Tensor, TensorData, activation};
use fewbit_burn::nn;
use fewbit_testing::Numbers;

fn device() -> Device {
    Device::flex().autodiff()
}

/// Numbers of about normal distribution, as a leaf of the graph.
fn numbers<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    let values = Numbers::seeded(seed).weights(shape.iter().product());
    Tensor::<D>::from_data(TensorData::new(values, shape), &device()).require_grad()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

#[track_caller]
fn close<const D: usize>(found: Tensor<D>, expected: Tensor<D>, tolerance: f32, what: &str) {
    assert_eq!(found.dims(), expected.dims(), "{what}");
    let (found, expected) = (values(found), values(expected));
    let scale = expected.iter().fold(1e-3f32, |most, x| most.max(x.abs()));
    for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let difference = (found - expected).abs();
        assert!(difference <= tolerance * scale, "{what}, number {place}: {found}, burn has {expected}");
    }
}

/// The two results agree, and so do the gradients of `leaves` under the same uneven weighing of them.
#[track_caller]
fn agree<const D: usize>(
    found: Tensor<D>,
    expected: Tensor<D>,
    compare: impl FnOnce(&burn::tensor::Gradients, &burn::tensor::Gradients),
    what: &str,
) {
    close(found.clone().detach(), expected.clone().detach(), 1e-5, what);
    let weights = numbers(found.dims(), 99).detach();
    let found = (found * weights.clone()).sum().backward();
    let expected = (expected * weights).sum().backward();
    compare(&found, &expected);
}

macro_rules! same_gradient {
    ($ours:expr, $burns:expr, $tensor:expr, $what:expr) => {
        close($tensor.grad($ours).unwrap(), $tensor.grad($burns).unwrap(), 3e-5, $what)
    };
}

#[test]
fn linear_layers_agree_on_every_rank_with_and_without_bias() {
    for (rows, inputs, outputs, bias) in
        [(1, 1, 1, true), (5, 7, 3, true), (64, 70, 33, false), (130, 64, 96, true)]
    {
        let what = format!("{rows} rows, {inputs} to {outputs}");
        let burns = LinearConfig::new(inputs, outputs).with_bias(bias).init(&device());
        let ours: nn::Linear = burns.clone().into();
        let x = numbers([rows, inputs], 1);
        agree(
            ours.forward(x.clone()),
            burns.forward(x.clone()),
            |a, b| {
                same_gradient!(a, b, x, &what);
                same_gradient!(a, b, burns.weight.val(), &what);
                if let Some(bias) = &burns.bias {
                    same_gradient!(a, b, bias.val(), &what);
                }
            },
            &what,
        );
        let x = numbers([2, rows, inputs], 2);
        close(ours.forward(x.clone()).detach(), burns.forward(x).detach(), 1e-5, "rank 3");
    }
}

#[test]
fn convolutions_agree_over_strides_paddings_dilations_and_groups() {
    let config = |channels, kernel| Conv2dConfig::new(channels, kernel);
    let explicit = |n| PaddingConfig2d::Explicit(n, n, n, n);
    let cases = [
        (config([16, 16], [3, 3]).with_padding(explicit(1)), [2, 16, 8, 8]),
        (config([3, 16], [3, 3]).with_padding(explicit(1)).with_bias(false), [3, 3, 9, 11]),
        (config([16, 32], [3, 3]).with_padding(explicit(1)).with_stride([2, 2]), [2, 16, 8, 8]),
        (config([16, 32], [1, 1]).with_stride([2, 2]).with_bias(false), [2, 16, 7, 8]),
        (config([5, 7], [1, 1]), [1, 5, 1, 1]),
        (config([4, 6], [3, 2]).with_padding(PaddingConfig2d::Same), [2, 4, 5, 6]),
        (config([4, 6], [3, 3]).with_dilation([2, 1]).with_padding(explicit(2)), [2, 4, 7, 7]),
        (config([8, 12], [3, 3]).with_groups(4).with_padding(explicit(1)), [2, 8, 6, 5]),
        (config([8, 8], [3, 3]).with_groups(8).with_padding(explicit(1)).with_stride([2, 1]), [2, 8, 7, 6]),
        (config([1, 24], [5, 5]), [1, 1, 12, 9]),
        (config([32, 32], [3, 3]).with_padding(PaddingConfig2d::Explicit(0, 1, 2, 0)), [2, 32, 6, 6]),
        (config([64, 64], [3, 3]).with_padding(explicit(1)), [3, 64, 8, 8]),
    ];
    for (config, shape) in cases {
        let what = format!("{config:?} of {shape:?}");
        let burns = config.init(&device());
        let ours: nn::Conv2d = burns.clone().into();
        let x = numbers(shape, 3);
        agree(
            ours.forward(x.clone()),
            burns.forward(x.clone()),
            |a, b| {
                same_gradient!(a, b, x, &what);
                same_gradient!(a, b, burns.weight.val(), &what);
                if let Some(bias) = &burns.bias {
                    same_gradient!(a, b, bias.val(), &what);
                }
            },
            &what,
        );
    }
}

#[test]
fn batch_norms_agree_and_keep_the_same_statistics() {
    for shape in [[2, 3, 4, 4], [1, 5, 3, 1], [7, 16, 8, 8], [130, 1, 2, 3]] {
        let what = format!("{shape:?}");
        let mut burns = BatchNormConfig::new(shape[1]).init(&device());
        burns.gamma = Param::from_tensor(numbers([shape[1]], 4).detach());
        burns.beta = Param::from_tensor(numbers([shape[1]], 5).detach());
        let fresh = || -> nn::BatchNorm {
            let layer: nn::BatchNorm = BatchNormConfig::new(shape[1]).init(&device()).into();
            nn::BatchNorm { gamma: burns.gamma.clone(), beta: burns.beta.clone(), ..layer }
        };
        let (x, past) = (numbers(shape, 6), numbers(shape, 7));
        let same = |a: &burn::tensor::Gradients, b: &burn::tensor::Gradients| {
            same_gradient!(a, b, x, &what);
            same_gradient!(a, b, burns.gamma.val(), &what);
            same_gradient!(a, b, burns.beta.val(), &what);
        };
        let ours = fresh();
        agree(ours.forward(x.clone()), burns.forward(x.clone()), same, &what);
        close(ours.running_mean.value(), burns.running_mean.value(), 1e-5, "running mean");
        close(ours.running_var.value(), burns.running_var.value(), 1e-5, "running variance");
        let relu = activation::relu(burns.forward(x.clone()));
        agree(fresh().forward_relu(x.clone()), relu, same, &what);
        let sum = activation::relu(burns.forward(x.clone()) + past.clone());
        let with_residual = |a: &burn::tensor::Gradients, b: &burn::tensor::Gradients| {
            same(a, b);
            same_gradient!(a, b, past, &what);
        };
        agree(fresh().forward_add_relu(x.clone(), past.clone()), sum, with_residual, &what);
        // Evaluation, with the statistics that training left.
        let burns = burns.valid();
        let ours: nn::BatchNorm = burns.clone().into();
        let (x, past) = (x.clone().inner(), past.clone().inner());
        close(ours.forward(x.clone()), burns.forward(x.clone()), 1e-5, "evaluation");
        let expected = activation::relu(burns.forward(x.clone()) + past.clone());
        close(ours.forward_add_relu(x, past), expected, 1e-5, "evaluation with a residual");
    }
}

#[test]
fn layer_norms_agree_with_and_without_a_shift() {
    for (rows, width, bias) in [(1, 1, true), (3, 17, true), (130, 64, true), (5, 256, false)] {
        let what = format!("{rows} by {width}");
        let config = LayerNormConfig::new(width).with_bias(bias);
        let burns = config.init(&device());
        let mut ours = nn::LayerNorm::new(&config, &device());
        (ours.gamma, ours.beta) = (burns.gamma.clone(), burns.beta.clone());
        let x = numbers([1, rows, width], 8);
        agree(
            ours.forward(x.clone()),
            burns.forward(x.clone()),
            |a, b| {
                same_gradient!(a, b, x, &what);
                same_gradient!(a, b, burns.gamma.val(), &what);
                if let Some(beta) = &burns.beta {
                    same_gradient!(a, b, beta.val(), &what);
                }
            },
            &what,
        );
    }
}

#[test]
fn functions_of_each_number_agree() {
    for shape in [[1, 1], [3, 7], [130, 257]] {
        let x = numbers(shape, 9) * 3.0;
        let x = x.detach().require_grad();
        agree(
            nn::relu(x.clone()),
            activation::relu(x.clone()),
            |a, b| same_gradient!(a, b, x, "relu"),
            "relu",
        );
        agree(
            nn::gelu(x.clone()),
            activation::gelu(x.clone()),
            |a, b| same_gradient!(a, b, x, "gelu"),
            "gelu",
        );
        let y = numbers(shape, 10);
        let same = |a: &burn::tensor::Gradients, b: &burn::tensor::Gradients| {
            same_gradient!(a, b, x, "sum");
            same_gradient!(a, b, y, "sum");
        };
        agree(nn::add(x.clone(), y.clone()), x.clone() + y.clone(), same, "sum");
    }
}

#[test]
fn the_gradients_of_a_fork_meet() {
    let x = numbers([5, 9], 11);
    let [branch, past] = nn::fork(x.clone());
    let found = nn::add(past, branch.powi_scalar(2) * 3.0);
    let expected = x.clone() + x.clone().powi_scalar(2) * 3.0;
    agree(found, expected, |a, b| same_gradient!(a, b, x, "fork"), "fork");
}

#[test]
fn cross_entropies_agree_and_a_class_that_is_not_there_is_named() {
    for (rows, classes) in [(1, 2), (7, 10), (130, 256)] {
        let logits = numbers([rows, classes], 12);
        let targets: Vec<i64> = (0..rows as i64).map(|row| row * 7 % classes as i64).collect();
        let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [rows]), &device());
        let found = nn::cross_entropy(logits.clone(), targets.clone());
        let expected = CrossEntropyLossConfig::new().init(&device()).forward(logits.clone(), targets);
        agree(found, expected, |a, b| same_gradient!(a, b, logits, "logits"), "loss");
    }
    let targets = Tensor::<1, Int>::from_ints([0, 3], &device());
    let error = std::panic::catch_unwind(|| nn::cross_entropy(numbers([2, 3], 1), targets)).unwrap_err();
    assert!(error.downcast_ref::<String>().unwrap().contains('3'));
}

#[test]
fn distilled_cross_entropies_agree_with_the_formula() {
    for (rows, classes) in [(1, 2), (7, 10), (130, 256)] {
        let logits = numbers([rows, classes], 12);
        let teacher = numbers([rows, classes], 13).detach();
        let targets: Vec<i64> = (0..rows as i64).map(|row| row * 7 % classes as i64).collect();
        let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [rows]), &device());
        for share in [0.0, 0.3, 1.0] {
            let found = nn::distilled_cross_entropy(logits.clone(), targets.clone(), teacher.clone(), share);
            let hard = CrossEntropyLossConfig::new().init(&device()).forward(logits.clone(), targets.clone());
            let log = activation::log_softmax(logits.clone(), 1);
            let soft = (activation::softmax(teacher.clone(), 1) * log).sum_dim(1).mean().neg();
            let expected = hard * (1.0 - share) + soft * share;
            agree(found, expected, |a, b| same_gradient!(a, b, logits, "logits"), "loss");
        }
    }
}

/// Where our operations do not run burn's do: on tensors with gradient checkpointing.
#[test]
fn rows_of_a_distilled_cross_entropy_have_weights_of_their_own() {
    let weights = [[1.0f32, 0.0], [0.0, 2.0], [0.5, 0.25]];
    let targets = [3i32, 0, 4];
    let devices = [device(), device().gradient_checkpointing()];
    let of = |device: &Device| {
        let leaf = |seed| {
            let values = Numbers::seeded(seed).weights(15);
            Tensor::<2>::from_data(TensorData::new(values, [3, 5]), device).require_grad()
        };
        let (logits, teacher) = (leaf(1), leaf(2));
        let (targets, weights) = (Tensor::from_ints(targets, device), Tensor::from_floats(weights, device));
        let loss = nn::distilled_cross_entropy_of_rows(logits.clone(), targets, teacher.clone(), weights);
        let gradients = loss.backward();
        assert!(teacher.grad(&gradients).is_none(), "a teacher learns nothing");
        (values(loss), values(logits.grad(&gradients).unwrap()))
    };
    let [(loss, slopes), (expected, expected_slopes)] = devices.each_ref().map(of);
    for (found, expected) in loss.iter().chain(&slopes).zip(expected.iter().chain(&expected_slopes)) {
        assert!((found - expected).abs() < 1e-5, "{found}, burn has {expected}");
    }
}

#[test]
fn embeddings_agree_where_indices_repeat() {
    let burns = EmbeddingConfig::new(11, 5).init(&device());
    let ours: nn::Embedding = burns.clone().into();
    let indices = Tensor::<2, Int>::from_ints([[0, 10, 3], [3, 3, 0]], &device());
    let same = |a: &burn::tensor::Gradients, b: &burn::tensor::Gradients| {
        same_gradient!(a, b, burns.weight.val(), "table");
    };
    agree(ours.forward(indices.clone()), burns.forward(indices), same, "embedding");
}

#[test]
fn pooling_agrees() {
    for shape in [[1, 1, 1, 1], [2, 3, 5, 7], [3, 16, 8, 8]] {
        let x = numbers(shape, 13);
        let pixels: Tensor<3> = x.clone().flatten(2, 3);
        let mean = pixels.mean_dim(2).squeeze_dim(2);
        agree(nn::mean_of_pixels(x.clone()), mean, |a, b| same_gradient!(a, b, x, "mean"), "mean");
        for config in [
            MaxPool2dConfig::new([1, 1]),
            MaxPool2dConfig::new([3, 3])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .with_strides([2, 2]),
            MaxPool2dConfig::new([2, 3]).with_padding(PaddingConfig2d::Same),
        ] {
            let (ours, burns) = (nn::MaxPool2d::new(&config), config.init());
            let what = format!("{config:?} of {shape:?}");
            let (found, expected) = (ours.forward(x.clone()), burns.forward(x.clone()));
            agree(found, expected, |a, b| same_gradient!(a, b, x, &what), &what);
        }
    }
}

#[test]
fn attention_agrees_with_burns_over_heads_lengths_and_masks() {
    for (batch, time, heads, width) in [(1, 1, 1, 1), (2, 5, 3, 4), (2, 33, 2, 32), (1, 130, 2, 17)] {
        for causal in [false, true] {
            let what = format!("{batch} of {time}, {heads} heads of {width}, causal: {causal}");
            let packed = numbers([batch, time, 3 * heads * width], 14);
            let split = packed.clone().reshape([batch, time, 3 * heads, width]).swap_dims(1, 2);
            let [q, k, v] = [0, 1, 2].map(|part| split.clone().narrow(1, part * heads, heads));
            let scores = q.matmul(k.swap_dims(2, 3)) / (width as f32).sqrt();
            let mask = Tensor::<2>::ones([time, time], &device()).triu(1) * if causal { -1e30 } else { 0.0 };
            let weights = activation::softmax(scores + mask.unsqueeze::<4>(), 3);
            let expected = weights.matmul(v).swap_dims(1, 2).reshape([batch, time, heads * width]);
            let found = nn::self_attention(packed.clone(), heads, causal);
            agree(found, expected, |a, b| same_gradient!(a, b, packed, &what), &what);
        }
    }
}

/// With gradient checkpointing, and in double precision, a layer runs burn's operations.
#[test]
fn where_the_fast_operations_do_not_run_burns_do() {
    let checkpointing = Device::flex().autodiff().gradient_checkpointing();
    let layer: nn::Linear = LinearConfig::new(5, 3).init(&checkpointing).into();
    let norm: nn::BatchNorm = BatchNormConfig::new(3).init(&checkpointing).into();
    let x = Tensor::<2>::ones([4, 5], &checkpointing);
    let loss = nn::gelu(norm.forward_relu(layer.forward(x))).sum();
    assert_eq!(layer.weight.val().grad(&loss.backward()).unwrap().dims(), [5, 3]);
    let x = numbers([2, 3, 4, 4], 15).cast(DType::F64);
    let [branch, past] = nn::fork(x.clone());
    let sum = nn::add(nn::relu(branch), past);
    close(
        sum.clone().cast(DType::F32),
        (activation::relu(x.clone()) + x).cast(DType::F32),
        1e-6,
        "relu and sum",
    );
    assert_eq!(nn::mean_of_pixels(sum).dtype(), DType::F64);
}

/// A tensor that is a view of another, in another order or a part of it, is read as what it is.
#[test]
fn views_are_read_in_their_own_order() {
    let whole = numbers([6, 4, 5], 16);
    // A graph serves one backward pass, so each side has its own.
    let part = || whole.clone().swap_dims(0, 2).narrow(1, 1, 2);
    let (found, expected) = (nn::gelu(part()), activation::gelu(part()));
    agree(found, expected, |a, b| same_gradient!(a, b, whole, "a view"), "a view");
    let (found, expected) = (nn::add(part(), part()), part() + part());
    agree(found, expected, |a, b| same_gradient!(a, b, whole, "a view, twice"), "a view, twice");
}

/// A model of ours and one of burn's read each other's records, and their parameters have the same paths.
#[test]
fn records_are_burns() {
    #[derive(Module, Debug)]
    struct Ours {
        conv: nn::Conv2d,
        norm: nn::BatchNorm,
        layer_norm: nn::LayerNorm,
        linear: nn::Linear,
        embedding: nn::Embedding,
        pool: nn::MaxPool2d,
    }
    #[derive(Module, Debug)]
    struct Burns {
        conv: burn::nn::conv::Conv2d,
        norm: burn::nn::BatchNorm,
        layer_norm: burn::nn::LayerNorm,
        linear: burn::nn::Linear,
        embedding: burn::nn::Embedding,
        pool: burn::nn::pool::MaxPool2d,
    }
    let device = Device::flex();
    let burns = Burns {
        conv: Conv2dConfig::new([2, 4], [3, 3]).init(&device),
        norm: BatchNormConfig::new(4).init(&device),
        layer_norm: LayerNormConfig::new(5).init(&device),
        linear: LinearConfig::new(5, 3).init(&device),
        embedding: EmbeddingConfig::new(7, 5).init(&device),
        pool: MaxPool2dConfig::new([2, 2]).init(),
    };
    let ours = Ours {
        conv: nn::Conv2d::new(&Conv2dConfig::new([2, 4], [3, 3]), &device),
        norm: nn::BatchNorm::new(&BatchNormConfig::new(4), &device),
        layer_norm: nn::LayerNorm::new(&LayerNormConfig::new(5), &device),
        linear: nn::Linear::new(&LinearConfig::new(5, 3), &device),
        embedding: nn::Embedding::new(&EmbeddingConfig::new(7, 5), &device),
        pool: nn::MaxPool2d::new(&MaxPool2dConfig::new([2, 2])),
    };
    let layout = |entries: Vec<fewbit_burn::layout::ParameterEntry>| -> Vec<_> {
        entries.into_iter().map(|entry| (entry.path, entry.shape, entry.orientation)).collect()
    };
    let of_ours = layout(fewbit_burn::layout::parameters(&ours).0);
    assert_eq!(of_ours, layout(fewbit_burn::layout::parameters(&burns).0));
    let ours = ours.try_load_record(burns.clone().into_record()).unwrap();
    assert_eq!(values(ours.linear.weight.val()), values(burns.linear.weight.val()));
    let burns = burns.try_load_record(ours.clone().into_record()).unwrap();
    assert_eq!(values(ours.conv.weight.val()), values(burns.conv.weight.val()));
}
