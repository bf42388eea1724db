//! Writes tables and columns, and keeps the digests of their contents.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use half::f16;
use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::seal::{self, Extent as FileExtent};
use super::value::{self, Label, Value, put};
use super::{
    Dataset, Done, Error, Extent, File, Group, H5Error, H5Type, PlaceError, ReasonCode, TierCode,
    failed, named,
};
use crate::atomic_file::Partial;

/// Bytes of chunks that HDF5 caches per dataset.
const CHUNK_CACHE: usize = 128 << 10;
/// Bytes of a chunk's checksum.
const CHECKSUM: usize = 4;
/// Cells hashed at a time.
const HASHED: usize = 4096;
/// Hexadecimal digits of an attribute's digest.
const SHORT: usize = 16;

/// What a column may hold.
pub(super) trait Cell: H5Type + Copy {
    /// Appends its bytes, little-endian as in the file.
    fn bytes(&self, to: &mut Vec<u8>);
}

macro_rules! numbers {
    ($($number:ty),*) => { $(impl Cell for $number {
        fn bytes(&self, to: &mut Vec<u8>) {
            to.extend_from_slice(&self.to_le_bytes());
        }
    })* };
}
numbers!(u8, u16, u32, u64, i32, i64, f16, f32);

impl Cell for TierCode {
    fn bytes(&self, to: &mut Vec<u8>) {
        to.push(self.0);
    }
}

impl Cell for ReasonCode {
    fn bytes(&self, to: &mut Vec<u8>) {
        to.push(self.0);
    }
}

impl Cell for Label {
    fn bytes(&self, to: &mut Vec<u8>) {
        let end = to.len() + value::LABEL;
        to.extend_from_slice(self.as_bytes());
        to.resize(end, 0);
    }
}

/// Adds these rows to a digest.
pub(super) fn digest<T: Cell>(rows: &[T], into: &mut Sha256) {
    let mut bytes = Vec::with_capacity(HASHED.min(rows.len()) * size_of::<T>());
    for some in rows.chunks(HASHED) {
        bytes.clear();
        some.iter().for_each(|cell| cell.bytes(&mut bytes));
        into.update(&bytes);
    }
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The digests of a recording's attributes and datasets, by name: the attribute `digests`, as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Digests {
    /// First 16 hexadecimal digits of the SHA-256 of each attribute's value as text; a dataset's `units` are `frames/pts_ns.units`.
    pub(super) attributes: BTreeMap<String, String>,
    /// SHA-256 of each dataset's cells, row-major, little-endian; texts and labels with the zeros after their end.
    pub(super) datasets: BTreeMap<String, String>,
}

impl Digests {
    /// Adds an attribute.
    pub(super) fn attribute(&mut self, name: &str, value: &Value) {
        self.attributes.insert(name.into(), Self::of(value));
    }

    /// An attribute's digest.
    pub(super) fn of(value: &Value) -> String {
        let mut digest = hex(&Sha256::digest(value.to_string()));
        digest.truncate(SHORT);
        digest
    }

    /// Adds a dataset's units and axes.
    fn described(&mut self, path: &str, units: &str, axes: &str) {
        self.attribute(&format!("{path}.units"), &units.into());
        self.attribute(&format!("{path}.axes"), &axes.into());
    }

    /// As JSON, and the digest of that.
    pub(super) fn text(&self) -> (String, String) {
        let text = serde_json::to_string(self).unwrap_or_default();
        let whole = hex(&Sha256::digest(&text));
        (text, whole)
    }
}

/// A dataset being written, and the rows that wait for it.
pub(super) struct Column<T> {
    dataset: Dataset,
    path: String,
    rows: usize,
    width: Option<usize>,
    digest: Sha256,
    pub(super) waiting: Vec<T>,
    /// Rows a chunk.
    chunk: usize,
    gzip: bool,
}

/// How a column is laid out.
pub(super) struct Shape<'a> {
    pub(super) name: &'a str,
    pub(super) units: &'a str,
    /// Numbers per row and the name of that axis; `None` for one number per row.
    pub(super) wide: Option<(usize, &'a str)>,
    /// Rows a chunk.
    pub(super) chunk: usize,
    /// Whether it is compressed.
    pub(super) gzip: bool,
}

impl<T: Cell> Column<T> {
    pub(super) fn push(&mut self, value: T) {
        self.waiting.push(value);
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len() / self.width.unwrap_or(1).max(1)
    }

    /// Whether the rows so far fill whole chunks of so many rows.
    pub(super) fn ends_at(&self, chunk: usize) -> bool {
        (self.rows + self.waiting()).is_multiple_of(chunk)
    }

    fn extend(&mut self) -> Done<()> {
        let (from, to) = (self.rows, self.rows + self.waiting());
        if from == to {
            return Ok(());
        }
        match self.width {
            None => {
                self.dataset.resize((to,))?;
                self.dataset
                    .write_slice(self.waiting.as_slice(), from..to)?;
            }
            Some(width) => {
                self.dataset.resize((to, width))?;
                let block = ArrayView2::from_shape((to - from, width), &self.waiting)
                    .map_err(|err| Error::from(err.to_string()))?;
                self.dataset.write_slice(block, (from..to, ..))?;
            }
        }
        digest(&self.waiting, &mut self.digest);
        self.rows = to;
        self.waiting.clear();
        Ok(())
    }
}

/// A column of any type.
pub(super) trait Append {
    /// Writes the rows that wait; all of them or none.
    fn append(&mut self) -> Done<()>;

    /// Most bytes that writing them adds to the file, without metadata.
    fn need(&self) -> u64;

    /// Adds its digest, once all rows are written.
    fn note(&self, digests: &mut Digests);

    /// Adds where its rows are in the file, once that is flushed.
    fn extents(&self, to: &mut Vec<FileExtent>) -> Done<()>;
}

impl<T: Cell> Append for Column<T> {
    fn append(&mut self) -> Done<()> {
        let from = self.rows;
        self.extend().inspect_err(|_| {
            // Rows without contents must not stay.
            let _ = match self.width {
                None => self.dataset.resize((from,)),
                Some(width) => self.dataset.resize((from, width)),
            };
        })
    }

    fn need(&self) -> u64 {
        let (from, to) = (self.rows, self.rows + self.waiting());
        // A compressed chunk is rewritten; any other has its full size from its first row on.
        let had = if self.gzip {
            from / self.chunk
        } else {
            from.div_ceil(self.chunk)
        };
        let chunks = to.div_ceil(self.chunk).saturating_sub(had);
        let bytes = self.chunk * self.width.unwrap_or(1) * size_of::<T>();
        (chunks * (bytes + CHECKSUM)) as u64
    }

    fn note(&self, digests: &mut Digests) {
        let digest = hex(&self.digest.clone().finalize());
        digests.datasets.insert(self.path.clone(), digest);
    }

    fn extents(&self, to: &mut Vec<FileExtent>) -> Done<()> {
        extents(&self.dataset, to)
    }
}

/// Adds where a dataset's chunks are.
fn extents(dataset: &Dataset, to: &mut Vec<FileExtent>) -> Done<()> {
    for index in 0..dataset.num_chunks().unwrap_or(0) {
        let chunk = dataset
            .chunk_info(index)
            .ok_or_else(|| Error::from("a chunk has no address"))?;
        to.push(FileExtent {
            at: chunk.addr,
            bytes: chunk.size,
        });
    }
    Ok(())
}

/// A group being written; its columns share the leading axis.
pub(super) struct Table {
    pub(super) group: Group,
    /// Its name below the recording's group.
    pub(super) name: String,
    pub(super) axis: &'static str,
    pub(super) path: PathBuf,
}

impl Table {
    pub(super) fn column<T: Cell>(
        &self,
        shape: &Shape<'_>,
        digests: &mut Digests,
    ) -> Result<Column<T>, H5Error> {
        self.make(shape, digests)
            .map_err(|err| failed(&self.path, &err))
    }

    fn make<T: Cell>(&self, shape: &Shape<'_>, digests: &mut Digests) -> Done<Column<T>> {
        let mut builder = self.group.new_dataset::<T>();
        if shape.gzip {
            builder = builder.shuffle().deflate(4);
        }
        // The last filter is checked first: no damaged chunk is unpacked.
        builder = builder.fletcher32();
        let (dataset, axes) = match shape.wide {
            None => (
                builder
                    .chunk((shape.chunk,))
                    .shape((Extent::resizable(0),))
                    .create(shape.name)?,
                self.axis.to_owned(),
            ),
            Some((width, across)) => (
                builder
                    .chunk((shape.chunk, width))
                    .shape((Extent::resizable(0), Extent::fixed(width)))
                    .create(shape.name)?,
                format!("{}, {across}", self.axis),
            ),
        };
        put(&dataset, "units", &shape.units.into())?;
        put(&dataset, "axes", &axes.as_str().into())?;
        let path = format!("{}/{}", self.name, shape.name);
        digests.described(&path, shape.units, &axes);
        Ok(Column {
            dataset,
            path,
            rows: 0,
            width: shape.wide.map(|(width, _)| width),
            digest: Sha256::new(),
            waiting: Vec::new(),
            chunk: shape.chunk,
            gzip: shape.gzip,
        })
    }
}

/// A file being written.
pub(super) struct Output {
    pub(super) file: File,
    pub(super) path: PathBuf,
    /// Digests of the current recording.
    pub(super) digests: Digests,
    /// Where rows are; all else is structure.
    pub(super) extents: Vec<FileExtent>,
    /// Long texts of the current recording, by name.
    texts: BTreeMap<String, Dataset>,
}

impl Output {
    /// Creates the file, or empties it.
    pub(super) fn create(path: &Path) -> Result<Self, H5Error> {
        let (name, _open) = named(path, true).map_err(|err| H5Error::Write {
            path: path.into(),
            message: err.to_string(),
        })?;
        // `Partial` holds a lock already; HDF5's own would conflict with it.
        let file = File::with_options()
            // A chunk is written once and never read again, so the default cache of a megabyte per dataset would be wasted.
            .with_fapl(|access| {
                access
                    .file_locking(false)
                    .chunk_cache(521, CHUNK_CACHE, 1.0)
            })
            .create(name)
            .map_err(|err| failed(path, &err))?;
        Ok(Self {
            file,
            path: path.into(),
            digests: Digests::default(),
            extents: Vec::new(),
            texts: BTreeMap::new(),
        })
    }

    pub(super) fn table(&self, name: &str, axis: &'static str) -> Result<Table, H5Error> {
        let group = self
            .file
            .create_group(name)
            .map_err(|err| failed(&self.path, &err))?;
        Ok(Table {
            group,
            name: name.into(),
            axis,
            path: self.path.clone(),
        })
    }

    /// The root group.
    pub(super) fn root(&self) -> Group {
        (*self.file).clone()
    }

    /// Sets an attribute of the file.
    pub(super) fn put(&mut self, name: &str, value: impl Into<Value>) -> Result<(), H5Error> {
        let root = self.root();
        self.put_at(&root, name, &value.into())
    }

    /// Sets an attribute of a recording's group.
    pub(super) fn put_at(&mut self, at: &Group, name: &str, value: &Value) -> Result<(), H5Error> {
        self.digests.attribute(name, value);
        self.write_at(at, name, value)
    }

    fn write_at(&mut self, at: &Group, name: &str, value: &Value) -> Result<(), H5Error> {
        let long = value::set(at, name, value).map_err(|err| failed(&self.path, &err))?;
        if let Some(dataset) = long {
            self.texts.insert(name.into(), dataset);
        }
        Ok(())
    }

    /// Writes the waiting rows of these columns.
    pub(super) fn append<'a>(
        &self,
        columns: impl IntoIterator<Item = &'a mut dyn Append>,
    ) -> Result<(), H5Error> {
        columns
            .into_iter()
            .try_for_each(|column| column.append())
            .map_err(|err| failed(&self.path, &err))
    }

    /// Takes digests and addresses of these columns, after a flush.
    pub(super) fn note<'a>(
        &mut self,
        columns: impl IntoIterator<Item = &'a mut dyn Append>,
    ) -> Result<(), H5Error> {
        for column in columns {
            column.note(&mut self.digests);
            column
                .extents(&mut self.extents)
                .map_err(|err| failed(&self.path, &err))?;
        }
        Ok(())
    }

    /// Takes the addresses of the recording's long texts, after a flush.
    pub(super) fn note_texts(&mut self) -> Result<(), H5Error> {
        for dataset in self.texts.values() {
            extents(dataset, &mut self.extents).map_err(|err| failed(&self.path, &err))?;
        }
        Ok(())
    }

    /// Writes the digests of what is below this group.
    pub(super) fn put_digests(&mut self, at: &Group) -> Result<(), H5Error> {
        let (text, whole) = self.digests.text();
        self.write_at(at, "digests", &text.as_str().into())?;
        self.write_at(at, "sha256", &whole.as_str().into())
    }

    /// Starts another recording in the same file.
    pub(super) fn next(&mut self) {
        self.digests = Digests::default();
        self.texts.clear();
    }

    /// Flushes: from here on the file can be opened even if the process dies.
    pub(super) fn flush(&self) -> Result<(), H5Error> {
        self.file.flush().map_err(|err| failed(&self.path, &err))
    }

    /// Closes the file; every column must be dropped before.
    pub(super) fn close(self) -> Result<(), H5Error> {
        let Self {
            file, path, texts, ..
        } = self;
        drop(texts);
        file.close().map_err(|err| failed(&path, &err))
    }

    /// Closes and seals the file.
    pub(super) fn seal(mut self, partial: &Partial) -> Result<(), H5Error> {
        let (path, extents) = (self.path.clone(), std::mem::take(&mut self.extents));
        self.close()?;
        let sealed = seal::append(partial.file(), extents);
        Ok(sealed.map_err(|source| PlaceError::System {
            verb: "write",
            path,
            source,
        })?)
    }
}
