//! What a run of seconds is called, in whatever it was found.

/// An event: a run of seconds of a class.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Event {
    pub(super) class: usize,
    /// Seconds, the end not in it.
    pub(super) span: (usize, usize),
    /// The mean probability of its seconds.
    pub(super) score: f32,
}
