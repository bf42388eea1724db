//! The rules of a manifest.

use anchoring::plan::MOST_CLIP_FRAMES;
use anchoring::tier::Tier;

use super::text;
use super::{Fit, Input, Kind, Layout, Manifest, Memory, SCHEMA};

/// Every broken rule, as `field is value: rule`.
pub(super) fn broken_rules(manifest: &Manifest) -> Vec<String> {
    let mut problems = Vec::new();
    let mut need = |holds: bool, field: &str, value: &dyn std::fmt::Debug, rule: &str| {
        if !holds {
            problems.push(format!("{field} is {value:?}: {rule}"));
        }
    };
    need(
        manifest.schema == SCHEMA,
        "schema",
        &manifest.schema,
        "must be earmark-model/1",
    );
    need(
        manifest.path.file_stem().and_then(|stem| stem.to_str()) == Some(&manifest.name),
        "name",
        &manifest.name,
        "must be the manifest's file name without .yaml",
    );
    need(
        text::is_sha256(&manifest.sha256),
        "sha256",
        &manifest.sha256,
        "must be 64 lower-case hexadecimal digits, as sha256sum prints them",
    );
    need(
        (1..=65_535).contains(&manifest.output.dim),
        "output.dim",
        &manifest.output.dim,
        "must lie in 1..=65535, such as 512",
    );
    need(
        manifest.output.pool.is_none()
            || matches!(manifest.kind, Kind::Encoder | Kind::ClipEncoder),
        "output.pool",
        &manifest.output.pool,
        "is for encoders of frames and clips only",
    );
    text::of_others(manifest, &mut need);
    match manifest.kind {
        Kind::TextEncoder => text::rules(manifest, &mut need),
        Kind::Encoder => {
            need(
                matches!(manifest.input.layout, Layout::Nchw | Layout::Nhwc),
                "input.layout",
                &manifest.input.layout,
                "must be NCHW or NHWC for an encoder, the order of the axes of its input",
            );
            frame_input(manifest, &mut need);
        }
        Kind::ClipEncoder => {
            clips(&manifest.input, &mut need);
            frame_input(manifest, &mut need);
        }
        Kind::Tagger => {
            need(
                manifest.input.layout == Layout::Nctf,
                "input.layout",
                &manifest.input.layout,
                "must be NCTF for a tagger",
            );
            mel_input(&manifest.input, &mut need);
            need(
                manifest.classes.is_some(),
                "classes",
                &manifest.classes,
                "must name a class list for a tagger (CSV: index,mid,display_name), such as my-tagger.csv",
            );
            need(
                manifest
                    .speech_classes
                    .iter()
                    .all(|class| *class < manifest.output.dim),
                "speech_classes",
                &manifest.speech_classes,
                "must all be below output.dim",
            );
        }
        Kind::Voice => {
            need(
                manifest.input.layout == Layout::Nt,
                "input.layout",
                &manifest.input.layout,
                "must be NT for a voice detector",
            );
            for (field, value, rule) in [
                (
                    "input.sample_rate",
                    manifest.input.sample_rate.map(|r| r as usize),
                    16_000,
                ),
                ("input.samples", manifest.input.samples, 512),
                ("output.dim", Some(manifest.output.dim), 1),
            ] {
                need(
                    value == Some(rule),
                    field,
                    &value,
                    &format!("must be {rule}"),
                );
            }
            let fits = |memory: &Memory| {
                memory.context <= 4096
                    && (1..=65_536).contains(&memory.shape.iter().product::<usize>())
            };
            need(
                manifest.memory.as_ref().is_some_and(fits),
                "memory",
                &manifest.memory,
                "must have context (at most 4096), input, output, shape and rate for a voice detector",
            );
        }
        Kind::Probe => {
            match manifest.input.layout {
                Layout::Nctf => mel_input(&manifest.input, &mut need),
                Layout::Nt => {
                    need(
                        manifest.input.sample_rate == Some(16_000),
                        "input.sample_rate",
                        &manifest.input.sample_rate,
                        "must be 16000",
                    );
                    need(
                        manifest
                            .input
                            .samples
                            .is_some_and(|n| (400..=160_000).contains(&n)),
                        "input.samples",
                        &manifest.input.samples,
                        "must lie in 400..=160000 (ten seconds)",
                    );
                }
                Layout::Nchw | Layout::Nhwc | Layout::Ncthw | Layout::Ntchw => need(
                    false,
                    "input.layout",
                    &manifest.input.layout,
                    "must be NCTF (log mel) or NT (samples) for a probe",
                ),
            }
            need(
                manifest.head.is_some(),
                "head",
                &manifest.head,
                "must name a safetensors file for a probe",
            );
        }
    }
    problems
}

/// The rules that encoders of frames and of clips share.
fn frame_input(manifest: &Manifest, need: &mut impl FnMut(bool, &str, &dyn std::fmt::Debug, &str)) {
    need(
        manifest
            .input
            .mean
            .is_some_and(|m| m.iter().all(|x| x.is_finite())),
        "input.mean",
        &manifest.input.mean,
        "must be three finite numbers for an encoder, of values in 0..=255, such as [123.675, 116.28, 103.53]",
    );
    need(
        manifest
            .input
            .std
            .is_some_and(|s| s.iter().all(|x| x.is_finite() && *x > 0.0)),
        "input.std",
        &manifest.input.std,
        "must be three positive numbers for an encoder, of values in 0..=255, such as [58.395, 57.12, 57.375]",
    );
    need(
        manifest.prices().is_some(),
        "tiers",
        &manifest.tiers,
        "must have low, base and high with 0 < low <= base <= high tokens for an encoder, such as { low: { px: 112, tokens: 49 }, base: { px: 224, tokens: 196 }, high: { px: 448, tokens: 784 } }",
    );
    if let Some(tiers) = manifest.tiers {
        for tier in Tier::ALL {
            need(
                (1..=4096).contains(&tiers.of(tier).px),
                &format!("tiers.{tier}.px"),
                &tiers.of(tier).px,
                "must lie in 1..=4096",
            );
        }
    }
    let input = &manifest.input;
    need(
        input
            .crop
            .is_none_or(|share| (0.1..=1.0).contains(&share) && input.fit == Fit::Crop),
        "input.crop",
        &input.crop,
        "must lie in 0.1..=1, a share of the largest square, and goes with fit: crop",
    );
}

/// The rules of clips.
fn clips(input: &Input, need: &mut impl FnMut(bool, &str, &dyn std::fmt::Debug, &str)) {
    need(
        matches!(input.layout, Layout::Ncthw | Layout::Ntchw),
        "input.layout",
        &input.layout,
        "must be NCTHW or NTCHW for a clip-encoder, the order of the axes of its input",
    );
    let frames = input.frames.unwrap_or(0);
    need(
        (1..=MOST_CLIP_FRAMES).contains(&frames),
        "input.frames",
        &input.frames,
        "must lie in 1..=512 for a clip-encoder, the frames of a clip, such as 32",
    );
    let step = input
        .every
        .is_none_or(|every| match (every.frames, every.ms) {
            (Some(frames), None) => (1..=1000).contains(&frames),
            (None, Some(ms)) => (0.1..=60_000.0).contains(&ms),
            _ => false,
        });
    need(
        step,
        "input.every",
        &input.every,
        "must be { frames: N } of 1..=1000 or { ms: X } of 0.1..=60000, such as { frames: 2 }",
    );
    for pathway in &input.pathways {
        need(
            (1..=frames).contains(&pathway.frames) && !pathway.name.is_empty(),
            "input.pathways",
            pathway,
            "must have a name and 1 to `frames` frames each, such as [{ name: slow, frames: 8 }, { name: fast, frames: 32 }]",
        );
    }
    let longest = input.pathways.iter().map(|pathway| pathway.frames).max();
    need(
        longest.is_none_or(|longest| longest == frames),
        "input.frames",
        &input.frames,
        "must be the frames of the longest pathway",
    );
}

/// The mel front end is fixed; to a model made for another, its output is noise.
fn mel_input(input: &Input, need: &mut impl FnMut(bool, &str, &dyn std::fmt::Debug, &str)) {
    for (field, value, rule) in [
        (
            "input.sample_rate",
            input.sample_rate.map(|r| r as usize),
            16_000,
        ),
        ("input.frames", input.frames, 96),
        ("input.bands", input.bands, 64),
        ("input.hop_frames", input.hop_frames, 48),
    ] {
        need(
            value == Some(rule),
            field,
            &value,
            &format!("must be {rule}"),
        );
    }
}
