//! A problem in a pipeline: line, field, value, rule, likely mistake.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// A position in a text, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct At {
    /// Line, from 1; 0 for the command line.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// A problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Its position.
    #[serde(flatten)]
    pub at: At,
    /// Its field as a path of keys: `anchors.pre_ms`, `graph: decodebin`.
    pub field: String,
    /// The given value, if any.
    pub value: Option<String>,
    /// The rule that it breaks.
    pub rule: String,
    /// The likely mistake, if there is one.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem of a field, without value and hint.
    pub(crate) fn new(at: At, field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self {
            at,
            field: field.into(),
            value: None,
            rule: rule.into(),
            hint: None,
        }
    }

    /// Adds the given value.
    pub(crate) fn value(mut self, value: impl Into<String>) -> Self {
        self.value = Some(value.into());
        self
    }

    /// Adds the likely mistake.
    pub(crate) fn hint(mut self, hint: impl Into<Option<String>>) -> Self {
        self.hint = hint.into();
        self
    }
}

/// All problems of a pipeline, in text order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct Problems {
    /// The file.
    pub file: PathBuf,
    /// At least one.
    pub problems: Vec<Problem>,
}

impl Problems {
    /// Sorts problems by position.
    pub(crate) fn new(file: &Path, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.at);
        Self {
            file: file.to_owned(),
            problems,
        }
    }
}

impl fmt::Display for Problems {
    /// Three lines per problem, then their number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            let At { line, column } = problem.at;
            match line {
                // The command line has no line number.
                0 => write!(f, "--set: {}", problem.field)?,
                _ => write!(
                    f,
                    "{}:{line}:{column}: {}",
                    self.file.display(),
                    problem.field
                )?,
            }
            if let Some(value) = &problem.value {
                write!(f, " is {value}")?;
            }
            write!(f, "\n    {}", problem.rule)?;
            if let Some(hint) = &problem.hint {
                write!(f, "\n    {hint}")?;
            }
            writeln!(f)?;
        }
        match self.problems.len() {
            1 => write!(f, "1 problem in {}", self.file.display()),
            n => write!(f, "{n} problems in {}", self.file.display()),
        }
    }
}

/// "did you mean `x`?", if one of the names is close to what was written.
pub(crate) fn did_you_mean<'a>(
    written: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let written = written.to_lowercase().replace('-', "_");
    names
        .into_iter()
        .map(|name| {
            let plain = name.to_lowercase().replace('-', "_");
            (strsim::damerau_levenshtein(&written, &plain), name)
        })
        .filter(|(distance, name)| *distance <= name.chars().count().div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| format!("did you mean `{name}`?"))
}

/// `a, b or c`.
pub(crate) fn either<S: AsRef<str>>(names: &[S]) -> String {
    match names {
        [] => "nothing".into(),
        [one] => one.as_ref().into(),
        [most @ .., last] => {
            let most: Vec<_> = most.iter().map(AsRef::as_ref).collect();
            format!("{} or {}", most.join(", "), last.as_ref())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_recognised_and_a_different_word_is_not() {
        let names = ["pre_ms", "post_ms", "min_gap_ms"];
        assert_eq!(
            did_you_mean("pre-ms", names),
            Some("did you mean `pre_ms`?".into())
        );
        assert_eq!(
            did_you_mean("pots_ms", names),
            Some("did you mean `post_ms`?".into())
        );
        assert_eq!(did_you_mean("colour", names), None);
    }
}
