//! What the bus is told: errors by their domain, and what was done.

use std::io::ErrorKind;
use std::time::Duration;

use anchoring::plan::Reason;
use anchoring::tier::Tier;

use super::partial::PlaceError;
use super::work::{Report, WorkError};
use crate::h5::H5Error;
use crate::models::ModelError;

fn place_message(err: &PlaceError) -> gst::ErrorMessage {
    match err {
        PlaceError::Busy(_) => gst::error_msg!(gst::ResourceError::Busy, ("{err}")),
        PlaceError::System { source, .. } if source.kind() == ErrorKind::StorageFull => {
            gst::error_msg!(gst::ResourceError::NoSpaceLeft, ("{err}"))
        }
        _ => gst::error_msg!(gst::ResourceError::OpenWrite, ("{err}")),
    }
}

pub(super) fn file_message(err: &H5Error) -> gst::ErrorMessage {
    match err {
        H5Error::Place(err) => place_message(err),
        H5Error::Full(_) => gst::error_msg!(gst::ResourceError::NoSpaceLeft, ("{err}")),
        H5Error::Row { .. } => gst::error_msg!(gst::StreamError::Format, ("{err}")),
        _ => gst::error_msg!(gst::ResourceError::Write, ("{err}")),
    }
}

pub(super) fn model_message(err: &ModelError) -> gst::ErrorMessage {
    match err {
        ModelError::Unknown { .. } | ModelError::Missing { .. } | ModelError::Runtime(_) => {
            gst::error_msg!(gst::ResourceError::NotFound, ("{err}"))
        }
        ModelError::Run { .. } => gst::error_msg!(gst::StreamError::Failed, ("{err}")),
        _ => gst::error_msg!(gst::ResourceError::OpenRead, ("{err}")),
    }
}

pub(super) fn settings_message(text: &str) -> gst::ErrorMessage {
    gst::error_msg!(gst::ResourceError::Settings, ("{text}"))
}

pub(super) fn work_message(err: &WorkError) -> gst::ErrorMessage {
    match err {
        WorkError::Model(err) => model_message(err),
        WorkError::File(err) => file_message(err),
    }
}

/// What was done: a structure for encoding and one for writing.
pub(super) fn stats(
    report: &Report,
    scaling: Duration,
    most_waiting: usize,
) -> [gst::Structure; 2] {
    let totals = &report.totals;
    let mut shares = Vec::new();
    for tier in Tier::ALL {
        for reason in Reason::ALL {
            let frames = totals.by_tier_and_reason[tier as usize][reason as usize];
            if frames > 0 {
                shares
                    .push(serde_json::json!({ "tier": tier, "reason": reason, "frames": frames }));
            }
        }
    }
    let nanos = |time: Duration| time.as_nanos() as u64;
    let encode = gst::Structure::builder("earmark-stats")
        .field("stage", "encode")
        .field("busy-ns", nanos(report.encoding + scaling))
        .field("scale-ns", nanos(scaling))
        .field("batches", report.batches)
        .field("most-waiting", most_waiting as u64)
        .field("frames", totals.frames)
        .field("tokens", totals.spent_tokens)
        .field("shares", serde_json::Value::from(shares).to_string())
        .build();
    let write = gst::Structure::builder("earmark-stats")
        .field("stage", "write")
        .field("busy-ns", nanos(report.writing))
        .field("frames", totals.frames)
        .field("anchors", totals.anchors)
        .field("cues", totals.cues)
        .build();
    [encode, write]
}
