//! The results: every policy against the baseline, as Markdown, CSV and a drawing, with the conclusions.

use std::fmt::Write;

use serde::Serialize;

use super::protocol::{Kind, Protocol};
use crate::eval::bootstrap::{self, Estimate};
use crate::scores::statistics::{Paired, holm, mean_and_deviation, paired};

/// A corrected p below this counts as a difference.
const LEVEL: f64 = 0.05;

/// A measured policy.
#[derive(Clone, Debug)]
pub(super) struct MeasuredPolicy {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Per piece, on average.
    pub(super) tokens: f64,
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
    pub(super) tokens: f64,
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
    /// Whether every policy that is as good costs more tokens.
    pub(super) front: bool,
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
    let oracle = measured.iter().position(|one| one.kind == Kind::Oracle);
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
        let recovered = match (baseline, oracle) {
            (Some(baseline), Some(oracle))
                if i != baseline && i != oracle && gains(&all[oracle], &all[baseline]) =>
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
            tokens: one.tokens,
            anchors: one.anchors,
            grow_s: one.grow,
            recall: chooses.then_some(one.recall.0),
            recall_grown: chooses.then_some(one.recall.1),
            accuracy,
            deviation,
            accuracy_of_events,
            difference,
            p: tests[i].and_then(|_| corrected.next()),
            test: tests[i],
            recovered,
            front: false,
        });
    }
    for i in 0..rows.len() {
        let (tokens, accuracy) = (rows[i].tokens, rows[i].accuracy);
        let beaten = rows.iter().any(|other| {
            (other.tokens <= tokens && other.accuracy > accuracy)
                || (other.tokens < tokens && other.accuracy >= accuracy)
        });
        rows[i].front = !beaten;
    }
    rows
}

/// Whether the oracle beats the baseline beyond chance.
fn gains(oracle: &[f64], baseline: &[f64]) -> bool {
    let differences: Vec<f64> = oracle.iter().zip(baseline).map(|(a, b)| a - b).collect();
    paired(&differences).is_some_and(|test| test.difference > 0.0 && test.p < LEVEL)
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
         d is the mean difference in deviations. `gain`: the share of the oracle's gain that is recovered.\n\n",
        protocol.seconds, protocol.baseline
    );
    text += "| policy | tokens | Recall@K | Recall@K,D | accuracy | of seconds with an event | difference | p | d | gain | verdict |\n";
    text += "|---|---|---|---|---|---|---|---|---|---|---|\n";
    for row in rows {
        let recall = |x: Option<f64>| x.map_or_else(|| "-".into(), share);
        let _ = writeln!(
            text,
            "| {} | {:.0} | {} | {} | {} ± {} | {} | {} | {} | {} | {} | {} |",
            row.policy,
            row.tokens,
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
    text += "\nWhat it says:\n\n";
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
    let against = |row: &Row, what: &str| match row.verdict() {
        "better" | "worse" => format!(
            "At {budget} tokens a piece, {what} is {} than even frames: {} against {} % (p {}).",
            row.verdict(),
            share(row.accuracy),
            at(&protocol.baseline).map_or_else(String::new, |base| share(base.accuracy)),
            p_text(row.p)
        ),
        _ => format!(
            "At {budget} tokens a piece, {what} is not shown to differ from even frames: {} per cent points (p {}).",
            interval(row.difference, signed),
            p_text(row.p)
        ),
    };
    if let Some(row) = at("oracle") {
        lines.push(against(
            row,
            "sharp frames where the labels have events (oracle)",
        ));
        if row.verdict() != "better" {
            lines.push("So with this encoder and head, concentrating the budget has no proven benefit, and there is no gain for a prediction to recover.".into());
        }
    }
    if let Some(row) = at("onset") {
        lines.push(against(row, "sharp frames where sounds begin"));
        if let Some(recovered) = row.recovered {
            lines.push(format!(
                "Onsets recover {} of the oracle's gain.",
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
    let mut text = "policy,tokens,anchors,grow_s,recall_at_k,recall_at_k_d,accuracy,deviation,accuracy_of_events,difference,low,high,t,p,p_holm,d,recovered,recovered_low,recovered_high,front,verdict\n".to_owned();
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
            "{},{:.1},{},{},{},{},{}",
            row.policy,
            row.tokens,
            row.anchors,
            row.grow_s,
            numbers.join(","),
            row.front,
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

/// Accuracy against tokens; the front is joined.
pub(super) fn svg(title: &str, rows: &[Row]) -> String {
    const W: f64 = 860.0;
    const H: f64 = 520.0;
    let (least, most) = rows.iter().fold((f64::MAX, 0.0_f64), |(a, b), row| {
        (a.min(row.tokens), b.max(row.tokens))
    });
    let (low, high) = rows.iter().fold((1.0_f64, 0.0_f64), |(a, b), row| {
        (a.min(row.accuracy), b.max(row.accuracy))
    });
    let (low, high) = (
        (low * 20.0).floor() / 20.0,
        ((high * 20.0).ceil() / 20.0).max(low + 0.05),
    );
    let wide = (most / least.max(1.0)).log2().max(1.0);
    let x = |tokens: f64| 70.0 + (W - 260.0) * (tokens / least.max(1.0)).log2() / wide;
    let y = |accuracy: f64| H - 60.0 - (H - 120.0) * (accuracy - low) / (high - low);
    let safe = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {W} {H}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{W}\" height=\"{H}\" fill=\"white\"/>\n<text x=\"20\" y=\"26\" font-size=\"15\">{}</text>\n",
        safe(title)
    );
    let mut step = low;
    while step <= high + 1e-9 {
        let _ = writeln!(
            svg,
            "<line x1=\"60\" x2=\"{:.0}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"#ddd\"/><text x=\"52\" y=\"{:.1}\" text-anchor=\"end\">{:.0} %</text>",
            W - 180.0,
            y(step),
            y(step),
            y(step) + 4.0,
            100.0 * step
        );
        step += 0.05;
    }
    let mut front: Vec<&Row> = rows.iter().filter(|row| row.front).collect();
    front.sort_by(|a, b| a.tokens.total_cmp(&b.tokens));
    let points: Vec<String> = front
        .iter()
        .map(|row| format!("{:.1},{:.1}", x(row.tokens), y(row.accuracy)))
        .collect();
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"#1b7f5c\"/>",
        points.join(" ")
    );
    let mut sorted: Vec<&Row> = rows.iter().collect();
    sorted.sort_by(|a, b| {
        a.tokens
            .total_cmp(&b.tokens)
            .then(b.accuracy.total_cmp(&a.accuracy))
    });
    // Names in one column do not overlap.
    let mut last = (f64::NAN, f64::MIN);
    for row in sorted {
        let (px, py) = (x(row.tokens), y(row.accuracy));
        let at = if (px - last.0).abs() < 120.0 {
            py.max(last.1 + 14.0)
        } else {
            py
        };
        last = (px, at);
        let colour = if row.front { "#1b7f5c" } else { "#9aa4ad" };
        let _ = writeln!(
            svg,
            "<circle cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"4\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{:.1}\" fill=\"#222\">{} {} %</text>",
            px + 9.0,
            at + 4.0,
            safe(&row.policy),
            share(row.accuracy)
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">tokens of a piece (logarithmic): {least:.0} to {most:.0}</text>\n</svg>",
        W / 2.0 - 60.0,
        H - 20.0
    );
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(name: &str, kind: Kind, right: impl Fn(usize, usize) -> usize) -> MeasuredPolicy {
        MeasuredPolicy {
            name: name.into(),
            kind,
            tokens: 1960.0,
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
            text.contains("| oracle | 1960 |") && text.contains("- a: b"),
            "{text}"
        );
        assert!(svg("a < b", &rows).contains("a &lt; b"));
        assert_eq!(csv(&rows).lines().count(), 5);
        let names = vec!["a", "b\"c"];
        let pieces = pieces(&protocol, &all, &names, &[3, 0]);
        assert!(pieces.contains("oracle,\"b\"\"c\",10,0,0."), "{pieces}");
        assert_eq!(pieces.lines().count(), 9);
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
