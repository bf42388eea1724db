//! Sets keys of sections from the command line (`--set budget.tokens_per_s=98`), as if they were in the file.

use super::KEYS;
use super::problem::{At, did_you_mean, either};
use super::tree::{self, Key, Kind, Node};

/// Top-level keys that are not sections.
const NO_SECTION: [&str; 3] = ["version", "graph", "sources"];

/// The position of values from the command line; no text has it.
pub(super) const COMMAND_LINE: At = At { line: 0, column: 0 };

/// A key of a section and its value.
#[derive(Clone, Debug)]
pub(super) struct Override {
    section: String,
    key: String,
    value: Node,
}

/// Whether the name of a pair means a key of a section.
pub(super) fn is_key(name: &str) -> bool {
    name.contains('.')
}

impl Override {
    /// From `SECTION.KEY` and its value in YAML.
    ///
    /// # Errors
    /// What is wrong: no such section, no key, invalid YAML.
    pub(super) fn new(name: &str, value: &str) -> Result<Self, String> {
        let sections: Vec<&str> = KEYS
            .into_iter()
            .filter(|key| !NO_SECTION.contains(key))
            .collect();
        let (section, key) = name.split_once('.').unwrap_or((name, ""));
        if !sections.contains(&section) {
            let hint = did_you_mean(section, sections.iter().copied());
            return Err(format!(
                "--set {name}={value}: `{section}` is not a section; use {}{}",
                either(&sections),
                hint.map_or(String::new(), |hint| format!(" ({hint})"))
            ));
        }
        if key.is_empty() || key.contains('.') {
            return Err(format!(
                "--set {name}={value} must be SECTION.KEY=VALUE, as in budget.tokens_per_s=98"
            ));
        }
        let mut value = tree::parse(value).map_err(|problems| {
            let why = problems.first().map(|problem| problem.rule.clone());
            format!(
                "--set {name}={value}: the value {}",
                why.unwrap_or_else(|| "is not valid YAML".into())
            )
        })?;
        place(&mut value);
        Ok(Self {
            section: section.into(),
            key: key.into(),
            value,
        })
    }

    /// Puts it into the document; replaces the file's value.
    pub(super) fn apply(&self, root: &mut Node) {
        // A section that is not a mapping is reported by its reader.
        let Kind::Map(sections) = &mut root.kind else {
            return;
        };
        let at = match sections
            .iter()
            .position(|(key, _)| key.name == self.section)
        {
            Some(at) => at,
            None => {
                sections.push((
                    named(&self.section),
                    Node {
                        at: COMMAND_LINE,
                        kind: Kind::Map(Vec::new()),
                    },
                ));
                sections.len() - 1
            }
        };
        let section = &mut sections[at].1;
        if section.json().is_null() {
            section.kind = Kind::Map(Vec::new());
        }
        let Kind::Map(entries) = &mut section.kind else {
            return;
        };
        entries.retain(|(key, _)| key.name != self.key);
        entries.push((named(&self.key), self.value.clone()));
    }
}

fn named(name: &str) -> Key {
    Key {
        at: COMMAND_LINE,
        name: name.into(),
    }
}

/// Gives everything in it the position of the command line.
fn place(node: &mut Node) {
    node.at = COMMAND_LINE;
    match &mut node.kind {
        Kind::Map(entries) => entries.iter_mut().for_each(|(key, node)| {
            key.at = COMMAND_LINE;
            place(node);
        }),
        Kind::List(nodes) => nodes.iter_mut().for_each(place),
        Kind::Scalar { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_replaces_the_files_value_and_creates_its_section() {
        let mut root =
            tree::parse("budget: { tokens_per_s: 196, max_gap_ms: 1000 }\near:").unwrap();
        for (name, value) in [
            ("budget.tokens_per_s", "98"),
            ("anchors.class_offset_ms", "{ Chop: -300 }"),
        ] {
            Override::new(name, value).unwrap().apply(&mut root);
        }
        let json = root.json();
        assert_eq!(json["budget"]["tokens_per_s"], 98);
        assert_eq!(json["budget"]["max_gap_ms"], 1000);
        assert_eq!(json["anchors"]["class_offset_ms"]["Chop"], -300);
    }

    #[test]
    fn unknown_keys_are_refused() {
        for (name, value, said) in [
            ("budgt.tokens_per_s", "98", "did you mean `budget`?"),
            ("graph.x", "1", "is not a section"),
            ("budget.", "1", "SECTION.KEY=VALUE"),
            ("budget.a.b", "1", "SECTION.KEY=VALUE"),
            (
                "budget.tokens_per_s",
                "{",
                "not valid YAML: unclosed bracket",
            ),
        ] {
            let wrong = Override::new(name, value).unwrap_err();
            assert!(wrong.contains(said), "{wrong}");
        }
    }
}
