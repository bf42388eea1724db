//! Cues as they come -> plan entries within a token bucket and a bounded look-ahead.
//!
//! The bucket starts empty, fills at `tokens_per_s` and overflows at `burst_s`, so at every instant of the recording no more is spent than
//! it had earned by then. An onset becomes an anchor if nothing likelier follows at once, if it is likely enough for what the
//! bucket holds (the fuller, the less likely it need be), and if the largest gap can still be paid afterwards. Where the sound can't be trusted, blind
//! looks at the uniform tier come as soon as they are worth as much ([`Worth`]); where it is missing altogether, even ones. A decision about an instant
//! rests on what is heard up to `look_ahead_ms` after it and nothing later, so it doesn't matter in which portions cues arrive.

mod bucket;

use std::collections::VecDeque;

use crate::anchor::{Anchor, Candidate, holding, midpoint};
use crate::cue::{Cue, HOP};
use crate::global::{MAX_DURATION, tiers};
use crate::plan::{Entry, Reason};
use crate::settings::{Policy, Settings};
use crate::tier::{Prices, Tier, Tokens};
use crate::time::{Nanos, Window};
use crate::uniform::CLOSEST;
use crate::worth::Worth;
use bucket::Bucket;

/// Most candidates that may wait; more than a minute of the densest onsets. Further ones are let go.
const WAITING: usize = 1_024;

/// What the planner settles next.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// An anchor; comes before the look that names it.
    Anchor(Anchor),
    /// A picture to take.
    Look(Entry),
}

/// What is known about a stretch of sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sound {
    Heard,
    Distrusted,
    Missing,
}

/// Plans behind the audio. Times never go back: what was handed out stays. Drain [`Self::next`] after each call: what waits here is
/// bounded by the look-ahead and by what came since.
#[derive(Debug)]
pub struct StreamPlanner {
    settings: Settings,
    prices: Prices,
    max_gap: Nanos,
    min_gap: Nanos,
    look_ahead: Nanos,
    /// Even looks where nothing is heard: tier and distance.
    even: (Tier, Nanos),
    worth: Worth,
    /// What a picture at an anchor shows beside the anchor's own event.
    beside: f64,
    /// When the last picture above the thin looks' tier was, or the recording's start.
    last_full: Nanos,
    bucket: Bucket,
    spent: Tokens,
    /// What is known of the sound: contiguous stretches up to `heard`, the oldest first, each with its stop.
    sounds: VecDeque<(Nanos, Sound)>,
    heard: Nanos,
    /// No cue will come any more.
    ended: bool,
    stop: Option<Nanos>,
    /// By the time of their pictures.
    candidates: VecDeque<(Nanos, Candidate)>,
    /// When the last picture was; the recording's start before the first.
    last: Nanos,
    /// Onset and window's stop of the last anchor.
    last_anchor: Option<(Nanos, Nanos)>,
    anchors: u32,
    /// The look that follows an anchor just handed out.
    follows: Option<Entry>,
}

impl StreamPlanner {
    /// With settings that passed [`Settings::check`]. The policy `dense` decides nothing: every picture is taken anyway.
    ///
    /// The bucket always has room for an anchor and a look, however small `burst_s`.
    pub fn new(settings: Settings, prices: Prices) -> Self {
        let b = &settings.budget;
        let max_gap = Nanos::from_ms(b.max_gap_ms.max(1).into());
        let least =
            prices.of(b.fallback_tier) + prices.of(b.anchor_tier).max(prices.of(b.uniform_tier));
        let bucket = Bucket::new(b.tokens_per_s, b.burst_s, least);
        let even = tiers(&settings)
            .into_iter()
            .map(|tier| (tier, bucket.time_for(prices.of(tier))))
            .find(|&(_, distance)| distance <= max_gap)
            .unwrap_or((b.fallback_tier, max_gap));
        let worth = Worth::new(b);
        Self {
            max_gap,
            min_gap: Nanos::from_ms(settings.anchors.min_gap_ms.into()).max(Nanos::new(1)),
            look_ahead: Nanos::from_ms(b.look_ahead_ms.into()),
            even: (even.0, even.1.max(CLOSEST)),
            worth,
            beside: worth.miss() * worth.among(bucket.time_for(prices.of(b.anchor_tier)).seconds()),
            last_full: Nanos::ZERO,
            bucket,
            spent: 0,
            sounds: VecDeque::new(),
            heard: Nanos::ZERO,
            ended: false,
            stop: None,
            candidates: VecDeque::new(),
            last: Nanos::ZERO,
            last_anchor: None,
            anchors: 0,
            follows: None,
            settings,
            prices,
        }
    }

    /// The next cue, in the order of time; one that lies before what was heard or given up already, or more than a hundred hours
    /// after it, is ignored. A hole of a hop or more before it counts as missing.
    pub fn hear(&mut self, cue: &Cue) {
        let stop = cue.pts + HOP;
        let from = self.heard;
        if stop <= from || self.ended || stop - from > MAX_DURATION {
            return;
        }
        if cue.pts - from >= HOP {
            self.extend(cue.pts, Sound::Missing);
        }
        let distrust = self.settings.budget.distrust;
        let trusted = cue.trusted(distrust);
        self.extend(
            stop,
            if trusted {
                Sound::Heard
            } else {
                Sound::Distrusted
            },
        );
        let settings = &self.settings.anchors;
        if let Some(candidate) = Candidate::of(cue, settings, distrust)
            && candidate.onset >= from
            && candidate.onset <= stop
            && self.candidates.len() < WAITING
            && matches!(
                self.settings.budget.policy,
                Policy::Gated | Policy::AnchorsOnly
            )
        {
            let at = candidate.look(settings, Nanos::MAX);
            let place = self.candidates.partition_point(|&(t, _)| t <= at);
            self.candidates.insert(place, (at, candidate));
        }
    }

    fn extend(&mut self, until: Nanos, sound: Sound) {
        self.heard = until;
        let sound = match self.settings.budget.policy {
            Policy::Gated => sound,
            // To even looks all sound is the same.
            Policy::Uniform => Sound::Missing,
            Policy::AnchorsOnly | Policy::Dense => return,
        };
        match self.sounds.back_mut() {
            Some((stop, same)) if *same == sound => *stop = until,
            _ => self.sounds.push_back((until, sound)),
        }
    }

    /// Nothing was or will be heard before `until`, beyond what was heard already: plan it by the uniform fallback. May be called
    /// again and again, also after [`Self::no_more_cues`].
    pub fn missing_until(&mut self, until: Nanos) {
        if until > self.heard && self.stop.is_none() {
            let until = until.min(self.heard + MAX_DURATION);
            self.extend(until, Sound::Missing);
        }
    }

    /// No cue will come any more: what was heard is decided at once; what follows is planned once [`Self::missing_until`] or
    /// [`Self::finish`] says how far the recording goes.
    pub fn no_more_cues(&mut self) {
        self.ended = true;
    }

    /// The recording ended at `stop`: everything before it is decided. A stop more than a hundred hours after what was heard is moved there.
    pub fn finish(&mut self, stop: Nanos) {
        if self.stop.is_some() {
            return;
        }
        let stop = stop.min(self.heard + MAX_DURATION);
        // Sound and picture seldom end together: less than a hop is not worth a word.
        let tail = self.sounds.back().filter(|_| stop - self.heard < HOP);
        let sound = tail.map_or(Sound::Missing, |&(_, sound)| sound);
        if stop > self.heard {
            self.extend(stop, sound);
        }
        self.ended = true;
        self.stop = Some(stop);
        for (at, candidate) in &mut self.candidates {
            if candidate.onset < stop {
                *at = (*at).min(stop - Nanos::new(1));
            }
        }
        self.candidates.make_contiguous().sort_by_key(|&(at, _)| at);
    }

    /// The next decision in the order of time; `None` until more is heard.
    #[expect(
        clippy::should_implement_trait,
        reason = "`None` is not the end: more may be decided later"
    )]
    pub fn next(&mut self) -> Option<Decision> {
        if let Some(entry) = self.follows.take() {
            return Some(Decision::Look(entry));
        }
        loop {
            let until = self.horizon();
            let look = self.next_look(until);
            let candidate = self.candidates.front().map(|&(at, _)| at);
            match (candidate.filter(|&at| at < until), look) {
                (Some(at), look) if look.is_none_or(|(t, ..)| at <= t) => {
                    let (_, candidate) = self.candidates.pop_front()?;
                    if let Some((anchor, entry)) = self.accept(at, &candidate) {
                        self.follows = Some(entry);
                        return Some(Decision::Anchor(anchor));
                    }
                }
                (_, Some((at, tier, reason))) => {
                    return self.take(at, tier, reason, None).map(Decision::Look);
                }
                (_, None) => return None,
            }
        }
    }

    /// Once [`Self::next`] gave `None`, every entry requested before this has been handed out. [`Nanos::MAX`] after [`Self::finish`].
    pub fn decided_until(&self) -> Nanos {
        if self.stop.is_some() {
            return Nanos::MAX;
        }
        // Should the recording end right after an onset, its picture comes forward, but not before the onset.
        let onsets = self.candidates.iter().map(|(_, candidate)| candidate.onset);
        onsets
            .min()
            .map_or(self.horizon(), |onset| onset.min(self.horizon()))
    }

    /// Tokens in the bucket after the last entry handed out, rounded down.
    pub fn tokens(&self) -> Tokens {
        self.bucket.tokens()
    }

    /// Tokens spent on everything handed out.
    pub fn spent(&self) -> Tokens {
        self.spent
    }

    /// No candidate, heard or to come, can change what lies before.
    fn horizon(&self) -> Nanos {
        if let Some(stop) = self.stop {
            return stop;
        }
        if self.ended {
            return self.heard;
        }
        // A picture comes before its onset by no more than this.
        let early = Nanos::from_ms(self.settings.anchors.look_ms.min(0).into());
        let open = self
            .candidates
            .iter()
            .find(|(_, candidate)| candidate.onset + self.look_ahead > self.heard);
        // Candidates lie in the order of their pictures: the first open one has the earliest.
        open.map_or(Nanos::MAX, |&(at, _)| at)
            .min(self.heard + early)
            .max(Nanos::ZERO)
    }

    /// When the next plain look is due, if that is before `until`.
    fn next_look(&mut self, until: Nanos) -> Option<(Nanos, Tier, Reason)> {
        // Looks come after the last one, and the bucket knows nothing of the time before.
        while self.sounds.len() > 1
            && self
                .sounds
                .front()
                .is_some_and(|&(stop, _)| stop <= self.last)
        {
            self.sounds.pop_front();
        }
        let low = self.settings.budget.fallback_tier;
        let mut from = self.last + Nanos::new(1);
        for &(stop, sound) in &self.sounds {
            let (at, tier) = match sound {
                Sound::Missing => self.even_look(from),
                Sound::Heard => (self.thin_look(from), low),
                Sound::Distrusted => {
                    let thin = self.thin_look(from);
                    match self.blind_look(from).filter(|&at| at <= thin) {
                        Some(at) => (at, self.settings.budget.uniform_tier),
                        None => (thin, low),
                    }
                }
            };
            if at < stop.min(until) {
                let even = self.settings.budget.policy == Policy::Uniform;
                let reason = if even || sound == Sound::Heard {
                    Reason::Uniform
                } else {
                    Reason::Fallback
                };
                return Some((at, tier, reason));
            }
            from = from.max(stop);
        }
        None
    }

    /// A look when the largest gap is over, or when the bucket is full; not before it is paid.
    fn thin_look(&self, from: Nanos) -> Nanos {
        let price = self.prices.of(self.settings.budget.fallback_tier);
        let due = self.last + self.max_gap;
        let full = self.bucket.full_at().max(self.last + CLOSEST);
        due.min(full).max(self.bucket.holds_at(price)).max(from)
    }

    /// A look at the uniform tier, when it is worth as much as an onset must be and can be paid; `None` if it never is.
    fn blind_look(&self, from: Nanos) -> Option<Nanos> {
        let wanted = threshold(self.bucket.filled()) + self.beside;
        let gap = Nanos::from_seconds(self.worth.apart(wanted)?)?;
        let price = self.prices.of(self.settings.budget.uniform_tier);
        let due = (self.last_full + gap).max(self.last + CLOSEST);
        Some(due.max(self.bucket.holds_at(price)).max(from))
    }

    /// The uniform policy's next look, or a thin one where that would come too late.
    fn even_look(&self, from: Nanos) -> (Nanos, Tier) {
        let (tier, distance) = self.even;
        let paid = self.bucket.holds_at(self.prices.of(tier));
        let even = (self.last + distance).max(paid).max(from);
        let due = self.last + self.max_gap;
        if even <= due.max(from) {
            return (even, tier);
        }
        let low = self.settings.budget.fallback_tier;
        let thin = due.max(self.bucket.holds_at(self.prices.of(low))).max(from);
        if thin < even {
            (thin, low)
        } else {
            (even, tier)
        }
    }

    /// Pays; `None` if the bucket can't, which whoever asks has made sure of.
    fn take(
        &mut self,
        at: Nanos,
        tier: Tier,
        reason: Reason,
        anchor: Option<u32>,
    ) -> Option<Entry> {
        let tokens = self.prices.of(tier);
        self.bucket.advance(at);
        if !self.bucket.spend(tokens) {
            return None;
        }
        self.spent = self.spent.saturating_add(tokens);
        self.last = at;
        if tokens > self.prices.of(self.settings.budget.fallback_tier) || anchor.is_some() {
            self.last_full = at;
        }
        Some(Entry {
            requested: at,
            asked: None,
            tier,
            tokens,
            reason,
            anchor,
        })
    }

    fn accept(&mut self, at: Nanos, candidate: &Candidate) -> Option<(Anchor, Entry)> {
        let onset = candidate.onset;
        let (last_onset, last_stop) = self
            .last_anchor
            .map_or((None, Nanos::ZERO), |(onset, stop)| (Some(onset), stop));
        if last_onset.is_some_and(|last| onset < last + self.min_gap)
            || at <= self.last
            || self.stop.is_some_and(|stop| onset >= stop)
        {
            return None;
        }
        let within = |length: Nanos| {
            self.candidates
                .iter()
                .map(|(_, other)| other)
                .filter(move |other| onset < other.onset && other.onset <= onset + length)
        };
        let soon = self.min_gap.min(self.look_ahead);
        if within(soon).any(|other| other.p > candidate.p) {
            return None;
        }
        let price = self.prices.of(self.settings.budget.anchor_tier);
        let mut bucket = self.bucket;
        bucket.advance(at);
        if f64::from(candidate.p) < threshold(bucket.filled()) || !bucket.spend(price) {
            return None;
        }
        if self.settings.budget.policy == Policy::Gated {
            bucket.advance(at + self.max_gap);
            if !bucket.spend(self.prices.of(self.settings.budget.fallback_tier)) {
                return None;
            }
        }
        // What comes later may begin a window of its own: leave it room.
        let window = candidate.window(&self.settings.anchors, self.stop.unwrap_or(Nanos::MAX));
        let next = within(self.look_ahead)
            .map(|other| other.onset)
            .filter(|&other| other >= onset + self.min_gap)
            .min();
        let cut = next.map_or(onset + self.look_ahead, |next| midpoint(onset, next));
        let window = window_between(onset, window, last_stop, cut);
        let id = self.anchors;
        let tier = self.settings.budget.anchor_tier;
        let entry = self.take(at, tier, Reason::Anchor, Some(id))?;
        self.anchors = self.anchors.saturating_add(1);
        self.last_anchor = Some((onset, window.stop()));
        Some((candidate.anchor(id, window), entry))
    }
}

fn window_between(onset: Nanos, window: Window, from: Nanos, until: Nanos) -> Window {
    holding(onset, window.start().max(from), window.stop().min(until))
}

/// How likely an onset must be when the bucket is filled to this share: 0.07 when full, 0.87 when empty. The shape is the
/// study's, with its bucket of twenty anchors: `0.25 exp(0.125 (10 - anchors))`.
fn threshold(filled: f64) -> f64 {
    (0.25 * (0.125 * (10.0 - 20.0 * filled)).exp()).min(0.95)
}

#[cfg(test)]
mod tests;
