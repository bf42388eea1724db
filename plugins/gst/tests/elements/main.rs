//! `eventness`, `anchorgate` and `framepick`, alone and in whole pipelines, on media that the tests make themselves.

/// Media files and plans, and pipelines that may not hang.
#[cfg(test)]
mod support;

/// The frame taken is the nearest one, bit for bit, on every container and codec.
#[cfg(test)]
mod frames;

/// The same where a frame is coded as two fields.
#[cfg(test)]
mod fields;

/// What is read where planned frames are far apart.
#[cfg(test)]
mod seeking;

/// Launch lines on recordings without sound, without video, or with no frame to take.
#[cfg(test)]
mod branches;

/// The gate alone: events, bounds, ends, flushes.
#[cfg(test)]
mod gate;

/// Restarts: flushes, further streams and segments, and what goes upstream.
#[cfg(test)]
mod restarts;

/// What GStreamer's own scenarios do to a pipeline, and seeks that come together.
#[cfg(test)]
mod scenarios;

/// Elements in bins, and pipelines that are used twice.
#[cfg(test)]
mod bins;

/// Listener and picker alone.
#[cfg(test)]
mod eventness_and_framepick;
