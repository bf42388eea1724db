//! Converts a candidate that was not taken to a structure and back.

use anchoring::plan::Untaken;

use super::fields::{StructureError, get, nanos, unit, wrong};

/// Name of the structure.
pub(super) const NAME: &str = "earmark-candidate";

/// `more-tokens` is -1 if unknown.
pub(super) fn to_structure(one: &Untaken) -> gst::Structure {
    let more = one.more_tokens.map(i64::try_from);
    let more = more.map_or(-1, |more| more.unwrap_or(i64::MAX));
    gst::Structure::builder(NAME)
        .field("onset-ns", one.onset.get())
        .field("score", one.score)
        .field("more-tokens", more)
        .build()
}

pub(super) fn from_structure(s: &gst::StructureRef) -> Result<Untaken, StructureError> {
    let more = get::<i64>(s, "more-tokens")?;
    if more < -1 {
        return Err(wrong(s, "more-tokens", "must be -1 or more"));
    }
    Ok(Untaken {
        onset: nanos(s, "onset-ns")?,
        score: unit(s, "score")?,
        more_tokens: u64::try_from(more).ok(),
    })
}
