//! Global planning: the cues of the whole recording -> one plan that spends the budget exactly.
//!
//! Each token goes where it is expected to show the most new events ([`ValueModel`]). First, the plan reserves the
//! frames that the largest gap needs (*gap frames*, at the background tier). Silent stretches get background frames
//! at the untrusted tier, as many as have more value than the anchors that they displace. Then onsets become anchors,
//! the most valuable first, as long as the anchor and the remaining gap frames fit the budget; an anchor's frame
//! often saves a gap frame. What is left buys background frames at the untrusted tier where they have most value, and
//! last background frames at the background tier where gaps are largest.

mod allocation;
mod background;
mod decode_penalty;
mod given;
mod queue;
mod untaken;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::anchor::candidate::{Candidate, CandidateFinder, INAUDIBLE};
use crate::anchor::offset::Offsets;
use crate::anchor::window::{midpoint, window_containing};
use crate::cue::{Cue, HOP};
use crate::plan::{
    Anchor, Entry, Header, MAX_DURATION, MIN_DURATION, Plan, PlanError, Reason, SCHEMA, Untaken,
};
use crate::planning::change_clock::ChangeClock;
use crate::planning::clips::ClipPlace;
use crate::planning::decode_cost::{DecodeCost, FramesOfPlan};
use crate::planning::uniform::{MIN_SPACING, evenly_over, frames_needed, uniform_tiers};
use crate::planning::value::ValueModel;
use crate::settings::{Policy, Settings};
use crate::tier::{Prices, Tier, Tokens};
use crate::time::{Nanos, Window};
use allocation::Allocation;
use decode_penalty::DecodePenalty;
pub use given::{GivenCue, MOST_LABELS, given_label};
use queue::CandidateQueue;

pub use untaken::BUDGET_STEPS;

/// Most frames that a plan may need: a hundred hours with a frame every 20 ms.
pub const MAX_FRAMES: u64 = 18_000_000;

/// A value as the key of a heap: non-negative floats sort like their bits.
fn heap_key(value: f64) -> u64 {
    value.max(0.0).to_bits()
}

/// Bit reversal: orders things numbered by time so that neighbours are far apart. Whatever is served in this order is
/// spread over the recording. Its own inverse.
const fn bit_reversed(i: usize) -> usize {
    i.reverse_bits()
}

/// A candidate that becomes an anchor.
struct Chosen {
    /// Its place among the candidates.
    index: usize,
    candidate: Candidate,
    /// When its frame is taken.
    at: Nanos,
    /// The time asked for, if the frame waits for a keyframe.
    asked: Option<Nanos>,
}

/// Takes every cue, then plans. Keeps candidates and trusted stretches, never the cues.
#[derive(Clone, Debug)]
pub struct GlobalPlanner {
    settings: Settings,
    prices: Prices,
    offsets: Offsets,
    finder: CandidateFinder,
    candidates: Vec<Candidate>,
    /// Where the sound can be trusted, and where there is anything to hear. In wind or handling noise, onsets have
    /// less value than their probability, but more than background frames.
    trusted: Vec<Window>,
    audible: Vec<Window>,
    /// Where decoding can start, and the time from one frame to the next.
    keyframes: Vec<Nanos>,
    frame_interval: Nanos,
    /// Where clips lie; `None` for frames.
    clips: Option<ClipPlace>,
    /// Cues of other sources, in order of time.
    given: Vec<GivenCue>,
    /// Frames without an anchor are even on this clock.
    clock: ChangeClock,
    /// Whether the plan lists candidates that were not taken.
    keeps_untaken: bool,
}

/// Anchors, entries, and what was not taken.
type Decided = (Vec<Anchor>, Vec<Entry>, Vec<Untaken>);

impl GlobalPlanner {
    /// With settings that passed [`Settings::check`].
    pub fn new(settings: Settings, prices: Prices) -> Self {
        Self {
            offsets: Offsets::new(&settings.anchors, &[]),
            settings,
            prices,
            finder: CandidateFinder::default(),
            candidates: Vec::new(),
            trusted: Vec::new(),
            audible: Vec::new(),
            keyframes: Vec::new(),
            frame_interval: Nanos::new(1),
            clips: None,
            given: Vec::new(),
            clock: ChangeClock::default(),
            keeps_untaken: true,
        }
    }

    /// Leaves candidates that were not taken out of the plan; finding them takes as long as planning ten times.
    #[must_use]
    pub const fn without_untaken(mut self) -> Self {
        self.keeps_untaken = false;
        self
    }

    /// Sets the tagger's class list, for offsets by class. Call it before the first cue.
    #[must_use]
    pub fn with_classes(mut self, classes: &[String]) -> Self {
        self.offsets = Offsets::new(&self.settings.anchors, classes);
        self
    }

    /// Sets where decoding can start, ascending, and the time between frames: the basis of
    /// [`decode_penalty_tokens`](crate::settings::BudgetSettings::decode_penalty_tokens).
    pub fn set_keyframes(&mut self, keyframes: Vec<Nanos>, frame_interval: Nanos) {
        self.keyframes = keyframes;
        self.frame_interval = frame_interval.max(Nanos::new(1));
    }

    /// Entries become clips, which are decoded whole.
    pub fn set_clips(&mut self, place: ClipPlace) {
        self.clips = Some(place);
    }

    /// Spreads background and untrusted frames evenly over change instead of over time.
    pub fn set_change(&mut self, clock: ChangeClock) {
        self.clock = clock;
    }

    /// Sets the cues of other sources, in order of time: candidates like onsets. [`given_label`] finds the label of an
    /// anchor made from one.
    pub fn set_given(&mut self, given: Vec<GivenCue>) {
        self.given = given;
    }

    /// Takes the next cue; cues come in order of time.
    pub fn push_cue(&mut self, cue: &Cue) {
        let distrust = self.settings.budget.distrust;
        if let Some(hop) = Window::new(cue.pts, cue.pts + HOP) {
            for (windows, distrust) in [
                (&mut self.trusted, distrust),
                (&mut self.audible, INAUDIBLE),
            ] {
                match windows.last_mut() {
                    _ if !cue.trusted(distrust) => {}
                    Some(last) if last.meets(hop) => *last = last.hull(hop),
                    _ => windows.push(hop),
                }
            }
        }
        let settings = &self.settings.anchors;
        let candidate = self.finder.push(cue, settings, &self.offsets);
        self.candidates.extend(candidate);
    }

    /// The plan for a recording of this duration. `config` goes into the header unchanged.
    ///
    /// # Errors
    /// The policy is `dense`, the duration is out of range, or the budget does not pay for the largest gap.
    pub fn finish(
        mut self,
        duration: Nanos,
        video_id: &str,
        config: serde_json::Value,
    ) -> Result<Plan, PlanError> {
        if duration != Nanos::ZERO && !(MIN_DURATION..=MAX_DURATION).contains(&duration) {
            return Err(PlanError::Duration(duration));
        }
        let budget = self.settings.budget_of(duration);
        for windows in [&mut self.trusted, &mut self.audible] {
            windows.retain(|window| window.stop() > Nanos::ZERO && window.start() < duration);
        }
        let heard = !self.trusted.is_empty() || !self.given.is_empty();
        given::merge(&mut self.candidates, &self.given, &self.settings.anchors);
        self.candidates
            .retain(|candidate| candidate.onset < duration);
        for candidate in &mut self.candidates {
            candidate.end_at(duration);
        }
        self.candidates.sort_by_key(|candidate| candidate.visible);
        let nothing = |entries| (Vec::new(), entries, Vec::new());
        let (anchors, entries, untaken) = match self.settings.budget.policy {
            Policy::Dense => return Err(PlanError::Dense),
            Policy::Uniform => nothing(self.uniform(duration, budget, Reason::Uniform)?),
            Policy::Gated if !heard => {
                nothing(self.uniform(duration, budget, Reason::Untrusted)?)
            }
            Policy::Gated | Policy::AnchorsOnly => self.gated(duration, budget)?,
            // Its clips come later, near every anchor, whatever that costs.
            Policy::Grid if self.settings.budget.clip_near_ms < 0 => nothing(Vec::new()),
            Policy::Grid => {
                let all = (self.candidates.len() as u64).saturating_mul(self.anchor_price());
                self.gated(duration, all)?
            }
        };
        Ok(Plan {
            header: Header {
                schema: SCHEMA.into(),
                video_id: video_id.into(),
                duration,
                budget_tokens: budget,
                spent_tokens: entries.iter().map(|entry| entry.tokens).sum(),
                config,
                candidates_per_min: match self.keeps_untaken {
                    true => self.settings.candidates_per_min(),
                    false => 0,
                },
            },
            anchors,
            entries,
            clips: Vec::new(),
            untaken,
        })
    }

    /// Whether there are no frames but those at anchors.
    fn is_anchors_only(&self) -> bool {
        let policy = self.settings.budget.policy;
        matches!(policy, Policy::AnchorsOnly | Policy::Grid)
    }

    fn max_gap(&self) -> Nanos {
        Nanos::from_ms(self.settings.budget.max_gap_ms.into())
    }

    /// The price of the largest gap at a tier, if the budget covers it.
    fn reserve(&self, duration: Nanos, budget: Tokens, tier: Tier) -> Result<Tokens, PlanError> {
        let frames = frames_needed(Nanos::ZERO, duration, self.max_gap());
        if frames > MAX_FRAMES {
            return Err(PlanError::TooMany {
                frames,
                limit: MAX_FRAMES,
                max_gap_ms: self.settings.budget.max_gap_ms,
            });
        }
        let cost = self.prices.of(tier).saturating_mul(frames);
        if cost <= budget {
            return Ok(cost);
        }
        Err(PlanError::TooSmall {
            budget,
            needed: cost,
            tier,
            max_gap_ms: self.settings.budget.max_gap_ms,
            duration,
        })
    }

    /// Uniform frames: as many as the budget pays for at the untrusted tier, or at the next cheaper one that keeps
    /// the largest gap.
    fn uniform(
        &self,
        duration: Nanos,
        budget: Tokens,
        reason: Reason,
    ) -> Result<Vec<Entry>, PlanError> {
        let tiers = uniform_tiers(&self.settings);
        let cheapest = tiers.last().copied().unwrap_or(Tier::Low);
        self.reserve(duration, budget, cheapest)?;
        let most = (duration.get() / MIN_SPACING.get()).max(0) as u64;
        let most = most.max(frames_needed(Nanos::ZERO, duration, self.max_gap()));
        for tier in tiers {
            let tokens = self.prices.of(tier);
            let n = (budget / tokens).min(most);
            let frames = match reason {
                Reason::Untrusted => self.clock.evenly_over(duration, n, self.max_gap()),
                _ => evenly_over(duration, n, self.max_gap()).map(Iterator::collect),
            };
            if n > 0
                && let Some(frames) = frames
            {
                return Ok(frames
                    .into_iter()
                    .map(|planned| Entry {
                        planned,
                        asked: None,
                        tier,
                        tokens,
                        reason,
                        anchor: None,
                    })
                    .collect());
            }
        }
        // Too short for a single frame, and the largest gap needs none.
        Ok(Vec::new())
    }

    /// What a budget buys before what is left of it goes to gaps: frames in silence, and at the best candidates.
    fn choose_within(
        &self,
        duration: Nanos,
        budget: Tokens,
        model: &ValueModel,
    ) -> Result<(Allocation, Vec<Nanos>, Vec<Chosen>), PlanError> {
        if self.is_anchors_only() {
            let mut allocation = Allocation::new(duration, budget, None, 0);
            let chosen = self.choose(&mut allocation, model);
            return Ok((allocation, Vec::new(), chosen));
        }
        let tier = self.settings.budget.background_tier;
        let price = self.prices.of(tier);
        let reserve = self.reserve(duration, budget, tier)?;
        let mut allocation =
            Allocation::new(duration, budget, Some((price, self.max_gap())), reserve);
        let full_price = self.prices.of(self.settings.budget.untrusted_tier);
        let mut background = self.background_frames(duration, budget, model);
        background.retain(|&at| allocation.add(at, full_price));
        let chosen = self.choose(&mut allocation, model);
        Ok((allocation, background, chosen))
    }

    fn gated(&self, duration: Nanos, budget: Tokens) -> Result<Decided, PlanError> {
        let tier = self.settings.budget.background_tier;
        let price = self.prices.of(tier);
        let full_tier = self.settings.budget.untrusted_tier;
        let model = self.value_model(duration);
        let (mut allocation, mut background, chosen) =
            self.choose_within(duration, budget, &model)?;
        let binds = allocation.left() < self.anchor_price();
        let taken = chosen.iter().map(|chosen| chosen.index);
        let untaken = match self.keeps_untaken {
            true => self.untaken((duration, budget), &model, taken, binds),
            false => Vec::new(),
        };
        if self.is_anchors_only() {
            let (anchors, entries) = self.anchors(duration, &chosen);
            return Ok((anchors, entries, untaken));
        }
        if model.expects_events() {
            background.extend(self.fill_gaps(&mut allocation, &model));
        }
        let (anchors, mut entries) = self.anchors(duration, &chosen);
        entries.extend(
            background
                .iter()
                .map(|&at| self.background_entry(at, full_tier)),
        );

        let gaps = allocation.gaps();
        let mut frames: Vec<u64> = gaps
            .iter()
            .map(|&(a, b)| frames_needed(a, b, self.max_gap()))
            .collect();
        let mut left = allocation.left() / price;
        // What is left goes to the largest gaps; equal gaps are served all over the recording.
        let part = |length: Nanos, frames: u64| i128::from(length.get()) / (i128::from(frames) + 1);
        let piece = |i: usize, frames: u64| part(self.clock.length(gaps[i].0, gaps[i].1), frames);
        let mut widest: BinaryHeap<(i128, Reverse<usize>)> = frames
            .iter()
            .enumerate()
            .map(|(i, &n)| (piece(i, n), Reverse(bit_reversed(i))))
            .collect();
        while left > 0
            && let Some((_, Reverse(place))) = widest.pop()
        {
            let i = bit_reversed(place);
            let (a, b) = gaps[i];
            if part(b - a, frames[i] + 1) < i128::from(MIN_SPACING.get()) {
                continue;
            }
            frames[i] += 1;
            left -= 1;
            widest.push((piece(i, frames[i]), Reverse(place)));
        }
        for (&(a, b), &n) in gaps.iter().zip(&frames) {
            let times = self.clock.evenly_between(a, b, n, self.max_gap());
            entries.extend(times.iter().map(|&at| self.background_entry(at, tier)));
        }
        entries.sort_by_key(|entry| entry.planned);
        Ok((anchors, entries, untaken))
    }

    /// An entry without an anchor.
    fn background_entry(&self, planned: Nanos, tier: Tier) -> Entry {
        Entry {
            planned,
            asked: None,
            tier,
            tokens: self.prices.of(tier),
            reason: if self.trusts(planned) {
                Reason::Background
            } else {
                Reason::Untrusted
            },
            anchor: None,
        }
    }

    fn trusts(&self, at: Nanos) -> bool {
        let after = self.trusted.partition_point(|window| window.stop() <= at);
        self.trusted
            .get(after)
            .is_some_and(|window| window.contains(at))
    }

    /// The most valuable candidates that the budget pays for, in order of visibility.
    fn choose(&self, allocation: &mut Allocation, model: &ValueModel) -> Vec<Chosen> {
        let frames = self.frame_times(allocation.duration);
        let within = (Nanos::ZERO, allocation.duration - self.frame_interval);
        let takes = self.clips.as_ref().map_or(FramesOfPlan::FRAMES, |place| {
            place.takes(self.frame_interval, within)
        });
        let decode_cost = DecodeCost {
            keyframes: &self.keyframes,
            frame_interval: self.frame_interval,
            takes,
        };
        let per_frame = self.settings.budget.decode_penalty_tokens;
        let penalty = DecodePenalty::new(decode_cost, per_frame, self.anchor_price());
        let keyframes = match &penalty {
            Some(_) => self.keyframes_after(&frames, allocation.duration, takes.anchor.before()),
            None => Vec::new(),
        };
        let mut queue = CandidateQueue::new(&self.candidates, &frames, *model, self.min_gap())
            .with_penalty(penalty, keyframes);
        // By the time of the frame: the candidate, and the time that was wanted.
        let mut chosen: BTreeMap<Nanos, (usize, Nanos)> = BTreeMap::new();
        while let Some((i, wanted, _)) = queue.next() {
            if let Some(at) = self.add_frame(i, wanted, allocation, |at| queue.fits(i, at)) {
                queue.take(i, at);
                chosen.insert(at, (i, wanted));
            } else if let Some((&next, &(j, other))) = chosen.range(wanted..).next()
                && allocation.nearly_affordable(self.anchor_price())
            {
                // The next frame may make room.
                allocation.remove(next, self.anchor_price());
                let at = self.add_frame(i, wanted, allocation, |at| queue.fits(i, at));
                let moved = at.and_then(|at| {
                    let fits = |to| queue.fits(j, to) && queue.fit((i, at), (j, to));
                    self.add_frame(j, other, allocation, fits)
                });
                if let (Some(at), Some(moved)) = (at, moved) {
                    chosen.remove(&next);
                    chosen.insert(moved, (j, other));
                    queue.moved(j, moved);
                    queue.take(i, at);
                    chosen.insert(at, (i, wanted));
                } else {
                    if let Some(at) = at {
                        allocation.remove(at, self.anchor_price());
                    }
                    allocation.add(next, self.anchor_price());
                }
            }
        }
        let mut chosen: Vec<_> = chosen
            .into_iter()
            .map(|(at, (i, wanted))| Chosen {
                index: i,
                candidate: self.candidates[i],
                at,
                asked: (wanted != frames[i]).then_some(frames[i]),
            })
            .collect();
        chosen.sort_by_key(|chosen| chosen.candidate.visible);
        chosen
    }

    /// Adds a candidate's frame at a time where it fits and the budget pays for it; returns the time.
    fn add_frame(
        &self,
        i: usize,
        at: Nanos,
        allocation: &mut Allocation,
        fits: impl Fn(Nanos) -> bool,
    ) -> Option<Nanos> {
        let candidate = &self.candidates[i];
        let gap = self.max_gap().get().max(1);
        let (a, b) = allocation.around(at);
        // If the budget is one frame short, the frame may move, but not before the event: to where both sides hold
        // whole gaps.
        let whole = |length: Nanos| Nanos::new(length.get().div_euclid(gap) * gap);
        let window = candidate.window(&self.settings.anchors, allocation.duration);
        let may = candidate.visible..=window.stop() - Nanos::new(1);
        let places = [at, b - whole(b - at), a + whole(at - a)];
        places
            .into_iter()
            .enumerate()
            .find(|&(i, t)| {
                (i == 0 || may.contains(&t)) && fits(t) && allocation.add(t, self.anchor_price())
            })
            .map(|(_, t)| t)
    }

    fn anchor_price(&self) -> Tokens {
        self.prices.of(self.settings.budget.anchor_tier)
    }

    /// The frame times of the candidates.
    fn frame_times(&self, duration: Nanos) -> Vec<Nanos> {
        let frame_time =
            |candidate: &Candidate| candidate.frame_time(&self.settings.anchors, duration);
        self.candidates.iter().map(frame_time).collect()
    }

    /// The keyframes for which the candidates' frames may wait: the next one, if it is within reach and inside the
    /// window. Clips wait until they begin at a keyframe, so long `before` their entry.
    fn keyframes_after(
        &self,
        frames: &[Nanos],
        duration: Nanos,
        before: Nanos,
    ) -> Vec<Option<Nanos>> {
        let reach = Nanos::from_ms(self.settings.budget.anchor_snap_ms.into());
        let after = |(candidate, &frame): (&Candidate, &Nanos)| {
            let next = self.keyframes.partition_point(|key| *key + before <= frame);
            let window = candidate.window(&self.settings.anchors, duration);
            let keyframe = self.keyframes.get(next).map(|key| *key + before);
            keyframe.filter(|key| *key - frame <= reach && *key < window.stop())
        };
        self.candidates.iter().zip(frames).map(after).collect()
    }

    fn min_gap(&self) -> Nanos {
        Nanos::from_ms(self.settings.anchors.min_gap_ms.into()).max(Nanos::new(1))
    }

    /// Anchors and their entries. Windows that overlap part halfway between their events, or just beside a frame that
    /// lies beyond.
    fn anchors(&self, duration: Nanos, chosen: &[Chosen]) -> (Vec<Anchor>, Vec<Entry>) {
        let tier = self.settings.budget.anchor_tier;
        let mut anchors: Vec<Anchor> = Vec::with_capacity(chosen.len());
        let mut last = (Nanos::ZERO, Nanos::ZERO);
        let mut entries: Vec<Entry> = Vec::with_capacity(chosen.len());
        for (
            id,
            Chosen {
                candidate,
                at,
                asked,
                ..
            },
        ) in (0u32..).zip(chosen)
        {
            let mut window = candidate.window(&self.settings.anchors, duration);
            if let Some(before) = anchors.last_mut()
                && before.window.stop() > window.start()
            {
                let (last_visible, last_at) = last;
                let cut = midpoint(last_visible, candidate.visible)
                    .clamp(window.start(), before.window.stop())
                    .min(*at)
                    .max(last_at + Nanos::new(1));
                before.window = window_containing(last_visible, before.window.start(), cut);
                window = window_containing(candidate.visible, cut, window.stop());
            }
            last = (candidate.visible, *at);
            anchors.push(candidate.anchor(id, window));
            entries.push(Entry {
                planned: *at,
                asked: *asked,
                tier,
                tokens: self.prices.of(tier),
                reason: Reason::Anchor,
                anchor: Some(id),
            });
        }
        entries.sort_by_key(|entry| entry.planned);
        (anchors, entries)
    }
}

#[cfg(test)]
mod tests;
