//! Converts a planned clip to a structure and back.

use anchoring::plan::{Clip, ClipFrames, MOST_CLIP_FRAMES, NO_FRAME};
use anchoring::time::Nanos;

use super::entry::{get_entry, put_entry};
use super::fields::{StructureError, get, nanos, wrong};

/// Name of the structure.
pub(super) const NAME: &str = "earmark-clip";

pub(super) fn to_structure(clip: &Clip) -> gst::Structure {
    let mut s = gst::Structure::new_empty(NAME);
    put_entry(&mut s, &clip.entry);
    s.set("start-ns", clip.frames.start.get());
    s.set("stop-ns", clip.frames.stop.get());
    let times = clip.frames.times.iter().map(|at| at.get());
    s.set("frames-ns", gst::Array::new(times));
    s
}

pub(super) fn from_structure(s: &gst::StructureRef) -> Result<Clip, StructureError> {
    let array = get::<gst::ArrayRef>(s, "frames-ns")?;
    let times = array.iter().map(|at| at.get::<i64>().map(Nanos::new));
    let times: Result<Vec<_>, _> = times.collect();
    let fits = |times: &Vec<Nanos>| {
        (1..=MOST_CLIP_FRAMES).contains(&times.len()) && times.iter().any(|at| *at != NO_FRAME)
    };
    let rule = format!("must hold 1 to {MOST_CLIP_FRAMES} times, at least one of a frame");
    let times = times.ok().filter(fits);
    Ok(Clip {
        entry: get_entry(s)?,
        frames: ClipFrames {
            start: nanos(s, "start-ns")?,
            stop: nanos(s, "stop-ns")?,
            times: times.ok_or_else(|| wrong(s, "frames-ns", rule))?.into(),
        },
    })
}
