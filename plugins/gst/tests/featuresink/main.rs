//! Models, the HDF5 file and `featuresink`, on models that the tests make themselves.

mod feed;
mod files;
mod models;
mod sink;
mod tiny;
