//! Reads questions about videos: Earmark's own format, and MUSIC-AVQA and HME-QA (JSON) as published; `choices` reads sets of multiple choice.

mod choices;

use std::path::Path;

use anyhow::bail;
use serde::Deserialize;

use super::text;
pub(crate) use choices::{avqa, egoschema, nextqa, star};

/// Most options of a question: each has a letter.
const MOST_OPTIONS: usize = 26;

/// A question and its answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Question {
    /// Unique if the set's authors keep it so.
    pub(crate) id: String,
    pub(crate) video: String,
    /// The set's name for this kind of question; empty if it has none.
    pub(crate) kind: String,
    pub(crate) question: String,
    /// The possible answers; empty if answers are free.
    pub(crate) options: Vec<String>,
    pub(crate) answer: String,
    /// Where the answer is seen or heard, seconds, if known.
    pub(crate) span: Option<(f64, f64)>,
}

#[derive(Deserialize)]
struct Music {
    video_id: String,
    question_id: i64,
    #[serde(rename = "type")]
    kind: String,
    question_content: String,
    templ_values: String,
    #[serde(default)]
    question_deleted: i64,
    // Spelled this way in the file.
    anser: String,
}

/// MUSIC-AVQA. Skips questions that its authors deleted, and fills in the places `<…>`.
///
/// # Errors
/// The file cannot be read, or a question is invalid.
pub(crate) fn music_avqa(path: &Path) -> anyhow::Result<Vec<Question>> {
    let shape = "MUSIC-AVQA's questions: [{\"video_id\", \"question_id\", \"type\", \"question_content\", \"templ_values\", \"anser\"}, …]";
    let given: Vec<Music> = text::json(path, shape)?;
    let mut all = Vec::with_capacity(given.len());
    for music in given {
        if music.question_deleted != 0 {
            continue;
        }
        let list = |field: &str, text: &str| -> anyhow::Result<Vec<String>> {
            serde_json::from_str(text).map_err(|_| {
                anyhow::anyhow!(
                    "{}: question {}: {field} is `{text}`: must be a list of words",
                    path.display(),
                    music.question_id
                )
            })
        };
        let kind = list("type", &music.kind)?.join(" ");
        let values = list("templ_values", &music.templ_values)?;
        let Some(question) = filled(&music.question_content, &values) else {
            bail!(
                "{}: question {}: the number of places in `{}` differs from the number of words in templ_values, {}",
                path.display(),
                music.question_id,
                music.question_content,
                values.len()
            );
        };
        all.push(Question {
            id: music.question_id.to_string(),
            video: music.video_id,
            kind,
            question,
            options: Vec::new(),
            answer: music.anser,
            span: None,
        });
    }
    Ok(all)
}

/// A question with its places `<…>` filled in, in order; `None` if the numbers differ.
fn filled(question: &str, values: &[String]) -> Option<String> {
    let mut text = String::new();
    let mut rest = question;
    let mut values = values.iter();
    while let Some((before, after)) = rest.split_once('<') {
        let (_, after) = after.split_once('>')?;
        text.push_str(before);
        text.push_str(values.next()?);
        rest = after;
    }
    text.push_str(rest);
    values.next().is_none().then_some(text)
}

#[derive(Deserialize)]
struct Remembered {
    video_uid: String,
    memory_qa_pairs: Vec<Memory>,
}

#[derive(Deserialize)]
struct Memory {
    question: String,
    answer: String,
    start_time_sec: f64,
    end_time_sec: f64,
}

/// HME-QA: questions about what the wearer did, each with the span that answers it.
///
/// # Errors
/// The file cannot be read, or a question is invalid.
pub(crate) fn hme_qa(path: &Path) -> anyhow::Result<Vec<Question>> {
    let shape = "HME-QA's questions: [{\"video_uid\", \"memory_qa_pairs\": [{\"question\", \"answer\", \"start_time_sec\", \"end_time_sec\"}, …]}, …]";
    let given: Vec<Remembered> = text::json(path, shape)?;
    let mut all = Vec::new();
    for video in given {
        for (i, memory) in video.memory_qa_pairs.into_iter().enumerate() {
            let (start, stop) = (memory.start_time_sec, memory.end_time_sec);
            if !(0.0 <= start && start <= stop) {
                bail!(
                    "{}: {}, question {i}: its span is {start} to {stop} s: must not begin before 0 or stop before it starts",
                    path.display(),
                    video.video_uid
                );
            }
            all.push(Question {
                id: format!("{}_{i}", video.video_uid),
                video: video.video_uid.clone(),
                kind: String::new(),
                question: memory.question,
                options: Vec::new(),
                answer: memory.answer,
                span: Some((start, stop)),
            });
        }
    }
    Ok(all)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    video: String,
    question: String,
    answer: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    options: Vec<String>,
    start_s: Option<f64>,
    stop_s: Option<f64>,
}

/// Earmark's own format: one JSON object per line.
///
/// # Errors
/// The file cannot be read, or a question is invalid.
pub(crate) fn own(path: &Path) -> anyhow::Result<Vec<Question>> {
    let shape = "{\"video\": …, \"question\": …, \"answer\": …} and if known \"id\", \"type\", \"options\": […], \"start_s\", \"stop_s\"";
    let mut seen = std::collections::HashSet::new();
    let mut all = Vec::new();
    for (line, own) in text::json_lines::<Own>(path, shape)? {
        let wrong = |what: String| anyhow::anyhow!("{} line {line}: {what}", path.display());
        if own.video.is_empty() || own.question.trim().is_empty() || own.answer.trim().is_empty() {
            return Err(wrong("video, question and answer must not be empty".into()));
        }
        if own.options.len() == 1 || own.options.len() > MOST_OPTIONS {
            return Err(wrong(format!(
                "has {} options: must be none, or 2 to {MOST_OPTIONS}",
                own.options.len()
            )));
        }
        if !own.options.is_empty() && !own.options.contains(&own.answer) {
            return Err(wrong(format!(
                "the answer `{}` is not one of the options",
                own.answer
            )));
        }
        let span = match (own.start_s, own.stop_s) {
            (Some(start), Some(stop)) if 0.0 <= start && start <= stop && stop.is_finite() => {
                Some((start, stop))
            }
            (None, None) => None,
            (start, stop) => {
                return Err(wrong(format!(
                    "start_s is {start:?} and stop_s {stop:?}: give both or neither, and stop must not be before start"
                )));
            }
        };
        let id = own.id.unwrap_or_else(|| format!("{}_{line}", own.video));
        if !seen.insert(id.clone()) {
            return Err(wrong(format!("the id `{id}` is there twice")));
        }
        all.push(Question {
            id,
            video: own.video,
            kind: own.kind,
            question: own.question,
            options: own.options,
            answer: own.answer,
            span,
        });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_in_their_order() {
        let values = ["left".to_owned(), "flute".to_owned()];
        let question = filled("What is <LR> of <Object>?", &values);
        assert_eq!(question.as_deref(), Some("What is left of flute?"));
        assert_eq!(filled("What is <LR>?", &values), None);
        assert_eq!(filled("<A> <B> <C>", &values), None);
        assert_eq!(filled("a < b", &[]), None);
    }

    #[test]
    fn own_questions_are_checked() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("q.jsonl");
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            own(&file).map_err(|e| e.to_string())
        };
        let good = "{\"video\":\"v\",\"question\":\"q?\",\"answer\":\"a\",\"options\":[\"a\",\"b\"],\"start_s\":1,\"stop_s\":2.5}\n";
        let all = read(good).unwrap();
        assert_eq!((all[0].id.as_str(), all[0].span), ("v_1", Some((1.0, 2.5))));
        for (text, word) in [
            (
                "{\"video\":\"v\",\"question\":\"q\",\"answer\":\"c\",\"options\":[\"a\",\"b\"]}",
                "not one of the options",
            ),
            (
                "{\"video\":\"v\",\"question\":\"q\",\"answer\":\"c\",\"start_s\":3,\"stop_s\":2}",
                "start_s",
            ),
            (
                "{\"video\":\"v\",\"question\":\"q\",\"answer\":\"c\",\"stop_s\":2}",
                "start_s",
            ),
            (
                "{\"video\":\"\",\"question\":\"q\",\"answer\":\"c\"}",
                "empty",
            ),
            (
                "{\"video\":\"v\",\"question\":\"q\",\"answer\":\"c\",\"options\":[\"c\"]}",
                "1 options",
            ),
            (
                "{\"video\":\"v\",\"question\":\"q\",\"answr\":\"c\"}",
                "line 1",
            ),
        ] {
            assert!(read(text).unwrap_err().contains(word), "{text}");
        }
        let twice =
            "{\"video\":\"v\",\"question\":\"q\",\"answer\":\"c\",\"id\":\"x\"}\n".repeat(2);
        assert!(read(&twice).unwrap_err().contains("twice"));
    }
}
