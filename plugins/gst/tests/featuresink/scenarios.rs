//! What GStreamer's validation scenarios do to a pipeline, done to a real one: whatever ends well with `fakesink` ends well with
//! `featuresink`, and with a whole file.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anchoring::plan::{Header, Line, Reason, SCHEMA};
use anchoring::tier::Tier;
use anchoring::time::Nanos;
use gst::prelude::*;
use gstearmark::h5::{self, read_features, read_summary, read_tables};

use crate::feed::{anchor, entry, init};
use crate::tiny;

/// No step may take longer than this.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(60);
const SECONDS: i64 = 30;

/// A recording of half a minute and a plan for it: a frame every half second, an anchor at every fifth.
struct Place {
    dir: tempfile::TempDir,
    line: String,
}

impl Place {
    /// `None`, with a plain word about it, without ffmpeg.
    fn new(tier: Tier) -> Option<Self> {
        init();
        let dir = tempfile::tempdir().unwrap();
        let recording = dir.path().join("a.mkv");
        let made = Command::new("ffmpeg")
            .args(["-loglevel", "error", "-nostdin", "-f", "lavfi", "-i"])
            .arg(format!("testsrc2=size=192x108:rate=25:duration={SECONDS}"))
            .args([
                "-c:v",
                "libx264",
                "-preset",
                "ultrafast",
                "-pix_fmt",
                "yuv420p",
            ])
            .args(["-g", "25", "-bf", "2"])
            .arg(&recording)
            .status();
        if !made.is_ok_and(|status| status.success()) {
            eprintln!("skipped: ffmpeg is not installed, or lacks libx264");
            return None;
        }
        let line = format!(
            "filesrc location={} ! parsebin name=parse queue name=encoded ! anchorgate access=linear plan={} ! decodebin name=decode framepick name=decoded ! videoconvert",
            recording.display(),
            plan(dir.path(), tier).display()
        );
        Some(Self { dir, line })
    }

    fn output(&self) -> PathBuf {
        self.dir.path().join("out.h5")
    }

    fn run(&self, sink: &str) -> Run {
        let pipeline = gst::parse::launch(&format!("{} ! {sink}", self.line)).unwrap();
        let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
        // A link of a launch line to a pad that comes later is made once; these are made whenever the pipeline starts.
        for (from, to) in [("parse", "encoded"), ("decode", "decoded")] {
            let to = pipeline.by_name(to).unwrap().static_pad("sink").unwrap();
            let from = pipeline.by_name(from).unwrap();
            from.connect_pad_added(move |_, pad| {
                pad.link(&to).unwrap();
            });
        }
        let bus = pipeline.bus().unwrap();
        Run { pipeline, bus }
    }

    fn featuresink(&self, model: &Path) -> String {
        format!(
            "featuresink name=sink model={} location={}",
            model.display(),
            self.output().display()
        )
    }

    /// Does the same with both sinks. The times of the rows.
    #[track_caller]
    fn both(&self, scenario: impl Fn(&Run)) -> Vec<i64> {
        let model = tiny::encoder(self.dir.path(), |m| m);
        for sink in ["fakesink name=sink", &self.featuresink(&model)] {
            let run = self.run(sink);
            scenario(&run);
            run.state(gst::State::Null);
        }
        assert_eq!(h5::check(&self.output()).unwrap(), Vec::<String>::new());
        assert!(!self.dir.path().join("out.h5.partial").exists());
        let tables = read_tables(&self.output()).unwrap();
        assert!(
            tables.pts_ns.is_sorted_by(|a, b| a < b),
            "{:?}",
            tables.pts_ns
        );
        tables.pts_ns
    }
}

fn plan(dir: &Path, tier: Tier) -> PathBuf {
    let mut text = String::new();
    let anchors: Vec<_> = (0..SECONDS / 5)
        .map(|id| anchor(id as u32, 5000 * id + 500))
        .collect();
    let entries: Vec<_> = (0..SECONDS * 2)
        .map(|k| match k % 10 {
            1 => entry(500 * k, tier, Reason::Anchor, Some((k / 10) as u32)),
            _ => entry(500 * k, tier, Reason::Background, None),
        })
        .collect();
    let spent = entries.iter().map(|entry| entry.tokens).sum();
    let header = Line::Plan(Header {
        schema: SCHEMA.into(),
        video_id: "test".into(),
        duration: Nanos::from_ms(1000 * SECONDS),
        budget_tokens: spent,
        spent_tokens: spent,
        config: serde_json::json!({}),
        candidates_per_min: 0,
    });
    writeln!(text, "{}", header.to_text()).unwrap();
    for anchor in anchors {
        writeln!(text, "{}", Line::Anchor(anchor).to_text()).unwrap();
    }
    for entry in entries {
        writeln!(text, "{}", Line::Frame(entry).to_text()).unwrap();
    }
    let path = dir.join("plan.jsonl");
    std::fs::write(&path, text).unwrap();
    path
}

struct Run {
    pipeline: gst::Pipeline,
    bus: gst::Bus,
}

impl Run {
    /// Goes to a state and waits until it is there.
    #[track_caller]
    fn state(&self, state: gst::State) {
        let changed = self.pipeline.set_state(state);
        assert!(changed.is_ok(), "to {state:?}: {:?}", self.error());
        let (reached, now, _) = self.pipeline.state(PATIENCE);
        assert!(reached.is_ok(), "to {state:?}: {:?}", self.error());
        assert_eq!(now, state, "{:?}", self.error());
    }

    /// Seeks and waits until the pipeline has got there.
    #[track_caller]
    fn seek(&self, from: u64, stop: Option<u64>) {
        while self
            .bus
            .pop_filtered(&[gst::MessageType::AsyncDone])
            .is_some()
        {}
        let sought = self.pipeline.seek(
            1.0,
            gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE,
            gst::SeekType::Set,
            gst::ClockTime::from_seconds(from),
            stop.map_or(gst::SeekType::None, |_| gst::SeekType::Set),
            stop.map(gst::ClockTime::from_seconds),
        );
        assert!(sought.is_ok(), "{:?}", self.error());
        self.until(gst::MessageType::AsyncDone);
    }

    #[track_caller]
    fn end(&self) {
        self.until(gst::MessageType::Eos);
    }

    #[track_caller]
    fn until(&self, kind: gst::MessageType) {
        let wanted = [kind, gst::MessageType::Error];
        let message = self.bus.timed_pop_filtered(PATIENCE, &wanted);
        let message = message.unwrap_or_else(|| panic!("no {kind:?}"));
        assert_eq!(message.type_(), kind, "{}", text(&message));
    }

    fn error(&self) -> Option<String> {
        let message = self.bus.pop_filtered(&[gst::MessageType::Error])?;
        Some(text(&message))
    }
}

fn text(message: &gst::Message) -> String {
    match message.view() {
        gst::MessageView::Error(error) => format!("{}: {:?}", error.error(), error.debug()),
        _ => format!("{message:?}"),
    }
}

/// Lets something pass.
fn wait(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

const SECOND: i64 = 1_000_000_000;

#[test]
fn simple_seeks() {
    let Some(place) = Place::new(Tier::Low) else {
        return;
    };
    let rows = place.both(|run| {
        run.state(gst::State::Playing);
        run.seek(10, None);
        wait(20);
        run.seek(0, None);
        run.end();
    });
    assert_eq!((rows.len(), rows[0]), (60, 0));
}

#[test]
fn seek_forward() {
    let Some(place) = Place::new(Tier::Low) else {
        return;
    };
    let rows = place.both(|run| {
        run.state(gst::State::Playing);
        for at in [4, 8, 12, 16] {
            run.seek(at, None);
            wait(20);
        }
        run.end();
    });
    assert_eq!((rows.len(), rows[0]), (28, 16 * SECOND));
}

#[test]
fn seek_backward() {
    let Some(place) = Place::new(Tier::Low) else {
        return;
    };
    let rows = place.both(|run| {
        run.state(gst::State::Playing);
        for at in [20, 15, 10, 5, 0] {
            run.seek(at, None);
            wait(20);
        }
        run.end();
    });
    assert_eq!((rows.len(), rows[0]), (60, 0));
}

#[test]
fn seek_with_stop() {
    let Some(place) = Place::new(Tier::Low) else {
        return;
    };
    let rows = place.both(|run| {
        run.state(gst::State::Playing);
        run.seek(5, Some(10));
        run.end();
    });
    assert!(
        rows.iter().all(|at| (5 * SECOND..10 * SECOND).contains(at)),
        "{rows:?}"
    );
    assert!(rows.len() >= 9, "{rows:?}");
}

/// After the end of the stream a seek starts it once more; the file is the last run's.
#[test]
fn seek_after_the_end() {
    let Some(place) = Place::new(Tier::Low) else {
        return;
    };
    let rows = place.both(|run| {
        run.state(gst::State::Playing);
        run.end();
        run.seek(20, None);
        run.end();
    });
    assert_eq!((rows.len(), rows[0]), (20, 20 * SECOND));
}

#[test]
fn scrub() {
    let Some(place) = Place::new(Tier::Low) else {
        return;
    };
    let rows = place.both(|run| {
        run.state(gst::State::Paused);
        for at in (0..24).step_by(3).chain([9, 2, 5]) {
            run.seek(at, None);
        }
        run.state(gst::State::Playing);
        run.end();
    });
    assert_eq!((rows.len(), rows[0]), (50, 5 * SECOND));
}

#[test]
fn change_state_intensive() {
    let Some(place) = Place::new(Tier::Low) else {
        return;
    };
    let states = [
        gst::State::Playing,
        gst::State::Null,
        gst::State::Paused,
        gst::State::Ready,
        gst::State::Playing,
        gst::State::Ready,
        gst::State::Null,
        gst::State::Paused,
        gst::State::Playing,
        gst::State::Null,
    ];
    let rows = place.both(|run| {
        for state in states.iter().cycle().take(30) {
            run.state(*state);
        }
        run.state(gst::State::Playing);
        run.end();
    });
    assert_eq!(rows.len(), 60);
}

/// One element writes one file after another; between them properties can be set, and what is there is not replaced unasked.
#[test]
fn one_run_after_another() {
    let Some(place) = Place::new(Tier::Low) else {
        return;
    };
    let model = tiny::encoder(place.dir.path(), |m| m);
    let run = place.run(&place.featuresink(&model));
    let play = || {
        run.state(gst::State::Playing);
        run.end();
        run.state(gst::State::Ready);
    };
    play();
    // The same place once more: refused before anything is played, and the file stays.
    let before = std::fs::read(place.output()).unwrap();
    assert!(run.pipeline.set_state(gst::State::Paused).is_err());
    let error = run.error().unwrap();
    assert!(error.contains("exists already"), "{error}");
    run.state(gst::State::Ready);
    assert_eq!(std::fs::read(place.output()).unwrap(), before);
    // Another place, or leave to replace.
    let sink = run.pipeline.by_name("sink").unwrap();
    let second = place.dir.path().join("second.h5");
    sink.set_property("location", second.to_str());
    sink.set_property("batch", 3u32);
    play();
    sink.set_property("location", place.output().to_str());
    sink.set_property("overwrite", true);
    play();
    run.state(gst::State::Null);
    let rows = |path: &Path| {
        assert_eq!(h5::check(path).unwrap(), Vec::<String>::new());
        (
            read_tables(path).unwrap().pts_ns,
            read_features(path).unwrap(),
        )
    };
    assert_eq!(rows(&second), rows(&place.output()));
    assert_eq!(rows(&second).0.len(), 60);
}

/// A source that fails sends the end of the stream after its error: the file is not complete for that, and says what went wrong.
#[test]
fn an_end_after_an_error_is_none() {
    let Some(place) = Place::new(Tier::Low) else {
        return;
    };
    let model = tiny::encoder(place.dir.path(), |m| m);
    let run = place.run(&place.featuresink(&model));
    run.state(gst::State::Paused);
    let element = run.pipeline.by_name("encoded").unwrap();
    gst::element_error!(element, gst::ResourceError::Read, ("the server went away"));
    assert!(run.error().unwrap().contains("server went away"));
    run.state(gst::State::Playing);
    run.end();
    run.state(gst::State::Null);
    assert!(!place.output().exists());
    let partial = place.dir.path().join("out.h5.partial");
    assert_eq!(
        h5::check(&partial).unwrap(),
        ["it is not complete: encoded: the server went away"]
    );
    assert_eq!(read_tables(&partial).unwrap().pts_ns.len(), 60);
}

/// Sixty pauses, most of them while the streaming thread waits for the encoder.
#[test]
fn pauses_change_nothing() {
    let Some(place) = Place::new(Tier::High) else {
        return;
    };
    let model = tiny::slow_encoder(place.dir.path(), 4);
    let run = place.run(&place.featuresink(&model));
    run.state(gst::State::Playing);
    let begun = Instant::now();
    let mut pauses = 0;
    while pauses < 60 {
        run.state(gst::State::Paused);
        pauses += 1;
        if pauses % 10 == 0 {
            wait(20);
        }
        run.state(gst::State::Playing);
    }
    eprintln!("60 pauses in {:?}", begun.elapsed());
    run.end();
    run.state(gst::State::Null);
    let disturbed = place.dir.path().join("disturbed.h5");
    std::fs::rename(place.output(), &disturbed).unwrap();
    let run = place.run(&place.featuresink(&model));
    run.state(gst::State::Playing);
    run.end();
    run.state(gst::State::Null);

    let all = |path: &Path| {
        assert_eq!(h5::check(path).unwrap(), Vec::<String>::new());
        let (tables, summary) = (read_tables(path).unwrap(), read_summary(path).unwrap());
        let codes: Vec<_> = tables
            .tier
            .iter()
            .zip(&tables.reason)
            .map(|x| format!("{x:?}"))
            .collect();
        let anchors: Vec<_> = tables.anchors.iter().map(|x| format!("{x:?}")).collect();
        (
            (tables.pts_ns, tables.planned_ns, tables.asked_ns, codes),
            (
                tables.tokens,
                tables.anchor,
                anchors,
                read_features(path).unwrap(),
            ),
            (
                summary.spent_tokens,
                summary.budget_tokens,
                summary.frames_missed,
                summary.duration_ns,
            ),
            (
                summary.access_units_seen,
                summary.access_units_passed,
                summary.warnings,
            ),
        )
    };
    assert_eq!(all(&disturbed), all(&place.output()));
}
