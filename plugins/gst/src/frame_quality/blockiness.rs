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
/// Pixels that one register of the processor compares at once.
const LANES: usize = 2 * BLOCK;

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
fn alone([a, b, c, d]: [u8; 4]) -> u8 {
    let (before, step, after) = (a.abs_diff(b), b.abs_diff(c), c.abs_diff(d));
    let most = before.max(after);
    u8::from(step > most.saturating_add(most).saturating_add(1))
}

/// Adds the isolated edges of four lines of pixels side by side, each at its position modulo [`LANES`].
fn add(counts: &mut [u32; LANES], lines: [&[u8]; 4]) {
    let shortest = lines.iter().map(|line| line.len()).min().unwrap_or(0);
    let lines = lines.map(|line| line.get(..shortest).unwrap_or_default());
    // A byte counts this many; bytes are what compares 16 pixels at once.
    let slab = LANES * usize::from(u8::MAX);
    let mut slabs = lines.map(|line| line.chunks(slab));
    while let [Some(a), Some(b), Some(c), Some(d)] = slabs.each_mut().map(Iterator::next) {
        let chunks = [a, b, c, d].map(|line| line.as_chunks::<LANES>());
        let [(a, ar), (b, br), (c, cr), (d, dr)] = chunks;
        let mut few = [0_u8; LANES];
        for ((a, b), (c, d)) in a.iter().zip(b).zip(c.iter().zip(d)) {
            for k in 0..LANES {
                few[k] += alone([a[k], b[k], c[k], d[k]]);
            }
        }
        for (count, few) in counts.iter_mut().zip(few) {
            *count += u32::from(few);
        }
        let rest = ar.iter().zip(br).zip(cr.iter().zip(dr));
        for (count, ((a, b), (c, d))) in counts.iter_mut().zip(rest) {
            *count += u32::from(alone([*a, *b, *c, *d]));
        }
    }
}

/// Share of isolated edges between columns, by phase.
fn across(luma: &Luma<'_>) -> [f32; BLOCK] {
    let mut counts = [0_u32; LANES];
    let mut blocks = 0_u32;
    for y in (0..luma.height()).step_by(EVERY) {
        let row = luma.row(y);
        let whole = row.len().saturating_sub(3) / BLOCK;
        let from = |at: usize| row.get(at..at + whole * BLOCK).unwrap_or_default();
        add(&mut counts, [from(0), from(1), from(2), from(3)]);
        blocks += whole as u32;
    }
    std::array::from_fn(|k| (counts[k] + counts[k + BLOCK]) as f32 / blocks.max(1) as f32)
}

/// Share of isolated edges between rows, by phase: of eight neighbouring pairs of every 32.
fn down(luma: &Luma<'_>) -> [f32; BLOCK] {
    let mut counts = [0_u32; BLOCK];
    let mut pairs = 0_u32;
    for top in (0..luma.height().saturating_sub(BLOCK + 2)).step_by(BLOCK * EVERY) {
        for (k, count) in counts.iter_mut().enumerate() {
            let row = |at: usize| luma.row(top + k + at);
            let mut lanes = [0_u32; LANES];
            add(&mut lanes, [row(0), row(1), row(2), row(3)]);
            *count += lanes.iter().sum::<u32>();
        }
        pairs += luma.width() as u32;
    }
    counts.map(|count| count as f32 / pairs.max(1) as f32)
}
