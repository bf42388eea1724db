//! What decoding costs: the frames between a keyframe and the frame that is wanted.

use crate::time::Nanos;

/// Where a recording's frames can be decoded from.
#[derive(Clone, Copy, Debug)]
pub struct DecodeCost<'a> {
    /// Times of the keyframes, ascending.
    pub keyframes: &'a [Nanos],
    /// Time from one frame to the next; at least 1 ns.
    pub frame_interval: Nanos,
}

impl DecodeCost<'_> {
    /// Index of the keyframe where decoding the frame at `at` starts; `None` before the first.
    pub(crate) fn gop_of(&self, at: Nanos) -> Option<usize> {
        // Up to half a frame early still counts as the keyframe.
        let half = Nanos::new(self.frame_interval.get() / 2);
        self.keyframes
            .partition_point(|&key| key <= at + half)
            .checked_sub(1)
    }

    /// Frames from the keyframe to `at`, both included.
    pub(crate) fn depth(&self, gop: Option<usize>, at: Nanos) -> u64 {
        let key = gop.map_or(Nanos::ZERO, |gop| self.keyframes[gop]);
        let interval = self.frame_interval.get().max(1);
        let ahead = ((at - key).get().max(0) + interval / 2) / interval;
        1 + u64::try_from(ahead).unwrap_or(0)
    }

    /// Frames that must be decoded for frames at these ascending times.
    pub fn frames_decoded(&self, times: impl IntoIterator<Item = Nanos>) -> u64 {
        let mut total = 0;
        let mut before = None;
        for at in times {
            let gop = self.gop_of(at);
            let depth = self.depth(gop, at);
            let paid = match before {
                Some((same, paid)) if same == gop => paid,
                _ => 0,
            };
            total += depth.saturating_sub(paid);
            before = Some((gop, depth.max(paid)));
        }
        total
    }
}
