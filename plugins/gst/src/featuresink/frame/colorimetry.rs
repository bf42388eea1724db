//! Caps of decoded frames with a known range and no matrix, which GStreamer would take for limited range.

use gst_video::{VideoColorMatrix, VideoColorRange, VideoColorimetry};

/// Up to this height a frame is standard definition, which has its own matrix.
const STANDARD: i32 = 576;

/// The caps with the likeliest matrix, where a full-range frame names none.
pub(in super::super) fn with_matrix(caps: &gst::Caps) -> gst::Caps {
    let named_by = |s: &gst::StructureRef| -> Option<VideoColorimetry> {
        let said: VideoColorimetry = s.get::<&str>("colorimetry").ok()?.parse().ok()?;
        let yuv = matches!(s.get("format"), Ok("I420" | "NV12"));
        let unnamed = said.matrix() == VideoColorMatrix::Unknown
            && said.range() == VideoColorRange::Range0_255;
        let matrix = match s.get::<i32>("height").ok()? {
            ..=STANDARD => VideoColorMatrix::Bt601,
            _ => VideoColorMatrix::Bt709,
        };
        let named = VideoColorimetry::new(said.range(), matrix, said.transfer(), said.primaries());
        (yuv && unnamed).then_some(named)
    };
    let mut caps = caps.clone();
    if let Some(named) = caps.structure(0).and_then(named_by) {
        caps.make_mut().set("colorimetry", named.to_string());
    }
    caps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(colorimetry: &str, height: i32) -> (VideoColorRange, VideoColorMatrix) {
        gst::init().unwrap();
        let caps = gst_video::VideoCapsBuilder::new()
            .format(gst_video::VideoFormat::I420)
            .width(320)
            .height(height)
            .framerate((25, 1).into())
            .field("colorimetry", colorimetry)
            .build();
        let info = gst_video::VideoInfo::from_caps(&with_matrix(&caps)).unwrap();
        (info.colorimetry().range(), info.colorimetry().matrix())
    }

    #[test]
    fn full_range_stays_full_without_a_matrix() {
        let full = VideoColorRange::Range0_255;
        assert_eq!(range("1:0:0:0", 240), (full, VideoColorMatrix::Bt601));
        assert_eq!(range("1:0:0:0", 720), (full, VideoColorMatrix::Bt709));
        assert_eq!(range("1:3:5:1", 240), (full, VideoColorMatrix::Bt709));
        let limited = VideoColorRange::Range16_235;
        assert_eq!(range("bt601", 240), (limited, VideoColorMatrix::Bt601));
        assert_eq!(range("bt709", 240), (limited, VideoColorMatrix::Bt709));
    }
}
