//! Deduplication: plan entries that the same frame would serve become one.
//!
//! This happens where entries are denser than frames, and where frames are missing for a while.

use crate::plan::{Entry, Plan};
use crate::time::Nanos;

impl Plan {
    /// Keeps one of the entries that share their nearest frame: an anchor's before others, then the one with more
    /// tokens, then the first. An anchor that loses its entry is dropped. `frames` are the times of all frames,
    /// ascending; of two equally near frames the earlier serves. Returns the number of entries dropped.
    pub fn deduplicate(&mut self, frames: impl IntoIterator<Item = Nanos>) -> usize {
        let mut frames = frames.into_iter().peekable();
        let mut before = None;
        let mut kept: Vec<(Nanos, Entry)> = Vec::with_capacity(self.entries.len());
        for &entry in &self.entries {
            let at = entry.planned;
            while let Some(frame) = frames.next_if(|frame| *frame < at) {
                before = Some(frame);
            }
            let nearest = match (before, frames.peek().copied()) {
                (Some(a), Some(b)) if a.distance(at) <= b.distance(at) => a,
                (_, Some(b)) => b,
                (Some(a), None) => a,
                (None, None) => return 0,
            };
            match kept.last_mut() {
                Some((same, other)) if *same == nearest => {
                    if priority(&entry) > priority(other) {
                        *other = entry;
                    }
                }
                _ => kept.push((nearest, entry)),
            }
        }
        let gone = self.entries.len() - kept.len();
        if gone == 0 {
            return 0;
        }
        self.entries = kept.into_iter().map(|(_, entry)| entry).collect();
        self.settle();
        gone
    }

    /// After entries have gone: drops anchors that no entry names, and adds up what is spent.
    pub(super) fn settle(&mut self) {
        let mut kept_anchors = vec![false; self.anchors.len()];
        for id in self.entries.iter().filter_map(|entry| entry.anchor) {
            if let Some(kept_anchors) = kept_anchors.get_mut(id as usize) {
                *kept_anchors = true;
            }
        }
        self.anchors.retain(|anchor| {
            kept_anchors
                .get(anchor.id as usize)
                .copied()
                .unwrap_or(true)
        });
        let mut ids = vec![None; kept_anchors.len()];
        for (id, anchor) in (0..).zip(&mut self.anchors) {
            if let Some(place) = ids.get_mut(anchor.id as usize) {
                *place = Some(id);
            }
            anchor.id = id;
        }
        for entry in &mut self.entries {
            let id = entry.anchor.and_then(|id| ids.get(id as usize).copied());
            entry.anchor = id.flatten().or(entry.anchor);
        }
        self.header.spent_tokens = self.entries.iter().map(|entry| entry.tokens).sum();
    }
}

fn priority(entry: &Entry) -> (bool, crate::tier::Tokens) {
    (entry.anchor.is_some(), entry.tokens)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::cue::testing::heard;
    use crate::planning::global::GlobalPlanner;
    use crate::settings::Settings;
    use crate::tier::Prices;

    fn plan(tokens_per_s: f64, onsets: &[(i64, f32)]) -> Plan {
        let mut settings = Settings::default();
        settings.budget.tokens_per_s = tokens_per_s;
        let mut planner = GlobalPlanner::new(settings, Prices::default());
        for cue in heard(Nanos::from_ms(20_000), onsets) {
            planner.push_cue(&cue);
        }
        planner
            .finish(Nanos::from_ms(20_000), "P01_01", json!({}))
            .unwrap()
    }

    /// The frame that serves a time, found by brute force.
    fn serves(frames: &[Nanos], at: Nanos) -> Nanos {
        *frames.iter().min_by_key(|p| (p.distance(at), **p)).unwrap()
    }

    proptest! {
        #[test]
        fn no_frame_is_paid_for_twice_and_none_is_lost(
            tokens_per_s in 60f64..4_000.0, onsets in prop::collection::btree_map(0i64..20_000, 0.1f32..1.0, 0..12),
            frames in prop::collection::btree_set(0i64..20_000, 1..60),
        ) {
            let onsets: Vec<_> = onsets.into_iter().collect();
            let frames: Vec<_> = frames.into_iter().map(Nanos::from_ms).collect();
            let before = plan(tokens_per_s, &onsets);
            let mut after = before.clone();
            let gone = after.deduplicate(frames.iter().copied());
            prop_assert_eq!(before.entries.len() - after.entries.len(), gone);
            let served = |plan: &Plan| plan.entries.iter().map(|e| serves(&frames, e.planned)).collect::<Vec<_>>();
            let mut all = served(&before);
            all.dedup();
            prop_assert_eq!(served(&after), all);
            // What is left is a valid plan, and every anchor has its entry.
            let text = after.to_text();
            let read = Plan::read(text.lines(), Some(Prices::default()));
            prop_assert_eq!(read.as_ref(), Ok(&after));
            for entry in &after.entries {
                let anchor = entry.anchor.map(|id| &after.anchors[id as usize]);
                prop_assert!(anchor.is_none_or(|anchor| anchor.window.contains(entry.planned)));
            }
            let anchored = after.entries.iter().filter(|entry| entry.anchor.is_some());
            prop_assert_eq!(anchored.count(), after.anchors.len());
        }
    }

    #[test]
    fn an_anchor_keeps_its_frame_and_a_recording_without_frames_all() {
        let whole = plan(196.0, &[(5_000, 0.9), (5_600, 0.9)]);
        let mut none = whole.clone();
        assert_eq!(none.deduplicate([]), 0);
        assert_eq!(none, whole);
        let mut one = whole.clone();
        one.deduplicate([Nanos::ZERO]);
        assert_eq!((one.entries.len(), one.anchors.len()), (1, 1));
        assert_eq!(one.entries[0].anchor, Some(0));
        assert_eq!(one.header.spent_tokens, 784);
    }
}
