//! The first pass: listens, notes frame times without decoding, and plans.

use std::fs::File;
use std::io::{BufReader, BufWriter, Seek, Write};
use std::sync::{Arc, Mutex};

use anchoring::cue::{Cue, HOP};
use anchoring::discontinuity::CompactTimeline;
use anchoring::plan::MAX_DURATION;
use anchoring::plan::{Plan, PlanError};
use anchoring::planning::change::{Change, UnusableSizes};
use anchoring::planning::clips::{ClipPlace, FrameList};
use anchoring::planning::decode_cost::{DecodeCost, FramesOfPlan};
use anchoring::planning::global::{GivenCue, given_label};
use anchoring::settings::{Policy, Settings, Spread};
use anchoring::time::{Nanos, Window};
use anyhow::{Context, bail};
use gst::prelude::*;
use gstearmark::models;

use super::Session;
use super::bundle::bundle;
use super::changes::{ChangedCues, Changes};
use super::cue_file::{CueReader, CueWriter, hearing};
use super::cue_planner::{CuePlanner, PlanFacts, Snapper};
use super::frame_times::FrameTimes;
use super::given_cues::GivenCues;
use super::measure::{Measure, measuring};
use super::pass::Pass;
use super::spans::{self, Span};
use super::summary::RunLog;
use super::taps::{end_in, lock};
use super::trust::NOTHING;
use crate::failure::{Class, Failure};

/// Patches per run of the tagger: in this pass, latency does not matter.
const PATCHES: u32 = 8;

/// The result of the first pass.
pub(super) struct FirstPass {
    /// Cues as lines of a plan file.
    cues: File,
    /// Number of cues.
    count: u64,
    /// Start of the recording: its first frame, or 0 without video.
    start: Nanos,
    /// End of the recording: the end of its last frame, or of the sound.
    stop: Nanos,
    /// Times of keyframes, ascending.
    keyframes: Vec<Nanos>,
    /// Average time between frames.
    frame: Nanos,
    /// Time of every frame.
    frame_times: FrameTimes,
    /// When the sound begins and ends, if there is any.
    sound: Option<Span>,
    /// Stretches without frames (without video: without sound). They get no plan entries.
    discontinuities: Vec<Window>,
    /// How much the video changes, if frames are spread over that, and why frame sizes don't show it, if they don't.
    changes: Option<(Vec<Change>, Option<UnusableSizes>)>,
}

/// A plan and the cues that it was made from.
pub(super) struct PlanAndCues {
    pub plan: Plan,
    pub cues: ChangedCues,
}

impl Session<'_> {
    /// Plays the first pass.
    pub(super) fn listen(&self, log: &mut RunLog) -> anyhow::Result<FirstPass> {
        let has_video = !self.recording.video.is_empty();
        let writer = Arc::new(Mutex::new(CueWriter {
            file: BufWriter::new(tempfile::tempfile().context("cannot create a temporary file")?),
            count: 0,
            first: None,
            last: Nanos::ZERO,
            stop: Nanos::ZERO,
            discontinuities: Vec::new(),
            failed: None,
        }));
        let budget = &self.pipeline.settings.budget;
        let by_change = budget.spread == Spread::Change && budget.policy == Policy::Gated;
        let measure = Arc::new(Mutex::new(Measure::new(by_change && has_video)));
        if has_video || self.hears() {
            let built = self.build(Pass::Listen)?;
            for queue in built.elements("queue") {
                bundle(&queue)?;
            }
            if let Some(source) = &built.measured {
                end_in(&built.pipeline, source, measuring(&measure)?)?;
            }
            if let Some(source) = &built.heard {
                let eventness = source.factory().filter(|made| made.name() == "eventness");
                if eventness.is_some() && source.has_property("batch") {
                    source.set_property("batch", PATCHES);
                }
                end_in(&built.pipeline, source, hearing(&writer)?)?;
            }
            let outcome = self.play(&built, "listen", Nanos::ZERO, log);
            // The error on the bus only repeats this one.
            if let Some(failed) = lock(&writer).failed.take() {
                return Err(failed);
            }
            if let Some(failed) = lock(&measure).failed.take() {
                let text = format!("{}: {failed:#}", self.input.given);
                return Err(Failure::error(Class::InputForeign, text));
            }
            log.listened(outcome?);
        }
        let mut writer = lock(&writer);
        writer
            .file
            .flush()
            .context("cannot write cues to a temporary file")?;
        let mut cues = writer.file.get_ref().try_clone()?;
        cues.rewind()?;
        let container = self.recording.duration.unwrap_or(Nanos::ZERO);
        let mut measure = std::mem::take(&mut *lock(&measure));
        if let Some((_, stop)) = measure.span() {
            self.warn_of_lost_frames(stop, log);
        }
        let (start, stop) = match measure.span() {
            Some(span) => span,
            None if has_video => bail!("{} has no frame that can be read", self.input.given),
            // Cues end within one hop of the sound.
            None if writer.count > 0
                && container > writer.stop - HOP
                && container < writer.stop + HOP =>
            {
                (Nanos::ZERO, container)
            }
            None if writer.count > 0 => (Nanos::ZERO, writer.stop),
            None => (Nanos::ZERO, container),
        };
        tracing::debug!(
            "heard {} cues; the recording lies in {start}..{stop}",
            writer.count
        );
        Ok(FirstPass {
            changes: measure.changes.take().map(Changes::finish),
            cues,
            count: writer.count,
            start,
            stop,
            frame: measure.frame_length(),
            keyframes: measure.keyframes,
            frame_times: measure.frame_times,
            sound: writer.first.map(|first| (first, writer.stop)),
            discontinuities: if has_video {
                measure.discontinuities
            } else {
                std::mem::take(&mut writer.discontinuities)
            },
        })
    }

    /// Makes a plan from the first pass.
    pub(super) fn plan(&self, heard: FirstPass, log: &RunLog) -> anyhow::Result<PlanAndCues> {
        let FirstPass {
            mut cues,
            count,
            start,
            stop,
            keyframes,
            frame,
            frame_times: shown,
            sound,
            discontinuities,
            changes,
        } = heard;
        let has_video = !self.recording.video.is_empty();
        if let Some(sound) = sound.filter(|_| has_video) {
            for hint in spans::hints((start, stop), sound) {
                log.warn(hint);
            }
        }
        // The planner's time begins at 0 and leaves these stretches out.
        let timeline = CompactTimeline::new(discontinuities.iter().filter_map(|window| {
            Window::new(
                (window.start() - start).max(Nanos::ZERO),
                window.stop() - start,
            )
        }));
        let planned = |at: Nanos| timeline.compact(at - start).0;
        if let Some(text) = discontinuity_warning(&discontinuities, has_video) {
            log.warn(text);
        }
        let labels = self.labels()?;
        let (changes, unusable) = changes.unwrap_or_default();
        if let Some(unusable) = unusable {
            log.warn(unusable.warning());
        }
        let given = self.given_cues(stop, log)?;
        if stop > MAX_DURATION {
            return Err(PlanError::Duration(stop).into());
        }
        let mut heard = cues.try_clone()?;
        // The plan with these settings, and how many cues can be trusted.
        let mut plan_with = |settings: &Settings, untaken: bool| -> anyhow::Result<(Plan, u64)> {
            let mut planner = CuePlanner::new(self.pipeline, settings, &labels);
            if !untaken {
                planner = planner.without_untaken();
            }
            if let Some(container) = self.recording.duration {
                planner.expect_stop(planned(container));
            }
            planner.set_keyframes(keyframes.iter().map(|&key| planned(key)).collect(), frame);
            let clips = self
                .pipeline
                .clip
                .map(|shape| ClipPlace::new(shape, settings));
            if let Some(clips) = clips {
                planner.set_clips(clips);
            }
            if unusable.is_none() {
                let half = HOP.scaled(0.5);
                planner.set_changes(changes.iter().map(|one| Change {
                    at: planned(one.at + half),
                    ..*one
                }));
            }
            heard.rewind()?;
            let (mut read, mut trusted) = (0, 0_u64);
            for cue in CueReader(BufReader::new(heard.try_clone()?)) {
                read += 1;
                trusted += u64::from(cue.trusted(settings.budget.distrust));
                if let Some(cue) = moved(cue, start, &timeline) {
                    planner.push_cue(&cue);
                }
            }
            if read != count {
                bail!(
                    "wrote {count} cues to a temporary file but could read back only {read}; is the disk full?"
                );
            }
            let in_plan = given.cues.iter().filter_map(|cue| {
                let (at, gone) = timeline.compact(cue.at - start);
                (!gone && cue.at >= start).then_some(GivenCue { at, ..*cue })
            });
            planner.set_given(in_plan.collect());
            let snapper = Snapper {
                decode_cost: DecodeCost {
                    keyframes: &keyframes,
                    frame_interval: frame,
                    takes: clips.map_or(FramesOfPlan::FRAMES, |clips| {
                        clips.takes(frame, (start, stop - frame))
                    }),
                },
                span: (start, stop),
                budget: &settings.budget,
            };
            let place = |plan: &mut Plan| {
                plan.header.duration = stop;
                for entry in &mut plan.entries {
                    entry.planned = timeline.expand(entry.planned) + start;
                    entry.asked = entry.asked.map(|asked| timeline.expand(asked) + start);
                }
            };
            let finish = PlanFacts {
                duration: planned(stop),
                video_id: self.video_id,
                config: &self.pipeline.config,
            };
            Ok((planner.finish(&finish, place, &snapper)?, trusted))
        };
        let settings = &self.pipeline.settings;
        let (mut plan, trusted) = plan_with(settings, true)?;
        if self.hears() && trusted == 0 && settings.budget.policy != Policy::Uniform {
            log.warn(NOTHING);
        }
        // Clips are placed below, by settings that these plans do not show.
        let alternatives = self.pipeline.without.iter();
        for (key, without) in alternatives.filter(|_| self.pipeline.clip.is_none()) {
            let same = without == settings
                || plan_with(without, false).is_ok_and(|(other, _)| {
                    other.entries == plan.entries && other.anchors == plan.anchors
                });
            if same {
                log.warn(without_effect(key, without == settings, &plan, settings));
            }
        }
        let shown: Vec<Nanos> = match self.pipeline.clip {
            // All in memory: eight bytes a frame. What an edit list leaves out lies before 0.
            Some(_) => shown.times()?.filter(|at| *at >= Nanos::ZERO).collect(),
            None => {
                let twice = plan.deduplicate(shown.times()?);
                tracing::debug!("{twice} plan entries would have shared a frame with others");
                Vec::new()
            }
        };
        for anchor in &mut plan.anchors {
            let window = timeline.expand_window(anchor.window, anchor.onset);
            anchor.onset = timeline.expand(anchor.onset) + start;
            anchor.window =
                Window::new(window.start() + start, window.stop() + start).unwrap_or(window);
            if let Some(label) = given_label(anchor.class_id) {
                anchor.label = given.labels.get(label).cloned().unwrap_or_default();
                anchor.class_id = -1;
                continue;
            }
            let class = usize::try_from(anchor.class_id).ok();
            if let Some(label) = class.and_then(|class| labels.get(class)) {
                anchor.label.clone_from(label);
            }
        }
        if let Some(shape) = self.pipeline.clip {
            let shown = FrameList {
                times: &shown,
                interval: frame,
            };
            let settings = &self.pipeline.settings;
            match settings.budget.policy {
                // Its anchors stay.
                _ if !has_video => log.warn("the recording has no video, so the plan has no clips"),
                Policy::Grid => {
                    plan.make_grid(shape, &settings.budget, self.pipeline.prices, shown);
                }
                _ => plan.make_clips(&ClipPlace::new(shape, settings), shown),
            }
        }
        for one in &mut plan.untaken {
            one.onset = timeline.expand(one.onset) + start;
        }
        cues.rewind()?;
        Ok(PlanAndCues {
            plan,
            cues: ChangedCues {
                cues: CueReader(BufReader::new(cues)),
                heard: count > 0,
                changes,
                next: 0,
            },
        })
    }

    /// The cues of another source, if the pipeline names one; warns about those after the end and leaves them out.
    fn given_cues(&self, stop: Nanos, log: &RunLog) -> anyhow::Result<GivenCues> {
        let Some(path) = &self.pipeline.cues_from else {
            return Ok(GivenCues::default());
        };
        let mut given = GivenCues::read(path, self.video_id)?;
        let all = given.cues.len();
        given.cues.retain(|cue| cue.at < stop);
        let beyond = all - given.cues.len();
        let file = given.path.display();
        if all > 0 && beyond == all {
            bail!(
                "{file} has no cue before the end of {} at {stop}; are they of another recording, or in milliseconds?",
                self.input.given
            );
        }
        if beyond > 0 {
            log.warn(format!(
                "{beyond} of the {all} cues of {file} lie after the end of the recording at {stop} and are left out"
            ));
        }
        Ok(given)
    }

    /// The tagger's class names; none without a tagger.
    fn labels(&self) -> anyhow::Result<Vec<String>> {
        let Some(tagger) = &self.pipeline.tagger else {
            return Ok(Vec::new());
        };
        match models::find(tagger)?.classes_path() {
            Some(path) => Ok(models::read_classes(&path)?),
            None => Ok(Vec::new()),
        }
    }
}

/// A warning that a key of the command line changes nothing.
fn without_effect(key: &str, unchanged: bool, plan: &Plan, settings: &Settings) -> String {
    if unchanged {
        return format!("--set {key}: the pipeline has this value without it");
    }
    let scores = plan.anchors.iter().map(|anchor| anchor.score);
    let least = scores.min_by(f32::total_cmp);
    let why = match least {
        Some(least)
            if key == "anchors.threshold" && f64::from(least) > settings.anchors.threshold =>
        {
            format!(": the budget pays for no onset below {least:.2}")
        }
        _ => String::new(),
    };
    format!("--set {key} changes nothing in this plan{why}")
}

/// A cue in the planner's time: from the start of the recording, without the stretches that are left out. `None` outside that time.
fn moved(mut cue: Cue, start: Nanos, timeline: &CompactTimeline) -> Option<Cue> {
    if cue.pts + HOP <= start {
        return None;
    }
    let (pts, gone) = timeline.compact(cue.pts - start);
    let onset = cue
        .onset
        .map(|onset| (onset, timeline.compact(onset.at - start)));
    cue.pts = pts;
    cue.onset = onset.and_then(|(mut onset, (at, gone))| {
        onset.at = at;
        (!gone).then_some(onset)
    });
    (!gone).then_some(cue)
}

/// The warning about stretches without frames or sound.
fn discontinuity_warning(discontinuities: &[Window], has_video: bool) -> Option<String> {
    let first = discontinuities.first()?;
    let (from, to) = (first.start(), first.stop());
    let lacks = if has_video {
        "has no frames"
    } else {
        "has no sound"
    };
    let more = match discontinuities.len() - 1 {
        0 => String::new(),
        1 => ", and in one more place".into(),
        n => format!(", and in {n} more places"),
    };
    Some(format!(
        "the recording {lacks} from {from} to {to} ({}){more}: that time gets no frames and adds nothing to the budget",
        to - from
    ))
}

/// Writes a plan, with cues if there are any.
pub(super) fn write(plan: &Plan, cues: Option<ChangedCues>, file: &File) -> anyhow::Result<()> {
    let mut file = BufWriter::new(file);
    for line in plan.lines(cues.into_iter().flatten()) {
        writeln!(file, "{}", line.to_text()).context("cannot write the plan; is the disk full?")?;
    }
    file.flush()
        .context("cannot write the plan; is the disk full?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_lasts_to_the_end_of_its_last_frame() {
        let mut measure = Measure::default();
        assert_eq!(measure.span(), None);
        for ms in [40, 0, 120, 80] {
            measure.frame_came(Nanos::from_ms(ms), None, false);
        }
        assert_eq!(measure.span(), Some((Nanos::ZERO, Nanos::from_ms(160))));
        measure.frame_came(Nanos::from_ms(160), Some(Nanos::from_ms(40)), false);
        assert_eq!(measure.span(), Some((Nanos::ZERO, Nanos::from_ms(200))));
    }

    #[test]
    fn a_discontinuity_is_neither_frame_time_nor_planned_time() {
        let mut measure = Measure::default();
        let year = 365 * 24 * 3600 * 1000;
        for n in 0..500 {
            let at = 40 * n + if n < 250 { 0 } else { year };
            measure.frame_came(Nanos::from_ms(at), None, n % 50 == 0);
        }
        assert!(
            measure.frame_length() < Nanos::from_ms(41),
            "{}",
            measure.frame_length()
        );
        let timeline = CompactTimeline::new(measure.discontinuities);
        let (planned, _) = timeline.compact(Nanos::from_ms(year + 20_000));
        assert!(planned < Nanos::from_ms(21_000), "{planned}");
        let text = discontinuity_warning(&timeline.cuts().collect::<Vec<_>>(), true).unwrap();
        assert!(text.contains("no frames from 9.96"), "{text}");
    }

    #[test]
    fn cues_inside_a_discontinuity_are_not_planned() {
        let second = |s: i64| Nanos::from_ms(1000 * s);
        let timeline = CompactTimeline::new(Window::new(second(10), second(70)));
        let cue = |s: i64| Cue {
            pts: second(s),
            ..Cue::default()
        };
        let at = |s: i64| moved(cue(s), second(1), &timeline).map(|cue| cue.pts);
        assert_eq!(at(0), None);
        assert_eq!(at(5), Some(second(4)));
        assert_eq!(at(40), None);
        assert_eq!(at(80), Some(second(19)));
    }
}
