#!/usr/bin/env python3
"""Measures `budget: { spread: change }` on silent events: the share of them that gets a frame, compared with frames even over time.

    bench_change.py [RECORDINGS] [SECONDS]      default: 4 of each kind, 240 s

Makes recordings in target/bench: a textured scene seen by a hand-held camera that shakes (in half of them somebody also turns the head three times a
minute), in which objects appear and go again, change and change back, or move, for 0.3 to 5 s, fifteen times a minute. Then recordings that change
evenly, with the same kind of labels where nothing happens. Each is planned over time and over change, with the same pipeline and tokens; the planned frames are
compared with the events. Prints a table, asserts nothing. Needs ffmpeg; numpy (models/built/venv has it).

EARMARK_BIN, BENCH_CODECS (default x264), BENCH_TOKENS (default 39.2: a frame of 224 px every 5 s).
"""
import json, os, pathlib, subprocess, sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
OUT = TARGET / "bench/change"
EARMARK = os.environ.get("EARMARK_BIN", str(TARGET / "release/earmark"))
TOKENS = os.environ.get("BENCH_TOKENS", "39.2")
W, H, FPS, PAD = 480, 272, 25, 80
CODECS = {
    "x264": ("-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-g", "50"),
    "x264-250": ("-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-g", "250"),
    "x264-cbr": ("-c:v", "libx264", "-preset", "veryfast", "-b:v", "400k", "-maxrate", "400k", "-bufsize", "400k", "-g", "50"),
    "x265": ("-c:v", "libx265", "-preset", "ultrafast", "-crf", "26", "-g", "50", "-x265-params", "log-level=error"),
    "vp8": ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "600k", "-g", "50"),
    "vp9": ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "600k", "-g", "50"),
    "av1": ("-c:v", "libaom-av1", "-usage", "realtime", "-cpu-used", "8", "-b:v", "600k", "-g", "50"),
}


def texture(rng, height, width, scales=(4, 8, 16, 32, 64)):
    """[height, width], mean 0, deviation 1: noise at several scales."""
    out = np.zeros((height, width), "f4")
    for s in scales:
        noise = np.kron(rng.standard_normal((height // s + 2, width // s + 2)).astype("f4"), np.ones((s, s), "f4"))[:height, :width]
        k = s // 2
        for axis in (0, 1):
            edge = [(k, k) if a == axis else (0, 0) for a in (0, 1)]
            sums = np.cumsum(np.pad(noise, edge, "edge"), axis)
            noise = (np.take(sums, range(2 * k, sums.shape[axis]), axis) - np.take(sums, range(sums.shape[axis] - 2 * k), axis)) / (2 * k)
        out += noise * s**0.5
    return out / out.std()


def wander(rng, t, amplitude, low, high):
    waves = sum(np.sin(2 * np.pi * hz * t + rng.uniform(0, 6.3)) for hz in rng.uniform(low, high, 6))
    return amplitude * waves / 6**0.5


def camera(rng, t, turns):
    """Where the camera looks, in pixels: shaking with a strength that drifts; `turns` a minute of the head, half a second each."""
    strength = 1 + wander(rng, t, 0.5, 0.01, 0.05)
    x, y = wander(rng, t, 3, 0.3, 2.5) * strength, wander(rng, t, 2, 0.3, 2.5) * strength
    for _ in range(rng.poisson(turns * t[-1] / 60)):
        by, p = rng.normal(0, 25, 2), np.clip((t - rng.uniform(0, t[-1] - 1)) / 0.5, 0, 1)
        x, y = x + by[0] * p * p * (3 - 2 * p), y + by[1] * p * p * (3 - 2 * p)
    # Reflected at the edges of the scene.
    return [2 * PAD - np.abs((at + PAD) % (4 * PAD) - 2 * PAD) for at in (x, y)]


def happenings(rng, seconds, per_minute):
    """(start, stop, what) of events that come independently of each other and last for about a second."""
    at, events = rng.exponential(60 / per_minute), []
    while at < seconds - 3:
        events.append((at, at + float(np.clip(rng.lognormal(0, 0.6), 0.3, 5)), str(rng.choice(["appears", "changes", "moves"]))))
        at += rng.exponential(60 / per_minute)
    return events


def make(path, seed, seconds, turns, happens, codec):
    """Writes a recording and its events. Where nothing happens, there are ten times as many labels."""
    rng = np.random.default_rng(seed)
    t = np.arange(seconds * FPS) / FPS
    x, y = camera(rng, t, turns)
    world = 128 + 38 * texture(rng, 2 * (H + 2 * PAD), 2 * (W + 2 * PAD))
    events = happenings(rng, seconds, 15 if happens else 150)
    objects = []
    for start, stop, what in events if happens else []:
        side = int(rng.uniform(40, 110)) // 2 * 2
        look = 128 + 45 * texture(rng, side, side, (4, 8, 16)) + rng.uniform(-50, 50)
        place = rng.uniform(2 * PAD + 20, 2 * (W + PAD) - side - 20), rng.uniform(2 * PAD + 20, 2 * (H + PAD) - side - 20)
        objects.append((start, stop, what, look, place, rng.uniform(-120, 120, 2)))
    grain = [rng.standard_normal((H, W)).astype("f4") * 2 for _ in range(12)]
    raw = ("-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{W}x{H}", "-r", str(FPS), "-i", "-")
    partial = path.with_suffix(f".partial{path.suffix}")
    ffmpeg = subprocess.Popen(["ffmpeg", "-y", "-v", "error", *raw, "-pix_fmt", "yuv420p", *CODECS[codec], partial], stdin=subprocess.PIPE)
    for n, now in enumerate(t):
        left, top = round(2 * x[n]), round(2 * y[n])
        view = world[top : top + 2 * H, left : left + 2 * W].copy()
        for start, stop, what, look, place, by in objects:
            during = start <= now < stop
            # What moves or changes is there some seconds before and after, too.
            if not (during if what == "appears" else start - 4 < now < stop + 4):
                continue
            moved = np.clip((now - start) / (stop - start), 0, 1) if what == "moves" else 0
            a, b = int(place[0] + by[0] * moved) - left, int(place[1] + by[1] * moved) - top
            shown = 255 - look if what == "changes" and during else look
            x0, y0, x1, y1 = max(0, a), max(0, b), min(2 * W, a + len(look)), min(2 * H, b + len(look))
            if x0 < x1 and y0 < y1:
                view[y0:y1, x0:x1] = shown[y0 - b : y1 - b, x0 - a : x1 - a]
        frame = view.reshape(H, 2, W, 2).mean((1, 3)) + grain[rng.integers(12)]
        ffmpeg.stdin.write(np.clip(frame, 0, 255).astype("u1").tobytes())
    ffmpeg.stdin.close()
    if ffmpeg.wait():
        sys.exit(f"ffmpeg cannot write {path}")
    path.with_suffix(".json").write_text(json.dumps(events))
    partial.rename(path)


def planned(path, spread):
    """Times of the planned frames, and their tokens."""
    plan = path.with_suffix(f".{spread}.jsonl")
    settings = ["--set", f"budget.tokens_per_s={TOKENS}", "--set", f"budget.spread={spread}"]
    command = [EARMARK, "plan", ROOT / "pipelines/gated.yaml", *settings, "--input", path, "--output", plan, "--overwrite", "-q"]
    done = subprocess.run(list(map(str, command)), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stderr[-2000:]}")
    lines = [json.loads(line) for line in plan.read_text().splitlines()]
    frames = [line for line in lines if line["kind"] == "frame"]
    return np.array([f["planned_ns"] / 1e9 for f in frames]), sum(f["tokens"] for f in frames)


def keyframes(path):
    """Times of the keyframes."""
    probe = ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "packet=pts_time,flags", "-of", "csv=p=0", path]
    rows = [row.split(",") for row in subprocess.run(probe, capture_output=True, text=True, check=True).stdout.split()]
    return np.array(sorted(float(row[0]) for row in rows if "K" in row[1]))


def decoded(times, keys):
    """Frames from a keyframe up to each time, those of one GOP once."""
    deepest = {}
    for at in times:
        gop = int(np.searchsorted(keys, at + 0.5 / FPS, "right")) - 1
        deepest[gop] = max(deepest.get(gop, 0), 1 + round((at - keys[max(gop, 0)]) * FPS))
    return sum(deepest.values())


def main():
    count, seconds = [int(a) for a in (sys.argv[1:] + ["4", "240"][len(sys.argv) - 1 :])]
    OUT.mkdir(parents=True, exist_ok=True)
    print("| codec | recordings | events | seen, time | seen, change | ratio | tokens | decoded, time | decoded, change |\n|---|---|---|---|---|---|---|---|---|")
    for codec in os.environ.get("BENCH_CODECS", "x264").split(","):
        for kind, turns, happens in (("shake", 0, True), ("shake and turns", 3, True), ("even", 0, False)):
            rows = []
            for seed in range(count):
                suffix = "webm" if codec in ("vp8", "vp9") else "mkv" if codec == "av1" else "mp4"
                path = OUT / f"{codec}_{kind.replace(' ', '_')}_{seed}_{seconds}.{suffix}"
                if not path.exists():
                    make(path, seed, seconds, turns, happens, codec)
                events, keys = json.loads(path.with_suffix(".json").read_text()), keyframes(path)
                row = [len(events)]
                for spread in ("time", "change"):
                    times, tokens = planned(path, spread)
                    seen = [np.searchsorted(times, stop) > np.searchsorted(times, start) for start, stop, _ in events]
                    row += [np.mean(seen), tokens, decoded(times, keys)]
                rows.append(row)
            n, seen, spent, cost, changed, changed_spent, changed_cost = np.array(rows, float).T
            print(f"| {codec} | {len(rows)} {kind} | {n.sum():.0f} | {seen.mean():.3f} | {changed.mean():.3f} | {changed.mean() / seen.mean():.2f} | "
                  f"{changed_spent.sum() / spent.sum():.3f} x | {cost.sum():.0f} | {changed_cost.sum():.0f} |", flush=True)


if __name__ == "__main__":
    main()
