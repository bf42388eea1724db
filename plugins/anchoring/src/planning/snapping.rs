//! Snapping: entries without an anchor move to frames that are cheap to decode: keyframes, and frames that an anchor's entry
//! decodes anyway.
//!
//! A frame costs the frames from its keyframe up to itself, minus those that another entry of the same GOP pays for; a
//! clip costs what its frames need in every GOP that it touches, and moves so that it begins at a keyframe.
//! An entry may move a little as long as the largest gap holds, so the entries between two anchors are moved
//! together: of all moves within the reach the cheapest one, and of those the one that moves least (dynamic
//! programming). Anchors' entries stay, and so do the number of entries and their price in tokens.
//!
//! Entries that are spread over change would miss what they are for if they were moved at any price: they move only as
//! much as it takes to decode no more than a given number of frames, and rather later than earlier.

use crate::plan::{Entry, Reason};
use crate::planning::decode_cost::{DecodeCost, FramesOfPlan, Gop};
use crate::planning::uniform::MIN_SPACING;
use crate::time::Nanos;

/// Most positions that are tried for an entry; the nearest ones are kept.
const MAX_POSITIONS: usize = 64;

/// Most entries that are moved together; in a longer run, every 257th stays.
const MAX_RUN: usize = 256;

/// How many positions are tried among the frames that an anchor's entry decodes, counted back from it.
const STEPS: i64 = 12;

/// Moving an entry to an earlier time weighs this many times as much as to a later one: it would miss what changed.
const EARLIER: u64 = 4;

/// Prices of a decoded frame, as powers of two of nanoseconds moved: from 1 ms to more than any move.
const PRICES: std::ops::RangeInclusive<u32> = 20..=44;

/// As [`snap_frames`], but entries move no more than it takes to decode at most `limit` frames for all entries
/// together. `false`, with the entries as they were, if that can't be done.
pub fn snap_within(
    entries: &mut Vec<Entry>,
    decode_cost: DecodeCost<'_>,
    (start, stop): (Nanos, Nanos),
    max_gap: Nanos,
    reach: Nanos,
    limit: u64,
) -> bool {
    let decoded = |entries: &[Entry]| decode_cost.frames_decoded(entries);
    if decode_cost.keyframes.is_empty() || decoded(entries) <= limit {
        return true;
    }
    let at_price = |power: u32| {
        let mut moved = entries.clone();
        let weigh = MoveValue::Price(1 << power);
        snap(
            &mut moved,
            decode_cost,
            (start, stop),
            max_gap,
            reach,
            weigh,
        );
        (decoded(&moved) <= limit).then_some(moved)
    };
    // The lowest price that will do.
    let (mut low, mut high) = (*PRICES.start(), *PRICES.end());
    let Some(mut best) = at_price(high) else {
        return false;
    };
    while low < high {
        let middle = low.midpoint(high);
        match at_price(middle) {
            Some(moved) => (best, high) = (moved, middle),
            None => low = middle + 1,
        }
    }
    *entries = best;
    true
}

/// What a move is worth.
#[derive(Clone, Copy)]
enum MoveValue {
    /// Fewest frames decoded, then the shortest moves.
    Decoding,
    /// A decoded frame weighs as much as moving an entry this many nanoseconds later.
    Price(u64),
}

impl MoveValue {
    /// What is compared of frames decoded and nanoseconds moved.
    fn of(self, (decoded, moved): (u64, u64)) -> (u64, u64) {
        match self {
            Self::Decoding => (decoded, moved),
            Self::Price(price) => (decoded.saturating_mul(price).saturating_add(moved), decoded),
        }
    }

    /// How far an entry has moved.
    fn distance(self, from: Nanos, to: Nanos) -> u64 {
        let moved = from.distance(to).get().unsigned_abs();
        match self {
            Self::Price(_) if to < from => moved.saturating_mul(EARLIER),
            _ => moved,
        }
    }
}

/// Moves the entries without an anchor of a plan over `[start, stop)`, each by at most `reach`; an entry that moves keeps
/// the time that was asked for. The caller guarantees that no gap exceeds `max_gap`, the ends included. That still
/// holds afterwards, and no two entries come closer than a quarter of `max_gap`, or than half the distance they had.
pub fn snap_frames(
    entries: &mut [Entry],
    decode_cost: DecodeCost<'_>,
    start: Nanos,
    stop: Nanos,
    max_gap: Nanos,
    reach: Nanos,
) {
    let weigh = MoveValue::Decoding;
    if decode_cost.takes == FramesOfPlan::FRAMES {
        return snap(entries, decode_cost, (start, stop), max_gap, reach, weigh);
    }
    // Clips may share with others than their neighbours, which is not weighed.
    let before = (entries.to_vec(), decode_cost.frames_decoded(&*entries));
    snap(entries, decode_cost, (start, stop), max_gap, reach, weigh);
    if decode_cost.frames_decoded(&*entries) > before.1 {
        entries.clone_from_slice(&before.0);
    }
}

fn snap(
    entries: &mut [Entry],
    decode_cost: DecodeCost<'_>,
    (start, stop): (Nanos, Nanos),
    max_gap: Nanos,
    reach: Nanos,
    weigh: MoveValue,
) {
    if decode_cost.keyframes.is_empty() {
        return;
    }
    // Without an anchor nothing is decoded for others, so entries share what they decode themselves.
    let share_after_keyframe = entries.iter().all(|entry| entry.reason != Reason::Anchor);
    let mut from = 0;
    // The fixed entry before the run; the first run has none.
    let mut before = None;
    while from < entries.len() {
        let run = entries[from..]
            .iter()
            .take(MAX_RUN)
            .take_while(|entry| entry.reason != Reason::Anchor)
            .count();
        let after = entries
            .get(from + run)
            .map(|entry| FixedEntry::new(entry, decode_cost));
        let run_entries = &mut entries[from..from + run];
        let times: Vec<Nanos> = run_entries.iter().map(|entry| entry.planned).collect();
        let span = Span {
            decode_cost,
            a: before.as_ref().map_or(start, |fixed: &FixedEntry| fixed.at),
            b: after.as_ref().map_or(stop, |fixed| fixed.at),
            before,
            after,
            max_gap,
            reach,
            share_after_keyframe,
            weigh,
        };
        for (entry, at) in run_entries.iter_mut().zip(span.snap(&times)) {
            entry.asked = Some(entry.first_asked()).filter(|asked| *asked != at);
            entry.planned = at;
        }
        before = span.after;
        from += run + 1;
    }
}

/// An entry that stays.
struct FixedEntry {
    at: Nanos,
    /// Where its clip begins; for a frame, its own time.
    start: Nanos,
    /// The GOPs that are decoded for it, and how deep.
    decoded: Vec<(Gop, u64)>,
}

impl FixedEntry {
    fn new(entry: &Entry, decode_cost: DecodeCost<'_>) -> Self {
        let taken = decode_cost.taken(entry);
        Self {
            at: entry.planned,
            start: taken.start(entry.planned),
            decoded: decode_cost.reach(entry.planned, taken).collect(),
        }
    }
}

/// The span between two fixed entries, and how entries inside may move.
struct Span<'a> {
    decode_cost: DecodeCost<'a>,
    before: Option<FixedEntry>,
    after: Option<FixedEntry>,
    a: Nanos,
    b: Nanos,
    max_gap: Nanos,
    reach: Nanos,
    /// Entries may follow a keyframe in steps of the least spacing.
    share_after_keyframe: bool,
    weigh: MoveValue,
}

/// A position for an entry, and the cheapest way to it.
struct Position {
    at: Nanos,
    /// The GOPs that must be decoded for it, and how deep.
    decodes: Vec<(Gop, u64)>,
    /// Frames decoded and nanoseconds moved, for this entry and all before it.
    cost: (u64, u64),
    /// Index of the position of the entry before.
    from: usize,
}

impl Span<'_> {
    /// The moved times.
    fn snap(&self, times: &[Nanos]) -> Vec<Nanos> {
        let spacing = self.min_spacing(times);
        let mut rows: Vec<Vec<Position>> = Vec::with_capacity(times.len());
        for (index, &at) in times.iter().enumerate() {
            let mut row = self.positions(index, times.len(), at, spacing);
            row.retain_mut(|position| {
                let reached = match rows.last() {
                    None => {
                        let near = position.at - self.a;
                        let least = if self.before.is_some() {
                            spacing
                        } else {
                            Nanos::ZERO
                        };
                        (near >= least && near <= self.max_gap)
                            .then(|| ((self.newly_decoded(position, &[]), 0), 0))
                    }
                    Some(last) => last
                        .iter()
                        .enumerate()
                        .filter(|(_, from)| {
                            let gap = position.at - from.at;
                            gap >= spacing && gap <= self.max_gap
                        })
                        .map(|(i, from)| {
                            let paid = self.newly_decoded(position, &from.decodes);
                            ((from.cost.0 + paid, from.cost.1), i)
                        })
                        .min_by_key(|&(cost, i)| (self.weigh.of(cost), i)),
                };
                let moved = self.weigh.distance(at, position.at);
                let Some((cost, from)) = reached else {
                    return false;
                };
                position.cost = (cost.0, cost.1.saturating_add(moved));
                position.from = from;
                true
            });
            rows.push(row);
        }
        self.cheapest(&rows, spacing)
            .unwrap_or_else(|| times.to_vec())
    }

    /// Follows the cheapest way back.
    fn cheapest(&self, rows: &[Vec<Position>], spacing: Nanos) -> Option<Vec<Nanos>> {
        let fits = |position: &&Position| {
            let gap = self.b - position.at;
            let least = if self.after.is_some() {
                spacing
            } else {
                MIN_SPACING.min(spacing)
            };
            gap >= least && gap <= self.max_gap
        };
        let mut position = rows
            .last()?
            .iter()
            .filter(fits)
            .min_by_key(|position| self.weigh.of(position.cost))?;
        let mut times = vec![position.at];
        for row in rows.iter().rev().skip(1) {
            position = row.get(position.from)?;
            times.push(position.at);
        }
        times.reverse();
        Some(times)
    }

    /// The least spacing: half of the closest that there is, or a quarter of the largest gap.
    fn min_spacing(&self, times: &[Nanos]) -> Nanos {
        let fixed = |fixed: &Option<FixedEntry>| fixed.as_ref().map(|fixed| fixed.at);
        let edges = fixed(&self.before)
            .into_iter()
            .chain(times.iter().copied())
            .chain(fixed(&self.after));
        let edges: Vec<Nanos> = edges.collect();
        let closest = edges.windows(2).map(|w| w[1] - w[0]).min();
        let quarter = Nanos::new(self.max_gap.get() / 4);
        closest
            .map_or(quarter, |closest| {
                Nanos::new(closest.get() / 2).min(quarter)
            })
            .max(Nanos::ZERO)
    }

    /// Frames that are decoded for this position, but neither for the entry before it nor for the fixed ones at both ends.
    fn newly_decoded(&self, position: &Position, entry_before: &[(Gop, u64)]) -> u64 {
        let ends = self.before.iter().chain(&self.after);
        let paid = |gop: Gop| {
            ends.clone()
                .flat_map(|fixed| &fixed.decoded)
                .chain(entry_before)
                .filter_map(|&(other, depth)| (other == gop).then_some(depth))
                .max()
                .unwrap_or(0)
        };
        let decodes = position.decodes.iter();
        decodes
            .map(|&(gop, depth)| depth.saturating_sub(paid(gop)))
            .sum()
    }

    /// Positions for entry `index` of `count`, now at `at`: where it is; the earliest allowed; keyframes; frames that
    /// an anchor decodes, in steps of the least spacing; without an anchor, frames that follow a keyframe, in the
    /// same steps; and positions at a whole number of largest gaps from an end or a keyframe. Clips begin at the
    /// keyframes, and lie inside what an anchor's clip decodes.
    fn positions(&self, index: usize, count: usize, at: Nanos, spacing: Nanos) -> Vec<Position> {
        let (low, high) = ((at - self.reach).max(self.a), (at + self.reach).min(self.b));
        let keys = self.decode_cost.keyframes;
        // From the start of a clip to its entry.
        let own = self.decode_cost.takes.other;
        let lead = own.before();
        // Entries whose clips begin at the keyframes.
        let within = |from: Nanos, to: Nanos| {
            let first = keys.partition_point(|&key| key + lead < from);
            let last = keys.partition_point(|&key| key + lead <= to);
            keys[first..last.max(first)]
                .iter()
                .map(move |&key| key + lead)
        };
        let mut positions: Vec<Nanos> = within(low, high).collect();
        positions.push(low);
        for end in self.before.iter().chain(&self.after) {
            if let Some(gop) = self.decode_cost.gop_of(end.start) {
                let end = end.start;
                let (key, end) = (keys[gop].min(end) + lead, end + lead);
                positions.push(at.clamp(key, end));
                let back = |n: i64| end - Nanos::new(spacing.get().saturating_mul(n));
                positions.extend((1..=STEPS).map(back).filter(|&position| position >= key));
            }
        }
        if self.share_after_keyframe {
            let step = |n: i64| Nanos::new(spacing.get().saturating_mul(n));
            for key in within(low - step(STEPS), high) {
                positions.extend((1..=STEPS).map(|n| key + step(n)));
            }
        }
        let steps = |n: usize| Nanos::new(self.max_gap.get().saturating_mul(n as i64));
        positions.push(self.a + steps(index + 1));
        positions.push(self.b - steps(count - index));
        for n in 1..=2 {
            let far = steps(n);
            positions.extend(within(low + far, high + far).map(|key| key - far));
            positions.extend(within(low - far, high - far).map(|key| key + far));
        }
        positions.retain(|position| *position >= low && *position <= high && *position != at);
        positions.sort_unstable();
        positions.dedup();
        if positions.len() >= MAX_POSITIONS {
            positions.sort_by_key(|position| position.distance(at));
            positions.truncate(MAX_POSITIONS - 1);
        }
        positions.push(at);
        positions
            .into_iter()
            .map(|at| Position {
                at,
                decodes: self.decode_cost.reach(at, own).collect(),
                cost: (0, 0),
                from: 0,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
