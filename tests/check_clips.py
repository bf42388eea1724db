#!/usr/bin/env python3
"""Reads a file of clips and checks every frame of every clip against a full decode.

    check_clips.py FILE.h5 RECORDING --frames 8 [--slow 4] (--every 2 | --every-ms 80) [--grid ego4d --stride 16] [--lead 0.2] [--near 1.0] [--export NPZ/]
    check_clips.py --calls FILE       many such calls: each line a JSON list of arguments; all that fail are named

The recording is one of media.py's: each picture carries its number. The features are the cells of every frame (its models `clips8` and `clips16`).
ffprobe decodes all of it and says when each picture is shown.
--grid      the rows are those that the named extractor would take of so many frames, each frame for frame
--near      only those near an anchor
--lead      an anchor's clip begins so many seconds before its onset; without it, it lies around the frame that was asked for
--stills    background frames fill a clip each; --waits: a clip may begin up to 0.3 s late, at a keyframe
--numbered  so many pictures were numbered before the start was cut off
--kept      of the numbered pictures, those from the first to before the second of each two of these numbers are in the recording
--even      so many pictures a second, the first at 0, whatever ffprobe makes of a file that does not say when they are shown
--damaged   between these two of its seconds, pictures may be missing or unreadable; outside, each is the one that its time says (with --even)
Prints what it checked; any failure ends it with a message and status 1.
"""
import argparse, functools, json, pathlib, subprocess, sys
import h5py
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "python/src"))
import earmark


def need(condition, message):
    if not condition:
        sys.exit(f"check_clips: {message}")


@functools.cache
def full_decode(path, *more):
    """When each picture is shown, by a full decode; NaN where the file does not say."""
    text = subprocess.run(["ffprobe", "-v", "error", *more, "-select_streams", "v:0", "-show_entries", "frame=best_effort_timestamp_time", "-of", "csv=p=0", path],
                          check=True, capture_output=True, text=True).stdout
    times = [x.strip(",") for x in text.split() if x.strip(",")]
    return np.array([float("nan" if x == "N/A" else x) for x in times])


def numbers(cells, turned, damaged=False):
    """[N, T, 3, 8, 8] -> the number of each picture; -1 where the encoder got its mean colour (black), -2 where damage may explain that none is read."""
    cells = cells.mean(2)
    if turned:
        cells = np.rot90(cells, 1, (2, 3))
    bits = cells.reshape(*cells.shape[:2], 64)[..., :24]
    contrast = bits[..., :12] - bits[..., 12:]
    none = np.abs(cells).max((2, 3)) < .01
    clear = np.abs(contrast).min(-1) > .3
    need(damaged or clear[~none].all(), "pictures can't be read: wrong colours, wrong way up or damaged")
    found = ((contrast > 0) * (1 << np.arange(12))).sum(-1)
    return np.where(none, -1, np.where(clear, found, -2))


def grid(rule, count, frames, every, stride):
    """The rows of a published extractor, as numbers of pictures; -1 for none. Written from their rules, not from Earmark's code."""
    span = frames * every
    if rule == "video_features":  # form_slices
        starts = [k * stride for k in range((count - span) // stride + 1)]
    elif rule == "slowfast":  # VideoSet.__getitem__
        starts = [int(k - every * frames / 2) for k in range(0, count, stride)]
    else:  # UniformClipSampler, backpad_last
        starts = [0]
        while starts[-1] + span < count:
            starts.append(min(starts[-1] + stride, count - span))
    inside = lambda k: k if 0 <= k < count else -1
    return np.array([[inside(s + k * every) for k in range(frames)] for s in starts]).reshape(-1, frames)


def exported(folder, a, rows, shown, fast, step):
    """What `earmark export --format actionformer` made of a grid, as ActionFormer's loaders take it."""
    folder = pathlib.Path(folder)
    pairs = (line.strip().split(": ", 1) for line in (folder / "dataset.yaml").read_text().splitlines() if line.startswith("  "))
    s = {name: value for name, value in pairs}
    stride, frames, fps = (float(s[name]) for name in ("feat_stride", "num_frames", "default_fps"))
    data = np.load(next(folder.glob("*.npz")))
    unit = 40 if a.every_ms else 1
    need(stride == a.stride * (a.every_ms or 1), f"feat_stride is {stride}")
    need(frames == (0 if a.grid == "slowfast" else a.frames * step * unit), f"num_frames is {frames}")
    need(abs(fps - (1000 if a.every_ms else 25)) < .01, f"default_fps is {fps}")
    feats, valid = data["feats"], data["valid"]
    need(np.array_equal(feats[valid], rows), "the rows are not those of the file, in order")
    need(a.near is not None or valid.all(), "rows of a whole grid are not all valid")
    whole = grid(a.grid, (len(shown) - 1) // step + 1 if a.every_ms else len(shown), a.frames, 1 if a.every_ms else step, a.stride)
    need(len(feats) == len(whole), f"{len(feats)} rows, {a.grid} has {len(whole)}")
    if a.near is not None:
        taken = [np.array_equal(w, f) for w in whole for f in fast].count(True)
        need(taken == valid.sum() and [any(np.array_equal(w, f) for f in fast) for w in whole] == valid.tolist(), "the mask names other rows")
        need((feats[~valid] != 0).any(1).all(), "rows that were left out do not hold the nearest")
    # A segment of the middle of row k has its middle at k: t * fps / stride - num_frames / 2 / stride.
    for k in np.flatnonzero(valid)[:-1]:
        row = whole[k] * (step if a.every_ms else 1)
        middle = (shown[row[a.frames // 2]] if a.grid == "slowfast" else shown[row[0]] + a.frames * step / 50)
        need(abs(middle * fps / stride - .5 * frames / stride - k) < .02, f"ActionFormer takes row {k} for another time")


def undamaged(a, fast, times):
    """Before and after the damage, each picture is the one that its time says; a demuxer may close the gap that lost packets leave in its clock."""
    at = fast / a.even
    sides = [(fast >= 0) & (at < a.damaged[0]), (fast >= 0) & (at > a.damaged[1])]
    if a.damaged[1] > 9.9:
        # Nothing follows.
        sides = sides[:1]
    need(all(side.any() for side in sides), "no clip before or after the damage")
    readable = sides[0][times <= times[sides[0]].max()].all() and (len(sides) < 2 or sides[1][times >= times[sides[1]].min()].all())
    need(readable, "a picture outside of the damage can't be read")
    for side in sides:
        late = times[side] / 1e9 - at[side]
        need(np.ptp(late) < .0015, "pictures outside of the damage are others than their times say")
    if a.grid:
        seen = np.unique(fast[np.any(sides, axis=0)])
        wanted = np.concatenate([np.arange(np.ceil(a.damaged[0] * a.even)), np.arange(np.floor(a.damaged[1] * a.even) + 1, 250)])
        need(np.array_equal(seen, wanted), "not every picture outside of the damage is in a clip")
    outside = sum(side.sum() for side in sides)
    print(f"  {a.file}: {len(times)} clips of {a.frames} frames; {outside} of {times.size} frames are outside of the damage, each as it should be")


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("file")
    p.add_argument("recording")
    p.add_argument("--frames", type=int, required=True)
    p.add_argument("--slow", type=int)
    p.add_argument("--every", type=int, default=1)
    p.add_argument("--every-ms", type=float)
    p.add_argument("--grid")
    p.add_argument("--stride", type=int, default=16)
    p.add_argument("--near", type=float)
    p.add_argument("--export", help="the folder of `earmark export FILE.h5 --format actionformer`")
    p.add_argument("--lead", type=float)
    p.add_argument("--nearest", action="store_true", help="a stream: frames are the nearest to regular times")
    p.add_argument("--stills", action="store_true")
    p.add_argument("--waits", action="store_true")
    p.add_argument("--turned", action="store_true")
    p.add_argument("--even", type=float)
    p.add_argument("--damaged", type=float, nargs=2)
    p.add_argument("--holes", action="store_true", help="pictures are missing from the end; their numbers follow from their times")
    p.add_argument("--numbered", type=int, default=0)
    p.add_argument("--kept", type=int, nargs="+", default=())
    a = p.parse_args(argv)
    shown = full_decode(a.recording)
    shown = np.arange(len(shown)) / a.even if a.even else shown[~np.isnan(shown)]
    with h5py.File(a.file, locking=False) as f, earmark.open(a.file, verify=True) as recording:
        rows = f["frames/features"][:].astype("f4")
        pts, asked, planned = (f[f"frames/{c}_ns"][:] for c in ("pts", "asked", "planned"))
        reasons = h5py.check_enum_dtype(f["frames/reason"].dtype)
        # Clips without an anchor, which may be moved.
        is_background = np.isin(f["frames/reason"][:], [reasons["background"], reasons["untrusted"]])
        start, stop, times = (f[f"clips/{c}"][:] for c in ("start_ns", "stop_ns", "frame_pts_ns"))
        anchor, onsets = f["frames/anchor"][:], f["anchors/onset_ns"][:] / 1e9
        clips = recording.clips
        need(np.array_equal(clips["frame_pts_ns"], times) and np.array_equal(clips["start_ns"], start), "the package gives other clips")
        need(int(f["frames/tokens"][:].sum()) == int(f.attrs["spent_tokens"]) <= int(f.attrs["budget_tokens"]), "the tokens do not add up")
    need(len(rows) > 0 and times.shape == (len(rows), a.frames), f"{len(rows)} rows, /clips/frame_pts_ns is {times.shape}")
    slow = a.slow or 0
    parts = np.split(rows, [slow * 192], axis=1)
    fast = numbers(parts[1].reshape(-1, 3, a.frames, 8, 8).swapaxes(1, 2), a.turned, a.damaged)
    if a.damaged:
        return undamaged(a, fast, times)
    cut = max(0, a.numbered - len(shown))
    fast = np.where(fast >= 0, fast - cut, -1)
    if a.kept:
        kept = np.concatenate([np.arange(*pair) for pair in zip(a.kept[::2], a.kept[1::2])])
        need(np.isin(fast, [-1, *kept]).all(), "a picture is shown that was cut out")
        fast = np.where(fast >= 0, np.searchsorted(kept, fast), -1)
    if slow:
        taken = np.linspace(0, a.frames - 1, slow).astype(int)
        need(np.array_equal(numbers(parts[0].reshape(-1, 3, slow, 8, 8).swapaxes(1, 2), a.turned) - cut, fast[:, taken]), "the slow pathway got other frames")
    if a.holes:
        at = np.rint((shown - shown[0]) * 25).astype(int)
        place = np.minimum(np.searchsorted(at, fast), len(at) - 1)
        need((at[place] == fast)[fast >= 0].all(), "a clip has a picture that the full decode does not give")
        fast = np.where(fast >= 0, place, -1)
    there = fast >= 0
    need((fast < len(shown)).all(), f"a picture numbered {fast.max()} of {len(shown)}")
    need((times[~there] == -1).all() and (times[there] != -1).all(), "frame_pts_ns says otherwise where frames are missing")
    own = shown[fast[there]]
    offset = np.median(times[there] / 1e9 - own)
    off = np.abs(times[there] / 1e9 - own - offset)
    # See check_h5.py: the first times of Matroska, early by 7 ms with Opus and 23 with MP3.
    off[(times[there] < 1e8) & (off < .024)] = 0
    need(off.max() < .0015, f"{(off >= .0015).sum()} of {off.size} frames are others than frame_pts_ns says (worst {off.max():.3f} s)")
    for k, row in enumerate(times):
        mine = row[row != -1]
        need(start[k] == mine[0] and mine[-1] < stop[k] and (np.diff(mine) >= 0).all() and pts[k] in mine, f"row {k} contradicts itself")
        need(row[a.frames // 2] in (-1, pts[k]), f"row {k} is not named by its middle frame")
    step = round(a.every_ms * 25 / 1000) if a.every_ms else a.every
    if a.grid:
        # A grid in time counts instants.
        counted, own = ((len(shown) - 1) // step + 1, 1) if a.every_ms else (len(shown), step)
        wanted = grid(a.grid, counted, a.frames, own, a.stride)
        wanted = np.where(wanted >= 0, wanted * (step // own), -1)
        if a.near is not None:
            at = lambda row: shown[row[row >= 0]] + offset
            near = [any(at(row)[0] - a.near <= t < at(row)[-1] + .04 + a.near for t in onsets) for row in wanted]
            wanted = wanted[np.array(near)]
        need(fast.shape == wanted.shape, f"{len(fast)} rows, {a.grid} has {len(wanted)}")
        need(np.array_equal(fast, wanted), f"row {np.argmax((fast != wanted).any(1))} has other frames than {a.grid}")
    else:
        span = (a.frames - 1) * step
        keys = full_decode(a.recording, "-skip_frame", "nokey")
        snapped = 0
        for k, row in enumerate(fast):
            if a.stills and is_background[k]:
                need((row == row[0]).all() and abs(pts[k] - asked[k]) < 1.05e9, f"row {k} is no still: {row.tolist()}")
                need(stop[k] - start[k] < 5e7, f"row {k} lasts {stop[k] - start[k]} ns")
                snapped += np.abs(keys - shown[row[0]]).min() < .0015
                continue
            first = (onsets[anchor[k]] - a.lead if a.lead is not None and anchor[k] >= 0 else None)
            if a.every_ms or a.nearest:
                # Nearest to regular times.
                gap = (a.every_ms or 40 * a.every) / 1e3
                begin = asked[k] / 1e9 - offset - a.frames // 2 * gap
                begin = max(shown[0], min(begin, shown[-1] - (a.frames - 1) * gap))
                wished = begin + np.arange(a.frames) * gap
                nearest = np.abs(shown[None] - wished[:, None]).min(1)
                need((np.abs(shown[row] - wished) <= nearest + .0015).all(), f"row {k} is not made of the nearest frames")
            else:
                if first is None:
                    begin = int(np.argmin(np.abs(shown + offset - asked[k] / 1e9))) - a.frames // 2 * step
                else:
                    begin = int(np.searchsorted(shown + offset, first - 1e-6))
                begin = max(0, min(begin, len(shown) - 1 - span))
                wanted = np.minimum(begin + np.arange(a.frames) * step, len(shown) - 1)
                # Where two frames are equally near, rounding decides here.
                away = np.sort(np.abs(shown + offset - asked[k] / 1e9))
                tie = first is not None or away[1] - away[0] < .0015
                if abs(row - wanted).max() > tie and (is_background[k] or a.waits):
                    # Moved to where it costs less.
                    need((np.diff(row) == step).all() and abs(asked[k] - planned[k]) < (.35e9 if a.waits else 1.05e9) + 1e9 * (np.diff(shown).max() - .04), f"row {k} has the frames {row.tolist()}")
                    at_key = np.abs(keys - shown[row[0]]).min() < .0015
                    need(at_key or not a.waits, f"row {k} waited, but not for a keyframe")
                    snapped += at_key
                    continue
                need(abs(row - wanted).max() <= tie, f"row {k} has the frames {row.tolist()}, not {wanted.tolist()}")
        need(snapped or not (a.stills or a.waits), "nothing was moved to a keyframe")
    if a.export:
        exported(a.export, a, rows, shown, fast, step)
    print(f"  {a.file}: {len(rows)} clips of {a.frames} frames, every frame as in a full decode of {len(shown)}")


def many(calls):
    failed = 0
    for line in open(calls):
        try:
            main(json.loads(line))
        except SystemExit as end:
            failed += 1
            print(f"{line.strip()}: {end}", file=sys.stderr)
    sys.exit(failed > 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--calls"]:
        many(sys.argv[2])
    main()
