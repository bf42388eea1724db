//! Everything that reaches a terminal: results, messages, progress, and numbers as text. Nothing else writes to stdout or stderr.
//!
//! # Layout
//!
//! - `numbers`: formats counts, times, shares and tokens.
//! - `progress`: progress of a pass on stderr.

mod numbers;
mod progress;

use std::io::Write;

use anyhow::Context;
use gstearmark::printable::visible;

pub(crate) use numbers::{grouped, shares_text, time, tokens_text};
pub(crate) use progress::{PassProgress, Progress, Watch};

/// How results are printed.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// One JSON object on stdout instead of text.
    pub json: bool,
    /// No progress.
    pub quiet: bool,
}

impl Output {
    /// Who gets the progress of a pass.
    pub(crate) fn watch(self) -> Watch {
        if self.quiet {
            Watch::Nobody
        } else {
            Watch::Person
        }
    }
}

/// Prints to stdout, with control characters made visible. A closed pipe is not an error.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout().lock(), "{}", visible(text)) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(e).context("cannot write to stdout")
        }
        _ => Ok(()),
    }
}

/// Prints to stderr, with control characters made visible. Ignores errors, as nowhere is left to report them.
pub(crate) fn tell(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", visible(text));
}

/// The writer of log lines.
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
