//! Models, the HDF5 file and `featuresink`, on models that the tests make themselves.

#[cfg(test)]
mod ends;
#[cfg(test)]
mod feed;
#[cfg(test)]
mod files;
#[cfg(test)]
mod keep_up;
#[cfg(test)]
mod models;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod sink;
#[cfg(test)]
mod tiny;
