//! AVE: one event in each video of ten seconds (`Annotations.txt`), and the lines of each split (`*_order.h5`).

use std::collections::HashMap;
use std::path::Path;

use anyhow::bail;

use super::text;
use crate::outputs::foreign;

/// Seconds of a video.
pub(crate) const SECONDS: usize = 10;
/// The file of all annotations.
pub(crate) const ANNOTATIONS: &str = "Annotations.txt";
/// Most lines of it.
const MOST: usize = 1_000_000;

/// A video's event.
#[derive(Clone, Debug)]
pub(crate) struct Labelled {
    pub(crate) class: String,
    pub(crate) video: String,
    /// Whole seconds, half-open.
    pub(crate) span: (usize, usize),
}

/// Reads `Annotations.txt`. Skips a header line.
///
/// # Errors
/// The file cannot be read, or a line is invalid.
pub(crate) fn annotations(path: &Path) -> anyhow::Result<Vec<Labelled>> {
    let name = path.display();
    let mut all = Vec::new();
    for (i, line) in text::text(path)?.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || (i == 0 && line.starts_with("Category&")) {
            continue;
        }
        let at = i + 1;
        let fields: Vec<&str> = line.split('&').map(str::trim).collect();
        let [class, video, _quality, start, stop] = fields[..] else {
            bail!(
                "{name} line {at} has {} fields between &: must be Category&VideoID&Quality&StartTime&EndTime",
                fields.len()
            );
        };
        let second = |field: &str, text: &str| match text.parse::<usize>() {
            Ok(second) if second <= SECONDS => Ok(second),
            _ => Err(anyhow::anyhow!(
                "{name} line {at}: {field} is `{text}`: must be a whole second from 0 to {SECONDS}"
            )),
        };
        let span = (second("StartTime", start)?, second("EndTime", stop)?);
        if span.1 < span.0 {
            bail!(
                "{name} line {at}: EndTime is {}: must not be before StartTime, {}",
                span.1,
                span.0
            );
        }
        if class.is_empty() || video.is_empty() {
            bail!("{name} line {at}: Category and VideoID must not be empty");
        }
        if all.len() == MOST {
            bail!("{name} has more than {MOST} lines");
        }
        all.push(Labelled {
            class: class.to_owned(),
            video: video.to_owned(),
            span,
        });
    }
    if all.is_empty() {
        bail!("{name} has no annotations");
    }
    Ok(all)
}

/// The annotations of a split: line numbers from 0.
///
/// # Errors
/// The file cannot be read, or has an unknown line number, or one twice.
pub(crate) fn order(path: &Path, annotations: usize) -> anyhow::Result<Vec<usize>> {
    let name = path.display();
    let numbers = foreign::whole_numbers(path, "order")?;
    if numbers.is_empty() {
        bail!("{name}: `order` is empty");
    }
    let mut seen = HashMap::new();
    let mut order = Vec::with_capacity(numbers.len());
    for (i, number) in numbers.into_iter().enumerate() {
        let row = usize::try_from(number)
            .ok()
            .filter(|row| *row < annotations);
        let Some(row) = row else {
            bail!(
                "{name}: `order`, number {i} is {number}: {ANNOTATIONS} has the lines 0 to {}",
                annotations - 1
            );
        };
        if let Some(before) = seen.insert(row, i) {
            bail!("{name}: `order` has line {row} twice, as numbers {before} and {i}");
        }
        order.push(row);
    }
    Ok(order)
}
