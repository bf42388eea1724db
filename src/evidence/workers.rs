//! Does one thing to many recordings, several at a time: between decoder, encoder and disk a single one leaves cores idle.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::session;

/// Most at a time; each holds models of its own.
const MOST: usize = 4;

/// How many work at a time.
pub(super) fn count() -> usize {
    (session::cores(None) as usize).clamp(1, MOST)
}

/// The cores of each.
pub(super) fn cores_of_each() -> u32 {
    (session::cores(None) / count() as u32).max(1)
}

/// Results in the order of the items, by up to `workers` at a time; the first error ends it. `one` gets an item and its number.
///
/// # Errors
/// The first one.
pub(super) fn each<T: Sync, R: Send>(
    items: &[T],
    workers: usize,
    one: impl Fn(&T, usize) -> anyhow::Result<R> + Sync,
) -> anyhow::Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    let failed = Mutex::new(None);
    let work = || {
        while let Some((i, item)) = {
            let i = next.fetch_add(1, Ordering::Relaxed);
            items.get(i).map(|item| (i, item))
        } {
            match one(item, i) {
                Ok(result) => {
                    let mut results = results.lock().unwrap_or_else(|e| e.into_inner());
                    results.push((i, result));
                }
                Err(e) => {
                    // Nobody starts another.
                    next.store(items.len(), Ordering::Relaxed);
                    let mut failed = failed.lock().unwrap_or_else(|e| e.into_inner());
                    failed.get_or_insert(e);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..workers.clamp(1, items.len().max(1)) {
            scope.spawn(work);
        }
    });
    if let Some(e) = failed.into_inner().unwrap_or_else(|e| e.into_inner()) {
        return Err(e);
    }
    let mut results = results.into_inner().unwrap_or_else(|e| e.into_inner());
    results.sort_by_key(|(i, _)| *i);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order_and_an_error_ends_it() {
        let items: Vec<usize> = (0..100).collect();
        let doubled = each(&items, 3, |item, _| Ok(2 * item)).unwrap();
        assert!(doubled.into_iter().eq((0..100).map(|item| 2 * item)));
        let tried = AtomicUsize::new(0);
        let failed = each(&items, 1, |item, i| {
            tried.fetch_add(1, Ordering::Relaxed);
            assert_eq!(*item, i);
            anyhow::ensure!(*item < 5, "item {item}");
            Ok(())
        });
        assert_eq!(failed.unwrap_err().to_string(), "item 5");
        assert_eq!(tried.into_inner(), 6);
        assert!(
            each(&[], 3, |item: &usize, _| Ok(*item))
                .unwrap()
                .is_empty()
        );
    }
}
