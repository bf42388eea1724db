//! Keeps QoS events from the decoder: they make it skip frames, chosen ones among them, and its property `qos` does not prevent that.

use gst::glib;
use gst::prelude::*;

use crate::pads;

/// Source pads of decoders, upstream of which no QoS event goes.
#[derive(Default)]
pub(super) struct DecoderQos {
    blocked: Vec<(glib::WeakRef<gst::Pad>, gst::PadProbeId)>,
}

impl DecoderQos {
    /// Blocks QoS events at every decoder that feeds `sink`: a branch beside, behind a tee, may send them. Does nothing the second time.
    pub(super) fn block(&mut self, sink: &gst::Pad) {
        let before = pads::before(sink);
        let inside = before.iter().flat_map(|(_, inside)| inside);
        let decoders = inside.filter(|element| element.is::<gst_video::VideoDecoder>());
        self.blocked.retain(|(known, _)| known.upgrade().is_some());
        for pad in decoders.filter_map(|decoder| decoder.static_pad("src")) {
            let is_known =
                |(known, _): &(glib::WeakRef<gst::Pad>, _)| known.upgrade().as_ref() == Some(&pad);
            if self.blocked.iter().any(is_known) {
                continue;
            }
            let probe = pad.add_probe(gst::PadProbeType::EVENT_UPSTREAM, |_, info| {
                match info.event().map(|event| event.type_()) {
                    Some(gst::EventType::Qos) => gst::PadProbeReturn::Handled,
                    _ => gst::PadProbeReturn::Ok,
                }
            });
            self.blocked
                .extend(probe.map(|probe| (pad.downgrade(), probe)));
        }
    }

    /// Lets QoS events through again.
    pub(super) fn release(&mut self) {
        for (pad, probe) in self.blocked.drain(..) {
            if let Some(pad) = pad.upgrade() {
                pad.remove_probe(probe);
            }
        }
    }
}
