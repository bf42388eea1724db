//! Access units and plan entries -> which access units a decoder gets.

pub mod gop;
