//! The seal of a finished file: it follows the HDF5 part and shows damage to its structure before HDF5 reads it.
//!
//! HDF5 trusts shapes, types and addresses in a file; one flipped bit there can crash it. So everything except the chunks of rows is hashed
//! when a file is closed, and again before it is opened. The chunks have checksums of their own, which HDF5 checks first. Other programs
//! ignore the seal, as HDF5 ends where its superblock says. The end of the file, little-endian:
//!
//! | bytes | |
//! |---|---|
//! | 16 n | address and length of each extent of rows, ascending |
//! | 8 | length of the HDF5 part |
//! | 8 | n |
//! | 32 | SHA-256 of the HDF5 part without those extents, and of all of the above |
//! | 16 | [`MAGIC`] |

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use sha2::{Digest, Sha256};

/// How a sealed file ends.
const MAGIC: [u8; 16] = *b"\nearmark seal 1\n";
/// Bytes of a seal without its extents.
const FIXED: u64 = 64;
/// Bytes of an extent.
const EXTENT: u64 = 16;
/// Bytes hashed at a time.
const BLOCK: usize = 64 << 10;

/// An extent of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) at: u64,
    pub(super) bytes: u64,
}

/// Why a file's structure cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub(super) enum SealError {
    #[error("it has no seal: its end is cut off or damaged, or another program changed it")]
    Missing,
    #[error("its structure differs from what was written: it is damaged")]
    Differs,
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Seals a closed file. `rows`: where its rows are.
pub(super) fn append(file: &File, mut rows: Vec<Extent>) -> io::Result<()> {
    let inner = file.metadata()?.len();
    rows.sort_by_key(|extent| extent.at);
    // Merge extents that touch.
    rows.dedup_by(|next, last| {
        let touch = last.at + last.bytes == next.at;
        if touch {
            last.bytes += next.bytes;
        }
        touch
    });
    let mut seal: Vec<u8> = Vec::new();
    for extent in &rows {
        seal.extend(extent.at.to_le_bytes());
        seal.extend(extent.bytes.to_le_bytes());
    }
    seal.extend(inner.to_le_bytes());
    seal.extend((rows.len() as u64).to_le_bytes());
    let digest = digest(file, inner, &rows, &seal)?;
    seal.extend(digest.ok_or_else(|| io::Error::other("chunks overlap"))?);
    seal.extend(MAGIC);
    file.write_all_at(&seal, inner)
}

/// Checks that a file's structure is as it was written.
pub(super) fn verify(file: &File) -> Result<(), SealError> {
    let length = file.metadata()?.len();
    let mut fixed = [0; FIXED as usize];
    let Some(at) = length.checked_sub(FIXED) else {
        return Err(SealError::Missing);
    };
    file.read_exact_at(&mut fixed, at)?;
    let (numbers, rest) = fixed.split_at(16);
    let (said, magic) = rest.split_at(32);
    if magic != MAGIC {
        return Err(SealError::Missing);
    }
    let (inner, count) = (number(numbers), number(&numbers[8..]));
    let whole = count
        .checked_mul(EXTENT)
        .and_then(|bytes| bytes.checked_add(inner)?.checked_add(FIXED));
    if whole != Some(length) {
        return Err(SealError::Missing);
    }
    // At most as long as the file.
    let mut seal = vec![0; (count * EXTENT) as usize];
    file.read_exact_at(&mut seal, inner)?;
    let rows: Vec<Extent> = seal
        .chunks_exact(EXTENT as usize)
        .map(|bytes| Extent {
            at: number(bytes),
            bytes: number(&bytes[8..]),
        })
        .collect();
    seal.extend_from_slice(numbers);
    match digest(file, inner, &rows, &seal)?.is_some_and(|digest| digest == said) {
        true => Ok(()),
        false => Err(SealError::Differs),
    }
}

/// The first eight bytes as a number; 0 if there are fewer.
fn number(bytes: &[u8]) -> u64 {
    bytes
        .first_chunk()
        .map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// SHA-256 of everything outside these extents, then of `and`; `None` if they overlap.
fn digest(file: &File, inner: u64, rows: &[Extent], and: &[u8]) -> io::Result<Option<[u8; 32]>> {
    let mut digest = Sha256::new();
    let mut block = vec![0; BLOCK];
    let mut at = 0;
    let end = Extent {
        at: inner,
        bytes: 0,
    };
    for extent in rows.iter().chain([&end]) {
        if extent.at < at || extent.at > inner {
            return Ok(None);
        }
        while at < extent.at {
            let some = (extent.at - at).min(BLOCK as u64) as usize;
            file.read_exact_at(&mut block[..some], at)?;
            digest.update(&block[..some]);
            at += some as u64;
        }
        at = at.saturating_add(extent.bytes);
    }
    digest.update(and);
    Ok(Some(digest.finalize().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(bytes: &[u8], rows: &[(u64, u64)]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(bytes, 0).unwrap();
        let rows = rows.iter().map(|&(at, bytes)| Extent { at, bytes });
        append(&file, rows.collect()).unwrap();
        file
    }

    #[test]
    fn every_bit_but_those_of_rows_is_held() {
        let file = sealed(&[7; 100], &[(60, 10), (20, 5), (25, 5)]);
        verify(&file).unwrap();
        let length = file.metadata().unwrap().len();
        assert_eq!(length, 100 + 2 * EXTENT + FIXED);
        let rows = |at: u64| (20..30).contains(&at) || (60..70).contains(&at);
        for at in 0..length {
            for bit in 0..8 {
                let mut byte = [0];
                file.read_exact_at(&mut byte, at).unwrap();
                file.write_all_at(&[byte[0] ^ 1 << bit], at).unwrap();
                assert_eq!(verify(&file).is_ok(), rows(at), "bit {bit} of {at}");
                file.write_all_at(&byte, at).unwrap();
            }
        }
        verify(&file).unwrap();
    }

    #[test]
    fn cut_and_grown_files_are_not_sealed() {
        for by in [-1, 1, -30, 1000] {
            let file = sealed(&[7; 100], &[(20, 5)]);
            let length = file.metadata().unwrap().len();
            file.set_len(length.saturating_add_signed(by)).unwrap();
            assert!(matches!(verify(&file), Err(SealError::Missing)), "{by}");
        }
        let empty = tempfile::tempfile().unwrap();
        assert!(matches!(verify(&empty), Err(SealError::Missing)));
    }
}
