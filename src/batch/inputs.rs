//! Turns command-line inputs into recordings, each with its own name.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, bail};

use super::job::{Job, is_uri};
use super::list;
use crate::failure::Usage;

/// Extensions that a folder is searched for.
const MEDIA: [&str; 22] = [
    "mp4", "m4v", "mov", "mkv", "webm", "avi", "ts", "mts", "m2ts", "mpg", "mpeg", "flv", "ogv",
    "3gp", "wmv", "wav", "m4a", "mp3", "flac", "ogg", "opus", "aac",
];
/// Extensions of list files.
const LISTS: [&str; 5] = ["txt", "lst", "csv", "jsonl", "ndjson"];
/// Most recordings of a batch.
const MOST: usize = 1_000_000;
/// Depth limit of the search.
const DEEPEST: usize = 64;
/// Longest name of a recording, in bytes; leaves room for what is added to a file name.
const LONGEST_NAME: usize = 200;

/// All recordings in order, without duplicates.
///
/// # Errors
/// Something does not exist, or two recordings have the same output; all such pairs are reported at once.
pub(super) fn collect<S: AsRef<OsStr>>(given: &[S]) -> anyhow::Result<Vec<Job>> {
    let mut jobs = Vec::new();
    for given in given {
        one(given.as_ref(), &mut jobs)?;
        if jobs.len() > MOST {
            bail!(Usage(format!(
                "more than {MOST} recordings; split the batch"
            )));
        }
    }
    let mut seen = HashSet::new();
    jobs.retain(|job| {
        let key = (
            job.input.clone(),
            job.video_id.clone(),
            job.variables.clone(),
        );
        seen.insert(key)
    });
    if jobs.is_empty() {
        bail!(Usage(format!(
            "no recordings found; folders are searched for {}",
            MEDIA.join(", ")
        )));
    }
    check_names(&jobs)?;
    Ok(jobs)
}

/// The recordings in files, folders and lists: the name and the path or URI of each.
///
/// # Errors
/// Like [`collect`].
pub(crate) fn recordings_in<S: AsRef<OsStr>>(given: &[S]) -> anyhow::Result<Vec<(String, String)>> {
    let jobs = collect(given)?;
    Ok(jobs
        .into_iter()
        .map(|job| (job.video_id, job.input))
        .collect())
}

fn one(given: &OsStr, jobs: &mut Vec<Job>) -> anyhow::Result<()> {
    let path = Path::new(given);
    let name = given.to_string_lossy();
    if is_uri(&name) {
        jobs.push(Job {
            input: name.clone().into_owned(),
            ..Job::new(path, &name)
        });
    } else if path.is_dir() {
        let before = jobs.len();
        search(path, &name, &mut HashSet::new(), 0, jobs)?;
        if jobs.len() == before {
            bail!(Usage(format!(
                "the folder {name} has no recordings (searched for {})",
                MEDIA.join(", ")
            )));
        }
    } else if path.exists() {
        if has_extension(path, &LISTS) {
            jobs.extend(list::read(path)?);
        } else {
            jobs.push(Job::new(path, &name));
        }
    } else if name.contains(['*', '?', '[']) {
        let before = jobs.len();
        let found = glob::glob(&name)
            .map_err(|e| Usage(format!("{name} is not a valid pattern: {e}")))?
            .collect::<Result<Vec<_>, _>>()
            .with_context(|| format!("cannot search for {name}"))?;
        for path in found.iter().filter(|path| path.is_file()) {
            one(path.as_os_str(), jobs)?;
        }
        if jobs.len() == before {
            bail!(Usage(format!("nothing matches {name}")));
        }
    } else {
        bail!(Usage(format!(
            "cannot open {name}: no such file or folder; is the path right, and relative to this folder?"
        )));
    }
    Ok(())
}

fn has_extension(path: &Path, of: &[&str]) -> bool {
    path.extension().is_some_and(|extension| {
        let extension = extension.to_string_lossy().to_lowercase();
        of.contains(&extension.as_str())
    })
}

/// Media files in a folder and below, by name; hidden ones are skipped.
fn search(
    folder: &Path,
    named_in: &str,
    seen: &mut HashSet<(u64, u64)>,
    depth: usize,
    jobs: &mut Vec<Job>,
) -> anyhow::Result<()> {
    let about = folder.metadata()?;
    if depth > DEEPEST || !seen.insert((about.dev(), about.ino())) {
        return Ok(());
    }
    let mut entries = std::fs::read_dir(folder)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("cannot read the folder {}", folder.display()))?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if path.is_dir() {
            search(&path, named_in, seen, depth + 1, jobs)?;
        } else if has_extension(&path, &MEDIA) {
            jobs.push(Job::new(&path, named_in));
        }
        if jobs.len() > MOST {
            break;
        }
    }
    Ok(())
}

/// Checks that every name can be a file name and none occurs twice.
fn check_names(jobs: &[Job]) -> anyhow::Result<()> {
    let mut problems = Vec::new();
    let mut by_name: HashMap<&str, &Job> = HashMap::new();
    for job in jobs {
        let id = job.video_id.as_str();
        let reason = if id.is_empty() || id.starts_with('.') {
            Some("is empty or begins with a dot")
        } else if id.contains(['/', '\0']) {
            Some("contains a slash")
        } else if id.len() > LONGEST_NAME {
            Some("is longer than 200 bytes")
        } else {
            None
        };
        if let Some(reason) = reason {
            problems.push(format!("{}: the name `{id}` {reason}", job.input));
        } else if let Some(other) = by_name.insert(id, job) {
            problems.push(format!(
                "{} and {} would both write {id}.h5; give one of them another video_id in a list file",
                other.input, job.input
            ));
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    let more = problems.len().saturating_sub(20);
    problems.truncate(20);
    if more > 0 {
        problems.push(format!("and {more} more"));
    }
    bail!(Usage(problems.join("\n  ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
        for file in ["a/P01.mp4", "a/b/P02.MKV", "a/b/.hidden.mp4", "a/notes.md"] {
            std::fs::write(folder.path().join(file), "x").unwrap();
        }
        folder
    }

    fn ids(jobs: &[Job]) -> Vec<&str> {
        jobs.iter().map(|job| job.video_id.as_str()).collect()
    }

    #[test]
    fn folders_globs_and_files_name_recordings_once() {
        let folder = tree();
        let whole = folder.path().join("a");
        let glob = folder.path().join("*/*.mp4");
        let jobs = collect(&[&whole, &glob, &whole.join("P01.mp4")]).unwrap();
        assert_eq!(ids(&jobs), ["P01", "P02"]);
    }

    #[test]
    fn a_circle_of_links_ends() {
        let folder = tree();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("a/b/up")).unwrap();
        // Each once, wherever the search enters the circle.
        let all = collect(&[folder.path()]).unwrap();
        let mut found = ids(&all);
        found.sort_unstable();
        assert_eq!(found, ["P01", "P02"]);
    }

    #[test]
    fn colliding_names_are_reported_all_at_once() {
        let folder = tree();
        for file in ["P01.mkv", "P02.mp4"] {
            std::fs::write(folder.path().join(file), "x").unwrap();
        }
        let text = collect(&[folder.path()]).unwrap_err().to_string();
        assert!(text.contains("P01.h5") && text.contains("P02.h5"), "{text}");
    }

    #[test]
    fn missing_inputs_are_refused_by_name() {
        let folder = tree();
        for (given, word) in [
            ("none.mp4", "none.mp4"),
            ("*.avi", "nothing matches"),
            ("[", "not a valid pattern"),
        ] {
            let err = collect(&[folder.path().join(given)]).unwrap_err();
            assert!(err.is::<Usage>() && err.to_string().contains(word), "{err}");
        }
    }

    #[test]
    fn a_uri_has_the_name_of_its_last_part() {
        let jobs = collect(&["https://example.org/a/P03.mp4?x=1"]).unwrap();
        assert_eq!(ids(&jobs), ["P03"]);
        assert_eq!(jobs[0].input, "https://example.org/a/P03.mp4?x=1");
    }
}
