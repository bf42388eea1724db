//! The page of an answer: its frames, and the recordings with a button for each span.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minijinja::context;
use minijinja::value::Serde;
use serde_json::{Value, json};

use super::evidence::{Asked, Span};
use super::gallery::Gallery;
use super::heard::HeardRecording;
use super::prompt::letter;
use crate::report::{clock, link, page_from};

const PAGE: &str = include_str!("assets/ask.html");
const SCRIPT: &str = include_str!("assets/ask.js");

/// The content of a page.
pub(super) struct PageContent<'a> {
    pub(super) question: &'a str,
    pub(super) options: &'a [String],
    pub(super) model: &'a str,
    pub(super) heard: &'a [HeardRecording],
    pub(super) asked: &'a Asked,
    pub(super) spans: &'a [Span],
}

/// Renders the page; `target` is its path.
///
/// # Errors
/// The path from there to a recording cannot be written, or a frame is missing.
pub(super) fn render(
    shown: &PageContent<'_>,
    gallery: &Gallery,
    target: &Path,
) -> anyhow::Result<String> {
    let asked = shown.asked;
    let mut used: Vec<usize> = shown.spans.iter().map(|span| span.recording).collect();
    used.sort_unstable();
    used.dedup();
    let mut videos = Vec::new();
    for recording in &used {
        let heard = &shown.heard[*recording];
        videos.push(json!({ "name": heard.name, "href": link(&heard.video, target)? }));
    }
    let span = |span: &Span| {
        let heard = &shown.heard[span.recording];
        json!({
            "video": used.iter().position(|recording| *recording == span.recording),
            "start": span.start.seconds(),
            "stop": span.stop.seconds(),
            "from": clock(span.start.get()),
            "to": clock(span.stop.get()),
            "name": heard.name,
            "label": span.sound.map(|row| heard.sounds[row].label.clone()),
            "frames": span.frames,
        })
    };
    let mut frames = Vec::new();
    for frame in &asked.frames {
        let image = &gallery.get((frame.recording, frame.at, frame.tier))?.image;
        frames.push(json!({
            "number": frame.number,
            "name": frame.name,
            "at": clock(frame.pts.unwrap_or(frame.at).get()),
            "tier": frame.tier.name(),
            "tokens": frame.tokens,
            "label": frame.sound.as_ref().map(|(_, _, label)| label),
            "far": frame.far,
            "cited": asked.answer.cited.contains(&frame.number),
            "image": format!("data:image/jpeg;base64,{}", STANDARD.encode(&image.0)),
        }));
    }
    let explained = asked.explained.as_ref().map(|explained| {
        let said: Vec<Value> = explained
            .said
            .iter()
            .map(|(text, p)| json!({ "text": text, "p": p }))
            .collect();
        json!({ "label": explained.label, "margin": explained.margin, "said": said })
    });
    let options: Vec<Value> = shown
        .options
        .iter()
        .enumerate()
        .map(|(at, text)| json!({ "letter": letter(at), "text": text }))
        .collect();
    let context = context! {
        title => shown.question,
        question => shown.question,
        options => Serde(options),
        model => shown.model,
        answer => &asked.answer.text,
        confidence => asked.answer.confidence,
        basis => asked.answer.basis,
        tokens => asked.tokens(),
        explained => explained.map(Serde),
        videos => Serde(videos),
        spans => Serde(shown.spans.iter().map(span).collect::<Vec<_>>()),
        frames => Serde(frames),
        notes => Serde(&asked.notes),
    };
    page_from(PAGE, context, SCRIPT)
}
