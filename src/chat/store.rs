//! Keeps answers on disk, one file each, by the hash of the request. A file is complete or absent.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

const SCHEMA: &str = "earmark-call/1";
/// Largest kept answer, in bytes.
const LARGEST: u64 = 64 << 20;

/// A kept answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredReply {
    schema: String,
    request_sha256: String,
    url: String,
    model: String,
    /// The server's time, ms.
    pub(super) took_ms: f64,
    /// The server's answer.
    pub(super) answer: Value,
}

impl StoredReply {
    pub(super) fn new(hash: &str, url: &str, model: &str, took_ms: f64, answer: Value) -> Self {
        Self {
            schema: SCHEMA.into(),
            request_sha256: hash.into(),
            url: url.into(),
            model: model.into(),
            took_ms,
            answer,
        }
    }
}

impl StoredReply {
    /// The answer to the request with this hash, from the text of a file.
    ///
    /// # Errors
    /// The text is not a kept answer, or answers another request.
    pub(super) fn read(text: &[u8], hash: &str, file: &Path) -> anyhow::Result<Self> {
        let kept: Self = serde_json::from_slice(text).with_context(|| {
            format!(
                "{} is not a kept call; delete it to ask again",
                file.display()
            )
        })?;
        if kept.schema != SCHEMA || kept.request_sha256 != hash {
            bail!(
                "{} answers a different request; was it renamed?",
                file.display()
            );
        }
        Ok(kept)
    }
}

/// A folder of answers.
pub(super) struct Store(PathBuf);

impl Store {
    /// # Errors
    /// The folder cannot be created.
    pub(super) fn new(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot create the folder of calls {}", folder.display()))?;
        Ok(Self(folder.into()))
    }

    fn file(&self, hash: &str) -> PathBuf {
        self.0.join(&hash[..2]).join(format!("{hash}.json"))
    }

    /// The kept answer to the request with this hash.
    ///
    /// # Errors
    /// The file cannot be read, or is not a kept answer.
    pub(super) fn get(&self, hash: &str) -> anyhow::Result<Option<StoredReply>> {
        let file = self.file(hash);
        let name = || format!("cannot read the kept call {}", file.display());
        match file.metadata() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e).with_context(name),
            Ok(about) if about.len() > LARGEST => {
                bail!(
                    "{} has more than {LARGEST} bytes: is it a kept call?",
                    file.display()
                )
            }
            Ok(_) => {}
        }
        let text = std::fs::read(&file).with_context(name)?;
        StoredReply::read(&text, hash, &file).map(Some)
    }

    /// Keeps an answer.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn put(&self, hash: &str, kept: &StoredReply) -> anyhow::Result<()> {
        let file = self.file(hash);
        let folder = self.0.join(&hash[..2]);
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let cannot = || format!("cannot keep the call {}", file.display());
        let mut temporary = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(&folder)
            .with_context(cannot)?;
        temporary
            .write_all(serde_json::to_string(kept)?.as_bytes())
            .with_context(cannot)?;
        // Complete even if the power fails. Its name may then be lost; to sync the folder, too, would double the time that a call takes.
        temporary.as_file().sync_data().with_context(cannot)?;
        temporary.persist(&file).with_context(cannot)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_is_kept_under_the_hash_of_its_request() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(&folder.path().join("calls")).unwrap();
        let [one, two] = ["a", "b"].map(|letter| letter.repeat(64));
        assert!(store.get(&one).unwrap().is_none());
        store
            .put(
                &one,
                &StoredReply::new(&one, "u", "m", 1.5, json!({ "x": 1 })),
            )
            .unwrap();
        let kept = store.get(&one).unwrap().unwrap();
        assert_eq!((kept.took_ms, &kept.answer), (1.5, &json!({ "x": 1 })));
        std::fs::create_dir_all(folder.path().join("calls/bb")).unwrap();
        std::fs::copy(store.file(&one), store.file(&two)).unwrap();
        assert!(
            store
                .get(&two)
                .unwrap_err()
                .to_string()
                .contains("answers a different request")
        );
        std::fs::write(store.file(&two), "{").unwrap();
        assert!(
            store
                .get(&two)
                .unwrap_err()
                .to_string()
                .contains("delete it")
        );
    }
}
