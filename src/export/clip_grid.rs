//! Exports clips of a grid as the rows of a published extractor, with the settings that ActionFormer needs.
//!
//! Its loaders put the middle of row k at `(k * feat_stride + num_frames / 2) / default_fps` seconds, in frames of the recording.

use gstearmark::h5::{Clips, Tables};
use serde_json::Value;

use super::source::Source;

/// The grid of a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ClipGrid {
    /// Frames (or milliseconds) from one row to the next.
    pub(super) feat_stride: f64,
    /// Frames (or milliseconds) per row; 0 if rows lie around their frame.
    pub(super) num_frames: f64,
    /// Frames (or milliseconds) per second.
    pub(super) default_fps: f64,
    /// Whether it has only rows near anchors.
    is_sparse: bool,
    /// Whether rows lie around their frame.
    is_centred: bool,
    /// Whether a last row that would reach beyond the end is moved back.
    moves_back: bool,
}

impl ClipGrid {
    /// The grid of a file; `None` unless it has one.
    pub(super) fn of(source: &Source, tables: &Tables) -> Option<Self> {
        let clips = tables.clips.as_ref()?;
        let config: Value = serde_json::from_str(source.config()).ok()?;
        let budget = config.get("budget")?;
        let is_grid = budget.get("policy")? == "grid";
        let stride = budget.get("clip_stride")?.as_f64()?;
        let (number, unit) = source.attribute("clip_every")?.split_once(' ')?;
        let every: f64 = number.parse().ok()?;
        let frames = clips.frames as f64;
        let is_centred = budget.get("clip_end")? == "slowfast";
        let (feat_stride, length, default_fps) = match unit {
            "ms" => (stride * every, frames * every, 1000.0),
            _ => (stride, frames * every, 1e9 * every / step_ns(clips)?),
        };
        is_grid.then_some(Self {
            feat_stride,
            num_frames: if is_centred { 0.0 } else { length },
            default_fps: (default_fps * 1e6).round() / 1e6,
            is_sparse: budget.get("clip_near_ms")?.as_i64()? >= 0,
            is_centred,
            moves_back: budget.get("clip_end")? == "ego4d",
        })
    }

    /// The row of each cell: all of them in order, or those near anchors at their places.
    pub(super) fn cells(&self, tables: &Tables, duration_ns: i64) -> Vec<Option<usize>> {
        let rows = tables.pts_ns.len();
        let Some(clips) = tables.clips.as_ref().filter(|_| self.is_sparse) else {
            return (0..rows).map(Some).collect();
        };
        let ns = 1e9 / self.default_fps;
        let step = self.feat_stride * ns;
        let times = match self.is_centred {
            true => &tables.pts_ns,
            false => &clips.start_ns,
        };
        let first = times.first().map_or(0.0, |at| *at as f64);
        // The recording's first frame lies less than a stride after 0, or late by whole strides.
        let origin = (first + step / 4.0).rem_euclid(step) - step / 4.0;
        let count = ((duration_ns as f64 - origin) / ns).round();
        let over = count - self.num_frames;
        let whole = match self.is_centred {
            true => (count / self.feat_stride).ceil(),
            false if over < 0.0 => 1.0,
            false => (over / self.feat_stride).floor() + 1.0,
        };
        let more = self.moves_back && over > 0.0 && over % self.feat_stride > 0.5;
        let last = whole as usize + usize::from(more);
        let mut cells = vec![None; last];
        for (row, at) in times.iter().enumerate() {
            let place = (*at as f64 - origin) / step;
            let is_moved = more && (place - place.round()).abs() > 0.1 && row + 1 == rows;
            let k = match is_moved {
                true => last.saturating_sub(1),
                false => place.round().max(0.0) as usize,
            };
            if k >= cells.len() {
                cells.resize(k + 1, None);
            }
            cells[k] = Some(row);
        }
        cells
    }
}

/// The average time from one frame of a clip to the next.
fn step_ns(clips: &Clips) -> Option<f64> {
    let rows = clips.frame_pts_ns.chunks_exact(clips.frames.max(1));
    let whole = rows.filter(|row| !row.contains(&-1) && row.is_sorted_by(|a, b| a < b));
    let (time, steps) = whole.fold((0.0, 0.0), |(time, steps), row| {
        let length = row.last().unwrap_or(&0) - row.first().unwrap_or(&0);
        (time + length as f64, steps + (row.len() - 1) as f64)
    });
    (steps > 0.0).then(|| time / steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(is_sparse: bool) -> ClipGrid {
        ClipGrid {
            feat_stride: 16.0,
            num_frames: 32.0,
            default_fps: 25.0,
            is_sparse,
            is_centred: false,
            moves_back: true,
        }
    }

    fn tables(starts: &[i64]) -> Tables {
        let starts: Vec<i64> = starts.iter().map(|frame| frame * 40_000_000).collect();
        Tables {
            pts_ns: starts.clone(),
            clips: Some(Clips {
                frames: 32,
                start_ns: starts.clone(),
                stop_ns: starts,
                frame_pts_ns: Vec::new(),
            }),
            ..Tables::default()
        }
    }

    #[test]
    fn rows_near_anchors_keep_their_places_in_the_whole_grid() {
        let whole = grid(false).cells(&tables(&[0, 16, 32, 38]), 70 * 40_000_000);
        assert_eq!(whole, [Some(0), Some(1), Some(2), Some(3)]);
        let sparse = grid(true).cells(&tables(&[16, 38]), 70 * 40_000_000);
        assert_eq!(sparse, [None, Some(0), None, Some(1)]);
        let none = grid(true).cells(&tables(&[]), 70 * 40_000_000);
        assert_eq!(none, [None; 4]);
    }

    #[test]
    fn the_rate_follows_from_the_frames() {
        let clips = Clips {
            frames: 3,
            start_ns: vec![0, 0],
            stop_ns: vec![0, 0],
            frame_pts_ns: vec![-1, 0, 40, 40, 80, 122],
        };
        assert_eq!(step_ns(&clips), Some(41.0));
    }
}
