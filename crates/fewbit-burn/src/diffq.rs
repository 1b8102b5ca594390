//! The handle on an attached model: its quantized parameters, its mode and clock, its size.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use burn::module::{Module, ModuleVisitor, Param, ParamGroup, ParamId, Reparameterizer};
use burn::tensor::Tensor;

use crate::control::Control;
use crate::layout::PathTracker;
use crate::reparam::{Draw, PseudoQuantNoise};
use crate::site::Site;

/// What [`DiffQConfig::attach`](crate::DiffQConfig::attach) hands to burn.
pub(crate) struct Attach<'a> {
    by_path: HashMap<&'a str, &'a Quantized>,
    control: &'a Control,
    initial_logit: f32,
}

impl<'a> Attach<'a> {
    pub(crate) fn new(diffq: &'a DiffQ, initial_logit: f32) -> Self {
        let by_path = diffq.quantized.iter().map(|one| (one.site.path.as_str(), one)).collect();
        Self { by_path, control: &diffq.control, initial_logit }
    }
}

impl Reparameterizer for Attach<'_> {
    type Reparam = PseudoQuantNoise;

    fn reparameterize<const D: usize>(
        &mut self,
        path: &str,
        param: Param<Tensor<D>>,
    ) -> (Param<Tensor<D>>, Option<PseudoQuantNoise>) {
        let Some(Quantized { site, draw }) = self.by_path.get(path) else { return (param, None) };
        let logits = Tensor::full([site.grouping.count()], self.initial_logit, &param.lazy_device());
        let method = PseudoQuantNoise {
            logits: Param::from_tensor(logits),
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
pub struct DiffQ {
    quantized: Arc<Vec<Quantized>>,
    control: Control,
}

impl DiffQ {
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

    /// The parameters that hold bits, for an optimizer group of their own.
    pub fn logit_ids<M: Module>(&self, model: &M) -> HashSet<ParamId> {
        logits(model).into_iter().map(|(_, param)| param.id).collect()
    }

    /// The same as a group of burn's.
    pub fn logit_group<M: Module>(&self, model: &M) -> ParamGroup {
        ParamGroup::from_ids(self.logit_ids(model).into_iter().collect::<Vec<_>>())
    }
}

struct LogitVisitor {
    tracker: PathTracker,
    found: Vec<(String, Param<Tensor<1>>)>,
}

impl ModuleVisitor for LogitVisitor {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.tracker.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.tracker.exit(container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let path = self.tracker.path();
        if let Some(owner) = path.strip_suffix(".diffq.logits")
            && self.tracker.inside_reparameterization()
            && let Some(param) = (param as &dyn std::any::Any).downcast_ref::<Param<Tensor<1>>>()
        {
            self.found.push((owner.to_owned(), param.clone()));
        }
    }
}

/// The logits of each quantized parameter by its path.
pub(crate) fn logits<M: Module>(model: &M) -> Vec<(String, Param<Tensor<1>>)> {
    let mut visitor = LogitVisitor { tracker: PathTracker::default(), found: Vec::new() };
    model.visit(&mut visitor);
    visitor.found
}
