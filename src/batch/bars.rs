//! Progress of a batch on stderr: bars on a terminal, lines elsewhere, nothing with `--quiet`.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use gstearmark::printable::{line, visible};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::terminal;
use crate::terminal::time;

/// Interval of progress lines without a terminal.
const LINES: Duration = Duration::from_secs(10);
/// Approximate share of the first pass in the work on a recording.
const LISTENING: f64 = 0.15;

/// What a worker is doing.
#[derive(Clone, Debug, Default)]
struct WorkerBar {
    name: String,
    length: f64,
    done: f64,
}

/// The progress of a batch, in seconds of recordings.
pub(super) struct Bars {
    begun: Instant,
    total: f64,
    count: usize,
    done: f64,
    ended: usize,
    failed: usize,
    /// By worker.
    places: Vec<WorkerBar>,
    shown: Display,
}

enum Display {
    Bars(MultiProgress, ProgressBar, Vec<ProgressBar>),
    Lines(Instant),
    Nothing,
}

impl Bars {
    /// `total`: seconds of all `count` recordings.
    pub(super) fn new(total: f64, count: usize, jobs: usize, quiet: bool) -> Self {
        let shown = if quiet {
            Display::Nothing
        } else if std::io::stderr().is_terminal() {
            let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(8));
            let bar = |template: &str| {
                let bar = all.add(ProgressBar::new(1000));
                if let Ok(style) = ProgressStyle::with_template(template) {
                    bar.set_style(style);
                }
                bar
            };
            let over = bar("   batch {bar:30} {percent:>3} %  {msg}");
            let each = (0..jobs).map(|_| bar("         {bar:30} {percent:>3} %  {msg}"));
            let each = each.collect();
            Display::Bars(all, over, each)
        } else {
            Display::Lines(Instant::now())
        };
        Self {
            begun: Instant::now(),
            total,
            count,
            done: 0.0,
            ended: 0,
            failed: 0,
            places: vec![WorkerBar::default(); jobs],
            shown,
        }
    }

    pub(super) fn begin(&mut self, place: usize, name: &str, length: f64) {
        if let Some(at) = self.places.get_mut(place) {
            *at = WorkerBar {
                name: name.into(),
                length,
                done: 0.0,
            };
        }
        self.show(Some(place), "begins");
    }

    /// A worker has processed its recording up to `at` seconds.
    pub(super) fn moved(&mut self, place: usize, stage: &str, at: f64) {
        if let Some(place) = self.places.get_mut(place) {
            place.done = match stage {
                "listen" => at * LISTENING,
                _ => place.length * LISTENING + at * (1.0 - LISTENING),
            }
            .clamp(0.0, place.length);
        }
        self.show(Some(place), stage);
    }

    /// A worker has finished a recording. Prints `said`; on a terminal only if it failed.
    pub(super) fn end(&mut self, place: Option<usize>, failed: bool, said: &str) {
        if let Some(place) = place.and_then(|place| self.places.get_mut(place)) {
            self.done += place.length;
            *place = WorkerBar::default();
        }
        self.ended += 1;
        self.failed += usize::from(failed);
        let number = format!("{}/{}", self.ended, self.count);
        match &self.shown {
            Display::Lines(_) => terminal::tell(&format!("{number} {said}")),
            Display::Bars(all, ..) if failed => {
                let _ = all.println(visible(said));
            }
            Display::Nothing if failed => terminal::tell(said),
            _ => {}
        }
        self.show(place, "");
    }

    /// A recording will be retried.
    pub(super) fn again(&mut self, place: Option<usize>, said: &str) {
        if let Some(place) = place.and_then(|place| self.places.get_mut(place)) {
            *place = WorkerBar::default();
        }
        match &self.shown {
            Display::Bars(all, ..) => {
                let _ = all.println(visible(said));
            }
            _ => terminal::tell(said),
        }
    }

    fn show(&mut self, place: Option<usize>, stage: &str) {
        let text = self.text();
        let done = self.now();
        let share = |done: f64, total: f64| (1000.0 * done / total.max(1e-9)) as u64;
        match &mut self.shown {
            Display::Bars(_, over, each) => {
                over.set_position(share(done, self.total));
                over.set_message(text);
                let at = place.and_then(|place| each.get(place).zip(self.places.get(place)));
                if let Some((bar, at)) = at {
                    bar.set_position(share(at.done, at.length));
                    bar.set_message(format!("{} {stage}", line(&at.name)));
                }
            }
            Display::Lines(last) if last.elapsed() >= LINES => {
                *last = Instant::now();
                terminal::tell(&format!("batch: {text}"));
            }
            Display::Lines(_) | Display::Nothing => {}
        }
    }

    fn now(&self) -> f64 {
        self.done + self.places.iter().map(|place| place.done).sum::<f64>()
    }

    /// "3 of 12 recordings, 0.4 of 2.1 h, 7.9 h of video per hour, 12:40 left".
    fn text(&self) -> String {
        let done = self.now();
        let took = self.begun.elapsed().as_secs_f64().max(1e-3);
        let mut text = format!(
            "{} of {} recordings, {:.1} of {:.1} h",
            self.ended,
            self.count,
            done / 3600.0,
            self.total / 3600.0
        );
        if done > 0.0 {
            let left = (self.total - done).max(0.0) * took / done;
            text.push_str(&format!(
                ", {:.1} h of video per hour, {} left",
                done / took,
                time(left)
            ));
        }
        if self.failed > 0 {
            text.push_str(&format!(", {} FAILED", self.failed));
        }
        text
    }

    pub(super) fn clear(&self) {
        if let Display::Bars(all, ..) = &self.shown {
            let _ = all.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remaining_time_follows_from_durations() {
        let mut bars = Bars::new(7200.0, 2, 1, true);
        bars.begun = Instant::now() - Duration::from_secs(100);
        bars.begin(0, "a", 1800.0);
        bars.moved(0, "listen", 1800.0);
        assert!((bars.now() - 270.0).abs() < 1e-9);
        bars.moved(0, "extract", 1800.0);
        bars.end(Some(0), false, "");
        let text = bars.text();
        assert!(
            text.starts_with("1 of 2 recordings, 0.5 of 2.0 h, 18.0 h of video per hour, 5:0"),
            "{text}"
        );
    }
}
