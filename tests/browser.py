#!/usr/bin/env python3
"""Looks at reports in a headless Chromium, through its debugging pipe: no driver, no network.

    browser.py EARMARK FOLDER RUN.h5 OTHER.h5 VIDEO LABELS.csv [--pictures FOLDER]

EARMARK is the command; reports and made-up files go to FOLDER. RUN and OTHER are two runs over VIDEO, RUN with thumbnails. Checked:
no console errors; zoom by wheel, keys, buttons and pinch; hover; steps between anchors and missed sounds; the player jumps; details;
light and dark; two runs compared; a narrow screen; markup in labels and file names stays text; the page of an eight-hour recording
fits into 15 MB and scrolls (its rate is printed, not judged). --pictures keeps screenshots. Needs h5py, numpy and pillow; exit status
77 and a line that says so without chromium.
"""
import argparse, base64, csv, io, json, os, pathlib, select, shutil, subprocess, sys, tempfile, time
import h5py
import numpy as np
from PIL import Image

HOSTILE = "</script><script>window.pwned=1</script><img src=x onerror=window.pwned=1>\"'{{7*7}}"


def need(condition, message):
    if not condition:
        sys.exit(f"browser.py: {message}")


class Browser:
    """One tab."""

    def __init__(self, chromium, folder):
        down, up = os.pipe(), os.pipe()

        def child():
            # The pipe's ends must be 3 and 4.
            read, write = os.dup(down[0]), os.dup(up[1])
            os.dup2(read, 3), os.dup2(write, 4)
            os.set_inheritable(3, True), os.set_inheritable(4, True)

        self.process = subprocess.Popen(
            [chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe", "--hide-scrollbars",
             "--autoplay-policy=no-user-gesture-required", "--no-first-run", f"--user-data-dir={folder}", "about:blank"],
            preexec_fn=child, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(down[0]), os.close(up[1])
        self.down, self.up, self.rest, self.number = down[1], up[0], b"", 0
        self.session, self.complaints, self.events = None, [], []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def read(self, patience):
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.up], [], [], patience)
            if not ready:
                return None
            part = os.read(self.up, 1 << 20)
            need(part, "chromium is gone")
            self.rest += part
        line, self.rest = self.rest.split(b"\0", 1)
        message = json.loads(line)
        kind, about = message.get("method"), message.get("params", {})
        if kind == "Runtime.exceptionThrown":
            self.complaints.append(about["exceptionDetails"].get("exception", {}).get("description") or about["exceptionDetails"]["text"])
        elif kind == "Log.entryAdded" and about["entry"]["level"] == "error":
            self.complaints.append(about["entry"]["text"])
        elif kind == "Runtime.consoleAPICalled" and about["type"] in ("error", "assert"):
            self.complaints.append(json.dumps(about["args"]))
        if kind:
            self.events.append(kind)
        return message

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.down, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.read(120)
            need(answer is not None, f"chromium did not answer {method} within two minutes")
            if answer.get("id") == self.number:
                need("error" not in answer, f"{method}: {answer.get('error')}")
                return answer["result"]

    def do(self, script):
        """The value of an expression, awaited."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        need("exceptionDetails" not in answer, f"{script}: {answer.get('exceptionDetails')}")
        return answer["result"].get("value")

    def until(self, script, what, patience=30):
        end = time.monotonic() + patience
        while not self.do(script):
            need(time.monotonic() < end, f"never {what}: {script}")
            time.sleep(0.05)

    def size(self, width, height, mobile=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def open(self, path):
        self.complaints.clear()
        self.call("Page.navigate", url=path.resolve().as_uri())
        self.until("document.readyState === 'complete' && !!window.earmark && earmark.timeline.drawn > 0", f"{path} was drawn", 60)

    def settle(self):
        self.do("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 30))))")

    def key(self, key):
        code = {"ArrowRight": 39, "ArrowLeft": 37, "Home": 36, "End": 35}.get(key)
        text = {} if code else {"text": key}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, **({"windowsVirtualKeyCode": code} if code else {}), **(text if kind == "keyDown" else {}))
        self.settle()

    def mouse(self, kind, x, y, **more):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, x, y):
        self.mouse("mousePressed", x, y, button="left", clickCount=1, buttons=1)
        self.mouse("mouseReleased", x, y, button="left", clickCount=1)
        self.settle()

    def press(self, selector):
        self.do(f"document.querySelector({json.dumps(selector)}).click()")
        self.settle()

    def picture(self, folder, name, whole=False):
        if not folder:
            return
        self.settle()
        extra = {}
        if whole:
            height = min(self.do("document.documentElement.scrollHeight"), 4000)
            width = self.do("innerWidth")
            extra = {"clip": {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}, "captureBeyondViewport": True}
        shot = Image.open(io.BytesIO(base64.b64decode(self.call("Page.captureScreenshot", format="png", **extra)["data"])))
        folder.mkdir(parents=True, exist_ok=True)
        # Maximum coverage keeps the colours of small marks, which adaptive palettes merge.
        shot.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(folder / f"{name}.png", optimize=True)

    def close(self):
        os.close(self.down)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


def columns(group, axis, **named):
    for name, (values, units) in named.items():
        dataset = group.create_dataset(name, data=values, chunks=True, maxshape=(None,) + np.shape(values)[1:])
        dataset.attrs["units"], dataset.attrs["axes"] = units, axis


def made_up(path, seconds, frames, anchors, label=lambda k: f"sound {k % 40}", video_id="made up", warnings=(), thumbnails=True, seed=1):
    """A synthetic feature file: evenly spaced frames, anchors among them, noise for cues."""
    rng = np.random.default_rng(seed)
    hops = int(seconds / .08)
    onsets = np.sort(rng.choice(np.arange(hops - 20), anchors, replace=False)) * 80_000_000 + 12_500_000
    onsets = onsets[np.append(True, np.diff(onsets) > 700_000_000)]
    plain = (np.arange(frames - len(onsets)) + .5) * (seconds * 1e9 / (frames - len(onsets)))
    times = np.concatenate([onsets + 60_000_000, plain.astype("i8")])
    order = np.argsort(times, kind="stable")
    anchor = np.concatenate([np.arange(len(onsets)), np.full(len(plain), -1)])[order].astype("i4")
    tier = np.where(anchor >= 0, 2, 0).astype("u1")
    tokens = np.where(anchor >= 0, 784, 49).astype("u4")
    tiers = h5py.enum_dtype({"low": 0, "base": 1, "high": 2}, basetype="u1")
    reasons = h5py.enum_dtype({"anchor": 0, "fallback": 1, "uniform": 2}, basetype="u1")
    jpegs = []
    for k in range(60):
        wide, high = ((288, 162), (96, 54))[k % 2]
        out = io.BytesIO()
        Image.fromarray(rng.integers(0, 255, (9, 16, 3), dtype="u1")).resize((wide, high), Image.Resampling.BICUBIC).save(out, "JPEG", quality=70)
        jpegs.append(np.frombuffer(out.getvalue(), "u1"))
    with h5py.File(path, "w") as f:
        f.attrs.update({"schema": "earmark/1", "complete": True, "video_id": video_id, "input_uri": "file:///" + video_id, "input_bytes": np.uint64(1), "streams": "",
                        "models": "[]", "versions": "{}", "duration_ns": np.int64(seconds * 10**9), "budget_tokens": np.uint64(tokens.sum()), "spent_tokens": np.uint64(tokens.sum()),
                        "frames_missed": np.uint64(0), "access_units_seen": np.uint64(seconds * 25), "access_units_passed": np.uint64(frames * 3), "rotation": "rotate-0",
                        "config": json.dumps({"budget": {"policy": "gated", "max_gap_ms": 2000, "distrust": .9}}), "warnings": json.dumps(list(warnings))})
        group = f.create_group("frames")
        columns(group, "frame", features=(np.zeros((frames, 2), "f4"), "1"), pts_ns=(times[order], "ns"), requested_ns=(times[order], "ns"), tokens=(tokens, "token"), anchor=(anchor, "row"))
        group.create_dataset("tier", data=tier, dtype=tiers)
        group.create_dataset("reason", data=np.where(anchor >= 0, 0, 2), dtype=reasons)
        if thumbnails:
            dataset = group.create_dataset("thumbnails", (frames,), dtype=h5py.vlen_dtype("u1"), chunks=(min(frames, 1024),))
            for start in range(0, frames, 1024):
                stop = min(frames, start + 1024)
                block = np.empty(stop - start, object)
                for k in range(stop - start):
                    block[k] = jpegs[(k % 30) * 2 + (anchor[start + k] < 0)]
                dataset[start:stop] = block
        group = f.create_group("anchors")
        columns(group, "anchor", onset_ns=(onsets, "ns"), start_ns=(onsets - 200_000_000, "ns"), stop_ns=(onsets + 400_000_000, "ns"),
                score=(rng.random(len(onsets), "f4"), "probability"), uncertainty=(rng.random(len(onsets), "f4"), "probability"), class_id=(np.arange(len(onsets), dtype="i4") % 40, "class"))
        group.create_dataset("label", data=[label(k) for k in range(len(onsets))], dtype=h5py.string_dtype())
        group = f.create_group("cues")
        columns(group, "hop", pts_ns=(np.arange(hops) * 80_000_000, "ns"), eventness=(rng.random(hops, "f4") ** 4, "probability"), uncertainty=((rng.random(hops, "f4") > .999).astype("f4"), "probability"),
                speech=(np.convolve(rng.random(hops, "f4") > .995, np.ones(30), "same").clip(0, 1).astype("f4"), "probability"), bands=(rng.integers(0, 200, (hops, 16), dtype="u1"), "0.4 dB above -60 dB"))
    return onsets / 1e9


def report(earmark, *args):
    done = subprocess.run([earmark, "report", *map(str, args), "--overwrite", "--json"], capture_output=True, text=True)
    need(done.returncode == 0, f"earmark report {args}: {done.stderr}")
    return json.loads(done.stdout)


SPAN = "earmark.timeline.to - earmark.timeline.from"
SELECTED = "earmark.timeline.selected && earmark.timeline.when(earmark.timeline.selected)"


def place(b, row, t):
    """Where time `t` lies in a row, on the screen."""
    return b.do(f"""(() => {{ const l = earmark.timeline, box = l.rows.getBoundingClientRect(), row = l.layoutRows.find(r => r.kind === '{row}');
        return [box.left + l.x({t}), box.top + row.y + row.height - 4]; }})()""")


def quiet(b, where):
    need(not b.complaints, f"{where}: the console says {b.complaints}")


def one_run(b, page, pictures, rows):
    b.size(1280, 900)
    b.open(page)
    text = b.do("document.getElementById('short').innerText")
    need("labelled events" in text and "tokens spent" in text, f"the page has no summary of what was found: {text}")
    whole = b.do(SPAN)
    b.picture(pictures, "whole", whole=True)
    onsets = b.do("Array.from(earmark.data.runs[0].anchors.onset)")
    need(len(onsets) > 3, "too few anchors to try anything")

    # Zoom: the wheel keeps what is under it in place; keys and buttons do the same about the middle.
    x, y = (round(v) for v in place(b, "anchors", onsets[1]))
    under = b.do(f"earmark.timeline.t({x} - earmark.timeline.rows.getBoundingClientRect().left)")
    for _ in range(6):
        b.mouse("mouseWheel", x, y, deltaX=0, deltaY=-300)
    b.settle()
    need(b.do(SPAN) < whole / 5, "the wheel does not zoom")
    need(abs(place(b, "anchors", under)[0] - x) < 3, "what is under the wheel moves away")
    b.key("0")
    need(abs(b.do(SPAN) - whole) < 1e-6, "0 does not show all")
    b.key("+")
    need(abs(b.do(SPAN) - whole / 2) < 1e-6, "+ does not zoom")
    b.key("-")
    b.press("[data-span='10']")
    need(abs(b.do(SPAN) - 10) < 1e-6, "the button `10 s` does not")
    for _ in range(30):
        b.key("+")
    need(abs(b.do(SPAN) - .1) < 1e-6, "tenths of a second are out of reach")
    b.press("[data-do='all']")
    b.do("document.getElementById('canvases').focus()")
    b.press("[data-span='10']")
    before = b.do("earmark.timeline.from")
    b.key("ArrowRight")
    need(b.do("earmark.timeline.from") > before, "the arrow keys do not move")
    b.key("Home")
    need(b.do("earmark.timeline.from") == 0, "Home does not go to the start")
    b.key("End")
    need(abs(b.do("earmark.timeline.to") - whole) < 1e-6, "End does not go to the end")
    b.press("[data-do='all']")

    # A finger on each side of the middle, drawn apart.
    middle = b.do("(() => { const box = earmark.timeline.rows.getBoundingClientRect(); return [box.left + box.width / 2, box.top + 60]; })()")
    for kind, apart in (("touchStart", 60), ("touchMove", 90), ("touchMove", 150), ("touchMove", 300), ("touchEnd", None)):
        points = [] if apart is None else [{"x": middle[0] - apart, "y": middle[1], "id": 0}, {"x": middle[0] + apart, "y": middle[1], "id": 1}]
        b.call("Input.dispatchTouchEvent", type=kind, touchPoints=points)
    b.settle()
    need(b.do(SPAN) < whole * .6, "a pinch does not zoom")
    b.press("[data-do='all']")

    # Hover and click.
    x, y = place(b, "anchors", onsets[2])
    b.mouse("mouseMoved", x, y)
    b.settle()
    tip = b.do("document.getElementById('tip').hidden ? '' : document.getElementById('tip').innerText")
    need("Anchor" in tip and "score" in tip, f"hovering an anchor shows {tip!r}")
    b.click(x, y)
    need(abs(b.do(SELECTED) - onsets[2]) < 1e-3, "a click does not choose the anchor under it")
    details = b.do("document.getElementById('details').innerText")
    for word in ("score", "uncertainty", "window", "tokens", "why"):
        need(word in details, f"the details lack `{word}`: {details}")
    need(b.do("!!document.querySelector('#details img')"), "the details lack the picture")

    # Steps, and the player goes along.
    b.key("n")
    need(abs(b.do(SELECTED) - onsets[3]) < 1e-3, "n does not step to the next anchor")
    b.key("p")
    b.key("p")
    need(abs(b.do(SELECTED) - onsets[1]) < 1e-3, "p does not step back")
    b.until(f"Math.abs(document.getElementById('video').currentTime - {onsets[1]}) < 0.05 && document.getElementById('video').readyState >= 2", "jumped the player to the anchor")
    missed = [k for k, result in enumerate(b.do("Array.from(earmark.data.runs[0].events.result)")) if result == 2]
    if missed:
        b.press("[data-do='all']")
        b.do("earmark.timeline.selected = null")
        b.key("m")
        need(b.do("earmark.timeline.selected.index") == missed[0], "m does not step to what was missed")
        need("missed" in b.do("document.getElementById('details').innerText"), "the details do not say that it was missed")

    # The contact sheet: frames at anchors large, others small.
    counts = b.do("[document.querySelectorAll('#thumbnails .anchor img').length, document.querySelectorAll('#thumbnails .rest img').length]")
    need(sum(counts) == min(rows, 150) and counts[0] > 0, f"{counts} of {rows} frames are shown")
    b.until("[...document.querySelectorAll('#thumbnails img')].slice(0, 3).every(i => i.complete && i.naturalWidth > 0)", "decoded the thumbnails")
    b.press("[data-show='rest']")
    need(b.do("document.querySelectorAll('#thumbnails .rest').length") == 0, "background frames cannot be hidden")
    need(b.do("!!document.querySelector('#spending canvas')"), "the chart of spending is missing")

    # Three zoom levels, then the dark theme.
    b.do("scrollTo(0, document.getElementById('timeline').offsetTop - 10)")
    b.press("[data-do='all']")
    b.picture(pictures, "zoom-all")
    b.do(f"earmark.timeline.select({{ kind: 'anchor', run: 0, index: 1 }})")
    b.press("[data-span='10']")
    b.picture(pictures, "zoom-10s")
    b.press("[data-span='1']")
    b.picture(pictures, "zoom-1s")
    b.press("[data-do='all']")
    b.do("scrollTo(0, 0)")
    b.press("#theme")
    need(b.do("getComputedStyle(document.body).backgroundColor") == "rgb(20, 22, 26)", "there is no dark theme")
    b.picture(pictures, "dark")
    quiet(b, page)


def two_runs(b, page, pictures):
    b.size(1280, 900)
    b.open(page)
    kinds = b.do("earmark.timeline.layoutRows.map(row => row.kind + (row.run ?? ''))")
    need({"frames0", "frames1", "events0", "events1"} <= set(kinds), f"two runs are not both shown: {kinds}")
    need(b.do("document.querySelectorAll('#short .cards').length") == 2, "not both runs have a short summary")
    at = b.do("earmark.data.runs[1].frames.at[5]")
    x, y = b.do(f"""(() => {{ const l = earmark.timeline, box = l.rows.getBoundingClientRect(), row = l.layoutRows.find(r => r.kind === 'frames' && r.run === 1);
        return [box.left + l.x({at}), box.top + row.y + row.height - 4]; }})()""")
    b.do(f"scrollTo(0, {y} - 400)")
    x, y = b.do(f"""(() => {{ const l = earmark.timeline, box = l.rows.getBoundingClientRect(), row = l.layoutRows.find(r => r.kind === 'frames' && r.run === 1);
        return [box.left + l.x({at}), box.top + row.y + row.height - 4]; }})()""")
    b.click(x, y)
    need(b.do("earmark.timeline.selected?.run") == 1, "a picture of the second run cannot be chosen")
    b.do("scrollTo(0, 0)")
    b.picture(pictures, "compare")
    quiet(b, page)


def narrow(b, page, pictures):
    b.size(390, 800, mobile=True)
    b.open(page)
    need(b.do("document.documentElement.scrollWidth") <= 390, f"a narrow page is {b.do('document.documentElement.scrollWidth')} px wide")
    need(b.do("earmark.timeline.gutter") == 0 and b.do("earmark.timeline.plot") > 300, "a narrow timeline wastes its width")
    b.press("[data-do='next']")
    need(b.do(SELECTED) is not None, "the buttons do not work on a narrow screen")
    b.do("scrollTo(0, 0)")
    b.picture(pictures, "narrow", whole=True)
    quiet(b, page)


def hostile(b, page):
    b.size(1280, 900)
    b.open(page)
    b.key("n")
    b.settle()
    need(b.do("window.pwned") is None, "markup in a label ran")
    need(b.do("document.querySelectorAll('img[src=x]').length") == 0, "markup in a label became an element")
    need(HOSTILE[:60] in b.do("document.getElementById('details').innerText"), "a hostile label is not shown as it is")
    need(b.do("document.title").startswith(HOSTILE[:20]), "a hostile name is not shown as it is")
    need(b.do("document.querySelectorAll('script').length") == 2, "there are scripts that are not ours")
    quiet(b, page)


def eight_hours(b, page, about):
    need(about["bytes"] <= 15_000_000, f"the page of eight hours has {about['bytes']} bytes")
    b.size(1280, 900)
    b.open(page)
    ready = b.do("performance.getEntriesByType('paint').find(p => p.name === 'first-contentful-paint')?.startTime ?? performance.now()")
    drawn = b.do("performance.timing.loadEventEnd - performance.timing.navigationStart")
    need(b.do("earmark.data.runs[0].frames.n") == 30_000 and b.do("earmark.data.sound.levels[0].n") == 360_000, "rows are missing")
    rates = {}
    for span in (28_800, 600, 20):
        rates[span] = b.do(f"""(async () => {{ const l = earmark.timeline; l.show(8000, 8000 + {span}); const frame = () => new Promise(requestAnimationFrame);
            await frame(); await frame(); const begun = performance.now(), drawn = l.drawn;
            for (let k = 0; k < 90; k++) {{ if ({span} < 28000) l.pan(0.02); else l.zoom(k % 2 ? 1.02 : 1 / 1.02); await frame(); }}
            return (l.drawn - drawn) / (performance.now() - begun) * 1000; }})()""")
    b.press("[data-do='all']")
    for _ in range(3):
        b.key("n")
    need(b.do(SELECTED) is not None, "steps do not work in a long recording")
    quiet(b, page)
    print(f"  eight hours: {about['bytes'] / 1e6:.1f} MB, first paint {ready:.0f} ms, loaded {drawn:.0f} ms, frames a second at "
          + ", ".join(f"{span} s {rate:.0f}" for span, rate in rates.items()))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("earmark", "folder", "run", "other", "video", "labels"):
        p.add_argument(name, type=pathlib.Path)
    p.add_argument("--pictures", type=pathlib.Path)
    a = p.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        print("skipped: there is no chromium (on Debian: apt-get install chromium)")
        sys.exit(77)
    with h5py.File(a.run) as f:
        rows = len(f["frames/pts_ns"])
    one = a.folder / "one.html"
    report(a.earmark, a.run, "--video", a.video, "--labels", a.labels, "--output", one)
    two = a.folder / "two.html"
    report(a.earmark, a.run, "--compare", a.other, "--video", a.video, "--labels", a.labels, "--output", two)
    bad = a.folder / f"{HOSTILE.replace('/', '_')}.h5"
    made_up(bad, 60, 40, 8, label=lambda k: HOSTILE, video_id=HOSTILE, warnings=[HOSTILE])
    bad_page = a.folder / "hostile.html"
    report(a.earmark, bad, "--output", bad_page)
    long = a.folder / "long.h5"
    onsets = made_up(long, 8 * 3600, 30_000, 9000)
    with open(a.folder / "long.csv", "w", newline="") as out:
        w = csv.writer(out)
        w.writerow(["start_s", "stop_s", "class"])
        for k, onset in enumerate(onsets[::2]):
            w.writerow([f"{onset + (k % 5 == 0) * 1.3:.3f}", f"{onset + 2 + k % 3:.3f}", f"kind {k % 25}"])
    begun = time.monotonic()
    about = report(a.earmark, long, "--labels", a.folder / "long.csv", "--output", a.folder / "long.html")
    print(f"  the page of eight hours was made in {time.monotonic() - begun:.1f} s")
    with tempfile.TemporaryDirectory() as profile:
        b = Browser(chromium, profile)
        try:
            one_run(b, one, a.pictures, rows)
            two_runs(b, two, a.pictures)
            narrow(b, one, a.pictures)
            hostile(b, bad_page)
            eight_hours(b, a.folder / "long.html", about)
        finally:
            b.close()
    print("  reports: zoom, hover, click, steps, jumps, themes, two runs, a narrow screen, hostile names, eight hours")


if __name__ == "__main__":
    main()
