//! Progress of a pass on stderr: a bar on a terminal, lines elsewhere, nothing with `--quiet`.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anchoring::time::Nanos;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::numbers::time;
use super::tell;

/// Interval of progress lines without a terminal.
const LINES: Duration = Duration::from_secs(10);

/// Interval of progress for a program.
const BETWEEN_CALLS: Duration = Duration::from_millis(250);

/// Who gets the progress of a pass.
#[derive(Clone)]
pub(crate) enum Watch {
    /// A person: a bar on a terminal, lines elsewhere.
    Person,
    /// Nobody.
    Nobody,
    /// A program.
    Program(Arc<dyn Fn(&PassProgress) + Send + Sync>),
}

/// The position of a pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PassProgress {
    /// Which pass.
    pub stage: &'static str,
    /// Position in the recording.
    pub at: Nanos,
    /// Grows with every sign of progress.
    pub count: u64,
}

/// The progress of one pass.
pub(crate) struct Progress {
    stage: &'static str,
    start: Nanos,
    length: Option<Nanos>,
    begun: Instant,
    shown: Display,
}

enum Display {
    Bar(ProgressBar),
    Lines(Instant),
    Callback(Arc<dyn Fn(&PassProgress) + Send + Sync>, Instant),
    Nothing,
}

impl Progress {
    pub(crate) fn new(
        stage: &'static str,
        start: Nanos,
        stop: Option<Nanos>,
        watch: &Watch,
    ) -> Self {
        let length = stop
            .map(|stop| stop - start)
            .filter(|length| *length > Nanos::ZERO);
        let shown = match watch {
            Watch::Nobody => Display::Nothing,
            Watch::Program(call) => Display::Callback(call.clone(), Instant::now()),
            Watch::Person if std::io::stderr().is_terminal() => Display::Bar(bar(stage, length)),
            Watch::Person => Display::Lines(Instant::now()),
        };
        Self {
            stage,
            start,
            length,
            begun: Instant::now(),
            shown,
        }
    }

    /// Updates the position; `count` grows with every sign of progress.
    pub(crate) fn at(&mut self, now: Nanos, count: u64) {
        let done = (now - self.start).max(Nanos::ZERO);
        let text = self.text(done);
        match &mut self.shown {
            Display::Bar(bar) => {
                bar.set_position(done.get().unsigned_abs() / 1_000_000);
                bar.set_message(text);
            }
            Display::Lines(last) if last.elapsed() >= LINES => {
                *last = Instant::now();
                let stage = self.stage;
                tell(&format!("{stage}: {text}"));
            }
            Display::Callback(call, last) if last.elapsed() >= BETWEEN_CALLS => {
                *last = Instant::now();
                call(&PassProgress {
                    stage: self.stage,
                    at: now,
                    count,
                });
            }
            Display::Lines(_) | Display::Callback(..) | Display::Nothing => {}
        }
    }

    /// "12.3 of 60.0 s, 24.1 x real time, 2 s left".
    fn text(&self, done: Nanos) -> String {
        let took = self.begun.elapsed().as_secs_f64().max(1e-3);
        let speed = done.seconds() / took;
        match self.length {
            Some(length) => {
                let left = (length - done).max(Nanos::ZERO).seconds() / speed.max(1e-3);
                let left = if done > Nanos::ZERO {
                    format!(", {} left", time(left))
                } else {
                    String::new()
                };
                format!(
                    "{} of {}, {speed:.1} x real time{left}",
                    time(done.seconds()),
                    time(length.seconds())
                )
            }
            None => format!("{}, {speed:.1} x real time", time(done.seconds())),
        }
    }

    /// Removes the bar.
    pub(crate) fn clear(&self) {
        if let Display::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

fn bar(stage: &'static str, length: Option<Nanos>) -> ProgressBar {
    let bar = match length {
        Some(length) => ProgressBar::new(length.get().unsigned_abs() / 1_000_000),
        None => ProgressBar::new_spinner(),
    };
    bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(8));
    let template = if length.is_some() {
        "{prefix:>8} {bar:30} {percent:>3} %  {msg}"
    } else {
        "{prefix:>8} {spinner} {msg}"
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_prefix(stage);
    bar
}
