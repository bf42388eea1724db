//! Sharpness: how much of the difference between neighbours disappears when the frame is blurred again.
//!
//! Crété, Dolmiere, Ladret and Nicolas, "The blur effect: perception and estimation with a new no-reference perceptual blur metric", 2007. A
//! sharp frame loses nearly all of it, a blurred one next to nothing, whatever it shows. The smaller value of both directions counts, because
//! a turn of the head blurs only one.

use super::luma::WorkingImage;

/// Pixels of the blur, along the direction measured.
const TAPS: usize = 9;
/// Pixels before and after a pair of neighbours that the blur of both includes.
const REACH: usize = TAPS / 2;
/// A frame whose neighbours differ by less than this on average has no detail that could be sharp.
const NOTHING: f32 = 0.05;

/// In [0, 1]; 0 if the frame is flat, or smaller than the blur.
pub fn sharpness(working: &WorkingImage) -> f32 {
    across(working).min(down(working))
}

/// Sums of one row: of the differences between neighbours, times [`TAPS`], and of what blurring removes of them.
#[derive(Clone, Copy, Default)]
struct Sums {
    all: u64,
    gone: u64,
    pairs: u64,
}

impl Sums {
    fn add(&mut self, near: (&[u8], &[u8]), far: (&[u8], &[u8])) {
        let pairs = near.0.iter().zip(near.1).zip(far.0.iter().zip(far.1));
        let (mut all, mut gone, mut count) = (0_u32, 0_u32, 0_u32);
        for ((a, b), (c, d)) in pairs {
            let differ = u16::from(a.abs_diff(*b)) * TAPS as u16;
            all += u32::from(differ);
            // Two neighbouring means of nine share eight pixels.
            gone += u32::from(differ.saturating_sub(u16::from(c.abs_diff(*d))));
            count += 1;
        }
        self.all += u64::from(all);
        self.gone += u64::from(gone);
        self.pairs += u64::from(count);
    }

    fn share(&self) -> f32 {
        let least = NOTHING * TAPS as f32 * self.pairs as f32;
        if self.pairs == 0 || (self.all as f32) < least {
            return 0.0;
        }
        self.gone as f32 / self.all as f32
    }
}

fn across(working: &WorkingImage) -> f32 {
    let mut sums = Sums::default();
    for row in working.rows() {
        let Some(pairs) = row.len().checked_sub(TAPS) else {
            return 0.0;
        };
        let from = |at: usize| row.get(at..at + pairs).unwrap_or_default();
        sums.add((from(REACH), from(REACH + 1)), (from(0), from(TAPS)));
    }
    sums.share()
}

fn down(working: &WorkingImage) -> f32 {
    let mut sums = Sums::default();
    for top in 0..working.height().saturating_sub(TAPS) {
        let row = |at: usize| working.row(top + at);
        sums.add((row(REACH), row(REACH + 1)), (row(0), row(TAPS)));
    }
    sums.share()
}
