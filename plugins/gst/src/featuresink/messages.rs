//! Messages for the bus: errors by domain, what is kept of a file, statistics.

use std::io::ErrorKind;
use std::time::Duration;

use anchoring::plan::Reason;
use anchoring::tier::Tier;

use std::path::Path;

use super::job::{Report, WorkError};
use crate::atomic_file::PlaceError;
use crate::h5::{H5Error, KeptFile};
use crate::models::ModelError;
use crate::printable::shown;

fn place_message(err: &PlaceError, also: &str) -> gst::ErrorMessage {
    match err {
        PlaceError::Busy(_) => gst::error_msg!(
            gst::ResourceError::Busy,
            ("{}", shown(&format_args!("{err}{also}")))
        ),
        PlaceError::System { source, .. } if source.kind() == ErrorKind::StorageFull => {
            gst::error_msg!(
                gst::ResourceError::NoSpaceLeft,
                ("{}", shown(&format_args!("{err}{also}")))
            )
        }
        _ => gst::error_msg!(
            gst::ResourceError::OpenWrite,
            ("{}", shown(&format_args!("{err}{also}")))
        ),
    }
}

/// `also` is added to the text.
pub(super) fn file_message(err: &H5Error, also: &str) -> gst::ErrorMessage {
    match err {
        H5Error::Place(err) => place_message(err, also),
        H5Error::Full(_) => gst::error_msg!(
            gst::ResourceError::NoSpaceLeft,
            ("{}", shown(&format_args!("{err}{also}")))
        ),
        H5Error::Row { .. } => gst::error_msg!(
            gst::StreamError::Format,
            ("{}", shown(&format_args!("{err}{also}")))
        ),
        _ => gst::error_msg!(
            gst::ResourceError::Write,
            ("{}", shown(&format_args!("{err}{also}")))
        ),
    }
}

/// `also` is added to the text.
pub(super) fn model_message(err: &ModelError, also: &str) -> gst::ErrorMessage {
    match err {
        ModelError::Unknown { .. } | ModelError::Missing { .. } | ModelError::Runtime(_) => {
            gst::error_msg!(
                gst::ResourceError::NotFound,
                ("{}", shown(&format_args!("{err}{also}")))
            )
        }
        ModelError::Run { .. } => gst::error_msg!(
            gst::StreamError::Failed,
            ("{}", shown(&format_args!("{err}{also}")))
        ),
        _ => gst::error_msg!(
            gst::ResourceError::OpenRead,
            ("{}", shown(&format_args!("{err}{also}")))
        ),
    }
}

pub(super) fn settings_message(text: &str) -> gst::ErrorMessage {
    gst::error_msg!(gst::ResourceError::Settings, ("{}", shown(&text)))
}

/// The worker's error, and what is kept of the file.
pub(super) fn work_message(err: &WorkError, kept: Option<&KeptFile>) -> gst::ErrorMessage {
    let also = kept.map_or_else(String::new, |kept| format!("; {}", kept_text(kept)));
    match err {
        WorkError::Model(err) => model_message(err, &also),
        WorkError::File(err) => file_message(err, &also),
        WorkError::Panic(_) => gst::error_msg!(
            gst::LibraryError::Failed,
            ("{}", shown(&format_args!("{err}{also}")))
        ),
    }
}

/// What is kept of an unfinished file, and how to recover it.
pub(super) fn kept_text(kept: &KeptFile) -> String {
    let KeptFile { path, totals } = kept;
    let rows = match totals.frames {
        0 => format!("{} cues", totals.cues),
        1 => "1 frame".into(),
        frames => format!("{frames} frames"),
    };
    let path = for_a_shell(path);
    format!(
        "what was written so far ({rows}) is kept in {path}; `earmark recover {path}` makes a file of it"
    )
}

/// The same for programs. `reported`: an error message has it already.
pub(super) fn kept_structure(kept: &KeptFile, reported: bool) -> gst::Structure {
    gst::Structure::builder("earmark-kept")
        .field("location", kept.path.display().to_string())
        .field("frames", kept.totals.frames)
        .field("anchors", kept.totals.anchors)
        .field("cues", kept.totals.cues)
        .field("text", kept_text(kept))
        .field("reported", reported)
        .build()
}

/// Why frames are left out.
pub(super) const TOO_SLOW: &str = "the encoder is too slow for this source: some frames are left out, those of anchors last (a smaller model, a smaller tier or fewer tokens_per_s help)";

/// A frame that was left out because the encoder is too slow.
pub(super) fn left_out_structure(reason: Reason) -> gst::Structure {
    gst::Structure::builder("earmark-left-out")
        .field("anchor", reason == Reason::Anchor)
        .field("text", TOO_SLOW)
        .build()
}

/// Statistics: a structure for encoding and one for writing.
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

/// A path, quoted for a shell where needed.
fn for_a_shell(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:@%".contains(c);
    if text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}
