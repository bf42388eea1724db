//! The probe, the tagger and the voice detector that the properties name, ready to run.

use std::sync::Arc;

use anchoring::listener::{Listener, ListenerSettings, Patch, TagScope, TaggerAnswer};
use anchoring::onset::head::{Head, novelty};
use anchoring::onset::probe::Probe;

use super::settings::{NONE, Settings};
use crate::models::{self, Kind, Layout, ModelError, PROBES};
use crate::onnx::{self, Embedder, Tagger, Voice};

/// Longest wait of a patch for others: 32 patches.
const LONGEST_WAIT: anchoring::time::Nanos = anchoring::time::Nanos::from_ms(15_360);

/// How the probes that work on patches score one.
enum Patchwise {
    /// The highest probability of any class.
    Loudest,
    /// How far the embedding is from the previous one.
    Novelty(Option<Vec<f32>>),
    /// An embedding with a head.
    Head(Box<(Embedder, Head)>),
}

/// The models, and patches that wait for the tagger.
pub(super) struct SoundModels {
    hearing: ListenerSettings,
    tagger: Option<Tagger>,
    voice: Option<Voice>,
    patchwise: Option<Patchwise>,
    /// Patches that go through the tagger together; `held` waits until there are as many.
    batch: usize,
    held: Vec<Patch>,
    latency: anchoring::time::Nanos,
    /// Whether cues are wanted before they are final.
    early: bool,
}

/// Checks the settings without loading a model; returns the manifest of a probe that has one.
///
/// # Errors
/// A name is unknown, or settings contradict each other.
pub(super) fn hearing(
    settings: &Settings,
) -> Result<(ListenerSettings, Option<models::Manifest>), ModelError> {
    let mut embedding = None;
    let learned = |make: fn(Arc<models::Weights>) -> Probe| {
        let probe = make(Arc::new(models::load_weights(&settings.weights)?));
        match probe.unsupported() {
            Some(lack) => Err(ModelError::Probe(lack)),
            None => Ok(probe),
        }
    };
    let probe = match settings.probe.as_str() {
        "energy" => Probe::Energy,
        "flux" => Probe::Flux,
        "onset" => learned(Probe::Onset)?,
        "onset+tcn" => learned(Probe::OnsetTcn)?,
        "tagger" | "tagger-novelty" if settings.tagger == NONE => {
            return Err(ModelError::Probe(format!(
                "probe {} needs a tagger, but `tagger` is none: set one, such as yamnet",
                settings.probe
            )));
        }
        "tagger" | "tagger-novelty" => Probe::Patches,
        name => {
            let manifest = models::find(name).map_err(|error| match error {
                ModelError::Unknown { .. } => ModelError::Probe(format!(
                    "unknown probe `{name}`: it must be {}, or a model of kind probe (`earmark models` lists them)",
                    PROBES.join(", ")
                )),
                error => error,
            })?;
            embedding = Some(manifest.of_kind(Kind::Probe)?);
            Probe::Patches
        }
    };
    let window = embedding
        .as_ref()
        .filter(|manifest| manifest.input.layout == Layout::Nt)
        .and_then(|manifest| manifest.input.samples);
    let hearing = ListenerSettings {
        probe,
        tag_scope: match settings.tagger.as_str() {
            NONE => TagScope::Nothing,
            _ => settings.tagging.into(),
        },
        patch_samples: window.unwrap_or(0),
        voices: settings.vad != NONE,
        speech: settings.speech.into(),
    };
    Ok((hearing, embedding))
}

/// How long cues lag behind the sound, without loading a model.
pub(super) fn latency(settings: &Settings) -> anchoring::time::Nanos {
    let hearing = hearing(settings).map(|(hearing, _)| hearing);
    waits(&hearing.unwrap_or_default(), settings.batch)
}

/// How far the probe hears ahead, without loading a model.
pub(super) fn hears_ahead(settings: &Settings) -> anchoring::time::Nanos {
    let hearing = hearing(settings).map(|(hearing, _)| hearing);
    Listener::new(anchoring::time::Nanos::ZERO, &hearing.unwrap_or_default()).hears_ahead()
}

fn waits(hearing: &ListenerSettings, batch: u32) -> anchoring::time::Nanos {
    let own = Listener::new(anchoring::time::Nanos::ZERO, hearing).latency();
    match batch {
        0 | 1 => own,
        _ => own + LONGEST_WAIT,
    }
}

impl SoundModels {
    /// Loads what the settings name.
    ///
    /// # Errors
    /// A model is unknown, altered or of the wrong kind, or settings contradict each other.
    pub(super) fn load(settings: &Settings) -> Result<Self, ModelError> {
        let threads = settings.threads as usize;
        let (hearing, embedding) = hearing(settings)?;
        let tagger = (settings.tagger != NONE)
            .then(|| onnx::load_tagger(&settings.tagger, threads))
            .transpose()?;
        let many = tagger.as_ref().is_some_and(Tagger::takes_many);
        let batch = if many { settings.batch.max(1) } else { 1 } as usize;
        let voice = (settings.vad != NONE)
            .then(|| onnx::load_voice(&settings.vad))
            .transpose()?;
        let patchwise = match settings.probe.as_str() {
            "tagger" => Some(Patchwise::Loudest),
            "tagger-novelty" => Some(Patchwise::Novelty(None)),
            name if embedding.is_some() => {
                Some(Patchwise::Head(Box::new(onnx::load_probe(name, threads)?)))
            }
            _ => None,
        };
        Ok(Self {
            latency: waits(&hearing, settings.batch),
            early: settings.early_cues,
            hearing,
            tagger,
            voice,
            patchwise,
            batch,
            held: Vec::new(),
        })
    }

    /// Like [`latency`], of these models.
    pub(super) const fn latency(&self) -> anchoring::time::Nanos {
        self.latency
    }

    /// Whether cues are wanted before they are final.
    pub(super) const fn early(&self) -> bool {
        self.early
    }

    /// A new listener for sound that begins at `start`; the models forget the sound before.
    pub(super) fn listener(&mut self, start: anchoring::time::Nanos) -> Listener {
        if let Some(voice) = &mut self.voice {
            voice.reset();
        }
        if let Some(Patchwise::Novelty(before)) = &mut self.patchwise {
            *before = None;
        }
        self.held.clear();
        Listener::new(start, &self.hearing)
    }

    /// Runs the models on every patch and chunk that the listener has ready; returns the number of patches. Until the sound has `ended`,
    /// patches may wait for others; their times alone decide which run together.
    pub(super) fn answer(
        &mut self,
        listener: &mut Listener,
        ended: bool,
    ) -> Result<u64, ModelError> {
        let mut patches = 0;
        while let Some(patch) = listener.next_patch() {
            if self.overdue(patch.pts) {
                self.answer_held(listener)?;
            }
            patches += 1;
            match (&self.tagger, &self.patchwise) {
                (Some(_), None) => self.held.push(patch),
                _ => listener.push_answer(self.judge(&patch)?),
            }
            if self.held.len() == self.batch {
                self.answer_held(listener)?;
            }
        }
        if ended || self.overdue(listener.undecided()) {
            self.answer_held(listener)?;
        }
        if let Some(voice) = &mut self.voice {
            while let Some(chunk) = listener.next_voice_chunk() {
                listener.push_voice(voice.hear(&chunk)?);
            }
        }
        Ok(patches)
    }

    /// Whether the oldest waiting patch must go now.
    fn overdue(&self, now: anchoring::time::Nanos) -> bool {
        let oldest = self.held.first();
        oldest.is_some_and(|oldest| now - oldest.pts >= LONGEST_WAIT)
    }

    fn answer_held(&mut self, listener: &mut Listener) -> Result<(), ModelError> {
        let held = std::mem::take(&mut self.held);
        let Some(tagger) = self.tagger.as_mut().filter(|_| !held.is_empty()) else {
            return Ok(());
        };
        let log_mels: Vec<f32> = held
            .iter()
            .flat_map(|patch| &patch.log_mel)
            .copied()
            .collect();
        for (tags, speech) in tagger.tag_all(held.len(), &log_mels)? {
            listener.push_answer(TaggerAnswer {
                tags,
                speech,
                onset: None,
            });
        }
        Ok(())
    }

    fn judge(&mut self, patch: &Patch) -> Result<TaggerAnswer, ModelError> {
        let (tags, speech) = match &mut self.tagger {
            Some(tagger) => tagger.tag(&patch.log_mel)?,
            None => Default::default(),
        };
        let onset = match (&mut self.patchwise, &mut self.tagger) {
            (Some(Patchwise::Loudest), _) => tags.first().map(|tag| tag.p),
            (Some(Patchwise::Novelty(before)), Some(tagger)) => {
                let now = tagger.embed(&patch.log_mel)?;
                let p = before.as_ref().map_or(0.0, |before| novelty(before, &now));
                *before = Some(now);
                Some(p)
            }
            (Some(Patchwise::Head(probe)), _) => {
                let (embedder, head) = probe.as_mut();
                Some(head.judge(&embedder.embed(&patch.log_mel, &patch.samples)?))
            }
            _ => None,
        };
        Ok(TaggerAnswer {
            tags,
            speech,
            onset,
        })
    }
}
