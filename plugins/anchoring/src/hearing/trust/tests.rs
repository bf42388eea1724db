//! Synthetic impairments, with other colours, levels and rhythms than those that the limits were chosen for.

use proptest::prelude::*;

use super::*;

/// White noise in [-1, 1], the same every time.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 40) as f32 / (1 << 23) as f32) - 1.0
    }
}

fn seconds(s: f32) -> usize {
    (s * RATE as f32) as usize
}

/// A room: noise whose spectrum falls by 6 dB an octave above 300 Hz, at -45 dBFS.
fn room(n: usize) -> Vec<f32> {
    let mut noise = Noise(5);
    let mut low = 0.0;
    (0..n)
        .map(|_| {
            low += 0.11 * (noise.next() - low);
            low * 0.04
        })
        .collect()
}

/// Adds ringing knocks, `per_s` per second, of about this size.
fn knocks(x: &mut [f32], per_s: f32, size: f32, ring_s: f32) {
    let mut noise = Noise(9);
    let mut at = 0.0;
    while seconds(at) < x.len() {
        let loud = size * (0.5 + noise.next().abs());
        for (i, y) in x[seconds(at)..]
            .iter_mut()
            .take(seconds(4.0 * ring_s))
            .enumerate()
        {
            *y += loud * noise.next() * (-(i as f32) / (ring_s * RATE as f32)).exp();
        }
        at += (0.4 + 1.2 * noise.next().abs()) / per_s;
    }
}

/// Rumble below a cut-off, with rhythmic gusts.
fn wind(x: &mut [f32], cut_hz: f32, level: f32, gust_s: f32) {
    let mut noise = Noise(3);
    let a = std::f32::consts::TAU * cut_hz / RATE as f32;
    let (mut one, mut two, mut slow, mut gust, mut aim) = (0.0, 0.0, 0.0, 0.6, 0.6);
    let mut rumble: Vec<f32> = Vec::with_capacity(x.len());
    for i in 0..x.len() {
        if i % seconds(gust_s) == 0 {
            aim = 0.3 + 0.7 * noise.next().abs();
        }
        gust += (aim - gust) * 4.0 / (gust_s * RATE as f32);
        one += a * (noise.next() - one);
        two += a * (one - two);
        slow += 0.004 * (two - slow);
        rumble.push(gust * (two - slow));
    }
    let rms = (rumble.iter().map(|y| y * y).sum::<f32>() / x.len() as f32).sqrt();
    for (x, y) in x.iter_mut().zip(&rumble) {
        *x += level * y / rms;
    }
}

fn heard(x: &[f32]) -> Vec<Option<Impairment>> {
    let mut stream = ImpairmentDetector::new();
    let mut all = Vec::new();
    stream.push(x, |verdict, _, _| all.push(verdict));
    all
}

/// The share of hops with this impairment, from three seconds after the start.
fn share(x: &[f32], of: Option<Impairment>) -> f32 {
    let all = heard(x);
    let settled = &all[LONG..];
    settled.iter().filter(|v| **v == of).count() as f32 / settled.len() as f32
}

#[test]
fn a_room_with_falling_objects_is_trusted() {
    for (per_s, size) in [(0.3, 0.3), (1.0, 0.1), (2.0, 0.05), (3.0, 0.2)] {
        let mut x = room(seconds(30.0));
        knocks(&mut x, per_s, size, 0.08);
        assert_eq!(share(&x, None), 1.0, "{per_s} a second, {size}");
    }
    assert_eq!(share(&room(seconds(30.0)), None), 1.0);
}

#[test]
fn nothing_or_nearly_nothing_is_silence() {
    let mut x = room(seconds(20.0));
    x[seconds(5.0)..seconds(12.0)].fill(0.0);
    let mut noise = Noise(1);
    // What a codec leaves of silence.
    for y in &mut x[seconds(8.0)..seconds(12.0)] {
        *y = noise.next() * 4e-5;
    }
    let all = heard(&x);
    let silent = all
        .iter()
        .filter(|v| **v == Some(Impairment::Silence))
        .count();
    assert!((86..=88).contains(&silent), "{silent} hops of 87.5");
}

#[test]
fn a_rubbed_microphone_is_handling() {
    for (per_s, size, ring_s) in [(8.0, 0.3, 0.01), (12.0, 0.1, 0.015), (15.0, 0.5, 0.008)] {
        let mut x = room(seconds(20.0));
        knocks(&mut x, per_s, size, ring_s);
        let found = share(&x, Some(Impairment::Handling));
        assert!(found > 0.9, "{found}: {per_s} a second, {size}");
    }
}

/// Adds noise bursts of 5 to 80 ms that swell and fade evenly, independently of one another, of any level from -30 to -6 dBFS.
fn rubs(x: &mut [f32], per_s: f32) {
    let mut noise = Noise(21);
    let mut at = 0.0;
    while seconds(at) < x.len() {
        let long = seconds(0.005 + 0.075 * noise.next().abs());
        let loud = 10.0_f32.powf(-1.5 + 1.2 * noise.next().abs());
        let smooth = 1.0 - 0.8 * noise.next().abs();
        let mut value = 0.0;
        for (i, y) in x[seconds(at)..].iter_mut().take(long).enumerate() {
            let turn = std::f32::consts::TAU * i as f32 / long as f32;
            value += smooth * (noise.next() - value);
            *y += loud * value * (0.5 - 0.5 * turn.cos());
        }
        // Intervals of independent events.
        at -= noise.next().abs().max(1e-3).ln() / per_s;
    }
}

#[test]
fn knocks_and_rubs_of_a_few_a_second_are_handling() {
    for per_s in [5.0, 7.0, 10.0, 14.0] {
        let mut x = room(seconds(30.0));
        rubs(&mut x, per_s);
        let found = share(&x, Some(Impairment::Handling));
        assert!(found > 0.8, "{found}: {per_s} a second");
    }
}

/// The share of hops that are handling by how fast sounds begin and end.
fn fast(x: &[f32]) -> f32 {
    let mut stream = ImpairmentDetector::new();
    let (mut found, mut all) = (0.0, 0.0);
    for hop in x.chunks_exact(SAMPLES) {
        stream.push(hop, |_, _, _| all += 1.0);
        found += f32::from(u8::from(stream.handling));
    }
    found / all
}

#[test]
fn a_knife_on_a_board_and_a_voice_do_not_begin_and_end_as_fast() {
    // Cuts of a knife ring in the room.
    for per_s in [3.0, 5.0, 7.0] {
        let mut x = room(seconds(30.0));
        let mut noise = Noise(8);
        let mut at = 0.0;
        while seconds(at) < x.len() {
            let loud = 0.2 * (0.8 + 0.4 * noise.next().abs());
            for (i, y) in x[seconds(at)..].iter_mut().take(seconds(0.4)).enumerate() {
                let t = i as f32 / RATE as f32;
                let (own, tail) = ((-t / 0.012).exp(), 0.3 * (-t / 0.06).exp());
                *y += loud * noise.next() * (own + tail);
            }
            at += (0.9 + 0.2 * noise.next().abs()) / per_s;
        }
        assert_eq!(fast(&x), 0.0, "{per_s} cuts a second");
    }
    // Four or five syllables a second: pulses of a voice through a formant, and a hiss between them.
    let mut x = room(seconds(30.0));
    let mut noise = Noise(14);
    let (mut at, mut one, mut two) = (0.0, 0.0_f32, 0.0_f32);
    while seconds(at) < x.len() {
        let long = 0.12 + 0.1 * noise.next().abs();
        let pitch = seconds(1.0 / (110.0 + 40.0 * noise.next()));
        let from = seconds(at);
        for (i, y) in x[from..].iter_mut().take(seconds(long)).enumerate() {
            let pulse = if i % pitch == 0 {
                1.0
            } else {
                0.01 * noise.next()
            };
            let value = pulse + 1.75 * one - 0.92 * two;
            (one, two) = (value, one);
            let turn = std::f32::consts::TAU * i as f32 / (long * RATE as f32);
            *y += 0.02 * value * (0.5 - 0.5 * turn.cos());
        }
        at += long + 0.06 * noise.next().abs();
    }
    assert_eq!(fast(&x), 0.0, "a voice");
}

#[test]
fn wind_is_found_at_many_levels_and_rhythms() {
    for (cut_hz, level, gust_s) in [(30.0, 0.03, 0.5), (50.0, 0.1, 0.2), (20.0, 0.05, 1.0)] {
        let mut x = room(seconds(20.0));
        wind(&mut x, cut_hz, level, gust_s);
        let found = share(&x, Some(Impairment::Wind));
        assert!(found > 0.85, "{found}: {cut_hz} Hz, {level}, {gust_s} s");
    }
}

#[test]
fn a_hood_at_full_power_masks_the_sound_until_it_stops() {
    let mut x = room(seconds(40.0));
    let mut noise = Noise(2);
    for y in &mut x[seconds(10.0)..seconds(30.0)] {
        *y += 0.2 * noise.next();
    }
    let all = heard(&x);
    let roar = |from: f32, until: f32| {
        let hops = &all[(from / 0.08) as usize..(until / 0.08) as usize];
        hops.iter()
            .filter(|v| **v == Some(Impairment::Masking))
            .count() as f32
            / hops.len() as f32
    };
    assert_eq!(
        (roar(0.0, 10.0), roar(13.5, 30.0), roar(34.0, 40.0)),
        (0.0, 1.0, 0.0)
    );
}

#[test]
fn flat_tops_are_clipping_wherever_they_lie() {
    for top in [1.0, 0.4] {
        let mut x = room(seconds(10.0));
        wind(&mut x, 800.0, 0.4, 0.5);
        for y in &mut x {
            *y = (*y * 2.0).clamp(-top, top);
        }
        assert!(share(&x, Some(Impairment::Clipping)) > 0.9, "{top}");
    }
}

#[test]
fn troubles_end() {
    let mut x = room(seconds(60.0));
    knocks(&mut x[seconds(5.0)..seconds(15.0)], 12.0, 0.3, 0.01);
    wind(&mut x[seconds(25.0)..seconds(40.0)], 30.0, 0.08, 0.4);
    let all = heard(&x);
    let from = |s: f32| (s / 0.08) as usize;
    assert!(all[from(18.0)..from(25.0)].iter().all(Option::is_none));
    assert!(all[from(44.0)..].iter().all(Option::is_none));
    assert!(all[from(8.0)..from(15.0)].iter().all(Option::is_some));
    assert!(all[from(29.0)..from(40.0)].iter().all(Option::is_some));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn chunks_of_any_size_give_the_same_verdicts(sizes in prop::collection::vec(1usize..5_000, 1..40)) {
        let mut x = room(seconds(12.0));
        knocks(&mut x[seconds(2.0)..seconds(6.0)], 12.0, 0.3, 0.01);
        let whole = heard(&x);
        let mut stream = ImpairmentDetector::new();
        let mut all = Vec::new();
        let mut rest = x.as_slice();
        for &size in sizes.iter().cycle() {
            let (now, later) = rest.split_at(size.min(rest.len()));
            stream.push(now, |verdict, _, _| all.push(verdict));
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(whole, all);
    }

    #[test]
    fn any_samples_are_accepted(x in prop::collection::vec(any::<f32>(), 0..4_000)) {
        prop_assert_eq!(heard(&x).len(), x.len() / SAMPLES);
    }
}

/// The mean of a measure, from three seconds after the start.
fn mean_of(x: &[f32], name: &str) -> f32 {
    let at = SoundQuality::NAMES.iter().position(|own| *own == name);
    let mut stream = ImpairmentDetector::new();
    let mut all = Vec::new();
    stream.push(x, |_, _, quality| all.push(quality.shares()[at.unwrap()]));
    let settled = &all[LONG..];
    settled.iter().sum::<f32>() / settled.len() as f32
}

/// A room in which things happen.
fn kitchen(n: usize) -> Vec<f32> {
    let mut x = room(n);
    knocks(&mut x, 1.0, 0.15, 0.08);
    let mut noise = Noise(77);
    // Silent up to the top.
    x.iter_mut().for_each(|y| *y += 3e-4 * noise.next());
    x
}

fn low_pass(x: &mut [f32], hz: f32) {
    let a = 1.0 - (-std::f32::consts::TAU * hz / RATE as f32).exp();
    let mut stages = [0.0; 8];
    for y in x {
        let mut value = *y;
        for stage in &mut stages {
            *stage += a * (value - *stage);
            value = *stage;
        }
        *y = value;
    }
}

fn hum(x: &mut [f32], mains: f32, level: f32) {
    for (n, y) in x.iter_mut().enumerate() {
        let turn = std::f32::consts::TAU * mains * (n % RATE as usize) as f32 / RATE as f32;
        *y += level * (turn.sin() + 0.5 * (2.0 * turn).sin() + 0.3 * (3.0 * turn).sin());
    }
}

fn drop_out(x: &mut [f32], share: f32) {
    let mut noise = Noise(4);
    for block in x.chunks_mut(3 * BLOCK) {
        if noise.next().abs() < share {
            block.fill(0.0);
        }
    }
}

/// A fault, its five strengths, and how it is made.
type Fault = (&'static str, [f32; 5], fn(&mut Vec<f32>, f32));

/// One for each of the nine measures.
const FAULTS: [Fault; 9] = [
    ("clipping", [1.2, 1.6, 2.0, 2.5, 3.5], |x, s| {
        wind(x, 800.0, 0.2, 0.5);
        x.iter_mut().for_each(|y| *y = (*y * s).clamp(-1.0, 1.0));
    }),
    ("wind", [0.003, 0.008, 0.02, 0.05, 0.1], |x, s| {
        wind(x, 30.0, s, 0.5)
    }),
    ("handling", [1.0, 2.0, 3.0, 5.0, 18.0], |x, s| {
        knocks(x, s, 0.3, 0.01)
    }),
    ("roar", [0.01, 0.03, 0.08, 0.2, 0.4], |x, s| {
        let mut noise = Noise(2);
        let from = x.len() / 5;
        x[from..].iter_mut().for_each(|y| *y += s * noise.next());
    }),
    ("dropouts", [0.02, 0.05, 0.1, 0.2, 0.4], |x, s| {
        drop_out(x, s)
    }),
    ("hum", [0.0003, 0.001, 0.003, 0.01, 0.05], |x, s| {
        hum(x, 50.0, s)
    }),
    (
        "bandwidth",
        [5000.0, 3000.0, 2000.0, 1200.0, 600.0],
        |x, s| {
            low_pass(x, s);
        },
    ),
    ("noise_floor", [0.003, 0.01, 0.03, 0.08, 0.2], |x, s| {
        let mut noise = Noise(2);
        x.iter_mut().for_each(|y| *y += s * noise.next());
    }),
    // What happens gets fainter; the room stays as loud as it was.
    ("snr", [0.08, 0.04, 0.02, 0.01, 0.004], |x, s| {
        *x = room(x.len());
        knocks(x, 1.0, s, 0.08);
    }),
];

/// Rank correlation with the order of the strengths; equal values share their mean rank.
fn spearman(values: &[f32; 5]) -> f32 {
    let ranks = values.map(|v| {
        let below = values.iter().filter(|other| **other < v).count();
        let equal = values.iter().filter(|other| **other == v).count();
        below as f32 + (equal as f32 - 1.0) / 2.0 - 2.0
    });
    let (mut both, mut square) = (0.0, 0.0);
    for (at, rank) in ranks.iter().enumerate() {
        both += (at as f32 - 2.0) * rank;
        square += rank * rank;
    }
    both / (10.0 * square).sqrt()
}

#[test]
fn every_measure_falls_with_its_own_fault() {
    let clean = kitchen(seconds(30.0));
    assert!(
        SoundQuality::NAMES
            .iter()
            .all(|own| *own == "score" || FAULTS.iter().any(|(fault, ..)| fault == own))
    );
    for (own, strengths, make) in FAULTS {
        let before = mean_of(&clean, own);
        // Its events are 21 dB louder than the room.
        let least = if own == "snr" { 0.7 } else { 0.9 };
        assert!(before > least, "{own} of a clean kitchen is {before}");
        let falls = strengths.map(|strength| {
            let mut x = clean.clone();
            make(&mut x, strength);
            mean_of(&x, own)
        });
        let rank = spearman(&falls);
        assert!(rank <= -0.9 + 1e-6, "{own}: {rank} {falls:?}");
        assert!(falls[4] < 0.6 && falls[4] < falls[1], "{own}: {falls:?}");
    }
}

#[test]
fn faults_that_hide_events_do_not_affect_each_other() {
    let clean = kitchen(seconds(30.0));
    for (fault, other) in [
        ("hum", "wind"),
        ("hum", "clipping"),
        ("dropouts", "clipping"),
        ("bandwidth", "clipping"),
        ("bandwidth", "dropouts"),
        ("noise_floor", "handling"),
        ("wind", "clipping"),
        ("wind", "dropouts"),
        ("handling", "wind"),
        ("handling", "dropouts"),
        ("roar", "wind"),
        ("clipping", "dropouts"),
        ("snr", "noise_floor"),
        ("snr", "bandwidth"),
        ("snr", "handling"),
    ] {
        let (_, strengths, make) = FAULTS.into_iter().find(|(own, ..)| *own == fault).unwrap();
        let mut x = clean.clone();
        make(&mut x, strengths[3]);
        let (before, after) = (mean_of(&clean, other), mean_of(&x, other));
        assert!(
            before - after < 0.1,
            "{fault} takes {other} from {before} to {after}"
        );
    }
}

#[test]
fn clean_sound_scores_high_and_untrusted_sound_low() {
    for (per_s, size) in [(0.3, 0.3), (1.0, 0.1), (2.0, 0.05), (3.0, 0.2)] {
        let mut x = room(seconds(30.0));
        knocks(&mut x, per_s, size, 0.08);
        let mut stream = ImpairmentDetector::new();
        stream.push(&x, |_, _, quality| {
            assert_eq!(quality.trust(), 1.0, "{quality:?}")
        });
    }
    let mut x = room(seconds(40.0));
    knocks(&mut x[seconds(5.0)..seconds(15.0)], 12.0, 0.3, 0.01);
    wind(&mut x[seconds(25.0)..seconds(40.0)], 30.0, 0.08, 0.4);
    let mut stream = ImpairmentDetector::new();
    let (mut least, mut bad) = (1.0_f32, 0);
    stream.push(&x, |verdict, _, quality| {
        if verdict.is_some() {
            (least, bad) = (least.min(quality.trust()), bad + 1);
        }
    });
    assert!(least < 0.1 && bad > 200, "{least}, {bad}");
    let mut quiet = ImpairmentDetector::new();
    quiet.push(&[0.0; 3200], |_, _, quality| {
        assert_eq!(quality, SoundQuality::SILENT)
    });
}
