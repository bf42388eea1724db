//! Streaming planning: cues as they come -> plan entries, within a token bucket and a bounded look-ahead.
//!
//! The bucket starts empty, fills at `tokens_per_s` and overflows at `burst_s`. So at no instant has more been spent
//! than was earned by then, and the budget is kept wherever the recording ends. The expected end only decides how
//! long the bucket saves.
//!
//! An onset becomes an anchor under three conditions: its frame shows enough new events, given what the bucket holds
//! and will earn until the end; it is among the frames that together show most of what is heard within the
//! look-ahead; and the largest gap can still be paid afterwards. In silence, background frames at the untrusted tier
//! come as soon as they have as much value ([`ValueModel`]); where cues are missing, uniform frames. A decision about
//! an instant uses what is heard up to `look_ahead_ms` after it (longer, if a class is visible before its sound), so
//! it does not matter how cues are chunked.
//!
//! With the spread `change`, background and untrusted frames come when as much has changed as usually does in the time
//! that would lie between them, and decisions wait until the change up to them is known.

mod acceptance;
mod change_clock;
mod refractory;
mod reserve_price;
mod speech;
mod token_bucket;
mod untaken;

use std::collections::VecDeque;

use self::change_clock::RunningClock;
use self::refractory::Refractory;
use self::reserve_price::ReservePrice;
use self::speech::Speech;
use self::token_bucket::TokenBucket;
use self::untaken::{MAX_WAITING, UntakenQueue};
use crate::anchor::candidate::{Candidate, CandidateFinder, INAUDIBLE};
use crate::anchor::offset::Offsets;
use crate::cue::{Cue, HOP};
use crate::plan::{Anchor, Entry, MAX_DURATION, Reason, Untaken};
use crate::planning::change::Change;
use crate::planning::uniform::{MIN_SPACING, uniform_tiers};
use crate::planning::value::{HORIZON, ValueModel};
use crate::settings::{Policy, Settings, Spread};
use crate::tier::{Prices, Tier, Tokens};
use crate::time::{Nanos, Window};

/// Longer frame intervals are not believed.
const MAX_FRAME_INTERVAL: Nanos = Nanos::from_ms(2_000);

/// Over change, frames come no closer than this share of their distance over time.
const CLOSEST: f64 = 0.1;

/// Over change, a bucket with room for at most this many frames is spent where something changes.
const SPARE: u64 = 8;

/// The next decision of the planner.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// An anchor; comes before the entry that names it.
    Anchor(Anchor),
    /// A plan entry.
    Frame(Entry),
    /// A candidate that was not taken: of every minute the most probable, when it is over.
    Untaken(Untaken),
}

/// The state of a stretch of sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SoundState {
    Trusted,
    /// There is something to hear, but it can't be trusted.
    Untrusted,
    /// There are cues, and nothing to hear.
    Silent,
    Missing,
}

/// Plans behind the audio. Times never go back: what was returned stays. Drain [`Self::next`] after each call: what
/// waits here is bounded by the look-ahead and by what came since.
#[derive(Debug)]
pub struct StreamPlanner {
    settings: Settings,
    prices: Prices,
    max_gap: Nanos,
    min_gap: Nanos,
    look_ahead: Nanos,
    /// Least distance of a background frame from the frame before it.
    frame_interval: Nanos,
    /// Tier and spacing of uniform frames where there are no cues.
    uniform: (Tier, Nanos),
    model: ValueModel,
    offsets: Offsets,
    /// Spacing of anchors if they were evenly spread.
    anchor_spacing: Nanos,
    /// What an anchor's frame shows besides the anchor's own event.
    value_beside_anchor: f64,
    /// Time of the last frame at an anchor or at the untrusted tier, or the start.
    last_full_frame: Nanos,
    reserve_price: ReservePrice,
    /// The clock on which frames without an anchor are even; `None`: time.
    change: Option<RunningClock>,
    /// Expected end of the recording.
    expected: Option<Nanos>,
    bucket: TokenBucket,
    spent: Tokens,
    /// States of the sound: contiguous stretches up to `heard`, the oldest first, each with its end.
    sounds: VecDeque<(Nanos, SoundState)>,
    heard: Nanos,
    /// No more cues will come.
    ended: bool,
    stop: Option<Nanos>,
    finder: CandidateFinder,
    /// By the times of their frames.
    candidates: VecDeque<(Nanos, Candidate)>,
    /// Candidates decided since that frame: when they are visible, and their probabilities.
    not_shown: VecDeque<(Nanos, f32)>,
    /// Stretches without frames, ascending; those that planning has passed are dropped.
    discontinuities: VecDeque<Window>,
    /// The end of the last of them.
    discontinuities_end: Nanos,
    /// Where no frame may be taken because somebody speaks.
    speech: Speech,
    /// Time of the last frame; the start before the first.
    last: Nanos,
    /// When the last anchor's event is visible, and the end of its window.
    last_anchor: Option<(Nanos, Nanos)>,
    anchors: u32,
    refractory: Refractory,
    /// The entry of an anchor that was just returned.
    pending: Option<Entry>,
    untaken: UntakenQueue,
}

impl StreamPlanner {
    /// With settings that passed [`Settings::check`]. The policy `dense` decides nothing: every frame is taken
    /// anyway.
    ///
    /// The bucket always has room for an anchor and a background frame, however small `burst_s`.
    pub fn new(settings: Settings, prices: Prices) -> Self {
        let b = &settings.budget;
        let max_gap = Nanos::from_ms(b.max_gap_ms.max(1).into());
        let least = prices.of(b.background_tier)
            + prices.of(b.anchor_tier).max(prices.of(b.untrusted_tier));
        let bucket = TokenBucket::new(b.tokens_per_s, b.burst_s, least);
        let even = uniform_tiers(&settings)
            .into_iter()
            .map(|tier| (tier, bucket.time_for(prices.of(tier))))
            .find(|&(_, distance)| distance <= max_gap)
            .unwrap_or((b.background_tier, max_gap));
        let by_change = b.spread == Spread::Change && b.policy == Policy::Gated;
        let model = ValueModel::new(b);
        let anchor_spacing = bucket.time_for(prices.of(b.anchor_tier));
        Self {
            anchor_spacing,
            max_gap,
            min_gap: Nanos::from_ms(settings.anchors.min_gap_ms.into()).max(Nanos::new(1)),
            look_ahead: Nanos::from_ms(b.look_ahead_ms.into()),
            frame_interval: Nanos::new(1),
            uniform: (even.0, even.1.max(MIN_SPACING)),
            model,
            offsets: Offsets::new(&settings.anchors, &[]),
            value_beside_anchor: model.miss_rate()
                * model.marginal_at_spacing(anchor_spacing.seconds()),
            last_full_frame: Nanos::ZERO,
            reserve_price: ReservePrice::default(),
            change: by_change.then(RunningClock::new),
            expected: None,
            bucket,
            spent: 0,
            sounds: VecDeque::new(),
            heard: Nanos::ZERO,
            ended: false,
            stop: None,
            finder: CandidateFinder::default(),
            candidates: VecDeque::new(),
            not_shown: VecDeque::new(),
            discontinuities: VecDeque::new(),
            discontinuities_end: Nanos::ZERO,
            speech: Speech::default(),
            last: Nanos::ZERO,
            last_anchor: None,
            anchors: 0,
            refractory: Refractory::new(Nanos::from_ms(settings.anchors.refractory_ms.into())),
            pending: None,
            untaken: UntakenQueue::default(),
            settings,
            prices,
        }
    }

    /// Sets the tagger's class list, for offsets by class. Call it before the first cue.
    #[must_use]
    pub fn with_classes(mut self, classes: &[String]) -> Self {
        self.offsets = Offsets::new(&self.settings.anchors, classes);
        self
    }

    /// Sets the expected end of the recording: the bucket is spent by then. Containers may be wrong, so only earned
    /// tokens are spent. If the recording goes on for longer, planning continues as if no end had been expected.
    pub const fn expect_stop(&mut self, stop: Nanos) {
        self.expected = Some(stop);
    }

    /// Sets the time between frames: background frames keep this distance, because a closer one would hit the same
    /// frame. If it exceeds `max_gap_ms`, every frame is taken. Containers may be wrong: at most two seconds are
    /// believed.
    pub fn set_frame_interval(&mut self, frame: Nanos) {
        self.frame_interval = frame.clamp(Nanos::new(1), MAX_FRAME_INTERVAL);
    }

    /// Takes the next cue; cues come in order of time. A cue before what was heard or given up, or more than a
    /// hundred hours after it, is ignored. If a hop or more is missing before it, that stretch counts as missing.
    pub fn push_cue(&mut self, cue: &Cue) {
        let stop = cue.pts + HOP;
        let from = self.heard;
        if stop <= from || self.ended || stop - from.max(self.discontinuities_end) > MAX_DURATION {
            return;
        }
        if cue.pts - from >= HOP {
            self.extend(cue.pts, SoundState::Missing);
        }
        let distrust = self.settings.budget.distrust;
        let sound = if cue.trusted(distrust) {
            SoundState::Trusted
        } else if cue.trusted(INAUDIBLE) {
            SoundState::Untrusted
        } else {
            SoundState::Silent
        };
        self.extend(stop, sound);
        if !self.settings.budget.pictures_during_speech {
            self.speech.hear(cue);
        }
        let settings = &self.settings.anchors;
        let candidate = self.finder.push(cue, settings, &self.offsets);
        if let Some(candidate) = candidate
            && candidate.onset >= from
            && candidate.onset <= stop
            && self.candidates.len() < MAX_WAITING
            && matches!(
                self.settings.budget.policy,
                Policy::Gated | Policy::AnchorsOnly
            )
        {
            let at = candidate.frame_time(settings, Nanos::MAX);
            let place = self.candidates.partition_point(|&(t, _)| t <= at);
            self.candidates.insert(place, (at, candidate));
        }
    }

    fn extend(&mut self, until: Nanos, sound: SoundState) {
        self.heard = until;
        let sound = match self.settings.budget.policy {
            Policy::Gated => sound,
            // Uniform frames ignore the sound.
            Policy::Uniform => SoundState::Missing,
            Policy::AnchorsOnly | Policy::Dense | Policy::Grid => return,
        };
        match self.sounds.back_mut() {
            Some((stop, same)) if *same == sound => *stop = until,
            _ => self.sounds.push_back((until, sound)),
        }
    }

    /// There is no sound before `until`, beyond what was heard: the stretch is planned with uniform frames. May be
    /// called repeatedly, also after [`Self::no_more_cues`].
    pub fn missing_until(&mut self, until: Nanos) {
        if until > self.heard && self.stop.is_none() {
            let until = until.min(self.heard.max(self.discontinuities_end) + MAX_DURATION);
            self.extend(until, SoundState::Missing);
        }
    }

    /// Takes how much the video changed in the next hop, in order of time; ignored unless the spread is `change`. Until
    /// it is known, nothing is decided.
    pub fn push_change(&mut self, change: Change) {
        if let Some(clock) = &mut self.change {
            clock.push(change);
        }
    }

    /// The change up to this time stays unknown: it counts as usual.
    pub fn no_change_until(&mut self, until: Nanos) {
        if let Some(clock) = &mut self.change {
            clock.even_until(until);
        }
    }

    /// There are no frames in this window: nothing is planned inside. Discontinuities come in order of time; beyond a thousand
    /// that wait, further ones are ignored.
    pub fn add_discontinuity(&mut self, window: Window) {
        let in_order = self
            .discontinuities
            .back()
            .is_none_or(|last| last.stop() <= window.start());
        if in_order && self.discontinuities.len() < MAX_WAITING {
            self.discontinuities.push_back(window);
            self.discontinuities_end = window.stop();
        }
    }

    /// The time itself, or the first after it that is in no discontinuity and in no speech.
    fn skip(&self, mut at: Nanos) -> Nanos {
        loop {
            let next = self.speech.skip(self.skip_discontinuity(at));
            if next == at {
                return at;
            }
            at = next;
        }
    }

    /// The time itself, or the end of the discontinuity that contains it.
    fn skip_discontinuity(&self, at: Nanos) -> Nanos {
        let next = self
            .discontinuities
            .partition_point(|window| window.stop() <= at);
        let inside = self
            .discontinuities
            .get(next)
            .filter(|window| window.start() < at);
        inside.map_or(at, |window| window.stop())
    }

    /// No more cues will come: what was heard is decided at once. What follows is planned once
    /// [`Self::missing_until`] or [`Self::finish`] says how far the recording goes.
    pub fn no_more_cues(&mut self) {
        self.ended = true;
    }

    /// The recording ended at `stop`: everything before it is decided. A stop more than a hundred hours after what
    /// was heard is moved there.
    pub fn finish(&mut self, stop: Nanos) {
        if self.stop.is_some() {
            return;
        }
        let stop = stop.min(self.heard.max(self.discontinuities_end) + MAX_DURATION);
        // Sound and video seldom end together: less than a hop does not count.
        let tail = self.sounds.back().filter(|_| stop - self.heard < HOP);
        let sound = tail.map_or(SoundState::Missing, |&(_, sound)| sound);
        if stop > self.heard {
            self.extend(stop, sound);
        }
        self.ended = true;
        self.stop = Some(stop);
        for (at, candidate) in &mut self.candidates {
            if candidate.onset < stop {
                *at = (*at).min(stop - Nanos::new(1));
                candidate.end_at(stop);
            }
        }
        self.candidates.make_contiguous().sort_by_key(|&(at, _)| at);
    }

    /// The next decision in order of time; `None` until more is heard.
    #[expect(
        clippy::should_implement_trait,
        reason = "`None` is not the end: more may be decided later"
    )]
    pub fn next(&mut self) -> Option<Decision> {
        let waiting = self.pending.take().map(Decision::Frame);
        if let Some(decision) = waiting.or_else(|| self.untaken.next()) {
            return Some(decision);
        }
        loop {
            let until = self.horizon();
            let frame = self.next_background(until);
            let candidate = self.candidates.front().map(|&(at, _)| at);
            match (candidate.filter(|&at| at < until), frame) {
                (Some(at), frame) if frame.is_none_or(|(t, ..)| at <= t) => {
                    let (_, candidate) = self.candidates.pop_front()?;
                    if self.refractory.hear(candidate.class_id, candidate.onset)
                        || self.speech.skip(at) > at
                    {
                        continue;
                    }
                    self.note_candidate(&candidate);
                    if let Some((anchor, entry)) = self.try_anchor(at, &candidate) {
                        self.refractory.anchor(candidate.class_id, candidate.onset);
                        self.pending = Some(entry);
                        return Some(Decision::Anchor(anchor));
                    }
                    self.untaken.note(&candidate, self.stop);
                }
                (_, Some((at, tier, reason))) => {
                    return self.pay(at, tier, reason, None).map(Decision::Frame);
                }
                (_, None) => return self.untaken.last(self.stop),
            }
        }
    }

    /// Once [`Self::next`] returned `None`, every entry before this time has been returned. [`Nanos::MAX`] after
    /// [`Self::finish`].
    pub fn decided_until(&self) -> Nanos {
        if self.stop.is_some() {
            return Nanos::MAX;
        }
        // If the recording ends right after an onset, its frame moves forward, but not before the onset.
        let onsets = self.candidates.iter().map(|(_, candidate)| candidate.onset);
        onsets
            .min()
            .map_or(self.horizon(), |onset| onset.min(self.horizon()))
    }

    /// Tokens in the bucket after the last entry, rounded down.
    pub fn tokens(&self) -> Tokens {
        self.bucket.tokens()
    }

    /// Tokens spent on all entries so far.
    pub fn spent(&self) -> Tokens {
        self.spent
    }

    /// No candidate, known or to come, can change what lies before this.
    fn horizon(&self) -> Nanos {
        if let Some(stop) = self.stop {
            return stop;
        }
        let changed = self.change.as_ref().map_or(Nanos::MAX, RunningClock::known);
        if self.ended {
            return self.heard.min(changed);
        }
        // Speech that begins keeps frames away that lie before it.
        let known = match self.settings.budget.pictures_during_speech {
            true => self.heard,
            false => self.heard - speech::BEFORE,
        };
        // The earliest that an event may be visible, and that its frame may be taken, relative to its sound.
        let offset = self.offsets.earliest();
        let early = Nanos::from_ms(self.settings.anchors.look_ms.min(0).into());
        let settled = self.heard + offset;
        let open = self
            .candidates
            .iter()
            .find(|(_, candidate)| candidate.visible + self.look_ahead > settled);
        // Candidates are sorted by their frames: the first open one has the earliest.
        open.map_or(Nanos::MAX, |&(at, _)| at)
            .min(changed)
            .min(known)
            .min(settled + early)
            .max(Nanos::ZERO)
    }

    /// When the next background frame is due, if that is before `until`.
    fn next_background(&mut self, until: Nanos) -> Option<(Nanos, Tier, Reason)> {
        // Frames come after the last one, and the bucket does not know the time before.
        while self.sounds.len() > 1
            && self
                .sounds
                .front()
                .is_some_and(|&(stop, _)| stop <= self.last)
        {
            self.sounds.pop_front();
        }
        while self
            .discontinuities
            .front()
            .is_some_and(|window| window.stop() <= self.last)
        {
            self.discontinuities.pop_front();
        }
        self.speech.forget(self.last);
        let low = self.settings.budget.background_tier;
        let b = &self.settings.budget;
        // Where nothing is heard, nobody knows whether somebody speaks.
        let blind = !b.pictures_during_speech && b.policy == Policy::Gated;
        let mut from = self.last + self.frame_interval;
        for &(stop, sound) in &self.sounds {
            if blind && sound == SoundState::Missing {
                from = from.max(stop);
                continue;
            }
            let (at, tier) = match sound {
                SoundState::Missing => self.uniform_frame(from),
                SoundState::Trusted | SoundState::Untrusted => (self.gap_frame(from), low),
                SoundState::Silent => {
                    let gap_frame = self.gap_frame(from);
                    match self.background_frame(from).filter(|&at| at <= gap_frame) {
                        Some(at) => (at, self.settings.budget.untrusted_tier),
                        None => (gap_frame, low),
                    }
                }
            };
            let at = self.skip(at);
            if at < stop.min(until) {
                let reason = match (self.settings.budget.policy, sound) {
                    (Policy::Uniform, _) => Reason::Uniform,
                    (_, SoundState::Trusted) => Reason::Background,
                    _ => Reason::Untrusted,
                };
                return Some((at, tier, reason));
            }
            from = from.max(stop);
        }
        None
    }

    /// When a frame is due that comes `distance` after another: in change time, if that is what frames are even over.
    fn due_after(&self, from: Nanos, distance: Nanos) -> Nanos {
        match &self.change {
            Some(clock) => clock
                .after(from, distance)
                .max(from + distance.scaled(CLOSEST)),
            None => from + distance,
        }
    }

    /// A gap frame: due when the largest gap is over or the bucket is full, but not before it can be paid. Over change,
    /// a bucket that is nearly full is spent where something changes.
    fn gap_frame(&self, from: Nanos) -> Nanos {
        let price = self.prices.of(self.settings.budget.background_tier);
        let due = self.last + self.max_gap;
        let mut full = self.bucket.full_at().max(self.last + MIN_SPACING);
        if self.change.is_some() {
            let spare = self.bucket.time_for(price.saturating_mul(SPARE));
            let changed = self.due_after(self.last, self.bucket.time_for(price));
            full = full.min(changed.max(self.bucket.full_at() - spare));
        }
        due.min(full).max(self.bucket.holds_at(price)).max(from)
    }

    /// A background frame at the untrusted tier: due when it has the value required of an onset, at the latest when
    /// an evenly spaced anchor would come, but not before it can be paid. `None` if it has no value.
    fn background_frame(&self, from: Nanos) -> Option<Nanos> {
        if !self.model.expects_events() {
            return None;
        }
        let min_value = self.min_value(&self.bucket, from) + self.value_beside_anchor;
        let spacing = self
            .model
            .spacing_for(min_value)
            .and_then(Nanos::from_seconds);
        let gap = spacing.map_or(self.anchor_spacing, |gap| gap.min(self.anchor_spacing));
        let price = self.prices.of(self.settings.budget.untrusted_tier);
        let due = self.due_after(self.last_full_frame, gap);
        let due = due.max(self.last + MIN_SPACING);
        Some(due.max(self.bucket.holds_at(price)).max(from))
    }

    /// The next uniform frame, or a gap frame if that would come too late.
    fn uniform_frame(&self, from: Nanos) -> (Nanos, Tier) {
        let (tier, distance) = self.uniform;
        let paid = self.bucket.holds_at(self.prices.of(tier));
        let mut even = self.due_after(self.last, distance);
        if self.change.is_some() {
            // What a full bucket would lose is spent.
            even = even.min(self.bucket.full_at().max(self.last + distance));
        }
        let even = even.max(paid).max(from);
        let due = self.last + self.max_gap;
        if even <= due.max(from) {
            return (even, tier);
        }
        let low = self.settings.budget.background_tier;
        let gap_frame = due.max(self.bucket.holds_at(self.prices.of(low))).max(from);
        if gap_frame < even {
            (gap_frame, low)
        } else {
            (even, tier)
        }
    }

    /// Pays for an entry; `None` if the bucket can't, which the caller rules out.
    fn pay(&mut self, at: Nanos, tier: Tier, reason: Reason, anchor: Option<u32>) -> Option<Entry> {
        let tokens = self.prices.of(tier);
        self.bucket.advance(at);
        if !self.bucket.spend(tokens) {
            return None;
        }
        self.spent = self.spent.saturating_add(tokens);
        self.last = at;
        if tier >= self.settings.budget.untrusted_tier || anchor.is_some() {
            self.last_full_frame = at;
            self.not_shown.clear();
        }
        Some(Entry {
            planned: at,
            asked: None,
            tier,
            tokens,
            reason,
            anchor,
        })
    }

    /// A candidate is about to be decided: whatever the decision, it began.
    fn note_candidate(&mut self, candidate: &Candidate) {
        let old = |&(visible, _): &(Nanos, f32)| candidate.visible - visible > HORIZON;
        while self.not_shown.front().is_some_and(old) || self.not_shown.len() >= MAX_WAITING {
            self.not_shown.pop_front();
        }
        self.not_shown.push_back((candidate.visible, candidate.p));
        self.reserve_price
            .record(candidate.visible, candidate.p.into());
    }
}

#[cfg(test)]
mod day_tests;
#[cfg(test)]
mod tests;
