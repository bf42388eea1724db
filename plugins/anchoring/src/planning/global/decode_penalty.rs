//! The decode penalty: anchors whose frames lie deep in a GOP count for less, unless others have paid for the way there. A clip may
//! reach over several GOPs.

use std::collections::{BTreeMap, BTreeSet};

use crate::planning::decode_cost::{DecodeCost, Gop};
use crate::tier::Tokens;
use crate::time::Nanos;

/// Where decoding can start, and how deep each GOP is decoded so far.
#[derive(Debug)]
pub(super) struct DecodePenalty<'a> {
    cost: DecodeCost<'a>,
    /// Penalty per decoded frame, in tokens; not charged to the budget.
    per_frame: f64,
    frame_tokens: f64,
    /// By GOP: its depth decoded so far.
    paid: BTreeMap<Gop, u64>,
    /// By GOP: the candidates to report once it is decoded deeper than this.
    waiting: BTreeMap<Gop, BTreeSet<(u64, usize)>>,
}

impl<'a> DecodePenalty<'a> {
    /// For frames of one price; `None` if decoding carries no penalty.
    pub(super) fn new(cost: DecodeCost<'a>, per_frame: f64, frame_tokens: Tokens) -> Option<Self> {
        if per_frame <= 0.0 || cost.keyframes.is_empty() {
            return None;
        }
        Some(Self {
            cost,
            per_frame,
            frame_tokens: (frame_tokens as f64).max(1.0),
            paid: BTreeMap::new(),
            waiting: BTreeMap::new(),
        })
    }

    /// By GOP, how deep an anchor at this time needs it decoded, and how many frames of it nobody has paid for. With `optimistic`,
    /// as if half of these were decoded for others.
    fn missing(
        &self,
        at: Nanos,
        optimistic: bool,
    ) -> impl Iterator<Item = (Gop, u64, u64)> + use<'a, '_> {
        let reach = self.cost.reach(at, self.cost.takes.anchor);
        reach.map(move |(gop, depth)| {
            let paid = self.paid.get(&gop).copied().unwrap_or(0);
            let missing = depth.saturating_sub(paid);
            (gop, depth, if optimistic { missing / 2 } else { missing })
        })
    }

    /// The share of its value that an anchor at this time keeps: its tokens, divided by its tokens plus its penalty. In (0, 1].
    pub(super) fn share(&self, at: Nanos, optimistic: bool) -> f64 {
        let missing: u64 = self
            .missing(at, optimistic)
            .map(|(.., missing)| missing)
            .sum();
        self.frame_tokens / (self.frame_tokens + self.per_frame * missing as f64)
    }

    /// [`Self::take`] reports `index` once the share at this time no longer holds.
    pub(super) fn watch(&mut self, index: usize, at: Nanos, optimistic: bool) {
        // It can't grow until one of its GOPs is decoded deeper than this.
        let until: Vec<_> = self
            .missing(at, optimistic)
            .filter(|(.., missing)| *missing > 0)
            .map(|(gop, depth, missing)| (gop, depth - missing))
            .collect();
        for (gop, depth) in until {
            self.waiting.entry(gop).or_default().insert((depth, index));
        }
    }

    /// An anchor at this time is taken. Returns the candidates whose shares may have grown.
    pub(super) fn take(&mut self, at: Nanos) -> Vec<usize> {
        let mut grown = Vec::new();
        for (gop, depth) in self.cost.reach(at, self.cost.takes.anchor) {
            let paid = self.paid.entry(gop).or_insert(0);
            *paid = depth.max(*paid);
            let Some(waiting) = self.waiting.get_mut(&gop) else {
                continue;
            };
            let rest = waiting.split_off(&(*paid, 0));
            let over = std::mem::replace(waiting, rest);
            grown.extend(over.into_iter().map(|(_, index)| index));
        }
        grown
    }
}
