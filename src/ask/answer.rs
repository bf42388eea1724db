//! Reads an answer: which option it chooses, how sure it is, and which frames it names.

use serde_json::Value;

use super::prompt::letter;
use crate::chat::Reply;

/// Longest free answer, in characters.
const LONGEST: usize = 2_000;

/// An answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer {
    /// The answer in words: the option's text, or the free answer.
    pub(crate) text: String,
    /// Which option; `None` if the answer is free or fits none.
    pub(crate) option: Option<usize>,
    /// In [0, 1]; `None` if the server gives nothing to derive it from.
    pub(crate) confidence: Option<f64>,
    /// What the confidence was derived from.
    pub(crate) basis: &'static str,
    /// Confidence of the best option minus that of the second; `None` without log probabilities.
    pub(crate) margin: Option<f64>,
    /// Probabilities of all options, if known.
    pub(crate) masses: Vec<f64>,
    /// Numbers of the frames that the answer names, from 1.
    pub(crate) cited: Vec<usize>,
}

/// Reads a reply to a question with these options (all possible answers) and this many frames.
pub(crate) fn read(reply: &Reply, options: &[String], frames: usize) -> Answer {
    let (said, cited) = taken_apart(&reply.text);
    let mut cited: Vec<usize> = cited
        .into_iter()
        .filter(|number| (1..=frames).contains(number))
        .collect();
    cited.sort_unstable();
    cited.dedup();
    if options.is_empty() {
        return Answer {
            text: said.chars().take(LONGEST).collect(),
            confidence: reply.mean_probability(),
            basis: if reply.tokens.is_empty() {
                "unknown"
            } else {
                "mean token probability"
            },
            cited,
            ..Answer::default()
        };
    }
    let letters: Vec<String> = (0..options.len()).map(letter).collect();
    let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
    let masses = reply.masses(&letters).unwrap_or_default();
    let sum: f64 = masses.iter().sum();
    if sum > 0.0 {
        let masses: Vec<f64> = masses.iter().map(|mass| mass / sum).collect();
        let mut order: Vec<usize> = (0..masses.len()).collect();
        order.sort_by(|a, b| masses[*b].total_cmp(&masses[*a]));
        let second = order.get(1).map_or(0.0, |at| masses[*at]);
        return Answer {
            text: options[order[0]].clone(),
            option: Some(order[0]),
            confidence: Some(masses[order[0]]),
            basis: "log probabilities",
            margin: Some(masses[order[0]] - second),
            masses,
            cited,
        };
    }
    let option = chosen(&said, options);
    Answer {
        text: option.map_or_else(
            || said.chars().take(LONGEST).collect(),
            |at| options[at].clone(),
        ),
        option,
        basis: "unknown",
        cited,
        ..Answer::default()
    }
}

/// The most frequent of several sampled answers; its share is the confidence.
pub(crate) fn most_frequent(samples: Vec<Answer>) -> Answer {
    let n = samples.len();
    let count = |one: &Answer| samples.iter().filter(|other| same(one, other)).count();
    let best = samples
        .iter()
        .enumerate()
        .max_by_key(|(at, one)| (count(one), std::cmp::Reverse(*at)));
    let Some((at, times)) = best.map(|(at, one)| (at, count(one))) else {
        return Answer::default();
    };
    let mut best = samples.into_iter().nth(at).unwrap_or_default();
    if n > 1 && best.basis != "log probabilities" {
        best.confidence = Some(times as f64 / n as f64);
        best.basis = "share of samples";
    }
    best
}

fn same(one: &Answer, other: &Answer) -> bool {
    one.option == other.option && normal(&one.text) == normal(&other.text)
}

/// The answer and frames of a JSON object anywhere in the text; without one, the text itself and the frames that it mentions.
fn taken_apart(text: &str) -> (String, Vec<usize>) {
    let object = text
        .find('{')
        .zip(text.rfind('}'))
        .filter(|(from, to)| from < to);
    let object = object.and_then(|(from, to)| serde_json::from_str::<Value>(&text[from..=to]).ok());
    if let Some(object) = object.filter(|object| object.get("answer").is_some()) {
        let said = match &object["answer"] {
            Value::String(said) => said.clone(),
            other => other.to_string(),
        };
        let frames = object["frames"].as_array().into_iter().flatten();
        let frames =
            frames.filter_map(|number| number.as_u64().and_then(|n| usize::try_from(n).ok()));
        return (said.trim().to_owned(), frames.collect());
    }
    let lower = text.to_lowercase();
    let named = lower.split("frame ").skip(1).filter_map(|rest| {
        let digits: String = rest
            .chars()
            .take_while(char::is_ascii_digit)
            .take(6)
            .collect();
        digits.parse().ok()
    });
    (text.trim().to_owned(), named.collect())
}

/// The option that a text names: by its letter, else by its words.
fn chosen(said: &str, options: &[String]) -> Option<usize> {
    let words: Vec<&str> = said
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let rest = match words[..] {
        [first, ..]
            if ["option", "answer"]
                .iter()
                .any(|word| first.eq_ignore_ascii_case(word)) =>
        {
            &words[1..]
        }
        _ => &words[..],
    };
    let lettered = |word: &str| (0..options.len()).find(|at| letter(*at) == word);
    // "A" counts alone or first and marked off, as in "A: the pan"; the "A" of "A pan" does not.
    if let Some(first) = rest.first() {
        let marked = said.trim_start_matches(['(', '*', '"', ' ']);
        let alone = rest.len() == 1 || words.len() != rest.len();
        let off = marked
            .strip_prefix(first)
            .is_some_and(|after| after.starts_with([')', ':', '.', '*', ',']));
        if let Some(at) = lettered(first).filter(|_| alone || off) {
            return Some(at);
        }
    }
    let said = normal(said);
    let whole = options.iter().position(|option| normal(option) == said);
    whole.or_else(|| {
        let mut inside = (0..options.len()).filter(|at| holds(&said, &normal(&options[*at])));
        let first = inside.next()?;
        inside.next().is_none().then_some(first)
    })
}

/// Lower-case words separated by single spaces, without articles and punctuation.
pub(crate) fn normal(text: &str) -> String {
    let words = text
        .split(|c: char| !c.is_alphanumeric())
        .map(str::to_lowercase);
    let kept = words.filter(|word| !["", "a", "an", "the"].contains(&word.as_str()));
    kept.collect::<Vec<_>>().join(" ")
}

/// Whether the words of one text occur consecutively in another.
pub(crate) fn holds(text: &str, words: &str) -> bool {
    !words.is_empty() && format!(" {text} ").contains(&format!(" {words} "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::chat::Token;

    fn reply(text: &str, tokens: Vec<Token>) -> Reply {
        Reply {
            text: text.into(),
            tokens,
            prompt_tokens: None,
            answer_tokens: None,
        }
    }

    fn options() -> Vec<String> {
        ["the pan", "a glass", "a glass of wine"]
            .map(str::to_owned)
            .to_vec()
    }

    #[test]
    fn options_are_read_as_servers_write_them() {
        for (text, expected) in [
            ("B", Some(1)),
            ("Option B", Some(1)),
            ("(B) a glass", Some(1)),
            ("B: it broke", Some(1)),
            ("**B**", Some(1)),
            ("Answer: C.", Some(2)),
            ("It was the pan.", Some(0)),
            ("A glass", Some(1)),
            ("{\"answer\": \"B\", \"frames\": [2, 9]}", Some(1)),
            ("```json\n{\"answer\": \"the pan\"}\n```", Some(0)),
            ("a pan", Some(0)),
            ("no idea", None),
            ("", None),
            ("D", None),
        ] {
            let answer = read(&reply(text, Vec::new()), &options(), 4);
            assert_eq!(answer.option, expected, "{text}");
            assert_eq!((answer.confidence, answer.basis), (None, "unknown"));
        }
        assert_eq!(
            read(
                &reply("{\"answer\": \"B\", \"frames\": [2, 9, 2]}", Vec::new()),
                &options(),
                4
            )
            .cited,
            [2]
        );
        assert_eq!(
            read(&reply("Frame 3 shows it; frame 1 too", Vec::new()), &[], 4).cited,
            [1, 3]
        );
    }

    #[test]
    fn log_probabilities_give_confidence_and_margin() {
        let token = Token {
            text: "B".into(),
            logprob: 0.6_f64.ln(),
            alternatives: vec![
                ("B".into(), 0.6_f64.ln()),
                ("A".into(), 0.2_f64.ln()),
                ("x".into(), 0.1_f64.ln()),
            ],
        };
        let answer = read(&reply("B", vec![token]), &options(), 1);
        assert_eq!(answer.option, Some(1));
        assert!(
            (answer.confidence.unwrap() - 0.75).abs() < 1e-9,
            "{answer:?}"
        );
        assert!((answer.margin.unwrap() - 0.5).abs() < 1e-9);
    }

    #[test]
    fn samples_vote() {
        let one = |text: &str| read(&reply(text, Vec::new()), &options(), 1);
        let answer = most_frequent(vec![one("A"), one("B"), one("Option B"), one("B")]);
        assert_eq!(
            (answer.option, answer.confidence, answer.basis),
            (Some(1), Some(0.75), "share of samples")
        );
        assert_eq!(most_frequent(vec![one("A")]).confidence, None);
        assert_eq!(json!(most_frequent(Vec::new()).text), "");
    }

    /// Changes, cuts and doubles bytes: every text must be readable.
    #[test]
    fn spoilt_replies_are_read() {
        let mut state = 1_u32;
        let mut draw = |below: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % below
        };
        let whole = "Frame 2 shows it: {\"answer\": \"Option B\", \"frames\": [1, 99999999999, -3, 2]} </think> (A) über the pan.";
        let pieces = [
            "{", "}", "\"", "[", "frame ", "é", "\u{0}", "A", "option ", "999999", "</think>",
            "null",
        ];
        let mut lettered = 0;
        for _ in 0..3_000 {
            let mut text: Vec<char> = whole.chars().collect();
            for _ in 0..1 + draw(5) {
                let at = draw(text.len().max(1)).min(text.len());
                match draw(3) {
                    0 => text.truncate(at),
                    1 => drop(text.drain(at..(at + draw(9)).min(text.len()))),
                    _ => drop(text.splice(at..at, pieces[draw(pieces.len())].chars())),
                }
            }
            let text: String = text.into_iter().collect();
            let answer = read(&reply(&text, Vec::new()), &options(), 4);
            assert!(answer.cited.iter().all(|number| (1..=4).contains(number)));
            assert!(answer.option.is_none_or(|at| at < 3));
            lettered += u64::from(answer.option.is_some());
        }
        assert!(lettered > 100, "{lettered}");
    }
}
