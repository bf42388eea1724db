//! The questions of an evaluation, by recording.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::bail;
use sha2::{Digest, Sha256};

use crate::ask::heard;
use crate::cli::{Half, QuestionArgs, Questions};
use crate::datasets::questions::{self, Question};
use crate::report::recording_named;

/// A recording and its questions.
pub(super) struct OfRecording {
    pub(super) video: String,
    /// Its feature file or plan.
    pub(super) file: PathBuf,
    pub(super) recording: PathBuf,
    pub(super) questions: Vec<Question>,
}

/// The questions of an evaluation.
pub(super) struct Set {
    pub(super) recordings: Vec<OfRecording>,
    /// Notes for the user.
    pub(super) notes: Vec<String>,
}

impl Set {
    /// Number of questions.
    pub(super) fn len(&self) -> usize {
        self.recordings.iter().map(|one| one.questions.len()).sum()
    }
}

/// Reads the questions, and finds their recordings.
///
/// # Errors
/// The file cannot be read, or no question has a recording.
pub(super) fn read(args: &QuestionArgs) -> anyhow::Result<Set> {
    let all = match args.layout {
        Questions::Jsonl => questions::own(&args.questions)?,
        Questions::NextQa => questions::nextqa(&args.questions)?,
        Questions::Star => questions::star(&args.questions)?,
        Questions::Avqa => questions::avqa(&args.questions)?,
        Questions::EgoSchema => questions::egoschema(&args.questions)?,
        Questions::MusicAvqa => questions::music_avqa(&args.questions)?,
        Questions::HmeQa => questions::hme_qa(&args.questions)?,
    };
    let there = heard::files(&args.features)?;
    let (mut by_video, mut missing): (BTreeMap<String, Vec<Question>>, BTreeMap<String, u64>) =
        Default::default();
    let given = all.len();
    for question in all.into_iter().take(args.limit.unwrap_or(usize::MAX)) {
        by_video
            .entry(question.video.clone())
            .or_default()
            .push(question);
    }
    let mut recordings = Vec::new();
    for video in half(by_video.keys().cloned().collect(), args) {
        let questions = by_video.remove(&video).unwrap_or_default();
        let recording = recording_named(video.as_ref(), &args.videos);
        match (there.get(&video), recording) {
            (Some(file), Some(recording)) => recordings.push(OfRecording {
                video,
                file: file.clone(),
                recording,
                questions,
            }),
            _ => {
                missing.insert(video, questions.len() as u64);
            }
        }
    }
    let mut notes = Vec::new();
    if let Some((first, _)) = missing.first_key_value() {
        let left_out: u64 = missing.values().sum();
        notes.push(format!(
            "{left_out} of {given} questions are left out: {} videos have no feature file or plan in {} or no recording in {}, such as {first}",
            missing.len(),
            args.features.display(),
            args.videos.display()
        ));
        if recordings.is_empty() {
            bail!("no question can be asked: {}", notes[0]);
        }
    }
    if recordings.is_empty() {
        bail!(
            "{} has no questions for this half",
            args.questions.display()
        );
    }
    Ok(Set { recordings, notes })
}

/// The videos that count. Both halves have the same size; the seed and a video's name alone decide its half.
fn half(mut videos: Vec<String>, args: &QuestionArgs) -> Vec<String> {
    let key = |video: &String| Sha256::digest(format!("{}/{video}", args.half_seed)).to_vec();
    videos.sort_by_key(key);
    let middle = videos.len() / 2;
    let mut kept = match args.half {
        Half::All => videos,
        Half::Dev => videos[..middle].to_vec(),
        Half::HeldOut => videos[middle..].to_vec(),
    };
    kept.sort();
    kept
}
