//! Finds and loads the ONNX Runtime library: one environment per process.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::Environment;
use super::telemetry::forbid as forbid_telemetry;
use crate::models::{ModelError, search_dirs};

/// The process's environment and its library. ONNX Runtime allows no second one, even after the first is gone.
static ENVIRONMENT: Mutex<Option<(Environment, PathBuf)>> = Mutex::new(None);

/// The path of `libonnxruntime.so`: `ORT_DYLIB_PATH`, else in `built/` of a folder with manifests, else in PREFIX/lib/earmark where that
/// folder is PREFIX/share/earmark/models.
///
/// # Errors
/// It is in none of these.
pub fn runtime_path() -> Result<PathBuf, ModelError> {
    library_in(&search_dirs())
}

/// The library, searched for from these folders with manifests.
fn library_in(dirs: &[PathBuf]) -> Result<PathBuf, ModelError> {
    let name = format!(
        "{}onnxruntime{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    );
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        return if path.is_file() {
            Ok(path)
        } else {
            Err(ModelError::Runtime(format!(
                "ORT_DYLIB_PATH is {}, which is not a file",
                path.display()
            )))
        };
    }
    let mut tried = Vec::new();
    for dir in dirs {
        tried.push(dir.join("built").join(&name));
        if let Some(prefix) = dir.ancestors().nth(3) {
            tried.push(prefix.join("lib/earmark").join(&name));
        }
    }
    tried
        .iter()
        .find(|path| path.is_file())
        .cloned()
        .ok_or_else(|| {
            let places: Vec<String> = tried
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            ModelError::Runtime(match places.is_empty() {
                true => {
                    format!("there is no folder to search for {name} (EARMARK_MODELS names one)")
                }
                false => format!("it is not at {}", places.join(", nor at ")),
            })
        })
}

/// The version of ONNX Runtime, loading it if need be: `1.31.1`, or the name of its build if the library has no version.
///
/// # Errors
/// It cannot be loaded.
pub fn runtime_version() -> Result<String, ModelError> {
    let (_, library) = environment(None)?;
    // `ort` does not pass the version on, but symbol versions early in the library's file hold it.
    let mut start = Vec::new();
    File::open(library)
        .and_then(|file| file.take(1 << 20).read_to_end(&mut start))
        .map_err(|err| ModelError::Runtime(err.to_string()))?;
    Ok(symbol_version(&start).unwrap_or_else(|| {
        super::build_info()
            .trim_start_matches("ORT Build Info: ")
            .into()
    }))
}

/// `1.31.1` from `VERS_1.31.1`.
fn symbol_version(bytes: &[u8]) -> Option<String> {
    let tag = b"VERS_";
    let at = bytes.windows(tag.len()).position(|some| some == tag)? + tag.len();
    let version: String = bytes[at..]
        .iter()
        .map(|byte| char::from(*byte))
        .take_while(|c| c.is_ascii_digit() || *c == '.')
        .collect();
    (!version.is_empty()).then_some(version)
}

/// The environment; on the first call the library is searched for beside `manifest` too.
pub(super) fn environment(manifest: Option<&Path>) -> Result<(Environment, PathBuf), ModelError> {
    let mut slot = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(ready) = slot.as_ref() {
        return Ok(ready.clone());
    }
    let mut dirs = search_dirs();
    // A relative path leads into the working directory, where anybody may have put a library.
    let manifest = manifest.filter(|path| path.is_absolute());
    dirs.extend(manifest.and_then(Path::parent).map(Path::to_path_buf));
    let library = library_in(&dirs)?;
    // Again, as the program may have changed its environment since the plugin was loaded.
    forbid_telemetry();
    let environment = super::init_from(&library)
        .map_err(|err| ModelError::Runtime(err.to_string()))?
        .with_name("earmark")
        .with_telemetry(false)
        .build()
        .map_err(|err| ModelError::Runtime(err.to_string()))?;
    Ok(slot.insert((environment, library)).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_comes_from_the_symbols() {
        assert_eq!(
            symbol_version(b"\0libonnxruntime.so.1\0VERS_1.31.1\0x").as_deref(),
            Some("1.31.1")
        );
        assert_eq!(symbol_version(b"\0VERS_"), None);
    }
}
