//! The first pass: plays the sound, measures the pictures without decoding them, and makes the plan.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Seek, Write};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anchoring::cue::{Cue, HOP};
use anchoring::global::MAX_DURATION;
use anchoring::holes::{Cuts, Finder, LEAST};
use anchoring::plan::{Line, Plan, PlanError};
use anchoring::snap;
use anchoring::time::{Nanos, Window};
use anyhow::{Context, bail};
use gst::prelude::*;
use gstearmark::anchorgate::{Order, Stamp};
use gstearmark::pads::stream_time;
use gstearmark::{carry, models};

use crate::config::{Pipeline, Planning};

use super::Session;
use super::bundle::bundle;
use super::failure::{Class, Failure};
use super::maker::Maker;
use super::parts::Part;
use super::pictures::Pictures;
use super::spans::{self, Span};
use super::summary::Report;

/// Keyframes closer than this to the last one noted are not noted.
const KEYS_APART: Nanos = Nanos::from_ms(100);
/// Most keyframes noted: a hundred hours at two a second.
const MOST_KEYS: usize = 720_000;

/// Patches that the tagger is shown at once: nobody waits for the cues of this pass.
const PATCHES: u32 = 8;

/// Most holes noted.
const MOST_HOLES: usize = 10_000;

/// Longest cue that is read, in bytes.
const LONGEST_CUE: usize = 1 << 16;

/// Said once when every cue is silence.
pub(super) const NOTHING: &str =
    "nothing can be heard in the recording: evenly spaced looks (uniform fallback)";

/// What the first pass found.
pub(super) struct Heard {
    /// Cues as lines of a plan.
    cues: File,
    /// How many.
    count: u64,
    /// When the recording begins: its first picture, or 0 if there is none.
    start: Nanos,
    /// When it ends: its last picture's end, or the end of what was heard.
    stop: Nanos,
    /// When its keyframes are shown, ascending.
    keyframes: Vec<Nanos>,
    /// From one picture to the next, on average.
    frame: Nanos,
    /// When each picture is shown.
    pictures: Pictures,
    /// From when to when something was heard, if anything was.
    sound: Option<Span>,
    /// Where there are no pictures for long; without video, where nothing is heard. Nothing is planned there.
    holes: Vec<Window>,
}

/// A plan and the cues that it was made from.
pub(super) struct Made {
    pub plan: Plan,
    pub cues: Cues,
}

/// Cues kept in a file.
pub(super) struct Cues(BufReader<File>);

impl Iterator for Cues {
    type Item = Cue;
    fn next(&mut self) -> Option<Cue> {
        let mut line = String::new();
        // Our own file: a line that does not read would be the disk's fault, and ends the cues.
        let read = self.0.read_line(&mut line).ok()?;
        match Line::parse(line.trim_end(), 0).ok().filter(|_| read > 0)? {
            Line::Cue(cue) => Some(cue),
            _ => None,
        }
    }
}

/// Where the first pass writes.
struct Ear {
    file: BufWriter<File>,
    count: u64,
    /// The first cue's time and the last one's.
    first: Option<Nanos>,
    last: Nanos,
    stop: Nanos,
    /// Where nothing is heard for long; at most [`MOST_HOLES`].
    holes: Vec<Window>,
    failed: Option<anyhow::Error>,
}

/// First and last time of pictures, and where decoding can start.
#[derive(Debug, Default)]
struct Measure {
    /// Times of pictures that have only decoding times.
    order: Order<Picture>,
    failed: Option<anyhow::Error>,
    /// No two closer than [`KEYS_APART`], at most [`MOST_KEYS`].
    keyframes: Vec<Nanos>,
    count: u64,
    first: Option<Nanos>,
    last: Nanos,
    stop: Nanos,
    pictures: Pictures,
    finder: Finder,
    /// At most [`MOST_HOLES`], and how long they are together.
    holes: Vec<Window>,
    missing: Nanos,
}

/// What is kept of a picture whose time is not known yet.
#[derive(Debug)]
struct Picture {
    length: Option<Nanos>,
    keyframe: bool,
}

impl Measure {
    fn picture(&mut self, at: Nanos, length: Option<Nanos>, keyframe: bool) {
        self.count += 1;
        self.pictures.note(at);
        let hole = self.finder.picture(at);
        if let Some(hole) = hole.filter(|_| self.holes.len() < MOST_HOLES) {
            self.missing = self.missing + (hole.stop() - hole.start());
            // The picture before it is shown as long as any other.
            let shown = self.frame().min(LEAST.scaled(0.5));
            self.holes
                .extend(Window::new(hole.start() + shown, hole.stop()));
        }
        let far = self
            .keyframes
            .last()
            .is_none_or(|&last| at - last >= KEYS_APART);
        if keyframe && far && self.keyframes.len() < MOST_KEYS {
            self.keyframes.push(at);
        }
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
        self.last = if self.count == 1 {
            at
        } else {
            self.last.max(at)
        };
        self.stop = self.stop.max(at + length.unwrap_or(Nanos::ZERO));
    }

    /// From one picture to the next on average, at least a millisecond.
    fn frame(&self) -> Nanos {
        let length = self
            .first
            .map_or(Nanos::ZERO, |first| self.last - first - self.missing);
        let usual = length.get()
            / i64::try_from(self.count)
                .unwrap_or(i64::MAX)
                .saturating_sub(1)
                .max(1);
        Nanos::new(usual).max(Nanos::from_ms(1))
    }

    /// From the first picture to the end of the last one.
    fn span(&self) -> Option<(Nanos, Nanos)> {
        let first = self.first?;
        // Where pictures carry no length, the last one is as long as they are on average.
        let stop = if self.stop > self.last {
            self.stop
        } else {
            self.last + self.frame()
        };
        Some((first.max(Nanos::ZERO), stop))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session<'_> {
    /// Plays the first pass.
    pub(super) fn listen(&self, report: &mut Report) -> anyhow::Result<Heard> {
        let has_video = !self.recording.video.is_empty();
        let ear = Arc::new(Mutex::new(Ear {
            file: BufWriter::new(tempfile::tempfile().context("cannot make a temporary file")?),
            count: 0,
            first: None,
            last: Nanos::ZERO,
            stop: Nanos::ZERO,
            holes: Vec::new(),
            failed: None,
        }));
        let measure = Arc::new(Mutex::new(Measure::default()));
        if has_video || self.hears() {
            let built = self.build(Part::Listen)?;
            for queue in built.elements("queue") {
                bundle(&queue)?;
            }
            if let Some(source) = &built.measured {
                end_in(&built.pipeline, source, measuring(&measure)?)?;
            }
            if let Some(source) = &built.heard {
                let ears = source.factory().filter(|made| made.name() == "eventness");
                if ears.is_some() && source.has_property("batch") {
                    source.set_property("batch", PATCHES);
                }
                end_in(&built.pipeline, source, hearing(&ear)?)?;
            }
            let outcome = self.play(&built, "listen", Nanos::ZERO, report);
            // What the bus says only repeats it.
            if let Some(failed) = lock(&ear).failed.take() {
                return Err(failed);
            }
            if let Some(failed) = lock(&measure).failed.take() {
                let text = format!("{}: {failed:#}", self.input.given);
                return Err(Failure::error(Class::InputForeign, text));
            }
            report.listened(outcome?);
        }
        let mut ear = lock(&ear);
        ear.file
            .flush()
            .context("cannot write cues to a temporary file")?;
        let mut cues = ear.file.get_ref().try_clone()?;
        cues.rewind()?;
        let container = self.recording.duration.unwrap_or(Nanos::ZERO);
        let measure = std::mem::take(&mut *lock(&measure));
        if let Some((_, stop)) = measure.span() {
            self.warn_of_lost_pictures(stop, report);
        }
        let (start, stop) = match measure.span() {
            Some(span) => span,
            None if has_video => bail!("{} holds no picture that can be read", self.input.given),
            // What was heard ends within a hop of the sound.
            None if ear.count > 0 && container > ear.stop - HOP && container < ear.stop + HOP => {
                (Nanos::ZERO, container)
            }
            None if ear.count > 0 => (Nanos::ZERO, ear.stop),
            None => (Nanos::ZERO, container),
        };
        tracing::debug!(
            "heard {} cues; the recording lies in {start}..{stop}",
            ear.count
        );
        Ok(Heard {
            cues,
            count: ear.count,
            start,
            stop,
            frame: measure.frame(),
            keyframes: measure.keyframes,
            pictures: measure.pictures,
            sound: ear.first.map(|first| (first, ear.stop)),
            holes: if has_video {
                measure.holes
            } else {
                std::mem::take(&mut ear.holes)
            },
        })
    }

    /// Plans what was heard.
    pub(super) fn plan(&self, heard: Heard, report: &Report) -> anyhow::Result<Made> {
        let Heard {
            cues,
            count,
            start,
            stop,
            keyframes,
            frame,
            pictures: shown,
            sound,
            holes,
        } = heard;
        let has_video = !self.recording.video.is_empty();
        if let Some(sound) = sound.filter(|_| has_video) {
            for hint in spans::hints((start, stop), sound) {
                report.warn(hint);
            }
        }
        // The planner's time begins at 0 and knows no holes.
        let cuts = Cuts::new(holes.iter().filter_map(|hole| {
            Window::new((hole.start() - start).max(Nanos::ZERO), hole.stop() - start)
        }));
        let planned = |at: Nanos| cuts.shorten(at - start).0;
        if let Some(text) = told(&holes, has_video) {
            report.warn(text);
        }
        let distrust = self.pipeline.settings.budget.distrust;
        let streaming = self.pipeline.planning == Planning::Streaming;
        let labels = self.labels()?;
        let mut planner = Maker::new(self.pipeline, &labels);
        if let Some(container) = self.recording.duration {
            planner.expect(planned(container));
        }
        planner.see(keyframes.iter().map(|&key| planned(key)).collect(), frame);
        let mut again = Cues(BufReader::new(cues.try_clone()?));
        let (mut read, mut trusted) = (0, 0_u64);
        for cue in again.by_ref() {
            read += 1;
            trusted += u64::from(cue.trusted(distrust));
            if let Some(cue) = moved(cue, start, &cuts) {
                planner.hear(&cue);
            }
        }
        if read != count {
            bail!(
                "{count} cues were written to a temporary file and {read} could be read back; is the disk full?"
            );
        }
        if self.hears()
            && trusted == 0
            && self.pipeline.settings.budget.policy != anchoring::settings::Policy::Uniform
        {
            report.warn(NOTHING);
        }
        if stop > MAX_DURATION {
            return Err(PlanError::Duration(stop).into());
        }
        let mut plan =
            planner.finish(planned(stop), self.video_id, self.pipeline.config.clone())?;
        plan.header.duration = stop;
        for entry in &mut plan.entries {
            entry.requested = cuts.lengthen(entry.requested) + start;
            entry.asked = entry.asked.map(|asked| cuts.lengthen(asked) + start);
        }
        let budget = &self.pipeline.settings.budget;
        let global = budget.policy == anchoring::settings::Policy::Gated && !streaming;
        if global {
            let max_gap = Nanos::from_ms(budget.max_gap_ms.into());
            let pictures = snap::Pictures {
                keyframes: &keyframes,
                frame,
            };
            let reach = Nanos::from_ms(budget.snap_ms.into());
            snap::to_cheap(&mut plan.entries, pictures, start, stop, max_gap, reach);
        }
        let twice = plan.once_each(shown.times()?);
        tracing::debug!("{twice} looks would have been served by pictures that serve others");
        for anchor in &mut plan.anchors {
            let window = cuts.lengthen_window(anchor.window, anchor.onset);
            anchor.onset = cuts.lengthen(anchor.onset) + start;
            anchor.window =
                Window::new(window.start() + start, window.stop() + start).unwrap_or(window);
            let class = usize::try_from(anchor.class_id).ok();
            if let Some(label) = class.and_then(|class| labels.get(class)) {
                anchor.label.clone_from(label);
            }
        }
        let mut cues = again.0.into_inner();
        cues.rewind()?;
        Ok(Made {
            plan,
            cues: Cues(BufReader::new(cues)),
        })
    }

    /// The tagger's class names; none without a tagger.
    fn labels(&self) -> anyhow::Result<Vec<String>> {
        let Some(tagger) = &self.pipeline.tagger else {
            return Ok(Vec::new());
        };
        match models::find(tagger)?.classes_path() {
            Some(path) => Ok(models::read_classes(&path)?),
            None => Ok(Vec::new()),
        }
    }
}

/// A cue in the planner's time: from the recording's start on, without what is cut out. `None` where it lies outside that.
fn moved(mut cue: Cue, start: Nanos, cuts: &Cuts) -> Option<Cue> {
    if cue.pts + HOP <= start {
        return None;
    }
    let (pts, gone) = cuts.shorten(cue.pts - start);
    let onset = cue
        .onset
        .map(|onset| (onset, cuts.shorten(onset.at - start)));
    cue.pts = pts;
    cue.onset = onset.and_then(|(mut onset, (at, gone))| {
        onset.at = at;
        (!gone).then_some(onset)
    });
    (!gone).then_some(cue)
}

/// What a person is told of holes.
fn told(holes: &[Window], has_video: bool) -> Option<String> {
    let first = holes.first()?;
    let (from, to) = (first.start(), first.stop());
    let lacks = if has_video {
        "has no pictures"
    } else {
        "has no sound"
    };
    let more = match holes.len() - 1 {
        0 => String::new(),
        1 => ", and one more such hole".into(),
        n => format!(", and {n} more such holes"),
    };
    Some(format!(
        "the recording {lacks} from {from} to {to} ({}){more}: nothing is planned there, and nothing is earned",
        to - from
    ))
}

/// What came by in a pass that the gate plans.
pub(super) struct Trust {
    seen: Arc<Seen>,
}

/// How many cues came, how many of them can be trusted, and when cues and pictures begin and end, in nanoseconds.
struct Seen {
    cues: AtomicU64,
    trusted: AtomicU64,
    sound: [AtomicI64; 2],
    pictures: [AtomicI64; 2],
}

impl Seen {
    fn span([from, to]: &[AtomicI64; 2]) -> Option<Span> {
        let (from, to) = (from.load(Ordering::Relaxed), to.load(Ordering::Relaxed));
        (from < to).then_some((Nanos::new(from), Nanos::new(to)))
    }

    fn came([first, last]: &[AtomicI64; 2], from: Nanos, to: Nanos) {
        first.fetch_min(from.get(), Ordering::Relaxed);
        last.fetch_max(to.get(), Ordering::Relaxed);
    }
}

impl Trust {
    /// What is to be told at the end.
    pub(super) fn warnings(&self) -> Vec<String> {
        let seen = &self.seen;
        if seen.cues.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        let mut warnings = Vec::new();
        if seen.trusted.load(Ordering::Relaxed) == 0 {
            warnings.push(NOTHING.into());
        }
        if let (Some(pictures), Some(sound)) = (Seen::span(&seen.pictures), Seen::span(&seen.sound))
        {
            // That the sound ends early the gate says itself.
            let hints = spans::hints(pictures, sound).into_iter();
            warnings.extend(hints.filter(|hint| !hint.starts_with("the sound ends")));
        }
        warnings
    }
}

/// Watches the cues of a pass that the gate plans, and its pictures if there are any.
pub(super) fn watch(
    ears: &gst::Element,
    gate: Option<&gst::Element>,
    pipeline: &Pipeline,
) -> Trust {
    let nothing = || [AtomicI64::new(i64::MAX), AtomicI64::new(i64::MIN)];
    let seen = Arc::new(Seen {
        cues: AtomicU64::new(0),
        trusted: AtomicU64::new(0),
        sound: nothing(),
        pictures: nothing(),
    });
    let distrust = pipeline.settings.budget.distrust;
    for pad in ears.src_pads() {
        let seen = seen.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let cue = info
                .buffer()
                .and_then(|buffer| carry::cue_from_text(&buffer.map_readable().ok()?).ok());
            seen.cues.fetch_add(1, Ordering::Relaxed);
            if let Some(cue) = cue {
                Seen::came(&seen.sound, cue.pts, cue.pts + HOP);
                let trusted = u64::from(cue.trusted(distrust));
                seen.trusted.fetch_add(trusted, Ordering::Relaxed);
            }
            gst::PadProbeReturn::Ok
        });
    }
    if let Some(pad) = gate.and_then(|gate| gate.static_pad("video")) {
        let seen = seen.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            if let Some(pts) = info.buffer().and_then(|buffer| buffer.pts())
                && let Some(event) = pad.sticky_event::<gst::event::Segment>(0)
                && let Some(segment) = event.segment().downcast_ref::<gst::ClockTime>()
                && let Some(at) = stream_time(segment, pts)
            {
                Seen::came(&seen.pictures, at.max(Nanos::ZERO), at);
            }
            gst::PadProbeReturn::Ok
        });
    }
    Trust { seen }
}

/// Ends a branch that would have gone on to the gate.
fn end_in(
    pipeline: &gst::Pipeline,
    source: &gst::Element,
    sink: gst::Element,
) -> anyhow::Result<()> {
    pipeline.add(&sink)?;
    source
        .link(&sink)
        .with_context(|| format!("{} does not link to {}", source.name(), sink.name()))
}

/// A sink to which nothing comes but the end. One that takes its first buffer holds it until everything plays, and with it the demuxer, which
/// may have seconds of pictures to go to the first sound, or of sound to the first picture.
fn end(name: &str) -> anyhow::Result<(gst::Element, gst::Pad)> {
    let sink = gst::ElementFactory::make("fakesink")
        .name(name)
        .property("sync", false)
        .property("async", false)
        .build()?;
    let pad = sink.static_pad("sink").context("fakesink has no pad")?;
    Ok((sink, pad))
}

/// A sink that notes the times of pictures.
fn measuring(measure: &Arc<Mutex<Measure>>) -> anyhow::Result<gst::Element> {
    let (sink, pad) = end("measure")?;
    let measure = measure.clone();
    let kinds = gst::PadProbeType::BUFFER
        | gst::PadProbeType::BUFFER_LIST
        | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(kinds, move |pad, info| {
        let segment = pad
            .sticky_event::<gst::event::Segment>(0)
            .and_then(|event| event.segment().downcast_ref::<gst::ClockTime>().cloned());
        let mut measure = lock(&measure);
        if let Some(event) = info.event() {
            let caps = match event.view() {
                gst::EventView::Caps(caps) => Some(caps.caps_owned()),
                gst::EventView::Segment(_) | gst::EventView::Eos(_) => None,
                _ => return gst::PadProbeReturn::Ok,
            };
            if let Some(segment) = &segment {
                note_ordered(&mut measure, segment, true);
            }
            if let Some(caps) = caps {
                measure.order.set_caps(&caps);
            }
            // Events go on: the end of the stream is one.
            return gst::PadProbeReturn::Ok;
        }
        if let Some(segment) = segment {
            let list = info.buffer_list().into_iter().flat_map(|list| list.iter());
            for buffer in info
                .buffer()
                .map(|buffer| buffer.as_ref())
                .into_iter()
                .chain(list)
            {
                if let Err(e) = note(&mut measure, &segment, buffer)
                    && measure.failed.is_none()
                {
                    measure.failed = Some(e);
                    drop(measure);
                    // Ends the pass; the reason is told from here.
                    if let Some(sink) = pad.parent_element() {
                        gst::element_error!(sink, gst::StreamError::Format, ["no times"]);
                    }
                    return gst::PadProbeReturn::Ok;
                }
            }
        }
        drop(info.data.take());
        gst::PadProbeReturn::Handled
    });
    Ok(sink)
}

fn note(
    measure: &mut Measure,
    segment: &gst::FormattedSegment<gst::ClockTime>,
    buffer: &gst::BufferRef,
) -> anyhow::Result<()> {
    let Some(stamp) = Stamp::of(buffer) else {
        return Ok(());
    };
    let length = stamp
        .duration
        .and_then(|length| i64::try_from(length).ok())
        .filter(|ns| *ns > 0);
    let picture = Picture {
        length: length.map(Nanos::new),
        keyframe: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
    };
    let known = if measure.order.passes(stamp) {
        Some(picture)
    } else {
        let map = buffer.map_readable().context("cannot read a picture")?;
        let taken = measure.order.take(stamp, &map, picture);
        taken.context("the pictures carry no presentation times")?
    };
    match known.zip(buffer.pts()) {
        Some((picture, pts)) => note_at(measure, segment, pts, &picture),
        None => note_ordered(measure, segment, false),
    }
    Ok(())
}

/// Notes pictures whose times have become known; all, if no more come.
fn note_ordered(
    measure: &mut Measure,
    segment: &gst::FormattedSegment<gst::ClockTime>,
    drain: bool,
) {
    while let Some((picture, pts, _)) = measure.order.next(drain) {
        note_at(
            measure,
            segment,
            gst::ClockTime::from_nseconds(pts),
            &picture,
        );
    }
}

fn note_at(
    measure: &mut Measure,
    segment: &gst::FormattedSegment<gst::ClockTime>,
    pts: gst::ClockTime,
    picture: &Picture,
) {
    if let Some(at) = stream_time(segment, pts) {
        measure.picture(at, picture.length, picture.keyframe);
    }
}

/// A sink that writes cues down.
fn hearing(ear: &Arc<Mutex<Ear>>) -> anyhow::Result<gst::Element> {
    let (sink, pad) = end("hear")?;
    let ear = ear.clone();
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let mut ear = lock(&ear);
        let written = info
            .buffer()
            .map_or(Ok(()), |buffer| write_cue(&mut ear, buffer));
        drop(info.take_buffer());
        let Err(e) = written else {
            return gst::PadProbeReturn::Handled;
        };
        if let Some(sink) = pad.parent_element() {
            gst::element_error!(sink, gst::ResourceError::Write, ["{e:#}"]);
        }
        ear.failed = Some(e);
        info.flow_res = Err(gst::FlowError::Error);
        gst::PadProbeReturn::Handled
    });
    Ok(sink)
}

fn write_cue(ear: &mut Ear, buffer: &gst::BufferRef) -> anyhow::Result<()> {
    let map = buffer.map_readable().context("cannot read a cue")?;
    if map.len() > LONGEST_CUE {
        bail!("a cue of {} bytes: the limit is {LONGEST_CUE}", map.len());
    }
    let cue = carry::cue_from_text(&map)?;
    // Whatever gives cues, they ascend from here on.
    if ear.first.is_some() && cue.pts <= ear.last {
        return Ok(());
    }
    if ear.first.is_some() && cue.pts - ear.stop >= LEAST && ear.holes.len() < MOST_HOLES {
        ear.holes.extend(Window::new(ear.stop, cue.pts));
    }
    ear.first.get_or_insert(cue.pts);
    ear.last = cue.pts;
    ear.stop = ear.stop.max(cue.pts + HOP);
    ear.count += 1;
    writeln!(ear.file, "{}", Line::Cue(cue).to_text())
        .context("cannot write cues to a temporary file; is the disk full?")
}

/// Writes a plan, with cues if there are any.
pub(super) fn write(plan: &Plan, cues: Option<Cues>, file: &File) -> anyhow::Result<()> {
    let mut file = BufWriter::new(file);
    for line in plan.lines(cues.into_iter().flatten()) {
        writeln!(file, "{}", line.to_text()).context("cannot write the plan; is the disk full?")?;
    }
    file.flush()
        .context("cannot write the plan; is the disk full?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_lasts_to_the_end_of_its_last_picture() {
        let mut measure = Measure::default();
        assert_eq!(measure.span(), None);
        for ms in [40, 0, 120, 80] {
            measure.picture(Nanos::from_ms(ms), None, false);
        }
        assert_eq!(measure.span(), Some((Nanos::ZERO, Nanos::from_ms(160))));
        measure.picture(Nanos::from_ms(160), Some(Nanos::from_ms(40)), false);
        assert_eq!(measure.span(), Some((Nanos::ZERO, Nanos::from_ms(200))));
    }

    #[test]
    fn a_hole_counts_neither_as_time_between_pictures_nor_as_planned_time() {
        let mut measure = Measure::default();
        let year = 365 * 24 * 3600 * 1000;
        for n in 0..500 {
            let at = 40 * n + if n < 250 { 0 } else { year };
            measure.picture(Nanos::from_ms(at), None, n % 50 == 0);
        }
        assert!(measure.frame() < Nanos::from_ms(41), "{}", measure.frame());
        let cuts = Cuts::new(measure.holes);
        let (planned, _) = cuts.shorten(Nanos::from_ms(year + 20_000));
        assert!(planned < Nanos::from_ms(21_000), "{planned}");
        let text = told(&cuts.holes().collect::<Vec<_>>(), true).unwrap();
        assert!(text.contains("no pictures from 9.96"), "{text}");
    }

    #[test]
    fn cues_inside_a_hole_are_not_planned() {
        let second = |s: i64| Nanos::from_ms(1000 * s);
        let cuts = Cuts::new(Window::new(second(10), second(70)));
        let cue = |s: i64| Cue {
            pts: second(s),
            ..Cue::default()
        };
        let at = |s: i64| moved(cue(s), second(1), &cuts).map(|cue| cue.pts);
        assert_eq!(at(0), None);
        assert_eq!(at(5), Some(second(4)));
        assert_eq!(at(40), None);
        assert_eq!(at(80), Some(second(19)));
    }
}
