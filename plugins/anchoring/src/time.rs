//! Media time in integer nanoseconds, and half-open windows of it.

use std::fmt;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// An instant of the recording or a duration, in nanoseconds. Seconds as `f64` appear only in text.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Nanos(i64);

impl Nanos {
    /// The start of the recording, or a duration of zero.
    pub const ZERO: Self = Self(0);
    /// Later than every instant of any recording.
    pub const MAX: Self = Self(i64::MAX);

    /// From integer nanoseconds.
    pub const fn new(ns: i64) -> Self {
        Self(ns)
    }
    /// From integer milliseconds; saturates.
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms.saturating_mul(1_000_000))
    }
    /// From seconds, rounded to the nearest nanosecond; `None` unless finite and within +-292 years.
    pub fn from_seconds(seconds: f64) -> Option<Self> {
        let ns = (seconds * 1e9).round();
        (ns.is_finite() && ns.abs() < 9.2e18).then_some(Self(ns as i64))
    }
    /// Integer nanoseconds.
    pub const fn get(self) -> i64 {
        self.0
    }
    /// Seconds, for text only.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e9
    }
    /// The distance between two instants, never negative.
    pub const fn distance(self, other: Self) -> Self {
        Self(self.0.abs_diff(other.0) as i64)
    }
    /// `self` times a factor, rounded; saturates, and a NaN factor gives zero.
    pub fn scaled(self, factor: f64) -> Self {
        Self((self.0 as f64 * factor).round() as i64)
    }
}

impl Add for Nanos {
    type Output = Self;
    /// Saturating.
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Nanos {
    type Output = Self;
    /// Saturating.
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Nanos {
    /// Seconds with three decimals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", self.seconds())
    }
}

/// Half-open `[start, stop)`, never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    start: Nanos,
    stop: Nanos,
}

impl Window {
    /// `None` unless `start < stop`.
    pub fn new(start: Nanos, stop: Nanos) -> Option<Self> {
        (start < stop).then_some(Self { start, stop })
    }
    /// `[start, stop)`, made 1 ns long where it would be empty.
    pub(crate) fn at_least(start: Nanos, stop: Nanos) -> Self {
        let start = start.min(Nanos::MAX - Nanos::new(1));
        Self {
            start,
            stop: stop.max(start + Nanos::new(1)),
        }
    }
    /// First instant inside.
    pub const fn start(self) -> Nanos {
        self.start
    }
    /// First instant after.
    pub const fn stop(self) -> Nanos {
        self.stop
    }
    /// `stop - start`, positive.
    pub fn length(self) -> Nanos {
        self.stop - self.start
    }
    /// Whether `at` lies inside.
    pub fn contains(self, at: Nanos) -> bool {
        self.start <= at && at < self.stop
    }
    /// Whether the two overlap or touch.
    pub fn meets(self, other: Self) -> bool {
        self.start <= other.stop && other.start <= self.stop
    }
    /// The smallest window that holds both.
    pub fn hull(self, other: Self) -> Self {
        Self {
            start: self.start.min(other.start),
            stop: self.stop.max(other.stop),
        }
    }
}
