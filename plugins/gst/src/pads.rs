//! What the pads of every element here need: templates, and the recording's time of what passes them ([`stream_time`]).

use anchoring::time::Nanos;
use gst::prelude::*;

/// A template for a pad that is always there.
#[expect(
    clippy::expect_used,
    reason = "the arguments are constants: every run takes the same way"
)]
pub(crate) fn template(
    name: &str,
    direction: gst::PadDirection,
    caps: &gst::Caps,
) -> gst::PadTemplate {
    gst::PadTemplate::new(name, direction, gst::PadPresence::Always, caps).expect("a pad template")
}

/// The template that a class has under a name of its own.
#[expect(
    clippy::expect_used,
    reason = "the names are constants of the class: every run takes the same way"
)]
pub(crate) fn known(template: Option<gst::PadTemplate>) -> gst::PadTemplate {
    template.expect("a template of this name")
}

/// The elements from which data comes to a sink pad, the nearest first, each with what is inside it if it is a bin. Follows the first
/// sink pad of each.
pub(crate) fn before(pad: &gst::Pad) -> Vec<(gst::Element, Vec<gst::Element>)> {
    let mut found: Vec<(gst::Element, Vec<gst::Element>)> = Vec::new();
    let mut next = Some(pad.clone());
    while let Some(element) = next
        .and_then(|pad| pad.peer())
        .and_then(|peer| peer.parent_element())
        .filter(|element| found.iter().all(|(known, _)| known != element))
    {
        next = element.sink_pads().into_iter().next();
        let mut inside = vec![element.clone()];
        if let Some(bin) = element.downcast_ref::<gst::Bin>() {
            inside.extend(bin.iterate_recurse().into_iter().flatten());
        }
        found.push((element, inside));
    }
    found
}

/// A buffer's time in the recording (stream time); also before or after the segment. `None` for times that a [`Nanos`] cannot hold.
pub fn stream_time(
    segment: &gst::FormattedSegment<gst::ClockTime>,
    pts: gst::ClockTime,
) -> Option<Nanos> {
    segment.to_stream_time_full(pts).and_then(signed)
}

/// The other way round; `None` outside what a buffer can say.
pub(crate) fn buffer_time(
    segment: &gst::FormattedSegment<gst::ClockTime>,
    at: Nanos,
) -> Option<gst::ClockTime> {
    let at = gst::ClockTime::from_nseconds(u64::try_from(at.get()).ok()?);
    segment.position_from_stream_time(at)
}

fn signed(time: gst::Signed<gst::ClockTime>) -> Option<Nanos> {
    let ns = i64::try_from(time.abs().nseconds()).ok()?;
    Some(Nanos::new(if time.is_negative() { -ns } else { ns }))
}
