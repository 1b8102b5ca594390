use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::Int;

use super::config::BandSize;
use super::*;
use crate::models::NetworkConfig;
use crate::models::network::Settings;

/// Twelve words in bands of 4, 3 and 5, which are 8, 4 and 2 wide.
fn small() -> AdaptiveTransformerConfig {
    AdaptiveTransformerConfig {
        vocabulary: 12,
        cutoffs: vec![4, 7],
        factor: 2,
        dim: 8,
        layers: 2,
        heads: 2,
        ffn: 24,
        ..Default::default()
    }
}

/// The network of the Wikitext-103 runs, with the sizes of Baevski & Auli 2019, section 4, as fairseq's
/// `transformer_lm_wiki103` has them, without a last norm. The set has 267,735 words; with four marks of its own fairseq
/// goes up to the next multiple of eight.
fn published() -> AdaptiveTransformerConfig {
    AdaptiveTransformerConfig {
        vocabulary: 267_744,
        cutoffs: vec![20_000, 60_000],
        factor: 4,
        dim: 1024,
        layers: 16,
        heads: 8,
        ffn: 4096,
        final_norm: false,
        ..Default::default()
    }
}

fn log_probabilities(model: &AdaptiveTransformer, words: &[Vec<u32>], device: &Device) -> Tensor<2> {
    model.words.log_probabilities(model.states(words, device))
}

fn values(tensor: Tensor<1>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().unwrap()
}

/// Words 20,000·1024 + 40,000·256 + 207,744·64 = 44,015,616; projections (1024 + 256 + 64)·1024 = 1,376,256; entries of
/// two bands 2·1024 = 2,048; per layer 4·1024² + 2·1024·4096 weights, (3 + 1 + 4 + 1)·1024 biases and 4·1024 in norms,
/// 12,596,224. PyTorch counts the same (`fixtures/models/adaptive_transformer.py`), and the sum is 942 MiB, the size of
/// the float network in the tables of Défossez et al. 2022 and Fan et al. 2021.
#[test]
fn the_published_network_has_its_published_size() {
    let config = published();
    config.validate_together("").unwrap();
    assert_eq!(config.values(), 44_015_616 + 1_376_256 + 2_048 + 16 * 12_596_224);
    assert_eq!(config.values(), 246_933_504);
    assert_eq!((config.values() as f64 * 4.0 / f64::from(1 << 20)).round(), 942.0);
}

/// Words 4·8 + 3·4 + 5·2 = 54, projections (8 + 4 + 2)·8 = 112, two entries 16; per layer 3·8² + 8² + 2·8·24 = 640
/// weights, 24 + 8 + 24 + 8 biases and 32 in norms: 736; the last norm 16.
#[test]
fn small_networks_have_the_values_worked_out_by_hand() {
    let config = small();
    assert_eq!(config.values(), 54 + 112 + 16 + 2 * 736 + 16);
    assert_eq!(config.init(&Device::default()).num_params() as u64, config.values());
    // One band of 12·8, its projection, no entries and no last norm.
    let plain = AdaptiveTransformerConfig { cutoffs: Vec::new(), final_norm: false, ..config };
    assert_eq!(plain.values(), 96 + 64 + 2 * 736);
    assert_eq!(plain.init(&Device::default()).num_params() as u64, plain.values());
}

#[test]
fn bands_lie_between_the_cut_offs() {
    let size = |words, width| BandSize { words, width };
    assert_eq!(small().bands(), [size(4, 8), size(3, 4), size(5, 2)]);
    assert_eq!(published().bands(), [size(20_000, 1024), size(40_000, 256), size(207_744, 64)]);
}

#[test]
fn settings_that_do_not_fit_are_refused_with_their_key() {
    for (config, part) in [
        (AdaptiveTransformerConfig { cutoffs: vec![7, 4], ..small() }, "`model.cutoffs` is [7, 4]"),
        (AdaptiveTransformerConfig { cutoffs: vec![4, 4], ..small() }, "ascending numbers below"),
        (AdaptiveTransformerConfig { cutoffs: vec![12], ..small() }, "`model.vocabulary`, 12"),
        (AdaptiveTransformerConfig { factor: 3, ..small() }, "whose power 2"),
        (AdaptiveTransformerConfig { heads: 3, ..small() }, "a divisor of"),
    ] {
        let error = config.validate_together("model").unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

/// Sums of 12 chances in float32 stray by a few units in the last place.
#[test]
fn the_chances_of_all_words_sum_to_one() {
    let device = Device::default();
    device.seed(0);
    for cutoffs in [vec![4, 7], vec![5], Vec::new()] {
        let model = AdaptiveTransformerConfig { cutoffs, ..small() }.init(&device);
        let log = log_probabilities(&model, &[vec![0, 5, 11], vec![3, 3, 6]], &device);
        assert_eq!(log.dims(), [6, 12]);
        for sum in values(log.exp().sum_dim(1).squeeze_dim(1)) {
            assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        }
    }
}

#[test]
fn nats_are_those_of_the_chances_in_whichever_band_the_target_is() {
    let device = Device::default();
    device.seed(0);
    let model = small().init(&device);
    let [up, down]: [Vec<u32>; 2] = [(0..12).collect(), (0..12).rev().collect()];
    let words = [up.clone(), down.clone()];
    // The first targets visit every band, the second the middle one only.
    for targets in [[down, up], [vec![4; 12], vec![6; 12]]] {
        let picked: Vec<i32> = targets.concat().iter().map(|&word| word as i32).collect();
        let picked = Tensor::<1, Int>::from_ints(picked.as_slice(), &device).unsqueeze_dim(1);
        let log = log_probabilities(&model, &words, &device).gather(1, picked);
        let expected = values(log.squeeze_dim::<1>(1).neg());
        let found = values(model.scores(&words, &device).nats(&targets.concat()));
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-5, "{found}, {expected}");
        }
        assert_eq!(found.len(), 24);
    }
}

/// The loss and all gradients are those of the chances of all twelve words.
#[test]
fn distilled_nats_are_those_of_the_chances_of_all_words() {
    let (plain, device) = (Device::flex(), Device::flex().autodiff());
    plain.seed(3);
    let words = [vec![0, 5, 11, 2, 7], vec![3, 3, 6, 10, 1]];
    let targets = [vec![5, 11, 2, 7, 8], vec![3, 6, 10, 1, 9]];
    let picked: Vec<i32> = targets.concat().iter().map(|&word: &u32| word as i32).collect();
    let picked = Tensor::<1, Int>::from_ints(picked.as_slice(), &device);
    for cutoffs in [vec![4, 7], vec![5], Vec::new()] {
        let config = AdaptiveTransformerConfig { cutoffs, dropout: 0.0, ..small() };
        let model = config.init(&device);
        for share in [0.0, 0.4, 1.0] {
            let teacher = config.init(&plain);
            let taught = teacher.scores(&words, &plain);
            let found = model.scores(&words, &device).distilled_nats(&targets.concat(), &taught, share);
            let predicted = Tensor::from_inner(log_probabilities(&teacher, &words, &plain));
            let log = log_probabilities(&model, &words, &device);
            let soft = (predicted.exp() * log.clone()).sum_dim(1).mean().neg();
            let hard = log.gather(1, picked.clone().unsqueeze_dim(1)).mean().neg();
            let expected = soft * share + hard * (1.0 - share);
            let (loss, exact) = (values(found.clone())[0], values(expected.clone())[0]);
            assert!((loss - exact).abs() < 1e-5 * exact, "{share}: {loss}, {exact}");
            let (found, expected) = (found.backward(), expected.backward());
            for weight in model.words.bands.iter().map(|band| band.embedding.weight.val()) {
                let [found, expected] = [&found, &expected]
                    .map(|gradients| values(weight.grad(gradients).unwrap().flatten(0, 1)));
                for (found, expected) in found.iter().zip(&expected) {
                    assert!((found - expected).abs() < 1e-5, "{share}: {found}, {expected}");
                }
            }
        }
    }
}

/// Whichever the band of a word, its vector is its row times the projection.
#[test]
fn a_vector_is_a_row_of_its_band_projected() {
    let device = Device::default();
    device.seed(0);
    let words = small().init(&device).words;
    let all = words.vectors(&(0..12).collect::<Vec<u32>>(), &device);
    let bands =
        words.bands.iter().map(|band| band.embedding.weight.val().matmul(band.projection.weight.val()));
    let expected = values(Tensor::<2>::cat(bands.collect(), 0).flatten(0, 1));
    for (found, expected) in values(all.flatten(0, 1)).iter().zip(&expected) {
        assert!((found - expected).abs() < 1e-5, "{found}, {expected}");
    }
}

#[test]
fn a_later_word_does_not_change_an_earlier_loss() {
    let device = Device::default();
    device.seed(0);
    let model = small().init(&device);
    let nats = |last: u32| values(model.scores(&[vec![5, 0, 7, last]], &device).nats(&[0, 7, 9, 1]));
    let (one, other) = (nats(2), nats(11));
    assert_eq!(one[..3], other[..3]);
    assert_ne!(one[3], other[3]);
}

#[test]
#[should_panic(expected = "word 12 found, words below 12 needed")]
fn a_word_outside_of_the_vocabulary_is_refused() {
    let device = Device::default();
    small().init(&device).states(&[vec![12]], &device);
}

/// With a chance of 0.9 a step leaves both layers out with one of 0.81: 64 steps that all keep one are as good as
/// impossible, 0.19^64.
#[test]
fn layers_are_left_out_in_training_only() {
    let device = Device::default();
    device.seed(0);
    let config = AdaptiveTransformerConfig { layer_drop: 0.9, ..small() };
    let model = config.init(&device);
    assert_eq!(model.kept_layers(&device), [true, true]);
    let training = device.autodiff();
    let model = config.init(&training);
    let kept: Vec<Vec<bool>> = (0..64).map(|_| model.kept_layers(&training)).collect();
    assert!(kept.contains(&vec![false, false]));
    assert!(kept.iter().flatten().any(|kept| *kept), "0.9^128 for none");
}

/// As for the other networks: Adam at rate 0.01 halves the loss of four sequences, which have words of every band.
#[test]
fn a_step_down_the_gradient_lowers_the_loss() {
    let device = Device::default().autodiff();
    device.seed(0);
    let mut model = small().init(&device);
    let words: Vec<Vec<u32>> =
        (0..4u32).map(|row| (0..12).map(|i| (row * 5 + i * 7) % 12).collect()).collect();
    let mut optimizer = AdamConfig::new().init();
    let loss = |model: &AdaptiveTransformer| model.scores(&words, &device).nats(&words.concat()).mean();
    let first: f32 = loss(&model).into_scalar();
    for _ in 0..80 {
        let gradients = GradientsParams::from_grads(loss(&model).backward(), &model);
        model = optimizer.step(0.01, model, gradients);
    }
    let last: f32 = loss(&model).into_scalar();
    assert!(last < 0.5 * first, "loss {first} before, {last} after");
}
