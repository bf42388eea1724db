//! Prints results as text.

use std::fmt;

use anchoring::tier::Tier;
use gstearmark::printable::line;

use super::bootstrap::{Estimate, FEWEST};
use super::results::{AtTier, Missed, Onsets, Recall, Resampled, Results};
use crate::terminal::grouped;

/// Most classes listed; JSON has all.
const CLASSES: usize = 20;
/// Why there is no recovery.
pub(super) const NO_RECOVERY: &str =
    "(uniform frames already hit all that this many frames can hit)";

fn interval(e: &Estimate) -> String {
    match (e.low, e.high) {
        (Some(low), Some(high)) => {
            format!("{}  {} to {}", three(e.value), three(low), three(high))
        }
        _ => three(e.value),
    }
}

/// Three decimals; never a negative zero.
pub(crate) fn three(x: f64) -> String {
    format!("{:.3}", (x * 1e3).round() / 1e3 + 0.0)
}

impl fmt::Display for Resampled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = |n: usize| match n {
            1 => "1 minute with an onset of an event".to_owned(),
            n => format!("{n} minutes with an onset of an event"),
        };
        match self {
            Self::Recording(n) => write!(f, "95 %, resampled by recording ({n})"),
            Self::Block(n) => write!(
                f,
                "95 %, resampled by block ({}); they say nothing about other recordings",
                minutes(*n)
            ),
            Self::Nothing(n) => write!(
                f,
                "none: only {}; needs {FEWEST}, or {FEWEST} recordings",
                minutes(*n)
            ),
        }
    }
}

impl fmt::Display for Recall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "share of events hit, tolerance {} s", self.tolerance_s)?;
        for (name, e) in [
            ("plan", &self.plan),
            ("uniform", &self.uniform),
            ("random", &self.random),
            ("time-shifted", &self.shifted),
            ("oracle", &self.oracle),
            ("gain", &self.gain),
        ] {
            writeln!(f, "  {name:<13}{}", interval(e))?;
        }
        match &self.recovery {
            Some(e) => writeln!(f, "  {:<13}{}", "recovery", interval(e)),
            None => writeln!(f, "  {:<13}-  {NO_RECOVERY}", "recovery"),
        }
    }
}

/// Which tiers count.
fn tiers(least: Tier) -> String {
    match least {
        Tier::Low => "any tier".into(),
        Tier::Base => "base or high tier".into(),
        Tier::High => "high tier".into(),
    }
}

fn equal_tokens(f: &mut fmt::Formatter<'_>, spent: u64, tiers_seen: &[AtTier]) -> fmt::Result {
    writeln!(
        f,
        "share of events seen, everybody spending {} tokens",
        grouped(spent)
    )?;
    writeln!(
        f,
        "  {:<20}{:>7}{:>9}{:>8}{:>14}{:>8}   frames of the plan, of the others",
        "at", "plan", "uniform", "random", "time-shifted", "oracle"
    )?;
    for at in tiers_seen {
        let r = &at.recall;
        writeln!(
            f,
            "  {:<20}{:>7}{:>9}{:>8}{:>14}{:>8}   {}, {}",
            tiers(at.tier),
            three(r.plan.value),
            three(r.uniform.value),
            three(r.random.value),
            three(r.shifted.value),
            three(r.oracle.value),
            grouped(at.plan_frames as u64),
            grouped(at.other_frames as u64),
        )?;
    }
    for at in tiers_seen {
        writeln!(
            f,
            "  gain over uniform, {:<18}{}",
            tiers(at.tier),
            interval(&at.recall.gain)
        )?;
    }
    writeln!(f)
}

fn onsets(f: &mut fmt::Formatter<'_>, name: &str, o: &Onsets) -> fmt::Result {
    let auroc = o.auroc.map_or("-".into(), |x| format!("{x:.3}"));
    writeln!(
        f,
        "{name:<13}{}, {:.3} of them true, mean probability {:.3}; uncertainty: AUROC {auroc}, ECE {:.3}",
        grouped(o.count as u64),
        o.precision,
        o.claimed,
        o.ece
    )
}

/// Why events were missed.
fn missed(f: &mut fmt::Formatter<'_>, m: &Missed) -> fmt::Result {
    writeln!(
        f,
        "missed       {} events: {} heard, budget spent elsewhere; {} not heard; {} with an anchor whose frame does not show it",
        grouped(m.events as u64),
        grouped(m.heard as u64),
        grouped(m.not_heard as u64),
        grouped(m.frame as u64)
    )?;
    let mut parts = m.with_times_the_tokens.iter();
    let Some((times, n)) = parts.next() else {
        return Ok(());
    };
    let rest: String = parts
        .map(|(times, n)| format!(", {times} times {n}"))
        .collect();
    writeln!(
        f,
        "             {times} times the tokens would take {n} of those heard{rest}"
    )
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "recordings   {}, {:.0} s, {} events",
            self.recordings,
            self.duration_s,
            grouped(self.events as u64)
        )?;
        writeln!(
            f,
            "frames       {} of tier {} or above, {} tokens",
            grouped(self.frame_count as u64),
            self.least_tier,
            grouped(self.tokens)
        )?;
        writeln!(f, "intervals    {}\n", self.resampled_by)?;
        equal_tokens(f, self.spent_tokens, &self.equal_tokens)?;
        writeln!(f, "with equal numbers of frames, not of tokens:")?;
        for recall in &self.recall {
            writeln!(f, "{recall}")?;
        }
        writeln!(
            f,
            "waste        {:.3} of the frames: {:.3} in no event, {:.3} only in events already hit",
            self.waste.all, self.waste.empty, self.waste.repeated
        )?;
        if let Some(all) = &self.missed {
            missed(f, all)?;
        }
        if let Some(anchors) = &self.anchors {
            onsets(f, "anchors", anchors)?;
        }
        if let Some(windows) = &self.windows {
            writeln!(
                f,
                "windows      {:.2} s on average, {:.3} of them contain the start of an event",
                windows.mean_s, windows.holding
            )?;
        }
        if let Some(all) = &self.onsets {
            onsets(f, "all onsets", all)?;
        }
        if let Some(dead) = &self.dead {
            writeln!(
                f,
                "untrusted    F1 {:.3}, precision {:.3}, recall {:.3} of hops",
                dead.f1, dead.precision, dead.recall
            )?;
        }
        writeln!(
            f,
            "\n{:<42}{:>7}{:>7}{:>9}{:>8}",
            "events by", "count", "plan", "uniform", "oracle"
        )?;
        let classes = self.groups.iter().filter(|g| g.by == "class").count();
        for (i, group) in self.groups.iter().enumerate() {
            if group.by == "class" && i >= CLASSES {
                continue;
            }
            let name = format!("{} {}", group.by, line(&group.name));
            writeln!(
                f,
                "  {name:<40}{:>7}{:>7.3}{:>9.3}{:>8.3}",
                group.events, group.plan, group.uniform, group.oracle
            )?;
        }
        if classes > CLASSES {
            writeln!(
                f,
                "  and {} rarer classes (--json has all)",
                classes - CLASSES
            )?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning      {}", line(warning))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_never_printed_as_negative() {
        for (x, text) in [(-0.0, "0.000"), (-0.0004, "0.000"), (-0.0006, "-0.001")] {
            assert_eq!(three(x), text);
        }
    }
}
