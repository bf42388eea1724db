//! Contents of the feature files that tests write.

use anchoring::cue::{Cue, SoundQuality, Tag};
use anchoring::plan::Anchor;
use anchoring::time::{Nanos, Window};
use gstearmark::h5::ModelNote;

/// The encoder `e` with this SHA-256.
pub fn encoder(sha256: &str) -> ModelNote {
    ModelNote {
        role: "encoder".into(),
        name: "e".into(),
        sha256: sha256.into(),
        ..ModelNote::default()
    }
}

/// An anchor with a window of these milliseconds before and after its onset.
pub fn anchor(id: u32, onset: Nanos, pre_ms: i64, post_ms: i64) -> Anchor {
    let window = Window::new(
        onset - Nanos::from_ms(pre_ms),
        onset + Nanos::from_ms(post_ms),
    );
    Anchor {
        id,
        onset,
        window: window.unwrap(),
        label: format!("Käse {id}"),
        class_id: 3,
        score: 0.5,
        uncertainty: 0.25,
    }
}

/// The cue of hop `k`.
pub fn cue(k: i64) -> Cue {
    Cue {
        pts: Nanos::from_ms(80 * k),
        eventness: 0.5,
        uncertainty: 0.25,
        speech: 0.125,
        tags: vec![Tag {
            class_id: 1,
            p: 0.5,
        }],
        onset: None,
        bands: [k as u8; 16],
        change: (k % 3 > 0).then_some((k % 64) as f32 / 8.0),
        quality: (k % 3 > 0).then(|| {
            SoundQuality::from_shares(std::array::from_fn(|measure| {
                (k + measure as i64) as f32 % 256.0 / 255.0
            }))
        }),
    }
}
