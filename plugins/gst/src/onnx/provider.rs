//! What runs a model: the processor, or a device that the ONNX Runtime library has a provider for.

use std::fmt;

use gst::glib;

use super::ep::{self, ExecutionProvider, ExecutionProviderDispatch};
use super::runtime::environment;
use crate::models::ModelError;

/// An execution provider of ONNX Runtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "EarmarkProvider")]
pub enum Provider {
    /// The processor; always there.
    #[default]
    #[enum_value(name = "Processor", nick = "cpu")]
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

    /// Whether the library was built with it; not whether there is a device.
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

/// The providers that the ONNX Runtime library was built with, loading it if need be. Whether there is a device for each shows when a
/// model is loaded.
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

/// A provider and which of its devices, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// What runs the model.
    pub provider: Provider,
    /// Which one, where there are several.
    pub device: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.provider {
            Provider::Cpu => f.write_str("cpu"),
            provider => write!(f, "{provider} {}", self.device),
        }
    }
}

impl Place {
    /// What a session is given. `spare`: the processor gives memory back after every run.
    ///
    /// # Errors
    /// The library has no such provider, in words.
    pub(super) fn execution_provider(
        self,
        spare: bool,
    ) -> Result<ExecutionProviderDispatch, String> {
        if !self.provider.is_built_in() {
            return Err(format!(
                "the ONNX Runtime library was built without {} (`earmark doctor` says what it has)",
                self.provider
            ));
        }
        let device = i32::try_from(self.device).unwrap_or(i32::MAX);
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
