//! Calibration: a network's logit -> a probability.

use serde::{Deserialize, Serialize};

/// Logit -> calibrated probability: `sigmoid(logit / temperature + bias)`, then piecewise linear through `knots`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Positive; above 1 for an overconfident network.
    #[serde(default = "one")]
    pub temperature: f32,
    /// Added after the division by the temperature.
    #[serde(default)]
    pub bias: f32,
    /// Points `[p before, p after]` of an isotonic fit, both in 0..=1 and never falling; empty: no change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub knots: Vec<[f32; 2]>,
}

impl Default for Calibration {
    /// The plain sigmoid.
    fn default() -> Self {
        Self {
            temperature: 1.0,
            bias: 0.0,
            knots: Vec::new(),
        }
    }
}

pub(crate) const fn one() -> f32 {
    1.0
}

impl Calibration {
    /// In [0, 1], never falling as the logit rises; 0 for NaN.
    pub fn apply(&self, logit: f32) -> f32 {
        let p = sigmoid(logit / self.temperature + self.bias);
        let (Some(first), Some(last)) = (self.knots.first(), self.knots.last()) else {
            return if p.is_nan() { 0.0 } else { p };
        };
        let above = self.knots.partition_point(|[x, _]| *x <= p);
        let p = match (
            above.checked_sub(1).and_then(|i| self.knots.get(i)),
            self.knots.get(above),
        ) {
            (Some([x0, y0]), Some([x1, y1])) => y0 + (y1 - y0) * (p - x0) / (x1 - x0),
            (None, _) => first[1],
            (_, None) => last[1],
        };
        if p.is_nan() { 0.0 } else { p.clamp(0.0, 1.0) }
    }

    /// What is wrong with it: field, value and rule; `None` if nothing.
    pub(crate) fn problem(&self) -> Option<(&'static str, String, &'static str)> {
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            return Some((
                "temperature",
                self.temperature.to_string(),
                "must be positive",
            ));
        }
        if !self.bias.is_finite() {
            return Some(("bias", self.bias.to_string(), "must be finite"));
        }
        let unit = |x: &f32| (0.0..=1.0).contains(x);
        let rising = self
            .knots
            .windows(2)
            .all(|w| w[0][0] <= w[1][0] && w[0][1] <= w[1][1]);
        if !rising || !self.knots.iter().flatten().all(unit) {
            return Some((
                "knots",
                format!("{} points", self.knots.len()),
                "must lie in 0..=1 and never fall",
            ));
        }
        None
    }
}

/// `1 / (1 + e^-x)`.
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
