//! Tests of the rules of clips. Frames are numbered by their time: frame k lies at k * 10 ns.

use super::*;
use crate::settings::Settings;
use crate::tier::Tier;

fn recording(frames: i64) -> Vec<Nanos> {
    (0..frames).map(|k| Nanos::new(10 * k)).collect()
}

fn shown(times: &[Nanos]) -> FrameList<'_> {
    FrameList {
        times,
        interval: Nanos::new(10),
    }
}

fn numbers(clip: &ClipFrames) -> Vec<i64> {
    let number = |at: &Nanos| if *at == NO_FRAME { -1 } else { at.get() / 10 };
    clip.times.iter().map(number).collect()
}

fn shape(frames: u32, every: u32) -> ClipShape {
    ClipShape {
        frames,
        every: FrameSpacing::Frames(every),
    }
}

fn entry(at: i64, anchor: Option<u32>) -> Entry {
    Entry {
        planned: Nanos::new(at),
        asked: None,
        tier: Tier::High,
        tokens: 784,
        reason: anchor.map_or(Reason::Background, |_| Reason::Anchor),
        anchor,
    }
}

fn rows(shape: ClipShape, end: ClipEnd, frames: i64) -> Vec<(i64, i64)> {
    let times = recording(frames);
    let clips = grid(shape, 16, end, shown(&times));
    let ends = |clip: &ClipFrames| {
        let all = numbers(clip);
        (all[0], all[all.len() - 1])
    };
    clips.iter().map(ends).collect()
}

/// <https://ego4d-data.org/docs/data/features/>: of 39 frames, [0, 31] and [7, 38].
#[test]
fn a_grid_of_ego4d_moves_its_last_clip_back() {
    let rows = |frames| rows(shape(32, 1), ClipEnd::Ego4d, frames);
    assert_eq!(rows(39), [(0, 31), (7, 38)]);
    assert_eq!(rows(32), [(0, 31)]);
    assert_eq!(rows(48), [(0, 31), (16, 47)]);
    assert_eq!(rows(70), [(0, 31), (16, 47), (32, 63), (38, 69)]);
    // Fewer than a clip has: spread over it.
    let times = recording(5);
    let short = grid(shape(8, 1), 16, ClipEnd::Ego4d, shown(&times));
    assert_eq!(numbers(&short[0]), [0, 0, 1, 1, 2, 2, 3, 4]);
}

/// `form_slices` of video_features: `(size - stack_size) // step_size + 1` whole stacks.
#[test]
fn a_grid_of_video_features_has_whole_clips_only() {
    let rows = |frames| rows(shape(32, 1), ClipEnd::VideoFeatures, frames);
    assert_eq!(rows(39), [(0, 31)]);
    assert_eq!(rows(48), [(0, 31), (16, 47)]);
    assert_eq!(rows(31), []);
    for frames in 0..200 {
        let whole = (frames - 32_i64).div_euclid(16) + 1;
        assert_eq!(rows(frames).len() as i64, whole.max(0), "{frames}");
    }
}

/// slowfast_feature_extractor: frames `int(index - step * frames / 2)` and on around every index; zeros where there is none.
#[test]
fn a_grid_of_slowfast_lies_around_its_frames() {
    let times = recording(40);
    let clips = grid(shape(4, 2), 16, ClipEnd::Slowfast, shown(&times));
    let all: Vec<_> = clips.iter().map(numbers).collect();
    assert_eq!(all, [[-1, -1, 0, 2], [12, 14, 16, 18], [28, 30, 32, 34]]);
    let odd = grid(shape(3, 1), 39, ClipEnd::Slowfast, shown(&times));
    // int() cuts towards zero.
    assert_eq!(numbers(&odd[0]), [-1, 0, 1]);
    assert_eq!(numbers(&odd[1]), [37, 38, 39]);
}

#[test]
fn a_grid_in_time_takes_the_nearest_frames() {
    // A discontinuity between 50 and 200.
    let times: Vec<_> = [0, 10, 20, 31, 40, 50, 200, 210].map(Nanos::new).into();
    let shape = ClipShape {
        frames: 3,
        every: FrameSpacing::Time(Nanos::new(15)),
    };
    let clips = grid(shape, 2, ClipEnd::VideoFeatures, shown(&times));
    let all: Vec<Vec<i64>> = clips
        .iter()
        .map(|clip| clip.times.iter().map(|at| at.get()).collect())
        .collect();
    assert_eq!(all[0], [0, 10, 31]);
    assert_eq!(all[1], [31, 40, 50]);
    assert_eq!(all[3], [50, 50, 50]);
    assert_eq!(all[5], [200, 200, 200]);
    assert_eq!(all.len(), 7);
}

#[test]
fn a_clip_lies_around_its_entry_or_begins_before_the_event_and_stays_inside() {
    let times = recording(100);
    let settings = Settings::default();
    let centred = ClipPlace::new(shape(4, 2), &settings);
    let clip = |place: &ClipPlace, at, anchor| {
        numbers(&place.among(&entry(at, anchor), shown(&times)).unwrap())
    };
    assert_eq!(clip(&centred, 503, None), [46, 48, 50, 52]);
    assert_eq!(clip(&centred, 20, None), [0, 2, 4, 6]);
    assert_eq!(clip(&centred, 990, Some(0)), [93, 95, 97, 99]);
    let short = recording(5);
    let all = centred.among(&entry(20, None), shown(&short)).unwrap();
    assert_eq!(numbers(&all), [0, 2, 4, 4]);
    // 100 ms before an event that is asked for 60 ms late.
    let mut settings = settings;
    settings.anchors.clip_lead_ms = 100;
    let ms: Vec<_> = (0..100).map(|k| Nanos::from_ms(10 * k)).collect();
    let shown = FrameList {
        times: &ms,
        interval: Nanos::from_ms(10),
    };
    let lead = ClipPlace::new(shape(4, 1), &settings);
    let at = Nanos::from_ms(500).get();
    let found = lead.among(&entry(at, Some(0)), shown).unwrap();
    assert_eq!(found.times[..2], [340, 350].map(Nanos::from_ms));
    let found = lead.among(&entry(at, None), shown).unwrap();
    assert_eq!(found.times[..2], [480, 490].map(Nanos::from_ms));
    // Snapped to begin at 300 ms.
    let snapped = Entry {
        asked: Some(Nanos::from_ms(490)),
        ..entry(Nanos::from_ms(320).get(), None)
    };
    assert_eq!(
        lead.among(&snapped, shown).unwrap().start,
        Nanos::from_ms(300)
    );
    // The same in a stream.
    let streamed = lead.in_stream(&entry(at, Some(0)), Nanos::ZERO, shown.interval);
    assert_eq!(streamed.unwrap().times[..2], [340, 350].map(Nanos::from_ms));
    let early = lead.in_stream(&entry(0, Some(0)), Nanos::ZERO, shown.interval);
    assert_eq!(early.unwrap().start, Nanos::ZERO);
}

#[test]
fn a_still_is_one_frame_that_fills_its_clip() {
    let times = recording(100);
    let mut settings = Settings::default();
    settings.budget.clip_stills = true;
    let place = ClipPlace::new(shape(4, 2), &settings);
    let clip = |entry: &Entry| place.among(entry, shown(&times)).unwrap();
    let still = clip(&entry(503, None));
    assert_eq!(numbers(&still), [50, 50, 50, 50]);
    assert_eq!(
        (still.start, still.stop),
        (Nanos::new(500), Nanos::new(510))
    );
    assert_eq!(still.distinct().count(), 1);
    // An anchor's is none, nor are those of policy uniform.
    assert_eq!(numbers(&clip(&entry(503, Some(0)))), [46, 48, 50, 52]);
    let uniform = Entry {
        reason: Reason::Uniform,
        ..entry(503, None)
    };
    assert_eq!(numbers(&clip(&uniform)), [46, 48, 50, 52]);
    let streamed = place.in_stream(&entry(503, None), Nanos::ZERO, Nanos::new(10));
    assert_eq!(streamed.unwrap().times[..], [Nanos::new(503); 4]);
    // A still costs what its frame costs.
    let takes = place.takes(Nanos::new(10), (Nanos::ZERO, Nanos::new(990)));
    assert_eq!(
        takes.other,
        crate::planning::decode_cost::FramesOfEntry::FRAME
    );
}
