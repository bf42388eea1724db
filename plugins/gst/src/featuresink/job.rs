//! What the streaming thread hands to the worker, and what comes back.

use std::time::Duration;

use anchoring::anchor::Anchor;
use anchoring::cue::Cue;
use anchoring::plan::Entry;
use anchoring::time::Nanos;
use crossbeam_channel::Sender;

use crate::h5::{Closing, H5Error, Kept, Totals};
use crate::models::ModelError;

/// What the streaming thread hands over.
#[derive(Debug)]
pub(super) enum Job {
    /// A chosen picture.
    Picture(Picture),
    /// An anchor; comes before the pictures that name it.
    Anchor(Anchor),
    /// A cue.
    Cue(Cue),
    /// The stream begins anew, and so does the file.
    Anew,
    /// The end of the stream.
    Finish {
        /// What is known only now.
        closing: Box<Closing>,
        /// Time spent scaling pictures.
        scaling: Duration,
        /// Told when the file is in place; gone without a word if it never will be.
        done: Sender<Report>,
    },
    /// Nothing more comes, and no end of the stream: what is there is kept.
    Leave {
        /// Why.
        because: String,
    },
}

/// A chosen picture, ready for the encoder but for its numbers' range.
#[derive(Debug)]
pub(super) struct Picture {
    /// Its presentation time.
    pub(super) pts: Nanos,
    /// The plan entry it serves.
    pub(super) entry: Entry,
    /// Upright square of the tier's side, RGB, row-major, 3 bytes a pixel.
    pub(super) square: Vec<u8>,
    /// As of [`super::frame::shape`].
    pub(super) shape: (usize, usize),
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub(super) enum WorkError {
    /// The encoder failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The file failed.
    #[error(transparent)]
    File(#[from] H5Error),
    /// A mistake in here.
    #[error("the thread that encodes and writes ended unexpectedly: {0}")]
    Panic(String),
}

/// What was done.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    /// What the file holds.
    pub(super) totals: Totals,
    /// Time spent in the encoder.
    pub(super) encoding: Duration,
    /// Time spent on thumbnails.
    pub(super) drawing: Duration,
    /// Time spent writing.
    pub(super) writing: Duration,
    /// Batches encoded.
    pub(super) batches: u64,
}

/// How the work ended.
#[derive(Debug)]
pub(super) struct Ending {
    /// Why it ended on its own, if it did.
    pub(super) error: Option<WorkError>,
    /// What stays of a file that was begun and not finished.
    pub(super) kept: Option<Kept>,
}
