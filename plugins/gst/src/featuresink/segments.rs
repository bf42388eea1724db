//! Splits a long stream into consecutive files of equal length: says which file everything goes to. Knows no clock and no file system.
//!
//! A file begins at an instant of the stream, its zero, and ends where the next one begins. Cues come ahead of frames, so
//! those of the next file wait until the frames reach it; an anchor waits for the frame that names it, so that both are in one file.
//! Neither waits for long: without frames, the sound decides.

use std::collections::VecDeque;

use anchoring::cue::Cue;
use anchoring::plan::{Anchor, Entry, Untaken};
use anchoring::tier::Tokens;
use anchoring::time::{Nanos, Window};

use crate::h5::Closing;

/// A stream whose first time is later than this begins there, not at zero.
const FROM_ZERO: Nanos = Nanos::from_ms(10_000);
/// How far beyond the end of a file the sound may be ahead of the frames.
const AHEAD: Nanos = Nanos::from_ms(45_000);
/// How far the sound may be behind an anchor before the anchor is written without its frame.
const FRAMELESS: Nanos = Nanos::from_ms(15_000);
/// Most anchors that wait for their frame.
const MOST: usize = 64;

/// What to do, in this order. Times are those of the file that is open then.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// Closes the open file and begins the next one.
    FileStart(FileStart),
    /// Goes into the file.
    Cue(Cue),
    /// Goes into the file. `stream`: as it came, for the message on the bus.
    Anchor {
        /// With the file's times and row.
        anchor: Anchor,
        /// With the stream's.
        stream: Anchor,
        /// Time of the frame that names it, in the stream's time, if it has come.
        frame: Option<Nanos>,
    },
}

/// A file begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileStart {
    /// From 0.
    pub(super) index: u32,
    /// Its zero, in the stream's time.
    pub(super) start: Nanos,
    /// The one before it, if there is one.
    pub(super) before: Option<Span>,
}

/// The length of a file, and its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// Its length.
    pub(super) length: Nanos,
    /// Tokens earned by its end and not spent before it.
    pub(super) budget: Tokens,
}

/// Assigns cues, anchors and frames to files.
#[derive(Debug)]
pub(super) struct Segments {
    length: Nanos,
    /// Tokens that the budget earns per second.
    tokens_per_s: f64,
    /// Where the stream begins.
    origin: Nanos,
    open: Option<Open>,
    /// Cues of the next file.
    cues: VecDeque<Cue>,
    /// Anchors whose frames have not come.
    anchors: VecDeque<Anchor>,
    /// The id of the next anchor.
    next_anchor: u32,
    spent: Tokens,
    latest: Nanos,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    index: u32,
    start: Nanos,
    stop: Nanos,
    first_anchor: u32,
    /// Tokens spent before it.
    spent: Tokens,
}

impl Segments {
    /// Files of this length, at least a second.
    pub(super) fn new(length: Nanos) -> Self {
        Self {
            length: length.max(Nanos::from_ms(1_000)),
            tokens_per_s: 0.0,
            origin: Nanos::ZERO,
            open: None,
            cues: VecDeque::new(),
            anchors: VecDeque::new(),
            next_anchor: 0,
            spent: 0,
            latest: Nanos::ZERO,
        }
    }

    /// From the property `segment-s`; `None` for one file.
    pub(super) fn wanted(seconds: u32) -> Option<Self> {
        (seconds > 0).then(|| Self::new(Nanos::from_ms(i64::from(seconds) * 1_000)))
    }

    /// Tokens that the budget earns per second.
    pub(super) fn earns(&mut self, tokens_per_s: f64) {
        self.tokens_per_s = tokens_per_s.max(0.0);
    }

    /// A cue. `has_frames`: whether frames come beside cues.
    pub(super) fn cue(&mut self, cue: Cue, has_frames: bool) -> Vec<Step> {
        let mut steps = Vec::new();
        self.reached(cue.pts, &mut steps);
        while let Some(open) = self.open
            && cue.pts >= open.stop + if has_frames { AHEAD } else { Nanos::ZERO }
        {
            self.cut(&mut steps);
        }
        let waited = |anchor: &Anchor| cue.pts > anchor.onset + FRAMELESS;
        while self.anchors.front().is_some_and(waited) && self.goes_here() {
            self.let_go(None, &mut steps);
        }
        self.place_cue(cue, &mut steps);
        steps
    }

    /// An anchor, before the frame that names it.
    pub(super) fn anchor(&mut self, anchor: Anchor, has_frames: bool) -> Vec<Step> {
        let mut steps = Vec::new();
        self.reached(anchor.onset, &mut steps);
        self.next_anchor = anchor.id.saturating_add(1);
        self.anchors.push_back(anchor);
        while self.anchors.len() > if has_frames { MOST } else { 0 } {
            self.let_go(None, &mut steps);
        }
        steps
    }

    /// A candidate that was not taken, in its file's time; `None` if that file is closed, or not open yet.
    pub(super) fn candidate(&self, one: Untaken) -> Option<Untaken> {
        let open = self.open?;
        let inside = open.start <= one.onset && one.onset < open.stop;
        inside.then(|| Untaken {
            onset: one.onset - open.start,
            ..one
        })
    }

    /// A frame; `entry` gets the file's times and row. `None` in place of the frame's time if the file it belongs to is gone.
    pub(super) fn frame(&mut self, pts: Nanos, entry: &mut Entry) -> (Vec<Step>, Option<Nanos>) {
        let mut steps = Vec::new();
        self.reached(pts, &mut steps);
        while let Some(open) = self.open
            && pts >= open.stop
        {
            self.cut(&mut steps);
        }
        let Some(open) = self.open else {
            return (steps, None);
        };
        if let Some(id) = entry.anchor {
            while self.anchors.front().is_some_and(|anchor| anchor.id <= id) {
                self.let_go(Some((id, pts)), &mut steps);
            }
            let Some(row) = id.checked_sub(open.first_anchor) else {
                return (steps, None);
            };
            entry.anchor = Some(row);
        }
        if pts < open.start {
            return (steps, None);
        }
        self.spent = self.spent.saturating_add(entry.tokens);
        entry.planned = entry.planned - open.start;
        entry.asked = entry.asked.map(|asked| asked - open.start);
        (steps, Some(pts - open.start))
    }

    /// A frame that is left out.
    pub(super) fn left_out(&mut self, pts: Nanos, anchor: Option<u32>) -> Vec<Step> {
        let mut steps = Vec::new();
        self.reached(pts, &mut steps);
        while let Some(open) = self.open
            && pts >= open.stop
        {
            self.cut(&mut steps);
        }
        let waits = |one: &Anchor| anchor.is_some_and(|id| one.id <= id);
        while self.anchors.front().is_some_and(waits) {
            self.let_go(None, &mut steps);
        }
        steps
    }

    /// Nothing more comes: what waits goes into the file that is open.
    pub(super) fn end(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        while !self.anchors.is_empty() {
            self.let_go(None, &mut steps);
        }
        let start = self.open.map_or(Nanos::ZERO, |open| open.start);
        let cues = std::mem::take(&mut self.cues).into_iter();
        steps.extend(cues.map(|cue| Step::Cue(shifted(cue, start))));
        steps
    }

    /// What the open file covers if it ends now; `None` if none is open.
    pub(super) fn span(&self) -> Option<Span> {
        let open = self.open?;
        let stop = self.latest.max(open.start);
        Some(self.span_until(&open, stop))
    }

    /// Sets length and budget of the open file as if it ended now. Those of the whole stream win where they are known.
    pub(super) fn close(&self, closing: &mut Closing) {
        let Some((open, span)) = self.open.zip(self.span()) else {
            return;
        };
        let ended = closing.budget_tokens > 0;
        closing.duration = if ended {
            closing.duration - open.start
        } else {
            span.length
        };
        closing.budget_tokens = if ended {
            closing.budget_tokens.saturating_sub(open.spent)
        } else {
            span.budget
        };
    }

    fn span_until(&self, open: &Open, stop: Nanos) -> Span {
        let earned = self.tokens_per_s * (stop - self.origin).seconds().max(0.0);
        Span {
            length: stop - open.start,
            budget: (earned as Tokens).saturating_sub(open.spent),
        }
    }

    /// Something of this time came.
    fn reached(&mut self, at: Nanos, steps: &mut Vec<Step>) {
        self.latest = self.latest.max(at);
        if self.open.is_none() {
            let start = if at < FROM_ZERO { Nanos::ZERO } else { at };
            self.origin = start;
            self.begin(start, None, steps);
        }
    }

    fn begin(&mut self, start: Nanos, before: Option<Span>, steps: &mut Vec<Step>) {
        let index = self.open.map_or(0, |open| open.index.saturating_add(1));
        let waiting = self.anchors.front().map(|anchor| anchor.id);
        self.open = Some(Open {
            index,
            start,
            stop: start + self.length,
            first_anchor: waiting.unwrap_or(self.next_anchor),
            spent: self.spent,
        });
        steps.push(Step::FileStart(FileStart {
            index,
            start,
            before,
        }));
    }

    /// Ends the open file and begins the next one.
    fn cut(&mut self, steps: &mut Vec<Step>) {
        let Some(open) = self.open else {
            return;
        };
        // These lie well before the end: their frames won't come.
        while self
            .anchors
            .front()
            .is_some_and(|a| a.onset + FRAMELESS < open.stop)
        {
            self.let_go(None, steps);
        }
        let span = self.span_until(&open, open.stop);
        self.begin(open.stop, Some(span), steps);
        for cue in std::mem::take(&mut self.cues) {
            self.place_cue(cue, steps);
        }
    }

    fn place_cue(&mut self, cue: Cue, steps: &mut Vec<Step>) {
        match self.open {
            Some(open) if cue.pts < open.stop => steps.push(Step::Cue(shifted(cue, open.start))),
            _ => self.cues.push_back(cue),
        }
    }

    /// Whether the first anchor that waits began in the open file.
    fn goes_here(&self) -> bool {
        let onset = self.anchors.front().map(|anchor| anchor.onset);
        self.open
            .zip(onset)
            .is_some_and(|(open, onset)| onset < open.stop)
    }

    /// The first anchor that waits goes into the open file.
    fn let_go(&mut self, named: Option<(u32, Nanos)>, steps: &mut Vec<Step>) {
        let (Some(stream), Some(open)) = (self.anchors.pop_front(), self.open) else {
            return;
        };
        let frame = named.filter(|(id, _)| *id == stream.id).map(|(_, pts)| pts);
        let window = Window::new(
            stream.window.start() - open.start,
            stream.window.stop() - open.start,
        );
        let anchor = Anchor {
            id: stream.id.saturating_sub(open.first_anchor),
            onset: stream.onset - open.start,
            window: window.unwrap_or(stream.window),
            ..stream.clone()
        };
        steps.push(Step::Anchor {
            anchor,
            stream,
            frame,
        });
    }
}

fn shifted(cue: Cue, start: Nanos) -> Cue {
    Cue {
        pts: cue.pts - start,
        ..cue
    }
}

#[cfg(test)]
mod tests {
    use anchoring::plan::Reason;
    use anchoring::tier::Tier;

    use super::*;

    fn at(ms: i64) -> Nanos {
        Nanos::from_ms(ms)
    }

    fn cue(ms: i64) -> Cue {
        Cue {
            pts: at(ms),
            ..Cue::default()
        }
    }

    fn anchor(id: u32, ms: i64) -> Anchor {
        Anchor {
            id,
            onset: at(ms),
            window: Window::new(at(ms - 200), at(ms + 400)).unwrap(),
            label: String::new(),
            class_id: -1,
            score: 0.5,
            uncertainty: 0.5,
        }
    }

    fn entry(ms: i64, anchor: Option<u32>) -> Entry {
        Entry {
            planned: at(ms),
            asked: None,
            tier: Tier::Low,
            tokens: 49,
            reason: anchor.map_or(Reason::Background, |_| Reason::Anchor),
            anchor,
        }
    }

    fn in_short(steps: &[Step]) -> Vec<String> {
        let text = |step: &Step| match step {
            Step::FileStart(begin) => format!("begin {} at {}", begin.index, begin.start),
            Step::Cue(cue) => format!("cue {}", cue.pts),
            Step::Anchor { anchor, frame, .. } => {
                format!(
                    "anchor {} at {}, frame {}",
                    anchor.id,
                    anchor.onset,
                    frame.is_some()
                )
            }
        };
        steps.iter().map(text).collect()
    }

    #[test]
    fn cues_wait_for_the_frames_to_reach_the_next_file() {
        let mut segments = Segments::new(at(10_000));
        segments.earns(100.0);
        assert_eq!(
            in_short(&segments.cue(cue(9_000), true)),
            ["begin 0 at 0.000 s", "cue 9.000 s"]
        );
        assert!(in_short(&segments.cue(cue(10_040), true)).is_empty());
        let (steps, pts) = segments.frame(at(9_900), &mut entry(9_880, None));
        assert_eq!((in_short(&steps), pts), (Vec::new(), Some(at(9_900))));
        let mut late = entry(10_000, None);
        let (steps, pts) = segments.frame(at(10_020), &mut late);
        assert_eq!(in_short(&steps), ["begin 1 at 10.000 s", "cue 0.040 s"]);
        assert_eq!((pts, late.planned), (Some(at(20)), Nanos::ZERO));
        let Step::FileStart(begin) = &steps[0] else {
            panic!("{steps:?}")
        };
        assert_eq!(
            begin.before,
            Some(Span {
                length: at(10_000),
                budget: 1_000
            })
        );
        // The second file may spend what the first left.
        segments.cue(cue(20_000), true);
        assert_eq!(segments.span().unwrap().budget, 2_000 - 49);
        let mut closing = Closing {
            duration: at(20_500),
            budget_tokens: 2_050,
            ..Closing::default()
        };
        segments.close(&mut closing);
        assert_eq!(
            (closing.duration, closing.budget_tokens),
            (at(10_500), 2_050 - 49)
        );
    }

    #[test]
    fn an_anchor_is_in_the_file_of_its_frame_and_rows_begin_anew() {
        let mut segments = Segments::new(at(10_000));
        segments.anchor(anchor(0, 5_000), true);
        let (steps, _) = segments.frame(at(5_060), &mut entry(5_060, Some(0)));
        assert_eq!(in_short(&steps), ["anchor 0 at 5.000 s, frame true"]);
        // Heard before the end of the file, seen after it.
        segments.anchor(anchor(1, 9_980), true);
        let mut named = entry(10_040, Some(1));
        let (steps, pts) = segments.frame(at(10_040), &mut named);
        assert_eq!(
            in_short(&steps),
            ["begin 1 at 10.000 s", "anchor 0 at -0.020 s, frame true"]
        );
        assert_eq!((pts, named.anchor), (Some(at(40)), Some(0)));
        segments.anchor(anchor(2, 11_000), true);
        let mut named = entry(11_060, Some(2));
        segments.frame(at(11_060), &mut named);
        assert_eq!(named.anchor, Some(1));
    }

    #[test]
    fn the_sound_decides_where_no_frames_come() {
        let mut segments = Segments::new(at(10_000));
        let mut steps = segments.anchor(anchor(0, 1_000), true);
        for ms in (0..120_000).step_by(80) {
            steps.extend(segments.cue(cue(ms), true));
        }
        let in_short = in_short(&steps);
        assert!(in_short.contains(&"anchor 0 at 1.000 s, frame false".to_owned()));
        let files = in_short
            .iter()
            .filter(|text| text.starts_with("begin"))
            .count();
        assert_eq!(files, 8);
        assert!(segments.cues.len() < 600, "{}", segments.cues.len());
        let all = in_short
            .iter()
            .filter(|text| text.starts_with("cue"))
            .count();
        assert_eq!(all + segments.cues.len(), 1_500);
    }

    #[test]
    fn without_frames_nothing_waits() {
        let mut segments = Segments::new(at(10_000));
        segments.cue(cue(9_920), false);
        assert_eq!(
            in_short(&segments.anchor(anchor(0, 9_900), false)),
            ["anchor 0 at 9.900 s, frame false"]
        );
        assert_eq!(
            in_short(&segments.cue(cue(10_000), false)),
            ["begin 1 at 10.000 s", "cue 0.000 s"]
        );
    }

    #[test]
    fn at_the_end_what_waits_is_written() {
        let mut segments = Segments::new(at(10_000));
        segments.cue(cue(9_000), true);
        segments.cue(cue(10_080), true);
        segments.anchor(anchor(0, 9_500), true);
        assert_eq!(
            in_short(&segments.end()),
            ["anchor 0 at 9.500 s, frame false", "cue 10.080 s"]
        );
    }

    #[test]
    fn a_stream_may_begin_late() {
        let mut segments = Segments::new(at(10_000));
        assert_eq!(
            in_short(&segments.cue(cue(60_000), true)),
            ["begin 0 at 60.000 s", "cue 0.000 s"]
        );
    }

    #[test]
    fn a_frame_whose_file_is_gone_is_not_written() {
        let mut segments = Segments::new(at(10_000));
        segments.anchor(anchor(0, 1_000), true);
        for ms in (1_000..58_000).step_by(80) {
            segments.cue(cue(ms), true);
        }
        let (_, pts) = segments.frame(at(9_000), &mut entry(9_000, None));
        assert_eq!(pts, None);
        let (_, pts) = segments.frame(at(12_000), &mut entry(12_000, Some(0)));
        assert_eq!(pts, None);
    }

    #[test]
    fn a_candidate_goes_into_the_open_file_or_nowhere() {
        let mut segments = Segments::new(at(10_000));
        let one = |ms| Untaken {
            onset: at(ms),
            score: 0.5,
            more_tokens: None,
        };
        assert_eq!(segments.candidate(one(0)), None);
        segments.frame(at(100), &mut entry(100, None));
        segments.frame(at(12_000), &mut entry(12_000, None));
        assert_eq!(segments.candidate(one(9_000)), None);
        let inside = segments.candidate(one(12_500)).map(|one| one.onset);
        assert_eq!(inside.map(|onset| onset <= at(2_500)), Some(true));
        assert_eq!(segments.candidate(one(25_000)), None);
    }
}
