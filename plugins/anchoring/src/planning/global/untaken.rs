//! Candidates that the budget left out, and the budget that would take them: the same planning with larger budgets.

use super::GlobalPlanner;
use crate::plan::{Untaken, keep_most_probable};
use crate::planning::value::ValueModel;
use crate::tier::Tokens;
use crate::time::Nanos;

/// The budgets that are tried, in multiples of the plan's own.
pub const BUDGET_STEPS: [f64; 10] = [1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 16.0];

impl GlobalPlanner {
    /// The candidates that were not taken, each with what the budget lacks for it. `taken` are indices of candidates,
    /// and `binds` says whether the budget left any out.
    pub(super) fn untaken(
        &self,
        (duration, budget): (Nanos, Tokens),
        model: &ValueModel,
        taken: impl Iterator<Item = usize>,
        mut binds: bool,
    ) -> Vec<Untaken> {
        const UNKNOWN: Option<Tokens> = Some(Tokens::MAX);
        // Unknown until a budget takes it.
        let mut more = vec![UNKNOWN; self.candidates.len()];
        for i in taken {
            more[i] = None;
        }
        for step in BUDGET_STEPS {
            if !binds || !more.contains(&UNKNOWN) {
                break;
            }
            let larger = (budget as f64 * step) as Tokens;
            let Ok((allocation, _, chosen)) = self.choose_within(duration, larger, model) else {
                break;
            };
            for chosen in &chosen {
                if more[chosen.index] == UNKNOWN {
                    more[chosen.index] = Some(larger.saturating_sub(budget));
                }
            }
            binds = allocation.left() < self.anchor_price();
        }
        let untaken = self
            .candidates
            .iter()
            .zip(more)
            .filter_map(|(candidate, more)| {
                more.map(|more| Untaken {
                    onset: candidate.onset,
                    score: candidate.p,
                    more_tokens: Some(more).filter(|_| Some(more) != UNKNOWN),
                })
            });
        keep_most_probable(untaken.collect())
    }
}
