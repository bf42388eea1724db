//! Why something could not be done: by exit status for a command, by class for a recording of a batch.

use std::io::ErrorKind;

use serde::{Deserialize, Serialize};

/// The command line is fine as far as clap can tell, and still wrong.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// Something was reported already; only the exit status is left to give.
#[derive(Debug, thiserror::Error)]
#[error("failed")]
pub(crate) struct Reported;

/// Kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The recording is not there, or went away while it was read.
    InputMissing,
    /// It is there and may not be read, or the system failed while reading it.
    InputUnreadable,
    /// It is no recording, or one whose codec nothing here decodes.
    InputForeign,
    /// It ends before its own container says it should.
    InputTruncated,
    /// Its bytes make no sense.
    InputCorrupt,
    /// It grew, shrank or was written to while it was read.
    InputChanged,
    /// The output's folder is missing or may not be written.
    Output,
    /// The disk is full, or a quota or file size limit is reached.
    DiskFull,
    /// Another run writes the same output.
    Busy,
    /// Nothing moved for too long.
    Stalled,
    /// The worker used more memory than it may.
    Memory,
    /// The worker died.
    Crashed,
    /// A model or ONNX Runtime is missing, altered or failed.
    Model,
    /// The pipeline, a variable or an option does not fit the recording.
    Configuration,
    /// The user stopped the work.
    Stopped,
    /// Anything else.
    Other,
}

impl Class {
    /// Its name, as in `status.jsonl`.
    pub fn name(self) -> &'static str {
        match self {
            Self::InputMissing => "input_missing",
            Self::InputUnreadable => "input_unreadable",
            Self::InputForeign => "input_foreign",
            Self::InputTruncated => "input_truncated",
            Self::InputCorrupt => "input_corrupt",
            Self::InputChanged => "input_changed",
            Self::Output => "output",
            Self::DiskFull => "disk_full",
            Self::Busy => "busy",
            Self::Stalled => "stalled",
            Self::Memory => "memory",
            Self::Crashed => "crashed",
            Self::Model => "model",
            Self::Configuration => "configuration",
            Self::Stopped => "stopped",
            Self::Other => "other",
        }
    }

    /// Whether the next attempt may well succeed.
    pub fn may_pass(self) -> bool {
        matches!(
            self,
            Self::Crashed | Self::Stalled | Self::InputChanged | Self::InputUnreadable
        )
    }
}

/// A failure whose class is known.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// Which kind.
    pub class: Class,
    /// In words.
    pub text: String,
}

impl Failure {
    /// As an error.
    pub(crate) fn error(class: Class, text: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self {
            class,
            text: text.into(),
        })
    }

    /// What is known to have gone wrong with this kind of thing, unless the system says that the disk is full.
    pub(crate) fn of(class: Class, e: &anyhow::Error) -> anyhow::Error {
        let full = e.chain().any(is_full);
        Self::error(if full { Class::DiskFull } else { class }, format!("{e:#}"))
    }
}

/// Whether the system says that a disk, a quota or a file's limit is full.
pub(crate) fn is_full(e: &(dyn std::error::Error + 'static)) -> bool {
    let kind = e.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    matches!(
        kind,
        Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_serde_writes() {
        for class in [Class::InputMissing, Class::DiskFull, Class::Other] {
            assert_eq!(serde_json::json!(class), class.name());
        }
    }
}
