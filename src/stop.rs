//! Whether the user wants to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

/// Whether the user wants to stop: ^C or SIGTERM. A second one ends the program at once.
#[derive(Clone, Debug)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(crate) fn new() -> anyhow::Result<Self> {
        // A file that may not grow further is then an error of the write, not the end of the program.
        signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default())
            .context("cannot listen for signals")?;
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register_conditional_shutdown(signal, 1, stop.clone())
                .context("cannot listen for ^C")?;
            signal_hook::flag::register(signal, stop.clone()).context("cannot listen for ^C")?;
        }
        Ok(Self(stop))
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// As ^C would.
    pub(crate) fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
