//! Plain looks are moved to pictures that cost little to decode: keyframes, and pictures that an anchor's look has decoded anyway.
//!
//! A picture costs the pictures between its keyframe and itself, less those that another look of the same group of pictures (GOP) pays for.
//! A plain look may be taken a little sooner or later as long as the largest gap holds, so between two anchors the looks are placed
//! together: of all ways to move each by at most the reach, the cheapest, and of those alike the one that moves least. Anchors' looks
//! stay, and so do the number of looks and their price in tokens.

use crate::plan::{Entry, Reason};
use crate::planning::decode_cost::Pictures;
use crate::planning::uniform::CLOSEST;
use crate::time::Nanos;

/// Most places tried for a look; those nearest to where it was.
const PLACES: usize = 64;

/// Most looks that are placed together: of more in a row every so-manieth stays.
const TOGETHER: usize = 256;

/// How many places are tried in what an anchor's look has decoded, from that look back.
const STEPS: i64 = 12;

/// Moves the plain looks of a plan over `[start, stop)`, each by at most `reach`; those moved say what was asked for. Anchors' looks stay. The caller has made sure that no gap
/// between neighbouring looks, or to the ends, exceeds `max_gap`; none does afterwards, and none come closer to each
/// other than a quarter of it, or half as close as they were.
pub fn to_cheap(
    entries: &mut [Entry],
    pictures: Pictures<'_>,
    start: Nanos,
    stop: Nanos,
    max_gap: Nanos,
    reach: Nanos,
) {
    if pictures.keyframes.is_empty() {
        return;
    }
    // Where there is no anchor, no look has decoded anything for others: they share what they decode themselves.
    let gather = entries.iter().all(|entry| entry.reason != Reason::Anchor);
    let mut from = 0;
    // The fixed look before the run; the first run has none.
    let mut before = None;
    while from < entries.len() {
        let run = entries[from..]
            .iter()
            .take(TOGETHER)
            .take_while(|entry| entry.reason != Reason::Anchor)
            .count();
        let after = entries.get(from + run).map(|entry| entry.planned);
        let looks = &mut entries[from..from + run];
        let times: Vec<Nanos> = looks.iter().map(|entry| entry.planned).collect();
        let between = Between {
            pictures,
            before,
            after,
            a: before.unwrap_or(start),
            b: after.unwrap_or(stop),
            max_gap,
            reach,
            gather,
        };
        for (look, at) in looks.iter_mut().zip(between.place(&times)) {
            look.asked = Some(look.first_asked()).filter(|asked| *asked != at);
            look.planned = at;
        }
        before = after;
        from += run + 1;
    }
}

/// The stretch between two looks that stay.
struct Between<'a> {
    pictures: Pictures<'a>,
    before: Option<Nanos>,
    after: Option<Nanos>,
    a: Nanos,
    b: Nanos,
    max_gap: Nanos,
    reach: Nanos,
    /// Looks may follow a keyframe in steps of the least distance.
    gather: bool,
}

/// Where a look could go, and the cheapest way to get there.
#[derive(Clone, Copy)]
struct Place {
    at: Nanos,
    group: Option<usize>,
    depth: u64,
    /// Pictures and nanoseconds moved, of this look and all before it.
    cost: (u64, u64),
    /// The place of the look before it.
    from: usize,
}

impl Between<'_> {
    /// The times, moved.
    fn place(&self, times: &[Nanos]) -> Vec<Nanos> {
        let apart = self.apart(times);
        let mut rows: Vec<Vec<Place>> = Vec::with_capacity(times.len());
        for (index, &at) in times.iter().enumerate() {
            let mut row = self.places(index, times.len(), at, apart);
            row.retain_mut(|place| {
                let reached = match rows.last() {
                    None => {
                        let near = place.at - self.a;
                        let least = if self.before.is_some() {
                            apart
                        } else {
                            Nanos::ZERO
                        };
                        (near >= least && near <= self.max_gap).then(|| ((self.paid(place), 0), 0))
                    }
                    Some(last) => last
                        .iter()
                        .enumerate()
                        .filter(|(_, from)| {
                            let gap = place.at - from.at;
                            gap >= apart && gap <= self.max_gap
                        })
                        .map(|(i, from)| {
                            let paid = match from.group == place.group {
                                true => place
                                    .depth
                                    .saturating_sub(self.known(place.group).max(from.depth)),
                                false => self.paid(place),
                            };
                            ((from.cost.0 + paid, from.cost.1), i)
                        })
                        .min(),
                };
                let moved = place.at.distance(at).get().unsigned_abs();
                let Some((cost, from)) = reached else {
                    return false;
                };
                place.cost = (cost.0, cost.1.saturating_add(moved));
                place.from = from;
                true
            });
            rows.push(row);
        }
        self.cheapest(&rows, apart)
            .unwrap_or_else(|| times.to_vec())
    }

    /// Back along the cheapest way.
    fn cheapest(&self, rows: &[Vec<Place>], apart: Nanos) -> Option<Vec<Nanos>> {
        let fits = |place: &&Place| {
            let gap = self.b - place.at;
            let least = if self.after.is_some() {
                apart
            } else {
                CLOSEST.min(apart)
            };
            gap >= least && gap <= self.max_gap
        };
        let mut place = rows
            .last()?
            .iter()
            .filter(fits)
            .min_by_key(|place| place.cost)?;
        let mut times = vec![place.at];
        for row in rows.iter().rev().skip(1) {
            place = row.get(place.from)?;
            times.push(place.at);
        }
        times.reverse();
        Some(times)
    }

    /// How close looks may come: half as close as they were, or a quarter of the largest gap.
    fn apart(&self, times: &[Nanos]) -> Nanos {
        let edges = self
            .before
            .into_iter()
            .chain(times.iter().copied())
            .chain(self.after);
        let edges: Vec<Nanos> = edges.collect();
        let closest = edges.windows(2).map(|w| w[1] - w[0]).min();
        let quarter = Nanos::new(self.max_gap.get() / 4);
        closest
            .map_or(quarter, |closest| {
                Nanos::new(closest.get() / 2).min(quarter)
            })
            .max(Nanos::ZERO)
    }

    /// Pictures of a group that the looks at both ends pay for.
    fn known(&self, group: Option<usize>) -> u64 {
        let ends = self.before.into_iter().chain(self.after);
        ends.filter(|&end| self.pictures.group(end) == group)
            .map(|end| self.pictures.depth(group, end))
            .max()
            .unwrap_or(0)
    }

    fn paid(&self, place: &Place) -> u64 {
        place.depth.saturating_sub(self.known(place.group))
    }

    /// Where look `index` of `count`, now at `at`, could go: where it is; as early as it may; keyframes; what an anchor has decoded, in steps of
    /// the least distance; without any anchor what follows a keyframe, in such steps; and as far from an end or a keyframe as the largest gap
    /// lets the looks between be.
    fn places(&self, index: usize, count: usize, at: Nanos, apart: Nanos) -> Vec<Place> {
        let (low, high) = ((at - self.reach).max(self.a), (at + self.reach).min(self.b));
        let keys = self.pictures.keyframes;
        let within = |from: Nanos, to: Nanos| {
            let first = keys.partition_point(|&key| key < from);
            let last = keys.partition_point(|&key| key <= to);
            &keys[first..last.max(first)]
        };
        let mut places: Vec<Nanos> = within(low, high).to_vec();
        places.push(low);
        for end in self.before.into_iter().chain(self.after) {
            if let Some(group) = self.pictures.group(end) {
                let key = keys[group].min(end);
                places.push(at.clamp(key, end));
                let back = |n: i64| end - Nanos::new(apart.get().saturating_mul(n));
                places.extend((1..=STEPS).map(back).filter(|&place| place >= key));
            }
        }
        if self.gather {
            let step = |n: i64| Nanos::new(apart.get().saturating_mul(n));
            for &key in within(low - step(STEPS), high) {
                places.extend((1..=STEPS).map(|n| key + step(n)));
            }
        }
        let steps = |n: usize| Nanos::new(self.max_gap.get().saturating_mul(n as i64));
        places.push(self.a + steps(index + 1));
        places.push(self.b - steps(count - index));
        for n in 1..=2 {
            let far = steps(n);
            places.extend(within(low + far, high + far).iter().map(|&key| key - far));
            places.extend(within(low - far, high - far).iter().map(|&key| key + far));
        }
        places.retain(|place| *place >= low && *place <= high && *place != at);
        places.sort_unstable();
        places.dedup();
        if places.len() >= PLACES {
            places.sort_by_key(|place| place.distance(at));
            places.truncate(PLACES - 1);
        }
        places.push(at);
        places
            .into_iter()
            .map(|at| {
                let group = self.pictures.group(at);
                let depth = self.pictures.depth(group, at);
                Place {
                    at,
                    group,
                    depth,
                    cost: (0, 0),
                    from: 0,
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
