//! The whole recording's cues -> one plan that spends the budget exactly, each token where it is expected to show the most new events ([`Worth`]).
//!
//! The looks that the largest gap needs are reserved first. Stretches where nothing is to be heard get as many blind looks, at the uniform
//! tier, as are worth more there than the anchors that they cost. Then onsets become anchors, one after the other, the one that shows most first, as long
//! as the anchor and the looks that the largest gap still needs fit the budget: an anchor is a look too, so it often saves one. What is left
//! buys blind looks where they are worth most, and last thin looks where they are farthest apart.

mod allocation;
mod background;
mod decode_penalty;
mod queue;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::anchor::candidate::{AUDIBLE, Candidate, Candidates};
use crate::anchor::offset::Offsets;
use crate::anchor::window::{holding, midpoint};
use crate::cue::{Cue, HOP};
use crate::plan::{
    Anchor, Entry, Header, MAX_DURATION, MIN_DURATION, Plan, PlanError, Reason, SCHEMA,
};
use crate::planning::decode_cost::Pictures;
use crate::planning::uniform::{CLOSEST, between, needed, spread, tiers};
use crate::planning::value::Worth;
use crate::settings::{Policy, Settings};
use crate::tier::{Prices, Tier, Tokens};
use crate::time::{Nanos, Window};
use allocation::Board;
use decode_penalty::Decoding;
use queue::Order;

/// Most looks that a plan may need: a hundred hours at a picture every 20 ms.
pub const MAX_LOOKS: u64 = 18_000_000;

/// Worth as a heap's key: numbers that are not negative sort as their bits do.
fn key(worth: f64) -> u64 {
    worth.max(0.0).to_bits()
}

/// A place in line for things numbered in the order of time, in which neighbours stand far apart: what is served in this order until the budget is
/// spent is served everywhere. Its own inverse.
const fn scattered(i: usize) -> usize {
    i.reverse_bits()
}

/// A candidate that becomes an anchor.
struct Chosen {
    candidate: Candidate,
    /// When its picture is taken.
    at: Nanos,
    /// Since when it waits for a keyframe, if it does.
    asked: Option<Nanos>,
}

/// Hears every cue, then plans. Keeps candidates and the stretches that can be trusted, never the cues.
#[derive(Clone, Debug)]
pub struct Planner {
    settings: Settings,
    prices: Prices,
    offsets: Offsets,
    ears: Candidates,
    candidates: Vec<Candidate>,
    /// Where the sound can be trusted, and where anything is to be heard at all: onsets in wind or handling are worth less than they seem, but
    /// more than blind looks.
    trusted: Vec<Window>,
    audible: Vec<Window>,
    /// Where decoding can start, and from one picture to the next.
    keyframes: Vec<Nanos>,
    frame: Nanos,
}

impl Planner {
    /// With settings that passed [`Settings::check`].
    pub fn new(settings: Settings, prices: Prices) -> Self {
        Self {
            offsets: Offsets::new(&settings.anchors, &[]),
            settings,
            prices,
            ears: Candidates::default(),
            candidates: Vec::new(),
            trusted: Vec::new(),
            audible: Vec::new(),
            keyframes: Vec::new(),
            frame: Nanos::new(1),
        }
    }

    /// With the tagger's class list, for offsets by class; before anything is heard.
    #[must_use]
    pub fn with_classes(mut self, classes: &[String]) -> Self {
        self.offsets = Offsets::new(&self.settings.anchors, classes);
        self
    }

    /// Where the recording's pictures can be decoded from, ascending, and the time from one to the next: what
    /// [`BudgetSettings::decode_penalty_tokens`](crate::settings::BudgetSettings::decode_penalty_tokens) is reckoned by.
    pub fn see(&mut self, keyframes: Vec<Nanos>, frame: Nanos) {
        self.keyframes = keyframes;
        self.frame = frame.max(Nanos::new(1));
    }

    /// The next cue, in the order of time.
    pub fn hear(&mut self, cue: &Cue) {
        let distrust = self.settings.budget.distrust;
        if let Some(hop) = Window::new(cue.pts, cue.pts + HOP) {
            for (windows, distrust) in [(&mut self.trusted, distrust), (&mut self.audible, AUDIBLE)]
            {
                match windows.last_mut() {
                    _ if !cue.trusted(distrust) => {}
                    Some(last) if last.meets(hop) => *last = last.hull(hop),
                    _ => windows.push(hop),
                }
            }
        }
        let settings = &self.settings.anchors;
        let candidate = self.ears.hear(cue, settings, &self.offsets, distrust);
        self.candidates.extend(candidate);
    }

    /// The plan of a recording of this length. `config` goes into the header as it is.
    ///
    /// # Errors
    /// The policy is dense, the recording's length cannot be, or the budget does not even pay for the largest gap.
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
        let heard = !self.trusted.is_empty();
        self.candidates
            .retain(|candidate| candidate.onset < duration);
        for candidate in &mut self.candidates {
            candidate.ends(duration);
        }
        self.candidates.sort_by_key(|candidate| candidate.seen);
        let (anchors, entries) = match self.settings.budget.policy {
            Policy::Dense => return Err(PlanError::Dense),
            Policy::Uniform => (Vec::new(), self.uniform(duration, budget, Reason::Uniform)?),
            Policy::Gated if !heard => (
                Vec::new(),
                self.uniform(duration, budget, Reason::Untrusted)?,
            ),
            Policy::Gated => self.gated(duration, budget)?,
            Policy::AnchorsOnly => {
                let worth = self.worth(duration);
                let chosen = self.choose(&mut Board::new(duration, budget, None, 0), &worth);
                self.anchors(duration, &chosen)
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
            },
            anchors,
            entries,
        })
    }

    fn max_gap(&self) -> Nanos {
        Nanos::from_ms(self.settings.budget.max_gap_ms.into())
    }

    /// What the largest gap alone costs at a tier, if the budget has it.
    fn reserve(&self, duration: Nanos, budget: Tokens, tier: Tier) -> Result<Tokens, PlanError> {
        let looks = needed(Nanos::ZERO, duration, self.max_gap());
        if looks > MAX_LOOKS {
            return Err(PlanError::TooMany {
                looks,
                limit: MAX_LOOKS,
                max_gap_ms: self.settings.budget.max_gap_ms,
            });
        }
        let cost = self.prices.of(tier).saturating_mul(looks);
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

    /// As many even looks as the budget has at the uniform tier, or at the dearest cheaper one that keeps the largest gap.
    fn uniform(
        &self,
        duration: Nanos,
        budget: Tokens,
        reason: Reason,
    ) -> Result<Vec<Entry>, PlanError> {
        let tiers = tiers(&self.settings);
        let cheapest = tiers.last().copied().unwrap_or(Tier::Low);
        self.reserve(duration, budget, cheapest)?;
        let most = (duration.get() / CLOSEST.get()).max(0) as u64;
        let most = most.max(needed(Nanos::ZERO, duration, self.max_gap()));
        for tier in tiers {
            let tokens = self.prices.of(tier);
            let n = (budget / tokens).min(most);
            if n > 0
                && let Some(looks) = spread(duration, n, self.max_gap())
            {
                return Ok(looks
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
        // Too short for even one look, and for the largest gap to need one.
        Ok(Vec::new())
    }

    fn gated(
        &self,
        duration: Nanos,
        budget: Tokens,
    ) -> Result<(Vec<Anchor>, Vec<Entry>), PlanError> {
        let tier = self.settings.budget.background_tier;
        let price = self.prices.of(tier);
        let reserve = self.reserve(duration, budget, tier)?;
        let mut board = Board::new(duration, budget, Some((price, self.max_gap())), reserve);
        let worth = self.worth(duration);
        let blind_tier = self.settings.budget.untrusted_tier;
        let blind_price = self.prices.of(blind_tier);
        let mut blind = self.blind(duration, budget, &worth);
        blind.retain(|&at| board.place(at, blind_price));
        let chosen = self.choose(&mut board, &worth);
        if worth.any() {
            blind.extend(self.fill(&mut board, &worth));
        }
        let (anchors, mut entries) = self.anchors(duration, &chosen);
        entries.extend(blind.iter().map(|&at| self.plain(at, blind_tier)));

        let gaps = board.gaps();
        let mut looks: Vec<u64> = gaps
            .iter()
            .map(|&(a, b)| needed(a, b, self.max_gap()))
            .collect();
        let mut left = board.left() / price;
        // What is left goes where the looks are farthest apart, of places alike all over the recording.
        let piece = |i: usize, looks: u64| {
            let (a, b) = gaps[i];
            i128::from((b - a).get()) / (i128::from(looks) + 1)
        };
        let mut widest: BinaryHeap<(i128, Reverse<usize>)> = looks
            .iter()
            .enumerate()
            .map(|(i, &n)| (piece(i, n), Reverse(scattered(i))))
            .collect();
        while left > 0
            && let Some((_, Reverse(place))) = widest.pop()
        {
            let i = scattered(place);
            if piece(i, looks[i] + 1) < i128::from(CLOSEST.get()) {
                continue;
            }
            looks[i] += 1;
            left -= 1;
            widest.push((piece(i, looks[i]), Reverse(place)));
        }
        for (&(a, b), &n) in gaps.iter().zip(&looks) {
            entries.extend(between(a, b, n).map(|at| self.plain(at, tier)));
        }
        entries.sort_by_key(|entry| entry.planned);
        Ok((anchors, entries))
    }

    /// A look at no anchor.
    fn plain(&self, planned: Nanos, tier: Tier) -> Entry {
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

    /// The candidates worth most that the budget has, in the order in which they are seen.
    fn choose(&self, board: &mut Board, worth: &Worth) -> Vec<Chosen> {
        let looks = self.looks(board.duration);
        let pictures = Pictures {
            keyframes: &self.keyframes,
            frame: self.frame,
        };
        let per_picture = self.settings.budget.decode_penalty_tokens;
        let decoding = Decoding::new(pictures, per_picture, self.anchor_price());
        let keyframes = match &decoding {
            Some(_) => self.keyframes_after(&looks, board.duration),
            None => Vec::new(),
        };
        let mut order = Order::new(&self.candidates, &looks, *worth, self.min_gap())
            .weighing(decoding, keyframes);
        // Which, and when its picture was to be taken, by when it is.
        let mut chosen: BTreeMap<Nanos, (usize, Nanos)> = BTreeMap::new();
        while let Some((i, look, _)) = order.next() {
            if let Some(at) = self.place(i, look, board, |at| order.fits(i, at)) {
                order.take(i, at);
                chosen.insert(at, (i, look));
            } else if let Some((&next, &(j, other))) = chosen.range(look..).next()
                && board.is_nearly_enough(self.anchor_price())
            {
                // The picture that comes next may make room.
                board.remove(next, self.anchor_price());
                let at = self.place(i, look, board, |at| order.fits(i, at));
                let moved = at.and_then(|at| {
                    let fits = |to| order.fits(j, to) && order.fit((i, at), (j, to));
                    self.place(j, other, board, fits)
                });
                if let (Some(at), Some(moved)) = (at, moved) {
                    chosen.remove(&next);
                    chosen.insert(moved, (j, other));
                    order.moved(j, moved);
                    order.take(i, at);
                    chosen.insert(at, (i, look));
                } else {
                    if let Some(at) = at {
                        board.remove(at, self.anchor_price());
                    }
                    board.place(next, self.anchor_price());
                }
            }
        }
        let mut chosen: Vec<_> = chosen
            .into_iter()
            .map(|(at, (i, look))| Chosen {
                candidate: self.candidates[i],
                at,
                asked: (look != looks[i]).then_some(looks[i]),
            })
            .collect();
        chosen.sort_by_key(|chosen| chosen.candidate.seen);
        chosen
    }

    /// Takes a candidate's picture where it fits, if the budget has it; when.
    fn place(
        &self,
        i: usize,
        at: Nanos,
        board: &mut Board,
        fits: impl Fn(Nanos) -> bool,
    ) -> Option<Nanos> {
        let candidate = &self.candidates[i];
        let gap = self.max_gap().get().max(1);
        let (a, b) = board.around(at);
        // Where the budget is a look short, the picture may come a little later or earlier, but not before the event: just where
        // the pieces on both sides hold whole gaps.
        let whole = |length: Nanos| Nanos::new(length.get().div_euclid(gap) * gap);
        let window = candidate.window(&self.settings.anchors, board.duration);
        let may = candidate.seen..=window.stop() - Nanos::new(1);
        let places = [at, b - whole(b - at), a + whole(at - a)];
        places
            .into_iter()
            .enumerate()
            .find(|&(i, t)| {
                (i == 0 || may.contains(&t)) && fits(t) && board.place(t, self.anchor_price())
            })
            .map(|(_, t)| t)
    }

    fn anchor_price(&self) -> Tokens {
        self.prices.of(self.settings.budget.anchor_tier)
    }

    /// When the pictures of the candidates are taken.
    fn looks(&self, duration: Nanos) -> Vec<Nanos> {
        let look = |candidate: &Candidate| candidate.look(&self.settings.anchors, duration);
        self.candidates.iter().map(look).collect()
    }

    /// Where the pictures of the candidates may wait for a keyframe: the next one, if it is near enough and lies inside the window.
    fn keyframes_after(&self, looks: &[Nanos], duration: Nanos) -> Vec<Option<Nanos>> {
        let reach = Nanos::from_ms(self.settings.budget.anchor_snap_ms.into());
        let after = |(candidate, &look): (&Candidate, &Nanos)| {
            let next = self.keyframes.partition_point(|key| *key <= look);
            let window = candidate.window(&self.settings.anchors, duration);
            let keyframe = self.keyframes.get(next).copied();
            keyframe.filter(|key| *key - look <= reach && *key < window.stop())
        };
        self.candidates.iter().zip(looks).map(after).collect()
    }

    fn min_gap(&self) -> Nanos {
        Nanos::from_ms(self.settings.anchors.min_gap_ms.into()).max(Nanos::new(1))
    }

    /// Anchors and their pictures: windows that overlap part halfway between what they are for, or just beside a picture that lies beyond.
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
            },
        ) in (0u32..).zip(chosen)
        {
            let mut window = candidate.window(&self.settings.anchors, duration);
            if let Some(before) = anchors.last_mut()
                && before.window.stop() > window.start()
            {
                let (last_seen, last_at) = last;
                let cut = midpoint(last_seen, candidate.seen)
                    .clamp(window.start(), before.window.stop())
                    .min(*at)
                    .max(last_at + Nanos::new(1));
                before.window = holding(last_seen, before.window.start(), cut);
                window = holding(candidate.seen, cut, window.stop());
            }
            last = (candidate.seen, *at);
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
