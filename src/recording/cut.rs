//! Detects a file that ends before its container says it should: MP4 and its kin, Matroska, RIFF.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Most top-level boxes of an MP4 file that are read.
const MOST_BOXES: usize = 10_000;

/// The size that the container announces and the size of the file, if the file is shorter.
pub(crate) fn cut_off(path: &Path) -> Option<(u64, u64)> {
    let mut file = File::open(path).ok()?;
    let there = file.metadata().ok().filter(|about| about.is_file())?.len();
    let mut head = [0; 64];
    let n = read(&mut file, &mut head);
    let named = named(&mut file, head.get(..n)?, there)?;
    (named > there).then_some((named, there))
}

/// Reads up to as many bytes as there are.
fn read(file: &mut File, into: &mut [u8]) -> usize {
    let mut n = 0;
    while n < into.len() {
        match into.get_mut(n..).map(|rest| file.read(rest)) {
            Some(Ok(more)) if more > 0 => n += more,
            _ => break,
        }
    }
    n
}

fn named(file: &mut File, head: &[u8], there: u64) -> Option<u64> {
    match (head.get(..4)?, head.get(4..8)?) {
        (b"RIFF", size) => Some(8 + u64::from(u32::from_le_bytes(size.try_into().ok()?))),
        ([0x1a, 0x45, 0xdf, 0xa3], _) => matroska(head),
        (_, b"ftyp") => boxes(file, there),
        _ => None,
    }
}

/// End of the last box. A box of size 0 extends to the end of the file.
fn boxes(file: &mut File, there: u64) -> Option<u64> {
    let mut at = 0;
    for _ in 0..MOST_BOXES {
        if at + 8 > there {
            // A torn header also means that the file is cut off.
            return (at < there).then_some(at + 8);
        }
        file.seek(SeekFrom::Start(at)).ok()?;
        let mut head = [0; 16];
        let n = read(file, &mut head);
        let size = match u32::from_be_bytes(head.get(..4)?.try_into().ok()?) {
            0 => return None,
            1 if n == 16 => u64::from_be_bytes(head.get(8..)?.try_into().ok()?),
            small => u64::from(small),
        };
        if size < 8 || !head.get(4..8)?.iter().all(|byte| (32..127).contains(byte)) {
            return None; // no box: damage of another kind
        }
        at = at.checked_add(size)?;
        if at >= there {
            return Some(at);
        }
    }
    None
}

/// End of the segment, if its length is known: EBML header, then segment.
fn matroska(head: &[u8]) -> Option<u64> {
    let (size, length) = number(head.get(4..)?)?;
    let segment = usize::try_from(4 + u64::from(length) + size?).ok()?;
    if head.get(segment..segment + 4)? != [0x18, 0x53, 0x80, 0x67] {
        return None;
    }
    let (size, length) = number(head.get(segment + 4..)?)?;
    (segment as u64 + 4 + u64::from(length)).checked_add(size?)
}

/// An EBML number and its own length; all ones mean unknown.
fn number(bytes: &[u8]) -> Option<(Option<u64>, u32)> {
    let first = *bytes.first()?;
    let length = first.leading_zeros() + 1;
    if length > 8 {
        return None;
    }
    let mut value = u64::from(first) & ((1 << (8 - length)) - 1);
    for byte in bytes.get(1..length as usize)? {
        value = value << 8 | u64::from(*byte);
    }
    let unknown = value == (1 << (7 * length)) - 1;
    Some(((!unknown).then_some(value), length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Option<(u64, u64)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, bytes).unwrap();
        cut_off(&path)
    }

    fn mp4(mdat: usize) -> Vec<u8> {
        let mut bytes = b"\0\0\0\x10ftypisom\0\0\0\0".to_vec();
        bytes.extend((mdat as u32 + 8).to_be_bytes());
        bytes.extend(b"mdat");
        bytes.resize(bytes.len() + mdat, 1);
        bytes
    }

    #[test]
    fn a_whole_file_is_not_cut_off() {
        assert_eq!(of(&mp4(100)), None);
        assert_eq!(of(b"RIFF\x04\0\0\0WAVE"), None);
        let whole = [b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67\x83", &b"xyz"[..]].concat();
        assert_eq!(of(&whole), None);
        assert_eq!(of(b""), None);
        assert_eq!(of(b"nothing of the kind"), None);
    }

    #[test]
    fn a_file_shorter_than_its_container_says_is() {
        assert_eq!(of(&mp4(100)[..80]), Some((124, 80)));
        assert_eq!(of(b"RIFF\x10\0\0\0WAVE"), Some((24, 12)));
        let cut = [b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67\x83", &b"x"[..]].concat();
        assert_eq!(of(&cut), Some((15, 13)));
    }

    #[test]
    fn a_stream_of_unknown_length_cannot_be() {
        let live = b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xffx";
        assert_eq!(of(live), None);
    }
}
