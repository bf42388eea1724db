//! Blockiness: how much more often isolated edges occur every eight pixels than elsewhere.
//!
//! After Wang, Sheikh and Bovik, "No-reference perceptual quality assessment of JPEG compressed images", 2002, who compare mean differences
//! along the grid with those inside blocks. Here edges are counted, so that a few strong ones that happen to lie on the grid (a door, a tile)
//! weigh little. The grid may have any phase; a grid that was scaled after coding has another width and is not found.

use super::luma::Luma;

/// Pixels per block.
const BLOCK: usize = 8;
/// One in this many rows is measured: a quarter of the frame.
const EVERY: usize = 4;
/// Excess share of isolated edges on the grid at which blocks become visible; and how much more makes the measure a half.
const FROM: f32 = 0.12;
const HALF: f32 = 0.18;

/// In [0, 1]; 1 if there are no blocks, or the frame is too small to tell.
pub(super) fn blockiness(luma: &Luma<'_>) -> f32 {
    let excess = excess(&across(luma)).max(excess(&down(luma)));
    let part = (excess - FROM).max(0.0) / HALF;
    1.0 / (1.0 + part * part)
}

/// The largest share over the mean of the others.
fn excess(shares: &[f32; BLOCK]) -> f32 {
    let largest = shares.iter().copied().fold(0.0, f32::max);
    largest - (shares.iter().sum::<f32>() - largest) / (BLOCK - 1) as f32
}

/// 1 if the middle step is more than twice its neighbours and visible.
#[inline(always)]
fn alone(a: u8, b: u8, c: u8, d: u8) -> u32 {
    let (before, step, after) = (a.abs_diff(b), b.abs_diff(c), c.abs_diff(d));
    u32::from(step > before.max(after).saturating_mul(2).saturating_add(1))
}

/// Share of isolated edges between columns, by phase.
fn across(luma: &Luma<'_>) -> [f32; BLOCK] {
    let mut counts = [0_u32; BLOCK];
    let mut blocks = 0_u32;
    for y in (0..luma.height()).step_by(EVERY) {
        let row = luma.row(y);
        let from = |at: usize| row.get(at..).unwrap_or_default().as_chunks::<BLOCK>().0;
        let fours = from(0).iter().zip(from(1)).zip(from(2).iter().zip(from(3)));
        for ((a, b), (c, d)) in fours {
            for k in 0..BLOCK {
                counts[k] += alone(a[k], b[k], c[k], d[k]);
            }
            blocks += 1;
        }
    }
    counts.map(|count| count as f32 / blocks.max(1) as f32)
}

/// Share of isolated edges between rows, by phase: of eight neighbouring pairs of every 32.
fn down(luma: &Luma<'_>) -> [f32; BLOCK] {
    let mut counts = [0_u32; BLOCK];
    let mut pairs = 0_u32;
    for top in (0..luma.height().saturating_sub(BLOCK + 2)).step_by(BLOCK * EVERY) {
        for (k, count) in counts.iter_mut().enumerate() {
            let row = |at: usize| luma.row(top + k + at);
            let fours = row(0).iter().zip(row(1)).zip(row(2).iter().zip(row(3)));
            *count += fours
                .map(|((a, b), (c, d))| alone(*a, *b, *c, *d))
                .sum::<u32>();
        }
        pairs += luma.width() as u32;
    }
    counts.map(|count| count as f32 / pairs.max(1) as f32)
}
