//! Draws accuracy against tokens, the encoder's operations and wall time: a panel for each, its front joined.

use crate::report::plot::{Align, Drawing, Theme, wide};

use super::table::{COSTS, Row};

const WIDE: f64 = 470.0;
const HIGH: f64 = 560.0;
/// Inside a panel: left, right, top and bottom of the plot.
const LEFT: f64 = 58.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 56.0;
/// Between lines of names.
const LINE: f64 = 13.0;

fn share(x: f64) -> String {
    format!("{:.1}", 100.0 * x)
}

/// The drawing.
pub(super) fn draw(title: &str, rows: &[Row]) -> Drawing {
    let theme = Theme::new(false);
    let mut drawing = Drawing {
        width: WIDE * COSTS.len() as f64,
        height: HIGH,
        back: theme.back.into(),
        words: format!("{title}: accuracy against tokens, operations and wall time"),
        ..Drawing::default()
    };
    drawing.text(20.0, 28.0, 15.0, Align::Left, theme.ink, title);
    for (k, (what, _)) in COSTS.iter().enumerate() {
        panel(&mut drawing, &theme, WIDE * k as f64, rows, k, what);
    }
    drawing
}

fn panel(drawing: &mut Drawing, theme: &Theme, left: f64, rows: &[Row], k: usize, what: &str) {
    let costs: Vec<(f64, &Row)> = rows
        .iter()
        .filter_map(|row| Some((row.costs[k]?, row)))
        .collect();
    if costs.is_empty() {
        let words = format!("{what}: unknown");
        drawing.text(
            left + LEFT,
            TOP + 20.0,
            12.0,
            Align::Left,
            theme.soft,
            &words,
        );
        return;
    }
    let (least, most) = costs.iter().fold((f64::MAX, 0.0_f64), |(a, b), (cost, _)| {
        (a.min(*cost), b.max(*cost))
    });
    let least = least.max(f64::MIN_POSITIVE);
    let (low, high) = costs.iter().fold((1.0_f64, 0.0_f64), |(a, b), (_, row)| {
        (a.min(row.accuracy), b.max(row.accuracy))
    });
    let low = (low * 20.0).floor() / 20.0;
    let high = ((high * 20.0).ceil() / 20.0).max(low + 0.05);
    let (right, bottom) = (left + WIDE - RIGHT, HIGH - BOTTOM);
    let octaves = (most / least).log2().max(1.0);
    let x = |cost: f64| {
        left + LEFT
            + 10.0
            + (right - left - LEFT - 10.0) * (cost.max(least) / least).log2() / octaves
    };
    let y = |accuracy: f64| bottom - (bottom - TOP) * (accuracy - low) / (high - low);
    let mut step = low;
    while step <= high + 1e-9 {
        drawing.line(&[(left + LEFT, y(step)), (right, y(step))], theme.line, 1.0);
        let words = format!("{:.0} %", 100.0 * step);
        drawing.text(
            left + LEFT - 6.0,
            y(step) + 4.0,
            11.0,
            Align::Right,
            theme.soft,
            &words,
        );
        step += 0.05;
    }
    let mut octave = least;
    while octave <= most * 1.01 {
        let words = if octave < 10.0 {
            format!("{octave:.2}")
        } else {
            format!("{octave:.0}")
        };
        drawing.text(
            x(octave),
            bottom + 18.0,
            11.0,
            Align::Middle,
            theme.soft,
            &words,
        );
        octave *= 2.0;
    }
    drawing.text(
        (left + LEFT + right) / 2.0,
        bottom + 40.0,
        12.0,
        Align::Middle,
        theme.ink,
        what,
    );
    let mut front: Vec<(f64, f64)> = costs
        .iter()
        .filter(|(_, row)| row.fronts[k])
        .map(|(cost, row)| (x(*cost), y(row.accuracy)))
        .collect();
    front.sort_by(|a, b| a.0.total_cmp(&b.0));
    if front.len() > 1 {
        drawing.line(&front, theme.found, 1.5);
    }
    // Names of one column do not overlap: pushed down from the top, then up from the bottom.
    let mut names: Vec<(i64, f64, f64, &Row)> = costs
        .iter()
        .map(|(cost, row)| ((x(*cost) / 100.0) as i64, x(*cost), y(row.accuracy), *row))
        .collect();
    names.sort_by(|a, b| a.0.cmp(&b.0).then(a.2.total_cmp(&b.2)));
    let mut places: Vec<f64> = names.iter().map(|name| name.2).collect();
    for i in 1..names.len() {
        if names[i].0 == names[i - 1].0 {
            places[i] = places[i].max(places[i - 1] + LINE);
        }
    }
    for i in (0..names.len()).rev() {
        let below = match names.get(i + 1) {
            Some(next) if next.0 == names[i].0 => places[i + 1] - LINE,
            _ => bottom - 4.0,
        };
        places[i] = places[i].min(below);
    }
    let edge = left + WIDE - 4.0;
    for ((_, px, py, row), place) in names.into_iter().zip(places) {
        let colour = if row.fronts[k] {
            theme.found
        } else {
            theme.background
        };
        drawing.rect(px - 3.0, py - 3.0, 6.0, 6.0, colour, 1.0);
        let words = format!("{} {}", row.policy, share(row.accuracy));
        let from = (px + 8.0).min(edge - wide(&words, 10.0));
        drawing.line(&[(px + 3.0, py), (from - 2.0, place)], theme.line, 0.7);
        drawing.text(from, place + 3.5, 10.0, Align::Left, theme.ink, &words);
    }
}
