//! Converts an element's statistics to a message on the bus.

use gst::glib;

/// The statistics that an element posts at the end of the stream: its `stage` and numbers such as `busy-ns`.
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
