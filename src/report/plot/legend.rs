//! The legend of a drawing: each mark as the rows draw it.

use super::shapes::{Align, Colour, Drawing, Theme, wide};

/// What a drawing shows beside frames and anchors.
#[derive(Clone, Copy)]
pub(super) struct PlotContent {
    /// Labelled events.
    pub labels: bool,
    /// Candidates that were not taken.
    pub candidates: bool,
    /// Quality.
    pub quality: bool,
}

/// A mark.
#[derive(Clone, Copy)]
enum Mark {
    /// A frame.
    Square(Colour),
    /// An event and its sign.
    Event(Colour, &'static str),
    /// A missed event whose onset was a candidate.
    Outline(Colour),
    /// An anchor without a label.
    Down(Colour),
    /// A candidate that was not taken.
    Ring,
    /// Sound that cannot be trusted.
    Hatch,
    /// Quality of a frame.
    Point,
    /// Quality of the sound.
    Line,
    /// Quality of both.
    Area,
}

/// Draws the marks from `left` to the drawing's width, the first at height `y`; returns the height of the last.
pub(super) fn draw(
    drawing: &mut Drawing,
    theme: &Theme,
    (left, mut y): (f64, f64),
    has: PlotContent,
) -> f64 {
    let mut marks: Vec<(Mark, &str)> = Vec::new();
    if has.labels {
        marks.push((Mark::Event(theme.found, "✓"), "event with an anchor"));
        let seen = Mark::Event(theme.seen, "○");
        marks.push((seen, "event with a background frame"));
        let missed = Mark::Event(theme.missed, "✕");
        if has.candidates {
            marks.push((missed, "missed event, not heard"));
            let poor = "missed event, heard, budget spent elsewhere";
            marks.push((Mark::Outline(theme.missed), poor));
        } else {
            marks.push((missed, "missed event"));
        }
        marks.push((Mark::Down(theme.false_anchor), "anchor without a label"));
    }
    if has.candidates {
        marks.push((Mark::Ring, "heard, not taken"));
    }
    marks.extend([
        (Mark::Square(theme.anchor), "frame at an anchor"),
        (Mark::Square(theme.background), "background frame"),
        (Mark::Square(theme.untrusted), "untrusted frame"),
        (Mark::Hatch, "sound cannot be trusted"),
    ]);
    if has.quality {
        marks.extend([
            (Mark::Line, "quality of the sound"),
            (Mark::Point, "of a frame"),
            (Mark::Area, "of both in ten seconds"),
        ]);
    }
    let mut x = left;
    for (mark, words) in marks {
        let room = wide(words, 11.0) + 34.0;
        if x + room > drawing.width && x > left {
            x = left;
            y += 17.0;
        }
        put(drawing, theme, mark, x, y - 9.0);
        drawing.text(x + 16.0, y, 11.0, Align::Left, theme.soft, words);
        x += room;
    }
    y
}

/// A mark in a square of 11 pixels.
fn put(drawing: &mut Drawing, theme: &Theme, mark: Mark, x: f64, y: f64) {
    match mark {
        Mark::Square(colour) => drawing.rect(x, y, 10.0, 10.0, colour, 1.0),
        Mark::Event(colour, sign) => {
            drawing.rect(x, y - 0.5, 11.0, 11.0, colour, 1.0);
            drawing.text(x + 5.5, y + 8.5, 9.0, Align::Middle, theme.back, sign);
        }
        Mark::Outline(colour) => {
            drawing.rect(x, y - 0.5, 11.0, 11.0, colour, 1.0);
            drawing.rect(x + 1.5, y + 1.0, 8.0, 8.0, theme.back, 1.0);
            drawing.text(x + 5.5, y + 8.0, 8.0, Align::Middle, colour, "✕");
        }
        Mark::Down(colour) => {
            let corners = [(x + 5.0, y + 9.0), (x + 1.0, y + 2.0), (x + 9.0, y + 2.0)];
            let around = [corners[0], corners[1], corners[2], corners[0]];
            drawing.line(&around, colour, 1.4);
        }
        Mark::Ring => drawing.ring(x + 5.0, y + 5.0, 3.0, theme.soft),
        Mark::Point => drawing.rect(x + 3.5, y + 3.5, 3.0, 3.0, theme.ink, 1.0),
        Mark::Line => drawing.line(&[(x, y + 5.0), (x + 11.0, y + 5.0)], theme.soft, 1.2),
        Mark::Area => drawing.rect(x, y, 10.0, 10.0, theme.soft, 0.2),
        Mark::Hatch => drawing.hatch(x, y - 0.5, 11.0, 11.0, theme.unsure),
    }
}
