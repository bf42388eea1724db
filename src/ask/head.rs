//! A localizer head: a small network that scores candidates by what `stored` sees of them, and what its card says of it.

use std::path::Path;

use anyhow::{Context, bail};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::stored::{BESIDE, Stored, WORDS};

/// What `layout` of a card must say.
pub(crate) const LAYOUT: &str = "earmark-localizer/1";
/// Largest file, in bytes.
const LARGEST: u64 = 256 << 20;
/// Widest hidden layer.
const WIDEST: usize = 4096;

/// What a head was made for, and whether it helps.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct HeadCard {
    pub(crate) layout: String,
    /// Numbers of a stored feature.
    pub(crate) dim: usize,
    /// SHA-256 of the encoder of those features; empty if unknown.
    pub(crate) encoder: String,
    /// SHA-256 of the text encoder that gives a question's vector; empty where its words do.
    pub(crate) text_encoder: String,
    /// Numbers of a question's vector.
    pub(crate) question: usize,
    /// Whether it chose better frames than `matched` for questions that it was not trained on.
    pub(crate) helps: bool,
    /// Figures and origin, for people.
    #[serde(flatten)]
    pub(crate) rest: Value,
}

/// A head.
pub(crate) struct Head {
    pub(crate) about: HeadCard,
    mean: Vec<f32>,
    scale: Vec<f32>,
    /// By value, then by hidden unit.
    into: Vec<f32>,
    into_bias: Vec<f32>,
    /// Yes minus no, by hidden unit.
    out: Vec<f32>,
    out_bias: f32,
}

impl Head {
    /// Reads a head.
    ///
    /// # Errors
    /// The file cannot be read, or is no localizer head.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        let name = file.display();
        let cannot = || format!("cannot read the localizer head {name}");
        if file.metadata().with_context(cannot)?.len() > LARGEST {
            bail!("{name} has more than {LARGEST} bytes: is it a localizer head?");
        }
        let bytes = std::fs::read(file).with_context(cannot)?;
        Self::parse(&bytes).with_context(|| {
            format!("{name} is no localizer head (`earmark fit-localizer` makes one)")
        })
    }

    /// From the bytes of its file.
    ///
    /// # Errors
    /// They are no localizer head.
    pub(crate) fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        let tensors = SafeTensors::deserialize(bytes)?;
        let (_, about) = SafeTensors::read_metadata(bytes)?;
        let note = about.metadata().as_ref().and_then(|all| all.get("earmark"));
        let note: Value = serde_json::from_str(note.context("it has no card")?)?;
        let about: HeadCard = serde_json::from_value(note["localizer"].clone())
            .context("its card does not say what it was made for")?;
        if about.layout != LAYOUT {
            bail!("its layout is `{}`: must be {LAYOUT}", about.layout);
        }
        let matrix = |name: &str| -> anyhow::Result<([usize; 2], Vec<f32>)> {
            let tensor = tensors.tensor(name)?;
            let &[rows, columns] = tensor.shape() else {
                bail!("`{name}` is no matrix");
            };
            if tensor.dtype() != Dtype::F32 {
                bail!("`{name}` does not hold 32-bit floats");
            }
            let numbers = tensor.data().as_chunks::<4>().0.iter();
            let numbers: Vec<f32> = numbers.map(|x| f32::from_le_bytes(*x)).collect();
            if numbers.iter().any(|x| !x.is_finite()) {
                bail!("`{name}` has numbers that are not finite");
            }
            Ok(([rows, columns], numbers))
        };
        let ([values, hidden], into) = matrix("in.w")?;
        let wanted = about
            .dim
            .checked_add(about.question)
            .and_then(|n| n.checked_add(BESIDE));
        if Some(values) != wanted || hidden == 0 || hidden > WIDEST {
            bail!(
                "`in.w` is {values} x {hidden}: must have {BESIDE} rows more than feature and question"
            );
        }
        let row = |name: &str, n: usize| {
            let (shape, numbers) = matrix(name)?;
            if shape != [1, n] {
                bail!("`{name}` is {shape:?}: must be [1, {n}]");
            }
            Ok(numbers)
        };
        let (shape, out) = matrix("out.w")?;
        if shape != [hidden, 2] {
            bail!("`out.w` is {shape:?}: must be [{hidden}, 2]");
        }
        let bias = row("out.b", 2)?;
        Ok(Self {
            mean: row("input.mean", values)?,
            scale: row("input.scale", values)?,
            into,
            into_bias: row("in.b", hidden)?,
            out: out.chunks_exact(2).map(|pair| pair[1] - pair[0]).collect(),
            out_bias: bias[1] - bias[0],
            about,
        })
    }

    /// Whether it can score candidates with these features and this text encoder (its SHA-256).
    ///
    /// # Errors
    /// It was made for others.
    pub(crate) fn check(&self, stored: &Stored, text_encoder: Option<&str>) -> anyhow::Result<()> {
        let about = &self.about;
        let other = !about.encoder.is_empty()
            && !stored.encoder.is_empty()
            && about.encoder != stored.encoder;
        if about.dim != stored.dim || other {
            bail!(
                "the localizer head was made for features of {} numbers of another encoder than these, of {}: make one for these with `earmark fit-localizer`",
                about.dim,
                stored.dim
            );
        }
        match (about.text_encoder.as_str(), text_encoder) {
            ("", None) if about.question == WORDS => Ok(()),
            (made, Some(given)) if made == given => Ok(()),
            ("", _) => bail!("the localizer head was made without --text-encoder: leave that out"),
            (_, None) => bail!(
                "the localizer head was made with a text encoder: name the same one with --text-encoder"
            ),
            _ => bail!("the localizer head was made with another --text-encoder"),
        }
    }

    /// How much it says "yes" to a candidate. `values`: of the right number.
    pub(crate) fn score(&self, values: &[f32]) -> f64 {
        let hidden = self.into_bias.len();
        let mut sums = self.into_bias.clone();
        let standard = values.iter().zip(self.mean.iter().zip(&self.scale));
        for ((value, (mean, scale)), weights) in standard.zip(self.into.chunks_exact(hidden)) {
            let x = (value - mean) * scale;
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum += x * weight;
            }
        }
        let bent = sums.iter().zip(&self.out).map(|(x, w)| x.max(0.0) * w);
        f64::from(bent.sum::<f32>() + self.out_bias)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use safetensors::tensor::TensorView;
    use serde_json::json;

    use super::*;

    /// The bytes of a head for features of one number and questions of `WORDS`: yes if the feature is positive.
    pub(crate) fn made(change: fn(&mut Value)) -> Vec<u8> {
        let values = 1 + WORDS + BESIDE;
        let mut note = json!({ "localizer": { "layout": LAYOUT, "dim": 1, "encoder": "", "text_encoder": "", "question": WORDS, "helps": true } });
        change(&mut note);
        let mut into = vec![0.0_f32; values * 2];
        into[0] = 1.0;
        into[1] = -1.0;
        let all: [(&str, Vec<usize>, Vec<f32>); 6] = [
            ("in.w", vec![values, 2], into),
            ("in.b", vec![1, 2], vec![0.0; 2]),
            ("out.w", vec![2, 2], vec![0.0, 2.0, 0.0, -2.0]),
            ("out.b", vec![1, 2], vec![0.0, 0.5]),
            ("input.mean", vec![1, values], vec![0.0; values]),
            ("input.scale", vec![1, values], vec![1.0; values]),
        ];
        let bytes = all.map(|(name, shape, numbers)| {
            let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
            (name, shape, bytes)
        });
        let views = bytes.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap();
            (*name, view)
        });
        let about = [("earmark".to_owned(), note.to_string())];
        safetensors::serialize(views, Some(about.into_iter().collect())).unwrap()
    }

    #[test]
    fn a_head_says_yes_and_no() {
        let head = Head::parse(&made(|_| {})).unwrap();
        let mut values = vec![0.0; 1 + WORDS + BESIDE];
        values[0] = 0.25;
        assert!((head.score(&values) - 1.0).abs() < 1e-6);
        values[0] = -1.0;
        assert!((head.score(&values) + 1.5).abs() < 1e-6);
    }

    #[test]
    fn what_is_no_head_is_refused() {
        let whole = made(|_| {});
        for cut in 0..whole.len() {
            assert!(Head::parse(&whole[..cut]).is_err());
        }
        for (change, word) in [
            (
                (|note| note["localizer"]["layout"] = "x".into()) as fn(&mut Value),
                "layout",
            ),
            (|note| note["localizer"]["dim"] = 7.into(), "in.w"),
            (|note| note["localizer"]["dim"] = u64::MAX.into(), "in.w"),
            (|note| note["localizer"] = Value::Null, "made for"),
        ] {
            let wrong = Head::parse(&made(change)).err().unwrap();
            assert!(format!("{wrong:#}").contains(word), "{wrong:#}");
        }
    }
}
