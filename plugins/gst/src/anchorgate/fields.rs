//! Pictures that are coded as two fields: which unit brings the second one, that the first is nothing without.
//!
//! In H.264 both fields bear one frame_num and opposite parity (ITU-T H.264, 7.4.1.2.4 and 7.4.3), in MPEG-2 one temporal_reference and opposite
//! picture_structure (ISO/IEC 13818-2, 6.3.9 and 6.3.10).

use h264_reader::Context;
use h264_reader::avcc::AvcDecoderConfigurationRecord;
use h264_reader::nal::pps::{PicParamSetId, PicParameterSet};
use h264_reader::nal::sps::{FrameMbsFlags, SeqParameterSet};
use h264_reader::nal::{Nal, RefNal};
use h264_reader::rbsp::BitRead;

/// The last field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    /// What it shares with the other field of its picture, and with no field of a neighbour of other parity.
    number: u32,
    bottom: bool,
    second: bool,
}

/// What is known of the fields of a stream.
#[derive(Debug, Default)]
pub(super) struct Fields {
    sets: Context,
    last: Option<Field>,
}

impl Fields {
    /// Parameter sets out of a decoder configuration; what can't be read may still come with the pictures.
    pub(super) fn configure(&mut self, data: &[u8]) {
        let record = AvcDecoderConfigurationRecord::try_from(data).ok();
        if let Some(sets) = record.and_then(|record| record.create_context().ok()) {
            self.sets = sets;
        }
    }

    /// An H.264 parameter set, without start code.
    pub(super) fn learn(&mut self, kind: u8, nal: &[u8]) {
        if nal.is_empty() {
            return;
        }
        let bits = RefNal::new(nal, &[], true).rbsp_bits();
        if kind == 7 {
            if let Ok(set) = SeqParameterSet::from_bits(bits) {
                self.sets.put_seq_param_set(set);
            }
        } else if let Ok(set) = PicParameterSet::from_bits(&self.sets, bits) {
            self.sets.put_pic_param_set(set);
        }
    }

    /// Whether H.264 pictures may be coded as fields.
    pub(super) fn possible(&self) -> bool {
        self.sets
            .sps()
            .any(|set| set.frame_mbs_flags != FrameMbsFlags::Frames)
    }

    /// What comes next doesn't follow what came last.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }

    /// A slice of an H.264 picture, the first of its unit or not: whether its unit begins with a second field.
    pub(super) fn slice(&mut self, nal: &[u8], begins: bool) -> bool {
        let field = self.coded(nal);
        self.field(field, begins)
    }

    /// A coded picture's number that both its fields share, and whether this is its bottom field; `None` for a whole one, or for one of which that
    /// is not known. As [`Self::slice`].
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

    /// frame_num, and whether it is a bottom field (ITU-T H.264, 7.3.3).
    fn coded(&self, nal: &[u8]) -> Option<(u32, bool)> {
        if nal.is_empty() {
            return None;
        }
        let mut bits = RefNal::new(nal, &[], true).rbsp_bits();
        bits.read_ue("first_mb_in_slice").ok()?;
        bits.read_ue("slice_type").ok()?;
        let set = bits.read_ue("pic_parameter_set_id").ok()?;
        let set = self.sets.pps_by_id(PicParamSetId::from_u32(set).ok()?)?;
        let set = self.sets.sps_by_id(set.seq_parameter_set_id)?;
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
    fn two_fields_of_one_number_and_opposite_parity_are_a_picture() {
        let mut fields = Fields::default();
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
    fn slices_and_whole_pictures_begin_nothing() {
        let mut fields = Fields::default();
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
        let mut fields = Fields::default();
        for bytes in [&[][..], &[0x67], &[0x67, 77, 0, 30], &[0xff; 40]] {
            fields.configure(bytes);
            fields.learn(7, bytes);
            fields.learn(8, bytes);
            assert!(!fields.slice(bytes, true) && !fields.possible());
        }
    }
}
