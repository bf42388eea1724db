//! Chooses frames from the pool, by strategy. Every strategy returns exactly the number of frames wanted, so all cost the same.

use std::collections::HashMap;

use anyhow::bail;

use super::pool::Pool;
use super::sounds::{Sounds, Words};
use crate::cli::Sampling;
use crate::eval::bootstrap::Random;

/// AKS: a stretch is not halved if its best scores exceed its mean by this much.
const STANDS_OUT: f64 = 0.8;
/// AKS: most halvings of a stretch.
const DEEPEST: u32 = 5;
/// BOLT: the power that sharpens scores.
const SHARPNESS: i32 = 3;
/// Labels whose fit is at least this share of the best count as meant, too.
const ALSO: f64 = 0.5;

/// How well each anchor fits a question, by recording.
pub(crate) struct AnchorFits {
    by_sound: Vec<Vec<f64>>,
    best: f64,
}

impl AnchorFits {
    pub(crate) fn new(pool: &Pool<'_>, sounds: &Sounds, question: &str) -> Self {
        let words = Words::of(question);
        Self::of_sounds(pool, |label| sounds.fit(&words, label))
    }

    /// From how well each label fits, at least 0.
    pub(super) fn of_sounds(pool: &Pool<'_>, fit: impl Fn(&str) -> f64) -> Self {
        let by_sound: Vec<Vec<f64>> = pool
            .heard
            .iter()
            .map(|heard| heard.sounds.iter().map(|sound| fit(&sound.label)).collect())
            .collect();
        let best = by_sound.iter().flatten().copied().fold(0.0, f64::max);
        Self { by_sound, best }
    }

    /// Whether any label fits.
    pub(crate) fn any(&self) -> bool {
        self.best > 0.0
    }

    /// The fit of one sound.
    pub(crate) fn of(&self, recording: usize, sound: usize) -> f64 {
        self.by_sound[recording][sound]
    }

    /// The fit of one sound relative to the best, 0 to 1.
    pub(crate) fn share(&self, recording: usize, sound: usize) -> f64 {
        match self.any() {
            true => self.of(recording, sound) / self.best,
            false => 0.0,
        }
    }

    /// A score for each candidate, 0 to 1: how well its sound fits, times how probable it is.
    pub(crate) fn scores(&self, pool: &Pool<'_>) -> Vec<f64> {
        pool.candidates
            .iter()
            .map(|candidate| match candidate.sound {
                Some(row) => {
                    let sound = &pool.heard[candidate.recording].sounds[row];
                    self.share(candidate.recording, row) * sound.score
                }
                None => 0.0,
            })
            .collect()
    }
}

/// Chooses `n` frames, as indices of candidates in order of time. `localized`: candidates with the
/// score of a localizer, a localizer head or a dual encoder.
///
/// # Errors
/// There are fewer candidates than that.
pub(crate) fn choose(
    sampling: Sampling,
    pool: &Pool<'_>,
    fits: &AnchorFits,
    n: usize,
    seed: u64,
    localized: &[(usize, f64)],
) -> anyhow::Result<Vec<usize>> {
    let there = pool.candidates.len();
    if there < n {
        bail!(
            "{n} frames are wanted, but the recording has only {there} to choose from: use fewer --tokens or another --tier"
        );
    }
    let mut chosen = match sampling {
        Sampling::Uniform => at_times(pool, (0..n).map(|i| even(pool.length, i, n))),
        Sampling::Random => {
            let mut random = Random(seed);
            at_times(
                pool,
                (0..n).map(|_| random.below(pool.length.max(1) as usize) as i64),
            )
        }
        Sampling::Anchors => by_sound(pool, n, |_, _| 0.0),
        Sampling::Matched => by_sound(pool, n, |recording, row| fits.of(recording, row)),
        Sampling::Shifted => {
            let matched = by_sound(pool, n, |recording, row| fits.of(recording, row));
            let shifted = matched
                .iter()
                .map(|at| pool.position(*at).saturating_add(pool.length / 2) % pool.length.max(1));
            at_times(pool, shifted.collect::<Vec<_>>().into_iter())
        }
        Sampling::Localizer | Sampling::LocalizerHead | Sampling::ImageText => {
            let mut best = localized.to_vec();
            best.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            best.into_iter().take(n).map(|(at, _)| at).collect()
        }
        Sampling::Aks => aks(&fits.scores(pool), n),
        Sampling::Bolt => bolt(&fits.scores(pool), n),
    };
    // A strategy that finds fewer frames adds even ones.
    let mut taken = vec![false; there];
    chosen.retain(|at| !std::mem::replace(&mut taken[*at], true));
    let mut more = 0;
    while chosen.len() < n {
        let at = nearest(pool, &taken, even(pool.length, more, n));
        let Some(at) = at else { break };
        taken[at] = true;
        chosen.push(at);
        more += 1;
    }
    chosen.truncate(n);
    chosen.sort_unstable();
    Ok(chosen)
}

/// The candidates for a localizer: one for each anchor, the most probable first, then even ones.
pub(crate) fn for_localizer(pool: &Pool<'_>, most: usize) -> Vec<usize> {
    let n = most.min(pool.candidates.len());
    let mut all: Vec<usize> = firsts(pool).into_iter().map(|(_, _, at)| at).collect();
    all.truncate(n);
    let mut taken = vec![false; pool.candidates.len()];
    for at in &all {
        taken[*at] = true;
    }
    let left = n - all.len();
    for i in 0..left {
        if let Some(at) = nearest(pool, &taken, even(pool.length, i, left)) {
            taken[at] = true;
            all.push(at);
        }
    }
    all.sort_unstable();
    all
}

/// The candidate furthest from all chosen ones.
pub(crate) fn furthest(pool: &Pool<'_>, chosen: &[usize]) -> Option<usize> {
    let apart = |at: usize| {
        let own = pool.position(at);
        chosen
            .iter()
            .map(|other| own.abs_diff(pool.position(*other)))
            .min()
            .unwrap_or(u64::MAX)
    };
    (0..pool.candidates.len())
        .filter(|at| !chosen.contains(at) && pool.candidates[*at].sound.is_none())
        .max_by_key(|at| (apart(*at), std::cmp::Reverse(*at)))
}

/// The i-th of n even times.
fn even(length: i64, i: usize, n: usize) -> i64 {
    ((i128::from(length) * (2 * i as i128 + 1)) / (2 * n.max(1) as i128)) as i64
}

/// The free candidate nearest to a position.
fn nearest(pool: &Pool<'_>, taken: &[bool], position: i64) -> Option<usize> {
    let free = (0..taken.len()).filter(|at| !taken[*at]);
    free.min_by_key(|at| (pool.position(*at).abs_diff(position), *at))
}

fn at_times(pool: &Pool<'_>, times: impl Iterator<Item = i64>) -> Vec<usize> {
    let mut taken = vec![false; pool.candidates.len()];
    let mut chosen = Vec::new();
    for time in times {
        if let Some(at) = nearest(pool, &taken, time) {
            taken[at] = true;
            chosen.push(at);
        }
    }
    chosen
}

/// The first candidate of each sound, with recording and sound, the most probable sound first.
fn firsts(pool: &Pool<'_>) -> Vec<(usize, usize, usize)> {
    let mut first: std::collections::BTreeMap<(usize, usize), usize> =
        std::collections::BTreeMap::new();
    for (at, candidate) in pool.candidates.iter().enumerate() {
        if let Some(row) = candidate.sound {
            let best = first.entry((candidate.recording, row)).or_insert(at);
            if candidate.rank < pool.candidates[*best].rank {
                *best = at;
            }
        }
    }
    let mut all: Vec<_> = first
        .into_iter()
        .map(|((recording, row), at)| (recording, row, at))
        .collect();
    let score = |recording: usize, row: usize| pool.heard[recording].sounds[row].score;
    all.sort_by(|a, b| {
        score(b.0, b.1)
            .total_cmp(&score(a.0, a.1))
            .then(a.2.cmp(&b.2))
    });
    all
}

/// One frame of each sound in turn, best fit first; second frames only once every meant sound has one.
fn by_sound(pool: &Pool<'_>, n: usize, fit: impl Fn(usize, usize) -> f64) -> Vec<usize> {
    let mut sounds = firsts(pool);
    let best = sounds
        .iter()
        .map(|(recording, row, _)| fit(*recording, *row))
        .fold(0.0, f64::max);
    sounds.sort_by(|a, b| fit(b.0, b.1).total_cmp(&fit(a.0, a.1)));
    let is_meant = |recording: usize, row: usize| best == 0.0 || fit(recording, row) >= ALSO * best;
    let (meant, others): (Vec<_>, Vec<_>) = sounds
        .into_iter()
        .partition(|(recording, row, _)| is_meant(*recording, *row));
    let by_sound = frames_of_sounds(pool);
    let mut chosen = Vec::new();
    for group in [meant, others] {
        let frames: Vec<&Vec<usize>> = group
            .iter()
            .filter_map(|(recording, row, _)| by_sound.get(&(*recording, *row)))
            .collect();
        let most = frames.iter().map(|own| own.len()).max().unwrap_or(0);
        for turn in 0..most {
            for own in &frames {
                if let Some(at) = own.get(turn).filter(|_| chosen.len() < n) {
                    chosen.push(*at);
                }
            }
        }
    }
    chosen
}

/// The candidates of each sound: those after its onset, best first; then those before it.
fn frames_of_sounds(pool: &Pool<'_>) -> HashMap<(usize, usize), Vec<usize>> {
    let mut all: HashMap<(usize, usize), Vec<usize>> = HashMap::new();
    for (at, candidate) in pool.candidates.iter().enumerate() {
        if let Some(row) = candidate.sound {
            all.entry((candidate.recording, row)).or_default().push(at);
        }
    }
    for ((recording, row), own) in &mut all {
        let onset = pool.heard[*recording].sounds[*row].onset;
        own.sort_by_key(|at| {
            let candidate = &pool.candidates[*at];
            (candidate.at < onset, candidate.rank, candidate.at)
        });
    }
    all
}

/// Adaptive keyframe sampling (Tang et al., CVPR 2025): halves stretches until their best scores stand out; each gets frames according to its
/// depth.
fn aks(scores: &[f64], n: usize) -> Vec<usize> {
    let top = scores.iter().copied().fold(f64::MIN, f64::max);
    let low = scores.iter().copied().fold(f64::MAX, f64::min);
    let spread = if top > low { top - low } else { 1.0 };
    let normal: Vec<f64> = scores.iter().map(|score| (score - low) / spread).collect();
    let deepest = DEEPEST.min(n.max(1).ilog2());
    let mut leaves = Vec::new();
    let mut open = vec![(0, normal.len(), 0_u32)];
    while let Some((from, to, depth)) = open.pop() {
        let part = &normal[from..to];
        let mut best = part.to_vec();
        best.sort_by(|a, b| b.total_cmp(a));
        best.truncate(n);
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let stands_out = mean(&best) - mean(part) > STANDS_OUT;
        if stands_out || depth >= deepest || part.len() < 2 {
            leaves.push((from, to, depth));
        } else {
            let middle = from + part.len() / 2;
            open.push((from, middle, depth + 1));
            open.push((middle, to, depth + 1));
        }
    }
    let ordered = |from: usize, to: usize| {
        let mut own: Vec<usize> = (from..to).collect();
        own.sort_by(|a, b| normal[*b].total_cmp(&normal[*a]).then(a.cmp(b)));
        own
    };
    let mut chosen = Vec::new();
    for (from, to, depth) in leaves {
        chosen.extend(ordered(from, to).into_iter().take(n >> depth));
    }
    // The best of the rest fill the remaining places.
    for at in ordered(0, normal.len()) {
        if chosen.len() >= n {
            break;
        }
        if !chosen.contains(&at) {
            chosen.push(at);
        }
    }
    chosen
}

/// Inverse transform sampling of sharpened scores at even quantiles (BOLT, CVPR 2025).
fn bolt(scores: &[f64], n: usize) -> Vec<usize> {
    let top = scores.iter().copied().fold(f64::MIN, f64::max);
    let low = scores.iter().copied().fold(f64::MAX, f64::min);
    let weight = |score: f64| {
        if top > low {
            ((score - low) / (top - low)).powi(SHARPNESS)
        } else {
            1.0
        }
    };
    let sum: f64 = scores.iter().map(|score| weight(*score)).sum();
    let mut taken = vec![false; scores.len()];
    let mut chosen = Vec::new();
    for i in 0..n {
        let wanted = (i as f64 + 0.5) / n as f64 * sum;
        let mut reached = 0.0;
        let at = scores.iter().position(|score| {
            reached += weight(*score);
            reached >= wanted
        });
        let at = at.unwrap_or(scores.len() - 1);
        // If a frame is taken already, its free neighbour replaces it.
        let free = (0..scores.len())
            .filter(|other| !taken[*other])
            .min_by_key(|other| (other.abs_diff(at), *other));
        if let Some(at) = free {
            taken[at] = true;
            chosen.push(at);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::super::pool::tests::heard;
    use super::*;

    fn chosen(sampling: Sampling, question: &str, n: usize) -> (Vec<f64>, Vec<Option<usize>>) {
        let all = [heard(
            60,
            &[(10, 0.6, "Bell"), (25, 0.9, "Dog"), (48, 0.8, "Dog")],
        )];
        let pool = Pool::new(&all);
        let fits = AnchorFits::new(&pool, &Sounds::read(None).unwrap(), question);
        let localized: Vec<_> = for_localizer(&pool, 32)
            .into_iter()
            .map(|at| (at, -(pool.candidates[at].at.seconds() - 25.0).abs()))
            .collect();
        let chosen = choose(sampling, &pool, &fits, n, 7, &localized).unwrap();
        let of = |at: &usize| pool.candidates[*at];
        (
            chosen.iter().map(|at| of(at).at.seconds()).collect(),
            chosen.iter().map(|at| of(at).sound).collect(),
        )
    }

    #[test]
    fn every_strategy_gives_exactly_as_many_frames_in_order() {
        for sampling in Sampling::value_variants() {
            for n in [1, 2, 4, 7, 32] {
                let (times, _) = chosen(*sampling, "What did the bell say?", n);
                assert_eq!(times.len(), n, "{}", sampling.name());
                assert!(
                    times.windows(2).all(|pair| pair[0] < pair[1]),
                    "{} {times:?}",
                    sampling.name()
                );
            }
        }
    }

    #[test]
    fn strategies_choose_what_their_names_say() {
        let question = "Which code was shown when the dog barked?";
        assert_eq!(
            chosen(Sampling::Uniform, question, 4).0,
            [7.5, 22.5, 37.5, 52.5]
        );
        let (_, sounds) = chosen(Sampling::Matched, question, 4);
        assert_eq!(sounds, [Some(1), Some(1), Some(2), Some(2)]);
        assert_eq!(
            chosen(Sampling::Anchors, question, 3).1,
            [Some(0), Some(1), Some(2)]
        );
        // No label fits, so all anchors are equal.
        assert_eq!(
            chosen(Sampling::Matched, "xyzzy", 3).1,
            [Some(0), Some(1), Some(2)]
        );
        assert!(
            chosen(Sampling::Shifted, question, 4)
                .1
                .iter()
                .all(Option::is_none)
        );
        assert!(
            chosen(Sampling::Localizer, question, 2)
                .0
                .iter()
                .all(|at| (at - 25.0).abs() < 2.0)
        );
        // The best scores stand out, so AKS does not divide; BOLT spreads its frames.
        let of_dogs = |sampling| {
            let (_, sounds) = chosen(sampling, question, 4);
            [1, 2].map(|dog| sounds.iter().filter(|sound| **sound == Some(dog)).count())
        };
        assert_eq!(of_dogs(Sampling::Aks), [4, 0]);
        assert!(of_dogs(Sampling::Bolt).iter().all(|n| *n > 0));
        assert_eq!(
            chosen(Sampling::Random, question, 4),
            chosen(Sampling::Random, question, 4)
        );
    }

    #[test]
    fn a_far_frame_is_far_and_silent() {
        let all = [heard(60, &[(10, 0.6, "Bell")])];
        let pool = Pool::new(&all);
        let near = for_localizer(&pool, 1);
        let far = furthest(&pool, &near).unwrap();
        assert!(pool.candidates[far].at.seconds() > 58.0 && pool.candidates[far].sound.is_none());
    }

    #[test]
    fn too_few_candidates_are_an_error() {
        let all = [heard(1, &[])];
        let pool = Pool::new(&all);
        let fits = AnchorFits::new(&pool, &Sounds::read(None).unwrap(), "x");
        assert!(
            choose(Sampling::Uniform, &pool, &fits, 9, 1, &[])
                .unwrap_err()
                .to_string()
                .contains("9 frames")
        );
    }
}
