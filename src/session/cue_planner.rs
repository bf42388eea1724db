//! Plans from cues: globally, or as the streaming planner would.

use std::collections::{HashSet, VecDeque};

use anchoring::cue::{Cue, HOP};
use anchoring::plan::{Anchor, Entry, Header, Plan, PlanError, SCHEMA, Untaken};
use anchoring::plan::{MAX_DURATION, MIN_DURATION};
use anchoring::planning::change::Change;
use anchoring::planning::change_clock::{ChangeClock, ChangeMap};
use anchoring::planning::clips::ClipPlace;
use anchoring::planning::decode_cost::DecodeCost;
use anchoring::planning::global::{GivenCue, GlobalPlanner};
use anchoring::planning::snapping::{snap_frames, snap_within};
use anchoring::planning::streaming::{Decision, StreamPlanner};
use anchoring::planning::value::ValueModel;
use anchoring::settings::{BudgetSettings, Policy, Settings};
use anchoring::time::{Nanos, Window};

use crate::pipeline::{Pipeline, Planning};

/// Plans globally, or as a streaming pass would.
pub(super) enum CuePlanner {
    Global(Box<Global>),
    Streaming(Box<Streaming>),
}

/// How far plans that are spread over change may follow it; the rest follows time.
const SHARES: [f64; 3] = [1.0, 0.5, 0.25];

/// How far ahead of the cues a streaming planner gets the change.
const CHANGE_AHEAD: Nanos = Nanos::from_ms(2_000);

/// A global planner, and what its frames are spread over.
pub(super) struct Global {
    planner: GlobalPlanner,
    /// Empty: spread over time.
    changes: Vec<Change>,
}

/// The facts about a recording that its plan holds.
pub(super) struct PlanFacts<'a> {
    /// In the planner's time.
    pub(super) duration: Nanos,
    pub(super) video_id: &'a str,
    pub(super) config: &'a serde_json::Value,
}

/// Moves the entries of a global plan to frames that are cheap to decode.
pub(super) struct Snapper<'a> {
    pub(super) decode_cost: DecodeCost<'a>,
    /// From the first frame to the end of the last.
    pub(super) span: (Nanos, Nanos),
    pub(super) budget: &'a BudgetSettings,
}

impl Snapper<'_> {
    /// The largest gap, and how far an entry may move.
    fn limits(&self) -> (Nanos, Nanos) {
        let ms = |ms: u32| Nanos::from_ms(ms.into());
        (ms(self.budget.max_gap_ms), ms(self.budget.snap_ms))
    }

    /// Snaps, and returns how many frames must be decoded.
    fn snap(&self, entries: &mut [Entry]) -> u64 {
        let ((max_gap, reach), (start, stop)) = (self.limits(), self.span);
        if self.budget.policy == Policy::Gated {
            snap_frames(entries, self.decode_cost, start, stop, max_gap, reach);
        }
        self.decode_cost.frames_decoded(&*entries)
    }

    /// Snaps only as far as needed to decode at most `limit` frames; `false` if that is not possible.
    fn snap_within(&self, entries: &mut Vec<Entry>, limit: u64) -> bool {
        let (max_gap, reach) = self.limits();
        snap_within(entries, self.decode_cost, self.span, max_gap, reach, limit)
    }
}

impl Global {
    /// The plan: over time, or over change if that decodes no more frames.
    fn finish(
        self,
        finish: &PlanFacts<'_>,
        place: impl Fn(&mut Plan),
        snapper: &Snapper<'_>,
    ) -> Result<Plan, PlanError> {
        let plan = |clock: Option<ChangeClock>| {
            let mut planner = self.planner.clone();
            if let Some(clock) = clock {
                planner.set_change(clock);
            }
            let mut plan =
                planner.finish(finish.duration, finish.video_id, finish.config.clone())?;
            place(&mut plan);
            Ok(plan)
        };
        let mut even = plan(None)?;
        let decoded = snapper.snap(&mut even.entries);
        if self.changes.is_empty() {
            return Ok(even);
        }
        // Of the plans that decode no more frames, the one that is expected to show most of the change.
        let map = ChangeMap::new(self.changes.iter().copied(), finish.duration);
        let model = ValueModel::new(snapper.budget);
        let start = snapper.span.0;
        let seen = |plan: &Plan| {
            let times = plan.entries.iter().map(|entry| entry.planned - start);
            map.seen(times, &model)
        };
        let keyframes = snapper.decode_cost.keyframes.iter();
        // Of clips, the entries that begin at a keyframe.
        let before = snapper.decode_cost.takes.other.before();
        let keyframes: Vec<Nanos> = keyframes.map(|&key| key - start + before).collect();
        let clocks = SHARES
            .into_iter()
            .map(|share| map.clock().mixed(share))
            .chain([map.clock_at(&keyframes, &model)]);
        let mut best = (seen(&even), even);
        for clock in clocks {
            let mut changed = plan(Some(clock))?;
            if snapper.snap_within(&mut changed.entries, decoded) {
                let shown = seen(&changed);
                if shown > best.0 {
                    best = (shown, changed);
                }
            }
        }
        Ok(best.1)
    }
}

/// A streaming planner and its decisions.
pub(super) struct Streaming {
    planner: StreamPlanner,
    /// Changes that the planner does not know yet.
    changes: VecDeque<Change>,
    settings: Settings,
    anchors: Vec<Anchor>,
    entries: Vec<Entry>,
    untaken: Vec<Untaken>,
}

impl CuePlanner {
    /// `classes`: the tagger's, for offsets by class.
    pub(super) fn new(pipeline: &Pipeline, settings: &Settings, classes: &[String]) -> Self {
        let settings = settings.clone();
        match pipeline.planning {
            Planning::Global => {
                let planner = GlobalPlanner::new(settings, pipeline.prices);
                Self::Global(Box::new(Global {
                    planner: planner.with_classes(classes),
                    changes: Vec::new(),
                }))
            }
            Planning::Streaming => Self::Streaming(Box::new(Streaming {
                planner: StreamPlanner::new(settings.clone(), pipeline.prices)
                    .with_classes(classes),
                changes: VecDeque::new(),
                settings,
                anchors: Vec::new(),
                entries: Vec::new(),
                untaken: Vec::new(),
            })),
        }
    }

    /// Plans without what was not taken, which takes most of the time.
    #[must_use]
    pub(super) fn without_untaken(self) -> Self {
        match self {
            Self::Global(mut global) => {
                global.planner = global.planner.without_untaken();
                Self::Global(global)
            }
            streaming @ Self::Streaming(_) => streaming,
        }
    }

    /// When the recording is expected to end, as a gate in a streaming pass would learn from the container.
    pub(super) fn expect_stop(&mut self, stop: Nanos) {
        if let Self::Streaming(streaming) = self {
            streaming.planner.expect_stop(stop);
        }
    }

    /// Times of the recording's keyframes, and the time between frames.
    pub(super) fn set_keyframes(&mut self, keyframes: Vec<Nanos>, frame: Nanos) {
        if let Self::Global(global) = self {
            global.planner.set_keyframes(keyframes, frame);
        }
    }

    /// Entries become clips, which are decoded whole.
    pub(super) fn set_clips(&mut self, place: ClipPlace) {
        if let Self::Global(global) = self {
            global.planner.set_clips(place);
        }
    }

    /// How much the video changes, in order: background and untrusted frames are spread over it.
    pub(super) fn set_changes(&mut self, changes: impl Iterator<Item = Change>) {
        match self {
            Self::Global(global) => global.changes = changes.collect(),
            Self::Streaming(streaming) => streaming.changes = changes.collect(),
        }
    }

    /// Cues of other sources, in order; only global plans have any.
    pub(super) fn set_given(&mut self, given: Vec<GivenCue>) {
        if let Self::Global(global) = self {
            global.planner.set_given(given);
        }
    }

    pub(super) fn push_cue(&mut self, cue: &Cue) {
        match self {
            Self::Global(global) => global.planner.push_cue(cue),
            Self::Streaming(streaming) => {
                streaming.tell_until(cue.pts + CHANGE_AHEAD);
                streaming.planner.push_cue(cue);
                streaming.drain();
            }
        }
    }

    pub(super) fn finish(
        self,
        finish: &PlanFacts<'_>,
        place: impl Fn(&mut Plan),
        snapper: &Snapper<'_>,
    ) -> Result<Plan, PlanError> {
        let duration = finish.duration;
        let mut streaming = match self {
            Self::Global(global) => return global.finish(finish, place, snapper),
            Self::Streaming(streaming) => streaming,
        };
        if duration != Nanos::ZERO && !(MIN_DURATION..=MAX_DURATION).contains(&duration) {
            return Err(PlanError::Duration(duration));
        }
        while let Some(change) = streaming.changes.pop_front() {
            // Memory is bounded: the rest of the recording is planned as it comes.
            streaming.planner.push_change(change);
            streaming.planner.missing_until(change.at - HOP);
            streaming.drain();
        }
        streaming.planner.finish(duration);
        streaming.drain();
        // Cues may go on after the last frame.
        streaming.entries.retain(|entry| entry.planned < duration);
        let kept: HashSet<u32> = streaming.entries.iter().filter_map(|e| e.anchor).collect();
        streaming.anchors.retain(|anchor| kept.contains(&anchor.id));
        streaming.untaken.retain(|one| one.onset < duration);
        streaming.untaken.sort_by_key(|one| one.onset);
        // A window that was decided before the end was known may reach beyond it.
        for anchor in &mut streaming.anchors {
            let stop = anchor.window.stop().min(duration);
            anchor.window = Window::new(anchor.window.start(), stop).unwrap_or(anchor.window);
        }
        let mut plan = Plan {
            header: Header {
                schema: SCHEMA.into(),
                video_id: finish.video_id.into(),
                duration,
                budget_tokens: streaming.settings.budget_of(duration),
                spent_tokens: streaming.entries.iter().map(|entry| entry.tokens).sum(),
                config: finish.config.clone(),
                candidates_per_min: streaming.settings.candidates_per_min(),
            },
            anchors: streaming.anchors,
            entries: streaming.entries,
            clips: Vec::new(),
            untaken: streaming.untaken,
        };
        place(&mut plan);
        Ok(plan)
    }
}

impl Streaming {
    /// Passes the changes before this time to the planner.
    fn tell_until(&mut self, until: Nanos) {
        while let Some(&change) = self.changes.front()
            && change.at < until
        {
            self.changes.pop_front();
            self.planner.push_change(change);
        }
        self.planner.no_change_until(until);
    }

    fn drain(&mut self) {
        while let Some(decision) = self.planner.next() {
            match decision {
                Decision::Anchor(anchor) => self.anchors.push(anchor),
                Decision::Frame(entry) => self.entries.push(entry),
                Decision::Untaken(one) => self.untaken.push(one),
            }
        }
    }
}
