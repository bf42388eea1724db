//! Renders the report: one HTML file that opens from disk.
//!
//! Markup comes from an escaping template, data as JSON that cannot close its element, columns as base64, thumbnails as data URLs. A content
//! security policy lets the browser run only the page's own scripts.

use anchoring::time::Nanos;
use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gstearmark::frame_quality::FrameQuality;
use gstearmark::h5::{self, Tables};
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Value as Slot, context};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::columns::{bytes, numbered, rows, share, short, times};
use super::detail::CueLevels;
use super::parsed;
use super::recording::{ClassCounts, RunView, clock};
use super::truth::{AnchorResult, EventResult};
use crate::outputs::LeftOut;
use crate::outputs::features::Readable;
use crate::terminal::grouped;

/// Largest page, in bytes.
pub(crate) const MOST_BYTES: usize = 15_000_000;
/// Space for everything but thumbnails and data.
const MARGIN: usize = 400_000;
/// Most rows in the tables of labels.
const MOST_CLASSES: usize = 60;

const BASE: &str = include_str!("assets/base.html");
const PAGE: &str = include_str!("assets/page.html");
const INDEX: &str = include_str!("assets/index.html");
const STYLE: &str = include_str!("assets/page.css");
const SCRIPTS: [&str; 3] = [
    include_str!("assets/timeline.js"),
    include_str!("assets/sheet.js"),
    include_str!("assets/page.js"),
];
const CHARTS: &str = include_str!("assets/vendor/uPlot.iife.min.js");
const CHARTS_STYLE: &str = include_str!("assets/vendor/uPlot.min.css");

/// Renders the page of one or two runs.
///
/// # Errors
/// The thumbnails cannot be read.
pub(crate) fn page(
    run: &RunView,
    other: Option<&RunView>,
    video: Option<&str>,
    decoding: Option<&Value>,
) -> anyhow::Result<String> {
    let sounding = if run.cues.pts_ns.is_empty() {
        other.unwrap_or(run)
    } else {
        run
    };
    let sound = CueLevels::new(&sounding.cues).map(|strip| sound(&strip));
    let runs: Vec<&RunView> = [Some(run), other].into_iter().flatten().collect();
    let columns: Vec<Value> = runs.iter().map(|run| data(run)).collect();
    let mut data = json!({
        "video": video,
        "distrust": run.setting("budget", "distrust").and_then(Value::as_f64).unwrap_or(0.9),
        "sound": sound,
        "runs": columns,
    });
    let mut left = MOST_BYTES.saturating_sub(MARGIN + data.to_string().len()) / runs.len();
    let mut left_out = 0;
    for (at, run) in runs.iter().enumerate() {
        let (thumbnails, dropped) = thumbnails(run, left)?;
        left_out += dropped;
        data["runs"][at]["thumbnails"] = thumbnails;
        // The second run gets the space that the first did not need.
        left = MOST_BYTES.saturating_sub(MARGIN + data.to_string().len());
    }
    let context = context! {
        title => title(run),
        runs => Serde(runs.iter().map(|run| about(run)).collect::<Vec<_>>()),
        video => video,
        decoding => decoding.map(Serde),
        tolerance => super::truth::TOLERANCE as f64 / 1e9,
        left_out => left_out,
    };
    let script = [&[CHARTS], &SCRIPTS[..]].concat().join("\n");
    render(PAGE, context, &data, &script, CHARTS_STYLE)
}

/// Renders the index of a folder.
///
/// # Errors
/// The template does not render.
pub(crate) fn index(folder: &str, rows: &[Value]) -> anyhow::Result<String> {
    let context = context! { title => folder, rows => Serde(rows) };
    render(INDEX, context, &Value::Null, "", "")
}

/// Renders a page of the same style from another template, which extends `base.html`.
///
/// # Errors
/// The template does not render.
pub(crate) fn page_from(template: &str, context: Slot, script: &str) -> anyhow::Result<String> {
    render(template, context, &Value::Null, script, "")
}

fn render(
    template: &str,
    context: Slot,
    data: &Value,
    script: &str,
    style: &str,
) -> anyhow::Result<String> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_filter("grouped", |number: u64| grouped(number));
    environment.add_filter("seconds", |seconds: f64| time(seconds));
    environment.add_filter("fixed", |number: f64, digits: usize| {
        format!("{number:.digits$}")
    });
    environment
        .add_template("base.html", BASE)
        .and_then(|()| environment.add_template("page.html", template))
        .context("the template of the report is broken")?;
    let style = format!("{STYLE}\n{style}");
    let hash = STANDARD.encode(Sha256::digest(script));
    let own = context! {
        // Fetches nothing, and only the script with this hash runs, whatever a label contains.
        policy => format!(
            "default-src 'none'; img-src data:; media-src 'self' file: http: https:; style-src 'unsafe-inline'; script-src 'sha256-{hash}'"
        ),
        version => env!("CARGO_PKG_VERSION"),
        style => Slot::from_safe_string(style),
        script => Slot::from_safe_string(script.to_owned()),
        data => Slot::from_safe_string(for_script(data)),
        ..context
    };
    environment
        .get_template("page.html")
        .and_then(|template| template.render(own))
        .context("cannot render the report")
}

/// JSON that is safe in a `<script>` element: it cannot end the element or start a comment.
fn for_script(data: &Value) -> String {
    let mut text = String::new();
    for c in data.to_string().chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                text.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => text.push(c),
        }
    }
    text
}

fn title(run: &RunView) -> String {
    let id = &run.summary.video_id;
    short(if id.is_empty() { "a recording" } else { id })
}

/// "1.24 s", "3 min 20 s".
fn time(seconds: f64) -> String {
    if seconds < 100.0 {
        format!("{seconds:.2} s")
    } else {
        let whole = seconds.round() as u64;
        match whole / 3600 {
            0 => format!("{} min {} s", whole / 60, whole % 60),
            hours => format!("{hours} h {} min", whole / 60 % 60),
        }
    }
}

fn sound(strip: &CueLevels) -> Value {
    let level = |level: &super::detail::Level| {
        json!({
            "n": level.cells(), "low": bytes(&level.low), "high": bytes(&level.high), "unsure": bytes(&level.unsure),
            "speech": bytes(&level.speech), "bands": bytes(&level.packed_bands()), "change": bytes(&level.change),
        })
    };
    json!({
        "start": strip.start_ns as f64 / 1e9,
        "step": strip.step_ns as f64 / 1e9,
        "levels": strip.levels.iter().map(level).collect::<Vec<_>>(),
    })
}

/// The data columns of a run.
fn data(run: &RunView) -> Value {
    let tables = &run.tables;
    let anchors = &tables.anchors;
    let mut first_frame = vec![None; anchors.len()];
    for (frame, anchor) in tables.anchor.iter().enumerate().rev() {
        let slot = usize::try_from(*anchor)
            .ok()
            .and_then(|anchor| first_frame.get_mut(anchor));
        if let Some(slot) = slot {
            *slot = Some(frame);
        }
    }
    let (labels, label) = numbered(anchors.iter().map(|anchor| anchor.label.as_str()));
    let facts = run.facts();
    let events = run.verdict.as_ref().map(|verdict| {
        let events = &verdict.events;
        let (classes, class) = numbered(events.iter().map(|judged| judged.event.class.as_str()));
        json!({
            "n": events.len(),
            "start": times(events.iter().map(|judged| judged.event.span.start().get())),
            "stop": times(events.iter().map(|judged| judged.event.span.stop().get())),
            "class": class, "classes": classes,
            "result": bytes(&events.iter().map(|judged| judged.result as u8).collect::<Vec<_>>()),
            "anchor": rows(events.iter().map(|judged| judged.anchor)),
            "frame": rows(events.iter().map(|judged| judged.frame)),
            "heard": rows(events.iter().map(|judged| judged.candidate)),
        })
    });
    let candidates = &tables.candidates;
    let more = |one: &h5::CandidateRow| u32::try_from(one.more_tokens).unwrap_or(u32::MAX);
    json!({
        "name": name(run),
        "duration": run.duration_ns() as f64 / 1e9,
        "budget": run.summary.budget_tokens,
        "frames": {
            "n": tables.pts_ns.len(),
            "at": times(tables.pts_ns.iter().copied()),
            "planned": times(tables.planned_ns.iter().copied()),
            "asked": times(tables.asked_ns.iter().copied()),
            "tier": bytes(&tables.tier.iter().map(|tier| *tier as u8).collect::<Vec<_>>()),
            "reason": bytes(&tables.reason.iter().map(|reason| *reason as u8).collect::<Vec<_>>()),
            "tokens": bytes(&tables.tokens.iter().flat_map(|tokens| tokens.to_le_bytes()).collect::<Vec<_>>()),
            "anchor": bytes(&tables.anchor.iter().flat_map(|row| row.to_le_bytes()).collect::<Vec<_>>()),
            "quality": quality(tables),
            // What each covers, where rows are clips.
            "spans": tables.clips.as_ref().map(|clips| json!({
                "start": times(clips.start_ns.iter().copied()),
                "stop": times(clips.stop_ns.iter().copied()),
            })),
        },
        "anchors": {
            "n": anchors.len(),
            "onset": times(anchors.iter().map(|anchor| anchor.onset_ns)),
            "start": times(anchors.iter().map(|anchor| anchor.start_ns)),
            "stop": times(anchors.iter().map(|anchor| anchor.stop_ns)),
            "score": bytes(&anchors.iter().map(|anchor| share(anchor.score)).collect::<Vec<_>>()),
            "unsure": bytes(&anchors.iter().map(|anchor| share(anchor.uncertainty)).collect::<Vec<_>>()),
            "label": label, "labels": labels,
            "frame": rows(first_frame.into_iter()),
            "standing": run.verdict.as_ref().map(|verdict| bytes(&verdict.anchors.iter().map(|standing| *standing as u8).collect::<Vec<_>>())),
        },
        "candidates": {
            // Whether the plan keeps candidates that it did not take.
            "known": run.summary.candidates_per_min > 0,
            "n": candidates.len(),
            "onset": times(candidates.iter().map(|one| one.onset_ns)),
            "score": bytes(&candidates.iter().map(|one| share(one.score)).collect::<Vec<_>>()),
            "more": bytes(&candidates.iter().flat_map(|one| more(one).to_le_bytes()).collect::<Vec<_>>()),
        },
        "events": events,
        "parsed": run.events.as_deref().map(parsed::timeline),
        "gaps": facts.gaps.iter().map(|(from, to)| [*from as f64 / 1e9, *to as f64 / 1e9]).collect::<Vec<_>>(),
    })
}

/// Score and measures of every frame, one byte each; null if there are none.
fn quality(tables: &Tables) -> Value {
    let row = |frame: &FrameQuality| {
        let measures = frame.values().map(share);
        [share(frame.score())].into_iter().chain(measures)
    };
    match tables.quality.is_empty() {
        true => Value::Null,
        false => json!({
            "names": FrameQuality::NAMES,
            "values": bytes(&tables.quality.iter().flat_map(row).collect::<Vec<_>>()),
        }),
    }
}

fn name(run: &RunView) -> String {
    let name = run.path.file_name().unwrap_or(run.path.as_os_str());
    short(&name.to_string_lossy())
}

/// As many thumbnails as fit into `room` bytes: anchors first, by score, then background frames, evenly. Also returns how many are left out.
fn thumbnails(run: &RunView, room: usize) -> anyhow::Result<(Value, usize)> {
    let all = run.tables.pts_ns.len();
    if !run.summary.thumbnails {
        return Ok((Value::Null, 0));
    }
    let score = |row: usize| {
        let anchor = usize::try_from(*run.tables.anchor.get(row)?).ok()?;
        Some(run.tables.anchors.get(anchor)?.score)
    };
    let (mut likely, plain): (Vec<usize>, Vec<usize>) =
        (0..all).partition(|row| score(*row).is_some());
    likely.sort_by(|a, b| {
        score(*b)
            .unwrap_or(0.0)
            .total_cmp(&score(*a).unwrap_or(0.0))
    });
    // Every 64th, then every 32nd between them and so on: wherever it stops, they are spread evenly.
    let spread = (0..=6).rev().flat_map(|power| {
        let stride = 1_usize << power;
        let is_new = move |at: &usize| power == 6 || !at.is_multiple_of(2 * stride);
        (0..plain.len()).step_by(stride).filter(is_new)
    });
    let order: Vec<usize> = likely
        .iter()
        .copied()
        .chain(spread.filter_map(|at| plain.get(at).copied()))
        .collect();
    let file = run.file.as_ref().map_or(run.path.as_path(), Readable::path);
    let mut wanted = Vec::new();
    let mut used = 0;
    // Sizes are unknown before reading, so read in order of priority, some at a time.
    let mut kept: Vec<(usize, String)> = Vec::new();
    for some in order.chunks(512) {
        wanted.clear();
        wanted.extend_from_slice(some);
        wanted.sort_unstable();
        h5::read_thumbnails(file, &wanted, |row, jpeg| {
            // Base64, quotes, a comma, the row number.
            let cost = jpeg.len().div_ceil(3) * 4 + 12;
            if !jpeg.is_empty() && used + cost <= room {
                used += cost;
                kept.push((row, STANDARD.encode(jpeg)));
            }
        })?;
        if used + 20_000 > room {
            break;
        }
    }
    kept.sort_unstable_by_key(|(row, _)| *row);
    let left_out = all - kept.len();
    let (rows, jpegs): (Vec<usize>, Vec<String>) = kept.into_iter().unzip();
    Ok((json!({ "rows": rows, "jpegs": jpegs }), left_out))
}

/// A run as the template needs it.
pub(super) fn about(run: &RunView) -> Value {
    let summary = &run.summary;
    let facts = run.facts();
    let class = |(name, class): (String, ClassCounts)| {
        let anchors = class.anchors.max(1) as f64;
        json!({
            "name": short(&name), "anchors": class.anchors, "frames": class.frames, "tokens": class.tokens,
            "score": class.score / anchors, "events": class.events, "found": class.found, "seen": class.seen, "missed": class.missed,
        })
    };
    let table = |classes: Vec<(String, ClassCounts)>| {
        let more = classes.len().saturating_sub(MOST_CLASSES);
        let rows: Vec<_> = classes.into_iter().take(MOST_CLASSES).map(class).collect();
        json!({ "rows": rows, "more": more })
    };
    let labelled = run.labelled();
    let total =
        |of: fn(&ClassCounts) -> u64| labelled.iter().map(|(_, class)| of(class)).sum::<u64>();
    let verdict = run.verdict.as_ref().map(|verdict| {
        let at_tier = |tier: anchoring::tier::Tier| {
            let tiers = verdict.events.iter().filter_map(|judged| judged.frame);
            tiers.filter(|row| run.tables.tier.get(*row) == Some(&tier)).count()
        };
        let base = anchoring::tier::Prices::default().of(anchoring::tier::Tier::Base).max(1);
        let even = summary.spent_tokens / base;
        let events = verdict.events.iter().map(|judged| &judged.event);
        let missed = || verdict.events.iter().filter(|judged| judged.result == EventResult::Missed);
        let heard = missed().filter_map(|judged| run.tables.candidates.get(judged.candidate?));
        let untaken: Vec<_> = heard.map(h5::CandidateRow::untaken).collect();
        let poor = LeftOut::new(summary.candidates_per_min, summary.budget_tokens, &untaken);
        json!({
            "knows_why": summary.candidates_per_min > 0, "poor": untaken.len(), "deaf": missed().count() - untaken.len(),
            "larger": poor.with_times_the_tokens.iter().map(|(times, n)| json!([times.to_string(), n])).collect::<Vec<_>>(),
            "even": even, "even_hit": super::truth::evenly(events, run.duration_ns(), even),
            "events": verdict.events.len(), "found": total(|c| c.found), "seen": total(|c| c.seen), "missed": total(|c| c.missed),
            "right": run.standing(AnchorResult::Right), "inside": run.standing(AnchorResult::Inside), "false": run.standing(AnchorResult::False),
            "high": at_tier(anchoring::tier::Tier::High), "base": at_tier(anchoring::tier::Tier::Base), "low": at_tier(anchoring::tier::Tier::Low),
        })
    });
    let without_frame = {
        let with: std::collections::BTreeSet<_> =
            run.tables.anchor.iter().filter(|row| **row >= 0).collect();
        run.tables.anchors.len() - with.len().min(run.tables.anchors.len())
    };
    let seconds = run.duration_ns() as f64 / 1e9;
    let untaken: Vec<_> = run
        .tables
        .candidates
        .iter()
        .map(h5::CandidateRow::untaken)
        .collect();
    let left_out = LeftOut::new(summary.candidates_per_min, summary.budget_tokens, &untaken);
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    json!({
        "name": name(run),
        "video_id": short(&summary.video_id),
        "input_uri": summary.input_uri,
        "duration": clock(run.duration_ns()),
        "complete": summary.complete,
        "policy": text(run.setting("budget", "policy")),
        "planning": text(run.setting("budget", "planning")),
        "frames": summary.frames, "dim": summary.dim,
        "anchors": summary.anchors, "cues": summary.cues, "without_frame": without_frame,
        "not_taken": left_out.text(),
        "spent": summary.spent_tokens, "budget": summary.budget_tokens,
        "share": if summary.budget_tokens > 0 { Some(summary.spent_tokens as f64 * 100.0 / summary.budget_tokens as f64) } else { None },
        "shares": summary.shares,
        "per_second": summary.spent_tokens as f64 / seconds.max(1e-9),
        "seen": summary.access_units_seen, "passed": summary.access_units_passed, "missed": summary.frames_missed,
        "passed_share": summary.access_units_passed as f64 * 100.0 / summary.access_units_seen.max(1) as f64,
        "seconds_with_frame": facts.seconds.0, "seconds": facts.seconds.1,
        "largest_gap": format!("{:.2} s", (facts.largest_gap.1 - facts.largest_gap.0) as f64 / 1e9),
        "largest_gap_at": clock(facts.largest_gap.0),
        "largest_gap_s": facts.largest_gap.0 as f64 / 1e9,
        "gaps": facts.gaps.len(),
        "max_gap": run.setting("budget", "max_gap_ms").and_then(Value::as_f64).map(|ms| ms / 1000.0),
        "untrusted": if facts.untrusted_ns > 0 { Some(Nanos::new(facts.untrusted_ns).to_string()) } else { None },
        "quality": run.quality().map(|quality| quality.lines()).unwrap_or_default(),
        "classes": table(run.classes()),
        "parsed": run.events.as_deref().map(parsed::table),
        "labelled": if run.verdict.is_some() { table(labelled.clone()) } else { Value::Null },
        "verdict": verdict,
        "times": stages(run),
        "models": summary.models, "versions": summary.versions,
        "config": serde_json::to_string_pretty(&run.config).unwrap_or_default(),
        "warnings": summary.warnings,
        "thumbnails": summary.thumbnails,
    })
}

/// Times of passes and stages, and an estimate for encoding every frame at the same rate.
fn stages(run: &RunView) -> Value {
    let Some(passes) = run.summary.times.as_array() else {
        return Value::Null;
    };
    let mut rows = Vec::new();
    let (mut total, mut encode) = (0.0, 0.0);
    for pass in passes {
        let seconds = pass["seconds"].as_f64().unwrap_or(0.0);
        total += seconds;
        rows.push(json!({ "name": pass["pass"], "seconds": seconds, "pass": true }));
        for (stage, seconds) in pass["busy"].as_object().into_iter().flatten() {
            let seconds = seconds.as_f64().unwrap_or(0.0);
            if stage == "encode" || stage == "scale" {
                encode += seconds;
            }
            rows.push(json!({ "name": stage, "seconds": seconds, "pass": false }));
        }
    }
    let base = anchoring::tier::Prices::default().of(anchoring::tier::Tier::Base) as f64;
    let spent = run.summary.spent_tokens as f64;
    let everything = (spent > 0.0 && run.summary.access_units_seen > 0)
        .then(|| encode / spent * base * run.summary.access_units_seen as f64);
    json!({
        "rows": rows, "total": total, "encode": encode, "encode_everything": everything,
        "speed": run.duration_ns() as f64 / 1e9 / total.max(1e-9),
    })
}

#[cfg(test)]
mod tests {
    use super::super::recording::tests::shown;
    use super::*;

    /// Text that could end an element, an attribute, a script or a template.
    const HOSTILE: &str = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'`{{7*7}}{%raw%}<!--\u{2028}&amp;";

    #[test]
    fn hostile_labels_and_names_stay_text() {
        let mut run = shown(&[1, 2, 30], HOSTILE);
        run.path = format!("{}.h5", HOSTILE.replace('/', "_")).into();
        run.summary.video_id = HOSTILE.into();
        run.summary.warnings = vec![HOSTILE.into()];
        run.summary.input_uri = format!("javascript:{HOSTILE}");
        run.config["x"] = HOSTILE.into();
        let html = page(&run, Some(&run), Some("\"><script>"), None).unwrap();
        assert_eq!(html.matches("<script").count(), 2, "the data and our own");
        assert_eq!(html.matches("</script>").count(), 2);
        assert!(!html.contains("<img src=x"));
        assert!(html.contains("{{7*7}}"), "it was parsed as a template");
        assert!(!html.contains("href=\"javascript:"));
        let index = index(
            HOSTILE,
            &[json!({ "name": HOSTILE, "error": HOSTILE, "href": "a%22.html" })],
        )
        .unwrap();
        assert!(!index.contains("<img src=x") && !index.contains("<script>alert"));
    }

    #[test]
    fn data_reads_back_as_what_it_was() {
        let text = for_script(&json!({ "label": HOSTILE }));
        assert!(!text.contains(['<', '>', '&', '\u{2028}']));
        let back: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(back["label"], HOSTILE);
    }

    #[test]
    fn the_policy_names_the_only_script() {
        let html = page(&shown(&[1], "x"), None, None, None).unwrap();
        let begin = html.rfind("<script>").unwrap() + "<script>".len();
        let end = html.rfind("</script>").unwrap();
        let hash = STANDARD.encode(Sha256::digest(&html[begin..end]));
        let escaped = hash.replace('/', "&#x2f;");
        assert!(
            html.contains(&format!("sha256-{hash}")) || html.contains(&format!("sha256-{escaped}"))
        );
        assert!(!html.contains("http://") || !html.contains("src=\"http"));
    }
}
