//! Which frames on the way to a wanted one may be taken in its place, where they are sharper.

use std::collections::VecDeque;

use anchoring::plan::{Anchor, Entry};
use anchoring::time::{Nanos, Window};

/// Anchors and spans remembered; those of an access unit's GOP are among the last.
const MOST: usize = 1024;

/// Notes what framepick may choose from. It decides before the access units come, so that the decoder gives their frames out.
///
/// The spans of two wanted frames never overlap, so framepick holds one frame at most, and frames go on in the order of their times.
#[derive(Debug, Default)]
pub(super) struct SharpestSpans {
    /// 0: none may.
    within: Nanos,
    anchors: VecDeque<(u32, Window)>,
    /// From the earliest frame that may be taken to the wanted one.
    spans: VecDeque<(Nanos, Nanos)>,
    /// The last wanted frame.
    last: Option<Nanos>,
}

impl SharpestSpans {
    pub(super) fn new(within: Nanos) -> Self {
        Self {
            within,
            ..Self::default()
        }
    }

    pub(super) fn anchor(&mut self, anchor: &Anchor) {
        if self.within > Nanos::ZERO {
            push(&mut self.anchors, (anchor.id, anchor.window));
        }
    }

    /// The earliest frame that may be taken in place of the one at `pts`; `pts` itself if none may.
    pub(super) fn earliest(&mut self, entry: &Entry, pts: Nanos) -> Nanos {
        let asked = entry.first_asked();
        if self.within <= Nanos::ZERO {
            return pts;
        }
        // After a seek or in another stream, earlier frames don't count.
        let last = self.last.replace(pts).filter(|last| *last <= pts);
        let mut earliest = asked - self.within;
        if let Some(last) = last {
            earliest = earliest.max(last + Nanos::new(1));
        }
        if let Some(id) = entry.anchor {
            let window = self.anchors.iter().rev().find(|(own, _)| *own == id);
            match window {
                Some((_, window)) if window.contains(pts) => {
                    earliest = earliest.max(window.start());
                }
                _ => return pts,
            }
        }
        if earliest >= pts || asked + self.within < pts {
            return pts;
        }
        push(&mut self.spans, (earliest, pts));
        earliest
    }

    /// Whether the frame at this time may be taken in place of another.
    pub(super) fn holds(&self, pts: Nanos) -> bool {
        let mut spans = self.spans.iter().rev();
        spans.any(|(earliest, wanted)| (*earliest..*wanted).contains(&pts))
    }

    /// Another stream, or another place in it.
    pub(super) fn restart(&mut self) {
        *self = Self::new(self.within);
    }
}

fn push<T>(to: &mut VecDeque<T>, item: T) {
    if to.len() == MOST {
        to.pop_front();
    }
    to.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;
    use anchoring::plan::Reason;
    use anchoring::tier::Tier;

    fn ms(ms: i64) -> Nanos {
        Nanos::from_ms(ms)
    }

    fn entry(asked: i64, anchor: Option<u32>) -> Entry {
        Entry {
            planned: ms(asked),
            asked: None,
            tier: Tier::Base,
            tokens: 196,
            reason: anchor.map_or(Reason::Background, |_| Reason::Anchor),
            anchor,
        }
    }

    fn anchor(id: u32, start: i64, stop: i64) -> Anchor {
        Anchor {
            id,
            onset: ms(start + 50),
            window: Window::new(ms(start), ms(stop)).unwrap(),
            label: String::new(),
            class_id: -1,
            score: 0.9,
            uncertainty: 0.1,
        }
    }

    #[test]
    fn a_span_ends_at_the_wanted_frame_and_begins_no_earlier_than_it_may() {
        let mut spans = SharpestSpans::new(ms(100));
        spans.anchor(&anchor(3, 960, 1500));
        // The window begins 60 ms before the frame, the span would begin 110 ms before.
        assert_eq!(spans.earliest(&entry(990, Some(3)), ms(1000)), ms(960));
        assert!(spans.holds(ms(960)) && !spans.holds(ms(959)) && !spans.holds(ms(1000)));
        // The wanted frame before ends it, too.
        let next = spans.earliest(&entry(1040, Some(3)), ms(1040));
        assert_eq!(next, ms(1000) + Nanos::new(1));
        assert_eq!(spans.earliest(&entry(2000, None), ms(2000)), ms(1900));
        // Two entries of one frame.
        assert_eq!(spans.earliest(&entry(2000, None), ms(2000)), ms(2000));
        // Nothing before a frame that lies too far from the time asked for, outside its window, or of an unknown one.
        assert_eq!(spans.earliest(&entry(3000, None), ms(3101)), ms(3101));
        assert_eq!(spans.earliest(&entry(3200, None), ms(3050)), ms(3050));
        assert_eq!(spans.earliest(&entry(4000, Some(3)), ms(4000)), ms(4000));
        assert_eq!(spans.earliest(&entry(5000, Some(9)), ms(5000)), ms(5000));
        // A seek back.
        assert_eq!(spans.earliest(&entry(500, None), ms(500)), ms(400));
        spans.restart();
        assert!(!spans.holds(ms(450)));
        let mut off = SharpestSpans::new(ms(0));
        assert_eq!(off.earliest(&entry(500, None), ms(500)), ms(500));
        assert!(!off.holds(ms(499)));
    }
}
