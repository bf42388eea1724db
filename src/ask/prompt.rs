//! Prompts: built-in templates or the user's own, filled with a question and frames.

use std::path::Path;

use anchoring::tier::{Tier, Tokens};
use anchoring::time::Nanos;
use anyhow::{Context, bail};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, context};
use serde::Serialize;

use super::sounds;
use crate::chat::{Image, Part};
use crate::datasets::text;
use crate::failure::Usage;

/// Marks a frame's number in the text until its image replaces it; no question or label contains these characters.
const OPEN: char = '\u{e000}';
const CLOSE: char = '\u{e001}';
/// Longest prompt, in bytes.
const LONGEST: usize = 1 << 20;
/// Most options, and their letters.
pub(crate) const MOST_OPTIONS: usize = 26;
/// The option that some templates add.
const NONE: &str = "none of these";

/// The built-in templates.
const BUILT_IN: [(&str, &str); 5] = [
    ("plain", include_str!("assets/plain.txt")),
    ("sound", include_str!("assets/sound.txt")),
    ("contrastive", include_str!("assets/contrastive.txt")),
    ("localizer", include_str!("assets/localizer.txt")),
    ("explain", include_str!("assets/explain.txt")),
];

/// The text of a built-in template, or of the list of sounds.
pub(crate) fn built_in(name: &str) -> Result<&'static str, Usage> {
    let found = BUILT_IN.iter().find(|(known, _)| *known == name);
    match found {
        Some((_, text)) => Ok(text),
        None if name == "sounds" => Ok(sounds::BUILT_IN),
        None => Err(Usage(format!(
            "--print {name}: there are plain, sound, contrastive, localizer, explain and sounds"
        ))),
    }
}

/// A template.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    /// Its name, as given.
    pub(crate) name: String,
    body: String,
    /// The answer is JSON with `answer` and `frames`.
    pub(crate) json: bool,
    /// The last frame is far from the others.
    pub(crate) far_frame: bool,
    /// "None of these" is an allowed answer.
    pub(crate) none: bool,
    /// Lists possible explanations of the sound, and asks about them.
    pub(crate) explanations: bool,
}

/// A frame as a template sees it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PromptFrame {
    /// From 1.
    pub(crate) number: usize,
    /// Which recording, and its name.
    pub(crate) recording: usize,
    pub(crate) name: String,
    /// The chosen time.
    pub(crate) at: Nanos,
    /// The frame's own time, once it is decoded.
    pub(crate) pts: Option<Nanos>,
    pub(crate) tier: Tier,
    pub(crate) tokens: Tokens,
    /// Row, onset and label of its sound.
    pub(crate) sound: Option<(usize, Nanos, String)>,
    /// Shown only for comparison.
    pub(crate) far: bool,
}

#[derive(Serialize)]
struct FrameSlot {
    number: usize,
    recording: String,
    at: String,
    image: String,
    far: bool,
    sound: Option<SoundSlot>,
}

#[derive(Serialize)]
struct SoundSlot {
    label: String,
    onset: String,
}

#[derive(Serialize)]
struct OptionSlot {
    letter: String,
    text: String,
}

/// A part of a filled template.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Piece {
    Text(String),
    /// The frame at this index.
    Frame(usize),
}

/// The letter of an option.
pub(crate) fn letter(option: usize) -> String {
    char::from(b'A' + (option % MOST_OPTIONS) as u8).to_string()
}

impl Template {
    /// A built-in template, or one from a file.
    ///
    /// # Errors
    /// There is no such template, or the file is not a template.
    pub(crate) fn named(name: &str) -> anyhow::Result<Self> {
        if let Some((_, body)) = BUILT_IN.iter().find(|(known, _)| *known == name) {
            return Self::parse(name, body);
        }
        let path = Path::new(name);
        if !path.is_file() {
            return Err(Usage(format!(
                "--prompt {name}: not one of plain, sound and contrastive, and no such file (`earmark ask --print sound` prints a template to start from)"
            ))
            .into());
        }
        Self::parse(name, &text::text(path)?)
    }

    fn parse(name: &str, text: &str) -> anyhow::Result<Self> {
        let text = text.replace("\r\n", "\n");
        let Some((head, body)) = text.split_once("\n---\n") else {
            bail!(
                "{name} is not a template: it must begin with `form: text` or `form: json` and a line `---`"
            );
        };
        let mut template = Self {
            name: name.into(),
            body: body.into(),
            json: false,
            far_frame: false,
            none: false,
            explanations: false,
        };
        for (at, line) in head.lines().enumerate() {
            let wrong = || {
                format!(
                    "{name} line {}: `{line}`: must be form: text|json, far_frame: yes|no, none: yes|no or explanations: yes|no",
                    at + 1
                )
            };
            let (key, value) = line.split_once(':').with_context(wrong)?;
            let said = match (key.trim(), value.trim()) {
                ("form", "json") | (_, "yes") => true,
                ("form", "text") | (_, "no") => false,
                _ => bail!("{}", wrong()),
            };
            match key.trim() {
                "form" => template.json = said,
                "far_frame" => template.far_frame = said,
                "none" => template.none = said,
                "explanations" => template.explanations = said,
                _ => bail!("{}", wrong()),
            }
        }
        Ok(template)
    }

    /// The options, with the added one if there are any.
    pub(crate) fn options(&self, options: &[String]) -> Vec<String> {
        let mut all = options.to_vec();
        if self.none && !all.is_empty() && all.len() < MOST_OPTIONS {
            all.push(NONE.into());
        }
        all
    }

    /// Fills the template; every frame must appear exactly once.
    ///
    /// # Errors
    /// The template is wrong, or shows a frame twice or not at all.
    pub(crate) fn fill(
        &self,
        question: &str,
        options: &[String],
        frames: &[PromptFrame],
        explanations: &[String],
    ) -> anyhow::Result<Vec<Piece>> {
        let name = &self.name;
        let slot = |shown: &PromptFrame| FrameSlot {
            number: shown.number,
            recording: plain(&shown.name),
            at: seconds(shown.pts.unwrap_or(shown.at)),
            image: format!("{OPEN}{}{CLOSE}", shown.number - 1),
            far: shown.far,
            sound: shown
                .sound
                .as_ref()
                .filter(|(_, _, label)| !label.is_empty())
                .map(|(_, onset, label)| SoundSlot {
                    label: plain(label),
                    onset: seconds(*onset),
                }),
        };
        let option = |(at, text): (usize, &String)| OptionSlot {
            letter: letter(at),
            text: plain(text),
        };
        let mut recordings: Vec<usize> = frames.iter().map(|shown| shown.recording).collect();
        recordings.sort_unstable();
        recordings.dedup();
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        // A line with only tags leaves no empty line.
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
            .map_err(|e| anyhow::anyhow!("the template {name}: {e:#}"))?;
        environment.set_syntax(syntax);
        environment
            .add_template("prompt", &self.body)
            .map_err(|e| anyhow::anyhow!("the template {name}: {e:#}"))?;
        let said: Vec<String> = explanations.iter().map(|said| plain(said)).collect();
        let text = environment
            .get_template("prompt")
            .and_then(|template| {
                template.render(context! {
                    question => plain(question),
                    options => Serde(self.options(options).iter().enumerate().map(option).collect::<Vec<_>>()),
                    frames => Serde(frames.iter().map(slot).collect::<Vec<_>>()),
                    recordings => recordings.len(),
                    explanations => said,
                })
            })
            .map_err(|e| anyhow::anyhow!("the template {name}: {e:#}"))?;
        if text.len() > LONGEST {
            bail!("the template {name} makes a prompt of more than {LONGEST} bytes");
        }
        let pieces = pieces(&text, frames.len());
        let mut seen = vec![0; frames.len()];
        for piece in &pieces {
            if let Piece::Frame(at) = piece {
                seen[*at] += 1;
            }
        }
        if let Some(at) = seen.iter().position(|times| *times != 1) {
            bail!(
                "the template {name} shows frame {} {} times; each must come once, as {{{{ frame.image }}}} in a loop over frames",
                at + 1,
                seen[at]
            );
        }
        Ok(pieces)
    }
}

/// Text and images, in order.
pub(crate) fn parts(pieces: &[Piece], images: &[Image]) -> Vec<Part> {
    pieces
        .iter()
        .filter_map(|piece| match piece {
            Piece::Text(text) => Some(Part::Text(text.clone())),
            Piece::Frame(at) => images.get(*at).cloned().map(Part::Image),
        })
        .collect()
}

fn pieces(text: &str, frames: usize) -> Vec<Piece> {
    let mut all = Vec::new();
    let mut put = |piece: Piece| match piece {
        Piece::Text(text) if text.trim().is_empty() => {}
        Piece::Text(text) => all.push(Piece::Text(text.trim().to_owned())),
        frame => all.push(frame),
    };
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        put(Piece::Text(before.into()));
        let (number, after) = after.split_once(CLOSE).unwrap_or(("", after));
        let number = number.parse().ok().filter(|number| *number < frames);
        if let Some(number) = number {
            put(Piece::Frame(number));
        }
        rest = after;
    }
    put(Piece::Text(rest.into()));
    all
}

/// Without the characters that mark images.
fn plain(text: &str) -> String {
    text.chars()
        .filter(|c| !('\u{e000}'..='\u{e00f}').contains(c))
        .collect()
}

/// Seconds to one decimal.
fn seconds(at: Nanos) -> String {
    format!("{:.1}", at.seconds())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn shown(number: usize, label: &str) -> PromptFrame {
        let at = Nanos::from_ms(12_440 + 1000 * number as i64);
        PromptFrame {
            number,
            recording: 0,
            name: "kitchen".into(),
            at,
            pts: None,
            tier: Tier::High,
            tokens: 784,
            sound: (!label.is_empty()).then(|| (0, at, label.to_owned())),
            far: false,
        }
    }

    fn text(pieces: &[Piece]) -> String {
        let one = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Frame(at) => format!("<{at}>"),
        };
        pieces.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    fn options() -> Vec<String> {
        ["a pan", "a glass"].map(str::to_owned).to_vec()
    }

    #[test]
    fn plain_and_localizer_are_sevilas_words() {
        let frames = [shown(1, ""), shown(2, "")];
        let filled = Template::named("plain")
            .unwrap()
            .fill("What broke?", &options(), &frames, &[])
            .unwrap();
        assert_eq!(
            text(&filled),
            "Frame 1: <0> Frame 2: <1> Question: What broke? Option A: a pan Option B: a glass Considering the information presented in the \
             frame, select the correct answer from the options."
        );
        let filled = Template::named("localizer")
            .unwrap()
            .fill("What broke?", &options(), &frames[..1], &[])
            .unwrap();
        assert_eq!(
            text(&filled),
            "Frame: <0> Question: What broke? Options: (a pan a glass ) Does the information within the frame provide the necessary details to \
             accurately answer the given question?"
        );
    }

    #[test]
    fn sounds_and_their_explanations_are_in_the_prompt() {
        let mut frames = [shown(1, "Water"), shown(2, "")];
        let filled = Template::named("sound")
            .unwrap()
            .fill("What broke?", &[], &frames, &[])
            .unwrap();
        let said = text(&filled);
        assert!(
            said.contains("at 13.4 s: something like \"Water\" begins at 13.4 s"),
            "{said}"
        );
        frames[1].far = true;
        let template = Template::named("contrastive").unwrap();
        let said = text(
            &template
                .fill(
                    "What?",
                    &options(),
                    &frames,
                    &["washing".into(), "pouring".into()],
                )
                .unwrap(),
        );
        for part in [
            "washing; pouring; none of these",
            "for comparison",
            "Option C: none of these",
            "not for the whole recording",
        ] {
            assert!(said.contains(part), "`{part}` is not in {said}");
        }
    }

    #[test]
    fn no_text_can_forge_a_frame_and_none_is_left_out() {
        let frames = [shown(1, "\u{e000}0\u{e001}")];
        let filled = Template::named("sound")
            .unwrap()
            .fill("\u{e000}0\u{e001}?", &["\u{e002}".into()], &frames, &[])
            .unwrap();
        assert_eq!(
            filled
                .iter()
                .filter(|piece| matches!(piece, Piece::Frame(_)))
                .count(),
            1
        );
        let own =
            |body: &str| Template::parse("mine", &format!("form: text\n---\n{body}")).unwrap();
        let wrong = |body: &str| {
            own(body)
                .fill("?", &[], &frames, &[])
                .unwrap_err()
                .to_string()
        };
        assert!(wrong("{{ question }}").contains("frame 1 0 times"));
        assert!(wrong("{{ qestion }}").contains("mine"));
        assert!(wrong("{{ frames[0].image }}{{ frames[0].image }}").contains("2 times"));
        assert!(
            Template::parse("mine", "hello")
                .unwrap_err()
                .to_string()
                .contains("---")
        );
        assert!(
            Template::parse("mine", "form: xml\n---\n")
                .unwrap_err()
                .to_string()
                .contains("line 1")
        );
        assert!(
            Template::named("nothing")
                .unwrap_err()
                .to_string()
                .contains("--print")
        );
    }
}
