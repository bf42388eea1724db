//! Processes many recordings: finds them, skips what is done, hands the rest to worker processes, reports the results.
//!
//! # Layout
//!
//! In the order of processing:
//!
//! - `job`, `inputs`, `list`: command-line inputs become recordings, each with its own name.
//! - `shard`: this machine's share.
//! - `resume`: which are already done.
//! - `estimate`: `--dry-run`.
//! - `work`: hands out recordings, retries, notes results.
//! - `pool`: the worker processes, seen from the batch.
//! - `worker`: the worker process itself.
//! - `bars`: progress.
//! - `tally`: the result.
//! - `emit`: the batch for Slurm, Kubernetes and Ray.
//! - `status`: one line per attempt in `status.jsonl`.

mod bars;
mod emit;
mod estimate;
mod inputs;
mod job;
mod list;
mod pool;
mod resume;
mod shard;
pub(crate) mod status;
mod tally;
mod work;
mod worker;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anchoring::time::Nanos;
use anyhow::{Context, bail};
use gstearmark::models::{self, notes};

use crate::cli::{Batch, Hash, Resume};
use crate::failure::Class;
use crate::failure::Usage;
use crate::pipeline::{Error, Pipeline, Variables, shipped};
use crate::recording::Recording;
use crate::stop::Stop;
use crate::terminal::{self, Output};
use job::Job;
use pool::{Limits, Outcome, Pool, PoolEvent, Queue};
use resume::{Existing, Expected};
use shard::Shard;
use status::{Log, State, StatusLine};
use worker::{Extract, Reply, Request};

pub(crate) use inputs::recordings_in;
pub(crate) use worker::work;

/// A recording of the batch and its state.
struct Item {
    job: Job,
    wanted: Expected,
    output: PathBuf,
    /// Why the existing output does not count.
    why: Option<String>,
    recording: Option<Recording>,
    attempt: u32,
}

impl Item {
    /// Length in seconds; 0 if unknown.
    fn length(&self) -> f64 {
        let probed = self.recording.as_ref().and_then(|r| r.duration);
        probed
            .map(Nanos::seconds)
            .or(self.job.duration_s)
            .unwrap_or(0.0)
    }
}

/// A running batch.
struct BatchRun<'a> {
    args: &'a Batch,
    text: String,
    output: Output,
    stop: Stop,
    shard: Option<Shard>,
    log: Option<Log>,
    threads: u32,
    items: Vec<Item>,
    skipped: usize,
    /// Recordings that `--retry-failed` skips: name and reason.
    left_out: Vec<(String, String)>,
    begun: Instant,
}

/// `earmark batch`.
///
/// # Errors
/// The command line is wrong, or a recording failed.
pub fn run(args: &Batch, output: Output) -> anyhow::Result<()> {
    let begun = Instant::now();
    let stop = Stop::new()?;
    let jobs = inputs::collect(&args.inputs)?;
    let text = shipped::text(&args.pipeline.pipeline)?;
    let shard = match args.emit {
        None => Shard::choose(args.shard.as_deref(), |name| std::env::var(name).ok())?,
        Some(_) => None,
    };
    let items = prepare(args, &text, jobs)?;
    if args.output.exists() && !args.output.is_dir() {
        bail!(Usage(format!(
            "--output {} is not a folder",
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
    let mut pool = Pool::new(Limits {
        jobs: workers,
        stall: Duration::from_secs(args.listening.stall_timeout),
        memory,
    });
    let mut run = BatchRun {
        args,
        text,
        output,
        stop,
        shard,
        log: None,
        threads: (cores / workers).max(1) as u32,
        items,
        skipped: 0,
        left_out: Vec::new(),
        begun,
    };
    if !args.dry_run {
        std::fs::create_dir_all(&args.output)
            .with_context(|| format!("cannot create the folder {}", args.output.display()))?;
        if args.emit.is_none() {
            run.log = Some(Log::open(&args.output, shard)?);
        }
    }
    if let Some(engine) = args.emit {
        // An unreadable recording has no length; the part that gets it reports why.
        run.probe(&mut pool)?;
        return run.emit(engine);
    }
    run.keep_mine(&mut pool)?;
    run.leave_out_what_is_done()?;
    let unusable = run.probe(&mut pool)?;
    if args.dry_run {
        return run.dry_run(&unusable, &mut pool);
    }
    run.work(unusable, &mut pool)
}

/// Lists every recording with what its output must match. A pipeline is checked once per set of variables.
fn prepare(args: &Batch, text: &str, jobs: Vec<Job>) -> anyhow::Result<Vec<Item>> {
    // Also reports malformed pairs.
    Variables::new(&args.pipeline.set).map_err(Usage)?;
    let common = args.pipeline.variables();
    let mut known: HashMap<Vec<String>, Expected> = HashMap::new();
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
) -> anyhow::Result<Expected> {
    let given = Variables::new(pairs).map_err(Usage)?;
    let pipeline = Pipeline::parse(&args.pipeline.pipeline, text, &given).map_err(Error::from)?;
    let mut notes = notes::of(&models::find(&pipeline.encoder)?)?;
    if let Some(named) = pipeline.listening() {
        notes.extend(notes::of_audio(named)?);
    }
    Ok(Expected {
        config: pipeline.config,
        models: notes,
        variables,
        audio_track: 0,
        whole: args.hash == Hash::Whole,
    })
}

/// Number of recordings in a list; for the fuzz targets.
#[doc(hidden)]
pub fn listed(path: &Path) -> anyhow::Result<usize> {
    Ok(list::read(path)?.len())
}

impl BatchRun<'_> {
    fn say(&self, text: &str) {
        if !self.output.quiet {
            terminal::tell(text);
        }
    }

    /// Keeps only the recordings of this shard.
    fn keep_mine(&mut self, pool: &mut Pool) -> anyhow::Result<()> {
        let Some(shard) = self.shard else {
            return Ok(());
        };
        if self.items.iter().any(|item| item.job.duration_s.is_none()) {
            // Every shard must see the same lengths. An unreadable recording has none, but still belongs to a shard.
            self.probe(pool)?;
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

    /// Removes what is already done and, with `--retry-failed`, what did not fail; notes why the rest is not done.
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
            // With `--retry-failed`, what did not fail counts as done only if its output is there.
            let (resume, wanted) = match (self.args.retry_failed && !failed, self.args.resume) {
                (true, Resume::Overwrite) => (Resume::Verify, false),
                (unwanted, resume) => (resume, !unwanted),
            };
            match (item.found(resume), wanted) {
                (Existing::Absent, true) => {}
                (Existing::Other(why), true) => item.why = Some(why),
                (Existing::Absent, false) => {
                    let why = match before {
                        Some(_) => "its output is missing",
                        None => "it was not processed before",
                    };
                    self.left_out.push((item.job.video_id, why.to_owned()));
                    continue;
                }
                (Existing::Other(why), false) => {
                    self.left_out.push((item.job.video_id, why));
                    continue;
                }
                (Existing::Good, _) => {
                    self.skipped += 1;
                    if !matches!(before, Some(State::Done | State::Skipped)) {
                        let because = Some("found complete".to_owned());
                        self.note(StatusLine {
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

    /// Probes every recording that has not been probed; returns the unusable ones by number.
    fn probe(&mut self, pool: &mut Pool) -> anyhow::Result<HashMap<usize, (Class, String)>> {
        let mut queue: Queue = VecDeque::new();
        for (number, item) in self.items.iter().enumerate() {
            if item.recording.is_none() {
                let input = item.job.input.clone();
                queue.push_back((number, Request::Probe { input }));
            }
        }
        if queue.len() > 20 {
            self.say(&format!("probing {} recordings", queue.len()));
        }
        let mut unusable = HashMap::new();
        let mut tries: HashMap<usize, u32> = HashMap::new();
        let (items, attempts) = (&mut self.items, self.args.attempts);
        pool.work(&mut queue, &self.stop, &mut |event, queue| {
            if let PoolEvent::Ended(_, number, outcome, _) = event {
                match outcome {
                    Outcome::Replied(Reply::Probed { recording }) => {
                        items[number].recording = Some(recording);
                    }
                    Outcome::Replied(Reply::Failed { class, error })
                    | Outcome::Lost(class, error) => {
                        let tried = tries.entry(number).or_insert(0);
                        *tried += 1;
                        if class.may_pass() && *tried < attempts {
                            let input = items[number].job.input.clone();
                            queue.push_back((number, Request::Probe { input }));
                        } else {
                            unusable.insert(number, (class, error));
                        }
                    }
                    Outcome::Replied(_) => {}
                }
            }
            Ok(())
        })?;
        if self.stop.is_wanted() {
            bail!("stopped before anything was done");
        }
        Ok(unusable)
    }

    /// A request to process a probed recording.
    fn request(&self, item: &Item, output: &Path) -> Option<Request> {
        Some(Request::Extract(Box::new(Extract {
            pipeline: self.args.pipeline.pipeline.clone(),
            text: self.text.clone(),
            variables: item.wanted.variables.clone(),
            input: item.job.input.clone(),
            recording: item.recording.clone()?,
            video_id: item.job.video_id.clone(),
            output: job::text(output),
            overwrite: item.why.is_some() || self.args.resume == Resume::Overwrite,
            audio_track: item.wanted.audio_track,
            threads: Some(self.threads),
            hash_whole: item.wanted.whole,
            stall_s: self.args.listening.stall_timeout,
        })))
    }

    fn line(&self, item: &Item, state: State, seconds: f64) -> StatusLine {
        StatusLine {
            at: status::now(),
            serial: 0,
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

    fn note(&mut self, line: StatusLine) -> anyhow::Result<()> {
        match &mut self.log {
            Some(log) => log.append(&line),
            None => Ok(()),
        }
    }
}

impl Item {
    /// The state of the existing output.
    fn found(&self, resume: Resume) -> Existing {
        match resume {
            Resume::Skip => resume::is_complete(&self.output),
            Resume::Verify => resume::verified(&self.output, &self.job, &self.wanted),
            Resume::Overwrite if self.output.symlink_metadata().is_err() => Existing::Absent,
            Resume::Overwrite => Existing::Other("--resume overwrite".into()),
        }
    }
}
