//! The decode penalty: anchors deep in a GOP count for less, unless another frame has paid for the way there.

use std::collections::{BTreeMap, BTreeSet};

use crate::planning::decode_cost::DecodeCost;
use crate::tier::Tokens;
use crate::time::Nanos;

/// Index of the GOP's keyframe.
type Gop = Option<usize>;

/// What is left of a frame's value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    /// The share of its value that a frame keeps: its tokens, divided by its tokens plus its penalty. In (0, 1].
    pub(super) of: f64,
    /// The share can't grow until the GOP is decoded deeper than this; `None` if it can't grow at all.
    pub(super) until: Option<(Gop, u64)>,
}

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

    /// The share of a frame at this time. With `optimistic`, the share that it will have once half of the missing
    /// frames are decoded for others.
    pub(super) fn share(&self, at: Nanos, optimistic: bool) -> Share {
        let gop = self.cost.gop_of(at);
        let depth = self.cost.depth(gop, at);
        let paid = self.paid.get(&gop).copied().unwrap_or(0);
        let missing = depth.saturating_sub(paid);
        let missing = if optimistic { missing / 2 } else { missing };
        Share {
            of: self.frame_tokens / (self.frame_tokens + self.per_frame * missing as f64),
            until: (missing > 0).then_some((gop, depth - missing)),
        }
    }

    /// [`Self::take`] reports `index` once this share no longer holds.
    pub(super) fn watch(&mut self, index: usize, share: Share) {
        if let Some((gop, depth)) = share.until {
            self.waiting.entry(gop).or_default().insert((depth, index));
        }
    }

    /// A frame at this time is taken. Returns the candidates whose shares may have grown.
    pub(super) fn take(&mut self, at: Nanos) -> Vec<usize> {
        let gop = self.cost.gop_of(at);
        let depth = self.cost.depth(gop, at);
        let paid = self.paid.entry(gop).or_insert(0);
        *paid = depth.max(*paid);
        let Some(waiting) = self.waiting.get_mut(&gop) else {
            return Vec::new();
        };
        let rest = waiting.split_off(&(*paid, 0));
        std::mem::replace(waiting, rest)
            .into_iter()
            .map(|(_, index)| index)
            .collect()
    }
}
