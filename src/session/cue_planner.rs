//! Plans from cues: globally, or as the streaming planner would.

use std::collections::HashSet;

use anchoring::cue::Cue;
use anchoring::plan::{Anchor, Entry, Header, Plan, PlanError, SCHEMA};
use anchoring::plan::{MAX_DURATION, MIN_DURATION};
use anchoring::planning::global::GlobalPlanner;
use anchoring::planning::streaming::{Decision, StreamPlanner};
use anchoring::settings::Settings;
use anchoring::time::{Nanos, Window};

use crate::pipeline::{Pipeline, Planning};

/// Plans globally, or as a streaming pass would.
pub(super) enum CuePlanner {
    Global(Box<GlobalPlanner>),
    Streaming(Box<Streaming>),
}

/// A streaming planner and its decisions.
pub(super) struct Streaming {
    planner: StreamPlanner,
    settings: Settings,
    anchors: Vec<Anchor>,
    entries: Vec<Entry>,
}

impl CuePlanner {
    /// `classes`: the tagger's, for offsets by class.
    pub(super) fn new(pipeline: &Pipeline, classes: &[String]) -> Self {
        let settings = pipeline.settings.clone();
        match pipeline.planning {
            Planning::Global => {
                let planner = GlobalPlanner::new(settings, pipeline.prices);
                Self::Global(Box::new(planner.with_classes(classes)))
            }
            Planning::Streaming => Self::Streaming(Box::new(Streaming {
                planner: StreamPlanner::new(settings.clone(), pipeline.prices)
                    .with_classes(classes),
                settings,
                anchors: Vec::new(),
                entries: Vec::new(),
            })),
        }
    }

    /// When the recording is expected to end, as the container would tell a gate in a streaming pass.
    pub(super) fn expect_stop(&mut self, stop: Nanos) {
        if let Self::Streaming(streaming) = self {
            streaming.planner.expect_stop(stop);
        }
    }

    /// Where the recording's keyframes are, and the time from one frame to the next.
    pub(super) fn set_keyframes(&mut self, keyframes: Vec<Nanos>, frame: Nanos) {
        if let Self::Global(planner) = self {
            planner.set_keyframes(keyframes, frame);
        }
    }

    pub(super) fn push_cue(&mut self, cue: &Cue) {
        match self {
            Self::Global(planner) => planner.push_cue(cue),
            Self::Streaming(streaming) => {
                streaming.planner.push_cue(cue);
                streaming.drain();
            }
        }
    }

    pub(super) fn finish(
        self,
        duration: Nanos,
        video_id: &str,
        config: serde_json::Value,
    ) -> Result<Plan, PlanError> {
        let mut streaming = match self {
            Self::Global(planner) => return planner.finish(duration, video_id, config),
            Self::Streaming(streaming) => streaming,
        };
        if duration != Nanos::ZERO && !(MIN_DURATION..=MAX_DURATION).contains(&duration) {
            return Err(PlanError::Duration(duration));
        }
        streaming.planner.finish(duration);
        streaming.drain();
        // Cues may go on after the last frame.
        streaming.entries.retain(|entry| entry.planned < duration);
        let kept: HashSet<u32> = streaming.entries.iter().filter_map(|e| e.anchor).collect();
        streaming.anchors.retain(|anchor| kept.contains(&anchor.id));
        // A window that was decided before the end was known may reach beyond it.
        for anchor in &mut streaming.anchors {
            let stop = anchor.window.stop().min(duration);
            anchor.window = Window::new(anchor.window.start(), stop).unwrap_or(anchor.window);
        }
        Ok(Plan {
            header: Header {
                schema: SCHEMA.into(),
                video_id: video_id.into(),
                duration,
                budget_tokens: streaming.settings.budget_of(duration),
                spent_tokens: streaming.entries.iter().map(|entry| entry.tokens).sum(),
                config,
            },
            anchors: streaming.anchors,
            entries: streaming.entries,
        })
    }
}

impl Streaming {
    fn drain(&mut self) {
        while let Some(decision) = self.planner.next() {
            match decision {
                Decision::Anchor(anchor) => self.anchors.push(anchor),
                Decision::Frame(entry) => self.entries.push(entry),
            }
        }
    }
}
