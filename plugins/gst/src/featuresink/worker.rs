//! The thread that encodes and writes, and the queue before it.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::job::{Job, WorkError};

/// Pictures that may wait for the worker.
const QUEUE: usize = 16;

/// When the worker was told to leave.
pub(super) type Leaving = Arc<OnceLock<Instant>>;

/// The thread, while it runs.
pub(super) struct Worker {
    jobs: Sender<Job>,
    leaving: Leaving,
    thread: JoinHandle<()>,
}

impl Worker {
    /// Starts it. `work` takes the jobs and says how it ended; `tell` tells others, while the queue is still there: whoever finds it
    /// gone finds that the reason has been told.
    pub(super) fn start<T: 'static>(
        leaving: Leaving,
        work: impl FnOnce(&Receiver<Job>) -> T + Send + 'static,
        tell: impl FnOnce(T) + Send + 'static,
    ) -> io::Result<Self> {
        let (jobs, queue) = bounded(QUEUE);
        let thread = std::thread::Builder::new()
            .name("earmark-features".into())
            .spawn(move || tell(work(&queue)))?;
        Ok(Self {
            jobs,
            leaving,
            thread,
        })
    }

    /// Where to send jobs to.
    pub(super) fn jobs(&self) -> Sender<Job> {
        self.jobs.clone()
    }

    /// Whether it has ended, and told how. Jobs that it did not take are in the queue for ever.
    pub(super) fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// Nothing more comes, because of this; waits until what is there is put away.
    pub(super) fn leave(self, because: String) {
        let _ = self.leaving.set(Instant::now());
        // Fails if it ended on its own, and has said why.
        let _ = self.jobs.send(Job::Leave { because });
        drop(self.jobs);
        let _ = self.thread.join();
    }
}

/// Does something; a panic in it is an error.
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
    fn a_panic_is_told_at_once_not_with_the_next_job() {
        let (told, telling) = bounded(1);
        let worker = Worker::start(
            Leaving::default(),
            |jobs| {
                guarded(|| {
                    jobs.recv()
                        .map(|_| panic!("seven"))
                        .map_err(|_| unreachable!())
                })
            },
            move |ended: Result<(), WorkError>| {
                let _ = told.send(ended.unwrap_err().to_string());
            },
        )
        .unwrap();
        worker.jobs().send(Job::Anew).unwrap();
        let text = telling.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(
            text.contains("unexpectedly") && text.contains("seven"),
            "{text}"
        );
        worker.leave("the test ends".into());
    }
}
