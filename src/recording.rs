//! A recording before it is played: its location, its streams, its fingerprint.
//!
//! # Layout
//!
//! - `probe`: finds its streams, or why it cannot be used.
//! - `codec`, `cut`, `tracks`, `groups`: read codec, length, tracks and GOPs from the file itself.
//! - [`fingerprint`]: identifies it by size and SHA-256.

mod codec;
mod cut;
pub mod fingerprint;
mod groups;
mod probe;
mod tracks;

pub(crate) use cut::cut_off;
pub(crate) use groups::open_groups;
pub(crate) use probe::conversion;
pub use probe::{Audio, Input, Missing, ProbeError, Recording, Video, probe};
pub(crate) use tracks::{VideoTrack, video_tracks};
