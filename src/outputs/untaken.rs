//! Summarises candidates that were not taken: how many there are, and how many a larger budget would take.

use anchoring::plan::Untaken;
use anchoring::tier::Tokens;
use serde::Serialize;

use crate::terminal::grouped;

/// Multiples of the budget to report.
pub(crate) const TIMES: [f64; 3] = [1.5, 2.0, 4.0];

/// Candidates that were not taken.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LeftOut {
    /// How many the plan keeps.
    pub candidates: u64,
    /// Most that it keeps per minute; 0: none.
    pub kept_per_min: u64,
    /// Multiples of the budget, and how many of the candidates each would take; empty if unknown.
    pub with_times_the_tokens: Vec<(f64, u64)>,
}

impl LeftOut {
    /// Summarises the candidates of a plan with this budget.
    pub(crate) fn new(kept_per_min: u64, budget: Tokens, untaken: &[Untaken]) -> Self {
        let more: Vec<Tokens> = untaken.iter().filter_map(|one| one.more_tokens).collect();
        let within = |times: f64| {
            let room = (budget as f64 * (times - 1.0)) as Tokens;
            more.iter().filter(|more| **more <= room).count() as u64
        };
        Self {
            candidates: untaken.len() as u64,
            kept_per_min,
            with_times_the_tokens: match more.is_empty() {
                true => Vec::new(),
                false => TIMES.map(|times| (times, within(times))).into(),
            },
        }
    }

    /// "34 onsets; 1.5 times the tokens would take 12 of them, 2 times 25, 4 times 34 (of every minute at most 30 are kept)"; `None` if none
    /// are kept.
    pub(crate) fn text(&self) -> Option<String> {
        if self.kept_per_min == 0 {
            return None;
        }
        let onsets = match self.candidates {
            0 => return Some("no onset".into()),
            1 => "1 onset".into(),
            n => format!("{} onsets", grouped(n)),
        };
        let kept = format!("of every minute at most {} are kept", self.kept_per_min);
        let mut parts = self.with_times_the_tokens.iter();
        let Some((times, n)) = parts.next() else {
            return Some(format!("{onsets} ({kept})"));
        };
        let rest: String = parts
            .map(|(times, n)| format!(", {times} times {}", grouped(*n)))
            .collect();
        Some(format!(
            "{onsets}; {times} times the tokens would take {} of them{rest} ({kept})",
            grouped(*n)
        ))
    }
}

#[cfg(test)]
mod tests {
    use anchoring::time::Nanos;

    use super::*;

    #[test]
    fn a_larger_budget_takes_what_fits_into_it() {
        let one = |more_tokens| Untaken {
            onset: Nanos::ZERO,
            score: 0.5,
            more_tokens,
        };
        let untaken = [one(Some(400)), one(Some(500)), one(Some(1000)), one(None)];
        let left_out = LeftOut::new(30, 1000, &untaken);
        assert_eq!(
            left_out.with_times_the_tokens,
            [(1.5, 2), (2.0, 3), (4.0, 3)]
        );
        assert_eq!(
            left_out.text().unwrap(),
            "4 onsets; 1.5 times the tokens would take 2 of them, 2 times 3, 4 times 3 (of every minute at most 30 are kept)"
        );
        let unknown = LeftOut::new(30, 1000, &[one(None)]);
        assert_eq!(
            unknown.text().unwrap(),
            "1 onset (of every minute at most 30 are kept)"
        );
        assert_eq!(LeftOut::new(30, 1000, &[]).text().unwrap(), "no onset");
        assert_eq!(LeftOut::new(0, 1000, &[]).text(), None);
    }
}
