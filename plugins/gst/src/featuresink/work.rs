//! The work of the worker's thread: jobs -> batches -> embeddings -> rows of the file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anchoring::plan::Reason;
use crossbeam_channel::{RecvError, RecvTimeoutError};

use super::batches::{Batch, Batches, RowOrder, batch_sizes};
use super::closing::ClosingDraft;
use super::frame::{Thumbnails, normalise, normalise_clip};
use super::job::{Ending, Frame, Job, Report, WorkError};
use super::worker::{JobQueue, Leaving, guarded};
use crate::atomic_file::{Identity, identity};
use crate::h5::{Closing, H5Error, KeptFile, Opening, Row, Totals, Writer};
use crate::onnx::{Encoder, pathway_frames};

/// Most rows that wait for an incomplete batch; then every batch goes as it is.
const MOST_WAITING: usize = 128;
/// How long the worker goes on encoding waiting frames after it was asked to leave; the rest is lost.
const GRACE: Duration = Duration::from_secs(3);
/// How long a batch may take where the source cannot wait: a slow encoder gets smaller batches, so that it can be stopped.
const BATCH: Duration = Duration::from_secs(1);

/// Where and how to write the file.
pub(super) struct Target {
    pub(super) path: PathBuf,
    /// Several files, one after the other, each opened when it is named.
    pub(super) in_turn: bool,
    pub(super) overwrite: bool,
    pub(super) opening: Opening,
    /// How long data may wait in memory.
    pub(super) flush: Duration,
    /// Whether frames are left out if the encoder is too slow.
    pub(super) keep_up: bool,
}

/// Called with what happened to files that follow one another.
pub(super) type Announce = Box<dyn Fn(FileEvent<'_>) + Send>;

/// What happened to a file.
pub(super) enum FileEvent<'a> {
    /// It got its name.
    File(&'a Path, &'a Totals),
    /// It got the frame of an anchor: the row of the anchor, and a thumbnail as JPEG.
    Thumbnail(&'a Path, u32, &'a [u8]),
    /// A frame for this reason was left out, as it could not be encoded in time.
    LeftOut(Reason),
}

/// The encoder, the file, and the batches and rows between them.
pub(super) struct Work {
    encoder: Encoder,
    target: Target,
    /// `None` once the file is finished, until a flush restarts the stream.
    writer: Option<Writer>,
    /// The file that this run finished and may replace.
    ours: Option<Identity>,
    /// A complete file that could not be renamed.
    kept: Option<KeptFile>,
    batches: Batches<Frame>,
    rows: RowOrder<Row>,
    px: [usize; 3],
    numbers: Vec<f32>,
    /// For encoders of clips: each input's numbers, and how many frames of a clip it takes; empty for others.
    pathways: Vec<(Vec<f32>, usize)>,
    /// `None` if they are not wanted.
    thumbnails: Option<Thumbnails>,
    /// When the data that waits in memory began to wait.
    since: Option<Instant>,
    /// Frames that were left out.
    left_out: Vec<Reason>,
    leaving: Leaving,
    announce: Announce,
    /// Times of earlier passes, and when this one began.
    times: (Vec<serde_json::Value>, Instant),
    report: Report,
}

impl Work {
    /// Opens the file. `px`: sides of low, base and high. `batch`: frames of the low tier per batch. `earlier`: times of earlier passes, for
    /// the file.
    pub(super) fn new(
        encoder: Encoder,
        target: Target,
        px: [usize; 3],
        batch: usize,
        earlier: Vec<serde_json::Value>,
        leaving: Leaving,
        announce: Announce,
    ) -> Result<Self, H5Error> {
        let writer = match target.in_turn {
            true => None,
            false => Some(Writer::create(
                &target.path,
                target.overwrite,
                &target.opening,
            )?),
        };
        let (mut sizes, mut pathways) = (batch_sizes(batch, px), Vec::new());
        if let Some(clip) = encoder.manifest().clip() {
            sizes = sizes.map(|frames| (frames / clip.frames.max(1) as usize).max(1));
            let inputs = encoder.manifest().pathways().into_iter();
            pathways = inputs.map(|input| (Vec::new(), input.frames)).collect();
        }
        Ok(Self {
            encoder,
            writer,
            ours: None,
            kept: None,
            batches: Batches::new(sizes),
            rows: RowOrder::default(),
            px,
            numbers: Vec::new(),
            pathways,
            thumbnails: target.opening.thumbnails.then(Thumbnails::default),
            target,
            since: None,
            left_out: Vec::new(),
            leaving,
            announce,
            times: (earlier, Instant::now()),
            report: Report::default(),
        })
    }

    /// Works until it is asked to leave or fails; then closes the file.
    pub(super) fn run(mut self, jobs: &JobQueue, known: &Mutex<ClosingDraft>) -> Ending {
        let worked = guarded(|| self.work(jobs));
        let (because, error) = match worked {
            Ok(because) => (because, None),
            Err(err) => {
                // Frames that only waited for their batch may still get in.
                let _ = guarded(|| self.encode_rest());
                (err.to_string(), Some(err))
            }
        };
        let known = super::lock(known).clone();
        let kept = guarded(|| Ok(self.keep(&known, &because)));
        Ending {
            error,
            kept: kept.ok().flatten(),
        }
    }

    /// Does jobs until it is asked to leave; returns the reason for that.
    fn work(&mut self, jobs: &JobQueue) -> Result<String, WorkError> {
        loop {
            let job = match self.since {
                None => jobs
                    .recv()
                    .map_err(|RecvError| RecvTimeoutError::Disconnected),
                Some(since) => jobs.recv_deadline(since + self.target.flush),
            };
            match job {
                Ok(Job::Leave { because }) => {
                    self.encode_rest()?;
                    return Ok(because);
                }
                Ok(job) => self.take(job)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok("the element is gone".into()),
            }
            if self
                .since
                .is_some_and(|since| since.elapsed() >= self.target.flush)
            {
                self.sync()?;
            }
        }
    }

    fn take(&mut self, job: Job) -> Result<(), WorkError> {
        match job {
            Job::Restart => return self.restart(),
            Job::Finish {
                closing,
                scaling,
                measuring,
                done,
            } => {
                // Of several files, the last may be finished by the end of the stream and by the stop that follows.
                if self.target.in_turn && self.writer.is_none() {
                    let _ = done.send(Report::default());
                    return Ok(());
                }
                let report = self.finish(*closing, scaling, measuring)?;
                // A flush may have ended the wait.
                let _ = done.send(report);
                return Ok(());
            }
            Job::Segment {
                closing,
                scaling,
                measuring,
                target,
                further,
            } => {
                if let Some(closing) = closing {
                    self.finish(*closing, scaling, measuring)?;
                }
                return self.next_file(target, further);
            }
            Job::Leave { .. } => return Ok(()),
            Job::Frame(frame) => self.frame(frame)?,
            Job::Anchor(anchor) => self.write(|writer| writer.anchor(&anchor))?,
            Job::Candidate(one) => self.write(|writer| writer.candidate(&one))?,
            Job::Cue(cue) => self.write(|writer| writer.cue(&cue))?,
        }
        self.since.get_or_insert_with(Instant::now);
        Ok(())
    }

    fn frame(&mut self, frame: Frame) -> Result<(), WorkError> {
        if self.is_too_late() {
            self.leave_out(frame.entry.reason);
            return Ok(());
        }
        let ticket = self.rows.reserve();
        if let Some(batch) = self.batches.push(frame.entry.tier, ticket, frame) {
            self.encode(batch)?;
        }
        if self.rows.waiting() >= MOST_WAITING {
            while let Some(batch) = self.batches.drain() {
                self.encode(batch)?;
            }
        }
        Ok(())
    }

    fn encode(&mut self, batch: Batch<Frame>) -> Result<(), WorkError> {
        let begun = Instant::now();
        let drawn = self.report.drawing;
        let px = self.px[batch.tier as usize];
        let dim = self.encoder.dim();
        let embeddings = match self.pathways.is_empty() {
            true => self.encode_frames(&batch, px)?,
            false => self.encode_clips(&batch, px)?,
        };
        let tier = batch.tier;
        for ((ticket, frame), features) in
            batch.frames.into_iter().zip(embeddings.chunks_exact(dim))
        {
            let Frame {
                pts,
                entry,
                square,
                large,
                shape,
                quality,
                clip,
            } = frame;
            let drawing = Instant::now();
            let thumbnail = self
                .thumbnails
                .as_mut()
                .map_or_else(Vec::new, |thumbnails| {
                    let (px, square) = large
                        .as_ref()
                        .map_or((px, &square), |(px, large)| (*px, large));
                    thumbnails.jpeg(square, px, shape, &entry)
                });
            self.report.drawing += drawing.elapsed();
            if let Some(row) = entry.anchor
                && entry.reason == Reason::Anchor
                && self.target.in_turn
                && !thumbnail.is_empty()
            {
                (self.announce)(FileEvent::Thumbnail(&self.target.path, row, &thumbnail));
            }
            self.rows.fill(
                ticket,
                Row {
                    pts,
                    entry,
                    features: features.to_vec(),
                    thumbnail,
                    quality,
                    clip: clip.map(|clip| clip.times),
                },
            );
        }
        self.report.encoding += begun.elapsed().saturating_sub(self.report.drawing - drawn);
        self.report.batches += 1;
        if self.target.keep_up {
            let each = begun.elapsed() / (embeddings.len() / dim.max(1)).max(1) as u32;
            let frames = BATCH.as_nanos() / each.as_nanos().max(1);
            self.batches.at_most(tier, frames.min(1_000) as usize);
        }
        while let Some(row) = self.rows.pop() {
            self.write(|writer| writer.frame(&row))?;
        }
        Ok(())
    }

    fn encode_frames(&mut self, batch: &Batch<Frame>, px: usize) -> Result<Vec<f32>, WorkError> {
        self.numbers.clear();
        let input = &self.encoder.manifest().input;
        for (_, frame) in &batch.frames {
            normalise(&frame.square, px, input, &mut self.numbers);
        }
        let n = batch.frames.len();
        Ok(self.encoder.encode(n, px, &self.numbers, <[f32]>::to_vec)?)
    }

    fn encode_clips(&mut self, batch: &Batch<Frame>, px: usize) -> Result<Vec<f32>, WorkError> {
        let input = &self.encoder.manifest().input;
        for (numbers, frames) in &mut self.pathways {
            numbers.clear();
            for (_, frame) in &batch.frames {
                let Some(clip) = &frame.clip else { continue };
                let taken = pathway_frames(clip.squares.len(), *frames);
                let taken = taken.map(|k| clip.squares[k].as_deref().map(Vec::as_slice));
                normalise_clip(&taken.collect::<Vec<_>>(), px, input, numbers);
            }
        }
        let n = batch.frames.len();
        // Moved out and back, so that their memory is kept.
        let (mut numbers, frames): (Vec<Vec<f32>>, Vec<usize>) =
            std::mem::take(&mut self.pathways).into_iter().unzip();
        let embeddings = self.encoder.encode_clips(n, px, &numbers, <[f32]>::to_vec);
        self.pathways = numbers.drain(..).zip(frames).collect();
        Ok(embeddings?)
    }

    fn write(
        &mut self,
        what: impl FnOnce(&mut Writer) -> Result<(), H5Error>,
    ) -> Result<(), WorkError> {
        let begun = Instant::now();
        what(self.writer()?)?;
        self.report.writing += begun.elapsed();
        Ok(())
    }

    /// The open file; a new one if the last is finished.
    fn writer(&mut self) -> Result<&mut Writer, H5Error> {
        match &mut self.writer {
            Some(writer) => Ok(writer),
            none => {
                let target = &self.target;
                let is_ours = self.ours.is_some() && self.ours == identity(&target.path);
                let overwrite = target.overwrite || is_ours;
                let writer = Writer::create(&target.path, overwrite, &target.opening)?;
                Ok(none.insert(writer))
            }
        }
    }

    /// Writes everything that waits in memory to the disk, incomplete batches too.
    fn sync(&mut self) -> Result<(), WorkError> {
        while let Some(batch) = self.batches.drain() {
            self.encode(batch)?;
        }
        self.write(Writer::sync)?;
        self.since = None;
        Ok(())
    }

    /// Encodes waiting frames while there is time.
    fn encode_rest(&mut self) -> Result<(), WorkError> {
        while !self.is_too_late()
            && let Some(batch) = self.batches.drain()
        {
            self.encode(batch)?;
        }
        Ok(())
    }

    /// Encodes what waits, as far as there is time, and leaves out the rest: then the rows between are complete.
    fn encode_last(&mut self) -> Result<(), WorkError> {
        self.encode_rest()?;
        let mut is_incomplete = false;
        while let Some(batch) = self.batches.drain() {
            is_incomplete = true;
            for (_, frame) in batch.frames {
                self.leave_out(frame.entry.reason);
            }
        }
        while is_incomplete && let Some(row) = self.rows.pop_ready() {
            self.write(|writer| writer.frame(&row))?;
        }
        Ok(())
    }

    fn leave_out(&mut self, reason: Reason) {
        self.left_out.push(reason);
        if self.target.in_turn {
            (self.announce)(FileEvent::LeftOut(reason));
        }
    }

    fn is_too_late(&self) -> bool {
        let since = self.leaving.get();
        since.is_some_and(|since| since.elapsed() >= GRACE)
    }

    /// Opens the next of several files.
    fn next_file(
        &mut self,
        path: PathBuf,
        further: BTreeMap<String, String>,
    ) -> Result<(), WorkError> {
        let mut opening = self.target.opening.clone();
        opening.further.extend(further);
        self.times.1 = Instant::now();
        self.target.path = path;
        self.writer = Some(Writer::create(&self.target.path, false, &opening)?);
        Ok(())
    }

    /// Drops everything so far.
    fn restart(&mut self) -> Result<(), WorkError> {
        while self.batches.drain().is_some() {}
        self.rows = RowOrder::default();
        self.report = Report::default();
        self.since = None;
        self.left_out.clear();
        if let Some(writer) = self.writer.take() {
            self.writer = Some(if *writer.totals() == Totals::default() {
                writer
            } else {
                writer.restart(&self.target.opening)?
            });
        }
        Ok(())
    }

    fn finish(
        &mut self,
        mut closing: Closing,
        scaling: Duration,
        measuring: Duration,
    ) -> Result<Report, WorkError> {
        self.encode_last()?;
        let begun = Instant::now();
        closing.times = self.times(scaling, measuring);
        for reason in std::mem::take(&mut self.left_out) {
            closing.leave_out(reason);
        }
        self.writer()?.complete(&closing)?;
        if let Some(mut writer) = self.writer.take() {
            let (path, totals) = (writer.path().to_owned(), writer.totals().clone());
            writer.keep_on_drop();
            self.report.totals = writer.commit().inspect_err(|_| {
                self.kept = Some(KeptFile { path, totals });
            })?;
        }
        if self.target.in_turn {
            (self.announce)(FileEvent::File(&self.target.path, &self.report.totals));
        }
        self.ours = identity(&self.target.path);
        self.since = None;
        self.report.writing += begun.elapsed();
        Ok(std::mem::take(&mut self.report))
    }

    /// Keeps an unfinished file. Not if it has no frames, as listening again would give the rest; unless the stream has no frames at all.
    fn keep(&mut self, known: &ClosingDraft, because: &str) -> Option<KeptFile> {
        if let Some(kept) = self.kept.take() {
            return Some(kept);
        }
        let mut writer = self.writer.take()?;
        // The rows that are ready; those between them are lost.
        while let Some(row) = self.rows.pop_ready() {
            if writer.frame(&row).is_err() {
                break;
            }
        }
        if known.has_frames() && writer.totals().frames == 0 {
            return None;
        }
        let mut closing = known.closing();
        closing.times = self.times(Duration::ZERO, Duration::ZERO);
        for reason in std::mem::take(&mut self.left_out) {
            closing.leave_out(reason);
        }
        writer.keep(&closing, because)
    }

    /// The time of every pass as JSON, this one last. The last writes are not in it, as it is written with them.
    fn times(&self, scaling: Duration, measuring: Duration) -> String {
        let seconds = |time: Duration| time.as_secs_f64();
        let (mut all, begun) = (self.times.0.clone(), self.times.1);
        all.push(serde_json::json!({
            "pass": if all.is_empty() { "one pass" } else { "decode, encode, write" },
            "seconds": seconds(begun.elapsed()),
            "busy": {
                "scale": seconds(scaling),
                "quality": seconds(measuring),
                "encode": seconds(self.report.encoding),
                "thumbnails": seconds(self.report.drawing),
                "write": seconds(self.report.writing),
            },
        }));
        serde_json::Value::from(all).to_string()
    }
}
