//! Reads NumPy's `.npz`: arrays of numbers or text by name, compressed or not. Refuses objects (pickles).

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use half::f16;
use zip::ZipArchive;

/// Most bytes of one array, unpacked.
const MOST: u64 = 1 << 27;
/// Longest header of an array.
const LONGEST_HEAD: usize = 1 << 16;
/// How an array file begins; its version follows.
const MAGIC: &[u8] = b"\x93NUMPY";

/// A file of arrays.
pub(crate) struct Npz {
    path: PathBuf,
    archive: ZipArchive<BufReader<File>>,
}

/// An array, the last axis fastest.
#[derive(Debug)]
pub(crate) struct Array {
    pub(crate) shape: Vec<usize>,
    data: Data,
}

#[derive(Debug)]
enum Data {
    Numbers(Vec<f64>),
    Text(Vec<String>),
}

impl Npz {
    /// Opens a file.
    ///
    /// # Errors
    /// It does not exist, or is not an `.npz` file.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        if path.is_dir() {
            bail!("{name} is a folder: a file is needed");
        }
        let file = File::open(path).with_context(|| format!("cannot read {name}"))?;
        let archive = ZipArchive::new(BufReader::new(file)).map_err(|e| {
            anyhow::anyhow!(
                "{name} is not an .npz file, or damaged: {e} (write it with numpy.savez)"
            )
        })?;
        Ok(Self {
            path: path.into(),
            archive,
        })
    }

    /// Whether it has an array of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.archive
            .index_for_name(&format!("{name}.npy"))
            .is_some()
    }

    /// An array of text.
    ///
    /// # Errors
    /// It does not exist, cannot be read, or does not hold text.
    pub(crate) fn text(&mut self, name: &str) -> anyhow::Result<Vec<String>> {
        let array = self.array(name)?;
        let shape = array.shape;
        match array.data {
            Data::Text(text) if shape.len() == 1 => Ok(text),
            Data::Text(_) => bail!(
                "{}: `{name}` has the shape {shape:?}: must have one axis",
                self.path.display()
            ),
            Data::Numbers(_) => bail!(
                "{}: `{name}` holds numbers: must hold text",
                self.path.display()
            ),
        }
    }

    /// An array of numbers with this shape: each axis by its name and, if known, its length.
    ///
    /// # Errors
    /// It does not exist, cannot be read, does not hold numbers, holds one that is not finite, or has another shape.
    pub(crate) fn numbers(
        &mut self,
        name: &str,
        shape: &[(&str, Option<usize>)],
    ) -> anyhow::Result<(Vec<usize>, Vec<f64>)> {
        let array = self.array(name)?;
        let path = self.path.display();
        let fits = array.shape.len() == shape.len()
            && array
                .shape
                .iter()
                .zip(shape)
                .all(|(found, (_, wanted))| wanted.is_none_or(|wanted| wanted == *found));
        if !fits {
            let wanted: Vec<String> = shape
                .iter()
                .map(|(axis, length)| match length {
                    Some(length) => format!("{axis} ({length})"),
                    None => (*axis).to_owned(),
                })
                .collect();
            bail!(
                "{path}: `{name}` has the shape {:?}: must be [{}]",
                array.shape,
                wanted.join(", ")
            );
        }
        let Data::Numbers(numbers) = array.data else {
            bail!("{path}: `{name}` holds text: must hold numbers");
        };
        if let Some(at) = numbers.iter().position(|x| !x.is_finite()) {
            bail!(
                "{path}: `{name}`, number {at} is {}: must be finite",
                numbers[at]
            );
        }
        Ok((array.shape, numbers))
    }

    fn array(&mut self, name: &str) -> anyhow::Result<Array> {
        let path = self.path.display().to_string();
        if !self.has(name) {
            let mut has: Vec<String> = self
                .archive
                .file_names()
                .filter_map(|file| Some(file.ok()?.trim_end_matches(".npy").to_owned()))
                .take(20)
                .collect();
            has.sort();
            bail!("{path} has no array `{name}`; it has {}", has.join(", "));
        }
        let file = self
            .archive
            .by_name(&format!("{name}.npy"))
            .with_context(|| format!("{path}: `{name}` cannot be read"))?;
        let mut bytes = Vec::new();
        file.take(MOST + 1)
            .read_to_end(&mut bytes)
            .with_context(|| format!("{path}: `{name}` is cut off or damaged"))?;
        if bytes.len() as u64 > MOST {
            bail!("{path}: `{name}` has more than {MOST} bytes");
        }
        array(&bytes).map_err(|wrong| anyhow::anyhow!("{path}: `{name}` {wrong}"))
    }
}

/// The numbers of a `.npy` file, and their shape.
///
/// # Errors
/// It cannot be read, or holds no numbers.
pub(crate) fn npy(path: &Path) -> anyhow::Result<(Vec<usize>, Vec<f64>)> {
    let name = path.display();
    let file = File::open(path).with_context(|| format!("cannot read {name}"))?;
    let mut bytes = Vec::new();
    file.take(MOST + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read {name}"))?;
    if bytes.len() as u64 > MOST {
        bail!("{name} has more than {MOST} bytes");
    }
    let array = array(&bytes).map_err(|wrong| anyhow::anyhow!("{name} {wrong}"))?;
    match array.data {
        Data::Numbers(numbers) => Ok((array.shape, numbers)),
        Data::Text(_) => bail!("{name} holds text: must hold numbers"),
    }
}

/// An array to be written.
pub(crate) enum Written<'a> {
    /// Text, one axis.
    Text(&'a [String]),
    /// Small whole numbers.
    Bytes(&'a [usize], &'a [u8]),
    /// Single precision.
    Floats(&'a [usize], &'a [f32]),
}

/// What comes before an array's numbers, of version 1.
fn head(kind: &str, shape: &[usize]) -> Vec<u8> {
    let shape: String = shape.iter().map(|n| format!("{n}, ")).collect();
    let mut text = format!(
        "{{'descr': '{kind}', 'fortran_order': False, 'shape': ({}), }}",
        shape.trim_end()
    );
    // Numbers begin at a multiple of 64 bytes.
    let length = (10 + text.len() + 1).next_multiple_of(64) - 10;
    text.extend(std::iter::repeat_n(' ', length - text.len() - 1));
    text.push('\n');
    let mut bytes = [MAGIC, &[1, 0], &(text.len() as u16).to_le_bytes()].concat();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// The bytes of a `.npy` file.
pub(crate) fn array_of(shape: &[usize], numbers: &[f32]) -> Vec<u8> {
    let mut bytes = head("<f4", shape);
    bytes.extend(numbers.iter().flat_map(|x| x.to_le_bytes()));
    bytes
}

/// The bytes of a file with these arrays, packed.
///
/// # Errors
/// It cannot be written.
pub(crate) fn packed(arrays: &[(&str, Written<'_>)]) -> anyhow::Result<Vec<u8>> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    // The same arrays give the same bytes: no time of writing.
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Deflated)
        .last_modified_time(zip::DateTime::default());
    for (name, array) in arrays {
        let (kind, shape, body) = match array {
            Written::Bytes(shape, bytes) => ("|u1".to_owned(), shape.to_vec(), bytes.to_vec()),
            Written::Floats(shape, x) => (
                "<f4".to_owned(),
                shape.to_vec(),
                x.iter().flat_map(|x| x.to_le_bytes()).collect(),
            ),
            Written::Text(text) => {
                let longest = text
                    .iter()
                    .map(|t| t.chars().count())
                    .max()
                    .unwrap_or(0)
                    .max(1);
                let letters = |t: &String| {
                    let mut bytes: Vec<u8> =
                        t.chars().flat_map(|c| (c as u32).to_le_bytes()).collect();
                    bytes.resize(longest * 4, 0);
                    bytes
                };
                (
                    format!("<U{longest}"),
                    vec![text.len()],
                    text.iter().flat_map(letters).collect(),
                )
            }
        };
        archive.start_file(format!("{name}.npy"), options)?;
        std::io::Write::write_all(&mut archive, &head(&kind, &shape))?;
        std::io::Write::write_all(&mut archive, &body)?;
    }
    Ok(archive.finish()?.into_inner())
}

/// An array of version 1 to 3, as NumPy documents it.
fn array(bytes: &[u8]) -> Result<Array, String> {
    let cut = || "is cut off".to_owned();
    let rest = bytes.strip_prefix(MAGIC).ok_or("is not a NumPy array")?;
    let (version, rest) = rest.split_at_checked(2).ok_or_else(cut)?;
    let (length, rest) = if version[0] == 1 {
        let (length, rest) = rest.split_at_checked(2).ok_or_else(cut)?;
        (usize::from(length[0]) + 256 * usize::from(length[1]), rest)
    } else {
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
        (u32::from_le_bytes(*length) as usize, rest)
    };
    if length > LONGEST_HEAD {
        return Err(format!("has a header of {length} bytes"));
    }
    let (head, body) = rest.split_at_checked(length).ok_or_else(cut)?;
    let head = String::from_utf8_lossy(head);
    let after = |key: &str| {
        let at = head.find(&format!("'{key}':"))?;
        Some(head[at + key.len() + 3..].trim_start())
    };
    let odd = || "has an invalid header".to_owned();
    let kind = after("descr").ok_or_else(odd)?;
    let kind = kind
        .strip_prefix('\'')
        .and_then(|kind| kind.split_once('\''))
        .ok_or("holds records: must hold numbers or text")?
        .0;
    let shape = after("shape").and_then(|shape| shape.strip_prefix('(')?.split_once(')'));
    let shape = shape.ok_or_else(odd)?.0.split(',').map(str::trim);
    let shape: Vec<usize> = shape
        .filter(|n| !n.is_empty())
        .map(|n| n.parse().map_err(|_| odd()))
        .collect::<Result<_, _>>()?;
    let turned = after("fortran_order").ok_or_else(odd)?.starts_with("True");
    if turned && shape.len() > 1 {
        return Err("is in Fortran's order: save numpy.ascontiguousarray of it".into());
    }
    let count = shape
        .iter()
        .try_fold(1_usize, |all, n| all.checked_mul(*n))
        .ok_or_else(odd)?;
    let (order, kind) = kind.split_at_checked(1).ok_or_else(odd)?;
    let (letter, size) = kind.split_at_checked(1).ok_or_else(odd)?;
    if letter == "O" {
        return Err(
            "holds Python objects, which are not read: save it with dtype=str or a number's".into(),
        );
    }
    let size: usize = size.parse().map_err(|_| odd())?;
    let width = if letter == "U" {
        size.saturating_mul(4)
    } else {
        size
    };
    if width == 0 && count > 0 {
        return Err(format!("holds {count} texts of length 0"));
    }
    if count.checked_mul(width) != Some(body.len()) {
        return Err(format!(
            "should have {count} times {width} bytes, and has {}",
            body.len()
        ));
    }
    let item = |i: usize| {
        let mut item = body[i * width..(i + 1) * width].to_vec();
        if order == ">" {
            let step = if letter == "U" { 4 } else { width };
            item.chunks_mut(step.max(1)).for_each(<[u8]>::reverse);
        }
        item
    };
    let data = match letter {
        "U" => Data::Text(
            (0..count)
                .map(|i| wide(&item(i)))
                .collect::<Result<_, _>>()?,
        ),
        "S" => Data::Text(
            (0..count)
                .map(|i| narrow(&item(i)))
                .collect::<Result<_, _>>()?,
        ),
        _ => {
            let read = reader(letter, width)
                .ok_or_else(|| format!("holds {letter}{size}: must hold numbers or text"))?;
            Data::Numbers((0..count).map(|i| read(&item(i))).collect())
        }
    };
    Ok(Array { shape, data })
}

/// Text of four bytes per letter, padded with zeros.
fn wide(item: &[u8]) -> Result<String, String> {
    let letters = item
        .chunks_exact(4)
        .map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]]));
    let mut letters: Vec<u32> = letters.collect();
    while letters.last() == Some(&0) {
        letters.pop();
    }
    let text: Option<String> = letters.into_iter().map(char::from_u32).collect();
    text.ok_or_else(|| "holds invalid characters".into())
}

/// Text of bytes, padded with zeros.
fn narrow(item: &[u8]) -> Result<String, String> {
    let end = item
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |at| at + 1);
    String::from_utf8(item[..end].to_vec()).map_err(|_| "holds text that is not UTF-8".into())
}

/// Reads a number of a kind and width, little-endian.
fn reader(letter: &str, width: usize) -> Option<fn(&[u8]) -> f64> {
    fn first<const N: usize>(item: &[u8]) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&item[..N]);
        bytes
    }
    Some(match (letter, width) {
        ("b" | "u", 1) => |item| f64::from(item[0]),
        ("i", 1) => |item| f64::from(item[0] as i8),
        ("u", 2) => |item| f64::from(u16::from_le_bytes(first(item))),
        ("i", 2) => |item| f64::from(i16::from_le_bytes(first(item))),
        ("u", 4) => |item| f64::from(u32::from_le_bytes(first(item))),
        ("i", 4) => |item| f64::from(i32::from_le_bytes(first(item))),
        ("u", 8) => |item| u64::from_le_bytes(first(item)) as f64,
        ("i", 8) => |item| i64::from_le_bytes(first(item)) as f64,
        ("f", 2) => |item| f16::from_le_bytes(first(item)).to_f64(),
        ("f", 4) => |item| f64::from(f32::from_le_bytes(first(item))),
        ("f", 8) => |item| f64::from_le_bytes(first(item)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(about: &str, body: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((about.len() as u16).to_le_bytes());
        bytes.extend(about.as_bytes());
        bytes.extend(body);
        bytes
    }

    #[test]
    fn numbers_and_text_are_read() {
        let head = "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 2), }\n";
        let read = array(&npy(head, &[1, 0, 0xff, 0xff, 0, 1, 3, 0])).unwrap();
        assert_eq!(read.shape, [2, 2]);
        assert!(matches!(read.data, Data::Numbers(n) if n == [1.0, -1.0, 256.0, 3.0]));
        let head = "{'descr': '>U2', 'fortran_order': False, 'shape': (1,), }\n";
        let read = array(&npy(head, &[0, 0, 0, b'a', 0, 0, 0, 0])).unwrap();
        assert!(matches!(read.data, Data::Text(t) if t == ["a"]));
    }

    /// Whole archives with a few changed bytes.
    #[test]
    fn spoilt_archives_are_answered() {
        let head = "{'descr': '<U3', 'fortran_order': False, 'shape': (2,), }\n";
        let mut whole = std::io::Cursor::new(Vec::new());
        let mut writer = zip::ZipWriter::new(&mut whole);
        for (name, method) in [
            ("a", zip::CompressionMethod::Deflated),
            ("b", zip::CompressionMethod::Stored),
        ] {
            let options = zip::write::SimpleFileOptions::default().compression_method(method);
            writer.start_file(format!("{name}.npy"), options).unwrap();
            std::io::Write::write_all(&mut writer, &npy(head, &[0x61, 0, 0, 0].repeat(6))).unwrap();
        }
        writer.finish().unwrap();
        let whole = whole.into_inner();
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = |bytes: &[u8]| {
            std::fs::write(file.path(), bytes).unwrap();
            let mut npz = Npz::open(file.path())?;
            assert!(npz.numbers("b", &[("x", None)]).is_err());
            npz.text("a")
        };
        assert_eq!(read(&whole).unwrap(), ["aaa", "aaa"]);
        for at in 0..whole.len() {
            for byte in [0, 0x7f, 0xff] {
                let mut spoilt = whole.clone();
                spoilt[at] = byte;
                let _ = read(&spoilt);
            }
            let _ = read(&whole[..at]);
        }
    }

    #[test]
    fn invalid_arrays_are_refused_without_panics() {
        let good = "{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }\n";
        for (bytes, word) in [
            (b"PK".to_vec(), "not a NumPy array"),
            (b"\x93NUMPY\x01".to_vec(), "cut off"),
            (npy(good, &[0; 7]), "should have 1 times 8 bytes"),
            (npy("{}", &[]), "invalid header"),
            (
                npy(
                    "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
                    &[0; 8],
                ),
                "objects",
            ),
            (
                npy(
                    "{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,)}",
                    &[0; 8],
                ),
                "records",
            ),
            (
                npy(
                    "{'descr': '<f8', 'fortran_order': True, 'shape': (1, 1)}",
                    &[0; 8],
                ),
                "Fortran",
            ),
            (
                npy(
                    "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999, 99999999999)}",
                    &[],
                ),
                "invalid header",
            ),
            (
                npy(
                    "{'descr': '<c16', 'fortran_order': False, 'shape': (1,)}",
                    &[0; 16],
                ),
                "c16",
            ),
        ] {
            let error = array(&bytes).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
