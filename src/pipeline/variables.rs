//! Fills in `${name}` in a pipeline, from `--set`, `--input` and `--output`, and sets keys of sections from `--set`.

use std::collections::{BTreeMap, BTreeSet};

use super::overrides::{Override, is_key};
use super::problem::{At, Problem, did_you_mean, either};
use super::tree::{Kind, Node};

/// Names that the command itself defines.
const BUILT_IN: [&str; 2] = ["input", "output"];

/// The values of `${name}`. `${input}` and `${output}` are always defined.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    set: BTreeMap<String, String>,
    /// Keys of sections, as `budget.tokens_per_s`.
    overrides: BTreeMap<String, Override>,
}

/// A value that could be misread as graph text: the graph has `marker` in its place, and the element's property gets the
/// value once the graph is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// `input`, `output`, or a name of `--set`.
    pub name: String,
    /// The marker in the graph.
    pub marker: String,
    /// The value; `None` for `input` and `output`, which the command knows.
    pub value: Option<String>,
}

/// Which variables a pipeline uses.
#[derive(Debug, Default)]
pub(super) struct UsedVariables(BTreeSet<String>);

impl Variables {
    /// From `NAME=VALUE` pairs.
    ///
    /// # Errors
    /// What is wrong with a pair: no `=`, an invalid name, a built-in name, the same name twice.
    pub fn new<S: AsRef<str>>(pairs: &[S]) -> Result<Self, String> {
        let mut set = BTreeMap::new();
        let mut overrides = BTreeMap::new();
        for pair in pairs {
            let pair = pair.as_ref();
            if let Some((name, value)) = pair.split_once('=').filter(|(name, _)| is_key(name)) {
                if overrides
                    .insert(name.to_owned(), Override::new(name, value)?)
                    .is_some()
                {
                    return Err(format!("--set {pair}: `{name}` is set twice"));
                }
                continue;
            }
            let (name, value) = pair
                .split_once('=')
                .filter(|(name, _)| is_name(name))
                .ok_or_else(|| {
                    format!(
                        "--set {pair}: must be NAME=VALUE, where NAME has letters, digits and `_`, or SECTION.KEY=VALUE"
                    )
                })?;
            if BUILT_IN.contains(&name) {
                return Err(format!("--set {pair}: use --{name} to set `{name}`"));
            }
            if set.insert(name.to_owned(), value.to_owned()).is_some() {
                return Err(format!("--set {pair}: `{name}` is set twice"));
            }
        }
        Ok(Self { set, overrides })
    }

    /// Puts keys of sections into the document.
    pub(super) fn apply(&self, root: &mut Node) {
        self.overrides.values().for_each(|given| given.apply(root));
    }

    /// The keys of a section that were set, and these variables without each of them.
    pub(super) fn without_each(&self, sections: &[&str]) -> Vec<(String, Self)> {
        let ours = |name: &&String| {
            sections
                .iter()
                .any(|section| name.starts_with(&format!("{section}.")))
        };
        let without = |name: &String| {
            let mut others = self.clone();
            others.overrides.remove(name);
            (name.clone(), others)
        };
        self.overrides.keys().filter(ours).map(without).collect()
    }

    /// The value of a variable, if it was set.
    pub(crate) fn get(&self, name: &str) -> Option<&String> {
        self.set.get(name)
    }

    /// These variables and those of a source; the command line takes precedence.
    pub(super) fn with(&self, source: Option<&BTreeMap<String, String>>) -> Self {
        let mut set = source.cloned().unwrap_or_default();
        set.extend(self.set.clone());
        Self {
            set,
            overrides: self.overrides.clone(),
        }
    }

    /// Fills in a graph. Values that are plain words become text, all others markers.
    pub(super) fn fill(
        &self,
        text: &str,
        first: At,
        used: &mut UsedVariables,
        problems: &mut Vec<Problem>,
    ) -> (String, Vec<Slot>) {
        let mut slots: Vec<Slot> = Vec::new();
        let filled = replace(text, |name, line, column| {
            let at = At {
                line: first.line + line,
                column: first.column + column,
            };
            let value = self.value(name, at, used, problems)?;
            match value {
                Some(value) if is_plain(value) => Some(value.clone()),
                value => {
                    let marker = format!("earmark-variable-{name}");
                    if slots.iter().all(|slot| slot.name != name) {
                        slots.push(Slot {
                            name: name.into(),
                            marker: marker.clone(),
                            value: value.cloned(),
                        });
                    }
                    Some(marker)
                }
            }
        });
        (filled, slots)
    }

    /// Fills in the scalars of a section. A scalar that is a single variable is parsed as if its value were written there.
    pub(super) fn fill_values(
        &self,
        node: &mut Node,
        used: &mut UsedVariables,
        problems: &mut Vec<Problem>,
    ) {
        let at = node.at;
        match &mut node.kind {
            Kind::Map(entries) => entries
                .iter_mut()
                .for_each(|(_, node)| self.fill_values(node, used, problems)),
            Kind::List(nodes) => nodes
                .iter_mut()
                .for_each(|node| self.fill_values(node, used, problems)),
            Kind::Scalar { text, plain, .. } if text.contains("${") => {
                *plain |= text.starts_with("${") && text.find('}') == Some(text.len() - 1);
                *text = replace(text, |name, _, _| {
                    let value = self.value(name, at, used, problems)?;
                    if value.is_none() {
                        problems.push(Problem::new(
                            at,
                            format!("${{{name}}}"),
                            "can be used only in the graph",
                        ));
                    }
                    value.cloned()
                });
            }
            Kind::Scalar { .. } => {}
        }
    }

    /// `Some(None)` for a built-in; `None` and a problem for an unknown name.
    fn value(
        &self,
        name: &str,
        at: At,
        used: &mut UsedVariables,
        problems: &mut Vec<Problem>,
    ) -> Option<Option<&String>> {
        used.0.insert(name.into());
        if BUILT_IN.contains(&name) {
            return Some(None);
        }
        if let Some(value) = self.set.get(name) {
            return Some(Some(value));
        }
        let names: Vec<_> = BUILT_IN
            .into_iter()
            .chain(self.set.keys().map(String::as_str))
            .collect();
        problems.push(
            Problem::new(
                at,
                format!("${{{name}}}"),
                format!("has no value; defined are {}", either(&names)),
            )
            .hint(
                did_you_mean(name, names.iter().copied())
                    .or_else(|| Some(format!("did you forget --set {name}=...?"))),
            ),
        );
        None
    }

    /// Reports variables that were set and never used.
    pub(super) fn unused(&self, used: &UsedVariables, problems: &mut Vec<Problem>) {
        for name in self.set.keys().filter(|name| !used.0.contains(*name)) {
            problems.push(
                Problem::new(
                    At { line: 1, column: 1 },
                    format!("--set {name}"),
                    format!("the pipeline does not use ${{{name}}}"),
                )
                .hint(did_you_mean(name, used.0.iter().map(String::as_str))),
            );
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Whether a value is safe anywhere in a graph: no blank, quote, `!`, backslash, `#`.
fn is_plain(value: &str) -> bool {
    !value.is_empty()
        && value
            .chars()
            .all(|c| c.is_alphanumeric() || "-_./:,=+%@".contains(c))
}

/// Replaces each `${name}`, given name, line and column from 0; undefined ones stay.
fn replace(text: &str, mut value: impl FnMut(&str, usize, usize) -> Option<String>) -> String {
    let mut filled = String::with_capacity(text.len());
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            filled.push('\n');
        }
        let mut rest = line;
        while let Some(start) = rest.find("${") {
            let Some(stop) = rest[start..].find('}').map(|stop| start + stop) else {
                break;
            };
            let name = &rest[start + 2..stop];
            let column = line[..line.len() - rest.len() + start].chars().count();
            filled.push_str(&rest[..start]);
            match value(name, number, column) {
                Some(value) => filled.push_str(&value),
                None => filled.push_str(&rest[start..=stop]),
            }
            rest = &rest[stop + 1..];
        }
        filled.push_str(rest);
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: At = At { line: 3, column: 5 };

    #[test]
    fn plain_values_go_in_and_others_leave_a_marker() {
        let variables = Variables::new(&["rate=30/1", "title=a \"b\" ! c"]).unwrap();
        let mut problems = Vec::new();
        let (text, slots) = variables.fill(
            "x location=${input}\n  r=${rate} t=${title} ${input}",
            FIRST,
            &mut UsedVariables::default(),
            &mut problems,
        );
        assert_eq!(
            text,
            "x location=earmark-variable-input\n  r=30/1 t=earmark-variable-title earmark-variable-input"
        );
        assert_eq!(
            slots.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(),
            ["input", "title"]
        );
        assert_eq!(slots[1].value.as_deref(), Some("a \"b\" ! c"));
        assert!(problems.is_empty());
    }

    #[test]
    fn an_unknown_name_is_reported_at_its_place() {
        let variables = Variables::new(&["rate=1", "spare=2"]).unwrap();
        let (mut problems, mut used) = (Vec::new(), UsedVariables::default());
        variables.fill("a\nb ${rat}", FIRST, &mut used, &mut problems);
        variables.unused(&used, &mut problems);
        assert_eq!(problems[0].at, At { line: 4, column: 7 });
        assert_eq!(problems[0].hint.as_deref(), Some("did you mean `rate`?"));
        assert_eq!(problems.len(), 3);
    }

    #[test]
    fn pairs_are_checked() {
        for (pair, word) in [
            ("rate", "NAME=VALUE"),
            ("=1", "NAME=VALUE"),
            ("input=x", "--input"),
            ("a b=1", "NAME=VALUE"),
        ] {
            assert!(
                Variables::new(&[pair]).unwrap_err().contains(word),
                "{pair}"
            );
        }
        assert!(
            Variables::new(&["a=1", "a=2"])
                .unwrap_err()
                .contains("twice")
        );
    }
}
