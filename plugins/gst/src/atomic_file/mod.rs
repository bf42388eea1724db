//! Output files that appear under their name only once they are complete.
//!
//! - `partial`: the file while it is written, `NAME.partial`.
//! - `publish`: gives it its name, on any file system.

mod partial;
mod publish;

pub use partial::PlaceError;
pub(crate) use partial::{Identity, Partial, identity, is_held, is_partial_of, remove_stale};
pub use publish::{FileSystem, System, publish};
