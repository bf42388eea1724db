//! The share of labelled seconds whose class is right: AVE's segment accuracy.

use ndarray::ArrayView2;

/// Right seconds among the labelled ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accuracy {
    /// Seconds whose highest score is at their label.
    pub right: usize,
    /// Labelled seconds.
    pub labelled: usize,
}

impl Accuracy {
    /// Counts the seconds of a recording; -1 is not labelled.
    pub fn add(&mut self, scores: ArrayView2<'_, f32>, labels: &[i64]) {
        for (row, label) in scores.rows().into_iter().zip(labels) {
            if *label >= 0 {
                self.labelled += 1;
                self.right += usize::from(best(row.iter().copied()) as i64 == *label);
            }
        }
    }

    /// 0..=1; `None` without a labelled second.
    pub fn share(self) -> Option<f64> {
        (self.labelled > 0).then(|| self.right as f64 / self.labelled as f64)
    }
}

/// Index of the highest value; of equal ones, the first.
pub fn best(row: impl Iterator<Item = f32>) -> usize {
    row.enumerate()
        .fold((0, f32::NEG_INFINITY), |best, (i, x)| {
            if x > best.1 { (i, x) } else { best }
        })
        .0
}
