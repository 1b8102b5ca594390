//! What the images of a batch are, and the loss of what a network says they are.

use burn::tensor::{Int, Tensor, TensorData};
use fewbit_burn::nn::{cross_entropy, distilled_cross_entropy};

/// The classes of a batch of images.
#[derive(Clone, Debug)]
pub(super) struct Labels {
    /// Of each image.
    pub(super) classes: Vec<i64>,
    /// Where each image is mixed with the one that is as far from the batch's end as it is from its start: how much of
    /// it is its own.
    pub(super) own_share: Option<f64>,
    /// The share of each label that is spread over all classes.
    pub(super) smoothing: f64,
}

impl Labels {
    /// The mean cross entropy in nats of logits `[images, classes]`: shape `[1]`.
    pub(super) fn loss(&self, logits: Tensor<2>) -> Tensor<1> {
        let Some(share) = self.own_share else { return self.loss_of(&self.classes, logits) };
        let partners: Vec<i64> = self.classes.iter().rev().copied().collect();
        let own = self.loss_of(&self.classes, logits.clone());
        own * share + self.loss_of(&partners, logits) * (1.0 - share)
    }

    /// As [`loss`](Self::loss), where a `share` is against the distribution that `predicted` logits stand for.
    pub(super) fn distilled_loss(&self, logits: Tensor<2>, predicted: Tensor<2>, share: f64) -> Tensor<1> {
        let classes = classes(&self.classes, &logits);
        if self.own_share.is_none() && self.smoothing == 0.0 {
            return distilled_cross_entropy(logits, classes, predicted, share);
        }
        let soft = distilled_cross_entropy(logits.clone(), classes, predicted, 1.0);
        if share >= 1.0 { soft } else { soft * share + self.loss(logits) * (1.0 - share) }
    }

    fn loss_of(&self, labels: &[i64], logits: Tensor<2>) -> Tensor<1> {
        let labels = classes(labels, &logits);
        if self.smoothing == 0.0 {
            return cross_entropy(logits, labels);
        }
        // Equal logits are equal chances.
        let even = logits.clone().detach() * 0.0;
        distilled_cross_entropy(logits, labels, even, self.smoothing)
    }
}

/// Classes where `logits` are.
fn classes(labels: &[i64], logits: &Tensor<2>) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(labels.to_vec(), [labels.len()]), &logits.device())
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    /// Two images of three classes, whose chances are 1/2, 1/4, 1/4 and 1/8, 3/4, 1/8.
    fn logits() -> Tensor<2> {
        let logits = [[0.5f32, 0.25, 0.25], [0.125, 0.75, 0.125]].map(|row| row.map(f32::ln));
        Tensor::from_floats(logits, &Device::flex())
    }

    fn labels(own_share: Option<f64>, smoothing: f64) -> Labels {
        Labels { classes: vec![0, 1], own_share, smoothing }
    }

    fn number(loss: Tensor<1>) -> f64 {
        f64::from(loss.into_scalar::<f32>())
    }

    const LN2: f64 = std::f64::consts::LN_2;

    /// −ln of 1/2 and 3/4, and of what the partners are, 1/4 and 1/8.
    #[test]
    fn mixed_images_are_of_two_classes() {
        let (own, partners) = ((LN2 - 0.75f64.ln()) / 2.0, 5.0 * LN2 / 2.0);
        assert!((number(labels(None, 0.0).loss(logits())) - own).abs() < 1e-6);
        let mixed = number(labels(Some(0.7), 0.0).loss(logits()));
        assert!((mixed - (0.7 * own + 0.3 * partners)).abs() < 1e-6, "{mixed}");
    }

    /// The mean of −ln over all classes is (1 + 2 + 2) ln 2 / 3 for the first image and (6 ln 2 − ln 3/4) / 3 for the second.
    #[test]
    fn a_smoothed_label_is_partly_every_class() {
        let own = (LN2 - 0.75f64.ln()) / 2.0;
        let even = (5.0 * LN2 / 3.0 + (6.0 * LN2 - 0.75f64.ln()) / 3.0) / 2.0;
        let found = number(labels(None, 0.1).loss(logits()));
        assert!((found - (0.9 * own + 0.1 * even)).abs() < 1e-6, "{found}");
    }

    #[test]
    fn a_teacher_has_its_share_of_any_labels() {
        let predicted = || Tensor::from_floats([[0.0f32, 0.0, 1.0], [3.0, 0.0, 0.0]], &Device::flex());
        let soft = number(labels(None, 0.0).distilled_loss(logits(), predicted(), 1.0));
        for (own_share, smoothing) in [(None, 0.0), (Some(0.7), 0.0), (None, 0.1), (Some(0.4), 0.2)] {
            let hard = number(labels(own_share, smoothing).loss(logits()));
            for share in [0.0, 0.3, 1.0] {
                let found = number(labels(own_share, smoothing).distilled_loss(logits(), predicted(), share));
                assert!((found - (share * soft + (1.0 - share) * hard)).abs() < 1e-5, "{share}: {found}");
            }
        }
    }
}
