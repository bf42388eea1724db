#!/usr/bin/env python3
"""Kills runs at random moments and checks that nothing finished is damaged and nothing unfinished is taken for finished.

    kill_test.py --earmark BIN --pipeline PIPELINE.yaml --recordings FOLDER --folder WORK [--runs 200] [--seed 1] [--single 0.25]

First every recording is done without being disturbed. Then a batch (or, in a share SINGLE of the runs, `earmark run`) is started on the
same folder and SIGKILL is sent after a random time: to the master, to a worker, or to all of them; so long until RUNS of them were
killed. (What ended before does not count, and the next one is waited for less long.) After each run every file that bears a final
name must be complete and equal, bit by bit, to the undisturbed one, and must not have changed if it was there before; when all are
there, the folder is emptied. At the end a last batch goes undisturbed to its end, and every table of every file must be that of the
undisturbed one. Prints what it counted; any failure ends it with a message and status 1.
Needs h5py and numpy.
"""
import argparse, hashlib, json, os, pathlib, random, signal, subprocess, sys, time
import h5py
import numpy as np


def fail(text):
    sys.exit(f"kill_test: {text}")


def tables(path):
    """A hash of every table of a file, and whether it says that it is complete."""
    digest = hashlib.sha256()
    with h5py.File(path, "r") as f:
        for group in ("frames", "anchors", "cues"):
            datasets = []
            f[group].visititems(lambda name, d: datasets.append((name, d)) if isinstance(d, h5py.Dataset) else None)
            for name, dataset in sorted(datasets, key=lambda item: item[0]):
                data = dataset[:]
                digest.update(name.encode())
                digest.update(repr(data.tolist()).encode() if data.dtype == object else np.ascontiguousarray(data).tobytes())
        return digest.hexdigest(), bool(f.attrs["complete"])


def processes_below(pid):
    """The workers of a master."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError, ValueError):
                continue
            if parent == pid:
                found.append(int(entry.name))
    return found


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("earmark", "pipeline", "recordings", "folder"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--single", type=float, default=.25)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    work = pathlib.Path(args.folder)
    out, reference = work / "out", work / "reference"
    recordings = sorted(p for p in pathlib.Path(args.recordings).iterdir() if p.is_file())

    def batch(folder, *more):
        return [args.earmark, "batch", args.pipeline, args.recordings, "--output", str(folder), "--quiet", "--attempts", "3", *more]

    begun = time.monotonic()
    if subprocess.run(batch(reference), stdout=subprocess.DEVNULL).returncode:
        fail("the undisturbed batch failed")
    usual = time.monotonic() - begun
    wanted = {p.name: tables(p)[0] for p in reference.glob("*.h5")}
    if set(wanted) != {f"{p.stem}.h5" for p in recordings}:
        fail(f"the undisturbed batch made {sorted(wanted)}")

    counts = {"master": 0, "worker": 0, "all": 0, "single": 0, "came too late": 0, "emptied": 0}
    out.mkdir(parents=True, exist_ok=True)
    seen = {}
    # How long each kind of run takes at most, as far as is known.
    patience = {True: usual / len(recordings), False: usual}
    number = killed = 0
    while killed < args.runs:
        number += 1
        if number > 20 * args.runs:
            fail(f"only {killed} of {number} runs could be killed before they ended")
        single = rng.random() < args.single
        if single:
            recording = rng.choice(recordings)
            command = [args.earmark, "run", args.pipeline, "--input", str(recording), "--output", str(out / f"{recording.stem}.h5"), "--quiet", "--overwrite"]
            victim = "single"
        else:
            command = batch(out, "--jobs", str(rng.choice((1, 2))))
            victim = rng.choice(("master", "worker", "all"))
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        time.sleep(rng.uniform(0, .9 * patience[single]))
        workers = processes_below(run.pid)
        late = run.poll() is not None
        patience[single] *= .8 if late else 1.1
        if late:
            counts["came too late"] += 1
        elif victim == "worker" and workers:
            # The master goes on; it must come to its end by itself, with every recording done.
            kill(rng.choice(workers))
            if run.wait(timeout=300):
                fail(f"run {number}: a killed worker took the batch with it")
        else:
            kill(run.pid)
            for worker in workers if victim == "all" else []:
                kill(worker)
        run.wait(timeout=60)
        if not late:
            counts[victim] += 1
            killed += 1

        for path in out.iterdir():
            if path.name.endswith(".h5"):
                try:
                    have, complete = tables(path)
                except OSError as e:
                    fail(f"run {number} ({victim}): {path.name} cannot be read: {e}")
                if not complete:
                    fail(f"run {number} ({victim}): {path.name} bears its final name and is not complete")
                if have != wanted[path.name]:
                    fail(f"run {number} ({victim}): {path.name} says it is complete and differs from the undisturbed one")
                seen[path.name] = True
            elif not (path.name.endswith(".h5.partial") or path.name.startswith("status.")):
                fail(f"run {number} ({victim}): {path.name} was left behind")
        gone = [name for name in seen if not (out / name).exists()]
        if gone:
            fail(f"run {number} ({victim}): {gone} were finished and are gone")
        if len(seen) == len(wanted):
            counts["emptied"] += 1
            seen = {}
            time.sleep(.5)
            for path in out.iterdir():
                if path.name.endswith(".h5"):
                    path.unlink()

    last = subprocess.run(batch(out, "--json"), stdout=subprocess.PIPE, text=True)
    if last.returncode:
        fail(f"the last batch failed: {last.stdout}")
    for name, hash_ in wanted.items():
        if tables(out / name) != (hash_, True):
            fail(f"{name} differs from the undisturbed one")
    left = [p.name for p in out.iterdir() if p.name.endswith(".partial")]
    if left:
        fail(f"{left} were left behind by the last batch")
    print(json.dumps({"runs": number, "killed": killed, "kills": counts, "damaged": 0, "taken_for_complete": 0, "files_compared": len(wanted)}))


if __name__ == "__main__":
    main()
