//! Frames coded as two fields: which unit begins with the second field.
//!
//! Both fields share one frame_num in H.264 (ITU-T H.264, 7.4.1.2.4 and 7.4.3) and one temporal_reference in MPEG-2 (ISO/IEC 13818-2, 6.3.9 and
//! 6.3.10), and have opposite parity.

use std::collections::BTreeMap;

use h264_reader::Context;
use h264_reader::nal::sps::{FrameMbsFlags, SeqParamSetId, SeqParameterSet};
use h264_reader::nal::{Nal, RefNal};
use h264_reader::rbsp::BitRead;

use super::nal::parameter_sets;

/// pic_parameter_set_id is no larger (ITU-T H.264, 7.4.2.2).
const LAST_PPS: u32 = 255;

/// The last field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    /// Number shared with the other field of its frame, and with no field of a neighbour of other parity.
    number: u32,
    bottom: bool,
    second: bool,
}

/// The state of a stream.
#[derive(Debug, Default)]
pub(super) struct FieldPairs {
    /// Sequence parameter sets only.
    sets: Context,
    /// The sequence parameter set of each picture parameter set.
    goes_by: BTreeMap<u32, SeqParamSetId>,
    last: Option<Field>,
}

impl FieldPairs {
    /// Takes the parameter sets of a decoder configuration, as far as it can be read; the rest may come with the units.
    pub(super) fn configure(&mut self, data: &[u8]) {
        if data.first() != Some(&1) {
            return;
        }
        for (kind, sets) in [7, 8].into_iter().zip(parameter_sets(data)) {
            for set in sets {
                if set.first().is_some_and(|header| header & 0x1f == kind) {
                    self.learn(kind, set);
                }
            }
        }
    }

    /// Takes an H.264 parameter set, without start code.
    pub(super) fn learn(&mut self, kind: u8, nal: &[u8]) {
        if nal.is_empty() {
            return;
        }
        let mut bits = RefNal::new(nal, &[], true).rbsp_bits();
        if kind == 7 {
            if let Ok(set) = SeqParameterSet::from_bits(bits) {
                self.sets.put_seq_param_set(set);
            }
            return;
        }
        // Only these two numbers matter here.
        let number = bits.read_ue("pic_parameter_set_id").ok();
        let by = bits.read_ue("seq_parameter_set_id").ok();
        let by = by.and_then(|by| SeqParamSetId::from_u32(by).ok());
        if let (Some(number @ 0..=LAST_PPS), Some(by)) = (number, by) {
            self.goes_by.insert(number, by);
        }
    }

    /// Whether H.264 frames may be coded as fields.
    pub(super) fn possible(&self) -> bool {
        self.sets
            .sps()
            .any(|set| set.frame_mbs_flags != FrameMbsFlags::Frames)
    }

    /// The next unit does not follow the last one.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }

    /// Takes a slice of H.264. `begins`: it is the first of its unit. Whether that unit begins with a second field.
    pub(super) fn slice(&mut self, nal: &[u8], begins: bool) -> bool {
        let field = self.coded(nal);
        self.field(field, begins)
    }

    /// As [`Self::slice`], with the number that both fields share and whether this is the bottom field; `None` for a whole frame or an unknown
    /// one.
    pub(super) fn field(&mut self, field: Option<(u32, bool)>, begins: bool) -> bool {
        let Some((number, bottom)) = field else {
            self.last = None;
            return false;
        };
        let same = self.last.filter(|last| last.number == number);
        let second = same.is_some_and(|last| last.bottom != bottom && !last.second);
        let goes_on = !begins && same.is_some_and(|last| last.bottom == bottom);
        if !goes_on {
            self.last = Some(Field {
                number,
                bottom,
                second,
            });
        }
        second && begins
    }

    /// frame_num and bottom_field_flag of a field's slice (ITU-T H.264, 7.3.3).
    fn coded(&self, nal: &[u8]) -> Option<(u32, bool)> {
        if nal.is_empty() {
            return None;
        }
        let mut bits = RefNal::new(nal, &[], true).rbsp_bits();
        bits.read_ue("first_mb_in_slice").ok()?;
        bits.read_ue("slice_type").ok()?;
        let set = bits.read_ue("pic_parameter_set_id").ok()?;
        let set = self.sets.sps_by_id(*self.goes_by.get(&set)?)?;
        if set.frame_mbs_flags == FrameMbsFlags::Frames {
            return None;
        }
        if set.chroma_info.separate_colour_plane_flag {
            bits.skip(2, "colour_plane_id").ok()?;
        }
        let length = u32::from(set.log2_max_frame_num());
        let number = bits.read_var(length, "frame_num").ok()?;
        let coded = bits.read_bit("field_pic_flag").ok()?;
        let bottom = coded && bits.read_bit("bottom_field_flag").ok()?;
        coded.then_some((number, bottom))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_fields_of_one_number_and_opposite_parity_are_a_frame() {
        let mut fields = FieldPairs::default();
        let mut unit = |number, bottom| fields.field(Some((number, bottom)), true);
        assert_eq!([unit(0, false), unit(0, true)], [false, true]);
        // Nothing refers to it, so the number stays.
        assert_eq!([unit(0, false), unit(0, true)], [false, true]);
        // Bottom field first; a field without its other one.
        assert_eq!([unit(1, true), unit(1, false)], [false, true]);
        assert_eq!([unit(2, false), unit(3, true)], [false, false]);
        assert_eq!([unit(4, false), unit(4, false)], [false, false]);
    }

    #[test]
    fn slices_and_whole_frames_begin_nothing() {
        let mut fields = FieldPairs::default();
        assert!(!fields.field(Some((5, false)), true));
        assert!(!fields.field(Some((5, false)), false));
        assert!(!fields.field(Some((5, true)), false));
        assert!(!fields.field(Some((5, true)), false));
        // Both fields were in that unit.
        assert!(!fields.field(Some((5, false)), true));
        assert!(!fields.field(None, true));
        assert!(!fields.field(Some((5, true)), true));
    }

    #[test]
    fn what_is_malformed_is_no_field() {
        let mut fields = FieldPairs::default();
        for bytes in [&[][..], &[0x67], &[0x67, 77, 0, 30], &[0xff; 40]] {
            fields.configure(bytes);
            fields.learn(7, bytes);
            fields.learn(8, bytes);
            assert!(!fields.slice(bytes, true) && !fields.possible());
        }
    }

    /// Main profile, 64 x 64, frames that may be coded as fields.
    const SPS: &[u8] = &[0x67, 77, 0, 30, 0xda, 0x11, 0x12];
    const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x80];

    fn avcc(sets: &[&[u8]], more: &[&[u8]]) -> Vec<u8> {
        let mut data = vec![1, 77, 0, 30, 0xff, 0xe0 | sets.len() as u8];
        let put = |data: &mut Vec<u8>, set: &[u8]| {
            data.extend((set.len() as u16).to_be_bytes());
            data.extend(set);
        };
        sets.iter().for_each(|set| put(&mut data, set));
        data.push(more.len() as u8);
        more.iter().for_each(|set| put(&mut data, set));
        data
    }

    #[test]
    fn a_configuration_is_read_as_far_as_it_goes() {
        let whole = avcc(&[SPS], &[PPS]);
        let mut fields = FieldPairs::default();
        fields.configure(&whole);
        assert_eq!((fields.sets.sps().count(), fields.goes_by.len()), (1, 1));
        for end in 0..whole.len() {
            FieldPairs::default().configure(&whole[..end]);
        }
        // Sets without a byte, as a number of them that is not there; what follows an empty one still counts.
        for sets in [avcc(&[&[]], &[]), avcc(&[SPS], &[&[]]), avcc(&[PPS], &[])] {
            let mut fields = FieldPairs::default();
            fields.configure(&sets);
            assert!(fields.goes_by.is_empty());
        }
        let mut fields = FieldPairs::default();
        fields.configure(&avcc(&[&[], SPS], &[&[], PPS]));
        assert_eq!((fields.sets.sps().count(), fields.goes_by.len()), (1, 1));
    }

    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn no_bytes_panic(
            mut data in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..80),
                Just(avcc(&[SPS], &[PPS])),
                Just(avcc(&[SPS, SPS], &[PPS, PPS])),
            ],
            hits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
            end in any::<proptest::sample::Index>(),
            cut in any::<bool>(),
        ) {
            for (at, byte) in hits {
                if !data.is_empty() {
                    let at = at.index(data.len());
                    data[at] = byte;
                }
            }
            if cut && !data.is_empty() {
                data.truncate(end.index(data.len()));
            }
            let mut fields = FieldPairs::default();
            fields.configure(&data);
            fields.learn(7, &data);
            fields.learn(8, data.get(1..).unwrap_or_default());
            fields.possible();
            fields.slice(&data, true);
            fields.slice(data.get(2..).unwrap_or_default(), false);
        }
    }
}
