//! Inspects access units: whether a decoder can start there, whether it can skip them, and which parameter sets it needs.
//!
//! A parser marks every frame of intra slices as a keyframe. In H.264 later frames may still refer to earlier ones, unless it is an IDR
//! picture or has a recovery point (ITU-T H.264, 7.4.1.2.4 and D.2.8), so only these count here. In MPEG-2 the parser misjudges the last frame
//! of a stream; the picture header has its type (ISO/IEC 13818-2, 6.3.9). Byte streams may send their parameter sets only once; they are kept
//! and put before every unit where a decoder starts without them.

use anchoring::time::Nanos;

use super::av1::Av1;
use super::field_pairs::FieldPairs;
use super::media_types::{self, KeyframeRule};
use super::nal::{Codec, Framing, Nals, ended, framing, kind, whole};

/// Some streams have no recovery point: after so long, a frame of intra slices counts as one.
const PATIENCE: Nanos = Nanos::from_ms(12_000);

/// Inspects the access units of a stream.
#[derive(Debug, Default)]
pub(in crate::anchorgate) struct Inspector {
    nal: Option<(Codec, Framing)>,
    /// How keyframes of other codecs are known.
    keyframes: KeyframeRule,
    /// A keyframe has come.
    begun: bool,
    /// The codec's keyframes always reset the decoder.
    resetting: bool,
    av1: Option<Av1>,
    /// Frames that may be coded as two fields.
    fields: FieldPairs,
    /// The caps say that there may be fields.
    interlaced: bool,
    /// The H.265 stream has temporal layers: a higher layer may refer to a unit that its own layer does not.
    layered: bool,
    /// Time of the last unit where a decoder could start.
    last: Option<Nanos>,
    /// Parameter sets of a byte stream with start codes, by type, the newest of a type last.
    sets: Vec<(u8, Vec<u8>)>,
}

/// Facts about an access unit.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::anchorgate) struct UnitInfo {
    /// A decoder can start here.
    pub(in crate::anchorgate) start: bool,
    /// The decoder drops its reference frames here, so skipped frames leave no trace.
    pub(in crate::anchorgate) resets: bool,
    /// No other frame refers to it.
    pub(in crate::anchorgate) droppable: bool,
    /// It begins with the second field of the previous unit's frame.
    pub(in crate::anchorgate) second: bool,
    /// Parameter sets to put before it.
    pub(in crate::anchorgate) sets: Option<Vec<u8>>,
}

impl Inspector {
    /// Takes new caps. Units of H.264, H.265, MPEG-2 and AV1 are read; for other codecs the parser's marks count.
    pub(in crate::anchorgate) fn set_caps(&mut self, caps: &gst::CapsRef) {
        *self = Self::default();
        let Some(s) = caps.structure(0) else {
            return;
        };
        let Some((codec, framing)) = framing(s) else {
            let name = s.name().as_str();
            self.keyframes = media_types::keyframe_rule(name);
            self.resetting = matches!(self.keyframes, KeyframeRule::Every | KeyframeRule::Ffv1)
                || matches!(name, "video/x-vp8" | "video/x-vp9" | "video/x-av1");
            if name == "video/x-av1" {
                let data = s.get::<gst::Buffer>("codec_data").ok();
                let map = data.as_ref().and_then(|data| data.map_readable().ok());
                self.av1 = Some(Av1::new(map.as_deref()));
            }
            return;
        };
        self.nal = Some((codec, framing));
        if let (Codec::H264, Ok(data)) = (codec, s.get::<gst::Buffer>("codec_data"))
            && let Ok(map) = data.map_readable()
        {
            self.fields.configure(&map);
        }
        let mode = s.get::<&str>("interlace-mode");
        self.interlaced = mode.is_ok_and(|mode| mode != "progressive");
    }

    /// Inspects a unit. `keyframe`: the parser marks it as one.
    pub(in crate::anchorgate) fn inspect(
        &mut self,
        keyframe: bool,
        pts: Nanos,
        unit: &[u8],
    ) -> UnitInfo {
        let Some((codec, framing)) = self.nal else {
            let keyframe = match self.keyframes {
                KeyframeRule::Marked => keyframe,
                KeyframeRule::Every => true,
                KeyframeRule::Ffv1 => media_types::is_ffv1_key(unit),
                KeyframeRule::First => keyframe && !self.begun,
            };
            self.begun |= keyframe;
            let av1 = self.av1.as_mut();
            return UnitInfo {
                start: keyframe,
                resets: keyframe && self.resetting,
                droppable: av1.is_some_and(|av1| av1.is_droppable(unit)) && !keyframe,
                ..UnitInfo::default()
            };
        };
        let mut clean = codec != Codec::H264;
        let mut damaged = false;
        let mut resets = false;
        let mut droppable = false;
        let mut has_sets = false;
        let (mut second, mut slices) = (false, 0);
        let mut intra = false;
        // temporal_reference
        let mut number = 0;
        for nal in Nals::new(unit, framing) {
            let Some(kind) = kind(codec, nal) else {
                continue;
            };
            match (codec, kind) {
                (Codec::H264, 7 | 8) | (Codec::H265, 32..=34) => {
                    has_sets |= matches!(kind, 7 | 33);
                    if codec == Codec::H264 {
                        self.fields.learn(kind, ended(nal, framing));
                    }
                    if framing == Framing::StartCode {
                        self.keep(kind, whole(nal));
                    }
                }
                (Codec::H264, 6) => match recovery_point(ended(nal, framing)) {
                    Some(true) => clean = true,
                    Some(false) => damaged = true,
                    None => {}
                },
                (Codec::H264, 1..=5) => {
                    if slices == 0 {
                        (clean, resets) = (clean || kind == 5, kind == 5);
                    }
                    // nal_ref_idc, of both fields if they are in one unit.
                    droppable = nal[0] & 0x60 == 0 && (droppable || slices == 0);
                    if !self.fields.possible() {
                        break;
                    }
                    // Data partitions B and C have another header and never begin a frame.
                    if !matches!(kind, 3 | 4) {
                        second |= self.fields.slice(nal, slices == 0);
                        slices += 1;
                    }
                }
                (Codec::H265, 0..=31) => {
                    // Even types below 16 are not referred to in their temporal layer; the second byte has nuh_temporal_id_plus1.
                    self.layered |= nal.get(1).is_none_or(|byte| byte & 7 != 1);
                    droppable = kind < 16 && kind % 2 == 0 && !self.layered;
                    // IDR pictures.
                    resets = matches!(kind, 19 | 20);
                    break;
                }
                // A sequence header.
                (Codec::Mpeg2, 0xb3) => has_sets = true,
                (Codec::Mpeg2, 0) => {
                    if slices == 0 {
                        // temporal_reference takes ten bits, then picture_coding_type three: 1 is intra, 3 is bidirectional.
                        let coded = nal.get(2).map_or(0, |byte| byte >> 3 & 7);
                        (droppable, damaged, clean) = (coded == 3, coded != 1, coded == 1);
                        intra = clean;
                    }
                    if !self.interlaced {
                        break;
                    }
                    let bytes = [1, 2].map(|at| nal.get(at).copied().unwrap_or(0));
                    number = u32::from(u16::from_be_bytes(bytes) >> 6);
                }
                // The picture coding extension; picture_structure is 1 for a top field, 2 for a bottom field.
                (Codec::Mpeg2, 0xb5) if nal.get(1).is_some_and(|byte| byte >> 4 == 8) => {
                    let structure = nal.get(3).map_or(3, |byte| byte & 3);
                    let field = (structure != 3).then_some((number, structure == 2));
                    second |= self.fields.field(field, slices == 0);
                    slices += 1;
                }
                _ => {}
            }
        }
        // Some Matroska files mark no keyframes.
        let keyframe = keyframe || intra && has_sets;
        let waited = self.last.is_none_or(|last| pts - last >= PATIENCE);
        let start = keyframe && !second && (clean || (waited && !damaged));
        if start {
            self.last = Some(pts);
        }
        let missing = start && !has_sets && !self.sets.is_empty();
        UnitInfo {
            start,
            resets: start && resets,
            droppable: droppable && !start,
            second,
            sets: missing.then(|| self.sets.iter().flat_map(|(_, set)| set.clone()).collect()),
        }
    }

    /// Whether keyframes after the first are known.
    pub(in crate::anchorgate) fn knows_keyframes(&self) -> bool {
        self.keyframes != KeyframeRule::First
    }

    /// The stream restarts.
    pub(in crate::anchorgate) fn flush(&mut self) {
        self.begun = false;
    }

    /// As [`Self::inspect`], by the unit alone: earlier units are unknown.
    pub(in crate::anchorgate) fn inspect_alone(
        &mut self,
        keyframe: bool,
        pts: Nanos,
        unit: &[u8],
    ) -> UnitInfo {
        let last = self.last.replace(pts);
        self.fields.forget();
        let found = self.inspect(keyframe, pts, unit);
        if !found.start {
            self.last = last;
        }
        found
    }

    fn keep(&mut self, kind: u8, nal: &[u8]) {
        const MOST: usize = 32;
        let mut set = vec![0, 0, 0, 1];
        set.extend_from_slice(nal);
        if self.sets.iter().any(|(_, known)| *known == set) {
            return;
        }
        // A new sequence parameter set replaces everything before it.
        if matches!(kind, 7 | 32) {
            self.sets.retain(|(known, _)| *known < kind);
        }
        if self.sets.len() == MOST {
            self.sets.remove(0);
        }
        self.sets.push((kind, set));
        self.sets.sort_by_key(|(kind, _)| *kind);
    }
}

/// Whether the first slice of an H.264 access unit in byte-stream format belongs to an IDR picture; `None` without slices.
pub fn is_idr(unit: &[u8]) -> Option<bool> {
    let nals = Nals::new(unit, Framing::StartCode);
    let mut kinds = nals.filter_map(|nal| kind(Codec::H264, nal));
    kinds
        .find(|kind| (1..=5).contains(kind))
        .map(|kind| kind == 5)
}

/// Whether an SEI NAL unit has a recovery point, and whether frames are right from there on at once.
fn recovery_point(nal: &[u8]) -> Option<bool> {
    let mut at = 1;
    loop {
        let mut field = || {
            let mut value = 0usize;
            loop {
                let byte = *nal.get(at)?;
                at += 1;
                value += usize::from(byte);
                if byte != 255 {
                    return Some(value);
                }
            }
        };
        let kind = field()?;
        let size = field()?;
        if kind == 6 {
            // recovery_frame_cnt is an Exp-Golomb number: a leading one bit is zero.
            return nal.get(at).map(|byte| byte & 0x80 != 0);
        }
        at = at.checked_add(size)?;
        // Only trailing bits may be left.
        if at + 2 >= nal.len() {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPS: &[u8] = &[0, 0, 0, 1, 0x67, 0x42, 0x11];
    const PPS: &[u8] = &[0, 0, 0, 1, 0x68, 0x33];
    const IDR: &[u8] = &[0, 0, 1, 0x65, 0x88, 0x80];
    const I_SLICE: &[u8] = &[0, 0, 1, 0x41, 0x88, 0x80];
    /// A recovery point with recovery_frame_cnt 0, after another message.
    const RECOVERY: &[u8] = &[0, 0, 1, 6, 5, 2, 9, 9, 6, 1, 0xc4, 0x80];
    /// The same with recovery_frame_cnt 1 (`010`).
    const REFRESH: &[u8] = &[0, 0, 1, 6, 6, 1, 0x44, 0x80];

    fn access(codec: &str, format: &str) -> Inspector {
        gst::init().unwrap();
        let mut access = Inspector::default();
        let caps = gst::Caps::builder(codec)
            .field("stream-format", format)
            .build();
        access.set_caps(&caps);
        access
    }

    fn ms(ms: i64) -> Nanos {
        Nanos::from_ms(ms)
    }

    #[test]
    fn an_intra_frame_is_a_start_only_as_idr_or_recovery_point() {
        let mut h264 = access("video/x-h264", "byte-stream");
        assert!(h264.inspect(true, ms(0), IDR).start);
        assert!(!h264.inspect(true, ms(40), I_SLICE).start);
        assert!(
            h264.inspect(true, ms(80), &[RECOVERY, I_SLICE].concat())
                .start
        );
        assert!(
            !h264
                .inspect(true, ms(120), &[REFRESH, I_SLICE].concat())
                .start
        );
        assert!(!h264.inspect(false, ms(160), IDR).start);
    }

    #[test]
    fn a_stream_without_recovery_points_is_not_held_for_ever() {
        let mut h264 = access("video/x-h264", "byte-stream");
        assert!(h264.inspect(true, ms(0), I_SLICE).start);
        assert!(!h264.inspect(true, ms(11_000), I_SLICE).start);
        assert!(h264.inspect(true, ms(12_000), I_SLICE).start);
        assert!(
            !h264
                .inspect(true, ms(60_000), &[REFRESH, I_SLICE].concat())
                .start
        );
    }

    #[test]
    fn parameter_sets_sent_once_are_put_before_later_starts() {
        let mut h264 = access("video/x-h264", "byte-stream");
        let first = h264.inspect(true, ms(0), &[SPS, PPS, IDR].concat());
        assert_eq!(first.sets, None);
        let later = h264.inspect(true, ms(1000), IDR);
        assert_eq!(later.sets, Some([SPS, PPS].concat()));
        let other = [0, 0, 0, 1, 0x67, 0x42, 0x22];
        h264.inspect(true, ms(2000), &[&other, PPS, IDR].concat());
        let later = h264.inspect(true, ms(3000), IDR);
        assert_eq!(later.sets, Some([&other, PPS].concat()));
    }

    #[test]
    fn lengths_are_read_and_what_is_malformed_ends_the_search() {
        let mut h264 = access("video/x-h264", "avc");
        let unit = [0, 0, 0, 2, 0x09, 0x10, 0, 0, 0, 2, 0x65, 0x88];
        assert!(h264.inspect(true, ms(0), &unit).start);
        for end in 0..unit.len() {
            h264.inspect(true, ms(40), &unit[..end]);
        }
        assert!(!h264.inspect(true, ms(40), &[255; 64]).start);
    }

    #[test]
    fn units_without_references_can_be_dropped() {
        let mut h264 = access("video/x-h264", "byte-stream");
        assert!(!h264.inspect(false, ms(0), I_SLICE).droppable);
        assert!(h264.inspect(false, ms(0), &[0, 0, 1, 0x01, 0x88]).droppable);
        let mut h265 = access("video/x-h265", "byte-stream");
        assert!(
            !h265
                .inspect(false, ms(0), &[0, 0, 1, 0x02, 1, 0xff])
                .droppable
        );
        assert!(
            h265.inspect(false, ms(0), &[0, 0, 1, 0x00, 1, 0xff])
                .droppable
        );
        assert!(
            !h265
                .inspect(false, ms(0), &[0, 0, 1, 0x00, 2, 0xff])
                .droppable
        );
        assert!(
            !h265
                .inspect(false, ms(0), &[0, 0, 1, 0x00, 1, 0xff])
                .droppable
        );
    }

    #[test]
    fn the_second_field_of_a_frame_is_no_start_and_goes_with_the_first() {
        gst::init().unwrap();
        let mut mpeg2 = Inspector::default();
        let caps = gst::Caps::builder("video/mpeg")
            .field("mpegversion", 2i32)
            .field("interlace-mode", "mixed")
            .build();
        mpeg2.set_caps(&caps);
        // temporal_reference 5, the type, and which field.
        let field = |coded: u8, structure: u8| {
            let picture = [0, 0, 1, 0, 1, 0x40 | coded << 3, 0];
            [
                &picture[..],
                &[0, 0, 1, 0xb5, 0x8f, 0xff, 0xf0 | structure, 0],
            ]
            .concat()
        };
        let first = mpeg2.inspect(true, ms(0), &field(1, 1));
        assert!(first.start && !first.second);
        let second = mpeg2.inspect(true, ms(0), &field(1, 2));
        assert!(!second.start && second.second);
        let both = [field(1, 1), field(2, 2)].concat();
        let both = mpeg2.inspect(true, ms(40), &both);
        assert!(both.start && !both.second);
        assert!(mpeg2.inspect(false, ms(80), &field(3, 1)).droppable);
        let last = mpeg2.inspect(false, ms(80), &field(3, 2));
        assert!(last.droppable && last.second);
        assert!(!mpeg2.inspect(false, ms(120), &field(3, 3)).second);
    }

    #[test]
    fn marks_count_for_other_codecs() {
        let mut vp9 = access("video/x-vp9", "");
        assert!(vp9.inspect(true, ms(0), &[]).start);
        assert!(!vp9.inspect(false, ms(40), &[]).start);
        let mut h265 = access("video/x-h265", "byte-stream");
        let vps = [0, 0, 0, 1, 0x40, 1, 7];
        let cra = [0, 0, 1, 0x2a, 1, 0xff];
        assert!(
            h265.inspect(true, ms(0), &[&vps[..], &cra[..]].concat())
                .start
        );
    }

    use proptest::prelude::*;

    /// Every way to inspect a unit, with everything that is parsed from its caps.
    fn any_access(data: &[u8]) -> Vec<Inspector> {
        gst::init().unwrap();
        let kinds = [
            ("video/x-h264", "avc"),
            ("video/x-h264", "byte-stream"),
            ("video/x-h265", "hvc1"),
            ("video/x-h265", "byte-stream"),
            ("video/mpeg", ""),
            ("video/x-av1", ""),
        ];
        let access = kinds.map(|(codec, format)| {
            let caps = gst::Caps::builder(codec)
                .field("stream-format", format)
                .field("mpegversion", 2i32)
                .field("interlace-mode", "mixed")
                .field("codec_data", gst::Buffer::from_slice(data.to_vec()));
            let mut access = Inspector::default();
            access.set_caps(&caps.build());
            access
        });
        access.into()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn no_bytes_panic(
            data in proptest::collection::vec(any::<u8>(), 0..64),
            units in proptest::collection::vec(
                proptest::collection::vec(prop_oneof![
                    // Start codes, lengths, and headers of every inspected kind.
                    Just(vec![0, 0, 1]),
                    Just(vec![0, 0, 0, 3]),
                    (0u8..=255).prop_map(|byte| vec![byte]),
                    proptest::collection::vec(any::<u8>(), 0..24),
                    Just(SPS[3..].to_vec()),
                    Just(IDR[3..].to_vec()),
                    Just(RECOVERY[3..].to_vec()),
                    Just(vec![0x0a, 4, 0, 0, 0, 2]),
                ], 0..12).prop_map(|parts| parts.concat()),
                0..6,
            ),
        ) {
            for mut access in any_access(&data) {
                for (number, unit) in units.iter().enumerate() {
                    access.inspect(number % 2 == 0, ms(40 * number as i64), unit);
                    access.inspect_alone(true, ms(40 * number as i64), unit);
                    access.inspect(false, ms(40), &data);
                }
            }
            is_idr(&data);
        }
    }
}
