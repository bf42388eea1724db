//! A sink in a harness, and what `anchorgate` and `framepick` would send it.

use std::path::{Path, PathBuf};

use anchoring::cue::{Cue, SoundQuality, Tag};
use anchoring::plan::Anchor;
use anchoring::plan::{Entry, Header, Reason, SCHEMA};
use anchoring::tier::{Prices, Tier};
use anchoring::time::{Nanos, Window};
use gst::glib;
use gst::prelude::*;
use gstearmark::structures::{self, Chosen, Message, Summary};

use crate::tiny;

/// Makes the elements known, once.
pub(crate) fn init() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        gst::init().unwrap();
        gstearmark::plugin_register_static().unwrap();
    });
}

pub(crate) fn entry(ms: i64, tier: Tier, reason: Reason, anchor: Option<u32>) -> Entry {
    Entry {
        planned: Nanos::from_ms(ms),
        asked: None,
        tier,
        tokens: Prices::default().of(tier),
        reason,
        anchor,
    }
}

pub(crate) fn anchor(id: u32, ms: i64) -> Anchor {
    Anchor {
        id,
        onset: Nanos::from_ms(ms),
        window: Window::new(Nanos::from_ms(ms - 20), Nanos::from_ms(ms + 40)).unwrap(),
        label: format!("Käfer, \"{id}\""),
        class_id: id as i32,
        score: 0.75,
        uncertainty: 0.25,
    }
}

pub(crate) fn cue(k: i64) -> Cue {
    Cue {
        pts: Nanos::from_ms(80 * k),
        eventness: 0.5,
        uncertainty: 0.25,
        speech: 0.125,
        tags: (0..k as u16 % 6)
            .map(|class_id| Tag { class_id, p: 0.5 })
            .collect(),
        onset: None,
        bands: std::array::from_fn(|band| (k as usize * 16 + band) as u8),
        change: (k % 3 > 0).then_some((k % 64) as f32 / 8.0),
        quality: (k % 2 == 0).then(|| SoundQuality::from_shares([0.5; SoundQuality::MEASURES])),
    }
}

/// The colour of the frame at that time.
pub(crate) fn colour(ms: i64) -> [u8; 3] {
    [(ms % 251) as u8, (ms / 251 % 251) as u8, 200]
}

/// A sink that writes `out.h5` in a folder of its own.
pub(crate) struct Feed {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) sink: gst::Element,
    pub(crate) bus: gst::Bus,
    harness: gst_check::Harness,
    size: (usize, usize),
}

impl Feed {
    /// With the tiny encoder; `set` sets further properties before the start.
    pub(crate) fn new(set: impl Fn(&gst::Element)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let model = tiny::encoder(dir.path(), |m| m);
        Self::with(dir, &model, set)
    }

    pub(crate) fn with(dir: tempfile::TempDir, model: &Path, set: impl Fn(&gst::Element)) -> Self {
        let (sink, bus) = element(dir.path(), model);
        set(&sink);
        // Starts it.
        let harness = gst_check::Harness::with_element(&sink, Some("sink"), None);
        sink.set_bus(Some(&bus));
        Self {
            dir,
            sink,
            bus,
            harness,
            size: (0, 0),
        }
    }

    /// Whether the source is live.
    pub(crate) fn live(&mut self, live: bool) {
        self.harness.set_live(live);
    }

    pub(crate) fn output(&self) -> PathBuf {
        self.dir.path().join("out.h5")
    }

    pub(crate) fn frames_of(&mut self, width: usize, height: usize) {
        self.size = (width, height);
        let info =
            gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, width as u32, height as u32)
                .fps(gst::Fraction::new(25, 1))
                .build()
                .unwrap();
        self.harness.set_src_caps(info.to_caps().unwrap());
    }

    pub(crate) fn cues_only(&mut self) {
        self.harness
            .set_src_caps(gst::Caps::new_empty_simple(structures::CUE_CAPS));
    }

    pub(crate) fn event(&mut self, event: gst::Event) -> bool {
        self.harness.push_event(event)
    }

    pub(crate) fn send(&mut self, message: &Message) -> bool {
        self.event(message.to_event())
    }

    pub(crate) fn plan(&mut self, ms: i64, budget_tokens: u64) {
        self.send(&Message::Plan(Header {
            schema: SCHEMA.into(),
            video_id: "kitchen".into(),
            duration: Nanos::from_ms(ms),
            budget_tokens,
            spent_tokens: 0,
            config: serde_json::json!({ "budget": { "tokens_per_s": 196 } }),
            candidates_per_min: 30,
        }));
    }

    pub(crate) fn summary(&mut self, ms: i64, budget_tokens: u64) {
        self.send(&Message::Summary(Summary {
            duration: Nanos::from_ms(ms),
            budget_tokens,
            first_frame: Some(Nanos::ZERO),
            access_units_seen: 250,
            access_units_passed: 20,
            warnings: vec!["one thing".into()],
        }));
    }

    /// A frame of one colour, untagged.
    pub(crate) fn buffer(&self, ms: i64) -> gst::Buffer {
        let (width, height) = self.size;
        let stride = (width * 3).next_multiple_of(4);
        let row: Vec<u8> = colour(ms).into_iter().cycle().take(width * 3).collect();
        let mut data = vec![99; stride * height];
        for line in data.chunks_mut(stride) {
            line[..width * 3].copy_from_slice(&row);
        }
        let mut buffer = gst::Buffer::from_mut_slice(data);
        let about = buffer.get_mut().unwrap();
        about.set_pts(gst::ClockTime::from_mseconds(ms as u64));
        about.set_duration(gst::ClockTime::from_mseconds(40));
        buffer
    }

    pub(crate) fn push(&mut self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.harness.push(buffer)
    }

    /// A frame that serves an entry.
    pub(crate) fn frame(
        &mut self,
        ms: i64,
        entry: Entry,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let buffer = self.buffer(ms);
        self.tagged(buffer, ms, entry)
    }

    pub(crate) fn tagged(
        &mut self,
        mut buffer: gst::Buffer,
        ms: i64,
        entry: Entry,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let chosen = Chosen {
            entry,
            pts: Nanos::from_ms(ms),
            frame: Nanos::from_ms(40),
            earliest: Nanos::from_ms(ms),
        };
        structures::tag_buffer(buffer.make_mut(), &chosen).unwrap();
        self.push(buffer)
    }

    /// The caps of the frames.
    pub(crate) fn caps(&self) -> gst::Caps {
        self.sink
            .static_pad("sink")
            .unwrap()
            .current_caps()
            .unwrap()
    }

    pub(crate) fn end(&mut self) -> bool {
        self.event(gst::event::Eos::new())
    }

    /// The first error posted, if any.
    pub(crate) fn error(&self) -> Option<glib::Error> {
        first_error(&self.bus)
    }

    pub(crate) fn files(&self) -> Vec<String> {
        files(self.dir.path())
    }
}

/// A sink that would write `out.h5` in that folder, not started.
pub(crate) fn element(dir: &Path, model: &Path) -> (gst::Element, gst::Bus) {
    init();
    let sink = gst::ElementFactory::make("featuresink")
        .property("location", dir.join("out.h5").to_str())
        .property("model", model.to_str())
        .build()
        .unwrap();
    let bus = gst::Bus::new();
    sink.set_bus(Some(&bus));
    (sink, bus)
}

/// The first error posted, if any.
pub(crate) fn first_error(bus: &gst::Bus) -> Option<glib::Error> {
    let message = bus.pop_filtered(&[gst::MessageType::Error])?;
    match message.view() {
        gst::MessageView::Error(err) => Some(err.error()),
        _ => None,
    }
}

/// What lies in the folder beside the model.
pub(crate) fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with("colour"))
        .collect();
    names.sort();
    names
}
