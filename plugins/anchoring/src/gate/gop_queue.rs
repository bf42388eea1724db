//! The GOP queue: access units and plan entries in, a verdict for every access unit out.
//!
//! A decoder can only start at a keyframe, so units pass or stay out by GOP: a keyframe and the units that follow it
//! in decoding order. The queue holds units until the plan is decided around them and finds the frame nearest to each
//! plan entry. Of each GOP it passes the keyframe up to the last unit that a chosen frame needs, without those that
//! no other frame refers to.
//!
//! Two facts about coded video shape the rules:
//!
//! - **Open GOPs.** Units that follow a keyframe in the stream but are shown before it (its *leading* frames) refer
//!   to the GOP before. If one is wanted, that GOP passes whole; and no GOP is released before the next one's leading
//!   frames are known. They can't reach back further than one GOP.
//! - **Presentation order is only known up to a keyframe.** Every frame shown before a keyframe is in the stream
//!   before the first frame that is shown after it. So entries before a keyframe are resolved once its leading frames
//!   are known.

use std::collections::VecDeque;

use crate::gate::access_unit::AccessUnit;
use crate::gate::verdict::{Stats, Verdict};
use crate::plan::Entry;

use crate::time::Nanos;

/// Frame interval until two frames are known.
const DEFAULT_FRAME: Nanos = Nanos::from_ms(40);

/// Number of intervals for the median.
const SPACINGS: usize = 33;

/// No codec in use reorders frames further than this.
const REORDER: usize = 17;

/// An entry further from every frame than this time and this many frame intervals lies in a discontinuity.
const FAR: Nanos = Nanos::from_ms(500);

const FAR_FRAMES: f64 = 5.0;

/// A longer step from one frame to the next counts as this much time held.
const LONGEST_STEP: Nanos = Nanos::from_ms(2_000);

/// An unfinished GOP with this many units is checked for units that can go already.
const MIN_TO_ADVANCE: usize = 32;

struct HeldUnit<T> {
    unit: AccessUnit<T>,
    wanted: Vec<Entry>,
}

struct Gop<T> {
    units: VecDeque<HeldUnit<T>>,
    /// Time of its keyframe.
    key: Nanos,
    /// Latest time of its units.
    latest: Nanos,
    /// Its first units are with the decoder already, because it was too large to hold.
    begun: bool,
}

impl<T> Gop<T> {
    fn leads(&self, held: &HeldUnit<T>) -> bool {
        held.unit.pts < self.key
    }
    /// Whether all leading frames are known: a unit shown after the keyframe has come.
    fn leading_known(&self) -> bool {
        self.units.iter().any(|held| held.unit.pts > self.key)
    }
}

/// A frame that can serve an entry, by its place in the queue.
#[derive(Clone, Copy)]
struct DisplayedFrame {
    pts: Nanos,
    duration: Option<Nanos>,
    gop: usize,
    unit: usize,
}

/// Access units that wait for the plan, and plan entries that wait for frames.
pub struct GopQueue<T> {
    gops: VecDeque<Gop<T>>,
    /// Unresolved entries in order of time.
    waiting: VecDeque<Entry>,
    /// Whether the GOP before the first one held has passed whole, so that leading frames can be decoded.
    before_whole: bool,
    bytes: usize,
    newest: Option<Nanos>,
    /// Steps between frames longer than [`LONGEST_STEP`]: when, and by how much longer.
    steps: VecDeque<(Nanos, Nanos)>,
    spacings: VecDeque<i64>,
    /// The last released frame was dropped, or served an entry.
    last_dropped: bool,
    last_wanted: bool,
    /// Size at which an unfinished GOP is checked again.
    advance_at: usize,
    stats: Stats,
}

impl<T> Default for GopQueue<T> {
    fn default() -> Self {
        Self {
            gops: VecDeque::new(),
            waiting: VecDeque::new(),
            before_whole: false,
            bytes: 0,
            newest: None,
            steps: VecDeque::new(),
            spacings: VecDeque::new(),
            last_dropped: false,
            last_wanted: false,
            advance_at: MIN_TO_ADVANCE,
            stats: Stats::default(),
        }
    }
}

impl<T> GopQueue<T> {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next unit in decoding order. Returns a unit before the first keyframe: nothing can decode it.
    pub fn push(&mut self, unit: AccessUnit<T>) -> Option<T> {
        self.stats.pushed += 1;
        if !unit.keyframe && self.gops.is_empty() {
            self.stats.dropped_before_keyframe += 1;
            return Some(unit.payload);
        }
        if let Some(newest) = self.newest
            && unit.pts - newest > LONGEST_STEP
        {
            let more = unit.pts - newest - LONGEST_STEP;
            self.steps.push_back((unit.pts, more));
        }
        self.newest = Some(self.newest.map_or(unit.pts, |at| at.max(unit.pts)));
        self.bytes += unit.bytes;
        let key = unit.pts;
        let held = HeldUnit {
            wanted: Vec::new(),
            unit,
        };
        match self.gops.back_mut() {
            Some(gop) if !held.unit.keyframe => {
                if let Some(first) = gop.units.back_mut()
                    && held.unit.second_field
                {
                    first.unit.droppable &= held.unit.droppable;
                }
                gop.latest = gop.latest.max(key);
                gop.units.push_back(held);
            }
            _ => self.gops.push_back(Gop {
                units: VecDeque::from([held]),
                key,
                latest: key,
                begun: false,
            }),
        }
        None
    }

    /// Requests the frame nearest to an entry. Entries come in order of time; a late one is sorted in.
    pub fn request(&mut self, entry: Entry) {
        let at = self
            .waiting
            .partition_point(|other| other.planned <= entry.planned);
        self.waiting.insert(at, entry);
    }

    /// Releases every GOP for which the plan is decided: every entry before `decided_until` has been
    /// [requested](Self::request).
    pub fn release(&mut self, decided_until: Nanos) -> Vec<Verdict<T>> {
        let mut verdicts = Vec::new();
        while let Some(next) = self.gops.get(1) {
            let known = self.gops.len() > 2 || next.leading_known();
            let horizon = self.horizon();
            if !known || decided_until < horizon {
                break;
            }
            self.release_first(horizon, &mut verdicts);
        }
        verdicts
    }

    /// Releases the beginning of an unfinished GOP, as far as it is sure to pass: if entries are known far ahead,
    /// less has to be held. The same units pass as without. `decided_until` as for [`Self::release`].
    pub fn advance(&mut self, decided_until: Nanos) -> Vec<Verdict<T>> {
        let mut verdicts = Vec::new();
        let long = |gop: &Gop<T>| gop.units.len() >= self.advance_at;
        if self.gops.len() != 1 || !self.gops.iter().all(long) {
            return verdicts;
        }
        let frames = self.displayed_frames();
        // All frames up to this one have come. So entries before it have their frame, and entries after it have none
        // before it.
        let known = frames.len().checked_sub(REORDER + 1);
        let known = known.map(|at| frames[at].pts);
        if let Some(known) = known.filter(|known| *known <= decided_until) {
            self.learn_spacing(&frames);
            self.resolve(&frames, known, &mut verdicts);
            if let Some(gop) = self.gops.front_mut() {
                let known = gop.units.iter().take_while(|held| held.unit.pts < known);
                let ready = units_needed(&gop.units).min(known.count());
                let rest = gop.units.split_off(ready);
                let first = std::mem::replace(&mut gop.units, rest);
                gop.begun |= ready > 0;
                self.pass(first, &mut verdicts);
            }
        }
        let left = self.gops.front().map_or(0, |gop| gop.units.len());
        // Growing steps keep the checks cheap, however long the GOP is.
        self.advance_at = left + left / 4 + MIN_TO_ADVANCE;
        verdicts
    }

    /// No more units will come: releases everything. The next unit must be a keyframe.
    pub fn finish(&mut self) -> Vec<Verdict<T>> {
        let mut verdicts = Vec::new();
        while !self.gops.is_empty() {
            let horizon = if self.gops.len() > 2 {
                self.horizon()
            } else {
                Nanos::MAX
            };
            self.release_first(horizon, &mut verdicts);
        }
        self.stats.missed += self.waiting.len() as u64;
        verdicts.extend(self.waiting.drain(..).map(Verdict::Miss));
        self.before_whole = false;
        verdicts
    }

    /// The queue holds too much: releases its oldest part by what is decided so far. Later entries for that part are
    /// missed, or served by a frame at most one interval away. Empty only if nothing is held.
    pub fn overflow(&mut self) -> Vec<Verdict<T>> {
        let mut verdicts = Vec::new();
        if self.gops.len() > 1 {
            self.release_first(self.horizon(), &mut verdicts);
        } else {
            self.pass_first_half(&mut verdicts);
        }
        verdicts
    }

    /// Drops all units and entries, and returns the payloads in decoding order. The next unit must be a keyframe.
    /// Statistics stay.
    pub fn flush(&mut self) -> Vec<T> {
        let fresh = Self {
            stats: self.stats,
            ..Self::default()
        };
        let old = std::mem::replace(self, fresh);
        let units = old.gops.into_iter().flat_map(|gop| gop.units);
        units.map(|held| held.unit.payload).collect()
    }

    /// Whether no unit is held.
    pub fn is_empty(&self) -> bool {
        self.gops.is_empty()
    }
    /// Bytes of the units held.
    pub fn held_bytes(&self) -> usize {
        self.bytes
    }
    /// Time from the first unit held to the newest frame; a step of more than two seconds counts as two.
    pub fn held_time(&self) -> Nanos {
        let first = self.gops.front().and_then(|gop| gop.units.front());
        let (Some(first), Some(newest)) = (first, self.newest) else {
            return Nanos::ZERO;
        };
        let inside = self.steps.iter().filter(|(at, _)| *at > first.unit.pts);
        let more = inside.fold(Nanos::ZERO, |sum, (_, more)| sum + *more);
        (newest - first.unit.pts - more).max(Nanos::ZERO)
    }
    /// The end of the oldest part that can be released: the second GOP's keyframe, or the newest frame if there is
    /// one GOP.
    pub fn oldest_until(&self) -> Option<Nanos> {
        match self.gops.len() {
            0 | 1 => self.newest,
            _ => Some(self.horizon()),
        }
    }
    /// Time of the newest frame since the start or the last flush.
    pub fn newest(&self) -> Option<Nanos> {
        self.newest
    }
    /// Number of entries that wait for their frame.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }
    /// Whether the nearest frame of every entry has come: no codec in use puts it behind this many later ones.
    pub fn is_settled(&self) -> bool {
        let Some(last) = self.waiting.back() else {
            return true;
        };
        let later = |held: &&HeldUnit<T>| held.unit.pts > last.planned;
        let units = self.gops.iter().flat_map(|gop| &gop.units);
        units.filter(later).count() > REORDER
    }
    /// Median of the latest frame intervals, or a usual one before any is known.
    pub fn frame(&self) -> Nanos {
        self.spacing().unwrap_or(DEFAULT_FRAME)
    }
    /// Median of the latest frame intervals; `None` before any is known.
    pub fn spacing(&self) -> Option<Nanos> {
        let mut sorted: Vec<i64> = self.spacings.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).map(|&ns| Nanos::new(ns))
    }
    /// Learns the frame interval from the frames that wait, before a GOP is whole.
    pub fn learn_early(&mut self) {
        if self.spacings.is_empty() {
            let frames = self.displayed_frames();
            self.learn_spacing(&frames);
        }
    }
    /// Statistics since the start.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Entries before this are resolved with the first GOP: the second one's keyframe, unless a broken stream goes
    /// back in time there.
    fn horizon(&self) -> Nanos {
        match (self.gops.front(), self.gops.get(1)) {
            (Some(first), Some(next)) => next.key.max(first.latest + Nanos::new(1)),
            _ => Nanos::MAX,
        }
    }

    /// Resolves the entries before `horizon` and releases the first GOP.
    fn release_first(&mut self, horizon: Nanos, verdicts: &mut Vec<Verdict<T>>) {
        let frames = self.displayed_frames();
        self.learn_spacing(&frames);
        self.resolve(&frames, horizon, verdicts);
        let Some(mut gop) = self.gops.pop_front() else {
            return;
        };
        while self.steps.front().is_some_and(|(at, _)| *at <= gop.key) {
            self.steps.pop_front();
        }
        let leading_wanted = self.gops.front().is_some_and(|next| {
            next.units
                .iter()
                .any(|held| next.leads(held) && !held.wanted.is_empty())
        });
        let count = if leading_wanted {
            gop.units.len()
        } else {
            units_needed(&gop.units)
        };
        let rest = gop.units.split_off(count);
        self.before_whole = rest.is_empty() && (count > 0 || gop.begun);
        self.advance_at = MIN_TO_ADVANCE;
        self.pass(gop.units, verdicts);
        let Some(from) = rest.iter().map(|held| held.unit.pts).min() else {
            return;
        };
        let end = rest
            .iter()
            .map(|held| held.unit.pts + held.unit.duration.unwrap_or(Nanos::ZERO))
            .max();
        let to = if horizon == Nanos::MAX {
            end.unwrap_or(from)
        } else {
            horizon
        };
        self.bytes -= rest.iter().map(|held| held.unit.bytes).sum::<usize>();
        verdicts.push(Verdict::Skip {
            from,
            to: to.max(from),
            left: rest.into_iter().map(|held| held.unit.payload).collect(),
        });
    }

    /// The only GOP is too large: passes its first half, wanted or not, so that what follows can be decoded.
    fn pass_first_half(&mut self, verdicts: &mut Vec<Verdict<T>>) {
        let frames = self.displayed_frames();
        self.learn_spacing(&frames);
        let half = |gop: &Gop<T>| gop.units.len().div_ceil(2);
        // Entries for these units must be resolved now; others as far as no later unit can be shown before them.
        let gone = self.gops.front().and_then(|gop| {
            let passing = gop.units.iter().take(half(gop));
            passing.map(|held| held.unit.pts).max()
        });
        let settled = frames.len().checked_sub(REORDER);
        let settled = settled.map(|at| frames[at].pts);
        if let Some(horizon) = gone.max(settled) {
            self.resolve(&frames, horizon + Nanos::new(1), verdicts);
        }
        let Some(gop) = self.gops.front_mut() else {
            return;
        };
        gop.begun = true;
        let rest = gop.units.split_off(half(gop));
        let first = std::mem::replace(&mut gop.units, rest);
        self.pass(first, verdicts);
    }

    fn pass(&mut self, units: VecDeque<HeldUnit<T>>, verdicts: &mut Vec<Verdict<T>>) {
        let mut served: Vec<(Nanos, Entry)> = Vec::new();
        let mut passed = Vec::with_capacity(units.len());
        for held in units {
            let pts = held.unit.pts;
            self.bytes -= held.unit.bytes;
            if !held.unit.second_field {
                self.last_wanted = !held.wanted.is_empty();
                self.last_dropped = held.unit.droppable && !self.last_wanted;
            }
            served.extend(held.wanted.into_iter().map(|entry| (pts, entry)));
            let payload = held.unit.payload;
            if self.last_dropped {
                passed.push(Verdict::Drop(payload));
            } else {
                self.stats.passed += 1;
                let wanted = self.last_wanted;
                passed.push(Verdict::Pass { payload, wanted });
            }
        }
        served.sort_by_key(|(pts, entry)| (entry.planned, *pts));
        self.stats.served += served.len() as u64;
        verdicts.extend(
            served
                .into_iter()
                .map(|(pts, entry)| Verdict::Serve { entry, pts }),
        );
        verdicts.append(&mut passed);
    }

    /// Frames of the first two GOPs that can be shown, in order of time. Later ones can't be nearest to an entry
    /// before the second GOP's keyframe.
    fn displayed_frames(&self) -> Vec<DisplayedFrame> {
        let mut all = Vec::new();
        for (g, gop) in self.gops.iter().take(2).enumerate() {
            for (u, held) in gop.units.iter().enumerate() {
                let decodable = g > 0 || self.before_whole || !gop.leads(held);
                if held.unit.shown && !held.unit.second_field && decodable {
                    all.push(DisplayedFrame {
                        pts: held.unit.pts,
                        duration: held.unit.duration,
                        gop: g,
                        unit: u,
                    });
                }
            }
        }
        all.sort_by_key(|frame| frame.pts);
        all
    }

    fn learn_spacing(&mut self, frames: &[DisplayedFrame]) {
        for pair in frames.windows(2).take(SPACINGS) {
            let spacing = (pair[1].pts - pair[0].pts).get();
            if spacing > 0 {
                self.spacings.push_back(spacing);
            }
        }
        let surplus = self.spacings.len().saturating_sub(SPACINGS);
        self.spacings.drain(..surplus);
    }

    /// Assigns every entry before `horizon` to its nearest frame, the earlier of two equally near.
    fn resolve(
        &mut self,
        frames: &[DisplayedFrame],
        horizon: Nanos,
        verdicts: &mut Vec<Verdict<T>>,
    ) {
        let (Some(first), Some(last)) = (frames.first(), frames.last()) else {
            return;
        };
        let frame = self.frame();
        let far = FAR.max(frame.scaled(FAR_FRAMES));
        let gap = |pair: Option<&[DisplayedFrame]>| {
            pair.map_or(frame, |pair| (pair[1].pts - pair[0].pts).max(frame))
        };
        let before = gap(frames.windows(2).next());
        let after = gap(frames.windows(2).last()).max(last.duration.unwrap_or(Nanos::ZERO));
        while let Some(entry) = self.waiting.pop_front() {
            if entry.planned >= horizon && horizon != Nanos::MAX {
                self.waiting.push_front(entry);
                break;
            }
            let at = entry.planned;
            if at + before < first.pts || last.pts + after < at {
                self.stats.missed += 1;
                verdicts.push(Verdict::Miss(entry));
                continue;
            }
            let later = frames.partition_point(|frame| frame.pts < at);
            let nearest = match (later.checked_sub(1), frames.get(later)) {
                (Some(earlier), Some(next)) => {
                    let earlier = first_of_equals(frames, earlier);
                    if at.distance(frames[earlier].pts) <= at.distance(next.pts) {
                        frames[earlier]
                    } else {
                        *next
                    }
                }
                (Some(earlier), None) => frames[first_of_equals(frames, earlier)],
                (None, _) => *first,
            };
            if let Some(held) = self
                .gops
                .get_mut(nearest.gop)
                .and_then(|gop| gop.units.get_mut(nearest.unit))
            {
                let taken = held.wanted.iter().any(|other| other.tier >= entry.tier);
                if (taken || entry.anchor.is_some()) && at.distance(nearest.pts) > far {
                    self.stats.merged += 1;
                    verdicts.push(Verdict::Merge(entry));
                } else {
                    held.wanted.push(entry);
                }
            }
        }
    }
}

/// How many units from the first on must pass. A second field goes with the last one needed, and so do units shown at
/// the same instant (further layers).
fn units_needed<T>(units: &VecDeque<HeldUnit<T>>) -> usize {
    let Some(last) = units.iter().rposition(|held| !held.wanted.is_empty()) else {
        return 0;
    };
    let pts = units[last].unit.pts;
    let more = units
        .iter()
        .skip(last + 1)
        .take_while(|held| held.unit.second_field || held.unit.pts == pts)
        .count();
    last + 1 + more
}

fn first_of_equals(frames: &[DisplayedFrame], index: usize) -> usize {
    let pts = frames[index].pts;
    frames[..index].partition_point(|frame| frame.pts < pts)
}

#[cfg(test)]
mod tests;
