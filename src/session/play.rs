//! Runs a pass to its end: messages, errors, the watchdog, ^C.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anchoring::time::Nanos;
use anyhow::{Context, anyhow};
use gst::prelude::*;
use gstearmark::pads::stream_time;

use super::build::Built;
use super::cause::{also, class_of, of_element};
use super::warnings::{ElementWarning, OURS, Warnings};
use crate::failure::{Class, Failure};
use crate::pipeline::drawing;
use crate::recording::Missing;
use crate::stop::Stop;
use crate::terminal::{Progress, Watch};

/// Interval of the watchdog.
const TICK: gst::ClockTime = gst::ClockTime::from_mseconds(100);

/// What is kept of an unfinished file, as text; and whether an error already contains the text.
type Kept = Arc<Mutex<Option<(String, bool)>>>;

/// The result of a pass.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Wall time.
    pub took: Duration,
    /// Statistics by stage, as reported by the elements.
    pub stages: BTreeMap<String, BTreeMap<String, u64>>,
}

/// How to play a pass.
pub(super) struct Player<'a> {
    /// The recording's name in messages.
    pub name: &'a str,
    /// The stage name for progress.
    pub stage: &'static str,
    /// Start of the recording.
    pub start: Nanos,
    /// End of the recording, if known.
    pub duration: Option<Nanos>,
    /// Longest time without progress.
    pub stall: Duration,
    pub watch: &'a Watch,
    pub stop: &'a Stop,
    /// Receives warnings of elements as they are posted.
    pub warnings: &'a Warnings,
    /// The plan file: its name for the gate, and its name in messages.
    pub plan: Option<&'a (String, String)>,
}

/// Counts what passes one stage.
struct Gauge {
    stage: &'static str,
    count: Arc<AtomicU64>,
    at: Arc<AtomicI64>,
}

impl Gauge {
    fn new(element: &gst::Element, stage: &'static str) -> Self {
        let gauge = Self {
            stage,
            count: Arc::default(),
            at: Arc::default(),
        };
        for pad in element.sink_pads() {
            // A probe at the end of a branch may take buffers out at its own pad, so this one sits before it.
            let pad = match stage {
                "demux" => pad.peer().unwrap_or(pad),
                _ => pad,
            };
            let (count, at) = (gauge.count.clone(), gauge.at.clone());
            let kinds = gst::PadProbeType::BUFFER
                | gst::PadProbeType::BUFFER_LIST
                | gst::PadProbeType::EVENT_DOWNSTREAM;
            pad.add_probe(kinds, move |pad, info| {
                count.fetch_add(1, Ordering::Relaxed);
                if let Some(pts) = info.buffer().and_then(|buffer| buffer.pts())
                    && let Some(event) = pad.sticky_event::<gst::event::Segment>(0)
                    && let Some(segment) = event.segment().downcast_ref::<gst::ClockTime>()
                    && let Some(time) = stream_time(segment, pts)
                {
                    at.fetch_max(time.get(), Ordering::Relaxed);
                }
                gst::PadProbeReturn::Ok
            });
        }
        gauge
    }
}

/// Stops the graph, however the pass ends.
struct Playing<'a>(&'a gst::Pipeline);

impl Drop for Playing<'_> {
    fn drop(&mut self) {
        let _ = self.0.set_state(gst::State::Null);
    }
}

impl Player<'_> {
    /// Plays to the end. On any other end, the kept file says why, and the error says what was kept.
    pub(super) fn play(&self, built: &Built) -> anyhow::Result<Outcome> {
        let kept = Kept::default();
        let playing = Playing(&built.pipeline);
        let outcome = self.follow(built, &kept);
        if let Err(e) = &outcome {
            let because = match class_of(e) {
                Class::Stopped => "the user stopped the run".into(),
                _ => format!("{e:#}"),
            };
            for sink in built.elements("featuresink") {
                sink.set_property("warnings", self.warnings.all().join("\n"));
                sink.set_property("incomplete-because", &because);
            }
        }
        // Now the sink stores what it has.
        drop(playing);
        let kept = kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        outcome.map_err(|e| match kept {
            Some((_, true)) => e,
            Some((text, false)) => also(e, &text),
            None if class_of(&e) == Class::Stopped => also(e, "nothing was written"),
            None => e,
        })
    }

    fn follow(&self, built: &Built, kept: &Kept) -> anyhow::Result<Outcome> {
        let begun = Instant::now();
        let pipeline = &built.pipeline;
        let bus = pipeline.bus().context("the graph has no bus")?;
        let gauges = gauges(pipeline);
        let failed = Arc::new(AtomicBool::new(false));
        let (warnings, kept, noted) = (self.warnings.clone(), kept.clone(), failed.clone());
        // Handled at once, so that a warning is known before the end of the stream.
        bus.set_sync_handler(move |_, message| {
            match message.view() {
                gst::MessageView::Warning(warning) => {
                    warnings.push_said(ElementWarning::of(warning));
                }
                gst::MessageView::Error(_) => noted.store(true, Ordering::SeqCst),
                gst::MessageView::Element(element) => {
                    if let Some(kept_file) = element.structure().and_then(kept_text) {
                        *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept_file);
                    }
                }
                _ => {}
            }
            gst::BusSyncReply::Pass
        });
        for sink in built.elements("featuresink") {
            hold_the_end(&sink, &failed);
        }
        let mut progress = Progress::new(self.stage, self.start, self.duration, self.watch);
        let mut outcome = Outcome::default();
        let mut missing: Vec<Missing> = Vec::new();
        if let Err(e) = pipeline.set_state(gst::State::Playing) {
            // The error is on the bus.
            let said = bus.iter().find_map(|message| match message.view() {
                gst::MessageView::Error(error) => Some(self.explain(error, &missing)),
                _ => None,
            });
            return Err(
                said.unwrap_or_else(|| anyhow!("{}: the graph does not start: {e}", self.name))
            );
        }
        let (mut moved, mut last) = (Instant::now(), Vec::new());
        loop {
            if self.stop.is_wanted() {
                progress.clear();
                return Err(Failure::error(Class::Stopped, "stopped"));
            }
            let message = bus.timed_pop(TICK);
            let counts: Vec<_> = gauges
                .iter()
                .map(|gauge| gauge.count.load(Ordering::Relaxed))
                .collect();
            if counts != last {
                (moved, last) = (Instant::now(), counts);
            } else if moved.elapsed() >= self.stall {
                progress.clear();
                return Err(Failure::error(Class::Stalled, self.stalled(&gauges)));
            }
            progress.at(position(&gauges), last.iter().sum());
            let Some(message) = message else { continue };
            match message.view() {
                gst::MessageView::Eos(_) => break,
                gst::MessageView::Error(error) => {
                    progress.clear();
                    return Err(self.explain(error, &missing));
                }
                gst::MessageView::Element(element) => {
                    if let Ok(found) = gst_pbutils::MissingPluginMessage::parse(message.as_ref()) {
                        missing.push(Missing::from_detail(&found.installer_detail()));
                    } else if let Some(stats) =
                        element.structure().filter(|s| s.name() == "earmark-stats")
                    {
                        stage(&mut outcome, stats);
                    }
                }
                gst::MessageView::Latency(_) => {
                    let _ = pipeline.recalculate_latency();
                }
                _ => {}
            }
        }
        progress.clear();
        outcome.took = begun.elapsed();
        Ok(outcome)
    }

    fn stalled(&self, gauges: &[Gauge]) -> String {
        // The last stage that received anything is the one that blocks.
        let stage = gauges
            .iter()
            .rev()
            .find(|gauge| gauge.count.load(Ordering::Relaxed) > 0)
            .map_or("open", |gauge| gauge.stage);
        format!(
            "{}: no progress for {} s; the stage `{stage}` made progress last (--stall-timeout sets the limit)",
            self.name,
            self.stall.as_secs()
        )
    }

    /// An error as text, with the missing decoder if there is one.
    fn explain(&self, error: &gst::message::Error, missing: &[Missing]) -> anyhow::Error {
        let source = error
            .src()
            .and_then(|src| src.downcast_ref::<gst::Element>());
        let factory = source
            .and_then(|source| source.factory())
            .map(|factory| factory.name().to_string())
            .unwrap_or_default();
        let said = error.error().message().trim_end_matches('.').to_owned();
        tracing::debug!(
            "{:?}: {} ({:?})",
            error.src().map(|src| src.path_string()),
            error.error(),
            error.debug()
        );
        if let Some(missing) = missing.first() {
            return Failure::error(
                Class::InputForeign,
                format!("cannot decode {} here: {missing}", self.name),
            );
        }
        let said = match self.plan {
            Some((file, words)) => said.replace(file.as_str(), words),
            None => said,
        };
        let ours = OURS.contains(&factory.as_str());
        let class = of_element(&error.error(), ours);
        if ours {
            return Failure::error(class, said);
        }
        let detail = detail(error.debug().as_deref());
        let stage = drawing::stage(&factory);
        Failure::error(
            class,
            format!("{}: {stage} ({factory}): {said}{detail}", self.name),
        )
    }
}

/// The useful part of GStreamer's debug text: what follows the source location.
fn detail(debug: Option<&str>) -> String {
    let text = debug
        .and_then(|debug| debug.split(":\n").nth(1))
        .map(str::trim)
        .filter(|text| !text.is_empty());
    text.map(|text| format!(" ({text})")).unwrap_or_default()
}

/// The position of the pass: that of the encoder, else of the listener, else of the reader.
fn position(gauges: &[Gauge]) -> Nanos {
    let encodes = gauges.iter().any(|gauge| gauge.stage == "pick");
    let stage = if encodes {
        gauges.last()
    } else {
        gauges.first()
    };
    stage.map_or(Nanos::ZERO, |gauge| {
        Nanos::new(gauge.at.load(Ordering::Relaxed))
    })
}

fn gauges(pipeline: &gst::Pipeline) -> Vec<Gauge> {
    let mut gauges = Vec::new();
    for (factory, stage) in [
        ("eventness", "listen"),
        ("fakesink", "demux"),
        ("anchorgate", "gate"),
        ("framepick", "pick"),
        ("featuresink", "encode, write"),
    ] {
        let found = pipeline
            .iterate_all_by_element_factory_name(factory)
            .into_iter()
            .flatten();
        gauges.extend(found.map(|element| Gauge::new(&element, stage)));
    }
    gauges
}

/// What a sink reports about an unfinished file.
fn kept_text(structure: &gst::StructureRef) -> Option<(String, bool)> {
    if structure.name() != "earmark-kept" {
        return None;
    }
    Some((structure.get("text").ok()?, structure.get("reported").ok()?))
}

/// Blocks the end of the stream after an error: sources send it even then, and it would mark the file as complete.
fn hold_the_end(sink: &gst::Element, failed: &Arc<AtomicBool>) {
    let failed = failed.clone();
    let Some(pad) = sink.static_pad("sink") else {
        return;
    };
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        let is_end = info
            .event()
            .is_some_and(|event| event.type_() == gst::EventType::Eos);
        if is_end && failed.load(Ordering::SeqCst) {
            drop(info.data.take());
            return gst::PadProbeReturn::Handled;
        }
        gst::PadProbeReturn::Ok
    });
}

/// Adds the statistics of a stage to those it reported before.
fn stage(outcome: &mut Outcome, stats: &gst::StructureRef) {
    let Ok(name) = stats.get::<String>("stage") else {
        return;
    };
    let stage = outcome.stages.entry(name).or_default();
    for (field, value) in stats.iter() {
        let number = value
            .get::<u64>()
            .ok()
            .or_else(|| value.get::<i64>().ok().and_then(|n| u64::try_from(n).ok()))
            .or_else(|| value.get::<u32>().ok().map(u64::from));
        if let Some(number) = number {
            *stage.entry(field.to_string()).or_default() += number;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_useful_part_of_a_debug_text_is_shown() {
        assert_eq!(
            detail(Some(
                "../gst/isomp4/qtdemux.c(1): x (): /GstPipeline:p/qtdemux:q:\nno moov atom"
            )),
            " (no moov atom)"
        );
        assert_eq!(detail(Some("no place")), "");
        assert_eq!(detail(None), "");
    }
}
