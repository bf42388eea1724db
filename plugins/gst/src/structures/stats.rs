//! What an element did, for the bus.

use gst::glib;

/// What an element did, posted on the bus at the end of the stream: `stage` and numbers, e.g. `busy-ns`.
pub fn stats_message(
    element: &impl glib::object::IsA<gst::Object>,
    stage: &str,
    numbers: &[(&str, u64)],
) -> gst::Message {
    let mut s = gst::Structure::builder("earmark-stats")
        .field("stage", stage)
        .build();
    for (name, number) in numbers {
        s.set(*name, number);
    }
    gst::message::Element::builder(s).src(element).build()
}
