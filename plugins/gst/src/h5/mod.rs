//! HDF5, schema `earmark/2`: the one file that names `hdf5`.
//!
//! # Layout
//!
//! - `value`: attributes and labels; nothing in a file has a variable length.
//! - `output`: tables and columns being written, with their digests.
//! - `seal`: the end of a finished file, by which damage to its structure is found before HDF5 reads it.
//! - `tables` and `write`: the rows of a feature file. `merge`: a file of many.
//! - `reading`: a file opened; `read`: what is in it; `check` and `contents`: what is wrong with it.
//! - `recover`: what can be saved of a file, or of one that is not sealed, in a new one.
//! - `sound`: other people's sound in HDF5.
//!
//! A file without a whole seal (of schema `earmark/1`, unfinished, damaged) can crash HDF5. Only [`check_unsealed`], [`copy`] and
//! [`recover`] open one; they belong in a process that may die.

mod check;
mod contents;
mod merge;
mod output;
mod read;
mod reading;
mod recover;
mod seal;
mod sound;
mod tables;
mod value;
mod write;

use std::path::{Path, PathBuf};

use hdf5::types::{FixedUnicode, FloatSize, IntSize, TypeDescriptor, VarLenArray, VarLenUnicode};
use hdf5::{Dataset, Error, Extent, File, Group, H5Type, Location, OpenMode, Result as Done};
use serde::{Deserialize, Serialize};

pub use crate::atomic_file::PlaceError;
pub use crate::models::ModelNote;
pub use check::{check, check_unsealed};
use codes::{OldReasonCode, ReasonCode, TierCode};
pub use merge::{MERGED, Merger};
pub use read::{
    AnchorRow, CueColumns, Features, Share, Summary, Tables, read_cues, read_features,
    read_summary, read_tables, read_thumbnails,
};
pub use reading::is_sealed;
pub use recover::{Parts, copy, recover};
pub use sound::{Sound, SoundFile};
pub use write::{Closing, Kept, Opening, Row, Totals, Writer};

/// The `schema` attribute of every file that this version writes.
pub const SCHEMA: &str = "earmark/2";
/// That of files of versions before: text and thumbnails of variable length, no checksums. They are read too.
pub const OLD_SCHEMA: &str = "earmark/1";

/// The root attributes of every file.
pub const ATTRIBUTES: [&str; 22] = [
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
    "digests",
    "sha256",
];

/// The attribute that says why a file is not complete, where somebody knew; a text.
pub const BECAUSE: &str = "incomplete_because";

/// `/cues/class_id` where the tagger named no class.
pub const NO_CLASS: u16 = u16::MAX;

/// Whether another run writes this file right now, as far as locks can tell.
pub fn is_being_written(target: &Path) -> bool {
    crate::atomic_file::is_held(target)
}

/// Takes away what a writer of this target left when its process died.
pub fn remove_partial(target: &Path) {
    crate::atomic_file::remove_stale(target);
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
    /// A file that says what can't be.
    #[error("{path} is damaged: {message}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it says.
        message: String,
    },
    /// A file that HDF5 may not be able to read without harm to the process: [`copy`] it first, in another.
    #[error("{path} is not sealed: {message}")]
    Unsealed {
        /// The file.
        path: PathBuf,
        /// How it differs from a sealed one.
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
