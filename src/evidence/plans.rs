//! Writes a policy's plan files, and counts how many seconds of events its anchors hit.

use std::path::Path;

use anchoring::plan::{Anchor, Entry, Header, Plan, Reason, SCHEMA};
use anchoring::tier::{Prices, Tier};
use anchoring::time::{Nanos, Window};
use anyhow::{Context, bail};
use serde::Serialize;
use serde_json::json;

use super::allocation::{PieceInputs, Selection, allocate};
use super::clips::Clip;
use super::listen::SoundBySecond;
use super::protocol::{Kind, Policy, Protocol};
use crate::files;
use crate::outputs;

/// Length of a second.
const SECOND: i64 = 1_000_000_000;

/// Seconds of an event that anchors hit.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct EventHits {
    /// Seconds with an event.
    pub(super) seconds: usize,
    /// How many of those are an anchor's.
    pub(super) anchored: usize,
    /// How many of those an anchor grew to.
    pub(super) grown: usize,
}

impl EventHits {
    pub(super) fn add(&mut self, taken: &Selection, event: &[bool]) {
        let of = |seconds: &[usize]| seconds.iter().filter(|i| event[**i]).count();
        self.seconds += event.iter().filter(|event| **event).count();
        self.anchored += of(&taken.anchors);
        self.grown += of(&taken.grown);
    }

    /// Recall@K and Recall@K,D.
    pub(super) fn recall(self) -> (f64, f64) {
        let of = |hit: usize| hit as f64 / self.seconds.max(1) as f64;
        (of(self.anchored), of(self.grown))
    }

    /// The same; none of a policy that spreads frames evenly, which chooses no seconds.
    pub(super) fn chosen(self, kind: Kind) -> (Option<f64>, Option<f64>) {
        (kind != Kind::Uniform).then(|| self.recall()).unzip()
    }
}

/// A policy's line in the table of recalls.
pub(super) fn line(policy: &str, tokens: f64, recall: Option<f64>, grown: Option<f64>) -> String {
    let shown = |share: Option<f64>| share.map_or_else(|| "-".into(), |x| format!("{x:.3}"));
    let (recall, grown) = (shown(recall), shown(grown));
    format!("{policy:<22}{tokens:>8.1}{recall:>11}{grown:>13}\n")
}

/// A policy's choice for every piece of a recording.
///
/// # Errors
/// It costs more than its budget.
pub(super) fn take(
    protocol: &Protocol,
    policy: &Policy,
    prices: Prices,
    clip: &Clip,
    heard: &SoundBySecond,
    background: usize,
) -> anyhow::Result<Vec<Selection>> {
    let event: Vec<bool> = clip
        .labels
        .iter()
        .map(|label| *label != background)
        .collect();
    let seed = clip
        .name
        .bytes()
        .fold(protocol.seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    (0..clip.labels.len() / protocol.seconds)
        .map(|piece| {
            let of = piece * protocol.seconds..(piece + 1) * protocol.seconds;
            let known = PieceInputs {
                onset: &heard.onset[of.clone()],
                tagger: &heard.tagger[of.clone()],
                energy: &heard.energy[of.clone()],
                event: &event[of],
                seed: seed.wrapping_add(piece as u64),
            };
            allocate(protocol, policy, prices, known)
        })
        .collect()
}

/// The plan of a recording: a frame in the middle of each second.
pub(super) fn plan(
    protocol: &Protocol,
    policy: &Policy,
    prices: Prices,
    clip: &Clip,
    heard: &SoundBySecond,
    taken: &[Selection],
) -> Plan {
    let end = clip.duration.max(Nanos::new(1));
    let (mut anchors, mut entries) = (Vec::new(), Vec::new());
    for (piece, taken) in taken.iter().enumerate() {
        for (i, tier) in taken.tiers.iter().enumerate() {
            let second = piece * protocol.seconds + i;
            let start = Nanos::new(second as i64 * SECOND);
            let planned = middle(second, end);
            let stop = Nanos::new(start.get() + SECOND).min(end);
            let mut anchor = None;
            if taken.anchors.contains(&i)
                && let Some(window) = Window::new(start, stop)
            {
                let id = anchors.len() as u32;
                let score = heard.onset[second].clamp(0.0, 1.0);
                anchors.push(Anchor {
                    id,
                    onset: planned,
                    window,
                    label: String::new(),
                    class_id: -1,
                    score,
                    uncertainty: 1.0 - score,
                });
                anchor = Some(id);
            }
            let reason = match anchor {
                Some(_) => Reason::Anchor,
                None if policy.kind == Kind::Uniform => Reason::Uniform,
                None => Reason::Background,
            };
            entries.push(Entry {
                planned,
                asked: None,
                tier: *tier,
                tokens: prices.of(*tier),
                reason,
                anchor,
            });
        }
    }
    Plan {
        header: Header {
            schema: SCHEMA.into(),
            video_id: clip.name.clone(),
            duration: end,
            budget_tokens: protocol.numbers(policy).budget * taken.len() as u64,
            spent_tokens: taken.iter().map(|taken| taken.spent).sum(),
            config: json!({ "policy": policy, "seconds": protocol.seconds }),
            candidates_per_min: 0,
        },
        anchors,
        entries,
        clips: Vec::new(),
        untaken: Vec::new(),
    }
}

/// A plan with every second of a recording at one tier.
pub(super) fn even(prices: Prices, clip: &Clip, tier: Tier) -> Plan {
    let end = clip.duration.max(Nanos::new(1));
    let entries: Vec<Entry> = (0..clip.labels.len())
        .map(|second| Entry {
            planned: middle(second, end),
            asked: None,
            tier,
            tokens: prices.of(tier),
            reason: Reason::Uniform,
            anchor: None,
        })
        .collect();
    let spent = entries.iter().map(|entry| entry.tokens).sum();
    Plan {
        header: Header {
            schema: SCHEMA.into(),
            video_id: clip.name.clone(),
            duration: end,
            budget_tokens: spent,
            spent_tokens: spent,
            config: json!({}),
            candidates_per_min: 0,
        },
        anchors: Vec::new(),
        entries,
        clips: Vec::new(),
        untaken: Vec::new(),
    }
}

/// The middle of a second; a recording may end within its last one.
fn middle(second: usize, end: Nanos) -> Nanos {
    Nanos::new(second as i64 * SECOND + SECOND / 2).min(Nanos::new(end.get() - 1))
}

/// Writes a plan; keeps an equal one that exists.
///
/// # Errors
/// It cannot be written, or another plan exists.
pub(super) fn write(plan: &Plan, file: &Path) -> anyhow::Result<()> {
    let text = plan.to_text();
    if file.exists() {
        let there = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        if there != text {
            bail!(
                "{} is a different plan: did the protocol or a label change? choose another folder",
                file.display()
            );
        }
        return Ok(());
    }
    files::write(file, text.as_bytes(), false)
}

/// The tier of every frame of a plan file, in order.
///
/// # Errors
/// The file is not a plan.
pub(super) fn tiers(file: &Path, prices: Prices) -> anyhow::Result<Vec<Tier>> {
    let mut tiers = Vec::new();
    outputs::plan::read(file, Some(prices), |line| {
        if let Some(entry) = line.entry() {
            tiers.push(entry.tier);
        }
    })?;
    Ok(tiers)
}
