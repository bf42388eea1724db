//! A way to choose and show frames, and frames as templates see them.

use anchoring::tier::{Prices, Tier, Tokens};
use anyhow::bail;

use super::pool::Pool;
use super::prompt::{Piece, PromptFrame, Template};
use crate::cli::Sampling;

/// Most frames that are shown with explanations of a sound.
const EXPLAINED_FRAMES: usize = 2;

/// A way to choose and show frames.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arm<'a> {
    pub(crate) sampling: Sampling,
    pub(crate) template: &'a Template,
    /// How many frames.
    pub(crate) frames: usize,
    pub(crate) tier: Tier,
}

/// A prepared call: its purpose, text and frames.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) what: &'static str,
    pub(crate) pieces: Vec<Piece>,
    pub(crate) frames: Vec<PromptFrame>,
}

/// A candidate as the template sees it.
pub(super) fn shown(pool: &Pool<'_>, at: usize, tier: Tier) -> PromptFrame {
    let candidate = pool.candidates[at];
    let heard = &pool.heard[candidate.recording];
    PromptFrame {
        number: 0,
        recording: candidate.recording,
        name: heard.name.clone(),
        at: candidate.at,
        pts: None,
        tier,
        tokens: Prices::default().of(tier),
        sound: candidate.sound.map(|row| {
            (
                row,
                heard.sounds[row].onset,
                heard.sounds[row].label.clone(),
            )
        }),
        far: false,
    }
}

/// The frames of a sound, renumbered.
pub(super) fn of_sound(
    frames: &[PromptFrame],
    (recording, row): (usize, usize),
) -> Vec<PromptFrame> {
    let own = frames.iter().filter(|shown| {
        shown.recording == recording && shown.sound.as_ref().is_some_and(|(of, _, _)| *of == row)
    });
    let own = own.take(EXPLAINED_FRAMES).cloned().enumerate();
    own.map(|(at, shown)| PromptFrame {
        number: at + 1,
        ..shown
    })
    .collect()
}

/// The label of the sound of frames.
pub(super) fn label_of(frames: &[PromptFrame]) -> String {
    let sound = frames.first().and_then(|shown| shown.sound.as_ref());
    sound.map(|(_, _, label)| label.clone()).unwrap_or_default()
}

/// The number of frames that these tokens pay for.
///
/// # Errors
/// They do not pay for one frame.
pub(crate) fn frames_for(tokens: Option<Tokens>, tier: Tier) -> anyhow::Result<usize> {
    /// Frames per answer, unless tokens are given.
    const FRAMES: Tokens = 4;
    /// Most frames per answer.
    const MOST: Tokens = 256;
    let price = Prices::default().of(tier);
    let n = tokens.map_or(FRAMES, |tokens| tokens / price);
    if !(1..=MOST).contains(&n) {
        bail!(
            "{} tokens pay for {n} frames of tier {tier}, {price} tokens each: must be 1 to {MOST}",
            tokens.unwrap_or(0)
        );
    }
    Ok(n as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_pay_for_frames() {
        assert_eq!(frames_for(None, Tier::High).unwrap(), 4);
        assert_eq!(frames_for(Some(3136), Tier::Low).unwrap(), 64);
        assert!(
            frames_for(Some(10), Tier::High)
                .unwrap_err()
                .to_string()
                .contains("0 frames")
        );
    }
}
