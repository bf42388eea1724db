//! Converts the gate's first and last message: the plan's header and the summary.

use anchoring::plan::{Header, SCHEMA};
use anchoring::tier::Tokens;
use anchoring::time::Nanos;

use super::fields::{StructureError, get, nanos, wrong};

/// Name of the structure with the plan's header.
pub(crate) const HEADER: &str = "earmark-plan";
/// Name of the structure with the summary.
pub(super) const SUMMARY: &str = "earmark-summary";

/// The gate's summary at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// End of the last frame or cue.
    pub duration: Nanos,
    /// Time of the earliest frame, if there was one.
    pub first_frame: Option<Nanos>,
    /// The budget for that time.
    pub budget_tokens: Tokens,
    /// Access units received.
    pub access_units_seen: u64,
    /// Access units passed to the decoder.
    pub access_units_passed: u64,
    /// Warnings, one sentence each.
    pub warnings: Vec<String>,
}

pub(super) fn header_to_structure(header: &Header) -> gst::Structure {
    gst::Structure::builder(HEADER)
        .field("video-id", &header.video_id)
        .field("duration-ns", header.duration.get())
        .field("budget-tokens", header.budget_tokens)
        .field("spent-tokens", header.spent_tokens)
        .field("config", header.config.to_string())
        .field("candidates-per-min", header.candidates_per_min)
        .build()
}

pub(super) fn summary_to_structure(summary: &Summary) -> gst::Structure {
    gst::Structure::builder(SUMMARY)
        .field("duration-ns", summary.duration.get())
        .field("first-frame-ns", summary.first_frame.map_or(-1, Nanos::get))
        .field("budget-tokens", summary.budget_tokens)
        .field("access-units-seen", summary.access_units_seen)
        .field("access-units-passed", summary.access_units_passed)
        .field("warnings", gst::Array::new(summary.warnings.iter()))
        .build()
}

pub(super) fn header_from_structure(s: &gst::StructureRef) -> Result<Header, StructureError> {
    Ok(Header {
        schema: SCHEMA.into(),
        video_id: get(s, "video-id")?,
        duration: nanos(s, "duration-ns")?,
        budget_tokens: get(s, "budget-tokens")?,
        spent_tokens: get(s, "spent-tokens")?,
        config: serde_json::from_str(get(s, "config")?)
            .map_err(|error| wrong(s, "config", format!("must be JSON: {error}")))?,
        candidates_per_min: get(s, "candidates-per-min")?,
    })
}

pub(super) fn summary_from_structure(s: &gst::StructureRef) -> Result<Summary, StructureError> {
    let warnings = get::<gst::ArrayRef>(s, "warnings")?;
    let warnings = warnings.iter().map(|text| text.get::<String>());
    Ok(Summary {
        duration: nanos(s, "duration-ns")?,
        first_frame: Some(nanos(s, "first-frame-ns")?).filter(|first| *first >= Nanos::ZERO),
        budget_tokens: get(s, "budget-tokens")?,
        access_units_seen: get(s, "access-units-seen")?,
        access_units_passed: get(s, "access-units-passed")?,
        warnings: warnings
            .collect::<Result<_, _>>()
            .map_err(|_| wrong(s, "warnings", "must hold strings"))?,
    })
}
