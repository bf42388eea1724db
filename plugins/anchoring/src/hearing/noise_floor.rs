//! Mel frames -> the noise floor, streaming: the 20 % quantile of each band over the last ten seconds.

use std::collections::VecDeque;

use crate::hearing::mel::BANDS;
use crate::hearing::simd::vectorized;

/// Mel frames in a block.
pub const BLOCK: usize = 10;
/// Blocks in memory: 10 s.
const BLOCKS: usize = 100;
/// The floor is computed at every block of the first [`EAGER`], then at every fifth.
const REFRESH: u64 = 5;
const EAGER: u64 = 25;
/// The quantile.
const SHARE: f32 = 0.2;

type Row = [f32; BANDS];

/// Mel frames in. Every tenth frame completes a block and yields the floor of its frames: the 20 % quantile (linear)
/// of the means of the last 100 blocks, this one included, as last computed (every 0.5 s, and at every block of the
/// first 2.5 s).
#[derive(Clone, Debug)]
pub struct NoiseFloor {
    /// Sum of the frames of the block that is being filled.
    sum: Row,
    filled: usize,
    /// Means of the last blocks, oldest first.
    means: VecDeque<Row>,
    blocks: u64,
    floor: Row,
}

impl Default for NoiseFloor {
    fn default() -> Self {
        Self::new()
    }
}

impl NoiseFloor {
    /// A stream that has seen no frame yet.
    pub fn new() -> Self {
        Self {
            sum: [0.0; BANDS],
            filled: 0,
            means: VecDeque::with_capacity(BLOCKS),
            blocks: 0,
            floor: [0.0; BANDS],
        }
    }

    /// Takes a mel frame (`[64]` magnitudes, finite and not negative). Returns the floor, in magnitudes, when the
    /// frame completes a block.
    pub fn push(&mut self, mel: &Row) -> Option<&Row> {
        for (sum, m) in self.sum.iter_mut().zip(mel) {
            *sum += m;
        }
        self.filled += 1;
        if self.filled < BLOCK {
            return None;
        }
        self.complete();
        Some(&self.floor)
    }

    /// The floor for an incomplete last block: the last one computed, or that of the frames so far.
    pub fn finish(&mut self) -> &Row {
        if self.blocks == 0 && self.filled > 0 {
            self.complete();
        }
        &self.floor
    }

    fn complete(&mut self) {
        if self.means.len() == BLOCKS {
            self.means.pop_front();
        }
        self.means
            .push_back(self.sum.map(|x| x / self.filled as f32));
        self.sum = [0.0; BANDS];
        self.filled = 0;
        if self.blocks < EAGER || self.blocks.is_multiple_of(REFRESH) {
            self.find();
        }
        self.blocks += 1;
    }

    fn find(&mut self) {
        let place = SHARE * (self.means.len() - 1) as f32;
        let low = place as usize;
        let means = self.means.make_contiguous();
        vectorized(
            #[inline(always)]
            || {
                let (below, above) = neighbours(means, low as i32);
                for (b, floor) in self.floor.iter_mut().enumerate() {
                    let [below, above] = [below[b], above[b]].map(|x| f32::from_bits(x as u32));
                    *floor = below + (above - below) * (place - low as f32);
                }
            },
        );
    }
}

/// By band: the value at rank `low`, and the value at the next rank (the same one if there is none), as bits. The
/// bits of non-negative floats sort like the floats. The first value is found bit by bit, for all bands at once.
#[inline(always)]
fn neighbours(rows: &[Row], low: i32) -> ([i32; BANDS], [i32; BANDS]) {
    let mut below = [0; BANDS];
    for bit in (0..31).rev() {
        let mut tried = below;
        for tried in &mut tried {
            *tried |= 1 << bit;
        }
        let mut smaller = [0; BANDS];
        for row in rows {
            for b in 0..BANDS {
                smaller[b] += i32::from((row[b].to_bits() as i32) < tried[b]);
            }
        }
        for b in 0..BANDS {
            below[b] = if smaller[b] > low { below[b] } else { tried[b] };
        }
    }
    let (mut not_above, mut above) = ([0; BANDS], [i32::MAX; BANDS]);
    for row in rows {
        for b in 0..BANDS {
            let x = row[b].to_bits() as i32;
            not_above[b] += i32::from(x <= below[b]);
            let fast_max = if x > below[b] { x } else { i32::MAX };
            above[b] = above[b].min(fast_max);
        }
    }
    for b in 0..BANDS {
        if not_above[b] > low + 1 || above[b] == i32::MAX {
            above[b] = below[b];
        }
    }
    (below, above)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_what_a_fifth_of_the_blocks_stay_below() {
        let mut stream = NoiseFloor::new();
        let mut last = [0.0; BANDS];
        // Blocks of 0, 1, .. 100; the floor of the 101st is that of 1 .. 100.
        for block in 0..=100 {
            for n in 0..BLOCK {
                let said = stream.push(&[block as f32; BANDS]).copied();
                assert_eq!(said.is_some(), n == BLOCK - 1);
                last = said.unwrap_or(last);
            }
        }
        assert!((last[7] - 20.8).abs() < 1e-4, "{}", last[7]);
        assert_eq!(stream.means.len(), BLOCKS);
    }

    #[test]
    fn neighbours_are_those_of_the_sorted_column() {
        let rows: Vec<Row> = (0..37_usize)
            .map(|t| std::array::from_fn(|b| (t * (7 + b) % 23) as f32 * 0.1))
            .collect();
        for low in [0, 7, 35, 36] {
            let (below, above) = neighbours(&rows, low as i32);
            for b in 0..BANDS {
                let mut column: Vec<f32> = rows.iter().map(|row| row[b]).collect();
                column.sort_by(f32::total_cmp);
                assert_eq!(f32::from_bits(below[b] as u32), column[low]);
                let next = column[(low + 1).min(36)];
                assert_eq!(f32::from_bits(above[b] as u32), next);
            }
        }
    }

    #[test]
    fn less_than_a_block_has_a_floor_at_the_end() {
        let mut stream = NoiseFloor::new();
        assert_eq!(stream.push(&[2.0; BANDS]), None);
        assert_eq!(stream.finish(), &[2.0; BANDS]);
        assert_eq!(NoiseFloor::new().finish(), &[0.0; BANDS]);
    }
}
