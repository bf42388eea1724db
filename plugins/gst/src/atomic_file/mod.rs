//! Files that are either whole under their own name or not there.
//!
//! - `partial`: a file being written beside its target.
//! - `publish`: giving it its name, on file systems of every kind.

mod partial;
mod publish;

pub use partial::PlaceError;
pub(crate) use partial::{Identity, Partial, identity, is_held, is_partial_of, remove_stale};
pub use publish::{FileSystem, System, put};
