//! Fingerprints the recording, and holds back the output if the recording changes during the run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use anyhow::Context;
use gst::prelude::*;

use crate::failure::{Class, Failure};
use crate::recording::fingerprint::{Fingerprint, State};
use crate::recording::{Input, ProbeError};

/// The recording before anything was read; `None` if it is not a file.
pub(super) struct InputGuard {
    file: Option<(PathBuf, State, Fingerprint)>,
}

/// How the recording changed, once that is known.
#[derive(Clone, Default)]
pub(super) struct InputChange(Arc<OnceLock<(Class, String)>>);

impl InputChange {
    /// Replaces the error of a pass by one with its true class; text after the reason is kept.
    pub(super) fn instead(&self, e: anyhow::Error) -> anyhow::Error {
        let Some((class, text)) = self.0.get() else {
            return e;
        };
        let said = format!("{e:#}");
        // The error contains the guard's message, followed by what was kept.
        let said = match said.find(text.as_str()) {
            Some(at) => said.split_at(at).1.to_owned(),
            None => text.clone(),
        };
        Failure::error(*class, said)
    }
}

impl InputGuard {
    pub(super) fn new(input: &Input, whole: bool) -> anyhow::Result<Self> {
        let Some(path) = &input.path else {
            return Ok(Self { file: None });
        };
        let read = || -> std::io::Result<_> {
            let Some(state) = State::of(path)? else {
                return Ok(None);
            };
            Ok(Fingerprint::of(path, whole)?.map(|print| (path.clone(), state, print)))
        };
        let file = read().map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => ProbeError::Absent(input.given.clone()),
            _ => ProbeError::Unreadable(input.given.clone(), e),
        });
        Ok(Self { file: file? })
    }

    /// The fingerprint as file attributes.
    pub(super) fn attributes(&self) -> BTreeMap<String, String> {
        let mut attributes = BTreeMap::new();
        if let Some((_, _, print)) = &self.file {
            attributes.insert("input_ends_sha256".into(), print.ends.clone());
            if let Some(whole) = &print.whole {
                attributes.insert("input_sha256".into(), whole.clone());
            }
        }
        attributes
    }

    /// Blocks the end of the stream to `sink` if the recording has changed; otherwise calls `last` before it.
    pub(super) fn stand_before(
        self,
        sink: &gst::Element,
        last: impl Fn(&gst::Element) + Send + Sync + 'static,
    ) -> anyhow::Result<InputChange> {
        let refused = InputChange::default();
        let said = refused.clone();
        let weak = sink.downgrade();
        let pad = sink.static_pad("sink").context("featuresink has no pad")?;
        pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            let is_end = info
                .event()
                .is_some_and(|event| event.type_() == gst::EventType::Eos);
            let Some(sink) = weak.upgrade().filter(|_| is_end) else {
                return gst::PadProbeReturn::Ok;
            };
            let changed = self
                .file
                .as_ref()
                .and_then(|(path, state, _)| Some((path, state.differs(path)?)));
            if let Some((path, text)) = changed {
                let class = if path.exists() {
                    Class::InputChanged
                } else {
                    Class::InputMissing
                };
                let _ = said.0.set((class, text.clone()));
                gst::element_error!(sink, gst::ResourceError::Read, ("{text}"));
                drop(info.data.take());
                return gst::PadProbeReturn::Handled;
            }
            last(&sink);
            gst::PadProbeReturn::Ok
        });
        Ok(refused)
    }
}
