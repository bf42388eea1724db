#!/usr/bin/env python3
"""What a gated run costs beside decoding every frame, other tools and the floor, side by side on the same recording: prints ratios, asserts nothing.

    bench.py [SECONDS ...]      default: 600 and 3600

Each recording is 1080p50 H.264 (16 Mbit/s; BENCH_SIZE for other sizes) with AAC: 20 s of hard-to-compress video repeated without re-encoding under
bench_sound.py's kitchen; keyframes every 25 frames, or every 250 with two B frames between references. They are kept in target/bench (2 MB a
second). Every row is a process of its own; all that encode spend the same tokens with the same model:

    decode        every frame decoded and thrown away by GStreamer; no scaling, no encoding, no sound
    fps1          ffmpeg fps=1, 224 px, piped to onnxruntime: what people do today
    after         PyAV decodes everything and picks the plan's frames behind the decoder; onnxruntime      (exact times; no sound)
    seek          PyAV seeks to each of the plan's frames; onnxruntime                                      (exact times; no sound)
    uniform       earmark run pipelines/uniform.yaml
    exact         earmark run pipelines/grid.yaml with snap_ms: 0
    followed      the same with the plan given, as the two above have it      (exact times; no sound)
    grid         earmark run pipelines/grid.yaml, as shipped
    thrifty       earmark run pipelines/thrifty.yaml, as shipped: as many tokens, frames up to ten seconds apart
    floor listen  earmark plan on the sound alone
    floor decode  PyAV decodes exactly the compressed frames that the plan of `grid` needs
    floor encode  onnxruntime on as many frames of each size as that plan has, and their scaling

After each table the ratios to the other tools and what is aimed at; with more than one length, how time and memory grow with it.

BENCH_ROWS (a comma-separated choice), BENCH_RUNS (default 1; medians are printed at the end, each run on standard error), BENCH_GOP (default 25,250),
BENCH_SIZE (default 1920x1080: the bit rate goes with the pixels; smaller frames make room for recordings of many hours), BENCH_SOUND (a recording
as long or longer, whose sound is taken instead: what can be saved depends on how much there is to choose from).
"""
import json, os, pathlib, statistics, subprocess, sys, time

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "bench"
EARMARK = pathlib.Path(os.environ.get("EARMARK_BIN", ROOT / "target/release/earmark"))
PEERS = ROOT / "scripts/bench_peers.py"
RUNS = int(os.environ.get("BENCH_RUNS", 1))
GOPS = [int(gop) for gop in os.environ.get("BENCH_GOP", "25,250").split(",")]
WIDTH, HEIGHT = (int(side) for side in os.environ.get("BENCH_SIZE", "1920x1080").split("x"))
SIZE = f"{HEIGHT}p50"
FLOOR = ("floor listen", "floor decode", "floor encode")
# They take exactly the plan's frames.
PEERS_EXACT = ("after", "seek")
# The runs that listen, plan and extract.
OURS = ("exact", "grid", "thrifty")
# At least so many times less CPU than fps1, by GOP.
LESS_THAN_FPS1 = {25: 7, 250: 3}


def call(*args):
    subprocess.run(["ffmpeg", "-y", "-loglevel", "error", *map(str, args)], check=True)


def python():
    """A Python with PyAV and onnxruntime, made once."""
    venv = OUT / "venv"
    if not (venv / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        install = ["install", "--quiet", "--require-hashes", "--only-binary", ":all:", "--no-deps", "-r"]
        subprocess.run([venv / "bin/pip", *install, ROOT / "scripts/bench-requirements.txt"], check=True)
        (venv / "ready").touch()
    return venv / "bin/python"


def recording(seconds, gop):
    """target/bench/SIZE_gopG_SECONDS.mp4, made once."""
    heard = os.environ.get("BENCH_SOUND")
    name = f"_{pathlib.Path(heard).stem}" if heard else ""
    path = OUT / f"{SIZE}_gop{gop}_{seconds}{name}.mp4"
    if path.exists():
        return path
    OUT.mkdir(parents=True, exist_ok=True)
    loop, partial = OUT / f"loop_{SIZE}_gop{gop}.mp4", path.with_suffix(".partial.mp4")
    if not loop.exists():
        call("-f", "lavfi", "-i", f"mandelbrot=s={WIDTH}x{HEIGHT}:r=50,noise=alls=12:allf=t", "-t", 20, "-c:v", "libx264", "-preset", "veryfast", "-bf", 0 if gop < 100 else 2,
             "-g", gop, "-keyint_min", gop, "-sc_threshold", 0, "-b:v", 16_000_000 * WIDTH * HEIGHT // (1920 * 1080), "-pix_fmt", "yuv420p", loop)
    sound = OUT / f"sound_{seconds}.s16"
    if not heard:
        with open(sound, "wb") as out:
            subprocess.run([os.environ.get("EARMARK_PYTHON", ROOT / "models/built/venv/bin/python"), ROOT / "scripts/bench_sound.py", str(seconds)], stdout=out, check=True)
    source = ["-i", heard] if heard else ["-f", "s16le", "-ar", 48000, "-ac", 1, "-i", sound]
    call("-stream_loop", seconds // 20, "-i", loop, *source, "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "aac", "-ar", 48000, "-b:a", "128k", "-t", seconds, partial)
    sound.unlink(missing_ok=True)
    partial.rename(path)
    return path


def measure(command):
    """(wall s, CPU s, peak MiB, standard output) of one process and its children."""
    start = time.monotonic()
    with open(OUT / "stdout", "w+b") as out, open(OUT / "stderr", "w+b") as err:
        process = subprocess.Popen(list(map(str, command)), stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - start
        out.seek(0), err.seek(0)
        if process.returncode:
            sys.exit(f"{' '.join(map(str, command))} failed:\n{err.read().decode()[-2000:]}")
        return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, out.read().decode()


def commands(media, seconds):
    """Row by row: what to run."""
    exact = OUT / "exact.yaml"
    text = (ROOT / "pipelines/grid.yaml").read_text()
    exact.write_text("\n".join("  snap_ms: 0" if line.strip().startswith("snap_ms:") else line for line in text.splitlines()) + "\n")
    sound, plans = OUT / f"sound_{seconds}.m4a", {name: OUT / f"{name}.jsonl" for name in OURS}
    call("-i", media, "-vn", "-c", "copy", sound)
    pipelines = {"uniform": ROOT / "pipelines/uniform.yaml", "exact": exact, "grid": ROOT / "pipelines/grid.yaml", "thrifty": ROOT / "pipelines/thrifty.yaml"}
    for name, plan in plans.items():
        subprocess.run([EARMARK, "plan", pipelines[name], "--input", media, "--output", plan, "--cues", "--overwrite", "--quiet"], check=True, stdout=subprocess.DEVNULL)
    peer = [python(), PEERS]
    model = ROOT / "models/built/efficientnet-lite0.onnx"
    rows = {"decode": ["gst-launch-1.0", "-q", "filesrc", f"location={media}", "!", "qtdemux", "!", "h264parse", "!", "avdec_h264", "!", "fakesink", "sync=false"],
            "fps1": [*peer, "fps1", model, media],
            "after": [*peer, "after", model, media, plans["exact"]],
            "seek": [*peer, "seek", model, media, plans["exact"]]}
    for name, pipeline in pipelines.items():
        rows[name] = [EARMARK, "run", pipeline, "--input", media, "--output", OUT / f"{name}.h5", "--overwrite", "--json"]
        if name == "exact":
            rows["followed"] = [*rows[name], "--plan", plans[name]]
    rows["floor listen"] = [EARMARK, "plan", pipelines["grid"], "--input", sound, "--output", OUT / "sound.jsonl", "--overwrite", "--json"]
    rows["floor decode"] = [*peer, "needed", model, media, plans["grid"]]
    rows["floor encode"] = [*peer, "encode", model, media, plans["grid"]]
    return rows


def notes(row, said):
    """What a row did, and the counts that the table compares."""
    if not said.strip().startswith("{"):
        return "", {}
    said = json.loads(said)
    if "features" in said:
        said = said["features"]
        return f"{said['spent_tokens']} of {said['budget_tokens']} tokens, frames decoded {said['access_units_passed']} of {said['access_units_seen']}", {"decoded": said["access_units_passed"]}
    if row == "floor listen":
        return "", {}
    return ", ".join(f"{key} {value}" for key, value in said.items()), said


def bench(seconds, gop):
    media = recording(seconds, gop)
    rows = commands(media, seconds)
    chosen = os.environ.get("BENCH_ROWS")
    if chosen:
        unknown = set(chosen.split(",")) - set(rows)
        if unknown:
            sys.exit(f"BENCH_ROWS: no row {', '.join(sorted(unknown))} (there are {', '.join(rows)})")
        rows = {name: command for name, command in rows.items() if name in chosen.split(",")}
    with open(media, "rb") as f:  # the same warm page cache for all
        while f.read(1 << 24):
            pass
    runs = {name: [] for name in rows}
    for run in range(RUNS):
        for name, command in rows.items():
            runs[name].append(measure(command))
            wall, cpu, peak, _ = runs[name][-1]
            print(f"run {run + 1} of {RUNS}, {name}: {wall:.1f} s, {cpu:.1f} CPU s, {peak:.0f} MiB", file=sys.stderr, flush=True)
    middle = {name: [statistics.median(r[k] for r in measured) for k in (0, 1, 2)] for name, measured in runs.items()}
    base = middle.get("decode", (float("nan"),) * 3)
    print(f"\n{seconds} s of {SIZE}, GOP {gop}, {os.cpu_count()} cores, median of {RUNS}")
    print(f"{'row':<14}{'wall s':>9}{'CPU s':>9}{'peak MiB':>10}{'wall/decode':>13}{'CPU/decode':>12}  notes")
    counts = {}
    for name, (wall, cpu, peak) in middle.items():
        text, counts[name] = notes(name, runs[name][-1][3])
        print(f"{name:<14}{wall:>9.1f}{cpu:>9.1f}{peak:>10.0f}{wall / base[0]:>13.2f}{cpu / base[1]:>12.2f}  {text}", flush=True)
    for name in ("fps1", "after", "seek"):
        for ours in ("thrifty", "grid", "exact", "followed"):
            if name in middle and ours in middle:
                a, b = middle[name], middle[ours]
                print(f"{name} / {ours}: wall {a[0] / b[0]:.1f}, CPU {a[1] / b[1]:.1f}, memory {a[2] / b[2]:.1f}")
    for line in targets(middle, counts, gop, media):
        print(line, flush=True)
    return middle


def targets(middle, counts, gop, media):
    """What is aimed at, as far as the rows for it were measured: value, target, whether it is met."""
    def line(what, value, target, most=True):
        met = "met" if (value <= target if most else value >= target) else "MISSED"
        return f"  {what:<62}{value:>8.3f}  {'<=' if most else '>='} {target:<6} {met}"
    yield f"targets, GOP {gop}"
    for name in OURS:
        if name in middle:
            said = subprocess.run([python(), PEERS, "count", "-", media, OUT / f"{name}.jsonl"], check=True, capture_output=True, text=True).stdout
            yield line(f"{name}: frames decoded / needed", counts[name]["decoded"] / json.loads(said)["needed"], 1.02)
    if all(name in middle for name in (*FLOOR, "grid")):
        floor, (wall, cpu, _) = sum(middle[name][1] for name in FLOOR), middle["grid"]
        yield line(f"grid: CPU / floor of {floor:.1f} s", cpu / floor, 1.15)
        yield line(f"grid: wall / (floor / {os.cpu_count()} cores)", wall / (floor / os.cpu_count()), 1.25)
    for name in ("grid", "thrifty"):
        if "fps1" in middle and name in middle and gop in LESS_THAN_FPS1:
            yield line(f"{name}: CPU of fps1 / CPU", middle["fps1"][1] / middle[name][1], LESS_THAN_FPS1[gop], most=False)
    peers = [name for name in PEERS_EXACT if name in middle]
    if peers and "followed" in middle:
        best = min(peers, key=lambda name: middle[name][1])
        for k, what, target in ((1, "CPU", 1), (0, "wall", 0.5), (2, "memory", 0.5)):
            yield line(f"followed: {what} / that of the best peer, {best}", middle["followed"][k] / middle[best][k], target)
    for name in OURS:
        if name in middle:
            yield line(f"{name}: peak memory, MB", middle[name][2] * 1.048576, 400)


def growth(name, by_length):
    """How a row's time and memory grow with the length: a line through the points, and how far off it they lie."""
    lengths = sorted(by_length)
    peaks = [by_length[seconds][2] for seconds in lengths]
    print(f"\n{name}, {lengths[0]} to {lengths[-1]} s: peak memory {peaks[0]:.0f} to {peaks[-1]:.0f} MiB, ratio {peaks[-1] / peaks[0]:.2f}")
    for k, what in ((0, "wall"), (1, "CPU")):
        times = [by_length[seconds][k] for seconds in lengths]
        slope, start = statistics.linear_regression(lengths, times)
        off = max(abs(start + slope * seconds - time) / time for seconds, time in zip(lengths, times))
        print(f"  {what} s = {start:.1f} + {slope:.4f} x length; a point is off by {100 * off:.1f} % at most; per second of recording {times[0] / lengths[0]:.4f} to {times[-1] / lengths[-1]:.4f}")


def main():
    lengths = [int(x) for x in sys.argv[1:]] or [600, 3600]
    for gop in GOPS:
        measured = {seconds: bench(seconds, gop) for seconds in lengths}
        for name in OURS:
            by_length = {seconds: middle[name] for seconds, middle in measured.items() if name in middle}
            if len(by_length) > 1:
                growth(name, by_length)


if __name__ == "__main__":
    main()
