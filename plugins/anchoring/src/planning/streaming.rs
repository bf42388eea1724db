//! Cues as they come -> plan entries within a token bucket and a bounded look-ahead.
//!
//! The bucket starts empty, fills at `tokens_per_s` and overflows at `burst_s`, so at every instant of the recording no more is spent than
//! it had earned by then: wherever it turns out to end, the budget is kept. When it is expected to stop only decides how long the bucket saves.
//!
//! An onset becomes an anchor if its picture is expected to be the first to show enough events, its own and those that
//! began since the last picture, for what the bucket holds and will earn until the end (the more, the fewer); if it is among the pictures that together show
//! most of what is heard within the look-ahead; and if the largest gap can still be paid afterwards. Where nothing is to be heard, blind
//! looks at the uniform tier come as soon as they are worth as much ([`Worth`]); where there are no cues at all, even ones. A decision about an instant
//! rests on what is heard up to `look_ahead_ms` after it (and as much longer as some class is seen before its sound) and nothing later, so it doesn't
//! matter in which portions cues arrive.

mod acceptance;
mod reserve_price;
mod token_bucket;

use std::collections::VecDeque;

use self::reserve_price::Pace;
use self::token_bucket::Bucket;
use crate::anchor::candidate::{AUDIBLE, Candidate, Candidates};
use crate::anchor::offset::Offsets;
use crate::cue::{Cue, HOP};
use crate::plan::{Anchor, Entry, MAX_DURATION, Reason};
use crate::planning::uniform::{CLOSEST, tiers};
use crate::planning::value::{HORIZON, Worth};
use crate::settings::{Policy, Settings};
use crate::tier::{Prices, Tier, Tokens};
use crate::time::{Nanos, Window};

/// No pictures are believed to lie further apart.
const SLOWEST: Nanos = Nanos::from_ms(2_000);

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
    /// Something is to be heard, but can't be trusted.
    Distrusted,
    /// There are cues, and nothing is to be heard.
    Silent,
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
    /// Least distance of a plain look from the look before it.
    closest: Nanos,
    /// Even looks where nothing is heard: tier and distance.
    even: (Tier, Nanos),
    worth: Worth,
    offsets: Offsets,
    /// From one anchor to the next if they were spread evenly.
    even_anchors: Nanos,
    /// What a picture at an anchor shows beside the anchor's own event.
    beside: f64,
    /// When the last picture at an anchor or of the uniform tier was, or the recording's start.
    last_full: Nanos,
    pace: Pace,
    /// When the recording is expected to stop.
    expected: Option<Nanos>,
    bucket: Bucket,
    spent: Tokens,
    /// What is known of the sound: contiguous stretches up to `heard`, the oldest first, each with its stop.
    sounds: VecDeque<(Nanos, Sound)>,
    heard: Nanos,
    /// No cue will come any more.
    ended: bool,
    stop: Option<Nanos>,
    ears: Candidates,
    /// By the time of their pictures.
    candidates: VecDeque<(Nanos, Candidate)>,
    /// When those are seen that were settled since that picture, and their probabilities.
    unseen: VecDeque<(Nanos, f32)>,
    /// Where there are no pictures, ascending; those that looks have gone past are forgotten.
    holes: VecDeque<Window>,
    /// The end of the last of them.
    beyond: Nanos,
    /// When the last picture was; the recording's start before the first.
    last: Nanos,
    /// When the last anchor is seen, and its window's stop.
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
        let least = prices.of(b.background_tier)
            + prices.of(b.anchor_tier).max(prices.of(b.untrusted_tier));
        let bucket = Bucket::new(b.tokens_per_s, b.burst_s, least);
        let even = tiers(&settings)
            .into_iter()
            .map(|tier| (tier, bucket.time_for(prices.of(tier))))
            .find(|&(_, distance)| distance <= max_gap)
            .unwrap_or((b.background_tier, max_gap));
        let worth = Worth::new(b);
        let even_anchors = bucket.time_for(prices.of(b.anchor_tier));
        Self {
            even_anchors,
            max_gap,
            min_gap: Nanos::from_ms(settings.anchors.min_gap_ms.into()).max(Nanos::new(1)),
            look_ahead: Nanos::from_ms(b.look_ahead_ms.into()),
            closest: Nanos::new(1),
            even: (even.0, even.1.max(CLOSEST)),
            worth,
            offsets: Offsets::new(&settings.anchors, &[]),
            beside: worth.miss() * worth.among(even_anchors.seconds()),
            last_full: Nanos::ZERO,
            pace: Pace::default(),
            expected: None,
            bucket,
            spent: 0,
            sounds: VecDeque::new(),
            heard: Nanos::ZERO,
            ended: false,
            stop: None,
            ears: Candidates::default(),
            candidates: VecDeque::new(),
            unseen: VecDeque::new(),
            holes: VecDeque::new(),
            beyond: Nanos::ZERO,
            last: Nanos::ZERO,
            last_anchor: None,
            anchors: 0,
            follows: None,
            settings,
            prices,
        }
    }

    /// With the tagger's class list, for offsets by class; before anything is heard.
    #[must_use]
    pub fn with_classes(mut self, classes: &[String]) -> Self {
        self.offsets = Offsets::new(&self.settings.anchors, classes);
        self
    }

    /// When the recording is expected to stop, if anybody says so: what the bucket holds is spent by then. Containers are wrong at times, so nothing
    /// is spent on the strength of it that has not been earned. If the recording goes on for longer, it goes on as if nothing had been expected.
    pub const fn expect(&mut self, stop: Nanos) {
        self.expected = Some(stop);
    }

    /// How far pictures lie apart, if that is known: plain looks keep this distance, for the picture of a closer one is paid for already. Where it is more than
    /// `max_gap_ms`, every picture is looked at. Containers are wrong at times: of more than two seconds, two are believed.
    pub fn see(&mut self, frame: Nanos) {
        self.closest = frame.clamp(Nanos::new(1), SLOWEST);
    }

    /// The next cue, in the order of time; one that lies before what was heard or given up already, or more than a hundred hours
    /// after it, is ignored. A hole of a hop or more before it counts as missing.
    pub fn hear(&mut self, cue: &Cue) {
        let stop = cue.pts + HOP;
        let from = self.heard;
        if stop <= from || self.ended || stop - from.max(self.beyond) > MAX_DURATION {
            return;
        }
        if cue.pts - from >= HOP {
            self.extend(cue.pts, Sound::Missing);
        }
        let distrust = self.settings.budget.distrust;
        let sound = if cue.trusted(distrust) {
            Sound::Heard
        } else if cue.trusted(AUDIBLE) {
            Sound::Distrusted
        } else {
            Sound::Silent
        };
        self.extend(stop, sound);
        let settings = &self.settings.anchors;
        let candidate = self.ears.hear(cue, settings, &self.offsets, distrust);
        if let Some(candidate) = candidate
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
            let until = until.min(self.heard.max(self.beyond) + MAX_DURATION);
            self.extend(until, Sound::Missing);
        }
    }

    /// There are no pictures between these two: no plain look is planned inside. Holes come in the order of time; of more than a
    /// thousand that wait the last are not heeded.
    pub fn hole(&mut self, hole: Window) {
        let follows = self
            .holes
            .back()
            .is_none_or(|last| last.stop() <= hole.start());
        if follows && self.holes.len() < WAITING {
            self.holes.push_back(hole);
            self.beyond = hole.stop();
        }
    }

    /// A look there, or where the hole ends in which that lies.
    fn where_pictures_are(&self, at: Nanos) -> Nanos {
        let next = self.holes.partition_point(|hole| hole.stop() <= at);
        let hole = self.holes.get(next).filter(|hole| hole.start() < at);
        hole.map_or(at, |hole| hole.stop())
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
        let stop = stop.min(self.heard.max(self.beyond) + MAX_DURATION);
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
                candidate.ends(stop);
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
                    self.begun(&candidate);
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

    /// Once [`Self::next`] gave `None`, every entry planned before this has been handed out. [`Nanos::MAX`] after [`Self::finish`].
    pub fn decided_until(&self) -> Nanos {
        if self.stop.is_some() {
            return Nanos::MAX;
        }
        // Should the recording end right after an onset, its picture comes forward, but not before the onset, unless it lies there.
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
        // What is seen soonest after its sound, or longest before it; and its picture lies no more than this before that.
        let offset = self.offsets.earliest();
        let early = Nanos::from_ms(self.settings.anchors.look_ms.min(0).into());
        let settled = self.heard + offset;
        let open = self
            .candidates
            .iter()
            .find(|(_, candidate)| candidate.seen + self.look_ahead > settled);
        // Candidates lie in the order of their pictures: the first open one has the earliest.
        open.map_or(Nanos::MAX, |&(at, _)| at)
            .min(self.heard)
            .min(settled + early)
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
        while self
            .holes
            .front()
            .is_some_and(|hole| hole.stop() <= self.last)
        {
            self.holes.pop_front();
        }
        let low = self.settings.budget.background_tier;
        let mut from = self.last + self.closest;
        for &(stop, sound) in &self.sounds {
            let (at, tier) = match sound {
                Sound::Missing => self.even_look(from),
                Sound::Heard | Sound::Distrusted => (self.thin_look(from), low),
                Sound::Silent => {
                    let thin = self.thin_look(from);
                    match self.blind_look(from).filter(|&at| at <= thin) {
                        Some(at) => (at, self.settings.budget.untrusted_tier),
                        None => (thin, low),
                    }
                }
            };
            let at = self.where_pictures_are(at);
            if at < stop.min(until) {
                let reason = match (self.settings.budget.policy, sound) {
                    (Policy::Uniform, _) => Reason::Uniform,
                    (_, Sound::Heard) => Reason::Background,
                    _ => Reason::Untrusted,
                };
                return Some((at, tier, reason));
            }
            from = from.max(stop);
        }
        None
    }

    /// A look when the largest gap is over, or when the bucket is full; not before it is paid.
    fn thin_look(&self, from: Nanos) -> Nanos {
        let price = self.prices.of(self.settings.budget.background_tier);
        let due = self.last + self.max_gap;
        let full = self.bucket.full_at().max(self.last + CLOSEST);
        due.min(full).max(self.bucket.holds_at(price)).max(from)
    }

    /// A look at the uniform tier, when it is worth as much as an onset must be, but no later than an even anchor would come, and can be paid;
    /// `None` if nothing is expected of it.
    fn blind_look(&self, from: Nanos) -> Option<Nanos> {
        if !self.worth.any() {
            return None;
        }
        let wanted = self.wanted(&self.bucket, from) + self.beside;
        let worth = self.worth.apart(wanted).and_then(Nanos::from_seconds);
        let gap = worth.map_or(self.even_anchors, |gap| gap.min(self.even_anchors));
        let price = self.prices.of(self.settings.budget.untrusted_tier);
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
        let low = self.settings.budget.background_tier;
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
        if tier >= self.settings.budget.untrusted_tier || anchor.is_some() {
            self.last_full = at;
            self.unseen.clear();
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

    /// A candidate is about to be settled: looked at or not, it began.
    fn begun(&mut self, candidate: &Candidate) {
        let old = |&(seen, _): &(Nanos, f32)| candidate.seen - seen > HORIZON;
        while self.unseen.front().is_some_and(old) || self.unseen.len() >= WAITING {
            self.unseen.pop_front();
        }
        self.unseen.push_back((candidate.seen, candidate.p));
        self.pace.came(candidate.seen, candidate.p.into());
    }
}

#[cfg(test)]
mod tests;
