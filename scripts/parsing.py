#!/usr/bin/env python3
"""Makes a synthetic LLP-shaped set with features, and runs the ablation of `earmark parse` on it: what each ingredient adds.

    parsing.py make DIR [--train 800] [--val 150] [--test 250] [--dense 250] [--sounds FOLDER] [--videos 0] [--seed 0]
    parsing.py ablate DIR OUT [--seeds 5] [--earmark PROGRAM]
    parsing.py onsets DIR OUT [--seeds 5] [--earmark PROGRAM]
    parsing.py cost OUT [--earmark PROGRAM]

make    ten-second pieces in LLP's layout (DIR/llp): sounds and frames are drawn independently. Of the events, 30 % are heard only (off-screen), 30 % seen
        only (silent), the others both, at the same time; one to three a piece, which may overlap. Training has weak labels (the union), validation
        and test have dense ones; DIR/llp/exact.csv has the times to the millisecond. A second, smaller set is densely labelled (DIR/dense), and
        its events are always heard and seen at once. Twelve classes. No sound source and no room is in two splits, or in both sets.
        Features: the shipped tagger's embedding of every second of sound (DIR/*/audio/NAME.npy, 1024 values), the shipped encoder's of one drawn
        frame a second, 224 px (DIR/*/visual/NAME.npy, 1280 values). Embeddings of the classes' names are means over the dense set's seconds that
        have the class: no model here knows words for both sounds and frames. Sounds of the test split are kept (DIR/llp/sound/NAME.wav) for
        `onsets`. --videos N writes N test pieces as MP4 files too.
ablate  trains each row of the table with each seed (one run of `earmark parse train` each; what is done is not done again), scores it on the test
        split, and writes OUT/ablation.md: means, and the paired difference to the row that it is compared with, with its 95 % interval over seeds.
onsets  event F1 on the exact times, with boundaries on the grid of seconds and with beginnings moved to onsets that Earmark heard.
cost    CPU time and memory of one epoch of one step of each shipped experiment at its paper's sizes, on random features.

The same arguments give the same set. Needs numpy, h5py, pillow, soundfile and onnxruntime (models/built/venv has them); ffmpeg for --videos.
"""

import argparse
import csv
import json
import pathlib
import shutil
import subprocess
import sys

try:
    import numpy as np
    import soundfile
    from PIL import Image, ImageFilter
except ImportError as err:
    sys.exit(f"parsing.py: the Python package {err.name!r} is missing: run it with models/built/venv/bin/python")

import evidence
from evidence import CLASSES, RATE

SECONDS, SIDE, PLATE = 10, 224, 88
MODELS = pathlib.Path(__file__).resolve().parent.parent / "models/built"
SPLITS = ("train", "val", "test", "dense")


# ---- frames and sounds --------------------------------------------------------------------------------------------------------


def plate(kind, rng):
    """[PLATE, PLATE, 3]: the class's pattern (see evidence.py), coarse enough for 224 px, in two colours that say nothing of it, worn by noise."""
    evidence.PLATE, evidence.PERIOD = PLATE, 11.0
    mask = evidence.pattern(kind, rng)[..., None]
    dark, light = rng.uniform(0, 110, 3), rng.uniform(140, 255, 3)
    if rng.uniform() < 0.5:
        dark, light = light, dark
    return dark + (light - dark) * mask + rng.normal(0, 25, (PLATE, PLATE, 1))


def room(rng):
    small = rng.uniform(30, 220, (rng.integers(4, 9), rng.integers(4, 9), 3)).astype("u1")
    wide = Image.fromarray(small).resize((SIDE, SIDE), Image.NEAREST).filter(ImageFilter.GaussianBlur(rng.uniform(1, 4)))
    return np.asarray(wide, "f4")


class Sources(evidence.Sounds):
    """Clips by class, apart for the four splits; a clip goes to the split of its source."""

    def __init__(self, folder):
        self.files, self.real = {}, False
        for kind, name in enumerate(CLASSES):
            found = sorted((folder / name).glob("*.flac")) + sorted((folder / name).glob("*.wav")) if folder else []
            sources = sorted({f.name.split("-")[0] for f in found})
            self.real |= bool(sources)
            for split in range(4):
                share = [s for i, s in enumerate(sources) if (0, 3, 2, 1, 0)[i % 5] == split]
                self.files[kind, split] = [f for f in found if f.name.split("-")[0] in share]

    def get(self, kind, split, count, rng):
        if self.files[kind, split]:
            return super().get(kind, split, count, rng)
        x = evidence.synthetic(kind, int(rng.integers(40)) * 4 + split, count)
        x = x * np.minimum(1, np.arange(count)[::-1] / 800)
        return 0.1 * x / (np.sqrt((x**2).mean()) + 1e-6)


def draw(split, rng):
    """Events of a piece: class, start, stop (s), heard, seen."""
    events = []
    for _ in range(int(rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2]))):
        length = float(rng.uniform(1.5, 6))
        start = float(rng.uniform(0, SECONDS - length))
        where = rng.uniform() if split < 3 else 1.0
        heard, seen = where >= 0.3, where < 0.3 or where >= 0.6
        if where < 0.3:
            heard, seen = True, False  # off-screen
        elif where < 0.6:
            heard, seen = False, True  # silent
        events.append((int(rng.integers(len(CLASSES))), round(start, 3), round(start + length, 3), heard, seen))
    return events


def piece(events, split, sounds, rng):
    """[160000] f32 of sound, and ten frames [SIDE, SIDE, 3], each in the middle of its second."""
    audio = rng.standard_normal(SECONDS * RATE).astype("f4")
    audio = np.convolve(audio, np.ones(8) / 8, "same") * 2.8 * 10 ** rng.uniform(-2.6, -1.7)
    behind = room(rng)
    frames = [behind.copy() for _ in range(SECONDS)]
    for kind, start, stop, heard, seen in events:
        if heard:
            a, b = int(start * RATE), int(stop * RATE)
            audio[a:b] += sounds.get(kind, split, b - a, rng) * 10 ** (rng.uniform(-14, 3) / 20)
        if seen:
            shown = plate(kind, rng)
            top, left = rng.integers(0, SIDE - PLATE, 2)
            for second in range(SECONDS):
                if start <= second + 0.5 < stop:
                    frames[second][top : top + PLATE, left : left + PLATE] = shown
    return np.clip(audio, -1, 1), [np.clip(f + rng.normal(0, 12, (SIDE, SIDE, 1)), 0, 255) for f in frames]


def on_grid(start, stop):
    """The whole seconds of an event, as LLP labels them: those whose middle it covers; one at least."""
    first, last = int(np.ceil(start - 0.5)), int(np.ceil(stop - 0.5))
    return first, max(last, first + 1)


# ---- features -----------------------------------------------------------------------------------------------------------------


class Models:
    def __init__(self):
        try:
            import onnxruntime
        except ImportError:
            sys.exit("parsing.py: the Python package 'onnxruntime' is missing: run it with models/built/venv/bin/python")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.tagger = onnxruntime.InferenceSession(str(MODELS / "yamnet.onnx"), options, providers=["CPUExecutionProvider"])
        self.encoder = onnxruntime.InferenceSession(str(MODELS / "efficientnet-lite0.onnx"), options, providers=["CPUExecutionProvider"])
        low, high = (2595 * np.log10(1 + f / 700) for f in (125, 7500))
        edges = 700 * (10 ** (np.linspace(low, high, 66) / 2595) - 1)
        mel = lambda f: 2595 * np.log10(1 + f / 700)
        bins, edges = mel(np.arange(257) * RATE / 512), mel(edges)
        up = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
        down = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
        self.mel = np.maximum(0, np.minimum(up, down)).astype("f4")
        self.mel[0] = 0
        self.window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)).astype("f4")

    def hear(self, audio):
        """[10, 1024]: the embedding of the 0.96 s around each second's middle, of length 1."""
        log_mel = []
        for second in range(SECONDS):
            at = int((second + 0.5) * RATE) - 7800
            x = np.zeros(15600, "f4")
            a, b = max(at, 0), min(at + 15600, len(audio))
            x[a - at : b - at] = audio[a:b]
            frames = np.lib.stride_tricks.sliding_window_view(x, 400)[::160][:96]
            magnitude = np.abs(np.fft.rfft(frames * self.window, 512)).astype("f4")
            log_mel.append(np.log(magnitude @ self.mel + 0.001))
        found = self.tagger.run(["embedding"], {"log_mel": np.stack(log_mel)[:, None].astype("f4")})[0]
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)

    def see(self, frames):
        """[10, 1280]."""
        x = (np.stack(frames).transpose(0, 3, 1, 2).astype("f4") - 127) / 128
        return self.encoder.run(["embedding"], {"image": x})[0]


# ---- the set ------------------------------------------------------------------------------------------------------------------


def write_table(path, head, rows):
    with open(path, "w", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(head)
        table.writerows(rows)


def make(args):
    sounds = Sources(args.sounds if args.sounds and args.sounds.is_dir() else None)
    counts = {"train": args.train, "val": args.val, "test": args.test, "dense": args.dense}
    about = {"version": 1, **counts, "seed": args.seed, "real_sounds": sounds.real}
    note = args.dir / "made.json"
    if note.exists() and json.loads(note.read_text()) != about:
        sys.exit(f"parsing.py: {args.dir} was made with other arguments: choose another folder")
    models = Models()
    for folder in ("llp/audio", "llp/visual", "llp/sound", "dense/audio", "dense/visual"):
        (args.dir / folder).mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(about))
    weak, heard, seen, exact, dense = {s: [] for s in SPLITS}, [], [], [], {}
    totals = {"audio": np.zeros((len(CLASSES), 1024)), "visual": np.zeros((len(CLASSES), 1280))}
    for number, split in enumerate(SPLITS):
        for i in range(counts[split]):
            rng = np.random.default_rng([args.seed, number, i])
            name = f"{split}{i:05d}"
            events = draw(number, rng)
            folder = args.dir / ("dense" if split == "dense" else "llp")
            audio_file, visual_file = folder / f"audio/{name}.npy", folder / f"visual/{name}.npy"
            if not (audio_file.exists() and visual_file.exists()):
                audio, frames = piece(events, number, sounds, rng)
                np.save(visual_file, models.see(frames))
                np.save(audio_file, models.hear(audio))
                if split == "test":
                    soundfile.write(args.dir / f"llp/sound/{name}.wav", audio, RATE)
                    if i < args.videos:
                        film(args.dir / f"llp/sound/{name}", frames)
            weak[split].append((name, ",".join(sorted({CLASSES[e[0]] for e in events}))))
            for kind, start, stop, in_sound, in_picture in events:
                first, last = on_grid(start, stop)
                if split == "dense":
                    dense.setdefault(name, []).append({"segment": [first, last], "label": CLASSES[kind], "label_id": kind})
                    for modality in totals:
                        totals[modality][kind] += np.load(folder / f"{modality}/{name}.npy")[first:last].sum(0)
                    continue
                row = (name, first, last, CLASSES[kind])
                if split != "train":
                    heard.extend([row] * in_sound)
                    seen.extend([row] * in_picture)
                for modality, there in (("audio", in_sound), ("visual", in_picture)):
                    if there:
                        exact.append((name, start, stop, CLASSES[kind], modality))
            if i % 100 == 99:
                print(f"made {i + 1} of {counts[split]} pieces of {split}", file=sys.stderr)
    for split, file in (("train", "AVVP_train.csv"), ("val", "AVVP_val_pd.csv"), ("test", "AVVP_test_pd.csv")):
        write_table(args.dir / "llp" / file, ("filename", "event_labels"), weak[split])
    head = ("filename", "onset", "offset", "event_labels")
    write_table(args.dir / "llp/AVVP_eval_audio.csv", head, heard)
    write_table(args.dir / "llp/AVVP_eval_visual.csv", head, seen)
    write_table(args.dir / "llp/exact.csv", ("filename", "onset_s", "offset_s", "event_labels", "modality"), exact)
    (args.dir / "llp/classes.txt").write_text("\n".join(CLASSES) + "\n")
    database = {
        name: {"duration": SECONDS, "subset": "validation" if i % 5 == 4 else "training", "annotations": dense.get(name, [])}
        for i, (name, _) in enumerate(weak["dense"])
    }
    (args.dir / "dense/annotations.json").write_text(json.dumps({"database": database}))
    for folder in ("llp", "dense"):
        for modality, total in totals.items():
            centred = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9)
            centred = centred - centred.mean(0)
            # A densely labelled set has the classes that its annotations name, in the order of `label_id`.
            there = total.any(1) if folder == "dense" else slice(None)
            np.save(args.dir / folder / f"words_{modality}.npy", centred[there].astype("f4"))
    print(f"{args.dir}: {sum(counts.values())} pieces; sounds are {'real clips' if sounds.real else 'synthetic'}", file=sys.stderr)


def film(path, frames):
    command = ["ffmpeg", "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{SIDE}x{SIDE}", "-r", "1", "-i", "-", "-i", f"{path}.wav"]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "14", "-r", "5", "-g", "5", "-pix_fmt", "yuv420p", "-c:a", "aac", "-ar", "48000", f"{path}.mp4"]
    raw = b"".join(f.astype("u1").tobytes() for f in frames)
    if subprocess.run(command, input=raw).returncode != 0:
        sys.exit("parsing.py: ffmpeg could not encode; its message is above")


# ---- the ablation -------------------------------------------------------------------------------------------------------------

WEAK = {"losses.weak_audio": 1.0, "losses.weak_visual": 0.9, "losses.pseudo": "none", "losses.reweight": "false", "losses.mixup": "none"}
HARD = {"losses.pseudo": "hard", "losses.reweight": "false", "losses.mixup": "none"}
SURE = {**HARD, "losses.pseudo": "uncertainty"}
VALOR = {**HARD, "losses.pseudo_video": "true"}
# Name, what it is compared with, what is set.
ROWS = [
    ("HAN, weak labels alone", None, WEAK),
    ("+ pseudo labels", 0, HARD),
    ("+ uncertainty weighting", 1, SURE),
    ("+ reweighting", 2, {**SURE, "losses.reweight": "true"}),
    ("+ mixup (UWAV)", 3, {**SURE, "losses.reweight": "true", "losses.mixup": "linear"}),
    ("HAN, pseudo labels for segments and videos", 1, VALOR),
    ("+ TSAM", 5, {**VALOR, "parser.tsam": "true"}),
    ("+ similarity, all alike", 5, {**VALOR, "losses.similarity": "plain"}),
    ("+ S-LOSS", 5, {**VALOR, "losses.similarity": "dynamic"}),
    ("+ PLSIM", 5, {**VALOR, "parser.plsim": "true"}),
    ("+ all three (LINK)", 5, {**VALOR, "parser.tsam": "true", "losses.similarity": "dynamic", "parser.plsim": "true"}),
]
# The row of UWAV.
UWAV = 4
SHOWN = (("seg_A", "seg A"), ("seg_V", "seg V"), ("seg_AV", "seg AV"), ("seg_Type", "seg Type"), ("event_Type", "event Type"), ("event_Event", "event Event"))
# Student's t for 95 % and so many differences less one.
T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


def earmark(program, *args):
    done = subprocess.run([str(program), *map(str, args), "--json", "--quiet"], stdout=subprocess.PIPE)
    if done.returncode != 0:
        sys.exit(f"parsing.py: {' '.join(map(str, args))} failed; its message is above")
    return json.loads(done.stdout)


def train(args, row, seed):
    out = args.out / f"row{row}-seed{seed}"
    given = [x for key, value in ROWS[row][2].items() for x in ("--set", f"{key}={value}")]
    for change in args.set:
        given += ["--set", change]
    common = ("--data", args.dir / "llp", "--dense", args.dir / "dense", "--output", out, "--cache", args.out / "cache", "--seed", seed)
    earmark(args.earmark, "parse", "train", "kitchenmix", *common, *given)
    return out


def ablate(args):
    args.out.mkdir(parents=True, exist_ok=True)
    figures = {}
    for seed in range(args.seeds):
        for row in range(len(ROWS)):
            found = args.out / f"row{row}-seed{seed}.json"
            if not found.exists():
                scored = earmark(args.earmark, "parse", "eval", train(args, row, seed))
                found.write_text(json.dumps(scored["avvp"]["metrics"]))
                print(f"seed {seed}, {ROWS[row][0]}: Type@AV of segments {scored['avvp']['metrics']['seg_Type']:.1f}", file=sys.stderr)
            figures[row, seed] = json.loads(found.read_text())
    lines = ["| | " + " | ".join(said for _, said in SHOWN) + " | seg Type against | event Type against |", "|---" * (len(SHOWN) + 3) + "|"]
    for row, (name, against, _) in enumerate(ROWS):
        cells = [f"{np.mean([figures[row, s][key] for s in range(args.seeds)]):.1f}" for key, _ in SHOWN]
        for key in ("seg_Type", "event_Type"):
            if against is None or args.seeds < 2:
                cells.append("")
                continue
            diffs = np.array([figures[row, s][key] - figures[against, s][key] for s in range(args.seeds)])
            reach = T[min(len(diffs) - 2, len(T) - 1)] * diffs.std(ddof=1) / np.sqrt(len(diffs))
            cells.append(f"{diffs.mean():+.1f} ± {reach:.1f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    text = "\n".join(lines) + f"\n\nMeans over {args.seeds} seeds, per cent; differences to the row that the ingredient is added to, paired by seed, with 95 % intervals over seeds.\n"
    (args.out / "ablation.md").write_text(text)
    print(text)


# ---- what the papers' sizes cost --------------------------------------------------------------------------------------------------

# Beside a copy of `earmark`, under the name of what trains: notes what each step took.
WRAPPER = """#!/usr/bin/env python3
import json, os, sys
child = os.spawnv(os.P_NOWAIT, {program!r}, [{program!r}, *sys.argv[1:]])
_, status, used = os.wait4(child, 0)
with open({log!r}, "a") as file:
    file.write(json.dumps([sys.argv[2], used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]) + "\\n")
sys.exit(os.waitstatus_to_exitcode(status))
"""
STEPS = {"pretrain": "transformer over time", "train": "parser"}
# Experiment, its data, its densely labelled data, videos of a step of the parser.
PAPERS = (("uwav-llp", "llp", "unav", 64), ("link-llp", "llp", None, 64), ("uwav-ave", "ave", "unav", 16))


def cost(args):
    """One epoch of each experiment at its paper's sizes, on random features of the published shapes: as many videos as a step takes."""
    program, out = args.earmark.resolve(), args.out.resolve()
    beside = out / "bin"
    beside.mkdir(parents=True, exist_ok=True)
    shutil.copy(program, beside / "earmark")
    lines = ["| experiment | what is trained | videos a step | CPU of one epoch of one step | peak memory |", "|---|---|---|---|---|"]
    for name, data, dense, batch in PAPERS:
        sets = out / f"sets-{batch}"
        if not sets.exists():
            subprocess.run([sys.executable, str(pathlib.Path(__file__).parents[1] / "tests/parsing_set.py"), str(sets), str(batch)], check=True)
        log = out / f"{name}.jsonl"
        log.unlink(missing_ok=True)
        shutil.rmtree(out / name, ignore_errors=True)
        wrapper = beside / "earmark-learning"
        wrapper.write_text(WRAPPER.format(program=str(program.with_name("earmark-learning")), log=str(log)))
        wrapper.chmod(0o755)
        given = ["--data", sets / data, "--output", out / name, *(("--dense", sets / dense) if dense else ())]
        for key in ("training.epochs", "temporal.training.epochs"):
            given += ["--set", f"{key}=1"]
        earmark(beside / "earmark", "parse", "train", name, *given)
        for step, cpu, mib in map(json.loads, log.read_text().splitlines()):
            if step in STEPS:
                size = 64 if step == "pretrain" else batch
                lines.append(f"| `{name}` | {STEPS[step]} | {min(size, batch)} | {cpu:.1f} s | {mib:,.0f} MiB |")
        shutil.rmtree(out / name)
    print("\n".join(lines))


# ---- onsets -------------------------------------------------------------------------------------------------------------------


def matched(found, true, fits):
    """How many pairs of found and true events can be made, each in one pair at most: the nearest beginnings first."""
    pairs = sorted((abs(f[0] - t[0]), i, j) for i, f in enumerate(found) for j, t in enumerate(true) if fits(f, t))
    used, taken, count = set(), set(), 0
    for _, i, j in pairs:
        if i not in used and j not in taken:
            used.add(i)
            taken.add(j)
            count += 1
    return count


def iou(f, t):
    inter = min(f[1], t[1]) - max(f[0], t[0])
    return inter / (max(f[1], t[1]) - min(f[0], t[0]))


RULES = (
    ("IoU of 0.5 or more", lambda f, t: iou(f, t) >= 0.5),
    ("IoU of 0.8 or more", lambda f, t: iou(f, t) >= 0.8),
    ("beginning within 0.25 s", lambda f, t: iou(f, t) > 0 and abs(f[0] - t[0]) <= 0.25),
    ("beginning within 0.1 s", lambda f, t: iou(f, t) > 0 and abs(f[0] - t[0]) <= 0.1),
)


def onsets(args):
    plans = args.out / "plans"
    plans.mkdir(parents=True, exist_ok=True)
    for wav in sorted((args.dir / "llp/sound").glob("*.wav")):
        plan = plans / f"{wav.stem}.jsonl"
        if not plan.exists():
            earmark(args.earmark, "plan", "gated", "--input", wav, "--output", plan)
    truth = {}
    with open(args.dir / "llp/exact.csv", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["filename"].startswith("test"):
                key = row["filename"], row["modality"], row["event_labels"]
                truth.setdefault(key, []).append((float(row["onset_s"]), float(row["offset_s"])))
    counts = {}
    for seed in range(args.seeds):
        model = args.out / f"row{UWAV}-seed{seed}"
        if not (model / "parser.safetensors").exists():
            train(args, UWAV, seed)
        for way, given in (("grid", ()), ("onsets", ("--onsets", plans))):
            listed = args.out / f"events-{way}.npz"
            earmark(args.earmark, "parse", "predict", model, "--output", listed, *given)
            found = {}
            for name, events in json.loads(listed.with_suffix(".json").read_text())["results"].items():
                for event in events:
                    found.setdefault((name, event["modality"], event["label"]), []).append(tuple(event["segment"]))
            for modality in ("audio", "visual"):
                keys = {k for k in (*truth, *found) if k[1] == modality}
                f, t = (sum(len(of.get(k, ())) for k in keys) for of in (found, truth))
                for rule, fits in RULES:
                    right = sum(matched(found.get(k, ()), truth.get(k, ()), fits) for k in keys)
                    counts[way, modality, rule, seed] = 200 * right / max(1, f + t)
    lines = ["| F1 of events, % | heard, grid | heard, onsets | difference | seen, grid | seen, onsets | difference |", "|---|---|---|---|---|---|---|"]
    for rule, _ in RULES:
        cells = []
        for modality in ("audio", "visual"):
            grid, moved = (np.array([counts[way, modality, rule, s] for s in range(args.seeds)]) for way in ("grid", "onsets"))
            diffs = moved - grid
            reach = T[min(len(diffs) - 2, len(T) - 1)] * diffs.std(ddof=1) / np.sqrt(len(diffs)) if len(diffs) > 1 else float("nan")
            cells += [f"{grid.mean():.1f}", f"{moved.mean():.1f}", f"{diffs.mean():+.1f} ± {reach:.1f}"]
        lines.append(f"| {rule} | " + " | ".join(cells) + " |")
    text = "\n".join(lines) + f"\n\nOver all events of the test split, exact times, one-to-one; means over {args.seeds} seeds of UWAV's row.\n"
    (args.out / "onsets.md").write_text(text)
    print(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("make")
    one.add_argument("dir", type=pathlib.Path)
    for split, count in (("train", 800), ("val", 150), ("test", 250), ("dense", 250)):
        one.add_argument(f"--{split}", type=int, default=count)
    one.add_argument("--sounds", type=pathlib.Path)
    one.add_argument("--videos", type=int, default=0)
    one.add_argument("--seed", type=int, default=0)
    two = commands.add_parser("ablate")
    two.add_argument("dir", type=pathlib.Path)
    two.add_argument("out", type=pathlib.Path)
    two.add_argument("--seeds", type=int, default=5)
    two.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting of every row")
    three = commands.add_parser("onsets")
    three.add_argument("dir", type=pathlib.Path)
    three.add_argument("out", type=pathlib.Path)
    three.add_argument("--seeds", type=int, default=5)
    three.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting")
    for one in (two, three):
        one.add_argument("--earmark", type=pathlib.Path, default=pathlib.Path("target/release/earmark"))
    four = commands.add_parser("cost")
    four.add_argument("out", type=pathlib.Path)
    four.add_argument("--earmark", type=pathlib.Path, default=pathlib.Path("target/release/earmark"))
    args = parser.parse_args()
    {"make": make, "ablate": ablate, "onsets": onsets, "cost": cost}[args.command](args)


if __name__ == "__main__":
    main()
