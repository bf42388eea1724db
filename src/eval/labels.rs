//! Reads labels: which event begins and ends when. CSV with a header.
//!
//! Columns by name, in any order: `start_s`, `stop_s`, `class` and optionally `snr_db` (loudness) and `video_id` (many recordings in one
//! file); or those of EPIC-SOUNDS: `start_timestamp`, `stop_timestamp` (`HH:MM:SS.sss`), `class`, `video_id`. Other columns are ignored.

use std::io::Read;
use std::path::{Path, PathBuf};

use anchoring::time::{Nanos, Window};
use anyhow::{Context, bail};
use serde::Deserialize;

/// Length of an event that stops when it starts: no frame is expected to hit it.
pub const INSTANT: Nanos = Nanos::new(1);
/// Most events of one file.
const MOST: usize = 4_000_000;

/// Longest first line, in bytes.
const LONGEST_LINE: u64 = 1 << 20;

/// A labelled event, from its start to its stop.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Half-open, in the recording's time; [`INSTANT`] long if it stops when it starts.
    pub span: Window,
    /// Its class; empty if the labels don't say.
    pub class: String,
    /// Loudness above the background, dB, if known.
    pub level: Option<f64>,
    /// The recording that the line names.
    pub video_id: Option<String>,
}

/// Reads every event of a file, by start.
///
/// # Errors
/// The file cannot be read, has no times, or a line is invalid.
pub fn read(path: &Path) -> anyhow::Result<Vec<Event>> {
    let name = || path.display().to_string();
    let file = std::fs::File::open(path).with_context(|| format!("cannot open {}", name()))?;
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(std::io::BufReader::new(file));
    let header = reader
        .headers()
        .with_context(|| format!("cannot read {}", name()))?
        .clone();
    let column = |names: &[&str]| header.iter().position(|found| names.contains(&found));
    let (Some(start), Some(stop)) = (
        column(&["start_s", "start_timestamp", "start"]),
        column(&["stop_s", "stop_timestamp", "end_s", "stop", "end"]),
    ) else {
        bail!(
            "{} has the columns {}: labels need start_s and stop_s (or start_timestamp and stop_timestamp), and class (is the first line missing?)",
            name(),
            header.iter().collect::<Vec<_>>().join(", ")
        );
    };
    let class = column(&["class", "label"]);
    let (level, video) = (column(&["snr_db"]), column(&["video_id"]));
    let mut events = Vec::new();
    for record in reader.records() {
        let record = record.with_context(|| format!("cannot read {}", name()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let field = |at: Option<usize>| at.and_then(|at| record.get(at)).unwrap_or_default();
        let time = |at: usize, what: &str| {
            instant(field(Some(at))).with_context(|| {
                format!(
                    "{} line {line}: {what} is `{}`; it must be seconds or HH:MM:SS.sss, and not negative",
                    name(),
                    field(Some(at))
                )
            })
        };
        let (from, until) = (time(start, "the start")?, time(stop, "the stop")?);
        // An event that is labelled as an instant.
        let until = if until == from { from + INSTANT } else { until };
        let Some(span) = Window::new(from, until) else {
            bail!(
                "{} line {line}: the event starts at {from} and stops at {until}; it must not stop before it starts (are the columns swapped?)",
                name()
            );
        };
        if events.len() == MOST {
            bail!("{} has more than {MOST} events", name());
        }
        events.push(Event {
            span,
            class: field(class).to_owned(),
            level: field(level).parse().ok().filter(|x: &f64| x.is_finite()),
            video_id: video.map(|at| field(Some(at)).to_owned()),
        });
    }
    events.sort_by_key(|event| (event.span.start(), event.span.stop()));
    Ok(events)
}

/// Whether the file has a column for the recording.
///
/// # Errors
/// It cannot be read.
pub(super) fn names_recordings(path: &Path) -> anyhow::Result<bool> {
    let cannot = || format!("cannot read {}", path.display());
    let file = std::fs::File::open(path).with_context(cannot)?;
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(std::io::BufReader::new(file.take(LONGEST_LINE)));
    let header = reader.headers().with_context(cannot)?;
    Ok(header.iter().any(|column| column == "video_id"))
}

/// Seconds, or hours, minutes and seconds between colons.
fn instant(text: &str) -> Option<Nanos> {
    let mut seconds = 0.0;
    for part in text.split(':') {
        let part: f64 = part.parse().ok()?;
        if !(0.0..=1e9).contains(&part) {
            return None;
        }
        seconds = seconds * 60.0 + part;
    }
    Nanos::from_seconds(seconds)
}

/// KitchenMix's notes beside its labels: stretches without usable sound, and spoken sentences.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Notes {
    /// Muted, wind, handling.
    pub dead: Vec<Window>,
    /// Sentences.
    pub speech: Vec<Window>,
}

/// `NAME.json` beside `NAME.labels.csv`; `None` if there is none.
///
/// # Errors
/// The file exists but is invalid.
pub fn notes(labels: &Path) -> anyhow::Result<Option<Notes>> {
    #[derive(Deserialize)]
    struct Given {
        #[serde(default)]
        dead: Vec<(f64, f64, String)>,
        #[serde(default)]
        speech: Vec<(f64, f64)>,
    }
    let Some(beside) = beside(labels).filter(|path| path.is_file()) else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(&beside)
        .with_context(|| format!("cannot read {}", beside.display()))?;
    let given: Given = serde_json::from_str(text.trim_start_matches('\u{feff}')).with_context(|| {
        format!(
            "{}: must contain `dead` as [[start_s, stop_s, kind]] and `speech` as [[start_s, stop_s]]",
            beside.display()
        )
    })?;
    let span = |a: f64, b: f64| Window::new(Nanos::from_seconds(a)?, Nanos::from_seconds(b)?);
    let mut dead: Vec<_> = given
        .dead
        .iter()
        .filter_map(|(a, b, _)| span(*a, *b))
        .collect();
    let mut speech: Vec<_> = given
        .speech
        .iter()
        .filter_map(|(a, b)| span(*a, *b))
        .collect();
    dead.sort_by_key(|window| window.start());
    speech.sort_by_key(|window| window.start());
    Ok(Some(Notes { dead, speech }))
}

fn beside(labels: &Path) -> Option<PathBuf> {
    let name = labels.file_name()?.to_str()?.strip_suffix(".labels.csv")?;
    Some(labels.with_file_name(format!("{name}.json")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> anyhow::Result<Vec<Event>> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        read(file.path())
    }

    #[test]
    fn columns_go_by_name() {
        let own = read_text("class,stop_s,start_s,snr_db\n\"open, close\",2.5,1.5,-3\n").unwrap();
        let epic = "annotation_id,participant_id,video_id,start_timestamp,stop_timestamp,class\nx,P01,P01_11,00:00:01.500,00:00:02.500,\"open, close\"\n";
        let epic = read_text(epic).unwrap();
        assert_eq!(own[0].span, epic[0].span);
        assert_eq!(own[0].class, "open, close");
        assert_eq!((own[0].level, epic[0].level), (Some(-3.0), None));
        assert_eq!(epic[0].video_id.as_deref(), Some("P01_11"));
    }

    #[test]
    fn byte_order_marks_and_quotes_are_understood() {
        let text = "\u{feff}\"video_id\",\"start_s\",\"stop_s\"\r\n\"P01\",1,2\r\n";
        let events = read_text(text).unwrap();
        assert_eq!(events[0].video_id.as_deref(), Some("P01"));
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        assert!(names_recordings(file.path()).unwrap());
    }

    #[test]
    fn an_event_that_stops_when_it_starts_is_an_instant() {
        let events = read_text("start_s,stop_s\n1,2\n3,3\n").unwrap();
        let last = events[1].span;
        assert_eq!(
            (last.start(), last.length()),
            (Nanos::from_ms(3_000), INSTANT)
        );
    }

    #[test]
    fn an_invalid_line_is_refused_with_its_number() {
        for (text, word) in [
            ("begin,end\n1,2\n", "start_s"),
            ("start_s,stop_s\n1,2\n3,2\n", "line 3"),
            ("start_s,stop_s\n-1,2\n", "line 2"),
            ("start_s,stop_s\nsoon,2\n", "`soon`"),
            ("start_s,stop_s\nNaN,2\n", "`NaN`"),
            ("start_s,stop_s\n1,2,3\n", "cannot read"),
        ] {
            let error = format!("{:#}", read_text(text).unwrap_err());
            assert!(error.contains(word), "{error}");
        }
    }
}
