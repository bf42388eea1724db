//! What reaches a terminal: results, messages, progress; numbers as a person reads them.
//!
//! # Layout
//!
//! - `numbers`: counts, times, shares and tokens as text.
//! - `progress`: how far a pass is, on stderr.
//!
//! Nothing else writes to stdout or stderr.

mod numbers;
mod progress;

use std::io::Write;

use anyhow::Context;
use gstearmark::printable::visible;

pub(crate) use numbers::{grouped, shares_text, time, tokens_text};
pub(crate) use progress::{Moved, Progress, Watch};

/// How results are given.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// One JSON object on stdout instead of text.
    pub json: bool,
    /// No progress.
    pub quiet: bool,
}

impl Output {
    /// Who is told how far a pass is.
    pub(crate) fn watch(self) -> Watch {
        if self.quiet {
            Watch::Nobody
        } else {
            Watch::Person
        }
    }
}

/// To stdout, with nothing in it that a terminal obeys; a closed pipe is the reader's choice, no failure.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout().lock(), "{}", visible(text)) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(e).context("cannot write to stdout")
        }
        _ => Ok(()),
    }
}

/// To stderr, with nothing in it that a terminal obeys. Nobody is left to be told that it failed.
pub(crate) fn tell(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", visible(text));
}

/// Where log lines go.
pub(crate) struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        std::io::stderr().write_all(visible(&text).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}
