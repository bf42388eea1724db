//! Frames in, full batches out; embeddings in, rows out in the order of the frames.
//!
//! Frames of one batch share a tier, so batches of different tiers complete out of order. When too many rows wait for an incomplete batch,
//! every batch goes as it is.

use std::collections::VecDeque;

use anchoring::tier::Tier;

/// The position of a frame among all frames.
pub(super) type Ticket = u64;

/// Frames of one tier that go through the encoder together.
#[derive(Debug)]
pub(super) struct Batch<P> {
    /// Their tier.
    pub(super) tier: Tier,
    /// The frames in the order of arrival.
    pub(super) frames: Vec<(Ticket, P)>,
}

/// Collects frames into batches, one per tier.
#[derive(Debug)]
pub(super) struct Batches<P> {
    sizes: [usize; 3],
    open: [Vec<(Ticket, P)>; 3],
}

impl<P> Batches<P> {
    /// `sizes`: frames per batch of low, base and high, each at least 1.
    pub(super) fn new(sizes: [usize; 3]) -> Self {
        Self {
            sizes: sizes.map(|size| size.max(1)),
            open: Default::default(),
        }
    }

    /// Takes a frame; gives the tier's batch if it is full now.
    pub(super) fn push(&mut self, tier: Tier, ticket: Ticket, frame: P) -> Option<Batch<P>> {
        let open = &mut self.open[tier as usize];
        open.push((ticket, frame));
        (open.len() >= self.sizes[tier as usize]).then(|| Batch {
            tier,
            frames: std::mem::take(open),
        })
    }

    /// Makes batches of a tier smaller.
    pub(super) fn at_most(&mut self, tier: Tier, frames: usize) {
        let size = &mut self.sizes[tier as usize];
        *size = (*size).min(frames).max(1);
    }

    /// Gives an incomplete batch, cheapest tier first; `None` once all are empty.
    pub(super) fn drain(&mut self) -> Option<Batch<P>> {
        Tier::ALL.into_iter().find_map(|tier| {
            let open = &mut self.open[tier as usize];
            (!open.is_empty()).then(|| Batch {
                tier,
                frames: std::mem::take(open),
            })
        })
    }
}

/// Puts rows into the order of their tickets.
#[derive(Debug)]
pub(super) struct RowOrder<R> {
    first: Ticket,
    slots: VecDeque<Option<R>>,
}

impl<R> Default for RowOrder<R> {
    fn default() -> Self {
        Self {
            first: 0,
            slots: VecDeque::new(),
        }
    }
}

impl<R> RowOrder<R> {
    /// Reserves the next position.
    pub(super) fn reserve(&mut self) -> Ticket {
        self.slots.push_back(None);
        self.first + self.slots.len() as Ticket - 1
    }

    /// Fills a reserved position; ignores one that was never reserved or is long gone.
    pub(super) fn fill(&mut self, ticket: Ticket, row: R) {
        if let Some(slot) = ticket
            .checked_sub(self.first)
            .and_then(|at| self.slots.get_mut(at as usize))
        {
            *slot = Some(row);
        }
    }

    /// The earliest row, if it is ready.
    pub(super) fn pop(&mut self) -> Option<R> {
        let ready = self.slots.front_mut()?.take()?;
        self.slots.pop_front();
        self.first += 1;
        Some(ready)
    }

    /// The earliest row that is ready, skipping those that are not.
    pub(super) fn pop_ready(&mut self) -> Option<R> {
        while let Some(slot) = self.slots.pop_front() {
            self.first += 1;
            if slot.is_some() {
                return slot;
            }
        }
        None
    }

    /// Positions that are reserved and not given out yet.
    pub(super) fn waiting(&self) -> usize {
        self.slots.len()
    }
}

/// Frames per batch by tier: `batch` of the low tier; of the others as many as have no more pixels, at least one. So memory does not depend
/// on the plan's tiers, and larger batches are no faster on a CPU. `px`: sides of low, base and high.
pub(super) fn batch_sizes(batch: usize, px: [usize; 3]) -> [usize; 3] {
    let batch = batch.max(1);
    let pixels = batch * px[0] * px[0];
    px.map(|side| (pixels / (side * side).max(1)).clamp(1, batch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_in_the_order_of_their_tickets() {
        let mut rows = RowOrder::default();
        let tickets: Vec<Ticket> = (0..5).map(|_| rows.reserve()).collect();
        for k in [3, 1, 0] {
            rows.fill(tickets[k], k);
        }
        assert_eq!(
            [rows.pop(), rows.pop(), rows.pop()],
            [Some(0), Some(1), None]
        );
        rows.fill(tickets[2], 2);
        rows.fill(99, 99);
        assert_eq!(
            [rows.pop(), rows.pop(), rows.pop()],
            [Some(2), Some(3), None]
        );
        assert_eq!(rows.waiting(), 1);
        rows.fill(tickets[4], 4);
        assert_eq!(rows.pop(), Some(4));
        assert_eq!(rows.reserve(), 5);
        let ready = rows.reserve();
        rows.fill(ready, 6);
        assert_eq!(rows.pop(), None);
        assert_eq!([rows.pop_ready(), rows.pop_ready()], [Some(6), None]);
        assert_eq!(rows.reserve(), 7);
    }

    #[test]
    fn a_batch_goes_when_it_is_full_and_holds_one_tier() {
        let mut batches = Batches::new([2, 2, 1]);
        assert!(batches.push(Tier::Low, 0, 'a').is_none());
        assert!(batches.push(Tier::Base, 1, 'b').is_none());
        let full = batches.push(Tier::High, 2, 'c').unwrap();
        assert_eq!((full.tier, full.frames), (Tier::High, vec![(2, 'c')]));
        let full = batches.push(Tier::Low, 3, 'd').unwrap();
        assert_eq!(full.frames, [(0, 'a'), (3, 'd')]);
        assert_eq!(batches.drain().unwrap().frames, [(1, 'b')]);
        assert!(batches.drain().is_none());
        batches.at_most(Tier::Low, 0);
        assert_eq!(batches.push(Tier::Low, 4, 'e').unwrap().frames, [(4, 'e')]);
    }

    #[test]
    fn a_batch_has_the_same_pixels_in_every_tier() {
        assert_eq!(batch_sizes(16, [112, 224, 448]), [16, 4, 1]);
        assert_eq!(batch_sizes(1, [112, 224, 448]), [1, 1, 1]);
        assert_eq!(batch_sizes(8, [224, 224, 224]), [8, 8, 8]);
    }
}
