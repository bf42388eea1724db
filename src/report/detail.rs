//! Cues at every zoom level of the timeline, computed once when the page is written.
//!
//! The finest level has one cell per hop; each level above it has one cell for four of the level below. A cell keeps the lowest and the
//! highest eventness, so no click is lost at any zoom.

use anchoring::cue::{COARSE, HOP};
use gstearmark::h5::CueColumns;

/// Cells of a level that make one cell of the next.
const FACTOR: usize = 4;
/// At this many cells, no coarser level is needed.
const ENOUGH: usize = 1024;
/// Most cells of the finest level: nine hours of hops. Longer recordings get coarser cells.
const MOST: usize = 405_000;
/// The byte that means usual change.
const USUAL_CHANGE: f32 = 32.0;
/// Shades of a band.
const SHADES: u8 = 15;

/// One level, by column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Level {
    /// Lowest eventness, 255 for 1.
    pub low: Vec<u8>,
    /// Highest eventness.
    pub high: Vec<u8>,
    /// Highest uncertainty; 255 without a cue.
    pub unsure: Vec<u8>,
    /// Highest probability of speech.
    pub speech: Vec<u8>,
    /// Shades of the bands, `[cells, 16]`, 0..=15; empty if the file has none.
    pub bands: Vec<u8>,
    /// Greatest change, 32 for the usual one; 0 if unknown, and empty if unknown everywhere.
    pub change: Vec<u8>,
}

/// All levels, finest first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CueLevels {
    /// Start of the first cell.
    pub start_ns: i64,
    /// Length of a cell of the finest level; each coarser level has four times that.
    pub step_ns: i64,
    /// Never empty.
    pub levels: Vec<Level>,
}

impl Level {
    fn empty(cells: usize, bands: bool, change: bool) -> Self {
        Self {
            low: vec![0; cells],
            high: vec![0; cells],
            unsure: vec![255; cells],
            speech: vec![0; cells],
            bands: vec![0; if bands { cells * COARSE } else { 0 }],
            change: vec![0; if change { cells } else { 0 }],
        }
    }

    pub(crate) fn cells(&self) -> usize {
        self.low.len()
    }

    /// Merges four cells into one.
    fn coarser(&self) -> Self {
        let most = |column: &[u8]| -> Vec<u8> {
            let most = |cells: &[u8]| cells.iter().copied().max().unwrap_or(0);
            column.chunks(FACTOR).map(most).collect()
        };
        let least = |cells: &[u8]| cells.iter().copied().min().unwrap_or(0);
        Self {
            low: self.low.chunks(FACTOR).map(least).collect(),
            high: most(&self.high),
            unsure: most(&self.unsure),
            speech: most(&self.speech),
            change: most(&self.change),
            bands: self
                .bands
                .chunks(FACTOR * COARSE)
                .flat_map(|cells| {
                    (0..COARSE).map(|band| {
                        let shades = cells.iter().skip(band).step_by(COARSE);
                        shades.copied().max().unwrap_or(0)
                    })
                })
                .collect(),
        }
    }

    /// Two shades per byte, the lower band in the lower half: `[cells, 8]`.
    pub(crate) fn packed_bands(&self) -> Vec<u8> {
        self.bands
            .chunks(2)
            .map(|pair| pair.first().unwrap_or(&0) | pair.get(1).unwrap_or(&0) << 4)
            .collect()
    }
}

impl CueLevels {
    /// From the cues of a file; `None` without cues.
    pub(crate) fn new(cues: &CueColumns) -> Option<Self> {
        let (first, last) = (*cues.pts_ns.iter().min()?, *cues.pts_ns.iter().max()?);
        let span = i128::from(last) - i128::from(first);
        let mut step_ns = i128::from(HOP.get());
        while span / step_ns >= MOST as i128 {
            step_ns *= 2;
        }
        let cells = (span / step_ns) as usize + 1;
        let shade = ShadeScale::of(&cues.bands);
        let changes = cues.change.iter().any(|change| !change.is_nan());
        let mut finest = Level::empty(cells, !cues.bands.is_empty(), changes);
        let mut heard = vec![false; cells];
        for (row, pts) in cues.pts_ns.iter().enumerate() {
            // A hop's time is rounded to a cell.
            let at = (i128::from(*pts) - i128::from(first) + step_ns / 2) / step_ns;
            let at = (at as usize).min(cells - 1);
            let [eventness, unsure, speech] = [&cues.eventness, &cues.uncertainty, &cues.speech]
                .map(|column| byte(column.get(row).copied().unwrap_or(0.0)));
            if heard[at] {
                finest.low[at] = finest.low[at].min(eventness);
                finest.unsure[at] = finest.unsure[at].max(unsure);
            } else {
                finest.low[at] = eventness;
                finest.unsure[at] = unsure;
                heard[at] = true;
            }
            finest.high[at] = finest.high[at].max(eventness);
            finest.speech[at] = finest.speech[at].max(speech);
            if let (Some(most), Some(&change)) = (finest.change.get_mut(at), cues.change.get(row)) {
                // The cast turns NaN into 0, and saturates.
                *most = (*most).max((change * USUAL_CHANGE) as u8);
            }
            let from = cues.bands.get(row * COARSE..(row + 1) * COARSE);
            let into = finest.bands.get_mut(at * COARSE..(at + 1) * COARSE);
            for (slot, band) in into
                .into_iter()
                .flatten()
                .zip(from.into_iter().flatten().copied())
            {
                *slot = (*slot).max(shade.of_band(band));
            }
        }
        let mut levels = vec![finest];
        while let Some(last) = levels.last().filter(|level| level.cells() > ENOUGH) {
            let coarser = last.coarser();
            levels.push(coarser);
        }
        Some(Self {
            start_ns: first,
            step_ns: step_ns as i64,
            levels,
        })
    }
}

/// 255 for 1.
fn byte(share: f32) -> u8 {
    // NaN becomes 0.
    (share.clamp(0.0, 1.0) * 255.0).round() as u8
}

/// Maps loudness to shades: the quietest of this recording is dark, the loudest bright.
struct ShadeScale {
    dark: u8,
    bright: u8,
}

impl ShadeScale {
    fn of(bands: &[u8]) -> Self {
        let mut counts = [0_u64; 256];
        for band in bands {
            counts[usize::from(*band)] += 1;
        }
        // Digital silence does not count as quiet sound.
        counts[0] = 0;
        let all: u64 = counts.iter().sum();
        let beyond = |share: f64| {
            let wanted = (all as f64 * share) as u64;
            let mut seen = 0;
            let found = counts.iter().position(|count| {
                seen += count;
                seen > wanted
            });
            found.unwrap_or(255) as u8
        };
        let dark = beyond(0.05);
        Self {
            dark,
            bright: beyond(0.998).max(dark.saturating_add(1)),
        }
    }

    fn of_band(&self, band: u8) -> u8 {
        let above = u32::from(band.saturating_sub(self.dark)) * u32::from(SHADES);
        (above / u32::from(self.bright.saturating_sub(self.dark).max(1))).min(SHADES.into()) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cues(rows: usize) -> CueColumns {
        CueColumns {
            pts_ns: (0..rows as i64).map(|k| k * HOP.get()).collect(),
            eventness: vec![0.0; rows],
            uncertainty: vec![0.0; rows],
            speech: vec![0.0; rows],
            bands: Vec::new(),
            change: Vec::new(),
            quality: Vec::new(),
        }
    }

    #[test]
    fn a_click_is_seen_at_every_level() {
        let mut cues = cues(100_000);
        cues.eventness[77_777] = 1.0;
        let strip = CueLevels::new(&cues).unwrap();
        assert!(strip.levels.len() >= 4);
        for (depth, level) in strip.levels.iter().enumerate() {
            let at = 77_777 / FACTOR.pow(depth as u32);
            assert_eq!(level.high[at], 255, "level {depth}");
            assert_eq!(level.high.iter().filter(|x| **x > 0).count(), 1);
            assert_eq!(level.low[at], if depth == 0 { 255 } else { 0 });
        }
        assert!(strip.levels.last().unwrap().cells() <= ENOUGH);
    }

    #[test]
    fn a_cell_without_a_cue_is_fully_uncertain() {
        let mut cues = cues(10);
        for pts in &mut cues.pts_ns[5..] {
            *pts += 10 * HOP.get();
        }
        let strip = CueLevels::new(&cues).unwrap();
        let unsure = &strip.levels[0].unsure;
        assert_eq!(unsure.len(), 20);
        assert_eq!(
            [unsure[4], unsure[5], unsure[14], unsure[15]],
            [0, 255, 255, 0]
        );
        assert_eq!(CueLevels::new(&CueColumns::default()), None);
    }

    #[test]
    fn a_recording_of_any_length_has_bounded_cells() {
        let mut cues = cues(1000);
        cues.pts_ns[999] = 100 * 3600 * 1_000_000_000;
        assert!(CueLevels::new(&cues).unwrap().levels[0].cells() <= MOST);
        cues.pts_ns[999] = i64::MAX;
        cues.pts_ns[0] = i64::MIN;
        assert!(CueLevels::new(&cues).unwrap().levels[0].cells() <= MOST);
    }

    #[test]
    fn the_greatest_change_is_kept_at_every_level() {
        let mut cues = cues(10_000);
        cues.change = vec![f32::NAN; 10_000];
        assert!(CueLevels::new(&cues).unwrap().levels[0].change.is_empty());
        cues.change[5_000] = 2.0;
        cues.change[5_001] = 64.0;
        let strip = CueLevels::new(&cues).unwrap();
        assert_eq!(strip.levels[0].change[4_999..5_002], [0, 64, 255]);
        assert_eq!(strip.levels[1].change[1_250], 255);
    }

    #[test]
    fn shades_span_what_the_recording_has() {
        let mut cues = cues(1000);
        cues.bands = vec![100; 16_000];
        for slot in &mut cues.bands[8_000..8_400] {
            *slot = 200;
        }
        cues.bands[0] = 0;
        let level = &CueLevels::new(&cues).unwrap().levels[0];
        assert_eq!(
            [level.bands[0], level.bands[16], level.bands[8_100]],
            [0, 0, 15]
        );
        assert_eq!(level.packed_bands().len(), 8_000);
        assert_eq!(level.packed_bands()[4_050], 0xff);
    }

    #[test]
    fn nan_becomes_zero() {
        assert_eq!(
            [byte(f32::NAN), byte(-1.0), byte(0.5), byte(9.0)],
            [0, 0, 128, 255]
        );
    }
}
