//! Decodes single frames of a recording: the requested ones, and those that they depend on.

use std::path::Path;
use std::time::{Duration, Instant};

use anchoring::plan::{Entry, Header, Plan, Reason, SCHEMA};
use anchoring::tier::Tier;
use anchoring::time::Nanos;
use anyhow::{Context, anyhow, bail};
use gst::prelude::*;
use gstearmark::structures;

use crate::files::{self, InheritedFile};
use crate::stop::Stop;

/// Reads, gates and decodes. The gate jumps over everything that no frame needs.
const GRAPH: &str = "filesrc name=source ! parsebin name=demux \
    anchorgate name=gate ! decodebin ! framepick ! videoflip video-direction=auto ! videoconvertscale \
    ! video/x-raw,format=RGB,pixel-aspect-ratio=1/1 ! appsink name=sink sync=false max-buffers=2";
/// Interval at which ^C and errors are noticed.
const TICK: gst::ClockTime = gst::ClockTime::from_mseconds(50);
/// Largest side of a frame.
const LARGEST: u32 = 16_384;

/// A decoded frame, upright, with square pixels.
#[derive(Clone, Debug)]
pub(crate) struct DecodedFrame {
    /// The time that was asked for.
    pub(crate) asked: Nanos,
    /// The frame's own time.
    pub(crate) pts: Nanos,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// RGB, row-major, without padding.
    pub(crate) rgb: Vec<u8>,
}

/// Decodes the frames at these times (ascending, each once), and passes each on as it comes. Skips times without a frame (after the end).
///
/// # Errors
/// The recording cannot be read or decoded, makes no progress for `stall`, or the user stops it.
pub(crate) fn frames(
    recording: &Path,
    times: &[Nanos],
    stall: Duration,
    stop: &Stop,
    mut each: impl FnMut(DecodedFrame) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    if times.is_empty() {
        return Ok(());
    }
    let name = recording.display();
    let plan = InheritedFile::new(|mut file| {
        use std::io::Write;
        file.write_all(plan_of(times).to_text().as_bytes())
            .context("cannot write a temporary plan; is the disk full?")
    })?;
    let graph = gst::parse::launch(GRAPH).map_err(|e| {
        anyhow!(
            "GStreamer cannot build the graph that decodes frames: {}",
            e.message()
        )
    })?;
    let graph = graph
        .downcast::<gst::Pipeline>()
        .map_err(|_| anyhow!("the graph that decodes frames is not a pipeline"))?;
    let element = |name: &str| {
        graph
            .by_name(name)
            .with_context(|| format!("the graph that decodes frames has no {name}"))
    };
    element("source")?.set_property("location", files::location(recording)?);
    let gate = element("gate")?;
    gate.set_property("plan", plan.name());
    let entry = gate
        .static_pad("video")
        .context("anchorgate has no pad `video`")?;
    element("demux")?.connect_pad_added(move |_, pad| {
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let is_video = caps
            .structure(0)
            .is_some_and(|media| media.name().starts_with("video/"));
        if is_video
            && !entry.is_linked()
            && let Err(e) = pad.link(&entry)
        {
            tracing::debug!("{} does not fit the gate: {e}", pad.name());
        }
    });
    let sink = element("sink")?
        .downcast::<gst_app::AppSink>()
        .map_err(|_| anyhow!("the sink of frames is not an appsink"))?;
    let bus = graph.bus().context("the graph has no bus")?;
    let playing = Playing(&graph);
    let failed = || {
        bus.iter().find_map(|message| match message.view() {
            gst::MessageView::Error(error) => {
                Some(error.error().message().trim_end_matches('.').to_owned())
            }
            _ => None,
        })
    };
    if graph.set_state(gst::State::Playing).is_err() {
        bail!(
            "cannot decode frames of {name}: {}",
            failed().unwrap_or_else(|| "the graph does not start".into())
        );
    }
    let mut moved = Instant::now();
    loop {
        if stop.is_wanted() {
            bail!("stopped");
        }
        if let Some(why) = failed() {
            bail!("cannot decode frames of {name}: {why}");
        }
        match sink.try_pull_sample(TICK) {
            Some(sample) => {
                each(decoded(&sample).with_context(|| format!("a frame of {name}"))?)?;
                moved = Instant::now();
            }
            None if sink.is_eos() => break,
            None if moved.elapsed() > stall => bail!(
                "decoding frames of {name} made no progress for {} s (--stall-timeout sets the limit)",
                stall.as_secs()
            ),
            None => {}
        }
    }
    drop(playing);
    Ok(())
}

/// A plan of exactly these frames.
fn plan_of(times: &[Nanos]) -> Plan {
    let last = times.last().copied().unwrap_or(Nanos::ZERO);
    let entries: Vec<Entry> = times
        .iter()
        .map(|planned| Entry {
            planned: *planned,
            asked: None,
            tier: Tier::Low,
            tokens: 49,
            reason: Reason::Uniform,
            anchor: None,
        })
        .collect();
    let tokens = 49 * entries.len() as u64;
    Plan {
        header: Header {
            schema: SCHEMA.into(),
            video_id: "frames".into(),
            duration: last + Nanos::from_ms(1000),
            budget_tokens: tokens,
            spent_tokens: tokens,
            config: serde_json::json!({}),
            candidates_per_min: 0,
        },
        anchors: Vec::new(),
        entries,
        clips: Vec::new(),
        untaken: Vec::new(),
    }
}

fn decoded(sample: &gst::Sample) -> anyhow::Result<DecodedFrame> {
    let caps = sample.caps().context("has no caps")?;
    let media = caps.structure(0).context("has empty caps")?;
    let side = |name: &str| -> anyhow::Result<u32> {
        let side = u32::try_from(media.get::<i32>(name)?)?;
        if !(1..=LARGEST).contains(&side) {
            bail!("its {name} is {side}: must be in 1..={LARGEST}");
        }
        Ok(side)
    };
    let (width, height) = (side("width")?, side("height")?);
    let buffer = sample.buffer().context("has no data")?;
    let chosen = structures::buffer_tag(buffer)
        .context("has no plan entry")?
        .context("has no plan entry")?;
    let data = buffer.map_readable().context("cannot be read")?;
    let row = width as usize * 3;
    // Rows of RGB begin at multiples of four bytes.
    let stride = row.next_multiple_of(4);
    if data.len() < stride * (height as usize - 1) + row {
        bail!("its data is too short");
    }
    let rows = data.chunks(stride).take(height as usize);
    Ok(DecodedFrame {
        asked: chosen.entry.planned,
        pts: chosen.pts,
        width,
        height,
        rgb: rows.flat_map(|line| &line[..row]).copied().collect(),
    })
}

/// Stops the graph, however it ends.
struct Playing<'a>(&'a gst::Pipeline);

impl Drop for Playing<'_> {
    fn drop(&mut self) {
        let _ = self.0.set_state(gst::State::Null);
    }
}
