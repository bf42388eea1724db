//! Questions about videos: NExT-QA (CSV), MUSIC-AVQA and HME-QA (JSON), each as published.

use std::path::Path;

use anyhow::bail;
use serde::Deserialize;

use super::table::Table;
use super::text;

/// A question and its answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Question {
    /// Unique where the set's authors keep it so.
    pub(crate) id: String,
    pub(crate) video: String,
    /// What the set calls this kind of question; empty if it has none.
    pub(crate) kind: String,
    pub(crate) question: String,
    /// What may be answered; empty where answers are free.
    pub(crate) options: Vec<String>,
    pub(crate) answer: String,
    /// Where the answer is seen or heard, seconds, if that is known.
    pub(crate) span: Option<(f64, f64)>,
}

/// NExT-QA, multiple choice.
///
/// # Errors
/// The file cannot be read, or a line makes no sense.
pub(crate) fn nextqa(path: &Path) -> anyhow::Result<Vec<Question>> {
    const NEEDED: &str = "NExT-QA's questions have video, question, answer, qid, type and a0 to a4";
    let mut table = Table::open(path)?;
    let [video, question, answer, id, kind] = [
        table.column("video", NEEDED)?,
        table.column("question", NEEDED)?,
        table.column("answer", NEEDED)?,
        table.column("qid", NEEDED)?,
        table.column("type", NEEDED)?,
    ];
    let options = (0..5)
        .map(|i| table.column(&format!("a{i}"), NEEDED))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut all = Vec::new();
    table.rows(|row| {
        let options: Vec<String> = options
            .iter()
            .map(|column| row.text(*column).to_owned())
            .collect();
        let right = row.index(answer)? as usize;
        let Some(right) = options.get(right).cloned() else {
            return Err(row.wrong(answer, "must be one of the answers 0 to 4"));
        };
        let video = row.word(video)?;
        all.push(Question {
            id: format!("{video}_{}", row.word(id)?),
            video: video.to_owned(),
            kind: row.word(kind)?.to_owned(),
            question: row.word(question)?.to_owned(),
            options,
            answer: right,
            span: None,
        });
        Ok(())
    })?;
    Ok(all)
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
    // So it is spelled.
    anser: String,
}

/// MUSIC-AVQA. Questions that its authors deleted are left out; what stands in `<…>` is filled in.
///
/// # Errors
/// The file cannot be read, or a question makes no sense.
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
                "{}: question {}: `{}` has not as many places as templ_values has words, {}",
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

/// A question with its places `<…>` filled in, in order; `None` if there are more or fewer.
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
/// The file cannot be read, or a question makes no sense.
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
}
