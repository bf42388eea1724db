//! Reads MATLAB's `.mat` files of versions 5 to 7: arrays of numbers, and cells of text, by name. (The crate `matfile` has no cells.)
//!
//! "MAT-File Format", MathWorks: a header of 128 bytes, then elements of a type, a size and data, padded to eight bytes; compressed variables
//! are elements that hold one element in zlib's format.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Most bytes of a file, and of one variable, unpacked.
const MOST: u64 = 1 << 26;
/// Length of the header.
const HEADER: usize = 128;
/// How an HDF5 file begins: so do files of version 7.3, after 512 bytes of text.
const HDF5: &[u8] = b"\x89HDF\r\n\x1a\n";
/// Deepest nesting: a cell of text is of depth two.
const DEEPEST: usize = 4;

/// Types of elements.
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;
/// Classes of arrays.
const CELL: u8 = 1;
const CHAR: u8 = 4;
const NUMBERS: std::ops::RangeInclusive<u8> = 6..=15;

/// The variables of a file.
#[derive(Debug)]
pub(crate) struct Mat {
    path: PathBuf,
    variables: Vec<(String, Array)>,
}

/// A variable, the first axis fastest.
#[derive(Clone, Debug)]
struct Array {
    shape: Vec<usize>,
    data: Data,
}

#[derive(Clone, Debug)]
enum Data {
    Numbers(Vec<f64>),
    Text(String),
    Cells(Vec<Array>),
    /// Structures, functions and so on.
    Other,
}

impl Mat {
    /// Opens a file.
    ///
    /// # Errors
    /// It cannot be read, or is no such file.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        let file = std::fs::File::open(path).with_context(|| format!("cannot read {name}"))?;
        let mut bytes = Vec::new();
        file.take(MOST + 1)
            .read_to_end(&mut bytes)
            .with_context(|| format!("cannot read {name}"))?;
        if bytes.len() as u64 > MOST {
            bail!("{name} is larger than {} MiB", MOST >> 20);
        }
        let variables = variables(&bytes).with_context(|| format!("{name} cannot be read"))?;
        Ok(Self {
            path: path.into(),
            variables,
        })
    }

    /// Whether there is a variable of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.variables.iter().any(|(own, _)| own == name)
    }

    /// A column of numbers.
    ///
    /// # Errors
    /// There is no such variable, or it is no column of numbers.
    pub(crate) fn numbers(&self, name: &str) -> anyhow::Result<Vec<f64>> {
        let array = self.variable(name)?;
        match &array.data {
            // A row will do, too.
            Data::Numbers(numbers) if array.shape.iter().filter(|n| **n != 1).count() <= 1 => {
                Ok(numbers.clone())
            }
            _ => bail!(
                "{}: `{name}` must be a column of numbers; its shape is {:?}",
                self.path.display(),
                array.shape
            ),
        }
    }

    /// A table of text: a row for each element of the first axis.
    ///
    /// # Errors
    /// There is no such variable, or it holds something else.
    pub(crate) fn texts(&self, name: &str) -> anyhow::Result<Vec<Vec<String>>> {
        let array = self.variable(name)?;
        let wrong = || {
            anyhow::anyhow!(
                "{}: `{name}` must be a cell array of text; its shape is {:?}",
                self.path.display(),
                array.shape
            )
        };
        let Data::Cells(cells) = &array.data else {
            return Err(wrong());
        };
        let rows = *array.shape.first().unwrap_or(&0);
        let text = |cell: &Array| match &cell.data {
            Data::Text(text) => Some(text.clone()),
            _ => None,
        };
        (0..rows)
            .map(|row| {
                let cells = cells.iter().skip(row).step_by(rows.max(1));
                cells
                    .map(|cell| text(cell).ok_or_else(wrong))
                    .collect::<anyhow::Result<_>>()
            })
            .collect()
    }

    fn variable(&self, name: &str) -> anyhow::Result<&Array> {
        let found = self.variables.iter().find(|(own, _)| own == name);
        let Some((_, array)) = found else {
            let has: Vec<_> = self.variables.iter().map(|(own, _)| own.as_str()).collect();
            bail!(
                "{} has no variable `{name}`; it has {} (is it another file?)",
                self.path.display(),
                has.join(", ")
            );
        };
        Ok(array)
    }
}

fn variables(bytes: &[u8]) -> anyhow::Result<Vec<(String, Array)>> {
    let is_hdf5 = |at: usize| bytes.get(at..).is_some_and(|rest| rest.starts_with(HDF5));
    if is_hdf5(0) || is_hdf5(512) {
        bail!("it is of version 7.3 (HDF5); in MATLAB, save it with `save(file, '-v7')`");
    }
    // The version, and the order of bytes: "IM" is little-endian.
    match bytes.get(124..HEADER) {
        Some([0, 1, b'I', b'M']) => {}
        Some([1, 0, b'M', b'I']) => {
            bail!("its numbers are big-endian; only little-endian files are read")
        }
        _ => bail!("it is no MATLAB file of version 5 to 7"),
    }
    let mut rest = bytes.get(HEADER..).unwrap_or_default();
    let mut all = Vec::new();
    while !rest.is_empty() {
        let (kind, data) = element(&mut rest).context("it is cut off or damaged")?;
        match kind {
            COMPRESSED => {
                let mut inner = Vec::new();
                flate2::read::ZlibDecoder::new(data)
                    .take(MOST + 1)
                    .read_to_end(&mut inner)
                    .context("a variable is damaged")?;
                if inner.len() as u64 > MOST {
                    bail!("a variable is larger than {} MiB", MOST >> 20);
                }
                let mut inner = inner.as_slice();
                if let Some((MATRIX, data)) = element(&mut inner) {
                    all.extend(matrix(data, 0));
                }
            }
            MATRIX => all.extend(matrix(data, 0)),
            _ => {}
        }
    }
    Ok(all)
}

/// The next element: its type and data. `None` if it is cut off.
fn element<'a>(rest: &mut &'a [u8]) -> Option<(u32, &'a [u8])> {
    let word = |at: usize| Some(u32::from_le_bytes(*rest.get(at..)?.first_chunk()?));
    let first = word(0)?;
    // Up to four bytes of data fit beside a short type and a short size.
    let (kind, from, size, padding): (u32, usize, usize, usize) = match first >> 16 {
        0 => (first, 8, word(4)? as usize, 8),
        size => (first & 0xffff, 4, size as usize, 4),
    };
    let stop = from.checked_add(size)?;
    let data = rest.get(from..stop)?;
    // Compressed elements are not padded, and the last may lack its padding.
    let next = match kind {
        COMPRESSED => stop,
        _ => from + size.next_multiple_of(padding),
    };
    *rest = rest.get(next..).unwrap_or_default();
    Some((kind, data))
}

/// A variable or a cell: its name and content. `None` if it is damaged.
fn matrix(mut data: &[u8], depth: usize) -> Option<(String, Array)> {
    let rest = &mut data;
    let class = *element(rest)?.1.first()?;
    let shape: Vec<usize> = element(rest)?
        .1
        .as_chunks::<4>()
        .0
        .iter()
        .map(|n| u32::from_le_bytes(*n) as usize)
        .collect();
    let name = String::from_utf8_lossy(element(rest)?.1).into_owned();
    let count = shape
        .iter()
        .try_fold(1_usize, |all, n| all.checked_mul(*n))?;
    let data = match class {
        CELL if depth < DEEPEST && count as u64 <= MOST => {
            let mut cells = Vec::new();
            for _ in 0..count {
                let (kind, data) = element(rest)?;
                // An empty cell has no content at all.
                cells.push(match data.is_empty() {
                    true => Array {
                        shape: vec![0, 0],
                        data: Data::Text(String::new()),
                    },
                    false if kind == MATRIX => matrix(data, depth + 1)?.1,
                    false => return None,
                });
            }
            Data::Cells(cells)
        }
        CHAR => Data::Text(text(element(rest)?)?),
        class if NUMBERS.contains(&class) => {
            let numbers = numbers(element(rest)?)?;
            if numbers.len() != count {
                return None;
            }
            Data::Numbers(numbers)
        }
        _ => Data::Other,
    };
    Some((name, Array { shape, data }))
}

/// A row of characters.
fn text((kind, data): (u32, &[u8])) -> Option<String> {
    match kind {
        // Bytes, and UTF-8.
        1 | 2 | 16 => Some(String::from_utf8_lossy(data).into_owned()),
        // 16 bits, and UTF-16.
        4 | 17 => {
            let units = data.as_chunks().0.iter().map(|b| u16::from_le_bytes(*b));
            Some(String::from_utf16_lossy(&units.collect::<Vec<_>>()))
        }
        _ => None,
    }
}

/// Numbers may be stored in a smaller type than their array's class.
fn numbers((kind, data): (u32, &[u8])) -> Option<Vec<f64>> {
    fn all<const N: usize>(data: &[u8], of: fn([u8; N]) -> f64) -> Vec<f64> {
        data.as_chunks().0.iter().map(|bytes| of(*bytes)).collect()
    }
    Some(match kind {
        1 => all(data, |b| f64::from(i8::from_le_bytes(b))),
        2 => all(data, |b| f64::from(u8::from_le_bytes(b))),
        3 => all(data, |b| f64::from(i16::from_le_bytes(b))),
        4 => all(data, |b| f64::from(u16::from_le_bytes(b))),
        5 => all(data, |b| f64::from(i32::from_le_bytes(b))),
        6 => all(data, |b| f64::from(u32::from_le_bytes(b))),
        7 => all(data, |b| f64::from(f32::from_le_bytes(b))),
        9 => all(data, f64::from_le_bytes),
        12 => all(data, |b| i64::from_le_bytes(b) as f64),
        13 => all(data, |b| u64::from_le_bytes(b) as f64),
        _ => return None,
    })
}

/// Writes files, for tests.
#[cfg(test)]
pub(crate) mod made {
    use std::io::Write;

    fn element(kind: u32, data: &[u8]) -> Vec<u8> {
        let mut all = [kind.to_le_bytes(), (data.len() as u32).to_le_bytes()].concat();
        all.extend(data);
        all.resize(all.len().next_multiple_of(8), 0);
        all
    }

    fn matrix(class: u8, shape: [u32; 2], name: &str, content: &[u8]) -> Vec<u8> {
        let shape = shape.map(u32::to_le_bytes).concat();
        let mut data = element(6, &[class, 0, 0, 0, 0, 0, 0, 0]);
        data.extend(element(5, &shape));
        data.extend(element(1, name.as_bytes()));
        data.extend(content);
        element(super::MATRIX, &data)
    }

    /// A column of numbers.
    pub(crate) fn numbers(name: &str, numbers: &[f64]) -> Vec<u8> {
        let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        matrix(6, [numbers.len() as u32, 1], name, &element(9, &bytes))
    }

    /// A cell array of text, row by row.
    pub(crate) fn texts<const N: usize>(name: &str, rows: &[[String; N]]) -> Vec<u8> {
        let columns = (0..N).flat_map(|k| rows.iter().map(move |row| &row[k]));
        let cells: Vec<u8> = columns
            .flat_map(|text| {
                let shape = [1, text.len() as u32];
                matrix(super::CHAR, shape, "", &element(16, text.as_bytes()))
            })
            .collect();
        matrix(super::CELL, [rows.len() as u32, N as u32], name, &cells)
    }

    /// A file of variables, each compressed.
    pub(crate) fn file(variables: &[Vec<u8>]) -> Vec<u8> {
        let mut all = b"MATLAB 5.0 MAT-file".to_vec();
        all.resize(124, b' ');
        all.extend([0, 1, b'I', b'M']);
        for variable in variables {
            let mut packed =
                flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
            packed.write_all(variable).unwrap();
            let packed = packed.finish().unwrap();
            all.extend(super::COMPRESSED.to_le_bytes());
            all.extend((packed.len() as u32).to_le_bytes());
            all.extend(packed);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(bytes: &[u8]) -> anyhow::Result<Mat> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        Mat::open(file.path())
    }

    #[test]
    fn numbers_and_cells_of_text_come_back() {
        let rows =
            [["Car", "QP16"], ["Town", "QP35_S"], ["", "x"]].map(|row| row.map(String::from));
        let bytes = made::file(&[
            made::numbers("MOS", &[77.5, 3.0, -1.0]),
            made::texts("allNames", &rows),
        ]);
        let mat = opened(&bytes).unwrap();
        assert!(mat.has("MOS") && !mat.has("MOSz"));
        assert_eq!(mat.numbers("MOS").unwrap(), [77.5, 3.0, -1.0]);
        assert_eq!(mat.texts("allNames").unwrap(), rows);
        let said = |result: anyhow::Result<()>| format!("{:#}", result.unwrap_err());
        assert!(said(mat.numbers("MOSz").map(drop)).contains("it has MOS, allNames"));
        assert!(said(mat.numbers("allNames").map(drop)).contains("column of numbers"));
        assert!(said(mat.texts("MOS").map(drop)).contains("cell array of text"));
    }

    #[test]
    fn other_files_and_damaged_ones_are_refused_and_never_panic() {
        let said = |bytes: &[u8]| format!("{:#}", opened(bytes).unwrap_err());
        assert!(said(b"no such file").contains("no MATLAB file"));
        let mut new = vec![b' '; 512];
        new.extend(HDF5);
        assert!(said(&new).contains("-v7"));
        let whole = made::file(&[made::numbers("MOS", &[1.0, 2.0, 3.0])]);
        assert!(said(&whole[..whole.len() - 9]).contains("cut off or damaged"));
        let plain = {
            let mut all = whole[..HEADER].to_vec();
            all.extend(made::texts("names", &[[String::from("a"), "b".into()]]));
            all
        };
        for bytes in [whole, plain] {
            for at in HEADER..bytes.len() {
                for value in [0, 1, 0x7f, 0xff] {
                    let mut bytes = bytes.clone();
                    bytes[at] = value;
                    if let Ok(mat) = opened(&bytes) {
                        let _ = (mat.numbers("MOS"), mat.texts("names"));
                    }
                }
            }
        }
    }
}
