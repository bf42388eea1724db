//! A recording, before it is played: where it is, what streams it has, what its bytes are told by.
//!
//! # Layout
//!
//! - `probe`: a recording -> its streams, or why it cannot be used.
//! - `codec`, `cut`, `tracks`, `groups`: what the file itself says of codec, length, tracks and groups of pictures.
//! - [`fingerprint`]: a recording -> what tells its bytes from another's.

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
pub(crate) use tracks::{PictureTrack, picture_tracks};
