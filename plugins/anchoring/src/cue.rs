//! The cue: what the audio says about one hop of 80 ms.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::time::Nanos;

/// Length of a hop: eight mel frames, a sixth of the tagger's hop. It holds at most one onset, because onsets are
/// more than eight frames apart.
pub const HOP: Nanos = Nanos::from_ms(80);

/// Most classes that a cue carries.
pub const TOP: usize = 5;

/// Greatest change that a cue holds: frames that cost this many times the usual.
pub const MOST_CHANGE: f32 = 64.0;

/// Bands of a cue's coarse spectrum.
pub const COARSE: usize = 16;

/// A tagger's class and its probability.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tag {
    /// Row of the tagger's class list.
    pub class_id: u16,
    /// Probability in [0, 1].
    pub p: f32,
}

/// An instant at which a sound begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Onset {
    /// Accurate to about 10 ms.
    pub at: Nanos,
    /// Probability that an event begins here, in [0, 1]. Onsets are ranked by it.
    pub p: f32,
    /// Uncertainty of the onset, in [0, 1].
    pub uncertainty: f32,
}

impl Onset {
    /// An onset whose uncertainty is `1 - p`.
    pub fn new(at: Nanos, p: f32) -> Self {
        Self {
            at,
            p,
            uncertainty: 1.0 - p,
        }
    }

    /// The onset, less likely by this factor in [0, 1], and as much less certain.
    #[must_use]
    pub fn scaled(self, by: f32) -> Self {
        if by == 1.0 {
            return self;
        }
        Self {
            p: self.p * by,
            uncertainty: 1.0 - (1.0 - self.uncertainty) * by,
            ..self
        }
    }
}

/// Quality of the sound: nine measures, each in [0, 1] in steps of 1/255; 1: nothing wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoundQuality([u8; Self::MEASURES]);

impl SoundQuality {
    /// Number of measures.
    pub const MEASURES: usize = 9;

    /// Names of the measures, in the order of [`Self::shares`]. The first [`Self::FAULTS`] hide events.
    pub const NAMES: [&str; Self::MEASURES] = [
        "clipping",
        "wind",
        "handling",
        "roar",
        "dropouts",
        "hum",
        "bandwidth",
        "noise_floor",
        "snr",
    ];

    /// Number of measures of faults that hide events.
    pub const FAULTS: usize = 5;

    /// There is nothing to hear.
    pub const SILENT: Self = Self([0; Self::MEASURES]);

    /// From shares in [0, 1]; NaN counts as 0.
    pub fn from_shares(shares: [f32; Self::MEASURES]) -> Self {
        // The cast maps NaN to 0 and saturates.
        Self(shares.map(|share| (share * 255.0).round() as u8))
    }

    /// The measures by [`Self::NAMES`].
    pub fn shares(&self) -> [f32; Self::MEASURES] {
        self.0.map(|byte| f32::from(byte) / 255.0)
    }

    /// The smallest of the faults that hide events: 1 in clean sound, 0 in sound that cannot be believed.
    pub fn trust(&self) -> f32 {
        let worst = self.0.iter().take(Self::FAULTS).min();
        worst.map_or(1.0, |&worst| f32::from(worst) / 255.0)
    }

    /// One number: the trust, times the root of the geometric mean of hum, bandwidth, noise floor and signal-to-noise.
    pub fn score(&self) -> f32 {
        let others = self.0.iter().skip(Self::FAULTS);
        let n = others.len() as f32;
        let logs: f32 = others
            .map(|&byte| (f32::from(byte) / 255.0).max(0.01).ln())
            .sum();
        self.trust() * (0.5 * logs / n).exp()
    }

    /// As text: two hexadecimal digits each.
    pub fn text(&self) -> String {
        let digits = self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        digits
            .filter_map(|digit| char::from_digit(digit.into(), 16))
            .collect()
    }

    /// From [`Self::text`]; `None` unless it is 18 hexadecimal digits.
    pub fn from_text(text: &str) -> Option<Self> {
        let fits = text.len() == 2 * Self::MEASURES && text.bytes().all(|c| c.is_ascii_hexdigit());
        let mut bytes = [0; Self::MEASURES];
        for (at, byte) in bytes.iter_mut().enumerate() {
            let digits = text.get(2 * at..2 * at + 2).filter(|_| fits)?;
            *byte = u8::from_str_radix(digits, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

/// What the audio says about `[pts, pts + HOP)`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cue {
    /// Start of the hop, in the recording's time.
    pub pts: Nanos,
    /// Highest onset strength in the hop, in [0, 1].
    pub eventness: f32,
    /// How little the sound can be trusted, in [0, 1]; 1 if there is nothing to hear (digital silence, NaN).
    pub uncertainty: f32,
    /// Probability of speech, in [0, 1]; 0 without a tagger.
    pub speech: f32,
    /// The most probable classes, in descending order; at most [`TOP`]. Empty without a tagger.
    pub tags: Vec<Tag>,
    /// The onset in this hop, if there is one.
    pub onset: Option<Onset>,
    /// Level of 16 mel bands from 125 to 7500 Hz, low to high: 0 is -60 dB or less, each step 0.4 dB of mean
    /// magnitude. Good for drawings; no sound can be made from it. All 0 if unknown.
    pub bands: [u8; COARSE],
    /// How much the video changes in the hop: what its frames cost to encode, divided by what frames of their kind usually cost, 0..=64.
    /// `None` unless frames are spread over change, and without a frame.
    pub change: Option<f32>,
    /// Quality of the sound; `None` if unknown.
    pub quality: Option<SoundQuality>,
}

/// Whether sound with this uncertainty can be trusted: it is below `distrust` and below 1. NaN is not trusted.
pub fn trusts(uncertainty: f32, distrust: f64) -> bool {
    // Compared in f32, so that an uncertainty of 0.9 is not below a distrust of 0.9.
    uncertainty < distrust.min(1.0) as f32
}

impl Cue {
    /// Whether the sound can be trusted here: [`trusts`].
    pub fn trusted(&self, distrust: f64) -> bool {
        trusts(self.uncertainty, distrust)
    }

    /// The bands as text: two hexadecimal digits each.
    pub fn bands_text(&self) -> String {
        let digits = self.bands.iter().flat_map(|band| [band >> 4, band & 15]);
        digits
            .filter_map(|digit| char::from_digit(digit.into(), 16))
            .collect()
    }

    /// The bands from their text; `None` unless the text is 32 hexadecimal digits.
    pub fn bands_from_text(text: &str) -> Option<[u8; COARSE]> {
        let digits = |at: usize| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok();
        let fits = text.len() == 2 * COARSE && text.bytes().all(|c| c.is_ascii_hexdigit());
        let mut bands = [0; COARSE];
        for (at, band) in bands.iter_mut().enumerate() {
            *band = digits(at).filter(|_| fits)?;
        }
        Some(bands)
    }
}

impl Serialize for Cue {
    /// One line of `plan.jsonl` without its kind: `pts_ns`, `eventness`, `uncertainty`, `speech`, `classes` as `[id, p]` pairs; with an onset
    /// `onset_ns`, `onset_p`, `onset_uncertainty`; and if known `bands` as hexadecimal digits and `change`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("pts_ns", &self.pts)?;
        map.serialize_entry("eventness", &self.eventness)?;
        map.serialize_entry("uncertainty", &self.uncertainty)?;
        map.serialize_entry("speech", &self.speech)?;
        let classes: Vec<(u16, f32)> = self.tags.iter().map(|t| (t.class_id, t.p)).collect();
        map.serialize_entry("classes", &classes)?;
        if let Some(onset) = &self.onset {
            map.serialize_entry("onset_ns", &onset.at)?;
            map.serialize_entry("onset_p", &onset.p)?;
            map.serialize_entry("onset_uncertainty", &onset.uncertainty)?;
        }
        if self.bands.iter().any(|&band| band > 0) {
            map.serialize_entry("bands", &self.bands_text())?;
        }
        if let Some(change) = &self.change {
            map.serialize_entry("change", change)?;
        }
        if let Some(quality) = &self.quality {
            map.serialize_entry("quality", &quality.text())?;
        }
        map.end()
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Cues for the tests of other modules.

    use proptest::prelude::*;

    use super::*;

    /// One trusted cue per hop over `duration`, with onsets at these times and with these probabilities.
    pub(crate) fn heard(duration: Nanos, onsets: &[(i64, f32)]) -> Vec<Cue> {
        let hops = (duration.get() + HOP.get() - 1) / HOP.get();
        (0..hops)
            .map(|i| {
                let pts = Nanos::new(i * HOP.get());
                let mut inside = onsets
                    .iter()
                    .map(|&(ms, p)| (Nanos::from_ms(ms), p))
                    .filter(|&(at, _)| pts <= at && at < pts + HOP);
                Cue {
                    pts,
                    eventness: 0.5,
                    uncertainty: 0.0,
                    speech: 0.0,
                    tags: Vec::new(),
                    onset: inside.next().map(|(at, p)| Onset {
                        at,
                        p,
                        uncertainty: 1.0 - p,
                    }),
                    ..Cue::default()
                }
            })
            .collect()
    }

    /// Plausible cues over up to 20 s: some hops silent, some missing, some with onsets.
    pub(crate) fn plausible() -> impl Strategy<Value = Vec<Cue>> {
        let stretch = (0u8..8, 1usize..40);
        let onset = prop::option::weighted(0.2, (0i64..80_000_000, 0f32..1.0));
        (
            prop::collection::vec(stretch, 1..12),
            prop::collection::vec(onset, 250),
        )
            .prop_map(|(stretches, onsets)| {
                let kinds = stretches
                    .iter()
                    .flat_map(|&(kind, n)| std::iter::repeat_n(kind, n));
                kinds
                    .zip(onsets)
                    .enumerate()
                    .filter(|(_, (kind, _))| *kind != 0)
                    .map(|(i, (kind, onset))| {
                        let pts = Nanos::new(i as i64 * HOP.get());
                        let dead = kind == 1;
                        Cue {
                            pts,
                            eventness: 0.25,
                            uncertainty: if dead { 1.0 } else { 0.0 },
                            speech: 0.5,
                            tags: vec![Tag {
                                class_id: kind.into(),
                                p: 0.75,
                            }],
                            onset: onset.filter(|_| !dead).map(|(after, p)| Onset {
                                at: pts + Nanos::new(after),
                                p,
                                uncertainty: 1.0 - p,
                            }),
                            bands: [kind; COARSE],
                            change: (kind > 3).then_some(f32::from(kind) / 4.0),
                            quality: (kind > 4)
                                .then(|| SoundQuality::from_shares([f32::from(kind) / 8.0; 9])),
                        }
                    })
                    .collect()
            })
    }

    fn number() -> impl Strategy<Value = f32> {
        prop_oneof![3 => 0f32..1.0, 1 => any::<f32>(), 1 => Just(f32::NAN)]
    }

    fn instant() -> impl Strategy<Value = i64> {
        prop_oneof![4 => -1_000_000_000i64..20_000_000_000, 1 => any::<i64>()]
    }

    /// Cues with any values that the types allow, in any order.
    pub(crate) fn wild() -> impl Strategy<Value = Vec<Cue>> {
        let onset = prop::option::of((instant(), number(), number()));
        let cue = (instant(), number(), number(), onset).prop_map(|(pts, a, b, onset)| Cue {
            pts: Nanos::new(pts),
            eventness: a,
            uncertainty: b,
            speech: a,
            tags: vec![Tag { class_id: 7, p: b }],
            onset: onset.map(|(at, p, uncertainty)| Onset {
                at: Nanos::new(at),
                p,
                uncertainty,
            }),
            ..Cue::default()
        });
        prop::collection::vec(cue, 0..60)
    }
}
