//! Builds the graph of an endless stream for `earmark live`; the caller says where it writes.

use anyhow::Context;
use gst::prelude::*;

use super::pass::{self, Pass};
use super::{build, cores, memory};
use crate::files;
use crate::pipeline::Pipeline;
use crate::recording::Input;
use gstearmark::models;

/// The graph, and the elements that a supervisor watches.
pub(crate) struct Stream {
    /// All of it, not yet started.
    pub pipeline: gst::Pipeline,
    /// Encoded frames arrive at its pad `video`.
    pub gate: gst::Element,
    /// Sound arrives at it, if anything listens.
    pub ears: Option<gst::Element>,
    /// Writes the files.
    pub sink: gst::Element,
}

impl Stream {
    /// Builds the graph of a pipeline that plans as it goes. `about`: the origin that its files record. `hears`, `sees`: whether to play the
    /// sound and the video.
    ///
    /// # Errors
    /// GStreamer cannot build it, or a model is missing.
    pub(crate) fn build(
        pipeline: &Pipeline,
        input: &Input,
        about: &str,
        threads: Option<u32>,
        hears: bool,
        sees: bool,
    ) -> anyhow::Result<Self> {
        memory::share();
        let part = if sees { Pass::Stream } else { Pass::Cues };
        let choice = pass::choose(&pipeline.graph, part, sees, hears);
        let built = build::build(pipeline, input, &choice, 0, false)?;
        build::divide(&built.pipeline, cores(threads), 1920 * 1080, 1);
        // A lost frame is counted as missed.
        built.pipeline.connect_deep_element_added(|_, _, element| {
            if element.find_property("output-corrupt").is_some() {
                element.set_property("output-corrupt", false);
            }
        });
        let gate = built
            .element("anchorgate")
            .context("the graph has no anchorgate")?;
        let sink = built
            .element("featuresink")
            .context("the graph has no featuresink")?;
        if let Some(tagger) = &pipeline.tagger
            && let Some(classes) = models::find(tagger)?.classes_path()
        {
            gate.set_property("classes", files::text_of(&classes)?);
        }
        sink.set_property("input-uri", about);
        sink.set_property("config", pipeline.config.to_string());
        sink.set_property("tagger", pipeline.tagger.as_deref().unwrap_or("none"));
        if let Some(named) = pipeline.listening() {
            let notes = models::notes::of_audio(named)?;
            sink.set_property("models", serde_json::to_string(&notes)?);
        }
        Ok(Self {
            gate,
            ears: built.element("eventness"),
            sink,
            pipeline: built.pipeline,
        })
    }
}
