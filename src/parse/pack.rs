//! Writes labels and features into one file for `earmark-learning parse`, one video at a time.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use super::features::Stream;
use super::set::Set;
use crate::files;

/// The layout of the file.
const LAYOUT: &str = "earmark-parsing/1";

/// The content of the file.
pub(super) struct Parts<'a> {
    pub(super) set: &'a Set,
    /// Streams of the sound, and of the frames, side by side.
    pub(super) streams: [Vec<Stream>; 2],
    /// Embeddings of the classes' names.
    pub(super) words: Option<[(usize, Vec<f32>); 2]>,
}

/// The features of a video, all streams side by side: seconds, width, numbers.
fn row(
    streams: &mut [Stream],
    set: &Set,
    video: usize,
) -> anyhow::Result<(usize, usize, Vec<f32>)> {
    let mut parts = Vec::new();
    for stream in streams {
        parts.push(stream.seconds(set, video)?);
    }
    let seconds = parts.iter().map(|part| part.0).min().unwrap_or(0);
    let widths: Vec<usize> = parts.iter().map(|(t, x)| x.len() / t.max(&1)).collect();
    let mut numbers = Vec::new();
    for second in 0..seconds {
        for ((_, part), width) in parts.iter().zip(&widths) {
            numbers.extend_from_slice(&part[second * width..(second + 1) * width]);
        }
    }
    Ok((seconds, widths.iter().sum(), numbers))
}

/// Positions of the arrays, one after another.
#[derive(Default)]
struct Head {
    arrays: Map<String, Value>,
    end: u64,
}

impl Head {
    fn add(&mut self, name: &str, kind: &str, shape: &[usize]) -> u64 {
        let size = match kind {
            "U8" => 1,
            "I64" => 8,
            _ => 4,
        };
        let from = self.end;
        self.end += shape.iter().product::<usize>() as u64 * size;
        let about = json!({ "dtype": kind, "shape": shape, "data_offsets": [from, self.end] });
        self.arrays.insert(name.to_owned(), about);
        from
    }
}

fn bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// Writes the file.
///
/// # Errors
/// Features are missing or do not fit, or the file cannot be written.
pub(super) fn write(path: &Path, mut parts: Parts<'_>) -> anyhow::Result<()> {
    let set = parts.set;
    let (n, t, c) = (set.names.len(), set.seconds, set.classes.len());
    let mut first = Vec::new();
    for streams in &mut parts.streams {
        first.push(row(streams, set, 0)?);
    }
    let widths = [first[0].1, first[1].1];
    let mut head = Head::default();
    let length = head.add("length", "I64", &[n]);
    let features = [
        head.add("audio", "F32", &[n, t, widths[0]]),
        head.add("visual", "F32", &[n, t, widths[1]]),
    ];
    let mut small: Vec<(u64, Vec<u8>)> = Vec::new();
    if let Some(words) = &parts.words {
        for (name, (width, numbers)) in ["words_audio", "words_visual"].into_iter().zip(words) {
            small.push((head.add(name, "F32", &[c, *width]), bytes(numbers)));
        }
    }
    small.push((head.add("weak", "U8", &[n, c]), set.weak.clone()));
    small.push((head.add("heard", "U8", &[n, t, c]), set.labels[0].clone()));
    small.push((head.add("seen", "U8", &[n, t, c]), set.labels[1].clone()));
    small.push((head.add("dense", "U8", &[n]), set.dense.clone()));
    small.push((head.add("split", "U8", &[n]), set.split.clone()));
    let note = json!({ "layout": LAYOUT, "classes": set.classes, "names": set.names });
    let end = head.end;
    head.arrays.insert(
        "__metadata__".into(),
        json!({ "earmark": note.to_string() }),
    );
    let mut text = Value::Object(head.arrays).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    let body = 8 + text.len() as u64;

    let target = files::check(path, true)?;
    let file = files::temporary(&target, ".safetensors")?;
    let cannot = || format!("cannot write {}", path.display());
    let out: &File = file.as_file();
    out.set_len(body + end).with_context(cannot)?;
    out.write_all_at(&(text.len() as u64).to_le_bytes(), 0)
        .with_context(cannot)?;
    out.write_all_at(&text, 8).with_context(cannot)?;
    let mut lengths = vec![t; n];
    let mut first = first.into_iter();
    for ((streams, width), at) in parts.streams.iter_mut().zip(widths).zip(features) {
        let mut kept = first.next();
        for (video, length) in lengths.iter_mut().enumerate() {
            let (seconds, found, mut numbers) = match kept.take() {
                Some(row) => row,
                None => row(streams, set, video)?,
            };
            if found != width || seconds == 0 {
                bail!(
                    "{} has {seconds} seconds of {found} values, and the first video {width} values: all must have the same",
                    set.names[video]
                );
            }
            *length = seconds.min(*length);
            numbers.resize(t * width, 0.0);
            let place = at + (video * t * width * 4) as u64;
            out.write_all_at(&bytes(&numbers), body + place)
                .with_context(cannot)?;
        }
    }
    let lengths: Vec<u8> = lengths
        .iter()
        .flat_map(|x| (*x as i64).to_le_bytes())
        .collect();
    small.push((length, lengths));
    for (at, bytes) in &small {
        out.write_all_at(bytes, body + at).with_context(cannot)?;
    }
    out.sync_all().with_context(cannot)?;
    file.persist(path).with_context(cannot)?;
    Ok(())
}
