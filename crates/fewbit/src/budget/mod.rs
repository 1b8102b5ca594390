//! A byte budget for a training loop of any framework.
//!
//! A [`Budget`] drives a loop over slices: from the float tensors of a network and the number of steps it says where
//! learned scales start; for each step the weight λ of the size penalty, the learning rate of the scales and whether
//! weights get noise or are rounded; now and then it measures the file that the network would have; and at the end it
//! makes the largest file within the budget. The loop does this:
//!
//! ```text
//! learned = budget.start(snapshot)                  learned numbers of each quantized tensor
//! for each step:
//!     plan = budget.plan()                          phase, λ, rate of the scales
//!     if plan.measures: budget.measure(snapshot)
//!     loss = task loss + λ · size                   weights as `Method::noisy` or `Method::rounded` gives them
//!     the user's optimizer moves the weights, an Adam with `plan.scale_rate` the learned numbers
//!     coarsen(learned, budget.observe(bits, slopes))
//! file = budget.finish(snapshot)                    at most `bytes` bytes
//! ```
//!
//! Its state can be serialized at any point: a loop that goes on with it makes the same decisions, bit for bit.

mod controller;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use self::controller::SizeController;
use crate::compress::{CompressError, CompressOptions, MemorySource, SourceTensor, Treatment, compress};
use crate::method::{Coarseness, Method, Phase};
use crate::model::{ExportError, FloatStorage, Snapshot, StoredModel, StoredTensor};
use crate::search::{Place, Search, Trial};
use crate::{ContainerWriter, WriteError};

/// The first file has this many times the budget.
const START: f64 = 1.5;

/// A file with this share of its budget ends the last search.
const GOOD: f64 = 0.9995;

/// The most that a last file can be finer or coarser than trained, in bits per weight: no level is left of the largest
/// that there is, which needs 8 bits.
const MAX_COARSER: f64 = 8.0;

/// What a file holds beside the codes, and how its tensors become codes.
#[derive(Clone, Debug)]
pub struct FileSettings<'m> {
    /// How tensors are quantized.
    pub method: &'m dyn Method,
    /// How the other tensors are stored.
    pub storage: FloatStorage,
    /// The ε of batch norms that may be folded; `None` where there are none.
    pub batch_norm_epsilon: Option<f64>,
    /// Metadata.
    pub metadata: BTreeMap<String, String>,
}

impl FileSettings<'_> {
    /// The network as its file holds it: batch norms folded, floats rounded, metadata added.
    pub fn in_storage(&self, stored: StoredModel) -> StoredModel {
        let mut stored = stored.with_floats_stored(self.storage, self.batch_norm_epsilon);
        stored.metadata.extend(self.metadata.clone());
        stored
    }
}

/// What the coming step does.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct StepPlan {
    /// Whether weights get noise or are rounded.
    pub phase: Phase,
    /// λ: what the size in MiB is multiplied with in the loss.
    pub lambda: f64,
    /// The learning rate of an Adam that moves the learned numbers.
    pub scale_rate: f64,
    /// Whether [`Budget::measure`] is called before the step.
    pub measures: bool,
}

/// What a step has shown. Slopes are sums of derivatives in all learned numbers, in the direction in which these become
/// coarser.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Observation {
    /// The size that the penalty counted, in bits.
    pub bits: f64,
    /// Its slope, below 0.
    pub bits_slope: f64,
    /// The slope of the task loss, without the penalty.
    pub loss_slope: f64,
}

/// Why a budget cannot be kept, or not by these tensors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BudgetError {
    /// There is nothing to learn in.
    #[error("a budget needs at least one quantized step, found 0")]
    NoSteps,
    /// Even without a bit for any weight the file is larger.
    #[error(
        "a budget of {budget} bytes is too small: without any quantized weight the file has {minimum} bytes"
    )]
    TooSmall {
        /// What was asked for.
        budget: u64,
        /// The smallest file.
        minimum: u64,
    },
    /// A method whose bit width decides the size.
    #[error("method `{method}` cannot keep a budget: its bit width decides the size of the file")]
    NotSized {
        /// The method.
        method: &'static str,
    },
    /// A tensor that is no longer there, or no longer has its learned numbers.
    #[error("tensor `{name}` was quantized when the budget started, and is {found} now")]
    Gone {
        /// The tensor.
        name: String,
        /// `missing` or `float`.
        found: &'static str,
    },
    /// A tensor that has another shape than before.
    #[error("tensor `{name}` has shape {found:?}; it had {expected:?} when the budget started")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape now.
        found: Vec<usize>,
        /// Its shape then.
        expected: Vec<usize>,
    },
    /// A tensor that no file can hold.
    #[error(transparent)]
    Export(#[from] ExportError),
}

impl From<WriteError> for BudgetError {
    fn from(error: WriteError) -> Self {
        Self::Export(error.into())
    }
}

/// A byte budget, and what follows from it at each step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    bytes: u64,
    steps: u64,
    step: u64,
    /// λ, where it is not left to the steps.
    penalty: Option<f64>,
    /// The rate of the scales, where it is not left to the number of steps.
    scale_rate: Option<f64>,
    controller: Option<SizeController>,
    /// The shapes of the quantized tensors.
    shapes: BTreeMap<String, Vec<usize>>,
}

impl Budget {
    /// A budget of `bytes` bytes for a file, everything included, kept in `steps` quantized steps.
    ///
    /// # Errors
    /// [`BudgetError::NoSteps`].
    pub fn new(bytes: u64, steps: u64) -> Result<Self, BudgetError> {
        if steps == 0 {
            return Err(BudgetError::NoSteps);
        }
        let shapes = BTreeMap::new();
        Ok(Self { bytes, steps, step: 0, penalty: None, scale_rate: None, controller: None, shapes })
    }

    /// Sets λ; by default it follows from the slopes of loss and size in each step.
    #[must_use]
    pub fn with_penalty(mut self, lambda: Option<f64>) -> Self {
        self.penalty = lambda;
        self
    }

    /// Sets the learning rate of the scales at the first step; by default it follows from the number of steps.
    #[must_use]
    pub fn with_scale_rate(mut self, rate: Option<f64>) -> Self {
        self.scale_rate = rate;
        self
    }

    /// The budget in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Steps observed so far.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The estimated bytes of the file; `None` before the start.
    pub fn estimated_bytes(&self) -> Option<f64> {
        self.controller.as_ref().map(SizeController::bytes)
    }

    /// Where the learned numbers of each quantized tensor start: at the scales of the file of least error with 1.5
    /// times the budget, or where the method has them. `network` has learned numbers, of any value, for each tensor
    /// that is to be quantized.
    ///
    /// # Errors
    /// [`BudgetError`]: a budget below the smallest file (which is named), a method without a size to choose, a value
    /// that is not finite.
    pub fn start(
        &mut self,
        network: &Snapshot<'_>,
        file: &FileSettings<'_>,
    ) -> Result<BTreeMap<String, Vec<f32>>, BudgetError> {
        let Some(sizing) = file.method.sizing() else {
            return Err(BudgetError::NotSized { method: file.method.name() });
        };
        let (_, scales) = least_error(network, file, (self.bytes as f64 * START) as u64)?;
        let scale = |name: &str| sizing.learned_of_scale(*scales.get(name)?);
        let started = started(network, file.method, scale);
        let quantized = started.tensors.iter().filter_map(|tensor| Some((tensor, tensor.learned.as_ref()?)));
        let mut learned = BTreeMap::new();
        for (tensor, numbers) in quantized {
            self.shapes.insert(tensor.name.clone(), tensor.shape.clone());
            learned.insert(tensor.name.clone(), numbers.to_vec());
        }
        let minimum = smallest(&started, file)?;
        if minimum > self.bytes {
            return Err(BudgetError::TooSmall { budget: self.bytes, minimum });
        }
        let bytes = length(&started, file, Coarseness::default())?;
        self.controller = Some(SizeController::new(self.bytes, bytes, self.steps, self.penalty));
        Ok(learned)
    }

    /// The share of the steps that is done.
    fn done(&self) -> f64 {
        self.step as f64 / self.steps as f64
    }

    /// What the coming step does.
    pub fn plan(&self, method: &dyn Method) -> StepPlan {
        let rate = self.scale_rate.unwrap_or_else(|| controller::scale_rate(self.steps));
        StepPlan {
            phase: method.phase(self.done()),
            lambda: self.controller.as_ref().map_or(0.0, SizeController::lambda),
            scale_rate: rate * self.rate_factor(),
            measures: self.step.is_multiple_of(controller::steps_per_measurement(self.steps)),
        }
    }

    /// Half a cosine from 1 to 0.
    fn rate_factor(&self) -> f64 {
        0.5 * (1.0 + (std::f64::consts::PI * self.done().min(1.0)).cos())
    }

    /// Notes the length that the file has before the coming step.
    ///
    /// # Errors
    /// [`BudgetError`] naming a tensor that has changed its shape or is not finite.
    pub fn measure(&mut self, network: &Snapshot<'_>, file: &FileSettings<'_>) -> Result<(), BudgetError> {
        self.check(network)?;
        let bytes = length(network, file, Coarseness::default())?;
        if let Some(controller) = &mut self.controller {
            controller.measure(bytes);
        }
        Ok(())
    }

    /// Notes what a step has shown, moves on to the next, and returns by how much all learned numbers become coarser
    /// ([`Sizing::coarsen`](crate::method::Sizing::coarsen)).
    pub fn observe(&mut self, seen: Observation) -> f32 {
        let step = self.step;
        self.step += 1;
        self.controller.as_mut().map_or(0.0, |controller| controller.observe(seen, step) as f32)
    }

    /// The largest file within the budget: the network as trained where that fits, otherwise with levels moved towards
    /// zero or with coarser scales, or with finer scales where bytes are left. `prepare` is given a network and returns
    /// it as its file is to be, such as with re-estimated batch-norm statistics.
    ///
    /// # Errors
    /// [`BudgetError`]: a tensor that has changed its shape or is not finite, or no file within the budget.
    pub fn finish<E: From<BudgetError>>(
        &self,
        network: &Snapshot<'_>,
        file: &FileSettings<'_>,
        mut prepare: impl FnMut(StoredModel) -> Result<StoredModel, E>,
    ) -> Result<Finished, E> {
        self.check(network)?;
        let trades = file.method.sizing().is_some_and(crate::method::Sizing::trades);
        // Floats may need more bytes once they are prepared, which leaves less for the codes.
        let mut spare = 0;
        loop {
            let search = Search {
                budget: self.bytes.saturating_sub(spare),
                good: GOOD,
                weights: quantized_weights(network) as u64,
                first: 0.0,
                ends: (-MAX_COARSER, MAX_COARSER + 1.0),
            };
            let make = |place: Place| {
                let by = coarseness(place, trades);
                let stored = network.rounded(file.method, by)?;
                let bytes = file.in_storage(stored.clone()).to_writer()?.bytes();
                Ok::<_, BudgetError>(Rounded { stored, bytes, by })
            };
            let Some((found, _)) = search.run(make)? else {
                let minimum = smallest(network, file)?;
                return Err(BudgetError::TooSmall { budget: self.bytes, minimum }.into());
            };
            let stored = file.in_storage(prepare(found.stored)?);
            let bytes = stored.to_writer().map_err(BudgetError::from)?.bytes();
            let over = bytes.saturating_sub(self.bytes);
            if over == 0 {
                return Ok(Finished { stored, bytes, steps: (self.step, self.steps), by: found.by });
            }
            spare += over;
        }
    }

    fn check(&self, network: &Snapshot<'_>) -> Result<(), BudgetError> {
        let tensors: HashMap<&str, _> = network.tensors.iter().map(|one| (one.name.as_str(), one)).collect();
        for (name, expected) in &self.shapes {
            let gone = |found| BudgetError::Gone { name: name.clone(), found };
            let tensor = tensors.get(name.as_str()).ok_or_else(|| gone("missing"))?;
            if tensor.learned.is_none() {
                return Err(gone("float"));
            }
            if tensor.shape != *expected {
                let (name, found, expected) = (name.clone(), tensor.shape.clone(), expected.clone());
                return Err(BudgetError::Shape { name, found, expected });
            }
        }
        Ok(())
    }
}

/// The file that a [`Budget`] ends in.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The network in the file.
    pub stored: StoredModel,
    /// The length of the file.
    pub bytes: u64,
    /// Steps observed, and steps that were to come.
    pub steps: (u64, u64),
    /// How the last file differs from what was trained.
    pub by: Coarseness,
}

impl Finished {
    /// Writes the file at `path`, whole or not at all, and returns its length in bytes.
    ///
    /// # Errors
    /// [`WriteError`] naming the path and the cause.
    pub fn write_file(&self, path: &Path) -> Result<u64, WriteError> {
        self.stored.write_file(path)
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (done, all) = self.steps;
        write!(f, "{} bytes", self.bytes)?;
        if done < all {
            write!(f, ", stopped after {done} of {all} steps")?;
        }
        match self.by {
            Coarseness { bits, .. } if bits > 0.0 => {
                write!(f, ", scales {bits:.2} bits coarser than trained")
            }
            Coarseness { bits, .. } if bits < 0.0 => {
                write!(f, ", scales {:.2} bits finer than trained", -bits)
            }
            Coarseness { trade, .. } if trade > 0.0 => write!(f, ", levels moved towards zero to fit"),
            _ => write!(f, ", as trained"),
        }
    }
}

struct Rounded {
    stored: StoredModel,
    bytes: u64,
    by: Coarseness,
}

impl Trial for Rounded {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Not known: at the finest the path ends.
    fn is_largest(&self) -> bool {
        false
    }
}

/// Below 0 finer by so many bits, up to 1 cheaper levels, above it coarser: cheaper levels first, as they keep the
/// scales that were trained.
fn coarseness(Place { at, dearer }: Place, trades: bool) -> Coarseness {
    if !trades {
        return Coarseness { bits: at as f32, trade: 0.0 };
    }
    Coarseness { bits: (at.min(0.0) + (at - 1.0).max(0.0)) as f32, trade: at.clamp(0.0, 1.0) as f32 + dearer }
}

/// The length of the network's file.
fn length(network: &Snapshot<'_>, file: &FileSettings<'_>, by: Coarseness) -> Result<u64, BudgetError> {
    Ok(file.in_storage(network.rounded(file.method, by)?).to_writer()?.bytes())
}

/// The network with learned numbers at their start: those of `scale`, by name, or else the method's own.
fn started<'v>(
    network: &Snapshot<'v>,
    method: &dyn Method,
    scale: impl Fn(&str) -> Option<f32>,
) -> Snapshot<'v> {
    let mut started = network.clone();
    for tensor in started.tensors.iter_mut().filter(|tensor| tensor.learned.is_some()) {
        let layout = tensor.layout(method);
        let learned = match scale(&tensor.name) {
            Some(learned) => vec![learned; layout.grouping().count()],
            None => method.initial(&layout, &tensor.values),
        };
        tensor.learned = Some(learned.into());
    }
    started
}

/// The length of the network's file without a bit for any weight.
fn smallest(network: &Snapshot<'_>, file: &FileSettings<'_>) -> Result<u64, BudgetError> {
    length(network, file, Coarseness { bits: MAX_COARSER as f32, trade: 0.0 })
}

fn quantized_weights(network: &Snapshot<'_>) -> usize {
    network.tensors.iter().filter(|tensor| tensor.learned.is_some()).map(|tensor| tensor.values.len()).sum()
}

/// The sizes that files of a network can have, quantized without training.
#[derive(Clone, Debug, PartialEq)]
pub struct SizeLimits {
    /// Bytes of the smallest file.
    pub smallest: u64,
    /// Bytes of the largest within the budget that was asked about.
    pub largest: u64,
}

impl SizeLimits {
    /// The sizes of files of `network`, none larger than `budget`. Tensors with learned numbers are quantized.
    ///
    /// # Errors
    /// [`BudgetError::Export`]: a value that is not finite, or a name or shape that a file cannot hold.
    pub fn of(network: &Snapshot<'_>, file: &FileSettings<'_>, budget: u64) -> Result<Self, BudgetError> {
        let (largest, _) = least_error(network, file, budget)?;
        let smallest = smallest(&started(network, file.method, |_| None), file)?;
        Ok(Self { smallest, largest })
    }
}

/// The bytes of the file of least error within the budget, quantized without training, and the scale of each quantized
/// tensor in it; the bytes of the smallest file and no scales where that is larger.
fn least_error(
    network: &Snapshot<'_>,
    file: &FileSettings<'_>,
    budget: u64,
) -> Result<(u64, BTreeMap<String, f64>), BudgetError> {
    let quantized = network.tensors.iter().filter(|tensor| tensor.learned.is_some());
    let quantized: HashSet<&str> = quantized.map(|tensor| tensor.name.as_str()).collect();
    let stored = file.in_storage(network.float()?);
    let mut head = ContainerWriter::new();
    for (key, value) in &stored.metadata {
        head.metadata(key, value)?;
    }
    let (mut source, mut roots) = (MemorySource::default(), BTreeMap::new());
    for (name, tensor) in stored.tensors {
        let StoredTensor::Float { shape, values, encoding } = tensor else { continue };
        if !quantized.contains(name.as_str()) {
            head.float_as(&name, &shape, &values, encoding)?;
            continue;
        }
        let square: f64 = values.iter().map(|value| f64::from(*value).powi(2)).sum();
        roots.insert(name.clone(), (square / values.len().max(1) as f64).sqrt());
        source.push(SourceTensor { name, shape, treatment: Treatment::Quantized }, values);
    }
    let options = CompressOptions::new(budget).with_floats(file.storage.encoding);
    match compress(&mut source, &head, &options) {
        Ok(found) => {
            let scales = roots.into_iter().map(|(name, root)| (name, found.step * root)).collect();
            Ok((found.bytes, scales))
        }
        Err(CompressError::BudgetTooSmall { minimum, .. }) => Ok((minimum, BTreeMap::new())),
        Err(CompressError::Quantize { name: path, source }) => {
            Err(ExportError::Quantize { path, source }.into())
        }
        Err(CompressError::Write(error)) => Err(error.into()),
        Err(CompressError::Source(never)) => match never {},
        Err(CompressError::Moments { .. }) => unreachable!("no sensitivities were given"),
    }
}
