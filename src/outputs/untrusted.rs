//! Finds stretches of untrusted sound in cues.

use anchoring::cue::{HOP, trusts};
use anchoring::time::Nanos;
use serde::Serialize;

/// Most stretches that are kept.
const MOST: usize = 10_000;
/// Most stretches that are printed.
const TOLD: usize = 6;

/// A stretch of untrusted sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct UntrustedSpan {
    /// Start, ns.
    pub start_ns: Nanos,
    /// End, ns.
    pub stop_ns: Nanos,
    /// Whether it is silent; otherwise the sound is distorted (clipping, wind, handling, a roar).
    pub silent: bool,
}

/// All untrusted stretches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Untrusted {
    stretches: Vec<UntrustedSpan>,
    cues: u64,
    /// Number of cues in them.
    hops: u64,
}

impl Untrusted {
    /// Adds the next cue in time order. Sound is not trusted from the uncertainty `distrust` on.
    pub fn hear(&mut self, pts: Nanos, uncertainty: f32, distrust: f64) {
        self.cues += 1;
        if trusts(uncertainty, distrust) {
            return;
        }
        self.hops += 1;
        let silent = uncertainty >= 1.0;
        let stop = pts + HOP;
        let room = self.stretches.len() < MOST;
        match self.stretches.last_mut() {
            Some(last) if last.stop_ns >= pts && last.silent == silent => last.stop_ns = stop,
            _ if room => self.stretches.push(UntrustedSpan {
                start_ns: pts,
                stop_ns: stop,
                silent,
            }),
            _ => {}
        }
    }

    /// In time order; at most 10,000.
    pub fn stretches(&self) -> &[UntrustedSpan] {
        &self.stretches
    }

    /// "31.280 s of 160.320 s: 12.000 to 20.000 s (silence), ..."; `None` if there were no cues.
    pub fn text(&self) -> Option<String> {
        let time = |hops: u64| Nanos::new((HOP.get() as u64).saturating_mul(hops) as i64);
        if self.cues == 0 {
            return None;
        }
        if self.stretches.is_empty() {
            return Some("none".into());
        }
        // Prints the longest ones, in time order.
        let mut longest: Vec<&UntrustedSpan> = self.stretches.iter().collect();
        longest.sort_by_key(|one| std::cmp::Reverse(one.stop_ns - one.start_ns));
        longest.truncate(TOLD);
        longest.sort_by_key(|one| one.start_ns);
        let parts: Vec<_> = longest
            .iter()
            .map(|one| {
                let why = if one.silent { "silence" } else { "distorted" };
                let (from, to) = (one.start_ns.seconds(), one.stop_ns.seconds());
                format!("{from:.1} to {to:.1} s ({why})")
            })
            .collect();
        let more = match self.stretches.len() - longest.len() {
            0 => String::new(),
            n => format!(" and {n} shorter ones"),
        };
        let parts = parts.join(", ");
        Some(format!(
            "{} of {}: {parts}{more}",
            time(self.hops),
            time(self.cues)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_have_a_beginning_and_an_end_and_a_kind() {
        let mut found = Untrusted::default();
        assert_eq!(found.text(), None);
        let said = [0.0, 1.0, 1.0, 0.95, 0.95, 0.0, f32::NAN, 0.0];
        for (i, uncertainty) in (0..).zip(said) {
            found.hear(Nanos::from_ms(80 * i), uncertainty, 0.9);
        }
        let ms: Vec<_> = found
            .stretches()
            .iter()
            .map(|one| {
                (
                    one.start_ns.get() / 1_000_000,
                    one.stop_ns.get() / 1_000_000,
                    one.silent,
                )
            })
            .collect();
        assert_eq!(ms, [(80, 240, true), (240, 400, false), (480, 560, false)]);
        assert_eq!(
            found.text().unwrap(),
            "0.400 s of 0.640 s: 0.1 to 0.2 s (silence), 0.2 to 0.4 s (distorted), 0.5 to 0.6 s (distorted)"
        );
        let mut fine = Untrusted::default();
        fine.hear(Nanos::ZERO, 0.0, 0.9);
        assert_eq!(fine.text().unwrap(), "none");
    }
}
