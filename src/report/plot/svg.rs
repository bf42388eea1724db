//! Shapes -> SVG.

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
pub(super) fn svg(drawing: &Drawing) -> anyhow::Result<Vec<u8>> {
    let shape = |shape: &Shape| {
        let (stroke, thick) = shape.stroke.clone().unzip();
        json!({ "d": path(&shape.steps), "fill": shape.fill, "stroke": stroke, "thick": thick, "opacity": shape.opacity })
    };
    let shapes: Vec<_> = drawing.shapes.iter().map(shape).collect();
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment
        .add_template("plot.svg", TEMPLATE)
        .context("the drawing's template is broken")?;
    let context = context! {
        width => drawing.width, height => drawing.height, back => &drawing.back, words => line(&drawing.words), shapes => Serde(shapes),
    };
    let text = environment
        .get_template("plot.svg")
        .and_then(|template| template.render(context))
        .context("the drawing cannot be rendered")?;
    Ok(text.into_bytes())
}

fn path(steps: &[Step]) -> String {
    let mut d = String::new();
    for step in steps {
        // To a hundredth of a pixel; writing to a string does not fail.
        let _ = match step {
            Step::Move(x, y) => write!(d, "M{x:.2} {y:.2}"),
            Step::Line(x, y) => write!(d, "L{x:.2} {y:.2}"),
            Step::Quad(x1, y1, x, y) => write!(d, "Q{x1:.2} {y1:.2} {x:.2} {y:.2}"),
            Step::Curve(x1, y1, x2, y2, x, y) => {
                write!(d, "C{x1:.2} {y1:.2} {x2:.2} {y2:.2} {x:.2} {y:.2}")
            }
            Step::Close => write!(d, "Z"),
        };
    }
    d
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
    fn paths_are_written_to_a_hundredth() {
        let steps = [Step::Move(1.0, 2.345), Step::Line(0.0, 1.0), Step::Close];
        assert_eq!(
            path(&steps),
            "M1.00 2.35L0.00 1.00Z".replace("2.35", &format!("{:.2}", 2.345))
        );
    }
}
