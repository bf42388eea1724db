//! Reads a plan line by line, and checks each line against those before it.

use std::collections::VecDeque;
use std::fmt::Display;

use super::{Anchor, Clip, Entry, Line, MOST_CLIPS_OPEN, Plan, Untaken};
use crate::tier::{Prices, Tokens};
use crate::time::{Nanos, Window};

/// Why a plan is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("plan line {line}: {field} is {value}: {rule} ({hint})")]
pub struct PlanParseError {
    /// Line number, from 1.
    pub line: u64,
    /// The field as it stands in the line.
    pub field: String,
    /// The value found, shortened.
    pub value: String,
    /// What it must be.
    pub rule: String,
    /// The likely mistake.
    pub hint: String,
}

impl PlanParseError {
    pub(super) fn new(
        line: u64,
        field: &str,
        value: impl Display,
        rule: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let mut value = value.to_string();
        if value.chars().count() > 60 {
            value = value.chars().take(57).chain("...".chars()).collect();
        }
        Self {
            line,
            field: field.into(),
            value,
            rule: rule.into(),
            hint: hint.into(),
        }
    }
}

/// Reads a plan in constant memory.
///
/// Anchors are in order and their windows disjoint; frames are in order; cues are in order. An anchor comes before
/// the frames that name it.
#[derive(Clone, Debug)]
pub struct PlanReader {
    prices: Option<Prices>,
    line: u64,
    /// Duration, budget, and tokens spent according to the header.
    header: Option<(Nanos, Tokens, Tokens)>,
    anchors: u32,
    last_window: Option<Window>,
    last_frame: Option<Nanos>,
    /// Whether entries are clips, once there is one.
    clips: Option<bool>,
    /// Start of the last clip.
    last_clip: Option<Nanos>,
    /// Where each clip stops that the last one may overlap.
    open: VecDeque<Nanos>,
    last_cue: Option<Nanos>,
    last_candidate: Option<Nanos>,
    spent: Tokens,
}

impl PlanReader {
    /// With prices, every frame must cost what its tier costs.
    pub fn new(prices: Option<Prices>) -> Self {
        Self {
            prices,
            line: 0,
            header: None,
            anchors: 0,
            last_window: None,
            last_frame: None,
            clips: None,
            last_clip: None,
            open: VecDeque::new(),
            last_cue: None,
            last_candidate: None,
            spent: 0,
        }
    }

    /// Reads the next line; `None` for an empty one.
    ///
    /// # Errors
    /// The text is not a line of a plan, or contradicts an earlier one.
    pub fn feed(&mut self, text: &str) -> Result<Option<Line>, PlanParseError> {
        self.line = self.line.saturating_add(1);
        if text.trim().is_empty() {
            return Ok(None);
        }
        let line = Line::parse(text, self.line)?;
        let Some((duration, budget, _)) = self.header else {
            let Line::Plan(header) = &line else {
                return Err(self.bad(
                    "kind",
                    line.kind(),
                    "the first line must be of kind plan",
                    "is the header missing?",
                ));
            };
            self.header = Some((header.duration, header.budget_tokens, header.spent_tokens));
            return Ok(Some(line));
        };
        match &line {
            Line::Plan(_) => {
                return Err(self.bad(
                    "kind",
                    "plan",
                    "there is one header, on the first line",
                    "were two plans joined?",
                ));
            }
            Line::Anchor(anchor) => self.anchor(anchor, duration)?,
            Line::Frame(entry) => self.frame(entry, duration, budget, false)?,
            Line::Clip(clip) => {
                self.clip(clip, duration)?;
                self.frame(&clip.entry, duration, budget, true)?;
            }
            Line::Candidate(candidate) => self.candidate(candidate, duration)?,
            Line::Cue(cue) => {
                if self.last_cue.is_some_and(|last| cue.pts <= last) {
                    return Err(self.bad(
                        "pts_ns",
                        cue.pts.get(),
                        "cues must be in the order of time",
                        "were lines sorted as text, or joined from two recordings?",
                    ));
                }
                self.last_cue = Some(cue.pts);
            }
        }
        Ok(Some(line))
    }

    fn anchor(&mut self, anchor: &Anchor, duration: Nanos) -> Result<(), PlanParseError> {
        if anchor.id != self.anchors {
            return Err(self.bad(
                "id",
                anchor.id,
                format!(
                    "anchors count from 0 in the order of time; this one is {}",
                    self.anchors
                ),
                "was a line left out, or put elsewhere?",
            ));
        }
        if let Some(last) = self.last_window
            && anchor.window.start() < last.stop()
        {
            return Err(self.bad(
                "start_ns",
                anchor.window.start().get(),
                format!(
                    "windows are in order and disjoint; the last one stops at {}",
                    last.stop().get()
                ),
                "should the windows be one, or part between their onsets?",
            ));
        }
        if anchor.window.stop() > duration {
            return Err(self.bad(
                "stop_ns",
                anchor.window.stop().get(),
                format!(
                    "must not exceed the recording's duration_ns {}",
                    duration.get()
                ),
                beyond(duration),
            ));
        }
        self.anchors += 1;
        self.last_window = Some(anchor.window);
        Ok(())
    }

    fn candidate(&mut self, candidate: &Untaken, duration: Nanos) -> Result<(), PlanParseError> {
        let onset = candidate.onset;
        if onset >= duration {
            return Err(self.bad(
                "onset_ns",
                onset.get(),
                format!(
                    "must lie below the recording's duration_ns {}",
                    duration.get()
                ),
                beyond(duration),
            ));
        }
        if self.last_candidate.is_some_and(|last| onset < last) {
            return Err(self.bad(
                "onset_ns",
                onset.get(),
                "candidates must be in the order of time",
                "were lines sorted as text, or joined from two recordings?",
            ));
        }
        self.last_candidate = Some(onset);
        Ok(())
    }

    fn clip(&mut self, clip: &Clip, duration: Nanos) -> Result<(), PlanParseError> {
        let start = clip.frames.start;
        if clip.frames.last() >= duration {
            return Err(self.bad(
                "frames_ns",
                clip.frames.last().get(),
                format!(
                    "must lie below the recording's duration_ns {}",
                    duration.get()
                ),
                beyond(duration),
            ));
        }
        if let Some(last) = self.last_clip.filter(|last| start < *last) {
            return Err(self.bad(
                "start_ns",
                start.get(),
                format!(
                    "clips are in the order of time; the last one starts at {}",
                    last.get()
                ),
                "were lines sorted as text?",
            ));
        }
        self.last_clip = Some(start);
        while self.open.front().is_some_and(|stop| *stop <= start) {
            self.open.pop_front();
        }
        if self.open.len() >= MOST_CLIPS_OPEN {
            return Err(self.bad(
                "start_ns",
                start.get(),
                format!("more than {MOST_CLIPS_OPEN} clips overlap here"),
                "is the stride of the grid too small?",
            ));
        }
        self.open.push_back(clip.frames.stop);
        Ok(())
    }

    fn frame(
        &mut self,
        entry: &Entry,
        duration: Nanos,
        budget: Tokens,
        is_clip: bool,
    ) -> Result<(), PlanParseError> {
        if self.clips.is_some_and(|clips| clips != is_clip) {
            return Err(self.bad(
                "kind",
                if is_clip { "clip" } else { "frame" },
                "a plan has frames or clips, not both",
                "were plans of two models joined?",
            ));
        }
        self.clips = Some(is_clip);
        let planned = entry.planned;
        if planned >= duration {
            return Err(self.bad(
                "planned_ns",
                planned.get(),
                format!(
                    "must lie below the recording's duration_ns {}",
                    duration.get()
                ),
                beyond(duration),
            ));
        }
        if let Some(asked) = entry.asked.filter(|asked| *asked >= duration) {
            return Err(self.bad(
                "asked_ns",
                asked.get(),
                format!(
                    "must lie below the recording's duration_ns {}",
                    duration.get()
                ),
                beyond(duration),
            ));
        }
        // Two clips may have one middle frame.
        if let Some(last) = self.last_frame
            && (planned < last || planned == last && !is_clip)
        {
            return Err(self.bad(
                "planned_ns",
                planned.get(),
                format!(
                    "frames are in the order of time; the last one is at {}",
                    last.get()
                ),
                "were lines sorted as text, or is a frame there twice?",
            ));
        }
        if let Some(price) = self.prices.map(|prices| prices.of(entry.tier))
            && entry.tokens != price
        {
            return Err(self.bad(
                "tokens",
                entry.tokens,
                format!("a frame of tier {} costs {price}", entry.tier),
                "was the plan made with other prices?",
            ));
        }
        if let Some(anchor) = entry.anchor
            && anchor >= self.anchors
        {
            return Err(self.bad(
                "anchor",
                anchor,
                format!(
                    "must name an anchor of an earlier line; there are {}",
                    self.anchors
                ),
                "does the anchor's line come later, or was it left out?",
            ));
        }
        self.spent = self.spent.saturating_add(entry.tokens);
        if self.spent > budget {
            return Err(self.bad(
                "tokens",
                entry.tokens,
                format!(
                    "with this frame {} tokens are spent of budget_tokens {budget}",
                    self.spent
                ),
                "were frames added by hand? raise budget_tokens too",
            ));
        }
        self.last_frame = Some(planned);
        Ok(())
    }

    /// Call it after the last line.
    ///
    /// # Errors
    /// There was no header, or the frames do not cost what it says.
    pub fn finish(self) -> Result<(), PlanParseError> {
        let Some((_, _, spent)) = self.header else {
            return Err(PlanParseError::new(
                self.line + 1,
                "kind",
                "missing",
                "the first line must be of kind plan",
                "is the file empty?",
            ));
        };
        if spent != self.spent {
            return Err(PlanParseError::new(
                1,
                "spent_tokens",
                spent,
                format!("the frames cost {} together", self.spent),
                "is the end of the file missing, or were frames added by hand?",
            ));
        }
        Ok(())
    }

    fn bad(
        &self,
        field: &str,
        value: impl Display,
        rule: impl Into<String>,
        hint: impl Into<String>,
    ) -> PlanParseError {
        PlanParseError::new(self.line, field, value, rule, hint)
    }
}

fn beyond(duration: Nanos) -> String {
    format!("is it another recording's plan? this one lasts {duration}")
}

impl Plan {
    /// Reads a whole plan from its lines; cues are checked and dropped.
    ///
    /// # Errors
    /// As [`PlanReader::feed`] and [`PlanReader::finish`].
    pub fn read<'a>(
        lines: impl IntoIterator<Item = &'a str>,
        prices: Option<Prices>,
    ) -> Result<Self, PlanParseError> {
        let mut reader = PlanReader::new(prices);
        let mut header = None;
        let (mut anchors, mut entries, mut untaken) = (Vec::new(), Vec::new(), Vec::new());
        let mut clips = Vec::new();
        for text in lines {
            match reader.feed(text)? {
                Some(Line::Plan(first)) => header = Some(first),
                Some(Line::Anchor(anchor)) => anchors.push(anchor),
                Some(Line::Frame(entry)) => entries.push(entry),
                Some(Line::Clip(clip)) => {
                    entries.push(clip.entry);
                    clips.push(clip.frames);
                }
                Some(Line::Candidate(candidate)) => untaken.push(candidate),
                Some(Line::Cue(_)) | None => {}
            }
        }
        let line = reader.line;
        reader.finish()?;
        let Some(header) = header else {
            return Err(PlanParseError::new(
                line,
                "kind",
                "missing",
                "must be plan",
                "is the file empty?",
            ));
        };
        Ok(Self {
            header,
            anchors,
            entries,
            clips,
            untaken,
        })
    }
}

#[cfg(test)]
mod tests;
