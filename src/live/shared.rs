//! State that all sources share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use super::events::Hub;
use super::notices::Notices;

/// State that all sources share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) stop: Arc<AtomicBool>,
    /// Abandoned graphs that still hang.
    pub(super) hanging: Arc<AtomicUsize>,
    pub(super) notices: Arc<Notices>,
    pub(super) hub: Hub,
}
