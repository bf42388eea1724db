//! Refuses recordings that are both trained on and held out; compares them by sound, not by name.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::HeldOut;
use super::corpus::Recording;
use crate::failure::Usage;

/// One in this many frames is compared. The frame's own sound decides which, so that a copy or a piece of a recording selects the same ones.
const ONE_IN: u64 = 16;
/// Recordings are the same if they share this share of the shorter one's frames, and at least this many.
const SHARE: f64 = 0.5;
const FEWEST: usize = 5;

/// Hashes of the compared frames. Silent frames are all alike and are left out.
fn sampled(recording: &Recording) -> HashSet<u64> {
    let sounding = recording
        .mel
        .bytes()
        .filter(|frame| frame.chunks_exact(2).any(|band| band != &frame[..2]));
    let hashes = sounding.map(|frame| {
        let mut hasher = DefaultHasher::new();
        frame.hash(&mut hasher);
        hasher.finish()
    });
    hashes.filter(|hash| hash % ONE_IN == 0).collect()
}

/// Refuses held-out recordings that are also trained on or held out twice. Does not recognise re-encoded copies.
///
/// # Errors
/// There is one; the message names both.
pub(super) fn refuse(recordings: &[Recording], held_out: &[HeldOut]) -> Result<(), Usage> {
    if held_out.is_empty() {
        return Ok(());
    }
    let held = held_out.iter().flat_map(|(_, recordings)| recordings);
    let mut before: Vec<(&Recording, usize)> = Vec::new();
    let mut owners: HashMap<u64, Vec<usize>> = HashMap::new();
    for (number, one) in recordings.iter().chain(held).enumerate() {
        let own = sampled(one);
        if number >= recordings.len() {
            let mut shared: HashMap<usize, usize> = HashMap::new();
            for other in own.iter().filter_map(|hash| owners.get(hash)).flatten() {
                *shared.entry(*other).or_default() += 1;
            }
            let least = |all: usize| (SHARE * all.min(own.len()) as f64).max(FEWEST as f64);
            let mut found: Vec<usize> = shared
                .into_iter()
                .filter(|&(other, n)| n as f64 >= least(before[other].1))
                .map(|(other, _)| other)
                .collect();
            found.sort_unstable();
            if let Some(&other) = found.first() {
                let role = if other < recordings.len() {
                    "in the training set"
                } else {
                    "already held out"
                };
                return Err(Usage(format!(
                    "the held-out recording {} has mostly the same sound as {}, which is {role}; hold out other recordings",
                    one.given, before[other].0.given
                )));
            }
        }
        for hash in &own {
            owners.entry(*hash).or_default().push(number);
        }
        before.push((one, own.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::super::sound::Mel;
    use super::*;

    /// Noise, from that frame on.
    fn noise(seed: u64, from: usize, frames: usize) -> Recording {
        let mut random = Random::of(seed, &[]);
        let mut mel = Mel::default();
        for i in 0..from + frames {
            let mut frame = [0.0; 64];
            frame.iter_mut().for_each(|band| *band = random.unit());
            if i >= from {
                mel.push(&frame);
            }
        }
        Recording {
            name: String::new(),
            given: format!("noise {seed}"),
            mel,
            events: Vec::new(),
        }
    }

    #[test]
    fn a_recording_is_recognised_whole_and_in_pieces() {
        let own = [noise(1, 0, 2_000), noise(2, 0, 2_000)];
        let refused = |held: Vec<Recording>| {
            let found = refuse(&own, &[("held".into(), held)]);
            found.err().map(|error| error.to_string())
        };
        assert_eq!(refused(vec![noise(3, 0, 2_000), noise(4, 0, 500)]), None);
        let whole = refused(vec![noise(3, 0, 500), noise(2, 0, 2_000)]);
        assert!(
            whole
                .unwrap()
                .contains("noise 2, which is in the training set")
        );
        let piece = refused(vec![noise(1, 700, 600)]);
        assert!(piece.unwrap().contains("noise 1"));
        let twice = refused(vec![noise(5, 0, 500), noise(5, 0, 500)]);
        assert!(twice.unwrap().contains("already held out"));
    }

    #[test]
    fn silence_is_not_the_same_recording() {
        let mut silent = noise(1, 0, 0);
        (0..3_000).for_each(|_| silent.mel.push(&[0.0; 64]));
        let held = vec![silent.clone(), silent.clone()];
        assert!(refuse(&[silent], &[("held".into(), held)]).is_ok());
    }
}
