//! Writes notices to stderr: each fault at most once a minute, however often it happens.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::terminal;

/// The same fault is not repeated within this time.
const AGAIN: Duration = Duration::from_secs(60);
/// Most faults that are remembered.
const MOST: usize = 1_024;

/// Writes notices, each at most once a minute.
#[derive(Debug, Default)]
pub(super) struct Notices {
    said: Mutex<HashMap<String, (Instant, u64)>>,
}

impl Notices {
    /// Writes a notice about a source, unless the same (`what`) was written a moment ago.
    pub(super) fn say(&self, source: &str, what: &str, text: &str) {
        if let Some(line) = self.line(source, what, text, Instant::now()) {
            terminal::tell(&line);
        }
    }

    fn line(&self, source: &str, what: &str, text: &str, now: Instant) -> Option<String> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() >= MOST {
            said.retain(|_, (at, _)| now.duration_since(*at) < AGAIN);
        }
        if said.len() >= MOST {
            return None;
        }
        let (at, left_out) = said
            .entry(format!("{source}\n{what}"))
            .or_insert((now, u64::MAX));
        if *left_out != u64::MAX && now.duration_since(*at) < AGAIN {
            *left_out += 1;
            return None;
        }
        let also = match *left_out {
            0 | u64::MAX => String::new(),
            times => format!(" (and {times} more times since the last notice)"),
        };
        (*at, *left_out) = (now, 0);
        Some(format!("{source}: {text}{also}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_fault_is_written_once_a_minute_and_counted() {
        let notices = Notices::default();
        let now = Instant::now();
        let say =
            |what: &str, s: u64| notices.line("door", what, "gone", now + Duration::from_secs(s));
        assert_eq!(say("lost", 0).unwrap(), "door: gone");
        assert_eq!(say("lost", 5), None);
        assert_eq!(say("lost", 9), None);
        assert!(say("silent", 9).is_some());
        let again = say("lost", 70).unwrap();
        assert_eq!(again, "door: gone (and 2 more times since the last notice)");
        assert_eq!(say("lost", 131).unwrap(), "door: gone");
    }

    #[test]
    fn memory_is_bounded() {
        let notices = Notices::default();
        let now = Instant::now();
        for k in 0..5_000 {
            notices.line("door", &k.to_string(), "x", now);
        }
        assert!(notices.said.lock().unwrap().len() <= MOST);
        assert!(notices.line("door", "new", "x", now + AGAIN).is_some());
    }
}
