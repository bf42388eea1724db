//! Frames -> clips. A frame is held once, however many clips have it, and dropped when the last of them is whole.
//!
//! A clip is whole when each of its frames has come, or a later one has: then the nearest of its own frames stands in for one that is
//! missing. Rows stay in order of time: from its middle on, no frame stands in that lies before the middle of the clip before.

use std::collections::VecDeque;
use std::sync::Arc;

use anchoring::plan::{Clip, MOST_CLIPS_OPEN, NO_FRAME};
use anchoring::tier::Tier;
use anchoring::time::Nanos;

use super::job::{ClipSquares, Frame, Square};
use crate::frame_quality::FrameQuality;
use crate::h5::ClipTimes;

/// A frame, ready for the encoder.
#[derive(Debug)]
pub(super) struct PreparedFrame {
    /// Its presentation time.
    pub(super) pts: Nanos,
    /// The tier of its square.
    pub(super) tier: Tier,
    pub(super) square: Square,
    /// As of [`Frame::large`].
    pub(super) large: Option<(usize, Square)>,
    /// As of [`Frame::shape`].
    pub(super) shape: (usize, usize),
    /// Measured for the middle frames of clips only.
    pub(super) quality: Option<FrameQuality>,
}

/// A clip whose frames come.
#[derive(Debug)]
struct OpenClip {
    clip: Clip,
    slots: Vec<Option<Arc<PreparedFrame>>>,
}

impl OpenClip {
    fn is_whole(&self) -> bool {
        let mut slots = self.slots.iter().zip(self.clip.frames.times.iter());
        slots.all(|(slot, at)| slot.is_some() || *at == NO_FRAME)
    }

    fn fill(&mut self, planned: Nanos, frame: &Arc<PreparedFrame>) {
        let times = &self.clip.frames.times;
        if frame.tier != self.clip.entry.tier || planned < self.clip.frames.start {
            return;
        }
        for (slot, at) in self.slots.iter_mut().zip(times.iter()) {
            if *at == planned {
                *slot = Some(frame.clone());
            }
        }
    }

    /// The row, not before `least`; `None` if none of its frames came that late.
    fn close(self, least: Option<Nanos>) -> Option<Frame> {
        let frames = &self.clip.frames;
        let half = self.slots.len() / 2;
        let came = |least: Option<Nanos>| -> Vec<usize> {
            let late = |k: &usize| {
                let slot = self.slots[*k].as_ref();
                slot.is_some_and(|frame| least.is_none_or(|least| frame.pts >= least))
            };
            (0..self.slots.len()).filter(late).collect()
        };
        let (all, late) = (came(None), came(least));
        let nearest = |k: usize| {
            let there = if k < half { &all } else { &late };
            let after = there.partition_point(|other| *other < k);
            let beside = [after.checked_sub(1), Some(after)].into_iter().flatten();
            let beside = beside.filter_map(|n| there.get(n));
            let own = beside.min_by_key(|other| other.abs_diff(k))?;
            self.slots[*own].as_ref()
        };
        let filled: Vec<Option<&Arc<PreparedFrame>>> = (0..self.slots.len())
            .map(|k| match frames.times[k] {
                NO_FRAME => None,
                _ => nearest(k),
            })
            .collect();
        let (before, from) = filled.split_at(half);
        let middle = *from.iter().chain(before.iter().rev()).flatten().next()?;
        if least.is_some_and(|least| middle.pts < least) {
            return None;
        }
        let first = *filled.iter().flatten().next()?;
        let last = *filled.iter().rev().flatten().next()?;
        let mut measured = filled.iter().flatten().filter_map(|one| one.quality);
        let quality = middle.quality.or_else(|| measured.next());
        Some(Frame {
            pts: middle.pts,
            entry: self.clip.entry,
            square: middle.square.clone(),
            large: middle.large.clone(),
            shape: middle.shape,
            quality: quality.unwrap_or_default(),
            clip: Some(ClipSquares {
                squares: filled
                    .iter()
                    .map(|one| one.map(|one| one.square.clone()))
                    .collect(),
                times: ClipTimes {
                    start: first.pts,
                    stop: last.pts + (frames.stop - frames.last()),
                    frames: filled
                        .iter()
                        .map(|one| one.map_or(NO_FRAME, |one| one.pts))
                        .collect(),
                },
            }),
        })
    }
}

/// How the open clips use a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct WantedFrames {
    /// Some clip has it.
    pub(super) at_all: bool,
    /// It is the middle of one, whose thumbnail and quality are its own.
    pub(super) as_middle: bool,
    /// And that clip is an anchor's.
    pub(super) of_anchor: bool,
}

/// The clips that are open, in order.
#[derive(Debug, Default)]
pub(super) struct OpenClips {
    open: VecDeque<OpenClip>,
    /// The frame that came last: it may come again, for another clip.
    last: Option<Arc<PreparedFrame>>,
    /// When the last row is.
    row: Option<Nanos>,
}

/// Clips that are whole, and how many got no frame at all.
#[derive(Debug, Default)]
pub(super) struct Closed {
    pub(super) rows: Vec<Frame>,
    pub(super) lost: usize,
}

impl OpenClips {
    fn close(&mut self, clip: OpenClip, closed: &mut Closed) {
        match clip.close(self.row) {
            Some(row) => {
                self.row = Some(row.pts);
                closed.rows.push(row);
            }
            None => closed.lost += 1,
        }
    }

    /// A clip begins. If too many are open, the first is closed.
    pub(super) fn begin(&mut self, clip: Clip) -> Closed {
        let mut closed = Closed::default();
        if self.open.len() >= MOST_CLIPS_OPEN
            && let Some(first) = self.open.pop_front()
        {
            self.close(first, &mut closed);
        }
        self.open.push_back(OpenClip {
            slots: vec![None; clip.frames.times.len()],
            clip,
        });
        closed
    }

    /// What the frame of this plan entry is wanted for.
    pub(super) fn wants(&self, planned: Nanos, tier: Tier) -> WantedFrames {
        let mut wanted = WantedFrames::default();
        for open in self.open.iter().filter(|open| open.clip.entry.tier == tier) {
            wanted.at_all |= open.clip.frames.times.contains(&planned);
            if open.clip.entry.planned == planned {
                wanted.as_middle = true;
                wanted.of_anchor |= open.clip.entry.anchor.is_some();
            }
        }
        wanted
    }

    /// The last frame, if it is this one.
    pub(super) fn again(&self, pts: Nanos, tier: Tier) -> Option<Arc<PreparedFrame>> {
        let last = self.last.as_ref()?;
        (last.pts == pts && last.tier == tier).then(|| last.clone())
    }

    /// The frame of a plan entry.
    pub(super) fn frame(&mut self, planned: Nanos, frame: Arc<PreparedFrame>) -> Closed {
        for open in &mut self.open {
            open.fill(planned, &frame);
        }
        self.last = Some(frame);
        let mut closed = Closed::default();
        let is_over = |open: &OpenClip| open.is_whole() || open.clip.frames.last() < planned;
        while self.open.front().is_some_and(is_over)
            && let Some(first) = self.open.pop_front()
        {
            self.close(first, &mut closed);
        }
        closed
    }

    /// No more frames come.
    pub(super) fn finish(&mut self) -> Closed {
        let mut closed = Closed::default();
        for clip in std::mem::take(&mut self.open) {
            self.close(clip, &mut closed);
        }
        *self = Self::default();
        closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anchoring::plan::{ClipFrames, Entry, Reason};

    fn clip(times: &[i64]) -> Clip {
        let times = times.iter().map(|&ms| match ms {
            -1 => NO_FRAME,
            ms => Nanos::from_ms(ms),
        });
        let frames = ClipFrames::new(times.collect(), Nanos::from_ms(40)).unwrap();
        Clip {
            entry: Entry {
                planned: frames.middle(),
                asked: None,
                tier: Tier::Base,
                tokens: 9,
                reason: Reason::Uniform,
                anchor: None,
            },
            frames,
        }
    }

    fn prepared(ms: i64) -> Arc<PreparedFrame> {
        Arc::new(PreparedFrame {
            pts: Nanos::from_ms(ms),
            tier: Tier::Base,
            square: Arc::new(vec![ms as u8]),
            large: None,
            shape: (1, 1),
            quality: None,
        })
    }

    fn frame(open: &mut OpenClips, ms: i64) -> Vec<Vec<i64>> {
        let closed = open.frame(Nanos::from_ms(ms), prepared(ms));
        assert_eq!(closed.lost, 0);
        closed.rows.iter().map(numbers).collect()
    }

    /// The frames of a row, by their pixels; -1 for none.
    fn numbers(row: &Frame) -> Vec<i64> {
        let clip = row.clip.as_ref().unwrap();
        for (square, at) in clip.squares.iter().zip(&clip.times.frames) {
            let pixels = square.as_ref().map(|square| i64::from(square[0]));
            let stated = Some(at.get() / 1_000_000).filter(|_| *at != NO_FRAME);
            assert_eq!(pixels, stated);
        }
        let squares = clip.squares.iter();
        squares
            .map(|square| square.as_ref().map_or(-1, |square| square[0].into()))
            .collect()
    }

    #[test]
    fn overlapping_clips_share_their_frames_and_come_in_order() {
        let mut open = OpenClips::default();
        open.begin(clip(&[-1, 0, 40, 80]));
        open.begin(clip(&[40, 80, 120, 120]));
        let middle = WantedFrames {
            at_all: true,
            as_middle: true,
            of_anchor: false,
        };
        assert_eq!(open.wants(Nanos::from_ms(40), Tier::Base), middle);
        assert_eq!(
            open.wants(Nanos::from_ms(40), Tier::Low),
            WantedFrames::default()
        );
        for ms in [0, 40] {
            assert!(frame(&mut open, ms).is_empty());
        }
        assert_eq!(frame(&mut open, 80), [[-1, 0, 40, 80]]);
        assert!(open.again(Nanos::from_ms(80), Tier::Base).is_some());
        assert_eq!(frame(&mut open, 120), [[40, 80, 120, 120]]);
    }

    #[test]
    fn the_nearest_frame_of_the_clip_stands_in_for_one_that_is_missing() {
        let mut open = OpenClips::default();
        open.begin(clip(&[0, 40, 80, 120]));
        open.begin(clip(&[160, 200]));
        open.begin(clip(&[200, 240]));
        assert!(frame(&mut open, 0).is_empty());
        assert!(frame(&mut open, 120).is_empty() || open.open.len() == 2);
        let rows = frame(&mut open, 200);
        assert_eq!(rows[0], [0, 0, 120, 120]);
        let rest = open.finish();
        let rest: Vec<_> = rows[1..]
            .iter()
            .cloned()
            .chain(rest.rows.iter().map(numbers))
            .collect();
        assert_eq!(rest, [[200, 200], [200, 200]]);
        open.begin(clip(&[0, 40]));
        assert_eq!(open.finish().lost, 1);
    }

    #[test]
    fn where_frames_are_missing_rows_stay_in_order() {
        let mut open = OpenClips::default();
        open.begin(clip(&[0, 40, 80, 200]));
        open.begin(clip(&[90, 120, 150, 210]));
        open.begin(clip(&[100, 130, 160, 190]));
        for ms in [90, 100, 120, 200] {
            assert!(frame(&mut open, ms).is_empty());
        }
        assert_eq!(frame(&mut open, 210), [[200, 200, 200, 200]]);
        let closed = open.finish();
        // 120 is as near to 150 as 210 is, but it lies before the middle of the first.
        let rows: Vec<_> = closed.rows.iter().map(numbers).collect();
        assert_eq!(rows, [[90, 120, 210, 210]]);
        // All that came of the third lies before.
        assert_eq!(closed.lost, 1);
    }
}
