//! `framepick`: pads and state.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anchoring::plan::Entry;
use anchoring::time::Nanos;
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::decoder_qos::DecoderQos;
use super::memory::FrameAllocator;
use super::pending::Pending;
use super::sharpest::Sharpest;
use crate::pads;
use crate::printable::shown;
use crate::structures::{self, Message};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "framepick",
        gst::DebugColorFlags::empty(),
        Some("Earmark: keeps the chosen frames"),
    )
});

/// Between streams there is no segment and nothing pending. Within one, entries come before their frame, maybe long before; frames
/// come in order of time, and each settles every entry up to its own time.
///
/// The lock is never held during a push or a post.
#[derive(Default)]
struct State {
    segment: Option<gst::FormattedSegment<gst::ClockTime>>,
    pending: Pending,
    sharpest: Sharpest,
    /// False until the first frame after a start, a segment or a flush, which is marked DISCONT.
    continues: bool,
    decoder_qos: DecoderQos,
    stats: Stats,
}

#[derive(Clone, Copy, Default)]
struct Stats {
    units_seen: u64,
    frames: u64,
    missed: u64,
    /// Frames taken in place of a less sharp planned one.
    sharper: u64,
    busy_ns: u64,
}

pub struct FramePick {
    sink: gst::Pad,
    src: gst::Pad,
    state: Mutex<State>,
}

impl FramePick {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn chain(&self, mut buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let began = Instant::now();
        let damaged = buffer.flags().contains(gst::BufferFlags::CORRUPTED);
        let (outcome, mut sharper) = {
            let mut state = self.state();
            let state = &mut *state;
            state.stats.units_seen += 1;
            let at = state.segment.as_ref().zip(buffer.pts());
            let at = at.and_then(|(segment, pts)| pads::stream_time(segment, pts));
            let Some(at) = at else {
                gst::debug!(CAT, imp = self, "dropping a frame without a timestamp");
                return Ok(gst::FlowSuccess::Ok);
            };
            let outcome = state.pending.frame(at, damaged);
            if !outcome.missed.is_empty() {
                state.sharpest.forget();
            }
            let mut sharper = None;
            if let Some(first) = outcome.served.first() {
                sharper = state
                    .sharpest
                    .settle(&buffer, at, first.entry.first_asked());
                state.stats.sharper += u64::from(sharper.is_some());
            } else if let Some(asked) = state.pending.candidate(at).filter(|_| !damaged) {
                state.sharpest.offer(&buffer, at, asked);
            }
            state.stats.frames += outcome.served.len() as u64;
            state.stats.busy_ns += began.elapsed().as_nanos() as u64;
            (outcome, sharper)
        };
        self.miss(&outcome.missed);
        let mut served = outcome.served.into_iter().peekable();
        while let Some(chosen) = served.next() {
            // A frame that serves two entries goes out twice; the copy shares its memory.
            let mut out = if let Some(sharper) = sharper.take() {
                sharper
            } else if served.peek().is_some() {
                buffer.clone()
            } else {
                std::mem::take(&mut buffer)
            };
            if let Err(error) = structures::tag_buffer(out.make_mut(), &chosen) {
                gst::element_imp_error!(
                    self,
                    gst::LibraryError::Failed,
                    ("cannot attach the plan entry to a frame: {error}")
                );
                return Err(gst::FlowError::Error);
            }
            if !std::mem::replace(&mut self.state().continues, true) {
                out.make_mut().set_flags(gst::BufferFlags::DISCONT);
            }
            gst::log!(CAT, imp = self, "{:?}", chosen);
            self.src
                .push(out)
                .inspect_err(|error| self.refused(*error))?;
        }
        Ok(gst::FlowSuccess::Ok)
    }

    /// Decoders do not report that downstream refused their frames.
    fn refused(&self, error: gst::FlowError) {
        if error == gst::FlowError::NotNegotiated {
            let caps = self.sink.current_caps();
            let caps = caps.map_or("of unknown kind".into(), |caps| caps.to_string());
            gst::element_imp_error!(
                self,
                gst::CoreError::Negotiation,
                ("downstream does not accept these frames: {caps} (single fields, interlace-mode=alternate, must be woven first)")
            );
        }
    }

    fn miss(&self, entries: &[Entry]) {
        if entries.is_empty() {
            return;
        }
        self.state().stats.missed += entries.len() as u64;
        for entry in entries {
            gst::warning!(CAT, imp = self, "no frame came for {:?}", entry);
            self.src.push_event(Message::Miss(*entry).to_event());
        }
    }

    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Caps(caps) => {
                let mut state = self.state();
                state.decoder_qos.block(&self.sink);
                state.sharpest.set_caps(caps.caps());
            }
            gst::EventView::Segment(segment) => {
                let Ok(segment) = segment.segment().clone().downcast::<gst::ClockTime>() else {
                    gst::element_imp_error!(
                        self,
                        gst::StreamError::Format,
                        ("the video segment must be in time format (is this raw data without timestamps?)")
                    );
                    return false;
                };
                let mut state = self.state();
                state.segment = Some(segment);
                state.sharpest.forget();
                state.continues = false;
            }
            gst::EventView::FlushStop(_) => {
                let mut state = self.state();
                state.pending.clear();
                state.sharpest.forget();
                state.segment = None;
                state.continues = false;
            }
            gst::EventView::Gap(gap) => {
                let (pts, _) = gap.get();
                let missed = {
                    let mut state = self.state();
                    let at = state.segment.as_ref();
                    let at = at.and_then(|segment| pads::stream_time(segment, pts));
                    at.map(|at| state.pending.passed(at)).unwrap_or_default()
                };
                self.miss(&missed);
            }
            gst::EventView::Eos(_) => {
                let missed = self.state().pending.passed(Nanos::MAX);
                self.miss(&missed);
                self.report();
            }
            gst::EventView::CustomDownstream(_) => match Message::from_event(&event) {
                Some(Ok(Message::Chosen(chosen))) => {
                    let surplus = self.state().pending.want(chosen);
                    self.miss(surplus.as_slice());
                    return true;
                }
                Some(Err(error)) => {
                    gst::element_imp_error!(self, gst::StreamError::Format, ("{}", shown(&error)));
                    return false;
                }
                _ => {}
            },
            _ => {}
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    /// Keeps QoS events from the decoder: it would skip frames, chosen ones among them.
    fn src_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Qos(_) => true,
            _ => gst::Pad::event_default(pad, Some(&*self.obj()), event),
        }
    }

    fn sink_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        // A decoder asks these before its first frame, through queues, too: the caps event may come later than a frame elsewhere.
        if matches!(
            query.type_(),
            gst::QueryType::Allocation | gst::QueryType::Caps
        ) {
            self.state().decoder_qos.block(&self.sink);
        }
        let answered = gst::Pad::query_default(pad, Some(&*self.obj()), query);
        if answered && let gst::QueryViewMut::Allocation(allocation) = query.view_mut() {
            offer(allocation);
        }
        answered
    }

    fn report(&self) {
        let stats = self.state().stats;
        let message = structures::stats_message(
            &*self.obj(),
            "pick",
            &[
                ("units-seen", stats.units_seen),
                ("frames", stats.frames),
                ("missed", stats.missed),
                ("sharper", stats.sharper),
                ("busy-ns", stats.busy_ns),
            ],
        );
        // Fails only without a bus.
        let _ = self.obj().post_message(message);
    }
}

/// Offers the decoder copy-on-write memory and a pool to decode into. Not where downstream has memory of its own, wants it elsewhere than
/// in system memory, or takes one layout only.
fn offer(allocation: &mut gst::query::Allocation) {
    let (caps, _) = allocation.get_owned();
    let Some(caps) = caps else { return };
    let plain = caps
        .features(0)
        .is_none_or(|features| features.is_equal(&gst::CAPS_FEATURES_MEMORY_SYSTEM_MEMORY));
    let free = allocation.find_allocation_meta::<gst_video::VideoMeta>();
    let (true, Some(_), Ok(info)) = (plain, free, gst_video::VideoInfo::from_caps(&caps)) else {
        return;
    };
    let first = allocation.allocation_params().next();
    let allocator = FrameAllocator::default();
    match first {
        None => allocation.add_allocation_param(Some(&allocator), gst::AllocationParams::default()),
        Some((None, params)) => allocation.set_nth_allocation_param(0, Some(&allocator), params),
        Some((Some(_), _)) => return,
    }
    if allocation.allocation_pools().next().is_none() {
        let size = u32::try_from(info.size()).unwrap_or(u32::MAX);
        allocation.add_allocation_pool(Some(&gst_video::VideoBufferPool::new()), size, 0, 0);
    }
}

#[glib::object_subclass]
impl ObjectSubclass for FramePick {
    const NAME: &'static str = "EarmarkFramePick";
    type Type = super::FramePick;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let sink = gst::Pad::builder_from_template(&pads::known(class.pad_template("sink")))
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |this| this.chain(buffer),
                )
            })
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.sink_event(pad, event))
            })
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |this| this.sink_query(pad, query))
            })
            .activatemode_function(|_, _, mode, active| pads::push_only(*CAT, mode, active))
            .flags(gst::PadFlags::PROXY_CAPS | gst::PadFlags::PROXY_ALLOCATION)
            .build();
        let src = gst::Pad::builder_from_template(&pads::known(class.pad_template("src")))
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.src_event(pad, event))
            })
            .activatemode_function(|_, _, mode, active| pads::push_only(*CAT, mode, active))
            .flags(gst::PadFlags::PROXY_CAPS | gst::PadFlags::PROXY_ALLOCATION)
            .build();
        Self {
            sink,
            src,
            state: Mutex::default(),
        }
    }
}

impl ObjectImpl for FramePick {
    fn constructed(&self) {
        self.parent_constructed();
        pads::add(*CAT, self.obj().upcast_ref(), &[&self.sink, &self.src]);
    }
}

impl GstObjectImpl for FramePick {}

impl ElementImpl for FramePick {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Earmark frame picker",
                "Filter/Video",
                "Passes the decoded frames that plan entries from anchorgate name, or sharper ones on the way to them, each with its entry, and drops all others uncopied",
                "Earmark",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = gst::Caps::builder_full()
                .structure(gst::Structure::new_empty("video/x-raw"))
                .structure_with_any_features(gst::Structure::new_empty("video/x-raw"))
                .build();
            vec![
                pads::template("sink", gst::PadDirection::Sink, &caps),
                pads::template("src", gst::PadDirection::Src, &caps),
            ]
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::ReadyToPaused => *self.state() = State::default(),
            gst::StateChange::PausedToReady => self.state().decoder_qos.release(),
            _ => {}
        }
        self.parent_change_state(transition)
    }
}
