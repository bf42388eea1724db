//! Whole numbers in HDF5, such as the rows of a split in AVE's `test_order.h5`.

use std::path::Path;

use super::{Error, H5Error, TypeDescriptor, open_foreign};

/// The numbers of a dataset of one axis, of any integer type; `most`: how many there may be.
///
/// # Errors
/// The file is missing or not HDF5, or the dataset has no integers, not one axis, or too many numbers.
pub fn whole_numbers(path: &Path, name: &str, most: usize) -> Result<Vec<i64>, H5Error> {
    let read = |message: String| H5Error::Read {
        path: path.into(),
        message,
    };
    // What HDF5 opened by descriptor must stay open.
    let (file, _open) = open_foreign(path)?;
    let problem = |e: Error| read(format!("`{name}`: {e}"));
    let dataset = file
        .dataset(name)
        .map_err(|_| read(format!("has no dataset `{name}`")))?;
    match dataset.dtype().and_then(|dtype| dtype.to_descriptor()) {
        Ok(TypeDescriptor::Integer(_) | TypeDescriptor::Unsigned(_)) => {}
        Ok(other) => {
            return Err(read(format!("`{name}` holds {other}, not whole numbers")));
        }
        Err(e) => return Err(problem(e)),
    }
    let shape = dataset.shape();
    match shape[..] {
        [count] if count <= most => Ok(dataset.read_1d::<i64>().map_err(problem)?.to_vec()),
        [count] => Err(read(format!(
            "`{name}` has {count} numbers, more than {most}"
        ))),
        _ => Err(read(format!(
            "`{name}` has the shape {shape:?}: must have one axis"
        ))),
    }
}
