//! The handle on an attached model: its quantized parameters, its mode and clock, its size.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use burn::module::{Module, Param, ParamGroup, ParamId, Reparameterizer};
use burn::tensor::{Tensor, TensorData};

use crate::control::Control;
use crate::layout::{ParameterVisitor, visit_parameters};
use crate::reparam::{Draw, WeightQuantizer};
use crate::site::Site;

/// What [`QuantizationConfig::attach`](crate::QuantizationConfig::attach) hands to burn.
pub(crate) struct Attach<'a> {
    by_path: HashMap<&'a str, &'a Quantized>,
    control: &'a Control,
    initial: HashMap<String, Vec<f32>>,
}

impl<'a> Attach<'a> {
    /// `initial` is what each quantized parameter learns, as it starts out, by its path.
    pub(crate) fn new(quantizer: &'a Quantizer, initial: HashMap<String, Vec<f32>>) -> Self {
        let by_path = quantizer.quantized.iter().map(|one| (one.site.path.as_str(), one)).collect();
        Self { by_path, control: &quantizer.control, initial }
    }
}

impl Reparameterizer for Attach<'_> {
    type Reparam = WeightQuantizer;

    fn reparameterize<const D: usize>(
        &mut self,
        path: &str,
        param: Param<Tensor<D>>,
    ) -> (Param<Tensor<D>>, Option<WeightQuantizer>) {
        let Some(Quantized { site, draw }) = self.by_path.get(path) else { return (param, None) };
        let learned = self.initial.remove(path).unwrap_or_default();
        let learned = TensorData::new(learned, [site.grouping.count()]);
        let method = WeightQuantizer {
            learned: Param::from_tensor(Tensor::from_data(learned, &param.lazy_device())),
            site: site.clone(),
            control: self.control.clone(),
            draw: draw.clone(),
        };
        (param, Some(method))
    }
}

#[derive(Debug)]
struct Quantized {
    site: Arc<Site>,
    draw: Draw,
}

/// Drives the quantized parameters of one model; clones share their state.
#[derive(Clone, Debug)]
pub struct Quantizer {
    quantized: Arc<Vec<Quantized>>,
    control: Control,
}

impl Quantizer {
    pub(crate) fn new(sites: Vec<Arc<Site>>, control: Control) -> Self {
        let quantized = sites.into_iter().map(|site| Quantized { site, draw: Draw::default() }).collect();
        Self { quantized: Arc::new(quantized), control }
    }

    /// The quantized parameters, in the order of the model's traversal.
    pub fn sites(&self) -> impl ExactSizeIterator<Item = &Site> {
        self.quantized.iter().map(|one| one.site.as_ref())
    }

    /// The quantized parameter at `path`, if it is one.
    pub fn site(&self, path: &str) -> Option<&Site> {
        self.sites().find(|site| site.path == path)
    }

    /// The mode and the noise clock.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Call once after each optimizer step: the next read draws fresh noise, and the graph of the
    /// step is released.
    pub fn advance(&self) {
        self.control.advance();
        self.quantized.iter().for_each(|one| one.draw.forget());
    }

    /// The parameters that hold what is learned about precision, for an optimizer group of their own.
    pub fn learned_ids<M: Module>(&self, model: &M) -> HashSet<ParamId> {
        learned(model).into_iter().map(|(_, param)| param.id).collect()
    }

    /// The same as a group of burn's.
    pub fn learned_group<M: Module>(&self, model: &M) -> ParamGroup {
        ParamGroup::from_ids(self.learned_ids(model).into_iter().collect::<Vec<_>>())
    }
}

struct LearnedVisitor(Vec<(String, Param<Tensor<1>>)>);

impl ParameterVisitor for LearnedVisitor {
    fn parameter<const D: usize>(&mut self, path: String, is_of_method: bool, param: &Param<Tensor<D>>) {
        if let Some(owner) = path.strip_suffix(".quantizer.learned")
            && is_of_method
            && let Some(param) = (param as &dyn std::any::Any).downcast_ref::<Param<Tensor<1>>>()
        {
            self.0.push((owner.to_owned(), param.clone()));
        }
    }
}

/// What each quantized parameter learns, by its path.
pub(crate) fn learned<M: Module>(model: &M) -> Vec<(String, Param<Tensor<1>>)> {
    let mut visitor = LearnedVisitor(Vec::new());
    visit_parameters(model, &mut visitor);
    visitor.0
}
