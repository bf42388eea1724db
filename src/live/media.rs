//! Watches the encoded pads of one source: whether media arrives, when, and how stream time maps to the wall clock.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gst::prelude::*;
use gstearmark::pads::stream_time;

/// Times that jump back by more than this, or deviate from the others by this much, belong to another stream.
const JUMP: i64 = 10_000_000_000;
/// Encoded frames arrive out of order by less than this.
const REORDER: i64 = 2_000_000_000;
/// Span over which the delay between stream and wall clock is measured.
const SPAN: Duration = Duration::from_secs(60);
/// Number of delays that are kept.
const MOST: usize = 64;
/// Unknown delays: the camera's own, and the network's smallest.
const UNSEEN: Duration = Duration::from_millis(100);

/// Video or audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Encoded frames.
    Video,
    /// Sound.
    Audio,
}

/// The media seen in one attempt.
#[derive(Debug, Default)]
pub(super) struct Media {
    frames: AtomicU64,
    sounds: AtomicU64,
    ended: [AtomicBool; 2],
    times: Mutex<Times>,
}

#[derive(Debug, Default)]
struct Times {
    /// The latest time of either, ns.
    latest: [Option<i64>; 2],
    /// When each last arrived.
    came: [Option<Instant>; 2],
    /// Smallest and largest wall time minus stream time of each second, ns since 1970, the oldest second first.
    offsets: VecDeque<(Instant, i64, i64)>,
    jumped: Option<String>,
    /// The stream's zero by the camera's own clock, ns since 1970, once a second.
    camera: VecDeque<(Instant, i64)>,
}

/// How stream time maps to the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wall {
    /// Wall time of the stream's zero, ns since 1970, by this machine's clock.
    pub(super) zero_ns: i64,
    /// How far that may be off.
    pub(super) uncertainty: Duration,
}

impl Wall {
    /// The wall time of an instant of the stream.
    pub(super) fn at(self, stream_ns: i64) -> i64 {
        self.zero_ns.saturating_add(stream_ns)
    }
}

impl Media {
    /// Watches a pad from now on.
    pub(super) fn watch(self: &Arc<Self>, pad: &gst::Pad, kind: Kind) {
        let media = self.clone();
        pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if info
                .event()
                .is_some_and(|event| event.type_() == gst::EventType::Eos)
            {
                media.ended[kind as usize].store(true, Ordering::Relaxed);
            }
            gst::PadProbeReturn::Ok
        });
        let media = self.clone();
        let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        pad.add_probe(kinds, move |pad, info| {
            let first = match &info.data {
                Some(gst::PadProbeData::Buffer(buffer)) => buffer.pts(),
                Some(gst::PadProbeData::BufferList(list)) => {
                    list.get(0).and_then(|buffer| buffer.pts())
                }
                _ => None,
            };
            let time = first.and_then(|pts| {
                let event = pad.sticky_event::<gst::event::Segment>(0)?;
                let segment = event.segment().downcast_ref::<gst::ClockTime>()?;
                stream_time(segment, pts)
            });
            media.came(kind, time.map(|time| time.get()), Instant::now(), now_ns());
            gst::PadProbeReturn::Ok
        });
    }

    /// Media arrived: its stream time, and when.
    fn came(&self, kind: Kind, time: Option<i64>, at: Instant, wall_ns: i64) {
        match kind {
            Kind::Video => &self.frames,
            Kind::Audio => &self.sounds,
        }
        .fetch_add(1, Ordering::Relaxed);
        let mut times = self.times();
        times.came[kind as usize] = Some(at);
        let Some(time) = time else { return };
        let latest = times.latest[kind as usize].unwrap_or(time);
        times.latest[kind as usize] = Some(latest.max(time));
        let offset = wall_ns.saturating_sub(time);
        let known = times.offsets.iter().map(|&(_, least, _)| least).min();
        let back = latest.saturating_sub(time);
        let ahead = known.map_or(0, |least| least.saturating_sub(offset));
        if (back > REORDER || ahead > JUMP) && times.jumped.is_none() {
            times.jumped = Some(format!(
                "its times jumped from {:.1} s to {:.1} s",
                latest as f64 / 1e9,
                time as f64 / 1e9
            ));
        }
        match times.offsets.back_mut() {
            Some((since, least, most)) if at.duration_since(*since) < Duration::from_secs(1) => {
                *least = offset.min(*least);
                *most = offset.max(*most);
            }
            _ => {
                times.offsets.push_back((at, offset, offset));
            }
        }
        let old = |&(since, ..): &(Instant, i64, i64)| at.duration_since(since) > SPAN;
        while times.offsets.front().is_some_and(old) || times.offsets.len() > MOST {
            times.offsets.pop_front();
        }
    }

    /// Number of encoded frames.
    pub(super) fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// Number of audio buffers.
    pub(super) fn sounds(&self) -> u64 {
        self.sounds.load(Ordering::Relaxed)
    }

    /// Whether media of a kind has ended.
    pub(super) fn ended(&self, kind: Kind) -> bool {
        self.ended[kind as usize].load(Ordering::Relaxed)
    }

    /// Time since media of a kind last arrived; `None` if it never did.
    pub(super) fn quiet(&self, kind: Kind) -> Option<Duration> {
        self.times().came[kind as usize].map(|came| came.elapsed())
    }

    /// Why the media now belongs to another stream, if it does.
    pub(super) fn jumped(&self) -> Option<String> {
        self.times().jumped.clone()
    }

    /// How stream time maps to the wall clock, once media has arrived.
    pub(super) fn wall(&self) -> Option<Wall> {
        let times = self.times();
        let least = times.offsets.iter().map(|&(_, least, _)| least).min()?;
        // A late arrival only shows that something queued on the way.
        let mut mosts: Vec<i64> = times.offsets.iter().map(|&(_, _, most)| most).collect();
        mosts.sort_unstable();
        let usual = mosts[mosts.len() / 2];
        let spread = u64::try_from(usual.saturating_sub(least)).unwrap_or(0);
        Some(Wall {
            zero_ns: least,
            uncertainty: UNSEEN + Duration::from_nanos(spread),
        })
    }

    /// The camera states the stream's zero by its own wall clock, ns since 1970.
    pub(super) fn camera_said(&self, zero_ns: i64) {
        let (now, mut times) = (Instant::now(), self.times());
        let last = times.camera.back();
        if last.is_some_and(|(at, _)| now.duration_since(*at) < Duration::from_secs(1)) {
            return;
        }
        times.camera.push_back((now, zero_ns));
        if times.camera.len() > MOST {
            times.camera.pop_front();
        }
    }

    /// How stream time maps to the camera's wall clock, if it sends that. The median of the last minute: a clock that was set counts once it
    /// has stayed so.
    pub(super) fn camera(&self) -> Option<Wall> {
        let times = self.times();
        let mut all: Vec<i64> = times.camera.iter().map(|(_, zero)| *zero).collect();
        all.sort_unstable();
        let zero_ns = *all.get(all.len() / 2)?;
        let mut off: Vec<u64> = all.iter().map(|zero| zero.abs_diff(zero_ns)).collect();
        off.sort_unstable();
        Some(Wall {
            zero_ns,
            uncertainty: Duration::from_nanos(off[off.len() / 2]),
        })
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The wall clock, ns since 1970.
pub(super) fn now_ns() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    /// Plays one frame per second with the given delays; wall clock = 1000 s + stream time + delay.
    fn played(delays: &[i64]) -> Media {
        let media = Media::default();
        let begun = Instant::now();
        for (k, delay) in (0..).zip(delays) {
            let arrival = k * S + delay;
            let at = begun + Duration::from_nanos(arrival.max(0) as u64);
            media.came(Kind::Video, Some(k * S), at, 1_000 * S + arrival);
        }
        media
    }

    #[test]
    fn the_smallest_delay_places_the_stream_and_the_usual_one_is_the_error() {
        let media = played(&[S / 10, S / 20, S / 10, S / 10]);
        let wall = media.wall().unwrap();
        assert_eq!(wall.at(S), 1_001 * S + S / 20);
        assert_eq!(wall.uncertainty, Duration::from_millis(150));
        assert_eq!(media.frames(), 4);
    }

    #[test]
    fn a_freeze_and_the_burst_after_it_are_no_jump() {
        let media = played(&[0, 0, 5 * S, 4 * S, 3 * S, 2 * S, S, 0, 0]);
        assert_eq!(media.jumped(), None);
        assert!(media.wall().unwrap().uncertainty < Duration::from_secs(3));
    }

    #[test]
    fn times_that_go_back_or_run_ahead_are_another_stream() {
        let media = played(&[0, 0, 0]);
        media.came(Kind::Video, Some(0), Instant::now(), 1_003 * S);
        assert_eq!(media.jumped(), None, "frames come out of order");
        let media = played(&[0; 20]);
        media.came(Kind::Video, Some(0), Instant::now(), 1_020 * S);
        assert_eq!(
            media.jumped().unwrap(),
            "its times jumped from 19.0 s to 0.0 s"
        );
        let media = played(&[0, 0, 0]);
        media.came(Kind::Audio, Some(500 * S), Instant::now(), 1_003 * S);
        assert!(media.jumped().is_some());
    }

    #[test]
    fn a_camera_whose_clock_is_set_counts_once_it_stays_so() {
        let media = Media::default();
        assert_eq!(media.camera(), None);
        for k in 0..10 {
            // More often than it asks.
            let zero = if k < 7 { 5 * S } else { 4_000 * S };
            media.times().camera.push_back((Instant::now(), zero + k));
        }
        media.camera_said(9 * S);
        let camera = media.camera().unwrap();
        assert!((5 * S..6 * S).contains(&camera.zero_ns), "{camera:?}");
        assert!(camera.uncertainty < Duration::from_millis(1));
        assert_eq!(media.times().camera.len(), 10);
    }

    #[test]
    fn memory_is_bounded() {
        let media = played(&[0; 10_000]);
        assert!(media.times().offsets.len() <= MOST);
    }
}
