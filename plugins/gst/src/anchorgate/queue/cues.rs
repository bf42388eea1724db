//! Cues, and what happens where there are none.

use anchoring::cue::{Cue, HOP};
use anchoring::time::Nanos;

use super::super::warning::Warning;
use super::{CueState, EntrySource, GateError, GateQueue};
use crate::structures::{self, StructureError};

impl GateQueue {
    /// Takes a cue.
    pub(in super::super) fn cue(&mut self, payload: &[u8]) -> Result<(), GateError> {
        let cue = structures::cue_from_text(payload)?;
        self.cue_state = CueState::Arriving;
        // Where sound restarts, a hop may begin before the last one ends, but not before it begins.
        if self.last_cue.is_some_and(|last| cue.pts <= last) {
            self.warn(Warning::StepsBack);
            return self.progress();
        }
        self.last_cue = Some(cue.pts);
        self.entries.push_cue(&cue);
        self.cue_stop = self.cue_stop.max(cue.pts + HOP);
        let planned = matches!(&self.entries, EntrySource::Plan(file) if file.has_cues());
        if !planned {
            self.keep_cue(cue);
        }
        self.progress()
    }

    /// Takes a cue before it is final, to plan sooner. What it lacks matters to nothing but frames during speech.
    pub(in super::super) fn early_cue(
        &mut self,
        cue: Result<Cue, StructureError>,
    ) -> Result<(), GateError> {
        let cue = cue?;
        let is_new = self.last_cue.is_none_or(|last| cue.pts > last);
        if !is_new || !self.setup.settings.budget.pictures_during_speech {
            return Ok(());
        }
        self.entries.push_cue(&cue);
        self.progress()
    }

    pub(super) fn keep_cue(&mut self, cue: Cue) {
        self.counts.cues += 1;
        self.send_cue(cue);
    }

    /// There is no sound before `until`.
    pub(in super::super) fn no_sound_until(&mut self, until: Nanos) -> Result<(), GateError> {
        if matches!(self.cue_state, CueState::Waiting | CueState::Late) {
            self.cue_state = CueState::Arriving;
        }
        self.entries.missing_until(until);
        self.note_early_end(until);
        self.progress()
    }

    /// The audio has ended.
    pub(in super::super) fn cues_ended(&mut self) -> Result<(), GateError> {
        self.cue_state = CueState::Ended;
        self.entries.no_more_cues();
        if self.counts.cues == 0 && self.cue_stop == Nanos::ZERO {
            self.warn(Warning::NoneCame);
        }
        self.progress()
    }

    /// Expects no more cues; one that comes all the same counts.
    pub(in super::super) fn expect_no_cues(&mut self, warning: Warning) -> Result<(), GateError> {
        self.cue_state = CueState::Absent;
        self.warn(warning);
        self.progress()
    }

    /// The cues are late: plans the oldest held video without them and passes it.
    pub(in super::super) fn continue_without_cues(&mut self) -> Result<(), GateError> {
        self.cue_state = CueState::Late;
        self.warn(Warning::Late);
        if let Some(until) = self.gops.oldest_until() {
            self.entries.missing_until(until);
            self.entries.no_change_until(until);
        }
        self.progress()?;
        if self.is_over_limit() {
            let verdicts = self.gops.overflow();
            self.carry_out(verdicts);
        }
        Ok(())
    }

    /// Warns if the recording has gone on to `until` long enough after its last cue.
    pub(super) fn note_early_end(&mut self, until: Nanos) {
        // Frames come at least every largest gap, so a shorter end makes no difference.
        let tail = Nanos::from_ms(i64::from(self.setup.settings.budget.max_gap_ms).max(2000));
        if self.counts.cues > 0 && until - self.cue_stop > tail {
            self.warn(Warning::EndedEarly);
        }
    }
}
