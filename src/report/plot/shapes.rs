//! Shapes and colours of a drawing; text as outlines.

use serde::Serialize;
use ttf_parser::{Face, OutlineBuilder};

/// DejaVu Sans: Latin, Greek, Cyrillic and some signs; `font.LICENSE` lies beside it.
const FONT: &[u8] = include_bytes!("font.ttf");

/// `#rrggbb`.
pub(crate) type Colour = &'static str;

/// Colours by meaning: Okabe and Ito's, as in the report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Theme {
    pub back: Colour,
    pub ink: Colour,
    pub soft: Colour,
    pub line: Colour,
    pub found: Colour,
    pub seen: Colour,
    pub missed: Colour,
    pub false_anchor: Colour,
    pub anchor: Colour,
    pub background: Colour,
    pub untrusted: Colour,
    pub unsure: Colour,
    /// Quiet to loud.
    pub shades: [Colour; 5],
}

impl Theme {
    pub(crate) fn new(dark: bool) -> Self {
        if dark {
            Self {
                back: "#14161a",
                ink: "#eceef2",
                soft: "#a3a9b4",
                line: "#363b44",
                found: "#2ec79b",
                seen: "#e6b84a",
                missed: "#ff8a3d",
                false_anchor: "#a995ff",
                anchor: "#56b4e9",
                background: "#8f98a3",
                untrusted: "#e08fbb",
                unsure: "#6b7380",
                shades: ["#14161a", "#143c6e", "#3c82be", "#bec8aa", "#fff0be"],
            }
        } else {
            Self {
                back: "#ffffff",
                ink: "#16181d",
                soft: "#5b616b",
                line: "#d6d9de",
                found: "#00795a",
                seen: "#8a6100",
                missed: "#b84a00",
                false_anchor: "#5a3fb0",
                anchor: "#0072b2",
                background: "#7d858f",
                untrusted: "#a8497f",
                unsure: "#9aa0a8",
                shades: ["#ffffff", "#c8daeb", "#699bcd", "#1e508c", "#081632"],
            }
        }
    }

    /// A shade between 0 and 15, `#rrggbb`.
    pub(super) fn shade(&self, shade: u8) -> String {
        let at = f64::from(shade.min(15)) / 15.0 * 4.0;
        let low = (at as usize).min(3);
        let mixed = [0, 1, 2].map(|c| {
            let (a, b) = (rgb(self.shades[low])[c], rgb(self.shades[low + 1])[c]);
            (f64::from(a) + (f64::from(b) - f64::from(a)) * (at - low as f64)).round() as u8
        });
        format!("#{:02x}{:02x}{:02x}", mixed[0], mixed[1], mixed[2])
    }
}

/// Red, green and blue of `#rrggbb`; black if it is invalid.
pub(super) fn rgb(colour: &str) -> [u8; 3] {
    [1, 3, 5].map(|at| {
        let digits = colour.get(at..at + 2);
        digits
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .unwrap_or(0)
    })
}

/// A part of a path; its last point is its end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    Move(f64, f64),
    Line(f64, f64),
    Quad(f64, f64, f64, f64),
    Curve(f64, f64, f64, f64, f64, f64),
    Close,
}

/// Something drawn.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub steps: Vec<Step>,
    /// Filled with a colour.
    pub fill: Option<String>,
    /// Outlined with a colour and a width.
    pub stroke: Option<(String, f64)>,
    /// 0..=1.
    pub opacity: f64,
}

/// All shapes, in the order of drawing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drawing {
    pub width: f64,
    pub height: f64,
    pub back: String,
    /// A description for those who cannot see it.
    pub words: String,
    pub shapes: Vec<Shape>,
}

/// Which side of a text its position is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Align {
    Left,
    Middle,
    Right,
}

impl Drawing {
    pub(crate) fn rect(
        &mut self,
        x: f64,
        y: f64,
        width: f64,
        height: f64,
        fill: &str,
        opacity: f64,
    ) {
        let (right, bottom) = (x + width, y + height);
        self.area(
            &[(x, y), (right, y), (right, bottom), (x, bottom)],
            fill,
            opacity,
        );
    }

    /// Falling lines inside a rectangle: the mark of untrusted sound.
    pub(super) fn hatch(&mut self, x: f64, y: f64, width: f64, height: f64, stroke: &str) {
        const APART: f64 = 6.0;
        let mut steps = Vec::new();
        // Lines of x + y = sum; on a common grid, so that neighbours match.
        let first = ((x + y) / APART).ceil() as i64;
        let last = ((x + width + y + height) / APART).floor() as i64;
        for sum in first..=last {
            let sum = sum as f64 * APART;
            let left = x.max(sum - y - height);
            let right = (x + width).min(sum - y);
            if right > left {
                steps.extend([Step::Move(left, sum - left), Step::Line(right, sum - right)]);
            }
        }
        if !steps.is_empty() {
            self.shapes.push(Shape {
                steps,
                fill: None,
                stroke: Some((stroke.into(), 1.2)),
                opacity: 1.0,
            });
        }
    }

    /// A ring.
    pub(super) fn ring(&mut self, x: f64, y: f64, radius: f64, stroke: &str) {
        let k = 0.5523 * radius;
        let (l, r, t, b) = (x - radius, x + radius, y - radius, y + radius);
        self.shapes.push(Shape {
            steps: vec![
                Step::Move(r, y),
                Step::Curve(r, y + k, x + k, b, x, b),
                Step::Curve(x - k, b, l, y + k, l, y),
                Step::Curve(l, y - k, x - k, t, x, t),
                Step::Curve(x + k, t, r, y - k, r, y),
                Step::Close,
            ],
            fill: None,
            stroke: Some((stroke.into(), 1.1)),
            opacity: 1.0,
        });
    }

    pub(crate) fn area(&mut self, points: &[(f64, f64)], fill: &str, opacity: f64) {
        let mut steps = path(points);
        steps.push(Step::Close);
        self.shapes.push(Shape {
            steps,
            fill: Some(fill.into()),
            stroke: None,
            opacity,
        });
    }

    pub(crate) fn line(&mut self, points: &[(f64, f64)], stroke: &str, thick: f64) {
        self.shapes.push(Shape {
            steps: path(points),
            fill: None,
            stroke: Some((stroke.into(), thick)),
            opacity: 1.0,
        });
    }

    /// Text with its baseline at `y`.
    pub(crate) fn text(
        &mut self,
        x: f64,
        y: f64,
        size: f64,
        align: Align,
        fill: &str,
        words: &str,
    ) {
        let x = match align {
            Align::Left => x,
            Align::Middle => x - wide(words, size) / 2.0,
            Align::Right => x - wide(words, size),
        };
        self.shapes.push(Shape {
            steps: outlines(x, y, size, words),
            fill: Some(fill.into()),
            stroke: None,
            opacity: 1.0,
        });
    }
}

fn path(points: &[(f64, f64)]) -> Vec<Step> {
    let line = |(at, (x, y)): (usize, &(f64, f64))| match at {
        0 => Step::Move(*x, *y),
        _ => Step::Line(*x, *y),
    };
    points.iter().enumerate().map(line).collect()
}

fn face() -> Option<Face<'static>> {
    Face::parse(FONT, 0).ok()
}

/// The width of a text.
pub(crate) fn wide(words: &str, size: f64) -> f64 {
    let Some(face) = face() else { return 0.0 };
    let advance = |c| {
        let glyph = face.glyph_index(c).unwrap_or_default();
        f64::from(face.glyph_hor_advance(glyph).unwrap_or(0))
    };
    words.chars().map(advance).sum::<f64>() * size / f64::from(face.units_per_em())
}

/// The text, cut to this width; `None` if fewer than three characters remain.
pub(super) fn fitted(words: &str, size: f64, room: f64) -> Option<String> {
    if wide(words, size) <= room {
        return Some(words.into());
    }
    let mut kept: Vec<char> = words.chars().take(200).collect();
    while kept.len() > 3 {
        kept.pop();
        let text = format!("{}…", kept.iter().collect::<String>().trim_end());
        if wide(&text, size) <= room {
            return Some(text);
        }
    }
    None
}

/// Outlines of a text from a point on its baseline. A character that the font lacks becomes a box.
fn outlines(mut x: f64, y: f64, size: f64, words: &str) -> Vec<Step> {
    let Some(face) = face() else {
        return Vec::new();
    };
    let scale = size / f64::from(face.units_per_em());
    let mut pen = Pen {
        x,
        y,
        scale,
        steps: Vec::new(),
    };
    for c in words.chars() {
        let glyph = face.glyph_index(c).unwrap_or_default();
        pen.x = x;
        // A space has none.
        let _ = face.outline_glyph(glyph, &mut pen);
        x += f64::from(face.glyph_hor_advance(glyph).unwrap_or(0)) * scale;
    }
    pen.steps
}

struct Pen {
    x: f64,
    y: f64,
    scale: f64,
    steps: Vec<Step>,
}

impl Pen {
    fn at(&self, x: f32, y: f32) -> (f64, f64) {
        (
            self.x + f64::from(x) * self.scale,
            self.y - f64::from(y) * self.scale,
        )
    }
}

impl OutlineBuilder for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.steps.push(Step::Move(x, y));
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.steps.push(Step::Line(x, y));
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.at(x1, y1), self.at(x, y));
        self.steps.push(Step::Quad(x1, y1, x, y));
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.at(x1, y1), self.at(x2, y2), self.at(x, y));
        self.steps.push(Step::Curve(x1, y1, x2, y2, x, y));
    }

    fn close(&mut self) {
        self.steps.push(Step::Close);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_as_wide_as_its_characters_and_is_cut_to_fit() {
        assert!(wide("mm", 10.0) > wide("ii", 10.0));
        assert!((wide("ab", 20.0) - 2.0 * wide("ab", 10.0)).abs() < 1e-9);
        let cut = fitted("chopping an onion", 10.0, 50.0).unwrap();
        assert!(cut.ends_with('…') && wide(&cut, 10.0) <= 50.0, "{cut}");
        assert_eq!(fitted("ab", 10.0, 50.0).as_deref(), Some("ab"));
        assert_eq!(fitted("chopping", 10.0, 5.0), None);
    }

    #[test]
    fn a_character_that_the_font_lacks_is_a_box() {
        assert!(!outlines(0.0, 0.0, 10.0, "音").is_empty());
        assert!(outlines(0.0, 0.0, 10.0, " ").is_empty());
    }

    #[test]
    fn shades_go_from_the_ground_to_the_loudest() {
        for dark in [false, true] {
            let theme = Theme::new(dark);
            assert_eq!(theme.shade(0), theme.back);
            assert_eq!(theme.shade(15), theme.shades[4]);
        }
        assert_eq!(rgb("#0a10ff"), [10, 16, 255]);
    }
}
