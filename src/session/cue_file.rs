//! Stores the cues of the first pass in a temporary file, and reads them back.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::sync::{Arc, Mutex};

use anchoring::cue::{Cue, HOP};
use anchoring::discontinuity::MIN_LENGTH;
use anchoring::plan::Line;
use anchoring::time::{Nanos, Window};
use anyhow::{Context, bail};
use gst::prelude::*;
use gstearmark::structures;

use super::spans::MOST_DISCONTINUITIES;
use super::taps::{end, lock};

/// Longest cue that is read, in bytes.
const LONGEST_CUE: usize = 1 << 16;

/// Reads cues back from a file.
pub(super) struct CueReader(pub BufReader<File>);

impl Iterator for CueReader {
    type Item = Cue;
    fn next(&mut self) -> Option<Cue> {
        let mut line = String::new();
        // The file is our own: a line that cannot be parsed means a disk error, and ends the cues.
        let read = self.0.read_line(&mut line).ok()?;
        match Line::parse(line.trim_end(), 0).ok().filter(|_| read > 0)? {
            Line::Cue(cue) => Some(cue),
            _ => None,
        }
    }
}

/// Writes the cues of the first pass.
pub(super) struct CueWriter {
    pub file: BufWriter<File>,
    pub count: u64,
    /// The first cue's time and the last one's.
    pub first: Option<Nanos>,
    pub last: Nanos,
    pub stop: Nanos,
    /// Stretches without sound; at most [`MOST_DISCONTINUITIES`].
    pub discontinuities: Vec<Window>,
    pub failed: Option<anyhow::Error>,
}

/// A sink that writes cues to the file.
pub(super) fn hearing(writer: &Arc<Mutex<CueWriter>>) -> anyhow::Result<gst::Element> {
    let (sink, pad) = end("hear")?;
    let writer = writer.clone();
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let mut writer = lock(&writer);
        let written = info
            .buffer()
            .map_or(Ok(()), |buffer| write_cue(&mut writer, buffer));
        drop(info.take_buffer());
        let Err(e) = written else {
            return gst::PadProbeReturn::Handled;
        };
        if let Some(sink) = pad.parent_element() {
            gst::element_error!(sink, gst::ResourceError::Write, ["{e:#}"]);
        }
        writer.failed = Some(e);
        info.flow_res = Err(gst::FlowError::Error);
        gst::PadProbeReturn::Handled
    });
    Ok(sink)
}

fn write_cue(writer: &mut CueWriter, buffer: &gst::BufferRef) -> anyhow::Result<()> {
    let map = buffer.map_readable().context("cannot read a cue")?;
    if map.len() > LONGEST_CUE {
        bail!("a cue has {} bytes; the limit is {LONGEST_CUE}", map.len());
    }
    let cue = structures::cue_from_text(&map)?;
    // From here on, cues are in ascending order, whatever their source.
    if writer.first.is_some() && cue.pts <= writer.last {
        return Ok(());
    }
    if writer.first.is_some()
        && cue.pts - writer.stop >= MIN_LENGTH
        && writer.discontinuities.len() < MOST_DISCONTINUITIES
    {
        writer
            .discontinuities
            .extend(Window::new(writer.stop, cue.pts));
    }
    writer.first.get_or_insert(cue.pts);
    writer.last = cue.pts;
    writer.stop = writer.stop.max(cue.pts + HOP);
    writer.count += 1;
    writeln!(writer.file, "{}", Line::Cue(cue).to_text())
        .context("cannot write cues to a temporary file; is the disk full?")
}
