//! Noise: its standard deviation in the flattest parts of the frame.
//!
//! Immerkær, "Fast noise variance estimation", 1996: a mask that ignores edges and slopes. Its mean over the whole frame mistakes fine texture
//! for noise; the flattest fifth of small squares is closer to the truth.

use super::luma::Luma;

/// Side of a square.
const SIDE: usize = 16;
/// Squares are this far apart: one of nine is measured.
const APART: usize = 48;
/// Which of the squares counts, by flatness.
const FLATTEST: f32 = 0.2;
/// Fewest squares for a measurement.
const LEAST: usize = 8;
/// Mean luma of a square without clipping, which removes noise.
const INSIDE: std::ops::Range<u32> = 24..228;
/// Standard deviation, in levels of 255, at which the measure is a half.
const HALF: f32 = 8.0;

/// In [0, 1]; 1 if there is no noise, or nowhere to measure it.
pub(super) fn noise(luma: &Luma<'_>, squares: &mut Vec<f32>) -> f32 {
    squares.clear();
    for top in (0..luma.height().saturating_sub(SIDE + 1)).step_by(APART) {
        for left in (0..luma.width().saturating_sub(SIDE + 1)).step_by(APART) {
            squares.extend(deviation(luma, left, top));
        }
    }
    if squares.len() < LEAST {
        return 1.0;
    }
    let at = (FLATTEST * squares.len() as f32) as usize;
    let (_, sigma, _) = squares.select_nth_unstable_by(at, f32::total_cmp);
    let part = *sigma / HALF;
    1.0 / (1.0 + part * part)
}

/// A row of a square, and a pixel on either side.
type Row = [u8; SIDE + 2];

/// Standard deviation of the noise in a square; `None` if the square is clipped.
fn deviation(luma: &Luma<'_>, left: usize, top: usize) -> Option<f32> {
    // Sums by column. The mask's values reach 8 * 255, so 16 of them fit.
    let (mut sums, mut lights) = ([0_u16; SIDE], [0_u16; SIDE]);
    for y in top..top + SIDE {
        let row = |at: usize| luma.row(at).get(left..left + SIDE + 2)?.first_chunk();
        let (a, b, c): (&Row, &Row, &Row) = (row(y)?, row(y + 1)?, row(y + 2)?);
        let (before, own, after) = (bends(a, b, c, 0), bends(a, b, c, 1), bends(a, b, c, 2));
        for x in 0..SIDE {
            sums[x] += (before[x] - 2 * own[x] + after[x]).unsigned_abs();
            lights[x] += u16::from(b[x + 1]);
        }
    }
    let total = |all: [u16; SIDE]| all.into_iter().map(u32::from).sum::<u32>();
    let pixels = (SIDE * SIDE) as u32;
    if !INSIDE.contains(&(total(lights) / pixels)) {
        return None;
    }
    let mean = total(sums) as f32 / pixels as f32;
    Some(mean * (std::f32::consts::FRAC_PI_2).sqrt() / 6.0)
}

/// How much a column bends, from three rows; the first column is `from`.
#[inline(always)]
fn bends(a: &Row, b: &Row, c: &Row, from: usize) -> [i16; SIDE] {
    let mut bends = [0; SIDE];
    for (at, bend) in bends.iter_mut().enumerate() {
        let x = at + from;
        *bend = i16::from(a[x]) - 2 * i16::from(b[x]) + i16::from(c[x]);
    }
    bends
}
