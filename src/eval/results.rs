//! Combines all recordings: means, intervals, groups.

use anchoring::tier::Tier;
use anchoring::time::Nanos;
use serde::Serialize;

use super::bootstrap::{self, Estimate};
use super::labels::Event;
use super::measure::{self, Bin, Hits, MissedBecause, Onset, Placement, Recording, within};
use super::pairs::Pair;
use crate::outputs::TIMES;

/// Length of a block.
const BLOCK: Nanos = Nanos::from_ms(60_000);
/// Tolerances: none, and half a second.
const TOLERANCES: [Nanos; 2] = [Nanos::ZERO, Nanos::from_ms(500)];

/// All results. Means are over recordings, each counting the same.
#[derive(Clone, Debug, Serialize)]
pub struct Results {
    /// Number of plans.
    pub recordings: usize,
    /// Their total length.
    pub duration_s: f64,
    /// Labelled events.
    pub events: usize,
    /// Frames that count.
    #[serde(rename = "frames")]
    pub frame_count: usize,
    /// Their price.
    pub tokens: u64,
    /// The price of all frames of the plans.
    pub spent_tokens: u64,
    /// The lowest tier that counts.
    pub least_tier: String,
    /// What the intervals were resampled from.
    #[serde(flatten)]
    pub resampled_by: Resampled,
    /// Share of events shown at each tier by each placement, all spending the same tokens; the most expensive tier first.
    pub equal_tokens: Vec<AtTier>,
    /// Share of events hit by each placement with the same number of frames, by tolerance.
    pub recall: Vec<Recall>,
    /// How many frames found nothing new.
    pub waste: WastedFrames,
    /// Why events were missed; only for plans that keep untaken candidates.
    pub missed: Option<Missed>,
    /// How many anchors are beginnings of events, and how well their probabilities say so.
    pub anchors: Option<Onsets>,
    /// What their windows hold.
    pub windows: Option<Windows>,
    /// The same for every detected onset; only for plans with cues.
    pub onsets: Option<Onsets>,
    /// How well the plan finds stretches without usable sound; only for plans with cues, if the labels' notes know them.
    pub dead: Option<DeadHops>,
    /// Events by kind, pooled, without tolerance.
    pub groups: Vec<Group>,
    /// Each recording by itself, without tolerance.
    pub each: Vec<RecordingResult>,
    /// Warnings.
    pub warnings: Vec<String>,
}

/// What intervals are resampled from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(
    tag = "resampled_by",
    content = "resampled_units",
    rename_all = "lowercase"
)]
pub enum Resampled {
    /// This many recordings.
    Recording(usize),
    /// This many minutes in which an event begins, of few recordings: they say nothing about other recordings.
    Block(usize),
    /// Nothing: this many such minutes are too few.
    Nothing(usize),
}

/// Share of events shown at a tier or above, by all placements for the same tokens.
#[derive(Clone, Debug, Serialize)]
pub struct AtTier {
    /// The lowest tier that counts.
    pub tier: Tier,
    /// The plan's frames of this tier or above.
    pub plan_frames: usize,
    /// The number of frames of this tier that all of the plan's tokens pay for: what the other placements take.
    pub other_frames: usize,
    /// Share by placement.
    #[serde(flatten)]
    pub recall: Recall,
}

/// Share of events hit at a tolerance.
#[derive(Clone, Debug, Serialize)]
pub struct Recall {
    /// Seconds before an event's start and after its stop that count, too.
    pub tolerance_s: f64,
    /// By the plan.
    pub plan: Estimate,
    /// By as many evenly spaced frames.
    pub uniform: Estimate,
    /// By as many randomly placed frames.
    pub random: Estimate,
    /// By the plan's frames, shifted around the recording.
    pub shifted: Estimate,
    /// By as many frames placed with knowledge of the labels.
    pub oracle: Estimate,
    /// `plan - uniform`.
    pub gain: Estimate,
    /// `(plan - uniform) / (oracle - uniform)`; `None` if even frames already hit all that can be hit.
    pub recovery: Option<Estimate>,
}

/// Shares of the frames, mean over recordings.
#[derive(Clone, Debug, Serialize)]
pub struct WastedFrames {
    /// In no event, or only in events that an earlier frame had hit.
    pub all: f64,
    /// In no event.
    pub empty: f64,
    /// In events that an earlier frame had hit.
    pub repeated: f64,
}

/// Events that no counting frame shows, pooled: not heard, or not paid for?
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Missed {
    /// Number of events, over plans that keep untaken candidates.
    pub events: usize,
    /// With an anchor whose frame shows something else.
    pub frame: usize,
    /// Detected, but the budget was spent elsewhere.
    pub heard: usize,
    /// Not detected.
    pub not_heard: usize,
    /// Multiples of the tokens, and how many of the detected events they would take; empty if unknown.
    pub with_times_the_tokens: Vec<(f64, usize)>,
}

/// Claimed probability and truth of onsets, pooled.
#[derive(Clone, Debug, Serialize)]
pub struct Onsets {
    /// Number of onsets.
    pub count: usize,
    /// Share within 150 ms of a labelled start, each start counting once.
    pub precision: f64,
    /// Mean claimed probability.
    pub claimed: f64,
    /// How well uncertainty separates the false ones.
    pub auroc: Option<f64>,
    /// Expected calibration error.
    pub ece: f64,
    /// Claimed probability against the share of true onsets.
    pub bins: Vec<Bin>,
}

/// Windows of anchors, pooled.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Windows {
    /// Mean length, seconds.
    pub mean_s: f64,
    /// Share that holds the start of a labelled event.
    pub holding: f64,
}

/// Agreement about which hops of 80 ms are dead.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct DeadHops {
    /// Share of the distrusted hops that are dead.
    pub precision: f64,
    /// Share of the dead hops that are distrusted.
    pub recall: f64,
    /// Their harmonic mean.
    pub f1: f64,
}

/// Events of one kind.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// What the groups differ by.
    pub by: &'static str,
    /// Which group.
    pub name: String,
    /// Number of events.
    pub events: usize,
    /// Share hit by the plan.
    pub plan: f64,
    /// Share hit by even frames.
    pub uniform: f64,
    /// Share hit by the oracle.
    pub oracle: f64,
}

/// One recording.
#[derive(Clone, Debug, Serialize)]
pub struct RecordingResult {
    /// The plan's file, without its extension.
    pub name: String,
    /// Labelled events.
    pub events: usize,
    /// Frames that count.
    #[serde(rename = "frames")]
    pub frame_count: usize,
    /// Share hit by the plan.
    pub plan: f64,
    /// Share hit by even frames.
    pub uniform: f64,
    /// Share hit by the oracle.
    pub oracle: f64,
}

/// Number of events, and how many each placement hits.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    events: f64,
    hit: [f64; 5],
}

impl Sum {
    fn add(&mut self, hits: &Hits, index: usize) {
        self.events += 1.0;
        for (sum, hits) in self.hit.iter_mut().zip(hits) {
            *sum += hits[index];
        }
    }

    fn join(&mut self, other: &Self) {
        self.events += other.events;
        for (sum, hits) in self.hit.iter_mut().zip(other.hit) {
            *sum += hits;
        }
    }

    fn share(&self, placement: Placement) -> f64 {
        self.hit[placement as usize] / self.events.max(1.0)
    }
}

/// Measures all pairs.
pub(super) fn measure(pairs: &[Pair], seed: u64) -> Results {
    let recordings: Vec<&Recording> = pairs.iter().map(|pair| &pair.recording).collect();
    let by = resampled_by(&recordings);
    let mut recall = Vec::new();
    let mut exact: Vec<Hits> = Vec::new();
    for tolerance in TOLERANCES {
        let hits: Vec<Hits> = recordings.iter().map(|r| r.hits(tolerance)).collect();
        recall.push(recall_of(&recordings, &hits, tolerance, by, seed));
        if tolerance == Nanos::ZERO {
            exact = hits;
        }
    }
    let at_tier = |tier: Tier| {
        let hits: Vec<Hits> = recordings.iter().map(|r| r.hits_at(tier)).collect();
        AtTier {
            tier,
            plan_frames: recordings.iter().map(|r| r.frames_of(tier).len()).sum(),
            other_frames: recordings.iter().map(|r| r.affordable(tier)).sum(),
            recall: recall_of(&recordings, &hits, Nanos::ZERO, by, seed),
        }
    };
    let equal_tokens = Tier::ALL.into_iter().rev().map(at_tier).collect();
    let each = recordings.iter().zip(&exact).map(|(r, hits)| {
        let mut sum = Sum::default();
        (0..r.events.len()).for_each(|i| sum.add(hits, i));
        RecordingResult {
            name: r.name.clone(),
            events: r.events.len(),
            frame_count: r.frame_times.len(),
            plan: sum.share(Placement::Plan),
            uniform: sum.share(Placement::Uniform),
            oracle: sum.share(Placement::Oracle),
        }
    });
    let mut tiers: Vec<_> = pairs.iter().map(|pair| pair.least).collect();
    tiers.sort_unstable();
    tiers.dedup();
    let tiers: Vec<_> = tiers.iter().map(ToString::to_string).collect();
    Results {
        recordings: recordings.len(),
        duration_s: recordings.iter().map(|r| r.duration.seconds()).sum(),
        events: recordings.iter().map(|r| r.events.len()).sum(),
        frame_count: recordings.iter().map(|r| r.frame_times.len()).sum(),
        tokens: pairs.iter().map(|pair| pair.tokens).sum(),
        least_tier: tiers.join(" or "),
        resampled_by: by,
        spent_tokens: recordings.iter().map(|r| r.spent).sum(),
        equal_tokens,
        recall,
        waste: waste(&recordings),
        missed: missed(&recordings),
        anchors: onsets(&recordings, |r| &r.anchors),
        windows: windows(&recordings),
        onsets: onsets(&recordings, |r| &r.onsets),
        dead: dead(&recordings),
        groups: groups(&recordings, &exact),
        each: each.collect(),
        warnings: pairs
            .iter()
            .flat_map(|pair| pair.warnings.clone())
            .collect(),
    }
}

/// The minute of its recording in which an event begins.
fn block(event: &Event) -> i64 {
    event.span.start().get() / BLOCK.get()
}

/// Recordings, if there are enough; else minutes in which an event begins, if there are enough.
fn resampled_by(recordings: &[&Recording]) -> Resampled {
    if recordings.len() >= bootstrap::FEWEST {
        return Resampled::Recording(recordings.len());
    }
    let blocks = recordings.iter().map(|r| {
        let mut own: Vec<i64> = r.events.iter().map(block).collect();
        own.dedup();
        own.len()
    });
    match blocks.sum() {
        n if n < bootstrap::FEWEST => Resampled::Nothing(n),
        n => Resampled::Block(n),
    }
}

fn recall_of(
    recordings: &[&Recording],
    hits: &[Hits],
    tolerance: Nanos,
    by: Resampled,
    seed: u64,
) -> Recall {
    let by_recording = matches!(by, Resampled::Recording(_));
    // Its recording, and its hits: of a whole recording, or of a minute in which an event begins.
    let mut units: Vec<(usize, Sum)> = Vec::new();
    for (of, (r, hits)) in recordings.iter().zip(hits).enumerate() {
        let mut last = None;
        for (i, event) in r.events.iter().enumerate() {
            let block = Some(block(event)).filter(|_| !by_recording);
            if last != Some((of, block)) {
                last = Some((of, block));
                units.push((of, Sum::default()));
            }
            if let Some((_, sum)) = units.last_mut() {
                sum.add(hits, i);
            }
        }
    }
    let statistics = |drawn: &[&(usize, Sum)]| {
        // A recording drawn twice counts twice; two minutes of one count as one recording.
        let n = if by_recording {
            drawn.len()
        } else {
            recordings.len()
        };
        let mut groups = vec![Sum::default(); n];
        for (i, (of, sum)) in drawn.iter().enumerate() {
            groups[if by_recording { i } else { *of }].join(sum);
        }
        groups.retain(|group| group.events > 0.0);
        let mean = |placement: Placement| {
            let shares = groups.iter().map(|group| group.share(placement));
            shares.sum::<f64>() / groups.len() as f64
        };
        let means = Placement::ALL.map(mean);
        let [plan, uniform, _, _, oracle] = means;
        let mut all = means.to_vec();
        all.extend([plan - uniform, recovery(plan, uniform, oracle)]);
        all
    };
    let found = bootstrap::estimate(&units, seed, statistics);
    let of = |place: usize| found[place].unwrap_or(NOTHING);
    Recall {
        tolerance_s: tolerance.seconds(),
        plan: of(0),
        uniform: of(1),
        random: of(2),
        shifted: of(3),
        oracle: of(4),
        gain: of(5),
        recovery: found[6],
    }
}

/// Of no events.
const NOTHING: Estimate = Estimate {
    value: 0.0,
    low: None,
    high: None,
};

/// The share of the way from even frames to the oracle; NaN if there is no way to go.
pub fn recovery(plan: f64, uniform: f64, oracle: f64) -> f64 {
    if oracle - uniform > 1e-9 {
        (plan - uniform) / (oracle - uniform)
    } else {
        f64::NAN
    }
}

fn waste(recordings: &[&Recording]) -> WastedFrames {
    let (mut empty, mut repeated) = (0.0, 0.0);
    for r in recordings {
        let (in_none, again) = r.waste();
        let frames = (r.frame_times.len() * recordings.len()).max(1) as f64;
        empty += in_none as f64 / frames;
        repeated += again as f64 / frames;
    }
    WastedFrames {
        all: empty + repeated,
        empty,
        repeated,
    }
}

fn missed(recordings: &[&Recording]) -> Option<Missed> {
    let mut all: Vec<(MissedBecause, u64)> = Vec::new();
    let mut known = false;
    for r in recordings {
        let Some(own) = r.missed() else { continue };
        known = true;
        all.extend(own.into_iter().map(|because| (because, r.budget)));
    }
    let count = |of: &dyn Fn(&MissedBecause, u64) -> bool| {
        all.iter()
            .filter(|(because, budget)| of(because, *budget))
            .count()
    };
    let priced = count(&|because, _| matches!(because, MissedBecause::Budget(Some(_))));
    let within = |times: f64| {
        count(&|because, budget| match because {
            MissedBecause::Budget(Some(more)) => *more as f64 <= budget as f64 * (times - 1.0),
            _ => false,
        })
    };
    known.then(|| Missed {
        events: all.len(),
        frame: count(&|because, _| *because == MissedBecause::Frame),
        heard: count(&|because, _| matches!(because, MissedBecause::Budget(_))),
        not_heard: count(&|because, _| *because == MissedBecause::Unheard),
        with_times_the_tokens: match priced {
            0 => Vec::new(),
            _ => TIMES.map(|times| (times, within(times))).into(),
        },
    })
}

fn onsets(recordings: &[&Recording], of: impl Fn(&Recording) -> &[Onset]) -> Option<Onsets> {
    let mut judged = Vec::new();
    for r in recordings {
        let found = r.true_onsets(of(r));
        judged.extend(
            of(r)
                .iter()
                .zip(found)
                .map(|(o, right)| (o.uncertainty, right)),
        );
    }
    let (ece, bins) = measure::calibration(&judged)?;
    let n = judged.len() as f64;
    Some(Onsets {
        count: judged.len(),
        precision: judged.iter().filter(|(_, right)| *right).count() as f64 / n,
        claimed: judged.iter().map(|(u, _)| 1.0 - u).sum::<f64>() / n,
        auroc: measure::auroc(&judged),
        ece,
        bins,
    })
}

fn windows(recordings: &[&Recording]) -> Option<Windows> {
    let count: usize = recordings.iter().map(|r| r.windows.len()).sum();
    let lengths = recordings.iter().flat_map(|r| &r.windows);
    let seconds: f64 = lengths.map(|window| window.length().seconds()).sum();
    let holding: usize = recordings.iter().map(|r| r.holding()).sum();
    (count > 0).then(|| Windows {
        mean_s: seconds / count as f64,
        holding: holding as f64 / count as f64,
    })
}

fn dead(recordings: &[&Recording]) -> Option<DeadHops> {
    let mut found = false;
    let (mut both, mut plan, mut only) = (0, 0, 0);
    for (b, p, o) in recordings.iter().filter_map(|r| r.dead_hops()) {
        found = true;
        (both, plan, only) = (both + b, plan + p, only + o);
    }
    let share = |n: u64, of: u64| if of == 0 { 1.0 } else { n as f64 / of as f64 };
    found.then(|| DeadHops {
        precision: share(both, both + plan),
        recall: share(both, both + only),
        f1: share(2 * both, 2 * both + plan + only),
    })
}

/// The names of the ranges between `edges`, and the one that a number falls into.
fn range(x: f64, edges: &[f64], unit: &str) -> (usize, String) {
    let i = edges.partition_point(|edge| *edge <= x);
    let name = match (i.checked_sub(1).map(|i| edges[i]), edges.get(i)) {
        (None, Some(high)) => format!("below {high}{unit}"),
        (Some(low), Some(high)) => format!("{low} to {high}{unit}"),
        (Some(low), None) => format!("{low}{unit} and more"),
        (None, None) => "all".into(),
    };
    (i, name)
}

fn groups(recordings: &[&Recording], hits: &[Hits]) -> Vec<Group> {
    let mut sums: std::collections::BTreeMap<(usize, usize, String), Sum> = Default::default();
    for (r, hits) in recordings.iter().zip(hits) {
        for (i, event) in r.events.iter().enumerate() {
            let mut add = |by: usize, (place, name): (usize, String)| {
                sums.entry((by, place, name)).or_default().add(hits, i);
            };
            let start = event.span.start();
            if !event.class.is_empty() {
                add(0, (0, event.class.clone()));
            }
            if let Some(level) = event.level {
                add(
                    1,
                    range(level, &[-5.0, 0.0, 5.0, 10.0, 15.0, 20.0, 25.0], " dB"),
                );
            }
            add(
                2,
                range(r.density(event), &[0.8, 1.2, 1.6, 2.4], " a frame"),
            );
            let length = event.span.length().seconds();
            add(3, range(length, &[0.25, 0.5, 1.0, 2.0, 5.0], " s"));
            let names = ["alone", "under another"];
            let covered = usize::from(r.covered(i));
            add(4, (covered, names[covered].into()));
            if let Some(notes) = &r.notes {
                let place = if within(&notes.dead, start) {
                    (2, "in untrusted sound")
                } else if within(&notes.speech, start) {
                    (1, "in speech")
                } else {
                    (0, "in sound")
                };
                add(5, (place.0, place.1.into()));
            }
            if let Some(quality) = r.quality(start) {
                add(6, range(quality.into(), &[0.3, 0.6, 0.8], ""));
            }
        }
    }
    let kinds = [
        "class",
        "level",
        "density",
        "length",
        "beginning",
        "place",
        "quality of sound",
    ];
    let mut groups: Vec<Group> = sums
        .into_iter()
        .map(|((by, _, name), sum)| Group {
            by: kinds[by],
            name,
            events: sum.events as usize,
            plan: sum.share(Placement::Plan),
            uniform: sum.share(Placement::Uniform),
            oracle: sum.share(Placement::Oracle),
        })
        .collect();
    // Classes by frequency; everything else in its own order.
    let classes = groups
        .iter()
        .take_while(|group| group.by == "class")
        .count();
    groups[..classes].sort_by_key(|group| std::cmp::Reverse(group.events));
    groups
}
