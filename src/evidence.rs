//! Measures whether listening pays at strictly equal tokens: `earmark sample` writes plans by policy; `earmark eval tokens` encodes them,
//! trains heads, and compares.
//!
//! # Layout
//!
//! In the order of the data:
//!
//! - `protocol`: budget, tiers and policies, from YAML.
//! - `allocation`: decides which second is taken at which tier.
//! - `clips`: labelled recordings.
//! - `listen`: the sound of each second.
//! - `plans`: plan files, and how many seconds of events their anchors hit.
//! - `encode`: frames of plans -> features.
//! - `heads`: features -> trained heads -> right seconds.
//! - `workers`: several recordings or heads at a time.
//! - `cost`: operations and wall time of each policy.
//! - `table`, `curve`: the results, in numbers and drawn; `about`: what they were made with.

mod about;
mod allocation;
mod clips;
mod cost;
mod curve;
mod encode;
mod heads;
mod listen;
mod plans;
mod protocol;
mod table;
mod workers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anchoring::tier::{Prices, Tier};
use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::cli::{EvalTokens, Sample, Sampled};
use crate::failure::{Class, Failure, Usage};
use crate::report::plot;
use crate::scores::Scored;
use crate::stop::Stop;
use crate::terminal::{Output, tell};
use crate::{files, learning, session};
use allocation::Selection;
use clips::{Clip, Clips};
use encode::Rows;
use heads::{Data, Outcome, Training};
use listen::SoundBySecond;
use plans::EventHits;
use protocol::{Also, Policy, Protocol};
use table::MeasuredPolicy;

/// Pixels of the PNG for a unit of the drawing.
const PNG_SCALE: f64 = 1.5;
/// Models kept between recordings by each worker: tagger and voice detector, or the encoder.
const KEPT_MODELS: usize = 2;

/// A policy, and its choice for each recording.
type PolicyPlans<'a> = (&'a Policy, Vec<Vec<Selection>>);

/// What is sampled, and where.
struct Work<'a> {
    protocol: Protocol,
    prices: Prices,
    clips: Clips,
    folder: PathBuf,
    output: Output,
    stop: &'a Stop,
}

/// `earmark sample`.
///
/// # Errors
/// Labels, recordings or the protocol cannot be read, a policy is over its budget, or a plan cannot be written.
pub(crate) fn sample(args: &Sample, output: Output) -> anyhow::Result<Scored> {
    if args.print_protocol {
        return Ok(Scored {
            value: serde_json::to_value(Protocol::read(None)?)?,
            text: protocol::DEFAULT.to_owned(),
        });
    }
    let (Some(layout), Some(data), Some(folder)) = (args.layout, &args.data, &args.output) else {
        return Err(Usage("sample needs --layout, --data and --output".into()).into());
    };
    let sampled = &Sampled {
        layout,
        data: data.clone(),
        videos: args.videos.clone(),
        protocol: args.protocol.clone(),
    };
    let stop = Stop::new()?;
    let encoder = encode::pipeline("efficientnet-lite0")?;
    let work = Work::new(sampled, folder, encoder.prices, output, &stop)?;
    work.claim(&json!({ "for": "sample" }))?;
    let mut rows = Vec::new();
    let mut text = work.clips.said();
    text += "\npolicy                  tokens   Recall@K   Recall@K,D\n";
    for (policy, taken) in work.plans()? {
        let numbers = work.protocol.numbers(policy);
        let (hits, tokens) = work.hits(&taken);
        let (recall, grown) = hits.chosen(policy.kind);
        rows.push(json!({
            "policy": policy.name, "anchors": numbers.anchors, "grow_s": numbers.grow, "budget_tokens": numbers.budget,
            "tokens": tokens, "recall_at_k": recall, "recall_at_k_d": grown, "seconds_of_events": hits.seconds,
        }));
        text += &plans::line(&policy.name, tokens, recall, grown);
    }
    let value = json!({ "ok": true, "recordings": work.clips.clips.len(), "missing": work.clips.missing, "left_out": work.clips.left_out, "policies": rows });
    files::write(
        &folder.join("recall.json"),
        format!("{value:#}\n").as_bytes(),
        true,
    )?;
    Ok(Scored { value, text })
}

/// `earmark eval tokens`.
///
/// # Errors
/// As for [`sample`]; or a recording cannot be encoded, or `earmark-learning` is missing or fails.
pub(crate) fn tokens(args: &EvalTokens, output: Output) -> anyhow::Result<Scored> {
    let Some(folder) = args.output.as_deref().filter(|_| !args.dry_run) else {
        return about::dry_run(args);
    };
    // Reported before hours of work.
    let trainer = learning::find()?;
    gstearmark::onnx::keep_sessions(KEPT_MODELS * workers::count());
    let stop = Stop::new()?;
    let encoder = encode::pipeline(&args.encoder)?;
    let work = Work::new(&args.sampled, folder, encoder.prices, output, &stop)?;
    for (split, name) in [(0, "training"), (2, "test")] {
        if !work.clips.clips.iter().any(|clip| clip.split == split) {
            bail!("no recording of the {name} split was found");
        }
    }
    work.claim(&json!({ "for": "tokens", "encoder": args.encoder, "head": args.head.name(), "epochs": args.epochs }))?;
    let heard = work.hear()?;
    let plans = work.plans_of(&heard)?;
    let encoded = work.encode(&encoder)?;
    let mut data = Vec::new();
    for (policy, _) in &plans {
        let also = work.also(policy, &heard, &plans)?;
        data.push(work.data(policy, &encoded, &also)?);
        files_of(&work.folder.join("data"))?;
        heads::write(
            &work.data_file(policy),
            data.last().unwrap_or(&Data::default()),
            work.protocol.seconds,
            &work.clips.classes,
        )?;
    }
    let outcomes = work.train(args, &data)?;
    let costs = cost::of(&work, &encoder, &plans)?;
    let measured: Vec<MeasuredPolicy> = plans
        .iter()
        .zip(outcomes)
        .zip(costs)
        .map(|(((policy, taken), outcomes), (flops, wall_s))| {
            let (hits, tokens) = work.hits(taken);
            let numbers = work.protocol.numbers(policy);
            MeasuredPolicy {
                name: policy.name.clone(),
                kind: policy.kind,
                tokens,
                flops,
                wall_s,
                even: policy.tier.filter(|_| policy.also.is_none()),
                anchors: numbers.anchors,
                grow: numbers.grow,
                recall: hits.recall(),
                right: outcomes.into_iter().map(|outcome| outcome.right).collect(),
            }
        })
        .collect();
    let background = work.clips.background() as i64;
    let test = data.first().map_or_else(Vec::new, |data| {
        let pieces = data.labels.chunks(work.protocol.seconds).zip(&data.split);
        pieces
            .filter(|(_, split)| **split == 2)
            .map(|(labels, _)| labels.iter().filter(|label| **label != background).count())
            .collect()
    });
    let rows = table::rows(&work.protocol, &measured, &test);
    let names: Vec<&str> = data.first().map_or_else(Vec::new, |data| {
        let named = data.names.iter().zip(&data.split);
        named
            .filter(|(_, split)| **split == 2)
            .map(|(name, _)| name.as_str())
            .collect()
    });
    let pieces = table::pieces(&work.protocol, &measured, &names, &test);
    let layout = args.sampled.layout.name();
    let title = args
        .title
        .clone()
        .unwrap_or_else(|| format!("Accuracy at equal tokens: {layout}"));
    let about = about::made_with(args, &work, &encoder, &trainer, data.first());
    let text = table::markdown(&title, &work.protocol, &rows, &about);
    for (name, text) in [
        ("table.md", &text),
        ("table.csv", &table::csv(&rows)),
        ("pieces.csv", &pieces),
    ] {
        files::write(&work.folder.join(name), text.as_bytes(), true)?;
    }
    let drawing = curve::draw(&title, &rows);
    files::write(&work.folder.join("curve.svg"), &plot::svg(&drawing)?, true)?;
    files::write(
        &work.folder.join("curve.png"),
        &plot::png(&drawing, PNG_SCALE)?,
        true,
    )?;
    let value = json!({
        "ok": true, "title": title, "rows": rows, "says": table::says(&work.protocol, &rows),
        "made_with": about.into_iter().collect::<BTreeMap<_, _>>(), "missing": work.clips.missing, "left_out": work.clips.left_out,
    });
    Ok(Scored { value, text })
}

/// Creates a folder.
fn files_of(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))
}

impl<'a> Work<'a> {
    fn new(
        sampled: &Sampled,
        folder: &Path,
        prices: Prices,
        output: Output,
        stop: &'a Stop,
    ) -> anyhow::Result<Self> {
        let protocol = Protocol::read(sampled.protocol.as_deref())?;
        let clips = clips::read(sampled, protocol.seconds)?.some()?;
        files_of(folder)?;
        Ok(Self {
            protocol,
            prices,
            clips,
            folder: folder.into(),
            output,
            stop,
        })
    }

    /// Notes the purpose of the folder; refuses one with another purpose.
    fn claim(&self, further: &Value) -> anyhow::Result<()> {
        let note = self.folder.join("run.json");
        let names: Vec<&str> = self
            .clips
            .clips
            .iter()
            .map(|clip| clip.name.as_str())
            .collect();
        let of = json!({ "version": env!("CARGO_PKG_VERSION"), "protocol": self.protocol, "labels_sha256": self.clips.hash, "recordings": names, "work": further });
        if note.exists() {
            let there =
                std::fs::read(&note).with_context(|| format!("cannot read {}", note.display()))?;
            let there: Value = serde_json::from_slice(&there)
                .with_context(|| format!("{} is not JSON", note.display()))?;
            if there != of {
                bail!(
                    "{} belongs to other labels, recordings or settings, or to another protocol or version: choose another folder, or delete it",
                    self.folder.display()
                );
            }
            return Ok(());
        }
        files::write(&note, format!("{of:#}\n").as_bytes(), false)
    }

    /// Reports progress; stops if the user wants to.
    fn step(&self, what: &str, done: usize, of: usize) -> anyhow::Result<()> {
        if self.stop.is_wanted() {
            return Err(Failure::error(
                Class::Stopped,
                "stopped; the same command continues from here",
            ));
        }
        if !self.output.quiet && (done == of || done.is_multiple_of(50)) {
            tell(&format!("{what}: {done} of {of}"));
        }
        Ok(())
    }

    fn hear(&self) -> anyhow::Result<Vec<SoundBySecond>> {
        let pipeline = listen::pipeline(&self.protocol.probe)?;
        let folder = self.folder.join("heard");
        files_of(&folder)?;
        let clips = &self.clips.clips;
        let all = workers::each(clips, workers::count(), |clip, i| {
            self.step("listened to", i, clips.len())?;
            let file = folder.join(format!("{}.jsonl", clip.name));
            listen::listen(&pipeline, clip, &file, self.stop)
        })?;
        self.step("listened to", clips.len(), clips.len())?;
        Ok(all)
    }

    fn plans(&self) -> anyhow::Result<Vec<PolicyPlans<'_>>> {
        self.plans_of(&self.hear()?)
    }

    /// Writes every plan of every policy; returns the choices for each recording.
    fn plans_of(&self, heard: &[SoundBySecond]) -> anyhow::Result<Vec<PolicyPlans<'_>>> {
        let mut all = Vec::new();
        for policy in &self.protocol.policies {
            files_of(&self.folder.join("plans").join(&policy.name))?;
            let mut taken = Vec::new();
            for (clip, heard) in self.clips.clips.iter().zip(heard) {
                let of = plans::take(
                    &self.protocol,
                    policy,
                    self.prices,
                    clip,
                    heard,
                    self.clips.background(),
                )?;
                let plan = plans::plan(&self.protocol, policy, self.prices, clip, heard, &of);
                plans::write(&plan, &self.plan_file(policy, clip))?;
                taken.push(of);
            }
            all.push((policy, taken));
        }
        Ok(all)
    }

    fn plan_file(&self, policy: &Policy, clip: &Clip) -> PathBuf {
        self.folder
            .join("plans")
            .join(&policy.name)
            .join(format!("{}.jsonl", clip.name))
    }

    fn data_file(&self, policy: &Policy) -> PathBuf {
        self.folder
            .join("data")
            .join(format!("{}.safetensors", policy.name))
    }

    /// Over all recordings: seconds of events that are hit, and tokens per piece.
    fn hits(&self, taken: &[Vec<Selection>]) -> (EventHits, f64) {
        let mut hits = EventHits::default();
        let (mut spent, mut pieces) = (0, 0);
        for (clip, taken) in self.clips.clips.iter().zip(taken) {
            for (piece, labels) in taken.iter().zip(clip.labels.chunks(self.protocol.seconds)) {
                let event: Vec<bool> = labels
                    .iter()
                    .map(|label| *label != self.clips.background())
                    .collect();
                hits.add(piece, &event);
                spent += piece.spent;
                pieces += 1;
            }
        }
        (hits, spent as f64 / f64::from(pieces.max(1)))
    }

    /// Every recording at every tier that a policy may ask for.
    fn encode(
        &self,
        pipeline: &crate::pipeline::Pipeline,
    ) -> anyhow::Result<Vec<BTreeMap<Tier, Rows>>> {
        let tiers = self.protocol.tiers();
        let clips = &self.clips.clips;
        for tier in &tiers {
            files_of(&self.folder.join("encoded").join(encode::folder(*tier)))?;
        }
        let all = workers::each(clips, workers::count(), |clip, i| {
            self.step("encoded", i, clips.len())?;
            let mut of = BTreeMap::new();
            for tier in &tiers {
                let folder = self.folder.join("encoded").join(encode::folder(*tier));
                let plan = folder.join(format!("{}.jsonl", clip.name));
                plans::write(&plans::even(self.prices, clip, *tier), &plan)?;
                let rows = encode::encode(
                    pipeline,
                    clip,
                    &plan,
                    &folder.join(format!("{}.h5", clip.name)),
                    self.stop,
                )?;
                of.insert(*tier, rows);
            }
            Ok(of)
        })?;
        self.step("encoded", clips.len(), clips.len())?;
        Ok(all)
    }

    /// What a head gets for each second besides its frame.
    fn also(
        &self,
        policy: &Policy,
        heard: &[SoundBySecond],
        plans: &[PolicyPlans<'_>],
    ) -> anyhow::Result<Vec<Vec<Vec<f32>>>> {
        let none = || {
            self.clips
                .clips
                .iter()
                .map(|clip| vec![Vec::new(); clip.labels.len()])
                .collect()
        };
        Ok(match policy.also {
            None => none(),
            Some(Also::Audio) => heard.iter().map(|heard| heard.features.clone()).collect(),
            Some(also @ (Also::Location | Also::OracleLocation)) => {
                let whose = if also == Also::Location {
                    "onset"
                } else {
                    "oracle"
                };
                let name = &policy.name;
                let located = plans
                    .iter()
                    .find(|(policy, _)| policy.name == whose)
                    .map(|(_, taken)| taken)
                    .with_context(|| format!("policy `{name}` needs a policy `{whose}`"))?;
                let row = |tier: &Tier| Tier::ALL.map(|t| f32::from(u8::from(t == *tier))).to_vec();
                located
                    .iter()
                    .map(|pieces| {
                        pieces
                            .iter()
                            .flat_map(|piece| piece.tiers.iter().map(row))
                            .collect()
                    })
                    .collect()
            }
        })
    }

    /// Features and labels of a policy: those of its plan files, the tier of each frame, and a head's further inputs.
    fn data(
        &self,
        policy: &Policy,
        encoded: &[BTreeMap<Tier, Rows>],
        also: &[Vec<Vec<f32>>],
    ) -> anyhow::Result<Data> {
        let seconds = self.protocol.seconds;
        let mut data = Data::default();
        for ((clip, encoded), also) in self.clips.clips.iter().zip(encoded).zip(also) {
            let frames = encode::assemble(&self.plan_file(policy, clip), self.prices, |tier| {
                encoded.get(&tier)
            })?;
            if frames.len() != clip.labels.len() {
                bail!(
                    "{} has {} frames for {} seconds",
                    self.plan_file(policy, clip).display(),
                    frames.len(),
                    clip.labels.len()
                );
            }
            for ((tier, row), also) in frames.into_iter().zip(also) {
                data.features.extend_from_slice(row);
                data.features
                    .extend(Tier::ALL.map(|t| f32::from(u8::from(t == tier))));
                data.features.extend_from_slice(also);
            }
            data.labels
                .extend(clip.labels.iter().map(|label| *label as i64));
            for piece in 0..clip.labels.len() / seconds {
                data.split.push(clip.split);
                data.names.push(format!("{}/{piece}", clip.name));
            }
        }
        Ok(data)
    }

    /// Every head of every policy, one per core at a time.
    fn train(&self, args: &EvalTokens, data: &[Data]) -> anyhow::Result<Vec<Vec<Outcome>>> {
        let jobs: Vec<(usize, u64)> = (0..data.len())
            .flat_map(|i| (0..args.seeds).map(move |seed| (i, seed)))
            .collect();
        let heads = workers::each(&jobs, session::cores(None).min(8) as usize, |job, n| {
            let (i, seed) = *job;
            self.step("trained", n, jobs.len())?;
            let policy = &self.protocol.policies[i];
            let folder = self.folder.join("heads").join(&policy.name);
            files_of(&folder)?;
            let training = Training {
                model: args.head.name(),
                epochs: args.epochs,
                seed,
            };
            heads::run(
                &self.data_file(policy),
                &folder,
                training,
                &data[i],
                self.protocol.seconds,
                self.clips.background(),
            )
        })?;
        self.step("trained", jobs.len(), jobs.len())?;
        let mut all: Vec<Vec<Outcome>> = data.iter().map(|_| Vec::new()).collect();
        for ((i, _), outcome) in jobs.into_iter().zip(heads) {
            all[i].push(outcome);
        }
        Ok(all)
    }
}
