//! `earmark ask`: answers a question about recordings with the user's vision-language model. Chooses moments by sound, shows their frames to
//! the model, and keeps the evidence with the answer.
//!
//! # Layout
//!
//! - `heard`: anchors from feature files or plans, each with its recording.
//! - `sounds`: compares the words of a question with the tagger's labels.
//! - `pool`: the frames to choose from. `choose`: strategies that choose among them.
//! - `meaning`: how well labels fit a question, by a text encoder. `dual`: how much frames look like it.
//! - `stored`, `head`: what a localizer head sees of a frame, and the head. `scorers`: what strategies score with, loaded once.
//! - `gallery`: frames as images.
//! - `prompt`: templates. `answer`: reads answers.
//! - `arm`: a way to choose and show frames. `asker`: asks a question. `evidence`: what the answer rests on.
//! - `page`: the answer as a page.

pub(crate) mod answer;
pub(crate) mod arm;
pub(crate) mod asker;
mod choose;
mod dual;
pub(crate) mod evidence;
mod gallery;
pub(crate) mod head;
pub(crate) mod heard;
mod meaning;
mod page;
pub(crate) mod pool;
pub(crate) mod prompt;
mod scorers;
mod sounds;
pub(crate) mod stored;

use std::io::Write;

use anyhow::{Context, bail};
use gstearmark::printable::line;
use serde_json::{Value, json};

use crate::chat::{Abilities, Client, Server, probe};
use crate::cli;
use crate::failure::Usage;
use crate::files;
use crate::report::clock;
use crate::stop::Stop;
use crate::terminal::{self, Output, grouped};
use arm::{Arm, Prepared, frames_for};
use asker::Asker;
use evidence::{Asked, Span, spans};
use pool::Pool;
use prompt::{MOST_OPTIONS, Piece, Template, letter};

/// Longest question or option, in characters.
const LONGEST: usize = 10_000;

/// `earmark ask`.
///
/// # Errors
/// A file cannot be read, the server fails, or the page cannot be written.
pub(crate) fn ask(args: &cli::Ask, output: Output) -> anyhow::Result<()> {
    if let Some(name) = &args.print {
        return terminal::print(prompt::built_in(name)?.trim_end());
    }
    let (Some(file), Some(video), Some(question)) = (&args.file, &args.video, &args.question)
    else {
        return Err(Usage("a file, --video and --question are needed".into()).into());
    };
    check(question, &args.options)?;
    let template = Template::named(&args.prompt)?;
    let frames = frames_for(args.tokens, args.tier).map_err(|e| Usage(e.to_string()))?;
    let server = Server::named(&args.server)?;
    if server.is_none() && !args.dry_run {
        return Err(Usage(
            "no model to ask: add --endpoint and --model, or --dry-run to see what would be sent"
                .into(),
        )
        .into());
    }
    let place = args
        .page
        .as_deref()
        .map(|page| files::check(page, args.overwrite))
        .transpose()?;
    let stop = Stop::new()?;
    let heard = heard::read(file, video)?;
    let pool = Pool::new(&heard);
    let arm = Arm {
        sampling: args.sampling,
        template: &template,
        frames,
        tier: args.tier,
    };
    if args.dry_run {
        let all = Abilities {
            logprobs: true,
            structured: true,
            images: usize::MAX,
        };
        let asker = Asker::new(None, all, &args.selection, stop)?;
        let calls = asker.prepare(&pool, question, &args.options, arm)?;
        return dry_run(&calls, output);
    }
    let server = server.context("no endpoint")?;
    let model = server.model.clone();
    let mut client = Client::new(server, &args.server.calls, stop.clone())?;
    let abilities = probe(&mut client, frames)?;
    let mut asker = Asker::new(Some(client), abilities, &args.selection, stop)?;
    let asked = asker.ask(&pool, question, &args.options, arm)?;
    let found = spans(&heard, &asked);
    if let Some(place) = place {
        let shown = page::PageContent {
            question,
            options: &args.options,
            model: &model,
            heard: &heard,
            asked: &asked,
            spans: &found,
        };
        let html = page::render(&shown, &asker.gallery, &place.file)?;
        let mut file = files::temporary(&place, ".partial")?;
        file.write_all(html.as_bytes())
            .with_context(|| format!("cannot write {}", place.file.display()))?;
        files::publish(file, &place, args.overwrite)?;
    }
    if output.json {
        return terminal::print(&format!(
            "{:#}",
            value(args, &heard, &asked, &found, &asker)?
        ));
    }
    terminal::print(&text(&heard, &asked, &found, &asker, frames))
}

/// Reads a server's answer, kept or fresh, as if it answered a question; whatever it is, it is read or refused.
pub(crate) fn read_answer(bytes: &[u8], hash: &str) -> Option<String> {
    let reply = crate::chat::reply_in(bytes, hash)?;
    let options = ["a pan", "a glass"].map(str::to_owned);
    let _ = (reply.masses(&["yes", "no"]), answer::read(&reply, &[], 4));
    Some(answer::read(&reply, &options, 4).text)
}

/// Fills a template with two frames; whatever the file says, it is filled or refused.
///
/// # Errors
/// It is not a template.
pub(crate) fn fill_any(path: &std::path::Path) -> anyhow::Result<usize> {
    let template = Template::named(&path.to_string_lossy())?;
    let options = ["a pan", "a glass"].map(str::to_owned);
    let frame = |number: usize| prompt::PromptFrame {
        number,
        recording: 0,
        name: "kitchen".into(),
        at: anchoring::time::Nanos::from_ms(1000 * number as i64),
        pts: None,
        tier: anchoring::tier::Tier::High,
        tokens: 784,
        sound: Some((0, anchoring::time::Nanos::ZERO, "Water".into())),
        far: false,
    };
    let pieces = template.fill(
        "What?",
        &options,
        &[frame(1), frame(2)],
        &["pouring".into()],
    )?;
    Ok(pieces.len())
}

fn check(question: &str, options: &[String]) -> Result<(), Usage> {
    if question.trim().is_empty() {
        return Err(Usage("--question is empty".into()));
    }
    if options.len() == 1 || options.len() > MOST_OPTIONS {
        return Err(Usage(format!(
            "--options gives {}: must be 2 to {MOST_OPTIONS}, with commas between",
            options.len()
        )));
    }
    if let Some(at) = options.iter().position(|option| option.trim().is_empty()) {
        return Err(Usage(format!(
            "option {} is empty (is there a comma too many?)",
            letter(at)
        )));
    }
    if options.iter().any(|option| option.len() > LONGEST) || question.len() > LONGEST {
        return Err(Usage(format!(
            "the question or an option is longer than {LONGEST} bytes"
        )));
    }
    Ok(())
}

/// Prints what would be sent.
fn dry_run(calls: &[Prepared], output: Output) -> anyhow::Result<()> {
    if calls.is_empty() {
        bail!("there is nothing to ask: the recordings have no frames to choose from");
    }
    if output.json {
        let calls: Vec<Value> = calls.iter().map(prepared).collect();
        return terminal::print(&format!(
            "{:#}",
            json!({ "ok": true, "dry_run": true, "calls": calls })
        ));
    }
    let mut text = String::new();
    for (at, call) in calls.iter().enumerate() {
        text.push_str(&format!(
            "call {} of {}: {}\n",
            at + 1,
            calls.len(),
            call.what
        ));
        for piece in &call.pieces {
            match piece {
                Piece::Text(said) => text.push_str(&format!("{said}\n")),
                Piece::Frame(at) => {
                    let frame = &call.frames[*at];
                    let sound = match &frame.sound {
                        Some((_, _, label)) if !label.is_empty() => {
                            format!(", \"{}\"", line(label))
                        }
                        Some(_) => ", in a window".into(),
                        None => String::new(),
                    };
                    text.push_str(&format!(
                        "[{} at {}: {}, {} tokens{sound}]\n",
                        line(&frame.name),
                        frame.at,
                        frame.tier,
                        frame.tokens
                    ));
                }
            }
        }
        text.push('\n');
    }
    if calls.iter().all(|call| call.what == "localizer") {
        text.push_str("The frames of the answer follow from these.\n");
    }
    text.push_str("Nothing was sent.");
    terminal::print(&text)
}

fn prepared(call: &Prepared) -> Value {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => json!({ "text": text }),
        Piece::Frame(at) => frame(&call.frames[*at]),
    };
    json!({ "what": call.what, "parts": call.pieces.iter().map(piece).collect::<Vec<_>>() })
}

/// A frame as JSON.
pub(crate) fn frame(shown: &prompt::PromptFrame) -> Value {
    json!({
        "frame": shown.number,
        "recording": shown.name,
        "at_ns": shown.at,
        "pts_ns": shown.pts,
        "tier": shown.tier,
        "tokens": shown.tokens,
        "anchor": shown.sound.as_ref().map(|(row, onset, label)| json!({ "row": row, "onset_ns": onset, "label": label })),
        "far": shown.far,
    })
}

/// A span as JSON.
pub(crate) fn span(heard: &[heard::HeardRecording], span: &Span) -> Value {
    let one = &heard[span.recording];
    json!({
        "recording": one.name,
        "start_ns": span.start,
        "stop_ns": span.stop,
        "label": span.sound.map(|row| &one.sounds[row].label),
        "score": span.sound.map(|row| one.sounds[row].score),
        "frames": span.frames,
    })
}

fn value(
    args: &cli::Ask,
    heard: &[heard::HeardRecording],
    asked: &Asked,
    found: &[Span],
    asker: &Asker<'_>,
) -> anyhow::Result<Value> {
    let client = asker.client().context("no endpoint")?;
    let (ledger, answer) = (&client.ledger, &asked.answer);
    Ok(json!({
        "ok": true,
        "question": args.question,
        "options": args.options,
        "answer": answer.text,
        "option": answer.option.map(letter),
        "confidence": answer.confidence,
        "confidence_is": answer.basis,
        "margin": answer.margin,
        "evidence": found.iter().map(|one| span(heard, one)).collect::<Vec<_>>(),
        "frames": asked.frames.iter().map(frame).collect::<Vec<_>>(),
        "cited": answer.cited,
        "tokens": asked.tokens(),
        "localizer": { "calls": asked.localizer.0, "tokens": asked.localizer.1 },
        "sound": asked.explained.as_ref().map(|explained| json!({
            "label": explained.label,
            "explanations": explained.said.iter().map(|(said, p)| json!({ "text": said, "probability": p })).collect::<Vec<_>>(),
            "chosen": explained.chosen.and_then(|at| explained.said.get(at)).map(|(said, _)| said),
            "margin": explained.margin,
        })),
        "server": { "url": client.server().url, "model": client.server().model, "abilities": asker.abilities },
        "calls": { "sent": ledger.calls, "kept": ledger.kept, "repeated": ledger.repeated },
        "server_tokens": { "prompt": ledger.prompt_tokens, "answer": ledger.answer_tokens },
        "notes": asked.notes,
        "page": args.page,
    }))
}

fn text(
    heard: &[heard::HeardRecording],
    asked: &Asked,
    found: &[Span],
    asker: &Asker<'_>,
    wanted: usize,
) -> String {
    let answer = &asked.answer;
    let sure = match answer.confidence {
        Some(p) => format!("{p:.2} ({})", answer.basis),
        None => {
            "unknown: the server gives no log probabilities (--samples asks several times)".into()
        }
    };
    let mut text = format!("answer     {}\nconfidence {sure}\n", line(&answer.text));
    for one in found {
        let own = &heard[one.recording];
        let label = match one.sound {
            Some(row) => format!(
                ", \"{}\" ({:.2})",
                line(&own.sounds[row].label),
                own.sounds[row].score
            ),
            None => String::new(),
        };
        let frames: Vec<String> = one.frames.iter().map(ToString::to_string).collect();
        text.push_str(&format!(
            "evidence   {} {} to {}{label}: {} {}\n",
            line(&own.name),
            clock(one.start.get()),
            clock(one.stop.get()),
            if frames.len() == 1 { "frame" } else { "frames" },
            frames.join(", ")
        ));
    }
    for shown in &asked.frames {
        text.push_str(&format!(
            "frame {:<4} {} {}, {}, {} tokens{}\n",
            shown.number,
            line(&shown.name),
            clock(shown.pts.unwrap_or(shown.at).get()),
            shown.tier,
            shown.tokens,
            if shown.far { ", for comparison" } else { "" }
        ));
    }
    if let Some(explained) = &asked.explained {
        let said: Vec<String> = explained
            .said
            .iter()
            .map(|(said, p)| {
                p.map_or_else(
                    || line(said).into_owned(),
                    |p| format!("{} {p:.2}", line(said)),
                )
            })
            .collect();
        let margin = explained
            .margin
            .map_or_else(String::new, |margin| format!("; margin {margin:.2}"));
        text.push_str(&format!(
            "sound      \"{}\": {}{margin}\n",
            line(&explained.label),
            said.join(", ")
        ));
    }
    if let Some(client) = asker.client() {
        let ledger = &client.ledger;
        text.push_str(&format!(
            "tokens     {} by the plan, {} by the server's count of all {} calls\n",
            grouped(asked.tokens()),
            grouped(ledger.prompt_tokens),
            ledger.calls + ledger.kept
        ));
        text.push_str(&format!(
            "calls      {} sent, {} kept from before, {} repeated\n",
            ledger.calls, ledger.kept, ledger.repeated
        ));
    }
    text.push_str(&format!("server     {}\n", asker.abilities.text(wanted)));
    for note in &asked.notes {
        text.push_str(&format!("note       {note}\n"));
    }
    text.trim_end().to_owned()
}
