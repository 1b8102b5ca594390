//! The size penalty: λ times the differentiable size of the model in MiB.
//!
//! Défossez et al. 2022, section 3: `M(b)` counts `len·b` bits for the codes of each group; ranges,
//! widths and the unquantized rest are constants of the same sum, see [`mod@fewbit::size`].

use burn::backend::flex::FlexTensor;
use burn::module::Module;
use burn::tensor::{Shape, Tensor};
use fewbit::BitWidth;
use fewbit::size::BITS_PER_MEBIBYTE;
use fewbit_kernels::GroupLayout;

use crate::coded::{CodedSize, coded_size};
use crate::layout::parameters;
use crate::noise;
use crate::operation::buffers::{self, values as numbers};
use crate::operation::{Operation, apply, runs_on};
use crate::quantizer::{Quantizer, learned};
use crate::reparam::values;
use crate::site::{Scheme, Site};

/// Sums are cut in pieces of this many groups: burn's `sum` of 4 Mi elements or more may add in an
/// order that depends on the machine's load.
const GROUPS_PER_SUM: usize = 1 << 20;

/// λ and the size it weighs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SizePenalty {
    /// Weight of one MiB in the loss.
    pub lambda: f64,
}

impl SizePenalty {
    /// λ times the bits of the codes in MiB, differentiable in what is learned: shape `[1]`. `None` where
    /// λ is 0 or nothing has a size that is learned.
    pub fn loss<M: Module>(&self, model: &M, quantizer: &Quantizer) -> Option<Tensor<1>> {
        if self.lambda == 0.0 {
            return None;
        }
        Some(model_bits(model, quantizer)?.term * (self.lambda / BITS_PER_MEBIBYTE))
    }
}

/// The bits of a model's codes as training sees them: of DiffQ nominal, of learned steps coded.
pub(crate) fn model_bits<M: Module>(model: &M, quantizer: &Quantizer) -> Option<CodedSize> {
    if let Some(CodedSize { term, bits }) = coded_size(model, quantizer) {
        let value = term.clone().detach() - bits;
        return Some(CodedSize { term: term - value, bits });
    }
    let term = learned(model)
        .into_iter()
        .filter_map(|(path, param)| {
            let site = quantizer.site(&path)?;
            matches!(site.scheme, Scheme::Bits { .. }).then(|| code_bits(param.val(), site))
        })
        .reduce(|sum, bits| sum + bits)?;
    let bits = term.clone().detach().into_scalar();
    Some(CodedSize { term, bits })
}

/// The soft size of the codes of one parameter in bits: `Σ len_k·b_k`, shape `[1]`.
fn code_bits(logits: Tensor<1>, site: &Site) -> Tensor<1> {
    match (site.group_layout(), &site.scheme) {
        (Some(layout), Scheme::Bits { kernel_law, .. }) if runs_on(&logits) => {
            let codes = CodeBits { law: *kernel_law, layout, len: site.grouping.len() };
            apply(codes, [logits.into()])
        }
        _ => code_bits_by_tensors(logits, site),
    }
}

/// The sum and its derivative in one pass over the logits.
#[derive(Clone, Debug)]
struct CodeBits {
    law: fewbit_kernels::BitsLaw,
    layout: GroupLayout,
    len: usize,
}

impl Operation<1> for CodeBits {
    /// The derivative in each logit.
    type Kept = FlexTensor;

    fn forward(&self, [logits]: [FlexTensor; 1], _: bool) -> (FlexTensor, Option<FlexTensor>) {
        let mut gradient = buffers::take(numbers(&logits).len());
        let bits =
            fewbit_kernels::code_bits(numbers(&logits), &self.law, self.layout, self.len, 1.0, &mut gradient);
        let gradient = buffers::tensor(gradient, logits.layout().shape().clone());
        (buffers::tensor(vec![bits as f32], Shape::from([1])), Some(gradient))
    }

    fn backward(&self, mut kept: FlexTensor, gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let factor = numbers(&gradient)[0];
        kept.storage_mut::<f32>().iter_mut().for_each(|slope| *slope *= factor);
        [Some(kept)]
    }
}

/// The same as [`code_bits`] by plain tensor operations, for every other backend.
fn code_bits_by_tensors(logits: Tensor<1>, site: &Site) -> Tensor<1> {
    let Scheme::Bits { law, .. } = &site.scheme else { return Tensor::zeros([1], &logits.device()) };
    let bits = noise::bits(logits, law);
    let groups = site.grouping.count();
    let full = site.grouping.len() / site.grouping.size().max(1);
    let mut sum = None;
    let mut add = |part: Tensor<1>| {
        sum = Some(match sum.take() {
            None => part,
            Some(sum) => sum + part,
        })
    };
    let mut start = 0;
    while start < full {
        let end = full.min(start + GROUPS_PER_SUM);
        add(bits.clone().narrow(0, start, end - start).sum() * site.grouping.size() as f64);
        start = end;
    }
    if full < groups {
        add(bits.narrow(0, full, groups - full).sum() * site.grouping.group_len(full) as f64);
    }
    sum.unwrap_or_else(|| panic!("`{}` has no group", site.path))
}

/// The soft size of the whole model in bits: real-valued bits, by the formula of the exact size.
/// `None` where a logit is not finite, or what is learned are not bits.
pub fn soft_size<M: Module>(model: &M, diffq: &Quantizer) -> Option<f64> {
    let (mut bits, mut quantized) = (0.0, 0);
    for (path, param) in learned(model) {
        let site = diffq.site(&path)?;
        let logits = values(&param.base().detach())?;
        let Scheme::Bits { law, .. } = &site.scheme else { return None };
        let group_bits: Vec<f32> = logits.iter().map(|&logit| law.bits(logit)).collect();
        if !group_bits.iter().all(|b| b.is_finite()) {
            return None;
        }
        // The floor is the whole number that the fewest bits round to.
        let floor = BitWidth::from_bits(law.minimum())?;
        bits += fewbit::soft_size(site.grouping, &group_bits, floor);
        quantized += site.grouping.len();
    }
    let all: usize = parameters(model).0.iter().map(|entry| entry.len()).sum();
    Some(bits + 32.0 * (all - quantized) as f64)
}

#[cfg(test)]
mod tests {
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::Device;

    use super::*;
    use crate::config::QuantizationConfig;

    /// A weight of 7 by 9, stored as `[9, 7]`: a ragged last group in either order.
    #[test]
    fn the_sum_in_one_pass_and_its_gradient_are_those_of_plain_tensors() {
        let config = QuantizationConfig { min_tensor_size: 0, ..QuantizationConfig::diffq(8) };
        let model: Linear = LinearConfig::new(7, 9).init(&Device::flex().autodiff());
        let (model, diffq) = config.attach(model, 1).unwrap();
        for (path, param) in learned(&model) {
            let site = diffq.site(&path).unwrap();
            let groups = param.val().dims()[0];
            let spread: Vec<f32> = (0..groups).map(|group| group as f32 - 2.5).collect();
            let leaf = Tensor::<1>::from_floats(spread.as_slice(), &Device::flex().autodiff()).require_grad();
            let (fused, plain) = (code_bits(leaf.clone(), site), code_bits_by_tensors(leaf.clone(), site));
            let [found, expected] =
                [fused.clone(), plain.clone()].map(|sum| -> f32 { sum.detach().into_scalar() });
            assert!((found - expected).abs() < 1e-5 * expected, "{path}: {found}, {expected}");
            let slopes = |sum: Tensor<1>| values(&leaf.grad(&(sum * 3.0).backward()).unwrap()).unwrap();
            for (found, expected) in slopes(fused).iter().zip(slopes(plain)) {
                assert!((found - expected).abs() < 1e-4, "{path}: {found}, {expected}");
            }
        }
    }
}
