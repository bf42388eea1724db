//! Parses gst-launch text into elements, properties and links with their positions.
//!
//! GStreamer's own parser gives no line numbers, stops at the first mistake, and does not show links that wait for a pad.

use super::problem::{At, Problem};

/// A graph as written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// Elements in the order of the text.
    pub nodes: Vec<Node>,
    /// Links in the order of the text.
    pub links: Vec<Link>,
}

/// An element as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where its factory's name stands.
    pub at: At,
    /// The factory: `anchorgate`.
    pub factory: String,
    /// Its name, if it has one: `gate`.
    pub name: Option<String>,
    /// Its properties, without `name`.
    pub properties: Vec<Property>,
    /// The same as written, quotes and all.
    raw: Vec<String>,
}

/// `name=value` after an element.
#[derive(Clone, Debug, PartialEq)]
pub struct Property {
    /// Where.
    pub at: At,
    /// The property.
    pub name: String,
    /// Its value, without quotes.
    pub value: String,
}

/// One end of a link.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// Index into [`Graph::nodes`].
    pub node: usize,
    /// The pad, where the text names it.
    pub pad: Option<String>,
}

/// `a ! caps ! b`.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// Where the `!` stands.
    pub at: At,
    /// The source.
    pub from: End,
    /// The caps filter between the two as written, if there is one.
    pub caps: Option<String>,
    /// The sink.
    pub to: End,
}

impl Node {
    /// Its name in messages: its own name if it has one.
    pub fn title(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.factory)
    }
}

impl Graph {
    /// A name for every element: its own, or its factory's with a number that no other element has.
    pub fn names(&self) -> Vec<String> {
        let taken = |name: &String| {
            self.nodes
                .iter()
                .any(|node| node.name.as_ref() == Some(name))
        };
        let name = |(index, node): (usize, &Node)| match &node.name {
            Some(name) => name.clone(),
            None => (index..)
                .map(|number| format!("{}-{number}", node.factory))
                .find(|name| !taken(name))
                .unwrap_or_default(),
        };
        self.nodes.iter().enumerate().map(name).collect()
    }

    /// gst-launch text of a part of the graph, every element named: the elements and the links for which `keep` is true.
    pub fn text(
        &self,
        keep_node: impl Fn(usize) -> bool,
        keep_link: impl Fn(usize) -> bool,
    ) -> String {
        let names = self.names();
        let mut lines = Vec::new();
        for (index, node) in self
            .nodes
            .iter()
            .enumerate()
            .filter(|(index, _)| keep_node(*index))
        {
            let mut line = format!("{} name={}", node.factory, names[index]);
            for property in &node.raw {
                line.push(' ');
                line.push_str(property);
            }
            lines.push(line);
        }
        let end = |end: &End| {
            format!(
                "{}.{}",
                names[end.node],
                end.pad.as_deref().unwrap_or_default()
            )
        };
        for (_, link) in self
            .links
            .iter()
            .enumerate()
            .filter(|(index, _)| keep_link(*index))
        {
            let caps = link
                .caps
                .as_ref()
                .map(|caps| format!("{caps} ! "))
                .unwrap_or_default();
            lines.push(format!("{} ! {caps}{}", end(&link.from), end(&link.to)));
        }
        lines.join("\n")
    }

    /// All elements from which data can reach this one, and the element itself.
    pub fn above(&self, node: usize) -> Vec<bool> {
        let mut found = vec![false; self.nodes.len()];
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            if !std::mem::replace(&mut found[node], true) {
                open.extend(
                    self.links
                        .iter()
                        .filter(|link| link.to.node == node)
                        .map(|link| link.from.node),
                );
            }
        }
        found
    }

    /// The first element of this factory.
    pub fn find(&self, factory: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.factory == factory)
    }
}

/// A word of the text.
#[derive(Clone, Debug, PartialEq)]
struct Token {
    at: At,
    text: String,
}

/// Splits the text at blanks outside quotes; `#` at the start of a word begins a comment. `first` is the position of the first
/// character, `indent` the column at which later lines start.
fn tokens(text: &str, first: At) -> Vec<Token> {
    let mut tokens = Vec::new();
    let (mut line, mut column) = (first.line, first.column);
    let mut word: Option<Token> = None;
    let mut quote = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let here = At { line, column };
        column += 1;
        if c == '\n' {
            (line, column) = (line + 1, first.column);
        }
        match quote {
            Some(q) => {
                quote = (c != q).then_some(q);
                push(&mut word, here, c);
            }
            None if c.is_whitespace() => tokens.extend(word.take()),
            None if c == '#' && word.is_none() => while chars.next_if(|c| *c != '\n').is_some() {},
            None => {
                if c == '"' || c == '\'' {
                    quote = Some(c);
                }
                push(&mut word, here, c);
                if c == '\\'
                    && let Some(escaped) = chars.next_if(|c| *c != '\n')
                {
                    column += 1;
                    push(&mut word, here, escaped);
                }
            }
        }
    }
    tokens.extend(word);
    tokens
}

fn push(word: &mut Option<Token>, at: At, c: char) {
    word.get_or_insert_with(|| Token {
        at,
        text: String::new(),
    })
    .text
    .push(c);
}

/// The text without comments, for GStreamer's parser.
pub fn without_remarks(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut last = 0;
    for token in tokens(text, At { line: 1, column: 1 }) {
        plain.push(if token.at.line == last || last == 0 {
            ' '
        } else {
            '\n'
        });
        last = token.at.line;
        plain.push_str(&token.text);
    }
    plain
}

/// A link that waits for its sink.
struct PendingLink {
    at: At,
    from: LinkEnd,
    caps: Option<String>,
}

/// One end as written; names are resolved when every element is known.
#[derive(Clone)]
enum LinkEnd {
    Node(usize),
    Named {
        at: At,
        name: String,
        pad: Option<String>,
    },
}

/// Parses a graph; `first` is the position of the first character in its file. Returns what could be parsed,
/// and everything that is wrong.
pub fn parse(text: &str, first: At) -> (Graph, Vec<Problem>) {
    let mut reader = Reader::default();
    for token in tokens(text, first) {
        reader.take(token);
    }
    reader.finish()
}

#[derive(Default)]
struct Reader {
    nodes: Vec<Node>,
    links: Vec<(At, LinkEnd, Option<String>, LinkEnd)>,
    problems: Vec<Problem>,
    last: Option<LinkEnd>,
    waiting: Option<PendingLink>,
}

impl Reader {
    fn take(&mut self, token: Token) {
        let Token { at, text } = token;
        let bare = text.trim_matches(|c| c == '"' || c == '\'');
        if text == "!" || text == ":" {
            self.bang(at);
        } else if let Some((name, value)) = assignment(&text) {
            self.property(at, name, value, text);
        } else if bare.contains('/') || bare.contains(',') {
            self.caps(at, text);
        } else if let Some((name, pad)) = text.split_once('.') {
            let pad = Some(pad.to_owned()).filter(|pad| !pad.is_empty());
            let side = match (name, self.nodes.len()) {
                ("", n) if n > 0 => LinkEnd::Named {
                    at,
                    name: String::new(),
                    pad,
                },
                _ => LinkEnd::Named {
                    at,
                    name: name.to_owned(),
                    pad,
                },
            };
            self.side(at, side, false);
        } else if is_word(&text) {
            self.nodes.push(Node {
                at,
                factory: text,
                name: None,
                properties: Vec::new(),
                raw: Vec::new(),
            });
            self.side(at, LinkEnd::Node(self.nodes.len() - 1), true);
        } else {
            self.problems.push(
                Problem::new(
                    at,
                    "graph",
                    "is not an element, property, pad, caps filter or `!`",
                )
                .value(format!("`{text}`")),
            );
        }
    }

    fn bang(&mut self, at: At) {
        match (&mut self.waiting, self.last.take()) {
            // `a ! caps ! b` is one link.
            (Some(waiting), None) if waiting.caps.is_some() => {}
            (None, Some(from)) => {
                self.waiting = Some(PendingLink {
                    at,
                    from,
                    caps: None,
                })
            }
            _ => self.problems.push(
                Problem::new(at, "graph", "a `!` needs an element before and after it")
                    .value("`!`"),
            ),
        }
    }

    fn property(&mut self, at: At, name: String, value: String, raw: String) {
        let Some(node) = self
            .nodes
            .last_mut()
            .filter(|_| matches!(self.last, Some(LinkEnd::Node(_))))
        else {
            self.problems.push(
                Problem::new(at, "graph", "a property must follow its element")
                    .value(format!("`{name}={value}`")),
            );
            return;
        };
        if name == "name" {
            node.name = Some(value);
        } else {
            node.properties.push(Property { at, name, value });
            node.raw.push(raw);
        }
    }

    fn caps(&mut self, at: At, caps: String) {
        match &mut self.waiting {
            Some(waiting) if waiting.caps.is_none() => waiting.caps = Some(caps),
            _ => self.problems.push(
                Problem::new(at, "graph", "a caps filter must be between two `!`")
                    .value(format!("`{caps}`")),
            ),
        }
    }

    /// An element or a reference to one: completes a waiting link, may start the next.
    fn side(&mut self, at: At, side: LinkEnd, is_element: bool) {
        let ended = match self.waiting.take() {
            Some(PendingLink { at, from, caps }) => {
                self.links.push((at, from, caps, side.clone()));
                true
            }
            None => false,
        };
        if !is_element
            && !ended
            && matches!(&side, LinkEnd::Named { name, .. } if name.is_empty())
            && self.last.is_none()
        {
            self.problems.push(Problem::new(
                at,
                "graph",
                "a pad without an element name must follow its element",
            ));
        }
        // `a ! gate.cues` ends a chain; `demux. !` starts one.
        self.last = (is_element || !ended).then_some(side);
    }

    fn finish(mut self) -> (Graph, Vec<Problem>) {
        if let Some(PendingLink { at, .. }) = self.waiting.take() {
            self.problems
                .push(Problem::new(at, "graph", "nothing follows this `!`").value("`!`"));
        }
        for (index, node) in self.nodes.iter().enumerate() {
            let Some(name) = &node.name else { continue };
            if let Some(first) = self.nodes[..index]
                .iter()
                .find(|other| other.name.as_ref() == Some(name))
            {
                self.problems.push(Problem::new(
                    node.at,
                    format!("graph: {name}"),
                    format!(
                        "two elements have this name; the first is in line {}",
                        first.at.line
                    ),
                ));
            }
        }
        let links = std::mem::take(&mut self.links);
        let links = links
            .into_iter()
            .filter_map(|(at, from, caps, to)| {
                let (from, to) = (self.end(from), self.end(to));
                Some(Link {
                    at,
                    from: from?,
                    caps,
                    to: to?,
                })
            })
            .collect();
        (
            Graph {
                nodes: self.nodes,
                links,
            },
            self.problems,
        )
    }

    fn end(&mut self, side: LinkEnd) -> Option<End> {
        match side {
            LinkEnd::Node(node) => Some(End { node, pad: None }),
            LinkEnd::Named { at, name, pad } => {
                let found = if name.is_empty() {
                    self.nodes.iter().rposition(|node| node.at < at)
                } else {
                    self.nodes
                        .iter()
                        .position(|node| node.name.as_ref() == Some(&name))
                };
                if found.is_none() {
                    let names: Vec<_> = self
                        .nodes
                        .iter()
                        .filter_map(|node| node.name.as_deref())
                        .collect();
                    let rule = match names.as_slice() {
                        [] => "no element has this name; give it one with name=".into(),
                        names => format!(
                            "no element has this name; the names are {}",
                            names.join(", ")
                        ),
                    };
                    let hint = crate::pipeline::did_you_mean(&name, names.iter().copied());
                    self.problems
                        .push(Problem::new(at, format!("graph: {name}."), rule).hint(hint));
                }
                found.map(|node| End { node, pad })
            }
        }
    }
}

/// `name=value`, quotes removed; `None` for caps, whose `=` comes after a `/` or a `,`.
fn assignment(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    let is_name = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || "-_:".contains(c));
    is_name.then(|| (name.to_owned(), unquoted(value)))
}

/// Unquotes like gst-launch: removes quotes; a backslash outside quotes escapes the next character.
fn unquoted(value: &str) -> String {
    let mut plain = String::with_capacity(value.len());
    let mut quoted = false;
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' if !quoted => plain.extend(chars.next()),
            c => plain.push(c),
        }
    }
    plain
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c.is_ascii_digit())
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || "-_".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: At = At { line: 4, column: 3 };

    fn titles(graph: &Graph) -> Vec<String> {
        let end = |end: &End| {
            let title = graph.nodes[end.node].title();
            end.pad
                .as_ref()
                .map_or(title.to_owned(), |pad| format!("{title}.{pad}"))
        };
        graph
            .links
            .iter()
            .map(|link| match &link.caps {
                Some(caps) => format!("{} -[{caps}]-> {}", end(&link.from), end(&link.to)),
                None => format!("{} -> {}", end(&link.from), end(&link.to)),
            })
            .collect()
    }

    #[test]
    fn links_references_pads_and_caps_are_read() {
        let text = "filesrc location=\"a b.mp4\" ! parsebin name=demux # a remark\n# and another\ndemux. ! queue ! gate.video\n\
                    demux. ! queue ! audio/x-raw,rate=16000 ! eventness name=ears ! gate.cues\nanchorgate name=gate plan=x\\ y ! fakesink";
        let (graph, problems) = parse(text, FIRST);
        assert_eq!(problems, []);
        assert_eq!(
            titles(&graph),
            [
                "filesrc -> demux",
                "demux -> queue",
                "queue -> gate.video",
                "demux -> queue",
                "queue -[audio/x-raw,rate=16000]-> ears",
                "ears -> gate.cues",
                "gate -> fakesink"
            ]
        );
        assert_eq!(graph.nodes[0].properties[0].value, "a b.mp4");
        assert_eq!(graph.nodes[5].properties[0].value, "x y");
        assert_eq!(graph.nodes[5].at, At { line: 8, column: 3 });
        assert_eq!(graph.nodes[5].properties[0].at.column, 24);
    }

    #[test]
    fn a_part_of_a_graph_is_text_again() {
        let text = "filesrc location=\"a b\" ! parsebin name=queue-2 queue-2. ! queue ! \"video/x-h264, x=1\" ! fakesink queue-2. ! queue name=q";
        let (graph, problems) = parse(text, FIRST);
        assert_eq!(problems, []);
        assert_eq!(
            graph.text(|node| node != 4, |link| link != 3 && link != 1),
            "filesrc name=filesrc-0 location=\"a b\"\nparsebin name=queue-2\nqueue name=queue-3\nfakesink name=fakesink-3\n\
             filesrc-0. ! queue-2.\nqueue-3. ! \"video/x-h264, x=1\" ! fakesink-3."
        );
        assert_eq!(graph.above(3), [true, true, true, true, false]);
    }

    #[test]
    fn every_mistake_is_found_at_once() {
        let (_, problems) = parse(
            "! filesrc ! sink.x\nname=y\nqueue name=sinc ! ! fakesink\nx=y ? queue !",
            FIRST,
        );
        let rules: Vec<_> = problems
            .iter()
            .map(|p| (p.at.line, p.rule.as_str()))
            .collect();
        assert_eq!(
            rules,
            [
                (4, "a `!` needs an element before and after it"),
                (5, "a property must follow its element"),
                (6, "a `!` needs an element before and after it"),
                (7, "is not an element, property, pad, caps filter or `!`"),
                (7, "nothing follows this `!`"),
                (4, "no element has this name; the names are sinc"),
            ]
        );
        assert_eq!(problems[5].hint.as_deref(), Some("did you mean `sinc`?"));
    }

    #[test]
    fn remarks_go_and_lines_stay() {
        assert_eq!(
            without_remarks("a # x\n! b\n# y\n! c").trim(),
            "a\n! b\n! c"
        );
        assert_eq!(
            without_remarks("a location=\"#1 .mp4\"").trim(),
            "a location=\"#1 .mp4\""
        );
    }
}
