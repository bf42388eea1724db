//! `earmark report`: makes an HTML page of a feature file: sound, anchors, frames, cost and, with labels, hits.
//!
//! # Layout
//!
//! - `recording`: reads what a page shows from a feature file.
//! - `truth`: compares labels with anchors and frames.
//! - `detail`: cues at every zoom level.
//! - `columns`: numbers and texts as the page's scripts read them. `parsed`: the events of a parser.
//! - `page`: renders the HTML. `assets/` has its template, style and scripts, and uPlot with its licence.
//! - [`plot`]: draws a feature file for a paper.
//! - `decoding`: estimates how long decoding every frame would take.
//! - `folder`: the pages of a folder, and an index.
//! - `serve`: the same pages over HTTP, with the recordings.

mod columns;
mod decoding;
mod detail;
mod folder;
mod page;
mod parsed;
pub mod plot;
mod recording;
mod serve;
mod truth;

use std::io::Write;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::json;

use crate::cli;
use crate::eval::labels;
use crate::failure::Usage;
use crate::files;
use crate::terminal::{self, Output};
use recording::RunView;

pub(crate) use folder::recording_named;
pub(crate) use page::page_from;
pub(crate) use recording::clock;

/// `earmark report`.
///
/// # Errors
/// A file cannot be read, labels do not fit, or the page cannot be written; then there is no page.
pub fn report(args: &cli::Report, output: Output) -> anyhow::Result<()> {
    let is_folder = args.file.is_dir();
    if is_folder && (args.compare.is_some() || args.time_decoding) {
        return Err(Usage(
            "--compare and --time-decoding work with one recording; name a file, not a folder"
                .into(),
        )
        .into());
    }
    folder::beside_exist(args)?;
    if let Some(address) = args.serve {
        return serve::serve(args, address, output);
    }
    if is_folder {
        return folder::write(args, output);
    }
    let target = match &args.output {
        Some(target) => target.clone(),
        None => args.file.with_extension("html"),
    };
    let place = files::check(&target, args.overwrite)?;
    let source = Source {
        file: args.file.clone(),
        labels: args.labels.clone(),
        video: args.video.clone(),
    };
    let video = args
        .video
        .as_deref()
        .map(|video| link(video, &target))
        .transpose()?;
    let made = source.page(
        args.compare.as_deref(),
        video.as_deref(),
        args.time_decoding,
    )?;
    write(&place, &made.html, args.overwrite)?;
    if output.json {
        return terminal::print(&format!(
            "{:#}",
            json!({ "ok": true, "file": args.file, "report": target, "bytes": made.html.len(), "events": made.events, "found": made.found, "seen": made.seen, "missed": made.missed })
        ));
    }
    if made.events > 0 {
        let RenderedPage {
            events,
            found,
            seen,
            missed,
            ..
        } = &made;
        terminal::print(&format!(
            "labels     {events} events: {found} found by anchors, {seen} more in background frames, {missed} missed"
        ))?;
    }
    terminal::print(&format!("report     {}", target.display()))
}

/// The page of a feature file as HTML; for the fuzz targets.
#[doc(hidden)]
pub fn page_of(file: &Path) -> anyhow::Result<String> {
    let source = Source {
        file: file.into(),
        labels: None,
        video: None,
    };
    Ok(source.page(None, None, false)?.html)
}

/// Serves this file to a connection with these bytes; for the fuzz targets.
#[doc(hidden)]
pub fn answer_bytes(file: &Path, bytes: &[u8]) {
    serve::answer_bytes(file, bytes);
}

/// The inputs of a page.
#[derive(Clone, Debug)]
struct Source {
    file: PathBuf,
    labels: Option<PathBuf>,
    video: Option<PathBuf>,
}

/// A page, and counts for JSON.
struct RenderedPage {
    html: String,
    events: u64,
    found: u64,
    seen: u64,
    missed: u64,
}

impl Source {
    /// Reads the file, compared with the labels.
    fn shown(&self) -> anyhow::Result<RunView> {
        shown(&self.file, self.labels.as_deref())
    }

    fn page(
        &self,
        compare: Option<&Path>,
        video: Option<&str>,
        time_decoding: bool,
    ) -> anyhow::Result<RenderedPage> {
        let run = self.shown()?;
        let other = compare
            .map(|other| shown(other, self.labels.as_deref()))
            .transpose()?;
        if let Some(other) = &other {
            same_recording(&run, other)?;
        }
        let decoding = match (&self.video, time_decoding) {
            // A recording without video has nothing to decode.
            (Some(_), true) if run.summary.access_units_seen == 0 => None,
            (Some(video), true) => Some(decoding::time(video, run.summary.access_units_seen)?),
            (None, true) => bail!("--time-decoding needs the recording; add --video"),
            (_, false) => None,
        };
        let count = |of: fn(&recording::ClassCounts) -> u64| {
            run.labelled().iter().map(|(_, class)| of(class)).sum()
        };
        Ok(RenderedPage {
            html: page::page(&run, other.as_ref(), video, decoding.as_ref())?,
            events: count(|class| class.events),
            found: count(|class| class.found),
            seen: count(|class| class.seen),
            missed: count(|class| class.missed),
        })
    }
}

/// Reads a file and compares it with labels, if there are any.
///
/// # Errors
/// One of them cannot be read, or they do not fit together.
fn shown(file: &Path, labels: Option<&Path>) -> anyhow::Result<RunView> {
    let mut run = RunView::read(file)?;
    if let Some(labels) = labels {
        run.judge(&labels::read(labels)?, labels)?;
    }
    Ok(run)
}

/// Checks that two runs can share a time axis.
fn same_recording(run: &RunView, other: &RunView) -> anyhow::Result<()> {
    let (a, b) = (run.duration_ns(), other.duration_ns());
    // Without sound, a recording may end with its last frame.
    if (a - b).abs() > 2_000_000_000 {
        bail!(
            "{} lasts {} and {} {}: they are not of the same recording",
            run.path.display(),
            clock(a),
            other.path.display(),
            clock(b)
        );
    }
    Ok(())
}

fn write(place: &files::Target, html: &str, overwrite: bool) -> anyhow::Result<()> {
    let mut file = files::temporary(place, ".partial")?;
    file.write_all(html.as_bytes())
        .with_context(|| format!("cannot write {}", place.file.display()))?;
    files::publish(file, place, overwrite)
}

/// The recording's URL relative to the page, so that both can be moved together.
pub(crate) fn link(video: &Path, page: &Path) -> anyhow::Result<String> {
    if let Some(uri) = video.to_str().filter(|uri| uri.contains("://")) {
        if ["http://", "https://", "file://"]
            .iter()
            .any(|scheme| uri.starts_with(scheme))
        {
            return Ok(uri.into());
        }
        bail!("--video {uri}: browsers play only files and http(s) addresses");
    }
    let name = || format!("cannot open {}", video.display());
    let whole = video.canonicalize().with_context(name)?;
    if !whole.is_file() {
        bail!("--video {} is not a file", video.display());
    }
    let folder = match page.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => Path::new("/"),
    };
    let folder = folder.canonicalize().with_context(name)?;
    Ok(relative(&whole, &folder))
}

/// A relative URL from one absolute path to another.
fn relative(to: &Path, from: &Path) -> String {
    let (to, from): (Vec<_>, Vec<_>) = (to.components().collect(), from.components().collect());
    let shared = to.iter().zip(&from).take_while(|(a, b)| a == b).count();
    let up = from[shared..].iter().map(|_| "..".to_owned());
    let down = to[shared..].iter().map(|part| match part {
        Component::Normal(name) => encoded(name.as_encoded_bytes()),
        _ => String::new(),
    });
    let parts: Vec<String> = up.chain(down).collect();
    // A name with a colon would be parsed as a scheme.
    format!("./{}", parts.join("/"))
}

/// Percent-encodes a part of a URL.
fn encoded(name: &[u8]) -> String {
    let mut text = String::new();
    for byte in name {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                text.push(char::from(*byte));
            }
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_the_recording_relative_to_itself() {
        let url = |to: &str, from: &str| relative(Path::new(to), Path::new(from));
        assert_eq!(url("/a/b/x.mp4", "/a/b"), "./x.mp4");
        assert_eq!(
            url("/a/v/x y\"#?.mp4", "/a/b/c"),
            "./../../v/x%20y%22%23%3F.mp4"
        );
        assert_eq!(
            url("/javascript:alert(1)", "/"),
            "./javascript%3Aalert%281%29"
        );
    }

    #[test]
    fn only_what_a_browser_plays_is_linked() {
        let page = Path::new("/tmp/x.html");
        assert!(link(Path::new("javascript://alert(1)"), page).is_err());
        assert!(link(Path::new("/nowhere/x.mp4"), page).is_err());
        assert_eq!(
            link(Path::new("https://example.org/x.mp4"), page).unwrap(),
            "https://example.org/x.mp4"
        );
    }
}
