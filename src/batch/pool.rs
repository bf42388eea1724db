//! Worker processes: starts them, sends them requests, kills them when they stall, grow too large or are no longer needed.
//!
//! A worker that dies loses only its own request; the next request starts a new worker. Bounds: `jobs` workers, a channel of [`EVENTS`]
//! replies, and [`FALSE_STARTS`] workers in a row that die before they are ready.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::worker::{LONGEST_LINE, Reply, Request};
use crate::failure::Class;
use crate::stop::Stop;
use crate::terminal;

/// Capacity of the channel of replies.
const EVENTS: usize = 1024;
/// How often workers are checked.
const TICK: Duration = Duration::from_millis(100);
/// Added to the stall timeout, so that a worker that notices a stall itself can report where.
const GRACE: Duration = Duration::from_secs(3);
/// Time that a worker gets to clean up.
const PATIENCE: Duration = Duration::from_secs(5);
/// Workers in a row that may die before they are ready.
const FALSE_STARTS: u32 = 3;
/// Requests after which a worker is replaced, to bound memory leaks in libraries.
const MOST_REQUESTS: u32 = 500;
/// Lines of a worker's stderr that are shown when it dies.
const LAST_LINES: usize = 6;

/// Limits for workers.
pub(super) struct Limits {
    /// Workers at a time.
    pub jobs: usize,
    /// Longest time without progress.
    pub stall: Duration,
    /// Resident memory of a worker, bytes.
    pub memory: Option<u64>,
}

/// The result of a request.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The worker's last reply.
    Replied(Reply),
    /// The worker died or was killed.
    Lost(Class, String),
}

/// An event of a worker: the worker's place (from 0), then the number of its request.
pub(super) enum PoolEvent<'a> {
    /// A worker starts a request.
    Begun(usize, usize),
    /// A worker makes progress: its stage, and the position in nanoseconds.
    PassProgress(usize, &'a str, i64),
    /// A request has ended after this time.
    Ended(usize, usize, Outcome, Duration),
}

/// Waiting requests with their numbers.
pub(super) type Queue = VecDeque<(usize, Request)>;

struct Running {
    number: usize,
    begun: Instant,
    moved: Instant,
    count: Option<u64>,
}

struct Worker {
    child: Child,
    stdin: Option<ChildStdin>,
    last_lines: Arc<Mutex<VecDeque<String>>>,
    is_ready: bool,
    requests: u32,
    running: Option<Running>,
    /// Why it was killed, if it was.
    ended: Option<(Class, String)>,
}

enum Event {
    Replied(usize, u32, Reply),
    Gone(usize, u32),
}

/// The workers; dropping the pool kills them.
pub(super) struct Pool {
    limits: Limits,
    workers: Vec<Option<Worker>>,
    /// Tells the workers of one place apart.
    generations: Vec<u32>,
    false_starts: u32,
    sender: Sender<Event>,
    events: Receiver<Event>,
}

impl Pool {
    pub(super) fn new(limits: Limits) -> Self {
        let (sender, events) = bounded(EVENTS);
        let jobs = limits.jobs.max(1);
        Self {
            limits,
            workers: (0..jobs).map(|_| None).collect(),
            generations: vec![0; jobs],
            false_starts: 0,
            sender,
            events,
        }
    }

    /// Processes the queue; `on` may append to it. If `stop` is wanted, it returns early: running requests end as stopped,
    /// waiting ones stay in the queue.
    ///
    /// # Errors
    /// Workers do not start, or `on` fails.
    pub(super) fn work(
        &mut self,
        queue: &mut Queue,
        stop: &Stop,
        on: &mut dyn FnMut(PoolEvent<'_>, &mut Queue) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        loop {
            if stop.is_wanted() {
                return self.abandon(queue, on);
            }
            self.hand_out(queue, on)?;
            if queue.is_empty() && self.workers.iter().flatten().all(|w| w.running.is_none()) {
                return Ok(());
            }
            match self.events.recv_timeout(TICK) {
                Ok(event) => self.take(event, queue, on)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => bail!("cannot receive from the workers"),
            }
            self.look_after();
        }
    }

    fn hand_out(
        &mut self,
        queue: &mut Queue,
        on: &mut dyn FnMut(PoolEvent<'_>, &mut Queue) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for place in 0..self.workers.len() {
            if queue.is_empty() {
                break;
            }
            if self.workers[place].is_none() {
                self.start(place)?;
            }
            let Some(worker) = self.workers[place].as_mut() else {
                continue;
            };
            let is_free = worker.is_ready && worker.running.is_none() && worker.ended.is_none();
            if !is_free {
                continue;
            }
            if worker.requests >= MOST_REQUESTS {
                // The worker exits by itself; its place is refilled afterwards.
                worker.stdin = None;
                worker.is_ready = false;
                continue;
            }
            let Some((number, request)) = queue.pop_front() else {
                break;
            };
            let mut line = serde_json::to_string(&request)?;
            line.push('\n');
            worker.requests += 1;
            worker.running = Some(Running {
                number,
                begun: Instant::now(),
                moved: Instant::now(),
                count: None,
            });
            // A failed write means that the worker is gone; its end is reported elsewhere.
            if let Some(stdin) = worker.stdin.as_mut() {
                let _ = stdin
                    .write_all(line.as_bytes())
                    .and_then(|()| stdin.flush());
            }
            on(PoolEvent::Begun(place, number), queue)?;
        }
        Ok(())
    }

    fn start(&mut self, place: usize) -> anyhow::Result<()> {
        let command = std::env::current_exe().context("cannot find this program")?;
        let mut child = Command::new(command)
            .arg("worker")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // ^C is handled by the batch, which stops its workers.
            .process_group(0)
            .spawn()
            .context("cannot start a worker")?;
        self.generations[place] += 1;
        let generation = self.generations[place];
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdout), Some(stderr)) = (stdout, stderr) else {
            bail!("a worker has no stdout");
        };
        let sender = self.sender.clone();
        let hear = move || {
            let mut lines = BufReader::new(stdout);
            let mut line = Vec::new();
            loop {
                line.clear();
                match Read::take(&mut lines, LONGEST_LINE).read_until(b'\n', &mut line) {
                    Ok(n) if n > 0 => {}
                    _ => break,
                }
                // Output of libraries is not a reply.
                if let Ok(reply) = serde_json::from_slice(&line)
                    && sender
                        .send(Event::Replied(place, generation, reply))
                        .is_err()
                {
                    return;
                }
            }
            let _ = sender.send(Event::Gone(place, generation));
        };
        let last_lines = Arc::new(Mutex::new(VecDeque::new()));
        let kept = last_lines.clone();
        let aloud = std::env::var_os("EARMARK_LOG").is_some();
        let note = move || {
            let mut lines = BufReader::new(stderr);
            let mut line = Vec::new();
            loop {
                line.clear();
                match Read::take(&mut lines, 1 << 16).read_until(b'\n', &mut line) {
                    Ok(n) if n > 0 => {}
                    _ => return,
                }
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                if aloud {
                    terminal::tell(&text);
                }
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() == LAST_LINES {
                    kept.pop_front();
                }
                kept.push_back(text.chars().take(300).collect::<String>());
            }
        };
        let thread = |name: &str| std::thread::Builder::new().name(name.into());
        thread("earmark-hear")
            .spawn(hear)
            .context("cannot start a thread")?;
        thread("earmark-note")
            .spawn(note)
            .context("cannot start a thread")?;
        self.workers[place] = Some(Worker {
            child,
            stdin,
            last_lines,
            is_ready: false,
            requests: 0,
            running: None,
            ended: None,
        });
        Ok(())
    }

    fn take(
        &mut self,
        event: Event,
        queue: &mut Queue,
        on: &mut dyn FnMut(PoolEvent<'_>, &mut Queue) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let (place, generation) = match &event {
            Event::Replied(place, generation, _) | Event::Gone(place, generation) => {
                (*place, *generation)
            }
        };
        if self.generations[place] != generation {
            return Ok(());
        }
        match event {
            Event::Replied(_, _, reply) => {
                let Some(worker) = self.workers[place].as_mut() else {
                    return Ok(());
                };
                match reply {
                    Reply::Ready => {
                        worker.is_ready = true;
                        self.false_starts = 0;
                    }
                    Reply::PassProgress {
                        stage,
                        at_ns,
                        count,
                    } => {
                        let Some(running) = worker.running.as_mut() else {
                            return Ok(());
                        };
                        if running.count != Some(count) {
                            running.count = Some(count);
                            running.moved = Instant::now();
                        }
                        on(PoolEvent::PassProgress(place, &stage, at_ns), queue)?;
                    }
                    // Replies of a worker that is being killed are ignored.
                    _ if worker.ended.is_some() => {}
                    reply => {
                        if let Some(Running { number, begun, .. }) = worker.running.take() {
                            let outcome = Outcome::Replied(reply);
                            on(
                                PoolEvent::Ended(place, number, outcome, begun.elapsed()),
                                queue,
                            )?;
                        }
                    }
                }
            }
            Event::Gone(..) => {
                let Some(mut worker) = self.workers[place].take() else {
                    return Ok(());
                };
                worker.stdin = None;
                let status = worker.child.wait().context("cannot wait for a worker")?;
                let (class, error) = worker
                    .ended
                    .take()
                    .unwrap_or_else(|| (Class::Crashed, worker.last_words(status)));
                if let Some(Running { number, begun, .. }) = worker.running.take() {
                    let outcome = Outcome::Lost(class, error);
                    on(
                        PoolEvent::Ended(place, number, outcome, begun.elapsed()),
                        queue,
                    )?;
                } else if !worker.is_ready && worker.requests == 0 {
                    self.false_starts += 1;
                    if self.false_starts >= FALSE_STARTS {
                        bail!("workers do not start: {error}");
                    }
                }
            }
        }
        Ok(())
    }

    /// Kills workers that stall or grow too large.
    fn look_after(&mut self) {
        for worker in self.workers.iter_mut().flatten() {
            if worker.ended.is_some() {
                continue;
            }
            let Some(running) = &worker.running else {
                continue;
            };
            if running.moved.elapsed() >= self.limits.stall + GRACE {
                worker.end(
                    Class::Stalled,
                    format!(
                        "no progress for {} s and no answer from the worker; it was killed (--stall-timeout sets the limit)",
                        self.limits.stall.as_secs()
                    ),
                );
                continue;
            }
            let most = self.limits.memory;
            let used = most.and_then(|_| resident(worker.child.id()));
            if let (Some(most), Some(used)) = (most, used)
                && used > most
            {
                let mib = |bytes| bytes >> 20;
                worker.end(
                    Class::Memory,
                    format!(
                        "the worker used {} MiB of its limit of {} and was killed (--memory sets the limit)",
                        mib(used),
                        mib(most)
                    ),
                );
            }
        }
    }

    /// Lets every worker clean up and exit; kills those that take too long.
    fn abandon(
        &mut self,
        queue: &mut Queue,
        on: &mut dyn FnMut(PoolEvent<'_>, &mut Queue) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let begun = Instant::now();
        for worker in self.workers.iter_mut().flatten() {
            worker.stdin = None;
        }
        let is_busy = |workers: &[Option<Worker>]| workers.iter().flatten().count() > 0;
        while is_busy(&self.workers) {
            if begun.elapsed() >= PATIENCE {
                for worker in self.workers.iter_mut().flatten() {
                    worker.end(Class::Stopped, "stopped; the worker was killed".into());
                }
            }
            if begun.elapsed() >= PATIENCE * 3 {
                break;
            }
            match self.events.recv_timeout(TICK) {
                Ok(event) => self.take(event, queue, on)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Ok(())
    }
}

impl Worker {
    fn end(&mut self, class: Class, error: String) {
        self.ended.get_or_insert((class, error));
        // It may already have exited.
        let _ = self.child.kill();
    }

    /// How the worker died, and its last lines of stderr.
    fn last_words(&self, status: ExitStatus) -> String {
        let how = match (status.signal(), status.code()) {
            (Some(signal), _) => format!("the worker was killed by signal {signal}"),
            (_, Some(code)) => format!("the worker exited with status {code}"),
            _ => "the worker exited".into(),
        };
        let lines = self
            .last_lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        if lines.is_empty() {
            how
        } else {
            format!("{how}: {}", lines.join(" | "))
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for worker in self.workers.iter_mut().flatten() {
            worker.stdin = None;
        }
        let begun = Instant::now();
        for mut worker in self.workers.iter_mut().filter_map(Option::take) {
            while matches!(worker.child.try_wait(), Ok(None)) && begun.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(5));
            }
            let _ = worker.child.kill();
            let _ = worker.child.wait();
        }
    }
}

/// Resident memory of a process, bytes.
fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib << 10)
}

/// Memory that this process may use: the machine's, or its control group's if that is less; bytes.
pub(super) fn memory_of_machine() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let machine = line.split_whitespace().next()?.parse::<u64>().ok()? << 10;
    let group = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ]
    .iter()
    .find_map(|file| {
        std::fs::read_to_string(file)
            .ok()?
            .trim()
            .parse::<u64>()
            .ok()
    });
    Some(group.map_or(machine, |group| group.min(machine)))
}
