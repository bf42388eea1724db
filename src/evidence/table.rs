//! The results: every policy against the baseline, as Markdown and CSV, with the conclusions.

use std::fmt::Write;

use anchoring::tier::Tier;
use serde::Serialize;

use super::protocol::{Kind, Protocol};
use crate::eval::bootstrap::{self, Estimate};
use crate::scores::statistics::{Paired, holm, mean_and_deviation, paired};

/// A corrected p below this counts as a difference.
const LEVEL: f64 = 0.05;

/// What a policy can cost, with the name of its column in the CSV.
pub(super) const COSTS: [(&str, &str); 3] = [
    ("tokens of a piece", "tokens"),
    ("GFLOP of the encoder for a piece", "gflops"),
    ("wall time of a piece, s", "wall_s"),
];

/// A measured policy.
#[derive(Clone, Debug)]
pub(super) struct MeasuredPolicy {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Per piece, on average.
    pub(super) tokens: f64,
    /// The encoder's, per piece; `None` where they cannot be counted.
    pub(super) flops: Option<f64>,
    /// Of a piece, with listening where the policy listens.
    pub(super) wall_s: f64,
    /// The tier of all its frames, if nothing else is given to the head.
    pub(super) even: Option<Tier>,
    pub(super) anchors: usize,
    pub(super) grow: usize,
    pub(super) recall: (f64, f64),
    /// For every seed and test piece: right seconds, right seconds of events.
    pub(super) right: Vec<Vec<(usize, usize)>>,
}

/// A row of the table.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) policy: String,
    /// By [`COSTS`].
    #[serde(skip)]
    pub(super) costs: [Option<f64>; 3],
    pub(super) tokens: f64,
    pub(super) gflops: Option<f64>,
    pub(super) wall_s: f64,
    /// The tier of all frames, if nothing else is given to the head.
    pub(super) even: Option<Tier>,
    pub(super) anchors: usize,
    pub(super) grow_s: usize,
    pub(super) recall: Option<f64>,
    pub(super) recall_grown: Option<f64>,
    /// Mean over seeds, and deviation.
    pub(super) accuracy: f64,
    pub(super) deviation: f64,
    /// The same for seconds with an event.
    pub(super) accuracy_of_events: f64,
    /// Against the baseline, by test pieces.
    pub(super) difference: Option<Estimate>,
    pub(super) test: Option<Paired>,
    /// Corrected for the number of policies.
    pub(super) p: Option<f64>,
    /// Share of the oracle's gain over the baseline, if there is one.
    pub(super) recovered: Option<Estimate>,
    /// By [`COSTS`]: whether every policy that is as good costs more.
    pub(super) fronts: [bool; 3],
}

impl Row {
    pub(super) fn verdict(&self) -> &'static str {
        match (self.p, self.difference) {
            (Some(p), Some(difference)) if p < LEVEL && difference.value > 0.0 => "better",
            (Some(p), Some(difference)) if p < LEVEL && difference.value < 0.0 => "worse",
            (Some(_), _) => "no difference shown",
            _ => "-",
        }
    }
}

/// Makes the rows. `events`: seconds with an event in each test piece.
pub(super) fn rows(protocol: &Protocol, measured: &[MeasuredPolicy], events: &[usize]) -> Vec<Row> {
    let seconds = protocol.seconds as f64;
    // The share of right seconds of each test piece, averaged over seeds.
    let shares = |one: &MeasuredPolicy| -> Vec<f64> {
        (0..events.len())
            .map(|i| {
                let right: usize = one.right.iter().map(|seed| seed[i].0).sum();
                right as f64 / (seconds * one.right.len() as f64)
            })
            .collect()
    };
    let all: Vec<Vec<f64>> = measured.iter().map(shares).collect();
    let at = |name: &str| measured.iter().position(|one| one.name == name);
    let baseline = at(&protocol.baseline);
    // The oracle that spends as a policy does, else the first.
    let oracle_of = |i: usize| {
        let oracles = || (0..measured.len()).filter(|n| measured[*n].kind == Kind::Oracle);
        let spends = |n: usize| (measured[n].anchors, measured[n].grow);
        oracles()
            .find(|n| spends(*n) == spends(i))
            .or_else(|| oracles().next())
    };
    let differences = |i: usize| -> Option<Vec<f64>> {
        let baseline = baseline.filter(|baseline| *baseline != i)?;
        Some(
            all[i]
                .iter()
                .zip(&all[baseline])
                .map(|(a, b)| a - b)
                .collect(),
        )
    };
    let tests: Vec<Option<Paired>> = (0..measured.len())
        .map(|i| paired(&differences(i)?))
        .collect();
    let tried: Vec<f64> = tests.iter().flatten().map(|test| test.p).collect();
    let mut corrected = holm(&tried).into_iter();
    let corrected: Vec<Option<f64>> = tests
        .iter()
        .map(|test| test.as_ref().and_then(|_| corrected.next()))
        .collect();
    let gains = |n: usize| {
        let found = tests[n].is_some_and(|test| test.difference > 0.0);
        found && corrected[n].is_some_and(|p| p < LEVEL)
    };
    let mean = |units: &[&f64]| vec![units.iter().copied().sum::<f64>() / units.len() as f64];
    let mut rows: Vec<Row> = Vec::new();
    for (i, one) in measured.iter().enumerate() {
        let of_seed = |which: fn(&(usize, usize)) -> usize, of: f64| -> Vec<f64> {
            one.right
                .iter()
                .map(|seed| seed.iter().map(which).sum::<usize>() as f64 / of.max(1.0))
                .collect()
        };
        let (accuracy, deviation) =
            mean_and_deviation(&of_seed(|x| x.0, seconds * events.len() as f64));
        let (accuracy_of_events, _) =
            mean_and_deviation(&of_seed(|x| x.1, events.iter().sum::<usize>() as f64));
        let difference = differences(i)
            .and_then(|d| bootstrap::estimate(&d, protocol.seed, mean).pop().flatten());
        let recovered = match (baseline, oracle_of(i)) {
            (Some(baseline), Some(oracle))
                if i != baseline && one.kind != Kind::Oracle && gains(oracle) =>
            {
                let units: Vec<[f64; 3]> = (0..events.len())
                    .map(|n| [all[i][n], all[baseline][n], all[oracle][n]])
                    .collect();
                bootstrap::estimate(&units, protocol.seed, |drawn| {
                    let sum = |k: usize| drawn.iter().map(|unit| unit[k]).sum::<f64>();
                    vec![(sum(0) - sum(1)) / (sum(2) - sum(1))]
                })
                .pop()
                .flatten()
            }
            _ => None,
        };
        let chooses = one.kind != Kind::Uniform;
        rows.push(Row {
            policy: one.name.clone(),
            costs: [
                Some(one.tokens),
                one.flops.map(|x| x / 1e9),
                Some(one.wall_s),
            ],
            tokens: one.tokens,
            gflops: one.flops.map(|x| x / 1e9),
            wall_s: one.wall_s,
            even: one.even,
            anchors: one.anchors,
            grow_s: one.grow,
            recall: chooses.then_some(one.recall.0),
            recall_grown: chooses.then_some(one.recall.1),
            accuracy,
            deviation,
            accuracy_of_events,
            difference,
            p: corrected[i],
            test: tests[i],
            recovered,
            fronts: [false; 3],
        });
    }
    for i in 0..rows.len() {
        for k in 0..COSTS.len() {
            let Some(cost) = rows[i].costs[k] else {
                continue;
            };
            let accuracy = rows[i].accuracy;
            let beaten = rows.iter().any(|other| {
                other.costs[k].is_some_and(|less| {
                    (less <= cost && other.accuracy > accuracy)
                        || (less < cost && other.accuracy >= accuracy)
                })
            });
            rows[i].fronts[k] = !beaten;
        }
    }
    rows
}

fn share(x: f64) -> String {
    format!("{:.1}", 100.0 * x)
}

fn signed(x: f64) -> String {
    format!("{:+.1}", 100.0 * x)
}

fn interval(estimate: Option<Estimate>, of: fn(f64) -> String) -> String {
    match estimate {
        Some(Estimate {
            value,
            low: Some(low),
            high: Some(high),
        }) => format!("{} ({} to {})", of(value), of(low), of(high)),
        Some(estimate) => of(estimate.value),
        None => "-".into(),
    }
}

fn p_text(p: Option<f64>) -> String {
    match p {
        Some(p) if p < 0.001 => "< .001".into(),
        Some(p) => format!("{p:.3}").trim_start_matches('0').to_owned(),
        None => "-".into(),
    }
}

/// The table, the conclusions, and how they were made.
pub(super) fn markdown(
    title: &str,
    protocol: &Protocol,
    rows: &[Row],
    about: &[(String, String)],
) -> String {
    let mut text = format!("# {title}\n\n");
    let _ = write!(
        text,
        "Share of seconds whose class is right, in per cent: mean and deviation over seeds. Pieces of {} s, one frame a second; tokens of a piece. \
         Differences are against `{}`, paired by test piece, with bootstrap intervals at 95 %; p is the paired t-test's, corrected (Holm) for every policy of the table; \
         d is the mean difference in deviations. `gain`: the share of the gain of the oracle with the same anchors and `grow_s` that is recovered, where that oracle is better. GFLOP: the encoder's, for a piece. \
         Wall: to decode and encode the frames of a piece, and to listen where the policy does, on this machine.\n\n",
        protocol.seconds, protocol.baseline
    );
    text += "| policy | tokens | GFLOP | wall, s | Recall@K | Recall@K,D | accuracy | of seconds with an event | difference | p | d | gain | verdict |\n";
    text += "|---|---|---|---|---|---|---|---|---|---|---|---|---|\n";
    for row in rows {
        let recall = |x: Option<f64>| x.map_or_else(|| "-".into(), share);
        let _ = writeln!(
            text,
            "| {} | {:.0} | {} | {:.2} | {} | {} | {} ± {} | {} | {} | {} | {} | {} | {} |",
            row.policy,
            row.tokens,
            row.gflops.map_or_else(|| "-".into(), |x| format!("{x:.1}")),
            row.wall_s,
            recall(row.recall),
            recall(row.recall_grown),
            share(row.accuracy),
            share(row.deviation),
            share(row.accuracy_of_events),
            interval(row.difference, signed),
            p_text(row.p),
            row.test
                .map_or_else(|| "-".into(), |test| format!("{:.2}", test.d)),
            interval(row.recovered, |x| format!("{x:.2}")),
            row.verdict()
        );
    }
    text += "\nAccuracy by resolution, all frames of one size:\n\n| frames | tokens | accuracy | of seconds with an event |\n|---|---|---|---|\n";
    for row in rows {
        if let Some(tier) = row.even {
            let _ = writeln!(
                text,
                "| {tier} (`{}`) | {:.0} | {} ± {} | {} |",
                row.policy,
                row.tokens,
                share(row.accuracy),
                share(row.deviation),
                share(row.accuracy_of_events)
            );
        }
    }
    text += "\nOn the front (nothing as good is cheaper):\n\n";
    for (k, (what, _)) in COSTS.iter().enumerate() {
        let names: Vec<&str> = rows
            .iter()
            .filter(|row| row.fronts[k])
            .map(|row| row.policy.as_str())
            .collect();
        let _ = writeln!(
            text,
            "- {what}: {}",
            if names.is_empty() {
                "unknown".into()
            } else {
                names.join(", ")
            }
        );
    }
    text +=
        "\n![Accuracy against tokens, operations and wall time](curve.png)\n\nWhat it says:\n\n";
    for line in says(protocol, rows) {
        let _ = writeln!(text, "- {line}");
    }
    text += "\nMade with:\n\n";
    for (what, value) in about {
        let _ = writeln!(text, "- {what}: {value}");
    }
    text
}

/// The conclusions with their numbers; says just as plainly if nothing was shown.
pub(super) fn says(protocol: &Protocol, rows: &[Row]) -> Vec<String> {
    let at = |name: &str| rows.iter().find(|row| row.policy == name);
    let budget = protocol.budget_tokens;
    let mut lines = Vec::new();
    let mut even = rows.iter().filter(|row| row.even.is_some());
    if let Some(first) = even.next()
        && even.clone().next().is_some()
        && even.all(|row| row.even != first.even && row.tokens == first.tokens)
    {
        lines.push("Every tier of this encoder has one size and one price, so all policies take the same frames: what differs below is what the names of tiers give away, and noise. An encoder that takes several sizes can tell.".into());
    }
    let against = |row: &Row, what: &str| match row.verdict() {
        "better" | "worse" => format!(
            "At {budget} tokens a piece, `{}` ({what}) is {} than even frames: {} against {} % (p {}).",
            row.policy,
            row.verdict(),
            share(row.accuracy),
            at(&protocol.baseline).map_or_else(String::new, |base| share(base.accuracy)),
            p_text(row.p)
        ),
        _ => format!(
            "At {budget} tokens a piece, `{}` ({what}) is not shown to differ from even frames: {} per cent points (p {}).",
            row.policy,
            interval(row.difference, signed),
            p_text(row.p)
        ),
    };
    for (name, what) in [
        ("oracle", "two sharp frames where the labels have events"),
        (
            "oracle-grown",
            "one sharp frame there and medium ones around it",
        ),
    ] {
        if let Some(row) = at(name) {
            lines.push(against(row, what));
        }
    }
    let oracles = ["oracle", "oracle-grown"].map(at);
    if oracles.iter().any(Option::is_some)
        && oracles
            .iter()
            .flatten()
            .all(|row| row.verdict() != "better")
    {
        lines.push("So with this encoder and head, concentrating the budget has no proven benefit, and there is no gain for a prediction to recover.".into());
    }
    for (name, what) in [
        ("onset", "sharp frames where sounds begin"),
        (
            "onset-following",
            "sharp frames where a sound begins and in the second after it",
        ),
        (
            "onset-following-grown",
            "one sharp frame where a sound begins and medium ones after it",
        ),
    ] {
        let Some(row) = at(name) else { continue };
        lines.push(against(row, what));
        if let Some(recovered) = row.recovered {
            lines.push(format!(
                "That (`{name}`) recovers {} of the gain of the oracle that spends alike.",
                interval(Some(recovered), |x| format!("{x:.2}"))
            ));
        }
    }
    for (name, what) in [
        ("random", "sharp frames at random seconds"),
        ("shifted", "sharp frames by the sound of other seconds"),
    ] {
        if let Some(row) = at(name) {
            lines.push(against(row, what));
        }
    }
    if let (Some(fusion), Some(onset)) = (at("fusion"), at("onset")) {
        lines.push(format!(
            "Sound as an index without fusion: {} %; fusion without an index: {} %.",
            share(onset.accuracy),
            share(fusion.accuracy)
        ));
    }
    if let (Some(location), Some(oracle)) = (at("oracle-location"), at("oracle")) {
        lines.push(format!(
            "The place of the oracle's anchors alone, with even frames of the same tokens, gives {} %, against {} % with the sharper frames there.",
            share(location.accuracy),
            share(oracle.accuracy)
        ));
    }
    if let (Some(location), Some(onset)) = (at("location"), at("onset")) {
        lines.push(format!(
            "The place of anchors alone, with even frames of the same tokens, gives {} %, against {} % with the sharper frames there.",
            share(location.accuracy),
            share(onset.accuracy)
        ));
    }
    lines
}

/// A line per policy.
pub(super) fn csv(rows: &[Row]) -> String {
    let mut text = "policy,tokens,gflops,wall_s,anchors,grow_s,recall_at_k,recall_at_k_d,accuracy,deviation,accuracy_of_events,difference,low,high,t,p,p_holm,d,recovered,recovered_low,recovered_high,front_tokens,front_gflops,front_wall_s,verdict\n".to_owned();
    let of = |x: Option<f64>| x.map_or_else(String::new, |x| format!("{x:.6}"));
    for row in rows {
        let (difference, recovered) = (row.difference, row.recovered);
        let numbers = [
            row.recall,
            row.recall_grown,
            Some(row.accuracy),
            Some(row.deviation),
            Some(row.accuracy_of_events),
            difference.map(|x| x.value),
            difference.and_then(|x| x.low),
            difference.and_then(|x| x.high),
            row.test.map(|x| x.t),
            row.test.map(|x| x.p),
            row.p,
            row.test.map(|x| x.d),
            recovered.map(|x| x.value),
            recovered.and_then(|x| x.low),
            recovered.and_then(|x| x.high),
        ];
        let numbers: Vec<String> = numbers.into_iter().map(of).collect();
        let _ = writeln!(
            text,
            "{},{:.1},{},{:.4},{},{},{},{},{}",
            row.policy,
            row.tokens,
            of(row.gflops),
            row.wall_s,
            row.anchors,
            row.grow_s,
            numbers.join(","),
            row.fronts.map(|front| front.to_string()).join(","),
            row.verdict()
        );
    }
    text
}

/// A line per policy and test piece: the share of right seconds, averaged over seeds.
pub(super) fn pieces(
    protocol: &Protocol,
    measured: &[MeasuredPolicy],
    names: &[&str],
    events: &[usize],
) -> String {
    let mut text = "policy,piece,seconds,seconds_of_events,right,right_of_events\n".to_owned();
    for one in measured {
        let seeds = one.right.len().max(1) as f64;
        for (i, name) in names.iter().enumerate() {
            let mean = |which: fn(&(usize, usize)) -> usize, of: usize| {
                let right: usize = one.right.iter().map(|seed| which(&seed[i])).sum();
                right as f64 / (seeds * of.max(1) as f64)
            };
            let quoted = name.replace('"', "\"\"");
            let _ = writeln!(
                text,
                "{},\"{quoted}\",{},{},{:.6},{:.6}",
                one.name,
                protocol.seconds,
                events[i],
                mean(|x| x.0, protocol.seconds),
                mean(|x| x.1, events[i])
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(name: &str, kind: Kind, right: impl Fn(usize, usize) -> usize) -> MeasuredPolicy {
        MeasuredPolicy {
            name: name.into(),
            kind,
            tokens: 1960.0,
            flops: Some(8e9),
            wall_s: 0.5,
            even: (kind == Kind::Uniform).then_some(Tier::Base),
            anchors: 2,
            grow: 0,
            recall: (0.5, 0.5),
            right: (0..5)
                .map(|seed| (0..40).map(|i| (right(seed, i), 1)).collect())
                .collect(),
        }
    }

    #[test]
    fn a_real_difference_is_called_better_and_noise_is_not() {
        let protocol = Protocol::read(None).unwrap();
        let noise = |seed: usize, i: usize| (seed * 7 + i * 3) % 2;
        let all = [
            measured("uniform-224", Kind::Uniform, |s, i| 5 + noise(s, i)),
            measured("oracle", Kind::Oracle, |s, i| 8 + noise(s + 1, i)),
            measured("onset", Kind::Onset, |s, i| 7 + noise(s + 1, i)),
            measured("random", Kind::Random, |s, i| 5 + noise(s, i + 1)),
        ];
        let rows = rows(&protocol, &all, &[3; 40]);
        let verdicts: Vec<&str> = rows.iter().map(Row::verdict).collect();
        assert_eq!(verdicts, ["-", "better", "better", "no difference shown"]);
        let recovered = rows[2].recovered.unwrap();
        assert!(
            (recovered.value - 2.0 / 3.0).abs() < 0.05 && recovered.low.is_some(),
            "{recovered:?}"
        );
        assert!(rows[1].recovered.is_none());
        let text = markdown("t", &protocol, &rows, &[("a".into(), "b".into())]);
        assert!(
            text.contains("| oracle | 1960 | 8.0 | 0.50 |") && text.contains("- a: b"),
            "{text}"
        );
        assert!(text.contains("| base (`uniform-224`) | 1960 |"), "{text}");
        assert_eq!(csv(&rows).lines().count(), 5);
        let names = vec!["a", "b\"c"];
        let pieces = pieces(&protocol, &all, &names, &[3, 0]);
        assert!(pieces.contains("oracle,\"b\"\"c\",10,0,0."), "{pieces}");
        assert_eq!(pieces.lines().count(), 9);
    }

    /// A policy that is as good and cheaper in one way is on that front alone.
    #[test]
    fn each_cost_has_a_front_of_its_own() {
        let protocol = Protocol::read(None).unwrap();
        let mut all = [
            measured("uniform-224", Kind::Uniform, |_, _| 5),
            measured("onset", Kind::Onset, |_, _| 7),
            measured("fusion", Kind::Uniform, |_, _| 7),
        ];
        // Listening takes time but no tokens; fewer operations are unknown.
        all[0].wall_s = 0.4;
        all[1].wall_s = 0.6;
        all[1].flops = None;
        all[2].wall_s = 0.7;
        let rows = rows(&protocol, &all, &[3; 40]);
        let fronts: Vec<[bool; 3]> = rows.iter().map(|row| row.fronts).collect();
        assert_eq!(
            fronts,
            [
                [false, false, true],
                [true, false, true],
                [true, true, false]
            ]
        );
        let text = csv(&rows);
        assert!(text.contains("onset,1960.0,,0.6000,2,0,"), "{text}");
        let drawing = super::super::curve::draw("a < b", &rows);
        let svg = String::from_utf8(crate::report::plot::svg(&drawing).unwrap()).unwrap();
        assert!(svg.contains("a &lt; b"), "{svg}");
        let png = crate::report::plot::png(&drawing, 1.0).unwrap();
        assert!(png.starts_with(b"\x89PNG"));
    }

    /// An oracle that gains nothing: the text says so, and no policy has a share of the gain.
    #[test]
    fn no_gain_is_said() {
        let protocol = Protocol::read(None).unwrap();
        let even = |_: usize, i: usize| 5 + i % 2;
        let all = [
            measured("uniform-224", Kind::Uniform, even),
            measured("oracle", Kind::Oracle, even),
            measured("onset", Kind::Onset, even),
        ];
        let rows = rows(&protocol, &all, &[3; 40]);
        assert!(rows[2].recovered.is_none());
        let said = says(&protocol, &rows).join("\n");
        assert!(said.contains("no proven benefit"), "{said}");
    }
}
