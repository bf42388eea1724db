//! Access units and plan entries -> a verdict for every access unit.
//!
//! A decoder can only start at a keyframe, so what is kept, passed and left out is whole groups of pictures (GOPs): a
//! keyframe and the units that follow it in decoding order. The queue holds the units until the plan is decided around
//! them, finds the picture nearest to each plan entry, and lets through, of each GOP, the keyframe up to the last unit
//! that a chosen picture needs, without those that no other picture refers to.
//!
//! Two facts about coded video shape the rules:
//!
//! - **Open GOPs.** Units that follow a keyframe in the stream but precede it on screen (its *leading* pictures) refer to
//!   the GOP before. When one is wanted, that GOP passes whole; and no GOP goes before the next one's leading pictures
//!   are known. They can't reach back further than that one GOP.
//! - **Presentation order is only known up to a keyframe.** Every picture shown before a keyframe is in the stream before
//!   the first picture that is shown after it. So entries planned before a keyframe are resolved once its leading
//!   pictures are known.

use std::collections::VecDeque;

use crate::plan::Entry;
use crate::time::Nanos;

/// Spacing that is assumed until two pictures are known.
const DEFAULT_FRAME: Nanos = Nanos::from_ms(40);
/// How many spacings the median is taken over.
const SPACINGS: usize = 33;
/// No codec in use reorders pictures further than this.
const REORDER: usize = 17;
/// An entry further from every picture than this, and than so many frames, lies in a hole.
const FAR: Nanos = Nanos::from_ms(500);
const FAR_FRAMES: f64 = 5.0;
/// No more than this from one picture to the next counts as time held.
const LONGEST_STEP: Nanos = Nanos::from_ms(2_000);
/// So many units of an unfinished GOP are worth a look at what can go already.
const ENOUGH: usize = 32;

/// An encoded picture, pushed in decoding order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit<T> {
    /// When it is shown, in the recording's time.
    pub pts: Nanos,
    /// Whether a decoder can start here.
    pub keyframe: bool,
    /// Whether it is shown at all; pictures that only help to decode others, or lie outside the segment, are not.
    pub shown: bool,
    /// Whether no other picture refers to it, so that it can be left out by itself.
    pub droppable: bool,
    /// Whether it is the second field of the picture that the unit before begins, and shares its fate. It is shown with that.
    pub second: bool,
    /// Its size.
    pub bytes: usize,
    /// How long it is shown, if known.
    pub duration: Option<Nanos>,
    /// Whatever the caller wants back.
    pub payload: T,
}

/// What becomes of entries and units, in the order in which it must be carried out.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict<T> {
    /// The picture shown at `pts` serves the entry. Comes before the unit that holds that picture, and before its whole GOP
    /// unless the GOP was too large to be held.
    Serve {
        /// What the plan asked for.
        entry: Entry,
        /// The nearest picture's time.
        pts: Nanos,
    },
    /// The unit goes to the decoder.
    Pass {
        /// What it carried.
        payload: T,
        /// Its picture serves an entry; otherwise it only helps to decode others.
        wanted: bool,
    },
    /// The unit is left out, but those after it go on: nothing refers to it.
    Leave(T),
    /// These units, adjacent in decoding order and the rest of their GOP, are left out.
    Skip {
        /// Earliest time shown among them.
        from: Nanos,
        /// Where the next GOP begins, or where the last of them ends.
        to: Nanos,
        /// What they carried, in decoding order.
        left: Vec<T>,
    },
    /// No picture can serve the entry: it lies more than a frame outside the pictures that are left.
    Miss(Entry),
    /// The entry lies in a hole of the recording, and the picture at its edge is taken already, at that tier or a better one; or it is
    /// an anchor's, of which no picture there shows anything.
    Fold(Entry),
}

/// What has happened so far, never reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Units pushed.
    pub seen: u64,
    /// Units passed.
    pub passed: u64,
    /// Entries served.
    pub served: u64,
    /// Entries that no picture could serve.
    pub missed: u64,
    /// Entries in a hole of which another has the picture.
    pub folded: u64,
    /// Units dropped because no keyframe had come yet.
    pub dropped_before_keyframe: u64,
}

struct Held<T> {
    unit: Unit<T>,
    wanted: Vec<Entry>,
}

struct Gop<T> {
    units: VecDeque<Held<T>>,
    /// Its keyframe's time.
    key: Nanos,
    /// The latest time in it.
    latest: Nanos,
    /// Its first units have gone to the decoder already, because it was too large to be held.
    begun: bool,
}

impl<T> Gop<T> {
    fn leads(&self, held: &Held<T>) -> bool {
        held.unit.pts < self.key
    }
    /// Whether a unit shown after the keyframe has come, so that its leading pictures are all known.
    fn leading_known(&self) -> bool {
        self.units.iter().any(|held| held.unit.pts > self.key)
    }
}

/// A picture that could serve an entry, by its place in the queue.
#[derive(Clone, Copy)]
struct Candidate {
    pts: Nanos,
    duration: Option<Nanos>,
    gop: usize,
    unit: usize,
}

/// Encoded pictures that wait for the plan, and plan entries that wait for pictures.
pub struct GopQueue<T> {
    gops: VecDeque<Gop<T>>,
    /// Entries not resolved yet, in order of time.
    waiting: VecDeque<Entry>,
    /// The GOP before the first one held has been passed to its end, so leading pictures can be decoded.
    before_whole: bool,
    bytes: usize,
    newest: Option<Nanos>,
    /// Where pictures lie further apart than [`LONGEST_STEP`], and by how much.
    steps: VecDeque<(Nanos, Nanos)>,
    spacings: VecDeque<i64>,
    /// The last picture that was let go of was left out, and served an entry.
    left: bool,
    wanted: bool,
    /// No look at an unfinished GOP before it holds so many units.
    enough: usize,
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
            left: false,
            wanted: false,
            enough: ENOUGH,
            stats: Stats::default(),
        }
    }
}

impl<T> GopQueue<T> {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next unit in decoding order. Units before the first keyframe come back: nothing can decode them.
    pub fn push(&mut self, unit: Unit<T>) -> Option<T> {
        self.stats.seen += 1;
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
        let held = Held {
            wanted: Vec::new(),
            unit,
        };
        match self.gops.back_mut() {
            Some(gop) if !held.unit.keyframe => {
                if let Some(first) = gop.units.back_mut()
                    && held.unit.second
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

    /// Asks for the picture nearest to an entry. Entries come in order of time; a late one is put in its place.
    pub fn want(&mut self, entry: Entry) {
        let at = self
            .waiting
            .partition_point(|other| other.planned <= entry.planned);
        self.waiting.insert(at, entry);
    }

    /// Lets go of every GOP that the plan is decided for: every entry planned before `decided_until` has been given to
    /// [`Self::want`].
    pub fn release(&mut self, decided_until: Nanos) -> Vec<Verdict<T>> {
        let mut verdicts = Vec::new();
        while let Some(next) = self.gops.get(1) {
            let known = self.gops.len() > 2 || next.leading_known();
            let horizon = self.horizon();
            if !known || decided_until < horizon {
                break;
            }
            self.let_go(horizon, &mut verdicts);
        }
        verdicts
    }

    /// Lets go of the beginning of a GOP that is still coming, as far as it is sure to pass: with entries known far ahead, less has to be held.
    /// What passes is the same as without. `decided_until` as for [`Self::release`].
    pub fn advance(&mut self, decided_until: Nanos) -> Vec<Verdict<T>> {
        let mut verdicts = Vec::new();
        let long = |gop: &Gop<T>| gop.units.len() >= self.enough;
        if self.gops.len() != 1 || !self.gops.iter().all(long) {
            return verdicts;
        }
        let candidates = self.candidates();
        // All pictures up to this one have come, so that an entry before it has its picture, and one after it none before it.
        let known = candidates.len().checked_sub(REORDER + 1);
        let known = known.map(|at| candidates[at].pts);
        if let Some(known) = known.filter(|known| *known <= decided_until) {
            self.learn_spacing(&candidates);
            self.resolve(&candidates, known, &mut verdicts);
            if let Some(gop) = self.gops.front_mut() {
                let known = gop.units.iter().take_while(|held| held.unit.pts < known);
                let ready = needed(&gop.units).min(known.count());
                let rest = gop.units.split_off(ready);
                let first = std::mem::replace(&mut gop.units, rest);
                gop.begun |= ready > 0;
                self.pass(first, &mut verdicts);
            }
        }
        let left = self.gops.front().map_or(0, |gop| gop.units.len());
        // Longer and longer, so that looking costs little however long the GOP is.
        self.enough = left + left / 4 + ENOUGH;
        verdicts
    }

    /// No unit will come any more: lets go of everything. The next unit must be a keyframe again.
    pub fn finish(&mut self) -> Vec<Verdict<T>> {
        let mut verdicts = Vec::new();
        while !self.gops.is_empty() {
            let horizon = if self.gops.len() > 2 {
                self.horizon()
            } else {
                Nanos::MAX
            };
            self.let_go(horizon, &mut verdicts);
        }
        self.stats.missed += self.waiting.len() as u64;
        verdicts.extend(self.waiting.drain(..).map(Verdict::Miss));
        self.before_whole = false;
        verdicts
    }

    /// The queue holds more than it may: lets go of its oldest part by what is decided so far. Entries that come later for that
    /// part are missed, or served by a picture at most a frame away. Empty only if nothing is held.
    pub fn overflow(&mut self) -> Vec<Verdict<T>> {
        let mut verdicts = Vec::new();
        if self.gops.len() > 1 {
            self.let_go(self.horizon(), &mut verdicts);
        } else {
            self.begin_passing(&mut verdicts);
        }
        verdicts
    }

    /// Forgets all units and entries, and gives back what the units carried, in decoding order; the next unit must be a keyframe again.
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
    /// From the first unit held to the newest picture; where pictures lie more than two seconds apart, two seconds.
    pub fn held_time(&self) -> Nanos {
        let first = self.gops.front().and_then(|gop| gop.units.front());
        let (Some(first), Some(newest)) = (first, self.newest) else {
            return Nanos::ZERO;
        };
        let inside = self.steps.iter().filter(|(at, _)| *at > first.unit.pts);
        let more = inside.fold(Nanos::ZERO, |sum, (_, more)| sum + *more);
        (newest - first.unit.pts - more).max(Nanos::ZERO)
    }
    /// Where the oldest part ends that can go alone: the second GOP's keyframe, or the newest picture if there is one GOP only.
    pub fn oldest_until(&self) -> Option<Nanos> {
        match self.gops.len() {
            0 | 1 => self.newest,
            _ => Some(self.horizon()),
        }
    }
    /// Time of the newest picture since the start or the last flush.
    pub fn newest(&self) -> Option<Nanos> {
        self.newest
    }
    /// Entries that wait for their picture.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }
    /// Whether every picture has come that may be nearest to an entry given so far: no codec in use puts one behind so many later ones.
    pub fn is_settled(&self) -> bool {
        let Some(last) = self.waiting.back() else {
            return true;
        };
        let later = |held: &&Held<T>| held.unit.pts > last.planned;
        let units = self.gops.iter().flat_map(|gop| &gop.units);
        units.filter(later).count() > REORDER
    }
    /// Median time between neighbouring pictures, of late.
    pub fn frame(&self) -> Nanos {
        let mut sorted: Vec<i64> = self.spacings.iter().copied().collect();
        sorted.sort_unstable();
        sorted
            .get(sorted.len() / 2)
            .map_or(DEFAULT_FRAME, |&ns| Nanos::new(ns))
    }
    /// What has happened so far.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Entries before this are resolved with the first GOP: the second one's keyframe, unless a broken stream goes back in time there.
    fn horizon(&self) -> Nanos {
        match (self.gops.front(), self.gops.get(1)) {
            (Some(first), Some(next)) => next.key.max(first.latest + Nanos::new(1)),
            _ => Nanos::MAX,
        }
    }

    /// Resolves the entries before `horizon` and lets go of the first GOP.
    fn let_go(&mut self, horizon: Nanos, verdicts: &mut Vec<Verdict<T>>) {
        let candidates = self.candidates();
        self.learn_spacing(&candidates);
        self.resolve(&candidates, horizon, verdicts);
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
        let needed = if leading_wanted {
            gop.units.len()
        } else {
            needed(&gop.units)
        };
        let rest = gop.units.split_off(needed);
        self.before_whole = rest.is_empty() && (needed > 0 || gop.begun);
        self.enough = ENOUGH;
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

    /// The only GOP held is too large: passes its first half, wanted or not, so that what follows stays decodable.
    fn begin_passing(&mut self, verdicts: &mut Vec<Verdict<T>>) {
        let candidates = self.candidates();
        self.learn_spacing(&candidates);
        let half = |gop: &Gop<T>| gop.units.len().div_ceil(2);
        // Entries for what passes must be resolved now; others as far as no unit to come can be shown before.
        let gone = self.gops.front().and_then(|gop| {
            let passing = gop.units.iter().take(half(gop));
            passing.map(|held| held.unit.pts).max()
        });
        let settled = candidates.len().checked_sub(REORDER);
        let settled = settled.map(|at| candidates[at].pts);
        if let Some(horizon) = gone.max(settled) {
            self.resolve(&candidates, horizon + Nanos::new(1), verdicts);
        }
        let Some(gop) = self.gops.front_mut() else {
            return;
        };
        gop.begun = true;
        let rest = gop.units.split_off(half(gop));
        let first = std::mem::replace(&mut gop.units, rest);
        self.pass(first, verdicts);
    }

    fn pass(&mut self, units: VecDeque<Held<T>>, verdicts: &mut Vec<Verdict<T>>) {
        let mut served: Vec<(Nanos, Entry)> = Vec::new();
        let mut passed = Vec::with_capacity(units.len());
        for held in units {
            let pts = held.unit.pts;
            self.bytes -= held.unit.bytes;
            if !held.unit.second {
                self.wanted = !held.wanted.is_empty();
                self.left = held.unit.droppable && !self.wanted;
            }
            served.extend(held.wanted.into_iter().map(|entry| (pts, entry)));
            let payload = held.unit.payload;
            if self.left {
                passed.push(Verdict::Leave(payload));
            } else {
                self.stats.passed += 1;
                let wanted = self.wanted;
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

    /// Pictures of the first two GOPs that can be shown, in order of time. Later ones can't be nearest to an entry that is
    /// planned before the second GOP's keyframe.
    fn candidates(&self) -> Vec<Candidate> {
        let mut all = Vec::new();
        for (g, gop) in self.gops.iter().take(2).enumerate() {
            for (u, held) in gop.units.iter().enumerate() {
                let decodable = g > 0 || self.before_whole || !gop.leads(held);
                if held.unit.shown && !held.unit.second && decodable {
                    all.push(Candidate {
                        pts: held.unit.pts,
                        duration: held.unit.duration,
                        gop: g,
                        unit: u,
                    });
                }
            }
        }
        all.sort_by_key(|candidate| candidate.pts);
        all
    }

    fn learn_spacing(&mut self, candidates: &[Candidate]) {
        for pair in candidates.windows(2).take(SPACINGS) {
            let spacing = (pair[1].pts - pair[0].pts).get();
            if spacing > 0 {
                self.spacings.push_back(spacing);
            }
        }
        let surplus = self.spacings.len().saturating_sub(SPACINGS);
        self.spacings.drain(..surplus);
    }

    /// Gives every entry before `horizon` to its nearest picture, the earlier of two equally near.
    fn resolve(
        &mut self,
        candidates: &[Candidate],
        horizon: Nanos,
        verdicts: &mut Vec<Verdict<T>>,
    ) {
        let (Some(first), Some(last)) = (candidates.first(), candidates.last()) else {
            return;
        };
        let frame = self.frame();
        let far = FAR.max(frame.scaled(FAR_FRAMES));
        let gap = |pair: Option<&[Candidate]>| {
            pair.map_or(frame, |pair| (pair[1].pts - pair[0].pts).max(frame))
        };
        let before = gap(candidates.windows(2).next());
        let after = gap(candidates.windows(2).last()).max(last.duration.unwrap_or(Nanos::ZERO));
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
            let later = candidates.partition_point(|candidate| candidate.pts < at);
            let nearest = match (later.checked_sub(1), candidates.get(later)) {
                (Some(earlier), Some(next)) => {
                    let earlier = first_of_equals(candidates, earlier);
                    if at.distance(candidates[earlier].pts) <= at.distance(next.pts) {
                        candidates[earlier]
                    } else {
                        *next
                    }
                }
                (Some(earlier), None) => candidates[first_of_equals(candidates, earlier)],
                (None, _) => *first,
            };
            if let Some(held) = self
                .gops
                .get_mut(nearest.gop)
                .and_then(|gop| gop.units.get_mut(nearest.unit))
            {
                let taken = held.wanted.iter().any(|other| other.tier >= entry.tier);
                if (taken || entry.anchor.is_some()) && at.distance(nearest.pts) > far {
                    self.stats.folded += 1;
                    verdicts.push(Verdict::Fold(entry));
                } else {
                    held.wanted.push(entry);
                }
            }
        }
    }
}

/// How many units from the first on must pass. A second field goes with the last one needed, and so do units shown at the same instant
/// (further layers).
fn needed<T>(units: &VecDeque<Held<T>>) -> usize {
    let Some(last) = units.iter().rposition(|held| !held.wanted.is_empty()) else {
        return 0;
    };
    let pts = units[last].unit.pts;
    let more = units
        .iter()
        .skip(last + 1)
        .take_while(|held| held.unit.second || held.unit.pts == pts)
        .count();
    last + 1 + more
}

fn first_of_equals(candidates: &[Candidate], index: usize) -> usize {
    let pts = candidates[index].pts;
    candidates[..index].partition_point(|candidate| candidate.pts < pts)
}

#[cfg(test)]
mod tests;
