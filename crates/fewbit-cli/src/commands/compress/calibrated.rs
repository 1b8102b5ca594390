//! A network's file made with the help of data, without training.

use std::collections::BTreeMap;
use std::path::Path;

use fewbit::ContainerWriter;
use fewbit::{StoredModel, StoredTensor};
use fewbit_burn::LoadError;
use fewbit_zoo::recipe::Recipe;
use fewbit_zoo::{Calibrator, Device};

use super::{Made, of_network};
use crate::args::{CalibrationKind, CompressArgs};
use crate::failure::Failure;

/// How often a file is made, at most: floats whose values need more bytes after calibration leave less for the
/// others.
const TRIES: u32 = 4;

/// The file of a float network that is calibrated on the recipe's data set at `path`.
pub(super) fn make(
    recipe: &Recipe,
    network: StoredModel,
    path: Option<&Path>,
    args: &CompressArgs,
) -> Result<Made, Failure> {
    let (device, kind) = (Device::flex(), args.calibration.calibration);
    let records = args.calibration.calibration_records as usize;
    let calibrator = Calibrator::prepare(recipe, path, records)?;
    let measured = calibrator.with_statistics(network.clone(), &device)?;
    let network = if args.calibration.new_statistics { measured.clone() } else { network };
    let sensitivities = match kind {
        CalibrationKind::Statistics => BTreeMap::new(),
        _ => calibrator.sensitivities(&network, kind == CalibrationKind::Feedback, &device)?,
    };
    let mut spare = 0;
    for _ in 0..TRIES {
        let in_file = fewbit_zoo::as_file_of(recipe, network.clone());
        let mut made = of_network(in_file, recipe, &sensitivities, args, spare)?;
        let rounded = with_codes_of(&network, &made.found.writer)?;
        let rounded =
            calibrator.with_statistics(rounded, &device)?.with_statistics_in_line(&network, &measured);
        made.found.writer = fewbit_zoo::as_file_of(recipe, rounded).to_writer()?;
        made.found.bytes = made.found.writer.bytes();
        let over = made.found.bytes.saturating_sub(made.budget);
        if over == 0 {
            return Ok(made);
        }
        spare += over;
    }
    let message = format!("`{}`: statistics take more bytes each time they are measured", args.out.display());
    Err(Failure::new(message).hint("try a larger budget, or other calibration records"))
}

/// `network` with the rounded weights of a file, its floats as they are.
fn with_codes_of(network: &StoredModel, file: &ContainerWriter) -> Result<StoredModel, Failure> {
    let mut rounded = network.clone();
    let file = StoredModel::from_bytes(&file.to_bytes()).map_err(LoadError::from)?;
    for (path, tensor) in file.tensors {
        if matches!(tensor, StoredTensor::Quantized(_)) {
            rounded.tensors.insert(path, tensor);
        }
    }
    Ok(rounded)
}
