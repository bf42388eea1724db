//! Reads a file: a summary, and its tables by column. One file because every table is read by the same few rules.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use anchoring::cue::{COARSE, SoundQuality};
use anchoring::plan::{MOST_CLIP_FRAMES, Reason, Untaken};
use anchoring::tier::{Tier, Tokens};
use anchoring::time::Nanos;
use serde::{Deserialize, Serialize};

use super::reading::Reading;
use super::value::{Label, read_label};
use super::{H5Error, H5Type, ModelNote, OldReasonCode, OldText, Precision, ReasonCode, TierCode};
use crate::frame_quality::FrameQuality;

/// Thumbnails in memory at once.
const TOGETHER: usize = 64;

/// Frames of one tier and reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Their resolution.
    pub tier: Tier,
    /// Why they were taken.
    pub reason: Reason,
    /// Number of frames.
    pub frames: u64,
    /// Their tokens.
    pub tokens: Tokens,
}

/// The summary of a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// `earmark/2`.
    pub schema: String,
    /// Whether it is complete; if not, only what follows from the tables is set.
    pub complete: bool,
    /// Name of the recording.
    pub video_id: String,
    /// URI of the recording.
    pub input_uri: String,
    /// Its size in bytes.
    pub input_bytes: u64,
    /// Its length.
    pub duration_ns: i64,
    /// Rows of `/frames`.
    pub frames: u64,
    /// Numbers per frame.
    pub dim: usize,
    /// Frames of a clip; 0 where rows are single frames.
    #[serde(default)]
    pub clip_frames: usize,
    /// How they are stored.
    pub precision: Precision,
    /// Frames by tier and reason, none of them empty.
    pub shares: Vec<Share>,
    /// Tokens spent.
    pub spent_tokens: Tokens,
    /// The budget.
    pub budget_tokens: Tokens,
    /// Plan entries without a frame.
    pub frames_missed: u64,
    /// Access units that reached the gate.
    pub access_units_seen: u64,
    /// Those that it passed.
    pub access_units_passed: u64,
    /// Rows of `/anchors`.
    pub anchors: u64,
    /// How many of the candidates that were not taken the plan kept for every minute; 0 if it kept none, as those of
    /// older versions do.
    #[serde(default)]
    pub candidates_per_min: u64,
    /// Rows of `/candidates`.
    #[serde(default)]
    pub candidates: u64,
    /// Labels of anchors, the most frequent first, at most ten.
    pub top_labels: Vec<(String, u64)>,
    /// Rows of `/cues`.
    pub cues: u64,
    /// The models behind the file.
    pub models: Vec<ModelNote>,
    /// Versions of libraries, by name.
    pub versions: BTreeMap<String, String>,
    /// Stream descriptions, as JSON.
    pub streams: serde_json::Value,
    /// The resolved pipeline or the plan's settings, as text.
    pub config: String,
    /// The device of the encoder: `cpu`, `cuda 0`; empty in files of older versions.
    pub provider: String,
    /// The element that decoded the frames; empty without video and in files of older versions.
    pub decoder: String,
    /// How frames were turned upright.
    pub rotation: String,
    /// The warnings of the run.
    pub warnings: Vec<String>,
    /// The time of each pass, as JSON; `null` in files of older versions.
    pub times: serde_json::Value,
    /// Whether there is a small JPEG of every frame.
    pub thumbnails: bool,
    /// Attributes beyond the schema: the recording's hash, its audio track, variables.
    pub further: BTreeMap<String, String>,
}

/// Every dataset but features and cues, by column.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Tables {
    /// Each frame's presentation time.
    pub pts_ns: Vec<i64>,
    /// The time of the plan, after snapping.
    pub planned_ns: Vec<i64>,
    /// The time that was asked for, before snapping; as `planned_ns` in files of older versions.
    pub asked_ns: Vec<i64>,
    /// Its resolution.
    pub tier: Vec<Tier>,
    /// Why it was taken.
    pub reason: Vec<Reason>,
    /// Its price.
    pub tokens: Vec<u32>,
    /// Index into `anchors`, or -1.
    pub anchor: Vec<i32>,
    /// The anchors, in the order of their windows.
    pub anchors: Vec<AnchorRow>,
    /// Quality of each frame; empty in files of older versions.
    pub quality: Vec<FrameQuality>,
    /// Candidates that were not taken; none in files of older versions.
    pub candidates: Vec<CandidateRow>,
    /// The frames of each row, where rows are clips.
    pub clips: Option<Clips>,
}

/// `/clips`: a row for each of `/frames`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Clips {
    /// Frames of a clip.
    pub frames: usize,
    /// The time of its first frame.
    pub start_ns: Vec<i64>,
    /// The end of its last frame.
    pub stop_ns: Vec<i64>,
    /// `[N, frames]`, row-major: the time of each frame; -1 where there is none.
    pub frame_pts_ns: Vec<i64>,
}

/// A row of `/candidates`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CandidateRow {
    /// Its onset.
    pub onset_ns: i64,
    /// Probability that something begins here, in [0, 1].
    pub score: f32,
    /// How many tokens more the budget needs to take it; -1 if that isn't known, or no budget does.
    pub more_tokens: i64,
}

/// A row of `/anchors`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AnchorRow {
    /// Its onset.
    pub onset_ns: i64,
    /// First instant of its window.
    pub start_ns: i64,
    /// First instant after its window.
    pub stop_ns: i64,
    /// Probability that something begins here, in [0, 1].
    pub score: f32,
    /// Its uncertainty, in [0, 1].
    pub uncertainty: f32,
    /// The tagger's class, or -1.
    pub class_id: i32,
    /// Its name.
    pub label: String,
}

impl CandidateRow {
    /// As a plan has it.
    pub fn untaken(&self) -> Untaken {
        Untaken {
            onset: Nanos::new(self.onset_ns),
            score: self.score,
            more_tokens: u64::try_from(self.more_tokens).ok(),
        }
    }
}

/// The summary of a file, complete or not.
///
/// # Errors
/// Not there, not of this schema, or damaged.
pub fn read_summary(path: &Path) -> Result<Summary, H5Error> {
    let file = Reading::open(path)?;
    summary(&file)
}

pub(super) fn summary(file: &Reading) -> Result<Summary, H5Error> {
    let path = &file.path;
    let complete = file.truth("complete")?;
    let tables = tables(file)?;
    let [frames, dim] = file.shape("frames/features")?[..] else {
        return Err(foreign(path, "/frames/features is not [N, D]"));
    };
    // Set at the end of a run; an unfinished file may lack them.
    let number = |name: &str| match file.number(name) {
        Err(_) if !complete => Ok(0),
        other => other,
    };
    let text = |name: &str| match file.text(name) {
        Err(_) if !complete => Ok(String::new()),
        other => other,
    };
    let duration_ns = match file.signed("duration_ns") {
        Err(_) if !complete => 0,
        other => other?,
    };
    Ok(Summary {
        schema: file.schema.clone(),
        complete,
        video_id: text("video_id")?,
        input_uri: text("input_uri")?,
        input_bytes: number("input_bytes")?,
        duration_ns,
        frames: frames as u64,
        dim,
        clip_frames: clip_frames(file)?,
        precision: file.precision()?,
        shares: shares(&tables),
        spent_tokens: tables.tokens.iter().copied().map(Tokens::from).sum(),
        budget_tokens: number("budget_tokens")?,
        frames_missed: number("frames_missed")?,
        access_units_seen: number("access_units_seen")?,
        access_units_passed: number("access_units_passed")?,
        anchors: tables.anchors.len() as u64,
        candidates_per_min: file.number("candidates_per_min").unwrap_or(0),
        candidates: tables.candidates.len() as u64,
        top_labels: top_labels(&tables.anchors),
        cues: file.height("cues/pts_ns")? as u64,
        models: json(path, "models", &text("models")?)?,
        versions: json(path, "versions", &text("versions")?)?,
        streams: json(path, "streams", &text("streams")?)?,
        config: text("config")?,
        provider: file.text("provider").unwrap_or_default(),
        decoder: file.text("decoder").unwrap_or_default(),
        rotation: text("rotation")?,
        warnings: json(path, "warnings", &text("warnings")?)?,
        times: json(path, "times", &file.text("times").unwrap_or_default())?,
        thumbnails: file.has_thumbnails(),
        further: file.further(),
    })
}

/// The tables of a file, complete or not.
///
/// # Errors
/// Not there, not of this schema, or damaged.
pub fn read_tables(path: &Path) -> Result<Tables, H5Error> {
    tables(&Reading::open(path)?)
}

/// The cues of a recording, by column: one row per hop.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CueColumns {
    /// Start of the hop.
    pub pts_ns: Vec<i64>,
    /// In [0, 1].
    pub eventness: Vec<f32>,
    /// In [0, 1].
    pub uncertainty: Vec<f32>,
    /// In [0, 1].
    pub speech: Vec<f32>,
    /// `[M, 16]` row-major, as in `anchoring::cue::Cue`; empty in files of older versions.
    pub bands: Vec<u8>,
    /// Not a number where it is not known; empty in files of older versions.
    pub change: Vec<f32>,
    /// How good the sound is; empty in files of older versions.
    pub quality: Vec<Option<SoundQuality>>,
}

/// The cues of a file, complete or not.
///
/// # Errors
/// Not there, not of this schema, or damaged.
pub fn read_cues(path: &Path) -> Result<CueColumns, H5Error> {
    cues(&Reading::open(path)?)
}

pub(super) fn cues(file: &Reading) -> Result<CueColumns, H5Error> {
    let path = &file.path;
    let cues = CueColumns {
        pts_ns: file.column("cues/pts_ns")?,
        eventness: file.column("cues/eventness")?,
        uncertainty: file.column("cues/uncertainty")?,
        speech: file.column("cues/speech")?,
        bands: if file.has("cues/bands") {
            file.column("cues/bands")?
        } else {
            Vec::new()
        },
        change: match file.has("cues/change") {
            true => file.column("cues/change")?,
            false => Vec::new(),
        },
        quality: sound_quality(file, &Whole)?,
    };
    let rows = cues.pts_ns.len();
    let columns = [&cues.eventness, &cues.uncertainty, &cues.speech];
    let fits = cues.bands.is_empty() || cues.bands.len() == rows * COARSE;
    let fits = fits && (cues.change.is_empty() || cues.change.len() == rows);
    let fits = fits && (cues.quality.is_empty() || cues.quality.len() == rows);
    if !fits || columns.iter().any(|column| column.len() != rows) {
        return Err(foreign(path, "the columns of /cues differ in length"));
    }
    Ok(cues)
}

/// Gives `each` the row and the JPEG of every wanted row (ascending), holding few in memory. Gives nothing for files without thumbnails.
///
/// # Errors
/// Not there, not of this schema, or damaged.
pub fn read_thumbnails(
    path: &Path,
    wanted: &[usize],
    mut each: impl FnMut(usize, &[u8]),
) -> Result<(), H5Error> {
    let file = Reading::open(path)?;
    if !file.has_thumbnails() {
        return Ok(());
    }
    let rows = file.height("frames/pts_ns")?;
    let mut wanted = wanted.iter().copied().filter(|row| *row < rows).peekable();
    while let Some(&first) = wanted.peek() {
        let until = (first + TOGETHER).min(rows);
        let jpegs = file.thumbnails(first..until)?;
        while let Some(row) = wanted.next_if(|row| (first..until).contains(row)) {
            if let Some(jpeg) = jpegs.get(row - first) {
                each(row, jpeg);
            }
        }
    }
    Ok(())
}

/// All features, row-major `[N, D]`, in 32 bits. Holds them all in memory.
///
/// # Errors
/// Not there, not of this schema, or damaged.
pub fn read_features(path: &Path) -> Result<Vec<f32>, H5Error> {
    Reading::open(path)?.column("frames/features")
}

/// The features of a file, some rows at a time.
pub struct Features(Reading);

impl Features {
    /// Opens a file, complete or not.
    ///
    /// # Errors
    /// Not there, or not of this schema.
    pub fn open(path: &Path) -> Result<Self, H5Error> {
        Ok(Self(Reading::open(path)?))
    }

    /// These rows, row-major, in 32 bits.
    ///
    /// # Errors
    /// The rows are out of range, or damaged.
    pub fn rows(&self, rows: Range<usize>) -> Result<Vec<f32>, H5Error> {
        Ok(self.0.block(rows)?.0)
    }
}

/// Tier and reason of every frame.
pub(super) fn codes(
    file: &Reading,
    columns: &impl Columns,
) -> Result<(Vec<Tier>, Vec<Reason>), H5Error> {
    let tiers: Vec<TierCode> = columns.column(file, "frames/tier", 1)?;
    let reasons: Vec<ReasonCode> = match file.is_old() {
        false => columns.column(file, "frames/reason", 1)?,
        true => {
            let old: Vec<OldReasonCode> = columns.column(file, "frames/reason", 1)?;
            old.into_iter().map(ReasonCode::from).collect()
        }
    };
    let tier = |code: &TierCode| Tier::ALL.get(usize::from(code.0)).copied();
    let reason = |code: &ReasonCode| Reason::ALL.get(usize::from(code.0)).copied();
    let unknown = |name: &str| foreign(&file.path, &format!("{name} has a value without a name"));
    let tiers: Option<_> = tiers.iter().map(tier).collect();
    let reasons: Option<_> = reasons.iter().map(reason).collect();
    Ok((
        tiers.ok_or_else(|| unknown("/frames/tier"))?,
        reasons.ok_or_else(|| unknown("/frames/reason"))?,
    ))
}

pub(super) fn tables(file: &Reading) -> Result<Tables, H5Error> {
    let (tier, reason) = codes(file, &Whole)?;
    let planned_ns = file.column(planned(file))?;
    let tables = Tables {
        pts_ns: file.column("frames/pts_ns")?,
        asked_ns: asked(file, &planned_ns)?,
        planned_ns,
        tier,
        reason,
        tokens: file.column("frames/tokens")?,
        anchor: file.column("frames/anchor")?,
        anchors: anchors(file)?,
        quality: quality(file, &Whole)?,
        candidates: candidates(file)?,
        clips: clips(file, &Whole)?,
    };
    let rows = tables.pts_ns.len();
    let columns = [
        tables.planned_ns.len(),
        tables.asked_ns.len(),
        tables.tier.len(),
        tables.reason.len(),
        tables.tokens.len(),
        tables.anchor.len(),
    ];
    let measured = tables.quality.is_empty() || tables.quality.len() == rows;
    let agree = tables.clips.as_ref().is_none_or(|clips| {
        clips.start_ns.len() == rows
            && clips.stop_ns.len() == rows
            && clips.frame_pts_ns.len() == rows * clips.frames
    });
    if !agree {
        return Err(foreign(
            &file.path,
            "/clips has another length than /frames",
        ));
    }
    if !measured || columns.iter().any(|length| *length != rows) {
        return Err(foreign(
            &file.path,
            "the columns of /frames differ in length",
        ));
    }
    Ok(tables)
}

/// Frames of a clip; 0 where rows are single frames.
pub(super) fn clip_frames(file: &Reading) -> Result<usize, H5Error> {
    let name = "clips/frame_pts_ns";
    if !file.has(name) {
        return Ok(0);
    }
    match file.shape(name)?[..] {
        [_, frames] if (1..=MOST_CLIP_FRAMES).contains(&frames) => Ok(frames),
        _ => Err(foreign(&file.path, "/clips/frame_pts_ns is not [N, T]")),
    }
}

/// The frames of clips.
pub(super) fn clips(file: &Reading, columns: &impl Columns) -> Result<Option<Clips>, H5Error> {
    let frames = clip_frames(file)?;
    if frames == 0 {
        return Ok(None);
    }
    Ok(Some(Clips {
        frames,
        start_ns: columns.column(file, "clips/start_ns", 1)?,
        stop_ns: columns.column(file, "clips/stop_ns", 1)?,
        frame_pts_ns: columns.column(file, "clips/frame_pts_ns", frames)?,
    }))
}

/// The measures of every frame that all columns have; none in files of older versions.
pub(super) fn quality(
    file: &Reading,
    columns: &impl Columns,
) -> Result<Vec<FrameQuality>, H5Error> {
    if !file.has(super::quality::FRAMES) {
        return Ok(Vec::new());
    }
    let measures = FrameQuality::NAMES
        .map(|name| columns.column::<f32>(file, &format!("{}/{name}", super::quality::FRAMES), 1));
    let mut all = Vec::with_capacity(measures.len());
    for measure in measures {
        all.push(measure?);
    }
    let rows = all.iter().map(Vec::len).min().unwrap_or(0);
    if columns.strict() && all.iter().any(|measure| measure.len() != rows) {
        return Err(foreign(
            &file.path,
            "the columns of /frames/quality differ in length",
        ));
    }
    let row = |k: usize| FrameQuality::from_values(std::array::from_fn(|column| all[column][k]));
    Ok((0..rows).map(row).collect())
}

/// The measures of the sound of every cue that all columns have; none in files of older versions.
pub(super) fn sound_quality(
    file: &Reading,
    columns: &impl Columns,
) -> Result<Vec<Option<SoundQuality>>, H5Error> {
    if !file.has(super::quality::CUES) {
        return Ok(Vec::new());
    }
    let mut all: Vec<Vec<f32>> = Vec::with_capacity(SoundQuality::MEASURES);
    for name in SoundQuality::NAMES {
        let name = format!("{}/{name}", super::quality::CUES);
        all.push(columns.column(file, &name, 1)?);
    }
    let rows = all.iter().map(Vec::len).min().unwrap_or(0);
    let row = |k: usize| {
        let shares: [f32; SoundQuality::MEASURES] = std::array::from_fn(|column| all[column][k]);
        let known = shares.iter().all(|share| !share.is_nan());
        known.then(|| SoundQuality::from_shares(shares))
    };
    Ok((0..rows).map(row).collect())
}

/// Name of the column of planned times.
pub(super) fn planned(file: &Reading) -> &'static str {
    match file.is_old() {
        true => "frames/requested_ns",
        false => "frames/planned_ns",
    }
}

/// `/frames/asked_ns`, or its substitute in older files.
fn asked(file: &Reading, planned: &[i64]) -> Result<Vec<i64>, H5Error> {
    match file.has("frames/asked_ns") {
        true => file.column("frames/asked_ns"),
        false => Ok(planned.to_vec()),
    }
}

fn anchors(file: &Reading) -> Result<Vec<AnchorRow>, H5Error> {
    let (rows, longest) = anchors_by(file, &Whole)?;
    if rows.len() == longest {
        Ok(rows)
    } else {
        Err(foreign(
            &file.path,
            "the columns of /anchors differ in length",
        ))
    }
}

fn candidates(file: &Reading) -> Result<Vec<CandidateRow>, H5Error> {
    let (rows, longest) = candidates_by(file, &Whole)?;
    if rows.len() == longest {
        Ok(rows)
    } else {
        Err(foreign(
            &file.path,
            "the columns of /candidates differ in length",
        ))
    }
}

/// The candidates that every column has, and how many the longest has.
pub(super) fn candidates_by(
    file: &Reading,
    columns: &impl Columns,
) -> Result<(Vec<CandidateRow>, usize), H5Error> {
    if !file.has("candidates/onset_ns") {
        return Ok((Vec::new(), 0));
    }
    let onsets: Vec<i64> = columns.column(file, "candidates/onset_ns", 1)?;
    let scores: Vec<f32> = columns.column(file, "candidates/score", 1)?;
    let more: Vec<i64> = columns.column(file, "candidates/more_tokens", 1)?;
    let longest = onsets.len().max(scores.len()).max(more.len());
    let rows = onsets.into_iter().zip(scores).zip(more);
    let rows = rows.map(|((onset_ns, score), more_tokens)| CandidateRow {
        onset_ns,
        score,
        more_tokens,
    });
    Ok((rows.collect(), longest))
}

/// How to read columns.
pub(super) trait Columns {
    /// Whether missing rows are an error.
    fn strict(&self) -> bool;

    /// A column of so many numbers a row.
    fn column<T: H5Type>(
        &self,
        file: &Reading,
        name: &str,
        width: usize,
    ) -> Result<Vec<T>, H5Error>;
}

/// Reads in full, or fails.
pub(super) struct Whole;

impl Columns for Whole {
    fn strict(&self) -> bool {
        true
    }

    fn column<T: H5Type>(&self, file: &Reading, name: &str, _: usize) -> Result<Vec<T>, H5Error> {
        file.column(name)
    }
}

/// The anchors that every column has, and how many the longest has.
pub(super) fn anchors_by(
    file: &Reading,
    columns: &impl Columns,
) -> Result<(Vec<AnchorRow>, usize), H5Error> {
    let onsets: Vec<i64> = columns.column(file, "anchors/onset_ns", 1)?;
    let starts: Vec<i64> = columns.column(file, "anchors/start_ns", 1)?;
    let stops: Vec<i64> = columns.column(file, "anchors/stop_ns", 1)?;
    let scores: Vec<f32> = columns.column(file, "anchors/score", 1)?;
    let uncertainties: Vec<f32> = columns.column(file, "anchors/uncertainty", 1)?;
    let classes: Vec<i32> = columns.column(file, "anchors/class_id", 1)?;
    let labels: Vec<String> = match (file.is_old(), file.truth("complete")?) {
        (false, _) => {
            let labels: Vec<Label> = columns.column(file, "anchors/label", 1)?;
            labels.iter().map(read_label).collect()
        }
        (true, true) => {
            let labels: Vec<OldText> = columns.column(file, "anchors/label", 1)?;
            let text = |label: &OldText| String::from_utf8_lossy(label.as_bytes()).into_owned();
            labels.iter().map(text).collect()
        }
        // In an unfinished file, HDF5 1.10 can search for a text forever, as its heap may be incomplete.
        (true, false) => vec![String::new(); onsets.len()],
    };
    let row = |k: usize| {
        Some(AnchorRow {
            onset_ns: *onsets.get(k)?,
            start_ns: *starts.get(k)?,
            stop_ns: *stops.get(k)?,
            score: *scores.get(k)?,
            uncertainty: *uncertainties.get(k)?,
            class_id: *classes.get(k)?,
            label: labels.get(k)?.clone(),
        })
    };
    let lengths = [
        onsets.len(),
        starts.len(),
        stops.len(),
        scores.len(),
        uncertainties.len(),
        classes.len(),
        labels.len(),
    ];
    let longest = lengths.into_iter().max().unwrap_or(0);
    Ok(((0..longest).map_while(row).collect(), longest))
}

fn shares(tables: &Tables) -> Vec<Share> {
    let mut counts: BTreeMap<(Tier, Reason), (u64, Tokens)> = BTreeMap::new();
    for ((tier, reason), tokens) in tables.tier.iter().zip(&tables.reason).zip(&tables.tokens) {
        let count = counts.entry((*tier, *reason)).or_default();
        count.0 += 1;
        count.1 += Tokens::from(*tokens);
    }
    counts
        .into_iter()
        .map(|((tier, reason), (frames, tokens))| Share {
            tier,
            reason,
            frames,
            tokens,
        })
        .collect()
}

fn top_labels(anchors: &[AnchorRow]) -> Vec<(String, u64)> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for anchor in anchors.iter().filter(|anchor| !anchor.label.is_empty()) {
        *counts.entry(&anchor.label).or_default() += 1;
    }
    let mut labels: Vec<(String, u64)> = counts
        .into_iter()
        .map(|(label, n)| (label.to_owned(), n))
        .collect();
    labels.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    labels.truncate(10);
    labels
}

/// A JSON attribute; the default if it is empty.
fn json<T: serde::de::DeserializeOwned + Default>(
    path: &Path,
    name: &str,
    text: &str,
) -> Result<T, H5Error> {
    if text.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_str(text).map_err(|err| foreign(path, &format!("`{name}` is not JSON: {err}")))
}

fn foreign(path: &Path, message: &str) -> H5Error {
    H5Error::Foreign {
        path: path.into(),
        message: message.into(),
    }
}
