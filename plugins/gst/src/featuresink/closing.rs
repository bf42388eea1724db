//! What the file's closing says, as far as it is known: kept beside the worker, so that a run that ends early can say it too.

use anchoring::time::Nanos;

use crate::h5::Closing;
use crate::structures::Summary;

/// ClosingDraft so far.
#[derive(Clone, Debug)]
pub(super) struct ClosingDraft {
    closing: Closing,
    /// Whether the properties name the recording and the pipeline; else the plan does.
    is_named: bool,
    is_configured: bool,
    /// Latest instant of any picture or cue.
    latest: Nanos,
    /// Whether pictures come here at all.
    has_pictures: bool,
}

impl ClosingDraft {
    /// From the properties `video-id` and `config`, and the name of the location; `warnings`: of the start.
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
            has_pictures: true,
        }
    }

    /// What is known of the plan before the first picture.
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
    }

    /// What the gate says at the end.
    pub(super) fn summary(&mut self, summary: Summary) {
        let closing = &mut self.closing;
        closing.duration = summary.duration;
        closing.budget_tokens = summary.budget_tokens;
        closing.pictures_seen = summary.pictures_seen;
        closing.pictures_passed = summary.pictures_passed;
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

    /// A picture or a cue of this time came.
    pub(super) fn reached(&mut self, at: Nanos) {
        self.latest = self.latest.max(at);
    }

    pub(super) fn turned(&mut self, rotation: &str) {
        if self.closing.rotation != rotation {
            self.closing.rotation = rotation.into();
        }
    }

    /// What comes from now on: pictures, decoded by this element, or cues alone.
    pub(super) fn caps(&mut self, has_pictures: bool, decoder: Option<String>) {
        self.has_pictures = has_pictures;
        self.closing.decoder = decoder.unwrap_or_default();
    }

    pub(super) fn has_pictures(&self) -> bool {
        self.has_pictures
    }

    /// The stream begins anew: what was counted in it doesn't count.
    pub(super) fn anew(&mut self) {
        self.latest = Nanos::ZERO;
        self.closing.frames_missed = 0;
    }

    /// What the file says if it ends now.
    pub(super) fn closing(&self) -> Closing {
        let mut closing = self.closing.clone();
        if closing.duration < Nanos::ZERO {
            closing.duration = self.latest;
        }
        closing
    }
}
