#!/usr/bin/env python3
"""Plays cameras for hours and breaks one of them every minute: does `earmark live` come back, lose nothing, and stay as small as it was?

    scripts/soak.py [--minutes 60] [--every 60] [--output target/soak]

Two cameras play the shipped recording, over and over, through RTSP servers on loopback. One is left alone. A proxy before the other
causes a fault every minute. It writes report.md and report.json, and exits with 1 if anything that must hold does not.
It needs what the tests need, and h5py ($EARMARK_PYTHON).
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIXTURE = ROOT / "fixtures/kitchen.mp4"
# A source is started anew after so long without media; it may then take so long to be back.
RESTART_S, BACK_S = 8, 10
# An anchor is the same as one found offline within this time.
SAME_NS = 100_000_000
# What comes so shortly before a loss has not been decided.
UNDECIDED_NS = 3_000_000_000
# Shorter runs say nothing about memory: caches that survive a restart are still growing.
JUDGES_MEMORY_MIN = 15


# A camera's server ends with the thread that started it, so one thread starts them all and lives as long as the run.
STARTER = concurrent.futures.ThreadPoolExecutor(1)


class Camera:
    """An RTSP server in a process of its own."""

    def __init__(self, file):
        self.file, self.port = file, 0
        self.start()

    def start(self):
        self.child = STARTER.submit(
            subprocess.Popen,
            ["/usr/bin/python3", ROOT / "tests/rtsp_server.py", str(self.port), self.file],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        ).result()
        line = self.child.stdout.readline()
        if not line.startswith("ready "):
            sys.exit("soak: no RTSP server: install python3-gi and gir1.2-gst-rtsp-server-1.0 (`make setup-tests` does)")
        self.port = int(line.split()[1])

    def stop(self):
        self.child.kill()
        self.child.wait()


class Proxy:
    """Forwards TCP until it is stopped."""

    def __init__(self, camera):
        self.camera = camera
        self.links, self.lock = [], threading.Lock()
        self.frozen = threading.Event()
        self.away = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            client, _ = self.listener.accept()
            try:
                if self.away:
                    raise OSError
                server = socket.create_connection(("127.0.0.1", self.camera.port), timeout=5)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            dead = threading.Event()
            with self.lock:
                self.links.append((client, server, dead))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self.pump, args=(source, sink, dead), daemon=True).start()

    def pump(self, source, sink, dead):
        try:
            while data := source.recv(1 << 14):
                while self.frozen.is_set() or dead.is_set():
                    time.sleep(0.02)
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        with self.lock:
            links, self.links = self.links, []
        for client, server, _ in links:
            for end in (client, server):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def hang(self):
        with self.lock:
            links, self.links = self.links, []
        for *_, dead in links:
            dead.set()


def fault_cut(proxy):
    """The connection is closed."""
    proxy.cut()


def fault_away(proxy):
    """The camera is gone for 8 s: nobody is let in."""
    proxy.away = True
    proxy.cut()
    time.sleep(8)
    proxy.away = False


def fault_half_open(proxy):
    """The connection stays, and nothing comes over it again."""
    proxy.hang()


def fault_freeze(proxy):
    """Nothing comes for 5 s, then all of it at once."""
    proxy.frozen.set()
    time.sleep(5)
    proxy.frozen.clear()


def fault_restart(proxy):
    """The camera's server is killed and is there again after 3 s."""
    proxy.camera.stop()
    proxy.cut()
    time.sleep(3)
    proxy.camera.start()


# Name, what is done, whether the source has to be started anew, how much later than BACK_S it may be back.
FAULTS = [
    ("cut", fault_cut, True, 0),
    ("freeze", fault_freeze, False, 0),
    ("half_open", fault_half_open, True, RESTART_S),
    ("away", fault_away, True, 0),
    ("restart", fault_restart, True, 0),
]


def long_recording(folder, minutes):
    """The shipped recording, over and over, in one file."""
    path = folder / "long.mp4"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-y", "-stream_loop", str(minutes + 2), "-i", FIXTURE, "-c", "copy", path], check=True
    )
    return path


def pipelines(folder, urls):
    """The shipped pipeline with short files and a budget of 196 tokens a second, for two sources; and the same over a file."""
    text = (ROOT / "pipelines/live_rtsp.yaml").read_text()
    for before, after in (("segment_minutes: 60", "segment_minutes: 1"), ("tokens_per_s: 49", "tokens_per_s: 196")):
        assert before in text, before
        text = text.replace(before, after)
    sources = "".join(f"  - {{ name: {name}, url: '{url}' }}\n" for name, url in urls.items())
    live = folder / "live.yaml"
    live.write_text(f"{text}sources:\n{sources}")
    head, tail = text[text.index("graph: |"):text.index("ears:")], text[text.index("ears:"):]
    assert "rtspsrc" in head
    graph = """graph: |
  filesrc location=${input} ! parsebin name=demux
  demux. ! queue ! gate.video
  demux. ! queue ! decodebin ! audioconvert ! audioresample ! eventness name=ears ! gate.cues
  anchorgate name=gate ! decodebin ! framepick ! videoconvert ! featuresink name=features location=${output}

"""
    offline = folder / "offline.yaml"
    offline.write_text("version: 1\n" + graph + tail[:tail.index("live:")])
    return live, offline


def numbers(pid):
    """Memory in bytes, open files, threads, CPU seconds of a process."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    word = lambda name: int(next(line for line in status.splitlines() if line.startswith(name)).split()[1])
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return word("VmRSS:") * 1024, len(os.listdir(f"/proc/{pid}/fd")), word("Threads:"), cpu


def events(path):
    lines = path.read_text().splitlines() if path.exists() else []
    out = []
    for line in lines:
        try:
            out.append(json.loads(line))
        except ValueError:
            pass  # still being written
    return out


def heard(files):
    """What each start of each source heard: {(source, epoch): (last cue, onsets)}, in the stream's time."""
    import h5py

    out = {}
    for path in files:
        with h5py.File(path) as file:
            zero = int(file.attrs["segment_start_ns"])
            text = lambda name: file.attrs[name].decode() if isinstance(file.attrs[name], bytes) else str(file.attrs[name])
            key = (text("source"), int(text("epoch")))
            last, onsets = out.get(key, (0, []))
            cues = file["cues/pts_ns"][:]
            last = max([last, *(cues[-1:] + zero).tolist()])
            out[key] = (last, onsets + (file["anchors/onset_ns"][:] + zero).tolist())
    return out


def matched(wanted, got):
    """How many of these onsets are there."""
    got = sorted(got)
    found, at = 0, 0
    for onset in sorted(wanted):
        while at < len(got) and got[at] < onset - SAME_NS:
            at += 1
        if at < len(got) and got[at] <= onset + SAME_NS:
            found, at = found + 1, at + 1
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--every", type=int, default=60, help="seconds from one fault to the next")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "target/soak")
    args = parser.parse_args()
    out = args.output.resolve()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    earmark = ROOT / "target/release/earmark"
    environment = {**os.environ, "EARMARK_MODELS": str(ROOT / "models")}
    recording = long_recording(out, args.minutes)
    broken, alone = Camera(recording), Camera(recording)
    proxy = Proxy(broken)
    urls = {"broken": f"rtsp://127.0.0.1:{proxy.port}/stream", "alone": f"rtsp://127.0.0.1:{alone.port}/stream"}
    live, offline = pipelines(out, urls)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    said, recorded = out / "said.txt", out / "events.jsonl"
    with open(said, "wb") as stderr:
        child = subprocess.Popen(
            [earmark, "live", live, "--output", out / "files", "--events", recorded, "--status", f"127.0.0.1:{port}", "--json"],
            env=environment, stdout=subprocess.PIPE, stderr=stderr,
        )
    begun = time.time()
    samples, faults, hangs = [], [], 0
    doing = None
    crashed = False
    next_fault = args.every

    def state_of(source):
        states = [event for event in events(recorded) if event["kind"] == "state" and event["source"] == source]
        return (states[-1]["state"], len(states)) if states else ("none", 0)

    def break_it(number):
        name, fault, restarts, more = FAULTS[number % len(FAULTS)]
        _, before = state_of("broken")
        fault(proxy)
        over = time.time()
        back = None
        while time.time() - over < BACK_S + more + 30:
            state, many = state_of("broken")
            if state == "healthy" and (many > before or not restarts):
                back = time.time() - over
                break
            time.sleep(0.1)
        faults.append({"fault": name, "at_s": round(over - begun), "back_s": back and round(back, 1), "within_s": BACK_S + more})

    while time.time() - begun < args.minutes * 60:
        time.sleep(1)
        if child.poll() is not None:
            crashed = True
            break
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).read()
        except OSError:
            hangs += time.time() - begun > 30
        samples.append((time.time() - begun, *numbers(child.pid)))
        since = time.time() - begun
        if since >= next_fault and since + 40 < args.minutes * 60 and (doing is None or not doing.is_alive()):
            doing = threading.Thread(target=break_it, args=(int(next_fault / args.every) - 1,), daemon=True)
            doing.start()
            next_fault += args.every
    if doing:
        doing.join(60)
    took = time.time() - begun
    stopped = None
    if not crashed:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(60)
            stopped = child.returncode
        except subprocess.TimeoutExpired:
            child.kill()
            hangs += 1
    alone.stop()
    broken.stop()

    files = sorted((out / "files").glob("*/*.h5"))
    verified = subprocess.run([earmark, "verify", "--json", out / "files"], env=environment, capture_output=True, text=True)
    damaged = [file["file"] for file in json.loads(verified.stdout)["files"] if not file["ok"]]
    left = len(list((out / "files").glob("*/*.partial")))
    subprocess.run(
        [earmark, "run", offline, "--input", recording, "--output", out / "offline.h5", "--quiet"],
        env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    import h5py

    with h5py.File(out / "offline.h5") as file:
        reference = file["anchors/onset_ns"][:].tolist()
    shares = {}
    for (source, epoch), (last, onsets) in sorted(heard(files).items()):
        wanted = [onset for onset in reference if onset < last - UNDECIDED_NS]
        found, all_of_them = shares.get(source, (0, 0))
        shares[source] = (found + matched(wanted, onsets), all_of_them + len(wanted))

    third = len(samples) // 3
    middle, end = samples[third:2 * third], samples[2 * third:]
    most = lambda part, column: max((sample[column] for sample in part), default=0)
    growth = {name: (most(middle, column), most(end, column)) for name, column in (("rss", 1), ("fds", 2), ("threads", 3))}
    lines = len(said.read_text(errors="replace").splitlines())
    starts = {name: sum(e["kind"] == "state" and e["source"] == name and e["state"] == "starting" for e in events(recorded)) for name in urls}
    judges = args.minutes >= JUDGES_MEMORY_MIN
    holds = {
        "no crash": not crashed and stopped == 0,
        "no hang": hangs == 0,
        "no damaged file": not damaged and left == 0 and bool(files),
        "back in time after every fault": bool(faults) and all(f["back_s"] is not None and f["back_s"] <= f["within_s"] for f in faults),
        "the other source was never started anew": starts["alone"] == 1,
        "98 % of the anchors found offline": all(all_ and found >= 0.98 * all_ for found, all_ in shares.values()) and len(shares) == 2,
        "file descriptors flat": growth["fds"][1] <= growth["fds"][0] + 2,
        "threads flat": growth["threads"][1] <= growth["threads"][0] + 2,
        "at most one line a fault a minute, and one when it is back": lines <= 12 + 4 * len(faults),
    }
    if judges:
        holds["memory flat within 5 %"] = growth["rss"][1] <= 1.05 * growth["rss"][0]
    report = {
        "minutes": round(took / 60, 1),
        "recording": FIXTURE.name,
        "cpu_s_a_minute": round((samples[-1][4] if samples else 0) / (took / 60), 1),
        "rss_mb": [round(value / 1e6) for value in growth["rss"]],
        "fds": growth["fds"],
        "threads": growth["threads"],
        "starts": starts,
        "files": len(files),
        "damaged": damaged,
        "anchors": {source: {"offline": all_, "live": found} for source, (found, all_) in shares.items()},
        "lines_on_stderr": lines,
        "faults": faults,
        "holds": holds,
    }
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    rows = "".join(f"| {f['fault']} | {f['at_s']} | {f['back_s']} | {f['within_s']} |\n" for f in faults)
    marks = "".join(f"| {what} | {'yes' if ok else '**NO**'} |\n" for what, ok in holds.items())
    anchors = ", ".join(f"{found} of {all_} ({source})" for source, (found, all_) in shares.items())
    (out / "report.md").write_text(
        f"""# Soak

Two cameras for {report['minutes']} minutes, a fault every {args.every} s at one of them.

| what must hold | does it? |
|---|---|
{marks}
Largest in the middle third and in the last third: memory {report['rss_mb'][0]} and {report['rss_mb'][1]} MB{'' if judges else ' (not judged: the run is too short)'}, open files
{growth['fds'][0]} and {growth['fds'][1]}, threads {growth['threads'][0]} and {growth['threads'][1]}. {report['cpu_s_a_minute']} CPU seconds a minute for both sources. {len(files)} files, {lines} lines on stderr. Anchors found
as offline: {anchors}.

| fault | at, s | back after, s | allowed, s |
|---|---|---|---|
{rows}"""
    )
    print((out / "report.md").read_text())
    sys.exit(0 if all(holds.values()) else 1)


if __name__ == "__main__":
    main()
