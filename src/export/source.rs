//! Finds the files to export, reads them in full and checks that they fit together before anything is written.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{anyhow, bail};
use gstearmark::h5::{self, Features, Parts, Summary, Tables};
use indicatif::ProgressBar;

use crate::failure::{Class, Failure};
use crate::outputs::features::{self, Readable, features_in};
use crate::outputs::{FrameScores, RecordingQuality};
use crate::quality::Weights;
use crate::stop::Stop;

/// Rows of features in memory at a time.
pub(super) const TOGETHER: usize = 256;
/// Most files that an error lists.
const MOST: usize = 10;

/// An intact and complete feature file.
pub(super) struct Source {
    pub(super) path: PathBuf,
    summary: Summary,
    stop: Stop,
    /// Open while it is being exported.
    open: RefCell<Option<Rc<Readable>>>,
}

/// The named files, and the files in named folders.
pub(super) fn paths(given: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for path in given {
        if path.is_dir() {
            let found = features_in(path)?;
            if found.is_empty() {
                bail!("the folder {} has no feature files (.h5)", path.display());
            }
            paths.extend(found);
        } else {
            paths.push(path.clone());
        }
    }
    Ok(paths)
}

/// Reads every file in full. Returns the exportable ones, and why the others are not. If none is, or they do not fit together,
/// that is an error, and all problems are reported at once.
pub(super) fn check(
    paths: &[PathBuf],
    stop: &Stop,
    bar: &ProgressBar,
) -> anyhow::Result<(Vec<Source>, Vec<String>)> {
    let (mut sources, mut wrong) = (Vec::new(), Vec::new());
    for path in paths {
        stopped(stop)?;
        match source(path, stop) {
            Ok(source) => sources.push(source),
            Err(e) => wrong.push(format!("{e:#}")),
        }
        bar.inc(1);
    }
    let apart = together(&sources);
    if apart.is_empty() && !sources.is_empty() {
        return Ok((sources, wrong));
    }
    wrong.extend(apart);
    let more = wrong.len().saturating_sub(MOST);
    wrong.truncate(MOST);
    if more > 0 {
        wrong.push(format!("and {more} more"));
    }
    bail!("nothing was written: {}", wrong.join("\n  "))
}

fn source(path: &Path, stop: &Stop) -> anyhow::Result<Source> {
    let name = path.display();
    let summary = features::summary(path)?;
    if !summary.complete {
        bail!("{name} is incomplete because its run did not finish; run it again, or leave it out");
    }
    let problems = features::check(path)?;
    if !problems.is_empty() {
        bail!("{name} is damaged: {}", problems.join("; "));
    }
    if summary.frames == 0 {
        bail!("{name} has no frames because the recording has no video; leave it out");
    }
    let id = &summary.video_id;
    let plain = !id.is_empty() && !id.starts_with('.') && !id.contains(['/', '\\', '\0']);
    if !plain {
        bail!("{name} has the video_id {id:?}, which cannot be a file name");
    }
    Ok(Source {
        path: path.into(),
        summary,
        stop: stop.clone(),
        open: RefCell::new(None),
    })
}

/// Why files do not fit together.
fn together(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut ids: BTreeMap<&str, &Source> = BTreeMap::new();
    for source in sources {
        if let Some(other) = ids.insert(source.id(), source) {
            wrong.push(format!(
                "{} and {} are of the same recording {}; export them separately",
                other.path.display(),
                source.path.display(),
                source.id()
            ));
        }
    }
    if let Some(first) = sources.first() {
        wrong.extend(
            sources
                .iter()
                .find(|source| source.dim() != first.dim())
                .map(|other| {
                    format!(
                        "{} has {} values per frame, {} has {}: they come from different models; export them separately",
                        first.path.display(),
                        first.dim(),
                        other.path.display(),
                        other.dim()
                    )
                }),
        );
        let alike = |source: &&Source| source.dim() == first.dim();
        let other = sources
            .iter()
            .filter(alike)
            .find(|source| encoders_differ(first, source));
        wrong.extend(other.map(|other| {
            format!(
                "{} was encoded by {}, {} by {}, or with other settings: their features cannot be compared; export them separately",
                first.path.display(),
                first.encoder(),
                other.path.display(),
                other.encoder()
            )
        }));
    }
    wrong
}

/// Whether two files are known to come from different encoders. What an older version did not record does not count.
fn encoders_differ(one: &Source, other: &Source) -> bool {
    let encoder = |source: &Source| {
        let mut models = source.summary.models.iter();
        models.find(|model| is_encoder(&model.role)).cloned()
    };
    match (encoder(one), encoder(other)) {
        (Some(one), Some(other)) => {
            let manifests = one.manifest_sha256.zip(other.manifest_sha256);
            one.sha256 != other.sha256 || manifests.is_some_and(|(one, other)| one != other)
        }
        _ => false,
    }
}

/// Whether a model encodes frames or clips.
fn is_encoder(role: &str) -> bool {
    ["encoder", "clip-encoder"].contains(&role)
}

fn stopped(stop: &Stop) -> anyhow::Result<()> {
    match stop.is_wanted() {
        true => Err(Failure::error(
            Class::Stopped,
            "stopped; finished files are kept",
        )),
        false => Ok(()),
    }
}

impl Source {
    pub(super) fn id(&self) -> &str {
        &self.summary.video_id
    }

    /// Number of frames.
    pub(super) fn frames(&self) -> usize {
        self.summary.frames as usize
    }

    /// Values per frame.
    pub(super) fn dim(&self) -> usize {
        self.summary.dim
    }

    /// Length of the recording.
    pub(super) fn duration_ns(&self) -> i64 {
        self.summary.duration_ns
    }

    /// The resolved pipeline, as JSON.
    pub(super) fn config(&self) -> &str {
        &self.summary.config
    }

    /// An attribute beyond the schema.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.summary.further.get(name).map(String::as_str)
    }

    /// Name and SHA-256 of the encoder.
    pub(super) fn encoder(&self) -> String {
        let encoder = self.summary.models.iter().find(|m| is_encoder(&m.role));
        encoder.map_or(String::new(), |m| format!("{} {}", m.name, m.sha256))
    }

    /// The readable file; stays the same until [`Source::done`].
    pub(super) fn readable(&self) -> anyhow::Result<Rc<Readable>> {
        if let Some(open) = &*self.open.borrow() {
            return Ok(open.clone());
        }
        let open = Rc::new(Readable::open(&self.path, Parts::All)?);
        Ok(self.open.borrow_mut().insert(open).clone())
    }

    /// Closes the file.
    pub(super) fn done(&self) {
        self.open.replace(None);
    }

    /// Fails if the user wants to stop.
    pub(super) fn go_on(&self) -> anyhow::Result<()> {
        stopped(&self.stop)
    }

    pub(super) fn tables(&self) -> anyhow::Result<Tables> {
        Ok(h5::read_tables(self.readable()?.path())?)
    }

    /// Quality of the sound, of the frames and of both, overall and by stretch; `None` if neither was measured.
    pub(super) fn quality(&self) -> anyhow::Result<Option<RecordingQuality>> {
        let (tables, cues) = (self.tables()?, h5::read_cues(self.readable()?.path())?);
        Ok(RecordingQuality::of(&tables, &cues, &self.weights()))
    }

    /// Quality of the sound, of the frame and of both at every frame; NaN where something was not measured.
    pub(super) fn frame_scores(&self, tables: &Tables) -> anyhow::Result<Vec<[f32; 3]>> {
        let cues = h5::read_cues(self.readable()?.path())?;
        let all = FrameScores::all(tables, &cues, &self.weights());
        let row = |one: FrameScores| {
            [one.sound, one.frame, one.both].map(|score| score.unwrap_or(f32::NAN))
        };
        Ok(all.into_iter().map(row).collect())
    }

    /// How the run's pipeline weighs them.
    fn weights(&self) -> Weights {
        let config = serde_json::from_str(&self.summary.config).unwrap_or_default();
        Weights::of_run(&config)
    }

    /// The features of all frames in order, in blocks of rows.
    pub(super) fn blocks(
        &self,
        together: usize,
        mut each: impl FnMut(Range<usize>, &[f32]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let features = Features::open(self.readable()?.path())?;
        for at in (0..self.frames()).step_by(together) {
            stopped(&self.stop)?;
            let rows = at..(at + together).min(self.frames());
            each(rows.clone(), &features.rows(rows)?)?;
        }
        Ok(())
    }

    /// Single rows; cheap to read in ascending order.
    pub(super) fn rows(&self) -> anyhow::Result<Rows<'_>> {
        Ok(Rows {
            source: self,
            features: Features::open(self.readable()?.path())?,
            start: 0,
            block: Vec::new(),
        })
    }
}

/// A window of rows.
pub(super) struct Rows<'a> {
    source: &'a Source,
    features: Features,
    start: usize,
    block: Vec<f32>,
}

impl Rows<'_> {
    /// The features of a frame.
    pub(super) fn get(&mut self, row: usize) -> anyhow::Result<&[f32]> {
        let dim = self.source.dim();
        let held = self.start..self.start + self.block.len() / dim.max(1);
        if !held.contains(&row) {
            stopped(&self.source.stop)?;
            let until = (row + TOGETHER).min(self.source.frames());
            self.block = self.features.rows(row..until)?;
            self.start = row;
        }
        let at = (row - self.start) * dim;
        self.block
            .get(at..at + dim)
            .ok_or_else(|| anyhow!("{} has no row {row}", self.source.path.display()))
    }
}

/// Values as little-endian bytes.
pub(super) fn bytes<T: Copy, const N: usize>(numbers: &[T], of: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    numbers.iter().flat_map(|number| of(*number)).collect()
}
