//! Where plan entries come from: a plan file, the streaming planner, or every frame.

use anchoring::cue::Cue;
use anchoring::plan::{Clip, Entry, Reason};
use anchoring::planning::change::Change;
use anchoring::planning::clips::ClipPlace;
use anchoring::planning::streaming::{Decision, StreamPlanner};
use anchoring::settings::Settings;
use anchoring::tier::{Prices, Tier};
use anchoring::time::{Nanos, Window};

use super::clip_parts::ClipParts;
use super::plan_file::{Item, PlanFile, PlanFileError};

/// Entries this far beyond the newest frame are held back: sound that jumps ahead plans nothing until the video follows.
const AHEAD: Nanos = Nanos::from_ms(120_000);
/// Between frames, until that is known.
pub(super) const USUAL_INTERVAL: Nanos = Nanos::from_ms(40);

/// Where plan entries come from.
#[derive(Debug)]
pub(super) enum EntrySource {
    /// A plan file, read as the frames come.
    Plan(Box<PlanFile>),
    /// Planned from cues. The planner's time starts at `origin`, where playback enters the recording.
    Stream {
        planner: Box<StreamPlanner>,
        origin: Nanos,
        /// An entry too far ahead to be given out.
        held: Option<Entry>,
        /// `None` unless the encoder takes clips.
        clips: Option<StreamClips>,
    },
    /// Every frame.
    Dense { tier: Tier, tokens: u64 },
}

/// Turns entries of a stream into clips.
#[derive(Debug)]
pub(super) struct StreamClips {
    place: ClipPlace,
    /// The time from one frame to the next.
    interval: Nanos,
    parts: ClipParts,
}

impl StreamClips {
    pub(super) fn new(place: ClipPlace) -> Self {
        Self {
            place,
            interval: USUAL_INTERVAL,
            parts: ClipParts::default(),
        }
    }

    /// The clip of an entry; its frames are given out next.
    fn make(&mut self, entry: Entry, origin: Nanos) -> Option<Item> {
        let frames = self.place.in_stream(&entry, origin, self.interval)?;
        let clip = Clip {
            entry: Entry {
                planned: frames.middle(),
                asked: Some(entry.first_asked()),
                ..entry
            },
            frames,
        };
        self.parts.add(&clip);
        Some(Item::Clip(clip))
    }
}

impl EntrySource {
    /// The streaming planner. `classes`: the tagger's, for offsets by class.
    pub(super) fn stream(
        settings: Settings,
        prices: Prices,
        classes: &[String],
        origin: Nanos,
        clips: Option<ClipPlace>,
    ) -> Self {
        Self::Stream {
            planner: Box::new(StreamPlanner::new(settings, prices).with_classes(classes)),
            origin,
            held: None,
            clips: clips.map(StreamClips::new),
        }
    }

    /// The entry of a frame, if every frame has one.
    pub(super) fn dense_entry(&self, pts: Nanos) -> Option<Entry> {
        match *self {
            Self::Dense { tier, tokens } => Some(Entry {
                planned: pts,
                asked: None,
                tier,
                tokens,
                reason: Reason::Uniform,
                anchor: None,
            }),
            _ => None,
        }
    }

    /// Takes a cue.
    pub(super) fn push_cue(&mut self, cue: &Cue) {
        if let Self::Stream {
            planner, origin, ..
        } = self
        {
            if *origin == Nanos::ZERO {
                planner.push_cue(cue);
            } else if cue.pts >= *origin {
                let mut cue = cue.clone();
                cue.pts = cue.pts - *origin;
                if let Some(onset) = &mut cue.onset {
                    onset.at = onset.at - *origin;
                }
                planner.push_cue(&cue);
            }
        }
    }

    pub(super) fn missing_until(&mut self, until: Nanos) {
        if let Self::Stream {
            planner, origin, ..
        } = self
        {
            planner.missing_until(until - *origin);
        }
    }

    /// Takes how much the video changed in a hop.
    pub(super) fn change(&mut self, mut change: Change) {
        if let Self::Stream {
            planner, origin, ..
        } = self
        {
            change.at = change.at - *origin;
            planner.push_change(change);
        }
    }

    /// The change up to this time stays unknown.
    pub(super) fn no_change_until(&mut self, until: Nanos) {
        if let Self::Stream {
            planner, origin, ..
        } = self
        {
            planner.no_change_until(until - *origin);
        }
    }

    /// There are no frames in this window.
    pub(super) fn discontinuity(&mut self, window: Window) {
        if let Self::Stream {
            planner, origin, ..
        } = self
            && let Some(window) = Window::new(window.start() - *origin, window.stop() - *origin)
        {
            planner.add_discontinuity(window);
        }
    }

    /// When the recording is expected to end.
    pub(super) fn expect_stop(&mut self, stop: Nanos) {
        if let Self::Stream {
            planner, origin, ..
        } = self
        {
            planner.expect_stop(stop - *origin);
        }
    }

    /// The time from one frame to the next, if that is known.
    pub(super) fn set_frame_interval(&mut self, frame: Option<Nanos>) {
        if let (Self::Stream { planner, clips, .. }, Some(frame)) = (self, frame) {
            planner.set_frame_interval(frame);
            if let Some(clips) = clips.as_mut().filter(|_| frame > Nanos::ZERO) {
                clips.interval = frame;
            }
        }
    }

    pub(super) fn no_more_cues(&mut self) {
        if let Self::Stream { planner, .. } = self {
            planner.no_more_cues();
        }
    }

    pub(super) fn finish(&mut self, stop: Nanos) {
        if let Self::Stream {
            planner, origin, ..
        } = self
        {
            planner.finish((stop - *origin).max(Nanos::ZERO));
        }
    }

    /// The next item of the plan up to `until`.
    pub(super) fn next(&mut self, until: Nanos) -> Result<Option<Item>, PlanFileError> {
        match self {
            Self::Plan(file) => file.next(until),
            Self::Stream {
                planner,
                origin,
                held,
                clips,
            } => {
                if let Some(part) = clips.as_mut().and_then(|clips| clips.parts.pop()) {
                    return Ok(Some(Item::Entry(part)));
                }
                let item = match held.take() {
                    Some(entry) => Some(Item::Entry(entry)),
                    None => planner.next().map(|decision| placed(decision, *origin)),
                };
                match item {
                    Some(Item::Entry(entry)) if entry.planned > until + AHEAD => {
                        *held = Some(entry);
                        Ok(None)
                    }
                    Some(Item::Entry(entry)) => Ok(match clips {
                        None => Some(Item::Entry(entry)),
                        Some(clips) => clips.make(entry, *origin),
                    }),
                    item => Ok(item),
                }
            }
            Self::Dense { .. } => Ok(None),
        }
    }

    /// The plan file's next entry, once [`Self::next`] has given nothing; `Some(None)` at its end. `None` where entries are not known in
    /// advance.
    pub(super) fn ahead(&self) -> Option<Option<Nanos>> {
        match self {
            Self::Plan(file) if file.has_ended() => Some(None),
            Self::Plan(file) => Some(Some(file.ahead()?)),
            Self::Stream { .. } | Self::Dense { .. } => None,
        }
    }

    /// Every entry before this time has been given out, once [`Self::next`] has given nothing.
    pub(super) fn decided_until(&self) -> Nanos {
        match self {
            Self::Plan(file) => match file.ahead() {
                Some(at) => at,
                None if file.has_ended() => Nanos::MAX,
                None => Nanos::ZERO,
            },
            Self::Stream {
                planner,
                origin,
                held,
                clips,
            } => {
                let decided = planner.decided_until() + *origin;
                let decided = held.map_or(decided, |entry| entry.planned.min(decided));
                // A clip begins before its entry.
                let before = |clips: &StreamClips| clips.place.longest_before(clips.interval);
                match clips {
                    Some(clips) if decided < Nanos::MAX => decided - before(clips),
                    _ => decided,
                }
            }
            Self::Dense { .. } => Nanos::MAX,
        }
    }
}

/// A planner's decision, in the recording's time.
fn placed(decision: Decision, origin: Nanos) -> Item {
    match decision {
        Decision::Anchor(mut anchor) => {
            if origin != Nanos::ZERO {
                anchor.onset = anchor.onset + origin;
                let window = anchor.window;
                anchor.window =
                    Window::new(window.start() + origin, window.stop() + origin).unwrap_or(window);
            }
            Item::Anchor(anchor)
        }
        Decision::Frame(mut entry) => {
            entry.planned = entry.planned + origin;
            Item::Entry(entry)
        }
        Decision::Untaken(mut one) => {
            one.onset = one.onset + origin;
            Item::Candidate(one)
        }
    }
}
