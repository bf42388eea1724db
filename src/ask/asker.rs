//! Asks a question: chooses frames, fills the prompt, calls the server, reads the answer.

use std::time::Duration;

use anchoring::tier::{Tier, Tokens};
use anchoring::time::Nanos;
use anyhow::Context;

use super::answer::{self, Answer};
use super::arm::{Arm, Prepared, label_of, of_sound, shown};
use super::choose::{self, AnchorFits};
use super::evidence::{Asked, Explained};
use super::gallery::Gallery;
use super::pool::Pool;
use super::prompt::{self, Piece, PromptFrame, Template};
use super::scorers::Scorers;
use crate::chat::{Abilities, Call, Client, Image, Shape};
use crate::cli::{Sampling, SelectionArgs};
use crate::stop::Stop;

/// Most explanations of a sound that are compared.
const MOST_EXPLANATIONS: usize = 4;
/// Most tokens of a yes or no.
const BRIEF: u32 = 16;

/// Candidates with the localizer's score, the number of its calls, and the tokens of their frames.
type Localized = (Vec<(usize, f64)>, (u64, Tokens));

/// Asks a server questions; without a server, only prepares the calls.
pub(crate) struct Asker<'a> {
    client: Option<Client>,
    pub(crate) abilities: Abilities,
    pub(crate) gallery: Gallery,
    pub(crate) scorers: Scorers,
    localizer: Template,
    explain: Template,
    selection: &'a SelectionArgs,
}

impl<'a> Asker<'a> {
    /// # Errors
    /// The list of sounds cannot be read, or a model of a strategy cannot be loaded.
    pub(crate) fn new(
        client: Option<Client>,
        abilities: Abilities,
        selection: &'a SelectionArgs,
        stop: Stop,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            client,
            abilities,
            gallery: Gallery::new(Duration::from_secs(selection.stall_timeout), stop.clone()),
            scorers: Scorers::new(selection, stop)?,
            localizer: Template::named("localizer")?,
            explain: Template::named("explain")?,
            selection,
        })
    }

    pub(crate) fn client(&self) -> Option<&Client> {
        self.client.as_ref()
    }

    /// Forgets frames; from here on, recordings are numbered anew.
    pub(crate) fn next_recordings(&mut self) {
        self.gallery.clear();
        self.scorers.clear();
    }

    /// The frames that an arm shows, or those for its localizer.
    pub(crate) fn shown(
        &self,
        pool: &Pool<'_>,
        fits: &AnchorFits,
        arm: Arm<'_>,
        localized: &[(usize, f64)],
    ) -> anyhow::Result<Vec<PromptFrame>> {
        let arm = Arm {
            sampling: self.scorers.instead(arm.sampling),
            ..arm
        };
        let n = arm.frames.min(self.abilities.images);
        let far = arm.template.far_frame && n > 1;
        let chosen = choose::choose(
            arm.sampling,
            pool,
            fits,
            n - usize::from(far),
            self.selection.seed,
            localized,
        )?;
        let mut all: Vec<PromptFrame> =
            chosen.iter().map(|at| shown(pool, *at, arm.tier)).collect();
        if far {
            // If every frame lies in a window, even the furthest is not far; then the strategy adds one frame instead.
            match choose::furthest(pool, &chosen) {
                Some(at) => all.push(PromptFrame {
                    far: true,
                    ..shown(pool, at, arm.tier)
                }),
                None => {
                    let chosen = choose::choose(
                        arm.sampling,
                        pool,
                        fits,
                        n,
                        self.selection.seed,
                        localized,
                    )?;
                    all = chosen.iter().map(|at| shown(pool, *at, arm.tier)).collect();
                }
            }
        }
        for (at, shown) in all.iter_mut().enumerate() {
            shown.number = at + 1;
        }
        Ok(all)
    }

    /// How many answers a frame takes: probabilities of words make one enough.
    fn samples(&self) -> u32 {
        match self.abilities.logprobs {
            true => 1,
            false => self.selection.samples,
        }
    }

    /// The frames for the localizer.
    pub(crate) fn candidates(&self, pool: &Pool<'_>) -> Vec<(usize, PromptFrame)> {
        let all = choose::for_localizer(pool, self.selection.localizer_calls as usize);
        all.into_iter()
            .map(|at| {
                (
                    at,
                    PromptFrame {
                        number: 1,
                        ..shown(pool, at, self.selection.localizer_tier)
                    },
                )
            })
            .collect()
    }

    /// Decodes frames in advance, so that a recording is read once for many questions.
    ///
    /// # Errors
    /// A recording cannot be decoded.
    pub(crate) fn decode(&mut self, pool: &Pool<'_>, frames: &[PromptFrame]) -> anyhow::Result<()> {
        let wanted: Vec<_> = frames
            .iter()
            .map(|shown| (shown.recording, shown.at, shown.tier))
            .collect();
        self.gallery.want(pool.heard, &wanted)
    }

    /// The same for candidates at a tier.
    ///
    /// # Errors
    /// A recording cannot be decoded.
    pub(crate) fn decode_at(
        &mut self,
        pool: &Pool<'_>,
        candidates: &[usize],
        tier: Tier,
    ) -> anyhow::Result<()> {
        let frames: Vec<PromptFrame> = candidates.iter().map(|at| shown(pool, *at, tier)).collect();
        self.decode(pool, &frames)
    }

    /// Sets the frames' own times and returns their images.
    fn images(
        &mut self,
        pool: &Pool<'_>,
        frames: &mut [PromptFrame],
    ) -> anyhow::Result<Vec<Image>> {
        self.decode(pool, frames)?;
        let mut images = Vec::with_capacity(frames.len());
        for shown in frames {
            let frame = self.gallery.get((shown.recording, shown.at, shown.tier))?;
            shown.pts = Some(frame.pts);
            images.push(frame.image.clone());
        }
        Ok(images)
    }

    /// The calls that a question would make, without making them. With a localizer, only its own calls are known.
    ///
    /// # Errors
    /// The frames cannot be chosen, or a template is wrong.
    pub(crate) fn prepare(
        &self,
        pool: &Pool<'_>,
        question: &str,
        options: &[String],
        arm: Arm<'_>,
    ) -> anyhow::Result<Vec<Prepared>> {
        let fits = self.scorers.fits(pool, question)?;
        let mut all = Vec::new();
        if arm.sampling == Sampling::Localizer {
            for (_, frame) in self.candidates(pool) {
                let frames = vec![frame];
                all.push(Prepared {
                    what: "localizer",
                    pieces: self.localizer.fill(question, options, &frames, &[])?,
                    frames,
                });
            }
            return Ok(all);
        }
        let scored = self.scorers.scores(pool, &fits, question, arm.sampling)?;
        let frames = self.shown(pool, &fits, arm, &scored)?;
        let behind = self.behind(pool, &fits, &frames, arm);
        let said = behind
            .as_ref()
            .map(|(_, said)| said.clone())
            .unwrap_or_default();
        all.push(Prepared {
            what: "answer",
            pieces: arm.template.fill(question, options, &frames, &said)?,
            frames: frames.clone(),
        });
        if let Some((row, said)) = behind {
            let own = of_sound(&frames, row);
            let label = label_of(&own);
            all.push(Prepared {
                what: "explanations",
                pieces: self.explain.fill(&label, &said, &own, &[])?,
                frames: own,
            });
        }
        Ok(all)
    }

    /// The sound of the frames and its possible explanations, if the template asks for them.
    fn behind(
        &self,
        pool: &Pool<'_>,
        fits: &AnchorFits,
        frames: &[PromptFrame],
        arm: Arm<'_>,
    ) -> Option<((usize, usize), Vec<String>)> {
        if !arm.template.explanations {
            return None;
        }
        let sounds = frames
            .iter()
            .filter_map(|shown| Some((shown.recording, shown.sound.as_ref()?)));
        let (recording, (row, _, label)) = sounds
            .filter(|(_, (_, _, label))| !label.is_empty())
            .max_by(|a, b| {
                let value = |(recording, (row, _, _)): &(usize, &(usize, Nanos, String))| {
                    fits.of(*recording, *row) + 1e-3 * pool.heard[*recording].sounds[*row].score
                };
                value(a).total_cmp(&value(b))
            })?;
        let heard = &pool.heard[recording];
        let mut others: Vec<&str> = Vec::new();
        for sound in &heard.sounds {
            if sound.label != *label && !others.contains(&sound.label.as_str()) {
                others.push(&sound.label);
            }
        }
        let said = self
            .scorers
            .sounds
            .explanations(label, &others, MOST_EXPLANATIONS);
        Some(((recording, *row), said))
    }

    /// Asks the question.
    ///
    /// # Errors
    /// A frame cannot be decoded, a template is wrong, or a call fails; then the error is a [`crate::chat::CallError`].
    pub(crate) fn ask(
        &mut self,
        pool: &Pool<'_>,
        question: &str,
        options: &[String],
        arm: Arm<'_>,
    ) -> anyhow::Result<Asked> {
        let fits = self.scorers.fits(pool, question)?;
        let mut notes = Vec::new();
        if self.scorers.instead(arm.sampling) != arm.sampling {
            notes.push(
                "the localizer head chooses no better than matched, by its own card, so matched chooses"
                    .to_owned(),
            );
        }
        if !fits.any()
            && matches!(
                arm.sampling,
                Sampling::Matched | Sampling::Aks | Sampling::Bolt | Sampling::Shifted
            )
        {
            notes.push(
                "no label of the tagger fits the question, so its words choose nothing".to_owned(),
            );
        }
        if arm.frames > self.abilities.images {
            notes.push(format!(
                "the server takes {} images a call, so {} of {} frames are shown",
                self.abilities.images, self.abilities.images, arm.frames
            ));
        }
        let mut localized = self.scorers.scores(pool, &fits, question, arm.sampling)?;
        let mut spent = (0, 0);
        if arm.sampling == Sampling::Localizer {
            (localized, spent) = self.localize(pool, question, options)?;
        }
        let mut frames = self.shown(pool, &fits, arm, &localized)?;
        let images = self.images(pool, &mut frames)?;
        let behind = self.behind(pool, &fits, &frames, arm);
        let said = behind
            .as_ref()
            .map(|(_, said)| said.clone())
            .unwrap_or_default();
        let pieces = arm.template.fill(question, options, &frames, &said)?;
        let answerable = arm.template.options(options);
        let letters: Vec<String> = (0..answerable.len()).map(prompt::letter).collect();
        let shape = match arm.template.json && self.abilities.structured {
            true => Shape::Object(letters),
            false => Shape::Free,
        };
        let answer = self.put(&pieces, &images, shape, &answerable)?;
        let answer = Answer {
            // "None of these" is not an option of the question.
            option: answer.option.filter(|at| *at < options.len()),
            ..answer
        };
        let explained = match behind {
            Some((sound, said)) if said.len() > 1 => {
                Some(self.explain(pool, &frames, sound, &said)?)
            }
            _ => None,
        };
        Ok(Asked {
            answer,
            frames,
            localizer: spent,
            explained,
            notes,
        })
    }

    /// Asks about one frame alone.
    ///
    /// # Errors
    /// As for [`Self::ask`].
    pub(crate) fn alone(
        &mut self,
        pool: &Pool<'_>,
        question: &str,
        options: &[String],
        candidate: usize,
        arm: Arm<'_>,
    ) -> anyhow::Result<Answer> {
        let mut frames = [PromptFrame {
            number: 1,
            ..shown(pool, candidate, arm.tier)
        }];
        let images = self.images(pool, &mut frames)?;
        let pieces = arm.template.fill(question, options, &frames, &[])?;
        let answerable = arm.template.options(options);
        let letters: Vec<String> = (0..answerable.len()).map(prompt::letter).collect();
        let shape = match arm.template.json && self.abilities.structured {
            true => Shape::Object(letters),
            false => Shape::Free,
        };
        self.put(&pieces, &images, shape, &answerable)
    }

    /// Asks once; asks several times if the user wants a confidence that nothing else gives.
    fn put(
        &mut self,
        pieces: &[Piece],
        images: &[Image],
        shape: Shape,
        options: &[String],
    ) -> anyhow::Result<Answer> {
        let samples = self.samples();
        let logprobs = self.abilities.logprobs;
        let client = self.client.as_mut().context("no endpoint")?;
        let mut answers = Vec::new();
        for sample in 0..samples {
            let call = Call {
                parts: prompt::parts(pieces, images),
                shape: shape.clone(),
                logprobs,
                sample: if samples > 1 { sample + 1 } else { 0 },
                max_tokens: client.server().max_tokens,
            };
            let reply = client.ask(&call)?;
            answers.push(answer::read(&reply, options, call.images()));
        }
        Ok(answer::most_frequent(answers))
    }

    /// Asks the model about each candidate whether it shows the answer (SeViLA). The score is the log probability of "yes", else the share of
    /// "yes".
    fn localize(
        &mut self,
        pool: &Pool<'_>,
        question: &str,
        options: &[String],
    ) -> anyhow::Result<Localized> {
        let candidates = self.candidates(pool);
        let all: Vec<PromptFrame> = candidates.iter().map(|(_, frame)| frame.clone()).collect();
        self.decode(pool, &all)?;
        let (mut scores, mut calls, mut tokens) = (Vec::new(), 0, 0);
        for (at, frame) in candidates {
            let mut frames = [frame];
            let images = self.images(pool, &mut frames)?;
            let pieces = self.localizer.fill(question, options, &frames, &[])?;
            let samples = self.samples();
            let client = self.client.as_mut().context("no endpoint")?;
            let mut said = 0.0;
            for sample in 0..samples {
                let reply = client.ask(&Call {
                    parts: prompt::parts(&pieces, &images),
                    shape: Shape::Free,
                    logprobs: self.abilities.logprobs,
                    sample: if samples > 1 { sample + 1 } else { 0 },
                    max_tokens: BRIEF,
                })?;
                calls += 1;
                tokens += frames[0].tokens;
                said += match reply.masses(&["yes", "no"]) {
                    Some(masses) => masses[0].max(1e-9).ln(),
                    None => f64::from(u8::from(answer::normal(&reply.text).starts_with("yes"))),
                };
            }
            scores.push((at, said / f64::from(samples)));
        }
        Ok((scores, (calls, tokens)))
    }

    /// Compares the possible explanations of a sound.
    fn explain(
        &mut self,
        pool: &Pool<'_>,
        frames: &[PromptFrame],
        sound: (usize, usize),
        said: &[String],
    ) -> anyhow::Result<Explained> {
        let mut own = of_sound(frames, sound);
        let images = self.images(pool, &mut own)?;
        let label = label_of(&own);
        let pieces = self.explain.fill(&label, said, &own, &[])?;
        let options = self.explain.options(said);
        let answer = self.put(&pieces, &images, Shape::Free, &options)?;
        let masses = options
            .iter()
            .enumerate()
            .map(|(at, said)| (said.clone(), answer.masses.get(at).copied()));
        Ok(Explained {
            label,
            said: masses.collect(),
            chosen: answer.option,
            margin: answer.margin,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::pool::tests::heard;
    use super::*;

    fn selection() -> SelectionArgs {
        SelectionArgs {
            localizer_calls: 32,
            localizer_tier: Tier::Base,
            samples: 1,
            sounds: None,
            text_encoder: None,
            dual_encoder: Vec::new(),
            dual_frames: 256,
            localizer_head: None,
            seed: 1,
            stall_timeout: 1,
        }
    }

    fn asker(selection: &SelectionArgs, images: usize) -> Asker<'_> {
        let abilities = Abilities {
            logprobs: true,
            structured: false,
            images,
        };
        Asker::new(None, abilities, selection, Stop::new().unwrap()).unwrap()
    }

    #[test]
    fn every_way_costs_the_same_and_a_far_frame_is_paid_from_it() {
        use clap::ValueEnum;
        let all = [heard(
            60,
            &[(10, 0.6, "Bell"), (25, 0.9, "Dog"), (48, 0.8, "Dog")],
        )];
        let pool = Pool::new(&all);
        let selection = selection();
        let asker = asker(&selection, 8);
        let fits = asker.scorers.fits(&pool, "Why did the dog bark?").unwrap();
        for name in ["plain", "sound", "contrastive"] {
            let template = Template::named(name).unwrap();
            for sampling in Sampling::value_variants() {
                let arm = Arm {
                    sampling: *sampling,
                    template: &template,
                    frames: 4,
                    tier: Tier::High,
                };
                let shown = asker.shown(&pool, &fits, arm, &[]).unwrap();
                assert_eq!(
                    shown.iter().map(|shown| shown.tokens).sum::<u64>(),
                    3136,
                    "{name} {}",
                    sampling.name()
                );
                assert_eq!(
                    shown.iter().filter(|shown| shown.far).count(),
                    usize::from(name == "contrastive")
                );
            }
        }
        assert!(asker.candidates(&pool).len() <= 32);
    }

    #[test]
    fn a_dry_run_lists_the_calls_of_a_real_run() {
        let all = [heard(60, &[(10, 0.6, "Bell"), (25, 0.9, "Dog")])];
        let pool = Pool::new(&all);
        let selection = selection();
        let asker = asker(&selection, 4);
        let template = Template::named("contrastive").unwrap();
        let arm = |sampling| Arm {
            sampling,
            template: &template,
            frames: 4,
            tier: Tier::High,
        };
        let what = |sampling| -> Vec<&str> {
            let calls = asker
                .prepare(&pool, "Why did the dog bark?", &[], arm(sampling))
                .unwrap();
            calls.iter().map(|call| call.what).collect()
        };
        assert_eq!(what(Sampling::Matched), ["answer", "explanations"]);
        assert!(
            what(Sampling::Localizer)
                .iter()
                .all(|what| *what == "localizer")
        );
    }
}
