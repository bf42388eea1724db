//! Checks the content of a file against its writer's digests.

use std::collections::BTreeSet;

use half::f16;
use sha2::{Digest, Sha256};

use super::output::{Cell, Digests, digest, hex};
use super::reading::Reading;
use super::value::{self, Label, Value};
use super::{
    Dataset, Done, Error, FloatSize, Group, IntSize, ReasonCode, TierCode, TypeDescriptor,
};

/// Attributes without a digest of their own.
const OWN: [&str; 2] = ["digests", "sha256"];
/// The groups of datasets.
const GROUPS: [&str; 9] = [
    super::tables::CLIPS,
    super::quality::CUES,
    "frames",
    "frames/quality",
    "anchors",
    "candidates",
    super::events::GROUP,
    "cues",
    "thumbnails",
];
/// Bytes per read, unless a chunk is larger.
const TOGETHER: usize = 1 << 20;

/// Checks a file of many recordings: its root and each recording.
pub(super) fn merged(file: &Reading, problems: &mut Vec<String>) {
    contents(file, &file.file, "", problems);
    for name in file.file.member_names().unwrap_or_default() {
        if let Ok(group) = file.file.group(&name) {
            contents(file, &group, &format!("{name}/"), problems);
        }
    }
}

/// Adds every dataset and attribute below a group that differs from what was written.
pub(super) fn contents(file: &Reading, at: &Group, below: &str, problems: &mut Vec<String>) {
    let text = |name: &str| match value::get(at, name) {
        Ok(Value::Text(text)) => Ok(text),
        Ok(other) => Err(format!(
            "attribute `{below}{name}` is {other}, but must be text"
        )),
        Err(err) => Err(format!("cannot read attribute `{below}{name}`: {err}")),
    };
    let digests = match (text("digests"), text("sha256")) {
        (Ok(digests), Ok(whole)) if hex(&Sha256::digest(&digests)) == whole => digests,
        (Ok(_), Ok(_)) => {
            problems.push(format!(
                "attribute `{below}digests` or `{below}sha256` differs from what was written"
            ));
            return;
        }
        (Err(err), _) | (_, Err(err)) => return problems.push(err),
    };
    let digests: Digests = match serde_json::from_str(&digests) {
        Ok(digests) => digests,
        Err(err) => {
            return problems.push(format!("attribute `{below}digests` is not JSON: {err}"));
        }
    };
    attributes(at, below, &digests, problems);
    let there = datasets(at);
    let all: BTreeSet<&String> = digests.datasets.keys().chain(&there).collect();
    for name in all {
        let wanted = digests.datasets.get(name);
        let problem = match (wanted, there.contains(name)) {
            (None, _) => Some("was added by another program".into()),
            (_, false) => Some("is missing".into()),
            (Some(wanted), true) => match file
                .dataset(&format!("{below}{name}"))
                .map_err(|err| err.to_string())
                .and_then(|dataset| of(&dataset).map_err(|err| err.to_string()))
            {
                Err(err) => Some(format!("cannot be read: {err}")),
                Ok(have) if have != *wanted => {
                    Some("differs from what was written: its digest does not match".into())
                }
                Ok(_) => None,
            },
        };
        if let Some(problem) = problem {
            problems.push(format!("/{below}{name} {problem}"));
        }
    }
}

/// Datasets below a group, by name.
fn datasets(at: &Group) -> Vec<String> {
    let groups = GROUPS.iter().filter(|name| at.link_exists(name));
    groups
        .flat_map(|group| {
            let names = at.group(group).and_then(|group| group.member_names());
            let names = names.unwrap_or_default().into_iter();
            names.map(move |name| format!("{group}/{name}"))
        })
        .filter(|name| !GROUPS.contains(&name.as_str()))
        .collect()
}

fn attributes(at: &Group, below: &str, digests: &Digests, problems: &mut Vec<String>) {
    let names: BTreeSet<String> = at
        .attr_names()
        .unwrap_or_default()
        .into_iter()
        .filter(|name| !OWN.contains(&name.as_str()))
        .chain(digests.attributes.keys().cloned())
        .collect();
    for name in names {
        let have = match name.rsplit_once('.').filter(|(path, _)| path.contains('/')) {
            None => value::get(at, &name),
            Some((path, name)) => at
                .dataset(path)
                .and_then(|dataset| value::text_of(&dataset, name))
                .map(Value::Text),
        };
        let problem = match (have, digests.attributes.get(&name)) {
            (_, None) => "was added by another program".into(),
            (Err(err), _) => format!("cannot be read: {err}"),
            (Ok(have), Some(wanted)) if Digests::of(&have) != *wanted => {
                "differs from what was written".into()
            }
            _ => continue,
        };
        problems.push(format!("attribute `{below}{name}` {problem}"));
    }
}

/// The digest of a dataset.
fn of(dataset: &Dataset) -> Done<String> {
    match dataset.dtype()?.to_descriptor()? {
        TypeDescriptor::Enum(_) => match dataset.name().ends_with("/tier") {
            true => hash::<TierCode>(dataset),
            false => hash::<ReasonCode>(dataset),
        },
        TypeDescriptor::Float(FloatSize::U2) => hash::<f16>(dataset),
        TypeDescriptor::Float(FloatSize::U4) => hash::<f32>(dataset),
        TypeDescriptor::Integer(IntSize::U4) => hash::<i32>(dataset),
        TypeDescriptor::Integer(IntSize::U8) => hash::<i64>(dataset),
        TypeDescriptor::Unsigned(IntSize::U1) => hash::<u8>(dataset),
        TypeDescriptor::Unsigned(IntSize::U2) => hash::<u16>(dataset),
        TypeDescriptor::Unsigned(IntSize::U4) => hash::<u32>(dataset),
        TypeDescriptor::Unsigned(IntSize::U8) => hash::<u64>(dataset),
        TypeDescriptor::FixedUnicode(value::LABEL) => hash::<Label>(dataset),
        other => Err(Error::from(format!("its type is {other}"))),
    }
}

fn hash<T: Cell>(dataset: &Dataset) -> Done<String> {
    let shape = dataset.shape();
    let (rows, width) = match shape[..] {
        [rows] => (rows, 1),
        [rows, width] => (rows, width),
        _ => return Err(Error::from(format!("its shape is {shape:?}"))),
    };
    // Whole chunks, so that each is read once.
    let chunk = dataset.chunk().and_then(|chunk| chunk.first().copied());
    let chunk = chunk.unwrap_or(1).max(1);
    let row = width.saturating_mul(size_of::<T>()).max(1);
    let together = (TOGETHER / row / chunk).max(1).saturating_mul(chunk);
    if together.saturating_mul(row) > 64 * TOGETHER {
        return Err(Error::from(
            "its chunks are larger than any that Earmark writes",
        ));
    }
    let mut hasher = Sha256::new();
    for at in (0..rows).step_by(together) {
        let some = at..(at + together).min(rows);
        let cells: Vec<T> = match shape.len() {
            1 => dataset.read_slice_1d::<T, _>(some)?.into_iter().collect(),
            _ => dataset
                .read_slice_2d::<T, _>((some, ..))?
                .into_iter()
                .collect(),
        };
        digest(&cells, &mut hasher);
    }
    Ok(hex(&hasher.finalize()))
}
