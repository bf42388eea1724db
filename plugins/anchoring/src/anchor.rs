//! Cues -> anchors: the instants at which something begins, each with a window around it.

use serde::Serialize;

use crate::cue::Cue;
use crate::settings::AnchorSettings;
use crate::time::{Nanos, Window};

/// An instant at which something begins.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(into = "Row")]
pub struct Anchor {
    /// Counts from 0 in the order of time; the row of `/anchors`.
    pub id: u32,
    /// When it begins, in the recording's time.
    pub onset: Nanos,
    /// Holds the onset and overlaps no other anchor's window.
    pub window: Window,
    /// Name of the class; empty until somebody looks it up.
    pub label: String,
    /// Row of the tagger's class list, or -1.
    pub class_id: i32,
    /// How likely something begins here, in [0, 1].
    pub score: f32,
    /// How unsure that is, in [0, 1].
    pub uncertainty: f32,
}

/// An [`Anchor`] as it stands in a plan.
#[derive(Serialize)]
struct Row {
    id: u32,
    onset_ns: Nanos,
    start_ns: Nanos,
    stop_ns: Nanos,
    label: String,
    class_id: i32,
    score: f32,
    uncertainty: f32,
}

impl From<Anchor> for Row {
    fn from(anchor: Anchor) -> Self {
        Self {
            id: anchor.id,
            onset_ns: anchor.onset,
            start_ns: anchor.window.start(),
            stop_ns: anchor.window.stop(),
            label: anchor.label,
            class_id: anchor.class_id,
            score: anchor.score,
            uncertainty: anchor.uncertainty,
        }
    }
}

/// An onset that may become an anchor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) onset: Nanos,
    pub(crate) p: f32,
    pub(crate) uncertainty: f32,
    pub(crate) class_id: i32,
}

impl Candidate {
    /// The candidate in a cue, if the sound can be trusted there and the onset is likely enough.
    pub(crate) fn of(cue: &Cue, settings: &AnchorSettings, distrust: f64) -> Option<Self> {
        let onset = cue.onset?;
        let heard = f64::from(cue.uncertainty) < distrust && cue.uncertainty < 1.0;
        // Written so that a NaN fails.
        let likely = onset.p > 0.0 && f64::from(onset.p) >= settings.threshold;
        (heard && likely && onset.at >= Nanos::ZERO && onset.at < Nanos::MAX).then(|| Self {
            onset: onset.at,
            p: onset.p.min(1.0),
            uncertainty: unit(onset.uncertainty),
            class_id: cue.tags.first().map_or(-1, |tag| i32::from(tag.class_id)),
        })
    }

    /// `[onset - pre, onset + post)`, both sides times `1 + gain * uncertainty`, inside `[0, stop)`.
    pub(crate) fn window(&self, settings: &AnchorSettings, stop: Nanos) -> Window {
        let widen =
            1.0 + (settings.uncertainty_gain * f64::from(self.uncertainty)).clamp(0.0, 10.0);
        let before = Nanos::from_ms(settings.pre_ms.into()).scaled(widen);
        let after = Nanos::from_ms(settings.post_ms.max(1).into()).scaled(widen);
        holding(
            self.onset,
            (self.onset - before).max(Nanos::ZERO),
            (self.onset + after).min(stop),
        )
    }

    /// When the picture is taken: `onset + look`, kept inside the widened window and the recording `[0, stop)`.
    pub(crate) fn look(&self, settings: &AnchorSettings, stop: Nanos) -> Nanos {
        let window = self.window(settings, stop);
        (self.onset + Nanos::from_ms(settings.look_ms.into()))
            .clamp(window.start(), window.stop() - Nanos::new(1))
    }

    pub(crate) fn anchor(&self, id: u32, window: Window) -> Anchor {
        Anchor {
            id,
            onset: self.onset,
            window,
            label: String::new(),
            class_id: self.class_id,
            score: self.p,
            uncertainty: self.uncertainty,
        }
    }
}

/// `[start, stop)`, stretched where needed to hold `onset`.
pub(crate) fn holding(onset: Nanos, start: Nanos, stop: Nanos) -> Window {
    Window::at_least(start.min(onset), stop.max(onset + Nanos::new(1)))
}

/// Halfway between two onsets: where their windows part when they meet. Above `a`, and at most `b`, when `a < b`.
pub(crate) fn midpoint(a: Nanos, b: Nanos) -> Nanos {
    Nanos::new(a.get().midpoint(b.get()))
        .max(a + Nanos::new(1))
        .min(b)
}

/// Kept in [0, 1]; NaN is as uncertain as can be.
fn unit(x: f32) -> f32 {
    if x.is_nan() { 1.0 } else { x.clamp(0.0, 1.0) }
}
