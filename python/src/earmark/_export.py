"""Writes files for other projects' loaders, on an even grid: `.npy` (THUMOS14, ActivityNet, Ego4D in ActionFormer) and `.pt` (Ego4D)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._errors import EarmarkError, missing
from ._folder import Folder
from ._grid import stride_ns

# ActionFormer's frame is one millisecond here.
FPS = 1000
MS = 1_000_000

Write = Callable[[IO[bytes], NDArray[np.float32]], Any]


class Exported(NamedTuple):
    """What was written."""

    # The files, by `video_id`.
    files: dict[str, str]
    # The section `dataset` of ActionFormer's configuration that gets the times right: with it, cell k lies at (k + 0.5) strides.
    dataset: dict[str, Any]


def export_npy(folder: Folder, output: str | os.PathLike[str], *, grid: float = 0.5, fill: str = "nearest", overwrite: bool = False) -> Exported:
    """Writes `VIDEO_ID.npy` for each recording of a folder: features `[T, D]`, 32 bits, a row for every `grid` seconds.

    ActionFormer's loaders of THUMOS14, ActivityNet and Ego4D read them, given the settings that are returned. `fill` is that of `Recording.grid`;
    `overwrite` replaces files that are there.
    """
    return export(folder, output, ".npy", grid, fill, overwrite, np.save)


def export_pt(folder: Folder, output: str | os.PathLike[str], *, grid: float = 0.5, fill: str = "nearest", overwrite: bool = False) -> Exported:
    """Writes `VIDEO_ID.pt` for each recording of a folder, in the format of Ego4D's features: a tensor `[T, D]`, 32 bits, a row for every `grid` seconds.

    `torch.load(path, weights_only=True)` reads it. Needs torch; the options are those of `export_npy`, which does without.
    """
    try:
        import torch
    except ImportError:
        raise missing("torch", "torch", "earmark.export_pt (earmark.export_npy works without it)") from None
    return export(folder, output, ".pt", grid, fill, overwrite, lambda file, features: torch.save(torch.from_numpy(features), file))


def export(folder: Folder, output: str | os.PathLike[str], ending: str, grid: float, fill: str, overwrite: bool, write: Write) -> Exported:
    """Writes a file for each recording; reports all obstacles before the first."""
    stride = stride_ns(grid)
    if stride % MS:
        raise ValueError(f"the stride is {grid} s; it must be whole milliseconds")
    if fill not in ("nearest", "zero"):
        raise ValueError(f"fill is {fill!r}; it is 'nearest' or 'zero'")
    output = os.path.abspath(os.fspath(output))
    files: dict[str, str] = {}
    for path, name in zip(folder.paths, folder.video_ids, strict=True):
        if not name or name.startswith(".") or any(c in name for c in "/\\\0"):
            raise EarmarkError(path, f"its video_id {name!r} cannot name a file")
        if name in files:
            raise EarmarkError(path, f"another file is also of the recording {name}; export them separately")
        files[name] = os.path.join(output, name + ending)
        if os.path.lexists(files[name]) and not overwrite:
            raise FileExistsError(f"{files[name]} exists already; overwrite=True replaces it")
    os.makedirs(output, exist_ok=True)
    for k, name in enumerate(folder.video_ids):
        with folder.recording(k) as recording:
            publish(files[name], recording.grid(grid, fill=fill).features, write)
    dataset = {"feat_stride": stride // MS, "num_frames": stride // MS, "default_fps": FPS, "input_dim": folder.dim}
    return Exported(files, {**dataset, "file_prefix": None, "file_ext": ending})


def publish(path: str, features: NDArray[np.float32], write: Write) -> None:
    """Writes a file that gets its name only when complete."""
    handle, partial = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".", suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file, features)
        os.chmod(partial, 0o666 & ~umask())
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


def umask() -> int:
    """The umask."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
