//! The plan: which frames to take, at what cost and why; and its text form, `plan.jsonl`.
//!
//! One JSON object per line: the header, then anchors, frames, candidates that were not taken, and (optionally) cues,
//! in order of time. An anchor always comes before the frames that name it, so a reader needs constant memory. All
//! anchors first and then all frames is valid, too.

mod anchor;
mod clip;
mod line;
mod read;
mod untaken;

use serde::{Deserialize, Serialize};

use crate::cue::Cue;
use crate::tier::{Tier, Tokens};
use crate::time::Nanos;

pub use anchor::Anchor;
pub use clip::{Clip, ClipFrames, MOST_CLIP_FRAMES, MOST_CLIPS_OPEN, NO_FRAME};
pub use read::{PlanParseError, PlanReader};
pub(crate) use untaken::keep_most_probable;
pub use untaken::{UNTAKEN_PER_MIN, Untaken};

/// The `schema` of every header that this version writes.
pub const SCHEMA: &str = "earmark-plan/2";

/// The schema before it, which is still read. Its frames say `requested_ns` for `planned_ns`, `fallback` for
/// `untrusted`, and `uniform` also for `background`.
pub const OLD_SCHEMA: &str = "earmark-plan/1";

/// Shortest recording that can be planned, unless it is empty: 10 ms.
pub const MIN_DURATION: Nanos = Nanos::from_ms(10);

/// Longest recording that can be planned: a hundred hours.
pub const MAX_DURATION: Nanos = Nanos::new(360_000_000_000_000);

/// Why a frame is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// An event begins there.
    Anchor,
    /// The sound is missing there, or can't be trusted.
    Untrusted,
    /// No event begins there; the frame is taken so that nothing goes unseen.
    Background,
    /// The policy ignores the sound: `uniform` or `dense`.
    Uniform,
}

impl Reason {
    /// Every reason, in the order of the HDF5 enum.
    pub const ALL: [Self; 4] = [
        Self::Anchor,
        Self::Untrusted,
        Self::Background,
        Self::Uniform,
    ];

    /// The name used in plans and HDF5.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Anchor => "anchor",
            Self::Untrusted => "untrusted",
            Self::Background => "background",
            Self::Uniform => "uniform",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Reason {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|reason| reason.name() == text)
            .ok_or_else(|| {
                format!("unknown reason `{text}`: use anchor, untrusted, background or uniform")
            })
    }
}

/// One frame to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Entry {
    /// The time of the plan, after snapping, in the recording's time.
    #[serde(rename = "planned_ns")]
    pub planned: Nanos,
    /// The time that was asked for, before snapping moved it to a frame that is cheaper to decode; `None` if it was
    /// not moved.
    #[serde(rename = "asked_ns", skip_serializing_if = "Option::is_none")]
    pub asked: Option<Nanos>,
    /// Resolution.
    pub tier: Tier,
    /// Price at that resolution.
    pub tokens: Tokens,
    /// Why it is taken.
    pub reason: Reason,
    /// `id` of its anchor; set exactly if the reason is [`Reason::Anchor`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anchor: Option<u32>,
}

/// The first line of a plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Header {
    /// [`SCHEMA`].
    pub schema: String,
    /// Name of the recording.
    pub video_id: String,
    /// Duration of the recording.
    #[serde(rename = "duration_ns")]
    pub duration: Nanos,
    /// Tokens that the plan may spend.
    pub budget_tokens: Tokens,
    /// Price of all entries; never more than the budget.
    pub spent_tokens: Tokens,
    /// The settings that made the plan; any JSON object.
    pub config: serde_json::Value,
    /// How many of the candidates that were not taken are kept for every minute; 0 if none are kept, as in plans of
    /// older versions.
    #[serde(skip_serializing_if = "no")]
    pub candidates_per_min: u32,
}

/// Whether a field is left out.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes it like this"
)]
const fn no(n: &u32) -> bool {
    *n == 0
}

/// The plan of one recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The first line.
    pub header: Header,
    /// In order of their disjoint windows; `id` is the index.
    pub anchors: Vec<Anchor>,
    /// By planned time, strictly ascending; ascending if they are clips.
    pub entries: Vec<Entry>,
    /// Empty where single frames serve the entries; else the clip of each.
    pub clips: Vec<ClipFrames>,
    /// Candidates that did not become anchors, by onset.
    pub untaken: Vec<Untaken>,
}

/// One line of `plan.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Line {
    /// The header; always first.
    Plan(Header),
    /// An anchor and its window.
    Anchor(Anchor),
    /// A frame to take.
    Frame(Entry),
    /// A clip to take; a plan has either frames or clips.
    Clip(Clip),
    /// A candidate that was not taken; optional, for people and for `/candidates`.
    Candidate(Untaken),
    /// A cue; optional, for people and for `/cues`.
    Cue(Cue),
}

impl Entry {
    /// The time that was asked for, moved or not.
    pub fn first_asked(&self) -> Nanos {
        self.asked.unwrap_or(self.planned)
    }
}

impl Line {
    /// The `kind` of the line in the file.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Plan(_) => "plan",
            Self::Anchor(_) => "anchor",
            Self::Frame(_) => "frame",
            Self::Clip(_) => "clip",
            Self::Candidate(_) => "candidate",
            Self::Cue(_) => "cue",
        }
    }

    /// The plan entry, if the line is one: of a frame or of a clip.
    pub const fn entry(&self) -> Option<&Entry> {
        match self {
            Self::Frame(entry) => Some(entry),
            Self::Clip(clip) => Some(&clip.entry),
            Self::Plan(_) | Self::Anchor(_) | Self::Candidate(_) | Self::Cue(_) => None,
        }
    }

    /// One line of JSON without a line break. NaN and infinity become `null` and can't be read back.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Plan {
    /// The lines of `plan.jsonl`, in order. `cues` must be in order; they are merged by time.
    pub fn lines(&self, cues: impl IntoIterator<Item = Cue>) -> impl Iterator<Item = Line> {
        let mut cues = cues.into_iter().peekable();
        let mut anchors = self.anchors.iter().peekable();
        let mut entries = self.entries.iter().peekable();
        let mut clips = self.clips.iter().peekable();
        let mut untaken = self.untaken.iter().peekable();
        let body = std::iter::from_fn(move || {
            // An anchor comes before anything at or after its window's start, and before the frames that name it.
            let frame = entries.peek().map(|entry| entry.planned);
            let frame = frame.map(|planned| clips.peek().map_or(planned, |clip| clip.start));
            let named = entries.peek().and_then(|entry| entry.anchor);
            let cue = cues.peek().map(|cue| cue.pts);
            let first = [frame, cue].into_iter().flatten().min();
            let anchor = anchors.next_if(|anchor| {
                first.is_none_or(|first| anchor.window.start() <= first)
                    || (first == frame && named.is_some_and(|id| anchor.id <= id))
            });
            if let Some(anchor) = anchor {
                return Some(Line::Anchor(anchor.clone()));
            }
            if let Some(one) = untaken.next_if(|one| first.is_none_or(|first| one.onset <= first)) {
                return Some(Line::Candidate(*one));
            }
            if let Some(cue) = cues.next_if(|cue| frame.is_none_or(|frame| cue.pts <= frame)) {
                return Some(Line::Cue(cue));
            }
            let entry = *entries.next()?;
            Some(match clips.next() {
                None => Line::Frame(entry),
                Some(frames) => Line::Clip(Clip {
                    entry,
                    frames: frames.clone(),
                }),
            })
        });
        std::iter::once(Line::Plan(self.header.clone())).chain(body)
    }

    /// `plan.jsonl` without cues.
    pub fn to_text(&self) -> String {
        self.lines([]).map(|line| line.to_text() + "\n").collect()
    }
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The policy takes every frame.
    #[error(
        "budget.policy is dense: it takes every frame, so there is nothing to plan (did you mean `earmark run`?)"
    )]
    Dense,
    /// The largest gap alone costs more than the budget.
    #[error(
        "the budget is {budget} tokens, but frames of tier {tier} at most {max_gap_ms} ms apart over {duration} cost \
         {needed}: raise budget.tokens_per_s or budget.max_gap_ms (did you give a budget per minute?)"
    )]
    TooSmall {
        /// What may be spent.
        budget: Tokens,
        /// What the largest gap costs.
        needed: Tokens,
        /// Tier of the frames.
        tier: Tier,
        /// The largest gap.
        max_gap_ms: u32,
        /// Duration of the recording.
        duration: Nanos,
    },
    /// The largest gap is so small that the plan would not fit in memory.
    #[error(
        "gaps of at most {max_gap_ms} ms need {frames} frames, more than {limit}: raise budget.max_gap_ms (did you give \
         seconds?)"
    )]
    TooMany {
        /// Frames that the recording would need.
        frames: u64,
        /// Most frames of a plan.
        limit: u64,
        /// The largest gap.
        max_gap_ms: u32,
    },
    /// The duration is negative or out of range.
    #[error(
        "the recording's duration is {0}: it must be 0 or lie between {low} and {high} (is its last timestamp broken?)",
        low = MIN_DURATION,
        high = MAX_DURATION
    )]
    Duration(Nanos),
}
