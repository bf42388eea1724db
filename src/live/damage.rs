//! Finds lost packets, and leaves out the damaged frames that follow, up to the next keyframe. Counts them.
//!
//! Parsers and MPEG-TS demuxers hide losses, so this finds them earlier: by the sequence numbers of RTP packets (the jitter buffer marks gaps)
//! and by the counters of MPEG-TS packets. All of it runs in the parsing thread.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;

use super::seen::SourceStatus;

/// A parser outputs a frame when the next begins, so this many frames right after a loss may be damaged, too.
const HIT: u64 = 2;
/// After leaving out so many encoded frames in a row, it accepts the next: some streams have no keyframes.
const MOST: u64 = 600;
/// Bytes of an MPEG-TS packet, and its first byte.
const PACKET: usize = 188;
const SYNC: u8 = 0x47;
/// Number of padding packets.
const NOTHING: u16 = 0x1fff;

/// Shared by the probes that find losses and those that leave frames out.
#[derive(Debug, Default)]
struct Loss(AtomicBool);

/// Watches a graph that is not playing yet.
pub(super) fn watch(pipeline: &gst::Pipeline, gate: &gst::Element, seen: &Arc<SourceStatus>) {
    let loss = Arc::new(Loss::default());
    let noticed = loss.clone();
    pipeline.connect_deep_element_added(move |_, _, element| {
        let factory = element.factory();
        let klass = factory
            .as_ref()
            .and_then(|factory| factory.metadata("klass"));
        let depays = klass.is_some_and(|klass| klass.contains("Depayloader"));
        let pad = element.static_pad("sink");
        match factory.map(|factory| factory.name()) {
            Some(name) if name == "tsdemux" => {
                pad.iter().for_each(|pad| count_packets(pad, &noticed));
            }
            _ if depays => pad.iter().for_each(|pad| note_gaps(pad, &noticed)),
            _ => {}
        }
    });
    let mut parses = false;
    for parser in pipeline
        .iterate_all_by_element_factory_name("parsebin")
        .into_iter()
        .flatten()
    {
        parses = true;
        let (loss, seen) = (loss.clone(), seen.clone());
        parser.connect_pad_added(move |_, pad| {
            let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
            let is_video = caps
                .structure(0)
                .is_some_and(|s| s.name().starts_with("video/") || s.name().starts_with("image/"));
            if is_video {
                leave_out(pad, &loss, &seen);
            }
        });
    }
    if !parses && let Some(pad) = gate.static_pad("video") {
        leave_out(&pad, &loss, seen);
    }
}

/// A jitter buffer marks the first packet after a gap.
fn note_gaps(pad: &gst::Pad, loss: &Arc<Loss>) {
    let (loss, begun) = (loss.clone(), AtomicBool::new(false));
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let marked = info
            .buffer()
            .is_some_and(|b| b.flags().contains(gst::BufferFlags::DISCONT));
        if marked && begun.load(Ordering::Relaxed) {
            let caps = pad.current_caps();
            let structure = caps.as_ref().and_then(|caps| caps.structure(0));
            if structure.and_then(|s| s.get::<&str>("media").ok()) == Some("video") {
                loss.0.store(true, Ordering::Relaxed);
            }
        }
        begun.store(true, Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
}

fn count_packets(pad: &gst::Pad, loss: &Arc<Loss>) {
    let (loss, counters) = (loss.clone(), Mutex::new(Counters::default()));
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let bytes = info.buffer().and_then(|buffer| buffer.map_readable().ok());
        let mut counters = counters.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes.is_some_and(|bytes| counters.misses(&bytes)) {
            loss.0.store(true, Ordering::Relaxed);
        }
        gst::PadProbeReturn::Ok
    });
}

/// The last counter of each MPEG-TS stream.
#[derive(Debug, Default)]
struct Counters(HashMap<u16, u8>);

impl Counters {
    /// Whether packets are missing before or among these whole packets, as they came in a datagram.
    fn misses(&mut self, bytes: &[u8]) -> bool {
        let mut missing = false;
        for packet in bytes.chunks_exact(PACKET) {
            let stream = u16::from_be_bytes([packet[1] & 0x1f, packet[2]]);
            let (has_payload, has_field) = (packet[3] & 0x10 != 0, packet[3] & 0x20 != 0);
            if packet[0] != SYNC || stream == NOTHING || !has_payload {
                continue;
            }
            let counter = packet[3] & 0x0f;
            let begins_anew = has_field && packet[4] > 0 && packet[5] & 0x80 != 0;
            let last = self.0.insert(stream, counter);
            // A packet may be sent twice.
            let fits = |last: u8| counter == (last + 1) & 0x0f || counter == last;
            missing |= !begins_anew && last.is_some_and(|last| !fits(last));
        }
        missing
    }
}

fn leave_out(pad: &gst::Pad, loss: &Arc<Loss>, seen: &Arc<SourceStatus>) {
    let (loss, seen) = (loss.clone(), seen.clone());
    let in_a_row = AtomicU64::new(0);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let Some(flags) = info.buffer().map(|buffer| buffer.flags()) else {
            return gst::PadProbeReturn::Ok;
        };
        let lost =
            loss.0.swap(false, Ordering::Relaxed) || flags.contains(gst::BufferFlags::CORRUPTED);
        let row = match lost {
            true => 1,
            false => in_a_row.load(Ordering::Relaxed),
        };
        let is_key = !flags.contains(gst::BufferFlags::DELTA_UNIT);
        if row == 0 || (is_key && row > HIT) || row >= MOST {
            in_a_row.store(0, Ordering::Relaxed);
            return gst::PadProbeReturn::Ok;
        }
        in_a_row.store(row + 1, Ordering::Relaxed);
        seen.counts.damaged.fetch_add(1, Ordering::Relaxed);
        // Not `Drop`: on a sink pad GStreamer 1.22 complains about data that a probe has dropped.
        gst::PadProbeReturn::Handled
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(stream: u16, counter: u8, more: u8) -> [u8; PACKET] {
        let mut packet = [0xff; PACKET];
        let [high, low] = stream.to_be_bytes();
        packet[..6].copy_from_slice(&[SYNC, high, low, 0x10 | counter | more, 1, 0]);
        packet
    }

    #[test]
    fn missing_packets_are_found_by_their_counters() {
        let mut counters = Counters::default();
        let mut misses = |packets: &[[u8; PACKET]]| counters.misses(&packets.concat());
        assert!(!misses(&[
            packet(256, 14, 0),
            packet(257, 3, 0),
            packet(256, 15, 0)
        ]));
        assert!(!misses(&[
            packet(256, 0, 0),
            packet(256, 0, 0),
            packet(257, 4, 0)
        ]));
        assert!(misses(&[packet(256, 2, 0)]));
        assert!(!misses(&[
            packet(256, 3, 0),
            packet(NOTHING, 9, 0),
            packet(NOTHING, 3, 0)
        ]));
        assert!(misses(&[packet(257, 7, 0), packet(256, 4, 0)]));
        // A packet that announces a fresh start.
        let mut anew = packet(256, 12, 0x20);
        anew[5] = 0x80;
        assert!(!misses(&[anew]));
        assert!(!counters.misses(&[SYNC; 17]));
    }
}
