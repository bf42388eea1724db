//! Kinds of encoded frames: frames of one kind have similar sizes, so that a larger one shows change.

use anchoring::planning::change::FrameKind;
use anchoring::time::Nanos;

use super::access_unit::{Inspector, UnitInfo};
use super::av1;
use super::media_types::{KeyframeRule, keyframe_rule};

/// The media type's own marks in a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Marks {
    #[default]
    None,
    Vp8,
    Vp9,
    Av1,
    /// Every frame is encoded by itself.
    Intra,
}

/// Finds the kind of each unit from its marks and from what the inspector found.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::anchorgate) struct Kinds {
    marks: Marks,
}

impl Kinds {
    /// For a stream with these caps.
    pub(in crate::anchorgate) fn new(caps: &gst::CapsRef) -> Self {
        let media = caps.structure(0).map_or("", |s| s.name().as_str());
        let marks = match media {
            "video/x-vp8" => Marks::Vp8,
            "video/x-vp9" => Marks::Vp9,
            "video/x-av1" => Marks::Av1,
            _ if keyframe_rule(media) == KeyframeRule::Every => Marks::Intra,
            _ => Marks::None,
        };
        Self { marks }
    }

    /// The kind of a unit. `keyframe`: the parser marks it as one.
    pub(in crate::anchorgate) fn kind(
        self,
        keyframe: bool,
        found: &UnitInfo,
        unit: &[u8],
    ) -> FrameKind {
        let frames = match self.marks {
            Marks::Vp8 => vp8_shown(unit),
            Marks::Vp9 => vp9_frames(unit),
            Marks::Av1 => av1::frames(unit),
            Marks::None | Marks::Intra => 1,
        };
        if frames == 0 || found.second {
            FrameKind::Silent
        } else if keyframe || found.start || self.marks == Marks::Intra {
            FrameKind::Intra
        } else if frames > 1 {
            FrameKind::Several
        } else if found.droppable {
            FrameKind::Droppable
        } else {
            FrameKind::Reference
        }
    }
}

/// 1 if a VP8 frame is shown, else 0 (RFC 6386, 9.1).
fn vp8_shown(unit: &[u8]) -> usize {
    unit.first().map_or(0, |byte| usize::from(byte >> 4 & 1))
}

/// Frames that a VP9 unit holds; 0 if it only shows one that came before (VP9 Bitstream & Decoding Process
/// Specification, 6.2 and annex B).
fn vp9_frames(unit: &[u8]) -> usize {
    let (Some(first), Some(last)) = (unit.first(), unit.last()) else {
        return 0;
    };
    // The index of a superframe begins and ends with the same byte.
    if last & 0xe0 == 0xc0 {
        let (frames, bytes) = (usize::from(last & 7) + 1, usize::from(last >> 3 & 3) + 1);
        let begins = unit.len().checked_sub(2 + frames * bytes);
        if begins.and_then(|at| unit.get(at)) == Some(last) {
            return frames;
        }
    }
    // Two bits of frame marker, two of profile, a reserved one in profile 3, then show_existing_frame.
    let at = if first >> 4 & 3 == 3 { 2 } else { 3 };
    usize::from(first >> at & 1 == 0)
}

/// Finds the kinds of the units of a stream, from the units alone.
#[derive(Debug, Default)]
pub struct UnitKinds {
    inspector: Inspector,
    kinds: Kinds,
}

impl UnitKinds {
    /// Takes new caps.
    pub fn set_caps(&mut self, caps: &gst::CapsRef) {
        self.inspector.set_caps(caps);
        self.kinds = Kinds::new(caps);
    }

    /// The kind of the next unit in decoding order. `keyframe`: the parser marks it as one.
    pub fn kind(&mut self, keyframe: bool, unit: &[u8]) -> FrameKind {
        let found = self.inspector.inspect(keyframe, Nanos::ZERO, unit);
        self.kinds.kind(keyframe, &found, unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(media: &str) -> UnitKinds {
        gst::init().unwrap();
        let mut kinds = UnitKinds::default();
        let caps = gst::Caps::builder(media)
            .field("stream-format", "byte-stream")
            .build();
        kinds.set_caps(&caps);
        kinds
    }

    #[test]
    fn h264_and_h265_mark_what_others_refer_to() {
        let mut h264 = kinds("video/x-h264");
        let unit = |header: u8| [0, 0, 0, 1, header, 0x88, 0x80];
        assert_eq!(h264.kind(true, &unit(0x65)), FrameKind::Intra);
        assert_eq!(h264.kind(false, &unit(0x41)), FrameKind::Reference);
        assert_eq!(h264.kind(false, &unit(0x01)), FrameKind::Droppable);
        let mut h265 = kinds("video/x-h265");
        assert_eq!(
            h265.kind(false, &[0, 0, 1, 0x00, 1, 0xff]),
            FrameKind::Droppable
        );
        assert_eq!(
            h265.kind(false, &[0, 0, 1, 0x02, 1, 0xff]),
            FrameKind::Reference
        );
    }

    #[test]
    fn vp8_and_vp9_mark_what_is_shown() {
        let mut vp8 = kinds("video/x-vp8");
        assert_eq!(vp8.kind(false, &[0x01, 9]), FrameKind::Silent);
        assert_eq!(vp8.kind(false, &[0x11, 9]), FrameKind::Reference);
        assert_eq!(vp8.kind(false, &[]), FrameKind::Silent);
        let mut vp9 = kinds("video/x-vp9");
        assert_eq!(vp9.kind(false, &[0x86, 9, 9]), FrameKind::Reference);
        assert_eq!(vp9.kind(false, &[0x88]), FrameKind::Silent);
        let two = [0x86, 9, 0x84, 0xc1, 2, 1, 0xc1];
        assert_eq!(vp9.kind(false, &two), FrameKind::Several);
    }

    #[test]
    fn frames_encoded_by_themselves_are_intra_whatever_is_marked() {
        assert_eq!(kinds("image/jpeg").kind(false, &[1]), FrameKind::Intra);
        assert_eq!(
            kinds("video/x-av1").kind(false, &[0xff]),
            FrameKind::Reference
        );
    }
}
