//! Reads the video tracks of an MP4 file, including those that GStreamer hides (ISO/IEC 14496-12).

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Most boxes that are read on one level.
const MOST_BOXES: usize = 10_000;
/// Largest box that is read, in bytes.
const MOST_BYTES: u64 = 1 << 16;

/// A video track.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct VideoTrack {
    /// Duration of the track and of the whole file, seconds.
    pub seconds: (f64, f64),
    /// Number of edits that show something; 1 if the track is shown as it is.
    pub edits: usize,
}

impl VideoTrack {
    /// Whether GStreamer's demuxer skips it as a preview: it lasts less than a fifth of the file.
    pub(crate) fn is_left_out(&self) -> bool {
        self.seconds.0 * 5.0 < self.seconds.1
    }
}

/// The video tracks of a file; none if it is not an MP4 file or cannot be read.
pub(crate) fn video_tracks(path: &Path) -> Vec<VideoTrack> {
    File::open(path)
        .ok()
        .and_then(|mut file| tracks(&mut file))
        .unwrap_or_default()
}

/// A box: its kind, and the start and end of its contents.
#[derive(Clone, Copy)]
struct Box {
    kind: [u8; 4],
    from: u64,
    to: u64,
}

fn tracks(file: &mut File) -> Option<Vec<VideoTrack>> {
    let length = file.metadata().ok()?.len();
    let all = Box {
        kind: *b"file",
        from: 0,
        to: length,
    };
    let top = boxes(file, all)?;
    if top.first()?.kind != *b"ftyp" {
        return None;
    }
    let movie = boxes(file, *of(&top, b"moov")?)?;
    // In fragmented files, these durations do not include the fragments.
    if of(&movie, b"mvex").is_some() {
        return None;
    }
    let header = contents(file, of(&movie, b"mvhd")?)?;
    let wide = header.first()? == &1;
    let scale = number(&header, if wide { 20 } else { 12 }, false)? as f64;
    let whole = number(&header, if wide { 24 } else { 16 }, wide)? as f64 / scale;
    let mut found = Vec::new();
    for track in movie.iter().filter(|inner| inner.kind == *b"trak") {
        let inner = boxes(file, *track)?;
        let media = boxes(file, *of(&inner, b"mdia")?)?;
        let handler = contents(file, of(&media, b"hdlr")?)?;
        if handler.get(8..12)? != b"vide" {
            continue;
        }
        let header = contents(file, of(&inner, b"tkhd")?)?;
        let wide = header.first()? == &1;
        let lasts = number(&header, if wide { 28 } else { 20 }, wide)? as f64 / scale;
        let edits = match of(&inner, b"edts") {
            Some(list) => edits(file, *list).unwrap_or(1),
            None => 1,
        };
        found.push(VideoTrack {
            seconds: (lasts, whole),
            edits,
        });
    }
    Some(found)
}

/// Edits that show something.
fn edits(file: &mut File, list: Box) -> Option<usize> {
    let inner = boxes(file, list)?;
    let list = contents(file, of(&inner, b"elst")?)?;
    let wide = list.first()? == &1;
    let (size, media) = if wide { (20, 8) } else { (12, 4) };
    let count = usize::try_from(number(&list, 4, false)?).ok()?;
    let entries = list.get(8..)?.chunks_exact(size).take(count);
    let empty = |entry: &&[u8]| entry.get(media..media + 4) == Some(&[0xff; 4]);
    Some(entries.filter(|entry| !empty(entry)).count())
}

fn of<'a>(boxes: &'a [Box], kind: &[u8; 4]) -> Option<&'a Box> {
    boxes.iter().find(|inner| inner.kind == *kind)
}

fn boxes(file: &mut File, outer: Box) -> Option<Vec<Box>> {
    let mut found = Vec::new();
    let mut at = outer.from;
    while at + 8 <= outer.to && found.len() < MOST_BOXES {
        file.seek(SeekFrom::Start(at)).ok()?;
        let mut head = [0; 16];
        file.read_exact(&mut head[..8]).ok()?;
        let small = u64::from(u32::from_be_bytes(*head.first_chunk()?));
        let kind = [head[4], head[5], head[6], head[7]];
        let (size, length) = match small {
            0 => (outer.to - at, 8),
            1 => {
                file.read_exact(&mut head[8..]).ok()?;
                (u64::from_be_bytes(*head[8..].first_chunk()?), 16)
            }
            small => (small, 8),
        };
        let to = at.checked_add(size)?;
        if size < length || to > outer.to {
            break;
        }
        found.push(Box {
            kind,
            from: at + length,
            to,
        });
        at = to;
    }
    Some(found)
}

fn contents(file: &mut File, of: &Box) -> Option<Vec<u8>> {
    let length = (of.to - of.from).min(MOST_BYTES);
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    file.seek(SeekFrom::Start(of.from)).ok()?;
    file.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

/// A number of 4 bytes, or 8 if `wide`.
fn number(bytes: &[u8], at: usize, wide: bool) -> Option<u64> {
    let bytes = bytes.get(at..)?;
    Some(match wide {
        true => u64::from_be_bytes(*bytes.first_chunk()?),
        false => u64::from(u32::from_be_bytes(*bytes.first_chunk()?)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_box(kind: &[u8; 4], contents: &[u8]) -> Vec<u8> {
        let length = u32::try_from(contents.len() + 8).unwrap();
        [&length.to_be_bytes()[..], kind, contents].concat()
    }

    /// A file of 10 s with one video track of this many milliseconds, with edits at these media times.
    fn film(lasts: u32, edits: &[i32]) -> Vec<u8> {
        let words = |words: &[u32]| {
            words
                .iter()
                .flat_map(|word| word.to_be_bytes())
                .collect::<Vec<_>>()
        };
        let mut list = words(&[0, edits.len() as u32]);
        for &at in edits {
            list.extend(words(&[1000, at as u32, 1 << 16]));
        }
        let track = [
            a_box(b"tkhd", &words(&[0, 0, 0, 1, 0, lasts])),
            a_box(b"edts", &a_box(b"elst", &list)),
            a_box(b"mdia", &a_box(b"hdlr", b"\0\0\0\0\0\0\0\0vide\0\0\0\0")),
        ];
        let movie = [
            a_box(b"mvhd", &words(&[0, 0, 0, 1000, 10_000])),
            a_box(b"trak", &track.concat()),
        ];
        [a_box(b"ftyp", b"isom"), a_box(b"moov", &movie.concat())].concat()
    }

    fn of_bytes(bytes: &[u8]) -> Vec<VideoTrack> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, bytes).unwrap();
        video_tracks(&path)
    }

    #[test]
    fn a_track_and_its_edits_are_found() {
        let found = of_bytes(&film(1500, &[-1, 0, 500]));
        assert_eq!(
            found,
            [VideoTrack {
                seconds: (1.5, 10.0),
                edits: 2
            }]
        );
        assert!(found[0].is_left_out());
        assert!(!of_bytes(&film(2000, &[0]))[0].is_left_out());
    }

    #[test]
    fn cut_and_foreign_files_have_no_tracks() {
        let film = film(1500, &[0]);
        for end in 0..film.len() {
            assert!(of_bytes(&film[..end]).is_empty(), "{end}");
        }
        assert!(of_bytes(b"\x1a\x45\xdf\xa3").is_empty());
    }
}
