//! Finds out what a server can do: one tiny call for each ability, before the first question.

use jpeg_encoder::{ColorType, Encoder};
use serde::Serialize;
use serde_json::Value;

use super::call::{Call, Image, Part, Shape};
use super::client::{CallError, Client};

/// Side of the test image: some encoders refuse smaller ones.
const SIDE: u16 = 64;

/// What a server can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Abilities {
    /// It gives log probabilities.
    pub(crate) logprobs: bool,
    /// It answers with JSON of a required form.
    pub(crate) structured: bool,
    /// Most images in one call, up to the number wanted.
    pub(crate) images: usize,
}

impl Abilities {
    /// In words.
    pub(crate) fn text(&self, wanted: usize) -> String {
        let images = match self.images {
            n if n >= wanted => format!("{n} images a call"),
            n => format!("{n} of {wanted} images a call"),
        };
        let yes = |has: bool, what: &str| format!("{}{what}", if has { "" } else { "no " });
        format!(
            "{images}, {}, {}",
            yes(self.logprobs, "log probabilities"),
            yes(self.structured, "structured output")
        )
    }
}

/// Finds out what a server can do. `wanted`: images per call.
///
/// # Errors
/// It cannot be called, or accepts no images.
pub(crate) fn probe(client: &mut Client, wanted: usize) -> anyhow::Result<Abilities> {
    let image = Image(grey()?.into());
    let call = |images: usize, logprobs: bool, shape: Shape| {
        let mut parts = vec![Part::Image(image.clone()); images];
        parts.push(Part::Text("Is this image grey? Answer yes or no.".into()));
        Call {
            parts,
            shape,
            logprobs,
            sample: 0,
            max_tokens: 24,
        }
    };
    let logprobs = match client.ask(&call(1, true, Shape::Free)) {
        Ok(reply) => !reply.tokens.is_empty(),
        Err(CallError::Refused { .. }) => {
            if let Err(e) = client.ask(&call(1, false, Shape::Free)) {
                return Err(match e {
                    CallError::Refused { .. } => {
                        anyhow::anyhow!("{e}; does the model take images?")
                    }
                    e => e.into(),
                });
            }
            false
        }
        Err(e) => return Err(e.into()),
    };
    let words = vec!["yes".to_owned(), "no".to_owned()];
    let structured = match client.ask(&call(1, false, Shape::Object(words))) {
        Ok(reply) => serde_json::from_str::<Value>(&reply.text)
            .is_ok_and(|value| value["answer"].is_string() && value["frames"].is_array()),
        Err(CallError::Refused { .. } | CallError::Broken { .. }) => false,
        Err(e) => return Err(e.into()),
    };
    let mut images = client
        .server()
        .most_images
        .map_or(wanted, |most| most.min(wanted));
    while images > 1 {
        match client.ask(&call(images, false, Shape::Free)) {
            Ok(_) => break,
            Err(CallError::Refused { .. }) if images <= 8 => images -= 1,
            Err(CallError::Refused { .. }) => images /= 2,
            Err(e) => return Err(e.into()),
        }
    }
    Ok(Abilities {
        logprobs,
        structured,
        images: images.max(1),
    })
}

/// A grey square.
fn grey() -> anyhow::Result<Vec<u8>> {
    let mut jpeg = Vec::new();
    let pixels = vec![128; usize::from(SIDE) * usize::from(SIDE)];
    Encoder::new(&mut jpeg, 80).encode(&pixels, SIDE, SIDE, ColorType::Luma)?;
    Ok(jpeg)
}
