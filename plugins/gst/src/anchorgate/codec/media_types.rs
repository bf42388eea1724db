//! The media types that the gate takes, and how it knows the keyframes of each.

/// How keyframes are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum KeyframeRule {
    /// By the marks of the container or parser.
    #[default]
    Marked,
    /// Every frame is one, whatever is marked.
    Every,
    /// By the first bit of an FFV1 frame.
    Ffv1,
    /// Only the first is sure, as marks may mean anything: everything after it is decoded.
    First,
}

/// Codecs whose keyframes containers mark reliably, as their frame headers show them to muxers.
const MARKED: &[&str] = &[
    "video/x-vp8",
    "video/x-vp9",
    "video/x-av1",
    "video/x-h263",
    "video/x-theora",
    "video/x-wmv",
    "video/x-msmpeg",
    "video/x-divx",
    "video/x-flash-video",
    "video/x-vp6",
    "video/x-vp6-flash",
];

/// Codecs without inter frames.
const EVERY: &[&str] = &[
    "image/jpeg",
    "image/png",
    "image/jp2",
    "image/x-j2c",
    "image/x-jpc",
    "image/bmp",
    "image/tiff",
    "image/webp",
    "image/x-exr",
    "video/x-raw",
    "video/x-dv",
    "video/x-prores",
    "video/x-dnxhd",
    "video/x-cineform",
    "video/x-huffyuv",
    "video/x-gst-av-ffvhuff",
    "video/x-lagarith",
    "video/x-loco",
    "video/x-mjpeg-b",
    "video/sp5x",
    "video/x-amv",
    "video/x-asus",
    "video/x-speedhq",
    "video/x-apple-intermediate-codec",
    "video/x-compressed-yuv",
    "video/x-cirrus-logic-accupak",
];

/// Codecs that GStreamer decodes and whose keyframes are unknown.
const FIRST: &[&str] = &[
    "video/x-4xm",
    "video/x-aasc",
    "video/x-apple-video",
    "video/x-ati-vcr",
    "video/x-camstudio",
    "video/x-camtasia",
    "video/x-cavs",
    "video/x-cinepak",
    "video/x-dirac",
    "video/x-flash-screen",
    "video/x-flash-screen2",
    "video/x-fli",
    "video/x-fraps",
    "video/x-h261",
    "video/x-indeo",
    "video/x-intel-h263",
    "video/x-kmvc",
    "video/x-mimic",
    "video/x-msvideocodec",
    "video/x-mszh",
    "video/x-nuv",
    "video/x-pn-realvideo",
    "video/x-qdrw",
    "video/x-rle",
    "video/x-smc",
    "video/x-svq",
    "video/x-truemotion",
    "video/x-tscc",
    "video/x-ultimotion",
    "video/x-vmnc",
    "video/x-vp3",
    "video/x-vp5",
    "video/x-vp6-alpha",
    "video/x-xan",
    "video/x-zmbv",
];

const FFV1: &str = "video/x-ffv";

/// How keyframes of a media type are known.
pub(super) fn keyframe_rule(media: &str) -> KeyframeRule {
    if EVERY.contains(&media) {
        KeyframeRule::Every
    } else if media == FFV1 {
        KeyframeRule::Ffv1
    } else if FIRST.contains(&media) {
        KeyframeRule::First
    } else {
        KeyframeRule::Marked
    }
}

/// Whether an FFV1 frame is a keyframe: its first bit, in a range coder whose states all begin at one half (RFC 9043, 3.8.1 and 4.4).
pub(super) fn is_ffv1_key(unit: &[u8]) -> bool {
    const HALF: u16 = 0x7f80;
    matches!(unit, [a, b, ..] if u16::from_be_bytes([*a, *b]) >= HALF)
}

/// All media types that the gate takes.
pub(in crate::anchorgate) fn caps() -> gst::Caps {
    let whole = |name: &str| {
        gst::Structure::builder(name)
            .field("alignment", "au")
            .build()
    };
    let mut caps = gst::Caps::builder_full()
        .structure(whole("video/x-h264"))
        .structure(whole("video/x-h265"))
        .structure(
            gst::Structure::builder("video/x-vp9")
                .field("alignment", "super-frame")
                .build(),
        )
        .structure(
            gst::Structure::builder("video/x-av1")
                .field("alignment", "tu")
                .build(),
        )
        .structure(
            gst::Structure::builder("video/mpeg")
                .field("mpegversion", gst::List::new([1i32, 2, 4]))
                .field("systemstream", false)
                .build(),
        );
    let listed = |name: &&&str| !matches!(**name, "video/x-vp9" | "video/x-av1");
    for name in MARKED.iter().filter(listed).chain(EVERY).chain(FIRST) {
        caps = caps.structure(gst::Structure::new_empty(*name));
    }
    caps.structure(gst::Structure::new_empty(FFV1)).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_codec_is_known_by_one_rule() {
        let all: Vec<_> = [MARKED, EVERY, FIRST].concat();
        for (n, name) in all.iter().enumerate() {
            assert!(!all[..n].contains(name), "{name} is listed twice");
        }
        assert_eq!(keyframe_rule("image/jpeg"), KeyframeRule::Every);
        assert_eq!(keyframe_rule("video/x-vp8"), KeyframeRule::Marked);
        assert_eq!(keyframe_rule("video/x-zmbv"), KeyframeRule::First);
    }

    #[test]
    fn ffv1_marks_keyframes_by_its_first_bit() {
        assert!(is_ffv1_key(&[0x7f, 0x80]));
        assert!(!is_ffv1_key(&[0x7f, 0x7f, 0xff]));
        assert!(!is_ffv1_key(&[0xff]));
    }
}
