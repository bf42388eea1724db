//! Reads a plan line by line and checks it like any other input.

use std::fmt::Display;

use serde_json::{Map, Value};

use super::{Entry, Header, Line, Plan, Reason, SCHEMA};
use crate::anchor::Anchor;
use crate::cue::{Cue, HOP, Onset, TOP, Tag};
use crate::global::{MAX_DURATION, MIN_DURATION};
use crate::tier::{Prices, Tier, Tokens};
use crate::time::{Nanos, Window};

/// What is wrong with a plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("plan line {line}: {field} is {value}: {rule} ({hint})")]
pub struct BadPlan {
    /// Counts from 1.
    pub line: u64,
    /// The field as it stands in the line.
    pub field: String,
    /// What stands there, shortened.
    pub value: String,
    /// What it must be.
    pub rule: String,
    /// The likely mistake.
    pub hint: String,
}

impl BadPlan {
    fn new(
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

/// Reads a plan in constant memory, and checks each line against those before it.
///
/// Anchors are in order and their windows disjoint, frames are in order, cues are in order; each kind by itself. An anchor comes before the
/// frames that name it.
#[derive(Clone, Debug)]
pub struct PlanReader {
    prices: Option<Prices>,
    line: u64,
    /// Duration, budget, announced spending.
    header: Option<(Nanos, Tokens, Tokens)>,
    anchors: u32,
    last_window: Option<Window>,
    last_frame: Option<Nanos>,
    last_cue: Option<Nanos>,
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
            last_cue: None,
            spent: 0,
        }
    }

    /// The next line; `None` for an empty one.
    ///
    /// # Errors
    /// The line is no line of a plan, or contradicts an earlier one.
    pub fn feed(&mut self, text: &str) -> Result<Option<Line>, BadPlan> {
        self.line = self.line.saturating_add(1);
        if text.trim().is_empty() {
            return Ok(None);
        }
        let line = Line::parse(text, self.line)?;
        let Some((duration, budget, _)) = self.header else {
            let Line::Plan(header) = &line else {
                return Err(self.bad(
                    "kind",
                    kind(&line),
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
            Line::Frame(entry) => self.frame(entry, duration, budget)?,
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

    fn anchor(&mut self, anchor: &Anchor, duration: Nanos) -> Result<(), BadPlan> {
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
                "are two windows to be one, or to part between their onsets?",
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

    fn frame(&mut self, entry: &Entry, duration: Nanos, budget: Tokens) -> Result<(), BadPlan> {
        let requested = entry.requested;
        if requested >= duration {
            return Err(self.bad(
                "requested_ns",
                requested.get(),
                format!(
                    "must lie below the recording's duration_ns {}",
                    duration.get()
                ),
                beyond(duration),
            ));
        }
        if let Some(last) = self.last_frame
            && requested <= last
        {
            return Err(self.bad(
                "requested_ns",
                requested.get(),
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
                format!("a picture of tier {} costs {price}", entry.tier),
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
        self.last_frame = Some(requested);
        Ok(())
    }

    /// Call after the last line.
    ///
    /// # Errors
    /// There was no header, or the frames don't cost what it says.
    pub fn finish(self) -> Result<(), BadPlan> {
        let Some((_, _, spent)) = self.header else {
            return Err(BadPlan::new(
                self.line + 1,
                "kind",
                "missing",
                "the first line must be of kind plan",
                "is the file empty?",
            ));
        };
        if spent != self.spent {
            return Err(BadPlan::new(
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
    ) -> BadPlan {
        BadPlan::new(self.line, field, value, rule, hint)
    }
}

fn beyond(duration: Nanos) -> String {
    format!("is it another recording's plan? this one lasts {duration}")
}

fn kind(line: &Line) -> &'static str {
    match line {
        Line::Plan(_) => "plan",
        Line::Anchor(_) => "anchor",
        Line::Frame(_) => "frame",
        Line::Cue(_) => "cue",
    }
}

impl Plan {
    /// A whole plan from its lines; cues are checked and left out.
    ///
    /// # Errors
    /// As [`PlanReader::feed`] and [`PlanReader::finish`].
    pub fn read<'a>(
        lines: impl IntoIterator<Item = &'a str>,
        prices: Option<Prices>,
    ) -> Result<Self, BadPlan> {
        let mut reader = PlanReader::new(prices);
        let mut header = None;
        let (mut anchors, mut entries) = (Vec::new(), Vec::new());
        for text in lines {
            match reader.feed(text)? {
                Some(Line::Plan(first)) => header = Some(first),
                Some(Line::Anchor(anchor)) => anchors.push(anchor),
                Some(Line::Frame(entry)) => entries.push(entry),
                Some(Line::Cue(_)) | None => {}
            }
        }
        let line = reader.line;
        reader.finish()?;
        let Some(header) = header else {
            return Err(BadPlan::new(
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
        })
    }
}

impl Line {
    /// One line of a plan by itself: names, types and ranges, not its place among the others. `number` is for the error.
    ///
    /// # Errors
    /// It is not a line of a plan.
    pub fn parse(text: &str, number: u64) -> Result<Self, BadPlan> {
        let map = match serde_json::from_str(text) {
            Ok(Value::Object(map)) => map,
            Ok(other) => {
                let hint = "a plan has one object a line, and is no array";
                return Err(BadPlan::new(
                    number,
                    "line",
                    other,
                    "must be a JSON object",
                    hint,
                ));
            }
            Err(error) => {
                let hint = format!("{error}; is it a plan at all? it has one object a line");
                return Err(BadPlan::new(
                    number,
                    "line",
                    text,
                    "must be a JSON object",
                    hint,
                ));
            }
        };
        let mut fields = Fields { number, map };
        let line = match fields.text("kind")?.as_str() {
            "plan" => Self::Plan(fields.header()?),
            "anchor" => Self::Anchor(fields.anchor()?),
            "frame" => Self::Frame(fields.frame()?),
            "cue" => Self::Cue(fields.cue()?),
            other => {
                let rule = "must be plan, anchor, frame or cue";
                return Err(BadPlan::new(number, "kind", other, rule, "is it misspelt?"));
            }
        };
        match fields.map.into_iter().next() {
            None => Ok(line),
            Some((name, value)) => {
                let rule = format!("a line of kind {} has no such field", kind(&line));
                Err(BadPlan::new(number, &name, value, rule, "is it misspelt?"))
            }
        }
    }
}

/// What is left of a line.
struct Fields {
    number: u64,
    map: Map<String, Value>,
}

impl Fields {
    /// Takes a field out; `null` is as good as none.
    fn find(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }

    fn take(&mut self, name: &str) -> Result<Value, BadPlan> {
        self.find(name)
            .ok_or_else(|| self.bad(name, "missing", "must be there", "is it misspelt?"))
    }

    fn bad(&self, name: &str, value: impl Display, rule: &str, hint: &str) -> BadPlan {
        BadPlan::new(self.number, name, value, rule, hint)
    }

    fn text(&mut self, name: &str) -> Result<String, BadPlan> {
        match self.take(name)? {
            Value::String(text) => Ok(text),
            other => Err(self.bad(
                name,
                other,
                "must be text",
                "are the quotation marks missing?",
            )),
        }
    }

    fn one_of<T: std::str::FromStr<Err = String>>(&mut self, name: &str) -> Result<T, BadPlan> {
        let text = self.text(name)?;
        text.parse()
            .map_err(|rule: String| self.bad(name, &text, &rule, "is it misspelt?"))
    }

    fn time(&mut self, name: &str) -> Result<Nanos, BadPlan> {
        let value = self.take(name)?;
        let rule = "must be a whole number of nanoseconds";
        match value.as_i64() {
            Some(ns) => Ok(Nanos::new(ns)),
            None if value.is_f64() => {
                Err(self.bad(name, value, rule, "did you give seconds, or milliseconds?"))
            }
            None => Err(self.bad(name, value, rule, "are there quotation marks around it?")),
        }
    }

    /// A time of the recording.
    fn instant(&mut self, name: &str) -> Result<Nanos, BadPlan> {
        let at = self.time(name)?;
        if at < Nanos::ZERO {
            let hint = "times count from the recording's start; did you give a distance?";
            return Err(self.bad(name, at.get(), "must not be negative", hint));
        }
        Ok(at)
    }

    fn count(&mut self, name: &str, most: u64) -> Result<u64, BadPlan> {
        let value = self.take(name)?;
        match value.as_u64() {
            Some(n) if n <= most => Ok(n),
            _ => {
                let rule = format!("must be a whole number in 0..={most}");
                Err(self.bad(name, value, &rule, "did you give a fraction, or text?"))
            }
        }
    }

    fn share(&mut self, name: &str) -> Result<f32, BadPlan> {
        let value = self.take(name)?;
        self.unit(name, &value)
    }

    fn share_or(&mut self, name: &str, otherwise: f32) -> Result<f32, BadPlan> {
        match self.find(name) {
            None => Ok(otherwise),
            Some(value) => self.unit(name, &value),
        }
    }

    fn unit(&self, name: &str, value: &Value) -> Result<f32, BadPlan> {
        value
            .as_f64()
            .filter(|x| (0.0..=1.0).contains(x))
            .map(|x| x as f32)
            .ok_or_else(|| {
                self.bad(
                    name,
                    value,
                    "must lie in 0..=1",
                    "did you give a percentage?",
                )
            })
    }

    fn header(&mut self) -> Result<Header, BadPlan> {
        let schema = self.text("schema")?;
        if schema != SCHEMA {
            let rule = format!("must be {SCHEMA}");
            return Err(self.bad("schema", schema, &rule, "was it made by another version?"));
        }
        let video_id = self.text("video_id")?;
        let duration = self.instant("duration_ns")?;
        if duration > Nanos::ZERO && duration < MIN_DURATION {
            let rule = format!("must be 0 or at least {} (10 ms)", MIN_DURATION.get());
            return Err(self.bad(
                "duration_ns",
                duration.get(),
                &rule,
                "did you give milliseconds?",
            ));
        }
        if duration > MAX_DURATION {
            let rule = format!("must be at most {} (100 hours)", MAX_DURATION.get());
            return Err(self.bad(
                "duration_ns",
                duration.get(),
                &rule,
                "did you give picoseconds?",
            ));
        }
        let budget_tokens = self.count("budget_tokens", u64::MAX)?;
        let spent_tokens = self.count("spent_tokens", u64::MAX)?;
        if spent_tokens > budget_tokens {
            let rule = format!("must not exceed budget_tokens {budget_tokens}");
            let hint = "are the two mixed up, or is the budget one per second?";
            return Err(self.bad("spent_tokens", spent_tokens, &rule, hint));
        }
        let config = self.find("config").unwrap_or_else(|| Map::new().into());
        if !config.is_object() {
            let hint = "it holds the settings that made the plan; leave it out if there are none";
            return Err(self.bad("config", config, "must be a JSON object", hint));
        }
        Ok(Header {
            schema,
            video_id,
            duration,
            budget_tokens,
            spent_tokens,
            config,
        })
    }

    fn anchor(&mut self) -> Result<Anchor, BadPlan> {
        let id = self.count("id", u64::from(u32::MAX))? as u32;
        let onset = self.instant("onset_ns")?;
        let start = self.instant("start_ns")?;
        let stop = self.instant("stop_ns")?;
        let Some(window) = Window::new(start, stop) else {
            let rule = format!("must be later than start_ns {}", start.get());
            return Err(self.bad("stop_ns", stop.get(), &rule, "are the two mixed up?"));
        };
        if !window.contains(onset) {
            let rule = format!("must lie in the window [{}, {})", start.get(), stop.get());
            let hint = "are its units the same as the window's?";
            return Err(self.bad("onset_ns", onset.get(), &rule, hint));
        }
        let label = match self.find("label") {
            None => String::new(),
            Some(Value::String(label)) => label,
            Some(other) => {
                return Err(self.bad("label", other, "must be text", "is it the class_id?"));
            }
        };
        let class_id = match self.find("class_id") {
            None => -1,
            Some(value) => value
                .as_i64()
                .and_then(|id| i32::try_from(id).ok())
                .filter(|&id| id >= -1)
                .ok_or_else(|| {
                    let rule = "must be a whole number, -1 for none";
                    self.bad("class_id", value, rule, "is it the label?")
                })?,
        };
        Ok(Anchor {
            id,
            onset,
            window,
            label,
            class_id,
            score: self.share_or("score", 1.0)?,
            uncertainty: self.share_or("uncertainty", 0.0)?,
        })
    }

    fn frame(&mut self) -> Result<Entry, BadPlan> {
        let requested = self.instant("requested_ns")?;
        let tier: Tier = self.one_of("tier")?;
        let tokens = self.count("tokens", u64::from(u32::MAX))?;
        let reason: Reason = self.one_of("reason")?;
        let anchor = match self.map.get("anchor") {
            None | Some(Value::Null) => {
                self.map.remove("anchor");
                None
            }
            Some(_) => Some(self.count("anchor", u64::from(u32::MAX))? as u32),
        };
        match (reason, anchor) {
            (Reason::Anchor, None) => {
                let hint = "leave the anchor's id out only for the reasons fallback and uniform";
                Err(self.bad(
                    "anchor",
                    "missing",
                    "a frame of reason anchor names its anchor",
                    hint,
                ))
            }
            (Reason::Fallback | Reason::Uniform, Some(id)) => {
                let rule = format!("a frame of reason {reason} names no anchor");
                Err(self.bad("anchor", id, &rule, "should the reason be anchor?"))
            }
            _ => Ok(Entry {
                requested,
                tier,
                tokens,
                reason,
                anchor,
            }),
        }
    }

    fn cue(&mut self) -> Result<Cue, BadPlan> {
        let pts = self.time("pts_ns")?;
        let eventness = self.share("eventness")?;
        let uncertainty = self.share("uncertainty")?;
        let speech = self.share_or("speech", 0.0)?;
        let tags = match self.find("classes") {
            None => Vec::new(),
            Some(value) => self.tags(&value)?,
        };
        let onset = match self.map.contains_key("onset_ns") {
            false => None,
            true => {
                let at = self.time("onset_ns")?;
                if at < pts || at > pts + HOP {
                    let rule = format!("must lie in the 80 ms from pts_ns {}", pts.get());
                    return Err(self.bad("onset_ns", at.get(), &rule, "are its units the same?"));
                }
                Some(Onset {
                    at,
                    p: self.share("onset_p")?,
                    uncertainty: self.share("onset_uncertainty")?,
                })
            }
        };
        Ok(Cue {
            pts,
            eventness,
            uncertainty,
            speech,
            tags,
            onset,
        })
    }

    fn tags(&self, value: &Value) -> Result<Vec<Tag>, BadPlan> {
        let tag = |pair: &Value| {
            let [id, p] = pair.as_array()?.as_slice() else {
                return None;
            };
            Some(Tag {
                class_id: u16::try_from(id.as_u64()?).ok()?,
                p: self.unit("classes", p).ok()?,
            })
        };
        value
            .as_array()
            .filter(|pairs| pairs.len() <= TOP)
            .and_then(|pairs| pairs.iter().map(tag).collect())
            .ok_or_else(|| {
                let rule = "must be at most five pairs of a class and its probability in 0..=1";
                self.bad(
                    "classes",
                    value,
                    rule,
                    "a pair is [id, p], as in [[388, 0.7]]",
                )
            })
    }
}

#[cfg(test)]
mod tests;
