//! Notices when the user wants to stop (^C or SIGTERM).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

/// Set by ^C or SIGTERM. A second signal ends the process at once.
#[derive(Clone, Debug)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(crate) fn new() -> anyhow::Result<Self> {
        // Without this, reaching a file size limit would kill the process instead of failing the write.
        signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default())
            .context("cannot install a signal handler")?;
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register_conditional_shutdown(signal, 1, stop.clone())
                .context("cannot install a handler for ^C")?;
            signal_hook::flag::register(signal, stop.clone())
                .context("cannot install a handler for ^C")?;
        }
        Ok(Self(stop))
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Requests a stop, as ^C does.
    pub(crate) fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
