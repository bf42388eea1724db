//! An encoder that is too slow for a live source, which cannot wait: which frames are left out. Knows no clock.

use std::time::Duration;

use anchoring::plan::Reason;

/// How long frames wait in all, since the encoder last caught up, before some are left out: a burst after a pause needs that long.
const PATIENCE: Duration = Duration::from_secs(3);

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// There is room for it.
    Free,
    /// It waits for room.
    None,
    /// Frames have waited for too long: it is left out, if the source is live.
    NoneForLong,
}

/// Decides about frames, in order.
///
/// Frames of anchors have twice as much room as others. So others are left out first, and those of anchors only once as many of them wait.
#[derive(Debug)]
pub(super) struct KeepUp {
    room: usize,
    /// How long frames have waited since the encoder last caught up.
    pub(super) waited: Duration,
    /// Whether the source is live; unknown until it matters.
    pub(super) live: Option<bool>,
    /// Whether a warning was posted.
    pub(super) warned: bool,
}

impl KeepUp {
    /// `room`: frames that may wait for the encoder.
    pub(super) fn new(room: usize) -> Self {
        Self {
            room,
            waited: Duration::ZERO,
            live: None,
            warned: false,
        }
    }

    /// Whether there is room for a frame while so many wait.
    pub(super) fn room(&mut self, reason: Reason, waiting: usize) -> Room {
        if waiting == 0 {
            self.waited = Duration::ZERO;
        }
        let room = match reason {
            Reason::Anchor => 2 * self.room,
            _ => self.room,
        };
        match (waiting < room, self.waited >= PATIENCE) {
            (true, _) => Room::Free,
            (false, true) => Room::NoneForLong,
            (false, false) => Room::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_encoder_that_stays_behind_costs_frames_and_those_of_anchors_last() {
        let mut keep_up = KeepUp::new(4);
        let mut room = |reason, waiting, waited: u64| {
            keep_up.waited += Duration::from_millis(waited);
            keep_up.room(reason, waiting)
        };
        assert_eq!(room(Reason::Background, 3, 0), Room::Free);
        assert_eq!(room(Reason::Background, 4, 1_000), Room::None);
        assert_eq!(room(Reason::Untrusted, 4, 1_900), Room::None);
        // It caught up in between.
        assert_eq!(room(Reason::Background, 0, 0), Room::Free);
        assert_eq!(room(Reason::Background, 4, 2_900), Room::None);
        // One place now and then is not enough.
        assert_eq!(room(Reason::Background, 3, 0), Room::Free);
        assert_eq!(room(Reason::Background, 4, 100), Room::NoneForLong);
        assert_eq!(room(Reason::Untrusted, 5, 0), Room::NoneForLong);
        assert_eq!(room(Reason::Anchor, 5, 0), Room::Free);
        assert_eq!(room(Reason::Anchor, 7, 0), Room::Free);
        assert_eq!(room(Reason::Anchor, 8, 0), Room::NoneForLong);
        assert_eq!(room(Reason::Background, 3, 0), Room::Free);
        // Frames of anchors alone wait, too.
        assert_eq!(room(Reason::Anchor, 0, 0), Room::Free);
        assert_eq!(room(Reason::Anchor, 8, 2_900), Room::None);
        assert_eq!(room(Reason::Anchor, 8, 100), Room::NoneForLong);
    }
}
