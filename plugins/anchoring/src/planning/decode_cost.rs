//! What decoding costs where.

use crate::time::Nanos;

/// What decoding costs where.
#[derive(Clone, Copy, Debug)]
pub struct Pictures<'a> {
    /// Times at which decoding can start, ascending.
    pub keyframes: &'a [Nanos],
    /// From one picture to the next, at least a nanosecond.
    pub frame: Nanos,
}

impl Pictures<'_> {
    /// The keyframe at which decoding the picture at `at` starts: its place in the list, `None` before the first.
    pub(crate) fn group(&self, at: Nanos) -> Option<usize> {
        // Half a picture early is still the keyframe itself.
        let half = Nanos::new(self.frame.get() / 2);
        self.keyframes
            .partition_point(|&key| key <= at + half)
            .checked_sub(1)
    }

    /// Pictures from the keyframe to `at`, both counted.
    pub(crate) fn depth(&self, group: Option<usize>, at: Nanos) -> u64 {
        let key = group.map_or(Nanos::ZERO, |group| self.keyframes[group]);
        let frame = self.frame.get().max(1);
        let ahead = ((at - key).get().max(0) + frame / 2) / frame;
        1 + u64::try_from(ahead).unwrap_or(0)
    }

    /// Pictures that must be decoded for these looks, which ascend.
    pub fn cost(&self, looks: impl IntoIterator<Item = Nanos>) -> u64 {
        let mut total = 0;
        let mut before = None;
        for at in looks {
            let group = self.group(at);
            let depth = self.depth(group, at);
            let paid = match before {
                Some((same, paid)) if same == group => paid,
                _ => 0,
            };
            total += depth.saturating_sub(paid);
            before = Some((group, depth.max(paid)));
        }
        total
    }
}
