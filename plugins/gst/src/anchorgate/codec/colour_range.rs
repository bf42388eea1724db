//! Caps of encoded pictures whose colours are wrong: qtdemux (GStreamer 1.22) takes every MP4 file's colours for limited range.

use super::nal::{Codec, framing, parameter_sets};

use h264_reader::nal::sps::SeqParameterSet;
use h264_reader::nal::{Nal, RefNal};

/// The caps with colours put right, if they have to be. What the pictures themselves say goes first.
pub(in crate::anchorgate) fn put_right(caps: &gst::CapsRef) -> Option<gst::Caps> {
    let s = caps.structure(0)?;
    let said: gst_video::VideoColorimetry = s.get::<&str>("colorimetry").ok()?.parse().ok()?;
    if said.range() == gst_video::VideoColorRange::Range0_255 {
        return None;
    }
    match framing(s) {
        Some((Codec::H264, _)) => {
            let data = s.get::<gst::Buffer>("codec_data").ok()?;
            let data = data.map_readable().ok()?;
            let full = parameter_sets(&data)[0]
                .iter()
                .any(|set| is_full_range(set));
            full.then(|| {
                let right = gst_video::VideoColorimetry::new(
                    gst_video::VideoColorRange::Range0_255,
                    said.matrix(),
                    said.transfer(),
                    said.primaries(),
                );
                let mut caps = caps.to_owned();
                let made = caps.make_mut();
                made.set("colorimetry", right.to_string());
                caps
            })
        }
        // Parsers and decoders find it in the pictures where the caps are silent.
        Some((Codec::H265, _)) => Some(silent(caps)),
        _ if s.name() == "video/x-av1" => Some(silent(caps)),
        _ => None,
    }
}

fn silent(caps: &gst::CapsRef) -> gst::Caps {
    let mut caps = caps.to_owned();
    for s in caps.make_mut().iter_mut() {
        s.remove_field("colorimetry");
    }
    caps
}

/// Whether an H.264 parameter set says that numbers reach over 0..=255 (ITU-T H.264, E.2.1).
fn is_full_range(nal: &[u8]) -> bool {
    if nal.first().is_none_or(|byte| byte & 0x1f != 7) {
        return false;
    }
    let set = SeqParameterSet::from_bits(RefNal::new(nal, &[], true).rbsp_bits()).ok();
    let signal = set
        .and_then(|set| set.vui_parameters)
        .and_then(|vui| vui.video_signal_type);
    signal.is_some_and(|signal| signal.video_full_range_flag)
}
