//! The pictures of a plan while it is made, and what they cost with the thin looks that the largest gap needs between them.

use std::collections::BTreeSet;

use crate::planning::uniform::{CLOSEST, needed};
use crate::tier::Tokens;
use crate::time::Nanos;

/// Pictures by time. What they cost never exceeds the budget.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) duration: Nanos,
    budget: Tokens,
    /// With the thin looks, if there are any.
    spent: Tokens,
    /// Price of a thin look and the largest gap that they keep; `None` without them.
    thin: Option<(Tokens, Nanos)>,
    pictures: BTreeSet<Nanos>,
}

impl Board {
    /// Without a picture: what is spent is the thin looks' price, which the budget has.
    pub(super) fn new(
        duration: Nanos,
        budget: Tokens,
        thin: Option<(Tokens, Nanos)>,
        spent: Tokens,
    ) -> Self {
        Self {
            duration,
            budget,
            spent,
            thin,
            pictures: BTreeSet::new(),
        }
    }

    pub(super) fn left(&self) -> Tokens {
        self.budget.saturating_sub(self.spent)
    }

    /// The pictures around an instant, or the ends.
    pub(super) fn around(&self, at: Nanos) -> (Nanos, Nanos) {
        (
            self.before(at).unwrap_or(Nanos::ZERO),
            self.after(at).unwrap_or(self.duration),
        )
    }

    fn before(&self, at: Nanos) -> Option<Nanos> {
        self.pictures.range(..=at).next_back().copied()
    }

    fn after(&self, at: Nanos) -> Option<Nanos> {
        self.pictures.range(at..).next().copied()
    }

    /// Whether a picture of this price would fit if it, or one more, saved a thin look.
    pub(super) fn is_nearly_enough(&self, price: Tokens) -> bool {
        let thin = self.thin.map_or(0, |(price, _)| price);
        price <= self.left().saturating_add(2 * thin)
    }

    /// Takes a picture away that was placed at this price.
    pub(super) fn remove(&mut self, at: Nanos, price: Tokens) {
        if self.pictures.remove(&at) {
            let saved = self.saved(at);
            self.spent = self.spent.saturating_add(saved).saturating_sub(price);
        }
    }

    /// What a picture there saves of thin looks.
    fn saved(&self, at: Nanos) -> Tokens {
        self.thin.map_or(0, |(price, gap)| {
            let (a, b) = self.around(at);
            let parted = needed(a, at, gap) + needed(at, b, gap);
            needed(a, b, gap).saturating_sub(parted) * price
        })
    }

    /// Takes a picture, if the budget has it and none is too near.
    pub(super) fn place(&mut self, at: Nanos, price: Tokens) -> bool {
        let (before, after) = (self.before(at), self.after(at));
        let near =
            before.is_some_and(|b| at - b < CLOSEST) || after.is_some_and(|a| a - at < CLOSEST);
        let saved = self.saved(at);
        let spent = self.spent.saturating_add(price).saturating_sub(saved);
        let placed = !near && spent <= self.budget;
        if placed {
            self.spent = spent;
            self.pictures.insert(at);
        }
        placed
    }

    /// From the start to the first picture, between neighbours, from the last to the stop.
    pub(super) fn gaps(&self) -> Vec<(Nanos, Nanos)> {
        let mut edges = vec![Nanos::ZERO];
        edges.extend(&self.pictures);
        edges.push(self.duration);
        edges.windows(2).map(|pair| (pair[0], pair[1])).collect()
    }
}
