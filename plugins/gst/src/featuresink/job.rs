//! What the worker gets from the streaming thread, and what it gives back.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anchoring::cue::Cue;
use anchoring::plan::{Anchor, Entry, NO_FRAME, Untaken};
use anchoring::time::Nanos;
use crossbeam_channel::Sender;

use crate::frame_quality::FrameQuality;
use crate::h5::{ClipTimes, Closing, H5Error, KeptFile, Totals};
use crate::models::ModelError;

/// A job for the worker.
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
        /// The attributes of the file that ends.
        closing: Option<Box<Closing>>,
        /// Time spent scaling its frames.
        scaling: Duration,
        /// Time spent measuring their quality.
        measuring: Duration,
        /// Path of the file that begins.
        target: PathBuf,
        /// Its attributes beyond those of the properties.
        further: BTreeMap<String, String>,
    },
    /// The stream starts again, and so does the file.
    Restart,
    /// The end of the stream.
    Finish {
        /// The attributes that are known only now.
        closing: Box<Closing>,
        /// Time spent scaling frames.
        scaling: Duration,
        /// Time spent measuring their quality.
        measuring: Duration,
        /// Gets the report when the file has its name; dropped if it fails.
        done: Sender<Report>,
    },
    /// The pipeline stops before the end of the stream: keep the unfinished file.
    Leave {
        /// Why.
        because: String,
    },
}

/// A chosen frame, scaled but not normalised for the encoder yet.
#[derive(Debug)]
pub(super) struct Frame {
    /// Its presentation time.
    pub(super) pts: Nanos,
    /// The plan entry it serves.
    pub(super) entry: Entry,
    /// Upright square of the tier's side: RGB, row-major, 3 bytes per pixel.
    pub(super) square: Square,
    /// The same with the side that a thumbnail needs, where the encoder's is smaller; side and pixels.
    pub(super) large: Option<(usize, Square)>,
    /// Width and height as of [`super::frame::shape`].
    pub(super) shape: (usize, usize),
    /// Its measures of quality.
    pub(super) quality: FrameQuality,
    /// For encoders of clips: the clip of which this is the middle frame.
    pub(super) clip: Option<ClipSquares>,
}

impl Frame {
    /// The same frame in a file whose times begin elsewhere.
    pub(super) fn move_to(&mut self, pts: Nanos) {
        let by = self.pts - pts;
        self.pts = pts;
        if let Some(clip) = &mut self.clip {
            clip.times.start = clip.times.start - by;
            clip.times.stop = clip.times.stop - by;
            let times = clip.times.frames.iter_mut();
            times
                .filter(|at| **at != NO_FRAME)
                .for_each(|at| *at = *at - by);
        }
    }
}

/// Pixels that overlapping clips share.
pub(super) type Square = Arc<Vec<u8>>;

/// The frames of a clip.
#[derive(Debug)]
pub(super) struct ClipSquares {
    /// `None` where there is no frame.
    pub(super) squares: Vec<Option<Square>>,
    /// Their times, for the file.
    pub(super) times: ClipTimes,
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

/// What the worker did.
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
    pub(super) kept: Option<KeptFile>,
}

#[cfg(test)]
mod tests {
    use anchoring::plan::Reason;
    use anchoring::tier::Tier;

    use super::*;

    #[test]
    fn a_clip_moves_with_its_frame_into_the_time_of_its_file() {
        let times = [NO_FRAME, Nanos::new(95), Nanos::new(110)];
        let mut frame = Frame {
            pts: Nanos::new(110),
            entry: Entry {
                planned: Nanos::new(110),
                asked: None,
                tier: Tier::Base,
                tokens: 1,
                reason: Reason::Uniform,
                anchor: None,
            },
            square: Square::default(),
            large: None,
            shape: (1, 1),
            quality: FrameQuality::default(),
            clip: Some(ClipSquares {
                squares: vec![None; 3],
                times: ClipTimes {
                    start: times[1],
                    stop: Nanos::new(125),
                    frames: times.into(),
                },
            }),
        };
        // A file that begins at 100: the clip began in the one before.
        frame.move_to(Nanos::new(10));
        let clip = frame.clip.unwrap().times;
        assert_eq!((clip.start, clip.stop), (Nanos::new(-5), Nanos::new(25)));
        assert_eq!(clip.frames, [-1, -5, 10].map(Nanos::new));
    }
}
