//! Clips: plan entries, or a grid -> the frames of each clip.
//!
//! Three rules hold everywhere. A clip at an entry that would reach beyond an end of the recording is moved inside; where the recording is
//! shorter than a clip, its last frame is repeated; of two equally near frames the earlier is taken. What a grid does at the ends,
//! [`ClipEnd`] says. A still is one frame that fills a whole clip.

use crate::plan::{ClipFrames, Entry, MAX_DURATION, NO_FRAME, Plan, Reason};
use crate::planning::decode_cost::{FramesOfEntry, FramesOfPlan};
use crate::settings::{BudgetSettings, ClipEnd, Settings};
use crate::tier::Prices;
use crate::time::Nanos;

/// The distance between two frames of a clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameSpacing {
    /// So many frames of the recording.
    Frames(u32),
    /// So much time.
    Time(Nanos),
}

/// What an encoder of clips takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClipShape {
    /// Number of frames.
    pub frames: u32,
    /// How far apart they are.
    pub every: FrameSpacing,
}

impl ClipShape {
    /// The time from one of its frames to the next.
    pub fn step(self, interval: Nanos) -> Nanos {
        match self.every {
            FrameSpacing::Frames(n) => Nanos::new(interval.get().saturating_mul(n.max(1).into())),
            FrameSpacing::Time(time) => time,
        }
    }
}

/// The frames of a recording.
#[derive(Clone, Copy, Debug)]
pub struct FrameList<'a> {
    /// The time of each, ascending.
    pub times: &'a [Nanos],
    /// The average time from one to the next.
    pub interval: Nanos,
}

impl FrameList<'_> {
    fn nearest(&self, at: Nanos) -> usize {
        let later = self.times.partition_point(|time| *time < at);
        match (later.checked_sub(1), self.times.get(later)) {
            (Some(before), Some(next)) => {
                let earlier = at.distance(self.times[before]) <= at.distance(*next);
                if earlier { before } else { later }
            }
            (Some(before), None) => before,
            (None, _) => later,
        }
    }
}

/// Where a clip lies around a plan entry.
#[derive(Clone, Copy, Debug)]
pub struct ClipPlace {
    shape: ClipShape,
    /// From the start of an anchor's clip to the time asked for; `None`: half a clip.
    lead: Option<Nanos>,
    /// Background and untrusted entries are stills.
    stills: bool,
}

impl ClipPlace {
    /// As the settings have it.
    pub fn new(shape: ClipShape, settings: &Settings) -> Self {
        let anchors = &settings.anchors;
        // The entry lies `look_ms` after the event.
        let lead = (anchors.clip_lead_ms >= 0)
            .then(|| Nanos::from_ms((anchors.clip_lead_ms + anchors.look_ms).into()));
        Self {
            shape,
            lead,
            stills: settings.budget.clip_stills,
        }
    }

    fn is_still(&self, entry: &Entry) -> bool {
        self.stills && matches!(entry.reason, Reason::Background | Reason::Untrusted)
    }

    /// The clip that one frame fills.
    fn still(&self, at: Nanos, interval: Nanos) -> Option<ClipFrames> {
        ClipFrames::new(vec![at; self.shape.frames as usize], interval)
    }

    /// From its first frame to the entry.
    fn before(&self, is_anchor: bool, interval: Nanos) -> Nanos {
        match self.lead {
            Some(lead) if is_anchor => lead,
            _ => {
                let half = i64::from(self.shape.frames / 2);
                Nanos::new(self.shape.step(interval).get().saturating_mul(half))
            }
        }
    }

    /// What clips take of a recording whose first and last frame these are.
    pub fn takes(&self, interval: Nanos, within: (Nanos, Nanos)) -> FramesOfPlan {
        let step = self.shape.step(interval);
        let taken = |is_anchor| {
            let before = self.before(is_anchor, interval);
            FramesOfEntry::clip(self.shape.frames, step, before, within)
        };
        FramesOfPlan {
            anchor: taken(true),
            other: match self.stills {
                true => FramesOfEntry::FRAME,
                false => taken(false),
            },
        }
    }

    /// How long before its entry a clip may begin.
    pub fn longest_before(&self, interval: Nanos) -> Nanos {
        let step = self.shape.step(interval).get();
        let half = Nanos::new(step.saturating_mul(i64::from(self.shape.frames / 2)));
        self.lead.map_or(half, |lead| lead.max(half))
    }

    /// The clip of an entry in a stream whose frames are not known, and lie this far apart: the nearest will serve. It begins no earlier than
    /// `origin`.
    pub fn in_stream(&self, entry: &Entry, origin: Nanos, interval: Nanos) -> Option<ClipFrames> {
        if self.is_still(entry) {
            return self.still(entry.planned.max(origin), interval);
        }
        let start = (entry.planned - self.before(entry.anchor.is_some(), interval)).max(origin);
        let step = self.shape.step(interval);
        ClipFrames::new(spread(self.shape, start, step), interval)
    }

    /// The clip of an entry among the frames of a recording.
    pub fn among(&self, entry: &Entry, shown: FrameList<'_>) -> Option<ClipFrames> {
        let (first, last) = (*shown.times.first()?, *shown.times.last()?);
        let planned = entry.planned;
        if self.is_still(entry) {
            return self.still(shown.times[shown.nearest(planned)], shown.interval);
        }
        let before = self.before(entry.anchor.is_some(), shown.interval);
        let n = self.shape.frames as usize;
        let times = match self.shape.every {
            FrameSpacing::Frames(step) => {
                let step = step.max(1) as usize;
                let start = match self.lead {
                    Some(lead) if entry.anchor.is_some() => {
                        let from = planned - lead;
                        shown.times.partition_point(|time| *time < from)
                    }
                    // Snapped so that it begins at a keyframe, however uneven the frames are.
                    _ if entry.asked.is_some() => shown.nearest(planned - before),
                    _ => shown.nearest(planned).saturating_sub(n / 2 * step),
                };
                let length = n.saturating_sub(1) * step;
                let latest = (shown.times.len() - 1).saturating_sub(length);
                let start = start.min(latest);
                let at = |k: usize| (start + k * step).min(shown.times.len() - 1);
                (0..n).map(|k| shown.times[at(k)]).collect()
            }
            FrameSpacing::Time(step) => {
                let length = step.get().saturating_mul(n.saturating_sub(1) as i64);
                let latest = (last - Nanos::new(length)).max(first);
                let start = (planned - before).min(latest).max(first);
                let times = spread(self.shape, start, step).into_iter();
                times.map(|at| shown.times[shown.nearest(at)]).collect()
            }
        };
        ClipFrames::new(times, shown.interval)
    }
}

fn spread(shape: ClipShape, start: Nanos, step: Nanos) -> Vec<Nanos> {
    let at = |k: u32| start + Nanos::new(step.get().saturating_mul(k.into()));
    (0..shape.frames).map(|k| at(k).min(MAX_DURATION)).collect()
}

/// The clips of a grid: windows of the encoder's frames, `stride` frames from one to the next.
pub fn grid(shape: ClipShape, stride: u32, end: ClipEnd, shown: FrameList<'_>) -> Vec<ClipFrames> {
    let (Some(&first), Some(&last)) = (shown.times.first(), shown.times.last()) else {
        return Vec::new();
    };
    // The frames that the grid counts, and how many of them lie from one frame of a clip to the next.
    let (count, step) = match shape.every {
        FrameSpacing::Frames(step) => (shown.times.len() as i64, i64::from(step.max(1))),
        FrameSpacing::Time(time) => ((last - first).get() / time.get().max(1) + 1, 1),
    };
    let at = |k: i64| {
        let frame = match shape.every {
            FrameSpacing::Frames(_) => usize::try_from(k).ok()?,
            FrameSpacing::Time(time) => shown.nearest(first + Nanos::new(time.get() * k)),
        };
        (0..count)
            .contains(&k)
            .then(|| shown.times.get(frame).copied())?
    };
    let (frames, stride) = (i64::from(shape.frames), i64::from(stride.max(1)));
    let length = frames * step;
    let mut starts: Vec<i64> = match end {
        // Centred as in `int(index - step * frames / 2)`.
        ClipEnd::Slowfast => (0..count)
            .step_by(stride as usize)
            .map(|index| (2 * index - length) / 2)
            .collect(),
        ClipEnd::Ego4d | ClipEnd::VideoFeatures => {
            (0..=count - length).step_by(stride as usize).collect()
        }
    };
    if end == ClipEnd::Ego4d && count > length && (count - length) % stride != 0 {
        starts.push(count - length);
    }
    let clip = |times: Vec<Option<Nanos>>| {
        let times = times.into_iter().map(|time| time.unwrap_or(NO_FRAME));
        ClipFrames::new(times.collect(), shown.interval)
    };
    if end == ClipEnd::Ego4d && count < length {
        // Fewer frames than a clip has: they are spread over it.
        let times = (0..frames).map(|k| at(k * (count - 1) / (frames - 1).max(1)));
        return clip(times.collect()).into_iter().collect();
    }
    let clips = starts
        .iter()
        .map(|start| clip((0..frames).map(|k| at(start + k * step)).collect()));
    clips.flatten().collect()
}

impl Plan {
    /// Turns entries into clips. Of entries that would have the same clip one is kept, an anchor's if there is one.
    pub fn make_clips(&mut self, place: &ClipPlace, shown: FrameList<'_>) {
        let clip = |entry: &Entry| {
            let clip = place.among(entry, shown)?;
            Some((moved(*entry, &clip), clip))
        };
        let mut kept: Vec<(Entry, ClipFrames)> = self.entries.iter().filter_map(clip).collect();
        // Clips with a lead begin earlier than others, and may overtake them.
        kept.sort_by_key(|(entry, clip)| (clip.start, entry.planned, entry.anchor.is_none()));
        kept.dedup_by(|(_, later), (_, clip)| later == clip);
        (self.entries, self.clips) = kept.into_iter().unzip();
        let stop = self.header.duration;
        for clip in &mut self.clips {
            clip.stop = clip.stop.min(stop).max(clip.last() + Nanos::new(1));
        }
        self.settle();
    }

    /// Puts the clips of a grid into a plan that has anchors at most. What they cost is the budget.
    pub fn make_grid(
        &mut self,
        shape: ClipShape,
        budget: &BudgetSettings,
        prices: Prices,
        shown: FrameList<'_>,
    ) {
        self.entries.clear();
        self.clips = grid(shape, budget.clip_stride, budget.clip_end, shown);
        let near = (budget.clip_near_ms >= 0).then(|| Nanos::from_ms(budget.clip_near_ms.into()));
        let mut onsets: Vec<(Nanos, u32)> = self
            .anchors
            .iter()
            .map(|anchor| (anchor.onset, anchor.id))
            .collect();
        onsets.sort_unstable();
        let tier = budget.untrusted_tier;
        let mut entries = Vec::with_capacity(self.clips.len());
        let stop = self.header.duration;
        self.clips.retain_mut(|clip| {
            clip.stop = clip.stop.min(stop).max(clip.last() + Nanos::new(1));
            let anchor = near.map(|near| nearest_anchor(&onsets, clip, near));
            if anchor == Some(None) {
                return false;
            }
            entries.push(Entry {
                planned: clip.middle(),
                asked: None,
                tier,
                tokens: prices.of(tier),
                reason: anchor.map_or(Reason::Uniform, |_| Reason::Anchor),
                anchor: anchor.flatten(),
            });
            true
        });
        self.entries = entries;
        if near.is_none() {
            self.anchors.clear();
        }
        self.settle();
        self.header.budget_tokens = self.header.spent_tokens;
    }
}

/// The entry of a clip.
fn moved(mut entry: Entry, clip: &ClipFrames) -> Entry {
    let asked = entry.first_asked();
    entry.planned = clip.middle();
    entry.asked = Some(asked).filter(|asked| *asked != entry.planned);
    entry
}

/// The anchor nearest to a clip, if its onset lies no further from it than `near`.
fn nearest_anchor(onsets: &[(Nanos, u32)], clip: &ClipFrames, near: Nanos) -> Option<u32> {
    let middle = clip.middle();
    let after = onsets.partition_point(|(onset, _)| *onset < middle);
    let beside = [after.checked_sub(1), Some(after)];
    let beside = beside.into_iter().flatten().filter_map(|k| onsets.get(k));
    let fits = |onset: Nanos| onset >= clip.start - near && onset < clip.stop + near;
    beside
        .filter(|(onset, _)| fits(*onset))
        .min_by_key(|(onset, _)| onset.distance(middle))
        .map(|(_, id)| *id)
}

#[cfg(test)]
mod tests;
