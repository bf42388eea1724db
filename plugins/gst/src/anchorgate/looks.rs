//! Where plan entries come from: a plan file, the planner behind the cues, or every picture.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anchoring::cue::Cue;
use anchoring::plan::{Anchor, BadPlan, Entry, Header, Line, PlanReader, Reason};
use anchoring::settings::Settings;
use anchoring::stream::{Decision, StreamPlanner};
use anchoring::tier::{Prices, Tier};
use anchoring::time::{Nanos, Window};

/// A planner behind the cues is asked so far beyond the pictures, no further: sound that jumps ahead is no work until they follow.
const AHEAD: Nanos = Nanos::from_ms(120_000);
/// Longest line of a plan; the header holds a whole configuration.
const LONGEST_LINE: u64 = 1 << 20;

/// A plan file that cannot be followed.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlanFileError {
    /// It cannot be read.
    #[error("plan {path}: {source} (is the path right?)")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is no plan.
    #[error("plan {path}: {source}")]
    Bad {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<BadPlan>,
    },
    /// It is no text with lines of a sane length.
    #[error(
        "plan {path}: a line is longer than {LONGEST_LINE} bytes: a plan has one JSON object a line (is this another kind of file?)"
    )]
    Line {
        /// The file.
        path: PathBuf,
    },
    /// Nothing in it.
    #[error(
        "plan {path}: no header: the first line must have \"kind\":\"plan\" (is the file empty?)"
    )]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// One thing that the plan says next.
#[derive(Debug)]
pub(super) enum Item {
    Anchor(Anchor),
    Look(Entry),
    Cue(Cue),
}

/// Where plan entries come from.
#[derive(Debug)]
pub(super) enum Looks {
    /// Read as the pictures come.
    Plan(Box<PlanFile>),
    /// Planned behind the cues. The planner's time begins at `origin`, where the recording is entered.
    Stream {
        planner: Box<StreamPlanner>,
        origin: Nanos,
        /// A look that lies too far beyond the pictures to be given out.
        held: Option<Entry>,
    },
    /// Every picture.
    Dense { tier: Tier, tokens: u64 },
}

impl Looks {
    /// `classes`: the tagger's, for offsets by class.
    pub(super) fn stream(
        settings: Settings,
        prices: Prices,
        classes: &[String],
        origin: Nanos,
    ) -> Self {
        Self::Stream {
            planner: Box::new(StreamPlanner::new(settings, prices).with_classes(classes)),
            origin,
            held: None,
        }
    }

    /// The entry that every picture gets, if every picture gets one.
    pub(super) fn dense_entry(&self, pts: Nanos) -> Option<Entry> {
        match *self {
            Self::Dense { tier, tokens } => Some(Entry {
                planned: pts,
                asked: None,
                tier,
                tokens,
                reason: Reason::Uniform,
                anchor: None,
            }),
            _ => None,
        }
    }

    /// A cue of the recording.
    pub(super) fn hear(&mut self, cue: &Cue) {
        if let Self::Stream {
            planner, origin, ..
        } = self
        {
            if *origin == Nanos::ZERO {
                planner.hear(cue);
            } else if cue.pts >= *origin {
                let mut cue = cue.clone();
                cue.pts = cue.pts - *origin;
                if let Some(onset) = &mut cue.onset {
                    onset.at = onset.at - *origin;
                }
                planner.hear(&cue);
            }
        }
    }

    pub(super) fn missing_until(&mut self, until: Nanos) {
        if let Self::Stream {
            planner, origin, ..
        } = self
        {
            planner.missing_until(until - *origin);
        }
    }

    /// There are no pictures between these two.
    pub(super) fn hole(&mut self, hole: Window) {
        if let Self::Stream {
            planner, origin, ..
        } = self
            && let Some(hole) = Window::new(hole.start() - *origin, hole.stop() - *origin)
        {
            planner.hole(hole);
        }
    }

    /// When the recording is expected to stop.
    pub(super) fn expect(&mut self, stop: Nanos) {
        if let Self::Stream {
            planner, origin, ..
        } = self
        {
            planner.expect(stop - *origin);
        }
    }

    /// How far pictures lie apart, if that is known.
    pub(super) fn see(&mut self, frame: Option<Nanos>) {
        if let (Self::Stream { planner, .. }, Some(frame)) = (self, frame) {
            planner.see(frame);
        }
    }

    pub(super) fn no_more_cues(&mut self) {
        if let Self::Stream { planner, .. } = self {
            planner.no_more_cues();
        }
    }

    pub(super) fn finish(&mut self, stop: Nanos) {
        if let Self::Stream {
            planner, origin, ..
        } = self
        {
            planner.finish((stop - *origin).max(Nanos::ZERO));
        }
    }

    /// The next thing the plan says about the time up to `until`.
    pub(super) fn next(&mut self, until: Nanos) -> Result<Option<Item>, PlanFileError> {
        match self {
            Self::Plan(file) => file.next(until),
            Self::Stream {
                planner,
                origin,
                held,
            } => {
                let item = match held.take() {
                    Some(entry) => Some(Item::Look(entry)),
                    None => planner.next().map(|decision| placed(decision, *origin)),
                };
                match item {
                    Some(Item::Look(entry)) if entry.planned > until + AHEAD => {
                        *held = Some(entry);
                        Ok(None)
                    }
                    item => Ok(item),
                }
            }
            Self::Dense { .. } => Ok(None),
        }
    }

    /// Once [`Self::next`] gave nothing: the plan file's next look, `Some(None)` if there is none any more. `None` where looks are not
    /// known beforehand.
    pub(super) fn ahead(&self) -> Option<Option<Nanos>> {
        match self {
            Self::Plan(file) if file.ended => Some(None),
            Self::Plan(file) => Some(Some(file.ahead?.planned)),
            Self::Stream { .. } | Self::Dense { .. } => None,
        }
    }

    /// Every entry planned before this has been given out, once [`Self::next`] gave nothing.
    pub(super) fn decided_until(&self) -> Nanos {
        match self {
            Self::Plan(file) => match file.ahead {
                Some(entry) => entry.planned,
                None if file.ended => Nanos::MAX,
                None => Nanos::ZERO,
            },
            Self::Stream {
                planner,
                origin,
                held,
            } => {
                let decided = planner.decided_until() + *origin;
                held.map_or(decided, |entry| entry.planned.min(decided))
            }
            Self::Dense { .. } => Nanos::MAX,
        }
    }
}

/// What a planner decided, in the recording's time.
fn placed(decision: Decision, origin: Nanos) -> Item {
    match decision {
        Decision::Anchor(mut anchor) => {
            if origin != Nanos::ZERO {
                anchor.onset = anchor.onset + origin;
                let window = anchor.window;
                anchor.window =
                    Window::new(window.start() + origin, window.stop() + origin).unwrap_or(window);
            }
            Item::Anchor(anchor)
        }
        Decision::Look(mut entry) => {
            entry.planned = entry.planned + origin;
            Item::Look(entry)
        }
    }
}

/// A plan file, checked as a whole when it is opened, then read as far as the pictures have come.
#[derive(Debug)]
pub(super) struct PlanFile {
    path: PathBuf,
    prices: Prices,
    lines: BufReader<File>,
    reader: PlanReader,
    /// The frame after the last one given out.
    ahead: Option<Entry>,
    ended: bool,
    /// Whether it holds cues.
    cues: bool,
    header: Header,
}

impl PlanFile {
    /// Opens and checks it.
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

    pub(super) fn has_cues(&self) -> bool {
        self.cues
    }

    /// From its beginning again.
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

    fn next(&mut self, until: Nanos) -> Result<Option<Item>, PlanFileError> {
        if let Some(entry) = self.ahead {
            if entry.planned > until {
                return Ok(None);
            }
            self.ahead = None;
            return Ok(Some(Item::Look(entry)));
        }
        if self.ended {
            return Ok(None);
        }
        loop {
            match self.line()? {
                Some(Line::Anchor(anchor)) => return Ok(Some(Item::Anchor(anchor))),
                Some(Line::Cue(cue)) => return Ok(Some(Item::Cue(cue))),
                Some(Line::Frame(entry)) if entry.planned <= until => {
                    return Ok(Some(Item::Look(entry)));
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
    // What is no UTF-8 is no JSON either, and is reported as such with its line.
    let text = String::from_utf8_lossy(&text);
    let line = reader.feed(text.trim_end_matches(['\r', '\n']));
    line.map(Some).map_err(|source| PlanFileError::Bad {
        path: path.into(),
        source: Box::new(source),
    })
}
