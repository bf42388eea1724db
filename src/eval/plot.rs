//! Draws results as SVG: share hit, claimed against true probability, events by group.

use std::fmt::Write;

use super::results::{Onsets, Recall, Results};
use super::text::NO_RECOVERY;

const WIDTH: f64 = 960.0;
const BAR: f64 = 18.0;
const INK: &str = "#222";
const PALE: &str = "#ddd";
const OURS: &str = "#1b7f5c";
const THEIRS: &str = "#9aa4ad";
const MOST_CLASSES: usize = 16;

/// Text at a position.
fn text(svg: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let words = words
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let _ = writeln!(
        svg,
        r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" fill="{INK}">{words}</text>"#
    );
}

fn rect(svg: &mut String, x: f64, y: f64, width: f64, height: f64, fill: &str) {
    let width = if width.is_finite() {
        width.max(0.0)
    } else {
        0.0
    };
    let _ = writeln!(
        svg,
        r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" fill="{fill}"/>"#
    );
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), stroke: &str) {
    let _ = writeln!(
        svg,
        r#"<line x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}" stroke="{stroke}"/>"#,
        from.0, from.1, to.0, to.1
    );
}

/// Bars of one tolerance with their intervals; returns the height used.
fn recall(svg: &mut String, r: &Recall, left: f64, top: f64) -> f64 {
    let (label, length) = (left + 100.0, 280.0);
    text(
        svg,
        left,
        top,
        "start",
        &format!("Share of events hit, tolerance {} s", r.tolerance_s),
    );
    let rows = [
        ("plan", &r.plan),
        ("uniform", &r.uniform),
        ("random", &r.random),
        ("time-shifted", &r.shifted),
        ("oracle", &r.oracle),
    ];
    let mut y = top + 12.0;
    for (name, e) in rows {
        text(svg, label - 6.0, y + 13.0, "end", name);
        let fill = if name == "plan" { OURS } else { THEIRS };
        rect(svg, label, y + 2.0, e.value * length, BAR - 4.0, fill);
        let middle = y + BAR / 2.0;
        let (low, high) = (e.low.unwrap_or(e.value), e.high.unwrap_or(e.value));
        line(
            svg,
            (label + low * length, middle),
            (label + high * length, middle),
            INK,
        );
        let beyond = label + high.max(e.value) * length + 6.0;
        text(svg, beyond, y + 13.0, "start", &format!("{:.3}", e.value));
        y += BAR;
    }
    let recovery = match &r.recovery {
        None => format!("recovery - {NO_RECOVERY}"),
        Some(e) => match (e.low, e.high) {
            (Some(low), Some(high)) => {
                format!("recovery {:.3} ({low:.3} to {high:.3})", e.value)
            }
            _ => format!("recovery {:.3}", e.value),
        },
    };
    text(svg, label, y + 14.0, "start", &recovery);
    y + 30.0 - top
}

/// Claimed probability against the share that was true.
fn reliability(svg: &mut String, title: &str, onsets: &Onsets, left: f64, top: f64) {
    let side = 200.0;
    text(svg, left, top, "start", title);
    let (x0, y0) = (left + 30.0, top + 12.0 + side);
    line(svg, (x0, y0), (x0 + side, y0), INK);
    line(svg, (x0, y0), (x0, y0 - side), INK);
    line(svg, (x0, y0), (x0 + side, y0 - side), PALE);
    for bin in &onsets.bins {
        let radius = 2.0 + 10.0 * (bin.onsets as f64 / onsets.count.max(1) as f64).sqrt();
        let _ = writeln!(
            svg,
            r#"<circle cx="{:.1}" cy="{:.1}" r="{radius:.1}" fill="{OURS}" fill-opacity="0.7"/>"#,
            x0 + bin.claimed * side,
            y0 - bin.found * side
        );
    }
    text(svg, x0 + side / 2.0, y0 + 16.0, "middle", "claimed");
    text(svg, x0 + 6.0, y0 - side + 10.0, "start", "found");
    let auroc = onsets
        .auroc
        .map_or(String::new(), |x| format!(", AUROC {x:.3}"));
    let note = format!("{} onsets, ECE {:.3}{auroc}", onsets.count, onsets.ece);
    text(svg, x0, y0 + 32.0, "start", &note);
}

/// The whole drawing.
pub(crate) fn svg(results: &Results) -> String {
    let mut body = String::new();
    let mut y = 34.0;
    let title = format!(
        "{} recordings, {:.0} s, {} events, {} frames; intervals: {}",
        results.recordings,
        results.duration_s,
        results.events,
        results.frame_count,
        results.resampled_by
    );
    text(&mut body, 20.0, y, "start", &title);
    y += 30.0;
    let mut used: f64 = 0.0;
    for (recall_at, left) in results.recall.iter().zip([20.0, 490.0]) {
        used = used.max(recall(&mut body, recall_at, left, y));
    }
    y += used + 16.0;
    let curves = [
        ("Anchors: claimed and true probability", &results.anchors),
        ("All onsets: claimed and true probability", &results.onsets),
    ];
    let mut any = false;
    for ((name, onsets), left) in curves.into_iter().zip([20.0, 490.0]) {
        if let Some(onsets) = onsets {
            reliability(&mut body, name, onsets, left, y);
            any = true;
        }
    }
    if any {
        y += 270.0;
    }
    text(
        &mut body,
        20.0,
        y,
        "start",
        "Share of events hit, by group: plan (bar), uniform (grey), oracle (line)",
    );
    y += 10.0;
    let (label, length) = (330.0, 480.0);
    let mut last = "";
    let mut shown = 0;
    for group in &results.groups {
        if group.by == "class" {
            shown += 1;
            if shown > MOST_CLASSES {
                continue;
            }
        }
        if group.by != last {
            y += 8.0;
            last = group.by;
        }
        let name = format!("{} {} ({})", group.by, group.name, group.events);
        text(&mut body, label - 6.0, y + 13.0, "end", &name);
        rect(
            &mut body,
            label,
            y + 2.0,
            group.uniform * length,
            BAR - 4.0,
            PALE,
        );
        rect(
            &mut body,
            label,
            y + 5.0,
            group.plan * length,
            BAR - 10.0,
            OURS,
        );
        let x = label + group.oracle * length;
        line(&mut body, (x, y + 2.0), (x, y + BAR - 2.0), INK);
        text(
            &mut body,
            label + length + 8.0,
            y + 13.0,
            "start",
            &format!("{:.2}", group.plan),
        );
        y += BAR;
    }
    y += 20.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y:.0}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n"
    )
}
