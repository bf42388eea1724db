//! Access units and plan entries -> which access units a decoder gets.
//!
//! In reading order: [`access_unit`], [`verdict`], [`gop_queue`].

pub mod access_unit;
pub mod gop_queue;
pub mod verdict;
