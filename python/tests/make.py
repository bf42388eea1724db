"""Writes feature files with h5py, byte for byte by the rules that the guide's page "The feature file" gives, for tests that need no recording."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import h5py
import numpy as np

TIERS = {"low": 0, "base": 1, "high": 2}
REASONS = {"anchor": 0, "untrusted": 1, "background": 2, "uniform": 3}
MAGIC = b"\nearmark seal 1\n"
ROUND = 64


def columns(rows: int, dim: int, *, half: bool = False, reasons: dict[str, int] = REASONS, tiers: dict[str, int] = TIERS) -> dict[str, Any]:
    """A frame now and then, every seventh at an anchor."""
    k = np.arange(rows)
    pts = (37 + 331 * k + 900 * (k // 50)) * 1_000_000
    at_anchor = k % 7 == 3
    anchors = int(at_anchor.sum())
    onset = pts[at_anchor]
    reason = np.where(at_anchor, reasons["anchor"], reasons["background"])
    tier = np.where(at_anchor, tiers["high"], tiers["low"])
    features = ((k[:, None] - 5) * 0.25 + np.arange(dim)).astype("f2" if half else "f4")
    jpegs = 3 + k % 5
    cues = np.arange(rows)
    return {
        "frames/features": features,
        "frames/pts_ns": pts.astype("i8"),
        "frames/planned_ns": (pts - 3_000_000).astype("i8"),
        "frames/asked_ns": (pts - 5_000_000).astype("i8"),
        "frames/tier": tier.astype(h5py.enum_dtype(tiers, "u1")),
        "frames/reason": reason.astype(h5py.enum_dtype(reasons, "u1")),
        "frames/tokens": np.where(at_anchor, 784, 49).astype("u4"),
        "frames/anchor": np.where(at_anchor, np.cumsum(at_anchor) - 1, -1).astype("i4"),
        "frames/quality/score": (0.25 + k % 4 / 8).astype("f4"),
        "frames/quality/sharpness": (k % 8 / 8).astype("f4"),
        "frames/thumbnail_stop": np.cumsum(jpegs).astype("u8"),
        "thumbnails/jpeg": np.repeat(k % 256, jpegs).astype("u1"),
        "anchors/onset_ns": onset.astype("i8"),
        "anchors/start_ns": (onset - 20_000_000).astype("i8"),
        "anchors/stop_ns": (onset + 40_000_000).astype("i8"),
        "anchors/score": np.full(anchors, 0.5, "f4"),
        "anchors/uncertainty": np.full(anchors, 0.25, "f4"),
        "anchors/class_id": np.full(anchors, 3, "i4"),
        "anchors/label": np.array([f"Käse {a}".encode() for a in range(anchors)], h5py.string_dtype("utf-8", 256)),
        "cues/pts_ns": (cues * 80_000_000).astype("i8"),
        "cues/eventness": np.full(rows, 0.5, "f4"),
        "cues/uncertainty": np.full(rows, 0.25, "f4"),
        "cues/speech": np.full(rows, 0.125, "f4"),
        "cues/class_id": np.tile(np.array([1, 65535, 65535, 65535, 65535], "u2"), (rows, 1)),
        "cues/class_p": np.tile(np.array([0.5, 0, 0, 0, 0], "f2"), (rows, 1)),
        "cues/change": np.where(cues % 3 == 0, np.nan, cues % 7).astype("f4"),
        "cues/bands": np.tile((cues % 256).astype("u1")[:, None], (1, 16)),
    }


def put(file: Any, name: str, value: Any) -> None:
    """Sets an attribute: text of a fixed length, numbers as they are."""
    if isinstance(value, str):
        size = next(size for size in (16, 64, 256, 1024, 4096, 16384, 32768) if len(value.encode()) <= size)
        file.attrs.create(name, np.array(value.encode(), f"S{size}"), dtype=h5py.string_dtype("utf-8", size))
    else:
        file.attrs[name] = value


def begin(file: Any, data: dict[str, Any], schema: str = "earmark/2", **further: Any) -> None:
    """Makes the datasets, without rows, and the attributes that are known at the start."""
    models = [{"role": "encoder", "name": "e", "sha256": "0", "manifest_sha256": "1"}]
    opening = {"schema": schema, "complete": np.bool_(False), "input_uri": "file:///x.mp4", "models": json.dumps(models), "versions": "{}"}
    for name, value in {**opening, **further}.items():
        put(file, name, value)
    for name, rows in data.items():
        dataset = file.create_dataset(
            name,
            shape=(0, *rows.shape[1:]),
            maxshape=(None, *rows.shape[1:]),
            chunks=(ROUND, *rows.shape[1:]) if name == "frames/features" else (1024, *rows.shape[1:]),
            dtype=rows.dtype,
            fletcher32=True,
            **({"shuffle": True, "compression": "gzip"} if name == "frames/features" else {}),
        )
        put(dataset, "units", "ns" if name.endswith("_ns") else "1")
        put(dataset, "axes", "row" if rows.ndim == 1 else "row, column")


def append(file: Any, name: str, rows: Any) -> None:
    """Appends rows to a dataset."""
    dataset = file[name]
    have = dataset.shape[0]
    dataset.resize(have + len(rows), axis=0)
    dataset[have:] = rows
    dataset.flush()


def digests(file: Any) -> dict[str, dict[str, str]]:
    """What a writer notes of everything that it wrote."""

    def short(value: Any) -> str:
        if isinstance(value, bytes):
            text = value.decode()
        else:
            text = str(bool(value)).lower() if isinstance(value, np.bool_) else str(value)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    attributes = {name: short(value) for name, value in file.attrs.items() if name not in ("digests", "sha256")}
    datasets = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            datasets[name] = hashlib.sha256(item[...].tobytes()).hexdigest()
            attributes.update({f"{name}.{own}": short(value) for own, value in item.attrs.items()})

    file.visititems(visit)
    return {"attributes": attributes, "datasets": datasets}


def close(file: Any, rows: dict[str, Any], complete: bool, **further: Any) -> None:
    """Writes what is known only at the end."""
    spent = int(rows["frames/tokens"].sum())
    last = int(rows["frames/pts_ns"][-1]) if len(rows["frames/pts_ns"]) else 0
    closing = {
        "video_id": "P01",
        "duration_ns": np.int64(last + 4_000_000_000),
        "config": '{"a":1}',
        "budget_tokens": np.uint64(spent + 100),
        "spent_tokens": np.uint64(spent),
        "warnings": '["it rained"]',
        "complete": np.bool_(complete),
    }
    for name, value in {**closing, **further}.items():
        put(file, name, value)
    text = json.dumps(digests(file))
    put(file, "digests", text)
    put(file, "sha256", hashlib.sha256(text.encode()).hexdigest())


def seal(path: Path) -> None:
    """Appends the seal."""
    stretches = []
    with h5py.File(path, "r", locking=False) as file:

        def visit(_: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset) and item.chunks:
                for k in range(item.id.get_num_chunks()):
                    chunk = item.id.get_chunk_info(k)
                    stretches.append((chunk.byte_offset, chunk.size))

        file.visititems(visit)
    inner = path.read_bytes()
    table = b"".join(struct.pack("<QQ", *stretch) for stretch in sorted(stretches))
    numbers = struct.pack("<QQ", len(inner), len(stretches))
    digest = hashlib.sha256()
    at = 0
    for begin_at, size in [*sorted(stretches), (len(inner), 0)]:
        digest.update(inner[at:begin_at])
        at = begin_at + size
    digest.update(table + numbers)
    with path.open("ab") as to:
        to.write(table + numbers + digest.digest() + MAGIC)


def write(
    path: Path,
    rows: int = 100,
    dim: int = 6,
    *,
    data: dict[str, Any] | None = None,
    complete: bool = True,
    sealed: bool = True,
    schema: str = "earmark/2",
    opening: dict[str, Any] | None = None,
    closing: dict[str, Any] | None = None,
    **kinds: Any,
) -> Path:
    """A feature file; returns its path."""
    data = columns(rows, dim, **kinds) if data is None else data
    with h5py.File(path, "w") as file:
        begin(file, data, schema, **(opening or {}))
        for name, values in data.items():
            append(file, name, values)
        close(file, data, complete, **(closing or {}))
    if sealed:
        seal(path)
    return path
