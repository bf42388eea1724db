//! `--dry-run`: estimates time and size, and lists what is skipped and why.

use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};

use super::pool::{Outcome, Pool, PoolEvent, Queue};
use super::status::{self, State};
use super::worker::Reply;
use super::{BatchRun, Item};
use crate::failure::Class;
use crate::terminal;
use crate::terminal::grouped;
use crate::terminal::time;

/// Most names listed per kind.
const NAMED: usize = 20;

/// The cost of a second of video.
struct Rates {
    /// Seconds of one worker.
    seconds: f64,
    /// Bytes of output.
    bytes: f64,
    /// What the estimate is based on.
    from: String,
}

impl BatchRun<'_> {
    /// Prints what would be done.
    pub(super) fn dry_run(
        self,
        unusable: &HashMap<usize, (Class, String)>,
        pool: &mut Pool,
    ) -> anyhow::Result<()> {
        let usable: Vec<usize> = (0..self.items.len())
            .filter(|number| !unusable.contains_key(number))
            .collect();
        // An empty sum is -0.0.
        let total = usable.iter().map(|&n| self.items[n].length()).sum::<f64>() + 0.0;
        let rates = match self.rates_of_before()? {
            Some(rates) => Some(rates),
            None => self.rates_of_a_sample(&usable, pool)?,
        };
        let workers = f64::from(self.args.jobs).min(usable.len().max(1) as f64);
        let longest = usable.iter().map(|&n| self.items[n].length());
        let longest = longest.fold(0.0, f64::max);
        let expected = rates.as_ref().map(|rates| {
            let seconds = (total * rates.seconds / workers).max(longest * rates.seconds);
            (seconds, total * rates.bytes)
        });
        let again: Vec<_> = self
            .items
            .iter()
            .filter_map(|item| Some((item.job.video_id.as_str(), item.why.as_deref()?)))
            .collect();
        let mut bad: Vec<_> = unusable
            .iter()
            .filter_map(|(n, (class, error))| Some((self.items.get(*n)?, class, error)))
            .collect();
        bad.sort_by(|a, b| a.0.job.video_id.cmp(&b.0.job.video_id));
        if self.output.json {
            let value = json!({
                "ok": true, "recordings": usable.len(), "video_seconds": total, "done_already": self.skipped,
                "expected_seconds": expected.map(|(seconds, _)| seconds), "expected_bytes": expected.map(|(_, bytes)| bytes as u64),
                "learnt_from": rates.as_ref().map(|rates| &rates.from),
                "left_out": self.left_out.iter().map(|(id, why)| json!({ "video_id": id, "because": why })).collect::<Vec<_>>(),
                "again": again.iter().map(|(id, why)| json!({ "video_id": id, "because": why })).collect::<Vec<_>>(),
                "unusable": bad.iter().map(|(item, class, error)| json!({ "video_id": item.job.video_id, "class": class, "error": error })).collect::<Vec<_>>(),
            });
            return terminal::print(&format!("{value:#}"));
        }
        let mut lines = vec![format!(
            "to do      {} recordings, {:.2} h; {} at a time, {} threads each",
            usable.len(),
            total / 3600.0,
            self.args.jobs,
            self.threads
        )];
        lines.push(match (&expected, &rates) {
            (Some((seconds, bytes)), Some(rates)) => format!(
                "expected   {} and {} MB, based on {}",
                time(*seconds),
                grouped((bytes / 1e6).ceil() as u64),
                rates.from
            ),
            _ => "expected   nothing to do".into(),
        });
        lines.push(format!("skipped    {} already done", self.skipped));
        let others = self.left_out.iter().map(|(id, why)| format!("{id}: {why}"));
        named(&mut lines, "skipped", others);
        named(
            &mut lines,
            "again",
            again.iter().map(|(id, why)| format!("{id}: {why}")),
        );
        let bad = bad.iter().map(|(item, class, error)| {
            format!("{}: {}: {error}", item.job.video_id, class.name())
        });
        named(&mut lines, "unusable", bad);
        terminal::print(&lines.join("\n"))
    }

    /// From earlier runs in this folder.
    fn rates_of_before(&self) -> anyhow::Result<Option<Rates>> {
        let (lines, _) = status::read(&self.args.output)?;
        let done: Vec<_> = lines
            .iter()
            .filter(|line| line.state == State::Done)
            .filter_map(|line| Some((line.seconds, line.video_seconds?, line.bytes?)))
            .collect();
        let video: f64 = done.iter().map(|(_, video, _)| video).sum();
        if video <= 0.0 {
            return Ok(None);
        }
        Ok(Some(Rates {
            seconds: done.iter().map(|(seconds, ..)| seconds).sum::<f64>() / video,
            bytes: done.iter().map(|(.., bytes)| *bytes as f64).sum::<f64>() / video,
            from: format!("the {} recordings done here before", done.len()),
        }))
    }

    /// From a trial run of the shortest recording, whose output is deleted.
    fn rates_of_a_sample(
        &self,
        usable: &[usize],
        pool: &mut Pool,
    ) -> anyhow::Result<Option<Rates>> {
        let with_length = usable.iter().filter(|&&n| self.items[n].length() > 0.0);
        let shortest = with_length
            .min_by(|&&a, &&b| self.items[a].length().total_cmp(&self.items[b].length()));
        let Some(&number) = shortest else {
            return Ok(None);
        };
        let folder = tempfile::tempdir()?;
        let output = folder.path().join("sample.h5");
        let item: &Item = &self.items[number];
        let length = item.length();
        self.say(&format!(
            "no recording was done here before: trying {} ({})",
            item.job.video_id,
            time(length)
        ));
        let mut queue: Queue = VecDeque::new();
        queue.extend(self.request(item, &output).map(|request| (number, request)));
        let mut took = None;
        pool.work(&mut queue, &self.stop, &mut |event, _| {
            if let PoolEvent::Ended(_, _, Outcome::Replied(Reply::Done { said }), _) = event {
                took = said.get("seconds").and_then(Value::as_f64);
            }
            Ok(())
        })?;
        let bytes = output.metadata().map(|about| about.len()).unwrap_or(0);
        Ok(took.map(|took| Rates {
            seconds: took / length,
            bytes: bytes as f64 / length,
            from: format!("a trial run of {}", self.items[number].job.video_id),
        }))
    }
}

fn named(lines: &mut Vec<String>, kind: &str, all: impl Iterator<Item = String>) {
    let all: Vec<_> = all.collect();
    for line in all.iter().take(NAMED) {
        lines.push(format!("{kind:<10} {line}"));
    }
    if all.len() > NAMED {
        lines.push(format!("{kind:<10} and {} more", all.len() - NAMED));
    }
}
