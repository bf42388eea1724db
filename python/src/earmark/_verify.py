"""Whether a file is as it was written: its digests, and the rules of the schema."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import h5py
import numpy as np

from ._attributes import raw, text_of
from ._store import OLD_SCHEMA, Opened

# Attributes that are not contents.
OWN = ("digests", "sha256")
# Groups of datasets.
GROUPS = ("frames", "anchors", "candidates", "clips", "cues", "events", "thumbnails")
# Bytes that are read at a time, if a chunk is no larger.
TOGETHER = 1 << 20
# Most problems reported of a file.
MOST = 20


def problems(path: str, opened: Opened) -> list[str]:
    """Everything that is wrong with a file, in words; nothing if it is as it was written.

    Of a file of `earmark/1`, and of one whose run did not end, which have no digests, only the rules of the schema are checked.
    """
    found: list[str] = []
    if opened.schema != OLD_SCHEMA and (opened.is_complete or "digests" in opened.root.attrs):
        found = contents(opened.root)
    if not found:
        found = rules(path, opened)
    return found[:MOST]


def contents(root: Any) -> list[str]:
    """Datasets and attributes that are not as they were written."""
    try:
        text, whole = str(raw(root, "digests")), str(raw(root, "sha256"))
    except (KeyError, ValueError) as error:
        return [f"the attribute `digests` or `sha256` cannot be read: {error}"]
    if hashlib.sha256(text.encode()).hexdigest() != whole:
        return ["the attribute `digests` or `sha256` is not as it was written"]
    try:
        digests = json.loads(text)
        attributes, datasets = dict(digests["attributes"]), dict(digests["datasets"])
    except (ValueError, KeyError, TypeError) as error:
        return [f"the attribute `digests` is not what it should be: {error}"]
    return [*of_attributes(root, attributes), *of_datasets(root, datasets)]


def of_attributes(root: Any, wanted: dict[str, str]) -> list[str]:
    """Attributes: the first 16 hexadecimal digits of the SHA-256 of each one's value as text."""
    found = []
    for name in sorted({*wanted, *root.attrs} - set(OWN)):
        dataset, _, own = name.rpartition(".")
        try:
            # A dataset's units are `frames/pts_ns.units`.
            value = text_of(root[dataset], own) if "/" in dataset else raw(root, name)
        except (KeyError, ValueError) as error:
            found.append(f"the attribute `{name}` cannot be read: {error}")
            continue
        text = ("true" if value else "false") if isinstance(value, bool) else str(value)
        if name not in wanted:
            found.append(f"the attribute `{name}` was put in by another program")
        elif hashlib.sha256(text.encode()).hexdigest()[:16] != wanted[name]:
            found.append(f"the attribute `{name}` is not as it was written")
    return found


def of_datasets(root: Any, wanted: dict[str, str]) -> list[str]:
    """Datasets: the SHA-256 of each one's numbers, row-major, the least byte first; of texts with the zeros after their end."""
    groups = sorted({*GROUPS, *(name.split("/")[0] for name in wanted)})
    there: set[str] = set()
    for group in groups:
        if isinstance(root.get(group), h5py.Group):
            there |= names(root[group], group)
    found = []
    for name in sorted({*wanted, *there}):
        if name not in wanted:
            found.append(f"/{name} was put in by another program")
        elif name not in there:
            found.append(f"/{name} is gone")
        else:
            try:
                if digest(root[name]) != wanted[name]:
                    found.append(f"/{name} is not as it was written: its digest differs")
            except (OSError, RuntimeError) as error:
                found.append(f"/{name} cannot be read: {error}")
    return found


def names(group: Any, below: str) -> set[str]:
    """Names of what is in a table, and in groups inside it."""
    found: set[str] = set()
    for name, item in group.items():
        found |= {f"{below}/{name}/{column}" for column in item} if isinstance(item, h5py.Group) else {f"{below}/{name}"}
    return found


def digest(dataset: Any) -> str:
    """A dataset's digest."""
    hasher = hashlib.sha256()
    row = max(1, dataset.dtype.itemsize * int(np.prod(dataset.shape[1:], dtype=np.int64)))
    chunk = dataset.chunks[0] if dataset.chunks else 1
    # Whole chunks, so that each is read once.
    together = max(1, TOGETHER // row // chunk) * chunk
    for at in range(0, dataset.shape[0], together):
        rows = dataset[at : at + together]
        hasher.update(rows.astype(rows.dtype.newbyteorder("<"), copy=False).tobytes())
    return hasher.hexdigest()


def rules(path: str, opened: Opened) -> list[str]:
    """Rules of the schema that do not hold."""
    found = []

    def need(holds: Any, problem: str) -> None:
        if not holds:
            found.append(problem)

    def read(name: str) -> Any:
        return opened.read(path, name)

    for table in ("frames", "anchors", "candidates", "clips", "cues"):
        for name in opened.columns(table):
            attributes = opened.dataset(path, f"{table}/{name}").attrs
            need("units" in attributes and "axes" in attributes, f"/{table}/{name} lacks `units` or `axes`")
    pts, tokens, anchor = read("frames/pts_ns"), read("frames/tokens"), read("frames/anchor")
    need((np.diff(pts) >= 0).all(), "/frames/pts_ns is not ascending")
    spent = int(tokens.sum(dtype=np.int64))
    attributes = opened.root.attrs
    if opened.is_complete:
        stated = int(attributes.get("spent_tokens", -1))
        need(stated == spent, f"spent_tokens is {stated}, the rows' tokens add up to {spent}")
        budget = int(attributes.get("budget_tokens", 0))
        need(spent <= budget, f"spent {spent} tokens of {budget}")
    anchors = len(read("anchors/onset_ns"))
    need(((anchor >= -1) & (anchor < anchors)).all(), f"/frames/anchor names a row that is not among the {anchors} of /anchors")
    start, stop = read("anchors/start_ns"), read("anchors/stop_ns")
    need((start < stop).all() and (stop[:-1] <= start[1:]).all(), "the windows of /anchors are not in order, or overlap")
    if opened.columns("candidates"):
        score, more = read("candidates/score"), read("candidates/more_tokens")
        need(((score >= 0) & (score <= 1)).all(), "/candidates/score holds values outside [0, 1]")
        need((more >= -1).all(), "/candidates/more_tokens holds values below -1")
    if opened.columns("clips"):
        start, stop, times = read("clips/start_ns"), read("clips/stop_ns"), read("clips/frame_pts_ns")
        for row in range(len(pts)):
            shown = times[row][times[row] != -1]
            fits = len(shown) and shown[0] == start[row] and shown[-1] < stop[row] and (np.diff(shown) >= 0).all() and pts[row] in shown
            need(fits, f"row {row} of /clips contradicts itself")
            if not fits:
                break
    for name in ("anchors/score", "anchors/uncertainty", "cues/eventness", "cues/uncertainty", "cues/speech"):
        values = read(name)
        need(((values >= 0) & (values <= 1)).all(), f"/{name} holds values outside [0, 1]")
    if "change" in opened.columns("cues"):
        change = read("cues/change")
        # Not a number where it is not known.
        need(((change >= 0) & (change <= 64) | np.isnan(change)).all(), "/cues/change holds values outside [0, 64]")
    for table in ("frames", "cues"):
        for name in opened.columns(table):
            if name.startswith("quality/"):
                values = read(f"{table}/{name}")
                # What nobody measured is no number.
                need(((values >= 0) & (values <= 1) | np.isnan(values)).all(), f"/{table}/{name} holds values outside [0, 1]")
    need((np.diff(read("cues/pts_ns")) >= 0).all(), "/cues/pts_ns is not ascending")
    rows = opened.height(path, "frames/features")
    for at in range(0, rows, 256):
        block = opened.read(path, "frames/features", slice(at, min(at + 256, rows)))
        if not np.isfinite(block).all():
            found.append(f"rows {at} to {min(at + 256, rows) - 1} of /frames/features hold values that are not numbers")
            break
    return found
