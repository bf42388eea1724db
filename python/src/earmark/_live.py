"""Files that are still being written.

A run writes `NAME.h5.partial` and renames it when it is whole. It flushes at least every `flush_s` seconds (10). HDF5 would read such a file half
before and half after a flush, so it is copied while nothing is written to it, and the copy is read. A file whose writer speaks HDF5's own
single-writer multiple-reader protocol (SWMR) is read in place.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time

import h5py

from . import _seal
from ._attributes import raw
from ._errors import DamagedFileError, EarmarkError, ForeignFileError, IncompleteFileError
from ._store import Opened, Source, consistent, known, why_unsealed, open_file, open_unsealed, own

PARTIAL = ".partial"
# A file is copied after so long without a write; tries so often, and waits so long each time.
QUIET_NS = 30_000_000
TRIES = 60
WAIT_S = 0.05
# How often to copy again if the tables of a copy end at different rows.
COPIES = 5


def names(path: str) -> tuple[str, str]:
    """The final name of a file, and its name until then."""
    target = path.removesuffix(PARTIAL)
    return target, target + PARTIAL


def is_held(path: str) -> bool:
    """Whether a run is writing this file right now, as far as locks can tell."""
    try:
        import fcntl
    except ImportError:  # no such locks on Windows
        return True
    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(file, fcntl.LOCK_UN)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def is_swmr(path: str) -> bool:
    """Whether a file's superblock says that it is being written for readers (SWMR)."""
    with open(path, "rb") as file:
        head = file.read(12)
    # Version 3 is the first with the flags; bit 2 is "single writer, multiple readers".
    return head[:8] == _seal.SIGNATURE and len(head) == 12 and head[8] >= 3 and bool(head[11] & 4)


def open_live(path: str, recording: str | None) -> Opened:
    """Opens a file, finished or still being written."""
    target, partial = names(path)
    for _ in range(TRIES):
        try:
            if os.path.exists(target) and is_swmr(target):
                return in_place(target)
            # If both exist, a live run's file is newer, and a dead run's is older.
            if os.path.exists(partial) and (not os.path.exists(target) or is_held(partial)):
                return in_place(partial) if is_swmr(partial) else copied(partial, recording)
            return open_file(target, allow_incomplete=True, recording=recording)
        except FileNotFoundError:
            # Renamed in between.
            if not (os.path.exists(target) or os.path.exists(partial)):
                raise
            time.sleep(WAIT_S)
    raise IncompleteFileError(path, "it keeps appearing and disappearing; is another program moving it?")


def in_place(path: str) -> Opened:
    """Opens a file whose writer uses SWMR."""
    try:
        file = h5py.File(path, "r", locking=False, swmr=True)
    except (OSError, RuntimeError) as error:
        raise DamagedFileError(path, f"HDF5 cannot open it: {error}") from error
    try:
        schema = str(raw(file, "schema"))
        known(path, schema)
        own(path, file)
        opened = Opened(file, file, schema, False, is_live=True, is_swmr=True)
        grown(path, opened)
        return opened
    except (KeyError, ValueError) as error:
        file.close()
        raise IncompleteFileError(path, f"its attributes are not written yet: {error}") from error
    except BaseException:
        file.close()
        raise


def grown(path: str, opened: Opened) -> None:
    """Updates how many rows each table has, for a file that is read in place."""
    rows = {}
    for table, group in opened.root.items():
        if not isinstance(group, h5py.Group):
            continue
        heights = []
        items = list(group.values())
        inner = [item for nested in items if isinstance(nested, h5py.Group) for item in nested.values()]
        for dataset in [*items, *inner]:
            if isinstance(dataset, h5py.Dataset):
                dataset.id.refresh()
                heights.append(int(dataset.shape[0]))
        if heights:
            rows[table] = min(heights)
    opened.rows = rows
    consistent(path, opened)


def is_unchanged(opened: Opened) -> bool:
    """Whether the original of this copy is unchanged and its run still alive."""
    source = opened.source
    if source is None or not is_held(source.path):
        return False
    try:
        now = os.stat(source.path)
    except FileNotFoundError:
        return False
    return source == Source(source.path, now.st_ino, now.st_size, now.st_mtime_ns)


def copied(path: str, recording: str | None) -> Opened:
    """Opens a copy of the rows written so far."""
    for attempt in range(COPIES):
        copy, source = snapshot(path)
        try:
            if why_unsealed(copy) is None:
                # A run that ended early, but could still close its file.
                opened = open_file(copy, allow_incomplete=True, recording=recording)
            else:
                held = is_held(path)
                opened = open_unsealed(path, copy, "it is still being written" if held else "its run did not end", recording)
                opened.is_live = held
        except EarmarkError as error:
            # A run makes its file some time before it writes to it.
            empty = isinstance(error, ForeignFileError) and os.path.getsize(copy) == 0 and is_held(path)
            if attempt + 1 == COPIES or not (empty or isinstance(error, DamagedFileError)):
                # Name the original: users don't know the copy.
                kind = IncompleteFileError if empty else type(error)
                raise kind(path, "nothing has been written to it yet" if empty else error.problem) from None
            time.sleep(WAIT_S)
            continue
        finally:
            # Open files stay readable after removal.
            os.unlink(copy)
        # A file with this name is never complete.
        opened.is_complete = False
        opened.source = source
        return opened
    raise AssertionError("unreachable")


def snapshot(path: str) -> tuple[str, Source]:
    """A copy of a file, and its original; made between two writes if possible; the caller removes it."""
    handle, copy = tempfile.mkstemp(prefix="earmark-", suffix=".h5")
    try:
        with os.fdopen(handle, "wb") as to:
            for attempt in range(TRIES):
                with open(path, "rb") as file:
                    before = os.fstat(file.fileno())
                    last = attempt + 1 == TRIES
                    if not last and 0 <= time.time_ns() - before.st_mtime_ns < QUIET_NS:
                        time.sleep(WAIT_S)
                        continue
                    to.seek(0)
                    to.truncate()
                    shutil.copyfileobj(file, to, 1 << 20)
                    to.flush()
                    after = os.fstat(file.fileno())
                if last or (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size):
                    break
    except BaseException:
        os.unlink(copy)
        raise
    return copy, Source(path, before.st_ino, before.st_size, before.st_mtime_ns)
