//! The parser's tasks: training on weak labels and pseudo labels, and predictions.

use std::path::Path;

use anyhow::{Context, bail};
use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;
use burn::tensor::backend::Backend;
use serde_json::json;

use super::experiment::{Experiment, Mixup, Similarity, Targets};
use super::fit::{self, Epoch, Task};
use super::labelling::words;
use super::layers::{Net, Shapes};
use super::losses::{self, tensor};
use super::model::{Model, Standard, card, inputs, numbers, on, standard};
use super::parser::{self, Shape};
use super::pseudo::Pseudo;
use super::score;
use super::videos::{Modality, Videos};
use crate::dataset::Split;
use crate::network::Weights;
use crate::optimiser::Tracked;
use crate::tensors::Matrices;
use crate::train::NextStep;

/// Videos per prediction.
const AT_ONCE: usize = 64;
/// Probability above which a class is present.
pub const THERE: f32 = 0.5;

struct Parsing<'a> {
    videos: &'a Videos,
    pseudo: Option<&'a Pseudo>,
    of: Experiment,
    shape: Shape,
    standard: Standard,
    validation: Vec<usize>,
    /// Weights of a class that is in the video, and of one that is not; of the sound, of the frames.
    balance: [(f32, f32); 2],
}

/// The mean embedding of each second's pseudo labels: of all that are above their threshold, whatever the weak label says, since there is none
/// when something is predicted.
fn names<B: Backend>(
    videos: &Videos,
    pseudo: &Pseudo,
    m: Modality,
    of: &[usize],
) -> anyhow::Result<Tensor<B, 3>> {
    let words = words(videos)?[m as usize];
    let c = videos.classes.len();
    let labels = pseudo.labels(videos, m, of, false);
    let mut data = vec![0.0; labels.len() / c * words.cols];
    for (row, labels) in data.chunks_mut(words.cols).zip(labels.chunks(c)) {
        let count = labels.iter().sum::<f32>().max(1.0);
        for (word, _) in words
            .data
            .chunks(words.cols)
            .zip(labels)
            .filter(|x| *x.1 > 0.0)
        {
            row.iter_mut().zip(word).for_each(|(x, w)| *x += w / count);
        }
    }
    Ok(tensor(data, [of.len(), videos.seconds, words.cols]))
}

/// The forward pass on some videos.
fn parsed<B: Backend>(
    videos: &Videos,
    standard: &Standard,
    pseudo: Option<&Pseudo>,
    of: &Experiment,
    net: &mut Net<'_, B>,
    which: &[usize],
) -> anyhow::Result<parser::Parsed<B>> {
    let x = inputs(videos, standard, which)?;
    let names = match pseudo {
        Some(pseudo) if of.parser.plsim => Some([
            names(videos, pseudo, Modality::Audio, which)?,
            names(videos, pseudo, Modality::Visual, which)?,
        ]),
        _ => None,
    };
    Ok(parser::forward(of.parser, net, x, names))
}

impl Parsing<'_> {
    /// Pseudo labels as targets: `videos * seconds * classes`.
    fn targets(&self, pseudo: &Pseudo, m: Modality, of: &[usize]) -> Vec<f32> {
        if self.of.losses.pseudo != Targets::Uncertainty {
            return pseudo.labels(self.videos, m, of, true);
        }
        let (t, c) = (self.videos.seconds, self.videos.classes.len());
        let (logits, thresholds) = (&pseudo.logits[m as usize], &pseudo.thresholds[m as usize]);
        let mut all = Vec::with_capacity(of.len() * t * c);
        for i in of {
            let weak = &self.videos.weak[i * c..(i + 1) * c];
            for second in 0..t {
                for class in 0..c {
                    let logit = logits[(i * t + second) * c + class];
                    let weak = weak[class] == 1;
                    let temperature = self.of.losses.temperature;
                    all.push(losses::uncertainty(
                        logit,
                        thresholds[class],
                        weak,
                        temperature,
                    ));
                }
            }
        }
        all
    }

    /// The weight of every segment and class.
    fn weights(&self, m: Modality, of: &[usize]) -> Vec<f32> {
        let (present, absent) = self.balance[m as usize];
        let weak = self.videos.weak_labels(of);
        weak.chunks(self.videos.classes.len())
            .flat_map(|row| std::iter::repeat_n(row, self.videos.seconds))
            .flatten()
            .map(|x| if *x > 0.0 { present } else { absent })
            .collect()
    }
}

impl Task for Parsing<'_> {
    fn shapes(&self) -> Shapes {
        parser::shapes(self.of.parser, self.shape)
    }

    fn first(&self, seed: u64) -> Matrices {
        self.shapes().first(seed, parser::first)
    }

    fn loss(
        &self,
        weights: &Weights<Tracked>,
        of: &[usize],
        random: &mut fastrand::Rng,
    ) -> anyhow::Result<Tensor<Tracked, 1>> {
        let (n, t, c) = (of.len(), self.videos.seconds, self.videos.classes.len());
        let l = self.of.losses;
        let dropout = self.of.parser.encoder.dropout;
        let mut net = Net::new(weights, Some((&mut *random, dropout)));
        let parsed = parsed(
            self.videos,
            &self.standard,
            self.pseudo,
            &self.of,
            &mut net,
            of,
        )?;
        let weak = tensor::<Tracked, 2>(self.videos.weak_labels(of), [n, c]);
        let mut loss = losses::of_probability(parsed.video, weak.clone()).mean();
        let [heard, seen] = parsed.each;
        for (share, each) in [(l.weak_audio, heard.clone()), (l.weak_visual, seen.clone())] {
            if share > 0.0 {
                let smooth = weak.clone() * share + 0.5 * (1.0 - share);
                loss = loss + losses::of_probability(each, smooth).mean();
            }
        }
        let Some(pseudo) = self.pseudo else {
            return Ok(loss);
        };
        let dims = [n, t, c];
        let targets = Modality::BOTH.map(|m| self.targets(pseudo, m, of));
        if l.pseudo_video {
            for (m, each) in Modality::BOTH.into_iter().zip([heard, seen]) {
                let labels = tensor::<Tracked, 3>(targets[m as usize].clone(), dims);
                let anywhere = labels.max_dim(1).reshape([n, c]);
                loss = loss + losses::of_probability(each, anywhere).mean();
            }
        }
        if l.pseudo != Targets::None {
            for (m, logits) in Modality::BOTH.into_iter().zip(parsed.logits) {
                let target = tensor(targets[m as usize].clone(), dims);
                let mut each = losses::of_logit(logits, target);
                if l.reweight {
                    each = each * tensor(self.weights(m, of), dims);
                }
                loss = loss + each.mean();
            }
        }
        if l.mixup != Mixup::None {
            let share = losses::beta(l.mixup_alpha, random);
            let mut other: Vec<usize> = (0..n).collect();
            random.shuffle(&mut other);
            let net = Net::new(weights, None);
            let places = Tensor::from_data(
                burn::tensor::TensorData::new(
                    other.iter().map(|i| *i as i64).collect::<Vec<_>>(),
                    [n],
                ),
                &Default::default(),
            );
            for (m, x) in Modality::BOTH.into_iter().zip(parsed.features) {
                let mixed = losses::mix(x.clone(), x.select(0, places.clone()), share);
                let own = &targets[m as usize];
                let theirs: Vec<f32> = other
                    .iter()
                    .flat_map(|i| &own[i * t * c..(i + 1) * t * c])
                    .copied()
                    .collect();
                let target = losses::mix_targets(own, &theirs, share, l.mixup == Mixup::Ceiling);
                let logits = net.linear(mixed, "class");
                loss = loss + losses::of_logit(logits, tensor(target, dims)).mean();
            }
        }
        if l.similarity != Similarity::None {
            let [a, v] = parsed.encoded;
            let s = losses::cosine(a, v);
            let [heard, seen] = Modality::BOTH.map(|m| pseudo.labels(self.videos, m, of, true));
            let common = tensor(losses::in_common(&heard, &seen, c), [n, t]);
            let far = s.clone() - common;
            let mut each = far.clone() * far;
            if l.similarity == Similarity::Dynamic {
                each = each * losses::weight(s, weights["similarity.mu"].clone());
            }
            loss = loss + each.mean() * l.similarity_weight;
        }
        Ok(loss)
    }

    fn score(&self, weights: &Matrices) -> anyhow::Result<Option<f64>> {
        let said = say(
            self.videos,
            &self.standard,
            self.pseudo,
            &self.of,
            weights,
            &self.validation,
        )?;
        let (t, c) = (self.videos.seconds, self.videos.classes.len());
        let mut types = Vec::new();
        for (n, video) in self.validation.iter().enumerate() {
            let at = n * t * c..(n * t + self.videos.lengths[*video]) * c;
            let cells = [0, 1].map(|m: usize| said.there(m, n, t, c)[..at.len()].to_vec());
            let truth = Modality::BOTH.map(|m| {
                let labels = self.videos.dense_labels(m, &[*video]);
                labels[..at.len()]
                    .iter()
                    .map(|x| *x > 0.0)
                    .collect::<Vec<_>>()
            });
            let figures = score::segments([&cells[0], &cells[1]], [&truth[0], &truth[1]], c);
            types.push(figures.iter().sum::<f64>() / 3.0);
        }
        Ok((!types.is_empty()).then(|| types.iter().sum::<f64>() / types.len() as f64))
    }
}

/// The predictions of a model for videos, in their order.
#[derive(Clone, Debug, Default)]
pub struct VideoPredictions {
    /// Probabilities of classes in seconds, `videos * seconds * classes`: heard, seen.
    pub segments: [Vec<f32>; 2],
    /// Probabilities of classes in videos, `videos * classes`.
    pub video: Vec<f32>,
}

impl VideoPredictions {
    /// Classes present in each second of the `n`th video: above a half in the second, and in the video.
    pub fn there(&self, m: usize, n: usize, seconds: usize, classes: usize) -> Vec<bool> {
        let segments = &self.segments[m][n * seconds * classes..(n + 1) * seconds * classes];
        let video = &self.video[n * classes..(n + 1) * classes];
        segments
            .chunks(classes)
            .flat_map(|row| row.iter().zip(video))
            .map(|(x, video)| *x > THERE && *video > THERE)
            .collect()
    }
}

fn say(
    videos: &Videos,
    standard: &Standard,
    pseudo: Option<&Pseudo>,
    of: &Experiment,
    weights: &Matrices,
    which: &[usize],
) -> anyhow::Result<VideoPredictions> {
    let weights = on(weights);
    let mut said = VideoPredictions::default();
    for which in which.chunks(AT_ONCE) {
        let mut net = Net::new(&weights, None);
        let parsed = parsed(videos, standard, pseudo, of, &mut net, which)?;
        for (all, logits) in said.segments.iter_mut().zip(parsed.logits) {
            all.extend(numbers(sigmoid(logits))?);
        }
        said.video.extend(numbers(parsed.video)?);
    }
    Ok(said)
}

/// Trains the parser on weak labels, and on pseudo labels if the experiment uses them. `None` if `each` stopped it.
///
/// # Errors
/// The data has no training split, pseudo labels are missing, or the checkpoint is of another training.
pub fn train(
    videos: &Videos,
    pseudo: Option<&Pseudo>,
    of: Experiment,
    checkpoint: Option<&Path>,
    each: &mut dyn FnMut(Epoch) -> NextStep,
) -> anyhow::Result<Option<Model>> {
    let pseudo = match (of.needs_pseudo(), pseudo) {
        (true, None) => bail!("the experiment needs pseudo labels: give them with --pseudo"),
        (true, pseudo) => pseudo,
        (false, _) => None,
    };
    let training = videos.of(Split::Train);
    let validation = videos.of(Split::Validation).into_iter();
    let validation = validation.filter(|i| videos.dense[*i]).collect();
    let shape = Shape {
        seconds: videos.seconds,
        widths: Modality::BOTH.map(|m| videos.width(m)),
        classes: videos.classes.len(),
        words: if of.parser.plsim {
            words(videos)?.map(|w| w.cols)
        } else {
            [0, 0]
        },
    };
    let balance = Modality::BOTH.map(|m| {
        let positive = pseudo.map_or(0.0, |pseudo| {
            let each = training.chunks(AT_ONCE);
            let sum: f32 = each.flat_map(|of| pseudo.labels(videos, m, of, true)).sum();
            sum / (training.len() * videos.seconds).max(1) as f32
        });
        losses::balance(positive, shape.classes, of.losses.reweight_present)
    });
    let task = Parsing {
        videos,
        pseudo,
        of,
        shape,
        standard: standard(videos, of.training, &training)?,
        validation,
        balance,
    };
    let note = json!({
        "kind": "parser", "parser": of.parser, "losses": of.losses, "training": of.training, "data_sha256": videos.hash,
        "pseudo_sha256": pseudo.map(|p| &p.hash), "version": env!("CARGO_PKG_VERSION"),
    });
    let trained = fit::fit(&task, of.training, &training, &note, checkpoint, each)
        .context("training the parser")?;
    let Some((weights, progress)) = trained else {
        return Ok(None);
    };
    Ok(Some(Model {
        card: card(
            "parser",
            &of,
            videos,
            shape,
            &progress,
            "Type@AV of segments",
        ),
        experiment: of,
        shape,
        standard: task.standard,
        weights,
    }))
}

/// The parser's predictions for some videos.
///
/// # Errors
/// The data does not fit the model, or pseudo labels are missing that PLSIM needs.
pub fn predict(
    model: &Model,
    videos: &Videos,
    pseudo: Option<&Pseudo>,
    which: &[usize],
) -> anyhow::Result<VideoPredictions> {
    model.takes(videos)?;
    if model.experiment.parser.plsim && pseudo.is_none() {
        bail!("the model was trained with PLSIM, which needs pseudo labels of these videos");
    }
    say(
        videos,
        &model.standard,
        pseudo,
        &model.experiment,
        &model.weights,
        which,
    )
}
