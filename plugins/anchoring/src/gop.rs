//! Access units and plan entries -> a verdict for every access unit.
//!
//! A decoder can only start at a keyframe, so what is kept, passed and left out is whole groups of pictures (GOPs): a
//! keyframe and the units that follow it in decoding order. The queue holds the units until the plan is decided around
//! them, finds the picture nearest to each plan entry, and lets through, of each GOP, the keyframe up to the last unit
//! that a chosen picture needs.
//!
//! Two facts about coded video shape the rules:
//!
//! - **Open GOPs.** Units that follow a keyframe in the stream but precede it on screen (its *leading* pictures) refer to
//!   the GOP before. When one is wanted, that GOP passes whole; and no GOP goes before the next one's leading pictures
//!   are known. They can't reach back further than that one GOP.
//! - **Presentation order is only known up to a keyframe.** Every picture shown before a keyframe is in the stream before
//!   the first picture that is shown after it. So entries requested before a keyframe are resolved once its leading
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

/// An encoded picture, pushed in decoding order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit<T> {
    /// When it is shown, in the recording's time.
    pub pts: Nanos,
    /// Whether a decoder can start here.
    pub keyframe: bool,
    /// Whether it is shown at all; pictures that only help to decode others, or lie outside the segment, are not.
    pub shown: bool,
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
    Pass(T),
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
    spacings: VecDeque<i64>,
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
            spacings: VecDeque::new(),
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
        self.newest = Some(self.newest.map_or(unit.pts, |at| at.max(unit.pts)));
        self.bytes += unit.bytes;
        let key = unit.pts;
        let held = Held {
            wanted: Vec::new(),
            unit,
        };
        match self.gops.back_mut() {
            Some(gop) if !held.unit.keyframe => {
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
            .partition_point(|other| other.requested <= entry.requested);
        self.waiting.insert(at, entry);
    }

    /// Lets go of every GOP that the plan is decided for: every entry requested before `decided_until` has been given to
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

    /// Forgets all units and entries; the next unit must be a keyframe again. Statistics stay.
    pub fn flush(&mut self) {
        let stats = self.stats;
        *self = Self {
            stats,
            ..Self::default()
        };
    }

    /// Whether no unit is held.
    pub fn is_empty(&self) -> bool {
        self.gops.is_empty()
    }
    /// Bytes of the units held.
    pub fn held_bytes(&self) -> usize {
        self.bytes
    }
    /// From the first unit held to the newest picture.
    pub fn held_time(&self) -> Nanos {
        let first = self.gops.front().and_then(|gop| gop.units.front());
        match (first, self.newest) {
            (Some(first), Some(newest)) => (newest - first.unit.pts).max(Nanos::ZERO),
            _ => Nanos::ZERO,
        }
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
            served.extend(held.wanted.into_iter().map(|entry| (pts, entry)));
            self.bytes -= held.unit.bytes;
            passed.push(Verdict::Pass(held.unit.payload));
        }
        served.sort_by_key(|(pts, entry)| (entry.requested, *pts));
        self.stats.served += served.len() as u64;
        self.stats.passed += passed.len() as u64;
        verdicts.extend(
            served
                .into_iter()
                .map(|(pts, entry)| Verdict::Serve { entry, pts }),
        );
        verdicts.append(&mut passed);
    }

    /// Pictures of the first two GOPs that can be shown, in order of time. Later ones can't be nearest to an entry that is
    /// requested before the second GOP's keyframe.
    fn candidates(&self) -> Vec<Candidate> {
        let mut all = Vec::new();
        for (g, gop) in self.gops.iter().take(2).enumerate() {
            for (u, held) in gop.units.iter().enumerate() {
                let decodable = g > 0 || self.before_whole || !gop.leads(held);
                if held.unit.shown && decodable {
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
        let gap = |pair: Option<&[Candidate]>| {
            pair.map_or(frame, |pair| (pair[1].pts - pair[0].pts).max(frame))
        };
        let before = gap(candidates.windows(2).next());
        let after = gap(candidates.windows(2).last()).max(last.duration.unwrap_or(Nanos::ZERO));
        while let Some(entry) = self.waiting.pop_front() {
            if entry.requested >= horizon && horizon != Nanos::MAX {
                self.waiting.push_front(entry);
                break;
            }
            let at = entry.requested;
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
                held.wanted.push(entry);
            }
        }
    }
}

/// How many units from the first on must pass. Units shown at the same instant as the last one needed (second fields,
/// further layers) go with it.
fn needed<T>(units: &VecDeque<Held<T>>) -> usize {
    let Some(last) = units.iter().rposition(|held| !held.wanted.is_empty()) else {
        return 0;
    };
    let pts = units[last].unit.pts;
    let more = units
        .iter()
        .skip(last + 1)
        .take_while(|held| held.unit.pts == pts)
        .count();
    last + 1 + more
}

fn first_of_equals(candidates: &[Candidate], index: usize) -> usize {
    let pts = candidates[index].pts;
    candidates[..index].partition_point(|candidate| candidate.pts < pts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Reason;
    use crate::tier::Tier;
    use proptest::prelude::*;

    fn entry(ms: i64) -> Entry {
        Entry {
            requested: Nanos::from_ms(ms),
            tier: Tier::Low,
            tokens: 49,
            reason: Reason::Uniform,
            anchor: None,
        }
    }

    /// The payload is the place in decoding order.
    fn unit(place: usize, ms: i64, keyframe: bool) -> Unit<usize> {
        Unit {
            pts: Nanos::from_ms(ms),
            keyframe,
            shown: true,
            bytes: 10,
            duration: None,
            payload: place,
        }
    }

    fn stream(units: &[(i64, bool)]) -> Vec<Unit<usize>> {
        units
            .iter()
            .enumerate()
            .map(|(place, &(ms, keyframe))| unit(place, ms, keyframe))
            .collect()
    }

    fn run(units: &[(i64, bool)], wanted: &[i64]) -> Vec<Verdict<usize>> {
        let mut queue = GopQueue::new();
        wanted.iter().for_each(|&ms| queue.want(entry(ms)));
        let mut verdicts = Vec::new();
        for unit in stream(units) {
            queue.push(unit);
            verdicts.extend(queue.release(Nanos::MAX));
        }
        verdicts.extend(queue.finish());
        assert_eq!(queue.held_bytes(), 0);
        verdicts
    }

    fn passed(verdicts: &[Verdict<usize>]) -> Vec<usize> {
        verdicts
            .iter()
            .filter_map(|verdict| match verdict {
                Verdict::Pass(place) => Some(*place),
                _ => None,
            })
            .collect()
    }

    fn served(verdicts: &[Verdict<usize>]) -> Vec<(i64, i64)> {
        verdicts
            .iter()
            .filter_map(|verdict| match verdict {
                Verdict::Serve { entry, pts } => {
                    Some((entry.requested.get() / 1_000_000, pts.get() / 1_000_000))
                }
                _ => None,
            })
            .collect()
    }

    const CLOSED: [(i64, bool); 8] = [
        (0, true),
        (40, false),
        (80, false),
        (120, false),
        (160, true),
        (200, false),
        (240, false),
        (280, false),
    ];

    #[test]
    fn a_gop_passes_up_to_the_last_unit_needed() {
        let verdicts = run(&CLOSED, &[81, 190]);
        assert_eq!(passed(&verdicts), [0, 1, 2, 4, 5]);
        assert_eq!(served(&verdicts), [(81, 80), (190, 200)]);
        assert!(verdicts.contains(&Verdict::Skip {
            from: Nanos::from_ms(120),
            to: Nanos::from_ms(160),
            left: vec![3],
        }));
    }

    #[test]
    fn a_tie_goes_to_the_earlier_picture_and_two_entries_may_share_one() {
        let verdicts = run(&CLOSED, &[60, 61, 81]);
        assert_eq!(served(&verdicts), [(60, 40), (61, 80), (81, 80)]);
    }

    #[test]
    fn an_entry_just_before_a_keyframe_takes_the_keyframe() {
        let verdicts = run(&CLOSED, &[150]);
        assert_eq!(served(&verdicts), [(150, 160)]);
        assert_eq!(passed(&verdicts), [4]);
    }

    #[test]
    fn a_wanted_leading_picture_takes_the_gop_before_along() {
        // Shown: 0 40 80 | 120 160(leading) 200(key) 240
        let open = [
            (0, true),
            (80, false),
            (40, false),
            (200, true),
            (120, false),
            (160, false),
            (240, false),
        ];
        let verdicts = run(&open, &[118]);
        assert_eq!(passed(&verdicts), [0, 1, 2, 3, 4]);
        assert_eq!(served(&verdicts), [(118, 120)]);
        let verdicts = run(&open, &[205]);
        assert_eq!(passed(&verdicts), [3]);
    }

    #[test]
    fn leading_pictures_at_the_very_start_serve_nothing() {
        let verdicts = run(
            &[(120, true), (40, false), (80, false), (160, false)],
            &[85],
        );
        assert_eq!(served(&verdicts), [(85, 120)]);
    }

    #[test]
    fn entries_far_outside_are_missed_and_near_ones_served() {
        let verdicts = run(
            &[(1000, true), (1040, false), (1080, false)],
            &[0, 959, 960, 1120, 1121],
        );
        assert_eq!(served(&verdicts), [(960, 1000), (1120, 1080)]);
        let missed: Vec<_> = verdicts
            .iter()
            .filter_map(|verdict| match verdict {
                Verdict::Miss(entry) => Some(entry.requested.get() / 1_000_000),
                _ => None,
            })
            .collect();
        assert_eq!(missed, [0, 959, 1121]);
    }

    #[test]
    fn the_last_picture_serves_as_long_as_it_is_shown() {
        let mut queue = GopQueue::new();
        let mut last = unit(0, 0, true);
        last.duration = Some(Nanos::from_ms(5000));
        queue.push(last);
        queue.want(entry(4900));
        assert_eq!(served(&queue.finish()), [(4900, 0)]);
    }

    #[test]
    fn nothing_goes_before_it_is_decided() {
        let mut queue = GopQueue::new();
        for unit in stream(&CLOSED) {
            queue.push(unit);
        }
        assert_eq!(queue.release(Nanos::from_ms(159)), []);
        assert!(!queue.release(Nanos::from_ms(160)).is_empty());
        assert_eq!(queue.held_bytes(), 40);
    }

    #[test]
    fn a_keyframe_that_goes_back_in_time_takes_nothing_from_the_one_before() {
        let back = [(0, true), (40, false), (120, true), (80, true)];
        assert_eq!(served(&run(&back, &[120])), [(120, 120)]);
        assert_eq!(served(&run(&back, &[121, 150])), [(121, 120), (150, 120)]);
    }

    #[test]
    fn units_before_the_first_keyframe_come_back() {
        let mut queue = GopQueue::new();
        assert_eq!(queue.push(unit(7, 0, false)), Some(7));
        assert_eq!(queue.stats().dropped_before_keyframe, 1);
    }

    #[test]
    fn a_gop_too_large_to_hold_passes_in_parts() {
        let mut queue = GopQueue::new();
        for ms in 0..100 {
            queue.want(entry(ms * 400));
        }
        let mut verdicts = Vec::new();
        for place in 0..1000 {
            queue.push(unit(place, place as i64 * 40, place == 0));
            verdicts.extend(queue.release(Nanos::MAX));
            while queue.held_bytes() > 1000 {
                verdicts.extend(queue.overflow());
            }
        }
        verdicts.extend(queue.finish());
        assert_eq!(served(&verdicts).len(), 100);
        assert!(served(&verdicts).iter().all(|(asked, got)| asked == got));
        assert_eq!(passed(&verdicts), (0..991).collect::<Vec<_>>());
    }

    #[test]
    fn late_entries_are_missed_or_served_within_a_frame() {
        let mut queue = GopQueue::new();
        for unit in stream(&CLOSED) {
            queue.push(unit);
        }
        assert!(!queue.overflow().is_empty());
        queue.want(entry(100));
        queue.want(entry(130));
        let verdicts = queue.finish();
        assert_eq!(served(&verdicts), [(130, 160)]);
        assert_eq!(queue.stats().missed, 1);
    }

    /// A coded stream: GOPs of mini-GOPs with B-frames, open or closed, at a constant or a variable rate, in decoding order.
    fn coded() -> impl Strategy<Value = Vec<Unit<usize>>> {
        let gop = (1usize..12, 0usize..4, any::<bool>());
        (
            prop::collection::vec(gop, 1..8),
            prop::collection::vec(1i64..400, 100),
            0i64..2000,
        )
            .prop_map(|(gops, spacing, first)| {
                // Presentation slots first, then decoding order.
                let mut order: Vec<(usize, bool)> = Vec::new();
                let mut slot = 0;
                for (g, (length, reorder, open)) in gops.into_iter().enumerate() {
                    let leading = if g > 0 && open { reorder } else { 0 };
                    order.push((slot + leading, true));
                    order.extend((slot..slot + leading).map(|at| (at, false)));
                    let mut at = slot + leading + 1;
                    let stop = slot + length.max(leading + 1);
                    while at < stop {
                        let anchor = (at + reorder).min(stop - 1);
                        order.push((anchor, false));
                        order.extend((at..anchor).map(|at| (at, false)));
                        at = anchor + 1;
                    }
                    slot = stop;
                }
                let time = |slot: usize| first + spacing.iter().cycle().take(slot).sum::<i64>();
                order
                    .iter()
                    .enumerate()
                    .map(|(place, &(slot, keyframe))| unit(place, time(slot), keyframe))
                    .collect()
            })
    }

    proptest! {
        #[test]
        fn every_entry_gets_the_nearest_picture_and_all_it_needs(
            units in coded(),
            mut wanted in prop::collection::vec(0i64..30_000, 0..30),
            lag in 0i64..3000,
        ) {
            wanted.sort_unstable();
            let mut queue = GopQueue::new();
            let mut verdicts = Vec::new();
            let mut given = 0;
            for unit in units.clone() {
                // The plan is decided some way behind the pictures.
                let decided = unit.pts - Nanos::from_ms(lag);
                while given < wanted.len() && Nanos::from_ms(wanted[given]) < decided {
                    queue.want(entry(wanted[given]));
                    given += 1;
                }
                prop_assert!(queue.push(unit).is_none());
                verdicts.extend(queue.release(decided));
            }
            wanted[given..].iter().for_each(|&ms| queue.want(entry(ms)));
            verdicts.extend(queue.finish());

            // Everything has one verdict, in decoding order.
            let mut places = Vec::new();
            for verdict in &verdicts {
                match verdict {
                    Verdict::Pass(place) => places.push(*place),
                    Verdict::Skip { left, .. } => places.extend(left),
                    _ => {}
                }
            }
            prop_assert_eq!(places, (0..units.len()).collect::<Vec<_>>());
            prop_assert_eq!(queue.held_bytes(), 0);

            // The nearest picture, announced before it, passed with its GOP from the keyframe on.
            let mut shown: Vec<(i64, usize)> =
                units.iter().map(|unit| (unit.pts.get(), unit.payload)).collect();
            shown.sort_unstable();
            let passed = passed(&verdicts);
            let key_of = |place: usize| (0..=place).rev().find(|&at| units[at].keyframe).unwrap();
            let mut answered = 0;
            let mut so_far = 0;
            for verdict in &verdicts {
                match verdict {
                    Verdict::Pass(_) => so_far += 1,
                    Verdict::Skip { .. } => {}
                    Verdict::Miss(entry) => {
                        answered += 1;
                        let at = entry.requested;
                        prop_assert!(at < units[0].pts || at.get() > shown.last().unwrap().0);
                    }
                    Verdict::Serve { entry, pts } => {
                        answered += 1;
                        let at = entry.requested.get();
                        let best = shown.iter().map(|(pts, _)| (pts.abs_diff(at), *pts)).min().unwrap();
                        prop_assert_eq!(pts.get(), best.1);
                        let place = shown.iter().find(|(time, _)| *time == pts.get()).unwrap().1;
                        prop_assert!(!passed[..so_far].contains(&place));
                        let key = key_of(place);
                        let leading = units[place].pts < units[key].pts;
                        let from = if leading { key_of(key - 1) } else { key };
                        for needed in from..=place {
                            prop_assert!(passed.contains(&needed));
                        }
                    }
                }
            }
            prop_assert_eq!(answered, wanted.len());
        }

        #[test]
        fn memory_is_bounded_and_order_kept_whatever_the_plan_does(
            units in coded(),
            wanted in prop::collection::vec(0i64..30_000, 0..30),
            bound in 10usize..200,
        ) {
            let mut queue = GopQueue::new();
            let mut wanted = wanted.into_iter();
            let mut verdicts = Vec::new();
            let total = units.len();
            for unit in units {
                queue.push(unit);
                wanted.next().into_iter().for_each(|ms| queue.want(entry(ms)));
                while queue.held_bytes() > bound {
                    let freed = queue.overflow();
                    prop_assert!(!freed.is_empty());
                    verdicts.extend(freed);
                }
            }
            verdicts.extend(queue.finish());
            let mut places = Vec::new();
            for verdict in &verdicts {
                match verdict {
                    Verdict::Pass(place) => places.push(*place),
                    Verdict::Skip { left, .. } => places.extend(left),
                    _ => {}
                }
            }
            prop_assert_eq!(places, (0..total).collect::<Vec<_>>());
            prop_assert_eq!(queue.waiting(), 0);
        }
    }
}
