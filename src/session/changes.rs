//! How much the video changes, from the sizes of its access units: for plans that are spread over change.

use anchoring::cue::{Cue, HOP};
use anchoring::plan::MAX_DURATION;
use anchoring::planning::change::{Change, ChangeMeter, FrameKind, UnusableSizes};
use anchoring::time::Nanos;
use gstearmark::anchorgate::UnitKinds;

use super::cue_file::CueReader;

/// Most hops: a hundred hours.
const MOST: usize = (MAX_DURATION.get() / HOP.get()) as usize;

/// Measures change in the first pass.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) kinds: UnitKinds,
    meter: ChangeMeter,
    known: Vec<Change>,
}

impl Changes {
    /// Takes the next access unit in decoding order, once its time is known.
    pub(super) fn unit(&mut self, at: Nanos, kind: FrameKind, bytes: usize) {
        self.meter.push(at, kind, bytes);
        self.drain();
    }

    fn drain(&mut self) {
        let known = std::iter::from_fn(|| self.meter.next());
        let room = MOST.saturating_sub(self.known.len());
        self.known.extend(known.take(room));
    }

    /// Change for every hop with a frame, in order; and why frame sizes don't show it, if they don't.
    pub(super) fn finish(mut self) -> (Vec<Change>, Option<UnusableSizes>) {
        self.meter.finish();
        self.drain();
        (self.known, self.meter.unusable())
    }
}

/// The cues of the first pass with the change in their hops. Without cues, every hop with a frame becomes a silent cue.
pub(super) struct ChangedCues {
    pub(super) cues: CueReader,
    /// Whether there is any cue.
    pub(super) heard: bool,
    pub(super) changes: Vec<Change>,
    pub(super) next: usize,
}

impl Iterator for ChangedCues {
    type Item = Cue;

    fn next(&mut self) -> Option<Cue> {
        if !self.heard {
            let change = self.changes.get(self.next)?;
            self.next += 1;
            return Some(Cue {
                pts: change.at,
                uncertainty: 1.0,
                change: Some(change.change),
                ..Cue::default()
            });
        }
        let mut cue = self.cues.next()?;
        let middle = cue.pts + HOP.scaled(0.5);
        while self
            .changes
            .get(self.next)
            .is_some_and(|one| one.at + HOP <= middle)
        {
            self.next += 1;
        }
        let here = self.changes.get(self.next).filter(|one| one.at <= middle);
        cue.change = here.map(|one| one.change);
        Some(cue)
    }
}
