//! Metrics of all sources, as Prometheus text.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::seen::SourceStatus;
use super::supervisor::State;

/// All metrics. `lost`: events that each output lost.
pub(super) fn text(sources: &[Arc<SourceStatus>], lost: &[(&'static str, u64)]) -> String {
    let mut text = String::new();
    let number = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let all: Vec<_> = sources.iter().map(|seen| (seen, seen.now())).collect();
    let mut family = |name: &str, kind: &str, help: &str, lines: Vec<(String, f64)>| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in lines {
            let _ = writeln!(text, "{name}{{{labels}}} {value}");
        }
    };
    let of = |name: &str| format!("source=\"{name}\"");
    let states = [
        State::Starting,
        State::Healthy,
        State::Silent,
        State::Restarting,
        State::BackingOff,
        State::Failed,
        State::Stopping,
        State::Stopped,
    ];
    let lines = all.iter().flat_map(|(seen, now)| {
        states.map(|state| {
            let word = serde_json::to_value(state).unwrap_or_default();
            let word = word.as_str().unwrap_or_default();
            let labels = format!("{},state=\"{word}\"", of(&seen.name));
            (labels, f64::from(u8::from(now.state == state)))
        })
    });
    family(
        "earmark_source_state",
        "gauge",
        "1 for the current state of a source",
        lines.collect(),
    );
    let lines = all
        .iter()
        .map(|(seen, now)| (of(&seen.name), now.starts as f64));
    family(
        "earmark_source_starts_total",
        "counter",
        "How often a source was started",
        lines.collect(),
    );
    let lines = all.iter().flat_map(|(seen, now)| {
        now.faults
            .iter()
            .map(|(cause, times)| {
                let labels = format!("{},cause=\"{}\"", of(&seen.name), cause.name());
                (labels, *times as f64)
            })
            .collect::<Vec<_>>()
    });
    family(
        "earmark_source_faults_total",
        "counter",
        "How often a source was taken down, by cause",
        lines.collect(),
    );
    type Pick = fn(&SourceStatus) -> &AtomicU64;
    let counters: [(&str, &str, Pick); 12] = [
        (
            "earmark_encoded_frames_total",
            "Encoded frames received",
            |s| &s.counts.frames,
        ),
        (
            "earmark_sound_buffers_total",
            "Audio buffers received",
            |s| &s.counts.sounds,
        ),
        ("earmark_anchors_total", "Anchors", |s| &s.counts.anchors),
        ("earmark_frames_taken_total", "Frames taken", |s| {
            &s.counts.taken
        }),
        ("earmark_tokens_spent_total", "Tokens spent", |s| {
            &s.counts.tokens
        }),
        (
            "earmark_frames_missed_total",
            "Planned frames that nothing could serve",
            |s| &s.counts.missed,
        ),
        (
            "earmark_frames_left_out_total",
            "Frames taken, but left out because the encoder was too slow",
            |s| &s.counts.left_out,
        ),
        (
            "earmark_anchor_frames_left_out_total",
            "Those of them that an anchor had asked for",
            |s| &s.counts.left_out_anchors,
        ),
        (
            "earmark_damaged_frames_total",
            "Encoded frames left out after a loss",
            |s| &s.counts.damaged,
        ),
        ("earmark_files_total", "Files completed", |s| {
            &s.counts.files
        }),
        ("earmark_warnings_total", "Warnings of elements", |s| {
            &s.counts.warnings
        }),
        (
            "earmark_abandoned_total",
            "Graphs that did not stop and were abandoned",
            |s| &s.counts.abandoned,
        ),
    ];
    for (name, help, pick) in counters {
        let lines = all
            .iter()
            .map(|(seen, _)| (of(&seen.name), number(pick(seen)) as f64));
        family(name, "counter", help, lines.collect());
    }
    let lines = all.iter().flat_map(|(seen, now)| {
        ["frames", "sound"].map(|media| {
            let without = now.without.contains(&media);
            let labels = format!("{},media=\"{media}\"", of(&seen.name));
            (labels, f64::from(u8::from(without)))
        })
    });
    family(
        "earmark_source_without",
        "gauge",
        "1 while frames or sound do not arrive though the rest does",
        lines.collect(),
    );
    let lines = all
        .iter()
        .filter_map(|(seen, now)| Some((of(&seen.name), now.wall?.uncertainty.as_secs_f64())));
    family(
        "earmark_wall_clock_uncertainty_seconds",
        "gauge",
        "How far wall clock times of a source may be off",
        lines.collect(),
    );
    let lines = all.iter().filter_map(|(seen, now)| {
        let (camera, wall) = now.camera.zip(now.wall)?;
        let ahead = camera.zero_ns.saturating_sub(wall.zero_ns) as f64 / 1e9;
        Some((of(&seen.name), ahead))
    });
    family(
        "earmark_camera_clock_ahead_seconds",
        "gauge",
        "How far a camera's wall clock (from RTCP) is ahead of this machine's, including the transmission delay",
        lines.collect(),
    );
    let lines = all.iter().flat_map(|(seen, now)| {
        let both = ["video", "audio"].into_iter().zip(now.skew_ppm);
        both.filter_map(|(media, ppm)| {
            Some((format!("{},media=\"{media}\"", of(&seen.name)), ppm?))
        })
        .collect::<Vec<_>>()
    });
    family(
        "earmark_clock_skew_ppm",
        "gauge",
        "By how much a source's clock runs faster than this machine's, parts per million",
        lines.collect(),
    );
    let lines = all
        .iter()
        .map(|(seen, _)| (of(&seen.name), number(&seen.counts.held) as f64));
    family(
        "earmark_held_bytes",
        "gauge",
        "Bytes of encoded frames that wait for the sound",
        lines.collect(),
    );
    let lines = lost
        .iter()
        .map(|(output, many)| (format!("output=\"{output}\""), *many as f64));
    family(
        "earmark_events_lost_total",
        "counter",
        "Events lost because an output was too slow",
        lines.collect(),
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_has_help_and_type_and_every_line_a_number() {
        let sources = [
            Arc::new(SourceStatus::new("door")),
            Arc::new(SourceStatus::new("hall")),
        ];
        let text = text(&sources, &[("mqtt", 3)]);
        let mut known = "";
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                known = rest.split(' ').next().unwrap();
            } else if !line.starts_with('#') {
                let (name, value) = line.rsplit_once(' ').unwrap();
                assert!(
                    name.starts_with(known) && value.parse::<f64>().is_ok(),
                    "{line}"
                );
            }
        }
        assert!(text.contains("earmark_source_state{source=\"door\",state=\"starting\"} 1"));
        assert!(text.contains("earmark_events_lost_total{output=\"mqtt\"} 3"));
    }
}
