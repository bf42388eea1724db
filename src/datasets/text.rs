//! Reads a whole text file: decompresses gzip, drops the byte order mark, limits the size.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::{Context, bail};
use flate2::read::MultiGzDecoder;
use serde::de::DeserializeOwned;

/// Most bytes of one file, unpacked.
const MOST: u64 = 1 << 30;
/// How a gzip file begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Byte order mark of UTF-8, which some programs write.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// The bytes of a file.
///
/// # Errors
/// It cannot be read, is too large, or is empty.
pub(crate) fn bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    let name = path.display();
    let cannot = || format!("cannot read {name}");
    if path.is_dir() {
        bail!("{name} is a folder: a file is needed");
    }
    let mut file = BufReader::new(File::open(path).with_context(cannot)?);
    let mut bytes = Vec::new();
    file.by_ref()
        .take(GZIP.len() as u64)
        .read_to_end(&mut bytes)
        .with_context(cannot)?;
    if bytes == GZIP {
        let packed = std::io::Cursor::new(GZIP).chain(file);
        bytes.clear();
        MultiGzDecoder::new(packed)
            .take(MOST + 1)
            .read_to_end(&mut bytes)
            .with_context(|| format!("cannot unpack {name}: it is cut off or damaged"))?;
    } else {
        file.take(MOST)
            .read_to_end(&mut bytes)
            .with_context(cannot)?;
    }
    if bytes.len() as u64 > MOST {
        bail!("{name} has more than {MOST} bytes: is it a file of labels?");
    }
    if bytes.starts_with(MARK) {
        bytes.drain(..MARK.len());
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        bail!("{name} is empty");
    }
    Ok(bytes)
}

/// The text of a file.
///
/// # Errors
/// As for [`bytes`], or it is not UTF-8.
pub(crate) fn text(path: &Path) -> anyhow::Result<String> {
    String::from_utf8(bytes(path)?).map_err(|e| {
        let line = 1 + e.as_bytes()[..e.utf8_error().valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        anyhow::anyhow!(
            "{} line {line} is not UTF-8: was it saved in another encoding, or is it not text?",
            path.display()
        )
    })
}

/// A file with one JSON value.
///
/// # Errors
/// As for [`bytes`], or it is not JSON of this shape.
pub(crate) fn json<T: DeserializeOwned>(path: &Path, shape: &str) -> anyhow::Result<T> {
    serde_json::from_slice(&bytes(path)?)
        .map_err(|e| anyhow::anyhow!("{}: {e}: must be {shape}{}", path.display(), hint(&e)))
}

/// A file with one JSON object per line, each with its line number. Skips empty lines.
///
/// # Errors
/// As for [`text`], or a line is not JSON of this shape.
pub(crate) fn json_lines<T: DeserializeOwned>(
    path: &Path,
    shape: &str,
) -> anyhow::Result<Vec<(usize, T)>> {
    let text = text(path)?;
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(i, line)| match serde_json::from_str(line) {
            Ok(value) => Ok((i + 1, value)),
            Err(e) => bail!(
                "{} line {}: {e}: must be {shape}{}",
                path.display(),
                i + 1,
                hint(&e)
            ),
        })
        .collect()
}

/// The likely mistake.
fn hint(e: &serde_json::Error) -> &'static str {
    match e.classify() {
        serde_json::error::Category::Eof => " (is the file cut off?)",
        serde_json::error::Category::Syntax => {
            " (Python writes NaN and Infinity, which JSON doesn't have)"
        }
        _ => "",
    }
}
