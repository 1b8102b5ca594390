//! The networks compute what PyTorch computes with the same weights, read by name from a checkpoint of its layout.

mod reference;

use burn::tensor::{Device, Tensor, TensorData};
use fewbit::StoredModel;
use fewbit_burn::StoredModelExt;
use fewbit_zoo::models::{
    ByteLanguageModel, ImageClassifier, ModelConfig, NetworkVisitor, Separator, WordLanguageModel, WordScores,
};
use reference::{Fixture, numbers};

/// What a network makes of a fixture's input.
struct Forward<'f>(&'f Fixture, StoredModel);

impl NetworkVisitor for Forward<'_> {
    type Output = (Vec<usize>, Vec<f32>);

    fn images<M: ImageClassifier>(self, build: impl Fn(&Device) -> M) -> Self::Output {
        let Self(fixture, weights) = self;
        let device = Device::flex();
        let network = weights.load_into(build(&device)).unwrap();
        let shape: [usize; 4] = fixture.input.clone().try_into().unwrap();
        let pixels: Vec<f32> =
            numbers("input", shape.iter().product()).into_iter().map(|u| u as f32).collect();
        let logits = network.logits(Tensor::from_data(TensorData::new(pixels, shape), &device));
        (logits.dims().to_vec(), logits.into_data().try_to_vec().unwrap())
    }

    fn bytes<M: ByteLanguageModel>(self, _: impl Fn(&Device) -> M) -> Self::Output {
        unreachable!("no fixture is of bytes")
    }

    fn words<M: WordLanguageModel>(self, build: impl Fn(&Device) -> M) -> Self::Output {
        let Self(fixture, weights) = self;
        let device = Device::flex();
        let network = weights.load_into(build(&device)).unwrap();
        let nats = network.scores(&fixture.tokens, &device).nats(&fixture.targets.concat());
        (fixture.output.clone(), nats.into_data().try_to_vec().unwrap())
    }

    fn mixtures<M: Separator>(self, build: impl Fn(&Device) -> M) -> Self::Output {
        let Self(fixture, weights) = self;
        let device = Device::flex();
        let network = weights.load_into(build(&device)).unwrap();
        let shape: [usize; 3] = fixture.input.clone().try_into().unwrap();
        let samples: Vec<f32> =
            numbers("input", shape.iter().product()).into_iter().map(|u| u as f32).collect();
        let sources = network.separate(Tensor::from_data(TensorData::new(samples, shape), &device));
        (sources.dims().to_vec(), sources.into_data().try_to_vec().unwrap())
    }
}

fn agrees(name: &str) {
    let fixture = Fixture::read(name);
    let model = ModelConfig::parse(&fixture.model).unwrap();
    let (shape, logits) = model.accept(Forward(&fixture, fixture.weights()));
    fixture.compare(&shape, &logits);
}

macro_rules! agree {
    ($($test:ident: $name:literal,)*) => { $(#[test] fn $test() { agrees($name); })* };
}

agree! {
    resnet_20: "resnet20",
    resnet_8_with_projections: "resnet8-projection",
    basic_resnet: "basic-resnet",
    wide_resnet: "wide-resnet",
    mobilenet: "mobilenet",
    ds_cnn: "ds-cnn",
    vision_transformer: "vision-transformer",
    deit: "deit",
    adaptive_transformer: "adaptive-transformer",
    demucs: "demucs",
    demucs_that_resamples: "demucs-resampled",
}
