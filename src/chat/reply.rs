//! A server's answer: text, log probabilities, and its own token counts.

use serde::Deserialize;
use serde_json::Value;

/// Longest answer to keep, in characters.
const LONGEST: usize = 20_000;

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reply {
    /// Without the model's preceding thoughts.
    pub(crate) text: String,
    /// Each token with its alternatives (including itself) and their log probabilities; empty if the server gives none.
    pub(crate) tokens: Vec<Token>,
    /// Input tokens by the server's count; `None` if it gives none.
    pub(crate) prompt_tokens: Option<u64>,
    /// Output tokens, likewise.
    pub(crate) answer_tokens: Option<u64>,
}

/// A token of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) logprob: f64,
    pub(crate) alternatives: Vec<(String, f64)>,
}

#[derive(Deserialize)]
struct Answer {
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    #[serde(default)]
    logprobs: Option<Logprobs>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Option<String>,
}

#[derive(Deserialize)]
struct Logprobs {
    #[serde(default)]
    content: Option<Vec<Given>>,
}

#[derive(Deserialize)]
struct Given {
    token: String,
    logprob: f64,
    #[serde(default)]
    top_logprobs: Vec<Other>,
}

#[derive(Deserialize)]
struct Other {
    token: String,
    logprob: f64,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

impl Reply {
    /// Parses a server's answer; `None` if it is not a chat completion.
    pub(super) fn read(value: &Value) -> Option<Self> {
        let answer = Answer::deserialize(value).ok()?;
        let choice = answer.choices.into_iter().next()?;
        let text = spoken(&choice.message.content.unwrap_or_default());
        let given = choice.logprobs.and_then(|given| given.content);
        let token = |given: Given| {
            let mut alternatives: Vec<_> = given
                .top_logprobs
                .into_iter()
                .map(|other| (other.token, other.logprob))
                .collect();
            if !alternatives.iter().any(|(text, _)| *text == given.token) {
                alternatives.push((given.token.clone(), given.logprob));
            }
            Token {
                text: given.token,
                logprob: given.logprob,
                alternatives,
            }
        };
        Some(Self {
            text,
            tokens: given.into_iter().flatten().map(token).collect(),
            prompt_tokens: answer.usage.as_ref().and_then(|usage| usage.prompt_tokens),
            answer_tokens: answer.usage.and_then(|usage| usage.completion_tokens),
        })
    }

    /// The probability of each of these words at the first place where the answer says one; `None` without log probabilities, or if it says
    /// none.
    pub(crate) fn masses(&self, words: &[&str]) -> Option<Vec<f64>> {
        let says = |text: &str| {
            let text = bare(text);
            words
                .iter()
                .position(|word| text.eq_ignore_ascii_case(word))
        };
        let token = self
            .tokens
            .iter()
            .find(|token| says(&token.text).is_some())?;
        let mut masses = vec![0.0; words.len()];
        for (text, logprob) in &token.alternatives {
            if let Some(at) = says(text) {
                masses[at] += logprob.exp().clamp(0.0, 1.0);
            }
        }
        Some(masses)
    }

    /// The geometric mean of the tokens' probabilities; `None` without them.
    pub(crate) fn mean_probability(&self) -> Option<f64> {
        let sum: f64 = self
            .tokens
            .iter()
            .map(|token| token.logprob.max(-100.0))
            .sum();
        (!self.tokens.is_empty()).then(|| (sum / self.tokens.len() as f64).exp().clamp(0.0, 1.0))
    }
}

/// A token without the spaces and marks around a word.
fn bare(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || "▁Ġ\"'().,:;*".contains(c))
}

/// An answer without the thoughts before it.
fn spoken(text: &str) -> String {
    let said = match text.rsplit_once("</think>") {
        Some((_, said)) => said,
        None => text,
    };
    let said = said.trim();
    match said.char_indices().nth(LONGEST) {
        Some((at, _)) => said[..at].to_owned(),
        None => said.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tokens_of_the_same_word_add_up() {
        let reply = Reply::read(&json!({
            "choices": [{ "message": { "content": "Yes" }, "logprobs": { "content": [
                { "token": "\n", "logprob": -0.1, "top_logprobs": [] },
                { "token": "Yes", "logprob": 0.5_f64.ln(), "top_logprobs": [
                    { "token": "Yes", "logprob": 0.5_f64.ln() },
                    { "token": "▁yes", "logprob": 0.25_f64.ln() },
                    { "token": " No", "logprob": 0.125_f64.ln() },
                    { "token": "yesterday", "logprob": 0.1_f64.ln() },
                ] },
            ] } }],
            "usage": { "prompt_tokens": 300, "completion_tokens": 2 },
        }))
        .unwrap();
        let masses = reply.masses(&["yes", "no"]).unwrap();
        assert!(
            (masses[0] - 0.75).abs() < 1e-9 && (masses[1] - 0.125).abs() < 1e-9,
            "{masses:?}"
        );
        assert_eq!(reply.masses(&["A", "B"]), None);
        assert_eq!(reply.prompt_tokens, Some(300));
        assert!((reply.mean_probability().unwrap() - (0.5 * (-0.1_f64).exp()).sqrt()).abs() < 1e-9);
    }

    #[test]
    fn thoughts_are_not_part_of_the_answer() {
        let reply = |content: Value| {
            Reply::read(&json!({ "choices": [{ "message": { "content": content } }] }))
        };
        assert_eq!(
            reply(json!("<think>A or B? A.</think>\nB ")).unwrap().text,
            "B"
        );
        assert_eq!(reply(Value::Null).unwrap().text, "");
        assert_eq!(reply(json!("x")).unwrap().mean_probability(), None);
        for wrong in [
            json!({}),
            json!({ "choices": [] }),
            json!([1]),
            json!({ "choices": [{}] }),
        ] {
            assert_eq!(Reply::read(&wrong), None, "{wrong}");
        }
    }
}
