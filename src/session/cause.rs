//! Maps errors to failure classes.

use gstearmark::h5::{H5Error, PlaceError};
use gstearmark::models::ModelError;

use crate::failure::{Class, Failure, Usage, is_full};
use crate::pipeline;
use crate::recording::ProbeError;

/// The class of an error.
pub(crate) fn class_of(e: &anyhow::Error) -> Class {
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
    if e.is::<pipeline::Error>() || e.is::<Usage>() {
        return Class::Configuration;
    }
    if e.chain().any(is_full) {
        return Class::DiskFull;
    }
    Class::Other
}

/// The same failure with more text.
pub(super) fn also(e: anyhow::Error, text: &str) -> anyhow::Error {
    Failure::error(class_of(&e), format!("{e:#}; {text}"))
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

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

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
}
