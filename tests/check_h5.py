#!/usr/bin/env python3
"""Reads a file that Earmark wrote with h5py and checks it against its own rules, its plan, its recording and known labels.

    check_h5.py FILE.h5 [--plan PLAN.jsonl] [--recording MEDIA] [--clicks 2.0,4.5] [--labels LABELS.csv [--onsets SHARE]] [--turned] [--even 25]

--plan       every row is a frame of the plan, in order: same time asked for, tier, tokens, reason, anchor
--recording  (made by media.py, encoded by its `cells` model) every row shows the picture that its pts_ns names, and that
             picture is the nearest to the time asked for
--clicks     each of these times has an anchor within 50 ms
--labels     (start_s, stop_s, class) of the anchors a share (--onsets, 0.75 by default) begins within 100 ms of an event's start, and more
             events have a picture at an anchor than evenly spaced pictures would find
--even       the recording's pictures are shown evenly, so many a second, the first at 0, whatever ffprobe makes of a file that does not say
--turned     the recording is stored turned by 90 degrees; the features must be upright
Prints what it checked; any failure ends it with a message and status 1. Needs h5py and numpy; ffprobe for --recording.
"""
import argparse, csv, json, pathlib, subprocess, sys
import h5py
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "python/src"))
import earmark

TIERS, REASONS = ["low", "base", "high"], ["anchor", "untrusted", "background", "uniform"]
FRAMES = {"features": ("f4", "f2"), "pts_ns": "i8", "planned_ns": "i8", "asked_ns": "i8", "tier": "u1", "reason": "u1", "tokens": "u4", "anchor": "i4"}
ANCHORS = {"onset_ns": "i8", "start_ns": "i8", "stop_ns": "i8", "score": "f4", "uncertainty": "f4", "class_id": "i4", "label": "S256"}
CUES = {"pts_ns": "i8", "eventness": "f4", "uncertainty": "f4", "speech": "f4", "class_id": "u2", "class_p": "f2", "bands": "u1", "change": "f4"}
ATTRIBUTES = ["schema", "complete", "video_id", "input_uri", "input_bytes", "duration_ns", "config", "budget_tokens", "spent_tokens"]


def need(condition, message):
    if not condition:
        sys.exit(f"check_h5: {message}")


def schema(f):
    """The shapes, types and attributes of `earmark/2`."""
    for name in ATTRIBUTES:
        need(name in f.attrs, f"root attribute `{name}` is missing")
    need(f.attrs["schema"] == b"earmark/2", f"schema is {f.attrs['schema']!r}")
    need(bool(f.attrs["complete"]), "`complete` is not set")
    for group, columns in (("frames", FRAMES), ("anchors", ANCHORS), ("cues", CUES)):
        rows = {f[group][c].shape[0] for c in columns}
        need(len(rows) == 1, f"/{group} has columns of different lengths: {rows}")
        for column, types in columns.items():
            d = f[group][column]
            need(d.dtype in tuple(np.dtype(t) for t in ([types] if isinstance(types, str) else types)), f"/{group}/{column} is {d.dtype}")
            need(d.chunks is not None, f"/{group}/{column} is not chunked")
            need("units" in d.attrs and "axes" in d.attrs, f"/{group}/{column} lacks `units` or `axes`")
    measures = {"score", "sharpness", "exposure", "contrast", "blockiness", "noise", "freeze"}
    need(set(f["frames/quality"]) == measures, f"/frames/quality has {sorted(f['frames/quality'])}")
    for name, d in f["frames/quality"].items():
        need(d.shape == f["frames/pts_ns"].shape and d.dtype == np.float32 and "units" in d.attrs, f"/frames/quality/{name} is {d.dtype} {d.shape}")
        need(((d[:] >= 0) & (d[:] <= 1)).all(), f"/frames/quality/{name} leaves [0, 1]")
    heard = {"clipping", "wind", "handling", "roar", "dropouts", "hum", "bandwidth", "noise_floor", "snr", "score"}
    need(set(f["cues/quality"]) == heard, f"/cues/quality has {sorted(f['cues/quality'])}")
    for name, d in f["cues/quality"].items():
        need(d.shape == f["cues/pts_ns"].shape and d.dtype == np.float16 and "units" in d.attrs, f"/cues/quality/{name} is {d.dtype} {d.shape}")
        need(((d[:] >= 0) & (d[:] <= 1)).all(), f"/cues/quality/{name} leaves [0, 1]")
    need(f["cues/class_id"].shape[1:] == (5,) and f["cues/class_p"].shape[1:] == (5,), "the cues' classes are not [M, 5]")
    need(f["cues/bands"].shape[1:] == (16,), "the cues' bands are not [M, 16]")
    for column, names in (("tier", TIERS), ("reason", REASONS)):
        enum = h5py.check_enum_dtype(f[f"frames/{column}"].dtype)
        need(enum == {n: i for i, n in enumerate(names)}, f"/frames/{column} is the enum {enum}")


def rules(f):
    """What holds for every file."""
    frames, anchors = {c: f["frames"][c][:] for c in FRAMES}, {c: f["anchors"][c][:] for c in ANCHORS}
    spent = int(frames["tokens"].sum())
    need(spent == int(f.attrs["spent_tokens"]), f"spent_tokens is {f.attrs['spent_tokens']}, the rows' tokens add up to {spent}")
    need(spent <= int(f.attrs["budget_tokens"]), f"spent {spent} of {f.attrs['budget_tokens']}")
    for name in ("frames/pts_ns", "frames/planned_ns", "cues/pts_ns"):
        need((np.diff(f[name][:]) >= 0).all(), f"/{name} is not ascending")
    need(np.isfinite(frames["features"].astype("f4")).all(), "features are not finite")
    of_anchor = frames["reason"] == REASONS.index("anchor")
    need((frames["anchor"][of_anchor] >= 0).all() and (frames["anchor"][of_anchor] < len(anchors["onset_ns"])).all(), "an anchor's frame names no anchor")
    need((frames["anchor"][~of_anchor] == -1).all(), "a frame without an anchor names one")
    need((anchors["start_ns"] <= anchors["onset_ns"]).all() and (anchors["onset_ns"] < anchors["stop_ns"]).all(), "an onset lies outside its window")
    need((anchors["start_ns"][1:] >= anchors["stop_ns"][:-1]).all(), "windows overlap")
    for name in ("anchors/score", "anchors/uncertainty", "cues/eventness", "cues/uncertainty", "cues/speech"):
        x = f[name][:]
        need(((x >= 0) & (x <= 1)).all(), f"/{name} leaves [0, 1]")
    return frames, anchors


def against_plan(f, recording, frames, anchors, path):
    lines = [json.loads(line) for line in open(path)]
    wanted = [x for x in lines if x["kind"] == "frame"]
    planned = [x for x in lines if x["kind"] == "anchor"]
    missed = int(f.attrs.get("frames_missed", 0))
    need(len(wanted) == len(frames["pts_ns"]) + missed, f"the plan has {len(wanted)} frames, the file {len(frames['pts_ns'])} and {missed} missed")
    need(len(planned) == len(anchors["onset_ns"]), f"the plan has {len(planned)} anchors, the file {len(anchors['onset_ns'])}")
    rows = list(zip(*(recording.frames[c].tolist() for c in ("planned_ns", "asked_ns", "tier", "tokens", "reason", "anchor"))))
    asked = [(x["planned_ns"], x.get("asked_ns", x["planned_ns"]), x["tier"], x["tokens"], x["reason"], -1 if x.get("anchor") is None else x["anchor"]) for x in wanted]
    extra = [r for r in rows if r not in set(asked)]
    need(not extra, f"rows that the plan did not ask for: {extra[:3]}")
    need(missed or rows == asked, "the rows are not the plan's frames in order")
    for k, x in enumerate(planned):
        need((x["onset_ns"], x["start_ns"], x["stop_ns"]) == tuple(int(anchors[c][k]) for c in ("onset_ns", "start_ns", "stop_ns")), f"anchor {k} differs from the plan's")
    head = lines[0]
    need(head["budget_tokens"] == int(f.attrs["budget_tokens"]), "budget_tokens differs from the plan's")


def against_recording(frames, path, turned, numbered, even=None):
    """The number in each picture says which it is; ffprobe says when that one is shown."""
    text = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "frame=best_effort_timestamp_time", "-of", "csv=p=0", path],
                          check=True, capture_output=True, text=True).stdout
    shown = np.array([float(x.strip(",")) for x in text.split() if x.strip(",") not in ("", "N/A")])
    if even:
        shown = np.arange(300) / even
    cells = frames["features"].astype("f4").reshape(-1, 3, 8, 8).mean(1)
    if turned:
        cells = np.rot90(cells, 1, (1, 2))
    bits = cells.reshape(-1, 64)[:, :24]
    contrast = bits[:, :12] - bits[:, 12:]
    need((np.abs(contrast) > .3).all(), f"pictures can't be read (least contrast {np.abs(contrast).min():.2f}): wrong colours, wrong way up or damaged")
    # What was cut off the start was numbered too.
    number = ((contrast > 0) * (1 << np.arange(12))).sum(1) - max(0, numbered - len(shown))
    need(((number >= 0) & (number < len(shown))).all(), f"a picture numbered {number.max()} of {len(shown)}")
    pts, asked = frames["pts_ns"] / 1e9, frames["planned_ns"] / 1e9
    offset = np.median(pts - shown[number])
    need(not even or abs(offset) < .0015, f"pictures are {offset:.3f} s late")
    off = np.abs(pts - shown[number] - offset)
    # matroskademux 1.22 first says that the recording begins with its first picture, and corrects itself where the sound begins sooner: what it
    # has given out until then stays early by as much (7 ms with Opus).
    early = (pts < .05) & (off < .01)
    off[early] = 0
    need(off.max() < .0015, f"{(off >= .0015).sum()} of {len(off)} rows show another picture than their pts_ns says (worst: {off.max():.3f} s)")
    times = shown + offset
    nearest = np.abs(times[None] - asked[:, None]).min(1)
    far = np.abs(pts - asked)
    need((far <= nearest + np.where(early, .01, .0015)).all(), f"{(far > nearest + .0015).sum()} rows are not the picture nearest to the time asked for (worst: {(far - nearest).max():.3f} s further)")
    gaps = np.diff(times, append=times[-1] + .04)
    local = np.maximum(gaps[number], np.append(.04, gaps[:-1])[number])
    need((far <= local + .0015).all(), f"a picture lies {far.max():.3f} s from the time asked for, more than a frame")
    print(f"  {len(pts)} pictures are the ones asked for; recording time = ffprobe time {offset:+.3f} s; furthest {far.max() * 1000:.1f} ms from the time asked for")


def against_labels(f, recording, anchors, path, share):
    events = [(float(r["start_s"]), float(r["stop_s"])) for r in csv.DictReader(open(path))]
    off = np.array([min(abs(onset - start) for start, _ in events) for onset in anchors["onset_ns"] / 1e9])
    need(len(off) and (off <= .1).mean() >= share, f"only {(off <= .1).sum()} of {len(off)} anchors begin within 100 ms of an event's start")
    hit = lambda times: sum(any(start <= t < max(stop, start + .4) for t in times) for start, stop in events)
    looked = recording.times[recording.reasons == "anchor"]
    even = (np.arange(len(looked)) + .5) * int(f.attrs["duration_ns"]) / 1e9 / len(looked)
    need(hit(looked) > hit(even), f"{len(looked)} pictures at anchors hit {hit(looked)} of {len(events)} events, evenly spaced ones {hit(even)}")
    print(f"  {(off <= .1).sum()} of {len(off)} anchors begin within 100 ms of an event; their pictures hit {hit(looked)} of {len(events)} events, evenly spaced ones {hit(even)}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("file")
    p.add_argument("--plan")
    p.add_argument("--recording")
    p.add_argument("--clicks")
    p.add_argument("--labels")
    p.add_argument("--onsets", type=float, default=.75)
    p.add_argument("--turned", action="store_true")
    p.add_argument("--even", type=float)
    p.add_argument("--numbered", type=int, default=0, help="so many pictures were numbered before the start was cut off")
    a = p.parse_args()
    # The package holds every byte against its digests.
    with h5py.File(a.file, locking=False) as f, earmark.open(a.file, verify=True) as recording:
        schema(f)
        frames, anchors = rules(f)
        if a.plan:
            against_plan(f, recording, frames, anchors, a.plan)
        if a.recording:
            against_recording(frames, a.recording, a.turned, a.numbered, a.even)
        for click in a.clicks.split(",") if a.clicks else []:
            off = np.abs(anchors["onset_ns"] / 1e9 - float(click))
            need(len(off) and off.min() <= .05, f"no anchor within 50 ms of {click} s (nearest {off.min() if len(off) else 'none'})")
        if a.labels:
            against_labels(f, recording, anchors, a.labels, a.onsets)
        kinds, counts = np.unique([f"{reason}/{tier}" for reason, tier in zip(recording.reasons, recording.tiers)], return_counts=True)
        print(f"  {a.file}: {dict(zip(kinds.tolist(), counts.tolist()))}, {f.attrs['spent_tokens']} of {f.attrs['budget_tokens']} tokens, {len(anchors['onset_ns'])} anchors, {len(f['cues/pts_ns'])} cues")


if __name__ == "__main__":
    main()
