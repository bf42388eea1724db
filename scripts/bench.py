#!/usr/bin/env python3
"""What a gated run costs beside decoding every picture, side by side on the same recording: prints ratios, asserts nothing.

    bench.py [SECONDS ...]      default: 600 and 3600

Each recording is 1080p50 H.264 (16 Mbit/s, GOP 25) with AAC: 20 s of hard-to-compress picture repeated without
re-encoding under the shipped kitchen's sound. They are kept in target/bench (2 MB a second). Every row is a process of its own:

    decode    gst-launch-1.0: every picture decoded and thrown away; no scaling, no encoding, no audio
    ffmpeg    the same by ffmpeg
    gated     earmark run pipelines/gated.yaml: both passes, encoding and writing included
    uniform   earmark run pipelines/uniform.yaml: equal tokens, evenly spaced

BENCH_RUNS (default 1) repeats every row and takes the median; BENCH_GOP (default 25) sets the keyframe distance.
"""
import json, os, pathlib, statistics, subprocess, sys, time

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "bench"
EARMARK = pathlib.Path(os.environ.get("EARMARK_BIN", ROOT / "target/release/earmark"))
RUNS, GOP = int(os.environ.get("BENCH_RUNS", 1)), int(os.environ.get("BENCH_GOP", 25))


def call(*args):
    subprocess.run(["ffmpeg", "-y", "-loglevel", "error", *map(str, args)], check=True)


def recording(seconds):
    """target/bench/1080p50_gopG_SECONDS.mp4, made once."""
    path = OUT / f"1080p50_gop{GOP}_{seconds}.mp4"
    if path.exists():
        return path
    OUT.mkdir(parents=True, exist_ok=True)
    loop, partial = OUT / f"loop_gop{GOP}.mp4", path.with_suffix(".partial.mp4")
    if not loop.exists():
        call("-f", "lavfi", "-i", "mandelbrot=s=1920x1080:r=50,noise=alls=12:allf=t", "-t", 20, "-c:v", "libx264", "-preset", "veryfast", "-bf", 0,
             "-g", GOP, "-keyint_min", GOP, "-sc_threshold", 0, "-b:v", "16M", "-pix_fmt", "yuv420p", loop)
    call("-stream_loop", seconds // 20, "-i", loop, "-stream_loop", -1, "-i", ROOT / "fixtures/kitchen.mp4", "-map", "0:v", "-map", "1:a",
         "-c:v", "copy", "-c:a", "aac", "-b:a", "128k", "-ar", 48000, "-t", seconds, partial)
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


def bench(seconds):
    media = recording(seconds)
    with open(media, "rb") as f:  # the same warm page cache for all
        while f.read(1 << 24):
            pass

    def run(name):
        return [EARMARK, "run", ROOT / f"pipelines/{name}.yaml", "--input", media, "--output", OUT / f"{name}.h5", "--overwrite", "--json"]

    rows = {
        "decode": ["gst-launch-1.0", "-q", "filesrc", f"location={media}", "!", "qtdemux", "!", "h264parse", "!", "avdec_h264", "!", "fakesink", "sync=false"],
        "ffmpeg": ["ffmpeg", "-v", "error", "-i", media, "-an", "-f", "null", "-"],
        "gated": run("gated"),
        "uniform": run("uniform"),
    }
    runs = {name: [] for name in rows}
    for _ in range(RUNS):
        for name, command in rows.items():
            runs[name].append(measure(command))
    print(f"\n{seconds} s of 1080p50, GOP {GOP}, {os.cpu_count()} cores, median of {RUNS}")
    print(f"{'row':<9}{'wall s':>9}{'CPU s':>9}{'peak MiB':>10}{'wall/decode':>13}{'CPU/decode':>12}  notes")
    base = [statistics.median(r[k] for r in runs["decode"]) for k in (0, 1)]
    result = {}
    for name, measured in runs.items():
        wall, cpu, peak = (statistics.median(r[k] for r in measured) for k in (0, 1, 2))
        notes = ""
        if measured[-1][3].strip().startswith("{"):
            said = json.loads(measured[-1][3])["features"]
            notes = f"{said.get('spent_tokens')} of {said.get('budget_tokens')} tokens, pictures decoded {said.get('pictures_passed')} of {said.get('pictures_seen')}"
        print(f"{name:<9}{wall:>9.1f}{cpu:>9.1f}{peak:>10.0f}{wall / base[0]:>13.2f}{cpu / base[1]:>12.2f}  {notes}", flush=True)
        result[name] = peak
    return result


def main():
    lengths = [int(x) for x in sys.argv[1:]] or [600, 3600]
    peaks = {seconds: bench(seconds) for seconds in lengths}
    if len(peaks) > 1:
        short, long = min(peaks), max(peaks)
        print(f"\npeak memory of a gated run: {peaks[short]['gated']:.0f} MiB for {short} s, {peaks[long]['gated']:.0f} MiB for {long} s, ratio {peaks[long]['gated'] / peaks[short]['gated']:.2f}")


if __name__ == "__main__":
    main()
