//! The files beside manifests: their hashes, weights, class lists.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use anchoring::onset::weights::Weights;
use sha2::{Digest, Sha256};

use super::ModelError;

/// The weights of the probes `onset` and `onset+tcn` in a file; the built-in ones if the path is empty.
///
/// # Errors
/// Unreadable, or not such weights.
pub fn load_weights(path: &str) -> Result<Weights, ModelError> {
    let read = if path.is_empty() {
        Weights::embedded()
    } else {
        Weights::read(&read_small(Path::new(path))?)
    };
    read.map_err(|source| ModelError::Weights {
        path: if path.is_empty() {
            "the built-in weights"
        } else {
            path
        }
        .into(),
        source,
    })
}

/// The bytes of a file of at most 64 MiB.
pub(crate) fn read_small(path: &Path) -> Result<Vec<u8>, ModelError> {
    const MOST: u64 = 64 << 20;
    let wrap = |source| ModelError::Read {
        path: path.into(),
        source,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(wrap)?;
    file.take(MOST + 1).read_to_end(&mut bytes).map_err(wrap)?;
    if bytes.len() as u64 > MOST {
        return Err(wrap(std::io::Error::other(
            "it is larger than 64 MiB (is it a file of weights?)",
        )));
    }
    Ok(bytes)
}

/// The class names of a CSV file (`index,mid,display_name`, one line a class in order, after a heading).
///
/// # Errors
/// Unreadable, or an index out of order.
pub fn read_classes(path: &Path) -> Result<Vec<String>, ModelError> {
    let text = std::fs::read_to_string(path).map_err(|source| ModelError::Read {
        path: path.into(),
        source,
    })?;
    let mut labels = Vec::new();
    for (number, line) in text
        .lines()
        .enumerate()
        .skip(1)
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let mut fields = line.splitn(3, ',');
        let index = fields
            .next()
            .and_then(|field| field.trim().parse::<usize>().ok());
        let label = fields.nth(1);
        match (index, label) {
            (Some(index), Some(label)) if index == labels.len() => {
                labels.push(unquote(label.trim()))
            }
            _ => {
                return Err(ModelError::Syntax {
                    path: path.into(),
                    message: format!(
                        "line {} is `{line}`, but must be index,mid,display_name with index {}",
                        number + 1,
                        labels.len()
                    ),
                });
            }
        }
    }
    Ok(labels)
}

/// A CSV field without its quotes.
fn unquote(field: &str) -> String {
    match field
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    {
        Some(inner) => inner.replace("\"\"", "\""),
        None => field.into(),
    }
}

/// SHA-256 of a file in lower-case hexadecimal.
///
/// # Errors
/// Unreadable.
pub fn sha256(path: &Path) -> Result<String, ModelError> {
    let wrap = |source| ModelError::Read {
        path: path.into(),
        source,
    };
    let mut file = File::open(path).map_err(wrap)?;
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 18];
    loop {
        let n = file.read(&mut block).map_err(wrap)?;
        if n == 0 {
            return Ok(hash
                .finalize()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect());
        }
        hash.update(&block[..n]);
    }
}

/// Most files whose hash is cached.
const MOST_CACHED: usize = 16;

/// As [`sha256`], cached while the file's size and modification time stay the same.
pub(super) fn cached_sha256(path: &Path) -> Result<String, ModelError> {
    type Cached = (PathBuf, u64, SystemTime, String);
    static CACHE: Mutex<Vec<Cached>> = Mutex::new(Vec::new());
    let about = path
        .metadata()
        .ok()
        .and_then(|about| Some((about.len(), about.modified().ok()?)));
    let Some((len, time)) = about else {
        return sha256(path);
    };
    let lock = || CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    let same = |cached: &&Cached| cached.0 == path && cached.1 == len && cached.2 == time;
    if let Some(cached) = lock().iter().find(same) {
        return Ok(cached.3.clone());
    }
    let hash = sha256(path)?;
    let mut cache = lock();
    cache.retain(|cached| cached.0 != path);
    if cache.len() >= MOST_CACHED {
        cache.remove(0);
    }
    cache.push((path.into(), len, time, hash.clone()));
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_names_may_hold_commas_and_quotes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.csv");
        std::fs::write(
            &path,
            "index,mid,display_name\n0,/m/1,Speech\n1,/m/2,\"Kid, \"\"small\"\"\"\n",
        )
        .unwrap();
        assert_eq!(read_classes(&path).unwrap(), ["Speech", "Kid, \"small\""]);
        std::fs::write(&path, "index,mid,display_name\n1,/m/1,Speech\n").unwrap();
        assert!(read_classes(&path).is_err());
    }

    #[test]
    fn sha256_is_that_of_sha256sum() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(
            sha256(&path).unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
