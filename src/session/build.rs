//! Builds GStreamer elements for a pass: variables, sections, and links that wait for a pad.

use std::sync::{Arc, Mutex, PoisonError};

use anchoring::planning::clips::FrameSpacing;
use anyhow::{Context, anyhow};
use gst::prelude::*;

use super::pass::{PassGraph, Role};
use crate::files;
use crate::pipeline::Pipeline;
use crate::pipeline::launch::Graph;
use crate::pipeline::reference::GLOBAL_ONLY;
use crate::recording::{Input, ProbeError};

/// What a queue holds at most, ns: unless the graph says otherwise; and before the gate where no sound has to keep up with the video, of which a
/// second is megabytes.
const QUEUE: u64 = 1_000_000_000;
const QUEUE_OF_VIDEO_ALONE: u64 = QUEUE / 5;

/// A built graph, not yet started.
pub(super) struct Built {
    /// The whole graph.
    pub pipeline: gst::Pipeline,
    /// The element whose output would go to the gate's `video` pad.
    pub measured: Option<gst::Element>,
    /// The element whose output is cues.
    pub heard: Option<gst::Element>,
    /// The plan file: its name for the gate, and its name in messages.
    pub plan: Option<(String, String)>,
}

impl Built {
    /// The first element of this factory.
    pub(super) fn element(&self, factory: &str) -> Option<gst::Element> {
        self.elements(factory).next()
    }

    /// All elements of this factory.
    pub(super) fn elements(&self, factory: &str) -> impl Iterator<Item = gst::Element> {
        let found = self.pipeline.iterate_all_by_element_factory_name(factory);
        found.into_iter().flatten()
    }
}

/// A link whose source pad does not exist yet.
struct PendingLink {
    role: Role,
    /// The pad's name, if the graph gives one.
    pad: Option<String>,
    caps: Option<gst::Caps>,
    to: gst::Element,
    to_pad: Option<String>,
    done: bool,
}

/// Builds a part of a pipeline for one recording.
pub(super) fn build(
    pipeline: &Pipeline,
    input: &Input,
    choice: &PassGraph,
    audio_track: usize,
    images: bool,
) -> anyhow::Result<Built> {
    let graph = &pipeline.graph;
    let names = graph.names();
    let later = |link: usize| {
        appears_later(
            &graph.nodes[graph.links[link].from.node].factory,
            graph.links[link].from.pad.as_deref(),
        )
    };
    let text = graph.text(
        |node| choice.nodes[node],
        |link| choice.links[link] && !later(link),
    );
    tracing::debug!("building\n{text}");
    let built = gst::parse::launch_full(&text, None, gst::ParseFlags::FATAL_ERRORS)
        .map_err(|e| anyhow!("GStreamer cannot build the graph: {}", e.message()))?;
    let built = match built.downcast::<gst::Pipeline>() {
        Ok(built) => built,
        Err(single) => {
            let whole = gst::Pipeline::new();
            whole.add(&single)?;
            whole
        }
    };
    let element = |node: usize| built.by_name(&names[node]);
    fill(pipeline, input, &built)?;
    sections(pipeline, &built)?;

    for (node, name) in names
        .iter()
        .enumerate()
        .filter(|(node, _)| choice.nodes[*node])
    {
        let waiting = (0..graph.links.len()).filter(|link| {
            choice.links[*link] && later(*link) && graph.links[*link].from.node == node
        });
        let mut links = Vec::new();
        for index in waiting {
            let link = &graph.links[index];
            let caps = link.caps.as_ref().map(|caps| {
                caps.trim_matches(|c| c == '"' || c == '\'')
                    .parse::<gst::Caps>()
            });
            links.push(PendingLink {
                role: choice.roles[index],
                pad: link.from.pad.clone(),
                caps: caps
                    .transpose()
                    .with_context(|| format!("caps filter behind {name}"))?,
                to: element(link.to.node)
                    .with_context(|| format!("{} is not in the graph", names[link.to.node]))?,
                to_pad: link.to.pad.clone(),
                done: false,
            });
        }
        // The track is chosen where the streams part; further down there is only one.
        let above = graph.above(node);
        let is_chosen = |link: usize| {
            choice.roles[link] == Role::Audio && later(link) && graph.links[link].from.node != node
        };
        let parted = (0..graph.links.len())
            .any(|link| above[graph.links[link].from.node] && is_chosen(link));
        if let Some(source) = element(node).filter(|_| !links.is_empty()) {
            let audio_track = if parted { 0 } else { audio_track };
            link_later(&source, links, audio_track, images, &input.given);
        }
    }
    if choice.short {
        let gate = graph.find("anchorgate").and_then(element);
        let sink = graph.find("featuresink").and_then(element);
        if let (Some(gate), Some(sink)) = (gate, sink) {
            gate.link(&sink)
                .context("anchorgate does not link to featuresink")?;
        }
    }
    shorten_queues(graph, choice, element);
    let source = |link: Option<usize>| link.and_then(|link| element(graph.links[link].from.node));
    Ok(Built {
        measured: source(choice.measured),
        heard: source(choice.heard),
        plan: None,
        pipeline: built,
    })
}

/// Before the gate, where nothing but the video goes there, queues need not hold a second.
fn shorten_queues(
    graph: &Graph,
    choice: &PassGraph,
    element: impl Fn(usize) -> Option<gst::Element>,
) {
    let Some(gate) = graph.find("anchorgate").filter(|_| choice.video_alone) else {
        return;
    };
    let above = graph.above(gate);
    let is_queue =
        |node: &usize| above[*node] && choice.nodes[*node] && graph.nodes[*node].factory == "queue";
    let queues = (0..graph.nodes.len()).filter(is_queue).filter_map(element);
    for queue in queues.filter(|queue| queue.property::<u64>("max-size-time") == QUEUE) {
        queue.set_property("max-size-time", QUEUE_OF_VIDEO_ALONE);
    }
}

/// Whether this source pad appears only when data flows.
fn appears_later(factory: &str, pad: Option<&str>) -> bool {
    let Some(factory) = gst::ElementFactory::find(factory) else {
        return false;
    };
    let templates = factory.static_pad_templates();
    let named = |template: &&gst::StaticPadTemplate| match (
        pad,
        template.name_template().split_once('%'),
    ) {
        (None, _) => true,
        (Some(pad), Some((prefix, _))) => pad.starts_with(prefix),
        (Some(pad), None) => pad == template.name_template(),
    };
    let is_source =
        |template: &&gst::StaticPadTemplate| template.direction() == gst::PadDirection::Src;
    let sources: Vec<_> = templates.iter().filter(is_source).filter(named).collect();
    !sources.is_empty()
        && sources
            .iter()
            .all(|template| template.presence() == gst::PadPresence::Sometimes)
}

/// Links pads as they appear: video to the video branch, the chosen audio track to the audio branch.
fn link_later(
    source: &gst::Element,
    links: Vec<PendingLink>,
    audio_track: usize,
    images: bool,
    name_of_input: &str,
) {
    let given = name_of_input.to_owned();
    let links = Arc::new(Mutex::new((links, 0_usize)));
    source.connect_pad_added(move |source, pad| {
        if pad.direction() != gst::PadDirection::Src {
            return;
        }
        let mut guard = links.lock().unwrap_or_else(PoisonError::into_inner);
        let (links, audio_seen) = &mut *guard;
        let carries = role(pad, images);
        let is_chosen = carries != Role::Audio || *audio_seen == audio_track;
        *audio_seen += usize::from(carries == Role::Audio);
        let name = pad.name();
        let fits = |link: &PendingLink| {
            !link.done
                && match &link.pad {
                    Some(wanted) => *wanted == name,
                    None => link.role == Role::Other || link.role == carries && is_chosen,
                }
        };
        for link in links.iter_mut().filter(|link| fits(link)) {
            match connect(source, pad, link) {
                Ok(()) => {
                    link.done = true;
                    return;
                }
                // Another stream may fit; a stream that fits nothing does not matter.
                Err(e) if link.role == Role::Other => tracing::debug!("{name} does not fit: {e}"),
                Err(_) if link.role == Role::Video => {
                    let text = not_taken(pad, &given);
                    gst::element_error!(source, gst::StreamError::CodecNotFound, ("{text}"));
                    return;
                }
                Err(e) => {
                    gst::element_error!(source, gst::StreamError::Format, ["{e}"]);
                    return;
                }
            }
        }
        tracing::debug!("{}.{name} is linked to nothing", source.name());
    });
}

/// Why no video reaches the gate, and what helps.
fn not_taken(pad: &gst::Pad, given: &str) -> String {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    let media = caps.structure(0).map(|s| s.name().as_str());
    let codec = match media {
        Some(_) if caps.is_fixed() => gst_pbutils::pb_utils_get_codec_description(&caps).into(),
        _ => String::from("video of unknown kind"),
    };
    format!(
        "{codec} ({}) is not a format that the gate takes: {}",
        media.unwrap_or("unknown"),
        crate::recording::conversion(given)
    )
}

/// The media type of a pad, by its stream or its caps. With `images`, image formats count as video.
fn role(pad: &gst::Pad, images: bool) -> Role {
    let current = pad.current_caps();
    // A stream keeps the caps that it had before a tag was stripped, such as application/x-id3.
    let stream = || pad.stream().and_then(|stream| stream.caps());
    let found = current.or_else(stream).map(|caps| role_of(&caps, images));
    match found {
        Some(role) if role != Role::Other => role,
        _ => role_of(&pad.query_caps(None), images),
    }
}

fn role_of(caps: &gst::Caps, images: bool) -> Role {
    let structure = caps.structure(0);
    let kind = match structure.filter(|s| s.name() == "application/x-rtp") {
        Some(packets) => packets.get::<&str>("media").ok(),
        None => structure.and_then(|s| s.name().split('/').next()),
    };
    match kind {
        Some("video") => Role::Video,
        Some("image") if images => Role::Video,
        Some("audio") => Role::Audio,
        _ => Role::Other,
    }
}

fn connect(source: &gst::Element, pad: &gst::Pad, link: &PendingLink) -> anyhow::Result<()> {
    let caps = || {
        pad.current_caps()
            .map_or_else(|| "unknown data".into(), |caps| caps.to_string())
    };
    let fails = || {
        format!(
            "{} gives {}, which does not fit {}",
            source.name(),
            caps(),
            link.to.name()
        )
    };
    let mut pad = pad.clone();
    if let Some(filter) = &link.caps {
        let bin = source
            .parent()
            .and_downcast::<gst::Bin>()
            .context("the source is in no bin")?;
        let element = gst::ElementFactory::make("capsfilter")
            .property("caps", filter)
            .build()?;
        bin.add(&element)?;
        element.sync_state_with_parent()?;
        let sink = element
            .static_pad("sink")
            .context("capsfilter has no sink")?;
        pad.link(&sink).with_context(fails)?;
        pad = element
            .static_pad("src")
            .context("capsfilter has no source")?;
    }
    let to = match &link.to_pad {
        Some(name) => link
            .to
            .static_pad(name)
            .or_else(|| link.to.request_pad_simple(name)),
        None => link.to.compatible_pad(&pad, None),
    };
    pad.link(&to.with_context(fails)?).with_context(fails)?;
    Ok(())
}

/// Sets every property with a variable's marker to the variable's value.
fn fill(pipeline: &Pipeline, input: &Input, built: &gst::Pipeline) -> anyhow::Result<()> {
    for element in built
        .iterate_elements()
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
    {
        for spec in element.list_properties().iter() {
            let writable = spec.flags().contains(gst::glib::ParamFlags::READWRITE);
            if !writable || spec.value_type() != gst::glib::Type::STRING {
                continue;
            }
            let Some(text) = element.property::<Option<String>>(spec.name()) else {
                continue;
            };
            let mut filled = text.clone();
            for slot in pipeline
                .slots
                .iter()
                .filter(|slot| text.contains(&slot.marker))
            {
                let value = match (slot.name.as_str(), &slot.value) {
                    ("input", _) if spec.name() == "uri" => input.uri.clone(),
                    ("input", _) => match &input.path {
                        Some(path) if path.to_str().is_none() => {
                            by_uri(&element, input)?;
                            filled.clone_from(&text);
                            break;
                        }
                        Some(path) => files::text_of(path)?.to_owned(),
                        None if element.factory().is_some_and(|f| f.name() == "filesrc") => {
                            remote(built, &element, input)?;
                            String::new()
                        }
                        None => input.uri.clone(),
                    },
                    (_, Some(value)) => value.clone(),
                    // `output` is filled in by the pass that writes.
                    (_, None) => slot.marker.clone(),
                };
                filled = filled.replace(&slot.marker, &value);
            }
            if filled != text && element.parent().is_some() {
                element.set_property(spec.name(), filled);
            }
        }
    }
    Ok(())
}

/// Sets a source to a file whose name is not UTF-8.
fn by_uri(element: &gst::Element, input: &Input) -> anyhow::Result<()> {
    let name = element.name();
    element
        .dynamic_cast_ref::<gst::URIHandler>()
        .with_context(|| format!("{} is not UTF-8, and {name} takes no URI", input.given))?
        .set_uri(&input.uri)
        .with_context(|| format!("{name} does not take {}", input.uri))
}

/// Most decoder threads: more are rarely busy.
const MOST_DECODING: u32 = 8;
/// Most pixels that a decoder may hold in memory: twenty frames of 3840 x 2160.
const MOST_PIXELS: u64 = 20 * 3840 * 2160;
/// Frames that it holds anyway (measured), including those it has output.
const HELD_FRAMES: u64 = 15;
/// Further frames per thread.
const FRAMES_PER_THREAD: u64 = 4;
/// Most encoder threads: a batch is too small for more.
const MOST_ENCODING: u32 = 16;

/// Decoder threads for this number of cores and pixels, at least `least`. Decoder and encoder run at the same time, and which of them has more
/// to do depends on the recording: on few cores each may use all, on many the encoder gets half.
pub(super) fn decoding(cores: u32, pixels: u64, least: u32) -> u32 {
    let frames = (MOST_PIXELS / pixels.max(1)).saturating_sub(HELD_FRAMES);
    let most = (frames / FRAMES_PER_THREAD).clamp(1, MOST_DECODING.into());
    cores.clamp(1, most as u32).max(least)
}

/// Encoder threads.
fn encoding(cores: u32) -> u32 {
    (cores / 2).max(cores.min(2)).clamp(1, MOST_ENCODING)
}

/// Divides the cores among decoders and encoder, unless the pipeline sets their threads.
pub(super) fn divide(built: &gst::Pipeline, cores: u32, pixels: u64, least: u32) {
    let (decoding, encoding) = (decoding(cores, pixels, least), encoding(cores));
    let limit = move |element: &gst::Element| {
        let Some(factory) = element.factory() else {
            return;
        };
        let decodes = factory.has_type(gst::ElementFactoryType::DECODER);
        let threads = match factory.name().as_str() {
            "featuresink" => encoding,
            _ if decodes => decoding,
            _ => return,
        };
        for (name, kind) in [
            ("threads", gst::glib::Type::U32),
            ("max-threads", gst::glib::Type::I32),
            ("n-threads", gst::glib::Type::U32),
        ] {
            let spec = element.find_property(name);
            let Some(spec) = spec.filter(|spec| spec.value_type() == kind) else {
                continue;
            };
            let number =
                |value: &gst::glib::Value| value.transform::<i64>().ok()?.get::<i64>().ok();
            if number(&element.property_value(name)) == number(spec.default_value()) {
                element.set_property_from_str(name, &threads.to_string());
            }
        }
    };
    for element in built.iterate_recurse().into_iter().flatten() {
        limit(&element);
    }
    built.connect_deep_element_added(move |_, _, element| limit(element));
}

/// Replaces a file source by the source for this URI.
fn remote(built: &gst::Pipeline, file: &gst::Element, input: &Input) -> anyhow::Result<()> {
    let source = gst::Element::make_from_uri(gst::URIType::Src, &input.uri, None).map_err(|e| {
        let scheme = input.uri.split(':').next().unwrap_or_default();
        anyhow!("{}: no element here reads {scheme}:// ({}); gstreamer1.0-plugins-good and -bad bring most sources", input.given, e.message())
    })?;
    if source.static_pad("src").is_none() {
        return Err(ProbeError::Live(input.given.clone(), input.uri.clone()).into());
    }
    let next = file
        .static_pad("src")
        .and_then(|pad| pad.peer())
        .context("the source is not linked")?;
    built.remove(file)?;
    built.add(&source)?;
    source
        .static_pad("src")
        .context("the source has no pad")?
        .link(&next)
        .context("the source does not fit")?;
    Ok(())
}

/// Applies the sections as properties.
fn sections(pipeline: &Pipeline, built: &gst::Pipeline) -> anyhow::Result<()> {
    let find = |factory: &str| {
        built
            .iterate_all_by_element_factory_name(factory)
            .into_iter()
            .flatten()
            .next()
    };
    for (factory, values) in [
        ("eventness", &pipeline.ears),
        ("anchorgate", &pipeline.gate),
        ("featuresink", &pipeline.features),
    ] {
        if let Some(element) = find(factory) {
            for (name, value) in values {
                element.set_property_from_str(name, value);
            }
        }
    }
    let Some(gate) = find("anchorgate") else {
        return Ok(());
    };
    let settings = serde_json::to_value(&pipeline.settings)?;
    for (name, value) in settings
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(_, section)| section.as_object())
        .flatten()
        // Only the command knows the recording before it plans.
        .filter(|(name, _)| GLOBAL_ONLY.iter().all(|(only, _)| only != name))
    {
        if name == "class_offset_ms" {
            // Names may contain what GStreamer would parse as something else.
            let by_class = &pipeline.settings.anchors.class_offset_ms;
            gate.set_property(
                "class-offset-ms",
                anchoring::anchor::offset::to_text(by_class),
            );
            continue;
        }
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        gate.set_property_from_str(&name.replace('_', "-"), &text);
    }
    for tier in anchoring::tier::Tier::ALL {
        gate.set_property_from_str(
            &format!("price-{tier}"),
            &pipeline.prices.of(tier).to_string(),
        );
    }
    if let Some(clip) = pipeline.clip {
        gate.set_property("clip-frames", clip.frames);
        match clip.every {
            FrameSpacing::Frames(n) => gate.set_property("clip-every-frames", n),
            FrameSpacing::Time(time) => gate.set_property("clip-every-ms", time.get() as f64 / 1e6),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{At, launch};
    use crate::session::pass::{Pass, choose};

    #[test]
    fn a_pad_carries_what_its_caps_say_whatever_its_stream_was_before() {
        gst::init().unwrap();
        let caps: gst::Caps = "audio/mpeg, mpegversion=1".parse().unwrap();
        let template = gst::PadTemplate::new(
            "src",
            gst::PadDirection::Src,
            gst::PadPresence::Always,
            &caps,
        )
        .unwrap();
        let pad = gst::Pad::from_template(&template);
        pad.set_active(true).unwrap();
        let tagged = gst::Stream::new(
            Some("mp3"),
            Some(&gst::Caps::new_empty_simple("application/x-id3")),
            gst::StreamType::UNKNOWN,
            gst::StreamFlags::empty(),
        );
        let start = gst::event::StreamStart::builder("mp3").stream(tagged);
        pad.push_event(start.build());
        assert_eq!(role(&pad, false), Role::Audio);
    }

    #[test]
    fn queues_are_short_where_the_video_is_alone() {
        gst::init().unwrap();
        let text = "filesrc ! parsebin name=demux  demux. ! queue ! gate.video
            demux. ! queue ! decodebin ! eventness ! gate.cues
            anchorgate name=gate ! decodebin ! framepick ! queue ! featuresink";
        let (graph, problems) = launch::parse(text, At { line: 1, column: 1 });
        assert_eq!(problems, []);
        let seconds = |part, given: u64| {
            let choice = choose(&graph, part, true, true);
            let made = |_| gst::ElementFactory::make("queue").property("max-size-time", given);
            let all: Vec<_> = (0..graph.nodes.len())
                .map(|node| made(node).build().unwrap())
                .collect();
            shorten_queues(&graph, &choice, |node| all.get(node).cloned());
            let is_queue = |node: &usize| graph.nodes[*node].factory == "queue";
            let queues = (0..all.len()).filter(is_queue).map(|node| &all[node]);
            let lengths = queues.map(|queue| queue.property::<u64>("max-size-time"));
            lengths.collect::<Vec<_>>()
        };
        let alone = Pass::Extract { listen: false };
        assert_eq!(seconds(alone, QUEUE), [QUEUE_OF_VIDEO_ALONE, QUEUE, QUEUE]);
        // What the graph says stays, and so do queues beside which sound waits.
        assert_eq!(seconds(alone, 3 * QUEUE), [3 * QUEUE; 3]);
        for part in [Pass::Extract { listen: true }, Pass::Stream] {
            assert_eq!(seconds(part, QUEUE), [QUEUE; 3]);
        }
    }

    #[test]
    fn cores_are_shared_on_small_and_on_large_machines() {
        let share = |cores| (decoding(cores, 1920 * 1080, 1), encoding(cores));
        let shares = [1, 2, 4, 8, 16, 64].map(share);
        assert_eq!(shares, [(1, 1), (2, 2), (4, 2), (8, 4), (8, 8), (8, 16)]);
        let large = [1, 2, 64].map(|cores| decoding(cores, 3840 * 2160, 1));
        assert_eq!(large, [1, 1, 1]);
        assert_eq!([0, u64::MAX].map(|pixels| decoding(64, pixels, 1)), [8, 1]);
        assert_eq!([1, 4].map(|cores| decoding(cores, u64::MAX, 2)), [2, 2]);
    }
}
