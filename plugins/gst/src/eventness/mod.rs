//! Sound -> cues: a timed stream of what is heard, one cue for every 80 ms.

mod imp;

use gst::glib;
use gst::prelude::*;

glib::wrapper! {
    /// `eventness`: listens to mono 16 kHz sound and says when something begins, how sure that is, and what it may be.
    pub struct Eventness(ObjectSubclass<imp::Eventness>) @extends gst::Element, gst::Object;
}

/// What finds the onsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "EarmarkProbe")]
pub enum Probe {
    /// Spectral flux against the loudest of the last second, per mel band.
    #[default]
    #[enum_value(name = "Spectral flux against a one-second reference", nick = "flux")]
    Flux,
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "eventness",
        gst::Rank::NONE,
        Eventness::static_type(),
    )
}
