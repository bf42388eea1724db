//! Simulates microphones and cameras: training recordings are used again as they would sound through these channels.
//!
//! Bandwidth, equaliser, gain control, noise gate, noise suppression, clipping, level, offset, hum, quantisation, reverberation. A channel is a
//! chain of a few of them, drawn from a seed. What it sends out is [`Channel::delay`] samples late; apart from that, times stay the same to
//! within two milliseconds.

use std::f32::consts::{FRAC_1_SQRT_2, TAU};

use anchoring::hearing::mel::RATE;

use super::random::Random;
use super::spectral::{Change, Spectral};

/// Samples beyond this are cut.
const LOUDEST: f32 = 8.0;

/// Samples per second.
const HZ: f32 = RATE as f32;

/// A second-order filter (R. Bristow-Johnson's cookbook).
#[derive(Clone, Debug)]
struct Biquad {
    b: [f32; 3],
    a: [f32; 2],
    x: [f32; 2],
    y: [f32; 2],
}

impl Biquad {
    fn new(b: [f32; 3], a: [f32; 3]) -> Self {
        Self {
            b: b.map(|x| x / a[0]),
            a: [a[1] / a[0], a[2] / a[0]],
            x: [0.0; 2],
            y: [0.0; 2],
        }
    }

    fn low_pass(hz: f32) -> Self {
        let (sin, cos) = (TAU * hz / HZ).sin_cos();
        let alpha = sin * FRAC_1_SQRT_2;
        let c = 1.0 - cos;
        Self::new(
            [c / 2.0, c, c / 2.0],
            [1.0 + alpha, -2.0 * cos, 1.0 - alpha],
        )
    }

    fn high_pass(hz: f32) -> Self {
        let (sin, cos) = (TAU * hz / HZ).sin_cos();
        let alpha = sin * FRAC_1_SQRT_2;
        let c = 1.0 + cos;
        Self::new(
            [c / 2.0, -c, c / 2.0],
            [1.0 + alpha, -2.0 * cos, 1.0 - alpha],
        )
    }

    fn peak(hz: f32, db: f32) -> Self {
        let (sin, cos) = (TAU * hz / HZ).sin_cos();
        let (alpha, gain) = (sin / 2.0, 10f32.powf(db / 40.0));
        Self::new(
            [1.0 + alpha * gain, -2.0 * cos, 1.0 - alpha * gain],
            [1.0 + alpha / gain, -2.0 * cos, 1.0 - alpha / gain],
        )
    }

    fn take(&mut self, x: f32) -> f32 {
        let y = self.b[0] * x + self.b[1] * self.x[0] + self.b[2] * self.x[1]
            - self.a[0] * self.y[0]
            - self.a[1] * self.y[1];
        self.x = [x, self.x[0]];
        self.y = [y, self.y[0]];
        y
    }
}

/// A smoothed envelope: the share of the way that a sample moves towards a louder and towards a quieter level.
#[derive(Clone, Debug)]
struct Envelope {
    rise: f32,
    fall: f32,
    level: f32,
}

impl Envelope {
    fn new(rise_ms: f32, fall_ms: f32) -> Self {
        let share = |ms: f32| 1.0 - (-1000.0 / (ms * HZ)).exp();
        Self {
            rise: share(rise_ms),
            fall: share(fall_ms),
            level: 0.0,
        }
    }

    fn take(&mut self, x: f32) -> f32 {
        let share = if x > self.level { self.rise } else { self.fall };
        self.level += share * (x - self.level);
        self.level
    }
}

/// One effect.
#[derive(Clone, Debug)]
enum Effect {
    Filters(Vec<Biquad>),
    /// Gain control: above the threshold, the level rises only by one part in `ratio`.
    Compressor {
        envelope: Envelope,
        threshold: f32,
        ratio: f32,
        makeup: f32,
    },
    /// Quiet sound becomes quieter still.
    Gate {
        envelope: Envelope,
        threshold: f32,
        ratio: f32,
    },
    Clip(f32),
    Gain(f32),
    Offset(f32),
    Hum {
        step: f32,
        phase: f32,
        level: f32,
    },
    /// Eight bits by the mu-law (ITU-T G.711).
    MuLaw,
    /// Four decaying echoes: their delays in samples, and the sound so far.
    Echo {
        line: Vec<f32>,
        at: usize,
        taps: [(usize, f32); 4],
    },
    /// A change of short-time spectra.
    Spectral(Box<Spectral>),
}

impl Effect {
    fn take(&mut self, x: f32) -> f32 {
        match self {
            Self::Filters(filters) => filters.iter_mut().fold(x, |x, filter| filter.take(x)),
            Self::Compressor {
                envelope,
                threshold,
                ratio,
                makeup,
            } => {
                let level = envelope.take(x.abs());
                let over = (level / *threshold).max(1.0);
                x * over.powf(1.0 / *ratio - 1.0) * *makeup
            }
            Self::Gate {
                envelope,
                threshold,
                ratio,
            } => {
                let level = envelope.take(x.abs());
                let under = (level / *threshold).clamp(1e-4, 1.0);
                x * under.powf(*ratio - 1.0)
            }
            Self::Clip(most) => x.clamp(-*most, *most),
            Self::Gain(gain) => x * *gain,
            Self::Offset(by) => x + *by,
            Self::Hum { step, phase, level } => {
                *phase = (*phase + *step) % TAU;
                let wave = phase.sin() + 0.5 * (3.0 * *phase).sin() + 0.3 * (5.0 * *phase).sin();
                x + *level * wave
            }
            Self::MuLaw => {
                const MU: f32 = 255.0;
                let coded = (MU * x.abs().min(1.0)).ln_1p() / MU.ln_1p();
                let coded = (coded * 127.0).round() / 127.0;
                ((coded * MU.ln_1p()).exp_m1() / MU).copysign(x)
            }
            Self::Echo { line, at, taps } => {
                let length = line.len();
                let echo =
                    |&(delay, gain): &(usize, f32)| gain * line[(*at + length - delay) % length];
                let y = x + taps.iter().map(echo).sum::<f32>();
                line[*at] = x;
                *at = (*at + 1) % length;
                y
            }
            Self::Spectral(spectral) => spectral.take(x),
        }
    }
}

/// A chain of effects.
#[derive(Clone, Debug)]
pub(super) struct Channel(Vec<Effect>);

/// Number of kinds that [`Channel::drawn`] draws from.
const KINDS: usize = 12;

impl Channel {
    /// A channel of one or two kinds of effects, at some level; the same for the same random numbers.
    pub(super) fn drawn(random: &mut Random) -> Self {
        let mut effects = Vec::new();
        let first = random.below(KINDS);
        let second = random.below(2 * KINDS);
        for kind in [first, second] {
            if kind < KINDS && (effects.is_empty() || kind != first) {
                effects.extend(Self::effect(kind, random));
            }
        }
        // From -50 dB to a little louder.
        if random.unit() < 0.5 {
            effects.push(Effect::Gain(10f32.powf(random.range(-40.0, 6.0) / 20.0)));
            effects.push(Effect::Clip(1.0));
        }
        Self(effects)
    }

    fn effect(kind: usize, random: &mut Random) -> Vec<Effect> {
        let db = |db: f32| 10f32.powf(db / 20.0);
        match kind {
            // Telephones, body cameras and old recorders; twice as likely as the rest.
            0 | 1 => {
                let hz = random.range(3_300.0, 6_800.0);
                // As often a filter's slope as the sharp end of a lower sampling rate.
                let (mut filters, mut effects) = (Vec::new(), Vec::new());
                if random.unit() < 0.5 {
                    filters = vec![Biquad::low_pass(hz); 3 + random.below(4)];
                } else {
                    let limit = Spectral::new(Change::BandLimit { hz });
                    effects.push(Effect::Spectral(Box::new(limit)));
                }
                if random.unit() < 0.5 {
                    filters.push(Biquad::high_pass(random.range(80.0, 300.0)));
                }
                effects.push(Effect::Filters(filters));
                if hz < 4_000.0 && random.unit() < 0.5 {
                    effects.insert(0, Effect::MuLaw);
                }
                effects
            }
            // Likewise.
            2 | 3 => {
                let threshold = random.range(-42.0, -25.0);
                let ratio = random.range(3.0, 10.0);
                vec![
                    Effect::Compressor {
                        envelope: Envelope::new(
                            random.range(2.0, 20.0),
                            random.range(100.0, 800.0),
                        ),
                        threshold: db(threshold),
                        ratio,
                        makeup: db(-threshold * (1.0 - 1.0 / ratio) * random.range(0.2, 0.7)),
                    },
                    Effect::Clip(1.0),
                ]
            }
            4 => vec![Effect::Gate {
                envelope: Envelope::new(random.range(1.0, 10.0), random.range(50.0, 300.0)),
                threshold: db(random.range(-48.0, -34.0)),
                ratio: random.range(1.5, 6.0),
            }],
            5 => {
                let mut filters = vec![Biquad::high_pass(random.range(60.0, 400.0))];
                for _ in 0..2 {
                    let (hz, by) = (random.range(300.0, 6_000.0), random.range(-12.0, 12.0));
                    filters.push(Biquad::peak(hz, by));
                }
                vec![Effect::Filters(filters)]
            }
            6 => vec![
                Effect::Gain(db(random.range(12.0, 30.0))),
                Effect::Clip(0.99),
                Effect::Gain(db(random.range(-12.0, 0.0))),
            ],
            7 => {
                let hz = if random.unit() < 0.5 { 50.0 } else { 60.0 };
                vec![
                    Effect::Offset(random.range(-0.3, 0.3)),
                    Effect::Hum {
                        step: TAU * hz / HZ,
                        phase: 0.0,
                        level: db(random.range(-50.0, -28.0)),
                    },
                ]
            }
            // Cameras and telephones that suppress noise; thrice as likely.
            8..=10 => {
                let known = random.unit() < 0.5;
                vec![Effect::Spectral(Box::new(Spectral::new(Change::Denoise {
                    level: known.then(|| db(random.range(-58.0, -30.0))),
                    most_db: random.range(6.0, 30.0),
                    times: random.range(1.0, 3.0),
                    release_ms: random.range(10.0, 120.0),
                })))]
            }
            _ => {
                let longest = (0.12 * HZ) as usize;
                let taps = [0.2, 0.4, 0.65, 0.95].map(|part: f32| {
                    let delay = (longest as f32 * (part + random.range(-0.1, 0.04))) as usize;
                    (delay.max(1), random.range(0.1, 0.5) * (1.0 - 0.6 * part))
                });
                vec![Effect::Echo {
                    line: vec![0.0; longest],
                    at: 0,
                    taps,
                }]
            }
        }
    }

    /// Samples by which the output is late.
    pub(super) fn delay(&self) -> usize {
        let late = |effect: &&Effect| matches!(effect, Effect::Spectral(_));
        self.0.iter().filter(late).count() * Spectral::DELAY
    }

    /// Sends samples through.
    pub(super) fn pass(&mut self, samples: &mut [f32]) {
        for x in samples {
            // A NaN would stay in the filters.
            let own = if x.is_finite() {
                x.clamp(-LOUDEST, LOUDEST)
            } else {
                0.0
            };
            *x = self.0.iter_mut().fold(own, |x, effect| effect.take(x));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f32, level: f32) -> Vec<f32> {
        (0..RATE)
            .map(|n| level * (TAU * hz * n as f32 / HZ).sin())
            .collect()
    }

    fn loudness(samples: &[f32]) -> f32 {
        let tail = &samples[samples.len() / 2..];
        (tail.iter().map(|x| x * x).sum::<f32>() / tail.len() as f32).sqrt()
    }

    fn through(effects: Vec<Effect>, mut samples: Vec<f32>) -> Vec<f32> {
        Channel(effects).pass(&mut samples);
        samples
    }

    #[test]
    fn every_effect_does_what_its_name_says() {
        let narrow = || vec![Effect::Filters(vec![Biquad::low_pass(3_400.0); 3])];
        assert!(loudness(&through(narrow(), tone(1_000.0, 0.1))) > 0.068);
        assert!(loudness(&through(narrow(), tone(7_000.0, 0.1))) < 0.003);
        let agc = || {
            vec![Effect::Compressor {
                envelope: Envelope::new(5.0, 400.0),
                threshold: 0.01,
                ratio: 8.0,
                makeup: 1.0,
            }]
        };
        let by = |level: f32| loudness(&through(agc(), tone(1_000.0, level)));
        assert!(by(0.4) < 2.0 * by(0.04), "{} {}", by(0.4), by(0.04));
        let gate = || {
            vec![Effect::Gate {
                envelope: Envelope::new(5.0, 200.0),
                threshold: 0.05,
                ratio: 4.0,
            }]
        };
        assert!(loudness(&through(gate(), tone(1_000.0, 0.005))) < 0.000_1);
        assert!(loudness(&through(gate(), tone(1_000.0, 0.5))) > 0.3);
        let coded = through(vec![Effect::MuLaw], tone(1_000.0, 0.1));
        let plain = tone(1_000.0, 0.1);
        let error: Vec<f32> = coded.iter().zip(&plain).map(|(a, b)| a - b).collect();
        assert!(loudness(&error) < 0.02 * loudness(&plain) && coded != plain);
    }

    #[test]
    fn a_channel_moves_nothing_and_stays_finite() {
        for seed in 0..200 {
            let mut channel = Channel::drawn(&mut Random::of(seed, &[]));
            let mut samples = vec![0.0; RATE as usize + channel.delay()];
            samples[8_000] = 1.0;
            for (n, x) in samples.iter_mut().enumerate() {
                *x += 0.002 * ((n * 7919 % 997) as f32 / 997.0 - 0.5);
            }
            let before = samples.clone();
            channel.pass(&mut samples);
            assert!(
                samples.iter().all(|x| x.is_finite() && x.abs() < 100.0),
                "{seed}"
            );
            assert_ne!(samples, before, "{seed}");
            let mut again = before.clone();
            Channel::drawn(&mut Random::of(seed, &[])).pass(&mut again);
            assert_eq!(samples, again, "{seed}");
        }
        let mut channel = Channel::drawn(&mut Random::of(1, &[]));
        let mut wild = [f32::NAN, f32::INFINITY, -1e30, 1.0];
        channel.pass(&mut wild);
        assert!(wild.iter().all(|x| x.is_finite()));
    }
}
