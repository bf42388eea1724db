//! Decides which files may be served: named files, and files in named folders, with links resolved.
//!
//! The check runs at every request: a file that was inside may have become a link to the outside.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::report::Source;

/// Files and folders, resolved.
#[derive(Debug)]
pub(super) struct ServedFiles(Vec<PathBuf>);

impl ServedFiles {
    /// Those of these paths that exist.
    pub(super) fn new<'a>(named: impl IntoIterator<Item = &'a Path>) -> Self {
        let resolved = named
            .into_iter()
            .filter_map(|path| path.canonicalize().ok());
        Self(resolved.collect())
    }

    /// The real path of a file.
    ///
    /// # Errors
    /// It does not exist, or lies elsewhere.
    pub(super) fn file(&self, path: &Path) -> anyhow::Result<PathBuf> {
        let resolved = path
            .canonicalize()
            .with_context(|| format!("cannot open {}", path.display()))?;
        if !self.0.iter().any(|root| resolved.starts_with(root)) {
            bail!(
                "{} is a link to a file outside the served folders; name its target on the command line",
                path.display()
            );
        }
        if !resolved.is_file() {
            bail!("{} is not a file", path.display());
        }
        Ok(resolved)
    }

    /// A source with all links resolved; leaves out a recording that lies elsewhere.
    ///
    /// # Errors
    /// The features or the labels are not a file inside.
    pub(super) fn source(&self, source: &Source) -> anyhow::Result<Source> {
        let labels = source.labels.as_deref();
        let video = source.video.as_deref();
        Ok(Source {
            file: self.file(&source.file)?,
            labels: labels.map(|labels| self.file(labels)).transpose()?,
            video: video.and_then(|video| self.file(video).ok()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_out_of_the_folder_is_refused_and_one_within_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (inner, outer) = (folder.path().join("in"), folder.path().join("out"));
        for path in [&inner, &outer] {
            std::fs::create_dir(path).unwrap();
            std::fs::write(path.join("a.h5"), "").unwrap();
        }
        let link = std::os::unix::fs::symlink::<PathBuf, PathBuf>;
        link(outer.join("a.h5"), inner.join("out.h5")).unwrap();
        link(outer.clone(), inner.join("folder")).unwrap();
        link("a.h5".into(), inner.join("within.h5")).unwrap();
        let inside = ServedFiles::new([inner.as_path()]);
        for (name, ok) in [
            ("a.h5", true),
            ("within.h5", true),
            ("out.h5", false),
            ("folder/a.h5", false),
            ("../out/a.h5", false),
            ("missing.h5", false),
            (".", false),
        ] {
            assert_eq!(inside.file(&inner.join(name)).is_ok(), ok, "{name}");
        }
        // A link that is named itself is allowed.
        let named = ServedFiles::new([inner.join("out.h5").as_path()]);
        assert!(named.file(&inner.join("out.h5")).is_ok());
        assert!(named.file(&inner.join("a.h5")).is_err());
    }
}
