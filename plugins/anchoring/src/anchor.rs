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
        let heard = cue.trusted(distrust);
        // Written so that a NaN fails.
        let likely = onset.p > 0.0 && onset.p >= settings.threshold as f32;
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cue::testing::heard;
    use crate::settings::testing::checked;
    use crate::settings::{Policy, Settings};

    fn ms(ms: i64) -> Nanos {
        Nanos::from_ms(ms)
    }

    fn candidate(onset: Nanos, uncertainty: f32) -> Candidate {
        Candidate {
            onset,
            p: 1.0 - uncertainty,
            uncertainty,
            class_id: -1,
        }
    }

    #[test]
    fn a_wholly_uncertain_anchor_has_a_window_twice_as_wide() {
        let settings = AnchorSettings::default();
        let window = |uncertainty| candidate(ms(5_000), uncertainty).window(&settings, Nanos::MAX);
        assert_eq!(Some(window(0.0)), Window::new(ms(4_800), ms(5_400)));
        assert_eq!(Some(window(1.0)), Window::new(ms(4_600), ms(5_800)));
    }

    #[test]
    fn windows_and_looks_stay_inside_the_recording() {
        let settings = AnchorSettings::default();
        let early = candidate(ms(100), 0.0);
        assert_eq!(
            Some(early.window(&settings, ms(10_000))),
            Window::new(ms(0), ms(500))
        );
        let late = candidate(ms(9_980), 0.0);
        assert_eq!(
            Some(late.window(&settings, ms(10_000))),
            Window::new(ms(9_780), ms(10_000))
        );
        assert_eq!(late.look(&settings, ms(10_000)), ms(10_000) - Nanos::new(1));
    }

    #[test]
    fn an_onset_that_is_unlikely_or_not_to_be_trusted_is_no_candidate() {
        let settings = AnchorSettings::default();
        let mut cue = heard(ms(80), &[(40, 0.5)]).remove(0);
        let is = |cue: &Cue| Candidate::of(cue, &settings, 0.9).is_some();
        assert!(is(&cue));
        for uncertainty in [0.9, 1.0, f32::NAN] {
            cue.uncertainty = uncertainty;
            assert!(!is(&cue));
        }
        cue.uncertainty = 0.0;
        for p in [0.0, 0.04, f32::NAN] {
            if let Some(onset) = &mut cue.onset {
                onset.p = p;
            }
            assert!(!is(&cue));
        }
        cue.onset = None;
        assert!(!is(&cue));
    }

    proptest! {
        #[test]
        fn a_window_holds_its_onset_and_its_look(
            settings in checked(Policy::Gated), onset in 0..i64::MAX, uncertainty in 0f32..=1.0, more in 1..i64::MAX,
        ) {
            let Settings { anchors, .. } = settings;
            let onset = Nanos::new(onset);
            let stop = onset + Nanos::new(more);
            let candidate = candidate(onset, uncertainty);
            let window = candidate.window(&anchors, stop);
            prop_assert!(window.contains(onset) && window.stop() <= stop && window.start() >= Nanos::ZERO);
            prop_assert!(window.contains(candidate.look(&anchors, stop)));
        }

        #[test]
        fn windows_part_between_two_onsets(a in any::<i64>(), b in any::<i64>()) {
            prop_assume!(a < b);
            let (a, b) = (Nanos::new(a), Nanos::new(b));
            let cut = midpoint(a, b);
            prop_assert!(a < cut && cut <= b);
        }
    }
}
