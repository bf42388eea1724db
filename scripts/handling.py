#!/usr/bin/env python3
"""Fits and judges the weights by which a touched microphone is told from what happens in a room (`plugins/anchoring/src/hearing/handling.rs`).

    handling.py fit FOLDER... [--out weights.json]     the folders hold recordings without handling (16 kHz, mono WAV or FLAC)
    handling.py judge weights.json FOLDER...           other recordings

Over two fifths of each recording, it lays knocks of a housing, rubs, rustling clothes and noise bursts of many shapes, in stretches
of 15 to 40 s, and lays nothing over a copy. A recording of a folder whose name begins with `alone` (single sounds or voices, end to end) counts
fivefold and gets no handling. `fit` prints the constants of `handling.rs`. `judge` uses two more kinds, which `fit` never sees: those of `spoilt.py`
(`hann`) and of exponential ringing (`ring`). Its table: how many stretches are told for half of their time or more, by kind and rate; what share of
the time without handling is called handling. Needs numpy and soundfile.

The shipped weights were fitted to 120 synthetic kitchen recordings with reverberation and 16 nearly without, to single kitchen sounds and voices,
and to 70 recordings of 24 s (counted threefold) of synthetic strokes and beeps in quiet rooms, which this script does not make.
"""
import argparse, json, pathlib

import numpy as np
import soundfile

RATE, HOP, BLOCK, BLOCKS = 16000, 1280, 80, 16
# Hops that the measures cover, and hops without a verdict.
MEMORY, LEAST = 37, 12
# Handling begins above the first logit and ends below the second.
BEGINS, ENDS = 3.5, -0.75


def measures(x):
    """[hops, 27]: the same as in `handling.rs`."""
    x = np.asarray(x, float)
    hops = len(x) // HOP
    x, n, out = x[: hops * HOP], hops * BLOCKS, []

    def mean(a):
        total = np.cumsum(a)
        recent = total.copy()
        recent[MEMORY:] -= total[:-MEMORY]
        return recent / np.minimum(np.arange(hops) + 1, MEMORY)

    low = np.diff(x.reshape(-1, 16).mean(1), prepend=0.0)
    for y, floor in ((x, 1e-9), (np.diff(x, prepend=0.0), 1e-9), (low, 1e-10)):
        level = 10 * np.log10((y.reshape(n, -1) ** 2).mean(1) + floor)
        before = lambda k: np.concatenate([np.full(k, level[0]), level[:-k]])
        by_hop = lambda a: a.reshape(hops, BLOCKS).sum(1)
        for k in (2, 8):
            step = level - before(k)
            out.append(np.log(mean(by_hop(np.maximum(0, step) ** 2)) / 8 + 0.3))
            out.append(np.log(mean(by_hop(np.maximum(0, -step) ** 2)) / 8 + 0.3))
        smooth = (level + before(1) + before(2)) / 3
        out.append(np.log(mean(by_hop(np.abs(np.diff(smooth, prepend=smooth[:1])))) * 1.25 + 0.3))
        rows = np.sort(level.reshape(hops, BLOCKS), 1)
        quietest, loudest, median = rows[:, 0], rows[:, -1], (rows[:, 7] + rows[:, 8]) / 2
        out.append(mean(loudest - quietest))
        out.append(mean(loudest - median))
        for end in (quietest, loudest):
            out.append(mean(np.abs(np.diff(end, prepend=end[:1]))))
    return np.stack(out, 1)


def terms(x, mean, spread):
    """Each measure by its spread, and its square."""
    z = np.clip((x - np.array(mean)) / spread, -4, 4)
    return np.c_[z, z**2]


def times(rng, n, rate):
    """When knocks happen: independently, regularly, or in runs."""
    how, s = rng.integers(3), n / RATE
    if how == 0:
        t = rng.uniform(0, s, rng.poisson(rate * s))
    elif how == 1:
        t = np.cumsum(rng.gamma(4, 1 / 4 / rate, int(rate * s * 1.2) + 1))
    else:
        t, at = [], 0.0
        while at < s:
            k, gap = int(rng.integers(3, 15)), rng.uniform(0.25, 0.5) / rate
            t += list(at + np.cumsum(rng.uniform(0.5, 1.5, k) * gap))
            at = t[-1] + k * gap * rng.uniform(0.5, 1.5)
        t = np.array(t)
    return (t[t < s] * RATE).astype(int)


def put(out, at, y, peak):
    n = min(len(y), len(out) - at)
    if n > 0:
        out[at:at + n] += y[:n] * 10 ** (np.clip(peak, -36, -3) / 20) / (np.abs(y).max() + 1e-12)


def colour(y, low=1.0, high=8000.0, slope=0.0):
    spectrum, hz = np.fft.rfft(y), np.fft.rfftfreq(len(y), 1 / RATE)
    spectrum *= (hz / low) ** 2 / np.sqrt(1 + (hz / low) ** 4) / np.sqrt(1 + (hz / high) ** 4)
    return np.fft.irfft(spectrum * np.maximum(hz, 30) ** (slope / 6.02), len(y))


def loguniform(rng, a, b):
    return float(np.exp(rng.uniform(np.log(a), np.log(b))))


def knock(rng, n):
    """A housing rings for 3 to 25 ms, with noise."""
    out, rate, base, hz = np.zeros(n), loguniform(rng, 3, 15), rng.uniform(-26, -10), loguniform(rng, 80, 1500)
    for at in times(rng, n, rate):
        decay = loguniform(rng, 0.003, 0.025)
        t = np.arange(int(RATE * decay * 6)) / RATE
        y = np.sin(2 * np.pi * hz * np.exp(rng.normal(0, 0.4)) * t + rng.uniform(0, 6)) + rng.uniform(0.1, 2) * rng.standard_normal(len(t))
        put(out, at, y * np.exp(-t / decay) * np.minimum(1, t / rng.uniform(0.0005, 0.004)), rng.normal(base, 5))
    return out, rate


def rub(rng, n):
    """Noise of a limited band for 20 to 250 ms, rough."""
    out, rate, base = np.zeros(n), loguniform(rng, 2.5, 9), rng.uniform(-26, -10)
    low, high = loguniform(rng, 30, 300), loguniform(rng, 600, 6000)
    for at in times(rng, n, rate):
        m = int(RATE * loguniform(rng, 0.02, 0.25))
        k = max(4, m // int(rng.integers(60, 250)))
        rough = rng.exponential(1, k)
        rough[0] = rough[-1] = 0
        y = rng.standard_normal(m) * np.interp(np.arange(m), np.linspace(0, m, k), rough)
        put(out, at, colour(y, low * np.exp(rng.normal(0, 0.3)), high * np.exp(rng.normal(0, 0.3))) * np.hanning(m) ** 0.3, rng.normal(base, 5))
    return out, rate


def rustle(rng, n):
    """Clothes: clusters of 3 to 25 crackles."""
    out, rate, base, low = np.zeros(n), loguniform(rng, 1, 4), rng.uniform(-28, -12), loguniform(rng, 200, 2000)
    for at in times(rng, n, rate):
        peak = rng.normal(base, 4)
        for later in (rng.uniform(0, rng.uniform(0.08, 0.5), int(rng.integers(3, 25))) * RATE).astype(int):
            m = int(RATE * loguniform(rng, 0.002, 0.03))
            y = colour(rng.standard_normal(m) * np.hanning(m) ** rng.uniform(0.3, 2), low)
            put(out, at + later, y, peak - rng.exponential(4))
    return out, rate


def bump(rng, n):
    """Noise of any colour, 4 to 100 ms long, that rises and falls in any way."""
    out, rate, low, slope = np.zeros(n), loguniform(rng, 3, 14), rng.uniform(-34, -18), rng.uniform(-6, 1)
    high = low + rng.uniform(6, 22)
    for at in times(rng, n, rate):
        m = max(24, int(RATE * rng.uniform(0.004, 0.1)))
        t, top = (np.arange(m) + 0.5) / m, rng.uniform(0.2, 0.8)
        y = rng.standard_normal(m) * np.minimum(t / top, (1 - t) / (1 - top)) ** rng.uniform(0.3, 2.5)
        put(out, at, colour(y, 40, slope=slope + rng.normal(0, 1.5)), rng.uniform(low, high))
    return out, rate


def hann(rng, n):
    """The handling of `spoilt.py`."""
    out, rate = np.zeros(n), rng.uniform(3, 14)
    for at in rng.uniform(0, n, rng.poisson(rate * n / RATE)).astype(int):
        m = int(rng.uniform(0.005, 0.08) * RATE)
        y = np.convolve(rng.standard_normal(m) * np.hanning(m), np.ones(int(rng.integers(1, 12))), "same")
        put(out, at, y, rng.uniform(-30, -6))
    return out, rate


def ring(rng, n):
    """White noise that dies away within 5 to 15 ms."""
    out, rate, decay = np.zeros(n), rng.uniform(5, 15), rng.uniform(0.005, 0.015)
    for at in rng.uniform(0, n, rng.poisson(rate * n / RATE)).astype(int):
        t = np.arange(int(RATE * decay * 5)) / RATE
        put(out, at, rng.standard_normal(len(t)) * np.exp(-t / decay), rng.uniform(-24, -6))
    return out, rate


def spoil(rng, x, kinds):
    y, spans, t = x.copy(), [], float(rng.uniform(0, 10))
    while t + 15 < len(x) / RATE:
        stop = min(t + float(rng.uniform(15, 40)), len(x) / RATE)
        a, b = int(t * RATE), int(stop * RATE)
        kind = kinds[rng.integers(len(kinds))]
        own, rate = kind(rng, b - a)
        y[a:b] += own * np.clip(np.minimum(np.arange(b - a), np.arange(b - a)[::-1]) / (RATE / 2), 0, 1)
        spans.append((t, stop, kind.__name__, rate))
        t = stop + float(rng.uniform(15, 45))
    return np.clip(y, -1, 1), spans


def recordings(folders, kinds):
    """(folder, measures, stretches, weight) of each recording, with and without handling."""
    for folder in folders:
        for file in sorted([*folder.glob("*.wav"), *folder.glob("*.flac")]):
            x, rate = soundfile.read(file, dtype="float64")
            if rate != RATE or x.ndim != 1:
                raise SystemExit(f"{file}: must be 16 kHz and mono, is {rate} Hz")
            alone = folder.name.startswith("alone")
            yield folder.name, measures(x), [], 5.0 if alone else 1.0
            if not alone:
                y, spans = spoil(np.random.default_rng([*file.name.encode()]), x, kinds)
                yield folder.name, measures(y), spans, 1.0


def fit(a):
    rows, truth, weight = [], [], []
    for _, own, spans, counts in recordings(a.folders, (knock, rub, rustle, bump)):
        t = (np.arange(len(own)) + 1) * HOP / RATE
        is_handling, clear = np.zeros(len(own)), t > 4
        for start, stop, _, _ in spans:
            # Where the memory holds nothing else; and where it holds none of it.
            is_handling[(t >= start + 4) & (t <= stop)] = 1
            clear &= ~((t > start) & (t < start + 4)) & ~((t > stop) & (t < stop + 4))
        rows.append(own[clear][::6])
        truth.append(is_handling[clear][::6])
        weight.append(np.full(len(truth[-1]), counts))
    x, y, w = map(np.concatenate, (rows, truth, weight))
    mean, spread = x.mean(0).round(2), x.std(0).round(2)
    z = np.c_[terms(x, mean, spread), np.ones(len(x))]
    b, ridge = np.zeros(z.shape[1]), np.diag([5.0] * (z.shape[1] - 1) + [0.0])
    # Newton's method.
    for _ in range(25):
        p = 1 / (1 + np.exp(-np.clip(z @ b, -30, 30)))
        b += np.linalg.solve((z * (w * p * (1 - p))[:, None]).T @ z + ridge, z.T @ (w * (y - p)) - ridge @ b)
    b = b.round(3)
    print(f"// {len(x)} rows, {y.mean():.3f} of them handling")
    rows = np.stack([mean, spread, b[:27], b[27:54]], 1).reshape(3, 9, 4)
    for band in rows:
        print("    [")
        for row in band:
            print(f"        [{', '.join(map(str, row.tolist()))}],")
        print("    ],")
    print(f"const BIAS: f32 = {b[-1]};")
    a.out.write_text(json.dumps({"mean": mean.tolist(), "spread": spread.tolist(), "weights": b.tolist()}))


def judge(a):
    model = json.loads(a.weights.read_text())
    time, stretches = {}, {}
    for folder, own, spans, _ in recordings(a.folders, (knock, rub, rustle, bump, hann, ring)):
        told, on = np.zeros(len(own), bool), False
        for i, z in enumerate(terms(own, model["mean"], model["spread"]) @ model["weights"][:-1] + model["weights"][-1]):
            on = i + 1 >= LEAST and z > (ENDS if on else BEGINS)
            told[i] = on
        t = (np.arange(len(own)) + 1) * HOP / RATE
        free = np.ones(len(own), bool)
        for start, stop, kind, rate in spans:
            inside = (t >= start) & (t < stop)
            free &= ~((t >= start) & (t < stop + 4))
            speed = "below 4 a second" if rate < 4 else "4 to 7" if rate < 7 else "7 or more"
            stretches.setdefault((kind, speed), []).append(told[inside].mean())
        sums = time.setdefault(folder, [0, 0])
        sums[0] += told[free].sum()
        sums[1] += free.sum()
    print("without handling | hours | called handling")
    for folder, (bad, hops) in time.items():
        print(f"{folder} | {hops * HOP / RATE / 3600:.2f} | {bad / hops:.4f}")
    print("\nkind | rate | stretches | told | share of their time")
    for (kind, speed), of in sorted(stretches.items()):
        print(f"{kind} | {speed} | {len(of)} | {np.sum(np.array(of) >= 0.5)} | {np.mean(of):.2f}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = p.add_subparsers(dest="command", required=True)
    f, j = sub.add_parser("fit"), sub.add_parser("judge")
    j.add_argument("weights", type=pathlib.Path)
    f.add_argument("--out", type=pathlib.Path, default=pathlib.Path("weights.json"))
    for one in (f, j):
        one.add_argument("folders", type=pathlib.Path, nargs="+")
    a = p.parse_args()
    {"fit": fit, "judge": judge}[a.command](a)


main()
