//! The way a recording is read does not change the output; the file names what did the work.

use std::ffi::OsStr;
use std::path::Path;

use gstearmark::h5::{Summary, Tables, read_features, read_summary, read_tables};
use serde_json::json;

use crate::recordings::{call, folder, made, pipeline, python, said, succeeds};

/// A plan of few frames.
fn plan(folder: &Path, seconds: &[f64]) -> std::path::PathBuf {
    let spent = 49 * seconds.len();
    let mut text = json!({
        "kind": "plan", "schema": "earmark-plan/2", "video_id": "x", "duration_ns": 10_000_000_000_i64,
        "budget_tokens": spent, "spent_tokens": spent,
    })
    .to_string();
    for at in seconds {
        let at = (at * 1e9) as i64;
        let frame = json!({ "kind": "frame", "planned_ns": at, "tier": "low", "tokens": 49, "reason": "uniform" });
        text += &format!("\n{frame}");
    }
    let path = folder.join("plan.jsonl");
    std::fs::write(&path, text).unwrap();
    path
}

fn read(file: &Path) -> (Vec<u32>, Tables, Summary) {
    let features = read_features(file).unwrap();
    (
        features.iter().map(|x| x.to_bits()).collect(),
        read_tables(file).unwrap(),
        read_summary(file).unwrap(),
    )
}

/// One thread of avdec_h264 loses frames of open groups that it comes to after others were left out.
#[test]
fn one_core_writes_what_two_write() {
    let Some(python) = python() else { return };
    for name in ["mkv_h264_open_gop", "mp4_h264_open_gop", "mp4_h264_pyramid"] {
        let input = made(&python, name);
        let folder = folder(&format!("cores_{name}"));
        let plan = plan(&folder, &[0.1, 1.5, 4.0, 4.04, 6.3, 8.1, 9.3, 9.9]);
        let pipeline = pipeline(&python, &folder, "policy: uniform");
        let written = ["1", "2"].map(|cores| {
            let file = folder.join(format!("{cores}.h5"));
            let mut args = call("run", &pipeline, &input, &file).to_vec();
            args.extend(["--plan".as_ref(), plan.as_os_str()]);
            args.extend(["--threads", cores].map(OsStr::new));
            succeeds(args);
            read(&file)
        });
        let [one, two] = &written;
        assert_eq!(one.1.pts_ns.len(), 8, "{name}");
        assert_eq!(one.1, two.1, "{name}");
        assert!(one.0 == two.0, "{name}: other features");
    }
}

#[test]
fn jumping_writes_what_reading_through_writes() {
    let Some(python) = python() else { return };
    for name in ["mp4_h264_pyramid", "mkv_h264_open_gop", "mkv_h265_opus"] {
        let input = made(&python, name);
        let folder = folder(&format!("reading_{name}"));
        let plan = plan(&folder, &[0.1, 0.5, 4.0, 4.04, 9.3, 9.9]);
        let base = pipeline(&python, &folder, "policy: uniform");
        let text = std::fs::read_to_string(&base).unwrap();
        // Sound that is heard in the same pass would have to be read.
        let text: Vec<_> = text.lines().filter(|line| !line.contains("ears")).collect();
        let mut seen = Vec::new();
        for access in ["linear", "seek"] {
            let pipeline = folder.join(format!("{access}.yaml"));
            std::fs::write(
                &pipeline,
                format!("{}\ngate: {{ access: {access} }}\n", text.join("\n")),
            )
            .unwrap();
            let file = folder.join(format!("{access}.h5"));
            let mut args = call("run", &pipeline, &input, &file).to_vec();
            args.extend(["--plan".as_ref(), plan.as_os_str()]);
            let output = succeeds(args);
            let file = read(&file);
            assert!(!file.2.decoder.is_empty() && file.2.provider == "cpu");
            let used = format!(
                "used       {} for decoding, cpu for encoding",
                file.2.decoder
            );
            assert!(said(&output).contains(&used), "{}", said(&output));
            seen.push(file);
        }
        let [linear, sought] = &seen[..] else {
            unreachable!("two runs")
        };
        assert_eq!(linear.1.pts_ns.len(), 6, "{name}");
        assert_eq!(linear.1, sought.1, "{name}");
        assert!(linear.0 == sought.0, "{name}: other features");
        assert_eq!(linear.2.duration_ns, sought.2.duration_ns);
        assert_eq!(linear.2.access_units_passed, sought.2.access_units_passed);
        assert_eq!(linear.2.access_units_seen, 250);
        assert!(
            sought.2.access_units_seen < 250,
            "{name}: {}",
            sought.2.access_units_seen
        );
    }
}

#[test]
fn a_frame_that_was_moved_keeps_the_time_asked_for() {
    let Some(python) = python() else { return };
    let input = made(&python, "mp4_h264_aac");
    let folder = folder("reading_asked");
    let mut asked = Vec::new();
    for snap_ms in [0, 1000] {
        let budget = format!("tokens_per_s: 196, snap_ms: {snap_ms}");
        let pipeline = pipeline(&python, &folder, &budget);
        let file = folder.join(format!("{snap_ms}.h5"));
        succeeds(call("run", &pipeline, &input, &file));
        let tables = read_tables(&file).unwrap();
        let moved = tables.planned_ns != tables.asked_ns;
        assert_eq!(moved, snap_ms > 0);
        asked.push(tables.asked_ns);
    }
    assert_eq!(asked[0], asked[1]);
}
