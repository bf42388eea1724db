//! The guide: its pages are complete, its links lead somewhere, its key reference is current, its code blocks run.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use earmark::pipeline::reference::{GENERATED, reference, tables};
use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use earmark::pipeline::shipped::SHIPPED;

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
            // `make docs` copies what lies in docs/src and nothing else.
            let book = root().join("docs/src");
            let stays = !page.starts_with(&book)
                || target
                    .canonicalize()
                    .is_ok_and(|target| target.starts_with(&book));
            let there = target.exists()
                && stays
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
    let text = read(&page);
    let (by_hand, generated) = text.split_once(GENERATED).unwrap();
    let tables = tables();
    if std::env::var_os("EARMARK_WRITE_GUIDE").is_some() {
        std::fs::write(&page, format!("{by_hand}{GENERATED}{tables}")).unwrap();
        return;
    }
    assert_eq!(
        generated, tables,
        "run EARMARK_WRITE_GUIDE=1 cargo test --test tests guide"
    );
}

#[test]
fn the_schema_for_editors_is_current() {
    earmark::init().unwrap();
    let file = root().join("pipelines/schema.json");
    let text = format!("{:#}\n", earmark::pipeline::schema::schema());
    if std::env::var_os("EARMARK_WRITE_GUIDE").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    assert_eq!(
        read(&file),
        text,
        "run EARMARK_WRITE_GUIDE=1 cargo test --test tests guide"
    );
    let schema: serde_json::Value = serde_json::from_str(&text).unwrap();
    let tier = &schema["properties"]["budget"]["properties"]["background_tier"]["anyOf"][0];
    assert_eq!(tier["enum"], serde_json::json!(["low", "base", "high"]));
    let pre = &schema["properties"]["anchors"]["properties"]["pre_ms"]["anyOf"][0];
    assert_eq!(
        (&pre["type"], &pre["maximum"]),
        (&"integer".into(), &60_000.into())
    );
}

#[test]
fn every_setting_is_in_the_reference() {
    earmark::init().unwrap();
    let reference = reference();
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
fn every_key_says_its_unit_and_since_when_it_is_there() {
    earmark::init().unwrap();
    for key in reference() {
        let name = format!("{}.{}", key.section, key.key);
        let is_number = ["number", "whole number", "mapping"]
            .iter()
            .any(|kind| key.takes.starts_with(kind));
        assert_eq!(is_number, !key.unit.is_empty(), "{name}");
        assert!(
            !key.since.is_empty(),
            "{name}: add it to SINCE, under the next version"
        );
    }
}

#[test]
fn every_key_of_the_shipped_pipelines_is_in_the_reference() {
    earmark::init().unwrap();
    let keys: HashSet<_> = reference()
        .into_iter()
        .map(|key| format!("  {}:", key.key))
        .collect();
    for name in SHIPPED.map(|shipped| shipped.name) {
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

/// Runs a block as a reader would, in `folder`; `before` is what was exported in the same shell. `None` if nothing here can run it.
fn run(folder: &Path, before: &str, language: &str, code: &str) -> Option<Output> {
    let mut command = match language {
        "sh" => Command::new("bash"),
        "python" => Command::new(python()?),
        // The system's Python: GObject's bindings do not come with pip.
        "python gi" => {
            let gi = "/usr/bin/python3";
            let has = Command::new(gi).args(["-c", "import gi"]).output();
            if !has.is_ok_and(|output| output.status.success()) {
                eprintln!("not run: {gi} has no gi; `make setup-tests` installs it");
                return None;
            }
            let mut command = Command::new(gi);
            command.env("GST_PLUGIN_PATH", folder.join("target/release"));
            command
        }
        other => unreachable!("nothing here runs {other}"),
    };
    let code = match language {
        "sh" => format!("set -euo pipefail\n{before}{code}"),
        _ => code.to_owned(),
    };
    let output = command
        .args(["-c", &code, "fixtures/kitchen.mp4"])
        .current_dir(folder)
        .env("EARMARK_MODELS", root().join("models"))
        .env("PYTHONPATH", root().join("python/src"))
        .env("GST_REGISTRY", folder.join("registry.bin"))
        .output()
        .unwrap();
    Some(output)
}

/// The lines of a block of shell that the same shell remembers.
fn exports(language: &str, code: &str) -> String {
    let lines = code.lines().filter(|line| line.starts_with("export "));
    match language {
        "sh" => lines.map(|line| format!("{line}\n")).collect(),
        _ => String::new(),
    }
}

#[test]
fn code_blocks_run() {
    if python().is_none() {
        return;
    }
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
        let mut before = String::new();
        for (language, code) in blocks {
            let Some(output) = run(&folder, &before, &language, &code) else {
                continue;
            };
            let page = page.display();
            assert!(
                output.status.success(),
                "{page}:\n{code}\n{}",
                said(&output)
            );
            before += &exports(&language, &code);
            ran += 1;
        }
    }
    assert!(ran > 8, "only {ran} blocks are marked `run`");
}

/// A stranger pastes it into a fresh clone after `make demo`, maybe a line at a time.
#[test]
fn the_first_block_of_readme_works_line_by_line() {
    if python().is_none() {
        return;
    }
    let readme = read(&root().join("README.md"));
    assert!(readme.lines().count() <= 120, "README is for strangers");
    let (language, code) = blocks(&readme).into_iter().next().unwrap();
    assert_eq!(language, "sh");
    let folder = checkout("guide-lines");
    let mut before = String::new();
    let mut results = 0;
    for line in code.lines() {
        let output = run(&folder, &before, "sh", line).unwrap();
        assert!(output.status.success(), "{line}\n{}", said(&output));
        let is_export = line.starts_with("export ");
        assert!(is_export || !output.stdout.is_empty(), "{line} is silent");
        results += usize::from(!is_export);
        before += &exports("sh", line);
    }
    assert!(results > 3, "{code}");
}

/// What trouble.md quotes of messages, between `*"` and `"*`, stands in the sources.
#[test]
fn trouble_quotes_existing_messages() {
    let mut texts = String::new();
    for folder in ["src", "plugins/gst/src", "plugins/anchoring/src", "scripts"] {
        let mut folders = vec![root().join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match std::fs::read_to_string(&path) {
                    Ok(text) => texts += &text,
                    Err(_) if path.is_dir() => folders.push(path),
                    Err(_) => {}
                }
            }
        }
    }
    let page = read(&root().join("docs/src/trouble.md"));
    let quotes = page.split("*\"").skip(1);
    let quotes: Vec<_> = quotes
        .map(|rest| rest.split("\"*").next().unwrap())
        .collect();
    assert!(quotes.len() > 8, "{quotes:?}");
    let gone: Vec<_> = quotes
        .iter()
        .filter(|quote| !texts.contains(**quote))
        .collect();
    assert!(gone.is_empty(), "nothing says {gone:?} any longer");
}
