//! AV1: temporal units that no other refers to (AV1 Bitstream & Decoding Process Specification, 5.5 and 5.9.2).
//!
//! A frame that refreshes no slot leaves no trace, as later frames take everything (samples, motion vectors, probabilities, segmentation) from
//! slots. Not so in VP9, where frames take motion vectors from the frame decoded last.

/// Fields of the last sequence header that are needed to read frame headers.
#[derive(Clone, Copy, Debug, Default)]
struct Sequence {
    /// Bits of a frame's identifier; 0 without identifiers.
    id_bits: u32,
    order_bits: u32,
    /// `None`: each frame has its own.
    screen_content: Option<bool>,
    /// `None`: each frame has its own.
    integer_mv: Option<bool>,
}

/// The state of a stream.
#[derive(Debug, Default)]
pub(super) struct Av1 {
    /// `None` before the first one, and after an unsupported one.
    sequence: Option<Sequence>,
}

impl Av1 {
    /// With the OBUs of `codec_data` (av1C), if there is any.
    pub(super) fn new(codec_data: Option<&[u8]>) -> Self {
        let mut av1 = Self::default();
        av1.is_droppable(
            codec_data
                .and_then(|data| data.get(4..))
                .unwrap_or_default(),
        );
        av1
    }

    /// Whether no later unit refers to this one; false when in doubt.
    pub(super) fn is_droppable(&mut self, unit: &[u8]) -> bool {
        let mut frames = 0;
        let mut rest = unit;
        while !rest.is_empty() {
            let Some((kind, payload, next)) = obu(rest) else {
                return false;
            };
            rest = next;
            match kind {
                1 => self.sequence = sequence(&mut Bits::new(payload)),
                3 | 6 => {
                    let refreshes = self
                        .sequence
                        .and_then(|sequence| refreshed(&sequence, &mut Bits::new(payload)));
                    if refreshes != Some(0) {
                        return false;
                    }
                    frames += 1;
                }
                _ => {}
            }
        }
        frames > 0
    }
}

/// Frames that a temporal unit holds; 0 if it only shows one that came before. Damaged units count as one.
pub(super) fn frames(unit: &[u8]) -> usize {
    let (mut frames, mut rest) = (0, unit);
    while !rest.is_empty() {
        let Some((kind, payload, next)) = obu(rest) else {
            return frames.max(1);
        };
        rest = next;
        // OBU_FRAME_HEADER and OBU_FRAME; the first bit is show_existing_frame.
        if matches!(kind, 3 | 6) && payload.first().is_some_and(|byte| byte & 0x80 == 0) {
            frames += 1;
        }
    }
    frames
}

/// Kind and payload of the first OBU, and the rest.
fn obu(data: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let header = *data.first()?;
    let mut at = if header & 4 != 0 { 2 } else { 1 };
    let mut size = data.len().checked_sub(at)?;
    if header & 2 != 0 {
        size = 0;
        for k in 0..8 {
            let byte = *data.get(at)?;
            at += 1;
            size |= usize::from(byte & 0x7f) << (7 * k);
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    let end = at.checked_add(size)?;
    Some((header >> 3 & 15, data.get(at..end)?, data.get(end..)?))
}

/// `sequence_header_obu`, as far as needed. `None` for still images and for streams with a decoder model.
fn sequence(bits: &mut Bits<'_>) -> Option<Sequence> {
    bits.take(3)?; // seq_profile
    bits.take(1)?; // still_picture
    if bits.flag()? {
        return None;
    }
    // timing_info_present_flag
    if bits.flag()? {
        bits.take(32)?; // num_units_in_display_tick
        bits.take(32)?; // time_scale
        if bits.flag()? {
            bits.skip_uvlc()?; // num_ticks_per_picture_minus_1
        }
        // decoder_model_info_present_flag
        if bits.flag()? {
            return None;
        }
    }
    let delays = bits.flag()?;
    for _ in 0..=bits.take(5)? {
        bits.take(12)?; // operating_point_idc
        if bits.take(5)? > 7 {
            bits.take(1)?; // seq_tier
        }
        if delays && bits.flag()? {
            bits.take(4)?;
        }
    }
    let (width, height) = (bits.take(4)? + 1, bits.take(4)? + 1);
    bits.take(width)?;
    bits.take(height)?;
    let mut sequence = Sequence::default();
    if bits.flag()? {
        let delta = bits.take(4)? + 2;
        sequence.id_bits = bits.take(3)? + delta + 1;
    }
    bits.take(3)?; // use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter
    bits.take(4)?; // enable_interintra_compound, enable_masked_compound, enable_warped_motion, enable_dual_filter
    let orders = bits.flag()?;
    if orders {
        bits.take(2)?; // enable_jnt_comp, enable_ref_frame_mvs
    }
    if !bits.flag()? {
        sequence.screen_content = Some(bits.flag()?);
    }
    if sequence.screen_content != Some(false) && !bits.flag()? {
        sequence.integer_mv = Some(bits.flag()?);
    }
    if orders {
        sequence.order_bits = bits.take(3)? + 1;
    }
    Some(sequence)
}

/// `refresh_frame_flags` of `uncompressed_header`; `None` if unknown.
fn refreshed(sequence: &Sequence, bits: &mut Bits<'_>) -> Option<u32> {
    const KEY: u32 = 0;
    const INTRA_ONLY: u32 = 2;
    const SWITCH: u32 = 3;
    if bits.flag()? {
        return None; // show_existing_frame: a key frame would refresh all
    }
    let kind = bits.take(2)?;
    let shown = bits.flag()?;
    if !shown {
        bits.take(1)?; // showable_frame
    }
    if kind == SWITCH || (kind == KEY && shown) {
        return Some(0xff);
    }
    let resilient = bits.flag()?;
    bits.take(1)?; // disable_cdf_update
    let screen_content = match sequence.screen_content {
        Some(always) => always,
        None => bits.flag()?,
    };
    if screen_content && sequence.integer_mv.is_none() {
        bits.take(1)?; // force_integer_mv
    }
    bits.take(sequence.id_bits)?;
    bits.take(1)?; // frame_size_override_flag
    bits.take(sequence.order_bits)?;
    if !resilient && kind != KEY && kind != INTRA_ONLY {
        bits.take(3)?; // primary_ref_frame
    }
    bits.take(8)
}

/// Reads bits, the most significant first.
struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    /// The next bits as a number; `None` where the data ends. At most 32.
    fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = *self.data.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    fn skip_uvlc(&mut self) -> Option<()> {
        let mut zeros = 0;
        while zeros < 32 && !self.flag()? {
            zeros += 1;
        }
        self.take(zeros % 32).map(|_| ())
    }

    fn flag(&mut self) -> Option<bool> {
        self.take(1).map(|bit| bit == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_read_from_the_top_and_end() {
        let mut bits = Bits::new(&[0b1010_0000, 0xff]);
        assert_eq!((bits.take(3), bits.flag()), (Some(5), Some(false)));
        assert_eq!((bits.take(12), bits.take(1)), (Some(0xff), None));
    }

    #[test]
    fn damaged_units_are_kept() {
        let mut av1 = Av1::new(None);
        for unit in [
            &[][..],
            &[0x32],
            &[0x32, 0x05, 0],
            &[0x32, 0xff, 0xff],
            &[0x12, 0],
        ] {
            assert!(!av1.is_droppable(unit), "{unit:?}");
        }
    }
}
