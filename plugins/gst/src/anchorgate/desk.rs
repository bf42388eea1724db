//! What the gate holds and what it lets go of: units and events in, units and events out, in order. No pads, no threads,
//! no clock.

mod again;
mod drain;
mod end;
mod jump;

use std::collections::VecDeque;
use std::path::PathBuf;

use anchoring::cue::{Cue, HOP};
use anchoring::gop::{GopQueue, Unit, Verdict};
use anchoring::holes::Finder;
use anchoring::plan::{Header, SCHEMA};
use anchoring::settings::{Policy, Settings};
use anchoring::tier::Prices;
use anchoring::time::Nanos;

use super::EarmarkAccess;
use super::access::Access;
use super::causes::{Cause, Circumstances};
use super::colours;
use super::looks::{Item, Looks, PlanFile, PlanFileError};
use super::order::{Order, Stamp};
use super::shown::Unordered;
use crate::carry::{self, CarryError, Chosen, Message, Summary};
use crate::pads;
use drain::Hole;
pub(super) use jump::To;
use jump::{Arrival, Jumps};

/// Everything that is settled when the gate starts.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) settings: Settings,
    pub(super) prices: Prices,
    pub(super) plan: Option<PathBuf>,
    /// Class names by index; may be empty.
    pub(super) labels: Vec<String>,
    pub(super) video_id: String,
    pub(super) max_bytes: usize,
    pub(super) max_lag: Nanos,
    pub(super) access: EarmarkAccess,
}

/// What can go wrong at the desk.
#[derive(Debug, thiserror::Error)]
pub(super) enum DeskError {
    #[error(transparent)]
    Plan(#[from] PlanFileError),
    #[error(transparent)]
    Cue(#[from] CarryError),
    #[error("the pictures carry no presentation times: {0}")]
    Unordered(#[from] Unordered),
    #[error(
        "a picture of {wanted} bytes is announced, but {there} bytes came: the container takes another codec for raw pictures (AVI does so with H.265); convert it, for example `ffmpeg -i IN -c:v libx264 -crf 18 -c:a copy OUT.mkv`"
    )]
    NotRaw { wanted: usize, there: usize },
    #[error(
        "seeking led astray, and not back to {0}: is the recording being changed? (access=linear reads it through)"
    )]
    Astray(Nanos),
    #[error(
        "{spent} tokens were spent of a budget of {budget}: the recording ended earlier than it said (is it cut off?)"
    )]
    Overspent { spent: u64, budget: u64 },
}

/// What is known of the cues.
///
/// `Waiting` until the first comes, `Hearing` from then on; `Late` when none came for too long, until the next; `Ended` when
/// the sound is over; `Deaf` when nothing feeds the cue branch. Flushing goes back to `Waiting`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ears {
    Waiting,
    Hearing,
    Late,
    Ended,
    Deaf,
}

/// What goes downstream.
#[derive(Debug)]
pub(super) enum Out {
    Event(gst::Event),
    Buffer(gst::Buffer),
}

/// Whether there is room for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// Take the next unit.
    Enough,
    /// Something was let go of: ask again.
    Freed,
    /// Only more cues, or [`Desk::go_on_without`], can make room.
    NeedsCues,
}

/// A unit with the serialized events that came before it.
#[derive(Debug)]
struct Parcel {
    events: Vec<gst::Event>,
    buffer: gst::Buffer,
    /// A decoder forgets all that came before it.
    resets: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) cues: u64,
    pub(super) anchors: u64,
    pub(super) entries: u64,
    pub(super) tokens: u64,
    /// Of the pictures that were let through since the recording was entered.
    pub(super) spent: u64,
    /// Most that was held at once.
    pub(super) most_bytes: usize,
    pub(super) most_time: Nanos,
}

/// What the gate holds.
pub(super) struct Desk {
    setup: Setup,
    looks: Looks,
    /// From one picture to the next, as the stream says.
    frame: Option<Nanos>,
    header: Header,
    queue: GopQueue<Parcel>,
    access: Access,
    /// Presentation times, where there are only decoding times.
    order: Order<gst::Buffer>,
    /// GStreamer's media type of the pictures.
    media: String,
    /// Bytes of a picture that isn't encoded.
    raw: Option<usize>,
    segment: Option<gst::FormattedSegment<gst::ClockTime>>,
    /// Serialized events that came after the last unit.
    trailing: Vec<gst::Event>,
    out: VecDeque<Out>,
    out_bytes: usize,
    /// Messages that came before the video's segment, and so can't go yet.
    early: VecDeque<Message>,
    /// The first segment has come, of the video or of the cues.
    entered: bool,
    /// The video's segment has gone out.
    started: bool,
    /// The plan's header has gone out.
    introduced: bool,
    finished: bool,
    pub(super) ears: Ears,
    causes: Vec<Cause>,
    pub(super) warnings: Vec<String>,
    /// Warnings before this one were fetched.
    told: usize,
    /// The first keyframe, kept until something passes: a decoder that never sees a picture is an error to decodebin.
    spare: Option<gst::Buffer>,
    passed_any: bool,
    discont: bool,
    hole: Option<Hole>,
    previous: Option<Nanos>,
    video_stop: Nanos,
    cue_stop: Nanos,
    /// The last cue's time since the start or the last flush.
    last_cue: Option<Nanos>,
    /// Holes in the pictures.
    finder: Finder,
    /// Longest time between two keyframes, and the last of them.
    longest_gop: Nanos,
    last_key: Option<Nanos>,
    jumps: Jumps,
    pub(super) counts: Counts,
}

impl Desk {
    pub(super) fn new(setup: Setup) -> Result<Self, DeskError> {
        let policy = setup.settings.budget.policy;
        let looks = match &setup.plan {
            Some(path) => Looks::Plan(Box::new(PlanFile::open(path, setup.prices)?)),
            None if policy == Policy::Dense => Looks::Dense {
                tier: setup.settings.budget.untrusted_tier,
                tokens: setup.prices.of(setup.settings.budget.untrusted_tier),
            },
            None => Looks::stream(
                setup.settings.clone(),
                setup.prices,
                &setup.labels,
                Nanos::ZERO,
            ),
        };
        let header = match &looks {
            Looks::Plan(file) => file.header().clone(),
            _ => Header {
                schema: SCHEMA.into(),
                video_id: setup.video_id.clone(),
                duration: Nanos::new(-1),
                budget_tokens: 0,
                spent_tokens: 0,
                config: serde_json::to_value(&setup.settings).unwrap_or_default(),
            },
        };
        Ok(Self {
            jumps: Jumps::new(setup.access),
            setup,
            looks,
            frame: None,
            header,
            queue: GopQueue::new(),
            access: Access::default(),
            order: Order::default(),
            media: String::new(),
            raw: None,
            segment: None,
            trailing: Vec::new(),
            out: VecDeque::new(),
            out_bytes: 0,
            early: VecDeque::new(),
            entered: false,
            started: false,
            introduced: false,
            finished: false,
            ears: Ears::Waiting,
            causes: Vec::new(),
            warnings: Vec::new(),
            told: 0,
            spare: None,
            passed_any: false,
            discont: true,
            hole: None,
            previous: None,
            video_stop: Nanos::ZERO,
            cue_stop: Nanos::ZERO,
            last_cue: None,
            finder: Finder::default(),
            longest_gop: Nanos::ZERO,
            last_key: None,
            counts: Counts::default(),
        })
    }

    /// Whether the plan is made from the cues.
    pub(super) fn needs_cues(&self) -> bool {
        let policy = self.setup.settings.budget.policy;
        matches!(self.looks, Looks::Stream { .. })
            && matches!(policy, Policy::Gated | Policy::AnchorsOnly)
    }

    /// Whether cues may still come.
    pub(super) fn cues_may_come(&self) -> bool {
        matches!(self.ears, Ears::Waiting | Ears::Hearing | Ears::Late)
    }

    /// Longest time between two keyframes so far.
    pub(super) fn longest_gop(&self) -> Nanos {
        self.longest_gop
    }

    /// Whether a picture or its segment has come.
    pub(super) fn started(&self) -> bool {
        self.started
    }

    /// Whether the end has gone out.
    pub(super) fn finished(&self) -> bool {
        self.finished
    }

    /// Encoded pictures that came, each as often as it came.
    pub(super) fn units_read(&self) -> u64 {
        self.queue.stats().seen + self.jumps.units_again()
    }

    pub(super) fn gop_stats(&self) -> anchoring::gop::Stats {
        self.queue.stats()
    }

    /// Bytes and time held.
    pub(super) fn held(&self) -> (usize, Nanos) {
        (
            self.queue.held_bytes() + self.out_bytes,
            self.queue.held_time(),
        )
    }

    /// Whether what waits to be pushed is as much as may wait.
    pub(super) fn full(&self) -> bool {
        const BYTES: usize = 8 << 20;
        const ITEMS: usize = 1024;
        self.out_bytes > BYTES || self.out.len() > ITEMS
    }

    /// Whether more messages wait for the video's segment than may wait: an hour's cues.
    pub(super) fn early_full(&self) -> bool {
        const MESSAGES: usize = 45_000;
        self.early.len() > MESSAGES
    }

    /// Takes the next thing to push.
    pub(super) fn pop(&mut self) -> Option<Out> {
        let out = self.out.pop_front()?;
        if let Out::Buffer(buffer) = &out {
            self.out_bytes -= buffer.size();
        }
        Some(out)
    }

    /// Warnings that nobody has been told yet.
    pub(super) fn news(&mut self) -> Vec<String> {
        let news = self.warnings[self.told..].to_vec();
        self.told = self.warnings.len();
        news
    }

    /// A serialized event of the video, other than EOS.
    pub(super) fn video_event(&mut self, mut event: gst::Event) -> Result<(), DeskError> {
        if let gst::EventView::Caps(caps) = event.view()
            && let Some(right) = colours::put_right(caps.caps())
        {
            event = gst::event::Caps::builder(&right)
                .seqnum(event.seqnum())
                .build();
        }
        let mut begins = false;
        match event.view() {
            // A GAP in the middle of a GOP would make the decoder forget its pictures.
            gst::EventView::Gap(_) => return Ok(()),
            gst::EventView::Caps(caps) => {
                self.drain_order()?;
                self.order.set_caps(caps.caps());
                self.access.set_caps(caps.caps());
                self.frame = frame_of(caps.caps());
                self.looks.see(self.frame);
                let media = caps.caps().structure(0).map(|s| s.name().to_string());
                self.media = media.unwrap_or_default();
                let raw = gst_video::VideoInfo::from_caps(caps.caps()).ok();
                self.raw = raw
                    .filter(|_| self.media == "video/x-raw")
                    .map(|raw| raw.size());
                if !self.access.knows_keyframes() {
                    self.warn(Cause::Unknown);
                }
            }
            gst::EventView::Segment(segment) => {
                self.drain_order()?;
                let segment = segment.segment().clone();
                let segment = segment.downcast::<gst::ClockTime>().ok();
                if let Some(segment) = &segment {
                    if self.jumps.is_landing() && !self.lands_in(segment)? {
                        return Ok(());
                    }
                    self.enter(segment);
                }
                self.segment = segment;
                begins = !self.started;
            }
            _ => {}
        }
        if self.queue.is_empty() {
            self.out.push_back(Out::Event(event));
            if begins {
                self.begin();
            }
        } else {
            self.trailing.push(event);
        }
        Ok(())
    }

    /// When the recording is expected to stop.
    pub(super) fn expect(&mut self, stop: Nanos) {
        self.looks.expect(stop);
    }

    /// The recording is entered where the first segment begins, be it of the video or of the cues. That is not its
    /// beginning after a seek; the plan begins there.
    pub(super) fn enter(&mut self, segment: &gst::FormattedSegment<gst::ClockTime>) {
        if std::mem::replace(&mut self.entered, true) {
            return;
        }
        let start = segment
            .start()
            .and_then(|start| pads::stream_time(segment, start));
        if let (Some(start), Looks::Stream { origin, .. }) = (start, &mut self.looks) {
            *origin = start.max(Nanos::ZERO);
        }
    }

    fn begin(&mut self) {
        self.started = true;
        if !std::mem::replace(&mut self.introduced, true) {
            let header = Message::Plan(self.header.clone());
            self.out.push_back(Out::Event(header.to_event()));
        }
        for message in std::mem::take(&mut self.early) {
            self.out.push_back(Out::Event(message.to_event()));
        }
    }

    fn say(&mut self, message: Message) {
        if self.started {
            self.out.push_back(Out::Event(message.to_event()));
        } else {
            self.early.push_back(message);
        }
    }

    /// An encoded picture.
    pub(super) fn unit(&mut self, buffer: gst::Buffer) -> Result<(), DeskError> {
        let Some(stamp) = Stamp::of(&buffer) else {
            self.out_bytes += buffer.size();
            self.out.push_back(Out::Buffer(buffer));
            return Ok(());
        };
        if self.order.passes(stamp) {
            return self.timed_unit(buffer);
        }
        let known = match buffer.clone().map_readable() {
            Ok(map) => self.order.take(stamp, &map, buffer)?,
            Err(_) => Some(buffer),
        };
        match known {
            Some(buffer) => self.timed_unit(buffer),
            None => self.take_ordered(false),
        }
    }

    /// Units whose presentation times have become known; all, if no more come.
    fn take_ordered(&mut self, drain: bool) -> Result<(), DeskError> {
        while let Some((mut buffer, pts, dts)) = self.order.next(drain) {
            let made = buffer.make_mut();
            made.set_pts(gst::ClockTime::from_nseconds(pts));
            made.set_dts(gst::ClockTime::from_nseconds(dts));
            self.timed_unit(buffer)?;
        }
        Ok(())
    }

    pub(super) fn drain_order(&mut self) -> Result<(), DeskError> {
        self.take_ordered(true)
    }

    /// An encoded picture whose time is known as well as it can be.
    fn timed_unit(&mut self, mut buffer: gst::Buffer) -> Result<(), DeskError> {
        if let Some(wanted) = self.raw.filter(|&wanted| buffer.size() < wanted) {
            let there = buffer.size();
            return Err(DeskError::NotRaw { wanted, there });
        }
        let frame = self.queue.frame();
        let duration = buffer
            .duration()
            .map(|duration| Nanos::new(duration.nseconds() as i64));
        let time = buffer.pts().or(buffer.dts());
        let stated = self.segment.as_ref().zip(time);
        let stated = stated.and_then(|(segment, time)| pads::stream_time(segment, time));
        let pts = stated
            .or(self.previous.map(|previous| previous + frame))
            .unwrap_or(Nanos::ZERO);
        let inside = |segment: &gst::FormattedSegment<gst::ClockTime>| {
            time.is_none_or(|time| {
                segment.start().is_none_or(|start| start <= time)
                    && segment.stop().is_none_or(|stop| time < stop)
            })
        };
        let flags = buffer.flags();
        let shown = self.segment.as_ref().is_none_or(inside)
            && !flags.contains(gst::BufferFlags::DECODE_ONLY);
        let keyframe = !flags.contains(gst::BufferFlags::DELTA_UNIT);
        let landing = self.jumps.is_landing();
        let found = match buffer.map_readable() {
            Ok(map) if landing => self.access.look_anew(keyframe, pts, &map),
            Ok(map) => self.access.look(keyframe, pts, &map),
            Err(_) => super::access::Found::default(),
        };
        // Both fields make one picture, and are shown from the first one's time on.
        let first = self.previous.filter(|_| found.second);
        let stop = pts + duration.unwrap_or(frame);
        let pts = first.unwrap_or(pts);
        if self.arrives(pts, time, found.start)? == Arrival::Drop {
            return Ok(());
        }
        self.previous = Some(pts);
        self.jumps.took(pts, time, found.start);
        if let Some(sets) = found.sets {
            buffer
                .make_mut()
                .prepend_memory(gst::Memory::from_slice(sets));
        }
        if shown {
            // Where the segment ends inside a picture, so does the recording.
            let end = self.segment.as_ref().and_then(|segment| {
                let stop = segment.stop()?;
                pads::stream_time(segment, stop)
            });
            self.video_stop = self.video_stop.max(end.map_or(stop, |end| stop.min(end)));
        }
        if found.start {
            if let Some(last) = self.last_key {
                self.longest_gop = self.longest_gop.max(pts - last);
            }
            self.last_key = Some(pts);
            if !self.passed_any && self.spare.is_none() {
                self.spare = Some(buffer.clone());
            }
        }
        if let Some(hole) = self.finder.picture(pts).filter(|_| !landing)
            && matches!(self.looks, Looks::Stream { .. })
        {
            self.looks.hole(hole);
            self.warn(Cause::Hole(hole));
        }
        let unit = Unit {
            pts,
            keyframe: found.start,
            shown,
            droppable: found.droppable,
            second: found.second,
            // What the bookkeeping of a unit takes counts too, so that tiny units are bounded.
            bytes: buffer.size() + 512,
            duration,
            payload: Parcel {
                events: std::mem::take(&mut self.trailing),
                buffer,
                resets: found.resets,
            },
        };
        if shown
            && !found.second
            && let Some(entry) = self.looks.dense_entry(pts)
        {
            self.counts.entries += 1;
            self.counts.tokens += entry.tokens;
            self.queue.want(entry);
        }
        if let Some(parcel) = self.queue.push(unit) {
            // Nothing can decode it; what came before it still counts.
            self.out.extend(parcel.events.into_iter().map(Out::Event));
            self.discont = true;
        }
        let (bytes, time) = self.held();
        self.counts.most_bytes = self.counts.most_bytes.max(bytes);
        self.counts.most_time = self.counts.most_time.max(time);
        if self.ears == Ears::Ended {
            self.note_early_end(self.video_stop);
        }
        self.progress()
    }

    /// A cue.
    pub(super) fn cue(&mut self, payload: &[u8]) -> Result<(), DeskError> {
        let cue = carry::cue_from_text(payload)?;
        self.ears = Ears::Hearing;
        // A hop may begin before the last one ends, where sound goes on anew, but not before that one begins.
        if self.last_cue.is_some_and(|last| cue.pts <= last) {
            self.warn(Cause::Back);
            return self.progress();
        }
        self.last_cue = Some(cue.pts);
        self.looks.hear(&cue);
        self.cue_stop = self.cue_stop.max(cue.pts + HOP);
        let planned = matches!(&self.looks, Looks::Plan(file) if file.has_cues());
        if !planned {
            self.keep_cue(cue);
        }
        self.progress()
    }

    fn keep_cue(&mut self, cue: Cue) {
        self.counts.cues += 1;
        self.say(Message::Cue(cue));
    }

    /// There is nothing to hear before `until`.
    pub(super) fn silence(&mut self, until: Nanos) -> Result<(), DeskError> {
        if matches!(self.ears, Ears::Waiting | Ears::Late) {
            self.ears = Ears::Hearing;
        }
        self.looks.missing_until(until);
        self.note_early_end(until);
        self.progress()
    }

    /// The sound is over.
    pub(super) fn cues_end(&mut self) -> Result<(), DeskError> {
        self.ears = Ears::Ended;
        self.looks.no_more_cues();
        if self.counts.cues == 0 && self.cue_stop == Nanos::ZERO {
            self.warn(Cause::NoneCame);
        }
        self.progress()
    }

    /// No cue is to be expected. Should one come after all, it is heard.
    pub(super) fn deaf(&mut self, cause: Cause) -> Result<(), DeskError> {
        self.ears = Ears::Deaf;
        self.warn(cause);
        self.progress()
    }

    /// The cues stay behind: plans the oldest part held without them and lets go of it.
    pub(super) fn go_on_without(&mut self) -> Result<(), DeskError> {
        self.ears = Ears::Late;
        self.warn(Cause::Late);
        if let Some(until) = self.queue.oldest_until() {
            self.looks.missing_until(until);
        }
        self.progress()?;
        if self.over() {
            let verdicts = self.queue.overflow();
            self.carry_out(verdicts);
        }
        Ok(())
    }

    /// Warns if the recording has gone on to `until` without cues for so long that it shows.
    fn note_early_end(&mut self, until: Nanos) {
        // A look every largest gap goes on; less than that is no news.
        let tail = Nanos::from_ms(i64::from(self.setup.settings.budget.max_gap_ms).max(2000));
        if self.counts.cues > 0 && until - self.cue_stop > tail {
            self.warn(Cause::EndedEarly);
        }
    }

    fn warn(&mut self, cause: Cause) {
        let told = self.causes.iter().any(|told| told.like(cause));
        if told || (cause.about_cues() && !self.needs_cues()) {
            return;
        }
        self.causes.push(cause);
        let (bytes, time) = self.held();
        let text = cause.text(&Circumstances {
            anchors_only: self.setup.settings.budget.policy == Policy::AnchorsOnly,
            cue_stop: self.cue_stop,
            held_bytes: bytes,
            held_time: time,
            media: &self.media,
        });
        self.warnings.push(text);
    }

    fn over(&self) -> bool {
        // What waits to be pushed has a bound of its own, and a slow decoder is no reason to do without cues.
        self.queue.held_bytes() > self.setup.max_bytes
            || self.queue.held_time() > self.setup.max_lag
    }

    /// Makes room for the next unit, if that is needed and can be done by what is decided.
    pub(super) fn make_room(&mut self) -> Room {
        if !self.over() || self.queue.held_bytes() == 0 {
            return Room::Enough;
        }
        let until = self.queue.oldest_until().unwrap_or(Nanos::ZERO);
        if self.looks.decided_until() < until && self.needs_cues() && self.cues_may_come() {
            return Room::NeedsCues;
        }
        let verdicts = self.queue.overflow();
        self.carry_out(verdicts);
        Room::Freed
    }

    /// Hears what the plan says next and lets go of what is decided.
    fn progress(&mut self) -> Result<(), DeskError> {
        let newest = self.queue.newest();
        let deaf = matches!(self.ears, Ears::Ended | Ears::Deaf);
        if let Some(newest) = newest
            && (deaf || !self.needs_cues())
        {
            self.looks.missing_until(newest);
        }
        // Without pictures nothing is ahead of them, and what is decided is told.
        let until = match &self.looks {
            Looks::Stream { .. } => newest.unwrap_or(Nanos::MAX),
            _ => newest.unwrap_or(Nanos::ZERO),
        };
        self.read_looks(until)?;
        let verdicts = self.queue.release(self.looks.decided_until());
        self.carry_out(verdicts);
        if self.looks.ahead().is_some() {
            let verdicts = self.queue.advance(self.looks.decided_until());
            self.carry_out(verdicts);
        }
        self.consider_jump();
        Ok(())
    }

    fn read_looks(&mut self, until: Nanos) -> Result<(), DeskError> {
        while let Some(item) = self.looks.next(until)? {
            match item {
                Item::Look(entry) => {
                    self.counts.entries += 1;
                    self.counts.tokens += entry.tokens;
                    self.queue.want(entry);
                }
                Item::Anchor(mut anchor) => {
                    let label = usize::try_from(anchor.class_id).ok();
                    let label = label.and_then(|class| self.setup.labels.get(class));
                    if let Some(label) = label.filter(|_| anchor.label.is_empty()) {
                        anchor.label.clone_from(label);
                    }
                    self.counts.anchors += 1;
                    self.say(Message::Anchor(anchor));
                }
                Item::Cue(cue) => self.keep_cue(cue),
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, verdicts: Vec<Verdict<Parcel>>) {
        let frame = self.queue.frame();
        for verdict in verdicts {
            match verdict {
                Verdict::Serve { entry, pts } => {
                    self.counts.spent += entry.tokens;
                    self.say(Message::Chosen(Chosen { entry, pts, frame }));
                }
                Verdict::Fold(entry) => {
                    self.counts.entries = self.counts.entries.saturating_sub(1);
                    self.counts.tokens = self.counts.tokens.saturating_sub(entry.tokens);
                    // A plan made here has its hole told already.
                    if matches!(self.looks, Looks::Plan(_)) {
                        self.warn(Cause::Folded);
                    }
                }
                Verdict::Miss(entry) => {
                    self.warn(Cause::Missed);
                    self.say(Message::Miss(entry));
                }
                Verdict::Pass {
                    payload: parcel,
                    wanted,
                } => {
                    if !parcel.resets {
                        self.drain();
                    }
                    self.hole = None;
                    self.out.extend(parcel.events.into_iter().map(Out::Event));
                    self.pass(parcel.buffer, wanted);
                }
                Verdict::Leave(parcel) => {
                    self.out.extend(parcel.events.into_iter().map(Out::Event));
                }
                Verdict::Skip { from, to, left } => self.skip(to - from, left),
            }
        }
    }

    /// Lets a unit go. One whose picture nobody wants only helps to decode others: its picture need not leave the decoder.
    fn pass(&mut self, mut buffer: gst::Buffer, wanted: bool) {
        if !wanted {
            buffer.make_mut().set_flags(gst::BufferFlags::DECODE_ONLY);
        }
        if std::mem::take(&mut self.discont) {
            buffer.make_mut().set_flags(gst::BufferFlags::DISCONT);
        } else if buffer.flags().contains(gst::BufferFlags::DISCONT) {
            buffer.make_mut().unset_flags(gst::BufferFlags::DISCONT);
        }
        self.passed_any = true;
        self.spare = None;
        self.out_bytes += buffer.size();
        self.out.push_back(Out::Buffer(buffer));
    }
}

/// From one picture to the next, where the stream says so.
fn frame_of(caps: &gst::CapsRef) -> Option<Nanos> {
    let rate = caps.structure(0)?.get::<gst::Fraction>("framerate").ok()?;
    let (pictures, seconds) = (i64::from(rate.numer()), i64::from(rate.denom()));
    (pictures > 0).then(|| Nanos::new(seconds * 1_000_000_000 / pictures))
}
