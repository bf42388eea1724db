//! Many recordings: found, checked against what is there, handed to worker processes, accounted for.
//!
//! # Layout
//!
//! In the order of a recording's way:
//!
//! - `inputs`, `list`: what was named -> recordings, each with a name of its own.
//! - `shard`: which of them are this machine's.
//! - `resume`: which of them are done already, verified.
//! - `estimate`: what `--dry-run` says.
//! - `pool`: worker processes, watched.
//! - `worker`: the other side of it.
//! - `bars`: what is on stderr meanwhile.
//! - `emit`: the same for Slurm, Kubernetes and Ray.
//! - `status`: a line per attempt in `status.jsonl`.

mod bars;
mod emit;
mod estimate;
mod inputs;
mod list;
mod pool;
mod resume;
mod shard;
pub(crate) mod status;
mod worker;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anchoring::time::Nanos;
use anyhow::{Context, bail};
use gstearmark::h5::ModelNote;
use gstearmark::models;
use serde_json::{Value, json};

use crate::cli::{Batch, Hash, Resume};
use crate::commands::{self, Output, Reported, Usage};
use crate::config::{Error, Pipeline, Variables};
use crate::probe::Recording;
use crate::session::failure::Class;
use crate::session::{Stop, time};
use bars::Bars;
use inputs::Job;
use pool::{Limits, News, Outcome, Pool, Queue};
use resume::{Found, Wanted};
use shard::Shard;
use status::{Line, Log, State};
use worker::{Extract, Order, Reply};

pub(crate) use worker::work;

/// How long an output that another run writes is waited for while it does not change.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often such an output is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// A recording of the batch, and what is known of it.
struct Item {
    job: Job,
    wanted: Wanted,
    output: PathBuf,
    /// What is there, and why that does not count.
    why: Option<String>,
    recording: Option<Recording>,
    attempt: u32,
}

impl Item {
    /// Seconds; 0 if nobody knows.
    fn length(&self) -> f64 {
        let probed = self.recording.as_ref().and_then(|r| r.duration);
        probed
            .map(Nanos::seconds)
            .or(self.job.duration_s)
            .unwrap_or(0.0)
    }
}

/// A batch under way.
struct Run<'a> {
    args: &'a Batch,
    text: String,
    output: Output,
    stop: Stop,
    shard: Option<Shard>,
    log: Option<Log>,
    pool: Pool,
    threads: u32,
    items: Vec<Item>,
    skipped: usize,
    begun: Instant,
}

/// How recordings ended.
#[derive(Default)]
struct Account {
    done: usize,
    done_seconds: f64,
    elsewhere: usize,
    failures: Vec<(String, Class, String)>,
    stopped: usize,
    /// Written by another run.
    busy: Vec<Waited>,
}

/// An output that another run writes: of which recording, since when it has been as it is, and how it is (size, time of change).
type Waited = (usize, Instant, Option<(u64, std::time::SystemTime)>);

/// `earmark batch`.
///
/// # Errors
/// The command line is wrong, or a recording failed.
pub fn run(args: &Batch, output: Output) -> anyhow::Result<()> {
    let begun = Instant::now();
    let stop = Stop::new()?;
    let jobs = inputs::collect(&args.inputs)?;
    let text = std::fs::read_to_string(&args.pipeline.pipeline).map_err(|source| Error::Read {
        file: args.pipeline.pipeline.clone(),
        source,
    })?;
    let shard = match args.emit {
        None => Shard::choose(args.shard.as_deref(), |name| std::env::var(name).ok())?,
        Some(_) => None,
    };
    let items = prepare(args, &text, jobs)?;
    if args.output.exists() && !args.output.is_dir() {
        bail!(Usage(format!(
            "--output {} is no folder",
            args.output.display()
        )));
    }
    gstearmark::onnx::runtime_path()?;
    let workers = usize::from(args.jobs);
    let cores = crate::session::cores(args.listening.threads) as usize;
    let memory = match args.memory {
        Some(mib) => Some(mib << 20),
        None => pool::memory_of_machine().map(|all| all / 10 * 9 / workers as u64),
    };
    let pool = Pool::new(Limits {
        jobs: workers,
        stall: Duration::from_secs(args.listening.stall_timeout),
        memory,
    });
    let mut run = Run {
        args,
        text,
        output,
        stop,
        shard,
        log: None,
        pool,
        threads: (cores / workers).max(1) as u32,
        items,
        skipped: 0,
        begun,
    };
    if !args.dry_run {
        std::fs::create_dir_all(&args.output)
            .with_context(|| format!("cannot make the folder {}", args.output.display()))?;
        if args.emit.is_none() {
            run.log = Some(Log::open(&args.output, shard)?);
        }
    }
    if let Some(engine) = args.emit {
        // What can't be read has no length; the part that gets it will say why.
        run.look()?;
        return run.emit(engine);
    }
    run.keep_mine()?;
    run.leave_out_what_is_done()?;
    let unusable = run.look()?;
    if args.dry_run {
        return run.dry_run(&unusable);
    }
    run.work(unusable)
}

/// Every recording with what its output must be; pipelines are checked once per set of variables.
fn prepare(args: &Batch, text: &str, jobs: Vec<Job>) -> anyhow::Result<Vec<Item>> {
    // Also says what is wrong with the pairs themselves.
    Variables::new(&args.pipeline.set).map_err(Usage)?;
    let common = args.pipeline.variables();
    let mut known: HashMap<Vec<String>, Wanted> = HashMap::new();
    let mut items = Vec::new();
    for job in jobs {
        let mut variables = common.clone();
        variables.extend(job.variables.clone());
        let pairs: Vec<_> = variables
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut wanted = match known.get(&pairs) {
            Some(wanted) => wanted.clone(),
            None => {
                let wanted = want(args, text, &pairs, variables)
                    .with_context(|| format!("for {}", job.named_in))?;
                known.insert(pairs, wanted.clone());
                wanted
            }
        };
        wanted.audio_track = job.audio_track.unwrap_or(args.listening.audio_track);
        items.push(Item {
            output: job.output(&args.output),
            job,
            wanted,
            why: None,
            recording: None,
            attempt: 0,
        });
    }
    Ok(items)
}

fn want(
    args: &Batch,
    text: &str,
    pairs: &[String],
    variables: BTreeMap<String, String>,
) -> anyhow::Result<Wanted> {
    let given = Variables::new(pairs).map_err(Usage)?;
    let pipeline = Pipeline::parse(&args.pipeline.pipeline, text, &given).map_err(Error::from)?;
    let mut notes = Vec::new();
    for (role, name) in [
        ("encoder", Some(&pipeline.encoder)),
        ("tagger", pipeline.tagger.as_ref()),
    ] {
        let Some(name) = name else { continue };
        let manifest = models::find(name)?;
        manifest.check()?;
        notes.push(ModelNote {
            role: role.into(),
            name: manifest.name,
            sha256: manifest.sha256,
        });
    }
    Ok(Wanted {
        config: pipeline.config,
        models: notes,
        variables,
        audio_track: 0,
        whole: args.hash == Hash::Whole,
    })
}

impl Run<'_> {
    fn say(&self, text: &str) {
        if !self.output.quiet {
            eprintln!("{text}");
        }
    }

    /// Leaves only this shard's recordings.
    fn keep_mine(&mut self) -> anyhow::Result<()> {
        let Some(shard) = self.shard else {
            return Ok(());
        };
        if self.items.iter().any(|item| item.job.duration_s.is_none()) {
            // Every shard must see the same lengths; what can't be read has none, and is somebody's all the same.
            self.look()?;
        }
        let lengths: Vec<_> = self
            .items
            .iter()
            .map(|item| (item.length(), item.job.video_id.as_str()))
            .collect();
        let mut mine = shard.take(&lengths).into_iter();
        let all = self.items.len();
        self.items.retain(|_| mine.next() == Some(true));
        self.say(&format!(
            "shard {shard}: {} of {all} recordings",
            self.items.len()
        ));
        Ok(())
    }

    /// Leaves out what is done already, and notes why the rest is not.
    fn leave_out_what_is_done(&mut self) -> anyhow::Result<()> {
        let (lines, _) = status::read(&self.args.output)?;
        let last: BTreeMap<String, State> = status::last(&lines)
            .into_iter()
            .map(|(id, line)| (id.to_owned(), line.state))
            .collect();
        let mut left = Vec::new();
        for mut item in std::mem::take(&mut self.items) {
            let before = last.get(&item.job.video_id);
            let failed = matches!(before, Some(State::Failed | State::Stopped));
            if self.args.retry_failed && !failed {
                self.skipped += 1;
                continue;
            }
            match item.found(self.args.resume) {
                Found::Absent => {}
                Found::Other(why) => item.why = Some(why),
                Found::Good => {
                    self.skipped += 1;
                    if !matches!(before, Some(State::Done | State::Skipped)) {
                        let because = Some("found complete".to_owned());
                        self.note(Line {
                            because,
                            ..self.line(&item, State::Skipped, 0.0)
                        })?;
                    }
                    continue;
                }
            }
            left.push(item);
        }
        self.items = left;
        Ok(())
    }

    /// Has the workers look at every recording that nobody has looked at; those that cannot be used, by their number.
    fn look(&mut self) -> anyhow::Result<HashMap<usize, (Class, String)>> {
        let mut queue: Queue = VecDeque::new();
        for (number, item) in self.items.iter().enumerate() {
            if item.recording.is_none() {
                let input = item.job.input.clone();
                queue.push_back((number, Order::Probe { input }));
            }
        }
        if queue.len() > 20 {
            self.say(&format!("looking at {} recordings", queue.len()));
        }
        let mut unusable = HashMap::new();
        let mut tries: HashMap<usize, u32> = HashMap::new();
        let (items, attempts) = (&mut self.items, self.args.attempts);
        self.pool.work(&mut queue, &self.stop, &mut |news, queue| {
            if let News::Ended(_, number, outcome, _) = news {
                match outcome {
                    Outcome::Said(Reply::Probed { recording }) => {
                        items[number].recording = Some(recording);
                    }
                    Outcome::Said(Reply::Failed { class, error }) | Outcome::Lost(class, error) => {
                        let tried = tries.entry(number).or_insert(0);
                        *tried += 1;
                        if class.may_pass() && *tried < attempts {
                            let input = items[number].job.input.clone();
                            queue.push_back((number, Order::Probe { input }));
                        } else {
                            unusable.insert(number, (class, error));
                        }
                    }
                    Outcome::Said(_) => {}
                }
            }
            Ok(())
        })?;
        if self.stop.is_wanted() {
            bail!("stopped; nothing was done");
        }
        Ok(unusable)
    }

    /// An order for a recording that was looked at.
    fn order(&self, item: &Item, output: &Path) -> Option<Order> {
        Some(Order::Extract(Box::new(Extract {
            pipeline: self.args.pipeline.pipeline.clone(),
            text: self.text.clone(),
            variables: item.wanted.variables.clone(),
            input: item.job.input.clone(),
            recording: item.recording.clone()?,
            video_id: item.job.video_id.clone(),
            output: inputs::text(output),
            overwrite: item.why.is_some() || self.args.resume == Resume::Overwrite,
            audio_track: item.wanted.audio_track,
            threads: Some(self.threads),
            hash_whole: item.wanted.whole,
            stall_s: self.args.listening.stall_timeout,
        })))
    }

    fn line(&self, item: &Item, state: State, seconds: f64) -> Line {
        Line {
            at: status::now(),
            video_id: item.job.video_id.clone(),
            input: item.job.input.clone(),
            state,
            attempt: item.attempt,
            seconds,
            video_seconds: Some(item.length()).filter(|length| *length > 0.0),
            speed: None,
            frames: None,
            tokens: None,
            bytes: None,
            class: None,
            error: None,
            because: item.why.clone(),
            warnings: Vec::new(),
            versions: BTreeMap::from([("earmark".into(), env!("CARGO_PKG_VERSION").into())]),
            host: status::host(),
            shard: self.shard.map(|shard| shard.to_string()),
        }
    }

    fn note(&mut self, line: Line) -> anyhow::Result<()> {
        match &mut self.log {
            Some(log) => log.append(&line),
            None => Ok(()),
        }
    }

    /// Works everything off and tells what came of it.
    fn work(mut self, unusable: HashMap<usize, (Class, String)>) -> anyhow::Result<()> {
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
        let mut bars = Bars::new(total, self.items.len(), workers, self.output.quiet);
        let mut account = Account::default();
        for (number, item) in self.items.iter().enumerate() {
            if let Some(why) = &item.why {
                bars.again(
                    usize::MAX,
                    &format!("{} is made again: {why}", item.job.video_id),
                );
            }
            tracing::debug!("{number}: {:?}", item.job);
        }
        let mut numbers: Vec<_> = unusable.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            if let Some((class, error)) = unusable.get(&number).cloned() {
                self.items[number].attempt = 1;
                self.failed(
                    number,
                    class,
                    error,
                    0.0,
                    usize::MAX,
                    &mut account,
                    &mut bars,
                )?;
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
            self.round(&mut queue, &mut account, &mut bars)?;
            if account.busy.is_empty() || self.stop.is_wanted() {
                break;
            }
            std::thread::sleep(LOOK);
            self.wait_for_others(&mut queue, &mut account, &mut bars)?;
        }
        let waiting = queue.len() + account.busy.len();
        account.stopped += waiting;
        bars.clear();
        self.tell(&account)
    }

    /// Until the queue is empty or the user stops it.
    fn round(
        &mut self,
        queue: &mut Queue,
        account: &mut Account,
        bars: &mut Bars,
    ) -> anyhow::Result<()> {
        let stop = self.stop.clone();
        // The pool is lent out so that what it tells can be noted meanwhile.
        let limits = Limits {
            jobs: 1,
            stall: Duration::ZERO,
            memory: None,
        };
        let mut pool = std::mem::replace(&mut self.pool, Pool::new(limits));
        let result = pool.work(queue, &stop, &mut |news, queue| match news {
            News::Begun(place, number) => {
                let item = &mut self.items[number];
                item.attempt += 1;
                bars.begin(place, &item.job.video_id, item.length());
                Ok(())
            }
            News::Moved(place, stage, at_ns) => {
                bars.moved(place, stage, Nanos::new(at_ns).seconds());
                Ok(())
            }
            News::Ended(place, number, outcome, took) => {
                let took = took.as_secs_f64();
                match outcome {
                    Outcome::Said(Reply::Done { said }) => {
                        self.done(number, &said, took, place, account, bars)
                    }
                    Outcome::Said(Reply::Failed { class, error }) | Outcome::Lost(class, error) => {
                        if self.again(number, class, &error, took, queue)? {
                            let id = &self.items[number].job.video_id;
                            let name = class.name();
                            bars.again(
                                place,
                                &format!("{id} will be tried again: {name}: {error}"),
                            );
                            return Ok(());
                        }
                        self.failed(number, class, error, took, place, account, bars)
                    }
                    Outcome::Said(_) => Ok(()),
                }
            }
        });
        self.pool = pool;
        result
    }

    fn done(
        &mut self,
        number: usize,
        said: &Value,
        took: f64,
        place: usize,
        account: &mut Account,
        bars: &mut Bars,
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
        bars.end(place, false, &text);
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

    #[expect(
        clippy::too_many_arguments,
        reason = "one call says everything about one end"
    )]
    fn failed(
        &mut self,
        number: usize,
        class: Class,
        error: String,
        took: f64,
        place: usize,
        account: &mut Account,
        bars: &mut Bars,
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
            bars.end(place, false, &format!("{id}: another run made it"));
            return Ok(());
        }
        if class == Class::Busy && place != usize::MAX {
            bars.again(
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
            bars.end(place, true, &text);
            account.failures.push((id, class, error));
        }
        Ok(())
    }

    /// Looks after outputs that other runs write: done, free again, or waited for too long.
    fn wait_for_others(
        &mut self,
        queue: &mut Queue,
        account: &mut Account,
        bars: &mut Bars,
    ) -> anyhow::Result<()> {
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
                    self.failed(number, Class::Busy, error, 0.0, usize::MAX, account, bars)?;
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
                self.failed(number, Class::Busy, error, 0.0, usize::MAX, account, bars)?;
            }
        }
        Ok(())
    }

    fn tell(&self, account: &Account) -> anyhow::Result<()> {
        let took = self.begun.elapsed().as_secs_f64();
        let failed = account.failures.len();
        let ok = failed == 0 && account.stopped == 0;
        if self.output.json {
            commands::print(&format!(
                "{:#}",
                json!({
                    "ok": ok, "output": self.args.output.to_string_lossy(), "done": account.done, "done_already": self.skipped,
                    "done_elsewhere": account.elsewhere, "failed": failed, "not_done": account.stopped, "seconds": took,
                    "video_seconds": account.done_seconds,
                    "failures": account.failures.iter().map(|(id, class, error)| json!({ "video_id": id, "class": class, "error": error })).collect::<Vec<_>>(),
                })
            ))?;
        } else {
            let mut parts = vec![format!("{} done", account.done)];
            for (n, what) in [
                (self.skipped, "done already"),
                (account.elsewhere, "done by another run"),
                (failed, "FAILED"),
                (account.stopped, "not done"),
            ] {
                if n > 0 {
                    parts.push(format!("{n} {what}"));
                }
            }
            let mut lines = vec![
                format!("recordings {}", parts.join(", ")),
                format!(
                    "time       {} for {:.2} h of video ({:.1} h of video an hour)",
                    time(took),
                    account.done_seconds / 3600.0,
                    account.done_seconds / took.max(1e-6)
                ),
                format!("written    {}", self.args.output.display()),
            ];
            lines.extend(
                account.failures.iter().map(|(id, class, error)| {
                    format!("failed     {id}: {}: {error}", class.name())
                }),
            );
            if failed > 0 {
                lines.push("to try what failed again, add --retry-failed".into());
            }
            commands::print(&lines.join("\n"))?;
        }
        if ok {
            Ok(())
        } else {
            Err(Reported::failure().into())
        }
    }
}

impl Item {
    /// What is in the place of the output.
    fn found(&self, resume: Resume) -> Found {
        match resume {
            Resume::Skip => resume::is_complete(&self.output),
            Resume::Verify => resume::verified(&self.output, &self.job, &self.wanted),
            Resume::Overwrite if self.output.symlink_metadata().is_err() => Found::Absent,
            Resume::Overwrite => Found::Other("--resume overwrite".into()),
        }
    }
}
