//! Sound events as in DCASE and DESED: tab-separated `filename`, `onset`, `offset`, `event_label`; and the length of each file.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use anyhow::bail;

use super::table::{Row, Table};

/// Longest plausible file, seconds.
const LONGEST: f64 = 1e7;

/// A labelled sound event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) label: String,
    /// Seconds.
    pub(crate) onset: f64,
    /// Seconds; not before the onset.
    pub(crate) offset: f64,
    /// Its line.
    pub(crate) line: u64,
}

/// Events by file. A file that is named without an event has none.
#[derive(Debug, Default)]
pub(crate) struct Events {
    pub(crate) by_file: BTreeMap<String, Vec<Event>>,
}

impl Events {
    /// Number of events.
    pub(crate) fn count(&self) -> usize {
        self.by_file.values().map(Vec::len).sum()
    }

    /// Every label.
    pub(crate) fn labels(&self) -> BTreeSet<&str> {
        let events = self.by_file.values().flatten();
        events.map(|event| event.label.as_str()).collect()
    }

    /// The events of a file.
    pub(crate) fn of(&self, file: &str) -> &[Event] {
        self.by_file.get(file).map_or(&[], Vec::as_slice)
    }
}

/// Reads events.
///
/// # Errors
/// The file cannot be read, or a line is invalid.
pub(crate) fn events(path: &Path) -> anyhow::Result<Events> {
    let mut events = Events::default();
    read(path, |file, event, _| {
        let all = events.by_file.entry(file.to_owned()).or_default();
        all.extend(event);
        Ok(())
    })?;
    Ok(events)
}

/// Reads detections: like [`events`], but a file with only a header means that the system found nothing.
///
/// # Errors
/// The file cannot be read, or a line is invalid.
pub(crate) fn detections(path: &Path) -> anyhow::Result<Events> {
    let bytes = super::text::bytes(path)?;
    let only_header = bytes.trim_ascii_end().split(|byte| *byte == b'\n').count() == 1;
    if only_header {
        columns(&Table::open(path)?)?;
        return Ok(Events::default());
    }
    events(path)
}

type Columns = [super::table::Column; 4];

fn columns(table: &Table) -> anyhow::Result<Columns> {
    const NEEDED: &str =
        "Sound events need filename, onset, offset and event_label, with tabs between";
    Ok([
        table.column("filename", NEEDED)?,
        table.column("onset", NEEDED)?,
        table.column("offset", NEEDED)?,
        table.column("event_label", NEEDED)?,
    ])
}

fn read(
    path: &Path,
    mut each: impl FnMut(&str, Option<Event>, &Row<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut table = Table::open(path)?;
    let [file, onset, offset, label] = columns(&table)?;
    table.rows(|row| {
        let name = row.word(file)?;
        if [onset, offset, label]
            .iter()
            .all(|column| row.text(*column).is_empty())
        {
            return each(name, None, row);
        }
        let (from, until) = row.span(onset, offset)?;
        if until > LONGEST {
            return Err(row.wrong(
                offset,
                "is longer than any file (did you give it in samples?)",
            ));
        }
        let event = Event {
            label: row.word(label)?.to_owned(),
            onset: from,
            offset: until,
            line: row.line(),
        };
        each(name, Some(event), row)
    })?;
    Ok(())
}

/// Reads the lengths of files: `filename`, `duration` in seconds.
///
/// # Errors
/// The file cannot be read, a line is invalid, or a file comes twice.
pub(crate) fn durations(path: &Path) -> anyhow::Result<BTreeMap<String, f64>> {
    const NEEDED: &str = "Durations need filename and duration, with a tab between";
    let mut table = Table::open(path)?;
    let (file, duration) = (
        table.column("filename", NEEDED)?,
        table.column("duration", NEEDED)?,
    );
    let mut seen = HashMap::new();
    let mut durations = BTreeMap::new();
    table.rows(|row| {
        let name = row.word(file)?;
        if let Some(before) = seen.insert(name.to_owned(), row.line()) {
            return Err(row.wrong(file, &format!("is in line {before} too")));
        }
        let seconds = row.seconds(duration)?;
        if seconds <= 0.0 {
            return Err(row.wrong(duration, "must be above 0"));
        }
        durations.insert(name.to_owned(), seconds);
        Ok(())
    })?;
    Ok(durations)
}

/// Refuses overlapping events of one label in a file, for measures that cannot handle them.
///
/// # Errors
/// Two of them overlap.
pub(crate) fn apart(path: &Path, events: &Events) -> anyhow::Result<()> {
    for (file, events) in &events.by_file {
        let mut by_label: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
        for event in events {
            by_label.entry(&event.label).or_default().push(event);
        }
        for (label, mut events) in by_label {
            events.sort_by(|a, b| {
                a.onset
                    .total_cmp(&b.onset)
                    .then(a.offset.total_cmp(&b.offset))
            });
            if let Some(pair) = events
                .windows(2)
                .find(|pair| pair[1].onset < pair[0].offset)
            {
                bail!(
                    "{} lines {} and {}: two events `{label}` of {file} overlap: must be one event, or apart",
                    path.display(),
                    pair[0].line.min(pair[1].line),
                    pair[0].line.max(pair[1].line)
                );
            }
        }
    }
    Ok(())
}
