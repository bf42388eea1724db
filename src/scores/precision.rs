//! Average precision of detected spans, by temporal intersection over union, as in ActivityNet's scorer (PASCAL VOC 2011's interpolation).
//! Later challenges score alike.
//!
//! Detections are processed from the most certain down; each takes, of the free true spans of its video, the one with the largest IoU, if that
//! reaches the threshold. A detection that takes none is false.

use std::collections::BTreeMap;

use super::order;

/// Start and stop, seconds.
pub(super) type Span = (f64, f64);

/// A detection of one class.
#[derive(Clone, Copy, Debug)]
pub(super) struct ScoredSpan {
    /// Index of its video.
    pub(super) video: usize,
    pub(super) span: Span,
    pub(super) score: f64,
}

/// Intersection over union; 0 for two spans without length.
pub(super) fn iou(a: Span, b: Span) -> f64 {
    let inter = (a.1.min(b.1) - a.0.max(b.0)).max(0.0);
    let union = (a.1 - a.0) + (b.1 - b.0) - inter;
    if union > 0.0 { inter / union } else { 0.0 }
}

/// Average precision at each threshold. `truth`: the true spans by video; `found` is in the order of processing.
pub(super) fn average_precision(
    truth: &BTreeMap<usize, Vec<Span>>,
    found: &[ScoredSpan],
    thresholds: &[f64],
) -> Vec<f64> {
    let all: usize = truth.values().map(Vec::len).sum();
    let free: BTreeMap<usize, Vec<bool>> = truth
        .iter()
        .map(|(video, spans)| (*video, vec![true; spans.len()]))
        .collect();
    let mut free = vec![free; thresholds.len()];
    let mut right: Vec<Vec<bool>> = thresholds
        .iter()
        .map(|_| Vec::with_capacity(found.len()))
        .collect();
    for detection in found {
        let there = truth.get(&detection.video).map_or(&[][..], Vec::as_slice);
        let near: Vec<f64> = there
            .iter()
            .map(|span| iou(detection.span, *span))
            .collect();
        let mut by_iou = order::ascending(&near);
        by_iou.reverse();
        for ((threshold, free), right) in thresholds.iter().zip(&mut free).zip(&mut right) {
            let mut near = by_iou.iter().take_while(|i| near[**i] >= *threshold);
            let own = free.get_mut(&detection.video);
            let taken = own.and_then(|own| {
                let i = near.find(|i| own[**i])?;
                own[*i] = false;
                Some(())
            });
            right.push(taken.is_some());
        }
    }
    right.iter().map(|right| area(right, all)).collect()
}

/// Area under the interpolated curve of precision over recall. `right`: whether each detection is, from the most certain down.
fn area(right: &[bool], all: usize) -> f64 {
    let mut curve = Vec::with_capacity(right.len());
    let mut true_ones = 0_usize;
    for (i, right) in right.iter().enumerate() {
        true_ones += usize::from(*right);
        curve.push((
            true_ones as f64 / all as f64,
            true_ones as f64 / (i + 1) as f64,
        ));
    }
    // Precision at a recall is the best at that recall or a larger one.
    let mut best = 0.0_f64;
    for point in curve.iter_mut().rev() {
        best = best.max(point.1);
        point.1 = best;
    }
    let mut before = 0.0;
    let mut area = 0.0;
    for (recall, precision) in curve {
        area += (recall - before) * precision;
        before = recall;
    }
    area
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_is_interpolated() {
        // Right, wrong, right of three: recall 1/3 at precision 1, 2/3 at 2/3.
        let area = area(&[true, false, true], 3);
        assert!((area - (1.0 + 2.0 / 3.0) / 3.0).abs() < 1e-12, "{area}");
    }

    #[test]
    fn a_true_span_is_taken_once_and_a_second_detection_takes_the_next() {
        let truth = [(0, vec![(0.0, 10.0), (4.0, 14.0)])].into();
        let found = |span, score| ScoredSpan {
            video: 0,
            span,
            score,
        };
        let one = found((0.0, 10.0), 0.9);
        let two = found((1.0, 11.0), 0.8);
        assert_eq!(average_precision(&truth, &[one, two], &[0.5]), [1.0]);
        // At 0.6 the second would need the span that the first took.
        assert_eq!(average_precision(&truth, &[one, two], &[0.6]), [0.5]);
    }

    #[test]
    fn spans_without_length_meet_nothing() {
        assert_eq!(iou((1.0, 1.0), (1.0, 1.0)), 0.0);
        assert_eq!(iou((0.0, 1.0), (2.0, 3.0)), 0.0);
    }
}
