//! The attributes that a file gets at its end, collected along the way, so that a run that ends early has them too.

use anchoring::plan::Reason;
use anchoring::time::Nanos;

use crate::h5::Closing;
use crate::structures::Summary;

/// The closing so far.
#[derive(Clone, Debug)]
pub(super) struct ClosingDraft {
    closing: Closing,
    /// Whether properties set the name of the recording and the pipeline; else the plan does.
    is_named: bool,
    is_configured: bool,
    /// Latest time of a frame or cue.
    latest: Nanos,
    /// Whether the stream has frames.
    has_frames: bool,
    /// Whether an earlier file holds the stream's start.
    is_continued: bool,
}

impl ClosingDraft {
    /// From the properties `video-id` and `config`, the file name of the location, and the warnings of the start.
    pub(super) fn new(video_id: &str, config: &str, stem: String, warnings: Vec<String>) -> Self {
        let is_named = !video_id.is_empty();
        Self {
            closing: Closing {
                video_id: if is_named { video_id.into() } else { stem },
                config: config.into(),
                duration: Nanos::new(-1),
                rotation: super::frame::Orientation::default().name().into(),
                warnings,
                ..Closing::default()
            },
            is_named,
            is_configured: !config.is_empty(),
            latest: Nanos::ZERO,
            has_frames: true,
            is_continued: false,
        }
    }

    /// Takes the plan's header.
    pub(super) fn plan(&mut self, header: anchoring::plan::Header) {
        let closing = &mut self.closing;
        if !self.is_named && !header.video_id.is_empty() {
            closing.video_id = header.video_id;
        }
        if !self.is_configured {
            closing.config = header.config.to_string();
        }
        closing.duration = header.duration;
        closing.budget_tokens = header.budget_tokens;
        closing.candidates_per_min = header.candidates_per_min;
    }

    /// Takes the gate's summary.
    pub(super) fn summary(&mut self, summary: Summary) {
        let closing = &mut self.closing;
        closing.duration = summary.duration;
        closing.first_frame = summary.first_frame.filter(|_| !self.is_continued);
        closing.budget_tokens = summary.budget_tokens;
        closing.access_units_seen = summary.access_units_seen;
        closing.access_units_passed = summary.access_units_passed;
        for warning in summary.warnings {
            self.warn(warning);
        }
    }

    pub(super) fn warn(&mut self, text: String) {
        if !text.is_empty() && !self.closing.warnings.contains(&text) {
            self.closing.warnings.push(text);
        }
    }

    pub(super) fn missed(&mut self) {
        self.closing.frames_missed += 1;
    }

    /// A planned frame is left out.
    pub(super) fn left_out(&mut self, reason: Reason) {
        self.closing.leave_out(reason);
    }

    /// A frame or a cue of this time came.
    pub(super) fn reached(&mut self, at: Nanos) {
        self.latest = self.latest.max(at);
    }

    pub(super) fn orientation(&mut self, rotation: &str) {
        if self.closing.rotation != rotation {
            self.closing.rotation = rotation.into();
        }
    }

    /// Whether frames come from now on, and the element that decodes them.
    pub(super) fn caps(&mut self, has_frames: bool, decoder: Option<String>) {
        self.has_frames = has_frames;
        self.closing.decoder = decoder.unwrap_or_default();
    }

    pub(super) fn has_frames(&self) -> bool {
        self.has_frames
    }

    /// The stream starts again, and so do the counts.
    pub(super) fn restart(&mut self) {
        self.latest = Nanos::ZERO;
        self.closing.first_frame = None;
        self.is_continued = false;
        self.closing.frames_missed = 0;
        self.closing.left_out = Default::default();
    }

    /// Names the recording after its file, unless it has a name.
    pub(super) fn named(&mut self, stem: String) {
        if !self.is_named {
            self.closing.video_id = stem;
        }
    }

    /// The closing of a file that ends here; later counts and warnings belong to the next file.
    pub(super) fn cut(&mut self) -> Closing {
        let closing = self.closing();
        self.closing.frames_missed = 0;
        self.closing.left_out = Default::default();
        self.closing.warnings.clear();
        self.is_continued = true;
        closing
    }

    /// The closing if the file ends now.
    pub(super) fn closing(&self) -> Closing {
        let mut closing = self.closing.clone();
        if closing.duration < Nanos::ZERO {
            closing.duration = self.latest;
        }
        closing
    }
}
