"""Opens feature files: checks the seal, or lets a child process read files without one."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from . import _seal
from ._attributes import raw
from ._errors import DamagedFileError, ForeignFileError, IncompleteFileError

SCHEMA = "earmark/2"
# The old schema: text of variable length, no checksums, no seal.
OLD_SCHEMA = "earmark/1"
# A file of many recordings, each a group.
MERGED = "earmark-merged/2"
# Depth of the deepest name below a recording: `frames/quality/score`.
DEEPEST = 3

# Limits of the process that reads unsealed files: seconds of CPU time, bytes of the file that give it one more second, memory, and how many
# times longer it may take on a busy machine.
LEAST_SECONDS = 10
BYTES_A_SECOND = 2 << 20
MOST_MEMORY = 4 << 30
BUSY = 20

# Findings about finished files of the old schema, by file identity, so that repeated opening is cheap.
KNOWN: dict[tuple[int, int, int, int], dict[str, Any]] = {}
MOST_KNOWN = 4096


class Source(NamedTuple):
    """Identifies the version of a file that was copied."""

    path: str
    inode: int
    size: int
    mtime_ns: int


@dataclass
class Opened:
    """A file that can be read in this process."""

    file: Any
    # The group of the recording: the file itself, or a group in a file of many.
    root: Any
    schema: str
    is_complete: bool
    because: str | None = None
    # Whether more may come.
    is_live: bool = False
    # Readable rows of each table; None: all.
    rows: dict[str, int] | None = None
    # Datasets that may crash or hang HDF5.
    skipped: frozenset[str] = frozenset()
    is_swmr: bool = False
    # The original, if it is a copy.
    source: Source | None = None
    pid: int = field(default_factory=os.getpid)

    def close(self) -> None:
        # HDF5 belongs to the process that opened the file.
        if self.pid == os.getpid():
            self.file.close()

    def columns(self, table: str) -> list[str]:
        """Names of a table's columns; those of a group inside it with that group's name: `quality/score`."""
        group = self.root.get(table)
        if not isinstance(group, h5py.Group):
            return []
        there: list[str] = []
        for name, item in group.items():
            if isinstance(item, h5py.Group):
                there += [f"{name}/{column}" for column, inner in item.items() if inner is None or isinstance(inner, h5py.Dataset)]
            elif item is None or isinstance(item, h5py.Dataset):
                there.append(name)
        return [name for name in there if f"{table}/{name}" not in self.skipped]

    def dataset(self, path: str, name: str) -> Any:
        """An h5py dataset."""
        try:
            found = self.root[name]
        except KeyError as error:
            raise DamagedFileError(path, f"/{name} is missing or cannot be opened: {error.args[0]}") from None
        if not isinstance(found, h5py.Dataset) or not found.shape:
            raise DamagedFileError(path, f"/{name} is not a dataset of rows")
        return found

    def height(self, path: str, name: str) -> int:
        """Number of readable rows of a dataset."""
        have = int(self.dataset(path, name).shape[0])
        if self.rows is None:
            return have
        return min(have, self.rows.get(name.split("/")[0], have))

    def read(self, path: str, name: str, rows: slice | None = None) -> NDArray[Any]:
        """Rows of a dataset, unconverted."""
        dataset = self.dataset(path, name)
        if rows is None:
            rows = slice(0, self.height(path, name))
        try:
            return np.asarray(dataset[rows])
        except (OSError, RuntimeError) as error:
            raise DamagedFileError(path, f"/{name} cannot be read: {error}") from error


def open_file(path: str, allow_incomplete: bool, recording: str | None) -> Opened:
    """Opens a finished file, or an unfinished one if that is allowed."""
    unsealed = why_unsealed(path)
    if unsealed is None:
        opened = open_sealed(path, recording)
    else:
        opened = open_unsealed(path, path, unsealed, recording)
    if not opened.is_complete and not allow_incomplete:
        opened.close()
        raise IncompleteFileError(path, unfinished(opened.because))
    return opened


def unfinished(because: str | None) -> str:
    return (
        f"it is not complete: {because or 'the run that wrote it did not end'}; pass allow_incomplete=True to read its rows, or "
        "live=True if the run goes on"
    )


def why_unsealed(path: str) -> str | None:
    """Checks a file without HDF5: returns why it has no seal, None if it has one; a broken seal is an error."""
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, "it is a folder; earmark.Folder reads those", path)
    try:
        with open(path, "rb") as file:
            first = file.read(len(_seal.SIGNATURE))
            if first != _seal.SIGNATURE:
                raise ForeignFileError(path, "it is not an HDF5 file: empty, cut off at its start, or something else")
            problem = _seal.broken(file)
            if problem == _seal.DIFFERS:
                raise DamagedFileError(path, problem)
            return problem
    except FileNotFoundError:
        if os.path.exists(f"{path}.partial"):
            raise IncompleteFileError(
                path, f"there is only {path}.partial: the run is still writing, or did not end; pass live=True to read the rows so far"
            ) from None
        raise


def hdf5(name: str) -> Any:
    """An h5py file. Readers need no lock, and Earmark's writer has its own."""
    try:
        return h5py.File(name, "r", locking=False)
    except OSError as error:
        # HDF5 wants all handles of a process to agree: this process has it open by h5py's own rules.
        if "locking flag" not in str(error):
            raise
        return h5py.File(name, "r")


def open_sealed(path: str, recording: str | None) -> Opened:
    try:
        file = hdf5(path)
    except (OSError, RuntimeError) as error:
        raise ForeignFileError(path, f"HDF5 cannot open it: {error}") from error
    try:
        schema = str(raw(file, "schema"))
        root = root_of(path, file, schema, recording)
        # In a file of many recordings, the recording's own.
        complete = raw(root, "complete") is True and raw(file, "complete") is True
        because = str(raw(root, "incomplete_because")) if "incomplete_because" in root.attrs else None
        return Opened(file, root, schema, complete, because)
    except (KeyError, ValueError) as error:
        file.close()
        raise ForeignFileError(path, f"it has no attribute `schema` or `complete`: {error}") from error
    except BaseException:
        file.close()
        raise


def own(path: str, group: Any, below: str = "", depth: int = 1) -> None:
    """Refuses a file with parts elsewhere: it could make this process read files that nobody meant to share."""
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise DamagedFileError(path, f"/{below}{name} links to another file or name, which feature files never do")
        item = group.get(name)
        if isinstance(item, h5py.Dataset) and (item.is_virtual or item.external):
            raise DamagedFileError(path, f"/{below}{name} lies in another file, which feature files never do")
        if isinstance(item, h5py.Group) and depth < DEEPEST:
            own(path, item, f"{below}{name}/", depth + 1)


def root_of(path: str, file: Any, schema: str, recording: str | None) -> Any:
    """The group of the requested recording."""
    known(path, schema)
    if schema != MERGED:
        if recording is not None and recording != file.attrs.get("video_id", b"").decode():
            raise ForeignFileError(path, f"it has one recording, which is not {recording!r}")
        own(path, file)
        return file
    names = sorted(file)
    listed = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    if recording is None:
        raise ForeignFileError(path, f"it has many recordings; choose one with recording=: {listed}")
    if recording not in names:
        raise ForeignFileError(path, f"it has no recording {recording!r}, only {listed}")
    if not isinstance(file.get(recording, getlink=True), h5py.HardLink) or not isinstance(file[recording], h5py.Group):
        raise DamagedFileError(path, f"/{recording} is not a recording's group")
    own(path, file[recording], f"{recording}/")
    return file[recording]


def known(path: str, schema: str | None) -> None:
    if schema is None:
        raise ForeignFileError(path, "it has no attribute `schema`: another program's HDF5 file?")
    if schema not in (SCHEMA, OLD_SCHEMA, MERGED):
        raise ForeignFileError(
            path, f"its schema is {schema!r}; this version knows {OLD_SCHEMA}, {SCHEMA} and {MERGED}: is there a newer `earmark`?"
        )


def open_unsealed(path: str, name: str, seal: str, recording: str | None) -> Opened:
    """Opens a file, or the copy `name` of it, after a child process has read all of it."""
    found = asked(path, name)
    if "problem" in found:
        raise DamagedFileError(path, f"{seal}; {found['problem']}")
    schema, complete = found["schema"], bool(found["complete"])
    known(path, schema)
    if complete and schema != OLD_SCHEMA:
        raise DamagedFileError(path, f"{seal}; `earmark verify` lists what was changed")
    if complete and found["short"]:
        raise DamagedFileError(path, f"/{found['short'][0]} cannot be read in full")
    try:
        file = hdf5(name)
    except (OSError, RuntimeError):
        # Its writer never closed it.
        file = h5py.File(name, "r", locking=False, swmr=True)
    rows = None if complete else found["rows"]
    opened = Opened(file, file, schema, complete, found["because"], rows=rows, skipped=frozenset(found["skipped"]))
    try:
        root_of(path, file, schema, recording)
        consistent(path, opened)
    except BaseException:
        file.close()
        raise
    return opened


def consistent(path: str, opened: Opened) -> None:
    """Leaves out frames whose anchors are not written yet."""
    rows = opened.rows
    if rows is None or "frames" not in rows:
        return
    anchor = opened.read(path, "frames/anchor", slice(0, rows["frames"]))
    ahead = np.flatnonzero(anchor >= rows.get("anchors", 0))
    if ahead.size:
        rows["frames"] = int(ahead[0])


def asked(path: str, name: str) -> dict[str, Any]:
    """The findings of the child process about a file, cached while the file is unchanged."""
    about = os.stat(name)
    own = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)
    found = KNOWN.get(own)
    if found is None:
        found = ask(path, name)
        if found.get("complete"):
            if len(KNOWN) >= MOST_KNOWN:
                KNOWN.clear()
            KNOWN[own] = found
    return found


def ask(path: str, name: str) -> dict[str, Any]:
    """Runs the child process and returns its findings."""
    if not sys.executable:
        raise ForeignFileError(path, "it is not sealed, and no Python was found to read it in another process (sys.executable is empty)")
    seconds = LEAST_SECONDS + os.stat(name).st_size // BYTES_A_SECOND
    command = [sys.executable, str(Path(__file__).with_name("_child.py")), name, str(seconds), str(MOST_MEMORY)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        run = subprocess.run(
            command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=seconds * BUSY
        )
    except subprocess.TimeoutExpired:
        return {"problem": f"HDF5 did not finish reading it within {seconds * BUSY} s"}
    if run.returncode != 0:
        return {"problem": "HDF5 crashed or ran out of time or memory on it"}
    try:
        found: dict[str, Any] = json.loads(run.stdout)
    except ValueError:
        return {"problem": "the process that reads it said nothing"}
    return found
