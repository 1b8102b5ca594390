//! Where a network runs, by name.

use burn::tensor::Device;

/// A kind of device; the GPU kinds are behind cargo features of the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// All cores of this machine.
    Cpu,
    /// The first NVIDIA GPU.
    Cuda,
    /// The GPU that Vulkan, Metal or DirectX offer.
    Wgpu,
}

/// A device that this build does not have.
#[derive(Debug, thiserror::Error)]
#[error("this build has no device `{name}`: build it with `--features {name}`")]
pub struct DeviceError {
    name: &'static str,
}

impl DeviceKind {
    /// The device.
    ///
    /// # Errors
    /// [`DeviceError`] where the build lacks its feature.
    pub fn device(self) -> Result<Device, DeviceError> {
        match self {
            Self::Cpu => Ok(Device::flex()),
            #[cfg(feature = "cuda")]
            Self::Cuda => Ok(Device::cuda(0)),
            #[cfg(not(feature = "cuda"))]
            Self::Cuda => Err(DeviceError { name: "cuda" }),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => Ok(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
            #[cfg(not(feature = "wgpu"))]
            Self::Wgpu => Err(DeviceError { name: "wgpu" }),
        }
    }
}
