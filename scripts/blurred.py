#!/usr/bin/env python3
"""What the sharpest of the decoded frames buys for recognition: blurs 40 % of the frames of recordings, and compares runs at equal tokens.

    blurred.py make FOLDER OUT [--share 0.4] [--seed 0]    for every NAME.mp4 with NAME.labels.csv (start_s,stop_s,class,...) in FOLDER
    blurred.py run FOLDER OUT [--earmark earmark] [--pipeline pipelines/gated.yaml]
    blurred.py score FOLDER OUT

In the recordings, something must be seen as long as an event lasts and look alike in all of them: the cards that KitchenMix's `make.py mix` shows, for
example. `make` blurs runs of one to six frames along rows, as a turn of the head does, by 1 to 5 % of the width; -sc_threshold 0, because a
frame that is blurred all at once would otherwise become a keyframe. `run` extracts features of the blurred recordings with and without
`gate.sharpest_ms` (as large as `anchors.look_ms`, so that no frame lies before its onset), and of the sharp ones, two frames a second. `score` trains a linear head (ridge) on the sharp frames of all other recordings, and says how many events
are recognised: a frame was taken while the event lasted, and the head names its class. Intervals: 95 %, recordings drawn again 5,000 times, the
same for both runs. Needs ffmpeg, numpy and h5py.
"""
import argparse, csv, pathlib, shutil, subprocess

import h5py
import numpy as np

RUNS = {f"look{look}-{ms}": (look, ms) for look in (140, 200) for ms in (0, look)}
SHARP = ["--set", "budget.tokens_per_s=392", "--set", "budget.planning=global"]


def probe(path):
    command = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "stream=width,height,r_frame_rate", "-of", "csv=p=0", str(path)]
    width, height, rate = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().split(",")
    return int(width), int(height), rate


def runs_of_blur(rng, share):
    """For each frame the length of its blur as a share of the width, or 0: runs of blurred frames, and of sharp ones so that `share` is blurred."""
    while True:
        yield from [rng.uniform(0.01, 0.05)] * int(rng.integers(1, 7))
        yield from [0.0] * int(rng.poisson(3.5 * (1 / share - 1)))


def blur(image, taps):
    """The mean of so many pixels along rows, of 8-bit planes."""
    sums = np.cumsum(np.pad(image.astype("u4"), ((0, 0), (taps // 2 + 1, taps - taps // 2 - 1)), "edge"), 1, dtype="u4")
    return ((sums[:, taps:] - sums[:, :-taps]) // taps).astype("u1")


def make(a):
    a.out.mkdir(parents=True, exist_ok=True)
    for path in sorted(a.folder.glob("*.mp4")):
        out = a.out / path.name
        if out.exists():
            continue
        shutil.copy(path.with_suffix(".labels.csv"), a.out)
        (width, height, rate), part = probe(path), out.with_suffix(".part.mp4")
        source = subprocess.Popen(["ffmpeg", "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"], stdout=subprocess.PIPE)
        coder = subprocess.Popen(
            ["ffmpeg", "-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{width}x{height}", "-r", rate, "-i", "-", "-i", str(path),
             "-map", "0:v", "-map", "1:a", "-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-g", "250", "-bf", "2", "-sc_threshold", "0",
             "-c:a", "copy", str(part)], stdin=subprocess.PIPE)
        lengths, plane = [], width * height
        blurs = runs_of_blur(np.random.default_rng([a.seed, *path.stem.encode()]), a.share)
        while len(data := source.stdout.read(plane * 3 // 2)) == plane * 3 // 2:
            lengths.append(next(blurs))
            taps = int(round(lengths[-1] * width))
            if taps > 1:
                yuv = np.frombuffer(data, "u1")
                luma = blur(yuv[:plane].reshape(height, width), taps)
                chroma = blur(yuv[plane:].reshape(-1, width // 2), max(taps // 2, 1))
                data = luma.tobytes() + chroma.tobytes()
            coder.stdin.write(data)
        coder.stdin.close()
        if coder.wait() or source.wait():
            raise SystemExit("ffmpeg failed")
        np.save(out.with_suffix(".blur.npy"), np.array(lengths, "f4"))
        part.rename(out)


def extract(a, pipeline, source, output, sets):
    if not output.exists():
        command = [a.earmark, "run", pipeline, "--input", source, "--output", output, "--quiet", *sets]
        subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)


def run(a):
    uniform = pathlib.Path(a.pipeline).with_name("uniform.yaml")
    for path in sorted(a.out.glob("*.mp4")):
        extract(a, uniform, a.folder / path.name, path.with_suffix(".sharp.h5"), SHARP)
        for name, (look, ms) in RUNS.items():
            sets = ["--set", f"anchors.look_ms={look}", "--set", f"gate.sharpest_ms={ms}"]
            extract(a, a.pipeline, path, path.with_suffix(f".{name}.h5"), sets)


def frames(path):
    with h5py.File(path) as f:
        return f["frames/features"][:].astype("f8"), f["frames/pts_ns"][:] / 1e9, int(f.attrs["spent_tokens"])


def labels(path):
    return [(float(r["start_s"]), max(float(r["stop_s"]), float(r["start_s"]) + 0.4), r["class"]) for r in csv.DictReader(open(path))]


def shown(events, at, classes):
    """[frames, classes]: what is seen."""
    seen = np.zeros((len(at), len(classes)))
    for start, stop, name in events:
        seen[(at >= start) & (at <= stop), classes[name]] = 1
    return seen


def head(x, y, ridge=30.0):
    """A linear head with a bias, on features of mean 0 and deviation 1."""
    mean, std = x.mean(0), x.std(0) + 1e-6
    z = (x - mean) / std
    weights = np.linalg.solve(z.T @ z + ridge * np.eye(z.shape[1]), z.T @ (y - y.mean(0)))
    return lambda x: (x - mean) / std @ weights + y.mean(0)


def score(a):
    stems = [path.with_suffix("") for path in sorted(a.out.glob("*.mp4"))]
    events = {stem: labels(f"{stem}.labels.csv") for stem in stems}
    classes = {name: k for k, name in enumerate(sorted({e[2] for all in events.values() for e in all}))}
    sharp = {stem: frames(f"{stem}.sharp.h5") for stem in stems}
    rows, tokens, blurred = [], dict.fromkeys(RUNS, 0), {name: [] for name in RUNS}
    for stem in stems:
        others = [other for other in stems if other != stem]
        x = np.concatenate([sharp[other][0] for other in others])
        y = np.concatenate([shown(events[other], sharp[other][1], classes) for other in others])
        says = head(x, y)
        row = {"events": len(events[stem])}
        lengths = np.load(f"{stem}.blur.npy")
        rate = eval(probe(f"{stem}.mp4")[2])
        for name in RUNS:
            features, at, spent = frames(f"{stem}.{name}.h5")
            tokens[name] += spent
            named = says(features).argmax(1)
            seen = shown(events[stem], at, classes)
            row[name, "taken"] = row[name, "recognised"] = 0
            for start, stop, kind in events[stem]:
                inside = (at >= start) & (at <= stop)
                row[name, "taken"] += inside.any()
                row[name, "recognised"] += (named[inside] == classes[kind]).any()
            row[name, "frames"] = (seen.sum(1) > 0).sum()
            row[name, "right"] = seen[np.arange(len(at)), named].sum()
            index = np.clip(np.round(at * rate).astype(int), 0, len(lengths) - 1)
            blurred[name] += list(lengths[index] > 0)
        rows.append(row)
    draws = np.random.default_rng(0).integers(0, len(rows), (5000, len(rows)))
    column = lambda key: np.array([row[key] for row in rows], float)
    total = column("events")
    print(f"{len(rows)} recordings, {total.sum():.0f} events of {len(classes)} classes\n")
    print("look_ms | sharpest_ms | tokens | frames that are blurred | events with a frame | events recognised | of the frames that show an event, right")
    for name, (look, ms) in RUNS.items():
        taken, known = column((name, "taken")).sum() / total.sum(), column((name, "recognised")).sum() / total.sum()
        right = column((name, "right")).sum() / column((name, "frames")).sum()
        print(f"{look} | {ms} | {tokens[name]} | {np.mean(blurred[name]):.3f} | {taken:.3f} | {known:.3f} | {right:.3f}")
    print("\nlook_ms | what | with sharpest_ms minus without (95 %)")
    for look in sorted({look for look, _ in RUNS.values()}):
        without, with_it = f"look{look}-0", f"look{look}-{look}"
        for what, of in (("taken", None), ("recognised", None), ("right", "frames")):
            share = lambda name, rows: column((name, what))[rows].sum(-1) / (column((name, of)) if of else total)[rows].sum(-1)
            diff = share(with_it, draws) - share(without, draws)
            all = slice(None)
            low, high = np.quantile(diff, [0.025, 0.975])
            print(f"{look} | {what} | {share(with_it, all) - share(without, all):+.3f} ({low:+.3f} to {high:+.3f})")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = p.add_subparsers(dest="command", required=True)
    for name in ("make", "run", "score"):
        one = sub.add_parser(name)
        one.add_argument("folder", type=pathlib.Path)
        one.add_argument("out", type=pathlib.Path)
        if name == "make":
            one.add_argument("--share", type=float, default=0.4)
            one.add_argument("--seed", type=int, default=0)
        if name == "run":
            one.add_argument("--earmark", default="earmark")
            one.add_argument("--pipeline", default="pipelines/gated.yaml")
    a = p.parse_args()
    {"make": make, "run": run, "score": score}[a.command](a)


main()
