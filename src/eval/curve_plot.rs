//! Draws events shown against tokens as SVG: a panel for each tier, a line for anchors, even and random frames.

use std::fmt::Write;

use anchoring::tier::Tier;

use super::curve::{Curve, Point, at_least};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 340.0;
const INK: &str = "#16181d";
const SOFT: &str = "#5b616b";
const PALE: &str = "#d6d9de";
/// Colour, dashes and name of each line.
const LINES: [(&str, &str, &str); 3] = [
    ("#0072b2", "", "frames at anchors"),
    ("#7d858f", "", "even frames"),
    ("#7d858f", "4 4", "random frames"),
];
/// Left edge, width, top and bottom of the panels.
const LEFT: f64 = 56.0;
const PANEL: f64 = 272.0;
const APART: f64 = 300.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 270.0;

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, fill: &str, words: &str) {
    // Writing to a string never fails.
    let _ = writeln!(
        svg,
        r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" fill="{fill}">{words}</text>"#
    );
}

/// The whole drawing.
pub(crate) fn svg(curve: &Curve) -> String {
    let mut body = String::new();
    let title = format!(
        "Share of {} events seen against tokens a second; {} recording{}",
        curve.events,
        curve.recordings,
        if curve.recordings == 1 { "" } else { "s" }
    );
    text(&mut body, 20.0, 26.0, "start", INK, &title);
    for (k, tier) in Tier::ALL.into_iter().enumerate() {
        let points: Vec<&Point> = curve.points.iter().filter(|p| p.tier == tier).collect();
        panel(&mut body, LEFT + APART * k as f64, tier, &points);
    }
    let mut x = LEFT;
    for (colour, dash, name) in LINES {
        let y = BOTTOM + 50.0;
        let _ = writeln!(
            body,
            r#"<path d="M{x:.1} {y:.1}h26" fill="none" stroke="{colour}" stroke-width="2.5" stroke-dasharray="{dash}"/>"#
        );
        text(&mut body, x + 32.0, y + 4.0, "start", SOFT, name);
        x += 180.0;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n"
    )
}

fn panel(svg: &mut String, left: f64, tier: Tier, points: &[&Point]) {
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return;
    };
    let (low, high) = (first.tokens_per_s.log2(), last.tokens_per_s.log2());
    let x = |tokens: f64| match high > low {
        true => left + (tokens.log2() - low) / (high - low) * PANEL,
        false => left + PANEL / 2.0,
    };
    let y = |share: f64| BOTTOM - share * (BOTTOM - TOP);
    text(svg, left, TOP - 12.0, "start", INK, at_least(tier));
    for k in 0..=4 {
        let share = f64::from(k) / 4.0;
        let at = y(share);
        let _ = writeln!(
            svg,
            r#"<path d="M{left:.1} {at:.1}h{PANEL}" stroke="{PALE}"/>"#
        );
        if tier == Tier::ALL[0] {
            text(
                svg,
                left - 6.0,
                at + 4.0,
                "end",
                SOFT,
                &format!("{share:.2}"),
            );
        }
    }
    // Leaves out names that would overlap.
    let mut free = f64::MIN;
    for point in points {
        let (at, words) = (x(point.tokens_per_s), point.tokens_per_s.to_string());
        let half = 3.5 * words.len() as f64;
        if at - half > free {
            text(svg, at, BOTTOM + 18.0, "middle", SOFT, &words);
            free = at + half + 4.0;
        }
    }
    let of: [fn(&Point) -> Option<f64>; 3] = [
        |point| point.anchors,
        |point| Some(point.even),
        |point| Some(point.random),
    ];
    // Anchors last, so that nothing hides them.
    for ((colour, dash, _), of) in LINES.iter().zip(of).rev() {
        let known: Vec<(f64, f64)> = points
            .iter()
            .filter_map(|point| Some((x(point.tokens_per_s), y(of(point)?))))
            .collect();
        let steps: Vec<String> = known
            .iter()
            .map(|(x, y)| format!("{x:.1} {y:.1}"))
            .collect();
        let _ = writeln!(
            svg,
            r#"<path d="M{}" fill="none" stroke="{colour}" stroke-width="2.5" stroke-dasharray="{dash}"/>"#,
            steps.join("L")
        );
        for (x, y) in known.iter().filter(|_| dash.is_empty()) {
            let _ = writeln!(
                svg,
                r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{colour}"/>"#
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tier_has_a_panel_and_unknown_points_are_left_out() {
        let point = |tokens_per_s, tier, anchors| Point {
            tokens_per_s,
            tier,
            anchors,
            even: 0.25,
            random: 0.125,
        };
        let points = [20.0, 80.0].into_iter();
        let curve = Curve {
            recordings: 1,
            events: 19,
            points: points
                .flat_map(|t| Tier::ALL.map(|tier| point(t, tier, (t > 50.0).then_some(0.5))))
                .collect(),
        };
        let drawn = svg(&curve);
        for name in [
            "any tier",
            "base or high tier",
            "high tier",
            "even frames",
            "1 recording<",
        ] {
            assert!(drawn.contains(name), "{name}");
        }
        // Two lines of even frames and one known line at anchors, in three panels.
        assert_eq!(drawn.matches("<circle").count(), 9);
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"));
    }
}
