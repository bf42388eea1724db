//! The reverse chain: shows the model each frame alone, takes a right answer for the label "yes", and trains a localizer head on those labels.
//! A quarter of the recordings is kept to say whether the head chooses better than `matched`.

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::score::is_right;
use super::set::{self, Set};
use crate::ask::arm::Arm;
use crate::ask::asker::Asker;
use crate::ask::head::{Head, HeadCard, LAYOUT};
use crate::ask::heard;
use crate::ask::pool::Pool;
use crate::ask::prompt::Template;
use crate::ask::stored;
use crate::chat::{CallError, Client, Server, probe};
use crate::cli::{FitLocalizer, Sampling};
use crate::failure::Usage;
use crate::scores::statistics::mean_and_deviation;
use crate::stop::Stop;
use crate::terminal::{self, Output};
use crate::{files, learning};

/// Most questions to learn from; what a head sees of them is held in memory.
const MOST: usize = 4_000;
/// Of the frames labelled "no", so many are learned from for each "yes".
const NO_FOR_A_YES: usize = 3;
/// One of so many recordings is kept to judge the head.
const KEPT: usize = 4;
/// Frames chosen for a question when the head is judged: those of an answer by default.
const CHOSEN: usize = 4;
/// Least time between two lines of progress.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// A question whose frames are labelled.
struct Labelled {
    recording: usize,
    name: String,
    /// For each frame, all that a head sees of it; whether the model answers right from it alone, if it answers; its rank by `matched`.
    frames: Vec<(Vec<f32>, Option<bool>, f64)>,
}

impl Labelled {
    fn count(&self, label: bool) -> usize {
        let all = self.frames.iter();
        all.filter(|frame| frame.1 == Some(label)).count()
    }

    /// Of the frames that answer, the share among those chosen by a score.
    fn found(&self, score: impl Fn(&(Vec<f32>, Option<bool>, f64)) -> f64) -> f64 {
        let mut order: Vec<(f64, bool)> = self
            .frames
            .iter()
            .filter_map(|frame| Some((score(frame), frame.1?)))
            .collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0));
        let right = order
            .iter()
            .take(CHOSEN)
            .filter(|(_, label)| *label)
            .count();
        right as f64 / self.count(true).clamp(1, CHOSEN) as f64
    }

    /// The same for frames chosen at random, on average.
    fn by_chance(&self) -> f64 {
        let (yes, no) = (self.count(true), self.count(false));
        let chosen = CHOSEN.min(yes + no) as f64;
        chosen * yes as f64 / (yes + no).max(1) as f64 / yes.clamp(1, CHOSEN) as f64
    }
}

/// `earmark fit-localizer`.
///
/// # Errors
/// A file cannot be read or written, the server or training fails, or there is nothing to learn from.
pub(crate) fn fit(args: &FitLocalizer, output: Output) -> anyhow::Result<()> {
    // Said before anything is paid.
    learning::find()?;
    let template = Template::named(&args.prompt)?;
    if template.far_frame {
        return Err(Usage(format!(
            "--prompt {}: it compares frames, but each is shown alone: use plain or sound",
            args.prompt
        ))
        .into());
    }
    let Some(server) = Server::named(&args.server)? else {
        return Err(Usage("no model to ask: add --endpoint and --model".into()).into());
    };
    let model = server.model.clone();
    let card = args.output.with_extension("json");
    let place = files::check(&args.output, args.overwrite)?;
    files::check(&card, args.overwrite)?;
    let set = set::read(&args.asked)?;
    if set.len() > MOST {
        return Err(Usage(format!(
            "{} questions: at most {MOST} are learned from; --limit or --half takes fewer",
            set.len()
        ))
        .into());
    }
    let stop = Stop::new()?;
    let mut client = Client::new(server, &args.server.calls, stop.clone())?;
    let abilities = probe(&mut client, 1)?;
    if !output.quiet {
        terminal::tell(&format!("server: {}", abilities.text(1)));
    }
    let mut asker = Asker::new(Some(client), abilities, &args.selection, stop)?;
    let all = label(&set, args, &template, &mut asker, output)?;
    let asked = all.questions.len();
    let none = all
        .questions
        .iter()
        .filter(|one| one.count(true) == 0)
        .count();
    let (usable, obvious): (Vec<Labelled>, Vec<Labelled>) = all
        .questions
        .into_iter()
        .filter(|one| one.count(true) > 0)
        // What most frames answer, the model knows without looking, or guesses.
        .partition(|one| one.count(true) <= one.count(false));
    let kept = kept(&usable, &set, args.selection.seed);
    let (test, train): (Vec<_>, Vec<_>) = usable.iter().zip(&kept).partition(|(_, kept)| **kept);
    if test.is_empty() || train.is_empty() {
        bail!(
            "there is too little to learn from: of {asked} questions, single frames answer {} (none answers {none}, most answer {})",
            usable.len(),
            obvious.len()
        );
    }
    let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
    let bytes = trained(&usable, &kept, args, folder.path())?;
    let mut about = HeadCard {
        layout: LAYOUT.into(),
        dim: all.dim,
        encoder: all.encoder,
        text_encoder: asker.scorers.text_sha256().unwrap_or_default(),
        question: all.question,
        helps: false,
        rest: Value::Null,
    };
    let head = Head::parse(&noted(&bytes, &about)?)?;
    let test: Vec<&Labelled> = test.into_iter().map(|(one, _)| one).collect();
    let of = |found: &dyn Fn(&Labelled) -> f64| -> Vec<f64> {
        test.iter().map(|one| found(one)).collect()
    };
    let by_head = of(&|one| one.found(|(values, ..)| head.score(values)));
    let by_match = of(&|one| one.found(|frame| frame.2));
    let by_chance = of(&Labelled::by_chance);
    let more: Vec<f64> = by_head.iter().zip(&by_match).map(|(a, b)| a - b).collect();
    let (mean, deviation) = mean_and_deviation(&more);
    // Labels err, and there are few: less than two standard errors is no gain.
    about.helps = mean > 0.0 && mean > 2.0 * deviation / (more.len() as f64).sqrt();
    let share = |found: &[f64]| mean_and_deviation(found).0;
    let labels: [usize; 2] =
        [true, false].map(|label| usable.iter().map(|one| one.count(label)).sum());
    about.rest = json!({
        "made_by": "earmark fit-localizer",
        "model": model,
        "prompt": template.name,
        "tier": args.tier,
        "questions": { "asked": asked, "answered_by_no_frame": none, "answered_by_most_frames": obvious.len(), "learned_from": train.len(), "kept": test.len() },
        "labels": { "yes": labels[0], "no": labels[1] },
        "kept": { "frames_chosen": CHOSEN, "head": share(&by_head), "matched": share(&by_match), "chance": share(&by_chance), "difference": mean, "deviation": deviation },
    });
    let bytes = noted(&bytes, &about)?;
    let mut file = files::temporary(&place, ".partial")?;
    let cannot = || format!("cannot write {}", place.file.display());
    file.write_all(&bytes).with_context(cannot)?;
    files::publish(file, &place, args.overwrite)?;
    let value = serde_json::to_value(&about)?;
    files::write(&card, format!("{value:#}\n").as_bytes(), args.overwrite)?;
    if output.json {
        let mut value = value;
        value["ok"] = true.into();
        value["output"] = json!(args.output);
        return terminal::print(&format!("{value:#}"));
    }
    let percent = |found: &[f64]| format!("{:.0} %", 100.0 * share(found));
    let helps = match about.helps {
        true => "yes: localizer-head chooses by it",
        false => "no: localizer-head chooses as matched does",
    };
    let mut lines = vec![
        format!(
            "questions  {asked}: learned from {}, kept to judge {}; no frame answers {none}, most frames answer {}",
            train.len(),
            test.len(),
            obvious.len()
        ),
        format!(
            "labels     {} frames answer, {} do not",
            labels[0], labels[1]
        ),
        format!(
            "found      of the frames that answer, among {CHOSEN} chosen: head {}, matched {}, chance {}",
            percent(&by_head),
            percent(&by_match),
            percent(&by_chance)
        ),
        format!("helps      {helps}"),
        format!("written    {}", args.output.display()),
    ];
    lines.extend(set.notes.iter().map(|note| format!("note       {note}")));
    terminal::print(&lines.join("\n"))
}

/// All labelled questions, and what they were seen by.
struct All {
    questions: Vec<Labelled>,
    dim: usize,
    question: usize,
    encoder: String,
}

/// Shows the model every frame alone.
fn label(
    set: &Set,
    args: &FitLocalizer,
    template: &Template,
    asker: &mut Asker<'_>,
    output: Output,
) -> anyhow::Result<All> {
    let mut all = All {
        questions: Vec::new(),
        dim: 0,
        question: 0,
        encoder: String::new(),
    };
    let arm = Arm {
        sampling: Sampling::Uniform,
        template,
        frames: 1,
        tier: args.tier,
    };
    let mut last_report = Instant::now();
    for (recording, one) in set.recordings.iter().enumerate() {
        let heard = [heard::one(&one.file, &one.recording)?];
        let pool = Pool::new(&heard);
        asker.next_recordings();
        let candidates: Vec<usize> = asker
            .candidates(&pool)
            .into_iter()
            .map(|(at, _)| at)
            .collect();
        asker.decode_at(&pool, &candidates, args.tier)?;
        for question in &one.questions {
            let fits = asker.scorers.fits(&pool, &question.question)?;
            let asked = asker.scorers.question(&question.question)?;
            let (dim, encoder, seen) = asker.scorers.with_stored(&pool, 0, |stored| {
                let seen = candidates
                    .iter()
                    .map(|at| stored::values(&pool, stored, &fits, &asked, *at));
                let seen: Vec<_> = seen.collect::<anyhow::Result<_>>()?;
                Ok((stored.dim, stored.encoder.clone(), seen))
            })?;
            if all.questions.is_empty() {
                (all.dim, all.question, all.encoder) = (dim, asked.len(), encoder);
            } else if (dim, &encoder) != (all.dim, &all.encoder) {
                bail!(
                    "{} has features of another encoder than the files before it",
                    one.file.display()
                );
            }
            let mut frames = Vec::with_capacity(candidates.len());
            for (at, values) in candidates.iter().zip(seen) {
                let answer = asker.alone(&pool, &question.question, &question.options, *at, arm);
                let right = match answer {
                    Ok(answer) => Some(is_right(question, &answer)),
                    Err(e) => match e.downcast_ref::<CallError>() {
                        Some(CallError::Refused { .. } | CallError::Broken { .. }) => None,
                        _ => return Err(e),
                    },
                };
                let candidate = pool.candidates[*at];
                let rank = candidate.sound.map_or(-1.0, |row| {
                    fits.share(0, row) + 1e-3 * heard[0].sounds[row].score
                });
                frames.push((values, right, rank));
            }
            all.questions.push(Labelled {
                recording,
                name: question.id.clone(),
                frames,
            });
            if !output.quiet && last_report.elapsed() > REPORT_EVERY {
                last_report = Instant::now();
                terminal::tell(&format!(
                    "{} of {} questions, {}",
                    all.questions.len(),
                    set.len(),
                    one.video
                ));
            }
        }
    }
    Ok(all)
}

/// Which questions are kept to judge the head: those of a quarter of the recordings; of a single recording, a quarter.
fn kept(usable: &[Labelled], set: &Set, seed: u64) -> Vec<bool> {
    let mut recordings: Vec<usize> = usable.iter().map(|one| one.recording).collect();
    recordings.dedup();
    if recordings.len() < 2 {
        return (0..usable.len()).map(|at| at % KEPT == KEPT - 1).collect();
    }
    recordings.sort_by_key(|at| {
        Sha256::digest(format!("{seed}/kept/{}", set.recordings[*at].video)).to_vec()
    });
    recordings.truncate((recordings.len() / KEPT).max(1));
    let is_kept = |one: &Labelled| recordings.contains(&one.recording);
    usable.iter().map(is_kept).collect()
}

/// The bytes of a head that `earmark-learning` trains.
fn trained(
    usable: &[Labelled],
    kept: &[bool],
    args: &FitLocalizer,
    folder: &Path,
) -> anyhow::Result<Vec<u8>> {
    let (data, head) = (
        folder.join("frames.safetensors"),
        folder.join("head.safetensors"),
    );
    write(usable, kept, args.selection.seed, &data)?;
    let [hidden, epochs, seed] = [
        args.hidden.to_string(),
        args.epochs.to_string(),
        args.selection.seed.to_string(),
    ];
    let mut all: Vec<&OsStr> = ["train", "--model", "mlp", "--heads", "1", "--batch", "8"]
        .map(OsStr::new)
        .to_vec();
    for (name, value) in [
        ("--hidden", OsStr::new(&hidden)),
        ("--epochs", OsStr::new(&epochs)),
        ("--seed", OsStr::new(&seed)),
        ("--data", data.as_os_str()),
        ("--output", head.as_os_str()),
    ] {
        all.extend([OsStr::new(name), value]);
    }
    learning::ask(all)?;
    std::fs::read(&head).with_context(|| format!("cannot read {}", head.display()))
}

/// Writes labels and what a head sees as `earmark-learning` reads it: a question is a recording there, a frame a second.
fn write(usable: &[Labelled], kept: &[bool], seed: u64, file: &Path) -> anyhow::Result<()> {
    let frames = usable.iter().map(|one| one.frames.len()).max().unwrap_or(0);
    let first = usable.first().and_then(|one| one.frames.first());
    let values = first.map_or(0, |frame| frame.0.len());
    let (n, empty) = (usable.len(), vec![0.0_f32; values]);
    let (mut features, mut labels) = (Vec::new(), Vec::new());
    for one in usable {
        let mut no: Vec<usize> = (0..one.frames.len())
            .filter(|at| one.frames[*at].1 == Some(false))
            .collect();
        no.sort_by_key(|at| Sha256::digest(format!("{seed}/{}/{at}", one.name)).to_vec());
        no.truncate(NO_FOR_A_YES * one.count(true));
        for at in 0..frames {
            let frame = one.frames.get(at);
            let seen = frame.map_or(&empty, |frame| &frame.0);
            features.extend(seen.iter().flat_map(|x| x.to_le_bytes()));
            let label: i64 = match frame.and_then(|frame| frame.1) {
                Some(true) => 1,
                Some(false) if no.contains(&at) => 0,
                _ => -1,
            };
            labels.extend(label.to_le_bytes());
        }
    }
    // What is kept judges the head. Nothing says when to stop: labels that err would stop it at a lucky round.
    let split: Vec<u8> = kept.iter().map(|kept| 2 * u8::from(*kept)).collect();
    let views = [
        (
            "features",
            TensorView::new(Dtype::F32, vec![n, frames, values], &features)?,
        ),
        (
            "labels",
            TensorView::new(Dtype::I64, vec![n, frames], &labels)?,
        ),
        ("split", TensorView::new(Dtype::U8, vec![n], &split)?),
    ];
    let names: Vec<&String> = usable.iter().map(|one| &one.name).collect();
    let note = json!({ "layout": "earmark-seconds/1", "classes": ["no", "yes"], "names": names });
    let about = [("earmark".to_owned(), note.to_string())];
    let bytes = safetensors::serialize(views, Some(about.into_iter().collect()))?;
    files::write(file, &bytes, true)
}

/// A trained network with what it was made for in its card.
fn noted(bytes: &[u8], about: &HeadCard) -> anyhow::Result<Vec<u8>> {
    let wrong = "earmark-learning wrote no head";
    let tensors = SafeTensors::deserialize(bytes).context(wrong)?;
    let (_, metadata) = SafeTensors::read_metadata(bytes).context(wrong)?;
    let note = metadata.metadata().as_ref();
    let note = note.and_then(|all| all.get("earmark")).context(wrong)?;
    let mut note: Value = serde_json::from_str(note).context(wrong)?;
    note["localizer"] = serde_json::to_value(about)?;
    let all = [("earmark".to_owned(), note.to_string())];
    Ok(safetensors::serialize(
        tensors.tensors(),
        Some(all.into_iter().collect()),
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled(recording: usize, labels: &[Option<bool>]) -> Labelled {
        let frame = |(at, label): (usize, &Option<bool>)| (vec![at as f32], *label, -(at as f64));
        Labelled {
            recording,
            name: format!("{recording}_{}", labels.len()),
            frames: labels.iter().enumerate().map(frame).collect(),
        }
    }

    #[test]
    fn what_a_score_finds_is_counted() {
        let labels = [
            Some(true),
            None,
            Some(false),
            Some(true),
            Some(false),
            Some(false),
            Some(true),
        ];
        let one = labelled(0, &labels);
        assert_eq!((one.count(true), one.count(false)), (3, 3));
        // Of the first four that have a label, two answer.
        assert!((one.found(|frame| frame.2) - 2.0 / 3.0).abs() < 1e-9);
        assert!((one.found(|frame| -frame.2) - 2.0 / 3.0).abs() < 1e-9);
        assert!((one.by_chance() - 2.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn few_frames_that_do_not_answer_are_learned_from() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("data.safetensors");
        let mut labels = vec![Some(false); 20];
        labels[7] = Some(true);
        labels[9] = None;
        let all = [labelled(0, &labels), labelled(1, &labels[..10])];
        write(&all, &[false, true], 1, &file).unwrap();
        let bytes = std::fs::read(&file).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(tensors.tensor("features").unwrap().shape(), [2, 20, 1]);
        let numbers = tensors.tensor("labels").unwrap();
        let numbers: Vec<i64> = numbers
            .data()
            .as_chunks::<8>()
            .0
            .iter()
            .map(|x| i64::from_le_bytes(*x))
            .collect();
        let count = |label: i64, of: &[i64]| of.iter().filter(|x| **x == label).count();
        for of in [&numbers[..20], &numbers[20..]] {
            assert_eq!((count(1, of), count(0, of)), (1, 3), "{of:?}");
        }
        assert_eq!(tensors.tensor("split").unwrap().data(), [0, 2]);
    }
}
