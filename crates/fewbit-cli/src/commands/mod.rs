//! One file per verb.

pub(crate) mod bench;
pub(crate) mod compress;
pub(crate) mod eval;
pub(crate) mod inspect;
pub(crate) mod sweep;
pub(crate) mod table;
pub(crate) mod train;
pub(crate) mod unpack;
pub(crate) mod verify;

use fewbit_checkpoint::CheckpointError;

use crate::args::DeviceKind;
use crate::failure::Failure;

/// Sets the number of threads of everything that follows.
fn use_threads(threads: Option<u16>) -> Result<(), Failure> {
    if let Some(threads) = threads {
        rayon::ThreadPoolBuilder::new().num_threads(threads.into()).build_global()?;
    }
    Ok(())
}

/// The device by its name.
fn device(kind: DeviceKind) -> Result<fewbit_zoo::Device, Failure> {
    let kind = match kind {
        DeviceKind::Cpu => fewbit_zoo::DeviceKind::Cpu,
        DeviceKind::Cuda => fewbit_zoo::DeviceKind::Cuda,
        DeviceKind::Wgpu => fewbit_zoo::DeviceKind::Wgpu,
    };
    Ok(kind.device()?)
}

/// A checkpoint that cannot be read, with what may help.
fn checkpoint_failure(error: CheckpointError) -> Failure {
    let hint = error.hint();
    let failure = Failure::from(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
