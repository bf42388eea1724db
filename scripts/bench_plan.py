#!/usr/bin/env python3
"""How planning grows with the recording: CPU seconds and peak memory of `earmark plan` for hours of recording, by pipeline. Prints figures, asserts nothing.

    bench_plan.py [HOURS ...]      default: 1 2 4 8

Each recording is a small video (64 x 48, 5 a second, H.264) under ten minutes of bench_sound.py's kitchen, again and again; once with a keyframe every ten
seconds, once as a single GOP. They are kept in target/bench (about 100 MB for eight hours). Every figure is of a process of its own and counts everything:
start, reading, decoding the sound, listening, planning, writing. After each table: by how much the longest costs more an hour than the shortest.

EARMARK_BIN, BENCH_PIPELINES (default gated,sharp,grid,thrifty,anchors_only,uniform), BENCH_GROUPS (default one,many).
"""
import os, pathlib, subprocess, sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
OUT = TARGET / "bench"
EARMARK = pathlib.Path(os.environ.get("EARMARK_BIN", TARGET / "release/earmark"))
PIPELINES = os.environ.get("BENCH_PIPELINES", "gated,sharp,grid,thrifty,anchors_only,uniform").split(",")
GROUPS = os.environ.get("BENCH_GROUPS", "one,many").split(",")
# Frames a second, and from one keyframe to the next.
FPS, GOP, LOOP_S = 5, {"many": 50, "one": 10_000_000}, 600
os.environ.setdefault("EARMARK_MODELS", str(ROOT / "models"))


def call(*args):
    subprocess.run(["ffmpeg", "-y", "-loglevel", "error", "-nostdin", *map(str, args)], check=True)


def sound():
    """target/bench/plan_sound.m4a, made once."""
    path = OUT / "plan_sound.m4a"
    if not path.exists():
        OUT.mkdir(parents=True, exist_ok=True)
        python = os.environ.get("EARMARK_PYTHON", ROOT / "models/built/venv/bin/python")
        samples = subprocess.run([python, ROOT / "scripts/bench_sound.py", str(LOOP_S)], stdout=subprocess.PIPE, check=True).stdout
        raw, partial = OUT / "plan_sound.s16", path.with_suffix(".partial.m4a")
        raw.write_bytes(samples)
        call("-f", "s16le", "-ar", 48000, "-ac", 1, "-i", raw, "-ar", 16000, "-c:a", "aac", "-b:a", "32k", partial)
        raw.unlink()
        partial.rename(path)
    return path


def recording(hours, groups):
    """target/bench/plan_GROUPS_HOURSh.mkv, made once."""
    path = OUT / f"plan_{groups}_{hours}h.mkv"
    if not path.exists():
        heard, partial, seconds = sound(), path.with_suffix(".partial.mkv"), round(3600 * hours)
        call("-stream_loop", -1, "-i", heard, "-f", "lavfi", "-i", f"testsrc=s=64x48:r={FPS}", "-map", "1:v", "-map", "0:a", "-c:a", "copy", "-c:v", "libx264",
             "-preset", "ultrafast", "-g", GOP[groups], "-keyint_min", GOP[groups], "-sc_threshold", 0, "-pix_fmt", "yuv420p", "-t", seconds, partial)
        partial.rename(path)
    return path


def measure(command):
    """(CPU s, peak MiB) of one process and its children."""
    with open(OUT / "stderr", "w+b") as err:
        process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        err.seek(0)
        if process.returncode:
            sys.exit(f"{' '.join(map(str, command))} failed:\n{err.read().decode()[-2000:]}")
        return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main():
    lengths = [float(hours) for hours in sys.argv[1:]] or [1, 2, 4, 8]
    lengths = [int(hours) if hours == int(hours) else hours for hours in lengths]
    for groups in GROUPS:
        print(f"\n{'one GOP' if groups == 'one' else 'a keyframe every ten seconds'}: CPU s (peak MiB)\n")
        print(f"{'pipeline':<14}" + "".join(f"{f'{hours} h':>18}" for hours in lengths) + f"{'an hour, x':>14}{'memory, x':>12}", flush=True)
        for name in PIPELINES:
            found = []
            print(f"{name:<14}", end="", flush=True)
            for hours in lengths:
                media = recording(hours, groups)
                found.append(measure([EARMARK, "plan", ROOT / f"pipelines/{name}.yaml", "--input", media, "--output", OUT / "plan.jsonl", "--overwrite", "--quiet"]))
                print(f"{f'{found[-1][0]:.1f} ({found[-1][1]:.0f})':>18}", end="", flush=True)
            (cpu, memory), (last_cpu, last_memory) = found[0], found[-1]
            print(f"{last_cpu / lengths[-1] / (cpu / lengths[0]):>14.2f}{last_memory / memory:>12.2f}", flush=True)


if __name__ == "__main__":
    main()
