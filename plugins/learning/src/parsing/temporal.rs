//! The transformer over time that is trained on densely labelled video (UWAV's first stage): for the sound and for the frames apart, a hidden
//! layer, an encoder with the norm behind each part, a hidden layer into the space of the classes' names; a logit is the product with a name.
//!
//! The paper does not say how seconds get their place: sines and cosines are added here.

use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;
use burn::tensor::backend::Backend;

use super::experiment::Temporal;
use super::layers::{self, Net, Shapes};
use super::losses::{self, tensor};
use super::videos::Modality;
use crate::tensors::Matrix;

/// Far below every score.
const BLOCKED: f32 = -1e9;

/// Its matrices: `widths` of features, `words` of names.
pub fn shapes(of: Temporal, widths: [usize; 2], words: [usize; 2]) -> Shapes {
    let mut shapes = Shapes::default();
    let h = of.encoder.hidden;
    for (modality, (width, word)) in Modality::BOTH
        .into_iter()
        .zip(widths.into_iter().zip(words))
    {
        let m = modality.name();
        shapes.mlp(&format!("{m}.in"), width, 2 * h, h);
        for layer in 0..of.encoder.layers {
            let name = format!("{m}.{layer}");
            shapes.attention(&format!("{name}.self"), h);
            layers::feed_forward(&mut shapes, &name, of.encoder);
        }
        shapes.mlp(&format!("{m}.out"), h, h, word);
    }
    shapes
}

/// Where a second lies, as sines and cosines: `[1, seconds, width]`.
fn places<B: Backend>(seconds: usize, width: usize) -> Tensor<B, 3> {
    let mut data = Vec::with_capacity(seconds * width);
    for t in 0..seconds {
        for i in 0..width {
            let angle = t as f32 / 10_000_f32.powf((i / 2 * 2) as f32 / width as f32);
            data.push(if i % 2 == 0 { angle.sin() } else { angle.cos() });
        }
    }
    tensor(data, [1, seconds, width])
}

/// What hides padding from an attention: `[n, 1, 1, seconds]`.
pub fn blocked<B: Backend>(lengths: &[usize], seconds: usize) -> Tensor<B, 4> {
    let data = lengths
        .iter()
        .flat_map(|length| (0..seconds).map(move |t| if t < *length { 0.0 } else { BLOCKED }))
        .collect();
    tensor(data, [lengths.len(), 1, 1, seconds])
}

/// Logits of a modality: `[n, seconds, classes]`.
pub fn logits<B: Backend>(
    of: Temporal,
    net: &mut Net<'_, B>,
    modality: Modality,
    x: Tensor<B, 3>,
    words: &Matrix,
    lengths: &[usize],
) -> Tensor<B, 3> {
    let m = modality.name();
    let [n, t, _] = x.dims();
    let blocked = blocked(lengths, t);
    let x = net.mlp(x, &format!("{m}.in"));
    let mut x = x + places(t, of.encoder.hidden);
    for layer in 0..of.encoder.layers {
        let name = format!("{m}.{layer}");
        let y = net.attention(
            x.clone(),
            x.clone(),
            of.encoder.heads,
            &format!("{name}.self"),
            Some(&blocked),
        );
        let y = net.drop(y);
        x = net.norm(x + y, &format!("{name}.norm1"));
        x = net.feed_forward(x, &name);
    }
    let x = net.mlp(x, &format!("{m}.out"));
    let word = words.cols;
    let names = tensor::<B, 2>(words.data.clone(), [words.rows, word]).transpose();
    let scale = match modality {
        Modality::Audio => of.scale_audio,
        Modality::Visual => of.scale_visual,
    };
    (x.reshape([n * t, word]).matmul(names) * scale).reshape([n, t, words.rows])
}

/// The loss: a class is heard and seen in a second with the product of its two probabilities. `labels` and `weights`
/// `[n, seconds, classes]`; `valid`: how many seconds are not padding.
pub fn loss<B: Backend>(
    logits: [Tensor<B, 3>; 2],
    labels: Tensor<B, 3>,
    weights: Tensor<B, 3>,
    valid: usize,
) -> Tensor<B, 1> {
    let classes = labels.dims()[2];
    let [audio, visual] = logits.map(sigmoid);
    (losses::of_probability(audio * visual, labels) * weights).sum()
        / (valid.max(1) * classes) as f64
}
