//! `earmark doctor --live`: plays each source of a pipeline for some seconds and reports what it found. Keeps nothing.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use crossbeam_channel::bounded;
use gst::prelude::*;
use gstearmark::pads::stream_time;
use gstearmark::printable::line;
use serde_json::{Value, json};

use super::attempt::Attempt;
use super::graph::{drain, explain, stop};
use super::plan::{Asked, Parts, Plan, plans};
use super::seen::SourceStatus;
use crate::session;
use crate::terminal::{Output, print};

/// Longest time for a source to give its first media.
const FIRST: Duration = Duration::from_secs(20);
/// Longest time for it to stop.
const DOWN: Duration = Duration::from_secs(10);
/// Most keyframes whose times are kept.
const MOST: usize = 1_000;
/// A decoder starts at a keyframe: if they are further apart than this, one frame costs much decoding.
const FAR_S: f64 = 4.0;
/// Sound and frames that arrive further apart than this are reported.
const APART_MS: i64 = 300;

/// What was seen of video or audio.
#[derive(Default)]
struct Observed {
    buffers: u64,
    bytes: u64,
    /// Arrival and stream time of the first and the last.
    first: Option<(Instant, i64)>,
    last: Option<(Instant, i64)>,
    /// Smallest arrival minus stream time, ns since the trial began.
    delay: Option<i64>,
    /// Stream times and numbers of keyframes.
    keyframes: Vec<(i64, u64)>,
    caps: Option<gst::Caps>,
    codec: Option<String>,
}

type Shared = Arc<Mutex<Observed>>;

fn lock(noted: &Shared) -> MutexGuard<'_, Observed> {
    noted.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Findings about one source.
struct Finding {
    name: String,
    /// What prevents it from playing.
    failed: Option<String>,
    lines: Vec<(&'static str, String)>,
    json: Value,
}

/// Tries the sources of a pipeline, all at once. Returns whether all is well.
///
/// # Errors
/// Something is wrong with the pipeline, or this machine lacks something.
pub(crate) fn trial(
    pipeline: &Path,
    set: &[String],
    seconds: u64,
    output: Output,
) -> anyhow::Result<bool> {
    let folder = tempfile::Builder::new()
        .prefix("earmark-")
        .tempdir()
        .context("cannot create a temporary folder")?;
    let (_, plans) = plans(&Asked {
        pipelines: &[pipeline.to_owned()],
        set,
        output: Some(folder.path()),
        name: None,
        threads: Some(1),
    })?;
    for plan in &plans {
        session::check_models(&plan.pipeline)?;
    }
    let all: Vec<Finding> = std::thread::scope(|scope| {
        let tried: Vec<_> = plans
            .iter()
            .map(|plan| scope.spawn(move || try_one(plan, Duration::from_secs(seconds))))
            .collect();
        tried
            .into_iter()
            .filter_map(|thread| thread.join().ok())
            .collect()
    });
    let ok = all.len() == plans.len() && all.iter().all(|finding| finding.failed.is_none());
    if output.json {
        let sources: Vec<_> = all.iter().map(Finding::json).collect();
        print(&format!("{:#}", json!({ "ok": ok, "sources": sources })))?;
    } else {
        for finding in &all {
            print(&finding.text())?;
        }
    }
    Ok(ok)
}

impl Finding {
    fn text(&self) -> String {
        let head = match &self.failed {
            Some(why) => format!("{}: {}", self.name, line(why)),
            None => format!("{}: plays", self.name),
        };
        let lines = self.lines.iter();
        let lines = lines.map(|(topic, text)| format!("\n  {topic:<10} {}", line(text)));
        lines.fold(head, |all, one| all + &one)
    }

    fn json(&self) -> Value {
        let mut value = self.json.clone();
        value["name"] = json!(self.name);
        value["ok"] = json!(self.failed.is_none());
        value["failed"] = json!(self.failed);
        value["findings"] = self
            .lines
            .iter()
            .map(|(topic, text)| json!({ "topic": topic, "text": text }))
            .collect();
        value
    }
}

fn try_one(plan: &Plan, play: Duration) -> Finding {
    let nothing = |why: String| Finding {
        name: plan.name.clone(),
        failed: Some(why),
        lines: Vec::new(),
        json: json!({}),
    };
    let nobody = Arc::new(SourceStatus::new(&plan.name));
    let attempt = match Attempt::build(plan, &nobody, 1, Parts::wanted(plan)) {
        Ok(attempt) => attempt,
        Err(e) => return nothing(format!("{e:#}")),
    };
    let begun = Instant::now();
    let (video, audio) = (Shared::default(), Shared::default());
    let stream = &attempt.stream;
    if let Some(pad) = stream.gate.static_pad("video") {
        note(&pad, &video, begun);
    }
    let ears = stream.ears.as_ref();
    if let Some(pad) = ears.and_then(|ears| ears.static_pad("sink")) {
        note(&pad, &audio, begun);
    }
    let mut failed = None;
    if stream.pipeline.set_state(gst::State::Playing).is_err() {
        let said = attempt.bus.iter().find_map(|message| match message.view() {
            gst::MessageView::Error(error) => Some(explain(error).1),
            _ => None,
        });
        failed = Some(said.unwrap_or_else(|| "its graph does not start".into()));
    }
    let mut since: Option<Instant> = None;
    loop {
        if let Some(message) = attempt.bus.timed_pop(gst::ClockTime::from_mseconds(50)) {
            match message.view() {
                gst::MessageView::Error(error) => {
                    failed = Some(explain(error).1);
                    break;
                }
                gst::MessageView::Eos(_) => {
                    attempt.ended.store(true, Ordering::Relaxed);
                    break;
                }
                gst::MessageView::Latency(_) => {
                    let _ = stream.pipeline.recalculate_latency();
                }
                _ => {}
            }
        }
        if failed.is_some() {
            break;
        }
        let came = lock(&video).buffers + lock(&audio).buffers > 0;
        if came {
            since.get_or_insert_with(Instant::now);
        }
        match since {
            Some(since) if since.elapsed() >= play => break,
            None if begun.elapsed() >= FIRST => {
                failed = Some(format!("nothing arrived within {} s", FIRST.as_secs()));
                break;
            }
            _ => {}
        }
    }
    let lost = lost(&stream.pipeline);
    let ahead_ms = ears.map(|ears| ears.property::<u64>("hears-ahead") / 1_000_000);
    take_down(attempt);
    let Parts { sees, hears } = Parts::wanted(plan);
    let mut finding = found(&lock(&video), &lock(&audio), hears, sees, lost, begun);
    if let Some(ahead_ms) = ahead_ms {
        let own_ms = u64::from(plan.pipeline.settings.budget.look_ahead_ms);
        finding.json["look_ahead_ms"] = json!(ahead_ms + own_ms);
        let seconds = |ms: u64| ms as f64 / 1000.0;
        finding.lines.push((
            "look-ahead",
            format!(
                "{:.2} s: the probe hears {:.2} s ahead, budget.look_ahead_ms adds {:.2} s; anchors are known that long after their sound",
                seconds(ahead_ms + own_ms),
                seconds(ahead_ms),
                seconds(own_ms)
            ),
        ));
    }
    finding.name.clone_from(&plan.name);
    finding.failed = failed.or(finding.failed);
    finding
}

/// In a thread, because a source may hang.
fn take_down(attempt: Attempt) {
    let (done, over) = bounded(1);
    let spawned = std::thread::Builder::new()
        .name("earmark-down".into())
        .spawn(move || {
            drain(&attempt.stream, &attempt.ended);
            stop(&attempt.stream);
            let _ = done.send(());
        });
    if spawned.is_ok() {
        let _ = over.recv_timeout(DOWN);
    }
}

/// Watches a pad.
fn note(pad: &gst::Pad, noted: &Shared, begun: Instant) {
    let noted = noted.clone();
    let kinds = gst::PadProbeType::BUFFER
        | gst::PadProbeType::BUFFER_LIST
        | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(kinds, move |pad, info| {
        let mut noted = lock(&noted);
        match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => noted.buffer(pad, buffer, begun),
            Some(gst::PadProbeData::BufferList(list)) => {
                for buffer in list.iter() {
                    noted.buffer(pad, buffer, begun);
                }
            }
            Some(gst::PadProbeData::Event(event)) => match event.view() {
                gst::EventView::Caps(caps) => noted.caps = Some(caps.caps_owned()),
                gst::EventView::Tag(tag) => {
                    let tags = tag.tag();
                    let video = tags.get::<gst::tags::VideoCodec>();
                    let codec = video.map(|codec| codec.get().to_owned());
                    let audio = tags.get::<gst::tags::AudioCodec>();
                    let codec = codec.or(audio.map(|codec| codec.get().to_owned()));
                    noted.codec = codec.or(noted.codec.take());
                }
                _ => {}
            },
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
}

impl Observed {
    fn buffer(&mut self, pad: &gst::Pad, buffer: &gst::BufferRef, begun: Instant) {
        self.buffers += 1;
        self.bytes += buffer.size() as u64;
        let time = buffer.pts().and_then(|pts| {
            let event = pad.sticky_event::<gst::event::Segment>(0)?;
            let segment = event.segment().downcast_ref::<gst::ClockTime>()?;
            stream_time(segment, pts)
        });
        let Some(time) = time.map(|time| time.get()) else {
            return;
        };
        let now = Instant::now();
        self.first.get_or_insert((now, time));
        self.last = Some((now, time));
        let delay = (now - begun).as_nanos() as i64 - time;
        self.delay = Some(self.delay.map_or(delay, |least| least.min(delay)));
        if !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT) && self.keyframes.len() < MOST {
            self.keyframes.push((time, self.buffers));
        }
    }

    /// Seconds by its own time, and by ours.
    fn spans(&self) -> Option<(f64, f64)> {
        let ((from, first), (to, last)) = self.first.zip(self.last)?;
        Some(((last - first) as f64 / 1e9, (to - from).as_secs_f64()))
    }
}

/// Packets received and lost, if the source counts them.
fn lost(pipeline: &gst::Pipeline) -> Option<(u64, u64)> {
    let buffers = pipeline.iterate_all_by_element_factory_name("rtpjitterbuffer");
    let mut all = None;
    for buffer in buffers.into_iter().flatten() {
        let stats = buffer.property::<gst::Structure>("stats");
        let number = |field| stats.get::<u64>(field).unwrap_or(0);
        let (came, gone) = all.unwrap_or((0, 0));
        all = Some((came + number("num-pushed"), gone + number("num-lost")));
    }
    all
}

fn found(
    video: &Observed,
    audio: &Observed,
    hears: bool,
    sees: bool,
    lost: Option<(u64, u64)>,
    begun: Instant,
) -> Finding {
    let mut lines = Vec::new();
    let firsts = [video.first, audio.first].into_iter().flatten();
    let first = firsts
        .map(|(at, _)| (at - begun).as_secs_f64())
        .reduce(f64::min);
    if let Some(first) = first {
        lines.push(("start", format!("first media after {first:.1} s")));
    }
    let structure = |noted: &Observed| {
        let caps = noted.caps.as_ref()?;
        Some(caps.structure(0)?.to_owned())
    };
    let spans = video.spans().filter(|(own, _)| *own > 0.0);
    let rate = spans.map(|(own, _)| video.buffers.saturating_sub(1) as f64 / own);
    let mut failed = None;
    if !sees {
        lines.push(("frames", "are not asked for".into()));
        let nothing = first.is_some() && audio.buffers == 0;
        failed = nothing.then(|| "something comes, but no sound".to_owned());
    } else if video.buffers == 0 {
        lines.push(("frames", "none arrived".into()));
        failed = first.map(|_| "sound comes, but no frames".to_owned());
    } else {
        let mut parts = vec![
            video
                .codec
                .clone()
                .unwrap_or_else(|| "unknown codec".into()),
        ];
        if let Some(s) = structure(video) {
            if let Ok(profile) = s.get::<String>("profile") {
                parts[0] += &format!(" ({profile})");
            }
            if let (Ok(width), Ok(height)) = (s.get::<i32>("width"), s.get::<i32>("height")) {
                parts.push(format!("{width}x{height}"));
            }
        }
        if let (Some(rate), Some((own, _))) = (rate, spans) {
            parts.push(format!("{rate:.1} frames/s"));
            parts.push(format!("{:.1} Mbit/s", video.bytes as f64 * 8e-6 / own));
        }
        lines.push(("frames", parts.join(", ")));
        lines.push((
            "keyframes",
            keyframes(video, spans.map_or(0.0, |(own, _)| own)),
        ));
    }
    let gop = gop(video);
    if !hears {
        lines.push((
            "sound",
            "is not used: falls back to evenly spaced frames".into(),
        ));
    } else if audio.buffers == 0 {
        lines.push((
            "sound",
            "none arrived: falls back to evenly spaced frames; turn the camera's microphone on, or leave out the audio branch".into(),
        ));
    } else {
        let codec = audio.codec.clone().unwrap_or_else(|| "raw".into());
        let heard = structure(audio).and_then(|s| s.get::<i32>("rate").ok());
        let heard = heard.map_or_else(String::new, |rate| {
            format!(", heard at {} kHz", rate / 1000)
        });
        lines.push(("sound", format!("{codec}{heard}")));
    }
    let pace = spans
        .filter(|(_, ours)| *ours > 1.0)
        .map(|(own, ours)| own / ours);
    let apart = video
        .delay
        .zip(audio.delay)
        .map(|(v, a)| (a - v) / 1_000_000);
    let mut clock = Vec::new();
    if let Some(pace) = pace {
        clock.push(format!(
            "runs at {pace:.2} times the speed of this machine's clock"
        ));
    }
    if let Some(ms) = apart {
        clock.push(match ms {
            ms if ms.abs() <= APART_MS => {
                format!("sound and frames arrive within {} ms of each other", ms.abs())
            }
            ms if ms > 0 => format!(
                "sound arrives {ms} ms after its frames, so they wait for it (is the microphone a separate device?)"
            ),
            ms => format!("frames arrive {} ms after their sound", -ms),
        });
    }
    if !clock.is_empty() {
        lines.push(("clock", clock.join("; ")));
    }
    lines.push((
        "loss",
        match lost {
            None => "not counted: only RTP reports losses".into(),
            Some((came, 0)) => format!("none of {came} packets"),
            Some((came, gone)) => format!(
                "{gone} of {} packets: use protocols=tcp, or a cable",
                came + gone
            ),
        },
    ));
    Finding {
        name: String::new(),
        failed,
        json: json!({
            "first_media_s": first,
            "video": video.codec,
            "frames": video.buffers,
            "frames_per_s": rate,
            "gop_frames": gop.map(|(frames, _)| frames),
            "gop_s": gop.map(|(_, seconds)| seconds),
            "audio": audio.codec,
            "sound": audio.buffers > 0,
            "pace": pace,
            "sound_after_frames_ms": apart,
            "packets": lost.map(|(came, _)| came),
            "packets_lost": lost.map(|(_, gone)| gone),
        }),
        lines,
    }
}

/// Most frames and most seconds between two keyframes.
fn gop(video: &Observed) -> Option<(u64, f64)> {
    let pairs = video.keyframes.windows(2);
    let frames = pairs.clone().map(|w| w[1].1 - w[0].1).max()?;
    let seconds = pairs.map(|w| (w[1].0 - w[0].0) as f64 / 1e9);
    Some((frames, seconds.fold(0.0, f64::max)))
}

fn keyframes(video: &Observed, span: f64) -> String {
    let advice = "set the camera's keyframe interval (GOP) to two seconds: taking a frame means decoding everything since its keyframe";
    match gop(video) {
        Some((1, _)) => "every frame".into(),
        Some((frames, seconds)) if seconds > FAR_S => {
            format!("every {frames} frames, {seconds:.1} s: far apart; {advice}")
        }
        Some((frames, seconds)) => format!("every {frames} frames, {seconds:.1} s"),
        None if video.keyframes.is_empty() => {
            format!("none in {span:.0} s, so nothing can be decoded; {advice}")
        }
        None => format!("one in {span:.0} s; {advice}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video(gop: u64, frames: u64) -> Observed {
        let begun = Instant::now();
        let at = |k: u64| (begun + Duration::from_millis(40 * k), k as i64 * 40_000_000);
        Observed {
            buffers: frames,
            bytes: frames * 5_000,
            first: Some(at(0)),
            last: Some(at(frames - 1)),
            delay: Some(0),
            keyframes: (0..frames)
                .filter(|k| k % gop == 0)
                .map(|k| (at(k).1, k + 1))
                .collect(),
            codec: Some("H.264".into()),
            ..Observed::default()
        }
    }

    fn text(video: &Observed, audio: &Observed, hears: bool, lost: Option<(u64, u64)>) -> String {
        found(video, audio, hears, true, lost, Instant::now()).text()
    }

    #[test]
    fn findings_are_reported_in_words() {
        let sound = Observed {
            buffers: 10,
            delay: Some(40_000_000),
            codec: Some("AAC".into()),
            ..video(1, 250)
        };
        let fine = text(&video(50, 250), &sound, true, Some((900, 0)));
        for part in [
            "H.264, 25.0 frames/s, 1.0 Mbit/s",
            "every 50 frames, 2.0 s",
            "AAC",
            "runs at 1.00",
            "within 40 ms",
            "none of 900 packets",
        ] {
            assert!(fine.contains(part), "{part}: {fine}");
        }
        let poor = text(&video(150, 400), &Observed::default(), true, Some((90, 10)));
        for part in ["far apart", "none arrived", "10 of 100 packets"] {
            assert!(poor.contains(part), "{part}: {poor}");
        }
        assert!(text(&video(300, 250), &sound, false, None).contains("one in 10 s"));
        let deaf = found(
            &Observed::default(),
            &sound,
            true,
            true,
            None,
            Instant::now(),
        );
        assert!(deaf.failed.is_some());
    }
}
