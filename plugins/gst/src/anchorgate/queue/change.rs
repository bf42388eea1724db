//! How much the video changes, for a plan that is spread over change: units in, change for the planner and the cues out.

use std::collections::VecDeque;

use anchoring::cue::{Cue, HOP};
use anchoring::planning::change::{Change, ChangeMeter, FrameKind};
use anchoring::settings::{Policy, Spread};
use anchoring::time::Nanos;

use super::super::warning::Warning;
use super::{EntrySource, GateQueue, Message, Setup};

/// Most cues that wait for the change in their hop: a minute. The first then goes on without it.
const WAITING: usize = 750;

/// Most hops that are remembered for cues to come: five minutes and a half.
const REMEMBERED: usize = 4_096;

/// The meter, and the cues that wait for it.
#[derive(Debug, Default)]
pub(super) struct ChangeState {
    meter: ChangeMeter,
    known: VecDeque<Change>,
    cues: VecDeque<Cue>,
}

impl ChangeState {
    /// `None` unless frames are spread over change.
    pub(super) fn new(setup: &Setup, entries: &EntrySource) -> Option<Self> {
        let budget = &setup.settings.budget;
        let wanted = budget.spread == Spread::Change && budget.policy == Policy::Gated;
        (wanted && matches!(entries, EntrySource::Stream { .. })).then(Self::default)
    }

    /// The change in a cue's hop.
    fn of(&self, cue: &Cue) -> Option<f32> {
        let middle = cue.pts + HOP.scaled(0.5);
        let next = self.known.partition_point(|one| one.at <= middle);
        let found = self.known.get(next.checked_sub(1)?)?;
        (middle - found.at < HOP).then_some(found.change)
    }
}

impl GateQueue {
    /// Takes a unit that will be shown.
    pub(super) fn measure_change(&mut self, at: Nanos, kind: FrameKind, bytes: usize) {
        if let Some(state) = &mut self.change {
            state.meter.push(at, kind, bytes);
            self.pass_on_change();
        }
    }

    /// No more units come.
    pub(super) fn end_change(&mut self) {
        let Some(state) = &mut self.change else {
            return;
        };
        state.meter.finish();
        let unusable = state.meter.unusable();
        self.pass_on_change();
        for cue in self
            .change
            .iter_mut()
            .flat_map(|state| state.cues.split_off(0))
            .collect::<Vec<_>>()
        {
            self.send_changed(cue);
        }
        if let Some(unusable) = unusable {
            self.warn(Warning::NoChange(unusable));
        }
    }

    fn pass_on_change(&mut self) {
        while let Some(one) = self.change.as_mut().and_then(|state| state.meter.next()) {
            self.entries.change(one);
            if let Some(state) = &mut self.change {
                if state.known.len() == REMEMBERED {
                    state.known.pop_front();
                }
                state.known.push_back(one);
            }
        }
        self.send_cues();
    }

    /// Sends a cue once the change in its hop is known.
    pub(super) fn send_cue(&mut self, cue: Cue) {
        match &mut self.change {
            None => self.send(Message::Cue(cue)),
            Some(state) => {
                state.cues.push_back(cue);
                self.send_cues();
            }
        }
    }

    fn send_cues(&mut self) {
        let ready = |state: &mut ChangeState| {
            let known = state
                .known
                .back()
                .map_or(Nanos::new(i64::MIN), |one| one.at);
            let full = state.cues.len() > WAITING;
            let known = state.cues.front().is_some_and(|cue| cue.pts + HOP <= known);
            (known || full).then(|| state.cues.pop_front()).flatten()
        };
        while let Some(cue) = self.change.as_mut().and_then(ready) {
            self.send_changed(cue);
        }
    }

    fn send_changed(&mut self, mut cue: Cue) {
        cue.change = self.change.as_ref().and_then(|state| state.of(&cue));
        self.send(Message::Cue(cue));
    }
}
