//! What the gate holds and what it lets go of: units and events in, units and events out, in order. No pads, no threads,
//! no clock.

mod cues;
mod decisions;
mod drain;
mod end;
mod events;
mod jump;
mod restart;
mod units;

use std::collections::VecDeque;
use std::path::PathBuf;

use anchoring::gop::GopQueue;
use anchoring::holes::Finder;
use anchoring::plan::{Header, SCHEMA};
use anchoring::settings::{Policy, Settings};
use anchoring::tier::Prices;
use anchoring::time::Nanos;

use super::EarmarkAccess;
use super::codec::{Access, DisplayTimes, UnknownOrder};
use super::entry_source::EntrySource;
use super::plan_file::{PlanFile, PlanFileError};
use super::warning::{Warning, WarningContext};
use crate::structures::{Chosen, Message, StructureError, Summary};
use drain::SkippedSpan;
use jump::JumpState;
pub(super) use jump::JumpTarget;

/// Everything that is settled when the gate starts.
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
}

/// What can go wrong at the queue.
#[derive(Debug, thiserror::Error)]
pub(super) enum GateError {
    #[error(transparent)]
    Plan(#[from] PlanFileError),
    #[error(transparent)]
    Cue(#[from] StructureError),
    #[error("the pictures carry no presentation times: {0}")]
    Unordered(#[from] UnknownOrder),
    #[error(
        "a picture of {wanted} bytes is announced, but {there} bytes came: the container takes another codec for raw pictures (AVI does so with H.265); convert it, for example `ffmpeg -i IN -c:v libx264 -crf 18 -c:a copy OUT.mkv`"
    )]
    NotRaw { wanted: usize, there: usize },
    #[error(
        "seeking led astray, and not back to {0}: is the recording being changed? (access=linear reads it through)"
    )]
    Astray(Nanos),
    #[error(
        "{spent} tokens were spent of a budget of {budget}: the recording ended earlier than it said (is it cut off?)"
    )]
    Overspent { spent: u64, budget: u64 },
}

/// What is known of the cues.
///
/// `Waiting` until the first comes, `Hearing` from then on; `Late` when none came for too long, until the next; `Ended` when
/// the sound is over; `Deaf` when nothing feeds the cue branch. Flushing goes back to `Waiting`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CueState {
    Waiting,
    Arriving,
    Late,
    Ended,
    Absent,
}

/// What goes downstream.
#[derive(Debug)]
pub(super) enum Outgoing {
    Event(gst::Event),
    Buffer(gst::Buffer),
}

/// Whether there is room for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// Take the next unit.
    Enough,
    /// Something was let go of: ask again.
    Freed,
    /// Only more cues, or [`GateQueue::go_on_without`], can make room.
    NeedsCues,
}

/// A unit with the serialized events that came before it.
#[derive(Debug)]
struct UnitWithEvents {
    events: Vec<gst::Event>,
    buffer: gst::Buffer,
    /// A decoder forgets all that came before it.
    resets: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) cues: u64,
    pub(super) anchors: u64,
    pub(super) entries: u64,
    pub(super) tokens: u64,
    /// Of the pictures that were let through since the recording was entered.
    pub(super) spent: u64,
    /// Most that was held at once.
    pub(super) most_bytes: usize,
    pub(super) most_time: Nanos,
}

/// What the gate holds.
pub(super) struct GateQueue {
    setup: Setup,
    entries: EntrySource,
    /// From one picture to the next, as the stream says.
    frame: Option<Nanos>,
    header: Header,
    gops: GopQueue<UnitWithEvents>,
    access: Access,
    /// Presentation times, where there are only decoding times.
    order: DisplayTimes<gst::Buffer>,
    /// GStreamer's media type of the pictures.
    media: String,
    /// Bytes of a picture that isn't encoded.
    raw: Option<usize>,
    segment: Option<gst::FormattedSegment<gst::ClockTime>>,
    /// Serialized events that came after the last unit.
    trailing_events: Vec<gst::Event>,
    out: VecDeque<Outgoing>,
    out_bytes: usize,
    /// Messages that came before the video's segment, and so can't go yet.
    pending_messages: VecDeque<Message>,
    /// The first segment has come, of the video or of the cues.
    entered: bool,
    /// The video's segment has gone out.
    started: bool,
    /// The plan's header has gone out.
    header_sent: bool,
    finished: bool,
    pub(super) cue_state: CueState,
    warned: Vec<Warning>,
    pub(super) warnings: Vec<String>,
    /// Warnings before this one were fetched.
    posted: usize,
    /// The first keyframe, kept until something passes: a decoder that never sees a picture is an error to decodebin.
    first_keyframe: Option<gst::Buffer>,
    passed_any: bool,
    discont: bool,
    skipped: Option<SkippedSpan>,
    previous: Option<Nanos>,
    video_stop: Nanos,
    cue_stop: Nanos,
    /// The last cue's time since the start or the last flush.
    last_cue: Option<Nanos>,
    /// Holes in the pictures.
    holes: Finder,
    /// Longest time between two keyframes, and the last of them.
    longest_gop: Nanos,
    last_key: Option<Nanos>,
    jumps: JumpState,
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
            },
        };
        Ok(Self {
            jumps: JumpState::new(setup.access),
            setup,
            entries,
            frame: None,
            header,
            gops: GopQueue::new(),
            access: Access::default(),
            order: DisplayTimes::default(),
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
            video_stop: Nanos::ZERO,
            cue_stop: Nanos::ZERO,
            last_cue: None,
            holes: Finder::default(),
            longest_gop: Nanos::ZERO,
            last_key: None,
            counts: Counts::default(),
        })
    }

    /// Whether the plan is made from the cues.
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

    /// Whether a picture or its segment has come.
    pub(super) fn started(&self) -> bool {
        self.started
    }

    /// Whether the end has gone out.
    pub(super) fn finished(&self) -> bool {
        self.finished
    }

    /// Encoded pictures that came, each as often as it came.
    pub(super) fn units_read(&self) -> u64 {
        self.gops.stats().seen + self.jumps.repeated_units()
    }

    pub(super) fn gop_stats(&self) -> anchoring::gop::Stats {
        self.gops.stats()
    }

    /// Bytes and time held.
    pub(super) fn held(&self) -> (usize, Nanos) {
        (
            self.gops.held_bytes() + self.out_bytes,
            self.gops.held_time(),
        )
    }

    /// Whether what waits to be pushed is as much as may wait.
    pub(super) fn full(&self) -> bool {
        const BYTES: usize = 8 << 20;
        const ITEMS: usize = 1024;
        self.out_bytes > BYTES || self.out.len() > ITEMS
    }

    /// Whether more messages wait for the video's segment than may wait: an hour's cues.
    pub(super) fn pending_messages_full(&self) -> bool {
        const MESSAGES: usize = 45_000;
        self.pending_messages.len() > MESSAGES
    }

    /// Takes the next thing to push.
    pub(super) fn pop(&mut self) -> Option<Outgoing> {
        let out = self.out.pop_front()?;
        if let Outgoing::Buffer(buffer) = &out {
            self.out_bytes -= buffer.size();
        }
        Some(out)
    }

    /// Warnings that nobody has been told yet.
    pub(super) fn take_warnings(&mut self) -> Vec<String> {
        let news = self.warnings[self.posted..].to_vec();
        self.posted = self.warnings.len();
        news
    }

    fn warn(&mut self, cause: Warning) {
        let told = self.warned.iter().any(|told| told.like(cause));
        if told || (cause.about_cues() && !self.needs_cues()) {
            return;
        }
        self.warned.push(cause);
        let (bytes, time) = self.held();
        let text = cause.text(&WarningContext {
            anchors_only: self.setup.settings.budget.policy == Policy::AnchorsOnly,
            cue_stop: self.cue_stop,
            held_bytes: bytes,
            held_time: time,
            media: &self.media,
        });
        self.warnings.push(text);
    }
}
