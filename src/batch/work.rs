//! Runs a batch: hands recordings to workers, retries temporary failures, waits for outputs that other runs write.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::time::{Duration, Instant};

use anchoring::time::Nanos;
use serde_json::Value;

use super::bars::Bars;
use super::pool::{Outcome, Pool, PoolEvent, Queue};
use super::resume::Existing;
use super::status::{State, StatusLine};
use super::tally::Tally;
use super::worker::Reply;
use super::{BatchRun, Item};
use crate::cli::Resume;
use crate::failure::Class;
use crate::terminal::time;

/// How long to wait for an output of another run that does not change.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often such an output is checked.
const CHECK_EVERY: Duration = Duration::from_secs(1);

impl BatchRun<'_> {
    /// Processes everything and prints the result.
    pub(super) fn work(
        mut self,
        unusable: HashMap<usize, (Class, String)>,
        pool: &mut Pool,
    ) -> anyhow::Result<()> {
        let total = self
            .items
            .iter()
            .map(Item::length)
            .fold(0.0, |sum, length| sum + length);
        self.say(&format!(
            "{} recordings to do, {:.2} h; {} already done",
            self.items.len(),
            total / 3600.0,
            self.skipped
        ));
        let workers = usize::from(self.args.jobs);
        let bars = Bars::new(total, self.items.len(), workers, self.output.quiet);
        let mut tally = Tally::new(bars);
        for (number, item) in self.items.iter().enumerate() {
            if let Some(why) = &item.why {
                tally.bars.again(
                    None,
                    &format!("{} is processed again: {why}", item.job.video_id),
                );
            }
            tracing::debug!("{number}: {:?}", item.job);
        }
        let mut numbers: Vec<_> = unusable.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            if let Some((class, error)) = unusable.get(&number).cloned() {
                self.items[number].attempt = 1;
                self.failed(number, class, error, 0.0, None, &mut tally)?;
            }
        }
        // Longest first, so that the last ones to finish are short.
        let mut order: Vec<usize> = (0..self.items.len()).collect();
        order.sort_by(|&a, &b| self.items[b].length().total_cmp(&self.items[a].length()));
        let mut queue: Queue = VecDeque::new();
        for number in order {
            let item = &self.items[number];
            if let Some(request) = self.request(item, &item.output) {
                queue.push_back((number, request));
            }
        }
        loop {
            self.round(pool, &mut queue, &mut tally)?;
            if tally.busy.is_empty() || self.stop.is_wanted() {
                break;
            }
            std::thread::sleep(CHECK_EVERY);
            self.wait_for_others(&mut queue, &mut tally)?;
        }
        let waiting = queue.len() + tally.busy.len();
        tally.stopped += waiting;
        tally.bars.clear();
        let took = self.begun.elapsed().as_secs_f64();
        tally.left_out = std::mem::take(&mut self.left_out);
        tally.tell(self.skipped, took, &self.args.output, self.output.json)
    }

    /// Runs until the queue is empty or the user stops it.
    fn round(
        &mut self,
        pool: &mut Pool,
        queue: &mut Queue,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        let stop = self.stop.clone();
        pool.work(queue, &stop, &mut |event, queue| match event {
            PoolEvent::Begun(place, number) => {
                let item = &mut self.items[number];
                item.attempt += 1;
                tally.bars.begin(place, &item.job.video_id, item.length());
                Ok(())
            }
            PoolEvent::PassProgress(place, stage, at_ns) => {
                tally.bars.moved(place, stage, Nanos::new(at_ns).seconds());
                Ok(())
            }
            PoolEvent::Ended(place, number, outcome, took) => {
                let took = took.as_secs_f64();
                match outcome {
                    Outcome::Replied(Reply::Done { said }) => {
                        self.done(number, &said, took, place, tally)
                    }
                    Outcome::Replied(Reply::Failed { class, error })
                    | Outcome::Lost(class, error) => {
                        if self.again(number, class, &error, took, queue)? {
                            let id = &self.items[number].job.video_id;
                            let name = class.name();
                            tally.bars.again(
                                Some(place),
                                &format!("{id} will be retried: {name}: {error}"),
                            );
                            return Ok(());
                        }
                        self.failed(number, class, error, took, Some(place), tally)
                    }
                    Outcome::Replied(_) => Ok(()),
                }
            }
        })
    }

    fn done(
        &mut self,
        number: usize,
        said: &Value,
        took: f64,
        place: usize,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        let item = &self.items[number];
        let features = &said["features"];
        let length = Nanos::new(features["duration_ns"].as_i64().unwrap_or(0)).seconds();
        let texts = |value: &Value| -> Vec<String> {
            serde_json::from_value(value.clone()).unwrap_or_default()
        };
        let line = StatusLine {
            video_seconds: Some(length),
            speed: Some(length / took.max(1e-6)),
            frames: features["frames"].as_u64(),
            tokens: features["spent_tokens"].as_u64(),
            bytes: item.output.metadata().ok().map(|about| about.len()),
            warnings: texts(&said["warnings"]),
            versions: serde_json::from_value(features["versions"].clone()).unwrap_or_default(),
            ..self.line(item, State::Done, took)
        };
        tally.done += 1;
        let warnings: Vec<String> = texts(&said["warnings"]);
        tally.warn(&self.items[number].job.video_id, &warnings);
        tally.done_seconds += length;
        let speed = length / took.max(1e-6);
        let text = format!(
            "{}: {} in {} ({speed:.1} x real time)",
            item.job.video_id,
            time(length),
            time(took)
        );
        self.note(line)?;
        tally.bars.end(Some(place), false, &text);
        Ok(())
    }

    /// Whether the recording is retried; if so, that is noted and it is queued.
    fn again(
        &mut self,
        number: usize,
        class: Class,
        error: &str,
        took: f64,
        queue: &mut Queue,
    ) -> anyhow::Result<bool> {
        let item = &self.items[number];
        if !class.may_pass() || item.attempt >= self.args.attempts || self.stop.is_wanted() {
            return Ok(false);
        }
        let Some(request) = self.request(item, &item.output) else {
            return Ok(false);
        };
        let line = StatusLine {
            class: Some(class),
            error: Some(error.into()),
            ..self.line(item, State::Failed, took)
        };
        self.note(line)?;
        queue.push_back((number, request));
        Ok(true)
    }

    fn failed(
        &mut self,
        number: usize,
        class: Class,
        error: String,
        took: f64,
        place: Option<usize>,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        let item = &self.items[number];
        let id = item.job.video_id.clone();
        // Another run may have written it in the meantime.
        if matches!(class, Class::Busy | Class::Output)
            && self.args.resume != Resume::Overwrite
            && item.found(self.args.resume) == Existing::Good
        {
            let because = Some("another run made it".to_owned());
            let line = StatusLine {
                because,
                ..self.line(item, State::Skipped, took)
            };
            self.note(line)?;
            tally.elsewhere += 1;
            tally
                .bars
                .end(place, false, &format!("{id}: another run made it"));
            return Ok(());
        }
        if class == Class::Busy && place.is_some() {
            tally.bars.again(
                place,
                &format!("another run is writing {id}; waiting for it"),
            );
            tally.busy.push((number, Instant::now(), None));
            return Ok(());
        }
        let state = match class {
            Class::Stopped => State::Stopped,
            _ => State::Failed,
        };
        let line = StatusLine {
            class: Some(class),
            error: Some(error.clone()),
            ..self.line(item, state, took)
        };
        self.note(line)?;
        if state == State::Stopped {
            tally.stopped += 1;
        } else {
            let text = format!("FAILED {id}: {}: {error}", class.name());
            tally.bars.end(place, true, &text);
            tally.failures.push((id, class, error));
        }
        Ok(())
    }

    /// Checks outputs of other runs: done, abandoned, or unchanged for too long.
    fn wait_for_others(&mut self, queue: &mut Queue, tally: &mut Tally) -> anyhow::Result<()> {
        for (number, since, last) in std::mem::take(&mut tally.busy) {
            let item = &self.items[number];
            let mut name = item.output.clone().into_os_string();
            name.push(".partial");
            let about = Path::new(&name).metadata().ok();
            let now = about.and_then(|about| Some((about.len(), about.modified().ok()?)));
            if !gstearmark::h5::is_being_written(&item.output) {
                // Done, or abandoned and now ours.
                let request = self.request(item, &item.output);
                if item.found(self.args.resume) == Existing::Good {
                    let error = String::new();
                    self.failed(number, Class::Busy, error, 0.0, None, tally)?;
                } else if let Some(request) = request {
                    queue.push_back((number, request));
                }
            } else if now != last {
                tally.busy.push((number, Instant::now(), now));
            } else if since.elapsed() < PATIENCE {
                tally.busy.push((number, since, last));
            } else {
                let error = format!(
                    "another run holds {} and has made no progress for {} s",
                    item.output.display(),
                    PATIENCE.as_secs()
                );
                self.failed(number, Class::Busy, error, 0.0, None, tally)?;
            }
        }
        Ok(())
    }
}
