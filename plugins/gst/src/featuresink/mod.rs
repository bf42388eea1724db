//! `featuresink`: tagged pictures -> features in an HDF5 file.

pub(crate) mod partial;
pub(crate) mod prepare;
pub(crate) mod rows;
