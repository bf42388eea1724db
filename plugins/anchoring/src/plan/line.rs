//! Parses one line of `plan.jsonl`: names, types and ranges.

use std::fmt::Display;

use serde_json::{Map, Value};

use super::read::PlanParseError;
use super::{
    Anchor, Clip, ClipFrames, Entry, Header, Line, MAX_DURATION, MIN_DURATION, MOST_CLIP_FRAMES,
    NO_FRAME, OLD_SCHEMA, Reason, SCHEMA, Untaken,
};
use crate::cue::{COARSE, Cue, HOP, MOST_CHANGE, Onset, SoundQuality, TOP, Tag};
use crate::settings::FURTHEST_MS;
use crate::tier::Tier;
use crate::time::{Nanos, Window};

impl Line {
    /// Parses one line of a plan on its own: names, types and ranges, not its place among the others. `number` is for
    /// the error.
    ///
    /// # Errors
    /// The text is not a line of a plan.
    pub fn parse(text: &str, number: u64) -> Result<Self, PlanParseError> {
        let map = match serde_json::from_str(text) {
            Ok(Value::Object(map)) => map,
            Ok(other) => {
                let hint = "a plan holds one JSON object per line, not an array";
                return Err(PlanParseError::new(
                    number,
                    "line",
                    other,
                    "must be a JSON object",
                    hint,
                ));
            }
            Err(error) => {
                let hint =
                    format!("{error}; is this a plan? a plan holds one JSON object per line");
                return Err(PlanParseError::new(
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
            "clip" => Self::Clip(fields.clip()?),
            "cue" => Self::Cue(fields.cue()?),
            "candidate" => Self::Candidate(fields.candidate()?),
            other => {
                let rule = "must be plan, anchor, frame, clip, candidate or cue";
                return Err(PlanParseError::new(
                    number,
                    "kind",
                    other,
                    rule,
                    "is it misspelt?",
                ));
            }
        };
        match fields.map.into_iter().next() {
            None => Ok(line),
            Some((name, value)) => {
                let rule = format!("unknown field in a line of kind {}", line.kind());
                Err(PlanParseError::new(
                    number,
                    &name,
                    value,
                    rule,
                    "is it misspelt?",
                ))
            }
        }
    }
}

/// The fields of a line that have not been read.
struct Fields {
    number: u64,
    map: Map<String, Value>,
}

impl Fields {
    /// Takes a field out; `null` counts as absent.
    fn find(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }

    fn take(&mut self, name: &str) -> Result<Value, PlanParseError> {
        self.find(name)
            .ok_or_else(|| self.bad(name, "missing", "must be there", "is it misspelt?"))
    }

    fn bad(&self, name: &str, value: impl Display, rule: &str, hint: &str) -> PlanParseError {
        PlanParseError::new(self.number, name, value, rule, hint)
    }

    fn text(&mut self, name: &str) -> Result<String, PlanParseError> {
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

    fn one_of<T: std::str::FromStr<Err = String>>(
        &mut self,
        name: &str,
    ) -> Result<T, PlanParseError> {
        let text = self.text(name)?;
        text.parse()
            .map_err(|rule: String| self.bad(name, &text, &rule, "is it misspelt?"))
    }

    fn time(&mut self, name: &str) -> Result<Nanos, PlanParseError> {
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
    fn instant(&mut self, name: &str) -> Result<Nanos, PlanParseError> {
        let at = self.time(name)?;
        if at < Nanos::ZERO {
            let hint = "times count from the recording's start; did you give a distance?";
            return Err(self.bad(name, at.get(), "must not be negative", hint));
        }
        Ok(at)
    }

    fn count(&mut self, name: &str, most: u64) -> Result<u64, PlanParseError> {
        let value = self.take(name)?;
        match value.as_u64() {
            Some(n) if n <= most => Ok(n),
            _ => {
                let rule = format!("must be a whole number in 0..={most}");
                Err(self.bad(name, value, &rule, "did you give a fraction, or text?"))
            }
        }
    }

    fn share(&mut self, name: &str) -> Result<f32, PlanParseError> {
        let value = self.take(name)?;
        self.unit(name, &value)
    }

    fn share_or(&mut self, name: &str, otherwise: f32) -> Result<f32, PlanParseError> {
        match self.find(name) {
            None => Ok(otherwise),
            Some(value) => self.unit(name, &value),
        }
    }

    fn unit(&self, name: &str, value: &Value) -> Result<f32, PlanParseError> {
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

    fn header(&mut self) -> Result<Header, PlanParseError> {
        let schema = self.text("schema")?;
        if ![SCHEMA, OLD_SCHEMA].contains(&schema.as_str()) {
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
            schema: SCHEMA.into(),
            video_id,
            duration,
            budget_tokens,
            spent_tokens,
            config,
            candidates_per_min: match self.map.contains_key("candidates_per_min") {
                true => self.count("candidates_per_min", u64::from(u32::MAX))? as u32,
                false => 0,
            },
        })
    }

    fn anchor(&mut self) -> Result<Anchor, PlanParseError> {
        let id = self.count("id", u64::from(u32::MAX))? as u32;
        let onset = self.instant("onset_ns")?;
        let start = self.instant("start_ns")?;
        let stop = self.instant("stop_ns")?;
        let Some(window) = Window::new(start, stop) else {
            let rule = format!("must be later than start_ns {}", start.get());
            return Err(self.bad("stop_ns", stop.get(), &rule, "are the two mixed up?"));
        };
        // The window lies where the event is visible: at the onset, or as far from it as offsets reach.
        let furthest = Nanos::from_ms(FURTHEST_MS.into());
        let (from, until) = (start - furthest, stop + furthest);
        if onset < from || onset >= until {
            let rule = format!(
                "must lie within {furthest} of the window [{}, {})",
                start.get(),
                stop.get()
            );
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
        let score = self.share_or("score", 1.0)?;
        Ok(Anchor {
            id,
            onset,
            window,
            label,
            class_id,
            score,
            uncertainty: self.share_or("uncertainty", 1.0 - score)?,
        })
    }

    fn candidate(&mut self) -> Result<Untaken, PlanParseError> {
        let onset = self.instant("onset_ns")?;
        let score = self.share("score")?;
        let more_tokens = match self.map.get("more_tokens") {
            None | Some(Value::Null) => {
                self.map.remove("more_tokens");
                None
            }
            Some(_) => Some(self.count("more_tokens", i64::MAX as u64)?),
        };
        Ok(Untaken {
            onset,
            score,
            more_tokens,
        })
    }

    fn frame(&mut self) -> Result<Entry, PlanParseError> {
        // The old schema uses two other names.
        let time = match self.map.contains_key("requested_ns") {
            true => "requested_ns",
            false => "planned_ns",
        };
        let planned = self.instant(time)?;
        let asked = match self.map.get("asked_ns") {
            None | Some(Value::Null) => {
                self.map.remove("asked_ns");
                None
            }
            Some(_) => Some(self.instant("asked_ns")?),
        };
        let tier: Tier = self.one_of("tier")?;
        let tokens = self.count("tokens", u64::from(u32::MAX))?;
        let reason = match self.map.get("reason").and_then(Value::as_str) {
            Some("fallback") => {
                self.map.remove("reason");
                Reason::Untrusted
            }
            _ => self.one_of("reason")?,
        };
        let anchor = match self.map.get("anchor") {
            None | Some(Value::Null) => {
                self.map.remove("anchor");
                None
            }
            Some(_) => Some(self.count("anchor", u64::from(u32::MAX))? as u32),
        };
        match (reason, anchor) {
            (Reason::Anchor, None) => {
                let hint = "leave the anchor's id out only for the reasons background, untrusted and uniform";
                Err(self.bad(
                    "anchor",
                    "missing",
                    "a frame of reason anchor names its anchor",
                    hint,
                ))
            }
            (Reason::Untrusted | Reason::Background | Reason::Uniform, Some(id)) => {
                let rule = format!("a frame of reason {reason} names no anchor");
                Err(self.bad("anchor", id, &rule, "should the reason be anchor?"))
            }
            _ => Ok(Entry {
                planned,
                asked,
                tier,
                tokens,
                reason,
                anchor,
            }),
        }
    }

    fn clip(&mut self) -> Result<Clip, PlanParseError> {
        let (start, stop) = (self.instant("start_ns")?, self.instant("stop_ns")?);
        let frames = self.take("frames_ns")?;
        let rule = "must be an array of whole numbers of nanoseconds, -1 for no frame";
        let Some(all) = frames.as_array() else {
            return Err(self.bad("frames_ns", frames, rule, "is it one frame's time?"));
        };
        if !(1..=MOST_CLIP_FRAMES).contains(&all.len()) {
            let rule = format!("must have 1..={MOST_CLIP_FRAMES} times");
            let hint = "are they the frames of one clip?";
            return Err(self.bad("frames_ns", all.len(), &rule, hint));
        }
        let mut times = Vec::with_capacity(all.len());
        for value in all {
            match value.as_i64() {
                Some(ns) if ns >= -1 => times.push(Nanos::new(ns)),
                _ => return Err(self.bad("frames_ns", value, rule, "did you give seconds?")),
            }
        }
        let shown: Vec<Nanos> = times.iter().copied().filter(|at| *at != NO_FRAME).collect();
        let (Some(&first), Some(&last)) = (shown.first(), shown.last()) else {
            let hint = "is it a clip outside the recording?";
            return Err(self.bad("frames_ns", "-1", "must have at least one frame", hint));
        };
        if !shown.is_sorted() {
            let hint = "were they sorted as text?";
            return Err(self.bad("frames_ns", frames, "must be in the order of time", hint));
        }
        if first < start || last >= stop {
            let rule = format!(
                "must lie in [start_ns {}, stop_ns {})",
                start.get(),
                stop.get()
            );
            let hint = "does the clip stop with its last frame's beginning, not its end?";
            return Err(self.bad("frames_ns", format!("{first} to {last}"), &rule, hint));
        }
        let entry = self.frame()?;
        if entry.planned < start || entry.planned >= stop {
            let rule = format!(
                "must lie in [start_ns {}, stop_ns {})",
                start.get(),
                stop.get()
            );
            let hint = "it is the time of the clip's middle frame";
            return Err(self.bad("planned_ns", entry.planned.get(), &rule, hint));
        }
        Ok(Clip {
            entry,
            frames: ClipFrames {
                start,
                stop,
                times: times.into(),
            },
        })
    }

    fn cue(&mut self) -> Result<Cue, PlanParseError> {
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
        let bands = match self.find("bands") {
            None => [0; COARSE],
            Some(value) => value
                .as_str()
                .and_then(Cue::bands_from_text)
                .ok_or_else(|| {
                    let rule = "must be 32 hexadecimal digits, two a band";
                    self.bad("bands", value, rule, "leave it out if it is not known")
                })?,
        };
        let change = match self.find("change") {
            None => None,
            Some(value) => Some(
                value
                    .as_f64()
                    .filter(|x| (0.0..=f64::from(MOST_CHANGE)).contains(x))
                    .map(|x| x as f32)
                    .ok_or_else(|| {
                        let rule = format!("must lie in 0..={MOST_CHANGE}");
                        self.bad("change", value, &rule, "1 is usual; is it a percentage?")
                    })?,
            ),
        };
        let quality = match self.find("quality") {
            None => None,
            Some(value) => {
                let quality = value.as_str().and_then(SoundQuality::from_text);
                Some(quality.ok_or_else(|| {
                    let rule = "must be 18 hexadecimal digits, two a measure";
                    self.bad("quality", value, rule, "leave it out if it is not known")
                })?)
            }
        };
        Ok(Cue {
            pts,
            eventness,
            uncertainty,
            speech,
            tags,
            onset,
            bands,
            change,
            quality,
        })
    }

    fn tags(&self, value: &Value) -> Result<Vec<Tag>, PlanParseError> {
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
