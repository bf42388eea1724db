//! The thread that encodes and writes, and the queue before it.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicIsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvError, RecvTimeoutError, Sender, bounded};

use super::job::{Job, WorkError};

/// Jobs that may wait for the worker.
pub(super) const JOBS: usize = 16;
/// The same where jobs are large.
pub(super) const FEW_JOBS: usize = 4;

/// Jobs that may wait where frames have a bound of their own: cues of half a minute and more.
pub(super) const MANY_JOBS: usize = 512;

/// When the worker was asked to leave.
pub(super) type Leaving = Arc<OnceLock<Instant>>;

/// How many frames wait in the queue.
pub(super) type FrameCount = Arc<AtomicIsize>;

/// The worker's end of the queue.
pub(super) struct JobQueue {
    jobs: Receiver<Job>,
    frames: FrameCount,
}

impl JobQueue {
    /// Takes the next job.
    pub(super) fn recv(&self) -> Result<Job, RecvError> {
        self.jobs.recv().inspect(|job| self.taken(job))
    }

    /// The same, until an instant.
    pub(super) fn recv_deadline(&self, until: Instant) -> Result<Job, RecvTimeoutError> {
        self.jobs
            .recv_deadline(until)
            .inspect(|job| self.taken(job))
    }

    fn taken(&self, job: &Job) {
        if matches!(job, Job::Frame(_)) {
            self.frames.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// The running thread.
pub(super) struct Worker {
    jobs: Sender<Job>,
    frames: FrameCount,
    leaving: Leaving,
    thread: JoinHandle<()>,
}

impl Worker {
    /// Starts it. `waiting`: jobs that may wait. `work` does the jobs and returns how it ended; `ended` passes that on before the queue
    /// closes, so that a closed queue means that the reason is known.
    pub(super) fn start<T: 'static>(
        waiting: usize,
        leaving: Leaving,
        work: impl FnOnce(&JobQueue) -> T + Send + 'static,
        ended: impl FnOnce(T) + Send + 'static,
    ) -> io::Result<Self> {
        let (jobs, queue) = bounded(waiting);
        let frames = FrameCount::default();
        let queue = JobQueue {
            jobs: queue,
            frames: frames.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("earmark-features".into())
            .spawn(move || ended(work(&queue)))?;
        Ok(Self {
            jobs,
            frames,
            leaving,
            thread,
        })
    }

    /// The queue of jobs.
    pub(super) fn jobs(&self) -> Sender<Job> {
        self.jobs.clone()
    }

    /// The count of frames in the queue; whoever sends one adds it.
    pub(super) fn frame_count(&self) -> FrameCount {
        self.frames.clone()
    }

    /// Frames that wait in the queue.
    pub(super) fn frames(&self) -> usize {
        usize::try_from(self.frames.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Asks the worker to leave out what it cannot encode soon.
    pub(super) fn hurry(&self) {
        let _ = self.leaving.set(Instant::now());
    }

    /// Whether the thread has ended and passed on how. Nobody takes the jobs that are left.
    pub(super) fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// Asks the worker to leave, and says why; waits until the file is closed.
    pub(super) fn leave(self, because: String) {
        let _ = self.leaving.set(Instant::now());
        // Fails if it ended on its own.
        let _ = self.jobs.send(Job::Leave { because });
        drop(self.jobs);
        let _ = self.thread.join();
    }
}

/// Runs `work`; turns a panic into an error.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, WorkError>) -> Result<T, WorkError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(WorkError::Panic(words(&*panic))))
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no reason given").into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_panic_is_reported_at_once_not_with_the_next_job() {
        let (ended_with, reason) = bounded(1);
        let worker = Worker::start(
            JOBS,
            Leaving::default(),
            |jobs| {
                guarded(|| {
                    jobs.recv()
                        .map(|_| panic!("seven"))
                        .map_err(|_| unreachable!())
                })
            },
            move |ended: Result<(), WorkError>| {
                let _ = ended_with.send(ended.unwrap_err().to_string());
            },
        )
        .unwrap();
        worker.jobs().send(Job::Restart).unwrap();
        let text = reason.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(
            text.contains("unexpectedly") && text.contains("seven"),
            "{text}"
        );
        worker.leave("the test ends".into());
    }
}
