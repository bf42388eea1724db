//! `eventness` and `framepick` alone: flush, segment, gap, end, latency, caps.

use anchoring::cue::{Cue, HOP};
use anchoring::time::Nanos;
use gst::prelude::*;
use gst_check::Harness;
use gstearmark::structures::{self, Chosen, Message};

use crate::support::{entry, init};

const SOUND: &str = "audio/x-raw, format=F32LE, rate=16000, channels=1, layout=interleaved";
const RATE: u64 = 16_000;

fn listener() -> Harness {
    init();
    let mut listener = Harness::new("eventness");
    listener.set_live(false);
    listener.set_src_caps_str(SOUND);
    listener
}

/// A click every second, each another sound (the same one again and again is one event), over faint noise, from `from` on, `ms` long.
fn sound(from: u64, ms: u64) -> gst::Buffer {
    let first = from * RATE / 1000;
    let samples = (first..first + ms * RATE / 1000).flat_map(|n| {
        let since = (n % RATE) as f32 / RATE as f32;
        let pitch = [2000.0, 900.0, 3300.0, 500.0, 1500.0][(n / RATE % 5) as usize];
        let click = 0.8 * (pitch * since).sin() * (-40.0 * since).exp();
        let noise = ((n * 7919 % 1000) as f32 / 1000.0 - 0.5) * 0.02;
        (click + noise).to_le_bytes()
    });
    let mut buffer = gst::Buffer::from_mut_slice(samples.collect::<Vec<u8>>());
    {
        let buffer = buffer.make_mut();
        buffer.set_pts(gst::ClockTime::from_mseconds(from));
        buffer.set_duration(gst::ClockTime::from_mseconds(ms));
    }
    buffer
}

fn cues(listener: &mut Harness) -> Vec<(gst::Buffer, Cue)> {
    std::iter::from_fn(|| listener.try_pull())
        .map(|buffer| {
            let cue = structures::cue_from_text(&buffer.map_readable().unwrap()).unwrap();
            (buffer, cue)
        })
        .collect()
}

fn events(harness: &mut Harness) -> Vec<gst::Event> {
    std::iter::from_fn(|| harness.try_pull_event()).collect()
}

#[test]
fn every_hop_has_a_cue_whatever_the_buffers_are() {
    let mut all = Vec::new();
    for step in [10, 37, 1000] {
        let mut listener = listener();
        for at in (0..5000).step_by(step) {
            let ms = (step as u64).min(5000 - at);
            listener.push(sound(at, ms)).unwrap();
        }
        listener.push_event(gst::event::Eos::new());
        let cues = cues(&mut listener);
        for (number, (buffer, cue)) in cues.iter().enumerate() {
            assert_eq!(cue.pts.get(), HOP.get() * number as i64);
            assert_eq!(buffer.pts().unwrap().nseconds() as i64, cue.pts.get());
            assert_eq!(buffer.duration().unwrap().nseconds() as i64, HOP.get());
        }
        assert!((62..=63).contains(&cues.len()), "{}", cues.len());
        let onsets = cues.iter().filter_map(|(_, cue)| cue.onset);
        let onsets: Vec<f64> = onsets.map(|onset| onset.at.seconds()).collect();
        assert!(onsets.len() >= 3, "{onsets:?}");
        assert!(
            onsets.iter().all(|at| (at - at.round()).abs() < 0.05),
            "{onsets:?}"
        );
        all.push(cues.into_iter().map(|(_, cue)| cue).collect::<Vec<_>>());
        let last = events(&mut listener).pop().unwrap();
        assert_eq!(last.type_(), gst::EventType::Eos);
    }
    assert!(all[0] == all[1] && all[1] == all[2]);
}

#[test]
fn every_probe_hears_the_clicks_and_one_that_is_none_is_named() {
    for probe in ["energy", "flux", "onset", "onset+tcn"] {
        let mut listener = listener();
        listener.element().unwrap().set_property("probe", probe);
        listener.play();
        for at in (0..5000).step_by(100) {
            listener.push(sound(at, 100)).unwrap();
        }
        listener.push_event(gst::event::Eos::new());
        let mut onsets: Vec<_> = cues(&mut listener)
            .iter()
            .filter_map(|(_, cue)| cue.onset)
            .collect();
        onsets.sort_by(|a, b| b.p.total_cmp(&a.p));
        let at: Vec<f64> = onsets
            .iter()
            .take(3)
            .map(|onset| onset.at.seconds())
            .collect();
        assert!(
            at.len() == 3 && at.iter().all(|at| (at - at.round()).abs() < 0.05),
            "{probe}: {at:?}"
        );
    }
    for (property, value, named) in [
        ("probe", "flucs", "flucs"),
        ("probe", "tagger", "needs a tagger"),
        ("weights", "/no/such/file", "/no/such/file"),
        ("vad", "yamnet", "kind tagger"),
    ] {
        let listener = gst::ElementFactory::make("eventness")
            .property(property, value)
            .build()
            .unwrap();
        let bus = gst::Bus::new();
        listener.set_bus(Some(&bus));
        assert!(listener.set_state(gst::State::Paused).is_err());
        let message = bus.pop_filtered(&[gst::MessageType::Error]).unwrap();
        let gst::MessageView::Error(error) = message.view() else {
            unreachable!();
        };
        assert!(
            error.error().to_string().contains(named),
            "{}",
            error.error()
        );
        let _ = listener.set_state(gst::State::Null);
    }
}

#[test]
fn a_hole_is_a_gap_and_the_listener_begins_anew_behind_it() {
    let mut listener = listener();
    listener.push(sound(0, 1000)).unwrap();
    // Jitter is no loss.
    listener.push(sound(1020, 980)).unwrap();
    listener.push(sound(5000, 1000)).unwrap();
    listener.push_event(gst::event::Eos::new());
    let cues: Vec<i64> = cues(&mut listener)
        .iter()
        .map(|(_, cue)| cue.pts.get())
        .collect();
    assert!(cues.is_sorted());
    assert!(
        !cues
            .iter()
            .any(|at| (2_000_000_000..5_000_000_000).contains(at)),
        "{cues:?}"
    );
    assert!(cues.contains(&5_000_000_000));
    let gaps: Vec<_> = events(&mut listener)
        .iter()
        .filter_map(|event| match event.view() {
            gst::EventView::Gap(gap) => Some(gap.get()),
            _ => None,
        })
        .collect();
    assert_eq!(gaps.len(), 1);
    let (at, length) = gaps[0];
    assert!((1950..=2000).contains(&at.mseconds()));
    assert!((3000..=3050).contains(&length.unwrap().mseconds()));
}

#[test]
fn a_gap_event_is_passed_on_after_the_cues_before_it() {
    let mut listener = listener();
    listener.push(sound(0, 1000)).unwrap();
    let gap = gst::event::Gap::builder(gst::ClockTime::from_seconds(1))
        .duration(gst::ClockTime::from_seconds(2));
    assert!(listener.push_event(gap.build()));
    assert!((12..=13).contains(&cues(&mut listener).len()));
    let kinds: Vec<_> = events(&mut listener)
        .iter()
        .map(|event| event.type_())
        .collect();
    assert_eq!(kinds.last(), Some(&gst::EventType::Gap));
}

#[test]
fn cues_are_in_the_recordings_own_time() {
    let mut listener = listener();
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_start(gst::ClockTime::from_seconds(10));
    segment.set_time(gst::ClockTime::from_seconds(3));
    listener.push_event(gst::event::Segment::new(&segment));
    listener.push(sound(10_000, 1000)).unwrap();
    listener.push_event(gst::event::Eos::new());
    let cues = cues(&mut listener);
    assert_eq!(cues[0].1.pts, Nanos::from_ms(3000));
    assert_eq!(cues[0].0.pts(), Some(gst::ClockTime::from_seconds(10)));
}

#[test]
fn a_flush_forgets_the_sound_before_it() {
    let mut listener = listener();
    listener.push(sound(0, 700)).unwrap();
    listener.push_event(gst::event::FlushStart::new());
    listener.push_event(gst::event::FlushStop::new(true));
    while listener.try_pull().is_some() {}
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    listener.push_event(gst::event::Segment::new(&segment));
    listener.push(sound(60_000, 1000)).unwrap();
    listener.push_event(gst::event::Eos::new());
    let cues = cues(&mut listener);
    assert_eq!(cues[0].1.pts, Nanos::from_ms(60_000));
}

/// Which of the buffers that came out are marked as the first after a break.
fn breaks(harness: &mut Harness) -> Vec<usize> {
    let buffers = std::iter::from_fn(|| harness.try_pull());
    let marked = buffers.map(|buffer| buffer.flags().contains(gst::BufferFlags::DISCONT));
    marked
        .enumerate()
        .filter_map(|(n, marked)| marked.then_some(n))
        .collect()
}

#[test]
fn the_first_cue_after_a_segment_or_a_flush_is_marked() {
    let mut listener = listener();
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    listener.push(sound(0, 1000)).unwrap();
    // Cues of sound before the segment come before it.
    listener.push_event(gst::event::Segment::new(&segment));
    assert_eq!(breaks(&mut listener), [0]);
    listener.push(sound(1000, 1000)).unwrap();
    listener.push_event(gst::event::FlushStart::new());
    listener.push_event(gst::event::FlushStop::new(true));
    listener.push_event(gst::event::Segment::new(&segment));
    while listener.try_pull().is_some() {}
    listener.push(sound(60_000, 1000)).unwrap();
    listener.push_event(gst::event::Eos::new());
    assert_eq!(breaks(&mut listener), [0]);
}

#[test]
fn the_first_frame_after_a_segment_or_a_flush_is_marked() {
    let mut picker = picker();
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    let push = |picker: &mut Harness, ms: u64| {
        picker.push_event(Message::Chosen(chosen(ms as i64)).to_event());
        picker.push(frame(ms)).unwrap();
    };
    for ms in [0, 40] {
        push(&mut picker, ms);
    }
    assert_eq!(breaks(&mut picker), [0]);
    picker.push_event(gst::event::Segment::new(&segment));
    // A frame that was not chosen does not count.
    picker.push(frame(80)).unwrap();
    for ms in [120, 160] {
        push(&mut picker, ms);
    }
    assert_eq!(breaks(&mut picker), [0]);
    picker.push_event(gst::event::FlushStart::new());
    picker.push_event(gst::event::FlushStop::new(true));
    picker.push_event(gst::event::Segment::new(&segment));
    for ms in [0, 40] {
        push(&mut picker, ms);
    }
    assert_eq!(breaks(&mut picker), [0]);
}

#[test]
fn silence_and_what_is_no_number_make_no_onset() {
    let mut listener = listener();
    let nan: Vec<u8> = (0..RATE).flat_map(|_| f32::NAN.to_le_bytes()).collect();
    let silence = vec![0u8; RATE as usize * 4];
    for (number, samples) in [silence.clone(), nan, silence].into_iter().enumerate() {
        let mut buffer = gst::Buffer::from_mut_slice(samples);
        buffer
            .make_mut()
            .set_pts(gst::ClockTime::from_seconds(number as u64));
        listener.push(buffer).unwrap();
    }
    listener.push_event(gst::event::Eos::new());
    let cues = cues(&mut listener);
    assert!((37..=38).contains(&cues.len()));
    for (_, cue) in cues {
        assert_eq!(
            (cue.eventness, cue.uncertainty, cue.onset),
            (0.0, 1.0, None)
        );
    }
}

#[test]
fn the_listeners_latency_is_added() {
    let mut listener = listener();
    listener.set_live(true);
    listener.set_upstream_latency(gst::ClockTime::from_mseconds(20));
    let latency = listener.query_latency().unwrap();
    assert!(
        latency > gst::ClockTime::from_mseconds(20 + 80),
        "{latency}"
    );
    assert!(latency < gst::ClockTime::from_mseconds(2000), "{latency}");
}

#[test]
fn a_tagger_that_is_not_there_is_named_when_the_element_starts() {
    init();
    let listener = gst::ElementFactory::make("eventness")
        .property("tagger", "no-such-model")
        .build()
        .unwrap();
    let bus = gst::Bus::new();
    listener.set_bus(Some(&bus));
    assert!(listener.set_state(gst::State::Paused).is_err());
    let message = bus.pop_filtered(&[gst::MessageType::Error]).unwrap();
    let gst::MessageView::Error(error) = message.view() else {
        unreachable!();
    };
    assert!(error.error().to_string().contains("no-such-model"));
    let _ = listener.set_state(gst::State::Null);
}

pub(crate) fn picker() -> Harness {
    init();
    let mut picker = Harness::new("framepick");
    picker.set_live(false);
    picker.set_src_caps_str("video/x-raw, format=RGB, width=8, height=8, framerate=25/1");
    picker
}

pub(crate) fn frame(ms: u64) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_mut_slice(vec![0u8; 8 * 8 * 3]);
    buffer.make_mut().set_pts(gst::ClockTime::from_mseconds(ms));
    buffer
}

pub(crate) fn chosen(ms: i64) -> Chosen {
    Chosen {
        entry: entry(ms * 1_000_000),
        pts: Nanos::from_ms(ms),
        frame: Nanos::from_ms(40),
        earliest: Nanos::from_ms(ms),
    }
}

fn picked(picker: &mut Harness) -> Vec<(u64, i64)> {
    std::iter::from_fn(|| picker.try_pull())
        .map(|buffer| {
            let chosen = structures::buffer_tag(&buffer).unwrap().unwrap();
            let asked = chosen.entry.planned.get() / 1_000_000;
            (buffer.pts().unwrap().mseconds(), asked)
        })
        .collect()
}

fn missed(picker: &mut Harness) -> Vec<i64> {
    events(picker)
        .iter()
        .filter_map(|event| match Message::from_event(event) {
            Some(Ok(Message::Miss(entry))) => Some(entry.planned.get() / 1_000_000),
            _ => None,
        })
        .collect()
}

#[test]
fn exactly_the_chosen_frames_pass() {
    let mut picker = picker();
    for ms in [40, 80, 80, 300] {
        picker.push_event(Message::Chosen(chosen(ms)).to_event());
    }
    for ms in (0..=200).step_by(40) {
        picker.push(frame(ms)).unwrap();
    }
    picker.push_event(gst::event::Eos::new());
    assert_eq!(picked(&mut picker), [(40, 40), (80, 80), (80, 80)]);
    assert_eq!(missed(&mut picker), [300]);
}

#[test]
fn a_damaged_frame_is_missed_and_other_messages_pass_in_order() {
    let mut picker = picker();
    picker.push_event(Message::Chosen(chosen(40)).to_event());
    picker.push_event(Message::Miss(entry(7)).to_event());
    let mut damaged = frame(40);
    damaged.make_mut().set_flags(gst::BufferFlags::CORRUPTED);
    picker.push(damaged).unwrap();
    assert!(picked(&mut picker).is_empty());
    assert_eq!(missed(&mut picker), [0, 40]);
}

#[test]
fn a_flush_forgets_the_entries_that_wait() {
    let mut picker = picker();
    picker.push_event(Message::Chosen(chosen(40)).to_event());
    picker.push_event(gst::event::FlushStart::new());
    picker.push_event(gst::event::FlushStop::new(true));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    picker.push_event(gst::event::Segment::new(&segment));
    picker.push(frame(40)).unwrap();
    picker.push_event(gst::event::Eos::new());
    assert!(picked(&mut picker).is_empty());
    assert!(missed(&mut picker).is_empty());
}

#[test]
fn frames_are_matched_in_the_recordings_own_time() {
    let mut picker = picker();
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_start(gst::ClockTime::from_mseconds(1000));
    segment.set_time(gst::ClockTime::ZERO);
    picker.push_event(gst::event::Segment::new(&segment));
    picker.push_event(Message::Chosen(chosen(40)).to_event());
    picker.push(frame(1040)).unwrap();
    assert_eq!(picked(&mut picker), [(1040, 40)]);
}

/// What a decoder before the picker is offered, where what follows answers like this: the kinds of memory, and how many pools.
fn offered(answer: fn(&mut gst::query::Allocation), frames: &str) -> (Vec<Option<String>>, usize) {
    init();
    let picker = gst::ElementFactory::make("framepick").build().unwrap();
    let after = gst::Pad::builder(gst::PadDirection::Sink)
        .query_function(move |_, _, query| match query.view_mut() {
            gst::QueryViewMut::Allocation(allocation) => {
                answer(allocation);
                true
            }
            _ => false,
        })
        .build();
    after.set_active(true).unwrap();
    picker.static_pad("src").unwrap().link(&after).unwrap();
    picker.set_state(gst::State::Paused).unwrap();
    let caps: gst::Caps = frames.parse().unwrap();
    let mut query = gst::query::Allocation::new(Some(&caps), true);
    assert!(picker.static_pad("sink").unwrap().query(&mut query));
    picker.set_state(gst::State::Null).unwrap();
    let allocators = query.allocation_params();
    let allocators =
        allocators.map(|(allocator, _)| allocator.map(|it| it.memory_type().to_string()));
    (allocators.collect(), query.allocation_pools().count())
}

#[test]
fn decoders_are_offered_memory_that_is_copied_only_when_somebody_writes() {
    const FRAMES: &str = "video/x-raw, format=I420, width=1920, height=1080, framerate=50/1";
    let any_layout = |allocation: &mut gst::query::Allocation| {
        allocation.add_allocation_meta::<gst_video::VideoMeta>(None);
    };
    let ours = || vec![Some("EarmarkFrame".to_owned())];
    assert_eq!(offered(any_layout, FRAMES), (ours(), 1));
    // A pool, or a wish for alignment, stays.
    let with_pool = |allocation: &mut gst::query::Allocation| {
        allocation.add_allocation_meta::<gst_video::VideoMeta>(None);
        allocation.add_allocation_param(None::<&gst::Allocator>, gst::AllocationParams::default());
        allocation.add_allocation_pool(Some(&gst_video::VideoBufferPool::new()), 1, 0, 0);
    };
    assert_eq!(offered(with_pool, FRAMES), (ours(), 1));
    // Downstream takes the usual layout only, has memory of its own, or wants it elsewhere than in system memory.
    assert_eq!(offered(|_| (), FRAMES), (vec![], 0));
    let with_memory = |allocation: &mut gst::query::Allocation| {
        allocation.add_allocation_meta::<gst_video::VideoMeta>(None);
        let usual = gst::Allocator::find(Some("SystemMemory")).unwrap();
        allocation.add_allocation_param(Some(&usual), gst::AllocationParams::default());
    };
    let theirs = vec![Some("SystemMemory".to_owned())];
    assert_eq!(offered(with_memory, FRAMES), (theirs, 0));
    let elsewhere = FRAMES.replace("x-raw", "x-raw(memory:DMABuf)");
    assert_eq!(offered(any_layout, &elsewhere), (vec![], 0));
}

/// As [`sound`], stamped otherwise.
fn stamped(from: u64, ms: u64, stamp: u64) -> gst::Buffer {
    let mut buffer = sound(from, ms);
    buffer
        .make_mut()
        .set_pts(gst::ClockTime::from_mseconds(stamp));
    buffer
}

/// Cues of buffers `(from, ms, stamp)`: onsets in seconds, every cue's time in nanoseconds, and warnings.
fn heard(buffers: &[(u64, u64, u64)]) -> (Vec<f64>, Vec<i64>, Vec<String>) {
    let mut listener = listener();
    let bus = gst::Bus::new();
    listener.element().unwrap().set_bus(Some(&bus));
    for &(from, ms, stamp) in buffers {
        listener.push(stamped(from, ms, stamp)).unwrap();
    }
    listener.push_event(gst::event::Eos::new());
    let cues = cues(&mut listener);
    let likely = cues.iter().filter_map(|(_, cue)| cue.onset);
    let likely = likely.filter(|onset| onset.p > 0.05);
    let warnings = bus.iter().filter_map(|message| match message.view() {
        gst::MessageView::Warning(warning) => Some(warning.error().to_string()),
        _ => None,
    });
    (
        likely.map(|onset| onset.at.seconds()).collect(),
        cues.iter().map(|(_, cue)| cue.pts.get()).collect(),
        warnings.collect(),
    )
}

#[test]
fn sound_whose_times_step_back_goes_on_by_its_samples() {
    let every = |ms: u64, stamp: &dyn Fn(u64) -> u64| -> Vec<(u64, u64, u64)> {
        let starts = (0..6000).step_by(ms as usize);
        starts.map(|from| (from, ms, stamp(from))).collect()
    };
    for (name, buffers) in [
        ("a clock 2 % fast", every(100, &|from| from * 98 / 100)),
        ("stamps that stand still", every(40, &|_| 0)),
        ("blocks counted as half", every(80, &|from| from / 2)),
        (
            "a stall",
            every(100, &|from| if from < 3000 { from } else { from - 700 }),
        ),
    ] {
        let (onsets, cues, warnings) = heard(&buffers);
        assert!(cues.windows(2).all(|w| w[0] < w[1]), "{name}: {cues:?}");
        assert!((74..=76).contains(&cues.len()), "{name}: {}", cues.len());
        let clear = onsets.iter().filter(|at| (*at - at.round()).abs() < 0.05);
        assert!(clear.count() >= 3, "{name}: {onsets:?}");
        assert_eq!(warnings.len(), 1, "{name}: {warnings:?}");
        assert!(warnings[0].contains("step back"), "{name}: {warnings:?}");
    }
}

#[test]
fn what_comes_twice_is_heard_once_and_a_hole_stays_one() {
    let twice = [(0, 2000, 0), (1500, 2500, 1500)];
    let (_, cues, warnings) = heard(&twice);
    assert_eq!((cues.len(), warnings.len()), (50, 1), "{warnings:?}");
    // A loss: a hole, after which the stamps step back by some of it.
    let lost = [(0, 2000, 0), (3000, 300, 3000), (3300, 2700, 2700)];
    let (_, cues, warnings) = heard(&lost);
    assert!(cues.windows(2).all(|w| w[0] < w[1]), "{cues:?}");
    assert!(
        cues.iter()
            .all(|at| !(2_000_000_000..3_000_000_000).contains(at))
    );
    assert!(
        cues.last().is_some_and(|at| *at > 5_900_000_000),
        "{cues:?}"
    );
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    // Years are a hole like any other.
    let year = 365 * 24 * 3_600_000;
    let (_, cues, _) = heard(&[(0, 1000, 0), (1000, 1000, year)]);
    assert!((25..=26).contains(&cues.len()), "{}", cues.len());
}

#[test]
fn short_gaps_add_up_to_a_hole() {
    let mut listener = listener();
    listener.push(sound(0, 1000)).unwrap();
    for number in 0..10 {
        let gap = gst::event::Gap::builder(gst::ClockTime::from_mseconds(1000 + 20 * number))
            .duration(gst::ClockTime::from_mseconds(20));
        assert!(listener.push_event(gap.build()));
    }
    // Every cue is out, though no sound has come since.
    assert!((12..=13).contains(&cues(&mut listener).len()));
    let said = events(&mut listener);
    let until = said.iter().filter_map(|event| match event.view() {
        gst::EventView::Gap(gap) => Some(gap.get().0 + gap.get().1.unwrap()),
        _ => None,
    });
    assert_eq!(until.max(), Some(gst::ClockTime::from_mseconds(1200)));
}

#[test]
fn the_latency_is_known_without_reading_weights_again() {
    init();
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("mine.safetensors");
    let built_in = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../anchoring/weights/ears.safetensors"
    );
    let Ok(_) = std::fs::copy(built_in, &weights) else {
        eprintln!("skipped: {built_in} is not there");
        return;
    };
    let mut listener = listener();
    let element = listener.element().unwrap();
    element.set_state(gst::State::Ready).unwrap();
    element.set_property("probe", "onset+tcn");
    element.set_property("weights", weights.to_str().unwrap());
    listener.play();
    listener.set_upstream_latency(gst::ClockTime::ZERO);
    let first = listener.query_latency().unwrap();
    // Without the file, the latency would be that of another probe.
    std::fs::remove_file(&weights).unwrap();
    assert_eq!(listener.query_latency().unwrap(), first);
}
