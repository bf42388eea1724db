//! Decides whether new weights are better than the built-in ones, by how much, and whether that is more than chance.

use serde::Serialize;

use super::compare::Scores;
use super::score::{Sample, Score, said};
use crate::eval::bootstrap::{self, Estimate};

/// Seed of the resampling.
const SEED: u64 = 1;
/// The name of the built-in weights in comparisons.
pub(super) const BUILT_IN: &str = "onset (built in)";

/// How a probe compares with the built-in one on held-out recordings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Verdict {
    /// The probe.
    pub(super) probe: String,
    /// The probe to compare with.
    pub(super) beside: String,
    /// Held-out recordings.
    pub(super) recordings: usize,
    /// Mean difference of the share of events hit; the interval holds it in 95 of 100 resamples of recordings.
    pub(super) gain: Estimate,
    /// Calibration error before and after, mean over folders.
    pub(super) ece: Option<(f64, f64)>,
    /// The conclusion.
    pub(super) judgement: Judgement,
    /// Whether the figures hold for other recordings.
    pub(super) out_of_sample: bool,
}

/// The conclusion from a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Judgement {
    /// Significantly better.
    Better,
    /// Significantly worse.
    Worse,
    /// A difference that chance explains.
    NoDifference,
    /// Too few recordings to say.
    TooFew,
}

/// The verdict on each probe that has a built-in counterpart; none without held-out recordings.
pub(super) fn verdicts(scores: &Scores) -> Vec<Verdict> {
    let mut names: Vec<&str> = Vec::new();
    for (_, name, score) in scores {
        let made = score.sample != Sample::Nothing && !name.ends_with("(built in)");
        if made && !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names
        .into_iter()
        .filter_map(|name| verdict(scores, name))
        .collect()
}

fn verdict(scores: &Scores, probe: &str) -> Option<Verdict> {
    let of = |wanted: &str| -> Vec<&Score> {
        let own = scores.iter().filter(|(_, name, _)| name == wanted);
        own.map(|(.., score)| score).collect()
    };
    let same = format!("{probe} (built in)");
    let beside = if of(&same).is_empty() {
        BUILT_IN
    } else {
        &same
    };
    let (ours, theirs) = (of(probe), of(beside));
    let differences: Vec<f64> = ours
        .iter()
        .zip(&theirs)
        .flat_map(|(a, b)| a.each.iter().zip(&b.each).map(|(a, b)| a - b))
        .collect();
    let mean = |all: &[&f64]| vec![all.iter().copied().sum::<f64>() / all.len() as f64];
    let gain = bootstrap::estimate(&differences, SEED, mean)
        .pop()
        .flatten()?;
    let ece = |all: &[&Score]| {
        let known: Vec<f64> = all.iter().filter_map(|score| score.ece).collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    };
    Some(Verdict {
        probe: probe.into(),
        beside: beside.into(),
        recordings: differences.len(),
        gain,
        ece: ece(&theirs).zip(ece(&ours)),
        judgement: match (gain.low, gain.high) {
            (Some(low), _) if low > 0.0 => Judgement::Better,
            (_, Some(high)) if high < 0.0 => Judgement::Worse,
            (Some(_), Some(_)) => Judgement::NoDifference,
            _ => Judgement::TooFew,
        },
        out_of_sample: ours.iter().all(|score| score.sample != Sample::In),
    })
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            probe,
            beside,
            recordings,
            gain,
            ..
        } = self;
        let signed = |x: f64| format!("{:+.3}", (x * 1e3).round() / 1e3 + 0.0);
        let what = match self.judgement {
            Judgement::Better => format!("better than `{beside}`, significantly"),
            Judgement::Worse => format!("worse than `{beside}`, significantly"),
            Judgement::NoDifference => format!("no significant difference from `{beside}`"),
            Judgement::TooFew => format!(
                "too few held-out recordings to compare it with `{beside}`: {recordings} of the {} that it takes",
                bootstrap::FEWEST
            ),
        };
        write!(
            f,
            "{probe}: {what}; {} of the events hit",
            signed(gain.value)
        )?;
        if let (Some(low), Some(high)) = (gain.low, gain.high) {
            let range = (signed(low), signed(high));
            write!(
                f,
                " (95 %: {} to {}, {recordings} recordings)",
                range.0, range.1
            )?;
        }
        if let Some((before, after)) = self.ece {
            let (before, after) = (said(Some(before)), said(Some(after)));
            write!(f, "; calibration error {after} instead of {before}")?;
        }
        if !self.out_of_sample {
            write!(f, "; in sample, so worth less on others")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(each: &[f64], sample: Sample) -> Score {
        Score {
            each: each.to_vec(),
            ece: Some(0.25),
            sample,
            ..Score::default()
        }
    }

    fn judged(ours: &[f64], theirs: &[f64]) -> Verdict {
        let row = |name: &str, score| ("there".to_owned(), name.to_owned(), score);
        let scores = vec![
            row("flux", score(theirs, Sample::Nothing)),
            row(BUILT_IN, score(theirs, Sample::Elsewhere)),
            row("onset", score(ours, Sample::Out)),
        ];
        let mut verdicts = verdicts(&scores);
        assert_eq!(verdicts.len(), 1);
        verdicts.remove(0)
    }

    #[test]
    fn a_verdict_is_better_worse_neither_or_none() {
        let theirs = [0.5, 0.6, 0.4, 0.5, 0.7, 0.3, 0.5, 0.6, 0.4];
        let by = |x: f64| theirs.map(|own| own + x);
        let better = judged(&by(0.1), &theirs);
        assert_eq!(better.judgement, Judgement::Better);
        let said = better.to_string();
        assert!(
            said.contains("better than `onset (built in)`, significantly; +0.100 of"),
            "{said}"
        );
        assert_eq!(judged(&by(-0.1), &theirs).judgement, Judgement::Worse);
        let mut mixed = theirs;
        mixed.reverse();
        assert_eq!(judged(&mixed, &theirs).judgement, Judgement::NoDifference);
        let few = judged(&by(0.1)[..3], &theirs[..3]);
        assert_eq!(few.judgement, Judgement::TooFew);
        assert!(
            few.to_string().contains("3 of the 8 that it takes"),
            "{few}"
        );
        assert!(verdicts(&Vec::new()).is_empty());
    }
}
