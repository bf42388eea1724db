//! Reads sound from HDF5 files like EPIC-KITCHENS' `EPIC_audio.hdf5`: one dataset of f32 samples per recording.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::{Dataset, Error, File, FloatSize, H5Error, TypeDescriptor, open_foreign};

/// A file of sounds, opened for reading.
pub struct SoundFile {
    file: File,
    path: PathBuf,
    // HDF5 may have opened it by descriptor, which must stay open.
    _open: Option<std::fs::File>,
}

/// One recording's sound: mono samples, usually in [-1, 1].
pub struct Sound {
    dataset: Dataset,
    name: String,
    path: PathBuf,
    samples: usize,
}

impl SoundFile {
    /// Opens a file.
    ///
    /// # Errors
    /// The file is missing, or not an HDF5 file.
    pub fn open(path: &Path) -> Result<Self, H5Error> {
        let (file, open) = open_foreign(path)?;
        Ok(Self {
            file,
            path: path.into(),
            _open: open,
        })
    }

    /// The names at the root, in alphabetical order.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn names(&self) -> Result<Vec<String>, H5Error> {
        let mut names = self.file.member_names().map_err(|e| H5Error::Read {
            path: self.path.clone(),
            message: e.to_string(),
        })?;
        names.sort();
        Ok(names)
    }

    /// The sound of this name.
    ///
    /// # Errors
    /// There is none, or it is no dataset, not f32 or has more than one axis.
    pub fn sound(&self, name: &str) -> Result<Sound, H5Error> {
        let read = |problem: String| H5Error::Read {
            path: self.path.clone(),
            message: format!("`{name}` {problem}"),
        };
        let dataset = self.file.dataset(name).map_err(|_| {
            read("is not a dataset: there must be one per recording, at the root".into())
        })?;
        let kind = dataset.dtype().and_then(|dtype| dtype.to_descriptor());
        match kind.map_err(|e| read(e.to_string()))? {
            TypeDescriptor::Float(FloatSize::U4) => {}
            other => {
                return Err(read(format!(
                    "holds {other}, but must hold float32 samples in [-1, 1] (divide 16-bit samples by 32768)"
                )));
            }
        }
        let shape = dataset.shape();
        let [samples] = shape[..] else {
            return Err(read(format!(
                "has shape {shape:?}, but must have [samples] (mix it down to one channel first)"
            )));
        };
        Ok(Sound {
            dataset,
            name: name.into(),
            path: self.path.clone(),
            samples,
        })
    }
}

impl Sound {
    /// Number of samples.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// These samples.
    ///
    /// # Errors
    /// They are out of range, or damaged.
    pub fn block(&self, samples: Range<usize>) -> Result<Vec<f32>, H5Error> {
        let unreadable = |e: Error| H5Error::Read {
            path: self.path.clone(),
            message: format!("`{}`: {e}", self.name),
        };
        let block = self
            .dataset
            .read_slice_1d::<f32, _>(samples)
            .map_err(unreadable)?;
        Ok(block.into_iter().collect())
    }
}
