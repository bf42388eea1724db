//! Features of the user's own recording: the tagger's embedding of every second of its sound, and the frames of its feature file on an even
//! grid.
//!
//! Decodes the sound into mel frames and turns each second's patch into an embedding; keeps and writes nothing else of the sound.

use std::path::Path;

use anchoring::hearing::mel::BANDS;
use anyhow::{Context, bail};
use gstearmark::h5::{Features, Parts, Tables, read_tables};
use gstearmark::onnx::load_tagger;

use crate::fit::mel;
use crate::outputs::features::Readable;
use crate::recording::Input;

/// Mel frames per second, and per patch.
const A_SECOND: usize = 100;
const PATCH: usize = 96;
/// The first mel frame of a second's patch, which is centred on its second.
const FIRST: usize = 1;
/// Added before the logarithm.
const LEAST: f32 = 1e-3;
/// Longest recording, s.
const MOST: usize = 24 * 3600;
/// A second, ns.
const SECOND: i64 = 1_000_000_000;

/// Rows per second.
pub(super) struct RowsBySecond {
    pub(super) name: String,
    pub(super) seconds: usize,
    pub(super) widths: [usize; 2],
    /// `seconds * width`, for sound and for frames.
    pub(super) streams: [Vec<f32>; 2],
    pub(super) tables: Tables,
}

impl RowsBySecond {
    /// Reads both.
    ///
    /// # Errors
    /// The recording has no sound or cannot be decoded, the file has no frames, or a model fails.
    pub(super) fn read(recording: &str, features: &Path, tagger: &str) -> anyhow::Result<Self> {
        let file = Readable::open(features, Parts::All)?;
        let summary = file.summary()?;
        let tables = read_tables(file.path())?;
        let (width, visual) = frames(features, &file, &tables, summary.dim, summary.duration_ns)?;
        let (wide, mut audio) = sound(recording, tagger)?;
        let seconds = visual.len() / width;
        // If one of them is a second shorter at the end, its last second is repeated.
        let heard = audio.len() / wide;
        if heard.abs_diff(seconds) > 2 {
            bail!(
                "{recording} has {heard} seconds of sound, but {} covers {seconds} s: are they of the same recording?",
                features.display()
            );
        }
        let last = audio[audio.len() - wide..].to_vec();
        while audio.len() / wide < seconds {
            audio.extend_from_slice(&last);
        }
        audio.truncate(seconds * wide);
        Ok(Self {
            name: summary.video_id,
            seconds,
            widths: [wide, width],
            streams: [audio, visual],
            tables,
        })
    }

    /// A piece of this many seconds from `from` on; repeats its last second if it is too short.
    pub(super) fn piece(&self, modality: usize, from: usize, seconds: usize) -> Vec<f32> {
        let width = self.widths[modality];
        (from..from + seconds)
            .map(|second| second.min(self.seconds - 1))
            .flat_map(|second| &self.streams[modality][second * width..(second + 1) * width])
            .copied()
            .collect()
    }
}

/// The tagger's embedding of every second, of length 1: width, numbers.
fn sound(recording: &str, tagger: &str) -> anyhow::Result<(usize, Vec<f32>)> {
    let mut tagger = load_tagger(tagger, 1)?;
    let mel = mel(&Input::new(recording)?)?;
    let seconds = mel.len().div_ceil(A_SECOND).clamp(1, MOST);
    let (mut all, mut width) = (Vec::new(), 0);
    for second in 0..seconds {
        let mut patch: Vec<f32> = mel
            .frames(second * A_SECOND + FIRST, PATCH)
            .into_iter()
            .flatten()
            .map(|x| (x + LEAST).ln())
            .collect();
        // Padding with silence after the end.
        patch.resize(PATCH * BANDS, LEAST.ln());
        let embedding = tagger.embed(&patch)?;
        let length = embedding
            .iter()
            .map(|x| x * x)
            .sum::<f32>()
            .sqrt()
            .max(1e-9);
        width = embedding.len();
        all.extend(embedding.into_iter().map(|x| x / length));
    }
    Ok((width, all))
}

/// The frames of every second, averaged; a second without frames gets the nearest frame. Width, values.
fn frames(
    path: &Path,
    file: &Readable,
    tables: &Tables,
    width: usize,
    duration_ns: i64,
) -> anyhow::Result<(usize, Vec<f32>)> {
    let pts = &tables.pts_ns;
    if pts.is_empty() || width == 0 {
        bail!("{} has no frames", path.display());
    }
    let until = duration_ns.max(pts.last().copied().unwrap_or(0) + 1);
    let seconds = usize::try_from(until / SECOND + i64::from(until % SECOND >= SECOND / 2))
        .unwrap_or(0)
        .clamp(1, MOST);
    let features = Features::open(file.path())?;
    let mut all = Vec::with_capacity(seconds * width);
    for second in 0..seconds {
        let (from, until) = (second as i64 * SECOND, (second as i64 + 1) * SECOND);
        let mut rows = pts.partition_point(|t| *t < from)..pts.partition_point(|t| *t < until);
        if rows.is_empty() {
            let middle = from + SECOND / 2;
            let nearest = [rows.start.checked_sub(1), Some(rows.start)];
            let near = |row: &usize| pts.get(*row).map(|t| (t - middle).abs());
            let best = nearest
                .into_iter()
                .flatten()
                .filter(|row| near(row).is_some())
                .min_by_key(|row| near(row));
            let best = best.context("a file with frames has a nearest one")?;
            rows = best..best + 1;
        }
        let count = rows.len();
        let mut sums = vec![0.0_f32; width];
        for row in features.rows(rows)?.chunks(width) {
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        all.extend(sums.into_iter().map(|sum| sum / count as f32));
    }
    Ok((width, all))
}
