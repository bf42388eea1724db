//! HDF5, schema `earmark/2`: the one file that names `hdf5`.
//!
//! # Layout
//!
//! - `value`: attributes and labels; nothing in a file has a variable length.
//! - `output`: writes tables and columns, with their digests.
//! - `seal`: the end of a finished file, which shows damage to its structure before HDF5 reads it.
//! - `write`: writes a feature file; `tables`, `quality` and `events`: its columns. `merge`: writes one file of many.
//! - `reading`: opens a file; `read`: reads it; `check` and `contents`: find what is wrong with it.
//! - `recover`: copies what can be read of a damaged or unsealed file.
//! - `sound`: reads sound from HDF5 files of others; `numbers`: whole numbers; `rows`: rows of other numbers.
//!
//! A file from elsewhere can crash HDF5, even with a whole seal, as anybody can make one; so can a file without a seal (of schema
//! `earmark/1`, unfinished or damaged). Only [`check_unsealed`], [`summary_unsealed`], [`copy`] and [`recover`] open such files: call them
//! in a process that may die. Everything else is for files that this program wrote.

mod check;
mod contents;
mod events;
mod merge;
mod numbers;
mod output;
mod quality;
mod read;
mod reading;
mod recover;
mod rows;
mod seal;
mod sound;
mod tables;
mod value;
mod write;

use std::path::{Path, PathBuf};

use hdf5::dataset::Layout;
use hdf5::filters::Filter;
use hdf5::types::{FixedUnicode, FloatSize, IntSize, TypeDescriptor, VarLenArray, VarLenUnicode};
use hdf5::{
    Dataset, Error, Extent, File, Group, H5Type, Hyperslab, LinkType, Location, LocationType,
    OpenMode, Result as Done, Selection, SliceOrIndex,
};
use serde::{Deserialize, Serialize};

pub use crate::atomic_file::PlaceError;
pub use crate::models::ModelNote;
pub use check::{check, check_unsealed};
use codes::{OldReasonCode, ReasonCode, TierCode};
pub use events::{EventModality, EventRow, read_events};
pub use merge::{MERGED, Merger};
pub use numbers::whole_numbers;
pub use read::{
    AnchorRow, CandidateRow, Clips, CueColumns, Features, Share, Summary, Tables, read_cues,
    read_features, read_summary, read_tables, read_thumbnails,
};
pub use reading::check_signature;
pub use recover::{Original, Parts, copy, recover, summary_unsealed, with_events};
pub use rows::Rows;
pub use sound::{Sound, SoundFile};
pub use write::{ClipTimes, Closing, KeptFile, Opening, Row, Totals, Writer};

/// The `schema` attribute of every file that this version writes.
pub const SCHEMA: &str = "earmark/2";
/// The schema of older versions, which is read too: text and thumbnails of variable length, no checksums.
pub const OLD_SCHEMA: &str = "earmark/1";

/// The root attributes of every file.
pub const ATTRIBUTES: [&str; 23] = [
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
    "candidates_per_min",
    "spent_tokens",
    "frames_missed",
    "access_units_seen",
    "access_units_passed",
    "provider",
    "decoder",
    "rotation",
    "warnings",
    "times",
    "digests",
    "sha256",
];

/// Attributes that files of earlier versions call otherwise, and what they call them.
const RENAMED: [(&str, &str); 2] = [
    ("access_units_seen", "pictures_seen"),
    ("access_units_passed", "pictures_passed"),
];

/// Whether the schema has a root attribute of this name, now or in an earlier version.
pub fn is_attribute(name: &str) -> bool {
    ATTRIBUTES.contains(&name) || RENAMED.iter().any(|(_, old)| *old == name)
}

/// The attribute with the reason why a file is not complete, if that is known.
pub const BECAUSE: &str = "incomplete_because";

/// The attribute with the time of the recording's earliest frame, as text. Only there if that is not 0.
pub const FIRST_FRAME: &str = "first_frame_ns";

/// The attributes that count planned frames for which the encoder was too slow: all, and those of anchors. Only there if there are any.
pub const LEFT_OUT: [&str; 2] = ["frames_left_out", "anchor_frames_left_out"];

/// `/cues/class_id` where the tagger gave no class.
pub const NO_CLASS: u16 = u16::MAX;

/// Whether another run is writing this file, as far as locks can tell.
pub fn is_being_written(target: &Path) -> bool {
    crate::atomic_file::is_held(target)
}

/// Removes the partial file that a dead run left of this target.
pub fn remove_partial(target: &Path) {
    crate::atomic_file::remove_stale(target);
}

/// A name that HDF5 can open: it takes UTF-8 only, so another path is opened here and named by its descriptor, which must live as long.
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

/// Opens another program's file, and what must stay open as long.
fn open_foreign(path: &Path) -> Result<(File, Option<std::fs::File>), H5Error> {
    let read = |message: String| H5Error::Read {
        path: path.into(),
        message,
    };
    let about = path.metadata().map_err(|e| read(e.to_string()))?;
    if about.is_dir() {
        return Err(read("it is a folder".into()));
    }
    let (name, open) = named(path, false).map_err(|e| read(e.to_string()))?;
    let file = File::with_options()
        .with_fapl(|access| access.file_locking(false))
        .open(name)
        .map_err(|_| read("it is not an HDF5 file, or it is damaged".into()))?;
    Ok((file, open))
}

/// The version of the HDF5 library.
pub fn library_version() -> String {
    let (major, minor, micro) = hdf5::library_version();
    format!("{major}.{minor}.{micro}")
}

/// Why a file cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum H5Error {
    /// The output cannot be created or renamed.
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
        /// HDF5's error.
        message: String,
    },
    /// A row that breaks a rule.
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
        /// HDF5's error.
        message: String,
    },
    /// Another kind of file.
    #[error("{path} is not a file of schema {SCHEMA}: {message}")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is missing or different.
        message: String,
    },
    /// A file that contradicts itself.
    #[error("{path} is damaged: {message}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The contradiction.
        message: String,
    },
    /// A file that may crash HDF5: [`copy`] it first, in another process.
    #[error("{path} is not sealed: {message}")]
    Unsealed {
        /// The file.
        path: PathBuf,
        /// What is wrong with its seal.
        message: String,
    },
}

impl H5Error {
    /// Whether the disk is full.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Full(_) => true,
            Self::Place(PlaceError::System { source, .. }) => matches!(
                source.kind(),
                std::io::ErrorKind::StorageFull
                    | std::io::ErrorKind::FileTooLarge
                    | std::io::ErrorKind::QuotaExceeded
            ),
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

    /// A [`ReasonCode`] under the names of the schema before: the same numbers.
    #[derive(Clone, Copy, Debug)]
    #[repr(transparent)]
    pub(super) struct OldReasonCode(pub(super) u8);

    impl From<OldReasonCode> for ReasonCode {
        fn from(old: OldReasonCode) -> Self {
            Self(old.0)
        }
    }

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

    // SAFETY: as above.
    unsafe impl H5Type for OldReasonCode {
        fn type_descriptor() -> TypeDescriptor {
            named(["anchor", "fallback", "uniform"].into_iter())
        }
    }
}

/// Text of variable length, in files of [`OLD_SCHEMA`].
type OldText = VarLenUnicode;

/// Bytes of variable length, in files of [`OLD_SCHEMA`].
type OldBytes = VarLenArray<u8>;

fn failed(path: &Path, err: &Error) -> H5Error {
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
