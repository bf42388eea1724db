//! How well labels fit a question by meaning: cosines of their vectors, from a text encoder.

use std::collections::BTreeSet;

use super::choose::AnchorFits;
use super::pool::Pool;
use super::sounds::{self, Sounds};
use crate::text_encoder::{TextEncoder, cosine};

/// A label counts from so many deviations above the mean of all labels.
const STANDS_OUT: f64 = 2.0;

/// How well each sound of a pool fits a question. Some label is always the most like it; so one counts only if it is much more like it than
/// labels are on the whole.
///
/// # Errors
/// The model fails.
pub(super) fn fits(
    pool: &Pool<'_>,
    text: &mut TextEncoder,
    own: &Sounds,
    question: &str,
) -> anyhow::Result<AnchorFits> {
    let asked = text.vector(question)?.to_vec();
    let mut labels: BTreeSet<String> = sounds::built_in_labels().map(str::to_lowercase).collect();
    labels.extend(own.labels().map(str::to_owned));
    for heard in pool.heard {
        labels.extend(heard.sounds.iter().map(|sound| sound.label.to_lowercase()));
    }
    labels.remove("");
    let mut likeness = Vec::with_capacity(labels.len());
    for label in &labels {
        likeness.push(cosine(&asked, text.vector(label)?));
    }
    let n = likeness.len().max(1) as f64;
    let mean = likeness.iter().sum::<f64>() / n;
    let spread = (likeness.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
    let labels: Vec<&String> = labels.iter().collect();
    let fit = |label: &str| {
        let at = labels.binary_search(&&label.to_lowercase());
        at.map_or(0.0, |at| {
            ((likeness[at] - mean) / spread.max(1e-9) - STANDS_OUT).max(0.0)
        })
    };
    Ok(AnchorFits::of_sounds(pool, fit))
}
