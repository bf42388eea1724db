//! What a localizer head sees of a candidate: the stored feature nearest to it, the question, and how the candidate lies to sounds.

use std::collections::BTreeSet;
use std::path::Path;

use anchoring::time::Nanos;
use anyhow::{Context, bail};
use gstearmark::h5::{self, Parts};
use sha2::{Digest, Sha256};

use super::choose::AnchorFits;
use super::pool::Pool;
use super::sounds::Words;
use crate::outputs::features::Readable;
use crate::text_encoder::TextEncoder;

/// Places of a question's words, unless a text encoder gives its vector.
pub(crate) const WORDS: usize = 64;
/// Numbers of a candidate beside feature and question.
pub(crate) const BESIDE: usize = 6;
/// Most rows of features of one recording.
const MOST_ROWS: usize = 1 << 20;

/// The stored features of a recording, each of length 1.
#[derive(Debug)]
pub(crate) struct Stored {
    /// Time and row, ascending.
    times: Vec<(Nanos, usize)>,
    rows: Vec<f32>,
    pub(crate) dim: usize,
    /// SHA-256 of the encoder that made them; may be empty.
    pub(crate) encoder: String,
}

impl Stored {
    /// Of a feature file.
    ///
    /// # Errors
    /// It is none (plans hold no features), has no frames, or cannot be read.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        if file.extension().is_some_and(|ending| ending == "jsonl") {
            bail!(
                "{} is a plan, which holds no features: a localizer head needs what `earmark run` writes",
                file.display()
            );
        }
        let readable = Readable::open(file, Parts::All)?;
        let summary = readable.summary()?;
        let tables = h5::read_tables(readable.path())?;
        let (n, dim) = (tables.pts_ns.len(), summary.dim);
        if n == 0 || n > MOST_ROWS || dim == 0 {
            bail!(
                "{} has {n} frames of {dim} numbers: there must be 1 to {MOST_ROWS} frames",
                file.display()
            );
        }
        let mut rows = h5::read_features(readable.path())?;
        if rows.len() != n * dim {
            bail!("{}: its features are cut off", file.display());
        }
        for row in rows.chunks_exact_mut(dim) {
            let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
            row.iter_mut().for_each(|x| *x /= length.max(1e-12));
        }
        let mut times: Vec<_> = tables.pts_ns.iter().map(|pts| Nanos::new(*pts)).collect();
        let mut times: Vec<(Nanos, usize)> = times.drain(..).zip(0..).collect();
        times.sort_unstable();
        let encoder = summary.models.iter().find(|note| note.role == "encoder");
        Ok(Self {
            times,
            rows,
            dim,
            encoder: encoder.map(|note| note.sha256.clone()).unwrap_or_default(),
        })
    }

    /// The row nearest to a time, and how far it is.
    fn nearest(&self, at: Nanos) -> (usize, Nanos) {
        let after = self.times.partition_point(|(time, _)| *time < at);
        let near = [after.checked_sub(1), Some(after)];
        let near = near.into_iter().flatten().filter_map(|i| self.times.get(i));
        let near = near.map(|(time, row)| (*row, Nanos::new((*time - at).get().abs())));
        near.min_by_key(|(_, away)| *away).unwrap_or_default()
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.rows[row * self.dim..(row + 1) * self.dim]
    }
}

/// A question's vector: of a text encoder, else its words at places that their hashes decide.
///
/// # Errors
/// The model fails.
pub(crate) fn question(text: Option<&mut TextEncoder>, question: &str) -> anyhow::Result<Vec<f32>> {
    if let Some(text) = text {
        return Ok(text.vector(question)?.to_vec());
    }
    let mut vector = vec![0.0_f32; WORDS];
    let words: BTreeSet<String> = Words::of(question).into();
    for word in &words {
        let hash = Sha256::digest(word);
        let sign = if hash[8] & 1 == 0 { 1.0 } else { -1.0 };
        vector[usize::from(hash[0]) % WORDS] += sign;
    }
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.iter_mut().for_each(|x| *x /= length.max(1.0));
    Ok(vector)
}

/// All that a head sees of a candidate of one recording.
///
/// # Errors
/// There is no such candidate.
pub(crate) fn values(
    pool: &Pool<'_>,
    stored: &Stored,
    fits: &AnchorFits,
    question: &[f32],
    at: usize,
) -> anyhow::Result<Vec<f32>> {
    let candidate = pool.candidates.get(at).context("no such candidate")?;
    let (row, away) = stored.nearest(candidate.at);
    let mut all = Vec::with_capacity(stored.dim + question.len() + BESIDE);
    all.extend_from_slice(stored.row(row));
    all.extend_from_slice(question);
    let sound = candidate.sound.map(|row| {
        let sound = &pool.heard[candidate.recording].sounds[row];
        let after = (candidate.at - sound.onset).seconds().clamp(-1.0, 5.0);
        [
            1.0,
            sound.score,
            fits.share(candidate.recording, row),
            after / 5.0,
        ]
    });
    all.extend(sound.unwrap_or_default().map(|x| x as f32));
    all.push((-away.seconds()).exp() as f32);
    all.push(f32::from(u8::from(candidate.rank == 0)));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::super::pool::tests::heard;
    use super::super::sounds::Sounds;
    use super::*;

    #[test]
    fn a_candidate_is_seen_by_its_nearest_feature() {
        let stored = Stored {
            times: [(1_000, 1), (3_000, 0)]
                .map(|(ms, row)| (Nanos::from_ms(ms), row))
                .to_vec(),
            rows: vec![0.6, 0.8, 1.0, 0.0],
            dim: 2,
            encoder: String::new(),
        };
        assert_eq!(stored.nearest(Nanos::from_ms(1_900)).0, 1);
        assert_eq!(
            stored.nearest(Nanos::from_ms(2_100)),
            (0, Nanos::from_ms(900))
        );
        assert_eq!(stored.nearest(Nanos::from_ms(9_000)).0, 0);
        let all = [heard(5, &[(2, 0.75, "Bell")])];
        let pool = Pool::new(&all);
        let fits = AnchorFits::new(
            &pool,
            &Sounds::read(None).unwrap(),
            "When did the bell ring?",
        );
        let asked = question(None, "When did the bell ring?").unwrap();
        assert!((asked.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
        let at = pool
            .candidates
            .iter()
            .position(|one| one.rank == 0)
            .unwrap();
        let seen = values(&pool, &stored, &fits, &asked, at).unwrap();
        assert_eq!(seen.len(), 2 + WORDS + BESIDE);
        assert_eq!(seen[..2], [0.6, 0.8]);
        assert_eq!(seen[2 + WORDS..][..3], [1.0, 0.75, 1.0]);
        assert_eq!(seen.last(), Some(&1.0));
        assert!(Stored::read(Path::new("x.jsonl")).is_err());
    }
}
