//! What decoding costs: the frames between a keyframe and the frame that is wanted, or the last of a clip's frames.

use std::collections::BTreeMap;

use crate::plan::{Entry, Reason};
use crate::time::Nanos;

/// Index of a GOP's keyframe; `None` before the first.
pub(crate) type Gop = Option<usize>;

/// The frames that an entry takes: its own, or those of a clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramesOfEntry {
    /// Number of frames; at least one.
    frames: u32,
    /// The time from one to the next; at least 1 ns.
    step: Nanos,
    /// From the first to the entry.
    before: Nanos,
    /// The recording's first and last frame: a clip that would reach beyond is moved inside.
    within: Option<(Nanos, Nanos)>,
}

impl FramesOfEntry {
    /// The entry's own frame.
    pub const FRAME: Self = Self {
        frames: 1,
        step: Nanos::new(1),
        before: Nanos::ZERO,
        within: None,
    };

    /// A clip of so many frames so far apart, which begins so long before its entry.
    pub fn clip(frames: u32, step: Nanos, before: Nanos, within: (Nanos, Nanos)) -> Self {
        Self {
            frames: frames.max(1),
            step: step.max(Nanos::new(1)),
            before,
            within: Some(within),
        }
    }

    /// From the first frame to the entry.
    pub fn before(self) -> Nanos {
        self.before
    }

    /// The time of the first frame.
    pub(crate) fn start(self, at: Nanos) -> Nanos {
        let start = at - self.before;
        let Some((first, last)) = self.within else {
            return start;
        };
        let length = self.step.get().saturating_mul((self.frames - 1).into());
        start.min(last - Nanos::new(length)).max(first)
    }
}

/// What the entries of a plan take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramesOfPlan {
    /// Those of anchors.
    pub anchor: FramesOfEntry,
    /// The others.
    pub other: FramesOfEntry,
}

impl FramesOfPlan {
    /// A frame each.
    pub const FRAMES: Self = Self {
        anchor: FramesOfEntry::FRAME,
        other: FramesOfEntry::FRAME,
    };
}

/// Where a recording's frames can be decoded from, and which of them are wanted.
#[derive(Clone, Copy, Debug)]
pub struct DecodeCost<'a> {
    /// Times of the keyframes, ascending.
    pub keyframes: &'a [Nanos],
    /// Time from one frame to the next; at least 1 ns.
    pub frame_interval: Nanos,
    /// The frames that entries take.
    pub takes: FramesOfPlan,
}

impl<'a> DecodeCost<'a> {
    /// For entries that take a frame each.
    pub const fn of_frames(keyframes: &'a [Nanos], frame_interval: Nanos) -> Self {
        Self {
            keyframes,
            frame_interval,
            takes: FramesOfPlan::FRAMES,
        }
    }

    /// Index of the keyframe where decoding the frame at `at` starts; `None` before the first.
    pub(crate) fn gop_of(&self, at: Nanos) -> Gop {
        // Up to half a frame early still counts as the keyframe.
        self.keyframes
            .partition_point(|&key| key <= at + self.half())
            .checked_sub(1)
    }

    fn half(&self) -> Nanos {
        Nanos::new(self.frame_interval.get() / 2)
    }

    /// Frames from the keyframe to `at`, both included.
    pub(crate) fn depth(&self, gop: Gop, at: Nanos) -> u64 {
        let key = gop.map_or(Nanos::ZERO, |gop| self.keyframes[gop]);
        let interval = self.frame_interval.get().max(1);
        let ahead = ((at - key).get().max(0) + interval / 2) / interval;
        1 + u64::try_from(ahead).unwrap_or(0)
    }

    /// The GOPs of what an entry takes, in order, and how deep each must be decoded for it.
    pub(crate) fn reach(
        self,
        at: Nanos,
        taken: FramesOfEntry,
    ) -> impl Iterator<Item = (Gop, u64)> + use<'a> {
        let start = taken.start(at);
        let step = taken.step.get();
        let time = move |k: u32| start + Nanos::new(step.saturating_mul(k.into()));
        let mut k = 0;
        std::iter::from_fn(move || {
            if k >= taken.frames {
                return None;
            }
            let (first, last) = (time(k), taken.frames - 1);
            let gop = self.gop_of(first);
            // The last frame before the next keyframe.
            let next = self.keyframes.get(gop.map_or(0, |gop| gop + 1));
            let inside = next.map_or(last, |&key| {
                let room = (key - self.half() - first).get() - 1;
                let more = u32::try_from(room.max(0) / step).unwrap_or(u32::MAX);
                k.saturating_add(more).min(last)
            });
            k = inside + 1;
            Some((gop, self.depth(gop, time(inside))))
        })
    }

    /// What an entry takes.
    pub(crate) fn taken(&self, entry: &Entry) -> FramesOfEntry {
        match entry.reason {
            Reason::Anchor => self.takes.anchor,
            _ => self.takes.other,
        }
    }

    /// Frames that must be decoded for these entries together.
    pub fn frames_decoded<'e>(&self, entries: impl IntoIterator<Item = &'e Entry>) -> u64 {
        let mut paid: BTreeMap<Gop, u64> = BTreeMap::new();
        for entry in entries {
            for (gop, depth) in self.reach(entry.planned, self.taken(entry)) {
                let paid = paid.entry(gop).or_default();
                *paid = depth.max(*paid);
            }
        }
        paid.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::tier::Tier;

    /// Frames lie 10 ns apart.
    const INTERVAL: i64 = 10;

    fn entry(frame: i64, reason: Reason) -> Entry {
        Entry {
            planned: Nanos::new(INTERVAL * frame),
            asked: None,
            tier: Tier::Low,
            tokens: 1,
            reason,
            anchor: None,
        }
    }

    #[test]
    fn a_clip_over_a_keyframe_needs_the_gop_before_and_the_start_of_its_own() {
        let keys = [0, 100, 200].map(Nanos::new);
        let taken = FramesOfEntry::clip(
            4,
            Nanos::new(20),
            Nanos::new(40),
            (Nanos::ZERO, Nanos::new(290)),
        );
        let cost = DecodeCost::of_frames(&keys, Nanos::new(INTERVAL));
        // Frames 8, 10, 12 and 14.
        let reach: Vec<_> = cost.reach(Nanos::new(120), taken).collect();
        assert_eq!(reach, [(Some(0), 9), (Some(1), 5)]);
        // Moved inside: 0, 2, 4, 6; and 23, 25, 27, 29.
        let reach: Vec<_> = cost.reach(Nanos::ZERO, taken).collect();
        assert_eq!(reach, [(Some(0), 7)]);
        let reach: Vec<_> = cost.reach(Nanos::new(290), taken).collect();
        assert_eq!(reach, [(Some(2), 10)]);
    }

    proptest! {
        /// Frame by frame: all from a keyframe to each frame that is wanted.
        #[test]
        fn clips_cost_what_their_frames_need_each_frame_once(
            at in prop::collection::vec((0i64..300, any::<bool>()), 0..12),
            keys in prop::collection::btree_set(1i64..300, 0..20),
            frames in 1u32..20, step in 1i64..9, before in (0i64..60, 0i64..60),
        ) {
            let keys: Vec<i64> = [0].into_iter().chain(keys).collect();
            let times: Vec<Nanos> = keys.iter().map(|key| Nanos::new(INTERVAL * key)).collect();
            let within = (Nanos::ZERO, Nanos::new(INTERVAL * 299));
            let clip = |before| FramesOfEntry::clip(frames, Nanos::new(INTERVAL * step), Nanos::new(INTERVAL * before), within);
            let takes = FramesOfPlan { anchor: clip(before.0), other: clip(before.1) };
            let cost = DecodeCost { keyframes: &times, frame_interval: Nanos::new(INTERVAL), takes };
            let mut needed = BTreeSet::new();
            let mut entries = Vec::new();
            for (at, anchor) in at {
                let before = if anchor { before.0 } else { before.1 };
                let start = (at - before).min(299 - (i64::from(frames) - 1) * step).max(0);
                for k in 0..i64::from(frames) {
                    let wanted = start + k * step;
                    let key = keys.iter().rev().find(|key| **key <= wanted).unwrap();
                    needed.extend(*key..=wanted);
                }
                entries.push(entry(at, if anchor { Reason::Anchor } else { Reason::Background }));
            }
            prop_assert_eq!(cost.frames_decoded(&entries), needed.len() as u64);
        }
    }
}
