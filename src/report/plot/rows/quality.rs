//! The row of quality: sound as a line, both by ten seconds as an area, and a mark for each frame.

use super::{Canvas, LEFT, RIGHT};
use crate::report::recording::RunView;

/// Columns of this many pixels have one value of the sound.
const PIXELS: f64 = 1.5;

impl Canvas<'_> {
    /// Draws it, if anything was measured; says whether.
    pub(super) fn quality(&mut self, run: &RunView) -> bool {
        let Some(quality) = run.quality() else {
            return false;
        };
        let height = 40.0;
        self.name("quality", height);
        let base = self.y + height;
        let y = |score: f32| base - f64::from(score.clamp(0.0, 1.0)) * height;
        for stretch in &quality.stretches {
            let stop = stretch.stop_ns(run.duration_ns());
            let span = self.span(stretch.start_ns as f64 / 1e9, stop as f64 / 1e9);
            if let (Some((left, right)), Some(both)) = (span, stretch.both) {
                let top = y(both);
                self.drawing
                    .rect(left, top, right - left, base - top, self.theme.soft, 0.2);
            }
        }
        for part in self.sound_scores(run) {
            let line: Vec<_> = part.iter().map(|(x, score)| (*x, y(*score))).collect();
            self.drawing.line(&line, self.theme.soft, 1.2);
        }
        let mut drawn = f64::MIN;
        for (pts, frame) in run.tables.pts_ns.iter().zip(&run.tables.quality) {
            let at = *pts as f64 / 1e9;
            let x = self.x(at);
            // One of many in the same place is enough.
            if (self.view.from..=self.view.to).contains(&at) && x - drawn >= 2.0 {
                drawn = x;
                let y = y(frame.score());
                self.drawing
                    .rect(x - 1.5, y - 1.5, 3.0, 3.0, self.theme.ink, 1.0);
            }
        }
        let line = [(LEFT, base), (self.view.width - RIGHT, base)];
        self.drawing.line(&line, self.theme.line, 1.0);
        self.next(height);
        true
    }

    /// Mean scores of the sound by column, in lines without a gap.
    fn sound_scores(&self, run: &RunView) -> Vec<Vec<(f64, f32)>> {
        let mut parts: Vec<Vec<(f64, f32)>> = Vec::new();
        // Column, sum, count.
        let mut open: Option<(i64, f32, u32)> = None;
        let close = |column: (i64, f32, u32), parts: &mut Vec<Vec<(f64, f32)>>| {
            let (at, sum, count) = column;
            let x = LEFT + (at as f64 + 0.5) * PIXELS;
            let point = (x.min(self.view.width - RIGHT), sum / count as f32);
            match parts.last_mut() {
                // Cues may be further apart than columns.
                Some(part)
                    if part
                        .last()
                        .is_some_and(|(last, _)| x - last <= self.apart()) =>
                {
                    part.push(point);
                }
                _ => parts.push(vec![point]),
            }
        };
        for (pts, sound) in run.cues.pts_ns.iter().zip(&run.cues.quality) {
            let at = *pts as f64 / 1e9;
            let Some(sound) = sound.filter(|_| (self.view.from..=self.view.to).contains(&at))
            else {
                continue;
            };
            let column = ((self.x(at) - LEFT) / PIXELS) as i64;
            open = match open {
                Some((last, sum, count)) if last == column => {
                    Some((last, sum + sound.score(), count + 1))
                }
                other => {
                    if let Some(other) = other {
                        close(other, &mut parts);
                    }
                    Some((column, sound.score(), 1))
                }
            };
        }
        if let Some(open) = open {
            close(open, &mut parts);
        }
        parts
    }

    /// Pixels between two points of one line, at most: three hops, or two columns.
    fn apart(&self) -> f64 {
        (self.x(0.24) - self.x(0.0)).max(2.0 * PIXELS)
    }
}

#[cfg(test)]
mod tests {
    use anchoring::cue::SoundQuality;
    use gstearmark::frame_quality::FrameQuality;

    use super::super::{PlotRange, draw};
    use crate::report::plot::shapes::Theme;
    use crate::report::recording::tests::shown;

    #[test]
    fn quality_is_a_row_of_its_own_where_it_was_measured() {
        let mut run = shown(&[1, 12, 40], "knock");
        let view = PlotRange {
            from: 0.0,
            to: 60.0,
            width: 900.0,
        };
        let plain = draw(&[&run], &view, &Theme::new(false));
        run.tables.quality = vec![FrameQuality::from_values([0.9; 6]); 3];
        let sound =
            |k: usize| SoundQuality::from_shares([(k % 9) as f32 / 8.0; SoundQuality::MEASURES]);
        run.cues.quality = (0..750).map(|k| (k % 100 > 4).then(|| sound(k))).collect();
        let with = draw(&[&run], &view, &Theme::new(false));
        // Three stretches, eight lines of sound, three frames, and their legend.
        assert!(with.height > plain.height + 40.0);
        assert!(
            with.shapes.len() > plain.shapes.len() + 18,
            "{} {}",
            with.shapes.len(),
            plain.shapes.len()
        );
    }
}
