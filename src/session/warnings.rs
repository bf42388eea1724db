//! Collects the warnings of a run.

use std::sync::{Arc, Mutex, PoisonError};

/// Most warnings that are kept.
const MOST_WARNINGS: usize = 20;

/// Warnings, without duplicates.
#[derive(Clone, Debug, Default)]
pub(super) struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    pub(super) fn push(&self, text: impl Into<String>) {
        let text = text.into();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains(&text) && all.len() < MOST_WARNINGS {
            all.push(text);
        }
    }

    pub(super) fn all(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
