//! Works a batch off: hands recordings to the workers, tries again what may pass, waits for what other runs write.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::time::{Duration, Instant};

use anchoring::time::Nanos;
use serde_json::Value;

use super::account::Account;
use super::bars::Bars;
use super::pool::{News, Outcome, Pool, Queue};
use super::resume::Found;
use super::status::{Line, State};
use super::worker::Reply;
use super::{Item, Run};
use crate::cli::Resume;
use crate::failure::Class;
use crate::terminal::time;

/// How long an output that another run writes is waited for while it does not change.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often such an output is looked at.
const LOOK: Duration = Duration::from_secs(1);

impl Run<'_> {
    /// Works everything off and tells what came of it.
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
            "{} recordings to do, {:.2} h; {} are done already",
            self.items.len(),
            total / 3600.0,
            self.skipped
        ));
        let workers = usize::from(self.args.jobs);
        let bars = Bars::new(total, self.items.len(), workers, self.output.quiet);
        let mut account = Account::new(bars);
        for (number, item) in self.items.iter().enumerate() {
            if let Some(why) = &item.why {
                account
                    .bars
                    .again(None, &format!("{} is made again: {why}", item.job.video_id));
            }
            tracing::debug!("{number}: {:?}", item.job);
        }
        let mut numbers: Vec<_> = unusable.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            if let Some((class, error)) = unusable.get(&number).cloned() {
                self.items[number].attempt = 1;
                self.failed(number, class, error, 0.0, None, &mut account)?;
            }
        }
        // The longest first, so that the last ones to end are short.
        let mut order: Vec<usize> = (0..self.items.len()).collect();
        order.sort_by(|&a, &b| self.items[b].length().total_cmp(&self.items[a].length()));
        let mut queue: Queue = VecDeque::new();
        for number in order {
            let item = &self.items[number];
            if let Some(order) = self.order(item, &item.output) {
                queue.push_back((number, order));
            }
        }
        loop {
            self.round(pool, &mut queue, &mut account)?;
            if account.busy.is_empty() || self.stop.is_wanted() {
                break;
            }
            std::thread::sleep(LOOK);
            self.wait_for_others(&mut queue, &mut account)?;
        }
        let waiting = queue.len() + account.busy.len();
        account.stopped += waiting;
        account.bars.clear();
        let took = self.begun.elapsed().as_secs_f64();
        account.left_out = std::mem::take(&mut self.left_out);
        account.tell(self.skipped, took, &self.args.output, self.output.json)
    }

    /// Until the queue is empty or the user stops it.
    fn round(
        &mut self,
        pool: &mut Pool,
        queue: &mut Queue,
        account: &mut Account,
    ) -> anyhow::Result<()> {
        let stop = self.stop.clone();
        pool.work(queue, &stop, &mut |news, queue| match news {
            News::Begun(place, number) => {
                let item = &mut self.items[number];
                item.attempt += 1;
                account.bars.begin(place, &item.job.video_id, item.length());
                Ok(())
            }
            News::Moved(place, stage, at_ns) => {
                account
                    .bars
                    .moved(place, stage, Nanos::new(at_ns).seconds());
                Ok(())
            }
            News::Ended(place, number, outcome, took) => {
                let took = took.as_secs_f64();
                match outcome {
                    Outcome::Said(Reply::Done { said }) => {
                        self.done(number, &said, took, place, account)
                    }
                    Outcome::Said(Reply::Failed { class, error }) | Outcome::Lost(class, error) => {
                        if self.again(number, class, &error, took, queue)? {
                            let id = &self.items[number].job.video_id;
                            let name = class.name();
                            account.bars.again(
                                Some(place),
                                &format!("{id} will be tried again: {name}: {error}"),
                            );
                            return Ok(());
                        }
                        self.failed(number, class, error, took, Some(place), account)
                    }
                    Outcome::Said(_) => Ok(()),
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
        account: &mut Account,
    ) -> anyhow::Result<()> {
        let item = &self.items[number];
        let features = &said["features"];
        let length = Nanos::new(features["duration_ns"].as_i64().unwrap_or(0)).seconds();
        let texts = |value: &Value| serde_json::from_value(value.clone()).unwrap_or_default();
        let line = Line {
            video_seconds: Some(length),
            speed: Some(length / took.max(1e-6)),
            frames: features["frames"].as_u64(),
            tokens: features["spent_tokens"].as_u64(),
            bytes: item.output.metadata().ok().map(|about| about.len()),
            warnings: texts(&said["warnings"]),
            versions: serde_json::from_value(features["versions"].clone()).unwrap_or_default(),
            ..self.line(item, State::Done, took)
        };
        account.done += 1;
        account.done_seconds += length;
        let speed = length / took.max(1e-6);
        let text = format!(
            "{}: {} in {} ({speed:.1} x real time)",
            item.job.video_id,
            time(length),
            time(took)
        );
        self.note(line)?;
        account.bars.end(Some(place), false, &text);
        Ok(())
    }

    /// Whether the recording is tried again; then that is noted and it is in the queue.
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
        let Some(order) = self.order(item, &item.output) else {
            return Ok(false);
        };
        let line = Line {
            class: Some(class),
            error: Some(error.into()),
            ..self.line(item, State::Failed, took)
        };
        self.note(line)?;
        queue.push_back((number, order));
        Ok(true)
    }

    fn failed(
        &mut self,
        number: usize,
        class: Class,
        error: String,
        took: f64,
        place: Option<usize>,
        account: &mut Account,
    ) -> anyhow::Result<()> {
        let item = &self.items[number];
        let id = item.job.video_id.clone();
        // Another run may have made it meanwhile.
        if matches!(class, Class::Busy | Class::Output)
            && self.args.resume != Resume::Overwrite
            && item.found(self.args.resume) == Found::Good
        {
            let because = Some("another run made it".to_owned());
            let line = Line {
                because,
                ..self.line(item, State::Skipped, took)
            };
            self.note(line)?;
            account.elsewhere += 1;
            account
                .bars
                .end(place, false, &format!("{id}: another run made it"));
            return Ok(());
        }
        if class == Class::Busy && place.is_some() {
            account.bars.again(
                place,
                &format!("{id} is being written by another run; waiting for it"),
            );
            account.busy.push((number, Instant::now(), None));
            return Ok(());
        }
        let state = match class {
            Class::Stopped => State::Stopped,
            _ => State::Failed,
        };
        let line = Line {
            class: Some(class),
            error: Some(error.clone()),
            ..self.line(item, state, took)
        };
        self.note(line)?;
        if state == State::Stopped {
            account.stopped += 1;
        } else {
            let text = format!("FAILED {id}: {}: {error}", class.name());
            account.bars.end(place, true, &text);
            account.failures.push((id, class, error));
        }
        Ok(())
    }

    /// Looks after outputs that other runs write: done, free again, or waited for too long.
    fn wait_for_others(&mut self, queue: &mut Queue, account: &mut Account) -> anyhow::Result<()> {
        for (number, since, last) in std::mem::take(&mut account.busy) {
            let item = &self.items[number];
            let mut name = item.output.clone().into_os_string();
            name.push(".partial");
            let about = Path::new(&name).metadata().ok();
            let now = about.and_then(|about| Some((about.len(), about.modified().ok()?)));
            if !gstearmark::h5::is_being_written(&item.output) {
                // Done, or given up: then it is ours.
                let order = self.order(item, &item.output);
                if item.found(self.args.resume) == Found::Good {
                    let error = String::new();
                    self.failed(number, Class::Busy, error, 0.0, None, account)?;
                } else if let Some(order) = order {
                    queue.push_back((number, order));
                }
            } else if now != last {
                account.busy.push((number, Instant::now(), now));
            } else if since.elapsed() < PATIENCE {
                account.busy.push((number, since, last));
            } else {
                let error = format!(
                    "another run holds {} and has not moved for {} s",
                    item.output.display(),
                    PATIENCE.as_secs()
                );
                self.failed(number, Class::Busy, error, 0.0, None, account)?;
            }
        }
        Ok(())
    }
}
