//! Reads the codec name that a container gives its video, for codecs that GStreamer cannot name.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Stream descriptions lie within this many bytes.
const HEAD: u64 = 1 << 16;

/// The video codec of a Matroska or AVI file.
pub(super) fn named(path: &Path) -> Option<String> {
    let mut head = Vec::new();
    let file = File::open(path).ok()?;
    file.take(HEAD).read_to_end(&mut head).ok()?;
    of_bytes(&head)
}

fn of_bytes(head: &[u8]) -> Option<String> {
    let name = match head {
        [0x1a, 0x45, 0xdf, 0xa3, ..] => matroska(head)?,
        [b'R', b'I', b'F', b'F', ..] => {
            // The stream header's handler (RIFF, AVISTREAMHEADER).
            let at = head.windows(4).position(|four| four == b"vids")?;
            head.get(at + 4..at + 8)?
        }
        _ => return None,
    };
    let printable = name
        .iter()
        .all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    (printable && !name.is_empty()).then(|| String::from_utf8_lossy(name).trim().to_owned())
}

/// The first video CodecID; for those that stand for Windows codecs, the code in their private data.
fn matroska(head: &[u8]) -> Option<&[u8]> {
    let id = |at: &usize| head[*at] == 0x86 && head.get(at + 2..at + 4) == Some(b"V_");
    let at = (0..head.len()).find(id)?;
    let length = usize::from(head[at + 1] & 0x7f);
    let name = head.get(at + 2..)?.get(..length)?;
    if name != b"V_MS/VFW/FOURCC" {
        return Some(name);
    }
    // BITMAPINFOHEADER: its size, and biCompression after twelve more bytes.
    let rest = head.get(at..)?;
    let header = rest
        .windows(4)
        .position(|four| four[0] >= 40 && four[1..] == [0; 3])?;
    rest.get(header + 16..header + 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codecs_have_the_name_that_the_container_gives_them() {
        let mkv = b"\x1a\x45\xdf\xa3....\x86\x86A_OPUS\x86\x87V_WEBP2....";
        assert_eq!(of_bytes(mkv).as_deref(), Some("V_WEBP2"));
        let vfw = [
            &b"\x1a\x45\xdf\xa3\x86\x8fV_MS/VFW/FOURCC\x63\xa2\xa8"[..],
            &[40, 0, 0, 0],
            &[1; 12],
            b"AVdh",
        ]
        .concat();
        assert_eq!(of_bytes(&vfw).as_deref(), Some("AVdh"));
        let avi = b"RIFF....AVI LIST....hdrlstrh....vidsULY0....";
        assert_eq!(of_bytes(avi).as_deref(), Some("ULY0"));
        for odd in [
            &b""[..],
            b"RIFFvids",
            b"RIFFvids\0\0\0\0",
            b"\x1a\x45\xdf\xa3\x86\xffV_",
        ] {
            assert_eq!(of_bytes(odd), None);
        }
    }
}
