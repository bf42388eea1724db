//! Consecutive files: asks the application for each file's name, and posts what it holds.

use std::path::PathBuf;
use std::time::Duration;

use anchoring::plan::Anchor;
use anchoring::time::Nanos;
use crossbeam_channel::bounded;
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::imp::FeatureSink;
use super::job::Job;
use super::lock;
use super::segments::{FileStart, Step};
use super::settings::NAMES;
use super::start::Started;
use crate::h5::Totals;
use crate::printable::shown;

/// How long whoever closes waits for the worker.
const PATIENCE: Duration = Duration::from_secs(20);

impl FeatureSink {
    /// Hands a job to the worker; with consecutive files, what the job becomes.
    pub(super) fn give(&self, job: Job) -> Result<(), gst::FlowError> {
        if let Job::Frame(frame) = &job
            && !self.has_room(frame.entry.reason)?
        {
            return self.leave_out(frame);
        }
        let (steps, job) = {
            let mut state = lock(&self.state);
            let Some(Started {
                segments: Some(segments),
                closing,
                ..
            }) = state.as_mut()
            else {
                drop(state);
                return self.hand_over(job);
            };
            let frames = lock(closing).has_frames();
            match job {
                Job::Cue(cue) => (segments.cue(cue, frames), None),
                Job::Anchor(anchor) => (segments.anchor(anchor, frames), None),
                Job::Candidate(one) => (Vec::new(), segments.candidate(one).map(Job::Candidate)),
                Job::Frame(mut frame) => {
                    let (steps, pts) = segments.frame(frame.pts, &mut frame.entry);
                    match pts {
                        Some(pts) => frame.move_to(pts),
                        None => {
                            let mut closing = lock(closing);
                            closing.missed();
                            closing.warn(
                                "some frames came after their file was closed: they count as missed".into(),
                            );
                        }
                    }
                    (steps, pts.map(|_| Job::Frame(frame)))
                }
                job => (Vec::new(), Some(job)),
            }
        };
        self.carry_out(steps)?;
        job.map_or(Ok(()), |job| self.hand_over(job))
    }

    /// Puts what waits into the last file; whether there is one.
    pub(super) fn end_segments(&self) -> Result<bool, gst::FlowError> {
        let (steps, any) = match lock(&self.state).as_mut() {
            Some(Started {
                segments: Some(segments),
                ..
            }) => (segments.end(), segments.span().is_some()),
            _ => return Ok(true),
        };
        self.carry_out(steps)?;
        Ok(any)
    }

    /// Finishes the open file after a stop without an end of the stream: it is complete up to here.
    pub(super) fn close_segment(&self) {
        let (done, report) = bounded(1);
        let warnings = lock(&self.settings).warnings.clone();
        let (jobs, last) = {
            let mut state = lock(&self.state);
            let Some(Started {
                segments: Some(segments),
                closing,
                worker,
                scaling,
                measuring,
                ..
            }) = state.as_mut()
            else {
                return;
            };
            let steps = segments.end();
            if segments.span().is_none() {
                return;
            }
            let mut closing = lock(closing);
            for warning in warnings.lines() {
                closing.warn(warning.into());
            }
            let mut closing = closing.closing();
            segments.close(&mut closing);
            let mut jobs: Vec<Job> = steps.into_iter().filter_map(written).collect();
            jobs.push(Job::Finish {
                closing: Box::new(closing),
                scaling: *scaling,
                measuring: *measuring,
                done,
            });
            // Frames that are not encoded soon are left out, so that the file is complete before anybody gives up waiting.
            worker.hurry();
            (worker.jobs(), jobs)
        };
        for job in last {
            if jobs.send_timeout(job, PATIENCE).is_err() {
                return;
            }
        }
        // Any answer means that it has ended.
        let _ = report.recv_timeout(PATIENCE);
    }

    pub(super) fn carry_out(&self, steps: Vec<Step>) -> Result<(), gst::FlowError> {
        for step in steps {
            match step {
                Step::FileStart(begin) => self.begin_segment(&begin)?,
                Step::Cue(cue) => self.hand_over(Job::Cue(cue))?,
                Step::Anchor {
                    anchor,
                    stream,
                    frame,
                } => {
                    let row = anchor.id;
                    self.hand_over(Job::Anchor(anchor))?;
                    self.post_anchor(&stream, row, frame);
                }
            }
        }
        Ok(())
    }

    fn begin_segment(&self, begin: &FileStart) -> Result<(), gst::FlowError> {
        let named = self.obj().emit_by_name::<Option<gst::Structure>>(
            NAMES,
            &[&begin.index, &(begin.start.get().max(0) as u64)],
        );
        let text = |field: &str| {
            named
                .as_ref()
                .and_then(|named| named.get::<String>(field).ok())
        };
        let further = text("attributes").map(|text| serde_json::from_str(&text));
        let further = further.transpose().unwrap_or_default().unwrap_or_default();
        let target = match text("location") {
            Some(location) => PathBuf::from(location),
            None => {
                let settings = lock(&self.settings);
                numbered(&settings.path().unwrap_or_default(), begin.index)
            }
        };
        let job = {
            let mut state = lock(&self.state);
            let started = state.as_mut().ok_or(gst::FlowError::Flushing)?;
            started.open = Some(target.clone());
            let mut closing = lock(&started.closing);
            let before = begin.before.map(|span| {
                let mut cut = closing.cut();
                cut.duration = span.length;
                cut.budget_tokens = span.budget;
                Box::new(cut)
            });
            if let Some(stem) = target.file_stem() {
                closing.named(stem.to_string_lossy().into_owned());
            }
            Job::Segment {
                closing: before,
                scaling: std::mem::take(&mut started.scaling),
                measuring: std::mem::take(&mut started.measuring),
                target,
                further,
            }
        };
        self.hand_over(job)
    }

    /// Posts an anchor that was written: `row` of its file's `/anchors`.
    fn post_anchor(&self, anchor: &Anchor, row: u32, frame: Option<Nanos>) {
        let location = match lock(&self.state).as_ref() {
            Some(started) => started.open.clone().unwrap_or_default(),
            None => return,
        };
        let mut structure = gst::Structure::builder("earmark-anchor")
            .field("id", anchor.id)
            .field("onset-ns", anchor.onset.get())
            .field("start-ns", anchor.window.start().get())
            .field("stop-ns", anchor.window.stop().get())
            .field("label", &*anchor.label)
            .field("class-id", anchor.class_id)
            .field("score", anchor.score)
            .field("uncertainty", anchor.uncertainty)
            .field("location", location.display().to_string())
            .field("row", row)
            .build();
        if let Some(frame) = frame {
            structure.set("frame-ns", frame.get());
        }
        self.post(structure);
    }

    /// Posts a file that got its name.
    pub(super) fn post_segment(&self, path: &std::path::Path, totals: &Totals) {
        self.post(
            gst::Structure::builder("earmark-segment")
                .field("location", shown(&path.display()).to_string())
                .field("frames", totals.frames)
                .field("anchors", totals.anchors)
                .field("cues", totals.cues)
                .field("tokens", totals.spent_tokens)
                .build(),
        );
    }

    /// Tells the bus of the thumbnail of an anchor's frame: `row` of its file's `/anchors`.
    pub(super) fn post_thumbnail(&self, path: &std::path::Path, row: u32, jpeg: &[u8]) {
        self.post(
            gst::Structure::builder("earmark-thumbnail")
                .field("location", path.display().to_string())
                .field("row", row)
                .field("jpeg", glib::Bytes::from(jpeg))
                .build(),
        );
    }
}

/// The part of a step that goes into the open file.
fn written(step: Step) -> Option<Job> {
    match step {
        Step::FileStart(_) => None,
        Step::Cue(cue) => Some(Job::Cue(cue)),
        Step::Anchor { anchor, .. } => Some(Job::Anchor(anchor)),
    }
}

/// `a.h5` -> `a-00003.h5`.
fn numbered(place: &std::path::Path, index: u32) -> PathBuf {
    let stem = place.file_stem().unwrap_or_default().to_string_lossy();
    let ending = place.extension().map_or_else(
        || "h5".into(),
        |ending| ending.to_string_lossy().into_owned(),
    );
    place.with_file_name(format!("{stem}-{index:05}.{ending}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_numbered_before_their_ending() {
        assert_eq!(
            numbered("/a/b.c/cam.h5".as_ref(), 3),
            PathBuf::from("/a/b.c/cam-00003.h5")
        );
        assert_eq!(numbered("cam".as_ref(), 0), PathBuf::from("cam-00000.h5"));
    }
}
