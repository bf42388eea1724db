//! `featuresink`: chosen frames, anchors and cues -> one HDF5 file of features (schema `earmark/2`).
//!
//! # Layout
//!
//! - `settings`: the properties.
//! - `imp`: pads and state.
//! - `start`: checks everything before the first frame and starts the worker.
//! - `intake`: frames, cues and messages -> jobs. `frame`: a decoded frame -> what the encoder takes.
//! - `clips`: frames -> clips, for encoders of those.
//! - `segments`: which of several consecutive files everything goes to. `segmented`: asks for each file's name, and posts what it holds.
//! - `keep_up`: which frames are left out if the encoder is too slow for a live source. `left_out`: leaves them out, and counts them.
//! - `job`: what the worker gets and gives back.
//! - `worker`: the thread that encodes and writes, and its queue.
//! - `work`: what it does. `batches`: frames -> batches, embeddings -> rows in the order of the frames.
//! - `closing`: the attributes that a file gets at its end, collected along the way.
//! - `error_watch`: notices errors of other elements.
//! - `messages`: errors and statistics for the bus.

mod batches;
mod clips;
mod closing;
mod error_watch;
mod frame;
mod imp;
mod intake;
mod job;
mod keep_up;
mod left_out;
mod messages;
mod segmented;
mod segments;
mod settings;
mod start;
mod work;
mod worker;

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use gst::glib;
use gst::prelude::*;

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "featuresink",
        gst::DebugColorFlags::empty(),
        Some("Earmark: features to HDF5"),
    )
});

glib::wrapper! {
    /// `featuresink`: encodes chosen frames and writes their features.
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

/// An upright RGB frame (row-major, 3 bytes per pixel, without padding) as an encoder takes it at side `px`: scaled, fitted and normalised as
/// for features.
///
/// # Errors
/// The frame is empty, or its data is too short; in words.
pub fn prepared(
    size: (usize, usize),
    rgb: &[u8],
    px: usize,
    input: &crate::models::Input,
) -> Result<Vec<f32>, String> {
    frame::packed(size, rgb, px, input)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
