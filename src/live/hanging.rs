//! Work in a thread of its own, which may hang in a source's own code: then it is abandoned, and counted for as long as it hangs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, bounded};

/// Work that may hang.
#[derive(Debug)]
pub(super) struct MayHang<T> {
    answer: Receiver<T>,
    /// How many abandoned threads still hang, of all sources.
    hanging: Arc<AtomicUsize>,
    /// Set by whichever comes first: it has ended, or it is abandoned.
    settled: Arc<AtomicBool>,
}

impl<T: Send + 'static> MayHang<T> {
    /// Starts it; `None` if there can be no further thread.
    pub(super) fn start(
        name: &str,
        hanging: &Arc<AtomicUsize>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<Self> {
        let (done, answer) = bounded(1);
        let settled: Arc<AtomicBool> = Arc::default();
        let (first, count) = (settled.clone(), hanging.clone());
        std::thread::Builder::new()
            .name(name.into())
            .spawn(move || {
                let _ = done.send(work());
                if first.swap(true, Ordering::Relaxed) {
                    // It was abandoned, and ended after all.
                    count.fetch_sub(1, Ordering::Relaxed);
                }
            })
            .ok()?;
        Some(Self {
            answer,
            hanging: hanging.clone(),
            settled,
        })
    }

    /// Where its result arrives.
    pub(super) fn answer(&self) -> &Receiver<T> {
        &self.answer
    }

    /// Abandons it. False if it has ended.
    pub(super) fn abandon(&self) -> bool {
        // Counted first, so that it can never be taken off before.
        self.hanging.fetch_add(1, Ordering::Relaxed);
        if self.settled.swap(true, Ordering::Relaxed) {
            self.hanging.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn what_is_abandoned_counts_until_it_ends() {
        let hanging: Arc<AtomicUsize> = Arc::default();
        let (go, wait) = bounded::<()>(1);
        let one = MayHang::start("one", &hanging, move || wait.recv().is_ok()).unwrap();
        assert!(one.abandon());
        assert_eq!(hanging.load(Ordering::Relaxed), 1);
        go.send(()).unwrap();
        assert_eq!(one.answer().recv(), Ok(true));
        let begun = Instant::now();
        while hanging.load(Ordering::Relaxed) > 0 {
            assert!(begun.elapsed() < Duration::from_secs(10));
            std::thread::yield_now();
        }
        assert!(!one.abandon());
        assert_eq!(hanging.load(Ordering::Relaxed), 0);
    }
}
