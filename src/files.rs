//! Writes output files that appear only once they are complete: checks first, then a temporary file, then one rename.

use std::fs::{File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use gstearmark::atomic_file;
use tempfile::NamedTempFile;

/// A checked output path.
#[derive(Debug)]
pub(crate) struct Target {
    /// The file.
    pub file: PathBuf,
    /// Its folder.
    folder: PathBuf,
}

/// Checks that the output can be written: its folder exists and is writable, and no file is there that may not be replaced.
pub(crate) fn check(file: &Path, overwrite: bool) -> anyhow::Result<Target> {
    let name = file.display();
    let folder = match file.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => bail!("the output {name} is not a file name"),
    };
    match std::fs::symlink_metadata(file) {
        Ok(about) if about.is_dir() => bail!("the output {name} is a folder; name a file in it"),
        // Not even with `overwrite`: a rename would turn it into a file.
        Ok(about) if !about.is_file() && !about.is_symlink() => {
            bail!("the output {name} is a device, a pipe or a socket, not a file")
        }
        Ok(_) if !overwrite => {
            bail!("the output {name} already exists; use --overwrite to replace it")
        }
        _ => {}
    }
    if !folder.is_dir() {
        bail!(
            "the output folder {} does not exist; create it, or check the path",
            folder.display()
        );
    }
    // Permissions are not enough (mounts, quotas), so create a file.
    tempfile::Builder::new()
        .prefix(".earmark-")
        .tempfile_in(folder)
        .with_context(|| format!("cannot write to the output folder {}", folder.display()))?;
    Ok(Target {
        file: file.into(),
        folder: folder.into(),
    })
}

/// Checks that the output is not the input.
pub(crate) fn differs(output: &Path, input: Option<&Path>) -> anyhow::Result<()> {
    let same = |input: &Path| Some(output.canonicalize().ok()? == input.canonicalize().ok()?);
    if input.and_then(same) == Some(true) {
        bail!("the output {} is the input file", output.display());
    }
    Ok(())
}

/// A temporary file in the same folder, deleted unless it is published.
pub(crate) fn temporary(target: &Target, suffix: &str) -> anyhow::Result<NamedTempFile> {
    let name = target
        .file
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    tempfile::Builder::new()
        .prefix(&format!(".{name}."))
        .suffix(suffix)
        // Permissions like any other new file: what the umask leaves.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(&target.folder)
        .with_context(|| format!("cannot write to {}", target.folder.display()))
}

/// Publishes a finished temporary file: syncs it, renames it, syncs its folder.
pub(crate) fn publish(file: NamedTempFile, target: &Target, overwrite: bool) -> anyhow::Result<()> {
    let name = target.file.display();
    file.as_file()
        .sync_all()
        .with_context(|| format!("cannot write {name}"))?;
    // The same rename as for feature files, for every kind of file system.
    let (_file, path) = file.into_parts();
    atomic_file::publish(&atomic_file::System, &path, &target.file, overwrite).map_err(
        |e| match e.kind() {
            ErrorKind::AlreadyExists => {
                anyhow!("the output {name} already exists; use --overwrite to replace it")
            }
            _ => anyhow::Error::new(e).context(format!("cannot write {name}")),
        },
    )?;
    // It must not be deleted any more.
    let _ = path.keep();
    Ok(())
}

/// Writes a file that appears complete or not at all; a device or a pipe just gets the bytes.
pub(crate) fn write(file: &Path, bytes: &[u8], overwrite: bool) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}", file.display());
    if file
        .metadata()
        .is_ok_and(|about| !about.is_file() && !about.is_dir())
    {
        return std::fs::write(file, bytes).with_context(cannot);
    }
    // Keeps a link and replaces its target.
    let real = match overwrite {
        true => file.canonicalize().unwrap_or_else(|_| file.into()),
        false => file.into(),
    };
    let target = check(&real, overwrite)?;
    let mut temporary = temporary(&target, ".partial")?;
    temporary.write_all(bytes).with_context(cannot)?;
    publish(temporary, &target, overwrite)
}

/// A file that an element opens by name, through `/dev/fd`. It has no name of its own, so nothing is left behind.
pub(crate) struct InheritedFile(File);

impl InheritedFile {
    /// Writes a nameless temporary file.
    pub(crate) fn new(write: impl FnOnce(&File) -> anyhow::Result<()>) -> anyhow::Result<Self> {
        let mut file = tempfile::tempfile().context("cannot create a temporary file")?;
        write(&file)?;
        std::io::Seek::rewind(&mut file)?;
        Ok(Self(file))
    }

    /// Opens an existing file.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let open = File::open(path).with_context(|| format!("cannot open {}", path.display()));
        Ok(Self(open?))
    }

    /// Its name in this process.
    pub(crate) fn name(&self) -> String {
        use std::os::fd::AsRawFd;
        format!("/dev/fd/{}", self.0.as_raw_fd())
    }
}

/// A path for an element property: the path itself, or a URI if it is not UTF-8.
pub(crate) fn location(path: &Path) -> anyhow::Result<String> {
    if let Some(text) = path.to_str() {
        return Ok(text.into());
    }
    let whole = std::path::absolute(path)?;
    let uri = gst::glib::filename_to_uri(&whole, None)
        .with_context(|| format!("{} is not a path that can be written to", path.display()))?;
    Ok(uri.into())
}

/// A path as text.
///
/// # Errors
/// It is not UTF-8.
pub(crate) fn text_of(path: &Path) -> anyhow::Result<&str> {
    path.to_str()
        .with_context(|| format!("{} is not valid UTF-8; rename it", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_stays_and_a_device_is_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let [file, link] = ["file", "link"].map(|name| folder.path().join(name));
        write(&file, b"one", false).unwrap();
        assert!(write(&file, b"two", false).is_err());
        std::os::unix::fs::symlink("file", &link).unwrap();
        write(&link, b"three", true).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "three");
        assert!(link.is_symlink());
        write(Path::new("/dev/null"), b"four", true).unwrap();
        assert!(!Path::new("/dev/null").is_file());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn an_output_has_the_permissions_of_any_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let [ours, plain] = ["ours", "plain"].map(|name| folder.path().join(name));
        write(&ours, b"one", false).unwrap();
        std::fs::write(&plain, b"one").unwrap();
        let mode = |file: &Path| file.metadata().unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }

    #[test]
    fn existing_files_stay_unless_they_may_be_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.jsonl");
        let target = check(&file, false).unwrap();
        publish(temporary(&target, ".partial").unwrap(), &target, false).unwrap();
        assert!(
            check(&file, false)
                .unwrap_err()
                .to_string()
                .contains("--overwrite")
        );
        assert!(publish(temporary(&target, ".partial").unwrap(), &target, false).is_err());
        publish(temporary(&target, ".partial").unwrap(), &target, true).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(
            check(folder.path(), true)
                .unwrap_err()
                .to_string()
                .contains("folder")
        );
        assert!(
            check(&folder.path().join("a/b"), true)
                .unwrap_err()
                .to_string()
                .contains("does not exist")
        );
        assert!(differs(&file, Some(&file)).is_err());
    }
}
