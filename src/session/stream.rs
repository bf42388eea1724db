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
    /// Names of the elements that bring the video, and of those that bring the sound, if each has sources of its own.
    apart: Option<[Vec<String>; 2]>,
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
            apart: pass::apart(&pipeline.graph).map(|both| {
                let names = pipeline.graph.names();
                both.map(|is_in| {
                    let named = names.iter().zip(is_in).filter(|(_, is_in)| *is_in);
                    named.map(|(name, _)| name.clone()).collect()
                })
            }),
            pipeline: built.pipeline,
        })
    }

    /// Whether video and sound have sources of their own.
    pub(crate) fn is_apart(&self) -> bool {
        self.apart.is_some()
    }

    /// If video and sound have sources of their own: 0 if this object belongs to the video's, 1 if to the sound's.
    pub(crate) fn part_of(&self, object: &gst::Object) -> Option<usize> {
        let apart = self.apart.as_ref()?;
        let mut next = Some(object.clone());
        while let Some(object) = next {
            let name = object.name();
            if let Some(part) = apart
                .iter()
                .position(|part| part.iter().any(|one| *one == name))
            {
                return Some(part);
            }
            next = object.parent();
        }
        None
    }
}
