//! Turns cues into candidates: onsets that may become anchors.

use crate::anchor::offset::Offsets;
use crate::anchor::window::{reach, window_containing};
use crate::cue::{Cue, HOP, Onset};
use crate::plan::Anchor;
use crate::settings::AnchorSettings;
use crate::time::{Nanos, Window};

/// At this uncertainty there is no usable sound, whatever `distrust` says.
pub(crate) const INAUDIBLE: f64 = 1.0;

/// An onset this soon after a long silence is the return of the sound, hardly ever an event. Shorter silences are
/// those of a noise gate, which opens for events.
const AFTER_SILENCE: Nanos = Nanos::from_ms(100);
const LONG_SILENCE: Nanos = Nanos::from_ms(10_000);

/// Its probability is multiplied by this. (In half-muted kitchen recordings such onsets had a probability of 0.98,
/// and 9 % were events.)
const AFTER_SILENCE_FACTOR: f32 = 0.1;

/// Cues in, candidates out.
#[derive(Clone, Debug, Default)]
pub(crate) struct CandidateFinder {
    /// Start and end of the last silence.
    silence: Option<(Nanos, Nanos)>,
}

impl CandidateFinder {
    /// The candidate of the next cue, if the sound is audible there and the onset likely enough. The probability is lowered right after a
    /// long silence. In wind, handling and clipping it stays: the probes heard them, and their probabilities hold there.
    pub(crate) fn push(
        &mut self,
        cue: &Cue,
        settings: &AnchorSettings,
        offsets: &Offsets,
    ) -> Option<Candidate> {
        if !cue.trusted(INAUDIBLE) {
            let goes_on = self.silence.filter(|&(_, stop)| cue.pts - stop < HOP);
            let start = goes_on.map_or(cue.pts, |(start, _)| start);
            self.silence = Some((start, cue.pts + HOP));
        }
        let mut candidate = Candidate::from_cue(cue, settings, offsets, INAUDIBLE)?;
        let returned = |(start, stop): (Nanos, Nanos)| {
            stop - start >= LONG_SILENCE && candidate.onset - stop < AFTER_SILENCE
        };
        if self.silence.is_some_and(returned) {
            candidate.scale(AFTER_SILENCE_FACTOR);
        }
        Some(candidate)
    }
}

/// An onset that may become an anchor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Candidate {
    /// When its sound begins.
    pub(crate) onset: Nanos,
    /// When its event is expected to be visible: the time that planning uses. Inside the recording, as far as that is known.
    pub(crate) visible: Nanos,
    pub(crate) p: f32,
    /// In [0, 1]; `1 - p` unless the probe knows better.
    pub(crate) uncertainty: f32,
    pub(crate) class_id: i32,
}

impl Candidate {
    /// The candidate of a cue, if the sound can be trusted and the onset is likely enough. A cue without tags gets
    /// the global offset.
    pub(crate) fn from_cue(
        cue: &Cue,
        settings: &AnchorSettings,
        offsets: &Offsets,
        distrust: f64,
    ) -> Option<Self> {
        let onset = cue.onset?;
        let heard = cue.trusted(distrust);
        // A comparison with NaN must fail.
        let likely = onset.p > 0.0 && onset.p >= settings.threshold as f32;
        let class_id = cue.tags.first().map_or(-1, |tag| i32::from(tag.class_id));
        (heard && likely && onset.at >= Nanos::ZERO && onset.at < Nanos::MAX).then(|| Self {
            onset: onset.at,
            visible: (onset.at + offsets.of(class_id))
                .clamp(Nanos::ZERO, Nanos::MAX - Nanos::new(1)),
            p: onset.p.min(1.0),
            uncertainty: match onset.uncertainty {
                u if u.is_nan() => 1.0,
                u => u.clamp(0.0, 1.0),
            },
            class_id,
        })
    }

    /// Lowers its probability by this factor, and its chance to be right with it.
    fn scale(&mut self, by: f32) {
        let onset = Onset {
            at: self.onset,
            p: self.p,
            uncertainty: self.uncertainty,
        };
        let less = onset.scaled(by);
        (self.p, self.uncertainty) = (less.p, less.uncertainty);
    }

    /// The recording ends at `stop`, after the onset: if the event would be visible later, its frame is taken at the end.
    pub(crate) fn end_at(&mut self, stop: Nanos) {
        self.visible = self.visible.min(stop - Nanos::new(1)).max(Nanos::ZERO);
    }

    /// `[visible - pre, visible + post)`, widened, inside `[0, stop)`.
    pub(crate) fn window(&self, settings: &AnchorSettings, stop: Nanos) -> Window {
        let (before, after) = reach(settings, self.uncertainty);
        window_containing(
            self.visible,
            (self.visible - before).max(Nanos::ZERO),
            (self.visible + after).min(stop),
        )
    }

    /// When its frame is taken: `visible + look_ms`, inside the widened window and the recording `[0, stop)`.
    pub(crate) fn frame_time(&self, settings: &AnchorSettings, stop: Nanos) -> Nanos {
        let window = self.window(settings, stop);
        (self.visible + Nanos::from_ms(settings.look_ms.into()))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::anchor::window::midpoint;
    use crate::cue::testing::heard;
    use crate::settings::testing::checked;
    use crate::settings::{LONGEST_MS, Policy, Settings, Widen};

    fn ms(ms: i64) -> Nanos {
        Nanos::from_ms(ms)
    }

    fn candidate(onset: Nanos, uncertainty: f32) -> Candidate {
        Candidate {
            onset,
            visible: onset,
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
    fn limits_hold_whatever_the_uncertainty_and_only_the_sides_that_grow_are_moved() {
        let of = |widen, limits: (u32, u32), uncertainty| {
            let settings = AnchorSettings {
                widen,
                min_window_ms: limits.0,
                max_window_ms: limits.1,
                ..AnchorSettings::default()
            };
            let window = candidate(ms(5_000), uncertainty).window(&settings, Nanos::MAX);
            [window.start(), window.stop()].map(|at| at.get() / 1_000_000 - 5_000)
        };
        use Widen::{After, Before, Both};
        assert_eq!(of(Before, (0, LONGEST_MS), 1.0), [-400, 400]);
        assert_eq!(of(After, (0, LONGEST_MS), 1.0), [-200, 800]);
        // 200 and 400 grow to 900 together.
        assert_eq!(of(Both, (0, 900), 1.0), [-300, 600]);
        assert_eq!(of(Both, (900, LONGEST_MS), 0.0), [-300, 600]);
        assert_eq!(of(Before, (0, 700), 1.0), [-300, 400]);
        assert_eq!(of(After, (900, LONGEST_MS), 0.0), [-200, 700]);
        // Lengths within the limits stay as they are.
        assert_eq!(of(Both, (600, 1_200), 0.5), [-300, 600]);
    }

    #[test]
    fn an_offset_moves_window_and_frame_and_not_the_onset() {
        let settings = AnchorSettings {
            offset_ms: -300,
            ..AnchorSettings::default()
        };
        let cue = heard(ms(5_080), &[(5_000, 1.0)]).remove(62);
        let found = |settings: &AnchorSettings| {
            let offsets = Offsets::new(settings, &[]);
            Candidate::from_cue(&cue, settings, &offsets, 0.9).unwrap()
        };
        let early = found(&settings);
        assert_eq!((early.onset, early.visible), (ms(5_000), ms(4_700)));
        let window = early.window(&settings, Nanos::MAX);
        assert_eq!(Some(window), Window::new(ms(4_500), ms(5_100)));
        assert_eq!(early.frame_time(&settings, Nanos::MAX), ms(4_760));
        let lagging = AnchorSettings {
            offset_ms: 5_000,
            ..settings
        };
        let mut late = found(&lagging);
        assert_eq!(late.visible, ms(10_000));
        late.end_at(ms(7_000));
        assert_eq!(
            late.frame_time(&lagging, ms(7_000)),
            ms(7_000) - Nanos::new(1)
        );
    }

    #[test]
    fn windows_and_frames_stay_inside_the_recording() {
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
        assert_eq!(
            late.frame_time(&settings, ms(10_000)),
            ms(10_000) - Nanos::new(1)
        );
    }

    #[test]
    fn an_onset_counts_less_after_long_silence() {
        let settings = AnchorSettings::default();
        let onsets = [
            (12_050, 0.9),
            (12_850, 0.9),
            (16_050, 0.9),
            (20_050, 0.9),
            (20_450, 0.2),
        ];
        let mut cues = heard(ms(22_000), &onsets);
        // Twelve seconds of silence, then two more.
        for i in (0..150).chain(175..200) {
            cues[i].uncertainty = 1.0;
        }
        for cue in &mut cues[250..260] {
            cue.uncertainty = 0.95;
        }
        let mut finder = CandidateFinder::default();
        let heard = cues
            .iter()
            .filter_map(|cue| finder.push(cue, &settings, &Offsets::default()));
        let found: Vec<_> = heard.map(|c| (c.onset, c.p)).collect();
        // What is told as untrusted, but heard, stays as likely.
        let expected = [0.09, 0.9, 0.9, 0.9, 0.2];
        for (i, (at, p)) in found.iter().enumerate() {
            assert_eq!(*at, ms(onsets[i].0));
            assert!((p - expected[i]).abs() < 1e-6, "{found:?}");
        }
        assert_eq!(found.len(), 5);
        // A lowered probability means more uncertainty and a wider window.
        let mut finder = CandidateFinder::default();
        let heard = cues
            .iter()
            .filter_map(|cue| finder.push(cue, &settings, &Offsets::default()));
        for candidate in heard {
            let window = candidate.window(&settings, Nanos::MAX);
            let anchor = candidate.anchor(0, window);
            assert!((anchor.uncertainty - (1.0 - anchor.score)).abs() < 1e-6);
            let wide = Nanos::from_ms(600).scaled(1.0 + f64::from(anchor.uncertainty));
            assert!(window.length().distance(wide) <= Nanos::new(2));
        }
    }

    #[test]
    fn an_unlikely_or_untrusted_onset_is_not_a_candidate() {
        let settings = AnchorSettings::default();
        let mut cue = heard(ms(80), &[(40, 0.5)]).remove(0);
        let together = Offsets::default();
        let is = |cue: &Cue| Candidate::from_cue(cue, &settings, &together, 0.9).is_some();
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
        fn a_window_contains_its_event_and_its_frame(
            settings in checked(Policy::Gated), visible in 0..i64::MAX, uncertainty in 0f32..=1.0, more in 1..i64::MAX,
        ) {
            let Settings { anchors, .. } = settings;
            let visible = Nanos::new(visible);
            let stop = visible + Nanos::new(more);
            let candidate = candidate(visible, uncertainty);
            let window = candidate.window(&anchors, stop);
            prop_assert!(window.contains(visible) && window.stop() <= stop && window.start() >= Nanos::ZERO);
            prop_assert!(window.contains(candidate.frame_time(&anchors, stop)));
            let limit = Nanos::from_ms(anchors.max_window_ms.into());
            prop_assert!(window.length() <= limit);
        }

        #[test]
        fn a_window_is_never_shorter_than_its_least_nor_than_its_sides(
            settings in checked(Policy::Gated), uncertainty in 0f32..=1.0,
        ) {
            let anchors = settings.anchors;
            let window = candidate(ms(1_000_000), uncertainty).window(&anchors, Nanos::MAX);
            let least = anchors.min_window_ms.max(anchors.pre_ms + anchors.post_ms);
            // Each side is rounded separately.
            prop_assert!(window.length() + Nanos::new(1) >= Nanos::from_ms(least.into()));
            prop_assert!(ms(1_000_000) - window.start() >= Nanos::from_ms(anchors.pre_ms.into()));
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
