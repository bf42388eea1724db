//! The time of samples: counts samples, and restarts only where timestamps prove that samples are missing.
//!
//! Timestamps that fall behind the count are not trusted: decoders and demuxers step back after a loss, miscount blocks, or stamp every buffer
//! with 0. The count continues, and later timestamps are shifted by the difference. Only two things count as an overlap and are dropped:
//! repeated samples, and the sum of a slow clock drift. So times never go back.

use crate::hearing::mel::RATE;
use crate::time::Nanos;

/// Timestamps that differ from the count by at most this much are jitter.
pub const JITTER: Nanos = Nanos::from_ms(40);
/// Two steps back of up to twice [`JITTER`], at least this far apart (0.2 %), are clock drift: the sound then follows
/// the timestamps, which the video follows too.
const DRIFT: Nanos = Nanos::from_ms(20_000);

/// What to do with samples that arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// They continue where the last ones ended.
    Follow {
        /// How many samples to drop because they were heard before; may exceed the number of samples.
        skip: usize,
        /// How far the timestamp lies before the end of the last samples; `None` unless this is new.
        back: Option<Nanos>,
    },
    /// A new stretch of sound begins.
    Begin {
        /// When it begins; never before the end of what was heard.
        at: Nanos,
        /// How many samples to drop because they were heard before; if this exceeds the number of samples, nothing begins yet.
        skip: usize,
        /// The end of the stretch before, if samples are missing since then.
        missing_since: Option<Nanos>,
    },
}

/// Counts samples, and decides how far to trust timestamps.
#[derive(Clone, Copy, Debug, Default)]
pub struct SampleClock {
    /// Start of the current stretch and the samples heard since; `None` while there is no sound.
    running: Option<(Nanos, i64)>,
    /// The end of what was heard last.
    end: Option<Nanos>,
    /// Added to every timestamp.
    shift: Nanos,
    /// When timestamps last stepped back, or the start of the stretch.
    steady: Nanos,
    /// A new segment has begun, and nothing of it has been heard.
    in_new_segment: bool,
}

impl SampleClock {
    /// Samples arrive with this timestamp. `repeats(n)` says whether they repeat the last `n` samples that were
    /// heard.
    pub fn arrive(&mut self, stamp: Option<Nanos>, repeats: impl FnOnce(usize) -> bool) -> Arrival {
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
            if self.in_new_segment {
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
        if drifts || repeats(skip) {
            return follow(skip, Some(by));
        }
        self.shift = self.shift + by;
        follow(0, Some(by))
    }

    fn begin(&mut self, at: Nanos, skip: usize, missing_since: Option<Nanos>) -> Arrival {
        self.running = None;
        self.steady = at;
        Arrival::Begin {
            at,
            skip,
            missing_since,
        }
    }

    /// Counts samples, without those that were dropped. `begin` is the start of a new stretch, as [`Arrival::Begin`]
    /// gave it.
    pub fn advance(&mut self, begin: Option<Nanos>, samples: usize) {
        if samples == 0 {
            return;
        }
        let (start, before) = match (begin, self.running) {
            (None, Some(running)) => running,
            (begin, _) => (begin.or(self.end).unwrap_or(Nanos::ZERO), 0),
        };
        let all = before.saturating_add(i64::try_from(samples).unwrap_or(i64::MAX));
        self.running = Some((start, all));
        self.in_new_segment = false;
        self.end = Some(start + length(all));
    }

    /// Upstream announces that there is no sound before `until`. Returns the stretch without sound if it exceeds jitter, also if several
    /// announcements add up to it; this interrupts the sound.
    pub fn no_sound_until(&mut self, until: Nanos) -> Option<(Nanos, Nanos)> {
        let (_, end) = self.running.zip(self.end)?;
        let until = until + self.shift;
        (until - end > JITTER).then(|| {
            self.running = None;
            (end, until)
        })
    }

    /// A new segment: timestamps restart; sound heard before still counts as heard.
    pub fn new_segment(&mut self) {
        self.running = None;
        self.shift = Nanos::ZERO;
        self.in_new_segment = true;
    }

    /// Whether the clock is inside a stretch of sound.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }
}

/// Samples in this time, rounded down; 0 for a negative time.
fn samples(time: Nanos) -> usize {
    let n = i128::from(time.get().max(0)) * i128::from(RATE) / 1_000_000_000;
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// The duration of this many samples.
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

    /// Start of each buffer in ms, given its timestamp and length in ms; no buffer repeats anything.
    fn heard(stamped: &[(i64, i64)]) -> Vec<i64> {
        let mut clock = SampleClock::default();
        stamped
            .iter()
            .map(|&(stamp, length)| {
                let before = clock.end;
                let (begin, skip) = match clock.arrive(Some(ms(stamp)), |_| false) {
                    Arrival::Follow { skip, .. } => (None, skip),
                    Arrival::Begin { at, skip, .. } => (Some(at), skip),
                };
                let from = begin.or(before).unwrap_or(Nanos::ZERO);
                clock.advance(begin, (length as usize * 16).saturating_sub(skip));
                from.get() / 1_000_000
            })
            .collect()
    }

    #[test]
    fn jitter_is_ignored_and_missing_samples_are_not() {
        assert_eq!(
            heard(&[(0, 1000), (1020, 980), (5000, 1000)]),
            [0, 1000, 5000]
        );
    }

    #[test]
    fn after_a_step_back_sound_continues_by_its_samples() {
        // A loss after which a decoder's timestamps step back; then missing samples.
        let lost = [(0, 4000), (4960, 320), (4660, 1000), (6660, 1000)];
        assert_eq!(heard(&lost), [0, 4960, 5280, 7280]);
        // Timestamps that are all 0, and a clock that runs 2 % fast.
        assert_eq!(heard(&[(0, 500); 4]), [0, 500, 1000, 1500]);
        let fast: Vec<(i64, i64)> = (0..10).map(|i| (980 * i, 1000)).collect();
        assert_eq!(heard(&fast)[9], 9000);
    }

    #[test]
    fn a_slow_drift_follows_the_timestamps() {
        let slow: Vec<(i64, i64)> = (0..3600).map(|i| (999 * i, 1000)).collect();
        let last = heard(&slow)[3599];
        assert!((last - 999 * 3599).abs() <= 80, "{last}");
    }

    #[test]
    fn repeated_sound_is_dropped() {
        let mut clock = SampleClock::default();
        clock.arrive(Some(ms(0)), |_| false);
        clock.advance(Some(ms(0)), 16_000);
        let again = clock.arrive(Some(ms(500)), |by| by == 8_000);
        let back = Some(ms(500));
        assert_eq!(again, Arrival::Follow { skip: 8_000, back });
        // Sound that a new segment repeats is dropped as well.
        clock.new_segment();
        let at = ms(1000);
        let missing_since = None;
        let anew = clock.arrive(Some(ms(200)), |_| false);
        assert_eq!(
            anew,
            Arrival::Begin {
                at,
                skip: 12_800,
                missing_since
            }
        );
    }

    #[test]
    fn short_gaps_add_up() {
        let mut clock = SampleClock::default();
        assert_eq!(clock.no_sound_until(ms(1000)), None);
        clock.advance(Some(ms(0)), 16_000);
        let gaps: Vec<_> = (1..=4)
            .map(|i| clock.no_sound_until(ms(1000 + 20 * i)))
            .collect();
        assert_eq!(gaps, [None, None, Some((ms(1000), ms(1060))), None]);
        assert!(!clock.is_running());
    }

    proptest! {
        #[test]
        fn times_never_go_back(
            buffers in prop::collection::vec((any::<Option<i64>>(), 0usize..50_000, any::<bool>(), 0u8..10), 1..60),
        ) {
            let mut clock = SampleClock::default();
            let mut end = None;
            for (stamp, count, repeats, odd) in buffers {
                match odd {
                    0 => clock.new_segment(),
                    1 => drop(clock.no_sound_until(Nanos::new(stamp.unwrap_or(0)))),
                    _ => {}
                }
                let stamp = stamp.map(|ns| Nanos::new(if odd < 5 { ns } else { ns % 10_000_000_000 }));
                let (begin, skip) = match clock.arrive(stamp, |_| repeats) {
                    Arrival::Follow { skip, .. } => (None, skip),
                    Arrival::Begin { at, skip, .. } => (Some(at), skip),
                };
                if let (Some(at), Some(end)) = (begin, end) {
                    prop_assert!(at >= end);
                }
                clock.advance(begin, count.saturating_sub(skip));
                prop_assert!(clock.end >= end);
                end = clock.end;
            }
        }
    }
}
