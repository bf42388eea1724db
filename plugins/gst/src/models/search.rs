//! Finds manifests by name.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::ModelError;
use super::manifest::Manifest;

/// A file in a search folder that is a manifest or should be one.
#[derive(Debug)]
pub struct Listed {
    /// Its path.
    pub path: PathBuf,
    /// The manifest, or what is wrong with it.
    pub manifest: Result<Manifest, ModelError>,
}

/// The folders that are searched for manifests, first to last: those in `EARMARK_MODELS` (separated as in `PATH`), `models/` of the build
/// tree, `share/earmark/models/` of the PREFIX where the command or the plugin is installed.
pub fn search_dirs() -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = std::env::var_os("EARMARK_MODELS")
        .map(|value| {
            std::env::split_paths(&value)
                .filter(|dir| !dir.as_os_str().is_empty())
                .collect()
        })
        .unwrap_or_default();
    for home in homes() {
        dirs.push(home.join("models"));
        dirs.push(home.join("share/earmark/models"));
    }
    let mut seen = HashSet::new();
    dirs.retain(|dir| {
        dir.is_dir() && seen.insert(dir.canonicalize().unwrap_or_else(|_| dir.clone()))
    });
    dirs
}

/// The folders above the command and above the plugin. One is PREFIX (PREFIX/bin, PREFIX/lib/ARCH/gstreamer-1.0) or the root of the
/// build tree (target/release, target/release/deps).
fn homes() -> Vec<PathBuf> {
    let files = [plugin_path(), std::env::current_exe().ok()];
    files
        .into_iter()
        .flatten()
        .filter_map(|file| file.canonicalize().ok())
        .flat_map(|file| {
            file.ancestors()
                .skip(2)
                .take(4)
                .map(Path::to_path_buf)
                .collect::<Vec<_>>()
        })
        .filter(|dir| dir.parent().is_some())
        .collect()
}

/// The file from which GStreamer loaded the plugin; `None` if it is linked into the program.
fn plugin_path() -> Option<PathBuf> {
    gst::init().ok()?;
    gst::Registry::get().find_plugin("earmark")?.filename()
}

/// Every manifest in the search folders, sorted by name; of two with the same name, the first that is found.
pub fn list() -> Vec<Listed> {
    let mut seen = HashSet::new();
    let mut listed = Vec::new();
    for dir in search_dirs() {
        let entries = std::fs::read_dir(&dir).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            if path.extension().is_some_and(|ext| ext == "yaml")
                && seen.insert(path.file_name().map(ToOwned::to_owned))
            {
                let manifest = Manifest::read(&path);
                listed.push(Listed { path, manifest });
            }
        }
    }
    listed.sort_by(|a, b| a.path.file_name().cmp(&b.path.file_name()));
    listed
}

/// The manifest of that name, or at that path if it ends in `.yaml`.
///
/// # Errors
/// There is none, or it is invalid.
pub fn find(name: &str) -> Result<Manifest, ModelError> {
    if name.ends_with(".yaml") {
        return Manifest::read(Path::new(name));
    }
    let dirs = search_dirs();
    let plain = !name.is_empty() && !name.contains(['/', '\\']);
    match dirs
        .iter()
        .map(|dir| dir.join(format!("{name}.yaml")))
        .find(|path| plain && path.is_file())
    {
        Some(path) => Manifest::read(&path),
        None => Err(ModelError::Unknown {
            name: name.into(),
            searched: if dirs.is_empty() {
                "any folder (there is none to search)".into()
            } else {
                dirs.iter()
                    .map(|dir| dir.display().to_string())
                    .collect::<Vec<_>>()
                    .join(", ")
            },
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_the_search_folders() {
        assert!(matches!(
            find("../models/yamnet"),
            Err(ModelError::Unknown { .. })
        ));
        assert!(matches!(find(""), Err(ModelError::Unknown { .. })));
    }
}
