//! Reads rows of numbers from other programs' HDF5 files, such as AVE's features: one row per video.

use std::path::{Path, PathBuf};

use ndarray::IxDyn;

use super::{
    Dataset, Error, File, FloatSize, H5Error, Hyperslab, Selection, SliceOrIndex, TypeDescriptor,
    open_foreign,
};

/// Most numbers in a row: 64 MB.
const MOST: usize = 1 << 24;

/// A dataset of floating-point numbers of two axes or more.
pub struct Rows {
    dataset: Dataset,
    name: String,
    path: PathBuf,
    shape: Vec<usize>,
    // HDF5 may have opened the file by descriptor, which must stay open.
    _file: File,
    _open: Option<std::fs::File>,
}

impl Rows {
    /// Opens a dataset.
    ///
    /// # Errors
    /// It does not exist, does not hold floating-point numbers, has one axis, or its rows are too long.
    pub fn open(path: &Path, name: &str) -> Result<Self, H5Error> {
        let read = |message: String| H5Error::Read {
            path: path.into(),
            message: format!("`{name}` {message}"),
        };
        let (file, open) = open_foreign(path)?;
        let dataset = file
            .dataset(name)
            .map_err(|_| read("does not have this dataset".into()))?;
        match dataset.dtype().and_then(|dtype| dtype.to_descriptor()) {
            Ok(TypeDescriptor::Float(FloatSize::U2 | FloatSize::U4 | FloatSize::U8)) => {}
            Ok(other) => {
                return Err(read(format!(
                    "holds {other}: must hold floating-point numbers"
                )));
            }
            Err(e) => return Err(read(e.to_string())),
        }
        let shape = dataset.shape();
        let row = shape
            .iter()
            .skip(1)
            .try_fold(1_usize, |all, n| all.checked_mul(*n));
        if shape.len() < 2 || row.is_none_or(|n| n == 0 || n > MOST) {
            return Err(read(format!(
                "has the shape {shape:?}: must have rows of 1 to {MOST} numbers"
            )));
        }
        Ok(Self {
            dataset,
            name: name.into(),
            path: path.into(),
            shape,
            _file: file,
            _open: open,
        })
    }

    /// Rows, then the axes of a row.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// A row, the last axis fastest.
    ///
    /// # Errors
    /// There is no such row, or it is damaged.
    pub fn row(&self, row: usize) -> Result<Vec<f32>, H5Error> {
        let unreadable = |e: Error| H5Error::Read {
            path: self.path.clone(),
            message: format!("`{}`, row {row}: {e}", self.name),
        };
        let mut axes = vec![SliceOrIndex::from(row..row + 1)];
        axes.extend(self.shape.iter().skip(1).map(|_| SliceOrIndex::from(..)));
        let selection = Selection::from(Hyperslab::from(axes));
        let numbers = self
            .dataset
            .read_slice::<f32, _, IxDyn>(selection)
            .map_err(unreadable)?;
        Ok(numbers.into_iter().collect())
    }
}
