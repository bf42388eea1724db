//! The order in which frames are shown, from the units themselves.

use h264_reader::Context;
use h264_reader::nal::pps::{PicParamSetId, PicParameterSet};
use h264_reader::nal::sps::{FrameMbsFlags, PicOrderCntType, SeqParameterSet};
use h264_reader::nal::{Nal, RefNal};
use h264_reader::rbsp::BitRead;

use super::nal::{Codec, Framing, Nals, ended, framing, kind, parameter_sets};

/// Most frames that any codec in use reorders.
const REORDER: usize = 16;
/// More than a picture order count ever reaches, or frames between two reference frames.
const GROUP: i64 = 1 << 40;

/// Why the display order is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownOrder {
    /// H.265 with reordering, which is not read here.
    #[error(
        "its H.265 frames are not stored in display order, and the file does not say when they are shown (convert it: `ffmpeg -i IN -c:v libx264 -crf 18 OUT.mkv`)"
    )]
    H265,
    /// H.264 with a picture order count that no encoder in use writes.
    #[error(
        "the file does not say when its H.264 frames are shown, and their picture order count is of type 1, which Earmark cannot read (convert it: `ffmpeg -i IN -c:v libx264 -crf 18 OUT.mkv`)"
    )]
    H264,
    /// Frames stored as single fields.
    #[error(
        "its frames are stored as single fields, and the file does not say when they are shown (convert it: `ffmpeg -i IN -c:v libx264 -crf 18 OUT.mkv`)"
    )]
    Fields,
    /// Several frames in one unit.
    #[error(
        "its MPEG-4 frames are packed two to a unit (\"DivX packed bitstream\"), so nothing says when they are shown (unpack them: `ffmpeg -i IN.avi -c copy -bsf:v mpeg4_unpack_bframes OUT.avi`)"
    )]
    Packed,
}

/// The display order of a stream.
#[derive(Debug, Default)]
pub(super) struct DisplayOrder {
    codec: Option<(Codec, Framing)>,
    mpeg4: bool,
    packed: bool,
    /// H.264 parameter sets.
    sets: Context,
    /// Reference frames so far, and frames since the last one. In H.264: groups that begin with an IDR picture.
    group: i64,
    within: i64,
    /// H.264: picture order count of the last reference frame.
    last: i64,
    /// H.265: how many frames are reordered, if the stream says so.
    h265: Option<u32>,
}

impl DisplayOrder {
    pub(super) fn set_caps(&mut self, caps: &gst::CapsRef) {
        *self = Self::default();
        let Some(s) = caps.structure(0) else {
            return;
        };
        self.codec = framing(s);
        self.mpeg4 = s.name() == "video/mpeg" && matches!(s.get("mpegversion"), Ok(4i32));
        let data = s.get::<gst::Buffer>("codec_data").ok();
        let Some(data) = data.as_ref().and_then(|data| data.map_readable().ok()) else {
            return;
        };
        if self.mpeg4 {
            self.packed = is_packed(&data);
        }
        if matches!(self.codec, Some((Codec::H264, _))) {
            for nal in parameter_sets(&data).concat() {
                if let Some(kind @ (7 | 8)) = kind(Codec::H264, nal) {
                    self.learn(kind, nal);
                }
            }
        }
    }

    /// The next unit follows nothing.
    pub(super) fn forget(&mut self) {
        (self.group, self.within, self.last) = (0, 0, 0);
    }

    /// How many frames may wait for others that are shown sooner.
    pub(super) fn reorder(&self) -> usize {
        match self.codec {
            Some((Codec::H264, _)) => {
                let of = |set: &SeqParameterSet| {
                    if matches!(set.pic_order_cnt, PicOrderCntType::TypeTwo) {
                        return 0;
                    }
                    let said = set.vui_parameters.as_ref();
                    let said = said.and_then(|vui| vui.bitstream_restrictions.as_ref());
                    said.map_or(REORDER, |said| {
                        REORDER.min(said.max_num_reorder_frames as usize)
                    })
                };
                self.sets.sps().map(of).max().unwrap_or(REORDER)
            }
            Some((Codec::Mpeg2, _)) => 1,
            _ if self.mpeg4 => 1,
            _ => 0,
        }
    }

    /// A number that grows in display order.
    pub(super) fn key(&mut self, unit: &[u8]) -> Result<i64, UnknownOrder> {
        match self.codec {
            Some((Codec::H264, framing)) => self.h264(unit, framing),
            Some((Codec::H265, framing)) => self.h265(unit, framing),
            Some((Codec::Mpeg2, framing)) => {
                let mut nals = Nals::new(unit, framing);
                // picture_coding_type 3 is bidirectional.
                let picture = nals.find(|nal| nal.first() == Some(&0));
                let coded = picture.and_then(|nal| nal.get(2));
                // The picture coding extension follows; picture_structure 3 is a whole frame.
                let extension = nals.next().filter(|nal| {
                    nal.first() == Some(&0xb5) && nal.get(1).is_some_and(|byte| byte >> 4 == 8)
                });
                let structure = extension.and_then(|nal| nal.get(3));
                if structure.is_some_and(|byte| byte & 3 != 3) {
                    return Err(UnknownOrder::Fields);
                }
                Ok(self.between(coded.is_some_and(|byte| byte >> 3 & 7 == 3)))
            }
            None if self.mpeg4 => {
                if self.packed || is_packed(unit) {
                    return Err(UnknownOrder::Packed);
                }
                let mut nals = Nals::new(unit, Framing::StartCode);
                // vop_coding_type 2 is bidirectional.
                let picture = nals.find(|nal| nal.first() == Some(&0xb6));
                let coded = picture.and_then(|nal| nal.get(1));
                Ok(self.between(coded.is_some_and(|byte| byte >> 6 == 2)))
            }
            None => Ok(self.between(false)),
        }
    }

    /// The number of a frame between two reference frames, or of a reference frame.
    fn between(&mut self, is_between: bool) -> i64 {
        if is_between {
            self.within += 1;
            return self.group * GROUP + self.within;
        }
        self.group += 1;
        self.within = 0;
        self.group * GROUP + GROUP - 1
    }

    fn h264(&mut self, unit: &[u8], framing: Framing) -> Result<i64, UnknownOrder> {
        for nal in Nals::new(unit, framing) {
            match kind(Codec::H264, nal) {
                Some(kind @ (7 | 8)) => self.learn(kind, ended(nal, framing)),
                Some(1 | 2 | 5) => return self.count(nal),
                _ => {}
            }
        }
        // The unit has no frame.
        self.last += 1;
        Ok(self.group * GROUP + self.last)
    }

    fn learn(&mut self, kind: u8, nal: &[u8]) {
        let bits = RefNal::new(nal, &[], true).rbsp_bits();
        if kind == 7 {
            if let Ok(set) = SeqParameterSet::from_bits(bits) {
                self.sets.put_seq_param_set(set);
            }
        } else if let Ok(set) = PicParameterSet::from_bits(&self.sets, bits) {
            self.sets.put_pic_param_set(set);
        }
    }

    /// The picture order count of a slice, in the group that its IDR picture began.
    fn count(&mut self, nal: &[u8]) -> Result<i64, UnknownOrder> {
        let idr = nal[0] & 0x1f == 5;
        let referred = nal[0] & 0x60 != 0;
        if idr {
            (self.group, self.last) = (self.group + 1, 0);
        }
        let Some((low, length)) = self.low(nal)? else {
            self.last += 1;
            return Ok(self.group * GROUP + self.last);
        };
        // The count with these low bits that is nearest to the last one.
        let whole = 1_i64 << length;
        let high = self.last - self.last.rem_euclid(whole);
        let last = self.last.rem_euclid(whole);
        let count = if low < last && last - low >= whole / 2 {
            high + whole + low
        } else if low > last && low - last > whole / 2 {
            high - whole + low
        } else {
            high + low
        };
        if referred {
            self.last = count;
        }
        Ok(self.group * GROUP + count)
    }

    /// The low bits of the picture order count, and how many they are (ITU-T H.264, 7.3.3); `None` if frames are stored in display order, or if
    /// it cannot be read.
    fn low(&self, nal: &[u8]) -> Result<Option<(i64, u32)>, UnknownOrder> {
        let mut bits = RefNal::new(nal, &[], true).rbsp_bits();
        let mut id = || {
            bits.read_ue("first_mb_in_slice").ok()?;
            bits.read_ue("slice_type").ok()?;
            PicParamSetId::from_u32(bits.read_ue("pic_parameter_set_id").ok()?).ok()
        };
        let set = id().and_then(|id| self.sets.pps_by_id(id));
        let set = set.and_then(|set| self.sets.sps_by_id(set.seq_parameter_set_id));
        let Some(set) = set else {
            return Ok(None);
        };
        let length = match &set.pic_order_cnt {
            PicOrderCntType::TypeZero {
                log2_max_pic_order_cnt_lsb_minus4,
            } => u32::from(*log2_max_pic_order_cnt_lsb_minus4) + 4,
            PicOrderCntType::TypeOne { .. } => return Err(UnknownOrder::H264),
            PicOrderCntType::TypeTwo => return Ok(None),
        };
        let mut read = || {
            if set.chroma_info.separate_colour_plane_flag {
                bits.skip(2, "colour_plane_id").ok()?;
            }
            bits.skip(u32::from(set.log2_max_frame_num()), "frame_num")
                .ok()?;
            let mut field = false;
            if set.frame_mbs_flags != FrameMbsFlags::Frames {
                field = bits.read_bit("field_pic_flag").ok()?;
                if field {
                    bits.read_bit("bottom_field_flag").ok()?;
                }
            }
            if nal[0] & 0x1f == 5 {
                bits.read_ue("idr_pic_id").ok()?;
            }
            let low: u32 = bits.read_var(length, "pic_order_cnt_lsb").ok()?;
            Some((field, low))
        };
        match read() {
            Some((true, _)) => Err(UnknownOrder::Fields),
            Some((false, low)) => Ok(Some((i64::from(low), length))),
            None => Ok(None),
        }
    }

    /// H.265 is stored in display order if its video parameter set says that nothing is reordered (ITU-T H.265, 7.3.2.1).
    fn h265(&mut self, unit: &[u8], framing: Framing) -> Result<i64, UnknownOrder> {
        for nal in Nals::new(unit, framing) {
            if kind(Codec::H265, nal) == Some(32) {
                self.h265 = reordered(ended(nal, framing));
            }
        }
        match self.h265 {
            Some(0) => Ok(self.between(false)),
            _ => Err(UnknownOrder::H265),
        }
    }
}

/// vps_max_num_reorder_pics of an H.265 video parameter set, the largest of its layers.
fn reordered(nal: &[u8]) -> Option<u32> {
    let mut bits = RefNal::new(nal, &[], true).rbsp_bits();
    // The second byte of the header; vps_video_parameter_set_id and what follows it.
    bits.skip(8 + 12, "").ok()?;
    let layers: u32 = bits.read_var(3, "vps_max_sub_layers_minus1").ok()?;
    // vps_temporal_id_nesting_flag, reserved bits, general profile and level.
    bits.skip(1 + 16 + 96, "").ok()?;
    let mut there = Vec::new();
    for _ in 0..layers {
        let profile = bits.read_bit("sub_layer_profile_present_flag").ok()?;
        let level = bits.read_bit("sub_layer_level_present_flag").ok()?;
        there.push(u32::from(profile) * 88 + u32::from(level) * 8);
    }
    if layers > 0 {
        bits.skip(2 * (8 - layers), "reserved_zero_2bits").ok()?;
    }
    bits.skip(there.iter().sum(), "").ok()?;
    let each = bits
        .read_bit("vps_sub_layer_ordering_info_present_flag")
        .ok()?;
    let mut most = 0;
    for _ in 0..=(if each { layers } else { 0 }) {
        bits.read_ue("vps_max_dec_pic_buffering_minus1").ok()?;
        most = most.max(bits.read_ue("vps_max_num_reorder_pics").ok()?);
        bits.read_ue("vps_max_latency_increase_plus1").ok()?;
    }
    Some(most)
}

/// Whether user data says that frames are packed: `DivX`, version, `b`, build, `p`.
fn is_packed(data: &[u8]) -> bool {
    let mut nals = Nals::new(data, Framing::StartCode);
    nals.any(|nal| {
        let text = nal.strip_prefix(b"\xb2DivX").unwrap_or_default();
        let version = text.iter().take(16);
        let mut after =
            version.skip_while(|byte| byte.is_ascii_digit() || b"bBuild".contains(byte));
        after.next() == Some(&b'p')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(media: &str) -> DisplayOrder {
        gst::init().unwrap();
        let mut shown = DisplayOrder::default();
        let caps = gst::Caps::builder(media)
            .field("mpegversion", 4i32)
            .field("stream-format", "byte-stream")
            .build();
        shown.set_caps(&caps);
        shown
    }

    #[test]
    fn packed_frames_are_refused() {
        let vop = [0, 0, 1, 0xb6, 0x50];
        for (text, packed) in [
            ("DivX503b1393p", true),
            ("DivX503b1393", false),
            ("Lavc59", false),
        ] {
            let unit = [b"\0\0\x01\xb2", text.as_bytes(), b"\0", &vop].concat();
            let refused = of("video/mpeg").key(&unit) == Err(UnknownOrder::Packed);
            assert_eq!(refused, packed, "{text}");
        }
    }

    #[test]
    fn malformed_units_have_some_order() {
        for media in ["video/x-h264", "video/x-h265", "video/mpeg", "video/x-vp8"] {
            let mut shown = of(media);
            for bytes in [
                &[][..],
                &[0, 0, 1],
                &[0, 0, 1, 0x65],
                &[0, 0, 1, 0x40],
                &[255; 64],
                &[0; 64],
            ] {
                for end in 0..=bytes.len() {
                    let _ = shown.key(&bytes[..end]);
                }
            }
        }
    }
}
