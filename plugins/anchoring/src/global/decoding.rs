//! What decoding counts for where anchors are weighed: a picture deep in a group of pictures (GOP) costs all before it, unless another look has paid for them.

use std::collections::BTreeMap;

use crate::snap::Pictures;
use crate::tier::Tokens;
use crate::time::Nanos;

/// Where the recording's pictures can be decoded from, and what is paid for so far.
#[derive(Debug)]
pub(super) struct Decoding<'a> {
    pictures: Pictures<'a>,
    /// Tokens that a decoded picture counts for, beside those of a look; none of them are spent.
    per_picture: f64,
    look: f64,
    /// By group: how deep it is decoded.
    paid: BTreeMap<Option<usize>, u64>,
    /// By group: whose looks lie there.
    inside: BTreeMap<Option<usize>, Vec<usize>>,
}

impl<'a> Decoding<'a> {
    /// Weighs looks of one price at these times; `None` where decoding counts for nothing.
    pub(super) fn new(
        pictures: Pictures<'a>,
        per_picture: f64,
        look: Tokens,
        looks: &[Nanos],
    ) -> Option<Self> {
        if per_picture <= 0.0 || pictures.keyframes.is_empty() {
            return None;
        }
        let mut inside: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (i, &at) in looks.iter().enumerate() {
            inside.entry(pictures.group(at)).or_default().push(i);
        }
        Some(Self {
            pictures,
            per_picture,
            look: (look as f64).max(1.0),
            paid: BTreeMap::new(),
            inside,
        })
    }

    /// Which part of its worth a look at this time has left: its tokens, of those and what its pictures count for. In (0, 1].
    pub(super) fn share(&self, at: Nanos) -> f64 {
        let group = self.pictures.group(at);
        let paid = self.paid.get(&group).copied().unwrap_or(0);
        let further = self.pictures.depth(group, at).saturating_sub(paid);
        self.look / (self.look + self.per_picture * further as f64)
    }

    /// A look at this time is taken; whose looks cost less from now on.
    pub(super) fn take(&mut self, at: Nanos) -> &[usize] {
        let group = self.pictures.group(at);
        let depth = self.pictures.depth(group, at);
        let paid = self.paid.entry(group).or_insert(0);
        *paid = depth.max(*paid);
        self.inside.get(&group).map_or(&[], Vec::as_slice)
    }
}
