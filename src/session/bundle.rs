//! Passes sound and video between threads in bundles where latency does not matter.
//!
//! A queue wakes its consumer for every buffer, and a demuxer makes one for every 21 ms of AAC, every access unit, every 4 KiB of WAV: the
//! threads then wait for each other more than they work. A probe on the queue's sink pad holds buffers back until a bundle is worth a
//! switch, and lets nothing overtake them. Before the pipeline plays, nothing is held back: every sink waits for its first buffer, and a
//! branch whose sink has one blocks the demuxer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use gst::prelude::*;

/// A bundle is passed on when it reaches one of these limits: buffers, bytes, time.
const MOST: usize = 64;
const BYTES: usize = 1 << 20;
const LONGEST: gst::ClockTime = gst::ClockTime::SECOND;
/// Buffers of raw sound are contiguous if end and start differ by no more than this.
const JITTER: gst::ClockTime = gst::ClockTime::from_mseconds(1);

/// Buffers that are held back.
#[derive(Default)]
struct Bundle {
    buffers: Vec<gst::Buffer>,
    bytes: usize,
    time: gst::ClockTime,
}

impl Bundle {
    fn push(&mut self, buffer: gst::Buffer) {
        self.bytes += buffer.size();
        self.time += buffer.duration().unwrap_or_default();
        self.buffers.push(buffer);
    }

    fn is_full(&self) -> bool {
        self.buffers.len() >= MOST || self.bytes >= BYTES || self.time >= LONGEST
    }
}

type Shared = Arc<Mutex<Bundle>>;

fn lock(bundle: &Shared) -> MutexGuard<'_, Bundle> {
    bundle.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes this queue take buffers in bundles.
pub(super) fn bundle(queue: &gst::Element) -> anyhow::Result<()> {
    let pad = queue
        .static_pad("sink")
        .with_context(|| format!("{} has no sink pad", queue.name()))?;
    let bundle = Shared::default();
    let kinds = gst::PadProbeType::BUFFER
        | gst::PadProbeType::BUFFER_LIST
        | gst::PadProbeType::EVENT_DOWNSTREAM
        | gst::PadProbeType::EVENT_FLUSH
        | gst::PadProbeType::QUERY_DOWNSTREAM;
    pad.add_probe(kinds, move |pad, info| {
        if let Some(buffer) = info.take_buffer() {
            let full = {
                let mut bundle = lock(&bundle);
                bundle.push(buffer);
                bundle.is_full()
            };
            if full || !plays(pad) {
                info.flow_res = hand_on(pad, &bundle);
            }
            return gst::PadProbeReturn::Handled;
        }
        let overtakes = match &info.data {
            Some(gst::PadProbeData::Event(event)) => match event.type_() {
                gst::EventType::FlushStart | gst::EventType::FlushStop => {
                    *lock(&bundle) = Bundle::default();
                    false
                }
                kind => kind.is_serialized(),
            },
            Some(gst::PadProbeData::Query(query)) => query.type_().is_serialized(),
            // A buffer list of the demuxer. A list of ours comes only when nothing is held back.
            _ => true,
        };
        if overtakes {
            // A failed push fails again with the next buffer, and the end of the stream must go on.
            let _ = hand_on(pad, &bundle);
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

fn plays(pad: &gst::Pad) -> bool {
    let queue = pad.parent_element();
    queue.is_some_and(|queue| queue.current_state() == gst::State::Playing)
}

fn hand_on(pad: &gst::Pad, bundle: &Shared) -> Result<gst::FlowSuccess, gst::FlowError> {
    let buffers = std::mem::take(&mut *lock(bundle)).buffers;
    if buffers.is_empty() {
        return Ok(gst::FlowSuccess::Ok);
    }
    let raw = pad.current_caps().is_some_and(|caps| is_raw(&caps));
    let one = if raw { joined(&buffers) } else { None };
    let list: gst::BufferList = match one {
        Some(one) => [one].into_iter().collect(),
        None => buffers.into_iter().collect(),
    };
    pad.chain_list(list)
}

/// Interleaved raw sound, whose buffers can be concatenated.
fn is_raw(caps: &gst::CapsRef) -> bool {
    caps.structure(0)
        .is_some_and(|s| s.name() == "audio/x-raw" && s.get::<&str>("layout") == Ok("interleaved"))
}

/// Joins contiguous buffers; `None` if they are not.
fn joined(buffers: &[gst::Buffer]) -> Option<gst::Buffer> {
    let (first, last) = (buffers.first()?, buffers.last()?);
    let plain = |buffer: &gst::Buffer| buffer.iter_meta::<gst::Meta>().next().is_none();
    let follows = |(one, next): (&gst::Buffer, &gst::Buffer)| {
        let (Some(pts), Some(length), Some(then)) = (one.pts(), one.duration(), next.pts()) else {
            return false;
        };
        let end = pts + length;
        let apart = end.max(then) - end.min(then);
        apart <= JITTER && !next.flags().contains(gst::BufferFlags::DISCONT)
    };
    let fit = buffers.iter().all(plain) && buffers.iter().zip(&buffers[1..]).all(follows);
    if !fit || buffers.len() == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(buffers.iter().map(|buffer| buffer.size()).sum());
    for buffer in buffers {
        bytes.extend_from_slice(&buffer.map_readable().ok()?);
    }
    let mut one = gst::Buffer::from_mut_slice(bytes);
    let made = one.get_mut()?;
    made.set_flags(first.flags() & gst::BufferFlags::DISCONT);
    made.set_pts(first.pts());
    made.set_duration(last.pts()? + last.duration()? - first.pts()?);
    made.set_offset(first.offset());
    made.set_offset_end(last.offset_end());
    Some(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The output of a queue that gets so many buffers of 10 ms, with a gap after some, and the end of the stream.
    fn played(caps: &str, count: u64, gap: u64) -> (Vec<(u64, u64, Vec<u8>)>, usize) {
        gst::init().unwrap();
        let queue = gst::ElementFactory::make("queue").build().unwrap();
        bundle(&queue).unwrap();
        let turns = Arc::new(Mutex::new(0));
        let entry = queue.static_pad("sink").unwrap();
        let counted = turns.clone();
        entry.add_probe(gst::PadProbeType::BUFFER_LIST, move |_, _| {
            *counted.lock().unwrap() += 1;
            gst::PadProbeReturn::Ok
        });
        let (left, leave) = std::sync::mpsc::sync_channel(1000);
        let sink = gst::Pad::builder(gst::PadDirection::Sink)
            .chain_function(move |_, _, buffer: gst::Buffer| {
                let map = buffer.map_readable().unwrap();
                let ms = |time: Option<gst::ClockTime>| time.unwrap().mseconds();
                let one = (ms(buffer.pts()), ms(buffer.duration()), map.to_vec());
                left.send(Some(one)).unwrap();
                Ok(gst::FlowSuccess::Ok)
            })
            .event_function(move |_, _, event| event.type_() != gst::EventType::Unknown)
            .build();
        let ended = Arc::new((Mutex::new(false), std::sync::Condvar::new()));
        let end = ended.clone();
        sink.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if info
                .event()
                .is_some_and(|e| e.type_() == gst::EventType::Eos)
            {
                *end.0.lock().unwrap() = true;
                end.1.notify_all();
            }
            gst::PadProbeReturn::Ok
        });
        sink.set_active(true).unwrap();
        queue.static_pad("src").unwrap().link(&sink).unwrap();
        queue.set_state(gst::State::Playing).unwrap();
        let source = gst::Pad::builder(gst::PadDirection::Src).build();
        source.set_active(true).unwrap();
        source.link(&entry).unwrap();
        source.push_event(gst::event::StreamStart::new("test"));
        source.push_event(gst::event::Caps::new(&caps.parse().unwrap()));
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        source.push_event(gst::event::Segment::new(&segment));
        for n in 0..count {
            let mut buffer = gst::Buffer::from_mut_slice(vec![n as u8; 4]);
            let made = buffer.get_mut().unwrap();
            let at = 10 * n + if n >= gap { 500 } else { 0 };
            made.set_pts(gst::ClockTime::from_mseconds(at));
            made.set_duration(gst::ClockTime::from_mseconds(10));
            source.push(buffer).unwrap();
        }
        source.push_event(gst::event::Eos::new());
        let (over, ended_signal) = (ended.0.lock().unwrap(), &ended.1);
        drop(ended_signal.wait_while(over, |over| !*over).unwrap());
        queue.set_state(gst::State::Null).unwrap();
        let all = leave.try_iter().flatten().collect();
        let turns = *turns.lock().unwrap();
        (all, turns)
    }

    #[test]
    fn nothing_is_lost_or_overtaken_and_turns_are_few() {
        let (all, turns) = played("audio/x-opus", 150, 150);
        let expected: Vec<_> = (0..150).map(|n| (10 * n, 10, vec![n as u8; 4])).collect();
        assert_eq!(all, expected);
        assert_eq!(turns, 3);
    }

    #[test]
    fn pieces_of_raw_sound_become_one_where_they_follow_each_other() {
        let caps = "audio/x-raw, format=S16LE, rate=200, channels=1, layout=interleaved";
        let (all, turns) = played(caps, 70, 100);
        let bytes = |from: u8, to: u8| (from..to).flat_map(|n| [n; 4]).collect::<Vec<_>>();
        assert_eq!(all, [(0, 640, bytes(0, 64)), (640, 60, bytes(64, 70))]);
        assert_eq!(turns, 2);
        // Buffers around a gap stay as they are.
        let (all, _) = played(caps, 64, 32);
        assert_eq!(all.len(), 64);
    }
}
