//! Chooses this machine's share of the recordings: the same split on every machine, balanced by duration.

use anyhow::bail;

use crate::failure::Usage;

/// One of several parts of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shard {
    /// Index, from 0.
    pub index: usize,
    /// Number of shards.
    pub count: usize,
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl Shard {
    /// From `I/N`, else from the environment of a Slurm array or a Kubernetes Indexed Job; `None` outside both.
    ///
    /// # Errors
    /// The value is invalid.
    pub(super) fn choose(
        given: Option<&str>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Option<Self>> {
        if let Some(given) = given {
            let parts = given.split_once('/');
            let numbers = parts.and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
            let Some((index, count)) = numbers else {
                bail!(Usage(format!(
                    "--shard {given} must be I/N with I from 0 to N - 1"
                )));
            };
            return Self::new(index, count).map(Some);
        }
        let number = |name: &str| -> anyhow::Result<Option<usize>> {
            match environment(name).filter(|value| !value.is_empty()) {
                None => Ok(None),
                Some(value) => match value.parse() {
                    Ok(number) => Ok(Some(number)),
                    Err(_) => bail!(Usage(format!("{name} is `{value}`, not a whole number"))),
                },
            }
        };
        if let Some(task) = number("SLURM_ARRAY_TASK_ID")? {
            let Some(count) = number("SLURM_ARRAY_TASK_COUNT")? else {
                bail!(Usage(
                    "SLURM_ARRAY_TASK_ID is set, but SLURM_ARRAY_TASK_COUNT is not; use --shard I/N".into()
                ));
            };
            let first = number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0);
            let step = number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1);
            return Self::new(task.saturating_sub(first) / step, count).map(Some);
        }
        if let Some(index) = number("JOB_COMPLETION_INDEX")? {
            let Some(count) = number("EARMARK_SHARDS")? else {
                bail!(Usage(
                    "JOB_COMPLETION_INDEX is set, but a Job does not give the number of its parts; set EARMARK_SHARDS to its completions, or use --shard I/N".into()
                ));
            };
            return Self::new(index, count).map(Some);
        }
        Ok(None)
    }

    fn new(index: usize, count: usize) -> anyhow::Result<Self> {
        if count == 0 || index >= count {
            bail!(Usage(format!(
                "shard {index}/{count} does not exist: I counts from 0 to N - 1"
            )));
        }
        Ok(Self { index, count })
    }

    /// Selects the lengths of this shard: longest first, each to the shard with the least so far.
    pub(super) fn take(self, lengths: &[(f64, &str)]) -> Vec<bool> {
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        order.sort_by(|&a, &b| {
            let ((x, name), (y, other)) = (lengths[a], lengths[b]);
            y.total_cmp(&x).then_with(|| name.cmp(other))
        });
        let mut loads = vec![(0.0_f64, 0_usize); self.count];
        let mut mine = vec![false; lengths.len()];
        for item in order {
            let least = (0..self.count).min_by(|&a, &b| {
                let ((x, n), (y, m)) = (loads[a], loads[b]);
                x.total_cmp(&y).then(n.cmp(&m))
            });
            let Some(shard) = least else { break };
            loads[shard].0 += lengths[item].0;
            loads[shard].1 += 1;
            mine[item] = shard == self.index;
        }
        mine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recording_is_in_exactly_one_shard_and_loads_are_alike() {
        let names: Vec<_> = (0..97).map(|k| format!("v{k}")).collect();
        let lengths: Vec<_> = (0..97)
            .map(|k| (f64::from(60 + (k * 37) % 900), names[k as usize].as_str()))
            .collect();
        let shards: Vec<_> = (0..5)
            .map(|index| Shard { index, count: 5 }.take(&lengths))
            .collect();
        for item in 0..97 {
            assert_eq!(shards.iter().filter(|mine| mine[item]).count(), 1);
        }
        let loads = shards.iter().map(|mine| -> f64 {
            let mine = mine.iter().zip(&lengths).filter(|(mine, _)| **mine);
            mine.map(|(_, (length, _))| length).sum()
        });
        let loads: Vec<f64> = loads.collect();
        let most = loads.iter().copied().fold(0.0, f64::max);
        let least = loads.iter().copied().fold(f64::MAX, f64::min);
        assert!(most - least < 200.0, "{loads:?}");
    }

    #[test]
    fn recordings_of_unknown_length_are_spread() {
        let lengths = [(0.0, "a"), (0.0, "b"), (0.0, "c"), (0.0, "d")];
        let mine = Shard { index: 0, count: 2 }.take(&lengths);
        assert_eq!(mine.iter().filter(|mine| **mine).count(), 2);
    }

    #[test]
    fn engines_say_which_shard_this_is() {
        let of = |pairs: &[(&str, &str)]| {
            let pairs: Vec<(String, String)> = pairs
                .iter()
                .map(|(a, b)| (a.to_string(), b.to_string()))
                .collect();
            Shard::choose(None, |name| {
                let found = pairs.iter().find(|(key, _)| key == name);
                found.map(|(_, value)| value.clone())
            })
        };
        let slurm = [
            ("SLURM_ARRAY_TASK_ID", "7"),
            ("SLURM_ARRAY_TASK_MIN", "1"),
            ("SLURM_ARRAY_TASK_STEP", "2"),
            ("SLURM_ARRAY_TASK_COUNT", "4"),
        ];
        assert_eq!(of(&slurm).unwrap(), Some(Shard { index: 3, count: 4 }));
        let job = [("JOB_COMPLETION_INDEX", "2"), ("EARMARK_SHARDS", "3")];
        assert_eq!(of(&job).unwrap(), Some(Shard { index: 2, count: 3 }));
        assert!(of(&job[..1]).is_err());
        assert_eq!(of(&[]).unwrap(), None);
        for wrong in ["3/3", "x", "1/0", "-1/2"] {
            assert!(Shard::choose(Some(wrong), |_| None).is_err(), "{wrong}");
        }
    }
}
