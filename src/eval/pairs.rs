//! Pairs plans with labels, and extracts what is scored.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anchoring::plan::{Clip, Header, Line, Untaken};
use anchoring::tier::{Prices, Tier, Tokens};
use anchoring::time::Window;
use anyhow::{Context, bail};

use super::labels::{self, Event};
use super::measure::{Hop, Onset, Recording};
use crate::failure::Usage;
use crate::outputs::plan;
use crate::recording::fingerprint;

/// A recording with its plan and labels.
pub(super) struct Pair {
    pub recording: Recording,
    /// The lowest tier that counts.
    pub least: Tier,
    /// What the counting frames cost.
    pub tokens: Tokens,
    /// Warnings about it.
    pub warnings: Vec<String>,
}

/// Reads every plan with its labels.
///
/// # Errors
/// A file cannot be read, a plan has no labels, or it is given twice.
pub(super) fn read(
    plans: &[PathBuf],
    labels: &[PathBuf],
    least: Option<Tier>,
) -> anyhow::Result<Vec<Pair>> {
    let mut read: Vec<(usize, Vec<Event>)> = Vec::new();
    let mut pairs: Vec<Pair> = Vec::with_capacity(plans.len());
    let mut contents: HashMap<String, &Path> = HashMap::new();
    let mut recordings: HashMap<(usize, String), &Path> = HashMap::new();
    for path in plans {
        let plan = plan(path)?;
        let hash =
            fingerprint::sha256(path).with_context(|| format!("cannot read {}", path.display()))?;
        if let Some(other) = contents.insert(hash, path) {
            bail!(Usage(format!(
                "the plan {} is given twice{} and would count as two recordings",
                path.display(),
                if other == path {
                    String::new()
                } else {
                    format!(" ({} is the same file)", other.display())
                }
            )));
        }
        let index = find(path, &plan.header, labels, plans.len())?;
        let other = recordings.insert((index, plan.header.video_id.clone()), path);
        if read.last().is_none_or(|(last, _)| *last != index) {
            // A file for many recordings is read once.
            read.clear();
            read.push((index, labels::read(&labels[index])?));
        }
        let events = read.last().map(|(_, events)| events.as_slice());
        pairs.push(pair(
            path,
            plan,
            &labels[index],
            events.unwrap_or_default(),
            least,
        )?);
        if let (Some(other), Some(pair)) = (other, pairs.last_mut()) {
            pair.warnings.push(format!(
                "{} and {} are plans of the same recording but count as two: the mean leans towards it, and intervals are too narrow",
                other.display(),
                path.display()
            ));
        }
    }
    Ok(pairs)
}

/// The labels of a plan: those with its name or video id, or the only ones there are.
fn find(plan: &Path, header: &Header, labels: &[PathBuf], plans: usize) -> anyhow::Result<usize> {
    let stem = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.rsplit_once('.').map_or(&*name, |(stem, _)| stem);
        let name = [".labels", ".plan"]
            .iter()
            .find_map(|end| name.strip_suffix(end))
            .unwrap_or(name);
        name.to_owned()
    };
    if let [_] = labels {
        let only = stem(&labels[0]);
        // A label file has either one recording, or many with a video id each.
        if plans == 1 || only == stem(plan) || only == header.video_id {
            return Ok(0);
        }
        if labels::names_recordings(&labels[0])? {
            return Ok(0);
        }
    }
    for wanted in [stem(plan), header.video_id.clone()] {
        let mut found = (0..labels.len()).filter(|&index| stem(&labels[index]) == wanted);
        let Some(index) = found.next() else { continue };
        if let Some(other) = found.find(|other| labels[*other] != labels[index]) {
            bail!(Usage(format!(
                "{} and {} both match {}; give only the file with its labels",
                labels[index].display(),
                labels[other].display(),
                plan.display()
            )));
        }
        return Ok(index);
    }
    bail!(
        "{} (video_id {}) has no labels: no file given with --labels is named {}.labels.csv or {}.csv",
        plan.display(),
        header.video_id,
        stem(plan),
        header.video_id
    )
}

/// The parts of a plan that are measured.
struct PlanParts {
    header: Header,
    frames: Vec<(anchoring::time::Nanos, Tier, Tokens)>,
    anchors: Vec<Onset>,
    windows: Vec<Window>,
    onsets: Vec<Onset>,
    hops: Vec<Hop>,
    untaken: Vec<Untaken>,
}

fn plan(path: &Path) -> anyhow::Result<PlanParts> {
    let mut header = None;
    let (mut frames, mut anchors, mut windows) = (Vec::new(), Vec::new(), Vec::new());
    let (mut onsets, mut hops, mut untaken) = (Vec::new(), Vec::new(), Vec::new());
    let mut distrust = 0.9;
    plan::read(path, None, |line| match line {
        Line::Plan(found) => {
            let configured = &found.config["budget"]["distrust"];
            distrust = configured.as_f64().unwrap_or(distrust);
            header = Some(found);
        }
        Line::Anchor(anchor) => {
            windows.push(anchor.window);
            anchors.push(Onset {
                at: anchor.onset,
                uncertainty: anchor.uncertainty.into(),
            });
        }
        Line::Frame(entry) | Line::Clip(Clip { entry, .. }) => {
            frames.push((entry.planned, entry.tier, entry.tokens))
        }
        Line::Candidate(candidate) => untaken.push(candidate),
        Line::Cue(cue) => {
            hops.push(Hop {
                at: cue.pts,
                trusted: cue.trusted(distrust),
                quality: cue.quality.map(|quality| quality.score()),
            });
            onsets.extend(cue.onset.map(|onset| Onset {
                at: onset.at,
                uncertainty: onset.uncertainty.into(),
            }));
        }
    })?;
    let header = header.with_context(|| format!("{} has no header", path.display()))?;
    Ok(PlanParts {
        header,
        frames,
        anchors,
        windows,
        onsets,
        hops,
        untaken,
    })
}

/// What frames cost in a plan; for tiers that it does not use, the default price.
fn prices(frames: &[(anchoring::time::Nanos, Tier, Tokens)]) -> Prices {
    let default = Prices::default();
    let price = |tier: Tier| {
        let own = frames.iter().find(|(_, own, _)| *own == tier);
        own.map_or(default.of(tier), |(.., tokens)| *tokens)
    };
    Prices::new(price(Tier::Low), price(Tier::Base), price(Tier::High)).unwrap_or(default)
}

fn pair(
    path: &Path,
    plan: PlanParts,
    labels: &Path,
    events: &[Event],
    least: Option<Tier>,
) -> anyhow::Result<Pair> {
    let duration = plan.header.duration;
    let own: Vec<Event> = events
        .iter()
        .filter(|event| {
            let named = event.video_id.as_ref();
            named.is_none_or(|video| *video == plan.header.video_id)
        })
        .cloned()
        .collect();
    let all = own.len();
    let events: Vec<Event> = own
        .into_iter()
        .filter(|event| event.span.start() < duration)
        .collect();
    if events.is_empty() {
        bail!(
            "{} has no event within the {duration} of {} (video_id {}): {}",
            labels.display(),
            path.display(),
            plan.header.video_id,
            if all > 0 {
                "all events begin later; did you give event times in milliseconds?"
            } else {
                "are these the labels of another recording?"
            }
        );
    }
    let late = all - events.len();
    let mut warnings = Vec::new();
    if late > 0 {
        warnings.push(format!(
            "{}: {late} of {all} events begin after the end of the recording at {duration} and do not count",
            labels.display()
        ));
    }
    let instants = |event: &&Event| event.span.length() <= labels::INSTANT;
    let instants = events.iter().filter(instants).count();
    if instants > 0 {
        warnings.push(format!(
            "{}: {instants} of {} events have no length: they count for anchors, but without tolerance no frame can hit them",
            labels.display(),
            events.len()
        ));
    }
    let fine = plan.frames.iter().any(|&(_, tier, _)| tier >= Tier::Base);
    let least = least.unwrap_or(if fine { Tier::Base } else { Tier::Low });
    let counted = || plan.frames.iter().filter(|(_, tier, _)| *tier >= least);
    if counted().count() == 0 {
        bail!(
            "{} has no frame of tier {least} or above: there is nothing to measure",
            path.display()
        );
    }
    let name = path.file_stem().unwrap_or_default();
    Ok(Pair {
        least,
        tokens: counted().map(|(.., tokens)| tokens).sum(),
        warnings,
        recording: Recording {
            name: name.to_string_lossy().into_owned(),
            duration,
            events,
            notes: labels::notes(labels)?,
            frame_times: counted().map(|&(at, ..)| at).collect(),
            frames: plan
                .frames
                .iter()
                .map(|&(at, tier, _)| (at, tier))
                .collect(),
            spent: plan.frames.iter().map(|(.., tokens)| tokens).sum(),
            prices: prices(&plan.frames),
            anchors: plan.anchors,
            windows: plan.windows,
            onsets: plan.onsets,
            hops: plan.hops,
            untaken: (plan.header.candidates_per_min > 0).then_some(plan.untaken),
            budget: plan.header.budget_tokens,
        },
    })
}
