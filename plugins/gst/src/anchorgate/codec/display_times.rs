//! Presentation times for units that have decoding times only, as in AVI files and elementary streams.
//!
//! The decoding times are the instants at which frames are shown; the codec's display order says which frame is shown when: the frame with `n`
//! others before it, in that order, at the `n`th time. In H.264 the order is the picture order count (ITU-T H.264, 8.2.1). In MPEG-1, MPEG-2 and
//! MPEG-4 Part 2 a reference frame is shown when the next one comes (ISO/IEC 13818-2, 6.1.1.11). Elsewhere it is the decoding order.
//!
//! Where units have presentation times, some may lack one: in MPEG program streams the second of two that begin in one packet. It is shown at the
//! first of the decoding times that is left over: each is the presentation time of one unit, but for a constant offset.

use std::collections::VecDeque;

use super::display_order::{DisplayOrder, UnknownOrder};

/// Assumed time from one frame to the next, if unknown.
const FRAME: u64 = 40_000_000;

/// Most units held: no codec in use reorders over more.
const MOST: usize = 64;

/// Most units in a row without a time; more are an error. Second fields have none, nor have the first units of a cut stream.
const MOST_WITHOUT: u32 = 8;

/// Times that differ by less, in nanoseconds, are the same: containers round them.
const SAME: u64 = 1_000_000;

/// Most units between a decoding time and the unit that is shown then.
const MOST_APART: usize = 17;

/// A container's times of a unit, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timestamps {
    /// When it is shown.
    pub pts: Option<u64>,
    /// When it is decoded.
    pub dts: Option<u64>,
    /// How long it lasts.
    pub duration: Option<u64>,
}

impl Timestamps {
    /// From a buffer; `None` for a header that precedes the first frame, as in Theora.
    pub fn of(buffer: &gst::BufferRef) -> Option<Self> {
        let nanos = |time: Option<gst::ClockTime>| time.map(gst::ClockTime::nseconds);
        let stamp = Self {
            pts: nanos(buffer.pts()),
            dts: nanos(buffer.dts()),
            duration: nanos(buffer.duration()),
        };
        let timed = stamp.pts.or(stamp.dts).is_some();
        (timed || !buffer.flags().contains(gst::BufferFlags::HEADER)).then_some(stamp)
    }
}

/// A unit that waits for its time.
#[derive(Debug)]
struct HeldUnit<T> {
    key: i64,
    stamp: Timestamps,
    /// Its presentation time, once that is sure.
    time: Option<u64>,
    /// Whether its place in display order is sure; used among units that have presentation times.
    placed: bool,
    payload: T,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    /// No unit has come.
    #[default]
    Unknown,
    /// Units have presentation times.
    Given,
    /// They have none.
    Derived,
}

/// Units in, units with presentation times out, in the same order. Holds at most 64 units.
#[derive(Debug)]
pub struct DisplayTimes<T> {
    shown: DisplayOrder,
    mode: Mode,
    held: VecDeque<HeldUnit<T>>,
    /// Decoding times without a frame yet.
    times: VecDeque<u64>,
    /// Decoding time of the next unit, if it has none.
    next: u64,
    /// Units in a row without a time.
    without: u32,
    /// The last decoding time given out.
    last: Option<u64>,
    /// How much later real presentation times are than decoding times in display order.
    offset: i64,
    /// Whether some unit's presentation time is not its decoding time: then they are real.
    real: bool,
    /// Presentation times that decoding times lead to and no unit has had yet, and those that units have had too early for that.
    left_over: VecDeque<u64>,
    early: VecDeque<u64>,
}

impl<T> Default for DisplayTimes<T> {
    fn default() -> Self {
        Self {
            shown: DisplayOrder::default(),
            mode: Mode::Unknown,
            held: VecDeque::new(),
            times: VecDeque::new(),
            next: 0,
            without: 0,
            last: None,
            offset: 0,
            real: false,
            left_over: VecDeque::new(),
            early: VecDeque::new(),
        }
    }
}

impl<T> DisplayTimes<T> {
    /// Takes new caps. Held units must have been drained.
    pub fn set_caps(&mut self, caps: &gst::CapsRef) {
        self.flush();
        self.shown.set_caps(caps);
    }

    /// Forgets all units.
    pub fn flush(&mut self) {
        self.mode = Mode::Unknown;
        self.held.clear();
        self.times.clear();
        self.next = 0;
        self.without = 0;
        self.last = None;
        self.offset = 0;
        self.real = false;
        self.left_over.clear();
        self.early.clear();
        self.shown.forget();
    }

    /// Whether the next unit has its time already and need not be taken.
    pub fn passes(&mut self, stamp: Timestamps) -> bool {
        let passes = self.mode == Mode::Given && stamp.pts.is_some() && self.held.is_empty();
        if passes {
            self.without = 0;
            self.note(stamp);
        }
        passes
    }

    /// Pairs a unit's times with those of others.
    fn note(&mut self, stamp: Timestamps) {
        let Some(dts) = stamp.dts else {
            return;
        };
        self.real |= stamp.pts.is_some_and(|pts| pts != dts);
        let leads_to = dts.saturating_add_signed(self.offset);
        pair(&mut self.early, &mut self.left_over, leads_to);
        if let Some(pts) = stamp.pts {
            pair(&mut self.left_over, &mut self.early, pts);
        }
    }

    /// Gives units without a presentation time the first that is left over, until the places of only `left` units are not sure.
    fn settle(&mut self, left: usize) {
        while self.held.iter().filter(|held| !held.placed).count() > left {
            let unplaced = self.held.iter_mut().filter(|held| !held.placed);
            let Some(first) = unplaced.min_by_key(|held| held.key) else {
                return;
            };
            first.placed = true;
            if first.time.is_some() {
                continue;
            }
            let decoded = first.stamp.dts.unwrap_or(0);
            let free = self.left_over.iter().enumerate();
            let free = free.filter(|(_, time)| **time + SAME >= decoded);
            let free = free.min_by_key(|(_, time)| **time).map(|(at, _)| at);
            let free = free.and_then(|at| self.left_over.remove(at));
            first.time = free.or_else(|| Some(decoded.saturating_add_signed(self.offset)));
        }
    }

    /// Takes a unit; gives it back at once if its time is known. Otherwise [`Self::next`] gives it out later.
    ///
    /// # Errors
    /// It has no presentation time, and none can be found.
    pub fn take(
        &mut self,
        stamp: Timestamps,
        unit: &[u8],
        payload: T,
    ) -> Result<Option<T>, UnknownOrder> {
        if self.passes(stamp) {
            return Ok(Some(payload));
        }
        // An AVI file's first unit has a time, and parameter sets.
        let key = self.shown.key(unit);
        if self.mode == Mode::Unknown
            && let Some(pts) = stamp.pts
        {
            let dts = stamp.dts.unwrap_or(pts);
            self.offset = pts.cast_signed() - dts.cast_signed();
            self.next = dts + stamp.duration.unwrap_or(FRAME);
            self.last = Some(dts);
            self.mode = Mode::Given;
            self.note(stamp);
            return Ok(Some(payload));
        }
        let key = match key {
            Err(UnknownOrder::H265 | UnknownOrder::Fields)
                if self.mode != Mode::Derived && self.without < MOST_WITHOUT =>
            {
                self.without += 1;
                if self.held.is_empty() {
                    return Ok(Some(payload));
                }
                // Comes after all that is held.
                self.settle(0);
                i64::MAX
            }
            key => key?,
        };
        if self.mode == Mode::Given && self.real && self.shown.reorder() > 0 {
            self.note(stamp);
            self.held.push_back(HeldUnit {
                key,
                stamp,
                time: stamp.pts,
                placed: false,
                payload,
            });
            let left = match self.held.len() > MOST {
                true => 0,
                false => self.shown.reorder(),
            };
            self.settle(left);
            return Ok(None);
        }
        self.mode = Mode::Derived;
        let time = stamp.dts.unwrap_or(self.next);
        self.next = time + stamp.duration.unwrap_or(FRAME);
        self.times.push_back(time);
        self.held.push_back(HeldUnit {
            key,
            stamp,
            time: None,
            placed: true,
            payload,
        });
        self.show(self.shown.reorder());
        Ok(None)
    }

    /// Assigns times in display order, until only `left` units without a sure position are left.
    fn show(&mut self, left: usize) {
        let waiting = |held: &&mut HeldUnit<T>| held.time.is_none();
        while self.held.iter().filter(|held| held.time.is_none()).count() > left {
            // Give up reordering if the frame that is first in display order never comes.
            let first = match self.held.len() > MOST {
                true => self.held.iter_mut().find(waiting),
                false => self
                    .held
                    .iter_mut()
                    .filter(waiting)
                    .min_by_key(|held| held.key),
            };
            let (Some(first), Some(time)) = (first, self.times.pop_front()) else {
                return;
            };
            if let (Some(pts), Some(dts)) = (first.stamp.pts, first.stamp.dts)
                && pts != dts
            {
                // A real presentation time: in AVI files it equals the decoding time.
                self.offset = pts.cast_signed() - time.cast_signed();
            }
            first.time = Some(time.saturating_add_signed(self.offset));
        }
    }

    /// The next unit, its presentation time once that is sure (with `drain`, as no more come), and a decoding time that grows and never exceeds a
    /// later presentation time: parsers would "correct" anything else.
    pub fn next(&mut self, drain: bool) -> Option<(T, u64, u64)> {
        if self.mode == Mode::Given {
            if drain {
                self.settle(0);
            }
            let time = self.held.front()?.time?;
            let HeldUnit { payload, stamp, .. } = self.held.pop_front()?;
            return Some((payload, time, stamp.dts.unwrap_or(time)));
        }
        if drain {
            self.show(0);
        }
        let time = self.held.front()?.time?;
        let later = self.held.iter().filter_map(|held| held.time).min();
        let unsure = self.times.front().copied();
        let least = later.into_iter().chain(unsure).min().unwrap_or(time);
        let dts = match self.last {
            Some(last) if least > last && time > least => last + (least - last).div_ceil(2),
            _ => least,
        };
        self.last = Some(dts);
        let HeldUnit { payload, .. } = self.held.pop_front()?;
        Some((payload, time, dts))
    }
}

/// Takes a time out of `from`, or puts it into `into` if it is not there.
fn pair(from: &mut VecDeque<u64>, into: &mut VecDeque<u64>, time: u64) {
    match from.iter().position(|other| other.abs_diff(time) <= SAME) {
        Some(at) => drop(from.remove(at)),
        None => {
            if into.len() == MOST_APART {
                into.pop_front();
            }
            into.push_back(time);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_cannot_be_found_may_be_missing_now_and_then() {
        gst::init().unwrap();
        let mut order = DisplayTimes::default();
        order.set_caps(&gst::Caps::new_empty_simple("video/x-h265"));
        let mut take = |pts| {
            order.take(
                Timestamps {
                    pts,
                    ..Timestamps::default()
                },
                &[],
                (),
            )
        };
        for n in 0..100 {
            assert_eq!(take((n % 2 == 0).then_some(n)), Ok(Some(())));
        }
        let missing = (0..20).map(|_| take(None)).find(Result::is_err);
        assert_eq!(missing, Some(Err(UnknownOrder::H265)));
    }

    /// Times of MPEG-2 frames of these types, 40 ms apart in decoding order. `avi`: frames of type `I` have their decoding time as a presentation
    /// time too.
    fn shown(types: &str, avi: bool) -> Vec<u64> {
        gst::init().unwrap();
        let mut order = DisplayTimes::default();
        let caps = gst::Caps::builder("video/mpeg")
            .field("mpegversion", 2i32)
            .build();
        order.set_caps(&caps);
        let mut times = vec![];
        for (n, kind) in types.chars().enumerate() {
            let dts = 40 * n as u64;
            let coded = match kind {
                'I' => 1,
                'P' => 2,
                _ => 3,
            };
            let unit = [0, 0, 1, 0, 0, coded << 3, 0];
            let stamp = Timestamps {
                pts: (avi && kind == 'I').then_some(dts),
                dts: Some(dts),
                duration: Some(40),
            };
            if order.take(stamp, &unit, n).unwrap().is_some() {
                times.push(dts);
            }
            times.extend(std::iter::from_fn(|| order.next(false)).map(|(_, time, _)| time));
        }
        times.extend(std::iter::from_fn(|| order.next(true)).map(|(_, time, _)| time));
        times
    }

    #[test]
    fn a_reference_frame_is_shown_when_the_next_one_comes() {
        for avi in [false, true] {
            assert_eq!(shown("IPPP", avi), [0, 40, 80, 120]);
            assert_eq!(
                shown("IPBBPBBIBB", avi),
                [0, 120, 40, 80, 240, 160, 200, 360, 280, 320]
            );
            let long = "IPBB".to_owned() + &"PBB".repeat(30);
            let times = shown(&long, avi);
            let mut sorted = times.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..94).map(|n| 40 * n).collect::<Vec<_>>());
            assert_eq!(times[91..], [40 * 93, 40 * 91, 40 * 92]);
        }
    }

    /// In display order, what becomes of MPEG-2 frames of these types, 40 ms apart, of which some (by decoding order) lack their presentation time.
    fn completed(types: &str, missing: &[usize]) -> Vec<(usize, u64)> {
        gst::init().unwrap();
        let mut order = DisplayTimes::default();
        let caps = gst::Caps::builder("video/mpeg").field("mpegversion", 2i32);
        order.set_caps(&caps.build());
        let ms = 1_000_000;
        let kinds: Vec<char> = types.chars().collect();
        let mut found = vec![];
        for (n, kind) in kinds.iter().enumerate() {
            let dts = 40 * n as u64 * ms;
            // A reference frame is shown after the others up to the next one.
            let between = kinds[n + 1..]
                .iter()
                .take_while(|kind| **kind == 'B')
                .count();
            let pts = match kind {
                'B' => dts,
                _ => dts + 40 * ms * (between as u64 + 1),
            };
            let unit = [0, 0, 1, 0, 0, if *kind == 'B' { 3 << 3 } else { 2 << 3 }, 0];
            let stamp = Timestamps {
                pts: (!missing.contains(&n)).then_some(pts),
                dts: Some(dts),
                duration: Some(40 * ms),
            };
            let taken = order.passes(stamp) || order.take(stamp, &unit, n).unwrap().is_some();
            if taken {
                found.push((n, pts / ms));
            }
            found.extend(std::iter::from_fn(|| order.next(false)).map(|(n, pts, _)| (n, pts / ms)));
        }
        found.extend(std::iter::from_fn(|| order.next(true)).map(|(n, pts, _)| (n, pts / ms)));
        found
    }

    #[test]
    fn a_missing_time_is_the_one_that_is_left_over() {
        for types in ["PPBBPBBPBBPBBPBB", "PPBPBPPBBBPBPPPBBP"] {
            let whole = completed(types, &[]);
            assert_eq!(whole.len(), types.len());
            for n in 2..types.len() {
                assert_eq!(completed(types, &[n]), whole, "{types} without {n}");
                assert_eq!(
                    completed(types, &[n, n + 1]),
                    whole,
                    "{types} without {n} and the next"
                );
            }
            let most: Vec<usize> = (2..types.len()).filter(|n| n % 4 > 0).collect();
            assert_eq!(completed(types, &most), whole, "{types} without most");
        }
    }

    #[test]
    fn given_times_pass_and_real_ones_set_the_offset() {
        gst::init().unwrap();
        let mut order = DisplayTimes::default();
        order.set_caps(&gst::Caps::new_empty_simple("video/x-vp8"));
        let mut take = |pts, dts| {
            let stamp = Timestamps {
                pts,
                dts,
                duration: None,
            };
            match order.take(stamp, &[], ()).unwrap() {
                Some(()) => pts,
                None => order.next(false).map(|(_, time, _)| time),
            }
        };
        assert_eq!(take(Some(7), Some(5)), Some(7));
        assert_eq!(take(Some(8), None), Some(8));
        assert_eq!(take(None, Some(9)), Some(11));
        assert_eq!(take(Some(14), Some(10)), Some(14));
        assert_eq!(take(None, Some(11)), Some(15));
        assert_eq!(take(None, None), Some(15 + FRAME));
    }
}
