"""Files that are read while they are written: by our command's way of writing, and by SWMR."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

import earmark
import make

HERE = str(Path(__file__).resolve().parent)

# Writes rows as they are asked for: a number of frames is read from stdin, and answered when they are in the file.
WRITER = """
import sys
sys.path.insert(0, {here!r})
import fcntl, os, pathlib
import h5py, make
path, swmr = {path!r}, {swmr!r}
data = make.columns(400, 6)
file = h5py.File(path, "w", libver="latest" if swmr else "earliest", locking=False)
if not swmr:
    lock = open(path, "rb")
    fcntl.flock(lock, fcntl.LOCK_EX)
make.begin(file, data)
file.flush()
if swmr:
    file.swmr_mode = True
print("ready", flush=True)
at = 0
for line in sys.stdin:
    if line.strip() == "close":
        break
    until = at + int(line)
    anchors = lambda row: int((data["frames/anchor"][:row]).max(initial=-1)) + 1
    stop = data["frames/thumbnail_stop"]
    for name in sorted(data, key=lambda name: (name.startswith("frames"), name)):
        if name.startswith("anchors"):
            rows = slice(anchors(at), anchors(until))
        elif name == "thumbnails/jpeg":
            rows = slice(int(stop[at - 1]) if at else 0, int(stop[until - 1]))
        else:
            rows = slice(at, until)
        make.append(file, name, data[name][rows])
    file.flush()
    at = until
    print(at, flush=True)
if swmr:
    # SWMR does not cover new attributes.
    file.close()
    file = h5py.File(path, "r+", locking=False)
rows = {{name: (values[:at] if name.startswith("frames") else values) for name, values in data.items()}}
make.close(file, rows, True, video_id="live")
file.close()
make.seal(pathlib.Path(path))
os.rename(path, path.removesuffix(".partial"))
print("closed", flush=True)
"""


class Writer:
    """A process that writes a file."""

    def __init__(self, path: Path, swmr: bool) -> None:
        code = WRITER.format(here=HERE, path=str(path), swmr=swmr)
        self.process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        assert self.answer() == "ready"

    def answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def say(self, what: object) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        return self.answer()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


def holds(recording: earmark.Recording, rows: int) -> None:
    """The file holds these frames, as they were written."""
    wanted = make.columns(400, 6)
    assert len(recording) == rows
    for name in ("pts_ns", "tokens", "anchor", "planned_ns"):
        np.testing.assert_array_equal(recording.frames[name], wanted[f"frames/{name}"][:rows])
    np.testing.assert_array_equal(recording.features[:], wanted["frames/features"][:rows])
    anchors = int((recording.frames["anchor"] >= 0).sum())
    assert recording.anchors.label.tolist() == [f"Käse {k}" for k in range(anchors)]


@pytest.mark.parametrize("named", ["P01.h5", "P01.h5.partial"])
def test_a_file_that_is_being_written_is_read_so_far(tmp_path: Path, named: str) -> None:
    partial = tmp_path / "P01.h5.partial"
    with Writer(partial, swmr=False) as writer:
        with earmark.open(tmp_path / named, live=True) as recording:
            holds(recording, 0)
            assert recording.is_live and not recording.is_complete and recording.video_id == "P01" and recording.refresh() == 0
            for rows in (10, 70, 100, 333):
                before = len(recording)
                writer.say(rows - before)
                assert recording.refresh() == rows - before
                holds(recording, rows)
            assert "being written" in repr(recording)
            grid = recording.grid(0.5)
            assert grid.valid.any()
            assert writer.say("close") == "closed"
            assert recording.refresh() == 0
            holds(recording, 333)
            assert recording.is_complete and not recording.is_live and recording.video_id == "live"
            assert recording.refresh() == 0
    assert not partial.exists()


def test_nothing_is_copied_while_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from earmark import _live

    copies = []
    snapshot = _live.snapshot
    # Copies are gone as soon as they are open.
    spare = tmp_path / "spare"
    spare.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(spare))
    monkeypatch.setattr(_live, "snapshot", lambda path: copies.append(path) or snapshot(path))
    with Writer(tmp_path / "P01.h5.partial", swmr=False) as writer, earmark.open(tmp_path / "P01.h5", live=True) as recording:
        assert [recording.refresh() for _ in range(3)] == [0, 0, 0] and len(copies) == 1
        writer.say(30)
        assert recording.refresh() == 30 and len(copies) == 2
        holds(recording, 30)
    assert list(spare.iterdir()) == []


def test_a_run_that_was_killed_is_no_longer_live(tmp_path: Path) -> None:
    with Writer(tmp_path / "P01.h5.partial", swmr=False) as writer:
        writer.say(80)
        recording = earmark.open(tmp_path / "P01.h5", live=True)
    holds(recording, 80)
    assert recording.is_live
    assert recording.refresh() == 0
    assert not recording.is_live and not recording.is_complete
    holds(recording, 80)


def test_a_file_of_a_writer_that_speaks_swmr_is_read_in_place(tmp_path: Path) -> None:
    path = tmp_path / "P01.h5"
    with Writer(path, swmr=True) as writer:
        with earmark.open(path, live=True) as recording:
            assert recording.is_live and not recording.is_complete
            holds(recording, 0)
            for rows in (10, 70, 100, 333):
                before = len(recording)
                writer.say(rows - before)
                assert recording.refresh() == rows - before
                holds(recording, rows)
            # What was read in place is not a copy.
            assert recording._opened().is_swmr
            assert writer.say("close") == "closed"
            recording.refresh()
            holds(recording, 333)
            assert recording.is_complete and not recording.is_live and recording.video_id == "live"


def test_a_finished_file_may_be_opened_live(made: Path) -> None:
    recording = earmark.open(made, live=True)
    assert recording.is_complete and not recording.is_live and recording.refresh() == 0


def test_what_an_old_run_left_does_not_hide_a_finished_file(made: Path) -> None:
    stale = Path(f"{made}.partial")
    stale.write_bytes(b"left behind")
    assert earmark.open(made, live=True).is_complete
    # One that is being written is newer.
    with stale.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(earmark.EarmarkError, match=r"P01.h5.partial: it is not an HDF5 file"):
            earmark.open(made, live=True)


def test_a_file_to_which_nothing_is_written_yet_says_so(tmp_path: Path) -> None:
    partial = tmp_path / "P01.h5.partial"
    partial.touch()
    with partial.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(earmark.IncompleteFileError, match="P01.h5.partial: nothing has been written to it yet"):
            earmark.open(tmp_path / "P01.h5", live=True)
    with pytest.raises(earmark.ForeignFileError, match="P01.h5.partial: it is not an HDF5 file: empty"):
        earmark.open(tmp_path / "P01.h5", live=True)


def test_what_is_not_there_yet_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        earmark.open(tmp_path / "P01.h5", live=True)


def test_only_live_files_are_refreshed(made: Path) -> None:
    with pytest.raises(ValueError, match="not opened with live=True"):
        earmark.open(made).refresh()


def test_our_command_is_followed_to_its_end(command: Path, kitchen: Path, tmp_path: Path) -> None:
    from conftest import ROOT

    output, pipeline = tmp_path / "kitchen.h5", tmp_path / "often.yaml"
    # It brings what it has to the disk as often as it can.
    text = (ROOT / "pipelines/grid.yaml").read_text()
    pipeline.write_text(re.sub(r"flush_s: \d+", "flush_s: 1", text))
    assert "flush_s: 1 " in pipeline.read_text()
    env = {"EARMARK_MODELS": str(ROOT / "models"), **os.environ, "GST_REGISTRY": str(tmp_path / "registry.bin")}
    run = subprocess.Popen(
        [command, "run", pipeline, "--input", ROOT / "fixtures/kitchen.mp4", "--output", output, "--quiet"],
        env=env,
        stderr=subprocess.PIPE,
    )
    recording, seen = None, [0]
    try:
        while run.poll() is None:
            try:
                if recording is None:
                    recording = earmark.open(output, live=True)
                else:
                    recording.refresh()
            except (FileNotFoundError, earmark.IncompleteFileError):
                time.sleep(0.02)
                continue
            if len(recording) != seen[-1]:
                seen.append(len(recording))
    finally:
        run.kill()
        _, said = run.communicate()
    assert run.returncode == 0, said
    recording = recording or earmark.open(output, live=True)
    recording.refresh()
    assert recording.is_complete and not recording.is_live and seen == sorted(seen) and len(recording) >= seen[-1]
    recording.verify()
