#!/usr/bin/env python3
"""Makes a synthetic AVE-shaped set, and runs the protocol of `earmark eval tokens` on it: does listening pay, at equal tokens?

    evidence.py make DIR [--clips 400] [--long 40] [--sounds FOLDER] [--seed 0]
    evidence.py run DIR OUT [--earmark PROGRAM] [--head conv]

make  ten-second recordings in AVE's layout (DIR/ave) and recordings of a minute in KitchenMix's (DIR/long). While an event lasts, a plate of its class
      is visible: a fine pattern on a random colour, with nothing in it that a frame of 112 px could show. Plate and sound begin somewhere in the
      first 0.4 s of the event's first second. Its sound is a real clip of its class from FOLDER (a folder for each class) where there is one, else
      a synthetic one. Training, validation and test share no clip. A recording has a condition, which its name ends with: clean; silent (the event
      makes no sound); dense (sounds of other classes without a plate); noisy (loud noise); speech (somebody talks all the time, as loud as the
      events; clean where ffmpeg has no flite); late (the sound track is 2 s behind).
run   `earmark eval tokens` on both, and OUT/evidence.md: the tables, and accuracy by condition. If stopped, it continues where it was.

The same arguments give the same recordings. Needs ffmpeg, and numpy, h5py, pillow and soundfile (models/built/venv has them).
"""

import argparse
import concurrent.futures
import csv
import json
import pathlib
import subprocess
import sys

try:
    import h5py
    import numpy as np
    import soundfile
    from PIL import Image, ImageFilter
except ImportError as err:
    sys.exit(f"evidence.py: the Python package {err.name!r} is missing: run it with models/built/venv/bin/python")

SIDE, FPS, RATE = 448, 8, 16_000
CLASSES = ["blender", "chopping", "clean-dishes", "cutlery", "drawer", "eat", "frying-pan", "microwave", "plates", "stove-burner", "sweep", "water-flowing"]
CONDITIONS = ["clean"] * 5 + ["silent", "dense", "noisy", "speech", "late"]
LATE = 2.0
# The side of a plate and the period of its pattern, pixels; what is coarser than FINEST periods a pixel is taken out. A frame of 448 px that is scaled
# to 112 px keeps 0.125 periods a pixel, one scaled to 224 px 0.25.
PLATE, PERIOD, FINEST = 230, 5.0, 0.17
# Grey levels: the spread of a pattern, and the camera's noise on it.
CONTRAST, GRAIN = 16, 10


# ---- frames -------------------------------------------------------------------------------------------------------------------


def pattern(kind, rng):
    """[PLATE, PLATE], mean 0, deviation 1: one of twelve fine patterns, at a random phase and a period of about PERIOD pixels."""
    period = PERIOD * rng.uniform(0.92, 1.08)
    # Four times as fine, then averaged: a pattern that is drawn pixel by pixel has a coarse moire, which gives it away at any size.
    y, x = np.mgrid[0 : 4 * PLATE, 0 : 4 * PLATE] / (4 * period)
    x, y = x + rng.uniform(), y + rng.uniform()
    u, v = x % 1 - 0.5, y % 1 - 0.5
    cell = np.floor(x) + np.floor(y)
    value = [
        np.abs(u),  # upright stripes
        np.abs(v),  # level stripes
        np.abs((x + y) / 1.4142 % 1 - 0.5),  # rising stripes
        np.abs((x - y) / 1.4142 % 1 - 0.5),  # falling stripes
        np.where(cell % 2 == 0, 1.0, 0.0) + 0.01 * u,  # a chessboard
        np.hypot(u, v),  # dots
        np.abs(np.hypot(u, v) - 0.3),  # rings
        np.minimum(np.abs(u), np.abs(v)),  # a grid
        np.minimum(np.abs(u + v), np.abs(u - v)),  # crosses
        u + v,  # triangles
        np.abs((y + np.abs(u)) % 1 - 0.5),  # zigzags
        np.minimum(np.abs(v), np.abs((x + 0.5 * (np.floor(y) % 2)) % 1 - 0.5)),  # bricks
    ][kind]
    drawn = (value > np.median(value)).reshape(PLATE, 4, PLATE, 4).mean((1, 3))
    # Without this a trace of the pattern survives scaling, and a network reads it at 112 px.
    spectrum = np.fft.fft2(drawn)
    spectrum[np.hypot(np.fft.fftfreq(PLATE)[:, None], np.fft.fftfreq(PLATE)[None]) < FINEST] = 0
    fine = np.fft.ifft2(spectrum).real
    return (fine / fine.std()).astype("f4")


def room(rng):
    """[SIDE, SIDE, 3] in 0..255: blurred blocks and grain, another one for each recording."""
    small = rng.uniform(30, 220, (rng.integers(4, 9), rng.integers(4, 9), 3)).astype("u1")
    wide = Image.fromarray(small).resize((SIDE, SIDE), Image.NEAREST).filter(ImageFilter.GaussianBlur(rng.uniform(1, 6)))
    return np.clip(np.asarray(wide, "f4") + rng.normal(0, 4, (SIDE, SIDE, 1)), 0, 255)


def with_plate(behind, kind, rng):
    """The room with a plate of a class, somewhere, in a colour that says nothing of it."""
    colour, spread = rng.uniform(90, 165, 3), CONTRAST * rng.uniform(0.7, 1, 3) * rng.choice([-1, 1])
    top, left = rng.integers(0, SIDE - PLATE, 2)
    shown = behind.copy()
    plate = colour + spread * pattern(kind, rng)[..., None] + rng.normal(0, GRAIN, (PLATE, PLATE, 1))
    shown[top : top + PLATE, left : left + PLATE] = np.clip(plate, 0, 255)
    return shown


# ---- sounds -------------------------------------------------------------------------------------------------------------------


def synthetic(kind, take, count):
    """[count] f32: knocks of a pitch and a rate that belong to the class, another `take` each time."""
    rng = np.random.default_rng([kind, take])
    t = np.arange(count) / RATE
    every = 0.18 + 0.05 * kind
    since = t % every
    hz = 220 * 2 ** (kind / 3) * rng.uniform(0.97, 1.03)
    return (np.sin(2 * np.pi * hz * t) * np.exp(-since * 30) + 0.3 * rng.standard_normal(count) * np.exp(-since * 60)).astype("f4")


class Sounds:
    """Clips by class, apart for each split; a clip goes to the split of its source, the part of its name before `-`."""

    def __init__(self, folder):
        self.files, self.real = {}, False
        for kind, name in enumerate(CLASSES):
            found = sorted((folder / name).glob("*.flac")) + sorted((folder / name).glob("*.wav")) if folder else []
            sources = sorted({f.name.split("-")[0] for f in found})
            for split in range(3):
                share = [s for i, s in enumerate(sources) if (0, 0, 0, 1, 2)[i % 5] == split]
                self.files[kind, split] = [f for f in found if f.name.split("-")[0] in share]
                self.real |= bool(share)

    def get(self, kind, split, count, rng):
        """[count] f32 of a class, at its natural start, RMS 0.1."""
        files = self.files[kind, split]
        if files:
            x = soundfile.read(files[rng.integers(len(files))], dtype="float32")[0]
            x = x if x.ndim == 1 else x.mean(1)
            energy = np.convolve(x**2, np.ones(320), "same")
            x = np.roll(x, -max(0, int(np.argmax(energy >= energy.max() * 10**-1.5)) - 160))
            x = np.resize(x, count)
        else:
            x = synthetic(kind, int(rng.integers(40)) * 3 + split, count)
        x = x * np.minimum(1, np.arange(count)[::-1] / 800)
        return 0.1 * x / (np.sqrt((x**2).mean()) + 1e-6)


SAID = (
    "put the onions in the pan and stir", "where is the lid of the big pot", "I think we need more salt", "can you hand me that towel please",
    "now we wait for ten minutes", "the water should boil soon", "this knife is not sharp at all", "let us start with the sauce",
)


def has_speech():
    """Whether ffmpeg can talk."""
    filters = subprocess.run(["ffmpeg", "-hide_banner", "-filters"], capture_output=True, text=True).stdout
    return " flite " in filters


def speech(count, rng):
    """[count] f32 of somebody talking without a pause, RMS 0.1."""
    text = ", ".join(SAID[i] for i in rng.permutation(len(SAID)))
    voice = ("kal", "slt", "rms", "awb")[rng.integers(4)]
    command = ["ffmpeg", "-loglevel", "error", "-f", "lavfi", "-i", f"flite=text='{text}':voice={voice}", "-ar", str(RATE), "-ac", "1", "-f", "f32le", "-"]
    x = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, "<f4")
    return 0.1 * np.resize(x, count) / (np.sqrt((x**2).mean()) + 1e-6)


# ---- recordings ---------------------------------------------------------------------------------------------------------------


def recording(path, seconds, events, condition, split, sounds, rng):
    """Writes a recording: `events` are start, stop and class in whole seconds."""
    empty = room(rng)
    frames = [empty] * (seconds * FPS)
    count = seconds * RATE
    audio = rng.standard_normal(count).astype("f4")
    audio = np.convolve(audio, np.ones(8) / 8, "same") * (0.04 if condition == "noisy" else 0.004) * 2.8
    quiet = audio.copy()
    for start, stop, kind in events:
        shown = with_plate(empty, kind, rng)
        # Labels are whole seconds, as AVE's are; what they name begins within their first one.
        begin = start + rng.uniform(0, 0.4)
        first = int(np.ceil(begin * FPS))
        frames[first : stop * FPS] = [shown] * (stop * FPS - first)
        if condition != "silent":
            at = int(begin * RATE)
            audio[at : stop * RATE] += sounds.get(kind, split, stop * RATE - at, rng)
    if condition == "dense":
        for at in rng.uniform(0, seconds - 1, seconds // 3):
            audio[int(at * RATE) : int(at * RATE) + RATE] += sounds.get(int(rng.integers(len(CLASSES))), split, RATE, rng)
    if condition == "speech":
        audio += speech(count, rng)
    if condition == "late":
        # What it begins with is noise.
        behind = int(LATE * RATE)
        audio = np.concatenate((quiet[:behind], audio[:-behind]))
    partial, sound = path.with_suffix(".partial"), path.with_suffix(".wav")
    soundfile.write(sound, np.clip(audio, -1, 1), RATE)
    command = ["ffmpeg", "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{SIDE}x{SIDE}", "-r", str(FPS), "-i", "-", "-i", str(sound)]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "14", "-g", str(FPS), "-threads", "1", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "64k"]
    command += ["-map_metadata", "-1", "-fflags", "+bitexact", "-flags", "+bitexact", "-movflags", "+faststart", "-f", "mp4", str(partial)]
    last, raw = None, b""
    with subprocess.Popen(command, stdin=subprocess.PIPE) as encoder:
        for frame in frames:
            if frame is not last:
                last, raw = frame, frame.astype("u1").tobytes()
            encoder.stdin.write(raw)
        encoder.stdin.close()
        if encoder.wait() != 0:
            raise RuntimeError(f"ffmpeg could not encode {path}; its message is above")
    sound.unlink()
    partial.replace(path)


def one_event(rng):
    """An event of two to four whole seconds within ten."""
    length = int(rng.integers(2, 5))
    start = int(rng.integers(0, 10 - length + 1))
    return start, start + length


def make(args):
    folder = args.dir
    sounds = Sounds(args.sounds if args.sounds and args.sounds.is_dir() else None)
    note = folder / "made.json"
    talks = has_speech()
    conditions = CONDITIONS if talks else ["clean" if c == "speech" else c for c in CONDITIONS]
    about = {"version": 2, "clips": args.clips, "long": args.long, "seed": args.seed, "real_sounds": sounds.real, "speech": talks}
    if note.exists() and json.loads(note.read_text()) != about:
        sys.exit(f"evidence.py: {folder} was made with other arguments: choose another folder")
    (folder / "ave/AVE").mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(about))
    rows, order, jobs = [], [[], [], []], []
    for i in range(args.clips):
        rng = np.random.default_rng([args.seed, i])
        split = (0, 0, 0, 1, 2)[i % 5]
        kind = int(rng.integers(len(CLASSES)))
        start, stop = one_event(rng)
        condition = conditions[(i // 5) % len(conditions)]
        name = f"{i:04d}-{condition}"
        rows.append(f"{CLASSES[kind]}&{name}&good&{start}&{stop}")
        order[split].append(i)
        path = folder / f"ave/AVE/{name}.mp4"
        if not path.exists():
            jobs.append((path, 10, [(start, stop, kind)], condition, split, sounds, rng))
    (folder / "ave/Annotations.txt").write_text("Category&VideoID&Quality&StartTime&EndTime\n" + "\n".join(rows) + "\n")
    for name, numbers in zip(("train", "val", "test"), order):
        with h5py.File(folder / f"ave/{name}_order.h5", "w") as file:
            file["order"] = np.array(numbers, "i8")
    (folder / "long/events").mkdir(parents=True, exist_ok=True)
    for i in range(args.long):
        rng = np.random.default_rng([args.seed, i, 1])
        split = (0, 0, 0, 1, 2)[i % 5]
        condition = conditions[i // 5 % len(conditions)]
        name = f"{i:04d}-{condition}"
        events = []
        for piece in range(6):
            # Of six pieces, two have no event.
            if rng.uniform() < 2 / 3:
                start, stop = one_event(rng)
                events.append((10 * piece + start, 10 * piece + stop, int(rng.integers(len(CLASSES)))))
        with open(folder / f"long/events/{name}.csv", "w", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(("start_s", "stop_s", "class"))
            table.writerows((start, stop, CLASSES[kind]) for start, stop, kind in events)
        path = folder / f"long/{name}.mp4"
        if not path.exists():
            jobs.append((path, 60, events, condition, split, sounds, rng))
    with concurrent.futures.ProcessPoolExecutor() as pool:
        for done, job in enumerate(concurrent.futures.as_completed([pool.submit(recording, *job) for job in jobs]), 1):
            job.result()
            if done % 50 == 0:
                print(f"made {done} of {len(jobs)} recordings", file=sys.stderr)
    print(f"{folder}: {args.clips} recordings of 10 s, {args.long} of 60 s; sounds are {'real clips' if sounds.real else 'synthetic'}", file=sys.stderr)


# ---- the protocol -------------------------------------------------------------------------------------------------------------


DRAWS = 10_000
# The policy that the sentences are about.
PREDICTION = "onset-grown"
# The one that spends alike and knows the labels.
CEILING = "oracle-grown"


def interval(differences, rng):
    """A mean with its bootstrap interval at 95 %, in per cent points."""
    d = 100 * np.asarray(differences)
    means = d[rng.integers(0, len(d), (DRAWS, len(d)))].mean(1)
    low, high = np.percentile(means, (2.5, 97.5))
    return f"{d.mean():+.1f} ({low:+.1f} to {high:+.1f})"


def recovered(right, rng):
    """The share of the ceiling's gain over even frames that the prediction recovers, with its bootstrap interval at 95 %."""
    even, mine, most = (np.concatenate(list(right[p].values())) for p in ("uniform-224", PREDICTION, CEILING))
    drawn = rng.integers(0, len(even), (DRAWS, len(even)))
    shares = (mine - even)[drawn].mean(1) / (most - even)[drawn].mean(1)
    low, high = np.percentile(shares, (2.5, 97.5))
    return f"{(mine - even).mean() / (most - even).mean():.2f} ({low:.2f} to {high:.2f})"


def by_condition(out):
    """Accuracy on the test pieces of each condition: a policy a row, then what onsets and the oracle gain over even frames."""
    right = {}
    with open(out / "pieces.csv", newline="") as file:
        for row in csv.DictReader(file):
            condition = row["piece"].split("/")[0].rsplit("-", 1)[-1]
            right.setdefault(row["policy"], {}).setdefault(condition, []).append(float(row["right"]))
    found = {c for of in right.values() for c in of}
    conditions = [c for c in dict.fromkeys(CONDITIONS) if c in found]
    counts = [len(right["uniform-224"][c]) for c in conditions]
    lines = ["| policy | " + " | ".join(f"{c} ({n})" for c, n in zip(conditions, counts)) + " |", "|---" * (len(conditions) + 1) + "|"]
    for policy, of in right.items():
        lines.append(f"| {policy} | " + " | ".join(f"{100 * np.mean(of[c]):.1f}" for c in conditions) + " |")
    rng, gains = np.random.default_rng(0), {}
    for policy in ("onset", PREDICTION, "oracle", CEILING):
        gains[policy] = {c: interval(np.subtract(right[policy][c], right["uniform-224"][c]), rng) for c in conditions}
        lines.append(f"| {policy} minus uniform-224 | " + " | ".join(gains[policy].values()) + " |")
    return "\n".join(lines) + "\n", gains[PREDICTION], dict(zip(conditions, counts)), right


def sentences(out, gains, counts, right):
    """One sentence that a sceptic can quote, and one that says where it fails, whatever they say."""
    with open(out / "table.csv", newline="") as file:
        rows = {row["policy"]: row for row in csv.DictReader(file)}
    percent = lambda policy: f"{100 * float(rows[policy]['accuracy']):.1f} %"
    onset = rows[PREDICTION]
    says = {"better": "is right more often", "worse": "is right less often"}.get(onset["verdict"], "is not shown to be right more often or less often")
    quote = f"At {float(onset['tokens']):.0f} tokens a piece, a classifier that sees one sharp frame where a sound begins and medium ones around it {says} than one that sees even frames"
    quote += f": {percent(PREDICTION)} of seconds against {percent('uniform-224')} (p {float(onset['p_holm']):.2g}); random seconds give {percent('random')}, the labels themselves {percent(CEILING)}"
    # A share of a gain that is not shown says nothing.
    if rows[CEILING]["verdict"] == "better":
        quote += f"; of what the labels gain, onsets recover {recovered(right, np.random.default_rng(0))}"
    what = {"silent": "events make no sound", "dense": "other sounds lie around them", "noisy": "noise is loud", "speech": "somebody talks", "late": f"the sound track is {LATE:.0f} s behind"}
    fails = "; ".join(f"where {words}, {gains[c]} ({counts[c]} pieces)" for c, words in what.items() if c in gains)
    return f"To quote: {quote}.\n\nWhere it fails, in per cent points over even frames (clean recordings: {gains.get('clean', '-')}): {fails}.\n"


def run(args):
    about = json.loads((args.dir / "made.json").read_text())
    parts = []
    for layout, folder, count, length in (("ave", "ave", about["clips"], 10), ("kitchenmix", "long", about["long"], 60)):
        if count == 0:
            continue
        sounds = "real clips of sounds" if about["real_sounds"] else "synthetic sounds"
        title = f"Synthetic set, not AVE: {count} recordings of {length} s, drawn plates, {sounds}"
        out = args.out / folder
        command = [str(args.earmark), "eval", "tokens", "--layout", layout, "--data", str(args.dir / folder), "--output", str(out), "--title", title, "--head", args.head]
        done = subprocess.run(command, stdout=subprocess.DEVNULL)
        if done.returncode != 0:
            sys.exit(f"evidence.py: {' '.join(command)} failed; its message is above")
        table, gains, counts, right = by_condition(out)
        page = (out / "table.md").read_text().replace("(curve.png)", f"({folder}/curve.png)")
        parts.append(page + f"\nAccuracy by condition, per cent (test pieces):\n\n{table}\n" + sentences(out, gains, counts, right))
    text = "\n\n".join(parts)
    (args.out / "evidence.md").write_text(text)
    print(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("make")
    one.add_argument("dir", type=pathlib.Path)
    one.add_argument("--clips", type=int, default=400)
    one.add_argument("--long", type=int, default=40)
    one.add_argument("--sounds", type=pathlib.Path)
    one.add_argument("--seed", type=int, default=0)
    two = commands.add_parser("run")
    two.add_argument("dir", type=pathlib.Path)
    two.add_argument("out", type=pathlib.Path)
    two.add_argument("--earmark", type=pathlib.Path, default=pathlib.Path("target/release/earmark"))
    two.add_argument("--head", choices=["mlp", "conv", "transformer"], default="conv")
    args = parser.parse_args()
    {"make": make, "run": run}[args.command](args)


if __name__ == "__main__":
    main()
