//! The first pass: plays the sound, measures the pictures without decoding them, and makes the plan.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Seek, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anchoring::cue::{Cue, HOP};
use anchoring::plan::{Line, Plan};
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
use super::summary::Report;

/// Keyframes closer than this to the last one noted are not noted.
const KEYS_APART: Nanos = Nanos::from_ms(100);
/// Most keyframes noted: a hundred hours at two a second.
const MOST_KEYS: usize = 720_000;

/// Patches that the tagger is shown at once: nobody waits for the cues of this pass.
const PATCHES: u32 = 8;

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
    stop: Nanos,
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
        let length = self.first.map_or(Nanos::ZERO, |first| self.last - first);
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
            stop: Nanos::ZERO,
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
                end_in(&built.pipeline, source, hearing(&ear))?;
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
        } = heard;
        let distrust = self.pipeline.settings.budget.distrust;
        let streaming = self.pipeline.planning == Planning::Streaming;
        let labels = self.labels()?;
        let mut planner = Maker::new(self.pipeline, &labels);
        if let Some(container) = self.recording.duration {
            planner.expect(container - start);
        }
        planner.see(keyframes.iter().map(|&key| key - start).collect(), frame);
        let mut again = Cues(BufReader::new(cues.try_clone()?));
        let (mut read, mut trusted) = (0, 0_u64);
        for cue in again.by_ref() {
            read += 1;
            trusted += u64::from(cue.trusted(distrust));
            // The planner's recording begins at 0.
            if cue.pts + HOP > start {
                planner.hear(&later(cue, Nanos::ZERO - start));
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
        let mut plan = planner.finish(stop - start, self.video_id, self.pipeline.config.clone())?;
        plan.header.duration = stop;
        for entry in &mut plan.entries {
            entry.requested = entry.requested + start;
            entry.asked = entry.asked.map(|asked| asked + start);
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
            anchor.onset = anchor.onset + start;
            anchor.window =
                Window::new(anchor.window.start() + start, anchor.window.stop() + start)
                    .unwrap_or(anchor.window);
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

/// The same cue at another time.
fn later(mut cue: Cue, by: Nanos) -> Cue {
    cue.pts = cue.pts + by;
    if let Some(onset) = &mut cue.onset {
        onset.at = onset.at + by;
    }
    cue
}

/// How many cues came, and how many of them can be trusted.
pub(super) struct Trust {
    cues: Arc<AtomicU64>,
    trusted: Arc<AtomicU64>,
}

impl Trust {
    /// Whether something was listened to and nothing was heard.
    pub(super) fn nothing(&self) -> bool {
        self.cues.load(Ordering::Relaxed) > 0 && self.trusted.load(Ordering::Relaxed) == 0
    }
}

/// Counts the cues of a pass that the gate plans.
pub(super) fn watch(ears: &gst::Element, pipeline: &Pipeline) -> Trust {
    let trust = Trust {
        cues: Arc::default(),
        trusted: Arc::default(),
    };
    let distrust = pipeline.settings.budget.distrust;
    for pad in ears.src_pads() {
        let (cues, trusted) = (trust.cues.clone(), trust.trusted.clone());
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let cue = info
                .buffer()
                .and_then(|buffer| carry::cue_from_text(&buffer.map_readable().ok()?).ok());
            cues.fetch_add(1, Ordering::Relaxed);
            if cue.is_some_and(|cue| cue.trusted(distrust)) {
                trusted.fetch_add(1, Ordering::Relaxed);
            }
            gst::PadProbeReturn::Ok
        });
    }
    trust
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

/// A sink that notes the times of pictures.
fn measuring(measure: &Arc<Mutex<Measure>>) -> anyhow::Result<gst::Element> {
    let sink = gst::ElementFactory::make("fakesink")
        .name("measure")
        .property("sync", false)
        // Waiting for its first picture would block the demuxer before the first cue is heard.
        .property("async", false)
        .build()?;
    let pad = sink.static_pad("sink").context("fakesink has no pad")?;
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
        gst::PadProbeReturn::Ok
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
fn hearing(ear: &Arc<Mutex<Ear>>) -> gst::Element {
    let ear = ear.clone();
    let hear = move |sink: &gst_app::AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let mut ear = lock(&ear);
        let written = sample
            .buffer()
            .map_or(Ok(()), |buffer| write_cue(&mut ear, buffer));
        written.map(|()| gst::FlowSuccess::Ok).map_err(|e| {
            gst::element_error!(sink, gst::ResourceError::Write, ["{e:#}"]);
            ear.failed = Some(e);
            gst::FlowError::Error
        })
    };
    gst_app::AppSink::builder()
        .name("hear")
        .caps(&gst::Caps::builder(carry::CUE_CAPS).build())
        .sync(false)
        .async_(false)
        .max_buffers(64)
        .callbacks(
            gst_app::AppSinkCallbacks::builder()
                .new_sample(hear)
                .build(),
        )
        .build()
        .upcast()
}

fn write_cue(ear: &mut Ear, buffer: &gst::BufferRef) -> anyhow::Result<()> {
    let map = buffer.map_readable().context("cannot read a cue")?;
    if map.len() > LONGEST_CUE {
        bail!("a cue of {} bytes: the limit is {LONGEST_CUE}", map.len());
    }
    let cue = carry::cue_from_text(&map)?;
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
}
