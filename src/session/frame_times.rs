//! Stores the time of every frame of a recording in a temporary file.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};

use anchoring::time::Nanos;
use anyhow::Context;

/// Longest reordering: no codec in use reorders further than this.
const REORDER: usize = 17;

/// Frame times: written in decoding order, read back in display order.
#[derive(Debug, Default)]
pub(super) struct FrameTimes {
    file: Option<BufWriter<File>>,
    failed: Option<io::Error>,
    next: BinaryHeap<Reverse<Nanos>>,
    last: Option<Nanos>,
}

impl FrameTimes {
    /// The next frame in decoding order.
    pub(super) fn note(&mut self, at: Nanos) {
        self.next.push(Reverse(at));
        if self.next.len() > REORDER {
            self.write();
        }
    }

    /// Writes the earliest waiting time. A time that comes too late is dropped: its frame duplicates another or is not shown.
    fn write(&mut self) {
        let Some(Reverse(at)) = self.next.pop() else {
            return;
        };
        if self.failed.is_some() || self.last.is_some_and(|last| at <= last) {
            return;
        }
        self.last = Some(at);
        if let Err(error) = self.append(at) {
            self.failed = Some(error);
        }
    }

    fn append(&mut self, at: Nanos) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(BufWriter::new(tempfile::tempfile()?));
        }
        let file = self.file.as_mut();
        file.map_or(Ok(()), |file| file.write_all(&at.get().to_le_bytes()))
    }

    /// All times, ascending.
    pub(super) fn times(mut self) -> anyhow::Result<impl Iterator<Item = Nanos>> {
        while !self.next.is_empty() {
            self.write();
        }
        let file = match (self.failed, self.file) {
            (Some(error), _) => Err(error),
            (None, None) => Ok(None),
            (None, Some(file)) => file.into_inner().map_err(io::Error::from).map(Some),
        };
        let doing = "cannot write frame times to a temporary file; is the disk full?";
        let mut file = file.context(doing)?;
        if let Some(file) = &mut file {
            file.rewind().context(doing)?;
        }
        let mut file = file.map(BufReader::new);
        Ok(std::iter::from_fn(move || {
            let mut time = [0; 8];
            file.as_mut()?.read_exact(&mut time).ok()?;
            Some(Nanos::new(i64::from_le_bytes(time)))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back_in_the_order_in_which_they_are_shown() {
        let mut times = FrameTimes::default();
        let all: Vec<_> = (0..1_000).map(|i| Nanos::from_ms(40 * i)).collect();
        // Every fourth frame is decoded before the three that are shown before it.
        for four in all.chunks(4) {
            for i in [3, 1, 0, 2] {
                times.note(four[i]);
            }
        }
        assert!(times.times().unwrap().eq(all));
        assert_eq!(FrameTimes::default().times().unwrap().count(), 0);
    }
}
