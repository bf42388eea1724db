//! Maps GStreamer elements and decoders to Debian packages.

/// One line per package: its name, then its elements, from the `Gstreamer-Elements` field of Debian 12's package lists.
/// The elements of gstreamer1.0-libav are recognised by prefix.
const ELEMENTS: &str = include_str!("packages.txt");

/// The Debian package of an element; `None` if unknown.
pub fn of_element(factory: &str) -> Option<&'static str> {
    if ["avdec_", "avenc_", "avdemux_", "avmux_"]
        .iter()
        .any(|prefix| factory.starts_with(prefix))
    {
        return Some("gstreamer1.0-libav");
    }
    if factory.starts_with("vaapi") {
        return Some("gstreamer1.0-vaapi");
    }
    ELEMENTS.lines().find_map(|line| {
        let (package, elements) = line.split_once(": ")?;
        elements
            .split(' ')
            .any(|element| element == factory)
            .then_some(package)
    })
}

/// All known element names.
pub fn elements() -> impl Iterator<Item = &'static str> {
    ELEMENTS
        .lines()
        .filter_map(|line| line.split_once(": "))
        .flat_map(|(_, elements)| elements.split(' '))
}

/// The element and Debian package that decode a media type, for common codecs.
pub fn of_decoder(media: &str) -> Option<(&'static str, &'static str)> {
    Some(match media {
        "video/x-vp8" => ("vp8dec", "gstreamer1.0-plugins-good"),
        "video/x-vp9" => ("vp9dec", "gstreamer1.0-plugins-good"),
        "video/x-av1" => ("av1dec", "gstreamer1.0-plugins-bad"),
        "video/x-theora" => ("theoradec", "gstreamer1.0-plugins-base"),
        "image/jpeg" => ("jpegdec", "gstreamer1.0-plugins-good"),
        "audio/x-opus" => ("opusdec", "gstreamer1.0-plugins-base"),
        "audio/x-vorbis" => ("vorbisdec", "gstreamer1.0-plugins-base"),
        "audio/x-flac" => ("flacdec", "gstreamer1.0-plugins-good"),
        "video/x-h264" => ("avdec_h264", "gstreamer1.0-libav"),
        "video/x-h265" => ("avdec_h265", "gstreamer1.0-libav"),
        "video/mpeg" => ("avdec_mpeg4", "gstreamer1.0-libav"),
        "video/x-prores" => ("avdec_prores", "gstreamer1.0-libav"),
        "video/x-wmv" => ("avdec_wmv3", "gstreamer1.0-libav"),
        "audio/mpeg" => ("avdec_aac", "gstreamer1.0-libav"),
        "audio/x-ac3" | "audio/x-eac3" => ("avdec_ac3", "gstreamer1.0-libav"),
        "audio/x-alac" => ("avdec_alac", "gstreamer1.0-libav"),
        "audio/x-wma" => ("avdec_wmav2", "gstreamer1.0-libav"),
        _ => return None,
    })
}

/// The element and Debian package that read a container, by media type.
pub fn of_demuxer(media: &str) -> Option<(&'static str, &'static str)> {
    Some(match media {
        "video/quicktime" | "audio/x-m4a" | "application/x-3gp" => {
            ("qtdemux", "gstreamer1.0-plugins-good")
        }
        "video/x-matroska" | "audio/x-matroska" | "video/webm" | "audio/webm" => {
            ("matroskademux", "gstreamer1.0-plugins-good")
        }
        "video/mpegts" => ("tsdemux", "gstreamer1.0-plugins-bad"),
        "video/x-msvideo" => ("avidemux", "gstreamer1.0-plugins-good"),
        "audio/x-wav" => ("wavparse", "gstreamer1.0-plugins-good"),
        "application/ogg" => ("oggdemux", "gstreamer1.0-plugins-base"),
        "video/x-flv" => ("flvdemux", "gstreamer1.0-plugins-good"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_of_the_pipelines_have_their_packages() {
        for (element, package) in [
            ("parsebin", "gstreamer1.0-plugins-base"),
            ("audioresample", "gstreamer1.0-plugins-base"),
            ("qtdemux", "gstreamer1.0-plugins-good"),
            ("tsdemux", "gstreamer1.0-plugins-bad"),
            ("x264enc", "gstreamer1.0-plugins-ugly"),
            ("avdec_h264", "gstreamer1.0-libav"),
        ] {
            assert_eq!(of_element(element), Some(package), "{element}");
        }
        assert_eq!(of_element("nosuchelement"), None);
    }
}
