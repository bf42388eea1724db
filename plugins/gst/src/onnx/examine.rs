//! Examines a model before anything runs it: its inputs and outputs, whether it matches its manifest, whether a device can run it.

use std::path::Path;

use super::ports::{self, Ports};
use super::provider::Device;
use super::runtime::environment;
use super::session::{Model, open};
use crate::models::{Manifest, ModelError};

/// The inputs and outputs of an ONNX file.
///
/// # Errors
/// ONNX Runtime or the file cannot be loaded.
pub fn ports(file: &Path) -> Result<Ports, ModelError> {
    let (environment, _) = environment(None)?;
    let session = open(&environment, file, 1, Device::default(), true);
    let session = session.map_err(|message| ModelError::Load {
        name: file.display().to_string(),
        message,
    })?;
    Ok(ports::of(&session))
}

/// Loads a model on a device and drops it.
///
/// # Errors
/// Why that is impossible, in words.
pub fn try_device(file: &Path, device: Device) -> Result<(), String> {
    let (environment, _) = environment(None).map_err(|err| err.to_string())?;
    open(&environment, file, 1, device, true).map(|_| ())
}

/// Loads a model and compares it with its manifest, including the hash of its file.
///
/// # Errors
/// A file is missing or altered, ONNX Runtime cannot be loaded, or the model differs from its manifest.
pub fn check_model(manifest: Manifest) -> Result<(), ModelError> {
    manifest.check_file()?;
    Model::new(manifest, 1, Device::default()).map(|_| ())
}
