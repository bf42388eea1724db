//! Turns runs into shapes: rows for sound, eventness, anchors, frames and labels; `quality`: the row of quality.

mod quality;

use anchoring::plan::Reason;
use anchoring::tier::Tier;

use super::legend;
use super::shapes::{Align, Drawing, Shape, Step, Theme, fitted, wide};
use crate::report::detail::{CueLevels, Level};
use crate::report::recording::{RunView, clock};
use crate::report::truth::{AnchorResult, EventResult};

/// The part of the recording to draw, and its size.
pub(super) struct PlotRange {
    /// Seconds.
    pub from: f64,
    /// Seconds; later.
    pub to: f64,
    /// Width of the whole drawing, pixels.
    pub width: f64,
}

const LEFT: f64 = 104.0;
const RIGHT: f64 = 14.0;
const TEXT: f64 = 12.0;
/// Lanes of events that overlap in time.
const LANES: usize = 3;

/// The drawing, its axis, and the current height.
struct Canvas<'a> {
    drawing: Drawing,
    view: &'a PlotRange,
    theme: &'a Theme,
    y: f64,
}

/// Draws everything, from the top down.
pub(super) fn draw(runs: &[&RunView], view: &PlotRange, theme: &Theme) -> Drawing {
    let first = runs.first();
    let title = first.map_or_else(String::new, |run| run.summary.video_id.clone());
    let mut sheet = Canvas {
        drawing: Drawing {
            width: view.width,
            back: theme.back.into(),
            words: title.clone(),
            ..Drawing::default()
        },
        view,
        theme,
        y: 26.0,
    };
    let head = fitted(&title, 16.0, view.width - 2.0 * RIGHT).unwrap_or_default();
    sheet
        .drawing
        .text(RIGHT, sheet.y, 16.0, Align::Left, theme.ink, &head);
    sheet.y += 20.0;
    for run in runs {
        let mut said = summary_line(run);
        if runs.len() > 1 {
            said = format!(
                "{}: {said}",
                run.path.file_name().unwrap_or_default().to_string_lossy()
            );
        }
        let said = fitted(&said, TEXT, view.width - 2.0 * RIGHT).unwrap_or_default();
        sheet
            .drawing
            .text(RIGHT, sheet.y, TEXT, Align::Left, theme.soft, &said);
        sheet.y += 18.0;
    }
    let top = sheet.y;
    sheet.y += 20.0;
    let sounding = runs.iter().find(|run| !run.cues.pts_ns.is_empty());
    if let Some(strip) = sounding.and_then(|run| CueLevels::new(&run.cues)) {
        let distrust = sounding
            .and_then(|run| run.setting("budget", "distrust")?.as_f64())
            .unwrap_or(0.9);
        sheet.sound(&strip);
        sheet.eventness(&strip, distrust);
        sheet.change(&strip);
    }
    let (mut judged, mut measured) = (false, false);
    for run in runs {
        if runs.len() > 1 {
            let name = run.path.file_name().unwrap_or_default().to_string_lossy();
            sheet.y += 16.0;
            let name = fitted(&name, TEXT, view.width - 2.0 * RIGHT).unwrap_or_default();
            sheet
                .drawing
                .text(RIGHT, sheet.y - 4.0, TEXT, Align::Left, theme.ink, &name);
        }
        if run.verdict.is_some() {
            sheet.events(run);
            judged = true;
        }
        sheet.anchors(run);
        sheet.frames(run);
        measured |= sheet.quality(run);
    }
    let bottom = sheet.y;
    sheet.axis(top, bottom);
    let keeps = runs.iter().any(|run| run.summary.candidates_per_min > 0);
    let place = (LEFT, sheet.y + 8.0);
    let has = legend::PlotContent {
        labels: judged,
        candidates: keeps,
        quality: measured,
    };
    sheet.y = legend::draw(&mut sheet.drawing, theme, place, has);
    sheet.drawing.height = (sheet.y + 12.0).ceil();
    sheet.drawing
}

/// A summary of the run, in one line.
fn summary_line(run: &RunView) -> String {
    let s = &run.summary;
    let mut said = format!(
        "{}, {} anchors, {} frames, {} of {} tokens",
        clock(run.duration_ns()),
        s.anchors,
        s.frames,
        s.spent_tokens,
        s.budget_tokens
    );
    if let Some(verdict) = &run.verdict {
        let count =
            |result: EventResult| verdict.events.iter().filter(|e| e.result == result).count();
        said.push_str(&format!(
            "; {} of {} events with an anchor, {} with a background frame, {} missed; {} anchors without a label",
            count(EventResult::Found),
            verdict.events.len(),
            count(EventResult::Seen),
            count(EventResult::Missed),
            run.standing(AnchorResult::False)
        ));
    }
    said
}

impl Canvas<'_> {
    fn x(&self, seconds: f64) -> f64 {
        let plot = self.view.width - LEFT - RIGHT;
        LEFT + (seconds - self.view.from) / (self.view.to - self.view.from) * plot
    }

    /// Start and end in pixels, cut to the plot; `None` if outside.
    fn span(&self, from: f64, to: f64) -> Option<(f64, f64)> {
        let right = self.view.width - RIGHT;
        (to > self.view.from && from < self.view.to)
            .then(|| (self.x(from).max(LEFT), self.x(to).min(right)))
    }

    fn name(&mut self, name: &str, height: f64) {
        let y = self.y + height / 2.0 + 4.0;
        self.drawing
            .text(LEFT - 8.0, y, TEXT, Align::Right, self.theme.soft, name);
    }

    fn next(&mut self, height: f64) {
        self.y += height + 8.0;
    }

    /// The level whose cells are one or two pixels wide, its step in seconds, and the visible cells.
    fn level<'s>(
        &self,
        strip: &'s CueLevels,
        pixels: f64,
    ) -> (&'s Level, f64, std::ops::Range<usize>) {
        let plot = self.view.width - LEFT - RIGHT;
        let pixel = (self.view.to - self.view.from) / plot * pixels;
        let mut step = strip.step_ns as f64 / 1e9;
        let mut depth = 0;
        while depth + 1 < strip.levels.len() && step * 4.0 <= pixel {
            depth += 1;
            step *= 4.0;
        }
        let level = &strip.levels[depth];
        let start = strip.start_ns as f64 / 1e9;
        let first = ((self.view.from - start) / step).floor().max(0.0) as usize;
        let last = ((self.view.to - start) / step).ceil().max(0.0) as usize;
        (
            level,
            step,
            first.min(level.cells())..last.min(level.cells()),
        )
    }

    fn sound(&mut self, strip: &CueLevels) {
        let (level, step, cells) = self.level(strip, 3.0);
        if level.bands.is_empty() {
            return;
        }
        let (start, bands, height) = (strip.start_ns as f64 / 1e9, 16, 64.0);
        self.name("sound", height);
        let thick = height / bands as f64;
        // All strokes of one shade are one shape: this makes the file ten times smaller than a rectangle for each.
        let mut strokes: [Vec<Step>; 16] = Default::default();
        for band in 0..bands {
            let y = self.y + height - (band as f64 + 0.5) * thick;
            let shade = |cell: usize| level.bands[cell * bands + band];
            let mut cell = cells.start;
            while cell < cells.end {
                let from = cell;
                while cell < cells.end && shade(cell) == shade(from) {
                    cell += 1;
                }
                let times = (start + from as f64 * step, start + cell as f64 * step);
                if let Some((left, right)) = self.span(times.0, times.1).filter(|_| shade(from) > 0)
                {
                    // A little wider, so that no background shows between two.
                    strokes[usize::from(shade(from).min(15))]
                        .extend([Step::Move(left, y), Step::Line(right + 0.3, y)]);
                }
            }
        }
        for (shade, steps) in (0..).zip(strokes).filter(|(_, steps)| !steps.is_empty()) {
            self.drawing.shapes.push(Shape {
                steps,
                fill: None,
                stroke: Some((self.theme.shade(shade), thick + 0.3)),
                opacity: 1.0,
            });
        }
        self.next(height);
    }

    fn eventness(&mut self, strip: &CueLevels, distrust: f64) {
        let (level, step, cells) = self.level(strip, 1.5);
        let (start, height) = (strip.start_ns as f64 / 1e9, 52.0);
        self.name("eventness", height);
        let base = self.y + height;
        let distrust = (distrust * 255.0).round() as u8;
        let at = |cell: usize| start + cell as f64 * step;
        let mut cell = cells.start;
        while cell < cells.end {
            let from = cell;
            while cell < cells.end && level.unsure[cell] >= distrust {
                cell += 1;
            }
            if cell > from
                && let Some((left, right)) = self.span(at(from), at(cell))
            {
                self.drawing
                    .hatch(left, self.y, right - left, height, self.theme.unsure);
            }
            cell = cell.max(from + 1);
        }
        let share = |byte: u8| f64::from(byte) / 255.0;
        let unsure = |cell: usize| match level.unsure[cell] {
            byte if byte >= distrust => 0.0,
            byte => share(byte),
        };
        let outline = |of: &dyn Fn(usize) -> f64| -> Vec<(f64, f64)> {
            let corners = cells.clone().filter_map(|cell| {
                let (left, right) = self.span(at(cell), at(cell + 1))?;
                let y = base - of(cell) * height;
                Some([(left, y), (right, y)])
            });
            corners.flatten().collect()
        };
        let upper = outline(&|cell| {
            let high = share(level.high[cell]);
            high + (1.0 - high) * unsure(cell)
        });
        let mut band = upper;
        band.extend(
            outline(&|cell| share(level.low[cell]) * (1.0 - unsure(cell)))
                .into_iter()
                .rev(),
        );
        let line = outline(&|cell| share(level.high[cell]));
        if let (Some(first), Some(last)) = (line.first(), line.last()) {
            let mut area = line.clone();
            area.extend([(last.0, base), (first.0, base)]);
            self.drawing.area(&band, self.theme.anchor, 0.22);
            self.drawing.area(&area, self.theme.anchor, 0.5);
            self.drawing.line(&line, self.theme.anchor, 0.8);
        }
        self.drawing.line(
            &[(LEFT, base), (self.view.width - RIGHT, base)],
            self.theme.line,
            1.0,
        );
        self.next(height);
    }

    /// How much the video changes: the line marks the usual change, 32; the top is four times that.
    fn change(&mut self, strip: &CueLevels) {
        let (level, step, cells) = self.level(strip, 1.5);
        if level.change.is_empty() {
            return;
        }
        let (start, height) = (strip.start_ns as f64 / 1e9, 28.0);
        self.name("change", height);
        let base = self.y + height;
        let mut area = Vec::new();
        for cell in cells {
            let at = |cell: usize| start + cell as f64 * step;
            if let Some((left, right)) = self.span(at(cell), at(cell + 1)) {
                let y = base - f64::from(level.change[cell].min(128)) / 128.0 * height;
                area.extend([(left, y), (right, y)]);
            }
        }
        if let (Some(first), Some(last)) = (area.first().copied(), area.last().copied()) {
            area.extend([(last.0, base), (first.0, base)]);
            self.drawing.area(&area, self.theme.soft, 0.75);
        }
        let usual = base - height / 4.0;
        let line = [(LEFT, usual), (self.view.width - RIGHT, usual)];
        self.drawing.line(&line, self.theme.line, 1.0);
        self.next(height);
    }

    fn anchors(&mut self, run: &RunView) {
        if run.tables.anchors.is_empty() && run.tables.candidates.is_empty() {
            return;
        }
        let height = 46.0;
        self.name("anchors", height);
        let (base, mut free) = (self.y + height, f64::MIN);
        let stands =
            |score: f32| (height - 15.0) * (0.25 + 0.75 * f64::from(score.clamp(0.0, 1.0)));
        let mut drawn = f64::MIN;
        for candidate in &run.tables.candidates {
            let at = candidate.onset_ns as f64 / 1e9;
            let x = self.x(at);
            // One of many in the same place is enough.
            if !(self.view.from..=self.view.to).contains(&at) || x - drawn < 1.0 {
                continue;
            }
            drawn = x;
            let y = base - stands(candidate.score);
            self.drawing.ring(x, y, 2.5, self.theme.soft);
        }
        let standings = run.verdict.as_ref().map(|verdict| &verdict.anchors);
        let onsets: Vec<f64> = run
            .tables
            .anchors
            .iter()
            .map(|a| a.onset_ns as f64 / 1e9)
            .collect();
        for (row, anchor) in run.tables.anchors.iter().enumerate() {
            let standing = standings.and_then(|standings| standings.get(row));
            let (colour, hollow, down) = match standing {
                None => (self.theme.anchor, false, false),
                Some(AnchorResult::Right) => (self.theme.found, false, false),
                Some(AnchorResult::Inside) => (self.theme.found, true, false),
                Some(AnchorResult::False) => (self.theme.false_anchor, true, true),
            };
            let window = (anchor.start_ns as f64 / 1e9, anchor.stop_ns as f64 / 1e9);
            if let Some((left, right)) = self.span(window.0, window.1).filter(|(l, r)| r - l > 1.5)
            {
                self.drawing.rect(
                    left,
                    self.y + 15.0,
                    right - left,
                    height - 15.0,
                    colour,
                    0.16,
                );
            }
            if !(self.view.from..=self.view.to).contains(&onsets[row]) {
                continue;
            }
            let x = self.x(onsets[row]);
            let top = base - stands(anchor.score);
            self.drawing.line(&[(x, base), (x, top)], colour, 1.4);
            let tip = if down { -1.0 } else { 1.0 };
            let mark = [
                (x, top - 4.0 * tip),
                (x - 4.0, top + 3.0 * tip),
                (x + 4.0, top + 3.0 * tip),
            ];
            self.drawing
                .area(&mark, if hollow { self.theme.back } else { colour }, 1.0);
            if hollow {
                let around = [mark[0], mark[1], mark[2], mark[0]];
                self.drawing.line(&around, colour, 1.4);
            }
            let until = onsets
                .get(row + 1)
                .map_or(self.view.width - RIGHT, |next| self.x(*next));
            let room = until.min(self.view.width - RIGHT) - x;
            if x - 3.0 > free
                && room > 30.0
                && let Some(label) =
                    fitted(&anchor.label, 10.0, room - 4.0).filter(|l| !l.is_empty())
            {
                free = x + wide(&label, 10.0);
                self.drawing.text(
                    x - 3.0,
                    self.y + 9.0,
                    10.0,
                    Align::Left,
                    self.theme.ink,
                    &label,
                );
            }
        }
        self.next(height);
    }

    fn frames(&mut self, run: &RunView) {
        let height = 48.0;
        self.name("frames", height);
        let base = self.y + height;
        let seen: Vec<usize> = (0..run.tables.pts_ns.len())
            .filter(|row| {
                (self.view.from..=self.view.to).contains(&(run.tables.pts_ns[*row] as f64 / 1e9))
            })
            .collect();
        let plot = self.view.width - LEFT - RIGHT;
        let thick = (plot / seen.len().max(1) as f64 * 0.6).clamp(1.2, 6.0);
        // Of many in one pixel, the most expensive is drawn.
        let mut best: Option<(i64, usize)> = None;
        let rank = |row: usize| {
            (
                run.tables.tier[row],
                std::cmp::Reverse(run.tables.reason[row]),
            )
        };
        let mut bars = Vec::new();
        for row in seen {
            let column = (self.x(run.tables.pts_ns[row] as f64 / 1e9) / 1.2) as i64;
            best = match best {
                Some((last, kept)) if last == column => {
                    Some((last, if rank(row) > rank(kept) { row } else { kept }))
                }
                other => {
                    bars.extend(other.map(|(_, row)| row));
                    Some((column, row))
                }
            };
        }
        bars.extend(best.map(|(_, row)| row));
        self.drawing.line(
            &[(LEFT, base), (self.view.width - RIGHT, base)],
            self.theme.line,
            1.0,
        );
        for row in bars {
            let share = match run.tables.tier[row] {
                Tier::Low => 0.34,
                Tier::Base => 0.62,
                Tier::High => 1.0,
            };
            let colour = match run.tables.reason[row] {
                Reason::Anchor => self.theme.anchor,
                Reason::Untrusted => self.theme.untrusted,
                Reason::Background | Reason::Uniform => self.theme.background,
            };
            let x = self.x(run.tables.pts_ns[row] as f64 / 1e9);
            self.drawing.rect(
                x - thick / 2.0,
                base - height * share,
                thick,
                height * share,
                colour,
                1.0,
            );
        }
        self.next(height);
    }

    fn events(&mut self, run: &RunView) {
        let Some(verdict) = &run.verdict else { return };
        let mut until = [i64::MIN; LANES];
        let mut placed = Vec::new();
        for judged in &verdict.events {
            let (start, stop) = (
                judged.event.span.start().get(),
                judged.event.span.stop().get(),
            );
            let free = until.iter().position(|until| *until <= start);
            let earliest = (0..LANES).min_by_key(|lane| until[*lane]).unwrap_or(0);
            let lane = free.unwrap_or(earliest);
            until[lane] = until[lane].max(stop);
            placed.push((judged, lane, start as f64 / 1e9, stop as f64 / 1e9));
        }
        let lanes = 1 + placed.iter().map(|(_, lane, ..)| *lane).max().unwrap_or(0);
        let height = lanes as f64 * 18.0;
        self.name("labelled", height);
        for (judged, lane, start, stop) in placed {
            let Some((left, right)) = self.span(start, stop) else {
                continue;
            };
            let (colour, mark) = match judged.result {
                EventResult::Found => (self.theme.found, "✓"),
                EventResult::Seen => (self.theme.seen, "○"),
                EventResult::Missed => (self.theme.missed, "✕"),
            };
            let y = self.y + lane as f64 * 18.0;
            let wide = (right - left).max(1.5);
            self.drawing.rect(left, y, wide, 15.0, colour, 1.0);
            // A missed event whose onset was a candidate is an outline.
            let poor = judged.result == EventResult::Missed && judged.candidate.is_some();
            if poor && wide > 4.0 {
                let inside = (left + 1.5, y + 1.5, wide - 3.0);
                self.drawing
                    .rect(inside.0, inside.1, inside.2, 12.0, self.theme.back, 1.0);
            }
            let words = format!("{mark} {}", judged.event.class);
            let words = fitted(&words, 10.0, wide - 4.0)
                .or_else(|| fitted(mark, 10.0, wide - 2.0))
                .unwrap_or_default();
            self.drawing.text(
                left + 2.0,
                y + 11.0,
                10.0,
                Align::Left,
                if poor { colour } else { self.theme.back },
                &words,
            );
        }
        self.next(height);
    }

    /// Ticks and times above, and lines through all rows, below everything drawn so far.
    fn axis(&mut self, top: f64, bottom: f64) {
        const STEPS: [f64; 20] = [
            0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0,
            600.0, 900.0, 1800.0, 3600.0, 7200.0,
        ];
        let span = self.view.to - self.view.from;
        let wanted = span / ((self.view.width - LEFT - RIGHT) / 90.0);
        let mut step = STEPS
            .into_iter()
            .find(|step| *step >= wanted)
            .unwrap_or(14_400.0);
        while step < wanted {
            step *= 2.0;
        }
        let above = std::mem::take(&mut self.drawing.shapes);
        let first = (self.view.from / step).ceil() as i64;
        let last = (self.view.to / step + 1e-9).floor() as i64;
        for tick in first..=last {
            let seconds = tick as f64 * step;
            let x = self.x(seconds);
            self.drawing
                .line(&[(x, top + 16.0), (x, bottom - 8.0)], self.theme.line, 0.8);
            let words = if step < 1.0 {
                format!("{seconds:.2} s")
            } else {
                clock((seconds * 1e9) as i64)
                    .trim_end_matches(".0")
                    .to_owned()
            };
            let half = wide(&words, 11.0) / 2.0;
            let x = x.min(self.view.width - half - 2.0);
            self.drawing
                .text(x, top + 11.0, 11.0, Align::Middle, self.theme.soft, &words);
        }
        self.drawing.shapes.extend(above);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::recording::tests::shown;

    #[test]
    fn a_drawing_has_every_row_and_stays_in_its_frame() {
        let run = shown(&[1, 12, 40], "knock");
        for (from, to) in [(0.0, 60.0), (11.9, 12.1)] {
            let view = PlotRange {
                from,
                to,
                width: 900.0,
            };
            let drawing = draw(&[&run, &run], &view, &Theme::new(false));
            assert!(drawing.height > 200.0 && drawing.shapes.len() > 30);
            for step in drawing.shapes.iter().flat_map(|shape| &shape.steps) {
                let (x, y) = match *step {
                    super::super::shapes::Step::Move(x, y)
                    | super::super::shapes::Step::Line(x, y) => (x, y),
                    _ => continue,
                };
                assert!(
                    (-10.0..=910.0).contains(&x) && (0.0..=drawing.height).contains(&y),
                    "{x} {y}"
                );
            }
        }
    }
}
