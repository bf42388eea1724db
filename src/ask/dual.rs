//! How much frames look like a question: a dual encoder's image half and its text half.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anchoring::tier::Tier;
use anchoring::time::Nanos;
use anyhow::{Context, anyhow, bail};
use gstearmark::featuresink::prepared;
use gstearmark::models::{Kind, ModelError};
use gstearmark::onnx::{self, Device, Encoder};

use super::choose;
use super::pool::Pool;
use crate::session;
use crate::stop::Stop;
use crate::text_encoder::{TextEncoder, cosine};

/// Most frames whose vectors are kept.
const MOST_KEPT: usize = 100_000;

/// Both halves.
pub(super) struct Dual {
    image: Encoder,
    text: TextEncoder,
    /// Vectors of frames, by recording and time.
    kept: HashMap<(usize, Nanos), Vec<f32>>,
    /// Most frames to look at for one question.
    most: usize,
    stall: Duration,
    stop: Stop,
}

impl Dual {
    /// Loads both halves by the names or paths of their manifests.
    ///
    /// # Errors
    /// One cannot be loaded, is of another kind, or their vectors differ in size.
    pub(super) fn load(
        [image, text]: [&str; 2],
        most: usize,
        stall: Duration,
        stop: Stop,
    ) -> anyhow::Result<Self> {
        let image = onnx::load_encoder(image, 1, Device::default())?;
        if image.manifest().kind != Kind::Encoder {
            bail!(ModelError::Kind {
                name: image.manifest().name.clone(),
                is: image.manifest().kind,
                wanted: Kind::Encoder,
            });
        }
        let text = TextEncoder::load(text)?;
        let of_text = text.manifest().output.dim;
        if image.dim() != of_text {
            bail!(
                "--dual-encoder: {} gives {} numbers a frame and {} {of_text} a text: both must be halves of one model",
                image.manifest().name,
                image.dim(),
                text.manifest().name
            );
        }
        Ok(Self {
            image,
            text,
            kept: HashMap::new(),
            most,
            stall,
            stop,
        })
    }

    /// Forgets frames; from here on, recordings are numbered anew.
    pub(super) fn clear(&mut self) {
        self.kept.clear();
    }

    /// Candidates, each with the likeness of its frame to the question. Of more candidates than may be looked at, those that a localizer
    /// would be asked about.
    ///
    /// # Errors
    /// A frame cannot be decoded, or a model fails.
    pub(super) fn scores(
        &mut self,
        pool: &Pool<'_>,
        question: &str,
    ) -> anyhow::Result<Vec<(usize, f64)>> {
        let asked = self.text.vector(question)?.to_vec();
        let chosen = choose::for_localizer(pool, self.most);
        let mut missing: BTreeMap<usize, Vec<Nanos>> = BTreeMap::new();
        for at in &chosen {
            let candidate = pool.candidates[*at];
            if !self.kept.contains_key(&(candidate.recording, candidate.at)) {
                let times = missing.entry(candidate.recording).or_default();
                times.push(candidate.at);
            }
        }
        if self.kept.len() > MOST_KEPT {
            self.kept.clear();
            return self.scores(pool, question);
        }
        for (recording, times) in missing {
            let (stall, stop) = (self.stall, self.stop.clone());
            let video = &pool.heard[recording].video;
            session::frames(video, &times, stall, &stop, |frame| {
                let px = self.image.tier(Tier::Base).map_or(224, |tier| tier.px);
                let size = (frame.width as usize, frame.height as usize);
                let numbers = prepared(size, &frame.rgb, px, &self.image.manifest().input)
                    .map_err(|e| anyhow!(e))
                    .with_context(|| format!("a frame of {}", video.display()))?;
                let vector = self.image.encode(1, px, &numbers, <[f32]>::to_vec)?;
                let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
                let unit = vector.iter().map(|x| x / length.max(1e-12)).collect();
                self.kept.insert((recording, frame.asked), unit);
                Ok(())
            })?;
        }
        let score = |at: usize| {
            let candidate = pool.candidates[at];
            let vector = self.kept.get(&(candidate.recording, candidate.at))?;
            Some((at, cosine(&asked, vector)))
        };
        // Where there is no frame, at the end of some recordings, there is no score.
        Ok(chosen.into_iter().filter_map(score).collect())
    }
}
