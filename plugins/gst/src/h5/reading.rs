//! Opens feature files safely: checks the seal first, and never reads more than the file can hold.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::value::{self, Value};
use super::{
    Dataset, Done, Error, File, Group, H5Error, H5Type, LinkType, LocationType, MERGED, OLD_SCHEMA,
    OldBytes, OpenMode, Precision, RENAMED, SCHEMA, is_attribute, named, seal,
};

/// How every HDF5 file begins.
const SIGNATURE: [u8; 8] = *b"\x89HDF\r\n\x1a\n";
/// How much larger a dataset can be in memory than in the file: deflate packs 1032 bytes into one.
const MOST_PACKED: u64 = 1100;
/// Most bytes read from a dataset at once.
const MOST_BYTES: u64 = 4 << 30;
/// Depth of the deepest name: `/VIDEO_ID/frames/quality/score`.
const DEEPEST: usize = 4;
/// Most names in a file; a merged file of a hundred thousand recordings has half as many.
const MOST_LINKS: usize = 8_000_000;
/// Longest thumbnail.
const MOST_JPEG: u64 = 16 << 20;

/// Checks that a file exists and begins as HDF5 files do.
///
/// # Errors
/// The file is missing, or not an HDF5 file.
pub fn check_signature(path: &Path) -> Result<(), H5Error> {
    begun(path).map(|_| ())
}

/// Checks the seal, without HDF5.
pub(super) fn sealed(path: &Path) -> Result<(), H5Error> {
    match seal::verify(&begun(path)?) {
        Ok(()) => Ok(()),
        Err(seal::SealError::Io(err)) => Err(H5Error::Read {
            path: path.into(),
            message: err.to_string(),
        }),
        Err(err) => Err(H5Error::Unsealed {
            path: path.into(),
            message: err.to_string(),
        }),
    }
}

/// Opens a file that begins as HDF5 files do.
fn begun(path: &Path) -> Result<std::fs::File, H5Error> {
    let read = |message: String| H5Error::Read {
        path: path.into(),
        message,
    };
    let system = |err: std::io::Error| read(err.to_string());
    let kind = path.metadata().map_err(system)?;
    if kind.is_dir() {
        return Err(read("it is a folder".into()));
    }
    if !kind.is_file() {
        return Err(read("it is not a regular file".into()));
    }
    let mut file = std::fs::File::open(path).map_err(system)?;
    let mut first = [0; SIGNATURE.len()];
    let begins = std::io::Read::read_exact(&mut file, &mut first);
    if begins.is_err() || first != SIGNATURE {
        return Err(H5Error::Foreign {
            path: path.into(),
            message: "it is not an HDF5 file: it is empty, lacks its start, or is of another kind"
                .into(),
        });
    }
    Ok(file)
}

/// A file being read.
pub(super) struct Reading {
    pub(super) file: File,
    pub(super) path: PathBuf,
    /// Its schema.
    pub(super) schema: String,
    /// Its length in bytes.
    length: u64,
    // HDF5 may have opened it by descriptor, which must stay open.
    _open: Option<std::fs::File>,
}

impl Reading {
    /// Opens a sealed file of the schema, complete or not.
    pub(super) fn open(path: &Path) -> Result<Self, H5Error> {
        let file = Self::open_sealed(path)?;
        match file.schema == SCHEMA {
            true => Ok(file),
            false => Err(file.of_schema()),
        }
    }

    /// Opens a sealed file of one recording or of many.
    pub(super) fn open_sealed(path: &Path) -> Result<Self, H5Error> {
        sealed(path)?;
        Self::open_as(path, OpenMode::Read)
    }

    /// Opens a file of either schema, sealed or not; this may crash the process.
    pub(super) fn open_unsealed(path: &Path) -> Result<Self, H5Error> {
        match sealed(path) {
            Ok(()) | Err(H5Error::Unsealed { .. }) => Self::open_as(path, OpenMode::Read),
            Err(err) => Err(err),
        }
    }

    /// Opens a file whose writer never closed it, as if it were still being written; this may crash the process.
    pub(super) fn open_torn(path: &Path) -> Result<Self, H5Error> {
        Self::open_as(path, OpenMode::ReadSWMR)
    }

    fn open_as(path: &Path, mode: OpenMode) -> Result<Self, H5Error> {
        let read = |err: std::io::Error| H5Error::Read {
            path: path.into(),
            message: err.to_string(),
        };
        let foreign = |message: String| H5Error::Foreign {
            path: path.into(),
            message,
        };
        let length = path.metadata().map_err(read)?.len();
        let (name, open) = named(path, false).map_err(read)?;
        let file = File::with_options()
            .with_fapl(|access| access.file_locking(false))
            .open_as(name, mode)
            .map_err(|_| {
                foreign("HDF5 cannot open it: it is damaged, unfinished or of another kind".into())
            })?;
        let schema = match value::get(&file, "schema") {
            Ok(Value::Text(schema)) => schema,
            _ => return Err(foreign("it has no attribute `schema`".into())),
        };
        let reading = Self {
            file,
            path: path.into(),
            schema,
            length,
            _open: open,
        };
        if ![SCHEMA, OLD_SCHEMA, MERGED].contains(&reading.schema.as_str()) {
            return Err(reading.of_schema());
        }
        reading.own_links(&reading.file, "", 1, &mut 0)?;
        Ok(reading)
    }

    /// Checks that every link of a group, as deep as it is read, points into the file itself.
    fn own_links(
        &self,
        at: &Group,
        below: &str,
        depth: usize,
        links: &mut usize,
    ) -> Result<(), H5Error> {
        let (mut within, mut problem) = (Vec::new(), None);
        let visited = at.iter_visit_default(|name, link| {
            *links += 1;
            if link.link_type != LinkType::Hard {
                problem = Some(format!(
                    "/{below}{name} links to another file or name, which feature files never do"
                ));
            } else if *links > MOST_LINKS {
                problem = Some(format!("it has more than {MOST_LINKS} names"));
            } else {
                within.push(name.to_owned());
                return Ok(());
            }
            Err(Error::from("foreign link"))
        });
        if let Some(problem) = problem {
            return Err(self.damaged(problem));
        }
        visited.map_err(|err| self.foreign(&format!("/{below}"), &err))?;
        if depth == DEEPEST {
            return Ok(());
        }
        for name in within {
            let whole = format!("{below}{name}");
            let is_group = at
                .loc_type_by_name(&name)
                .is_ok_and(|kind| kind == LocationType::Group);
            if is_group {
                let group = at.group(&name).map_err(|err| self.foreign(&whole, &err))?;
                self.own_links(&group, &format!("{whole}/"), depth + 1, links)?;
            }
        }
        Ok(())
    }

    fn of_schema(&self) -> H5Error {
        H5Error::Foreign {
            path: self.path.clone(),
            message: format!("its schema is {:?}", self.schema),
        }
    }

    pub(super) fn is_old(&self) -> bool {
        self.schema == OLD_SCHEMA
    }

    pub(super) fn foreign(&self, name: &str, err: &Error) -> H5Error {
        H5Error::Foreign {
            path: self.path.clone(),
            message: format!("{name}: {err}"),
        }
    }

    pub(super) fn damaged(&self, message: String) -> H5Error {
        H5Error::Damaged {
            path: self.path.clone(),
            message,
        }
    }

    fn attribute(&self, name: &str) -> Result<Value, H5Error> {
        let old = RENAMED.iter().find(|(new, _)| *new == name);
        let name = match old {
            Some((_, old)) if !self.has_attribute(name) && self.has_attribute(old) => old,
            _ => name,
        };
        value::get(&self.file, name).map_err(|err| self.foreign(name, &err))
    }

    pub(super) fn text(&self, name: &str) -> Result<String, H5Error> {
        match self.attribute(name)? {
            Value::Text(text) => Ok(text),
            other => Err(self.damaged(format!("`{name}` is {other}, but must be text"))),
        }
    }

    pub(super) fn number(&self, name: &str) -> Result<u64, H5Error> {
        match self.attribute(name)? {
            Value::Unsigned(number) => Ok(number),
            other => Err(self.damaged(format!(
                "`{name}` is {other}, but must be an unsigned number"
            ))),
        }
    }

    pub(super) fn signed(&self, name: &str) -> Result<i64, H5Error> {
        match self.attribute(name)? {
            Value::Signed(number) => Ok(number),
            other => Err(self.damaged(format!("`{name}` is {other}, but must be a signed number"))),
        }
    }

    pub(super) fn truth(&self, name: &str) -> Result<bool, H5Error> {
        match self.attribute(name)? {
            Value::Bool(value) => Ok(value),
            other => Err(self.damaged(format!("`{name}` is {other}, but must be true or false"))),
        }
    }

    /// Text attributes beyond the schema.
    pub(super) fn further(&self) -> BTreeMap<String, String> {
        let names = self.file.attr_names().unwrap_or_default();
        names
            .into_iter()
            .filter(|name| !is_attribute(name))
            .filter_map(|name| Some((name.clone(), self.text(&name).ok()?)))
            .collect()
    }

    /// A dataset whose shape is possible: its cells, packed as well as can be, fit into the file.
    pub(super) fn dataset(&self, name: &str) -> Result<Dataset, H5Error> {
        let dataset = self.file.dataset(name);
        let dataset = dataset.map_err(|err| self.foreign(name, &err))?;
        if let Err(err) = value::own_storage(&dataset) {
            return Err(self.damaged(format!("/{name}: {err}")));
        }
        let cell = dataset.dtype().map_err(|err| self.foreign(name, &err))?;
        let cells = dataset
            .shape()
            .iter()
            .try_fold(1_u64, |all, &axis| all.checked_mul(axis as u64));
        let bytes = cells.and_then(|cells| cells.checked_mul(cell.size() as u64));
        if bytes.is_some_and(|bytes| bytes <= self.length.saturating_mul(MOST_PACKED)) {
            return Ok(dataset);
        }
        Err(self.damaged(format!(
            "/{name} has the shape {:?}, which a file of {} bytes cannot hold",
            dataset.shape(),
            self.length
        )))
    }

    pub(super) fn shape(&self, name: &str) -> Result<Vec<usize>, H5Error> {
        Ok(self.dataset(name)?.shape())
    }

    /// Rows of a dataset.
    pub(super) fn height(&self, name: &str) -> Result<usize, H5Error> {
        Ok(self.shape(name)?.first().copied().unwrap_or(0))
    }

    /// How features are stored.
    pub(super) fn precision(&self) -> Result<Precision, H5Error> {
        let name = "frames/features";
        let kind = self.dataset(name)?.dtype();
        Ok(match kind.map_err(|err| self.foreign(name, &err))?.size() {
            2 => Precision::F16,
            _ => Precision::F32,
        })
    }

    /// Names of a group's columns, not those of a group inside it.
    pub(super) fn columns_of(&self, group: &str) -> Vec<String> {
        let Ok(group) = self.file.group(group) else {
            return Vec::new();
        };
        let names = group.member_names().unwrap_or_default().into_iter();
        let is_group = |name: &String| {
            let kind = group.loc_type_by_name(name);
            kind.is_ok_and(|kind| kind == LocationType::Group)
        };
        names.filter(|name| !is_group(name)).collect()
    }

    /// Whether a dataset has units and axes.
    pub(super) fn is_described(&self, name: &str) -> bool {
        let dataset = self.file.dataset(name);
        dataset.is_ok_and(|d| d.attr("units").is_ok() && d.attr("axes").is_ok())
    }

    /// Rows of features in 32 bits, row-major, and the numbers per row.
    pub(super) fn block(&self, rows: Range<usize>) -> Result<(Vec<f32>, usize), H5Error> {
        let name = "frames/features";
        let dataset = self.dataset(name)?;
        let [have, dim] = dataset.shape()[..] else {
            return Err(self.damaged(format!("/{name} is not [N, D]")));
        };
        self.bounded(name, (rows.len() as u64).saturating_mul(dim as u64), 4)?;
        if rows.end > have {
            return Err(self.damaged(format!("/{name} has no row {}", rows.end - 1)));
        }
        let block = dataset
            .read_slice_2d::<f32, _>((rows, ..))
            .map_err(|err| self.foreign(name, &err))?;
        Ok((block.into_iter().collect(), dim))
    }

    pub(super) fn has_attribute(&self, name: &str) -> bool {
        self.file.attr(name).is_ok()
    }

    /// Whether there is a dataset.
    pub(super) fn has(&self, name: &str) -> bool {
        self.file.link_exists(name)
    }

    /// Whether there is a small JPEG of every frame.
    pub(super) fn has_thumbnails(&self) -> bool {
        match self.is_old() {
            true => self.has("frames/thumbnails"),
            false => self.has("frames/thumbnail_stop"),
        }
    }

    /// Rows of a dataset of one number per row.
    pub(super) fn rows<T: H5Type>(
        &self,
        name: &str,
        rows: Range<usize>,
    ) -> Result<Vec<T>, H5Error> {
        let dataset = self.dataset(name)?;
        self.bounded(name, rows.len() as u64, size_of::<T>() as u64)?;
        dataset
            .read_slice_1d::<T, _>(rows)
            .map(|rows| rows.into_raw_vec_and_offset().0)
            .map_err(|err| self.foreign(name, &err))
    }

    /// A whole dataset, row-major.
    pub(super) fn column<T: H5Type>(&self, name: &str) -> Result<Vec<T>, H5Error> {
        let dataset = self.dataset(name)?;
        self.bounded(name, dataset.size() as u64, size_of::<T>() as u64)?;
        dataset.read_raw().map_err(|err| self.foreign(name, &err))
    }

    /// As many rows from the start as can be read, `together` at a time.
    pub(super) fn readable<T: H5Type>(
        &self,
        name: &str,
        width: usize,
        together: usize,
    ) -> Result<Vec<T>, H5Error> {
        let dataset = self.dataset(name)?;
        let rows = self.height(name)?;
        self.bounded(name, (rows * width) as u64, size_of::<T>() as u64)?;
        let mut all = Vec::new();
        for at in (0..rows).step_by(together) {
            let some = at..(at + together).min(rows);
            let read: Done<Vec<T>> = match width {
                1 => dataset
                    .read_slice_1d::<T, _>(some)
                    .map(|a| a.into_iter().collect()),
                _ => dataset
                    .read_slice_2d::<T, _>((some, ..))
                    .map(|a| a.into_iter().collect()),
            };
            match read {
                Ok(read) => all.extend(read),
                Err(_) => break,
            }
        }
        Ok(all)
    }

    fn bounded(&self, name: &str, cells: u64, cell: u64) -> Result<(), H5Error> {
        match cells.checked_mul(cell) {
            Some(bytes) if bytes <= MOST_BYTES => Ok(()),
            _ => Err(self.damaged(format!(
                "/{name} would need more than {MOST_BYTES} bytes of memory"
            ))),
        }
    }

    /// The JPEGs of these rows.
    pub(super) fn thumbnails(&self, rows: Range<usize>) -> Result<Vec<Vec<u8>>, H5Error> {
        if self.is_old() {
            let all: Vec<OldBytes> = self.rows("frames/thumbnails", rows)?;
            return Ok(all.iter().map(|jpeg| jpeg.to_vec()).collect());
        }
        // Each begins where the one before ends.
        let before = rows.start.saturating_sub(1);
        let stops: Vec<u64> = self.rows("frames/thumbnail_stop", before..rows.end)?;
        let first = match rows.start {
            0 => 0,
            _ => stops.first().copied().unwrap_or(0),
        };
        let stops = &stops[usize::from(rows.start > 0).min(stops.len())..];
        let bytes = self.height("thumbnails/jpeg")? as u64;
        let mut at = first;
        for &stop in stops {
            if stop < at || stop > bytes || stop - at > MOST_JPEG {
                return Err(self.damaged(format!(
                    "/frames/thumbnail_stop has a JPEG from byte {at} to {stop} of {bytes}"
                )));
            }
            at = stop;
        }
        let jpegs: Vec<u8> = self.rows("thumbnails/jpeg", first as usize..at as usize)?;
        let mut from = 0;
        Ok(stops
            .iter()
            .map(|stop| {
                let until = (stop - first) as usize;
                let jpeg = jpegs[from..until].to_vec();
                from = until;
                jpeg
            })
            .collect())
    }
}
