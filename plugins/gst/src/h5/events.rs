//! `/events`: the events that a parser heard or saw. Adds them to a copy of a finished file.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::H5Error;
use super::output::{Append, Column, Output, Shape};
use super::read::{Columns, Whole};
use super::reading::Reading;
use super::tables::CHUNK_ROWS;
use super::value::{Label, label, read_label};

/// The group's name.
pub(super) const GROUP: &str = "events";
/// Its first column.
pub(super) const FIRST: &str = "events/onset_ns";

/// How an event is perceived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventModality {
    /// It is heard.
    Audio,
    /// It is seen.
    Visual,
}

impl EventModality {
    const ALL: [Self; 2] = [Self::Audio, Self::Visual];

    /// Its name in a file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Visual => "visual",
        }
    }
}

/// A row of `/events`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventRow {
    /// When it begins.
    pub onset_ns: i64,
    /// When it ends.
    pub offset_ns: i64,
    /// Its class.
    pub class: String,
    /// Whether it is heard or seen; one that is both has two rows.
    pub modality: EventModality,
    /// The parser's mean probability, in [0, 1].
    pub score: f32,
}

/// The columns.
pub(super) struct Events {
    onset_ns: Column<i64>,
    offset_ns: Column<i64>,
    class: Column<Label>,
    modality: Column<Label>,
    score: Column<f32>,
}

impl Events {
    pub(super) fn create(output: &mut Output) -> Result<Self, H5Error> {
        let table = output.table(GROUP, "event")?;
        let digests = &mut output.digests;
        let plain = |name, units| Shape {
            name,
            units,
            wide: None,
            chunk: CHUNK_ROWS,
            gzip: false,
        };
        // Texts are long.
        let text = |name| Shape {
            chunk: 64,
            ..plain(name, "text")
        };
        Ok(Self {
            onset_ns: table.column(&plain("onset_ns", "ns"), digests)?,
            offset_ns: table.column(&plain("offset_ns", "ns"), digests)?,
            class: table.column(&text("class"), digests)?,
            modality: table.column(&text("modality"), digests)?,
            score: table.column(&plain("score", "probability"), digests)?,
        })
    }

    pub(super) fn push(&mut self, row: &EventRow) {
        self.onset_ns.push(row.onset_ns);
        self.offset_ns.push(row.offset_ns);
        self.class.push(label(&row.class));
        self.modality.push(label(row.modality.name()));
        self.score.push(row.score);
    }

    pub(super) fn columns(&mut self) -> [&mut dyn Append; 5] {
        [
            &mut self.onset_ns,
            &mut self.offset_ns,
            &mut self.class,
            &mut self.modality,
            &mut self.score,
        ]
    }
}

/// The rows that all columns have; `None` if the file has no events.
pub(super) fn events_by(
    file: &Reading,
    columns: &impl Columns,
) -> Result<Option<Vec<EventRow>>, H5Error> {
    if !file.has(FIRST) {
        return Ok(None);
    }
    let onsets: Vec<i64> = columns.column(file, FIRST, 1)?;
    let offsets: Vec<i64> = columns.column(file, "events/offset_ns", 1)?;
    let classes: Vec<Label> = columns.column(file, "events/class", 1)?;
    let modalities: Vec<Label> = columns.column(file, "events/modality", 1)?;
    let scores: Vec<f32> = columns.column(file, "events/score", 1)?;
    let lengths = [offsets.len(), classes.len(), modalities.len(), scores.len()];
    if columns.strict() && lengths.iter().any(|length| *length != onsets.len()) {
        return Err(file.damaged("the columns of /events differ in length".into()));
    }
    let rows = onsets
        .into_iter()
        .zip(offsets)
        .zip(classes)
        .zip(modalities)
        .zip(scores);
    let rows = rows.map(|((((onset_ns, offset_ns), class), modality), score)| {
        let name = read_label(&modality);
        let modality = EventModality::ALL.into_iter().find(|m| m.name() == name);
        let Some(modality) = modality else {
            let why = format!("/events/modality has `{name}`: must be audio or visual");
            return Err(file.damaged(why));
        };
        Ok(EventRow {
            onset_ns,
            offset_ns,
            class: read_label(&class),
            modality,
            score,
        })
    });
    rows.collect::<Result<_, _>>().map(Some)
}

/// The events of a file; `None` if it was never parsed.
///
/// # Errors
/// Not there, not of this schema, or damaged.
pub fn read_events(path: &Path) -> Result<Option<Vec<EventRow>>, H5Error> {
    events_by(&Reading::open(path)?, &Whole)
}

/// Rules of the table.
pub(super) fn rules(file: &Reading, problems: &mut Vec<String>) {
    match events_by(file, &Whole) {
        Err(err) => problems.push(err.to_string()),
        Ok(None) => {}
        Ok(Some(rows)) => {
            if rows.iter().any(|row| row.offset_ns < row.onset_ns) {
                problems.push("an event of /events ends before it begins".into());
            }
            if rows.iter().any(|row| !(0.0..=1.0).contains(&row.score)) {
                problems.push("/events/score has values outside [0, 1]".into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Closing, Opening, Parts, Writer, check, copy, with_events};
    use super::*;

    fn row(onset_ns: i64, modality: EventModality) -> EventRow {
        EventRow {
            onset_ns,
            offset_ns: onset_ns + 2_000_000_000,
            class: "frying-pan".into(),
            modality,
            score: 0.75,
        }
    }

    #[test]
    fn events_are_added_copied_replaced_and_checked() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let opening = Opening {
            dim: 3,
            ..Opening::default()
        };
        let writer = Writer::create(&at("a.h5"), false, &opening).unwrap();
        writer.finish(&Closing::default()).unwrap();
        assert_eq!(read_events(&at("a.h5")).unwrap(), None);

        let rows = [row(0, EventModality::Audio), row(5, EventModality::Visual)];
        with_events(&at("a.h5"), &at("b.h5"), false, &rows).unwrap();
        assert_eq!(read_events(&at("b.h5")).unwrap().unwrap(), rows);
        assert!(check(&at("b.h5")).unwrap().is_empty());
        assert!(with_events(&at("a.h5"), &at("b.h5"), false, &rows).is_err());

        // A copy of the reading process keeps them.
        copy(&at("b.h5"), &at("c.h5"), Parts::Tables).unwrap();
        assert_eq!(read_events(&at("c.h5")).unwrap().unwrap(), rows);

        with_events(&at("b.h5"), &at("d.h5"), false, &rows[..1]).unwrap();
        assert_eq!(read_events(&at("d.h5")).unwrap().unwrap(), rows[..1]);
        // No events is not the same as never parsed.
        with_events(&at("b.h5"), &at("e.h5"), false, &[]).unwrap();
        assert_eq!(read_events(&at("e.h5")).unwrap(), Some(Vec::new()));

        let wrong = EventRow {
            offset_ns: -1,
            score: 2.0,
            ..row(0, EventModality::Audio)
        };
        with_events(&at("a.h5"), &at("f.h5"), false, &[wrong]).unwrap();
        let said = check(&at("f.h5")).unwrap().join("; ");
        assert!(
            said.contains("ends before") && said.contains("outside"),
            "{said}"
        );
    }
}
