"""Reads a file that may crash HDF5, in its own process: `python _child.py NAME SECONDS BYTES` prints its findings as JSON.

Such files have no seal: those of schema `earmark/1`, those whose run was killed or is still writing, damaged ones. Every chunk of every dataset
is read, so that reading the rows found here is safe afterwards. This file imports nothing of the package.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def limit(seconds: int, most: int) -> None:
    """Limits CPU time and memory, and writes no core file."""
    try:
        import resource
    except ImportError:  # no such limits on Windows; the parent's clock stays
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def text(value: Any) -> str:
    return bytes(value).decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def readable(dataset: Any) -> int:
    """Number of rows from the start whose chunks all exist and can be read."""
    rows = int(dataset.shape[0])
    chunk = int(dataset.chunks[0]) if dataset.chunks else max(rows, 1)
    if dataset.chunks:
        # A chunk that was never written reads as zeros.
        rows = min(rows, dataset.id.get_num_chunks() * chunk)
    for at in range(0, rows, chunk):
        try:
            dataset[at : min(at + chunk, rows)]
        except (OSError, RuntimeError):
            return at
    return rows


def own(group: Any, name: str) -> Any:
    """The content of a group, if it lies in this file."""
    import h5py

    item = group[name] if isinstance(group.get(name, getlink=True), h5py.HardLink) else None
    if item is None or isinstance(item, h5py.Dataset) and (item.is_virtual or item.external):
        raise ValueError(f"{group.name.rstrip('/')}/{name} lies in another file, which feature files never do")
    return item


def read_attributes(of: Any) -> None:
    """Reads every attribute; an unreadable one counts as damage."""
    for name in of.attrs:
        of.attrs[name]


def columns(group: Any) -> list[str]:
    """Names of a table's datasets, and of those in groups inside it: `quality/score`."""
    import h5py

    found: list[str] = []
    for name in group:
        item = own(group, name)
        found += [f"{name}/{column}" for column in item] if isinstance(item, h5py.Group) else [name]
    return found


def contents(file: Any) -> dict[str, Any]:
    import h5py

    schema = text(file.attrs["schema"]) if "schema" in file.attrs else None
    complete = bool(file.attrs["complete"]) if "complete" in file.attrs else False
    because = text(file.attrs["incomplete_because"]) if "incomplete_because" in file.attrs else None
    read_attributes(file)
    rows: dict[str, int] = {}
    short: list[str] = []
    skipped: list[str] = []
    # By name: `items` hides what cannot be opened.
    for name in file:
        group = own(file, name)
        if name == "texts" or not isinstance(group, h5py.Group):
            continue
        counts = {}
        for column in columns(group):
            dataset = own(group, column)
            if not isinstance(dataset, h5py.Dataset) or not dataset.shape:
                continue
            read_attributes(dataset)
            # In an unfinished file, HDF5 can search for a text of variable length for ever: its heap may be incomplete.
            if dataset.dtype.hasobject and not complete:
                skipped.append(f"{name}/{column}")
                continue
            counts[column] = readable(dataset)
            if counts[column] < dataset.shape[0]:
                short.append(f"{name}/{column}")
        if counts:
            rows[name] = min(counts.values())
            short += [f"{name}/{column}" for column, count in counts.items() if count > rows[name] and f"{name}/{column}" not in short]
    return {"schema": schema, "complete": complete, "because": because, "rows": rows, "short": short, "skipped": skipped}


def main() -> None:
    name, seconds, most = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    # Loaded before the limits are set, which must not count what libraries reserve.
    import h5py

    limit(seconds, most)
    try:
        try:
            file = h5py.File(name, "r", locking=False)
        except (OSError, RuntimeError):
            # Its writer never closed it.
            file = h5py.File(name, "r", locking=False, swmr=True)
        with file:
            found = contents(file)
    except Exception as error:  # the parent wants to know every error of a damaged file
        found = {"problem": f"HDF5 cannot read it: {error or type(error).__name__}"}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
