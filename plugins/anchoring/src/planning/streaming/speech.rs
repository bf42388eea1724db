//! Where somebody speaks and no frame may be taken.

use std::collections::VecDeque;

use crate::cue::{Cue, HOP};
use crate::time::{Nanos, Window};

/// From this probability on, somebody speaks.
const SPEAKS: f32 = 0.5;
/// So long before speech is heard and after it, no frame is taken either.
pub(super) const BEFORE: Nanos = Nanos::from_ms(500);
const AFTER: Nanos = Nanos::from_ms(1_000);
/// Most stretches that are remembered; further ones become one with the last.
const MOST: usize = 256;

/// Stretches of speech, ascending and apart.
#[derive(Clone, Debug, Default)]
pub(super) struct Speech(VecDeque<Window>);

impl Speech {
    /// Takes the next cue.
    pub(super) fn hear(&mut self, cue: &Cue) {
        // NaN must count as speech.
        if cue.speech < SPEAKS {
            return;
        }
        let (start, stop) = (cue.pts - BEFORE, cue.pts + HOP + AFTER);
        let full = self.0.len() >= MOST;
        let start = match self.0.back() {
            Some(last) if last.stop() >= start || full => last.start(),
            _ => start,
        };
        if self.0.back().is_some_and(|last| last.start() == start) {
            self.0.pop_back();
        }
        self.0.extend(Window::new(start, stop));
    }

    /// The time itself, or the end of the stretch that contains it.
    pub(super) fn skip(&self, at: Nanos) -> Nanos {
        let next = self.0.partition_point(|window| window.stop() <= at);
        let inside = self.0.get(next).filter(|window| window.start() <= at);
        inside.map_or(at, |window| window.stop())
    }

    /// What lies before a time is of no interest any more.
    pub(super) fn forget(&mut self, before: Nanos) {
        while self.0.front().is_some_and(|window| window.stop() <= before) {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_grow_together_and_are_bounded() {
        let mut speech = Speech::default();
        let says = |ms: i64| Cue {
            pts: Nanos::from_ms(ms),
            speech: 0.6,
            ..Cue::default()
        };
        for ms in [10_000, 10_080, 11_200, 20_000] {
            speech.hear(&says(ms));
        }
        speech.hear(&Cue {
            speech: 0.4,
            ..says(15_000)
        });
        let at = |ms: i64| speech.skip(Nanos::from_ms(ms));
        assert_eq!(at(9_499), Nanos::from_ms(9_499));
        assert_eq!(at(9_500), Nanos::from_ms(12_280));
        assert_eq!(at(12_280), Nanos::from_ms(12_280));
        assert_eq!(at(15_000), Nanos::from_ms(15_000));
        assert_eq!(at(20_500), Nanos::from_ms(21_080));
        let mut long = speech.clone();
        for k in 0..10_000 {
            long.hear(&says(30_000 + 10_000 * k));
        }
        assert!(long.0.len() <= MOST);
        let last = Nanos::from_ms(30_000 + 10_000 * 9_999);
        assert!(long.skip(last) > last);
        long.forget(last);
        assert_eq!(long.0.len(), 1);
    }
}
