//! What the sink does with what it gets, on a thread of its own: batches, embeddings, rows, the file.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anchoring::anchor::Anchor;
use anchoring::cue::Cue;
use anchoring::plan::Entry;
use anchoring::time::Nanos;
use crossbeam_channel::Receiver;

use super::prepare::normalise;
use super::rows::{Batch, Batches, Rows, batch_sizes};
use super::thumbnail::Thumbnails;
use crate::h5::{Closing, H5Error, Row, Totals, Writer};
use crate::models::{Encoder, ModelError};

/// Rows that may wait for an incomplete batch before every batch goes as it is.
const MOST_WAITING: usize = 128;

/// What the streaming thread hands over.
#[derive(Debug)]
pub(super) enum Job {
    /// A chosen picture.
    Picture(Picture),
    /// An anchor; comes before the pictures that name it.
    Anchor(Anchor),
    /// A cue.
    Cue(Cue),
    /// Nothing more comes.
    Finish {
        /// What is known only now.
        closing: Box<Closing>,
        /// Time spent scaling pictures.
        scaling: Duration,
    },
}

/// A chosen picture, ready for the encoder but for its numbers' range.
#[derive(Debug)]
pub(super) struct Picture {
    /// Its presentation time.
    pub(super) pts: Nanos,
    /// The plan entry it serves.
    pub(super) entry: Entry,
    /// Upright square of the tier's side, RGB, row-major, 3 bytes a pixel.
    pub(super) square: Vec<u8>,
    /// As of [`super::thumbnail::shape`].
    pub(super) shape: (usize, usize),
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub(super) enum WorkError {
    /// The encoder failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The file failed.
    #[error(transparent)]
    File(#[from] H5Error),
}

/// What was done.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    /// What the file holds.
    pub(super) totals: Totals,
    /// Time spent in the encoder.
    pub(super) encoding: Duration,
    /// Time spent on thumbnails.
    pub(super) drawing: Duration,
    /// Time spent writing.
    pub(super) writing: Duration,
    /// Batches encoded.
    pub(super) batches: u64,
}

/// Encoder and file, and what is between them.
pub(super) struct Work {
    encoder: Encoder,
    writer: Writer,
    batches: Batches<Picture>,
    rows: Rows<Row>,
    px: [usize; 3],
    numbers: Vec<f32>,
    /// `None` where nobody wants them.
    thumbnails: Option<Thumbnails>,
    /// What earlier passes took, and when this one began.
    times: (Vec<serde_json::Value>, Instant),
    report: Report,
}

impl Work {
    /// `px`: sides of low, base and high. `batch`: pictures of the low tier that go through the encoder together. `earlier`: what
    /// earlier passes took, for the file.
    pub(super) fn new(
        encoder: Encoder,
        writer: Writer,
        px: [usize; 3],
        batch: usize,
        thumbnails: bool,
        earlier: Vec<serde_json::Value>,
    ) -> Self {
        Self {
            encoder,
            writer,
            batches: Batches::new(batch_sizes(batch, px)),
            rows: Rows::default(),
            px,
            numbers: Vec::new(),
            thumbnails: thumbnails.then(Thumbnails::default),
            times: (earlier, Instant::now()),
            report: Report::default(),
        }
    }

    /// Works until the job that finishes the file, and reports. `None` when there is no such job: `stop` was set, or nobody can send
    /// one any more; then there is no file.
    pub(super) fn run(
        mut self,
        jobs: &Receiver<Job>,
        stop: &AtomicBool,
    ) -> Result<Option<Report>, WorkError> {
        for job in jobs {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            match job {
                Job::Picture(picture) => self.take(picture)?,
                Job::Anchor(anchor) => self.write(|writer| writer.anchor(&anchor))?,
                Job::Cue(cue) => self.write(|writer| writer.cue(&cue))?,
                Job::Finish { closing, scaling } => return self.finish(*closing, scaling, stop),
            }
        }
        Ok(None)
    }

    fn take(&mut self, picture: Picture) -> Result<(), WorkError> {
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
        what(&mut self.writer)?;
        self.report.writing += begun.elapsed();
        Ok(())
    }

    fn finish(
        mut self,
        mut closing: Closing,
        scaling: Duration,
        stop: &AtomicBool,
    ) -> Result<Option<Report>, WorkError> {
        while let Some(batch) = self.batches.drain() {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            self.encode(batch)?;
        }
        let begun = Instant::now();
        closing.times = self.times(scaling);
        self.report.totals = self.writer.finish(&closing)?;
        self.report.writing += begun.elapsed();
        Ok(Some(self.report))
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
