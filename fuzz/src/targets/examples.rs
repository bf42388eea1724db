//! A little of everything that Earmark writes: an anchor, a cue, a plan, messages, a feature file.

use std::path::{Path, PathBuf};

use anchoring::cue::{Cue, Onset, SoundQuality, Tag};
use anchoring::plan::{
    Anchor, Clip, ClipFrames, Entry, Header, Line, NO_FRAME, Reason, SCHEMA, Untaken,
};
use anchoring::tier::Tier;
use anchoring::time::{Nanos, Window};
use anyhow::Context;
use gstearmark::frame_quality::FrameQuality;
use gstearmark::h5::{self, Closing, Opening, Precision, Row, Writer};
use gstearmark::structures::{self, Chosen, Message, Summary};

fn anchor(id: u32, ms: i64) -> anyhow::Result<Anchor> {
    let window = Window::new(Nanos::from_ms(ms - 200), Nanos::from_ms(ms + 300));
    Ok(Anchor {
        id,
        onset: Nanos::from_ms(ms),
        window: window.context("the window is empty")?,
        label: "Water tap, faucet".into(),
        class_id: 364,
        score: 0.9,
        uncertainty: 0.1,
    })
}

fn cue(ms: i64) -> Cue {
    Cue {
        pts: Nanos::from_ms(ms),
        eventness: 0.5,
        uncertainty: 0.25,
        speech: 0.125,
        tags: vec![
            Tag {
                class_id: 0,
                p: 0.5,
            },
            Tag {
                class_id: 364,
                p: 0.25,
            },
        ],
        onset: Some(Onset {
            at: Nanos::from_ms(ms + 10),
            p: 0.75,
            uncertainty: 0.25,
        }),
        bands: std::array::from_fn(|band| band as u8 * 9),
        change: Some(1.5),
        quality: Some(SoundQuality::from_shares([0.5; SoundQuality::MEASURES])),
    }
}

fn entry(ms: i64, anchor: Option<u32>) -> Entry {
    Entry {
        planned: Nanos::from_ms(ms),
        asked: anchor.is_none().then(|| Nanos::from_ms(ms - 40)),
        tier: if anchor.is_some() {
            Tier::High
        } else {
            Tier::Low
        },
        tokens: if anchor.is_some() { 784 } else { 49 },
        reason: if anchor.is_some() {
            Reason::Anchor
        } else {
            Reason::Background
        },
        anchor,
    }
}

fn header() -> Header {
    Header {
        schema: SCHEMA.into(),
        video_id: "P01".into(),
        duration: Nanos::from_ms(10_000),
        budget_tokens: 1960,
        spent_tokens: 833,
        config:
            "{\"anchors\":{\"class_offset_ms\":{\"Speech\":-300}},\"budget\":{\"distrust\":0.9}}"
                .parse()
                .unwrap_or_default(),
        candidates_per_min: 30,
    }
}

fn candidate(ms: i64) -> Untaken {
    Untaken {
        onset: Nanos::from_ms(ms),
        score: 0.4,
        more_tokens: (ms % 1000 != 0).then_some(784),
    }
}

pub(super) fn plan() -> anyhow::Result<Vec<Vec<u8>>> {
    let lines = [
        Line::Plan(header()),
        Line::Cue(cue(0)),
        Line::Anchor(anchor(0, 2000)?),
        Line::Frame(entry(2100, Some(0))),
        Line::Candidate(candidate(4000)),
        Line::Frame(entry(5000, None)),
        Line::Candidate(candidate(6500)),
    ];
    let text: Vec<_> = lines
        .iter()
        .map(|line| line.to_text().to_string())
        .collect();
    let about = Header {
        spent_tokens: 2 * clip()?.entry.tokens,
        ..header()
    };
    let clips = [Line::Plan(about), Line::Anchor(anchor(0, 2000)?)].into_iter();
    let clips = clips.chain([Line::Clip(clip()?), Line::Clip(clip()?)]);
    let clips: Vec<_> = clips.map(|line| line.to_text()).collect();
    Ok([text, clips]
        .map(|lines| lines.join("\n").into_bytes())
        .into())
}

fn clip() -> anyhow::Result<Clip> {
    let times = [-1, 2080, 2120, 2120].map(|ms| match ms {
        -1 => NO_FRAME,
        ms => Nanos::from_ms(ms),
    });
    let frames = ClipFrames::new(times.into(), Nanos::from_ms(40));
    Ok(Clip {
        entry: entry(2120, Some(0)),
        frames: frames.context("the clip has no frame")?,
    })
}

pub(super) fn messages() -> anyhow::Result<Vec<Vec<u8>>> {
    let chosen = Chosen {
        entry: entry(2100, Some(0)),
        pts: Nanos::from_ms(2120),
        frame: Nanos::from_ms(40),
        earliest: Nanos::from_ms(2020),
    };
    let summary = Summary {
        duration: Nanos::from_ms(10_000),
        budget_tokens: 1960,
        first_frame: Some(Nanos::from_ms(40)),
        access_units_seen: 250,
        access_units_passed: 20,
        warnings: vec!["the sound ends early".into(), "b".into()],
    };
    let all = [
        Message::Plan(header()),
        Message::Cue(cue(80)),
        Message::Anchor(anchor(0, 2000)?),
        Message::Clip(clip()?),
        Message::Candidate(candidate(4000)),
        Message::Chosen(chosen),
        Message::Miss(entry(5000, None)),
        Message::Summary(summary),
    ];
    let texts = all.iter().map(|message| message.to_structure().to_string());
    let texts = texts.chain([structures::cue_to_text(&cue(160))]);
    Ok(texts.map(String::into_bytes).collect())
}

/// Two files: one with everything in it, one with nothing.
pub(super) fn features() -> anyhow::Result<Vec<Vec<u8>>> {
    let path = std::env::temp_dir().join(format!("earmark-fuzz-{}.h5", std::process::id()));
    let mut seeds = Vec::new();
    for (rows, thumbnails, precision) in [(20, true, Precision::F16), (0, false, Precision::F32)] {
        let opening = Opening {
            dim: 8,
            precision,
            input_uri: "file:///a.mp4".into(),
            streams: "[]".into(),
            thumbnails,
            quality: thumbnails,
            ..Opening::default()
        };
        let mut writer = Writer::create(&path, true, &opening)?;
        for k in 0..rows {
            let id = u32::try_from(k)?;
            writer.anchor(&anchor(id, 500 * k + 300)?)?;
            writer.cue(&cue(80 * k))?;
            writer.candidate(&candidate(450 * k))?;
            writer.frame(&Row {
                pts: Nanos::from_ms(500 * k + 310),
                entry: entry(500 * k + 300, Some(id)),
                features: vec![k as f32; 8],
                thumbnail: vec![0xff, 0xd8, 0xff, k as u8],
                quality: FrameQuality::default(),
                clip: None,
            })?;
        }
        writer.finish(&Closing {
            video_id: "P01".into(),
            duration: Nanos::from_ms(10_000),
            config: "{}".into(),
            budget_tokens: 784 * 20,
            warnings: vec!["one".into()],
            ..Closing::default()
        })?;
        seeds.push(std::fs::read(&path)?);
        std::fs::remove_file(&path)?;
    }
    Ok(seeds)
}

/// Everything that reads such a file: as the commands do, by a child that HDF5 may take with it, whose own panics count as ours; and
/// by what reads the files that this program wrote itself.
pub(super) fn read_features(path: &Path) {
    let checked = earmark::outputs::features::check(path);
    // The others would wait as long.
    if checked.is_err_and(|err| err.to_string().contains("took too long")) {
        return;
    }
    let _ = h5::check(path);
    if let Ok(about) = earmark::inspect::inspect(path) {
        let _ = (about.to_string(), about.json());
    }
    let _ = h5::read_features(path);
    let _ = earmark::report::page_of(path);
    let left = panic_of(path);
    let how = std::fs::read_to_string(&left).ok();
    let _ = std::fs::remove_file(&left);
    assert!(how.is_none(), "the child that reads panicked: {how:?}");
}

/// Where a child that reads this file leaves how it panicked.
fn panic_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".panic");
    name.into()
}

/// In such a child: its caller makes an ordinary error of its end, so that it leaves a note.
pub(crate) fn leave_panics() {
    let Some(file) = std::env::args_os().nth(3) else {
        return;
    };
    std::panic::set_hook(Box::new(move |info| {
        let _ = std::fs::write(panic_of(Path::new(&file)), info.to_string());
    }));
}
