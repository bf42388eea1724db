//! Corrects the colour range of caps: qtdemux (GStreamer 1.22) takes every MP4 file for limited range.

use super::nal::{Codec, framing, parameter_sets};

use h264_reader::nal::sps::SeqParameterSet;
use h264_reader::nal::{Nal, RefNal};

/// Corrected caps, if need be: what the video itself says has priority.
pub(in crate::anchorgate) fn corrected(caps: &gst::CapsRef) -> Option<gst::Caps> {
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
                let correct = gst_video::VideoColorimetry::new(
                    gst_video::VideoColorRange::Range0_255,
                    said.matrix(),
                    said.transfer(),
                    said.primaries(),
                );
                let mut caps = caps.to_owned();
                let made = caps.make_mut();
                made.set("colorimetry", correct.to_string());
                caps
            })
        }
        // Without colorimetry in the caps, parsers and decoders take it from the video.
        Some((Codec::H265, _)) => Some(without_colorimetry(caps)),
        _ if s.name() == "video/x-av1" => Some(without_colorimetry(caps)),
        _ => None,
    }
}

fn without_colorimetry(caps: &gst::CapsRef) -> gst::Caps {
    let mut caps = caps.to_owned();
    for s in caps.make_mut().iter_mut() {
        s.remove_field("colorimetry");
    }
    caps
}

/// Whether an H.264 parameter set says full range, 0..=255 (ITU-T H.264, E.2.1).
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
