//! The keys of manifests for encoders of clips.

use anchoring::planning::clips::{ClipShape, FrameSpacing};
use anchoring::tier::Tokens;
use anchoring::time::Nanos;
use serde::{Deserialize, Serialize};

use super::{Kind, Manifest};

/// Frames and side of a tubelet, the unit of price of an encoder of clips: one token.
const TUBE: usize = 2;
const PATCH: usize = 16;

/// The distance between two frames of a clip: one of the two.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipStep {
    /// Frames of the recording, 1..=1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<u32>,
    /// Milliseconds, 0.1..=60000: takes the frame nearest to each time, whatever the recording's rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<f64>,
}

/// One of several inputs that get the same clip at different rates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pathway {
    /// Name of the input in the ONNX file.
    pub name: String,
    /// How many of the clip's frames it takes: the first, the last, and others evenly between them.
    pub frames: usize,
}

impl Manifest {
    /// The shape of its clips; `None` unless it encodes clips.
    pub fn clip(&self) -> Option<ClipShape> {
        let frames = self.input.frames?;
        let every = match self.input.every {
            Some(ClipStep { ms: Some(ms), .. }) => {
                FrameSpacing::Time(Nanos::new((ms * 1e6).round() as i64))
            }
            Some(ClipStep { frames, .. }) => FrameSpacing::Frames(frames.unwrap_or(1)),
            None => FrameSpacing::Frames(1),
        };
        (self.kind == Kind::ClipEncoder).then_some(ClipShape {
            frames: u32::try_from(frames).ok()?,
            every,
        })
    }

    /// Its inputs, and how many frames each takes; one without pathways.
    pub fn pathways(&self) -> Vec<Pathway> {
        match &self.input.pathways[..] {
            [] => vec![Pathway {
                name: self.input.name.clone(),
                frames: self.input.frames.unwrap_or(1),
            }],
            pathways => pathways.to_vec(),
        }
    }

    /// Fills in what follows from the rest of a manifest for an encoder of clips.
    pub(super) fn fill_clip(&mut self) {
        if self.kind != Kind::ClipEncoder {
            return;
        }
        let input = &mut self.input;
        if let Some(first) = input.pathways.first() {
            let longest = input.pathways.iter().map(|pathway| pathway.frames).max();
            input.frames = input.frames.or(longest);
            if input.name.is_empty() {
                input.name.clone_from(&first.name);
            }
        }
        let tubes = input.frames.unwrap_or(1).div_ceil(TUBE) as Tokens;
        if let Some(tiers) = &mut self.tiers {
            for tier in [&mut tiers.low, &mut tiers.base, &mut tiers.high] {
                let patches = tier.px.div_ceil(PATCH).saturating_pow(2) as Tokens;
                if tier.tokens == 0 {
                    tier.tokens = tubes.saturating_mul(patches);
                }
            }
        }
    }
}
