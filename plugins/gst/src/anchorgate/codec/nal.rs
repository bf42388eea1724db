//! Splits access units into NAL units, and a decoder configuration into parameter sets.

/// How NAL units are delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Each NAL unit after a length of this many bytes.
    Length(usize),
    /// Each NAL unit after a start code.
    StartCode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    H264,
    H265,
    /// MPEG-1 or MPEG-2.
    Mpeg2,
}

/// The codec and its framing, if its units are read.
pub(super) fn framing(s: &gst::StructureRef) -> Option<(Codec, Framing)> {
    let codec = match s.name().as_str() {
        "video/x-h264" => Codec::H264,
        "video/x-h265" => Codec::H265,
        "video/mpeg" if matches!(s.get("mpegversion"), Ok(1i32 | 2)) => Codec::Mpeg2,
        _ => return None,
    };
    let framing = match s.get::<&str>("stream-format") {
        _ if codec == Codec::Mpeg2 => Framing::StartCode,
        Ok("byte-stream") => Framing::StartCode,
        _ => Framing::Length(length_size(codec, s)),
    };
    Some((codec, framing))
}

/// Bytes of each length field, from the decoder configuration; 4 if that has none.
fn length_size(codec: Codec, s: &gst::StructureRef) -> usize {
    let place = match codec {
        Codec::H264 => 4,
        Codec::H265 => 21,
        Codec::Mpeg2 => return 0,
    };
    let data = s.get::<gst::Buffer>("codec_data").ok();
    let map = data.as_ref().and_then(|data| data.map_readable().ok());
    map.and_then(|map| map.get(place).map(|byte| usize::from(byte & 3) + 1))
        .unwrap_or(4)
}

/// A NAL unit, cut at its end.
pub(super) fn ended(nal: &[u8], framing: Framing) -> &[u8] {
    match framing {
        Framing::StartCode => whole(nal),
        Framing::Length(_) => nal,
    }
}

pub(super) fn kind(codec: Codec, nal: &[u8]) -> Option<u8> {
    let first = *nal.first()?;
    Some(match codec {
        Codec::H264 => first & 0x1f,
        Codec::H265 => (first >> 1) & 0x3f,
        Codec::Mpeg2 => first,
    })
}

/// The NAL units of an access unit, without lengths or start codes. In a byte stream each reaches to the end of the access unit; [`ended`] cuts
/// it, as slices come last and are large. Stops at anything malformed.
pub(super) struct Nals<'a> {
    rest: &'a [u8],
    framing: Framing,
}

impl<'a> Nals<'a> {
    pub(super) fn new(unit: &'a [u8], framing: Framing) -> Self {
        Self {
            rest: unit,
            framing,
        }
    }
}

/// Position of `00 00 01`.
fn start_code(bytes: &[u8]) -> Option<usize> {
    bytes.windows(3).position(|three| three == [0, 0, 1])
}

/// A NAL unit of a byte stream up to its end; zeros before the next start code belong to the latter.
pub(super) fn whole(nal: &[u8]) -> &[u8] {
    let nal = start_code(nal).map_or(nal, |at| &nal[..at]);
    let length = nal.iter().rposition(|&byte| byte != 0);
    &nal[..length.map_or(0, |at| at + 1)]
}

impl<'a> Iterator for Nals<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        match self.framing {
            Framing::Length(size) => {
                let (length, rest) = self.rest.split_at_checked(size)?;
                let length = length
                    .iter()
                    .fold(0usize, |sum, &byte| sum << 8 | usize::from(byte));
                let (nal, rest) = rest.split_at_checked(length).unwrap_or((rest, &[]));
                self.rest = rest;
                Some(nal)
            }
            Framing::StartCode => {
                let at = start_code(self.rest)?;
                self.rest = &self.rest[at + 3..];
                Some(self.rest)
            }
        }
    }
}

/// Sequence and picture parameter sets of an H.264 decoder configuration (avcC; ISO/IEC 14496-15, 5.3.3.1), as far as its lengths hold.
/// h264-reader's own reader of these panics where a set is shorter than it says.
pub(super) fn parameter_sets(data: &[u8]) -> [Vec<&[u8]>; 2] {
    let mut found = [Vec::new(), Vec::new()];
    // configurationVersion, profile, compatibility, level, length size; then each kind of set after its count, each set after its length.
    let mut rest = data.get(5..).unwrap_or_default();
    for (sets, mask) in found.iter_mut().zip([0x1f, 0xff]) {
        let Some((count, more)) = rest.split_first() else {
            break;
        };
        rest = more;
        for _ in 0..count & mask {
            let Some((length, more)) = rest.split_first_chunk::<2>() else {
                return found;
            };
            let Some((set, more)) = more.split_at_checked(u16::from_be_bytes(*length).into())
            else {
                return found;
            };
            sets.push(set);
            rest = more;
        }
    }
    found
}
