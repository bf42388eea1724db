//! How much the video changes, measured by the size of its encoded frames: access units -> change for every hop, without decoding.
//!
//! An encoder spends bits on what it can't predict from other frames. So a frame that is larger than frames of its
//! kind usually are shows something new. The usual size is a running median for each kind, so that neither the codec's
//! frame types nor a rate control that settles elsewhere look like change. Intra frames are as large as
//! their content needs, new or not: they say nothing.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

use crate::cue::{HOP, MOST_CHANGE};
use crate::time::Nanos;

/// Longest reordering: no codec in use reorders further than this.
const REORDER: usize = 17;

/// The usual size is the median of at most this many frames of a kind.
const USUAL: usize = 256;

/// Earlier frames of a kind needed to know the usual size.
const LEAST_KNOWN: usize = 3;

/// Frames whose size is within this share of the usual size are as large as ever.
const SAME: f32 = 0.02;

/// From this share of frames on, sizes that never vary, or intra frames, show no change.
const NEARLY_ALL: f64 = 0.95;

/// Frames needed to judge the sizes.
const ENOUGH: u64 = 50;

/// How an encoded frame depends on others. Frames of one kind have similar sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// It refers to no other frame.
    Intra,
    /// It refers to others, and others may refer to it.
    Reference,
    /// It refers to others, and none refers to it.
    Droppable,
    /// Several frames in one access unit, of which one is shown.
    Several,
    /// It is not shown, or it repeats a frame that came before: its size says nothing.
    Silent,
}

/// Why the sizes of frames don't show change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnusableSizes {
    /// Every frame is encoded by itself.
    IntraOnly,
    /// Every frame has the same size.
    Constant,
    /// There are too few frames.
    TooFew,
}

impl UnusableSizes {
    /// A warning: what is wrong, and what happens instead.
    pub fn warning(self) -> String {
        let why = match self {
            Self::IntraOnly => "the video encodes every frame by itself (intra only)",
            Self::Constant => "all frames of the video have the same size",
            Self::TooFew => "the video has too few frames",
        };
        format!(
            "budget.spread is change, but {why}: frame sizes show no change, so Earmark spreads frames without an anchor over time"
        )
    }
}

/// The usual size of frames of a kind: the running median.
#[derive(Clone, Debug, Default)]
struct UsualSize {
    recent: VecDeque<u32>,
    sorted: Vec<u32>,
}

impl UsualSize {
    fn median(&self) -> Option<u32> {
        let known = self.sorted.len();
        (known >= LEAST_KNOWN).then(|| self.sorted[known / 2].max(1))
    }

    fn push(&mut self, bytes: u32) {
        if self.recent.len() == USUAL
            && let Some(old) = self.recent.pop_front()
            && let Ok(at) = self.sorted.binary_search(&old)
        {
            self.sorted.remove(at);
        }
        self.recent.push_back(bytes);
        let at = self.sorted.partition_point(|&other| other < bytes);
        self.sorted.insert(at, bytes);
    }
}

/// A frame that waits for those that are shown before it.
#[derive(Clone, Copy, Debug)]
struct PendingUnit {
    at: Nanos,
    /// Its size over the usual one; `None` if that says nothing.
    ratio: Option<f32>,
}

impl PartialEq for PendingUnit {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}
impl Eq for PendingUnit {}
impl PartialOrd for PendingUnit {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for PendingUnit {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}

/// The change of one hop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// Start of the hop: a multiple of [`HOP`].
    pub at: Nanos,
    /// Mean size of its frames over the usual size of their kinds: 1 is usual, 0..=64.
    pub change: f32,
}

/// Access units in decoding order -> change for each hop, in order of time. A hop is known once 17 frames have come
/// that are shown after it.
#[derive(Clone, Debug, Default)]
pub struct ChangeMeter {
    usual: [UsualSize; 4],
    /// Latest time that came.
    newest: Option<Nanos>,
    waiting: BinaryHeap<Reverse<PendingUnit>>,
    /// The hop that is being added up: its start, the sum of ratios, and their number.
    hop: Option<(Nanos, f32, u32)>,
    last_change: f32,
    known: VecDeque<Change>,
    frames: u64,
    intra: u64,
    same: u64,
}

/// The start of the hop that contains an instant.
fn hop_of(at: Nanos) -> Nanos {
    Nanos::new(at.get().div_euclid(HOP.get()) * HOP.get())
}

impl ChangeMeter {
    /// Takes the next access unit in decoding order. Drain [`Self::next`] after each.
    pub fn push(&mut self, at: Nanos, kind: FrameKind, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let reordered = self.newest.is_some_and(|newest| at < newest);
        self.newest = Some(self.newest.map_or(at, |newest| newest.max(at)));
        let usual = match (kind, reordered) {
            (FrameKind::Silent, _) => return,
            (FrameKind::Intra, _) => None,
            // What is shown before an earlier unit refers to both sides and costs less.
            (FrameKind::Reference, false) => Some(0),
            (FrameKind::Reference, true) => Some(1),
            (FrameKind::Droppable, _) => Some(2),
            (FrameKind::Several, _) => Some(3),
        };
        self.frames += 1;
        let ratio = usual.and_then(|kind| {
            let usual = &mut self.usual[kind];
            let ratio = usual
                .median()
                .map(|median| (bytes as f32 / median as f32).min(MOST_CHANGE));
            usual.push(bytes);
            ratio
        });
        match (usual, ratio) {
            (None, _) => self.intra += 1,
            (_, Some(ratio)) => self.same += u64::from((ratio - 1.0).abs() < SAME),
            (_, None) => {}
        }
        self.waiting.push(Reverse(PendingUnit { at, ratio }));
        if self.waiting.len() > REORDER {
            self.take();
        }
    }

    /// No more units will come: every hop is known.
    pub fn finish(&mut self) {
        while !self.waiting.is_empty() {
            self.take();
        }
        self.close();
    }

    /// The next hop, in order of time. Hops without a frame are left out.
    #[expect(
        clippy::should_implement_trait,
        reason = "`None` is not the end: more may be known later"
    )]
    pub fn next(&mut self) -> Option<Change> {
        self.known.pop_front()
    }

    /// Why the sizes of the frames so far don't show change; `None` if they do.
    pub fn unusable(&self) -> Option<UnusableSizes> {
        let most = |n: u64, of: u64| n as f64 >= NEARLY_ALL * of as f64;
        if self.frames < ENOUGH {
            Some(UnusableSizes::TooFew)
        } else if most(self.intra, self.frames) {
            Some(UnusableSizes::IntraOnly)
        } else if most(self.same, self.frames - self.intra) {
            Some(UnusableSizes::Constant)
        } else {
            None
        }
    }

    /// Adds the earliest waiting frame to its hop.
    fn take(&mut self) {
        let Some(Reverse(frame)) = self.waiting.pop() else {
            return;
        };
        let start = hop_of(frame.at);
        match self.hop {
            // A frame that comes too late counts for the present hop.
            Some((hop, ..)) if start <= hop => {}
            _ => {
                self.close();
                self.hop = Some((start, 0.0, 0));
            }
        }
        if let (Some((_, sum, count)), Some(ratio)) = (&mut self.hop, frame.ratio) {
            *sum += ratio;
            *count += 1;
        }
    }

    fn close(&mut self) {
        if let Some((at, sum, count)) = self.hop.take() {
            // Intra frames alone: it goes on as before.
            if count > 0 {
                self.last_change = sum / count as f32;
            } else if self.last_change == 0.0 {
                self.last_change = 1.0;
            }
            self.known.push_back(Change {
                at,
                change: self.last_change,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(
        units: impl IntoIterator<Item = (i64, FrameKind, usize)>,
    ) -> (ChangeMeter, Vec<f32>) {
        let mut meter = ChangeMeter::default();
        let mut known = Vec::new();
        for (ms, kind, bytes) in units {
            meter.push(Nanos::from_ms(ms), kind, bytes);
            known.extend(std::iter::from_fn(|| meter.next()));
        }
        meter.finish();
        known.extend(std::iter::from_fn(|| meter.next()));
        assert!(known.windows(2).all(|pair| pair[0].at < pair[1].at));
        (meter, known.iter().map(|one| one.change).collect())
    }

    /// A GOP of 25: an intra frame, then groups of one reference and two droppable frames in decoding order.
    fn stream(
        frames: i64,
        bytes: impl Fn(i64, FrameKind) -> usize,
    ) -> Vec<(i64, FrameKind, usize)> {
        let shown = (0..frames).map(|n| match n % 25 {
            0 => (n, FrameKind::Intra),
            m if m % 3 == 0 => (n, FrameKind::Reference),
            _ => (n, FrameKind::Droppable),
        });
        let mut units: Vec<_> = shown
            .map(|(n, kind)| (40 * n, kind, bytes(n, kind)))
            .collect();
        // A reference is decoded before the two that are shown before it.
        for at in 2..units.len() {
            if units[at].1 == FrameKind::Reference {
                units[at - 2..=at].rotate_right(1);
            }
        }
        units
    }

    fn usual_bytes(kind: FrameKind) -> usize {
        match kind {
            FrameKind::Intra => 40_000,
            FrameKind::Reference => 8_000,
            _ => 2_000,
        }
    }

    #[test]
    fn a_frame_larger_than_its_kind_shows_change() {
        let (meter, all) = changes(stream(500, |n, kind| {
            let noise = (n * 7919 % 13) as usize * 10;
            let much = if (250..260).contains(&n) { 4 } else { 1 };
            usual_bytes(kind) * much + noise
        }));
        assert_eq!(meter.unusable(), None);
        assert_eq!(all.len(), 250);
        let (before, during): (Vec<f32>, Vec<f32>) = (all[50..120].into(), all[126..129].into());
        assert!(before.iter().all(|x| (0.9..1.15).contains(x)), "{before:?}");
        assert!(during.iter().all(|x| (3.5..4.5).contains(x)), "{during:?}");
    }

    #[test]
    fn a_rate_control_that_settles_elsewhere_is_no_change_for_long() {
        let (_, all) = changes(stream(3_000, |n, kind| {
            usual_bytes(kind) * if n < 500 { 1 } else { 3 } + n as usize % 50
        }));
        assert!(all[260] > 2.0, "{}", all[260]);
        assert!(all[1_200..].iter().all(|x| (0.9..1.15).contains(x)));
    }

    #[test]
    fn sizes_that_show_no_change_are_unusable() {
        let intra = (0..200).map(|n| (40 * n, FrameKind::Intra, 1_000 + n as usize));
        let (meter, all) = changes(intra);
        assert_eq!(meter.unusable(), Some(UnusableSizes::IntraOnly));
        assert!(all.iter().all(|&x| x == 1.0));
        let (meter, _) = changes(stream(500, |_, _| 5_000));
        assert_eq!(meter.unusable(), Some(UnusableSizes::Constant));
        assert_eq!(
            changes(stream(20, |n, _| n as usize)).0.unusable(),
            Some(UnusableSizes::TooFew)
        );
    }

    #[test]
    fn units_that_are_not_shown_change_nothing() {
        let mut units = stream(500, |n, kind| usual_bytes(kind) + (n * 31 % 97) as usize);
        let clean = changes(units.clone()).1;
        units.insert(300, (40 * 299, FrameKind::Silent, 900_000));
        assert_eq!(changes(units).1, clean);
    }

    #[test]
    fn what_waits_is_bounded_and_any_time_is_taken() {
        let mut meter = ChangeMeter::default();
        for n in 0..10_000_i64 {
            let at = Nanos::new(if n % 2 == 0 {
                i64::MAX / 2 - n
            } else {
                n - i64::MAX / 2
            });
            meter.push(at, FrameKind::Reference, usize::MAX);
            while meter.next().is_some() {}
            assert!(meter.waiting.len() <= REORDER);
        }
        assert!(meter.usual[0].sorted.len() <= USUAL && meter.usual[1].sorted.len() <= USUAL);
    }
}
