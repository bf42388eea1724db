//! What the gate warns of, in words.

use anchoring::time::{Nanos, Window};

/// What makes the gate fall back to uniform looks, or leave a plan unfulfilled. Each is said once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Warning {
    /// Nothing is linked to pad `cues`.
    Unlinked,
    /// What is linked there is fed by nothing.
    Unfed,
    /// The sound ended without a cue.
    NoneCame,
    /// Pictures go on where cues don't.
    EndedEarly,
    /// Cues stay behind further than the gate may hold.
    Late,
    /// Plan entries without a picture.
    Missed,
    /// A codec of which it is not known where decoding can start.
    Unknown,
    /// Cues that lie before what was heard.
    Back,
    /// No pictures for long.
    Hole(Window),
    /// Plan entries in a hole.
    Folded,
}

impl Warning {
    /// Whether it matters only where the plan is made from cues.
    pub(super) const fn about_cues(self) -> bool {
        !matches!(
            self,
            Self::Missed | Self::Unknown | Self::Hole(_) | Self::Folded
        )
    }

    /// Whether both are the same news.
    pub(super) fn like(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

/// What the words mention.
pub(super) struct WarningContext<'a> {
    pub(super) anchors_only: bool,
    pub(super) cue_stop: Nanos,
    pub(super) held_bytes: usize,
    pub(super) held_time: Nanos,
    /// GStreamer's media type of the pictures.
    pub(super) media: &'a str,
}

impl Warning {
    /// What happened, the likely reason, and what is done about it.
    pub(super) fn text(self, at: &WarningContext<'_>) -> String {
        let stop = at.cue_stop;
        let done = if at.anchors_only {
            "no pictures are taken there"
        } else {
            "looks are taken evenly there (uniform fallback)"
        };
        match self {
            Self::Unlinked => format!("no cues: pad `cues` is not linked; {done}"),
            Self::Unfed => format!(
                "no cues: nothing feeds the branch at pad `cues` (has the recording no audio track?); {done}"
            ),
            Self::NoneCame => format!(
                "no cues: the sound ended before the first one (is the audio track empty?); {done}"
            ),
            Self::EndedEarly => format!(
                "cues end at {stop}, but pictures go on (does the sound stop early?); {done}"
            ),
            Self::Late => format!(
                "cues stay behind: none beyond {stop} while {} of video ({} bytes) waits (has the sound stopped?); {done}",
                at.held_time, at.held_bytes
            ),
            Self::Unknown => format!(
                "the gate does not know where a decoder can start in {}: every picture up to the last one chosen is decoded (FFV1, H.264 or Motion JPEG would save decoding)",
                at.media
            ),
            Self::Back => format!(
                "some cues lie before {stop}, where what was heard had come to; they are left out (does what makes them go back in time?)"
            ),
            Self::Hole(hole) => format!(
                "the recording has no pictures from {} to {} ({}): nothing is planned there; further such holes are not told",
                hole.start(),
                hole.stop(),
                hole.stop() - hole.start()
            ),
            Self::Folded => {
                "some plan entries lie in a hole of the recording, far from any picture: those at its edges are taken once".into()
            }
            Self::Missed => {
                "some plan entries lie where the recording has no picture; they are missing in the result".into()
            }
        }
    }
}
