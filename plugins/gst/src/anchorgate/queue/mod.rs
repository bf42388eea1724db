//! The gate's queue: access units, events and cues in, the chosen units and messages out, in order. No pads, no threads, no clock.
//!
//! # Layout
//!
//! - `events`, `units`, `cues`: what comes in.
//! - `decisions`: what the plan says, and what goes out because of it.
//! - `change`: how much the video changes, for plans that are spread over it.
//! - `drain`: skipped spans, and a decoder that must give out its frames.
//! - `jump`: skips parts of the recording.
//! - `restart`, `end`: flushes, further segments, the end.

mod change;
mod cues;
mod decisions;
mod drain;
mod end;
mod events;
mod jump;
mod restart;
mod sharpest;
mod units;

use std::collections::VecDeque;
use std::path::PathBuf;

use anchoring::discontinuity::DiscontinuityFinder;
use anchoring::gate::gop_queue::GopQueue;
use anchoring::plan::{Anchor, Header, SCHEMA};
use anchoring::planning::clips::ClipPlace;
use anchoring::settings::{Policy, Settings};
use anchoring::tier::Prices;
use anchoring::time::Nanos;

use super::EarmarkAccess;
use super::codec::{DisplayTimes, Inspector, Kinds, UnknownOrder};
use super::entry_source::EntrySource;
use super::plan_file::{PlanFile, PlanFileError};
use super::warning::{Warning, WarningContext};
use crate::structures::{Chosen, Message, StructureError, Summary};
use change::ChangeState;
use drain::SkippedSpan;
use jump::JumpState;
pub(super) use jump::JumpTarget;
use sharpest::SharpestSpans;

/// Everything that is fixed when the gate starts.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) settings: Settings,
    pub(super) prices: Prices,
    pub(super) plan: Option<PathBuf>,
    /// Class names by index; may be empty.
    pub(super) labels: Vec<String>,
    pub(super) video_id: String,
    pub(super) max_bytes: usize,
    pub(super) max_lag: Nanos,
    pub(super) access: EarmarkAccess,
    /// How far from the time asked for a sharper frame may be taken; 0: nowhere.
    pub(super) sharpest: Nanos,
    /// Where clips lie that are planned while the cues come; `None` for single frames.
    pub(super) clips: Option<ClipPlace>,
}

/// Why the gate stops.
#[derive(Debug, thiserror::Error)]
pub(super) enum GateError {
    #[error(transparent)]
    Plan(#[from] PlanFileError),
    #[error(transparent)]
    Cue(#[from] StructureError),
    #[error("the video has no presentation times: {0}")]
    Unordered(#[from] UnknownOrder),
    #[error(
        "raw video frames must have {wanted} bytes, but one has {there}: the container calls another codec raw video, as AVI does with H.265 (convert it: `ffmpeg -i IN -c:v libx264 -crf 18 -c:a copy OUT.mkv`)"
    )]
    NotRaw { wanted: usize, there: usize },
    #[error(
        "a seek missed its target, and so did the seek back to {0} (is the recording being changed?); access=linear reads without seeking"
    )]
    SeekFailed(Nanos),
    #[error(
        "spent {spent} tokens of a budget of {budget}: the recording ended earlier than its container says (is it cut off?)"
    )]
    Overspent { spent: u64, budget: u64 },
}

/// The state of the cues.
///
/// `Waiting` until the first one, then `Arriving`; `Late` after too long without one, until the next; `Ended` at the end of the audio;
/// `Absent` when the cue branch gets no data. A flush goes back to `Waiting`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CueState {
    Waiting,
    Arriving,
    Late,
    Ended,
    Absent,
}

/// An item for downstream.
#[derive(Debug)]
pub(super) enum Outgoing {
    Event(gst::Event),
    Buffer(gst::Buffer),
}

/// Whether there is room for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// The next unit fits.
    Enough,
    /// Some units left: ask again.
    Freed,
    /// Only more cues, or [`GateQueue::continue_without_cues`], can make room.
    NeedsCues,
}

/// An access unit with the serialized events before it.
#[derive(Debug)]
struct UnitWithEvents {
    events: Vec<gst::Event>,
    buffer: gst::Buffer,
    /// The decoder drops its reference frames here.
    resets: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) cues: u64,
    pub(super) anchors: u64,
    pub(super) entries: u64,
    pub(super) tokens: u64,
    /// Tokens of passed frames, since playback entered the recording.
    pub(super) spent: u64,
    /// Most bytes and time held at once.
    pub(super) most_bytes: usize,
    pub(super) most_time: Nanos,
}

/// The queue.
pub(super) struct GateQueue {
    setup: Setup,
    entries: EntrySource,
    /// Time from one frame to the next, by the caps.
    frame: Option<Nanos>,
    /// Units by which the frame interval was measured, where the caps do not give it; counted up to a limit.
    measured: u32,
    header: Header,
    gops: GopQueue<UnitWithEvents>,
    inspector: Inspector,
    /// How units depend on others.
    kinds: Kinds,
    /// `None` unless frames are spread over change.
    change: Option<ChangeState>,
    /// Finds presentation times where there are only decoding times.
    display_times: DisplayTimes<gst::Buffer>,
    /// GStreamer's media type of the video.
    media: String,
    /// Bytes per frame of raw video.
    raw: Option<usize>,
    segment: Option<gst::FormattedSegment<gst::ClockTime>>,
    /// Serialized events after the last unit.
    trailing_events: Vec<gst::Event>,
    out: VecDeque<Outgoing>,
    out_bytes: usize,
    /// Messages that wait for the video's segment.
    pending_messages: VecDeque<Message>,
    /// The first segment of video or cues has come.
    entered: bool,
    /// The video's segment has gone out.
    started: bool,
    /// The plan's header has gone out.
    header_sent: bool,
    finished: bool,
    pub(super) cue_state: CueState,
    warned: Vec<Warning>,
    pub(super) warnings: Vec<String>,
    /// How many of the warnings have been taken.
    posted: usize,
    /// The first keyframe, kept until any unit passes: decodebin fails if its decoder gets nothing.
    first_keyframe: Option<gst::Buffer>,
    passed_any: bool,
    discont: bool,
    skipped: Option<SkippedSpan>,
    previous: Option<Nanos>,
    /// The earliest time of a frame that is shown.
    first_shown: Option<Nanos>,
    video_stop: Nanos,
    cue_stop: Nanos,
    /// Time of the last cue since the start or the last flush.
    last_cue: Option<Nanos>,
    /// Finds stretches of the video without frames.
    discontinuities: DiscontinuityFinder,
    /// Longest time between two keyframes, and the last keyframe.
    longest_gop: Nanos,
    last_key: Option<Nanos>,
    jumps: JumpState,
    sharpest: SharpestSpans,
    /// Clips none of whose frames has come: start, stop and price. Their frames wait in `gops`, which bounds them.
    unspent: Vec<(Nanos, Nanos, u64)>,
    /// Anchors that were planned here and not yet announced.
    decided: Vec<Anchor>,
    pub(super) counts: Counts,
}

impl GateQueue {
    pub(super) fn new(setup: Setup) -> Result<Self, GateError> {
        let policy = setup.settings.budget.policy;
        let entries = match &setup.plan {
            Some(path) => EntrySource::Plan(Box::new(PlanFile::open(path, setup.prices)?)),
            None if policy == Policy::Dense => EntrySource::Dense {
                tier: setup.settings.budget.untrusted_tier,
                tokens: setup.prices.of(setup.settings.budget.untrusted_tier),
            },
            None => EntrySource::stream(
                setup.settings.clone(),
                setup.prices,
                &setup.labels,
                Nanos::ZERO,
                setup.clips,
            ),
        };
        let header = match &entries {
            EntrySource::Plan(file) => file.header().clone(),
            _ => Header {
                schema: SCHEMA.into(),
                video_id: setup.video_id.clone(),
                duration: Nanos::new(-1),
                budget_tokens: 0,
                spent_tokens: 0,
                config: serde_json::to_value(&setup.settings).unwrap_or_default(),
                candidates_per_min: setup.settings.candidates_per_min(),
            },
        };
        Ok(Self {
            jumps: JumpState::new(setup.access),
            change: ChangeState::new(&setup, &entries),
            sharpest: SharpestSpans::new(setup.sharpest),
            setup,
            entries,
            frame: None,
            measured: 0,
            header,
            gops: GopQueue::new(),
            inspector: Inspector::default(),
            kinds: Kinds::default(),
            display_times: DisplayTimes::default(),
            media: String::new(),
            raw: None,
            segment: None,
            trailing_events: Vec::new(),
            out: VecDeque::new(),
            out_bytes: 0,
            pending_messages: VecDeque::new(),
            entered: false,
            started: false,
            header_sent: false,
            finished: false,
            cue_state: CueState::Waiting,
            warned: Vec::new(),
            warnings: Vec::new(),
            posted: 0,
            first_keyframe: None,
            passed_any: false,
            discont: true,
            skipped: None,
            previous: None,
            first_shown: None,
            video_stop: Nanos::ZERO,
            cue_stop: Nanos::ZERO,
            last_cue: None,
            discontinuities: DiscontinuityFinder::default(),
            longest_gop: Nanos::ZERO,
            last_key: None,
            unspent: Vec::new(),
            decided: Vec::new(),
            counts: Counts::default(),
        })
    }

    /// Whether the plan is made from cues.
    pub(super) fn needs_cues(&self) -> bool {
        let policy = self.setup.settings.budget.policy;
        matches!(self.entries, EntrySource::Stream { .. })
            && matches!(policy, Policy::Gated | Policy::AnchorsOnly)
    }

    /// Whether cues may still come.
    pub(super) fn cues_may_come(&self) -> bool {
        matches!(
            self.cue_state,
            CueState::Waiting | CueState::Arriving | CueState::Late
        )
    }

    /// Longest time between two keyframes so far.
    pub(super) fn longest_gop(&self) -> Nanos {
        self.longest_gop
    }

    /// Whether the video's segment has gone out.
    pub(super) fn started(&self) -> bool {
        self.started
    }

    /// Whether the end has gone out.
    pub(super) fn finished(&self) -> bool {
        self.finished
    }

    /// Access units that came; repeated ones count again.
    pub(super) fn units_read(&self) -> u64 {
        self.gops.stats().pushed + self.jumps.repeated_units()
    }

    pub(super) fn gop_stats(&self) -> anchoring::gate::verdict::Stats {
        self.gops.stats()
    }

    /// Bytes and time held.
    pub(super) fn held(&self) -> (usize, Nanos) {
        (
            self.gops.held_bytes() + self.out_bytes,
            self.gops.held_time(),
        )
    }

    /// Whether the outgoing items are at their bound.
    pub(super) fn full(&self) -> bool {
        const BYTES: usize = 8 << 20;
        const ITEMS: usize = 1024;
        self.out_bytes > BYTES || self.out.len() > ITEMS
    }

    /// Whether messages that wait for the video's segment are at their bound: an hour of cues.
    pub(super) fn pending_messages_full(&self) -> bool {
        const MESSAGES: usize = 45_000;
        self.pending_messages.len() > MESSAGES
    }

    /// Takes the next item to push.
    pub(super) fn pop(&mut self) -> Option<Outgoing> {
        let out = self.out.pop_front()?;
        if let Outgoing::Buffer(buffer) = &out {
            self.out_bytes -= buffer.size();
        }
        Some(out)
    }

    /// Takes the new warnings.
    pub(super) fn take_warnings(&mut self) -> Vec<String> {
        let new = self.warnings[self.posted..].to_vec();
        self.posted = self.warnings.len();
        new
    }

    /// Takes the anchors that were planned here since the last call.
    pub(super) fn take_decided(&mut self) -> Vec<Anchor> {
        std::mem::take(&mut self.decided)
    }

    /// Adds a warning, unless there is one of its kind or it does not matter here.
    fn warn(&mut self, warning: Warning) {
        let repeated = self.warned.iter().any(|given| given.like(warning));
        if repeated || (warning.about_cues() && !self.needs_cues()) {
            return;
        }
        self.warned.push(warning);
        let (bytes, time) = self.held();
        let text = warning.text(&WarningContext {
            anchors_only: self.setup.settings.budget.policy == Policy::AnchorsOnly,
            cue_stop: self.cue_stop,
            held_bytes: bytes,
            held_time: time,
            media: &self.media,
        });
        self.warnings.push(text);
    }
}
