#!/usr/bin/env python3
"""A soundtrack for bench.py: the sounds of fixtures/make_kitchen.py, fifteen a minute at chance times, each with a pitch, a colour and a loudness of its own, over
a faint room and the knocks of a worn camera.

    bench_sound.py SECONDS > SOUND      mono s16le at 48 kHz; the same sound for the same length

Needs numpy, pillow and soundfile (models/built/venv has them).
"""
import pathlib, sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "fixtures"))
import make_kitchen as kitchen

BLOCK_S, ROOM_DB = 60, -54
EVENTS, KNOCKS = 15, 6  # a minute
KINDS = [kind for kind in kitchen.SOUNDS if kind != "speech"]


def event(rng):
    """One sound, [samples]."""
    sound = kitchen.SOUNDS[str(rng.choice(KINDS))](rng)
    pitch = rng.uniform(.6, 1.6)
    sound = np.interp(np.arange(0, len(sound) - 1, pitch), np.arange(len(sound)), sound)
    return coloured(rng, sound) * 10 ** (rng.normal(-12, 6) / 20)


def coloured(rng, sound):
    """The same power with another slope and one band raised or lowered."""
    spectrum, hz = np.fft.rfft(sound), np.maximum(np.fft.rfftfreq(len(sound), 1 / kitchen.RATE), 60)
    slope = rng.uniform(-6, 6) * np.log2(hz / 1000)
    band = rng.uniform(-12, 12) * np.exp(-np.log2(hz / rng.uniform(200, 6000)) ** 2)
    changed = np.fft.irfft(spectrum * 10 ** ((slope + band) / 20), len(sound))
    return changed * np.sqrt((sound ** 2).mean() / (changed ** 2).mean())


def knock(rng):
    sound = kitchen.noise(rng.uniform(.03, .3), rng, 40, rng.uniform(300, 4000))
    return sound * np.hanning(len(sound)) ** .5 * 10 ** ((ROOM_DB + rng.normal(8, 5)) / 20)


def main():
    seconds, over = int(sys.argv[1]), np.zeros(0)
    for block in range(-(-seconds // BLOCK_S)):
        rng = np.random.default_rng(block)
        samples = np.zeros((BLOCK_S + 15) * kitchen.RATE)
        samples[: BLOCK_S * kitchen.RATE] = 10 ** (ROOM_DB / 20) * kitchen.noise(BLOCK_S, rng, 60, 3000)
        samples[: len(over)] += over
        for make, a_minute in ((event, EVENTS), (knock, KNOCKS)):
            for start in rng.uniform(0, BLOCK_S, rng.poisson(a_minute * BLOCK_S / 60)):
                sound, at = make(rng), round(start * kitchen.RATE)
                samples[at: at + len(sound)] += sound
        over = samples[BLOCK_S * kitchen.RATE:]
        part = samples[: min(BLOCK_S, seconds - block * BLOCK_S) * kitchen.RATE]
        sys.stdout.buffer.write((np.clip(part, -1, 1) * 32767).astype("<i2").tobytes())


if __name__ == "__main__":
    main()
