//! The guide: its pages are complete, its links lead somewhere, its key reference is current, its code blocks run.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use crate::recordings::{folder, python, root, said};

/// Every page of the guide.
fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<_> = std::fs::read_dir(root().join("docs/src"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
        .collect();
    pages.sort();
    assert!(pages.len() > 5, "{pages:?}");
    pages
}

fn read(page: &Path) -> String {
    std::fs::read_to_string(page).unwrap()
}

fn parse(text: &str) -> Parser<'_> {
    Parser::new_ext(text, Options::ENABLE_TABLES)
}

/// Where the links and pictures of a page lead.
fn links(text: &str) -> Vec<String> {
    let target = |event| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
            Some(dest_url.to_string())
        }
        _ => None,
    };
    parse(text).filter_map(target).collect()
}

/// The anchors that a page's headings make.
fn headings(text: &str) -> HashSet<String> {
    let mut found = HashSet::new();
    let mut heading: Option<(HeadingLevel, String)> = None;
    for event in parse(text) {
        match event {
            Event::Start(Tag::Heading { level, .. }) => heading = Some((level, String::new())),
            Event::Text(text) | Event::Code(text) => {
                if let Some((_, heading)) = &mut heading {
                    heading.push_str(&text);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                let (_, text) = heading.take().unwrap();
                let kept = text
                    .to_lowercase()
                    .chars()
                    .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
                    .collect::<String>();
                found.insert(kept.replace(' ', "-"));
            }
            _ => {}
        }
    }
    found
}

#[test]
fn every_page_stands_in_the_summary() {
    let summary = read(&root().join("docs/src/SUMMARY.md"));
    let listed: HashSet<_> = links(&summary).into_iter().collect();
    let there: HashSet<_> = pages()
        .iter()
        .map(|page| page.file_name().unwrap().to_str().unwrap().to_owned())
        .filter(|name| name != "SUMMARY.md")
        .collect();
    assert_eq!(listed, there);
}

#[test]
fn every_link_leads_somewhere() {
    let mut dead = Vec::new();
    let mut files = pages();
    files.extend(["README.md", "CONTRIBUTING.md"].map(|name| root().join(name)));
    for page in files {
        let text = read(&page);
        for link in links(&text) {
            if link.contains("://") {
                continue;
            }
            let (path, fragment) = link.split_once('#').unwrap_or((&link, ""));
            let target = match path {
                "" => page.clone(),
                path => page.parent().unwrap().join(path),
            };
            let there = target.exists()
                && (fragment.is_empty() || headings(&read(&target)).contains(fragment));
            if !there {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert_eq!(dead, Vec::<String>::new());
}

#[test]
fn the_reference_of_keys_is_current() {
    earmark::init().unwrap();
    let page = root().join("docs/src/pipeline.md");
    let text = earmark::pipeline::reference::page();
    if std::env::var_os("EARMARK_WRITE_GUIDE").is_some() {
        std::fs::write(&page, &text).unwrap();
    }
    assert_eq!(
        read(&page),
        text,
        "run EARMARK_WRITE_GUIDE=1 cargo test --test tests guide"
    );
}

#[test]
fn every_setting_is_in_the_reference() {
    earmark::init().unwrap();
    let reference = earmark::pipeline::reference::reference();
    let settings = serde_json::to_value(anchoring::settings::Settings::default()).unwrap();
    for section in ["anchors", "budget"] {
        for key in settings[section].as_object().unwrap().keys() {
            let found = reference
                .iter()
                .find(|found| found.section == section && found.key == *key)
                .unwrap_or_else(|| panic!("{section}.{key}"));
            assert!(
                !found.takes.is_empty() && !found.what.is_empty(),
                "{found:?}"
            );
        }
    }
}

#[test]
fn every_key_of_the_shipped_pipelines_is_in_the_reference() {
    earmark::init().unwrap();
    let keys: HashSet<_> = earmark::pipeline::reference::reference()
        .into_iter()
        .map(|key| format!("  {}:", key.key))
        .collect();
    for name in ["gated", "thrifty", "uniform", "dense", "anchors_only"] {
        let text = read(&root().join(format!("pipelines/{name}.yaml")));
        let sections = text.split("\n\n").filter(|part| !part.contains("graph: |"));
        for line in sections.flat_map(str::lines) {
            let is_key =
                line.starts_with("  ") && line.chars().nth(2).unwrap_or(' ').is_alphabetic();
            let key = line.split_inclusive(':').next().unwrap_or_default();
            assert!(!is_key || keys.contains(key), "{name}: {line}");
        }
    }
}

/// The blocks of a page that are marked `run`, in order, with their languages.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut block: Option<(String, String)> = None;
    for event in parse(text) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(kind))) => {
                let language = kind.strip_suffix(" run").map(str::to_owned);
                block = language.map(|language| (language, String::new()));
            }
            Event::Text(text) => {
                if let Some((_, code)) = &mut block {
                    code.push_str(&text);
                }
            }
            Event::End(TagEnd::CodeBlock) => found.extend(block.take()),
            _ => {}
        }
    }
    found
}

/// A folder that looks like a checkout after `make build`, as far as the guide's commands can tell.
fn checkout(name: &str) -> PathBuf {
    let folder = folder(name);
    let link = |from: &Path, to: &str| std::os::unix::fs::symlink(from, folder.join(to)).unwrap();
    for part in ["pipelines", "fixtures", "models"] {
        link(&root().join(part), part);
    }
    std::fs::create_dir_all(folder.join("target/release")).unwrap();
    let command = Path::new(env!("CARGO_BIN_EXE_earmark"));
    link(command, "target/release/earmark");
    let built = command.parent().unwrap();
    let plugin = [built.to_owned(), built.join("deps")]
        .map(|place| place.join("libgstearmark.so"))
        .into_iter()
        .find(|plugin| plugin.exists())
        .unwrap();
    link(&plugin, "target/release/libgstearmark.so");
    folder
}

#[test]
fn code_blocks_run() {
    let Some(python) = python() else { return };
    let mut ran = 0;
    let mut files = pages();
    files.push(root().join("README.md"));
    for page in files {
        let blocks = blocks(&read(&page));
        if blocks.is_empty() {
            continue;
        }
        let stem = page.file_stem().unwrap().to_str().unwrap();
        let folder = checkout(&format!("guide-{stem}"));
        // A reader goes on in the same shell.
        let mut exports = String::from("set -euo pipefail\n");
        for (language, code) in blocks {
            let mut command = match language.as_str() {
                "sh" => Command::new("bash"),
                "python" => Command::new(&python),
                other => panic!("{}: cannot run {other}", page.display()),
            };
            let code = match language.as_str() {
                "sh" => {
                    let script = format!("{exports}{code}");
                    let lines = code.lines().filter(|line| line.starts_with("export "));
                    exports.extend(lines.map(|line| format!("{line}\n")));
                    script
                }
                _ => code,
            };
            let output = command
                .args(["-c", &code])
                .current_dir(&folder)
                .env("EARMARK_MODELS", root().join("models"))
                .env("PYTHONPATH", root().join("python/src"))
                .env("GST_REGISTRY", folder.join("registry.bin"))
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "{}:\n{code}\n{}",
                page.display(),
                said(&output)
            );
            ran += 1;
        }
    }
    assert!(ran > 5, "only {ran} blocks are marked `run`");
}
