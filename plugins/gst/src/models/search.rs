//! Where manifests lie, and finding one by its name.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::ModelError;
use super::manifest::Manifest;

/// A manifest found in a search folder, or what is wrong with it.
#[derive(Debug)]
pub struct Listed {
    /// Where it lies.
    pub path: PathBuf,
    /// What it says.
    pub manifest: Result<Manifest, ModelError>,
}

/// The folders in which manifests are looked for, first to last: those in `EARMARK_MODELS` (separated like `PATH`), `models/`
/// of the build tree, `share/earmark/models/` of the place where the command or the plugin is installed.
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

/// The folders above the command and above the plugin: PREFIX is one of them (PREFIX/bin, PREFIX/lib/ARCH/gstreamer-1.0), and so
/// is the root of the build tree (target/release, target/release/deps).
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

/// Where GStreamer loaded the plugin from; `None` when it is linked into the program.
fn plugin_path() -> Option<PathBuf> {
    gst::init().ok()?;
    gst::Registry::get().find_plugin("earmark")?.filename()
}

/// Every manifest in the search folders, sorted by name; of two with one name, the one that is found first.
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
/// There is none, or it is wrong.
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
