//! Decides which second of a piece is taken at which tier: values in, tiers out, never more than the budget.

use anchoring::tier::{Prices, Tier, Tokens};
use anyhow::bail;

use super::protocol::{Kind, Policy, Protocol};
use crate::eval::bootstrap::Random;

/// Inputs of a piece; every slice has a value for each second.
#[derive(Clone, Copy, Debug)]
pub(super) struct PieceInputs<'a> {
    /// Probability of an onset.
    pub(super) onset: &'a [f32],
    /// Probability of the tagger's best class.
    pub(super) tagger: &'a [f32],
    /// Loudness.
    pub(super) energy: &'a [f32],
    /// Whether it is labelled with an event. Only the oracle uses it.
    pub(super) event: &'a [bool],
    /// Seed of all randomness.
    pub(super) seed: u64,
}

/// The choice for a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selection {
    pub(super) tiers: Vec<Tier>,
    /// The chosen seconds, in order of time; none for uniform.
    pub(super) anchors: Vec<usize>,
    /// Those, and the seconds that they grew to.
    pub(super) grown: Vec<usize>,
    pub(super) spent: Tokens,
}

/// Allocates the tokens of a piece.
///
/// # Errors
/// The policy costs more than its budget.
pub(super) fn allocate(
    protocol: &Protocol,
    policy: &Policy,
    prices: Prices,
    known: PieceInputs<'_>,
) -> anyhow::Result<Selection> {
    let numbers = protocol.numbers(policy);
    let n = protocol.seconds;
    let mut random = Random(known.seed);
    let values: Vec<f32> = match policy.kind {
        Kind::Uniform => Vec::new(),
        Kind::Random => {
            let mut order: Vec<usize> = (0..n).collect();
            for i in (1..n).rev() {
                order.swap(i, random.below(i + 1));
            }
            order.into_iter().map(|place| place as f32).collect()
        }
        Kind::Energy => known.energy.to_vec(),
        Kind::Tagger | Kind::Trigger => known.tagger.to_vec(),
        Kind::Onset | Kind::Spread => known.onset.to_vec(),
        Kind::Following => {
            let first = (0..n).fold(0, |best, i| {
                if known.onset[i] > known.onset[best] {
                    i
                } else {
                    best
                }
            });
            // The later, the less, but more than any onset before.
            (0..n)
                .map(|i| match i.checked_sub(first) {
                    Some(after) => 1.0 + (n - after) as f32,
                    None => known.onset[i],
                })
                .collect()
        }
        Kind::Shifted => {
            // Shifts by at least two seconds in both directions.
            let by = if n > 4 { 2 + random.below(n - 3) } else { 1 };
            (0..n).map(|i| known.onset[(i + by) % n]).collect()
        }
        // The first seconds of events, then those that follow.
        Kind::Oracle => {
            let order = (0..n)
                .filter(|i| known.event[*i])
                .chain((0..n).filter(|i| !known.event[*i]));
            let mut values = vec![0.0; n];
            for (rank, i) in order.enumerate() {
                values[i] = -(rank as f32);
            }
            values
        }
    };
    let mut tiers = vec![policy.tier.unwrap_or(protocol.background_tier); n];
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*b].total_cmp(&values[*a]).then(a.cmp(b)));
    let (mut anchors, mut grown) = (Vec::new(), Vec::new());
    match policy.kind {
        Kind::Uniform => {}
        Kind::Trigger => {
            let (on, off) = (policy.on.unwrap_or(0.5), policy.off.unwrap_or(0.35));
            let mut looking = false;
            for (i, value) in values.iter().enumerate() {
                looking = *value >= if looking { off } else { on };
                if looking {
                    tiers[i] = protocol.grown_tier;
                    anchors.push(i);
                }
            }
            grown.clone_from(&anchors);
            // The rest of the budget buys nothing, so sampling is off.
        }
        _ => {
            let sharp = if policy.kind == Kind::Spread {
                numbers.anchors.div_ceil(2)
            } else {
                numbers.anchors
            };
            anchors.extend_from_slice(&order[..sharp]);
            anchors.sort_unstable();
            grown = (0..n)
                .filter(|i| anchors.iter().any(|a| a.abs_diff(*i) <= numbers.grow))
                .collect();
            for i in &grown {
                tiers[*i] = protocol.grown_tier;
            }
            for i in &anchors {
                tiers[*i] = protocol.anchor_tier;
            }
            let step = prices.of(protocol.grown_tier)
                - prices
                    .of(protocol.background_tier)
                    .min(prices.of(protocol.grown_tier));
            let mut spent: Tokens = tiers.iter().map(|tier| prices.of(*tier)).sum();
            for i in &order {
                if step > 0
                    && tiers[*i] == protocol.background_tier
                    && spent + step <= numbers.budget
                {
                    tiers[*i] = protocol.grown_tier;
                    spent += step;
                }
            }
        }
    }
    let spent: Tokens = tiers.iter().map(|tier| prices.of(*tier)).sum();
    if spent > numbers.budget {
        bail!(
            "policy `{}` costs {spent} tokens for {n} seconds, more than its budget of {}: take fewer anchors, a smaller grow_s, or cheaper tiers",
            policy.name,
            numbers.budget
        );
    }
    Ok(Selection {
        tiers,
        anchors,
        grown,
        spent,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONSET: [f32; 10] = [0.1, 0.0, 0.9, 0.3, 0.0, 0.0, 0.8, 0.2, 0.0, 0.1];
    const TAGGER: [f32; 10] = [0.1, 0.2, 0.6, 0.4, 0.4, 0.2, 0.4, 0.9, 0.0, 0.1];
    const EVENT: [bool; 10] = [
        false, false, true, true, true, false, false, false, false, false,
    ];

    fn taken(name: &str, seed: u64) -> Selection {
        let protocol = Protocol::read(None).unwrap();
        let policy = protocol.policies.iter().find(|p| p.name == name).unwrap();
        let known = PieceInputs {
            onset: &ONSET,
            tagger: &TAGGER,
            energy: &TAGGER,
            event: &EVENT,
            seed,
        };
        allocate(&protocol, policy, Prices::default(), known).unwrap()
    }

    /// All policies under comparison cost exactly the same.
    #[test]
    fn policies_cost_exactly_the_same() {
        for name in [
            "uniform-224",
            "random",
            "energy",
            "tagger",
            "onset",
            "onset-following",
            "shifted",
            "oracle",
            "onset-grown",
            "oracle-grown",
            "onset-grown-2",
            "onset-following-grown",
            "f2c-like",
            "location",
            "oracle-location",
            "fusion",
        ] {
            assert_eq!(taken(name, 3).spent, 1960, "{name}");
        }
        assert_eq!(taken("uniform-112", 0).spent, 490);
        assert_eq!(taken("uniform-448", 0).spent, 7840);
    }

    #[test]
    fn anchors_are_where_the_policy_says() {
        assert_eq!(taken("onset", 0).anchors, [2, 6]);
        assert_eq!(taken("onset-following", 0).anchors, [2, 3]);
        assert_eq!(taken("oracle", 0).anchors, [2, 3]);
        assert_eq!(taken("tagger", 0).anchors, [2, 7]);
        let grown = taken("onset-grown", 0);
        assert_eq!(
            (grown.anchors.as_slice(), grown.grown.as_slice()),
            (&[2][..], &[1, 2, 3][..])
        );
        // On at .6, still on at .4, off at .2, on at .9.
        assert_eq!(taken("egotrigger-like", 0).anchors, [2, 3, 4, 7]);
        let spread = taken("f2c-like", 0);
        let count = |tier| spread.tiers.iter().filter(|t| **t == tier).count();
        assert_eq!(
            (count(Tier::High), count(Tier::Base), count(Tier::Low)),
            (1, 5, 4)
        );
        assert_eq!((spread.tiers[2], spread.tiers[6]), (Tier::High, Tier::Base));
    }

    #[test]
    fn random_and_shifted_follow_their_seed_alone() {
        assert_eq!(taken("random", 5), taken("random", 5));
        assert!((0..20).any(|seed| taken("random", seed) != taken("random", 5)));
        for seed in 0..50 {
            let shifted = taken("shifted", seed).anchors;
            // Shifted: the distances stay the same, the places never do.
            assert!(
                [4, 6].contains(&shifted[0].abs_diff(shifted[1])),
                "{shifted:?}"
            );
            assert_ne!(shifted, [2, 6], "seed {seed} does not shift");
        }
    }

    #[test]
    fn policies_over_the_budget_are_refused() {
        let protocol = Protocol::read(None).unwrap();
        let mut policy = protocol
            .policies
            .iter()
            .find(|p| p.name == "onset")
            .unwrap()
            .clone();
        for (anchors, grow) in [(3, 0), (2, 1)] {
            let text = format!("{{ name: x, kind: onset, anchors: {anchors}, grow_s: {grow} }}");
            policy = serde_yaml::from_str(&text).unwrap();
            let known = PieceInputs {
                onset: &ONSET,
                tagger: &TAGGER,
                energy: &TAGGER,
                event: &EVENT,
                seed: 0,
            };
            let error = allocate(&protocol, &policy, Prices::default(), known).unwrap_err();
            assert!(
                error.to_string().contains("more than its budget of 1960"),
                "{error}"
            );
        }
        assert_eq!(policy.name, "x");
    }
}
