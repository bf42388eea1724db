//! Valid plans are read; others are refused with line, field, value, rule and likely mistake.

use proptest::prelude::*;

use super::*;

const HEADER: &str = r#"{"kind":"plan","schema":"earmark-plan/2","video_id":"v","duration_ns":10000000000,"budget_tokens":1960,"spent_tokens":833,"config":{}}"#;
const ANCHOR: &str = r#"{"kind":"anchor","id":0,"onset_ns":3000000000,"start_ns":2800000000,"stop_ns":3400000000,"label":"Chop","class_id":4,"score":0.5,"uncertainty":0.5}"#;
const HIGH: &str = r#"{"kind":"frame","planned_ns":3060000000,"tier":"high","tokens":784,"reason":"anchor","anchor":0}"#;
const LOW: &str =
    r#"{"kind":"frame","planned_ns":4000000000,"tier":"low","tokens":49,"reason":"uniform"}"#;
const MOVED: &str = r#"{"kind":"frame","planned_ns":4000000000,"asked_ns":4250000000,"tier":"low","tokens":49,"reason":"uniform"}"#;
const CUE: &str = r#"{"kind":"cue","pts_ns":80000000,"eventness":0.5,"uncertainty":0.0,"speech":0.25,"classes":[[388,0.75],[2,0.5]],"onset_ns":100000000,"onset_p":0.5,"onset_uncertainty":0.5}"#;

fn read(lines: &[&str]) -> Result<Plan, PlanParseError> {
    Plan::read(lines.iter().copied(), Some(Prices::default()))
}

/// Line, field, value, and what rule and hint must say.
#[track_caller]
fn refused(lines: &[&str], line: u64, field: &str, value: &str, rule: &str, hint: &str) {
    let bad = read(lines).unwrap_err();
    assert_eq!(
        (bad.line, bad.field.as_str(), bad.value.as_str()),
        (line, field, value),
        "{bad}"
    );
    assert!(bad.rule.contains(rule), "{bad}");
    assert!(bad.hint.contains(hint), "{bad}");
}

#[test]
fn a_plan_reads_as_it_is_written() {
    let plan = read(&[HEADER, CUE, ANCHOR, HIGH, LOW]).unwrap();
    assert_eq!(plan.anchors[0].label, "Chop");
    assert_eq!(plan.entries[0].anchor, Some(0));
    let lines = [HEADER, CUE, ANCHOR, HIGH, LOW];
    for (i, text) in lines.iter().enumerate() {
        assert_eq!(Line::parse(text, i as u64).unwrap().to_text(), *text);
    }
}

#[test]
fn a_plan_of_the_schema_before_reads_under_its_own_names() {
    let old = |line: &str| {
        line.replace("plan/2", "plan/1")
            .replace("planned_ns", "requested_ns")
    };
    let untrusted = old(LOW).replace("uniform", "fallback");
    let plan = read(&[&old(HEADER), ANCHOR, &old(HIGH), &untrusted]).unwrap();
    assert_eq!(plan.header.schema, super::super::SCHEMA);
    assert_eq!(plan.entries[0].planned, Nanos::from_ms(3_060));
    assert_eq!(plan.entries[1].reason, super::super::Reason::Untrusted);
    assert_eq!(
        Line::parse(&untrusted, 0).unwrap().to_text(),
        LOW.replace("uniform", "untrusted")
    );
}

#[test]
fn a_moved_frame_keeps_the_time_that_was_asked_for() {
    let plan = read(&[HEADER, ANCHOR, HIGH, MOVED]).unwrap();
    let asked: Vec<_> = plan.entries.iter().map(Entry::first_asked).collect();
    assert_eq!(asked, [Nanos::from_ms(3_060), Nanos::from_ms(4_250)]);
    assert_eq!(Line::parse(MOVED, 0).unwrap().to_text(), MOVED);
    let late = MOVED.replace("4250000000", "10000000000");
    let lines = [HEADER, ANCHOR, HIGH, &late];
    refused(
        &lines,
        4,
        "asked_ns",
        "10000000000",
        "duration_ns",
        "another",
    );
    let seconds = MOVED.replace("4250000000", "4.25");
    let lines = [HEADER, ANCHOR, HIGH, &seconds];
    refused(&lines, 4, "asked_ns", "4.25", "whole number", "seconds");
}

#[test]
fn empty_lines_are_skipped_and_what_may_be_left_out_has_a_default() {
    let header = HEADER.replace(r#","config":{}"#, "");
    let anchor = r#"{"kind":"anchor","id":0,"onset_ns":3000000000,"start_ns":2800000000,"stop_ns":3400000000}"#;
    let plan = read(&[&header, "", anchor, HIGH, "  ", LOW]).unwrap();
    assert_eq!(plan.header.config, serde_json::json!({}));
    assert_eq!((plan.anchors[0].class_id, plan.anchors[0].score), (-1, 1.0));
}

#[test]
fn all_anchors_then_all_frames_reads_as_well() {
    let later = ANCHOR
        .replace("\"id\":0", "\"id\":1")
        .replace(":3000", ":5000")
        .replace(":2800", ":4800")
        .replace(":3400", ":5400");
    assert_eq!(
        read(&[HEADER, ANCHOR, &later, HIGH, LOW])
            .unwrap()
            .anchors
            .len(),
        2
    );
}

#[test]
fn a_file_that_is_not_a_plan_is_refused() {
    refused(&[], 1, "kind", "missing", "first line", "empty");
    refused(
        &["hello"],
        1,
        "line",
        "hello",
        "JSON object",
        "one JSON object per line",
    );
    refused(
        &["[1,2]"],
        1,
        "line",
        "[1,2]",
        "JSON object",
        "not an array",
    );
    refused(&[LOW], 1, "kind", "frame", "first line", "header");
    refused(
        &[r#"{"kind":"plan2"}"#],
        1,
        "kind",
        "plan2",
        "plan, anchor, frame, clip, candidate or cue",
        "misspelt",
    );
    refused(&[HEADER, HEADER], 2, "kind", "plan", "one header", "joined");
    let schema = HEADER.replace("plan/2", "plan/9");
    refused(
        &[&schema],
        1,
        "schema",
        "earmark-plan/9",
        "earmark-plan/2",
        "version",
    );
}

const CLIP_HEADER: &str = r#"{"kind":"plan","schema":"earmark-plan/2","video_id":"v","duration_ns":10000000000,"budget_tokens":1960,"spent_tokens":784,"config":{}}"#;
const CLIP: &str = r#"{"kind":"clip","planned_ns":80,"tier":"high","tokens":784,"reason":"uniform","start_ns":40,"stop_ns":160,"frames_ns":[-1,40,80,120]}"#;

#[test]
fn clips_read_as_they_are_written() {
    let plan = read(&[CLIP_HEADER, CLIP]).unwrap();
    assert_eq!(plan.clips.len(), plan.entries.len());
    assert_eq!(plan.clips[0].times[0], crate::plan::NO_FRAME);
    assert_eq!(plan.clips[0].middle(), plan.entries[0].planned);
    assert_eq!(plan.to_text(), format!("{CLIP_HEADER}\n{CLIP}\n"));
    let two = CLIP_HEADER.replace("spent_tokens\":784", "spent_tokens\":1568");
    // Two clips may have one middle frame.
    assert_eq!(read(&[&two, CLIP, CLIP]).unwrap().clips.len(), 2);
}

#[test]
fn invalid_clips_are_refused() {
    let with = |from: &str, to: &str| CLIP.replace(from, to);
    let clip = |text: &str, field, value, rule, hint| {
        refused(&[CLIP_HEADER, text], 2, field, value, rule, hint);
    };
    clip(
        &with("[-1,40,80,120]", "40"),
        "frames_ns",
        "40",
        "array",
        "one frame",
    );
    clip(
        &with("[-1,40,80,120]", "[]"),
        "frames_ns",
        "0",
        "1..=512",
        "one clip",
    );
    clip(
        &with("[-1,40", "[-2,40"),
        "frames_ns",
        "-2",
        "-1 for no frame",
        "seconds",
    );
    clip(
        &with("[-1,40,80,120]", "[-1,-1]"),
        "frames_ns",
        "-1",
        "at least one",
        "outside",
    );
    clip(
        &with("40,80,120]", "80,40]"),
        "frames_ns",
        "[-1,80,40]",
        "order of time",
        "text",
    );
    clip(
        &with("stop_ns\":160", "stop_ns\":120"),
        "frames_ns",
        "0.000 s to 0.000 s",
        "[start_ns 40",
        "end",
    );
    clip(
        &with("planned_ns\":80", "planned_ns\":160"),
        "planned_ns",
        "160",
        "stop_ns 160",
        "middle",
    );
    clip(
        &with("784,", "785,"),
        "tokens",
        "785",
        "costs 784",
        "prices",
    );
    let late = with("120]", "10000000000]").replace(":160", ":20000000000");
    clip(
        &late,
        "frames_ns",
        "10000000000",
        "below the recording's",
        "another recording",
    );
    let two = CLIP_HEADER.replace("spent_tokens\":784", "spent_tokens\":1568");
    let early = CLIP.replace("start_ns\":40", "start_ns\":30");
    refused(
        &[&two, CLIP, &early],
        3,
        "start_ns",
        "30",
        "order of time",
        "text",
    );
    let mixed = "a plan has frames or clips";
    refused(&[&two, CLIP, LOW], 3, "kind", "frame", mixed, "two models");
    refused(
        &[HEADER, LOW, &with("planned_ns\":80", "planned_ns\":90")],
        3,
        "kind",
        "clip",
        mixed,
        "two models",
    );
}

#[test]
fn a_plan_has_no_more_overlapping_clips_than_are_kept() {
    let cheap = CLIP.replace("high", "low").replace("784", "49");
    let header = CLIP_HEADER
        .replace("1960", "999999")
        .replace("spent_tokens\":784", "spent_tokens\":50225");
    let mut lines = vec![header.as_str()];
    lines.extend(std::iter::repeat_n(cheap.as_str(), 1_025));
    refused(
        &lines,
        1_026,
        "start_ns",
        "40",
        "more than 1024 clips overlap",
        "stride",
    );
}

#[test]
fn an_invalid_header_is_refused() {
    let with = |from: &str, to: &str| HEADER.replace(from, to);
    refused(
        &[&with("10000000000", "10000")],
        1,
        "duration_ns",
        "10000",
        "at least",
        "milliseconds",
    );
    refused(
        &[&with("10000000000", "10.5")],
        1,
        "duration_ns",
        "10.5",
        "whole number",
        "seconds",
    );
    refused(
        &[&with("10000000000", "-1")],
        1,
        "duration_ns",
        "-1",
        "negative",
        "start",
    );
    refused(
        &[&with(":833", ":2000")],
        1,
        "spent_tokens",
        "2000",
        "budget_tokens 1960",
        "mixed up",
    );
    refused(
        &[&with("{}", "3")],
        1,
        "config",
        "3",
        "object",
        "leave it out",
    );
    refused(
        &[&with("video_id", "videoid")],
        1,
        "video_id",
        "missing",
        "must be there",
        "misspelt",
    );
}

#[test]
fn an_invalid_anchor_is_refused() {
    let with = |from: &str, to: &str| ANCHOR.replace(from, to);
    refused(
        &[HEADER, &with("\"id\":0", "\"id\":3")],
        2,
        "id",
        "3",
        "count from 0",
        "left out",
    );
    // Sound and video may be five seconds apart, and no more.
    let apart = with(":3000000000", ":8399999999");
    assert!(read(&[HEADER, &apart, HIGH, LOW]).is_ok());
    refused(
        &[HEADER, &with(":3000000000", ":8400000000")],
        2,
        "onset_ns",
        "8400000000",
        "window",
        "units",
    );
    refused(
        &[HEADER, &with(":3400000000", ":2800000000")],
        2,
        "stop_ns",
        "2800000000",
        "later than start_ns",
        "mixed up",
    );
    refused(
        &[HEADER, &with(":3400000000", ":13400000000")],
        2,
        "stop_ns",
        "13400000000",
        "duration_ns",
        "another recording",
    );
    refused(
        &[HEADER, &with("\"score\":0.5", "\"score\":50")],
        2,
        "score",
        "50",
        "0..=1",
        "percentage",
    );
    refused(
        &[HEADER, &with(":4,", ":\"Chop\",")],
        2,
        "class_id",
        "\"Chop\"",
        "-1 for none",
        "label",
    );
    let same = with("\"id\":0", "\"id\":1");
    refused(
        &[HEADER, ANCHOR, &same],
        3,
        "start_ns",
        "2800000000",
        "disjoint",
        "part",
    );
}

#[test]
fn an_invalid_frame_is_refused() {
    let with = |from: &str, to: &str| LOW.replace(from, to);
    let check = |bad: String, field: &str, value: &str, rule: &str, hint: &str| {
        refused(&[HEADER, ANCHOR, HIGH, &bad], 4, field, value, rule, hint);
    };
    check(
        with("4000000000", "4000"),
        "planned_ns",
        "4000",
        "order of time",
        "sorted as text",
    );
    check(
        with("4000000000", "4.0"),
        "planned_ns",
        "4.0",
        "nanoseconds",
        "seconds",
    );
    check(
        with("4000000000", "14000000000"),
        "planned_ns",
        "14000000000",
        "duration_ns",
        "another",
    );
    check(
        with("\"low\"", "\"tiny\""),
        "tier",
        "tiny",
        "low, base or high",
        "misspelt",
    );
    check(
        with(":49", ":50"),
        "tokens",
        "50",
        "costs 49",
        "other prices",
    );
    check(
        with(":49", ":-49"),
        "tokens",
        "-49",
        "whole number",
        "fraction",
    );
    check(
        with("uniform", "because"),
        "reason",
        "because",
        "anchor, untrusted, background or uniform",
        "misspelt",
    );
    check(
        with("uniform", "anchor"),
        "anchor",
        "missing",
        "names its anchor",
        "leave",
    );
    check(
        with("uniform\"", "uniform\",\"anchor\":0"),
        "anchor",
        "0",
        "names no anchor",
        "should",
    );
    check(
        with("uniform\"", "anchor\",\"anchor\":7"),
        "anchor",
        "7",
        "earlier line",
        "later",
    );
    check(
        with("tier\"", "teir\""),
        "tier",
        "missing",
        "must be there",
        "misspelt",
    );
    check(
        with("{", "{\"colour\":1,"),
        "colour",
        "1",
        "kind frame",
        "misspelt",
    );
}

#[test]
fn sums_are_held_against_the_header() {
    refused(
        &[HEADER, ANCHOR, HIGH],
        1,
        "spent_tokens",
        "833",
        "784",
        "end of the file",
    );
    let header = HEADER.replace("1960", "833");
    let more = LOW.replace(":4000", ":5000");
    refused(
        &[&header, ANCHOR, HIGH, LOW, &more],
        5,
        "tokens",
        "49",
        "882",
        "by hand",
    );
}

#[test]
fn an_invalid_cue_is_refused() {
    let with = |from: &str, to: &str| CUE.replace(from, to);
    refused(
        &[HEADER, CUE, CUE],
        3,
        "pts_ns",
        "80000000",
        "order of time",
        "joined",
    );
    refused(
        &[HEADER, &with(":100000000", ":9")],
        2,
        "onset_ns",
        "9",
        "80 ms",
        "units",
    );
    refused(
        &[HEADER, &with("[388,0.75]", "388")],
        2,
        "classes",
        "[388,[2,0.5]]",
        "pairs",
        "[id, p]",
    );
    refused(
        &[HEADER, &with("0.25", "25")],
        2,
        "speech",
        "25",
        "0..=1",
        "percentage",
    );
}

#[test]
fn a_long_value_is_shortened() {
    let bad = read(&[&"x".repeat(10_000)]).unwrap_err();
    assert!(bad.to_string().len() < 400);
}

proptest! {
    #[test]
    fn any_text_is_accepted(lines in prop::collection::vec(".{0,60}", 0..5), at in 0usize..400, by in any::<char>()) {
        let _ = read(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        // A valid plan with one character changed.
        let text = [HEADER, CUE, ANCHOR, HIGH, LOW].join("\n");
        let spoilt: String = text.chars().enumerate().map(|(i, c)| if i == at { by } else { c }).collect();
        let _ = Plan::read(spoilt.lines(), None);
    }
}
