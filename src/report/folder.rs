//! Makes the pages of a folder of feature files, and an index.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::recording::{RunView, clock};
use super::{Source, encoded, link, page};
use crate::cli;
use crate::files;
use crate::terminal::{self, Output};

/// Depth limit of the search.
const DEEPEST: usize = 8;
/// Most files in a folder.
const MOST: usize = 20_000;
/// Extensions of recordings.
const RECORDINGS: [&str; 8] = ["mp4", "mkv", "webm", "mov", "m4v", "avi", "ts", "mpg"];

/// Every feature file below a folder, by path.
///
/// # Errors
/// There are none, or too many.
pub(super) fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    search(folder, 0, &mut found)?;
    found.sort();
    if found.is_empty() {
        bail!("{} has no .h5 files", folder.display());
    }
    if found.len() > MOST {
        bail!(
            "{} has more than {MOST} .h5 files; name a smaller folder",
            folder.display()
        );
    }
    Ok(found)
}

fn search(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", folder.display()))?;
        let (path, kind) = (entry.path(), entry.file_type());
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if kind.is_ok_and(|kind| kind.is_dir()) {
            if depth < DEEPEST && !hidden {
                search(&path, depth + 1, found)?;
            }
        } else if path.extension().is_some_and(|e| e == "h5") && !hidden && found.len() <= MOST {
            found.push(path);
        }
    }
    Ok(())
}

/// The recording with this name in a folder; a file stands for itself.
pub(crate) fn recording_named(stem: &OsStr, given: &Path) -> Option<PathBuf> {
    beside(stem, given, &RECORDINGS)
}

fn beside(stem: &OsStr, given: &Path, endings: &[&str]) -> Option<PathBuf> {
    if given.is_file() {
        return Some(given.to_owned());
    }
    endings.iter().find_map(|ending| {
        let mut name = stem.to_owned();
        name.push(format!(".{ending}"));
        Some(given.join(name)).filter(|path| path.is_file())
    })
}

/// The inputs of a page: if folders are given, the labels and recording with the same name.
pub(super) fn source(file: &Path, args: &cli::Report) -> Source {
    let stem = file.file_stem().unwrap_or_default();
    let beside = |given: &Path, endings: &[&str]| beside(stem, given, endings);
    Source {
        file: file.into(),
        labels: args
            .labels
            .as_deref()
            .and_then(|labels| beside(labels, &["labels.csv", "csv"])),
        video: args
            .video
            .as_deref()
            .and_then(|video| beside(video, &RECORDINGS)),
    }
}

/// A row of the index.
pub(super) fn row(name: &str, href: &str, shown: anyhow::Result<&RunView>) -> Value {
    match shown {
        Err(e) => json!({ "name": name, "error": format!("{e:#}") }),
        Ok(run) => {
            let mut row = page::about(run);
            row["name"] = name.into();
            row["href"] = href.into();
            row["duration"] = clock(run.duration_ns()).into();
            row
        }
    }
}

/// The folder's own name, also where it is given as `.`.
fn title(folder: &Path) -> String {
    let whole = folder.canonicalize();
    let folder = whole.as_deref().unwrap_or(folder);
    let name = folder.file_name().unwrap_or(folder.as_os_str());
    name.to_string_lossy().into_owned()
}

/// A file's name below the folder.
pub(super) fn name(file: &Path, folder: &Path) -> String {
    file.strip_prefix(folder)
        .unwrap_or(file)
        .with_extension("")
        .to_string_lossy()
        .into_owned()
}

/// Checks that the given paths exist: otherwise a page would silently lack its recording.
///
/// # Errors
/// A path does not exist.
pub(super) fn beside_exist(args: &cli::Report) -> anyhow::Result<()> {
    for (option, given) in [("--video", &args.video), ("--labels", &args.labels)] {
        let Some(path) = given else { continue };
        let is_address = path.to_str().is_some_and(|text| text.contains("://"));
        if !is_address && !path.exists() {
            bail!("{option} {}: no such file or folder", path.display());
        }
    }
    Ok(())
}

/// Writes every page and the index.
pub(super) fn write(args: &cli::Report, output: Output) -> anyhow::Result<()> {
    let into = args.output.as_ref().unwrap_or(&args.file);
    if into.is_file() {
        bail!(
            "{} is a file; the pages of a folder need an output folder",
            into.display()
        );
    }
    std::fs::create_dir_all(into).with_context(|| format!("cannot create {}", into.display()))?;
    let index = into.join("index.html");
    let index_place = files::check(&index, args.overwrite)?;
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for file in files(&args.file)? {
        let source = source(&file, args);
        let name = name(&file, &args.file);
        // All pages are in one folder; the path of a file becomes part of its name.
        let own = format!("{}.html", name.replace('%', "%25").replace('/', "%2F"));
        let href = format!("./{}", encoded(own.as_bytes()));
        let target = into.join(&own);
        let made = source.shown().and_then(|shown| {
            let place = files::check(&target, args.overwrite)?;
            let video = source.video.as_deref();
            let video = video.map(|video| link(video, &target)).transpose()?;
            let html = page::page(&shown, None, video.as_deref(), None)?;
            super::write(&place, &html, args.overwrite)?;
            Ok(shown)
        });
        if let Err(e) = &made {
            failed.push(format!("{}: {e:#}", file.display()));
        }
        rows.push(match &made {
            Ok(shown) => row(&name, &href, Ok(shown)),
            Err(e) => row(&name, &href, Err(anyhow::anyhow!("{e:#}"))),
        });
    }
    let html = page::index(&title(&args.file), &rows)?;
    super::write(&index_place, &html, args.overwrite)?;
    let done = rows.len() - failed.len();
    if output.json {
        terminal::print(&format!(
            "{:#}",
            json!({ "ok": failed.is_empty(), "report": index, "pages": done, "failed": failed })
        ))?;
    } else {
        terminal::print(&format!(
            "report     {} ({done} recordings)",
            index.display()
        ))?;
    }
    match &failed[..] {
        [] => Ok(()),
        [first, ..] => bail!(
            "could not make a page for {} of {} files; the first: {first}",
            failed.len(),
            rows.len()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_titled_with_its_own_name() {
        let here = std::env::current_dir().unwrap();
        let name = here.file_name().unwrap().to_str().unwrap();
        assert_eq!(title(Path::new(".")), name);
        assert_eq!(title(Path::new("/nowhere/kitchens")), "kitchens");
    }
}
