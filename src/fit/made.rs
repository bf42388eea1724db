//! Synthetic recordings, events and onsets for tests.

use anchoring::cue::Onset;
use anchoring::time::{Nanos, Window};

use super::corpus::Recording;
use super::sound::Mel;
use crate::eval::labels::Event;

/// An event of 400 ms.
pub(super) fn event(ms: i64, class: &str) -> Event {
    Event {
        span: Window::new(Nanos::from_ms(ms), Nanos::from_ms(ms + 400)).unwrap(),
        class: class.into(),
        level: None,
        video_id: None,
    }
}

/// An onset with this probability.
pub(super) fn heard(ms: i64, p: f32) -> Onset {
    Onset {
        at: Nanos::from_ms(ms),
        p,
        uncertainty: 1.0 - p,
    }
}

/// A silent recording of this many mel frames.
pub(super) fn recording(events: Vec<Event>, frames: usize) -> Recording {
    let mut mel = Mel::default();
    (0..frames).for_each(|_| mel.push(&[0.0; 64]));
    Recording {
        name: "made".into(),
        given: String::new(),
        mel,
        events,
    }
}
