//! Renders shapes as SVG.

use std::fmt::Write;

use anyhow::Context;
use gstearmark::printable::line;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, context};
use serde_json::json;

use super::shapes::{Drawing, Shape, Step};

const TEMPLATE: &str = r#"<svg xmlns="http://www.w3.org/2000/svg" width="{{ width }}" height="{{ height }}" viewBox="0 0 {{ width }} {{ height }}" role="img">
<title>{{ words }}</title>
<rect width="100%" height="100%" fill="{{ back }}"/>
{%- for s in shapes %}
<path d="{{ s.d }}" fill="{{ s.fill or "none" }}"{% if s.stroke %} stroke="{{ s.stroke }}" stroke-width="{{ s.thick }}" stroke-linejoin="round"{% endif %}{% if s.opacity < 1 %} opacity="{{ s.opacity }}"{% endif %}/>
{%- endfor %}
</svg>
"#;

/// The drawing as SVG text.
pub(crate) fn svg(drawing: &Drawing) -> anyhow::Result<Vec<u8>> {
    let shape = |shape: &Shape| {
        let (stroke, thick) = shape.stroke.clone().unzip();
        json!({ "d": path(&shape.steps), "fill": shape.fill, "stroke": stroke, "thick": thick, "opacity": shape.opacity })
    };
    let shapes: Vec<_> = drawing.shapes.iter().map(shape).collect();
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment
        .add_template("plot.svg", TEMPLATE)
        .context("the template of the drawing is broken")?;
    let context = context! {
        width => drawing.width, height => drawing.height, back => &drawing.back, words => line(&drawing.words), shapes => Serde(shapes),
    };
    let text = environment
        .get_template("plot.svg")
        .and_then(|template| template.render(context))
        .context("cannot render the drawing")?;
    Ok(text.into_bytes())
}

/// Steps as path data: to a hundredth of a pixel, each relative to the last, which takes half the space.
fn path(steps: &[Step]) -> String {
    let hundredths = |length: f64| (length * 100.0).round() as i64;
    let mut d = String::new();
    let (mut at, mut begin) = ((0, 0), (0, 0));
    for step in steps {
        let (letter, places): (char, &[f64]) = match step {
            Step::Move(x, y) => ('M', &[*x, *y]),
            Step::Line(x, y) => ('l', &[*x, *y]),
            Step::Quad(x1, y1, x, y) => ('q', &[*x1, *y1, *x, *y]),
            Step::Curve(x1, y1, x2, y2, x, y) => ('c', &[*x1, *y1, *x2, *y2, *x, *y]),
            Step::Close => {
                d.push('z');
                at = begin;
                continue;
            }
        };
        let from = if letter == 'M' { (0, 0) } else { at };
        let mut moves = Vec::new();
        for place in places.chunks_exact(2) {
            at = (hundredths(place[0]), hundredths(place[1]));
            moves.extend([at.0 - from.0, at.1 - from.1]);
        }
        if letter == 'M' {
            begin = at;
        }
        match moves.as_slice() {
            [x, 0] if letter == 'l' => put(&mut d, 'h', &[*x]),
            [0, y] if letter == 'l' => put(&mut d, 'v', &[*y]),
            moves => put(&mut d, letter, moves),
        }
    }
    d
}

/// A command of path data and its numbers, given in hundredths, in as few letters as possible.
fn put(d: &mut String, letter: char, hundredths: &[i64]) {
    d.push(letter);
    for (i, number) in hundredths.iter().enumerate() {
        if i > 0 && *number >= 0 {
            d.push(' ');
        }
        if *number < 0 {
            d.push('-');
        }
        let (whole, rest) = (number.unsigned_abs() / 100, number.unsigned_abs() % 100);
        // Writing to a string does not fail.
        let _ = match (whole, rest) {
            (whole, 0) => write!(d, "{whole}"),
            (0, rest) if rest % 10 == 0 => write!(d, ".{}", rest / 10),
            (0, rest) => write!(d, ".{rest:02}"),
            (whole, rest) if rest % 10 == 0 => write!(d, "{whole}.{}", rest / 10),
            (whole, rest) => write!(d, "{whole}.{rest:02}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::super::shapes::Align;
    use super::*;

    #[test]
    fn hostile_names_stay_text() {
        let mut drawing = Drawing {
            width: 10.0,
            height: 10.0,
            back: "#ffffff".into(),
            words: "</title><script>alert(1)</script>\u{1b}[2J\u{0}\n".into(),
            ..Drawing::default()
        };
        drawing.text(1.0, 2.0, 10.0, Align::Left, "#000000", "<script>");
        let text = String::from_utf8(svg(&drawing).unwrap()).unwrap();
        assert!(!text.contains("<script"), "{text}");
        assert!(text.contains("&lt;script&gt;") && text.contains("\\u001b[2J\\u0000\\u000a"));
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text}");
    }

    #[test]
    fn paths_are_written_to_a_hundredth_in_few_letters() {
        let steps = [
            Step::Move(1.0, 2.344),
            Step::Line(0.0, 1.0),
            Step::Close,
            Step::Line(1.0, 12.4),
        ];
        assert_eq!(path(&steps), "M1 2.34l-1-1.34zv10.06");
        let straight = [
            Step::Move(100.0, 20.5),
            Step::Line(103.125, 20.501),
            Step::Line(103.13, -0.001),
            Step::Quad(103.13, 0.05, 103.2, 10.1),
        ];
        assert_eq!(path(&straight), "M100 20.5h3.13v-20.5q0 .05 .07 10.1");
    }
}
