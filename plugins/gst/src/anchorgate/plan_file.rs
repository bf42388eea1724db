//! A plan file, read as the frames come.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anchoring::cue::Cue;
use anchoring::plan::{Anchor, Entry, Header, Line, PlanParseError, PlanReader, Untaken};
use anchoring::tier::Prices;
use anchoring::time::Nanos;

/// Longest line of a plan; the header holds a whole configuration.
const LONGEST_LINE: u64 = 1 << 20;

/// Why a plan file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlanFileError {
    /// It cannot be read.
    #[error("cannot read plan {path}: {source} (is the path right?)")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It breaks a rule of plans.
    #[error("plan {path}: {source}")]
    Bad {
        /// The file.
        path: PathBuf,
        /// The line and the rule.
        source: Box<PlanParseError>,
    },
    /// A line is too long.
    #[error(
        "plan {path}: a line is longer than {LONGEST_LINE} bytes, but a plan has one JSON object per line (another kind of file?)"
    )]
    Line {
        /// The file.
        path: PathBuf,
    },
    /// It has no header.
    #[error(
        "plan {path} has no header: its first line must have \"kind\":\"plan\" (is the file empty?)"
    )]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// One item of a plan.
#[derive(Debug)]
pub(super) enum Item {
    Anchor(Anchor),
    Entry(Entry),
    Cue(Cue),
    Candidate(Untaken),
}

/// A plan file: checked in full when it is opened, then read as the frames come.
#[derive(Debug)]
pub(super) struct PlanFile {
    path: PathBuf,
    prices: Prices,
    lines: BufReader<File>,
    reader: PlanReader,
    /// The entry after the last one given out.
    ahead: Option<Entry>,
    ended: bool,
    /// Whether it has cues.
    cues: bool,
    header: Header,
}

impl PlanFile {
    /// Opens and checks a file.
    pub(super) fn open(path: &Path, prices: Prices) -> Result<Self, PlanFileError> {
        let mut file = Self::begin(path, prices)?;
        let mut cues = false;
        while let Some(line) = file.line()? {
            cues |= matches!(line, Line::Cue(_));
        }
        file.reader.finish().map_err(|source| PlanFileError::Bad {
            path: path.into(),
            source: Box::new(source),
        })?;
        let mut file = Self::begin(path, prices)?;
        file.cues = cues;
        Ok(file)
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// Whether every line has been given out.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// The entry after the last one given out, if it has been read.
    pub(super) fn ahead(&self) -> Option<Entry> {
        self.ahead
    }

    pub(super) fn has_cues(&self) -> bool {
        self.cues
    }

    /// The same file from its beginning.
    pub(super) fn again(&self) -> Result<Self, PlanFileError> {
        let mut file = Self::begin(&self.path, self.prices)?;
        file.cues = self.cues;
        Ok(file)
    }

    fn begin(path: &Path, prices: Prices) -> Result<Self, PlanFileError> {
        let file = File::open(path).map_err(|source| PlanFileError::Read {
            path: path.into(),
            source,
        })?;
        let mut lines = BufReader::new(file);
        let mut reader = PlanReader::new(Some(prices));
        let header = loop {
            match read(path, &mut lines, &mut reader)? {
                Some(Some(Line::Plan(header))) => break header,
                Some(_) => {}
                None => return Err(PlanFileError::Empty { path: path.into() }),
            }
        };
        Ok(Self {
            path: path.into(),
            prices,
            lines,
            reader,
            ahead: None,
            ended: false,
            cues: false,
            header,
        })
    }

    fn line(&mut self) -> Result<Option<Line>, PlanFileError> {
        loop {
            match read(&self.path, &mut self.lines, &mut self.reader)? {
                Some(Some(line)) => return Ok(Some(line)),
                Some(None) => {}
                None => return Ok(None),
            }
        }
    }

    pub(super) fn next(&mut self, until: Nanos) -> Result<Option<Item>, PlanFileError> {
        if let Some(entry) = self.ahead {
            if entry.planned > until {
                return Ok(None);
            }
            self.ahead = None;
            return Ok(Some(Item::Entry(entry)));
        }
        if self.ended {
            return Ok(None);
        }
        loop {
            match self.line()? {
                Some(Line::Anchor(anchor)) => return Ok(Some(Item::Anchor(anchor))),
                Some(Line::Cue(cue)) => return Ok(Some(Item::Cue(cue))),
                Some(Line::Candidate(one)) => return Ok(Some(Item::Candidate(one))),
                Some(Line::Frame(entry)) if entry.planned <= until => {
                    return Ok(Some(Item::Entry(entry)));
                }
                Some(Line::Frame(entry)) => {
                    self.ahead = Some(entry);
                    return Ok(None);
                }
                Some(Line::Plan(_)) => {}
                None => {
                    self.ended = true;
                    return Ok(None);
                }
            }
        }
    }
}

/// `None` at the end, `Some(None)` for an empty line.
fn read(
    path: &Path,
    lines: &mut BufReader<File>,
    reader: &mut PlanReader,
) -> Result<Option<Option<Line>>, PlanFileError> {
    let mut text = Vec::new();
    let read = lines
        .take(LONGEST_LINE)
        .read_until(b'\n', &mut text)
        .map_err(|source| PlanFileError::Read {
            path: path.into(),
            source,
        })?;
    if read == 0 {
        return Ok(None);
    }
    if read as u64 == LONGEST_LINE && !text.ends_with(b"\n") {
        return Err(PlanFileError::Line { path: path.into() });
    }
    // A line that is no UTF-8 is no JSON either, and is reported with its number.
    let text = String::from_utf8_lossy(&text);
    let line = reader.feed(text.trim_end_matches(['\r', '\n']));
    line.map(Some).map_err(|source| PlanFileError::Bad {
        path: path.into(),
        source: Box::new(source),
    })
}
