//! Helpers for pads: templates, the peer of a pad, and a buffer's time in the recording ([`stream_time`]).

use anchoring::time::Nanos;
use gst::prelude::*;

/// A template of an always pad.
#[expect(
    clippy::expect_used,
    reason = "the arguments are constants, so every test run covers this"
)]
pub(crate) fn template(
    name: &str,
    direction: gst::PadDirection,
    caps: &gst::Caps,
) -> gst::PadTemplate {
    gst::PadTemplate::new(name, direction, gst::PadPresence::Always, caps).expect("a pad template")
}

/// A class's own pad template.
#[expect(
    clippy::expect_used,
    reason = "the names are constants of the class, so every test run covers this"
)]
pub(crate) fn known(template: Option<gst::PadTemplate>) -> gst::PadTemplate {
    template.expect("a template of this name")
}

/// Adds an element's pads.
pub(crate) fn add(category: gst::DebugCategory, element: &gst::Element, pads: &[&gst::Pad]) {
    for pad in pads {
        if let Err(error) = element.add_pad(*pad) {
            gst::error!(category, obj = element, "{error}");
        }
    }
}

/// Refuses pull mode: frames come when they are chosen.
pub(crate) fn push_only(
    category: gst::DebugCategory,
    mode: gst::PadMode,
    active: bool,
) -> Result<(), gst::LoggableError> {
    if active && mode != gst::PadMode::Push {
        return Err(gst::loggable_error!(category, "works in push mode only"));
    }
    Ok(())
}

/// The peer of a pad, through ghost pads.
pub(crate) enum Linked {
    /// Nothing.
    Nothing,
    /// A pad of an element, or of a bin that acts as one, such as decodebin.
    Pad(gst::Pad),
    /// Something outside the outermost visible bin.
    Elsewhere,
}

impl Linked {
    /// The element whose pad it is.
    pub(crate) fn element(&self) -> Option<gst::Element> {
        match self {
            Self::Pad(pad) => pad.parent_element(),
            Self::Nothing | Self::Elsewhere => None,
        }
    }
}

/// Whether a bin only groups elements; links are followed into it. Any other bin (such as decodebin) counts as one element.
pub(crate) fn is_plain(bin: &gst::Bin) -> bool {
    bin.pad_template_list().is_empty()
}

/// The peer of a pad, in either direction.
pub(crate) fn linked(pad: &gst::Pad) -> Linked {
    let Some(mut peer) = pad.peer() else {
        return Linked::Nothing;
    };
    loop {
        // The inner side of a bin's ghost pad: continue outside.
        let outside = peer.parent().and_downcast::<gst::GhostPad>();
        // A bin's ghost pad: continue inside.
        let inside = peer.downcast_ref::<gst::GhostPad>().filter(|ghost| {
            let bin = ghost.parent().and_downcast::<gst::Bin>();
            bin.is_some_and(|bin| is_plain(&bin))
        });
        let next = match (outside, inside) {
            (Some(ghost), _) => match ghost.peer() {
                // An application may still link the outermost bin.
                None if ghost.parent().and_then(|bin| bin.parent()).is_none() => {
                    return Linked::Elsewhere;
                }
                next => next,
            },
            (None, Some(ghost)) => ghost.target(),
            (None, None) if peer.parent_element().is_none() => return Linked::Elsewhere,
            (None, None) => return Linked::Pad(peer),
        };
        match next {
            Some(next) => peer = next,
            None => return Linked::Nothing,
        }
    }
}

/// The elements that feed a sink pad, the nearest first, each with its content if it is a bin. Follows the first sink pad of each, and ghost
/// pads into and out of plain bins.
pub(crate) fn before(pad: &gst::Pad) -> Vec<(gst::Element, Vec<gst::Element>)> {
    let mut found: Vec<(gst::Element, Vec<gst::Element>)> = Vec::new();
    let mut next = Some(pad.clone());
    while let Some(element) = next
        .and_then(|pad| linked(&pad).element())
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

/// The buffer's time for a time in the recording; `None` outside a buffer's range.
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
