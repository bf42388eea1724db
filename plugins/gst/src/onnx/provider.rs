//! What runs a model: the CPU, or a device for which ONNX Runtime has a provider.

use std::fmt;

use gst::glib;

use super::ep::{self, ExecutionProvider, ExecutionProviderDispatch};
use super::runtime::environment;
use crate::models::ModelError;

/// An execution provider of ONNX Runtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "EarmarkProvider")]
pub enum Provider {
    /// The CPU; always available.
    #[default]
    #[enum_value(name = "CPU", nick = "cpu")]
    Cpu,
    /// NVIDIA, by CUDA.
    #[enum_value(name = "NVIDIA CUDA", nick = "cuda")]
    Cuda,
    /// NVIDIA, by TensorRT.
    #[enum_value(name = "NVIDIA TensorRT", nick = "tensorrt")]
    TensorRt,
    /// Intel, by OpenVINO; the device is a GPU.
    #[enum_value(name = "Intel OpenVINO, on a GPU", nick = "openvino")]
    OpenVino,
    /// AMD, by MIGraphX.
    #[enum_value(name = "AMD MIGraphX", nick = "migraphx")]
    MiGraphX,
}

impl Provider {
    /// Every provider.
    pub const ALL: [Self; 5] = [
        Self::Cpu,
        Self::Cuda,
        Self::TensorRt,
        Self::OpenVino,
        Self::MiGraphX,
    ];

    /// The name used in pipelines and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
            Self::OpenVino => "openvino",
            Self::MiGraphX => "migraphx",
        }
    }

    /// Whether the library has this provider; not whether there is a device.
    fn is_built_in(self) -> bool {
        let built = match self {
            Self::Cpu => return true,
            Self::Cuda => ep::CUDA::is_available(),
            Self::TensorRt => ep::TensorRT::is_available(),
            Self::OpenVino => ep::OpenVINO::is_available(),
            Self::MiGraphX => ep::MIGraphX::is_available(),
        };
        built.unwrap_or(false)
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The providers of the ONNX Runtime library, loading it if need be. Whether there is a device shows only when a model is loaded.
///
/// # Errors
/// The library cannot be loaded.
pub fn providers() -> Result<Vec<Provider>, ModelError> {
    environment(None)?;
    Ok(Provider::ALL
        .into_iter()
        .filter(|provider| provider.is_built_in())
        .collect())
}

/// A provider and one of its devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// The provider.
    pub provider: Provider,
    /// Number of the device, from 0.
    pub index: u32,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.provider {
            Provider::Cpu => f.write_str("cpu"),
            provider => write!(f, "{provider} {}", self.index),
        }
    }
}

impl Device {
    /// The execution provider for a session. `spare`: see [`super::spare_memory`].
    ///
    /// # Errors
    /// The library has no such provider; the reason in words.
    pub(super) fn execution_provider(
        self,
        spare: bool,
    ) -> Result<ExecutionProviderDispatch, String> {
        if !self.provider.is_built_in() {
            return Err(format!(
                "the ONNX Runtime library has no provider {} (`earmark doctor` lists those it has)",
                self.provider
            ));
        }
        let device = i32::try_from(self.index).unwrap_or(i32::MAX);
        let provider = match self.provider {
            Provider::Cpu => return Ok(ep::CPU::default().with_arena_allocator(!spare).build()),
            Provider::Cuda => ep::CUDA::default().with_device_id(device).build(),
            Provider::TensorRt => ep::TensorRT::default().with_device_id(device).build(),
            Provider::OpenVino => ep::OpenVINO::default()
                .with_device_type(format!("GPU.{device}"))
                .build(),
            Provider::MiGraphX => ep::MIGraphX::default().with_device_id(device).build(),
        };
        Ok(provider.error_on_failure())
    }
}
