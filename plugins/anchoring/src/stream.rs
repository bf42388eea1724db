//! Cues as they come -> plan entries within a token bucket and a bounded look-ahead.

use crate::anchor::Anchor;
use crate::cue::Cue;
use crate::plan::Entry;
use crate::settings::Settings;
use crate::tier::{Prices, Tokens};
use crate::time::Nanos;

/// What the planner settles next.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// An anchor; comes before the look that names it.
    Anchor(Anchor),
    /// A picture to take.
    Look(Entry),
}

/// Plans behind the audio. Times never go back: what was handed out stays.
#[derive(Debug)]
pub struct StreamPlanner {
    settings: Settings,
    prices: Prices,
}

impl StreamPlanner {
    /// With settings that passed [`Settings::check`]. The policy `dense` decides nothing: every picture is taken anyway.
    pub fn new(settings: Settings, prices: Prices) -> Self {
        Self { settings, prices }
    }

    /// The next cue. A hole before it counts as missing.
    pub fn hear(&mut self, cue: &Cue) {
        let _ = cue;
    }

    /// Nothing was or will be heard before `until`, beyond what was heard already: plan it by the uniform fallback.
    pub fn missing_until(&mut self, until: Nanos) {
        let _ = until;
    }

    /// No cue will come any more: what was heard is decided at once; what follows is planned once [`Self::missing_until`] or
    /// [`Self::finish`] says how far the recording goes.
    pub fn no_more_cues(&mut self) {}

    /// The recording ended at `stop`: everything before it is decided.
    pub fn finish(&mut self, stop: Nanos) {
        let _ = stop;
    }

    /// The next decision in the order of time; `None` until more is heard.
    #[expect(clippy::should_implement_trait, reason = "`None` is not the end")]
    pub fn next(&mut self) -> Option<Decision> {
        let _ = (&self.settings, self.prices);
        None
    }

    /// Once [`Self::next`] gave `None`, every entry requested before this has been handed out.
    pub fn decided_until(&self) -> Nanos {
        Nanos::ZERO
    }

    /// Tokens in the bucket at [`Self::decided_until`], rounded down.
    pub fn tokens(&self) -> Tokens {
        0
    }

    /// Tokens spent on everything handed out.
    pub fn spent(&self) -> Tokens {
        0
    }
}
