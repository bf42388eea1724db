#!/usr/bin/env python3
"""What listening costs: CPU seconds for an hour of sound, and the share of a core of a live pipeline. Prints figures, asserts nothing.

    bench_listen.py [SECONDS]      default: 3600

The shipped kitchen's sound, repeated, as 16 kHz mono WAV and as 48 kHz stereo AAC in MP4, through `earmark plan` with each probe, with and without
the tagger; then a minute of the AAC at the speed at which it sounds, through the elements alone. Everything counts: start, reading, decoding,
resampling, planning. User and system time are listed separately: the latter is mostly threads that wait for each other.

EARMARK_BIN (several, separated by colons, take turns, e.g. before and after), BENCH_RUNS (default 3; medians are printed).
"""
import os, pathlib, statistics, subprocess, sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
OUT = TARGET / "bench"
BINS = [pathlib.Path(path) for path in os.environ.get("EARMARK_BIN", str(TARGET / "release/earmark")).split(":")]
RUNS = int(os.environ.get("BENCH_RUNS", 3))
MINUTE = 60
# Times real time, with and without the tagger; share of a core, percent.
TARGETS = {"yamnet": 400, "none": 2000}
LIVE = 2
# For binaries from elsewhere.
os.environ.setdefault("EARMARK_MODELS", str(ROOT / "models"))
ROWS = [("flux", "none"), ("onset", "none"), ("onset+tcn", "none"), ("onset", "yamnet"), ("onset+tcn", "yamnet")]


def sound(seconds, kind, *coded, source=ROOT / "fixtures/kitchen.mp4"):
    """target/bench/listen_SECONDS.wav or .m4a, made once."""
    path = OUT / f"listen_{seconds}.{kind}"
    if not path.exists():
        OUT.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".partial.{kind}")
        subprocess.run(["ffmpeg", "-y", "-loglevel", "error", "-stream_loop", "-1", "-i", source, "-vn", "-t", str(seconds), *coded, partial], check=True)
        partial.rename(path)
    return path


def minute():
    return sound(MINUTE, "m4a", "-ac", "2", "-ar", "48000", "-c:a", "aac", "-b:a", "128k")


def pipeline(probe, tagger):
    """The shipped pipeline with another probe and tagger."""
    text, path = (ROOT / "pipelines/grid.yaml").read_text(), OUT / f"listen_{probe}_{tagger}.yaml"
    said = {"probe:": probe, "tagger:": tagger}
    lines = [f"  {key} {said[key]}" if (key := line.strip().split(" ")[0]) in said else line for line in text.splitlines()]
    path.write_text("\n".join(lines) + "\n")
    return path


def spent(command, **env):
    """(user s, system s, switches) of one process."""
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, **env})
    said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{said[-2000:]}")
    return usage.ru_utime, usage.ru_stime, usage.ru_nvcsw + usage.ru_nivcsw


def middle(commands):
    """The medians of commands that take turns."""
    runs = [[] for _ in commands]
    for _ in range(RUNS):
        for measured, (command, env) in zip(runs, commands):
            measured.append(spent(command, **env))
    return [[statistics.median(numbers) for numbers in zip(*measured)] for measured in runs]


def listening(seconds):
    files = [sound(seconds, "wav", "-ac", "1", "-ar", "16000"), sound(seconds, "m4a", "-c", "copy", source=minute())]
    print(f"\nlistening to {seconds} s, median of {RUNS}\n{'':<5}{'probe':<11}{'tagger':<8}{'user s':>8}{'system s':>10}{'switches':>10}{'x real time':>13}")
    for file in files:
        for probe, tagger in ROWS:
            plan = ["plan", pipeline(probe, tagger), "--input", file, "--output", OUT / "listen.jsonl", "--overwrite", "--quiet"]
            for binary, (user, system, switches) in zip(BINS, middle([([binary, *plan], {}) for binary in BINS])):
                times, target = seconds / (user + system), TARGETS[tagger]
                met = "" if probe != "onset+tcn" or file.suffix != ".wav" else f"  >= {target} {'met' if times >= target else 'MISSED'}"
                print(f"{file.suffix[1:]:<5}{probe:<11}{tagger:<8}{user:>8.2f}{system:>10.2f}{switches:>10.0f}{times:>13.0f}{met}{f'  {binary}' if len(BINS) > 1 else ''}", flush=True)


def live():
    file = minute()
    ears = ["eventness", "probe=onset+tcn", "tagger=yamnet"]
    before = ["gst-launch-1.0", "-q", "filesrc", f"location={file}", "!", "qtdemux", "!", "aacparse", "!", "avdec_aac", "!", "identity", "sync=true", "!", "audioconvert", "!", "audioresample", "!"]
    for binary in BINS:
        env = {"GST_PLUGIN_PATH": str(binary.parent), "GST_REGISTRY": str(OUT / "listen.registry")}
        subprocess.run(["gst-inspect-1.0", "eventness"], check=True, stdout=subprocess.DEVNULL, env={**os.environ, **env})
        user, system, _ = spent([*before, *ears, "!", "fakesink", "sync=false"], **env)
        share = 100 * (user + system) / MINUTE
        print(f"live, {' '.join(ears[1:])}, decoding and start included: {share:.2f} % of a core  <= {LIVE} {'met' if share <= LIVE else 'MISSED'}{f'  {binary}' if len(BINS) > 1 else ''}", flush=True)


if __name__ == "__main__":
    listening(int(sys.argv[1]) if len(sys.argv) > 1 else 3600)
    live()
