//! When samples sound: counted on from where they began, whatever their stamps say, until the stamps say that some are missing.
//!
//! Stamps that lag behind the count are believed least: decoders and demuxers step back after a loss, count blocks wrongly, or stamp every
//! buffer with 0. The sound then goes on by its samples, and later stamps are read with that much added. Only two things are
//! taken for an overlap and dropped: samples that were heard already, and what a slow drift of the sound's clock adds up to. So the times
//! of what is heard never go back.

use crate::hearing::mel::RATE;
use crate::time::Nanos;

/// Stamps that differ from the count by no more are jitter.
pub const JITTER: Nanos = Nanos::from_ms(40);
/// A clock that runs fast by no more than [`JITTER`] twice in so long (0.2 %) drifts: the pictures' times are kept to.
const DRIFT: Nanos = Nanos::from_ms(20_000);

/// What becomes of samples that come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// They go on where the last ones ended, but for so many at their beginning that were heard already.
    Follow {
        /// How many to leave out; may be more than there are.
        skip: usize,
        /// By how much their stamp lies before that end, where that is news.
        back: Option<Nanos>,
    },
    /// Something begins here, after so many samples that lie before what was heard already.
    Begin {
        /// When, never before the end of what was heard.
        at: Nanos,
        /// How many to leave out; may be more than there are: then nothing begins yet.
        skip: usize,
        /// Since when nothing was heard, if something was before.
        hole: Option<Nanos>,
    },
}

/// Where the sound has come to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stretch {
    /// The first sample since the sound began or went on after a hole, and how many have been heard since; `None` while nothing sounds.
    running: Option<(Nanos, i64)>,
    /// The end of what was heard last.
    end: Option<Nanos>,
    /// What is added to stamps.
    shift: Nanos,
    /// Since when stamps have not stepped back.
    steady: Nanos,
    /// Stamps mean something new, and nothing has come by them yet.
    entered: bool,
}

impl Stretch {
    /// Samples come that are stamped so. `heard` says whether they repeat what ended so many samples ago, being the last that was heard.
    pub fn arrive(&mut self, stamp: Option<Nanos>, heard: impl FnOnce(usize) -> bool) -> Arrival {
        let follow = |skip, back| Arrival::Follow { skip, back };
        let Some(end) = self.end else {
            return self.begin(stamp.unwrap_or(Nanos::ZERO), 0, None);
        };
        let Some(at) = stamp.map(|stamp| stamp + self.shift) else {
            return match self.running {
                Some(_) => follow(0, None),
                None => self.begin(end, 0, None),
            };
        };
        let by = end - at;
        if self.running.is_none() {
            if self.entered {
                return self.begin(at.max(end), samples(by), (at > end).then_some(end));
            }
            self.shift = self.shift + by.max(Nanos::ZERO);
            return self.begin(at.max(end), 0, (at > end).then_some(end));
        }
        if at - end > JITTER {
            return self.begin(at, 0, Some(end));
        }
        if by <= JITTER {
            return follow(0, None);
        }
        let skip = samples(by);
        let steady = std::mem::replace(&mut self.steady, end);
        let drifts = by <= JITTER + JITTER && end - steady >= DRIFT;
        if drifts || heard(skip) {
            return follow(skip, Some(by));
        }
        self.shift = self.shift + by;
        follow(0, Some(by))
    }

    fn begin(&mut self, at: Nanos, skip: usize, hole: Option<Nanos>) -> Arrival {
        self.running = None;
        self.steady = at;
        Arrival::Begin { at, skip, hole }
    }

    /// So many samples begin or go on, without those that were left out. `at` is where they begin, if they do.
    pub fn hear(&mut self, begin: Option<Nanos>, samples: usize) {
        if samples == 0 {
            return;
        }
        let (start, before) = match (begin, self.running) {
            (None, Some(running)) => running,
            (begin, _) => (begin.or(self.end).unwrap_or(Nanos::ZERO), 0),
        };
        let all = before.saturating_add(i64::try_from(samples).unwrap_or(i64::MAX));
        self.running = Some((start, all));
        self.entered = false;
        self.end = Some(start + length(all));
    }

    /// Upstream says that nothing sounds before `until`. Gives the hole if that is more than jitter, however many such words add up to
    /// it; the sound is interrupted then.
    pub fn silent(&mut self, until: Nanos) -> Option<(Nanos, Nanos)> {
        let (_, end) = self.running.zip(self.end)?;
        let until = until + self.shift;
        (until - end > JITTER).then(|| {
            self.running = None;
            (end, until)
        })
    }

    /// Stamps mean something new from now on. What was heard stays heard.
    pub fn enter(&mut self) {
        self.running = None;
        self.shift = Nanos::ZERO;
        self.entered = true;
    }

    /// Whether something sounds.
    pub fn sounds(&self) -> bool {
        self.running.is_some()
    }
}

/// How many samples last so long, rounded down; none for less than nothing.
fn samples(time: Nanos) -> usize {
    let n = i128::from(time.get().max(0)) * i128::from(RATE) / 1_000_000_000;
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// How long so many samples last.
fn length(samples: i64) -> Nanos {
    let ns = i128::from(samples) * 1_000_000_000 / i128::from(RATE);
    Nanos::new(i64::try_from(ns).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(ms: i64) -> Nanos {
        Nanos::from_ms(ms)
    }

    /// Where each buffer of so many milliseconds begins, by its stamp; none of them repeats anything.
    fn heard(stamped: &[(i64, i64)]) -> Vec<i64> {
        let mut stretch = Stretch::default();
        stamped
            .iter()
            .map(|&(stamp, length)| {
                let before = stretch.end;
                let (begin, skip) = match stretch.arrive(Some(ms(stamp)), |_| false) {
                    Arrival::Follow { skip, .. } => (None, skip),
                    Arrival::Begin { at, skip, .. } => (Some(at), skip),
                };
                let from = begin.or(before).unwrap_or(Nanos::ZERO);
                stretch.hear(begin, (length as usize * 16).saturating_sub(skip));
                from.get() / 1_000_000
            })
            .collect()
    }

    #[test]
    fn jitter_is_no_hole_and_a_hole_is_one() {
        assert_eq!(
            heard(&[(0, 1000), (1020, 980), (5000, 1000)]),
            [0, 1000, 5000]
        );
    }

    #[test]
    fn stamps_that_step_back_let_the_sound_go_on_by_its_samples() {
        // A loss, after which a decoder's stamps step back; then a hole.
        let lost = [(0, 4000), (4960, 320), (4660, 1000), (6660, 1000)];
        assert_eq!(heard(&lost), [0, 4960, 5280, 7280]);
        // Stamps that say nothing, and a clock that runs 2 % fast.
        assert_eq!(heard(&[(0, 500); 4]), [0, 500, 1000, 1500]);
        let fast: Vec<(i64, i64)> = (0..10).map(|i| (980 * i, 1000)).collect();
        assert_eq!(heard(&fast)[9], 9000);
    }

    #[test]
    fn a_slow_drift_keeps_to_the_stamps() {
        let slow: Vec<(i64, i64)> = (0..3600).map(|i| (999 * i, 1000)).collect();
        let last = heard(&slow)[3599];
        assert!((last - 999 * 3599).abs() <= 80, "{last}");
    }

    #[test]
    fn what_was_heard_already_is_dropped() {
        let mut stretch = Stretch::default();
        stretch.arrive(Some(ms(0)), |_| false);
        stretch.hear(Some(ms(0)), 16_000);
        let again = stretch.arrive(Some(ms(500)), |by| by == 8_000);
        let back = Some(ms(500));
        assert_eq!(again, Arrival::Follow { skip: 8_000, back });
        // What a new segment says of times before is left out as well.
        stretch.enter();
        let at = ms(1000);
        let hole = None;
        let anew = stretch.arrive(Some(ms(200)), |_| false);
        assert_eq!(
            anew,
            Arrival::Begin {
                at,
                skip: 12_800,
                hole
            }
        );
    }

    #[test]
    fn short_gaps_add_up() {
        let mut stretch = Stretch::default();
        assert_eq!(stretch.silent(ms(1000)), None);
        stretch.hear(Some(ms(0)), 16_000);
        let gaps: Vec<_> = (1..=4).map(|i| stretch.silent(ms(1000 + 20 * i))).collect();
        assert_eq!(gaps, [None, None, Some((ms(1000), ms(1060))), None]);
        assert!(!stretch.sounds());
    }

    proptest! {
        #[test]
        fn times_never_go_back(
            buffers in prop::collection::vec((any::<Option<i64>>(), 0usize..50_000, any::<bool>(), 0u8..10), 1..60),
        ) {
            let mut stretch = Stretch::default();
            let mut end = None;
            for (stamp, count, repeats, odd) in buffers {
                match odd {
                    0 => stretch.enter(),
                    1 => drop(stretch.silent(Nanos::new(stamp.unwrap_or(0)))),
                    _ => {}
                }
                let stamp = stamp.map(|ns| Nanos::new(if odd < 5 { ns } else { ns % 10_000_000_000 }));
                let (begin, skip) = match stretch.arrive(stamp, |_| repeats) {
                    Arrival::Follow { skip, .. } => (None, skip),
                    Arrival::Begin { at, skip, .. } => (Some(at), skip),
                };
                if let (Some(at), Some(end)) = (begin, end) {
                    prop_assert!(at >= end);
                }
                stretch.hear(begin, count.saturating_sub(skip));
                prop_assert!(stretch.end >= end);
                end = stretch.end;
            }
        }
    }
}
