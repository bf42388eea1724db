//! Parses YAML into a tree in which every key and value knows its position.

use granit_parser::{Event, Parser, ScalarStyle, Span};
use serde_json::Value;

use super::problem::{At, Problem};

/// Depth limit of a pipeline, which needs two levels.
const DEEPEST: usize = 16;

/// A value and its position.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Its start; for a literal block (`|`), its first line of text.
    pub at: At,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// `plain` scalars may be numbers; quoted ones and blocks are text.
    Scalar {
        text: String,
        plain: bool,
    },
    Map(Vec<(Key, Node)>),
    List(Vec<Node>),
}

#[derive(Clone, Debug)]
pub(super) struct Key {
    pub at: At,
    pub name: String,
}

impl Node {
    /// As JSON: plain scalars by YAML's core schema, everything else as text.
    pub(super) fn json(&self) -> Value {
        match &self.kind {
            Kind::Scalar { text, plain, .. } => scalar(text, *plain),
            Kind::List(nodes) => nodes.iter().map(Self::json).collect(),
            Kind::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|(key, node)| (key.name.clone(), node.json()))
                    .collect(),
            ),
        }
    }

    /// A short form of what was written, for messages.
    pub(super) fn shown(&self) -> String {
        match &self.kind {
            Kind::Scalar {
                text, plain: true, ..
            } if text.is_empty() => "empty".into(),
            Kind::Scalar {
                text, plain: true, ..
            } => text.clone(),
            Kind::Scalar { text, .. } => format!("{text:?}"),
            Kind::List(_) => "a list".into(),
            Kind::Map(_) => "a mapping".into(),
        }
    }
}

/// YAML's core schema.
fn scalar(text: &str, plain: bool) -> Value {
    if !plain {
        return Value::String(text.into());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => {
            let numeric = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
            let digits = text.strip_prefix('+').unwrap_or(text);
            if let Ok(number) = digits.parse::<i64>() {
                number.into()
            } else if let Some(number) = digits
                .parse::<f64>()
                .ok()
                .filter(|n| numeric && n.is_finite())
            {
                serde_json::Number::from_f64(number).map_or(Value::Null, Value::Number)
            } else {
                Value::String(text.into())
            }
        }
    }
}

/// Parses one document. Syntax errors end the parse; what YAML allows but a pipeline does not is collected.
pub(super) fn parse(text: &str) -> Result<Node, Vec<Problem>> {
    let mut events = Parser::new_from_str(text);
    let mut problems = Vec::new();
    let mut root = None;
    loop {
        let (event, span) = match events.next_event() {
            None => break,
            Some(Ok(next)) => next,
            Some(Err(e)) => {
                problems.push(syntax(&e));
                return Err(problems);
            }
        };
        match event {
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(..)
            | Event::DocumentEnd => {}
            event if root.is_none() => {
                match build(&mut events, event, span, text, 0, &mut problems) {
                    Ok(node) => root = node,
                    Err(problem) => {
                        problems.push(problem);
                        return Err(problems);
                    }
                }
            }
            _ => {
                problems.push(Problem::new(
                    at(span),
                    "---",
                    "must be a single YAML document",
                ));
                return Err(problems);
            }
        }
    }
    match root {
        Some(root) if problems.is_empty() => Ok(root),
        Some(_) => Err(problems),
        None => Err(vec![
            Problem::new(
                At { line: 1, column: 1 },
                "the file",
                "a pipeline needs `version` and `graph`",
            )
            .value("empty"),
        ]),
    }
}

fn syntax(e: &granit_parser::ScanError) -> Problem {
    let mark = e.marker();
    Problem::new(
        At {
            line: mark.line().max(1),
            column: mark.col() + 1,
        },
        "YAML",
        format!("is not valid YAML: {}", e.info()),
    )
    .hint(Some(
        "use spaces for indentation, and close every quote and bracket".into(),
    ))
}

fn at(span: Span) -> At {
    At {
        line: span.start.line().max(1),
        column: span.start.col() + 1,
    }
}

type Events<'a> = Parser<'a, granit_parser::StrInput<'a>>;

/// The node that starts with `event`; `None` for what is not a node (a comment).
fn build(
    events: &mut Events<'_>,
    event: Event<'_>,
    span: Span,
    text: &str,
    depth: usize,
    problems: &mut Vec<Problem>,
) -> Result<Option<Node>, Problem> {
    let place = at(span);
    if depth > DEEPEST {
        return Err(Problem::new(
            place,
            "YAML",
            format!("is nested deeper than {DEEPEST} levels"),
        ));
    }
    if let Some(tag) = event.tag() {
        problems.push(
            Problem::new(
                place,
                "YAML",
                "tags are not supported; write the plain value",
            )
            .value(tag.original()),
        );
    }
    let kind = match event {
        Event::Scalar(value, style, ..) => {
            let literal = style == ScalarStyle::Literal;
            let node = Node {
                at: if literal {
                    first_line(place, &value, text)
                } else {
                    place
                },
                kind: Kind::Scalar {
                    text: value.into_owned(),
                    plain: style == ScalarStyle::Plain,
                },
            };
            return Ok(Some(node));
        }
        Event::SequenceStart(..) => {
            let mut nodes = Vec::new();
            loop {
                match next(events)? {
                    (Event::SequenceEnd, _) => break Kind::List(nodes),
                    (event, span) => {
                        nodes.extend(build(events, event, span, text, depth + 1, problems)?)
                    }
                }
            }
        }
        Event::MappingStart(..) => Kind::Map(mapping(events, text, depth, problems)?),
        Event::Alias(_) => {
            problems.push(Problem::new(
                place,
                "YAML",
                "aliases (`*name`) are not supported; repeat the value",
            ));
            Kind::Scalar {
                text: String::new(),
                plain: true,
            }
        }
        _ => return Ok(None),
    };
    Ok(Some(Node { at: place, kind }))
}

fn mapping(
    events: &mut Events<'_>,
    text: &str,
    depth: usize,
    problems: &mut Vec<Problem>,
) -> Result<Vec<(Key, Node)>, Problem> {
    let mut entries: Vec<(Key, Node)> = Vec::new();
    loop {
        let (event, span) = next(events)?;
        if matches!(event, Event::MappingEnd) {
            return Ok(entries);
        }
        let Some(key) = build(events, event, span, text, depth + 1, problems)? else {
            continue;
        };
        let value = loop {
            let (event, span) = next(events)?;
            if let Some(value) = build(events, event, span, text, depth + 1, problems)? {
                break value;
            }
        };
        let Kind::Scalar { text: name, .. } = key.kind else {
            problems.push(Problem::new(key.at, "YAML", "a key must be a word"));
            continue;
        };
        if let Some((first, _)) = entries.iter().find(|(other, _)| other.name == name) {
            let rule = format!("is given twice; the first is in line {}", first.at.line);
            problems.push(Problem::new(key.at, name, rule));
            continue;
        }
        entries.push((Key { at: key.at, name }, value));
    }
}

fn next<'a>(events: &mut Events<'a>) -> Result<(Event<'a>, Span), Problem> {
    match events.next_event() {
        Some(Ok(next)) => Ok(next),
        Some(Err(e)) => Err(syntax(&e)),
        None => Err(Problem::new(At::default(), "YAML", "ends early")),
    }
}

/// Where the text of a literal block starts: on the line after its `|`, after the indentation.
fn first_line(place: At, value: &str, text: &str) -> At {
    let mut lines = text.lines().enumerate().skip(place.line - 1);
    let marker = lines.next();
    // The span starts either at the `|` or at the text itself.
    let begins_below = marker
        .is_some_and(|(_, line)| line.chars().nth(place.column - 1).is_some_and(|c| c == '|'));
    let line = place.line + usize::from(begins_below);
    let first = value
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    let column = text
        .lines()
        .skip(line - 1)
        .find_map(|source| {
            source
                .find(first)
                .filter(|_| source.trim_end().ends_with(first.trim_end()))
        })
        .unwrap_or(0);
    At {
        line,
        column: column + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(node: &Node) -> &[(Key, Node)] {
        match &node.kind {
            Kind::Map(entries) => entries,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_key_and_value_knows_its_place() {
        let root = parse("version: 1\n# a remark\ngraph: |\n  a ! b\n  c\nears: { probe: flux,\n  tagger: none }\n").unwrap();
        let entries = map(&root);
        let places: Vec<_> = entries
            .iter()
            .map(|(key, node)| {
                (
                    key.name.as_str(),
                    key.at.line,
                    key.at.column,
                    node.at.line,
                    node.at.column,
                )
            })
            .collect();
        assert_eq!(
            places,
            [
                ("version", 1, 1, 1, 10),
                ("graph", 3, 1, 4, 3),
                ("ears", 6, 1, 6, 7)
            ]
        );
        let ears = map(&entries[2].1);
        assert_eq!((ears[1].0.at.line, ears[1].0.at.column), (7, 3));
        assert_eq!(ears[1].1.json(), "none");
    }

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        for (text, value) in [
            ("1", Value::from(1)),
            ("-2.5", (-2.5).into()),
            ("1e3", 1000.0.into()),
            ("yes", "yes".into()),
        ] {
            assert_eq!(scalar(text, true), value, "{text}");
        }
        assert_eq!(scalar("1", false), "1");
        assert_eq!(scalar("inf", true), "inf");
    }

    #[test]
    fn what_yaml_allows_and_a_pipeline_does_not_is_collected() {
        let problems = parse("a: &x 1\nb: *x\nc: !t 2\na: 3\n").unwrap_err();
        let lines: Vec<_> = problems.iter().map(|p| p.at.line).collect();
        assert_eq!(lines, [2, 3, 4]);
    }

    #[test]
    fn broken_yaml_says_where() {
        let problems = parse("a: [1, 2\nb: 3\n").unwrap_err();
        assert_eq!(problems.len(), 1);
        assert!(problems[0].at.line >= 1, "{problems:?}");
        assert!(parse("").is_err());
        assert!(parse("a: 1\n---\nb: 2\n").is_err());
    }
}
