//! What decoding counts for where anchors are weighed: a picture deep in a group of pictures (GOP) costs all before it, unless another look has paid for them.

use std::collections::{BTreeMap, BTreeSet};

use crate::planning::decode_cost::Pictures;
use crate::tier::Tokens;
use crate::time::Nanos;

/// The keyframe at which a group of pictures begins, by its place in the list.
type Group = Option<usize>;

/// What a look's pictures count for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    /// Which part of its worth the look has left: its tokens, of those and what its pictures count for. In (0, 1].
    pub(super) of: f64,
    /// The share is no larger as long as the group is not decoded deeper than this; `None` if it never grows.
    pub(super) until: Option<(Group, u64)>,
}

/// Where the recording's pictures can be decoded from, and what is paid for so far.
#[derive(Debug)]
pub(super) struct Decoding<'a> {
    pictures: Pictures<'a>,
    /// Tokens that a decoded picture counts for, beside those of a look; none of them are spent.
    per_picture: f64,
    look: f64,
    /// By group: how deep it is decoded.
    paid: BTreeMap<Group, u64>,
    /// By group: who asked to be told once it is decoded deeper than so deep.
    waiting: BTreeMap<Group, BTreeSet<(u64, usize)>>,
}

impl<'a> Decoding<'a> {
    /// Weighs looks of one price; `None` where decoding counts for nothing.
    pub(super) fn new(pictures: Pictures<'a>, per_picture: f64, look: Tokens) -> Option<Self> {
        if per_picture <= 0.0 || pictures.keyframes.is_empty() {
            return None;
        }
        Some(Self {
            pictures,
            per_picture,
            look: (look as f64).max(1.0),
            paid: BTreeMap::new(),
            waiting: BTreeMap::new(),
        })
    }

    /// The share that a look at this time has now; with `room`, the one that it will have when half of what it lacks has been decoded for others.
    pub(super) fn share(&self, at: Nanos, room: bool) -> Share {
        let group = self.pictures.group(at);
        let depth = self.pictures.depth(group, at);
        let paid = self.paid.get(&group).copied().unwrap_or(0);
        let further = depth.saturating_sub(paid);
        let further = if room { further / 2 } else { further };
        Share {
            of: self.look / (self.look + self.per_picture * further as f64),
            until: (further > 0).then_some((group, depth - further)),
        }
    }

    /// `who` is told by [`Self::take`] when this share no longer holds.
    pub(super) fn tell(&mut self, who: usize, share: Share) {
        if let Some((group, depth)) = share.until {
            self.waiting.entry(group).or_default().insert((depth, who));
        }
    }

    /// A look at this time is taken: whose shares may have grown.
    pub(super) fn take(&mut self, at: Nanos) -> Vec<usize> {
        let group = self.pictures.group(at);
        let depth = self.pictures.depth(group, at);
        let paid = self.paid.entry(group).or_insert(0);
        *paid = depth.max(*paid);
        let Some(waiting) = self.waiting.get_mut(&group) else {
            return Vec::new();
        };
        let rest = waiting.split_off(&(*paid, 0));
        std::mem::replace(waiting, rest)
            .into_iter()
            .map(|(_, who)| who)
            .collect()
    }
}
