#!/usr/bin/env python3
"""How late the events of `earmark live` are, and what its sources cost. Prints figures, asserts nothing.

    bench_live.py latency [--sources 6] [--seconds 150] [--look-ahead 1000 300]
    bench_live.py cost [--sources 1 2 8] [--seconds 60] [--sound-only]

Every source plays the shipped recording (or those of --files, in turn) at real speed, each from another place. `latency` lets a broker
(mosquitto) pass on every anchor, and subtracts the time at which its sound came into the process (`onset_wall`) from that at which a subscriber
had the message. `cost` prints CPU and memory once everything plays. EARMARK_BIN: another program than target/release/earmark.
"""
import argparse
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime

ROOT = pathlib.Path(__file__).resolve().parent.parent
EARMARK = os.environ.get("EARMARK_BIN", ROOT / "target/release/earmark")
ENVIRONMENT = {"EARMARK_MODELS": str(ROOT / "models"), **os.environ}
# Until every source plays, s.
WARM_UP = 20


def recordings(folder, files, sources, seconds, sound_only):
    """A recording for each source, long enough, each from another place."""
    made = []
    for number in range(sources):
        path = folder / f"{number}.{'m4a' if sound_only else 'mp4'}"
        file = files[number % len(files)]
        length = float(subprocess.run(
            ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", file], check=True, capture_output=True, text=True
        ).stdout)
        start = number * length / sources
        repeats = str(int((start + seconds + 60) / length))
        only = ["-vn"] if sound_only else []
        subprocess.run(
            ["ffmpeg", "-v", "error", "-y", "-stream_loop", repeats, "-i", file, "-ss", str(start), "-t", str(seconds + 40), *only, "-c", "copy", path],
            check=True,
        )
        made.append(path)
    return made


def pipeline(folder, made, changes):
    text = (ROOT / "pipelines/live_file.yaml").read_text()
    for before, after in changes:
        assert before in text, before
        text = text.replace(before, after)
    sources = "".join(f"  - {{ name: s{number}, url: '{path}' }}\n" for number, path in enumerate(made))
    path = folder / "bench.yaml"
    path.write_text(f"{text}sources:\n{sources}")
    return path


def start(folder, yaml, seconds):
    return subprocess.Popen(
        [EARMARK, "live", yaml, "--output", folder / "out", "--seconds", str(seconds)],
        env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=open(folder / "said.txt", "wb"),
    )


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def listen(port, got):
    """MQTT by hand: CONNECT, SUBSCRIBE to all anchors, then (arrival, anchor) for each."""
    stream = socket.create_connection(("127.0.0.1", port))
    stream.sendall(b"\x10\x10\0\4MQTT\4\2\0\0\0\4test")
    topic = b"earmark/+/anchor"
    stream.sendall(bytes([0x82, 5 + len(topic)]) + b"\0\1" + bytes([0, len(topic)]) + topic + b"\0")
    reader = stream.makefile("rb")
    while head := reader.read(1):
        size = shift = 0
        while True:
            byte = reader.read(1)[0]
            size |= (byte & 127) << shift
            shift += 7
            if not byte & 128:
                break
        body = reader.read(size)
        if head[0] >> 4 == 3:
            begin = 2 + int.from_bytes(body[:2], "big")
            got.append((time.time(), json.loads(body[begin:])))


def latency(args, look_ahead):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        port = free_port()
        (folder / "broker.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
        mosquitto = next((p for p in ("/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto") if os.path.exists(p)), "mosquitto")
        broker = subprocess.Popen([mosquitto, "-c", folder / "broker.conf"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(1)
            got = []
            threading.Thread(target=listen, args=(port, got), daemon=True).start()
            made = recordings(folder, args.files, args.sources, args.seconds, False)
            yaml = pipeline(folder, made, [
                ("tokens_per_s: 49", "tokens_per_s: 196"),
                ("look_ahead_ms: 1000", f"look_ahead_ms: {look_ahead}"),
                ("\nlive:", f"\nevents: {{ mqtt: 'mqtt://127.0.0.1:{port}' }}\nlive:"),
            ])
            ahead = subprocess.run(
                [EARMARK, "doctor", "--json", "--live", yaml, "--seconds", "2"], env=ENVIRONMENT, capture_output=True, text=True
            )
            ahead = json.loads(ahead.stdout)["sources"][0].get("look_ahead_ms") if ahead.returncode == 0 else None
            start(folder, yaml, args.seconds).wait()
            time.sleep(1)
        finally:
            broker.kill()
    late = sorted(
        1000 * (arrived - datetime.fromisoformat(event["onset_wall"].replace("Z", "+00:00")).timestamp())
        for arrived, event in got if event["onset_wall"]
    )
    if len(late) < 2:
        sys.exit("bench_live: hardly any anchors came; is mosquitto installed?")
    at = lambda share: late[min(int(share * len(late)), len(late) - 1)]
    labelled = sum(bool(event["label"]) for _, event in got)
    print(
        f"| {look_ahead} | {ahead} | {len(late)} ({labelled} with a label) | {statistics.median(late):.0f} | {at(0.95):.0f} | {at(0.99):.0f} | {late[-1]:.0f} |",
        flush=True,
    )


def usage(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    word = lambda name: int(next(line for line in status.splitlines() if line.startswith(name)).split()[1])
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), word("VmRSS:") * 1024 / 1e6, word("Threads:")


def cost(args, sources):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        seconds = args.seconds + WARM_UP
        made = recordings(folder, args.files, sources, seconds, args.sound_only)
        changes = [("sound_only: false", "sound_only: true")] if args.sound_only else []
        child = start(folder, pipeline(folder, made, changes), seconds + 10)
        time.sleep(WARM_UP)
        before = usage(child.pid)
        time.sleep(args.seconds)
        after = usage(child.pid)
        child.terminate()
        child.wait()
        share = (after[0] - before[0]) / args.seconds
        print(
            f"| {sources} | {100 * share:.1f} | {100 * share / sources:.2f} | {sources / share:.0f} | {after[1]:.0f} | {after[2]} |",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    modes = parser.add_subparsers(dest="mode", required=True)
    for mode, sources, seconds in (("latency", 6, 150), ("cost", [1, 2, 8], 60)):
        sub = modes.add_parser(mode)
        sub.add_argument("--sources", type=int, default=sources, nargs="+" if mode == "cost" else None)
        sub.add_argument("--seconds", type=int, default=seconds)
        sub.add_argument("--files", type=pathlib.Path, nargs="+", default=[ROOT / "fixtures/kitchen.mp4"])
        if mode == "latency":
            sub.add_argument("--look-ahead", type=int, nargs="+", default=[1000, 300])
        else:
            sub.add_argument("--sound-only", action="store_true")
    args = parser.parse_args()
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    if args.mode == "latency":
        print("\n| look_ahead_ms | look-ahead, ms | anchors | median, ms | 95 % | 99 % | longest |\n|---|---|---|---|---|---|---|")
        for look_ahead in args.look_ahead:
            latency(args, look_ahead)
    else:
        print("\n| sources | CPU, % of a core | a source | sources a core | memory, MB | threads |\n|---|---|---|---|---|---|")
        for sources in args.sources:
            cost(args, sources)


if __name__ == "__main__":
    main()
