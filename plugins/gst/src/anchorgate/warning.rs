//! The warnings of the gate, and their texts.

use anchoring::planning::change::UnusableSizes;
use anchoring::time::{Nanos, Window};

/// A warning, given once per kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Warning {
    /// Pad `cues` is not linked.
    Unlinked,
    /// The branch at pad `cues` gets no data.
    Unfed,
    /// The audio ended without a cue.
    NoneCame,
    /// The video goes on after the last cue.
    EndedEarly,
    /// Cues lag behind the video by more than the gate may hold.
    Late,
    /// Plan entries without a frame.
    Missed,
    /// A codec whose keyframes the gate does not know.
    Unknown,
    /// Cues that step back in time.
    StepsBack,
    /// A stretch of the video without frames.
    Discontinuity(Window),
    /// Plan entries in a stretch without frames.
    Merged,
    /// The sizes of frames don't show change.
    NoChange(UnusableSizes),
}

impl Warning {
    /// Whether it matters only to a plan made from cues.
    pub(super) const fn about_cues(self) -> bool {
        !matches!(
            self,
            Self::Missed
                | Self::Unknown
                | Self::Discontinuity(_)
                | Self::Merged
                | Self::NoChange(_)
        )
    }

    /// Whether both are of the same kind.
    pub(super) fn like(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

/// Facts that the texts mention.
pub(super) struct WarningContext<'a> {
    pub(super) anchors_only: bool,
    pub(super) cue_stop: Nanos,
    pub(super) held_bytes: usize,
    pub(super) held_time: Nanos,
    /// GStreamer's media type of the video.
    pub(super) media: &'a str,
}

impl Warning {
    /// What happened, the likely reason, and what the gate does now.
    pub(super) fn text(self, at: &WarningContext<'_>) -> String {
        let stop = at.cue_stop;
        let done = if at.anchors_only {
            "no frames are taken there"
        } else {
            "frames are taken evenly there"
        };
        match self {
            Self::Unlinked => format!("no cues: pad `cues` is not linked; {done}"),
            Self::Unfed => format!(
                "no cues: the branch at pad `cues` gets no data (no audio track?); {done}"
            ),
            Self::NoneCame => format!(
                "no cues: the audio ended before the first one (an empty audio track?); {done}"
            ),
            Self::EndedEarly => format!(
                "cues end at {stop}, but the video goes on (does the audio track end early?); {done}"
            ),
            Self::Late => format!(
                "cues are late: the last one is at {stop}, and {} of video ({} bytes) waits (has the audio stalled?); {done}",
                at.held_time, at.held_bytes
            ),
            Self::Unknown => format!(
                "the gate does not know where a decoder can start in {}, so every frame up to the last planned one is decoded (FFV1, H.264 or Motion JPEG would need less)",
                at.media
            ),
            Self::StepsBack => format!(
                "some cues lie before {stop}, the end of earlier cues: anchorgate drops them (do the audio timestamps step back?)"
            ),
            Self::Discontinuity(window) => format!(
                "the video has no frames from {} to {} ({}): Earmark plans nothing there, and further stretches like this cause no warning",
                window.start(),
                window.stop(),
                window.stop() - window.start()
            ),
            Self::Merged => {
                "some plan entries lie in a stretch without frames: anchorgate takes each frame at its edges once and drops the other entries".into()
            }
            Self::NoChange(unusable) => unusable.warning(),
            Self::Missed => {
                "some plan entries lie where the video has no frame: the result lacks them".into()
            }
        }
    }
}
