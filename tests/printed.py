#!/usr/bin/env python3
"""Makes recordings with print in them, and questions about it: a card is shown only while its sound is heard, and can be read at 448 px, not at 112.

    printed.py FOLDER [--recordings N] [--seconds S] [--seed K]

writes FOLDER/videos/rNN.mp4 and FOLDER/questions.jsonl, a question for each sound. Half of the cards have a heading that says which sound is
meant ("named"), half have none ("bare"): those can be told apart only by when they were shown. Needs ffmpeg and espeak-ng, and numpy, pillow and
soundfile (models/built/venv has them). The same seed gives the same sounds, cards and questions.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

import numpy as np
import soundfile
from PIL import Image, ImageDraw, ImageFont

RATE, FPS = 48_000, 5
WIDTH, HEIGHT = 640, 360
SENTENCES = ("Please put the cups on the table before you go.", "I think we should leave in about ten minutes.", "Could you hand me the large bowl, please?")
# Sounds by the words of their question.
ASKED = {
    "siren": "a siren", "horn": "a car horn", "whistling": "whistling", "speech": "speech", "bird": "a bird",
    "alarm": "an alarm", "telephone": "a telephone", "knock": "a knock", "music": "music", "beep": "a beep",
}


def seconds(duration):
    return np.arange(round(duration * RATE)) / RATE


def faded(sound, rise, fall):
    t = np.arange(len(sound)) / RATE
    return sound * np.clip(t / rise, 0, 1) * np.clip((len(sound) / RATE - t) / fall, 0, 1)


def noise(duration, rng, low, high):
    count = round(duration * RATE)
    spectrum = np.fft.rfft(rng.standard_normal(count))
    hz = np.fft.rfftfreq(count, 1 / RATE)
    spectrum *= 1 / (1 + (low / np.maximum(hz, 1)) ** 4) / (1 + (hz / high) ** 4)
    sound = np.fft.irfft(spectrum, count)
    return sound / sound.std()


def tones(hz, count, roll):
    phase = 2 * np.pi * np.cumsum(hz) / RATE
    return sum(np.sin(k * phase) / k**roll for k in range(1, count + 1))


def siren(rng):
    t = seconds(2.4)
    return 0.3 * faded(tones(rng.uniform(850, 950) + 450 * np.sin(2 * np.pi * 0.45 * t - np.pi / 2), 6, 1.2), 0.02, 0.1)


def horn(rng):
    t = seconds(1.8)
    return 0.14 * faded(tones(np.full(len(t), rng.uniform(405, 425)), 14, 0.7) + tones(np.full(len(t), 520.0), 14, 0.7), 0.02, 0.06)


def whistling(rng):
    t = seconds(2.0)
    hz = rng.uniform(1400, 1600) + 500 * np.sin(2 * np.pi * 0.6 * t) + 25 * np.sin(2 * np.pi * 6 * t)
    return 0.3 * faded(tones(hz, 1, 1) + 0.02 * noise(2.0, rng, 1000, 6000), 0.04, 0.1)


def speech(rng):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "speech.wav"
        subprocess.run(["espeak-ng", "-v", "en-gb", "-s", "150", "-w", path, SENTENCES[rng.integers(len(SENTENCES))]], check=True)
        spoken, rate = soundfile.read(path)
    loud = np.flatnonzero(np.abs(spoken) > 0.02)
    spoken = spoken[loud[0] : loud[-1]]
    return 0.6 * faded(np.interp(seconds(len(spoken) / rate), np.arange(len(spoken)) / rate, spoken), 0.002, 0.02)


def repeated(duration, every, count, one):
    sound = np.zeros(round(duration * RATE))
    for i in range(count):
        start = round(i * every * RATE)
        part = one(i)[: len(sound) - start]
        sound[start : start + len(part)] += part
    return sound


def bird(rng):
    def call(_i):
        t = seconds(0.1)
        return 0.3 * faded(tones(rng.uniform(3100, 3300) + 18_000 * t + 400 * np.sin(2 * np.pi * 40 * t), 1, 1), 0.01, 0.02)

    return repeated(2.0, 0.21, 9, call)


def alarm(rng):
    t = seconds(2.0)
    ring = sum(a * np.sin(2 * np.pi * hz * t + p) for hz, a, p in ((1040, 1, 0), (1330, 0.9, 1), (2090, 0.6, 2), (2670, 0.5, 3), (4200, 0.3, 1)))
    return 0.3 * faded(ring * np.exp(-22 * (t % 0.05)), 0.005, 0.15) * rng.uniform(0.8, 1)


def telephone(rng):
    keys = ((697, 1209), (770, 1336), (852, 1477), (941, 1336), (697, 1477), (770, 1209))

    def key(_i):
        t, (low, high) = seconds(0.12), keys[rng.integers(len(keys))]
        return 0.25 * faded(np.sin(2 * np.pi * low * t) + np.sin(2 * np.pi * high * t), 0.003, 0.003)

    return repeated(2.2, 0.18, 12, key)


def knock(rng):
    def one(_i):
        t = seconds(0.25)
        body = np.exp(-t / 0.02) * (np.sin(2 * np.pi * 170 * t) + 0.8 * np.sin(2 * np.pi * 310 * t) + 0.5 * np.sin(2 * np.pi * 640 * t))
        return 0.35 * (body + 0.6 * noise(0.25, rng, 200, 2500) * np.exp(-t / 0.008))

    return repeated(1.9, 0.3, 6, one)


def music(rng):
    notes = (60, 64, 67, 72, 67, 64, 60)
    up = rng.integers(-3, 4)

    def note(i):
        t, hz = seconds(1.0), 440 * 2 ** ((notes[i] + up - 69) / 12)
        strings = sum(np.exp(-t * (3 + 1.2 * k)) * np.sin(2 * np.pi * hz * k * (1 + 0.0004 * k * k) * t) / k**1.2 for k in range(1, 9))
        return 0.22 * faded(strings, 0.003, 0.1)

    return repeated(2.5, 0.25, 7, note)


def beep(rng):
    t, hz = seconds(2.0), rng.uniform(1950, 2150)
    on = np.clip(np.minimum(t % 0.5, 0.25 - t % 0.5) / 0.004, 0, 1)
    return 0.25 * on * (np.sin(2 * np.pi * hz * t) + 0.2 * np.sin(6 * np.pi * hz * t))


SOUNDS = {kind: globals()[kind] for kind in ASKED}


def room(rng):
    """A room in muted colours: nothing in it is as bright as a card."""
    image = Image.new("RGB", (WIDTH, HEIGHT), "#6d6a60")
    draw = ImageDraw.Draw(image)
    for _ in range(24):
        x, y, w, h = rng.integers(0, WIDTH), rng.integers(0, HEIGHT), rng.integers(30, 160), rng.integers(20, 120)
        colour = tuple(int(c) for c in rng.integers(40, 150, 3))
        draw.rounded_rectangle((x, y, x + w, y + h), 6, colour)
    return image


def card(image, rng, heading, number):
    """A card somewhere in the room: about 200 x 100 px, print 22 px high."""
    image = image.copy()
    draw = ImageDraw.Draw(image)
    x, y = int(rng.integers(20, WIDTH - 260)), int(rng.integers(20, HEIGHT - 130))
    draw.rectangle((x, y, x + 240, y + 110), "#ffffff")
    font = ImageFont.load_default(27)
    lines = [heading.upper(), number] if heading else [number]
    for i, line in enumerate(lines):
        draw.text((x + 120, y + 55 + (i - (len(lines) - 1) / 2) * 44), line, "#101010", font, anchor="mm")
    return image


def make(folder, name, length, rng):
    """One recording; its questions."""
    kinds = [list(SOUNDS)[i] for i in rng.permutation(len(SOUNDS))]
    samples = 10 ** (-62 / 20) * noise(length, rng, 60, 1200)
    slot = (length - 6) / len(kinds)
    numbers = [str(n) for n in rng.choice(np.arange(2000, 9999), len(kinds), replace=False)]
    background = room(rng)
    stills, questions, at = [], [], 0.0
    for i, (kind, number) in enumerate(zip(kinds, numbers)):
        sound = SOUNDS[kind](rng)
        # Frames begin at multiples of 0.2 s, so a card does, too.
        start = round((3 + i * slot + rng.uniform(0, slot - len(sound) / RATE - 1.5)) * FPS) / FPS
        stop = start + np.ceil(len(sound) / RATE * FPS) / FPS
        samples[round(start * RATE) : round(start * RATE) + len(sound)] += sound
        named = bool(rng.integers(2))
        stills += [(background, start - at), (card(background, rng, kind if named else "", number), stop - start)]
        at = stop
        questions.append({
            "video": name, "id": f"{name}_{kind}", "type": "named" if named else "bare",
            "question": f"What number is printed on the card while {ASKED[kind]} is heard?",
            "answer": number, "start_s": round(start, 3), "stop_s": round(stop, 3),
        })
    stills.append((background, length - at))
    with tempfile.TemporaryDirectory() as scratch:
        wav = pathlib.Path(scratch) / "sound.wav"
        soundfile.write(wav, np.clip(samples, -1, 1), RATE, subtype="PCM_16")
        encoder = subprocess.Popen(
            ["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", str(FPS), "-i", "-", "-i", wav,
             "-c:v", "libx264", "-preset", "superfast", "-pix_fmt", "yuv420p", "-crf", "18", "-g", str(FPS * 5), "-c:a", "aac", "-b:a", "160k",
             "-threads", "1", folder / "videos" / f"{name}.mp4"],
            stdin=subprocess.PIPE,
        )
        for still, span in stills:
            for _ in range(round(span * FPS)):
                encoder.stdin.write(still.tobytes())
        encoder.stdin.close()
        if encoder.wait() != 0:
            raise SystemExit(f"ffmpeg cannot write {name}.mp4")
    return questions


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--recordings", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=150)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    (args.folder / "videos").mkdir(parents=True, exist_ok=True)
    with open(args.folder / "questions.jsonl", "w") as out:
        for i in range(args.recordings):
            rng = np.random.default_rng([args.seed, i])
            for question in make(args.folder, f"r{i:02}", args.seconds, rng):
                out.write(json.dumps(question) + "\n")


if __name__ == "__main__":
    main()
