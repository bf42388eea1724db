//! What strategies score candidates with, loaded once: words for sounds, and the models: a text encoder, a dual encoder, a localizer head.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

use super::choose::AnchorFits;
use super::dual::Dual;
use super::head::Head;
use super::meaning;
use super::pool::Pool;
use super::sounds::Sounds;
use super::stored::{self, Stored};
use crate::cli::{Sampling, SelectionArgs};
use crate::failure::Usage;
use crate::stop::Stop;
use crate::text_encoder::TextEncoder;

/// Words for sounds, and the models. Each model keeps what it has computed.
pub(crate) struct Scorers {
    pub(super) sounds: Sounds,
    text: Option<RefCell<TextEncoder>>,
    dual: Option<RefCell<Dual>>,
    head: Option<Head>,
    /// The features that were read last.
    stored: RefCell<Option<(PathBuf, Stored)>>,
}

impl Scorers {
    /// Loads what the arguments name.
    ///
    /// # Errors
    /// The list of sounds cannot be read, or a model cannot be loaded.
    pub(super) fn new(selection: &SelectionArgs, stop: Stop) -> anyhow::Result<Self> {
        let text = selection.text_encoder.as_deref().map(TextEncoder::load);
        let dual = match &selection.dual_encoder[..] {
            [] => None,
            [image, text] => Some(Dual::load(
                [image, text],
                selection.dual_frames as usize,
                Duration::from_secs(selection.stall_timeout),
                stop,
            )?),
            given => {
                return Err(Usage(format!(
                    "--dual-encoder names {} models: must name two, the image half and the text half, with a comma between",
                    given.len()
                ))
                .into());
            }
        };
        let head = selection.localizer_head.as_deref().map(Head::read);
        Ok(Self {
            sounds: Sounds::read(selection.sounds.as_deref())?,
            text: text.transpose()?.map(RefCell::new),
            dual: dual.map(RefCell::new),
            head: head.transpose()?,
            stored: RefCell::new(None),
        })
    }

    /// Forgets frames; from here on, recordings are numbered anew.
    pub(super) fn clear(&mut self) {
        if let Some(dual) = &mut self.dual {
            dual.get_mut().clear();
        }
    }

    /// How well the sounds of a pool fit a question.
    ///
    /// # Errors
    /// The text encoder fails.
    pub(crate) fn fits(&self, pool: &Pool<'_>, question: &str) -> anyhow::Result<AnchorFits> {
        match &self.text {
            Some(text) => meaning::fits(pool, &mut text.borrow_mut(), &self.sounds, question),
            None => Ok(AnchorFits::new(pool, &self.sounds, question)),
        }
    }

    /// The strategy that really chooses: a head that does not help leaves it to `matched`.
    pub(crate) fn instead(&self, sampling: Sampling) -> Sampling {
        let helps = self.head.as_ref().is_none_or(|head| head.about.helps);
        match sampling {
            Sampling::LocalizerHead if !helps => Sampling::Matched,
            other => other,
        }
    }

    /// Candidates with the scores of a strategy that has a model of its own; none for other strategies.
    ///
    /// # Errors
    /// The model is not given, or fails.
    pub(crate) fn scores(
        &self,
        pool: &Pool<'_>,
        fits: &AnchorFits,
        question: &str,
        sampling: Sampling,
    ) -> anyhow::Result<Vec<(usize, f64)>> {
        match sampling {
            Sampling::ImageText => {
                let dual = self.dual.as_ref();
                let dual = dual.ok_or_else(|| {
                    Usage("--sampling image-text needs --dual-encoder IMAGE,TEXT".into())
                })?;
                dual.borrow_mut().scores(pool, question)
            }
            Sampling::LocalizerHead => {
                let head = self.head.as_ref();
                let head = head.ok_or_else(|| {
                    Usage("--sampling localizer-head needs --localizer-head HEAD (`earmark fit-localizer` makes one)".into())
                })?;
                if !head.about.helps {
                    return Ok(Vec::new());
                }
                let asked = self.question(question)?;
                let mut all = Vec::with_capacity(pool.candidates.len());
                for recording in 0..pool.heard.len() {
                    self.with_stored(pool, recording, |stored| {
                        head.check(stored, self.text_sha256().as_deref())?;
                        for (at, candidate) in pool.candidates.iter().enumerate() {
                            if candidate.recording == recording {
                                let values = stored::values(pool, stored, fits, &asked, at)?;
                                all.push((at, head.score(&values)));
                            }
                        }
                        Ok(())
                    })?;
                }
                Ok(all)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// A question's vector, as a localizer head sees it.
    ///
    /// # Errors
    /// The text encoder fails.
    pub(crate) fn question(&self, question: &str) -> anyhow::Result<Vec<f32>> {
        match &self.text {
            Some(text) => stored::question(Some(&mut text.borrow_mut()), question),
            None => stored::question(None, question),
        }
    }

    /// SHA-256 of the text encoder.
    pub(crate) fn text_sha256(&self) -> Option<String> {
        let text = self.text.as_ref()?.borrow();
        Some(text.manifest().sha256.clone())
    }

    /// Calls with the stored features of a recording; keeps those of the last one.
    ///
    /// # Errors
    /// They cannot be read, or the call fails.
    pub(crate) fn with_stored<T>(
        &self,
        pool: &Pool<'_>,
        recording: usize,
        call: impl FnOnce(&Stored) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let file = &pool.heard[recording].file;
        let mut kept = self.stored.borrow_mut();
        if kept.as_ref().is_none_or(|(of, _)| of != file) {
            *kept = Some((file.clone(), Stored::read(file)?));
        }
        let (_, stored) = kept.as_ref().context("features were read")?;
        call(stored)
    }
}
