//! A plan file, read as the frames come.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anchoring::cue::Cue;
use anchoring::plan::{Anchor, Clip, Entry, Header, Line, PlanParseError, PlanReader, Untaken};
use anchoring::tier::Prices;
use anchoring::time::Nanos;

use super::clip_parts::ClipParts;

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
    /// Comes before the entries of its frames.
    Clip(Clip),
    Cue(Cue),
    Candidate(Untaken),
}

/// The next line, which waits for its time.
#[derive(Debug)]
enum NextLine {
    Entry(Entry),
    Clip(Clip),
}

impl NextLine {
    /// The time of its first frame.
    fn at(&self) -> Nanos {
        match self {
            Self::Entry(entry) => entry.planned,
            Self::Clip(clip) => clip.frames.start,
        }
    }
}

/// A plan file: checked in full when it is opened, then read as the frames come.
#[derive(Debug)]
pub(super) struct PlanFile {
    path: PathBuf,
    prices: Prices,
    lines: BufReader<File>,
    reader: PlanReader,
    /// The line after the last one given out.
    ahead: Option<NextLine>,
    /// Frames of clips given out.
    parts: ClipParts,
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

    /// Whether everything has been given out.
    pub(super) fn has_ended(&self) -> bool {
        self.ended && self.parts.first().is_none()
    }

    /// Time of the frame after the last one given out, if known.
    pub(super) fn ahead(&self) -> Option<Nanos> {
        let line = self.ahead.as_ref().map(NextLine::at);
        // Frames of clips count once the line after these clips is known.
        let part = self.parts.first().filter(|_| line.is_some() || self.ended);
        line.into_iter().chain(part).min()
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
            parts: ClipParts::default(),
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
        loop {
            let line = self.ahead.as_ref().map(NextLine::at);
            if line.is_none() && !self.ended {
                match self.line()? {
                    Some(Line::Anchor(anchor)) => return Ok(Some(Item::Anchor(anchor))),
                    Some(Line::Cue(cue)) => return Ok(Some(Item::Cue(cue))),
                    Some(Line::Candidate(one)) => return Ok(Some(Item::Candidate(one))),
                    Some(Line::Frame(entry)) => self.ahead = Some(NextLine::Entry(entry)),
                    Some(Line::Clip(clip)) => self.ahead = Some(NextLine::Clip(clip)),
                    Some(Line::Plan(_)) => {}
                    None => self.ended = true,
                }
                continue;
            }
            let part = self.parts.first();
            match (part, line) {
                (Some(part), line) if line.is_none_or(|line| part < line) => {
                    let entry = (part <= until).then(|| self.parts.pop()).flatten();
                    return Ok(entry.map(Item::Entry));
                }
                (_, Some(line)) if line <= until => {}
                _ => return Ok(None),
            }
            match self.ahead.take() {
                Some(NextLine::Entry(entry)) => return Ok(Some(Item::Entry(entry))),
                Some(NextLine::Clip(clip)) => {
                    self.parts.add(&clip);
                    return Ok(Some(Item::Clip(clip)));
                }
                None => {}
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
    // A line that is not UTF-8 is not JSON either: the reader reports it with its number.
    let text = String::from_utf8_lossy(&text);
    let line = reader.feed(text.trim_end_matches(['\r', '\n']));
    line.map(Some).map_err(|source| PlanFileError::Bad {
        path: path.into(),
        source: Box::new(source),
    })
}
