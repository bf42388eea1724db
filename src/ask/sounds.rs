//! Compares the words of a question with the tagger's labels, and finds possible explanations of a sound. Works on spelling only: stems and a
//! list that users can change, no language model.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use anyhow::bail;

use crate::datasets::text;

/// The built-in list.
pub(crate) const BUILT_IN: &str = include_str!("assets/sounds.txt");
/// Weight of a word of the list, relative to a word of the label itself.
const FURTHER: f64 = 0.6;
/// Words that say nothing about a sound.
const EMPTY: &str = "a an the and or of to in on at by for from with into out up is are was were be been do does did i me my you your he she it its \
    they we what which who whom whose when where why how that this these those there then while as if so not no one can could would should has have \
    had card sign print printed screen shown show see seen look stand stood written write number code word name color colour heard hear sound noise";

/// What a line of the list says about a label.
#[derive(Clone, Debug, Default, PartialEq)]
struct Row {
    words: BTreeSet<String>,
    explanations: Vec<String>,
}

/// The list, by label in lower case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sounds(HashMap<String, Row>);

/// The words of a question that count, as stems.
pub(crate) struct Words(BTreeSet<String>);

impl Words {
    pub(crate) fn of(question: &str) -> Self {
        let empty: BTreeSet<&str> = EMPTY.split_whitespace().collect();
        let words = split(question).filter(|word| !empty.contains(word.as_str()));
        Self(words.map(|word| stem(&word)).collect())
    }
}

impl From<Words> for BTreeSet<String> {
    fn from(words: Words) -> Self {
        words.0
    }
}

/// The labels of the built-in list.
pub(super) fn built_in_labels() -> impl Iterator<Item = &'static str> {
    let lines = BUILT_IN.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once('|'))
        .map(|(label, _)| label.trim())
}

impl Sounds {
    /// The built-in list, or one from a file.
    ///
    /// # Errors
    /// The file cannot be read, or a line is malformed.
    pub(crate) fn read(file: Option<&Path>) -> anyhow::Result<Self> {
        match file {
            None => Self::parse(BUILT_IN, "the built-in list of sounds"),
            Some(file) => Self::parse(&text::text(file)?, &file.display().to_string()),
        }
    }

    fn parse(text: &str, name: &str) -> anyhow::Result<Self> {
        let mut rows = HashMap::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let parts: Vec<&str> = line.split('|').map(str::trim).collect();
            let [label, words, explanations] = parts[..] else {
                bail!(
                    "{name} line {}: `{line}`: must be label | words | explanations with `;` between",
                    at + 1
                );
            };
            let row = Row {
                words: split(words).map(|word| stem(&word)).collect(),
                explanations: explanations
                    .split(';')
                    .map(|said| said.trim().to_owned())
                    .filter(|said| !said.is_empty())
                    .collect(),
            };
            if label.is_empty() || rows.insert(label.to_lowercase(), row).is_some() {
                bail!(
                    "{name} line {}: the label `{label}` is empty or there twice",
                    at + 1
                );
            }
        }
        Ok(Self(rows))
    }

    /// The labels of the list, in lower case.
    pub(super) fn labels(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// How well a label fits a question; 0: not at all. Words of the label itself count most.
    pub(crate) fn fit(&self, words: &Words, label: &str) -> f64 {
        let own: BTreeSet<String> = split(label).map(|word| stem(&word)).collect();
        let further = self.0.get(&label.to_lowercase()).map(|row| &row.words);
        let one = |word: &String| {
            if own.contains(word) {
                1.0
            } else if further.is_some_and(|further| further.contains(word)) {
                FURTHER
            } else {
                0.0
            }
        };
        let sum: f64 = words.0.iter().map(one).sum();
        let said = own.iter().filter(|word| words.0.contains(*word)).count();
        // Of two labels with a word of the question, the one with fewer other words fits better.
        sum + 0.2 * said as f64 / own.len().max(1) as f64
    }

    /// Possible explanations of a sound with this label: from the list, else the label itself and the further labels given.
    pub(crate) fn explanations(&self, label: &str, others: &[&str], most: usize) -> Vec<String> {
        let listed = self.0.get(&label.to_lowercase());
        let mut all: Vec<String> = match listed.filter(|row| !row.explanations.is_empty()) {
            Some(row) => row.explanations.clone(),
            None => std::iter::once(label)
                .chain(others.iter().copied())
                .filter(|label| !label.is_empty())
                .map(str::to_lowercase)
                .collect(),
        };
        let mut seen = BTreeSet::new();
        all.retain(|said| seen.insert(said.clone()));
        all.truncate(most);
        all
    }
}

/// The words of a text in lower case.
fn split(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

/// A word without its ending: "poured", "pouring" and "pour" become one.
fn stem(word: &str) -> String {
    let mut word = word.to_owned();
    for (ending, least) in [
        ("ings", 4),
        ("ing", 4),
        ("ies", 3),
        ("es", 4),
        ("ed", 4),
        ("s", 3),
    ] {
        if let Some(short) = word.strip_suffix(ending)
            && short.chars().count() >= least - 1
            && !(ending == "s" && short.ends_with('s'))
        {
            word = if ending == "ies" {
                format!("{short}y")
            } else {
                short.to_owned()
            };
            break;
        }
    }
    let twice = {
        let mut last = word.chars().rev();
        let (a, b) = (last.next(), last.next());
        a == b && a.is_some_and(|c| !"aeiouls".contains(c)) && word.chars().count() > 3
    };
    if twice {
        word.pop();
    }
    if word.chars().count() > 3 && word.ends_with('e') {
        word.pop();
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_do_not_matter() {
        for (one, other) in [
            ("poured", "pour"),
            ("pouring", "pour"),
            ("barking", "bark"),
            ("tapped", "tap"),
            ("glasses", "glass"),
            ("whistling", "whistle"),
            ("knocks", "knock"),
        ] {
            assert_eq!(stem(one), stem(other), "{one}");
        }
        assert_ne!(stem("ring"), stem("r"));
        assert_eq!(stem("glass"), "glass");
    }

    #[test]
    fn labels_are_ordered_by_how_well_they_fit() {
        let sounds = Sounds::read(None).unwrap();
        let fit = |question: &str, label: &str| sounds.fit(&Words::of(question), label);
        let question = "What did I pour the water into?";
        assert!(fit(question, "Water") > 1.0);
        assert!(fit(question, "Water tap, faucet") > 0.9);
        assert!(fit(question, "Water") > fit(question, "Water tap, faucet"));
        assert!(fit(question, "Sink (filling or washing)") > 0.0);
        assert_eq!(fit(question, "Speech"), 0.0);
        assert_eq!(fit("what is it", "Speech"), 0.0);
        assert!(
            fit("Which code was shown while the siren was heard?", "Siren")
                > fit("Which code was shown while the siren was heard?", "Bell")
        );
    }

    #[test]
    fn explanations_come_from_the_list_or_from_what_else_was_heard() {
        let sounds =
            Sounds::parse("Water | tap | washing; pouring; flushing\n# note\n", "x").unwrap();
        assert_eq!(sounds.explanations("water", &[], 2), ["washing", "pouring"]);
        assert_eq!(
            sounds.explanations("Ding", &["Bell", "ding"], 4),
            ["ding", "bell"]
        );
        assert!(
            Sounds::parse("Water | tap\n", "x")
                .unwrap_err()
                .to_string()
                .contains("line 1")
        );
        assert!(
            Sounds::parse("A|b|c\na|b|c", "x")
                .unwrap_err()
                .to_string()
                .contains("twice")
        );
    }
}
