//! Reads sets of multiple-choice questions about videos as published: NExT-QA (CSV), STAR, AVQA and EgoSchema (JSON).

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use serde::Deserialize;

use super::super::table::Table;
use super::super::text;
use super::{MOST_OPTIONS, Question};

/// NExT-QA, multiple choice.
///
/// # Errors
/// The file cannot be read, or a line is invalid.
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
struct Situated {
    question_id: String,
    video_id: String,
    question: String,
    answer: String,
    start: f64,
    end: f64,
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    choice: String,
}

/// STAR: questions about situations, each with the span that it is about. The beginning of a question's id is its type.
///
/// # Errors
/// The file cannot be read, or a question is invalid.
pub(crate) fn star(path: &Path) -> anyhow::Result<Vec<Question>> {
    let shape = "STAR's questions: [{\"question_id\", \"video_id\", \"question\", \"answer\", \"start\", \"end\", \"choices\": [{\"choice\"}, …]}, …]";
    let given: Vec<Situated> = text::json(path, shape)?;
    let mut all = Vec::with_capacity(given.len());
    for one in given {
        let id = one.question_id;
        let options: Vec<String> = one.choices.into_iter().map(|one| one.choice).collect();
        if !(0.0 <= one.start && one.start <= one.end && one.end.is_finite()) {
            bail!(
                "{}: question {id}: its span is {} to {} s: must not begin before 0 or stop before it starts",
                path.display(),
                one.start,
                one.end
            );
        }
        if !options.contains(&one.answer) {
            bail!(
                "{}: question {id}: the answer `{}` is not one of the choices",
                path.display(),
                one.answer
            );
        }
        let kind = id.split('_').next().unwrap_or_default().to_owned();
        all.push(Question {
            video: one.video_id,
            kind,
            question: one.question,
            options: lettered(path, &id, options)?,
            answer: one.answer,
            span: Some((one.start, one.end)),
            id,
        });
    }
    Ok(all)
}

#[derive(Deserialize)]
struct Heard {
    #[serde(default)]
    id: Option<i64>,
    video_name: String,
    question_text: String,
    // The authors' own reader expects that one may be null.
    multi_choice: Vec<Option<String>>,
    answer: Number,
    #[serde(default)]
    question_relation: String,
    #[serde(default)]
    question_type: String,
}

/// A number, or its digits in quotes.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Plain(usize),
    Quoted(String),
}

/// AVQA: questions about what is heard and seen. A type says what a question is about, and whether that is seen, heard or both.
///
/// # Errors
/// The file cannot be read, or a question is invalid.
pub(crate) fn avqa(path: &Path) -> anyhow::Result<Vec<Question>> {
    let shape = "AVQA's questions: [{\"id\", \"video_name\", \"question_text\", \"multi_choice\": […], \"answer\": 0, \"question_relation\", \"question_type\"}, …]";
    let given: Vec<Heard> = text::json(path, shape)?;
    given
        .into_iter()
        .enumerate()
        .map(|(at, one)| {
            let id = one.id.map_or_else(|| at.to_string(), |id| id.to_string());
            let answer = match one.answer {
                Number::Plain(answer) => answer,
                Number::Quoted(text) => text.trim().parse().with_context(|| {
                    format!("{}: question {id}: the answer is `{text}`: must be the number of an option", path.display())
                })?,
            };
            let options: Vec<String> = one.multi_choice.into_iter().map(|one| one.unwrap_or_else(|| "null".into())).collect();
            let answer = right(path, &id, &options, answer)?;
            let kind = [one.question_type, one.question_relation];
            let kind: Vec<String> = kind.into_iter().filter(|part| !part.is_empty()).collect();
            Ok(Question {
                video: one.video_name,
                kind: kind.join(" "),
                question: one.question_text,
                options: lettered(path, &id, options)?,
                answer,
                span: None,
                id,
            })
        })
        .collect()
}

#[derive(Deserialize)]
struct Ego {
    q_uid: String,
    question: String,
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}

/// EgoSchema: `questions.json`, with the public answers, `subset_answers.json`, in the same folder. Questions without a public answer are left
/// out; a video has its question's id as its name.
///
/// # Errors
/// A file cannot be read, a question is invalid, or none has an answer.
pub(crate) fn egoschema(path: &Path) -> anyhow::Result<Vec<Question>> {
    let shape =
        "EgoSchema's questions: [{\"q_uid\", \"question\", \"option 0\", …, \"option 4\"}, …]";
    let given: Vec<Ego> = text::json(path, shape)?;
    let file = path.with_file_name("subset_answers.json");
    let answers: BTreeMap<String, usize> =
        text::json(&file, "EgoSchema's answers: {\"q_uid\": 0, …}").with_context(|| {
            format!(
                "EgoSchema's answers must lie beside {} as subset_answers.json",
                path.display()
            )
        })?;
    let mut all = Vec::new();
    for one in given {
        let Some(answer) = answers.get(&one.q_uid) else {
            continue;
        };
        let option = |i: usize| one.rest.get(&format!("option {i}"))?.as_str();
        let options: Vec<String> = (0..MOST_OPTIONS)
            .map_while(option)
            .map(str::to_owned)
            .collect();
        all.push(Question {
            answer: right(path, &one.q_uid, &options, *answer)?,
            options: lettered(path, &one.q_uid, options)?,
            id: one.q_uid.clone(),
            video: one.q_uid,
            kind: String::new(),
            question: one.question,
            span: None,
        });
    }
    if all.is_empty() {
        bail!(
            "none of the questions of {} has an answer in {}",
            path.display(),
            file.display()
        );
    }
    Ok(all)
}

/// The right one of the options.
fn right(path: &Path, id: &str, options: &[String], answer: usize) -> anyhow::Result<String> {
    options.get(answer).cloned().with_context(|| {
        format!(
            "{}: question {id}: the answer is number {answer}, but there are {} options",
            path.display(),
            options.len()
        )
    })
}

/// The options, if each can have a letter.
fn lettered(path: &Path, id: &str, options: Vec<String>) -> anyhow::Result<Vec<String>> {
    if !(2..=MOST_OPTIONS).contains(&options.len()) {
        bail!(
            "{}: question {id} has {} options: must be 2 to {MOST_OPTIONS}",
            path.display(),
            options.len()
        );
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Reader = fn(&Path) -> anyhow::Result<Vec<Question>>;

    fn read(reader: Reader, text: &str) -> Result<Vec<Question>, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("q.json");
        std::fs::write(&file, text).unwrap();
        std::fs::write(
            folder.path().join("subset_answers.json"),
            r#"{"u1": 1, "u3": 9}"#,
        )
        .unwrap();
        reader(&file).map_err(|e| format!("{e:#}"))
    }

    const STAR: &str = r#"[{"question_id": "Sequence_T2_7", "video_id": "6H78U", "start": 11.1, "end": 19.6, "question": "What did the person open?",
        "answer": "The closet.", "question_program": [], "choices": [{"choice_id": 0, "choice": "The closet."}, {"choice_id": 1, "choice": "The box."}], "situations": {}}]"#;
    const AVQA: &str = r#"[{"id": 183, "video_name": "-HG3Omg_89c_000030", "video_id": 341, "question_text": "What happened?",
        "multi_choice": ["motorboat", "yacht"], "answer": 1, "question_relation": "Both", "question_type": "Happening"}]"#;
    const EGO: &str = r#"[{"q_uid": "u1", "google_drive_id": "x", "question": "What was C doing?", "option 0": "cooking", "option 1": "washing", "option 2": "eating"},
        {"q_uid": "u2", "question": "no answer", "option 0": "a", "option 1": "b"}]"#;

    #[test]
    fn published_choices_are_read() {
        let one = &read(star, STAR).unwrap()[0];
        assert_eq!(
            (one.kind.as_str(), one.span, one.answer.as_str()),
            ("Sequence", Some((11.1, 19.6)), "The closet.")
        );
        assert_eq!(one.options, ["The closet.", "The box."]);
        let one = &read(avqa, AVQA).unwrap()[0];
        assert_eq!(
            (
                one.kind.as_str(),
                one.answer.as_str(),
                one.video.as_str(),
                one.id.as_str()
            ),
            ("Happening Both", "yacht", "-HG3Omg_89c_000030", "183")
        );
        let quoted = AVQA.replace("\"answer\": 1", "\"answer\": \"1\"");
        let quoted = quoted
            .replace("\"id\": 183, ", "")
            .replace("\"motorboat\"", "null");
        let one = &read(avqa, &quoted).unwrap()[0];
        assert_eq!((one.id.as_str(), one.answer.as_str()), ("0", "yacht"));
        assert_eq!(one.options, ["null", "yacht"]);
        let all = read(egoschema, EGO).unwrap();
        assert_eq!(all.len(), 1, "a question without an answer is left out");
        assert_eq!(
            (all[0].video.as_str(), all[0].answer.as_str()),
            ("u1", "washing")
        );
        assert_eq!(all[0].options.len(), 3);
    }

    #[test]
    fn impossible_choices_are_refused() {
        for (reader, text, word) in [
            (
                star as Reader,
                STAR.replace("\"end\": 19.6", "\"end\": 1"),
                "11.1 to 1",
            ),
            (
                star,
                STAR.replace("\"answer\": \"The", "\"answer\": \"A"),
                "not one of the choices",
            ),
            (
                star,
                STAR.replace(", {\"choice_id\": 1, \"choice\": \"The box.\"}", ""),
                "1 options",
            ),
            (
                avqa,
                AVQA.replace("\"answer\": 1", "\"answer\": 2"),
                "number 2",
            ),
            (
                avqa,
                AVQA.replace("\"answer\": 1", "\"answer\": \"yacht\""),
                "must be the number of an option",
            ),
            (
                avqa,
                AVQA.replace("multi_choice", "choices"),
                "multi_choice",
            ),
            (egoschema, EGO.replace("u1", "u3"), "number 9"),
            (egoschema, EGO.replace("u1", "u4"), "none of the questions"),
        ] {
            let wrong = read(reader, &text).unwrap_err();
            assert!(wrong.contains(word), "`{word}` is not in {wrong}");
        }
    }
}
