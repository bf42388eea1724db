//! An event of a parser: a run of seconds of one class.

/// An event: a run of seconds of a class.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Event {
    pub(super) class: usize,
    /// Seconds, half-open.
    pub(super) span: (usize, usize),
    /// The mean probability of its seconds.
    pub(super) score: f32,
}
