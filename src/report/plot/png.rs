//! Renders shapes as PNG.

use anyhow::{Context, bail};
use tiny_skia::{Color, FillRule, Paint, PathBuilder, Pixmap, Stroke, Transform};

use super::shapes::{Drawing, Step, rgb};

/// Widest and highest image, pixels.
const MOST: f64 = 20_000.0;

/// The drawing as pixels, `scale` of them per unit.
pub(crate) fn png(drawing: &Drawing, scale: f64) -> anyhow::Result<Vec<u8>> {
    let (width, height) = (drawing.width * scale, drawing.height * scale);
    if width > MOST || height > MOST {
        bail!(
            "an image of {width:.0} x {height:.0} pixels is too large (the limit is {MOST} pixels per side); lower --width or --scale"
        );
    }
    let mut pixels = Pixmap::new(width.ceil() as u32, height.ceil() as u32)
        .context("not enough memory for the image")?;
    let colour = |text: &str, opacity: f64| {
        let [r, g, b] = rgb(text);
        Color::from_rgba8(r, g, b, (opacity * 255.0).round() as u8)
    };
    pixels.fill(colour(&drawing.back, 1.0));
    let transform = Transform::from_scale(scale as f32, scale as f32);
    for shape in &drawing.shapes {
        let mut builder = PathBuilder::new();
        for step in &shape.steps {
            match *step {
                Step::Move(x, y) => builder.move_to(x as f32, y as f32),
                Step::Line(x, y) => builder.line_to(x as f32, y as f32),
                Step::Quad(a, b, x, y) => builder.quad_to(a as f32, b as f32, x as f32, y as f32),
                Step::Curve(a, b, c, d, x, y) => {
                    builder.cubic_to(a as f32, b as f32, c as f32, d as f32, x as f32, y as f32);
                }
                Step::Close => builder.close(),
            }
        }
        // An empty one: a text of spaces.
        let Some(path) = builder.finish() else {
            continue;
        };
        let mut paint = Paint {
            anti_alias: true,
            ..Paint::default()
        };
        if let Some(fill) = &shape.fill {
            paint.set_color(colour(fill, shape.opacity));
            pixels.fill_path(&path, &paint, FillRule::Winding, transform, None);
        }
        if let Some((stroke, thick)) = &shape.stroke {
            paint.set_color(colour(stroke, shape.opacity));
            let stroke = Stroke {
                width: *thick as f32,
                ..Stroke::default()
            };
            pixels.stroke_path(&path, &paint, &stroke, transform, None);
        }
    }
    pixels.encode_png().context("cannot encode the image")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_the_size_and_the_colours_of_the_drawing() {
        let mut drawing = Drawing {
            width: 40.0,
            height: 20.0,
            back: "#ffffff".into(),
            ..Drawing::default()
        };
        drawing.rect(0.0, 0.0, 20.0, 20.0, "#0072b2", 1.0);
        let pixels = Pixmap::decode_png(&png(&drawing, 2.0).unwrap()).unwrap();
        assert_eq!((pixels.width(), pixels.height()), (80, 40));
        let at = |x, y| pixels.pixel(x, y).map(|p| [p.red(), p.green(), p.blue()]);
        assert_eq!(at(10, 10), Some([0, 0x72, 0xb2]));
        assert_eq!(at(60, 30), Some([255, 255, 255]));
        assert!(png(&drawing, 1e6).is_err());
    }
}
