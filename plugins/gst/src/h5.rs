//! HDF5, schema `earmark/1`: the one file that names `hdf5`. What a file holds is in `write` and `read` beside it.

mod check;
mod merge;
mod read;
mod recover;
mod sound;
mod write;

use std::path::{Path, PathBuf};

use hdf5::types::{FloatSize, IntSize, TypeDescriptor, VarLenArray, VarLenUnicode};
use hdf5::{Dataset, Error, Extent, File, Group, H5Type, Location};
use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

pub use crate::featuresink::partial::PlaceError;
pub use check::check;
use codes::{ReasonCode, TierCode};
pub use merge::{MERGED, Merger};
pub use read::{
    AnchorRow, CueColumns, Features, Share, Summary, Tables, read_cues, read_features,
    read_summary, read_tables, read_thumbnails,
};
pub use recover::recover;
pub use sound::{Sound, SoundFile};
pub use write::{Closing, Kept, Opening, Row, Totals, Writer};

/// The `schema` attribute of every file that this version writes and reads.
pub const SCHEMA: &str = "earmark/1";

/// The root attributes of every file.
pub const ATTRIBUTES: [&str; 20] = [
    "schema",
    "complete",
    "input_uri",
    "input_bytes",
    "streams",
    "models",
    "versions",
    "video_id",
    "duration_ns",
    "config",
    "budget_tokens",
    "spent_tokens",
    "frames_missed",
    "pictures_seen",
    "pictures_passed",
    "provider",
    "decoder",
    "rotation",
    "warnings",
    "times",
];

/// The attribute that says why a file is not complete, where somebody knew; a text.
pub const BECAUSE: &str = "incomplete_because";

/// `/cues/class_id` where the tagger named no class.
pub const NO_CLASS: u16 = u16::MAX;

/// Whether another run writes this file right now, as far as locks can tell.
pub fn is_being_written(target: &Path) -> bool {
    crate::featuresink::partial::is_held(target)
}

/// HDF5 opens files by names that are UTF-8; any other is opened here and named by its descriptor, which must live until then.
fn named(path: &Path, writing: bool) -> std::io::Result<(PathBuf, Option<std::fs::File>)> {
    use std::os::fd::AsRawFd;
    if path.to_str().is_some() {
        return Ok((path.into(), None));
    }
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(writing)
        .open(path)?;
    let name = format!("/dev/fd/{}", file.as_raw_fd());
    Ok((name.into(), Some(file)))
}

/// The version of the HDF5 library.
pub fn library_version() -> String {
    let (major, minor, micro) = hdf5::library_version();
    format!("{major}.{minor}.{micro}")
}

/// Why a file cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum H5Error {
    /// The output cannot be put in place.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The disk is full.
    #[error("the disk is full: cannot write {0}")]
    Full(PathBuf),
    /// HDF5 cannot write.
    #[error("cannot write {path}: {message}")]
    Write {
        /// The output.
        path: PathBuf,
        /// What HDF5 says.
        message: String,
    },
    /// A row that the file cannot hold.
    #[error("cannot write {path}: {message}")]
    Row {
        /// The output.
        path: PathBuf,
        /// What is wrong with the row.
        message: String,
    },
    /// HDF5 cannot read.
    #[error("cannot read {path}: {message}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What HDF5 says.
        message: String,
    },
    /// A file of some other kind.
    #[error("{path} is no file of schema {SCHEMA}: {message}")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is missing or different.
        message: String,
    },
}

impl H5Error {
    /// Whether the disk is full.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Full(_) => true,
            Self::Place(PlaceError::System { source, .. }) => {
                source.kind() == std::io::ErrorKind::StorageFull
            }
            _ => false,
        }
    }
}

/// How features are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits: half the space, three digits.
    F16,
}

/// A model that had a part in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelNote {
    /// `encoder`, `tagger`, `voice`, `probe`; or of a file that one of them goes by: `weights`, `classes`, `head`.
    pub role: String,
    /// Name of its manifest, or of the file; `built in` for weights that are.
    pub name: String,
    /// SHA-256 of its file, lower-case hexadecimal.
    pub sha256: String,
    /// SHA-256 of what its manifest says ([`Manifest::canonical_sha256`](crate::models::Manifest::canonical_sha256)); `None` where there is no manifest,
    /// and in files of versions that did not note it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_sha256: Option<String>,
}

/// What a dataset may hold.
trait Cell: H5Type {}
impl<T: H5Type> Cell for T {}

/// Enum types: u8 with names.
#[expect(
    unsafe_code,
    reason = "HDF5 types are declared by an unsafe trait; these are transparent over u8, which holds any byte"
)]
mod codes {
    use anchoring::plan::Reason;
    use anchoring::tier::Tier;
    use hdf5::H5Type;
    use hdf5::types::{EnumMember, EnumType, IntSize, TypeDescriptor};

    #[derive(Clone, Copy, Debug)]
    #[repr(transparent)]
    pub(super) struct TierCode(pub(super) u8);

    #[derive(Clone, Copy, Debug)]
    #[repr(transparent)]
    pub(super) struct ReasonCode(pub(super) u8);

    fn named(names: impl Iterator<Item = &'static str>) -> TypeDescriptor {
        TypeDescriptor::Enum(EnumType {
            size: IntSize::U1,
            signed: false,
            members: names
                .enumerate()
                .map(|(value, name)| EnumMember {
                    name: name.into(),
                    value: value as u64,
                })
                .collect(),
        })
    }

    // SAFETY: the descriptor is one unsigned byte, and so is the type; every byte is a valid value of it.
    unsafe impl H5Type for TierCode {
        fn type_descriptor() -> TypeDescriptor {
            named(Tier::ALL.into_iter().map(Tier::name))
        }
    }

    // SAFETY: as above.
    unsafe impl H5Type for ReasonCode {
        fn type_descriptor() -> TypeDescriptor {
            named(Reason::ALL.into_iter().map(Reason::name))
        }
    }
}

/// Text as HDF5 holds it; a zero byte, which would end it, becomes U+FFFD.
fn text(value: &str) -> VarLenUnicode {
    value.replace('\0', "\u{fffd}").parse().unwrap_or_default()
}

/// Text of variable length.
type Text = VarLenUnicode;

/// Bytes of variable length.
type Bytes = VarLenArray<u8>;

/// One dataset and the rows that wait for it.
struct Column<T> {
    dataset: Dataset,
    rows: usize,
    width: Option<usize>,
    waiting: Vec<T>,
    /// Rows a chunk.
    chunk: usize,
    gzip: bool,
}

/// How a column is laid out.
struct Shape<'a> {
    name: &'a str,
    units: &'a str,
    /// Numbers per row and the name of that axis; `None` for one number per row.
    wide: Option<(usize, &'a str)>,
    /// Rows a chunk.
    chunk: usize,
    /// Whether it is compressed.
    gzip: bool,
}

impl<T: Cell> Column<T> {
    fn push(&mut self, value: T) {
        self.waiting.push(value);
    }

    fn waiting(&self) -> usize {
        self.waiting.len() / self.width.unwrap_or(1).max(1)
    }

    /// Whether the rows given so far fill chunks of so many rows.
    fn ends_at(&self, chunk: usize) -> bool {
        (self.rows + self.waiting()).is_multiple_of(chunk)
    }
}

/// A column, whatever it holds.
trait Append {
    /// Writes the rows that wait; all of them or none.
    fn append(&mut self) -> hdf5::Result<()>;

    /// Most bytes that writing them adds to the file, what describes them aside.
    fn need(&self) -> u64;
}

impl<T: Cell> Append for Column<T> {
    fn append(&mut self) -> hdf5::Result<()> {
        let from = self.rows;
        self.extend().inspect_err(|_| {
            // What has no contents must not look like rows.
            let _ = match self.width {
                None => self.dataset.resize((from,)),
                Some(width) => self.dataset.resize((from, width)),
            };
        })
    }

    fn need(&self) -> u64 {
        let (from, to) = (self.rows, self.rows + self.waiting());
        // A compressed chunk is written anew; any other has its place from its first row on.
        let had = if self.gzip {
            from / self.chunk
        } else {
            from.div_ceil(self.chunk)
        };
        let chunks = to.div_ceil(self.chunk).saturating_sub(had);
        (chunks * self.chunk * self.width.unwrap_or(1) * size_of::<T>()) as u64
    }
}

impl<T: Cell> Column<T> {
    fn extend(&mut self) -> hdf5::Result<()> {
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
                    .map_err(|err| hdf5::Error::from(err.to_string()))?;
                self.dataset.write_slice(block, (from..to, ..))?;
            }
        }
        self.rows = to;
        self.waiting.clear();
        Ok(())
    }
}

/// A group being made: its columns share a leading axis.
struct Table {
    group: Group,
    axis: &'static str,
    path: PathBuf,
}

impl Table {
    fn column<T: Cell>(&self, shape: &Shape<'_>) -> Result<Column<T>, H5Error> {
        self.make(shape).map_err(|err| failed(&self.path, &err))
    }

    fn make<T: Cell>(&self, shape: &Shape<'_>) -> hdf5::Result<Column<T>> {
        let mut builder = self.group.new_dataset::<T>();
        if shape.gzip {
            builder = builder.shuffle().deflate(4);
        }
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
        put(&dataset, "units", &text(shape.units))?;
        put(&dataset, "axes", &text(&axes))?;
        Ok(Column {
            dataset,
            rows: 0,
            width: shape.wide.map(|(width, _)| width),
            waiting: Vec::new(),
            chunk: shape.chunk,
            gzip: shape.gzip,
        })
    }
}

/// Sets an attribute, new or not.
fn put<T: Cell>(at: &Location, name: &str, value: &T) -> hdf5::Result<()> {
    match at.attr(name) {
        Ok(attribute) => attribute.write_scalar(value),
        Err(_) => at.new_attr::<T>().create(name)?.write_scalar(value),
    }
}

/// Bytes of chunks that a dataset keeps while it is written.
const CHUNK_CACHE: usize = 128 << 10;

/// A file being written.
struct Output {
    file: File,
    path: PathBuf,
}

impl Output {
    /// Makes the file, or empties it.
    fn create(path: &Path) -> Result<Self, H5Error> {
        let (name, _open) = named(path, true).map_err(|err| H5Error::Write {
            path: path.into(),
            message: err.to_string(),
        })?;
        // The lock of `Partial` holds for the file's whole life; HDF5's own would be in its way.
        let file = File::with_options()
            // A chunk is written once and not read again: the usual megabyte for each of two dozen datasets would only fill with the recording.
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
        })
    }

    fn table(&self, name: &str, axis: &'static str) -> Result<Table, H5Error> {
        let group = self
            .file
            .create_group(name)
            .map_err(|err| failed(&self.path, &err))?;
        Ok(Table {
            group,
            axis,
            path: self.path.clone(),
        })
    }

    fn put<T: Cell>(&self, name: &str, value: &T) -> Result<(), H5Error> {
        put(&self.file, name, value).map_err(|err| failed(&self.path, &err))
    }

    fn put_text(&self, name: &str, value: &str) -> Result<(), H5Error> {
        self.put(name, &text(value))
    }

    /// Writes the rows that wait for these columns.
    fn append<'a>(
        &self,
        columns: impl IntoIterator<Item = &'a mut dyn Append>,
    ) -> Result<(), H5Error> {
        columns
            .into_iter()
            .try_for_each(|column| column.append())
            .map_err(|err| failed(&self.path, &err))
    }

    /// After this the file can be opened even if the process dies.
    fn flush(&self) -> Result<(), H5Error> {
        self.file.flush().map_err(|err| failed(&self.path, &err))
    }

    /// Once every column is dropped.
    fn close(self) -> Result<(), H5Error> {
        self.file.close().map_err(|err| failed(&self.path, &err))
    }
}

fn failed(path: &Path, err: &hdf5::Error) -> H5Error {
    let message = err.to_string();
    // HDF5 passes the system's error on as text only. EFBIG: a file may not grow further. EDQUOT: a quota is used up.
    if ["errno = 28,", "errno = 27,", "errno = 122,"]
        .iter()
        .any(|errno| message.contains(errno))
    {
        H5Error::Full(path.into())
    } else {
        H5Error::Write {
            path: path.into(),
            message,
        }
    }
}

/// A file being read.
struct Reading {
    file: File,
    path: PathBuf,
}

impl Reading {
    /// Opens a file of this schema, complete or not.
    fn open(path: &Path) -> Result<Self, H5Error> {
        let read = |message| H5Error::Read {
            path: path.into(),
            message,
        };
        match path.metadata() {
            Err(err) => return Err(read(err.to_string())),
            Ok(about) if about.is_dir() => return Err(read("it is a folder".into())),
            Ok(_) => {}
        }
        let foreign = |message| H5Error::Foreign {
            path: path.into(),
            message,
        };
        let (name, _open) = named(path, false).map_err(|err| read(err.to_string()))?;
        let file = File::with_options()
            .with_fapl(|access| access.file_locking(false))
            .open(name)
            .map_err(|_| {
                foreign("HDF5 cannot open it; it is damaged, unfinished or something else".into())
            })?;
        let reading = Self {
            file,
            path: path.into(),
        };
        match reading.text("schema") {
            Ok(schema) if schema == SCHEMA => Ok(reading),
            Ok(schema) => Err(foreign(format!("its schema is {schema:?}"))),
            Err(_) => Err(foreign("it has no attribute `schema`".into())),
        }
    }

    /// Opens a file whose writer never closed it, as one that is still being written.
    fn open_torn(path: &Path) -> Result<Self, H5Error> {
        let read = |message: String| H5Error::Read {
            path: path.into(),
            message,
        };
        let (name, _open) = named(path, false).map_err(|err| read(err.to_string()))?;
        let file = File::with_options()
            .with_fapl(|access| access.file_locking(false))
            .open_as(name, hdf5::OpenMode::ReadSWMR)
            .map_err(|err| read(err.to_string()))?;
        Ok(Self {
            file,
            path: path.into(),
        })
    }

    fn foreign(&self, name: &str, err: &hdf5::Error) -> H5Error {
        H5Error::Foreign {
            path: self.path.clone(),
            message: format!("{name}: {err}"),
        }
    }

    fn attribute<T: Cell>(&self, name: &str) -> Result<T, H5Error> {
        self.file
            .attr(name)
            .and_then(|attribute| attribute.read_scalar())
            .map_err(|err| self.foreign(name, &err))
    }

    fn text(&self, name: &str) -> Result<String, H5Error> {
        self.attribute::<Text>(name)
            .map(|value| value.as_str().to_owned())
    }

    /// Texts beyond those of the schema.
    fn further(&self) -> std::collections::BTreeMap<String, String> {
        let names = self.file.attr_names().unwrap_or_default();
        names
            .into_iter()
            .filter(|name| !ATTRIBUTES.contains(&name.as_str()))
            .filter_map(|name| Some((name.clone(), self.text(&name).ok()?)))
            .collect()
    }

    fn shape(&self, name: &str) -> Result<Vec<usize>, H5Error> {
        let dataset = self
            .file
            .dataset(name)
            .map_err(|err| self.foreign(name, &err))?;
        Ok(dataset.shape())
    }

    /// Bytes of a number in a dataset.
    fn cell_bytes(&self, name: &str) -> Result<usize, H5Error> {
        let dataset = self.file.dataset(name).and_then(|dataset| dataset.dtype());
        dataset
            .map(|dtype| dtype.size())
            .map_err(|err| self.foreign(name, &err))
    }

    /// How features are stored.
    fn precision(&self) -> Result<Precision, H5Error> {
        Ok(match self.cell_bytes("frames/features")? {
            2 => Precision::F16,
            _ => Precision::F32,
        })
    }

    /// Names of a group's columns.
    fn columns_of(&self, group: &str) -> Vec<String> {
        let names = self.file.group(group).and_then(|g| g.member_names());
        names.unwrap_or_default()
    }

    /// Whether a dataset says its units and axes.
    fn is_described(&self, name: &str) -> bool {
        let dataset = self.file.dataset(name);
        dataset.is_ok_and(|d| d.attr("units").is_ok() && d.attr("axes").is_ok())
    }

    /// Some rows of features in 32 bits, row-major, and how many numbers a row has.
    fn block(&self, rows: std::ops::Range<usize>) -> Result<(Vec<f32>, usize), H5Error> {
        let name = "frames/features";
        let block = self
            .file
            .dataset(name)
            .and_then(|dataset| dataset.read_slice_2d::<f32, _>((rows, ..)))
            .map_err(|err| self.foreign(name, &err))?;
        let dim = block.ncols();
        Ok((block.into_iter().collect(), dim))
    }

    /// Whether a dataset is there.
    fn has(&self, name: &str) -> bool {
        self.file.link_exists(name)
    }

    /// Some rows of a dataset of one number (or text) a row.
    fn rows<T: Cell>(&self, name: &str, rows: std::ops::Range<usize>) -> Result<Vec<T>, H5Error> {
        self.file
            .dataset(name)
            .and_then(|dataset| dataset.read_slice_1d::<T, _>(rows))
            .map(|rows| rows.into_raw_vec_and_offset().0)
            .map_err(|err| self.foreign(name, &err))
    }

    /// A whole dataset, row-major.
    fn column<T: Cell>(&self, name: &str) -> Result<Vec<T>, H5Error> {
        self.file
            .dataset(name)
            .and_then(|dataset| dataset.read_raw())
            .map_err(|err| self.foreign(name, &err))
    }
}
