//! The graph of imports of a crate, read from the sources: which file names what of which other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A module by its path in the crate: `["report", "plot", "rows"]`; the root is empty.
pub type Module = Vec<String>;

/// What a crate's modules import of each other.
pub struct Imports {
    /// Every module.
    modules: BTreeSet<Module>,
    /// From a module to another: the names.
    edges: BTreeMap<(Module, Module), BTreeSet<String>>,
}

impl Imports {
    /// Reads every module below a crate's `src`. Binaries beside the library (`main.rs`) don't belong to it.
    pub fn read(src: &Path) -> Self {
        let mut texts = BTreeMap::new();
        search(src, &mut Vec::new(), &mut texts);
        Self::of(&texts)
    }

    /// Of modules and their texts.
    pub fn of(texts: &BTreeMap<Module, String>) -> Self {
        let codes: BTreeMap<&Module, String> = texts
            .iter()
            .map(|(module, text)| (module, code(text)))
            .collect();
        let tests: Vec<Module> = codes
            .iter()
            .flat_map(|(module, code)| tests_of(module, code))
            .collect();
        let is_test = |module: &Module| tests.iter().any(|tests| module.starts_with(tests));
        let modules: BTreeSet<Module> = texts
            .keys()
            .filter(|module| !is_test(module))
            .cloned()
            .collect();
        let mut edges: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
        for module in &modules {
            for path in paths(&without_tests(&codes[module])) {
                let Some(named) = resolved(module, &path) else {
                    continue;
                };
                let known = (0..=named.len())
                    .rev()
                    .find(|&n| modules.contains(&named[..n]))
                    .unwrap_or(0);
                let (other, name) = named.split_at(known);
                if other != module {
                    let name = if name.is_empty() {
                        "itself".to_owned()
                    } else {
                        name.join("::")
                    };
                    edges
                        .entry((module.clone(), other.to_vec()))
                        .or_default()
                        .insert(name);
                }
            }
        }
        Self { modules, edges }
    }

    /// Every circle among the files and folders of one folder, as text: which take part, and the names that make each edge. A file `a.rs`
    /// and its folder `a/` count as one; between the two, anything goes.
    pub fn circles(&self) -> Vec<String> {
        let mut folders: BTreeSet<&[String]> = BTreeSet::new();
        for module in &self.modules {
            folders.extend((0..module.len()).map(|n| &module[..n]));
        }
        folders
            .iter()
            .flat_map(|folder| self.circles_in(folder))
            .collect()
    }

    fn circles_in(&self, folder: &[String]) -> Vec<String> {
        let depth = folder.len();
        let inside = |module: &Module| module.len() > depth && module.starts_with(folder);
        let mut after: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut between: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
        for ((from, to), names) in &self.edges {
            if !inside(from) || !inside(to) || from[depth] == to[depth] {
                continue;
            }
            let (a, b) = (from[depth].as_str(), to[depth].as_str());
            after.entry(a).or_default().insert(b);
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            between.entry((a, b)).or_default().push(format!(
                "  {} -> {}: {}",
                from.join("/"),
                to.join("/"),
                names.join(", ")
            ));
        }
        let reached = |from: &str| {
            let mut seen = BTreeSet::new();
            let mut open: Vec<&str> = after.get(from).into_iter().flatten().copied().collect();
            while let Some(next) = open.pop() {
                if seen.insert(next) {
                    open.extend(after.get(next).into_iter().flatten());
                }
            }
            seen
        };
        let all: BTreeMap<&str, BTreeSet<&str>> =
            after.keys().map(|&name| (name, reached(name))).collect();
        let mut circles = BTreeSet::new();
        for (&name, reach) in &all {
            if reach.contains(name) {
                let back = |other: &&&str| all.get(**other).is_some_and(|r| r.contains(name));
                circles.insert(reach.iter().filter(back).copied().collect::<Vec<_>>());
            }
        }
        let text = |circle: Vec<&str>| {
            let mut lines = vec![format!("in {}/: {}", folder.join("/"), circle.join(", "))];
            for ((a, b), edges) in &between {
                if circle.contains(a) && circle.contains(b) {
                    lines.extend(edges.iter().cloned());
                }
            }
            lines.join("\n")
        };
        circles.into_iter().map(text).collect()
    }
}

fn search(folder: &Path, at: &mut Module, texts: &mut BTreeMap<Module, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            at.push(name);
            search(&path, at, texts);
            at.pop();
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let mut module = at.clone();
            match name.as_str() {
                "main" if at.is_empty() => continue,
                "lib" if at.is_empty() => {}
                "mod" => {}
                _ => module.push(name),
            }
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(
                texts.insert(module, text).is_none(),
                "{} twice",
                path.display()
            );
        }
    }
}

/// A source without comments, and with nothing in its strings.
fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if let Some(n) = raw_string(rest).filter(|_| !out.ends_with(is_word)) {
            n
        } else if c == '"' {
            string(rest)
        } else if c == '\'' {
            character(rest)
        } else {
            0
        };
        if skipped == 0 {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            out.push(' ');
            rest = &rest[skipped..];
        }
    }
    out
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of `r#".."#` at the beginning.
fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let inside = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = inside.find(&end)? + end.len();
    Some(text.len() - inside.len() + length)
}

/// The length of `".."` at the beginning.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of `'x'` at the beginning; 0 for a lifetime.
fn character(text: &str) -> usize {
    let mut inside = text[1..].char_indices();
    let end = match inside.next() {
        Some((_, '\\')) => inside.skip(1).find(|(_, c)| *c == '\''),
        _ => inside.next().filter(|(_, c)| *c == '\''),
    };
    end.map_or(0, |(at, _)| at + 2)
}

/// The modules in files of their own that are compiled for tests only.
fn tests_of(module: &Module, code: &str) -> Vec<Module> {
    const BEFORE: [&str; 8] = ["#", "[", "cfg", "(", "test", ")", "]", "mod"];
    let words = words(code);
    let tests = words
        .windows(10)
        .filter(|ten| ten[..8] == BEFORE && ten[9] == ";");
    tests
        .map(|ten| [module.as_slice(), &[ten[8].to_owned()]].concat())
        .collect()
}

/// Without what is compiled for tests only.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = String::new();
    let mut rest = code;
    while let Some(at) = rest.find(MARK) {
        out.push_str(&rest[..at]);
        rest = &rest[at + MARK.len()..];
        let mut depth = 0;
        let mut end = rest.len();
        for (at, c) in rest.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => {
                    depth -= 1;
                    if depth == 0 {
                        end = at + 1;
                        break;
                    }
                }
                ';' if depth == 0 => {
                    end = at + 1;
                    break;
                }
                _ => {}
            }
        }
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// Every path that a source imports or names, and every one that begins with a module that it declares.
fn paths(code: &str) -> Vec<Vec<String>> {
    let words: Vec<&str> = words(code);
    let mut all = Vec::new();
    let mut declared = BTreeSet::new();
    for three in words.windows(3) {
        if three[0] == "mod" && three[2] == ";" {
            declared.insert(three[1]);
        }
    }
    let mut at = 0;
    while at < words.len() {
        let begins = at == 0 || words[at - 1] != "::";
        let word = words[at];
        // `use<'a>` is a bound, not an import.
        if word == "use" && words.get(at + 1) != Some(&"<") {
            at += 1;
            tree(&words, &mut at, &Vec::new(), &mut all);
        } else if begins && (["crate", "super", "self"].contains(&word) || declared.contains(word))
        {
            let mut path = vec![word.to_owned()];
            at += 1;
            while at + 1 < words.len() && words[at] == "::" && words[at + 1].starts_with(is_word) {
                path.push(words[at + 1].to_owned());
                at += 2;
            }
            if path.len() > 1 {
                all.push(path);
            }
        } else {
            at += 1;
        }
    }
    // In `use`, too, a path may begin with a declared module; any other first name is another crate's.
    all.retain(|path| {
        let first = path[0].as_str();
        ["crate", "super", "self"].contains(&first) || declared.contains(first)
    });
    all
}

/// The tree of a `use`: `a::{b, c::{self, d as e}}` -> three paths.
fn tree(words: &[&str], at: &mut usize, before: &[String], all: &mut Vec<Vec<String>>) {
    let mut path = before.to_vec();
    while let Some(&word) = words.get(*at) {
        match word {
            "::" => *at += 1,
            "{" => {
                *at += 1;
                while words
                    .get(*at)
                    .is_some_and(|word| !["}", ";"].contains(word))
                {
                    tree(words, at, &path, all);
                    if words.get(*at) == Some(&",") {
                        *at += 1;
                    }
                }
                *at += 1;
                return;
            }
            "}" | "," | ";" => break,
            "as" => *at += 2,
            _ => {
                path.push(word.to_owned());
                *at += 1;
            }
        }
    }
    if path.len() > before.len() {
        all.push(path);
    }
}

/// Words, `::`, and single characters.
fn words(code: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = code.trim_start();
    while let Some(c) = rest.chars().next() {
        let length = if is_word(c) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            c.len_utf8()
        };
        let (word, after) = rest.split_at(length);
        words.push(word);
        rest = after.trim_start();
    }
    words
}

/// A path as seen from the crate's root; `None` if it leads out of the crate's modules.
fn resolved(module: &Module, path: &[String]) -> Option<Module> {
    let mut base = module.clone();
    let mut rest = path;
    match path.first()?.as_str() {
        "crate" => {
            base.clear();
            rest = &path[1..];
        }
        "self" => rest = &path[1..],
        "super" => {
            while rest.first().is_some_and(|word| word == "super") {
                base.pop()?;
                rest = &rest[1..];
            }
        }
        _ => {}
    }
    // `a::{self}` names `a`.
    base.extend(rest.iter().filter(|word| *word != "self").cloned());
    Some(base)
}
