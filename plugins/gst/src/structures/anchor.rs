//! Converts an anchor to a structure and back.

use anchoring::plan::Anchor;
use anchoring::time::Window;

use super::fields::{StructureError, get, nanos, unit, wrong};

/// Name of the structure.
pub(super) const NAME: &str = "earmark-anchor";
/// Name of the structure of an anchor that was just decided.
const DECIDED: &str = "earmark-anchor-decided";

/// An element's message that an anchor was decided; its frame may come much later.
pub fn decided_message(
    element: &impl gst::glib::object::IsA<gst::Object>,
    anchor: &Anchor,
) -> gst::Message {
    let mut s = to_structure(anchor);
    s.set_name(DECIDED);
    gst::message::Element::builder(s).src(element).build()
}

pub(super) fn to_structure(anchor: &Anchor) -> gst::Structure {
    gst::Structure::builder(NAME)
        .field("id", anchor.id)
        .field("onset-ns", anchor.onset.get())
        .field("start-ns", anchor.window.start().get())
        .field("stop-ns", anchor.window.stop().get())
        .field("label", &anchor.label)
        .field("class-id", anchor.class_id)
        .field("score", anchor.score)
        .field("uncertainty", anchor.uncertainty)
        .build()
}

pub(super) fn from_structure(s: &gst::StructureRef) -> Result<Anchor, StructureError> {
    let window = Window::new(nanos(s, "start-ns")?, nanos(s, "stop-ns")?);
    Ok(Anchor {
        id: get(s, "id")?,
        onset: nanos(s, "onset-ns")?,
        window: window.ok_or_else(|| wrong(s, "stop-ns", "must be later than start-ns"))?,
        label: get(s, "label")?,
        class_id: get(s, "class-id")?,
        score: unit(s, "score")?,
        uncertainty: unit(s, "uncertainty")?,
    })
}
