//! Safetensors files with one JSON note in their metadata, under the key `earmark`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The key of the note in the file's metadata.
const NOTE: &str = "earmark";
/// Largest file that is read, bytes.
const MOST: u64 = 8 << 30;

/// A matrix of single precision by rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// `rows * cols` values, row by row.
    pub data: Vec<f32>,
}

impl Matrix {
    /// All zeros.
    pub fn zeros(rows: usize, cols: usize) -> Self {
        Self {
            rows,
            cols,
            data: vec![0.0; rows * cols],
        }
    }
}

/// Matrices by name.
pub type Matrices = BTreeMap<String, Matrix>;

/// The bytes of a file, and their SHA-256 in hex.
///
/// # Errors
/// It cannot be read, or is longer than 8 GiB.
pub fn bytes(path: &Path) -> anyhow::Result<(Vec<u8>, String)> {
    let name = path.display();
    let length = std::fs::metadata(path)
        .with_context(|| format!("cannot read {name}"))?
        .len();
    if length > MOST {
        bail!("{name} has {length} bytes, more than {MOST}");
    }
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {name}"))?;
    let hash = format!("{:x}", Sha256::digest(&bytes));
    Ok((bytes, hash))
}

/// A file, opened, and its note.
///
/// # Errors
/// It is not a safetensors file, or has no note.
pub fn open<'a>(path: &Path, bytes: &'a [u8]) -> anyhow::Result<(SafeTensors<'a>, Value)> {
    let name = path.display();
    let damaged = || format!("{name} is not a safetensors file, or is damaged");
    let tensors = SafeTensors::deserialize(bytes).with_context(damaged)?;
    let (_, about) = SafeTensors::read_metadata(bytes).with_context(damaged)?;
    let note = about
        .metadata()
        .as_ref()
        .and_then(|all| all.get(NOTE))
        .with_context(|| {
            format!("{name} has no note `{NOTE}` in its metadata: was it written by Earmark?")
        })?;
    let note = serde_json::from_str(note)
        .with_context(|| format!("{name}: the note `{NOTE}` in its metadata is not JSON"))?;
    Ok((tensors, note))
}

/// An array of finite single precision and its shape.
///
/// # Errors
/// It is missing, of another type, or has a value that is not finite.
pub fn floats(
    path: &Path,
    file: &SafeTensors<'_>,
    key: &str,
) -> anyhow::Result<(Vec<usize>, Vec<f32>)> {
    let name = path.display();
    let tensor = file.tensor(key).map_err(|_| {
        anyhow::anyhow!(
            "{name} has no array `{key}`; it has {}",
            file.names().join(", ")
        )
    })?;
    if tensor.dtype() != Dtype::F32 {
        bail!("{name}: `{key}` holds {:?}: must hold F32", tensor.dtype());
    }
    let data: Vec<f32> = tensor
        .data()
        .as_chunks::<4>()
        .0
        .iter()
        .map(|x| f32::from_le_bytes(*x))
        .collect();
    if let Some(at) = data.iter().position(|x| !x.is_finite()) {
        bail!(
            "{name}: `{key}`, value {at} is {}: must be finite",
            data[at]
        );
    }
    Ok((tensor.shape().to_vec(), data))
}

/// Every matrix whose name begins with a prefix, without the prefix.
///
/// # Errors
/// One of them is not a matrix of finite single precision.
pub fn matrices(path: &Path, file: &SafeTensors<'_>, start: &str) -> anyhow::Result<Matrices> {
    let mut all = Matrices::new();
    for key in file.names() {
        let Some(name) = key.strip_prefix(start) else {
            continue;
        };
        let (shape, data) = floats(path, file, key)?;
        let [rows, cols] = shape[..] else {
            bail!(
                "{}: `{key}` has the shape {shape:?}: must be a matrix",
                path.display()
            );
        };
        all.insert(name.to_owned(), Matrix { rows, cols, data });
    }
    Ok(all)
}

/// An array to be written.
pub enum Array<'a> {
    /// Single precision.
    Floats(Vec<usize>, &'a [f32]),
    /// Whole numbers.
    Whole(Vec<usize>, &'a [i64]),
    /// Small whole numbers.
    Bytes(Vec<usize>, &'a [u8]),
}

/// Writes a file; replaces an existing one in one step.
///
/// # Errors
/// It cannot be written.
pub fn write(path: &Path, arrays: &[(String, Array<'_>)], note: &Value) -> anyhow::Result<()> {
    let raw: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = arrays
        .iter()
        .map(|(name, array)| {
            let (kind, shape, bytes) = match array {
                Array::Floats(shape, x) => (
                    Dtype::F32,
                    shape,
                    x.iter().flat_map(|x| x.to_le_bytes()).collect(),
                ),
                Array::Whole(shape, x) => (
                    Dtype::I64,
                    shape,
                    x.iter().flat_map(|x| x.to_le_bytes()).collect(),
                ),
                Array::Bytes(shape, x) => (Dtype::U8, shape, x.to_vec()),
            };
            (name.clone(), kind, shape.clone(), bytes)
        })
        .collect();
    let views = raw
        .iter()
        .map(|(name, kind, shape, bytes)| {
            Ok((name.as_str(), TensorView::new(*kind, shape.clone(), bytes)?))
        })
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .with_context(|| format!("cannot write {}", path.display()))?;
    let about = [(NOTE.to_owned(), note.to_string())].into_iter().collect();
    let bytes = safetensors::serialize(views, Some(about))
        .with_context(|| format!("cannot write {}", path.display()))?;
    replace(path, &bytes)
}

/// The arrays of matrices for [`write`], each name after `start`.
pub fn arrays<'a>(start: &str, all: &'a Matrices) -> Vec<(String, Array<'a>)> {
    all.iter()
        .map(|(name, m)| {
            (
                format!("{start}{name}"),
                Array::Floats(vec![m.rows, m.cols], &m.data),
            )
        })
        .collect()
}

/// Writes bytes to a file; what was there is replaced at once and in whole.
///
/// # Errors
/// It cannot be written.
pub fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(cannot)?;
    file.write_all(bytes).with_context(cannot)?;
    file.as_file().sync_all().with_context(cannot)?;
    file.persist(path).with_context(cannot)?;
    Ok(())
}
