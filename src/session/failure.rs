//! Why a recording could not be done, by class: what a batch reports and counts.

use std::io::ErrorKind;

use gstearmark::h5::{H5Error, PlaceError};
use gstearmark::models::ModelError;
use serde::{Deserialize, Serialize};

use crate::config;
use crate::probe::ProbeError;

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

    /// The same failure, and something to be said about it.
    pub(crate) fn also(e: anyhow::Error, text: &str) -> anyhow::Error {
        Self::error(class_of(&e), format!("{e:#}; {text}"))
    }

    /// What is known to have gone wrong with this kind of thing, unless the system says that the disk is full.
    pub(crate) fn of(class: Class, e: &anyhow::Error) -> anyhow::Error {
        let full = e.chain().any(is_full);
        Self::error(if full { Class::DiskFull } else { class }, format!("{e:#}"))
    }
}

/// The class of an error.
pub fn class_of(e: &anyhow::Error) -> Class {
    if let Some(failure) = e.downcast_ref::<Failure>() {
        return failure.class;
    }
    if let Some(e) = e.downcast_ref::<ProbeError>() {
        return of_probe(e);
    }
    if let Some(e) = e.downcast_ref::<H5Error>() {
        return if e.is_full() {
            Class::DiskFull
        } else {
            of_output(e)
        };
    }
    if e.is::<ModelError>() {
        return Class::Model;
    }
    if e.is::<config::Error>() || e.is::<crate::commands::Usage>() {
        return Class::Configuration;
    }
    if e.chain().any(is_full) {
        return Class::DiskFull;
    }
    Class::Other
}

fn of_output(e: &H5Error) -> Class {
    match e {
        H5Error::Place(PlaceError::Busy(_)) => Class::Busy,
        _ => Class::Output,
    }
}

fn of_probe(e: &ProbeError) -> Class {
    match e {
        ProbeError::Absent(_) => Class::InputMissing,
        ProbeError::Folder(_)
        | ProbeError::Pipe(_)
        | ProbeError::Live(..)
        | ProbeError::Unreadable(..)
        | ProbeError::Name(..) => Class::InputUnreadable,
        ProbeError::Text(_)
        | ProbeError::Unknown(..)
        | ProbeError::Undecodable(..)
        | ProbeError::LeftOut(..)
        | ProbeError::Nothing(_) => Class::InputForeign,
        ProbeError::Empty(_) | ProbeError::CutOff(..) => Class::InputTruncated,
        ProbeError::Broken(..) => Class::InputCorrupt,
        ProbeError::Slow(..) => Class::Stalled,
        ProbeError::Setup(_) => Class::Other,
    }
}

/// The class of a GStreamer error; `ours` if one of our elements posted it.
pub(super) fn of_element(error: &gst::glib::Error, ours: bool) -> Class {
    use gst::{ResourceError, StreamError};
    if let Some(kind) = error.kind::<ResourceError>() {
        return match (kind, ours) {
            (ResourceError::NoSpaceLeft, _) => Class::DiskFull,
            (ResourceError::Busy, true) => Class::Busy,
            (ResourceError::OpenWrite | ResourceError::Write, true) => Class::Output,
            (ResourceError::NotFound | ResourceError::OpenRead, true) => Class::Model,
            (ResourceError::Settings, _) => Class::Configuration,
            (ResourceError::NotFound, false) => Class::InputMissing,
            (_, false) => Class::InputUnreadable,
            _ => Class::Other,
        };
    }
    match error.kind::<StreamError>() {
        Some(StreamError::Failed) if ours => Class::Model,
        Some(StreamError::WrongType | StreamError::TypeNotFound | StreamError::CodecNotFound) => {
            Class::InputForeign
        }
        Some(_) => Class::InputCorrupt,
        None => Class::Other,
    }
}

fn is_full(e: &(dyn std::error::Error + 'static)) -> bool {
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
    fn a_full_disk_is_seen_through_any_context() {
        let full = anyhow::Error::new(std::io::Error::from(ErrorKind::StorageFull))
            .context("cannot write the plan");
        assert_eq!(class_of(&full), Class::DiskFull);
        assert_eq!(
            class_of(&Failure::of(Class::Output, &full)),
            Class::DiskFull
        );
        let text = format!("{:#}", Failure::of(Class::Output, &anyhow::anyhow!("x")));
        assert_eq!(text, "x");
    }

    #[test]
    fn names_are_those_that_serde_writes() {
        for class in [Class::InputMissing, Class::DiskFull, Class::Other] {
            assert_eq!(serde_json::json!(class), class.name());
        }
    }
}
