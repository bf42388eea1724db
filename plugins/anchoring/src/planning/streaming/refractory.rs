//! Rests between anchors of one class: a sound that never ends is one event and gets ever fewer anchors.
//!
//! After an anchor its class rests. Onsets of it that come meanwhile are no anchors, and as long as they keep coming without a pause of a
//! whole rest, each further anchor makes the next rest twice as long, up to a limit. A pause ends all that. Onsets without a class never
//! rest: they may come from different things.

use crate::time::Nanos;

/// Most classes that rest at the same time; the one that was heard longest ago is forgotten first.
const MOST: usize = 64;
/// Most doublings of a rest.
const DOUBLINGS: u32 = 6;

/// A class that rests or is about to.
#[derive(Clone, Copy, Debug)]
struct Rest {
    class_id: i32,
    /// When it was last heard.
    heard: Nanos,
    /// Its last anchor.
    anchor: Nanos,
    doublings: u32,
}

/// The classes that rest.
#[derive(Clone, Debug)]
pub(super) struct Refractory {
    rest: Nanos,
    classes: Vec<Rest>,
}

impl Refractory {
    /// Rests of this length; none at zero.
    pub(super) fn new(rest: Nanos) -> Self {
        Self {
            rest,
            classes: Vec::new(),
        }
    }

    /// A class is heard, in order of time. Whether it rests.
    pub(super) fn hear(&mut self, class_id: i32, at: Nanos) -> bool {
        let rest = self.rest;
        let Some(place) = self.place(class_id) else {
            return false;
        };
        let class = &mut self.classes[place];
        if at - class.heard >= rest {
            self.classes.swap_remove(place);
            return false;
        }
        class.heard = class.heard.max(at);
        at < class.anchor + times(rest, 1 << class.doublings)
    }

    /// A class got an anchor.
    pub(super) fn anchor(&mut self, class_id: i32, at: Nanos) {
        if self.rest <= Nanos::ZERO || class_id < 0 {
            return;
        }
        if let Some(place) = self.place(class_id) {
            let class = &mut self.classes[place];
            class.anchor = at;
            class.doublings = (class.doublings + 1).min(DOUBLINGS);
            return;
        }
        if self.classes.len() >= MOST {
            let oldest = self.classes.iter().enumerate();
            if let Some((place, _)) = oldest.min_by_key(|(_, class)| class.heard) {
                self.classes.swap_remove(place);
            }
        }
        self.classes.push(Rest {
            class_id,
            heard: at,
            anchor: at,
            doublings: 0,
        });
    }

    fn place(&self, class_id: i32) -> Option<usize> {
        self.classes
            .iter()
            .position(|class| class.class_id == class_id)
    }
}

fn times(rest: Nanos, factor: i64) -> Nanos {
    Nanos::new(rest.get().saturating_mul(factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of the onsets of a class at these times become anchors if nothing else keeps them from it, ms.
    fn anchors(rest_ms: i64, onsets: impl IntoIterator<Item = (i32, i64)>) -> Vec<i64> {
        let mut refractory = Refractory::new(Nanos::from_ms(rest_ms));
        let mut taken = Vec::new();
        for (class, ms) in onsets {
            if !refractory.hear(class, Nanos::from_ms(ms)) {
                refractory.anchor(class, Nanos::from_ms(ms));
                taken.push(ms);
            }
        }
        taken
    }

    #[test]
    fn a_sound_that_never_ends_gets_ever_fewer_anchors_up_to_a_limit() {
        let alarm = (0..7_200).map(|s| (3, 1_000 * s));
        let taken = anchors(5_000, alarm);
        assert_eq!(&taken[..5], [0, 5_000, 15_000, 35_000, 75_000]);
        let last: Vec<_> = taken.windows(2).map(|w| w[1] - w[0]).collect();
        assert_eq!(last[last.len() - 1], 320_000);
        assert!(taken.len() < 35, "{}", taken.len());
    }

    #[test]
    fn a_pause_ends_it_and_other_classes_do_not_rest() {
        let twice = [
            (3, 0),
            (3, 1_000),
            (4, 1_500),
            (3, 5_900),
            (3, 11_000),
            (3, 12_000),
        ];
        assert_eq!(anchors(5_000, twice), [0, 1_500, 5_900, 11_000]);
        let nameless = [(-1, 0), (-1, 600), (-1, 1_200)];
        assert_eq!(anchors(5_000, nameless), [0, 600, 1_200]);
        assert_eq!(anchors(0, [(3, 0), (3, 600)]), [0, 600]);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut refractory = Refractory::new(Nanos::from_ms(5_000));
        for class in 0..500 {
            refractory.anchor(class, Nanos::from_ms(class.into()));
        }
        assert_eq!(refractory.classes.len(), MOST);
        assert!(refractory.hear(499, Nanos::from_ms(600)));
    }
}
