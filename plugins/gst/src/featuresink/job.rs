//! What the worker gets from the streaming thread, and what it gives back.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anchoring::cue::Cue;
use anchoring::plan::{Anchor, Entry, Untaken};
use anchoring::time::Nanos;
use crossbeam_channel::Sender;

use crate::frame_quality::FrameQuality;
use crate::h5::{Closing, H5Error, Kept, Totals};
use crate::models::ModelError;

/// One thing for the worker to do.
#[derive(Debug)]
pub(super) enum Job {
    /// A chosen frame.
    Frame(Frame),
    /// An anchor; comes before the frames that refer to it.
    Anchor(Anchor),
    /// A candidate that was not taken.
    Candidate(Untaken),
    /// A cue.
    Cue(Cue),
    /// The open file, if there is one, ends; another begins.
    Segment {
        /// What is known of the one that ends.
        closing: Option<Box<Closing>>,
        /// Time spent scaling its frames.
        scaling: Duration,
        /// Time spent measuring their quality.
        measuring: Duration,
        /// The one that begins.
        target: PathBuf,
        /// Attributes of it beyond those of the properties.
        further: BTreeMap<String, String>,
    },
    /// The stream starts again, and so does the file.
    Restart,
    /// The end of the stream.
    Finish {
        /// What is known only now.
        closing: Box<Closing>,
        /// Time spent scaling frames.
        scaling: Duration,
        /// Time spent measuring their quality.
        measuring: Duration,
        /// Gets the report when the file has its name; dropped if it fails.
        done: Sender<Report>,
    },
    /// The pipeline stops before the end of the stream: keep what is there.
    Leave {
        /// Why.
        because: String,
    },
}

/// A chosen frame, ready for the encoder but for normalisation.
#[derive(Debug)]
pub(super) struct Frame {
    /// Its presentation time.
    pub(super) pts: Nanos,
    /// The plan entry it serves.
    pub(super) entry: Entry,
    /// Upright square of the tier's side: RGB, row-major, 3 bytes per pixel.
    pub(super) square: Vec<u8>,
    /// The same with the side that a thumbnail needs, where the encoder's is smaller; side and pixels.
    pub(super) large: Option<(usize, Vec<u8>)>,
    /// Width and height as of [`super::frame::shape`].
    pub(super) shape: (usize, usize),
    /// How good it is to look at.
    pub(super) quality: FrameQuality,
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
    /// A bug.
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

/// How the worker ended.
#[derive(Debug)]
pub(super) struct Ending {
    /// Its error, if it failed.
    pub(super) error: Option<WorkError>,
    /// What is kept of an unfinished file.
    pub(super) kept: Option<Kept>,
}
