//! `featuresink`: chosen pictures, anchors and cues -> one HDF5 file of features (schema `earmark/2`).
//!
//! # Layout
//!
//! - `settings`: the properties.
//! - `imp`: pads and state.
//! - `start`: what has to be right before the first picture.
//! - `messages`: what the bus is told.
//! - `pixels`: a mapped picture -> its planes.
//! - `colours`: caps of full range that name no matrix.
//! - `planar`: luma and chroma -> a small RGB square, without a full-size RGB picture in between.
//! - `prepare`: a decoded picture -> an upright square -> what the encoder takes.
//! - `thumbnail`: what the encoder takes -> a small JPEG.
//! - `rows`: pictures -> batches; embeddings -> rows in the order of the pictures.
//! - `trouble`: errors of other elements.
//! - `known`: what the closing says, as far as it is known.
//! - `worker`: the thread that encodes and writes, and its queue.
//! - `work`: what it does.
//! - `partial`: a file that is whole or not there.

mod colours;
mod imp;
mod known;
mod messages;
pub(crate) mod partial;
mod pixels;
mod planar;
mod prepare;
mod rows;
mod settings;
mod start;
mod thumbnail;
mod trouble;
mod work;
mod worker;

use std::sync::{Mutex, MutexGuard, PoisonError};

use gst::glib;
use gst::prelude::*;

glib::wrapper! {
    /// The element `featuresink`.
    pub struct FeatureSink(ObjectSubclass<imp::FeatureSink>) @extends gst_base::BaseSink, gst::Element, gst::Object;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "featuresink",
        gst::Rank::NONE,
        FeatureSink::static_type(),
    )
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
