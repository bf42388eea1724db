//! Finds the recordings of a folder and of folders in it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Limits of a search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search {
    /// Extensions to search for.
    pub(crate) endings: &'static [&'static str],
    /// Most files to visit.
    pub(crate) most_files: usize,
    /// Most levels of folders.
    pub(crate) deepest: usize,
}

impl Search {
    /// The recordings of a folder and below, by name without extension.
    ///
    /// # Errors
    /// A folder cannot be read, or there are too many files.
    pub(crate) fn within(self, folder: &Path) -> anyhow::Result<HashMap<String, PathBuf>> {
        let mut there = HashMap::new();
        let mut open = vec![(folder.to_owned(), 0)];
        let mut seen = 0;
        while let Some((place, depth)) = open.pop() {
            let entries = std::fs::read_dir(&place)
                .with_context(|| format!("cannot read the folder {}", place.display()))?;
            for entry in entries {
                let path = entry?.path();
                seen += 1;
                if seen > self.most_files {
                    bail!(
                        "{} has more than {} files",
                        folder.display(),
                        self.most_files
                    );
                }
                if path.is_dir() && !path.is_symlink() {
                    if depth < self.deepest {
                        open.push((path, depth + 1));
                    }
                    continue;
                }
                let ending = path
                    .extension()
                    .map(|end| end.to_string_lossy().to_lowercase());
                if ending.is_some_and(|end| self.endings.contains(&end.as_str())) {
                    let stem = path.file_stem().unwrap_or_default();
                    there.insert(stem.to_string_lossy().into_owned(), path);
                }
            }
        }
        Ok(there)
    }
}
