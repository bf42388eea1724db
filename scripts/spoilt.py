#!/usr/bin/env python3
"""What wind, handling and clipping take from anchors: mixes them over stretches of recordings, at known times, and compares plans.

    spoilt.py make FOLDER OUT [--share 0.4] [--seed 0]   for every NAME.wav (16 kHz, mono) with NAME.labels.csv (start_s,stop_s,...) in FOLDER
    spoilt.py plan OUT [--earmark earmark] [--pipeline gated]
    spoilt.py score OUT

`make` writes OUT/clean and OUT/spoilt, and the stretches (start_s, stop_s, kind, level) to OUT/spoilt/NAME.json. `plan` lets Earmark listen to both.
`score` compares them: the share of labelled events that got a frame while they lasted, by what is over them; how much of each kind was told as
untrusted; the expected calibration error (ECE) of anchors and of all onsets, by whether sound was told as untrusted at the onset. Intervals: 95 %,
recordings drawn again 2,000 times, the same for both plans. `earmark eval anchors --plan OUT/spoilt/*.jsonl --labels OUT/spoilt/*.labels.csv`
gives recovery. Needs numpy and soundfile.
"""
import argparse, csv, json, pathlib, shutil, subprocess, sys

import numpy as np
import soundfile

RATE = 16000
KINDS = ("wind", "handling", "clipping")
# A cue of this uncertainty or more is not trusted (`budget: distrust`).
DISTRUST = 0.9
# An onset is right if it is the nearest to the start of an event, and not further away than this (s), as in `earmark eval anchors`.
NEAR = 0.15
# From this share of a stretch, it was told as untrusted.
TOLD = 0.5


def wind(rng, x):
    """Gusts: noise that falls off with the frequency, and a little of it at all frequencies. At -34 to -12 dBFS."""
    n = len(x)
    spectrum = np.fft.rfft(rng.standard_normal(n))
    hz = np.fft.rfftfreq(n, 1 / RATE)
    spectrum *= 1 / (1 + (hz / 25) ** 2) * (hz > 8) + 0.003
    rumble = np.fft.irfft(spectrum, n)
    gusts = np.interp(np.arange(n), np.arange(0, n + RATE, RATE // 3), rng.uniform(0.3, 1, n // (RATE // 3) + 4)[: len(np.arange(0, n + RATE, RATE // 3))])
    y = rumble * gusts
    level = rng.uniform(-34, -12)
    return x + y * 10 ** (level / 20) / np.sqrt((y**2).mean()), level


def handling(rng, x):
    """Knocks and rubs of 5 to 80 ms, 3 to 14 of them a second, their peaks at -30 to -6 dBFS."""
    rate, out = rng.uniform(3, 14), x.copy()
    for at in rng.uniform(0, len(x), rng.poisson(rate * len(x) / RATE)).astype(int):
        n = min(int(rng.uniform(0.005, 0.08) * RATE), len(x) - at)
        knock = rng.standard_normal(n) * np.hanning(n)
        knock = np.convolve(knock, np.ones(int(rng.integers(1, 12))), "same")
        out[at:at + n] += knock * 10 ** (rng.uniform(-30, -6) / 20) / (np.abs(knock).max() + 1e-9)
    return out, rate


def clipping(rng, x):
    """So loud that 0.3 to 20 % of its samples are cut off."""
    share = float(np.exp(rng.uniform(np.log(0.003), np.log(0.2))))
    return np.clip(x / np.quantile(np.abs(x), 1 - share), -1, 1), share


def make(a):
    for wav in sorted(a.folder.glob("*.wav")):
        x, rate = soundfile.read(wav, dtype="float64")
        if rate != RATE or x.ndim != 1:
            sys.exit(f"{wav}: must be 16 kHz and mono, is {rate} Hz")
        rng = np.random.default_rng([a.seed, *wav.stem.encode()])
        y, spans, t, turn = x.copy(), [], float(rng.uniform(0, 10)), int(rng.integers(3))
        while t + 15 < len(x) / RATE:
            length = float(rng.uniform(15, 40))
            stop = min(t + length, len(x) / RATE)
            p, q = int(t * RATE), int(stop * RATE)
            kind = KINDS[turn % 3]
            turn += 1
            spoilt, level = globals()[kind](rng, x[p:q])
            # Half a second to fade it in and out.
            fade = np.clip(np.minimum(np.arange(q - p), np.arange(q - p)[::-1]) / (RATE / 2), 0, 1)
            y[p:q] = fade * spoilt + (1 - fade) * x[p:q]
            spans.append([round(t, 3), round(stop, 3), kind, round(level, 4)])
            t = stop + float(rng.uniform(0.6, 1.4)) * length * (1 / a.share - 1)
        for name, sound in (("clean", x), ("spoilt", y)):
            folder = a.out / name
            folder.mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / wav.name, np.clip(sound, -1, 1), RATE, subtype="PCM_16")
            shutil.copy(wav.with_suffix(".labels.csv"), folder)
        notes = {"dead": [span[:3] for span in spans], "speech": [], "levels": [span[3] for span in spans]}
        (a.out / "spoilt" / f"{wav.stem}.json").write_text(json.dumps(notes))


def plan(a):
    for wav in sorted(a.out.glob("*/*.wav")):
        out = wav.with_suffix(".jsonl")
        if not out.exists():
            command = [a.earmark, "plan", a.pipeline, "--input", wav, "--output", out, "--cues", "--quiet"]
            subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)


def read(file):
    """A plan's frames (s), its cues (s, uncertainty), and its anchors and all onsets (s, uncertainty)."""
    frames, cues, anchors, onsets = [], [], [], []
    for line in open(file):
        one = json.loads(line)
        if one["kind"] == "frame":
            frames.append(one["planned_ns"] / 1e9)
        elif one["kind"] == "cue":
            cues.append([one["pts_ns"] / 1e9, one["uncertainty"]])
            if one.get("onset_uncertainty") is not None:
                onsets.append([one["onset_ns"] / 1e9, one["onset_uncertainty"]])
        elif one["kind"] == "anchor":
            anchors.append([one["onset_ns"] / 1e9, one["uncertainty"]])
    return np.array(frames), np.array(cues), {"anchors": anchors, "all onsets": onsets}


def right(onsets, starts):
    """Which of the onsets begin an event."""
    pairs = sorted((abs(at - start), i, j) for i, start in enumerate(starts) for j, (at, _) in enumerate(onsets) if abs(at - start) <= NEAR)
    taken, found = set(), np.zeros(len(onsets), bool)
    for _, i, j in pairs:
        if i not in taken and not found[j]:
            taken.add(i)
            found[j] = True
    return found


def ece(claimed, found):
    bins = np.minimum((claimed * 10).astype(int), 9)
    return sum(abs(claimed[bins == k].mean() - found[bins == k].mean()) * (bins == k).mean() for k in set(bins))


def score(a):
    rows, judged = [], {}
    for file in sorted((a.out / "spoilt").glob("*.json")):
        spans = json.loads(file.read_text())["dead"]
        labels = list(csv.DictReader(open(file.with_suffix(".labels.csv"))))
        events = [(float(r["start_s"]), float(r["stop_s"])) for r in labels]
        both = {name: read(a.out / name / f"{file.stem}.jsonl") for name in ("clean", "spoilt")}
        told = {}
        cues = both["spoilt"][1]
        for start, stop, kind in spans:
            inside = (cues[:, 0] >= start) & (cues[:, 0] < stop)
            told[start] = (cues[inside, 1] >= DISTRUST).mean() if inside.any() else 0.0
        row = {}
        for start, stop in events:
            over = next((s for s in spans if s[0] <= start < s[1]), None)
            groups = ["none"] if over is None else [over[2], f"{over[2]}, told" if told[over[0]] >= TOLD else f"{over[2]}, not told"]
            if over is None or told[over[0]] < TOLD:
                groups.append("all but what is told as untrusted")
            for group in [*groups, "all"]:
                hit = [((both[name][0] >= start) & (both[name][0] < stop)).any() for name in ("clean", "spoilt")]
                row.setdefault(group, []).append(hit)
        row["told"] = [[kind, told[start], stop - start] for start, stop, kind in spans]
        for name, (_, cues, heard) in both.items():
            for what, onsets in heard.items():
                for (at, uncertainty), found in zip(onsets, right(onsets, [start for start, _ in events])):
                    untrusted = cues[np.searchsorted(cues[:, 0], at, "right") - 1, 1] >= DISTRUST
                    place = "sound told as untrusted" if untrusted else "all other sound"
                    for group in (place, "all"):
                        judged.setdefault((what, name, group), []).append((1 - uncertainty, found))
        rows.append(row)
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(rows), (2000, len(rows)))
    print(f"{len(rows)} recordings\n\nover the event | events | clean | spoilt | difference (95 %)")
    names = ["none", *[f"{k}{e}" for k in KINDS for e in ("", ", told", ", not told")], "all but what is told as untrusted", "all"]
    for name in names:
        sums = np.array([[len(r.get(name, [])), *np.sum(r.get(name, [[0, 0]]), 0)] for r in rows], float)
        if not sums[:, 0].sum():
            continue
        drawn = sums[draws].sum(1)
        drawn = drawn[drawn[:, 0] > 0]
        diff = (drawn[:, 2] - drawn[:, 1]) / drawn[:, 0]
        n, clean, spoilt = sums.sum(0)
        low, high = np.quantile(diff, [0.025, 0.975])
        print(f"{name} | {n:.0f} | {clean / n:.3f} | {spoilt / n:.3f} | {(spoilt - clean) / n:+.3f} ({low:+.3f} to {high:+.3f})")
    print("\nonsets | recordings | where | number | claimed | found | ECE")
    for (what, name, group), of in sorted(judged.items()):
        claimed, found = np.array(of).T
        print(f"{what} | {name} | {group} | {len(of)} | {claimed.mean():.3f} | {found.mean():.3f} | {ece(claimed, found):.3f}")
    print("\nkind | stretches | told as untrusted | share of their time")
    for kind in KINDS:
        of = [(told, length) for r in rows for k, told, length in r["told"] if k == kind]
        time = sum(told * length for told, length in of) / max(sum(length for _, length in of), 1e-9)
        print(f"{kind} | {len(of)} | {sum(told >= TOLD for told, _ in of)} | {time:.2f}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = p.add_subparsers(dest="command", required=True)
    m = sub.add_parser("make")
    m.add_argument("folder", type=pathlib.Path)
    q = sub.add_parser("plan")
    s = sub.add_parser("score")
    for one in (m, q, s):
        one.add_argument("out", type=pathlib.Path)
    m.add_argument("--share", type=float, default=0.4)
    m.add_argument("--seed", type=int, default=0)
    q.add_argument("--earmark", default="earmark")
    q.add_argument("--pipeline", default="gated")
    a = p.parse_args()
    {"make": make, "plan": plan, "score": score}[a.command](a)


main()
