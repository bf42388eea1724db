//! The whole recording's cues -> one plan that spends the budget exactly.

use crate::cue::Cue;
use crate::plan::{Plan, PlanError};
use crate::settings::Settings;
use crate::tier::Prices;
use crate::time::Nanos;

/// Longest recording that can be planned: a thousand hours.
pub const MAX_DURATION: Nanos = Nanos::new(3_600_000_000_000_000);

/// Hears every cue, then plans. Keeps candidates and stretches of distrust, never the cues.
#[derive(Debug)]
pub struct Planner {
    settings: Settings,
    prices: Prices,
}

impl Planner {
    /// With settings that passed [`Settings::check`].
    pub fn new(settings: Settings, prices: Prices) -> Self {
        Self { settings, prices }
    }

    /// The next cue, in the order of time.
    pub fn hear(&mut self, cue: &Cue) {
        let _ = cue;
    }

    /// The plan of a recording of this length. `config` goes into the header as it is.
    ///
    /// # Errors
    /// The policy is dense, or the budget does not even pay for the largest gap.
    pub fn finish(
        self,
        duration: Nanos,
        video_id: &str,
        config: serde_json::Value,
    ) -> Result<Plan, PlanError> {
        todo!(
            "{:?} {:?} {duration} {video_id} {config}",
            self.settings,
            self.prices
        )
    }
}
