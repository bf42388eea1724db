//! What the sink does with what it gets, on a thread of its own: batches, embeddings, rows, the file.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvError, RecvTimeoutError};

use super::batches::{Batch, Batches, Rows, batch_sizes};
use super::closing::ClosingDraft;
use super::frame::{Thumbnails, normalise};
use super::job::{Ending, Job, Picture, Report, WorkError};
use super::worker::{Leaving, guarded};
use crate::atomic_file::{Identity, identity};
use crate::h5::{Closing, H5Error, Kept, Opening, Row, Totals, Writer};
use crate::onnx::Encoder;

/// Rows that may wait for an incomplete batch before every batch goes as it is.
const MOST_WAITING: usize = 128;
/// How long pictures that wait are still encoded once the worker was told to leave; what is left then is lost.
const LAST: Duration = Duration::from_secs(3);

/// Where and how the file is written.
pub(super) struct Target {
    pub(super) path: PathBuf,
    pub(super) overwrite: bool,
    pub(super) opening: Opening,
    /// How long anything may wait in memory.
    pub(super) flush: Duration,
}

/// Encoder and file, and what is between them.
pub(super) struct Work {
    encoder: Encoder,
    target: Target,
    /// `None` once the file is finished, until a flush begins the stream anew.
    writer: Option<Writer>,
    /// The file that was finished; this run may replace it.
    ours: Option<Identity>,
    /// What could not be given its name.
    kept: Option<Kept>,
    batches: Batches<Picture>,
    rows: Rows<Row>,
    px: [usize; 3],
    numbers: Vec<f32>,
    /// `None` where nobody wants them.
    thumbnails: Option<Thumbnails>,
    /// Since when something has been waiting in memory.
    since: Option<Instant>,
    leaving: Leaving,
    /// What earlier passes took, and when this one began.
    times: (Vec<serde_json::Value>, Instant),
    report: Report,
}

impl Work {
    /// Opens the file. `px`: sides of low, base and high. `batch`: pictures of the low tier that go through the encoder together.
    /// `earlier`: what earlier passes took, for the file.
    pub(super) fn new(
        encoder: Encoder,
        target: Target,
        px: [usize; 3],
        batch: usize,
        earlier: Vec<serde_json::Value>,
        leaving: Leaving,
    ) -> Result<Self, H5Error> {
        let writer = Writer::create(&target.path, target.overwrite, &target.opening)?;
        Ok(Self {
            encoder,
            writer: Some(writer),
            ours: None,
            kept: None,
            batches: Batches::new(batch_sizes(batch, px)),
            rows: Rows::default(),
            px,
            numbers: Vec::new(),
            thumbnails: target.opening.thumbnails.then(Thumbnails::default),
            target,
            since: None,
            leaving,
            times: (earlier, Instant::now()),
            report: Report::default(),
        })
    }

    /// Works until it is told to leave, or fails; then closes what is there.
    pub(super) fn run(mut self, jobs: &Receiver<Job>, known: &Mutex<ClosingDraft>) -> Ending {
        let worked = guarded(|| self.work(jobs));
        let (because, error) = match worked {
            Ok(because) => (because, None),
            Err(err) => {
                // Whatever failed, pictures that only waited for their batch may still get in.
                let _ = guarded(|| self.rest());
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

    /// Why it was told to leave.
    fn work(&mut self, jobs: &Receiver<Job>) -> Result<String, WorkError> {
        loop {
            let job = match self.since {
                None => jobs
                    .recv()
                    .map_err(|RecvError| RecvTimeoutError::Disconnected),
                Some(since) => jobs.recv_deadline(since + self.target.flush),
            };
            match job {
                Ok(Job::Leave { because }) => {
                    self.rest()?;
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
            Job::Anew => return self.anew(),
            Job::Finish {
                closing,
                scaling,
                done,
            } => {
                let report = self.finish(*closing, scaling)?;
                // Whoever waited for it may have been flushed meanwhile.
                let _ = done.send(report);
                return Ok(());
            }
            Job::Leave { .. } => return Ok(()),
            Job::Picture(picture) => self.picture(picture)?,
            Job::Anchor(anchor) => self.write(|writer| writer.anchor(&anchor))?,
            Job::Cue(cue) => self.write(|writer| writer.cue(&cue))?,
        }
        self.since.get_or_insert_with(Instant::now);
        Ok(())
    }

    fn picture(&mut self, picture: Picture) -> Result<(), WorkError> {
        if self.is_late() {
            return Ok(());
        }
        let ticket = self.rows.reserve();
        if let Some(batch) = self.batches.push(picture.entry.tier, ticket, picture) {
            self.encode(batch)?;
        }
        if self.rows.waiting() >= MOST_WAITING {
            while let Some(batch) = self.batches.drain() {
                self.encode(batch)?;
            }
        }
        Ok(())
    }

    fn encode(&mut self, batch: Batch<Picture>) -> Result<(), WorkError> {
        let begun = Instant::now();
        let drawn = self.report.drawing;
        let px = self.px[batch.tier as usize];
        self.numbers.clear();
        for (_, picture) in &batch.pictures {
            normalise(
                &picture.square,
                px,
                &self.encoder.manifest().input,
                &mut self.numbers,
            );
        }
        let dim = self.encoder.dim();
        let embeddings =
            self.encoder
                .encode(batch.pictures.len(), px, &self.numbers, <[f32]>::to_vec)?;
        for ((ticket, picture), features) in
            batch.pictures.into_iter().zip(embeddings.chunks_exact(dim))
        {
            let Picture {
                pts,
                entry,
                square,
                shape,
            } = picture;
            let drawing = Instant::now();
            let thumbnail = self
                .thumbnails
                .as_mut()
                .map_or_else(Vec::new, |thumbnails| {
                    thumbnails.jpeg(&square, px, shape, entry.tier)
                });
            self.report.drawing += drawing.elapsed();
            self.rows.fill(
                ticket,
                Row {
                    pts,
                    entry,
                    features: features.to_vec(),
                    thumbnail,
                },
            );
        }
        self.report.encoding += begun.elapsed().saturating_sub(self.report.drawing - drawn);
        self.report.batches += 1;
        while let Some(row) = self.rows.pop() {
            self.write(|writer| writer.frame(&row))?;
        }
        Ok(())
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

    /// The file, opened once more if the one before is finished.
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

    /// What waits in memory goes to the disk: batches as they are, rows, cues.
    fn sync(&mut self) -> Result<(), WorkError> {
        while let Some(batch) = self.batches.drain() {
            self.encode(batch)?;
        }
        self.write(Writer::sync)?;
        self.since = None;
        Ok(())
    }

    /// Encodes what waits, for as long as there is time.
    fn rest(&mut self) -> Result<(), WorkError> {
        while !self.is_late()
            && let Some(batch) = self.batches.drain()
        {
            self.encode(batch)?;
        }
        Ok(())
    }

    fn is_late(&self) -> bool {
        let since = self.leaving.get();
        since.is_some_and(|since| since.elapsed() >= LAST)
    }

    /// Forgets what came so far.
    fn anew(&mut self) -> Result<(), WorkError> {
        while self.batches.drain().is_some() {}
        self.rows = Rows::default();
        self.report = Report::default();
        self.since = None;
        if let Some(writer) = self.writer.take() {
            self.writer = Some(if *writer.totals() == Totals::default() {
                writer
            } else {
                writer.anew(&self.target.opening)?
            });
        }
        Ok(())
    }

    fn finish(&mut self, mut closing: Closing, scaling: Duration) -> Result<Report, WorkError> {
        while let Some(batch) = self.batches.drain() {
            self.encode(batch)?;
        }
        let begun = Instant::now();
        closing.times = self.times(scaling);
        self.writer()?.complete(&closing)?;
        if let Some(mut writer) = self.writer.take() {
            let (path, totals) = (writer.path().to_owned(), writer.totals().clone());
            writer.hold();
            self.report.totals = writer.commit().inspect_err(|_| {
                self.kept = Some(Kept { path, totals });
            })?;
        }
        self.ours = identity(&self.target.path);
        self.since = None;
        self.report.writing += begun.elapsed();
        Ok(std::mem::take(&mut self.report))
    }

    /// Closes a file that was begun and not finished. Without a picture there is nothing in it that listening once more would not
    /// give, unless nobody sends pictures.
    fn keep(&mut self, known: &ClosingDraft, because: &str) -> Option<Kept> {
        if let Some(kept) = self.kept.take() {
            return Some(kept);
        }
        let mut writer = self.writer.take()?;
        // Rows that are ready; others may be missing between them.
        while let Some(row) = self.rows.pop_ready() {
            if writer.frame(&row).is_err() {
                break;
            }
        }
        if known.has_pictures() && writer.totals().frames == 0 {
            return None;
        }
        let mut closing = known.closing();
        closing.times = self.times(Duration::ZERO);
        writer.keep(&closing, because)
    }

    /// What every pass took, this one last, as JSON. The last writes are not in it: it is written with them.
    fn times(&self, scaling: Duration) -> String {
        let seconds = |time: Duration| time.as_secs_f64();
        let (mut all, begun) = (self.times.0.clone(), self.times.1);
        all.push(serde_json::json!({
            "pass": if all.is_empty() { "one pass" } else { "look, encode, write" },
            "seconds": seconds(begun.elapsed()),
            "busy": {
                "scale": seconds(scaling),
                "encode": seconds(self.report.encoding),
                "thumbnails": seconds(self.report.drawing),
                "write": seconds(self.report.writing),
            },
        }));
        serde_json::Value::from(all).to_string()
    }
}
