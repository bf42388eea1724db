//! The frames to choose from: an even grid over every recording, and some in the window of every anchor. All strategies share one pool.

use anchoring::time::Nanos;

use super::heard::HeardRecording;

/// Interval of the grid, unless that gives too many frames.
const STEP: Nanos = Nanos::from_ms(1000);
/// Most grid frames of all recordings.
const MOST_GRID: i64 = 40_000;
/// Most anchors of a recording that add frames: the most probable.
const MOST_SOUNDS: usize = 5_000;
/// Where frames are taken after an onset, as shares of the rest of the window.
const PLACES: [f64; 4] = [0.1, 0.35, 0.6, 0.85];
/// Frames this close count as one.
const SAME: Nanos = Nanos::from_ms(30);
/// Smallest distance of the last grid frame from the end of the recording.
const END: Nanos = Nanos::from_ms(200);

/// A frame to choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Which recording.
    pub(crate) recording: usize,
    pub(crate) at: Nanos,
    /// Which of the recording's sounds, if it lies in a window.
    pub(crate) sound: Option<usize>,
    /// Rank among the frames of its sound: 0 for the plan's own frame, `usize::MAX` for grid frames.
    pub(crate) rank: usize,
}

/// All candidates, by recording and time.
pub(crate) struct Pool<'a> {
    pub(crate) heard: &'a [HeardRecording],
    pub(crate) candidates: Vec<Candidate>,
    /// Where each recording begins if they are played one after another.
    begins: Vec<i64>,
    /// Length of all recordings together, ns.
    pub(crate) length: i64,
}

impl<'a> Pool<'a> {
    pub(crate) fn new(heard: &'a [HeardRecording]) -> Self {
        let (mut begins, mut length) = (Vec::new(), 0_i64);
        for one in heard {
            begins.push(length);
            length = length.saturating_add(one.duration.get());
        }
        let step = Nanos::new(STEP.get().max(length / MOST_GRID));
        let mut candidates = Vec::new();
        for (recording, one) in heard.iter().enumerate() {
            let mut own = of_recording(recording, one, step);
            own.sort_by_key(|candidate| (candidate.at, candidate.rank));
            candidates.extend(thinned(own));
        }
        Self {
            heard,
            candidates,
            begins,
            length,
        }
    }

    /// A candidate's time if all recordings are played one after another.
    pub(crate) fn position(&self, candidate: usize) -> i64 {
        let candidate = &self.candidates[candidate];
        self.begins[candidate.recording].saturating_add(candidate.at.get())
    }
}

fn of_recording(recording: usize, heard: &HeardRecording, step: Nanos) -> Vec<Candidate> {
    let last = (heard.duration - END).max(Nanos::ZERO);
    // Windows are disjoint, so only the last that begins before a time can hold it.
    let mut by_start: Vec<usize> = (0..heard.sounds.len()).collect();
    by_start.sort_by_key(|row| heard.sounds[*row].start);
    let inside = |at: Nanos| {
        let after = by_start.partition_point(|row| heard.sounds[*row].start <= at);
        let row = *by_start.get(after.checked_sub(1)?)?;
        (at < heard.sounds[row].stop).then_some(row)
    };
    let mut taken = vec![None; heard.sounds.len()];
    for (at, row) in &heard.frames {
        if let Some(taken) = taken.get_mut(*row) {
            taken.get_or_insert(*at);
        }
    }
    let mut all = Vec::new();
    let mut at = Nanos::new(step.get() / 2).min(last);
    while at <= last {
        all.push(Candidate {
            recording,
            at,
            sound: inside(at),
            rank: usize::MAX,
        });
        at = at + step;
    }
    let mut rows: Vec<usize> = (0..heard.sounds.len()).collect();
    rows.sort_by(|a, b| heard.sounds[*b].score.total_cmp(&heard.sounds[*a].score));
    rows.truncate(MOST_SOUNDS);
    for row in rows {
        let sound = &heard.sounds[row];
        let rest = (sound.stop - sound.onset).max(Nanos::ZERO);
        let further = PLACES.map(|share| sound.onset + rest.scaled(share));
        let times = taken[row].into_iter().chain(further);
        for (rank, at) in times.enumerate() {
            all.push(Candidate {
                recording,
                at: at.clamp(Nanos::ZERO, last),
                sound: Some(row),
                rank,
            });
        }
    }
    all
}

/// Without near-duplicates; a sound's own frame is preferred to a grid frame.
fn thinned(sorted: Vec<Candidate>) -> Vec<Candidate> {
    let mut kept: Vec<Candidate> = Vec::with_capacity(sorted.len());
    for candidate in sorted {
        match kept.last_mut() {
            Some(last) if candidate.at - last.at <= SAME => {
                if candidate.rank < last.rank {
                    *last = Candidate {
                        at: last.at,
                        ..candidate
                    };
                }
            }
            _ => kept.push(candidate),
        }
    }
    kept
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::ask::heard::Sound;

    /// A made-up recording with sounds at these seconds.
    pub(in super::super) fn heard(seconds: i64, sounds: &[(i64, f64, &str)]) -> HeardRecording {
        let s = |at: i64| Nanos::from_ms(1000 * at);
        HeardRecording {
            name: "kitchen".into(),
            video: "kitchen.mp4".into(),
            file: "kitchen.h5".into(),
            duration: s(seconds),
            sounds: sounds
                .iter()
                .map(|(at, score, label)| Sound {
                    onset: s(*at),
                    start: s(*at) - Nanos::from_ms(200),
                    stop: s(*at) + Nanos::from_ms(400),
                    score: *score,
                    label: (*label).into(),
                })
                .collect(),
            frames: vec![(
                s(sounds.first().map_or(0, |(at, _, _)| *at)) + Nanos::from_ms(60),
                0,
            )],
        }
    }

    #[test]
    fn candidates_are_in_order_apart_and_inside() {
        let all = [
            heard(20, &[(3, 0.9, "Bell"), (19, 0.4, "Dog")]),
            heard(5, &[]),
        ];
        let pool = Pool::new(&all);
        for pair in pool.candidates.windows(2) {
            let same = pair[0].recording == pair[1].recording;
            assert!(!same || pair[1].at - pair[0].at > SAME, "{pair:?}");
        }
        for candidate in &pool.candidates {
            assert!(candidate.at <= all[candidate.recording].duration - END);
            if let Some(row) = candidate.sound {
                let sound = &all[candidate.recording].sounds[row];
                assert!(sound.start <= candidate.at && candidate.at < sound.stop);
            }
        }
        assert_eq!(pool.length, 25_000_000_000);
        let own = pool
            .candidates
            .iter()
            .filter(|candidate| candidate.sound == Some(0));
        assert_eq!(
            own.clone().count(),
            4,
            "the plan's frame and the first place are one"
        );
        assert!(own.clone().any(|candidate| candidate.rank == 0));
        assert_eq!(
            pool.candidates
                .iter()
                .filter(|candidate| candidate.recording == 1)
                .count(),
            5
        );
    }
}
