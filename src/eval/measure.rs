//! Scores one recording: which events its plan hits, and which the baselines hit.
//!
//! A frame hits an event at tolerance `d` if it lies in `[start - d, stop + d)`. The baselines use as many frames: `uniform` (the middles of
//! equal shares), `random` (its expectation), `shifted` (the plan's frames moved around the recording: the same rhythm elsewhere) and `oracle`
//! (the frames that hit most, given the labels). Recovery is `(plan - uniform) / (oracle - uniform)`.

use anchoring::cue::HOP;
use anchoring::plan::Untaken;
use anchoring::planning::uniform::evenly_over;
use anchoring::tier::{Prices, Tier, Tokens};
use anchoring::time::{Nanos, Window};

use super::labels::{Event, Notes};
use super::oracle;

/// Largest distance between an onset and a labelled start that count as the same: 150 ms.
pub const NEAR: Nanos = Nanos::from_ms(150);
/// Number of shifts of the `shifted` baseline.
const SHIFTS: i64 = 20;

/// Who places the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// The plan that is judged.
    Plan,
    /// Evenly spaced.
    Uniform,
    /// Randomly placed.
    Random,
    /// The plan, moved around the recording.
    Shifted,
    /// Placed with knowledge of the labels.
    Oracle,
}

impl Placement {
    /// All of them, in the order of [`Hits`].
    pub const ALL: [Self; 5] = [
        Self::Plan,
        Self::Uniform,
        Self::Random,
        Self::Shifted,
        Self::Oracle,
    ];

    /// Its name in results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Uniform => "uniform",
            Self::Random => "random",
            Self::Shifted => "shifted",
            Self::Oracle => "oracle",
        }
    }
}

/// An onset that the plan took, or might have taken, for the beginning of an event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Onset {
    /// When.
    pub at: Nanos,
    /// Its uncertainty, in [0, 1].
    pub uncertainty: f64,
}

/// A hop of the audio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hop {
    /// Its start.
    pub at: Nanos,
    /// Whether the sound was trusted there.
    pub trusted: bool,
    /// Quality of the sound, in [0, 1], if known.
    pub quality: Option<f32>,
}

/// A plan and the labels of the same recording.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// Its name.
    pub name: String,
    /// Its length.
    pub duration: Nanos,
    /// Labelled events, by start.
    pub events: Vec<Event>,
    /// Further notes about it.
    pub notes: Option<Notes>,
    /// The frames that count, ascending.
    pub frame_times: Vec<Nanos>,
    /// Every frame of the plan, ascending, with its tier.
    pub frames: Vec<(Nanos, Tier)>,
    /// What all of them cost.
    pub spent: Tokens,
    /// Price of a frame by tier.
    pub prices: Prices,
    /// Anchors, in the order of their windows.
    pub anchors: Vec<Onset>,
    /// Their windows.
    pub windows: Vec<Window>,
    /// Every detected onset, by time; none if the plan has no cues.
    pub onsets: Vec<Onset>,
    /// The hops of the sound; none if the plan has no cues.
    pub hops: Vec<Hop>,
    /// Candidates that were not taken, by time; `None` if the plan does not keep them.
    pub untaken: Option<Vec<Untaken>>,
    /// What the plan may spend.
    pub budget: Tokens,
}

/// Why no frame shows an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissedBecause {
    /// It has an anchor, but its frame was taken after the event was over, or at a lower tier.
    Frame,
    /// Its onset was detected but not taken; this many more tokens would take it, if known.
    Budget(Option<Tokens>),
    /// No onset was detected.
    Unheard,
}

/// For each event the probability of being hit, in [0, 1], by [`Placement`].
pub type Hits = [Vec<f64>; 5];

impl Recording {
    /// Quality of the sound at a time; `None` if unknown.
    pub fn quality(&self, at: Nanos) -> Option<f32> {
        let hop = self.hops.partition_point(|hop| hop.at <= at);
        let hop = self.hops.get(hop.checked_sub(1)?)?;
        hop.quality.filter(|_| at - hop.at < HOP)
    }

    /// Share of the events that the plan's frames hit.
    pub fn recall(&self) -> f64 {
        let spans = self.events.iter().map(|event| event.span);
        let hit = spans
            .filter(|span| oracle::hit(&self.frame_times, *span))
            .count();
        hit as f64 / self.events.len().max(1) as f64
    }

    /// Hits by placement at a tolerance, with as many frames as the plan has.
    pub fn hits(&self, tolerance: Nanos) -> Hits {
        self.hits_by(&self.frame_times, self.frame_times.len(), tolerance)
    }

    /// The frames of this tier or above.
    pub fn frames_of(&self, tier: Tier) -> Vec<Nanos> {
        let fine = self.frames.iter().filter(|(_, own)| *own >= tier);
        fine.map(|&(at, _)| at).collect()
    }

    /// Number of frames of this tier that all of the plan's tokens pay for.
    pub fn affordable(&self, tier: Tier) -> usize {
        (self.spent / self.prices.of(tier).max(1)) as usize
    }

    /// Hits by placement without tolerance, at this tier or above and at equal tokens: the plan by its frames of such tiers, the others by as
    /// many frames of this tier as all of the plan's tokens pay for.
    pub fn hits_at(&self, tier: Tier) -> Hits {
        self.hits_by(&self.frames_of(tier), self.affordable(tier), Nanos::ZERO)
    }

    /// Hits by placement: the plan by its own frames, the others by `n`.
    fn hits_by(&self, frames: &[Nanos], n: usize, tolerance: Nanos) -> Hits {
        let spans: Vec<Window> = self
            .events
            .iter()
            .filter_map(|event| {
                Window::new(
                    (event.span.start() - tolerance).max(Nanos::ZERO),
                    (event.span.stop() + tolerance).min(self.duration),
                )
            })
            .collect();
        let by = |frames: &[Nanos]| -> Vec<f64> {
            let hit = |span: &Window| f64::from(u8::from(oracle::hit(frames, *span)));
            spans.iter().map(hit).collect()
        };
        let even: Vec<Nanos> = evenly_over(self.duration, n as u64, self.duration)
            .into_iter()
            .flatten()
            .collect();
        let whole = self.duration.seconds();
        let random = |span: &Window| 1.0 - (1.0 - span.length().seconds() / whole).powf(n as f64);
        let mut shifted = vec![0.0; spans.len()];
        for shift in 1..=SHIFTS {
            let by_much = self.duration.get() / (SHIFTS + 1) * shift;
            let mut moved: Vec<Nanos> = frames
                .iter()
                .map(|at| Nanos::new((at.get() + by_much) % self.duration.get().max(1)))
                .collect();
            moved.sort_unstable();
            for (sum, hit) in shifted.iter_mut().zip(by(&moved)) {
                *sum += hit / SHIFTS as f64;
            }
        }
        [
            by(frames),
            by(&even),
            spans.iter().map(random).collect(),
            shifted,
            oracle::shares(&spans, n),
        ]
    }

    /// Why no counting frame shows an event, for each such event; `None` if the plan does not keep untaken candidates.
    pub fn missed(&self) -> Option<Vec<MissedBecause>> {
        let untaken = self.untaken.as_ref()?;
        let mut anchors: Vec<Nanos> = self.anchors.iter().map(|onset| onset.at).collect();
        anchors.sort_unstable();
        let missed = self
            .events
            .iter()
            .filter(|event| !oracle::hit(&self.frame_times, event.span));
        let because = |event: &Event| {
            let from = event.span.start() - NEAR;
            let until = event.span.stop().max(event.span.start() + NEAR);
            let first = anchors.partition_point(|at| *at < from);
            if anchors.get(first).is_some_and(|at| *at < until) {
                return MissedBecause::Frame;
            }
            let first = untaken.partition_point(|one| one.onset < from);
            let heard = untaken[first..].iter().take_while(|one| one.onset < until);
            // The cheapest of several; an unknown price counts as the highest.
            let price = heard
                .map(|one| one.more_tokens.unwrap_or(Tokens::MAX))
                .min();
            match price {
                None => MissedBecause::Unheard,
                Some(price) => MissedBecause::Budget(Some(price).filter(|p| *p < Tokens::MAX)),
            }
        };
        Some(missed.map(because).collect())
    }

    /// Number of frames in no event, and of frames whose every event was hit before.
    pub fn waste(&self) -> (usize, usize) {
        let (mut empty, mut repeated) = (0, 0);
        let mut before: Option<Nanos> = None;
        for &at in &self.frame_times {
            let mut inside = self
                .sounding(at)
                .map(|event| before.is_none_or(|before| event.span.start() > before))
                .peekable();
            if inside.peek().is_none() {
                empty += 1;
            } else if !inside.any(|new| new) {
                repeated += 1;
            }
            before = Some(at);
        }
        (empty, repeated)
    }

    /// The events that sound at an instant.
    fn sounding(&self, at: Nanos) -> impl Iterator<Item = &Event> {
        let begun = self
            .events
            .partition_point(|event| event.span.start() <= at);
        self.events[..begun]
            .iter()
            .filter(move |event| event.span.contains(at))
    }

    /// Which of these onsets, in any order, begin an event. Each start goes to the nearest onset, and each onset gets at most one.
    pub fn true_onsets(&self, given: &[Onset]) -> Vec<bool> {
        // Anchors come in the order of their windows, which offsets by class move.
        let mut order: Vec<usize> = (0..given.len()).collect();
        order.sort_by_key(|&i| given[i].at);
        let onsets: Vec<Onset> = order.iter().map(|&i| given[i]).collect();
        let mut found = vec![false; given.len()];
        for (place, right) in order.into_iter().zip(self.true_in_order(&onsets)) {
            found[place] = right;
        }
        found
    }

    /// The same for onsets ordered by time.
    fn true_in_order(&self, onsets: &[Onset]) -> Vec<bool> {
        let mut pairs = Vec::new();
        let mut first = 0;
        for (i, event) in self.events.iter().enumerate() {
            let start = event.span.start();
            while onsets
                .get(first)
                .is_some_and(|onset| onset.at + NEAR < start)
            {
                first += 1;
            }
            for (j, onset) in onsets.iter().enumerate().skip(first) {
                if onset.at > start + NEAR {
                    break;
                }
                pairs.push((onset.at.distance(start), i, j));
            }
        }
        pairs.sort_unstable();
        let (mut given, mut found) = (vec![false; self.events.len()], vec![false; onsets.len()]);
        for (_, i, j) in pairs {
            if !given[i] && !found[j] {
                (given[i], found[j]) = (true, true);
            }
        }
        found
    }

    /// Number of windows that hold the start of an event.
    pub fn holding(&self) -> usize {
        let start = |i: usize| self.events[i].span.start();
        let holds = |window: &&Window| {
            let first = self
                .events
                .partition_point(|e| e.span.start() < window.start());
            first < self.events.len() && window.contains(start(first))
        };
        self.windows.iter().filter(holds).count()
    }

    /// Dead hops by the notes and by the plan: dead in both, only in the plan, only in the notes.
    pub fn dead_hops(&self) -> Option<(u64, u64, u64)> {
        let notes = self.notes.as_ref().filter(|_| !self.hops.is_empty())?;
        let (mut both, mut plan, mut only) = (0, 0, 0);
        for hop in &self.hops {
            let middle = hop.at + Nanos::from_ms(40);
            match (within(&notes.dead, middle), hop.trusted) {
                (true, false) => both += 1,
                (false, false) => plan += 1,
                (true, true) => only += 1,
                (false, true) => {}
            }
        }
        Some((both, plan, only))
    }

    /// Events that begin within fifteen seconds of this one, per frame that a uniform plan would have there.
    pub fn density(&self, event: &Event) -> f64 {
        let (from, until) = (
            event.span.start() - Nanos::from_ms(15_000),
            event.span.start() + Nanos::from_ms(15_000),
        );
        let first = self.events.partition_point(|e| e.span.start() < from);
        let last = self.events.partition_point(|e| e.span.start() < until);
        let length = (until.min(self.duration) - from.max(Nanos::ZERO)).seconds();
        let frames = self.frame_times.len() as f64 * length / self.duration.seconds().max(1e-9);
        (last - first) as f64 / frames.max(1e-9)
    }

    /// Whether another event sounds when this one begins.
    pub fn covered(&self, index: usize) -> bool {
        let Some(event) = self.events.get(index) else {
            return false;
        };
        let start = event.span.start();
        self.events[..index]
            .iter()
            .any(|other| other.span.contains(start) && other.span.start() < start)
    }
}

/// Whether an instant lies in one of the windows, which are sorted by start.
pub fn within(windows: &[Window], at: Nanos) -> bool {
    let begun = windows.partition_point(|window| window.start() <= at);
    windows[..begun].iter().any(|window| window.contains(at))
}

/// How well uncertainty separates false onsets from true ones: the probability that a false one is more uncertain (area under the ROC curve,
/// ties half; Hanley and McNeil 1982). `None` unless there are both.
pub fn auroc(judged: &[(f64, bool)]) -> Option<f64> {
    let mut sorted: Vec<_> = judged.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut ranks, mut wrong) = (0.0, 0.0);
    let mut i = 0;
    while i < sorted.len() {
        let same = sorted[i..]
            .iter()
            .take_while(|x| x.0 == sorted[i].0)
            .count();
        let rank = i as f64 + (same as f64 + 1.0) / 2.0;
        let false_ones = sorted[i..i + same].iter().filter(|x| !x.1).count() as f64;
        ranks += rank * false_ones;
        wrong += false_ones;
        i += same;
    }
    let right = sorted.len() as f64 - wrong;
    (wrong > 0.0 && right > 0.0).then(|| (ranks - wrong * (wrong + 1.0) / 2.0) / (wrong * right))
}

/// Onsets with about the same claimed probability.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Bin {
    /// Number of them.
    pub onsets: usize,
    /// Mean claimed probability.
    pub claimed: f64,
    /// Share of true ones.
    pub found: f64,
}

/// Ten bins of the claimed probability `1 - uncertainty`, and the mean distance between claimed and found (expected calibration
/// error; Naeini et al. 2015). `None` without onsets.
pub fn calibration(judged: &[(f64, bool)]) -> Option<(f64, Vec<Bin>)> {
    let mut bins = [Bin::default(); 10];
    for &(uncertainty, right) in judged {
        let p = 1.0 - uncertainty;
        let bin = &mut bins[((p * 10.0).clamp(0.0, 9.0)) as usize];
        bin.onsets += 1;
        bin.claimed += p;
        bin.found += f64::from(u8::from(right));
    }
    if judged.is_empty() {
        return None;
    }
    let mut error = 0.0;
    for bin in &mut bins {
        error += (bin.claimed - bin.found).abs() / judged.len() as f64;
        let n = bin.onsets.max(1) as f64;
        bin.claimed /= n;
        bin.found /= n;
    }
    let bins = bins.into_iter().filter(|bin| bin.onsets > 0).collect();
    Some((error, bins))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(start: i64, stop: i64) -> Event {
        Event {
            span: Window::new(Nanos::from_ms(start), Nanos::from_ms(stop)).unwrap(),
            class: String::new(),
            level: None,
            video_id: None,
        }
    }

    fn recording(events: &[(i64, i64)], frames: &[i64]) -> Recording {
        Recording {
            duration: Nanos::from_ms(10_000),
            events: events.iter().map(|&(a, b)| event(a, b)).collect(),
            frame_times: frames.iter().map(|&ms| Nanos::from_ms(ms)).collect(),
            ..Recording::default()
        }
    }

    #[test]
    fn a_frame_hits_the_events_that_it_lies_in() {
        let r = recording(
            &[(1_000, 2_000), (1_500, 1_600), (4_000, 4_100)],
            &[1_550, 2_000],
        );
        let [plan, uniform, random, shifted, oracle] = r.hits(Nanos::ZERO);
        assert_eq!(plan, [1.0, 1.0, 0.0]);
        assert_eq!(uniform, [0.0, 0.0, 0.0]); // 2.5 s and 7.5 s
        assert!((random[0] - 0.19).abs() < 1e-9);
        assert!(shifted.iter().all(|hit| *hit < 0.5));
        assert_eq!(oracle, [1.0, 1.0, 1.0]);
        assert_eq!(r.hits(Nanos::from_ms(2_100))[0], [1.0, 1.0, 1.0]);
        assert_eq!(r.waste(), (1, 0));
    }

    #[test]
    fn at_equal_tokens_the_others_get_the_frames_that_the_plan_pays_for() {
        let mut r = recording(&[(1_000, 2_000), (4_800, 5_200), (7_400, 7_600)], &[]);
        let at = |ms, tier| (Nanos::from_ms(ms), tier);
        r.frames = vec![
            at(1_500, Tier::High),
            at(3_000, Tier::Low),
            at(7_500, Tier::Base),
        ];
        r.spent = 784 + 49 + 196;
        assert_eq!(Tier::ALL.map(|tier| r.affordable(tier)), [21, 5, 1]);
        // One even frame of the high tier is at 5 s.
        let [plan, uniform, ..] = r.hits_at(Tier::High);
        assert_eq!((plan, uniform), (vec![1.0, 0.0, 0.0], vec![0.0, 1.0, 0.0]));
        // Five of the base tier are at 1, 3, 5, 7 and 9 s.
        let [plan, uniform, ..] = r.hits_at(Tier::Base);
        assert_eq!((plan, uniform), (vec![1.0, 0.0, 1.0], vec![1.0, 1.0, 0.0]));
        let [plan, uniform, _, _, oracle] = r.hits_at(Tier::Low);
        assert_eq!((plan, oracle), (vec![1.0, 0.0, 1.0], vec![1.0; 3]));
        assert_eq!(uniform.len(), 3);
    }

    #[test]
    fn an_event_is_missed_by_its_frame_by_the_budget_or_unheard() {
        let mut r = recording(
            &[
                (1_000, 1_100),
                (2_000, 2_100),
                (3_000, 3_100),
                (4_000, 5_000),
                (6_000, 6_100),
                (8_000, 8_100),
            ],
            &[8_050],
        );
        assert_eq!(r.missed(), None);
        r.anchors = [1_020, 8_010]
            .map(|ms| Onset {
                at: Nanos::from_ms(ms),
                uncertainty: 0.5,
            })
            .into();
        let one = |ms, more_tokens| Untaken {
            onset: Nanos::from_ms(ms),
            score: 0.5,
            more_tokens,
        };
        r.untaken = Some(vec![
            one(1_900, Some(7)),
            one(2_160, Some(3)),
            one(3_140, None),
            one(3_149, Some(9)),
            one(4_900, None),
        ]);
        use MissedBecause::{Budget, Frame, Unheard};
        let wanted = vec![
            Frame,
            Budget(Some(7)),
            Budget(Some(9)),
            Budget(None),
            Unheard,
        ];
        assert_eq!(r.missed(), Some(wanted));
    }

    #[test]
    fn a_second_frame_of_the_same_events_is_repeated() {
        let r = recording(&[(1_000, 3_000), (2_500, 2_600)], &[1_100, 2_000, 2_550]);
        assert_eq!(r.waste(), (0, 1));
    }

    #[test]
    fn a_start_makes_one_onset_true() {
        let r = recording(&[(1_000, 2_000), (3_000, 3_100)], &[]);
        let onset = |ms| Onset {
            at: Nanos::from_ms(ms),
            uncertainty: 0.5,
        };
        let found = r.true_onsets(&[900, 1_020, 1_140, 3_151].map(onset));
        assert_eq!(found, [false, true, false, false]);
        let found = r.true_onsets(&[3_020, 1_140, 1_020, 900].map(onset));
        assert_eq!(found, [true, false, true, false]);
    }

    #[test]
    fn a_window_holds_a_start_or_not() {
        let mut r = recording(&[(1_000, 2_000), (3_000, 3_100)], &[]);
        let window = |from, to| Window::new(Nanos::from_ms(from), Nanos::from_ms(to)).unwrap();
        r.windows = vec![
            window(800, 1_001),
            window(1_001, 3_000),
            window(3_000, 4_000),
            window(4_000, 9_000),
        ];
        assert_eq!(r.holding(), 2);
    }

    #[test]
    fn auroc_counts_ties_half() {
        assert_eq!(auroc(&[(0.9, false), (0.1, true)]), Some(1.0));
        assert_eq!(auroc(&[(0.1, false), (0.9, true)]), Some(0.0));
        assert_eq!(auroc(&[(0.5, false), (0.5, true)]), Some(0.5));
        assert_eq!(auroc(&[(0.5, false)]), None);
    }

    #[test]
    fn calibration_is_the_distance_between_claim_and_truth() {
        let judged: Vec<_> = (0..100).map(|i| (0.25, i % 4 != 0)).collect();
        assert_eq!(calibration(&judged).unwrap().0, 0.0);
        assert!((calibration(&[(0.0, false)]).unwrap().0 - 1.0).abs() < 1e-9);
        assert!(calibration(&[]).is_none());
    }
}
