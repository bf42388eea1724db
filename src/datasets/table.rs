//! Reads a CSV or TSV table with a header. Columns go by name, in any order; every value knows its place.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::bail;

use super::text;

/// Most rows of one table.
const MOST_ROWS: usize = 10_000_000;

/// A table.
pub(crate) struct Table {
    path: PathBuf,
    header: csv::StringRecord,
    reader: csv::Reader<std::io::Cursor<Vec<u8>>>,
}

/// The position of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Column(usize);

impl Table {
    /// Reads a file's header. Columns are separated by tabs if the header has any, else by semicolons if it has any, else by commas.
    ///
    /// # Errors
    /// The file cannot be read, or a column comes twice.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let bytes = text::bytes(path)?;
        let first = bytes.split(|byte| *byte == b'\n').next();
        let has = |byte: u8| first.unwrap_or_default().contains(&byte);
        let tabs = has(b'\t');
        let delimiter = [b'\t', b';'].into_iter().find(|byte| has(*byte));
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter.unwrap_or(b','))
            .quoting(!tabs)
            .trim(csv::Trim::All)
            .from_reader(std::io::Cursor::new(bytes));
        let header = match reader.headers() {
            Ok(header) => header.clone(),
            Err(e) => bail!("{}: {}", path.display(), said(&e)),
        };
        let mut seen = HashSet::new();
        if let Some(twice) = header.iter().find(|name| !seen.insert(*name)) {
            bail!("{} has the column `{twice}` twice", path.display());
        }
        Ok(Self {
            path: path.into(),
            header,
            reader,
        })
    }

    /// A column by the first of its names that exists.
    pub(crate) fn find(&self, names: &[&str]) -> Option<Column> {
        let at = |name: &&str| self.header.iter().position(|found| found == *name);
        names.iter().find_map(at).map(Column)
    }

    /// A required column. `what` describes the table, for the error.
    ///
    /// # Errors
    /// It does not exist.
    pub(crate) fn column(&self, name: &str, what: &str) -> anyhow::Result<Column> {
        let Some(column) = self.find(&[name]) else {
            let mut has = self.header.iter().collect::<Vec<_>>().join(", ");
            has = has.chars().take(300).collect();
            bail!(
                "{} has no column `{name}`; it has {has}. {what} (is the first line missing, or is it another file?)",
                self.path.display()
            );
        };
        Ok(column)
    }

    /// Every row.
    ///
    /// # Errors
    /// A row has more or fewer fields than the header, or there are none or too many.
    pub(crate) fn rows(
        &mut self,
        mut each: impl FnMut(&Row<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<usize> {
        let mut record = csv::StringRecord::new();
        let mut count = 0;
        loop {
            match self.reader.read_record(&mut record) {
                Ok(false) => break,
                Ok(true) => {}
                Err(e) => bail!("{}: {}", self.path.display(), said(&e)),
            }
            count += 1;
            if count > MOST_ROWS {
                bail!("{} has more than {MOST_ROWS} rows", self.path.display());
            }
            each(&Row {
                path: &self.path,
                header: &self.header,
                line: record.position().map_or(0, csv::Position::line),
                record: &record,
            })?;
        }
        if count == 0 {
            bail!("{} has a header and no rows", self.path.display());
        }
        Ok(count)
    }
}

/// What is wrong with a row, in words.
fn said(e: &csv::Error) -> String {
    match e.kind() {
        csv::ErrorKind::UnequalLengths {
            pos,
            expected_len,
            len,
        } => format!(
            "line {} has {len} fields, the header {expected_len} (is a comma not quoted, or the line cut off?)",
            pos.as_ref().map_or(0, csv::Position::line)
        ),
        csv::ErrorKind::Utf8 { pos, .. } => format!(
            "line {} is not UTF-8: was it saved in another encoding?",
            pos.as_ref().map_or(0, csv::Position::line)
        ),
        _ => e.to_string(),
    }
}

/// A row of a table.
pub(crate) struct Row<'a> {
    path: &'a Path,
    header: &'a csv::StringRecord,
    line: u64,
    record: &'a csv::StringRecord,
}

impl Row<'_> {
    /// The value of a column; may be empty.
    pub(crate) fn text(&self, column: Column) -> &str {
        self.record.get(column.0).unwrap_or_default()
    }

    /// Its line in the file, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// An error about a value.
    pub(crate) fn wrong(&self, column: Column, rule: &str) -> anyhow::Error {
        let value: String = self.text(column).chars().take(100).collect();
        let name = self.header.get(column.0).unwrap_or_default();
        anyhow::anyhow!(
            "{} line {}: {name} is `{value}`: {rule}",
            self.path.display(),
            self.line
        )
    }

    /// The value of a column, which must not be empty.
    ///
    /// # Errors
    /// It is empty.
    pub(crate) fn word(&self, column: Column) -> anyhow::Result<&str> {
        match self.text(column) {
            "" => Err(self.wrong(column, "must not be empty")),
            text => Ok(text),
        }
    }

    /// A time: seconds, or hours, minutes and seconds between colons.
    ///
    /// # Errors
    /// It is not a time.
    pub(crate) fn seconds(&self, column: Column) -> anyhow::Result<f64> {
        seconds(self.text(column)).ok_or_else(|| {
            self.wrong(
                column,
                "must be seconds or HH:MM:SS.sss, finite and not negative",
            )
        })
    }

    /// A time span. `rule`: what is allowed of a span that ends when it begins.
    ///
    /// # Errors
    /// A time is invalid, or the span ends before it begins.
    pub(crate) fn span(&self, start: Column, stop: Column) -> anyhow::Result<(f64, f64)> {
        let (from, until) = (self.seconds(start)?, self.seconds(stop)?);
        if until < from {
            return Err(self.wrong(
                stop,
                &format!("must not be before the start, {from} (are the columns swapped?)"),
            ));
        }
        Ok((from, until))
    }

    /// A whole number from 0.
    ///
    /// # Errors
    /// It is not a whole number.
    pub(crate) fn index(&self, column: Column) -> anyhow::Result<u32> {
        let text = self.text(column);
        text.parse()
            .map_err(|_| self.wrong(column, "must be a whole number from 0"))
    }
}

/// Seconds, or hours, minutes and seconds between colons.
pub(crate) fn seconds(text: &str) -> Option<f64> {
    if text.split(':').count() > 3 {
        return None;
    }
    let mut seconds = 0.0;
    for part in text.split(':') {
        let part: f64 = part.parse().ok()?;
        if !(0.0..=1e9).contains(&part) {
            return None;
        }
        seconds = seconds * 60.0 + part;
    }
    Some(seconds)
}
