//! Learns weights, overall and by scene, and scores clips by what was learned from other contents.

use std::collections::{BTreeMap, BTreeSet};

use super::agreement::Agreement;
use super::least_squares;
use super::samples::Sample;
use crate::fit::random::Random;
use crate::quality::{Scene, Shares, Weights};

/// Fewest clips and contents of a scene for weights of its own.
const CLIPS: usize = 40;
const CONTENTS: usize = 5;

/// Learned weights.
#[derive(Clone, Debug)]
pub(super) struct Fitted {
    /// By scene.
    pub weights: Weights,
    /// Number of clips of the scenes with weights of their own.
    pub learned: BTreeMap<Scene, usize>,
    /// The offset and the weights as fitted, in shares of the scale: of all clips, and of those scenes.
    all: [f64; least_squares::TERMS],
    own: BTreeMap<Scene, [f64; least_squares::TERMS]>,
}

impl Fitted {
    /// The offset of the scores that all clips gave, and what the weights were multiplied by, in shares of the scale.
    pub(super) fn mapping(&self) -> (f64, f64) {
        (self.all[0], self.all.iter().skip(1).sum())
    }

    fn predict(&self, sample: &Sample) -> f64 {
        let own = sample.scene.and_then(|scene| self.own.get(&scene));
        least_squares::value(own.unwrap_or(&self.all), sample.qualities())
    }
}

/// The contents, in alphabetical order.
pub(super) fn contents(samples: &[Sample]) -> BTreeSet<&str> {
    samples.iter().map(|one| one.content.as_str()).collect()
}

/// Learns from these clips; `None` if their scores don't rise with either quality.
pub(super) fn fit(samples: &[Sample]) -> Option<Fitted> {
    let points = |samples: &[&Sample]| -> Vec<_> {
        samples
            .iter()
            .map(|one| (one.qualities(), one.share))
            .collect()
    };
    let all = least_squares::fit(&points(&samples.iter().collect::<Vec<_>>()))?;
    let shares = |fit: &[f64; least_squares::TERMS]| {
        let sum: f64 = fit.iter().skip(1).sum();
        Shares {
            sound: (fit[1] / sum) as f32,
            frames: (fit[2] / sum) as f32,
            both: (fit[3] / sum) as f32,
        }
    };
    let (mut weights, mut own, mut learned) =
        (Weights::default(), BTreeMap::new(), BTreeMap::new());
    for scene in Scene::ALL {
        let of_it: Vec<&Sample> = samples
            .iter()
            .filter(|one| one.scene == Some(scene))
            .collect();
        let seen: BTreeSet<_> = of_it.iter().map(|one| &one.content).collect();
        let enough = of_it.len() >= CLIPS && seen.len() >= CONTENTS;
        let fit = enough
            .then(|| least_squares::fit(&points(&of_it)))
            .flatten();
        weights.set(scene, shares(fit.as_ref().unwrap_or(&all)));
        if let Some(fit) = fit {
            own.insert(scene, fit);
            learned.insert(scene, of_it.len());
        }
    }
    Some(Fitted {
        weights,
        learned,
        all,
        own,
    })
}

/// Agreement of the clips' scores with what was learned from other contents, and with what needs no learning.
pub(super) fn compare(
    samples: &[Sample],
    folds: usize,
    seed: u64,
) -> Vec<(&'static str, Agreement)> {
    let mut contents: Vec<&str> = contents(samples).into_iter().collect();
    let mut random = Random::of(seed, &[]);
    for k in (1..contents.len()).rev() {
        contents.swap(k, random.below(k + 1));
    }
    let fold: BTreeMap<&str, usize> = contents
        .into_iter()
        .enumerate()
        .map(|(k, content)| (content, k % folds))
        .collect();
    let of = |one: &Sample| fold.get(one.content.as_str()).copied();
    let mut learned = vec![0.0; samples.len()];
    for held_out in 0..folds {
        let others: Vec<Sample> = samples
            .iter()
            .filter(|one| of(one) != Some(held_out))
            .cloned()
            .collect();
        let fitted = fit(&others);
        for (score, one) in learned.iter_mut().zip(samples) {
            if of(one) == Some(held_out) {
                // Without a fit, the mean of the others.
                *score = match &fitted {
                    Some(fitted) => fitted.predict(one),
                    None => {
                        others.iter().map(|one| one.share).sum::<f64>() / others.len().max(1) as f64
                    }
                };
            }
        }
    }
    let given: Vec<f64> = samples.iter().map(|one| one.mos).collect();
    let with = |of: &dyn Fn(&Sample) -> f64| {
        let predicted: Vec<f64> = samples.iter().map(of).collect();
        Agreement::of(&predicted, &given)
    };
    vec![
        (
            "learned, on other contents",
            Agreement::of(&learned, &given),
        ),
        ("built-in weights", with(&super::built_in)),
        ("sound alone", with(&|one| one.sound.into())),
        ("frames alone", with(&|one| one.frames.into())),
        (
            "product of both",
            with(&|one| f64::from(one.sound * one.frames)),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clips of contents that people like more or less, whatever their quality, scored by known weights.
    fn made(contents: usize, truth: impl Fn(Option<Scene>, f64, f64) -> f64) -> Vec<Sample> {
        let mut random = Random::of(7, &[]);
        let mut share = || f64::from(random.unit());
        let mut all = Vec::new();
        for content in 0..contents {
            let liked = 0.04 * (share() - 0.5);
            let scene = [Some(Scene::Speech), Some(Scene::Action), None][content % 3];
            for _ in 0..12 {
                let (a, v) = (share(), share());
                let share = 0.1 + 0.6 * truth(scene, a, v) + liked + 0.02 * (share() - 0.5);
                all.push(Sample {
                    content: format!("c{content}"),
                    scene,
                    sound: a as f32,
                    frames: v as f32,
                    share,
                    mos: 100.0 * share,
                });
            }
        }
        all
    }

    #[test]
    fn the_weights_that_made_the_scores_are_found_by_scene() {
        let samples = made(30, |scene, a, v| match scene {
            Some(Scene::Speech) => 0.6 * a + 0.1 * v + 0.3 * a * v,
            _ => 0.1 * a + 0.5 * v + 0.4 * a * v,
        });
        let fitted = fit(&samples).unwrap();
        assert_eq!(
            fitted.learned,
            BTreeMap::from([(Scene::Speech, 120), (Scene::Action, 120)])
        );
        let near = |own: &Shares, wanted: [f32; 3]| {
            [own.sound, own.frames, own.both]
                .into_iter()
                .zip(wanted)
                .all(|(a, b)| (a - b).abs() < 0.1)
        };
        assert!(
            near(fitted.weights.of(Scene::Speech), [0.6, 0.1, 0.3]),
            "{fitted:?}"
        );
        assert!(
            near(fitted.weights.of(Scene::Action), [0.1, 0.5, 0.4]),
            "{fitted:?}"
        );
        // Music has no clips: its weights are those of all.
        assert_eq!(
            fitted.weights.of(Scene::Music),
            fitted.weights.of(Scene::Ambience)
        );
        let (offset, gain) = fitted.mapping();
        assert!(
            (0.0..0.2).contains(&offset) && (0.5..0.7).contains(&gain),
            "{offset} {gain}"
        );
        let compared = compare(&samples, 5, 1);
        let srocc: Vec<f64> = compared.iter().map(|(_, own)| own.srocc).collect();
        assert!(srocc[0] > 0.93, "{compared:?}");
        assert!(
            srocc.iter().skip(1).all(|other| *other < srocc[0]),
            "{compared:?}"
        );
    }

    #[test]
    fn scores_that_only_name_the_content_are_not_learned_by_heart() {
        // Each content has one quality and a score that has nothing to do with it.
        let mut random = Random::of(3, &[]);
        let samples: Vec<Sample> = (0..24)
            .flat_map(|content| {
                let [a, v, mos] = [0; 3].map(|_| random.unit());
                (0..10).map(move |_| Sample {
                    content: format!("c{content}"),
                    scene: None,
                    sound: a,
                    frames: v,
                    share: mos.into(),
                    mos: mos.into(),
                })
            })
            .collect();
        let (_, learned) = compare(&samples, 8, 1)[0];
        assert!(learned.srocc < 0.45, "{learned:?}");
    }
}
