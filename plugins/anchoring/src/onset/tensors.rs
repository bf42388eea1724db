//! Reads safetensors files with all checks; lists what can be wrong with them.

use safetensors::{Dtype, SafeTensors};

/// Why a weights file is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WeightsError {
    /// The file is not safetensors.
    #[error("not a safetensors file: {0} (was it cut short, or is it an ONNX file?)")]
    Format(String),
    /// The file is safetensors, but holds something else.
    #[error(
        "the metadata has no entry `ears`: these are not the weights of a probe (`earmark fit` writes them)"
    )]
    NotProbeWeights,
    /// The metadata can't be parsed.
    #[error("the metadata can't be parsed: {0}")]
    Metadata(String),
    /// A field of the metadata is out of range.
    #[error("{field} is {value}: {rule}")]
    Field {
        /// Its path in the JSON, such as `tcn.dilations`.
        field: String,
        /// What was given.
        value: String,
        /// What it must be.
        rule: String,
    },
    /// A tensor is missing.
    #[error("the tensor `{0}` is missing")]
    Missing(String),
    /// A tensor has the wrong type or shape.
    #[error("the tensor `{name}` is {found}, but must be {wanted}")]
    Shape {
        /// Which tensor.
        name: String,
        /// Type and shape found.
        found: String,
        /// Type and shape needed.
        wanted: String,
    },
    /// A tensor holds NaN or infinity, or a scale of 0.
    #[error("the tensor `{0}` holds NaN, infinity or a scale of zero")]
    Number(String),
}

/// An F32 tensor: its shape and its numbers.
fn tensor(tensors: &SafeTensors<'_>, name: &str) -> Result<(Vec<usize>, Vec<f32>), WeightsError> {
    let view = tensors
        .tensor(name)
        .map_err(|_| WeightsError::Missing(name.into()))?;
    if view.dtype() != Dtype::F32 {
        return Err(WeightsError::Shape {
            name: name.into(),
            found: format!("{:?} {:?}", view.dtype(), view.shape()),
            wanted: "F32".into(),
        });
    }
    let numbers: Vec<f32> = view
        .data()
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    if numbers.iter().any(|x| !x.is_finite()) {
        return Err(WeightsError::Number(name.into()));
    }
    Ok((view.shape().to_vec(), numbers))
}

/// A tensor of a given shape; 0 stands for any size up to `most`.
pub(crate) fn shaped<const D: usize>(
    tensors: &SafeTensors<'_>,
    name: &str,
    wanted: [usize; D],
    most: usize,
) -> Result<([usize; D], Vec<f32>), WeightsError> {
    let (shape, numbers) = tensor(tensors, name)?;
    let fits = shape.len() == D
        && shape.iter().zip(&wanted).all(|(n, w)| {
            if *w == 0 {
                (1..=most).contains(n)
            } else {
                n == w
            }
        });
    match <[usize; D]>::try_from(shape.as_slice()) {
        Ok(shape) if fits => Ok((shape, numbers)),
        _ => {
            let sizes = wanted.map(|w| {
                if w == 0 {
                    format!("1..={most}")
                } else {
                    w.to_string()
                }
            });
            Err(WeightsError::Shape {
                name: name.into(),
                found: format!("F32 {shape:?}"),
                wanted: format!("F32 [{}]", sizes.join(", ")),
            })
        }
    }
}
