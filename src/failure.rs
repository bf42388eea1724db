//! Errors: the exit status of a command, and the failure class of a recording.

use std::io::ErrorKind;

use serde::{Deserialize, Serialize};

/// The command line parses but is wrong.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// The error was already printed; only the exit status is missing.
#[derive(Debug, thiserror::Error)]
#[error("failed")]
pub(crate) struct Reported;

/// Failure classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The recording does not exist, or disappeared while it was read.
    InputMissing,
    /// It cannot be read: permissions or I/O.
    InputUnreadable,
    /// It is not a recording, or no decoder for its codec is installed.
    InputForeign,
    /// It ends before its own container says it should.
    InputTruncated,
    /// Its data is invalid.
    InputCorrupt,
    /// It changed while it was read.
    InputChanged,
    /// The output folder is missing or not writable.
    Output,
    /// The disk is full, or a quota or file size limit is reached.
    DiskFull,
    /// Another run writes the same output.
    Busy,
    /// No progress for too long.
    Stalled,
    /// The worker exceeded its memory limit.
    Memory,
    /// The worker died.
    Crashed,
    /// A model or ONNX Runtime is missing, altered or failed.
    Model,
    /// The pipeline, a variable or an option does not fit the recording.
    Configuration,
    /// The user stopped it.
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

    /// Whether a retry may succeed.
    pub fn may_pass(self) -> bool {
        matches!(
            self,
            Self::Crashed | Self::Stalled | Self::InputChanged | Self::InputUnreadable
        )
    }
}

/// A failure with its class.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// The class.
    pub class: Class,
    /// The message.
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

    /// An error of this class, or of class [`Class::DiskFull`] if the system says that the disk is full.
    pub(crate) fn of(class: Class, e: &anyhow::Error) -> anyhow::Error {
        let full = e.chain().any(is_full);
        Self::error(if full { Class::DiskFull } else { class }, format!("{e:#}"))
    }
}

/// Whether the disk, a quota or a file size limit is full.
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
